//! What the control plane may ask of the judging and of the capture thread. Every command is answered.

use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

use crate::alert::{AlertId, Marking, Note};
use crate::capture::{Moments, Recorder, Snapshot, SourceConfig};
use crate::control::wire::AlertRecord;
use crate::model;
use crate::pipeline::SourceId;
use crate::time::{Span, Timestamp};

/// A request to the judging thread.
#[derive(Debug)]
pub enum Command {
    /// Forget the baseline in use and learn anew for a time; the configured one when none is given.
    StartBaseline {
        /// Capture time to learn.
        duration: Option<Span>,
        /// Gets the answer once learning has begun.
        reply: Reply<()>,
    },
    /// Raise what is found, or only count it; not kept over a restart, after which detection is on.
    SetDetection {
        /// Whether findings become alerts.
        on: bool,
        /// Gets the answer once it holds.
        reply: Reply<()>,
    },
    /// Judge from now on, and learn and train next time, with these settings. The model in use stays.
    Retune {
        /// The settings.
        tuning: Tuning,
        /// Gets the answer once they hold.
        reply: Reply<()>,
    },
    /// Train the model anew from what the baseline holds.
    Train {
        /// Gets the name of the model before training begins, or why there will be none.
        reply: Reply<String>,
    },
    /// Say something of an alert.
    Mark {
        /// The alert.
        id: AlertId,
        /// What.
        marking: Marking,
        /// Gets the alert as it is then, once what was said is durable.
        reply: Reply<Box<AlertRecord>>,
    },
    /// Say of all open alerts that they were seen.
    AcknowledgeAll {
        /// In the owner's words.
        note: Option<Note>,
        /// Gets the number of those that had not been seen, once it is durable.
        reply: Reply<u64>,
    },
}

/// Settings of the judging thread that change while it runs.
#[derive(Clone, Debug, PartialEq)]
pub struct Tuning {
    /// Thresholds, which hold at once, and training.
    pub model: model::Config,
    /// Capture time that the next baseline learns.
    pub learning: Span,
}

/// A request to a capture thread.
#[derive(Debug)]
pub enum CaptureCommand {
    /// Close the source; nothing is captured until [`CaptureCommand::Start`] or a restart of the daemon.
    Stop {
        /// Gets the answer once nothing more is captured.
        reply: Reply<()>,
    },
    /// Open the source again.
    Start {
        /// Gets the answer once it is open, or waited for.
        reply: Reply<()>,
    },
    /// Go on with these settings; the source in use stays where they do not open.
    Reopen {
        /// What to open.
        config: Box<SourceConfig>,
        /// Gets the answer once it is open, or waited for.
        reply: Reply<()>,
    },
    /// Copy what was captured last.
    Recent {
        /// At most this many packets, the newest.
        most: usize,
        /// None older than this.
        since: Option<Timestamp>,
        /// Gets the copy.
        reply: Reply<Snapshot>,
    },
    /// Copy what was captured after a moment, and tell of the source.
    Moments {
        /// The packets from the one of this number on.
        next: u64,
        /// Gets the copy.
        reply: Reply<Moments>,
    },
    /// Have a recorder take each packet from now on, until it wants no more.
    Record {
        /// Takes them.
        recorder: Box<Recorder>,
        /// Whether what is still held is wanted, too.
        past: bool,
        /// Gets what is held once the recorder has begun, without gap or overlap; nothing where it is not wanted.
        reply: Reply<Moments>,
    },
}

/// Carries one answer back; an answer whose asker has gone is dropped, which harms nobody.
#[derive(Debug)]
pub struct Reply<T>(SyncSender<Result<T, CommandRefused>>);

impl<T> Reply<T> {
    /// Answers.
    pub fn send(self, answer: Result<T, CommandRefused>) {
        // The asker may have stopped waiting.
        drop(self.0.try_send(answer));
    }
}

/// Why a command was not carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommandRefused {
    /// Eight commands are waiting already.
    #[error("the daemon is busy with earlier commands; try again")]
    Busy,
    /// The thread that was asked has ended.
    #[error("the daemon is stopping")]
    Stopping,
    /// It cannot be done now; why, in one line.
    #[error("{0}")]
    Impossible(String),
    /// There is no such alert.
    #[error("no alert has this id; it may have been deleted for its age")]
    NoSuchAlert,
    /// It could not be read or stored; why, in one line.
    #[error("{0}")]
    Failed(String),
    /// No answer came in time; the command may still be carried out.
    #[error("no answer within {0}")]
    NoAnswer(Span),
}

/// Where one source is asked.
type SourceQueue = (SourceId, SyncSender<CaptureCommand>);

/// The asking end of the command queues; cheap to clone.
#[derive(Clone, Debug)]
pub struct CommandQueue {
    judge: SyncSender<Command>,
    /// One for each capture thread, by identity. The lock is held only to add, remove or copy.
    capture: Arc<Mutex<Vec<SourceQueue>>>,
}

impl CommandQueue {
    /// The time that an asker waits for an answer.
    pub const PATIENCE: Span = Span::from_secs(5);
    /// The time that who asks for another capture waits: opening may look up the host names of a filter.
    pub const OPENING: Span = Span::from_secs(30);

    /// Queues for eight commands each, which is more than people type; a ninth is refused as
    /// [`CommandRefused::Busy`]. What is given is for the judging thread; there is no source yet.
    #[must_use]
    pub fn new() -> (Self, Receiver<Command>) {
        // 8: commands are typed by people; overflow policy is refusal, told to the asker.
        let (judge, asked) = sync_channel(8);
        (Self { judge, capture: Arc::default() }, asked)
    }

    /// Gives the answering end for the thread of a source, which is asked from now on.
    #[must_use]
    pub fn add_source(&self, source: SourceId) -> Receiver<CaptureCommand> {
        // 8, as for the judge.
        let (queue, asked) = sync_channel(8);
        let mut all = self.capture.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|(known, _)| *known != source);
        all.push((source, queue));
        asked
    }

    /// A source is asked no more.
    pub fn remove_source(&self, source: SourceId) {
        let mut all = self.capture.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|(known, _)| *known != source);
    }

    /// Asks every source, the one after the other; all are asked whatever one says.
    fn ask_each<T>(&self, command: impl Fn(Reply<T>) -> CaptureCommand) -> Result<Vec<T>, CommandRefused> {
        let all = self.capture.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if all.is_empty() {
            return Err(CommandRefused::Stopping);
        }
        let answers: Vec<_> = all.iter().map(|(_, queue)| ask(queue, &command)).collect();
        answers.into_iter().collect()
    }

    fn source(&self, source: SourceId) -> Result<SyncSender<CaptureCommand>, CommandRefused> {
        let all = self.capture.lock().unwrap_or_else(PoisonError::into_inner);
        let found = all.iter().find(|(known, _)| *known == source);
        found.map(|(_, queue)| queue.clone()).ok_or(CommandRefused::Stopping)
    }

    /// Starts learning a new baseline and waits until that has begun.
    ///
    /// # Errors
    /// When the queue is full, the daemon stops, or no answer comes within [`Self::PATIENCE`].
    pub fn start_baseline(&self, duration: Option<Span>) -> Result<(), CommandRefused> {
        ask(&self.judge, |reply| Command::StartBaseline { duration, reply })
    }

    /// Switches detection and waits until that holds. It is on after a restart.
    ///
    /// # Errors
    /// As for [`Self::start_baseline`].
    pub fn set_detection(&self, on: bool) -> Result<(), CommandRefused> {
        ask(&self.judge, |reply| Command::SetDetection { on, reply })
    }

    /// Gives the judging thread other settings and waits until they hold.
    ///
    /// # Errors
    /// As for [`Self::start_baseline`].
    pub fn retune(&self, tuning: Tuning) -> Result<(), CommandRefused> {
        ask(&self.judge, |reply| Command::Retune { tuning, reply })
    }

    /// Has the model trained anew, and gives the name that it gets. Training goes on after the answer; meanwhile
    /// observations wait.
    ///
    /// # Errors
    /// As for [`Self::start_baseline`], and when there is no armed baseline or it holds too little.
    pub fn train(&self) -> Result<String, CommandRefused> {
        ask(&self.judge, |reply| Command::Train { reply })
    }

    /// Says something of an alert, durably, and gives the alert as it is then.
    ///
    /// # Errors
    /// As for [`Self::start_baseline`], and when there is no such alert or the store fails.
    pub fn mark(&self, id: AlertId, marking: Marking) -> Result<Box<AlertRecord>, CommandRefused> {
        ask(&self.judge, |reply| Command::Mark { id, marking, reply })
    }

    /// Says of all open alerts that they were seen, durably, and gives the number of those that had not been.
    ///
    /// # Errors
    /// As for [`Self::start_baseline`], and when the store fails.
    pub fn acknowledge_all(&self, note: Option<Note>) -> Result<u64, CommandRefused> {
        ask(&self.judge, |reply| Command::AcknowledgeAll { note, reply })
    }

    /// Closes all sources of frames and waits until nothing more is captured.
    ///
    /// # Errors
    /// As for [`Self::start_baseline`]; the others are closed all the same.
    pub fn stop_capture(&self) -> Result<(), CommandRefused> {
        self.ask_each(|reply| CaptureCommand::Stop { reply }).map(drop)
    }

    /// Opens the sources of frames again that were closed.
    ///
    /// # Errors
    /// As for [`Self::start_baseline`], and when one does not open; the others are opened all the same.
    pub fn start_capture(&self) -> Result<(), CommandRefused> {
        self.ask_each(|reply| CaptureCommand::Start { reply }).map(drop)
    }

    /// Has a source go on with other settings.
    ///
    /// # Errors
    /// As for [`Self::start_baseline`] but after [`Self::OPENING`], and when they do not open: then the old ones stay in
    /// use.
    pub fn reopen_capture(&self, source: SourceId, config: SourceConfig) -> Result<(), CommandRefused> {
        let config = Box::new(config);
        ask_within(Self::OPENING, &self.source(source)?, |reply| CaptureCommand::Reopen { config, reply })
    }

    /// A copy of the newest packets that are still held, of one source or of all by their time, at most `most`, and
    /// none older than `since`.
    ///
    /// # Errors
    /// As for [`Self::start_baseline`].
    pub fn recent_packets(
        &self,
        source: Option<SourceId>,
        most: usize,
        since: Option<Timestamp>,
    ) -> Result<Snapshot, CommandRefused> {
        let recent = |reply| CaptureCommand::Recent { most, since, reply };
        match source {
            Some(source) => ask(&self.source(source)?, recent),
            None => Ok(Snapshot::of_all(&self.ask_each(recent)?, most)),
        }
    }

    /// Sources of packets, each of which has a thread and a ring of its own.
    #[must_use]
    pub fn sources(&self) -> Vec<SourceId> {
        let all = self.capture.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().map(|(source, _)| *source).collect()
    }

    /// What each source saw from the packet on of which [`Snapshot::next`] told. One that does not answer is left out.
    ///
    /// # Errors
    /// As for [`Self::start_baseline`], when none answers.
    pub fn moments(
        &self,
        next: impl Fn(SourceId) -> u64,
    ) -> Result<Vec<(SourceId, Moments)>, CommandRefused> {
        let all = self.capture.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (mut answers, mut refused) = (Vec::new(), CommandRefused::Stopping);
        for (source, queue) in all {
            let next = next(source);
            match ask(&queue, |reply| CaptureCommand::Moments { next, reply }) {
                Ok(moments) => answers.push((source, moments)),
                Err(why) => refused = why,
            }
        }
        if answers.is_empty() { Err(refused) } else { Ok(answers) }
    }

    /// Has a recorder take the packets of a source from now on, and gives what it held before where the `past` is
    /// wanted.
    ///
    /// # Errors
    /// As for [`Self::start_baseline`].
    pub fn record(
        &self,
        source: SourceId,
        recorder: Recorder,
        past: bool,
    ) -> Result<Moments, CommandRefused> {
        let recorder = Box::new(recorder);
        ask(&self.source(source)?, |reply| CaptureCommand::Record { recorder, past, reply })
    }
}

fn ask<C, T>(queue: &SyncSender<C>, command: impl FnOnce(Reply<T>) -> C) -> Result<T, CommandRefused> {
    ask_within(CommandQueue::PATIENCE, queue, command)
}

fn ask_within<C, T>(
    patience: Span,
    queue: &SyncSender<C>,
    command: impl FnOnce(Reply<T>) -> C,
) -> Result<T, CommandRefused> {
    // 1: one answer, and the answering side never waits.
    let (sender, receiver) = sync_channel(1);
    queue.try_send(command(Reply(sender))).map_err(|refused| match refused {
        TrySendError::Full(_) => CommandRefused::Busy,
        TrySendError::Disconnected(_) => CommandRefused::Stopping,
    })?;
    receiver.recv_timeout(patience.to_std()).unwrap_or_else(|error| {
        Err(match error {
            RecvTimeoutError::Timeout => CommandRefused::NoAnswer(patience),
            RecvTimeoutError::Disconnected => CommandRefused::Stopping,
        })
    })
}
