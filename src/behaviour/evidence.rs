//! [`Evidence`]: one detector's finding, with subject, peers and reasons.

use std::borrow::Cow;
use std::net::IpAddr;

use super::Kind;
use crate::packet::Mac;
use crate::time::Timestamp;

/// One detector's finding. Rare and small: detectors give one when something changed, never one per packet.
#[derive(Clone, Debug, PartialEq)]
pub struct Evidence {
    /// What it is.
    pub kind: Kind,
    /// When the detector was sure, on the capture's clock.
    pub time: Timestamp,
    /// First observation that belongs to it.
    pub since: Timestamp,
    /// Who did it.
    pub subject: Party,
    /// To whom, most telling first; at most [`Evidence::MAX_PEERS`].
    pub peers: Vec<Peer>,
    /// Peers in all that it was done to, those not named included: hosts scanned, addresses tried (answered ones, too)
    /// or claimed. An estimate where there are many. Those that were only told of a claim are named, but not counted.
    pub peer_count: u64,
    /// Why, most telling first; at most [`Evidence::MAX_REASONS`].
    pub reasons: Vec<Reason>,
    /// Packets counted as evidence since the detector's last finding on the same subject.
    pub packets: u64,
    /// Bytes counted likewise.
    pub bytes: u64,
    /// 0 to 1: 0.2 for each power of ten by which the observation is rarer than normal. Models calibrate it on normal
    /// traffic. A detector with a threshold gives 0.8 at the threshold, which is a choice, and 0.2 more for each tenfold.
    pub score: f64,
    /// 0 to 1: how sure the detector is of its reading.
    pub confidence: f64,
}

impl Evidence {
    /// Peers told by name; more are only counted.
    pub const MAX_PEERS: usize = 8;
    /// Reasons told.
    pub const MAX_REASONS: usize = 5;
}

/// The subject of a finding.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Party {
    /// Hardware address, for a station on this link.
    pub mac: Option<Mac>,
    /// Its addresses, oldest first.
    pub ips: Vec<IpAddr>,
    /// The name it gave itself (DHCP, mDNS).
    pub name: Option<String>,
    /// The vendor class it gave itself (DHCP).
    pub vendor: Option<String>,
}

/// The other side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Hardware address, for a station on this link.
    pub mac: Option<Mac>,
    /// Address.
    pub ip: Option<IpAddr>,
    /// Port of the service, where the finding is about one.
    pub port: Option<u16>,
    /// Protocol, where the finding is about one.
    pub protocol: Option<Protocol>,
}

/// A protocol as findings name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// ICMP or ICMPv6.
    Icmp,
    /// ARP.
    Arp,
}

impl Protocol {
    /// All protocols, in order.
    pub const ALL: [Self; 4] = [Self::Tcp, Self::Udp, Self::Icmp, Self::Arp];

    /// The word in JSON.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Icmp => "icmp",
            Self::Arp => "arp",
        }
    }
}

/// One observation that speaks for a finding.
#[derive(Clone, Debug, PartialEq)]
pub struct Reason {
    /// Name of the feature or count, in snake case.
    pub feature: Cow<'static, str>,
    /// What was observed.
    pub value: f64,
    /// Its unit, in words.
    pub unit: Cow<'static, str>,
    /// Median of the baseline, where there is one.
    pub median: Option<f64>,
    /// 99th percentile of the baseline; for a detector with a threshold, the threshold.
    pub p99: Option<f64>,
    /// Share of the finding's evidence that this observation carries: 0 for what is told as context only; those of one
    /// finding add up to at most 1.
    ///
    /// Evidence is measured as log-likelihood, and what speaks against a finding has no share. Of a scan or sweep each
    /// failed try weighs the same (ln 4 in the test of Jung et al.), and so does each pending one that is counted. Of
    /// a spoof it is measured in powers of ten, as in the score.
    pub contribution: f64,
}

impl Reason {
    /// An observation of a detector that needs no baseline, with the limit that it is held against.
    #[must_use]
    pub const fn counted(
        feature: &'static str,
        value: f64,
        unit: &'static str,
        limit: Option<f64>,
        contribution: f64,
    ) -> Self {
        Self {
            feature: Cow::Borrowed(feature),
            value,
            unit: Cow::Borrowed(unit),
            median: None,
            p99: limit,
            contribution,
        }
    }
}
