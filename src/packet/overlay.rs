//! Tunnels in UDP: VXLAN (RFC 7348) and its generic extension, GENEVE (RFC 8926), TZSP, GTP-U (3GPP TS 29.281) and
//! Teredo (RFC 4380).
//!
//! A port proves nothing: what does not look like the protocol, or carries nothing that can be read, stays the UDP
//! datagram that it is.

use etherparse::EtherType;

use super::digest::{FaultReason, Layer, Udp};
use super::ip::{self, Header};
use super::reader::{Content, Reader, Sign};
use super::tunnel::Encapsulation;
use super::window::Window;
use super::{ethernet, mpls, wireless};

const GTP_U_PORT: u16 = 2152;
const TEREDO_PORT: u16 = 3544;
const VXLAN_PORT: u16 = 4789;
const VXLAN_GPE_PORT: u16 = 4790;
/// Linux before the assignment, and what was built on it.
const VXLAN_OLD_PORT: u16 = 8472;
const GENEVE_PORT: u16 = 6081;
const TZSP_PORT: u16 = 37_008;

/// What the header in front says of the packet within.
struct Inside<'a> {
    kind: Encapsulation,
    form: Form,
    payload: Window<'a>,
}

#[derive(Clone, Copy)]
enum Form {
    Ethernet,
    Wireless,
    Mpls,
    Typed(EtherType),
    V4,
    V6,
}

/// Why there is no tunnel in a datagram.
enum NoTunnel {
    /// The bytes say so.
    Foreign,
    /// The capture ends too early to tell.
    Cut,
}

/// Reads the tunnel in a datagram, as the ports suggest it.
pub(super) fn read(udp: Udp, payload: Window<'_>, outer: &Header, reader: &mut Reader<'_>) -> Content {
    let Some(inside) = by_port(udp.destination_port, payload).or_else(|| by_port(udp.source_port, payload))
    else {
        return Content::Unread;
    };
    match inside {
        Ok(inside) => open(&inside, outer, reader),
        Err(NoTunnel::Foreign) => Content::Unread,
        Err(NoTunnel::Cut) => {
            reader.note(Layer::Tunnel, FaultReason::Cut);
            Content::Unread
        }
    }
}

fn by_port(port: u16, window: Window<'_>) -> Option<Result<Inside<'_>, NoTunnel>> {
    Some(match port {
        VXLAN_PORT | VXLAN_OLD_PORT => vxlan(window),
        VXLAN_GPE_PORT => vxlan_gpe(window),
        GENEVE_PORT => geneve(window),
        TZSP_PORT => tzsp(window),
        GTP_U_PORT => gtp_u(window),
        TEREDO_PORT => teredo(window),
        _ => return None,
    })
}

fn open(inside: &Inside<'_>, outer: &Header, reader: &mut Reader<'_>) -> Content {
    let Some(around) = reader.open(inside.kind, Some(outer)) else { return Content::Unread };
    match inside.form {
        Form::Ethernet => ethernet::read(inside.payload, reader),
        Form::Wireless => wireless::frame(inside.payload, reader),
        Form::Typed(ether_type) => ethernet::typed(ether_type, inside.payload, reader),
        Form::V4 => ip::read(inside.payload, ip::v4, reader),
        Form::V6 => ip::read(inside.payload, ip::v6, reader),
        Form::Mpls => mpls::read(inside.payload, reader),
    }
    reader.close(&around, Sign::Port)
}

/// The first bytes of a datagram.
fn first<const N: usize>(window: Window<'_>) -> Result<&[u8; N], NoTunnel> {
    window.bytes.first_chunk().ok_or_else(|| short(window, N))
}

fn short(window: Window<'_>, needed: usize) -> NoTunnel {
    if window.shortage(needed) == FaultReason::Cut { NoTunnel::Cut } else { NoTunnel::Foreign }
}

/// A network identifier, and reserved bytes that are zero unless a group policy fills them.
fn vxlan(window: Window<'_>) -> Result<Inside<'_>, NoTunnel> {
    let &[flags, a, b, c, _, _, _, reserved] = first::<8>(window)?;
    let group = flags & 0x80 != 0;
    if flags & 0x7f != 0x08 || reserved != 0 || !group && [a, b, c] != [0; 3] {
        return Err(NoTunnel::Foreign);
    }
    Ok(Inside { kind: Encapsulation::Vxlan, form: Form::Ethernet, payload: window.after(8) })
}

fn vxlan_gpe(window: Window<'_>) -> Result<Inside<'_>, NoTunnel> {
    let &[flags, a, b, next, _, _, _, reserved] = first::<8>(window)?;
    if flags & 0xf8 != 0x08 || [a, b, reserved] != [0; 3] {
        return Err(NoTunnel::Foreign);
    }
    // Without the bit for "next protocol" it is a VXLAN.
    let form = match (flags & 0x04, next) {
        (0, 0) | (4, 3) => Form::Ethernet,
        (4, 1) => Form::V4,
        (4, 2) => Form::V6,
        (4, 5) => Form::Mpls,
        _ => return Err(NoTunnel::Foreign),
    };
    Ok(Inside { kind: Encapsulation::Vxlan, form, payload: window.after(8) })
}

fn geneve(window: Window<'_>) -> Result<Inside<'_>, NoTunnel> {
    let &[lengths, flags, high, low, _, _, _, reserved] = first::<8>(window)?;
    if lengths >> 6 != 0 || flags & 0x3f != 0 || reserved != 0 {
        return Err(NoTunnel::Foreign);
    }
    let header = 8 + usize::from(lengths & 0x3f) * 4;
    if window.bytes.len() < header {
        return Err(short(window, header));
    }
    let form = match EtherType(u16::from_be_bytes([high, low])) {
        ethernet::BRIDGING => Form::Ethernet,
        EtherType(0..=1500) => return Err(NoTunnel::Foreign),
        other => Form::Typed(other),
    };
    Ok(Inside { kind: Encapsulation::Geneve, form, payload: window.after(header) })
}

/// Version, type, encapsulated protocol; then tags up to an end tag, then the frame.
fn tzsp(window: Window<'_>) -> Result<Inside<'_>, NoTunnel> {
    const PADDING: u8 = 0;
    const END: u8 = 1;
    let &[version, kind, high, low] = first::<4>(window)?;
    // A packet that was received, or that is to be sent: the other types carry none.
    if version != 1 || kind > 1 {
        return Err(NoTunnel::Foreign);
    }
    let form = match u16::from_be_bytes([high, low]) {
        1 => Form::Ethernet,
        18 => Form::Wireless,
        _ => return Err(NoTunnel::Foreign),
    };
    let mut rest = window.after(4);
    loop {
        let used = match *rest.bytes {
            [END, ..] => break,
            [PADDING, ..] => 1,
            [_, length, ..] => 2 + usize::from(length),
            _ => return Err(short(rest, 2)),
        };
        rest = rest.after(used);
    }
    Ok(Inside { kind: Encapsulation::Tzsp, form, payload: rest.after(1) })
}

/// Only messages that carry a user's packet. Optional fields are there all or none, then extension headers, each with
/// its length in words in front and the next one's type at its end.
fn gtp_u(window: Window<'_>) -> Result<Inside<'_>, NoTunnel> {
    const USER_PACKET: u8 = 255;
    const HEADER: usize = 8;
    const OPTIONAL: usize = 4;
    let &[flags, message, high, low, ..] = first::<HEADER>(window)?;
    // Version 1, not the charging protocol, and the spare bit.
    if flags & 0xf8 != 0x30 || message != USER_PACKET {
        return Err(NoTunnel::Foreign);
    }
    let length = usize::from(u16::from_be_bytes([high, low]));
    let mut rest = window.after(HEADER);
    if length > rest.length() {
        return Err(NoTunnel::Foreign);
    }
    rest = rest.ending_at(length);
    if flags & 7 != 0 {
        let mut next = first::<OPTIONAL>(rest)?[3];
        rest = rest.after(OPTIONAL);
        // Each takes four bytes at least, so this ends.
        while next != 0 {
            let used = usize::from(first::<1>(rest)?[0]) * 4;
            let Some(&last) = used.checked_sub(1).and_then(|at| rest.bytes.get(at)) else {
                return Err(if used == 0 { NoTunnel::Foreign } else { short(rest, used) });
            };
            (next, rest) = (last, rest.after(used));
        }
    }
    let form = if first::<1>(rest)?[0] >> 4 == 4 { Form::V4 } else { Form::V6 };
    Ok(Inside { kind: Encapsulation::GtpU, form, payload: rest })
}

/// Authentication and origin may stand before the IPv6 packet, whose addresses show that it is one of Teredo's.
fn teredo(window: Window<'_>) -> Result<Inside<'_>, NoTunnel> {
    const PREFIX: [u8; 4] = [0x20, 0x01, 0, 0];
    const IPV6_HEADER: usize = 40;
    let mut rest = window;
    if first::<2>(rest)? == &[0, 1] {
        let &[_, _, identifier, value] = first::<4>(rest)?;
        // A nonce of eight bytes and a confirmation.
        rest = rest.after(4 + usize::from(identifier) + usize::from(value) + 9);
    }
    if first::<2>(rest)? == &[0, 0] {
        rest = rest.after(8);
    }
    let header = first::<IPV6_HEADER>(rest)?;
    let length = usize::from(u16::from_be_bytes([header[4], header[5]]));
    let (source, destination) = (&header[8..24], &header[24..]);
    let local = |address: &[u8]| address.starts_with(&[0xfe, 0x80]);
    let ours = |address: &[u8]| address.starts_with(&PREFIX);
    // Routers are asked and answer with link-local addresses, in an authentication header or behind one.
    let shown = ours(source) || ours(destination) || local(source);
    if header[0] >> 4 != 6 || IPV6_HEADER + length > rest.length() || !shown {
        return Err(NoTunnel::Foreign);
    }
    Ok(Inside { kind: Encapsulation::Teredo, form: Form::V6, payload: rest })
}
