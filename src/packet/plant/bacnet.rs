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
