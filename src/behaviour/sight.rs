//! [`Sight`]: the 64 things tried last, one by one. What their outcomes amount to is `trial`'s.
//!
//! It is asked several times for each packet of a scan, and made anew for each of a flood. So states are bits, 64 to a
//! word, a thing is looked for by a byte of its hash first, and a fresh one touches no slot.

use super::trial::{Outcome, Silence, Tried};
use crate::time::{Span, Timestamp};

/// Things in sight at once: one for each bit of a word.
pub(super) const SLOTS: usize = 64;

const LOW_BITS: u64 = 0x0101_0101_0101_0101;
const HIGH_BITS: u64 = 0x8080_8080_8080_8080;

/// Slots of tries. A bit of each word is that of the slot with its number.
#[derive(Clone, Debug)]
pub(super) struct Sight<T> {
    taken: u64,
    pending: u64,
    answered: u64,
    failed: u64,
    /// Where silence tells.
    telling: u64,
    /// No pending try is older.
    oldest: Timestamp,
    /// A byte of each hash, eight to a word.
    tags: [u64; SLOTS / 8],
    times: [Timestamp; SLOTS],
    things: [Option<T>; SLOTS],
}

/// A try that was put out of sight before its outcome was known.
pub(super) struct Lost<T> {
    pub(super) thing: T,
    pub(super) silence: Silence,
}

impl<T: Tried> Sight<T> {
    pub(super) fn new() -> Self {
        Self {
            taken: 0,
            pending: 0,
            answered: 0,
            failed: 0,
            telling: 0,
            oldest: Timestamp::EPOCH,
            tags: [0; SLOTS / 8],
            times: [Timestamp::EPOCH; SLOTS],
            things: [None; SLOTS],
        }
    }

    /// Forgets all.
    pub(super) const fn clear(&mut self) {
        (self.taken, self.pending, self.answered, self.failed, self.telling) = (0, 0, 0, 0, 0);
    }

    /// Where a thing is in sight.
    pub(super) fn find(&self, thing: &T, hash: u64) -> Option<usize> {
        let tag = LOW_BITS.wrapping_mul(hash >> 56);
        for (word, &tags) in (0..).zip(&self.tags) {
            let different = tags ^ tag;
            // The high bit of each byte that is zero, and maybe of bytes above one (Lamport, "Multiple byte processing
            // with full-word instructions", CACM 18(8), 1975).
            let mut alike = different.wrapping_sub(LOW_BITS) & !different & HIGH_BITS;
            while alike != 0 {
                let at = word * 8 + index(alike) / 8;
                alike &= alike - 1;
                if self.taken & bit(at) != 0
                    && self.things.get(at).is_some_and(|t| t.as_ref().is_some_and(|t| t.same(thing)))
                {
                    return Some(at);
                }
            }
        }
        None
    }

    /// Puts a thing that is not in sight into a free slot, else into that of the oldest with an outcome, answered ones
    /// first, else of the oldest. Gives a try that was pending there.
    pub(super) fn put(&mut self, thing: T, hash: u64, now: Timestamp, silence: Silence) -> Option<Lost<T>> {
        let at = self.cheapest();
        let lost = (self.pending & bit(at) != 0).then(|| {
            let silence = if self.telling & bit(at) == 0 { Silence::TellsLittle } else { Silence::Tells };
            self.things.get(at).copied().flatten().map(|thing| Lost { thing, silence })
        });
        self.oldest = if self.pending == 0 { now } else { self.oldest.min(now) };
        self.taken |= bit(at);
        self.pending |= bit(at);
        self.answered &= !bit(at);
        self.failed &= !bit(at);
        match silence {
            Silence::Tells => self.telling |= bit(at),
            Silence::TellsLittle => self.telling &= !bit(at),
        }
        if let Some(word) = self.tags.get_mut(at / 8) {
            let shift = at % 8 * 8;
            *word = *word & !(0xff << shift) | (hash >> 56) << shift;
        }
        if let (Some(time), Some(place)) = (self.times.get_mut(at), self.things.get_mut(at)) {
            (*time, *place) = (now, Some(thing));
        }
        lost.flatten()
    }

    pub(super) fn outcome(&self, at: usize) -> Outcome {
        if self.pending & bit(at) != 0 {
            Outcome::Pending
        } else if self.answered & bit(at) != 0 {
            Outcome::Answered
        } else if self.failed & bit(at) != 0 {
            Outcome::Failed
        } else {
            Outcome::Silent
        }
    }

    pub(super) fn settle(&mut self, at: usize, outcome: Outcome) {
        self.pending &= !bit(at);
        self.answered &= !bit(at);
        self.failed &= !bit(at);
        match outcome {
            Outcome::Pending => self.pending |= bit(at),
            Outcome::Answered => self.answered |= bit(at),
            Outcome::Failed => self.failed |= bit(at),
            Outcome::Silent => {}
        }
    }

    /// It is tried again.
    pub(super) fn touch(&mut self, at: usize, now: Timestamp) {
        if let Some(time) = self.times.get_mut(at) {
            *time = now;
        }
    }

    /// What has waited for so long is given away, and has this outcome from now on; what it is taken for out of sight
    /// when there is none.
    pub(super) fn expire(
        &mut self,
        now: Timestamp,
        patience: Span,
        mut take: impl FnMut(&T, Silence) -> Option<Outcome>,
    ) {
        if self.pending == 0 || now.since(self.oldest) < patience {
            return;
        }
        let mut oldest = now;
        for at in bits(self.pending) {
            let Some(&time) = self.times.get(at) else { continue };
            if now.since(time) < patience {
                oldest = oldest.min(time);
                continue;
            }
            let silence = if self.telling & bit(at) == 0 { Silence::TellsLittle } else { Silence::Tells };
            let outcome = self.things.get(at).and_then(Option::as_ref).and_then(|thing| take(thing, silence));
            self.settle(at, outcome.unwrap_or(Outcome::Silent));
            if outcome.is_none() {
                self.taken &= !bit(at);
            }
        }
        self.oldest = oldest;
    }

    pub(super) const fn pending(&self) -> u32 {
        self.pending.count_ones()
    }

    /// What waits for its outcome and will fail by silence alone.
    pub(super) const fn in_flight(&self) -> u32 {
        (self.pending & self.telling).count_ones()
    }

    /// Things that ended so, with their times.
    pub(super) fn all(&self, outcome: Outcome) -> impl Iterator<Item = (Timestamp, &T)> {
        let some = match outcome {
            Outcome::Pending => self.pending,
            Outcome::Answered => self.answered,
            Outcome::Failed => self.failed,
            Outcome::Silent => self.taken & !(self.pending | self.answered | self.failed),
        };
        bits(some).filter_map(|at| Some((*self.times.get(at)?, self.things.get(at)?.as_ref()?)))
    }

    fn cheapest(&self) -> usize {
        if self.taken != u64::MAX {
            return index(!self.taken);
        }
        let settled = self.taken & !self.pending & !self.answered;
        let rank = [self.answered, settled].into_iter().find(|&rank| rank != 0).unwrap_or(self.pending);
        let timed = self.times.iter().enumerate().filter(|&(at, _)| rank & bit(at) != 0);
        timed.min_by_key(|&(_, time)| time).map_or(0, |(at, _)| at)
    }
}

const fn bit(at: usize) -> u64 {
    1 << (at % SLOTS)
}

/// The number of the lowest bit that is set.
fn index(word: u64) -> usize {
    usize::try_from(word.trailing_zeros()).unwrap_or(0)
}

/// The numbers of the bits that are set, lowest first.
fn bits(mut word: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let at = (word != 0).then(|| index(word))?;
        word &= word - 1;
        Some(at)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bounded::scramble;
    use proptest::prelude::*;

    impl Tried for u16 {
        fn same(&self, other: &Self) -> bool {
            self == other
        }

        fn hash(&self) -> u64 {
            // Few tags, so that they meet.
            scramble(u64::from(*self % 5))
        }
    }

    /// A slot as it would be written without bits.
    #[derive(Clone, Copy)]
    struct Slot {
        thing: u16,
        time: Timestamp,
        outcome: Outcome,
        silence: Silence,
    }

    fn rank(slot: Option<&Slot>) -> Option<(u8, Timestamp)> {
        slot.map(|slot| match slot.outcome {
            Outcome::Answered => (0, slot.time),
            Outcome::Silent | Outcome::Failed => (1, slot.time),
            Outcome::Pending => (2, slot.time),
        })
    }

    proptest! {
        #[test]
        fn behaves_as_plain_slots(steps in prop::collection::vec((0..6_u8, 0..90_u16, 0..400_u64), 1..600)) {
            let mut sight = Sight::<u16>::new();
            let mut model: Vec<Option<Slot>> = vec![None; SLOTS];
            let mut now = Timestamp::from_parts(1_000, 0);
            let patience = Span::from_millis(1_500);
            for (action, thing, millis) in steps {
                now = now + Span::from_millis(millis / 8);
                let known = model.iter().position(|slot| slot.is_some_and(|slot| slot.thing == thing));
                prop_assert_eq!(sight.find(&thing, thing.hash()), known);
                let silence = if thing % 2 == 0 { Silence::Tells } else { Silence::TellsLittle };
                match (action, known) {
                    (0..=2, None) => {
                        let (at, _) = model
                            .iter()
                            .enumerate()
                            .min_by_key(|(_, slot)| rank(slot.as_ref()))
                            .unwrap();
                        let lost = model[at].filter(|slot| slot.outcome == Outcome::Pending);
                        model[at] = Some(Slot { thing, time: now, outcome: Outcome::Pending, silence });
                        let told = sight.put(thing, thing.hash(), now, silence);
                        prop_assert_eq!(
                            told.map(|lost| (lost.thing, lost.silence)),
                            lost.map(|lost| (lost.thing, lost.silence))
                        );
                    }
                    (3, Some(at)) => {
                        sight.touch(at, now);
                        if sight.outcome(at) == Outcome::Pending {
                            // Only what has an outcome is tried again.
                            sight.touch(at, model[at].unwrap().time);
                        } else {
                            model[at].as_mut().unwrap().time = now;
                        }
                    }
                    (4, Some(at)) => {
                        let outcome =
                            [Outcome::Answered, Outcome::Failed, Outcome::Silent][usize::from(thing % 3)];
                        sight.settle(at, outcome);
                        model[at].as_mut().unwrap().outcome = outcome;
                    }
                    (5, _) => {
                        let forget = millis % 2 == 0;
                        let mut taken = Vec::new();
                        sight.expire(now, patience, |thing, silence| {
                            taken.push((*thing, silence));
                            (!forget).then_some(Outcome::Failed)
                        });
                        let mut expected = Vec::new();
                        for place in &mut model {
                            let Some(slot) = place else { continue };
                            if slot.outcome == Outcome::Pending && now.since(slot.time) >= patience {
                                expected.push((slot.thing, slot.silence));
                                slot.outcome = Outcome::Failed;
                                if forget {
                                    *place = None;
                                }
                            }
                        }
                        prop_assert_eq!(taken, expected);
                    }
                    _ => {}
                }
                for outcome in [Outcome::Pending, Outcome::Answered, Outcome::Failed, Outcome::Silent] {
                    let seen: Vec<_> = sight.all(outcome).map(|(time, thing)| (time, *thing)).collect();
                    let slots = model.iter().flatten().filter(|slot| slot.outcome == outcome);
                    prop_assert_eq!(seen, slots.map(|slot| (slot.time, slot.thing)).collect::<Vec<_>>());
                }
                let waits = model.iter().flatten().filter(|slot| slot.outcome == Outcome::Pending);
                prop_assert_eq!(usize::try_from(sight.pending()).unwrap(), waits.clone().count());
                let tells = waits.filter(|slot| slot.silence == Silence::Tells).count();
                prop_assert_eq!(usize::try_from(sight.in_flight()).unwrap(), tells);
            }
            sight.clear();
            prop_assert_eq!((sight.pending(), sight.find(&1, 1_u16.hash())), (0, None));
        }
    }
}
