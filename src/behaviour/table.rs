//! [`Table`]: a set-associative table of fixed size that puts out what is worth least. It knows nothing of what it
//! holds.

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
    places: Vec<Option<Box<Place<K, V>>>>,
    uses: u64,
}

#[derive(Debug)]
struct Place<K, V> {
    key: K,
    used: u64,
    value: V,
}

impl<K: Copy + Eq, V> Table<K, V> {
    pub(super) fn new(capacity: usize) -> Self {
        let sets = capacity.div_ceil(WAYS).max(1);
        Self { places: std::iter::repeat_with(|| None).take(sets * WAYS).collect(), uses: 0 }
    }

    /// The value of a key, if it is there.
    pub(super) fn get(&mut self, hash: u64, key: &K) -> Option<&mut V> {
        self.uses += 1;
        let uses = self.uses;
        let place = self.set(hash).iter_mut().flatten().find(|place| place.key == *key)?;
        place.used = uses;
        Some(&mut place.value)
    }

    /// The value of a key, made anew where it is not there; `worth` decides who makes room.
    pub(super) fn get_or_insert(
        &mut self,
        hash: u64,
        key: K,
        worth: impl Fn(&V) -> u64,
        make: impl FnOnce() -> V,
    ) -> &mut V {
        self.uses += 1;
        let uses = self.uses;
        let set = self.set(hash);
        let at = set
            .iter()
            .position(|place| place.as_ref().is_some_and(|place| place.key == key))
            .unwrap_or_else(|| cheapest(set, worth));
        if set[at].as_ref().is_some_and(|place| place.key != key) {
            set[at] = None;
        }
        let place = set[at].get_or_insert_with(|| Box::new(Place { key, used: uses, value: make() }));
        place.used = uses;
        &mut place.value
    }

    /// All keys and values, in the order of places.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (K, &mut V)> {
        self.places.iter_mut().flatten().map(|place| (place.key, &mut place.value))
    }

    /// Forgets all and keeps no memory.
    pub(super) fn clear(&mut self) {
        self.places.fill_with(|| None);
    }

    fn set(&mut self, hash: u64) -> &mut [Option<Box<Place<K, V>>>] {
        let sets = u64::try_from(self.places.len() / WAYS).unwrap_or(1);
        let first = usize::try_from((hash >> 16) % sets).unwrap_or(0) * WAYS;
        &mut self.places[first..first + WAYS]
    }
}

/// The place to fill: an empty one, else the one worth least.
fn cheapest<K, V>(set: &[Option<Box<Place<K, V>>>], worth: impl Fn(&V) -> u64) -> usize {
    let price = |place: &Option<Box<Place<K, V>>>| place.as_ref().map(|p| (worth(&p.value), p.used));
    let least = set.iter().enumerate().min_by_key(|(_, place)| price(place));
    least.map_or(0, |(at, _)| at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bounded::scramble;

    #[test]
    fn a_flood_of_new_keys_does_not_put_out_what_is_worth_more() {
        let mut table = Table::<u64, u64>::new(64);
        for key in 0..8 {
            *table.get_or_insert(scramble(key), key, |worth| *worth, || 0) = 5;
        }
        for key in 100..100_000 {
            *table.get_or_insert(scramble(key), key, |worth| *worth, || 0) = 1;
        }
        assert!((0..8).all(|key| table.get(scramble(key), &key) == Some(&mut 5)));
        assert_eq!(table.iter_mut().count(), 64);
    }

    #[test]
    fn among_equals_the_one_not_used_for_longest_goes() {
        let mut table = Table::<u64, u64>::new(8);
        for key in 0..8 {
            table.get_or_insert(0, key, |_| 0, || key);
        }
        table.get(0, &0);
        table.get_or_insert(0, 8, |_| 0, || 8);
        assert_eq!(table.get(0, &0), Some(&mut 0));
        assert_eq!(table.get(0, &1), None);
    }
}
