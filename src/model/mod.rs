//! Learned detectors: vectors in, calibrated scores and contributions out.
//!
//! A window is standardised by the profile of its device (`baseline::Profiles`), so that detectors see how unusual it
//! is for that device. Two of them look at it: an isolation forest, which sees unusual combinations, and the surprise
//! of the most surprising feature, which sees any distance. Each is calibrated on windows that neither was built
//! from; the rarer of the two findings counts, corrected for having looked twice.

mod extremes;
mod forest;
mod snapshot;
mod tail;
mod trained;

pub use crate::baseline::BadSnapshot;
pub use forest::IsolationForest;
pub use trained::{Contribution, Model, NotTrained, Verdict};

/// Settings of the models.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Trees of the isolation forest.
    pub trees: usize,
    /// Windows that each tree is built from (Liu et al. 2008, section 4: 256).
    pub subsample: usize,
    /// Seed of all chance.
    pub seed: u64,
    /// Calibrated score from which a window is unusual, 0 to 1: 0.2 for each power of ten of rarity.
    pub alert_threshold: f64,
    /// 0 to 1: how readily the tail of the held-out windows is taken for normal; 0.5 takes it as measured, 0 for
    /// twice as long, 1 for half as long (its scale is multiplied by 2^(1 - 2 sensitivity)).
    pub sensitivity: f64,
}

impl Config {
    /// The least threshold: one window in ten is as unusual, which is no alert for anyone.
    pub const LEAST_THRESHOLD: f64 = 0.2;
    /// The highest score there is.
    pub const MOST_THRESHOLD: f64 = 1.0;
}

impl Default for Config {
    fn default() -> Self {
        Self { trees: 100, subsample: 256, seed: 42, alert_threshold: 0.8, sensitivity: 0.5 }
    }
}
