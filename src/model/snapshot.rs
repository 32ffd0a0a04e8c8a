//! The wire form of a model. What does not hold together is refused; see `baseline::snapshot` for the envelope.

use serde::{Deserialize, Serialize};

use super::Config;
use super::extremes::ExtremesWire;
use super::forest::ForestWire;
use super::tail::CalibrationWire;
use super::trained::{Calibrated, Model, limits};
use crate::baseline::{BadSnapshot, ProfilesWire, Sealed, open, seal};
use crate::time::Timestamp;

const MODEL: Sealed = Sealed { magic: *b"tgIF", version: 1, kind: "model" };

#[derive(Serialize, Deserialize)]
struct ModelWire {
    version: u32,
    trained_at: i64,
    trained_on: u64,
    held_out: u64,
    profiles: ProfilesWire,
    forest: ForestWire,
    extremes: ExtremesWire,
    own: CalibratedWire,
    pooled: CalibratedWire,
}

#[derive(Serialize, Deserialize)]
struct CalibratedWire {
    forest: CalibrationWire,
    extremes: CalibrationWire,
}

impl Model {
    /// All that judging needs: some 70 kB with 100 trees, and 800 bytes a device.
    #[must_use]
    pub fn snapshot(&self) -> Vec<u8> {
        let calibrated = |c: &Calibrated| CalibratedWire {
            forest: CalibrationWire::from(&c.forest),
            extremes: CalibrationWire::from(&c.extremes),
        };
        let wire = ModelWire {
            version: self.version,
            trained_at: self.trained_at.as_nanos(),
            trained_on: self.trained_on,
            held_out: self.held_out,
            profiles: ProfilesWire::from(&self.profiles),
            forest: ForestWire::from(&self.forest),
            extremes: ExtremesWire::from(&self.extremes),
            own: calibrated(&self.own),
            pooled: calibrated(&self.pooled),
        };
        seal(MODEL, &wire)
    }

    /// Takes up a snapshot. Threshold and sensitivity are those of `config`, the rest as it was trained.
    ///
    /// # Errors
    /// When the bytes are no intact model of this version and schema.
    pub fn restore(config: &Config, bytes: &[u8]) -> Result<Self, BadSnapshot> {
        Self::read(config, open(MODEL, bytes)?).ok_or_else(|| MODEL.damaged())
    }

    fn read(config: &Config, wire: ModelWire) -> Option<Self> {
        let calibrated = |wire: CalibratedWire| {
            Some(Calibrated { forest: wire.forest.read()?, extremes: wire.extremes.read()? })
        };
        let (alert_threshold, stretch) = limits(config);
        Some(Self {
            version: wire.version,
            trained_at: Timestamp::from_nanos(wire.trained_at),
            trained_on: wire.trained_on,
            held_out: wire.held_out,
            profiles: wire.profiles.read()?,
            forest: wire.forest.read()?,
            extremes: wire.extremes.read()?,
            own: calibrated(wire.own)?,
            pooled: calibrated(wire.pooled)?,
            alert_threshold,
            stretch,
        })
    }
}
