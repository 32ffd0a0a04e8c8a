//! [`Window`]: the bytes of one layer as far as they were captured, with the length that they have on the wire.
//!
//! It knows lengths only. What the bytes mean is for the layers.

use super::digest::{FaultReason, Frame};

/// The bytes from the start of a layer to its end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window<'a> {
    /// The captured bytes.
    pub(super) bytes: &'a [u8],
    /// Bytes of the layer by the length fields of the layers below; at least `bytes.len()`.
    length: usize,
    /// Bytes from the start of the layer to the end of the frame on the wire; at least `length`.
    wire: usize,
}

impl<'a> Window<'a> {
    /// The whole frame. A length on the wire below the captured bytes cannot be, and is raised to them.
    pub(super) fn of(frame: &Frame<'a>) -> Self {
        let wire = usize::try_from(frame.wire_len).unwrap_or(usize::MAX).max(frame.bytes.len());
        Self { bytes: frame.bytes, length: wire, wire }
    }

    /// The start of a datagram of this length (or longer than its start, where nobody knows), put together from frames.
    pub(super) fn of_head(bytes: &'a [u8], length: Option<usize>) -> Self {
        let length = length.unwrap_or(usize::MAX).max(bytes.len());
        Self { bytes, length, wire: length }
    }

    /// What follows a header of `header` bytes; empty when the layer is no longer than that.
    pub(super) fn after(self, header: usize) -> Self {
        Self {
            bytes: self.bytes.get(header..).unwrap_or(&[]),
            length: self.length.saturating_sub(header),
            wire: self.wire.saturating_sub(header),
        }
    }

    /// The same layer, ended by a length field: never longer than before.
    pub(super) fn ending_at(self, length: usize) -> Self {
        Self {
            bytes: self.bytes.get(..length).unwrap_or(self.bytes),
            length: self.length.min(length),
            wire: self.wire,
        }
    }

    /// Bytes of the layer on the wire.
    pub(super) const fn length(self) -> usize {
        self.length
    }

    /// [`Self::length`] for a digest.
    pub(super) fn count(self) -> u32 {
        u32::try_from(self.length).unwrap_or(u32::MAX)
    }

    /// Why the first `needed` bytes are not among the captured ones: the capture cut them off, the frame ended, or a
    /// length field ended the layer although the frame goes on.
    pub(super) const fn shortage(self, needed: usize) -> FaultReason {
        if needed <= self.length {
            FaultReason::Cut
        } else if needed > self.wire {
            FaultReason::TooShort
        } else {
            FaultReason::BadLength
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::Link;
    use crate::time::Timestamp;

    fn window(bytes: &[u8], wire_len: u32) -> Window<'_> {
        Window::of(&Frame { time: Timestamp::EPOCH, link: Link::Ethernet, wire_len, bytes })
    }

    #[test]
    fn a_shortage_names_what_ended_the_bytes() {
        // 40 of 60 bytes captured; a length field ends the layer 50 bytes in.
        let layer = window(&[0; 40], 60).ending_at(50);
        assert_eq!(layer.shortage(50), FaultReason::Cut);
        assert_eq!(layer.shortage(51), FaultReason::BadLength);
        assert_eq!(layer.shortage(60), FaultReason::BadLength);
        assert_eq!(layer.shortage(61), FaultReason::TooShort);
        let inner = layer.after(20);
        assert_eq!((inner.bytes.len(), inner.length()), (20, 30));
        assert_eq!(inner.shortage(30), FaultReason::Cut);
        assert_eq!(inner.shortage(41), FaultReason::TooShort);
    }

    #[test]
    fn lengths_never_grow_and_never_wrap() {
        let frame = window(&[0; 40], 10);
        assert_eq!(frame.length(), 40);
        assert_eq!(frame.ending_at(1000).length(), 40);
        let past = frame.after(1000);
        assert_eq!((past.bytes.len(), past.length()), (0, 0));
        assert_eq!(past.shortage(1), FaultReason::TooShort);
    }
}
