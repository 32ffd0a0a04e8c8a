//! Query strings and small bodies, checked: what is not known is refused with its name, never ignored.

use std::str::FromStr;

use serde::Deserialize;

use crate::alert::{Note, NoteTooLong};
use crate::baseline::Config as Learning;
use crate::control::AlertQuery;
use crate::time::{Span, Timestamp};

/// A query or body that is not understood, in words for its sender.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum BadRequest {
    /// No such parameter.
    #[error("no parameter {0:?} here; there are: {1}")]
    Unknown(String, &'static str),
    /// Given more than once.
    #[error("parameter {0:?} is given twice")]
    Twice(&'static str),
    /// A value out of its range or vocabulary.
    #[error("{name}={value:?} is not {expected}")]
    Value { name: &'static str, value: String, expected: &'static str },
    /// A percent sign without two hexadecimal digits, or no UTF-8.
    #[error("the query is not percent-encoded UTF-8")]
    Encoding,
    /// A body of another shape.
    #[error("the body is not a JSON object with at most {fields}: {why}")]
    Body { fields: &'static str, why: String },
    /// A body that is no change of settings.
    #[error("the body is not a JSON object of settings: {0}")]
    Patch(String),
    /// A body that names no version.
    #[error("the body is not {{\"version\": NUMBER}}: {0}")]
    Restore(String),
    /// A time to learn out of range.
    #[error("duration_seconds is not a whole number from {} to {}", Learning::LEAST, Learning::MOST)]
    Duration,
    /// A limit of a capture out of range.
    #[error("{name} is not a whole number from {least} to {most}")]
    Limit { name: &'static str, least: u64, most: u64 },
    /// A text that is too long, or none for people.
    #[error("{name} has more than {most} characters, or one that cannot be shown")]
    Text { name: &'static str, most: usize },
    /// A note too long.
    #[error(transparent)]
    Note(#[from] NoteTooLong),
}

/// Pairs of a query string. A plus sign stays one: it is part of times here.
fn pairs(query: &str) -> Result<Vec<(String, String)>, BadRequest> {
    query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Ok((decode(name)?, decode(value)?))
        })
        .collect()
}

fn decode(text: &str) -> Result<String, BadRequest> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit =
            || rest.next().and_then(|b| char::from(b).to_digit(16)).and_then(|d| u8::try_from(d).ok());
        let (Some(high), Some(low)) = (digit(), digit()) else { return Err(BadRequest::Encoding) };
        bytes.push(high << 4 | low);
    }
    String::from_utf8(bytes).map_err(|_| BadRequest::Encoding)
}

/// Puts a value into its place, once.
fn set<T>(
    place: &mut Option<T>,
    (name, value): (&'static str, &str),
    expected: &'static str,
    read: impl FnOnce(&str) -> Option<T>,
) -> Result<(), BadRequest> {
    if place.is_some() {
        return Err(BadRequest::Twice(name));
    }
    let bad = || BadRequest::Value { name, value: value.chars().take(64).collect(), expected };
    *place = Some(read(value).ok_or_else(bad)?);
    Ok(())
}

fn parsed<T: FromStr>(value: &str) -> Option<T> {
    value.parse().ok()
}

/// The query of `/api/alerts`.
pub(super) fn alerts(query: &str) -> Result<AlertQuery, BadRequest> {
    let mut limit = None;
    let mut wanted = AlertQuery::default();
    for (name, value) in pairs(query)? {
        let value = value.as_str();
        match name.as_str() {
            "limit" => set(&mut limit, ("limit", value), "a whole number from 1 to 500", |v| {
                parsed(v).filter(|n| (1..=AlertQuery::MAX_LIMIT).contains(n))
            }),
            "before" => {
                set(&mut wanted.before, ("before", value), "an alert id of 24 hexadecimal digits", parsed)
            }
            _ => filter(
                &mut wanted,
                (&name, value),
                "limit, before, since, kind, severity, open, acknowledged",
            ),
        }?;
    }
    wanted.limit = limit.unwrap_or(wanted.limit);
    Ok(wanted)
}

/// The query of `/api/capture/packets`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct PacketQuery {
    /// At most this many, 1 to [`PacketQuery::MAX_LIMIT`].
    pub(super) limit: usize,
    /// Only what matches this expression of pcap-filter(7), which was not checked.
    pub(super) filter: Option<String>,
    /// None older than this.
    pub(super) since: Option<Timestamp>,
    /// Only those of the source with this name.
    pub(super) interface: Option<String>,
    /// The bytes as well; then at most [`PacketQuery::MAX_WITH_BYTES`].
    pub(super) bytes: bool,
}

impl PacketQuery {
    pub(super) const MAX_LIMIT: usize = 1_000;
    pub(super) const MAX_WITH_BYTES: usize = 100;
    const MAX_FILTER: usize = 1_000;
}

/// The query of `/api/capture/packets`. A plus sign in the filter is a space, as forms write it.
pub(super) fn packets(query: &str) -> Result<PacketQuery, BadRequest> {
    const ALL: &str = "limit, filter, since, interface, bytes";
    let (mut limit, mut text, mut since, mut bytes) = (None, None, None, None);
    let mut interface = None;
    let spaced = query.split('&').map(|pair| match pair.strip_prefix("filter=") {
        Some(filter) => format!("filter={}", filter.replace('+', " ")),
        None => pair.to_owned(),
    });
    for (name, value) in pairs(&spaced.collect::<Vec<_>>().join("&"))? {
        let value = value.as_str();
        match name.as_str() {
            "limit" => set(&mut limit, ("limit", value), "a whole number from 1 to 1000", |v| {
                parsed(v).filter(|n| (1..=PacketQuery::MAX_LIMIT).contains(n))
            }),
            "filter" => set(&mut text, ("filter", value), "an expression of at most 1000 bytes", |v| {
                (v.len() <= PacketQuery::MAX_FILTER).then(|| v.to_owned())
            }),
            "since" => set(&mut since, ("since", value), "a time such as 2015-01-14T17:02:33Z", parsed),
            "interface" => set(&mut interface, ("interface", value), "the name of a source", |v| {
                (!v.is_empty()).then(|| v.to_owned())
            }),
            "bytes" => set(&mut bytes, ("bytes", value), "true or false", parsed),
            _ => Err(BadRequest::Unknown(clipped(&name), ALL)),
        }?;
    }
    let (limit, bytes) = (limit.unwrap_or(PacketQuery::MAX_WITH_BYTES), bytes.unwrap_or(false));
    if bytes && limit > PacketQuery::MAX_WITH_BYTES {
        let expected = "a whole number from 1 to 100, as it must be with bytes=true";
        return Err(BadRequest::Value { name: "limit", value: limit.to_string(), expected });
    }
    let filter = text.filter(|text| !text.trim().is_empty());
    Ok(PacketQuery { limit, filter, since, interface, bytes })
}

/// The query of an export, which has the filters of `/api/alerts` and no pages.
pub(super) fn export(query: &str) -> Result<AlertQuery, BadRequest> {
    let mut wanted = AlertQuery::default();
    for (name, value) in pairs(query)? {
        filter(&mut wanted, (&name, &value), "since, kind, severity, open, acknowledged")?;
    }
    Ok(wanted)
}

/// Reads one filter of alerts. `all` are the parameters that there are.
fn filter(wanted: &mut AlertQuery, (name, value): (&str, &str), all: &'static str) -> Result<(), BadRequest> {
    match name {
        "since" => set(&mut wanted.since, ("since", value), "a time such as 2015-01-14T17:02:33Z", parsed),
        "kind" => set(&mut wanted.kind, ("kind", value), "a kind of alert such as port_scan", parsed),
        "severity" => set(&mut wanted.severity, ("severity", value), "low, medium, high or critical", parsed),
        "open" => set(&mut wanted.open, ("open", value), "true or false", parsed),
        "acknowledged" => set(&mut wanted.acknowledged, ("acknowledged", value), "true or false", parsed),
        _ => Err(BadRequest::Unknown(clipped(name), all)),
    }
}

/// The query of a list that only knows `limit`, from 1 to `most`, which is also what is given without one.
pub(super) fn limit(query: &str, most: usize) -> Result<usize, BadRequest> {
    let mut limit = None;
    for (name, value) in pairs(query)? {
        if name != "limit" {
            return Err(BadRequest::Unknown(clipped(&name), "limit"));
        }
        set(&mut limit, ("limit", &value), "a whole number from 1 to what the list holds at most", |v| {
            parsed(v).filter(|n| (1..=most).contains(n))
        })?;
    }
    Ok(limit.unwrap_or(most))
}

/// The query of a change of settings: whether it only says what would change.
pub(super) fn dry_run(query: &str) -> Result<bool, BadRequest> {
    let mut wanted = None;
    for (name, value) in pairs(query)? {
        if name != "dry_run" {
            return Err(BadRequest::Unknown(clipped(&name), "dry_run"));
        }
        set(&mut wanted, ("dry_run", &value), "true or false", parsed)?;
    }
    Ok(wanted.unwrap_or(false))
}

/// The query of everything that takes none.
pub(super) fn none(query: &str) -> Result<(), BadRequest> {
    match pairs(query)?.first() {
        None => Ok(()),
        Some((name, _)) => Err(BadRequest::Unknown(clipped(name), "none")),
    }
}

fn clipped(name: &str) -> String {
    name.chars().take(64).collect()
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct StartBaseline {
    #[serde(default)]
    duration_seconds: Option<serde_json::Number>,
}

/// The body of `/api/ml/baseline/start`: the time to learn, or none for the configured one.
pub(super) fn start_baseline(body: &[u8]) -> Result<Option<Span>, BadRequest> {
    let wanted: StartBaseline = object(body, "\"duration_seconds\"")?;
    let Some(seconds) = wanted.duration_seconds else { return Ok(None) };
    whole(&seconds).and_then(Learning::asked).map(Some).ok_or(BadRequest::Duration)
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

/// The body of what takes none.
pub(super) fn nothing(body: &[u8]) -> Result<(), BadRequest> {
    object(body, "nothing in it").map(|Nothing {}| ())
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Mark {
    #[serde(default)]
    undo: bool,
    #[serde(default)]
    note: Option<String>,
}

/// The body of what is said of one alert: whether it is taken back, and a note.
pub(super) fn mark(body: &[u8]) -> Result<(bool, Option<Note>), BadRequest> {
    let Mark { undo, note } = object(body, "\"undo\" and \"note\"")?;
    Ok((undo, read_note(note.as_deref())?))
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct MarkAll {
    #[serde(default)]
    note: Option<String>,
}

/// The body of what is said of all open alerts: a note.
pub(super) fn mark_all(body: &[u8]) -> Result<Option<Note>, BadRequest> {
    let MarkAll { note } = object(body, "\"note\"")?;
    read_note(note.as_deref())
}

fn read_note(text: Option<&str>) -> Result<Option<Note>, BadRequest> {
    Ok(text.map(Note::of).transpose()?.flatten())
}

/// A body that is a JSON object with these fields, or empty.
pub(super) fn object<T: Default + for<'de> Deserialize<'de>>(
    body: &[u8],
    fields: &'static str,
) -> Result<T, BadRequest> {
    match body.trim_ascii().first() {
        None => return Ok(T::default()),
        Some(b'{') => {}
        // serde would take an array for the object's fields in order.
        Some(_) => return Err(BadRequest::Body { fields, why: "it is no object".to_owned() }),
    }
    serde_json::from_slice(body).map_err(|error| BadRequest::Body { fields, why: error.to_string() })
}

/// A number without a fraction, however it is written: for JSON Schema 60.0 is an integer.
pub(super) fn whole(number: &serde_json::Number) -> Option<u64> {
    /// Up to here every whole number has a float of its own.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a whole number in range")]
    let from_float =
        |float: f64| (float.fract() == 0.0 && (0.0..EXACT).contains(&float)).then_some(float as u64);
    number.as_u64().or_else(|| number.as_f64().and_then(from_float))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alert::Severity;
    use crate::behaviour::Kind;

    #[test]
    fn every_parameter_of_alerts_is_read() {
        let id = "00000000000100000000000a";
        let query = format!(
            "limit=5&before={id}&since=1970-01-01T01:00:01%2B01:00&kind=arp_spoof&severity=high&open=false&acknowledged=true"
        );
        let expected = AlertQuery {
            limit: 5,
            before: id.parse().ok(),
            since: Some(Timestamp::from_parts(1, 0)),
            kind: Some(Kind::ArpSpoof),
            severity: Some(Severity::High),
            open: Some(false),
            acknowledged: Some(true),
        };
        assert_eq!(alerts(&query), Ok(expected));
        assert_eq!(alerts(""), Ok(AlertQuery::default()));
        assert_eq!(
            alerts("since=1970-01-01T01:00:01+01:00").unwrap().since,
            Some(Timestamp::from_parts(1, 0))
        );
    }

    #[test]
    fn packets_are_asked_for_by_filter_and_time() {
        let wanted =
            packets("limit=7&filter=tcp+port%2080&since=1970-01-01T01:00:01+01:00&bytes=true&interface=eth1")
                .unwrap();
        assert_eq!(wanted.interface.as_deref(), Some("eth1"));
        assert_eq!((wanted.limit, wanted.filter.as_deref()), (7, Some("tcp port 80")));
        assert_eq!((wanted.since, wanted.bytes), (Some(Timestamp::from_parts(1, 0)), true));
        assert_eq!(packets("filter=tcp[0]%2B1=2").unwrap().filter.as_deref(), Some("tcp[0]+1=2"));
        let plain = packets("filter=").unwrap();
        assert_eq!((plain.limit, plain.filter, plain.since, plain.bytes), (100, None, None, false));
        assert!(packets("limit=1000").is_ok());
        for query in
            ["limit=1001", "limit=101&bytes=true", "bytes=1", "since=x", "filters=tcp", "filter=a&filter=b"]
        {
            assert!(packets(query).is_err(), "{query}");
        }
        assert!(packets(&format!("filter={}", "a".repeat(1_001))).is_err());
    }

    #[test]
    fn an_export_has_the_filters_and_no_pages() {
        let wanted =
            export("kind=arp_spoof&open=true&severity=low&since=1970-01-01T00:00:01Z&acknowledged=false");
        assert_eq!(
            wanted,
            alerts("kind=arp_spoof&open=true&severity=low&since=1970-01-01T00:00:01Z&acknowledged=false")
        );
        assert!(wanted.unwrap().since.is_some());
        let told = export("limit=5").unwrap_err().to_string();
        assert_eq!(told, "no parameter \"limit\" here; there are: since, kind, severity, open, acknowledged");
        assert_eq!(export("open=true&open=false"), Err(BadRequest::Twice("open")));
    }

    #[test]
    fn what_is_not_known_is_named() {
        for (query, text) in [
            (
                "limt=5",
                "no parameter \"limt\" here; there are: limit, before, since, kind, severity, open, acknowledged",
            ),
            ("acknowledged=yes", "acknowledged=\"yes\" is not true or false"),
            ("limit=0", "limit=\"0\" is not a whole number from 1 to 500"),
            ("limit=501", "limit=\"501\" is not a whole number from 1 to 500"),
            ("limit=-1", "limit=\"-1\" is not a whole number from 1 to 500"),
            ("before=x", "before=\"x\" is not an alert id of 24 hexadecimal digits"),
            ("since=yesterday", "since=\"yesterday\" is not a time such as 2015-01-14T17:02:33Z"),
            ("kind=bad", "kind=\"bad\" is not a kind of alert such as port_scan"),
            ("severity=HIGH", "severity=\"HIGH\" is not low, medium, high or critical"),
            ("open=1", "open=\"1\" is not true or false"),
            ("open", "open=\"\" is not true or false"),
            ("open=true&open=true", "parameter \"open\" is given twice"),
            ("kind=%4", "the query is not percent-encoded UTF-8"),
            ("kind=%ff", "the query is not percent-encoded UTF-8"),
        ] {
            assert_eq!(alerts(query).unwrap_err().to_string(), text, "{query}");
        }
        assert_eq!(limit("limit=9", 8).unwrap_err().to_string().split(" is").next(), Some("limit=\"9\""));
        assert_eq!(limit("", 8), Ok(8));
        assert_eq!((dry_run(""), dry_run("dry_run=true")), (Ok(false), Ok(true)));
        assert_eq!(dry_run("dry_run=1").unwrap_err().to_string(), "dry_run=\"1\" is not true or false");
        assert_eq!(dry_run("dry_run=true&dry_run=true"), Err(BadRequest::Twice("dry_run")));
        assert!(none("a=b").is_err());
        assert_eq!(none("&"), Ok(()));
    }

    #[test]
    fn a_body_that_is_not_wanted_is_refused() {
        assert!([&b""[..], b"{}", b" {\n}\n"].into_iter().all(|body| nothing(body).is_ok()));
        assert!([&b"[]"[..], b"{\"a\":1}", b"{"].into_iter().all(|body| nothing(body).is_err()));
    }

    #[test]
    fn a_body_gives_a_time_to_learn_or_none() {
        assert_eq!(start_baseline(b""), Ok(None));
        assert_eq!(start_baseline(b"{}"), Ok(None));
        assert_eq!(start_baseline(b"{\"duration_seconds\":null}"), Ok(None));
        for (body, seconds) in
            [("600", 600), ("1039.0", 1_039), ("6e2", 600), ("60", 60), ("31536000", 31_536_000)]
        {
            let body = format!("{{\"duration_seconds\":{body}}}");
            assert_eq!(start_baseline(body.as_bytes()), Ok(Some(Span::from_secs(seconds))), "{body}");
        }
        for number in ["59", "59.9", "1e9", "-60", "60.5", "31536001", "1e300", "18446744073709551616"] {
            let body = format!("{{\"duration_seconds\":{number}}}");
            assert_eq!(start_baseline(body.as_bytes()), Err(BadRequest::Duration), "{body}");
        }
        for body in ["[", "[]", "{\"duration\":60}", "{\"duration_seconds\":\"60\"}", "\u{0}"] {
            assert!(matches!(start_baseline(body.as_bytes()), Err(BadRequest::Body { .. })), "{body}");
        }
    }

    #[test]
    fn a_body_says_something_of_an_alert() {
        let note = |text: &str| Note::of(text).unwrap();
        for (body, expected) in [
            ("", (false, None)),
            ("{}", (false, None)),
            ("{\"undo\":false,\"note\":null}", (false, None)),
            ("{\"undo\":true}", (true, None)),
            ("{\"note\":\"the nightly\\nbackup\"}", (false, note("the nightly backup"))),
        ] {
            assert_eq!(mark(body.as_bytes()), Ok(expected), "{body}");
        }
        assert_eq!(mark_all(b"{\"note\":\"seen\"}"), Ok(note("seen")));
        let long = format!("{{\"note\":\"{}\"}}", "x".repeat(201));
        assert_eq!(mark(long.as_bytes()), Err(BadRequest::Note(NoteTooLong)));
        for body in ["[true]", "{\"undo\":1}", "{\"undo\":null}", "{\"notes\":\"\"}"] {
            assert!(matches!(mark(body.as_bytes()), Err(BadRequest::Body { .. })), "{body}");
        }
        let told = mark_all(b"{\"undo\":true}").unwrap_err().to_string();
        assert!(
            told.starts_with("the body is not a JSON object with at most \"note\": unknown field"),
            "{told}"
        );
        assert_eq!(nothing(b"{}"), Ok(()));
        assert!(nothing(b"{\"a\":1}").is_err());
    }
}
