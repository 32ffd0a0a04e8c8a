//! [`Trials`]: what one host tried (ports of a target, or targets), with what outcome. What is tried, and from how
//! many failures on it is a scan, is the detectors'.
//!
//! Read first: Jung, Paxson, Berger, Balakrishnan, "Fast Portscan Detection Using Sequential Hypothesis Testing", IEEE
//! S&P 2004, sections 4.1 and 4.2.

use crate::bounded::Distinct;
use crate::time::{Span, Timestamp};

/// Silence after which a try has failed: the first SYN retransmission comes after 1 s (RFC 6298, section 2), and a
/// satellite link answers within 0.7 s. An answer that comes later still counts as one.
pub(super) const PATIENCE: Span = Span::from_millis(1_500);

/// Time without a new thing tried after which all is forgotten: the interval of Zeek's scan policy, `scan.zeek`.
pub(super) const MEMORY: Span = Span::from_secs(300);

/// Length after which an episode is forgotten although it goes on: an afternoon of successes must not hide what is
/// tried in the evening.
const EPISODE: Span = Span::from_secs(1_800);

/// Failures by which tries must exceed successes. With the success rates of Jung et al. (0.8 for the benign, 0.2 for
/// scanners) each outcome weighs a factor of 4, and 4^4 exceeds their upper bound of 99 for one false alarm in a
/// hundred and a detection of 99 %.
pub(super) const EXCESS: u64 = 4;

/// Things in sight at once.
const SLOTS: usize = 64;

/// Bitmaps in which what is pushed out of sight grows old, one after the other.
const CROWDS: usize = 3;
/// How long each of them is the youngest: the oldest is then at least [`PATIENCE`] old.
const CROWD_TURN: Span = Span::from_nanos(PATIENCE.as_nanos() / 2);

/// A thing that can be tried. Two that are the same are counted once.
pub(super) trait Tried: Copy {
    fn same(&self, other: &Self) -> bool;
    fn hash(&self) -> u64;
}

/// How a try ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Not yet.
    Pending,
    /// Nothing came, and that says little.
    Silent,
    /// Refused, or nothing came where an answer was due.
    Failed,
    /// Answered.
    Answered,
}

/// What silence says of a thing that was tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Silence {
    /// It failed.
    Tells,
    /// Not much: it is counted apart.
    TellsLittle,
}

#[derive(Clone, Copy, Debug)]
struct Trial<T> {
    time: Timestamp,
    object: T,
    outcome: Outcome,
    silence: Silence,
}

/// Distinct things that one host tried, and their outcomes.
///
/// The 64 tried last are in sight one by one. What is pushed out of sight before its outcome is known (more than 64
/// tries within [`PATIENCE`]) waits in a bitmap and counts as failed after that, at most half as much later. Counts are
/// linear counters of 1,024 bits, good to 3 % at a thousand; they end at 7,098.
#[derive(Clone, Debug)]
pub(super) struct Trials<T> {
    slots: [Option<Trial<T>>; SLOTS],
    pending: usize,
    failed: Distinct<16>,
    /// Failed ones that were answered late.
    forgiven: u64,
    silent: Distinct<16>,
    /// Failures and silences, those of the same thing included.
    failures: u64,
    answered: Distinct<16>,
    crowd: [Distinct<16>; CROWDS],
    crowd_turned: Timestamp,
    began: Timestamp,
    renewed: Timestamp,
    /// The first try since all before it were answered.
    since: Timestamp,
}

impl<T: Tried> Trials<T> {
    pub(super) fn new(now: Timestamp) -> Self {
        Self {
            slots: [None; SLOTS],
            pending: 0,
            failed: Distinct::EMPTY,
            forgiven: 0,
            silent: Distinct::EMPTY,
            failures: 0,
            answered: Distinct::EMPTY,
            crowd: [Distinct::EMPTY; CROWDS],
            crowd_turned: now,
            began: now,
            renewed: now,
            since: now,
        }
    }

    /// A thing is tried. Says whether that may be evidence: to try what has answered is none.
    pub(super) fn open(&mut self, object: T, now: Timestamp, silence: Silence) -> bool {
        if let Some(at) = self.position(&object) {
            return self.open_again(at, now);
        }
        if self.is_spotless() {
            self.since = now;
        }
        self.renewed = now;
        let at = self.cheapest();
        if let Some(lost) = self.slots[at].take()
            && lost.outcome == Outcome::Pending
        {
            self.pending -= 1;
            match lost.silence {
                Silence::Tells => _ = self.crowd[0].insert(lost.object.hash()),
                Silence::TellsLittle => {
                    self.failures += 1;
                    self.silent.insert(lost.object.hash());
                }
            }
        }
        self.slots[at] = Some(Trial { time: now, object, outcome: Outcome::Pending, silence });
        self.pending += 1;
        true
    }

    /// It was answered, now or late.
    pub(super) fn answer(&mut self, object: &T) {
        self.answered.insert(object.hash());
        self.settle(object, Outcome::Answered);
    }

    /// It was refused.
    pub(super) fn refuse(&mut self, object: &T, silence: Silence) {
        self.failures += 1;
        match silence {
            Silence::Tells => {
                self.failed.insert(object.hash());
                self.settle(object, Outcome::Failed);
            }
            Silence::TellsLittle => {
                self.silent.insert(object.hash());
                self.settle(object, Outcome::Silent);
            }
        }
    }

    /// Takes up what waited too long. Where the tap sees one direction only (`believable` is false), silence says
    /// nothing, and such tries are forgotten. Says whether anything may have failed.
    pub(super) fn expire(&mut self, now: Timestamp, believable: bool) -> bool {
        let before = self.pending;
        if self.pending > 0 {
            for slot in &mut self.slots {
                let Some(trial) = slot else { continue };
                if trial.outcome != Outcome::Pending || now.since(trial.time) < PATIENCE {
                    continue;
                }
                self.pending -= 1;
                self.failures += u64::from(believable);
                match trial.silence {
                    _ if !believable => *slot = None,
                    Silence::Tells => {
                        self.failed.insert(trial.object.hash());
                        trial.outcome = Outcome::Failed;
                    }
                    Silence::TellsLittle => {
                        self.silent.insert(trial.object.hash());
                        trial.outcome = Outcome::Silent;
                    }
                }
            }
        }
        let turned = now.since(self.crowd_turned) >= CROWD_TURN && self.turn_crowd(now, believable);
        turned || self.pending < before
    }

    /// Whether nothing new was tried for [`MEMORY`], or it has gone on for half an hour.
    pub(super) fn is_stale(&self, now: Timestamp) -> bool {
        now.since(self.renewed) >= MEMORY || now.since(self.began) >= EPISODE
    }

    /// What was tried is tried still: it is not to be forgotten for want of new things.
    pub(super) const fn renew(&mut self, now: Timestamp) {
        self.renewed = now;
    }

    /// The first try of those that are held against it, whatever became of it. Tries that were all answered before
    /// the next was made belong to no scan.
    pub(super) const fn since(&self) -> Timestamp {
        self.since
    }

    /// How often something failed or was silent, the same thing again included: it rises as long as tries in vain go on.
    pub(super) const fn failures(&self) -> u64 {
        self.failures
    }

    /// What waits for its outcome and will fail by silence alone.
    pub(super) fn in_flight(&self) -> u64 {
        let waits = |trial: &&Trial<T>| trial.outcome == Outcome::Pending && trial.silence == Silence::Tells;
        u64::try_from(self.slots.iter().flatten().filter(waits).count()).unwrap_or(0)
    }

    pub(super) fn failed(&self) -> u64 {
        self.failed.count().saturating_sub(self.forgiven)
    }

    pub(super) fn silent(&self) -> u64 {
        self.silent.count()
    }

    pub(super) fn answered(&self) -> u64 {
        self.answered.count()
    }

    /// How much evidence would be lost with it: failures weigh four times what is only tried; what is stale is worth
    /// nothing.
    pub(super) fn worth(&self, now: Timestamp) -> u64 {
        if self.is_stale(now) {
            return 0;
        }
        let pending = u64::try_from(self.pending).unwrap_or(0);
        4 * self.failed() + self.silent() + pending
    }

    /// Things in sight that were tried since a time and ended so, latest first.
    pub(super) fn recent(&self, outcome: Outcome, since: Timestamp) -> impl Iterator<Item = T> {
        let mut found: Vec<_> = self
            .slots
            .iter()
            .flatten()
            .filter(|trial| trial.outcome == outcome && trial.time >= since)
            .map(|trial| (trial.time, trial.object))
            .collect();
        found.sort_by_key(|(time, _)| std::cmp::Reverse(*time));
        found.into_iter().map(|(_, object)| object)
    }

    /// How many things of a sort those are.
    pub(super) fn recent_count(&self, outcome: Outcome, since: Timestamp, sort: impl Fn(&T) -> bool) -> u64 {
        let wanted =
            |trial: &&Trial<T>| trial.outcome == outcome && trial.time >= since && sort(&trial.object);
        u64::try_from(self.slots.iter().flatten().filter(wanted).count()).unwrap_or(0)
    }

    /// A thing in sight is tried again; what failed before is taken to fail again.
    fn open_again(&mut self, at: usize, now: Timestamp) -> bool {
        let Some(trial) = &mut self.slots[at] else { return false };
        match trial.outcome {
            Outcome::Pending => return true,
            Outcome::Answered => {}
            Outcome::Silent | Outcome::Failed => self.failures += 1,
        }
        trial.time = now;
        trial.outcome != Outcome::Answered
    }

    /// Whether all that was tried was answered.
    fn is_spotless(&self) -> bool {
        self.pending == 0
            && self.failed.is_empty()
            && self.silent.is_empty()
            && self.crowd.iter().all(Distinct::is_empty)
    }

    fn position(&self, object: &T) -> Option<usize> {
        self.slots.iter().position(|slot| slot.as_ref().is_some_and(|trial| trial.object.same(object)))
    }

    fn settle(&mut self, object: &T, outcome: Outcome) {
        let Some(at) = self.position(object) else { return };
        let Some(trial) = &mut self.slots[at] else { return };
        match (trial.outcome, outcome) {
            (Outcome::Pending, _) => self.pending -= 1,
            (Outcome::Failed, Outcome::Answered) => self.forgiven += 1,
            _ => {}
        }
        // One answer is enough to know that it is there, whatever else was tried on it.
        if trial.outcome != Outcome::Answered {
            trial.outcome = outcome;
        }
    }

    /// The slot to fill: a free one, else the oldest of what has an outcome, answered ones first.
    fn cheapest(&self) -> usize {
        let price = |slot: &Option<Trial<T>>| {
            slot.as_ref().map(|trial| {
                let rank = match trial.outcome {
                    Outcome::Answered => 0,
                    Outcome::Silent | Outcome::Failed => 1,
                    Outcome::Pending => 2,
                };
                (rank, trial.time)
            })
        };
        let least = self.slots.iter().enumerate().min_by_key(|(_, slot)| price(slot));
        least.map_or(0, |(at, _)| at)
    }

    /// Lets what was pushed out of sight grow older. Says whether some of it has failed.
    fn turn_crowd(&mut self, now: Timestamp, believable: bool) -> bool {
        if self.crowd.iter().all(Distinct::is_empty) {
            return false;
        }
        self.crowd_turned = now;
        self.crowd.rotate_right(1);
        let oldest = std::mem::take(&mut self.crowd[0]);
        let failed = believable && !oldest.is_empty();
        if failed {
            self.failed.merge(&oldest);
            self.failures += oldest.count();
        }
        failed
    }
}
