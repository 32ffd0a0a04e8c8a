//! [`Sliding`]: what totals have grown by in the last minute or two, longer where little comes.

use crate::time::{Span, Timestamp};

/// Looks at `N` totals that only grow. The first of them is the evidence: a stretch of time ends when it is a minute old
/// and has enough of it, or after an hour. What is read is of the last whole stretch and the present one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sliding<const N: usize> {
    before: [u64; N],
    between: [u64; N],
    since: Option<Timestamp>,
    needed: u64,
}

impl<const N: usize> Sliding<N> {
    /// A stretch lasts at least as long.
    pub(super) const STRETCH: Span = Span::from_secs(60);
    /// What is older tells nothing about now.
    const LONGEST: Span = Span::from_secs(3_600);

    /// `needed` is the evidence that a verdict takes.
    pub(super) const fn new(needed: u64) -> Self {
        Self { before: [0; N], between: [0; N], since: None, needed }
    }

    /// The evidence that a verdict takes.
    pub(super) const fn needed(&self) -> u64 {
        self.needed
    }

    /// Called about each second.
    pub(super) fn handle_time(&mut self, now: Timestamp, totals: [u64; N]) {
        let since = *self.since.get_or_insert(now);
        if now < since {
            // The clock went back.
            self.since = Some(now);
        }
        let age = now.since(since);
        let evidence = totals.first().zip(self.between.first()).map_or(0, |(t, b)| t.saturating_sub(*b));
        if age >= Self::STRETCH && evidence >= self.needed || age >= Self::LONGEST {
            self.before = self.between;
            self.between = totals;
            self.since = Some(now);
        }
    }

    /// The growth.
    pub(super) fn read(&self, totals: [u64; N]) -> [u64; N] {
        let mut grown = totals;
        for (total, before) in grown.iter_mut().zip(self.before) {
            *total = total.saturating_sub(before);
        }
        grown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_evidence_goes_when_there_is_new() {
        let at = |seconds: i64| Timestamp::from_parts(1_700_000_000 + seconds, 0);
        let mut sliding = Sliding::<2>::new(10);
        sliding.handle_time(at(0), [0, 0]);
        sliding.handle_time(at(61), [5, 5]);
        assert_eq!(sliding.read([9, 9]), [9, 9], "too little to forget any");
        sliding.handle_time(at(90), [20, 20]);
        assert_eq!(sliding.read([21, 20]), [21, 20], "the stretch that ended is still told of");
        sliding.handle_time(at(151), [40, 20]);
        assert_eq!(sliding.read([41, 20]), [21, 0]);
        sliding.handle_time(at(3_800), [41, 20]);
        sliding.handle_time(at(7_500), [41, 20]);
        assert_eq!(sliding.read([41, 20]), [0, 0], "an hour is the most");
    }

    #[test]
    fn a_clock_that_goes_back_begins_a_stretch() {
        let at = |seconds: i64| Timestamp::from_parts(1_700_000_000 + seconds, 0);
        let mut sliding = Sliding::<1>::new(0);
        sliding.handle_time(at(0), [0]);
        sliding.handle_time(at(-86_400), [1]);
        sliding.handle_time(at(-86_300), [1]);
        assert_eq!(sliding.read([1]), [1]);
        sliding.handle_time(at(-86_200), [1]);
        assert_eq!(sliding.read([1]), [0]);
    }
}
