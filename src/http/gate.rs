//! The public listener: admits at most so many connections, reads one whole request from each within its limits of
//! size and time, hands it to tiny_http over a private Unix socket, and carries the reply back.
//!
//! It answers by itself only what is no acceptable request, and knows no route. It exists because tiny_http 0.12 on a
//! public socket can be stopped by anyone who reaches it: see `head`, and its accept thread ends on an early reset or
//! when descriptors run out. One request per connection: the page and a scraper ask every few seconds, and a
//! connection that is kept open is a seat taken.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use socket2::{Domain, Protocol, Socket, Type};

use super::door::Door;
use super::head::{self, Head, MAX_HEAD, Refusal};
use super::reply;
use super::server::{Counters, Event, HttpError};
use crate::sys::clock::Stopwatch;
use crate::time::Span;

/// What the gate grants.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Connections open at once; one more is answered 503.
    pub(super) connections: usize,
    /// Time for a whole request to arrive.
    pub(super) request: Span,
    /// Time for a reply to be taken, and for each further [`STRETCH`] of a long one.
    pub(super) reply: Span,
}

impl Default for Limits {
    fn default() -> Self {
        Self { connections: 32, request: Span::from_secs(10), reply: Span::from_secs(20) }
    }
}

/// Longest wait in one system call, after which a stop is noticed.
const BEAT: Span = Span::from_millis(250);
/// Bytes of a reply after which its time begins anew, because an export may be long: 26 kB/s at the least.
const STRETCH: usize = 512 << 10;
/// A connection's thread holds a few small buffers.
const STACK: usize = 256 << 10;

/// What all connections share.
#[derive(Debug)]
pub(super) struct Gate {
    pub(super) limits: Limits,
    /// Where tiny_http listens; another one after it died and was replaced.
    pub(super) door: Mutex<Arc<Door>>,
    pub(super) counters: Arc<Counters>,
    pub(super) stop: Arc<AtomicBool>,
    pub(super) events: SyncSender<Event>,
    pub(super) open: AtomicUsize,
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

/// Binds the public address. Accepting waits at most a [`BEAT`]; accepted connections inherit that.
pub(super) fn bind(address: SocketAddr) -> Result<TcpListener, HttpError> {
    let listen = || {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        socket.set_read_timeout(Some(BEAT.to_std()))?;
        socket.set_write_timeout(Some(BEAT.to_std()))?;
        socket.bind(&address.into())?;
        socket.listen(64)?;
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
            Ok((client, _)) => admit(gate, client, seat),
            Err(error) if is_timeout(error.kind()) => {}
            Err(_) => {
                // Descriptors have run out, or the peer has gone: the next try may do.
                gate.counters.refused.fetch_add(1, Ordering::Relaxed);
                thread::park_timeout(BEAT.to_std());
            }
        }
    }
}

fn admit(gate: &Arc<Gate>, client: TcpStream, done: &SyncSender<()>) {
    let seat = Seat(Arc::clone(gate));
    if gate.open.fetch_add(1, Ordering::Relaxed) >= gate.limits.connections {
        refuse(gate, &client, Refusal::Busy);
        return;
    }
    let done = done.clone();
    let visit = move || {
        visit(&seat.0, &client);
        drop((seat, done));
    };
    if thread::Builder::new().name("http-visit".to_owned()).stack_size(STACK).spawn(visit).is_err() {
        gate.counters.refused.fetch_add(1, Ordering::Relaxed);
    }
}

/// One of the connections that may be open; given back when dropped.
struct Seat(Arc<Gate>);

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
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

fn visit(gate: &Gate, client: &TcpStream) {
    let request = match read_request(gate, client) {
        Ok(request) => request,
        Err(NoRequest::Gone) => return,
        Err(NoRequest::Refused(refusal)) => {
            refuse(gate, client, refusal);
            drain(client);
            return;
        }
    };
    match gate.door().open() {
        Ok(inner) => relay(gate, client, &inner, &request),
        Err(_) => {
            // A full queue means that the server was told already.
            drop(gate.events.try_send(Event::SocketDead));
            refuse(gate, client, Refusal::Restarting);
        }
    }
}

/// Head and body, as they go on.
fn read_request(gate: &Gate, client: &TcpStream) -> Result<Vec<u8>, NoRequest> {
    let clock = Stopwatch::start();
    let mut bytes = Vec::with_capacity(1024);
    let Head { mut forward, length, body, expects_continue } = loop {
        if let Some(head) = head::parse(&bytes)? {
            break head;
        }
        read_more(gate, client, &clock, (&mut bytes, MAX_HEAD))?;
    };
    if expects_continue && bytes.len() < length + body {
        send(gate, client, &clock, b"HTTP/1.1 100 Continue\r\n\r\n").map_err(|_| NoRequest::Gone)?;
    }
    while bytes.len() < length + body {
        read_more(gate, client, &clock, (&mut bytes, length + body))?;
    }
    forward.extend_from_slice(&bytes[length..length + body]);
    Ok(forward)
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

/// Carries the request in and the reply out, with `Connection: close` put behind its first line. A client that goes
/// or does not read gets no more.
fn relay(gate: &Gate, client: &TcpStream, mut inner: &UnixStream, request: &[u8]) {
    let (mut clock, mut taken) = (Stopwatch::start(), 0);
    let patience = Some(gate.limits.reply.to_std());
    if inner.set_read_timeout(patience).is_err() || inner.set_write_timeout(patience).is_err() {
        return;
    }
    if inner.write_all(request).is_err() {
        return refuse(gate, client, Refusal::Restarting);
    }
    let mut chunk = [0_u8; 8192];
    let mut first_line = Some(Vec::with_capacity(chunk.len()));
    while let Ok(read @ 1..) = inner.read(&mut chunk) {
        let sent = match &mut first_line {
            None => send(gate, client, &clock, &chunk[..read]),
            Some(start) => {
                start.extend_from_slice(&chunk[..read]);
                let Some(end) = start.windows(2).position(|w| w == b"\r\n") else { continue };
                start.splice(end..end, *b"\r\nConnection: close");
                let sent = send(gate, client, &clock, start);
                first_line = None;
                sent
            }
        };
        if sent.is_err() {
            return;
        }
        taken += read;
        if taken >= STRETCH {
            (clock, taken) = (Stopwatch::start(), 0);
        }
    }
    // A worker that died of a panic leaves an empty reply.
    if first_line.is_some() {
        refuse(gate, client, Refusal::Restarting);
    }
    drop(client.shutdown(Shutdown::Write));
}

fn refuse(gate: &Gate, client: &TcpStream, refusal: Refusal) {
    gate.counters.refused.fetch_add(1, Ordering::Relaxed);
    // A client that does not even read this is of no interest.
    drop(send(gate, client, &Stopwatch::start(), &reply::refusal(refusal)));
    drop(client.shutdown(Shutdown::Write));
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

/// Writes everything before the reply's time is up, and notices a stop in between.
fn send(gate: &Gate, mut client: &TcpStream, clock: &Stopwatch, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match client.write(bytes) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(sent) => bytes = &bytes[sent..],
            Err(error) if is_timeout(error.kind()) && !gate.stop.load(Ordering::Relaxed) => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        if clock.elapsed() >= gate.limits.reply {
            return Err(ErrorKind::TimedOut.into());
        }
    }
    Ok(())
}

const fn is_timeout(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::WouldBlock | ErrorKind::TimedOut)
}
