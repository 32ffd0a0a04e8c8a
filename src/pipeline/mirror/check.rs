//! The eight checks of a mirror, what each may find, and what helps: the one table of these words.

/// What is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Check {
    /// Both directions of conversations are seen.
    Directions,
    /// Traffic between others is seen.
    Unicast,
    /// VLAN tags are there in both directions or in none.
    Tags,
    /// Each packet comes once.
    Duplicates,
    /// Frames are captured as they were on the wire.
    Frames,
    /// What frames carry is of a known type.
    Encapsulation,
    /// Nothing is lost on the way from the switch.
    Loss,
    /// Times are right.
    Clock,
}

impl Check {
    /// All of them, in order.
    pub const ALL: [Self; 8] = [
        Self::Directions,
        Self::Unicast,
        Self::Tags,
        Self::Duplicates,
        Self::Frames,
        Self::Encapsulation,
        Self::Loss,
        Self::Clock,
    ];

    /// The word in JSON and metrics.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Directions => "directions",
            Self::Unicast => "unicast",
            Self::Tags => "tags",
            Self::Duplicates => "duplicates",
            Self::Frames => "frames",
            Self::Encapsulation => "encapsulation",
            Self::Loss => "loss",
            Self::Clock => "clock",
        }
    }

    /// The name for people.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::Directions => "Both directions",
            Self::Unicast => "Traffic of others",
            Self::Tags => "VLAN tags",
            Self::Duplicates => "Each packet once",
            Self::Frames => "Whole frames",
            Self::Encapsulation => "Known types",
            Self::Loss => "Nothing lost",
            Self::Clock => "Clock",
        }
    }
}

/// What can be wrong with a mirror.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Trouble {
    /// Conversations are seen in one direction.
    OneDirection,
    /// Only broadcasts, multicasts and this machine's own traffic are seen.
    NoUnicast,
    /// A VLAN tag is there in one direction of conversations only.
    HalfTagged,
    /// Packets come twice.
    Doubled,
    /// Packets come before and after a router.
    Routed,
    /// The capture cuts frames.
    Cut,
    /// Frames come joined to larger ones.
    Joined,
    /// Much cannot be read.
    UnknownTypes,
    /// This machine drops frames.
    Dropped,
    /// Frames are lost before this machine.
    Missing,
    /// Nobody sets the system's clock.
    Unsynchronised,
    /// The capture's clock jumps.
    Jumps,
    /// The capture's clock is not the system's, or was never set.
    WrongTime,
}

impl Trouble {
    /// All of them, in order.
    pub const ALL: [Self; 13] = [
        Self::OneDirection,
        Self::NoUnicast,
        Self::HalfTagged,
        Self::Doubled,
        Self::Routed,
        Self::Cut,
        Self::Joined,
        Self::UnknownTypes,
        Self::Dropped,
        Self::Missing,
        Self::Unsynchronised,
        Self::Jumps,
        Self::WrongTime,
    ];

    /// The word in JSON, MQTT and metrics.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::OneDirection => "one_direction",
            Self::NoUnicast => "no_unicast",
            Self::HalfTagged => "half_tagged",
            Self::Doubled => "doubled",
            Self::Routed => "routed",
            Self::Cut => "cut",
            Self::Joined => "joined",
            Self::UnknownTypes => "unknown_types",
            Self::Dropped => "dropped",
            Self::Missing => "missing",
            Self::Unsynchronised => "unsynchronised",
            Self::Jumps => "jumps",
            Self::WrongTime => "wrong_time",
        }
    }

    /// What helps, in one sentence.
    #[must_use]
    pub const fn remedy(self) -> &'static str {
        match self {
            Self::OneDirection => {
                "Set the switch to mirror both directions of its source ports (often called \"both\", or RX and TX)."
            }
            Self::NoUnicast => {
                "Plug the tap into the mirror port of the switch and switch mirroring on: an ordinary port gives only \
                 broadcasts, multicasts and this machine's own traffic."
            }
            Self::HalfTagged => {
                "Have the switch keep VLAN tags on the mirror port in both directions or in none (on some switches: \
                 \"encapsulation replicate\", or the mirror port as a trunk)."
            }
            Self::Doubled => {
                "Mirror each packet once: one direction of all ports, or both directions of the ports on one side only. \
                 Until then copies are left out of all counts."
            }
            Self::Routed => {
                "Mirror one side of the router only; until then what it passes on is left out of flows and windows."
            }
            Self::Cut => {
                "Raise network.snapshot_length to the largest frame, or have the switch mirror whole frames."
            }
            Self::Joined => {
                "Switch receive offload off on the tap's interface (ethtool -K INTERFACE gro off lro off), or raise its \
                 MTU where the network has jumbo frames."
            }
            Self::UnknownTypes => {
                "Have the switch send what it mirrors as plain Ethernet, or in a transport that is read here, such as \
                 ERSPAN, VXLAN or TZSP; the types that were met are listed."
            }
            Self::Dropped => {
                "Raise network.buffer_size, mirror fewer ports, set network.filter, or use a faster machine."
            }
            Self::Missing => {
                "Mirror fewer ports, or one direction to each of two taps: the mirror port, or the switch behind it, \
                 gets more than it can pass on."
            }
            Self::Unsynchronised => {
                "Switch time synchronisation on (for example: timedatectl set-ntp true) and give it a reachable server."
            }
            Self::Jumps => {
                "Find what sets the clock by force: a time service should slew it, and no second one should run."
            }
            Self::WrongTime => {
                "Set the clock that stamps the frames: the system's, or the network card's where it has one of its own."
            }
        }
    }
}

/// What a check says.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// There is too little to tell, or nothing that could; with the reason, such as "12 of 200 conversations".
    Unknown(String),
    /// Nothing is wrong.
    Fine,
    /// Something is.
    Found(Trouble),
}

impl Verdict {
    /// The word in JSON.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Unknown(_) => "unknown",
            Self::Fine => "fine",
            Self::Found(_) => "found",
        }
    }

    /// What was found.
    #[must_use]
    pub const fn trouble(&self) -> Option<Trouble> {
        match self {
            Self::Found(trouble) => Some(*trouble),
            Self::Unknown(_) | Self::Fine => None,
        }
    }
}

/// A measured number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measure {
    /// What was measured.
    pub name: &'static str,
    /// How much.
    pub value: f64,
}

/// A check with its numbers, over the last minute or two (longer where little comes).
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// What was checked.
    pub check: Check,
    /// What it says.
    pub verdict: Verdict,
    /// The numbers behind it, in one line for people.
    pub text: String,
    /// The same for machines.
    pub measures: Vec<Measure>,
}
