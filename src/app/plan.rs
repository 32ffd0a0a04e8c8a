//! From a wanted change to the whole new configuration, or to everything that is wrong with it. Nothing changes here.

use std::collections::BTreeSet;

use super::AppError;
use super::reload::{Reloader, effective};
use crate::capture::{self, CaptureError};
use crate::config::key::{self, KEYS, Key};
use crate::config::{Config, ConfigError, Origin, Overlay, unknown};
use crate::control::{PlannedChange, SettingProblem, SettingValue};
use crate::sys::one_line;

/// A change that may be made.
pub(super) struct Plan {
    /// The whole configuration with it.
    pub(super) config: Config,
    /// All remote settings with it.
    pub(super) overlay: Overlay,
    /// What is different afterwards.
    pub(super) changes: Vec<PlannedChange>,
    /// Whether the capture is opened anew.
    pub(super) moves_capture: bool,
}

/// Most bytes of all remote settings together.
const MAX_OVERLAY: usize = 16 << 10;

/// The remote settings with keys set or, where there is no value, no longer set.
pub(super) fn merged(
    base: &Overlay,
    wanted: &[(String, Option<SettingValue>)],
    now: &Config,
) -> (Overlay, Vec<SettingProblem>) {
    let mut overlay = base.clone();
    let mut problems = Vec::new();
    let mut seen = BTreeSet::new();
    for (path, value) in wanted {
        let detail = if !seen.insert(path) {
            Err(format!("{path} is given twice"))
        } else {
            match (key::find(path), value) {
                (Some(key), Some(value)) => {
                    set(key, value, now).map(|text| drop(overlay.insert(path.clone(), text)))
                }
                (Some(_), None) => {
                    overlay.remove(path);
                    Ok(())
                }
                (None, None) if key::is_section(path) => {
                    overlay.retain(|key, _| {
                        !key.strip_prefix(path.as_str()).is_some_and(|r| r.starts_with('.'))
                    });
                    Ok(())
                }
                (None, Some(SettingValue::Empty)) if key::is_section(path) => Ok(()),
                (None, Some(_)) if key::is_section(path) => {
                    Err(format!("{path} is a section: it takes an object of its keys"))
                }
                // What is not there is not there afterwards either; a key of an older version goes.
                (None, None) if overlay.remove(path).is_some() => Ok(()),
                (None, _) => Err(unknown(path)),
            }
        };
        problems.extend(detail.err().map(|detail| SettingProblem { key: path.clone(), detail }));
    }
    if overlay.iter().map(|(path, text)| path.len() + text.len()).sum::<usize>() > MAX_OVERLAY {
        let detail = format!("remote settings have at most {MAX_OVERLAY} bytes together");
        problems.push(SettingProblem { key: String::new(), detail });
    }
    (overlay, problems)
}

/// The text of a value for a key that may be set.
fn set(key: &Key, value: &SettingValue, now: &Config) -> Result<String, String> {
    if let Some(why) = fixed(key, now.origin(key.path)) {
        return Err(why);
    }
    let told = || if key.secret { "what is given".to_owned() } else { value.to_string() };
    key.kind.read(value).ok_or_else(|| format!("{} takes {}, not {}", key.path, key.kind, told()))
}

/// Why a key cannot be set remotely, where it cannot.
pub(super) fn fixed(key: &Key, origin: &Origin) -> Option<String> {
    let path = key.path;
    match origin {
        _ if key.local => Some(format!("{path} is not set remotely, only in the file or the environment")),
        Origin::Environment(name) => {
            Some(format!("{path} is set by environment variable {name}, which wins"))
        }
        Origin::CommandLine => Some(format!("{path} is set by the command line, which wins")),
        Origin::Remote | Origin::File { .. } | Origin::Default => None,
    }
}

/// Plans to put `overlay` in the place of `base`; `problems` are those found already.
pub(super) fn plan(
    reloader: &Reloader,
    base: &Overlay,
    overlay: Overlay,
    problems: Vec<SettingProblem>,
) -> Result<Plan, Vec<SettingProblem>> {
    let config = check(reloader, base, overlay.clone(), problems)?;
    let before = reloader.now();
    let changes = KEYS.iter().filter(|key| effective(before, key) != effective(&config, key));
    let changes = changes.map(|key| {
        let text = |config: &Config| effective(config, key).filter(|_| !key.secret).map(str::to_owned);
        PlannedChange { key: key.path, from: text(before), to: text(&config), effect: reloader.effect(key) }
    });
    Ok(Plan { changes: changes.collect(), moves_capture: reloader.moves_capture(&config), config, overlay })
}

/// The configuration with an overlay. What is wrong is looked for until nothing more is found: a key that is at
/// fault is put back to what it was, and the rest is checked again.
fn check(
    reloader: &Reloader,
    base: &Overlay,
    mut overlay: Overlay,
    mut problems: Vec<SettingProblem>,
) -> Result<Config, Vec<SettingProblem>> {
    loop {
        let fault = match try_out(reloader, &overlay) {
            Ok(config) if problems.is_empty() => return Ok(config),
            Ok(_) => return Err(problems),
            Err(fault) => fault,
        };
        // What a key lacks may only be missing because the other one is wrong.
        if fault.lacks && !problems.is_empty() {
            return Err(problems);
        }
        let key = fault.problem.key.clone();
        problems.push(fault.problem);
        if fault.lacks || overlay.get(&key) == base.get(&key) {
            return Err(problems);
        }
        match base.get(&key) {
            Some(text) => overlay.insert(key, text.clone()),
            None => overlay.remove(&key),
        };
    }
}

struct Fault {
    problem: SettingProblem,
    /// A key lacks another one.
    lacks: bool,
}

fn try_out(reloader: &Reloader, overlay: &Overlay) -> Result<Config, Fault> {
    let config = reloader.check(overlay).map_err(|error| fault(&error))?;
    let wanted: Vec<_> = reloader.new_interfaces(&config).map(str::to_owned).collect();
    if wanted.is_empty() {
        return Ok(config);
    }
    let key = "network.interface";
    let known = capture::interfaces();
    let is_there = |name: &&String| known.iter().flatten().any(|interface| interface.name == **name);
    let Some(name) = wanted.iter().find(|name| !is_there(name)) else { return Ok(config) };
    let there = match &known {
        Ok(all) => all.iter().map(|interface| interface.name.as_str()).collect::<Vec<_>>().join(", "),
        Err(error) => one_line(error),
    };
    let detail = format!("{key}: no interface {name:?} here; there are: {there}");
    Err(Fault { problem: SettingProblem { key: key.to_owned(), detail }, lacks: false })
}

fn fault(error: &AppError) -> Fault {
    let (key, detail) = match error {
        AppError::Config(error) => match error.problem() {
            Some((key, detail)) => (key.to_owned(), detail),
            None => (String::new(), one_line(error)),
        },
        AppError::Capture(error @ CaptureError::BadFilter { .. }) => {
            ("network.filter".to_owned(), format!("network.filter: {}", one_line(error)))
        }
        other => (String::new(), one_line(other)),
    };
    let lacks = matches!(error, AppError::Config(ConfigError::Needs { .. }));
    Fault { problem: SettingProblem { key, detail }, lacks }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::Reload;
    use crate::app::reload::load;
    use crate::config::Inputs;
    use crate::control::Effect;

    fn word(text: &str) -> Option<SettingValue> {
        Some(SettingValue::Text(text.to_owned()))
    }

    fn overlay(settings: &[(&str, &str)]) -> Overlay {
        settings.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    fn reloader(base: &Overlay) -> Reloader {
        let set = |k: &str, v: &str| (k.to_owned(), v.to_owned());
        let inputs = Inputs {
            environment: vec![set("TAPGUARD_LOG__LEVEL", "warn")],
            overrides: vec![set("http.listen", "127.0.0.1:0")],
            ..Inputs::default()
        };
        let started = load(&inputs, base).unwrap();
        Reloader::new(Reload { inputs, log: Box::new(|_| {}) }, started, false)
    }

    fn asked(base: &Overlay, wanted: &[(&str, Option<SettingValue>)]) -> Result<Plan, Vec<SettingProblem>> {
        let reloader = reloader(base);
        let wanted: Vec<_> = wanted.iter().map(|(k, v)| ((*k).to_owned(), v.clone())).collect();
        let (overlay, problems) = merged(base, &wanted, reloader.now());
        plan(&reloader, base, overlay, problems)
    }

    fn refused(base: &Overlay, wanted: &[(&str, Option<SettingValue>)]) -> Vec<String> {
        asked(base, wanted).err().unwrap().into_iter().map(|p| format!("{}: {}", p.key, p.detail)).collect()
    }

    #[test]
    fn a_good_change_says_what_changes_and_when() {
        let base = overlay(&[("mqtt.host", "b"), ("mqtt.port", "1"), ("tap.name", "hall")]);
        let wanted = [
            ("detection.alert_threshold", Some(SettingValue::Number(0.7))),
            ("mqtt", None),
            ("network.filter", word("tcp")),
            ("mqtt.username", word("u")),
            ("mqtt.password", word("sesame")),
        ];
        let plan = asked(&base, &wanted).ok().unwrap();
        let change = |key, from: Option<&str>, to: Option<&str>, effect| PlannedChange {
            key,
            from: from.map(str::to_owned),
            to: to.map(str::to_owned),
            effect,
        };
        let expected = [
            change("network.filter", Some(""), Some("tcp"), Effect::Capture),
            change("detection.alert_threshold", Some("0.8"), Some("0.7"), Effect::Now),
            change("mqtt.host", Some("b"), Some(""), Effect::Now),
            change("mqtt.port", Some("1"), None, Effect::Now),
            change("mqtt.username", None, Some("u"), Effect::Now),
            change("mqtt.password", None, None, Effect::Now),
        ];
        assert_eq!(plan.changes, expected);
        assert!(plan.moves_capture);
        assert_eq!(plan.overlay.get("tap.name").map(String::as_str), Some("hall"));
        assert!(!asked(&base, &[("mqtt.port", None)]).ok().unwrap().moves_capture);
    }

    #[test]
    fn everything_that_is_wrong_is_told() {
        let wanted = [
            ("detection.alert_treshold", Some(SettingValue::Number(0.7))),
            ("mqtt.port", word("many")),
            ("mqtt.prefix", word("a/#")),
            ("tap.name", word("a b")),
            ("network.filter", word("tcp and and")),
            ("network.interface", word("eth-none")),
            ("log.level", word("debug")),
            ("http.listen", word("127.0.0.1:1")),
            ("store.path", word("/tmp/x")),
            ("mqtt", Some(SettingValue::Integer(5))),
            ("store", Some(SettingValue::Empty)),
            ("store.quota", Some(SettingValue::Empty)),
            ("mqtt.password", Some(SettingValue::Integer(12_345))),
            ("mqtt.password", word("x")),
        ];
        let told = refused(&Overlay::new(), &wanted);
        let starts = [
            "detection.alert_treshold: unknown key detection.alert_treshold; did you mean detection.alert_threshold?",
            "mqtt.port: mqtt.port takes 1 to 65535, not \"many\"",
            "log.level: log.level is set by environment variable TAPGUARD_LOG__LEVEL, which wins",
            "http.listen: http.listen is set by the command line, which wins",
            "store.path: store.path is not set remotely",
            "mqtt: mqtt is a section",
            "store.quota: store.quota takes 67108864 bytes or more, not an empty object",
            "mqtt.password: mqtt.password takes text, not what is given",
            "mqtt.password: mqtt.password is given twice",
            "tap.name: tap.name takes 1 to 32 letters, digits, _ and -, not \"a b\"",
            "mqtt.prefix: mqtt.prefix takes topic levels, not \"a/#\"",
            "network.filter: network.filter: ",
            "network.interface: network.interface: no interface \"eth-none\" here; there are: ",
        ];
        assert_eq!(told.len(), starts.len(), "{told:#?}");
        for (told, start) in told.iter().zip(starts) {
            assert!(told.starts_with(start), "told     {told}\nexpected {start}");
        }
    }

    #[test]
    fn what_a_key_lacks_is_told_when_nothing_else_is_wrong() {
        let password = ("mqtt.password", word("x"));
        let host = ("mqtt.host", word("b"));
        assert_eq!(
            refused(&Overlay::new(), &[host.clone(), password.clone()]),
            ["mqtt.password: mqtt.password needs mqtt.username"]
        );
        let told = refused(&Overlay::new(), &[host, password, ("mqtt.username", word(""))]);
        assert_eq!(told, ["mqtt.username: mqtt.username takes text, not \"\""]);
        // A base that is not good by itself is told of too.
        let bad = overlay(&[("mqtt.hots", "b")]);
        let reloader = reloader(&Overlay::new());
        let told = plan(&reloader, &bad, bad.clone(), Vec::new()).err().unwrap();
        assert_eq!(told[0].key, "mqtt.hots");
        let (mended, problems) = merged(&bad, &[("mqtt.hots".to_owned(), None)], reloader.now());
        assert!(problems.is_empty() && plan(&reloader, &bad, mended, problems).is_ok());
    }

    #[test]
    fn remote_settings_are_bounded() {
        let long = "a".repeat(2_048);
        let keys = ["network.filter", "mqtt.host", "mqtt.username", "mqtt.password", "mqtt.ca_file"];
        let more = ["mqtt.certificate_file", "mqtt.key_file", "mqtt.prefix", "mqtt.discovery_prefix"];
        let wanted: Vec<_> = keys.into_iter().chain(more).map(|key| (key.to_owned(), word(&long))).collect();
        let (_, problems) = merged(&Overlay::new(), &wanted, reloader(&Overlay::new()).now());
        assert_eq!(problems.len(), 1);
        assert_eq!(problems[0].detail, "remote settings have at most 16384 bytes together");
    }
}
