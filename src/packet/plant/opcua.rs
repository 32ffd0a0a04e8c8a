//! OPC UA over TCP with the binary encoding. Read first: OPC 10000-6 clauses 7.1 (connection protocol), 6.7 (secure
//! conversation), 5.2.2.9 (node identifiers) and annex A with the identifiers of the services' encodings; OPC 10000-4
//! for what the services do.
//!
//! `code` is the identifier of the service's binary encoding (631 for a read request); of messages without one it is 1
//! hello, 2 acknowledge, 3 error, 4 reverse hello, 5 open, 6 close a secure channel, and 0 where the service cannot be
//! read. `object` is the name space of the first node that is read, written, browsed or called, `address` its numeric
//! identifier or a hash of another one, `count` how many nodes. `error` is the upper half of the status code (its lower
//! half holds flags), which names the error.
//!
//! Security is not told by the message: where the place of the type identifier does not hold that of a known service,
//! the message is encrypted or a later chunk, and its effect is `Other`.
//!
//! Recognised by the message type, the chunk type and a size that is possible; on other ports than 4840 the message
//! must fill the payload or begin a longer one of a known channel type with the version and sizes of its first fields.

use super::field::{hash, le32};
use super::{Message, Way};
use crate::packet::digest::FaultReason;
use crate::packet::hint::{Direction, Effect, Operation, PlantProtocol};
use crate::packet::window::Window;

const HEADER: usize = 8;
/// No implementation takes chunks above this.
const MAX_SIZE: usize = 1 << 26;
/// The status code's severity bit for "bad".
const BAD: u32 = 0x8000_0000;

/// The message at the start of a segment's rest.
pub(super) fn read(bytes: &[u8], way: Way) -> Option<Message> {
    let &[a, b, c, chunk, ..] = bytes.first_chunk::<HEADER>()?;
    let kind = Kind::of([a, b, c])?;
    let length = usize::try_from(le32(bytes, 4)?).ok()?;
    let is_chunk = matches!(chunk, b'F') || kind == Kind::Message && matches!(chunk, b'C' | b'A');
    if !is_chunk || !(kind.least()..=MAX_SIZE).contains(&length) {
        return None;
    }
    let body = bytes.get(HEADER..bytes.len().min(length)).unwrap_or_default();
    let by_port = if way == Way::FromServer { Direction::Response } else { Direction::Request };
    let plain = |direction, code| Operation::new(PlantProtocol::OpcUa, direction, Effect::Session, code);
    let mut fault = None;
    let operation = match kind {
        Kind::Hello => plain(Direction::Request, 1),
        Kind::Acknowledge => plain(Direction::Response, 2),
        Kind::Error => Operation { error: le32(body, 0).and_then(error), ..plain(Direction::Response, 3) },
        Kind::ReverseHello => plain(Direction::Unsolicited, 4),
        Kind::Open => plain(by_port, 5),
        Kind::Close => plain(by_port, 6),
        Kind::Message if chunk == b'F' || chunk == b'C' => {
            let service = service(body, by_port);
            let is_whole = chunk == b'F' && bytes.len() >= length;
            fault = service.too_short.then_some(FaultReason::BadLength).filter(|_| is_whole);
            service.operation
        }
        Kind::Message => Operation::new(PlantProtocol::OpcUa, by_port, Effect::Other, 0),
    };
    Some(Message { operation: Some(operation), length, fault })
}

/// Whether the size is the payload's, or the first message of several or of a long one is surely of this protocol.
pub(super) fn is_certain(payload: Window<'_>) -> bool {
    let Some(message) = read(payload.bytes, Way::Unknown) else { return false };
    message.length == payload.length() || message.operation.is_some_and(|operation| operation.code > 6)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Hello,
    Acknowledge,
    Error,
    ReverseHello,
    Open,
    Close,
    Message,
}

impl Kind {
    const fn of(name: [u8; 3]) -> Option<Self> {
        match &name {
            b"HEL" => Some(Self::Hello),
            b"ACK" => Some(Self::Acknowledge),
            b"ERR" => Some(Self::Error),
            b"RHE" => Some(Self::ReverseHello),
            b"OPN" => Some(Self::Open),
            b"CLO" => Some(Self::Close),
            b"MSG" => Some(Self::Message),
            _ => None,
        }
    }

    /// The smallest size: header and fixed fields.
    const fn least(self) -> usize {
        match self {
            Self::Hello => 32,
            Self::Acknowledge => 28,
            Self::Error | Self::ReverseHello => 16,
            Self::Open | Self::Close | Self::Message => 24,
        }
    }
}

/// The name of an error in a status code.
fn error(status: u32) -> Option<u16> {
    (status & BAD != 0).then(|| u16::try_from(status >> 16).unwrap_or(u16::MAX))
}

struct Service {
    operation: Operation,
    /// The body ended before what the service must have.
    too_short: bool,
}

/// A service behind the channel's identifier, token, sequence number and request number.
fn service(body: &[u8], by_port: Direction) -> Service {
    const SECURE: usize = 16;
    let mut fields = Fields { rest: body.get(SECURE..).unwrap_or_default(), ended: false };
    let other = Operation::new(PlantProtocol::OpcUa, by_port, Effect::Other, 0);
    let known = match fields.node() {
        Some(Node { space: 0, number, numeric: true }) => {
            u16::try_from(number).ok().and_then(|code| Some((code, effect(code)?)))
        }
        _ => None,
    };
    let Some((code, (direction, effect))) = known else {
        return Service { operation: other, too_short: false };
    };
    let mut told = Operation::new(PlantProtocol::OpcUa, direction, effect, code);
    let read = match direction {
        Direction::Response => fields.status().map(|status| told.error = error(status)),
        _ => fields.request(code).map(|(count, node)| {
            told.count = count;
            (told.object, told.address) = node.map_or((0, 0), |node| (node.space.into(), node.number));
        }),
    };
    Service { operation: told, too_short: read.is_none() && fields.ended }
}

struct Node {
    space: u16,
    number: u32,
    numeric: bool,
}

/// Fields of the binary encoding, one after the other.
struct Fields<'a> {
    rest: &'a [u8],
    /// A field was not all there.
    ended: bool,
}

impl<'a> Fields<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let Some((field, rest)) = self.rest.split_at_checked(length) else {
            self.ended = true;
            return None;
        };
        self.rest = rest;
        Some(field)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    fn short(&mut self) -> Option<u16> {
        self.take(2)?.first_chunk().copied().map(u16::from_le_bytes)
    }

    fn word(&mut self) -> Option<u32> {
        self.take(4)?.first_chunk().copied().map(u32::from_le_bytes)
    }

    /// A string or byte string; a length of -1 stands for none.
    fn text(&mut self) -> Option<&'a [u8]> {
        match self.word()? {
            u32::MAX => Some(&[]),
            length => self.take(usize::try_from(length).ok()?),
        }
    }

    /// A node identifier by its encoding octet.
    fn node(&mut self) -> Option<Node> {
        let (space, number, numeric) = match self.byte()? & 0x0f {
            0 => (0, self.byte()?.into(), true),
            1 => (self.byte()?.into(), self.short()?.into(), true),
            2 => (self.short()?, self.word()?, true),
            3 | 5 => (self.short()?, hash(self.text()?), false),
            4 => (self.short()?, hash(self.take(16)?), false),
            _ => return None,
        };
        Some(Node { space, number, numeric })
    }

    /// The result in a response header.
    fn status(&mut self) -> Option<u32> {
        // Time and request handle.
        self.take(12)?;
        self.word()
    }

    /// How many nodes a request is about, and the first.
    fn request(&mut self, code: u16) -> Option<(u32, Option<Node>)> {
        // Authentication token; time, handle, diagnostics; audit entry; timeout; additional header.
        self.node()?;
        self.take(16)?;
        self.text()?;
        self.take(4)?;
        self.node()?;
        if self.byte()? != 0 {
            self.text()?;
        }
        match code {
            // Maximum age and which timestamps to return.
            READ => self.take(12)?,
            // View, its time and version, and the most references per node.
            BROWSE => {
                self.node()?;
                self.take(16)?
            }
            WRITE | CALL => &[],
            _ => return Some((0, None)),
        };
        let count = self.word()?;
        let some = !matches!(count, 0 | u32::MAX);
        Some(if some { (count, Some(self.node()?)) } else { (0, None) })
    }
}

const BROWSE: u16 = 527;
const READ: u16 = 631;
const WRITE: u16 = 673;
const CALL: u16 = 712;

/// Whether an encoding is a request's or a response's, and what the service does; none for other encodings.
const fn effect(code: u16) -> Option<(Direction, Effect)> {
    use Direction::{Request, Response};
    // In the order of OPC 10000-4. Responses follow their request at a distance of 3, or 1 in later versions.
    let (request, effect) = match code {
        // A fault answers any service.
        397 => return Some((Response, Effect::Other)),
        12_208 | 12_211 => return Some((Request, Effect::Identify)),
        12_209 | 12_212 => return Some((Response, Effect::Identify)),
        // Find servers, get endpoints, register server.
        422 | 425 => (422, Effect::Identify),
        428 | 431 => (428, Effect::Identify),
        437 | 440 => (437, Effect::Identify),
        // Open and close the channel; create, activate and close the session; cancel.
        446 | 449 => (446, Effect::Session),
        452 | 455 => (452, Effect::Session),
        461 | 464 => (461, Effect::Session),
        467 | 470 => (467, Effect::Session),
        473 | 476 => (473, Effect::Session),
        479 | 482 => (479, Effect::Session),
        // Add and delete nodes and references.
        488 | 491 => (488, Effect::Configure),
        494 | 497 => (494, Effect::Configure),
        500 | 503 => (500, Effect::Configure),
        506 | 509 => (506, Effect::Configure),
        // Browse, browse next, translate paths, register and unregister nodes for use.
        527 | 530 => (527, Effect::Read),
        533 | 536 => (533, Effect::Read),
        554 | 557 => (554, Effect::Read),
        560 | 563 => (560, Effect::Session),
        566 | 569 => (566, Effect::Session),
        // Query first and next.
        615 | 618 => (615, Effect::Read),
        621 | 624 => (621, Effect::Read),
        // Attributes and their history; methods.
        631 | 634 => (631, Effect::Read),
        664 | 667 => (664, Effect::Read),
        673 | 676 => (673, Effect::Write),
        700 | 703 => (700, Effect::Write),
        712 | 715 => (712, Effect::Control),
        // Monitored items: create, modify, set mode, set triggering, delete.
        751 | 754 => (751, Effect::Read),
        763 | 766 => (763, Effect::Read),
        769 | 772 => (769, Effect::Read),
        775 | 778 => (775, Effect::Read),
        781 | 784 => (781, Effect::Read),
        // Subscriptions: create, modify, set mode, transfer, delete.
        787 | 790 => (787, Effect::Read),
        793 | 796 => (793, Effect::Read),
        799 | 802 => (799, Effect::Read),
        841 | 844 => (841, Effect::Read),
        847 | 850 => (847, Effect::Read),
        // Publish and republish.
        826 | 829 => (826, Effect::Report),
        832 | 835 => (832, Effect::Report),
        _ => return None,
    };
    Some((if code == request { Request } else { Response }, effect))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in super::super) fn message(kind: &[u8; 4], body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(HEADER + body.len()).unwrap();
        [&kind[..], &length.to_le_bytes(), body].concat()
    }

    /// A message chunk with a service and what follows its type.
    pub(in super::super) fn service(code: u16, fields: &[u8]) -> Vec<u8> {
        let [low, high] = code.to_le_bytes();
        message(b"MSGF", &[&[1; 16][..], &[1, 0, low, high], fields].concat())
    }

    /// A request's header: a token of the opaque kind, no audit entry, no additional header.
    fn request(code: u16, fields: &[u8]) -> Vec<u8> {
        let token = [5, 1, 0, 4, 0, 0, 0, 9, 9, 9, 9];
        let rest = [0xff, 0xff, 0xff, 0xff, 0x10, 0x27, 0, 0, 0, 0, 0];
        service(code, &[&token[..], &[0; 16], &rest, fields].concat())
    }

    fn told(bytes: &[u8]) -> Operation {
        let message = read(bytes, Way::Unknown).unwrap();
        assert_eq!((message.length, message.fault), (bytes.len(), None), "{bytes:x?}");
        message.operation.unwrap()
    }

    #[test]
    fn services_have_their_effect() {
        use Effect::{Configure, Control, Identify, Read, Report, Session, Write};
        for (code, effect) in [
            (422, Identify),
            (428, Identify),
            (461, Session),
            (467, Session),
            (473, Session),
            (488, Configure),
            (506, Configure),
            (533, Read),
            (664, Read),
            (700, Write),
            (751, Read),
            (787, Read),
            (826, Report),
        ] {
            let operation = told(&request(code, &[]));
            assert_eq!((operation.effect, operation.direction), (effect, Direction::Request), "{code}");
            let operation = told(&service(code + 3, &[0; 16]));
            assert_eq!((operation.effect, operation.direction), (effect, Direction::Response), "{code}");
        }
        assert_eq!(told(&request(12_208, &[])).effect, Identify);
        let node = [1, 0, 0, 0, 1, 2, 0x39, 5];
        assert_eq!(told(&request(712, &node)).effect, Control);
        assert_eq!(told(&request(673, &node)).effect, Write);
    }

    #[test]
    fn requests_tell_their_first_node() {
        let about = |code, fields: &[u8]| {
            let operation = told(&request(code, fields));
            (operation.count, operation.object, operation.address)
        };
        assert_eq!(about(631, &[&[0; 12][..], &[2, 0, 0, 0, 1, 3, 0x39, 5]].concat()), (2, 3, 1337));
        let name = [1, 0, 0, 0, 3, 4, 0, 5, 0, 0, 0, b's', b'p', b'e', b'e', b'd'];
        assert_eq!(about(673, &name), (1, 4, hash(b"speed")));
        assert_eq!(about(673, &[1, 0, 0, 0, 2, 1, 0, 1, 0, 1, 0]), (1, 1, 65_537));
        assert_eq!(about(527, &[&[0, 0][..], &[0; 16], &[1, 0, 0, 0, 0, 85]].concat()), (1, 0, 85));
        assert_eq!(about(631, &[&[0; 12][..], &[0xff; 4]].concat()), (0, 0, 0));
    }

    #[test]
    fn responses_tell_a_bad_status() {
        let answer = |code, status: [u8; 4]| told(&service(code, &[&[0; 12][..], &status].concat())).error;
        assert_eq!(answer(676, [0, 0, 0, 0]), None);
        assert_eq!(answer(676, [0, 0, 0x3b, 0x80]), Some(0x803b));
        assert_eq!(answer(397, [0, 0, 0x0b, 0x80]), Some(0x800b));
    }

    #[test]
    fn connections_and_channels_are_the_session() {
        for (kind, size, code) in
            [(b"HELF", 24, 1), (b"ACKF", 20, 2), (b"RHEF", 8, 4), (b"OPNF", 40, 5), (b"CLOF", 20, 6)]
        {
            let operation = told(&message(kind, &vec![0; size]));
            assert_eq!((operation.effect, operation.code, operation.error), (Effect::Session, code, None));
        }
        assert_eq!(told(&message(b"ERRF", &[0, 0, 0x7d, 0x80, 0, 0, 0, 0])).error, Some(0x807d));
    }

    #[test]
    fn what_is_encrypted_is_other() {
        let sealed = message(b"MSGF", &[&[1; 16][..], &[0xa7; 48]].concat());
        let operation = told(&sealed);
        assert_eq!((operation.effect, operation.code), (Effect::Other, 0));
        assert_eq!(told(&message(b"MSGA", &[0; 24])).effect, Effect::Other);
    }

    #[test]
    fn impossible_headers_are_no_message_and_short_services_a_fault() {
        for (kind, size) in [(b"HELC", 24), (b"HELF", 23), (b"MSGF", 15), (b"MSGX", 40), (b"GETF", 40)] {
            assert_eq!(read(&message(kind, &vec![0; size]), Way::ToServer), None, "{kind:?}");
        }
        assert_eq!(
            read(&service(631, &[5, 0, 0]), Way::ToServer).unwrap().fault,
            Some(FaultReason::BadLength)
        );
        let split = &request(631, &[0; 16])[..40];
        let message = read(split, Way::ToServer).unwrap();
        assert_eq!((message.fault, message.operation.unwrap().effect), (None, Effect::Read));
    }
}
