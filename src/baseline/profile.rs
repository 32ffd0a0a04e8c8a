//! What is normal for a device: location and spread of every feature, and its standard score of a window. Knows no
//! phases and no models.
//!
//! Statistics are order statistics of transformed values, so that a few odd windows in the baseline move them little.
//! A device with few windows borrows from the pool (empirical Bayes; Efron and Morris 1973): its location by how
//! little devices differ from each other, its spread with the weight of ten windows.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::snapshot::KeyWire;
use super::yardstick::{Yardstick, count, narrow};
use crate::feature::{COUNT, FeatureVector};
use crate::flow::DeviceKey;

/// Profiles of all devices of a baseline, and one of the pool for any other device. Not more than the devices given.
#[derive(Clone, Debug, PartialEq)]
pub struct Profiles {
    yardsticks: [Yardstick; COUNT],
    pool: Profile,
    devices: BTreeMap<DeviceKey, Profile>,
}

/// What is normal for one device, or for the pool.
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    windows: u32,
    median: [f32; COUNT],
    p99: [f32; COUNT],
    /// Median in transformed units.
    location: [f32; COUNT],
    /// Spread above and below the location in transformed units, like a standard deviation; above zero.
    spread: [Sides; COUNT],
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Sides {
    up: f32,
    down: f32,
}

/// The weight, in windows, of what other devices say about the spread of a device.
const PRIOR_WINDOWS: f64 = 10.0;
/// Largest standard score that is told apart: 10,000 spreads.
const LARGEST: f64 = 1e4;

impl Profiles {
    /// Devices that have a profile of their own.
    #[must_use]
    pub fn devices(&self) -> usize {
        self.devices.len()
    }

    /// Learns from windows. Devices that are only in `late` get a profile of their own as well, but the pool is that
    /// of `windows` alone. Without windows every location is zero and every spread the floor.
    #[must_use]
    pub fn learn(windows: &[(DeviceKey, &FeatureVector)], late: &[(DeviceKey, &FeatureVector)]) -> Self {
        let yardsticks = Yardstick::of_schema();
        let by_device = group(windows);
        let all: Vec<&FeatureVector> = windows.iter().map(|&(_, vector)| vector).collect();
        let pool = Measured::of(&yardsticks, &all);
        let measured: BTreeMap<DeviceKey, Measured> =
            by_device.iter().map(|(key, own)| (*key, Measured::of(&yardsticks, own))).collect();
        let prior = Prior::of(&yardsticks, &pool, &measured);
        let shrink = |(key, own): (DeviceKey, &Measured)| (key, prior.shrink(&yardsticks, own));
        let mut devices: BTreeMap<_, _> = measured.iter().map(|(key, own)| shrink((*key, own))).collect();
        for (key, own) in group(late) {
            devices.entry(key).or_insert_with(|| shrink((key, &Measured::of(&yardsticks, &own))).1);
        }
        let pool = pool.profile(&yardsticks);
        Self { yardsticks, pool, devices }
    }

    /// The profile of a device; none for one without windows.
    #[must_use]
    pub fn device(&self, key: DeviceKey) -> Option<&Profile> {
        self.devices.get(&key)
    }

    /// The profile that windows of a device are compared with, and whether it is its own: a device without one has
    /// that of the pool.
    #[must_use]
    pub fn of(&self, key: DeviceKey) -> (&Profile, bool) {
        self.device(key).map_or((&self.pool, false), |profile| (profile, true))
    }

    /// The profile of all windows of all devices taken together, for a device without one.
    #[must_use]
    pub const fn pool(&self) -> &Profile {
        &self.pool
    }

    /// Distances from normal in spreads, positive above, between -10,000 and 10,000; 0 is the median, which what was
    /// not measured is taken for.
    #[must_use]
    pub fn standardise(&self, profile: &Profile, vector: &FeatureVector) -> [f32; COUNT] {
        let mut row = [0.0; COUNT];
        let normal = profile.location.iter().zip(&profile.spread).zip(&self.yardsticks);
        for ((score, value), ((&location, sides), yardstick)) in
            row.iter_mut().zip(vector.values()).zip(normal)
        {
            let Some(value) = value else { continue };
            let off = yardstick.transform(f64::from(value)) - f64::from(location);
            let spread = if off > 0.0 { sides.up } else { sides.down };
            *score = narrow((off / f64::from(spread)).clamp(-LARGEST, LARGEST));
        }
        row
    }
}

impl Profile {
    /// Windows that it rests on; those borrowed from the pool are not counted.
    #[must_use]
    pub const fn windows(&self) -> u32 {
        self.windows
    }

    /// Median of a feature in its unit, by its index; 0 for one that the schema does not have.
    #[must_use]
    pub fn median(&self, slot: usize) -> f32 {
        self.median.get(slot).copied().unwrap_or_default()
    }

    /// 99th percentile of a feature in its unit, by its index; 0 for one that the schema does not have.
    #[must_use]
    pub fn p99(&self, slot: usize) -> f32 {
        self.p99.get(slot).copied().unwrap_or_default()
    }
}

fn group<'a>(windows: &[(DeviceKey, &'a FeatureVector)]) -> BTreeMap<DeviceKey, Vec<&'a FeatureVector>> {
    let mut groups: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for &(key, vector) in windows {
        groups.entry(key).or_default().push(vector);
    }
    groups
}

/// Order statistics of some windows, in transformed units.
struct Measured {
    windows: usize,
    features: [Spread; COUNT],
}

#[derive(Clone, Copy, Default)]
struct Spread {
    /// Windows in which it was measured.
    windows: usize,
    median: f64,
    up: f64,
    down: f64,
    p99: f64,
}

impl Measured {
    fn of(yardsticks: &[Yardstick; COUNT], vectors: &[&FeatureVector]) -> Self {
        let mut column = Vec::with_capacity(vectors.len());
        let mut features = [Spread::default(); COUNT];
        for (slot, (feature, yardstick)) in features.iter_mut().zip(yardsticks).enumerate() {
            column.clear();
            let values = vectors.iter().filter_map(|vector| vector.at(slot));
            column.extend(values.map(|value| yardstick.transform(f64::from(value))));
            column.sort_unstable_by(f64::total_cmp);
            *feature = Spread::of(&column, yardstick.floor);
        }
        Self { windows: vectors.len(), features }
    }

    fn profile(&self, yardsticks: &[Yardstick; COUNT]) -> Profile {
        let mut profile = Profile {
            windows: u32::try_from(self.windows).unwrap_or(u32::MAX),
            median: [0.0; COUNT],
            p99: [0.0; COUNT],
            location: [0.0; COUNT],
            spread: [Sides::default(); COUNT],
        };
        let features = self.features.iter().zip(yardsticks);
        let natural = profile.median.iter_mut().zip(&mut profile.p99);
        let transformed = profile.location.iter_mut().zip(&mut profile.spread);
        for (((median, p99), (location, sides)), (spread, yardstick)) in
            natural.zip(transformed).zip(features)
        {
            *median = narrow(yardstick.restore(spread.median));
            *p99 = narrow(yardstick.restore(spread.p99));
            *location = narrow(spread.median);
            *sides = Sides { up: narrow(spread.up), down: narrow(spread.down) };
        }
        profile
    }
}

impl Spread {
    /// Of sorted values. Each side is the larger of what its quartile and its 95 % point would make the standard
    /// deviation of a normal distribution: the first is the one-sided MAD, the second sees what happens now and then.
    fn of(sorted: &[f64], floor: f64) -> Self {
        let median = quantile(sorted, 500);
        let side = |quartile: u16, outer: u16| {
            let quartile = (quantile(sorted, quartile) - median).abs() / 0.674_49;
            let outer = (quantile(sorted, outer) - median).abs() / 1.644_85;
            quartile.max(outer).max(floor)
        };
        Self {
            windows: sorted.len(),
            median,
            up: side(750, 950),
            down: side(250, 50),
            p99: quantile(sorted, 990),
        }
    }
}

/// Quantile of sorted values in thousandths, interpolated; 0 of nothing.
fn quantile(sorted: &[f64], thousandths: u16) -> f64 {
    let position = sorted.len().saturating_sub(1).saturating_mul(usize::from(thousandths));
    let (below, rest) = (position / 1_000, position % 1_000);
    let low = sorted.get(below).copied().unwrap_or_default();
    let high = sorted.get(below + 1).copied().unwrap_or(low);
    low + (high - low) * count(rest) / 1_000.0
}

/// What the pool says about a device of which little is known.
struct Prior {
    pool: [f64; COUNT],
    /// Weight of the pool's location, in windows: the ratio of variance within devices to that between them.
    weight: [f64; COUNT],
    /// Spread within devices.
    up: [f64; COUNT],
    down: [f64; COUNT],
}

impl Prior {
    fn of(yardsticks: &[Yardstick; COUNT], pool: &Measured, devices: &BTreeMap<DeviceKey, Measured>) -> Self {
        let mut prior = Self {
            pool: pool.features.map(|feature| feature.median),
            weight: [PRIOR_WINDOWS; COUNT],
            up: yardsticks.map(|yardstick| yardstick.floor),
            down: yardsticks.map(|yardstick| yardstick.floor),
        };
        let slots = prior.up.iter_mut().zip(&mut prior.down).zip(&mut prior.weight).enumerate();
        for (slot, ((up, down), weight)) in slots {
            let own = |device: &Measured| device.features.get(slot).copied().unwrap_or_default();
            let whole = own(pool);
            // A single window has no spread, so a device counts with its windows less one.
            let (mut sum_up, mut sum_down, mut sum, mut between, mut measured) = (0.0, 0.0, 0.0, 0.0, 0.0);
            for device in devices.values() {
                let spread = own(device);
                if spread.windows == 0 {
                    continue;
                }
                measured += 1.0;
                let freedom = count(spread.windows.saturating_sub(1));
                sum_up += freedom * spread.up * spread.up;
                sum_down += freedom * spread.down * spread.down;
                sum += freedom;
                between += (spread.median - whole.median).powi(2);
            }
            let between = if measured > 0.0 { between / measured } else { 0.0 };
            (*up, *down) = if sum > 0.0 {
                ((sum_up / sum).sqrt().max(*up), (sum_down / sum).sqrt().max(*down))
            } else {
                (whole.up, whole.down)
            };
            let within = f64::midpoint(*up * *up, *down * *down);
            *weight = if between > 0.0 { (within / between).min(PRIOR_WINDOWS) } else { PRIOR_WINDOWS };
        }
        prior
    }

    /// The profile of a device: its own statistics, drawn to the pool's. Spreads are mixed by their logarithms, so
    /// that one restless device does not blur the profile of a steady one.
    fn shrink(&self, yardsticks: &[Yardstick; COUNT], own: &Measured) -> Profile {
        let mut features = own.features;
        let priors = self.pool.iter().zip(&self.weight).zip(self.up.iter().zip(&self.down));
        for (feature, ((pool, weight), (up, down))) in features.iter_mut().zip(priors) {
            let windows = count(feature.windows);
            let freedom = count(feature.windows.saturating_sub(1));
            let mix = |own: f64, pool: f64| {
                ((freedom * own.ln() + PRIOR_WINDOWS * pool.ln()) / (freedom + PRIOR_WINDOWS)).exp()
            };
            // What was never measured of it is as the pool has it.
            let median = if feature.windows == 0 {
                *pool
            } else {
                (windows * feature.median + weight * pool) / (windows + weight)
            };
            let (up, down) = (mix(feature.up, *up), mix(feature.down, *down));
            // Of few windows the 99th percentile is only the largest: where it would be if they were normal helps.
            let p99 =
                (windows * feature.p99 + PRIOR_WINDOWS * (median + 2.326 * up)) / (windows + PRIOR_WINDOWS);
            *feature = Spread { windows: feature.windows, median, up, down, p99 };
        }
        Measured { windows: own.windows, features }.profile(yardsticks)
    }
}

/// Profiles in a snapshot.
#[derive(Serialize, Deserialize)]
pub(crate) struct ProfilesWire {
    keys: Vec<KeyWire>,
    /// Of the pool, then of each device.
    windows: Vec<u32>,
    /// Median, 99th percentile, location, spread above and below; of the pool, then of each device.
    values: Vec<f32>,
}

const PLANES: usize = 5;

impl From<&Profiles> for ProfilesWire {
    fn from(profiles: &Profiles) -> Self {
        let all = || std::iter::once(&profiles.pool).chain(profiles.devices.values());
        let planes =
            |p: &Profile| [p.median, p.p99, p.location, p.spread.map(|s| s.up), p.spread.map(|s| s.down)];
        Self {
            keys: profiles.devices.keys().map(|&key| key.into()).collect(),
            windows: all().map(|profile| profile.windows).collect(),
            values: all().flat_map(planes).flatten().collect(),
        }
    }
}

impl ProfilesWire {
    /// The profiles; none when they do not hold together.
    pub(crate) fn read(self) -> Option<Profiles> {
        let (planes, rest) = self.values.as_chunks::<COUNT>();
        let sound = rest.is_empty()
            && self.values.iter().all(|value| value.is_finite())
            && planes.len() == self.windows.len() * PLANES
            && self.windows.len() == self.keys.len() + 1;
        if !sound {
            return None;
        }
        let mut all = planes.as_chunks::<PLANES>().0.iter().zip(&self.windows).map(
            |(&[median, p99, location, up, down], &windows)| {
                let spread = std::array::from_fn(|slot| Sides {
                    up: up.get(slot).copied().unwrap_or_default(),
                    down: down.get(slot).copied().unwrap_or_default(),
                });
                let sound = spread.iter().all(|sides| sides.up > 0.0 && sides.down > 0.0);
                sound.then_some(Profile { windows, median, p99, location, spread })
            },
        );
        let pool = all.next()??;
        let devices = self.keys.into_iter().zip(all).map(|(key, profile)| Some((key.into(), profile?)));
        Some(Profiles { yardsticks: Yardstick::of_schema(), pool, devices: devices.collect::<Option<_>>()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::feature::Slot;
    use crate::packet::Mac;

    fn device(n: u8) -> DeviceKey {
        DeviceKey::Mac(Mac([2, 0, 0, 0, 0, n]))
    }

    /// Windows of a device whose only active feature takes the values.
    fn windows(n: u8, slot: Slot, values: impl Iterator<Item = f32>) -> Vec<(DeviceKey, FeatureVector)> {
        let vector = |value| {
            let mut all = [0.0; COUNT];
            all[slot as usize] = value;
            FeatureVector::new(all)
        };
        values.map(|value| (device(n), vector(value))).collect()
    }

    fn learn(fit: &[(DeviceKey, FeatureVector)], late: &[(DeviceKey, FeatureVector)]) -> Profiles {
        let borrow = |part: &[(DeviceKey, FeatureVector)]| part.iter().map(|(k, _)| *k).collect::<Vec<_>>();
        let (fit_keys, late_keys) = (borrow(fit), borrow(late));
        let fit: Vec<_> = fit_keys.into_iter().zip(fit.iter().map(|(_, v)| v)).collect();
        let late: Vec<_> = late_keys.into_iter().zip(late.iter().map(|(_, v)| v)).collect();
        Profiles::learn(&fit, &late)
    }

    fn score(profiles: &Profiles, key: DeviceKey, slot: Slot, value: f32) -> f32 {
        let vector = &windows(0, slot, std::iter::once(value))[0].1;
        profiles.standardise(profiles.of(key).0, vector)[slot as usize]
    }

    /// 0 to 100 around a value: median `middle`, known quantiles.
    fn ramp(middle: f32, step: f32) -> impl Iterator<Item = f32> {
        (0..=100_i16).map(move |n| f32::from(n - 50).mul_add(step, middle))
    }

    #[test]
    fn quantiles_are_interpolated() {
        let sorted = [1.0, 2.0, 4.0, 8.0, 16.0];
        let found = [0, 250, 500, 900, 1_000].map(|q| quantile(&sorted, q));
        for (found, expected) in found.into_iter().zip([1.0, 2.0, 4.0, 12.8, 16.0]) {
            assert!((found - expected).abs() < 1e-12, "{found}");
        }
        assert!(quantile(&[], 500).abs() < 1e-12);
    }

    #[test]
    fn a_device_with_many_windows_is_measured_by_itself() {
        let mut all = windows(1, Slot::SentSizeMean, ramp(500.0, 1.0));
        all.extend(windows(2, Slot::SentSizeMean, ramp(1_200.0, 2.0)));
        let profiles = learn(&all, &[]);
        let own = profiles.device(device(1)).unwrap();
        let slot = Slot::SentSizeMean as usize;
        assert_eq!(own.windows(), 101);
        assert!((own.median(slot) - 500.0).abs() < 1.0, "{}", own.median(slot));
        assert!((own.p99(slot) - 549.0).abs() < 5.0, "{}", own.p99(slot));
        // Quartile 25 away: 25 / 0.674 = 37 for one spread, a little more for the more restless neighbour.
        let at = score(&profiles, device(1), Slot::SentSizeMean, 537.0);
        assert!((0.8..1.05).contains(&at), "{at}");
        assert!((score(&profiles, device(1), Slot::SentSizeMean, 463.0) + at).abs() < 0.05);
    }

    #[test]
    fn one_odd_window_in_ten_moves_nothing() {
        let odd = ramp(500.0, 1.0).enumerate().map(|(n, v)| if n % 25 == 3 { 60_000.0 } else { v });
        let profiles = learn(&windows(1, Slot::SentSizeMean, odd), &[]);
        let own = profiles.device(device(1)).unwrap();
        assert!((own.median(Slot::SentSizeMean as usize) - 500.0).abs() < 3.0);
        assert!(score(&profiles, device(1), Slot::SentSizeMean, 700.0) > 4.0);
    }

    #[test]
    fn a_constant_feature_has_the_floor_for_its_spread() {
        let profiles = learn(&windows(1, Slot::SynShare, std::iter::repeat_n(0.25, 50)), &[]);
        let at = score(&profiles, device(1), Slot::SynShare, 0.35);
        assert!((at - 2.0).abs() < 0.01, "{at}");
        let far = score(&profiles, device(1), Slot::SentByteRate, 1e30);
        assert!(far > 100.0 && far <= 1e4);
    }

    #[test]
    fn where_devices_are_alike_the_pool_speaks_and_where_they_differ_the_device_does() {
        // Twenty devices with 30 windows each, all the same: one window of another tells little.
        let alike: Vec<_> = (1..=20).flat_map(|n| windows(n, Slot::SentSizeMean, ramp(500.0, 1.0))).collect();
        let late = windows(99, Slot::SentSizeMean, std::iter::once(540.0));
        let median =
            |fit: &[_]| learn(fit, &late).device(device(99)).unwrap().median(Slot::SentSizeMean as usize);
        assert!((median(&alike) - 503.6).abs() < 0.2, "{}", median(&alike));
        // Each at its own level, far apart: its one window tells nearly all.
        let apart: Vec<_> = (1..=20_u8)
            .flat_map(|n| windows(n, Slot::SentSizeMean, ramp(f32::from(n) * 70.0 + 100.0, 0.1)))
            .collect();
        assert!((median(&apart) - 540.0).abs() < 1.0, "{}", median(&apart));
    }

    #[test]
    fn an_unknown_device_is_measured_by_the_pool() {
        let mut all = windows(1, Slot::SentSizeMean, ramp(100.0, 0.1));
        all.extend(windows(2, Slot::SentSizeMean, ramp(1_400.0, 0.1)));
        let profiles = learn(&all, &[]);
        assert!(!profiles.of(device(3)).1);
        // Between the two, where neither is: normal for the pool, far off for each.
        assert!(score(&profiles, device(3), Slot::SentSizeMean, 800.0).abs() < 1.0);
        assert!(score(&profiles, device(1), Slot::SentSizeMean, 800.0) > 20.0);
        assert!(score(&profiles, device(2), Slot::SentSizeMean, 800.0) < -20.0);
    }
}
