//! What a device does in a window of time, as numbers with names and units.

mod accumulator;
mod damped;
mod hash;
mod schema;
mod statistic;
mod vector;
mod window;

pub use damped::Rate;
pub use hash::{address_hash, name_hash, port_hash, station_hash};
pub use schema::{COUNT, Feature, SCHEMA, SCHEMA_VERSION, Scale, Slot};
pub use vector::{DeviceWindow, FeatureVector};
pub use window::{External, Windows};

use crate::time::Span;

/// Settings of the windows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Length of a window: 10 seconds to an hour.
    pub window: Span,
}

impl Default for Config {
    /// One minute: long enough for statistics of a quiet device, short enough to tell of an attack while it lasts.
    fn default() -> Self {
        Self { window: Span::from_secs(60) }
    }
}
