//! [`Duplicates`]: which packets a mirror delivers twice, and whether it does so as a rule.
//!
//! A switch that mirrors several ports, or one port in both directions, sends each packet that passes two of them
//! twice; where a router lies between, with other stations and a lower hop limit. No single pair tells whether the
//! mirror or the sender made it: senders repeat acknowledgements, probes, ARP and floods at once. So pairs are only
//! taken for copies while the mirror is proven to make them, by packets that no sender repeats
//! ([`Fingerprint::unique`]).
//!
//! What can go wrong: while the mirror is proven to duplicate, of identical packets that a sender repeats within
//! [`Duplicates::WINDOW`], every second is taken for a copy, and never more: a flood of identical packets shrinks to half
//! at worst, and so it should where it was doubled. Behind a router that is proven to be mirrored on both sides, up to
//! two more with another hop limit are left out for each that is metered. Of what a mirror delivers more than twice (broadcasts, where the
//! egress of many ports is mirrored) every second frame remains. Copies that come later than the window, or after more
//! than [`Duplicates::PLACES`] other packets on the average, are metered again.

use crate::packet::Fingerprint;
use crate::time::{Span, Timestamp};

/// What a frame is among those just before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sight {
    /// The first of its packet, as far as is known.
    First,
    /// The same frame once more.
    Copy,
    /// The same packet on the other side of a router.
    Forwarded,
}

/// Totals since start. The shares of `unique` packets prove; `copies` and `forwarded` are what was left out for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DuplicateTotals {
    /// Packets that no sender repeats, each once.
    pub unique: u64,
    /// Those of which the same frame came once more.
    pub doubled: u64,
    /// Those that came with other stations and another hop limit, too.
    pub routed: u64,
    /// Frames taken for copies of one before.
    pub copies: u64,
    /// Frames taken for what a router made of one before.
    pub forwarded: u64,
}

impl DuplicateTotals {
    /// Frames that the mirror made of others.
    #[must_use]
    pub const fn left_out(&self) -> u64 {
        self.copies + self.forwarded
    }
}

/// A table of the fingerprints of the last packets: [`Duplicates::PLACES`] of 16 bytes. A newer packet takes the place of an
/// older one.
#[derive(Debug)]
pub struct Duplicates {
    places: Box<[Place; Self::PLACES]>,
    totals: DuplicateTotals,
    /// Totals at the start of the block that is being counted.
    block: DuplicateTotals,
    doubling: Habit,
    routing: Habit,
}

#[derive(Clone, Copy, Debug, Default)]
struct Place {
    tag: u32,
    /// In ticks, wrapping after more than an hour: then a fingerprint would have to come again within the window, too.
    ticks: u32,
    stations: u32,
    hop_limit: u8,
    /// Frames with these stations: 0 for an empty place; from 3 on back and forth between 3 and 4.
    frames: u8,
    /// Frames with other stations since the last that was counted.
    forwarded: u8,
}

/// Whether something is the rule, with hysteresis.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Habit {
    #[default]
    No,
    Yes,
}

impl Habit {
    fn judge(self, share: u64, whole: u64) -> Self {
        let percent = match self {
            Self::No => Duplicates::BEGIN_PERCENT,
            Self::Yes => Duplicates::END_PERCENT,
        };
        if share.saturating_mul(100) >= whole.saturating_mul(percent) { Self::Yes } else { Self::No }
    }
}

impl Duplicates {
    /// How long after a packet its copy may come. The two sights of a packet are apart by the time of a frame through the
    /// switch (12 microseconds at 1 Gbit/s, 1.2 ms at 10 Mbit/s), by what waits before it, and by the moderation of
    /// interrupts (up to a millisecond). No TCP sends again this soon (RFC 6298 wants a second, systems take 200 ms; a
    /// tail loss probe of RFC 8985 waits two round trips and 2 ms, and has an identification of its own).
    pub const WINDOW: Span = Span::from_millis(5);
    /// A packet that was met twice and comes again within this is its sender's repetition, which proves nothing.
    const MEMORY: Span = Span::from_secs(1);
    /// Packets remembered: the window at 200,000 packets per second. 16 KiB, the half of a small core's first cache.
    pub const PLACES: usize = 1_024;
    /// Packets that no sender repeats after which it is judged whether the mirror duplicates.
    pub const BLOCK: u64 = 128;
    /// The share of them from which it does. Where two of many mirrored ports talk to each other, only their packets are
    /// doubled; a network without doubling shows less than one in a thousand (retransmissions within the window).
    pub const BEGIN_PERCENT: u64 = 10;
    /// The share below which it does not any more.
    pub const END_PERCENT: u64 = 3;
    /// Ticks of 1,024 ns.
    const TICK_BITS: u32 = 10;

    /// Nothing seen yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            places: Box::new([Place::default(); Self::PLACES]),
            totals: DuplicateTotals::default(),
            block: DuplicateTotals::default(),
            doubling: Habit::No,
            routing: Habit::No,
        }
    }

    /// Says what a frame is; anything but [`Sight::First`] only while the mirror is proven to make such ones.
    pub fn handle(&mut self, print: &Fingerprint, now: Timestamp) -> Sight {
        let ticks = ticks(now.as_nanos().cast_unsigned());
        let [t0, t1, t2, t3, _, _, i0, i1] = print.hash.to_be_bytes();
        let tag = u32::from_be_bytes([t0, t1, t2, t3]);
        let index = usize::from(u16::from_be_bytes([i0, i1])) % Self::PLACES;
        let Some(place) = self.places.get_mut(index) else { return Sight::First };
        let met = place.frames > 0 && place.tag == tag;
        let age = ticks.wrapping_sub(place.ticks);
        if !met || age > ticks_of(Self::WINDOW) {
            let repeated = met && place.frames > 1 && age <= ticks_of(Self::MEMORY);
            let (stations, hop_limit) = (print.stations, print.hop_limit);
            let frames = if repeated { 3 } else { 1 };
            *place = Place { tag, ticks, stations, hop_limit, frames, forwarded: 0 };
            if print.unique && !repeated {
                self.totals.unique += 1;
                self.judge();
            }
            return Sight::First;
        }
        let found = if place.stations == print.stations {
            place.meet(ticks)
        } else if place.hop_limit != print.hop_limit && place.forwarded < place.frames.min(2) {
            place.forwarded += 1;
            Sight::Forwarded
        } else {
            Sight::First
        };
        // Whoever repeats one packet again and again proves nothing.
        let proves = print.unique && place.frames < 3;
        let first_forwarded = place.forwarded == 1;
        match found {
            Sight::First => Sight::First,
            Sight::Copy => {
                self.totals.doubled += u64::from(proves);
                self.totals.copies += u64::from(self.doubling == Habit::Yes);
                if self.doubling == Habit::Yes { Sight::Copy } else { Sight::First }
            }
            Sight::Forwarded => {
                self.totals.routed += u64::from(proves && first_forwarded);
                self.totals.forwarded += u64::from(self.routing == Habit::Yes);
                if self.routing == Habit::Yes { Sight::Forwarded } else { Sight::First }
            }
        }
    }

    /// Totals.
    #[must_use]
    pub const fn totals(&self) -> &DuplicateTotals {
        &self.totals
    }

    fn judge(&mut self) {
        let unique = self.totals.unique - self.block.unique;
        if unique >= Self::BLOCK {
            self.doubling = self.doubling.judge(self.totals.doubled - self.block.doubled, unique);
            self.routing = self.routing.judge(self.totals.routed - self.block.routed, unique);
            self.block = self.totals;
        }
    }
}

impl Default for Duplicates {
    fn default() -> Self {
        Self::new()
    }
}

impl Place {
    /// The same frame again: every second is a copy of the one before.
    const fn meet(&mut self, ticks: u32) -> Sight {
        if matches!(self.frames, 1 | 3) {
            self.frames += 1;
            return Sight::Copy;
        }
        self.frames = 3;
        self.forwarded = 0;
        self.ticks = ticks;
        Sight::First
    }
}

fn ticks(nanos: u64) -> u32 {
    let [_, _, _, _, a, b, c, d] = (nanos >> Duplicates::TICK_BITS).to_be_bytes();
    u32::from_be_bytes([a, b, c, d])
}

fn ticks_of(span: Span) -> u32 {
    ticks(span.as_nanos())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MICRO: u64 = 1_000;

    /// A packet of its own, by number.
    fn packet(number: u64, unique: bool) -> Fingerprint {
        Fingerprint { hash: crate::bounded::scramble(number), stations: 7, hop_limit: 64, unique }
    }

    struct Bench {
        duplicates: Duplicates,
        now: Timestamp,
        next: u64,
    }

    impl Bench {
        fn new() -> Self {
            Self { duplicates: Duplicates::new(), now: Timestamp::from_parts(1_700_000_000, 0), next: 0 }
        }

        fn after(&mut self, micros: u64, print: &Fingerprint) -> Sight {
            self.now = self.now + Span::from_nanos(micros * MICRO);
            self.duplicates.handle(print, self.now)
        }

        /// Sends TCP segments of which every `of`-th is doubled.
        fn segments(&mut self, count: u64, of: u64) {
            for _ in 0..count {
                self.next += 1;
                let segment = packet(self.next, true);
                self.after(300, &segment);
                if of > 0 && self.next.is_multiple_of(of) {
                    self.after(20, &segment);
                }
            }
        }

        fn proven() -> Self {
            let mut bench = Self::new();
            bench.segments(200, 1);
            bench
        }
    }

    #[test]
    fn copies_are_left_out_once_the_mirror_is_proven_to_make_them() {
        let mut bench = Bench::new();
        bench.segments(127, 1);
        let acknowledgement = packet(1 << 40, false);
        assert_eq!(bench.after(300, &acknowledgement), Sight::First);
        assert_eq!(bench.after(20, &acknowledgement), Sight::First, "not proven yet");
        assert_eq!(bench.duplicates.totals().copies, 0);
        bench.segments(2, 1);
        let other = packet(1 << 41, false);
        assert_eq!(bench.after(300, &other), Sight::First);
        assert_eq!(bench.after(20, &other), Sight::Copy);
    }

    #[test]
    fn a_partial_mirror_is_proven_and_one_odd_retransmission_in_fifty_is_not() {
        let mut bench = Bench::new();
        bench.segments(1_000, 8);
        assert!(bench.duplicates.totals().copies > 50);
        let mut bench = Bench::new();
        bench.segments(10_000, 50);
        assert_eq!(bench.duplicates.totals().copies, 0);
        assert_eq!(bench.duplicates.totals().doubled, 200);
    }

    #[test]
    fn a_mirror_put_right_meters_everything_again() {
        let mut bench = Bench::proven();
        bench.segments(300, 0);
        let packet = packet(1 << 40, false);
        bench.after(300, &packet);
        assert_eq!(bench.after(20, &packet), Sight::First);
    }

    #[test]
    fn without_proof_nothing_that_is_repeated_is_lost() {
        let mut bench = Bench::new();
        bench.segments(1_000, 0);
        for unique in [false, true] {
            for pause in [1, 900, 3_000, 4_900] {
                let flood = packet(1 << 40 | pause << 1 | u64::from(unique), unique);
                for _ in 0..10_000 {
                    assert_eq!(bench.after(pause, &flood), Sight::First);
                }
            }
        }
        assert!(bench.duplicates.totals().doubled <= 4, "a flood of one packet proves nothing");
    }

    #[test]
    fn with_proof_a_flood_shrinks_to_half_at_worst() {
        let mut bench = Bench::proven();
        let flood = packet(1 << 40, false);
        let metered = (0..1_000).filter(|_| bench.after(1, &flood) == Sight::First).count();
        assert_eq!(metered, 500);
        // Two that were sent at once, of each a copy.
        let pair = packet(1 << 41, false);
        let metered = (0..4).filter(|_| bench.after(5, &pair) == Sight::First).count();
        assert_eq!(metered, 2);
    }

    #[test]
    fn what_comes_again_later_is_a_packet_of_its_own() {
        let mut bench = Bench::proven();
        let print = packet(1 << 40, false);
        bench.after(300, &print);
        assert_eq!(bench.after(5_200, &print), Sight::First);
        assert_eq!(bench.after(4_900, &print), Sight::Copy);
        // A timeout of TCP.
        assert_eq!(bench.after(200_000, &print), Sight::First);
    }

    #[test]
    fn before_and_after_a_router_is_told_apart() {
        let mut bench = Bench::new();
        let routed = |print: Fingerprint| Fingerprint { stations: 8, hop_limit: 63, ..print };
        for number in 0..200 {
            let print = packet(number, true);
            bench.after(300, &print);
            bench.after(40, &routed(print));
        }
        let totals = *bench.duplicates.totals();
        assert_eq!((totals.doubled, totals.copies, totals.routed), (0, 0, 200));
        let print = packet(1 << 40, false);
        assert_eq!(bench.after(300, &print), Sight::First);
        assert_eq!(bench.after(40, &routed(print)), Sight::Forwarded);
        assert_eq!(bench.after(40, &routed(print)), Sight::First, "once for each that came before it");
        // Only the stations differ: an address that somebody else uses, not a router.
        let spoofed = Fingerprint { stations: 9, ..print };
        assert_eq!(bench.after(40, &spoofed), Sight::First);
        // Doubled on either side of the router.
        bench.segments(200, 1);
        for number in 300..500 {
            let print = packet(number << 20, true);
            let sights = [print, print, routed(print), routed(print)].map(|p| bench.after(20, &p));
            let expected = [Sight::First, Sight::Copy, Sight::Forwarded, Sight::Forwarded];
            if number >= 450 {
                assert_eq!(sights, expected);
            }
        }
    }
}
