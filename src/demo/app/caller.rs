//! A TCP client with habits: now and then it looks up some names, connects, talks and closes.

use std::net::Ipv4Addr;

use smoltcp::iface::SocketHandle;
use smoltcp::socket::{tcp, udp};
use smoltcp::wire::IpAddress;

use super::{App, Host, earliest};
use crate::demo::chance::Chance;
use crate::demo::protocol::{Dialogue, Move, dns};
use crate::demo::site;
use crate::time::{Span, Timestamp};

/// Connections that one habit holds at once; further visits of the same occasion are left out.
const PARALLEL: usize = 16;

/// How long a name is remembered, and how many are.
const MEMORY: Span = Span::from_secs(300);
const NAMES: usize = 16;

/// How long the peer may keep silent where it owes something.
const PATIENCE: Span = Span::from_secs(20);

/// Time until a DNS question is asked again, and how often.
const RETRY: Span = Span::from_secs(3);
const TRIES: u8 = 3;

/// Whom to call.
#[derive(Clone, Copy)]
pub(crate) enum Target {
    /// A name to look up.
    Name(&'static str),
    /// A known address.
    At(IpAddress),
}

/// One connection to make.
pub(crate) struct Visit {
    /// Whom to call.
    pub(crate) target: Target,
    /// TCP port.
    pub(crate) port: u16,
    /// Time after the occasion.
    pub(crate) delay: Span,
    /// What to say.
    pub(crate) dialogue: Box<dyn Dialogue>,
}

/// Makes the visits of one occasion.
pub(crate) type Occasion = Box<dyn FnMut(&mut Chance) -> Vec<Visit> + Send>;

/// When and whom to visit.
pub(crate) struct Habit {
    /// Time from the first address to the first occasion.
    pub(crate) first: (Span, Span),
    /// Time from one occasion to the next; one that is due while the last one goes on waits for it.
    pub(crate) every: (Span, Span),
    /// The visits of an occasion.
    pub(crate) visits: Occasion,
}

/// A TCP client.
pub(crate) struct Caller {
    habit: Habit,
    due: Option<Timestamp>,
    calls: Vec<Call>,
    known: Vec<(&'static str, Ipv4Addr, Timestamp)>,
}

impl Caller {
    pub(crate) fn new(habit: Habit) -> Self {
        Self { habit, due: None, calls: Vec::with_capacity(PARALLEL), known: Vec::with_capacity(NAMES) }
    }

    fn remember(&mut self, name: &'static str, ip: Ipv4Addr, now: Timestamp) {
        self.known.retain(|(known, _, until)| *known != name && *until > now);
        if self.known.len() == NAMES {
            self.known.remove(0);
        }
        self.known.push((name, ip, now + MEMORY));
    }
}

impl App for Caller {
    fn run(&mut self, host: &mut Host<'_>) -> Option<Timestamp> {
        host.address()?;
        let now = host.now;
        let due = match self.due {
            Some(due) => due,
            None => now + host.chance.span(self.habit.first),
        };
        self.due = Some(due);
        if due <= now && self.calls.is_empty() {
            self.due = Some(now + host.chance.span(self.habit.every));
            let visits = (self.habit.visits)(host.chance);
            self.calls.extend(visits.into_iter().take(PARALLEL).map(|visit| Call::new(visit, now)));
        }
        let mut next = if self.calls.is_empty() { self.due } else { None };
        let mut calls = std::mem::take(&mut self.calls);
        for call in &mut calls {
            if let Some((name, ip)) = call.run(host, &self.known) {
                self.remember(name, ip, now);
            }
        }
        calls.retain(|call| !matches!(call.state, State::Over));
        self.calls = calls;
        for call in &self.calls {
            next = earliest(next, call.wake);
        }
        if self.calls.is_empty() {
            // The last call may have ended just now, after the time for the next occasion.
            next = earliest(next, self.due.map(|due| due.max(now + Span::from_millis(1))));
        }
        next
    }
}

struct Call {
    visit: Visit,
    state: State,
    wake: Option<Timestamp>,
}

enum State {
    Due(Timestamp),
    Asking { socket: SocketHandle, query: Vec<u8>, again: Timestamp, left: u8 },
    Talking(Talk),
    Over,
}

impl Call {
    fn new(visit: Visit, now: Timestamp) -> Self {
        let due = now + visit.delay;
        Self { visit, state: State::Due(due), wake: Some(due) }
    }

    /// Goes on; gives a name that it looked up.
    fn run(
        &mut self,
        host: &mut Host<'_>,
        known: &[(&'static str, Ipv4Addr, Timestamp)],
    ) -> Option<(&'static str, Ipv4Addr)> {
        let mut learned = None;
        if let State::Due(due) = self.state
            && due <= host.now
        {
            self.state = match self.visit.target {
                Target::At(address) => self.open(address, host),
                Target::Name(name) => match known.iter().find(|k| k.0 == name && k.2 > host.now) {
                    Some((_, ip, _)) => self.open(IpAddress::Ipv4(*ip), host),
                    None => ask(name, host),
                },
            };
        }
        if let State::Asking { socket, query, again, left } = &mut self.state
            && let Some(outcome) = hear_answer(host, (*socket, query), (again, left))
        {
            host.sockets.remove(*socket);
            self.state = match (outcome, self.visit.target) {
                (Some(ip), Target::Name(name)) => {
                    learned = Some((name, ip));
                    self.open(IpAddress::Ipv4(ip), host)
                }
                _ => State::Over,
            };
        }
        if let State::Talking(talk) = &mut self.state
            && !talk.run(self.visit.dialogue.as_mut(), host)
        {
            host.sockets.remove(talk.socket);
            self.state = State::Over;
        }
        self.wake = match &self.state {
            State::Due(due) => Some(*due),
            State::Asking { again, .. } => Some(*again),
            State::Talking(talk) => talk.wake(),
            State::Over => None,
        };
        learned
    }

    fn open(&self, address: IpAddress, host: &mut Host<'_>) -> State {
        let buffer = |len| tcp::SocketBuffer::new(vec![0; len]);
        let mut socket = tcp::Socket::new(buffer(16 << 10), buffer(16 << 10));
        let port = host.chance.port();
        match socket.connect(host.interface.context(), (address, self.visit.port), port) {
            Ok(()) => State::Talking(Talk::new(host.sockets.add(socket), host.now)),
            Err(_) => State::Over,
        }
    }
}

fn ask(name: &str, host: &mut Host<'_>) -> State {
    let port = host.chance.port();
    let socket = host.open_udp(port);
    let query = dns::query(host.chance.word(), name, dns::TYPE_A);
    State::Asking { socket, query, again: host.now, left: TRIES }
}

/// Asks where it is time to, and reads the answer: none yet, an address, or that there is none.
fn hear_answer(
    host: &mut Host<'_>,
    question: (SocketHandle, &[u8]),
    retry: (&mut Timestamp, &mut u8),
) -> Option<Option<Ipv4Addr>> {
    let (handle, query) = question;
    let (again, left) = retry;
    let socket = host.sockets.get_mut::<udp::Socket<'static>>(handle);
    while let Ok((bytes, _)) = socket.recv() {
        if bytes.get(..2) == query.get(..2) {
            return Some(dns::address(bytes));
        }
    }
    if *again <= host.now {
        if *left == 0 {
            return Some(None);
        }
        // A full buffer is a lost question, which is asked again.
        let _ = socket.send_slice(query, (IpAddress::Ipv4(site::ROUTER_IP), 53));
        *left -= 1;
        *again = host.now + RETRY;
    }
    None
}

struct Talk {
    socket: SocketHandle,
    out: Vec<u8>,
    sent: usize,
    missing: usize,
    resume: Option<Timestamp>,
    heard: Timestamp,
    closing: bool,
}

impl Talk {
    fn new(socket: SocketHandle, now: Timestamp) -> Self {
        Self { socket, out: Vec::new(), sent: 0, missing: 0, resume: None, heard: now, closing: false }
    }

    fn wake(&self) -> Option<Timestamp> {
        Some(self.resume.unwrap_or(self.heard + PATIENCE))
    }

    /// Goes on; false when the connection is over.
    fn run(&mut self, dialogue: &mut dyn Dialogue, host: &mut Host<'_>) -> bool {
        let now = host.now;
        let socket = host.sockets.get_mut::<tcp::Socket<'static>>(self.socket);
        while socket.can_recv() {
            match socket.recv(|bytes| (bytes.len(), bytes.len())) {
                Ok(count) if count > 0 => {
                    self.missing = self.missing.saturating_sub(count);
                    self.heard = now;
                }
                _ => break,
            }
        }
        if !socket.is_open() {
            return false;
        }
        if !self.closing && socket.state() == tcp::State::CloseWait {
            self.close(now, socket);
        }
        while !self.closing && socket.may_send() && self.goes_on(now, socket) {
            match dialogue.next(host.chance) {
                Move::Send { bytes, expect } => {
                    self.out = bytes;
                    self.sent = 0;
                    self.missing = expect;
                    self.heard = now;
                }
                Move::Wait(span) => self.resume = Some(now + span),
                Move::Close => self.close(now, socket),
            }
        }
        if self.resume.is_none() && self.heard + PATIENCE <= now {
            socket.abort();
            self.heard = now;
        }
        true
    }

    /// Sends what there is to send. True when all was sent and answered and no pause is on.
    fn goes_on(&mut self, now: Timestamp, socket: &mut tcp::Socket<'static>) -> bool {
        while self.sent < self.out.len() && socket.can_send() {
            match socket.send_slice(&self.out[self.sent..]) {
                Ok(count) if count > 0 => {
                    self.sent += count;
                    self.heard = now;
                }
                _ => break,
            }
        }
        if self.resume.is_some_and(|at| at <= now) {
            self.resume = None;
            self.heard = now;
        }
        self.sent == self.out.len() && self.missing == 0 && self.resume.is_none()
    }

    fn close(&mut self, now: Timestamp, socket: &mut tcp::Socket<'static>) {
        socket.close();
        self.closing = true;
        self.resume = None;
        self.heard = now;
    }
}
