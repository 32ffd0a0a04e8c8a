//! [`Conversations`]: of which TCP conversations both directions are seen, and in which of them with a VLAN tag.

use std::net::IpAddr;

use crate::bounded::scramble;
use crate::packet::{Digest, Network, TcpFlags, Transport};
use crate::time::{Span, Timestamp};

/// Totals since start. A conversation is a TCP connection beyond its handshake; one that goes on is counted again each
/// [`Conversations::AGAIN`], so that a network with few and long ones tells, too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ConversationTotals {
    /// Seen in both directions.
    pub(super) both: u64,
    /// Seen in one direction, while the sender acknowledged what the other one sent.
    pub(super) one_way: u64,
    /// Of those in both: with a tag in all of one direction and in nothing of the other.
    pub(super) half_tagged: u64,
}

/// A sample of the conversations: [`Conversations::PLACES`] of 16 bytes. A conversation whose place is taken by one that is not
/// decided yet is not looked at.
#[derive(Debug)]
pub(super) struct Conversations {
    places: Box<[Place; Self::PLACES]>,
    totals: ConversationTotals,
    seed: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Place {
    tag: u32,
    /// Milliseconds, wrapping after 49 days: of the first packet or, once it is decided, of the decision.
    since: u32,
    packets: [u8; 2],
    /// Tagged ones of these.
    tagged: [u8; 2],
    decided: bool,
}

impl Conversations {
    const PLACES: usize = 256;
    /// Segments of one side, after which the other one must have been heard: an acknowledgement comes at the latest for
    /// every second full segment (RFC 9293, section 3.8.6.3) and within half a second (RFC 1122, section 4.2.3.2).
    const ALONE: u8 = 8;
    /// Time within which the other side must have been heard: twice the longest round trip in use, by satellite.
    const PATIENCE: Span = Span::from_secs(1);
    /// Segments of both sides together before they are compared.
    const TOGETHER: u8 = 6;
    /// An undecided conversation gives its place away after this.
    const STALE: Span = Span::from_secs(10);
    /// A conversation is looked at again after this.
    const AGAIN: Span = Span::from_secs(60);

    pub(super) fn new(hash_seed: u64) -> Self {
        Self {
            places: Box::new([Place::default(); Self::PLACES]),
            totals: ConversationTotals::default(),
            seed: hash_seed,
        }
    }

    pub(super) const fn totals(&self) -> &ConversationTotals {
        &self.totals
    }

    /// Looks at a packet. What opens or refuses a connection says nothing of the mirror: scans do so alone.
    pub(super) fn handle(&mut self, digest: &Digest) {
        let Network::Ip(ip) = &digest.network else { return };
        let Transport::Tcp(tcp) = &ip.transport else { return };
        if tcp.flags.0 & (TcpFlags::ACK.0 | TcpFlags::SYN.0 | TcpFlags::RST.0) != TcpFlags::ACK.0 {
            return;
        }
        let from = self.end(ip.source, tcp.source_port);
        let to = self.end(ip.destination, tcp.destination_port);
        let side = usize::from(from < to);
        let [t0, t1, t2, t3, .., index] = scramble(from.wrapping_add(to)).to_be_bytes();
        let tag = u32::from_be_bytes([t0, t1, t2, t3]);
        let now = millis(digest.time);
        let Some(place) = self.places.get_mut(usize::from(index) % Self::PLACES) else { return };
        let age = now.wrapping_sub(place.since);
        if place.tag != tag || place.packets == [0, 0] {
            if !place.decided && place.packets != [0, 0] && age < millis_of(Self::STALE) {
                return;
            }
            *place = Place { tag, since: now, ..Place::default() };
        } else if place.decided {
            if age < millis_of(Self::AGAIN) {
                return;
            }
            *place = Place { tag, since: now, ..Place::default() };
        }
        place.count(side, digest.vlan.is_some());
        place.decide(now, &mut self.totals);
    }

    fn end(&self, ip: IpAddr, port: u16) -> u64 {
        let address = match ip {
            IpAddr::V4(v4) => u64::from(v4.to_bits()),
            IpAddr::V6(v6) => {
                let [a, b, c, d, e, f, g, h] = v6.segments();
                let half = |[a, b, c, d]: [u16; 4]| {
                    u64::from(a) << 48 | u64::from(b) << 32 | u64::from(c) << 16 | u64::from(d)
                };
                half([a, b, c, d]).rotate_left(23) ^ half([e, f, g, h])
            }
        };
        scramble(address ^ self.seed ^ u64::from(port) << 40)
    }
}

impl Place {
    fn count(&mut self, side: usize, tagged: bool) {
        if let (Some(packets), Some(tags)) = (self.packets.get_mut(side), self.tagged.get_mut(side)) {
            *packets = packets.saturating_add(1);
            *tags = tags.saturating_add(u8::from(tagged));
        }
    }

    fn decide(&mut self, now: u32, totals: &mut ConversationTotals) {
        let [a, b] = self.packets;
        if a > 0 && b > 0 {
            if a.saturating_add(b) < Conversations::TOGETHER {
                return;
            }
            totals.both += 1;
            let [in_a, in_b] = self.tagged;
            totals.half_tagged += u64::from((in_a == a && in_b == 0) || (in_b == b && in_a == 0));
        } else if a.max(b) >= Conversations::ALONE
            && now.wrapping_sub(self.since) >= millis_of(Conversations::PATIENCE)
        {
            totals.one_way += 1;
        } else {
            return;
        }
        self.decided = true;
        self.since = now;
    }
}

fn millis(time: Timestamp) -> u32 {
    let [_, _, _, _, a, b, c, d] = time.as_millis().to_be_bytes();
    u32::from_be_bytes([a, b, c, d])
}

fn millis_of(span: Span) -> u32 {
    u32::try_from(span.as_nanos() / 1_000_000).unwrap_or(u32::MAX)
}
