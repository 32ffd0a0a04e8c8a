//! The daemon's life: start, learning, alert, stop, kill, a broken store.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::harness::daemon::Daemon;
use crate::harness::{http, skipped, tool, wait_for};

/// The generated network, fast: learned in seven seconds.
fn demo(store: &Path) -> Daemon {
    Daemon::start(&["demo", "--speed", "1000", "--store", &store.display().to_string()])
}

#[test]
fn a_killed_daemon_goes_on_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let daemon = demo(&store);
    assert!(daemon.token.is_some(), "the token is shown at the first start");
    let scan = daemon.wait_for_alert("port_scan");
    assert!(!scan["reasons"].as_array().unwrap().is_empty());
    let armed = daemon.get("/api/ml/status").json();
    assert_eq!(armed["baseline"]["phase"], "armed");
    let names = |d: &Daemon| -> Vec<Value> {
        d.get("/api/devices").json()["devices"].as_array().unwrap().iter().map(|d| d["mac"].clone()).collect()
    };
    let devices = wait_for("devices in the store", || Some(names(&daemon)).filter(|d| d.len() >= 8));
    // Alerts are durable before they are listed; devices are kept each second in which one changed.
    let before = daemon.statistics()["tap"]["uptime_seconds"].as_f64();
    wait_for("two more seconds", || {
        (daemon.statistics()["tap"]["uptime_seconds"].as_f64() > before.map(|t| t + 2.0)).then_some(())
    });
    daemon.kill();

    let daemon = demo(&store);
    assert_eq!(daemon.token, None, "the token is shown once");
    let kept = daemon.get(&format!("/api/alerts/{}", scan["id"].as_str().unwrap())).json();
    assert_eq!(kept["first_seen"], scan["first_seen"]);
    let again = wait_for("the judge", || {
        let status = daemon.get("/api/ml/status").json();
        (!status["baseline"].is_null()).then_some(status)
    });
    assert_eq!(again["baseline"]["phase"], "armed");
    assert_eq!(again["baseline"]["id"], armed["baseline"]["id"]);
    assert_eq!(
        again["model"]["trained_at"], armed["model"]["trained_at"],
        "the model was kept, not trained anew"
    );
    let after = wait_for("the meter", || Some(names(&daemon)).filter(|d| !d.is_empty()));
    assert!(devices.iter().all(|d| after.contains(d)), "{devices:?} are all in {after:?}");
}

#[test]
fn a_stop_is_orderly_and_loses_no_alert() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let daemon = demo(&store);
    daemon.wait_for_alert("port_scan");
    let told: Vec<_> = daemon.alerts().iter().map(|a| a["id"].clone()).collect();
    let (code, log) = daemon.stop();
    assert_eq!(code, Some(0), "{log}");
    assert!(!log.contains("ERROR"), "{log}");
    let daemon = demo(&store);
    let kept: Vec<_> = daemon.alerts().iter().map(|a| a["id"].clone()).collect();
    assert!(told.iter().all(|id| kept.contains(id)), "{told:?} are all in {kept:?}");
}

#[test]
fn a_demo_without_a_store_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(crate::harness::PROGRAM);
    command.env("TMPDIR", folder.path());
    let daemon = Daemon::start_as(command, &["demo"]);
    assert!(fs::read_dir(folder.path()).unwrap().count() > 0, "its store is there while it runs");
    assert_eq!(daemon.stop().0, Some(0));
    let left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().path()).collect();
    assert_eq!(left, Vec::<PathBuf>::new());
}

#[test]
fn a_store_that_does_not_open_is_replaced_and_told_of() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    assert_eq!(demo(&store).stop().0, Some(0));
    for file in files(&store).into_iter().filter(|f| f.file_name().is_some_and(|n| n == "db")) {
        OpenOptions::new().write(true).open(file).unwrap().set_len(100).unwrap();
    }
    let daemon = demo(&store);
    let alert = daemon.wait_for_alert("tap_store");
    assert_eq!(alert["severity"], "high");
    let replaced = daemon.statistics()["store"]["replaced"].clone();
    assert!(replaced.as_str().is_some_and(|path| Path::new(path).exists()), "{replaced}");
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let paths = fs::read_dir(folder).unwrap().map(|e| e.unwrap().path());
    paths.flat_map(|p| if p.is_dir() { files(&p) } else { vec![p] }).collect()
}

#[test]
fn a_new_baseline_needs_the_token_and_begins_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = demo(&folder.path().join("store"));
    wait_for("the first baseline", || {
        (daemon.get("/api/ml/status").json()["baseline"]["phase"] == "armed").then_some(())
    });
    let post = |headers: &str| {
        http::request(
            daemon.address,
            "POST",
            "/api/ml/baseline/start",
            headers,
            r#"{"duration_seconds":86400}"#,
        )
        .unwrap()
    };
    let json = "Content-Type: application/json\r\n";
    assert_eq!(post(json).status, 401);
    assert_eq!(post(&format!("{json}Authorization: Bearer wrong\r\n")).status, 401);
    let token = daemon.token.clone().unwrap();
    let answer = post(&format!("{json}Authorization: Bearer {token}\r\n"));
    assert_eq!(answer.status, 202, "{}", answer.body);
    let status = daemon.get("/api/ml/status").json();
    assert_eq!((&status["baseline"]["phase"], &status["baseline"]["id"]), (&"learning".into(), &"b2".into()));
}

#[test]
fn metrics_pass_promtool() {
    let Some(promtool) = tool("promtool") else { return skipped("promtool", "it is not installed") };
    let folder = tempfile::tempdir().unwrap();
    let daemon = demo(&folder.path().join("store"));
    daemon.wait_for_alert("port_scan");
    let metrics = daemon.get("/metrics").body;
    assert!(metrics.contains("tapguard_"), "{metrics}");
    let mut check = Command::new(promtool)
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    check.stdin.take().unwrap().write_all(metrics.as_bytes()).unwrap();
    let output = check.wait_with_output().unwrap();
    let said =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.trim().is_empty(), "{said}");
    assert_eq!(http::request(daemon.address, "GET", "/healthz", "", "").unwrap().status, 200);
}
