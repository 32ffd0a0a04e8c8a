//! From the file's shape to the components' settings: ranges, files and what needs what.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::PathBuf;

use super::raw::{self, Raw};
use super::{Config, ConfigError, Layers, LogLevel, Written, key};
use crate::capture::{MirrorConfig, SourceConfig};
use crate::control::SettingValue;
use crate::mqtt::{Login, Tls};
use crate::pipeline::{JudgeConfig, MeterConfig};
use crate::time::Span;
use crate::{alert, baseline, capture, feature, flow, http, model, mqtt, store};

pub(super) fn check(raw: &Raw, written: Written, layers: &Layers) -> Result<Config, ConfigError> {
    let checker = Checker(layers);
    let tap = checker.tap(raw)?;
    let learning = checker.baseline(&raw.detection)?;
    let broker = checker.mqtt(&raw.mqtt, &tap, learning.duration)?;
    Ok(Config {
        capture: checker.capture(&raw.network)?,
        meter: MeterConfig {
            flow: checker.flow(&raw.limits)?,
            feature: feature::Config { window: checker.window(&raw.detection)? },
            ..MeterConfig::default()
        },
        judge: JudgeConfig {
            baseline: learning,
            model: checker.model(raw)?,
            alert: alert::Config { tap, ..alert::Config::default() },
        },
        store: checker.store(raw, broker.is_some())?,
        mqtt: broker,
        http: checker.http(&raw.http)?,
        log: checker.log(&raw.log)?,
        written,
    })
}

/// Interfaces listened on at once: each has a thread and a ring of the kernel.
const MOST_INTERFACES: usize = 8;

/// Addresses listened on for mirrored frames: one for each of TZSP and VXLAN, over IPv4 and IPv6.
const MOST_MIRRORS: usize = 4;

/// The names in a list or a text with commas.
fn list(names: Option<&raw::Names>) -> Vec<String> {
    let text = names.map(raw::Names::text).unwrap_or_default();
    text.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

struct Checker<'a>(&'a Layers);

impl Checker<'_> {
    fn tap(&self, raw: &Raw) -> Result<String, ConfigError> {
        let Some(name) = &raw.tap.name else { return Ok(alert::Config::default().tap) };
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
        if (1..=32).contains(&name.len()) && name.bytes().all(plain) {
            Ok(name.clone())
        } else {
            Err(self.text("tap.name", name))
        }
    }

    fn capture(&self, raw: &raw::Network) -> Result<Vec<SourceConfig>, ConfigError> {
        let each = self.tap_of(raw)?;
        let mirrors = self.mirrors(raw, &each)?;
        let key = "network.interface";
        let mut names = list(raw.interface.as_ref());
        if let [] | ["auto"] = names.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
            let auto = mirrors.is_empty().then_some(SourceConfig::Tap(each));
            return Ok(auto.into_iter().chain(mirrors).collect());
        }
        let mut known = BTreeSet::new();
        names.retain(|name| known.insert(name.clone()));
        if names.len() > MOST_INTERFACES || known.contains("auto") {
            return Err(self.text(key, &names.join(",")));
        }
        let tap = |name| SourceConfig::Tap(capture::Config { interface: Some(name), ..each.clone() });
        Ok(names.into_iter().map(tap).chain(mirrors).collect())
    }

    /// The addresses to listen on for mirrored frames.
    fn mirrors(&self, raw: &raw::Network, tap: &capture::Config) -> Result<Vec<SourceConfig>, ConfigError> {
        let (key, key_of_senders) = ("network.mirror_listen", "network.mirror_senders");
        let mut senders = Vec::new();
        for text in list(raw.mirror_senders.as_ref()) {
            senders.push(text.parse().map_err(|_| self.text(key_of_senders, &text))?);
        }
        let mut addresses = Vec::new();
        for text in list(raw.mirror_listen.as_ref()) {
            let address: SocketAddr = text.parse().map_err(|_| self.text(key, &text))?;
            if address.port() == 0 || addresses.contains(&address) || addresses.len() == MOST_MIRRORS {
                return Err(self.text(key, &text));
            }
            addresses.push(address);
        }
        let mirror = |address| {
            let (ring_bytes, filter) = (tap.ring_bytes, tap.filter.clone());
            SourceConfig::Mirror(MirrorConfig { address, senders: senders.clone(), ring_bytes, filter })
        };
        Ok(addresses.into_iter().map(mirror).collect())
    }

    fn tap_of(&self, raw: &raw::Network) -> Result<capture::Config, ConfigError> {
        let default = capture::Config::default();
        Ok(capture::Config {
            interface: None,
            promiscuous: raw.promiscuous_mode.unwrap_or(default.promiscuous),
            ring_bytes: self.number("network.buffer_size", raw.buffer_size, default.ring_bytes)?,
            snapshot_bytes: self.number(
                "network.snapshot_length",
                raw.snapshot_length,
                default.snapshot_bytes,
            )?,
            filter: raw.filter.clone().unwrap_or(default.filter),
        })
    }

    fn flow(&self, raw: &raw::Limits) -> Result<flow::Config, ConfigError> {
        let default = flow::Config::default();
        let bytes = default.flow_capacity * flow::Config::BYTES_PER_FLOW;
        let bytes = self.number("limits.flow_memory", raw.flow_memory, bytes)?;
        Ok(flow::Config { flow_capacity: flow::Config::flows_in(bytes), ..default })
    }

    fn window(&self, raw: &raw::Detection) -> Result<Span, ConfigError> {
        let default = feature::Config::default().window;
        self.seconds("detection.feature_window", raw.feature_window, default)
    }

    fn baseline(&self, raw: &raw::Detection) -> Result<baseline::Config, ConfigError> {
        let default = baseline::Config::default();
        let duration =
            self.seconds("detection.baseline_duration", raw.baseline_duration, default.duration)?;
        Ok(baseline::Config { duration, window: self.window(raw)?, ..default })
    }

    fn model(&self, raw: &Raw) -> Result<model::Config, ConfigError> {
        let default = model::Config::default();
        let forest = &raw.ml_models.isolation_forest;
        let tuning = &raw.detection;
        let path = "ml_models.isolation_forest.";
        let key = |leaf: &str| format!("{path}{leaf}");
        Ok(model::Config {
            trees: self.number(&key("n_estimators"), forest.n_estimators, default.trees)?,
            subsample: self.number(&key("max_samples"), forest.max_samples, default.subsample)?,
            seed: self.number(&key("random_state"), forest.random_state, default.seed)?,
            alert_threshold: self.ratio(
                "detection.alert_threshold",
                tuning.alert_threshold,
                default.alert_threshold,
            )?,
            sensitivity: self.ratio("detection.sensitivity", tuning.sensitivity, default.sensitivity)?,
        })
    }

    fn store(&self, raw: &Raw, deliver: bool) -> Result<store::Config, ConfigError> {
        let Raw { store: raw, evidence: files, captures, .. } = raw;
        let default = store::Config::default();
        let day = 86_400;
        let days = default.alert_retention.as_secs() / day;
        let retention: u64 = self.number("store.alert_retention_days", raw.alert_retention_days, days)?;
        Ok(store::Config {
            path: raw.path.as_ref().map_or(default.path, PathBuf::from),
            quota: self.number("store.quota", raw.quota, default.quota)?,
            alert_retention: Span::from_secs(retention * day),
            outbox_capacity: self.number(
                "store.outbox_capacity",
                raw.outbox_capacity,
                default.outbox_capacity,
            )?,
            deliver,
            evidence: files.enabled.unwrap_or(default.evidence),
            evidence_quota: self.mebibytes("evidence.quota_mb", files.quota_mb, default.evidence_quota)?,
            evidence_snapshot: self.number(
                "evidence.snapshot_length",
                files.snapshot_length,
                default.evidence_snapshot,
            )?,
            captures_quota: self.mebibytes("captures.quota_mb", captures.quota_mb, default.captures_quota)?,
            ..store::Config::default()
        })
    }

    fn mqtt(&self, raw: &raw::Mqtt, tap: &str, learning: Span) -> Result<Option<mqtt::Config>, ConfigError> {
        let host = raw.host.clone().unwrap_or_default();
        let tls = self.tls(raw)?;
        let port = if tls.is_some() { 8_883 } else { 1_883 };
        let prefix = self.levels("mqtt.prefix", raw.prefix.as_deref(), "tapguard")?;
        let discovery =
            self.levels("mqtt.discovery_prefix", raw.discovery_prefix.as_deref(), "homeassistant")?;
        let config = mqtt::Config {
            port: self.number("mqtt.port", raw.port, port)?,
            login: self.login(raw)?,
            tls,
            prefix,
            tap: tap.to_owned(),
            state_interval: self.seconds("mqtt.state_interval", raw.state_interval, Span::from_secs(60))?,
            discovery: raw.discovery.unwrap_or(true).then_some(discovery),
            learning,
            host,
        };
        Ok((!config.host.is_empty()).then_some(config))
    }

    /// First levels of topics: no wildcard, and no slash at either end.
    fn levels(&self, path: &str, value: Option<&str>, default: &str) -> Result<String, ConfigError> {
        let levels = value.unwrap_or(default);
        let odd = |c: char| c == '+' || c == '#' || c.is_control();
        if levels.is_empty() || levels.starts_with('/') || levels.ends_with('/') || levels.contains(odd) {
            return Err(self.text(path, levels));
        }
        Ok(levels.to_owned())
    }

    fn login(&self, raw: &raw::Mqtt) -> Result<Option<Login>, ConfigError> {
        let password = match (&raw.password, &raw.password_file) {
            (Some(_), Some(_)) => return Err(self.needs("mqtt.password", "no mqtt.password_file beside it")),
            (Some(password), None) => Some(password.clone()),
            (None, Some(path)) => Some(self.secret("mqtt.password_file", path)?),
            (None, None) if raw.username.is_some() => self.credential("mqtt-password")?,
            (None, None) => None,
        };
        let given = if raw.password.is_some() { "mqtt.password" } else { "mqtt.password_file" };
        match (&raw.username, password) {
            (Some(username), password) => {
                Ok(Some(Login { username: username.clone(), password: password.unwrap_or_default() }))
            }
            (None, Some(_)) => Err(self.needs(given, "mqtt.username")),
            (None, None) => Ok(None),
        }
    }

    fn tls(&self, raw: &raw::Mqtt) -> Result<Option<Tls>, ConfigError> {
        let files = [
            ("mqtt.ca_file", &raw.ca_file),
            ("mqtt.certificate_file", &raw.certificate_file),
            ("mqtt.key_file", &raw.key_file),
        ];
        let identity = match (&raw.certificate_file, &raw.key_file) {
            (Some(chain), Some(key)) => Some((PathBuf::from(chain), PathBuf::from(key))),
            (None, None) => None,
            (Some(_), None) => return Err(self.needs("mqtt.certificate_file", "mqtt.key_file")),
            (None, Some(_)) => return Err(self.needs("mqtt.key_file", "mqtt.certificate_file")),
        };
        if raw.tls != Some(true) {
            let idle = files.into_iter().find(|(_, file)| file.is_some());
            return idle.map_or(Ok(None), |(key, _)| Err(self.needs(key, "mqtt.tls = true")));
        }
        Ok(Some(Tls { ca_file: raw.ca_file.as_ref().map(PathBuf::from), identity }))
    }

    fn http(&self, raw: &raw::Http) -> Result<http::Config, ConfigError> {
        let default = http::Config::default();
        let listen = match &raw.listen {
            Some(text) => text.parse().map_err(|_| self.text("http.listen", text))?,
            None => default.listen,
        };
        let names = raw.allowed_hosts.as_deref().unwrap_or_default();
        let allowed_hosts = names.split(',').map(str::trim).filter(|n| !n.is_empty());
        let odd = |c: char| !(c.is_ascii_alphanumeric() || "-._".contains(c));
        if names.split(',').any(|name| name.trim().contains(odd)) {
            return Err(self.text("http.allowed_hosts", names));
        }
        Ok(http::Config { listen, allowed_hosts: allowed_hosts.map(str::to_owned).collect() })
    }

    fn log(&self, raw: &raw::Log) -> Result<LogLevel, ConfigError> {
        match raw.level.as_deref() {
            None => Ok(LogLevel::default()),
            Some("error") => Ok(LogLevel::Error),
            Some("warn") => Ok(LogLevel::Warn),
            Some("info") => Ok(LogLevel::Info),
            Some("debug") => Ok(LogLevel::Debug),
            Some("trace") => Ok(LogLevel::Trace),
            Some(other) => Err(self.text("log.level", other)),
        }
    }

    /// First line of a file, without its end.
    fn secret(&self, key: &'static str, path: &str) -> Result<String, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Secret {
            origin: self.0.origin(key),
            key,
            source,
        })?;
        Ok(first_line(&text))
    }

    /// First line of what the service manager put under this name; none where it put nothing.
    fn credential(&self, name: &str) -> Result<Option<String>, ConfigError> {
        let Some(path) = self.0.credentials.as_ref().map(|directory| directory.join(name)) else {
            return Ok(None);
        };
        match std::fs::read_to_string(&path) {
            Ok(text) => Ok(Some(first_line(&text))),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(source) => Err(ConfigError::Credential { path, source }),
        }
    }

    fn seconds(&self, path: &str, value: Option<i64>, default: Span) -> Result<Span, ConfigError> {
        self.number(path, value, default.as_secs()).map(Span::from_secs)
    }

    fn mebibytes(&self, path: &str, value: Option<i64>, default: u64) -> Result<u64, ConfigError> {
        self.number(path, value, default >> 20).map(|mebibytes: u64| mebibytes << 20)
    }

    fn number<T: TryFrom<i64>>(&self, path: &str, value: Option<i64>, default: T) -> Result<T, ConfigError> {
        let Some(value) = value else { return Ok(default) };
        let within = takes(path, &SettingValue::Integer(value)).then(|| T::try_from(value).ok()).flatten();
        within.ok_or_else(|| self.0.bad(path, value))
    }

    fn ratio(&self, path: &str, value: Option<f64>, default: f64) -> Result<f64, ConfigError> {
        let Some(value) = value else { return Ok(default) };
        let within = takes(path, &SettingValue::Number(value)).then_some(value);
        within.ok_or_else(|| self.0.bad(path, value))
    }

    fn text(&self, path: &str, value: &str) -> ConfigError {
        self.0.bad(path, format_args!("{value:?}"))
    }

    fn needs(&self, key: &'static str, needs: &'static str) -> ConfigError {
        ConfigError::Needs { origin: self.0.origin(key), key, needs }
    }
}

/// Whether the table's bounds of a key hold a number.
fn takes(path: &str, value: &SettingValue) -> bool {
    key::find(path).is_some_and(|known| known.kind.read(value).is_some())
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}
