//! The port through which HTTP and MQTT read and change settings of the running daemon; `app` implements it.

use std::fmt;
use std::sync::Arc;

use super::CommandRefused;
use crate::time::Timestamp;

/// Settings as they are, and how to change them. Calls may take seconds. The daemon's main thread answers them, so they
/// come from any other: a task of its runtime asks through one that may block.
pub trait SettingsDesk: Send + Sync {
    /// All settings now.
    fn view(&self) -> Arc<SettingsView>;

    /// Changes settings, all or none: checked as a whole, then kept, then put in force.
    ///
    /// # Errors
    /// Why nothing was changed, or why what was changed has been taken back.
    fn change(&self, change: SettingsChange) -> Result<SettingsAnswer, SettingsRefused>;

    /// What was set remotely, newest first; values of secrets are left out.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn versions(&self) -> Result<Vec<SettingsVersion>, SettingsRefused>;
}

/// All settings at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SettingsView {
    /// Differs whenever anything else here differs, or a secret does; says nothing of their values.
    pub tag: String,
    /// Number of the version of what was set remotely; 0 where nothing ever was.
    pub version: u64,
    /// In the order of the documentation.
    pub settings: Vec<Setting>,
    /// What became of the latest change; none before the first.
    pub last_change: Option<LastChange>,
    /// Why the remote settings are not in force, where they are no longer good.
    pub left_out: Option<String>,
}

/// One setting.
#[derive(Clone, Debug, PartialEq)]
pub struct Setting {
    /// Path with dots.
    pub key: &'static str,
    /// What it does.
    pub meaning: &'static str,
    /// What it takes.
    pub kind: SettingKind,
    /// What holds, as text; none for a secret, and where neither anyone nor a default sets it.
    pub value: Option<String>,
    /// Whether there is a value.
    pub set: bool,
    /// The default as text, where there is one.
    pub default: Option<&'static str>,
    /// Where the value comes from.
    pub source: SettingSource,
    /// When a change takes effect.
    pub effect: Effect,
    /// Never told.
    pub secret: bool,
    /// Why it cannot be changed remotely, where that is so.
    pub fixed: Option<String>,
    /// Whether the value takes effect only after a restart that has not happened yet.
    pub pending_restart: bool,
}

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SettingSource {
    /// Nobody set it.
    Default,
    /// A file, as path:line.
    File(String),
    /// The remote settings.
    Remote,
    /// A variable of the environment.
    Environment(String),
    /// The command line.
    Flag,
}

/// When a change takes effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// At once.
    Now,
    /// At once; the source of frames is opened anew.
    Capture,
    /// When the next baseline is learned or the next model trained.
    Learning,
    /// After a restart of the daemon.
    Restart,
    /// Only set in the file, the environment or by a flag.
    File,
}

impl Effect {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Now, Self::Capture, Self::Learning, Self::Restart, Self::File];

    /// The word for programs.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Now => "now",
            Self::Capture => "capture",
            Self::Learning => "learning",
            Self::Restart => "restart",
            Self::File => "file",
        }
    }
}

/// What a setting takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum SettingKind {
    /// A whole number.
    Integer {
        /// The least.
        least: i64,
        /// The most; [`i64::MAX`] for no limit of its own.
        most: i64,
        /// Of what; empty for none.
        unit: &'static str,
    },
    /// A number.
    Number {
        /// The least.
        least: f64,
        /// The most.
        most: f64,
    },
    /// True or false.
    Boolean,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// Text.
    Text {
        /// In words.
        what: &'static str,
        /// A regular expression that fits all of it, as JavaScript reads it; none where that cannot say it.
        pattern: Option<&'static str>,
        /// Whether the empty text has a meaning.
        empty: bool,
    },
}

impl fmt::Display for SettingKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Integer { least, most: i64::MAX, unit: "" } => write!(f, "a whole number from {least}"),
            Self::Integer { least, most: i64::MAX, unit } => write!(f, "{least} {unit} or more"),
            Self::Integer { least, most, unit: "" } => write!(f, "{least} to {most}"),
            Self::Integer { least, most, unit } => write!(f, "{least} to {most} {unit}"),
            Self::Number { least, most } => write!(f, "{least} to {most}"),
            Self::Boolean => f.write_str("true or false"),
            Self::Choice([]) => f.write_str("nothing"),
            Self::Choice([only]) => f.write_str(only),
            Self::Choice([first @ .., last]) => write!(f, "{} or {last}", first.join(", ")),
            Self::Text { what, .. } => f.write_str(what),
        }
    }
}

impl SettingKind {
    /// Most bytes of a text that is set remotely.
    pub const MAX_TEXT: usize = 2_048;

    /// The text of a value that is set remotely; none where it is not taken. Patterns are not looked at.
    #[must_use]
    pub fn read(&self, value: &SettingValue) -> Option<String> {
        match (self, value) {
            (Self::Integer { least, most, .. }, SettingValue::Integer(n)) => {
                (least..=most).contains(&n).then(|| n.to_string())
            }
            (Self::Number { least, most }, SettingValue::Number(n)) => {
                (least..=most).contains(&n).then(|| n.to_string())
            }
            // Its digits are read as a number: every whole one within the limits of these is exact.
            (Self::Number { .. }, SettingValue::Integer(n)) => {
                let number = n.to_string().parse().ok()?;
                self.read(&SettingValue::Number(number))
            }
            (Self::Boolean, SettingValue::Boolean(on)) => Some(on.to_string()),
            (Self::Choice(words), SettingValue::Text(text)) => {
                words.contains(&text.as_str()).then(|| text.clone())
            }
            (Self::Text { empty, .. }, SettingValue::Text(text)) => {
                let plain = text.len() <= Self::MAX_TEXT && !text.contains(char::is_control);
                (plain && (*empty || !text.is_empty())).then(|| text.clone())
            }
            _ => None,
        }
    }
}

/// A value as a client gave it.
#[derive(Clone, Debug, PartialEq)]
pub enum SettingValue {
    /// A whole number.
    Integer(i64),
    /// Another number.
    Number(f64),
    /// True or false.
    Boolean(bool),
    /// Text.
    Text(String),
    /// An object without fields, which changes nothing of a section.
    Empty,
    /// Something that no setting takes, in words.
    Other(&'static str),
}

impl fmt::Display for SettingValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Integer(n) => write!(f, "{n}"),
            Self::Number(n) => write!(f, "{n}"),
            Self::Boolean(on) => write!(f, "{on}"),
            Self::Text(text) if text.chars().count() > 64 => write!(f, "that text"),
            Self::Text(text) => write!(f, "{text:?}"),
            Self::Empty => f.write_str("an empty object"),
            Self::Other(words) => f.write_str(words),
        }
    }
}

/// What is to be changed.
#[derive(Clone, Debug, PartialEq)]
pub struct SettingsChange {
    /// What is wanted.
    pub wanted: Wanted,
    /// Tags of views of which one must be that in force; none to change whatever holds.
    pub if_match: Option<Vec<String>>,
    /// Only say what would change.
    pub dry_run: bool,
    /// Who asks.
    pub author: Author,
}

/// The new remote settings.
#[derive(Clone, Debug, PartialEq)]
pub enum Wanted {
    /// Those in force with these keys set, or no longer set. None for a section takes all its keys away.
    Set(Vec<(String, Option<SettingValue>)>),
    /// Those of an earlier version; 0 for none.
    Version(u64),
}

/// Who changed settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Author {
    /// A client of the HTTP API.
    Http,
    /// A command over MQTT.
    Mqtt,
    /// The daemon, because the capture did not come back.
    Rollback,
}

impl Author {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Http, Self::Mqtt, Self::Rollback];

    /// The word for programs.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Mqtt => "mqtt",
            Self::Rollback => "rollback",
        }
    }
}

/// What became of a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastChange {
    /// Version that it made.
    pub version: u64,
    /// What became of it.
    pub outcome: Outcome,
    /// Why it was rolled back.
    pub reason: Option<String>,
}

/// What became of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It holds.
    Applied,
    /// It was taken back; the version is that of the settings put back.
    RolledBack,
    /// The capture is on trial with it.
    Pending,
}

impl Outcome {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Applied, Self::RolledBack, Self::Pending];

    /// The word for programs.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::RolledBack => "rolled_back",
            Self::Pending => "pending",
        }
    }
}

/// A change that was taken, or would be.
#[derive(Clone, Debug)]
pub struct SettingsAnswer {
    /// The settings after it; for a dry run, as they are.
    pub view: Arc<SettingsView>,
    /// What changes by it.
    pub changes: Vec<PlannedChange>,
    /// Whether the capture is on trial, or would be: the change is taken back when it does not come back.
    pub on_trial: bool,
}

/// A setting whose value changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedChange {
    /// The key.
    pub key: &'static str,
    /// Value before, as text; none for a secret.
    pub from: Option<String>,
    /// Value after; none for a secret.
    pub to: Option<String>,
    /// When it takes effect.
    pub effect: Effect,
}

/// What was set remotely at one time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingsVersion {
    /// From 1, rising.
    pub number: u64,
    /// On the wall clock.
    pub time: Timestamp,
    /// Who.
    pub author: Author,
    /// Why, for a rollback.
    pub reason: Option<String>,
    /// Everything that was set remotely then: key and text, none for a secret.
    pub settings: Vec<(String, Option<String>)>,
}

/// Why settings were not changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsRefused {
    /// They would not be good.
    #[error("{}", problems(.0))]
    Invalid(Vec<SettingProblem>),
    /// They changed since they were read.
    #[error("the settings have changed since they were read; read them again")]
    Stale,
    /// There is no such version.
    #[error("there is no version {0}; the newest 20 are kept")]
    NoVersion(u64),
    /// A change is on trial.
    #[error("an earlier change is on trial until the capture is back; try again in half a minute")]
    OnTrial,
    /// The capture did not open with them, and goes on as before.
    #[error("taken back: {0}")]
    TakenBack(String),
    /// They could not be kept.
    #[error("nothing is changed: {0}")]
    NotKept(String),
    /// The daemon cannot do it now.
    #[error(transparent)]
    NotNow(#[from] CommandRefused),
}

/// What is wrong with one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingProblem {
    /// The key, as it was given.
    pub key: String,
    /// What is wrong; begins with the key where it is one.
    pub detail: String,
}

fn problems(all: &[SettingProblem]) -> String {
    all.iter().map(|problem| problem.detail.as_str()).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_takes_values_of_its_type_within_its_bounds() {
        let integer = SettingKind::Integer { least: 1, most: 65_535, unit: "" };
        let number = SettingKind::Number { least: 0.2, most: 1.0 };
        let choice = SettingKind::Choice(&["on", "off", "auto"]);
        let text = |empty| SettingKind::Text { what: "text", pattern: None, empty };
        let word = |t: &str| SettingValue::Text(t.to_owned());
        for (kind, value, read) in [
            (integer, SettingValue::Integer(1), Some("1")),
            (integer, SettingValue::Integer(0), None),
            (integer, SettingValue::Integer(65_536), None),
            (integer, SettingValue::Number(1.5), None),
            (integer, word("1"), None),
            (number, SettingValue::Number(0.25), Some("0.25")),
            (number, SettingValue::Integer(1), Some("1")),
            (number, SettingValue::Number(0.1), None),
            (number, SettingValue::Number(f64::NAN), None),
            (SettingKind::Boolean, SettingValue::Boolean(true), Some("true")),
            (SettingKind::Boolean, SettingValue::Integer(1), None),
            (choice, word("off"), Some("off")),
            (choice, word("Off"), None),
            (text(true), word(""), Some("")),
            (text(false), word(""), None),
            (text(false), word("a\nb"), None),
            (text(false), word(&"a".repeat(2_048)), Some("a".repeat(2_048).as_str())),
            (text(false), word(&"a".repeat(2_049)), None),
            (text(false), SettingValue::Other("a list"), None),
        ] {
            assert_eq!(kind.read(&value).as_deref(), read, "{kind} {value}");
        }
        assert_eq!(choice.to_string(), "on, off or auto");
        let quota = SettingKind::Integer { least: 5, most: i64::MAX, unit: "bytes" };
        assert_eq!(quota.to_string(), "5 bytes or more");
    }
}
