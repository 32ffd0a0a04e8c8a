//! The client's life: connect, deliver, lose the connection, wait, connect again.
//!
//! Every connection gets a client and event loop of its own. rumqttc would keep unacknowledged messages over a
//! reconnect, but drops them when the broker has forgotten the session; here what is not acknowledged is still in
//! the outbox, and a new connection starts with the oldest of it.

use std::sync::Arc;

use rand_core::Rng;
use rand_pcg::Pcg32;
use rumqttc::{
    AsyncClient, Event, EventLoop, LastWill, MqttOptions, Outgoing, Packet, Publish, QoS, SubscribeFilter,
};
use serde::Serialize;
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::timeout;

use super::backoff::Backoff;
use super::command::{Admission, Allowance, Answer, Asked, Refusal, Request};
use super::discovery::{self, Announcer};
use super::session::Session;
use super::state::StateRecord;
use super::topic::Topics;
use super::{Config, TlsError, tls};
use crate::control::wire::AlertRecord;
use crate::control::{
    AlertArchive, AlertQuery, Board, CommandQueue, CommandRefused, DeliveryQueue, MqttState, MqttStatus,
    OutboxItem, OutboxKey, SettingsDesk,
};
use crate::sys::clock::Stopwatch;
use crate::sys::one_line;
use crate::time::Span;

/// What the client is given to work with.
#[derive(Clone)]
pub struct Parts {
    /// Alerts to deliver.
    pub queue: Arc<dyn DeliveryQueue>,
    /// Where the newest alert is read.
    pub archive: Arc<dyn AlertArchive>,
    /// Where commands go.
    pub commands: CommandQueue,
    /// Where settings are changed.
    pub settings: Arc<dyn SettingsDesk>,
    /// State to publish, and the place for the client's own.
    pub board: Arc<Board>,
    /// Rung when the outbox has a new entry.
    pub wake: Arc<Notify>,
    /// True when the daemon stops.
    pub stop: watch::Receiver<bool>,
}

/// Publishes until told to stop. Never fails: what goes wrong is state on the board and is tried again.
pub async fn run(config: Config, parts: Parts) {
    let seed = getrandom::u64().unwrap_or(0);
    let mut backoff = Backoff::new(seed);
    let mut stop = parts.stop.clone();
    let mut client = Client::new(config, parts, seed);
    client.report(MqttState::Waiting("connecting".to_owned()));
    loop {
        let held = client.connect_and_serve().await;
        let why = match held {
            Served::Stopped => return,
            Served::Lost(why) => why,
        };
        if client.connected_for_long() {
            backoff.reset();
        }
        tracing::warn!(broker = client.status.broker, "MQTT: {why}");
        client.report(MqttState::Waiting(why));
        if timeout(backoff.poll_wait().to_std(), stopped(&mut stop)).await.is_ok() {
            return;
        }
    }
}

enum Served {
    Stopped,
    Lost(String),
}

struct Client {
    config: Config,
    topics: Topics,
    id: String,
    parts: Parts,
    status: MqttStatus,
    since: Option<Stopwatch>,
    chance: Pcg32,
    /// Time to learn that a baseline started without one takes: the configured one until another is set.
    learning: Span,
    allowance: Allowance,
    /// The allowance's clock.
    clock: Stopwatch,
}

impl Client {
    /// Alerts on their way at once: enough for one round trip, few enough to be sent again.
    const IN_FLIGHT: usize = 8;
    /// A connection that held for this long was a good one.
    const GOOD: Span = Span::from_secs(60);
    /// Bytes of a packet in either direction; rumqttc's own limit of 10 KiB is too small for an alert with peers.
    const PACKET: usize = 256 << 10;
    /// How often the state is looked at.
    const LOOK: Span = Span::from_secs(1);
    const KEEP_ALIVE: Span = Span::from_secs(30);
    /// What a stop waits for the broker to take the last words.
    const FAREWELL: Span = Span::from_secs(2);

    fn new(config: Config, parts: Parts, seed: u64) -> Self {
        let topics = Topics::new(&config.prefix, &config.tap);
        let status = MqttStatus {
            broker: format!("{}:{}", config.host, config.port),
            state: MqttState::Waiting("not connected yet".to_owned()),
            connects: 0,
            delivered: 0,
        };
        // With a part by chance: two taps of one name must not push each other out.
        let id = format!("tapguard-{}-{:04x}", config.tap, seed & 0xffff);
        Self {
            learning: config.learning,
            // Another stream than the one that shortens waits.
            chance: Pcg32::new(seed, 1),
            allowance: Allowance::new(),
            clock: Stopwatch::start(),
            since: None,
            config,
            topics,
            id,
            parts,
            status,
        }
    }

    fn report(&mut self, state: MqttState) {
        self.status.state = state;
        self.parts.board.mqtt.publish(self.status.clone());
    }

    fn connected_for_long(&self) -> bool {
        self.since.is_some_and(|since| since.elapsed() >= Self::GOOD)
    }

    fn options(&self) -> Result<MqttOptions, TlsError> {
        let mut options = MqttOptions::new(&self.id, &self.config.host, self.config.port);
        options.set_keep_alive(Self::KEEP_ALIVE.to_std());
        options.set_clean_session(true);
        options.set_max_packet_size(Self::PACKET, Self::PACKET);
        options.set_last_will(LastWill::new(&self.topics.availability, "offline", QoS::AtLeastOnce, true));
        if let Some(login) = &self.config.login {
            options.set_credentials(&login.username, &login.password);
        }
        if let Some(settings) = &self.config.tls {
            options.set_transport(tls::transport(settings)?);
        }
        Ok(options)
    }

    async fn connect_and_serve(&mut self) -> Served {
        self.since = None;
        let options = match self.options() {
            Ok(options) => options,
            Err(error) => return Served::Lost(one_line(&error)),
        };
        let (client, events) = AsyncClient::new(options, Self::IN_FLIGHT + 24);
        // 32: events of one turn; the sender waits when it is full, and nothing is lost.
        let (sender, receiver) = mpsc::channel(32);
        let driver = tokio::spawn(drive(events, sender));
        let served = self.serve(Session::new(client), receiver).await;
        driver.abort();
        served
    }

    async fn serve(&mut self, mut session: Session, mut events: mpsc::Receiver<Turn>) -> Served {
        let wake = self.parts.wake.clone();
        let mut stop = self.parts.stop.clone();
        let mut look = tokio::time::interval(Self::LOOK.to_std());
        loop {
            tokio::select! {
                turn = events.recv() => match turn {
                    Some(Ok(event)) => self.handle_event(&mut session, &event),
                    Some(Err(why)) => return Served::Lost(why),
                    None => return Served::Lost("the connection ended".to_owned()),
                },
                () = wake.notified() => {}
                Some(answer) = session.running.join_next() => {
                    let answer = answer.unwrap_or_else(|_| Answer::new("", &Err(Refusal::Failed)));
                    self.answer(&mut session, &answer);
                }
                _ = look.tick() => self.look(&mut session),
                () = stopped(&mut stop) => {
                    self.farewell(&mut session, &mut events).await;
                    return Served::Stopped;
                }
            }
            if self.since.is_some() {
                self.deliver(&mut session);
            }
        }
    }

    fn handle_event(&mut self, session: &mut Session, event: &Event) {
        match event {
            Event::Incoming(Packet::ConnAck(_)) => {
                self.since = Some(Stopwatch::start());
                self.status.connects += 1;
                tracing::info!(broker = self.status.broker, "MQTT: connected");
                self.report(MqttState::Connected);
                session.publish(&self.topics.availability, true, b"online".to_vec(), None);
                self.subscribe(session);
                self.look(session);
            }
            Event::Incoming(Packet::SubAck(_)) => session.announcer.handle_subscribed(),
            Event::Incoming(Packet::Publish(message)) => self.handle_message(session, message),
            Event::Outgoing(Outgoing::Publish(id)) => {
                if let Some(key) = session.handed.pop_front() {
                    session.unacknowledged.insert(*id, key);
                }
            }
            Event::Incoming(Packet::PubAck(ack)) => {
                if let Some(Some(key)) = session.unacknowledged.remove(&ack.pkid) {
                    session.news = true;
                    self.acknowledged(key);
                }
            }
            _ => {}
        }
    }

    fn acknowledged(&mut self, key: OutboxKey) {
        if let Err(error) = self.parts.queue.acknowledge(key) {
            tracing::warn!("MQTT: a delivered alert stays in the outbox and will be sent again: {error}");
        }
        self.status.delivered += 1;
        self.report(MqttState::Connected);
    }

    fn subscribe(&self, session: &Session) {
        let filter = |topic: String| SubscribeFilter::new(topic, QoS::AtLeastOnce);
        let mut filters =
            vec![filter(self.topics.discovery.clone()), filter(format!("{}#", self.topics.commands))];
        filters.extend(self.config.discovery.as_deref().map(discovery::birth_topic).map(filter));
        if session.client.try_subscribe_many(filters).is_err() {
            tracing::warn!("MQTT: no room to subscribe; commands are not heard over this connection");
        }
    }

    fn handle_message(&mut self, session: &mut Session, message: &Publish) {
        let birth = self.config.discovery.as_deref().map(discovery::birth_topic);
        if message.topic == self.topics.discovery {
            // What is not retained is our own, just published.
            if message.retain {
                session.announcer.handle_memory(&message.payload, &self.config.tap);
            }
        } else if birth.as_deref() == Some(message.topic.as_str()) {
            if !message.retain && message.payload == "online" {
                let wait = self.chance.next_u64() % (Announcer::LONGEST_WAIT.as_nanos() + 1);
                session.announcer.handle_birth(Span::from_nanos(wait));
            }
        } else if let Some(name) = message.topic.strip_prefix(&self.topics.commands) {
            if message.retain {
                // It was meant for another time, and would be obeyed at each connection.
                tracing::warn!(command = name, "MQTT: a retained command is ignored");
            } else {
                self.handle_command(session, name, &message.payload);
            }
        }
    }

    fn handle_command(&mut self, session: &mut Session, name: &str, payload: &[u8]) {
        match self.allowance.take(self.clock.elapsed()) {
            Admission::Granted => {}
            Admission::Refused => return self.answer(session, &Answer::new(name, &Err(Refusal::TooMany))),
            Admission::Dropped => return,
        }
        match Request::parse(name, payload) {
            Err(refusal) => self.answer(session, &Answer::new(name, &Err(refusal))),
            Ok(Request::SetLearning(learning)) => {
                self.learning = learning;
                self.answer(session, &Answer::new(name, &Ok(())));
            }
            Ok(_) if session.running.len() >= Session::RUNNING => {
                self.answer(session, &Answer::new(name, &Err(CommandRefused::Busy.into())));
            }
            Ok(request) => {
                let (asked, name) = (self.asked(), name.to_owned());
                session.running.spawn_blocking(move || Answer::new(&name, &asked.carry_out(request)));
            }
        }
    }

    fn asked(&self) -> Asked {
        Asked {
            commands: self.parts.commands.clone(),
            settings: Arc::clone(&self.parts.settings),
            board: Arc::clone(&self.parts.board),
            learning: self.learning,
        }
    }

    /// Answers a command; what it changed is told with it.
    fn answer(&self, session: &mut Session, answer: &Answer) {
        tracing::info!("MQTT: {answer}");
        self.publish_state_if_due(session);
        match serde_json::to_vec(answer) {
            Ok(payload) => {
                if !session.publish(&self.topics.replies, false, payload, None) {
                    tracing::warn!("MQTT: no room for an answer");
                }
            }
            Err(error) => tracing::warn!("MQTT: an answer cannot be written as JSON: {error}"),
        }
    }

    /// What is done each second.
    fn look(&self, session: &mut Session) {
        if self.since.is_none() {
            return;
        }
        self.announce_if_due(session);
        self.publish_state_if_due(session);
        self.publish_last_alert_if_new(session);
    }

    /// Tells Home Assistant what there is, and then how it is.
    fn announce_if_due(&self, session: &mut Session) {
        if !session.announcer.is_due() {
            return;
        }
        for (topic, payload) in session.announcer.messages(&self.config, &self.topics) {
            if !session.publish(&topic, true, payload, None) {
                // All of it again at the next look.
                return;
            }
        }
        session.announcer.finish();
        session.publish(&self.topics.availability, true, b"online".to_vec(), None);
        session.state = None;
        session.last_alert = None;
        session.news = true;
    }

    fn publish_last_alert_if_new(&self, session: &mut Session) {
        if !session.news {
            return;
        }
        let newest = match self.parts.archive.list(&AlertQuery { limit: 1, ..AlertQuery::default() }) {
            Ok(newest) => newest.alerts.into_iter().next(),
            Err(error) => {
                tracing::warn!("MQTT: {}", one_line(&error));
                None
            }
        };
        session.news = match newest.filter(|newest| session.last_alert.as_ref() != Some(newest)) {
            Some(newest) => !self.publish_last_alert(session, newest),
            None => false,
        };
    }

    fn publish_last_alert(&self, session: &mut Session, newest: AlertRecord) -> bool {
        let Ok(payload) = serde_json::to_vec(&newest) else { return true };
        let handed = session.publish(&self.topics.last_alert, true, payload, None);
        if handed {
            session.last_alert = Some(newest);
        }
        handed
    }

    /// State is published when what people act on changes, and now and then.
    fn publish_state_if_due(&self, session: &mut Session) {
        if self.since.is_none() {
            return;
        }
        let settings = self.parts.settings.view();
        let state = StateRecord::of(&self.parts.board.status(), &settings, self.learning);
        let due = session
            .state
            .as_ref()
            .is_none_or(|(told, at)| told.differs(&state) || at.elapsed() >= self.config.state_interval);
        if !due {
            return;
        }
        match serde_json::to_vec(&state) {
            Ok(payload) => {
                if session.publish(&self.topics.state, true, payload, None) {
                    session.state = Some((state, Stopwatch::start()));
                }
            }
            Err(error) => tracing::warn!("MQTT: the state cannot be written as JSON: {error}"),
        }
    }

    /// Hands over the next alerts of the outbox, oldest first, as many as may be on their way.
    fn deliver(&self, session: &mut Session) {
        let free = Self::IN_FLIGHT.saturating_sub(session.on_their_way());
        if free == 0 {
            return;
        }
        let items = match self.parts.queue.pending(session.last, free) {
            Ok(items) => items,
            Err(error) => {
                tracing::warn!("MQTT: {}", one_line(&error));
                return;
            }
        };
        for OutboxItem { key, record } in items {
            match serde_json::to_vec(&AlertMessage::new(&record)) {
                Ok(payload) => {
                    if !session.publish(&self.topics.alerts, false, payload, Some(key)) {
                        // The queue to rumqttc is full: the next turn tries again.
                        return;
                    }
                }
                Err(error) => tracing::warn!("MQTT: alert {} cannot be written as JSON: {error}", record.id),
            }
            session.last = Some(key);
        }
    }

    /// Says goodbye: a clean disconnect suppresses the last will, so "offline" is published first.
    async fn farewell(&mut self, session: &mut Session, events: &mut mpsc::Receiver<Turn>) {
        if self.since.is_none()
            || !session.publish(&self.topics.availability, true, b"offline".to_vec(), None)
        {
            return;
        }
        let taken = async {
            while !(session.handed.is_empty() && session.unacknowledged.is_empty()) {
                match events.recv().await {
                    Some(Ok(event)) => self.handle_event(session, &event),
                    Some(Err(_)) | None => return,
                }
            }
            if session.client.try_disconnect().is_ok() {
                while let Some(Ok(_)) = events.recv().await {}
            }
        };
        if timeout(Self::FAREWELL.to_std(), taken).await.is_err() {
            tracing::warn!("MQTT: the broker did not take the last messages within {}", Self::FAREWELL);
        }
    }
}

/// An alert as it is published: its kind once more, under the name that Home Assistant's event entities look for.
#[derive(Serialize)]
struct AlertMessage<'a> {
    event_type: &'a str,
    #[serde(flatten)]
    record: &'a AlertRecord,
}

impl<'a> AlertMessage<'a> {
    fn new(record: &'a AlertRecord) -> Self {
        Self { event_type: &record.kind, record }
    }
}

type Turn = Result<Event, String>;

/// Turns the event loop. In a task of its own, because a poll that is given up halfway would begin the connection
/// anew.
async fn drive(mut events: EventLoop, turns: mpsc::Sender<Turn>) {
    loop {
        let turn = events.poll().await.map_err(|error| one_line(&error));
        let lost = turn.is_err();
        if turns.send(turn).await.is_err() || lost {
            return;
        }
    }
}

/// Until the daemon stops, or is gone.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    drop(stop.wait_for(|&stop| stop).await);
}
