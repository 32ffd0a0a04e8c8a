//! [`Stream`]: the data of one direction of a connection, and what the other end says that it got of it.
//!
//! It knows no flow and keeps no payload. Read first: RFC 9293, section 3.4; Zeek's `policy/misc/capture-loss.zeek`,
//! which takes an acknowledgement of data that was not seen as the sign that the tap, and not the network, lost it.

use arrayvec::ArrayVec;

use super::TcpTotals;
use super::sequence::Sequence;
use crate::time::{Span, Timestamp};

/// Gaps that are followed at once. With one more the two that lie lowest become one, which keeps the sum of their
/// bytes.
const GAPS: usize = 4;
/// A jump over more bytes than this is no gap: a forged number, or a time in which nothing of the flow was seen in
/// either direction. Two and a half times the largest receive buffer that systems give by default (6 MiB, `tcp_rmem`
/// of Linux).
const PLAUSIBLE: i64 = 16 << 20;
/// How old a gap must be for acknowledged bytes in it to be missing: a mirror may show the acknowledgement of one port
/// before the data of another, and holds no packet for so long.
const SETTLED: Span = Span::from_millis(200);
/// Within this a gap is filled by reordering where the round trip is not known.
const REORDERED: Span = Span::from_millis(3);

/// One direction.
#[derive(Clone, Debug, Default)]
pub(super) struct Stream {
    /// Whether it has sent since it is measured. Before that nothing is known of its numbers.
    begun: bool,
    /// Behind the highest byte that was sent or acknowledged.
    end: Sequence,
    /// The highest acknowledgement.
    acknowledged: Sequence,
    /// In the order of their numbers; they do not overlap.
    gaps: ArrayVec<Gap, GAPS>,
    pub(super) sums: StreamSums,
}

/// Sums of one direction of a flow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StreamSums {
    /// Segments whose payload had been seen before, or that filled a gap late.
    pub retransmitted: u32,
    /// Segments that filled a gap soon.
    pub out_of_order: u32,
    /// Payload bytes that the other end acknowledged and the tap did not see.
    pub missing: u64,
}

/// Bytes that were not seen.
#[derive(Clone, Copy, Debug)]
struct Gap {
    from: Sequence,
    to: Sequence,
    /// How many of them are missing: all, but where the gap is made of two or was filled in its midst.
    bytes: u32,
    since: Timestamp,
}

/// What a segment occupies of the sequence space.
#[derive(Clone, Copy, Debug)]
pub(super) struct Segment {
    pub(super) from: Sequence,
    pub(super) payload: u32,
    /// A FIN takes one number.
    pub(super) fin: bool,
}

impl Stream {
    /// It will go on with this number; what lies before is not measured.
    pub(super) fn begin(&mut self, next: Sequence) {
        if !self.begun {
            (self.begun, self.end, self.acknowledged) = (true, next, next);
        }
    }

    /// A segment was sent. `round_trip` is that of the handshake: a repetition cannot come sooner.
    pub(super) fn send(
        &mut self,
        segment: Segment,
        now: Timestamp,
        round_trip: Option<Span>,
        totals: &mut TcpTotals,
    ) {
        self.begin(segment.from);
        self.settle(now, totals);
        let length = segment.payload.saturating_add(u32::from(segment.fin));
        if length == 0 {
            return;
        }
        let behind = segment.from.plus(length);
        let ahead = segment.from.since(self.end);
        if ahead >= PLAUSIBLE || ahead <= -PLAUSIBLE {
            return self.resume(behind);
        }
        let new = behind.bytes_from(self.end.later(segment.from));
        if new > 0 {
            self.open_gap(segment.from, now, totals);
            self.end = behind;
        }
        // A FIN is no payload; it is the last number of the segment.
        let new = new.saturating_sub(u32::from(segment.fin && new > 0));
        let (filled, age) = if ahead < 0 { self.fill(segment.from, behind, now) } else { (0, None) };
        totals.bytes_seen += u64::from(new) + u64::from(filled);
        if ahead >= 0 {
            return;
        }
        // A single byte just before the end is a keep-alive (RFC 9293, section 3.8.4), or asks for a window (section
        // 3.8.6.1), or repeats a FIN.
        let probes = length == 1 && ahead == -1;
        if age.is_some_and(|age| age < round_trip.unwrap_or(REORDERED)) {
            self.sums.out_of_order = self.sums.out_of_order.saturating_add(1);
            totals.out_of_order += 1;
        } else if age.is_some() || (new == 0 && !probes) {
            self.sums.retransmitted = self.sums.retransmitted.saturating_add(1);
            totals.retransmitted += 1;
        }
    }

    /// The other end has got all before this number.
    pub(super) fn acknowledge(&mut self, next: Sequence, now: Timestamp, totals: &mut TcpTotals) {
        if !self.begun {
            return;
        }
        let ahead = next.since(self.end);
        if ahead >= PLAUSIBLE || ahead <= -PLAUSIBLE {
            // Older ones that come late are nothing new.
            if ahead > 0 {
                self.resume(next);
            }
            return;
        }
        if next.since(self.acknowledged) > 0 {
            self.acknowledged = next;
            totals.acknowledgements += 1;
        }
        if ahead > 0 {
            self.open_gap(next, now, totals);
            self.end = next;
        }
        self.settle(now, totals);
    }

    /// It ends: what is acknowledged by now and not seen is missing.
    pub(super) fn finish(&mut self, totals: &mut TcpTotals) {
        while let Some(gap) = self.gaps.pop() {
            if gap.to.since(self.acknowledged) <= 0 {
                self.miss(gap, totals);
            }
        }
    }

    /// Goes on behind a jump that says nothing.
    fn resume(&mut self, next: Sequence) {
        self.gaps.clear();
        (self.end, self.acknowledged) = (next, next);
    }

    /// Bytes up to this number exist and were not seen. One alone is none: a keep-alive's, or the number of a FIN.
    fn open_gap(&mut self, to: Sequence, now: Timestamp, totals: &mut TcpTotals) {
        let bytes = to.bytes_from(self.end);
        if bytes < 2 {
            return;
        }
        if self.gaps.is_full() {
            self.settle(now, totals);
        }
        if self.gaps.is_full() {
            let lowest = self.gaps.remove(0);
            if let Some(next) = self.gaps.first_mut() {
                next.from = lowest.from;
                next.bytes = next.bytes.saturating_add(lowest.bytes);
            }
        }
        self.gaps.push(Gap { from: self.end, to, bytes, since: now });
    }

    /// These bytes were seen after all: how many of them lay in gaps, and how old the oldest of these was.
    fn fill(&mut self, from: Sequence, behind: Sequence, now: Timestamp) -> (u32, Option<Span>) {
        let (mut filled, mut age) = (0_u32, None);
        for gap in &mut self.gaps {
            let (first, last) = (from.later(gap.from), behind.earlier(gap.to));
            let bytes = last.bytes_from(first).min(gap.bytes);
            if bytes == 0 {
                continue;
            }
            gap.bytes -= bytes;
            filled = filled.saturating_add(bytes);
            age = age.max(Some(now.since(gap.since)));
            if first == gap.from {
                gap.from = last;
            } else if last == gap.to {
                gap.to = first;
            }
        }
        self.gaps.retain(|gap| gap.bytes > 0 && gap.to.since(gap.from) > 0);
        (filled, age)
    }

    /// Takes up acknowledged gaps that are old enough.
    fn settle(&mut self, now: Timestamp, totals: &mut TcpTotals) {
        while let Some(&gap) = self.gaps.first() {
            if gap.to.since(self.acknowledged) > 0 || now.since(gap.since) < SETTLED {
                return;
            }
            self.gaps.remove(0);
            self.miss(gap, totals);
        }
    }

    fn miss(&mut self, gap: Gap, totals: &mut TcpTotals) {
        self.sums.missing = self.sums.missing.saturating_add(gap.bytes.into());
        totals.gaps += 1;
        totals.bytes_missing += u64::from(gap.bytes);
    }
}
