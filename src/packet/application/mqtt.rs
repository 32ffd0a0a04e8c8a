//! MQTT control packets (MQTT 3.1, 3.1.1 and 5.0): who connects, and what is published. A CONNECT is known by its
//! content on any port; of the others one byte is no proof, so they are read on MQTT's port only, and what does not fit
//! there is no fault: it may be the middle of a longer one.

use crate::bounded::Text;
use crate::packet::digest::{Digest, FaultReason, Layer};
use crate::packet::hint::{Hint, Mqtt};
use crate::packet::window::Window;

pub(super) const PORT: u16 = 1883;

/// First byte of a CONNECT.
pub(super) const CONNECT: u8 = 0x10;

const PUBLISH: u8 = 3;
const FLAG_RETAIN: u8 = 1;
const FLAG_USER: u8 = 0x80;
const VERSION_5: u8 = 5;

/// A payload that begins with [`CONNECT`]. Whether it is one.
pub(super) fn connect(payload: Window<'_>, digest: &mut Digest) -> bool {
    let Some((_, body)) = body(payload.bytes) else { return false };
    let (level, rest) = match *body {
        [0, 4, b'M', b'Q', b'T', b'T', level @ 4..=VERSION_5, ref rest @ ..]
        | [0, 6, b'M', b'Q', b'I', b's', b'd', b'p', level @ 3, ref rest @ ..] => (level, rest),
        _ => return false,
    };
    match client(level, rest) {
        Some(connect) => digest.hint = Hint::Mqtt(connect),
        None => digest.note(Layer::Mqtt, shortage(payload, body)),
    }
    true
}

/// Any other packet, on [`PORT`].
pub(super) fn other(payload: Window<'_>, digest: &mut Digest) {
    let Some((length, body)) = body(payload.bytes) else { return };
    let (kind, flags) = payload.bytes.first().map_or((0, 0), |first| (first >> 4, first & 15));
    let mqtt = match (kind, flags) {
        (PUBLISH, _) if flags & 6 != 6 => publish(length, flags, body),
        // MQTT 5.0 section 2.1.3: the flags of all others are fixed. Acknowledgements are short, and those without
        // anything in them have no length.
        (2, 0) => (length >= 2).then_some(Mqtt::Other(kind)),
        (4 | 5 | 7, 0) | (6, 2) => (2..=1024).contains(&length).then_some(Mqtt::Other(kind)),
        (8 | 10, 2) | (9 | 11, 0) => (length >= 2).then_some(Mqtt::Other(kind)),
        (12 | 13, 0) => (length == 0).then_some(Mqtt::Other(kind)),
        (14 | 15, 0) => (length <= 1024).then_some(Mqtt::Other(kind)),
        _ => None,
    };
    if let Some(mqtt) = mqtt {
        digest.hint = Hint::Mqtt(mqtt);
    }
}

/// The remaining length (MQTT 5.0 section 2.1.4), and what of it is there.
fn body(packet: &[u8]) -> Option<(usize, &[u8])> {
    let (length, rest) = number(packet.get(1..)?)?;
    Some((length, rest.get(..length).unwrap_or(rest)))
}

/// A number of one to four bytes, the lowest seven bits first.
fn number(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let more = bytes.iter().take(4).take_while(|&&byte| byte & 0x80 != 0).count();
    let (digits, rest) = bytes.split_at_checked(more + 1).filter(|_| more < 4)?;
    Some((digits.iter().rev().fold(0, |number, &byte| number << 7 | usize::from(byte & 0x7f)), rest))
}

/// A text with its length before it.
fn text(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<2>()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))
}

fn client(level: u8, bytes: &[u8]) -> Option<Mqtt> {
    // Flags and the time to keep alive.
    let (&[flags, _, _], mut rest) = bytes.split_first_chunk::<3>()?;
    if level == VERSION_5 {
        let (properties, behind) = number(rest)?;
        rest = behind.get(properties..)?;
    }
    let (client, _) = text(rest)?;
    Some(Mqtt::Connect { client: Text::from_wire(client), user: flags & FLAG_USER != 0 })
}

fn publish(length: usize, flags: u8, body: &[u8]) -> Option<Mqtt> {
    let (topic, _) = text(body)?;
    let wild = topic.iter().any(|byte| matches!(byte, b'+' | b'#' | 0..=0x1f));
    let fits = topic.len() + 2 <= length && !wild && std::str::from_utf8(topic).is_ok();
    fits.then(|| Mqtt::Publish { topic: Text::from_wire(topic), retain: flags & FLAG_RETAIN != 0 })
}

/// Why a CONNECT could not be read: what ends its text is the segment, the capture, or its own length.
fn shortage(payload: Window<'_>, body: &[u8]) -> FaultReason {
    let there = number(payload.bytes.get(1..).unwrap_or(&[])).is_some_and(|(length, _)| body.len() == length);
    if there {
        FaultReason::BadLength
    } else if payload.bytes.len() < payload.length() {
        FaultReason::Cut
    } else {
        FaultReason::TooShort
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::samples::{captured, digest, fault, segment, tcp4};

    fn connect_of(level: u8, flags: u8, rest: &[u8]) -> Vec<u8> {
        let name: &[u8] = if level == 3 { b"\x00\x06MQIsdp" } else { b"\x00\x04MQTT" };
        let body = [name, &[level, flags, 0, 60], rest].concat();
        [&[CONNECT, u8::try_from(body.len()).unwrap()], &body[..]].concat()
    }

    fn read(source: u16, destination: u16, bytes: &[u8]) -> Option<Mqtt> {
        match digest(&segment((source, destination), 1, bytes)).hint {
            Hint::Mqtt(mqtt) => Some(mqtt),
            Hint::None => None,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn clients_by_content_on_any_port() {
        let client = |text: &[u8], user| Some(Mqtt::Connect { client: Text::from_wire(text), user });
        assert_eq!(read(5000, 6000, &connect_of(4, 2, b"\x00\x05meter")), client(b"meter", false));
        assert_eq!(read(5000, 1883, &connect_of(3, 0xc2, b"\x00\x02ab\x00\x01u")), client(b"ab", true));
        assert_eq!(read(5000, 1883, &connect_of(5, 0x80, b"\x03\x11\x00\x00\x00\x00")), client(b"", true));
        assert_eq!(read(5000, 6000, &connect_of(6, 0, b"\x00\x00")), None, "a version that there is not");
    }

    #[test]
    fn a_connect_that_contradicts_itself() {
        let bad = connect_of(4, 2, b"\x00\x09meter");
        assert_eq!(digest(&tcp4(&bad)).fault, fault(Layer::Mqtt, FaultReason::BadLength));
        let good = connect_of(4, 2, b"\x00\x05meter");
        assert_eq!(digest(&tcp4(&good[..15])).fault, fault(Layer::Mqtt, FaultReason::TooShort));
        let frame = tcp4(&good);
        assert_eq!(captured(&frame, frame.len() - 1).fault, fault(Layer::Mqtt, FaultReason::Cut));
    }

    #[test]
    fn publications() {
        let published = |topic: &[u8], retain| Some(Mqtt::Publish { topic: Text::from_wire(topic), retain });
        assert_eq!(read(5000, 1883, b"\x30\x07\x00\x03a/b23"), published(b"a/b", false));
        assert_eq!(read(1883, 5000, b"\x33\x09\x00\x03a/b\x00\x0123"), published(b"a/b", true));
        assert_eq!(read(1883, 5000, b"\x30\x03\x00\x00\x01"), published(b"", false), "an alias");
        assert_eq!(
            read(1883, 5000, b"\x30\x81\x10\x00\x03a/b"),
            published(b"a/b", false),
            "its end comes later"
        );
        for none in [&b"\x30\x07\x00\x03a/#23"[..], b"\x36\x07\x00\x03a/b23", b"\x30\x03\x00\x03a/b", b"\x30"]
        {
            assert_eq!(read(5000, 1883, none), None);
        }
        assert_eq!(read(5000, 6000, b"\x30\x07\x00\x03a/b23"), None, "only on its port");
    }

    #[test]
    fn others_by_type_where_they_fit() {
        for (packet, expected) in [
            (&b"\x20\x02\x00\x00"[..], Some(2)),
            (b"\x40\x02\x00\x01", Some(4)),
            (b"\x62\x02\x00\x01", Some(6)),
            (b"\x82\x06\x00\x01\x00\x01#\x00", Some(8)),
            (b"\xc0\x00", Some(12)),
            (b"\xe0\x00", Some(14)),
            (b"\xc0\x01\x00", None),
            (b"\xc1\x00", None),
            (b"\x20\x80\x80\x80\x80\x01", None),
            (b"\x00\x00", None),
        ] {
            assert_eq!(read(1883, 5000, packet), expected.map(Mqtt::Other), "{packet:x?}");
            assert_eq!(digest(&segment((1883, 5000), 1, packet)).fault, None);
        }
    }
}
