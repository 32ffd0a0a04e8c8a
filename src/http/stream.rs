//! [`Streams`]: live statistics and alerts over WebSockets (RFC 6455), each on the thread of its connection.
//!
//! The router has agreed to the handshake before, and tiny_http has no part in what follows: the socket is the
//! gate's, and one thread both listens and tells. Nothing a client sends is taken. What it does not take waits in
//! bounded queues: one message here, some in the socket, alerts in the feed's queue, which counts what gives way.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use tungstenite::handshake::derive_accept_key;
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tungstenite::{Bytes, Error, Message, WebSocket};

use super::reply::Reply;
use super::router::Router;
use super::seats::Host;
use super::server::Counters;
use super::view::Statistics;
use crate::control::wire::AlertRecord;
use crate::control::{AlertFeed, Listener, News};
use crate::sys::clock::Stopwatch;
use crate::time::Span;

/// What streams are granted.
#[derive(Clone, Copy, Debug)]
pub(super) struct StreamLimits {
    /// Streams open at once; for one more, one of a host that has more of them ends, or it is answered 503.
    pub(super) streams: usize,
    /// Time between two pings. A client from which nothing came, or that took nothing, for two of these is dropped.
    pub(super) ping: Span,
}

impl Default for StreamLimits {
    fn default() -> Self {
        Self { streams: 8, ping: Span::from_secs(15) }
    }
}

/// Time between two statistics.
const STATISTICS: Span = Span::from_secs(1);
/// Longest wait for an alert, after which the socket is looked at and a stop is noticed.
const BEAT: Span = Span::from_millis(100);
/// The same while a client is behind with reading.
const SHORT_BEAT: Span = Span::from_millis(20);
/// Time for the client's part of a close.
const FAREWELL: Span = Span::from_millis(500);
/// Frames read before something is told again.
const FRAMES: usize = 16;
/// Bytes read before something is told again: of a message in pieces, tungstenite reads on for as long as any come.
const RATION: usize = 16 << 10;
/// Largest message of a client, in bytes.
const MAX_INCOMING: usize = 32 << 10;
/// Largest that waits here to be taken: a message of ours and what the protocol adds. A kept alert is smaller.
const MAX_OUTGOING: usize = 512 << 10;
/// The socket's own buffer in bytes, of which the kernel makes twice as much.
const SOCKET_BUFFER: usize = 64 << 10;

/// All streams of the server.
pub(super) struct Streams {
    limits: StreamLimits,
    feed: Arc<AlertFeed>,
    router: Arc<Router>,
    counters: Arc<Counters>,
    stop: Arc<AtomicBool>,
    /// Oldest first.
    open: Mutex<Vec<Arc<Taker>>>,
}

/// Who has a place.
struct Taker {
    host: Host,
    /// Another one has it by now.
    gave_way: AtomicBool,
}

/// One of the streams that may be open; given back when dropped.
pub(super) struct Place<'a> {
    streams: &'a Streams,
    taker: Arc<Taker>,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.streams.table().retain(|taker| !Arc::ptr_eq(taker, &self.taker));
    }
}

/// The socket, of which one round reads no more than its ration.
struct Rationed<'a> {
    client: &'a TcpStream,
    left: usize,
}

impl Read for Rationed<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 {
            return Err(ErrorKind::WouldBlock.into());
        }
        let room = bytes.len().min(self.left);
        let read = self.client.read(&mut bytes[..room])?;
        self.left -= read;
        Ok(read)
    }
}

impl Write for Rationed<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.client.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.client.flush()
    }
}

/// A message, told apart by its `type`.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Telling<'a> {
    Statistics(Box<Statistics>),
    Alert(&'a AlertRecord),
    /// So many alerts are missing here.
    Lost {
        alerts: u64,
    },
}

/// Why a stream is over.
enum End {
    /// The client left in order, or its connection broke.
    Left,
    /// The client does not answer, or does not read.
    Unheard,
    /// We close it, and say why.
    Closed(CloseCode, &'static str),
}

impl From<Error> for End {
    fn from(error: Error) -> Self {
        match error {
            Error::Capacity(_) => Self::Closed(CloseCode::Size, "a message has at most 32 KiB here"),
            Error::Protocol(_) | Error::AttackAttempt => {
                Self::Closed(CloseCode::Protocol, "this is no WebSocket frame")
            }
            Error::Utf8(_) => Self::Closed(CloseCode::Invalid, "this is not UTF-8"),
            _ => Self::Left,
        }
    }
}

/// The server's word on a handshake: what goes into `Sec-WebSocket-Accept`, or the refusal.
pub(super) fn agree(upgrade: &str, version: &str, key: &str) -> Result<String, Reply> {
    if !upgrade.eq_ignore_ascii_case("websocket") || version != "13" {
        let problem = Reply::problem(426, "this is a WebSocket of version 13; ask for it with Upgrade");
        return Err(problem.with("Sec-WebSocket-Version", "13"));
    }
    // 16 bytes in base 64.
    let digits = key.strip_suffix("==").filter(|digits| digits.len() == 22);
    if !digits.is_some_and(|d| d.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'+' || b == b'/')) {
        return Err(Reply::problem(400, "Sec-WebSocket-Key is not 16 bytes in base 64"));
    }
    Ok(derive_accept_key(key.as_bytes()))
}

impl Streams {
    pub(super) fn new(
        limits: StreamLimits,
        feed: Arc<AlertFeed>,
        router: Arc<Router>,
        stop: Arc<AtomicBool>,
    ) -> Self {
        let counters = Arc::clone(router.counters());
        Self { limits, feed, router, counters, stop, open: Mutex::default() }
    }

    /// A place for a stream. While all are taken, the oldest of that network or address which has the most gives way
    /// to one that would still have fewer; none otherwise. Who gives way ends within a moment.
    pub(super) fn take(&self, host: Host) -> Option<Place<'_>> {
        let mut table = self.table();
        if table.len() >= self.limits.streams {
            let share = |host: Host| host.share(table.iter().map(|taker| &taker.host));
            // Of equal ones `max_by_key` has the last.
            let (at, most) = table.iter().enumerate().rev().max_by_key(|(_, taker)| share(taker.host))?;
            let (theirs, own) = (share(most.host), share(host));
            if theirs.0 <= own.0 + 1 && !(host.is_beside(most.host) && theirs.1 > own.1 + 1) {
                return None;
            }
            table.remove(at).gave_way.store(true, Ordering::Relaxed);
        }
        let taker = Arc::new(Taker { host, gave_way: AtomicBool::new(false) });
        table.push(Arc::clone(&taker));
        Some(Place { streams: self, taker })
    }

    /// Streams open now.
    pub(super) fn open(&self) -> usize {
        self.table().len()
    }

    fn table(&self) -> MutexGuard<'_, Vec<Arc<Taker>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Alerts that streams were too slow for.
    pub(super) fn lost(&self) -> u64 {
        self.feed.lost()
    }
}

impl Place<'_> {
    /// Tells until the client leaves or the server stops. `rest` is what came after the request already.
    pub(super) fn run(self, client: &TcpStream, rest: Vec<u8>) {
        let streams = self.streams;
        // Without these it would still work, with more of the kernel's memory and a little later.
        drop(socket2::SockRef::from(client).set_send_buffer_size(SOCKET_BUFFER));
        drop(client.set_nodelay(true));
        if client.set_nonblocking(true).is_err() {
            return;
        }
        let mut session = Session::begin(streams, client, rest);
        let end = loop {
            if self.taker.gave_way.load(Ordering::Relaxed) {
                break End::Closed(CloseCode::Again, "another one has this place now");
            }
            match session.round() {
                Ok(beat) => session.listener.wait(beat),
                Err(end) => break end,
            }
        };
        match end {
            End::Left => {}
            End::Unheard => drop(streams.counters.streams_dropped.fetch_add(1, Ordering::Relaxed)),
            End::Closed(code, reason) => session.close(code, reason),
        }
    }
}

/// A stream under way.
struct Session<'a> {
    streams: &'a Streams,
    socket: WebSocket<Rationed<'a>>,
    listener: Listener,
    /// Since the latest statistics; none before the first.
    told: Option<Stopwatch>,
    /// Since the latest frame of the client.
    heard: Stopwatch,
    pinged: Stopwatch,
    /// Since the client has been behind with reading.
    behind: Option<Stopwatch>,
}

impl<'a> Session<'a> {
    fn begin(streams: &'a Streams, client: &'a TcpStream, rest: Vec<u8>) -> Self {
        let config = WebSocketConfig::default()
            .read_buffer_size(4 << 10)
            .write_buffer_size(0)
            .max_write_buffer_size(MAX_OUTGOING)
            .max_message_size(Some(MAX_INCOMING))
            .max_frame_size(Some(MAX_INCOMING));
        Self {
            streams,
            socket: WebSocket::from_partially_read(
                Rationed { client, left: RATION },
                rest,
                Role::Server,
                Some(config),
            ),
            listener: streams.feed.listen(),
            told: None,
            heard: Stopwatch::start(),
            pinged: Stopwatch::start(),
            behind: None,
        }
    }

    /// Hears what the client sent and tells what there is to tell. Gives the time for which it may wait for news.
    fn round(&mut self) -> Result<Span, End> {
        if self.streams.stop.load(Ordering::Relaxed) {
            return Err(End::Closed(CloseCode::Away, "the daemon is stopping"));
        }
        self.hear()?;
        let patience = self.streams.limits.ping + self.streams.limits.ping;
        let stuck = self.behind.is_some_and(|since| since.elapsed() > patience);
        if stuck || self.heard.elapsed() > patience {
            return Err(End::Unheard);
        }
        // One at a time: what the client has not taken is all that waits here.
        while self.flush()? {
            let Some(message) = self.due() else { return Ok(BEAT) };
            unless_blocked(self.socket.write(message))?;
        }
        Ok(SHORT_BEAT)
    }

    /// Reads what has come, at most [`FRAMES`] and [`RATION`]. tungstenite answers pings and the client's close by itself.
    fn hear(&mut self) -> Result<(), End> {
        self.socket.get_mut().left = RATION;
        for _ in 0..FRAMES {
            match self.socket.read() {
                Ok(Message::Text(_) | Message::Binary(_)) => {
                    return Err(End::Closed(CloseCode::Unsupported, "nothing is taken here"));
                }
                Ok(_) => self.heard = Stopwatch::start(),
                Err(error) => return unless_blocked(Err(error)).map(drop),
            }
        }
        Ok(())
    }

    /// Whether the socket has taken all.
    fn flush(&mut self) -> Result<bool, End> {
        let taken = unless_blocked(self.socket.flush())?;
        if taken {
            self.behind = None;
        } else if self.behind.is_none() {
            self.behind = Some(Stopwatch::start());
        }
        Ok(taken)
    }

    /// What is to be told next.
    fn due(&mut self) -> Option<Message> {
        let limits = self.streams.limits;
        if let Some(news) = self.listener.poll() {
            return match news {
                News::Lost(alerts) => text(&Telling::Lost { alerts }),
                News::Alert(alert) => text(&Telling::Alert(&alert)),
            };
        }
        if self.told.is_none_or(|told| told.elapsed() >= STATISTICS) {
            self.told = Some(Stopwatch::start());
            return text(&Telling::Statistics(Box::new(self.streams.router.statistics())));
        }
        if self.pinged.elapsed() >= limits.ping {
            self.pinged = Stopwatch::start();
            return Some(Message::Ping(Bytes::new()));
        }
        None
    }

    /// Says why, and gives the client a moment to say that it has heard.
    fn close(&mut self, code: CloseCode, reason: &'static str) {
        let clock = Stopwatch::start();
        let frame = CloseFrame { code, reason: reason.into() };
        // One that does not take even this is cut off.
        drop(self.socket.close(Some(frame)));
        while clock.elapsed() < FAREWELL {
            match self.socket.read() {
                Ok(_) => {}
                Err(Error::Io(error)) if is_passing(error.kind()) => {
                    drop(self.socket.flush());
                    std::thread::park_timeout(SHORT_BEAT.to_std());
                    self.socket.get_mut().left = RATION;
                }
                Err(_) => return,
            }
        }
    }
}

/// Whether trying again helps.
const fn is_passing(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

/// Whether it went through; false where it has to wait for the client.
fn unless_blocked(done: Result<(), Error>) -> Result<bool, End> {
    match done {
        Ok(()) => Ok(true),
        Err(Error::Io(error)) if is_passing(error.kind()) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Our own types always have a JSON form.
fn text(telling: &Telling<'_>) -> Option<Message> {
    serde_json::to_string(telling).ok().map(Message::text)
}
