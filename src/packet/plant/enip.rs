//! EtherNet/IP. Read first: ODVA "EtherNet/IP Adaptation of CIP" (volume 2) chapter 2: sections 2-3 (encapsulation
//! header), 2-4 (commands) and 2-6 (common packet format). What CIP says inside is read by `cip`.
//!
//! `code` is the CIP service without its response bit; `0x0100` + the encapsulation command where there is no CIP
//! message; `0x8002` for implicit I/O. `unit` is the slot or other link address that an "unconnected send" routes to.
//! `object` is class * 65536 + instance of the first path, `address` the attribute, else the member; of a symbolic path
//! `object` is 0 and `address` a hash of the tag's name. `count` is the elements of a tag's read or write. `error` is
//! CIP's general status, or `0x0100` + the status of the encapsulation.
//!
//! A response does not repeat its path, so that it tells less of its effect than the request.
//!
//! Recognised on port 44818 of TCP and UDP by a known command, options of 0 and, of requests, a status of 0; on UDP
//! port 2222 by items of connected data that end where the datagram ends.

use super::field::{byte, le16, le32};
use super::{Message, Way, cip};
use crate::packet::digest::FaultReason;
use crate::packet::hint::{Direction, Effect, Operation, PlantProtocol};

const HEADER: usize = 24;
const SEND_RR_DATA: u16 = 0x6f;
const SEND_UNIT_DATA: u16 = 0x70;
const BARE: u16 = 0x0100;
const FAILED: u16 = 0x0100;

/// Types of items of the common packet format.
const CONNECTED: u16 = 0x00b1;
const UNCONNECTED: u16 = 0x00b2;
const SEQUENCED_ADDRESS: u16 = 0x8002;
/// Address, data, and socket addresses for both directions.
const MAX_ITEMS: u16 = 4;
/// Interface handle and timeout in front of the items.
const INTERFACE: usize = 6;

/// The message at the start of a segment's rest, or of a datagram.
pub(super) fn read(bytes: &[u8], way: Way) -> Option<Message> {
    let header = bytes.get(..HEADER)?;
    let (command, length, status) = (le16(header, 0)?, usize::from(le16(header, 2)?), le32(header, 8)?);
    let effect = effect(command)?;
    if le32(header, 20)? != 0 || way == Way::ToServer && status != 0 {
        return None;
    }
    let whole = HEADER + length;
    let body = bytes.get(HEADER..bytes.len().min(whole)).unwrap_or_default();
    let is_whole = bytes.len() >= whole;
    let direction = if way == Way::FromServer { Direction::Response } else { Direction::Request };
    let bare = Operation {
        error: (status != 0).then(|| FAILED + u16::try_from(status & 0xff).unwrap_or(0)),
        ..Operation::new(PlantProtocol::EtherNetIp, direction, effect, BARE | command)
    };
    let (operation, fault) = match command {
        SEND_RR_DATA | SEND_UNIT_DATA if status == 0 => items(body, bare),
        _ => (bare, None),
    };
    Some(Message { operation: Some(operation), length: whole, fault: fault.filter(|_| is_whole) })
}

/// Cyclic data of a connection: a sequenced address and data, and nothing behind them.
pub(super) fn read_io(bytes: &[u8], _way: Way) -> Option<Message> {
    const DATA: usize = 14;
    let is_io = (le16(bytes, 0)?, le16(bytes, 2)?, le16(bytes, 4)?) == (2, SEQUENCED_ADDRESS, 8);
    if !is_io || le16(bytes, DATA)? != CONNECTED {
        return None;
    }
    let length = usize::from(le16(bytes, DATA + 2)?);
    let operation =
        Operation::new(PlantProtocol::EtherNetIp, Direction::Unsolicited, Effect::Report, SEQUENCED_ADDRESS);
    Some(Message { operation: Some(operation), length: DATA + 4 + length, fault: None })
}

/// What an encapsulation command does; none where it is not known.
const fn effect(command: u16) -> Option<Effect> {
    match command {
        // Services, identity, interfaces.
        0x04 | 0x63 | 0x64 => Some(Effect::Identify),
        // Register and unregister a session; a TLS session; status, cancel. Not "no operation", which is 0 and would
        // be found in the rest of many a message.
        0x65 | 0x66 | 0xc8 | 0x72 | 0x73 => Some(Effect::Session),
        SEND_RR_DATA | SEND_UNIT_DATA => Some(Effect::Other),
        _ => None,
    }
}

/// The CIP message among the items.
fn items(body: &[u8], bare: Operation) -> (Operation, Option<FaultReason>) {
    let Some(count) = le16(body, INTERFACE) else { return (bare, Some(FaultReason::BadLength)) };
    if count > MAX_ITEMS {
        return (bare, Some(FaultReason::BadField));
    }
    let mut rest = body.get(INTERFACE + 2..).unwrap_or_default();
    for _ in 0..count {
        let (Some(kind), Some(length)) = (le16(rest, 0), le16(rest, 2)) else {
            return (bare, Some(FaultReason::BadLength));
        };
        let data = rest.get(4..).unwrap_or_default();
        let length = usize::from(length);
        let item = data.get(..length).unwrap_or(data);
        // Connected data begin with a sequence number.
        let message = match kind {
            UNCONNECTED => Some(item),
            CONNECTED => Some(item.get(2..).unwrap_or_default()),
            _ => None,
        };
        if let Some(message) = message {
            let fault = (length > data.len()).then_some(FaultReason::BadLength);
            return match byte(message, 0) {
                Some(_) => {
                    let (operation, inner) = cip::read(message);
                    (operation, fault.or(inner))
                }
                None => (bare, fault),
            };
        }
        let Some(behind) = data.get(length..) else { return (bare, Some(FaultReason::BadLength)) };
        rest = behind;
    }
    (bare, None)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in super::super) fn encapsulated(command: u16, status: u8, body: &[u8]) -> Vec<u8> {
        let length = u16::try_from(body.len()).unwrap().to_le_bytes();
        let mut header = [0; HEADER];
        header[..2].copy_from_slice(&command.to_le_bytes());
        header[2..4].copy_from_slice(&length);
        header[8] = status;
        [&header[..], body].concat()
    }

    fn item(kind: u16, data: &[u8]) -> Vec<u8> {
        let length = u16::try_from(data.len()).unwrap().to_le_bytes();
        [&kind.to_le_bytes()[..], &length, data].concat()
    }

    /// A CIP message as unconnected data.
    pub(in super::super) fn unconnected(message: &[u8]) -> Vec<u8> {
        let body = [&[0, 0, 0, 0, 5, 0, 2, 0][..], &item(0, &[]), &item(UNCONNECTED, message)].concat();
        encapsulated(SEND_RR_DATA, 0, &body)
    }

    fn told(bytes: &[u8], way: Way) -> Operation {
        let message = read(bytes, way).unwrap();
        assert_eq!((message.length, message.fault), (bytes.len(), None), "{bytes:x?}");
        message.operation.unwrap()
    }

    #[test]
    fn commands_without_a_message_are_told_by_their_number() {
        for (command, effect) in [
            (0x04, Effect::Identify),
            (0x63, Effect::Identify),
            (0x64, Effect::Identify),
            (0x65, Effect::Session),
            (0x66, Effect::Session),
        ] {
            let operation = told(&encapsulated(command, 0, &[]), Way::ToServer);
            assert_eq!((operation.effect, operation.code), (effect, 0x0100 | command));
            assert_eq!(operation.direction, Direction::Request);
        }
        let refused = told(&encapsulated(0x65, 0x69, &[1, 0, 0, 0]), Way::FromServer);
        assert_eq!((refused.direction, refused.error), (Direction::Response, Some(0x0169)));
    }

    #[test]
    fn connected_and_unconnected_data_hold_a_message() {
        let get = [0x0e, 3, 0x20, 0x01, 0x24, 0x01, 0x30, 0x07];
        let operation = told(&unconnected(&get), Way::ToServer);
        assert_eq!((operation.effect, operation.code), (Effect::Identify, 0x0e));
        assert_eq!((operation.object, operation.address), (0x0001_0001, 7));
        let address = item(0x00a1, &[1, 2, 3, 4]);
        let data = item(
            CONNECTED,
            &[&[9, 0][..], &[0x4d, 2, 0x91, 2, b'a', b'b', 0xc4, 0, 1, 0, 5, 0, 0, 0]].concat(),
        );
        let body = [&[0, 0, 0, 0, 0, 0, 2, 0][..], &address, &data].concat();
        let operation = told(&encapsulated(SEND_UNIT_DATA, 0, &body), Way::ToServer);
        assert_eq!((operation.effect, operation.count), (Effect::Write, 1));
    }

    #[test]
    fn cyclic_data_are_reports() {
        let io = [&[2, 0][..], &item(SEQUENCED_ADDRESS, &[0; 8]), &item(CONNECTED, &[0; 6])].concat();
        let message = read_io(&io, Way::Unknown).unwrap();
        assert_eq!((message.length, message.operation.unwrap().effect), (io.len(), Effect::Report));
        for at in [0, 2, 4, 14] {
            let mut bytes = io.clone();
            bytes[at] ^= 1;
            assert_eq!(read_io(&bytes, Way::Unknown), None, "{at}");
        }
    }

    #[test]
    fn doubtful_headers_are_no_message_and_broken_items_a_fault() {
        assert_eq!(read(&encapsulated(0x67, 0, &[]), Way::ToServer), None);
        assert_eq!(read(&encapsulated(0x65, 1, &[]), Way::ToServer), None);
        let mut options = encapsulated(0x65, 0, &[]);
        options[20] = 1;
        assert_eq!(read(&options, Way::ToServer), None);
        let fault = |body: &[u8]| read(&encapsulated(SEND_RR_DATA, 0, body), Way::ToServer).unwrap().fault;
        assert_eq!(fault(&[0; 6]), Some(FaultReason::BadLength));
        assert_eq!(fault(&[0, 0, 0, 0, 5, 0, 9, 0]), Some(FaultReason::BadField));
        assert_eq!(fault(&[0, 0, 0, 0, 5, 0, 1, 0, 0xb2, 0, 9, 0, 0x0e, 0]), Some(FaultReason::BadLength));
        assert_eq!(fault(&[0, 0, 0, 0, 5, 0, 2, 0, 0, 0, 9, 0]), Some(FaultReason::BadLength));
    }

    #[test]
    fn a_split_message_is_read_as_far_as_it_goes() {
        let whole = unconnected(&[0x10, 3, 0x20, 0xf5, 0x24, 0x01, 0x30, 0x05, 1, 2, 3, 4]);
        let message = read(&whole[..whole.len() - 4], Way::ToServer).unwrap();
        assert_eq!((message.length, message.fault), (whole.len(), None));
        assert_eq!(message.operation.unwrap().effect, Effect::Write);
        for length in 0..HEADER {
            assert_eq!(read(&whole[..length], Way::ToServer), None);
        }
    }
}
