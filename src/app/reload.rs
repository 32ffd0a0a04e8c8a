//! A configuration that is read again while the daemon runs: checked as a whole first, then what can change changes,
//! and the rest is named. How a component takes its new settings is the daemon's business.

use super::{AppError, start};
use crate::capture::SourceConfig;
use crate::config::key::{KEYS, Key};
use crate::config::{Config, Inputs, LogLevel, Overlay};
use crate::control::{Effect, Tuning};
use crate::{capture, mqtt};

/// How a running daemon reads its configuration again.
pub struct Reload {
    /// What it is put together from; what was set remotely is added.
    pub inputs: Inputs,
    /// Sets what is logged from now on.
    pub log: Box<dyn Fn(LogLevel)>,
}

/// The settings in force.
pub(super) struct Reloader {
    how: Reload,
    demo: bool,
    /// As the daemon was started.
    started: Config,
    /// As it was read last.
    now: Config,
    live: Live,
}

/// What changes without a restart.
#[derive(Clone, PartialEq)]
struct Live {
    log: LogLevel,
    mqtt: Option<mqtt::Config>,
    allowed_hosts: Vec<String>,
    /// None where the judge did not take it.
    tuning: Option<Tuning>,
    /// None where the generated network is played, or the capture was not opened with it.
    capture: Option<Vec<SourceConfig>>,
}

/// What the daemon has to do after a reload.
#[derive(Default)]
pub(super) struct Changes {
    /// The MQTT client is to be stopped, and started with these settings where there are some.
    pub(super) mqtt: Option<Option<mqtt::Config>>,
    /// The host names that the page may be asked for under.
    pub(super) allowed_hosts: Option<Vec<String>>,
    /// What the judge is to be told.
    pub(super) tuning: Option<Tuning>,
    /// What the capture is to be opened with anew.
    pub(super) capture: Option<Vec<SourceConfig>>,
}

impl Live {
    /// The tap's name is that of the start.
    fn of(config: &Config, started: &Config, demo: bool) -> Self {
        let mut config = config.clone();
        config.judge.alert.tap.clone_from(&started.judge.alert.tap);
        if let Some(mqtt) = &mut config.mqtt {
            mqtt.tap.clone_from(&started.judge.alert.tap);
        }
        if demo {
            start::fit_to_demo(&mut config);
        }
        Self {
            log: config.log,
            mqtt: config.mqtt,
            allowed_hosts: config.http.allowed_hosts,
            tuning: Some(Tuning { model: config.judge.model, learning: config.judge.baseline.duration }),
            capture: (!demo).then_some(config.capture),
        }
    }
}

/// Reads all layers with these remote settings, and checks them as a whole.
pub(super) fn load(inputs: &Inputs, overlay: &Overlay) -> Result<Config, AppError> {
    let config = Config::load(&Inputs { overlay: overlay.clone(), ..inputs.clone() })?;
    for source in &config.capture {
        capture::check_filter(source.filter())?;
    }
    Ok(config)
}

impl Reloader {
    /// `started` is what was read at the start. It is in force, but for the log level, which is set here.
    pub(super) fn new(how: Reload, started: Config, demo: bool) -> Self {
        let live = Live::of(&started, &started, demo);
        (how.log)(live.log);
        Self { how, demo, now: started.clone(), started, live }
    }

    /// The configuration with these remote settings; nothing changes.
    pub(super) fn check(&self, overlay: &Overlay) -> Result<Config, AppError> {
        load(&self.how.inputs, overlay)
    }

    /// As it was read last.
    pub(super) const fn now(&self) -> &Config {
        &self.now
    }

    /// When a change of a key takes effect. What is about the capture waits for one: the generated network has none.
    pub(super) const fn effect(&self, key: &Key) -> Effect {
        match key.effect {
            Effect::Capture if self.demo => Effect::Restart,
            other => other,
        }
    }

    /// Whether a value in the configuration is not yet that in force.
    pub(super) fn waits(&self, key: &Key) -> bool {
        self.effect(key) == Effect::Restart && effective(&self.now, key) != effective(&self.started, key)
    }

    /// Whether a configuration asks for another capture than the one that was read last.
    pub(super) fn moves_capture(&self, new: &Config) -> bool {
        !self.demo && new.capture != self.now.capture
    }

    /// The interfaces that a configuration names and the one in force does not.
    pub(super) fn new_interfaces<'a>(&self, new: &'a Config) -> impl Iterator<Item = &'a str> {
        let old: Vec<_> = self.now.capture.iter().map(SourceConfig::interface).collect();
        new.capture.iter().map(SourceConfig::interface).filter(move |name| !old.contains(name)).flatten()
    }

    /// Puts a configuration in force; the log level is set at once.
    pub(super) fn adopt(&mut self, new: Config) -> Changes {
        let live = Live::of(&new, &self.started, self.demo);
        let old = std::mem::replace(&mut self.live, live);
        let before = std::mem::replace(&mut self.now, new);
        let live = &self.live;
        if live.log != old.log {
            (self.how.log)(live.log);
        }
        let changes = Changes {
            mqtt: (live.mqtt != old.mqtt).then(|| live.mqtt.clone()),
            allowed_hosts: (live.allowed_hosts != old.allowed_hosts).then(|| live.allowed_hosts.clone()),
            tuning: live.tuning.clone().filter(|new| old.tuning.as_ref() != Some(new)),
            capture: live.capture.clone().filter(|new| old.capture.as_ref() != Some(new)),
        };
        self.tell(&before, &changes);
        changes
    }

    /// The capture could not be opened with what is in force: it is tried again at the next reload.
    pub(super) fn capture_stays(&mut self) {
        self.live.capture = None;
    }

    /// The judge could not be told what is in force: it is told again at the next reload.
    pub(super) fn tuning_stays(&mut self) {
        self.live.tuning = None;
    }

    fn tell(&self, before: &Config, changes: &Changes) {
        let at_once = |key: &&Key| {
            self.effect(key) != Effect::Restart && effective(before, key) != effective(&self.now, key)
        };
        let mut changed: Vec<_> = KEYS.iter().filter(at_once).map(|key| key.path).collect();
        changed.sort_unstable();
        if changes.mqtt.is_some() && !changed.iter().any(|key| key.starts_with("mqtt.")) {
            // What a file or a credential holds has changed, or when to learn.
            changed.push("mqtt");
        }
        let mut fixed: Vec<_> = KEYS.iter().filter(|key| self.waits(key)).map(|key| key.path).collect();
        fixed.sort_unstable();
        if fixed.is_empty() {
            tracing::info!("configuration reloaded; changed: {}", list(&changed));
        } else {
            let (changed, fixed) = (list(&changed), list(&fixed));
            tracing::warn!("configuration reloaded; changed: {changed}; needs a restart: {fixed}");
        }
    }
}

/// The text of what holds.
pub(super) fn effective<'a>(config: &'a Config, key: &Key) -> Option<&'a str> {
    config.value(key.path).or(key.default)
}

fn list(keys: &[&str]) -> String {
    if keys.is_empty() { "nothing".to_owned() } else { keys.join(", ") }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use super::*;
    use crate::time::Span;

    fn config(settings: &[(&str, &str)]) -> Result<Config, AppError> {
        let overlay = settings.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        load(&Inputs::default(), &overlay)
    }

    fn reloader(started: &[(&str, &str)], demo: bool) -> (Rc<RefCell<Vec<LogLevel>>>, Reloader) {
        let logged = Rc::new(RefCell::new(Vec::new()));
        let log = Box::new({
            let logged = Rc::clone(&logged);
            move |level| logged.borrow_mut().push(level)
        });
        let how = Reload { inputs: Inputs::default(), log };
        (logged, Reloader::new(how, config(started).unwrap(), demo))
    }

    fn nothing(changes: &Changes) -> bool {
        changes.mqtt.is_none()
            && changes.allowed_hosts.is_none()
            && changes.tuning.is_none()
            && changes.capture.is_none()
    }

    #[test]
    fn only_what_differs_changes_and_only_once() {
        let (logged, mut reloader) = reloader(&[("tap.name", "hall")], false);
        assert!(nothing(&reloader.adopt(config(&[("tap.name", "hall")]).unwrap())));
        let all = [
            ("tap.name", "attic"),
            ("mqtt.host", "b"),
            ("log.level", "debug"),
            ("http.allowed_hosts", "tap.lan"),
            ("detection.alert_threshold", "0.6"),
            ("network.filter", "tcp"),
        ];
        let changes = reloader.adopt(config(&all).unwrap());
        let mqtt = changes.mqtt.unwrap().unwrap();
        assert_eq!((mqtt.host.as_str(), mqtt.tap.as_str()), ("b", "hall"));
        assert_eq!(changes.allowed_hosts, Some(vec!["tap.lan".to_owned()]));
        assert!(changes.tuning.unwrap().model.alert_threshold < 0.7);
        assert_eq!(changes.capture.unwrap()[0].filter(), "tcp");
        assert!(nothing(&reloader.adopt(config(&all).unwrap())));
        assert_eq!(*logged.borrow(), [LogLevel::Info, LogLevel::Debug]);
        let waiting: Vec<_> = KEYS.iter().filter(|k| reloader.waits(k)).map(|k| k.path).collect();
        assert_eq!(waiting, ["tap.name"]);
        let mqtt = reloader.adopt(config(&[]).unwrap()).mqtt;
        assert_eq!(mqtt.map(|m| m.is_none()), Some(true), "MQTT is off again");
    }

    #[test]
    fn a_capture_that_stayed_is_tried_again() {
        let (_, mut reloader) = reloader(&[], false);
        let other = || config(&[("network.interface", "tap9")]).unwrap();
        assert!(reloader.adopt(other()).capture.is_some());
        assert!(reloader.adopt(other()).capture.is_none());
        reloader.capture_stays();
        assert!(!reloader.moves_capture(&other()), "that was asked for before");
        assert!(reloader.adopt(other()).capture.is_some());
    }

    #[test]
    fn a_judge_that_could_not_be_told_is_told_again() {
        let (_, mut reloader) = reloader(&[], false);
        let other = || config(&[("detection.alert_threshold", "0.6")]).unwrap();
        let tuning = reloader.adopt(other()).tuning;
        assert!(tuning.is_some() && reloader.adopt(other()).tuning.is_none());
        reloader.tuning_stays();
        assert_eq!(reloader.adopt(other()).tuning, tuning);
        assert!(reloader.adopt(other()).tuning.is_none());
    }

    #[test]
    fn the_generated_network_has_no_capture_and_learns_for_its_own_time() {
        let (_, mut reloader) = reloader(&[("mqtt.host", "b")], true);
        let all = [("mqtt.host", "b"), ("network.filter", "tcp"), ("detection.baseline_duration", "600")];
        let changes = reloader.adopt(config(&all).unwrap());
        assert!(nothing(&changes));
        let waiting: Vec<_> = KEYS.iter().filter(|k| reloader.waits(k)).map(|k| k.path).collect();
        assert_eq!(waiting, ["network.filter"]);
        let changes = reloader.adopt(config(&[("mqtt.host", "c")]).unwrap());
        let mqtt = changes.mqtt.unwrap().unwrap();
        assert_eq!((mqtt.tap.as_str(), mqtt.learning), ("tap-demo", Span::from_secs(7_200)));
    }

    #[test]
    fn a_bad_configuration_changes_nothing() {
        let (logged, reloader) = reloader(&[("mqtt.host", "b")], false);
        let bad = |settings: &[(&str, &str)]| {
            let overlay = settings.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
            reloader.check(&overlay).map(drop)
        };
        assert!(matches!(bad(&[("log.level", "debug"), ("mqtt.port", "0")]), Err(AppError::Config(_))));
        assert!(matches!(bad(&[("network.filter", "tcp and and")]), Err(AppError::Capture(_))));
        assert_eq!(*logged.borrow(), [LogLevel::Info]);
    }
}
