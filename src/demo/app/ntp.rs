//! Time service over NTP (RFC 5905): the client of every device, and the server outside.

use std::net::Ipv4Addr;

use smoltcp::iface::SocketHandle;
use smoltcp::socket::udp;
use smoltcp::wire::IpAddress;

use super::{App, Host};
use crate::time::{Span, Timestamp};

const PORT: u16 = 123;
const LENGTH: usize = 48;

/// Leap indicator 0, version 4, mode 3 (client) and 4 (server).
const CLIENT: u8 = 0x23;
const SERVER: u8 = 0x24;

/// Seconds from 1900 to 1970.
const ERA: i64 = 2_208_988_800;

/// Asks a server for the time every 64 to 1,024 seconds.
pub(crate) struct NtpClient {
    server: Ipv4Addr,
    every: Span,
    due: Option<Timestamp>,
    socket: Option<SocketHandle>,
}

impl NtpClient {
    pub(crate) fn new(server: Ipv4Addr, every: Span) -> Self {
        Self { server, every, due: None, socket: None }
    }
}

impl App for NtpClient {
    fn run(&mut self, host: &mut Host<'_>) -> Option<Timestamp> {
        host.address()?;
        let handle = *self.socket.get_or_insert_with(|| host.open_udp(PORT));
        let socket = host.sockets.get_mut::<udp::Socket<'static>>(handle);
        while socket.recv().is_ok() {}
        let due = *self
            .due
            .get_or_insert_with(|| host.now + host.chance.span((Span::from_secs(1), Span::from_secs(15))));
        if due <= host.now {
            let mut message = [0; LENGTH];
            message[0] = CLIENT;
            message[2] = 6;
            message[40..48].copy_from_slice(&stamp(host.now));
            // A lost question is asked again at the next turn.
            let _ = socket.send_slice(&message, (IpAddress::Ipv4(self.server), PORT));
            self.due = Some(host.now + self.every + host.chance.span((Span::ZERO, Span::from_secs(2))));
        }
        self.due
    }
}

/// Answers whoever asks, under whatever address.
pub(crate) struct NtpServer {
    socket: Option<SocketHandle>,
}

impl NtpServer {
    pub(crate) fn new() -> Self {
        Self { socket: None }
    }
}

impl App for NtpServer {
    fn run(&mut self, host: &mut Host<'_>) -> Option<Timestamp> {
        let handle = *self.socket.get_or_insert_with(|| host.open_udp(PORT));
        let socket = host.sockets.get_mut::<udp::Socket<'static>>(handle);
        while let Ok((question, from)) = socket.recv() {
            let Some(origin) = question.get(40..48).and_then(|bytes| <[u8; 8]>::try_from(bytes).ok()) else {
                continue;
            };
            let mut message = [0; LENGTH];
            message[..4].copy_from_slice(&[SERVER, 2, 6, 0xe8]);
            message[12..16].copy_from_slice(&[192, 0, 2, 1]);
            message[16..24].copy_from_slice(&stamp(host.now - Span::from_secs(30)));
            message[24..32].copy_from_slice(&origin);
            message[32..40].copy_from_slice(&stamp(host.now));
            message[40..48].copy_from_slice(&stamp(host.now));
            let _ = socket.send_slice(&message, from);
        }
        None
    }
}

/// Seconds since 1900 modulo 2^32, and the fraction in units of 2^-32 s.
fn stamp(time: Timestamp) -> [u8; 8] {
    let nanos = time.as_nanos();
    let seconds = nanos.div_euclid(1_000_000_000).saturating_add(ERA).rem_euclid(1 << 32);
    let fraction = (nanos.rem_euclid(1_000_000_000) << 32) / 1_000_000_000;
    ((seconds << 32) | fraction).to_be_bytes()
}
