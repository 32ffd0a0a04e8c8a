//! What can be wrong with a configuration, each told in one line that names place, key and remedy.

use std::fmt;
use std::path::PathBuf;

use super::key;
use crate::control::SettingKind;

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A file, with the line that sets it.
    File {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
    },
    /// An environment variable.
    Environment(String),
    /// What was set remotely.
    Remote,
    /// The command line.
    CommandLine,
    /// Nobody set it.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Environment(name) => write!(f, "environment variable {name}"),
            Self::Remote => f.write_str("remote settings"),
            Self::CommandLine => f.write_str("command line"),
            Self::Default => f.write_str("default"),
        }
    }
}

/// Why a configuration is not used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file that cannot be read.
    #[error("cannot read configuration file {path}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Not TOML.
    #[error("{path}:{line}: not TOML: {problem}")]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What the parser says.
        problem: String,
    },
    /// A key that is none of ours.
    #[error("{origin}: unknown key {key}{}", hint(.key))]
    Unknown {
        /// Where it stands.
        origin: Origin,
        /// The key.
        key: String,
    },
    /// A variable that is none of ours.
    #[error("unknown environment variable {name}{}", hint_variable(.name))]
    UnknownVariable {
        /// Its name.
        name: String,
    },
    /// A value that the key does not take.
    #[error("{origin}: {key} takes {takes}, not {value}")]
    Value {
        /// Where it stands.
        origin: Origin,
        /// The key.
        key: &'static str,
        /// What it takes.
        takes: SettingKind,
        /// What it was given.
        value: String,
    },
    /// Keys that need each other.
    #[error("{origin}: {key} needs {needs}")]
    Needs {
        /// Where it stands.
        origin: Origin,
        /// The key.
        key: &'static str,
        /// What is missing.
        needs: &'static str,
    },
    /// A secret's file that cannot be read.
    #[error("{origin}: cannot read the file that {key} names")]
    Secret {
        /// Where it stands.
        origin: Origin,
        /// The key.
        key: &'static str,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A credential that is there and cannot be read.
    #[error("cannot read the credential {path}")]
    Credential {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Anything else that the layers say.
    #[error("the configuration cannot be put together")]
    Layers(#[source] config::ConfigError),
}

impl ConfigError {
    /// The key that is wrong and what is wrong with it, without its place; none where it is not one key's fault.
    #[must_use]
    pub fn problem(&self) -> Option<(&str, String)> {
        match self {
            Self::Unknown { key, .. } => Some((key, format!("unknown key {key}{}", hint(key)))),
            Self::Value { key, takes, value, .. } => Some((key, format!("{key} takes {takes}, not {value}"))),
            Self::Needs { key, needs, .. } => Some((key, format!("{key} needs {needs}"))),
            Self::Secret { key, .. } => Some((key, format!("cannot read the file that {key} names"))),
            _ => None,
        }
    }
}

/// What to do about an unknown key.
pub(super) fn hint(key: &str) -> String {
    key::nearest(key).map_or_else(
        || "; `tapguard check-config --keys` lists the known ones".to_owned(),
        |near| format!("; did you mean {near}?"),
    )
}

fn hint_variable(name: &str) -> String {
    let path = name.trim_start_matches(key::PREFIX).to_lowercase();
    let path = if path.contains("__") { path.replace("__", ".") } else { path.replacen('_', ".", 1) };
    key::nearest(&path).map_or_else(String::new, |near| format!("; did you mean {}?", key::variable(near)))
}
