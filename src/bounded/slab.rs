//! [`ListSlab`]: values at stable places, each in one of a few lists that keep the order in which they were last
//! touched. Timeouts and evictions look only at the heads of these lists, so they cost the same at any size.
//!
//! What a list means, and when a value is too old, is the caller's business.

/// Where a value is. It stays valid until the value is removed, and may then be given to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place(u32);

impl Place {
    /// The place with this index; whether something is there is told by [`ListSlab::get`].
    #[must_use]
    pub const fn new(index: u32) -> Self {
        Self(index)
    }

    /// Index, below the capacity.
    #[must_use]
    pub const fn index(self) -> u32 {
        self.0
    }
}

/// At most `capacity` values in `LISTS` lists, least recently touched first. The room is reserved at construction
/// and the system backs it with memory as places are used for the first time; freed places are used again first.
/// A full slab refuses: who has to go is the caller's decision.
///
/// List numbers from `LISTS` on mean the last list.
#[derive(Debug)]
pub struct ListSlab<T, const LISTS: usize> {
    values: Vec<Option<T>>,
    links: Vec<Link>,
    lists: [List; LISTS],
    free: u32,
    len: usize,
    capacity: usize,
}

/// Apart from the values, so that relinking neighbours touches little memory.
#[derive(Clone, Copy, Debug)]
struct Link {
    previous: u32,
    next: u32,
    list: u8,
}

#[derive(Clone, Copy, Debug)]
struct List {
    first: u32,
    last: u32,
    len: u32,
}

const NONE: u32 = u32::MAX;

impl<T, const LISTS: usize> ListSlab<T, LISTS> {
    /// An empty slab for at most `capacity` values (and at most 2^32 - 2).
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        const { assert!(LISTS > 0 && LISTS <= 255, "list numbers are held in one byte") };
        let capacity = capacity.min(usize::try_from(NONE - 1).unwrap_or(usize::MAX));
        Self {
            values: Vec::with_capacity(capacity),
            links: Vec::with_capacity(capacity),
            lists: [List { first: NONE, last: NONE, len: 0 }; LISTS],
            free: NONE,
            len: 0,
            capacity,
        }
    }

    /// Bytes for each place.
    pub const PLACE_SIZE: usize = size_of::<Option<T>>() + size_of::<Link>();

    /// Values held.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing is held.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether a further value would be refused.
    #[must_use]
    pub const fn is_full(&self) -> bool {
        self.len >= self.capacity
    }

    /// Values that can be held.
    #[must_use]
    pub const fn capacity(&self) -> usize {
        self.capacity
    }

    /// Values in a list.
    #[must_use]
    pub fn list_len(&self, list: usize) -> usize {
        usize::try_from(self.lists[Self::clamp(list)].len).unwrap_or(usize::MAX)
    }

    /// The value at a place.
    #[must_use]
    pub fn get(&self, place: Place) -> Option<&T> {
        self.values.get(index(place.0))?.as_ref()
    }

    /// The value at a place.
    pub fn get_mut(&mut self, place: Place) -> Option<&mut T> {
        self.values.get_mut(index(place.0))?.as_mut()
    }

    /// The least recently touched place of a list.
    #[must_use]
    pub fn first(&self, list: usize) -> Option<Place> {
        some(self.lists[Self::clamp(list)].first)
    }

    /// A list, most recently touched first.
    pub fn latest(&self, list: usize) -> impl Iterator<Item = (Place, &T)> {
        let mut at = self.lists[Self::clamp(list)].last;
        std::iter::from_fn(move || {
            let place = some(at)?;
            at = self.links.get(index(at))?.previous;
            Some((place, self.get(place)?))
        })
    }

    /// All values in the order of their places.
    pub fn iter(&self) -> impl Iterator<Item = (Place, &T)> {
        (0..).map(Place).zip(&self.values).filter_map(|(place, value)| Some((place, value.as_ref()?)))
    }

    /// Puts a value at the end of a list.
    ///
    /// # Errors
    /// Gives the value back when the slab is full.
    pub fn push(&mut self, list: usize, value: T) -> Result<Place, T> {
        if self.is_full() {
            return Err(value);
        }
        let at = if let Some(link) = self.links.get(index(self.free)) {
            let at = self.free;
            self.free = link.next;
            if let Some(slot) = self.values.get_mut(index(at)) {
                *slot = Some(value);
            }
            at
        } else {
            let Ok(at) = u32::try_from(self.values.len()) else { return Err(value) };
            self.values.push(Some(value));
            self.links.push(Link { previous: NONE, next: NONE, list: 0 });
            at
        };
        self.len += 1;
        self.append(at, Self::clamp(list));
        Ok(Place(at))
    }

    /// Takes a value out.
    pub fn remove(&mut self, place: Place) -> Option<T> {
        let value = self.values.get_mut(index(place.0))?.take()?;
        self.unlink(place.0);
        if let Some(link) = self.links.get_mut(index(place.0)) {
            link.next = self.free;
            self.free = place.0;
        }
        self.len -= 1;
        Some(value)
    }

    /// Moves a value to the end of a list, its own or another: it was touched.
    pub fn shift(&mut self, place: Place, list: usize) {
        let list = Self::clamp(list);
        if self.lists[list].last == place.0 || self.get(place).is_none() {
            return;
        }
        self.unlink(place.0);
        self.append(place.0, list);
    }

    fn unlink(&mut self, at: u32) {
        let Some(&Link { previous, next, list }) = self.links.get(index(at)) else { return };
        let list = &mut self.lists[Self::clamp(usize::from(list))];
        list.len -= 1;
        match self.links.get_mut(index(previous)) {
            Some(link) => link.next = next,
            None => list.first = next,
        }
        match self.links.get_mut(index(next)) {
            Some(link) => link.previous = previous,
            None => list.last = previous,
        }
    }

    fn append(&mut self, at: u32, list: usize) {
        let ends = &mut self.lists[list];
        let previous = ends.last;
        ends.last = at;
        ends.len += 1;
        match self.links.get_mut(index(previous)) {
            Some(link) => link.next = at,
            None => ends.first = at,
        }
        if let Some(link) = self.links.get_mut(index(at)) {
            *link = Link { previous, next: NONE, list: u8::try_from(list).unwrap_or(u8::MAX) };
        }
    }

    fn clamp(list: usize) -> usize {
        list.min(LISTS - 1)
    }
}

fn index(at: u32) -> usize {
    usize::try_from(at).unwrap_or(usize::MAX)
}

fn some(at: u32) -> Option<Place> {
    (at != NONE).then_some(Place(at))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::VecDeque;

    fn order(slab: &ListSlab<u8, 2>, list: usize) -> Vec<u8> {
        let mut values: Vec<u8> = slab.latest(list).map(|(_, &v)| v).collect();
        values.reverse();
        values
    }

    #[test]
    fn lists_keep_the_order_of_touch() {
        let mut slab = ListSlab::<u8, 2>::new(3);
        let a = slab.push(0, 1).unwrap();
        let b = slab.push(0, 2).unwrap();
        slab.push(1, 3).unwrap();
        assert_eq!(slab.push(0, 4), Err(4), "full");
        slab.shift(a, 0);
        assert_eq!((order(&slab, 0), order(&slab, 1)), (vec![2, 1], vec![3]));
        slab.shift(b, 1);
        assert_eq!((order(&slab, 0), order(&slab, 1)), (vec![1], vec![3, 2]));
        assert_eq!(slab.remove(a), Some(1));
        assert_eq!(slab.remove(a), None);
        assert_eq!(slab.first(0), None);
        assert_eq!(slab.push(9, 5), Ok(a), "a freed place comes first, a list too high is the last");
        assert_eq!(order(&slab, 1), vec![3, 2, 5]);
    }

    proptest! {
        /// Against two queues: any sequence of operations gives the same lists.
        #[test]
        fn behaves_as_queues(steps in prop::collection::vec((0..4u8, 0..6u32, 0..2usize), 0..200)) {
            let mut slab = ListSlab::<u8, 2>::new(5);
            let mut model: [VecDeque<(Place, u8)>; 2] = Default::default();
            for (step, (action, at, list)) in steps.into_iter().enumerate() {
                let place = Place::new(at);
                let value = u8::try_from(step).unwrap();
                let known = model.iter_mut().find_map(|q| {
                    let i = q.iter().position(|(p, _)| *p == place)?;
                    (action != 0).then(|| q.remove(i)).flatten()
                });
                match action {
                    0 => match slab.push(list, value) {
                        Ok(p) => model[list].push_back((p, value)),
                        Err(_) => prop_assert_eq!(model[0].len() + model[1].len(), 5),
                    },
                    1 => prop_assert_eq!(slab.remove(place), known.map(|(_, v)| v)),
                    _ => {
                        slab.shift(place, list);
                        model[list].extend(known);
                    }
                }
                prop_assert_eq!(slab.len(), model[0].len() + model[1].len());
                for (list, queue) in model.iter().enumerate() {
                    let expected: Vec<u8> = queue.iter().map(|(_, v)| *v).collect();
                    prop_assert_eq!(order(&slab, list), expected);
                    prop_assert_eq!(slab.first(list), queue.front().map(|(p, _)| *p));
                    prop_assert_eq!(slab.list_len(list), queue.len());
                }
            }
        }
    }
}
