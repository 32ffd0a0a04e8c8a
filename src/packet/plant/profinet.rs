//! PROFINET frames on EtherType 0x8892. Read first: IEC 61158-6-10 clauses 4.3 (DCP) and 4.2 (frame identifiers).
//!
//! `code` is the service of DCP frames (3 get, 4 set, 5 identify, 6 hello) and the frame identifier of all others.
//! `address` is option * 256 + sub-option of the block that is told: of a set request the most consequential one, of
//! others the first. `error` is the block error of a set response, or 5 where the service is not supported.
//!
//! A set of the name or the IP parameters is `Configure`, a reset `Mode` (the station leaves its names, addresses or
//! parameters, and the process), flashing the lamp `Identify`. Cyclic data and alarms are `Report`, clock and line delay
//! measurement `Session`.

use super::field::{be16, byte};
use super::{Message, Way};
use crate::packet::digest::FaultReason;
use crate::packet::hint::{Direction, Effect, Operation, PlantProtocol};

const HELLO: u16 = 0xfefc;
const GET_SET: u16 = 0xfefd;
const IDENTIFY: u16 = 0xfefe;
const IDENTIFIED: u16 = 0xfeff;
/// Frame identifier, service, type, transaction, delay or reserved, length.
const HEADER: usize = 12;
const BLOCK: usize = 4;
/// Blocks that a set request may have and that are looked at; tools send one to three.
const MAX_BLOCKS: usize = 16;
const CONTROL: u8 = 5;
const RESPONSE_BLOCK: u16 = 0x0504;

/// The frame behind the EtherType. Padding follows it.
pub(super) fn read(bytes: &[u8], _way: Way) -> Option<Message> {
    let frame = be16(bytes, 0)?;
    if !(HELLO..=IDENTIFIED).contains(&frame) {
        let effect = real_time(frame)?;
        let operation = Operation::new(PlantProtocol::ProfinetDcp, Direction::Unsolicited, effect, frame);
        return Some(Message { operation: Some(operation), length: 2, fault: None });
    }
    let (service, kind) = (byte(bytes, 2)?, byte(bytes, 3)?);
    let fits = matches!(
        (frame, service, kind),
        (HELLO, 6, 0) | (GET_SET, 3 | 4, 0 | 1 | 5) | (IDENTIFY, 5, 0) | (IDENTIFIED, 5, 1 | 5)
    );
    let direction = match (frame, kind) {
        (HELLO, _) => Direction::Unsolicited,
        (_, 0) => Direction::Request,
        _ => Direction::Response,
    };
    let length = usize::from(be16(bytes, 10).unwrap_or(0));
    let blocks = bytes.get(HEADER..).unwrap_or_default();
    let is_whole = blocks.len() >= length;
    let blocks = blocks.get(..length).unwrap_or(blocks);
    let told = Operation {
        error: (kind == 5).then_some(5),
        ..Operation::new(PlantProtocol::ProfinetDcp, direction, effect(service), service.into())
    };
    let (operation, ends_well) = match (service, direction) {
        (4, Direction::Request) => set(blocks, told),
        (4, _) => (answer(blocks, told), true),
        _ => (Operation { address: be16(blocks, 0).map_or(0, u32::from), ..told }, true),
    };
    let fault = if !fits {
        Some(FaultReason::BadField)
    } else {
        (is_whole && !ends_well).then_some(FaultReason::BadLength)
    };
    Some(Message { operation: Some(operation), length: HEADER + length, fault })
}

/// The most consequential block, and whether the blocks end where the data end.
fn set(mut blocks: &[u8], told: Operation) -> (Operation, bool) {
    let mut most: Option<Operation> = None;
    for _ in 0..MAX_BLOCKS {
        let (Some(option), Some(length)) = (be16(blocks, 0), be16(blocks, 2)) else {
            return (most.unwrap_or(told), blocks.is_empty());
        };
        let block = Operation { address: option.into(), effect: set_effect(option), ..told };
        if most.is_none_or(|most| block.effect > most.effect) {
            most = Some(block);
        }
        // Blocks begin at even offsets; the last needs no padding.
        let end = BLOCK + usize::from(length);
        let Some(rest) = blocks.get(end..) else { return (most.unwrap_or(told), false) };
        blocks = if length % 2 == 1 { rest.get(1..).unwrap_or_default() } else { rest };
    }
    (most.unwrap_or(told), true)
}

/// The answer to the first block of a set request.
fn answer(blocks: &[u8], told: Operation) -> Operation {
    if be16(blocks, 0) != Some(RESPONSE_BLOCK) {
        return told;
    }
    let option = be16(blocks, BLOCK).unwrap_or(0);
    let error = byte(blocks, BLOCK + 2).map(u16::from).filter(|&error| error != 0);
    Operation { address: option.into(), effect: set_effect(option), error: told.error.or(error), ..told }
}

const fn effect(service: u8) -> Effect {
    match service {
        3 => Effect::Read,
        4 => Effect::Configure,
        5 | 6 => Effect::Identify,
        _ => Effect::Other,
    }
}

/// What the setting of an option and sub-option does.
const fn set_effect(option: u16) -> Effect {
    match option.to_be_bytes() {
        // Begin and end of a transaction.
        [CONTROL, 1 | 2] => Effect::Session,
        [CONTROL, 3] => Effect::Identify,
        [CONTROL, 5 | 6] => Effect::Mode,
        _ => Effect::Configure,
    }
}

/// What frames of other identifiers do; none for reserved ones.
const fn real_time(frame: u16) -> Option<Effect> {
    match frame {
        // Clock synchronisation and delay measurement.
        0x0020..=0x0081 | 0xff00..=0xff43 => Some(Effect::Session),
        // Cyclic data of all classes, and alarms of high and low priority.
        0x0100..=0x0fff | 0x8000..=0xfbff | 0xfc01 | 0xfe01 => Some(Effect::Report),
        _ => None,
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A DCP frame with blocks.
    pub(in super::super) fn dcp(frame: u16, service: u8, kind: u8, blocks: &[u8]) -> Vec<u8> {
        let length = u8::try_from(blocks.len()).unwrap();
        [&frame.to_be_bytes(), &[service, kind, 0, 0, 0, 1, 0, 1, 0, length][..], blocks].concat()
    }

    fn told(bytes: &[u8]) -> Operation {
        let message = read(bytes, Way::Unknown).unwrap();
        assert_eq!(message.fault, None, "{bytes:x?}");
        message.operation.unwrap()
    }

    #[test]
    fn searches_and_answers() {
        use Direction::{Request, Response, Unsolicited};
        for (frame, service, kind, direction, effect) in [
            (IDENTIFY, 5, 0, Request, Effect::Identify),
            (IDENTIFIED, 5, 1, Response, Effect::Identify),
            (HELLO, 6, 0, Unsolicited, Effect::Identify),
            (GET_SET, 3, 0, Request, Effect::Read),
            (GET_SET, 3, 1, Response, Effect::Read),
        ] {
            let operation = told(&dcp(frame, service, kind, &[2, 2, 0, 2, 0, 0]));
            assert_eq!((operation.direction, operation.effect), (direction, effect));
            assert_eq!((operation.code, operation.address), (service.into(), 0x0202));
        }
    }

    #[test]
    fn a_set_request_tells_its_most_consequential_block() {
        let set = |blocks: &[u8]| {
            let operation = told(&dcp(GET_SET, 4, 0, blocks));
            (operation.effect, operation.address)
        };
        assert_eq!(set(&[5, 3, 0, 4, 0, 0, 1, 0]), (Effect::Identify, 0x0503));
        assert_eq!(set(&[2, 2, 0, 5, 0, 1, b'p', b'l', b'c', 0]), (Effect::Configure, 0x0202));
        assert_eq!(set(&[5, 1, 0, 2, 0, 0, 1, 2, 0, 2, 0, 1, 5, 2, 0, 2, 0, 0]), (Effect::Configure, 0x0102));
        assert_eq!(set(&[2, 2, 0, 3, 0, 1, b'x', 0, 5, 5, 0, 2, 0, 0]), (Effect::Mode, 0x0505));
        assert_eq!(set(&[5, 6, 0, 2, 0, 4]), (Effect::Mode, 0x0506));
    }

    #[test]
    fn a_set_response_tells_what_was_refused() {
        let operation = told(&dcp(GET_SET, 4, 1, &[5, 4, 0, 3, 2, 2, 6]));
        assert_eq!((operation.address, operation.error), (0x0202, Some(6)));
        assert_eq!(told(&dcp(GET_SET, 4, 1, &[5, 4, 0, 3, 5, 6, 0])).error, None);
        assert_eq!(told(&dcp(GET_SET, 4, 5, &[])).error, Some(5));
    }

    #[test]
    fn other_frame_identifiers_are_cyclic_data_alarms_and_clocks() {
        for (frame, effect) in [
            (0x8000_u16, Some(Effect::Report)),
            (0xbfff, Some(Effect::Report)),
            (0x0100, Some(Effect::Report)),
            (0xfc01, Some(Effect::Report)),
            (0xff40, Some(Effect::Session)),
            (0x0080, Some(Effect::Session)),
            (0x0000, None),
            (0x7000, None),
            (0xff80, None),
        ] {
            let [high, low] = frame.to_be_bytes();
            let operation = read(&[high, low, 1, 2], Way::Unknown).map(|message| message.operation.unwrap());
            assert_eq!(operation.map(|operation| operation.effect), effect, "{frame:x}");
            assert!(operation.is_none_or(|operation| operation.code == frame));
        }
    }

    #[test]
    fn services_of_another_frame_and_broken_blocks_are_faults() {
        let fault = |bytes: &[u8]| read(bytes, Way::Unknown).unwrap().fault;
        assert_eq!(fault(&dcp(IDENTIFY, 4, 0, &[])), Some(FaultReason::BadField));
        assert_eq!(fault(&dcp(GET_SET, 4, 2, &[])), Some(FaultReason::BadField));
        assert_eq!(fault(&dcp(GET_SET, 4, 0, &[2, 2, 0, 9, 0, 1])), Some(FaultReason::BadLength));
        assert_eq!(fault(&dcp(GET_SET, 4, 0, &[2, 2, 0])), Some(FaultReason::BadLength));
    }
}
