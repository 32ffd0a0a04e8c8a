//! [`Health`]: whether the daemon does its work, as `/healthz` tells it.
//!
//! Publishers do not say when they published, so this watches the board: a value that stays the same object is old.

use std::sync::{Arc, Mutex, PoisonError};

use crate::control::{CaptureState, MeterStatus, Status};
use crate::time::Span;

/// What was seen of the board, and when.
#[derive(Debug, Default)]
pub(super) struct Health(Mutex<Seen>);

#[derive(Debug, Default)]
struct Seen {
    meter: Option<Arc<MeterStatus>>,
    meter_since: Span,
    write_errors: u64,
    error_at: Option<Span>,
}

impl Health {
    /// Silence of the meter that counts as a failure; it publishes each second.
    const STALE: Span = Span::from_secs(15);
    /// How long a failed write counts.
    const RECENT: Span = Span::from_secs(60);

    /// Looks at the board; to be called at least every few seconds. `now` counts from the start of the server.
    pub(super) fn observe(&self, status: &Status, now: Span) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let same = match (&seen.meter, &status.meter) {
            (Some(old), Some(new)) => Arc::ptr_eq(old, new),
            (None, None) => true,
            _ => false,
        };
        if !same {
            seen.meter.clone_from(&status.meter);
            seen.meter_since = now;
        }
        let errors = status.store.as_ref().map_or(0, |store| store.write_errors);
        if errors > seen.write_errors {
            seen.error_at = Some(now);
        }
        seen.write_errors = errors;
    }

    /// What is wrong, one line each; nothing when all is well.
    pub(super) fn complaints(&self, status: &Status, now: Span) -> Vec<String> {
        self.observe(status, now);
        let seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let age = |since: Span| Span::from_nanos(now.as_nanos().saturating_sub(since.as_nanos()));
        let mut complaints = Vec::new();
        match &status.meter {
            None => complaints.push("capture: nothing published yet".to_owned()),
            Some(meter) => match &meter.capture.state {
                CaptureState::Waiting(why) => {
                    complaints.push(format!("capture: waiting for {}: {why}", meter.capture.name));
                }
                CaptureState::Running | CaptureState::Quiet if age(seen.meter_since) > Self::STALE => {
                    let silence = age(seen.meter_since).as_secs();
                    complaints.push(format!("capture: nothing published for {silence} s"));
                }
                CaptureState::Running | CaptureState::Quiet | CaptureState::Ended => {}
            },
        }
        if let Some(store) = &status.store
            && seen.error_at.is_some_and(|at| age(at) <= Self::RECENT)
        {
            let error = store.last_error.as_deref().unwrap_or("a write failed");
            complaints.push(format!("store: {error}"));
        }
        complaints
    }
}
