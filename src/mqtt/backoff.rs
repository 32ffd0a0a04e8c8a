//! How long to wait before the broker is tried again: doubling, with jitter, so that a hundred taps do not come back
//! to a restarted broker in the same second.

use rand_core::Rng;
use rand_pcg::Pcg32;

use crate::time::Span;

/// Waits of 1 s, 2 s, 4 s ... up to a minute, each shortened by chance to between its half and its whole.
#[derive(Debug)]
pub(super) struct Backoff {
    next: Span,
    chance: Pcg32,
}

impl Backoff {
    const FIRST: Span = Span::from_secs(1);
    const LONGEST: Span = Span::from_secs(60);

    pub(super) fn new(seed: u64) -> Self {
        Self { next: Self::FIRST, chance: Pcg32::new(seed, 0) }
    }

    /// The connection held: the next wait is short again.
    pub(super) fn reset(&mut self) {
        self.next = Self::FIRST;
    }

    pub(super) fn poll_wait(&mut self) -> Span {
        let whole = self.next.as_nanos();
        self.next = (self.next + self.next).min(Self::LONGEST);
        let half = whole / 2;
        Span::from_nanos(half + self.chance.next_u64() % (half + 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_to_a_minute_and_start_anew() {
        let mut backoff = Backoff::new(1);
        for whole in [1_u64, 2, 4, 8, 16, 32, 60, 60] {
            let wait = backoff.poll_wait();
            assert!(wait >= Span::from_millis(whole * 500) && wait <= Span::from_secs(whole), "{wait}");
        }
        backoff.reset();
        assert!(backoff.poll_wait() <= Span::from_secs(1));
    }
}
