//! The ports that the store implements, and HTTP and MQTT use.

use std::collections::BTreeMap;

use super::FeedbackCount;
use crate::alert::{AlertId, Severity};
use crate::behaviour::Kind;
use crate::control::wire::AlertRecord;
use crate::time::Timestamp;

/// Reading of kept alerts.
pub trait AlertArchive: Send + Sync {
    /// Latest record of each incident that matches, newest first. The search may end early, see
    /// [`AlertPage::unsearched`].
    ///
    /// # Errors
    /// When the store cannot be read.
    fn list(&self, query: &AlertQuery) -> Result<AlertPage, ArchiveError>;

    /// Latest record of one incident.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn get(&self, id: AlertId) -> Result<Option<AlertRecord>, ArchiveError>;

    /// What the owner said of the kept alerts of each model, of the newest ones where there are very many.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn feedback(&self) -> Result<BTreeMap<String, FeedbackCount>, ArchiveError>;
}

/// What a search found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AlertPage {
    /// Newest first.
    pub alerts: Vec<AlertRecord>,
    /// Set where the search had looked at as many records as one question may, before it had enough: incidents older
    /// than this one were not looked at.
    pub unsearched: Option<AlertId>,
}

/// Which alerts to list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlertQuery {
    /// At most this many, 1 to [`AlertQuery::MAX_LIMIT`].
    pub limit: usize,
    /// Only incidents older than this one (for the next page).
    pub before: Option<AlertId>,
    /// Only incidents last seen at or after this time.
    pub since: Option<Timestamp>,
    /// Only of this kind.
    pub kind: Option<Kind>,
    /// Only at least this severe.
    pub severity: Option<Severity>,
    /// Only those that are open (true) or cleared (false).
    pub open: Option<bool>,
    /// Only those that the owner acknowledged or judged (true), or did neither (false).
    pub acknowledged: Option<bool>,
}

impl AlertQuery {
    /// The most that one answer carries.
    pub const MAX_LIMIT: usize = 500;
}

impl Default for AlertQuery {
    /// The newest 100 of everything.
    fn default() -> Self {
        Self {
            limit: 100,
            before: None,
            since: None,
            kind: None,
            severity: None,
            open: None,
            acknowledged: None,
        }
    }
}

/// The archive could not be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read the alert archive")]
pub struct ArchiveError(#[from] pub Box<dyn std::error::Error + Send + Sync>);

/// Alerts on their way to a broker: kept until it acknowledged them.
pub trait DeliveryQueue: Send + Sync {
    /// The oldest entries after a key, in order.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn pending(&self, after: Option<OutboxKey>, limit: usize) -> Result<Vec<OutboxItem>, ArchiveError>;

    /// Forgets an entry, because the broker has it.
    ///
    /// # Errors
    /// When the writer has stopped: the entry stays and is delivered again after a restart.
    fn acknowledge(&self, key: OutboxKey) -> Result<(), ArchiveError>;
}

/// Position in the outbox; rises with each alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OutboxKey(pub u64);

/// An alert that waits for its acknowledgement.
#[derive(Clone, Debug)]
pub struct OutboxItem {
    /// Its position.
    pub key: OutboxKey,
    /// What is to be delivered.
    pub record: AlertRecord,
}
