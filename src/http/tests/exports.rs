//! Exports as their clients meet them.

use std::io::{Read, Write};

use super::fixture::{Answer, BREAKS, Bench, ENDLESS, GIVES_UP, alerts};

const LINES: &str = "/api/export/alerts.jsonl";
const TABLE: &str = "/api/export/alerts.csv";

fn file(answer: &Answer) -> String {
    let (body, ended) = answer.unchunked();
    assert!(ended, "the end is there");
    String::from_utf8(body).unwrap()
}

#[test]
fn lines_hold_every_alert_newest_first() {
    let bench = Bench::new();
    let answer = bench.get(LINES);
    assert_eq!((answer.status, answer.header("Content-Type")), (200, Some("application/jsonl")));
    let name = answer.header("Content-Disposition");
    assert_eq!(name, Some("attachment; filename=\"tapguard-alerts.jsonl\""));
    assert_eq!(answer.header("Cache-Control"), Some("no-store"));
    assert_eq!(answer.header("X-Content-Type-Options"), Some("nosniff"));
    assert_eq!(answer.header("Connection"), Some("close"));
    let told: Vec<serde_json::Value> =
        file(&answer).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(serde_json::to_value(told).unwrap(), serde_json::to_value(alerts()).unwrap());
}

#[test]
fn a_table_has_a_header_and_a_row_for_each_alert_that_is_wanted() {
    let bench = Bench::new();
    let answer = bench.get(TABLE);
    let kind = "text/csv; charset=utf-8; header=present";
    assert_eq!((answer.status, answer.header("Content-Type")), (200, Some(kind)));
    assert!(answer.header("Content-Disposition").unwrap().ends_with("\"tapguard-alerts.csv\""));
    assert!(file(&answer).starts_with("id,event,timestamp,"));
    let said = [
        "2026-03-05T08:00:00.000000Z",
        "'=the press was serviced",
        "false_positive",
        "2026-03-05T08:00:00.000000Z",
        "'=the press was serviced\r\n",
    ];
    assert!(file(&answer).ends_with(&format!(",{}", said.join(","))), "{}", file(&answer));
    for (query, rows) in [
        ("", 3),
        ("?kind=new_device", 1),
        ("?severity=medium", 2),
        ("?open=true", 2),
        ("?open=false&severity=high", 0),
        ("?acknowledged=true", 1),
        ("?acknowledged=false&open=true", 2),
    ] {
        let table = file(&bench.get(&format!("{TABLE}{query}")));
        assert_eq!(csv::Reader::from_reader(table.as_bytes()).records().count(), rows, "{query}");
        let lines = file(&bench.get(&format!("{LINES}{query}")));
        assert_eq!(lines.lines().count(), rows, "{query}");
    }
}

#[test]
fn a_search_that_gives_up_is_gone_on_with() {
    let bench = Bench::new();
    let lines = file(&bench.get(&format!("{LINES}?since={GIVES_UP}")));
    assert_eq!(lines.lines().count(), alerts().len(), "these are older than where it gave up");
    let answer = bench.get(&format!("{LINES}?since=1970-01-01T00:00:00Z"));
    assert_eq!(answer.status, 500);
    answer.problem();
}

#[test]
fn a_file_that_breaks_off_has_no_end() {
    let bench = Bench::new();
    let (body, ended) = bench.get(&format!("{LINES}?since={BREAKS}")).unchunked();
    assert!(!ended, "{}", body.len());
    // The place is free again.
    assert_eq!(bench.get(LINES).status, 200);
}

#[test]
fn the_head_alone_and_old_clients() {
    let bench = Bench::new();
    let head = bench.ask(&format!("HEAD {TABLE} HTTP/1.1\r\nHost: localhost\r\n\r\n"));
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert!(head.header("Content-Disposition").is_some());
    let old = bench.ask(&format!("GET {TABLE} HTTP/1.0\r\nHost: localhost\r\n\r\n"));
    assert_eq!(old.status, 505);
    old.problem();
}

#[test]
fn one_export_at_a_time_and_others_are_answered_meanwhile() {
    let bench = Bench::new();
    let mut endless = bench.connect();
    let request = format!("GET {LINES}?since={ENDLESS} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    endless.write_all(request.as_bytes()).unwrap();
    // It comes while it is made: there is no end to wait for.
    endless.read_exact(&mut vec![0; 200_000]).unwrap();
    let refused = bench.get(TABLE);
    assert_eq!((refused.status, refused.header("Retry-After")), (503, Some("5")));
    refused.problem();
    assert_eq!(bench.get("/api/alerts").status, 200);
    drop(endless);
    let mut tries = (0..10_000).map(|_| bench.get(TABLE).status);
    assert!(tries.any(|status| status == 200), "the place is given back");
}

#[test]
fn a_stop_does_not_wait_for_an_export() {
    let bench = Bench::new();
    let mut endless = bench.connect();
    let request = format!("GET {LINES}?since={ENDLESS} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    endless.write_all(request.as_bytes()).unwrap();
    endless.read_exact(&mut [0; 1_000]).unwrap();
    let reader = std::thread::spawn(move || {
        let mut rest = Vec::new();
        endless.read_to_end(&mut rest).unwrap();
        rest
    });
    drop(bench);
    assert!(!reader.join().unwrap().ends_with(b"\r\n0\r\n\r\n"), "it was broken off");
}
