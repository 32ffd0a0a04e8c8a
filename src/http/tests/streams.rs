//! Live streams as their clients meet them.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;
use tungstenite::client::IntoClientRequest;
use tungstenite::http::{HeaderValue, Response};
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::protocol::{Message, WebSocket};
use tungstenite::{Error, HandshakeError};

use super::fixture::{Answer, Bench, alerts, config};
use crate::http::gate::Limits;
use crate::http::stream::StreamLimits;
use crate::sys::clock::Stopwatch;
use crate::time::Span;

type Refusal = Box<Response<Option<Vec<u8>>>>;

/// Asks for a stream, with one more header.
fn ask(bench: &Bench, header: Option<(&'static str, &str)>) -> Result<WebSocket<TcpStream>, Refusal> {
    let client = bench.connect();
    let mut request = format!("ws://{}/api/stream", bench.server.address()).into_client_request().unwrap();
    if let Some((name, value)) = header {
        request.headers_mut().insert(name, HeaderValue::from_str(value).unwrap());
    }
    match tungstenite::client(request, client) {
        Ok((socket, _)) => Ok(socket),
        Err(HandshakeError::Failure(Error::Http(refusal))) => Err(refusal),
        Err(other) => panic!("{other}"),
    }
}

fn open(bench: &Bench) -> WebSocket<TcpStream> {
    ask(bench, None).unwrap()
}

/// The next message; pings are answered on the way.
fn hear(socket: &mut WebSocket<TcpStream>) -> Value {
    loop {
        if let Message::Text(text) = socket.read().unwrap() {
            return serde_json::from_str(&text).unwrap();
        }
    }
}

fn hear_of(kind: &str, socket: &mut WebSocket<TcpStream>) -> Value {
    let clock = Stopwatch::start();
    loop {
        assert!(clock.elapsed() < Span::from_secs(60), "waited a minute for {kind}");
        let heard = hear(socket);
        if heard["type"] == kind {
            return heard;
        }
    }
}

/// Reads to the end; gives the code of the server's close, none where it just ended.
fn last_word(socket: &mut WebSocket<TcpStream>) -> Option<CloseCode> {
    let mut code = None;
    loop {
        match socket.read() {
            Ok(Message::Close(frame)) => code = frame.map(|frame| frame.code),
            Ok(_) => {}
            Err(_) => return code,
        }
    }
}

/// Two streams and three seats.
fn small(ping: Span) -> Bench {
    let stream = StreamLimits { streams: 2, ping };
    Bench::within(Limits { connections: 3, stream, ..Limits::default() }, &config())
}

#[test]
fn statistics_come_at_once_and_each_second() {
    let bench = Bench::new();
    let mut socket = open(&bench);
    let clock = Stopwatch::start();
    let mut first = hear(&mut socket);
    assert!(clock.elapsed() < Span::from_millis(900));
    let mut second = hear(&mut socket);
    let pause = clock.elapsed();
    assert!((Span::from_millis(900)..Span::from_secs(3)).contains(&pause), "{pause}");
    let asked = bench.json("/api/statistics");
    for heard in [&mut first, &mut second] {
        assert_eq!(heard["type"], "statistics");
        heard.as_object_mut().unwrap().remove("type");
        assert!(heard.as_object().unwrap().keys().eq(asked.as_object().unwrap().keys()));
        assert_eq!((&heard["traffic"], &heard["baseline"]), (&asked["traffic"], &asked["baseline"]));
    }
}

#[test]
fn an_alert_is_told_at_once_to_all() {
    let bench = Bench::new();
    let mut sockets = [open(&bench), open(&bench)];
    for socket in &mut sockets {
        hear_of("statistics", socket);
    }
    let record = alerts().remove(0);
    bench.feed.publish(record.clone());
    let clock = Stopwatch::start();
    for socket in &mut sockets {
        let mut heard = hear_of("alert", socket);
        heard.as_object_mut().unwrap().remove("type");
        assert_eq!(heard, serde_json::to_value(&record).unwrap());
    }
    assert!(clock.elapsed() < Span::from_millis(800), "{}", clock.elapsed());
}

#[test]
fn only_a_handshake_in_order_becomes_a_stream() {
    let bench = Bench::new();
    let own = format!("http://{}", bench.server.address());
    assert!(ask(&bench, Some(("Origin", &own))).is_ok());
    for (name, value, status) in [
        ("Origin", "http://evil.example", 403),
        ("Origin", "null", 403),
        ("Host", "evil.example", 421),
        ("Sec-WebSocket-Version", "8", 426),
        ("Sec-WebSocket-Key", "short==", 400),
        ("Sec-WebSocket-Key", "????????????????????????", 400),
    ] {
        let refusal = ask(&bench, Some((name, value))).unwrap_err();
        assert_eq!(refusal.status(), status, "{name}: {value}");
        assert_eq!(refusal.headers()["Content-Type"], "application/problem+json");
    }
    let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    for (request, status) in [
        ("GET /api/stream HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned(), 426),
        (format!("GET /api/stream HTTP/1.0\r\nHost: localhost\r\n{upgrade}\r\n"), 426),
        (format!("GET /api/stream?since=now HTTP/1.1\r\nHost: localhost\r\n{upgrade}\r\n"), 400),
        (format!("POST /api/stream HTTP/1.1\r\nHost: localhost\r\n{upgrade}\r\n"), 405),
        (format!("GET /api/statistics HTTP/1.1\r\nHost: localhost\r\n{upgrade}\r\n"), 200),
    ] {
        let answer = bench.ask(&request);
        assert_eq!(answer.status, status, "{request}");
        let offered = (status == 426).then_some("websocket");
        assert_eq!(answer.header("Upgrade"), offered, "{request}");
        assert_eq!(answer.header("Sec-WebSocket-Version"), offered.map(|_| "13"), "{request}");
    }
}

#[test]
fn one_stream_too_many_is_told_to_come_back_and_the_others_do_not_hinder_requests() {
    let bench = small(Span::from_secs(60));
    let mut sockets = vec![open(&bench), open(&bench)];
    let refusal = ask(&bench, None).unwrap_err();
    assert_eq!((refusal.status().as_u16(), &refusal.headers()["Retry-After"]), (503, &"2".parse().unwrap()));
    // There are three seats, and streams take none of them.
    let idle = [bench.connect(), bench.connect()];
    assert_eq!(bench.get("/healthz").status, 200);
    assert_eq!(bench.board_after_beat().streams, 2);
    assert!(bench.get("/metrics").text().contains("\ntapguard_http_streams 2\n"));
    drop(idle);
    sockets.pop().unwrap().close(None).unwrap();
    let mut tries = (0..1_000).filter_map(|_| ask(&bench, None).ok());
    hear_of("statistics", &mut tries.next().unwrap());
    hear_of("statistics", &mut sockets[0]);
}

#[test]
fn one_address_with_all_streams_gives_way_to_another() {
    let bench = small(Span::from_secs(60));
    let open_from = |host: u8| {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from(([127, 0, 0, host], 0)).into()).unwrap();
        socket.connect(&bench.server.address().into()).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let url = format!("ws://{}/api/stream", bench.server.address());
        tungstenite::client(url, TcpStream::from(socket)).ok().map(|(socket, _)| socket)
    };
    let [mut first, mut second] = [2, 2].map(|host| open_from(host).unwrap());
    assert!(open_from(2).is_none(), "it has them all");
    let mut other = open_from(3).unwrap();
    assert_eq!(last_word(&mut first), Some(CloseCode::Again), "the oldest went");
    assert!(open_from(4).is_none(), "each address has one");
    hear_of("statistics", &mut second);
    hear_of("statistics", &mut other);
    assert_eq!(bench.board_after_beat().streams, 2);
}

#[test]
fn a_message_without_end_hinders_nothing() {
    let bench = Bench::new();
    let server = bench.second(&config()).unwrap();
    let client = TcpStream::connect(server.address()).unwrap();
    client.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let mut flood = client.try_clone().unwrap();
    let mut socket = tungstenite::client(format!("ws://{}/api/stream", server.address()), client).unwrap().0;
    // The first piece of a text, and then empty ones for as long as they are taken.
    flood.write_all(b"\x01\x80mask").unwrap();
    let flooding = std::thread::spawn(move || {
        let pieces = b"\x00\x80mask".repeat(10_000);
        while flood.write_all(&pieces).is_ok() {}
    });
    for _ in 0..3 {
        hear_of("statistics", &mut socket);
    }
    let clock = Stopwatch::start();
    server.stop(Span::from_secs(9));
    assert!(clock.elapsed() < Span::from_secs(3), "{}", clock.elapsed());
    drop(socket);
    flooding.join().unwrap();
}

#[test]
fn nothing_is_taken_from_a_client() {
    let bench = Bench::new();
    for (message, code) in [
        (Message::text("hello"), CloseCode::Unsupported),
        (Message::binary(vec![0; 10]), CloseCode::Unsupported),
        (Message::binary(vec![0; 33 << 10]), CloseCode::Size),
    ] {
        let mut socket = open(&bench);
        socket.send(message).unwrap();
        assert_eq!(last_word(&mut socket), Some(code));
    }
    let mut socket = open(&bench);
    socket.get_mut().write_all(&[0xff; 64]).unwrap();
    assert_eq!(last_word(&mut socket), Some(CloseCode::Protocol));
    let mut polite = open(&bench);
    polite.close(None).unwrap();
    assert_eq!(last_word(&mut polite), None);
    assert_eq!(bench.board_after_beat().streams_dropped, 0);
}

#[test]
fn a_client_that_answers_no_ping_is_dropped_and_one_that_does_stays() {
    let bench = small(Span::from_millis(300));
    let (silent, mut heard) = (open(&bench), open(&bench));
    let clock = Stopwatch::start();
    let status = loop {
        hear_of("statistics", &mut heard);
        let status = bench.board.http.latest().unwrap();
        if status.streams_dropped > 0 {
            break status;
        }
        assert!(clock.elapsed() < Span::from_secs(30));
    };
    drop(silent);
    assert_eq!((status.streams_dropped, status.streams), (1, 1));
    assert!(bench.get("/metrics").text().contains("\ntapguard_http_dropped_streams_total 1\n"));
    hear_of("statistics", &mut heard);
}

#[test]
fn a_slow_client_is_told_how_many_alerts_it_missed() {
    let bench = Bench::new();
    let mut socket = open(&bench);
    hear_of("statistics", &mut socket);
    let (all, record) = (20_000, alerts().remove(0));
    for _ in 0..all {
        bench.feed.publish(record.clone());
    }
    let (mut came, mut lost) = (0, 0);
    while came + lost < all {
        match hear(&mut socket) {
            alert if alert["type"] == "alert" => came += 1,
            missed if missed["type"] == "lost" => lost += missed["alerts"].as_u64().unwrap(),
            _ => {}
        }
    }
    assert_eq!(came + lost, all);
    assert!(came >= 64 && lost > 0, "{came} came, {lost} were lost");
    assert_eq!(bench.board_after_beat().stream_alerts_lost, lost);
    assert_eq!(bench.json("/api/statistics")["drops"]["stream_alerts"], lost);
}

#[test]
fn a_stop_says_goodbye_and_does_not_wait_for_the_silent() {
    let bench = Bench::new();
    let server = bench.second(&config()).unwrap();
    let connect = || {
        let url = format!("ws://{}/api/stream", server.address());
        let client = TcpStream::connect(server.address()).unwrap();
        client.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        tungstenite::client(url, client).unwrap().0
    };
    let (mut polite, mut silent) = (connect(), connect());
    hear_of("statistics", &mut polite);
    hear_of("statistics", &mut silent);
    let listening = std::thread::spawn(move || last_word(&mut polite));
    let clock = Stopwatch::start();
    server.stop(Span::from_secs(9));
    assert!(clock.elapsed() < Span::from_secs(3), "{}", clock.elapsed());
    assert_eq!(listening.join().unwrap(), Some(CloseCode::Away));
    assert_eq!(last_word(&mut silent), Some(CloseCode::Away), "it was told, whether it reads or not");
}

#[test]
fn what_is_told_is_as_described() {
    let bench = Bench::new();
    let mut socket = open(&bench);
    let document: Value = serde_json::from_str(include_str!("../openapi.json")).unwrap();
    let described = |heard: &Value| {
        let choices = document["components"]["schemas"]["StreamMessage"]["oneOf"].as_array().unwrap();
        let of_type = |choice: &&Value| choice["allOf"][0]["properties"]["type"]["const"] == heard["type"];
        choices.iter().find(of_type).unwrap()["allOf"][1].clone()
    };
    for kind in ["statistics", "alert"] {
        if kind == "alert" {
            // It listens by now, since it has told something.
            bench.feed.publish(alerts().remove(0));
        }
        let mut heard = hear_of(kind, &mut socket);
        // Only who has been told something is sure to listen already.
        bench.feed.publish(alerts().remove(0));
        let schema = described(&heard);
        heard.as_object_mut().unwrap().remove("type");
        assert_eq!(super::openapi::fault(&document, &schema, &heard, kind), None);
    }
    let agreed = tungstenite::client(format!("ws://{}/api/stream", bench.server.address()), bench.connect())
        .unwrap()
        .1;
    let headers = &document["paths"]["/api/stream"]["get"]["responses"]["101"]["headers"];
    for (name, _) in headers.as_object().unwrap() {
        assert!(agreed.headers().contains_key(name), "{name}");
    }
    assert!(!agreed.headers().contains_key("Content-Length"));
    let refused: Answer = bench.get("/api/stream");
    assert_eq!(refused.header("Connection"), Some("upgrade, close"));
}
