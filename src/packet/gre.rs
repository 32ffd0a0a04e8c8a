//! GRE (RFC 2784, 2890), also of PPTP (RFC 2637), NVGRE (RFC 7637) and the mirror transport ERSPAN of types I, II and
//! III (draft-foschiano-erspan-03).

use etherparse::EtherType;

use super::digest::{FaultReason, Layer};
use super::ip::Header;
use super::reader::{Content, Reader, Sign};
use super::tunnel::{Encapsulation, UnknownType};
use super::window::Window;
use super::{ethernet, ip, ppp};

const CHECKSUM: u16 = 0x8000;
const ROUTING: u16 = 0x4000;
const KEY: u16 = 0x2000;
const SEQUENCE: u16 = 0x1000;
/// In version 1.
const ACKNOWLEDGEMENT: u16 = 0x0080;
const VERSION: u16 = 7;

const ERSPAN_II: EtherType = EtherType(0x88be);
const ERSPAN_III: EtherType = EtherType(0x22eb);
const PPP: u16 = 0x880b;

/// Flags and protocol.
const FIXED: usize = 4;

const ERSPAN_II_HEADER: usize = 8;
const ERSPAN_III_HEADER: usize = 12;
/// What a set bit in the last byte of type III adds.
const PLATFORM_HEADER: usize = 8;

/// Reads a GRE header in the IP packet `outer`, and what it carries.
pub(super) fn read(window: Window<'_>, outer: &Header, reader: &mut Reader<'_>) -> Content {
    let Some(&[a, b, c, d]) = window.bytes.first_chunk::<FIXED>() else {
        reader.note(Layer::Tunnel, window.shortage(FIXED));
        return Content::Unread;
    };
    let (flags, protocol) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
    match flags & VERSION {
        // Source routes were dropped with RFC 2784.
        0 if flags & ROUTING == 0 => version_0(window, flags, EtherType(protocol), outer, reader),
        1 if protocol == PPP && flags & KEY != 0 => version_1(window, flags, outer, reader),
        _ => {
            reader.note(Layer::Tunnel, FaultReason::BadField);
            Content::Unread
        }
    }
}

const fn field(flags: u16, bit: u16) -> usize {
    if flags & bit == 0 { 0 } else { 4 }
}

fn version_0(
    window: Window<'_>,
    flags: u16,
    protocol: EtherType,
    outer: &Header,
    reader: &mut Reader<'_>,
) -> Content {
    let header = FIXED + field(flags, CHECKSUM) + field(flags, KEY) + field(flags, SEQUENCE);
    if window.bytes.len() < header {
        reader.note(Layer::Tunnel, window.shortage(header));
        return Content::Unread;
    }
    let payload = window.after(header);
    let kind = match protocol {
        ERSPAN_II | ERSPAN_III => Encapsulation::Erspan,
        // Keep-alives of some routers have no protocol.
        EtherType(0..=1500) => {
            reader.unknown(UnknownType::Ether(protocol.0));
            return Content::Unread;
        }
        _ => Encapsulation::Gre,
    };
    let Some(around) = reader.open(kind, Some(outer)) else { return Content::Unread };
    match protocol {
        ERSPAN_II if flags & SEQUENCE == 0 => ethernet::read(payload, reader),
        ERSPAN_II => erspan_2(payload, reader),
        ERSPAN_III => erspan_3(payload, reader),
        ethernet::BRIDGING => ethernet::read(payload, reader),
        other => ethernet::typed(other, payload, reader),
    }
    reader.close(&around, Sign::Number)
}

/// The key is the payload's length and the call.
fn version_1(window: Window<'_>, flags: u16, outer: &Header, reader: &mut Reader<'_>) -> Content {
    let header = FIXED + 4 + field(flags, SEQUENCE) + field(flags, ACKNOWLEDGEMENT);
    let Some(&[_, _, _, _, high, low]) = window.bytes.first_chunk::<6>() else {
        reader.note(Layer::Tunnel, window.shortage(header));
        return Content::Unread;
    };
    let length = usize::from(u16::from_be_bytes([high, low]));
    let payload = window.after(header);
    if length > payload.length() {
        reader.note(Layer::Tunnel, FaultReason::BadLength);
    }
    if flags & SEQUENCE == 0 || length == 0 {
        // An acknowledgement only.
        return Content::Unread;
    }
    let Some(around) = reader.open(Encapsulation::Gre, Some(outer)) else { return Content::Unread };
    ppp::read(payload.ending_at(length), reader);
    reader.close(&around, Sign::Number)
}

/// The tag of the mirrored frame is in the header where the switch took it out.
fn erspan_2(window: Window<'_>, reader: &mut Reader<'_>) {
    let Some(&[a, b, c, _, ..]) = window.bytes.first_chunk::<ERSPAN_II_HEADER>() else {
        return reader.note(Layer::Tunnel, window.shortage(ERSPAN_II_HEADER));
    };
    if a >> 4 != 1 {
        return reader.note(Layer::Tunnel, FaultReason::BadField);
    }
    // ISL or 802.1Q, as the frame was tagged when it came.
    let taken_out = matches!(c >> 3 & 3, 1 | 2).then(|| u16::from_be_bytes([a & 0x0f, b]));
    ethernet::read(window.after(ERSPAN_II_HEADER), reader);
    if reader.digest.vlan.is_none() {
        reader.digest.vlan = taken_out;
    }
}

fn erspan_3(window: Window<'_>, reader: &mut Reader<'_>) {
    let Some(header) = window.bytes.first_chunk::<ERSPAN_III_HEADER>() else {
        return reader.note(Layer::Tunnel, window.shortage(ERSPAN_III_HEADER));
    };
    if header[0] >> 4 != 2 {
        return reader.note(Layer::Tunnel, FaultReason::BadField);
    }
    let platform = if header[11] & 1 == 1 { PLATFORM_HEADER } else { 0 };
    let payload = window.after(ERSPAN_III_HEADER + platform);
    // Frame type: Ethernet or IP.
    match (header[10] >> 2 & 0x1f, payload.bytes.first().map(|first| first >> 4)) {
        (2, Some(4)) => ip::read(payload, ip::v4, reader),
        (2, _) => ip::read(payload, ip::v6, reader),
        _ => ethernet::read(payload, reader),
    }
}
