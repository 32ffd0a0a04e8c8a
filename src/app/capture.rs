//! A capture thread: source to meter, observations to the judge. It never waits for anyone.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, TrySendError};

use super::reading;
use super::status::{self, Readings};
use crate::capture::{
    CaptureError, Mirror, Moments, Next, Recent, Recorder, Source, SourceConfig, Tap, TapState,
};
use crate::control::{
    BaselinePhase, Board, CaptureCommand, CaptureState, CaptureStatus, CommandRefused, SourceKind,
};
use crate::demo::Paced;
use crate::pipeline::{Meter, MeterConfig, Observation, SourceId};
use crate::sys::clock::{self, Stopwatch};
use crate::sys::one_line;
use crate::time::{Span, Timestamp};

/// Where the daemon's frames come from.
pub(super) enum Input {
    /// A live tap.
    Tap(Box<Tap>),
    /// A listener for mirrored frames.
    Mirror(Box<Mirror>),
    /// The generated network.
    Demo {
        /// The network at its pace.
        network: Box<Paced>,
        /// Why it is played.
        why: String,
    },
}

impl Input {
    /// Opens what is configured.
    pub(super) fn open(config: &SourceConfig) -> Result<Self, CaptureError> {
        match config {
            SourceConfig::Tap(config) => Ok(Self::Tap(Box::new(Tap::open(config.clone())?))),
            SourceConfig::Mirror(config) => Ok(Self::Mirror(Box::new(Mirror::open(config.clone())?))),
        }
    }

    /// What it was opened with; none for the generated network.
    pub(super) fn config(&self) -> Option<SourceConfig> {
        match self {
            Self::Tap(tap) => Some(SourceConfig::Tap(tap.config().clone())),
            Self::Mirror(mirror) => Some(SourceConfig::Mirror(mirror.config().clone())),
            Self::Demo { .. } => None,
        }
    }

    pub(super) fn source(&mut self) -> &mut dyn Source {
        match self {
            Self::Tap(tap) => tap.as_mut(),
            Self::Mirror(mirror) => mirror.as_mut(),
            Self::Demo { network, .. } => network.as_mut(),
        }
    }

    pub(super) fn kind(&self) -> SourceKind {
        match self {
            Self::Tap(_) => SourceKind::Interface,
            Self::Mirror(_) => SourceKind::Mirror,
            Self::Demo { .. } => SourceKind::Demo,
        }
    }

    pub(super) fn name(&self) -> &str {
        match self {
            Self::Tap(tap) => tap.interface(),
            Self::Mirror(mirror) => mirror.name(),
            Self::Demo { .. } => "generated network",
        }
    }

    /// Whether what happens on the wire is seen. The generated network is always: nothing happens while it is paused.
    fn is_watching(&self) -> bool {
        match self {
            Self::Tap(tap) => *tap.state() == TapState::Running,
            Self::Mirror(mirror) => *mirror.state() == TapState::Running,
            Self::Demo { .. } => true,
        }
    }

    fn stop(&mut self) {
        match self {
            Self::Tap(tap) => tap.stop(),
            Self::Mirror(mirror) => mirror.stop(),
            Self::Demo { network, .. } => network.pause(),
        }
    }

    fn start(&mut self) -> Result<(), CommandRefused> {
        match self {
            Self::Tap(tap) => tap.start().map_err(|error| impossible(&error)),
            Self::Mirror(mirror) => mirror.start().map_err(|error| impossible(&error)),
            Self::Demo { network, .. } => {
                network.resume();
                Ok(())
            }
        }
    }

    fn reopen(&mut self, config: SourceConfig) -> Result<(), CommandRefused> {
        match (self, config) {
            (Self::Tap(tap), SourceConfig::Tap(config)) => {
                tap.reopen(config).map_err(|error| impossible(&error))
            }
            (Self::Mirror(mirror), SourceConfig::Mirror(config)) => {
                mirror.reopen(config).map_err(|error| impossible(&error))
            }
            (Self::Tap(_) | Self::Mirror(_), _) => {
                Err(CommandRefused::Impossible("an interface is no address".to_owned()))
            }
            (Self::Demo { .. }, _) => {
                let why = "the generated network is played, which has no interface; start the daemon anew to use one";
                Err(CommandRefused::Impossible(why.to_owned()))
            }
        }
    }

    pub(super) fn why(&self) -> &str {
        match self {
            Self::Tap(tap) => tap.why(),
            Self::Mirror(_) => "configured",
            Self::Demo { why, .. } => why,
        }
    }
}

fn impossible(error: &CaptureError) -> CommandRefused {
    CommandRefused::Impossible(one_line(error))
}

/// What the judging thread hears.
#[derive(Debug)]
pub(super) struct Heard {
    pub(super) from: SourceId,
    /// None where it will say nothing more.
    pub(super) seen: Option<Observation>,
}

/// The thread's state.
pub(super) struct CaptureLoop {
    pub(super) source: SourceId,
    pub(super) input: Input,
    pub(super) meter: Meter,
    pub(super) recent: Recent,
    /// Of captures on demand; there are few.
    pub(super) recorders: Vec<Recorder>,
    pub(super) config: MeterConfig,
    pub(super) commands: Receiver<CaptureCommand>,
    pub(super) board: Arc<Board>,
    pub(super) observations: SyncSender<Heard>,
    /// That all are to stop, or this one.
    pub(super) stop: [Arc<AtomicBool>; 2],
}

/// What the thread remembers from one frame to the next.
#[derive(Clone, Copy, Debug)]
struct Round {
    readings: Readings,
    /// The source was watching at the last look.
    watching: bool,
    /// Packet time at which commands are looked for next, where the source does not pause before.
    look: Timestamp,
}

impl CaptureLoop {
    /// Time between two publications of the status.
    const PUBLISH: Span = Span::from_millis(500);
    /// A source whose last frame is older than this is called quiet.
    const QUIET: Span = Span::from_secs(10);
    /// Packet time between two looks for commands: a busy source does not pause for them.
    const LOOK: Span = Span::from_millis(100);

    /// Runs until told to stop, the source ends, or the judge is gone.
    ///
    /// # Errors
    /// When the source is of no more use.
    pub(super) fn run(mut self) -> Result<(), CaptureError> {
        let (readings, watching) = (Readings::default(), self.input.is_watching());
        let mut round = Round { readings, watching, look: Timestamp::EPOCH };
        let mut published = Stopwatch::start();
        self.settle();
        self.publish(readings, false);
        while !self.stop.iter().any(|stop| stop.load(Ordering::Relaxed)) {
            let mut quiet_tick = false;
            let mut due = false;
            let mut latest = None;
            match self.input.source().next()? {
                Next::Frame(frame) => {
                    due = frame.time >= round.look;
                    latest = Some(frame.time);
                    round.readings.last_packet = latest;
                    self.recent.push(&frame);
                    self.recorders.iter_mut().for_each(|recorder| recorder.push(&frame));
                    self.meter.handle_frame(&frame);
                }
                Next::Idle(now) => {
                    quiet_tick = true;
                    self.pass(now, &mut round);
                }
                Next::End => break,
            }
            // The clock is read once a tick, not once a frame.
            let Ok(ticked) = self.forward(&mut round.readings) else { break };
            if ticked || quiet_tick || due {
                round.look = self.meter.now().unwrap_or_default() + Self::LOOK;
                self.recorders.retain_mut(Recorder::flush);
                while let Ok(command) = self.commands.try_recv() {
                    self.obey(command, &mut round);
                }
            }
            if (ticked || quiet_tick) && published.elapsed() >= Self::PUBLISH {
                published = Stopwatch::start();
                let counters = self.input.source().counters();
                reading::take(&mut self.meter, self.input.kind(), &counters, latest);
                self.publish(round.readings, false);
            }
        }
        for mut recorder in self.recorders.drain(..) {
            recorder.flush();
        }
        self.meter.finish();
        // The judge may be gone; what it did not take it does not miss.
        drop(self.forward(&mut round.readings));
        drop(self.observations.try_send(Heard { from: self.source, seen: None }));
        // One that is not wanted any more is shown no more.
        if !matches!(self.commands.try_recv(), Err(TryRecvError::Disconnected)) {
            self.publish(round.readings, true);
        }
        Ok(())
    }

    /// Shows the source before the thread runs.
    pub(super) fn announce(&mut self) {
        self.publish(Readings::default(), false);
    }

    /// No frame came. What came between a loss and the opening again nobody saw.
    fn pass(&mut self, now: Timestamp, round: &mut Round) {
        self.recent.handle_time(now);
        let watched = round.watching;
        round.watching = self.input.is_watching();
        if watched && round.watching {
            self.meter.handle_idle(now);
        } else {
            self.meter.handle_unwatched(now);
        }
    }

    /// Carries a command out. The answer comes after the status that shows it.
    fn obey(&mut self, command: CaptureCommand, round: &mut Round) {
        let watched = self.input.is_watching();
        let (done, reply) = match command {
            CaptureCommand::Recent { most, since, reply } => {
                return reply.send(Ok(self.recent.snapshot(most, since)));
            }
            CaptureCommand::Moments { next, reply } => {
                return reply.send(Ok(self.moments(next)));
            }
            CaptureCommand::Record { recorder, past, reply } => {
                self.recorders.push(*recorder);
                return reply.send(Ok(self.moments(if past { 0 } else { u64::MAX })));
            }
            CaptureCommand::Stop { reply } => {
                self.input.stop();
                tracing::info!("capture on {} is stopped on request", self.input.name());
                (Ok(()), reply)
            }
            CaptureCommand::Start { reply } => {
                let started = self.input.start();
                if started.is_ok() && !watched {
                    self.resumed(round);
                }
                (started, reply)
            }
            CaptureCommand::Reopen { config, reply } => {
                let reopened = self.input.reopen(*config);
                if reopened.is_ok() {
                    self.resumed(round);
                }
                (reopened, reply)
            }
        };
        self.publish(round.readings, false);
        reply.send(done);
    }

    /// What was seen last, with what is told of it.
    fn moments(&mut self, next: u64) -> Moments {
        Moments {
            source: self.input.name().to_owned(),
            counters: self.input.source().counters(),
            packets: self.recent.snapshot_after(next),
        }
    }

    /// The source was asked for anew; nobody saw what came before.
    fn resumed(&mut self, round: &mut Round) {
        let (name, watching) = (self.input.name(), self.input.is_watching());
        tracing::info!("capture on {name} is asked for; {}", if watching { "open" } else { "not open yet" });
        self.meter.handle_unwatched(clock::now());
        round.watching = watching;
        self.settle();
    }

    /// Says where the frames come from now.
    fn settle(&mut self) {
        if let Input::Tap(tap) = &self.input {
            reading::place(&mut self.meter, tap.interface());
        }
    }

    fn publish(&mut self, readings: Readings, ended: bool) {
        let counters = self.input.source().counters();
        let now = self.meter.now().unwrap_or_default();
        let quiet = readings.last_packet.is_none_or(|at| now.since(at) > Self::QUIET);
        let of = |state: &TapState| match state {
            TapState::Waiting(why) => CaptureState::Waiting(why.clone()),
            TapState::Running if quiet => CaptureState::Quiet,
            TapState::Running => CaptureState::Running,
            TapState::Stopped => CaptureState::Stopped,
        };
        let (state, losses) = match &self.input {
            _ if ended => (CaptureState::Ended, 0),
            Input::Tap(tap) => (of(tap.state()), tap.losses()),
            Input::Mirror(mirror) => (of(mirror.state()), mirror.losses()),
            Input::Demo { network, .. } if network.is_paused() => (CaptureState::Stopped, 0),
            Input::Demo { .. } => (CaptureState::Running, 0),
        };
        let capture = CaptureStatus {
            kind: self.input.kind(),
            name: self.input.name().to_owned(),
            why: self.input.why().to_owned(),
            state,
            counters,
            losses,
            mirror: match &self.input {
                Input::Mirror(mirror) => Some(mirror.mirror_counters().clone()),
                Input::Tap(_) | Input::Demo { .. } => None,
            },
        };
        let judge = self.board.judge.latest();
        let armed = judge.as_deref().filter(|j| j.baseline.phase == BaselinePhase::Armed);
        let strangers = armed.map(|j| j.strangers.as_slice());
        let status =
            status::meter((self.source, &self.meter), &self.config.flow, capture, readings, strangers);
        self.board.meter.publish(status);
    }

    /// Hands over what was observed; whether a tick was among it.
    fn forward(&mut self, readings: &mut Readings) -> Result<bool, JudgeGone> {
        let mut ticked = false;
        while let Some(observation) = self.meter.poll_observation() {
            ticked |= matches!(observation, Observation::Time(_) | Observation::Step(_));
            match self.observations.try_send(Heard { from: self.source, seen: Some(observation) }) {
                Ok(()) => {}
                Err(TrySendError::Full(_)) => readings.observations_dropped += 1,
                Err(TrySendError::Disconnected(_)) => return Err(JudgeGone),
            }
        }
        Ok(ticked)
    }
}

/// The judging thread has ended.
struct JudgeGone;

#[cfg(test)]
mod tests {
    use std::sync::mpsc::sync_channel;
    use std::thread;

    use super::*;
    use crate::capture;
    use crate::control::CommandQueue;
    use crate::demo::{self, Network};

    /// The capture thread on the generated network, with what surrounds it.
    struct Bench {
        board: Arc<Board>,
        queue: CommandQueue,
        observations: Receiver<Heard>,
        stop: Arc<AtomicBool>,
        ended: thread::JoinHandle<Result<(), CaptureError>>,
    }

    impl Bench {
        fn new(speed: u32) -> Self {
            let network = Network::new(demo::Config::new(1, Timestamp::from_parts(1_700_000_040, 0)));
            let input = Input::Demo { network: Box::new(Paced::new(network, speed)), why: String::new() };
            let (board, stop) = (Arc::new(Board::default()), Arc::new(AtomicBool::new(false)));
            let (queue, _) = CommandQueue::new();
            let source = SourceId::default();
            let (sender, observations) = sync_channel(1_024);
            let config = MeterConfig::default();
            let capture = CaptureLoop {
                source,
                input,
                meter: Meter::new(&config),
                recent: Recent::new(),
                recorders: Vec::new(),
                config,
                commands: queue.add_source(source),
                board: Arc::clone(&board),
                observations: sender,
                stop: [Arc::clone(&stop), Arc::default()],
            };
            Self { board, queue, observations, stop, ended: thread::spawn(|| capture.run()) }
        }

        fn shown(&self) -> (CaptureState, u64) {
            let capture = self.board.meter.latest().unwrap().capture.clone();
            (capture.state, capture.counters.frames)
        }

        /// Waits until more frames than these are shown.
        fn wait_beyond(&self, frames: u64) {
            let waited = Stopwatch::start();
            while self.board.meter.latest().is_none_or(|m| m.capture.counters.frames <= frames) {
                assert!(waited.elapsed() < Span::from_secs(60), "no frame for a minute");
                thread::yield_now();
            }
        }

        fn end(self) {
            self.stop.store(true, Ordering::Relaxed);
            drop(self.observations);
            self.ended.join().unwrap().unwrap();
        }
    }

    #[test]
    fn commands_are_obeyed_at_any_pace_and_shown_before_they_are_answered() {
        // As fast as it can, which is a flood, and so slow that hardly a frame comes.
        for speed in [u32::MAX, 1] {
            let bench = Bench::new(speed);
            bench.wait_beyond(0);
            let newest = bench.queue.recent_packets(None, 3, None).unwrap();
            assert_eq!(newest.frames().count(), newest.held().min(3));
            assert!(newest.held() > 0);
            let watch = Stopwatch::start();
            bench.queue.stop_capture().unwrap();
            let (state, frames) = bench.shown();
            assert_eq!(state, CaptureState::Stopped);
            bench.queue.stop_capture().unwrap();
            assert_eq!(bench.shown(), (CaptureState::Stopped, frames), "twice is once");
            bench.queue.start_capture().unwrap();
            assert_eq!(bench.shown().0, CaptureState::Running);
            bench.queue.start_capture().unwrap();
            assert!(watch.elapsed() < Span::from_secs(4), "four commands, each within a second");
            bench.wait_beyond(frames);
            bench.end();
        }
    }

    #[test]
    fn the_generated_network_has_no_interface_to_open() {
        let bench = Bench::new(1);
        let tap = SourceConfig::Tap(capture::Config::default());
        let refused = bench.queue.reopen_capture(SourceId::default(), tap).unwrap_err();
        assert!(matches!(&refused, CommandRefused::Impossible(why) if why.contains("generated network")));
        assert_eq!(bench.shown().0, CaptureState::Running);
        bench.end();
    }
}
