//! Composes the data plane: [`Meter`] turns frames into observations, [`Judge`] turns observations into alerts.
//!
//! [`Confluence`] stands between them where there are several meters.
//!
//! The cut between the two is where the daemon cuts its threads: what crosses it is small, owned and rare. `replay`
//! runs both in one thread; the alerts are the same.

mod confluence;
mod counts;
mod judge;
mod meter;
pub mod mirror;
mod observation;
mod performance;

pub use confluence::{Confluence, SourceId};
pub use counts::{Counts, Extents, Rate, Rates};
pub use judge::{Judge, JudgeConfig, NoModel, Verdicts};
pub use meter::{Meter, MeterConfig};
pub use mirror::{Mirror, Sight};
pub use observation::{Coverage, Observation, Sighting, WindowSeen};
pub use performance::Performance;
