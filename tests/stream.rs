//! The live stream of the running daemon.

use std::io::ErrorKind;
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use serde_json::Value;
use tapguard::sys::clock::Stopwatch;
use tapguard::time::Span;
use tungstenite::client::IntoClientRequest;
use tungstenite::http::HeaderValue;
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::{Error, HandshakeError, Message, WebSocket};

use crate::harness::daemon::Daemon;
use crate::harness::{http, wait_for};

type Stream = WebSocket<TcpStream>;

/// Opens a stream as a page of `origin` does; or the status with which it was refused.
fn open(daemon: &Daemon, origin: &str) -> Result<Stream, u16> {
    let client = TcpStream::connect(daemon.address).unwrap();
    client.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let mut request = format!("ws://{}/api/stream", daemon.address).into_client_request().unwrap();
    request.headers_mut().insert("Origin", HeaderValue::from_str(origin).unwrap());
    match tungstenite::client(request, client) {
        Ok((stream, _)) => Ok(stream),
        Err(HandshakeError::Failure(Error::Http(refusal))) => Err(refusal.status().as_u16()),
        Err(other) => panic!("{other}"),
    }
}

/// How a stream ended: closed by the daemon, with a code where it gave one, or broken.
type End = Result<Option<CloseCode>, Error>;

/// The next message, or how the stream ended.
fn hear(stream: &mut Stream) -> Result<Value, End> {
    loop {
        match stream.read() {
            Ok(Message::Text(text)) => return Ok(serde_json::from_str(&text).unwrap()),
            Ok(Message::Close(frame)) => return Err(Ok(frame.map(|frame| frame.code))),
            Ok(_) => {}
            // A machine that was halted and goes on.
            Err(Error::Io(error)) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(Err(error)),
        }
    }
}

#[test]
fn statistics_and_alerts_come_by_themselves_until_the_daemon_says_goodbye() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store").display().to_string();
    let daemon = Daemon::start(&["demo", "--speed", "1000", "--store", &store]);
    let own = format!("http://{}", daemon.address);
    let mut stream = open(&daemon, &own).unwrap();

    let clock = Stopwatch::start();
    let mut frames = Vec::new();
    let alert = loop {
        let heard = match hear(&mut stream) {
            Ok(heard) => heard,
            Err(end) => panic!("{end:?}, after {frames:?}: {:?}", daemon.stop()),
        };
        match heard["type"].as_str().unwrap() {
            "statistics" => frames.push(heard["capture"]["frames"].as_u64().unwrap_or(0)),
            "alert" => break heard,
            other => panic!("{other}"),
        }
    };
    let seconds = clock.elapsed().as_secs();
    let came = u64::try_from(frames.len()).unwrap();
    assert!((seconds / 2..=seconds + 1).contains(&came), "{came} in {seconds} s");
    assert!(frames.is_sorted() && frames.first() < frames.last(), "{frames:?}");
    // It was told once it was kept.
    let kept = daemon.get(&format!("/api/alerts/{}", alert["id"].as_str().unwrap())).json();
    assert_eq!((&kept["first_seen"], &kept["kind"]), (&alert["first_seen"], &alert["kind"]));

    let listening = thread::spawn(move || {
        loop {
            if let Err(end) = hear(&mut stream) {
                return end;
            }
        }
    });
    let (code, log) = daemon.stop();
    let end = listening.join().unwrap();
    assert!(matches!(end, Ok(Some(CloseCode::Away))), "{end:?}: {log}");
    assert_eq!(code, Some(0), "{log}");
    assert!(!log.contains("did not end in time"), "{log}");
}

#[test]
fn eight_streams_hinder_nobody_and_one_that_does_not_read_is_dropped() {
    let daemon = Daemon::start(&["demo"]);
    let own = format!("http://{}", daemon.address);
    assert_eq!(open(&daemon, "http://evil.example").err(), Some(403));
    let silent = open(&daemon, &own).unwrap();
    let readers: Vec<_> = (0..7)
        .map(|_| {
            let mut stream = open(&daemon, &own).unwrap();
            thread::spawn(move || while hear(&mut stream).is_ok() {})
        })
        .collect();
    assert_eq!(open(&daemon, &own).err(), Some(503), "there are eight places");
    let plain = http::request(daemon.address, "GET", "/api/stream", "", "").unwrap();
    assert_eq!(plain.status, 426, "{}", plain.body);

    // It answers no ping for half a minute; meanwhile everyone else is answered.
    let status = wait_for("the silent stream's end", || {
        let clock = Stopwatch::start();
        let status = daemon.statistics()["http"].clone();
        assert!(clock.elapsed() < Span::from_secs(1), "{}", clock.elapsed());
        (status["streams_dropped"] == 1).then_some(status)
    });
    assert_eq!(status["streams"], 7);
    let metrics = daemon.get("/metrics").body;
    assert!(metrics.contains("\ntapguard_http_streams 7\n"), "{metrics}");
    drop(silent);
    assert_eq!(daemon.stop().0, Some(0));
    for reader in readers {
        reader.join().unwrap();
    }
}
