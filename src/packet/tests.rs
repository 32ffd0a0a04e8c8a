//! The same packet in every wrapping: what is within is seen as if it came alone.

use std::net::IpAddr;

use proptest::prelude::{
    Just, ProptestConfig, Strategy, any, prop, prop_assert, prop_assert_eq, prop_oneof, proptest,
};
use proptest::test_runner::RngSeed;

use super::samples::{
    CLIENT_MAC, LINK, SERVER_MAC, arp_reply, dhcp_request, dns_query, ethernet, fault, ip4, ip6,
    mdns_announcement, tcp4, udp_header, udp4,
};
use super::{
    Digest, Dissector, Encapsulation, FaultReason, Frame, Hint, Layer, Link, Mac, Network, Transport, Tunnel,
    Udp, UnknownType, dissect,
};
use crate::time::{Span, Timestamp};

const OUTER: ([u8; 4], [u8; 4]) = ([198, 51, 100, 1], [198, 51, 100, 2]);
const CARRIERS: ([u8; 6], [u8; 6]) = ([2, 0, 0, 0, 1, 1], [2, 0, 0, 0, 1, 2]);

/// A frame around another packet, and what its digest is to say of the way there.
struct Wrapping {
    name: &'static str,
    link: Link,
    frame: Vec<u8>,
    tunnel: Option<Tunnel>,
    stations: [[u8; 6]; 2],
}

fn carrier(ether_type: u16, body: &[u8]) -> Vec<u8> {
    [&CARRIERS.1, &CARRIERS.0, &ether_type.to_be_bytes()[..], body].concat()
}

/// An IPv4 packet between the ends of a tunnel.
fn between(protocol: u8, body: &[u8]) -> Vec<u8> {
    let total = u16::try_from(20 + body.len()).unwrap().to_be_bytes();
    let start = [0x45, 0, total[0], total[1], 0, 1, 0, 0, 64, protocol, 0, 0];
    [&start, &OUTER.0[..], &OUTER.1, body].concat()
}

fn datagram(port: u16, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(8 + body.len()).unwrap();
    between(17, &[&udp_header(port, port, length)[..], body].concat())
}

fn llc(ether_type: [u8; 2], body: &[u8]) -> Vec<u8> {
    [&[0xaa, 0xaa, 3, 0, 0, 0], &ether_type[..], body].concat()
}

/// PPPoE with its length.
fn session(body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len()).unwrap().to_be_bytes();
    [&[0x11, 0, 0, 7], &length[..], body].concat()
}

fn gtp(body: &[u8]) -> Vec<u8> {
    // Sequence number and an extension header of two words.
    let optional = [0, 9, 0, 0x85, 2, 0, 0, 0, 0, 0, 0, 0];
    let length = u16::try_from(optional.len() + body.len()).unwrap().to_be_bytes();
    [&[0x36, 255], &length[..], &[0, 0, 0, 1], &optional, body].concat()
}

fn teredo(body: &[u8]) -> Vec<u8> {
    let mut ipv6 = ip6(17, body).split_off(LINK);
    ipv6[8..12].copy_from_slice(&[0x20, 1, 0, 0]);
    let authentication = [0, 1, 2, 3, 9, 9, 9, 9, 9, 1, 2, 3, 4, 5, 6, 7, 8, 0];
    let origin = [0, 0, 1, 2, 3, 4, 5, 6];
    [&authentication[..], &origin, &ipv6].concat()
}

fn sll(ether_type: [u8; 2], body: &[u8]) -> Vec<u8> {
    [&[0, 0, 0, 1, 0, 6], &CLIENT_MAC[..], &[0, 0], &ether_type, body].concat()
}

fn sll2(ether_type: [u8; 2], body: &[u8]) -> Vec<u8> {
    [&ether_type, &[0, 0, 0, 0, 0, 3, 0, 1, 0, 6][..], &CLIENT_MAC, &[0, 0], body].concat()
}

fn nflog(big: bool, body: &[u8]) -> Vec<u8> {
    let number = |n: usize| {
        let n = u16::try_from(n).unwrap();
        if big { n.to_be_bytes() } else { n.to_le_bytes() }
    };
    let prefix = [&number(7)[..], &number(10), b"ab\0", &[0]].concat();
    [&[2, 0, 0, 1][..], &prefix, &number(4 + body.len()), &number(9), body].concat()
}

/// Data from the system to a station, with quality of service.
fn wifi(body: &[u8]) -> Vec<u8> {
    [&[0x88, 2, 0, 0], &SERVER_MAC[..], &CARRIERS.0, &CLIENT_MAC, &[0, 0, 0, 0], &llc([8, 0], body)].concat()
}

fn wifi_bridge(body: &[u8]) -> Vec<u8> {
    let addresses = [&CARRIERS.1[..], &CARRIERS.0, &SERVER_MAC, &[0, 0], &CLIENT_MAC].concat();
    [&[0x08, 3, 0, 0][..], &addresses, &llc([8, 0], body)].concat()
}

fn radiotap(flags: u8, frame: &[u8]) -> Vec<u8> {
    // A second word of fields, time, flags.
    let header = [0, 0, 25, 0, 3, 0, 0, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8];
    [&header[..], &[flags], frame].concat()
}

const OWN: [[u8; 6]; 2] = [CLIENT_MAC, SERVER_MAC];
const CARRIED: [[u8; 6]; 2] = [CARRIERS.0, CARRIERS.1];
const NOBODY: [[u8; 6]; 2] = [[0; 6]; 2];

/// Links and tags; the frame is Ethernet with IPv4 between the samples' stations.
#[expect(clippy::too_many_lines, reason = "a table")]
fn on_links(frame: &[u8]) -> Vec<Wrapping> {
    let ip = &frame[LINK..];
    let length = u16::try_from(8 + ip.len()).unwrap();
    let tagged = |inserted: &[u8]| [&frame[..12], inserted, &frame[12..]].concat();
    let fddi = [&[0x57][..], &SERVER_MAC, &CLIENT_MAC, &llc([8, 0], ip)].concat();
    let plain = [
        ("ethernet", Link::Ethernet, frame.to_vec(), OWN),
        ("802.3 with SNAP", Link::Ethernet, ethernet(length, &llc([8, 0], ip)), OWN),
        ("802.3 with LLC", Link::Ethernet, ethernet(length - 5, &[&[6, 6, 3], ip].concat()), OWN),
        ("802.1Q", Link::Ethernet, tagged(&[0x81, 0, 0, 7]), OWN),
        ("802.1ad", Link::Ethernet, tagged(&[0x88, 0xa8, 0, 7, 0x91, 0, 0, 8]), OWN),
        ("VN-Tag", Link::Ethernet, tagged(&[0x89, 0x26, 0, 0, 0, 0]), OWN),
        ("metadata", Link::Ethernet, tagged(&[0x89, 9, 1, 1, 0, 1, 0, 5]), OWN),
        ("MACsec", Link::Ethernet, tagged(&[0x88, 0xe5, 0x20, 0, 0, 0, 0, 1, 1, 2, 3, 4, 5, 6, 0, 1]), OWN),
        ("802.1ah", Link::Ethernet, carrier(0x88e7, &[&[0, 0, 0, 9], frame].concat()), OWN),
        ("FabricPath", Link::Ethernet, carrier(0x8903, &[&[0, 0x40], frame].concat()), OWN),
        (
            "TRILL",
            Link::Ethernet,
            carrier(0x22f3, &[&[0, 0x41, 0, 1, 0, 2, 9, 9, 9, 9], frame].concat()),
            OWN,
        ),
        ("DSA", Link::MarkedEthernet, [&frame[..12], &[1, 2, 3, 4], &frame[12..]].concat(), OWN),
        (
            "EDSA",
            Link::MarkedEthernet8,
            [&frame[..12], &[1, 2, 3, 4, 5, 6, 7, 8], &frame[12..]].concat(),
            OWN,
        ),
        ("DSA before", Link::PrefixedEthernet, [&[1, 2, 3, 4], frame].concat(), OWN),
        ("raw IP", Link::RawIp, ip.to_vec(), NOBODY),
        ("raw IPv4", Link::RawIpv4, ip.to_vec(), NOBODY),
        ("loopback, little", Link::Loopback, [&[2, 0, 0, 0], ip].concat(), NOBODY),
        ("loopback, big", Link::Loopback, [&[0, 0, 0, 2], ip].concat(), NOBODY),
        ("loopback, open", Link::OpenLoopback, [&[0, 0, 0, 2], ip].concat(), NOBODY),
        ("PPP", Link::Ppp, [&[0, 0x21], ip].concat(), NOBODY),
        ("PPP, short", Link::Ppp, [&[0x21], ip].concat(), NOBODY),
        ("PPP, framed", Link::Serial, [&[0xff, 3, 0, 0x21], ip].concat(), NOBODY),
        ("PPP, directed", Link::DirectedPpp, [&[1, 0xff, 3, 0, 0x21], ip].concat(), NOBODY),
        ("Cisco HDLC", Link::CiscoHdlc, [&[0x0f, 0, 8, 0], ip].concat(), NOBODY),
        ("serial, Cisco", Link::Serial, [&[0x8f, 0, 8, 0], ip].concat(), NOBODY),
        ("Frame Relay", Link::FrameRelay, [&[0x18, 0x41, 3, 0xcc], ip].concat(), NOBODY),
        (
            "Frame Relay, SNAP",
            Link::FrameRelay,
            [&[0x18, 0x41, 3, 0, 0x80, 0, 0, 0, 8, 0], ip].concat(),
            NOBODY,
        ),
        ("Frame Relay, Cisco", Link::FrameRelay, [&[0x18, 0x41, 8, 0], ip].concat(), NOBODY),
        ("cooked", Link::Cooked, sll([8, 0], ip), [CLIENT_MAC, [0; 6]]),
        ("cooked 2", Link::Cooked2, sll2([8, 0], ip), [CLIENT_MAC, [0; 6]]),
        ("FDDI", Link::Fddi, fddi, OWN),
        ("NFLOG", Link::Nflog, nflog(false, ip), NOBODY),
        ("NFLOG, big", Link::Nflog, nflog(true, ip), NOBODY),
        ("802.11", Link::Wireless, wifi(ip), OWN),
        ("802.11, bridge", Link::Wireless, wifi_bridge(ip), OWN),
        ("radiotap", Link::Radiotap, radiotap(0, &wifi(ip)), OWN),
        ("radiotap, padded", Link::Radiotap, radiotap(0x20, &padded(&wifi(ip))), OWN),
    ];
    plain
        .into_iter()
        .map(|(name, link, frame, stations)| Wrapping { name, link, frame, tunnel: None, stations })
        .collect()
}

/// Two bytes behind the 26 of the header.
fn padded(frame: &[u8]) -> Vec<u8> {
    [&frame[..26], &[0, 0], &frame[26..]].concat()
}

#[expect(clippy::too_many_lines, reason = "a table")]
fn in_tunnels(frame: &[u8]) -> Vec<Wrapping> {
    use Encapsulation::{Erspan, Geneve, Gre, GtpU, IpInIp, Mpls, Pppoe, Tzsp, Vxlan};
    let ip = &frame[LINK..];
    let on_link = [
        ("MPLS", Mpls, carrier(0x8847, &[&[0, 1, 0, 64, 0, 2, 1, 64], ip].concat()), false),
        ("MPLS pseudowire", Mpls, carrier(0x8847, &[&[0, 2, 1, 64], frame].concat()), true),
        ("MPLS control word", Mpls, carrier(0x8847, &[&[0, 2, 1, 64, 0, 0, 0, 0], frame].concat()), true),
        ("PPPoE", Pppoe, carrier(0x8864, &session(&[&[0, 0x21], ip].concat())), false),
    ];
    let length = u16::try_from(2 + ip.len()).unwrap().to_be_bytes();
    let pptp =
        [&[0x30, 0x81, 0x88, 0x0b], &length[..], &[0, 7, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0x21], ip].concat();
    let erspan_2 = [&[0x10, 0, 0x88, 0xbe, 0, 0, 0, 1, 0x10, 0, 0, 9, 0, 0, 0, 0], frame].concat();
    let erspan_3 =
        [&[0x10, 0, 0x22, 0xeb, 0, 0, 0, 1][..], &[0x20, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 1], &[0; 8], frame]
            .concat();
    let in_ip = [
        ("GRE", Gre, between(47, &[&[0, 0, 8, 0], ip].concat()), false),
        ("GRE, all fields", Gre, between(47, &[&[0xb0, 0, 8, 0], &[9; 12][..], ip].concat()), false),
        ("GRE, bridged", Gre, between(47, &[&[0x20, 0, 0x65, 0x58, 0, 0, 1, 0], frame].concat()), true),
        ("GRE, MPLS", Gre, between(47, &[&[0, 0, 0x88, 0x47, 0, 2, 1, 64], ip].concat()), false),
        ("PPTP", Gre, between(47, &pptp), false),
        ("ERSPAN I", Erspan, between(47, &[&[0, 0, 0x88, 0xbe], frame].concat()), true),
        ("ERSPAN II", Erspan, between(47, &erspan_2), true),
        ("ERSPAN III", Erspan, between(47, &erspan_3), true),
        ("VXLAN", Vxlan, datagram(4789, &[&[8, 0, 0, 0, 0, 0, 7, 0], frame].concat()), true),
        ("VXLAN-GPE", Vxlan, datagram(4790, &[&[0xc, 0, 0, 1, 0, 0, 7, 0], ip].concat()), false),
        (
            "GENEVE",
            Geneve,
            datagram(6081, &[&[1, 0, 0x65, 0x58, 0, 0, 7, 0, 9, 9, 9, 0], frame].concat()),
            true,
        ),
        ("GENEVE, IP", Geneve, datagram(6081, &[&[0, 0, 8, 0, 0, 0, 7, 0], ip].concat()), false),
        ("TZSP", Tzsp, datagram(37_008, &[&[1, 0, 0, 1, 0, 10, 1, 5, 1], frame].concat()), true),
        ("TZSP, 802.11", Tzsp, datagram(37_008, &[&[1, 0, 0, 18, 1], &wifi(ip)[..]].concat()), true),
        ("GTP-U", GtpU, datagram(2152, &gtp(ip)), false),
        ("IP in IP", IpInIp, between(4, ip), false),
        (
            "IP in IP, authenticated",
            IpInIp,
            between(51, &[&[4, 1, 0, 0, 0, 0, 0, 7, 0, 0, 0, 1], ip].concat()),
            false,
        ),
        ("MPLS in IP", Mpls, between(137, &[&[0, 2, 1, 64], ip].concat()), false),
    ];
    let tunnel = |kind, ends, bridged, depth| Some(Tunnel { kind, depth, ends, bridged });
    let ends = Some((OUTER.0.into(), OUTER.1.into()));
    let whose = |bridged| if bridged { OWN } else { CARRIED };
    let on_link =
        on_link.into_iter().map(|(name, kind, frame, bridged)| (name, frame, tunnel(kind, None, bridged, 1)));
    let in_ip = in_ip.into_iter().map(|(name, kind, packet, bridged)| {
        let depth = if name == "GRE, MPLS" { 2 } else { 1 };
        (name, carrier(0x0800, &packet), tunnel(kind, ends, bridged, depth))
    });
    let mut all: Vec<_> = on_link
        .chain(in_ip)
        .map(|(name, frame, tunnel)| {
            let stations = whose(tunnel.is_some_and(|t| t.bridged));
            Wrapping { name, link: Link::Ethernet, frame, tunnel, stations }
        })
        .collect();
    let six = between(41, &ip6(4, ip)[LINK..]);
    all.push(Wrapping {
        name: "6in4 with 4in6",
        link: Link::Ethernet,
        frame: carrier(0x0800, &six),
        tunnel: tunnel(IpInIp, ends, false, 2),
        stations: CARRIED,
    });
    all
}

fn all_wrappings(frame: &[u8]) -> Vec<Wrapping> {
    [on_links(frame), in_tunnels(frame)].into_iter().flatten().collect()
}

fn whole(link: Link, bytes: &[u8]) -> Frame<'_> {
    Frame { time: Timestamp::EPOCH, link, wire_len: u32::try_from(bytes.len()).unwrap(), bytes }
}

fn same(name: &str, wrapped: &Digest, bare: &Digest) {
    assert_eq!(format!("{:?}", wrapped.network), format!("{:?}", bare.network), "{name}: {wrapped:?}");
    assert_eq!(format!("{:?}", wrapped.hint), format!("{:?}", bare.hint), "{name}");
    assert_eq!((wrapped.fault, wrapped.unknown), (bare.fault, bare.unknown), "{name}");
}

fn bare_frames() -> [Vec<u8>; 4] {
    [
        tcp4(b"twelve bytes"),
        udp4(40_000, 53, &dns_query()),
        udp4(68, 67, &dhcp_request()),
        ip4(1, &[8, 0, 0, 0, 0, 7, 0, 1]),
    ]
}

#[test]
fn every_wrapping_gives_the_packet_within() {
    for bare in bare_frames() {
        let expected = dissect(&whole(Link::Ethernet, &bare));
        for Wrapping { name, link, frame, tunnel, stations } in all_wrappings(&bare) {
            let digest = dissect(&whole(link, &frame));
            same(name, &digest, &expected);
            assert_eq!(digest.tunnel, tunnel, "{name}");
            assert_eq!([digest.source.0, digest.destination.0], stations, "{name}");
            assert_eq!(usize::try_from(digest.wire_len).unwrap(), frame.len(), "{name}");
        }
    }
}

/// Padding behind the packet counts for nobody, at any depth.
#[test]
fn lengths_are_those_within() {
    let bare = tcp4(b"twelve bytes");
    let expected = dissect(&whole(Link::Ethernet, &bare));
    let mut inner = bare;
    inner.extend([0; 30]);
    for Wrapping { name, link, frame, .. } in all_wrappings(&inner) {
        same(name, &dissect(&whole(link, &frame)), &expected);
    }
}

#[test]
fn teredo_carries_ipv6() {
    let packet = [&udp_header(5000, 6000, 10)[..], b"hi"].concat();
    let digest = dissect(&whole(Link::Ethernet, &carrier(0x0800, &datagram(3544, &teredo(&packet)))));
    let tunnel = digest.tunnel.unwrap();
    assert_eq!((tunnel.kind, tunnel.bridged), (Encapsulation::Teredo, false));
    let Network::Ip(ip) = digest.network else { panic!("{digest:?}") };
    assert!(ip.source.is_ipv6());
    assert!(matches!(ip.transport, Transport::Udp(Udp { source_port: 5000, payload: 2, .. })));
}

#[test]
fn ipv6_has_many_numbers_on_the_loopback() {
    let packet = ip6(17, &[&udp_header(5000, 6000, 10)[..], b"hi"].concat()).split_off(LINK);
    for family in [10, 23, 24, 28, 30] {
        for order in [[family, 0, 0, 0], [0, 0, 0, family]] {
            let digest = dissect(&whole(Link::Loopback, &[&order, &packet[..]].concat()));
            assert!(matches!(digest.network, Network::Ip(_)) && digest.fault.is_none(), "{order:?}");
        }
    }
}

/// The tag is that of the frame within, or what the mirror's header keeps of it.
#[test]
fn the_tag_is_of_the_frame_whose_stations_are_told() {
    let tag = |frame: &[u8], id: u8| [&frame[..12], &[0x81, 0, 0, id], &frame[12..]].concat();
    let inner = tcp4(b"data");
    let vxlan = |inner: &[u8]| carrier(0x0800, &datagram(4789, &[&[8, 0, 0, 0, 0, 0, 7, 0], inner].concat()));
    let vlan = |frame: &[u8]| dissect(&whole(Link::Ethernet, frame)).vlan;
    assert_eq!(vlan(&tag(&vxlan(&tag(&inner, 5)), 9)), Some(5));
    assert_eq!(vlan(&tag(&vxlan(&inner), 9)), None);
    let gre = tag(&carrier(0x0800, &between(47, &[&[0, 0, 8, 0], &inner[LINK..]].concat())), 9);
    assert_eq!(vlan(&gre), Some(9), "the carriers are of this link");
    let erspan = |en: u8| {
        let header = [0x10, 0, 0x88, 0xbe, 0, 0, 0, 1, 0x10, 77, en << 3, 9, 0, 0, 0, 0];
        carrier(0x0800, &between(47, &[&header, &inner[..]].concat()))
    };
    assert_eq!((vlan(&erspan(0)), vlan(&erspan(2))), (None, Some(77)));
}

#[test]
fn a_mirrored_arp_packet_is_of_its_stations() {
    let frame = carrier(0x0800, &datagram(37_008, &[&[1, 0, 0, 1, 1], &arp_reply()[..]].concat()));
    let digest = dissect(&whole(Link::Ethernet, &frame));
    assert!(matches!(digest.network, Network::Arp(_)) && !digest.is_carried());
    assert_eq!((digest.source, digest.fault), (Mac(CLIENT_MAC), None));
}

/// What uses a tunnel's port for something else stays what it is.
#[test]
fn a_port_alone_is_no_tunnel() {
    for port in [2152, 3544, 4789, 4790, 6081, 8472, 37_008] {
        for body in [&b"hello"[..], &[0; 64], &[0xff; 200], &dns_query(), &mdns_announcement(), &[8; 40]] {
            let digest = dissect(&whole(Link::Ethernet, &carrier(0x0800, &datagram(port, body))));
            assert_eq!((digest.tunnel, digest.fault, digest.unknown), (None, None, None), "{port} {body:x?}");
            let Network::Ip(ip) = digest.network else { panic!() };
            assert_eq!(ip.source, IpAddr::from(OUTER.0));
            let length = u32::try_from(body.len()).unwrap();
            assert!(matches!(ip.transport, Transport::Udp(udp) if udp.payload == length));
            assert_eq!(digest.source, Mac(CARRIERS.0));
        }
    }
}

#[test]
fn what_a_number_says_and_the_bytes_deny_is_a_fault() {
    for (protocol, body) in
        [(47, &[0x40, 0, 8, 0, 0, 0, 0, 0][..]), (47, &[0, 0]), (4, &[0x65; 30]), (41, &[0x45; 60])]
    {
        let digest = dissect(&whole(Link::Ethernet, &carrier(0x0800, &between(protocol, body))));
        assert!(digest.fault.is_some() && digest.tunnel.is_none(), "{protocol} {body:x?}");
        let Network::Ip(ip) = digest.network else { panic!() };
        assert!(matches!(ip.transport, Transport::Other(p) if p == protocol));
    }
}

#[test]
fn unknown_types_are_named() {
    let unknown = |link, bytes: &[u8]| dissect(&whole(link, bytes)).unknown;
    let ethernet_type = |number| unknown(Link::Ethernet, &ethernet(number, &[0; 46]));
    assert_eq!(ethernet_type(0x88cc), Some(UnknownType::Ether(0x88cc)));
    assert_eq!(unknown(Link::Ethernet, &ethernet(38, &[0x42, 0x42, 3])), Some(UnknownType::Llc(0x42)));
    assert_eq!(unknown(Link::Ethernet, &ip4(89, &[0; 20])), Some(UnknownType::Ip(89)));
    assert_eq!(unknown(Link::Ethernet, &ip4(50, &[0; 20])), None, "ESP is not to be read");
    assert_eq!(unknown(Link::Ppp, &[0xc0, 0x21, 1, 1, 0, 4]), Some(UnknownType::Ppp(0xc021)));
    assert_eq!(unknown(Link::Unknown(195), &[0; 40]), Some(UnknownType::Link(195)));
    assert_eq!(unknown(Link::Wireless, &[0x80, 0, 0, 0]), Some(UnknownType::Wireless(8)));
    let mut protected = wifi(&[0; 20]);
    protected[1] |= 0x40;
    assert_eq!(unknown(Link::Wireless, &protected), Some(UnknownType::WirelessProtected));
    let encrypted = [0x2c, 0, 0, 0, 0, 1, 1, 2, 3, 4, 5, 6, 0, 1, 9, 9];
    assert_eq!(unknown(Link::Ethernet, &ethernet(0x88e5, &encrypted)), Some(UnknownType::Ether(0x88e5)));
}

/// Nine tunnels, one in the other, and frames in frames without end.
#[test]
fn nesting_has_a_limit() {
    let mut packet = tcp4(b"data").split_off(LINK);
    for depth in 1..=20_u8 {
        packet = between(4, &packet);
        let digest = dissect(&whole(Link::RawIp, &packet));
        let tunnel = digest.tunnel.unwrap();
        assert_eq!(tunnel.depth, depth.min(8));
        let deep = fault(Layer::Tunnel, FaultReason::TooDeep);
        assert_eq!(digest.fault, if depth > 8 { deep } else { None }, "{depth}");
    }
    for step in
        [&[0x88, 0xe7, 0, 0, 0, 9][..], &[0x89, 3, 0, 0], &[0x65, 0x58], &[0x22, 0xf3, 0, 1, 0, 1, 0, 2]]
    {
        let bomb = [&[0; 12], step].concat().repeat(4_000);
        let digest = dissect(&whole(Link::Ethernet, &bomb));
        assert_eq!(digest.fault, fault(Layer::Tunnel, FaultReason::TooDeep), "{step:x?}");
    }
}

/// An IPv4 datagram of UDP in fragments of `size` bytes.
fn fragments(payload: &[u8], size: usize) -> Vec<Vec<u8>> {
    let length = u16::try_from(8 + payload.len()).unwrap();
    let body = [&udp_header(40_000, 53, length)[..], payload].concat();
    let last = body.chunks(size).count() - 1;
    let piece = |(number, bytes): (usize, &[u8])| {
        let mut frame = ip4(17, bytes);
        let more = if number == last { 0 } else { 0x2000 };
        let field = u16::try_from(number * size / 8).unwrap() | more;
        frame[LINK + 6..LINK + 8].copy_from_slice(&field.to_be_bytes());
        frame
    };
    body.chunks(size).enumerate().map(piece).collect()
}

fn fragments6(payload: &[u8], size: usize) -> Vec<Vec<u8>> {
    let length = u16::try_from(8 + payload.len()).unwrap();
    let body = [&udp_header(40_000, 53, length)[..], payload].concat();
    let last = body.chunks(size).count() - 1;
    let piece = |(number, bytes): (usize, &[u8])| {
        let field = u16::try_from(number * size).unwrap() | u16::from(number != last);
        let [high, low] = field.to_be_bytes();
        ip6(44, &[&[17, 0, high, low, 0, 0, 0, 5], bytes].concat())
    };
    body.chunks(size).enumerate().map(piece).collect()
}

fn read_all(dissector: &mut Dissector, frames: &[Vec<u8>]) -> Vec<Digest> {
    frames.iter().map(|frame| dissector.dissect(&whole(Link::Ethernet, frame))).collect()
}

fn udp(digest: &Digest) -> Option<Udp> {
    match digest.network {
        Network::Ip(ip) => match ip.transport {
            Transport::Udp(udp) => Some(udp),
            _ => None,
        },
        _ => None,
    }
}

#[test]
fn fragments_have_the_ports_of_their_first_and_the_last_has_the_hint() {
    for frames in [fragments(&dns_query(), 16), fragments6(&dns_query(), 16)] {
        let mut dissector = Dissector::new(7);
        let digests = read_all(&mut dissector, &frames);
        let (last, others) = digests.split_last().unwrap();
        for digest in &digests {
            assert_eq!(udp(digest).map(|udp| (udp.source_port, udp.destination_port)), Some((40_000, 53)));
            assert_eq!(digest.fault, None);
        }
        assert!(others.iter().all(|digest| matches!(digest.hint, Hint::None)));
        let Hint::Dns(dns) = last.hint else { panic!("{last:?}") };
        assert_eq!(dns.name.as_str(), "plc.example");
        let payload: u32 = digests.iter().filter_map(udp).map(|udp| udp.payload).sum();
        assert_eq!(usize::try_from(payload).unwrap(), dns_query().len());
        let counts = dissector.fragments();
        assert_eq!((counts.reassembled, counts.overlaps, counts.malformed), (1, 0, 0));
    }
}

#[test]
fn a_long_datagram_is_read_from_its_first_kilobytes() {
    let mut answer = dns_query();
    answer.resize(9_000, 0);
    let mut dissector = Dissector::new(7);
    let digests = read_all(&mut dissector, &fragments(&answer, 1480));
    let hints: Vec<_> = digests.iter().map(|digest| matches!(digest.hint, Hint::Dns(_))).collect();
    assert_eq!(hints, [false, false, true, false, false, false, false]);
    assert!(digests.iter().all(|digest| udp(digest).is_some()));
}

#[test]
fn a_tunnel_in_fragments_gives_its_packet_once() {
    let bare = tcp4(&[7; 900]);
    let outer = datagram(4789, &[&[8, 0, 0, 0, 0, 0, 7, 0], &bare[..]].concat());
    let body = &outer[20..];
    let cut = |from: usize, to: usize, field: u16| {
        let mut packet = between(17, &body[from..to]);
        packet[6..8].copy_from_slice(&field.to_be_bytes());
        carrier(0x0800, &packet)
    };
    let frames = [cut(0, 480, 0x2000), cut(480, body.len(), 60)];
    let digests = read_all(&mut Dissector::new(7), &frames);
    assert_eq!(udp(&digests[0]).map(|udp| udp.destination_port), Some(4789));
    assert_eq!(digests[0].tunnel, None);
    same("VXLAN in fragments", &digests[1], &dissect(&whole(Link::Ethernet, &bare)));
}

#[test]
fn overlaps_are_counted_and_what_came_first_stays() {
    let frames = fragments(&dns_query(), 16);
    let mut forged = frames[0].clone();
    forged[LINK + 20 + 2..LINK + 20 + 4].copy_from_slice(&[0x1f, 0x90]);
    let mut dissector = Dissector::new(7);
    let sent = [frames[0].clone(), forged, frames[0].clone(), frames[1].clone(), frames[2].clone()];
    let digests = read_all(&mut dissector, &sent);
    assert_eq!(dissector.fragments().overlaps, 1, "a copy is none");
    assert_eq!(udp(digests.last().unwrap()).map(|udp| udp.destination_port), Some(53));
    assert!(matches!(digests.last().unwrap().hint, Hint::Dns(_)));
}

#[test]
fn impossible_fragments_are_counted_and_kept_out() {
    let mut dissector = Dissector::new(7);
    let with = |field: u16, body: &[u8]| {
        let mut frame = ip4(17, body);
        frame[LINK + 6..LINK + 8].copy_from_slice(&field.to_be_bytes());
        frame
    };
    let death = with(0x1fff, &[0; 800]);
    let odd = with(0x2000 | 2, &[0; 13]);
    let digests = read_all(&mut dissector, &[death, odd]);
    assert_eq!(dissector.fragments().malformed, 2);
    assert!(digests.iter().all(|digest| digest.fault == fault(Layer::Ip, FaultReason::BadLength)));
}

#[test]
fn datagrams_that_stay_incomplete_are_given_up() {
    let first = &fragments(&dns_query(), 16)[0];
    let numbered = |id: u16| {
        let mut frame = first.clone();
        frame[LINK + 4..LINK + 6].copy_from_slice(&id.to_be_bytes());
        frame
    };
    let mut dissector = Dissector::new(7);
    let frames: Vec<_> = (0..100).map(numbered).collect();
    read_all(&mut dissector, &frames);
    assert_eq!(dissector.fragments().evicted, 36);
    let later = Frame { time: Timestamp::EPOCH + Span::from_secs(30), ..whole(Link::Ethernet, first) };
    let _one = dissector.dissect(&later);
    assert_eq!(dissector.fragments().incomplete, 64);
}

/// A valid wrapping with some bytes overwritten, then cut.
fn mutated() -> impl Strategy<Value = (Link, Vec<u8>)> {
    let all: Vec<_> = bare_frames()
        .iter()
        .flat_map(|bare| all_wrappings(bare))
        .map(|wrapping| (wrapping.link, wrapping.frame))
        .collect();
    let edit = (any::<prop::sample::Index>(), prop_oneof![any::<u8>(), Just(0), Just(0xff), Just(4)]);
    (prop::sample::select(all), prop::collection::vec(edit, 0..6), any::<prop::sample::Index>()).prop_map(
        |((link, mut frame), edits, end)| {
            for (at, byte) in edits {
                let at = at.index(frame.len());
                frame[at] = byte;
            }
            frame.truncate(end.index(frame.len() * 3).max(1));
            (link, frame)
        },
    )
}

fn link() -> impl Strategy<Value = Link> {
    let numbers = prop::sample::select(vec![
        0, 1, 9, 10, 50, 51, 101, 104, 105, 107, 108, 113, 127, 204, 228, 229, 239, 276, 281, 282, 283, 284,
    ]);
    prop_oneof![8 => numbers, 1 => any::<u16>()].prop_map(Link::from_number)
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 4096,
        rng_seed: RngSeed::Fixed(0x7a71),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn any_bytes_of_any_link_give_a_digest(link in link(), bytes in prop::collection::vec(any::<u8>(), 0..300), more in 0_u32..2000) {
        let wire_len = u32::try_from(bytes.len()).unwrap() + more;
        let digest = dissect(&Frame { time: Timestamp::EPOCH, link, wire_len, bytes: &bytes });
        prop_assert_eq!(digest.wire_len, wire_len);
        if more == 0 {
            assert_not_cut(&digest);
        }
    }

    #[test]
    fn damaged_tunnels_give_a_digest((link, bytes) in mutated(), seed: u64) {
        let frame = whole(link, &bytes);
        let digest = dissect(&frame);
        assert_not_cut(&digest);
        prop_assert!(digest.tunnel.is_none_or(|tunnel| (1..=8).contains(&tunnel.depth)));
        let _kept = Dissector::new(seed).dissect(&frame);
    }

    /// In any order, with copies: the datagram is read once, and nothing is counted as wrong.
    #[test]
    fn fragments_in_any_order(size in 1_usize..9, order in any::<u64>(), copies in any::<u8>(), six: bool) {
        let query = dns_query();
        let mut frames = if six { fragments6(&query, size * 8) } else { fragments(&query, size * 8) };
        let count = frames.len();
        for at in (0..count).filter(|at| copies >> (at % 8) & 1 == 1) {
            frames.push(frames[at].clone());
        }
        let mut state = order;
        for at in (1..frames.len()).rev() {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let other = usize::try_from(state >> 33).unwrap() % (at + 1);
            frames.swap(at, other);
        }
        let mut dissector = Dissector::new(order);
        let digests = read_all(&mut dissector, &frames);
        let hints = digests.iter().filter(|digest| matches!(digest.hint, Hint::Dns(_))).count();
        prop_assert!(hints >= 1 || count == 1);
        prop_assert_eq!((dissector.fragments().overlaps, dissector.fragments().malformed), (0, 0));
        prop_assert!(digests.iter().all(|digest| digest.fault.is_none()));
    }

    #[test]
    fn any_fragments_keep_the_reader_whole(
        pieces in prop::collection::vec((0_u16..40, any::<bool>(), 0_usize..90, any::<u8>(), 0_u16..3), 0..60),
        seed: u64,
    ) {
        let mut dissector = Dissector::new(seed);
        for (offset, more, length, fill, id) in pieces {
            let mut frame = ip4(17, &vec![fill; length]);
            frame[LINK + 4..LINK + 6].copy_from_slice(&id.to_be_bytes());
            let field = offset | if more { 0x2000 } else { 0 };
            frame[LINK + 6..LINK + 8].copy_from_slice(&field.to_be_bytes());
            let _digest = dissector.dissect(&whole(Link::Ethernet, &frame));
        }
        let counts = dissector.fragments();
        prop_assert!(counts.reassembled + counts.malformed <= counts.fragments);
    }
}

fn assert_not_cut(digest: &Digest) {
    assert_ne!(digest.fault.map(|fault| fault.reason), Some(FaultReason::Cut), "{digest:?}");
}
