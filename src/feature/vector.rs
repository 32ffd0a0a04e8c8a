//! A device window as numbers.

use super::{COUNT, Slot};
use crate::flow::DeviceId;
use crate::time::Timestamp;

/// The values of one window in the order of [`super::SCHEMA`], in the units given there. Where nothing was measured (the
/// mean size of no packets, a share of nothing) there is none, which is not the same as 0.
#[derive(Clone, Copy, Debug)]
pub struct FeatureVector([f32; COUNT]);

impl FeatureVector {
    /// From values in the order of the schema. What is not finite was not measured.
    #[must_use]
    pub fn new(mut values: [f32; COUNT]) -> Self {
        for value in &mut values {
            if !value.is_finite() {
                *value = f32::NAN;
            }
        }
        Self(values)
    }

    /// All values; none where nothing was measured.
    #[must_use]
    pub fn values(&self) -> impl ExactSizeIterator<Item = Option<f32>> {
        self.0.iter().map(|&value| (!value.is_nan()).then_some(value))
    }

    /// One value by its index; none where nothing was measured, and for an index that the schema does not have.
    #[must_use]
    pub fn at(&self, slot: usize) -> Option<f32> {
        self.0.get(slot).copied().filter(|value| !value.is_nan())
    }

    /// One value; none where nothing was measured.
    #[must_use]
    pub fn get(&self, slot: Slot) -> Option<f32> {
        self.at(slot as usize)
    }

    /// As it is kept: NaN where nothing was measured. [`Self::new`] takes it back.
    #[must_use]
    pub const fn raw(&self) -> &[f32; COUNT] {
        &self.0
    }
}

/// What was not measured equals what was not measured.
impl PartialEq for FeatureVector {
    fn eq(&self, other: &Self) -> bool {
        self.values().eq(other.values())
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
