//! The file's shape: every value as its user wrote it, none checked yet, none without a default but what has none.

use serde::Deserialize;

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Raw {
    pub(super) tap: Tap,
    pub(super) network: Network,
    pub(super) limits: Limits,
    pub(super) detection: Detection,
    pub(super) ml_models: MlModels,
    pub(super) store: Store,
    pub(super) evidence: Evidence,
    pub(super) captures: Captures,
    pub(super) mqtt: Mqtt,
    pub(super) http: Http,
    pub(super) log: Log,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Tap {
    pub(super) name: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Network {
    pub(super) interface: Option<Names>,
    pub(super) promiscuous_mode: Option<bool>,
    pub(super) buffer_size: Option<i64>,
    pub(super) snapshot_length: Option<i64>,
    pub(super) filter: Option<String>,
    pub(super) mirror_listen: Option<Names>,
    pub(super) mirror_senders: Option<Names>,
}

/// One name, several with commas between them, or a list.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Names {
    Text(String),
    List(Vec<String>),
}

impl Names {
    /// As one text.
    pub(super) fn text(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::List(list) => list.join(","),
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Limits {
    pub(super) flow_memory: Option<i64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Detection {
    pub(super) baseline_duration: Option<i64>,
    pub(super) feature_window: Option<i64>,
    pub(super) alert_threshold: Option<f64>,
    pub(super) sensitivity: Option<f64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct MlModels {
    pub(super) isolation_forest: IsolationForest,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct IsolationForest {
    pub(super) n_estimators: Option<i64>,
    pub(super) max_samples: Option<i64>,
    pub(super) random_state: Option<i64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Store {
    pub(super) path: Option<String>,
    pub(super) quota: Option<i64>,
    pub(super) alert_retention_days: Option<i64>,
    pub(super) outbox_capacity: Option<i64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Evidence {
    pub(super) enabled: Option<bool>,
    pub(super) snapshot_length: Option<i64>,
    pub(super) quota_mb: Option<i64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Captures {
    pub(super) quota_mb: Option<i64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Mqtt {
    pub(super) host: Option<String>,
    pub(super) port: Option<i64>,
    pub(super) username: Option<String>,
    pub(super) password: Option<String>,
    pub(super) password_file: Option<String>,
    pub(super) tls: Option<bool>,
    pub(super) ca_file: Option<String>,
    pub(super) certificate_file: Option<String>,
    pub(super) key_file: Option<String>,
    pub(super) prefix: Option<String>,
    pub(super) state_interval: Option<i64>,
    pub(super) discovery: Option<bool>,
    pub(super) discovery_prefix: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Http {
    pub(super) listen: Option<String>,
    pub(super) allowed_hosts: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Log {
    pub(super) level: Option<String>,
}
