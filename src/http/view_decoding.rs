//! How far packets were decoded, what they came wrapped in, and what became of fragments: a part of what the API says of
//! traffic.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::Serialize;

use crate::control::MeterStatus;
use crate::flow::TunnelRecord;

#[derive(Debug, Serialize)]
pub(super) struct DecodingView {
    full: u64,
    partial: u64,
    none: u64,
    unknown: Vec<UnknownView>,
    unknown_other: u64,
    fragments: FragmentsView,
    tunnels: Vec<TunnelView>,
    tunnel_packets: BTreeMap<&'static str, u64>,
    tunnels_evicted: u64,
}

#[derive(Debug, Serialize)]
struct UnknownView {
    kind: &'static str,
    number: u16,
    packets: u64,
}

#[derive(Debug, Serialize)]
struct FragmentsView {
    packets: u64,
    reassembled: u64,
    incomplete: u64,
    evicted: u64,
    overlaps: u64,
    malformed: u64,
}

#[derive(Debug, Serialize)]
struct TunnelView {
    kind: &'static str,
    mirror: bool,
    ends: Vec<IpAddr>,
    packets: u64,
    bytes: u64,
    first_seen: String,
    last_seen: String,
}

impl DecodingView {
    pub(super) fn new(meter: &MeterStatus) -> Self {
        let unknown = |&(kind, number, packets)| UnknownView { kind, number, packets };
        let fragments = meter.fragments;
        Self {
            full: meter.extents.full,
            partial: meter.extents.partial,
            none: meter.extents.none,
            unknown: meter.unknown.iter().map(unknown).collect(),
            unknown_other: meter.unknown_other,
            fragments: FragmentsView {
                packets: fragments.fragments,
                reassembled: fragments.reassembled,
                incomplete: fragments.incomplete,
                evicted: fragments.evicted,
                overlaps: fragments.overlaps,
                malformed: fragments.malformed,
            },
            tunnels: meter.tunnels.iter().map(TunnelView::new).collect(),
            tunnel_packets: meter.tunnel_totals.iter().map(|(kind, t)| (kind.word(), t.packets)).collect(),
            tunnels_evicted: meter.tunnels_evicted,
        }
    }
}

impl TunnelView {
    fn new(tunnel: &TunnelRecord) -> Self {
        Self {
            kind: tunnel.kind.word(),
            mirror: tunnel.kind.is_mirror(),
            ends: tunnel.ends.map_or_else(Vec::new, |(a, b)| vec![a, b]),
            packets: tunnel.total.packets,
            bytes: tunnel.total.bytes,
            first_seen: tunnel.first.to_string(),
            last_seen: tunnel.last.to_string(),
        }
    }
}
