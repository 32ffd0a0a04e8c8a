//! [`Table`]: a [`ListSlab`] whose values are also found by their key.
//!
//! The hash is keyed, so that peers who choose keys cannot choose collisions; no result depends on it.

use std::hash::{BuildHasher, Hash};

use foldhash::fast::FixedState;
use hashbrown::HashTable;

use super::slab::{ListSlab, Place};

/// A value that carries its own key.
pub trait Keyed {
    /// What the value is found by.
    type Key: Eq + Hash;

    /// The key. It does not change while the value is in a table.
    fn key(&self) -> Self::Key;
}

/// At most `capacity` values with distinct keys, in `LISTS` lists ordered by last touch. Room for all is reserved at
/// construction; a full table refuses.
#[derive(Debug)]
pub struct Table<T, const LISTS: usize> {
    slab: ListSlab<T, LISTS>,
    index: HashTable<Place>,
    hasher: FixedState,
}

/// Why a value was not taken; with the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused<T> {
    /// The table is full.
    Full(T),
    /// Its key is already there.
    Present(T),
}

impl<T: Keyed, const LISTS: usize> Table<T, LISTS> {
    /// An empty table for at most `capacity` values.
    #[must_use]
    pub fn new(capacity: usize, hash_seed: u64) -> Self {
        let slab = ListSlab::new(capacity);
        // Twice the room: at more than half full hashbrown grows instead of sweeping its tombstones out.
        let index = HashTable::with_capacity(slab.capacity().saturating_mul(2));
        Self { slab, index, hasher: FixedState::with_seed(hash_seed) }
    }

    /// Bytes for each value, the index (under 24 bytes) not included.
    pub const PLACE_SIZE: usize = ListSlab::<T, LISTS>::PLACE_SIZE;

    /// Values held.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.slab.len()
    }

    /// Whether nothing is held.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.slab.is_empty()
    }

    /// Whether a further value would be refused.
    #[must_use]
    pub const fn is_full(&self) -> bool {
        self.slab.is_full()
    }

    /// Values in a list.
    #[must_use]
    pub fn list_len(&self, list: usize) -> usize {
        self.slab.list_len(list)
    }

    /// Where the value with this key is.
    #[must_use]
    pub fn find(&self, key: &T::Key) -> Option<Place> {
        let hash = self.hasher.hash_one(key);
        self.index.find(hash, |&place| self.slab.get(place).is_some_and(|v| v.key() == *key)).copied()
    }

    /// The value at a place.
    #[must_use]
    pub fn get(&self, place: Place) -> Option<&T> {
        self.slab.get(place)
    }

    /// The value at a place. Its key must stay as it is, or it is not found again.
    pub fn get_mut(&mut self, place: Place) -> Option<&mut T> {
        self.slab.get_mut(place)
    }

    /// The least recently touched place of a list.
    #[must_use]
    pub fn first(&self, list: usize) -> Option<Place> {
        self.slab.first(list)
    }

    /// A list, most recently touched first.
    pub fn latest(&self, list: usize) -> impl Iterator<Item = (Place, &T)> {
        self.slab.latest(list)
    }

    /// All values in the order of their places.
    pub fn iter(&self) -> impl Iterator<Item = (Place, &T)> {
        self.slab.iter()
    }

    /// Puts a value at the end of a list.
    ///
    /// # Errors
    /// Gives the value back when the table is full or holds its key.
    pub fn insert(&mut self, list: usize, value: T) -> Result<Place, Refused<T>> {
        if self.find(&value.key()).is_some() {
            return Err(Refused::Present(value));
        }
        self.insert_absent(list, value).map_err(Refused::Full)
    }

    /// Puts a value at the end of a list whose key the caller has just looked for and not found. Of two values with
    /// one key either is found.
    ///
    /// # Errors
    /// Gives the value back when the table is full.
    pub fn insert_absent(&mut self, list: usize, value: T) -> Result<Place, T> {
        let hash = self.hasher.hash_one(value.key());
        let place = self.slab.push(list, value)?;
        let Self { slab, index, hasher } = self;
        let rehash = |&p: &Place| slab.get(p).map_or(0, |v| hasher.hash_one(v.key()));
        index.insert_unique(hash, place, rehash);
        Ok(place)
    }

    /// Takes a value out.
    pub fn remove(&mut self, place: Place) -> Option<T> {
        let value = self.slab.remove(place)?;
        let hash = self.hasher.hash_one(value.key());
        if let Ok(entry) = self.index.find_entry(hash, |&p| p == place) {
            entry.remove();
        }
        Some(value)
    }

    /// Moves a value to the end of a list, its own or another: it was touched.
    pub fn shift(&mut self, place: Place, list: usize) {
        self.slab.shift(place, list);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    impl Keyed for (u8, u32) {
        type Key = u8;
        fn key(&self) -> u8 {
            self.0
        }
    }

    proptest! {
        /// Against an ordered map: what is put in is found until it is taken out, and never more than the capacity.
        #[test]
        fn behaves_as_a_map(seed: u64, steps in prop::collection::vec((0..3u8, 0..40u8), 0..400)) {
            let mut table = Table::<(u8, u32), 1>::new(16, seed);
            let mut model = BTreeMap::new();
            for (step, (action, key)) in (0..).zip(steps) {
                if action < 2 {
                    match table.insert(0, (key, step)) {
                        Ok(_) => prop_assert_eq!(model.insert(key, step), None),
                        Err(Refused::Present(_)) => prop_assert!(model.contains_key(&key)),
                        Err(Refused::Full(_)) => prop_assert_eq!(model.len(), 16),
                    }
                } else {
                    let taken = table.find(&key).and_then(|p| table.remove(p));
                    prop_assert_eq!(taken.map(|v| v.1), model.remove(&key));
                }
                prop_assert_eq!(table.len(), model.len());
                for (key, value) in &model {
                    let found = table.find(key).and_then(|p| table.get(p));
                    prop_assert_eq!(found, Some(&(*key, *value)));
                }
            }
        }

        /// A table that lives long neither grows nor loses.
        #[test]
        fn churn_does_not_grow_it(seed: u64) {
            let mut table = Table::<(u8, u32), 1>::new(100, seed);
            let room = table.index.capacity();
            for step in 0..20_000_u32 {
                if table.is_full() {
                    let oldest = table.first(0).unwrap();
                    table.remove(oldest);
                }
                let key = u8::try_from(step.wrapping_mul(2_654_435_761) >> 24).unwrap();
                let _present_or_new = table.insert(0, (key, step));
            }
            // Tombstones take from it until they are swept; growing would double it.
            prop_assert!(table.index.capacity() <= room);
        }
    }
}
