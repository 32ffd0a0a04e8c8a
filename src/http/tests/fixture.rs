//! A daemon that stands still: a filled board, a few alerts, and a client that speaks plain HTTP.

use std::collections::{BTreeMap, VecDeque};
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex};

use super::captures::{StillFiles, files};
use crate::alert::{Alert, AlertId, Event, Expected, Mark, Marking, Note, Rule, Severity};
use crate::behaviour::{Kind, Party, Peer, Protocol, Reason};
use crate::capture::{Next, Recent, Source, SourceCounters};
use crate::control::wire::AlertRecord;
use crate::control::{
    AlertArchive, AlertCounts, AlertFeed, AlertPage, AlertQuery, ArchiveError, Author, BaselinePhase,
    BaselineStatus, Board, CaptureCommand, CaptureState, CaptureStatus, Command, CommandQueue,
    CommandRefused, DeviceSummary, Effect, FeedbackCount, FlowSummary, HttpStatus, JudgeStatus, LastChange,
    MeterStatus, ModelStatus, Outcome, PlannedChange, Setting, SettingKind, SettingSource, SettingsAnswer,
    SettingsChange, SettingsDesk, SettingsRefused, SettingsVersion, SettingsView, SourceKind, StoreStatus,
    TcpStatus,
};
use crate::demo::{self, Network};
use crate::feature::Rate;
use crate::flow::{DeviceKey, StreamSums, TcpHealth, TcpTotals, TunnelRecord, TunnelTotal};
use crate::http::gate::Limits;
use crate::http::{About, AdminToken, Config, HttpError, Parts, Server};
use crate::packet::{Encapsulation, FragmentCounts, Mac};
use crate::pipeline::mirror::{Report, Trouble, Verdict};
use crate::pipeline::{Extents, Mirror, Performance, SourceId};
use crate::time::{Span, Timestamp};

/// 2026-03-05T08:00:00Z.
pub(crate) const NOW: Timestamp = Timestamp::from_nanos(1_772_697_600_000_000_000);

/// A server, and what surrounds it.
pub(crate) struct Bench {
    pub(crate) server: Server,
    pub(crate) board: Arc<Board>,
    pub(crate) feed: Arc<AlertFeed>,
    pub(crate) token: AdminToken,
    /// Where commands arrive; none once it was taken.
    pub(crate) commands: Option<Receiver<Command>>,
    pub(crate) desk: Arc<StillDesk>,
    /// The same of the capture thread.
    pub(crate) capture: Option<Receiver<CaptureCommand>>,
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self::within(Limits::default(), &Config { allowed_hosts: vec!["Tap.Example".to_owned()], ..config() })
    }

    pub(crate) fn within(limits: Limits, config: &Config) -> Self {
        let bench = Self::around(limits, config);
        bench.board.meter.publish(meter());
        bench.board.judge.publish(judge());
        bench.board.store.publish(store());
        bench.board.files.publish(files());
        bench
    }

    /// A daemon of which no part has published yet.
    pub(crate) fn silent() -> Self {
        Self::around(Limits::default(), &config())
    }

    fn around(limits: Limits, config: &Config) -> Self {
        let (board, feed) = (Arc::new(Board::default()), Arc::new(AlertFeed::default()));
        let token = AdminToken::generate().unwrap();
        let (queue, commands) = CommandQueue::new();
        let capture = Some(queue.add_source(SourceId::default()));
        let desk = Arc::new(StillDesk::default());
        let parts = Parts { settings: Arc::<StillDesk>::clone(&desk), ..parts(&board, &feed, queue, &token) };
        let server = Server::start_within(config, parts, limits).unwrap();
        Self { server, board, feed, token, commands: Some(commands), capture, desk }
    }

    /// Another server beside this one.
    pub(crate) fn second(&self, config: &Config) -> Result<Server, HttpError> {
        Server::start(config, parts(&self.board, &self.feed, CommandQueue::new().0, &self.token))
    }

    /// What the server says of itself, once it has published twice: the first may have been under way.
    pub(crate) fn board_after_beat(&self) -> Arc<HttpStatus> {
        let mut latest = self.board.http.latest().unwrap();
        for _ in 0..2 {
            let before = latest;
            latest = loop {
                let now = self.board.http.latest().unwrap();
                if !Arc::ptr_eq(&before, &now) {
                    break now;
                }
                std::thread::park_timeout(std::time::Duration::from_millis(5));
            };
        }
        latest
    }

    /// Answers the commands that come, and gives back how long each was to learn once the daemon's side has ended.
    pub(crate) fn obey(&mut self) -> std::thread::JoinHandle<Vec<Option<Span>>> {
        let commands = self.commands.take().unwrap();
        std::thread::spawn(move || {
            let asked = commands.iter().map(|command| match command {
                Command::StartBaseline { duration, reply } => {
                    reply.send(Ok(()));
                    duration
                }
                other => panic!("another command was asked for: {other:?}"),
            });
            asked.collect()
        })
    }

    /// Does what is said of alerts and models without a judge, and gives back what was asked for as text.
    pub(crate) fn obey_owner(&mut self) -> std::thread::JoinHandle<Vec<String>> {
        let commands = self.commands.take().unwrap();
        std::thread::spawn(move || {
            let asked = commands.iter().map(|command| match command {
                Command::Train { reply } => {
                    reply.send(Ok("isolation_forest-3".to_owned()));
                    "train".to_owned()
                }
                Command::Mark { id, marking, reply } => {
                    let found = alerts().into_iter().find(|alert| alert.id == id.to_string());
                    let mut mark = Mark::default();
                    mark.apply(&marking, Severity::Critical, NOW);
                    let marked = found.map(|alert| Box::new(alert.marked(&mark)));
                    reply.send(marked.ok_or(CommandRefused::NoSuchAlert));
                    format!("{marking:?}")
                }
                Command::AcknowledgeAll { note, reply } => {
                    reply.send(Ok(2));
                    format!("all {note:?}")
                }
                other => panic!("another command was asked for: {other:?}"),
            });
            asked.collect()
        })
    }

    /// Carries out what the capture thread is asked: a stop at once, a start never.
    pub(crate) fn obey_capture(&mut self) {
        let (commands, board) = (self.capture.take().unwrap(), Arc::clone(&self.board));
        std::thread::spawn(move || {
            for command in &commands {
                match command {
                    CaptureCommand::Stop { reply } => {
                        let mut stopped = meter();
                        stopped.capture.state = CaptureState::Stopped;
                        board.meter.publish(stopped);
                        reply.send(Ok(()));
                    }
                    CaptureCommand::Start { reply } => {
                        reply.send(Err(CommandRefused::Impossible("not permitted".to_owned())));
                    }
                    CaptureCommand::Recent { most, since, reply } => {
                        reply.send(Ok(recent().snapshot(most, since)));
                    }
                    CaptureCommand::Reopen { .. }
                    | CaptureCommand::Moments { .. }
                    | CaptureCommand::Record { .. } => panic!("HTTP has no such route"),
                }
            }
        });
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.ask(&format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"))
    }

    /// A `GET` with the admin token.
    pub(crate) fn get_as_owner(&self, path: &str) -> Answer {
        self.ask(&format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{}\r\n", self.bearer()))
    }

    pub(crate) fn json(&self, path: &str) -> serde_json::Value {
        let answer = self.get(path);
        assert_eq!((answer.status, answer.header("Content-Type")), (200, Some("application/json")), "{path}");
        serde_json::from_slice(&answer.body).unwrap()
    }

    /// A `POST` that starts a baseline, with more header lines and a body.
    pub(crate) fn start_baseline(&self, lines: &str, body: &str) -> Answer {
        self.post("/api/ml/baseline/start", lines, body)
    }

    /// A `POST` with more header lines and a body.
    pub(crate) fn post(&self, path: &str, lines: &str, body: &str) -> Answer {
        let length = body.len();
        self.ask(&format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n{lines}\r\n{body}"
        ))
    }

    /// A request with the token, more header lines and a body.
    pub(crate) fn write(&self, method: &str, path: &str, lines: &str, body: &str) -> Answer {
        let (length, token) = (body.len(), self.token.as_str());
        self.ask(&format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\
             Authorization: Bearer {token}\r\n{lines}\r\n{body}"
        ))
    }

    pub(crate) fn bearer(&self) -> String {
        format!("Authorization: Bearer {}\r\nContent-Type: application/json\r\n", self.token.as_str())
    }

    pub(crate) fn ask(&self, request: &str) -> Answer {
        let mut client = self.connect();
        client.write_all(request.as_bytes()).unwrap();
        Answer::read(&mut client)
    }

    pub(crate) fn connect(&self) -> TcpStream {
        let client = TcpStream::connect(self.server.address()).unwrap();
        client.set_read_timeout(Some(std::time::Duration::from_secs(30))).unwrap();
        client
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.server.end_within(Span::from_secs(20));
    }
}

/// A minute of the generated network, in memory.
fn recent() -> Recent {
    let mut recent = Recent::new();
    let mut network = Network::new(demo::Config::new(1, NOW));
    while recent.snapshot(1, Some(NOW + Span::from_secs(60))).frames().next().is_none() {
        if let Ok(Next::Frame(frame)) = network.next() {
            recent.push(&frame);
        }
    }
    recent
}

fn parts(board: &Arc<Board>, feed: &Arc<AlertFeed>, commands: CommandQueue, token: &AdminToken) -> Parts {
    Parts {
        board: Arc::clone(board),
        archive: Arc::new(Archive(alerts())),
        feed: Arc::clone(feed),
        commands,
        evidence: Arc::new(StillFiles::default()),
        captures: Arc::new(StillFiles::default()),
        settings: Arc::new(StillDesk::default()),
        token: token.hash().unwrap(),
        about: About { tap: "workshop".to_owned(), version: "0.1.0", started: NOW },
    }
}

/// A desk that shows always the same, and answers as it was told to.
#[derive(Default)]
pub(crate) struct StillDesk {
    pub(crate) outcomes: Mutex<VecDeque<Result<bool, SettingsRefused>>>,
    pub(crate) asked: Mutex<Vec<SettingsChange>>,
}

impl SettingsDesk for StillDesk {
    fn view(&self) -> Arc<SettingsView> {
        Arc::new(settings())
    }

    fn change(&self, change: SettingsChange) -> Result<SettingsAnswer, SettingsRefused> {
        self.asked.lock().unwrap().push(change);
        let on_trial = self.outcomes.lock().unwrap().pop_front().unwrap()?;
        let value = |text: &str| Some(text.to_owned());
        let port =
            PlannedChange { key: "mqtt.port", from: value("1883"), to: value("1"), effect: Effect::Now };
        let password = PlannedChange { key: "mqtt.password", from: None, to: None, effect: Effect::Now };
        Ok(SettingsAnswer { view: self.view(), changes: vec![port, password], on_trial })
    }

    fn versions(&self) -> Result<Vec<SettingsVersion>, SettingsRefused> {
        let value = |key: &str, text: Option<&str>| (key.to_owned(), text.map(str::to_owned));
        let settings = vec![value("mqtt.port", Some("1883")), value("mqtt.password", None)];
        let version = |number, author, reason: Option<&str>| SettingsVersion {
            number,
            time: NOW,
            author,
            reason: reason.map(str::to_owned),
            settings: settings.clone(),
        };
        let why = Some("the capture did not come back");
        Ok(vec![version(2, Author::Rollback, why), version(1, Author::Mqtt, None)])
    }
}

/// One setting of each kind and source.
pub(crate) fn settings() -> SettingsView {
    let setting = |key, kind, value: Option<&str>, default, source, effect| Setting {
        key,
        meaning: "What it does.",
        kind,
        value: value.map(str::to_owned),
        set: value.is_some(),
        default,
        source,
        effect,
        secret: false,
        fixed: None,
        pending_restart: false,
    };
    let text = SettingKind::Text { what: "text", pattern: Some("^[a-z]+$"), empty: false };
    let port = SettingKind::Integer { least: 1, most: 65_535, unit: "" };
    let quota = SettingKind::Integer { least: 5, most: i64::MAX, unit: "bytes" };
    let ratio = SettingKind::Number { least: 0.2, most: 1.0 };
    let level = SettingKind::Choice(&["info", "debug"]);
    let file = SettingSource::File("/etc/tapguard/tapguard.toml:12".to_owned());
    let environment = SettingSource::Environment("TAPGUARD_LOG__LEVEL".to_owned());
    let default = || SettingSource::Default;
    SettingsView {
        tag: "2-0123456789abcdef-7".to_owned(),
        version: 2,
        settings: vec![
            setting("mqtt.port", port, Some("1883"), None, SettingSource::Remote, Effect::Now),
            setting("mqtt.tls", SettingKind::Boolean, Some("false"), Some("false"), default(), Effect::Now),
            Setting {
                set: true,
                secret: true,
                ..setting("mqtt.password", text, None, None, SettingSource::Remote, Effect::Now)
            },
            setting("detection.alert_threshold", ratio, Some("0.7"), Some("0.8"), file, Effect::Now),
            Setting {
                fixed: Some("log.level is set by environment variable TAPGUARD_LOG__LEVEL".to_owned()),
                ..setting("log.level", level, Some("debug"), Some("info"), environment, Effect::Now)
            },
            Setting {
                pending_restart: true,
                ..setting("store.quota", quota, Some("9"), Some("8"), SettingSource::Flag, Effect::Restart)
            },
        ],
        last_change: Some(LastChange {
            version: 2,
            outcome: Outcome::RolledBack,
            reason: Some("the capture did not come back".to_owned()),
        }),
        left_out: None,
    }
}

pub(crate) fn config() -> Config {
    Config { listen: SocketAddr::from(([127, 0, 0, 1], 0)), allowed_hosts: Vec::new() }
}

/// A whole reply.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// Reads until the server closes.
    pub(crate) fn read(client: &mut TcpStream) -> Self {
        let mut bytes = Vec::new();
        client.read_to_end(&mut bytes).unwrap();
        let end = bytes.windows(4).position(|w| w == b"\r\n\r\n").expect("a whole head");
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
        let mut lines = head.split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let header = |line: &str| line.split_once(": ").map(|(n, v)| (n.to_owned(), v.to_owned())).unwrap();
        Self { status, headers: lines.map(header).collect(), body: bytes.split_off(end + 4) }
    }

    /// The body of a stream, and whether its end came.
    pub(crate) fn unchunked(&self) -> (Vec<u8>, bool) {
        assert_eq!(
            (self.header("Transfer-Encoding"), self.header("Content-Length")),
            (Some("chunked"), None)
        );
        let (mut rest, mut whole) = (&self.body[..], Vec::new());
        while let Some(end) = rest.windows(2).position(|w| w == b"\r\n") {
            let length = usize::from_str_radix(std::str::from_utf8(&rest[..end]).unwrap(), 16).unwrap();
            let chunk = &rest[end + 2..];
            if length == 0 {
                assert_eq!(chunk, b"\r\n");
                return (whole, true);
            }
            whole.extend_from_slice(&chunk[..length]);
            rest = chunk[length..].strip_prefix(b"\r\n").unwrap();
        }
        (whole, false)
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    /// Checks that this is an RFC 9457 problem and gives its detail.
    pub(crate) fn problem(&self) -> String {
        assert_eq!(self.header("Content-Type"), Some("application/problem+json"));
        let body: serde_json::Value = serde_json::from_slice(&self.body).unwrap();
        assert_eq!(body["status"], self.status);
        assert!(!body["title"].as_str().unwrap().is_empty());
        body["detail"].as_str().unwrap().to_owned()
    }
}

/// Alerts in memory. One kind of request makes it fail, another panic.
struct Archive(Vec<AlertRecord>);

impl Archive {
    const FAILS: &str = "secret-path is damaged";
}

/// The `since` for which the archive searches in vain and gives up.
pub(crate) const GIVES_UP: Timestamp = Timestamp::from_nanos(1_000_000_000);

/// The `since` for which there is always one more page of alerts.
pub(crate) const ENDLESS: Timestamp = Timestamp::from_nanos(2_000_000_000);

/// The `since` for which the second page cannot be read.
pub(crate) const BREAKS: Timestamp = Timestamp::from_nanos(3_000_000_000);

/// The id at which the archive panics.
pub(crate) const PANICS: &str = "ffffffffffffffffffffffff";

impl AlertArchive for Archive {
    fn list(&self, query: &AlertQuery) -> Result<AlertPage, ArchiveError> {
        if query.since == Some(Timestamp::EPOCH) {
            return Err(ArchiveError(Archive::FAILS.into()));
        }
        let unsearched = Some(AlertId::new(NOW, 1));
        match query.since {
            Some(GIVES_UP) if query.before.is_none() => {
                return Ok(AlertPage { alerts: Vec::new(), unsearched });
            }
            Some(ENDLESS) => return Ok(AlertPage { alerts: self.0.clone(), unsearched }),
            Some(BREAKS) if query.before.is_none() => {
                return Ok(AlertPage { alerts: self.0.clone(), unsearched });
            }
            Some(BREAKS) => return Err(ArchiveError(Archive::FAILS.into())),
            _ => {}
        }
        let before = query.before.map(|id| id.to_string());
        let matches = |a: &&AlertRecord| {
            before.as_ref().is_none_or(|id| a.id < *id)
                && query.kind.is_none_or(|kind| a.kind == kind.word())
                && query.open.is_none_or(|open| open != a.is_cleared())
                && query
                    .acknowledged
                    .is_none_or(|seen| seen == (a.acknowledged.is_some() || a.feedback.is_some()))
                && query.severity.is_none_or(|least| a.severity.parse::<Severity>().unwrap() >= least)
        };
        let alerts = self.0.iter().filter(matches).take(query.limit).cloned().collect();
        Ok(AlertPage { alerts, unsearched: None })
    }

    fn get(&self, id: AlertId) -> Result<Option<AlertRecord>, ArchiveError> {
        assert_ne!(id.to_string(), PANICS, "this panic is part of a test");
        Ok(self.0.iter().find(|a| a.id == id.to_string()).cloned())
    }

    fn feedback(&self) -> Result<BTreeMap<String, FeedbackCount>, ArchiveError> {
        let said = FeedbackCount { confirmed: 3, false_positives: 1 };
        Ok(BTreeMap::from([("isolation_forest-1".to_owned(), said)]))
    }
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn reason(
    feature: &'static str,
    value: f64,
    unit: &'static str,
    known: [Option<f64>; 2],
    share: f64,
) -> Reason {
    Reason {
        feature: feature.into(),
        value,
        unit: unit.into(),
        median: known[0],
        p99: known[1],
        contribution: share,
    }
}

/// An alert `minutes` before now.
fn alert(minutes: u64, kind: Kind, severity: Severity, event: Event) -> Alert {
    let first_seen = NOW - Span::from_secs(60 * minutes);
    Alert {
        id: AlertId::new(first_seen, 7 + minutes),
        event,
        timestamp: first_seen,
        first_seen,
        last_seen: first_seen + Span::from_secs(41),
        kind,
        title: String::new(),
        description: String::new(),
        severity,
        score: 0.98,
        confidence: 0.9,
        subject: Party::default(),
        peers: Vec::new(),
        reasons: Vec::new(),
        packets: 8_312,
        bytes: 514_200,
        count: 3,
        tap: "workshop".to_owned(),
        model: None,
        baseline: Some("b3".to_owned()),
    }
}

/// Newest first: an open scan, an open new device with a hostile name, a cleared window.
pub(crate) fn alerts() -> Vec<AlertRecord> {
    let scan = Alert {
        title: "Televisor tries the ports of 10.10.10.37".to_owned(),
        description: "Televisor opened 4,005 connections to 10.10.10.37 within 41 seconds, nearly all to other ports \
                      and refused. That is a port scan. Look whether this device was taken over, and take it off the \
                      network until you know."
            .to_owned(),
        subject: Party {
            mac: Some(Mac([0x00, 0x1a, 0x2b, 0x3c, 0x4d, 0x5e])),
            ips: vec![ip("10.10.10.21"), ip("fe80::21a:2bff:fe3c:4d5e")],
            name: Some("Televisor".to_owned()),
            vendor: None,
        },
        peers: vec![Peer { mac: None, ip: Some(ip("10.10.10.37")), port: None, protocol: Some(Protocol::Tcp) }],
        reasons: vec![
            reason("distinct_ports", 4005.0, "ports", [Some(3.0), Some(25.0)], 0.62),
            reason("failed_connections", 3987.0, "connections", [Some(0.0), Some(4.0)], 0.31),
            reason("connection_rate", 97.68, "connections per second", [None, Some(2.5)], 0.07),
        ],
        ..alert(1, Kind::PortScan, Severity::High, Event::Updated)
    };
    let newcomer = Alert {
        title: "A new device: <img src=x onerror=alert(1)>".to_owned(),
        description: "A device that the baseline does not know has joined.".to_owned(),
        subject: Party {
            mac: Some(Mac([0xde, 0xad, 0xbe, 0xef, 0x00, 0x01])),
            ips: vec![ip("10.10.10.99")],
            name: Some("<img src=x onerror=alert(1)>".to_owned()),
            vendor: Some("MSFT 5.0".to_owned()),
        },
        reasons: vec![reason("days_of_baseline", 1.0, "days", [None, None], 1.0)],
        count: 1,
        ..alert(12, Kind::NewDevice, Severity::Medium, Event::Raised)
    };
    let unusual = Alert {
        title: "plc-press-2 behaves unlike before".to_owned(),
        description:
            "In one minute plc-press-2 sent far more bytes than it ever did while the baseline was learned."
                .to_owned(),
        subject: Party {
            name: Some("plc-press-2".to_owned()),
            ips: vec![ip("10.10.10.52")],
            ..Party::default()
        },
        reasons: vec![
            reason("bytes_sent", 48_211_331.0, "bytes", [Some(41_200.0), Some(66_913.0)], 0.81),
            reason("entropy_of_peers", 0.0312, "bits", [Some(1.21), Some(1.58)], 0.12),
        ],
        model: Some("isolation_forest-1".to_owned()),
        ..alert(95, Kind::Behaviour, Severity::Low, Event::Cleared)
    };
    let mut alerts: Vec<AlertRecord> = [scan, newcomer, unusual].iter().map(AlertRecord::from).collect();
    let mut mark = Mark::default();
    let note = Note::of("=the press was serviced").unwrap();
    mark.apply(&Marking::Acknowledge(note.clone()), Severity::Low, NOW);
    mark.apply(&Marking::FalsePositive(note), Severity::Low, NOW);
    if let Some(unusual) = alerts.pop() {
        alerts.push(unusual.marked(&mark));
    }
    alerts
}

fn device(last: u8, name: Option<&str>, seconds_ago: u64, known: Option<bool>) -> DeviceSummary {
    DeviceSummary {
        mac: Some(Mac([0x00, 0x1a, 0x2b, 0x3c, 0x4d, last])),
        ips: vec![IpAddr::from([10, 10, 10, last]), ip(&format!("fe80::21a:2bff:fe3c:4d{last:02x}"))],
        name: name.map(str::to_owned),
        vendor: last.is_multiple_of(2).then(|| "android-dhcp-14".to_owned()),
        first_seen: NOW - Span::from_secs(7_200 + u64::from(last)),
        last_seen: NOW - Span::from_secs(seconds_ago),
        packets_sent: 1_200 * u64::from(last),
        packets_received: 900 * u64::from(last),
        bytes_sent: 1_234_567 * u64::from(last),
        bytes_received: 77_777 * u64::from(last),
        router: last == 1,
        known,
        now: known.map(|_| Rate { packets: 12.345_678, bytes: 9_876.5 }),
        interface: Some("eth1".to_owned()),
    }
}

fn mirror() -> Vec<Report> {
    let mut reports = Mirror::new(1).reports();
    reports[0].verdict = Verdict::Found(Trouble::OneDirection);
    reports[2].verdict = Verdict::Fine;
    reports
}

fn flow(n: u16) -> FlowSummary {
    FlowSummary {
        protocol: if n.is_multiple_of(3) { "udp" } else { "tcp" }.to_owned(),
        protocol_number: if n.is_multiple_of(3) { 17 } else { 6 },
        client: IpAddr::from([10, 10, 10, 21]),
        client_port: 40_000 + n,
        server: if n == 2 { ip("2001:db8:10::50") } else { IpAddr::from([10, 10, 10, 37]) },
        server_port: if n.is_multiple_of(3) { 53 } else { 443 },
        state: if n.is_multiple_of(3) { "two_way" } else { "established" },
        application: if n.is_multiple_of(3) { "dns" } else { "unknown" },
        tcp: (!n.is_multiple_of(3)).then(|| TcpHealth {
            to_client: StreamSums { retransmitted: 2, out_of_order: 1, missing: 1_460 },
            server_round_trip: Some(Span::from_millis(12)),
            ..TcpHealth::default()
        }),
        first_seen: NOW - Span::from_secs(40 + u64::from(n)),
        last_seen: NOW - Span::from_millis(300 * u64::from(n)),
        packets_to_server: 120 + u64::from(n),
        packets_to_client: 180 + u64::from(n),
        bytes_to_server: 15_312,
        bytes_to_client: 912_331,
    }
}

fn tcp() -> TcpStatus {
    TcpStatus {
        totals: TcpTotals {
            segments: 400_000,
            retransmitted: 320,
            out_of_order: 41,
            acknowledgements: 150_000,
            gaps: 7,
            bytes_seen: 99_000_000,
            bytes_missing: 1_000_000,
            flows_measured: 800,
            flows_one_way: 3,
            flows_unmeasured: 1,
        },
        recent: Some(TcpTotals { segments: 100, retransmitted: 1, ..TcpTotals::default() }),
    }
}

#[expect(clippy::too_many_lines, reason = "a value for each field")]
pub(crate) fn meter() -> MeterStatus {
    MeterStatus {
        source: SourceId::default(),
        sources: Vec::new(),
        capture: CaptureStatus {
            kind: SourceKind::Interface,
            name: "eth1".to_owned(),
            why: "chosen: the only interface with traffic of others".to_owned(),
            state: CaptureState::Running,
            counters: SourceCounters {
                frames: 1_204_311,
                kernel_drops: 12,
                interface_drops: 3,
                broken_records: 0,
            },
            losses: 1,
            mirror: None,
        },
        now: NOW,
        packets: 1_204_311,
        bytes: 812_331_120,
        packets_per_second: Some(1_204.5),
        bits_per_second: Some(7_412_331.5),
        protocols: vec![
            ("ipv4", 1_100_000),
            ("ipv6", 90_000),
            ("arp", 4_311),
            ("tcp", 990_123),
            ("dns", 22_010),
        ],
        operations: vec![("modbus", "read", "request", 512), ("s7comm", "program", "request", 3)],
        faults: vec![("ipv4", "truncated", 17), ("tcp", "bad_offset", 2)],
        extents: Extents { full: 1_203_000, partial: 1_000, none: 311 },
        unknown: vec![("ether_type", 0x88cc, 300), ("ip", 2, 981)],
        unknown_other: 0,
        fragments: FragmentCounts {
            fragments: 40,
            reassembled: 19,
            incomplete: 1,
            evicted: 0,
            overlaps: 2,
            malformed: 0,
        },
        tunnels: vec![TunnelRecord {
            kind: Encapsulation::Erspan,
            ends: Some(([192, 0, 2, 1].into(), [192, 0, 2, 9].into())),
            total: TunnelTotal { packets: 70_000, bytes: 9_100_000 },
            first: NOW,
            last: NOW,
        }],
        tunnel_totals: vec![(Encapsulation::Erspan, TunnelTotal { packets: 70_000, bytes: 9_100_000 })],
        tunnels_evicted: 0,
        unread: vec![("tls_hellos", 3), ("quic_hellos", 1), ("quic_packets", 0), ("fingerprints", 0)],
        mirror: mirror(),
        copies: 17,
        flows_active: 412,
        flows_capacity: 65_536,
        flows_total: 88_120,
        flows_ended: vec![("closed", 60_000), ("idle", 27_000), ("evicted", 5)],
        flows: (1..=60).map(flow).collect(),
        devices: devices(),
        devices_capacity: 4_096,
        devices_unproven: 3,
        devices_evicted: 0,
        streams_refused: 0,
        clock_steps: 0,
        observations_dropped: 4,
        events_dropped: 6,
        last_packet: Some(NOW),
        flows_renewed: 2,
        flowless_packets: 9,
        tcp: tcp(),
    }
}

pub(crate) fn judge() -> JudgeStatus {
    JudgeStatus {
        no_model: None,
        strangers: Vec::new(),
        now: NOW,
        baseline: BaselineStatus {
            untracked: 1,
            phase: BaselinePhase::Armed,
            id: Some("b3".to_owned()),
            learned: Span::from_secs(86_400),
            target: Span::from_secs(86_400),
            devices: 11,
            windows: 15_840,
        },
        model: Some(ModelStatus {
            id: "isolation_forest-1".to_owned(),
            trained_at: NOW - Span::from_secs(3_600),
            trained_on: 12_672,
            held_out: 3_168,
            threshold: 0.6412,
            size: 184_320,
            version: 1,
            devices: 11,
            training_time: Some(Span::from_millis(412)),
            alert_threshold: 0.8,
            promised_rate: 1e-4,
        }),
        windows: 4_210,
        windows_unusual: 6,
        detection: true,
        alerts: AlertCounts {
            raised: Kind::ALL.map(|kind| (kind.word(), u64::from(kind == Kind::PortScan))).to_vec(),
            updated: 3,
            cleared: 1,
            open: 2,
            unacknowledged: 1,
            suppressed: 5,
            suppressed_expected: 4,
            expected_dropped: 0,
        },
        performance: performance(),
        expected: vec![expected()],
        threat: Some(Severity::High),
    }
}

fn performance() -> Performance {
    let mut performance = Performance::default();
    performance.since = Some(NOW - Span::from_secs(3_600));
    performance.watched = Span::from_secs(3_600);
    performance.judged = 4_210;
    performance.unusual = 6;
    performance.by_rarity = [3_790, 377, 34, 3, 2, 0, 1, 0, 0, 3];
    performance.raised = 1;
    performance
}

fn expected() -> Rule {
    Rule {
        alert: AlertId::new(NOW, 9),
        kind: Kind::HostSweep,
        subject: DeviceKey::Mac(Mac([0x00, 0x1a, 0x2b, 0x3c, 0x4d, 0x15])),
        name: Some("Televisor".to_owned()),
        severity: Severity::Medium,
        since: NOW,
        until: NOW + Expected::LIFETIME,
        matched: 4,
    }
}

pub(crate) fn store() -> StoreStatus {
    StoreStatus {
        unreadable: 0,
        path: "/var/lib/tapguard".to_owned(),
        bytes: 6_710_886,
        quota: 268_435_456,
        alerts: 3,
        alerts_expired: 0,
        outbox: 2,
        outbox_dropped: 0,
        write_errors: 0,
        alerts_lost: 0,
        refused_writes: 0,
        failing: None,
        last_error: None,
        replaced: None,
    }
}

fn devices() -> Vec<DeviceSummary> {
    vec![
        device(1, Some("router.example"), 1, Some(true)),
        device(21, Some("Televisor"), 0, Some(true)),
        device(52, Some("plc-press-2"), 3, Some(true)),
        device(99, Some("<img src=x onerror=alert(1)>"), 700, Some(false)),
        DeviceSummary { mac: None, ..device(77, None, 86_400, None) },
    ]
}
