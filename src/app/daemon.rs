//! The daemon from start to stop. It tells the story: open, announce, run, wait, drain with a deadline.

use std::io::{IsTerminal, Write};
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::thread;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{Interval, MissedTickBehavior, interval, timeout};

use super::AppError;
use super::capture::Input;
use super::desk::{Desk, Request};
use super::evidence::{EvidenceDesk, Gatherer};
use super::housekeeping::Housekeeping;
use super::judging::JudgeLoop;
use super::opening::Opening;
use super::recording::Recordings;
use super::reload::{Changes, Reload};
use super::settings::Settings;
use super::start::{self, Options};
use super::supervision::Supervision;
use super::taps::{Ended, Seat, Taps};
use super::trial::Trial;
use crate::config::{Config, Origin};
use crate::control::{
    Board, CaptureDesk, CommandQueue, CommandRefused, SettingsAnswer, SettingsChange, SettingsDesk,
    SettingsRefused,
};
use crate::http::{self, About, Parts, Server};
use crate::mqtt;
use crate::pipeline::{Confluence, MeterConfig};
use crate::store::Store;
use crate::sys::clock;
use crate::sys::one_line;
use crate::time::Span;

/// Everything that runs, in the order in which it stops.
struct Daemon {
    taps: Arc<Taps>,
    capture_ended: mpsc::Receiver<Ended>,
    judge_ended: oneshot::Receiver<()>,
    evidence_ended: oneshot::Receiver<()>,
    recordings: Arc<Recordings>,
    stop_mqtt: watch::Sender<bool>,
    mqtt: Option<JoinHandle<()>>,
    commands: CommandQueue,
    desk: Arc<dyn SettingsDesk>,
    requests: mpsc::Receiver<Request>,
    http: Server,
    store: Store,
    board: Arc<Board>,
}

/// What each stage of an orderly stop may take: 14 s in all, below what a service manager gives.
mod deadline {
    use crate::time::Span;

    pub(super) const CAPTURE: Span = Span::from_secs(2);
    pub(super) const JUDGE: Span = Span::from_secs(3);
    pub(super) const FILES: Span = Span::from_secs(1);
    pub(super) const MQTT: Span = Span::from_secs(3);
    pub(super) const HTTP: Span = Span::from_secs(1);
    pub(super) const STORE: Span = Span::from_secs(4);
}

/// Observations that may wait for the judge: a minute of a busy network's windows. Overflow is counted as lost.
const OBSERVATIONS: usize = 16_384;

/// Time between two frames or idle calls of a live source beyond which the clock has jumped.
const LONGEST_STEP: Span = Span::from_secs(30);

/// Runs the daemon until SIGTERM or SIGINT; at SIGHUP the configuration is read again as `reload` says. `config` is
/// what it gives without what was set remotely. What people need to know is written to `console`; the rest is logged.
///
/// # Errors
/// When something cannot be opened, or a thread ends by itself.
pub fn run(
    config: &Config,
    options: &Options,
    reload: Reload,
    console: &mut dyn Write,
) -> Result<(), AppError> {
    let Opening { inputs, config: full, settings, store, replaced, passing } =
        Opening::open(config, options, reload)?;
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|source| AppError::Start { what: "the runtime", source })?;
    // Before anyone is told that it runs: a stop that comes at once is orderly too.
    let result = Signals::new(&runtime).and_then(|signals| {
        let parts = Opened { config: full, plain: config, inputs, store, replaced, settings: &settings };
        let daemon = start(parts, options, &runtime, console)?;
        let supervision = Supervision::new(options.manager.clone());
        runtime.block_on(daemon.wait_and_stop(signals, settings, supervision))
    });
    // A name that is being looked up for the broker is not waited for.
    runtime.shutdown_background();
    if let Some(directory) = passing
        && let Err(error) = std::fs::remove_dir_all(&directory)
    {
        tracing::warn!("{} of the demo is left behind: {error}", directory.display());
    }
    result
}

/// What the threads are made of.
struct Opened<'a> {
    config: Config,
    /// Without what was set remotely.
    plain: &'a Config,
    inputs: Vec<Input>,
    store: Store,
    replaced: bool,
    settings: &'a Settings,
}

/// What the meter of a source that tells the time many times a second is made with.
fn suit(meter: &mut MeterConfig, inputs: &[Input]) -> Result<(), AppError> {
    meter.longest_step = LONGEST_STEP;
    // Whoever sends to a tap must not know which keys collide. No result depends on it.
    if inputs.iter().any(|input| !matches!(input, Input::Demo { .. })) {
        meter.flow.hash_seed = getrandom::u64().map_err(|_| AppError::NoChance("the key of the tables"))?;
    }
    Ok(())
}

fn start(
    Opened { mut config, plain, inputs, store, replaced, settings }: Opened<'_>,
    options: &Options,
    runtime: &Runtime,
    console: &mut dyn Write,
) -> Result<Daemon, AppError> {
    let board = Arc::new(Board::default());
    let (commands, asked) = CommandQueue::new();
    suit(&mut config.meter, &inputs)?;
    let judge = start::judge(config.judge.clone(), &store)?;
    let token = start::admin_token(&store, options.new_token)?;
    let (desk, requests) = Desk::open(settings.shown(), store.clone());
    let recordings = Arc::new(Recordings::new(store.captures(), commands.clone()));
    let http = {
        let (board, commands, settings) = (Arc::clone(&board), commands.clone(), Arc::clone(&desk));
        let captures: Arc<dyn CaptureDesk> = Arc::<Recordings>::clone(&recordings);
        let (archive, feed, evidence) = (Arc::new(store.clone()), store.feed(), store.evidence());
        let (token, about) = (token.hash.clone(), about(&config));
        let parts = Parts { board, archive, feed, commands, evidence, captures, settings, token, about };
        listen(&config, plain, parts)?
    };
    let announced = announcement(&inputs);

    let (sender, observations) = sync_channel(OBSERVATIONS);
    let (ended, capture_ended) = mpsc::channel(Taps::ENDS);
    let sources = start::meters(&config.meter, inputs, &store)?;
    let seat = Seat { meter: config.meter, observations: sender, ended };
    let taps = Arc::new(Taps::new(&board, &commands, seat));
    let (evidence, evidence_ended) = gather(&store, &commands, config.store.evidence_snapshot)?;
    let judging = JudgeLoop {
        evidence,
        judge,
        observations,
        confluence: Confluence::new(),
        commands: asked,
        store: store.clone(),
        board: Arc::clone(&board),
        training: None,
        replaced,
    };
    let judge_ended = spawn("judge", move || judging.run())?;
    taps.start(sources)?;
    // Whoever reads where the page is may ask for anything at once.
    start::announce(&store, token.fresh.as_ref(), &shown(http.address()), &announced, console)?;
    let (stop_mqtt, stop) = watch::channel(false);
    let parts = || mqtt_parts(&store, &board, &commands, &desk, stop);
    let mqtt = config.mqtt.map(|settings| runtime.spawn(mqtt::run(settings, parts())));
    Ok(Daemon {
        taps,
        capture_ended,
        judge_ended,
        evidence_ended,
        recordings,
        stop_mqtt,
        mqtt,
        commands,
        desk,
        requests,
        http,
        store,
        board,
    })
}

/// Starts what cuts evidence of alerts.
fn gather(
    store: &Store,
    commands: &CommandQueue,
    snapshot: u32,
) -> Result<(EvidenceDesk, oneshot::Receiver<()>), AppError> {
    let (evidence, alerts) = EvidenceDesk::new(store.evidence());
    let gatherer = Gatherer::new(alerts, commands.clone(), store.evidence(), snapshot);
    Ok((evidence, spawn("evidence", move || gatherer.run())?))
}

/// Starts the page. An address that was set remotely and cannot be listened on would lock everyone out who is not at
/// the machine, so that without it is taken then.
fn listen(config: &Config, plain: &Config, parts: Parts) -> Result<Server, AppError> {
    let remote = *config.origin("http.listen") == Origin::Remote;
    match Server::start(&config.http, parts.clone()) {
        Err(error) if remote => {
            tracing::error!("http.listen as set remotely is not used: {}", one_line(&error));
            let http = http::Config { listen: plain.http.listen, ..config.http.clone() };
            Ok(Server::start(&http, parts)?)
        }
        started => Ok(started?),
    }
}

fn about(config: &Config) -> About {
    let tap = config.judge.alert.tap.clone();
    About { tap, version: env!("CARGO_PKG_VERSION"), started: clock::now() }
}

fn announcement(inputs: &[Input]) -> String {
    let one = |input: &Input| match input {
        Input::Tap(_) => format!("interface {} ({})", input.name(), input.why()),
        Input::Mirror(_) => format!("mirrored frames sent to {}", input.name()),
        Input::Demo { .. } => format!("generated network, not yours ({})", input.why()),
    };
    inputs.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// What a browser on this machine is given.
fn shown(address: std::net::SocketAddr) -> String {
    if address.ip().is_loopback() || address.ip().is_unspecified() {
        format!("localhost:{}", address.port())
    } else {
        address.to_string()
    }
}

fn mqtt_parts(
    store: &Store,
    board: &Arc<Board>,
    commands: &CommandQueue,
    settings: &Arc<dyn SettingsDesk>,
    stop: watch::Receiver<bool>,
) -> mqtt::Parts {
    let wake = Arc::new(Notify::new());
    let bell = Arc::clone(&wake);
    store.on_outbox(Box::new(move || bell.notify_one()));
    let (queue, archive) = (Arc::new(store.clone()), Arc::new(store.clone()));
    let (board, commands) = (Arc::clone(board), commands.clone());
    let settings = Arc::clone(settings);
    mqtt::Parts { queue, archive, board, commands, settings, wake, stop }
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

/// What the daemon is told from outside.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    /// A terminal started the daemon.
    at_terminal: bool,
}

impl Signals {
    fn new(runtime: &Runtime) -> Result<Self, AppError> {
        let _entered = runtime.enter();
        let listen =
            |kind| signal(kind).map_err(|source| AppError::Start { what: "signal handling", source });
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            hangup: listen(SignalKind::hangup())?,
            at_terminal: std::io::stdin().is_terminal(),
        })
    }

    /// Whether a hangup is one: the terminal is gone, so nobody asks for a reload.
    fn terminal_is_gone(&self) -> bool {
        self.at_terminal && !std::io::stdin().is_terminal()
    }

    /// Until the daemon is to stop.
    async fn stop(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

impl Daemon {
    async fn wait_and_stop(
        mut self,
        mut signals: Signals,
        mut settings: Settings,
        mut supervision: Supervision,
    ) -> Result<(), AppError> {
        let died = self.serve(&mut signals, &mut settings, &mut supervision).await;
        tracing::info!("stopping");
        supervision.stopping();
        // A second interrupt is a person who does not want to wait.
        let stopped = tokio::select! {
            stopped = self.stop() => stopped,
            _ = signals.interrupt.recv() => Err(AppError::Hurried),
        };
        died.and(stopped)
    }

    /// Until a signal comes or a thread ends. A change that is being made then is given up: what of it is kept already
    /// holds from the next start on, unless it was on trial.
    async fn serve(
        &mut self,
        signals: &mut Signals,
        settings: &mut Settings,
        supervision: &mut Supervision,
    ) -> Result<(), AppError> {
        let mut trial = every(Trial::LOOK);
        let mut housekeeping = every(Housekeeping::INTERVAL);
        let mut opening = every(Supervision::OPENING);
        let mut beat = every(supervision.beat());
        let mut keeper = Housekeeping::new();
        let board = Arc::clone(&self.board);
        loop {
            tokio::select! {
                _ = signals.terminate.recv() => return Ok(()),
                _ = signals.interrupt.recv() => return Ok(()),
                _ = signals.hangup.recv() => {
                    if signals.terminal_is_gone() {
                        return Ok(());
                    }
                    supervision.reloading();
                    let reload = self.reload(settings);
                    match supervision.attend(&board, reload, signals.stop()).await {
                        Some(refused) => supervision.reloaded(refused, &board),
                        None => return Ok(()),
                    }
                }
                Some(ended) = self.capture_ended.recv() => {
                    if let Some(error) = self.taps.handle_end(ended) {
                        return Err(error);
                    }
                }
                _ = &mut self.judge_ended => return Err(AppError::Died { what: "the judging thread" }),
                _ = &mut self.evidence_ended => return Err(AppError::Died { what: "the evidence thread" }),
                Some(request) = self.requests.recv() => {
                    let change = self.change(&request.change, settings);
                    match supervision.attend(&board, change, signals.stop()).await {
                        Some(answer) => request.answer(answer),
                        None => return Ok(()),
                    }
                }
                _ = trial.tick(), if settings.on_trial() => {
                    let look = self.look_at_trial(settings);
                    if supervision.attend(&board, look, signals.stop()).await.is_none() {
                        return Ok(());
                    }
                }
                _ = opening.tick(), if !supervision.is_ready() => supervision.handle(&board),
                _ = beat.tick() => supervision.handle(&board),
                _ = housekeeping.tick() => keeper.handle(&board, &self.store, &self.recordings),
            }
        }
    }

    /// Reads the configuration again. One that is not good changes nothing, and it says why.
    async fn reload(&mut self, settings: &mut Settings) -> Option<String> {
        match settings.reload() {
            Ok(changes) => match self.apply(changes, settings).await {
                Ok(()) => None,
                Err(refused) => {
                    settings.capture_stays();
                    let why = refused.to_string();
                    tracing::error!("the capture goes on with the settings before the reload: {why}");
                    Some(why)
                }
            },
            Err(error) => {
                let why = one_line(&error);
                tracing::error!("the configuration is not reloaded, the old one stays in force: {why}");
                Some(why)
            }
        }
    }

    /// Makes a change that somebody asks for over HTTP or MQTT.
    async fn change(
        &mut self,
        change: &SettingsChange,
        settings: &mut Settings,
    ) -> Result<SettingsAnswer, SettingsRefused> {
        let mut plan = settings.plan(change)?;
        let planned = std::mem::take(&mut plan.changes);
        if !settings.is_new(&plan) {
            // Files may have changed since they were read, but nobody asked to read them again.
            return Ok(settings.answer(Vec::new(), false));
        }
        if change.dry_run {
            return Ok(settings.answer(planned, plan.moves_capture));
        }
        let on_trial = plan.moves_capture;
        let changes = settings.carry_out(plan, &planned, change.author).await?;
        match self.apply(changes, settings).await {
            Ok(()) => {}
            Err(refused) if on_trial => {
                let mut back = settings.roll_back(&refused.to_string()).await;
                // What was refused was not opened. What has no answer may still be, so the old one is asked for.
                if !matches!(refused, CommandRefused::NoAnswer(_)) {
                    back.capture = None;
                }
                if let Err(error) = self.apply(back, settings).await {
                    settings.capture_stays();
                    tracing::error!("the capture cannot be opened as before: {error}");
                }
                return Err(match refused {
                    CommandRefused::Impossible(why) => SettingsRefused::TakenBack(why),
                    other => other.into(),
                });
            }
            Err(refused) => {
                settings.capture_stays();
                tracing::error!("the capture still does not take its settings: {refused}");
            }
        }
        settings.begin_trial(&self.board);
        Ok(settings.answer(planned, on_trial))
    }

    /// Takes a change back whose capture did not come back.
    async fn look_at_trial(&mut self, settings: &mut Settings) {
        let Some(why) = settings.look(&self.board).await else { return };
        let back = settings.roll_back(&why).await;
        if let Err(refused) = self.apply(back, settings).await {
            settings.capture_stays();
            tracing::error!("the capture cannot be opened as before: {refused}");
        }
    }

    /// Has each component take its changes.
    ///
    /// # Errors
    /// When the capture does not take its own: it goes on as before, and all others have changed.
    async fn apply(&mut self, changes: Changes, settings: &mut Settings) -> Result<(), CommandRefused> {
        if let Some(hosts) = &changes.allowed_hosts {
            self.http.allow_hosts(hosts);
        }
        if let Some(tuning) = changes.tuning {
            match self.ask(move |commands| commands.retune(tuning)).await {
                Ok(()) => {}
                Err(refused @ CommandRefused::NoAnswer(_)) => {
                    tracing::warn!(
                        "the judge takes its new settings once it has done what it does: {refused}"
                    );
                }
                Err(refused) => {
                    settings.tuning_stays();
                    let again = "the next change or reload tells it again";
                    tracing::error!("the judge did not take its new settings; {again}: {refused}");
                }
            }
        }
        if let Some(settings) = changes.mqtt {
            self.restart_mqtt(settings).await;
        }
        match changes.capture {
            Some(sources) => {
                let taps = Arc::clone(&self.taps);
                self.ask(move |_| taps.reopen(&sources)).await
            }
            None => Ok(()),
        }
    }

    /// Asks another thread, and waits for its answer on one of the runtime's.
    async fn ask(
        &self,
        command: impl FnOnce(&CommandQueue) -> Result<(), CommandRefused> + Send + 'static,
    ) -> Result<(), CommandRefused> {
        let commands = self.commands.clone();
        let asked = tokio::task::spawn_blocking(move || command(&commands)).await;
        asked.unwrap_or(Err(CommandRefused::Stopping))
    }

    async fn restart_mqtt(&mut self, settings: Option<mqtt::Config>) {
        if !self.stop_mqtt().await {
            tracing::error!("the old MQTT connection did not end in time");
        }
        self.store.set_deliver(settings.is_some());
        self.mqtt = settings.map(|settings| {
            let (stop_mqtt, stop) = watch::channel(false);
            self.stop_mqtt = stop_mqtt;
            let parts = mqtt_parts(&self.store, &self.board, &self.commands, &self.desk, stop);
            Handle::current().spawn(mqtt::run(settings, parts))
        });
        if self.mqtt.is_none() {
            self.board.mqtt.clear();
        }
    }

    /// Ends the MQTT task where there is one; whether it ended in time. It is not there afterwards.
    async fn stop_mqtt(&mut self) -> bool {
        self.stop_mqtt.send_replace(true);
        let Some(mqtt) = &mut self.mqtt else { return true };
        let ended = match timeout(deadline::MQTT.to_std(), &mut *mqtt).await {
            Ok(Ok(())) => true,
            Ok(Err(_)) => {
                tracing::error!("the MQTT task ended by itself");
                true
            }
            Err(_) => {
                mqtt.abort();
                false
            }
        };
        self.mqtt = None;
        ended
    }

    /// Capture first, so that nothing new comes; then what waits is judged and stored; then it is told. Each stage has
    /// its own deadline, and the store is always closed.
    async fn stop(mut self) -> Result<(), AppError> {
        self.taps.stop();
        let mut late = Vec::new();
        let all_ended = async { while self.capture_ended.recv().await.is_some() {} };
        if timeout(deadline::CAPTURE.to_std(), all_ended).await.is_err() {
            late.push("capture");
        }
        // It may have ended already, which was told.
        if !self.judge_ended.is_terminated()
            && timeout(deadline::JUDGE.to_std(), &mut self.judge_ended).await.is_err()
        {
            late.push("judging");
        }
        // With the judge, the evidence thread has its last alert.
        if !self.evidence_ended.is_terminated()
            && timeout(deadline::FILES.to_std(), &mut self.evidence_ended).await.is_err()
        {
            late.push("evidence");
        }
        let recordings = Arc::clone(&self.recordings);
        let closed = tokio::task::spawn_blocking(move || recordings.close(deadline::FILES)).await;
        if !closed.unwrap_or(false) {
            late.push("captures");
        }
        Housekeeping::new().handle(&self.board, &self.store, &self.recordings);
        if !self.stop_mqtt().await {
            late.push("MQTT");
        }
        // Both wait for threads, so a thread of the runtime does; a second signal is heard meanwhile.
        let (http, store) = (self.http, self.store);
        let closed = tokio::task::spawn_blocking(move || {
            http.stop(deadline::HTTP);
            store.close(deadline::STORE)
        });
        closed.await.map_err(|_| AppError::Died { what: "the closing of the store" })??;
        if late.is_empty() { Ok(()) } else { Err(AppError::Late(late.join(", "))) }
    }
}

/// Ticks at once, then each `period` after the one before was taken.
fn every(period: Span) -> Interval {
    let mut ticks = interval(period.to_std());
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}
