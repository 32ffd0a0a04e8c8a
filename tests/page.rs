//! The page in a real browser.

use std::path::{Path, PathBuf};

use tapguard::sys::clock::Stopwatch;
use tapguard::time::Span;

use crate::harness::browser::Browser;
use crate::harness::daemon::Daemon;
use crate::harness::{http, skipped, wait_for};

const SETTING: &str = "#set-detection\\.sensitivity";
const BUFFER: &str = "#set-network\\.buffer_size";

fn picture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("page").join(name)
}

/// The generated network, where learning takes some seconds.
fn demo(store: &Path) -> Daemon {
    Daemon::start(&["demo", "--speed", "500", "--store", &store.display().to_string()])
}

fn sign_in(browser: &mut Browser, token: &str) {
    browser.click("#owner");
    browser.write("#dialog-input", token);
    browser.click("#dialog-yes");
}

/// Opens the room of a setting and gives it a value.
fn set(browser: &mut Browser, field: &str, value: &str) {
    browser.wait_for(&format!("document.querySelector({field:?})"));
    browser.value(&format!("document.querySelector({field:?}).closest('details').open = true"));
    browser.write(field, value);
}

#[test]
fn an_owner_sets_up_a_new_tap_in_a_browser() {
    let Some(mut browser) = Browser::start() else { return skipped("the page", "chromium is not installed") };
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let daemon = demo(&store);
    let token = daemon.token.clone().expect("the first start shows the token");

    browser.open(daemon.address);
    browser.wait_for_text("#state", "learning");
    browser.wait_for("document.querySelector('#baseline-bar').checkVisibility()");
    browser.wait_for_text("#baseline-text", "left");
    assert!(browser.text("#demo").contains("not your network"), "the page names its source");
    let article = an_alert_comes_by_itself(&mut browser, &daemon);
    it_is_marked_false(&mut browser, &article, &token);
    settings_are_changed_and_refused(&mut browser);
    what_another_set_is_not_overwritten(&mut browser, &daemon, &token);
    every_room_is_shown_at_every_size(&mut browser);
    capture_is_stopped_and_started(&mut browser);
    packets_are_captured_on_demand(&mut browser);
    let first = daemon.address;
    assert_eq!(daemon.stop().0, Some(0));

    // What was said and set holds after a restart.
    browser.wait_for("document.querySelector('#offline').checkVisibility()");
    let daemon = demo(&store);
    browser.open(daemon.address);
    browser.wait_for_text(&article, "the nightly scan");
    browser.wait_for_text("#expected-title", "1 rule");
    sign_in(&mut browser, &token);
    browser.wait_for(&format!("document.querySelector({SETTING:?})?.value === '0.625'"));

    let own =
        [first, daemon.address].map(|address| [format!("http://{address}/"), format!("ws://{address}/")]);
    let strange: Vec<_> =
        browser.asked.iter().filter(|url| !own.iter().flatten().any(|own| url.starts_with(own))).collect();
    assert!(browser.asked.len() > 20 && strange.is_empty(), "{strange:?}");
    assert!(browser.complaints.is_empty(), "{:?}", browser.complaints);
    assert_eq!(daemon.stop().0, Some(0));
}

/// Gives the selector of the alert.
fn an_alert_comes_by_itself(browser: &mut Browser, daemon: &Daemon) -> String {
    browser.value("window.opened = true");
    let scan = daemon.wait_for_alert("port_scan");
    let article = format!("article[data-id='{}']", scan["id"].as_str().unwrap());
    browser.wait_for_text(&format!("{article} h3"), scan["title"].as_str().unwrap());
    let reason = scan["reasons"][0]["feature"].as_str().unwrap().replace('_', " ");
    assert!(browser.text(&format!("{article} .reasons")).contains(&reason), "with its reasons");
    let devices = daemon.get("/api/devices").json()["devices"].as_array().unwrap().clone();
    for device in devices.iter().take(5) {
        browser.wait_for_text("#devices", device["mac"].as_str().unwrap());
    }
    assert_eq!(browser.value("window.opened"), true, "the page was not loaded again");
    article
}

/// The owner has to say who he is for that; a wrong word is not taken.
fn it_is_marked_false(browser: &mut Browser, article: &str, token: &str) {
    browser.click(&format!("{article} [data-action='false']"));
    browser.wait_for_text("#dialog-body", "expected for 30 days");
    browser.write("#dialog-input", "the nightly scan");
    browser.click("#dialog-yes");
    browser.wait_for_text("#dialog-label", "Token");
    browser.write("#dialog-input", "guessed");
    browser.click("#dialog-yes");
    browser.wait_for_text("#dialog-problem", "not the admin token");
    browser.write("#dialog-input", token);
    browser.click("#dialog-yes");
    browser.wait_for_text(article, "the nightly scan");
    browser.wait_for_text("#expected-title", "1 rule");
    browser.wait_for_text("#alerts-said", "expected for 30 days");
    assert!(browser.text(article).contains("cleared"));
}

/// A bad one is refused at its field, a good one taken, and more than that asked about.
fn settings_are_changed_and_refused(browser: &mut Browser) {
    set(browser, BUFFER, "1");
    browser.click("#settings-save");
    browser.wait_for_text(&format!("{BUFFER}-problem"), "65536 to 1073741824");
    assert_eq!(browser.value("document.activeElement.id"), "set-network.buffer_size");
    browser.click("#settings-discard");
    set(browser, SETTING, "0.625");
    browser.click("#settings-save");
    browser.wait_for_text("#settings-said", "Saved.");
    set(browser, BUFFER, "131072");
    browser.click("#settings-save");
    browser.wait_for_text("#dialog-body", "8388608 bytes \u{2192} 131072 bytes");
    browser.click("#dialog-no");
    browser.wait_for_text("#settings-said", "Nothing was changed.");
    browser.click("#settings-discard");
}

/// What was typed is kept meanwhile.
fn what_another_set_is_not_overwritten(browser: &mut Browser, daemon: &Daemon, token: &str) {
    set(browser, SETTING, "0.75");
    let tag = daemon.get_as_owner("/api/config").header("ETag").unwrap().to_owned();
    let headers =
        format!("Authorization: Bearer {token}\r\nContent-Type: application/json\r\nIf-Match: {tag}\r\n");
    let other = r#"{"log.level": "warn"}"#;
    let changed = http::request(daemon.address, "PATCH", "/api/config", &headers, other).unwrap();
    assert_eq!(changed.status, 200, "{}", changed.body);
    browser.click("#settings-save");
    browser.wait_for_text("#settings-said", "changed elsewhere");
    assert_eq!(browser.value(&format!("document.querySelector({SETTING:?}).value")), "0.75");
    assert_eq!(browser.value("document.getElementById('set-log.level').value"), "warn");
    browser.click("#settings-discard");
}

fn every_room_is_shown_at_every_size(browser: &mut Browser) {
    browser.value("document.querySelectorAll('details').forEach((room) => { room.open = true; })");
    browser.click("#packets-show");
    browser.wait_for("document.querySelectorAll('#packets tbody tr').length > 10");
    browser.wait_for("document.querySelector('#charts .line').getAttribute('d')");
    browser.wait_for_text("#chart-packets_per_second-said", "mean");
    browser.wait_for_text("#model-facts", "not known: less than a day was watched");
    browser.wait_for_text("#interfaces-list", "loopback");
    for (width, scheme) in [(1280, "light"), (1280, "dark"), (320, "light"), (320, "dark")] {
        let wide = browser.picture(width, scheme, &picture(&format!("{width}-{scheme}.png")));
        assert_eq!(wide, u64::from(width), "nothing is cut off at the side");
    }
}

fn capture_is_stopped_and_started(browser: &mut Browser) {
    browser.click("#capture-switch");
    browser.click("#dialog-yes");
    browser.wait_for_text("#capture-said", "Stopped.");
    browser.wait_for_text("#source", "stopped on request");
    browser.click("#capture-switch");
    browser.wait_for_text("#capture-said", "Started.");
}

fn packets_are_captured_on_demand(browser: &mut Browser) {
    browser.value("document.querySelector('#captures').open = true");
    browser.write("#captures-filter", "tcp prt 80");
    browser.click("#captures-start");
    browser.wait_for_text("#captures-said", "bad filter");
    browser.write("#captures-filter", "ip");
    browser.write("#captures-seconds", "600");
    browser.click("#captures-start");
    browser.wait_for_text("#captures-said", "has begun");
    browser.click("#captures-list button[aria-label^=Stop]");
    browser.wait_for_text("#captures-list", "ended: stopped");
    browser.click("#captures-list button[aria-label^=Download]");
    browser.wait_for_text("#captures-said", "Saved as tapguard-capture-1.pcapng");
    browser.click("#captures-list button[aria-label^=Delete]");
    browser.wait_for_text("#captures-list", "No capture yet.");
}

#[test]
fn a_browser_listens_to_the_stream_instead_of_asking() {
    let Some(mut browser) = Browser::start() else {
        return skipped("the stream", "chromium is not installed");
    };
    let daemon = Daemon::start(&["demo"]);
    browser.open(daemon.address);
    let http = |daemon: &Daemon| daemon.statistics()["http"].clone();
    let opened = wait_for("the page's stream", || Some(http(&daemon)).filter(|http| http["streams"] == 1));
    let clock = Stopwatch::start();
    let later = wait_for("ten seconds", || (clock.elapsed() > Span::from_secs(10)).then(|| http(&daemon)));
    assert_eq!((&later["streams"], &later["streams_dropped"]), (&1.into(), &0.into()));
    // Devices and flows are asked for each five seconds, what was measured each ten; with alerts and statistics it
    // would be fourteen.
    let asked = later["requests"].as_u64().unwrap() - opened["requests"].as_u64().unwrap();
    assert!((4..=12).contains(&asked), "{asked} requests in ten seconds");
}
