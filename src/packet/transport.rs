//! TCP (RFC 9293) and UDP (RFC 768) headers, and which datagrams are read further. Ports decide that: payloads of
//! other ports are never looked at.

use etherparse::{IpNumber, TcpHeader, UdpHeader, UdpHeaderSlice};

use super::digest::{Digest, FaultReason, Hint, Layer, Tcp, TcpFlags, Transport, Udp};
use super::ip::{Carried, Part};
use super::window::Window;
use super::{dhcp, dns, icmp};

const DNS_PORT: u16 = 53;
const DHCP_SERVER_PORT: u16 = 67;
const DHCP_CLIENT_PORT: u16 = 68;
const MDNS_PORT: u16 = 5353;

/// Reads the transport header of a whole packet or a first fragment; faults and hints go to the digest.
pub(super) fn read(carried: Carried<'_>, digest: &mut Digest) -> Transport {
    let transport = match IpNumber(carried.protocol) {
        IpNumber::TCP => tcp(carried.window, digest).map(Transport::Tcp),
        IpNumber::UDP => udp(carried, digest).map(Transport::Udp),
        IpNumber::ICMP => icmp::v4(carried.window, digest).map(Transport::Icmp),
        IpNumber::IPV6_ICMP => icmp::v6(carried.window, digest).map(Transport::Icmp),
        _ => None,
    };
    transport.unwrap_or(Transport::Other(carried.protocol))
}

fn tcp(window: Window<'_>, digest: &mut Digest) -> Option<Tcp> {
    let Some(fixed) = window.bytes.first_chunk::<{ TcpHeader::MIN_LEN }>() else {
        digest.note(Layer::Tcp, window.shortage(TcpHeader::MIN_LEN));
        return None;
    };
    let length = usize::from(fixed[12] >> 4) * 4;
    if length < TcpHeader::MIN_LEN {
        digest.note(Layer::Tcp, FaultReason::BadLength);
        return None;
    }
    if window.bytes.len() < length {
        let reason = window.shortage(length);
        digest.note(Layer::Tcp, reason);
        // Options are not read, so a capture that ends within them still has all that matters.
        if reason != FaultReason::Cut {
            return None;
        }
    }
    Some(Tcp {
        source_port: u16::from_be_bytes([fixed[0], fixed[1]]),
        destination_port: u16::from_be_bytes([fixed[2], fixed[3]]),
        flags: TcpFlags(fixed[13]),
        sequence: u32::from_be_bytes([fixed[4], fixed[5], fixed[6], fixed[7]]),
        acknowledgement: u32::from_be_bytes([fixed[8], fixed[9], fixed[10], fixed[11]]),
        window: u16::from_be_bytes([fixed[14], fixed[15]]),
        payload: window.after(length).count(),
    })
}

fn udp(carried: Carried<'_>, digest: &mut Digest) -> Option<Udp> {
    let window = carried.window;
    let Ok(header) = UdpHeaderSlice::from_slice(window.bytes) else {
        digest.note(Layer::Udp, window.shortage(UdpHeader::LEN));
        return None;
    };
    let length = usize::from(header.length());
    let datagram = match carried.part {
        // The length is that of all fragments together.
        Part::First | Part::Later => window,
        Part::Unmeasured if length == 0 => window,
        Part::Whole | Part::Unmeasured if length < UdpHeader::LEN => {
            digest.note(Layer::Udp, FaultReason::BadLength);
            return None;
        }
        Part::Whole | Part::Unmeasured => {
            if length > window.length() {
                digest.note(Layer::Udp, FaultReason::BadLength);
            }
            window.ending_at(length)
        }
    };
    let payload = datagram.after(UdpHeader::LEN);
    let udp = Udp {
        source_port: header.source_port(),
        destination_port: header.destination_port(),
        payload: payload.count(),
    };
    hint(udp, payload, digest);
    Some(udp)
}

fn hint(udp: Udp, payload: Window<'_>, digest: &mut Digest) {
    let is_port = |port| udp.source_port == port || udp.destination_port == port;
    if is_port(DNS_PORT) || is_port(MDNS_PORT) {
        match dns::read(payload, !is_port(DNS_PORT)) {
            Ok(dns) => digest.hint = Hint::Dns(dns),
            Err(reason) => digest.note(Layer::Dns, reason),
        }
    } else if is_port(DHCP_SERVER_PORT) || is_port(DHCP_CLIENT_PORT) {
        match dhcp::read(payload) {
            Ok(dhcp) => digest.hint = Hint::Dhcp(dhcp),
            Err(reason) => digest.note(Layer::Dhcp, reason),
        }
    }
}
