//! A generated network through `replay`: what is found, that learning is silent, and that it is the same each time.

use std::path::Path;

use tapguard::time::Span;

use crate::harness::{capture, tapguard};

const LEARN: u64 = 7_200;
/// Quiet time after it: longer than anything periodic in the network.
const QUIET: u64 = 5_400;

fn replayed(file: &Path, more: &[&str]) -> String {
    let learn = LEARN.to_string();
    let path = file.display().to_string();
    let output =
        tapguard(&[&["replay", "--format", "json", "--learn", &learn], more, &[path.as_str()]].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn raised(output: &str) -> Vec<serde_json::Value> {
    let alerts = output.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    alerts.filter(|a| a["event"] == "raised").collect()
}

#[test]
fn the_attacks_of_the_generated_network_are_found_and_its_daily_life_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("network.pcap");
    capture::write(&file, Span::from_secs(LEARN + QUIET), Span::ZERO, Span::from_secs(LEARN + QUIET + 1_800));
    let output = replayed(&file, &[]);
    assert_eq!(output, replayed(&file, &[]), "the same capture gives the same alerts, byte for byte");
    let alerts = raised(&output);
    let quiet_until = (capture::START + Span::from_secs(LEARN + QUIET)).to_string();
    for alert in &alerts {
        assert!(alert["timestamp"].as_str().unwrap() >= quiet_until.as_str(), "false alert: {alert}");
        assert!(!alert["reasons"].as_array().unwrap().is_empty(), "no reasons: {alert}");
        assert!(!alert["title"].as_str().unwrap().is_empty());
    }
    for kind in ["port_scan", "host_sweep", "arp_spoof", "new_device"] {
        let count = alerts.iter().filter(|a| a["kind"] == kind).count();
        assert!((1..=3).contains(&count), "{kind} was raised {count} times");
    }
}

#[test]
fn without_a_baseline_only_what_needs_none_is_raised() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("network.pcap");
    capture::write(&file, Span::from_secs(60), Span::ZERO, Span::from_secs(1_200));
    let path = file.display().to_string();
    let output = tapguard(&["replay", "--format", "json", &path]);
    let alerts = raised(std::str::from_utf8(&output.stdout).unwrap());
    assert!(alerts.iter().any(|a| a["kind"] == "port_scan"));
    assert!(alerts.iter().all(|a| a["kind"] != "new_device" && a["kind"] != "behaviour"), "{alerts:?}");
}

#[test]
fn a_capture_may_come_in_pieces_in_gzip_and_from_a_pipe() {
    use std::io::Write;
    use std::process::{Command, Stdio};

    let folder = tempfile::tempdir().unwrap();
    let whole = folder.path().join("whole.pcap");
    let (first, second) = (folder.path().join("1.pcap"), folder.path().join("2.pcap"));
    let at = Span::from_secs;
    let frames = capture::write(&whole, at(60), at(0), at(900));
    let pieces =
        capture::write(&first, at(60), at(0), at(400)) + capture::write(&second, at(60), at(400), at(900));
    assert_eq!(frames, pieces);
    let text = |path: &Path| path.display().to_string();
    let output = |args: &[&str]| String::from_utf8(tapguard(args).stdout).unwrap();
    let expected = output(&["replay", "--format", "json", &text(&whole)]);
    assert!(!expected.is_empty());
    assert_eq!(output(&["replay", "--format", "json", &text(&first), &text(&second)]), expected);

    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(&std::fs::read(&whole).unwrap()).unwrap();
    let mut piped = Command::new(crate::harness::PROGRAM)
        .args(["replay", "--format", "json", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    piped.stdin.take().unwrap().write_all(&packed.finish().unwrap()).unwrap();
    assert_eq!(String::from_utf8(piped.wait_with_output().unwrap().stdout).unwrap(), expected);
}
