//! DNP3. Read first: IEEE 1815-2012 clauses 9.2 (data link frames), 8.2 (transport function), 4.2 (application
//! fragments, internal indications) and 11 (objects).
//!
//! `code` is the application function code; of frames without application data `0x0100` + the link control octet's PRM
//! bit and function. `unit` is the link address of the outstation: the destination of what a master sends, the source
//! of what an outstation sends. `object` is group * 256 + variation of the first object, `address` its first index and
//! `count` how many. `error` is the second octet of the internal indications, as far as it names errors (0x01 function
//! not supported, 0x02 object unknown, 0x04 parameter error, 0x10 already executing, 0x20 configuration corrupt).
//!
//! A response does not repeat the function that it answers: its effect is that of its objects, and `Report` where it
//! has none. File objects are `Program` whatever function moves them.
//!
//! Recognised by start octets, length and the header's checksum: on every port, over TCP and UDP. Only the first block
//! of a frame is read, which holds the first object of any fragment; it ends in a checksum of its own. A frame whose
//! transport segment is not the first of its fragment says nothing.

use super::field::{be16, byte, le16, le32};
use super::{Message, Way};
use crate::packet::digest::FaultReason;
use crate::packet::hint::{Direction, Effect, Operation, PlantProtocol};
use crate::packet::window::Window;

/// The first of the two start octets.
pub(super) const START: u8 = 0x05;

const HEADER: usize = 10;
/// Octets of user data before each further checksum.
const BLOCK: usize = 16;
/// What the length counts besides user data: control and two addresses.
const COUNTED: u8 = 5;

const FROM_MASTER: u8 = 0x80;
const PRIMARY: u8 = 0x40;
const FIRST: u8 = 0x40;
const ERRORS: u8 = 0x37;

/// The frame at the start of the bytes.
pub(super) fn read(bytes: &[u8], _way: Way) -> Option<Message> {
    let header: &[u8; HEADER] = bytes.first_chunk()?;
    let &[START, 0x64, length, control, d0, d1, s0, s1, ..] = header else { return None };
    if length < COUNTED || !is_checked(header) {
        return None;
    }
    let user = usize::from(length - COUNTED);
    let whole = HEADER + user + 2 * user.div_ceil(BLOCK);
    let from_master = control & FROM_MASTER != 0;
    let outstation = if from_master { [d0, d1] } else { [s0, s1] };
    let unit = u16::from_le_bytes(outstation).into();
    // Confirmed and unconfirmed user data.
    let carries = control & PRIMARY != 0 && matches!(control & 0x0f, 3 | 4);
    if !carries {
        let direction = if control & PRIMARY != 0 { Direction::Request } else { Direction::Response };
        let code = 0x0100 | u16::from(control & 0x4f);
        let operation = Operation::new(PlantProtocol::Dnp3, direction, Effect::Session, code);
        let fault = (user > 0).then_some(FaultReason::BadLength);
        return Some(Message { operation: Some(Operation { unit, ..operation }), length: whole, fault });
    }
    let size = user.min(BLOCK);
    let block = bytes.get(HEADER..HEADER + size + 2);
    let data = bytes.get(HEADER..bytes.len().min(HEADER + size)).unwrap_or_default();
    let told = fragment(data);
    let fault = match block {
        _ if user == 0 => Some(FaultReason::BadLength),
        Some(block) if !is_checked(block) => Some(FaultReason::BadField),
        _ => told.and_then(|(_, fault)| fault),
    };
    let operation = told.map(|(operation, _)| Operation { unit, ..operation });
    Some(Message { operation, length: whole, fault })
}

/// The frame's own mark is enough.
pub(super) fn is_certain(payload: Window<'_>) -> bool {
    read(payload.bytes, Way::Unknown).is_some()
}

/// The start of an application fragment behind the transport octet; none where the segment is not the first.
fn fragment(data: &[u8]) -> Option<(Operation, Option<FaultReason>)> {
    if byte(data, 0)? & FIRST == 0 {
        return None;
    }
    let function = byte(data, 2)?;
    let (direction, at, error) = match function {
        129..=131 => {
            let direction = if function == 130 { Direction::Unsolicited } else { Direction::Response };
            (direction, 5, byte(data, 4).map(|errors| errors & ERRORS).filter(|&errors| errors != 0))
        }
        0 => (Direction::Response, 3, None),
        _ => (Direction::Request, 3, None),
    };
    let object = be16(data, at).unwrap_or(0);
    let [group, _] = object.to_be_bytes();
    let told = Operation {
        object: object.into(),
        error: error.map(u16::from),
        ..Operation::new(PlantProtocol::Dnp3, direction, effect(function, group), function.into())
    };
    let Some(qualifier) = byte(data, at + 2) else { return Some((told, None)) };
    match range(qualifier, data.get(at + 3..).unwrap_or_default()) {
        Ok((address, count)) => Some((Operation { address, count, ..told }, None)),
        Err(reason) => Some((told, Some(reason))),
    }
}

/// The first index and how many by a qualifier and its range; zeros where these are not all there.
fn range(qualifier: u8, data: &[u8]) -> Result<(u32, u32), FaultReason> {
    let number = |at, size| match size {
        1 => byte(data, at).map(u32::from),
        2 => le16(data, at).map(u32::from),
        4 => le32(data, at),
        _ => Some(0),
    };
    let prefix = |at| match qualifier >> 4 & 7 {
        1 => number(at, 1),
        2 => number(at, 2),
        3 => number(at, 4),
        _ => Some(0),
    };
    let size = 1 << (qualifier & 3);
    let pair = match qualifier & 0x0f {
        0..=2 => match (number(0, size), number(size, size)) {
            (Some(first), Some(last)) if last < first => return Err(FaultReason::BadField),
            (Some(first), Some(last)) => Some((first, (last - first).saturating_add(1))),
            _ => None,
        },
        // Virtual addresses, which have no index here; and all points.
        3..=6 => None,
        7..=9 => {
            let size = 1 << ((qualifier & 0x0f) - 7);
            number(0, size).map(|count| (prefix(size).unwrap_or(0), count))
        }
        // Objects of variable size, each with its size in front.
        0x0b => number(0, 1).map(|count| (0, count)),
        _ => return Err(FaultReason::BadField),
    };
    Ok(pair.unwrap_or_default())
}

/// What a function does to objects of a group.
const fn effect(function: u8, group: u8) -> Effect {
    const FILES: u8 = 70;
    match (function, group) {
        (0, _) | (32 | 33 | 131, _) | (_, 120..=122) => Effect::Session,
        (1 | 2 | 25..=27 | 29 | 30 | 129, FILES) => Effect::Program,
        (1 | 28, _) => Effect::Read,
        // Time and intervals; the outstation's own identity and settings.
        (2, 0 | 50..=52) => Effect::Configure,
        // The restart indication, which a master clears as part of its greeting.
        (2, 80) => Effect::Session,
        // Freezes copy and reset counters.
        (2 | 7..=12, _) => Effect::Write,
        (3..=6, _) => Effect::Control,
        (13 | 14 | 16..=18, _) => Effect::Mode,
        (15 | 19..=22 | 24 | 31, _) => Effect::Configure,
        (23, _) => Effect::Diagnose,
        (25..=27 | 29 | 30, _) => Effect::Program,
        // A response: what it carries tells what was asked.
        (129, 0) | (130, _) => Effect::Report,
        (129, 12 | 41) => Effect::Control,
        (129, 50..=52) => Effect::Diagnose,
        (129, _) => Effect::Read,
        _ => Effect::Other,
    }
}

/// Whether bytes end in the right checksum (IEEE 1815 clause 9.2.4.5).
fn is_checked(bytes: &[u8]) -> bool {
    let Some((data, sum)) = bytes.split_last_chunk::<2>() else { return false };
    crc(data) == u16::from_le_bytes(*sum)
}

/// x^16 + x^13 + x^12 + x^11 + x^10 + x^8 + x^6 + x^5 + x^2 + 1, reflected, complemented.
fn crc(data: &[u8]) -> u16 {
    let mut sum = 0_u16;
    for byte in data {
        let [low, high] = sum.to_le_bytes();
        let entry = TABLE.get(usize::from(low ^ byte)).copied().unwrap_or(0);
        sum = u16::from(high) ^ entry;
    }
    !sum
}

const TABLE: [u16; 256] = {
    let mut table = [0; 256];
    let mut index = 0_u16;
    while index < 256 {
        let mut value = index;
        let mut bit = 0;
        while bit < 8 {
            value = if value & 1 == 1 { value >> 1 ^ 0xa6bc } else { value >> 1 };
            bit += 1;
        }
        table[index as usize] = value;
        index += 1;
    }
    table
};
