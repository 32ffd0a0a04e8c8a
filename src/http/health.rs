//! [`Health`]: whether the daemon does its work, as `/healthz` tells it.
//!
//! Publishers do not say when they published, so this watches the board: a value that stays the same object is old.

use std::sync::{Arc, Mutex, PoisonError};

use crate::control::{CaptureState, JudgeStatus, MeterStatus, Status};
use crate::time::Span;

/// What was seen of the board, and when.
#[derive(Debug, Default)]
pub(super) struct Health(Mutex<Seen>);

#[derive(Debug, Default)]
struct Seen {
    meter: Watch<MeterStatus>,
    judge: Watch<JudgeStatus>,
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
        let age = Span::from_nanos(now.as_nanos().saturating_sub(self.since.as_nanos()));
        (age > limit).then(|| age.as_secs())
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
        seen.meter.observe(status.meter.as_ref(), now);
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
        let mut complaints = Vec::new();
        match (&status.meter, state) {
            (None, _) => complaints.push("capture: nothing published yet".to_owned()),
            (Some(meter), Some(CaptureState::Waiting(why))) => {
                complaints.push(format!("capture: waiting for {}: {why}", meter.capture.name));
            }
            (_, Some(CaptureState::Ended)) => {}
            _ => {
                let silence = seen.meter.silence(now, Self::METER);
                complaints.extend(silence.map(|s| format!("capture: nothing published for {s} s")));
            }
        }
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
