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
