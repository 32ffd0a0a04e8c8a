//! A bounded, per-device fair sample of device windows for training. Knows no phases and no statistics.
//!
//! Read first: Cohen and Kaplan, "Summarizing data using bottom-k sketches" (PODC 2007). Every window has a
//! pseudo-random rank that follows from its device and its start; each device keeps the windows of lowest rank.
//! However the shares shift while devices come, what a device keeps is a uniform sample of all it did.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BinaryHeap};
use std::net::IpAddr;

use rand_core::{Rng, SeedableRng};
use rand_pcg::Pcg32;

use crate::feature::FeatureVector;
use crate::flow::DeviceKey;
use crate::time::Timestamp;

/// At most `capacity` windows. At the limit the device that holds most gives one up: of its windows, the new one
/// included, that of the highest rank.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    capacity: usize,
    total: usize,
    strata: BTreeMap<DeviceKey, Stratum>,
}

/// The windows kept of one device.
#[derive(Clone, Debug, Default)]
struct Stratum {
    kept: BinaryHeap<Kept>,
    /// Lowest rank that was given up: from it on nothing is taken any more, or the sample would not be uniform.
    limit: Option<u64>,
}

#[derive(Clone, Debug)]
struct Kept {
    rank: u64,
    start: Timestamp,
    vector: FeatureVector,
}

impl Sample {
    pub(super) const fn new(capacity: usize) -> Self {
        Self { capacity, total: 0, strata: BTreeMap::new() }
    }

    /// Windows held.
    pub(super) const fn len(&self) -> usize {
        self.total
    }

    /// Offers a window; whether it or another is given up at the limit is as the type says.
    pub(super) fn push(&mut self, key: DeviceKey, start: Timestamp, vector: FeatureVector) {
        let rank = rank(key, start);
        let stratum = self.strata.entry(key).or_default();
        if stratum.limit.is_some_and(|limit| rank >= limit) {
            return;
        }
        stratum.kept.push(Kept { rank, start, vector });
        self.total += 1;
        if self.total > self.capacity {
            self.give_up_one();
        }
    }

    fn give_up_one(&mut self) {
        let Some(largest) = self.strata.values_mut().max_by_key(|stratum| stratum.kept.len()) else {
            return;
        };
        if let Some(gone) = largest.kept.pop() {
            largest.limit = Some(gone.rank);
            self.total -= 1;
        }
    }

    /// All windows in order of time, then of device.
    pub(super) fn in_time_order(&self) -> Vec<(DeviceKey, Timestamp, &FeatureVector)> {
        let all = self.strata.iter();
        let mut windows: Vec<_> =
            all.flat_map(|(key, s)| s.kept.iter().map(|k| (*key, k.start, &k.vector))).collect();
        windows.sort_by_key(|&(key, start, _)| (start, key));
        windows
    }

    /// Ranks from which devices take no more, for devices that have given up windows.
    pub(super) fn limits(&self) -> impl Iterator<Item = (DeviceKey, u64)> {
        self.strata.iter().filter_map(|(key, stratum)| Some((*key, stratum.limit?)))
    }

    /// Takes up the limit of a device from a snapshot, before any window of it.
    pub(super) fn set_limit(&mut self, key: DeviceKey, limit: u64) {
        self.strata.entry(key).or_default().limit = Some(limit);
    }
}

impl PartialEq for Kept {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Kept {}

impl PartialOrd for Kept {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Kept {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.rank, self.start).cmp(&(other.rank, other.start))
    }
}

/// The rank of a window: the same in every run, unrelated to anything the window holds.
fn rank(key: DeviceKey, start: Timestamp) -> u64 {
    let mut seed = [0; 16];
    let (device, time) = seed.split_at_mut(8);
    device.copy_from_slice(&number(key).to_le_bytes());
    time.copy_from_slice(&start.as_nanos().to_le_bytes());
    // Generators of neighbouring seeds begin alike, so a second one is seeded by the first.
    let first = Pcg32::from_seed(seed).next_u64();
    Pcg32::seed_from_u64(first ^ number(key)).next_u64()
}

fn number(key: DeviceKey) -> u64 {
    match key {
        DeviceKey::Mac(mac) => mac.0.iter().fold(0, |sum, &octet| sum << 8 | u64::from(octet)),
        DeviceKey::Ip(IpAddr::V4(ip)) => u64::from(u32::from(ip)) | 1 << 48,
        DeviceKey::Ip(IpAddr::V6(ip)) => {
            let bits = u128::from(ip).to_le_bytes();
            let (low, high) = bits.split_at(8);
            low.iter().zip(high).rev().fold(0, |sum, (a, b)| sum << 8 | u64::from(a ^ b))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::feature::COUNT;
    use crate::packet::Mac;
    use crate::time::Span;

    fn device(n: u8) -> DeviceKey {
        DeviceKey::Mac(Mac([2, 0, 0, 0, 0, n]))
    }

    fn fill(sample: &mut Sample, key: DeviceKey, minutes: std::ops::Range<u64>) {
        for minute in minutes {
            let start = Timestamp::EPOCH + Span::from_secs(60 * minute);
            sample.push(key, start, FeatureVector::new([0.0; COUNT]));
        }
    }

    fn held(sample: &Sample, key: DeviceKey) -> usize {
        sample.in_time_order().iter().filter(|(k, ..)| *k == key).count()
    }

    #[test]
    fn a_busy_device_makes_room_for_a_late_one() {
        let mut sample = Sample::new(100);
        fill(&mut sample, device(1), 0..1_000);
        assert_eq!(held(&sample, device(1)), 100);
        fill(&mut sample, device(2), 1_000..1_030);
        assert_eq!((held(&sample, device(1)), held(&sample, device(2))), (70, 30));
        fill(&mut sample, device(3), 0..500);
        assert_eq!(sample.len(), 100);
        // The short one keeps all it has, the long ones share the rest.
        assert_eq!(
            (held(&sample, device(1)), held(&sample, device(2)), held(&sample, device(3))),
            (35, 30, 35)
        );
    }

    #[test]
    fn what_is_kept_is_spread_evenly_over_time_and_in_order() {
        let mut sample = Sample::new(1_000);
        for minute in 0..10_000 {
            fill(&mut sample, device(1), minute..minute + 1);
            if minute >= 5_000 {
                fill(&mut sample, device(2), minute..minute + 1);
            }
        }
        let windows = sample.in_time_order();
        assert!(windows.is_sorted_by_key(|&(key, start, _)| (start, key)));
        let middle = Timestamp::EPOCH + Span::from_secs(60 * 5_000);
        let early = windows.iter().filter(|(key, start, _)| *key == device(1) && *start < middle).count();
        // 500 windows, half expected early: within four standard deviations (11).
        assert_eq!(held(&sample, device(1)), 500);
        assert!((206..=294).contains(&early), "{early}");
    }

    #[test]
    fn nothing_is_kept_without_room() {
        let mut sample = Sample::new(0);
        fill(&mut sample, device(1), 0..10);
        assert_eq!(sample.len(), 0);
    }
}
