//! Settings over HTTP: every status, and that each answer is as described.

use serde_json::{Value, json};

use super::fixture::{Answer, Bench, settings};
use super::openapi::{check, description};
use crate::control::{CommandRefused, SettingProblem, SettingValue, SettingsRefused, Wanted};
use crate::time::Span;

const PATH: &str = "/api/config";
const RESTORE: &str = "/api/config/restore";
const MATCHING: &str = "If-Match: \"2-0123456789abcdef-7\"\r\nContent-Type: application/merge-patch+json\r\n";
const AS_JSON: &str = "If-Match: *\r\nContent-Type: application/json\r\n";

fn patch(bench: &Bench, lines: &str, body: &str) -> Answer {
    let answer = bench.write("PATCH", PATH, lines, body);
    check(&description(), PATH, "patch", &answer);
    answer
}

fn restore(bench: &Bench, lines: &str, body: &str) -> Answer {
    let answer = bench.write("POST", RESTORE, lines, body);
    check(&description(), RESTORE, "post", &answer);
    answer
}

/// The desk's next answer.
fn tell(bench: &Bench, outcome: Result<bool, SettingsRefused>) {
    bench.desk.outcomes.lock().unwrap().push_back(outcome);
}

fn json_of(answer: &Answer) -> Value {
    serde_json::from_slice(&answer.body).unwrap()
}

#[test]
fn settings_are_shown_to_who_has_the_token() {
    let bench = Bench::new();
    for path in [PATH, "/api/config/versions"] {
        assert_eq!(bench.get(path).status, 401, "{path}");
        let answer = bench.write("GET", path, "", "");
        assert_eq!(answer.status, 200, "{path}");
        check(&description(), path, "get", &answer);
        let odd = bench.write("GET", &format!("{path}?secrets=true"), "", "");
        assert_eq!(odd.status, 400, "{path}");
        check(&description(), path, "get", &odd);
        let head = bench.write("HEAD", path, "", "");
        assert_eq!((head.status, head.body.len()), (200, 0), "{path}");
    }
    let answer = bench.write("GET", PATH, "", "");
    assert_eq!(answer.header("ETag"), Some("\"2-0123456789abcdef-7\""));
    let shown = json_of(&answer);
    assert_eq!(shown["settings"].as_array().unwrap().len(), settings().settings.len());
    assert_eq!(
        shown["settings"][0],
        json!({
            "key": "mqtt.port", "section": "mqtt", "meaning": "What it does.",
            "schema": {"type": "integer", "description": "1 to 65535", "minimum": 1, "maximum": 65535},
            "value": 1883, "set": true, "secret": false, "default": null,
            "source": {"kind": "remote", "place": null}, "effect": "now",
            "changeable": true, "why_not": null, "pending_restart": false,
        })
    );
    let password = &shown["settings"][2];
    assert_eq!((&password["value"], &password["set"]), (&Value::Null, &Value::Bool(true)));
    assert_eq!(
        password["schema"],
        json!({"type": "string", "description": "text", "pattern": "^[a-z]+$", "minLength": 1, "maxLength": 2048})
    );
    assert_eq!(shown["settings"][3]["source"]["place"], "/etc/tapguard/tapguard.toml:12");
    assert_eq!(shown["settings"][4]["changeable"], false);
    assert_eq!(shown["settings"][5]["schema"]["maximum"], Value::Null);
    assert_eq!(shown["last_change"]["outcome"], "rolled_back");
    let versions = json_of(&bench.write("GET", "/api/config/versions", "", ""));
    assert_eq!(versions["versions"][0]["settings"], json!({"mqtt.password": null, "mqtt.port": 1883}));
    assert_eq!(versions["versions"][0]["time"], "2026-03-05T08:00:00.000000Z");
}

#[test]
fn a_patch_is_handed_on_and_answered() {
    let bench = Bench::new();
    tell(&bench, Ok(false));
    let done = patch(&bench, MATCHING, r#"{"mqtt": {"port": 1, "host": null}}"#);
    assert_eq!((done.status, done.header("ETag")), (200, Some("\"2-0123456789abcdef-7\"")));
    tell(&bench, Ok(true));
    assert_eq!(patch(&bench, AS_JSON, r#"{"network.filter": "tcp"}"#).status, 202);
    tell(&bench, Ok(true));
    let dry = bench.write("PATCH", "/api/config?dry_run=true", MATCHING, "{}");
    check(&description(), PATH, "patch", &dry);
    let changes = json!([
        {"key": "mqtt.port", "from": 1883, "to": 1, "effect": "now"},
        {"key": "mqtt.password", "from": null, "to": null, "effect": "now"},
    ]);
    assert_eq!(json_of(&dry), json!({"dry_run": true, "version": 2, "on_trial": true, "changes": changes}));
    tell(&bench, Ok(false));
    assert_eq!(restore(&bench, AS_JSON, "{\"version\": 1}").status, 200);
    let asked = bench.desk.asked.lock().unwrap();
    let tags = |n: usize| asked[n].if_match.clone().unwrap();
    assert_eq!((tags(0), tags(1)), (vec!["2-0123456789abcdef-7".to_owned()], vec!["*".to_owned()]));
    let Wanted::Set(wanted) = &asked[0].wanted else { panic!("a patch sets") };
    assert!(wanted.contains(&("mqtt.port".to_owned(), Some(SettingValue::Integer(1)))));
    assert!(wanted.contains(&("mqtt.host".to_owned(), None)));
    assert_eq!(asked.iter().map(|a| a.dry_run).collect::<Vec<_>>(), [false, false, true, false]);
    assert_eq!(asked[3].wanted, Wanted::Version(1));
}

#[test]
fn what_the_desk_refuses_has_its_status() {
    let bench = Bench::new();
    let problem = |key: &str, detail: &str| SettingProblem { key: key.to_owned(), detail: detail.to_owned() };
    let invalid = vec![problem("mqtt.port", "takes 1 to 65535"), problem("mqtt.username", "is missing")];
    tell(&bench, Err(SettingsRefused::Invalid(invalid)));
    let refused = patch(&bench, MATCHING, r#"{"mqtt.port": 0}"#);
    assert_eq!(refused.status, 422);
    let told = json_of(&refused);
    assert_eq!(told["detail"], "takes 1 to 65535; is missing");
    assert_eq!(
        told["errors"],
        json!([
            {"pointer": "/mqtt.port", "detail": "takes 1 to 65535"},
            {"pointer": "/mqtt/username", "detail": "is missing"},
        ])
    );
    let late = CommandRefused::NoAnswer(Span::from_secs(20));
    for (refusal, status, retry) in [
        (SettingsRefused::Stale, 412, None),
        (SettingsRefused::OnTrial, 409, Some("30")),
        (SettingsRefused::TakenBack("no permission".to_owned()), 409, None),
        (SettingsRefused::NotKept("no space".to_owned()), 503, Some("30")),
        (SettingsRefused::NotNow(CommandRefused::Busy), 503, Some("5")),
        (SettingsRefused::NotNow(CommandRefused::Stopping), 503, None),
        (SettingsRefused::NotNow(late), 504, None),
    ] {
        tell(&bench, Err(refusal.clone()));
        let answer = patch(&bench, MATCHING, "{}");
        assert_eq!((answer.status, answer.header("Retry-After")), (status, retry));
        assert_eq!(json_of(&answer)["detail"], refusal.to_string());
        assert!(status != 412 || answer.header("ETag").is_some());
        tell(&bench, Err(refusal));
        assert_eq!(restore(&bench, AS_JSON, "{\"version\": 0}").status, status);
    }
    tell(&bench, Err(SettingsRefused::NoVersion(7)));
    assert_eq!(restore(&bench, AS_JSON, "{\"version\": 7}").status, 404);
}

#[test]
fn what_is_no_change_reaches_no_desk() {
    let bench = Bench::new();
    let no_type = "If-Match: *\r\n";
    let elsewhere = format!("{AS_JSON}Origin: http://evil.example\r\n");
    for (lines, body, status) in [
        ("Content-Type: application/json\r\n", "{}", 428),
        (no_type, "{}", 415),
        (AS_JSON, "", 400),
        (AS_JSON, "[]", 400),
        (AS_JSON, "{", 400),
        (elsewhere.as_str(), "{}", 403),
    ] {
        assert_eq!(patch(&bench, lines, body).status, status, "{lines}{body}");
        assert_eq!(restore(&bench, lines, body).status, status, "{lines}{body}");
    }
    let versions = ["{}", "{\"version\": -1}", "{\"version\": 1, \"x\": 1}", "{\"version\": \"1\"}", "[1]"];
    for body in versions {
        assert_eq!(restore(&bench, AS_JSON, body).status, 400, "{body}");
    }
    assert_eq!(restore(&bench, MATCHING, "{\"version\": 1}").status, 415, "it is no patch");
    for query in ["dry_run=yes", "dry=true", "dry_run=true&dry_run=true"] {
        let answer = bench.write("PATCH", &format!("{PATH}?{query}"), AS_JSON, "{}");
        assert_eq!(answer.status, 400, "{query}");
    }
    for (method, path, allow) in [
        ("POST", PATH, "GET, HEAD, PATCH"),
        ("GET", RESTORE, "POST"),
        ("PATCH", "/api/config/versions", "GET, HEAD"),
    ] {
        let answer = bench.write(method, path, AS_JSON, "{}");
        assert_eq!((answer.status, answer.header("Allow")), (405, Some(allow)));
    }
    let stranger = bench.ask("PATCH /api/config HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}");
    assert_eq!(stranger.status, 401);
    assert!(bench.desk.asked.lock().unwrap().is_empty());
}
