//! ICMP (RFC 792) and ICMPv6 (RFC 4443), the packets that unreachables quote, and neighbour discovery (RFC 4861).
//! Whether a neighbour message may be believed (hop limit 255, a known sender) is for those who believe it.

use etherparse::{IpNumber, icmpv4, icmpv6};
use smoltcp::wire::{Icmpv6Packet, NdiscOption, NdiscOptionType};

use super::digest::{Digest, FaultReason, Icmp, IcmpKind, Layer, Mac};
use super::ip::{self, Header, Part};
use super::window::Window;

/// Type, code, checksum and four bytes that depend on the type.
const HEADER: usize = 8;

/// Header and target address of a neighbour solicitation or advertisement.
const NEIGHBOUR_HEADER: usize = 24;

/// What could be read of a message, and why not all.
type Reading = (IcmpKind, Option<FaultReason>);

/// Reads an ICMP message; `None` when there is no header.
pub(super) fn v4(window: Window<'_>, digest: &mut Digest) -> Option<Icmp> {
    read(window, digest, |kind, code, identifier| match (kind, code) {
        (icmpv4::TYPE_ECHO_REQUEST, _) => (IcmpKind::EchoRequest(identifier), None),
        (icmpv4::TYPE_ECHO_REPLY, _) => (IcmpKind::EchoReply(identifier), None),
        // Not unreachable but too large: path MTU discovery (RFC 1191) on a way that works.
        (icmpv4::TYPE_DEST_UNREACH, icmpv4::CODE_DST_UNREACH_NEED_FRAG) => other(kind, code),
        (icmpv4::TYPE_DEST_UNREACH, _) => unreachable(window.after(HEADER)),
        _ => other(kind, code),
    })
}

/// Reads an ICMPv6 message; `None` when there is no header.
pub(super) fn v6(window: Window<'_>, digest: &mut Digest) -> Option<Icmp> {
    read(window, digest, |kind, code, identifier| match (kind, code) {
        (icmpv6::TYPE_ECHO_REQUEST, _) => (IcmpKind::EchoRequest(identifier), None),
        (icmpv6::TYPE_ECHO_REPLY, _) => (IcmpKind::EchoReply(identifier), None),
        (icmpv6::TYPE_DST_UNREACH, _) => unreachable(window.after(HEADER)),
        (icmpv6::TYPE_NEIGHBOR_SOLICITATION | icmpv6::TYPE_NEIGHBOR_ADVERTISEMENT, 0) => {
            neighbour(window, kind)
        }
        _ => other(kind, code),
    })
}

fn read(
    window: Window<'_>,
    digest: &mut Digest,
    meaning: impl FnOnce(u8, u8, u16) -> Reading,
) -> Option<Icmp> {
    let Some(&[kind, code, _, _, high, low, _, _]) = window.bytes.first_chunk::<HEADER>() else {
        digest.note(Layer::Icmp, window.shortage(HEADER));
        return None;
    };
    let (kind, fault) = meaning(kind, code, u16::from_be_bytes([high, low]));
    if let Some(reason) = fault {
        digest.note(Layer::Icmp, reason);
    }
    Some(Icmp { kind, payload: window.after(HEADER).count() })
}

const fn other(kind: u8, code: u8) -> Reading {
    (IcmpKind::Other { kind, code }, None)
}

/// The packet that an unreachable answers. Its own length field is that of the packet, not of the quote.
fn unreachable(quote: Window<'_>) -> Reading {
    let header = match quote.bytes.first().map(|octet| octet >> 4) {
        None => Err(quote.shortage(1)),
        Some(4) => ip::v4(quote),
        Some(6) => ip::v6(quote),
        Some(_) => Err(FaultReason::BadField),
    };
    match header {
        Ok(header) => quoted(quote, header),
        Err(reason) => (IcmpKind::Unreachable { protocol: 0, source: None, destination: None }, Some(reason)),
    }
}

fn quoted(quote: Window<'_>, header: Header) -> Reading {
    let (protocol, ports) = match header.carried(quote) {
        Ok(carried) if carried.part != Part::Later && has_ports(carried.protocol) => {
            let ports = carried.window.bytes.first_chunk::<4>();
            (carried.protocol, ports.ok_or_else(|| carried.window.shortage(4)))
        }
        Ok(carried) => (carried.protocol, Ok(&[0; 4])),
        Err(stop) => (stop.protocol, Err(stop.reason)),
    };
    let &[a, b, c, d] = ports.unwrap_or(&[0; 4]);
    let kind = IcmpKind::Unreachable {
        protocol,
        source: Some((header.source, u16::from_be_bytes([a, b]))),
        destination: Some((header.destination, u16::from_be_bytes([c, d]))),
    };
    (kind, ports.err())
}

/// Protocols whose header begins with the source and the destination port.
const fn has_ports(protocol: u8) -> bool {
    matches!(
        IpNumber(protocol),
        IpNumber::TCP | IpNumber::UDP | IpNumber::DCCP | IpNumber::SCTP | IpNumber::UDP_LITE
    )
}

fn neighbour(window: Window<'_>, kind: u8) -> Reading {
    let Ok(message) = Icmpv6Packet::new_checked(window.bytes) else {
        return (IcmpKind::Other { kind, code: 0 }, Some(window.shortage(NEIGHBOUR_HEADER)));
    };
    let target = message.target_addr().into();
    let options = window.after(NEIGHBOUR_HEADER);
    if kind == icmpv6::TYPE_NEIGHBOR_SOLICITATION {
        let (link, fault) = link_address(options, NdiscOptionType::SourceLinkLayerAddr);
        (IcmpKind::NeighbourSolicitation { target, link }, fault)
    } else {
        let (link, fault) = link_address(options, NdiscOptionType::TargetLinkLayerAddr);
        (IcmpKind::NeighbourAdvertisement { target, link }, fault)
    }
}

/// The first link-layer address option of a kind. An address of another size than Ethernet's is passed over.
fn link_address(mut options: Window<'_>, wanted: NdiscOptionType) -> (Option<Mac>, Option<FaultReason>) {
    // Each option has at least eight bytes, so this ends.
    while options.length() > 0 {
        let units = match options.bytes {
            [_, 0, ..] => return (None, Some(FaultReason::BadLength)),
            [_, units, ..] => usize::from(*units),
            _ => return (None, Some(options.shortage(2))),
        };
        if options.bytes.len() < units * 8 {
            return (None, Some(options.shortage(units * 8)));
        }
        if let Ok(option) = NdiscOption::new_checked(options.bytes)
            && option.option_type() == wanted
            && let Ok(mac) = <[u8; 6]>::try_from(option.link_layer_addr().as_bytes())
        {
            return (Some(Mac(mac)), None);
        }
        options = options.after(units * 8);
    }
    (None, None)
}
