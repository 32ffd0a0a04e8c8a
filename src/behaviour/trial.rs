//! [`Trials`]: what one host tried (ports of a target, or targets), with what outcome. What is tried, and from how
//! many failures on it is a scan, is the detectors'.
//!
//! Read first: Jung, Paxson, Berger, Balakrishnan, "Fast Portscan Detection Using Sequential Hypothesis Testing", IEEE
//! S&P 2004, sections 4.1 and 4.2.

use super::sight::Sight;
use super::table::Worth;
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

/// Distinct things that one host tried, and their outcomes.
///
/// The 64 tried last are in sight one by one. What is pushed out of sight before its outcome is known (more than 64
/// tries within [`PATIENCE`]) waits in a bitmap and counts as failed after that, at most half as much later. Counts are
/// linear counters of 1,024 bits, good to 3 % at a thousand; they end at 7,098.
#[derive(Clone, Debug)]
pub(super) struct Trials<T> {
    sight: Sight<T>,
    failed: Distinct<16>,
    /// Failed ones that were answered late.
    forgiven: u64,
    silent: Distinct<16>,
    /// Failures and silences, those of the same thing included.
    failures: u64,
    answered: Distinct<16>,
    crowd: [Distinct<16>; CROWDS],
    /// Whether anything is in the bitmaps.
    crowded: bool,
    crowd_turned: Timestamp,
    began: Timestamp,
    renewed: Timestamp,
    /// The first try since all before it were answered.
    since: Timestamp,
}

impl<T: Tried> Trials<T> {
    pub(super) fn new(now: Timestamp) -> Self {
        Self {
            sight: Sight::new(),
            failed: Distinct::EMPTY,
            forgiven: 0,
            silent: Distinct::EMPTY,
            failures: 0,
            answered: Distinct::EMPTY,
            crowd: [Distinct::EMPTY; CROWDS],
            crowded: false,
            crowd_turned: now,
            began: now,
            renewed: now,
            since: now,
        }
    }

    /// As new, but for memory that is taken already: most of it is left as it is, since a flood of one-time senders
    /// makes one anew for each of its packets.
    pub(super) fn restart(&mut self, now: Timestamp) {
        self.sight.clear();
        let maps =
            [&mut self.failed, &mut self.silent, &mut self.answered].into_iter().chain(&mut self.crowd);
        for map in maps.filter(|map| !map.is_empty()) {
            map.clear();
        }
        (self.forgiven, self.failures, self.crowded) = (0, 0, false);
        (self.crowd_turned, self.began, self.renewed, self.since) = (now, now, now, now);
    }

    /// A thing is tried. Says whether that may be evidence: to try what has answered is none.
    pub(super) fn open(&mut self, object: T, now: Timestamp, silence: Silence) -> bool {
        let hash = object.hash();
        if let Some(at) = self.sight.find(&object, hash) {
            return self.open_again(at, now);
        }
        if self.is_spotless() {
            self.since = now;
        }
        self.renewed = now;
        if let Some(lost) = self.sight.put(object, hash, now, silence) {
            match lost.silence {
                Silence::Tells => {
                    self.crowd[0].insert(lost.thing.hash());
                    self.crowded = true;
                }
                Silence::TellsLittle => {
                    self.failures += 1;
                    self.silent.insert(lost.thing.hash());
                }
            }
        }
        true
    }

    /// It was answered, now or late.
    pub(super) fn answer(&mut self, object: &T) {
        let hash = object.hash();
        self.answered.insert(hash);
        self.settle(object, hash, Outcome::Answered);
    }

    /// It was refused.
    pub(super) fn refuse(&mut self, object: &T, silence: Silence) {
        let hash = object.hash();
        self.failures += 1;
        match silence {
            Silence::Tells => {
                self.failed.insert(hash);
                self.settle(object, hash, Outcome::Failed);
            }
            Silence::TellsLittle => {
                self.silent.insert(hash);
                self.settle(object, hash, Outcome::Silent);
            }
        }
    }

    /// Takes up what waited too long. Where the tap sees one direction only (`believable` is false), silence says
    /// nothing, and such tries are forgotten. Says whether anything may have failed.
    pub(super) fn expire(&mut self, now: Timestamp, believable: bool) -> bool {
        let before = self.sight.pending();
        if before == 0 && !self.crowded {
            return false;
        }
        let Self { sight, failures, failed, silent, .. } = self;
        sight.expire(now, PATIENCE, |object, silence| {
            if !believable {
                return None;
            }
            *failures += 1;
            Some(match silence {
                Silence::Tells => {
                    failed.insert(object.hash());
                    Outcome::Failed
                }
                Silence::TellsLittle => {
                    silent.insert(object.hash());
                    Outcome::Silent
                }
            })
        });
        let turned = now.since(self.crowd_turned) >= CROWD_TURN && self.turn_crowd(now, believable);
        turned || self.sight.pending() < before
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
        self.sight.in_flight().into()
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
    pub(super) fn worth(&self) -> Worth {
        Worth {
            value: 4 * self.failed() + self.silent() + u64::from(self.sight.pending()),
            until: (self.renewed + MEMORY).min(self.began + EPISODE),
        }
    }

    /// Things in sight that were tried since a time and ended so, latest first.
    pub(super) fn recent(&self, outcome: Outcome, since: Timestamp) -> impl Iterator<Item = T> {
        let mut found: Vec<_> = self.sight.all(outcome).filter(|&(time, _)| time >= since).collect();
        found.sort_by_key(|(time, _)| std::cmp::Reverse(*time));
        found.into_iter().map(|(_, &object)| object)
    }

    /// How many things of a sort those are.
    pub(super) fn recent_count(&self, outcome: Outcome, since: Timestamp, sort: impl Fn(&T) -> bool) -> u64 {
        let wanted = |&(time, object): &(Timestamp, &T)| time >= since && sort(object);
        u64::try_from(self.sight.all(outcome).filter(wanted).count()).unwrap_or(0)
    }

    /// A thing in sight is tried again; what failed before is taken to fail again.
    fn open_again(&mut self, at: usize, now: Timestamp) -> bool {
        let outcome = self.sight.outcome(at);
        match outcome {
            Outcome::Pending => return true,
            Outcome::Answered => {}
            Outcome::Silent | Outcome::Failed => self.failures += 1,
        }
        self.sight.touch(at, now);
        outcome != Outcome::Answered
    }

    /// Whether all that was tried was answered.
    fn is_spotless(&self) -> bool {
        self.sight.pending() == 0 && self.failed.is_empty() && self.silent.is_empty() && !self.crowded
    }

    fn settle(&mut self, object: &T, hash: u64, outcome: Outcome) {
        let Some(at) = self.sight.find(object, hash) else { return };
        let before = self.sight.outcome(at);
        if before == Outcome::Failed && outcome == Outcome::Answered {
            self.forgiven += 1;
        }
        // One answer is enough to know that it is there, whatever else was tried on it.
        if before != Outcome::Answered {
            self.sight.settle(at, outcome);
        }
    }

    /// Lets what was pushed out of sight grow older. Says whether some of it has failed.
    fn turn_crowd(&mut self, now: Timestamp, believable: bool) -> bool {
        if !self.crowded {
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
        self.crowded = !self.crowd.iter().all(Distinct::is_empty);
        failed
    }
}
