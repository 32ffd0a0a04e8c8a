//! MPLS label stacks (RFC 3032), and what lies below them: IP, or Ethernet with or without a control word (RFC 4448).
//! No header says which; the bytes themselves have to.

use super::digest::{FaultReason, Layer};
use super::ethernet;
use super::ip::{self, Header};
use super::reader::{Content, Reader, Sign};
use super::tunnel::{Encapsulation, UnknownType};
use super::window::Window;

/// A label with traffic class, bottom-of-stack bit and TTL.
const ENTRY: usize = 4;

/// Labels of a stack that are followed; fast reroute over service labels needs five or six.
const MAX_LABELS: usize = 16;

/// Where an Ethernet frame has its type.
const TYPE_AT: usize = 12;

/// Reads a label stack behind a link header.
pub(super) fn read(window: Window<'_>, reader: &mut Reader<'_>) {
    let _what_is_around_has_no_more_to_say: Content = stack(window, None, reader);
}

/// Reads a label stack in the IP packet `outer` (RFC 4023).
pub(super) fn over_ip(window: Window<'_>, outer: &Header, reader: &mut Reader<'_>) -> Content {
    stack(window, Some(outer), reader)
}

fn stack(window: Window<'_>, outer: Option<&Header>, reader: &mut Reader<'_>) -> Content {
    let Some(around) = reader.open(Encapsulation::Mpls, outer) else { return Content::Unread };
    match bottom(window) {
        Ok(below) => below_stack(below, reader),
        Err(reason) => reader.note(Layer::Tunnel, reason),
    }
    reader.close(&around, Sign::Number)
}

fn bottom(mut window: Window<'_>) -> Result<Window<'_>, FaultReason> {
    for _ in 0..MAX_LABELS {
        let entry = window.bytes.first_chunk::<ENTRY>().ok_or_else(|| window.shortage(ENTRY))?;
        window = window.after(ENTRY);
        if entry[2] & 1 == 1 {
            return Ok(window);
        }
    }
    Err(FaultReason::BadField)
}

fn below_stack(window: Window<'_>, reader: &mut Reader<'_>) {
    match window.bytes.first().map(|first| first >> 4) {
        Some(4) if ip::v4(window).is_ok() => ip::read(window, ip::v4, reader),
        Some(6) if ip::v6(window).is_ok() && !is_frame(window) => ip::read(window, ip::v6, reader),
        // The associated channel of a pseudowire (RFC 5586), unless it is an address.
        Some(1) if !is_frame(window) => reader.unknown(UnknownType::Ether(0x8847)),
        Some(0) if is_frame(window.after(ENTRY)) || !is_frame(window) => {
            ethernet::read(window.after(ENTRY), reader);
        }
        Some(_) => ethernet::read(window, reader),
        None => reader.note(Layer::Tunnel, window.shortage(1)),
    }
}

/// Whether an Ethernet frame with a type that is read here begins with these bytes.
fn is_frame(window: Window<'_>) -> bool {
    let ether_type = window.after(TYPE_AT).bytes.first_chunk::<2>();
    ether_type.is_some_and(|number| ethernet::is_read(u16::from_be_bytes(*number)))
}
