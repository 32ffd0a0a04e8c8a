//! What is known of a packet once its bytes are gone. No parsing here, only the shapes.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

use super::hint::Hint;
use super::link::Link;
use super::tunnel::{Tunnel, UnknownType};
use crate::time::Timestamp;

/// A frame as the capture gives it; borrowed until `dissect` returns.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// The kernel's or the file's time.
    pub time: Timestamp,
    /// How the bytes begin.
    pub link: Link,
    /// Bytes on the wire; more than `bytes.len()` when the capture cut the frame.
    pub wire_len: u32,
    /// The captured bytes.
    pub bytes: &'a [u8],
}

/// An Ethernet address.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mac(pub [u8; 6]);

impl Mac {
    /// All stations.
    pub const BROADCAST: Self = Self([0xff; 6]);

    /// Group bit set: broadcast or multicast.
    #[must_use]
    pub const fn is_group(self) -> bool {
        self.0[0] & 1 == 1
    }

    /// No address at all.
    #[must_use]
    pub fn is_zero(self) -> bool {
        self.0 == [0; 6]
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::str::FromStr for Mac {
    type Err = BadMac;

    /// Parses six hexadecimal octets with colons between them.
    fn from_str(text: &str) -> Result<Self, BadMac> {
        let mut octets = [0; 6];
        let mut parts = text.split(':');
        for octet in &mut octets {
            let part = parts.next().filter(|p| p.len() == 2).ok_or(BadMac)?;
            *octet = u8::from_str_radix(part, 16).map_err(|_| BadMac)?;
        }
        if parts.next().is_some() { Err(BadMac) } else { Ok(Self(octets)) }
    }
}

/// A text that is no Ethernet address.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("not an Ethernet address such as 02:00:00:00:00:01")]
pub struct BadMac;

/// A decoded packet.
#[derive(Clone, Copy, Debug)]
pub struct Digest {
    /// When the frame was seen.
    pub time: Timestamp,
    /// Bytes on the wire.
    pub wire_len: u32,
    /// Sender on this link; zero when the link layer could not be read.
    pub source: Mac,
    /// Receiver on this link.
    pub destination: Mac,
    /// Outermost 802.1Q or 802.1ad VLAN id, 0 to 4095, of the frame whose stations these are.
    pub vlan: Option<u16>,
    /// EtherType after all tags; 0 when unknown, a value up to 1500 is an 802.3 length.
    pub ether_type: u16,
    /// What the packet came wrapped in; none for most.
    pub tunnel: Option<Tunnel>,
    /// The type that nothing here reads, where one ended the reading.
    pub unknown: Option<UnknownType>,
    /// What the frame carries.
    pub network: Network,
    /// What the payload says, where it is one of the protocols that are read.
    pub hint: Hint,
    /// Why decoding stopped early, when it did. What was read before that is valid.
    pub fault: Option<Fault>,
}

impl Digest {
    /// Whether the stations only carry the packet in a tunnel of theirs: its IP addresses are then not their own.
    #[must_use]
    pub fn is_carried(&self) -> bool {
        self.tunnel.is_some_and(|tunnel| !tunnel.bridged)
    }

    /// Hardware addresses next to the sender and the receiver of the packet on this link; zero where it is carried in
    /// a tunnel between others.
    #[must_use]
    pub fn neighbours(&self) -> [Mac; 2] {
        if self.is_carried() { [Mac::default(); 2] } else { [self.source, self.destination] }
    }
}

/// The network layer.
#[derive(Clone, Copy, Debug)]
pub enum Network {
    /// Neither ARP nor IP, or unreadable (then there is a fault).
    Other,
    /// RFC 826 for Ethernet and IPv4.
    Arp(Arp),
    /// IPv4 or IPv6.
    Ip(Ip),
}

/// An ARP packet for Ethernet and IPv4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arp {
    /// Request or reply.
    pub operation: ArpOperation,
    /// Sender hardware address (which may differ from the frame's source).
    pub sender_mac: Mac,
    /// Sender protocol address.
    pub sender_ip: Ipv4Addr,
    /// Target hardware address.
    pub target_mac: Mac,
    /// Target protocol address.
    pub target_ip: Ipv4Addr,
}

/// The operation of an ARP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArpOperation {
    /// 1: who has?
    Request,
    /// 2: is at.
    Reply,
    /// Any other, by number.
    Unknown(u16),
}

/// An IP packet.
#[derive(Clone, Copy, Debug)]
pub struct Ip {
    /// Source address.
    pub source: IpAddr,
    /// Destination address.
    pub destination: IpAddr,
    /// TTL or hop limit.
    pub hop_limit: u8,
    /// What it carries.
    pub transport: Transport,
}

/// The transport layer.
#[derive(Clone, Copy, Debug)]
pub enum Transport {
    /// RFC 9293.
    Tcp(Tcp),
    /// RFC 768.
    Udp(Udp),
    /// ICMP or ICMPv6.
    Icmp(Icmp),
    /// A fragment that is not the first, while the first was not seen: protocol number only.
    Fragment(u8),
    /// Another protocol number, or a transport header that could not be read (then there is a fault).
    Other(u8),
}

/// A TCP segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tcp {
    /// Source port.
    pub source_port: u16,
    /// Destination port.
    pub destination_port: u16,
    /// Control bits.
    pub flags: TcpFlags,
    /// Sequence number.
    pub sequence: u32,
    /// Acknowledgement number; meaningful only with ACK.
    pub acknowledgement: u32,
    /// Window as sent, unscaled.
    pub window: u16,
    /// Payload bytes by the IP length (also where the capture cut the frame).
    pub payload: u32,
}

/// TCP control bits, the low eight of the header: FIN SYN RST PSH ACK URG ECE CWR.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TcpFlags(pub u8);

impl TcpFlags {
    /// No more data from sender.
    pub const FIN: Self = Self(0x01);
    /// Synchronise sequence numbers.
    pub const SYN: Self = Self(0x02);
    /// Reset the connection.
    pub const RST: Self = Self(0x04);
    /// Push.
    pub const PSH: Self = Self(0x08);
    /// The acknowledgement field is significant.
    pub const ACK: Self = Self(0x10);
    /// The urgent pointer is significant.
    pub const URG: Self = Self(0x20);

    /// Whether all bits of `other` are set.
    #[must_use]
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// SYN without ACK or RST: the first segment of a connection attempt.
    #[must_use]
    pub const fn is_open(self) -> bool {
        self.has(Self::SYN) && self.0 & (Self::ACK.0 | Self::RST.0) == 0
    }

    /// SYN with ACK: the answer of a listener.
    #[must_use]
    pub const fn is_accept(self) -> bool {
        self.has(Self::SYN) && self.has(Self::ACK)
    }
}

/// A UDP datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Udp {
    /// Source port.
    pub source_port: u16,
    /// Destination port.
    pub destination_port: u16,
    /// Payload bytes by the UDP length.
    pub payload: u32,
}

/// An ICMP or ICMPv6 message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Icmp {
    /// What it says.
    pub kind: IcmpKind,
    /// Bytes after the 8-byte header.
    pub payload: u32,
}

/// The meaning of an ICMP message, one vocabulary for both versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IcmpKind {
    /// Echo request with its identifier.
    EchoRequest(u16),
    /// Echo reply with its identifier.
    EchoReply(u16),
    /// Destination or port unreachable, or administratively prohibited, with the addresses and ports of the packet
    /// that it answers where these can be read (a port is 0 where the protocol has none).
    Unreachable {
        /// Protocol number of the quoted packet.
        protocol: u8,
        /// Quoted source.
        source: Option<(IpAddr, u16)>,
        /// Quoted destination.
        destination: Option<(IpAddr, u16)>,
    },
    /// Neighbour solicitation for an address (RFC 4861), with the sender's link-layer option.
    NeighbourSolicitation {
        /// Address looked for.
        target: IpAddr,
        /// Source link-layer address option.
        link: Option<Mac>,
    },
    /// Neighbour advertisement of an address, with the link-layer option.
    NeighbourAdvertisement {
        /// Address advertised.
        target: IpAddr,
        /// Target link-layer address option.
        link: Option<Mac>,
    },
    /// Any other, by type and code.
    Other {
        /// Type.
        kind: u8,
        /// Code.
        code: u8,
    },
}

/// Where and why decoding stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fault {
    /// The layer whose bytes could not be read.
    pub layer: Layer,
    /// Why.
    pub reason: FaultReason,
}

/// A layer of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Layer {
    /// Ethernet and its tags, or another link layer.
    Link,
    /// The header of an encapsulation.
    Tunnel,
    /// ARP.
    Arp,
    /// IPv4 or IPv6 and its extension headers.
    Ip,
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// ICMP or ICMPv6.
    Icmp,
    /// DNS or mDNS.
    Dns,
    /// DHCPv4.
    Dhcp,
    /// TLS over TCP.
    Tls,
    /// QUIC, and the TLS in it.
    Quic,
    /// HTTP/1.
    Http,
    /// SSH.
    Ssh,
    /// MQTT.
    Mqtt,
    /// NTP.
    Ntp,
    /// SSDP.
    Ssdp,
    /// NetBIOS name service.
    NetBios,
    /// Modbus/TCP.
    Modbus,
    /// S7comm.
    S7,
    /// DNP3.
    Dnp3,
    /// EtherNet/IP and CIP.
    EtherNetIp,
    /// IEC 60870-5-104.
    Iec104,
    /// BACnet/IP.
    Bacnet,
    /// PROFINET DCP.
    ProfinetDcp,
    /// GOOSE.
    Goose,
    /// OPC UA binary.
    OpcUa,
}

impl Layer {
    /// All layers, in order.
    pub const ALL: [Self; 26] = [
        Self::Link,
        Self::Tunnel,
        Self::Arp,
        Self::Ip,
        Self::Tcp,
        Self::Udp,
        Self::Icmp,
        Self::Dns,
        Self::Dhcp,
        Self::Tls,
        Self::Quic,
        Self::Http,
        Self::Ssh,
        Self::Mqtt,
        Self::Ntp,
        Self::Ssdp,
        Self::NetBios,
        Self::Modbus,
        Self::S7,
        Self::Dnp3,
        Self::EtherNetIp,
        Self::Iec104,
        Self::Bacnet,
        Self::ProfinetDcp,
        Self::Goose,
        Self::OpcUa,
    ];

    /// The word for metrics and the page.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Link => "link",
            Self::Tunnel => "tunnel",
            Self::Arp => "arp",
            Self::Ip => "ip",
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Icmp => "icmp",
            Self::Dns => "dns",
            Self::Dhcp => "dhcp",
            Self::Tls => "tls",
            Self::Quic => "quic",
            Self::Http => "http",
            Self::Ssh => "ssh",
            Self::Mqtt => "mqtt",
            Self::Ntp => "ntp",
            Self::Ssdp => "ssdp",
            Self::NetBios => "netbios",
            Self::Modbus => "modbus",
            Self::S7 => "s7comm",
            Self::Dnp3 => "dnp3",
            Self::EtherNetIp => "ethernet_ip",
            Self::Iec104 => "iec104",
            Self::Bacnet => "bacnet",
            Self::ProfinetDcp => "profinet_dcp",
            Self::Goose => "goose",
            Self::OpcUa => "opc_ua",
        }
    }
}

/// Why bytes could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FaultReason {
    /// The capture cut the frame (snapshot length) before the header ended: not the sender's fault.
    Cut,
    /// The frame ended on the wire before the header did.
    TooShort,
    /// A length field contradicts the bytes or the layer above.
    BadLength,
    /// A version, type or option that the standard does not allow.
    BadField,
    /// A link type that is not read.
    UnknownLink,
    /// More encapsulations, one in the other, than are followed.
    TooDeep,
}

impl FaultReason {
    /// All reasons, in order.
    pub const ALL: [Self; 6] =
        [Self::Cut, Self::TooShort, Self::BadLength, Self::BadField, Self::UnknownLink, Self::TooDeep];

    /// The word for metrics and the page.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Cut => "cut",
            Self::TooShort => "too_short",
            Self::BadLength => "bad_length",
            Self::BadField => "bad_field",
            Self::UnknownLink => "unknown_link",
            Self::TooDeep => "too_deep",
        }
    }
}
