//! IEEE 802.11 data frames, and the radiotap header before them. Other frames are counted by their type, encrypted
//! ones as such: nothing else of them is read.

use super::digest::{FaultReason, Layer, Mac};
use super::ethernet;
use super::reader::Reader;
use super::tunnel::UnknownType;
use super::window::Window;

/// Frame control, duration, three addresses, sequence control.
const HEADER: usize = 24;

const DATA: u8 = 2;
const TO_SYSTEM: u8 = 1;
const FROM_SYSTEM: u8 = 2;
const PROTECTED: u8 = 0x40;
const ORDER: u8 = 0x80;

/// In the subtype of data frames.
const NO_DATA: u8 = 4;
const QUALITY: u8 = 8;

/// Reads a frame behind its radiotap header.
pub(super) fn radiotap(window: Window<'_>, reader: &mut Reader<'_>) {
    let Some(&[version, _, low, high]) = window.bytes.first_chunk::<4>() else {
        return reader.note(Layer::Link, window.shortage(4));
    };
    let length = usize::from(u16::from_le_bytes([low, high]));
    if version != 0 || length < 8 {
        return reader.note(Layer::Link, FaultReason::BadField);
    }
    let Some(header) = window.bytes.get(..length) else {
        return reader.note(Layer::Link, window.shortage(length));
    };
    data(window.after(length), is_padded(header), reader);
}

/// Reads a frame without anything before it.
pub(super) fn frame(window: Window<'_>, reader: &mut Reader<'_>) {
    data(window, false, reader);
}

/// Whether the frame's header is padded to a multiple of four bytes: the flags field follows the words that say which
/// fields there are, and a time of eight bytes where there is one.
fn is_padded(header: &[u8]) -> bool {
    const MORE: u32 = 1 << 31;
    const TIME: u32 = 1;
    const FLAGS: u32 = 2;
    const DATA_PAD: u8 = 0x20;
    let word = |at: usize| {
        let bytes = header.get(at..).and_then(<[u8]>::first_chunk::<4>);
        bytes.map(|bytes| u32::from_le_bytes(*bytes))
    };
    let Some(present) = word(4) else { return false };
    let mut at = 8;
    let mut latest = present;
    while latest & MORE != 0 {
        let Some(next) = word(at) else { return false };
        (latest, at) = (next, at + 4);
    }
    if present & TIME != 0 {
        at = at.next_multiple_of(8) + 8;
    }
    present & FLAGS != 0 && header.get(at).is_some_and(|flags| flags & DATA_PAD != 0)
}

fn data(window: Window<'_>, padded: bool, reader: &mut Reader<'_>) {
    let Some(&[control, flags]) = window.bytes.first_chunk::<2>() else {
        return reader.note(Layer::Link, window.shortage(2));
    };
    let (kind, subtype) = (control >> 2 & 3, control >> 4);
    if control & 3 != 0 {
        return reader.note(Layer::Link, FaultReason::BadField);
    }
    if kind != DATA || subtype & NO_DATA != 0 {
        return reader.unknown(UnknownType::Wireless(kind << 4 | subtype));
    }
    let four = flags & (TO_SYSTEM | FROM_SYSTEM) == TO_SYSTEM | FROM_SYSTEM;
    let quality = subtype & QUALITY != 0;
    let mut length = HEADER + if four { 6 } else { 0 };
    let quality_at = length;
    if quality {
        // High throughput control is there when the order bit is.
        length += if flags & ORDER == 0 { 2 } else { 6 };
    }
    let Some(header) = window.bytes.get(..length) else {
        return reader.note(Layer::Link, window.shortage(length));
    };
    let address = |at: usize| header.get(at..).and_then(<[u8]>::first_chunk).copied().map(Mac);
    let (first, second, third) = (address(4), address(10), address(16));
    let (source, destination) = match flags & (TO_SYSTEM | FROM_SYSTEM) {
        0 => (second, first),
        TO_SYSTEM => (second, third),
        FROM_SYSTEM => (third, first),
        _ => (address(HEADER), third),
    };
    reader.stations(source.unwrap_or_default(), destination.unwrap_or_default());
    if flags & PROTECTED != 0 {
        return reader.unknown(UnknownType::WirelessProtected);
    }
    let aggregate = quality && header.get(quality_at).is_some_and(|control| control & 0x80 != 0);
    let body = window.after(if padded { length.next_multiple_of(4) } else { length });
    // Of several frames in one the first is read, behind its own addresses and length.
    ethernet::llc(if aggregate { body.after(14) } else { body }, reader);
}
