//! SSDP messages (UPnP Device Architecture 2.0 section 1): who announces, looks for and answers with what.

use super::lines::{Line, Lines};
use crate::bounded::Text;
use crate::packet::digest::{Digest, FaultReason, Layer};
use crate::packet::hint::{Hint, Ssdp, SsdpMessage};
use crate::packet::window::Window;

pub(super) const PORT: u16 = 1900;

/// The first line of an answer, which comes to the port that asked.
pub(super) const ANSWER: &[u8] = b"HTTP/1.1 200";

/// A datagram on [`PORT`], or one that begins with [`ANSWER`]. What has none of SSDP's first lines is no SSDP.
pub(super) fn read(payload: Window<'_>, digest: &mut Digest) {
    let mut lines = Lines::new(payload.bytes);
    let first = lines.line().unwrap_or(payload.bytes);
    let message = match first {
        b"NOTIFY * HTTP/1.1" => SsdpMessage::Alive,
        b"M-SEARCH * HTTP/1.1" => SsdpMessage::Search,
        answer if answer.starts_with(ANSWER) => SsdpMessage::Answer,
        _ => return,
    };
    let mut ssdp = Ssdp { message, target: Text::EMPTY, server: Text::EMPTY };
    let mut has_kind = message != SsdpMessage::Alive;
    loop {
        match lines.next() {
            Line::Field(name, value) => has_kind |= field(name, value, &mut ssdp),
            Line::End => break,
            Line::Missing if payload.bytes.len() < payload.length() => {
                digest.note(Layer::Ssdp, FaultReason::Cut);
                break;
            }
            // Some forget the empty line.
            Line::Missing => break,
            Line::Malformed => return digest.note(Layer::Ssdp, FaultReason::BadField),
        }
    }
    // Only with its NTS does a NOTIFY say something, and an answer without ST is one of something else.
    if !has_kind {
        digest.note(Layer::Ssdp, FaultReason::BadField);
    } else if message != SsdpMessage::Answer || !ssdp.target.is_empty() {
        digest.hint = Hint::Ssdp(ssdp);
    }
}

/// Whether it was the field that says what a NOTIFY is.
fn field(name: &[u8], value: &[u8], ssdp: &mut Ssdp) -> bool {
    let is = |expected: &[u8]| name.eq_ignore_ascii_case(expected);
    if is(b"NTS") {
        if value.eq_ignore_ascii_case(b"ssdp:byebye") && ssdp.message == SsdpMessage::Alive {
            ssdp.message = SsdpMessage::Goodbye;
        }
        return true;
    }
    if is(b"NT") || is(b"ST") {
        ssdp.target = Text::from_wire(value);
    } else if is(b"SERVER") || is(b"USER-AGENT") {
        ssdp.server = Text::from_wire(value);
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::samples::{captured, digest, fault, udp4};

    fn read(ports: (u16, u16), text: &[u8]) -> Option<Ssdp> {
        match digest(&udp4(ports.0, ports.1, text)).hint {
            Hint::Ssdp(ssdp) => Some(ssdp),
            _ => None,
        }
    }

    const ALIVE: &[u8] = b"NOTIFY * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\nNT: upnp:rootdevice\r\n\
        NTS: ssdp:alive\r\nSERVER: Linux/5.4 UPnP/1.0 TV/1\r\n\r\n";

    #[test]
    fn messages() {
        let alive = read((40_000, 1900), ALIVE).unwrap();
        assert_eq!(alive.message, SsdpMessage::Alive);
        assert_eq!(
            (alive.target.as_str(), alive.server.as_str()),
            ("upnp:rootdevice", "Linux/5.4 UPnP/1.0 TV/1")
        );
        let goodbye = read((1900, 1900), b"NOTIFY * HTTP/1.1\r\nnts: ssdp:byebye\r\nNT: x\r\n\r\n").unwrap();
        assert_eq!(goodbye.message, SsdpMessage::Goodbye);
        let search =
            read((40_000, 1900), b"M-SEARCH * HTTP/1.1\r\nMAN: \"ssdp:discover\"\r\nST: ssdp:all\r\n");
        assert_eq!(
            search.map(|s| (s.message, s.target.to_string())),
            Some((SsdpMessage::Search, "ssdp:all".into()))
        );
        let answer = b"HTTP/1.1 200 OK\r\nST: upnp:rootdevice\r\nServer: NAS/2\r\n\r\n";
        for ports in [(1900, 40_000), (50_000, 40_000)] {
            let answer = read(ports, answer).unwrap();
            assert_eq!((answer.message, answer.server.as_str()), (SsdpMessage::Answer, "NAS/2"));
        }
        assert_eq!(read((50_000, 40_000), b"HTTP/1.1 200 OK\r\nServer: x\r\n\r\n"), None);
        assert_eq!(read((40_000, 1900), b"something else\r\n"), None);
    }

    #[test]
    fn bad_messages() {
        let reason = |text: &[u8]| digest(&udp4(40_000, 1900, text)).fault;
        let bad = fault(Layer::Ssdp, FaultReason::BadField);
        assert_eq!(reason(b"NOTIFY * HTTP/1.1\r\nNT: x\r\n\r\n"), bad, "of no kind");
        assert_eq!(reason(b"M-SEARCH * HTTP/1.1\r\nwhat\r\n\r\n"), bad);
        assert_eq!(reason(b"something else\r\n"), None);
        let frame = udp4(40_000, 1900, ALIVE);
        let cut = captured(&frame, frame.len() - 3);
        assert_eq!(cut.fault, fault(Layer::Ssdp, FaultReason::Cut));
        assert!(matches!(cut.hint, Hint::Ssdp(_)));
    }
}
