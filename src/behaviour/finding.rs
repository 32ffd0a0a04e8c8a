//! From what a detector knows of a host (addresses and a place in the device table) to [`Evidence`] with names, and
//! when to speak again of what goes on.

use std::net::IpAddr;

use super::{Evidence, Kind, Party, Peer, Protocol, Reason};
use crate::bounded::scramble;
use crate::feature::{address_hash, station_hash};
use crate::flow::{DeviceId, Endpoint};
use crate::packet::Mac;
use crate::time::{Span, Timestamp};

/// A host as a packet shows it. Whether the hardware address is its own or that of the router before it, only the
/// device table can tell; so whoever turns it into a [`Party`] decides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// Its place in the device table.
    pub device: Option<DeviceId>,
    /// Hardware address next to it on this link.
    pub mac: Option<Mac>,
    /// Address.
    pub ip: Option<IpAddr>,
}

impl From<&Endpoint> for Identity {
    fn from(end: &Endpoint) -> Self {
        Self { device: end.device, mac: (!end.mac.is_zero()).then_some(end.mac), ip: Some(end.ip) }
    }
}

/// What a host is held apart from others by: its place in the device table, so that both of its addresses count
/// together; else its address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Actor {
    Device(DeviceId),
    Ip(IpAddr),
    Mac(Mac),
}

impl Actor {
    pub(super) fn of(identity: &Identity) -> Option<Self> {
        let by_address = || identity.ip.map(Self::Ip).or(identity.mac.map(Self::Mac));
        identity.device.map(Self::Device).or_else(by_address)
    }

    pub(super) fn hash(&self) -> u64 {
        match self {
            Self::Device(id) => scramble(u64::from(id.slot) << 32 | u64::from(id.generation)),
            Self::Ip(ip) => address_hash(*ip),
            Self::Mac(mac) => station_hash(*mac),
        }
    }
}

/// The other side of a finding.
#[derive(Clone, Copy, Debug)]
pub(super) struct Target {
    pub(super) identity: Identity,
    pub(super) port: Option<u16>,
    pub(super) protocol: Protocol,
}

/// [`Evidence`] before names are known.
#[derive(Clone, Debug)]
pub(super) struct Finding {
    pub(super) kind: Kind,
    pub(super) time: Timestamp,
    pub(super) since: Timestamp,
    pub(super) subject: Identity,
    pub(super) targets: Vec<Target>,
    pub(super) target_count: u64,
    pub(super) reasons: Vec<Reason>,
    pub(super) packets: u64,
    pub(super) bytes: u64,
    pub(super) score: f64,
    pub(super) confidence: f64,
}

impl Finding {
    /// Names the parties.
    pub(super) fn into_evidence(self, resolve: impl Fn(&Identity) -> Party) -> Evidence {
        let peer = |target: &Target| Peer {
            mac: resolve(&target.identity).mac,
            ip: target.identity.ip,
            port: target.port,
            protocol: Some(target.protocol),
        };
        Evidence {
            kind: self.kind,
            time: self.time,
            since: self.since,
            subject: resolve(&self.subject),
            peers: self.targets.iter().take(Evidence::MAX_PEERS).map(peer).collect(),
            peer_count: self.target_count,
            reasons: self.reasons.into_iter().take(Evidence::MAX_REASONS).collect(),
            packets: self.packets,
            bytes: self.bytes,
            score: self.score,
            confidence: self.confidence,
        }
    }
}

/// Least time between two findings on the same subject that tell nothing but that it goes on.
pub(super) const REPEAT: Span = Span::from_secs(30);

/// When a detector spoke, at how many distinct things, and how often one had failed until then, again included.
#[derive(Clone, Copy, Debug)]
struct Spoken {
    time: Timestamp,
    count: u64,
    failures: u64,
}

/// When a detector last spoke of a subject, and what it counted since.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Report {
    last: Option<Spoken>,
    packets: u64,
    bytes: u64,
}

impl Report {
    /// Counts packets as evidence.
    pub(super) fn note(&mut self, packets: u64, bytes: u64) {
        self.packets = self.packets.saturating_add(packets);
        self.bytes = self.bytes.saturating_add(bytes);
    }

    /// Whether to speak now: at first certainty, when the count of distinct things has doubled, and each [`REPEAT`]
    /// while packets come and something fails, be it again.
    pub(super) fn is_due(&self, now: Timestamp, count: u64, failures: u64) -> bool {
        self.last.is_none_or(|last| {
            let goes_on = failures > last.failures && self.packets > 0;
            (goes_on && now.since(last.time) >= REPEAT) || count >= last.count.saturating_mul(2)
        })
    }

    /// Whether it has spoken.
    pub(super) const fn has_spoken(&self) -> bool {
        self.last.is_some()
    }

    /// Packets and bytes since it last spoke, which is now.
    pub(super) fn speak(&mut self, now: Timestamp, count: u64, failures: u64) -> (u64, u64) {
        self.last = Some(Spoken { time: now, count, failures });
        (std::mem::take(&mut self.packets), std::mem::take(&mut self.bytes))
    }
}

/// Evidence of a count over its threshold, in powers of ten: four at the threshold, and one more for each tenfold.
///
/// The ratio of the sequential test itself would be far larger (4 for each failure, 10^9 for fifteen), but failures
/// of one host have common causes (a dead server, a lost uplink) and are not independent. Four powers of ten are a
/// choice that puts a finding at its threshold level with a device window that is one in ten thousand.
pub(super) fn tens(count: u64, threshold: u64) -> f64 {
    let over = real(count) / real(threshold.max(1));
    4.0 + over.max(1.0).log10()
}

/// Score of evidence in powers of ten: 0.2 for each.
pub(super) fn score(tens: f64) -> f64 {
    (0.2 * tens).min(1.0)
}

/// Confidence of a finding by failures: their share of all outcomes, at most 0.99.
pub(super) fn failed_share(failed: u64, answered: u64) -> f64 {
    (real(failed) / real(failed.saturating_add(answered).max(1))).min(0.99)
}

/// A count as a real number; from 2^32 on it stays there.
pub(super) fn real(count: u64) -> f64 {
    u32::try_from(count).map_or(f64::from(u32::MAX), f64::from)
}
