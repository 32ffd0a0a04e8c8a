//! [`Streams`]: pairs of streams by their key, in a bounded table. What is worth a place is decided by the damped
//! weight; what a key and a value mean is the caller's.

use super::statistic::Pair;
use super::{DECAYS, Now, SLOW};
use crate::bounded::{Keyed, Place, Refused, Table};
use crate::flow::FlowKey;

/// At most `capacity` pairs.
///
/// When a new one comes to a full table, up to [`Streams::LOOKS`] that were longest not looked at are, until one is
/// found of which less than one value is left, at the slower decay: it gives way. Without such a one the new one is
/// refused and counted. So whoever invents keys takes places of his own and of what is nearly forgotten, and what goes
/// on stays, at the same cost for each packet. No result depends on the hash.
#[derive(Debug)]
pub(super) struct Streams<T> {
    table: Table<Entry<T>, 1>,
    created: u32,
    refused: u64,
}

/// A place, as long as it is of the same pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seat {
    place: Place,
    serial: u32,
}

#[derive(Clone, Copy, Debug)]
struct Entry<T> {
    key: FlowKey,
    serial: u32,
    value: T,
}

/// What has a weight.
pub(super) trait Weighted {
    /// The pair by whose weight it is worth its place.
    fn pair(&self) -> &Pair<{ DECAYS.len() }>;
}

impl<T: Weighted + Copy> Streams<T> {
    /// Pairs looked at, at most, to make room for one.
    const LOOKS: usize = 4;

    pub(super) fn new(capacity: usize, hash_seed: u64) -> Self {
        Self { table: Table::new(capacity, hash_seed), created: 0, refused: 0 }
    }

    /// Bytes for each place, with its index.
    pub(super) const PLACE_SIZE: usize = Table::<Entry<T>, 1>::PLACE_SIZE + 24;

    /// Where the pair with this key is.
    pub(super) fn find(&self, key: &FlowKey) -> Option<Seat> {
        let place = self.table.find(key)?;
        Some(Seat { place, serial: self.table.get(place)?.serial })
    }

    /// Puts a pair in that is not there; none when it is refused.
    pub(super) fn admit(&mut self, key: FlowKey, value: T, now: &Now) -> Option<Seat> {
        if self.table.is_full() {
            self.make_room(now);
        }
        self.created = self.created.wrapping_add(1);
        let serial = self.created;
        match self.table.insert(0, Entry { key, serial, value }) {
            Ok(place) => Some(Seat { place, serial }),
            Err(Refused::Present(_) | Refused::Full(_)) => {
                self.refused = self.refused.saturating_add(1);
                None
            }
        }
    }

    pub(super) fn get(&self, seat: Seat) -> Option<&T> {
        self.table.get(seat.place).filter(|entry| entry.serial == seat.serial).map(|entry| &entry.value)
    }

    pub(super) fn get_mut(&mut self, seat: Seat) -> Option<&mut T> {
        let entry = self.table.get_mut(seat.place)?;
        (entry.serial == seat.serial).then_some(&mut entry.value)
    }

    #[cfg(test)]
    pub(super) const fn len(&self) -> usize {
        self.table.len()
    }

    /// New pairs for which there was no room.
    pub(super) const fn refused(&self) -> u64 {
        self.refused
    }

    /// Forgets all.
    pub(super) fn clear(&mut self) {
        while let Some(place) = self.table.first(0) {
            self.table.remove(place);
        }
    }

    fn make_room(&mut self, now: &Now) {
        for _ in 0..Self::LOOKS {
            let Some(place) = self.table.first(0) else { break };
            let Some(entry) = self.table.get(place) else { break };
            let pair = entry.value.pair();
            if pair.weight(SLOW) * pair.left(&DECAYS, SLOW, now) < 1.0 {
                self.table.remove(place);
                break;
            }
            self.table.shift(place, 0);
        }
    }
}

impl<T> Keyed for Entry<T> {
    type Key = FlowKey;

    fn key(&self) -> FlowKey {
        self.key
    }
}
