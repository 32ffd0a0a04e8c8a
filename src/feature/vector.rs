//! A device window as numbers.

use super::{COUNT, Slot};
use crate::flow::DeviceId;
use crate::time::Timestamp;

/// The values of one window in the order of [`super::SCHEMA`], in the units given there, never NaN or infinite.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FeatureVector([f32; COUNT]);

impl FeatureVector {
    /// From values in the order of the schema. What is not finite becomes 0, so that no model ever meets it.
    #[must_use]
    pub fn new(mut values: [f32; COUNT]) -> Self {
        for value in &mut values {
            if !value.is_finite() {
                *value = 0.0;
            }
        }
        Self(values)
    }

    /// All values.
    #[must_use]
    pub const fn values(&self) -> &[f32; COUNT] {
        &self.0
    }

    /// One value.
    #[must_use]
    pub const fn get(&self, slot: Slot) -> f32 {
        self.0[slot as usize]
    }
}

/// One window of one device, in which it sent or received at least one packet.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DeviceWindow {
    /// The device.
    pub device: DeviceId,
    /// Start, a whole multiple of the window's length since the epoch.
    pub start: Timestamp,
    /// End (exclusive).
    pub end: Timestamp,
    /// What was measured.
    pub vector: FeatureVector,
    /// Packets sent and received.
    pub packets: u64,
    /// Bytes sent and received.
    pub bytes: u64,
}
