//! The page in a real browser.

use std::process::{Command, Stdio};

use tapguard::sys::clock::Stopwatch;
use tapguard::time::Span;

use crate::harness::daemon::Daemon;
use crate::harness::{skipped, tool, wait_for};

#[test]
fn a_browser_shows_source_devices_and_an_alert_with_reasons() {
    let Some(chromium) = tool("chromium") else { return skipped("the page", "chromium is not installed") };
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store").display().to_string();
    let daemon = Daemon::start(&["demo", "--speed", "1000", "--store", &store]);
    let alert = daemon.wait_for_alert("port_scan");
    let profile = format!("--user-data-dir={}", folder.path().join("profile").display());
    let page = format!("http://{}/", daemon.address);
    let dump = || {
        let output = Command::new(&chromium)
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"])
            .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
            .args(["--virtual-time-budget=8000", "--dump-dom", &profile, &page])
            .output()
            .unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let title = alert["title"].as_str().unwrap();
    let reason = alert["reasons"][0]["feature"].as_str().unwrap();
    let devices = daemon.get("/api/devices").json()["devices"].as_array().unwrap().clone();
    let macs: Vec<_> = devices.iter().take(5).map(|device| device["mac"].as_str().unwrap()).collect();
    assert_eq!(macs.len(), 5);
    // A browser under load may be late with its first paint.
    let dom = wait_for("the alert and the devices on the page", || {
        Some(dump()).filter(|dom| dom.contains(title) && macs.iter().all(|mac| dom.contains(mac)))
    });
    assert!(dom.contains("generated network"), "the page names its source");
    assert!(dom.contains(reason) || dom.contains(&reason.replace('_', " ")), "the alert's reasons are shown");
}

#[test]
fn a_browser_listens_to_the_stream_instead_of_asking() {
    let Some(chromium) = tool("chromium") else { return skipped("the stream", "chromium is not installed") };
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(&["demo"]);
    let profile = format!("--user-data-dir={}", folder.path().join("profile").display());
    let mut browser = Command::new(&chromium)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"])
        .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
        .args(["--remote-debugging-port=0", &profile, &format!("http://{}/", daemon.address)])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let http = |daemon: &Daemon| daemon.statistics()["http"].clone();
    let opened = wait_for("the page's stream", || Some(http(&daemon)).filter(|http| http["streams"] == 1));
    let clock = Stopwatch::start();
    let later = wait_for("ten seconds", || {
        (clock.elapsed() > Span::from_secs(10)).then(|| daemon.get("/api/statistics").json()["http"].clone())
    });
    browser.kill().unwrap();
    browser.wait().unwrap();
    assert_eq!((&later["streams"], &later["streams_dropped"]), (&1.into(), &0.into()));
    // Devices and flows are asked for each three seconds; with alerts and statistics it would be fifteen.
    let asked = later["requests"].as_u64().unwrap() - opened["requests"].as_u64().unwrap();
    assert!((4..=10).contains(&asked), "{asked} requests in ten seconds");
}
