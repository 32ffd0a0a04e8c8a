//! One connection's memory: what is on its way, what was told over it, and what was asked over it.

use std::collections::{HashMap, VecDeque};

use rumqttc::{AsyncClient, QoS};
use tokio::task::JoinSet;

use super::command::Answer;
use super::discovery::Announcer;
use super::state::StateRecord;
use crate::control::OutboxKey;
use crate::control::wire::AlertRecord;
use crate::sys::clock::Stopwatch;

/// One connection.
pub(super) struct Session {
    pub(super) client: AsyncClient,
    /// What was handed to rumqttc with QoS 1 and has no packet id yet, in order; none for what is no alert.
    pub(super) handed: VecDeque<Option<OutboxKey>>,
    /// What the broker has to acknowledge, by packet id.
    pub(super) unacknowledged: HashMap<u16, Option<OutboxKey>>,
    pub(super) last: Option<OutboxKey>,
    /// The state told last, and when.
    pub(super) state: Option<(StateRecord, Stopwatch)>,
    /// The newest alert as it was told last.
    pub(super) last_alert: Option<AlertRecord>,
    /// There may be an alert that is newer.
    pub(super) news: bool,
    pub(super) announcer: Announcer,
    /// Commands that wait for their answer, at most [`Session::RUNNING`]. When the connection ends, nobody is answered
    /// any more.
    pub(super) running: JoinSet<Answer>,
}

impl Session {
    /// Commands under way at once; a further one is refused.
    pub(super) const RUNNING: usize = 4;

    pub(super) fn new(client: AsyncClient) -> Self {
        Self {
            client,
            handed: VecDeque::new(),
            unacknowledged: HashMap::new(),
            last: None,
            state: None,
            last_alert: None,
            news: true,
            announcer: Announcer::default(),
            running: JoinSet::new(),
        }
    }

    /// Hands a message over with QoS 1; false when there is no room for it now.
    pub(super) fn publish(
        &mut self,
        topic: &str,
        retain: bool,
        payload: Vec<u8>,
        key: Option<OutboxKey>,
    ) -> bool {
        let handed = self.client.try_publish(topic, QoS::AtLeastOnce, retain, payload).is_ok();
        if handed {
            self.handed.push_back(key);
        }
        handed
    }

    pub(super) fn on_their_way(&self) -> usize {
        self.handed.len() + self.unacknowledged.len()
    }
}
