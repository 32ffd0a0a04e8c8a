//! What the API says of packets that were just seen: what `packet` reads of them, and no payload unless asked. The
//! rules are those of `view`.

use std::net::{IpAddr, Ipv4Addr};

use serde::Serialize;

use crate::packet::{
    Application, ArpOperation, Dhcp, DhcpMessage, Digest, Dns, Fault, Frame, Hint, IcmpKind, Ip, Mac,
    Network, TcpFlags, Transport, dissect,
};

/// `/api/capture/packets`.
#[derive(Debug, Serialize)]
pub(super) struct PacketsAnswer {
    /// Newest first.
    pub(super) packets: Vec<PacketView>,
    /// Packets held in memory, of which these are some.
    pub(super) held: usize,
    /// Time of the oldest packet held; null where none is.
    pub(super) oldest: Option<String>,
}

/// Null is what the packet does not have, or what could not be read of it.
#[derive(Debug, Serialize)]
pub(super) struct PacketView {
    time: String,
    /// Bytes on the wire.
    length: u32,
    /// Bytes held, which is what all else here was read from.
    captured: usize,
    /// Less is held than was on the wire.
    truncated: bool,
    source_mac: Option<String>,
    destination_mac: Option<String>,
    vlan: Option<u16>,
    ether_type: Option<u16>,
    /// `arp`, `tcp`, `udp`, `icmp`, or the number of another IP protocol.
    protocol: Option<String>,
    /// `dns`, `tls`, `mqtt` and others; by this packet alone, so most packets of a connection have none.
    application: Option<&'static str>,
    source_ip: Option<IpAddr>,
    destination_ip: Option<IpAddr>,
    hop_limit: Option<u8>,
    source_port: Option<u16>,
    destination_port: Option<u16>,
    tcp_flags: Option<Vec<&'static str>>,
    /// A fragment that is not the first, which has no ports.
    fragment: bool,
    icmp: Option<&'static str>,
    arp: Option<ArpView>,
    dns: Option<DnsView>,
    dhcp: Option<DhcpView>,
    hello: Option<HelloView>,
    fault: Option<FaultView>,
    /// The bytes held, in hexadecimal; only where they were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<String>,
}

#[derive(Debug, Serialize)]
struct ArpView {
    operation: String,
    sender_mac: String,
    sender_ip: Ipv4Addr,
    target_mac: String,
    target_ip: Ipv4Addr,
}

#[derive(Debug, Serialize)]
struct DnsView {
    multicast: bool,
    response: bool,
    /// Number of the response code: 0 no error, 3 no such name.
    rcode: u8,
    name: String,
    /// Number of the type asked for: 1 A, 12 PTR, 28 AAAA.
    query_type: u16,
    questions: u16,
    answers: u16,
    answer_types: Vec<&'static str>,
}

#[derive(Debug, Serialize)]
struct DhcpView {
    message: String,
    client_mac: String,
    address: Option<Ipv4Addr>,
    host_name: Option<String>,
    vendor_class: Option<String>,
    /// Codes of the options asked for, in the client's order.
    parameters: Vec<u8>,
}

#[derive(Debug, Serialize)]
struct HelloView {
    server_name: Option<String>,
    alpn: Option<String>,
    ja4: Option<String>,
}

#[derive(Debug, Serialize)]
struct FaultView {
    layer: &'static str,
    reason: &'static str,
}

impl PacketView {
    pub(super) fn new(frame: &Frame<'_>, with_bytes: bool) -> Self {
        let digest = dissect(frame);
        let known = |mac: Mac| (!(digest.source.is_zero() && digest.destination.is_zero())).then_some(mac);
        let ip = match &digest.network {
            Network::Ip(ip) => Some(ip),
            Network::Arp(_) | Network::Other => None,
        };
        let ports = ip.and_then(ports);
        Self {
            time: frame.time.to_string(),
            length: frame.wire_len,
            captured: frame.bytes.len(),
            truncated: usize::try_from(frame.wire_len).is_ok_and(|wire| wire > frame.bytes.len()),
            source_mac: known(digest.source).map(|mac| mac.to_string()),
            destination_mac: known(digest.destination).map(|mac| mac.to_string()),
            vlan: digest.vlan,
            ether_type: (digest.ether_type != 0).then_some(digest.ether_type),
            protocol: protocol(&digest),
            application: Some(digest.hint.application())
                .filter(|&application| application != Application::Unknown)
                .map(Application::word),
            source_ip: ip.map(|ip| ip.source),
            destination_ip: ip.map(|ip| ip.destination),
            hop_limit: ip.map(|ip| ip.hop_limit),
            source_port: ports.map(|(source, _)| source),
            destination_port: ports.map(|(_, destination)| destination),
            tcp_flags: ip.and_then(|ip| match ip.transport {
                Transport::Tcp(tcp) => Some(flags(tcp.flags)),
                _ => None,
            }),
            fragment: ip.is_some_and(|ip| matches!(ip.transport, Transport::Fragment(_))),
            icmp: ip.and_then(|ip| match ip.transport {
                Transport::Icmp(icmp) => Some(icmp_word(icmp.kind)),
                _ => None,
            }),
            arp: ArpView::new(&digest),
            dns: DnsView::new(&digest.hint),
            dhcp: DhcpView::new(&digest.hint),
            hello: HelloView::new(&digest.hint),
            fault: digest.fault.map(FaultView::from),
            bytes: with_bytes.then(|| hex(frame.bytes)),
        }
    }
}

fn protocol(digest: &Digest) -> Option<String> {
    let ip = match &digest.network {
        Network::Ip(ip) => ip,
        Network::Arp(_) => return Some("arp".to_owned()),
        Network::Other => return None,
    };
    let number = match ip.transport {
        Transport::Tcp(_) => 6,
        Transport::Udp(_) => 17,
        Transport::Icmp(_) => 1,
        Transport::Fragment(number) | Transport::Other(number) => number,
    };
    Some(match number {
        1 | 58 => "icmp".to_owned(),
        6 => "tcp".to_owned(),
        17 => "udp".to_owned(),
        other => other.to_string(),
    })
}

fn ports(ip: &Ip) -> Option<(u16, u16)> {
    match ip.transport {
        Transport::Tcp(tcp) => Some((tcp.source_port, tcp.destination_port)),
        Transport::Udp(udp) => Some((udp.source_port, udp.destination_port)),
        Transport::Icmp(_) | Transport::Fragment(_) | Transport::Other(_) => None,
    }
}

fn flags(flags: TcpFlags) -> Vec<&'static str> {
    const WORDS: [(TcpFlags, &str); 8] = [
        (TcpFlags::SYN, "SYN"),
        (TcpFlags::FIN, "FIN"),
        (TcpFlags::RST, "RST"),
        (TcpFlags::PSH, "PSH"),
        (TcpFlags::ACK, "ACK"),
        (TcpFlags::URG, "URG"),
        (TcpFlags(0x40), "ECE"),
        (TcpFlags(0x80), "CWR"),
    ];
    WORDS.into_iter().filter(|(flag, _)| flags.has(*flag)).map(|(_, word)| word).collect()
}

const fn icmp_word(kind: IcmpKind) -> &'static str {
    match kind {
        IcmpKind::EchoRequest(_) => "echo_request",
        IcmpKind::EchoReply(_) => "echo_reply",
        IcmpKind::Unreachable { .. } => "unreachable",
        IcmpKind::NeighbourSolicitation { .. } => "neighbour_solicitation",
        IcmpKind::NeighbourAdvertisement { .. } => "neighbour_advertisement",
        IcmpKind::Other { .. } => "other",
    }
}

impl ArpView {
    fn new(digest: &Digest) -> Option<Self> {
        let Network::Arp(arp) = &digest.network else { return None };
        Some(Self {
            operation: match arp.operation {
                ArpOperation::Request => "request".to_owned(),
                ArpOperation::Reply => "reply".to_owned(),
                ArpOperation::Unknown(number) => number.to_string(),
            },
            sender_mac: arp.sender_mac.to_string(),
            sender_ip: arp.sender_ip,
            target_mac: arp.target_mac.to_string(),
            target_ip: arp.target_ip,
        })
    }
}

impl DnsView {
    fn new(hint: &Hint) -> Option<Self> {
        let Hint::Dns(Dns {
            multicast,
            response,
            rcode,
            questions,
            answers,
            name,
            query_type,
            answer_types,
            ..
        }) = hint
        else {
            return None;
        };
        Some(Self {
            multicast: *multicast,
            response: *response,
            rcode: *rcode,
            name: name.as_str().to_owned(),
            query_type: *query_type,
            questions: *questions,
            answers: *answers,
            answer_types: answer_types.words().collect(),
        })
    }
}

impl DhcpView {
    fn new(hint: &Hint) -> Option<Self> {
        let Hint::Dhcp(Dhcp { message, client, address, host_name, vendor_class, parameters }) = hint else {
            return None;
        };
        let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Some(Self {
            message: match message {
                DhcpMessage::Discover => "discover".to_owned(),
                DhcpMessage::Offer => "offer".to_owned(),
                DhcpMessage::Request => "request".to_owned(),
                DhcpMessage::Ack => "ack".to_owned(),
                DhcpMessage::Unknown(number) => number.to_string(),
            },
            client_mac: client.to_string(),
            address: *address,
            host_name: text(host_name.as_str()),
            vendor_class: text(vendor_class.as_str()),
            parameters: parameters.codes().to_vec(),
        })
    }
}

impl HelloView {
    fn new(hint: &Hint) -> Option<Self> {
        let (Hint::Tls(hello) | Hint::Quic(hello)) = hint else { return None };
        let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Some(Self {
            server_name: text(hello.server_name.as_str()),
            alpn: text(hello.alpn.as_str()),
            ja4: text(hello.ja4.as_str()),
        })
    }
}

impl From<Fault> for FaultView {
    fn from(fault: Fault) -> Self {
        Self { layer: fault.layer.word(), reason: fault.reason.word() }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .filter_map(|digit| char::from_digit(digit.into(), 16))
        .collect()
}
