//! A TCP server: listens on a port, keeps a bounded number of sessions, and lets a protocol answer.

use smoltcp::iface::SocketHandle;
use smoltcp::socket::tcp;

use super::{App, Host, earliest};
use crate::demo::protocol::Responder;
use crate::time::{Span, Timestamp};

/// Sockets that wait for the next connection.
const BACKLOG: usize = 2;

/// Bytes of a request that are kept until it is whole.
const LONGEST_REQUEST: usize = 64 << 10;

/// Time for which a client that has vanished is sent what it does not acknowledge.
const UNACKNOWLEDGED: Span = Span::from_secs(20);

/// Silence after which a session is given up.
const PATIENCE: Span = Span::from_secs(900);

/// A TCP server. At its capacity no socket listens, so further openings are refused until a session ends.
pub(crate) struct Service {
    port: u16,
    capacity: usize,
    think: (Span, Span),
    make: fn() -> Box<dyn Responder>,
    sessions: Vec<Session>,
}

impl Service {
    /// A server for at most `capacity` connections, that takes `think` to answer.
    pub(crate) fn new(
        port: u16,
        capacity: usize,
        think: (Span, Span),
        make: fn() -> Box<dyn Responder>,
    ) -> Self {
        Self { port, capacity, think, make, sessions: Vec::with_capacity(capacity) }
    }
}

impl App for Service {
    fn run(&mut self, host: &mut Host<'_>) -> Option<Timestamp> {
        let mut next = None;
        let mut waiting = 0;
        for session in &mut self.sessions {
            let socket = host.sockets.get_mut::<tcp::Socket<'static>>(session.socket);
            if !socket.is_open() {
                // Port 0 alone could fail.
                let _ = socket.listen(self.port);
                *session = Session::new(session.socket, (self.make)());
            }
            if socket.is_listening() {
                // It may be back here from a half-open connection.
                session.moved = None;
                waiting += 1;
            } else {
                next = earliest(next, session.run(host, self.think));
            }
        }
        while waiting < BACKLOG && self.sessions.len() < self.capacity {
            let mut socket = socket();
            let _ = socket.listen(self.port);
            let socket = host.sockets.add(socket);
            self.sessions.push(Session::new(socket, (self.make)()));
            waiting += 1;
        }
        next
    }
}

struct Session {
    socket: SocketHandle,
    responder: Box<dyn Responder>,
    request: Vec<u8>,
    answer: Vec<u8>,
    sent: usize,
    ready: Option<Timestamp>,
    /// Bytes that are not acknowledged, and whether the server's side is open.
    queue: (usize, bool),
    /// When anything last went on.
    moved: Option<Timestamp>,
}

impl Session {
    fn new(socket: SocketHandle, responder: Box<dyn Responder>) -> Self {
        Self {
            socket,
            responder,
            request: Vec::new(),
            answer: Vec::new(),
            sent: 0,
            ready: None,
            queue: (0, true),
            moved: None,
        }
    }

    fn run(&mut self, host: &mut Host<'_>, think: (Span, Span)) -> Option<Timestamp> {
        let socket = host.sockets.get_mut::<tcp::Socket<'static>>(self.socket);
        let mut news = false;
        while socket.can_recv() && self.request.len() < LONGEST_REQUEST {
            let taken = socket.recv(|bytes| {
                self.request.extend_from_slice(bytes);
                (bytes.len(), bytes.len())
            });
            news |= taken.is_ok_and(|count| count > 0);
        }
        if news {
            self.moved = Some(host.now);
            let before = self.answer.len();
            self.responder.handle(&mut self.request, &mut self.answer, host.chance);
            if self.answer.len() > before && self.ready.is_none() {
                self.ready = Some(host.now + host.chance.span(think));
            }
        }
        if self.ready.is_some_and(|at| at <= host.now) {
            while self.sent < self.answer.len() && socket.can_send() {
                match socket.send_slice(&self.answer[self.sent..]) {
                    Ok(count) if count > 0 => self.sent += count,
                    _ => break,
                }
            }
            if self.sent == self.answer.len() {
                self.answer.clear();
                self.sent = 0;
                self.ready = None;
            }
        }
        if !socket.may_recv() && self.answer.is_empty() && socket.may_send() {
            socket.close();
        }
        let queue = (socket.send_queue(), socket.may_send());
        if queue != self.queue {
            self.queue = queue;
            self.moved = Some(host.now);
        }
        let patience = if queue == (0, true) { PATIENCE } else { UNACKNOWLEDGED };
        let deadline = *self.moved.get_or_insert(host.now) + patience;
        if deadline <= host.now {
            socket.abort();
        }
        Some(self.ready.filter(|at| *at > host.now).unwrap_or(deadline))
    }
}

fn socket() -> tcp::Socket<'static> {
    let buffer = || tcp::SocketBuffer::new(vec![0; 16 << 10]);
    tcp::Socket::new(buffer(), buffer())
}
