//! Modbus/TCP (MODBUS Messaging on TCP/IP Implementation Guide V1.0b): an operator panel that polls a controller.

use super::{Dialogue, Move, Responder, length};
use crate::demo::chance::Chance;
use crate::time::Span;

const READ_COILS: u8 = 1;
const READ_HOLDING_REGISTERS: u8 = 3;
const WRITE_SINGLE_REGISTER: u8 = 6;
const ILLEGAL_FUNCTION: u8 = 1;

/// MBAP header: transaction, protocol 0, length, unit.
const HEADER: usize = 7;
const UNIT: u8 = 1;

/// What the panel reads each second, and how often it reads coils and writes its set point.
const REGISTERS: u16 = 12;
const COILS: u16 = 16;
const COILS_EVERY: u16 = 5;
const WRITE_EVERY: u16 = 60;

/// An operator panel: one request each second for ever.
pub(crate) struct Poll {
    transaction: u16,
    asked: bool,
}

impl Poll {
    pub(crate) fn new() -> Self {
        Self { transaction: 0, asked: false }
    }
}

impl Dialogue for Poll {
    fn next(&mut self, chance: &mut Chance) -> Move {
        self.asked = !self.asked;
        if !self.asked {
            return Move::Wait(chance.span((Span::from_millis(985), Span::from_millis(1005))));
        }
        self.transaction = self.transaction.wrapping_add(1);
        let (function, first, value, answer) = if self.transaction.is_multiple_of(WRITE_EVERY) {
            (WRITE_SINGLE_REGISTER, 40, u16::try_from(chance.between(200, 220)).unwrap_or(0), 5)
        } else if self.transaction.is_multiple_of(COILS_EVERY) {
            (READ_COILS, 0, COILS, 2 + usize::from(COILS / 8))
        } else {
            (READ_HOLDING_REGISTERS, 0, REGISTERS, 2 + usize::from(REGISTERS) * 2)
        };
        let mut pdu = vec![function];
        pdu.extend_from_slice(&u16::to_be_bytes(first));
        pdu.extend_from_slice(&value.to_be_bytes());
        Move::Send { bytes: frame(self.transaction, &pdu), expect: HEADER + answer }
    }
}

/// A controller with some registers that drift.
pub(crate) struct Controller {
    registers: [u16; 64],
}

impl Controller {
    pub(crate) fn new() -> Self {
        Self { registers: [400; 64] }
    }

    fn answer(&mut self, pdu: &[u8], chance: &mut Chance) -> Vec<u8> {
        let field = |at: usize| match pdu.get(at..at + 2) {
            Some([high, low]) => u16::from_be_bytes([*high, *low]),
            _ => 0,
        };
        let (function, first, count) = (pdu.first().copied().unwrap_or(0), field(1), field(3));
        match function {
            READ_COILS => {
                let bytes = u8::try_from(count.div_ceil(8)).unwrap_or(0);
                let mut answer = vec![function, bytes];
                answer.resize(2 + usize::from(bytes), 0b0101_0011);
                answer
            }
            READ_HOLDING_REGISTERS => {
                let mut answer = vec![function, u8::try_from(count.saturating_mul(2)).unwrap_or(0)];
                for at in first..first.saturating_add(count.min(64)) {
                    let register = &mut self.registers[usize::from(at) % 64];
                    *register = (*register + chance.word() % 3).saturating_sub(1).clamp(300, 500);
                    answer.extend_from_slice(&register.to_be_bytes());
                }
                answer
            }
            WRITE_SINGLE_REGISTER => {
                self.registers[usize::from(first) % 64] = count;
                pdu.to_vec()
            }
            _ => vec![function | 0x80, ILLEGAL_FUNCTION],
        }
    }
}

impl Responder for Controller {
    fn handle(&mut self, request: &mut Vec<u8>, answer: &mut Vec<u8>, chance: &mut Chance) {
        while let Some([t1, t2, _, _, high, low, _unit]) = request.first_chunk::<HEADER>().copied() {
            let end = HEADER - 1 + usize::from(u16::from_be_bytes([high, low]));
            let Some(pdu) = request.get(HEADER..end) else { return };
            let reply = self.answer(pdu, chance);
            answer.extend_from_slice(&frame(u16::from_be_bytes([t1, t2]), &reply));
            request.drain(..end);
        }
    }
}

fn frame(transaction: u16, pdu: &[u8]) -> Vec<u8> {
    let mut bytes = transaction.to_be_bytes().to_vec();
    bytes.extend_from_slice(&[0, 0]);
    bytes.extend_from_slice(&length(pdu.len() + 1));
    bytes.push(UNIT);
    bytes.extend_from_slice(pdu);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_request_gets_the_answer_that_the_panel_expects() {
        let mut chance = Chance::new(5, 0);
        let (mut panel, mut controller) = (Poll::new(), Controller::new());
        let mut functions = Vec::new();
        for _ in 0..240 {
            if let Move::Send { bytes, expect } = panel.next(&mut chance) {
                functions.push(bytes[HEADER]);
                let (mut request, mut answer) = (bytes.clone(), Vec::new());
                controller.handle(&mut request, &mut answer, &mut chance);
                assert!(request.is_empty());
                assert_eq!(answer.len(), expect);
                assert_eq!(answer[..2], bytes[..2]);
            }
        }
        assert_eq!(functions.len(), 120);
        for function in [READ_COILS, READ_HOLDING_REGISTERS, WRITE_SINGLE_REGISTER] {
            assert!(functions.contains(&function));
        }
    }
}
