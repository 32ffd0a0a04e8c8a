//! MQTT 3.1.1: availability, state and alerts out of the outbox; commands in; and how Home Assistant finds it all.

mod backoff;
mod client;
mod command;
mod component;
mod discovery;
mod session;
mod state;
mod tls;
mod topic;

pub use client::{Parts, run};
pub use tls::TlsError;

use std::path::PathBuf;

use crate::time::Span;

/// Settings of the MQTT client. There is none where MQTT is not configured.
#[derive(Clone, PartialEq, Eq)]
pub struct Config {
    /// Broker's host name or address.
    pub host: String,
    /// Broker's port.
    pub port: u16,
    /// Credentials, where the broker wants them.
    pub login: Option<Login>,
    /// TLS, where it is wanted.
    pub tls: Option<Tls>,
    /// First levels of every topic, such as `tapguard`; without a leading or final slash.
    pub prefix: String,
    /// Name of this tap in topics and alerts: letters, digits, `_` and `-`.
    pub tap: String,
    /// Time between state messages when nothing changes.
    pub state_interval: Span,
    /// First levels of Home Assistant's discovery topics, such as `homeassistant`; none where the tap is not to be
    /// announced.
    pub discovery: Option<String>,
    /// Time to learn that a baseline started over MQTT takes until told otherwise.
    pub learning: Span,
}

/// User name and password.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    /// User name.
    pub username: String,
    /// Password.
    pub password: String,
}

/// TLS settings.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Tls {
    /// PEM file of the authorities to trust; the system's when none is given.
    pub ca_file: Option<PathBuf>,
    /// PEM files of our own certificate chain and its key, where the broker wants one.
    pub identity: Option<(PathBuf, PathBuf)>,
}
