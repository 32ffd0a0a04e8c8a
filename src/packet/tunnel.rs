//! What a packet came wrapped in, and the types at which reading ended. No parsing here, only the shapes.

use std::net::IpAddr;

/// What a packet was wrapped in, when it was: the digest's addresses, transport and hint are of the innermost packet
/// that could be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tunnel {
    /// The outermost encapsulation.
    pub kind: Encapsulation,
    /// Encapsulations that were opened, one inside the other.
    pub depth: u8,
    /// Outermost IP source and destination; none for those that lie on the link itself (MPLS, PPPoE).
    pub ends: Option<(IpAddr, IpAddr)>,
    /// Whether the innermost packet has a link header of its own: the digest's stations and tag are then those of the
    /// wrapped frame. Otherwise they are the ends of this link, and the IP addresses are not theirs.
    pub bridged: bool,
}

/// A way to carry packets in packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Encapsulation {
    /// RFC 3032.
    Mpls,
    /// RFC 2516.
    Pppoe,
    /// RFC 2784, 2890; also of Ethernet (NVGRE, RFC 7637), and PPTP's version 1 (RFC 2637).
    Gre,
    /// ERSPAN type I, II or III (draft-foschiano-erspan-03): a mirror port's own transport.
    Erspan,
    /// RFC 7348.
    Vxlan,
    /// RFC 8926.
    Geneve,
    /// TaZmen Sniffer Protocol: a mirror port's own transport.
    Tzsp,
    /// 3GPP TS 29.281.
    GtpU,
    /// RFC 2003, 2473, 4213: an IP packet straight in another.
    IpInIp,
    /// RFC 4380.
    Teredo,
}

impl Encapsulation {
    /// All of them, in order.
    pub const ALL: [Self; 10] = [
        Self::Mpls,
        Self::Pppoe,
        Self::Gre,
        Self::Erspan,
        Self::Vxlan,
        Self::Geneve,
        Self::Tzsp,
        Self::GtpU,
        Self::IpInIp,
        Self::Teredo,
    ];

    /// Whether it is what mirror ports put around what they mirror: the packet within is the one to watch, and the one
    /// around it is the mirror's own.
    #[must_use]
    pub const fn is_mirror(self) -> bool {
        matches!(self, Self::Erspan | Self::Tzsp)
    }

    /// The word for metrics and the page.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Mpls => "mpls",
            Self::Pppoe => "pppoe",
            Self::Gre => "gre",
            Self::Erspan => "erspan",
            Self::Vxlan => "vxlan",
            Self::Geneve => "geneve",
            Self::Tzsp => "tzsp",
            Self::GtpU => "gtp_u",
            Self::IpInIp => "ip_in_ip",
            Self::Teredo => "teredo",
        }
    }
}

/// A type number at which reading ended because nothing here knows it. No fault: the sender may well be right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum UnknownType {
    /// LINKTYPE of the capture.
    Link(u16),
    /// EtherType, also of GRE and others that use its numbers.
    Ether(u16),
    /// IEEE 802.2 destination service access point.
    Llc(u8),
    /// PPP protocol.
    Ppp(u16),
    /// IP protocol.
    Ip(u8),
    /// IEEE 802.11 type in the upper and subtype in the lower half: management, control, and data frames without data.
    Wireless(u8),
    /// An encrypted IEEE 802.11 frame.
    WirelessProtected,
}

impl UnknownType {
    /// The words of the numbers' vocabularies, in order.
    pub const WORDS: [&str; 7] = ["link", "ether_type", "llc", "ppp", "ip", "wireless", "wireless_protected"];

    /// Which vocabulary the number is of, for metrics and the page.
    #[must_use]
    pub const fn word(self) -> &'static str {
        let [link, ether, llc, ppp, ip, wireless, protected] = Self::WORDS;
        match self {
            Self::Link(_) => link,
            Self::Ether(_) => ether,
            Self::Llc(_) => llc,
            Self::Ppp(_) => ppp,
            Self::Ip(_) => ip,
            Self::Wireless(_) => wireless,
            Self::WirelessProtected => protected,
        }
    }

    /// The number; 0 where there is none.
    #[must_use]
    pub fn number(self) -> u16 {
        match self {
            Self::Link(number) | Self::Ether(number) | Self::Ppp(number) => number,
            Self::Llc(number) | Self::Ip(number) | Self::Wireless(number) => number.into(),
            Self::WirelessProtected => 0,
        }
    }
}
