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
