//! [`Router`]: from a request to its [`Reply`]. Who may ask, which methods a path has, and which part answers.
//!
//! Reading is open to whoever reaches the listener, which is the loopback interface by default. Writing, and reading
//! packets or settings, needs the admin token. Names are checked for both, so that a web page elsewhere cannot make a
//! browser ask in its stead.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use tiny_http::{Method, Request};

use super::assets::Assets;
use super::captures::{self, Wanted};
use super::export::{Export, Exports, Format};
use super::health::Health;
use super::history::History;
use super::packets::Packets;
use super::query::{self, BadRequest};
use super::reply::Reply;
use super::request::{header, headers, host_name, read_body};
use super::server::Counters;
use super::settings::{self, Asked};
use super::token::Throttle;
use super::view::{BaselineStarted, CaptureAnswer, MlAnswer, Moment, Statistics};
use super::view_interfaces::InterfacesAnswer;
use super::view_lists::{AcknowledgedAll, AlertsAnswer, DevicesAnswer, ExpectedAnswer, FlowsAnswer};
use super::view_models::{PerformanceAnswer, TrainingBegun};
use super::{Config, Parts, metrics, stream};
use crate::alert::{AlertId, Marking, Note};
use crate::capture;
use crate::control::{AlertPage, ArchiveError, CommandRefused, MeterStatus, Status};
use crate::sys::Resources;
use crate::sys::clock::{self, Stopwatch};

/// Answers requests; shared by all workers.
pub(super) struct Router {
    parts: Parts,
    allowed_hosts: RwLock<Vec<String>>,
    assets: Assets,
    throttle: Throttle,
    health: Health,
    history: History,
    exports: Exports,
    packets: Packets,
    counters: Arc<Counters>,
    clock: Stopwatch,
}

/// What a path leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Route<'a> {
    Asset,
    Statistics,
    History,
    Stream,
    Alerts,
    Alert(&'a str),
    Flows,
    Devices,
    Capture,
    Ml,
    Interfaces,
    Export(Format),
    StartBaseline,
    Train,
    Performance,
    Expected,
    Acknowledge(Option<&'a str>),
    FalsePositive(&'a str),
    Config,
    ConfigVersions,
    RestoreConfig,
    StartCapture,
    StopCapture,
    Packets,
    Files(Wanted<'a>),
    Health,
    Metrics,
}

/// The paths that stand as they are. Besides these there are the files of `assets`, and what follows [`ALERT`].
const FIXED: [(&str, Route<'static>); 24] = [
    ("/api/statistics", Route::Statistics),
    ("/api/history", Route::History),
    ("/api/stream", Route::Stream),
    ("/api/alerts", Route::Alerts),
    ("/api/alerts/acknowledge", Route::Acknowledge(None)),
    ("/api/alerts/expected", Route::Expected),
    ("/api/flows", Route::Flows),
    ("/api/devices", Route::Devices),
    ("/api/interfaces", Route::Interfaces),
    ("/api/export/alerts.jsonl", Route::Export(Format::Lines)),
    ("/api/export/alerts.csv", Route::Export(Format::Csv)),
    ("/api/capture/status", Route::Capture),
    ("/api/capture/packets", Route::Packets),
    ("/api/capture/start", Route::StartCapture),
    ("/api/capture/stop", Route::StopCapture),
    ("/api/ml/status", Route::Ml),
    ("/api/ml/baseline/start", Route::StartBaseline),
    ("/api/ml/train", Route::Train),
    ("/api/models/performance", Route::Performance),
    ("/api/config", Route::Config),
    ("/api/config/versions", Route::ConfigVersions),
    ("/api/config/restore", Route::RestoreConfig),
    ("/healthz", Route::Health),
    ("/metrics", Route::Metrics),
];

/// What stands before an alert's id.
const ALERT: &str = "/api/alerts/";

impl<'a> Route<'a> {
    fn find(path: &'a str, assets: &Assets) -> Option<Self> {
        if let Some(&(_, route)) = FIXED.iter().find(|(fixed, _)| *fixed == path) {
            return Some(route);
        }
        if assets.contains(path) {
            return Some(Self::Asset);
        }
        if let Some(wanted) = Wanted::find(path) {
            return Some(Self::Files(wanted));
        }
        match path.strip_prefix(ALERT)?.split_once('/') {
            None => path.strip_prefix(ALERT).map(Self::Alert),
            Some((id, "acknowledge")) => Some(Self::Acknowledge(Some(id))),
            Some((id, "false-positive")) => Some(Self::FalsePositive(id)),
            Some(_) => None,
        }
    }

    /// Whether it changes something.
    const fn writes(self) -> bool {
        matches!(
            self,
            Self::StartBaseline
                | Self::Train
                | Self::Acknowledge(_)
                | Self::FalsePositive(_)
                | Self::StartCapture
                | Self::StopCapture
                | Self::RestoreConfig
        )
    }

    /// The methods, as `Allow` names them.
    const fn methods(self) -> &'static str {
        match self {
            Self::Config => "GET, HEAD, PATCH",
            Self::Files(wanted) => wanted.methods(),
            _ if self.writes() => "POST",
            _ => "GET, HEAD",
        }
    }
}

impl Router {
    /// Every path with its methods, as the description of the API must name them.
    #[cfg(test)]
    pub(super) fn routes() -> Vec<(String, &'static str)> {
        use super::assets::{DESCRIPTION, FILES};
        let files = FILES.into_iter().chain([DESCRIPTION]).map(|(path, ..)| (path, Route::Asset));
        let all = FIXED.into_iter().chain(files).map(|(path, route)| (path.to_owned(), route.methods()));
        let alert = [("", "GET, HEAD"), ("/acknowledge", "POST"), ("/false-positive", "POST")];
        let alert = alert.map(|(what, methods)| (format!("{ALERT}{{id}}{what}"), methods));
        all.chain(alert).chain(Wanted::routes()).collect()
    }

    /// `stop` is set when the server ends.
    pub(super) fn new(config: &Config, parts: Parts, counters: Arc<Counters>, stop: Arc<AtomicBool>) -> Self {
        Self {
            parts,
            allowed_hosts: RwLock::new(lowercase(&config.allowed_hosts)),
            assets: Assets::new(),
            throttle: Throttle::default(),
            health: Health::default(),
            history: History::default(),
            exports: Exports::new(stop),
            packets: Packets::default(),
            counters,
            clock: Stopwatch::start(),
        }
    }

    pub(super) fn allow_hosts(&self, hosts: &[String]) {
        *self.allowed_hosts.write().unwrap_or_else(PoisonError::into_inner) = lowercase(hosts);
    }

    fn allows(&self, host: &String) -> bool {
        self.allowed_hosts.read().unwrap_or_else(PoisonError::into_inner).contains(host)
    }

    pub(super) fn counters(&self) -> &Arc<Counters> {
        &self.counters
    }

    /// Looks at the board, so that what grows old is noticed even when nobody asks.
    pub(super) fn observe(&self) {
        let (status, now) = (self.parts.board.status(), self.clock.elapsed());
        self.health.observe(&status, now);
        self.history.observe(&status, now);
    }

    /// The reply to a request.
    pub(super) fn answer(&self, request: &mut Request) -> Reply {
        self.admit(request).unwrap_or_else(|refusal| refusal)
    }

    fn admit(&self, request: &mut Request) -> Result<Reply, Reply> {
        let url = request.url().to_owned();
        if !url.starts_with('/') {
            return Err(Reply::problem(400, "the address does not begin with a slash"));
        }
        self.check_host(request)?;
        let (path, query) = url.split_once('?').unwrap_or((&url, ""));
        let Some(route) = Route::find(path, &self.assets) else {
            return Err(Reply::problem(404, "there is nothing at this path"));
        };
        match (route, request.method()) {
            (Route::Config, Method::Patch) | (Route::RestoreConfig, Method::Post) => {
                self.check_owner(request)?;
                self.change_settings(route, query, request)
            }
            (Route::Files(wanted), method) if wanted.takes(method) => {
                self.check_owner(request)?;
                query::none(query).map_err(|bad| refused(&bad))?;
                captures::answer(wanted, &self.parts, &self.exports, request)
            }
            (Route::Files(_), _) => Err(not_allowed(route)),
            (_, Method::Post) if route.writes() => {
                self.check_owner(request)?;
                query::none(query).map_err(|bad| refused(&bad))?;
                let body = read_body(request, &["application/json"])?;
                self.write(route, &body)
            }
            (_, Method::Get | Method::Head) if !route.writes() => self.read(route, path, query, request),
            _ => Err(not_allowed(route)),
        }
    }

    fn write(&self, route: Route<'_>, body: &[u8]) -> Result<Reply, Reply> {
        match route {
            Route::StartBaseline => self.start_baseline(body),
            Route::Train => self.train(body),
            Route::Acknowledge(Some(id)) => {
                let marking =
                    |undo, note| if undo { Marking::Unacknowledge } else { Marking::Acknowledge(note) };
                self.mark(id, body, marking)
            }
            Route::Acknowledge(None) => self.acknowledge_all(body),
            Route::FalsePositive(id) => {
                let marking =
                    |undo, note| if undo { Marking::NotFalse } else { Marking::FalsePositive(note) };
                self.mark(id, body, marking)
            }
            Route::StartCapture | Route::StopCapture => self.switch_capture(route, body),
            _ => Err(not_allowed(route)),
        }
    }

    fn switch_capture(&self, route: Route<'_>, body: &[u8]) -> Result<Reply, Reply> {
        query::nothing(body).map_err(|bad| refused(&bad))?;
        let commands = &self.parts.commands;
        let done =
            if route == Route::StartCapture { commands.start_capture() } else { commands.stop_capture() };
        done.map_err(|error| not_done(&error))?;
        Ok(Reply::json(200, &CaptureAnswer::new(&self.parts.board.status())))
    }

    fn read(&self, route: Route<'_>, path: &str, query: &str, request: &Request) -> Result<Reply, Reply> {
        let status = self.parts.board.status();
        let meter = status.meter.as_deref();
        match route {
            Route::Alerts => return self.alerts(query),
            Route::Export(format) => return self.export(format, query, request),
            // What is set says more of the network than everybody need know.
            Route::Config | Route::ConfigVersions => {
                self.check_owner(request)?;
                query::none(query).map_err(|bad| refused(&bad))?;
                return self.settings(route);
            }
            Route::Packets => {
                self.check_owner(request)?;
                let sources = meter.map_or(&[][..], |meter| &meter.sources);
                return self.packets.reply(query, &self.parts.commands, sources);
            }
            Route::Flows => {
                let limit = query::limit(query, FlowsAnswer::MAX_LIMIT).map_err(|bad| refused(&bad))?;
                return Ok(Reply::json(200, &FlowsAnswer::new(meter, limit)));
            }
            Route::Devices => {
                let limit = query::limit(query, DevicesAnswer::MAX_LIMIT).map_err(|bad| refused(&bad))?;
                return Ok(Reply::json(200, &DevicesAnswer::new(meter, limit)));
            }
            // A version or the like behind a file's name is for caches.
            Route::Asset => {}
            _ => query::none(query).map_err(|bad| refused(&bad))?,
        }
        Ok(match route {
            Route::Statistics => Reply::json(200, &self.statistics()),
            Route::History => Reply::json(200, &self.history.answer(clock::now(), self.clock.elapsed())),
            Route::Stream => return stream(request),
            Route::Alert(id) => return self.alert(id),
            Route::Capture => Reply::json(200, &CaptureAnswer::new(&status)),
            Route::Ml => Reply::json(200, &MlAnswer::new(status.judge.as_deref())),
            Route::Performance => {
                let feedback = self.parts.archive.feedback().map_err(|error| unreadable(&error))?;
                Reply::json(200, &PerformanceAnswer::new(status.judge.as_deref(), &feedback))
            }
            Route::Expected => Reply::json(200, &ExpectedAnswer::new(status.judge.as_deref())),
            Route::Interfaces => return interfaces(meter),
            Route::Health => self.healthz(&status),
            Route::Metrics => metrics::reply(&status, self.moment(), header(request, "Accept")),
            Route::Asset => {
                let (accepted, known) =
                    (header(request, "Accept-Encoding"), header(request, "If-None-Match"));
                return self.assets.reply(path, accepted, known).ok_or_else(|| not_allowed(route));
            }
            // Answered above, or no route that is read.
            _ => return Err(not_allowed(route)),
        })
    }

    /// Everything of the overview, now.
    pub(super) fn statistics(&self) -> Statistics {
        let status = self.parts.board.status();
        Statistics::new(&status, self.moment(), self.complaints(&status))
    }

    fn moment(&self) -> Moment<'_> {
        Moment {
            about: &self.parts.about,
            now: clock::now(),
            uptime: self.clock.elapsed(),
            // A system without /proc has no such numbers.
            resources: Resources::read().ok(),
        }
    }

    fn alerts(&self, query: &str) -> Result<Reply, Reply> {
        let wanted = query::alerts(query).map_err(|bad| refused(&bad))?;
        let AlertPage { alerts, unsearched } =
            self.parts.archive.list(&wanted).map_err(|error| unreadable(&error))?;
        let full = alerts.len() >= wanted.limit;
        let next_before = unsearched
            .map(|id| id.to_string())
            .or_else(|| alerts.last().filter(|_| full).map(|last| last.id.clone()));
        Ok(Reply::json(200, &AlertsAnswer { alerts, complete: unsearched.is_none(), next_before }))
    }

    fn export(&self, format: Format, query: &str, request: &Request) -> Result<Reply, Reply> {
        let wanted = query::export(query).map_err(|bad| refused(&bad))?;
        // tiny_http would hold the whole of it in memory for a client that does not know chunks.
        if *request.http_version() < (1, 1) {
            return Err(Reply::problem(505, "an export is streamed, which needs HTTP/1.1"));
        }
        let Some(place) = self.exports.take() else {
            let busy = Reply::problem(503, "another export is under way; try again when it has ended");
            return Err(busy.with("Retry-After", "5"));
        };
        let archive = Arc::clone(&self.parts.archive);
        let export = Export::begin(archive, &wanted, format, place).map_err(|error| unreadable(&error))?;
        let reply = Reply::stream(format.content_type(), export).with("Cache-Control", "no-store");
        Ok(reply.with("Content-Disposition", format.disposition()))
    }

    fn alert(&self, id: &str) -> Result<Reply, Reply> {
        match self.parts.archive.get(alert_id(id)?) {
            Ok(Some(record)) => Ok(Reply::json(200, &record)),
            Ok(None) => {
                Err(Reply::problem(404, "no alert has this id; it may have been deleted for its age"))
            }
            Err(error) => Err(unreadable(&error)),
        }
    }

    fn complaints(&self, status: &Status) -> Vec<String> {
        self.health.complaints(status, self.clock.elapsed())
    }

    fn healthz(&self, status: &Status) -> Reply {
        let complaints = self.complaints(status);
        if complaints.is_empty() {
            return plain(200, format!("ok\n{}", Health::remark(status)));
        }
        plain(503, complaints.join("\n") + "\n")
    }

    fn train(&self, body: &[u8]) -> Result<Reply, Reply> {
        query::nothing(body).map_err(|bad| refused(&bad))?;
        let model = self.parts.commands.train().map_err(|error| not_done(&error))?;
        Ok(Reply::json(202, &TrainingBegun::new(model)))
    }

    fn mark(
        &self,
        id: &str,
        body: &[u8],
        marking: impl FnOnce(bool, Option<Note>) -> Marking,
    ) -> Result<Reply, Reply> {
        let id = alert_id(id)?;
        let (undo, note) = query::mark(body).map_err(|bad| refused(&bad))?;
        let alert = self.parts.commands.mark(id, marking(undo, note)).map_err(|error| not_done(&error))?;
        Ok(Reply::json(200, &alert))
    }

    fn acknowledge_all(&self, body: &[u8]) -> Result<Reply, Reply> {
        let note = query::mark_all(body).map_err(|bad| refused(&bad))?;
        let acknowledged = self.parts.commands.acknowledge_all(note).map_err(|error| not_done(&error))?;
        Ok(Reply::json(200, &AcknowledgedAll { acknowledged }))
    }

    fn start_baseline(&self, body: &[u8]) -> Result<Reply, Reply> {
        let duration = query::start_baseline(body).map_err(|bad| refused(&bad))?;
        match self.parts.commands.start_baseline(duration) {
            Ok(()) => {
                let duration_seconds = duration.map(|span| span.as_secs());
                Ok(Reply::json(202, &BaselineStarted { phase: "learning", duration_seconds }))
            }
            Err(error) => Err(not_done(&error)),
        }
    }

    fn settings(&self, route: Route<'_>) -> Result<Reply, Reply> {
        let view = self.parts.settings.view();
        if route == Route::Config {
            return Ok(settings::shown(200, &view));
        }
        let versions = self.parts.settings.versions().map_err(|error| {
            tracing::warn!(%error, "a request for the versions of the settings failed");
            Reply::problem(500, "the versions cannot be read; the log says why")
        })?;
        Ok(settings::versions(&view, versions))
    }

    fn change_settings(&self, route: Route<'_>, query: &str, request: &mut Request) -> Result<Reply, Reply> {
        let dry_run = query::dry_run(query).map_err(|bad| refused(&bad))?;
        let Some(if_match) = settings::if_match(headers(request, "If-Match")) else {
            let detail = "send If-Match with the ETag of the settings that you have read";
            return Err(Reply::problem(428, detail));
        };
        let mut asked = if route == Route::Config {
            let body = read_body(request, &["application/merge-patch+json", "application/json"])?;
            Asked::patch(&body)
        } else {
            Asked::restore(&read_body(request, &["application/json"])?)
        }
        .map_err(|bad| refused(&bad))?;
        asked.change.dry_run = dry_run;
        asked.change.if_match = Some(if_match);
        let outcome = self.parts.settings.change(asked.change.clone());
        Ok(asked.reply(outcome, &self.parts.settings.view()))
    }

    /// Against DNS rebinding: a name that some stranger's domain server points here is not ours.
    fn check_host(&self, request: &Request) -> Result<(), Reply> {
        let named: Vec<&str> = headers(request, "Host").collect();
        let host = match named[..] {
            // HTTP/1.0 has none, and a browser always has one.
            [] if *request.http_version() == (1, 0) => return Ok(()),
            [host] => host_name(host).to_ascii_lowercase(),
            _ => return Err(Reply::problem(400, "a request names one Host")),
        };
        let own = host == "localhost"
            || host.ends_with(".localhost")
            || host.parse::<Ipv4Addr>().is_ok()
            || host
                .strip_prefix('[')
                .and_then(|h| h.strip_suffix(']'))
                .is_some_and(|h| h.parse::<Ipv6Addr>().is_ok())
            || self.allows(&host);
        if own {
            return Ok(());
        }
        Err(Reply::problem(
            421,
            "this host name is not one of ours; add it to http.allowed_hosts, or use the address",
        ))
    }

    /// Whether a request may change anything, or read what others say: from our own page or no page at all, with the admin token.
    fn check_owner(&self, request: &Request) -> Result<(), Reply> {
        let site = header(request, "Sec-Fetch-Site");
        if !matches!(site, "" | "same-origin" | "none") || is_elsewhere(request) {
            return Err(Reply::problem(403, "this is not taken from the pages of another site"));
        }
        let given = header(request, "Authorization");
        let token = given
            .split_once(' ')
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .map_or("", |(_, token)| token);
        if !token.is_empty() && self.parts.token.verify(token) {
            return Ok(());
        }
        self.counters.unauthorised.fetch_add(1, Ordering::Relaxed);
        if given.is_empty() {
            return Err(Reply::problem(401, "this needs the admin token, as Authorization: Bearer TOKEN")
                .with("WWW-Authenticate", "Bearer realm=\"tapguard\""));
        }
        if let Err(wait) = self.throttle.handle_failure(self.clock.elapsed()) {
            return Err(Reply::problem(429, "too many wrong tokens; wait a minute")
                .with("Retry-After", (wait.as_secs() + 1).to_string()));
        }
        Err(Reply::problem(401, "this is not the admin token")
            .with("WWW-Authenticate", "Bearer realm=\"tapguard\", error=\"invalid_token\""))
    }
}

/// Whether the page of another site asks.
fn is_elsewhere(request: &Request) -> bool {
    let origin = header(request, "Origin");
    let own = origin
        .split_once("://")
        .is_some_and(|(_, authority)| authority.eq_ignore_ascii_case(header(request, "Host")));
    !origin.is_empty() && !own
}

/// Agrees to a live stream. Unlike other reads it is open to the pages of all sites where nothing forbids that.
fn stream(request: &Request) -> Result<Reply, Reply> {
    if is_elsewhere(request) {
        return Err(Reply::problem(403, "the stream is not for the pages of another site"));
    }
    let upgrade = match request.method() {
        Method::Get if *request.http_version() == (1, 1) => header(request, "Upgrade"),
        _ => "",
    };
    let (version, key) = (header(request, "Sec-WebSocket-Version"), header(request, "Sec-WebSocket-Key"));
    stream::agree(upgrade, version, key).map(Reply::switch)
}

fn plain(status: u16, text: String) -> Reply {
    Reply::new(status, "text/plain; charset=utf-8", text).with("Cache-Control", "no-store")
}

fn not_allowed(route: Route<'_>) -> Reply {
    Reply::problem(405, "this path does not have that method").with("Allow", route.methods())
}

pub(super) fn refused(bad: &BadRequest) -> Reply {
    let beyond = matches!(
        bad,
        BadRequest::Duration | BadRequest::Note(_) | BadRequest::Limit { .. } | BadRequest::Text { .. }
    );
    let status = if beyond { 422 } else { 400 };
    Reply::problem(status, &bad.to_string())
}

pub(super) fn alert_id(text: &str) -> Result<AlertId, Reply> {
    text.parse().map_err(|_| Reply::problem(400, "an alert id has 24 hexadecimal digits"))
}

/// The reply to a command that was not carried out.
pub(super) fn not_done(error: &CommandRefused) -> Reply {
    let why = error.to_string();
    match error {
        CommandRefused::Busy => Reply::problem(503, &why).with("Retry-After", "5"),
        CommandRefused::Stopping => Reply::problem(503, &why),
        CommandRefused::NoAnswer(_) => Reply::problem(504, &why),
        CommandRefused::Impossible(_) => Reply::problem(409, &why),
        CommandRefused::NoSuchAlert => Reply::problem(404, &why),
        // The reason is in the log: it may name files.
        CommandRefused::Failed(_) => {
            Reply::problem(500, "what was said could not be stored; the log says why")
        }
    }
}

/// The reason goes to the log: it names files, which are nobody's business outside.
fn unreadable(error: &ArchiveError) -> Reply {
    tracing::warn!(%error, cause = ?error.0, "a request for alerts failed");
    Reply::problem(500, "the alerts cannot be read; the log says why")
}

fn interfaces(meter: Option<&MeterStatus>) -> Result<Reply, Reply> {
    let found = capture::interfaces().map_err(|error| {
        tracing::warn!(%error, "a request for the interfaces failed");
        Reply::problem(500, "the interfaces cannot be listed; the log says why")
    })?;
    Ok(Reply::json(200, &InterfacesAnswer::new(found, meter.map_or(&[][..], |meter| &meter.sources))))
}

fn lowercase(hosts: &[String]) -> Vec<String> {
    hosts.iter().map(|host| host.to_ascii_lowercase()).collect()
}
