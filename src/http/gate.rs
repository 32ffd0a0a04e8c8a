//! The public listener: admits at most so many connections, reads one whole request from each within its limits of
//! size and time, hands it to tiny_http over a private Unix socket, and carries the reply back.
//!
//! It answers by itself only what is no acceptable request, and knows no route. It exists because tiny_http 0.12 on a
//! public socket can be stopped by anyone who reaches it: see `head`, and its accept thread ends on an early reset or
//! when descriptors run out. One request per connection: the page and a scraper ask every few seconds, and a
//! connection that is kept open is a seat taken. Only what the router has made a live stream stays, on a seat of
//! another kind.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use socket2::{Domain, Protocol, Socket, Type};

use super::door::Door;
use super::head::{self, Head, MAX_HEAD, Refusal};
use super::reply;
use super::seats::{Guest, Seat, Seats, Stage};
use super::server::{Counters, Event, HttpError, Server};
use super::stream::{StreamLimits, Streams};
use crate::sys::clock::Stopwatch;
use crate::sys::{Resources, descriptor_limit, is_out_of_descriptors};
use crate::time::Span;

/// What the gate grants.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Connections open at once; for one more, one that nobody works for has to go, or it is answered 503 itself.
    pub(super) connections: usize,
    /// Time for a whole request to arrive.
    pub(super) request: Span,
    /// Time for a reply to be taken, and for each further [`STRETCH`] of a long one.
    pub(super) reply: Span,
    /// Live streams, which are none of those connections.
    pub(super) stream: StreamLimits,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 32,
            request: Span::from_secs(10),
            reply: Span::from_secs(20),
            stream: StreamLimits::default(),
        }
    }
}

impl Limits {
    /// Fewer connections where the process may not have the descriptors for all of them.
    pub(super) fn within_descriptors(mut self) -> Self {
        // A system without /proc does not say; then running out of them is met when it happens.
        if let (Ok(limit), Ok(used)) = (descriptor_limit(), Resources::read().map(|now| now.descriptors)) {
            let free = usize::try_from(limit.saturating_sub(used)).unwrap_or(usize::MAX);
            let seats = free.saturating_sub(OTHERS + self.stream.streams) / PER_CONNECTION;
            self.connections = self.connections.min(seats).max(FEWEST);
        }
        self
    }
}

/// Descriptors of a connection that is being answered: its own, ours to tiny_http, and two of tiny_http.
const PER_CONNECTION: usize = 4;
/// Descriptors left to the rest of the daemon.
const OTHERS: usize = 24;
/// Fewest connections, whatever the limit on descriptors.
const FEWEST: usize = 4;

/// Longest wait in one system call, after which a stop is noticed.
const BEAT: Span = Span::from_millis(250);
/// Bytes of a reply after which its time begins anew, because an export may be long: 26 kB/s at the least.
const STRETCH: usize = 512 << 10;
/// Wait for the beginning of an answer after which one that keeps a worker gives way.
const TURN: Span = Span::from_secs(1);
/// Pause before another look for free descriptors.
const MOMENT: Span = Span::from_millis(5);
/// A connection's thread holds a few small buffers.
const STACK: usize = 256 << 10;

/// What all connections share.
pub(super) struct Gate {
    pub(super) limits: Limits,
    /// Where tiny_http listens; another one after it died and was replaced.
    pub(super) door: Mutex<Arc<Door>>,
    pub(super) counters: Arc<Counters>,
    pub(super) stop: Arc<AtomicBool>,
    pub(super) events: SyncSender<Event>,
    pub(super) seats: Arc<Seats>,
    pub(super) streams: Streams,
}

impl Gate {
    /// The present way to tiny_http.
    pub(super) fn door(&self) -> Arc<Door> {
        Arc::clone(&self.door.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Shows another way.
    pub(super) fn set_door(&self, door: Arc<Door>) {
        *self.door.lock().unwrap_or_else(PoisonError::into_inner) = door;
    }
}

/// Connections that the kernel holds until they are accepted. One that finds no room tries again after a second.
const BACKLOG: i32 = 512;

/// Binds the public address. Accepting waits at most a [`BEAT`]; accepted connections inherit that.
pub(super) fn bind(address: SocketAddr) -> Result<TcpListener, HttpError> {
    let listen = || {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        socket.set_read_timeout(Some(BEAT.to_std()))?;
        socket.set_write_timeout(Some(BEAT.to_std()))?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        Ok(TcpListener::from(socket))
    };
    listen().map_err(|source: io::Error| match source.kind() {
        ErrorKind::AddrInUse => HttpError::Busy { address, source },
        ErrorKind::PermissionDenied => HttpError::Denied { address, source },
        ErrorKind::AddrNotAvailable => HttpError::NoSuchAddress { address, source },
        _ => HttpError::Listen { address, source },
    })
}

/// Accepts until it is told to stop. `seat` is cloned into each connection's thread, so that a stop can wait for all.
pub(super) fn run(gate: &Arc<Gate>, listener: &TcpListener, seat: &SyncSender<()>) {
    while !gate.stop.load(Ordering::Relaxed) {
        match listener.accept() {
            Ok((client, peer)) => receive(gate, Guest::new(client, peer.ip()), seat),
            Err(error) if is_timeout(error.kind()) => {}
            Err(error) => {
                gate.counters.refused.fetch_add(1, Ordering::Relaxed);
                if !(is_out_of_descriptors(&error) && gate.seats.make_room()) {
                    thread::park_timeout(BEAT.to_std());
                }
            }
        }
    }
}

/// Lets a connection in, unless it would take the last descriptors: who is in could not be answered then.
fn receive(gate: &Arc<Gate>, guest: Guest, done: &SyncSender<()>) {
    while spare(&guest.client, PER_CONNECTION).is_err() {
        if !gate.seats.make_room() {
            return refuse(gate, &guest, Refusal::Busy);
        }
    }
    admit(gate, guest, done);
}

fn admit(gate: &Arc<Gate>, guest: Guest, done: &SyncSender<()>) {
    let (seat, guest) = match Seats::take(&gate.seats, guest) {
        Ok(seated) => seated,
        Err(guest) => return refuse(gate, &guest, Refusal::Busy),
    };
    let (gate_there, done) = (Arc::clone(gate), done.clone());
    let visit = move || {
        visit(&gate_there, seat, guest);
        drop(done);
    };
    if thread::Builder::new().name("http-visit".to_owned()).stack_size(STACK).spawn(visit).is_err() {
        gate.counters.refused.fetch_add(1, Ordering::Relaxed);
    }
}

/// Why there is no request to hand on.
enum NoRequest {
    /// The client has gone, or the daemon stops: nobody waits for an answer.
    Gone,
    /// The client is told why.
    Refused(Refusal),
}

impl From<Refusal> for NoRequest {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

#[expect(clippy::needless_pass_by_value, reason = "the connection ends here, before its seat is given back")]
fn visit(gate: &Gate, seat: Seat, guest: Arc<Guest>) {
    let asked = match read_request(gate, &guest.client) {
        Ok(asked) => asked,
        Err(NoRequest::Gone) => return,
        Err(NoRequest::Refused(refusal)) => {
            if guest.enter(Stage::Served) {
                refuse(gate, &guest, refusal);
            }
            if guest.enter(Stage::Lingering) {
                drain(&guest.client);
            }
            return;
        }
    };
    if !guest.enter(Stage::Served) {
        return;
    }
    let Some(inner) = knock(gate) else {
        // A full queue means that the server was told already.
        drop(gate.events.try_send(Event::SocketDead));
        return refuse(gate, &guest, Refusal::Restarting);
    };
    let Some(agreed) = relay(gate, &guest, &inner, &asked.request) else { return };
    drop(inner);
    let Some(place) = gate.streams.take(guest.host) else { return refuse(gate, &guest, Refusal::Streams) };
    if send(gate, &guest, &Stopwatch::start(), &agreed).is_ok() {
        drop(seat);
        place.run(&guest.client, asked.rest);
    }
}

/// A way to tiny_http; none where it is dead. Where descriptors have run out, connections that nobody works for go.
fn knock(gate: &Gate) -> Option<UnixStream> {
    let clock = Stopwatch::start();
    loop {
        match knock_once(&gate.door()) {
            Ok(inner) => return Some(inner),
            Err(error) if is_out_of_descriptors(&error) && clock.elapsed() < gate.limits.request => {
                if !gate.seats.make_room() {
                    thread::park_timeout(MOMENT.to_std());
                }
            }
            Err(_) => return None,
        }
    }
}

/// A way to tiny_http, where it will have the descriptors that it needs: it would not survive to be without.
pub(super) fn knock_once(door: &Door) -> io::Result<UnixStream> {
    spare(door, PER_CONNECTION - 1)?;
    door.open()
}

/// Whether so many descriptors are free.
fn spare(any: &impl AsFd, count: usize) -> io::Result<()> {
    (0..count).map(|_| any.as_fd().try_clone_to_owned()).collect::<io::Result<Vec<_>>>().map(drop)
}

/// What a client sent.
struct Asked {
    /// Head and body, as they go on.
    request: Vec<u8>,
    /// What it sent behind them.
    rest: Vec<u8>,
}

fn read_request(gate: &Gate, client: &TcpStream) -> Result<Asked, NoRequest> {
    let clock = Stopwatch::start();
    let mut bytes = Vec::with_capacity(1024);
    let Head { mut forward, length, body, expects_continue } = loop {
        if let Some(head) = head::parse(&bytes)? {
            break head;
        }
        read_more(gate, client, &clock, (&mut bytes, MAX_HEAD))?;
    };
    if expects_continue && bytes.len() < length + body {
        let leave = b"HTTP/1.1 100 Continue\r\n\r\n";
        write_all(gate, client, &clock, leave, |_| true).map_err(|_| NoRequest::Gone)?;
    }
    while bytes.len() < length + body {
        read_more(gate, client, &clock, (&mut bytes, length + body))?;
    }
    let rest = bytes.split_off(length + body);
    forward.extend_from_slice(&bytes[length..]);
    Ok(Asked { request: forward, rest })
}

/// Reads once, up to a total of `limit`.
fn read_more(
    gate: &Gate,
    mut client: &TcpStream,
    clock: &Stopwatch,
    (bytes, limit): (&mut Vec<u8>, usize),
) -> Result<(), NoRequest> {
    let mut chunk = [0_u8; 2048];
    let room = limit.saturating_sub(bytes.len()).min(chunk.len());
    loop {
        if gate.stop.load(Ordering::Relaxed) {
            return Err(NoRequest::Gone);
        }
        if clock.elapsed() >= gate.limits.request {
            return Err(if bytes.is_empty() { NoRequest::Gone } else { Refusal::Late.into() });
        }
        match client.read(&mut chunk[..room]) {
            Ok(0) => return Err(NoRequest::Gone),
            Ok(read) => {
                bytes.extend_from_slice(&chunk[..read]);
                return Ok(());
            }
            Err(error) if is_timeout(error.kind()) || error.kind() == ErrorKind::Interrupted => {}
            Err(_) => return Err(NoRequest::Gone),
        }
    }
}

/// Carries the request in and the reply out. A client that goes or does not read gets no more. Gives the head of a
/// reply that makes the connection a stream, and has not sent it.
fn relay(gate: &Gate, guest: &Guest, mut inner: &UnixStream, request: &[u8]) -> Option<Vec<u8>> {
    let (mut clock, mut taken) = (Stopwatch::start(), 0);
    let write = inner.set_write_timeout(Some(gate.limits.reply.to_std()));
    if write.and(inner.set_read_timeout(Some(TURN.to_std()))).is_err() {
        return None;
    }
    if inner.write_all(request).is_err() {
        refuse(gate, guest, Refusal::Restarting);
        return None;
    }
    let mut chunk = [0_u8; 8192];
    let mut start = Some(Vec::with_capacity(chunk.len()));
    let mut heard = Stopwatch::start();
    loop {
        let read = match inner.read(&mut chunk) {
            Ok(read @ 1..) => read,
            Err(error) if is_timeout(error.kind()) && heard.elapsed() < gate.limits.reply => {
                // The beginning has not come: perhaps because no worker has had the time.
                if start.is_some() && gate.counters.busy.load(Ordering::Relaxed) >= Server::WORKERS {
                    gate.seats.free_a_worker();
                }
                continue;
            }
            _ => break,
        };
        heard = Stopwatch::start();
        let sent = match &mut start {
            None => send(gate, guest, &clock, &chunk[..read]),
            Some(begun) => {
                begun.extend_from_slice(&chunk[..read]);
                if !name_the_end(begun) {
                    continue;
                }
                clock = Stopwatch::start();
                let sent = send(gate, guest, &clock, begun);
                start = None;
                sent
            }
        };
        if sent.is_err() {
            return None;
        }
        taken += read;
        if taken >= STRETCH {
            (clock, taken) = (Stopwatch::start(), 0);
        }
    }
    match start {
        Some(head) if head.starts_with(SWITCHES) => return Some(head),
        // A worker that died of a panic leaves an empty reply.
        Some(_) => refuse(gate, guest, Refusal::Restarting),
        None => drop(guest.client.shutdown(Shutdown::Write)),
    }
    None
}

const SWITCHES: &[u8] = b"HTTP/1.1 101 ";

/// Says that the connection ends with this reply, behind its first line; tiny_http does not let the router say it.
/// False where that line is not whole, or says that the connection goes on.
fn name_the_end(reply: &mut Vec<u8>) -> bool {
    let Some(end) = reply.windows(2).position(|w| w == b"\r\n") else { return false };
    if reply.starts_with(SWITCHES) {
        return false;
    }
    let line: &[u8] = if reply.get(8..13) == Some(b" 426 ") {
        b"\r\nUpgrade: websocket\r\nConnection: upgrade, close"
    } else {
        b"\r\nConnection: close"
    };
    reply.splice(end..end, line.iter().copied());
    true
}

fn refuse(gate: &Gate, guest: &Guest, refusal: Refusal) {
    gate.counters.refused.fetch_add(1, Ordering::Relaxed);
    // A client that does not even read this is of no interest.
    drop(send(gate, guest, &Stopwatch::start(), &reply::refusal(refusal)));
    drop(guest.client.shutdown(Shutdown::Write));
}

/// Reads what the client still sends for a moment: closing with unread bytes would reset the connection, and the
/// refusal would be lost with it.
fn drain(mut client: &TcpStream) {
    let mut chunk = [0_u8; 4096];
    for _ in 0..32 {
        if !matches!(client.read(&mut chunk), Ok(1..)) {
            return;
        }
    }
}

/// Writes a part of an answer. While the client does not take it, the client may be dismissed.
fn send(gate: &Gate, guest: &Guest, clock: &Stopwatch, bytes: &[u8]) -> io::Result<()> {
    let stage = |taken| guest.enter(if taken { Stage::Taking } else { Stage::Lingering });
    write_all(gate, &guest.client, clock, bytes, stage)
}

/// Writes everything before the reply's time is up, and notices a stop in between. After each try it tells whether
/// something was taken, and goes on while the answer is true.
fn write_all(
    gate: &Gate,
    mut client: &TcpStream,
    clock: &Stopwatch,
    mut bytes: &[u8],
    goes_on: impl Fn(bool) -> bool,
) -> io::Result<()> {
    while !bytes.is_empty() {
        let taken = match client.write(bytes) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(sent) => {
                bytes = &bytes[sent..];
                true
            }
            Err(error) if is_timeout(error.kind()) && !gate.stop.load(Ordering::Relaxed) => false,
            Err(error) if error.kind() == ErrorKind::Interrupted => true,
            Err(error) => return Err(error),
        };
        if clock.elapsed() >= gate.limits.reply || !goes_on(taken) {
            return Err(ErrorKind::TimedOut.into());
        }
    }
    Ok(())
}

const fn is_timeout(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::WouldBlock | ErrorKind::TimedOut)
}
