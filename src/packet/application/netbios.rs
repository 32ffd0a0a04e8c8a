//! NetBIOS name service packets (RFC 1002 section 4.2, names: RFC 1001 section 14.1): who has or claims which name.

use std::net::{IpAddr, Ipv4Addr};

use crate::bounded::Text;
use crate::packet::digest::FaultReason;
use crate::packet::hint::{NetBios, NetBiosMessage};
use crate::packet::window::Window;

pub(super) const PORT: u16 = 137;

const HEADER: usize = 12;

/// A name in first-level encoding: its length, 32 letters.
const ENCODED: usize = 33;
const RESPONSE: u16 = 0x8000;
const GROUP: u16 = 0x8000;
const TYPE_NB: u16 = 0x20;

/// Reads a packet on [`PORT`]: the first name in it, and of a record behind it the flags and the first address.
pub(super) fn read(payload: Window<'_>) -> Result<NetBios, FaultReason> {
    let bytes = payload.bytes;
    let number = |at: usize| {
        let two = bytes.get(at..).and_then(<[u8]>::first_chunk::<2>);
        two.map(|&two| u16::from_be_bytes(two)).ok_or_else(|| payload.shortage(at + 2))
    };
    let flags = number(2)?;
    let [questions, answers, additional] = [number(4)?, number(6)?, number(10)?];
    let message = match (flags & RESPONSE != 0, flags >> 11 & 15, flags & 15) {
        (true, _, 0) => NetBiosMessage::Response,
        (true, _, _) => NetBiosMessage::Refusal,
        (false, 0, _) => NetBiosMessage::Query,
        // Also refreshes (RFC 1002 section 4.2.4; 9 is what some send for 8).
        (false, 5 | 8 | 9, _) => NetBiosMessage::Registration,
        (false, 6, _) => NetBiosMessage::Release,
        (false, ..) => return Err(FaultReason::BadField),
    };
    let name_end = HEADER + ENCODED;
    let encoded = bytes.get(HEADER..name_end).ok_or_else(|| payload.shortage(name_end))?;
    let (name, suffix) = decode(encoded)?;
    let mut packet = NetBios { message, name, suffix, group: false, address: None };
    let (scope, mut at) = skip_scope(payload, name_end)?;
    if questions > 0 {
        // Type and class.
        at += 4;
        number(at - 2)?;
        if additional == 0 || answers > 0 {
            return Ok(packet);
        }
        at = match bytes.get(at) {
            Some(0xc0..) => at + 2,
            Some(_) => at + (name_end - HEADER) + scope,
            None => return Err(payload.shortage(at + 1)),
        };
    } else if answers == 0 {
        return Ok(packet);
    }
    // Type, class, time to live, length; then flags and address.
    if number(at)? == TYPE_NB && number(at + 8)? >= 6 {
        packet.group = number(at + 10)? & GROUP != 0;
        let [a, b] = number(at + 12)?.to_be_bytes();
        let [c, d] = number(at + 14)?.to_be_bytes();
        packet.address = Some(IpAddr::V4(Ipv4Addr::new(a, b, c, d)));
    }
    Ok(packet)
}

/// Two letters for each byte, the padding of the first fifteen taken off.
fn decode(encoded: &[u8]) -> Result<(Text<15>, u8), FaultReason> {
    let [0x20, letters @ ..] = encoded else { return Err(FaultReason::BadField) };
    let mut decoded = [0; 16];
    for (byte, &pair) in decoded.iter_mut().zip(letters.as_chunks::<2>().0) {
        let [high @ b'A'..=b'P', low @ b'A'..=b'P'] = pair else { return Err(FaultReason::BadField) };
        *byte = (high - b'A') << 4 | (low - b'A');
    }
    let [name @ .., suffix] = &decoded;
    let end = name.iter().rposition(|byte| !matches!(byte, b' ' | 0)).map_or(0, |last| last + 1);
    Ok((Text::from_wire(name.get(..end).unwrap_or(name)), *suffix))
}

/// The labels of the scope behind a name: their length with the last zero, and where they end.
fn skip_scope(payload: Window<'_>, start: usize) -> Result<(usize, usize), FaultReason> {
    let mut at = start;
    // Each turn takes at least one byte.
    loop {
        let label = *payload.bytes.get(at).ok_or_else(|| payload.shortage(at + 1))?;
        at += 1 + usize::from(label);
        match label {
            0 => return Ok((at - start, at)),
            1..=0x3f => {}
            _ => return Err(FaultReason::BadField),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::samples::{captured, dns_header, fault, netbios_registration, udp4};
    use crate::packet::{Digest, Hint, Layer};

    fn encoded(name: &[u8; 16]) -> Vec<u8> {
        let letters = name.iter().flat_map(|byte| [b'A' + (byte >> 4), b'A' + (byte & 15)]);
        std::iter::once(0x20).chain(letters).chain([0]).collect()
    }

    fn digest(bytes: &[u8]) -> Digest {
        crate::packet::samples::digest(&udp4(137, 137, bytes))
    }

    fn read(bytes: &[u8]) -> NetBios {
        match digest(bytes).hint {
            Hint::NetBios(packet) => packet,
            other => panic!("{other:?} {:?}", digest(bytes).fault),
        }
    }

    const RECORD: &[u8] = &[0, 0x20, 0, 1, 0, 0, 0, 0, 0, 6, 0x80, 0, 192, 0, 2, 12];

    #[test]
    fn a_registration_names_its_sender() {
        let packet = read(&netbios_registration());
        assert_eq!(
            (packet.message, packet.name.as_str(), packet.suffix),
            (NetBiosMessage::Registration, "OFFICE-PC", 0x20)
        );
        assert_eq!((packet.group, packet.address), (false, Some([192, 0, 2, 12].into())));
    }

    #[test]
    fn queries_and_responses() {
        let query = [
            dns_header(0x0110, [1, 0, 0, 0]),
            encoded(b"NAS\0\0\0\0\0\0\0\0\0\0\0\0\x00"),
            vec![0, 0x20, 0, 1],
        ]
        .concat();
        let packet = read(&query);
        assert_eq!((packet.message, packet.name.as_str(), packet.suffix), (NetBiosMessage::Query, "NAS", 0));
        let response = |flags| {
            [dns_header(flags, [0, 1, 0, 0]), encoded(b"WORKGROUP      \x1e"), RECORD.to_vec()].concat()
        };
        let packet = read(&response(0x8500));
        assert_eq!(
            (packet.message, packet.name.as_str(), packet.suffix),
            (NetBiosMessage::Response, "WORKGROUP", 0x1e)
        );
        assert_eq!((packet.group, packet.address), (true, Some([192, 0, 2, 12].into())));
        assert_eq!(read(&response(0x8583)).message, NetBiosMessage::Refusal);
        let mut release = netbios_registration();
        release[2] = 0x30;
        assert_eq!(read(&release).message, NetBiosMessage::Release);
        let mut refresh = netbios_registration();
        refresh[2] = 0x40;
        assert_eq!(read(&refresh).message, NetBiosMessage::Registration);
    }

    #[test]
    fn a_scope_goes_with_the_name() {
        let mut scoped = encoded(b"NAS            \x20");
        scoped.splice(33..34, *b"\x03abc\x00");
        let response = [dns_header(0x8500, [0, 1, 0, 0]), scoped, RECORD.to_vec()].concat();
        assert_eq!(read(&response).address, Some([192, 0, 2, 12].into()));
    }

    #[test]
    fn bad_packets() {
        let reason = |bytes: &[u8]| digest(bytes).fault;
        let good = netbios_registration();
        for length in [0, 11, 12, 44, 45, 49, 51, 60, good.len() - 1] {
            assert_eq!(reason(&good[..length]), fault(Layer::NetBios, FaultReason::TooShort), "{length}");
        }
        let bad = |at: usize, byte| {
            let mut bytes = good.clone();
            bytes[at] = byte;
            reason(&bytes)
        };
        let field = fault(Layer::NetBios, FaultReason::BadField);
        assert_eq!([bad(2, 0x18), bad(12, 0x1f), bad(13, b'Q'), bad(45, 0x40)], [field; 4]);
        let frame = udp4(137, 137, &good);
        assert_eq!(captured(&frame, frame.len() - 1).fault, fault(Layer::NetBios, FaultReason::Cut));
    }
}
