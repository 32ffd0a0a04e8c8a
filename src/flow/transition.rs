//! What one packet does to the state of a flow: TCP as a tap sees it (after RFC 9293, section 3.3.2), and the two
//! states of everything else. Also what a packet is to the flow table at all.
//!
//! No windows and no sequence numbers but the initial one: a tap loses packets, and endpoints decide what they accept.

use std::net::IpAddr;

use super::{FiveTuple, FlowRecord, FlowState, News, Side};
use crate::packet::{Icmp, IcmpKind, Ip, Tcp, TcpFlags, Transport};

/// Protocol numbers (IANA) of the transports that have a header of their own in a digest.
const ICMP: u8 = 1;
pub(super) const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMPV6: u8 = 58;

/// What an IP packet is to the flow table.
#[derive(Clone, Copy, Debug)]
pub(super) enum Reading {
    /// Part of a flow.
    Packet(Packet),
    /// An ICMP unreachable that quotes enough of the packet it answers.
    Unreachable(FiveTuple),
    /// Of no flow: another ICMP error, a fragment without ports, a transport header that could not be read.
    Stray,
}

/// A packet of a flow.
#[derive(Clone, Copy, Debug)]
pub(super) struct Packet {
    pub(super) tuple: FiveTuple,
    pub(super) payload: u32,
    pub(super) tcp: Option<Tcp>,
}

impl Reading {
    pub(super) fn of(ip: &Ip) -> Self {
        match ip.transport {
            Transport::Tcp(tcp) => {
                Self::packet(ip, TCP, (tcp.source_port, tcp.destination_port), tcp.payload, Some(tcp))
            }
            Transport::Udp(udp) => {
                Self::packet(ip, UDP, (udp.source_port, udp.destination_port), udp.payload, None)
            }
            Transport::Icmp(icmp) => Self::icmp(ip, icmp),
            Transport::Fragment(_) | Transport::Other(ICMP | TCP | UDP | ICMPV6) => Self::Stray,
            Transport::Other(protocol) => Self::packet(ip, protocol, (0, 0), 0, None),
        }
    }

    fn icmp(ip: &Ip, icmp: Icmp) -> Self {
        let protocol = if ip.source.is_ipv4() { ICMP } else { ICMPV6 };
        let port = match icmp.kind {
            IcmpKind::EchoRequest(identifier) | IcmpKind::EchoReply(identifier) => identifier,
            IcmpKind::Unreachable { protocol, source: Some(source), destination: Some(destination) } => {
                // An error goes to the sender of what it quotes.
                return if source.0 == ip.destination {
                    Self::Unreachable(FiveTuple {
                        source: source.0,
                        source_port: source.1,
                        destination: destination.0,
                        destination_port: destination.1,
                        protocol,
                    })
                } else {
                    Self::Stray
                };
            }
            IcmpKind::Unreachable { .. } => return Self::Stray,
            IcmpKind::Other { kind, .. } if is_error(ip.source, kind) => return Self::Stray,
            _ => 0,
        };
        Self::packet(ip, protocol, (port, port), icmp.payload, None)
    }

    fn packet(ip: &Ip, protocol: u8, ports: (u16, u16), payload: u32, tcp: Option<Tcp>) -> Self {
        let tuple = FiveTuple {
            source: ip.source,
            source_port: ports.0,
            destination: ip.destination,
            destination_port: ports.1,
            protocol,
        };
        Self::Packet(Packet { tuple, payload, tcp })
    }
}

/// Types that answer another packet and are not answered: RFC 792 (unreachable, quench, redirect, time exceeded,
/// parameter problem); RFC 4443 has them below 128.
fn is_error(source: IpAddr, kind: u8) -> bool {
    if source.is_ipv4() { matches!(kind, 3 | 4 | 5 | 11 | 12) } else { kind < 128 }
}

/// How a flow begins with this packet: the side that sent it, the state, and whether its start was missed. None when
/// nothing begins with it: an RST that belongs to no flow.
pub(super) fn beginning(packet: &Packet) -> Option<(Side, FlowState, bool)> {
    let Some(tcp) = packet.tcp else { return Some((Side::Client, FlowState::OneWay, false)) };
    if tcp.flags.has(TcpFlags::RST) {
        None
    } else if tcp.flags.is_open() {
        Some((Side::Client, FlowState::Attempt, false))
    } else if tcp.flags.is_accept() {
        Some((Side::Server, FlowState::Accepted, true))
    } else if !tcp.flags.has(TcpFlags::ACK) {
        // All segments after the first SYN have ACK (RFC 9293, section 3.10.7): FIN, null and Xmas probes do not.
        Some((Side::Client, FlowState::Attempt, false))
    } else {
        let side = if tcp.source_port >= tcp.destination_port { Side::Client } else { Side::Server };
        let state = if tcp.flags.has(TcpFlags::FIN) { FlowState::Closing } else { FlowState::Established };
        Some((side, state, true))
    }
}

/// Whether this SYN opens a new connection on the key of a flow: the flow went beyond the handshake, and the SYN is
/// not a late copy of its own. `syn` is the initial sequence number of the flow's client.
pub(super) fn succeeds(record: &FlowRecord, syn: u32, side: Side, tcp: &Tcp) -> bool {
    let known = !record.midstream && record.to_server.flags.has(TcpFlags::SYN);
    let copy = side == Side::Client && known && tcp.sequence == syn;
    tcp.flags.is_open() && !matches!(record.state, FlowState::Attempt | FlowState::Accepted) && !copy
}

/// Moves the state of a flow by a packet that is already in its totals. Gives what is news.
pub(super) fn advance(record: &mut FlowRecord, side: Side, tcp: Option<&Tcp>) -> Option<News> {
    let (this, other) = match side {
        Side::Client => (record.to_server.packets, record.to_client.packets),
        Side::Server => (record.to_client.packets, record.to_server.packets),
    };
    let Some(tcp) = tcp else {
        let answers = record.state == FlowState::OneWay && side == Side::Server;
        if answers {
            record.state = FlowState::TwoWay;
        }
        return answers.then_some(News::Answered);
    };
    let reset = tcp.flags.has(TcpFlags::RST);
    let mut news = None;
    match record.state {
        FlowState::Attempt => news = advance_attempt(record, side, tcp),
        FlowState::Accepted => {
            if reset {
                record.state = FlowState::Reset;
            } else if side == Side::Client && tcp.flags.has(TcpFlags::ACK) {
                record.state = FlowState::Established;
            }
        }
        FlowState::Established | FlowState::Closing if reset => {
            let refused = side == Side::Server && may_be_probe(record);
            record.state = if refused { FlowState::Refused } else { FlowState::Reset };
            news = refused.then_some(News::Refused);
        }
        // The second side appears: of a flow found midstream, unless its SYN+ACK has told so; or the server of one
        // whose SYN+ACK passed unseen.
        FlowState::Established | FlowState::Closing if this == 1 && other > 0 => {
            let told = record.midstream && record.to_client.flags.has(TcpFlags::SYN);
            news = (!told && (record.midstream || side == Side::Server)).then_some(News::Answered);
        }
        _ => {}
    }
    close(record);
    news
}

/// Whether a flow whose server sends an RST may be a probe with ACK: nothing else came back, and what was sent before
/// is no talk of a connection whose other direction is not seen.
fn may_be_probe(record: &FlowRecord) -> bool {
    let silent = record.to_server.packets == 1 || record.to_server.payload == 0;
    record.midstream && record.to_client.packets == 1 && silent
}

fn advance_attempt(record: &mut FlowRecord, side: Side, tcp: &Tcp) -> Option<News> {
    let reset = tcp.flags.has(TcpFlags::RST);
    match side {
        Side::Client => {
            // A bare acknowledgement means that the SYN+ACK passed unseen.
            let established = !reset && tcp.flags.has(TcpFlags::ACK) && !tcp.flags.has(TcpFlags::SYN);
            if established {
                record.state = FlowState::Established;
            }
            (established && record.to_client.packets > 0).then_some(News::Answered)
        }
        Side::Server if reset => {
            record.state = FlowState::Refused;
            Some(News::Refused)
        }
        Side::Server if tcp.flags.has(TcpFlags::SYN) => {
            record.state = FlowState::Accepted;
            Some(News::Answered)
        }
        // Data likewise. An ACK alone may be the challenge of an older connection (RFC 9293, section 3.5.1).
        Side::Server if tcp.payload > 0 => {
            record.state = FlowState::Established;
            Some(News::Answered)
        }
        Side::Server => None,
    }
}

/// FINs count once data may flow; the totals remember those that came earlier.
fn close(record: &mut FlowRecord) {
    if matches!(record.state, FlowState::Established | FlowState::Closing) {
        let client = record.to_server.flags.has(TcpFlags::FIN);
        let server = record.to_client.flags.has(TcpFlags::FIN);
        match (client, server) {
            (true, true) => record.state = FlowState::Closed,
            (false, false) => {}
            _ => record.state = FlowState::Closing,
        }
    }
}
