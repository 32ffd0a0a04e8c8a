//! [`StoreError`]: why the store cannot do what it was asked.

use std::error::Error;
use std::io;
use std::path::PathBuf;

use super::contain::Panicked;
use crate::time::Span;

/// Why the store cannot do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The directory cannot be made or used.
    #[error("cannot use {path} as the store's directory; give a directory that this user may write to")]
    Directory {
        /// The directory.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// Another process holds the lock.
    #[error("the store in {path} is in use by another process; stop it, or give this one another directory")]
    InUse {
        /// The directory.
        path: PathBuf,
    },
    /// The database is not broken, but the system does not let us open it (permission, full disk, ...).
    #[error("cannot open the database {path}; check free space and permissions")]
    Open {
        /// The database's directory.
        path: PathBuf,
        /// What failed.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// A database that does not open could not be moved aside.
    #[error("the database {path} is broken and cannot be moved aside; move or delete it by hand")]
    Aside {
        /// The database's directory.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// The writer thread could not be started.
    #[error("cannot start the store's writer thread")]
    Thread(#[source] io::Error),
    /// A read failed.
    #[error("cannot read {what} from the store")]
    Read {
        /// What was read.
        what: &'static str,
        /// What failed.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// A record cannot be kept as it is.
    #[error("cannot keep the {what}: {why}")]
    Record {
        /// What was to be kept.
        what: &'static str,
        /// Why not.
        why: &'static str,
    },
    /// Writes fail; they are tried again every half minute, and as much as the queue holds is kept until then.
    #[error("the store cannot write ({why}); it tries again by itself")]
    Failed {
        /// The failure.
        why: String,
    },
    /// Writes fail and the queue is full: what was to be kept is lost.
    #[error(
        "the store cannot write ({why}) and as many incidents as it queues wait already: this alert is lost"
    )]
    Full {
        /// The failure.
        why: String,
    },
    /// The store was closed before everything was on the medium.
    #[error("the store was closed before everything was stored ({why}); alerts lost: {alerts}")]
    Unsaved {
        /// Why not.
        why: String,
        /// Alerts that nobody has now. 0 when only devices or snapshots are missing.
        alerts: u64,
    },
    /// The writer did not get there in time.
    #[error("the store did not finish within {0}; the disk is slow or stuck")]
    Late(Span),
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
}

/// A failure of one operation on the database.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    #[error("{0}")]
    Sled(#[from] sled::Error),
    #[error("{0}")]
    System(#[from] io::Error),
    #[error(transparent)]
    Panicked(#[from] Panicked),
    #[error("the database opens, but what was in it is gone")]
    Emptied,
}

impl Fault {
    /// Whether the system refused rather than the file being damaged: then the database is left where it is.
    pub(super) fn is_refusal(&self) -> bool {
        let (Self::Sled(sled::Error::Io(error)) | Self::System(error)) = self else { return false };
        matches!(
            error.kind(),
            io::ErrorKind::PermissionDenied
                | io::ErrorKind::StorageFull
                | io::ErrorKind::QuotaExceeded
                | io::ErrorKind::ReadOnlyFilesystem
                | io::ErrorKind::FileTooLarge
                | io::ErrorKind::OutOfMemory
                | io::ErrorKind::ResourceBusy
        ) || self.is_locked()
    }

    /// Whether sled found its own lock taken. It has no kind for that, only a text.
    pub(super) fn is_locked(&self) -> bool {
        matches!(self, Self::Sled(sled::Error::Io(error)) if error.to_string().starts_with("could not acquire lock"))
    }
}
