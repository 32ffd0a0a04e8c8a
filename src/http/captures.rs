//! What is answered of capture files: evidence of alerts, and captures on demand. All of it is for who has the admin
//! token: the files hold the names and words of others.

use serde::{Deserialize, Serialize};
use tiny_http::{Method, Request};

use super::Parts;
use super::export::Exports;
use super::query::{self, BadRequest};
use super::reply::Reply;
use super::request::read_body;
use super::router::{alert_id, not_done, refused};
use crate::control::{CaptureLimits, CaptureRecord, CaptureRefused, CaptureWish, Download};

/// What a path leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted<'a> {
    Evidence(&'a str),
    All,
    One(&'a str),
    File(&'a str),
    Stop(&'a str),
}

const ALERTS: &str = "/api/alerts/";
const CAPTURES: &str = "/api/captures";
const PCAPNG: &str = "application/x-pcapng";
/// Characters of a name and of a filter.
const LONGEST_NAME: usize = 100;
const LONGEST_FILTER: usize = 2_000;
/// The least of each limit: a packet without its headers says nothing, and a file holds at least one.
const LEAST: CaptureLimits =
    CaptureLimits { seconds: 1, bytes: 4_096, packets: 1, snaplen: 64, before_seconds: 0 };

impl<'a> Wanted<'a> {
    pub(super) fn find(path: &'a str) -> Option<Self> {
        if let Some(id) = path.strip_prefix(ALERTS).and_then(|rest| rest.strip_suffix("/evidence.pcapng")) {
            return (!id.contains('/')).then_some(Self::Evidence(id));
        }
        let rest = path.strip_prefix(CAPTURES)?;
        if rest.is_empty() {
            return Some(Self::All);
        }
        match rest.strip_prefix('/')?.split_once('/') {
            None => rest.strip_prefix('/').map(Self::One),
            Some((id, "file.pcapng")) => Some(Self::File(id)),
            Some((id, "stop")) => Some(Self::Stop(id)),
            Some(_) => None,
        }
    }

    /// The methods, as `Allow` names them.
    pub(super) const fn methods(self) -> &'static str {
        match self {
            Self::Evidence(_) | Self::File(_) => "GET, HEAD",
            Self::All => "GET, HEAD, POST",
            Self::One(_) => "GET, HEAD, DELETE",
            Self::Stop(_) => "POST",
        }
    }

    pub(super) fn takes(self, method: &Method) -> bool {
        self.methods().split(", ").any(|name| name == method.as_str())
    }

    /// Every path with its methods.
    #[cfg(test)]
    pub(super) fn routes() -> [(String, &'static str); 5] {
        let id = "{id}";
        [
            (format!("{ALERTS}{id}/evidence.pcapng"), Self::Evidence(id).methods()),
            (CAPTURES.to_owned(), Self::All.methods()),
            (format!("{CAPTURES}/{id}"), Self::One(id).methods()),
            (format!("{CAPTURES}/{id}/file.pcapng"), Self::File(id).methods()),
            (format!("{CAPTURES}/{id}/stop"), Self::Stop(id).methods()),
        ]
    }
}

/// All captures.
#[derive(Serialize)]
struct CapturesAnswer {
    captures: Vec<CaptureRecord>,
}

/// Answers the owner, whose method is one of [`Wanted::methods`].
pub(super) fn answer(
    wanted: Wanted<'_>,
    parts: &Parts,
    exports: &Exports,
    request: &mut Request,
) -> Result<Reply, Reply> {
    let captures = &parts.captures;
    match wanted {
        Wanted::Evidence(text) => {
            let id = alert_id(text)?;
            let found = parts.evidence.evidence(id);
            let download = found.map_err(|why| Reply::problem(404, &why.to_string()))?;
            file(download, exports, &format!("tapguard-alert-{id}"))
        }
        Wanted::All if *request.method() == Method::Post => {
            let body = read_body(request, &["application/json"])?;
            let wish = wish(&body).map_err(|bad| refused(&bad))?;
            let begun = captures.start(wish).map_err(|why| not_captured(&why))?;
            Ok(Reply::json(201, &begun).with("Location", format!("{CAPTURES}/{}", begun.id)))
        }
        Wanted::All => Ok(Reply::json(200, &CapturesAnswer { captures: captures.list() })),
        Wanted::One(id) if *request.method() == Method::Delete => {
            captures.delete(number(id)?).map_err(|why| not_captured(&why))?;
            Ok(Reply::json(200, &CapturesAnswer { captures: captures.list() }))
        }
        Wanted::One(id) => match captures.find(number(id)?) {
            Some(record) => Ok(Reply::json(200, &record)),
            None => Err(not_captured(&CaptureRefused::Unknown)),
        },
        Wanted::File(text) => {
            let id = number(text)?;
            let download = captures.file(id).map_err(|why| not_captured(&why))?;
            file(download, exports, &format!("tapguard-capture-{id}"))
        }
        Wanted::Stop(id) => {
            let body = read_body(request, &["application/json"])?;
            query::nothing(&body).map_err(|bad| refused(&bad))?;
            let stopped = captures.stop(number(id)?).map_err(|why| not_captured(&why))?;
            Ok(Reply::json(200, &stopped))
        }
    }
}

/// A file takes a worker for as long as its client does, as an export, so that there is one at a time.
fn file(download: Download, exports: &Exports, name: &str) -> Result<Reply, Reply> {
    let Some(place) = exports.take() else {
        let busy = Reply::problem(503, "another export is under way; try again when it has ended");
        return Err(busy.with("Retry-After", "5"));
    };
    let reply = Reply::file(PCAPNG, download, place).with("Cache-Control", "no-store");
    Ok(reply.with("Content-Disposition", format!("attachment; filename=\"{name}.pcapng\"")))
}

fn number(text: &str) -> Result<u64, Reply> {
    text.parse().map_err(|_| not_captured(&CaptureRefused::Unknown))
}

/// The reply to what was not done with a capture.
fn not_captured(why: &CaptureRefused) -> Reply {
    let told = why.to_string();
    match why {
        CaptureRefused::Filter(_) => Reply::problem(400, &told),
        CaptureRefused::Busy => Reply::problem(429, &told).with("Retry-After", "10"),
        CaptureRefused::Unknown => Reply::problem(404, &told),
        CaptureRefused::Running | CaptureRefused::InUse => Reply::problem(409, &told),
        CaptureRefused::NotNow(refused) => not_done(refused),
        CaptureRefused::Files(error) => {
            tracing::warn!("files of a capture: {error}");
            Reply::problem(507, &format!("{told}: {}", error.kind()))
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    #[serde(default)]
    name: String,
    #[serde(default)]
    filter: String,
    seconds: Option<serde_json::Number>,
    bytes: Option<serde_json::Number>,
    packets: Option<serde_json::Number>,
    snaplen: Option<serde_json::Number>,
    before_seconds: Option<serde_json::Number>,
}

fn wish(body: &[u8]) -> Result<CaptureWish, BadRequest> {
    let fields =
        "\"name\", \"filter\", \"seconds\", \"bytes\", \"packets\", \"snaplen\" and \"before_seconds\"";
    let asked: Asked = query::object(body, fields)?;
    for (name, text, most) in [("name", &asked.name, LONGEST_NAME), ("filter", &asked.filter, LONGEST_FILTER)]
    {
        if text.chars().count() > most || text.chars().any(char::is_control) {
            return Err(BadRequest::Text { name, most });
        }
    }
    let (default, most) = (CaptureLimits::default(), CaptureLimits::MOST);
    let limit = |name, asked: &Option<serde_json::Number>, default, (least, most)| {
        let Some(asked) = asked else { return Ok(default) };
        let within = query::whole(asked).filter(|value| (least..=most).contains(value));
        within.ok_or(BadRequest::Limit { name, least, most })
    };
    let snaplen = (u64::from(LEAST.snaplen), u64::from(most.snaplen));
    let snaplen = limit("snaplen", &asked.snaplen, u64::from(default.snaplen), snaplen)?;
    let limits = CaptureLimits {
        seconds: limit("seconds", &asked.seconds, default.seconds, (LEAST.seconds, most.seconds))?,
        bytes: limit("bytes", &asked.bytes, default.bytes, (LEAST.bytes, most.bytes))?,
        packets: limit("packets", &asked.packets, default.packets, (LEAST.packets, most.packets))?,
        snaplen: u32::try_from(snaplen).unwrap_or(most.snaplen),
        before_seconds: limit(
            "before_seconds",
            &asked.before_seconds,
            default.before_seconds,
            (LEAST.before_seconds, most.before_seconds),
        )?,
    };
    Ok(CaptureWish { name: asked.name, filter: asked.filter, limits })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lead_where_they_say() {
        for (path, wanted) in [
            ("/api/alerts/7/evidence.pcapng", Some(Wanted::Evidence("7"))),
            ("/api/alerts/7/8/evidence.pcapng", None),
            ("/api/captures", Some(Wanted::All)),
            ("/api/captures/", Some(Wanted::One(""))),
            ("/api/captures/7", Some(Wanted::One("7"))),
            ("/api/captures/7/file.pcapng", Some(Wanted::File("7"))),
            ("/api/captures/7/stop", Some(Wanted::Stop("7"))),
            ("/api/captures/7/start", None),
            ("/api/captures7", None),
        ] {
            assert_eq!(Wanted::find(path), wanted, "{path}");
        }
        assert!(Wanted::One("7").takes(&Method::Delete) && !Wanted::All.takes(&Method::Delete));
    }

    #[test]
    fn a_wish_has_defaults_and_hard_limits() {
        let default = CaptureLimits::default();
        assert_eq!(wish(b"").unwrap().limits, default);
        let some =
            wish(br#"{"filter": "arp", "seconds": 5.0, "snaplen": 96, "before_seconds": 60}"#).unwrap();
        assert_eq!(some.limits, CaptureLimits { seconds: 5, snaplen: 96, before_seconds: 60, ..default });
        for bad in [
            r#"{"seconds": 0}"#,
            r#"{"seconds": 86401}"#,
            r#"{"bytes": 4095}"#,
            r#"{"packets": 0}"#,
            r#"{"snaplen": 262145}"#,
            r#"{"before_seconds": 61}"#,
            r#"{"seconds": -1}"#,
        ] {
            assert!(matches!(wish(bad.as_bytes()), Err(BadRequest::Limit { .. })), "{bad}");
        }
        let long = format!("{{\"name\": \"{}\"}}", "x".repeat(101));
        assert_eq!(wish(long.as_bytes()), Err(BadRequest::Text { name: "name", most: 100 }));
        assert!(wish(br#"{"name": "a\nb"}"#).is_err() && wish(br#"{"colour": "red"}"#).is_err());
    }
}
