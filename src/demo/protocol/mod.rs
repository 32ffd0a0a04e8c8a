//! What the programs say to each other, as bytes: one file for each protocol, client and server. No sockets here.

pub(crate) mod dns;
mod modbus;
mod mqtt;
mod tls;
mod web;

pub(crate) use modbus::{Controller, Poll};
pub(crate) use mqtt::{Broker, Telemetry};
pub(crate) use tls::{Exchange, Tls, TlsServer};
pub(crate) use web::{Fetch, Print, Sink, WebServer};

use super::chance::Chance;
use crate::time::Span;

/// What a client does next.
pub(crate) enum Move {
    /// Sends, and goes on when that many bytes came back.
    Send {
        /// What it says.
        bytes: Vec<u8>,
        /// Length of the whole answer.
        expect: usize,
    },
    /// Thinks.
    Wait(Span),
    /// Has said everything.
    Close,
}

/// The client's side of a conversation over TCP.
pub(crate) trait Dialogue: Send {
    /// Asked when the last move is done.
    fn next(&mut self, chance: &mut Chance) -> Move;
}

/// The server's side of one.
pub(crate) trait Responder: Send {
    /// Takes whole requests from the front of `request` and appends the answers to `answer`; the rest stays.
    fn handle(&mut self, request: &mut Vec<u8>, answer: &mut Vec<u8>, chance: &mut Chance);
}

/// The length of something as a 16-bit field; what is longer does not occur here.
fn length(count: usize) -> [u8; 2] {
    u16::try_from(count).unwrap_or(u16::MAX).to_be_bytes()
}
