//! The capture thread: source to meter, observations to the judge. It never waits for anyone.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError};

use super::status::{self, Readings};
use crate::capture::{CaptureError, Next, Source, Tap, TapState};
use crate::control::{BaselinePhase, Board, CaptureCommand, CaptureState, CaptureStatus, SourceKind};
use crate::demo::Paced;
use crate::pipeline::{Meter, MeterConfig, Observation};
use crate::sys::clock::Stopwatch;
use crate::time::Span;

/// Where the daemon's frames come from.
pub(super) enum Input {
    /// A live tap.
    Tap(Box<Tap>),
    /// The generated network.
    Demo {
        /// The network at its pace.
        network: Box<Paced>,
        /// Why it is played.
        why: String,
    },
}

impl Input {
    pub(super) fn source(&mut self) -> &mut dyn Source {
        match self {
            Self::Tap(tap) => tap.as_mut(),
            Self::Demo { network, .. } => network.as_mut(),
        }
    }

    pub(super) fn kind(&self) -> SourceKind {
        match self {
            Self::Tap(_) => SourceKind::Interface,
            Self::Demo { .. } => SourceKind::Demo,
        }
    }

    pub(super) fn name(&self) -> &str {
        match self {
            Self::Tap(tap) => tap.interface(),
            Self::Demo { .. } => "generated network",
        }
    }

    pub(super) fn why(&self) -> &str {
        match self {
            Self::Tap(tap) => tap.why(),
            Self::Demo { why, .. } => why,
        }
    }
}

/// The thread's state.
pub(super) struct CaptureLoop {
    pub(super) input: Input,
    pub(super) meter: Meter,
    pub(super) config: MeterConfig,
    pub(super) commands: Receiver<CaptureCommand>,
    pub(super) board: Arc<Board>,
    pub(super) observations: SyncSender<Observation>,
    pub(super) stop: Arc<AtomicBool>,
}

impl CaptureLoop {
    /// Time between two publications of the status.
    const PUBLISH: Span = Span::from_millis(500);
    /// A source whose last frame is older than this is called quiet.
    const QUIET: Span = Span::from_secs(10);

    /// Runs until told to stop, the source ends, or the judge is gone.
    ///
    /// # Errors
    /// When the source is of no more use.
    pub(super) fn run(mut self) -> Result<(), CaptureError> {
        let mut readings = Readings::default();
        let mut published = Stopwatch::start();
        self.publish(readings, false);
        while !self.stop.load(Ordering::Relaxed) {
            let mut quiet_tick = false;
            match self.input.source().next()? {
                Next::Frame(frame) => {
                    readings.last_packet = Some(frame.time);
                    self.meter.handle_frame(&frame);
                }
                Next::Idle(now) => {
                    quiet_tick = true;
                    self.meter.handle_idle(now);
                }
                Next::End => break,
            }
            // The clock is read once a tick, not once a frame.
            let Ok(ticked) = forward(&mut self.meter, &self.observations, &mut readings) else { break };
            if (ticked || quiet_tick) && published.elapsed() >= Self::PUBLISH {
                published = Stopwatch::start();
                self.publish(readings, false);
            }
        }
        self.meter.finish();
        // The judge may be gone; what it did not take it does not miss.
        drop(forward(&mut self.meter, &self.observations, &mut readings));
        self.publish(readings, true);
        Ok(())
    }

    fn publish(&mut self, readings: Readings, ended: bool) {
        let counters = self.input.source().counters();
        let now = self.meter.now().unwrap_or_default();
        let quiet = readings.last_packet.is_none_or(|at| now.since(at) > Self::QUIET);
        let (state, losses) = match &self.input {
            _ if ended => (CaptureState::Ended, 0),
            Input::Tap(tap) => match tap.state() {
                TapState::Waiting(why) => (CaptureState::Waiting(why.clone()), tap.losses()),
                TapState::Running if quiet => (CaptureState::Quiet, tap.losses()),
                TapState::Running => (CaptureState::Running, tap.losses()),
            },
            Input::Demo { .. } => (CaptureState::Running, 0),
        };
        let capture = CaptureStatus {
            kind: self.input.kind(),
            name: self.input.name().to_owned(),
            why: self.input.why().to_owned(),
            state,
            counters,
            losses,
        };
        let judge = self.board.judge.latest();
        let armed = judge.as_deref().filter(|j| j.baseline.phase == BaselinePhase::Armed);
        let strangers = armed.map(|j| j.strangers.as_slice());
        let status = status::meter(&self.meter, &self.config.flow, capture, readings, strangers);
        self.board.meter.publish(status);
    }
}

/// The judging thread has ended.
struct JudgeGone;

/// Hands over what was observed; whether a tick was among it.
fn forward(
    meter: &mut Meter,
    to: &SyncSender<Observation>,
    readings: &mut Readings,
) -> Result<bool, JudgeGone> {
    let mut ticked = false;
    while let Some(observation) = meter.poll_observation() {
        ticked |= matches!(observation, Observation::Time(_) | Observation::Step(_));
        match to.try_send(observation) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => readings.observations_dropped += 1,
            Err(TrySendError::Disconnected(_)) => return Err(JudgeGone),
        }
    }
    Ok(ticked)
}
