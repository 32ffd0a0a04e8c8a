//! [`Desk`]: the end of the settings port that HTTP and MQTT hold. A change goes to the daemon's loop, which makes one
//! after the other; what holds is read from a snapshot.

use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};

use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use crate::config::key;
use crate::control::{
    CommandRefused, SettingsAnswer, SettingsChange, SettingsDesk, SettingsRefused, SettingsVersion,
    SettingsView, Slot,
};
use crate::store::{KeptVersion, Store};
use crate::sys::one_line;
use crate::time::Span;

/// The asking end.
pub(super) struct Desk {
    view: Arc<Slot<SettingsView>>,
    requests: mpsc::Sender<Request>,
    store: Store,
}

/// A change that waits for the daemon's loop.
pub(super) struct Request {
    pub(super) change: SettingsChange,
    reply: SyncSender<Result<SettingsAnswer, SettingsRefused>>,
}

impl Request {
    pub(super) fn answer(self, answer: Result<SettingsAnswer, SettingsRefused>) {
        // The asker may have stopped waiting.
        drop(self.reply.try_send(answer));
    }
}

impl Desk {
    /// What a change may take: writing to a slow medium, MQTT's farewell and the capture's answer.
    const PATIENCE: Span = Span::from_secs(20);

    /// `view` is published before anyone asks.
    pub(super) fn open(
        view: Arc<Slot<SettingsView>>,
        store: Store,
    ) -> (Arc<dyn SettingsDesk>, mpsc::Receiver<Request>) {
        // 8, as for commands: changes are made by people; overflow policy is refusal, told to the asker.
        let (requests, asked) = mpsc::channel(8);
        (Arc::new(Self { view, requests, store }), asked)
    }
}

impl SettingsDesk for Desk {
    fn view(&self) -> Arc<SettingsView> {
        self.view.latest().unwrap_or_default()
    }

    fn change(&self, change: SettingsChange) -> Result<SettingsAnswer, SettingsRefused> {
        // 1: one answer, and the answering side never waits.
        let (reply, answer) = sync_channel(1);
        self.requests.try_send(Request { change, reply }).map_err(|refused| match refused {
            TrySendError::Full(_) => CommandRefused::Busy,
            TrySendError::Closed(_) => CommandRefused::Stopping,
        })?;
        answer.recv_timeout(Self::PATIENCE.to_std()).unwrap_or_else(|error| {
            Err(SettingsRefused::NotNow(match error {
                RecvTimeoutError::Timeout => CommandRefused::NoAnswer(Self::PATIENCE),
                RecvTimeoutError::Disconnected => CommandRefused::Stopping,
            }))
        })
    }

    fn versions(&self) -> Result<Vec<SettingsVersion>, SettingsRefused> {
        let kept = self.store.settings().map_err(|error| {
            let why = one_line(&error);
            SettingsRefused::NotNow(CommandRefused::Impossible(why))
        })?;
        Ok(kept.versions.into_iter().rev().map(masked).collect())
    }
}

/// A version without its secrets. A key that is no longer known may have been one.
fn masked(version: KeptVersion) -> SettingsVersion {
    let open = |path: &str| key::find(path).is_some_and(|key| !key.secret);
    let settings = version.overlay.into_iter().map(|(path, text)| {
        let text = open(&path).then_some(text);
        (path, text)
    });
    SettingsVersion {
        number: version.number,
        time: version.time,
        author: version.author,
        reason: version.reason,
        settings: settings.collect(),
    }
}
