//! HTTP/1.1 without encryption, as devices use it for checks and status pages, and the raw printing of port 9100.

use super::{Dialogue, Move, Responder};
use crate::demo::chance::Chance;
use crate::time::Span;

/// Fetches one page of a given size and closes.
pub(crate) struct Fetch {
    host: &'static str,
    size: usize,
    done: bool,
}

impl Fetch {
    pub(crate) fn new(host: &'static str, size: usize) -> Self {
        Self { host, size, done: false }
    }
}

impl Dialogue for Fetch {
    fn next(&mut self, _chance: &mut Chance) -> Move {
        if self.done {
            return Move::Close;
        }
        self.done = true;
        let request = format!(
            "GET /status/{} HTTP/1.1\r\nHost: {}\r\nUser-Agent: device/1.0\r\nAccept: */*\r\n\r\n",
            self.size, self.host
        );
        Move::Send { bytes: request.into_bytes(), expect: page(self.size).len() }
    }
}

/// Answers each request with as many bytes as the last part of its path says, at most 64 KiB.
pub(crate) struct WebServer;

impl Responder for WebServer {
    fn handle(&mut self, request: &mut Vec<u8>, answer: &mut Vec<u8>, _chance: &mut Chance) {
        while let Some(end) = request.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&request[..end]);
            let path = head.split(' ').nth(1).unwrap_or("");
            let size = path.rsplit('/').next().and_then(|size| size.parse().ok()).unwrap_or(0);
            answer.extend_from_slice(&page(size));
            request.drain(..end + 4);
        }
    }
}

fn page(size: usize) -> Vec<u8> {
    let size = size.min(64 << 10);
    let head = format!("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {size}\r\n\r\n");
    let mut bytes = head.into_bytes();
    bytes.resize(bytes.len() + size, b'.');
    bytes
}

/// Prints some pages: a burst one way.
pub(crate) struct Print {
    left: u32,
    pause: bool,
}

impl Print {
    pub(crate) fn new(pages: u32) -> Self {
        Self { left: pages, pause: false }
    }
}

impl Dialogue for Print {
    fn next(&mut self, chance: &mut Chance) -> Move {
        if self.left == 0 {
            return Move::Close;
        }
        if self.pause {
            self.pause = false;
            return Move::Wait(chance.span((Span::from_millis(150), Span::from_millis(400))));
        }
        self.left -= 1;
        self.pause = true;
        let size = chance.size(12_000, 40_000);
        Move::Send { bytes: chance.bytes(size), expect: 0 }
    }
}

/// Takes everything and says nothing.
pub(crate) struct Sink;

impl Responder for Sink {
    fn handle(&mut self, request: &mut Vec<u8>, _answer: &mut Vec<u8>, _chance: &mut Chance) {
        request.clear();
    }
}
