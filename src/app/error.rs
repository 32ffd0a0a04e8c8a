//! Why the program ends other than well, and with which exit code (sysexits.h).

use std::io;
use std::path::PathBuf;

use crate::capture::CaptureError;
use crate::config::ConfigError;
use crate::http::{HttpError, NoRandomness};
use crate::store::StoreError;

/// Why the program ends.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// The configuration is not used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// No frames.
    #[error(transparent)]
    Capture(#[from] CaptureError),
    /// No store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No page.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// No token.
    #[error(transparent)]
    Randomness(#[from] NoRandomness),
    /// Output that cannot be written.
    #[error("cannot write the output")]
    Output(#[source] io::Error),
    /// Evidence of a replay that cannot be written.
    #[error("cannot write evidence into `{path}`")]
    Evidence {
        /// The directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A thread or the runtime cannot be started.
    #[error("cannot start {what}")]
    Start {
        /// What.
        what: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A thread of the daemon ended by itself.
    #[error("{what} ended by itself: this is a fault in tapguard; the log before this line says where")]
    Died {
        /// What.
        what: &'static str,
    },
    /// The system gave no random numbers.
    #[error("the operating system has no random numbers for {0}")]
    NoChance(&'static str),
    /// A part did not stop in time.
    #[error("{0} did not stop in time; what was not yet in the store may be lost")]
    Late(String),
    /// A second interrupt.
    #[error("stopped at once, as asked; what was not yet in the store may be lost")]
    Hurried,
}

/// Exit codes after sysexits.h. Wrong arguments end with clap's 2.
mod exit {
    pub(super) const DATAERR: u8 = 65;
    pub(super) const NOINPUT: u8 = 66;
    pub(super) const UNAVAILABLE: u8 = 69;
    pub(super) const SOFTWARE: u8 = 70;
    pub(super) const OSERR: u8 = 71;
    pub(super) const CANTCREAT: u8 = 73;
    pub(super) const IOERR: u8 = 74;
    pub(super) const TEMPFAIL: u8 = 75;
    pub(super) const NOPERM: u8 = 77;
    pub(super) const CONFIG: u8 = 78;
}

impl AppError {
    /// The process's exit code.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Config(ConfigError::Unreadable { .. }) => exit::NOINPUT,
            Self::Config(_) => exit::CONFIG,
            Self::Capture(error) => capture_code(error),
            Self::Store(StoreError::InUse { .. }) => exit::TEMPFAIL,
            Self::Store(StoreError::Directory { .. }) => exit::CANTCREAT,
            Self::Store(_) | Self::Output(_) | Self::Evidence { .. } => exit::IOERR,
            Self::Http(_) => exit::UNAVAILABLE,
            Self::Randomness(_) | Self::NoChance(_) | Self::Start { .. } => exit::OSERR,
            Self::Died { .. } | Self::Late(_) | Self::Hurried => exit::SOFTWARE,
        }
    }
}

fn capture_code(error: &CaptureError) -> u8 {
    match error {
        error if error.is_permission() => exit::NOPERM,
        CaptureError::BadFilter { .. } => exit::CONFIG,
        CaptureError::OpenFile { .. } => exit::NOINPUT,
        CaptureError::NotACapture { .. } => exit::DATAERR,
        CaptureError::ReadFile { .. } => exit::IOERR,
        _ => exit::UNAVAILABLE,
    }
}
