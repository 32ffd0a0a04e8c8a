//! [`Bundle`]: copies of packets, in the order in which they were put in.

use crate::packet::{Frame, Link};
use crate::time::Timestamp;

/// Packets copied. How many is for its owner to limit.
#[derive(Clone, Debug, Default)]
pub struct Bundle {
    index: Vec<Entry>,
    bytes: Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    time: Timestamp,
    wire_len: u32,
    start: usize,
    kept: u32,
    link: Link,
}

impl Bundle {
    /// Nothing, with room for this much.
    #[must_use]
    pub fn with_capacity(packets: usize, bytes: usize) -> Self {
        Self { index: Vec::with_capacity(packets), bytes: Vec::with_capacity(bytes) }
    }

    /// Copies a packet, and of it the first `most` bytes.
    pub fn push(&mut self, frame: &Frame<'_>, most: usize) {
        let kept = frame.bytes.get(..most).unwrap_or(frame.bytes);
        let start = self.bytes.len();
        self.bytes.extend_from_slice(kept);
        self.index.push(Entry {
            time: frame.time,
            wire_len: frame.wire_len,
            start,
            kept: u32::try_from(kept.len()).unwrap_or(u32::MAX),
            link: frame.link,
        });
    }

    /// The packets in their order.
    #[must_use]
    pub fn frames(&self) -> impl DoubleEndedIterator<Item = Frame<'_>> {
        self.index.iter().map(|entry| {
            let end = entry.start.saturating_add(usize::try_from(entry.kept).unwrap_or(usize::MAX));
            Frame {
                time: entry.time,
                link: entry.link,
                wire_len: entry.wire_len,
                bytes: self.bytes.get(entry.start..end).unwrap_or(&[]),
            }
        })
    }

    /// Packets in it.
    #[must_use]
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    /// Whether another packet of `bytes` bytes fits in the room that it was made with.
    #[must_use]
    pub fn has_room(&self, bytes: usize) -> bool {
        self.index.len() < self.index.capacity() && self.bytes.len() + bytes <= self.bytes.capacity()
    }

    /// Forgets the packets and keeps the room.
    pub fn clear(&mut self) {
        self.index.clear();
        self.bytes.clear();
    }
}
