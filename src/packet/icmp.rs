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
        if units == 1
            && let Ok(option) = NdiscOption::new_checked(options.bytes)
            && option.option_type() == wanted
            && let Ok(mac) = <[u8; 6]>::try_from(option.link_layer_addr().as_bytes())
        {
            return (Some(Mac(mac)), None);
        }
        options = options.after(units * 8);
    }
    (None, None)
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;
    use crate::packet::Transport;
    use crate::packet::samples::{
        CLIENT, CLIENT_MAC, CLIENT6, LINK, LINK_IP4, SERVER, SERVER6, captured, digest, extensions, fault,
        ip4, ip6, neighbour_advertisement, neighbour_solicitation, tcp4, transport, udp_header, udp4,
        unreachable,
    };

    fn icmp(digest: &Digest) -> Icmp {
        match transport(digest) {
            Transport::Icmp(icmp) => icmp,
            other => panic!("not ICMP but {other:?}, {:?}", digest.fault),
        }
    }

    fn kind(frame: &[u8]) -> IcmpKind {
        icmp(&digest(frame)).kind
    }

    fn ends(a: impl Into<IpAddr>, port: u16, b: impl Into<IpAddr>, other: u16, protocol: u8) -> IcmpKind {
        IcmpKind::Unreachable {
            protocol,
            source: Some((a.into(), port)),
            destination: Some((b.into(), other)),
        }
    }

    #[test]
    fn echo_and_others() {
        let echo = |kind| [kind, 0, 0, 0, 0x12, 0x34, 0, 1, 1, 2, 3];
        let request = Icmp { kind: IcmpKind::EchoRequest(0x1234), payload: 3 };
        assert_eq!(icmp(&digest(&ip4(1, &echo(8)))), request);
        assert_eq!(icmp(&digest(&ip6(58, &echo(128)))), request);
        assert_eq!(kind(&ip4(1, &echo(0))), IcmpKind::EchoReply(0x1234));
        assert_eq!(kind(&ip6(58, &echo(129))), IcmpKind::EchoReply(0x1234));
        assert_eq!(kind(&ip4(1, &[11, 1, 0, 0, 0, 0, 0, 0])), IcmpKind::Other { kind: 11, code: 1 });
        assert_eq!(kind(&ip6(58, &[3, 0, 0, 0, 0, 0, 0, 0])), IcmpKind::Other { kind: 3, code: 0 });
        // The protocol number decides, not the version of IP.
        assert_eq!(kind(&ip6(1, &echo(8))), IcmpKind::EchoRequest(0x1234));
    }

    #[test]
    fn an_incomplete_header() {
        let short = digest(&ip4(1, &[8, 0, 0, 0, 0, 0, 0]));
        assert_eq!(short.fault, fault(Layer::Icmp, FaultReason::TooShort));
        assert!(matches!(transport(&short), Transport::Other(1)));
        let cut = captured(&ip4(1, &[8; 8]), LINK_IP4 + 7);
        assert_eq!(cut.fault, fault(Layer::Icmp, FaultReason::Cut));
    }

    #[test]
    fn unreachables_quote_what_they_answer() {
        let udp = udp4(5000, 6000, b"payload");
        for code in [0, 1, 2, 3, 9, 10, 13] {
            let message = unreachable(3, code, &udp);
            assert_eq!(kind(&ip4(1, &message)), ends(CLIENT, 5000, SERVER, 6000, 17));
            // RFC 792 asks for eight bytes behind the quoted header only.
            assert_eq!(digest(&ip4(1, &message[..8 + 28])).fault, None);
        }
        let tcp = unreachable(3, 1, &tcp4(b""));
        assert_eq!(kind(&ip4(1, &tcp)), ends(CLIENT, 40_000, SERVER, 502, 6));
        let echo = unreachable(3, 1, &ip4(1, &[8, 0, 0, 0, 0, 1, 0, 1]));
        assert_eq!(kind(&ip4(1, &echo)), ends(CLIENT, 0, SERVER, 0, 1));
        let six = unreachable(1, 4, &ip6(0, &extensions(&udp_header(5000, 6000, 8))));
        assert_eq!(kind(&ip6(58, &six)), ends(CLIENT6, 5000, SERVER6, 6000, 17));
    }

    #[test]
    fn a_quoted_later_fragment_has_no_ports() {
        let mut fragment = udp4(5000, 6000, b"payload");
        fragment[LINK + 7] = 13;
        assert_eq!(kind(&ip4(1, &unreachable(3, 1, &fragment))), ends(CLIENT, 0, SERVER, 0, 17));
    }

    #[test]
    fn too_large_is_not_unreachable() {
        let message = unreachable(3, 4, &udp4(5000, 6000, b"payload"));
        assert_eq!(kind(&ip4(1, &message)), IcmpKind::Other { kind: 3, code: 4 });
    }

    #[test]
    fn an_incomplete_quote_keeps_what_it_has() {
        let frame = ip4(1, &unreachable(3, 3, &udp4(5000, 6000, b"payload")));
        let portless = captured(&frame, LINK_IP4 + 8 + 23);
        assert_eq!(icmp(&portless).kind, ends(CLIENT, 0, SERVER, 0, 17));
        assert_eq!(portless.fault, fault(Layer::Icmp, FaultReason::Cut));
        let nothing = IcmpKind::Unreachable { protocol: 0, source: None, destination: None };
        let headless = captured(&frame, LINK_IP4 + 8 + 19);
        assert_eq!(icmp(&headless).kind, nothing);
        assert_eq!(headless.fault, fault(Layer::Icmp, FaultReason::Cut));
        let empty = digest(&ip4(1, &[3, 3, 0, 0, 0, 0, 0, 0]));
        assert_eq!((icmp(&empty).kind, empty.fault), (nothing, fault(Layer::Icmp, FaultReason::TooShort)));
        let noise = digest(&ip4(1, &[3, 3, 0, 0, 0, 0, 0, 0, 0x75, 0]));
        assert_eq!((icmp(&noise).kind, noise.fault), (nothing, fault(Layer::Icmp, FaultReason::BadField)));
    }

    #[test]
    fn neighbours() {
        let solicitation = digest(&neighbour_solicitation());
        assert_eq!(
            icmp(&solicitation),
            Icmp {
                kind: IcmpKind::NeighbourSolicitation { target: SERVER6.into(), link: Some(Mac(CLIENT_MAC)) },
                payload: 24,
            }
        );
        assert_eq!(
            kind(&neighbour_advertisement()),
            IcmpKind::NeighbourAdvertisement { target: CLIENT6.into(), link: Some(Mac(CLIENT_MAC)) }
        );
    }

    /// An advertisement of the client's address with these options.
    fn advertisement(options: &[u8]) -> Vec<u8> {
        ip6(58, &[&[136, 0, 0, 0, 0x60, 0, 0, 0], &CLIENT6[..], options].concat())
    }

    #[test]
    fn neighbour_options() {
        let link = |options: &[u8]| {
            let digest = digest(&advertisement(options));
            let IcmpKind::NeighbourAdvertisement { link, .. } = icmp(&digest).kind else { panic!() };
            (link, digest.fault.map(|fault| fault.reason))
        };
        let mac = [2, 1, 2, 0, 0, 0, 0, 9];
        let expected = Some(Mac([2, 0, 0, 0, 0, 9]));
        assert_eq!(link(&[]), (None, None));
        assert_eq!(link(&mac), (expected, None));
        // A nonce, the wrong side's address, an eight-byte address, a prefix too short for its type: passed over.
        assert_eq!(link(&[&[14, 1, 9, 9, 9, 9, 9, 9], &mac[..]].concat()), (expected, None));
        assert_eq!(link(&[1, 1, 2, 0, 0, 0, 0, 7]), (None, None));
        assert_eq!(
            link(&[&[2, 2, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 0, 0, 0], &mac[..]].concat()),
            (expected, None)
        );
        assert_eq!(link(&[&[3, 1, 9, 9, 9, 9, 9, 9], &mac[..]].concat()), (expected, None));
        assert_eq!(link(&[14, 0, 0, 0, 0, 0, 0, 0]), (None, Some(FaultReason::BadLength)));
        assert_eq!(link(&[2, 2, 2, 0, 0, 0, 0, 9]), (None, Some(FaultReason::TooShort)));
        assert_eq!(link(&[2]), (None, Some(FaultReason::TooShort)));
        assert_eq!(link(&[&[2, 2, 2, 0, 0, 0, 0, 9], &[0; 7][..]].concat()).1, Some(FaultReason::TooShort));
    }

    #[test]
    fn an_incomplete_target_or_an_unknown_code() {
        let frame = neighbour_solicitation();
        let cut = captured(&frame, LINK + 40 + 23);
        assert_eq!(icmp(&cut).kind, IcmpKind::Other { kind: 135, code: 0 });
        assert_eq!(cut.fault, fault(Layer::Icmp, FaultReason::Cut));
        let cut = captured(&frame, LINK + 40 + 24);
        assert_eq!(icmp(&cut).kind, IcmpKind::NeighbourSolicitation { target: SERVER6.into(), link: None });
        assert_eq!(cut.fault, fault(Layer::Icmp, FaultReason::Cut));
        let mut coded = frame;
        coded[LINK + 41] = 1;
        assert_eq!(kind(&coded), IcmpKind::Other { kind: 135, code: 1 });
    }
}
