//! A configuration that is read again while the daemon runs: checked as a whole first, then what can change changes,
//! and the rest is named. How a component takes its new settings is the daemon's business.

use super::AppError;
use crate::config::{Config, LogLevel};
use crate::mqtt;

/// How a running daemon reads its configuration again.
pub struct Reload {
    /// Reads all layers and checks them.
    pub read: Box<dyn Fn() -> Result<Config, AppError>>,
    /// Sets what is logged from now on.
    pub log: Box<dyn Fn(LogLevel)>,
}

/// The settings in force.
pub(super) struct Reloader {
    how: Reload,
    /// As the daemon was started.
    started: Config,
    /// Name of the tap in topics.
    tap: String,
    log: LogLevel,
    mqtt: Option<mqtt::Config>,
    allowed_hosts: Vec<String>,
}

/// What the daemon has to do after a reload.
pub(super) struct Changes {
    /// The MQTT client is to be stopped, and started with these settings where there are some.
    pub(super) mqtt: Option<Option<mqtt::Config>>,
    /// The host names that the page may be asked for under.
    pub(super) allowed_hosts: Option<Vec<String>>,
}

impl Reloader {
    /// `tap` is the name that the tap has in topics, whatever the configuration says.
    pub(super) fn new(how: Reload, started: Config, tap: String) -> Self {
        let mqtt = renamed(started.mqtt.clone(), &tap);
        let allowed_hosts = started.http.allowed_hosts.clone();
        Self { how, log: started.log, started, tap, mqtt, allowed_hosts }
    }

    /// Reads the configuration; the log level is set at once.
    pub(super) fn read(&mut self) -> Result<Changes, AppError> {
        let new = (self.how.read)()?;
        let mut changed = Vec::new();
        if new.log != self.log {
            self.log = new.log;
            (self.how.log)(new.log);
            changed.push("log.level");
        }
        let mqtt = renamed(new.mqtt.clone(), &self.tap);
        let mqtt = (mqtt != self.mqtt).then(|| {
            changed.push("mqtt");
            self.mqtt.clone_from(&mqtt);
            mqtt
        });
        let allowed_hosts = (new.http.allowed_hosts != self.allowed_hosts).then(|| {
            changed.push("http.allowed_hosts");
            self.allowed_hosts.clone_from(&new.http.allowed_hosts);
            new.http.allowed_hosts.clone()
        });
        let fixed: Vec<_> = self.started.changed(&new).into_iter().filter(|key| !is_live(key)).collect();
        if fixed.is_empty() {
            tracing::info!("configuration reloaded; changed: {}", list(&changed));
        } else {
            let (changed, fixed) = (list(&changed), list(&fixed));
            tracing::warn!("configuration reloaded; changed: {changed}; needs a restart: {fixed}");
        }
        Ok(Changes { mqtt, allowed_hosts })
    }
}

/// Whether a setting changes without a restart.
fn is_live(key: &str) -> bool {
    key.starts_with("mqtt.") || key == "log.level" || key == "http.allowed_hosts"
}

fn renamed(settings: Option<mqtt::Config>, tap: &str) -> Option<mqtt::Config> {
    settings.map(|settings| mqtt::Config { tap: tap.to_owned(), ..settings })
}

fn list(keys: &[&str]) -> String {
    if keys.is_empty() { "nothing".to_owned() } else { keys.join(", ") }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use super::*;
    use crate::config::Inputs;

    fn config(settings: &[(&str, &str)]) -> Result<Config, AppError> {
        let overrides = settings.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        Ok(Config::load(&Inputs { overrides, ..Inputs::default() })?)
    }

    type Next = Rc<RefCell<Vec<(&'static str, &'static str)>>>;

    fn reloader(started: &[(&str, &str)]) -> (Next, Rc<RefCell<Vec<LogLevel>>>, Reloader) {
        let next = Next::default();
        let logged = Rc::new(RefCell::new(Vec::new()));
        let how = Reload {
            read: Box::new({
                let next = Rc::clone(&next);
                move || config(&next.borrow())
            }),
            log: Box::new({
                let logged = Rc::clone(&logged);
                move |level| logged.borrow_mut().push(level)
            }),
        };
        (next, logged, Reloader::new(how, config(started).unwrap(), "hall".to_owned()))
    }

    #[test]
    fn only_what_differs_changes_and_only_once() {
        let (next, logged, mut reloader) = reloader(&[]);
        let nothing = reloader.read().unwrap();
        assert!(nothing.mqtt.is_none() && nothing.allowed_hosts.is_none() && logged.borrow().is_empty());
        *next.borrow_mut() =
            vec![("mqtt.host", "b"), ("log.level", "debug"), ("http.allowed_hosts", "tap.lan")];
        let all = reloader.read().unwrap();
        let mqtt = all.mqtt.unwrap().unwrap();
        assert_eq!((mqtt.host.as_str(), mqtt.tap.as_str()), ("b", "hall"));
        assert_eq!(all.allowed_hosts, Some(vec!["tap.lan".to_owned()]));
        let again = reloader.read().unwrap();
        assert!(again.mqtt.is_none() && again.allowed_hosts.is_none());
        assert_eq!(*logged.borrow(), [LogLevel::Debug]);
        next.borrow_mut().clear();
        assert_eq!(reloader.read().unwrap().mqtt.map(|m| m.is_none()), Some(true), "MQTT is off again");
    }

    #[test]
    fn a_bad_configuration_changes_nothing() {
        let (next, logged, mut reloader) = reloader(&[("mqtt.host", "b")]);
        *next.borrow_mut() = vec![("log.level", "debug"), ("mqtt.port", "0")];
        assert!(matches!(reloader.read(), Err(AppError::Config(_))));
        assert!(logged.borrow().is_empty());
        *next.borrow_mut() = vec![("mqtt.host", "b")];
        assert!(reloader.read().unwrap().mqtt.is_none(), "the old settings are in force");
    }
}
