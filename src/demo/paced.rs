//! The generated network at the pace of a clock. What it generates is `network`'s.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use super::attack::Truth;
use super::network::Network;
use crate::capture::{CaptureError, Config, Next, Source, SourceCounters};
use crate::sys::clock::Stopwatch;
use crate::time::{Span, Timestamp};

/// A [`Network`] that plays `factor` times as fast as real time, counted from the first call. Ahead of its time it says
/// that it is idle; behind it, because its reader is slow, it gives frames without a pause until it has caught up.
pub struct Paced {
    network: Network,
    factor: u64,
    /// The simulated time when `watch` was started, or is to be.
    start: Timestamp,
    watch: Option<Stopwatch>,
    paused: bool,
    pending: Option<Timestamp>,
    given: u64,
    // Nothing is ever sent: the receiver's timeout is the wait.
    quiet: (SyncSender<()>, Receiver<()>),
}

impl Paced {
    /// Plays `network` at `factor` times real time; 0 is taken as 1.
    #[must_use]
    pub fn new(network: Network, factor: u32) -> Self {
        Self {
            start: network.now(),
            network,
            factor: u64::from(factor.max(1)),
            watch: None,
            paused: false,
            pending: None,
            given: 0,
            quiet: sync_channel(0),
        }
    }

    /// The attacks played so far, oldest first; at most the latest 256.
    pub fn truths(&self) -> impl Iterator<Item = &Truth> {
        self.network.truths()
    }

    /// Lets its time stand still.
    pub fn pause(&mut self) {
        self.start = self.simulated();
        self.watch = None;
        self.paused = true;
    }

    /// Goes on from where it was paused.
    pub const fn resume(&mut self) {
        self.paused = false;
    }

    /// Whether its time stands still.
    #[must_use]
    pub const fn is_paused(&self) -> bool {
        self.paused
    }

    fn simulated(&mut self) -> Timestamp {
        if self.paused {
            return self.start;
        }
        let elapsed = self.watch.get_or_insert_with(Stopwatch::start).elapsed();
        self.start + Span::from_nanos(elapsed.as_nanos().saturating_mul(self.factor))
    }

    fn wait(&self, time: Span) {
        // Only the timeout can end it.
        let _ = self.quiet.1.recv_timeout(time.to_std());
    }
}

impl Source for Paced {
    fn next(&mut self) -> Result<Next<'_>, CaptureError> {
        let now = self.simulated();
        if self.pending.is_none() {
            self.pending = self.network.advance();
        }
        let Some(due) = self.pending else { return Ok(Next::End) };
        if self.paused {
            self.wait(Config::PATIENCE);
            return Ok(Next::Idle(now.min(due)));
        }
        let ahead = Span::from_nanos(due.since(now).as_nanos() / self.factor);
        if ahead > Span::ZERO {
            self.wait(ahead.min(Config::PATIENCE));
        }
        if ahead > Config::PATIENCE {
            return Ok(Next::Idle(self.simulated().min(due)));
        }
        self.pending = None;
        self.given += 1;
        Ok(Next::Frame(self.network.frame()))
    }

    fn counters(&mut self) -> SourceCounters {
        SourceCounters { frames: self.given, ..SourceCounters::default() }
    }
}
