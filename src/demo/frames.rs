//! Whole frames that no stack of the generated network would send by itself: ARP of any content, lone TCP openings,
//! DHCP answers to a client that has no address yet; and the rewriting that a router does to a frame.

use std::net::Ipv4Addr;

use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    ArpOperation, ArpPacket, ArpRepr, ETHERNET_HEADER_LEN, EthernetAddress, EthernetFrame, EthernetProtocol,
    EthernetRepr, IPV4_HEADER_LEN, IpProtocol, Ipv4Packet, Ipv4Repr, TcpControl, TcpPacket, TcpRepr,
    TcpSeqNumber, UDP_HEADER_LEN, UdpPacket, UdpRepr,
};

/// Shortest frame on the wire without its check sequence (IEEE 802.3); shorter ones are padded with zeros.
const SHORTEST_FRAME: usize = 60;

/// An Ethernet and an IPv4 address of one station.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Claim {
    pub(crate) mac: EthernetAddress,
    pub(crate) ip: Ipv4Addr,
}

/// An ARP request or reply from `frame_source` to `frame_target`, saying that `sender` is at its address.
pub(crate) fn arp(
    operation: ArpOperation,
    (frame_source, frame_target): (EthernetAddress, EthernetAddress),
    sender: Claim,
    target: Claim,
) -> Vec<u8> {
    let repr = ArpRepr::EthernetIpv4 {
        operation,
        source_hardware_addr: sender.mac,
        source_protocol_addr: sender.ip,
        target_hardware_addr: target.mac,
        target_protocol_addr: target.ip,
    };
    let mut bytes =
        ethernet(frame_source, frame_target, EthernetProtocol::Arp, SHORTEST_FRAME - ETHERNET_HEADER_LEN);
    repr.emit(&mut ArpPacket::new_unchecked(&mut bytes[ETHERNET_HEADER_LEN..]));
    bytes
}

/// "Who has `ip`?" to all stations.
pub(crate) fn arp_request(asker: Claim, ip: Ipv4Addr) -> Vec<u8> {
    let unknown = Claim { mac: EthernetAddress([0; 6]), ip };
    arp(ArpOperation::Request, (asker.mac, EthernetAddress::BROADCAST), asker, unknown)
}

/// A TCP segment with SYN alone, as a scanner makes it: no window scale, a small window, a large segment offered.
pub(crate) fn tcp_open(from: (Claim, u16), to: (Claim, u16), sequence: u32) -> Vec<u8> {
    let tcp = TcpRepr {
        src_port: from.1,
        dst_port: to.1,
        control: TcpControl::Syn,
        seq_number: TcpSeqNumber(i32::from_ne_bytes(sequence.to_ne_bytes())),
        ack_number: None,
        window_len: 1024,
        window_scale: None,
        max_seg_size: Some(1460),
        sack_permitted: false,
        sack_ranges: [None; 3],
        timestamp: None,
        payload: &[],
    };
    let (mut bytes, at) = ipv4((from.0, to.0), IpProtocol::Tcp, tcp.buffer_len());
    let end = at + tcp.buffer_len();
    tcp.emit(
        &mut TcpPacket::new_unchecked(&mut bytes[at..end]),
        &from.0.ip.into(),
        &to.0.ip.into(),
        &ChecksumCapabilities::default(),
    );
    bytes
}

/// A UDP datagram from one station to another.
pub(crate) fn udp(from: (Claim, u16), to: (Claim, u16), payload: &[u8]) -> Vec<u8> {
    let repr = UdpRepr { src_port: from.1, dst_port: to.1 };
    let len = UDP_HEADER_LEN + payload.len();
    let (mut bytes, at) = ipv4((from.0, to.0), IpProtocol::Udp, len);
    repr.emit(
        &mut UdpPacket::new_unchecked(&mut bytes[at..at + len]),
        &from.0.ip.into(),
        &to.0.ip.into(),
        payload.len(),
        |buffer| buffer.copy_from_slice(payload),
        &ChecksumCapabilities::default(),
    );
    bytes
}

/// Fills a frame that is too short for the wire.
pub(crate) fn pad(frame: &mut Vec<u8>) {
    if frame.len() < SHORTEST_FRAME {
        frame.resize(SHORTEST_FRAME, 0);
    }
}

/// Source and destination of an IPv4 frame; none for any other frame.
pub(crate) fn ipv4_ends(frame: &[u8]) -> Option<(Ipv4Addr, Ipv4Addr)> {
    let ethernet = EthernetFrame::new_checked(frame).ok()?;
    if ethernet.ethertype() != EthernetProtocol::Ipv4 {
        return None;
    }
    let packet = Ipv4Packet::new_checked(ethernet.payload()).ok()?;
    Some((packet.src_addr(), packet.dst_addr()))
}

/// Takes `hops` from the hop limit of an IPv4 frame, as the routers on its way did.
pub(crate) fn age(frame: &mut [u8], hops: u8) {
    if let Some(bytes) = frame.get_mut(ETHERNET_HEADER_LEN..)
        && let Ok(mut packet) = Ipv4Packet::new_checked(bytes)
    {
        packet.set_hop_limit(packet.hop_limit().saturating_sub(hops).max(1));
        packet.fill_checksum();
    }
}

/// Gives a frame new stations, as one who passes it on does.
pub(crate) fn readdress(frame: &mut [u8], source: EthernetAddress, target: EthernetAddress) {
    if let Ok(mut ethernet) = EthernetFrame::new_checked(frame) {
        ethernet.set_src_addr(source);
        ethernet.set_dst_addr(target);
    }
}

fn ipv4(ends: (Claim, Claim), protocol: IpProtocol, payload_len: usize) -> (Vec<u8>, usize) {
    let (from, to) = ends;
    let repr =
        Ipv4Repr { src_addr: from.ip, dst_addr: to.ip, next_header: protocol, payload_len, hop_limit: 64 };
    let mut bytes = ethernet(from.mac, to.mac, EthernetProtocol::Ipv4, IPV4_HEADER_LEN + payload_len);
    repr.emit(
        &mut Ipv4Packet::new_unchecked(&mut bytes[ETHERNET_HEADER_LEN..]),
        &ChecksumCapabilities::default(),
    );
    (bytes, ETHERNET_HEADER_LEN + IPV4_HEADER_LEN)
}

fn ethernet(
    source: EthernetAddress,
    target: EthernetAddress,
    ethertype: EthernetProtocol,
    payload_len: usize,
) -> Vec<u8> {
    let mut bytes = vec![0; ETHERNET_HEADER_LEN + payload_len];
    EthernetRepr { src_addr: source, dst_addr: target, ethertype }
        .emit(&mut EthernetFrame::new_unchecked(&mut bytes[..]));
    bytes
}
