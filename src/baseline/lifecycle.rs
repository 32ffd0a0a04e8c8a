//! [`Baseline`]: from nothing through learning to armed, and which devices it knows. Knows nothing of scores.

use std::collections::BTreeMap;
use std::fmt;

use super::Config;
use super::profile::Profiles;
use super::sample::Sample;
use crate::feature::{DeviceWindow, FeatureVector};
use crate::flow::DeviceKey;
use crate::time::{Span, Timestamp};

/// What this network does, as learned in a stretch of capture time.
#[derive(Clone, Debug)]
pub struct Baseline {
    pub(super) config: Config,
    pub(super) phase: Phase,
    pub(super) generation: u32,
    pub(super) learned: Span,
    pub(super) target: Span,
    /// At most `device_capacity`.
    pub(super) devices: BTreeMap<DeviceKey, Standing>,
    pub(super) sample: Sample,
    /// Latest time handled.
    latest: Option<Timestamp>,
    /// Since when the capture was watched without a hole.
    watched_since: Option<Timestamp>,
    untracked: u64,
}

/// Where a baseline is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Nothing was learned yet.
    None,
    /// Everything seen is taken for normal.
    Learning,
    /// What is seen is compared with what was learned.
    Armed,
}

/// Identity of a baseline: `b1` for the first, and so on over restarts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BaselineId(u32);

/// How a device stands to the baseline when it is seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Familiarity {
    /// There is no baseline to know it.
    NoBaseline,
    /// It is being learned.
    Learning,
    /// It was there while the baseline was learned.
    Known,
    /// It was not, and this is the first time it is asked for: said once for each device.
    New,
    /// It was not, and that was said before.
    Newcomer,
    /// It was not, and the table is full of known ones: it is not remembered.
    Untracked,
}

/// What is remembered of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Seen while learning.
    Known {
        /// First seen in this baseline.
        since: Timestamp,
    },
    /// Seen after learning only.
    New {
        /// First seen.
        since: Timestamp,
    },
}

/// Learning is over and the baseline armed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LearningEnded {
    /// Which baseline.
    pub id: BaselineId,
    /// Capture time learned.
    pub learned: Span,
    /// Devices it knows.
    pub devices: usize,
    /// Device windows it holds.
    pub windows: usize,
}

/// A longer step of the capture's clock is a hole in the capture or a clock that was set, and teaches nothing.
const LONGEST_STEP: Span = Span::from_secs(3_600);
/// Frames of one capture may be out of order by less than this; a longer step back is a clock that was set.
const DISORDER: Span = Span::from_secs(1);

impl Baseline {
    /// No baseline yet.
    #[must_use]
    pub const fn new(config: Config) -> Self {
        let sample = Sample::new(config.window_capacity);
        Self {
            target: config.duration,
            config,
            phase: Phase::None,
            generation: 0,
            learned: Span::ZERO,
            devices: BTreeMap::new(),
            sample,
            latest: None,
            watched_since: None,
            untracked: 0,
        }
    }

    /// Forgets what was learned and learns anew for `duration` of capture time, or for the configured one. The
    /// identity rises.
    pub fn start(&mut self, now: Timestamp, duration: Option<Span>) {
        *self = Self {
            phase: Phase::Learning,
            generation: self.generation.saturating_add(1),
            target: duration.unwrap_or(self.config.duration),
            latest: Some(now),
            watched_since: Some(now),
            untracked: self.untracked,
            ..Self::new(self.config.clone())
        };
    }

    /// Sets what [`Self::start`] learns for when it is not told; what is being learned goes on as begun.
    pub const fn set_duration(&mut self, duration: Span) {
        self.config.duration = duration;
    }

    /// Tells the time of the capture, at least every few seconds, after the windows that ended by then: or the last
    /// ones of the time to learn would come when learning is over. Learning counts the time that passes between two
    /// calls; a step of more than an hour, a step back, and the time between a snapshot and its restoration count
    /// nothing. Says once that learning is over.
    pub fn handle_time(&mut self, now: Timestamp) -> Option<LearningEnded> {
        let latest = self.latest.unwrap_or(now);
        if now < latest && latest.since(now) < DISORDER {
            return None;
        }
        self.latest = Some(now);
        let step = now.since(latest);
        if self.watched_since.is_none() || now < latest || step > LONGEST_STEP {
            self.watched_since = Some(now);
            return None;
        }
        if self.phase != Phase::Learning {
            return None;
        }
        self.learned += step;
        if self.learned < self.target {
            return None;
        }
        self.phase = Phase::Armed;
        Some(LearningEnded {
            id: BaselineId(self.generation),
            learned: self.learned,
            devices: self.devices(),
            windows: self.windows(),
        })
    }

    /// The clock of the capture jumped to `now`, or nothing was captured until then: that teaches nothing, and what
    /// began before it is not whole.
    pub fn handle_step(&mut self, now: Timestamp) {
        self.latest = Some(now);
        self.watched_since = Some(now);
    }

    /// A device was seen at `now`. While learning it is remembered as known, when armed as new. At the capacity a new
    /// one takes the place of the oldest new one: whoever invents addresses pushes out his own, and never a known
    /// device. Where all are known, no more are remembered.
    pub fn handle_device(&mut self, key: DeviceKey, now: Timestamp) -> Familiarity {
        let (fresh, familiarity) = match (self.phase, self.devices.get(&key)) {
            (Phase::None, _) => return Familiarity::NoBaseline,
            (Phase::Learning, Some(_)) => return Familiarity::Learning,
            (Phase::Armed, Some(Standing::Known { .. })) => return Familiarity::Known,
            (Phase::Armed, Some(Standing::New { .. })) => return Familiarity::Newcomer,
            (Phase::Learning, None) => (Standing::Known { since: now }, Familiarity::Learning),
            (Phase::Armed, None) => (Standing::New { since: now }, Familiarity::New),
        };
        if self.devices.len() >= self.config.device_capacity {
            self.untracked = self.untracked.saturating_add(1);
            let Some(oldest) = self.oldest_new() else { return Familiarity::Untracked };
            self.devices.remove(&oldest);
        }
        self.devices.insert(key, fresh);
        familiarity
    }

    fn oldest_new(&self) -> Option<DeviceKey> {
        let new = self.devices.iter().filter_map(|(&key, standing)| match *standing {
            Standing::New { since } => Some((since, key)),
            Standing::Known { .. } => None,
        });
        new.min().map(|(_, key)| key)
    }

    /// While learning, keeps a window for training, and its device as known. Not kept are windows that began before
    /// the capture was watched (see [`Self::is_whole`]) and those of devices beyond the capacity.
    pub fn handle_window(&mut self, key: DeviceKey, window: &DeviceWindow) {
        if self.phase == Phase::Learning
            && self.is_whole(window)
            && self.handle_device(key, window.start) == Familiarity::Learning
        {
            self.sample.push(key, window.start, window.vector);
        }
    }

    /// Whether the capture was watched from the start of a window on. Others, as after a start, a restart or a hole
    /// in the capture, hold too little and look like a quiet device: they teach nothing and should not be judged.
    #[must_use]
    pub fn is_whole(&self, window: &DeviceWindow) -> bool {
        self.watched_since.is_some_and(|since| window.start >= since)
    }

    /// Where it is in its life.
    #[must_use]
    pub const fn phase(&self) -> Phase {
        self.phase
    }

    /// Its identity; none before the first.
    #[must_use]
    pub const fn id(&self) -> Option<BaselineId> {
        match self.phase {
            Phase::None => None,
            Phase::Learning | Phase::Armed => Some(BaselineId(self.generation)),
        }
    }

    /// Capture time learned, not more than was told by [`Self::handle_time`].
    #[must_use]
    pub const fn learned(&self) -> Span {
        self.learned
    }

    /// Capture time to learn in all.
    #[must_use]
    pub const fn target(&self) -> Span {
        self.target
    }

    /// Devices that it knows; those seen after learning are not counted.
    #[must_use]
    pub fn devices(&self) -> usize {
        self.devices.values().filter(|standing| matches!(standing, Standing::Known { .. })).count()
    }

    /// Device windows that it holds.
    #[must_use]
    pub const fn windows(&self) -> usize {
        self.sample.len()
    }

    /// Times that a device was not remembered because the table was full, since start.
    #[must_use]
    pub const fn untracked(&self) -> u64 {
        self.untracked
    }

    /// Devices that came after learning, in the order of their keys.
    pub fn strangers(&self) -> impl Iterator<Item = DeviceKey> {
        self.devices.iter().filter(|(_, s)| matches!(s, Standing::New { .. })).map(|(&key, _)| key)
    }

    /// What is remembered of a device.
    #[must_use]
    pub fn standing(&self, key: DeviceKey) -> Option<Standing> {
        self.devices.get(&key).copied()
    }

    /// The windows for training: device, start and values, in order of time, then of device.
    pub fn training(&self) -> impl Iterator<Item = (DeviceKey, Timestamp, &FeatureVector)> {
        self.sample.in_time_order().into_iter()
    }

    /// Robust statistics of all windows held, by device. Sorts them all: a tenth of a second for 16,000 windows.
    #[must_use]
    pub fn profiles(&self) -> Profiles {
        let windows: Vec<_> = self.training().map(|(key, _, vector)| (key, vector)).collect();
        Profiles::learn(&windows, &[])
    }
}

impl BaselineId {
    /// 1 for the first.
    #[must_use]
    pub const fn number(self) -> u32 {
        self.0
    }
}

impl fmt::Display for BaselineId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "b{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::BadSnapshot;
    use crate::feature::COUNT;
    use crate::flow::DeviceId;
    use crate::packet::Mac;
    use proptest::prelude::*;

    fn device(n: u8) -> DeviceKey {
        DeviceKey::Mac(Mac([2, 0, 0, 0, 0, n]))
    }

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_parts(1_700_000_040, 0) + Span::from_secs(seconds)
    }

    fn window(start: Timestamp, value: f32) -> DeviceWindow {
        DeviceWindow {
            device: DeviceId { slot: 0, generation: 0 },
            start,
            end: start + Span::from_secs(60),
            vector: FeatureVector::new([value; COUNT]),
            packets: 1,
            bytes: 60,
        }
    }

    fn small() -> Config {
        Config {
            duration: Span::from_secs(600),
            window_capacity: 50,
            device_capacity: 4,
            ..Config::default()
        }
    }

    /// Learns two devices for ten minutes, in steps of ten seconds.
    fn learned() -> Baseline {
        let mut baseline = Baseline::new(small());
        baseline.start(at(0), None);
        for seconds in (0..=600).step_by(10) {
            if seconds % 60 == 0 && seconds > 0 {
                baseline.handle_window(device(1), &window(at(seconds - 60), 1.0));
                baseline.handle_window(device(2), &window(at(seconds - 60), 2.0));
            }
            baseline.handle_time(at(seconds));
        }
        baseline
    }

    #[test]
    fn it_lives_from_nothing_through_learning_to_armed() {
        let mut baseline = Baseline::new(small());
        assert_eq!((baseline.phase(), baseline.id()), (Phase::None, None));
        assert_eq!(baseline.handle_time(at(0)), None);
        assert_eq!(baseline.handle_device(device(1), at(0)), Familiarity::NoBaseline);

        baseline.start(at(0), None);
        assert_eq!(
            (baseline.phase(), baseline.id().unwrap().to_string()),
            (Phase::Learning, "b1".to_owned())
        );
        assert_eq!(baseline.handle_device(device(1), at(1)), Familiarity::Learning);
        assert_eq!(baseline.handle_device(device(1), at(2)), Familiarity::Learning);
        baseline.handle_time(at(59));
        baseline.handle_window(device(2), &window(at(0), 1.0));
        assert_eq!((baseline.learned(), baseline.target()), (Span::from_secs(59), Span::from_secs(600)));
        assert_eq!(baseline.handle_time(at(599)), None);
        let ended = baseline.handle_time(at(601)).unwrap();
        assert_eq!((ended.learned, ended.devices, ended.windows), (Span::from_secs(601), 2, 1));
        assert_eq!((ended.id, baseline.phase()), (baseline.id().unwrap(), Phase::Armed));
        assert_eq!(baseline.handle_time(at(700)), None, "said once");

        assert_eq!(baseline.handle_device(device(1), at(700)), Familiarity::Known);
        assert_eq!(baseline.handle_device(device(2), at(700)), Familiarity::Known);
        assert_eq!(baseline.handle_device(device(3), at(700)), Familiarity::New);
        assert_eq!(baseline.handle_device(device(3), at(701)), Familiarity::Newcomer);
        assert_eq!(baseline.standing(device(3)), Some(Standing::New { since: at(700) }));
        assert_eq!(baseline.devices(), 2);
        baseline.handle_window(device(1), &window(at(660), 9.0));
        assert_eq!(baseline.windows(), 1, "nothing is learned from what is judged");
    }

    #[test]
    fn starting_anew_forgets_and_rises() {
        let mut baseline = learned();
        assert_eq!((baseline.devices(), baseline.windows()), (2, 20));
        baseline.start(at(1_000), Some(Span::from_secs(5)));
        assert_eq!((baseline.devices(), baseline.windows(), baseline.learned()), (0, 0, Span::ZERO));
        assert_eq!(baseline.handle_time(at(1_005)).unwrap().id.to_string(), "b2");
        assert_eq!(baseline.handle_device(device(1), at(1_006)), Familiarity::New);
    }

    #[test]
    fn a_full_device_table_keeps_what_is_known_and_forgets_the_oldest_newcomer() {
        let mut baseline = learned();
        for n in 3..=6_u8 {
            assert_eq!(baseline.handle_device(device(n), at(700 + u64::from(n))), Familiarity::New);
        }
        assert_eq!(
            (baseline.untracked(), baseline.handle_device(device(1), at(710))),
            (2, Familiarity::Known)
        );
        assert_eq!(baseline.strangers().collect::<Vec<_>>(), [device(5), device(6)]);
        assert_eq!(baseline.handle_device(device(3), at(711)), Familiarity::New, "it was forgotten");
        // While learning, too, and then no windows of it are kept.
        baseline.start(at(800), None);
        for n in 1..=6 {
            baseline.handle_window(device(n), &window(at(840), 1.0));
        }
        assert_eq!((baseline.devices(), baseline.windows()), (4, 4));
    }

    #[test]
    fn windows_are_bounded_and_in_order() {
        let mut baseline = Baseline::new(small());
        baseline.start(at(0), None);
        for minute in 0..100 {
            for n in 1..=3 {
                baseline.handle_window(device(n), &window(at(60 * minute), 1.0));
            }
        }
        assert_eq!(baseline.windows(), 50);
        let windows: Vec<_> = baseline.training().map(|(key, start, _)| (start, key)).collect();
        assert!(windows.is_sorted() && windows.len() == 50);
    }

    #[test]
    fn only_time_that_was_watched_is_learned() {
        let mut baseline = Baseline::new(small());
        baseline.start(at(0), None);
        baseline.handle_time(at(100));
        // Slightly out of order: time stands still. Set back: it goes on from there. Far ahead: a hole.
        baseline.handle_time(at(100) - Span::from_millis(200));
        baseline.handle_time(at(100));
        assert_eq!(baseline.learned(), Span::from_secs(100));
        baseline.handle_time(at(40));
        baseline.handle_time(at(50));
        assert_eq!(baseline.learned(), Span::from_secs(110));
        baseline.handle_time(at(1_000_000));
        assert_eq!(baseline.learned(), Span::from_secs(110));
        // The window that the hole ended in is not whole, the next is.
        baseline.handle_window(device(1), &window(at(1_000_000 - 30), 1.0));
        assert_eq!(baseline.windows(), 0);
        baseline.handle_window(device(1), &window(at(1_000_000 + 30), 1.0));
        assert_eq!(baseline.windows(), 1);
    }

    #[test]
    fn the_window_in_which_learning_began_is_not_kept() {
        let mut baseline = Baseline::new(small());
        baseline.start(at(10), None);
        baseline.handle_window(device(1), &window(at(0), 1.0));
        assert_eq!(baseline.windows(), 0);
        assert_eq!(baseline.standing(device(1)), None);
    }

    #[test]
    fn learning_goes_on_after_a_restart() {
        let mut baseline = Baseline::new(small());
        baseline.start(at(0), None);
        baseline.handle_time(at(400));
        baseline.handle_window(device(1), &window(at(60), 1.0));
        let mut baseline = Baseline::restore(small(), &baseline.snapshot()).unwrap();
        assert_eq!((baseline.phase(), baseline.learned()), (Phase::Learning, Span::from_secs(400)));
        // Two days later: they were not watched.
        assert_eq!(baseline.handle_time(at(200_000)), None);
        assert!(!baseline.is_whole(&window(at(199_980), 1.0)));
        assert_eq!(baseline.handle_time(at(200_199)), None);
        baseline.handle_window(device(1), &window(at(200_040), 1.0));
        let ended = baseline.handle_time(at(200_200)).unwrap();
        assert_eq!((ended.learned, ended.windows), (Span::from_secs(600), 2));
        assert_eq!(ended.id.to_string(), "b1");
    }

    #[test]
    fn a_snapshot_is_the_baseline() {
        let mut baseline = learned();
        baseline.handle_device(device(3), at(700));
        let snapshot = baseline.snapshot();
        let mut restored = Baseline::restore(small(), &snapshot).unwrap();
        assert_eq!(restored.snapshot(), snapshot);
        assert!(restored.training().eq(baseline.training()));
        assert_eq!(restored.profiles(), baseline.profiles());
        assert_eq!(restored.handle_device(device(1), at(800)), Familiarity::Known);
        assert_eq!(restored.handle_device(device(3), at(800)), Familiarity::Newcomer);
        assert_eq!(restored.handle_device(device(4), at(800)), Familiarity::New);
    }

    #[test]
    fn lowered_capacities_thin_a_snapshot() {
        let mut baseline = learned();
        baseline.handle_device(device(0), at(700));
        let config = Config { window_capacity: 10, device_capacity: 2, ..small() };
        let restored = Baseline::restore(config, &baseline.snapshot()).unwrap();
        assert_eq!((restored.devices(), restored.windows()), (2, 10));
        assert_eq!(restored.standing(device(0)), None, "known devices come first");
    }

    #[test]
    fn a_full_sample_goes_on_alike_after_a_restart() {
        let mut baseline = Baseline::new(small());
        baseline.start(at(0), None);
        let teach = |baseline: &mut Baseline, minutes: std::ops::Range<u64>| {
            for minute in minutes {
                baseline.handle_time(at(60));
                baseline.handle_window(device(1), &window(at(60 * minute), 1.0));
                baseline.handle_window(device(2), &window(at(60 * minute), 2.0));
            }
        };
        teach(&mut baseline, 1..100);
        let mut restored = Baseline::restore(small(), &baseline.snapshot()).unwrap();
        teach(&mut baseline, 100..200);
        teach(&mut restored, 100..200);
        assert_eq!(restored.snapshot(), baseline.snapshot());
    }

    proptest! {
        #[test]
        fn any_bytes_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(Baseline::restore(small(), &bytes).is_err());
        }

        #[test]
        fn a_changed_byte_is_refused(at in any::<prop::sample::Index>(), change in 1_u8..) {
            let mut bytes = learned().snapshot();
            let place = at.index(bytes.len());
            bytes[place] ^= change;
            prop_assert!(Baseline::restore(small(), &bytes).is_err());
            bytes.truncate(place);
            let refusal = Baseline::restore(small(), &bytes).unwrap_err();
            let told = matches!(refusal, BadSnapshot::Foreign { .. } | BadSnapshot::Damaged { .. });
            prop_assert!(told, "{refusal}");
        }

        #[test]
        fn a_forged_body_never_panics(changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8)) {
            let bytes = crate::baseline::snapshot::forge(&learned().snapshot(), &changes);
            if let Ok(mut baseline) = Baseline::restore(small(), &bytes) {
                baseline.handle_time(at(0));
                baseline.handle_time(at(700));
                baseline.handle_device(device(9), at(700));
                prop_assert!(baseline.windows() <= 50);
                let again = baseline.snapshot();
                prop_assert_eq!(Baseline::restore(small(), &again).unwrap().snapshot(), again);
            }
        }
    }
}
