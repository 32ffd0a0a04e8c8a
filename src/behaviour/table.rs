//! [`Table`]: a set-associative table of fixed size that puts out what is worth least. It knows nothing of what it
//! holds.

use crate::time::Timestamp;

/// Places in which one key may lie.
const WAYS: usize = 8;

/// At most `capacity` values, rounded up to a multiple of eight. A key may lie in one of eight places chosen by its
/// hash; when all are taken, the value worth least is put out, among equals the one not used for longest.
///
/// So a flood of one-time keys (spoofed senders) displaces one another, while a value that has gathered evidence
/// stays: to put it out, eight keys of the same set must gather more. The hash has no key, and a sender who knows it
/// may choose addresses that meet in a set; what he gains is that much, and each of his keys is then a finding
/// of its own.
///
/// Memory is taken at the first use of a place and kept.
#[derive(Debug)]
pub(super) struct Table<K, V> {
    places: Vec<Place<K, V>>,
    uses: u64,
}

/// What is worth keeping is told apart from what is held, so that a flood that looks for a victim in each set reads
/// one row and not eight values.
#[derive(Debug)]
struct Place<K, V> {
    hash: u64,
    used: u64,
    /// None since the value was last handed out to be changed.
    worth: Option<Worth>,
    held: Option<Box<(K, V)>>,
}

/// What would be lost with a value: nothing from a time on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Worth {
    pub(super) value: u64,
    pub(super) until: Timestamp,
}

/// Where the value of a key is, or is to be.
pub(super) enum Entry<'a, K, V> {
    Known(&'a mut V),
    Free(Free<'a, K, V>),
}

/// Room for a value.
pub(super) struct Free<'a, K, V> {
    held: &'a mut Option<Box<(K, V)>>,
    key: K,
}

impl<'a, K: Copy, V> Free<'a, K, V> {
    /// Fills it with a new value, or with the one that was put out of this place, made as new.
    pub(super) fn fill(self, make: impl FnOnce() -> V, renew: impl FnOnce(&mut V)) -> &'a mut V {
        let Self { held, key } = self;
        let used = held.is_some();
        let held = held.get_or_insert_with(|| Box::new((key, make())));
        if used {
            held.0 = key;
            renew(&mut held.1);
        }
        &mut held.1
    }
}

impl<K: Copy + Eq, V> Table<K, V> {
    pub(super) fn new(capacity: usize) -> Self {
        let sets = capacity.div_ceil(WAYS).max(1);
        let free = || Place { hash: 0, used: 0, worth: None, held: None };
        Self { places: std::iter::repeat_with(free).take(sets * WAYS).collect(), uses: 0 }
    }

    /// The value of a key, if it is there.
    pub(super) fn get(&mut self, hash: u64, key: &K) -> Option<&mut V> {
        self.uses += 1;
        let uses = self.uses;
        let place = self.set(hash).iter_mut().find(|place| place.has(hash, key))?;
        place.used = uses;
        place.worth = None;
        place.held.as_mut().map(|held| &mut held.1)
    }

    /// The value of a key, or room for it; `worth` decides now who makes room.
    pub(super) fn entry(
        &mut self,
        hash: u64,
        key: K,
        now: Timestamp,
        worth: impl Fn(&V) -> Worth,
    ) -> Entry<'_, K, V> {
        self.uses += 1;
        let uses = self.uses;
        let set = self.set(hash);
        let known = set.iter().position(|place| place.has(hash, &key));
        let place = &mut set[known.unwrap_or_else(|| cheapest(set, now, worth))];
        (place.hash, place.used, place.worth) = (hash, uses, None);
        if known.is_none() {
            return Entry::Free(Free { held: &mut place.held, key });
        }
        match place.held {
            Some(ref mut held) => Entry::Known(&mut held.1),
            None => Entry::Free(Free { held: &mut place.held, key }),
        }
    }

    /// All keys and values, in the order of places.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (K, &mut V)> {
        self.places.iter_mut().filter_map(|place| {
            place.worth = None;
            place.held.as_mut().map(|held| (held.0, &mut held.1))
        })
    }

    /// Forgets all and keeps no memory.
    pub(super) fn clear(&mut self) {
        for place in &mut self.places {
            place.held = None;
        }
    }

    fn set(&mut self, hash: u64) -> &mut [Place<K, V>] {
        let sets = u64::try_from(self.places.len() / WAYS).unwrap_or(1);
        let first = usize::try_from((hash >> 16) % sets).unwrap_or(0) * WAYS;
        &mut self.places[first..first + WAYS]
    }
}

impl<K: Eq, V> Place<K, V> {
    fn has(&self, hash: u64, key: &K) -> bool {
        self.hash == hash && self.held.as_ref().is_some_and(|held| held.0 == *key)
    }
}

/// The place to fill: an empty one, else the one worth least.
fn cheapest<K, V>(set: &mut [Place<K, V>], now: Timestamp, worth: impl Fn(&V) -> Worth) -> usize {
    let mut least = (0, (u64::MAX, u64::MAX));
    for (at, place) in set.iter_mut().enumerate() {
        let Some(held) = &place.held else { return at };
        let worth = *place.worth.get_or_insert_with(|| worth(&held.1));
        let price = (if now < worth.until { worth.value } else { 0 }, place.used);
        if price < least.1 {
            least = (at, price);
        }
    }
    least.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bounded::scramble;
    use crate::time::Span;

    const NOW: Timestamp = Timestamp::EPOCH;

    /// Puts a value in, which is worth itself until a second later.
    fn put(table: &mut Table<u64, u64>, hash: u64, key: u64, value: u64, now: Timestamp) {
        let worth = |value: &u64| Worth { value: *value, until: NOW + Span::from_secs(1) };
        match table.entry(hash, key, now, worth) {
            Entry::Known(known) => *known = value,
            Entry::Free(free) => _ = free.fill(|| value, |old| *old = value),
        }
    }

    #[test]
    fn a_flood_of_new_keys_does_not_put_out_what_is_worth_more() {
        let mut table = Table::<u64, u64>::new(64);
        (0..8).for_each(|key| put(&mut table, scramble(key), key, 5, NOW));
        (100..100_000).for_each(|key| put(&mut table, scramble(key), key, 1, NOW));
        assert!((0..8).all(|key| table.get(scramble(key), &key) == Some(&mut 5)));
        assert_eq!(table.iter_mut().count(), 64);
    }

    #[test]
    fn among_equals_the_one_not_used_for_longest_goes() {
        let mut table = Table::<u64, u64>::new(8);
        (0..8).for_each(|key| put(&mut table, 0, key, 7, NOW));
        table.get(0, &0);
        put(&mut table, 0, 8, 7, NOW);
        assert_eq!(table.get(0, &0), Some(&mut 7));
        assert_eq!(table.get(0, &1), None);
    }

    #[test]
    fn what_has_changed_is_weighed_anew_and_what_is_over_is_worth_nothing() {
        let mut table = Table::<u64, u64>::new(8);
        (0..8).for_each(|key| put(&mut table, 0, key, 3, NOW));
        put(&mut table, 0, 8, 3, NOW);
        *table.get(0, &4).unwrap() = 1;
        put(&mut table, 0, 9, 3, NOW);
        assert_eq!(table.get(0, &4), None, "it has lost its worth");
        for (_, value) in table.iter_mut().filter(|(key, _)| *key == 5) {
            *value = 0;
        }
        put(&mut table, 0, 10, 3, NOW);
        assert_eq!(table.get(0, &5), None);
        *table.get(0, &1).unwrap() = 100;
        put(&mut table, 0, 11, 3, NOW + Span::from_secs(1));
        assert_eq!(table.get(0, &2), None, "the one not used for longest of those that are all over");
    }
}
