//! The formats of what is kept. Every value begins with the version of its format; a value of another version, or one
//! that does not decode, is nothing (`None`) to the reader, which counts and skips it.
//!
//! Alert, version 1: a head that filters read without decoding the rest (state, severity, last seen, kind), then the
//! JSON of `AlertRecord`, deflated: a third of its size, and what the SD card does not write it does not wear.
//! Device and snapshot manifest, version 1: JSON of the structs below.

use std::io::{Read, Write};
use std::net::IpAddr;

use flate2::{Compression, Crc, read::DeflateDecoder, write::DeflateEncoder};
use serde::{Deserialize, Serialize};

use super::StoreError;
use crate::alert::{AlertId, Event, Severity};
use crate::control::DeviceSummary;
use crate::control::wire::AlertRecord;
use crate::packet::Mac;
use crate::time::Timestamp;

pub(super) const VERSION: u8 = 1;
/// Most bytes of a kept alert or device. Sixteen of them still fit in a page that sled keeps in its log.
const MAX_RECORD: usize = 16 << 10;
/// Most bytes of JSON that a record may inflate to.
const MAX_JSON: u64 = 256 << 10;
/// Stands for a severity word that this version does not know.
const UNKNOWN_SEVERITY: u8 = u8::MAX;

/// What filters need to know of an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head<'a> {
    /// Not cleared.
    pub(super) open: bool,
    /// None for a word that this version does not know.
    pub(super) severity: Option<Severity>,
    /// Latest observation.
    pub(super) last_seen: Timestamp,
    /// The word.
    pub(super) kind: &'a str,
    json: &'a [u8],
}

impl<'a> Head<'a> {
    /// Reads the head; `None` when it is none of this version.
    pub(super) fn read(value: &'a [u8]) -> Option<Self> {
        let (&[version, open, severity], rest) = value.split_first_chunk()?;
        let (last_seen, rest) = rest.split_first_chunk()?;
        let (&kind_len, rest) = rest.split_first()?;
        let (kind, json) = rest.split_at_checked(usize::from(kind_len))?;
        (version == VERSION).then_some(Self {
            open: open == 1,
            severity: Severity::ALL.get(usize::from(severity)).copied(),
            last_seen: Timestamp::from_nanos(i64::from_be_bytes(*last_seen)),
            kind: std::str::from_utf8(kind).ok()?,
            json,
        })
    }

    /// Decodes the whole; `None` when that fails.
    pub(super) fn decode(&self) -> Option<AlertRecord> {
        serde_json::from_reader(std::io::BufReader::new(DeflateDecoder::new(self.json).take(MAX_JSON))).ok()
    }
}

/// An alert ready to be kept.
#[derive(Clone, Debug)]
pub(super) struct KeptAlert {
    pub(super) id: AlertId,
    /// The first telling of its incident, which no later one makes superfluous.
    pub(super) raised: bool,
    pub(super) last_seen: Timestamp,
    pub(super) value: Vec<u8>,
}

impl KeptAlert {
    /// Encodes a record.
    pub(super) fn new(record: &AlertRecord) -> Result<Self, StoreError> {
        let refused = |why| StoreError::Record { what: "alert", why };
        let id = record.id.parse().map_err(|_| refused("its id is not 24 hexadecimal digits"))?;
        let last_seen: Timestamp =
            record.last_seen.parse().map_err(|_| refused("its last_seen is no RFC 3339 time"))?;
        let kind_len = u8::try_from(record.kind.len()).map_err(|_| refused("its kind is too long"))?;
        let severity = Severity::ALL
            .iter()
            .position(|s| s.word() == record.severity)
            .and_then(|at| u8::try_from(at).ok())
            .unwrap_or(UNKNOWN_SEVERITY);
        let mut value = vec![VERSION, u8::from(!record.is_cleared()), severity];
        value.extend(last_seen.as_nanos().to_be_bytes());
        value.push(kind_len);
        value.extend(record.kind.as_bytes());
        let json = serde_json::to_vec(record).map_err(|_| refused("it has no JSON form"))?;
        if u64::try_from(json.len()).is_ok_and(|n| n > MAX_JSON) {
            return Err(refused("it is too large"));
        }
        let mut deflate = DeflateEncoder::new(value, Compression::default());
        let value = deflate
            .write_all(&json)
            .and_then(|()| deflate.finish())
            .map_err(|_| refused("it does not compress"))?;
        if value.len() > MAX_RECORD {
            Err(refused("it is too large"))
        } else {
            Ok(Self { id, raised: record.event == Event::Raised.word(), last_seen, value })
        }
    }
}

/// Key of an alert: its id as text, which sorts by time.
pub(super) fn alert_key(id: AlertId) -> String {
    id.to_string()
}

/// A device as it is kept.
#[derive(Serialize, Deserialize)]
struct KeptDevice {
    mac: Option<String>,
    ips: Vec<IpAddr>,
    name: Option<String>,
    vendor: Option<String>,
    /// Nanoseconds since the epoch.
    first_seen: i64,
    /// Nanoseconds since the epoch.
    last_seen: i64,
    packets_sent: u64,
    packets_received: u64,
    bytes_sent: u64,
    bytes_received: u64,
    router: bool,
    known: Option<bool>,
    interface: Option<String>,
}

/// Key of a device: its hardware address, or else its oldest address; `None` for one that has neither.
pub(super) fn device_key(device: &DeviceSummary) -> Option<Vec<u8>> {
    match (device.mac, device.ips.first()) {
        (Some(mac), _) => Some([&b"m"[..], &mac.0].concat()),
        (None, Some(ip)) => Some(format!("i{ip}").into_bytes()),
        (None, None) => None,
    }
}

/// A device as the bytes to be kept; `None` when it is too large to be a true one.
pub(super) fn encode_device(device: &DeviceSummary) -> Option<Vec<u8>> {
    let kept = KeptDevice {
        mac: device.mac.map(|m| m.to_string()),
        ips: device.ips.clone(),
        name: device.name.clone(),
        vendor: device.vendor.clone(),
        first_seen: device.first_seen.as_nanos(),
        last_seen: device.last_seen.as_nanos(),
        packets_sent: device.packets_sent,
        packets_received: device.packets_received,
        bytes_sent: device.bytes_sent,
        bytes_received: device.bytes_received,
        router: device.router,
        known: device.known,
        interface: device.interface.clone(),
    };
    let mut value = vec![VERSION];
    serde_json::to_writer(&mut value, &kept).ok()?;
    (value.len() <= MAX_RECORD).then_some(value)
}

/// A device from its bytes.
pub(super) fn decode_device(value: &[u8]) -> Option<DeviceSummary> {
    let kept: KeptDevice = from_json(value)?;
    Some(DeviceSummary {
        mac: kept.mac.map(|m| m.parse::<Mac>()).transpose().ok()?,
        ips: kept.ips,
        name: kept.name,
        vendor: kept.vendor,
        first_seen: Timestamp::from_nanos(kept.first_seen),
        last_seen: Timestamp::from_nanos(kept.last_seen),
        packets_sent: kept.packets_sent,
        packets_received: kept.packets_received,
        bytes_sent: kept.bytes_sent,
        bytes_received: kept.bytes_received,
        router: kept.router,
        known: kept.known,
        now: None,
        interface: kept.interface,
    })
}

/// What a snapshot is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SnapshotName {
    /// What the network does.
    Baseline,
    /// The trained model.
    Model,
    /// What the owner expects.
    Expected,
    /// What was set remotely; see [`KeptSettings`](super::KeptSettings).
    Settings,
}

impl SnapshotName {
    /// Key of the manifest, and beginning of the keys of the chunks.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Baseline => "baseline",
            Self::Model => "model",
            Self::Expected => "expected",
            Self::Settings => "settings",
        }
    }
}

/// Says which chunks make up a snapshot. Written after them, so that it never names chunks that are not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Manifest {
    /// Chunks of other generations are left over.
    pub(super) generation: u64,
    pub(super) length: u64,
    pub(super) crc32: u32,
}

impl Manifest {
    /// Bytes of a chunk. A leaf of sled's tree holds at most 16 values and must stay under a quarter of a segment:
    /// larger ones become separate files that sled does not flush.
    pub(super) const CHUNK: usize = 3_500;

    /// Describes `bytes`.
    pub(super) fn of(bytes: &[u8], generation: u64) -> Self {
        Self { generation, length: u64::try_from(bytes.len()).unwrap_or(u64::MAX), crc32: checksum(bytes) }
    }

    /// Whether `bytes` are what was saved.
    pub(super) fn fits(&self, bytes: &[u8]) -> bool {
        *self == Self::of(bytes, self.generation)
    }

    pub(super) fn encode(&self) -> Option<Vec<u8>> {
        let mut value = vec![VERSION];
        serde_json::to_writer(&mut value, self).ok().map(|()| value)
    }

    pub(super) fn decode(value: &[u8]) -> Option<Self> {
        from_json(value)
    }

    /// What the keys of all chunks of one generation begin with.
    pub(super) fn chunk_prefix(name: SnapshotName, generation: u64) -> Vec<u8> {
        [name.word().as_bytes(), b"/", &generation.to_be_bytes()].concat()
    }

    /// Key of one chunk.
    pub(super) fn chunk_key(name: SnapshotName, generation: u64, at: u32) -> Vec<u8> {
        let mut key = Self::chunk_prefix(name, generation);
        key.extend(at.to_be_bytes());
        key
    }
}

fn checksum(bytes: &[u8]) -> u32 {
    let mut crc = Crc::new();
    crc.update(bytes);
    crc.sum()
}

/// What follows the version in a value, where it is that of today.
pub(super) fn from_json<T: for<'de> Deserialize<'de>>(value: &[u8]) -> Option<T> {
    let (&version, json) = value.split_first()?;
    if version == VERSION { serde_json::from_slice(json).ok() } else { None }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::control::wire::{BaselineRecord, EvidenceRecord, PartyRecord, PeerRecord, ReasonRecord};

    /// An alert as large as they come in practice.
    pub(in crate::store) fn alert(id: AlertId, event: &str, last_seen: Timestamp) -> AlertRecord {
        AlertRecord {
            id: id.to_string(),
            event: event.to_owned(),
            timestamp: last_seen.to_string(),
            first_seen: last_seen.to_string(),
            last_seen: last_seen.to_string(),
            kind: "port_scan".to_owned(),
            title: format!("tv-{id} scans ports of 10.10.10.37"),
            description:
                "It tried 4,005 ports of one host within 12 seconds, and 3,998 of them were refused. \
                          Look at what runs on it, and take it off the network if nobody meant to do this."
                    .to_owned(),
            severity: "high".to_owned(),
            score: 0.97,
            confidence: 0.9,
            subject: PartyRecord {
                mac: Some("02:00:00:00:00:07".to_owned()),
                ips: vec![IpAddr::from([192, 0, 2, 7])],
                name: Some("tv".to_owned()),
                vendor: None,
            },
            peers: (0..4)
                .map(|n| PeerRecord {
                    mac: None,
                    ip: Some(IpAddr::from([192, 0, 2, n])),
                    port: Some(502),
                    protocol: Some("tcp".to_owned()),
                })
                .collect(),
            technique: vec!["T1046".to_owned(), "T0846".to_owned()],
            reasons: (0..5)
                .map(|n| ReasonRecord {
                    feature: format!("contacted_ports_{n}"),
                    value: 4_005.0,
                    unit: "ports".to_owned(),
                    baseline: BaselineRecord { median: Some(2.0), p99: Some(11.0) },
                    contribution: 0.2,
                })
                .collect(),
            evidence: EvidenceRecord { packets: 8_010, bytes: 480_600, ..EvidenceRecord::default() },
            count: 3,
            tap: "tap".to_owned(),
            model: Some("isolation_forest-1".to_owned()),
            baseline: None,
            acknowledged: None,
            acknowledged_note: None,
            feedback: None,
        }
    }

    pub(in crate::store) fn device(n: u8) -> DeviceSummary {
        DeviceSummary {
            mac: Some(Mac([2, 0, 0, 0, 0, n])),
            ips: vec![IpAddr::from([192, 0, 2, n])],
            name: Some(format!("device-{n}")),
            vendor: None,
            first_seen: Timestamp::from_parts(1_000, 1),
            last_seen: Timestamp::from_parts(2_000, 2),
            packets_sent: 1,
            packets_received: 2,
            bytes_sent: 3,
            bytes_received: 4,
            router: n == 1,
            known: Some(true),
            now: None,
            interface: Some("eth1".to_owned()),
        }
    }

    #[test]
    fn an_alert_comes_back_and_its_head_says_the_same() {
        let seen = Timestamp::from_parts(1_421_254_953, 123_456_000);
        let record = alert(AlertId::new(seen, 7), "updated", seen);
        let kept = KeptAlert::new(&record).unwrap();
        let head = Head::read(&kept.value).unwrap();
        assert_eq!((head.open, head.severity, head.kind), (true, Some(Severity::High), "port_scan"));
        assert_eq!((head.last_seen, kept.last_seen), (seen, seen));
        assert_eq!(head.decode(), Some(record));
    }

    #[test]
    fn an_alert_that_cannot_be_keyed_is_refused() {
        let seen = Timestamp::EPOCH;
        let good = alert(AlertId::new(seen, 7), "raised", seen);
        let text = |record| KeptAlert::new(&record).unwrap_err().to_string();
        assert_eq!(
            text(AlertRecord { id: "x".to_owned(), ..good.clone() }),
            "cannot keep the alert: its id is not 24 hexadecimal digits"
        );
        assert_eq!(
            text(AlertRecord { last_seen: "now".to_owned(), ..good.clone() }),
            "cannot keep the alert: its last_seen is no RFC 3339 time"
        );
        let long = "\u{1}".repeat(300_000);
        assert_eq!(text(AlertRecord { description: long, ..good }), "cannot keep the alert: it is too large");
    }

    #[test]
    fn other_versions_and_damaged_values_are_nothing() {
        let seen = Timestamp::EPOCH;
        let mut value = KeptAlert::new(&alert(AlertId::new(seen, 7), "raised", seen)).unwrap().value;
        for cut in 0..value.len() {
            let decoded = value.get(..cut).and_then(Head::read).and_then(|head| head.decode());
            assert_eq!(decoded, None, "cut at {cut}");
        }
        *value.first_mut().unwrap() = VERSION + 1;
        assert_eq!(Head::read(&value), None);

        let mut value = encode_device(&device(1)).unwrap();
        assert_eq!(decode_device(&value), Some(device(1)));
        *value.first_mut().unwrap() = VERSION + 1;
        assert_eq!(decode_device(&value), None);
        assert_eq!(decode_device(b""), None);
    }

    #[test]
    fn a_manifest_fits_only_its_snapshot() {
        let manifest = Manifest::of(b"weights", 3);
        assert_eq!(Manifest::decode(&manifest.encode().unwrap()), Some(manifest));
        assert!(manifest.fits(b"weights"));
        assert!(!manifest.fits(b"weightz") && !manifest.fits(b"weight"));
    }
}
