//! A table of how far the packets of a capture were decoded, for people.

use std::fmt;

use crate::flow::TunnelTotal;
use crate::packet::{Encapsulation, FaultReason, FragmentCounts, Layer, UnknownType};
use crate::pipeline::{Extents, Meter};

/// How far packets were decoded, and where reading ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decoding {
    extents: Extents,
    unknown: Vec<(UnknownType, u64)>,
    unknown_other: u64,
    faults: Vec<(Layer, FaultReason, u64)>,
    tunnels: Vec<(Encapsulation, TunnelTotal)>,
    fragments: FragmentCounts,
}

impl Decoding {
    pub(super) fn of(meter: &Meter) -> Self {
        Self {
            extents: meter.counts().extents(),
            unknown: meter.counts().unknown(),
            unknown_other: meter.counts().unknown_other(),
            faults: meter.counts().faults().collect(),
            tunnels: meter.tunnels().totals().collect(),
            fragments: meter.fragments(),
        }
    }
}

/// A line for each number: name, tab, packets.
impl fmt::Display for Decoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Extents { full, partial, none } = self.extents;
        writeln!(f, "decoded fully\t{full}\ndecoded partly\t{partial}\nnot decoded\t{none}")?;
        for (kind, packets) in &self.unknown {
            writeln!(f, "unknown {} {:#x}\t{packets}", kind.word(), kind.number())?;
        }
        if self.unknown_other > 0 {
            writeln!(f, "unknown other\t{}", self.unknown_other)?;
        }
        for (layer, reason, packets) in &self.faults {
            writeln!(f, "fault {} {}\t{packets}", layer.word(), reason.word())?;
        }
        for (kind, total) in &self.tunnels {
            writeln!(f, "tunnel {}\t{}", kind.word(), total.packets)?;
        }
        let FragmentCounts { fragments, reassembled, incomplete, evicted, overlaps, malformed } =
            self.fragments;
        for (name, count) in [
            ("packets", fragments),
            ("reassembled", reassembled),
            ("incomplete", incomplete),
            ("evicted", evicted),
            ("overlaps", overlaps),
            ("malformed", malformed),
        ] {
            if count > 0 {
                writeln!(f, "fragments {name}\t{count}")?;
            }
        }
        Ok(())
    }
}
