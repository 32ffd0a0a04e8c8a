//! The program of another architecture under an emulator: it finds what the one of this machine finds, and store and
//! MQTT work. `packaging/cross.sh --test TARGET` names the two in the environment.

use std::process::Command;

use serde_json::Value;
use tapguard::time::Span;

use crate::harness::broker::{Broker, Subscriber, demo_as, missing};
use crate::harness::{capture, free_port, skipped, tapguard, wait_for};

/// The emulator with the program as its argument.
fn emulated() -> Option<Command> {
    let [emulator, program] = ["EMULATOR", "EMULATED"].map(std::env::var_os);
    let mut command = Command::new(emulator?);
    command.arg(program?).env_remove("TAPGUARD_CONFIG");
    Some(command)
}

const NONE_NAMED: &str = "no program of another architecture is named: packaging/cross.sh --test TARGET does";

#[test]
fn alerts_are_the_same_byte_for_byte() {
    let Some(mut command) = emulated() else { return skipped("replay under emulation", NONE_NAMED) };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("network.pcap");
    capture::write(&file, Span::from_secs(9_000), Span::ZERO, Span::from_secs(10_800));
    let arguments = ["replay", "--format", "json", "--learn", "7200", file.to_str().unwrap()];
    let expected = String::from_utf8(tapguard(&arguments).stdout).unwrap();
    for kind in ["port_scan", "host_sweep", "arp_spoof", "new_device"] {
        assert!(expected.contains(&format!("\"kind\":\"{kind}\"")), "{kind} is in {expected}");
    }
    let output = command.args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8(output.stdout).unwrap(), expected);
}

#[test]
fn an_alert_is_delivered_and_outlives_a_kill() {
    let Some(command) = emulated() else { return skipped("store and MQTT under emulation", NONE_NAMED) };
    if let Some(name) = missing() {
        return skipped("store and MQTT under emulation", &format!("{name} is not installed"));
    }
    let folder = tempfile::tempdir().unwrap();
    let port = free_port();
    let _broker = Broker::start(folder.path(), port, "allow_anonymous true");
    let subscriber = Subscriber::start(port, &[]);
    let daemon = demo_as(command, folder.path(), port, &[]);
    assert!(daemon.token.is_some(), "the token is shown at the first start");
    let scan = daemon.wait_for_alert("port_scan");
    let delivered: Value = loop {
        let (retain, quality, payload) = subscriber.next("tapguard/t-demo/alerts");
        assert!(!retain && quality == 1);
        let alert: Value = serde_json::from_str(&payload).unwrap();
        if alert["id"] == scan["id"] {
            break alert;
        }
    };
    assert_eq!((&delivered["kind"], &delivered["first_seen"]), (&scan["kind"], &scan["first_seen"]));
    daemon.kill();

    let daemon = demo_as(emulated().unwrap(), folder.path(), port, &[]);
    assert_eq!(daemon.token, None, "the token is shown once");
    let kept = daemon.get(&format!("/api/alerts/{}", scan["id"].as_str().unwrap())).json();
    assert_eq!((&kept["kind"], &kept["first_seen"]), (&scan["kind"], &scan["first_seen"]));
    wait_for("the connection", || (daemon.statistics()["mqtt"]["connected"] == true).then_some(()));
    let (code, log) = daemon.stop();
    assert_eq!(code, Some(0), "{log}");
}
