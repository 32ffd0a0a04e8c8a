//! Everything that survives a restart, in sled: alerts and what the owner said of them, the outbox, devices, snapshots
//! of what was learned, what was set remotely, and the hash of the admin token. Only this module knows sled, and only
//! its writer thread writes.
//!
//! On disk, inside [`Config::path`] (mode 0700): `lock` (held while a process uses the store), `db-<n>/` (one
//! generation of the database; the highest with a `complete` mark counts, any other is left over from a rewrite and
//! is removed), `broken-<n>/` (generations that did not open; the newest two are kept), `evidence/` (a capture file for
//! each alert, see [`EvidenceFolder`]) and `captures/` (captures on demand, see [`CaptureFolder`]).
//!
//! Time: alerts carry the capture's clock, which may be years behind in a replay. Their age is therefore taken
//! against the newest alert kept, and never against a time later than the wall clock, so that neither an old
//! capture nor a clock that stepped ahead empties the archive.

mod captures;
mod contain;
mod database;
mod error;
mod evidence;
mod folder;
mod handle;
mod housekeeping;
mod inbox;
mod ledger;
mod mark;
mod place;
mod record;
mod rewrite;
mod settings;
mod writer;

#[cfg(test)]
mod tests;

pub use captures::{CaptureFolder, Part};
pub use error::StoreError;
pub use evidence::EvidenceFolder;
pub use handle::{Opened, Replaced, Store};
pub use record::SnapshotName;
pub use settings::{KeptSettings, KeptVersion};

use std::path::PathBuf;

use crate::time::Span;

/// Settings of the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Directory of the store; made when it is missing.
    pub path: PathBuf,
    /// Bytes on disk that the store may use, at least [`Config::MIN_QUOTA`] (less is taken as that). Half of it is
    /// for the database, half for the copy into which a rewrite puts the database; when the half is used up, the
    /// oldest alerts are deleted. Moved-aside databases (at most two) come on top.
    pub quota: u64,
    /// Age at which an alert is deleted; see the module's note on time.
    pub alert_retention: Span,
    /// Alerts that may wait for the broker; beyond it the oldest is given up and counted.
    pub outbox_capacity: u64,
    /// Whether alerts are put into the outbox at all: only where a broker is configured that empties it.
    pub deliver: bool,
    /// Bytes of pages that sled keeps in memory. Its page table and pages on their way out come on top: 10 to 20 MB
    /// with 80,000 alerts.
    pub cache: u64,
    /// Whether evidence of alerts is kept.
    pub evidence: bool,
    /// Bytes of the evidence folder, which come on top of [`Config::quota`].
    pub evidence_quota: u64,
    /// Bytes kept of each packet in evidence, as far as the ring has them.
    pub evidence_snapshot: u32,
    /// Bytes of all captures on demand, which come on top too.
    pub captures_quota: u64,
}

impl Config {
    /// The smallest quota: a full baseline (16,000 windows, 4.1 MB), a model and all devices fit in it, and some
    /// thousand alerts beside them. What is counted against it is on disk, copy included; content has a fifth.
    pub const MIN_QUOTA: u64 = 64 << 20;
}

impl Default for Config {
    /// 256 MiB, 90 days, 10,000 alerts waiting, no delivery, 4 MiB of cache; 64 MiB of evidence, and as much of captures.
    fn default() -> Self {
        Self {
            path: PathBuf::from("/var/lib/tapguard"),
            quota: 256 << 20,
            alert_retention: Span::from_secs(90 * 86_400),
            outbox_capacity: 10_000,
            deliver: false,
            cache: 4 << 20,
            evidence: true,
            evidence_quota: 64 << 20,
            evidence_snapshot: 512,
            captures_quota: 64 << 20,
        }
    }
}
