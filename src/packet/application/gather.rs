//! [`Gatherings`]: the beginnings of messages that lie in several packets, put together by offset. It knows neither the
//! messages nor why they are wanted.

use std::net::IpAddr;

use crate::bounded::{Keyed, Place, Table};
use crate::time::{Span, Timestamp};

/// One direction of a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Stream {
    pub(super) source: IpAddr,
    pub(super) destination: IpAddr,
    pub(super) source_port: u16,
    pub(super) destination_port: u16,
}

impl Stream {
    pub(super) const fn reversed(&self) -> Self {
        Self {
            source: self.destination,
            destination: self.source,
            source_port: self.destination_port,
            destination_port: self.source_port,
        }
    }
}

/// Beginnings of at most `CAPACITY` streams, [`Pieces::CAPACITY`] bytes of each. A new one takes the place of the oldest
/// when all are taken; one that is not complete after [`Self::PATIENCE`] is no longer waited for. Both are counted.
///
/// The room is reserved at construction and touched as it is used.
#[derive(Debug)]
pub(super) struct Gatherings<T> {
    table: Table<Gathering<T>, 1>,
    /// How many streams there are with these ports, by a cheap hash: most packets are of none, and pay only for this.
    filter: [u8; FILTER],
    given_up: u64,
}

const FILTER: usize = 256;

#[derive(Debug)]
pub(super) struct Gathering<T> {
    stream: Stream,
    started: Timestamp,
    pub(super) state: T,
    pub(super) pieces: Pieces,
}

impl<T> Gatherings<T> {
    const CAPACITY: usize = 64;

    /// A retransmission or two (RFC 6298: 1 s, 2 s, 4 s).
    const PATIENCE: Span = Span::from_secs(8);

    pub(super) fn new(hash_seed: u64) -> Self {
        Self { table: Table::new(Self::CAPACITY, hash_seed), filter: [0; FILTER], given_up: 0 }
    }

    /// Whether a stream with these ports may be among them.
    pub(super) fn may_have(&self, source_port: u16, destination_port: u16) -> bool {
        self.filter.get(filter_index(source_port, destination_port)).is_some_and(|&streams| streams > 0)
    }

    /// Also one that is no longer waited for.
    pub(super) fn has(&self, stream: &Stream) -> bool {
        self.table.find(stream).is_some()
    }

    pub(super) fn find(&mut self, stream: &Stream, now: Timestamp) -> Option<Place> {
        let place = self.table.find(stream)?;
        if now.since(self.table.get(place)?.started) > Self::PATIENCE {
            self.give_up(place);
            return None;
        }
        Some(place)
    }

    /// A stream that is not among them.
    pub(super) fn start(&mut self, stream: Stream, state: T, now: Timestamp) -> Option<Place> {
        if self.table.is_full()
            && let Some(oldest) = self.table.first(0)
        {
            self.give_up(oldest);
        }
        let place = self
            .table
            .insert(0, Gathering { stream, started: now, state, pieces: Pieces::default() })
            .ok()?;
        if let Some(streams) = self.filter_of(&stream) {
            *streams += 1;
        }
        Some(place)
    }

    /// A stream that is not among them, with its first bytes.
    pub(super) fn begin(&mut self, stream: Stream, state: T, bytes: &[u8], now: Timestamp) {
        if let Some(gathering) = self.start(stream, state, now).and_then(|place| self.table.get_mut(place)) {
            gathering.pieces.put(0, bytes);
        }
    }

    pub(super) fn get_mut(&mut self, place: Place) -> Option<&mut Gathering<T>> {
        self.table.get_mut(place)
    }

    /// It is complete.
    pub(super) fn finish(&mut self, place: Place) {
        if let Some(gathering) = self.table.remove(place)
            && let Some(streams) = self.filter_of(&gathering.stream)
        {
            *streams -= 1;
        }
    }

    /// It will not be complete.
    pub(super) fn give_up(&mut self, place: Place) {
        self.finish(place);
        self.count_given_up();
    }

    /// One that would not fit is given up before it starts.
    pub(super) const fn count_given_up(&mut self) {
        self.given_up = self.given_up.saturating_add(1);
    }

    pub(super) const fn given_up(&self) -> u64 {
        self.given_up
    }

    fn filter_of(&mut self, stream: &Stream) -> Option<&mut u8> {
        self.filter.get_mut(filter_index(stream.source_port, stream.destination_port))
    }
}

fn filter_index(source_port: u16, destination_port: u16) -> usize {
    let mixed = (source_port ^ destination_port.rotate_left(8)).wrapping_mul(0x9e37);
    usize::from(mixed >> 8)
}

impl<T> Keyed for Gathering<T> {
    type Key = Stream;

    fn key(&self) -> Stream {
        self.stream
    }
}

/// The first [`Self::CAPACITY`] bytes of a stream, as far as they came. What lies beyond is not kept; what comes twice
/// is what came last.
#[derive(Debug)]
pub(super) struct Pieces {
    bytes: [u8; Self::CAPACITY],
    /// A bit for each byte.
    have: [u64; Self::CAPACITY / WORD],
}

const WORD: usize = 64;

impl Default for Pieces {
    fn default() -> Self {
        Self { bytes: [0; Self::CAPACITY], have: [0; Self::CAPACITY / WORD] }
    }
}

impl Pieces {
    /// A hello with a post-quantum key share has about 1,800 bytes.
    pub(super) const CAPACITY: usize = 4096;

    pub(super) fn put(&mut self, offset: usize, data: &[u8]) {
        for (to, from) in self.bytes.iter_mut().skip(offset).zip(data) {
            *to = *from;
        }
        let end = offset.saturating_add(data.len()).min(Self::CAPACITY);
        let mut at = offset;
        while at < end {
            let next = (at / WORD + 1) * WORD;
            let low = u64::MAX << (at % WORD);
            let high = if end < next { !(u64::MAX << (end % WORD)) } else { u64::MAX };
            if let Some(word) = self.have.get_mut(at / WORD) {
                *word |= low & high;
            }
            at = next;
        }
    }

    /// What there is without a gap from the start.
    pub(super) fn prefix(&self) -> &[u8] {
        let full = self.have.iter().take_while(|&&word| word == u64::MAX).count();
        let rest = self.have.get(full).map_or(0, |word| word.trailing_ones());
        let length = full * WORD + usize::try_from(rest).unwrap_or(0);
        self.bytes.get(..length).unwrap_or(&[])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn stream(port: u16) -> Stream {
        let ip = IpAddr::from([192, 0, 2, 1]);
        Stream { source: ip, destination: ip, source_port: port, destination_port: 443 }
    }

    fn at(seconds: u64) -> Timestamp {
        Timestamp::EPOCH + Span::from_secs(seconds)
    }

    #[test]
    fn the_oldest_makes_room() {
        let mut all = Gatherings::new(1);
        for port in 0..70 {
            assert!(all.table.find(&stream(port)).is_none());
            all.start(stream(port), (), at(1)).unwrap();
            assert!(all.may_have(port, 443));
        }
        assert_eq!((all.table.len(), all.given_up()), (64, 6));
        assert!(all.find(&stream(5), at(1)).is_none());
        assert!(all.find(&stream(6), at(1)).is_some());
        for port in 6..70 {
            let place = all.find(&stream(port), at(1)).unwrap();
            all.finish(place);
        }
        assert_eq!((all.filter.iter().max(), all.given_up()), (Some(&0), 6), "done is not given up");
    }

    #[test]
    fn patience_ends() {
        let mut all = Gatherings::new(1);
        all.start(stream(1), (), at(10)).unwrap();
        assert!(all.find(&stream(1), at(18)).is_some());
        assert!(all.find(&stream(1), at(2)).is_some(), "the clock went back");
        assert!(all.find(&stream(1), at(19)).is_none());
        assert_eq!((all.table.len(), all.given_up(), all.may_have(1, 443)), (0, 1, false));
    }

    #[test]
    fn what_lies_beyond_is_not_kept() {
        let mut pieces = Pieces::default();
        pieces.put(usize::MAX, b"x");
        pieces.put(4000, &[1; 500]);
        assert_eq!(pieces.prefix(), b"");
        pieces.put(0, &[2; 4000]);
        assert_eq!(pieces.prefix().len(), Pieces::CAPACITY);
    }

    proptest! {
        /// Against a map of bytes.
        #[test]
        fn pieces_in_any_order_give_the_prefix(parts in prop::collection::vec((0..300_usize, 0..150_usize), 0..12)) {
            let source: Vec<u8> = (0..=255).cycle().take(600).collect();
            let mut pieces = Pieces::default();
            let mut have = [false; 600];
            for (offset, length) in parts {
                pieces.put(offset, &source[offset..offset + length]);
                have[offset..offset + length].fill(true);
                let prefix = have.iter().take_while(|&&there| there).count();
                prop_assert_eq!(pieces.prefix(), &source[..prefix]);
            }
        }
    }
}
