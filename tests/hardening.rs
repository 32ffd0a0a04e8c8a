//! The listener under attack: half-open connections, and descriptors that run out.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::process::Command;

use tapguard::sys::clock::Stopwatch;
use tapguard::time::Span;

use crate::harness::daemon::Daemon;
use crate::harness::{PROGRAM, http, skipped, tool, wait_for};

/// Opens connections and sends nothing, or the first byte of a request.
fn half_open(address: SocketAddr, count: usize) -> Vec<TcpStream> {
    let connect = |n: usize| {
        let mut client = TcpStream::connect(address).unwrap();
        if n.is_multiple_of(2) {
            // One that had to go already takes nothing.
            drop(client.write(b"G"));
        }
        client
    };
    (0..count).map(connect).collect()
}

/// A sample of the metrics, as soon as it is there.
fn metric(daemon: &Daemon, name: &str) -> u64 {
    wait_for(name, || {
        let text = daemon.get("/metrics").body;
        let value = text.lines().find_map(|line| line.strip_prefix(&format!("tapguard_{name} ")));
        value.map(|value| value.parse().unwrap())
    })
}

/// Asks as somebody does who means well; gives how long the answer took.
fn ask(daemon: &Daemon) -> Span {
    let clock = Stopwatch::start();
    let answer = http::request(daemon.address, "GET", "/api/statistics", "", "");
    let took = clock.elapsed();
    assert_eq!(answer.map(|answer| answer.status), Some(200));
    took
}

/// What has to be true of a daemon whose listener is flooded by 300 connections that stay.
fn survives_a_flood(daemon: &Daemon) {
    let (frames, refused) =
        (metric(daemon, "capture_frames_total"), metric(daemon, "http_refused_connections_total"));
    let held = half_open(daemon.address, 300);
    for _ in 0..5 {
        let took = ask(daemon);
        assert!(took < Span::from_secs(1), "answered after {took}");
    }
    wait_for("capture to go on", || (metric(daemon, "capture_frames_total") > frames).then_some(()));
    wait_for("the refusals", || {
        (metric(daemon, "http_refused_connections_total") >= refused + 200).then_some(())
    });
    let more = half_open(daemon.address, 300);
    drop((held, more));
    let took = ask(daemon);
    assert!(took < Span::from_secs(1), "answered after {took}");
    assert_eq!(metric(daemon, "http_restarts_total"), 0);
    // The store may have wanted a descriptor too, which it says until its next write.
    wait_for("good health", || {
        http::request(daemon.address, "GET", "/healthz", "", "").filter(|answer| answer.status == 200)
    });
}

#[test]
fn half_open_connections_keep_nobody_out() {
    let daemon = Daemon::start(&["demo"]);
    survives_a_flood(&daemon);
    let (code, log) = daemon.stop();
    assert_eq!(code, Some(0), "{log}");
}

#[test]
fn a_low_limit_on_descriptors_is_kept_within() {
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -n 64 && exec \"$0\" \"$@\"", PROGRAM]);
    let daemon = Daemon::start_as(command, &["demo"]);
    let held = half_open(daemon.address, 300);
    let took = ask(&daemon);
    assert!(took < Span::from_secs(1), "answered after {took}");
    let used = metric(&daemon, "process_open_descriptors");
    assert!(used <= 56, "{used} of 64 descriptors are open, and the store needs some");
    drop(held);
    survives_a_flood(&daemon);
    let (code, log) = daemon.stop();
    assert_eq!(code, Some(0), "{log}");
}

#[test]
fn descriptors_that_run_out_stop_nothing() {
    let Some(prlimit) = tool("prlimit") else { return skipped("descriptors", "prlimit is not installed") };
    let daemon = Daemon::start(&["demo"]);
    // It was started with enough for all its seats, and now the rest of the process might have them.
    let squeeze = |limit: &str| {
        let pid = format!("--pid={}", daemon.id());
        let output = Command::new(&prlimit).args([&pid, &format!("--nofile={limit}:")]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    let used = metric(&daemon, "process_open_descriptors");
    squeeze(&(used + 8).to_string());
    survives_a_flood(&daemon);
    squeeze("1024");
    assert!(ask(&daemon) < Span::from_secs(1));
    let (code, log) = daemon.stop();
    assert_eq!(code, Some(0), "{log}");
}
