//! PPP (RFC 1661) with and without HDLC framing (RFC 1662), over Ethernet (RFC 2516); Cisco's HDLC; Frame Relay
//! (RFC 2427).

use etherparse::EtherType;

use super::digest::{FaultReason, Layer};
use super::ethernet;
use super::ip;
use super::mpls;
use super::reader::{Content, Reader, Sign};
use super::tunnel::{Encapsulation, UnknownType};
use super::window::Window;

const IPV4: u16 = 0x0021;
const IPV6: u16 = 0x0057;
const MPLS_UNICAST: u16 = 0x0281;
const MPLS_MULTICAST: u16 = 0x0283;

/// Address and control of PPP in HDLC-like framing.
const ALL_STATIONS: [u8; 2] = [0xff, 3];

/// First byte of Cisco's HDLC: unicast, multicast.
const CISCO: [u8; 2] = [0x0f, 0x8f];

/// Unnumbered information, the control byte of RFC 2427.
const UNNUMBERED: u8 = 3;

/// Version 1, type 1.
const PPPOE_VERSION: u8 = 0x11;
const PPPOE_HEADER: usize = 6;

/// Reads a PPP packet from its protocol on, which may be of one byte; address and control are passed over.
pub(super) fn read(window: Window<'_>, reader: &mut Reader<'_>) {
    let window = if window.bytes.starts_with(&ALL_STATIONS) { window.after(2) } else { window };
    let (protocol, rest) = match *window.bytes {
        [low, ..] if low & 1 == 1 => (u16::from(low), window.after(1)),
        [high, low, ..] => (u16::from_be_bytes([high, low]), window.after(2)),
        _ => return reader.note(Layer::Link, window.shortage(2)),
    };
    match protocol {
        IPV4 => ip::read(rest, ip::v4, reader),
        IPV6 => ip::read(rest, ip::v6, reader),
        MPLS_UNICAST | MPLS_MULTICAST => mpls::read(rest, reader),
        other => reader.unknown(UnknownType::Ppp(other)),
    }
}

/// Reads a serial line on which PPP and Cisco's HDLC are told apart by the first byte.
pub(super) fn serial(window: Window<'_>, reader: &mut Reader<'_>) {
    match window.bytes.first() {
        Some(first) if CISCO.contains(first) => cisco(window, reader),
        _ => read(window, reader),
    }
}

/// Reads a frame of Cisco's HDLC: address, control, EtherType.
pub(super) fn cisco(window: Window<'_>, reader: &mut Reader<'_>) {
    match window.bytes.first_chunk::<4>() {
        Some(&[_, _, high, low]) => {
            ethernet::typed(EtherType(u16::from_be_bytes([high, low])), window.after(4), reader);
        }
        None => reader.note(Layer::Link, window.shortage(4)),
    }
}

/// Reads what follows the type of a PPPoE session.
pub(super) fn over_ethernet(window: Window<'_>, reader: &mut Reader<'_>) {
    let Some(&[version, code, _, _, high, low]) = window.bytes.first_chunk::<PPPOE_HEADER>() else {
        return reader.note(Layer::Tunnel, window.shortage(PPPOE_HEADER));
    };
    if (version, code) != (PPPOE_VERSION, 0) {
        return reader.note(Layer::Tunnel, FaultReason::BadField);
    }
    let length = usize::from(u16::from_be_bytes([high, low]));
    let payload = window.after(PPPOE_HEADER);
    if length > payload.length() {
        reader.note(Layer::Tunnel, FaultReason::BadLength);
    }
    if let Some(outer) = reader.open(Encapsulation::Pppoe, None) {
        read(payload.ending_at(length), reader);
        let _what_is_around_has_no_more_to_say: Content = reader.close(&outer, Sign::Number);
    }
}

/// Reads a Frame Relay frame: address of two to four bytes, then RFC 2427 or, as Cisco does, an EtherType.
pub(super) fn frame_relay(window: Window<'_>, reader: &mut Reader<'_>) {
    // The lowest bit marks the last byte of the address.
    let Some(last) = window.bytes.iter().take(4).position(|byte| byte & 1 == 1) else {
        return reader.note(Layer::Link, FaultReason::BadField);
    };
    let rest = window.after(last + 1);
    let Some(&[control, second]) = rest.bytes.first_chunk::<2>() else {
        return reader.note(Layer::Link, rest.shortage(2));
    };
    if control != UNNUMBERED {
        return ethernet::typed(EtherType(u16::from_be_bytes([control, second])), rest.after(2), reader);
    }
    // A byte of zero pads to an even length.
    let rest = rest.after(if second == 0 { 2 } else { 1 });
    match rest.bytes.first() {
        Some(0xcc) => ip::read(rest.after(1), ip::v4, reader),
        Some(0x8e) => ip::read(rest.after(1), ip::v6, reader),
        Some(0xcf) => read(rest.after(1), reader),
        Some(0x80) => ethernet::snap(rest.after(1), reader),
        Some(_) => reader.unknown(UnknownType::Link(107)),
        None => reader.note(Layer::Link, rest.shortage(1)),
    }
}
