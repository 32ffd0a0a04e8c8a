//! What the service manager hears of a running daemon: that it runs, in one line how it is, and that the data plane
//! makes progress. The main thread being alive is no progress.

use std::pin::pin;
use std::sync::Arc;

use tokio::time::sleep;

use crate::control::{BaselinePhase, BaselineStatus, Board, CaptureState, JudgeStatus, MeterStatus};
use crate::pipeline::SourceId;
use crate::sys::ServiceManager;
use crate::sys::clock::Stopwatch;
use crate::time::Span;

/// How often each source had published.
type Beats = Vec<(SourceId, u64)>;

/// The daemon's side of the talk with the service manager.
pub(super) struct Supervision {
    manager: ServiceManager,
    ready: bool,
    /// What was published when the watchdog was fed last: how often by each source, and the judge's, which is kept so
    /// that nothing new can have the same address.
    fed: Option<(Beats, Arc<JudgeStatus>)>,
    since_fed: Option<Stopwatch>,
    told: String,
    /// Why the latest reload changed nothing.
    refused: Option<String>,
}

impl Supervision {
    /// Time between two looks until the daemon is ready.
    pub(super) const OPENING: Span = Span::from_millis(50);
    /// Longest time between two looks after that.
    const LOOK: Span = Span::from_secs(1);

    pub(super) fn new(manager: ServiceManager) -> Self {
        Self { manager, ready: false, fed: None, since_fed: None, told: String::new(), refused: None }
    }

    pub(super) const fn is_ready(&self) -> bool {
        self.ready
    }

    /// Time between two calls of [`Self::handle`].
    pub(super) fn beat(&self) -> Span {
        self.food().map_or(Self::LOOK, |food| food.min(Self::LOOK))
    }

    /// The watchdog is fed four times in its time, so that one late meal starves nobody.
    fn food(&self) -> Option<Span> {
        let watchdog = self.manager.watchdog()?;
        Some(Span::from_nanos(watchdog.as_nanos() / 4).max(Span::from_millis(1)))
    }

    /// Looks at the board; tells what is new.
    pub(super) fn handle(&mut self, board: &Board) {
        // Both publish before their first step.
        let (Some(meter), Some(judge)) = (board.meter.latest(), board.judge.latest()) else { return };
        if !self.ready {
            self.ready = true;
            self.manager.ready();
        }
        let mut line = line(&meter, &judge);
        if let Some(why) = &self.refused {
            line = format!("{line}; not reloaded: {why}");
        }
        if line != self.told {
            self.manager.status(&line);
            self.told = line;
        }
        self.feed(&meter, judge);
    }

    /// Lets work go on that may take many seconds, and looks at the board meanwhile. None where a stop comes before it
    /// is done: then it is given up.
    pub(super) async fn attend<T>(
        &mut self,
        board: &Board,
        work: impl Future<Output = T>,
        stop: impl Future<Output = ()>,
    ) -> Option<T> {
        let (mut work, mut stop) = (pin!(work), pin!(stop));
        loop {
            tokio::select! {
                () = &mut stop => return None,
                done = &mut work => return Some(done),
                () = sleep(self.beat().to_std()) => self.handle(board),
            }
        }
    }

    fn feed(&mut self, meter: &MeterStatus, judge: Arc<JudgeStatus>) {
        let Some(food) = self.food() else { return };
        let sources: Vec<_> = meter.sources.iter().map(|one| (one.source, one.published)).collect();
        let progress = self.fed.as_ref().is_none_or(|(before, j)| {
            // Each of them: one that hangs is not hidden by the others.
            sources.iter().all(|source| !before.contains(source)) && !Arc::ptr_eq(j, &judge)
        });
        if progress && self.since_fed.is_none_or(|since| since.elapsed() >= food) {
            self.manager.alive();
            self.fed = Some((sources, judge));
            self.since_fed = Some(Stopwatch::start());
        }
    }

    pub(super) fn reloading(&self) {
        self.manager.reloading();
    }

    /// The reload is over; why it changed nothing, if so.
    pub(super) fn reloaded(&mut self, refused: Option<String>, board: &Board) {
        self.refused = refused;
        self.manager.ready();
        self.handle(board);
    }

    pub(super) fn stopping(&self) {
        self.manager.stopping();
    }
}

fn line(meter: &MeterStatus, judge: &JudgeStatus) -> String {
    let state = match &meter.capture.state {
        CaptureState::Running => "running",
        CaptureState::Quiet => "quiet",
        CaptureState::Waiting(why) => why,
        CaptureState::Stopped => "stopped",
        CaptureState::Ended => "ended",
    };
    let baseline = baseline(&judge.baseline);
    format!("{}: {state}; {baseline}; open alerts: {}", meter.capture.name, judge.alerts.open)
}

fn baseline(status: &BaselineStatus) -> String {
    match status.phase {
        BaselinePhase::None => "no baseline".to_owned(),
        BaselinePhase::Learning => {
            let percent = status.learned.as_secs().saturating_mul(100) / status.target.as_secs().max(1);
            format!("learning, {} %", percent.min(100))
        }
        BaselinePhase::Armed => "baseline armed".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;
    use std::future::pending;
    use std::os::unix::net::UnixDatagram;

    use super::*;
    use crate::app::status::{self, Readings};
    use crate::control::{CaptureStatus, SourceKind};
    use crate::pipeline::{Judge, JudgeConfig, Meter, MeterConfig};

    /// A manager with a watchdog of 4 ms, so that food is due after each millisecond.
    fn supervised(folder: &tempfile::TempDir) -> (UnixDatagram, Supervision) {
        let path = folder.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_nonblocking(true).unwrap();
        let variable = |name: &str| match name {
            "NOTIFY_SOCKET" => Some(path.clone().into_os_string()),
            "WATCHDOG_USEC" => Some(OsString::from("4000")),
            _ => None,
        };
        (socket, Supervision::new(ServiceManager::from_environment(1, variable).unwrap()))
    }

    fn heard(socket: &UnixDatagram) -> Vec<String> {
        let mut buffer = [0; 512];
        let mut all = Vec::new();
        while let Ok(length) = socket.recv(&mut buffer) {
            all.push(String::from_utf8(buffer[..length].to_vec()).unwrap());
        }
        all
    }

    fn publish_meter(board: &Board, state: CaptureState) {
        let config = MeterConfig::default();
        let capture = CaptureStatus {
            kind: SourceKind::Interface,
            name: "eth1".to_owned(),
            why: String::new(),
            state,
            counters: Default::default(),
            losses: 0,
            mirror: None,
        };
        let meter = Meter::new(&config);
        board.meter.publish(status::meter(
            (SourceId::default(), &meter),
            &config.flow,
            capture,
            Readings::default(),
            None,
        ));
    }

    fn publish_judge(board: &Board) {
        board.judge.publish(status::judge(&Judge::new(JudgeConfig::default()), None));
    }

    /// Food is due.
    fn wait() {
        let waited = Stopwatch::start();
        while waited.elapsed() < Span::from_millis(2) {
            std::thread::yield_now();
        }
    }

    #[test]
    fn it_is_ready_when_both_threads_have_begun_and_tells_only_news() {
        let folder = tempfile::tempdir().unwrap();
        let (socket, mut supervision) = supervised(&folder);
        let board = Board::default();
        supervision.handle(&board);
        publish_meter(&board, CaptureState::Running);
        supervision.handle(&board);
        assert_eq!(heard(&socket), Vec::<String>::new());
        publish_judge(&board);
        supervision.handle(&board);
        let status = "STATUS=eth1: running; no baseline; open alerts: 0";
        assert_eq!(heard(&socket), ["READY=1", status, "WATCHDOG=1"]);
        publish_meter(&board, CaptureState::Waiting("eth1 is gone".to_owned()));
        supervision.handle(&board);
        assert_eq!(heard(&socket), ["STATUS=eth1: eth1 is gone; no baseline; open alerts: 0"]);
    }

    #[test]
    fn the_watchdog_is_fed_only_when_both_threads_have_moved() {
        let folder = tempfile::tempdir().unwrap();
        let (socket, mut supervision) = supervised(&folder);
        let board = Board::default();
        let mut fed_after = |meter: bool, judge: bool| {
            wait();
            if meter {
                publish_meter(&board, CaptureState::Running);
            }
            if judge {
                publish_judge(&board);
            }
            supervision.handle(&board);
            heard(&socket).contains(&"WATCHDOG=1".to_owned())
        };
        assert!(fed_after(true, true));
        assert!(!fed_after(false, false));
        assert!(!fed_after(true, false));
        assert!(!fed_after(true, false));
        assert!(fed_after(false, true), "the meter has moved before");
        assert!(!fed_after(false, true));
        assert!(fed_after(true, false));
    }

    #[test]
    fn a_refused_reload_is_in_the_status_until_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let (socket, mut supervision) = supervised(&folder);
        let board = Board::default();
        publish_meter(&board, CaptureState::Running);
        publish_judge(&board);
        supervision.handle(&board);
        heard(&socket);
        supervision.reloaded(Some("no".to_owned()), &board);
        let status = "STATUS=eth1: running; no baseline; open alerts: 0";
        assert_eq!(heard(&socket), ["READY=1".to_owned(), format!("{status}; not reloaded: no")]);
        supervision.reloaded(None, &board);
        assert_eq!(heard(&socket), ["READY=1", status]);
    }

    #[test]
    fn long_work_starves_nobody_and_gives_way_to_a_stop() {
        let folder = tempfile::tempdir().unwrap();
        let (socket, mut supervision) = supervised(&folder);
        let board = Board::default();
        let until_fed = async {
            let waited = Stopwatch::start();
            while !heard(&socket).contains(&"WATCHDOG=1".to_owned()) {
                assert!(waited.elapsed() < Span::from_secs(60), "not fed for a minute");
                publish_meter(&board, CaptureState::Running);
                publish_judge(&board);
                tokio::task::yield_now().await;
            }
            "done"
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            assert_eq!(supervision.attend(&board, until_fed, pending()).await, Some("done"));
            let endless = pending::<()>();
            assert_eq!(supervision.attend(&board, endless, async {}).await, None);
        });
    }
}
