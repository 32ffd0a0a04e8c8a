//! TLS 1.3 (RFC 8446) as an eavesdropper sees it: a real pair of hellos, then records of bytes without meaning. There
//! is no cryptography; the first four bytes of a client's record tell the server how much to answer.

use super::{Dialogue, Move, Responder, length};
use crate::demo::chance::Chance;
use crate::time::Span;

const CHANGE_CIPHER: u8 = 20;
const HANDSHAKE: u8 = 22;
const APPLICATION: u8 = 23;
const RECORD_HEADER: usize = 5;

/// Largest piece of an answer in one record, and largest answer.
const PIECE: usize = 4096;
const LARGEST_ANSWER: usize = 1 << 20;

/// The server's certificate and the rest of its flight, encrypted.
const SERVER_FLIGHT: usize = 2311;

/// One request and its answer.
#[derive(Clone, Copy)]
pub(crate) struct Exchange {
    /// Bytes of the request, 4 to 16,384.
    pub(crate) up: usize,
    /// Bytes of the answer, up to a mebibyte.
    pub(crate) down: usize,
    /// Time until the next one.
    pub(crate) pause: Span,
}

/// Gives the exchanges of a connection one by one; none when there are no more.
pub(crate) type Script = Box<dyn FnMut(&mut Chance) -> Option<Exchange> + Send>;

enum Stage {
    Hello,
    Finished,
    Talk,
    Pause(Span),
}

/// A client.
pub(crate) struct Tls {
    name: &'static str,
    script: Script,
    stage: Stage,
}

impl Tls {
    /// A client that asks for the server of this name.
    pub(crate) fn new(name: &'static str, script: Script) -> Self {
        Self { name, script, stage: Stage::Hello }
    }
}

impl Dialogue for Tls {
    fn next(&mut self, chance: &mut Chance) -> Move {
        match self.stage {
            Stage::Hello => {
                self.stage = Stage::Finished;
                let hello = client_hello(self.name, chance);
                Move::Send { bytes: hello, expect: server_flight(&[0; 32], chance).len() }
            }
            Stage::Finished => {
                self.stage = Stage::Talk;
                let mut bytes = record(CHANGE_CIPHER, &[1]);
                bytes.extend_from_slice(&request(53, 0, chance));
                Move::Send { bytes, expect: 0 }
            }
            Stage::Pause(span) => {
                self.stage = Stage::Talk;
                Move::Wait(span)
            }
            Stage::Talk => match (self.script)(chance) {
                None => Move::Close,
                Some(Exchange { up, down, pause }) => {
                    self.stage = Stage::Pause(pause);
                    let expect = down + RECORD_HEADER * down.div_ceil(PIECE);
                    Move::Send { bytes: request(up, down, chance), expect }
                }
            },
        }
    }
}

/// A server.
pub(crate) struct TlsServer;

impl Responder for TlsServer {
    fn handle(&mut self, bytes: &mut Vec<u8>, answer: &mut Vec<u8>, chance: &mut Chance) {
        while let Some([kind, _, _, high, low]) = bytes.first_chunk::<RECORD_HEADER>().copied() {
            let end = RECORD_HEADER + usize::from(u16::from_be_bytes([high, low]));
            let Some(body) = bytes.get(RECORD_HEADER..end) else { return };
            match kind {
                HANDSHAKE => {
                    let session = body.get(39..71).unwrap_or(&[0; 32]);
                    answer.extend_from_slice(&server_flight(session, chance));
                }
                APPLICATION => {
                    let wanted = body.first_chunk::<4>().map_or(0, |field| u32::from_be_bytes(*field));
                    let mut left = usize::try_from(wanted).unwrap_or(0).min(LARGEST_ANSWER);
                    while left > 0 {
                        let piece = left.min(PIECE);
                        answer.extend_from_slice(&record(APPLICATION, &chance.bytes(piece)));
                        left -= piece;
                    }
                }
                _ => {}
            }
            bytes.drain(..end);
        }
    }
}

fn request(up: usize, down: usize, chance: &mut Chance) -> Vec<u8> {
    let mut body = chance.bytes(up.clamp(4, 16_384));
    if let Some(field) = body.first_chunk_mut::<4>() {
        *field = u32::try_from(down).unwrap_or(0).to_be_bytes();
    }
    record(APPLICATION, &body)
}

fn client_hello(name: &str, chance: &mut Chance) -> Vec<u8> {
    let mut server_name = length(name.len() + 3).to_vec();
    server_name.push(0);
    server_name.extend_from_slice(&length(name.len()));
    server_name.extend_from_slice(name.as_bytes());
    let mut share = vec![0, 36, 0, 29, 0, 32];
    share.extend_from_slice(&chance.bytes(32));
    let mut extensions = Vec::new();
    extension(&mut extensions, 0, &server_name);
    extension(&mut extensions, 10, &[0, 4, 0, 29, 0, 23]);
    extension(&mut extensions, 13, &[0, 8, 4, 3, 8, 4, 4, 1, 8, 7]);
    extension(
        &mut extensions,
        16,
        &[0, 12, 2, b'h', b'2', 8, b'h', b't', b't', b'p', b'/', b'1', b'.', b'1'],
    );
    extension(&mut extensions, 43, &[2, 3, 4]);
    extension(&mut extensions, 51, &share);
    let mut body = vec![3, 3];
    body.extend_from_slice(&chance.bytes(32));
    body.push(32);
    body.extend_from_slice(&chance.bytes(32));
    body.extend_from_slice(&[0, 6, 0x13, 1, 0x13, 2, 0x13, 3, 1, 0]);
    body.extend_from_slice(&length(extensions.len()));
    body.extend_from_slice(&extensions);
    record(HANDSHAKE, &handshake(1, &body))
}

fn server_flight(session: &[u8], chance: &mut Chance) -> Vec<u8> {
    let mut share = vec![0, 29, 0, 32];
    share.extend_from_slice(&chance.bytes(32));
    let mut extensions = Vec::new();
    extension(&mut extensions, 43, &[3, 4]);
    extension(&mut extensions, 51, &share);
    let mut body = vec![3, 3];
    body.extend_from_slice(&chance.bytes(32));
    body.push(32);
    body.extend_from_slice(session);
    body.extend_from_slice(&[0x13, 1, 0]);
    body.extend_from_slice(&length(extensions.len()));
    body.extend_from_slice(&extensions);
    let mut bytes = record(HANDSHAKE, &handshake(2, &body));
    bytes.extend_from_slice(&record(CHANGE_CIPHER, &[1]));
    bytes.extend_from_slice(&record(APPLICATION, &chance.bytes(SERVER_FLIGHT)));
    bytes
}

fn handshake(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![kind, 0];
    bytes.extend_from_slice(&length(body.len()));
    bytes.extend_from_slice(body);
    bytes
}

fn extension(bytes: &mut Vec<u8>, kind: u16, body: &[u8]) {
    bytes.extend_from_slice(&kind.to_be_bytes());
    bytes.extend_from_slice(&length(body.len()));
    bytes.extend_from_slice(body);
}

fn record(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![kind, 3, if kind == HANDSHAKE { 1 } else { 3 }];
    bytes.extend_from_slice(&length(body.len()));
    bytes.extend_from_slice(body);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_answers_what_the_client_expects() {
        let mut chance = Chance::new(5, 0);
        let mut sizes = [0, 1, 4096, 4097, 300_000].into_iter();
        let script =
            move |_: &mut Chance| sizes.next().map(|down| Exchange { up: 400, down, pause: Span::ZERO });
        let mut client = Tls::new("www.example", Box::new(script));
        let mut expected = Vec::new();
        loop {
            match client.next(&mut chance) {
                Move::Send { bytes, expect } => {
                    let (mut request, mut answer) = (bytes, Vec::new());
                    TlsServer.handle(&mut request, &mut answer, &mut chance);
                    assert!(request.is_empty());
                    assert_eq!(answer.len(), expect);
                    expected.push(expect);
                }
                Move::Wait(_) => {}
                Move::Close => break,
            }
        }
        assert_eq!(expected.len(), 7);
    }
}
