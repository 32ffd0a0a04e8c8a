//! Whether a capture that was opened anew has come back.

use std::sync::Arc;

use crate::control::{Board, CaptureState, MeterStatus};
use crate::pipeline::SourceId;
use crate::sys::clock::Stopwatch;
use crate::time::Span;

/// A capture with new settings, until it is known whether it delivers.
pub(super) struct Trial {
    begun: Stopwatch,
    /// What each source published last before the trial. Kept, so that nothing new can have the same address.
    before: Vec<Arc<MeterStatus>>,
}

/// How a trial stands.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Standing {
    Undecided,
    Passed,
    /// With the reason.
    Failed(String),
}

impl Trial {
    /// What a capture has to come back.
    const PATIENCE: Span = Span::from_secs(30);
    /// Time between two looks.
    pub(super) const LOOK: Span = Span::from_millis(250);

    /// To be called once the capture thread has answered.
    pub(super) fn begin(board: &Board) -> Self {
        Self { begun: Stopwatch::start(), before: board.meter.each() }
    }

    /// Looks at what was published since.
    pub(super) fn look(&self, board: &Board) -> Standing {
        self.look_after(board, self.begun.elapsed())
    }

    fn was_waiting(&self, source: SourceId) -> bool {
        let mut before = self.before.iter().filter(|before| before.source == source);
        before.any(|before| matches!(before.capture.state, CaptureState::Waiting(_)))
    }

    fn look_after(&self, board: &Board, elapsed: Span) -> Standing {
        let all = board.meter.each();
        let mut missing = all.is_empty().then(|| "it said nothing".to_owned());
        for status in &all {
            if self.before.iter().any(|before| Arc::ptr_eq(before, status)) {
                missing = Some("it said nothing".to_owned());
                continue;
            }
            match &status.capture.state {
                CaptureState::Ended => return Standing::Failed("the capture has ended".to_owned()),
                // One that had been stopped before the trial passes: that it opens was seen.
                CaptureState::Stopped if self.was_waiting(status.source) => {
                    return Standing::Failed("the capture was stopped before it was back".to_owned());
                }
                CaptureState::Waiting(why) => missing = Some(why.clone()),
                CaptureState::Running | CaptureState::Quiet | CaptureState::Stopped => {}
            }
        }
        let Some(why) = missing else { return Standing::Passed };
        if elapsed < Self::PATIENCE {
            return Standing::Undecided;
        }
        Standing::Failed(format!(
            "the capture did not come back within {} s: {why}",
            Self::PATIENCE.as_secs()
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::status;
    use crate::control::{CaptureStatus, SourceKind};
    use crate::flow;
    use crate::pipeline::{Meter, MeterConfig};

    fn publish(board: &Board, state: CaptureState) {
        publish_of(board, SourceId::default(), state);
    }

    fn publish_of(board: &Board, source: SourceId, state: CaptureState) {
        let capture = CaptureStatus {
            kind: SourceKind::Interface,
            name: "tap9".to_owned(),
            why: String::new(),
            state,
            counters: crate::capture::SourceCounters::default(),
            losses: 0,
            mirror: None,
        };
        let meter = Meter::new(&MeterConfig::default());
        let readings = status::Readings::default();
        board.meter.publish(status::meter(
            (source, &meter),
            &flow::Config::default(),
            capture,
            readings,
            None,
        ));
    }

    #[test]
    fn only_what_was_published_since_and_is_not_waiting_passes() {
        let board = Board::default();
        publish(&board, CaptureState::Running);
        let trial = Trial::begin(&board);
        let soon = Span::from_secs(29);
        assert_eq!(trial.look_after(&board, soon), Standing::Undecided, "that was the old source");
        publish(&board, CaptureState::Waiting("interface tap9 is down".to_owned()));
        assert_eq!(trial.look_after(&board, soon), Standing::Undecided);
        let late = trial.look_after(&board, Trial::PATIENCE);
        let why = "the capture did not come back within 30 s: interface tap9 is down".to_owned();
        assert_eq!(late, Standing::Failed(why));
        publish(&board, CaptureState::Quiet);
        assert_eq!(trial.look_after(&board, soon), Standing::Passed);
        publish(&board, CaptureState::Ended);
        assert!(matches!(trial.look_after(&board, soon), Standing::Failed(_)));
    }

    #[test]
    fn all_sources_must_come_back() {
        let board = Board::default();
        let (a, b) = (SourceId(0), SourceId(1));
        publish_of(&board, a, CaptureState::Running);
        let trial = Trial::begin(&board);
        publish_of(&board, a, CaptureState::Running);
        publish_of(&board, b, CaptureState::Waiting("interface tap9 is down".to_owned()));
        assert_eq!(trial.look_after(&board, Span::ZERO), Standing::Undecided);
        assert!(matches!(trial.look_after(&board, Trial::PATIENCE), Standing::Failed(_)));
        publish_of(&board, b, CaptureState::Quiet);
        assert_eq!(trial.look_after(&board, Span::ZERO), Standing::Passed);
    }

    #[test]
    fn a_capture_that_is_stopped_while_it_is_waited_for_has_not_come_back() {
        let board = Board::default();
        publish(&board, CaptureState::Waiting("interface tap9 is down".to_owned()));
        let waiting = Trial::begin(&board);
        publish(&board, CaptureState::Stopped);
        let stopped = Trial::begin(&board);
        publish(&board, CaptureState::Stopped);
        let why = "the capture was stopped before it was back".to_owned();
        assert_eq!(waiting.look_after(&board, Span::ZERO), Standing::Failed(why));
        assert_eq!(stopped.look_after(&board, Span::ZERO), Standing::Passed);
    }
}
