//! The envelope of snapshots (kind, version, schema, checksum) and the wire form of a baseline.
//!
//! A snapshot that was cut, altered or written by another version is an error, never a panic, and takes no more
//! memory than a small multiple of its bytes.

use std::net::IpAddr;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::Phase;
use super::lifecycle::{Baseline, Standing};
use crate::feature::{COUNT, FeatureVector, SCHEMA_VERSION};
use crate::flow::DeviceKey;
use crate::packet::Mac;
use crate::time::{Span, Timestamp};

/// Why a snapshot was not taken up. The remedy is the same for all: learn anew.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadSnapshot {
    /// Too short, or a record of another kind.
    #[error("not a snapshot of a {kind}")]
    Foreign {
        /// What was expected.
        kind: &'static str,
    },
    /// Written by another version of the program.
    #[error("snapshot of a {kind} has version {found}, this program reads version {expected}; learn anew")]
    Version {
        /// What it is.
        kind: &'static str,
        /// Version that it has.
        found: u16,
        /// Version that is read.
        expected: u16,
    },
    /// Its vectors have other features.
    #[error(
        "snapshot of a {kind} has feature schema {found}, this program has schema {expected}; learn anew"
    )]
    Schema {
        /// What it is.
        kind: &'static str,
        /// Schema that it has.
        found: u16,
        /// Schema of this program.
        expected: u16,
    },
    /// Its windows have another length.
    #[error(
        "snapshot of a baseline has windows of {found}, configured are windows of {expected}; learn anew"
    )]
    Window {
        /// Length that it has.
        found: Span,
        /// Length that is configured.
        expected: Span,
    },
    /// Its checksum or its form is wrong.
    #[error("snapshot of a {kind} is damaged; learn anew")]
    Damaged {
        /// What it is.
        kind: &'static str,
    },
}

/// A kind of snapshot.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sealed {
    /// First four bytes.
    pub(crate) magic: [u8; 4],
    /// Version of the wire form.
    pub(crate) version: u16,
    /// Name in messages.
    pub(crate) kind: &'static str,
}

impl Sealed {
    /// The error for a form that does not hold together.
    pub(crate) const fn damaged(self) -> BadSnapshot {
        BadSnapshot::Damaged { kind: self.kind }
    }
}

/// Magic 4, version 2, schema 2, then a checksum over these and the body.
const PREFIX: usize = 8;
const CHECKSUM: usize = 8;

/// Wraps a wire form.
pub(crate) fn seal<T: Serialize>(as_what: Sealed, wire: &T) -> Vec<u8> {
    // Fails only for sequences of unknown length, which no wire form here has; an empty body would not open.
    let body = postcard::to_stdvec(wire).unwrap_or_default();
    let mut bytes = Vec::with_capacity(PREFIX + CHECKSUM + body.len());
    bytes.extend(as_what.magic);
    bytes.extend(as_what.version.to_le_bytes());
    bytes.extend(SCHEMA_VERSION.to_le_bytes());
    let sum = checksum(&bytes, &body);
    bytes.extend(sum);
    bytes.extend(body);
    bytes
}

/// Unwraps a wire form.
pub(crate) fn open<T: DeserializeOwned>(as_what: Sealed, bytes: &[u8]) -> Result<T, BadSnapshot> {
    let Sealed { magic, version: expected, kind } = as_what;
    let (prefix, rest) = bytes.split_first_chunk::<PREFIX>().ok_or(BadSnapshot::Foreign { kind })?;
    let &[a, b, c, d, v0, v1, s0, s1] = prefix;
    if [a, b, c, d] != magic {
        return Err(BadSnapshot::Foreign { kind });
    }
    let found = u16::from_le_bytes([v0, v1]);
    if found != expected {
        return Err(BadSnapshot::Version { kind, found, expected });
    }
    let found = u16::from_le_bytes([s0, s1]);
    if found != SCHEMA_VERSION {
        return Err(BadSnapshot::Schema { kind, found, expected: SCHEMA_VERSION });
    }
    let (sum, body) = rest.split_first_chunk::<CHECKSUM>().ok_or_else(|| as_what.damaged())?;
    if *sum != checksum(prefix, body) {
        return Err(as_what.damaged());
    }
    match postcard::take_from_bytes(body) {
        Ok((wire, [])) => Ok(wire),
        _ => Err(as_what.damaged()),
    }
}

fn checksum(prefix: &[u8], body: &[u8]) -> [u8; CHECKSUM] {
    let digest = Sha256::new().chain_update(prefix).chain_update(body).finalize();
    let mut sum = [0; CHECKSUM];
    for (to, from) in sum.iter_mut().zip(digest) {
        *to = from;
    }
    sum
}

/// A device key on the wire.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) enum KeyWire {
    Mac([u8; 6]),
    Ip(IpAddr),
}

impl From<DeviceKey> for KeyWire {
    fn from(key: DeviceKey) -> Self {
        match key {
            DeviceKey::Mac(mac) => Self::Mac(mac.0),
            DeviceKey::Ip(ip) => Self::Ip(ip),
        }
    }
}

impl From<KeyWire> for DeviceKey {
    fn from(key: KeyWire) -> Self {
        match key {
            KeyWire::Mac(octets) => Self::Mac(Mac(octets)),
            KeyWire::Ip(ip) => Self::Ip(ip),
        }
    }
}

const BASELINE: Sealed = Sealed { magic: *b"tgBL", version: 2, kind: "baseline" };

#[derive(Serialize, Deserialize)]
struct BaselineWire {
    phase: PhaseWire,
    generation: u32,
    window: u64,
    learned: u64,
    target: u64,
    devices: Vec<DeviceWire>,
    limits: Vec<(KeyWire, u64)>,
    /// Device and start of each window, in order of time.
    windows: Vec<(KeyWire, i64)>,
    /// Their vectors, one after the other.
    values: Vec<f32>,
}

#[derive(Serialize, Deserialize)]
enum PhaseWire {
    None,
    Learning,
    Armed,
}

#[derive(Serialize, Deserialize)]
struct DeviceWire {
    key: KeyWire,
    known: bool,
    since: i64,
}

impl Baseline {
    /// Everything that must survive a restart: phase, time learned, devices and windows. About 240 bytes a window.
    #[must_use]
    pub fn snapshot(&self) -> Vec<u8> {
        let windows = self.sample.in_time_order();
        let device = |(&key, standing): (&DeviceKey, &Standing)| match *standing {
            Standing::Known { since } => DeviceWire { key: key.into(), known: true, since: since.as_nanos() },
            Standing::New { since } => DeviceWire { key: key.into(), known: false, since: since.as_nanos() },
        };
        let wire = BaselineWire {
            phase: match self.phase {
                Phase::None => PhaseWire::None,
                Phase::Learning => PhaseWire::Learning,
                Phase::Armed => PhaseWire::Armed,
            },
            generation: self.generation,
            window: self.config.window.as_nanos(),
            learned: self.learned.as_nanos(),
            target: self.target.as_nanos(),
            devices: self.devices.iter().map(device).collect(),
            limits: self.sample.limits().map(|(key, limit)| (key.into(), limit)).collect(),
            windows: windows.iter().map(|&(key, start, _)| (key.into(), start.as_nanos())).collect(),
            values: windows.iter().flat_map(|(.., vector)| vector.raw()).copied().collect(),
        };
        seal(BASELINE, &wire)
    }

    /// Takes up a snapshot where it ended: one taken while learning goes on learning with the time it has. Where the
    /// capacities were lowered meanwhile, known devices come before new ones and the sample is thinned.
    ///
    /// # Errors
    /// When the bytes are no intact baseline of this version and schema.
    pub fn restore(config: super::Config, bytes: &[u8]) -> Result<Self, BadSnapshot> {
        let wire: BaselineWire = open(BASELINE, bytes)?;
        let (vectors, rest) = wire.values.as_chunks::<COUNT>();
        if !rest.is_empty() || vectors.len() != wire.windows.len() {
            return Err(BASELINE.damaged());
        }
        let found = Span::from_nanos(wire.window);
        if found != config.window {
            return Err(BadSnapshot::Window { found, expected: config.window });
        }
        let mut baseline = Self::new(config);
        baseline.phase = match wire.phase {
            PhaseWire::None => Phase::None,
            PhaseWire::Learning => Phase::Learning,
            PhaseWire::Armed => Phase::Armed,
        };
        baseline.generation = wire.generation;
        baseline.learned = Span::from_nanos(wire.learned);
        baseline.target = Span::from_nanos(wire.target);
        let (known, new): (Vec<_>, Vec<_>) = wire.devices.iter().partition(|device| device.known);
        for device in known.into_iter().chain(new).take(baseline.config.device_capacity) {
            let since = Timestamp::from_nanos(device.since);
            let standing = if device.known { Standing::Known { since } } else { Standing::New { since } };
            baseline.devices.insert(device.key.into(), standing);
        }
        for (key, limit) in wire.limits.iter().map(|&(key, limit)| (DeviceKey::from(key), limit)) {
            if baseline.devices.contains_key(&key) {
                baseline.sample.set_limit(key, limit);
            }
        }
        for (&(key, start), values) in wire.windows.iter().zip(vectors) {
            let key = DeviceKey::from(key);
            if baseline.devices.contains_key(&key) {
                baseline.sample.push(key, Timestamp::from_nanos(start), FeatureVector::new(*values));
            }
        }
        Ok(baseline)
    }
}

/// Changes bytes of the body of a snapshot and puts the right checksum to it.
#[cfg(test)]
pub(crate) fn forge(sealed: &[u8], changes: &[(proptest::sample::Index, u8)]) -> Vec<u8> {
    let (prefix, body) = (&sealed[..PREFIX], &sealed[PREFIX + CHECKSUM..]);
    let mut body = body.to_vec();
    for (at, value) in changes {
        let place = at.index(body.len());
        body[place] = *value;
    }
    [prefix, &checksum(prefix, &body), &body].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTE: Sealed = Sealed { magic: *b"NOTE", version: 7, kind: "note" };

    #[test]
    fn the_envelope_tells_what_is_wrong() {
        let sealed = seal(NOTE, &vec![1_u32, 2, 3]);
        assert_eq!(open(NOTE, &sealed), Ok(vec![1_u32, 2, 3]));
        let tell = |bytes: &[u8], as_what| open::<Vec<u32>>(as_what, bytes).unwrap_err().to_string();
        assert_eq!(tell(b"", NOTE), "not a snapshot of a note");
        assert_eq!(tell(b"BOOK at least eight", NOTE), "not a snapshot of a note");
        assert_eq!(
            tell(&sealed, Sealed { version: 8, ..NOTE }),
            "snapshot of a note has version 7, this program reads version 8; learn anew"
        );
        let mut other = sealed.clone();
        other[6] ^= 0x40;
        assert!(tell(&other, NOTE).starts_with("snapshot of a note has feature schema 66, this program has"));
        for at in PREFIX..sealed.len() {
            let mut flipped = sealed.clone();
            flipped[at] ^= 1;
            assert_eq!(tell(&flipped, NOTE), "snapshot of a note is damaged; learn anew", "byte {at}");
            assert_eq!(tell(&sealed[..at], NOTE), "snapshot of a note is damaged; learn anew", "cut at {at}");
        }
    }

    #[test]
    fn a_length_that_lies_takes_no_memory() {
        // A sequence said to have 2^60 elements, with the right checksum.
        let lie = seal(NOTE, &(1_u64 << 60));
        assert_eq!(open::<Vec<u64>>(NOTE, &lie), Err(BadSnapshot::Damaged { kind: "note" }));
    }
}
