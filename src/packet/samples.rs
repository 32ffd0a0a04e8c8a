//! Frames for the tests of this folder: how to build them, and one of each kind that is read.

use etherparse::PacketBuilder;
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    ArpOperation, ArpPacket, ArpRepr, DhcpMessageType, DhcpOption, DhcpPacket, DhcpRepr, DnsFlags, DnsOpcode,
    DnsPacket, DnsQueryType, DnsQuestion, DnsRepr, EthernetAddress, Icmpv6Packet, Icmpv6Repr, Ipv4Address,
    Ipv6Address, NdiscNeighborFlags, NdiscRepr,
};

use super::{Digest, Fault, FaultReason, Frame, Ip, Layer, Link, Network, Transport, dissect};
use crate::time::Timestamp;

pub(super) const CLIENT_MAC: [u8; 6] = [2, 0, 0, 0, 0, 0x0c];
pub(super) const SERVER_MAC: [u8; 6] = [2, 0, 0, 0, 0, 0x05];
pub(super) const CLIENT: [u8; 4] = [192, 0, 2, 12];
pub(super) const SERVER: [u8; 4] = [192, 0, 2, 5];
pub(super) const CLIENT6: [u8; 16] = [0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x0c];
pub(super) const SERVER6: [u8; 16] = [0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x05];

/// Bytes before the IP header of an untagged frame.
pub(super) const LINK: usize = 14;
/// Bytes before the transport header of an untagged IPv4 frame without options.
pub(super) const LINK_IP4: usize = LINK + 20;

/// The digest of a frame that was captured whole.
pub(super) fn digest(bytes: &[u8]) -> Digest {
    captured(bytes, bytes.len())
}

/// The digest of a frame of which the first `length` bytes were captured.
pub(super) fn captured(bytes: &[u8], length: usize) -> Digest {
    dissect(&Frame {
        time: Timestamp::EPOCH,
        link: Link::Ethernet,
        wire_len: bytes.len().try_into().unwrap(),
        bytes: &bytes[..length],
    })
}

pub(super) fn ip(digest: &Digest) -> Ip {
    match digest.network {
        Network::Ip(ip) => ip,
        ref other => panic!("not IP but {other:?}, {:?}", digest.fault),
    }
}

pub(super) fn transport(digest: &Digest) -> Transport {
    ip(digest).transport
}

pub(super) const fn fault(layer: Layer, reason: FaultReason) -> Option<Fault> {
    Some(Fault { layer, reason })
}

pub(super) fn ethernet(ether_type: u16, body: &[u8]) -> Vec<u8> {
    [&SERVER_MAC, &CLIENT_MAC, &ether_type.to_be_bytes()[..], body].concat()
}

pub(super) fn ip4(protocol: u8, body: &[u8]) -> Vec<u8> {
    let total = u16::try_from(20 + body.len()).unwrap().to_be_bytes();
    let start = [0x45, 0, total[0], total[1], 0, 1, 0, 0, 64, protocol, 0, 0];
    ethernet(0x0800, &[&start, &CLIENT[..], &SERVER, body].concat())
}

pub(super) fn ip6(next: u8, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len()).unwrap().to_be_bytes();
    let start = [0x60, 0, 0, 0, length[0], length[1], next, 255];
    ethernet(0x86dd, &[&start, &CLIENT6[..], &SERVER6, body].concat())
}

pub(super) fn udp_header(source: u16, destination: u16, length: u16) -> [u8; 8] {
    let ([a, b], [c, d], [e, f]) = (source.to_be_bytes(), destination.to_be_bytes(), length.to_be_bytes());
    [a, b, c, d, e, f, 0, 0]
}

pub(super) fn udp4(source: u16, destination: u16, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    PacketBuilder::ethernet2(CLIENT_MAC, SERVER_MAC)
        .ipv4(CLIENT, SERVER, 64)
        .udp(source, destination)
        .write(&mut frame, payload)
        .unwrap();
    frame
}

/// A segment with PSH and ACK and three words of options, as Linux sends them.
pub(super) fn tcp4(payload: &[u8]) -> Vec<u8> {
    use etherparse::TcpOptionElement::{Noop, Timestamp};
    let mut frame = Vec::new();
    PacketBuilder::ethernet2(CLIENT_MAC, SERVER_MAC)
        .ipv4(CLIENT, SERVER, 64)
        .tcp(40_000, 502, 0x0102_0304, 501)
        .ack(0x0a0b_0c0d)
        .psh()
        .options(&[Noop, Noop, Timestamp(1, 2)])
        .unwrap()
        .write(&mut frame, payload)
        .unwrap();
    frame
}

/// A bare segment with ACK between two ports.
pub(super) fn segment(ports: (u16, u16), sequence: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    PacketBuilder::ethernet2(CLIENT_MAC, SERVER_MAC)
        .ipv4(CLIENT, SERVER, 64)
        .tcp(ports.0, ports.1, sequence, 501)
        .ack(1)
        .write(&mut frame, payload)
        .unwrap();
    frame
}

/// A registration of the file server `OFFICE-PC` at [`CLIENT`].
pub(super) fn netbios_registration() -> Vec<u8> {
    let letters = b"OFFICE-PC      \x20".iter().flat_map(|byte| [b'A' + (byte >> 4), b'A' + (byte & 15)]);
    let name = std::iter::once(0x20).chain(letters).chain([0]);
    let record = [0xc0, 0x0c, 0, 0x20, 0, 1, 0, 0, 0, 0, 0, 6, 0, 0];
    let question = name.chain([0, 0x20, 0, 1]).collect::<Vec<u8>>();
    [dns_header(0x2910, [1, 0, 0, 1]), question, record.to_vec(), CLIENT.to_vec()].concat()
}

/// A vector with its length before it, in `width` bytes.
pub(super) fn vector(width: usize, content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len()).unwrap().to_be_bytes();
    [&length[4 - width..], content].concat()
}

/// The TLS extension of a number.
pub(super) fn extension(kind: u16, data: &[u8]) -> Vec<u8> {
    [&kind.to_be_bytes()[..], &vector(2, data)].concat()
}

/// A ClientHello with these suites and extensions, with its handshake header.
pub(super) fn hello_of(ciphers: &[u16], extensions: &[Vec<u8>]) -> Vec<u8> {
    let ciphers: Vec<u8> = ciphers.iter().flat_map(|cipher| cipher.to_be_bytes()).collect();
    let fixed = [&[3, 3][..], &[7; 32], &vector(1, &[9; 32])].concat();
    let body = [fixed, vector(2, &ciphers), vec![1, 0], vector(2, &extensions.concat())].concat();
    [&[1][..], &vector(3, &body)].concat()
}

/// As a browser's for `Shop.Example`, with values to be ignored, and a key share of so many bytes.
pub(super) fn client_hello(share: usize) -> Vec<u8> {
    let name = vector(2, &[&[0][..], &vector(2, b"Shop.Example")].concat());
    hello_of(
        &[0x1a1a, 0x1301, 0xc02b, 0x1303, 0x00ff],
        &[
            extension(0x3a3a, b""),
            extension(51, &vec![5; share]),
            extension(0, &name),
            extension(16, &vector(2, &[vector(1, b"h2"), vector(1, b"http/1.1")].concat())),
            extension(13, &vector(2, &[4, 3, 8, 4])),
            extension(43, &vector(1, &[0x2a, 0x2a, 3, 4, 3, 3])),
            extension(10, &vector(2, &[0, 29])),
        ],
    )
}

/// A handshake message in one TLS record.
pub(super) fn tls_record(message: &[u8]) -> Vec<u8> {
    [&[22, 3, 1][..], &vector(2, message)].concat()
}

/// The name `plc.example` as DNS writes it.
pub(super) const NAME: &[u8] = b"\x03plc\x07example\x00";

pub(super) fn dns_header(flags: u16, counts: [u16; 4]) -> Vec<u8> {
    [0x1234, flags].iter().chain(&counts).flat_map(|number| number.to_be_bytes()).collect()
}

/// A resource record of class IN with mDNS's cache-flush bit.
pub(super) fn record(name: &[u8], kind: u8, data: &[u8]) -> Vec<u8> {
    let length = u16::try_from(data.len()).unwrap().to_be_bytes();
    [name, &[0, kind, 0x80, 1, 0, 0, 0, 120], &length, data].concat()
}

pub(super) fn dns_query() -> Vec<u8> {
    let repr = DnsRepr {
        transaction_id: 7,
        opcode: DnsOpcode::Query,
        flags: DnsFlags::RECURSION_DESIRED,
        question: DnsQuestion { name: NAME, type_: DnsQueryType::Aaaa },
    };
    let mut bytes = vec![0; repr.buffer_len()];
    repr.emit(&mut DnsPacket::new_unchecked(&mut bytes[..]));
    bytes
}

/// A DNS-SD answer: a pointer to the instance, and its host's addresses as additional records.
pub(super) fn mdns_announcement() -> Vec<u8> {
    let service = b"\x05_http\x04_tcp\x05local\x00";
    // "tv" at the end of the header, the service and the pointer record; "local" is 11 bytes into the service.
    let instance = b"\x08TV\xc3\xbc\x1b 01\xc0\x0c";
    let host = b"\x02tv\xc0\x17";
    [
        dns_header(0x8400, [0, 1, 0, 2]),
        record(service, 12, instance),
        record(host, 1, &[192, 0, 2, 77]),
        record(host, 28, &SERVER6),
    ]
    .concat()
}

pub(super) fn dhcp_request() -> Vec<u8> {
    let repr = DhcpRepr {
        message_type: DhcpMessageType::Request,
        transaction_id: 9,
        secs: 0,
        client_hardware_address: EthernetAddress(CLIENT_MAC),
        client_ip: Ipv4Address::from(CLIENT),
        your_ip: Ipv4Address::UNSPECIFIED,
        server_ip: Ipv4Address::UNSPECIFIED,
        router: None,
        subnet_mask: None,
        relay_agent_ip: Ipv4Address::UNSPECIFIED,
        broadcast: false,
        requested_ip: None,
        client_identifier: None,
        server_identifier: None,
        parameter_request_list: None,
        dns_servers: None,
        max_size: Some(1500),
        lease_duration: None,
        renew_duration: None,
        rebind_duration: None,
        additional_options: &[
            DhcpOption { kind: 12, data: b"kitchen-tv\0" },
            DhcpOption { kind: 60, data: b"android-dhcp-13" },
        ],
    };
    let mut bytes = vec![0; repr.buffer_len()];
    repr.emit(&mut DhcpPacket::new_unchecked(&mut bytes[..])).unwrap();
    bytes
}

pub(super) fn arp_reply() -> Vec<u8> {
    let repr = ArpRepr::EthernetIpv4 {
        operation: ArpOperation::Reply,
        source_hardware_addr: EthernetAddress(SERVER_MAC),
        source_protocol_addr: Ipv4Address::from(SERVER),
        target_hardware_addr: EthernetAddress(CLIENT_MAC),
        target_protocol_addr: Ipv4Address::from(CLIENT),
    };
    let mut bytes = vec![0; repr.buffer_len()];
    repr.emit(&mut ArpPacket::new_unchecked(&mut bytes[..]));
    ethernet(0x0806, &bytes)
}

pub(super) fn neighbour_solicitation() -> Vec<u8> {
    neighbour(NdiscRepr::NeighborSolicit {
        target_addr: Ipv6Address::from(SERVER6),
        lladdr: Some(EthernetAddress(CLIENT_MAC).into()),
    })
}

pub(super) fn neighbour_advertisement() -> Vec<u8> {
    neighbour(NdiscRepr::NeighborAdvert {
        flags: NdiscNeighborFlags::OVERRIDE,
        target_addr: Ipv6Address::from(CLIENT6),
        lladdr: Some(EthernetAddress(CLIENT_MAC).into()),
    })
}

fn neighbour(repr: NdiscRepr<'_>) -> Vec<u8> {
    let repr = Icmpv6Repr::Ndisc(repr);
    let mut bytes = vec![0; repr.buffer_len()];
    repr.emit(
        &Ipv6Address::from(CLIENT6),
        &Ipv6Address::from(SERVER6),
        &mut Icmpv6Packet::new_unchecked(&mut bytes[..]),
        &ChecksumCapabilities::ignored(),
    );
    ip6(58, &bytes)
}

/// The ICMP message that says "destination unreachable", about the IP packet of `frame`.
pub(super) fn unreachable(kind: u8, code: u8, frame: &[u8]) -> Vec<u8> {
    [&[kind, code, 0, 0, 0, 0, 0, 0], &frame[LINK..]].concat()
}

/// Hop-by-hop, destination options, routing, first fragment, authentication, each in its shortest form, before UDP.
pub(super) fn extensions(udp: &[u8]) -> Vec<u8> {
    [
        &[60, 0, 1, 4, 0, 0, 0, 0],
        &[43, 0, 1, 4, 0, 0, 0, 0],
        &[44, 0, 0, 0, 0, 0, 0, 0],
        &[51, 0, 0, 1, 0, 0, 0, 1],
        &[17, 2, 0, 0, 0, 0, 0, 7][..],
        &[0, 0, 0, 1, 0, 0, 0, 0],
        udp,
    ]
    .concat()
}

/// One valid frame of each kind that is read.
pub(super) fn all() -> Vec<Vec<u8>> {
    let mut tagged = Vec::new();
    PacketBuilder::ethernet2(CLIENT_MAC, SERVER_MAC)
        .double_vlan(100.try_into().unwrap(), 7.try_into().unwrap())
        .ipv6(CLIENT6, SERVER6, 64)
        .tcp(40_000, 443, 1, 1000)
        .syn()
        .write(&mut tagged, b"")
        .unwrap();
    vec![
        tagged,
        tcp4(b"twelve bytes"),
        udp4(5000, 6000, b"payload"),
        udp4(40_000, 53, &dns_query()),
        udp4(5353, 5353, &mdns_announcement()),
        udp4(68, 67, &dhcp_request()),
        udp4(137, 137, &netbios_registration()),
        segment((40_000, 8443), 1, &tls_record(&client_hello(32))),
        segment((40_000, 8080), 1, b"GET / HTTP/1.1\r\nHost: tv.example\r\n\r\n"),
        segment((22, 40_000), 1, b"SSH-2.0-dropbear\r\n"),
        segment((40_000, 1883), 1, b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01m"),
        udp4(123, 123, &[0x1c; 48]),
        udp4(40_000, 1900, b"M-SEARCH * HTTP/1.1\r\nST: ssdp:all\r\n\r\n"),
        arp_reply(),
        neighbour_solicitation(),
        neighbour_advertisement(),
        ip4(1, &[8, 0, 0, 0, 0x12, 0x34, 0, 1, 0xff]),
        ip4(1, &unreachable(3, 3, &udp4(5000, 6000, b""))),
        ip6(58, &unreachable(1, 4, &ip6(0, &extensions(&udp_header(5000, 6000, 8))))),
        ip6(0, &extensions(&[&udp_header(5353, 5353, 37)[..], &dns_query()].concat())),
        ip4(2, &[0x16, 0, 0, 0, 224, 0, 0, 251]),
        ethernet(38, &[0x42, 0x42, 3]),
    ]
}
