//! What the payload of a TCP segment or a UDP datagram says: which protocols are tried, in which order, and what is
//! kept between frames for it. The protocols themselves are in the files beside this one.
//!
//! Cheap tests come first, ports and first bytes, so that data of no protocol that is read here costs next to nothing.
//! What a port alone proves (DNS, DHCP, NTP, NetBIOS) and does not fit is a fault; what is known by its content is one
//! only where the content leaves no doubt.

mod allowance;
mod dhcp;
mod dns;
mod gather;
mod hello;
mod http;
mod ja4;
mod lines;
mod mqtt;
mod netbios;
mod ntp;
mod quic;
mod quic_keys;
mod ssdp;
mod ssh;
mod tls;

use allowance::Allowance;
use gather::Stream;

use super::digest::{Digest, FaultReason, Ip, Layer, Tcp, TcpFlags, Transport, Udp};
use super::dissect::Depth;
use super::hint::Hint;
use super::plant;
use super::window::Window;

const DNS_PORT: u16 = 53;
const DHCP_SERVER_PORT: u16 = 67;
const DHCP_CLIENT_PORT: u16 = 68;
const MDNS_PORT: u16 = 5353;

/// What is remembered between frames to read messages that lie in several of them.
#[derive(Debug)]
pub(super) struct Memory {
    pub(super) depth: Depth,
    heads: Option<tls::Heads>,
    initials: Option<quic::Initials>,
    fingerprints: Allowance,
}

/// What was left unread so far because it did not come whole, or too much came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unread {
    /// TLS hellos over TCP of which a part is missing, or that were put out for others.
    pub tls_hellos: u64,
    /// The same for QUIC.
    pub quic_hellos: u64,
    /// QUIC packets that were not opened because too many came in a second.
    pub quic_packets: u64,
    /// Hellos without a fingerprint because too many came in a second.
    pub fingerprints: u64,
}

impl Unread {
    /// Each with its word for metrics and the page.
    #[must_use]
    pub const fn counts(&self) -> [(&'static str, u64); 4] {
        [
            ("tls_hellos", self.tls_hellos),
            ("quic_hellos", self.quic_hellos),
            ("quic_packets", self.quic_packets),
            ("fingerprints", self.fingerprints),
        ]
    }
}

impl Memory {
    /// Fingerprints in a second of the capture; each takes two SHA-256 over a few hundred bytes.
    const FINGERPRINTS: u32 = 2_000;

    /// Remembers nothing: each frame stands alone.
    pub(super) const fn none() -> Self {
        Self {
            depth: Depth::Full,
            heads: None,
            initials: None,
            fingerprints: Allowance::new(Self::FINGERPRINTS),
        }
    }

    /// About 600 KiB, touched as it is used.
    pub(super) fn new(hash_seed: u64) -> Self {
        Self {
            heads: Some(tls::Heads::new(hash_seed)),
            initials: Some(quic::Initials::new(hash_seed)),
            ..Self::none()
        }
    }

    pub(super) fn unread(&self) -> Unread {
        Unread {
            tls_hellos: self.heads.as_ref().map_or(0, tls::Heads::given_up),
            quic_hellos: self.initials.as_ref().map_or(0, quic::Initials::given_up),
            quic_packets: self.initials.as_ref().map_or(0, quic::Initials::refused),
            fingerprints: self.fingerprints.refused(),
        }
    }
}

/// A TCP segment and its payload.
#[derive(Clone, Copy, Debug)]
struct Segment<'a> {
    ip: &'a Ip,
    tcp: &'a Tcp,
    payload: Window<'a>,
}

/// A UDP datagram and its payload.
#[derive(Clone, Copy, Debug)]
struct Datagram<'a> {
    ip: &'a Ip,
    udp: &'a Udp,
    payload: Window<'a>,
}

impl Segment<'_> {
    const fn stream(&self) -> Stream {
        Stream {
            source: self.ip.source,
            destination: self.ip.destination,
            source_port: self.tcp.source_port,
            destination_port: self.tcp.destination_port,
        }
    }

    /// That of the first byte of payload.
    fn sequence(&self) -> u32 {
        self.tcp.sequence.wrapping_add(u32::from(self.tcp.flags.has(TcpFlags::SYN)))
    }

    const fn is_port(&self, port: u16) -> bool {
        self.tcp.source_port == port || self.tcp.destination_port == port
    }
}

impl Datagram<'_> {
    const fn stream(&self) -> Stream {
        Stream {
            source: self.ip.source,
            destination: self.ip.destination,
            source_port: self.udp.source_port,
            destination_port: self.udp.destination_port,
        }
    }

    const fn is_port(&self, port: u16) -> bool {
        self.udp.source_port == port || self.udp.destination_port == port
    }
}

/// Reads the payload of a packet whose headers are `ip`; hints and faults go to the digest.
pub(super) fn read(payload: Window<'_>, ip: &Ip, memory: &mut Memory, digest: &mut Digest) {
    match &ip.transport {
        Transport::Tcp(tcp) => of_tcp(&Segment { ip, tcp, payload }, memory, digest),
        Transport::Udp(udp) => of_udp(&Datagram { ip, udp, payload }, memory, digest),
        Transport::Icmp(_) | Transport::Fragment(_) | Transport::Other(_) => {}
    }
}

/// By content on any port, then by port; last the plant's protocols.
fn of_tcp(segment: &Segment<'_>, memory: &mut Memory, digest: &mut Digest) {
    let payload = segment.payload;
    let Some(&first) = payload.bytes.first() else { return };
    if segment.is_port(DNS_PORT) {
        return dns::read_stream(payload, digest);
    }
    if memory.depth == Depth::Essential {
        return;
    }
    if tls::may_continue(segment, memory) && tls::next(segment, memory, digest) {
        return;
    }
    let recognised = match first {
        tls::RECORD_HANDSHAKE => tls::first(segment, memory, digest),
        mqtt::CONNECT => mqtt::connect(payload, digest),
        b'S' if ssh::read(payload, digest) => true,
        b'A'..=b'Z' => http::read(payload, digest),
        _ => false,
    };
    if recognised {
        return;
    }
    if segment.is_port(mqtt::PORT) {
        return mqtt::other(payload, digest);
    }
    plant::of_tcp((segment.tcp.source_port, segment.tcp.destination_port), payload, digest);
}

/// By port, then by content on any.
fn of_udp(datagram: &Datagram<'_>, memory: &mut Memory, digest: &mut Digest) {
    let payload = datagram.payload;
    if datagram.is_port(DNS_PORT) || datagram.is_port(MDNS_PORT) {
        dns::read_datagram(payload, !datagram.is_port(DNS_PORT), digest);
    } else if datagram.is_port(DHCP_SERVER_PORT) || datagram.is_port(DHCP_CLIENT_PORT) {
        told(dhcp::read(payload).map(Hint::Dhcp), Layer::Dhcp, digest);
    } else if memory.depth == Depth::Essential {
        // The rest can wait.
    } else if datagram.is_port(ntp::PORT) {
        told(ntp::read(payload).map(Hint::Ntp), Layer::Ntp, digest);
    } else if datagram.is_port(netbios::PORT) {
        told(netbios::read(payload).map(Hint::NetBios), Layer::NetBios, digest);
    } else if datagram.is_port(ssdp::PORT) || payload.bytes.starts_with(ssdp::ANSWER) {
        ssdp::read(payload, digest);
    } else if quic::looks_like_one(payload) {
        quic::read(datagram, memory, digest);
    } else {
        plant::of_udp((datagram.udp.source_port, datagram.udp.destination_port), payload, digest);
    }
}

fn told(read: Result<Hint, FaultReason>, layer: Layer, digest: &mut Digest) {
    match read {
        Ok(hint) => digest.hint = hint,
        Err(reason) => digest.note(layer, reason),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::FaultReason;
    use crate::packet::samples::{dhcp_request, digest, dns_query, fault, transport, udp4};

    #[test]
    fn ports_decide_what_is_read() {
        let query = dns_query();
        for (source, destination, multicast) in [
            (40_000, 53, false),
            (53, 40_000, false),
            (5353, 53, false),
            (5353, 5353, true),
            (40_000, 5353, true),
        ] {
            let Hint::Dns(dns) = digest(&udp4(source, destination, &query)).hint else { panic!() };
            assert_eq!(dns.multicast, multicast);
        }
        for (source, destination) in [(68, 67), (67, 68), (67, 67)] {
            assert!(matches!(digest(&udp4(source, destination, &dhcp_request())).hint, Hint::Dhcp(_)));
        }
        for port in [54, 5355, 6667] {
            assert!(matches!(digest(&udp4(port, port, &query)).hint, Hint::None));
        }
    }

    #[test]
    fn an_unreadable_message_leaves_the_rest_valid() {
        for (port, layer) in [(53, Layer::Dns), (5353, Layer::Dns), (67, Layer::Dhcp)] {
            let digest = digest(&udp4(40_000, port, b"?"));
            assert_eq!(digest.fault, fault(layer, FaultReason::TooShort));
            assert!(matches!(digest.hint, Hint::None));
            assert!(matches!(transport(&digest), Transport::Udp(Udp { payload: 1, .. })));
        }
    }
}
