//! [`Model`]: trained once from a baseline, then judges windows. Knows no alerts, and does not learn from what it
//! judges.
//!
//! The split is by time, never at random: the first 70 % of the window times are fitted, the rest is held out for
//! the calibration, as if it had come after training.

use ndarray::Array2;

use super::Config;
use super::extremes::Extremes;
use super::forest::IsolationForest;
use super::tail::Calibration;
use crate::baseline::{Baseline, Profile, Profiles};
use crate::feature::{COUNT, FeatureVector};
use crate::flow::DeviceKey;
use crate::time::Timestamp;

/// A trained model.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    pub(super) version: u32,
    pub(super) trained_at: Timestamp,
    pub(super) trained_on: u64,
    pub(super) held_out: u64,
    pub(super) profiles: Profiles,
    pub(super) forest: IsolationForest,
    pub(super) extremes: Extremes,
    /// Windows against the profile of their own device.
    pub(super) own: Calibrated,
    /// The same windows against the profile of the pool, as those of an unknown device are.
    pub(super) pooled: Calibrated,
    pub(super) alert_threshold: f64,
    pub(super) stretch: f64,
}

/// What a model says of a window.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Verdict {
    /// Score of the isolation forest, above 0 and below 1.
    pub raw: f64,
    /// Surprise of the most surprising feature in nats, 0 or more.
    pub surprise: f64,
    /// Chance that a normal window is as unusual as this one, above 0, at most 1.
    pub p_value: f64,
    /// 0 to 1: 0.2 for each power of ten of rarity.
    pub score: f64,
    /// Whether the score reaches the configured threshold.
    pub unusual: bool,
    /// Whether the device has a profile of its own; otherwise it was compared with all devices taken together,
    /// which says more about the device than about the window.
    pub known: bool,
}

/// How much a feature has to do with a verdict.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Contribution {
    /// Index in the schema.
    pub slot: usize,
    /// Value in the window.
    pub value: f32,
    /// Median of what it was compared with.
    pub median: f32,
    /// 99th percentile of what it was compared with.
    pub p99: f32,
    /// Above 0; those of one window add up to at most 1.
    pub share: f64,
}

/// Why there is no model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotTrained {
    /// The baseline holds too few windows.
    #[error("{have} of the {need} device windows that it needs; learn longer")]
    TooFew {
        /// Windows held.
        have: usize,
        /// Windows needed.
        need: usize,
    },
    /// The windows are of too few points in time to be split into earlier and later ones.
    #[error("windows of {have} of the {need} points in time that it needs; learn longer")]
    TooShort {
        /// Distinct starts of windows.
        have: usize,
        /// Starts needed.
        need: usize,
    },
    /// Too few of the later windows are of devices that were there earlier.
    #[error("{have} of the {need} held-out device windows that it needs; learn longer")]
    TooFewHeldOut {
        /// Windows that a threshold could be derived from.
        have: usize,
        /// Windows needed.
        need: usize,
    },
}

/// A forest score and a surprise as chances.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Calibrated {
    pub(super) forest: Calibration,
    pub(super) extremes: Calibration,
}

/// Windows of a device, as the baseline hands them over.
type Windows<'a> = Vec<(DeviceKey, &'a FeatureVector)>;

/// Differences of a forest score, and of a surprise in nats, that mean nothing.
const FOREST_FLOOR: f64 = 0.003;
const SURPRISE_FLOOR: f64 = 0.25;
/// Two detectors look at each window.
const LOOKS: f64 = 2.0;
/// A feature this surprising, one in twenty, is nothing to tell of.
const COMMON: f64 = 2.995_732_273_553_991;
/// Calibrated score for each power of ten of rarity.
const SCORE_PER_POWER: f64 = 0.2;

impl Model {
    /// Fewest windows in all, fewest points in time, fewest windows held out.
    const NEEDS: (usize, usize, usize) = (64, 10, 20);
    /// Contributions told.
    pub const MAX_CONTRIBUTIONS: usize = 5;

    /// Trains from the windows of a baseline. Profiles, forest and tails come from the first 70 % of the window times,
    /// the calibration from the rest. A device that only appears in the rest gets its profile there, and then none of
    /// its windows calibrates. The same baseline and settings give the same model.
    ///
    /// # Errors
    /// When the baseline holds too little, which says what is missing.
    pub fn train(baseline: &Baseline, config: &Config, now: Timestamp) -> Result<Self, NotTrained> {
        let Split { fit, later, held_out } = split(baseline)?;
        let profiles = Profiles::learn(&fit, &later);
        let rows: Vec<[f32; COUNT]> =
            fit.iter().map(|(key, vector)| profiles.standardise(profiles.of(*key).0, vector)).collect();
        let extremes = Extremes::train(&rows);
        let matrix = Array2::from_shape_fn((rows.len(), COUNT), |(row, slot)| {
            rows.get(row).and_then(|row| row.get(slot)).copied().map_or(0.0, compress)
        });
        let forest = IsolationForest::train(matrix.view(), config.trees, config.subsample, config.seed);

        let rows = held_out.iter().map(|(key, vector)| profiles.standardise(profiles.of(*key).0, vector));
        let own = Calibrated::fit(&forest, &extremes, rows);
        let rows = held_out.iter().map(|(_, vector)| profiles.standardise(profiles.pool(), vector));
        let pooled = Calibrated::fit(&forest, &extremes, rows);
        let (alert_threshold, stretch) = limits(config);
        Ok(Self {
            version: version(baseline),
            trained_at: now,
            trained_on: fit.len().try_into().unwrap_or(u64::MAX),
            held_out: held_out.len().try_into().unwrap_or(u64::MAX),
            own,
            pooled,
            profiles,
            forest,
            extremes,
            alert_threshold,
            stretch,
        })
    }

    /// Takes other thresholds; what was learned stays as it is.
    pub fn retune(&mut self, config: &Config) {
        (self.alert_threshold, self.stretch) = limits(config);
    }

    /// Whether a baseline holds enough to train from, and the name that its model gets.
    ///
    /// # Errors
    /// As for [`Self::train`].
    pub fn check(baseline: &Baseline) -> Result<String, NotTrained> {
        split(baseline)?;
        Ok(name(version(baseline)))
    }

    /// Judges a window of a device.
    #[must_use]
    pub fn judge(&self, key: DeviceKey, vector: &FeatureVector) -> Verdict {
        let (profile, calibrated, known) = self.profile(key);
        let row = self.profiles.standardise(profile, vector);
        let raw = self.forest.score(&row.map(compress));
        let surprise = self.extremes.score(&row);
        let rarest = calibrated.forest(raw, self.stretch).min(calibrated.extremes(surprise, self.stretch));
        let p_value = (LOOKS * rarest).min(1.0);
        let score = (-p_value.log10() * SCORE_PER_POWER).clamp(0.0, 1.0);
        Verdict { raw, surprise, p_value, score, unusual: score >= self.alert_threshold, known }
    }

    /// The features that a verdict is due to, largest share first, at most [`Self::MAX_CONTRIBUTIONS`]; features
    /// that speak for normal are left out.
    ///
    /// Each detector hands out its part of the finding, in proportion to how rare (negative logarithm of the chance) it
    /// finds the window. The forest does so by ablation: how far its score falls when the feature alone is put back to
    /// its median. The surprises are shared by how far each is beyond what one window in twenty shows.
    #[must_use]
    pub fn explain(&self, key: DeviceKey, vector: &FeatureVector) -> Vec<Contribution> {
        let (profile, calibrated, _) = self.profile(key);
        let row = self.profiles.standardise(profile, vector);
        let drops = self.drops(row.map(compress));
        let surprises = self.extremes.surprises(&row);
        let surprise = surprises.iter().copied().fold(0.0, f64::max);
        let beyond = surprises.map(|surprise| (surprise - COMMON).max(0.0));

        let raw = self.forest.score(&row.map(compress));
        let by_forest = -calibrated.forest(raw, self.stretch).ln();
        let by_extremes = -calibrated.extremes(surprise, self.stretch).ln();
        let whole = by_forest + by_extremes;
        // What a detector hands out for each unit of its measure; nothing where it has nothing to say.
        let rate = |part: f64, sum: f64| if whole > 0.0 && sum > 0.0 { part / whole / sum } else { 0.0 };
        let forest_rate = rate(by_forest, drops.iter().sum());
        let extremes_rate = rate(by_extremes, beyond.iter().sum());

        let mut contributions: Vec<Contribution> = drops
            .iter()
            .zip(&beyond)
            .zip(vector.values())
            .enumerate()
            .filter_map(|(slot, ((drop, beyond), value))| Some((slot, drop, beyond, value?)))
            .map(|(slot, drop, beyond, value)| Contribution {
                slot,
                value,
                median: profile.median(slot),
                p99: profile.p99(slot),
                share: drop * forest_rate + beyond * extremes_rate,
            })
            .filter(|contribution| contribution.share > 0.0)
            .collect();
        contributions.sort_by(|a, b| b.share.total_cmp(&a.share).then(a.slot.cmp(&b.slot)));
        contributions.truncate(Self::MAX_CONTRIBUTIONS);
        contributions
    }

    /// How far the forest's score falls with each feature at its median; 0 where it does not fall.
    fn drops(&self, row: [f32; COUNT]) -> [f64; COUNT] {
        let whole = self.forest.score(&row);
        std::array::from_fn(|slot| {
            let mut without = row;
            if let Some(value) = without.get_mut(slot) {
                *value = 0.0;
            }
            (whole - self.forest.score(&without)).max(0.0)
        })
    }

    fn profile(&self, key: DeviceKey) -> (&Profile, &Calibrated, bool) {
        let (profile, known) = self.profiles.of(key);
        (profile, if known { &self.own } else { &self.pooled }, known)
    }

    /// Name and version, such as `isolation_forest-1`.
    #[must_use]
    pub fn id(&self) -> String {
        name(self.version)
    }

    /// The number of the baseline that it was trained from.
    #[must_use]
    pub const fn version(&self) -> u32 {
        self.version
    }

    /// When it was trained, on the capture's clock.
    #[must_use]
    pub const fn trained_at(&self) -> Timestamp {
        self.trained_at
    }

    /// Windows that it was fitted on.
    #[must_use]
    pub const fn trained_on(&self) -> u64 {
        self.trained_on
    }

    /// Windows held out, of which its thresholds are.
    #[must_use]
    pub const fn held_out(&self) -> u64 {
        self.held_out
    }

    /// Devices that have statistics of their own in it.
    #[must_use]
    pub fn devices(&self) -> usize {
        self.profiles.devices()
    }

    /// Calibrated score from which a window is unusual.
    #[must_use]
    pub const fn alert_threshold(&self) -> f64 {
        self.alert_threshold
    }

    /// The chance that a normal window reaches the threshold, at most: what the calibration promises.
    #[must_use]
    pub fn promised_rate(&self) -> f64 {
        10_f64.powf(-self.alert_threshold / SCORE_PER_POWER)
    }

    /// The forest's score that alone makes a window of a known device unusual. It may lie above 1: then the forest
    /// alone cannot, for too few windows were held out or the network is too restless.
    #[must_use]
    pub fn threshold(&self) -> f64 {
        self.own.forest.score(self.promised_rate() / LOOKS, self.stretch)
    }

    /// The statistics that windows are compared with.
    #[must_use]
    pub const fn profiles(&self) -> &Profiles {
        &self.profiles
    }
}

impl Calibrated {
    fn fit(forest: &IsolationForest, extremes: &Extremes, rows: impl Iterator<Item = [f32; COUNT]>) -> Self {
        let (scores, surprises) =
            rows.map(|row| (forest.score(&row.map(compress)), extremes.score(&row))).unzip();
        Self {
            forest: Calibration::fit(scores, FOREST_FLOOR),
            extremes: Calibration::fit(surprises, SURPRISE_FLOOR),
        }
    }

    fn forest(&self, raw: f64, stretch: f64) -> f64 {
        self.forest.probability(raw, stretch)
    }

    fn extremes(&self, surprise: f64, stretch: f64) -> f64 {
        self.extremes.probability(surprise, stretch)
    }
}

/// Threshold and stretch of the tail.
pub(super) fn limits(config: &Config) -> (f64, f64) {
    let sensitivity = config.sensitivity.clamp(0.0, 1.0);
    (config.alert_threshold.clamp(0.0, 1.0), 2.0_f64.mul_add(-sensitivity, 1.0).exp2())
}

/// The number of the baseline, which is the version of its model.
fn version(baseline: &Baseline) -> u32 {
    baseline.id().map_or(0, |id| id.number())
}

fn name(version: u32) -> String {
    format!("isolation_forest-{version}")
}

/// Windows by what they are for.
struct Split<'a> {
    fit: Windows<'a>,
    later: Windows<'a>,
    /// The later ones of devices that were there earlier.
    held_out: Windows<'a>,
}

fn split(baseline: &Baseline) -> Result<Split<'_>, NotTrained> {
    let (need, need_starts, need_held_out) = Model::NEEDS;
    let windows: Vec<_> = baseline.training().collect();
    if windows.len() < need {
        return Err(NotTrained::TooFew { have: windows.len(), need });
    }
    let mut starts: Vec<Timestamp> = windows.iter().map(|&(_, start, _)| start).collect();
    starts.dedup();
    if starts.len() < need_starts {
        return Err(NotTrained::TooShort { have: starts.len(), need: need_starts });
    }
    let cut = starts.get(starts.len() * 7 / 10).copied().unwrap_or_default();
    let later = windows.partition_point(|&(_, start, _)| start < cut);
    let (fit, later) = windows.split_at_checked(later).unwrap_or_default();
    let without_time = |&(key, _, vector): &(DeviceKey, Timestamp, _)| (key, vector);
    let (fit, later): (Windows<'_>, Windows<'_>) =
        (fit.iter().map(without_time).collect(), later.iter().map(without_time).collect());
    let mut familiar: Vec<DeviceKey> = fit.iter().map(|&(key, _)| key).collect();
    familiar.sort_unstable();
    familiar.dedup();
    let held_out: Windows<'_> =
        later.iter().copied().filter(|(key, _)| familiar.binary_search(key).is_ok()).collect();
    let (have, need) = (held_out.len(), need_held_out);
    if have < need {
        return Err(NotTrained::TooFewHeldOut { have, need });
    }
    Ok(Split { fit, later, held_out })
}

/// Standard scores beyond 5 grow by their logarithm, so that one far window does not stretch the range in which the
/// forest cuts.
fn compress(score: f32) -> f32 {
    let size = score.abs();
    if size <= 5.0 { score } else { score.signum() * (5.0 + (size - 5.0).ln_1p()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::{forge, narrow};
    use crate::feature::{DeviceWindow, SCHEMA, Scale, Slot};
    use crate::flow::DeviceId;
    use crate::model::BadSnapshot;
    use crate::packet::Mac;
    use crate::time::Span;
    use proptest::prelude::*;
    use rand_core::{Rng, SeedableRng};
    use rand_pcg::Pcg32;

    /// A network of devices, each with its own level of every feature and its own restlessness; in each window all
    /// rates of a device rise and fall together, and each feature by itself.
    struct Network {
        rng: Pcg32,
        minute: u64,
    }

    const DEVICES: u8 = 12;

    impl Network {
        fn new(seed: u64) -> Self {
            Self { rng: Pcg32::seed_from_u64(seed), minute: 0 }
        }

        fn uniform(&mut self) -> f64 {
            (f64::from(self.rng.next_u32()) + 0.5) / 4_294_967_296.0
        }

        /// Box and Muller.
        fn normal(&mut self) -> f64 {
            let (a, b) = (self.uniform(), self.uniform());
            (-2.0 * a.ln()).sqrt() * (std::f64::consts::TAU * b).cos()
        }

        fn window(&mut self, device: u8) -> FeatureVector {
            let mut levels = Network::new(1_000 + u64::from(device));
            let restless = 0.1 + 0.4 * levels.uniform();
            let activity = restless * self.normal();
            FeatureVector::new(std::array::from_fn(|slot| {
                let (level, noise) = (levels.normal(), self.normal());
                // A third of the features stays at nothing, as DNS does for a controller.
                let absent = levels.uniform() < 0.33;
                narrow(match SCHEMA[slot].scale {
                    _ if absent => 0.0,
                    Scale::Logarithmic => (1.5 * level + activity + restless * noise).exp(),
                    Scale::Linear if SCHEMA[slot].unit == "ratio" => {
                        1.0 / (1.0 + (-level - 0.3 * noise).exp())
                    }
                    Scale::Linear => 100.0 + 30.0 * level.abs() + 10.0 * restless * noise,
                })
            }))
        }

        fn baseline(&mut self, windows: u64) -> Baseline {
            let mut baseline = Baseline::new(crate::baseline::Config::default());
            baseline.start(minute(self.minute), Some(Span::from_secs(60 * windows)));
            for _ in 0..windows {
                for n in 0..DEVICES {
                    let (vector, start) = (self.window(n), minute(self.minute));
                    baseline.handle_window(device(n), &window(start, vector));
                }
                self.minute += 1;
                baseline.handle_time(minute(self.minute));
            }
            baseline
        }
    }

    fn minute(n: u64) -> Timestamp {
        Timestamp::from_parts(1_700_000_040, 0) + Span::from_secs(60 * n)
    }

    fn device(n: u8) -> DeviceKey {
        DeviceKey::Mac(Mac([2, 0, 0, 0, 0, n]))
    }

    fn window(start: Timestamp, vector: FeatureVector) -> DeviceWindow {
        let device = DeviceId { slot: 0, generation: 0 };
        DeviceWindow { device, start, end: start + Span::from_secs(60), vector, packets: 9, bytes: 900 }
    }

    fn trained(network: &mut Network, windows: u64) -> Model {
        let baseline = network.baseline(windows);
        Model::train(&baseline, &Config::default(), minute(network.minute)).unwrap()
    }

    /// The window with one feature multiplied; where the device has none of it, as if from one in a window.
    fn altered(vector: &FeatureVector, slot: Slot, factor: f32) -> FeatureVector {
        let mut values = *vector.raw();
        values[slot as usize] = values[slot as usize].max(1.0 / 60.0) * factor;
        FeatureVector::new(values)
    }

    fn false_positives(network: &mut Network, model: &Model, windows: u64) -> usize {
        let each = windows / u64::from(DEVICES);
        let verdict = |network: &mut Network, n| model.judge(device(n), &network.window(n)).unusual;
        (0..each).map(|_| (0..DEVICES).filter(|&n| verdict(network, n)).count()).sum()
    }

    #[test]
    fn an_attack_is_unusual_and_its_feature_leads() {
        let (mut attacks, mut found) = (0, 0);
        for seed in 1..=4 {
            let mut network = Network::new(seed);
            let model = trained(&mut network, 200);
            for n in 0..DEVICES {
                for (slot, factor) in [(Slot::FailedFlowRate, 50.0), (Slot::Peers, 20.0)] {
                    let base = network.window(n);
                    // Where a device has nearly none of it, twenty times that is still nothing.
                    if slot == Slot::Peers && base.get(slot).is_none_or(|peers| peers < 1.0) {
                        continue;
                    }
                    attacks += 1;
                    let attack = altered(&base, slot, factor);
                    let verdict = model.judge(device(n), &attack);
                    assert!(verdict.known);
                    if !verdict.unusual {
                        continue;
                    }
                    found += 1;
                    assert!(verdict.p_value <= 1e-3 && verdict.score >= 0.6, "{n} {slot:?}: {verdict:?}");
                    let contributions = model.explain(device(n), &attack);
                    let first = contributions[0];
                    assert_eq!(first.slot, slot as usize, "{n}: {contributions:?}");
                    assert!(first.share > 0.4 && first.value > 2.0 * first.p99, "{n}: {contributions:?}");
                }
            }
        }
        // One feature of all is far off; where a device is restless in it, that is lost among the others.
        assert!(attacks > 40 && found * 5 >= attacks * 4, "{found} of {attacks}");
    }

    #[test]
    fn fresh_benign_windows_are_not_and_more_training_does_not_hurt() {
        for seed in 1..=3 {
            let rates = [200, 400].map(|windows| {
                let mut network = Network::new(seed);
                let model = trained(&mut network, windows);
                false_positives(&mut network, &model, 3_000)
            });
            assert!(rates[0] <= 3 && rates[1] <= rates[0].max(1), "seed {seed}: {rates:?} of 3,000");
        }
    }

    #[test]
    fn the_farther_off_the_rarer() {
        let mut network = Network::new(2);
        let model = trained(&mut network, 200);
        let base = network.window(5);
        let chances = [1.0, 10.0, 100.0, 1e4, 1e8]
            .map(|factor| model.judge(device(5), &altered(&base, Slot::ReceivedByteRate, factor)).p_value);
        assert!(chances.is_sorted_by(|a, b| a > b), "{chances:?}");
        // Nothing that a vector can hold gives a number that is none.
        for extreme in [f32::MAX, f32::MIN, f32::MIN_POSITIVE] {
            let vector = FeatureVector::new([extreme; COUNT]);
            let verdict = model.judge(device(5), &vector);
            assert!(verdict.p_value > 0.0 && verdict.p_value <= 1.0 && verdict.raw < 1.0, "{verdict:?}");
            assert!(model.explain(device(5), &vector).iter().map(|c| c.share).sum::<f64>() <= 1.0 + 1e-9);
        }
    }

    #[test]
    fn contributions_are_few_and_share_one_finding() {
        let mut network = Network::new(3);
        let model = trained(&mut network, 100);
        for n in 0..DEVICES {
            let vector = network.window(n);
            let contributions = model.explain(device(n), &vector);
            assert!(contributions.len() <= Model::MAX_CONTRIBUTIONS);
            assert!(contributions.is_sorted_by(|a, b| a.share >= b.share));
            assert!(contributions.iter().all(|c| c.share > 0.0 && vector.at(c.slot) == Some(c.value)));
            assert!(contributions.iter().map(|c| c.share).sum::<f64>() <= 1.0 + 1e-9);
        }
    }

    #[test]
    fn too_little_is_refused_with_what_is_missing() {
        let mut network = Network::new(4);
        let none = Baseline::new(crate::baseline::Config::default());
        let train = |baseline: &Baseline| Model::train(baseline, &Config::default(), minute(0)).unwrap_err();
        assert_eq!(train(&none), NotTrained::TooFew { have: 0, need: 64 });
        assert_eq!(train(&network.baseline(5)), NotTrained::TooFew { have: 60, need: 64 });
        assert_eq!(train(&network.baseline(8)), NotTrained::TooShort { have: 8, need: 10 });
        assert_eq!(
            train(&network.baseline(8)).to_string(),
            "windows of 8 of the 10 points in time that it needs; learn longer"
        );
        // All devices changed in between: nothing that was held out can calibrate.
        let mut baseline = Baseline::new(crate::baseline::Config::default());
        baseline.start(minute(0), None);
        for m in 1..=20 {
            for n in 0..DEVICES {
                let key = device(if m <= 14 { n } else { n + 100 });
                baseline.handle_window(key, &window(minute(m), network.window(n)));
            }
        }
        assert_eq!(train(&baseline), NotTrained::TooFewHeldOut { have: 0, need: 20 });
    }

    #[test]
    fn an_unknown_device_is_compared_with_all_and_said_to_be_unknown() {
        let mut network = Network::new(5);
        let model = trained(&mut network, 200);
        let mut unusual = 0;
        for n in 0..DEVICES {
            let vector = network.window(n);
            let verdict = model.judge(device(n + 100), &vector);
            assert!(!verdict.known && model.judge(device(n), &vector).known);
            unusual += usize::from(verdict.unusual);
        }
        assert_eq!(unusual, 0, "what some device does all day is not unusual for one that nobody knows");
    }

    #[test]
    fn a_device_that_came_late_has_its_own_profile() {
        let mut network = Network::new(1);
        let mut baseline = network.baseline(100);
        baseline.start(minute(0), None);
        for m in 1..=100 {
            for n in (0..DEVICES).filter(|&n| n > 0 || m > 80) {
                baseline.handle_window(device(n), &window(minute(m), network.window(n)));
            }
        }
        let model = Model::train(&baseline, &Config::default(), minute(100)).unwrap();
        assert_eq!((model.trained_on(), model.held_out()), (11 * 70, 11 * 30));
        assert_eq!((model.id(), model.version()), ("isolation_forest-2".to_owned(), 2));
        assert_eq!(model.profiles().device(device(0)).unwrap().windows(), 20);
        let verdicts = (0..200).map(|_| model.judge(device(0), &network.window(0)));
        assert!(verdicts.filter(|verdict| verdict.unusual || !verdict.known).count() <= 1);
    }

    #[test]
    fn sensitivity_and_threshold_are_the_operators() {
        let mut network = Network::new(8);
        let baseline = network.baseline(100);
        let vector = altered(&network.window(1), Slot::SentPacketRate, 8.0);
        let judge = |alert_threshold, sensitivity| {
            let config = Config { alert_threshold, sensitivity, ..Config::default() };
            let model = Model::train(&baseline, &config, minute(0)).unwrap();
            let verdict = model.judge(device(1), &vector);
            assert_eq!(verdict.unusual, verdict.score >= alert_threshold);
            // A change of the settings is in force at once and after a restart, without training.
            let mut default = Model::train(&baseline, &Config::default(), minute(0)).unwrap();
            assert_eq!(Model::restore(&config, &default.snapshot()).unwrap(), model);
            default.retune(&config);
            assert_eq!(default, model);
            (verdict.score, model.threshold())
        };
        let [calm, measured, eager] = [0.0, 0.5, 1.0].map(|sensitivity| judge(0.8, sensitivity).0);
        assert!(calm < measured && measured < eager, "{calm} {measured} {eager}");
        assert!(judge(0.4, 0.5).1 < judge(0.8, 0.5).1);
        let model = Model::train(&baseline, &Config::default(), minute(0)).unwrap();
        let chance = 2.0 * model.own.forest.probability(model.threshold(), 1.0);
        assert!((chance / 1e-4 - 1.0).abs() < 1e-6, "{chance}");
    }

    #[test]
    fn a_snapshot_is_the_model_and_training_is_repeatable() {
        let mut network = Network::new(9);
        let baseline = network.baseline(60);
        let train = || Model::train(&baseline, &Config::default(), minute(60)).unwrap();
        let (model, bytes) = (train(), train().snapshot());
        assert_eq!(model.snapshot(), bytes);
        let restored = Model::restore(&Config::default(), &bytes).unwrap();
        assert_eq!(restored, model);
        assert_eq!(restored.snapshot(), bytes);
        // The baseline's own restart changes nothing either.
        let again = Baseline::restore(crate::baseline::Config::default(), &baseline.snapshot()).unwrap();
        assert_eq!(Model::train(&again, &Config::default(), minute(60)).unwrap(), model);
        let vector = network.window(4);
        assert_eq!(restored.judge(device(4), &vector), model.judge(device(4), &vector));
        let other = Config { seed: 43, ..Config::default() };
        assert_ne!(Model::train(&baseline, &other, minute(60)).unwrap(), model);
        assert_eq!(
            Model::restore(&Config::default(), &baseline.snapshot()),
            Err(BadSnapshot::Foreign { kind: "model" })
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn altered_snapshots_never_panic(
            changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20),
            cut in any::<prop::sample::Index>(),
        ) {
            thread_local! {
                static SNAPSHOT: Vec<u8> = trained(&mut Network::new(10), 20).snapshot();
            }
            let bytes = SNAPSHOT.with(Clone::clone);
            let config = Config::default();
            prop_assert!(Model::restore(&config, &bytes[..cut.index(bytes.len())]).is_err());
            // With a checksum that is right, only the form can be: what it says must still be numbers.
            if let Ok(model) = Model::restore(&config, &forge(&bytes, &changes)) {
                let vector = FeatureVector::new([1.0; COUNT]);
                let verdict = model.judge(device(1), &vector);
                prop_assert!(verdict.p_value > 0.0 && verdict.p_value <= 1.0, "{verdict:?}");
                prop_assert!((0.0..=1.0).contains(&verdict.score), "{verdict:?}");
                prop_assert!(model.explain(device(1), &vector).len() <= Model::MAX_CONTRIBUTIONS);
            }
        }
    }
}
