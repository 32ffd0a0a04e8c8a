//! What the owner says to the daemon: of alerts, and of the model.

use std::path::Path;

use serde_json::{Value, json};

use crate::harness::daemon::Daemon;
use crate::harness::http::{self, Answer};
use crate::harness::wait_for;

/// The generated network, fast, and the token of its first start.
fn demo(store: &Path) -> Daemon {
    Daemon::start(&["demo", "--speed", "1000", "--store", &store.display().to_string()])
}

fn post(daemon: &Daemon, token: &str, path: &str, body: &str) -> Answer {
    let headers = format!("Authorization: Bearer {token}\r\nContent-Type: application/json\r\n");
    http::request(daemon.address, "POST", path, &headers, body).unwrap()
}

fn done(daemon: &Daemon, token: &str, path: &str, body: &str) -> Value {
    let answer = post(daemon, token, path, body);
    assert_eq!(answer.status, 200, "{path}: {}", answer.body);
    answer.json()
}

fn alert(daemon: &Daemon, id: &str) -> Value {
    daemon.get(&format!("/api/alerts/{id}")).json()
}

/// Waits until the judge has published.
fn counts(daemon: &Daemon) -> Value {
    wait_for("the judge", || Some(daemon.statistics()["alerts"].clone()).filter(|a| !a.is_null()))
}

#[test]
fn a_false_positive_is_cleared_and_expected_over_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let daemon = demo(&store);
    let token = daemon.token.clone().unwrap();
    let scan = daemon.wait_for_alert("port_scan");
    let id = scan["id"].as_str().unwrap();
    let path = format!("/api/alerts/{id}/false-positive");
    assert_eq!(http::request(daemon.address, "POST", &path, "", "").unwrap().status, 401);
    assert_eq!(post(&daemon, &token, "/api/alerts/000000000000000000000000/false-positive", "").status, 404);

    let marked = done(&daemon, &token, &path, r#"{"note":"the nightly scan"}"#);
    assert_eq!(marked["event"], "cleared");
    let said = &marked["feedback"];
    assert_eq!((&said["verdict"], &said["note"]), (&"false_positive".into(), &"the nightly scan".into()));
    assert_eq!(done(&daemon, &token, &path, "{}")["feedback"], *said, "saying it twice changes nothing");
    daemon.kill();

    let daemon = demo(&store);
    assert_eq!(alert(&daemon, id)["feedback"], *said);
    let counted = counts(&daemon);
    assert_eq!((&counted["expected_rules"], &counted["expected_rules_dropped"]), (&1.into(), &0.into()));
    let expected = daemon.get("/api/alerts/expected").json()["expected"].clone();
    let rule = &expected[0];
    for (field, value) in [
        ("alert", &scan["id"]),
        ("kind", &scan["kind"]),
        ("mac", &scan["subject"]["mac"]),
        ("severity", &scan["severity"]),
        ("ip", &Value::Null),
    ] {
        assert_eq!(&rule[field], value, "{field} of {rule}");
    }
    // The same attacks come again: what is expected is counted and not told of.
    let suppressed = wait_for("an expected finding", || {
        let counted = daemon.statistics()["alerts"].clone();
        counted["suppressed_expected"].as_u64().filter(|n| *n > 0).map(|_| counted)
    });
    assert_eq!(suppressed["raised"]["port_scan"], 0, "{suppressed}");
    assert!(daemon.get("/metrics").body.contains("tapguard_findings_expected_total "));

    let undone = done(&daemon, &token, &path, r#"{"undo":true}"#);
    assert_eq!((&undone["feedback"], &undone["event"]), (&Value::Null, &"cleared".into()));
    assert_eq!(daemon.get("/api/alerts/expected").json(), json!({"expected": []}));
    assert_eq!(daemon.stop().0, Some(0));
    let daemon = demo(&store);
    assert_eq!(counts(&daemon)["expected_rules"], 0);
    assert_eq!(alert(&daemon, id)["feedback"], Value::Null);
}

#[test]
fn an_acknowledged_alert_presses_no_more() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let daemon = demo(&store);
    let token = daemon.token.clone().unwrap();
    // It is raised before it is at its worst, and what gets worse is no longer acknowledged.
    let scan = wait_for("the scan at its worst", || {
        let worst = |a: &Value| a["kind"] == "port_scan" && a["severity"] == "high";
        daemon.alerts().into_iter().find(worst)
    });
    let path = format!("/api/alerts/{}/acknowledge", scan["id"].as_str().unwrap());
    let seen = done(&daemon, &token, &path, r#"{"note":"that was me"}"#);
    assert_eq!(seen["acknowledged_note"], "that was me");
    assert_eq!(done(&daemon, &token, &path, "")["acknowledged"], seen["acknowledged"]);
    let listed = |daemon: &Daemon, acknowledged: bool| -> Vec<Value> {
        let page = daemon.get(&format!("/api/alerts?limit=500&acknowledged={acknowledged}")).json();
        page["alerts"].as_array().unwrap().iter().map(|a| a["id"].clone()).collect()
    };
    assert_eq!(listed(&daemon, true), [scan["id"].clone()]);
    assert!(!listed(&daemon, false).contains(&scan["id"]));

    // The demo raises more meanwhile, so all are acknowledged until none is left that presses.
    wait_for("nothing that presses", || {
        let all = done(&daemon, &token, "/api/alerts/acknowledge", "")["acknowledged"].as_u64();
        let counted = daemon.statistics();
        let settled = counted["alerts"]["unacknowledged"] == 0 && counted["threat"].is_null();
        (all.is_some() && settled).then_some(())
    });
    let before = listed(&daemon, true);
    daemon.kill();
    let daemon = demo(&store);
    let after = listed(&daemon, true);
    assert!(before.iter().all(|id| after.contains(id)), "{before:?} are all in {after:?}");
    assert_eq!(alert(&daemon, scan["id"].as_str().unwrap())["acknowledged"], seen["acknowledged"]);
    assert_eq!(done(&daemon, &token, &path, r#"{"undo":true}"#)["acknowledged"], Value::Null);
    assert!(!listed(&daemon, true).contains(&scan["id"]));
    let table = daemon.get("/api/export/alerts.csv?acknowledged=true").body;
    assert_eq!(table.lines().count(), listed(&daemon, true).len() + 1);
}

#[test]
fn a_model_is_trained_anew_and_its_performance_is_measured() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = demo(&folder.path().join("store"));
    let token = daemon.token.clone().unwrap();
    let early = post(&daemon, &token, "/api/ml/train", "");
    assert_eq!(early.status, 409, "{}", early.body);
    assert!(early.body.contains("baseline"), "{}", early.body);
    let none = daemon.get("/api/models/performance").json();
    assert_eq!(none["models"], json!([]));
    assert!(none["why"].is_string());

    let model = wait_for("judged windows", || {
        let performance = daemon.get("/api/models/performance").json();
        let model = performance["models"][0].clone();
        model["windows"]["judged"].as_u64().filter(|n| *n >= 100).map(|_| model)
    });
    assert_eq!((&model["id"], &model["version"]), (&"isolation_forest-1".into(), &1.into()));
    assert!(model["training"]["seconds"].as_f64().unwrap() > 0.0);
    assert!(model["training"]["windows"].as_u64().unwrap() >= 64);
    let scores = model["scores"].as_array().unwrap();
    let sum: u64 = scores.iter().map(|score| score["windows"].as_u64().unwrap()).sum();
    assert_eq!(sum, model["windows"]["judged"].as_u64().unwrap());
    assert_eq!(model["feedback"]["why"], "no feedback yet");
    assert_eq!(model["recall"]["value"], Value::Null);

    let begun = post(&daemon, &token, "/api/ml/train", "{}");
    assert_eq!((begun.status, begun.json()), (202, json!({"id": "isolation_forest-1", "version": 1})));
    let again = wait_for("the new model", || {
        let performance = daemon.get("/api/models/performance").json();
        let again = performance["models"][0].clone();
        let counts = again["since"].is_string() && again["since"] != model["since"];
        counts.then_some(again)
    });
    assert_ne!(again["trained_at"], model["trained_at"]);
    assert_eq!(again["snapshot_bytes"], model["snapshot_bytes"], "the same baseline gives the same model");
}
