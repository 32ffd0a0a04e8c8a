//! [`Fragments`]: the first kilobytes of datagrams that came in pieces (RFC 791 section 3.2, RFC 8200 section 4.5), so
//! that what they carry can be read, and the ports of the first piece for the others.
//!
//! No datagram is given on from here: a tap needs what stands at its start.

use std::net::IpAddr;

use super::digest::Transport;
use super::window::Window;
use crate::bounded::{Keyed, Place, Table};
use crate::time::{Span, Timestamp};

/// Datagrams whose fragments are waited for.
const DATAGRAMS: usize = 64;

/// Bytes kept of each: no header or message that is read here is longer.
const HEAD: usize = 4096;

/// Offsets count in units of eight bytes.
const UNIT: usize = 8;

/// Words of the map of units.
const WORDS: usize = HEAD / UNIT / 64;

/// The longest datagram.
const LONGEST: u32 = 65_535;

/// How long a datagram is waited for: RFC 791 has 15 seconds, RFC 8200 sixty, Linux thirty.
const TIMEOUT: Span = Span::from_secs(30);

/// Datagrams that still lack something at their start, and those whose start was read.
const WAITING: usize = 0;
const READ: usize = 1;

/// Datagrams in pieces, at most 64, in 256 KiB that are reserved at construction.
///
/// - At the capacity the oldest whose start was read makes room, else the oldest of all, which is counted.
/// - What lies beyond the first 4 KiB is not kept, only counted as seen.
/// - Where fragments overlap, what came first stays (RFC 5722 asks to drop the datagram; a tap cannot know what its
///   receiver does). A copy of what is there is no overlap.
#[derive(Debug)]
pub(super) struct Fragments {
    table: Table<Datagram, 2>,
    heads: Vec<u8>,
    counts: FragmentCounts,
}

/// What became of fragments, since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FragmentCounts {
    /// Fragments seen.
    pub fragments: u64,
    /// Datagrams of which the start came together and was read.
    pub reassembled: u64,
    /// Datagrams given up after 30 seconds without that.
    pub incomplete: u64,
    /// Datagrams put out without that because too many were waited for.
    pub evicted: u64,
    /// Fragments that contradict another one of their datagram.
    pub overlaps: u64,
    /// Fragments that no datagram can have: beyond 65,535 bytes, or of a length that is no multiple of eight.
    pub malformed: u64,
}

/// Which datagram a fragment is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) source: IpAddr,
    pub(super) destination: IpAddr,
    pub(super) identification: u32,
    /// Of IPv4; 0 for IPv6, where it does not count.
    pub(super) protocol: u8,
    pub(super) vlan: Option<u16>,
}

/// A fragment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece<'a> {
    pub(super) key: Key,
    pub(super) time: Timestamp,
    /// Bytes before it.
    pub(super) offset: usize,
    pub(super) more: bool,
    /// What the protocol number says that the datagram begins with.
    pub(super) protocol: u8,
    pub(super) window: Window<'a>,
    /// Transport and bytes of its payload; of the first fragment.
    pub(super) first: Option<First>,
}

/// What the first fragment says of the others.
#[derive(Clone, Copy, Debug)]
pub(super) struct First {
    pub(super) transport: Transport,
    /// Bytes before the transport's payload.
    pub(super) header: usize,
}

/// Where a datagram stands after one of its fragments.
#[derive(Clone, Copy, Debug)]
pub(super) enum Standing {
    /// The fragment can be of no datagram.
    Malformed,
    /// It was kept, as far as needed; with what the first one said, where that is here.
    Kept(Option<First>),
    /// With it the start is together.
    Ready(Place),
}

/// The start of a datagram.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head<'a> {
    pub(super) bytes: &'a [u8],
    /// Bytes of the whole datagram, where its last fragment was seen.
    pub(super) total: Option<usize>,
    pub(super) protocol: u8,
    pub(super) first: Option<First>,
}

#[derive(Debug)]
struct Datagram {
    key: Key,
    begun: Timestamp,
    protocol: u8,
    first: Option<First>,
    total: Option<usize>,
    /// Bytes that came, copies not counted.
    received: usize,
    /// Units of the start that came.
    map: [u64; WORDS],
    /// Where the start ends: the last fragment, a fragment that the capture cut, or the room for it.
    end: usize,
}

impl Keyed for Datagram {
    type Key = Key;

    fn key(&self) -> Key {
        self.key
    }
}

impl Fragments {
    pub(super) fn new(hash_seed: u64) -> Self {
        Self {
            table: Table::new(DATAGRAMS, hash_seed),
            heads: vec![0; DATAGRAMS * HEAD],
            counts: FragmentCounts::default(),
        }
    }

    pub(super) const fn counts(&self) -> FragmentCounts {
        self.counts
    }

    /// Takes a fragment in.
    pub(super) fn handle(&mut self, piece: &Piece<'_>) -> Standing {
        self.counts.fragments += 1;
        self.expire(piece.time);
        let length = piece.window.length();
        let end = piece.offset.saturating_add(length);
        let too_long = u32::try_from(end).is_ok_and(|end| end > LONGEST);
        if too_long || length == 0 || piece.more && !length.is_multiple_of(UNIT) {
            self.counts.malformed += 1;
            return Standing::Malformed;
        }
        let Some(place) = self.place(piece) else { return Standing::Kept(None) };
        let at = start_of(place);
        let (Some(datagram), Some(head)) = (self.table.get_mut(place), self.heads.get_mut(at..at + HEAD))
        else {
            return Standing::Kept(None);
        };
        if let Some(first) = piece.first {
            datagram.first.get_or_insert(first);
            datagram.protocol = piece.protocol;
        }
        let told = datagram.is_ready();
        let contradicts = datagram.insert(piece, head);
        self.counts.overlaps += u64::from(contradicts);
        if told || !datagram.is_ready() {
            let first = datagram.first;
            self.forget_whole(place);
            return Standing::Kept(first);
        }
        self.counts.reassembled += 1;
        self.table.shift(place, READ);
        Standing::Ready(place)
    }

    /// The start of a datagram that is ready.
    pub(super) fn head(&self, place: Place) -> Option<Head<'_>> {
        let datagram = self.table.get(place)?;
        let at = start_of(place);
        Some(Head {
            bytes: self.heads.get(at..at + datagram.end)?,
            total: datagram.total,
            protocol: datagram.protocol,
            first: datagram.first,
        })
    }

    /// Forgets a datagram of which nothing more is to come.
    pub(super) fn forget_whole(&mut self, place: Place) {
        let whole = |datagram: &Datagram| {
            datagram.is_ready() && datagram.total.is_some_and(|total| datagram.received >= total)
        };
        if self.table.get(place).is_some_and(whole) {
            self.table.remove(place);
        }
    }

    fn place(&mut self, piece: &Piece<'_>) -> Option<Place> {
        if let Some(place) = self.table.find(&piece.key) {
            if !self.is_used_anew(place, piece) {
                return Some(place);
            }
            self.table.remove(place);
        }
        if self.table.is_full() {
            let oldest = self.table.first(READ);
            self.counts.evicted += u64::from(oldest.is_none());
            self.table.remove(oldest.or_else(|| self.table.first(WAITING))?);
        }
        let datagram = Datagram {
            key: piece.key,
            begun: piece.time,
            protocol: piece.protocol,
            first: None,
            total: None,
            received: 0,
            map: [0; WORDS],
            end: HEAD,
        };
        self.table.insert(WAITING, datagram).ok()
    }

    /// Whether this is the first fragment of another datagram with the number of one whose start was read.
    fn is_used_anew(&self, place: Place, piece: &Piece<'_>) -> bool {
        let read = self.table.get(place).filter(|datagram| datagram.is_ready());
        let head = read.and_then(|_| self.head(place)).filter(|_| piece.first.is_some());
        head.is_some_and(|head| !head.bytes.iter().zip(piece.window.bytes).all(|(a, b)| a == b))
    }

    /// Each call takes out what it looks at, but for one of each list.
    fn expire(&mut self, now: Timestamp) {
        for list in [WAITING, READ] {
            while let Some(place) = self.table.first(list) {
                // The clock may have gone back.
                let old = |d: &Datagram| now.since(d.begun) >= TIMEOUT || d.begun.since(now) >= TIMEOUT;
                if !self.table.get(place).is_some_and(old) {
                    break;
                }
                self.table.remove(place);
                self.counts.incomplete += u64::from(list == WAITING);
            }
        }
    }
}

impl Datagram {
    /// Writes what is not there yet. Gives whether the fragment contradicts what is.
    fn insert(&mut self, piece: &Piece<'_>, head: &mut [u8]) -> bool {
        let length = piece.window.length();
        let end = piece.offset.saturating_add(length);
        let mut contradicts = false;
        if !piece.more {
            contradicts = *self.total.get_or_insert(end) != end;
            self.end = self.end.min(end);
        }
        contradicts |= self.total.is_some_and(|total| end > total);
        let captured = piece.window.bytes;
        if captured.len() < length {
            self.end = self.end.min(piece.offset.saturating_add(captured.len()));
        }
        let mut fresh = 0;
        let mut copies = 0;
        for (number, unit) in captured.chunks(UNIT).enumerate() {
            let at = piece.offset + number * UNIT;
            let Some(room) = head.get_mut(at..HEAD.min(at + unit.len())) else { break };
            let (word, bit) = (at / UNIT / 64, 1_u64 << (at / UNIT % 64));
            let Some(word) = self.map.get_mut(word) else { break };
            if *word & bit == 0 {
                *word |= bit;
                room.copy_from_slice(unit);
                fresh += 1;
            } else {
                copies += 1;
                contradicts |= !unit.starts_with(room);
            }
        }
        // A fragment is either new or a copy; one that is both is an overlap.
        contradicts |= fresh > 0 && copies > 0;
        if fresh > 0 || piece.offset >= HEAD {
            self.received = self.received.saturating_add(length);
        }
        contradicts
    }

    /// Whether all units up to the end came.
    fn is_ready(&self) -> bool {
        let units = self.end.div_ceil(UNIT);
        (0..units.div_ceil(64)).all(|word| {
            let in_word = units - word * 64;
            let wanted = if in_word >= 64 { u64::MAX } else { (1 << in_word) - 1 };
            self.map.get(word).is_some_and(|map| map & wanted == wanted)
        })
    }
}

fn start_of(place: Place) -> usize {
    usize::try_from(place.index()).unwrap_or(usize::MAX).saturating_mul(HEAD)
}
