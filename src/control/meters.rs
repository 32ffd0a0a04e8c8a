//! [`Meters`]: the slot of the capture threads. Each publishes what it sees; readers get one status of all, which is put
//! together when it is asked for, so that no capture thread does the work.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::{CaptureState, CaptureStatus, DeviceSummary, FlowSummary, MeterStatus, SourceStatus};
use crate::capture::SourceCounters;
use crate::feature::Rate;
use crate::flow::DeviceKey;
use crate::pipeline::SourceId;
use crate::pipeline::mirror::{Report, Verdict};

/// The latest of each source. The lock is held only to swap or copy pointers.
#[derive(Debug, Default)]
pub struct Meters(Mutex<Published>);

#[derive(Debug, Default)]
struct Published {
    /// By identity.
    each: Vec<Arc<MeterStatus>>,
    /// All together, where it was asked for since the latest change.
    all: Option<Arc<MeterStatus>>,
    /// Changes since start.
    changes: u64,
}

impl Meters {
    /// Replaces what its source published before.
    pub fn publish(&self, mut status: MeterStatus) {
        let mut published = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let place = published.each.binary_search_by_key(&status.source, |one| one.source);
        let before = place.ok().and_then(|at| published.each.get(at)).and_then(|one| one.sources.first());
        let before = before.map_or(0, |source| source.published);
        status.sources = vec![SourceStatus {
            source: status.source,
            published: before + 1,
            capture: status.capture.clone(),
            now: status.now,
            last_packet: status.last_packet,
            packets: status.packets,
            bytes: status.bytes,
            packets_per_second: status.packets_per_second,
            bits_per_second: status.bits_per_second,
            clock_steps: status.clock_steps,
        }];
        let status = Arc::new(status);
        match place {
            Ok(at) => published.each[at] = status,
            Err(at) => published.each.insert(at, status),
        }
        published.change();
    }

    /// Forgets a source that is no more.
    pub fn remove(&self, source: SourceId) {
        let mut published = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        published.each.retain(|one| one.source != source);
        published.change();
    }

    /// The latest of all together; none before the first. The same object until something new is published.
    #[must_use]
    pub fn latest(&self) -> Option<Arc<MeterStatus>> {
        let (each, changes) = {
            let published = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            match (&published.all, published.each.as_slice()) {
                (Some(all), _) => return Some(Arc::clone(all)),
                (None, [one]) => return Some(Arc::clone(one)),
                (None, each) => (each.to_vec(), published.changes),
            }
        };
        let all = Arc::new(together(&each)?);
        let mut published = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if published.changes == changes {
            published.all = Some(Arc::clone(&all));
        }
        Some(all)
    }

    /// The latest of each source, by identity.
    #[must_use]
    pub fn each(&self) -> Vec<Arc<MeterStatus>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).each.clone()
    }
}

impl Published {
    fn change(&mut self) {
        self.changes += 1;
        self.all = None;
    }
}

/// Flows listed at most, as of one source.
const FLOWS: usize = 256;
/// Tunnels listed at most, as of one source.
const TUNNELS: usize = 64;
/// Types listed at most, as of one source.
const UNKNOWN_TYPES: usize = 64;

fn together(each: &[Arc<MeterStatus>]) -> Option<MeterStatus> {
    let (first, others) = each.split_first()?;
    let mut all = MeterStatus::clone(first);
    for other in others {
        add(&mut all, other);
    }
    all.capture = captures(each);
    all.flows.sort_by_key(|flow| Reverse(flow.last_seen));
    all.flows.truncate(FLOWS);
    all.tunnels.sort_by_key(|tunnel| Reverse(tunnel.last));
    all.tunnels.truncate(TUNNELS);
    all.devices = devices(each);
    Some(all)
}

/// Adds what adds up.
fn add(all: &mut MeterStatus, other: &MeterStatus) {
    all.sources.extend_from_slice(&other.sources);
    all.now = all.now.max(other.now);
    all.last_packet = all.last_packet.max(other.last_packet);
    for (sum, more) in [
        (&mut all.packets, other.packets),
        (&mut all.bytes, other.bytes),
        (&mut all.copies, other.copies),
        (&mut all.extents.full, other.extents.full),
        (&mut all.extents.partial, other.extents.partial),
        (&mut all.extents.none, other.extents.none),
        (&mut all.unknown_other, other.unknown_other),
        (&mut all.fragments.fragments, other.fragments.fragments),
        (&mut all.fragments.reassembled, other.fragments.reassembled),
        (&mut all.fragments.incomplete, other.fragments.incomplete),
        (&mut all.fragments.evicted, other.fragments.evicted),
        (&mut all.fragments.overlaps, other.fragments.overlaps),
        (&mut all.fragments.malformed, other.fragments.malformed),
        (&mut all.tunnels_evicted, other.tunnels_evicted),
        (&mut all.flows_active, other.flows_active),
        (&mut all.flows_capacity, other.flows_capacity),
        (&mut all.flows_total, other.flows_total),
        (&mut all.flows_renewed, other.flows_renewed),
        (&mut all.flowless_packets, other.flowless_packets),
        (&mut all.devices_capacity, other.devices_capacity),
        (&mut all.devices_unproven, other.devices_unproven),
        (&mut all.devices_evicted, other.devices_evicted),
        (&mut all.streams_refused, other.streams_refused),
        (&mut all.clock_steps, other.clock_steps),
        (&mut all.observations_dropped, other.observations_dropped),
        (&mut all.events_dropped, other.events_dropped),
    ] {
        *sum += more;
    }
    let rate = |a: Option<f64>, b: Option<f64>| a.zip(b).map(|(a, b)| a + b).or(a).or(b);
    all.packets_per_second = rate(all.packets_per_second, other.packets_per_second);
    all.bits_per_second = rate(all.bits_per_second, other.bits_per_second);
    tally(&mut all.protocols, &other.protocols);
    tally(&mut all.flows_ended, &other.flows_ended);
    tally(&mut all.unread, &other.unread);
    all.tcp.totals = all.tcp.totals.and(&other.tcp.totals);
    all.tcp.recent = match (all.tcp.recent, other.tcp.recent) {
        (Some(one), Some(more)) => Some(one.and(&more)),
        (one, more) => one.or(more),
    };
    all.mirror = all.mirror.drain(..).zip(&other.mirror).map(|(one, more)| worse(one, more)).collect();
    decoding(all, other);
    for &(protocol, effect, direction, count) in &other.operations {
        let same = |o: &&mut (&str, &str, &str, u64)| (o.0, o.1, o.2) == (protocol, effect, direction);
        match all.operations.iter_mut().find(same) {
            Some((.., sum)) => *sum += count,
            None => all.operations.push((protocol, effect, direction, count)),
        }
    }
    for &(layer, reason, count) in &other.faults {
        match all.faults.iter_mut().find(|(l, r, _)| (*l, *r) == (layer, reason)) {
            Some((.., sum)) => *sum += count,
            None => all.faults.push((layer, reason, count)),
        }
    }
    all.flows.extend(other.flows.iter().map(FlowSummary::clone));
}

/// Adds what is counted by kind, where the kinds of one need not be those of the other.
fn decoding(all: &mut MeterStatus, other: &MeterStatus) {
    for &(kind, total) in &other.tunnel_totals {
        match all.tunnel_totals.iter_mut().find(|(known, _)| *known == kind) {
            Some((_, sum)) => {
                sum.packets += total.packets;
                sum.bytes += total.bytes;
            }
            None => all.tunnel_totals.push((kind, total)),
        }
    }
    for &(kind, number, count) in &other.unknown {
        let full = all.unknown.len() >= UNKNOWN_TYPES;
        match all.unknown.iter_mut().find(|(k, n, _)| (*k, *n) == (kind, number)) {
            Some((.., sum)) => *sum += count,
            None if full => all.unknown_other += count,
            None => all.unknown.push((kind, number, count)),
        }
    }
    all.tunnels.extend_from_slice(&other.tunnels);
}

/// Of two mirrors that which has something wrong, then that of which something is known.
fn worse(one: Report, other: &Report) -> Report {
    let rank = |report: &Report| match report.verdict {
        Verdict::Unknown(_) => 0,
        Verdict::Fine => 1,
        Verdict::Found(_) => 2,
    };
    if rank(other) > rank(&one) { other.clone() } else { one }
}

fn tally(sums: &mut Vec<(&'static str, u64)>, more: &[(&'static str, u64)]) {
    for &(name, count) in more {
        match sums.iter_mut().find(|(known, _)| *known == name) {
            Some((_, sum)) => *sum += count,
            None => sums.push((name, count)),
        }
    }
}

/// All sources as one: it waits where one waits, and runs where one runs.
fn captures(each: &[Arc<MeterStatus>]) -> CaptureStatus {
    let captures = || each.iter().map(|one| &one.capture);
    let joined = |text: fn(&CaptureStatus) -> &str| {
        let mut texts: Vec<&str> = captures().map(text).collect();
        texts.dedup();
        texts.join(", ")
    };
    let rank = |state: &CaptureState| match state {
        CaptureState::Waiting(_) => 0,
        CaptureState::Running => 1,
        CaptureState::Quiet => 2,
        CaptureState::Stopped => 3,
        CaptureState::Ended => 4,
    };
    let state = captures().map(|one| &one.state).min_by_key(|state| rank(state)).cloned();
    let counters = captures().map(|one| one.counters).fold(SourceCounters::default(), |a, b| a + b);
    CaptureStatus {
        kind: captures().map(|one| one.kind).next().unwrap_or(super::SourceKind::Interface),
        name: joined(|one| &one.name),
        why: joined(|one| &one.why),
        state: state.unwrap_or(CaptureState::Ended),
        counters,
        losses: captures().map(|one| one.losses).sum(),
        mirror: None,
    }
}

/// One entry for each device, whichever sources saw it; in the order in which they were first seen.
fn devices(each: &[Arc<MeterStatus>]) -> Vec<DeviceSummary> {
    let mut all: Vec<DeviceSummary> = Vec::new();
    let mut places: HashMap<DeviceKey, usize> = HashMap::new();
    // What each sent on the source that is named in it.
    let mut most: Vec<u64> = Vec::new();
    for device in each.iter().flat_map(|one| &one.devices) {
        let place = device.key().map(|key| *places.entry(key).or_insert(all.len()));
        match place.and_then(|at| all.get_mut(at).zip(most.get_mut(at))) {
            Some((known, sent)) => unite(known, sent, device),
            None => {
                most.push(device.packets_sent);
                all.push(device.clone());
            }
        }
    }
    all.sort_by_key(|device| device.first_seen);
    all
}

fn unite(known: &mut DeviceSummary, sent: &mut u64, other: &DeviceSummary) {
    if other.packets_sent > *sent {
        *sent = other.packets_sent;
        known.interface.clone_from(&other.interface);
    }
    for ip in &other.ips {
        if !known.ips.contains(ip) {
            known.ips.push(*ip);
        }
    }
    known.name = known.name.take().or_else(|| other.name.clone());
    known.vendor = known.vendor.take().or_else(|| other.vendor.clone());
    known.first_seen = known.first_seen.min(other.first_seen);
    known.last_seen = known.last_seen.max(other.last_seen);
    known.packets_sent += other.packets_sent;
    known.packets_received += other.packets_received;
    known.bytes_sent += other.bytes_sent;
    known.bytes_received += other.bytes_received;
    known.router |= other.router;
    known.known = known.known.max(other.known);
    known.now = match (known.now, other.now) {
        (Some(one), Some(more)) => {
            Some(Rate { packets: one.packets + more.packets, bytes: one.bytes + more.bytes })
        }
        (one, more) => one.or(more),
    };
}
