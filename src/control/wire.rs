//! The alert as JSON: the same object in `replay --format json`, MQTT, HTTP and the store.
//!
//! Fields are only ever added. Numbers are rounded so that the same traffic gives the same text on every target.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::FeedbackRecord;
use crate::alert::{Alert, AlertId, Event};
use crate::behaviour::{Party, Peer, Protocol, Reason};

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
    /// When the owner acknowledged it, RFC 3339, on the wall clock; absent where he did not, or before it grew more
    /// severe.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acknowledged: Option<String>,
    /// What he noted then; absent where nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acknowledged_note: Option<String>,
    /// The owner's judgement; absent where he gave none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub feedback: Option<FeedbackRecord>,
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
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EvidenceRecord {
    /// Packets.
    pub packets: u64,
    /// Bytes.
    pub bytes: u64,
    /// Path of a capture of it; null where none was kept.
    pub pcap: Option<String>,
    /// Packets in that capture; absent without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pcap_packets: Option<u64>,
    /// Its bytes; absent without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pcap_bytes: Option<u64>,
}

impl EvidenceRecord {
    /// Notes a capture of so many packets and bytes, or that there is none.
    pub fn set_capture(&mut self, id: AlertId, capture: Option<(u64, u64)>) {
        self.pcap = capture.map(|_| format!("/api/alerts/{id}/evidence.pcapng"));
        self.pcap_packets = capture.map(|(packets, _)| packets);
        self.pcap_bytes = capture.map(|(_, bytes)| bytes);
    }
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
            evidence: EvidenceRecord {
                packets: alert.packets,
                bytes: alert.bytes,
                ..EvidenceRecord::default()
            },
            count: alert.count,
            tap: alert.tap.clone(),
            model: alert.model.clone(),
            baseline: alert.baseline.clone(),
            acknowledged: None,
            acknowledged_note: None,
            feedback: None,
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
            feature: reason.feature.clone().into_owned(),
            value: rounded(reason.value),
            unit: reason.unit.clone().into_owned(),
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

/// A record whose texts are none that this program writes.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("alert record {id}: {field} cannot be read")]
pub struct BadRecord {
    /// The record's id as it stands there.
    pub id: String,
    /// The field.
    pub field: &'static str,
}

impl TryFrom<&AlertRecord> for Alert {
    type Error = BadRecord;

    /// Back from text, for an incident that goes on after a restart.
    fn try_from(record: &AlertRecord) -> Result<Self, BadRecord> {
        let bad = |field| BadRecord { id: record.id.clone(), field };
        let time = |text: &str, field| text.parse().map_err(|_| bad(field));
        Ok(Self {
            id: record.id.parse().map_err(|_| bad("id"))?,
            event: [Event::Raised, Event::Updated, Event::Cleared]
                .into_iter()
                .find(|e| e.word() == record.event)
                .ok_or_else(|| bad("event"))?,
            timestamp: time(&record.timestamp, "timestamp")?,
            first_seen: time(&record.first_seen, "first_seen")?,
            last_seen: time(&record.last_seen, "last_seen")?,
            kind: record.kind.parse().map_err(|_| bad("kind"))?,
            title: record.title.clone(),
            description: record.description.clone(),
            severity: record.severity.parse().map_err(|_| bad("severity"))?,
            score: record.score,
            confidence: record.confidence,
            subject: record.subject.party().ok_or_else(|| bad("subject"))?,
            peers: record
                .peers
                .iter()
                .map(PeerRecord::peer)
                .collect::<Option<_>>()
                .ok_or_else(|| bad("peers"))?,
            reasons: record.reasons.iter().map(ReasonRecord::reason).collect(),
            packets: record.evidence.packets,
            bytes: record.evidence.bytes,
            count: record.count,
            tap: record.tap.clone(),
            model: record.model.clone(),
            baseline: record.baseline.clone(),
        })
    }
}

/// None where a text is given but cannot be read.
fn parsed<T: std::str::FromStr>(text: Option<&str>) -> Option<Option<T>> {
    text.map_or(Some(None), |text| text.parse().ok().map(Some))
}

impl PartyRecord {
    fn party(&self) -> Option<Party> {
        Some(Party {
            mac: parsed(self.mac.as_deref())?,
            ips: self.ips.clone(),
            name: self.name.clone(),
            vendor: self.vendor.clone(),
        })
    }
}

impl PeerRecord {
    fn peer(&self) -> Option<Peer> {
        let protocol = match &self.protocol {
            Some(word) => Some(Protocol::ALL.into_iter().find(|p| p.word() == word)?),
            None => None,
        };
        Some(Peer { mac: parsed(self.mac.as_deref())?, ip: self.ip, port: self.port, protocol })
    }
}

impl ReasonRecord {
    fn reason(&self) -> Reason {
        Reason {
            feature: self.feature.clone().into(),
            value: self.value,
            unit: self.unit.clone().into(),
            median: self.baseline.median,
            p99: self.baseline.p99,
            contribution: self.contribution,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alert::{AlertId, Severity};
    use crate::behaviour::Kind;
    use crate::packet::Mac;
    use crate::time::Timestamp;

    #[test]
    fn an_alert_goes_to_json_and_back() {
        let time = Timestamp::from_parts(1_421_254_953, 123_456_000);
        let alert = Alert {
            id: AlertId::new(time, 7),
            event: Event::Updated,
            timestamp: time,
            first_seen: time,
            last_seen: time,
            kind: Kind::PortScan,
            title: "a scans b".to_owned(),
            description: "Seen.".to_owned(),
            severity: Severity::High,
            score: 0.8125,
            confidence: 0.9,
            subject: Party {
                mac: Some(Mac([2, 0, 0, 0, 0, 1])),
                ips: vec![[192, 0, 2, 1].into()],
                name: None,
                vendor: Some("udhcp".to_owned()),
            },
            peers: vec![Peer { mac: None, ip: None, port: Some(22), protocol: Some(Protocol::Tcp) }],
            reasons: vec![Reason {
                feature: "failed_ports".into(),
                value: 312.0,
                unit: "ports".into(),
                median: None,
                p99: Some(15.0),
                contribution: 0.75,
            }],
            packets: 3,
            bytes: 180,
            count: 2,
            tap: "hall".to_owned(),
            model: None,
            baseline: Some("b1".to_owned()),
        };
        let text = serde_json::to_string(&AlertRecord::from(&alert)).unwrap();
        let record: AlertRecord = serde_json::from_str(&text).unwrap();
        assert_eq!(Alert::try_from(&record), Ok(alert));
        let foreign = AlertRecord { kind: "sorcery".to_owned(), ..record };
        assert_eq!(Alert::try_from(&foreign).unwrap_err().field, "kind");
    }

    #[test]
    fn numbers_are_rounded_the_same_everywhere() {
        let values = [0.123_449, 1.0 / 3.0, 1_234.567_89, 12_345_678.9, f64::NAN].map(rounded);
        assert_eq!(values.map(|v| v.to_string()), ["0.1234", "0.3333", "1234.57", "12345679", "0"]);
    }
}
