//! The only place of the process where a "now" is made.

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
