//! CIP messages inside EtherNet/IP. Read first: ODVA "Common Industrial Protocol" (volume 1) chapter 2-4 (message
//! router requests and responses), appendix A (services), appendix C (paths), chapter 3-5 (connection manager); for
//! Logix controllers Rockwell publication 1756-PM020 "Logix 5000 Controllers Data Access".
//!
//! How the numbers are told is said in `enip`. An "unconnected send" is opened, and of a "multiple service packet" the
//! most consequential service is told. Services of vendors that are not publicly documented are `Other`.

use super::field::{byte, hash, le16, le32};
use crate::packet::digest::FaultReason;
use crate::packet::hint::{Direction, Effect, Operation, PlantProtocol};

const RESPONSE: u8 = 0x80;
const MULTIPLE: u8 = 0x0a;
const UNCONNECTED_SEND: u8 = 0x52;
/// Services of a multiple packet that are looked at; Logix sends some tens.
const MAX_SERVICES: u16 = 64;

const IDENTITY: u32 = 0x01;
const MESSAGE_ROUTER: u32 = 0x02;
const CONNECTION_MANAGER: u32 = 0x06;
const FILE: u32 = 0x37;
const PCCC: u32 = 0x67;

/// Reads a message; never empty.
pub(super) fn read(message: &[u8]) -> (Operation, Option<FaultReason>) {
    match byte(message, 0) {
        Some(service) if service & RESPONSE != 0 => (response(message, service & !RESPONSE), None),
        Some(service) => request(message, service),
        None => (operation(Direction::Request, Effect::Other, 0), None),
    }
}

fn operation(direction: Direction, effect: Effect, service: u8) -> Operation {
    Operation::new(PlantProtocol::EtherNetIp, direction, effect, service.into())
}

fn request(message: &[u8], service: u8) -> (Operation, Option<FaultReason>) {
    let words = byte(message, 1).map_or(0, usize::from);
    let behind = message.get(2..).unwrap_or_default();
    let Some((path, data)) = behind.split_at_checked(2 * words) else {
        let told = operation(Direction::Request, effect(service, 0, &[]), service);
        return (told, Some(FaultReason::BadLength));
    };
    let path = Path::of(path);
    match (service, path.class) {
        (UNCONNECTED_SEND, CONNECTION_MANAGER) => return routed(data),
        (MULTIPLE, MESSAGE_ROUTER) => return (multiple(data, Direction::Request), None),
        _ => {}
    }
    let told = operation(Direction::Request, effect(service, path.class, data), service);
    let count = match service {
        // Read and fragmented read begin with the elements, writes with the type.
        0x4c | 0x52 if path.is_tag() => le16(data, 0),
        0x4d | 0x53 if path.is_tag() => le16(data, 2),
        _ => None,
    };
    let told = Operation {
        object: path.object(),
        address: path.tag.or(path.attribute).or(path.member).unwrap_or(0),
        count: count.map_or(0, u32::from),
        ..told
    };
    (told, None)
}

/// The message in an unconnected send, and where its route ends.
fn routed(data: &[u8]) -> (Operation, Option<FaultReason>) {
    // Priority and time ticks.
    const FIXED: usize = 4;
    let length = le16(data, 2).map_or(0, usize::from);
    let inner = data.get(FIXED..).unwrap_or_default();
    let Some((message, route)) = inner.split_at_checked(length) else { return (read(inner).0, None) };
    let route = if length % 2 == 1 { route.get(1..).unwrap_or_default() } else { route };
    // Words of the route and a reserved octet; then a port and its link address.
    let unit = match route {
        [words, _, 1..=0x0e, address, ..] if *words > 0 => u32::from(*address),
        _ => 0,
    };
    let (told, fault) = read(message);
    (Operation { unit, ..told }, fault)
}

/// The most consequential of the services or answers behind a table of offsets.
fn multiple(data: &[u8], direction: Direction) -> Operation {
    let count = le16(data, 0).unwrap_or(0);
    let mut most: Option<Operation> = None;
    for index in 0..count.min(MAX_SERVICES) {
        let offset = le16(data, 2 + 2 * usize::from(index)).map_or(usize::MAX, usize::from);
        let Some(message) = data.get(offset..).filter(|message| !message.is_empty()) else { break };
        let service = message.first().map_or(0, |service| service & !RESPONSE);
        // One in another is not allowed, and would have no end.
        if service == MULTIPLE {
            break;
        }
        let told = match direction {
            Direction::Request => request(message, service).0,
            _ => response(message, service),
        };
        if most.is_none_or(|most| told.effect > most.effect) {
            most = Some(told);
        }
    }
    most.unwrap_or_else(|| operation(direction, Effect::Other, MULTIPLE))
}

fn response(message: &[u8], service: u8) -> Operation {
    let error = byte(message, 2).map(u16::from).filter(|&status| status != 0);
    let extended = byte(message, 3).map_or(0, usize::from);
    if service == MULTIPLE {
        let data = message.get(4 + 2 * extended..).unwrap_or_default();
        let told = multiple(data, Direction::Response);
        return Operation { error: told.error.or(error), ..told };
    }
    let effect = match service {
        // Without its class this is a fragmented read or a failed unconnected send; a modification of a tag or the
        // close of a connection; a connection's opening or data.
        UNCONNECTED_SEND if error.is_some() => Effect::Session,
        UNCONNECTED_SEND | 0x4c => Effect::Read,
        0x4d | 0x53 => Effect::Write,
        0x54 | 0x5b => Effect::Session,
        0x4b.. => Effect::Other,
        _ => common(service),
    };
    Operation { error, ..operation(Direction::Response, effect, service) }
}

/// What a service does to a class; class 0 where the path names a tag or none.
fn effect(service: u8, class: u32, data: &[u8]) -> Effect {
    match (class, service) {
        (IDENTITY, 0x01 | 0x03 | 0x0e) => Effect::Identify,
        // Forward open and close, large forward open.
        (CONNECTION_MANAGER, 0x4e | 0x54 | 0x5b) => Effect::Session,
        // Connection data and owner.
        (CONNECTION_MANAGER, 0x56 | 0x57 | 0x5a) => Effect::Diagnose,
        // Begin and do an upload or download, clear a file.
        (FILE, 0x4b..=0x51) => Effect::Program,
        (PCCC, 0x4b) => pccc(data),
        (IDENTITY | MESSAGE_ROUTER | CONNECTION_MANAGER | FILE | PCCC, 0x4b..) => Effect::Other,
        // Logix tags: read, write, read-modify-write, both in fragments, list.
        (0 | 0x6b | 0x6c, 0x4c | 0x52 | 0x55) => Effect::Read,
        (0 | 0x6b | 0x6c, 0x4d | 0x4e | 0x53) => Effect::Write,
        (_, 0x4b..) => Effect::Other,
        _ => common(service),
    }
}

/// The services that all classes share (volume 1, appendix A-3).
const fn common(service: u8) -> Effect {
    match service {
        // Get attributes, member, find next.
        0x01 | 0x03 | 0x0e | 0x11 | 0x18 => Effect::Read,
        // Set attributes, member.
        0x02 | 0x04 | 0x10 | 0x19 => Effect::Write,
        // Reset, start, stop.
        0x05..=0x07 => Effect::Mode,
        // Create, delete, apply, restore, save, insert and remove a member.
        0x08 | 0x09 | 0x0d | 0x15 | 0x16 | 0x1a | 0x1b => Effect::Configure,
        // No operation, group synchronisation.
        0x17 | 0x1c => Effect::Session,
        _ => Effect::Other,
    }
}

/// A PCCC command in CIP (Rockwell publication 1770-6.5.16 chapter 7): its command and function behind the requester.
fn pccc(data: &[u8]) -> Effect {
    let requester = byte(data, 0).map_or(0, usize::from);
    let (command, function) = (byte(data, requester), byte(data, requester + 4));
    match (command.map(|command| command & 0x0f), function) {
        // Unprotected read and write; protected write.
        (Some(0x01), _) => Effect::Read,
        (Some(0x00 | 0x02 | 0x05 | 0x08), _) => Effect::Write,
        // Diagnostic status.
        (Some(0x06), Some(0x03)) => Effect::Identify,
        (Some(0x06), _) => Effect::Diagnose,
        // Word range, typed and logical reads; and writes, of bits too.
        (Some(0x0f), Some(0x01 | 0x29 | 0x68 | 0xa1 | 0xa2)) => Effect::Read,
        (Some(0x0f), Some(0x00 | 0x02 | 0x26 | 0x67 | 0x79 | 0xa9..=0xab)) => Effect::Write,
        // Disable forces.
        (Some(0x0f), Some(0x41)) => Effect::Control,
        // Change the mode, set the processor's mode.
        (Some(0x0f), Some(0x3a | 0x80)) => Effect::Mode,
        // The right to edit; physical memory; upload and download; initialisation of the memory.
        (Some(0x0f), Some(0x11 | 0x12 | 0x17 | 0x18 | 0x50..=0x57)) => Effect::Program,
        _ => Effect::Other,
    }
}

/// What a path names.
#[derive(Default)]
struct Path {
    class: u32,
    instance: u32,
    attribute: Option<u32>,
    member: Option<u32>,
    /// Hash of a symbol.
    tag: Option<u32>,
}

impl Path {
    /// A tag by name, or by the instance of the symbol's class.
    const fn is_tag(&self) -> bool {
        const SYMBOL: u32 = 0x6b;
        self.tag.is_some() || self.class == SYMBOL
    }

    fn object(&self) -> u32 {
        self.class << 16 | self.instance & 0xffff
    }

    /// Reads logical and symbolic segments as far as these go; of each kind the first counts.
    fn of(mut path: &[u8]) -> Self {
        let mut told = Self::default();
        let mut classes = 0;
        while let Some(&segment) = path.first() {
            let (value, length) = match segment {
                // An extended symbol: length, characters, padding to an even length.
                0x91 => {
                    let length = byte(path, 1).map_or(0, usize::from);
                    let name = path.get(2..2 + length).unwrap_or_default();
                    // A tag in a program has the program's name in front.
                    told.tag = Some(told.tag.map_or(0, |outer| outer.rotate_left(1)) ^ hash(name));
                    (0, 2 + length + length % 2)
                }
                // A logical segment by the size of its value: 8, 16 or 32 bits, the last two behind padding.
                0x20..=0x3f => match segment & 3 {
                    0 => (byte(path, 1).map_or(0, u32::from), 2),
                    1 => (le16(path, 2).map_or(0, u32::from), 4),
                    _ => (le32(path, 2).unwrap_or(0), 6),
                },
                // A port segment with a link address of one octet.
                0x01..=0x0e => (0, 2),
                _ => break,
            };
            match segment & 0xfc {
                0x20 => {
                    classes += 1;
                    if classes == 1 {
                        told.class = value;
                    }
                }
                0x24 if classes == 1 && told.instance == 0 => told.instance = value,
                0x30 => told.attribute = told.attribute.or(Some(value)),
                0x28 => told.member = told.member.or(Some(value)),
                _ => {}
            }
            let Some(rest) = path.get(length..) else { break };
            path = rest;
        }
        told
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A request to instance 1 of a class.
    fn asked(service: u8, class: u8, data: &[u8]) -> Operation {
        let (operation, fault) = read(&[&[service, 2, 0x20, class, 0x24, 1][..], data].concat());
        assert_eq!((operation.direction, operation.code, fault), (Direction::Request, service.into(), None));
        assert_eq!(operation.object, u32::from(class) << 16 | 1);
        operation
    }

    #[test]
    fn services_have_their_effect_by_class() {
        use Effect::{Configure, Control, Diagnose, Identify, Mode, Other, Program, Read, Session, Write};
        for (service, class, effect) in [
            (0x01, 0x01, Identify),
            (0x01, 0xf5, Read),
            (0x02, 0xf5, Write),
            (0x03, 0x04, Read),
            (0x04, 0x04, Write),
            (0x05, 0x01, Mode),
            (0x06, 0x8e, Mode),
            (0x07, 0x8e, Mode),
            (0x08, 0x04, Configure),
            (0x09, 0x04, Configure),
            (0x0e, 0x04, Read),
            (0x10, 0x04, Write),
            (0x16, 0x04, Configure),
            (0x54, 0x06, Session),
            (0x5b, 0x06, Session),
            (0x4e, 0x06, Session),
            (0x5a, 0x06, Diagnose),
            (0x4b, 0x37, Program),
            (0x4c, 0x6b, Read),
            (0x4e, 0x6b, Write),
            (0x55, 0x6b, Read),
            (0x4c, 0x99, Other),
            (0x4b, 0x64, Other),
        ] {
            assert_eq!(asked(service, class, &[]).effect, effect, "{service:x} {class:x}");
        }
        // PCCC: requester of 7 octets, command, status, transaction, function.
        for (command, function, effect) in [
            (0x0f, 0x68, Read),
            (0x0f, 0xa2, Read),
            (0x0f, 0x67, Write),
            (0x0f, 0xaa, Write),
            (0x0f, 0x80, Mode),
            (0x0f, 0x3a, Mode),
            (0x0f, 0x41, Control),
            (0x0f, 0x53, Program),
            (0x06, 0x03, Identify),
            (0x06, 0x00, Diagnose),
            (0x01, 0x00, Read),
            (0x08, 0x00, Write),
            (0x0f, 0xee, Other),
        ] {
            let data = [7, 0, 0, 0, 0, 0, 0, command, 0, 1, 0, function];
            assert_eq!(asked(0x4b, 0x67, &data).effect, effect, "{command:x} {function:x}");
        }
    }

    const TAG: [u8; 8] = [0x91, 5, b's', b'p', b'e', b'e', b'd', 0];

    #[test]
    fn tags_are_told_by_a_hash_of_their_name() {
        let about = |message: &[u8]| {
            let (operation, fault) = read(message);
            assert_eq!(fault, None);
            (operation.effect, operation.object, operation.address, operation.count)
        };
        let tag = hash(b"speed");
        assert_eq!(about(&[&[0x4c, 4][..], &TAG, &[3, 0]].concat()), (Effect::Read, 0, tag, 3));
        assert_eq!(
            about(&[&[0x4d, 4][..], &TAG, &[0xc4, 0, 2, 0, 9, 9]].concat()),
            (Effect::Write, 0, tag, 2)
        );
        assert_eq!(about(&[&[0x52, 4][..], &TAG, &[3, 0, 0, 0, 0, 0]].concat()), (Effect::Read, 0, tag, 3));
        let instance = [0x4c, 3, 0x20, 0x6b, 0x25, 0, 0x34, 0x12, 1, 0];
        assert_eq!(about(&instance), (Effect::Read, 0x006b_1234, 0, 1));
    }

    fn route(message: &[u8]) -> Vec<u8> {
        let size = u8::try_from(message.len()).unwrap();
        let padding: &[u8] = if message.len() % 2 == 1 { &[0] } else { &[] };
        [&[0x52, 2, 0x20, 6, 0x24, 1, 10, 14, size, 0][..], message, padding, &[1, 0, 1, 3]].concat()
    }

    #[test]
    fn an_unconnected_send_is_opened_and_tells_the_slot() {
        for message in [&[0x05, 2, 0x20, 1, 0x24, 1][..], &[0x05, 2, 0x20, 1, 0x24, 1, 1]] {
            let (operation, fault) = read(&route(message));
            assert_eq!((operation.effect, operation.code, operation.unit, fault), (Effect::Mode, 5, 3, None));
        }
    }

    #[test]
    fn of_a_multiple_packet_the_most_consequential_service_is_told() {
        let read_tag = [&[0x4c, 4][..], &TAG, &[1, 0]].concat();
        let write_tag = [&[0x4d, 4][..], &TAG, &[0xc4, 0, 1, 0, 9, 9, 9, 9]].concat();
        let second = u8::try_from(6 + read_tag.len()).unwrap();
        let packet =
            [&[0x0a, 2, 0x20, 2, 0x24, 1, 2, 0, 6, 0, second, 0][..], &read_tag, &write_tag].concat();
        let (operation, _) = read(&packet);
        assert_eq!(
            (operation.effect, operation.code, operation.address),
            (Effect::Write, 0x4d, hash(b"speed"))
        );
        let answer = [0x8a, 0, 0, 0, 2, 0, 6, 0, 10, 0, 0xcc, 0, 0, 0, 0xcd, 0, 5, 0];
        let (operation, _) = read(&answer);
        assert_eq!((operation.effect, operation.code, operation.error), (Effect::Write, 0x4d, Some(5)));
        assert_eq!(operation.direction, Direction::Response);
        let nested = [0x0a, 2, 0x20, 2, 0x24, 1, 1, 0, 4, 0, 0x0a, 2, 0x20, 2, 0x24, 1];
        assert_eq!(read(&nested).0.effect, Effect::Other);
    }

    #[test]
    fn responses_tell_their_status() {
        let answer = |message: &[u8]| {
            let (operation, _) = read(message);
            assert_eq!(operation.direction, Direction::Response);
            (operation.effect, operation.code, operation.error)
        };
        assert_eq!(answer(&[0x8e, 0, 0, 0, 1]), (Effect::Read, 0x0e, None));
        assert_eq!(answer(&[0x90, 0, 0x0e, 0]), (Effect::Write, 0x10, Some(0x0e)));
        assert_eq!(answer(&[0xd4, 0, 1, 1, 0, 1]), (Effect::Session, 0x54, Some(1)));
        assert_eq!(answer(&[0xd2, 0, 0, 0]), (Effect::Read, 0x52, None));
        assert_eq!(answer(&[0x87, 0, 0, 0]), (Effect::Mode, 0x07, None));
    }

    #[test]
    fn a_path_beyond_the_message_is_a_fault() {
        assert_eq!(read(&[0x0e, 3, 0x20, 1]).1, Some(FaultReason::BadLength));
    }
}
