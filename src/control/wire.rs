//! The alert as JSON: the same object in `replay --format json`, MQTT, HTTP and the store.
//!
//! Fields are only ever added. Numbers are rounded so that the same traffic gives the same text on every target.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::alert::{Alert, Event};
use crate::behaviour::{Party, Peer, Reason};

/// An alert as people and programs get it. Addresses and times are text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AlertRecord {
    /// Identity of the incident, 24 hexadecimal digits.
    pub id: String,
    /// `raised`, `updated` or `cleared`.
    pub event: String,
    /// When this was told, RFC 3339, on the capture's clock.
    pub timestamp: String,
    /// First observation, RFC 3339.
    pub first_seen: String,
    /// Latest observation, RFC 3339.
    pub last_seen: String,
    /// A word of `alert::Kind`.
    pub kind: String,
    /// One line.
    pub title: String,
    /// Sentences.
    pub description: String,
    /// `low`, `medium`, `high` or `critical`.
    pub severity: String,
    /// 0 to 1.
    pub score: f64,
    /// 0 to 1.
    pub confidence: f64,
    /// Who did it.
    pub subject: PartyRecord,
    /// To whom.
    pub peers: Vec<PeerRecord>,
    /// MITRE ATT&CK ids.
    pub technique: Vec<String>,
    /// Why.
    pub reasons: Vec<ReasonRecord>,
    /// What was counted.
    pub evidence: EvidenceRecord,
    /// Findings joined in this incident.
    pub count: u64,
    /// Name of the tap.
    pub tap: String,
    /// Model and version, or null.
    pub model: Option<String>,
    /// Baseline, or null.
    pub baseline: Option<String>,
}

/// The subject.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartyRecord {
    /// Hardware address or null.
    pub mac: Option<String>,
    /// Addresses.
    pub ips: Vec<IpAddr>,
    /// Name it gave itself, or null.
    pub name: Option<String>,
    /// Vendor class it gave itself, or null.
    pub vendor: Option<String>,
}

/// The other side.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerRecord {
    /// Hardware address or null.
    pub mac: Option<String>,
    /// Address or null.
    pub ip: Option<IpAddr>,
    /// Port or null.
    pub port: Option<u16>,
    /// `tcp`, `udp`, `icmp`, `arp` or null.
    pub protocol: Option<String>,
}

/// A reason.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReasonRecord {
    /// Name of the feature or count.
    pub feature: String,
    /// Observed.
    pub value: f64,
    /// Unit of the value.
    pub unit: String,
    /// What it was compared with.
    pub baseline: BaselineRecord,
    /// Share of the finding, 0 to 1.
    pub contribution: f64,
}

/// What a value was compared with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BaselineRecord {
    /// Median or null.
    pub median: Option<f64>,
    /// 99th percentile, or the detector's threshold, or null.
    pub p99: Option<f64>,
}

/// What was counted as evidence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EvidenceRecord {
    /// Packets.
    pub packets: u64,
    /// Bytes.
    pub bytes: u64,
    /// Path of a capture of it; null where none was kept.
    pub pcap: Option<String>,
}

/// Four decimals for what is between 0 and 1, six significant digits for anything else: the last bits of a
/// floating-point sum differ between processors.
fn rounded(value: f64) -> f64 {
    if !value.is_finite() {
        return 0.0;
    }
    let magnitude = value.abs();
    #[expect(clippy::cast_possible_truncation, reason = "a whole number of at most 15")]
    let decimals: i32 =
        if magnitude < 1.0 { 4 } else { (5 - magnitude.log10().floor().min(15.0) as i32).max(0) };
    let scale = 10_f64.powi(decimals);
    (value * scale).round() / scale
}

impl From<&Alert> for AlertRecord {
    fn from(alert: &Alert) -> Self {
        Self {
            id: alert.id.to_string(),
            event: alert.event.word().to_owned(),
            timestamp: alert.timestamp.to_string(),
            first_seen: alert.first_seen.to_string(),
            last_seen: alert.last_seen.to_string(),
            kind: alert.kind.word().to_owned(),
            title: alert.title.clone(),
            description: alert.description.clone(),
            severity: alert.severity.word().to_owned(),
            score: rounded(alert.score),
            confidence: rounded(alert.confidence),
            subject: PartyRecord::from(&alert.subject),
            peers: alert.peers.iter().map(PeerRecord::from).collect(),
            technique: alert.kind.techniques().iter().map(|&t| t.to_owned()).collect(),
            reasons: alert.reasons.iter().map(ReasonRecord::from).collect(),
            evidence: EvidenceRecord { packets: alert.packets, bytes: alert.bytes, pcap: None },
            count: alert.count,
            tap: alert.tap.clone(),
            model: alert.model.clone(),
            baseline: alert.baseline.clone(),
        }
    }
}

impl From<&Party> for PartyRecord {
    fn from(party: &Party) -> Self {
        Self {
            mac: party.mac.map(|m| m.to_string()),
            ips: party.ips.clone(),
            name: party.name.clone(),
            vendor: party.vendor.clone(),
        }
    }
}

impl From<&Peer> for PeerRecord {
    fn from(peer: &Peer) -> Self {
        Self {
            mac: peer.mac.map(|m| m.to_string()),
            ip: peer.ip,
            port: peer.port,
            protocol: peer.protocol.map(|p| p.word().to_owned()),
        }
    }
}

impl From<&Reason> for ReasonRecord {
    fn from(reason: &Reason) -> Self {
        Self {
            feature: reason.feature.to_owned(),
            value: rounded(reason.value),
            unit: reason.unit.to_owned(),
            baseline: BaselineRecord { median: reason.median.map(rounded), p99: reason.p99.map(rounded) },
            contribution: rounded(reason.contribution),
        }
    }
}

impl AlertRecord {
    /// Whether the incident has ended.
    #[must_use]
    pub fn is_cleared(&self) -> bool {
        self.event == Event::Cleared.word()
    }
}
