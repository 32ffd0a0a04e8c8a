//! Multicast DNS (RFC 6762): says its own name and services, and asks for those of others.

use std::net::Ipv4Addr;

use smoltcp::iface::SocketHandle;
use smoltcp::socket::udp;
use smoltcp::wire::{IpAddress, Ipv6Address};

use super::{App, Host, earliest};
use crate::demo::protocol::dns;
use crate::time::{Span, Timestamp};

const PORT: u16 = 5353;
const GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 251);
const GROUP_V6: Ipv6Address = Ipv6Address::new(0xff02, 0, 0, 0, 0, 0, 0, 0xfb);

/// Time before an answer, so that not all answer at once (RFC 6762, section 6).
const ANSWER_DELAY: (Span, Span) = (Span::from_millis(20), Span::from_millis(120));

/// What a device says and asks.
pub(crate) struct Mdns {
    host: &'static str,
    service: Option<&'static str>,
    asks: Option<&'static str>,
    every: (Span, Span),
    socket: Option<SocketHandle>,
    announce: Option<Timestamp>,
    announced: u8,
    ask: Option<Timestamp>,
    answer: Option<Timestamp>,
}

impl Mdns {
    /// A device that is named `host` (without `.local`) and offers a service type such as `_ipp._tcp.local`.
    pub(crate) fn new(host: &'static str, service: Option<&'static str>) -> Self {
        Self {
            host,
            service,
            asks: None,
            every: (Span::ZERO, Span::ZERO),
            socket: None,
            announce: None,
            announced: 0,
            ask: None,
            answer: None,
        }
    }

    /// It also looks for a service type now and then.
    pub(crate) fn asking(mut self, service: &'static str, every: (Span, Span)) -> Self {
        self.asks = Some(service);
        self.every = every;
        self
    }

    fn open(host: &mut Host<'_>) -> SocketHandle {
        // Four groups fit, and these are two more beside the solicited-node group.
        let _ = host.interface.join_multicast_group(GROUP);
        let _ = host.interface.join_multicast_group(GROUP_V6);
        let handle = host.open_udp(PORT);
        host.sockets.get_mut::<udp::Socket<'static>>(handle).set_hop_limit(Some(255));
        handle
    }
}

impl App for Mdns {
    fn run(&mut self, host: &mut Host<'_>) -> Option<Timestamp> {
        let ip = host.address()?;
        let now = host.now;
        if self.socket.is_none() {
            self.socket = Some(Self::open(host));
            self.announce = Some(now + host.chance.span(ANSWER_DELAY));
            self.ask = self.asks.map(|_| now + host.chance.span(self.every));
        }
        let socket = host.sockets.get_mut::<udp::Socket<'static>>(self.socket?);
        while let Ok((message, _)) = socket.recv() {
            let asked = !dns::is_response(message) && dns::name(message).as_deref() == self.service;
            if asked && self.service.is_some() && self.answer.is_none() {
                self.answer = Some(now + host.chance.span(ANSWER_DELAY));
            }
        }
        let due = |at: Option<Timestamp>| at.is_some_and(|at| at <= now);
        // A full buffer loses a message, which nobody misses for long.
        if due(self.announce) || due(self.answer) {
            let message = dns::announcement(self.host, self.service, ip);
            let _ = socket.send_slice(&message, (IpAddress::Ipv4(GROUP), PORT));
            if due(self.announce) {
                let _ = socket.send_slice(&message, (IpAddress::Ipv6(GROUP_V6), PORT));
                self.announced += 1;
                self.announce = (self.announced < 2).then_some(now + Span::from_secs(1));
            }
            self.answer = self.answer.filter(|at| *at > now);
        }
        if let Some(service) = self.asks
            && due(self.ask)
        {
            let question = dns::query(0, service, dns::TYPE_PTR);
            let _ = socket.send_slice(&question, (IpAddress::Ipv4(GROUP), PORT));
            self.ask = Some(now + host.chance.span(self.every));
        }
        earliest(self.announce, earliest(self.ask, self.answer))
    }
}
