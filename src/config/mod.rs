//! The configuration: a TOML file, `conf.d` beside it, the environment and the command line, put together by the
//! `config` crate, checked once, and handed out as each component's own settings.
//!
//! Later layers win: defaults, the file, `conf.d/*.toml` by name, what was set remotely, `TAPGUARD_SECTION__KEY`, flags.
//! An unknown key or a value out of range is refused with its place; nothing is guessed.

mod check;
mod error;
pub mod key;
mod layer;
mod raw;

use std::collections::BTreeMap;
use std::path::PathBuf;

use config::FileFormat;

pub use error::{ConfigError, Origin};

use crate::capture::SourceConfig;
use crate::pipeline::{JudgeConfig, MeterConfig};
use crate::{http, mqtt, store};
use layer::Layer;
use raw::Raw;

/// All settings, checked. `app` takes it apart; no component sees another's.
#[derive(Clone)]
pub struct Config {
    /// Live capture, a source each.
    pub capture: Vec<SourceConfig>,
    /// Flows, windows, behaviours.
    pub meter: MeterConfig,
    /// Baseline, models, incidents.
    pub judge: JudgeConfig,
    /// The store.
    pub store: store::Config,
    /// The broker; none where MQTT is not configured.
    pub mqtt: Option<mqtt::Config>,
    /// The page and the API.
    pub http: http::Config,
    /// What is logged.
    pub log: LogLevel,
    written: Written,
}

/// The values that somebody set, as text by key, and where each stands.
pub(crate) type Written = BTreeMap<&'static str, (String, Origin)>;

/// What was set remotely: text by key.
pub type Overlay = BTreeMap<String, String>;

/// How much is logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogLevel {
    /// Only what stops something.
    Error,
    /// And what needs a look.
    Warn,
    /// And what happened.
    #[default]
    Info,
    /// And why.
    Debug,
    /// And everything.
    Trace,
}

/// What a configuration is made from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inputs {
    /// The main file, beside which `conf.d` is; none to use defaults, environment and flags alone.
    pub file: Option<PathBuf>,
    /// Whether the main file must be there.
    pub required: bool,
    /// All environment variables; those that begin with `TAPGUARD_` and `CREDENTIALS_DIRECTORY` are looked at.
    pub environment: Vec<(String, String)>,
    /// Settings by flags, as path and value.
    pub overrides: Vec<(String, String)>,
    /// What was set remotely.
    pub overlay: Overlay,
}

/// Names the directory of a service's credentials (systemd.exec(5)).
const CREDENTIALS: &str = "CREDENTIALS_DIRECTORY";

/// The layers as read, which know where each value stands.
pub(crate) struct Layers {
    files: Vec<Layer>,
    overlay: Overlay,
    environment: Vec<(String, String)>,
    overrides: Vec<(String, String)>,
    /// Where a service manager put secrets for us.
    credentials: Option<PathBuf>,
}

impl Config {
    /// The file that is read when it is there and no other is named.
    pub const FILE: &str = "/etc/tapguard/tapguard.toml";

    /// Reads, puts together and checks.
    ///
    /// # Errors
    /// The first thing that is wrong, in one line.
    pub fn load(inputs: &Inputs) -> Result<Self, ConfigError> {
        let layers = Layers::read(inputs)?;
        let (raw, written) = layers.merge()?;
        check::check(&raw, written, &layers)
    }

    /// The text of a value that somebody set.
    #[must_use]
    pub fn value(&self, path: &str) -> Option<&str> {
        self.written.get(path).map(|(text, _)| text.as_str())
    }

    /// Where the value of a key comes from.
    #[must_use]
    pub fn origin(&self, path: &str) -> &Origin {
        self.written.get(path).map_or(&Origin::Default, |(_, origin)| origin)
    }
}

/// What is wrong with a key that is not in the table, and which one may be meant.
#[must_use]
pub fn unknown(key: &str) -> String {
    format!("unknown key {key}{}", error::hint(key))
}

impl Layers {
    fn read(inputs: &Inputs) -> Result<Self, ConfigError> {
        let mut files = Vec::new();
        if let Some(main) = &inputs.file {
            for path in layer::files(main, inputs.required)? {
                files.push(Layer::read(&path)?);
            }
        }
        let ours = |(name, _): &&(String, String)| name.starts_with(key::PREFIX);
        let environment: Vec<_> = inputs.environment.iter().filter(ours).cloned().collect();
        for (name, _) in &environment {
            if !key::KEYS.iter().any(|k| key::variable(k.path) == *name) {
                return Err(ConfigError::UnknownVariable { name: name.clone() });
            }
        }
        if let Some(path) = inputs.overlay.keys().find(|path| key::find(path).is_none()) {
            return Err(ConfigError::Unknown { origin: Origin::Remote, key: path.clone() });
        }
        for (path, _) in &inputs.overrides {
            if key::find(path).is_none() {
                return Err(ConfigError::Unknown { origin: Origin::CommandLine, key: path.clone() });
            }
        }
        let find = |name: &str| inputs.environment.iter().find(|(n, _)| n == name).map(|(_, v)| v);
        let credentials = find(CREDENTIALS).filter(|v| !v.is_empty()).map(PathBuf::from);
        let (overlay, overrides) = (inputs.overlay.clone(), inputs.overrides.clone());
        Ok(Self { files, overlay, environment, overrides, credentials })
    }

    fn merge(&self) -> Result<(Raw, Written), ConfigError> {
        let mut builder = config::Config::builder();
        for file in &self.files {
            builder = builder.add_source(config::File::from_str(&file.text, FileFormat::Toml));
        }
        let mut overlay = config::Config::builder();
        for (path, value) in &self.overlay {
            overlay = overlay.set_override(path.as_str(), value.as_str()).map_err(ConfigError::Layers)?;
        }
        builder = builder.add_source(overlay.build().map_err(ConfigError::Layers)?);
        let environment = self.environment.iter().cloned().collect();
        builder = builder.add_source(
            config::Environment::with_prefix(key::PREFIX.trim_end_matches('_'))
                .prefix_separator("_")
                .separator("__")
                .source(Some(environment)),
        );
        for (path, value) in &self.overrides {
            builder = builder.set_override(path.as_str(), value.as_str()).map_err(ConfigError::Layers)?;
        }
        let merged = builder.build().map_err(ConfigError::Layers)?;
        let list = |path| {
            merged.get_array(path).map(|list| {
                list.into_iter().filter_map(|one| one.into_string().ok()).collect::<Vec<_>>().join(",")
            })
        };
        let value = |path| merged.get_string(path).or_else(|_| list(path)).ok();
        let text = |k: &key::Key| Some((k.path, (value(k.path)?, self.origin(k.path))));
        let written = key::KEYS.iter().filter_map(text).collect();
        let raw = merged.try_deserialize().map_err(|error| self.explain(error))?;
        Ok((raw, written))
    }

    /// A value of the wrong type, with its place; anything else as it is.
    fn explain(&self, error: config::ConfigError) -> ConfigError {
        let mut inner = &error;
        while let config::ConfigError::At { error, .. } = inner {
            inner = error;
        }
        let path = match &error {
            config::ConfigError::Type { key, .. } | config::ConfigError::At { key, .. } => key.as_deref(),
            _ => None,
        };
        let config::ConfigError::Type { unexpected, .. } = inner else { return ConfigError::Layers(error) };
        match path.and_then(key::find) {
            Some(found) => self.bad(found.path, unexpected),
            None => ConfigError::Layers(error),
        }
    }

    /// The error for a value that a key does not take.
    fn bad(&self, path: &str, value: impl std::fmt::Display) -> ConfigError {
        match key::find(path) {
            Some(found) => ConfigError::Value {
                origin: self.origin(path),
                key: found.path,
                takes: found.kind,
                value: if found.secret { "what is given".to_owned() } else { value.to_string() },
            },
            None => ConfigError::Unknown { origin: self.origin(path), key: path.to_owned() },
        }
    }

    /// Where the value in force stands.
    fn origin(&self, path: &str) -> Origin {
        if self.overrides.iter().any(|(p, _)| *p == path) {
            return Origin::CommandLine;
        }
        let variable = key::variable(path);
        if self.environment.iter().any(|(name, _)| *name == variable) {
            return Origin::Environment(variable);
        }
        if self.overlay.contains_key(path) {
            return Origin::Remote;
        }
        let place = |f: &Layer| f.line(path).map(|line| Origin::File { path: f.path.clone(), line });
        self.files.iter().rev().find_map(place).unwrap_or(Origin::Default)
    }
}

#[cfg(test)]
mod tests {
    use proptest::strategy::{Strategy, ValueTree};
    use proptest::string::string_regex;
    use proptest::test_runner::TestRunner;

    use super::*;
    use crate::capture;
    use crate::control::SettingKind;
    use crate::time::Span;

    fn inputs(text: &str) -> (tempfile::TempDir, Inputs) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tapguard.toml");
        std::fs::write(&path, text).unwrap();
        (folder, Inputs { file: Some(path), required: true, ..Inputs::default() })
    }

    fn refusal(text: &str) -> String {
        let (folder, inputs) = inputs(text);
        let error = Config::load(&inputs).err().unwrap().to_string();
        error.replace(&format!("{}/", folder.path().display()), "")
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place() {
        let table = [
            (
                "[network]\ninterfce = \"eth1\"\n",
                "tapguard.toml:2: unknown key network.interfce; did you mean network.interface?",
            ),
            ("[netwrk]\ninterface = \"eth1\"\n", "tapguard.toml:1: unknown key netwrk"),
            ("[http]\nlisten = \"8080\"\n", "tapguard.toml:2: http.listen takes address:port, not \"8080\""),
            ("\n[mqtt]\nport = 0\n", "tapguard.toml:3: mqtt.port takes 1 to 65535, not 0"),
            ("[mqtt]\nport = \"many\"\n", "tapguard.toml:2: mqtt.port takes 1 to 65535, not string \"many\""),
            (
                "[detection]\nalert_threshold = 7\n",
                "tapguard.toml:2: detection.alert_threshold takes 0.2 to 1, not 7",
            ),
            (
                "[tap]\nname = \"a/b\"\n",
                "tapguard.toml:2: tap.name takes 1 to 32 letters, digits, _ and -, not \"a/b\"",
            ),
            (
                "[mqtt]\nhost = \"b\"\npassword = \"x\"\n",
                "tapguard.toml:3: mqtt.password needs mqtt.username",
            ),
            (
                "[mqtt]\nhost = \"b\"\nkey_file = \"k\"\n",
                "tapguard.toml:3: mqtt.key_file needs mqtt.certificate_file",
            ),
            (
                "[mqtt]\nhost = \"b\"\nca_file = \"k\"\n",
                "tapguard.toml:3: mqtt.ca_file needs mqtt.tls = true",
            ),
            ("\na = [\n", "tapguard.toml:2: not TOML"),
        ];
        for (text, start) in table {
            let told = refusal(text);
            assert!(told.starts_with(start), "{text:?}\n  told     {told}\n  expected {start}");
            assert!(!told.contains('\n'), "one line: {told}");
        }
    }

    #[test]
    fn several_interfaces_and_listeners_are_a_source_each() {
        let sources = |text: &str| {
            let (_folder, inputs) = inputs(&format!("[network]\n{text}\n"));
            let name = |source: &SourceConfig| match source {
                SourceConfig::Tap(tap) => tap.interface.clone().unwrap_or_else(|| "auto".to_owned()),
                SourceConfig::Mirror(mirror) => format!("{} from {:?}", mirror.address, mirror.senders),
            };
            Config::load(&inputs).ok().unwrap().capture.iter().map(name).collect::<Vec<_>>()
        };
        assert_eq!(sources(r#"interface = "eth1""#), ["eth1"]);
        assert_eq!(sources(r#"interface = "eth1, eth2,eth1""#), ["eth1", "eth2"]);
        assert_eq!(sources(r#"interface = ["eth1", "eth2"]"#), ["eth1", "eth2"]);
        assert_eq!(sources(r#"interface = """#), ["auto"]);
        let listen = r#"mirror_listen = "192.0.2.1:37008, [2001:db8::1]:4789""#;
        let both = ["192.0.2.1:37008 from []", "[2001:db8::1]:4789 from []"];
        assert_eq!(sources(listen), both);
        assert_eq!(sources(&format!("interface = \"eth1\"\n{listen}"))[..2], ["eth1", both[0]]);
        let senders = r#"mirror_listen = "192.0.2.1:1"
mirror_senders = ["192.0.2.9"]"#;
        assert_eq!(sources(senders), ["192.0.2.1:1 from [192.0.2.9]"]);
        for bad in [
            r#"interface = "eth1,auto""#,
            r#"interface = "a,b,c,d,e,f,g,h,i""#,
            r#"mirror_listen = "37008""#,
            r#"mirror_listen = "192.0.2.1:0""#,
            r#"mirror_senders = "switch""#,
        ] {
            let told = refusal(&format!("[network]\n{bad}\n"));
            let key = bad.split(' ').next().unwrap();
            assert!(told.starts_with(&format!("tapguard.toml:2: network.{key} takes ")), "{told}");
        }
        let (_folder, inputs) = inputs("[network]\ninterface = [\"a\", \"b\"]\n");
        assert_eq!(Config::load(&inputs).ok().unwrap().value("network.interface"), Some("a,b"));
    }

    #[test]
    fn later_layers_win() {
        let (folder, mut inputs) = inputs("[mqtt]\nhost = \"first\"\nport = 1\n[tap]\nname = \"hall\"\n");
        std::fs::create_dir(folder.path().join("conf.d")).unwrap();
        std::fs::write(folder.path().join("conf.d/20.toml"), "[mqtt]\nhost = \"third\"\n").unwrap();
        std::fs::write(folder.path().join("conf.d/10.toml"), "[mqtt]\nhost = \"second\"\nport = 2\n")
            .unwrap();
        let mqtt = |inputs: &Inputs| Config::load(inputs).ok().and_then(|c| c.mqtt).unwrap();
        assert_eq!((mqtt(&inputs).host.as_str(), mqtt(&inputs).port), ("third", 2));
        let origin = |inputs: &Inputs, key: &str| Config::load(inputs).ok().unwrap().origin(key).to_string();
        assert!(origin(&inputs, "mqtt.port").ends_with("conf.d/10.toml:3"));
        inputs.overlay = Overlay::from([("mqtt.host".to_owned(), "remote".to_owned())]);
        assert_eq!((mqtt(&inputs).host.as_str(), mqtt(&inputs).port), ("remote", 2));
        assert_eq!(origin(&inputs, "mqtt.host"), "remote settings");
        inputs.environment = vec![
            ("TAPGUARD_MQTT__HOST".to_owned(), "fourth".to_owned()),
            ("TAPGUARD_MQTT__USERNAME".to_owned(), "1e5".to_owned()),
            ("PATH".to_owned(), "/bin".to_owned()),
        ];
        assert_eq!(mqtt(&inputs).login.map(|l| l.username), Some("1e5".to_owned()));
        assert_eq!(origin(&inputs, "mqtt.host"), "environment variable TAPGUARD_MQTT__HOST");
        assert_eq!((mqtt(&inputs).host.as_str(), mqtt(&inputs).tap.as_str()), ("fourth", "hall"));
        inputs.overrides = vec![("mqtt.host".to_owned(), "fifth".to_owned())];
        assert_eq!(mqtt(&inputs).host, "fifth");
        assert_eq!(
            (origin(&inputs, "mqtt.host"), origin(&inputs, "log.level")),
            ("command line".into(), "default".into())
        );
        inputs.environment.push(("TAPGUARD_MQTT_HOST".to_owned(), "x".to_owned()));
        let told = Config::load(&inputs).err().unwrap().to_string();
        assert_eq!(
            told,
            "unknown environment variable TAPGUARD_MQTT_HOST; did you mean TAPGUARD_MQTT__HOST?"
        );
    }

    #[test]
    fn every_key_of_the_table_has_an_effect_or_is_refused() {
        // A text that no number, switch, address or known word is: whatever a key takes, this is refused or kept.
        let free = [
            "network.interface",
            "network.filter",
            "store.path",
            "mqtt.host",
            "mqtt.username",
            "mqtt.password",
            "mqtt.password_file",
            "mqtt.ca_file",
            "mqtt.certificate_file",
            "mqtt.key_file",
        ];
        for known in key::KEYS.iter().filter(|k| !free.contains(&k.path)) {
            let inputs =
                Inputs { overrides: vec![(known.path.to_owned(), "#".to_owned())], ..Inputs::default() };
            let told = Config::load(&inputs).err().map(|e| e.to_string()).unwrap_or_default();
            assert!(
                told.starts_with(&format!("command line: {} takes", known.path)),
                "{}: {told}",
                known.path
            );
        }
    }

    /// What is wrong with one key set to a text, remotely; none where it is taken.
    fn wrong(key: &str, text: &str) -> Option<String> {
        let overlay = Overlay::from([(key.to_owned(), text.to_owned())]);
        Config::load(&Inputs { overlay, ..Inputs::default() }).err().map(|error| error.to_string())
    }

    #[test]
    fn the_bounds_of_the_table_are_those_of_the_check() {
        let taken = |key: &str, text: &str| assert_eq!(wrong(key, text), None, "{key} = {text:?}");
        let refused = |known: &key::Key, text: &str| {
            let told = wrong(known.path, text).unwrap_or_default();
            let start = format!("remote settings: {} takes {}, not ", known.path, known.kind);
            assert!(told.starts_with(&start), "{} = {text:?}: {told}", known.path);
        };
        let mut runner = TestRunner::deterministic();
        for known in key::KEYS {
            match known.kind {
                SettingKind::Integer { least, most, .. } => {
                    taken(known.path, &least.to_string());
                    taken(known.path, &most.to_string());
                    refused(known, &(least - 1).to_string());
                    if let Some(more) = most.checked_add(1) {
                        refused(known, &more.to_string());
                    }
                }
                SettingKind::Number { least, most } => {
                    taken(known.path, &least.to_string());
                    taken(known.path, &most.to_string());
                    refused(known, &(least - 0.01).to_string());
                    refused(known, &(most + 0.01).to_string());
                    refused(known, "NaN");
                }
                SettingKind::Boolean => {
                    taken(known.path, "true");
                    taken(known.path, "false");
                    refused(known, "perhaps");
                }
                SettingKind::Choice(words) => {
                    words.iter().for_each(|word| taken(known.path, word));
                    refused(known, "loud");
                }
                SettingKind::Text { pattern: Some(pattern), .. } => {
                    let inner = pattern.strip_prefix('^').and_then(|p| p.strip_suffix('$')).unwrap();
                    let texts = string_regex(inner).unwrap();
                    for _ in 0..64 {
                        taken(known.path, &texts.new_tree(&mut runner).unwrap().current());
                    }
                    // None of these is like any pattern of the table.
                    for text in ["#", "a\u{7f}b", "+"] {
                        refused(known, text);
                    }
                }
                SettingKind::Text { pattern: None, .. } => {}
            }
        }
    }

    #[test]
    fn the_defaults_of_the_table_are_those_of_the_components() {
        let load = |settings: &[(&str, &str)]| {
            let broker = [("mqtt.host", "b")];
            let all = broker.iter().chain(settings);
            let overlay = all.map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
            Config::load(&Inputs { overlay, ..Inputs::default() }).ok().unwrap()
        };
        let plain = load(&[]);
        for known in key::KEYS {
            let Some(default) = known.default.filter(|_| known.path != "mqtt.host") else { continue };
            let set = load(&[(known.path, default)]);
            let same = set.capture == plain.capture
                && set.meter.feature == plain.meter.feature
                && set.judge == plain.judge
                && set.store == plain.store
                && set.mqtt == plain.mqtt
                && set.http == plain.http
                && set.log == plain.log;
            assert!(same, "{} = {default}", known.path);
        }
        assert_eq!(plain.mqtt.map(|mqtt| mqtt.port), Some(1_883), "it has none in the table");
        let host = Overlay::from([("mqtt.host".to_owned(), String::new())]);
        assert!(Config::load(&Inputs { overlay: host, ..Inputs::default() }).ok().unwrap().mqtt.is_none());
    }

    #[test]
    fn a_secret_is_not_told() {
        let told = refusal("[mqtt]\nhost = \"b\"\nusername = \"u\"\npassword = [\"sesame\"]\n");
        assert_eq!(told, "tapguard.toml:4: mqtt.password takes text, not what is given");
    }

    #[test]
    fn the_password_is_read_from_its_file() {
        let (folder, mut inputs) = inputs("[mqtt]\nhost = \"b\"\nusername = \"u\"\n");
        let secret = folder.path().join("secret");
        std::fs::write(&secret, "open sesame\n").unwrap();
        inputs.overrides = vec![("mqtt.password_file".to_owned(), secret.display().to_string())];
        let login = Config::load(&inputs).ok().and_then(|c| c.mqtt).and_then(|m| m.login).unwrap();
        assert_eq!(login.password, "open sesame");
        inputs.overrides = vec![("mqtt.password_file".to_owned(), "/nonexistent".to_owned())];
        let told = Config::load(&inputs).err().unwrap().to_string();
        assert_eq!(told, "command line: cannot read the file that mqtt.password_file names");
    }

    #[test]
    fn a_credential_is_the_password_where_no_other_is_set() {
        let (folder, mut inputs) = inputs("[mqtt]\nhost = \"b\"\n");
        let directory = folder.path().join("credentials");
        inputs.environment = vec![(CREDENTIALS.to_owned(), directory.display().to_string())];
        let login = |inputs: &Inputs| Config::load(inputs).ok().and_then(|c| c.mqtt).unwrap().login;
        let password = |inputs: &Inputs| login(inputs).unwrap().password;
        let set = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        inputs.overrides = vec![set("mqtt.username", "u")];
        assert_eq!(password(&inputs), "", "there is no directory");
        std::fs::create_dir(&directory).unwrap();
        assert_eq!(password(&inputs), "", "there is no credential");
        std::fs::write(directory.join("mqtt-password"), "open sesame\n").unwrap();
        assert_eq!(password(&inputs), "open sesame");
        inputs.overrides.push(set("mqtt.password", "set"));
        assert_eq!(password(&inputs), "set");
        inputs.overrides.clear();
        assert!(login(&inputs).is_none(), "without a user name there is no login");
        inputs.overrides = vec![set("mqtt.username", "u")];
        std::fs::write(directory.join("mqtt-password"), [0xff]).unwrap();
        let told = Config::load(&inputs).err().unwrap().to_string();
        assert!(
            told.starts_with("cannot read the credential ") && told.ends_with("/mqtt-password"),
            "{told}"
        );
    }

    #[test]
    fn defaults_are_the_components_own() {
        let config = Config::load(&Inputs::default()).ok().unwrap();
        assert_eq!(config.capture, [SourceConfig::Tap(capture::Config::default())]);
        assert_eq!(config.judge, JudgeConfig::default());
        assert!(config.mqtt.is_none());
        let inputs = Inputs {
            overrides: vec![("detection.feature_window".to_owned(), "30".to_owned())],
            ..Inputs::default()
        };
        assert_eq!(Config::load(&inputs).ok().unwrap().meter.feature.window, Span::from_secs(30));
    }
}
