//! Modbus/TCP. Read first: MODBUS Messaging on TCP/IP Implementation Guide V1.0b section 3.1.3 (MBAP header) and
//! MODBUS Application Protocol Specification V1.1b3 sections 6 and 7.
//!
//! `code` is the function code without the error bit; `unit` the unit identifier; `address` and `count` the first
//! register, coil or FIFO and how many (of function 23 those written, of 8 the sub-function, of 20 and 21 the first
//! record with its file as `object`, of 43 the object id with the MEI type as `object`); `error` the exception code.
//! Responses to reads carry neither address nor count. Function 90 is Schneider's UMAS: its own function is the
//! `object`, and what it does is told for those that are publicly known.
//!
//! Recognised on port 502 only: protocol identifier 0, a length of 2 to 255, a function code that is not 0. The error
//! bit is allowed in responses only. A message without direction by its port is taken for a request.

use super::field::{be16, byte};
use super::{Message, Way};
use crate::packet::digest::FaultReason;
use crate::packet::hint::{Direction, Effect, Operation, PlantProtocol};

/// MBAP header up to its length field.
const PREFIX: usize = 6;
/// Unit identifier and function code, which the length counts.
const FUNCTION: usize = 7;
/// Where the function's data begin.
const DATA: usize = 8;
/// A PDU has at most 253 bytes, and the unit comes on top; Schneider's controllers send one more.
const MAX_LENGTH: u16 = 255;
const ERROR: u8 = 0x80;
const UMAS: u8 = 90;
const DEVICE_IDENTIFICATION: u8 = 14;

/// The message at the start of a segment's rest.
pub(super) fn read(bytes: &[u8], way: Way) -> Option<Message> {
    let length = be16(bytes, 4)?;
    if be16(bytes, 2)? != 0 || !(2..=MAX_LENGTH).contains(&length) {
        return None;
    }
    let (unit, function) = (byte(bytes, PREFIX)?, byte(bytes, FUNCTION)?);
    let code = function & !ERROR;
    let is_error = function & ERROR != 0;
    let is_response = way == Way::FromServer;
    if code == 0 || is_error && !is_response {
        return None;
    }
    let whole = PREFIX + usize::from(length);
    let data = bytes.get(DATA..bytes.len().min(whole)).unwrap_or_default();
    let direction = if is_response { Direction::Response } else { Direction::Request };
    let operation = Operation {
        unit: unit.into(),
        ..Operation::new(PlantProtocol::Modbus, direction, Effect::Other, code.into())
    };
    let operation = if is_error {
        Operation { effect: effect(code, &[]), error: byte(data, 0).map(u16::from), ..operation }
    } else if is_response {
        response(code, data, operation)
    } else {
        request(code, data, operation)
    };
    let is_whole = bytes.len() >= whole;
    let expected = if is_error { Some(1) } else { data_length(code, is_response, data) };
    let fault = (is_whole && expected.is_some_and(|expected| expected != data.len()))
        .then_some(FaultReason::BadLength);
    Some(Message { operation: Some(operation), length: whole, fault })
}

fn request(code: u8, data: &[u8], operation: Operation) -> Operation {
    let number = |at| be16(data, at).map_or(0, u32::from);
    let operation = Operation { effect: effect(code, data), ..operation };
    match code {
        1..=4 | 15 | 16 => Operation { address: number(0), count: number(2), ..operation },
        5 | 6 | 22 => Operation { address: number(0), count: 1, ..operation },
        8 | 24 => Operation { address: number(0), ..operation },
        20 | 21 => Operation { object: number(2), address: number(4), count: number(6), ..operation },
        23 => Operation { address: number(4), count: number(6), ..operation },
        43 => Operation {
            object: byte(data, 0).map_or(0, u32::from),
            address: byte(data, 2).map_or(0, u32::from),
            ..operation
        },
        UMAS => Operation { object: byte(data, 1).map_or(0, u32::from), ..operation },
        _ => operation,
    }
}

/// Echoes of requests are read like these; what carries values says nothing of where they are from.
fn response(code: u8, data: &[u8], operation: Operation) -> Operation {
    match code {
        5 | 6 | 8 | 15 | 16 | 21 | 22 | 43 => request(code, data, operation),
        // The answer is success or failure and not the function.
        UMAS => Operation { object: byte(data, 1).map_or(0, u32::from), ..operation },
        _ => Operation { effect: effect(code, data), ..operation },
    }
}

/// What a function does; `data` are empty in error responses.
fn effect(code: u8, data: &[u8]) -> Effect {
    match code {
        1..=4 | 20 | 24 => Effect::Read,
        5 | 6 | 15 | 16 | 21..=23 => Effect::Write,
        // Restart communications and force listen only mode.
        8 if matches!(be16(data, 0), Some(1 | 4)) => Effect::Mode,
        // Change of the delimiter of ASCII messages.
        8 if be16(data, 0) == Some(3) => Effect::Configure,
        7 | 8 | 11 | 12 => Effect::Diagnose,
        17 => Effect::Identify,
        43 if byte(data, 0) == Some(DEVICE_IDENTIFICATION) => Effect::Identify,
        UMAS => byte(data, 1).map_or(Effect::Other, umas),
        _ => Effect::Other,
    }
}

/// UMAS has no public standard: the functions on which published analyses agree.
const fn umas(function: u8) -> Effect {
    match function {
        // Initialise, take, release and keep a reservation.
        0x01 | 0x10..=0x12 => Effect::Session,
        // Identification of PLC, project, memory card.
        0x02..=0x06 => Effect::Identify,
        0x20 | 0x22 | 0x24 | 0x70 => Effect::Read,
        0x21 | 0x23 | 0x71 => Effect::Write,
        // Upload and download of the program.
        0x30..=0x36 => Effect::Program,
        // Start and stop.
        0x40 | 0x41 => Effect::Mode,
        0x0a | 0x58 | 0x73 => Effect::Diagnose,
        _ => Effect::Other,
    }
}

/// Bytes that the data of a whole message have by the specification; none where it leaves that open.
fn data_length(code: u8, is_response: bool, data: &[u8]) -> Option<usize> {
    let counted = |at, fixed: usize| byte(data, at).map_or(Some(fixed), |n| Some(fixed + usize::from(n)));
    match (code, is_response) {
        (1..=4, false) | (5 | 6, _) | (11 | 15 | 16, true) => Some(4),
        (7 | 11 | 12 | 17, false) => Some(0),
        (7, true) => Some(1),
        (1..=4 | 12 | 17 | 23, true) | (20 | 21, _) => counted(0, 1),
        (15 | 16, false) => counted(4, 5),
        (22, _) => Some(6),
        (23, false) => counted(8, 9),
        (24, false) => Some(2),
        _ => None,
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A message to or from unit 17.
    pub(in super::super) fn adu(pdu: &[u8]) -> Vec<u8> {
        let length = u8::try_from(pdu.len() + 1).unwrap();
        [&[0x12, 0x34, 0, 0, 0, length, 17][..], pdu].concat()
    }

    fn told(pdu: &[u8], way: Way) -> Operation {
        let adu = adu(pdu);
        let message = read(&adu, way).unwrap();
        assert_eq!((message.length, message.fault), (adu.len(), None), "{pdu:x?}");
        message.operation.unwrap()
    }

    fn asked(pdu: &[u8]) -> (Effect, u32, u32, u32) {
        let operation = told(pdu, Way::ToServer);
        assert_eq!((operation.direction, operation.unit), (Direction::Request, 17));
        assert_eq!((operation.code, operation.error), (pdu[0].into(), None));
        (operation.effect, operation.object, operation.address, operation.count)
    }

    /// The requests of section 6 of the specification.
    #[test]
    fn requests_tell_function_and_range() {
        use Effect::{Configure, Diagnose, Identify, Mode, Other, Read, Write};
        assert_eq!(asked(&[1, 0, 19, 0, 19]), (Read, 0, 19, 19));
        assert_eq!(asked(&[2, 0, 196, 0, 22]), (Read, 0, 196, 22));
        assert_eq!(asked(&[3, 0, 107, 0, 3]), (Read, 0, 107, 3));
        assert_eq!(asked(&[4, 1, 8, 0, 1]), (Read, 0, 264, 1));
        assert_eq!(asked(&[5, 0, 172, 0xff, 0]), (Write, 0, 172, 1));
        assert_eq!(asked(&[6, 0, 1, 0, 3]), (Write, 0, 1, 1));
        assert_eq!(asked(&[7]), (Diagnose, 0, 0, 0));
        assert_eq!(asked(&[8, 0, 0, 0xa5, 0x37]), (Diagnose, 0, 0, 0));
        assert_eq!(asked(&[8, 0, 1, 0xff, 0]), (Mode, 0, 1, 0));
        assert_eq!(asked(&[8, 0, 3, 10, 0]), (Configure, 0, 3, 0));
        assert_eq!(asked(&[8, 0, 4, 0, 0]), (Mode, 0, 4, 0));
        assert_eq!(asked(&[8, 0, 10, 0, 0]), (Diagnose, 0, 10, 0));
        assert_eq!(asked(&[11]), (Diagnose, 0, 0, 0));
        assert_eq!(asked(&[12]), (Diagnose, 0, 0, 0));
        assert_eq!(asked(&[15, 0, 19, 0, 10, 2, 0xcd, 1]), (Write, 0, 19, 10));
        assert_eq!(asked(&[16, 0, 1, 0, 2, 4, 0, 10, 1, 2]), (Write, 0, 1, 2));
        assert_eq!(asked(&[17]), (Identify, 0, 0, 0));
        assert_eq!(asked(&[20, 7, 6, 0, 4, 0, 1, 0, 2]), (Read, 4, 1, 2));
        assert_eq!(asked(&[21, 9, 6, 0, 4, 0, 7, 0, 1, 6, 0xaf]), (Write, 4, 7, 1));
        assert_eq!(asked(&[22, 0, 4, 0, 0xf2, 0, 0x25]), (Write, 0, 4, 1));
        assert_eq!(asked(&[23, 0, 3, 0, 6, 0, 14, 0, 1, 2, 0, 0xff]), (Write, 0, 14, 1));
        assert_eq!(asked(&[24, 4, 0xde]), (Read, 0, 0x4de, 0));
        assert_eq!(asked(&[43, 14, 1, 0]), (Identify, 14, 0, 0));
        assert_eq!(asked(&[43, 13, 0, 0]), (Other, 13, 0, 0));
        assert_eq!(asked(&[100, 1, 2, 3]), (Other, 0, 0, 0));
    }

    #[test]
    fn umas_tells_its_own_function() {
        use Effect::{Identify, Mode, Other, Program, Read, Session, Write};
        for (function, effect) in [
            (1, Session),
            (2, Identify),
            (0x10, Session),
            (0x22, Read),
            (0x23, Write),
            (0x30, Program),
            (0x33, Program),
            (0x40, Mode),
            (0x41, Mode),
            (0x99, Other),
        ] {
            assert_eq!(asked(&[90, 0, function, 0]), (effect, function.into(), 0, 0));
        }
        assert_eq!(told(&[90, 0, 0xfe], Way::FromServer).effect, Other);
    }

    #[test]
    fn responses_tell_what_they_echo() {
        let answered = |pdu: &[u8]| {
            let operation = told(pdu, Way::FromServer);
            assert_eq!((operation.direction, operation.unit), (Direction::Response, 17));
            (operation.effect, operation.code, operation.address, operation.count, operation.error)
        };
        assert_eq!(answered(&[3, 6, 2, 0x2b, 0, 0, 0, 100]), (Effect::Read, 3, 0, 0, None));
        assert_eq!(answered(&[5, 0, 172, 0xff, 0]), (Effect::Write, 5, 172, 1, None));
        assert_eq!(answered(&[8, 0, 1, 0xff, 0]), (Effect::Mode, 8, 1, 0, None));
        assert_eq!(answered(&[16, 0, 1, 0, 2]), (Effect::Write, 16, 1, 2, None));
        assert_eq!(answered(&[11, 0xff, 0xff, 1, 8]), (Effect::Diagnose, 11, 0, 0, None));
        assert_eq!(answered(&[23, 2, 0, 0xfe]), (Effect::Write, 23, 0, 0, None));
        assert_eq!(answered(&[43, 14, 1, 1, 0, 0, 1, 0, 1, b'x']), (Effect::Identify, 43, 1, 0, None));
    }

    #[test]
    fn an_exception_keeps_the_function_and_names_the_error() {
        let operation = told(&[0x90, 2], Way::FromServer);
        assert_eq!((operation.code, operation.effect, operation.error), (16, Effect::Write, Some(2)));
        assert_eq!(read(&adu(&[0x90, 2]), Way::ToServer), None);
    }

    #[test]
    fn a_length_that_contradicts_the_function_is_a_fault() {
        let fault = |pdu: &[u8], way| read(&adu(pdu), way).unwrap().fault;
        let bad = Some(FaultReason::BadLength);
        for pdu in [
            &[3, 0, 107, 0, 3, 0][..],
            &[3, 0, 107, 0],
            &[6, 0, 1],
            &[16, 0, 1, 0, 2, 4, 0, 10],
            &[16, 0, 1, 0],
            &[22, 0, 4, 0],
            &[23, 0, 3, 0, 6, 0, 14, 0, 1, 2, 0],
            &[17, 0],
        ] {
            assert_eq!(fault(pdu, Way::ToServer), bad, "{pdu:x?}");
        }
        for pdu in [&[3, 6, 0, 0][..], &[0x83, 2, 0], &[0x83], &[16, 0, 1]] {
            assert_eq!(fault(pdu, Way::FromServer), bad, "{pdu:x?}");
        }
    }

    #[test]
    fn what_the_header_does_not_vouch_for_is_not_read() {
        let valid = adu(&[3, 0, 107, 0, 3]);
        for (at, byte) in [(2, 1), (3, 1), (4, 1), (5, 0), (5, 1), (7, 0), (7, 0x83)] {
            let mut bytes = valid.clone();
            bytes[at] = byte;
            assert_eq!(read(&bytes, Way::ToServer), None, "{at}");
        }
    }

    /// The first segment of a message tells as much as it holds; without unit and function there is nothing to tell.
    #[test]
    fn a_split_message_is_read_as_far_as_it_goes() {
        let whole = adu(&[16, 0, 1, 0, 2, 4, 0, 10, 1, 2]);
        for length in 0..8 {
            assert_eq!(read(&whole[..length], Way::ToServer), None);
        }
        for (length, address, count) in [(8, 0, 0), (9, 0, 0), (10, 1, 0), (12, 1, 2), (16, 1, 2)] {
            let message = read(&whole[..length], Way::ToServer).unwrap();
            let operation = message.operation.unwrap();
            assert_eq!((message.length, message.fault), (17, None));
            assert_eq!(
                (operation.effect, operation.address, operation.count),
                (Effect::Write, address, count)
            );
        }
    }
}
