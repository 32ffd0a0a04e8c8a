//! The daemon and a real Mosquitto: delivery, a broker that is away, passwords and TLS.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::harness::broker::{Broker, CONFIG, Subscriber, demo, missing, publish};
use crate::harness::daemon::Daemon;
use crate::harness::{free_port, skipped, tool, wait_for};

#[test]
fn alerts_wait_for_a_broker_that_is_away() {
    if let Some(name) = missing() {
        return skipped("delivery to a broker", &format!("{name} is not installed"));
    }
    let folder = tempfile::tempdir().unwrap();
    let port = free_port();
    let mut broker = Broker::start(folder.path(), port, "allow_anonymous true");
    let subscriber = Subscriber::start(port, &[]);
    let probe = |payload: &str| {
        let port = port.to_string();
        let args = ["-h", "127.0.0.1", "-p", &port, "-q", "1", "-t", "tapguard/probe", "-m", payload];
        assert!(Command::new(tool("mosquitto_pub").unwrap()).args(args).status().unwrap().success());
    };
    wait_for("the subscription", || {
        probe("there");
        subscriber.messages.recv_timeout(Duration::from_millis(200)).ok()
    });
    broker.stop();

    let daemon = demo(folder.path(), port, &[]);
    let scan = daemon.wait_for_alert("port_scan");
    let status = wait_for("the outbox", || {
        Some(daemon.statistics()).filter(|s| s["store"]["outbox"].as_u64() >= Some(1))
    });
    assert_eq!(status["mqtt"]["connected"], false, "{}", status["mqtt"]);
    broker.start_again();
    assert_eq!(subscriber.next("tapguard/t-demo/availability").2, "online");
    let delivered: Value = loop {
        let (retain, quality, payload) = subscriber.next("tapguard/t-demo/alerts");
        assert!(!retain && quality == 1);
        let alert: Value = serde_json::from_str(&payload).unwrap();
        if alert["kind"] == "port_scan" {
            break alert;
        }
    };
    assert_eq!((&delivered["id"], &delivered["event"]), (&scan["id"], &"raised".into()));
    wait_for("an empty outbox", || (daemon.statistics()["store"]["outbox"] == 0).then_some(()));
    let (_, _, state) = subscriber.next("tapguard/t-demo/state");
    let state: Value = serde_json::from_str(&state).unwrap();
    assert_eq!(state["baseline"], "armed", "{state}");

    let (code, log) = daemon.stop();
    assert_eq!(code, Some(0), "{log}");
    // "online" comes twice where the subscriber came back after the daemon: live, and retained.
    let mut words = std::iter::repeat_with(|| subscriber.next("tapguard/t-demo/availability").2);
    assert_eq!(
        words.find(|word| word != "online").as_deref(),
        Some("offline"),
        "an orderly stop says so itself"
    );
}

#[test]
fn a_daemon_that_dies_is_told_by_its_last_will() {
    if let Some(name) = missing() {
        return skipped("the last will", &format!("{name} is not installed"));
    }
    let folder = tempfile::tempdir().unwrap();
    let port = free_port();
    let _broker = Broker::start(folder.path(), port, "allow_anonymous true");
    let daemon = demo(folder.path(), port, &[]);
    wait_for("the connection", || (daemon.statistics()["mqtt"]["connected"] == true).then_some(()));
    let subscriber = Subscriber::start(port, &[]);
    let (retain, _, word) = subscriber.next("tapguard/t-demo/availability");
    assert_eq!((retain, word.as_str()), (true, "online"), "a late subscriber is told too");
    daemon.kill();
    assert_eq!(subscriber.next("tapguard/t-demo/availability").2, "offline");
}

#[test]
fn passwords_and_certificates_are_used_and_wrong_ones_named() {
    if let Some(name) = missing().or_else(|| tool("openssl").is_none().then_some("openssl")) {
        return skipped("TLS to a broker", &format!("{name} is not installed"));
    }
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    certificates(folder.path());
    let passwords = at("passwords");
    let made = Command::new(tool("mosquitto_passwd").unwrap())
        .args(["-c", "-b", &passwords, "tap", "secret"])
        .status();
    assert!(made.unwrap().success());
    let port = free_port();
    let more = format!(
        "allow_anonymous false\npassword_file {passwords}\ncafile {}\ncertfile {}\nkeyfile {}",
        at("ca.pem"),
        at("broker.pem"),
        at("broker.key")
    );
    let _broker = Broker::start(folder.path(), port, &more);
    let ca = format!("mqtt.ca_file={}", at("ca.pem"));
    let settings = ["--set", "mqtt.tls=true", "--set", &ca, "--set", "mqtt.username=tap", "--set"];
    let daemon = demo(folder.path(), port, &[&settings[..], &["mqtt.password=secret"]].concat());
    let state = |daemon: &Daemon| daemon.statistics()["mqtt"].clone();
    wait_for("the connection", || (state(&daemon)["connected"] == true).then_some(()));
    assert_eq!(daemon.stop().0, Some(0));

    let daemon = demo(folder.path(), port, &[&settings[..], &["mqtt.password=wrong"]].concat());
    let refused = wait_for("the refusal", || {
        Some(state(&daemon)).filter(|m| m["error"].as_str().is_some_and(|e| e.contains("refused")))
    });
    assert_eq!(refused["connected"], false, "{refused}");
    assert_eq!(daemon.stop().0, Some(0));

    // Without the authority that signed it, the broker's certificate is not trusted.
    let other = format!("mqtt.ca_file={}", at("other.pem"));
    let args = ["--set", "mqtt.tls=true", "--set", &other];
    let daemon = demo(folder.path(), port, &args);
    wait_for("the distrust", || {
        Some(state(&daemon)).filter(|m| m["error"].as_str().is_some_and(|e| e.contains("certificate")))
    });
}

/// An authority, a certificate of the broker signed by it, and another authority.
fn certificates(folder: &Path) {
    let openssl = |line: &str| {
        let output = Command::new("openssl").args(line.split(' ')).current_dir(folder).output().unwrap();
        assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    };
    for name in ["ca", "other"] {
        openssl(&format!(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj /CN={name} -keyout {name}.key -out {name}.pem"
        ));
    }
    openssl(
        "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=broker -addext subjectAltName=IP:127.0.0.1 -keyout broker.key -out broker.csr",
    );
    openssl(
        "x509 -req -in broker.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 30 -copy_extensions copy -out broker.pem",
    );
}

/// What the broker keeps of a topic.
fn retained(port: u16, topic: &str) -> Option<String> {
    let port = port.to_string();
    let args = ["-h", "127.0.0.1", "-p", &port, "-t", topic, "--retained-only", "-C", "1", "-W", "2"];
    let output = Command::new(tool("mosquitto_sub").unwrap()).args(args).output().unwrap();
    // What is published meanwhile ends it too, with nothing shown.
    Some(String::from_utf8(output.stdout).unwrap()).filter(|text| !text.is_empty())
}

#[test]
fn home_assistant_finds_the_tap_and_is_told_again_after_its_birth() {
    if let Some(name) = missing() {
        return skipped("discovery", &format!("{name} is not installed"));
    }
    let folder = tempfile::tempdir().unwrap();
    let port = free_port();
    let _broker = Broker::start(folder.path(), port, "allow_anonymous true");
    // What a version before this one announced.
    let memory = serde_json::json!({ "topic": CONFIG, "components": { "bygone": "select" } });
    publish(port, "tapguard/t-demo/discovery", &memory.to_string(), &["-r"]);
    let subscriber = Subscriber::start(port, &["-t", "homeassistant/#"]);
    assert_eq!(subscriber.next("tapguard/t-demo/discovery").2, memory.to_string());
    let daemon = demo(folder.path(), port, &[]);
    let next = || -> Value { serde_json::from_str(&subscriber.next(CONFIG).2).unwrap() };
    assert_eq!(next()["cmps"]["bygone"], serde_json::json!({ "p": "select" }), "taken back");
    let announced = next();
    assert_eq!(announced["cmps"].get("bygone"), None);
    assert_eq!(announced["avty_t"], "tapguard/t-demo/availability");
    let kept: Value = serde_json::from_str(&retained(port, CONFIG).unwrap()).unwrap();
    assert_eq!(kept, announced);

    publish(port, "homeassistant/status", "online", &[]);
    assert_eq!(next(), announced, "told again");
    assert_eq!(subscriber.next("tapguard/t-demo/availability").2, "online");
    let state: Value = serde_json::from_str(&subscriber.next("tapguard/t-demo/state").2).unwrap();
    assert_eq!((&state["detection"], &state["baseline_minutes"]), (&true.into(), &120.0.into()));

    // Any of those that come from now on.
    let (retain, quality, payload) = subscriber.next("tapguard/t-demo/alerts");
    let alert: Value = serde_json::from_str(&payload).unwrap();
    assert_eq!((retain, quality, &alert["event_type"]), (false, 1, &alert["kind"]));
    assert!(alert["kind"].is_string());
    let last = wait_for("the last alert", || retained(port, "tapguard/t-demo/last_alert"));
    assert!(serde_json::from_str::<Value>(&last).unwrap()["title"].is_string());
    assert_eq!(retained(port, "tapguard/t-demo/alerts"), None);
    assert_eq!(daemon.stop().0, Some(0));

    let daemon = demo(folder.path(), port, &["--set", "mqtt.discovery=false"]);
    assert_eq!(subscriber.next(CONFIG).2, "", "switched off, it is taken back");
    wait_for("the forgetting", || retained(port, "tapguard/t-demo/discovery").is_none().then_some(()));
    assert_eq!(retained(port, CONFIG), None);
    assert_eq!(daemon.stop().0, Some(0));
}

#[test]
fn commands_are_obeyed_and_answered_and_retained_ones_ignored() {
    if let Some(name) = missing() {
        return skipped("commands", &format!("{name} is not installed"));
    }
    let folder = tempfile::tempdir().unwrap();
    let port = free_port();
    let _broker = Broker::start(folder.path(), port, "allow_anonymous true");
    publish(port, "tapguard/t-demo/command/detection", "OFF", &["-r"]);
    let subscriber = Subscriber::start(port, &["-t", "homeassistant/#"]);
    let daemon = demo(folder.path(), port, &[]);
    // It is subscribed by now.
    subscriber.next(CONFIG);
    let ask = |name: &str, payload: &str| -> Value {
        publish(port, &format!("tapguard/t-demo/command/{name}"), payload, &[]);
        let (retain, _, answer) = subscriber.next("tapguard/t-demo/reply");
        assert!(!retain);
        let answer: Value = serde_json::from_str(&answer).unwrap();
        assert_eq!(answer["command"], name, "{answer}");
        answer
    };
    let refused = ask("detection", "maybe");
    assert_eq!(refused["ok"], false);
    assert!(refused["error"].as_str().unwrap().contains("neither ON nor OFF"), "{refused}");
    assert_eq!(daemon.statistics()["alerts"]["detection"], true, "the retained command was ignored");
    assert_eq!(ask("reboot", "")["ok"], false);

    let done = |answer: Value| assert_eq!((&answer["ok"], &answer["error"]), (&true.into(), &Value::Null));
    done(ask("detection", "OFF"));
    wait_for("the board", || (daemon.statistics()["alerts"]["detection"] == false).then_some(()));
    wait_for("the state", || {
        let state: Value = serde_json::from_str(&subscriber.next("tapguard/t-demo/state").2).unwrap();
        (state["detection"] == false).then_some(())
    });
    done(ask("baseline/start", "3600"));
    assert_eq!(daemon.statistics()["baseline"]["target_seconds"], 3_600.0);
    done(ask("baseline/duration", "30"));
    done(ask("baseline/start", "PRESS"));
    assert_eq!(daemon.statistics()["baseline"]["target_seconds"], 1_800.0);
    assert_eq!(daemon.stop().0, Some(0));
}

#[test]
fn the_owner_s_commands_hold_and_a_threshold_outlives_a_restart() {
    if let Some(name) = missing() {
        return skipped("the owner's commands", &format!("{name} is not installed"));
    }
    let folder = tempfile::tempdir().unwrap();
    let port = free_port();
    let _broker = Broker::start(folder.path(), port, "allow_anonymous true");
    let subscriber = Subscriber::start(port, &[]);
    let daemon = demo(folder.path(), port, &[]);
    let scan = daemon.wait_for_alert("port_scan");
    let ask = |name: &str, payload: &str| -> Value {
        publish(port, &format!("tapguard/t-demo/command/{name}"), payload, &[]);
        // The daemon takes five at once, and then one a second.
        let answer = wait_for("an answer", || {
            let answer: Value = serde_json::from_str(&subscriber.next("tapguard/t-demo/reply").2).unwrap();
            (answer["command"] == name).then_some(answer)
        });
        answer["error"].clone()
    };
    let state = |field: &str, value: Value| {
        wait_for(field, || {
            let state: Value = serde_json::from_str(&subscriber.next("tapguard/t-demo/state").2).unwrap();
            (state[field] == value).then_some(())
        });
    };
    assert_eq!(ask("alerts/acknowledge", scan["id"].as_str().unwrap()), Value::Null);
    let seen = daemon.get(&format!("/api/alerts/{}", scan["id"].as_str().unwrap())).json();
    assert!(seen["acknowledged"].is_string(), "{seen}");
    assert_eq!(
        ask("alerts/acknowledge", "000000000000000000000000"),
        "no alert has this id; it may have been deleted for its age"
    );
    assert_eq!(ask("alerts/acknowledge", ""), Value::Null);
    assert_eq!(ask("detection/threshold", "0.65"), Value::Null);
    state("alert_threshold", 0.65.into());

    assert_eq!(daemon.stop().0, Some(0));
    let daemon = demo(folder.path(), port, &[]);
    state("alert_threshold", 0.65.into());
    assert_eq!(ask("capture", "OFF"), Value::Null);
    state("listening", false.into());
    assert_eq!(ask("capture", "ON"), Value::Null);
    state("listening", true.into());
    assert_eq!(ask("mode", "pause"), Value::Null);
    state("mode", "pause".into());
    assert_eq!(daemon.stop().0, Some(0));

    let daemon = demo(folder.path(), port, &["--set", "detection.alert_threshold=0.9"]);
    wait_for("the connection", || (daemon.statistics()["mqtt"]["connected"] == true).then_some(()));
    let refused = ask("detection/threshold", "0.7");
    assert!(refused.as_str().is_some_and(|why| why.contains("command line")), "{refused}");
    assert_eq!(ask("mode", "learn"), Value::Null);
    state("mode", "learn".into());
    assert_eq!(
        ask("mode", "detect"),
        "the baseline is still being learned; what needs none is told meanwhile"
    );
    assert_eq!(daemon.stop().0, Some(0));
}
