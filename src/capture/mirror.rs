//! [`Mirror`]: a [`Source`] for switches that send what they mirror to an address. It only listens: nothing is answered.
//!
//! Anyone who reaches the address can send, and invent a sender; who must not is kept out by a list of senders, and
//! better by a network of management alone. How a frame is enclosed is `envelope`'s.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd;
use std::thread;

use crate::capture::envelope;
use crate::capture::live::{grown, horizon};
use crate::capture::{CaptureError, Config, Filter, Next, Source, SourceCounters, TapState, check_filter};
use crate::packet::{Frame, Link};
use crate::sys::clock::{self, Stopwatch};
use crate::sys::{DatagramListener, one_line, readable};
use crate::time::{Span, Timestamp};

/// Settings of a listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MirrorConfig {
    /// Where to listen.
    pub address: SocketAddr,
    /// Who may send; anyone where there is none.
    pub senders: Vec<IpAddr>,
    /// Size of the kernel's buffer in bytes; the kernel may give less.
    pub ring_bytes: u32,
    /// Filter in the language of pcap-filter(7) on the frames in the datagrams; empty for all.
    pub filter: String,
}

/// What was counted of datagrams beside the frames.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MirrorCounters {
    /// Datagrams that hold no frame as TZSP or VXLAN.
    pub foreign: u64,
    /// Datagrams of senders that may not send.
    pub refused: u64,
    /// Frames by sender, in the order in which they came first; at most [`MirrorCounters::SENDERS`].
    pub senders: Vec<(IpAddr, u64)>,
    /// Frames of all further senders.
    pub others: u64,
}

impl MirrorCounters {
    /// Senders counted by themselves. Addresses are easily invented: those that come later are counted together.
    pub const SENDERS: usize = 16;

    fn count(&mut self, from: IpAddr) {
        if let Some((_, frames)) = self.senders.iter_mut().find(|(sender, _)| *sender == from) {
            *frames += 1;
        } else if self.senders.len() < Self::SENDERS {
            self.senders.push((from, 1));
        } else {
            self.others += 1;
        }
    }
}

/// A listener on one address. [`Source::next`] never fails: while the address is not there it says idle.
pub struct Mirror {
    config: MirrorConfig,
    name: String,
    listener: Option<DatagramListener>,
    state: TapState,
    losses: u64,
    filter: Option<(Link, Filter)>,
    buffer: Box<[u8]>,
    /// The last read found nothing, so the next one waits first.
    drained: bool,
    counters: SourceCounters,
    mirror: MirrorCounters,
    /// The kernel's count of drops at the last datagram.
    dropped: u32,
    since_attempt: Stopwatch,
}

impl Mirror {
    /// More than a UDP datagram has.
    const BUFFER: usize = 64 << 10;
    /// Time between two attempts to listen again.
    const RETRY: Span = Span::from_secs(1);
    /// Datagrams without a frame for us that are read in one go.
    const SKIPS: usize = 64;

    /// Listens. An address that is not there yet is waited for.
    ///
    /// # Errors
    /// [`CaptureError`] when waiting would not help: the address is taken, a right is missing, or the filter is bad.
    pub fn open(config: MirrorConfig) -> Result<Self, CaptureError> {
        check_filter(&config.filter)?;
        let mut mirror = Self {
            name: config.address.to_string(),
            listener: None,
            state: TapState::Stopped,
            losses: 0,
            filter: None,
            buffer: vec![0; Self::BUFFER].into_boxed_slice(),
            drained: true,
            counters: SourceCounters::default(),
            mirror: MirrorCounters::default(),
            dropped: 0,
            since_attempt: Stopwatch::start(),
            config,
        };
        mirror.start()?;
        Ok(mirror)
    }

    /// The address, as configured.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it really listens; none while it does not.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        self.listener.as_ref().map(DatagramListener::address)
    }

    /// What it was opened with.
    #[must_use]
    pub const fn config(&self) -> &MirrorConfig {
        &self.config
    }

    /// Whether it delivers.
    #[must_use]
    pub const fn state(&self) -> &TapState {
        &self.state
    }

    /// Times that the address was lost.
    #[must_use]
    pub const fn losses(&self) -> u64 {
        self.losses
    }

    /// What was counted of datagrams.
    #[must_use]
    pub const fn mirror_counters(&self) -> &MirrorCounters {
        &self.mirror
    }

    /// Listens no more.
    pub fn stop(&mut self) {
        self.listener = None;
        self.state = TapState::Stopped;
    }

    /// Listens again where it was stopped.
    ///
    /// # Errors
    /// As for [`Self::open`]: it stays stopped.
    pub fn start(&mut self) -> Result<(), CaptureError> {
        if self.state != TapState::Stopped {
            return Ok(());
        }
        self.since_attempt = Stopwatch::start();
        match self.listen() {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable => {
                self.state = TapState::Waiting(one_line(&error));
                Ok(())
            }
            Err(source) => Err(CaptureError::Listen { address: self.name.clone(), source }),
        }
    }

    /// Goes on with other settings; another address is listened on before the one in use is given up. Counters go on; a
    /// stopped one stays stopped.
    ///
    /// # Errors
    /// As for [`Self::open`]: the settings in use stay.
    pub fn reopen(&mut self, config: MirrorConfig) -> Result<(), CaptureError> {
        let stopped = self.state == TapState::Stopped;
        if config.address == self.config.address {
            check_filter(&config.filter)?;
            let resized = config.ring_bytes != self.config.ring_bytes;
            (self.config, self.filter) = (config, None);
            if resized && !stopped {
                self.stop();
                self.start()?;
            }
            return Ok(());
        }
        let mut fresh = Self::open(config)?;
        fresh.counters = self.counters;
        fresh.mirror = std::mem::take(&mut self.mirror);
        fresh.losses = self.losses;
        if stopped {
            fresh.stop();
        }
        *self = fresh;
        Ok(())
    }

    fn listen(&mut self) -> io::Result<()> {
        let room = usize::try_from(self.config.ring_bytes).unwrap_or(usize::MAX);
        self.listener = Some(DatagramListener::open(self.config.address, room)?);
        (self.state, self.drained, self.dropped) = (TapState::Running, true, 0);
        Ok(())
    }

    /// Waits a little, or tries to listen again.
    fn recover(&mut self) {
        if self.since_attempt.elapsed() < Self::RETRY {
            thread::park_timeout(Config::PATIENCE.to_std());
            return;
        }
        self.since_attempt = Stopwatch::start();
        if let Err(error) = self.listen() {
            self.state = TapState::Waiting(one_line(&error));
        }
    }

    fn lose(&mut self, error: &io::Error) {
        self.listener = None;
        self.losses += 1;
        self.state = TapState::Waiting(one_line(error));
    }

    /// Reads datagrams until one has a frame for us: its time and where it lies in the buffer.
    fn read(&mut self) -> io::Result<Option<Found>> {
        for _ in 0..Self::SKIPS {
            let Some(listener) = &self.listener else { return Ok(None) };
            let Some(arrival) = listener.receive(&mut self.buffer)? else {
                self.drained = true;
                return Ok(None);
            };
            if let Some(dropped) = arrival.dropped {
                self.counters.kernel_drops += grown(self.dropped, dropped);
                self.dropped = dropped;
            }
            let Some(from) = arrival.from.filter(|from| self.may_send(*from)) else {
                self.mirror.refused += 1;
                continue;
            };
            let datagram = self.buffer.get(..arrival.length).unwrap_or_default();
            let Some(enclosed) = envelope::open(datagram) else {
                self.mirror.foreign += 1;
                continue;
            };
            let time = arrival.time.unwrap_or_else(clock::now);
            let kept = u32::try_from(enclosed.bytes.len()).unwrap_or(u32::MAX);
            let wire_len = enclosed.wire_len.unwrap_or(kept).max(kept);
            let frame = Frame { time, link: enclosed.link, wire_len, bytes: enclosed.bytes };
            if !matches(&mut self.filter, &self.config.filter, &frame) {
                continue;
            }
            self.mirror.count(from);
            self.counters.frames += 1;
            let start = arrival.length - enclosed.bytes.len();
            return Ok(Some(Found { time, link: enclosed.link, wire_len, start, end: arrival.length }));
        }
        Ok(None)
    }

    fn may_send(&self, from: IpAddr) -> bool {
        self.config.senders.is_empty() || self.config.senders.contains(&from)
    }
}

/// Where a frame lies in the buffer.
#[derive(Clone, Copy, Debug)]
struct Found {
    time: Timestamp,
    link: Link,
    wire_len: u32,
    start: usize,
    end: usize,
}

/// Whether a frame is wanted. One of a link for which the expression means nothing is not.
fn matches(compiled: &mut Option<(Link, Filter)>, text: &str, frame: &Frame<'_>) -> bool {
    if text.is_empty() {
        return true;
    }
    if compiled.as_ref().is_none_or(|(link, _)| *link != frame.link) {
        *compiled = Filter::new(text, frame.link).ok().map(|filter| (frame.link, filter));
    }
    compiled.as_mut().is_some_and(|(_, filter)| filter.matches(frame))
}

impl Source for Mirror {
    fn next(&mut self) -> Result<Next<'_>, CaptureError> {
        match self.state {
            TapState::Running => {}
            TapState::Waiting(_) => {
                self.recover();
                return Ok(Next::Idle(horizon()));
            }
            TapState::Stopped => {
                thread::park_timeout(Config::PATIENCE.to_std());
                return Ok(Next::Idle(horizon()));
            }
        }
        if let Some(listener) = self.listener.as_ref().filter(|_| self.drained) {
            match readable(listener.as_fd(), Config::PATIENCE) {
                Ok(true) => self.drained = false,
                Ok(false) => return Ok(Next::Idle(horizon())),
                Err(error) => {
                    self.lose(&error);
                    return Ok(Next::Idle(horizon()));
                }
            }
        }
        let found = match self.read() {
            Ok(found) => found,
            Err(error) => {
                self.lose(&error);
                None
            }
        };
        Ok(found.map_or_else(
            || Next::Idle(horizon()),
            |Found { time, link, wire_len, start, end }| {
                let bytes = self.buffer.get(start..end).unwrap_or_default();
                Next::Frame(Frame { time, link, wire_len, bytes })
            },
        ))
    }

    fn counters(&mut self) -> SourceCounters {
        self.counters
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;

    fn mirror(change: impl FnOnce(&mut MirrorConfig)) -> (Mirror, UdpSocket) {
        let mut config = MirrorConfig {
            address: "127.0.0.1:0".parse().unwrap(),
            senders: Vec::new(),
            ring_bytes: 1 << 20,
            filter: String::new(),
        };
        change(&mut config);
        let mirror = Mirror::open(config).unwrap();
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        sender.connect(mirror.address().unwrap()).unwrap();
        (mirror, sender)
    }

    /// The next frame, for which a minute is waited.
    fn frame(mirror: &mut Mirror) -> (Link, u32, Vec<u8>) {
        let waited = Stopwatch::start();
        while waited.elapsed() < Span::from_secs(60) {
            if let Next::Frame(frame) = mirror.next().unwrap() {
                return (frame.link, frame.wire_len, frame.bytes.to_vec());
            }
        }
        panic!("no frame for a minute");
    }

    /// Destination, source, EtherType of ARP, and something.
    fn ethernet(n: u8) -> Vec<u8> {
        [&[0xff; 6][..], &[2, 0, 0, 0, 0, n], &[8, 6], &[n; 30]].concat()
    }

    #[test]
    fn frames_come_out_of_both_envelopes_and_what_is_none_is_counted() {
        let (mut mirror, sender) = mirror(|_| {});
        sender.send(b"no mirror").unwrap();
        sender.send(&[&[1, 0, 0, 1, 1][..], &ethernet(1)].concat()).unwrap();
        sender.send(&[&[8, 0, 0, 0, 0, 0, 7, 0][..], &ethernet(2)].concat()).unwrap();
        assert_eq!(frame(&mut mirror), (Link::Ethernet, 44, ethernet(1)));
        assert_eq!(frame(&mut mirror), (Link::Ethernet, 44, ethernet(2)));
        let counted = mirror.mirror_counters();
        assert_eq!((counted.foreign, counted.refused, counted.others), (1, 0, 0));
        assert_eq!(counted.senders, [([127, 0, 0, 1].into(), 2)]);
        assert_eq!(mirror.counters().frames, 2);
    }

    #[test]
    fn who_may_not_send_is_not_heard() {
        let (mut mirror, stranger) = mirror(|config| config.senders = vec![[127, 0, 0, 2].into()]);
        let friend = UdpSocket::bind("127.0.0.2:0").unwrap();
        stranger.send(&[&[1, 0, 0, 1, 1][..], &ethernet(1)].concat()).unwrap();
        let datagram = [&[1, 0, 0, 1, 1][..], &ethernet(2)].concat();
        friend.send_to(&datagram, mirror.address().unwrap()).unwrap();
        assert_eq!(frame(&mut mirror).2, ethernet(2));
        assert_eq!(mirror.mirror_counters().refused, 1);
    }

    #[test]
    fn the_filter_is_one_of_the_frames() {
        let (mut mirror, sender) = mirror(|config| config.filter = "ether src 02:00:00:00:00:02".to_owned());
        for n in 1..=2 {
            sender.send(&[&[1, 0, 0, 1, 1][..], &ethernet(n)].concat()).unwrap();
        }
        assert_eq!(frame(&mut mirror).2, ethernet(2));
        assert_eq!(mirror.counters().frames, 1);
    }

    #[test]
    fn it_is_stopped_started_and_given_other_settings() {
        let (mut mirror, _) = mirror(|_| {});
        let place = mirror.address().unwrap();
        let config = MirrorConfig { address: place, ..mirror.config().clone() };
        mirror.stop();
        assert_eq!((mirror.state(), mirror.address()), (&TapState::Stopped, None));
        mirror.reopen(config.clone()).unwrap();
        assert_eq!(mirror.state(), &TapState::Stopped);
        mirror.start().unwrap();
        mirror.reopen(MirrorConfig { senders: vec![place.ip()], ..config.clone() }).unwrap();
        assert_eq!((mirror.state(), mirror.address()), (&TapState::Running, Some(place)));
        let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
        let other = MirrorConfig { address: taken.local_addr().unwrap(), ..config };
        assert!(matches!(mirror.reopen(other), Err(CaptureError::Listen { .. })));
        assert_eq!((mirror.state(), mirror.address()), (&TapState::Running, Some(place)));
        assert_eq!(mirror.config().senders, [place.ip()]);
    }

    #[test]
    fn an_address_that_is_not_there_is_waited_for() {
        let config = MirrorConfig {
            address: "192.0.2.77:37008".parse().unwrap(),
            senders: Vec::new(),
            ring_bytes: 4_096,
            filter: String::new(),
        };
        let mut mirror = Mirror::open(config).unwrap();
        assert!(matches!(mirror.state(), TapState::Waiting(_)));
        assert!(matches!(mirror.next().unwrap(), Next::Idle(_)));
    }

    #[test]
    fn senders_beyond_the_table_are_counted_together() {
        let mut counters = MirrorCounters::default();
        for n in 0..20 {
            counters.count([10, 0, 0, n].into());
            counters.count([10, 0, 0, 0].into());
        }
        assert_eq!((counters.senders.len(), counters.others), (16, 4));
        assert_eq!(counters.senders[0].1, 21);
    }
}
