//! What this network does: devices seen, robust statistics per device, and the life of a baseline.

mod lifecycle;
mod profile;
mod sample;
mod snapshot;
mod yardstick;

pub use lifecycle::{Baseline, BaselineId, Familiarity, LearningEnded, Phase, Standing};
pub use profile::{Profile, Profiles};
pub use snapshot::BadSnapshot;

pub(crate) use profile::ProfilesWire;
#[cfg(test)]
pub(crate) use snapshot::forge;
pub(crate) use snapshot::{Sealed, open, seal};
pub(crate) use yardstick::{count, narrow};

use crate::time::Span;

/// Settings of learning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Capture time to learn before judging.
    pub duration: Span,
    /// Device windows kept for training; beyond it a seeded reservoir sample of each device's windows is kept.
    pub window_capacity: usize,
    /// Devices remembered; see [`Baseline::handle_device`] for what happens at the limit.
    pub device_capacity: usize,
    /// Length of the windows, which must be that of the features: windows of another length are not comparable.
    pub window: Span,
}

impl Config {
    /// The shortest time to learn that may be asked for, in seconds.
    pub const LEAST: u32 = 60;
    /// The longest, in seconds: a year.
    pub const MOST: u32 = 31_536_000;

    /// A time to learn that somebody asks for, in seconds; none where it is out of the range.
    #[must_use]
    pub fn asked(seconds: u64) -> Option<Span> {
        (u64::from(Self::LEAST)..=u64::from(Self::MOST)).contains(&seconds).then(|| Span::from_secs(seconds))
    }
}

impl Default for Config {
    /// A day, 16,000 windows (4 MB), 4,096 devices.
    fn default() -> Self {
        Self {
            duration: Span::from_secs(86_400),
            window_capacity: 16_000,
            device_capacity: 4_096,
            window: Span::from_secs(60),
        }
    }
}
