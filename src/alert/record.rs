//! An incident as told to people. Its JSON form is `control::wire::AlertRecord`.

use std::fmt;

use super::Severity;
use crate::behaviour::{Kind, Party, Peer, Reason};
use crate::time::Timestamp;

/// One telling of an incident: that it began, grew or ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Alert {
    /// The incident; the same in all its events.
    pub id: AlertId,
    /// Which telling this is.
    pub event: Event,
    /// When this was told, on the capture's clock.
    pub timestamp: Timestamp,
    /// First observation that belongs to it.
    pub first_seen: Timestamp,
    /// Latest observation that belongs to it.
    pub last_seen: Timestamp,
    /// What it is.
    pub kind: Kind,
    /// One line, with the subject's name.
    pub title: String,
    /// One to three sentences that a layman can act on.
    pub description: String,
    /// How much it matters.
    pub severity: Severity,
    /// 0 to 1: see `Evidence::score`.
    pub score: f64,
    /// 0 to 1: how sure the detector is of its reading.
    pub confidence: f64,
    /// Who did it.
    pub subject: Party,
    /// To whom; at most [`Evidence::MAX_PEERS`](crate::behaviour::Evidence::MAX_PEERS).
    pub peers: Vec<Peer>,
    /// Why, most telling first; at most [`Evidence::MAX_REASONS`](crate::behaviour::Evidence::MAX_REASONS).
    pub reasons: Vec<Reason>,
    /// Packets that were counted as evidence.
    pub packets: u64,
    /// Bytes that were counted as evidence.
    pub bytes: u64,
    /// Findings that were joined in this incident.
    pub count: u64,
    /// Name of the tap.
    pub tap: String,
    /// The model that scored it, as name and version; none for a detector that needs no training.
    pub model: Option<String>,
    /// The baseline it was compared with; none for a detector that needs none.
    pub baseline: Option<String>,
}

/// Identity of an incident: 24 hexadecimal digits that sort by the time of its first observation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AlertId {
    millis: u64,
    tail: u64,
}

impl AlertId {
    /// An identity from the first observation and a hash of what the incident is about, of which 48 bits are kept.
    #[must_use]
    pub fn new(first_seen: Timestamp, hash: u64) -> Self {
        let millis = u64::try_from(first_seen.as_millis()).unwrap_or(0) & 0xffff_ffff_ffff;
        Self { millis, tail: hash & 0xffff_ffff_ffff }
    }
}

impl fmt::Display for AlertId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:012x}{:012x}", self.millis, self.tail)
    }
}

/// A text that is no alert id.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("not an alert id: 24 hexadecimal digits")]
pub struct BadAlertId;

impl std::str::FromStr for AlertId {
    type Err = BadAlertId;

    fn from_str(text: &str) -> Result<Self, BadAlertId> {
        if text.len() != 24 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(BadAlertId);
        }
        let (millis, tail) = text.split_at(12);
        let parse = |half| u64::from_str_radix(half, 16).map_err(|_| BadAlertId);
        Ok(Self { millis: parse(millis)?, tail: parse(tail)? })
    }
}

/// Which telling of an incident an alert is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// It began.
    Raised,
    /// It goes on, and there is news.
    Updated,
    /// It has been quiet long enough.
    Cleared,
}

impl Event {
    /// The word in JSON and MQTT.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Raised => "raised",
            Self::Updated => "updated",
            Self::Cleared => "cleared",
        }
    }
}
