//! Digests for the tests of this module, as short as their meaning allows.

use std::net::IpAddr;

use crate::bounded::Text;
use crate::packet::{
    Arp, ArpOperation, Dhcp, DhcpMessage, DhcpParameters, Digest, Dns, DnsTypes, Hint, Icmp, IcmpKind, Ip,
    Mac, Network, Tcp, TcpFlags, Transport, Udp,
};
use crate::time::{Span, Timestamp};

pub(super) const SYN: u8 = 0x02;
pub(super) const SYN_ACK: u8 = 0x12;
pub(super) const ACK: u8 = 0x10;
pub(super) const FIN: u8 = 0x11;
pub(super) const RST: u8 = 0x14;

pub(super) fn at(millis: u64) -> Timestamp {
    Timestamp::from_parts(1_700_000_000, 0) + Span::from_millis(millis)
}

pub(super) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// A station's address by one number.
pub(super) fn mac(number: u32) -> Mac {
    let [a, b, c, d] = number.to_be_bytes();
    Mac([2, 0, a, b, c, d])
}

pub(super) fn frame(millis: u64, macs: (Mac, Mac), network: Network) -> Digest {
    Digest {
        time: at(millis),
        wire_len: 60,
        source: macs.0,
        destination: macs.1,
        vlan: None,
        ether_type: 0x0800,
        tunnel: None,
        unknown: None,
        network,
        hint: Hint::None,
        fault: None,
    }
}

/// From host 1 to host 2, or with `back` the reverse.
pub(super) fn packet(millis: u64, back: bool, transport: Transport) -> Digest {
    let (a, b) = ((mac(1), ip("10.0.0.1")), (mac(2), ip("10.0.0.2")));
    let (from, to) = if back { (b, a) } else { (a, b) };
    let network = Network::Ip(Ip { source: from.1, destination: to.1, hop_limit: 64, transport });
    frame(millis, (from.0, to.0), network)
}

pub(super) fn tcp(ports: (u16, u16), flags: u8, sequence: u32) -> Transport {
    Transport::Tcp(Tcp {
        source_port: ports.0,
        destination_port: ports.1,
        flags: TcpFlags(flags),
        sequence,
        acknowledgement: 0,
        window: 1_024,
        payload: 0,
    })
}

pub(super) fn udp(source_port: u16, destination_port: u16) -> Transport {
    Transport::Udp(Udp { source_port, destination_port, payload: 18 })
}

pub(super) fn icmp(kind: IcmpKind) -> Transport {
    Transport::Icmp(Icmp { kind, payload: 8 })
}

/// A UDP packet between any addresses.
pub(super) fn datagram(millis: u64, from: (Mac, &str), to: (Mac, &str), hop_limit: u8) -> Digest {
    let network = Network::Ip(Ip {
        source: ip(from.1),
        destination: ip(to.1),
        hop_limit,
        transport: udp(1_000, 2_000),
    });
    frame(millis, (from.0, to.0), network)
}

pub(super) fn arp(millis: u64, sender: Mac, sender_ip: &str) -> Digest {
    let IpAddr::V4(sender_ip) = ip(sender_ip) else { unreachable!("ARP is IPv4") };
    let arp = Arp {
        operation: ArpOperation::Reply,
        sender_mac: sender,
        sender_ip,
        target_mac: mac(99),
        target_ip: sender_ip,
    };
    frame(millis, (sender, Mac::BROADCAST), Network::Arp(arp))
}

pub(super) fn dhcp(millis: u64, from: Mac, message: DhcpMessage, client: Mac, address: &str) -> Digest {
    let source = if from == client { "0.0.0.0" } else { "10.0.0.254" };
    let address = match ip(address) {
        IpAddr::V4(v4) if !v4.is_unspecified() => Some(v4),
        _ => None,
    };
    let (host_name, vendor_class) = (Text::from_wire(b"Kitchen-TV.local"), Text::from_wire(b"udhcp 1.3"));
    let hint = Hint::Dhcp(Dhcp {
        message,
        client,
        address,
        host_name,
        vendor_class,
        parameters: DhcpParameters::default(),
    });
    Digest { hint, ..datagram(millis, (from, source), (Mac::BROADCAST, "255.255.255.255"), 64) }
}

pub(super) fn announcement(millis: u64, from: (Mac, &str), name: &str, address: &str) -> Digest {
    let hint = Hint::Dns(Dns {
        multicast: true,
        response: true,
        rcode: 0,
        questions: 0,
        answers: 1,
        name: Text::from_wire(name.as_bytes()),
        query_type: 0,
        answer_types: DnsTypes::default(),
        address: Some(ip(address)),
    });
    Digest { hint, ..datagram(millis, from, (Mac([1, 0, 0x5e, 0, 0, 0xfb]), "224.0.0.251"), 255) }
}
