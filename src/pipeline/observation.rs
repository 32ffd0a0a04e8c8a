//! What the meter tells the judge: small, owned and rare. This is where threads are cut.

use crate::behaviour::{Evidence, Party};
use crate::feature::DeviceWindow;
use crate::flow::DeviceKey;
use crate::time::Timestamp;

/// One thing that the meter saw.
#[derive(Clone, Debug, PartialEq)]
pub enum Observation {
    /// A device appeared, or what is known of it changed.
    Device(Sighting),
    /// A window of a device is over.
    Window(WindowSeen),
    /// A behaviour was found.
    Evidence(Evidence),
    /// The capture's clock went on to this time; about one each second.
    Time(Timestamp),
    /// Nothing was captured for a while up to this time: what began before it was not watched whole.
    Unwatched(Timestamp),
    /// The capture's clock jumped to this time: what was measured before and after it has no common scale.
    Step(Timestamp),
}

/// A device as it is known now.
#[derive(Clone, Debug, PartialEq)]
pub struct Sighting {
    /// Its identity across restarts.
    pub key: DeviceKey,
    /// Its addresses and names.
    pub party: Party,
    /// When.
    pub time: Timestamp,
    /// Packets that it has sent.
    pub packets: u64,
    /// Bytes that it has sent.
    pub bytes: u64,
}

/// A window with the identity of its device.
#[derive(Clone, Debug, PartialEq)]
pub struct WindowSeen {
    /// The device's identity across restarts.
    pub key: DeviceKey,
    /// Its addresses and names.
    pub party: Party,
    /// The measured window.
    pub window: DeviceWindow,
    /// How much of it was seen.
    pub coverage: Coverage,
}

/// How much of what was on the wire in a window was measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Coverage {
    /// All that the source gave.
    Whole,
    /// For a part of it nothing was captured.
    Broken,
}
