//! Counters of the meter: packets by protocol, faults by reason, rates. Plain integers, owned by one thread.

use arrayvec::ArrayVec;

use crate::flow::TcpTotals;
use crate::packet::{
    Application, Digest, Direction, Effect, FaultReason, Hint, Layer, Network, Operation, PlantProtocol,
    Transport, UnknownType,
};
use crate::time::{Span, Timestamp};

const PROTOCOLS: [&str; 9] = ["arp", "ipv4", "ipv6", "other", "tcp", "udp", "icmp", "fragment", "other_ip"];

/// Totals since start.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    packets: u64,
    bytes: u64,
    protocols: [u64; PROTOCOLS.len()],
    applications: [u64; Application::ALL.len()],
    operations: [[[u64; Direction::ALL.len()]; Effect::ALL.len()]; PlantProtocol::ALL.len()],
    faults: [[u64; FaultReason::ALL.len()]; Layer::ALL.len()],
    extents: Extents,
    unknown: ArrayVec<(UnknownType, u64), UNKNOWN_TYPES>,
    unknown_other: u64,
}

/// Types that are counted one by one: the first that occur. A sender who invents more makes the rest one number.
const UNKNOWN_TYPES: usize = 64;

/// Packets by how far they were decoded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extents {
    /// All of it that is read here, from the link to the application.
    pub full: u64,
    /// The network layer, but then came a fault or a type that is not read.
    pub partial: u64,
    /// No network layer and no message on the link itself.
    pub none: u64,
}

impl Extents {
    fn handle(&mut self, digest: &Digest) {
        let read = !matches!((digest.network, digest.hint), (Network::Other, Hint::None));
        *match (read, digest.fault, digest.unknown) {
            (true, None, None) => &mut self.full,
            (true, ..) => &mut self.partial,
            (false, ..) => &mut self.none,
        } += 1;
    }
}

impl Counts {
    /// Counts one packet.
    pub fn handle(&mut self, digest: &Digest) {
        self.packets += 1;
        self.bytes += u64::from(digest.wire_len);
        let mut bump = |at: usize| {
            if let Some(n) = self.protocols.get_mut(at) {
                *n += 1;
            }
        };
        match digest.network {
            Network::Arp(_) => bump(0),
            Network::Other => bump(3),
            Network::Ip(ip) => {
                bump(if ip.source.is_ipv4() { 1 } else { 2 });
                bump(match ip.transport {
                    Transport::Tcp(_) => 4,
                    Transport::Udp(_) => 5,
                    Transport::Icmp(_) => 6,
                    Transport::Fragment(_) => 7,
                    Transport::Other(_) => 8,
                });
            }
        }
        if let Some(n) = self.applications.get_mut(digest.hint.application().index()) {
            *n += 1;
        }
        self.extents.handle(digest);
        if let Some(kind) = digest.unknown {
            self.handle_unknown(kind);
        }
        if let Hint::Operation(operation) = &digest.hint {
            self.count_operation(operation);
        }
        if let Some(fault) = digest.fault
            && let Some(n) =
                self.faults.get_mut(fault.layer as usize).and_then(|f| f.get_mut(fault.reason as usize))
        {
            *n += 1;
        }
    }

    fn handle_unknown(&mut self, kind: UnknownType) {
        if let Some((_, n)) = self.unknown.iter_mut().find(|(known, _)| *known == kind) {
            *n += 1;
        } else if self.unknown.try_push((kind, 1)).is_err() {
            self.unknown_other += 1;
        }
    }

    /// Packets by how far they were decoded.
    #[must_use]
    pub const fn extents(&self) -> Extents {
        self.extents
    }

    /// Packets by the type at which reading ended, in order of type: at most 64 types.
    #[must_use]
    pub fn unknown(&self) -> Vec<(UnknownType, u64)> {
        let mut all = self.unknown.to_vec();
        all.sort_unstable();
        all
    }

    /// Packets of further types.
    #[must_use]
    pub const fn unknown_other(&self) -> u64 {
        self.unknown_other
    }

    fn count_operation(&mut self, operation: &Operation) {
        let Operation { protocol, effect, direction, .. } = operation;
        let effects = self.operations.get_mut(*protocol as usize);
        let directions = effects.and_then(|effects| effects.get_mut(*effect as usize));
        if let Some(n) = directions.and_then(|directions| directions.get_mut(*direction as usize)) {
            *n += 1;
        }
    }

    /// Packets.
    #[must_use]
    pub const fn packets(&self) -> u64 {
        self.packets
    }

    /// Bytes on the wire.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Packets by what they carry, zero ones included. A packet counts once as a network protocol, once as a
    /// transport, and once as an application message.
    pub fn protocols(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let applications = Application::ALL.into_iter().zip(self.applications);
        PROTOCOLS
            .into_iter()
            .zip(self.protocols)
            .chain(applications.filter(|(a, _)| *a != Application::Unknown).map(|(a, n)| (a.word(), n)))
    }

    /// Packets by the operation of a plant that they tell, those that occurred.
    pub fn operations(&self) -> impl Iterator<Item = (PlantProtocol, Effect, Direction, u64)> + '_ {
        PlantProtocol::ALL
            .into_iter()
            .zip(&self.operations)
            .flat_map(|(protocol, effects)| Effect::ALL.into_iter().zip(effects).map(move |e| (protocol, e)))
            .flat_map(|(protocol, (effect, row))| {
                Direction::ALL.into_iter().zip(row).map(move |(d, &n)| (protocol, effect, d, n))
            })
            .filter(|&(.., n)| n > 0)
    }

    /// Faults by layer and reason, those that occurred.
    pub fn faults(&self) -> impl Iterator<Item = (Layer, FaultReason, u64)> + '_ {
        Layer::ALL
            .into_iter()
            .zip(&self.faults)
            .flat_map(|(layer, row)| FaultReason::ALL.into_iter().zip(row).map(move |(r, &n)| (layer, r, n)))
            .filter(|&(_, _, n)| n > 0)
    }
}

/// Packets and bits per second, and what TCP did, over whole stretches of ten seconds of the capture's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rates {
    /// Which stretch is being counted, and the totals at its start: packets, bytes, TCP.
    current: Option<(i64, u64, u64, TcpTotals)>,
    latest: Option<Rate>,
}

/// A mean over ten seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// Packets per second.
    pub packets: f64,
    /// Bits per second.
    pub bits: f64,
    /// What was added to the totals of TCP.
    pub tcp: TcpTotals,
}

impl Rates {
    const STRETCH: Span = Span::from_secs(10);

    /// Looks whether a stretch is over; called about each second with the totals so far.
    pub fn handle_time(&mut self, now: Timestamp, counts: &Counts, tcp: &TcpTotals) {
        let length = i64::try_from(Self::STRETCH.as_nanos()).unwrap_or(i64::MAX);
        let stretch = now.as_nanos().div_euclid(length);
        match self.current {
            Some((current, ..)) if current == stretch => return,
            Some((current, packets, bytes, before)) => {
                // Where stretches without any packet lie between, the latest complete one was empty.
                let (share, tcp) = if stretch == current + 1 {
                    (1.0, tcp.since(&before))
                } else {
                    (0.0, TcpTotals::default())
                };
                self.latest = Some(Rate {
                    packets: per_second(counts.packets - packets) * share,
                    bits: per_second(counts.bytes - bytes) * 8.0 * share,
                    tcp,
                });
            }
            None => {}
        }
        self.current = Some((stretch, counts.packets, counts.bytes, *tcp));
    }

    /// The mean over the last complete stretch; none before one was complete.
    #[must_use]
    pub const fn latest(&self) -> Option<Rate> {
        self.latest
    }

    /// Forgets: the clock jumped.
    pub fn restart(&mut self) {
        *self = Self::default();
    }
}

#[expect(clippy::cast_precision_loss, reason = "a count of ten seconds is far below 2^53")]
fn per_second(count: u64) -> f64 {
    count as f64 / Rates::STRETCH.as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::{Frame, Link, dissect};

    /// The unit enums count themselves by their place in `ALL`.
    #[test]
    fn operations_are_counted_by_protocol_effect_and_direction() {
        let mut counts = Counts::default();
        let frame = Frame { time: Timestamp::EPOCH, link: Link::Ethernet, wire_len: 60, bytes: &[0; 60] };
        let mut digest = dissect(&frame);
        counts.handle(&digest);
        assert_eq!(counts.operations().count(), 0);
        for protocol in PlantProtocol::ALL {
            for effect in Effect::ALL {
                for direction in Direction::ALL {
                    digest.hint = Hint::Operation(Operation::new(protocol, direction, effect, 1));
                    counts.handle(&digest);
                }
            }
        }
        digest.hint =
            Hint::Operation(Operation::new(PlantProtocol::S7, Direction::Request, Effect::Program, 0x1d));
        counts.handle(&digest);
        let all: Vec<_> = counts.operations().collect();
        assert_eq!(all.len(), 9 * 11 * 3);
        for (protocol, effect, direction, packets) in all {
            let twice =
                (protocol, effect, direction) == (PlantProtocol::S7, Effect::Program, Direction::Request);
            assert_eq!(packets, if twice { 2 } else { 1 });
        }
    }

    #[test]
    fn invented_types_fill_no_memory_and_are_counted_together() {
        let mut counts = Counts::default();
        for number in 0x9200..0x9300_u16 {
            let [high, low] = number.to_be_bytes();
            let bytes = [&[2; 12][..], &[high, low], &[0; 46]].concat();
            let frame = Frame { time: Timestamp::EPOCH, link: Link::Ethernet, wire_len: 60, bytes: &bytes };
            counts.handle(&dissect(&frame));
        }
        assert_eq!(counts.unknown().len(), 64);
        assert_eq!(counts.unknown().first(), Some(&(UnknownType::Ether(0x9200), 1)));
        assert_eq!(counts.unknown_other(), 256 - 64);
        assert_eq!(counts.extents(), Extents { full: 0, partial: 0, none: 256 });
    }

    #[test]
    fn packets_are_decoded_fully_partly_or_not() {
        let mut counts = Counts::default();
        let mut packet = [0; 34];
        packet[12..18].copy_from_slice(&[8, 0, 0x45, 0, 0, 20]);
        for protocol in [59, 89, 6] {
            packet[23] = protocol;
            counts.handle(&dissect(&Frame {
                time: Timestamp::EPOCH,
                link: Link::Ethernet,
                wire_len: 34,
                bytes: &packet,
            }));
        }
        assert_eq!(counts.extents(), Extents { full: 1, partial: 2, none: 0 });
        assert_eq!(counts.unknown(), [(UnknownType::Ip(89), 1)]);
    }
}
