//! A watchdog that pings one host for ever, as cameras and controllers do with their gateway.

use std::net::Ipv4Addr;

use smoltcp::iface::SocketHandle;
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::socket::icmp;
use smoltcp::wire::{Icmpv4Packet, Icmpv4Repr, IpAddress};

use super::{App, Host};
use crate::time::{Span, Timestamp};

/// An endless ping.
pub(crate) struct Ping {
    target: Ipv4Addr,
    every: Span,
    ident: u16,
    sequence: u16,
    due: Option<Timestamp>,
    socket: Option<SocketHandle>,
}

impl Ping {
    pub(crate) fn new(target: Ipv4Addr, every: Span, ident: u16) -> Self {
        Self { target, every, ident, sequence: 0, due: None, socket: None }
    }

    fn open(ident: u16, host: &mut Host<'_>) -> SocketHandle {
        let buffer = || icmp::PacketBuffer::new(vec![icmp::PacketMetadata::EMPTY; 4], vec![0; 4 * 128]);
        let mut socket = icmp::Socket::new(buffer(), buffer());
        // Only an open socket can fail.
        let _ = socket.bind(icmp::Endpoint::Ident(ident));
        host.sockets.add(socket)
    }
}

impl App for Ping {
    fn run(&mut self, host: &mut Host<'_>) -> Option<Timestamp> {
        host.address()?;
        let handle = *self.socket.get_or_insert_with(|| Self::open(self.ident, host));
        let socket = host.sockets.get_mut::<icmp::Socket<'static>>(handle);
        while socket.recv().is_ok() {}
        let due = self.due.unwrap_or(host.now + self.every);
        self.due = Some(due);
        if due <= host.now {
            self.sequence = self.sequence.wrapping_add(1);
            let repr =
                Icmpv4Repr::EchoRequest { ident: self.ident, seq_no: self.sequence, data: &[0x5a; 48] };
            if let Ok(buffer) = socket.send(repr.buffer_len(), IpAddress::Ipv4(self.target)) {
                repr.emit(&mut Icmpv4Packet::new_unchecked(buffer), &ChecksumCapabilities::default());
            }
            let jitter = host.chance.span((Span::ZERO, Span::from_millis(20)));
            self.due = Some(due + self.every + jitter);
        }
        self.due
    }
}
