//! [`Confluence`]: what several sources saw, as one row of observations for the judge. Each source has a meter and a
//! clock of its own; here they get one clock. What an observation means is the judge's.

use std::collections::VecDeque;

use super::{Coverage, Observation};
use crate::time::{Span, Timestamp};

/// Which source something comes from. Never given twice in one run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceId(pub u16);

/// The clock is that of the source that is furthest behind: everything up to it was heard of from all, so that a
/// window is there before the time at which it ends. One that says nothing for [`Confluence::LATE`] is not waited for.
/// Time counts as watched while at least one source watches; the windows of one with a hole are marked.
#[derive(Debug, Default)]
pub struct Confluence {
    /// At most [`Confluence::SOURCES`]; the one furthest behind makes room.
    sources: Vec<Current>,
    now: Option<Timestamp>,
    /// Drained by the caller after each call, which adds at most two.
    out: VecDeque<Observation>,
}

#[derive(Clone, Copy, Debug)]
struct Current {
    id: SourceId,
    now: Timestamp,
    /// What began before was not watched whole by this source.
    hole: Timestamp,
    watching: bool,
    /// The common clock jumped, and this one did not yet.
    astray: bool,
}

impl Confluence {
    /// Sources heard at once; more than a machine has interfaces worth listening on.
    pub const SOURCES: usize = 16;
    /// A source that is behind the others by more than this is stuck, as while names of a filter are looked up; and
    /// two clocks that differ by more do not tell the same time. As far as a meter lets a frame be late.
    const LATE: Span = Span::from_secs(10);

    /// Nothing was heard yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes one observation of a source in.
    pub fn handle(&mut self, from: SourceId, observation: Observation) {
        match observation {
            Observation::Device(_) | Observation::Evidence(_) => self.out.push_back(observation),
            Observation::Window(mut seen) => {
                if self.find(from).is_some_and(|source| seen.window.start < source.hole) {
                    seen.coverage = Coverage::Broken;
                }
                self.out.push_back(Observation::Window(seen));
            }
            Observation::Time(time) => self.handle_time(from, time),
            Observation::Unwatched(time) => self.handle_unwatched(from, time),
            Observation::Step(time) => self.handle_step(from, time),
        }
    }

    /// A source will say nothing more.
    pub fn handle_end(&mut self, from: SourceId) {
        self.sources.retain(|source| source.id != from);
        self.advance();
    }

    /// The next observation for the judge, in order.
    pub fn poll(&mut self) -> Option<Observation> {
        self.out.pop_front()
    }

    fn handle_time(&mut self, from: SourceId, time: Timestamp) {
        let (clock, alone) = (self.clock_beside(from), self.is_alone(from));
        // One that goes on by itself is followed; only one that is new or was lost may tell another time.
        let in_doubt = self.find(from).is_none_or(|source| source.astray);
        let astray = in_doubt && clock.is_some_and(|clock| is_far(clock, time));
        let source = self.enter(from, time);
        source.watching = source.hole < time;
        (source.now, source.astray) = (time, astray);
        if astray && alone {
            return self.step(from, time);
        }
        self.advance();
    }

    fn handle_unwatched(&mut self, from: SourceId, time: Timestamp) {
        let source = self.enter(from, time);
        source.hole = source.hole.max(time);
        source.watching = false;
        if let [_] = self.sources.as_slice() {
            self.out.push_back(Observation::Unwatched(time));
        }
    }

    /// The clock of all jumps with the first that does; the others are not waited for until they follow.
    fn handle_step(&mut self, from: SourceId, time: Timestamp) {
        let (clock, alone) = (self.clock_beside(from), self.is_alone(from));
        let source = self.enter(from, time);
        (source.now, source.hole, source.watching, source.astray) = (time, time, true, false);
        if !alone && clock.is_some_and(|clock| !is_far(clock, time)) {
            return self.advance();
        }
        self.step(from, time);
    }

    fn step(&mut self, from: SourceId, time: Timestamp) {
        for source in &mut self.sources {
            source.astray = source.id != from && is_far(source.now, time);
        }
        self.now = Some(time);
        self.out.push_back(Observation::Step(time));
    }

    fn advance(&mut self) {
        let heard = || self.sources.iter().filter(|source| !source.astray);
        let Some(newest) = heard().map(|source| source.now).max() else { return };
        let waited_for = |source: &&Current| newest.since(source.now) <= Self::LATE;
        let Some(time) = heard().filter(waited_for).map(|source| source.now).min() else { return };
        if self.now.is_some_and(|now| time <= now) {
            return;
        }
        self.now = Some(time);
        if self.sources.len() > 1 && !heard().any(|source| source.watching) {
            self.out.push_back(Observation::Unwatched(time));
        }
        self.out.push_back(Observation::Time(time));
    }

    /// The time as the others tell it.
    fn clock_beside(&self, from: SourceId) -> Option<Timestamp> {
        let others = self.sources.iter().filter(|source| !source.astray && source.id != from);
        others.map(|source| source.now).max().or(self.now)
    }

    /// Whether no other source tells the time.
    fn is_alone(&self, from: SourceId) -> bool {
        self.sources.iter().all(|source| source.astray || source.id == from)
    }

    fn find(&self, id: SourceId) -> Option<&Current> {
        self.sources.iter().find(|source| source.id == id)
    }

    fn enter(&mut self, id: SourceId, time: Timestamp) -> &mut Current {
        let at = match self.sources.iter().position(|source| source.id == id) {
            Some(at) => at,
            None => {
                if self.sources.len() >= Self::SOURCES {
                    let last = self.sources.iter().enumerate().min_by_key(|(_, source)| source.now);
                    if let Some((at, _)) = last {
                        self.sources.remove(at);
                    }
                }
                self.sources.push(Current { id, now: time, hole: time, watching: true, astray: false });
                self.sources.len() - 1
            }
        };
        &mut self.sources[at]
    }
}

fn is_far(a: Timestamp, b: Timestamp) -> bool {
    a.since(b).max(b.since(a)) > Confluence::LATE
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::behaviour::Party;
    use crate::feature::{COUNT, DeviceWindow, FeatureVector};
    use crate::flow::{DeviceId, DeviceKey};
    use crate::packet::Mac;
    use crate::pipeline::WindowSeen;

    const A: SourceId = SourceId(0);
    const B: SourceId = SourceId(1);

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_parts(1_700_000_040 + seconds, 0)
    }

    fn told(all: &mut Confluence, from: SourceId, observation: Observation) -> Vec<Observation> {
        all.handle(from, observation);
        std::iter::from_fn(|| all.poll()).collect()
    }

    fn window(start: i64) -> Observation {
        let window = DeviceWindow {
            device: DeviceId { slot: 0, generation: 0 },
            start: at(start),
            end: at(start + 60),
            vector: FeatureVector::new([1.0; COUNT]),
            packets: 9,
            bytes: 900,
        };
        let key = DeviceKey::Mac(Mac([2, 0, 0, 0, 0, 1]));
        Observation::Window(WindowSeen { key, party: Party::default(), window, coverage: Coverage::Whole })
    }

    fn coverage(all: &mut Confluence, from: SourceId, start: i64) -> Coverage {
        match told(all, from, window(start)).as_slice() {
            [Observation::Window(seen)] => seen.coverage,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn one_source_is_told_of_as_it_is() {
        let mut all = Confluence::new();
        for observation in [
            Observation::Time(at(0)),
            Observation::Unwatched(at(1)),
            Observation::Time(at(2)),
            Observation::Step(at(9_000)),
            Observation::Step(at(9_005)),
            Observation::Time(at(9_006)),
            Observation::Step(at(-50)),
        ] {
            assert_eq!(told(&mut all, A, observation.clone()), [observation]);
        }
    }

    #[test]
    fn the_clock_is_that_of_the_source_furthest_behind() {
        let mut all = Confluence::new();
        assert_eq!(told(&mut all, A, Observation::Time(at(10))), [Observation::Time(at(10))]);
        assert_eq!(told(&mut all, B, Observation::Time(at(9))), [], "time does not go back");
        assert_eq!(told(&mut all, A, Observation::Time(at(12))), []);
        assert_eq!(told(&mut all, B, Observation::Time(at(11))), [Observation::Time(at(11))]);
        // One that is stuck is waited for a while.
        assert_eq!(told(&mut all, A, Observation::Time(at(21))), []);
        assert_eq!(told(&mut all, A, Observation::Time(at(22))), [Observation::Time(at(22))]);
        assert_eq!(told(&mut all, B, Observation::Time(at(23))), []);
        assert_eq!(told(&mut all, A, Observation::Time(at(24))), [Observation::Time(at(23))]);
        all.handle_end(B);
        assert_eq!(all.poll(), Some(Observation::Time(at(24))));
    }

    #[test]
    fn a_hole_of_one_source_breaks_its_own_windows_only() {
        let mut all = Confluence::new();
        for source in [A, B] {
            told(&mut all, source, Observation::Time(at(0)));
        }
        assert_eq!(told(&mut all, A, Observation::Unwatched(at(5))), []);
        assert_eq!(told(&mut all, A, Observation::Time(at(5))), []);
        assert_eq!(told(&mut all, B, Observation::Time(at(5))), [Observation::Time(at(5))], "B watches");
        assert_eq!((coverage(&mut all, A, 0), coverage(&mut all, B, 0)), (Coverage::Broken, Coverage::Whole));
        assert_eq!(coverage(&mut all, A, 60), Coverage::Whole);
        // Where nobody watches, nothing is learned.
        for source in [A, B] {
            assert_eq!(told(&mut all, source, Observation::Unwatched(at(6))), []);
        }
        assert_eq!(told(&mut all, A, Observation::Time(at(6))), []);
        let both = [Observation::Unwatched(at(6)), Observation::Time(at(6))];
        assert_eq!(told(&mut all, B, Observation::Time(at(6))), both);
    }

    #[test]
    fn a_source_that_comes_later_has_no_whole_window_before() {
        let mut all = Confluence::new();
        told(&mut all, A, Observation::Time(at(0)));
        told(&mut all, A, Observation::Time(at(30)));
        told(&mut all, B, Observation::Time(at(30)));
        assert_eq!((coverage(&mut all, A, 0), coverage(&mut all, B, 0)), (Coverage::Whole, Coverage::Broken));
    }

    #[test]
    fn a_jump_of_the_clock_is_one_jump_whoever_tells_of_it_first() {
        for jump in [-3_600, 3_600] {
            let mut all = Confluence::new();
            for source in [A, B] {
                told(&mut all, source, Observation::Time(at(0)));
            }
            let step = Observation::Step(at(jump));
            assert_eq!(told(&mut all, A, step.clone()), [step]);
            assert_eq!(told(&mut all, B, Observation::Time(at(1))), [], "it has not jumped yet");
            assert_eq!(told(&mut all, A, Observation::Time(at(jump + 1))), [Observation::Time(at(jump + 1))]);
            assert_eq!(told(&mut all, B, Observation::Step(at(jump + 1))), []);
            assert_eq!(told(&mut all, A, Observation::Time(at(jump + 3))), []);
            let time = Observation::Time(at(jump + 2));
            assert_eq!(told(&mut all, B, time.clone()), [time]);
            assert_eq!(coverage(&mut all, B, jump), Coverage::Broken);
        }
    }

    #[test]
    fn one_that_stays_behind_a_jump_goes_on_alone() {
        let mut all = Confluence::new();
        for source in [A, B] {
            told(&mut all, source, Observation::Time(at(0)));
        }
        told(&mut all, A, Observation::Step(at(3_600)));
        all.handle_end(A);
        assert_eq!(told(&mut all, B, Observation::Time(at(1))), [Observation::Step(at(1))]);
    }

    #[test]
    fn there_are_never_more_sources_than_there_is_room_for() {
        let mut all = Confluence::new();
        for n in 0..100_u16 {
            told(&mut all, SourceId(n), Observation::Time(at(i64::from(n) / 20)));
        }
        assert_eq!(all.sources.len(), Confluence::SOURCES);
        assert!(all.sources.iter().any(|source| source.id == SourceId(99)));
    }
}
