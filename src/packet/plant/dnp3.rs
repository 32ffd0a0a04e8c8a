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
    let object = be16(data, at);
    let group = object.map(|object| object.to_be_bytes()[0]);
    let told = Operation {
        object: object.map_or(0, u32::from),
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

/// What a function does to objects of a group; none where it has no object.
const fn effect(function: u8, group: Option<u8>) -> Effect {
    const FILES: u8 = 70;
    match (function, group) {
        (0, _) | (32 | 33 | 131, _) | (_, Some(120..=122)) => Effect::Session,
        (1 | 2 | 25..=27 | 29 | 30 | 129, Some(FILES)) => Effect::Program,
        // The attributes of a device.
        (1 | 129, Some(0)) => Effect::Identify,
        (1 | 28, _) => Effect::Read,
        // Those, time and intervals.
        (2, Some(0 | 50..=52)) => Effect::Configure,
        // The restart indication, which a master clears as part of its greeting.
        (2, Some(80)) => Effect::Session,
        // Freezes copy and reset counters.
        (2 | 7..=12, _) => Effect::Write,
        (3..=6, _) => Effect::Control,
        (13 | 14 | 16..=18, _) => Effect::Mode,
        (15 | 19..=22 | 24 | 31, _) => Effect::Configure,
        (23, _) => Effect::Diagnose,
        (25..=27 | 29 | 30, _) => Effect::Program,
        // A response: what it carries tells what was asked.
        (129, None) | (130, _) => Effect::Report,
        (129, Some(12 | 41)) => Effect::Control,
        (129, Some(50..=52)) => Effect::Diagnose,
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

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    fn checked(data: &[u8]) -> Vec<u8> {
        [data, &crc(data).to_le_bytes()].concat()
    }

    /// A frame from station 1 to station 10 (from the master) or back, with user data.
    pub(in super::super) fn frame(control: u8, user: &[u8]) -> Vec<u8> {
        let [to, from] = if control & FROM_MASTER != 0 { [10, 1] } else { [1, 10] };
        let length = u8::try_from(user.len()).unwrap() + COUNTED;
        let mut frame = checked(&[START, 0x64, length, control, to, 0, from, 0]);
        user.chunks(BLOCK).for_each(|block| frame.extend(checked(block)));
        frame
    }

    fn told(control: u8, application: &[u8]) -> Operation {
        let frame = frame(control, &[&[0xc0][..], application].concat());
        let message = read(&frame, Way::Unknown).unwrap();
        assert_eq!((message.length, message.fault), (frame.len(), None), "{application:x?}");
        message.operation.unwrap()
    }

    /// Unconfirmed user data from the master: sequence 1, function, objects.
    fn asked(function: u8, objects: &[u8]) -> Operation {
        let operation = told(0xc4, &[&[0xc1, function], objects].concat());
        assert_eq!((operation.unit, operation.code), (10, function.into()));
        operation
    }

    /// The check value of CRC-16/DNP in the catalogue of parametrised CRC algorithms.
    #[test]
    fn the_checksum_is_the_published_one() {
        assert_eq!(crc(b"123456789"), 0xea82);
    }

    #[test]
    fn functions_have_their_effect() {
        use Effect::{Configure, Control, Diagnose, Mode, Other, Program, Read, Session, Write};
        for (function, effect) in [
            (1, Read),
            (2, Write),
            (3, Control),
            (4, Control),
            (5, Control),
            (6, Control),
            (7, Write),
            (10, Write),
            (13, Mode),
            (14, Mode),
            (15, Configure),
            (18, Mode),
            (19, Configure),
            (20, Configure),
            (21, Configure),
            (22, Configure),
            (23, Diagnose),
            (24, Configure),
            (25, Program),
            (27, Program),
            (28, Read),
            (31, Configure),
            (32, Session),
            (99, Other),
        ] {
            let operation = asked(function, &[]);
            assert_eq!((operation.effect, operation.direction), (effect, Direction::Request), "{function}");
        }
        assert_eq!(asked(2, &[50, 1, 0x07, 1]).effect, Configure);
        assert_eq!(asked(1, &[0, 254, 0x00, 0, 0]).effect, Effect::Identify);
        assert_eq!(asked(2, &[80, 1, 0x00, 7, 7, 0]).effect, Session);
        assert_eq!(asked(1, &[70, 5, 0x5b, 1]).effect, Program);
    }

    #[test]
    fn the_first_object_and_its_range_are_told() {
        let range = |objects: &[u8]| {
            let operation = asked(1, objects);
            (operation.object, operation.address, operation.count)
        };
        assert_eq!(range(&[60, 1, 0x06]), (0x3c01, 0, 0));
        assert_eq!(range(&[30, 5, 0x00, 3, 9]), (0x1e05, 3, 7));
        assert_eq!(range(&[30, 5, 0x01, 0, 1, 9, 1]), (0x1e05, 256, 10));
        assert_eq!(range(&[30, 5, 0x02, 1, 0, 0, 0, 1, 0, 0, 0]), (0x1e05, 1, 1));
        assert_eq!(range(&[60, 2, 0x07, 20]), (0x3c02, 0, 20));
        // A control block for point 7, one-octet count and index; and two-octet ones.
        assert_eq!(range(&[12, 1, 0x17, 1, 7, 3, 1]), (0x0c01, 7, 1));
        assert_eq!(range(&[12, 1, 0x28, 2, 0, 0x2c, 1, 3]), (0x0c01, 300, 2));
        assert_eq!(range(&[30]), (0, 0, 0));
    }

    #[test]
    fn responses_tell_their_errors_and_the_outstation() {
        let answered = |function, iin2, objects: &[u8]| {
            let operation = told(0x44, &[&[0xc1, function, 0x80, iin2], objects].concat());
            assert_eq!(operation.unit, 10);
            (operation.effect, operation.direction, operation.error)
        };
        use Direction::{Response, Unsolicited};
        assert_eq!(answered(129, 0, &[30, 5, 0x00, 3, 9]), (Effect::Read, Response, None));
        assert_eq!(answered(129, 0x08, &[]), (Effect::Report, Response, None));
        assert_eq!(answered(129, 0x01, &[]), (Effect::Report, Response, Some(1)));
        assert_eq!(answered(129, 0x06, &[12, 1, 0x17, 1, 7]), (Effect::Control, Response, Some(6)));
        assert_eq!(answered(130, 0, &[2, 1, 0x17, 1, 7]), (Effect::Report, Unsolicited, None));
    }

    #[test]
    fn link_frames_are_the_session() {
        let frame = frame(0xc9, &[]);
        let operation = read(&frame, Way::Unknown).unwrap().operation.unwrap();
        assert_eq!((operation.effect, operation.code), (Effect::Session, 0x0149));
        assert_eq!((operation.direction, operation.unit), (Direction::Request, 10));
    }

    #[test]
    fn later_segments_say_nothing_and_cut_ones_what_they_hold() {
        let later = frame(0xc4, &[0x81, 1, 2, 3]);
        assert_eq!(
            read(&later, Way::Unknown),
            Some(Message { operation: None, length: later.len(), fault: None })
        );
        let whole = frame(0xc4, &[0xc0, 0xc1, 5, 12, 1, 0x17, 1, 7, 3, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(whole.len(), 10 + 18 + 6);
        let message = read(&whole[..18], Way::Unknown).unwrap();
        assert_eq!((message.length, message.fault), (34, None));
        let operation = message.operation.unwrap();
        assert_eq!((operation.effect, operation.address), (Effect::Control, 7));
    }

    #[test]
    fn contradictions_are_faults_and_a_bad_header_is_no_frame() {
        let fault = |bytes: &[u8]| read(bytes, Way::Unknown).unwrap().fault;
        let mut block = frame(0xc4, &[0xc0, 0xc1, 1, 60, 1, 0x06]);
        block[12] ^= 1;
        assert_eq!(fault(&block), Some(FaultReason::BadField));
        assert_eq!(fault(&frame(0xc4, &[0xc0, 0xc1, 1, 30, 5, 0, 9, 3])), Some(FaultReason::BadField));
        assert_eq!(fault(&frame(0xc4, &[0xc0, 0xc1, 1, 30, 5, 0x0f])), Some(FaultReason::BadField));
        assert_eq!(fault(&frame(0xc4, &[])), Some(FaultReason::BadLength));
        assert_eq!(fault(&frame(0xc9, &[1])), Some(FaultReason::BadLength));
        let valid = frame(0xc4, &[0xc0, 0xc1, 1]);
        for at in 0..HEADER {
            let mut bytes = valid.clone();
            bytes[at] ^= 0x10;
            assert_eq!(read(&bytes, Way::ToServer), None, "{at}");
        }
    }
}
