//! The programs that run on stations, and what a program sees of its station. Who runs what is `site`'s.

mod caller;
mod dhcp;
mod discovery;
mod mdns;
mod ntp;
mod ping;
mod resolver;
mod service;

pub(crate) use caller::{Caller, Habit, Target, Visit};
pub(crate) use dhcp::DhcpServer;
pub(crate) use discovery::Discovery;
pub(crate) use mdns::Mdns;
pub(crate) use ntp::{NtpClient, NtpServer};
pub(crate) use ping::Ping;
pub(crate) use resolver::Resolver;
pub(crate) use service::Service;

use std::net::Ipv4Addr;

use smoltcp::iface::{Interface, SocketHandle, SocketSet};
use smoltcp::socket::udp;
use smoltcp::wire::EthernetAddress;

use super::chance::Chance;
use super::port::Port;
use crate::time::Timestamp;

/// A program of a station.
pub(crate) trait App: Send {
    /// Does what is due. Called whenever anything happened on the station; the answer is when it wants to be called at
    /// the latest, if it waits for a time.
    fn run(&mut self, host: &mut Host<'_>) -> Option<Timestamp>;
}

/// What a program sees of its station.
pub(crate) struct Host<'a> {
    /// The simulated time.
    pub(crate) now: Timestamp,
    /// The station's Ethernet address.
    pub(crate) mac: EthernetAddress,
    /// The stack.
    pub(crate) interface: &'a mut Interface,
    /// The stack's sockets.
    pub(crate) sockets: &'a mut SocketSet<'static>,
    /// The station's own chance.
    pub(crate) chance: &'a mut Chance,
    /// The card, for frames past the stack.
    pub(crate) port: &'a mut Port,
}

impl Host<'_> {
    /// The station's IPv4 address, once it has one.
    pub(crate) fn address(&self) -> Option<Ipv4Addr> {
        self.interface.ipv4_addr()
    }

    /// Opens a UDP socket with room for 8 datagrams each way; more are dropped.
    pub(crate) fn open_udp(&mut self, port: u16) -> SocketHandle {
        let buffer = || udp::PacketBuffer::new(vec![udp::PacketMetadata::EMPTY; 8], vec![0; 8 * 600]);
        let mut socket = udp::Socket::new(buffer(), buffer());
        // Only port 0 and an open socket can fail.
        let _ = socket.bind(port);
        self.sockets.add(socket)
    }
}

/// The earlier of two times, where there is one.
pub(crate) fn earliest(a: Option<Timestamp>, b: Option<Timestamp>) -> Option<Timestamp> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}
