//! Every setting in one table: path, what it takes, default, when a change takes effect, meaning. The checks of file,
//! environment and remote settings, the schema and the documentation read it.

use crate::control::{Effect, SettingKind};
use crate::model;

/// A setting.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Key {
    /// Path in the file, with dots.
    pub path: &'static str,
    /// What it takes.
    pub kind: SettingKind,
    /// The value where nobody sets one, as text; none where there is then none, or it depends on others.
    pub default: Option<&'static str>,
    /// When a change takes effect.
    pub effect: Effect,
    /// Never shown.
    pub secret: bool,
    /// Not set remotely.
    pub local: bool,
    /// What it does.
    pub meaning: &'static str,
}

const fn key(
    path: &'static str,
    kind: SettingKind,
    default: Option<&'static str>,
    effect: Effect,
    meaning: &'static str,
) -> Key {
    Key { path, kind, default, effect, secret: false, local: false, meaning }
}

impl Key {
    const fn secret(self) -> Self {
        Self { secret: true, ..self }
    }

    const fn local(self) -> Self {
        Self { local: true, ..self }
    }
}

const fn integer(least: i64, most: i64, unit: &'static str) -> SettingKind {
    SettingKind::Integer { least, most, unit }
}

const fn ratio(least: f64) -> SettingKind {
    SettingKind::Number { least, most: 1.0 }
}

/// Text where the empty one means something.
const fn text(what: &'static str, pattern: Option<&'static str>) -> SettingKind {
    SettingKind::Text { what, pattern, empty: true }
}

/// Text of at least one character.
const fn some(what: &'static str, pattern: Option<&'static str>) -> SettingKind {
    SettingKind::Text { what, pattern, empty: false }
}

/// First levels of topics: no wildcard, no control character, and no slash at either end.
const LEVELS: SettingKind = some(
    "topic levels",
    Some(r"^[^/+#\x00-\x1f\x7f-\x9f]([^+#\x00-\x1f\x7f-\x9f]*[^/+#\x00-\x1f\x7f-\x9f])?$"),
);
const NAME: SettingKind = some("1 to 32 letters, digits, _ and -", Some("^[A-Za-z0-9_-]{1,32}$"));
const HOSTS: SettingKind =
    text("host names with commas between them", Some("^ *[A-Za-z0-9._-]* *(, *[A-Za-z0-9._-]* *)*$"));
const PEM: SettingKind = some("a PEM file", None);
const LEVELS_OF_LOG: SettingKind = SettingKind::Choice(&["error", "warn", "info", "debug", "trace"]);

use Effect::{Capture, Learning, Now, Restart};
use SettingKind::Boolean;

/// All settings, in the order of the documentation.
#[rustfmt::skip]
pub const KEYS: &[Key] = &[
    key("tap.name", NAME, Some("tap"), Restart, "Name of this tap in topics and alerts."),
    key("network.interface", text("up to 8 interface names with commas between them, or auto", None),
        Some("auto"), Capture, "Where to listen; auto chooses one and says why, or none where mirror_listen is set."),
    key("network.promiscuous_mode", Boolean, Some("true"), Capture,
        "Take frames that are addressed to others, as a tap must."),
    key("network.buffer_size", integer(65_536, 1 << 30, "bytes"), Some("8388608"), Capture,
        "Size of the kernel's ring for captured frames."),
    key("network.snapshot_length", integer(128, 262_144, "bytes"), Some("2048"), Capture,
        "Bytes kept of each frame."),
    key("network.filter", text("a pcap-filter(7) expression", None), Some(""), Capture,
        "Only frames that match are looked at; empty for all."),
    key("limits.flow_memory", integer(1 << 20, 1 << 30, "bytes"), Some("25165824"), Restart,
        "Memory of the flow table: 384 bytes for each connection that is followed at once."),
    key("network.mirror_listen", text("up to 4 address:port with commas between them", None), Some(""), Capture,
        "Where switches send mirrored frames by TZSP (port 37008) or VXLAN (4789); empty for nowhere."),
    key("network.mirror_senders", text("addresses with commas between them", None), Some(""), Capture,
        "Who may send there; empty for anyone who reaches it."),
    key("detection.baseline_duration", integer(60, 31_536_000, "seconds"), Some("86400"), Learning,
        "How long to learn before judging."),
    key("detection.feature_window", integer(10, 3_600, "seconds"), Some("60"), Restart,
        "Length of the windows that models judge."),
    key("detection.alert_threshold", ratio(model::Config::LEAST_THRESHOLD), Some("0.8"), Now,
        "Calibrated score from which a window raises an alert: 0.2 for each power of ten of rarity."),
    key("detection.sensitivity", ratio(0.0), Some("0.5"), Now,
        "How readily the unusual is reported: 0.5 takes the learned tail as measured."),
    key("ml_models.isolation_forest.n_estimators", integer(10, 1_000, "trees"), Some("100"), Learning,
        "Trees of the isolation forest."),
    key("ml_models.isolation_forest.max_samples", integer(16, 4_096, "windows"), Some("256"), Learning,
        "Windows each tree is built from."),
    key("ml_models.isolation_forest.random_state", integer(0, i64::MAX, ""), Some("42"), Learning,
        "Seed of all chance in training."),
    key("store.path", some("a directory", None), Some("/var/lib/tapguard"), Restart,
        "Where baseline, devices and alerts are kept.").local(),
    key("store.quota", integer(64 << 20, i64::MAX, "bytes"), Some("268435456"), Restart,
        "Bytes on disk that the store may use."),
    key("store.alert_retention_days", integer(1, 3_650, "days"), Some("90"), Restart,
        "Age at which alerts are deleted."),
    key("store.outbox_capacity", integer(1, 1_000_000, "alerts"), Some("10000"), Restart,
        "Alerts that may wait for the broker."),
    key("evidence.enabled", Boolean, Some("true"), Restart,
        "Keep the packets around each alert, of its devices, as a capture file in the store's directory."),
    key("evidence.snapshot_length", integer(64, 512, "bytes"), Some("512"), Restart,
        "Bytes kept of each packet there; 96 has the headers and hardly a word that was said."),
    key("evidence.quota_mb", integer(2, 1 << 20, "MiB"), Some("64"), Restart,
        "Room for evidence, beside the store's quota; the oldest is deleted."),
    key("captures.quota_mb", integer(1, 1 << 20, "MiB"), Some("64"), Restart,
        "Room for captures on demand, beside the store's quota; the oldest is deleted."),
    key("mqtt.host", text("a host name or address", None), Some(""), Now,
        "The broker. MQTT is off while this is empty."),
    key("mqtt.port", integer(1, 65_535, ""), None, Now,
        "The broker's port: 1883, or 8883 with TLS, when not set."),
    key("mqtt.username", some("text", None), None, Now, "User name, where the broker wants one."),
    key("mqtt.password", some("text", None), None, Now,
        "Password; password_file keeps it out of this file.").secret(),
    // Not remotely: whoever may set it could have any file's first line sent to a broker of his.
    key("mqtt.password_file", some("a file", None), None, Now,
        "File whose first line is the password.").local(),
    key("mqtt.tls", Boolean, Some("false"), Now, "Encrypt the connection and check the broker's certificate."),
    key("mqtt.ca_file", PEM, None, Now, "Authorities to trust instead of the system's."),
    key("mqtt.certificate_file", PEM, None, Now, "Our certificate, where the broker wants one."),
    key("mqtt.key_file", PEM, None, Now, "The key of that certificate."),
    key("mqtt.prefix", LEVELS, Some("tapguard"), Now, "First levels of every topic."),
    key("mqtt.state_interval", integer(1, 86_400, "seconds"), Some("60"), Now,
        "Time between two state messages."),
    key("mqtt.discovery", Boolean, Some("true"), Now, "Announce the tap to Home Assistant."),
    key("mqtt.discovery_prefix", LEVELS, Some("homeassistant"), Now,
        "First levels of Home Assistant's discovery topics."),
    key("http.listen", some("address:port", None), Some("127.0.0.1:8080"), Restart,
        "Where the page and the API are served."),
    key("http.allowed_hosts", HOSTS, Some(""), Now,
        "Names under which the page may be asked for besides localhost and bare addresses."),
    key("log.level", LEVELS_OF_LOG, Some("info"), Now, "What is written to the log."),
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
