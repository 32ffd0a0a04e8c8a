//! BACnet/IP. Read first: ANSI/ASHRAE 135-2020 annex J (BVLC), clauses 6 (NPDU), 20 (APDU) and 21 (services).
//!
//! `code` is the service choice of confirmed requests and what answers them; `0x0100` + the service choice of
//! unconfirmed requests, `0x0200` + the type of network layer messages, `0x0300` + the BVLC function, `0x0400` + the
//! PDU type of what names no service (segment acknowledgement 4, reject 6, abort 7). `unit` is the station behind a
//! router, the receiver of requests and the sender of answers: network * 65536 + the last two octets of its address.
//! `object` is the first object identifier as on the wire (type * 2^22 + instance), `address` the property that goes
//! with it, or the state of a "reinitialize device". `error` is error class * 256 + error code, or the reason of a
//! reject or abort, or a BVLC result.
//!
//! Recognised by the BVLC type, a known function, a length that is the datagram's, and the version of the NPDU behind
//! it: on every UDP port, as sites use 47808 and the ports after it.

use super::field::{be16, byte};
use super::{Message, Way};
use crate::packet::digest::FaultReason;
use crate::packet::hint::{Direction, Effect, Operation, PlantProtocol};
use crate::packet::window::Window;

/// BVLC for BACnet/IP.
pub(super) const START: u8 = 0x81;

const BVLC: usize = 4;
const FORWARDED: u8 = 4;
/// Address and port of the original sender.
const ORIGIN: usize = 6;
const SECURE: u8 = 12;
const VERSION: u8 = 1;

const UNCONFIRMED: u16 = 0x0100;
const NETWORK: u16 = 0x0200;
const LINK: u16 = 0x0300;
const NO_SERVICE: u16 = 0x0400;

/// The message of a datagram.
pub(super) fn read(bytes: &[u8], _way: Way) -> Option<Message> {
    let &[START, function @ 0..=SECURE, high, low] = bytes.first_chunk()? else { return None };
    let length = usize::from(u16::from_be_bytes([high, low]));
    let body = bytes.get(BVLC..bytes.len().min(length))?;
    let (operation, fault) = match function {
        FORWARDED => npdu(body.get(ORIGIN..)?)?,
        9..=11 => npdu(body)?,
        _ => (link(function, body), None),
    };
    let is_whole = bytes.len() >= length;
    Some(Message { operation: Some(operation), length, fault: fault.filter(|_| is_whole) })
}

/// A length that is the datagram's, and a network layer of the only version there is.
pub(super) fn is_certain(payload: Window<'_>) -> bool {
    let bytes = payload.bytes;
    let at = match byte(bytes, 1) {
        Some(FORWARDED) => BVLC + ORIGIN,
        Some(9..=11) => BVLC,
        _ => return false,
    };
    let is_whole = be16(bytes, 2).is_some_and(|length| usize::from(length) == payload.length());
    // Bits 4 and 6 of the control octet are reserved and 0.
    is_whole
        && byte(bytes, at) == Some(VERSION)
        && byte(bytes, at + 1).is_some_and(|control| control & 0x50 == 0)
}

fn operation(direction: Direction, effect: Effect, code: u16) -> Operation {
    Operation::new(PlantProtocol::Bacnet, direction, effect, code)
}

/// What is between routers and foreign devices.
fn link(function: u8, body: &[u8]) -> Operation {
    let (direction, effect) = match function {
        1 | 8 => (Direction::Request, Effect::Configure),
        2 | 6 => (Direction::Request, Effect::Read),
        3 | 7 => (Direction::Response, Effect::Read),
        5 => (Direction::Request, Effect::Session),
        0 => (Direction::Response, Effect::Session),
        _ => (Direction::Request, Effect::Other),
    };
    let error = if function == 0 { be16(body, 0).filter(|&result| result != 0) } else { None };
    Operation { error, ..operation(direction, effect, LINK | u16::from(function)) }
}

/// The network layer; none where its version or addresses cannot be.
fn npdu(bytes: &[u8]) -> Option<(Operation, Option<FaultReason>)> {
    let &[VERSION, control, ref rest @ ..] = bytes else { return None };
    let (destination, rest) = station(rest, control & 0x20 != 0)?;
    let (source, rest) = station(rest, control & 0x08 != 0)?;
    let rest = if control & 0x20 != 0 { rest.get(1..)? } else { rest };
    let (told, fault) = if control & 0x80 != 0 { network(rest)? } else { apdu(rest)? };
    let unit = if told.direction == Direction::Request { destination } else { source };
    Some((Operation { unit, ..told }, fault))
}

/// A network number and a station's address on it.
fn station(bytes: &[u8], present: bool) -> Option<(u32, &[u8])> {
    if !present {
        return Some((0, bytes));
    }
    let network = be16(bytes, 0)?;
    let (address, rest) = bytes.get(3..)?.split_at_checked(byte(bytes, 2)?.into())?;
    let address = address.iter().fold(0_u16, |number, &octet| number << 8 | u16::from(octet));
    Some((u32::from(network) << 16 | u32::from(address), rest))
}

/// A message between routers.
fn network(bytes: &[u8]) -> Option<(Operation, Option<FaultReason>)> {
    let kind = byte(bytes, 0)?;
    let (direction, effect) = match kind {
        // Who is router, what is network number, and the answers.
        0x00 | 0x12 => (Direction::Request, Effect::Identify),
        0x01 | 0x02 | 0x13 => (Direction::Unsolicited, Effect::Identify),
        0x03 => (Direction::Response, Effect::Session),
        0x04 | 0x05 => (Direction::Unsolicited, Effect::Report),
        0x06 => (Direction::Request, Effect::Configure),
        0x07 => (Direction::Response, Effect::Configure),
        0x08 | 0x09 => (Direction::Request, Effect::Session),
        _ => (Direction::Request, Effect::Other),
    };
    let error = if kind == 3 { byte(bytes, 1).map(u16::from) } else { None };
    Some((Operation { error, ..operation(direction, effect, NETWORK | u16::from(kind)) }, None))
}

fn apdu(bytes: &[u8]) -> Option<(Operation, Option<FaultReason>)> {
    let first = byte(bytes, 0)?;
    let segmented = if first & 0x08 != 0 { 2 } else { 0 };
    let answer = |at: usize| byte(bytes, at).map(|choice| (Direction::Response, choice));
    let bare = |error| {
        let told = operation(Direction::Response, Effect::Session, NO_SERVICE | u16::from(first >> 4));
        Some((Operation { error, ..told }, None))
    };
    let (told, data) = match first >> 4 {
        0 => {
            let choice = byte(bytes, 3 + segmented)?;
            let data = bytes.get(4 + segmented..).unwrap_or_default();
            // Later segments are the middle of the service's data.
            let data = if segmented > 0 && byte(bytes, 3) != Some(0) { &[] } else { data };
            (operation(Direction::Request, confirmed(choice), choice.into()), data)
        }
        1 => {
            let choice = byte(bytes, 1)?;
            let (direction, effect) = unconfirmed(choice);
            (
                operation(direction, effect, UNCONFIRMED | u16::from(choice)),
                bytes.get(2..).unwrap_or_default(),
            )
        }
        2 => {
            let (direction, choice) = answer(2)?;
            (operation(direction, confirmed(choice), choice.into()), &[][..])
        }
        3 => {
            let (direction, choice) = answer(2 + segmented)?;
            let data = bytes.get(3 + segmented..).unwrap_or_default();
            let data = if segmented > 0 && byte(bytes, 2) != Some(0) { &[] } else { data };
            (operation(direction, confirmed(choice), choice.into()), data)
        }
        4 => return bare(None),
        5 => {
            let (direction, choice) = answer(2)?;
            let told = operation(direction, confirmed(choice), choice.into());
            return Some((Operation { error: error(bytes.get(3..).unwrap_or_default()), ..told }, None));
        }
        6 | 7 => return bare(byte(bytes, 2).map(u16::from)),
        _ => return None,
    };
    let (told, fault) = about(told, data);
    Some((told, fault.filter(|_| segmented == 0)))
}

/// Error class and code, two enumerated values; some services put them into a constructed tag 0.
fn error(data: &[u8]) -> Option<u16> {
    let data = data.strip_prefix(&[0x0e]).unwrap_or(data);
    let (class, rest) = enumerated(data)?;
    let (code, _) = enumerated(rest)?;
    Some(class << 8 | code & 0xff)
}

fn enumerated(data: &[u8]) -> Option<(u16, &[u8])> {
    match data {
        [0x91, value, rest @ ..] => Some((u16::from(*value), rest)),
        [0x92, high, low, rest @ ..] => Some((u16::from_be_bytes([*high, *low]), rest)),
        _ => None,
    }
}

/// The object and property that a service's data begin with, and how these contradict themselves.
fn about(told: Operation, data: &[u8]) -> (Operation, Option<FaultReason>) {
    const OBJECT: u8 = 12;
    const MOST_BEFORE: usize = 4;
    // The context tag of the object identifier.
    let place = match told.code {
        0 | 5 | 10 | 28 => 1,
        1 | 2 | 0x0102 | 0x0103 | 0x0107 => 2,
        27 => 3,
        _ => 0,
    };
    let mut tags = Tags { rest: data, is_broken: false };
    let object = tags.by_ref().take(MOST_BEFORE).find(|tag| match tag.context {
        Some(number) => number == place && tag.value.len() == 4,
        None => tag.number == OBJECT && tag.value.len() == 4,
    });
    let mut told = Operation { object: object.map_or(0, |tag| number(tag.value)), ..told };
    match told.code {
        // Right behind the object, also where a list is opened between them.
        8 | 9 | 12 | 14..=16 | 26 if told.object != 0 || told.effect == Effect::Write => {
            told.address = tags.next().filter(|tag| tag.context.is_some()).map_or(0, |tag| number(tag.value));
        }
        20 => {
            let state = (Tags { rest: data, is_broken: false }).next();
            told.address = state.map_or(0, |tag| number(tag.value));
        }
        _ => {}
    }
    (told, tags.is_broken.then_some(FaultReason::BadLength))
}

fn number(value: &[u8]) -> u32 {
    value.iter().take(4).fold(0, |number, &octet| number << 8 | u32::from(octet))
}

/// Primitive tags of clause 20.2, looking into constructed ones, as far as they are of the usual short form.
struct Tags<'a> {
    rest: &'a [u8],
    /// A value was longer than the data.
    is_broken: bool,
}

struct Tag<'a> {
    /// Context tag number; none for an application tag.
    context: Option<u8>,
    number: u8,
    value: &'a [u8],
}

impl<'a> Iterator for Tags<'a> {
    type Item = Tag<'a>;

    fn next(&mut self) -> Option<Tag<'a>> {
        const BOOLEAN: u8 = 1;
        const EXTENDED: u8 = 15;
        loop {
            let (&first, rest) = self.rest.split_first()?;
            let (is_context, number) = (first & 0x08 != 0, first >> 4);
            let length = match first & 0x07 {
                6 | 7 if is_context && number != EXTENDED => {
                    self.rest = rest;
                    continue;
                }
                5..=7 => return None,
                _ if number == EXTENDED => return None,
                // The length of a boolean is its value.
                _ if !is_context && number == BOOLEAN => 0,
                length => length,
            };
            let Some((value, rest)) = rest.split_at_checked(length.into()) else {
                self.is_broken = true;
                return None;
            };
            self.rest = rest;
            return Some(Tag { context: is_context.then_some(number), number, value });
        }
    }
}

/// What a confirmed service does.
const fn confirmed(choice: u8) -> Effect {
    match choice {
        // Notifications of values, events and audits.
        1 | 2 | 31 | 32 => Effect::Report,
        // Alarm and enrollment summaries, reads, subscriptions, audit logs.
        3..=5 | 12..=14 | 26 | 28..=30 | 33 => Effect::Read,
        // Acknowledgement of an alarm, list elements, properties.
        0 | 8 | 9 | 15 | 16 => Effect::Write,
        6 | 7 => Effect::Program,
        10 | 11 => Effect::Configure,
        // Device communication control and reinitialize device.
        17 | 20 => Effect::Mode,
        21 | 22 | 24 | 25 => Effect::Session,
        27 => Effect::Control,
        _ => Effect::Other,
    }
}

/// What an unconfirmed service does.
const fn unconfirmed(choice: u8) -> (Direction, Effect) {
    match choice {
        // I am and I have; who am I.
        0 | 1 | 13 => (Direction::Unsolicited, Effect::Identify),
        2 | 3 | 11 | 12 => (Direction::Unsolicited, Effect::Report),
        // Clocks; the identity that a device is given.
        6 | 9 | 14 => (Direction::Request, Effect::Configure),
        7 | 8 => (Direction::Request, Effect::Identify),
        10 => (Direction::Request, Effect::Write),
        _ => (Direction::Request, Effect::Other),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// An original unicast NPDU.
    pub(in super::super) fn unicast(npdu: &[u8]) -> Vec<u8> {
        let length = u8::try_from(BVLC + npdu.len()).unwrap();
        [&[START, 10, 0, length][..], npdu].concat()
    }

    fn told(npdu: &[u8]) -> Operation {
        let bytes = unicast(npdu);
        let message = read(&bytes, Way::Unknown).unwrap();
        assert_eq!((message.length, message.fault), (bytes.len(), None), "{npdu:x?}");
        message.operation.unwrap()
    }

    /// A request to this device.
    fn asked(service: u8, data: &[u8]) -> Operation {
        let operation = told(&[&[1, 4, 0, 5, 1, service][..], data].concat());
        assert_eq!((operation.direction, operation.code), (Direction::Request, service.into()));
        operation
    }

    /// Analog output 7 as context tag 0, and its present value as context tag 1.
    const OBJECT: [u8; 5] = [0x0c, 0, 0x40, 0, 7];
    const VALUE: [u8; 2] = [0x19, 85];
    const NUMBER: u32 = 1 << 22 | 7;

    #[test]
    fn confirmed_services_have_their_effect() {
        use Effect::{Configure, Control, Mode, Other, Program, Read, Report, Session, Write};
        for (service, effect) in [
            (0, Write),
            (1, Report),
            (2, Report),
            (5, Read),
            (6, Program),
            (7, Program),
            (8, Write),
            (9, Write),
            (10, Configure),
            (11, Configure),
            (12, Read),
            (14, Read),
            (15, Write),
            (16, Write),
            (17, Mode),
            (18, Other),
            (20, Mode),
            (21, Session),
            (26, Read),
            (27, Control),
            (28, Read),
            (29, Read),
            (99, Other),
        ] {
            assert_eq!(asked(service, &[]).effect, effect, "{service}");
        }
    }

    #[test]
    fn requests_tell_object_and_property() {
        let about = |service, data: &[u8]| {
            let operation = asked(service, data);
            (operation.object, operation.address)
        };
        let single = [&OBJECT[..], &VALUE].concat();
        assert_eq!(about(12, &single), (NUMBER, 85));
        let value = [0x3e, 0x44, 0x41, 0xa0, 0, 0, 0x3f, 0x49, 8];
        assert_eq!(about(15, &[&single[..], &value].concat()), (NUMBER, 85));
        assert_eq!(about(14, &[&OBJECT[..], &[0x1e, 0x09, 85, 0x1f]].concat()), (NUMBER, 85));
        assert_eq!(
            about(16, &[&OBJECT[..], &[0x1e, 0x0a, 2, 0, 0x2e, 0x21, 1, 0x2f, 0x1f]].concat()),
            (NUMBER, 512)
        );
        assert_eq!(about(5, &[0x09, 18, 0x1c, 0, 0x40, 0, 7, 0x29, 1]), (NUMBER, 0));
        assert_eq!(about(1, &[0x09, 18, 0x1c, 2, 0, 0, 1, 0x2c, 0, 0x40, 0, 7, 0x39, 9]), (NUMBER, 0));
        assert_eq!(about(11, &[0xc4, 0, 0x40, 0, 7]), (NUMBER, 0));
        assert_eq!(about(20, &[0x09, 1]), (0, 1));
    }

    #[test]
    fn answers_tell_what_they_answer() {
        let answer = |apdu: &[u8]| {
            let operation = told(&[&[1, 0][..], apdu].concat());
            assert_eq!(operation.direction, Direction::Response);
            (operation.effect, operation.code, operation.object, operation.error)
        };
        assert_eq!(answer(&[0x20, 1, 15]), (Effect::Write, 15, 0, None));
        let read = [&[0x30, 1, 12][..], &OBJECT, &VALUE, &[0x3e, 0x91, 1, 0x3f]].concat();
        assert_eq!(answer(&read), (Effect::Read, 12, NUMBER, None));
        assert_eq!(answer(&[0x40, 1, 0, 1]), (Effect::Session, 0x0404, 0, None));
        assert_eq!(answer(&[0x50, 1, 15, 0x91, 2, 0x91, 40]), (Effect::Write, 15, 0, Some(0x0228)));
        assert_eq!(answer(&[0x60, 1, 9]), (Effect::Session, 0x0406, 0, Some(9)));
        assert_eq!(answer(&[0x71, 1, 4]), (Effect::Session, 0x0407, 0, Some(4)));
    }

    #[test]
    fn unconfirmed_services_and_messages_between_routers() {
        use Direction::{Request, Response, Unsolicited};
        for (service, direction, effect) in [
            (0, Unsolicited, Effect::Identify),
            (1, Unsolicited, Effect::Identify),
            (2, Unsolicited, Effect::Report),
            (4, Request, Effect::Other),
            (6, Request, Effect::Configure),
            (7, Request, Effect::Identify),
            (8, Request, Effect::Identify),
            (9, Request, Effect::Configure),
            (10, Request, Effect::Write),
        ] {
            let operation = told(&[1, 0, 0x10, service]);
            assert_eq!((operation.direction, operation.effect), (direction, effect), "{service}");
            assert_eq!(operation.code, 0x0100 | u16::from(service));
        }
        for (kind, direction, effect) in [
            (0, Request, Effect::Identify),
            (1, Unsolicited, Effect::Identify),
            (3, Response, Effect::Session),
            (6, Request, Effect::Configure),
        ] {
            let operation = told(&[1, 0x80, kind, 1, 0, 0]);
            assert_eq!((operation.direction, operation.effect), (direction, effect), "{kind}");
            assert_eq!(operation.code, 0x0200 | u16::from(kind));
        }
        for (function, effect) in
            [(1, Effect::Configure), (2, Effect::Read), (5, Effect::Session), (8, Effect::Configure)]
        {
            let operation = read(&[START, function, 0, 6, 0, 60], Way::Unknown).unwrap().operation.unwrap();
            assert_eq!((operation.effect, operation.code), (effect, 0x0300 | u16::from(function)));
        }
        assert_eq!(
            read(&[START, 0, 0, 6, 0, 0x30], Way::Unknown).unwrap().operation.unwrap().error,
            Some(0x30)
        );
    }

    #[test]
    fn the_unit_is_the_station_behind_the_router() {
        let request = [&[1, 0x24, 0, 20, 1, 3, 255, 0, 5, 1, 12][..], &OBJECT, &VALUE].concat();
        let operation = told(&request);
        assert_eq!((operation.unit, operation.object), (20 << 16 | 3, NUMBER));
        assert_eq!(told(&[1, 0x08, 0, 20, 1, 3, 0x20, 1, 15]).unit, 20 << 16 | 3);
        let forwarded = [&[START, FORWARDED, 0, 14, 192, 0, 2, 1, 0xba, 0xc0][..], &[1, 0, 0x10, 8]].concat();
        assert_eq!(read(&forwarded, Way::Unknown).unwrap().operation.unwrap().code, 0x0108);
    }

    #[test]
    fn values_beyond_the_message_are_a_fault_and_other_versions_no_message() {
        let broken = unicast(&[1, 4, 0, 5, 1, 12, 0x0c, 0, 0x40]);
        assert_eq!(read(&broken, Way::Unknown).unwrap().fault, Some(FaultReason::BadLength));
        assert_eq!(read(&unicast(&[2, 4, 0, 5, 1, 12]), Way::Unknown), None);
        assert_eq!(read(&[START, 13, 0, 6, 1, 0], Way::Unknown), None);
        assert_eq!(read(&unicast(&[1, 0, 0x80, 1]), Way::Unknown), None);
    }
}
