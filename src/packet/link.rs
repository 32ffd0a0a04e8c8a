//! [`Link`]: how the bytes of a capture begin, and the link headers that are neither Ethernet's nor PPP's: raw IP,
//! loopback, Linux's cooked captures, FDDI, NFLOG. Numbers and formats: <https://www.tcpdump.org/linktypes.html>.

use etherparse::EtherType;

use super::digest::{FaultReason, Layer, Mac};
use super::reader::Reader;
use super::tunnel::UnknownType;
use super::window::Window;
use super::{ethernet, ip, ppp, wireless};

/// The link type of a capture: a LINKTYPE number of the tcpdump registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Link {
    /// Ethernet.
    Ethernet,
    /// BSD loopback: an address family in the byte order of the host that captured.
    Loopback,
    /// OpenBSD loopback: an address family in network byte order.
    OpenLoopback,
    /// PPP, with or without HDLC framing.
    Ppp,
    /// PPP or Cisco's HDLC, with framing.
    Serial,
    /// PPPoE without its Ethernet header.
    Pppoe,
    /// PPP with a byte of direction before it.
    DirectedPpp,
    /// FDDI.
    Fddi,
    /// An IPv4 or IPv6 packet.
    RawIp,
    /// An IPv4 packet.
    RawIpv4,
    /// An IPv6 packet.
    RawIpv6,
    /// Cisco's HDLC.
    CiscoHdlc,
    /// Frame Relay.
    FrameRelay,
    /// IEEE 802.11.
    Wireless,
    /// IEEE 802.11 behind a radiotap header.
    Radiotap,
    /// Linux's "any" interface, first format.
    Cooked,
    /// Linux's "any" interface, second format.
    Cooked2,
    /// Linux's netfilter log.
    Nflog,
    /// Ethernet with four bytes of a switch chip (Broadcom, Marvell) between addresses and type.
    MarkedEthernet,
    /// Ethernet with eight such bytes (Marvell).
    MarkedEthernet8,
    /// Ethernet with four such bytes before it (Broadcom).
    PrefixedEthernet,
    /// Any other: its frames are counted as faults of the link layer.
    Unknown(u16),
}

/// Numbers by link type; of several the first is what is written.
const NUMBERS: [(u16, Link); 24] = [
    (1, Link::Ethernet),
    (0, Link::Loopback),
    (108, Link::OpenLoopback),
    (9, Link::Ppp),
    (50, Link::Serial),
    (51, Link::Pppoe),
    (204, Link::DirectedPpp),
    (10, Link::Fddi),
    (101, Link::RawIp),
    (12, Link::RawIp),
    (14, Link::RawIp),
    (228, Link::RawIpv4),
    (229, Link::RawIpv6),
    (104, Link::CiscoHdlc),
    (107, Link::FrameRelay),
    (105, Link::Wireless),
    (127, Link::Radiotap),
    (113, Link::Cooked),
    (276, Link::Cooked2),
    (239, Link::Nflog),
    (281, Link::MarkedEthernet),
    (283, Link::MarkedEthernet),
    (284, Link::MarkedEthernet8),
    (282, Link::PrefixedEthernet),
];

impl Link {
    /// By LINKTYPE number.
    #[must_use]
    pub fn from_number(number: u16) -> Self {
        let known = NUMBERS.iter().find(|(known, _)| *known == number);
        known.map_or(Self::Unknown(number), |(_, link)| *link)
    }

    /// LINKTYPE number.
    #[must_use]
    pub fn number(self) -> u16 {
        match self {
            Self::Unknown(number) => number,
            known => NUMBERS.iter().find(|(_, link)| *link == known).map_or(0, |(number, _)| *number),
        }
    }
}

/// Reads a frame.
pub(super) fn read(link: Link, window: Window<'_>, reader: &mut Reader<'_>) {
    match link {
        Link::Ethernet => ethernet::read(window, reader),
        Link::Loopback | Link::OpenLoopback => loopback(window, reader),
        Link::Ppp | Link::Serial => ppp::serial(window, reader),
        Link::Pppoe => ppp::over_ethernet(window, reader),
        Link::DirectedPpp => ppp::serial(window.after(1), reader),
        Link::Fddi => fddi(window, reader),
        Link::RawIp => raw(window, reader),
        Link::RawIpv4 => ip::read(window, ip::v4, reader),
        Link::RawIpv6 => ip::read(window, ip::v6, reader),
        Link::CiscoHdlc => ppp::cisco(window, reader),
        Link::FrameRelay => ppp::frame_relay(window, reader),
        Link::Wireless => wireless::frame(window, reader),
        Link::Radiotap => wireless::radiotap(window, reader),
        Link::Cooked => cooked(window, reader),
        Link::Cooked2 => cooked_2(window, reader),
        Link::Nflog => nflog(window, reader),
        Link::MarkedEthernet => ethernet::read_marked(window, 4, reader),
        Link::MarkedEthernet8 => ethernet::read_marked(window, 8, reader),
        Link::PrefixedEthernet => ethernet::read(window.after(4), reader),
        Link::Unknown(number) => {
            reader.unknown(UnknownType::Link(number));
            reader.note(Layer::Link, FaultReason::UnknownLink);
        }
    }
}

/// IP of the version that its first bits say.
fn raw(window: Window<'_>, reader: &mut Reader<'_>) {
    match window.bytes.first().map(|first| first >> 4) {
        Some(4) => ip::read(window, ip::v4, reader),
        Some(6) => ip::read(window, ip::v6, reader),
        Some(_) => reader.note(Layer::Link, FaultReason::BadField),
        None => reader.note(Layer::Link, window.shortage(1)),
    }
}

/// The address family is that of the host that captured: its numbers for IPv6 and its byte order.
fn loopback(window: Window<'_>, reader: &mut Reader<'_>) {
    let Some(family) = window.bytes.first_chunk::<4>() else {
        return reader.note(Layer::Link, window.shortage(4));
    };
    let little = u32::from_le_bytes(*family);
    let family = if little > 0xffff { u32::from_be_bytes(*family) } else { little };
    match family {
        2 => ip::read(window.after(4), ip::v4, reader),
        // Linux, Windows, NetBSD and OpenBSD, FreeBSD, Darwin.
        10 | 23 | 24 | 28 | 30 => ip::read(window.after(4), ip::v6, reader),
        _ => reader.unknown(UnknownType::Link(Link::Loopback.number())),
    }
}

/// Frame control, addresses, then LLC where the frame is one of data.
fn fddi(window: Window<'_>, reader: &mut Reader<'_>) {
    const HEADER: usize = 13;
    let Some(&[control, a, b, c, d, e, f, g, h, i, j, k, l]) = window.bytes.first_chunk::<HEADER>() else {
        return reader.note(Layer::Link, window.shortage(HEADER));
    };
    reader.stations(Mac([g, h, i, j, k, l]), Mac([a, b, c, d, e, f]));
    if control & 0x70 == 0x50 {
        ethernet::llc(window.after(HEADER), reader);
    } else {
        reader.unknown(UnknownType::Link(Link::Fddi.number()));
    }
}

/// The kernel's words for a frame whose link header it took off.
#[derive(Clone, Copy)]
struct CookedHeader {
    packet_type: u16,
    hardware: u16,
    address_length: u16,
    address: [u8; 6],
    protocol: u16,
}

fn cooked(window: Window<'_>, reader: &mut Reader<'_>) {
    const HEADER: usize = 16;
    let Some(&[t, u, h, i, l, m, a, b, c, d, e, f, _, _, p, q]) = window.bytes.first_chunk::<HEADER>() else {
        return reader.note(Layer::Link, window.shortage(HEADER));
    };
    let header = CookedHeader {
        packet_type: u16::from_be_bytes([t, u]),
        hardware: u16::from_be_bytes([h, i]),
        address_length: u16::from_be_bytes([l, m]),
        address: [a, b, c, d, e, f],
        protocol: u16::from_be_bytes([p, q]),
    };
    cooked_payload(header, window.after(HEADER), reader);
}

fn cooked_2(window: Window<'_>, reader: &mut Reader<'_>) {
    const HEADER: usize = 20;
    let Some(&[p, q, _, _, _, _, _, _, h, i, t, l, a, b, c, d, e, f, _, _]) =
        window.bytes.first_chunk::<HEADER>()
    else {
        return reader.note(Layer::Link, window.shortage(HEADER));
    };
    let header = CookedHeader {
        packet_type: t.into(),
        hardware: u16::from_be_bytes([h, i]),
        address_length: l.into(),
        address: [a, b, c, d, e, f],
        protocol: u16::from_be_bytes([p, q]),
    };
    cooked_payload(header, window.after(HEADER), reader);
}

fn cooked_payload(header: CookedHeader, window: Window<'_>, reader: &mut Reader<'_>) {
    /// The packet type of broadcasts; of others the receiver is not kept.
    const BROADCAST: u16 = 1;
    // Kinds of hardware (Linux's if_arp.h) of which the protocol is no EtherType.
    const NETLINK: u16 = 824;
    const CAN: u16 = 280;
    // Values below any EtherType.
    const RAW_802_3: u16 = 1;
    const LLC: u16 = 4;
    if header.address_length == 6 {
        let everyone = if header.packet_type == BROADCAST { Mac::BROADCAST } else { Mac::default() };
        reader.stations(Mac(header.address), everyone);
    }
    match (header.hardware, header.protocol) {
        (NETLINK | CAN, _) => reader.unknown(UnknownType::Link(Link::Cooked.number())),
        (_, LLC) => ethernet::llc(window, reader),
        (_, RAW_802_3 | 0) => reader.unknown(UnknownType::Llc(0xff)),
        (_, number) => ethernet::typed(EtherType(number), window, reader),
    }
}

/// A family, then attributes with length and type in the byte order of the host that captured, one of which is the
/// packet.
fn nflog(window: Window<'_>, reader: &mut Reader<'_>) {
    const HEADER: usize = 4;
    const PAYLOAD: u16 = 9;
    let Some(&[family, _, _, _, a, b, ..]) = window.bytes.first_chunk::<8>() else {
        return reader.note(Layer::Link, window.shortage(8));
    };
    let little = usize::from(u16::from_le_bytes([a, b])) <= window.length() - HEADER;
    let number = |bytes| if little { u16::from_le_bytes(bytes) } else { u16::from_be_bytes(bytes) };
    let mut rest = window.after(HEADER);
    while rest.length() > 0 {
        let Some(&[a, b, c, d]) = rest.bytes.first_chunk::<4>() else {
            return reader.note(Layer::Link, rest.shortage(4));
        };
        let (length, kind) = (usize::from(number([a, b])), number([c, d]) & 0x7fff);
        if length < 4 {
            return reader.note(Layer::Link, FaultReason::BadLength);
        }
        if kind == PAYLOAD {
            let packet = rest.ending_at(length).after(4);
            return match family {
                2 => ip::read(packet, ip::v4, reader),
                10 => ip::read(packet, ip::v6, reader),
                // A bridge's or a device's chain sees IP for the most part.
                _ => raw(packet, reader),
            };
        }
        rest = rest.after(length.next_multiple_of(4));
    }
    reader.note(Layer::Link, FaultReason::TooShort);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_links_are_one_to_one_but_for_second_names() {
        for number in 0..=u16::MAX {
            let link = Link::from_number(number);
            assert_eq!(Link::from_number(link.number()), link);
            let second = matches!(number, 12 | 14 | 283);
            assert_eq!(link.number() == number, !second, "{number}");
        }
    }
}
