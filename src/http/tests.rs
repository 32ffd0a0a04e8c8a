//! The server as its clients meet it, over real connections on the loopback interface.

mod captures;
mod exports;
pub(in crate::http) mod fixture;
mod openapi;
mod settings;
mod sources;
mod streams;

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process::{Command as Process, Stdio};

use super::gate::Limits;
use super::view_lists::DevicesAnswer;
use super::{Config, HttpError, Server};
use crate::alert::AlertId;
use crate::control::{Board, CaptureState, DeviceSummary, MqttState, MqttStatus};
use crate::time::Span;
use fixture::{Answer, Bench, ENDLESS, GIVES_UP, NOW, PANICS, alerts, config, judge, meter, store};

const READS: [(&str, &str); 23] = [
    ("/", "text/html; charset=utf-8"),
    ("/style.css", "text/css; charset=utf-8"),
    ("/page.js", "text/javascript; charset=utf-8"),
    ("/dom.js", "text/javascript; charset=utf-8"),
    ("/alerts.js", "text/javascript; charset=utf-8"),
    ("/charts.js", "text/javascript; charset=utf-8"),
    ("/captures.js", "text/javascript; charset=utf-8"),
    ("/settings.js", "text/javascript; charset=utf-8"),
    ("/system.js", "text/javascript; charset=utf-8"),
    ("/icon.svg", "image/svg+xml"),
    ("/openapi.json", "application/json"),
    ("/api/statistics", "application/json"),
    ("/api/history", "application/json"),
    ("/api/alerts", "application/json"),
    ("/api/alerts?limit=2&severity=low&open=true", "application/json"),
    ("/api/flows", "application/json"),
    ("/api/flows?limit=3", "application/json"),
    ("/api/devices", "application/json"),
    ("/api/interfaces", "application/json"),
    ("/api/capture/status", "application/json"),
    ("/api/ml/status", "application/json"),
    ("/healthz", "text/plain; charset=utf-8"),
    ("/metrics", "text/plain; version=0.0.4; charset=utf-8"),
];

#[test]
fn every_path_answers_get_and_head_alike() {
    let bench = Bench::new();
    for (path, kind) in READS {
        let get = bench.get(path);
        assert_eq!((get.status, get.header("Content-Type")), (200, Some(kind)), "{path}");
        assert_eq!(get.header("Content-Length"), Some(get.body.len().to_string().as_str()), "{path}");
        let head = bench.ask(&format!("HEAD {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"));
        assert_eq!(
            (head.status, head.header("Content-Type"), head.body.len()),
            (200, Some(kind), 0),
            "{path}"
        );
    }
}

#[test]
fn paths_and_methods_that_are_not_there_are_told_so() {
    let bench = Bench::new();
    for path in ["/nothing", "/api", "/api/alerts/", "/api/alerts/a/b", "//", "/index.html", "/../etc/passwd"]
    {
        let expected = if path == "/api/alerts/" { 400 } else { 404 };
        let answer = bench.get(path);
        assert_eq!(answer.status, expected, "{path}");
        answer.problem();
    }
    for (method, path, allow) in [
        ("POST", "/api/alerts", "GET, HEAD"),
        ("DELETE", "/", "GET, HEAD"),
        ("OPTIONS", "/metrics", "GET, HEAD"),
        ("PUT", "/api/ml/baseline/start", "POST"),
        ("GET", "/api/ml/baseline/start", "POST"),
        ("BREW", "/", "GET, HEAD"),
        ("DELETE", "/api/export/alerts.csv", "GET, HEAD"),
    ] {
        let answer = bench.ask(&format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"));
        assert_eq!((answer.status, answer.header("Allow")), (405, Some(allow)), "{method} {path}");
        answer.problem();
    }
}

#[test]
fn statistics_carry_what_the_daemon_measured() {
    let bench = Bench::new();
    let all = bench.json("/api/statistics");
    assert_eq!(all["tap"]["name"], "workshop");
    assert_eq!(all["tap"]["started"], "2026-03-05T08:00:00.000000Z");
    assert_eq!(all["capture"]["kind"], "interface");
    assert_eq!(all["capture"]["why"], "chosen: the only interface with traffic of others");
    assert_eq!(all["capture"]["state"], "running");
    assert_eq!(all["capture"]["last_packet_age_seconds"], 0.0);
    assert_eq!(all["traffic"]["packets_per_second"], 1204.5);
    assert_eq!(all["traffic"]["faults"][0]["reason"], "truncated");
    let decoding = &all["traffic"]["decoding"];
    assert_eq!(decoding["unknown"][1], serde_json::json!({"kind": "ip", "number": 2, "packets": 981}));
    assert_eq!(decoding["tunnels"][0]["ends"], serde_json::json!(["192.0.2.1", "192.0.2.9"]));
    assert_eq!(decoding["tunnels"][0]["mirror"], true);
    assert_eq!(decoding["tunnel_packets"]["erspan"], 70_000);
    assert_eq!(decoding["fragments"]["overlaps"], 2);
    let drops = serde_json::json!({"kernel": 12, "interface": 3, "observations": 4, "events": 6, "flows_evicted": 5,
        "devices_evicted": 0, "streams_refused": 0, "devices_untracked": 1, "outbox": 0, "alerts_lost": 0, "store_writes": 0, "store_refused": 0,
        "store_unreadable": 0, "connections_refused": 0, "stream_alerts": 0});
    assert_eq!(all["drops"], drops);
    assert_eq!(all["devices"]["new"], 1);
    assert_eq!(all["baseline"]["phase"], "armed");
    assert_eq!(all["baseline"]["remaining_seconds"], serde_json::Value::Null);
    assert_eq!(all["model"]["held_out_windows"], 3168);
    assert_eq!(all["alerts"]["raised"]["port_scan"], 1);
    assert_eq!(all["threat"], "high");
    assert_eq!(all["store"]["size_bytes"], 6_710_886);
    assert_eq!(all["mqtt"], serde_json::Value::Null);
    assert!(all["process"]["resident_bytes"].as_u64().unwrap() > 0);
    bench.board.mqtt.publish(MqttStatus {
        broker: "broker:1883".to_owned(),
        state: MqttState::Waiting("connection refused".to_owned()),
        connects: 0,
        delivered: 0,
    });
    assert_eq!(bench.json("/api/statistics")["mqtt"]["error"], "connection refused");
}

#[test]
fn what_nobody_has_published_is_null_and_not_zero() {
    let bench = Bench::silent();
    let all = bench.json("/api/statistics");
    for part in
        ["capture", "traffic", "flows", "devices", "baseline", "model", "alerts", "threat", "store", "mqtt"]
    {
        assert!(all[part].is_null(), "{part}");
    }
    assert!(all["drops"]["kernel"].is_null() && all["drops"]["outbox"].is_null());
    assert_eq!(bench.json("/api/flows")["flows"], serde_json::json!([]));
    assert!(bench.json("/api/devices")["counts"].is_null());
    let metrics = bench.get("/metrics").text();
    assert!(!metrics.contains("tapguard_packets_total") && metrics.contains("tapguard_build_info"));
}

#[test]
fn alerts_are_listed_newest_first_and_page_by_page() {
    let bench = Bench::new();
    let all = bench.json("/api/alerts");
    assert_eq!(all["alerts"], serde_json::to_value(alerts()).unwrap());
    assert!(all["next_before"].is_null());
    let first = bench.json("/api/alerts?limit=2");
    let next = first["next_before"].as_str().unwrap();
    assert_eq!(first["alerts"][1]["id"], next);
    let rest = bench.json(&format!("/api/alerts?limit=2&before={next}"));
    assert_eq!(rest["alerts"][0]["event"], "cleared");
    assert!(rest["next_before"].is_null());
    assert_eq!(bench.json("/api/alerts?kind=new_device")["alerts"].as_array().unwrap().len(), 1);
    assert_eq!([&all["complete"], &first["complete"]], [true, true]);
    let unfinished = bench.json(&format!("/api/alerts?since={GIVES_UP}"));
    assert_eq!((&unfinished["alerts"], &unfinished["complete"]), (&serde_json::json!([]), &false.into()));
    assert_eq!(unfinished["next_before"], AlertId::new(NOW, 1).to_string());

    let id = &alerts()[0].id;
    assert_eq!(bench.json(&format!("/api/alerts/{id}")), serde_json::to_value(&alerts()[0]).unwrap());
    assert_eq!(bench.get("/api/alerts/000000000000000000000000").status, 404);
    assert_eq!(bench.get("/api/alerts/latest").status, 400);
}

#[test]
fn lists_of_flows_and_devices_are_cut_at_their_limit() {
    let bench = Bench::new();
    let flows = bench.json("/api/flows?limit=3");
    assert_eq!(flows["flows"].as_array().unwrap().len(), 3);
    assert_eq!(flows["counts"]["active"], 412);
    let devices = bench.json("/api/devices?limit=2");
    let names: Vec<_> = devices["devices"].as_array().unwrap().iter().map(|d| d["name"].as_str()).collect();
    assert_eq!(names, [Some("Televisor"), Some("router.example")], "seen last, newest first");
    assert_eq!(devices["devices"][1]["router"], true);
    assert_eq!(devices["devices"][0]["now"]["packets_per_second"], 12.346);
}

#[test]
fn interfaces_are_listed_with_the_choice_among_them() {
    let answer = Bench::new().json("/api/interfaces");
    let interfaces = answer["interfaces"].as_array().unwrap();
    let local = interfaces.iter().find(|i| i["addresses"].as_array().unwrap().contains(&"127.0.0.1".into()));
    assert_eq!(local.unwrap()["medium"], "loopback");
    if let Some(name) = answer["auto"]["name"].as_str() {
        assert!(interfaces.iter().any(|i| i["name"] == name && i["medium"] != "loopback"));
    }
}

#[test]
fn parameters_that_are_not_understood_are_refused_by_name() {
    let bench = Bench::new();
    for (path, name) in [
        ("/api/alerts?limit=501", "limit"),
        ("/api/alerts?colour=red", "colour"),
        ("/api/statistics?a=b", "\"a\""),
        ("/api/flows?limit=257", "limit"),
        ("/api/devices?since=now", "since"),
        ("/healthz?verbose", "verbose"),
        ("/api/interfaces?up=true", "up"),
        ("/api/export/alerts.csv?before=000000000000000000000000", "before"),
    ] {
        let answer = bench.get(path);
        assert_eq!(answer.status, 400, "{path}");
        assert!(answer.problem().contains(name), "{path}");
    }
}

#[test]
fn an_archive_that_cannot_be_read_is_not_explained_to_strangers() {
    let bench = Bench::new();
    let answer = bench.get("/api/alerts?since=1970-01-01T00:00:00Z");
    assert_eq!(answer.status, 500);
    assert!(!answer.problem().contains("secret-path"));
}

#[test]
fn health_says_what_is_wrong() {
    let bench = Bench::silent();
    let check = |status, text: &str| {
        let answer = bench.get("/healthz");
        assert_eq!((answer.status, answer.text().as_str()), (status, text));
    };
    check(503, "capture: nothing published yet\n");
    bench.board.meter.publish(meter());
    check(200, "ok\n");
    let mut stopped = meter();
    stopped.capture.state = CaptureState::Stopped;
    bench.board.meter.publish(stopped);
    check(200, "ok\ncapture: stopped on request\n");
    assert_eq!(bench.json("/api/capture/status")["capture"]["state"], "stopped");
    let metrics = bench.get("/metrics").text();
    assert!(metrics.contains("\ntapguard_capture_up 0\n"), "{metrics}");
    assert!(metrics.contains("\ntapguard_capture_state{state=\"stopped\"} 1\n"), "{metrics}");
    let mut waiting = meter();
    waiting.capture.state = CaptureState::Waiting("the interface is gone".to_owned());
    bench.board.meter.publish(waiting);
    check(503, "capture: waiting for eth1: the interface is gone\n");
    let mut failing = store();
    failing.failing = Some("no space left on device".to_owned());
    bench.board.store.publish(failing);
    let complaints = "capture: waiting for eth1: the interface is gone\nstore: no space left on device";
    check(503, &format!("{complaints}\n"));
    let lines: Vec<&str> = complaints.lines().collect();
    assert_eq!(bench.json("/api/statistics")["complaints"], serde_json::json!(lines));
}

#[test]
fn what_the_store_loses_is_shown_everywhere() {
    let bench = Bench::new();
    assert!(bench.get("/metrics").text().contains("\ntapguard_store_writable 1\n"));
    let mut losing = store();
    losing.failing = Some("no space left on device".to_owned());
    (losing.alerts_lost, losing.write_errors, losing.refused_writes) = (7, 8, 9);
    bench.board.store.publish(losing);
    let all = bench.json("/api/statistics");
    assert_eq!(all["store"]["failing"], "no space left on device");
    let drops = &all["drops"];
    assert_eq!([&drops["alerts_lost"], &drops["store_writes"], &drops["store_refused"]], [7, 8, 9]);
    let text = bench.get("/metrics").text();
    for line in [
        "tapguard_store_writable 0",
        "tapguard_store_lost_alerts_total 7",
        "tapguard_store_write_errors_total 8",
        "tapguard_store_refused_writes_total 9",
    ] {
        assert!(text.lines().any(|l| l == line), "{line} is missing in\n{text}");
    }
}

#[test]
fn a_baseline_is_started_with_the_token_alone() {
    let mut bench = Bench::new();
    let obeyed = bench.obey();
    let bare = bench.start_baseline("", "");
    assert_eq!((bare.status, bare.header("WWW-Authenticate")), (401, Some("Bearer realm=\"tapguard\"")));
    let wrong = bench.start_baseline("Authorization: Bearer aaaa\r\n", "");
    assert_eq!(wrong.status, 401);
    assert!(wrong.header("WWW-Authenticate").unwrap().contains("invalid_token"));
    assert_eq!(bench.start_baseline("Authorization: Basic YTpi\r\n", "").status, 401);

    let bearer = bench.bearer();
    let started = bench.start_baseline(&bearer, "{\"duration_seconds\": 600}");
    assert_eq!(
        (started.status, started.text().as_str()),
        (202, "{\"phase\":\"learning\",\"duration_seconds\":600}")
    );
    assert_eq!(bench.start_baseline(&bearer, "").status, 202);
    assert_eq!(bench.start_baseline(&bearer, "{\"duration_seconds\": 5}").status, 422);
    assert_eq!(bench.start_baseline(&bearer, "{\"seconds\": 5}").status, 400);
    let untyped = format!("Authorization: Bearer {}\r\n", bench.token.as_str());
    assert_eq!(bench.start_baseline(&untyped, "{}").status, 415);

    let metrics = bench.board_after_beat();
    assert_eq!(metrics.unauthorised, 3);
    drop(bench);
    assert_eq!(obeyed.join().unwrap(), [Some(Span::from_secs(600)), None]);
}

#[test]
fn pages_of_other_sites_cannot_write() {
    let mut bench = Bench::new();
    let obeyed = bench.obey();
    let bearer = bench.bearer();
    for line in [
        "Sec-Fetch-Site: cross-site\r\n",
        "Sec-Fetch-Site: same-site\r\n",
        "Origin: http://evil.example\r\n",
        "Origin: null\r\n",
        "Origin: http://localhost.evil.example\r\n",
    ] {
        assert_eq!(bench.start_baseline(&format!("{bearer}{line}"), "{}").status, 403, "{line}");
    }
    let own = format!("{bearer}Origin: http://localhost\r\nSec-Fetch-Site: same-origin\r\n");
    assert_eq!(bench.start_baseline(&own, "{}").status, 202);
    drop(bench);
    assert_eq!(obeyed.join().unwrap().len(), 1);
}

#[test]
fn many_wrong_tokens_are_told_to_wait_and_the_right_one_still_works() {
    let mut bench = Bench::new();
    let obeyed = bench.obey();
    for _ in 0..10 {
        assert_eq!(bench.start_baseline("Authorization: Bearer wrong\r\n", "").status, 401);
    }
    let eleventh = bench.start_baseline("Authorization: Bearer wrong\r\n", "");
    assert_eq!(eleventh.status, 429);
    let wait: u64 = eleventh.header("Retry-After").unwrap().parse().unwrap();
    assert!((1..=61).contains(&wait));
    let bearer = bench.bearer();
    assert_eq!(bench.start_baseline(&bearer, "").status, 202);
    drop(bench);
    assert_eq!(obeyed.join().unwrap(), [None]);
}

#[test]
fn a_daemon_that_does_not_take_commands_says_so() {
    let mut bench = Bench::new();
    drop(bench.commands.take());
    let bearer = bench.bearer();
    let answer = bench.start_baseline(&bearer, "");
    assert_eq!((answer.status, answer.problem().as_str()), (503, "the daemon is stopping"));
}

#[test]
fn only_our_own_names_are_answered() {
    let bench = Bench::new();
    for (host, status) in [
        ("localhost", 200),
        ("LOCALHOST:8080", 200),
        ("tap.localhost:1", 200),
        ("127.0.0.1:8080", 200),
        ("192.0.2.7", 200),
        ("[::1]:8080", 200),
        ("tap.example:8080", 200),
        ("evil.example", 421),
        ("tap.example.evil.example", 421),
        ("127.0.0.1.evil.example", 421),
        ("[::1", 421),
        ("", 421),
    ] {
        let answer = bench.ask(&format!("GET /api/devices HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        assert_eq!(answer.status, status, "{host}");
    }
    assert_eq!(bench.ask("GET / HTTP/1.1\r\n\r\n").status, 400);
    assert_eq!(bench.ask("GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n").status, 400);
    assert_eq!(bench.ask("GET / HTTP/1.0\r\n\r\n").status, 200);
    assert_eq!(bench.ask("GET http://localhost/ HTTP/1.1\r\nHost: localhost\r\n\r\n").status, 400);
}

#[test]
fn security_headers_are_on_everything() {
    let bench = Bench::new();
    let tag = bench.get("/").header("ETag").unwrap().to_owned();
    let known = format!("GET / HTTP/1.1\r\nHost: localhost\r\nIf-None-Match: {tag}\r\n\r\n");
    let requests = [
        ("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", 200),
        (known.as_str(), 304),
        ("GET /api/statistics HTTP/1.1\r\nHost: localhost\r\n\r\n", 200),
        ("GET /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
        ("POST /api/ml/baseline/start HTTP/1.1\r\nHost: localhost\r\n\r\n", 401),
        ("GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n", 421),
        ("nonsense\r\n\r\n", 400),
    ];
    for (request, status) in requests {
        let answer = bench.ask(request);
        assert_eq!(answer.status, status, "{request}");
        for (name, value) in [
            ("X-Content-Type-Options", "nosniff"),
            ("Referrer-Policy", "no-referrer"),
            ("Cross-Origin-Opener-Policy", "same-origin"),
            ("Server", "tapguard"),
            ("Connection", "close"),
        ] {
            assert_eq!(answer.header(name), Some(value), "{request}");
        }
        let policy = answer.header("Content-Security-Policy").unwrap();
        assert!(policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self'"), "{request}");
    }
}

#[test]
fn assets_come_compressed_and_once() {
    let bench = Bench::new();
    for (path, ..) in &READS[..5] {
        let ask = |lines: &str| bench.ask(&format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n"));
        let plain = ask("");
        let zipped = ask("Accept-Encoding: br, gzip\r\n");
        assert_eq!(
            (zipped.header("Content-Encoding"), plain.header("Content-Encoding")),
            (Some("gzip"), None)
        );
        assert_eq!(zipped.header("Vary"), Some("Accept-Encoding"));
        assert_eq!(zipped.header("Cache-Control"), Some("no-cache"));
        let mut unpacked = Vec::new();
        flate2::read::GzDecoder::new(&zipped.body[..]).read_to_end(&mut unpacked).unwrap();
        assert_eq!(unpacked, plain.body, "{path}");

        let (plain_tag, zipped_tag) = (plain.header("ETag").unwrap(), zipped.header("ETag").unwrap());
        assert_ne!(plain_tag, zipped_tag, "two forms are two tags");
        let again = ask(&format!("Accept-Encoding: gzip\r\nIf-None-Match: {zipped_tag}\r\n"));
        assert_eq!((again.status, again.body.len(), again.header("ETag")), (304, 0, Some(zipped_tag)));
        assert_eq!(ask(&format!("If-None-Match: {zipped_tag}\r\n")).status, 200);
    }
}

#[test]
fn what_is_too_large_or_no_request_is_refused_and_the_daemon_lives() {
    let bench = Bench::new();
    let url = "a".repeat(2_100);
    let header = "a".repeat(9_000);
    for (request, status) in [
        (format!("GET /{url} HTTP/1.1\r\nHost: localhost\r\n\r\n"), 414),
        (format!("GET / HTTP/1.1\r\nHost: localhost\r\nX: {header}\r\n\r\n"), 431),
        ("GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9999999999999\r\n\r\n".to_owned(), 413),
        ("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 65537\r\n\r\n".to_owned(), 413),
        ("POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".to_owned(), 411),
        ("GET / HTTP/2.0\r\nHost: localhost\r\n\r\n".to_owned(), 505),
        ("\u{16}\u{3}\u{1}\r\n\r\n".to_owned(), 400),
    ] {
        let answer = bench.ask(&request);
        assert_eq!(answer.status, status, "{:.60}", request);
        answer.problem();
    }
    assert_eq!(bench.board_after_beat().refused, 7);
    assert_eq!(bench.get("/healthz").status, 200);
}

#[test]
fn a_client_that_waits_for_leave_to_send_its_body_gets_it() {
    let mut bench = Bench::new();
    let obeyed = bench.obey();
    let body = format!("{{\"duration_seconds\": 60{}}}", " ".repeat(2_000));
    let mut client = bench.connect();
    let head = format!(
        "POST /api/ml/baseline/start HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n{}Expect: 100-continue\r\n\r\n",
        body.len(),
        bench.bearer()
    );
    client.write_all(head.as_bytes()).unwrap();
    let mut leave = [0; 25];
    client.read_exact(&mut leave).unwrap();
    assert_eq!(&leave, b"HTTP/1.1 100 Continue\r\n\r\n");
    client.write_all(body.as_bytes()).unwrap();
    assert_eq!(Answer::read(&mut client).status, 202);
    drop(bench);
    assert_eq!(obeyed.join().unwrap(), [Some(Span::from_secs(60))]);
}

fn impatient() -> Bench {
    let limits = Limits {
        connections: 4,
        request: Span::from_millis(1500),
        reply: Span::from_secs(2),
        ..Limits::default()
    };
    Bench::within(limits, &config())
}

#[test]
fn a_slow_client_is_told_and_a_silent_one_is_closed() {
    let bench = impatient();
    let mut slow = bench.connect();
    slow.write_all(b"GET / HT").unwrap();
    let mut silent = bench.connect();
    let mut short_body = bench.connect();
    short_body.write_all(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n123").unwrap();
    assert_eq!(bench.get("/healthz").status, 200, "others are answered meanwhile");
    assert_eq!(Answer::read(&mut slow).status, 408);
    assert_eq!(Answer::read(&mut short_body).status, 408);
    assert_eq!(silent.read(&mut [0; 8]).unwrap(), 0);
}

#[test]
fn half_open_connections_keep_nobody_out() {
    let bench = impatient();
    let mut idle: Vec<TcpStream> = (0..4).map(|_| bench.connect()).collect();
    for _ in 0..9 {
        assert_eq!(bench.get("/healthz").status, 200, "whoever asks is let in");
    }
    let turned_away = Answer::read(&mut idle[0]);
    assert_eq!((turned_away.status, turned_away.header("Retry-After")), (503, Some("2")));
    assert!(bench.board_after_beat().refused >= 1);
}

#[test]
fn a_client_that_does_not_read_gives_way() {
    let bench = Bench::within(Limits { connections: 1, ..Limits::default() }, &config());
    let mut slow = bench.connect();
    let line = format!("GET /api/export/alerts.jsonl?since={ENDLESS} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    slow.write_all(line.as_bytes()).unwrap();
    slow.read_exact(&mut [0; 8]).unwrap();
    // Until its buffers are full, it is being served.
    let clock = crate::sys::clock::Stopwatch::start();
    while bench.get("/healthz").status == 503 {
        assert!(clock.elapsed() < Span::from_secs(10));
    }
}

#[test]
fn clients_that_do_not_read_do_not_keep_the_workers() {
    let bench = Bench::new();
    let mut meter = meter();
    // Far more than all buffers on the way hold.
    let devices = meter.devices.iter().cycle().take(DevicesAnswer::MAX_LIMIT);
    meter.devices = devices.map(|d| DeviceSummary { name: Some("n".repeat(4_000)), ..d.clone() }).collect();
    bench.board.meter.publish(meter);
    let slow: Vec<_> = (0..Server::WORKERS)
        .map(|_| {
            let mut client = bench.connect();
            client.write_all(b"GET /api/devices HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
            client.read_exact(&mut [0; 8]).unwrap();
            client
        })
        .collect();
    let clock = crate::sys::clock::Stopwatch::start();
    assert_eq!(bench.get("/healthz").status, 200);
    assert!(clock.elapsed() < Span::from_secs(8), "{}", clock.elapsed());
    drop(slow);
}

#[test]
fn clients_that_vanish_harm_nobody() {
    let bench = Bench::new();
    for _ in 0..20 {
        let mut client = bench.connect();
        client.write_all(b"GET /page.js HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
        // Closing with no time to linger resets the connection.
        socket2::SockRef::from(&client).set_linger(Some(std::time::Duration::ZERO)).unwrap();
    }
    let half = bench.connect();
    half.shutdown(Shutdown::Write).unwrap();
    assert_eq!(bench.get("/healthz").status, 200);
    assert_eq!(bench.board_after_beat().restarts, 0);
}

#[test]
fn a_panic_ends_one_request_and_is_counted() {
    let bench = Bench::new();
    // More often than there are workers.
    for _ in 0..4 {
        let answer = bench.get(&format!("/api/alerts/{PANICS}"));
        assert_eq!(answer.status, 500);
        answer.problem();
    }
    assert_eq!(bench.get("/healthz").status, 200);
    assert_eq!(bench.board_after_beat().restarts, 4);
}

#[test]
fn a_dead_listener_is_replaced() {
    let bench = Bench::new();
    let dead = std::sync::Arc::new(super::door::Door::walled_up());
    bench.server.gate().set_door(dead);
    let mut tries = (0..10_000).map(|_| bench.get("/healthz").status).skip_while(|&status| status == 503);
    assert_eq!(tries.next(), Some(200));
    assert_eq!(bench.board_after_beat().restarts, 1);
}

#[test]
fn a_stop_ends_everything_in_time() {
    let bench = Bench::silent();
    let server = bench.second(&config()).unwrap();
    let address = server.address();
    let door = server.gate().door();
    drop(door.open().unwrap());
    let idle = TcpStream::connect(address).unwrap();
    let clock = crate::sys::clock::Stopwatch::start();
    server.stop(Span::from_secs(9));
    assert!(clock.elapsed() < Span::from_secs(9), "an idle connection does not hold up the stop");
    assert_eq!(TcpStream::connect(address).unwrap_err().kind(), ErrorKind::ConnectionRefused);
    drop(idle);
    // tiny_http's own thread ends a moment later.
    let mut tries = (0..10_000).map(|_| door.open().map_err(|error| error.kind()).err());
    assert!(tries.any(|refused| refused == Some(ErrorKind::ConnectionRefused)), "the listener has gone");
}

#[test]
fn an_address_that_cannot_be_had_is_named_with_the_remedy() {
    let bench = Bench::new();
    let taken = bench.server.address();
    let error = bench.second(&Config { listen: taken, ..config() }).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("cannot listen on {taken}: another program uses this port; choose another in http.listen")
    );
    let error = bench.second(&Config { listen: "192.0.2.1:8080".parse().unwrap(), ..config() }).unwrap_err();
    assert!(matches!(error, HttpError::NoSuchAddress { .. }), "{error}");
}

#[test]
fn metrics_follow_the_naming_rules() {
    let bench = Bench::new();
    bench.board.mqtt.publish(MqttStatus {
        broker: "broker:1883".to_owned(),
        state: MqttState::Connected,
        connects: 1,
        delivered: 3,
    });
    let text = bench.get("/metrics").text();
    let mut family = String::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["#", "HELP", name, ..] => family = name.to_owned(),
            ["#", "TYPE", name, kind] => {
                assert_eq!(name, family, "type follows help");
                assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
                assert!(kind == "counter" || kind == "gauge");
            }
            _ => {
                let (sample, value) = line.rsplit_once(' ').unwrap();
                assert_eq!(sample.split('{').next(), Some(family.as_str()), "{line}");
                assert!(sample.starts_with("tapguard_") && value.parse::<f64>().is_ok(), "{line}");
            }
        }
    }
    for line in [
        "tapguard_packets_total 1204311",
        "tapguard_capture_dropped_frames_total{where=\"kernel\"} 12",
        "tapguard_baseline_phase{phase=\"armed\"} 1",
        "tapguard_baseline_phase{phase=\"learning\"} 0",
        "tapguard_alerts_raised_total{kind=\"port_scan\"} 1",
        "tapguard_threat{severity=\"high\"} 1",
        "tapguard_mqtt_connected 1",
        "tapguard_build_info{version=\"0.1.0\",tap=\"workshop\"} 1",
    ] {
        assert!(text.lines().any(|l| l == line), "{line} is missing in\n{text}");
    }
    for private in ["10.10.10", "00:1a", "Televisor", "40001"] {
        assert!(!text.contains(private), "{private} is no label");
    }
    promtool_agrees(&text);
}

#[test]
fn open_metrics_is_for_those_who_ask() {
    let bench = Bench::new();
    let answer = bench.ask(
        "GET /metrics HTTP/1.1\r\nHost: localhost\r\nAccept: application/openmetrics-text; version=1.0.0,*/*;q=0.1\r\n\r\n",
    );
    assert_eq!(
        answer.header("Content-Type"),
        Some("application/openmetrics-text; version=1.0.0; charset=utf-8")
    );
    let text = answer.text();
    assert!(
        text.ends_with("# EOF\n")
            && text.contains("# TYPE tapguard_packets counter\ntapguard_packets_total ")
    );
}

/// Prometheus's own check, where it is installed.
fn promtool_agrees(text: &str) {
    let promtool = Process::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut promtool) = promtool else {
        println!("SKIPPED: promtool is not installed, its check of the metrics was not made");
        return;
    };
    promtool.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success() && said.is_empty(), "{said}");
}

#[test]
fn a_judge_that_falls_silent_is_noticed() {
    let health = super::health::Health::default();
    let board = Board::default();
    let at = |seconds| {
        board.meter.publish(meter());
        health.complaints(&board.status(), Span::from_secs(seconds))
    };
    assert_eq!(at(60), Vec::<String>::new());
    assert_eq!(at(61), ["judge: nothing published for 61 s"]);
    board.judge.publish(judge());
    assert_eq!(at(62), Vec::<String>::new());
    assert_eq!(at(122), Vec::<String>::new());
    assert_eq!(at(123), ["judge: nothing published for 61 s"]);
}

#[test]
fn a_meter_that_falls_silent_is_noticed() {
    let health = super::health::Health::default();
    let board = Board::default();
    board.meter.publish(meter());
    board.judge.publish(judge());
    let at = |seconds| health.complaints(&board.status(), Span::from_secs(seconds));
    assert_eq!(at(1), Vec::<String>::new());
    assert_eq!(at(16), Vec::<String>::new());
    assert_eq!(at(17), ["capture: nothing published for 16 s"]);
    board.meter.publish(meter());
    assert_eq!(at(18), Vec::<String>::new());
    let mut ended = meter();
    ended.capture.state = CaptureState::Ended;
    board.meter.publish(ended);
    assert_eq!(at(1_000), Vec::<String>::new(), "a file that was read to its end is well");
}

#[test]
fn a_store_that_cannot_write_is_complained_of_for_as_long_as_that_is_so() {
    let health = super::health::Health::default();
    let board = Board::default();
    let mut end = meter();
    end.capture.state = CaptureState::Ended;
    board.meter.publish(end);
    let at = |seconds| health.complaints(&board.status(), Span::from_secs(seconds));
    let mut failing = store();
    failing.write_errors = 2;
    failing.last_error = Some("disk full".to_owned());
    failing.failing.clone_from(&failing.last_error);
    board.store.publish(failing.clone());
    assert_eq!(at(5), ["store: disk full"]);
    assert_eq!(at(5_000), ["store: disk full"]);
    failing.failing = None;
    board.store.publish(failing);
    assert_eq!(at(5_001), Vec::<String>::new(), "what has passed is history");
}
