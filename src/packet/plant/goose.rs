//! GOOSE on EtherType 0x88b8. Read first: IEC 61850-8-1 clause 18 and annexes A (abstract syntax) and C (frame).
//!
//! `code` is 1 for the first message of a new state (sequence number 0) and 0 for its repetitions; `unit` is the APPID,
//! `address` a hash of the control block's reference, `object` the configuration revision, `count` the entries of the
//! data set. All messages are `Report`, and unsolicited: what a subscriber makes of them is not in them.
//!
//! A frame is a message where the length fits and the APDU has the tag of a GOOSE PDU; management PDUs of the same
//! EtherType are not read.

use super::field::{be16, byte, hash};
use super::{Message, Way};
use crate::packet::digest::FaultReason;
use crate::packet::hint::{Direction, Effect, Operation, PlantProtocol};

/// APPID, length, two reserved fields.
const HEADER: usize = 8;
const PDU: u8 = 0x61;
/// Fields before the data: tags 0x80 to 0x8a.
const MAX_FIELDS: usize = 12;

/// The frame behind the EtherType. Padding follows it.
pub(super) fn read(bytes: &[u8], _way: Way) -> Option<Message> {
    let (unit, length) = (be16(bytes, 0)?, usize::from(be16(bytes, 2)?));
    if byte(bytes, HEADER)? != PDU {
        return None;
    }
    let mut told = Operation {
        unit: unit.into(),
        ..Operation::new(PlantProtocol::Goose, Direction::Unsolicited, Effect::Report, 0)
    };
    let apdu = bytes.get(HEADER..bytes.len().min(length)).unwrap_or_default();
    let is_whole = bytes.len() >= length;
    let ends_well = fields(apdu, &mut told);
    let fault = (is_whole && !ends_well).then_some(FaultReason::BadLength);
    Some(Message { operation: Some(told), length, fault })
}

/// Reads the fields before the data; whether they are well-formed up to there.
fn fields(apdu: &[u8], told: &mut Operation) -> bool {
    let Some((PDU, size, mut rest)) = tag(apdu) else { return false };
    if size > rest.len() {
        return false;
    }
    for _ in 0..MAX_FIELDS {
        let Some((tag, length, behind)) = tag(rest) else { return rest.is_empty() };
        let Some((value, after)) = behind.split_at_checked(length) else { return false };
        match tag {
            0x80 => told.address = hash(value),
            0x86 => told.code = u16::from(number(value) == 0),
            0x88 => told.object = number(value),
            0x8a => told.count = number(value),
            0xab => return true,
            _ => {}
        }
        rest = after;
    }
    true
}

/// An ASN.1 tag of one octet with its length (X.690 clause 8.1) and what is behind them.
fn tag(bytes: &[u8]) -> Option<(u8, usize, &[u8])> {
    match bytes {
        [tag, length @ 0..=0x7f, rest @ ..] => Some((*tag, usize::from(*length), rest)),
        [tag, 0x81, length, rest @ ..] => Some((*tag, usize::from(*length), rest)),
        [tag, 0x82, high, low, rest @ ..] => {
            Some((*tag, usize::from(u16::from_be_bytes([*high, *low])), rest))
        }
        _ => None,
    }
}

/// An unsigned integer; of one that is too long the low bits.
fn number(value: &[u8]) -> u32 {
    value.iter().fold(0, |number, &octet| number << 8 | u32::from(octet))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A message of control block `IED1/LLN0$GO$gcb1` with a sequence number.
    pub(in super::super) fn message(sequence: u8) -> Vec<u8> {
        let reference = b"IED1/LLN0$GO$gcb1";
        let fields = [
            &[0x80, 17][..],
            reference,
            &[0x81, 2, 7, 0xd0, 0x82, 1, b'd', 0x83, 1, b'g', 0x84, 8, 0, 0, 0, 0, 0, 0, 0, 0],
            &[0x85, 1, 3, 0x86, 1, sequence, 0x87, 1, 0, 0x88, 1, 9, 0x89, 1, 0, 0x8a, 1, 2],
            &[0xab, 6, 0x83, 1, 1, 0x83, 1, 0],
        ]
        .concat();
        let size = u8::try_from(fields.len()).unwrap();
        [&[0x10, 1, 0, size + 10, 0, 0, 0, 0, PDU, size][..], &fields].concat()
    }

    #[test]
    fn a_publication_names_its_block_and_whether_its_state_is_new() {
        for (sequence, code) in [(0, 1), (5, 0)] {
            let bytes = message(sequence);
            let message = read(&bytes, Way::Unknown).unwrap();
            assert_eq!((message.length, message.fault), (bytes.len(), None));
            let operation = message.operation.unwrap();
            assert_eq!((operation.effect, operation.direction), (Effect::Report, Direction::Unsolicited));
            assert_eq!(
                (operation.code, operation.unit, operation.object, operation.count),
                (code, 0x1001, 9, 2)
            );
            assert_eq!(operation.address, hash(b"IED1/LLN0$GO$gcb1"));
        }
    }

    #[test]
    fn lengths_that_cannot_be_are_faults_and_other_tags_no_message() {
        let fault = |at: usize, byte| {
            let mut bytes = message(0);
            bytes[at] = byte;
            read(&bytes, Way::Unknown).map(|message| message.fault)
        };
        assert_eq!(fault(8, 0x60), None);
        assert_eq!(fault(3, 12), Some(Some(FaultReason::BadLength)));
        assert_eq!(fault(9, 120), Some(Some(FaultReason::BadLength)));
        assert_eq!(fault(11, 100), Some(Some(FaultReason::BadLength)));
    }
}
