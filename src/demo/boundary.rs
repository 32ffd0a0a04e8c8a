//! The far side of the router: how long and over how many hops the servers outside are away, and what of the site's
//! frames the router's stack may see.

use smoltcp::wire::{ArpOperation, ArpPacket, ArpRepr, EthernetFrame, EthernetProtocol, Ipv4Cidr};

use super::frames;
use super::station::Line;
use crate::time::{Span, Timestamp};

/// A server outside of the site.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outside {
    /// Its name in the DNS.
    pub(crate) name: &'static str,
    /// Its address, of the ranges for documentation (RFC 5737).
    pub(crate) ip: [u8; 4],
    /// Time there and back in milliseconds, 1 to 255.
    pub(crate) round_trip: u8,
    /// Routers on the way.
    pub(crate) hops: u8,
}

/// The router's border.
pub(crate) struct Boundary {
    site: Ipv4Cidr,
    servers: &'static [Outside],
    lines: Vec<Line>,
}

impl Boundary {
    pub(crate) fn new(site: Ipv4Cidr, servers: &'static [Outside], epoch: Timestamp) -> Self {
        Self { site, servers, lines: vec![Line::new(epoch); servers.len()] }
    }

    /// Whether the router's stack sees the frame. That stack believes that every address is its own, so it must not
    /// meet questions about the addresses of others.
    pub(crate) fn admits(&self, frame: &[u8]) -> bool {
        let Ok(ethernet) = EthernetFrame::new_checked(frame) else { return false };
        match ethernet.ethertype() {
            EthernetProtocol::Arp => {
                let repr =
                    ArpPacket::new_checked(ethernet.payload()).and_then(|packet| ArpRepr::parse(&packet));
                match repr {
                    Ok(ArpRepr::EthernetIpv4 { operation, target_protocol_addr, .. }) => {
                        operation == ArpOperation::Reply && ethernet.dst_addr().is_unicast()
                            || target_protocol_addr == self.site.address()
                    }
                    _ => false,
                }
            }
            EthernetProtocol::Ipv4 => ethernet.dst_addr().is_unicast() || ethernet.dst_addr().is_broadcast(),
            _ => false,
        }
    }

    /// For a frame that comes from outside: ages it by the hops of its way and says when it comes out of the router,
    /// in the order in which its server sent.
    pub(crate) fn leave(&mut self, frame: &mut [u8], now: Timestamp) -> Option<Timestamp> {
        let (source, _) = frames::ipv4_ends(frame)?;
        if self.site.contains_addr(&source) {
            return None;
        }
        let at = self.servers.iter().position(|server| source.octets() == server.ip)?;
        let (server, line) = (self.servers.get(at)?, self.lines.get_mut(at)?);
        frames::age(frame, server.hops);
        Some(line.reserve(now + Span::from_millis(u64::from(server.round_trip)), frame.len()))
    }
}
