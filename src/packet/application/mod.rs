//! What the payload of a TCP segment or a UDP datagram says: which protocols are tried, in which order, and what is
//! kept between frames for it. The protocols themselves are in the files beside this one.
//!
//! Cheap tests come first, ports and first bytes, so that data of no protocol that is read here costs next to nothing.

mod dhcp;
mod dns;

use super::digest::{Digest, Ip, Layer, Tcp, Transport, Udp};
use super::dissect::Depth;
use super::hint::Hint;
use super::plant;
use super::window::Window;

const DNS_PORT: u16 = 53;
const DHCP_SERVER_PORT: u16 = 67;
const DHCP_CLIENT_PORT: u16 = 68;
const MDNS_PORT: u16 = 5353;

/// What is remembered between frames to read messages that lie in several of them.
#[derive(Debug, Default)]
pub(super) struct Memory {
    pub(super) depth: Depth,
}

impl Memory {
    /// Remembers nothing: each frame stands alone.
    pub(super) const fn none() -> Self {
        Self { depth: Depth::Full }
    }
}

/// Reads the payload of a packet whose headers are `ip`; hints and faults go to the digest.
pub(super) fn read(payload: Window<'_>, ip: &Ip, memory: &mut Memory, digest: &mut Digest) {
    match &ip.transport {
        Transport::Tcp(tcp) => of_tcp(tcp, payload, memory, digest),
        Transport::Udp(udp) => of_udp(udp, payload, memory, digest),
        Transport::Icmp(_) | Transport::Fragment(_) | Transport::Other(_) => {}
    }
}

/// A segment with payload. What is not sure of its protocol leaves the digest as it is, so that the next is tried.
pub(super) fn of_tcp(tcp: &Tcp, payload: Window<'_>, memory: &mut Memory, digest: &mut Digest) {
    if payload.bytes.is_empty() || memory.depth == Depth::Essential {
        return;
    }
    // By content on any port, then the plant's protocols by port.
    plant::of_tcp((tcp.source_port, tcp.destination_port), payload, digest);
}

/// A datagram. Ports decide first.
pub(super) fn of_udp(udp: &Udp, payload: Window<'_>, memory: &mut Memory, digest: &mut Digest) {
    let is_port = |port| udp.source_port == port || udp.destination_port == port;
    if is_port(DNS_PORT) || is_port(MDNS_PORT) {
        return match dns::read(payload, !is_port(DNS_PORT)) {
            Ok(dns) => digest.hint = Hint::Dns(dns),
            Err(reason) => digest.note(Layer::Dns, reason),
        };
    }
    if is_port(DHCP_SERVER_PORT) || is_port(DHCP_CLIENT_PORT) {
        return match dhcp::read(payload) {
            Ok(dhcp) => digest.hint = Hint::Dhcp(dhcp),
            Err(reason) => digest.note(Layer::Dhcp, reason),
        };
    }
    if memory.depth == Depth::Essential {
        return;
    }
    // By port and content: the plant's protocols, then QUIC on any port.
    plant::of_udp((udp.source_port, udp.destination_port), payload, digest);
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
