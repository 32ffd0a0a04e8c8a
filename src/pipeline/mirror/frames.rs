//! [`Frames`]: what single frames tell of the mirror: whom they are for, whether they are whole, and whether they can be read.

use super::Place;
use super::commonest::Types;
use crate::packet::{Digest, FaultReason, Frame, Link, Mac, UnknownType};

/// Totals since start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct FrameTotals {
    /// All.
    pub(super) frames: u64,
    /// Neither from this machine nor for it.
    pub(super) others: u64,
    /// Of these, for a single station.
    pub(super) unicast: u64,
    /// Captured in part.
    pub(super) cut: u64,
    /// Of these, too short for the headers that are read.
    pub(super) unreadable: u64,
    /// Longer than the link carries.
    pub(super) joined: u64,
    /// Of a type that nothing here reads.
    pub(super) unknown: u64,
}

/// Counts frames.
#[derive(Debug)]
pub(super) struct Frames {
    place: Place,
    /// A bit for the last octet of each own station: most others are told from them at once.
    own: u64,
    /// The longest frame that the link carries.
    longest: u32,
    totals: FrameTotals,
    types: Types,
}

impl Default for Frames {
    fn default() -> Self {
        let place = Place::default();
        Self {
            longest: longest(&place),
            own: 0,
            place,
            totals: FrameTotals::default(),
            types: Types::default(),
        }
    }
}

/// An Ethernet header with two tags, and a trailer that some mirrors keep.
const AROUND: u32 = 14 + 8 + 4;
/// The longest packet of networks with jumbo frames. No standard says it; it is the most that common switches pass.
const JUMBO: u32 = 9_216;

fn longest(place: &Place) -> u32 {
    place.mtu.unwrap_or(JUMBO).saturating_add(AROUND)
}

impl Frames {
    pub(super) fn set_place(&mut self, place: Place) {
        self.longest = longest(&place);
        self.own = place.stations.iter().fold(0, |own, &station| own | bit(station));
        self.place = place;
    }

    pub(super) const fn totals(&self) -> &FrameTotals {
        &self.totals
    }

    /// Whether this machine's own stations are known.
    pub(super) const fn knows_own(&self) -> bool {
        !self.place.stations.is_empty()
    }

    /// Whether the longest packet of the link is known.
    pub(super) const fn knows_mtu(&self) -> bool {
        self.place.mtu.is_some()
    }

    /// Types that nothing here reads, the commonest first.
    pub(super) fn types(&self) -> Vec<UnknownType> {
        self.types.commonest()
    }

    /// A stretch of time is over.
    pub(super) fn age(&mut self) {
        self.types.age();
    }

    pub(super) fn handle(&mut self, frame: &Frame<'_>, digest: &Digest) {
        self.totals.frames += 1;
        if !digest.source.is_zero() && !self.is_own(digest.source) && !self.is_own(digest.destination) {
            self.totals.others += 1;
            self.totals.unicast += u64::from(!digest.destination.is_group());
        }
        let totals = &mut self.totals;
        if usize::try_from(digest.wire_len).is_ok_and(|wire| frame.bytes.len() < wire) {
            totals.cut += 1;
            totals.unreadable += u64::from(digest.fault.is_some_and(|f| f.reason == FaultReason::Cut));
        }
        totals.joined += u64::from(digest.wire_len > self.longest);
        let unknown = match (digest.unknown, frame.link) {
            (Some(unknown), _) => unknown,
            (None, Link::Unknown(link)) => UnknownType::Link(link),
            (None, _) => return,
        };
        totals.unknown += 1;
        self.types.note(unknown);
    }

    fn is_own(&self, station: Mac) -> bool {
        self.own & bit(station) != 0 && self.place.stations.contains(&station)
    }
}

fn bit(Mac([.., last]): Mac) -> u64 {
    1 << (last % 64)
}
