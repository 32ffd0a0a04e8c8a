//! S7comm over ISO on TCP. Read first: RFC 1006 section 6 (TPKT), RFC 905 section 13 (the transport's CR, CC, DT), and
//! for S7comm itself, which has no public standard, the names that published dissectors and analyses agree on.
//!
//! `code` is the function code of jobs and their acknowledgements; `0x7000` + function group * 256 + sub-function of
//! user data; `0x0100` + PDU type of the transport's connection set-up; the 16-bit function of S7comm-plus. `unit` is
//! rack * 32 + slot in the connection's set-up and 0 elsewhere. Of reads and writes the first item is told: `object`
//! is area * 65536 + data block, `address` the byte (the number of a counter or timer), `count` the elements. Of blocks
//! `object` is the type's two characters and `address` the number; of system status lists `object` is the list's id and
//! `address` its index. `error` is error class * 256 + error code, or the return code of the first item.
//!
//! Of S7comm-plus only what opens and closes its sessions is told by effect; all else is `Other`, since most of it is
//! protected. Recognised by TPKT with DT and protocol identifier 0x32 or 0x72; other ports than 102 only with 0x32 and
//! lengths that agree on all three layers. Connection set-ups are S7comm's by the called transport selector: MMS and
//! others share the port. A DT that continues another has no protocol identifier and is not read.

use super::field::{be16, be24, byte};
use super::{Message, Way};
use crate::packet::digest::FaultReason;
use crate::packet::hint::{Direction, Effect, Operation, PlantProtocol};
use crate::packet::window::Window;

/// TPKT version.
pub(super) const START: u8 = 3;

const TPKT: usize = 4;
/// TPKT and a DT without options.
const DT_HEADER: usize = 7;
const DT: u8 = 0xf0;
const CONNECTION_REQUEST: u8 = 0xe0;
const CONNECTION_CONFIRM: u8 = 0xd0;
const END_OF_UNIT: u8 = 0x80;
const PLAIN: u8 = 0x32;
const PLUS: u8 = 0x72;

/// Base of the codes of connection set-ups.
const SETUP: u16 = 0x0100;
/// Base of the codes of user data.
const USER_DATA: u16 = 0x7000;

/// The message at the start of a segment's rest.
pub(super) fn read(bytes: &[u8], way: Way) -> Option<Message> {
    let length = usize::from(be16(bytes, 2)?);
    if be16(bytes, 0)? != 0x0300 || length < DT_HEADER {
        return None;
    }
    let packet = bytes.get(..bytes.len().min(length))?;
    match byte(packet, TPKT + 1)? {
        kind @ (CONNECTION_REQUEST | CONNECTION_CONFIRM) => {
            let operation = Some(setup(kind, packet)?);
            Some(Message { operation, length, fault: None })
        }
        DT if byte(packet, TPKT)? == 2 => {
            let is_last = byte(packet, TPKT + 2)? & END_OF_UNIT != 0;
            let unit = packet.get(DT_HEADER..)?;
            // Engineering tools send empty ones ahead of what they say.
            if length == DT_HEADER {
                return Some(Message { operation: None, length, fault: None });
            }
            match byte(unit, 0)? {
                PLAIN => {
                    let header = Header::of(unit)?;
                    let contradicts = is_last && header.length() != length - DT_HEADER;
                    let fault = contradicts.then_some(FaultReason::BadLength);
                    Some(Message { operation: Some(header.operation(unit)), length, fault })
                }
                PLUS => Some(Message { operation: Some(plus(unit, way)?), length, fault: None }),
                _ => None,
            }
        }
        _ => None,
    }
}

/// Whether the lengths of TPKT and S7comm agree on one whole message.
pub(super) fn is_certain(payload: Window<'_>) -> bool {
    let bytes = payload.bytes;
    let is_plain = matches!(bytes.first_chunk(), Some([START, 0, _, _, 2, DT, END_OF_UNIT, PLAIN]));
    let (Some(length), true) = (be16(bytes, 2).map(usize::from), is_plain) else { return false };
    let header = bytes.get(DT_HEADER..).and_then(Header::of);
    length <= payload.length() && header.is_some_and(|header| DT_HEADER + header.length() == length)
}

/// The header of S7comm.
struct Header {
    kind: Kind,
    /// Bytes of the header.
    size: usize,
    parameter: usize,
    data: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Job,
    Acknowledgement,
    UserData,
}

impl Header {
    fn of(unit: &[u8]) -> Option<Self> {
        let (kind, size) = match byte(unit, 1)? {
            1 => (Kind::Job, 10),
            2 | 3 => (Kind::Acknowledgement, 12),
            7 => (Kind::UserData, 10),
            _ => return None,
        };
        // Redundancy identification, always 0.
        let plain = be16(unit, 2)? == 0;
        let header = Self { kind, size, parameter: be16(unit, 6)?.into(), data: be16(unit, 8)?.into() };
        plain.then_some(header)
    }

    const fn length(&self) -> usize {
        self.size + self.parameter + self.data
    }

    fn operation(&self, unit: &[u8]) -> Operation {
        let parameter = unit.get(self.size..).unwrap_or_default();
        let data = parameter.get(self.parameter..).unwrap_or_default();
        let parameter = parameter.get(..self.parameter).unwrap_or(parameter);
        match self.kind {
            Kind::UserData => user_data(parameter, data),
            Kind::Job => job(parameter),
            Kind::Acknowledgement => {
                let error = be16(unit, 10).filter(|&error| error != 0);
                acknowledgement(parameter, data, error)
            }
        }
    }
}

fn operation(direction: Direction, effect: Effect, code: u16) -> Operation {
    Operation::new(PlantProtocol::S7, direction, effect, code)
}

/// A connection request or confirmation whose called transport selector is one of Siemens': connection type (1 to 3:
/// programming device, operator panel, other; 0x10 for the oldest) with rack and slot, or a name.
fn setup(kind: u8, packet: &[u8]) -> Option<Operation> {
    const CALLED: u8 = 0xc2;
    const FIXED: usize = TPKT + 7;
    let mut options = packet.get(FIXED..)?;
    while let &[code, length, ref rest @ ..] = options {
        let value = rest.get(..usize::from(length))?;
        if code == CALLED {
            let unit = match *value {
                [1..=3 | 0x10, place] => place,
                [b'M', b'W'] => 0,
                _ if value.starts_with(b"SIMATIC") => 0,
                _ => return None,
            };
            let direction = if kind == CONNECTION_REQUEST { Direction::Request } else { Direction::Response };
            let operation = operation(direction, Effect::Session, SETUP + u16::from(kind));
            return Some(Operation { unit: unit.into(), ..operation });
        }
        options = rest.get(usize::from(length)..)?;
    }
    None
}

fn job(parameter: &[u8]) -> Operation {
    let Some(function) = byte(parameter, 0) else {
        return operation(Direction::Request, Effect::Other, 0);
    };
    let told = operation(Direction::Request, effect(function, parameter), function.into());
    match function {
        4 | 5 => item(parameter, told),
        0x1a..=0x1d => block(parameter, told),
        _ => told,
    }
}

fn acknowledgement(parameter: &[u8], data: &[u8], error: Option<u16>) -> Operation {
    let function = byte(parameter, 0);
    let effect = match function {
        // The answer does not repeat the service's name.
        None | Some(0x28) => Effect::Other,
        Some(function) => effect(function, parameter),
    };
    let item = match function {
        Some(4 | 5) => byte(data, 0).map(u16::from).filter(|&returned| returned != 0xff),
        _ => None,
    };
    let told = operation(Direction::Response, effect, function.map_or(0, u16::from));
    let count = match function {
        Some(4 | 5) => byte(parameter, 1).map_or(0, u32::from),
        _ => 0,
    };
    Operation { count, error: error.or(item), ..told }
}

fn effect(function: u8, parameter: &[u8]) -> Effect {
    match function {
        0x04 => Effect::Read,
        0x05 => Effect::Write,
        0x1a..=0x1f => Effect::Program,
        0x28 => service(parameter),
        0x29 => Effect::Mode,
        0xf0 => Effect::Session,
        _ => Effect::Other,
    }
}

/// A program invocation service by its name, which stands behind the service's own parameters.
fn service(parameter: &[u8]) -> Effect {
    const FIXED: usize = 8;
    let own = be16(parameter, FIXED).map_or(0, usize::from);
    let name = parameter.get(FIXED + 2 + own..).unwrap_or_default();
    match name {
        [_, name @ ..] if name.starts_with(b"P_PROGRAM") => Effect::Mode,
        [_, b'_', b'I', b'N', b'S', ..] // activate a block
        | [_, b'_', b'D', b'E', b'L', ..] // delete one
        | [_, b'_', b'G', b'A', b'R', b'B', ..] // compress the memory
        | [_, b'_', b'M', b'O', b'D', b'U', ..] // copy RAM to ROM
        => Effect::Program,
        [_, name @ ..] if name.starts_with(b"_N_LOG") => Effect::Session,
        _ => Effect::Other,
    }
}

/// The first item of a read or write.
fn item(parameter: &[u8], told: Operation) -> Operation {
    const ANY: u8 = 0x10;
    const DATA_BLOCK: u8 = 0xb0;
    const COUNTER: u8 = 0x1c;
    const IEC_TIMER: u8 = 0x1f;
    let number = |at| be16(parameter, at).map_or(0, u32::from);
    match byte(parameter, 4) {
        Some(ANY) => {
            let area = byte(parameter, 10).unwrap_or(0);
            let bits = be24(parameter, 11).unwrap_or(0);
            let address = if (COUNTER..=IEC_TIMER).contains(&area) { bits } else { bits >> 3 };
            Operation { object: u32::from(area) << 16 | number(8), address, count: number(6), ..told }
        }
        Some(DATA_BLOCK) => Operation {
            object: 0x84 << 16 | number(7),
            address: number(9),
            count: byte(parameter, 6).map_or(0, u32::from),
            ..told
        },
        _ => told,
    }
}

/// The block that is loaded: `_`, two characters of type, five digits and the file system's letter.
fn block(parameter: &[u8], told: Operation) -> Operation {
    let Some([9, b'_', a, b, number @ ..]) = parameter.get(8..17) else { return told };
    let digits = number.iter().take(5).filter(|digit| digit.is_ascii_digit());
    Operation {
        object: u32::from(u16::from_be_bytes([*a, *b])),
        address: digits.fold(0, |number, digit| number * 10 + u32::from(digit - b'0')),
        ..told
    }
}

fn user_data(parameter: &[u8], data: &[u8]) -> Operation {
    let kind = byte(parameter, 5).unwrap_or(0);
    let (group, function) = (kind & 0x0f, byte(parameter, 6).unwrap_or(0));
    let direction = match kind >> 4 {
        4 | 7 => Direction::Request,
        8 | 11 => Direction::Response,
        _ => Direction::Unsolicited,
    };
    let code = USER_DATA | u16::from(group) << 8 | u16::from(function);
    let list = (group == 4 && function == 1).then(|| be16(data, 4)).flatten();
    let effect = user_effect(group, function, list.unwrap_or(0));
    let effect = if direction == Direction::Unsolicited { Effect::Report } else { effect };
    let mut told = operation(direction, effect, code);
    if direction == Direction::Response {
        told.error = be16(parameter, 10).filter(|&error| error != 0);
    }
    if let Some(list) = list {
        told.object = list.into();
        told.address = be16(data, 6).map_or(0, u32::from);
    }
    told
}

/// What user data do; `list` is the id of a system status list.
const fn user_effect(group: u8, function: u8, list: u16) -> Effect {
    match (group, function) {
        // Programmer commands: force; modify a variable; breakpoint, leave hold, reset memory; flash the lamps.
        (1, 7 | 9) => Effect::Control,
        (1, 8) => Effect::Write,
        (1, 10..=12) => Effect::Mode,
        (1, 22) => Effect::Identify,
        (1, 2) | (2, _) | (3, _) | (7, 1 | 3) => Effect::Read,
        // The module's and the components' identification (list numbers 0x11 and 0x1c).
        (4, 1) if matches!(list & 0xff, 0x11 | 0x1c) => Effect::Identify,
        (1, _) | (4, 1) => Effect::Diagnose,
        // Message service, alarm query: what the panel wants to hear of.
        (4, 2 | 19) | (5, _) => Effect::Session,
        (4, 3 | 5 | 6 | 9 | 12..=14 | 17 | 18 | 22) => Effect::Report,
        // Lock, unlock and acknowledge an alarm; a block that a partner sends.
        (4, 7 | 8 | 11) | (6, _) => Effect::Write,
        (7, 2 | 4) => Effect::Configure,
        (15, _) => Effect::Program,
        _ => Effect::Other,
    }
}

/// S7comm-plus: an object is created to open a session and deleted to close it.
fn plus(unit: &[u8], way: Way) -> Option<Operation> {
    const HEADER: usize = 4;
    const INTEGRITY: u8 = 32;
    let version = byte(unit, 1)?;
    if !matches!(version, 1..=3 | 0xfe | 0xff) {
        return None;
    }
    let protected = version == 3 && byte(unit, HEADER) == Some(INTEGRITY);
    let at = if protected { HEADER + 1 + usize::from(INTEGRITY) } else { HEADER };
    let function = be16(unit, at + 3).unwrap_or(0);
    let by_port = if way == Way::FromServer { Direction::Response } else { Direction::Request };
    Some(match (version, byte(unit, at)) {
        (0xff, _) => operation(by_port, Effect::Session, 0),
        (1..=3, Some(0x31)) => operation(Direction::Request, plus_effect(function), function),
        (1..=3, Some(0x32)) => operation(Direction::Response, plus_effect(function), function),
        (1..=3, Some(0x33)) => operation(Direction::Unsolicited, Effect::Report, 0),
        _ => operation(by_port, Effect::Other, 0),
    })
}

const fn plus_effect(function: u16) -> Effect {
    match function {
        0x04ca | 0x04d4 => Effect::Session,
        _ => Effect::Other,
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    fn dt(unit: &[u8]) -> Vec<u8> {
        let length = u8::try_from(DT_HEADER + unit.len()).unwrap();
        [&[3, 0, 0, length, 2, DT, END_OF_UNIT][..], unit].concat()
    }

    /// A PDU of a kind with its header's `error` (acknowledgements only), parameter and data.
    pub(in super::super) fn pdu(kind: u8, error: &[u8], parameter: &[u8], data: &[u8]) -> Vec<u8> {
        let [p, d] = [parameter.len(), data.len()].map(|length| u8::try_from(length).unwrap());
        dt(&[&[PLAIN, kind, 0, 0, 0, 9, 0, p, 0, d][..], error, parameter, data].concat())
    }

    fn told(bytes: &[u8]) -> Operation {
        let message = read(bytes, Way::Unknown).unwrap();
        assert_eq!((message.length, message.fault), (bytes.len(), None), "{bytes:x?}");
        message.operation.unwrap()
    }

    fn job(parameter: &[u8]) -> Operation {
        let operation = told(&pdu(1, &[], parameter, &[]));
        assert_eq!((operation.direction, operation.code), (Direction::Request, parameter[0].into()));
        operation
    }

    /// DB 5 from byte 20 on, four bytes.
    const ITEM: [u8; 12] = [0x12, 10, 0x10, 2, 0, 4, 0, 5, 0x84, 0, 0, 160];

    #[test]
    fn reads_and_writes_tell_their_first_item() {
        for (function, effect) in [(4, Effect::Read), (5, Effect::Write)] {
            let operation = job(&[&[function, 1][..], &ITEM].concat());
            assert_eq!((operation.effect, operation.object), (effect, 0x84_0005));
            assert_eq!((operation.address, operation.count), (20, 4));
        }
        let timer = job(&[4, 1, 0x12, 10, 0x10, 0x1d, 0, 1, 0, 0, 0x1d, 0, 0, 9]);
        assert_eq!((timer.object, timer.address), (0x1d_0000, 9));
        let block = job(&[4, 1, 0x12, 7, 0xb0, 1, 8, 0, 3, 0, 50]);
        assert_eq!((block.object, block.address, block.count), (0x84_0003, 50, 8));
    }

    #[test]
    fn blocks_and_services_are_programs_and_modes() {
        for (function, effect) in [
            (0x1b, Effect::Program),
            (0x1e, Effect::Program),
            (0x1f, Effect::Program),
            (0x29, Effect::Mode),
            (0xf0, Effect::Session),
            (0x77, Effect::Other),
        ] {
            assert_eq!(job(&[function, 0, 0]).effect, effect);
        }
        let load = [&[0x1a, 0, 1, 0, 0, 0, 0, 0, 9][..], b"_0800001P"].concat();
        let operation = job(&load);
        assert_eq!((operation.effect, operation.object, operation.address), (Effect::Program, 0x3038, 1));
        let service = |own: &[u8], name: &[u8]| {
            let lengths = [own.len(), name.len()].map(|length| u8::try_from(length).unwrap());
            job(&[&[0x28, 0, 0, 0, 0, 0, 0, 0xfd, 0, lengths[0]][..], own, &[lengths[1]], name].concat())
                .effect
        };
        assert_eq!(service(b"", b"P_PROGRAM"), Effect::Mode);
        assert_eq!(service(b"C ", b"P_PROGRAM"), Effect::Mode);
        assert_eq!(service(b"1 00001P", b"_INSE"), Effect::Program);
        assert_eq!(service(b"1 00001B", b"_DELE"), Effect::Program);
        assert_eq!(service(b"", b"_GARB"), Effect::Program);
        assert_eq!(service(b"EP", b"_MODU"), Effect::Program);
        assert_eq!(service(b"", b"_N_LOGIN_"), Effect::Session);
        assert_eq!(service(b"", b"_N_OTHER"), Effect::Other);
    }

    #[test]
    fn acknowledgements_tell_errors_of_header_and_item() {
        let answer = |error: &[u8], parameter: &[u8], data: &[u8]| {
            let operation = told(&pdu(3, error, parameter, data));
            assert_eq!(operation.direction, Direction::Response);
            (operation.effect, operation.count, operation.error)
        };
        assert_eq!(answer(&[0, 0], &[4, 1], &[0xff, 4, 0, 8, 1]), (Effect::Read, 1, None));
        assert_eq!(answer(&[0, 0], &[4, 1], &[0x0a, 0, 0, 0]), (Effect::Read, 1, Some(10)));
        assert_eq!(answer(&[0, 0], &[5, 2], &[0xff, 5]), (Effect::Write, 2, None));
        assert_eq!(answer(&[0x81, 4], &[0x29], &[]), (Effect::Mode, 0, Some(0x8104)));
        assert_eq!(answer(&[0, 0], &[0xf0, 0, 0, 1, 0, 1, 0, 240], &[]), (Effect::Session, 0, None));
        let bare = told(&pdu(2, &[0x85, 0], &[], &[]));
        assert_eq!((bare.effect, bare.error), (Effect::Other, Some(0x8500)));
    }

    fn user(kind: u8, function: u8, data: &[u8]) -> Operation {
        told(&pdu(7, &[], &[0, 1, 0x12, 4, 0x11, kind, function, 0], data))
    }

    #[test]
    fn user_data_tell_group_and_function() {
        use Effect::{Configure, Control, Diagnose, Identify, Mode, Other, Program, Read, Session, Write};
        for (group, function, effect) in [
            (1, 1, Diagnose),
            (1, 2, Read),
            (1, 7, Control),
            (1, 8, Write),
            (1, 9, Control),
            (1, 10, Mode),
            (1, 12, Mode),
            (1, 22, Identify),
            (2, 1, Read),
            (3, 1, Read),
            (4, 2, Session),
            (4, 11, Write),
            (5, 1, Session),
            (6, 1, Write),
            (7, 1, Read),
            (7, 2, Configure),
            (7, 4, Configure),
            (15, 1, Program),
            (9, 1, Other),
        ] {
            let operation = user(0x40 | group, function, &[]);
            assert_eq!(
                (operation.effect, operation.direction),
                (effect, Direction::Request),
                "{group} {function}"
            );
            assert_eq!(operation.code, 0x7000 | u16::from(group) << 8 | u16::from(function));
        }
        let list = |id: u8| user(0x44, 1, &[0xff, 9, 0, 4, 0, id, 0, 1]);
        assert_eq!((list(0x1c).effect, list(0x1c).object, list(0x1c).address), (Identify, 0x1c, 1));
        assert_eq!(list(0x24).effect, Diagnose);
        let push = user(0x00, 0, &[]);
        assert_eq!((push.effect, push.direction), (Effect::Report, Direction::Unsolicited));
        let refused = told(&pdu(7, &[], &[0, 1, 0x12, 8, 0x12, 0x84, 1, 1, 0, 0, 0xd4, 1], &[0x0a, 0, 0, 0]));
        assert_eq!((refused.direction, refused.error), (Direction::Response, Some(0xd401)));
    }

    fn connect(kind: u8, called: &[u8]) -> Vec<u8> {
        let size = u8::try_from(called.len()).unwrap();
        let options = [&[0xc0, 1, 10, 0xc1, 2, 1, 0, 0xc2, size][..], called].concat();
        let length = u8::try_from(11 + options.len()).unwrap();
        [&[3, 0, 0, length, length - 5, kind, 0, 0, 0, 1, 0][..], &options].concat()
    }

    #[test]
    fn connections_are_told_by_the_selector_that_they_call() {
        let operation = told(&connect(CONNECTION_REQUEST, &[1, 0x22]));
        assert_eq!((operation.effect, operation.code, operation.unit), (Effect::Session, 0x01e0, 0x22));
        let operation = told(&connect(CONNECTION_CONFIRM, &[1, 2]));
        assert_eq!((operation.direction, operation.code), (Direction::Response, 0x01d0));
        assert_eq!(told(&connect(CONNECTION_REQUEST, b"SIMATIC-ROOT-ES")).effect, Effect::Session);
        // As MMS has it.
        assert_eq!(read(&connect(CONNECTION_REQUEST, &[0, 1]), Way::ToServer), None);
    }

    #[test]
    fn plus_is_told_by_its_session() {
        let plus = |version, opcode, function: u16| {
            let [high, low] = function.to_be_bytes();
            let unit = [PLUS, version, 0, 10, opcode, 0, 0, high, low, 0, 0, 0, 0, 0, PLUS, version, 0, 0];
            let operation = told(&dt(&unit));
            (operation.effect, operation.direction, operation.code)
        };
        use Direction::{Request, Response, Unsolicited};
        assert_eq!(plus(1, 0x31, 0x04ca), (Effect::Session, Request, 0x04ca));
        assert_eq!(plus(2, 0x32, 0x04d4), (Effect::Session, Response, 0x04d4));
        assert_eq!(plus(2, 0x31, 0x0542), (Effect::Other, Request, 0x0542));
        assert_eq!(plus(2, 0x33, 0), (Effect::Report, Unsolicited, 0));
        let signed = [&[PLUS, 3, 0, 43, 32][..], &[7; 32], &[0x31, 0, 0, 4, 0xca, 0, 0, 0, 0, 0]].concat();
        assert_eq!(told(&dt(&signed)).effect, Effect::Session);
        assert_eq!(read(&dt(&[PLUS, 9, 0, 0]), Way::ToServer), None);
    }

    #[test]
    fn an_empty_unit_says_nothing_and_hides_nothing() {
        let message = read(&[3, 0, 0, 7, 2, DT, 0], Way::ToServer).unwrap();
        assert_eq!((message.operation, message.length, message.fault), (None, 7, None));
    }

    #[test]
    fn lengths_must_agree_unless_the_unit_goes_on() {
        let mut bytes = pdu(1, &[], &[0xf0, 0, 0, 1, 0, 1, 0, 240], &[]);
        bytes[14] = 9;
        assert_eq!(read(&bytes, Way::ToServer).unwrap().fault, Some(FaultReason::BadLength));
        bytes[6] = 0;
        assert_eq!(read(&bytes, Way::ToServer).unwrap().fault, None);
    }

    #[test]
    fn a_split_message_is_read_as_far_as_it_goes_and_its_rest_not_at_all() {
        let whole = pdu(1, &[], &[&[5, 1][..], &ITEM].concat(), &[0, 4, 0, 32, 1, 2, 3, 4]);
        let message = read(&whole[..20], Way::ToServer).unwrap();
        assert_eq!((message.length, message.fault), (whole.len(), None));
        assert_eq!(message.operation.unwrap().effect, Effect::Write);
        for at in 1..whole.len() {
            assert_eq!(read(&whole[at..], Way::ToServer), None, "{at}");
        }
    }
}
