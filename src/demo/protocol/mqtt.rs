//! MQTT 3.1.1 as a sensor speaks it: connect, then a measurement every half minute with QoS 1.

use super::{Dialogue, Move, Responder, length};
use crate::demo::chance::Chance;
use crate::time::Span;

const CONNECT: u8 = 0x10;
const PUBLISH_QOS1: u8 = 0x32;
const PING: u8 = 0xc0;

/// Keep-alive that the client promises, in seconds.
const KEEP_ALIVE: u16 = 60;

/// A sensor's connection to its broker.
pub(crate) struct Telemetry {
    client: &'static str,
    topic: &'static str,
    packet: u16,
    said: bool,
}

impl Telemetry {
    pub(crate) fn new(client: &'static str, topic: &'static str) -> Self {
        Self { client, topic, packet: 0, said: false }
    }
}

impl Dialogue for Telemetry {
    fn next(&mut self, chance: &mut Chance) -> Move {
        self.said = !self.said;
        if !self.said {
            let wait = if self.packet <= 1 { Span::from_secs(1) } else { Span::from_millis(29_800) };
            return Move::Wait(wait + chance.span((Span::ZERO, Span::from_millis(400))));
        }
        self.packet = self.packet.wrapping_add(1).max(1);
        if self.packet == 1 {
            let mut body = vec![0, 4, b'M', b'Q', b'T', b'T', 4, 2];
            body.extend_from_slice(&KEEP_ALIVE.to_be_bytes());
            text(&mut body, self.client);
            return Move::Send { bytes: message(CONNECT, &body), expect: 4 };
        }
        if self.packet.is_multiple_of(10) {
            return Move::Send { bytes: message(PING, &[]), expect: 2 };
        }
        let mut body = Vec::new();
        text(&mut body, self.topic);
        body.extend_from_slice(&self.packet.to_be_bytes());
        let tenths = chance.between(195, 224);
        body.extend_from_slice(format!("{{\"t\":{}.{}}}", tenths / 10, tenths % 10).as_bytes());
        Move::Send { bytes: message(PUBLISH_QOS1, &body), expect: 4 }
    }
}

/// A broker that acknowledges.
pub(crate) struct Broker;

impl Responder for Broker {
    fn handle(&mut self, request: &mut Vec<u8>, answer: &mut Vec<u8>, _chance: &mut Chance) {
        // The messages here are shorter than 128 bytes, so the remaining length is one byte.
        while let Some([kind, len]) = request.first_chunk::<2>().copied() {
            let end = 2 + usize::from(len & 0x7f);
            let Some(body) = request.get(2..end) else { return };
            match kind {
                CONNECT => answer.extend_from_slice(&[0x20, 2, 0, 0]),
                PUBLISH_QOS1 => {
                    let topic = usize::from(body.get(1).copied().unwrap_or(0));
                    let id = body.get(2 + topic..4 + topic).unwrap_or(&[0, 0]);
                    answer.extend_from_slice(&[0x40, 2]);
                    answer.extend_from_slice(id);
                }
                PING => answer.extend_from_slice(&[0xd0, 0]),
                _ => {}
            }
            request.drain(..end);
        }
    }
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![kind, u8::try_from(body.len()).unwrap_or(0x7f)];
    bytes.extend_from_slice(body);
    bytes
}

fn text(bytes: &mut Vec<u8>, text: &str) {
    bytes.extend_from_slice(&length(text.len()));
    bytes.extend_from_slice(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_message_is_acknowledged_as_expected() {
        let mut chance = Chance::new(5, 0);
        let mut sensor = Telemetry::new("thermostat", "home/temperature");
        for _ in 0..60 {
            if let Move::Send { bytes, expect } = sensor.next(&mut chance) {
                let (mut request, mut answer) = (bytes, Vec::new());
                Broker.handle(&mut request, &mut answer, &mut chance);
                assert!(request.is_empty());
                assert_eq!(answer.len(), expect);
            }
        }
    }
}
