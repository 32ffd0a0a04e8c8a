//! [`Health`]: whether the daemon does its work, as `/healthz` tells it.
//!
//! Publishers do not say when they published, so this watches the board: a value that stays the same object is old.

use std::sync::{Arc, Mutex, PoisonError};

use crate::control::{CaptureState, JudgeStatus, SourceStatus, Status};
use crate::pipeline::SourceId;
use crate::time::Span;

/// What was seen of the board, and when.
#[derive(Debug, Default)]
pub(super) struct Health(Mutex<Seen>);

#[derive(Debug, Default)]
struct Seen {
    meters: Vec<Beat>,
    judge: Watch<JudgeStatus>,
}

/// How often a source had published, and when that was first seen.
#[derive(Clone, Copy, Debug)]
struct Beat {
    source: SourceId,
    published: u64,
    since: Span,
}

/// The latest value of one publisher.
#[derive(Debug)]
struct Watch<T> {
    latest: Option<Arc<T>>,
    /// When it was first seen; the start where there is none.
    since: Span,
}

impl<T> Default for Watch<T> {
    fn default() -> Self {
        Self { latest: None, since: Span::ZERO }
    }
}

impl<T> Watch<T> {
    fn observe(&mut self, value: Option<&Arc<T>>, now: Span) {
        if self.latest.as_ref().map(Arc::as_ptr) != value.map(Arc::as_ptr) {
            self.latest = value.cloned();
            self.since = now;
        }
    }

    /// How long nothing new has come, where that is longer than `limit`.
    fn silence(&self, now: Span, limit: Span) -> Option<u64> {
        silence(self.since, now, limit)
    }
}

fn silence(since: Span, now: Span, limit: Span) -> Option<u64> {
    let age = Span::from_nanos(now.as_nanos().saturating_sub(since.as_nanos()));
    (age > limit).then(|| age.as_secs())
}

impl Seen {
    fn observe_sources(&mut self, sources: &[SourceStatus], now: Span) {
        let before = std::mem::take(&mut self.meters);
        let beat = |one: &SourceStatus| {
            let same = |beat: &&Beat| (beat.source, beat.published) == (one.source, one.published);
            let since = before.iter().find(same).map_or(now, |beat| beat.since);
            Beat { source: one.source, published: one.published, since }
        };
        self.meters = sources.iter().map(beat).collect();
    }

    /// What is wrong with each source.
    fn of_sources(&self, sources: &[SourceStatus], now: Span) -> Vec<String> {
        let mut complaints = Vec::new();
        for one in sources {
            match &one.capture.state {
                CaptureState::Waiting(why) => {
                    complaints.push(format!("capture: waiting for {}: {why}", one.capture.name));
                }
                CaptureState::Ended => {}
                CaptureState::Running | CaptureState::Quiet | CaptureState::Stopped => {
                    let of =
                        if sources.len() > 1 { format!(" of {}", one.capture.name) } else { String::new() };
                    let beat = self.meters.iter().find(|beat| beat.source == one.source);
                    let seconds = beat.and_then(|beat| silence(beat.since, now, Health::METER));
                    complaints.extend(seconds.map(|s| format!("capture: nothing{of} published for {s} s")));
                }
            }
        }
        complaints
    }
}

impl Health {
    /// Silence of the meter that counts as a failure; it publishes each second.
    const METER: Span = Span::from_secs(15);
    /// Silence of the judge that counts as a failure. It publishes several times a second, but waits up to 30 s for a
    /// slow disk to take an alert.
    const JUDGE: Span = Span::from_secs(60);

    /// Looks at the board; to be called at least every few seconds. `now` counts from the start of the server.
    pub(super) fn observe(&self, status: &Status, now: Span) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.observe_sources(status.meter.as_ref().map_or(&[][..], |meter| &meter.sources), now);
        seen.judge.observe(status.judge.as_ref(), now);
    }

    /// What whoever asks should know although nothing is wrong; a line, or nothing.
    pub(super) fn remark(status: &Status) -> &'static str {
        let stopped = status.meter.as_ref().is_some_and(|m| m.capture.state == CaptureState::Stopped);
        if stopped { "capture: stopped on request\n" } else { "" }
    }

    /// What is wrong, one line each; nothing when all is well.
    pub(super) fn complaints(&self, status: &Status, now: Span) -> Vec<String> {
        self.observe(status, now);
        let seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let state = status.meter.as_ref().map(|meter| &meter.capture.state);
        let mut complaints = match &status.meter {
            None => vec!["capture: nothing published yet".to_owned()],
            Some(meter) => seen.of_sources(&meter.sources, now),
        };
        // The judge ends with a source that ends.
        if state != Some(&CaptureState::Ended) {
            let silence = seen.judge.silence(now, Self::JUDGE);
            complaints.extend(silence.map(|s| format!("judge: nothing published for {s} s")));
        }
        let failing = status.store.as_ref().and_then(|store| store.failing.as_ref());
        complaints.extend(failing.map(|why| format!("store: {why}")));
        complaints
    }
}
