//! Every setting in one table: path, unit and meaning. The file check, the environment check and the documentation
//! read it.

/// A setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    /// Path in the file, with dots.
    pub path: &'static str,
    /// What it takes.
    pub takes: &'static str,
    /// What it does.
    pub meaning: &'static str,
}

const fn key(path: &'static str, takes: &'static str, meaning: &'static str) -> Key {
    Key { path, takes, meaning }
}

/// All settings, in the order of the documentation.
pub const KEYS: &[Key] = &[
    key("tap.name", "1 to 32 letters, digits, _ and -", "Name of this tap in topics and alerts."),
    key("network.interface", "an interface name, or auto", "Where to listen; auto chooses and says why."),
    key(
        "network.promiscuous_mode",
        "true or false",
        "Take frames that are addressed to others, as a tap must.",
    ),
    key("network.buffer_size", "65536 to 1073741824 bytes", "Size of the kernel's ring for captured frames."),
    key("network.snapshot_length", "128 to 262144 bytes", "Bytes kept of each frame."),
    key(
        "network.filter",
        "a pcap-filter(7) expression",
        "Only frames that match are looked at; empty for all.",
    ),
    key("detection.baseline_duration", "60 to 31536000 seconds", "How long to learn before judging."),
    key("detection.feature_window", "10 to 3600 seconds", "Length of the windows that models judge."),
    key(
        "detection.alert_threshold",
        "0.2 to 1",
        "Calibrated score from which a window raises an alert: 0.2 for each power of ten of rarity.",
    ),
    key(
        "detection.sensitivity",
        "0 to 1",
        "How readily the unusual is reported: 0.5 takes the learned tail as measured.",
    ),
    key("ml_models.isolation_forest.n_estimators", "10 to 1000 trees", "Trees of the isolation forest."),
    key("ml_models.isolation_forest.max_samples", "16 to 4096 windows", "Windows each tree is built from."),
    key(
        "ml_models.isolation_forest.random_state",
        "a whole number from 0",
        "Seed of all chance in training.",
    ),
    key("store.path", "a directory", "Where baseline, devices and alerts are kept."),
    key("store.quota", "67108864 bytes or more", "Bytes on disk that the store may use."),
    key("store.alert_retention_days", "1 to 3650 days", "Age at which alerts are deleted."),
    key("store.outbox_capacity", "1 to 1000000 alerts", "Alerts that may wait for the broker."),
    key("mqtt.host", "a host name or address", "The broker. MQTT is off while this is empty."),
    key("mqtt.port", "1 to 65535", "The broker's port: 1883, or 8883 with TLS, when not set."),
    key("mqtt.username", "text", "User name, where the broker wants one."),
    key("mqtt.password", "text", "Password; password_file keeps it out of this file."),
    key("mqtt.password_file", "a file", "File whose first line is the password."),
    key("mqtt.tls", "true or false", "Encrypt the connection and check the broker's certificate."),
    key("mqtt.ca_file", "a PEM file", "Authorities to trust instead of the system's."),
    key("mqtt.certificate_file", "a PEM file", "Our certificate, where the broker wants one."),
    key("mqtt.key_file", "a PEM file", "The key of that certificate."),
    key("mqtt.prefix", "topic levels", "First levels of every topic."),
    key("mqtt.state_interval", "1 to 86400 seconds", "Time between two state messages."),
    key("mqtt.discovery", "true or false", "Announce the tap to Home Assistant."),
    key("mqtt.discovery_prefix", "topic levels", "First levels of Home Assistant's discovery topics."),
    key("http.listen", "address:port", "Where the page and the API are served."),
    key(
        "http.allowed_hosts",
        "host names with commas between them",
        "Names under which the page may be asked for besides localhost and bare addresses.",
    ),
    key("log.level", "error, warn, info, debug or trace", "What is written to the log."),
];

/// The setting of this path.
#[must_use]
pub fn find(path: &str) -> Option<&'static Key> {
    KEYS.iter().find(|k| k.path == path)
}

/// Whether a path names a section that holds settings.
#[must_use]
pub fn is_section(path: &str) -> bool {
    KEYS.iter().any(|k| k.path.strip_prefix(path).is_some_and(|rest| rest.starts_with('.')))
}

/// The known path that is written most alike, where one is near enough to be meant.
#[must_use]
pub fn nearest(path: &str) -> Option<&'static str> {
    const ALIKE: f64 = 0.7;
    let leaf = |p: &str| p.rsplit('.').next().unwrap_or_default().to_owned();
    let alike = |k: &Key| {
        strsim::jaro_winkler(path, k.path).max(strsim::jaro_winkler(&leaf(path), &leaf(k.path)) * 0.99)
    };
    KEYS.iter()
        .map(|k| (alike(k), k.path))
        .filter(|&(likeness, _)| likeness >= ALIKE)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, path)| path)
}

/// Name of the environment variable that sets a path.
#[must_use]
pub fn variable(path: &str) -> String {
    format!("{PREFIX}{}", path.replace('.', "__").to_uppercase())
}

/// What the name of every such variable begins with.
pub const PREFIX: &str = "TAPGUARD_";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_meant_is_found() {
        assert_eq!(nearest("network.interfce"), Some("network.interface"));
        assert_eq!(nearest("mqtt.hostname"), Some("mqtt.host"));
        assert_eq!(nearest("detection.alert_treshold"), Some("detection.alert_threshold"));
        assert_eq!(nearest("network.alert_threshold"), Some("detection.alert_threshold"));
        assert_eq!(nearest("zzz.qqq"), None);
        assert_eq!(variable("mqtt.host"), "TAPGUARD_MQTT__HOST");
        assert!(is_section("ml_models") && !is_section("mqtt.host") && !is_section("net"));
    }
}
