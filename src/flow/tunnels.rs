//! [`Tunnels`]: what packets come wrapped in, accounted apart from the flows within.
//!
//! It knows the outside only: kind, ends, totals.

use std::net::IpAddr;

use super::Config;
use crate::bounded::{Keyed, Table};
use crate::packet::{Digest, Encapsulation};
use crate::time::Timestamp;

/// Tunnels by kind and outermost ends, at most [`Tunnels::CAPACITY`]: at the limit the longest silent is put out and
/// counted, while the totals by kind go on. Those on the link itself, without IP ends, are one for each kind.
#[derive(Debug)]
pub struct Tunnels {
    table: Table<TunnelRecord, 1>,
    totals: [TunnelTotal; Encapsulation::ALL.len()],
    evicted: u64,
}

/// Packets of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TunnelTotal {
    /// Packets.
    pub packets: u64,
    /// Bytes on the wire, all headers included.
    pub bytes: u64,
}

/// A tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TunnelRecord {
    /// The outermost encapsulation.
    pub kind: Encapsulation,
    /// Its ends, the smaller address first; none on the link itself.
    pub ends: Option<(IpAddr, IpAddr)>,
    /// Of both directions.
    pub total: TunnelTotal,
    /// First packet.
    pub first: Timestamp,
    /// Latest packet.
    pub last: Timestamp,
}

impl Keyed for TunnelRecord {
    type Key = (Encapsulation, Option<(IpAddr, IpAddr)>);

    fn key(&self) -> Self::Key {
        (self.kind, self.ends)
    }
}

impl Tunnels {
    /// Tunnels that are told apart.
    pub const CAPACITY: usize = 64;

    /// None yet.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        Self { table: Table::new(Self::CAPACITY, config.hash_seed), totals: Default::default(), evicted: 0 }
    }

    /// Counts a packet, where it came wrapped.
    pub fn handle(&mut self, digest: &Digest) {
        let Some(tunnel) = digest.tunnel else { return };
        let bytes = u64::from(digest.wire_len);
        if let Some(total) = self.totals.get_mut(tunnel.kind as usize) {
            total.add(bytes);
        }
        let ends = tunnel.ends.map(|(a, b)| if a <= b { (a, b) } else { (b, a) });
        let place = self.table.find(&(tunnel.kind, ends)).or_else(|| {
            if self.table.is_full() {
                self.evicted += 1;
                self.table.first(0).and_then(|oldest| self.table.remove(oldest));
            }
            let (first, total) = (digest.time, TunnelTotal::default());
            self.table.insert(0, TunnelRecord { kind: tunnel.kind, ends, total, first, last: first }).ok()
        });
        if let Some(place) = place
            && let Some(record) = self.table.get_mut(place)
        {
            record.total.add(bytes);
            record.last = digest.time;
            self.table.shift(place, 0);
        }
    }

    /// Totals by kind, those of which there were any.
    pub fn totals(&self) -> impl Iterator<Item = (Encapsulation, TunnelTotal)> {
        Encapsulation::ALL.into_iter().zip(self.totals).filter(|(_, total)| total.packets > 0)
    }

    /// All that are told apart, those with the latest packets first.
    pub fn latest(&self) -> impl Iterator<Item = &TunnelRecord> {
        self.table.latest(0).map(|(_, record)| record)
    }

    /// Tunnels put out of the full table.
    #[must_use]
    pub const fn evicted(&self) -> u64 {
        self.evicted
    }
}

impl TunnelTotal {
    const fn add(&mut self, bytes: u64) {
        self.packets += 1;
        self.bytes += bytes;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::traffic::{datagram, ip, mac};
    use crate::packet::Tunnel;

    fn wrapped(millis: u64, kind: Encapsulation, ends: Option<(&str, &str)>) -> Digest {
        let mut digest = datagram(millis, (mac(1), "10.0.0.1"), (mac(2), "10.0.0.2"), 64);
        let ends = ends.map(|(a, b)| (ip(a), ip(b)));
        digest.tunnel = Some(Tunnel { kind, depth: 1, ends, bridged: false });
        digest
    }

    #[test]
    fn both_directions_are_one_and_kinds_are_apart() {
        let mut tunnels = Tunnels::new(&Config::default());
        tunnels.handle(&wrapped(0, Encapsulation::Vxlan, Some(("192.0.2.1", "192.0.2.9"))));
        tunnels.handle(&wrapped(5, Encapsulation::Gre, Some(("192.0.2.1", "192.0.2.9"))));
        tunnels.handle(&wrapped(9, Encapsulation::Vxlan, Some(("192.0.2.9", "192.0.2.1"))));
        tunnels.handle(&wrapped(9, Encapsulation::Mpls, None));
        let mut plain = wrapped(10, Encapsulation::Mpls, None);
        plain.tunnel = None;
        tunnels.handle(&plain);
        let seen: Vec<_> = tunnels.latest().map(|t| (t.kind, t.total.packets)).collect();
        assert_eq!(seen, [(Encapsulation::Mpls, 1), (Encapsulation::Vxlan, 2), (Encapsulation::Gre, 1)]);
        let vxlan = tunnels.latest().find(|t| t.kind == Encapsulation::Vxlan).unwrap();
        assert_eq!(vxlan.total.bytes, 2 * u64::from(plain.wire_len));
        assert_eq!(vxlan.last.since(vxlan.first), crate::time::Span::from_millis(9));
    }

    #[test]
    fn a_flood_of_ends_puts_out_the_longest_silent_and_is_counted() {
        let mut tunnels = Tunnels::new(&Config::default());
        for number in 0..1_000_u32 {
            let a = std::net::Ipv4Addr::from(0x0a00_0000 + number).to_string();
            tunnels.handle(&wrapped(u64::from(number), Encapsulation::Gre, Some((&a, "192.0.2.1"))));
        }
        assert_eq!(tunnels.latest().count(), Tunnels::CAPACITY);
        assert_eq!(tunnels.evicted(), 1_000 - 64);
        let total = tunnels.totals().next().unwrap();
        assert_eq!((total.0, total.1.packets), (Encapsulation::Gre, 1_000));
        assert_eq!(tunnels.latest().next().unwrap().ends, Some((ip("10.0.3.231"), ip("192.0.2.1"))));
    }
}
