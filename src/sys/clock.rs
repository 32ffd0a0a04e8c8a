//! The only place of the process where a "now" is made.

use std::path::Path;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::time::{Span, Timestamp};

/// The wall clock, which may step or start in 1970.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the place where a clock is read")]
pub fn now() -> Timestamp {
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => Timestamp::EPOCH + Span::from_nanos(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)),
        Err(_) => Timestamp::EPOCH,
    }
}

/// CLOCK_MONOTONIC, which service managers compare with their own; zero where the system has none.
#[must_use]
#[expect(unsafe_code, reason = "the standard library does not show this clock's reading")]
pub fn since_boot() -> Span {
    let mut reading = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `reading` is one valid timespec for the length of the call, which only writes to it.
    if unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut reading) } != 0 {
        return Span::ZERO;
    }
    let (seconds, nanos) = (u64::try_from(reading.tv_sec), u64::try_from(reading.tv_nsec));
    Span::from_secs(seconds.unwrap_or(0)) + Span::from_nanos(nanos.unwrap_or(0))
}

/// Whether a time service keeps the wall clock, as adjtimex(2) tells; none where it does not.
///
/// Some sandboxes forbid the call, although it changes nothing here. Then the mark of systemd-timesyncd is looked for.
#[must_use]
#[expect(unsafe_code, reason = "the standard library does not show how the clock is kept")]
pub fn is_synchronised() -> Option<bool> {
    // SAFETY: all zero is a valid timex, and with no mode set the call only writes to it.
    let mut state: libc::timex = unsafe { std::mem::zeroed() };
    // SAFETY: `state` is one valid timex for the length of the call.
    match unsafe { libc::adjtimex(&raw mut state) } {
        -1 => Path::new(TIMESYNCD).exists().then_some(true),
        answer => Some(answer != libc::TIME_ERROR && state.status & libc::STA_UNSYNC == 0),
    }
}

/// systemd-timesyncd makes this file once it has set the clock.
const TIMESYNCD: &str = "/run/systemd/timesync/synchronized";

/// A clock that never steps, for waits and pacing; it counts from when it was made.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts at zero.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the place where a clock is read")]
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// Time since the start.
    #[must_use]
    pub fn elapsed(&self) -> Span {
        Span::from_nanos(u64::try_from(self.0.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }
}
