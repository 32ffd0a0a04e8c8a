//! What an application message says once its bytes are gone. No parsing here, only the shapes.

use std::net::{IpAddr, Ipv4Addr};

use super::digest::Mac;
use crate::bounded::Text;

/// An application message that devices and features need.
#[derive(Clone, Copy, Debug)]
pub enum Hint {
    /// Nothing that is read here.
    None,
    /// DNS over port 53 or mDNS over port 5353.
    Dns(Dns),
    /// DHCPv4.
    Dhcp(Dhcp),
    /// A TLS ClientHello over TCP.
    Tls(ClientHello),
    /// A TLS ClientHello in a QUIC Initial.
    Quic(ClientHello),
    /// The start of an HTTP/1 message.
    Http(Http),
    /// An SSH identification string.
    Ssh(Ssh),
    /// MQTT.
    Mqtt(Mqtt),
    /// NTP.
    Ntp(Ntp),
    /// SSDP.
    Ssdp(Ssdp),
    /// NetBIOS name service.
    NetBios(NetBios),
    /// What a plant protocol asks or answers.
    Operation(Operation),
}

/// A TLS ClientHello (RFC 8446 section 4.1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientHello {
    /// Server name indication in lower case; empty when there is none.
    pub server_name: Text<128>,
    /// First protocol offered (RFC 7301); empty when there is none.
    pub alpn: Text<16>,
    /// JA4 fingerprint of the client, 36 characters; empty where the hello is not all there.
    pub ja4: Text<36>,
}

/// The start of an HTTP/1 message (RFC 9112).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Http {
    /// Method of a request; empty for a response.
    pub method: Text<16>,
    /// Host of a request, without port; empty when there is none.
    pub host: Text<128>,
    /// Status code of a response; 0 for a request.
    pub status: u16,
    /// Server of a response or User-Agent of a request, cut; empty when there is none.
    pub agent: Text<64>,
}

/// An SSH identification string (RFC 4253 section 4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ssh {
    /// Software version and comments.
    pub software: Text<64>,
}

/// An MQTT control packet (MQTT 3.1.1 and 5.0, section 2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mqtt {
    /// CONNECT with its client identifier, cut.
    Connect {
        /// Client identifier.
        client: Text<64>,
        /// A user name is sent.
        user: bool,
    },
    /// PUBLISH with its topic, cut; empty where an alias stands for it.
    Publish {
        /// Topic.
        topic: Text<128>,
        /// Retain flag.
        retain: bool,
    },
    /// Any other by its type, 2 to 15.
    Other(u8),
}

/// An NTP packet (RFC 5905 section 7.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ntp {
    /// Version, 1 to 4.
    pub version: u8,
    /// 3 client, 4 server, 5 broadcast, 6 control.
    pub mode: u8,
    /// Stratum; 0 in requests and for "kiss of death".
    pub stratum: u8,
}

/// An SSDP message (UPnP Device Architecture 2.0, section 1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ssdp {
    /// What it is.
    pub message: SsdpMessage,
    /// NT or ST: what is announced, searched or found; cut.
    pub target: Text<96>,
    /// SERVER or USER-AGENT, cut; empty when there is none.
    pub server: Text<96>,
}

/// A kind of SSDP message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SsdpMessage {
    /// NOTIFY with ssdp:alive or ssdp:update.
    Alive,
    /// NOTIFY with ssdp:byebye.
    Goodbye,
    /// M-SEARCH.
    Search,
    /// The answer to one.
    Answer,
}

/// A NetBIOS name service packet (RFC 1002 section 4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NetBios {
    /// What it does.
    pub message: NetBiosMessage,
    /// The name without padding.
    pub name: Text<15>,
    /// The sixteenth byte: 0x00 workstation, 0x20 file server, ...
    pub suffix: u8,
    /// A group name, where the packet says so.
    pub group: bool,
    /// Whom the packet says the name belongs to.
    pub address: Option<IpAddr>,
}

/// A kind of NetBIOS name service packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NetBiosMessage {
    /// Looks for a name.
    Query,
    /// Claims a name.
    Registration,
    /// Gives one up.
    Release,
    /// A response that says yes.
    Response,
    /// A response that says no, by its RCODE.
    Refusal,
}

/// What a plant protocol asks or answers, in one vocabulary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Operation {
    /// The protocol.
    pub protocol: PlantProtocol,
    /// Who says it.
    pub direction: Direction,
    /// What it does, as far as the protocol tells.
    pub effect: Effect,
    /// The protocol's own number of it: function code, service, type id, PDU type (each protocol's reader says which).
    pub code: u16,
    /// Unit, station, slot, common address: whom the device is to pass it to; 0 where there is none.
    pub unit: u32,
    /// What of the unit the address lies in: memory area and data block, class and instance, object, group and
    /// variation, name space; 0 where there is none.
    pub object: u32,
    /// First register, byte, index, attribute, property or information object; 0 where there is none.
    pub address: u32,
    /// How many from there on; 0 where the message does not say.
    pub count: u32,
    /// The protocol's own number of an error in a response; none for success and requests.
    pub error: Option<u16>,
    /// Messages of the protocol in the packet, of which this is the most consequential; at least 1. No part of what
    /// the operation is.
    pub messages: u16,
}

impl Operation {
    /// The only message of its packet, about nothing in particular.
    #[must_use]
    pub const fn new(protocol: PlantProtocol, direction: Direction, effect: Effect, code: u16) -> Self {
        Self {
            protocol,
            direction,
            effect,
            code,
            unit: 0,
            object: 0,
            address: 0,
            count: 0,
            error: None,
            messages: 1,
        }
    }
}

/// A plant protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PlantProtocol {
    /// Modbus/TCP.
    Modbus,
    /// S7comm over ISO-on-TCP (RFC 1006); S7comm-plus is told by its session only.
    S7,
    /// DNP3 (IEEE 1815).
    Dnp3,
    /// EtherNet/IP with CIP.
    EtherNetIp,
    /// IEC 60870-5-104.
    Iec104,
    /// BACnet/IP.
    Bacnet,
    /// PROFINET DCP.
    ProfinetDcp,
    /// GOOSE (IEC 61850-8-1).
    Goose,
    /// OPC UA binary.
    OpcUa,
}

impl PlantProtocol {
    /// All of them, in order.
    pub const ALL: [Self; 9] = [
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

/// Which way an operation goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// Asked of the receiver.
    Request,
    /// The answer to a request.
    Response,
    /// Told unasked: publications and reports.
    Unsolicited,
}

impl Direction {
    /// All of them, in order.
    pub const ALL: [Self; 3] = [Self::Request, Self::Response, Self::Unsolicited];

    /// The word for metrics and the page.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Response => "response",
            Self::Unsolicited => "unsolicited",
        }
    }
}

/// What an operation does to the device that gets it, in the order of its consequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Effect {
    /// Tells values that changed, or that nothing did.
    Report,
    /// Opens, keeps or closes a conversation.
    Session,
    /// Looks for devices or asks who they are.
    Identify,
    /// Takes values.
    Read,
    /// Counters, tests, other diagnosis.
    Diagnose,
    /// Known to the protocol, but none of these; or not known.
    Other,
    /// Sets values.
    Write,
    /// Changes configuration: names, addresses, clock, passwords.
    Configure,
    /// Operates an output: select, operate, command.
    Control,
    /// Loads a program or block up or down, or deletes one.
    Program,
    /// Starts, stops or restarts the device or its program.
    Mode,
}

impl Effect {
    /// All of them, in order.
    pub const ALL: [Self; 11] = [
        Self::Report,
        Self::Session,
        Self::Identify,
        Self::Read,
        Self::Diagnose,
        Self::Other,
        Self::Write,
        Self::Configure,
        Self::Control,
        Self::Program,
        Self::Mode,
    ];

    /// The word for metrics and the page.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Report => "report",
            Self::Session => "session",
            Self::Identify => "identify",
            Self::Read => "read",
            Self::Diagnose => "diagnose",
            Self::Other => "other",
            Self::Write => "write",
            Self::Configure => "configure",
            Self::Control => "control",
            Self::Program => "program",
            Self::Mode => "mode",
        }
    }
}

/// What a hint says of the protocol above the transport; the word for a flow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Application {
    /// Not recognised.
    #[default]
    Unknown,
    /// DNS.
    Dns,
    /// Multicast DNS.
    Mdns,
    /// DHCP.
    Dhcp,
    /// TLS over TCP.
    Tls,
    /// QUIC.
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
    /// NetBIOS names.
    NetBios,
    /// A plant protocol.
    Plant(PlantProtocol),
}

impl Application {
    /// All of them, in order.
    pub const ALL: [Self; 12 + PlantProtocol::ALL.len()] = [
        Self::Unknown,
        Self::Dns,
        Self::Mdns,
        Self::Dhcp,
        Self::Tls,
        Self::Quic,
        Self::Http,
        Self::Ssh,
        Self::Mqtt,
        Self::Ntp,
        Self::Ssdp,
        Self::NetBios,
        Self::Plant(PlantProtocol::Modbus),
        Self::Plant(PlantProtocol::S7),
        Self::Plant(PlantProtocol::Dnp3),
        Self::Plant(PlantProtocol::EtherNetIp),
        Self::Plant(PlantProtocol::Iec104),
        Self::Plant(PlantProtocol::Bacnet),
        Self::Plant(PlantProtocol::ProfinetDcp),
        Self::Plant(PlantProtocol::Goose),
        Self::Plant(PlantProtocol::OpcUa),
    ];

    /// Its place in [`Self::ALL`].
    #[must_use]
    pub const fn index(self) -> usize {
        match self {
            Self::Unknown => 0,
            Self::Dns => 1,
            Self::Mdns => 2,
            Self::Dhcp => 3,
            Self::Tls => 4,
            Self::Quic => 5,
            Self::Http => 6,
            Self::Ssh => 7,
            Self::Mqtt => 8,
            Self::Ntp => 9,
            Self::Ssdp => 10,
            Self::NetBios => 11,
            Self::Plant(protocol) => 12 + protocol as usize,
        }
    }

    /// The word for metrics and the page.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Dns => "dns",
            Self::Mdns => "mdns",
            Self::Dhcp => "dhcp",
            Self::Tls => "tls",
            Self::Quic => "quic",
            Self::Http => "http",
            Self::Ssh => "ssh",
            Self::Mqtt => "mqtt",
            Self::Ntp => "ntp",
            Self::Ssdp => "ssdp",
            Self::NetBios => "netbios",
            Self::Plant(protocol) => protocol.word(),
        }
    }
}

impl Hint {
    /// The protocol it was read from.
    #[must_use]
    pub const fn application(&self) -> Application {
        match self {
            Self::None => Application::Unknown,
            Self::Dns(Dns { multicast: true, .. }) => Application::Mdns,
            Self::Dns(_) => Application::Dns,
            Self::Dhcp(_) => Application::Dhcp,
            Self::Tls(_) => Application::Tls,
            Self::Quic(_) => Application::Quic,
            Self::Http(_) => Application::Http,
            Self::Ssh(_) => Application::Ssh,
            Self::Mqtt(_) => Application::Mqtt,
            Self::Ntp(_) => Application::Ntp,
            Self::Ssdp(_) => Application::Ssdp,
            Self::NetBios(_) => Application::NetBios,
            Self::Operation(operation) => Application::Plant(operation.protocol),
        }
    }
}

/// A DNS name in text, without the final dot.
pub type DnsName = Text<253>;

/// A DNS message, of which the first question and the address answers matter here.
#[derive(Clone, Copy, Debug)]
pub struct Dns {
    /// Over port 5353.
    pub multicast: bool,
    /// QR bit.
    pub response: bool,
    /// RCODE: 0 no error, 2 server failure, 3 no such name.
    pub rcode: u8,
    /// Questions by the header.
    pub questions: u16,
    /// Answers by the header.
    pub answers: u16,
    /// First question's name; in an mDNS announcement the name of its first A or AAAA record.
    pub name: DnsName,
    /// First question's type; 0 when there is none.
    pub query_type: u16,
    /// Types of the first 16 answers of a unicast response.
    pub answer_types: DnsTypes,
    /// mDNS: the address of the first A or AAAA record, which is the announcer's own.
    pub address: Option<IpAddr>,
}

/// A set of DNS record types.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DnsTypes(u16);

impl DnsTypes {
    const NAMED: [(u16, &'static str); 10] = [
        (1, "A"),
        (28, "AAAA"),
        (5, "CNAME"),
        (65, "HTTPS"),
        (15, "MX"),
        (2, "NS"),
        (10, "NULL"),
        (12, "PTR"),
        (33, "SRV"),
        (16, "TXT"),
    ];

    /// Adds a type by its number.
    pub fn insert(&mut self, number: u16) {
        let place = Self::NAMED.iter().position(|&(named, _)| named == number);
        self.0 |= 1 << place.unwrap_or(Self::NAMED.len());
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The names of those in it; "other" for any that has none here.
    pub fn words(self) -> impl Iterator<Item = &'static str> {
        let words = Self::NAMED.into_iter().map(|(_, word)| word).chain(["other"]);
        words.enumerate().filter(move |(place, _)| self.0 >> place & 1 == 1).map(|(_, word)| word)
    }
}

/// A DHCPv4 message.
#[derive(Clone, Copy, Debug)]
pub struct Dhcp {
    /// Option 53.
    pub message: DhcpMessage,
    /// Client hardware address.
    pub client: Mac,
    /// Address the client has or is given ("yiaddr", else "ciaddr"), when not 0.0.0.0.
    pub address: Option<Ipv4Addr>,
    /// Option 12.
    pub host_name: Text<63>,
    /// Option 60.
    pub vendor_class: Text<63>,
    /// Option 55: what the client wants to know, in its order, which tells systems apart.
    pub parameters: DhcpParameters,
}

/// The codes of a DHCP parameter request list, the first [`Self::CAPACITY`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DhcpParameters {
    codes: [u8; Self::CAPACITY],
    length: u8,
}

impl DhcpParameters {
    /// Windows asks for 14, printers for up to 30.
    pub const CAPACITY: usize = 32;

    /// The list of an option.
    #[must_use]
    pub fn new(codes: &[u8]) -> Self {
        let mut list = Self::default();
        for (to, from) in list.codes.iter_mut().zip(codes) {
            *to = *from;
            list.length += 1;
        }
        list
    }

    /// The codes in the client's order.
    #[must_use]
    pub fn codes(&self) -> &[u8] {
        self.codes.get(..usize::from(self.length)).unwrap_or(&self.codes)
    }
}

/// DHCP option 53.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DhcpMessage {
    /// 1.
    Discover,
    /// 2.
    Offer,
    /// 3.
    Request,
    /// 5.
    Ack,
    /// Any other, by number; 0 when the option is absent (BOOTP).
    Unknown(u8),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn applications_are_where_their_index_says() {
        for (place, application) in Application::ALL.into_iter().enumerate() {
            assert_eq!(application.index(), place, "{}", application.word());
        }
    }
}
