//! The description of the API against the routes that there are and what they answer.

use std::collections::BTreeSet;

use serde_json::Value;

use super::fixture::{Answer, Bench, alerts};
use crate::alert::{Expected, Judgement, Marking, Note, Severity};
use crate::baseline;
use crate::behaviour::Kind;
use crate::control::{Author, Effect, Outcome};
use crate::http::assets::DESCRIPTION;
use crate::http::export::COLUMNS;
use crate::http::router::Router;

pub(super) fn description() -> Value {
    serde_json::from_slice(DESCRIPTION.2).unwrap()
}

/// What a node names by `$ref`, or the node itself.
fn resolved<'a>(document: &'a Value, node: &'a Value) -> &'a Value {
    node["$ref"].as_str().map_or(node, |name| {
        document.pointer(name.strip_prefix('#').unwrap()).unwrap_or_else(|| panic!("{name} is nowhere"))
    })
}

fn is_of(value: &Value, kind: &str) -> bool {
    match kind {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("{other} is no type"),
    }
}

/// What is wrong with a value. Stricter than JSON Schema: a field that is not described is wrong.
pub(super) fn fault(document: &Value, schema: &Value, value: &Value, at: &str) -> Option<String> {
    let schema = resolved(document, schema);
    if let Some(choices) = schema["oneOf"].as_array() {
        let faults: Vec<String> =
            choices.iter().filter_map(|choice| fault(document, choice, value, at)).collect();
        return (faults.len() + 1 != choices.len()).then(|| format!("{at} is not one of: {faults:?}"));
    }
    let kinds: Vec<&str> = match &schema["type"] {
        Value::String(kind) => vec![kind],
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect(),
        _ => panic!("{at} is described without a type"),
    };
    if !kinds.iter().any(|kind| is_of(value, kind)) {
        return Some(format!("{at} is {value} and no {kinds:?}"));
    }
    let vocabulary = schema["enum"].as_array();
    if vocabulary.is_some_and(|words| !words.contains(value)) {
        return Some(format!("{at} is {value}, which is no word for it"));
    }
    let bound = |name: &str| schema[name].as_f64();
    let outside = value.as_f64().is_some_and(|number| {
        bound("minimum").is_some_and(|least| number < least)
            || bound("maximum").is_some_and(|most| number > most)
    });
    if outside || schema.get("const").is_some_and(|only| only != value) {
        return Some(format!("{at} is {value}, which is out of range"));
    }
    match value {
        Value::Array(items) => {
            items.iter().find_map(|item| fault(document, &schema["items"], item, &format!("{at}[]")))
        }
        Value::Object(fields)
            if schema.get("properties").is_some() || schema.get("additionalProperties").is_some() =>
        {
            let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
            let missing =
                required.filter(|name| !fields.contains_key(*name)).map(|n| format!("{at}.{n} is missing"));
            let wrong = fields.iter().filter_map(|(name, value)| {
                let at = format!("{at}.{name}");
                let described = schema["properties"].get(name).or_else(|| schema.get("additionalProperties"));
                described.map_or_else(
                    || Some(format!("{at} is not described")),
                    |s| fault(document, s, value, &at),
                )
            });
            missing.chain(wrong).next()
        }
        _ => None,
    }
}

/// Checks an answer against what the description says of its path, method and status.
#[track_caller]
pub(super) fn check(document: &Value, path: &str, method: &str, answer: &Answer) {
    let at = format!("{method} {path} {}", answer.status);
    let responses = &document["paths"][path][method]["responses"];
    let response =
        responses.get(answer.status.to_string()).unwrap_or_else(|| panic!("{at} is not described"));
    let response = resolved(document, response);
    let kind = answer.header("Content-Type").unwrap().split(';').next().unwrap();
    let content = response["content"].get(kind).unwrap_or_else(|| panic!("{at}: {kind} is not described"));
    for (name, header) in response["headers"].as_object().into_iter().flatten() {
        assert!(header["required"] != true || answer.header(name).is_some(), "{at} has no {name}");
    }
    let value = if kind.ends_with("json") {
        serde_json::from_slice(&answer.body).unwrap()
    } else {
        Value::String(String::from_utf8_lossy(&answer.body).into_owned())
    };
    assert_eq!(fault(document, &content["schema"], &value, &at), None);
}

#[test]
fn every_route_is_described_and_nothing_else() {
    let document = description();
    let mut described = BTreeSet::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        for method in operations.as_object().unwrap().keys() {
            described.insert(format!("{} {path}", method.to_uppercase()));
        }
    }
    // The description says once that each GET answers HEAD.
    let routed = Router::routes().into_iter().flat_map(|(path, methods)| {
        let methods = methods.split(", ").filter(|method| *method != "HEAD");
        methods.map(|method| format!("{method} {path}")).collect::<Vec<_>>()
    });
    assert_eq!(described, routed.collect());
}

#[test]
fn every_answer_is_as_described() {
    let document = description();
    let id = &alerts()[0].id;
    for bench in [Bench::new(), Bench::silent()] {
        for (path, _) in Router::routes().iter().filter(|(_, methods)| methods.starts_with("GET")) {
            check(&document, path, "get", &bench.get(&path.replace("{id}", id)));
            if !document["paths"][path]["get"]["tags"].as_array().unwrap().contains(&"page".into()) {
                check(
                    &document,
                    path,
                    "get",
                    &bench.get(&format!("{}?colour=red", path.replace("{id}", id))),
                );
            }
        }
        check(&document, "/api/alerts/{id}", "get", &bench.get("/api/alerts/000000000000000000000000"));
    }
}

#[test]
fn a_write_answers_as_described() {
    let document = description();
    let mut bench = Bench::new();
    let obeyed = bench.obey();
    let bearer = bench.bearer();
    let path = "/api/ml/baseline/start";
    let elsewhere = format!("{bearer}Origin: http://evil.example\r\n");
    for (lines, body, status) in [
        ("", "", 401),
        (&bearer, "", 202),
        (&bearer, "{\"duration_seconds\": 600}", 202),
        (&bearer, "{\"duration_seconds\": 5}", 422),
        (&bearer, "[]", 400),
        (&bearer.replace("json", "xml"), "{}", 415),
        (&elsewhere, "", 403),
    ] {
        let answer = bench.start_baseline(lines, body);
        assert_eq!(answer.status, status);
        check(&document, path, "post", &answer);
    }
    drop(bench);
    assert_eq!(obeyed.join().unwrap().len(), 2);
}

#[test]
fn capture_is_switched_as_described() {
    let document = description();
    let mut bench = Bench::new();
    bench.obey_capture();
    let bearer = bench.bearer();
    for (path, lines, body, status) in [
        ("/api/capture/stop", "", "", 401),
        ("/api/capture/stop", &*bearer, "{\"a\": 1}", 400),
        ("/api/capture/stop", &*bearer, "{}", 200),
        ("/api/capture/stop", &*bearer, "", 200),
        ("/api/capture/start", "", "", 401),
        ("/api/capture/start", &*bearer, "", 409),
        ("/api/capture/start", &*bearer.replace("json", "xml"), "{}", 415),
    ] {
        let answer = bench.post(path, lines, body);
        assert_eq!(answer.status, status, "{path} {body}");
        check(&document, path, "post", &answer);
        if status == 200 {
            let answer: Value = serde_json::from_slice(&answer.body).unwrap();
            assert_eq!(answer["capture"]["state"], "stopped");
        }
        if status == 409 {
            assert_eq!(answer.problem(), "not permitted");
        }
    }
    assert_eq!(bench.get("/api/capture/stop").header("Allow"), Some("POST"));
}

#[test]
fn packets_are_as_described_and_for_the_owner_alone() {
    let document = description();
    let mut bench = Bench::new();
    bench.obey_capture();
    let path = "/api/capture/packets";
    let ask = |query: &str, status: u16| {
        let answer = bench.get_as_owner(&format!("{path}?{query}"));
        assert_eq!(answer.status, status, "{query}: {}", answer.text());
        check(&document, path, "get", &answer);
        serde_json::from_slice::<Value>(&answer.body).unwrap()
    };
    let all = ask("limit=1000", 200);
    let packets = all["packets"].as_array().unwrap();
    assert!(
        packets.len() > 100 && packets.len() <= 1_000 && all["held"].as_u64() >= Some(packets.len() as u64)
    );
    assert!(packets.iter().map(|p| p["time"].as_str().unwrap()).is_sorted_by(|a, b| a >= b), "newest first");
    assert!(packets.iter().all(|p| p.get("bytes").is_none()));
    for (filter, kind) in
        [("arp", "arp"), ("udp+port+53", "dns"), ("tcp", "tcp_flags"), ("ip+or+vlan", "source_ip")]
    {
        let some = ask(&format!("limit=5&filter={filter}"), 200)["packets"].clone();
        let some = some.as_array().unwrap();
        assert!(!some.is_empty() && some.iter().all(|p| !p[kind].is_null()), "{filter}: {some:?}");
    }
    assert_eq!(ask("", 200)["packets"].as_array().unwrap().len(), 100);

    let dns = ask("filter=udp+port+53&limit=1000", 200);
    let dns = dns["packets"].as_array().unwrap();
    let count =
        packets.iter().filter(|p| [&p["source_port"], &p["destination_port"]].contains(&&53.into())).count();
    assert!(dns.len() >= count && count > 0);
    assert!(dns.iter().all(|p| p["protocol"] == "udp" && !p["dns"]["name"].is_null()));
    let time = packets[9]["time"].as_str().unwrap();
    let since = ask(&format!("since={time}"), 200);
    assert!(since["packets"].as_array().unwrap().iter().all(|p| p["time"].as_str() >= Some(time)));
    let bytes = ask("bytes=true&limit=1&filter=arp", 200);
    let hex = bytes["packets"][0]["bytes"].as_str().unwrap();
    assert_eq!(hex.len() as u64, 2 * bytes["packets"][0]["captured"].as_u64().unwrap());
    assert_eq!(&hex[24..28], "0806");

    assert!(
        ask("filter=tcp+prt+80", 400)["detail"].as_str().unwrap().starts_with("bad filter `tcp prt 80`: ")
    );
    ask("limit=0", 400);
    let bare = bench.get(path);
    assert_eq!(bare.status, 401);
    check(&document, path, "get", &bare);
}

#[test]
fn what_the_owner_says_is_answered_as_described() {
    let document = description();
    let mut bench = Bench::new();
    let obeyed = bench.obey_owner();
    let bearer = bench.bearer();
    let id = &alerts()[0].id;
    let long = format!("{{\"note\":\"{}\"}}", "x".repeat(201));
    let (all, one, wrong, train) = (
        "/api/alerts/acknowledge",
        "/api/alerts/{id}/acknowledge",
        "/api/alerts/{id}/false-positive",
        "/api/ml/train",
    );
    let (unknown, no_id) = ("000000000000000000000000", "7");
    for (path, id, lines, body, status) in [
        (all, "", "", "", 401),
        (all, "", &bearer, "", 200),
        (all, "", &bearer, "{\"note\":\"seen\"}", 200),
        (all, "", &bearer, "{\"undo\":true}", 400),
        (one, id, "", "{}", 401),
        (one, id, &bearer, "{}", 200),
        (one, id, &bearer, "{\"undo\":true}", 200),
        (one, id, &bearer, &long, 422),
        (one, unknown, &bearer, "", 404),
        (one, no_id, &bearer, "", 400),
        (wrong, id, &bearer, "{\"note\":\"backup\"}", 200),
        (wrong, id, &bearer, "{\"undo\":true}", 200),
        (wrong, id, &bearer, "[]", 400),
        (wrong, unknown, &bearer, "", 404),
        (train, "", "", "", 401),
        (train, "", &bearer, "{}", 202),
        (train, "", &bearer, "{\"trees\":7}", 400),
        (train, "", &bearer.replace("json", "xml"), "{}", 415),
    ] {
        let answer = bench.post(&path.replace("{id}", id), lines, body);
        assert_eq!(answer.status, status, "{path} {body} {}", answer.text());
        check(&document, path, "post", &answer);
    }
    assert_eq!(bench.get(&format!("/api/alerts/{id}/feedback")).status, 404);
    let refused = bench.get(&format!("/api/alerts/{id}/acknowledge"));
    assert_eq!((refused.status, refused.header("Allow")), (405, Some("POST")));
    drop(bench);
    let note = |text: &str| Note::of(text).unwrap();
    let expected = [
        "all None".to_owned(),
        format!("all {:?}", note("seen")),
        format!("{:?}", Marking::Acknowledge(None)),
        format!("{:?}", Marking::Unacknowledge),
        format!("{:?}", Marking::Acknowledge(None)),
        format!("{:?}", Marking::FalsePositive(note("backup"))),
        format!("{:?}", Marking::NotFalse),
        format!("{:?}", Marking::FalsePositive(None)),
        "train".to_owned(),
    ];
    assert_eq!(obeyed.join().unwrap(), expected);
}

#[test]
fn vocabularies_are_those_of_the_program() {
    let document = description();
    let words = |name: &str| document["components"]["schemas"][name]["enum"].clone();
    assert_eq!(words("Kind"), serde_json::json!(Kind::ALL.map(Kind::word)));
    assert_eq!(words("Severity"), serde_json::json!(Severity::ALL.map(Severity::word)));
    assert_eq!(words("Effect"), serde_json::json!(Effect::ALL.map(Effect::word)));
    assert_eq!(words("Outcome"), serde_json::json!(Outcome::ALL.map(Outcome::word)));
    assert_eq!(words("Author"), serde_json::json!(Author::ALL.map(Author::word)));
    let judged = &document["components"]["schemas"]["Feedback"]["properties"]["verdict"]["enum"];
    assert_eq!(judged, &serde_json::json!([Judgement::FalsePositive.word()]));
    let note = &document["components"]["schemas"]["Note"]["maxLength"];
    assert_eq!(note, Note::MAX);
    let seconds = &document["components"]["schemas"]["StartBaseline"]["properties"]["duration_seconds"];
    assert_eq!(
        (&seconds["minimum"], &seconds["maximum"]),
        (&baseline::Config::LEAST.into(), &baseline::Config::MOST.into())
    );
    let expected = document["paths"]["/api/alerts/expected"]["get"]["description"].as_str().unwrap();
    assert!(expected.contains(&format!("At most {}, for 30 days", Expected::CAPACITY)), "{expected}");
    let table = &document["paths"]["/api/export/alerts.csv"]["get"]["description"];
    assert!(table.as_str().unwrap().contains(&format!(": {}. ", COLUMNS.join(", "))));
}

#[test]
fn the_check_finds_what_is_wrong() {
    let document = description();
    let schema = serde_json::json!({"$ref": "#/components/schemas/Alerts"});
    let good = serde_json::json!({"alerts": alerts(), "complete": true, "next_before": null});
    assert_eq!(fault(&document, &schema, &good, ""), None);
    for (pointer, bad) in [
        ("/complete", serde_json::json!(1)),
        ("/next_before", serde_json::json!(7)),
        ("/alerts/0/kind", serde_json::json!("sorcery")),
        ("/alerts/0/score", serde_json::json!(1.5)),
        ("/alerts/0/subject", serde_json::json!({"mac": null})),
        ("/alerts/0/evidence/pcap", serde_json::json!([])),
    ] {
        let mut value = good.clone();
        *value.pointer_mut(pointer).unwrap() = bad;
        assert!(fault(&document, &schema, &value, "").is_some(), "{pointer}");
    }
    let mut more = good;
    more["alerts"][0]["colour"] = "red".into();
    assert!(fault(&document, &schema, &more, "").unwrap().contains("colour"));
}
