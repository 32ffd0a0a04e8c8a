//! The judging thread: observations to alerts and snapshots, which go to the store before anyone is told.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};

use super::capture::Heard;
use super::evidence::EvidenceDesk;
use super::status;
use crate::behaviour::{Evidence, Kind, Party, Reason};
use crate::control::wire::AlertRecord;
use crate::control::{Board, Command, CommandRefused};
use crate::pipeline::{Confluence, Judge, Observation, Verdicts};
use crate::store::{SnapshotName, Store, StoreError};
use crate::sys::clock::{self, Stopwatch};
use crate::time::{Span, Timestamp};

/// The thread's state.
pub(super) struct JudgeLoop {
    pub(super) judge: Judge,
    pub(super) observations: Receiver<Heard>,
    /// One row of what all sources saw.
    pub(super) confluence: Confluence,
    pub(super) commands: Receiver<Command>,
    pub(super) store: Store,
    pub(super) board: Arc<Board>,
    /// Told of each alert that is kept.
    pub(super) evidence: EvidenceDesk,
    /// What the training of the model in use took; none where it was trained before this start.
    pub(super) training: Option<Span>,
    /// The store did not open and was replaced, which is told of as soon as there is a time.
    pub(super) replaced: bool,
}

impl JudgeLoop {
    /// Longest time that a command waits and the shown status is old.
    const PATIENCE: Span = Span::from_millis(200);
    /// What a slow storage medium is waited for.
    pub(super) const DISK: Span = Span::from_secs(10);

    /// Runs until all capture threads are gone, then keeps what was learned.
    pub(super) fn run(mut self) {
        let mut published = Stopwatch::start();
        self.publish();
        loop {
            match self.observations.recv_timeout(Self::PATIENCE.to_std()) {
                Ok(heard) => self.hear(heard),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            while let Ok(command) = self.commands.try_recv() {
                self.obey(command);
            }
            if published.elapsed() >= Self::PATIENCE {
                published = Stopwatch::start();
                self.publish();
            }
        }
        self.judge.finish();
        self.drain();
        self.publish();
    }

    fn hear(&mut self, heard: Heard) {
        match heard.seen {
            Some(observation) => self.confluence.handle(heard.from, observation),
            None => self.confluence.handle_end(heard.from),
        }
        while let Some(observation) = self.confluence.poll() {
            self.handle(observation);
        }
    }

    fn handle(&mut self, observation: Observation) {
        if let Observation::Time(now) | Observation::Step(now) = observation {
            self.begin(now);
        }
        self.timed(|judge| judge.handle(observation));
        self.drain();
    }

    /// Lets the judge work, and notes how long it took where a model was trained in it.
    fn timed(&mut self, work: impl FnOnce(&mut Judge)) {
        let (before, taken) = (self.judge.trainings(), Stopwatch::start());
        work(&mut self.judge);
        if self.judge.trainings() != before {
            self.training = Some(taken.elapsed());
        }
    }

    /// What waits for the first time there is: learning, where nothing was learned before, and news of the tap.
    fn begin(&mut self, now: Timestamp) {
        if self.judge.now().is_none() && self.judge.baseline().id().is_none() {
            self.judge.start_baseline(now, None);
        }
        if std::mem::take(&mut self.replaced) {
            self.judge.handle_tap(store_replaced(now));
        }
        self.drain();
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::StartBaseline { duration, reply } => {
                let now = self.judge.now().unwrap_or_else(clock::now);
                self.judge.start_baseline(now, duration);
                self.drain();
                self.publish();
                reply.send(Ok(()));
            }
            Command::SetDetection { on, reply } => {
                tracing::info!("detection is switched {}", if on { "on" } else { "off" });
                self.judge.set_detection(on);
                self.publish();
                reply.send(Ok(()));
            }
            Command::Retune { tuning, reply } => {
                self.judge.retune(tuning.model, tuning.learning);
                self.publish();
                reply.send(Ok(()));
            }
            Command::Train { reply } => match self.judge.can_train() {
                Ok(model) => {
                    reply.send(Ok(model));
                    self.train();
                }
                Err(why) => reply.send(Err(CommandRefused::Impossible(why.to_string()))),
            },
            Command::Mark { id, marking, reply } => {
                let marked = self.mark(id, &marking);
                self.publish();
                reply.send(marked);
            }
            Command::AcknowledgeAll { note, reply } => {
                let marked = self.acknowledge_all(note);
                self.publish();
                reply.send(marked);
            }
        }
    }

    fn train(&mut self) {
        let now = self.judge.now().unwrap_or_else(clock::now);
        self.timed(|judge| judge.retrain(now));
        if let Some(taken) = self.training {
            tracing::info!("the model was trained anew in {taken}");
        }
        self.drain();
        self.publish();
    }

    pub(super) fn drain(&mut self) {
        let mut learned = false;
        while let Some(verdict) = self.judge.poll() {
            learned |= !matches!(verdict, Verdicts::Alert(_));
            self.keep(verdict);
        }
        if learned {
            self.secure();
        }
    }

    fn keep(&self, verdict: Verdicts) {
        let kept = match verdict {
            Verdicts::Alert(alert) => {
                let kept = self.store.save_alert(AlertRecord::from(alert.as_ref()));
                if kept.is_ok() {
                    let (event, severity) = (alert.event.word(), alert.severity.word());
                    tracing::info!(event, severity, "{}", alert.title);
                    self.evidence.handle(&alert);
                }
                kept
            }
            Verdicts::Baseline(bytes) => self.store.save_snapshot(SnapshotName::Baseline, bytes),
            // An empty snapshot restores as no model.
            Verdicts::Model(bytes) => {
                self.store.save_snapshot(SnapshotName::Model, bytes.unwrap_or_default())
            }
        };
        if let Err(error) = kept {
            report(&error);
        }
    }

    /// What was learned is on the medium before anything builds on it.
    fn secure(&self) {
        if let Err(error) = self.store.flush(Self::DISK) {
            report(&error);
        }
    }

    fn publish(&self) {
        self.board.judge.publish(status::judge(&self.judge, self.training));
    }
}

/// The store counts its failures itself; here they are told.
fn report(error: &StoreError) {
    tracing::error!("{error}");
}

fn store_replaced(now: Timestamp) -> Evidence {
    Evidence {
        kind: Kind::TapStore,
        time: now,
        since: now,
        subject: Party { name: Some("this tap".to_owned()), ..Party::default() },
        peers: Vec::new(),
        peer_count: 0,
        reasons: vec![Reason {
            feature: "replaced_stores".into(),
            value: 1.0,
            unit: "stores".into(),
            median: None,
            p99: None,
            contribution: 1.0,
        }],
        packets: 0,
        bytes: 0,
        score: 1.0,
        confidence: 1.0,
    }
}
