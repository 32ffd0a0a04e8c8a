//! Everything that survives a restart, in sled.

use std::path::PathBuf;

use crate::time::Span;

/// Settings of the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Directory of the database; made when it is missing.
    pub path: PathBuf,
    /// Bytes on disk that the store may use in all.
    pub quota: u64,
    /// Age at which an alert is deleted.
    pub alert_retention: Span,
    /// Alerts that may wait for the broker; beyond it the oldest is given up and counted.
    pub outbox_capacity: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            path: PathBuf::from("/var/lib/tapguard"),
            quota: 256 << 20,
            alert_retention: Span::from_secs(90 * 86_400),
            outbox_capacity: 10_000,
        }
    }
}
