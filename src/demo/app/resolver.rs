//! The router's DNS forwarder: answers from a table, some at once and some after the time an upstream server takes.

use std::collections::VecDeque;

use smoltcp::iface::SocketHandle;
use smoltcp::socket::udp;

use super::{App, Host};
use crate::demo::boundary::Outside;
use crate::demo::protocol::dns;
use crate::time::{Span, Timestamp};

/// Answers that wait; a question above that is dropped, and asked again by its client.
const WAITING: usize = 32;

/// Time to an answer from the cache and from upstream.
const CACHED: (Span, Span) = (Span::from_nanos(150_000), Span::from_millis(1));
const UPSTREAM: (Span, Span) = (Span::from_millis(8), Span::from_millis(35));

/// A DNS forwarder.
pub(crate) struct Resolver {
    names: &'static [Outside],
    socket: Option<SocketHandle>,
    waiting: VecDeque<(Timestamp, udp::UdpMetadata, Vec<u8>)>,
}

impl Resolver {
    pub(crate) fn new(names: &'static [Outside]) -> Self {
        Self { names, socket: None, waiting: VecDeque::with_capacity(WAITING) }
    }
}

impl App for Resolver {
    fn run(&mut self, host: &mut Host<'_>) -> Option<Timestamp> {
        let handle = *self.socket.get_or_insert_with(|| host.open_udp(53));
        let socket = host.sockets.get_mut::<udp::Socket<'static>>(handle);
        while let Ok((query, from)) = socket.recv() {
            let Some(name) = dns::name(query) else { continue };
            let ip = self.names.iter().find(|server| server.name == name).map(|server| server.ip);
            let delay = if host.chance.one_in(3) { UPSTREAM } else { CACHED };
            let wait = host.chance.span(delay);
            if self.waiting.len() < WAITING {
                self.waiting.push_back((host.now + wait, from, dns::response(query, ip)));
            }
        }
        let now = host.now;
        self.waiting.retain(|(at, to, reply)| {
            let due = *at <= now;
            if due {
                // A full buffer is a lost answer; the client asks again.
                let _ = socket.send_slice(reply, *to);
            }
            !due
        });
        self.waiting.iter().map(|(at, ..)| *at).min()
    }
}
