//! The daemon from start to stop. It tells the story: open, announce, run, wait, drain with a deadline.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::sync_channel;
use std::thread;

use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Notify, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::AppError;
use super::capture::{CaptureLoop, Input};
use super::judging::JudgeLoop;
use super::start::{self, DEMO_LEARNING, Options};
use crate::capture::CaptureError;
use crate::config::Config;
use crate::control::{Board, CommandQueue, DeviceSummary};
use crate::http::{About, Parts, Server};
use crate::mqtt;
use crate::store::Store;
use crate::sys::clock::{self, Stopwatch};
use crate::time::Span;

/// Everything that runs, in the order in which it stops.
struct Daemon {
    stop_capture: Arc<AtomicBool>,
    capture_ended: oneshot::Receiver<Result<(), CaptureError>>,
    judge_ended: oneshot::Receiver<()>,
    stop_mqtt: watch::Sender<bool>,
    mqtt: Option<JoinHandle<()>>,
    http: Server,
    store: Store,
    board: Arc<Board>,
}

/// Time for an orderly stop, below what a service manager gives.
const DEADLINE: Span = Span::from_secs(10);
/// Observations that may wait for the judge: a minute of a busy network's windows. Overflow is counted as lost.
const OBSERVATIONS: usize = 16_384;

/// Time between two frames or idle calls of a live source beyond which the clock has jumped.
const LONGEST_STEP: Span = Span::from_secs(30);

/// Runs the daemon until SIGTERM or SIGINT. What people need to know is written to `console`; the rest is logged.
///
/// # Errors
/// When something cannot be opened, or a thread ends by itself.
pub fn run(mut config: Config, options: &Options, console: &mut dyn Write) -> Result<(), AppError> {
    let input = start::open_input(&config.capture, options.origin)?;
    let passing = match input {
        Input::Demo { .. } => adapt_to_demo(&mut config),
        Input::Tap(_) => None,
    };
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|source| AppError::Start { what: "the runtime", source })?;
    // Before anyone is told that it runs: a stop that comes at once is orderly too.
    let result = Signals::new(&runtime).and_then(|signals| {
        let daemon = start(config, input, options, &runtime, console)?;
        runtime.block_on(daemon.wait_and_stop(signals))
    });
    if let Some(directory) = passing
        && let Err(error) = std::fs::remove_dir_all(&directory)
    {
        tracing::warn!("{} of the demo is left behind: {error}", directory.display());
    }
    result
}

/// The generated network is learned in minutes of its own time, and kept only for as long as it runs unless a place
/// for the store was chosen.
fn adapt_to_demo(config: &mut Config) -> Option<std::path::PathBuf> {
    if config.judge.baseline.duration == crate::baseline::Config::default().duration {
        config.judge.baseline.duration = DEMO_LEARNING;
    }
    if config.store.path == crate::store::Config::default().path {
        config.store.path = start::passing_directory();
        return Some(config.store.path.clone());
    }
    None
}

fn start(
    mut config: Config,
    input: Input,
    options: &Options,
    runtime: &Runtime,
    console: &mut dyn Write,
) -> Result<Daemon, AppError> {
    let (store, replaced) = start::open_store(&config.store)?;
    let board = Arc::new(Board::default());
    let (commands, asked) = CommandQueue::new();
    let announcement = announcement(&input);
    // A live source tells the time many times a second.
    config.meter.longest_step = LONGEST_STEP;
    let meter = start::meter(&config.meter, &store)?;
    let judge = start::judge(config.judge.clone(), &store)?;
    let parts = Parts {
        board: Arc::clone(&board),
        archive: Arc::new(store.clone()),
        commands,
        token: start::admin_token(&store, options.new_token, console)?,
        about: About {
            tap: config.judge.alert.tap.clone(),
            version: env!("CARGO_PKG_VERSION"),
            started: clock::now(),
        },
    };
    let http = Server::start(&config.http, parts)?;
    writeln!(console, "page         http://{}/\nsource       {announcement}", shown(http.address()))
        .and_then(|()| console.flush())
        .map_err(AppError::Output)?;

    let (sender, observations) = sync_channel(OBSERVATIONS);
    let stop_capture = Arc::new(AtomicBool::new(false));
    let capture = CaptureLoop {
        input,
        meter,
        config: config.meter,
        board: Arc::clone(&board),
        observations: sender,
        stop: Arc::clone(&stop_capture),
    };
    let judging = JudgeLoop {
        judge,
        observations,
        commands: asked,
        store: store.clone(),
        board: Arc::clone(&board),
        replaced,
    };
    let judge_ended = spawn("judge", move || judging.run())?;
    let capture_ended = spawn("capture", move || capture.run())?;
    let (stop_mqtt, stop) = watch::channel(false);
    let mqtt = config.mqtt.map(|settings| publish(settings, &store, &board, stop, runtime));
    Ok(Daemon { stop_capture, capture_ended, judge_ended, stop_mqtt, mqtt, http, store, board })
}

fn announcement(input: &Input) -> String {
    match input {
        Input::Tap(_) => format!("interface {} ({})", input.name(), input.why()),
        Input::Demo { .. } => format!("generated network, not yours ({})", input.why()),
    }
}

/// What a browser on this machine is given.
fn shown(address: std::net::SocketAddr) -> String {
    if address.ip().is_loopback() || address.ip().is_unspecified() {
        format!("localhost:{}", address.port())
    } else {
        address.to_string()
    }
}

fn publish(
    settings: mqtt::Config,
    store: &Store,
    board: &Arc<Board>,
    stop: watch::Receiver<bool>,
    runtime: &Runtime,
) -> JoinHandle<()> {
    let wake = Arc::new(Notify::new());
    let bell = Arc::clone(&wake);
    store.on_outbox(Box::new(move || bell.notify_one()));
    let parts = mqtt::Parts { queue: Arc::new(store.clone()), board: Arc::clone(board), wake, stop };
    runtime.spawn(mqtt::run(settings, parts))
}

/// A named thread; the receiver gets what it returns, or an error when it panicked.
fn spawn<T: Send + 'static>(
    name: &'static str,
    body: impl FnOnce() -> T + Send + 'static,
) -> Result<oneshot::Receiver<T>, AppError> {
    let (ended, receiver) = oneshot::channel();
    thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || {
            // Nobody listens any more when the daemon did not wait for it.
            drop(ended.send(body()));
        })
        .map_err(|source| AppError::Start { what: name, source })?;
    Ok(receiver)
}

/// What ends the daemon from outside.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new(runtime: &Runtime) -> Result<Self, AppError> {
        let _entered = runtime.enter();
        let listen =
            |kind| signal(kind).map_err(|source| AppError::Start { what: "signal handling", source });
        Ok(Self { terminate: listen(SignalKind::terminate())?, interrupt: listen(SignalKind::interrupt())? })
    }
}

impl Daemon {
    async fn wait_and_stop(mut self, mut signals: Signals) -> Result<(), AppError> {
        let died = self.serve(&mut signals).await;
        tracing::info!("stopping");
        // A second interrupt is a person who does not want to wait.
        let stopped = tokio::select! {
            stopped = timeout(DEADLINE.to_std(), self.stop()) => stopped.unwrap_or(Err(AppError::Late(DEADLINE))),
            _ = signals.interrupt.recv() => Err(AppError::Late(Span::ZERO)),
        };
        died.and(stopped)
    }

    /// Until a signal comes or a thread ends.
    async fn serve(&mut self, signals: &mut Signals) -> Result<(), AppError> {
        let mut housekeeping = interval(Housekeeping::INTERVAL.to_std());
        housekeeping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut keeper = Housekeeping::new();
        loop {
            tokio::select! {
                _ = signals.terminate.recv() => return Ok(()),
                _ = signals.interrupt.recv() => return Ok(()),
                ended = &mut self.capture_ended => return match ended {
                    Ok(Err(error)) => Err(error.into()),
                    Ok(Ok(())) | Err(_) => Err(AppError::Died { what: "the capture thread" }),
                },
                _ = &mut self.judge_ended => return Err(AppError::Died { what: "the judging thread" }),
                _ = housekeeping.tick() => keeper.handle(&self.board, &self.store),
            }
        }
    }

    /// Capture first, so that nothing new comes; then what waits is judged and stored; then it is told.
    async fn stop(self) -> Result<(), AppError> {
        self.stop_capture.store(true, Ordering::Relaxed);
        // Either may have ended already, which was told.
        if !self.capture_ended.is_terminated() {
            drop(self.capture_ended.await);
        }
        if !self.judge_ended.is_terminated() {
            drop(self.judge_ended.await);
        }
        Housekeeping::new().handle(&self.board, &self.store);
        self.stop_mqtt.send_replace(true);
        if let Some(mqtt) = self.mqtt
            && mqtt.await.is_err()
        {
            tracing::error!("the MQTT task ended by itself");
        }
        self.http.stop(Span::from_secs(2));
        self.store.close(Span::from_secs(3))?;
        Ok(())
    }
}

/// What is done now and then: the store's status is shown, devices are kept.
struct Housekeeping {
    since_saved: Option<Stopwatch>,
    saved: Vec<(Option<crate::packet::Mac>, Vec<std::net::IpAddr>, Option<String>)>,
}

impl Housekeeping {
    const INTERVAL: Span = Span::from_secs(1);
    /// Devices are kept when one appears or changes, and their counters this often, to spare the storage medium.
    const KEEP: Span = Span::from_secs(300);

    const fn new() -> Self {
        Self { since_saved: None, saved: Vec::new() }
    }

    fn handle(&mut self, board: &Board, store: &Store) {
        board.store.publish(store.status());
        let Some(meter) = board.meter.latest() else { return };
        let now: Vec<_> = meter.devices.iter().map(identity).collect();
        if now == self.saved && self.since_saved.is_some_and(|s| s.elapsed() < Self::KEEP) {
            return;
        }
        match store.save_devices(meter.devices.clone()) {
            Ok(()) => {
                self.saved = now;
                self.since_saved = Some(Stopwatch::start());
            }
            Err(error) => tracing::error!("{error}"),
        }
    }
}

fn identity(device: &DeviceSummary) -> (Option<crate::packet::Mac>, Vec<std::net::IpAddr>, Option<String>) {
    (device.mac, device.ips.clone(), device.name.clone())
}
