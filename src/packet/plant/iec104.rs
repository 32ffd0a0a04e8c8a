//! IEC 60870-5-104. Read first: IEC 60870-5-104 clauses 5 (APCI) and 6, IEC 60870-5-101 clause 7 (ASDU: type
//! identification, variable structure qualifier, cause of transmission), with the sizes that -104 fixes: two octets of
//! cause, two of common address, three of object address.
//!
//! `code` is the type identification of I frames, `0x0100` + the first control octet of U and S frames. `unit` is the
//! common address, `address` the first information object, `count` how many. `error` is the cause of transmission of
//! negative confirmations and of "unknown" answers (44 to 47).
//!
//! Direction follows the cause: activation and deactivation ask, confirmations, terminations and what was interrogated
//! answer, the rest comes unasked. Set points and bit strings are `Write`, switching commands `Control`.
//!
//! Recognised by the start octet, the length, and control octets of which the fixed bits are right; I frames also by a
//! type and a cause that exist. On other ports than 2404 the messages must fill the payload to its last byte with
//! objects of the size that their type has.

use super::field::{byte, le16, le24};
use super::{Message, Way};
use crate::packet::digest::FaultReason;
use crate::packet::hint::{Direction, Effect, Operation, PlantProtocol};
use crate::packet::window::Window;

/// The start octet.
pub(super) const START: u8 = 0x68;

/// Start and length.
const PREFIX: usize = 2;
/// Control octets, which are all of a U or S frame that the length counts.
const CONTROL: u8 = 4;
const MAX_LENGTH: u8 = 253;
const ASDU: usize = 6;
/// Type, qualifier, cause and common address.
const ASDU_HEADER: usize = 6;
const OBJECT_ADDRESS: usize = 3;
const SUPERVISORY: u16 = 0x0101;

/// The message at the start of a segment's rest.
pub(super) fn read(bytes: &[u8], way: Way) -> Option<Message> {
    let &[START, length @ CONTROL..=MAX_LENGTH, a, b, c, d] = bytes.first_chunk()? else { return None };
    let whole = PREFIX + usize::from(length);
    let by_port = if way == Way::FromServer { Direction::Response } else { Direction::Request };
    let bare = |direction, code| {
        let operation = Operation::new(PlantProtocol::Iec104, direction, Effect::Session, code);
        Some(Message { operation: Some(operation), length: whole, fault: None })
    };
    match (a & 3, length) {
        (1, CONTROL) if a == 1 && b == 0 && c & 1 == 0 => bare(by_port, SUPERVISORY),
        // Start, stop and test, each with its confirmation.
        (3, CONTROL) if [b, c, d] == [0; 3] => match a {
            0x07 | 0x13 | 0x43 => bare(Direction::Request, 0x0100 | u16::from(a)),
            0x0b | 0x23 | 0x83 => bare(Direction::Response, 0x0100 | u16::from(a)),
            _ => None,
        },
        (0 | 2, _) if c & 1 == 0 && usize::from(length) >= ASDU_HEADER + usize::from(CONTROL) => {
            let asdu = bytes.get(ASDU..bytes.len().min(whole))?;
            let (operation, fault) = asdu_of(asdu, whole - ASDU, way)?;
            Some(Message { operation: Some(operation), length: whole, fault })
        }
        _ => None,
    }
}

/// Whether messages fill the payload, each with objects of the size that its type has.
pub(super) fn is_certain(payload: Window<'_>) -> bool {
    let mut rest = payload.bytes;
    if rest.len() != payload.length() {
        return false;
    }
    while !rest.is_empty() {
        match read(rest, Way::Unknown) {
            Some(Message { operation: Some(operation), length, fault: None })
                if length <= rest.len() && is_known(&operation) =>
            {
                rest = rest.get(length..).unwrap_or_default();
            }
            _ => return false,
        }
    }
    true
}

/// A frame without ASDU, or a type whose size was compared, for a station: common address 0 is not used.
fn is_known(operation: &Operation) -> bool {
    match u8::try_from(operation.code) {
        Ok(kind) => size(kind).is_some() && operation.unit != 0,
        Err(_) => true,
    }
}

/// An ASDU of which `length` octets are due.
fn asdu_of(asdu: &[u8], length: usize, way: Way) -> Option<(Operation, Option<FaultReason>)> {
    let (kind, structure, cause) = (byte(asdu, 0)?, byte(asdu, 1)?, byte(asdu, 2)?);
    let negative = cause & 0x40 != 0;
    let cause = cause & 0x3f;
    if kind == 0 || !matches!(cause, 1..=16 | 20..=41 | 44..=47) {
        return None;
    }
    let effect = effect(kind);
    let count = structure & 0x7f;
    let direction = match cause {
        6 | 8 => Direction::Request,
        7 | 9 | 10 | 20..=41 | 44..=47 => Direction::Response,
        // A read, and a file, go either way.
        5 if kind == 102 => Direction::Request,
        5 => Direction::Response,
        13 if way == Way::ToServer => Direction::Request,
        13 if way == Way::FromServer => Direction::Response,
        _ => Direction::Unsolicited,
    };
    let operation = Operation {
        unit: le16(asdu, 4).map_or(0, u32::from),
        address: le24(asdu, ASDU_HEADER).unwrap_or(0),
        count: count.into(),
        error: (negative || cause >= 44).then_some(cause.into()),
        ..Operation::new(PlantProtocol::Iec104, direction, effect, kind.into())
    };
    let objects = usize::from(count);
    let expected = size(kind).map(|size| {
        ASDU_HEADER
            + if structure & 0x80 == 0 {
                objects * (OBJECT_ADDRESS + size)
            } else {
                OBJECT_ADDRESS + objects * size
            }
    });
    let contradicts = expected.is_some_and(|expected| expected != length);
    Some((operation, contradicts.then_some(FaultReason::BadLength)))
}

/// What an ASDU of a type does.
const fn effect(kind: u8) -> Effect {
    match kind {
        1..=40 | 70 => Effect::Report,
        45..=47 | 58..=60 => Effect::Control,
        48..=51 | 61..=64 => Effect::Write,
        // Authentication (IEC 62351-5).
        41 | 81..=95 => Effect::Session,
        100..=102 => Effect::Read,
        103 | 110..=113 => Effect::Configure,
        104 | 106 | 107 => Effect::Diagnose,
        105 => Effect::Mode,
        120..=127 => Effect::Program,
        _ => Effect::Other,
    }
}

/// Octets of an object's information elements, time tag included; none where they vary or are not known.
const fn size(kind: u8) -> Option<usize> {
    Some(match kind {
        1 | 3 | 45..=47 | 70 | 100 | 101 | 105 | 113 => 1,
        102 => 0,
        5 | 104 | 106 | 21 => 2,
        9 | 11 | 48 | 49 | 110 | 111 => 3,
        2 | 4 | 51 => 4,
        6 | 7 | 13 | 15 | 20 | 50 | 112 => 5,
        10 | 12 | 17 => 6,
        103 | 18 | 19 => 7,
        8 | 14 | 16 | 30 | 31 | 58..=60 => 8,
        32 | 107 => 9,
        34 | 35 | 38 | 61 | 62 => 10,
        39 | 40 | 64 => 11,
        33 | 36 | 37 | 63 => 12,
        _ => return None,
    })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// An I frame with one object, 300, for station 7.
    pub(in super::super) fn asdu(kind: u8, cause: u8, elements: &[u8]) -> Vec<u8> {
        let length = u8::try_from(4 + 9 + elements.len()).unwrap();
        [&[START, length, 2, 0, 4, 0, kind, 1, cause, 0, 7, 0, 0x2c, 1, 0][..], elements].concat()
    }

    fn told(bytes: &[u8]) -> Operation {
        let message = read(bytes, Way::Unknown).unwrap();
        assert_eq!((message.length, message.fault), (bytes.len(), None), "{bytes:x?}");
        message.operation.unwrap()
    }

    #[test]
    fn types_have_their_effect_and_size() {
        use Effect::{Configure, Control, Diagnose, Mode, Read, Report, Write};
        for (kind, elements, effect) in [
            (1, 1, Report),
            (13, 5, Report),
            (30, 8, Report),
            (36, 12, Report),
            (45, 1, Control),
            (46, 1, Control),
            (47, 1, Control),
            (48, 3, Write),
            (50, 5, Write),
            (51, 4, Write),
            (58, 8, Control),
            (61, 10, Write),
            (63, 12, Write),
            (100, 1, Read),
            (101, 1, Read),
            (102, 0, Read),
            (103, 7, Configure),
            (104, 2, Diagnose),
            (105, 1, Mode),
            (107, 9, Diagnose),
            (110, 3, Configure),
            (113, 1, Configure),
        ] {
            let operation = told(&asdu(kind, 6, &vec![0; elements]));
            assert_eq!((operation.effect, operation.code), (effect, kind.into()));
            assert_eq!((operation.unit, operation.address, operation.count), (7, 300, 1));
            let long = asdu(kind, 6, &vec![0; elements + 1]);
            assert_eq!(read(&long, Way::Unknown).unwrap().fault, Some(FaultReason::BadLength), "{kind}");
        }
        assert_eq!(told(&asdu(122, 13, &[0; 4])).effect, Effect::Program);
        assert_eq!(told(&asdu(200, 6, &[0; 3])).effect, Effect::Other);
    }

    #[test]
    fn the_cause_tells_direction_and_error() {
        use Direction::{Request, Response, Unsolicited};
        for (cause, direction, error) in [
            (1, Unsolicited, None),
            (3, Unsolicited, None),
            (5, Response, None),
            (6, Request, None),
            (7, Response, None),
            (0x47, Response, Some(7)),
            (8, Request, None),
            (10, Response, None),
            (20, Response, None),
            (44, Response, Some(44)),
            (47, Response, Some(47)),
            (0x86, Request, None),
        ] {
            let operation = told(&asdu(45, cause, &[1]));
            assert_eq!((operation.direction, operation.error), (direction, error), "{cause}");
        }
        assert_eq!(told(&asdu(102, 5, &[])).direction, Request);
        for cause in [0, 17, 42, 43, 48, 63] {
            assert_eq!(read(&asdu(45, cause, &[1]), Way::Unknown), None);
        }
    }

    #[test]
    fn objects_in_sequence_have_one_address() {
        let bytes = [START, 4 + 6 + 3 + 3, 0, 0, 0, 0, 1, 0x83, 20, 0, 7, 0, 5, 0, 0, 1, 0, 1];
        let operation = told(&bytes);
        assert_eq!((operation.address, operation.count), (5, 3));
    }

    #[test]
    fn frames_without_data_are_the_session() {
        for (control, code, direction) in [
            ([7, 0, 0, 0], 0x0107, Direction::Request),
            ([0x0b, 0, 0, 0], 0x010b, Direction::Response),
            ([0x43, 0, 0, 0], 0x0143, Direction::Request),
            ([1, 0, 6, 9], 0x0101, Direction::Request),
        ] {
            let operation = told(&[&[START, 4][..], &control].concat());
            assert_eq!((operation.effect, operation.code), (Effect::Session, code));
            assert_eq!(operation.direction, direction);
        }
        for control in [[7, 0, 0, 1], [0x0f, 0, 0, 0], [1, 1, 6, 9], [1, 0, 7, 9], [2, 0, 0, 0]] {
            assert_eq!(read(&[&[START, 4][..], &control].concat(), Way::Unknown), None, "{control:x?}");
        }
    }

    #[test]
    fn a_split_message_is_read_as_far_as_it_goes() {
        let whole = asdu(45, 6, &[1]);
        for (length, unit, address) in [(9, 0, 0), (12, 7, 0), (15, 7, 300)] {
            let message = read(&whole[..length], Way::ToServer).unwrap();
            let operation = message.operation.unwrap();
            assert_eq!(
                (operation.effect, operation.unit, operation.address),
                (Effect::Control, unit, address)
            );
            assert_eq!((message.length, message.fault), (whole.len(), None));
        }
        assert_eq!(read(&whole[..8], Way::ToServer), None);
    }
}
