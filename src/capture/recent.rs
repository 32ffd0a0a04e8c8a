//! [`Recent`]: the packets of the last minute as far as they fit in memory, for whoever asks what was just seen.
//!
//! One copy of the first bytes of each frame into memory taken at the start. The oldest make room. What a packet means
//! is `packet`'s.

use std::cmp::Reverse;
use std::collections::VecDeque;

use super::SourceCounters;
use super::bundle::Bundle;
use crate::packet::{Frame, Link};
use crate::time::{Span, Timestamp};

/// The ring. It holds at most [`Recent::ROOM`] bytes of [`Recent::PACKETS`] packets, none older than
/// [`Recent::SPAN`] by packet time, in the order in which they came.
#[derive(Debug)]
pub struct Recent {
    /// Each packet lies in one piece; what does not fit before the end begins at the start.
    bytes: Box<[u8]>,
    /// Where the next one goes.
    head: usize,
    /// Entries at most.
    packets: usize,
    /// Oldest first.
    index: VecDeque<Entry>,
    /// Packets kept since the start, those forgotten included.
    kept: u64,
    /// How far the time has come.
    now: Timestamp,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    time: Timestamp,
    wire_len: u32,
    start: usize,
    kept: u16,
    link: Link,
}

impl Recent {
    /// Bytes held: ten seconds of 2,000 packets a second at 200 bytes kept, which is what a busy home sees, and little
    /// beside the 8 MiB of the kernel's ring.
    pub const ROOM: usize = 4 << 20;
    /// Packets held, which costs 32 bytes each: as many as fit at 128 bytes kept.
    pub const PACKETS: usize = Self::ROOM / 128;
    /// Bytes kept of each packet: all headers, and a DNS, DHCP or TLS greeting with the names in it.
    pub const KEPT: usize = 512;
    /// Age of the oldest packet.
    pub const SPAN: Span = Span::from_secs(60);
    /// A clock that goes back by more has jumped, and what was held has no common time with what comes.
    const BACK: Span = Span::from_secs(10);

    /// Nothing is held yet. Takes all its memory, of which the system gives what is written to.
    #[must_use]
    pub fn new() -> Self {
        Self::with_room(Self::ROOM, Self::PACKETS)
    }

    /// One of several rings that share the memory of one; each has room for its packets all the same.
    #[must_use]
    pub fn share(rings: usize) -> Self {
        let rings = rings.max(1);
        Self::with_room((Self::ROOM / rings).max(Self::KEPT), (Self::PACKETS / rings).max(1))
    }

    /// `room` is at least [`Self::KEPT`], and `packets` at least one.
    fn with_room(room: usize, packets: usize) -> Self {
        let bytes = vec![0; room].into_boxed_slice();
        let index = VecDeque::with_capacity(packets);
        Self { bytes, head: 0, packets, index, kept: 0, now: Timestamp::EPOCH }
    }

    /// Keeps a packet; the oldest make room.
    pub fn push(&mut self, frame: &Frame<'_>) {
        if self.index.back().is_some_and(|newest| newest.time.since(frame.time) > Self::BACK) {
            self.index.clear();
        }
        self.handle_time(frame.time);
        let kept = frame.bytes.get(..Self::KEPT).unwrap_or(frame.bytes);
        if self.index.len() >= self.packets {
            self.index.pop_front();
        }
        // Two packets never begin at the same place.
        let taken = kept.len().max(1);
        let start = self.place(taken);
        if let Some(room) = self.bytes.get_mut(start..start + kept.len()) {
            room.copy_from_slice(kept);
            self.head = start + taken;
            self.kept += 1;
            self.index.push_back(Entry {
                time: frame.time,
                wire_len: frame.wire_len,
                start,
                kept: u16::try_from(kept.len()).unwrap_or(u16::MAX),
                link: frame.link,
            });
        }
    }

    /// The time is now: forgets what is too old.
    pub fn handle_time(&mut self, now: Timestamp) {
        self.now = now;
        while self.index.front().is_some_and(|oldest| now.since(oldest.time) > Self::SPAN) {
            self.index.pop_front();
        }
    }

    /// A copy of the newest packets, at most `most`, and none older than `since`.
    #[must_use]
    pub fn snapshot(&self, most: usize, since: Option<Timestamp>) -> Snapshot {
        let young = |entry: &&Entry| since.is_none_or(|since| entry.time >= since);
        let wanted = || self.index.iter().rev().filter(young).take(most);
        let room = wanted().map(|entry| usize::from(entry.kept)).sum();
        let mut packets = Bundle::with_capacity(wanted().count(), room);
        for entry in wanted() {
            let end = entry.start + usize::from(entry.kept);
            let bytes = self.bytes.get(entry.start..end).unwrap_or(&[]);
            let frame = Frame { time: entry.time, link: entry.link, wire_len: entry.wire_len, bytes };
            packets.push(&frame, Self::KEPT);
        }
        Snapshot {
            held: self.index.len(),
            oldest: self.index.front().map(|entry| entry.time),
            next: self.kept,
            now: self.now,
            packets,
        }
    }

    /// A copy of those packets that came after a snapshot whose [`Snapshot::next`] this is.
    #[must_use]
    pub fn snapshot_after(&self, next: u64) -> Snapshot {
        self.snapshot(usize::try_from(self.kept.saturating_sub(next)).unwrap_or(usize::MAX), None)
    }

    /// Where `taken` bytes fit in one piece, once enough of the oldest packets are gone.
    fn place(&mut self, taken: usize) -> usize {
        while let Some(oldest) = self.index.front() {
            let (oldest, end) = (oldest.start, self.head + taken);
            // What is held lies between the oldest and the head, or around the end.
            let fits = if self.head > oldest {
                if end <= self.bytes.len() {
                    return self.head;
                }
                (taken <= oldest).then_some(0)
            } else {
                (end <= oldest).then_some(self.head)
            };
            match fits {
                Some(start) => return start,
                None => drop(self.index.pop_front()),
            }
        }
        0
    }
}

impl Default for Recent {
    fn default() -> Self {
        Self::new()
    }
}

/// Packets copied out of the ring, newest first.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    held: usize,
    oldest: Option<Timestamp>,
    next: u64,
    now: Timestamp,
    packets: Bundle,
}

impl Snapshot {
    /// The newest `most` packets of several rings, in the order of their times.
    #[must_use]
    pub fn of_all(snapshots: &[Self], most: usize) -> Self {
        let mut found: Vec<_> = snapshots.iter().flat_map(Self::frames).collect();
        if snapshots.len() > 1 {
            found.sort_by_key(|frame| Reverse(frame.time));
        }
        found.truncate(most);
        let mut all = Self::default();
        found.iter().for_each(|frame| all.packets.push(frame, Recent::KEPT));
        for snapshot in snapshots {
            all.held += snapshot.held;
            all.oldest = all.oldest.into_iter().chain(snapshot.oldest).min();
            all.now = all.now.max(snapshot.now);
        }
        all
    }

    /// Packets that the ring held, of which these may be a part.
    #[must_use]
    pub const fn held(&self) -> usize {
        self.held
    }

    /// Time of the oldest packet that the ring held.
    #[must_use]
    pub const fn oldest(&self) -> Option<Timestamp> {
        self.oldest
    }

    /// Number of the packet that comes next, for [`Recent::snapshot_after`].
    #[must_use]
    pub const fn next(&self) -> u64 {
        self.next
    }

    /// How far the time had come, with or without packets.
    #[must_use]
    pub const fn now(&self) -> Timestamp {
        self.now
    }

    /// The packets, newest first. Their bytes are those that were kept.
    #[must_use]
    pub fn frames(&self) -> impl DoubleEndedIterator<Item = Frame<'_>> {
        self.packets.frames()
    }
}

/// What a source saw last, and what it counted.
#[derive(Clone, Debug, Default)]
pub struct Moments {
    /// Name of the source.
    pub source: String,
    /// What it counted.
    pub counters: SourceCounters,
    /// The packets.
    pub packets: Snapshot,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(millis: i64, bytes: &[u8]) -> Frame<'_> {
        let time = Timestamp::from_nanos(1_700_000_000_000_000_000 + millis * 1_000_000);
        Frame { time, link: Link::Ethernet, wire_len: 1_500, bytes }
    }

    /// First byte and length of each packet held, newest first.
    fn held(recent: &Recent) -> Vec<(u8, usize)> {
        let snapshot = recent.snapshot(usize::MAX, None);
        snapshot.frames().map(|f| (f.bytes.first().copied().unwrap_or(0), f.bytes.len())).collect()
    }

    #[test]
    fn the_newest_packets_are_held_whole_and_in_order_whatever_their_lengths() {
        let mut recent = Recent::with_room(1_000, 16);
        let mut all = Vec::new();
        let mut length = 7;
        for n in 1..=200_u8 {
            length = (length * 31 + usize::from(n)) % 600;
            let bytes = vec![n; length];
            recent.push(&frame(i64::from(n), &bytes));
            all.push((if length == 0 { 0 } else { n }, length.min(Recent::KEPT)));
            let held = held(&recent);
            let newest: Vec<_> = all.iter().rev().take(held.len()).copied().collect();
            assert_eq!(held, newest, "after packet {n}");
            let bytes: usize = held.iter().map(|(_, length)| length).sum();
            assert!(bytes <= 1_000 && held.len() <= 16);
            // At most one packet's length is lost at the end, and one is made room for.
            assert!(n < 20 || held.len() == 16 || bytes + 2 * Recent::KEPT >= 1_000 - Recent::KEPT);
        }
        let snapshot = recent.snapshot(usize::MAX, None);
        for frame in snapshot.frames() {
            assert!(frame.bytes.iter().all(|b| Some(b) == frame.bytes.first()), "one packet's bytes only");
        }
    }

    #[test]
    fn room_is_used_to_the_last_byte_where_lengths_allow() {
        let mut recent = Recent::with_room(1_000, 100);
        for n in 1..=57_u8 {
            recent.push(&frame(0, &[n; 100]));
            assert_eq!(held(&recent).len(), usize::from(n.min(10)));
        }
    }

    #[test]
    fn what_is_older_than_a_minute_is_forgotten_with_and_without_packets() {
        let mut recent = Recent::with_room(1_000, 16);
        recent.push(&frame(0, b"a"));
        recent.push(&frame(30_000, b"b"));
        recent.push(&frame(60_000, b"c"));
        assert_eq!(held(&recent).len(), 3);
        recent.push(&frame(60_001, b"d"));
        assert_eq!(held(&recent), [(b'd', 1), (b'c', 1), (b'b', 1)]);
        recent.handle_time(frame(121_000, b"").time);
        assert_eq!(held(&recent), []);
        recent.push(&frame(121_000, b"e"));
        recent.push(&frame(100_000, b"f"));
        assert_eq!(held(&recent), [(b'f', 1)], "the clock jumped");
    }

    #[test]
    fn several_rings_give_one_row_by_time() {
        let (mut a, mut b) = (Recent::share(2), Recent::share(2));
        for n in 0..6_u8 {
            let ring = if n % 3 == 0 { &mut a } else { &mut b };
            ring.push(&frame(i64::from(n), &[n; 60]));
        }
        let all = Snapshot::of_all(&[a.snapshot(9, None), b.snapshot(9, None)], 4);
        let first: Vec<_> = all.frames().map(|f| (f.bytes[0], f.bytes.len())).collect();
        assert_eq!(first, [(5, 60), (4, 60), (3, 60), (2, 60)]);
        assert_eq!((all.held(), all.oldest()), (6, Some(frame(0, b"").time)));
    }

    #[test]
    fn a_snapshot_has_the_newest_that_were_asked_for() {
        let mut recent = Recent::with_room(1_000, 16);
        for n in 0..10_u8 {
            recent.push(&frame(i64::from(n) * 1_000, &[n; 60]));
        }
        let first = |snapshot: &Snapshot| snapshot.frames().map(|f| f.bytes[0]).collect::<Vec<_>>();
        let snapshot = recent.snapshot(2, None);
        assert_eq!((first(&snapshot), snapshot.held()), (vec![9, 8], 10));
        assert_eq!(snapshot.oldest(), Some(frame(0, b"").time));
        assert_eq!(snapshot.frames().next().unwrap().wire_len, 1_500);
        assert_eq!(first(&recent.snapshot(9, Some(frame(7_500, b"").time))), [9, 8]);
        assert_eq!(first(&Recent::with_room(1_000, 16).snapshot(9, None)), [0_u8; 0]);
        let next = recent.snapshot(0, None).next();
        assert_eq!(first(&recent.snapshot_after(next)), [0_u8; 0]);
        recent.push(&frame(9_000, &[10; 60]));
        let news = recent.snapshot_after(next);
        assert_eq!((first(&news), news.now()), (vec![10], frame(9_000, b"").time));
        recent.handle_time(frame(12_000, b"").time);
        assert_eq!(recent.snapshot_after(news.next()).now(), frame(12_000, b"").time);
    }
}
