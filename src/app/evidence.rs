//! The evidence thread: for each alert that is raised or gets worse it asks the capture threads for what they saw,
//! and has the moments around the alert kept. It waits for disks; nobody waits for it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};

use super::cutting::{Cases, Cut, Sources};
use crate::alert::{Alert, Event};
use crate::control::{CommandQueue, Skipped};
use crate::store::EvidenceFolder;
use crate::sys::clock::Stopwatch;
use crate::time::Span;

/// Alerts that may wait for the thread: a burst. Further ones are counted as skipped.
const WAITING: usize = 64;
/// Alerts whose moments are gathered at once, each of which may hold [`Cut::ROOM`] bytes.
const AT_ONCE: usize = 8;
/// Cuts in a minute: what an attacker who makes alerts may have written is 6 MiB a minute.
const PER_MINUTE: usize = 12;
/// Pause after the first look at a source. Each further one is twice as long, up to [`LONGEST_PAUSE`]: the generated
/// network's minute is half a second.
const FIRST_PAUSE: Span = Span::from_millis(50);
const LONGEST_PAUSE: Span = Span::from_secs(2);
/// Real time after which a cut ends although its packets' time has not come: the source has stopped.
const PATIENCE: Span = Span::from_secs(30);

/// The judge's end.
pub(super) struct EvidenceDesk {
    folder: Arc<EvidenceFolder>,
    alerts: SyncSender<Alert>,
}

impl EvidenceDesk {
    /// Both ends.
    pub(super) fn new(folder: Arc<EvidenceFolder>) -> (Self, Receiver<Alert>) {
        let (alerts, told) = sync_channel(WAITING);
        (Self { folder, alerts }, told)
    }

    /// Tells of an alert that is in the store.
    pub(super) fn handle(&self, alert: &Alert) {
        if alert.event == Event::Cleared {
            return;
        }
        if !self.folder.is_on() {
            if alert.event == Event::Raised {
                self.folder.skip(alert.id, Skipped::Off);
            }
        } else if self.alerts.try_send(alert.clone()).is_err() {
            self.folder.skip(alert.id, Skipped::Busy);
        }
    }
}

/// The thread's state.
pub(super) struct Gatherer {
    alerts: Receiver<Alert>,
    commands: CommandQueue,
    folder: Arc<EvidenceFolder>,
    snapshot: u32,
    pending: Vec<(Cut, Stopwatch)>,
    cases: Cases,
    /// When the latest cuts were begun.
    begun: VecDeque<Stopwatch>,
    /// Names and counters as last heard.
    sources: Sources,
}

impl Gatherer {
    pub(super) fn new(
        alerts: Receiver<Alert>,
        commands: CommandQueue,
        folder: Arc<EvidenceFolder>,
        snapshot: u32,
    ) -> Self {
        let (cases, begun) = (Cases::default(), VecDeque::new());
        Self {
            alerts,
            commands,
            folder,
            snapshot,
            pending: Vec::new(),
            cases,
            begun,
            sources: Sources::new(),
        }
    }

    /// Works until the judge is gone, then keeps what it has.
    pub(super) fn run(mut self) {
        let mut pause = FIRST_PAUSE;
        loop {
            let patience = if self.pending.is_empty() { PATIENCE } else { pause };
            match self.alerts.recv_timeout(patience.to_std()) {
                Ok(alert) => {
                    self.begin(&alert);
                    while let Ok(alert) = self.alerts.try_recv() {
                        self.begin(&alert);
                    }
                    pause = FIRST_PAUSE;
                }
                Err(RecvTimeoutError::Timeout) => pause = (pause + pause).min(LONGEST_PAUSE),
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if !self.pending.is_empty() {
                self.look();
            }
        }
        self.finish(|_, _| true);
    }

    fn begin(&mut self, alert: &Alert) {
        let under_way = self.pending.iter().any(|(cut, _)| cut.id() == alert.id);
        if under_way || !self.cases.wants(alert) {
            return;
        }
        self.begun.retain(|begun| begun.elapsed() < Span::from_secs(60));
        let skipped = if self.pending.len() >= AT_ONCE {
            Skipped::Busy
        } else if self.begun.len() >= PER_MINUTE {
            Skipped::Rate
        } else if let Some(cut) = self.cases.begin(alert, self.snapshot) {
            self.begun.push_back(Stopwatch::start());
            self.pending.push((cut, Stopwatch::start()));
            return self.folder.expect(alert.id);
        } else {
            Skipped::NoDevice
        };
        self.folder.skip(alert.id, skipped);
    }

    /// One look serves all that are under way.
    fn look(&mut self) {
        let first = |source| self.pending.iter().map(|(cut, _)| cut.next(source)).min().unwrap_or(0);
        // Where the capture is busy or gone, the next look has it, or patience ends.
        if let Ok(moments) = self.commands.moments(first) {
            for (source, told) in &moments {
                self.sources.insert(*source, (told.source.clone(), told.counters));
            }
            self.pending.iter_mut().for_each(|(cut, _)| cut.gather(&moments));
            let now = moments.iter().map(|(_, m)| m.packets.now()).max().unwrap_or_default();
            return self.finish(|cut, since| cut.is_over(now) || since.elapsed() > PATIENCE);
        }
        self.finish(|_, since| since.elapsed() > PATIENCE);
    }

    fn finish(&mut self, is_over: impl Fn(&Cut, &Stopwatch) -> bool) {
        let (over, pending) =
            std::mem::take(&mut self.pending).into_iter().partition(|(cut, s)| is_over(cut, s));
        self.pending = pending;
        for (cut, _) in over {
            self.keep(cut);
        }
        if self.pending.is_empty() {
            self.sources.clear();
        }
    }

    fn keep(&self, cut: Cut) {
        let id = cut.id();
        match cut.finish(&self.sources) {
            Ok(None) => self.folder.skip(id, Skipped::NoPackets),
            Ok(Some(cutting)) => {
                if let Err(error) = self.folder.keep(cutting.id, &cutting.bytes, cutting.packets) {
                    tracing::error!("evidence of alert {id} is not kept: {error}");
                }
            }
            Err(error) => tracing::error!("evidence of alert {id} is not cut: {error}"),
        }
    }
}
