//! Composes the data plane: [`Meter`] turns frames into observations, [`Judge`] turns observations into alerts.
//!
//! The cut between the two is where the daemon cuts its threads: what crosses it is small, owned and rare. `replay`
//! runs both in one thread; the alerts are the same.

mod counts;
mod judge;
mod meter;
pub mod mirror;
mod observation;
mod performance;

pub use counts::{Counts, Coverage, Rate, Rates};
pub use judge::{Judge, JudgeConfig, NoModel, Verdicts};
pub use meter::{Meter, MeterConfig};
pub use mirror::{Mirror, Sight};
pub use observation::{Observation, Sighting, WindowSeen};
pub use performance::Performance;
