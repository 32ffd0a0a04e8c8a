//! A cable, a capture played into it, and the daemon at its other end.

use std::collections::BTreeSet;

use serde_json::Value;
use tapguard::time::Span;

use crate::harness::daemon::Daemon;
use crate::harness::namespace::Cable;
use crate::harness::{capture, skipped, tapguard, wait_for};

/// What an alert is about, without its times: these are the kernel's in one case and the file's in the other.
fn gist(alert: &Value) -> (String, String, String) {
    let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
    (text(&alert["kind"]), text(&alert["subject"]["mac"]), text(&alert["peers"][0]["ip"]))
}

#[test]
fn a_played_capture_gives_the_alerts_of_its_replay() {
    let cable = match Cable::new("live") {
        Ok(cable) => cable,
        Err(why) => return skipped("live capture", why),
    };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("attacks.pcap");
    let at = Span::from_secs;
    let frames = capture::write(&file, at(30), at(20), at(60));
    let path = file.display().to_string();
    let replayed = String::from_utf8(tapguard(&["replay", "--format", "json", &path]).stdout).unwrap();
    let expected: BTreeSet<_> = replayed.lines().map(|l| gist(&serde_json::from_str(l).unwrap())).collect();
    assert!(!expected.is_empty(), "there is something to find");

    let store = folder.path().join("store").display().to_string();
    let daemon = Daemon::start(&["run", "--interface", &cable.tap, "--store", &store]);
    assert!(daemon.source.contains(&cable.tap) && daemon.source.contains("configured"), "{}", daemon.source);
    cable.play(&path, "1");
    let statistics = wait_for("all frames", || {
        let statistics = daemon.statistics();
        (statistics["capture"]["frames"].as_u64() >= Some(frames)).then_some(statistics)
    });
    assert_eq!(statistics["capture"]["frames"], frames);
    let drops = &statistics["drops"];
    assert_eq!((&drops["kernel"], &drops["interface"]), (&Value::from(0), &Value::from(0)), "{drops}");
    let found = wait_for("the alerts", || {
        let found: BTreeSet<_> = daemon.alerts().iter().map(gist).collect();
        (found.len() >= expected.len()).then_some(found)
    });
    assert_eq!(found, expected);
}

#[test]
fn an_interface_that_vanishes_is_waited_for() {
    let cable = match Cable::new("pull") {
        Ok(cable) => cable,
        Err(why) => return skipped("a pulled cable", why),
    };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("quiet.pcap");
    let frames = capture::write(&file, Span::from_secs(600), Span::ZERO, Span::from_secs(120));
    let path = file.display().to_string();
    let store = folder.path().join("store").display().to_string();
    let daemon = Daemon::start(&["run", "--interface", &cable.tap, "--store", &store]);
    let capture = || daemon.statistics()["capture"].clone();
    cable.play(&path, "100");
    wait_for("frames", || (capture()["frames"] == frames).then_some(()));
    cable.pull();
    let waiting = wait_for("the loss", || Some(capture()).filter(|c| c["state"] == "waiting"));
    assert_eq!(waiting["losses"], 1, "{waiting}");
    assert!(waiting["waiting_for"].as_str().is_some_and(|r| r.contains(&cable.tap)), "{waiting}");
    assert!(cable.plug());
    wait_for("the return", || (capture()["state"] != "waiting").then_some(()));
    cable.play(&path, "100");
    wait_for("frames again", || (capture()["frames"].as_u64() >= Some(2 * frames)).then_some(()));
}

#[test]
fn a_stopped_capture_counts_nothing_until_it_is_started() {
    let cable = match Cable::new("halt") {
        Ok(cable) => cable,
        Err(why) => return skipped("a stopped capture", why),
    };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("quiet.pcap");
    let frames = capture::write(&file, Span::from_secs(600), Span::ZERO, Span::from_secs(120));
    let path = file.display().to_string();
    let store = folder.path().join("store").display().to_string();
    let daemon = Daemon::start(&["run", "--interface", &cable.tap, "--store", &store]);
    let capture = || daemon.get("/api/capture/status").json()["capture"].clone();
    cable.play(&path, "100");
    wait_for("frames", || (capture()["frames"] == frames).then_some(()));

    assert_eq!(daemon.post("/api/capture/stop").json()["capture"]["state"], "stopped");
    assert_eq!(daemon.get("/healthz").body, "ok\ncapture: stopped on request\n");
    cable.play(&path, "100");
    let stopped = daemon.post("/api/capture/stop").json()["capture"].clone();
    assert_eq!((&stopped["state"], &stopped["frames"]), (&"stopped".into(), &frames.into()), "{stopped}");
    wait_for("time", || (capture()["time"] != stopped["time"]).then_some(()));

    let started = daemon.post("/api/capture/start").json()["capture"].clone();
    assert_eq!((&started["frames"], &started["losses"]), (&frames.into(), &0.into()), "{started}");
    cable.play(&path, "100");
    wait_for("frames again", || (capture()["frames"] == 2 * frames).then_some(()));
    assert_eq!(capture()["state"], "running");
}

#[test]
fn a_quiet_interface_gives_way_to_the_generated_network_and_says_so() {
    let cable = match Cable::new("quiet") {
        Ok(cable) => cable,
        Err(why) => return skipped("a quiet interface", why),
    };
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store").display().to_string();
    let daemon = Daemon::start(&["run", "--or-demo", "--interface", &cable.tap, "--store", &store]);
    assert!(daemon.source.contains("generated network"), "{}", daemon.source);
    assert!(daemon.source.contains(&format!("no traffic on interface {}", cable.tap)), "{}", daemon.source);
    let source =
        wait_for("the source", || Some(daemon.statistics()["capture"].clone()).filter(|c| !c.is_null()));
    assert_eq!(source["kind"], "demo", "{source}");
}
