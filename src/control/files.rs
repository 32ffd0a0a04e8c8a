//! Capture files that the daemon writes, as HTTP asks for them: evidence of alerts, and captures on demand. Who writes
//! them, and where, is behind the ports.

use std::fmt;
use std::io::Read;

use serde::{Deserialize, Serialize};

use super::CommandRefused;
use crate::alert::AlertId;
use crate::capture::CaptureError;

/// A file to be sent.
pub struct Download {
    /// Its bytes.
    pub length: u64,
    /// Where they come from.
    pub content: Box<dyn Read + Send>,
}

impl fmt::Debug for Download {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Download").field("length", &self.length).finish_non_exhaustive()
    }
}

/// Why there is no evidence of an alert.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoEvidence {
    /// It is still being gathered.
    #[error("waiting: what follows the alert is still being captured; try again in half a minute")]
    Waiting,
    /// It was not cut.
    #[error("skipped: {}", .0.meaning())]
    Skipped(Skipped),
    /// It was there.
    #[error("deleted: quota")]
    Deleted,
    /// It could not be written.
    #[error("failed: it could not be written; the log says why")]
    Failed,
    /// Nothing is known of this alert, or no longer.
    #[error(
        "none is kept: it was skipped or deleted before the daemon was started, or evidence was switched off"
    )]
    Unknown,
}

/// Why evidence was not cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Skipped {
    /// Evidence is switched off.
    Off,
    /// Too many alerts in a minute.
    Rate,
    /// Too many alerts at once.
    Busy,
    /// The alert names no address.
    NoDevice,
    /// Nothing of its devices was in memory.
    NoPackets,
}

impl Skipped {
    /// All reasons.
    pub const ALL: [Self; 5] = [Self::Off, Self::Rate, Self::Busy, Self::NoDevice, Self::NoPackets];

    /// The word in metrics.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Rate => "rate",
            Self::Busy => "busy",
            Self::NoDevice => "no_device",
            Self::NoPackets => "no_packets",
        }
    }

    const fn meaning(self) -> &'static str {
        match self {
            Self::Off => "evidence is switched off (evidence.enabled)",
            Self::Rate => "too many alerts in that minute",
            Self::Busy => "too many alerts at once",
            Self::NoDevice => "the alert is about no device's packets",
            Self::NoPackets => "no packet of its devices was still in memory",
        }
    }
}

/// Reading of evidence.
pub trait EvidenceArchive: Send + Sync {
    /// The capture file of an alert.
    ///
    /// # Errors
    /// Why there is none.
    fn evidence(&self, id: AlertId) -> Result<Download, NoEvidence>;
}

/// How the evidence folder does. Counters are since start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EvidenceStatus {
    /// Whether evidence is cut.
    pub on: bool,
    /// Files held.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Bytes that they may have.
    pub quota: u64,
    /// Files written, those written anew for what got worse included.
    pub written: u64,
    /// Alerts whose moments were not cut, by reason, zero ones included.
    pub skipped: Vec<(&'static str, u64)>,
    /// Files deleted for room.
    pub deleted: u64,
    /// Files that could not be written.
    pub write_errors: u64,
    /// Why the last one could not be written, as one line; none once one was written.
    pub failing: Option<String>,
}

/// How captures on demand do. Counters are since start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CapturesStatus {
    /// Under way.
    pub running: u64,
    /// Held, those under way included.
    pub captures: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Bytes that they may have.
    pub quota: u64,
    /// Packets that matched and could not be written in time.
    pub lost: u64,
    /// Captures deleted for room.
    pub deleted: u64,
    /// Captures that ended because they could not be written.
    pub write_errors: u64,
    /// Why the last one could not be written, as one line; none once one was begun again.
    pub failing: Option<String>,
}

/// Both.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FilesStatus {
    /// Evidence.
    pub evidence: EvidenceStatus,
    /// Captures on demand.
    pub captures: CapturesStatus,
}

/// What is to be captured on demand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaptureWish {
    /// What its owner calls it.
    pub name: String,
    /// A pcap-filter(7) expression; empty for everything.
    pub filter: String,
    /// Limits.
    pub limits: CaptureLimits,
}

/// When a capture ends, and how much it takes; whichever is reached first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaptureLimits {
    /// Seconds of real time.
    pub seconds: u64,
    /// Bytes of its files.
    pub bytes: u64,
    /// Packets.
    pub packets: u64,
    /// Bytes kept of each packet.
    pub snaplen: u32,
    /// Seconds of the past, as far as it is still in memory.
    pub before_seconds: u64,
}

impl CaptureLimits {
    /// The most of each.
    pub const MOST: Self = Self {
        seconds: 86_400,
        bytes: 1 << 40,
        packets: 1_000_000_000,
        snaplen: 262_144,
        before_seconds: 60,
    };
}

impl Default for CaptureLimits {
    /// A minute, 16 MiB, a million packets, whole ones, nothing of the past.
    fn default() -> Self {
        Self { seconds: 60, bytes: 16 << 20, packets: 1_000_000, snaplen: 262_144, before_seconds: 0 }
    }
}

/// A capture on demand, as it is told and kept. Fields are only ever added.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaptureRecord {
    /// Its number; later ones have higher numbers.
    pub id: u64,
    /// What its owner calls it; may be empty.
    pub name: String,
    /// A pcap-filter(7) expression; empty for everything.
    pub filter: String,
    /// Limits.
    #[serde(flatten)]
    pub limits: CaptureLimits,
    /// `running` or `ended`.
    pub state: CaptureRecordState,
    /// Why it ended; null while it runs.
    pub ended_because: Option<CaptureEnd>,
    /// When it was begun, RFC 3339, on the wall clock.
    pub started: String,
    /// When it ended, likewise, or null.
    pub ended: Option<String>,
    /// Packets written.
    pub written_packets: u64,
    /// Bytes of its files.
    pub written_bytes: u64,
    /// Packets that matched and could not be written in time.
    pub lost_packets: u64,
}

/// Whether a capture goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CaptureRecordState {
    /// It does.
    Running,
    /// It does not.
    Ended,
}

/// Why a capture ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CaptureEnd {
    /// Its time was over.
    Seconds,
    /// It had its bytes.
    Bytes,
    /// It had its packets.
    Packets,
    /// Somebody stopped it.
    Stopped,
    /// There was no room left, with all older captures deleted.
    Quota,
    /// It could not be written.
    WriteFailed,
    /// The daemon stopped, or the source of packets ended.
    DaemonStopped,
    /// The daemon was killed.
    Interrupted,
}

/// Why something was not done with a capture.
#[derive(Debug, thiserror::Error)]
pub enum CaptureRefused {
    /// The filter is none.
    #[error(transparent)]
    Filter(#[from] CaptureError),
    /// Two run already.
    #[error("two captures are running already; stop one, or wait")]
    Busy,
    /// There is none of this number.
    #[error("there is no capture of this number")]
    Unknown,
    /// It goes on, and has no complete part yet.
    #[error("the capture is running and has no complete part yet; stop it, or wait")]
    Running,
    /// It goes on.
    #[error("the capture is running; stop it first")]
    InUse,
    /// The capture threads did not take it.
    #[error(transparent)]
    NotNow(#[from] CommandRefused),
    /// Its files cannot be written or read.
    #[error("the files of the capture cannot be written or read")]
    Files(#[from] std::io::Error),
}

/// Captures on demand.
pub trait CaptureDesk: Send + Sync {
    /// Begins one.
    ///
    /// # Errors
    /// When the filter is none, two run already, or it cannot be begun.
    fn start(&self, wish: CaptureWish) -> Result<CaptureRecord, CaptureRefused>;

    /// All, newest first.
    fn list(&self) -> Vec<CaptureRecord>;

    /// One.
    fn find(&self, id: u64) -> Option<CaptureRecord>;

    /// Ends one, and gives it as it is then. One that has ended stays as it is.
    ///
    /// # Errors
    /// When there is none, or it does not end in time.
    fn stop(&self, id: u64) -> Result<CaptureRecord, CaptureRefused>;

    /// Deletes one that has ended.
    ///
    /// # Errors
    /// When there is none, it runs, or its files cannot be deleted.
    fn delete(&self, id: u64) -> Result<(), CaptureRefused>;

    /// Its packets: of one that runs, the complete parts.
    ///
    /// # Errors
    /// When there is none, or no complete part yet, or it cannot be read.
    fn file(&self, id: u64) -> Result<Download, CaptureRefused>;
}
