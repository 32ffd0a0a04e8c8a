//! One opening of an interface through libpcap, which only listens. Waiting for a lost interface is `tap`'s.
//!
//! The ring stays in libpcap's default mode (TPACKET_V3): the kernel hands over blocks of frames, which costs a
//! fifteenth of the "immediate" mode. The wait is poll(2) with a patience of our own, since libpcap's read timeout
//! need not fire while no frame comes.

use std::io;
use std::os::fd::AsFd;

use pcap::{Active, Capture, Precision, Stat};
use socket2::{Domain, Socket, Type};

use crate::capture::filter::{bad_filter, link_of};
use crate::capture::interface::{LinkState, interfaces, is_down};
use crate::capture::{CaptureError, Config, Next, Source, SourceCounters};
use crate::packet::{Frame, Link};
use crate::sys::clock::{self, Stopwatch};
use crate::sys::readable;
use crate::time::{Span, Timestamp};

/// How long the kernel may hold a block that is not full.
const BLOCK_MILLIS: u16 = 50;

/// A ring below two of libpcap's blocks cannot be filled and read at the same time.
const LEAST_RING: u32 = 512 << 10;

/// How often a quiet interface is asked whether it is down, of which libpcap says nothing.
const CHECK: Span = Span::from_secs(1);

/// An interface that is listened to.
pub struct Live {
    capture: Capture<Active>,
    interface: String,
    link: Link,
    /// The last read found nothing, so the next one waits first.
    drained: bool,
    counters: SourceCounters,
    last: Stat,
    since_check: Stopwatch,
}

impl Live {
    /// Starts to listen.
    ///
    /// # Errors
    /// [`CaptureError`] that tells apart an interface that does not exist or is down, a missing right and a bad filter.
    pub fn open(config: &Config, interface: &str) -> Result<Self, CaptureError> {
        require_up(interface)?;
        let snapshot = i32::try_from(config.snapshot_bytes).unwrap_or(i32::MAX);
        let ring = i32::try_from(config.ring_bytes.max(LEAST_RING)).unwrap_or(i32::MAX);
        let mut capture = Capture::from_device(interface)
            .and_then(|inactive| {
                inactive
                    .promisc(config.promiscuous)
                    .snaplen(snapshot)
                    .buffer_size(ring)
                    .timeout(i32::from(BLOCK_MILLIS))
                    .precision(Precision::Nano)
                    .open()
            })
            .and_then(Capture::setnonblock)
            .map_err(|error| why_not_opened(interface, error))?;
        if !config.filter.is_empty() {
            capture.filter(&config.filter, true).map_err(|error| bad_filter(&config.filter, error))?;
        }
        Ok(Self {
            link: link_of(capture.get_datalink()),
            capture,
            interface: interface.to_owned(),
            drained: true,
            counters: SourceCounters::default(),
            last: Stat { received: 0, dropped: 0, if_dropped: 0 },
            since_check: Stopwatch::start(),
        })
    }

    /// The name of the interface.
    #[must_use]
    pub fn interface(&self) -> &str {
        &self.interface
    }

    /// How its frames begin.
    #[must_use]
    pub const fn link(&self) -> Link {
        self.link
    }

    fn quiet(&mut self) -> Result<Next<'_>, CaptureError> {
        if self.since_check.elapsed() >= CHECK {
            self.since_check = Stopwatch::start();
            if is_down(&self.interface) {
                return Err(CaptureError::InterfaceDown { interface: self.interface.clone() });
            }
        }
        Ok(Next::Idle(horizon()))
    }
}

impl Source for Live {
    fn next(&mut self) -> Result<Next<'_>, CaptureError> {
        if self.drained {
            match readable(self.capture.as_fd(), Config::PATIENCE) {
                Ok(true) => self.drained = false,
                Ok(false) => return self.quiet(),
                Err(error) => return Err(why_lost(&self.interface, error.into())),
            }
        }
        match self.capture.next_packet() {
            Ok(packet) => {
                self.counters.frames += 1;
                Ok(Next::Frame(Frame {
                    time: time_of(packet.header.ts),
                    link: self.link,
                    wire_len: packet.header.len,
                    bytes: packet.data,
                }))
            }
            Err(pcap::Error::TimeoutExpired) => {
                self.drained = true;
                Ok(Next::Idle(horizon()))
            }
            Err(error) => Err(why_lost(&self.interface, error)),
        }
    }

    /// Asks the kernel, so call it about once a second and not for each frame. While the interface is lost the numbers
    /// stay as they were.
    fn counters(&mut self) -> SourceCounters {
        if let Ok(now) = self.capture.stats() {
            self.counters.kernel_drops += grown(self.last.dropped, now.dropped);
            self.counters.interface_drops += grown(self.last.if_dropped, now.if_dropped);
            self.last = now;
        }
        self.counters
    }
}

/// The time up to which every frame has been given: what is younger may still wait in a block.
pub(super) fn horizon() -> Timestamp {
    clock::now() - Span::from_millis(u64::from(BLOCK_MILLIS))
}

/// With [`Precision::Nano`], which every network interface of Linux has, the fraction is in nanoseconds. The kernel
/// gives seconds as 32 bits without a sign; a C library with as many bits of time shows them as negative from 2038 on.
#[allow(clippy::useless_conversion, reason = "the seconds have 32 bits on some targets")]
fn time_of(stamp: libc::timeval) -> Timestamp {
    let seconds = i64::from(stamp.tv_sec) & i64::from(u32::MAX);
    Timestamp::from_parts(seconds, u32::try_from(stamp.tv_usec).unwrap_or(0))
}

/// How far a counter of 32 bits that wraps has come. One that went back was reset by a driver and has not grown.
pub(super) fn grown(before: u32, now: u32) -> u64 {
    match now.wrapping_sub(before) {
        step if step <= u32::MAX / 2 => u64::from(step),
        _ => 0,
    }
}

fn require_up(interface: &str) -> Result<(), CaptureError> {
    let known = interfaces()?;
    match known.iter().find(|i| i.name == interface) {
        None => {
            let names: Vec<&str> = known.iter().map(|i| i.name.as_str()).collect();
            Err(CaptureError::NoSuchInterface { interface: interface.to_owned(), known: names.join(", ") })
        }
        Some(found) if found.state == LinkState::Down => {
            Err(CaptureError::InterfaceDown { interface: interface.to_owned() })
        }
        Some(_) => Ok(()),
    }
}

/// libpcap tells a missing right by its message only; the kernel, asked again, tells it by number.
fn why_not_opened(interface: &str, error: pcap::Error) -> CaptureError {
    match Socket::new(Domain::PACKET, Type::RAW, None) {
        Err(refused) if refused.kind() == io::ErrorKind::PermissionDenied => {
            CaptureError::NoPermission { interface: interface.to_owned() }
        }
        _ => why_lost(interface, error),
    }
}

/// What became of an interface that was there.
fn why_lost(interface: &str, error: pcap::Error) -> CaptureError {
    match require_up(interface) {
        Err(CaptureError::NoSuchInterface { interface, .. }) => CaptureError::InterfaceVanished { interface },
        Err(CaptureError::InterfaceDown { interface }) => CaptureError::InterfaceDown { interface },
        _ => CaptureError::Interface { interface: interface.to_owned(), source: error },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_survive_the_wrap_of_the_kernel_s() {
        assert_eq!(grown(10, 15), 5);
        assert_eq!(grown(u32::MAX - 1, 3), 5);
        assert_eq!(grown(15, 10), 0);
    }

    #[test]
    #[allow(clippy::useless_conversion, reason = "the seconds have 32 bits on some targets")]
    fn frames_after_2038_are_not_taken_for_frames_before_1970() {
        for (seconds, shown) in
            [(i32::MAX, "2038-01-19T03:14:07."), (i32::MIN, "2038-01-19T03:14:08."), (-1, "2106-")]
        {
            // On targets with 64 bits of seconds as if the C library had widened them.
            let stamp = libc::timeval { tv_sec: seconds.into(), tv_usec: 999_999_999 };
            let time = time_of(stamp).to_string();
            assert!(time.starts_with(shown) && time.ends_with(".999999Z"), "{time}");
        }
    }

    #[test]
    fn an_interface_that_does_not_exist_is_named_with_those_that_do() {
        let Err(error) = Live::open(&Config::default(), "nosuch9") else { panic!("opened") };
        assert!(matches!(&error, CaptureError::NoSuchInterface { interface, .. } if interface == "nosuch9"));
        for interface in interfaces().unwrap() {
            assert!(error.to_string().contains(&interface.name), "{error}");
        }
    }
}
