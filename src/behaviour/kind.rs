//! The fixed vocabulary of findings. Documentation, MQTT discovery, the page and the record format all read this table.

use std::str::FromStr;

/// What an alert is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// One host tries many ports of another.
    PortScan,
    /// One host tries many others.
    HostSweep,
    /// An address is claimed by a second station, or the answers to it change hands.
    ArpSpoof,
    /// A device that the baseline does not know.
    NewDevice,
    /// A window of a device that its baseline makes improbable, without a more telling name.
    Behaviour,
    /// The tap itself: its store had to be replaced.
    TapStore,
}

/// A name that is none of the fixed vocabulary.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("not a known word")]
pub struct UnknownWord;

impl Kind {
    /// All kinds, in order of declaration.
    pub const ALL: [Self; 6] =
        [Self::PortScan, Self::HostSweep, Self::ArpSpoof, Self::NewDevice, Self::Behaviour, Self::TapStore];

    /// The word in JSON, MQTT and metrics.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::PortScan => "port_scan",
            Self::HostSweep => "host_sweep",
            Self::ArpSpoof => "arp_spoof",
            Self::NewDevice => "new_device",
            Self::Behaviour => "behaviour",
            Self::TapStore => "tap_store",
        }
    }

    /// MITRE ATT&CK technique ids (Enterprise, then ICS) that the kind may be a sign of: a suspicion, no proof.
    #[must_use]
    pub const fn techniques(self) -> &'static [&'static str] {
        match self {
            Self::PortScan => &["T1046", "T0846"],
            Self::HostSweep => &["T1018", "T0846"],
            Self::ArpSpoof => &["T1557.002", "T0830"],
            Self::NewDevice => &["T1200", "T0864"],
            Self::Behaviour | Self::TapStore => &[],
        }
    }
}

impl FromStr for Kind {
    type Err = UnknownWord;

    fn from_str(word: &str) -> Result<Self, UnknownWord> {
        Self::ALL.into_iter().find(|k| k.word() == word).ok_or(UnknownWord)
    }
}
