//! What the control plane may ask of the judging thread. Every command is answered.

use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};

use crate::time::Span;

/// A request to the judging thread.
#[derive(Debug)]
pub enum Command {
    /// Forget the baseline in use and learn anew for a time; the configured one when none is given.
    StartBaseline {
        /// Capture time to learn.
        duration: Option<Span>,
        /// Gets the answer once learning has begun.
        reply: Reply,
    },
    /// Raise what is found, or only count it; not kept over a restart, after which detection is on.
    SetDetection {
        /// Whether findings become alerts.
        on: bool,
        /// Gets the answer once it holds.
        reply: Reply,
    },
}

/// Carries one answer back; an answer whose asker has gone is dropped, which harms nobody.
#[derive(Debug)]
pub struct Reply(SyncSender<Result<(), CommandRefused>>);

impl Reply {
    /// Answers.
    pub fn send(self, answer: Result<(), CommandRefused>) {
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
    /// The judging thread has ended.
    #[error("the daemon is stopping")]
    Stopping,
    /// No answer came in time; the command may still be carried out.
    #[error("no answer within {0}")]
    NoAnswer(Span),
}

/// The asking end of the command queue; cheap to clone.
#[derive(Clone, Debug)]
pub struct CommandQueue(SyncSender<Command>);

impl CommandQueue {
    /// The time that an asker waits for an answer.
    pub const PATIENCE: Span = Span::from_secs(5);

    /// A queue for eight commands, which is more than people type; a ninth is refused as [`CommandRefused::Busy`].
    #[must_use]
    pub fn new() -> (Self, Receiver<Command>) {
        // 8: commands are typed by people; overflow policy is refusal, told to the asker.
        let (sender, receiver) = sync_channel(8);
        (Self(sender), receiver)
    }

    /// Starts learning a new baseline and waits until that has begun.
    ///
    /// # Errors
    /// When the queue is full, the daemon stops, or no answer comes within [`Self::PATIENCE`].
    pub fn start_baseline(&self, duration: Option<Span>) -> Result<(), CommandRefused> {
        self.ask(|reply| Command::StartBaseline { duration, reply })
    }

    /// Switches detection and waits until that holds. It is on after a restart.
    ///
    /// # Errors
    /// As for [`Self::start_baseline`].
    pub fn set_detection(&self, on: bool) -> Result<(), CommandRefused> {
        self.ask(|reply| Command::SetDetection { on, reply })
    }

    fn ask(&self, command: impl FnOnce(Reply) -> Command) -> Result<(), CommandRefused> {
        // 1: one answer, and the answering side never waits.
        let (sender, receiver) = sync_channel(1);
        self.0.try_send(command(Reply(sender))).map_err(|refused| match refused {
            TrySendError::Full(_) => CommandRefused::Busy,
            TrySendError::Disconnected(_) => CommandRefused::Stopping,
        })?;
        receiver.recv_timeout(Self::PATIENCE.to_std()).unwrap_or_else(|error| {
            Err(match error {
                RecvTimeoutError::Timeout => CommandRefused::NoAnswer(Self::PATIENCE),
                RecvTimeoutError::Disconnected => CommandRefused::Stopping,
            })
        })
    }
}
