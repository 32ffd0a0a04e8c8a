//! Identities: of a flow as seen in one packet, of a flow in either direction, and of a device.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::net::IpAddr;

use crate::packet::Mac;

/// A flow in the direction of one packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FiveTuple {
    /// Sender.
    pub source: IpAddr,
    /// Sender's port; for ICMP echo the identifier in both, else 0 where the protocol has none.
    pub source_port: u16,
    /// Receiver.
    pub destination: IpAddr,
    /// Receiver's port.
    pub destination_port: u16,
    /// IP protocol number (ICMPv6 as 58).
    pub protocol: u8,
}

/// A flow in either direction: the smaller end (address, then port) first. Two words for the addresses and one for
/// the rest, as it is made, hashed and compared for every packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowKey {
    low: u128,
    high: u128,
    /// Whether the addresses are IPv6, protocol, lower end's port, higher end's port.
    rest: u64,
}

impl FiveTuple {
    /// The same for both directions.
    #[must_use]
    pub fn canonical(&self) -> FlowKey {
        let source = (bits(self.source), self.source_port);
        let destination = (bits(self.destination), self.destination_port);
        let (low, high) = if source <= destination { (source, destination) } else { (destination, source) };
        let family = u64::from(self.source.is_ipv6() || self.destination.is_ipv6()) << 40;
        let ports = u64::from(low.1) << 16 | u64::from(high.1);
        FlowKey { low: low.0, high: high.0, rest: family | u64::from(self.protocol) << 32 | ports }
    }
}

impl Hash for FlowKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u128(self.low);
        state.write_u128(self.high);
        state.write_u64(self.rest);
    }
}

/// A place in the device table. It stays valid until the device is put out; a later device in the same place has
/// another generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceId {
    /// Index, below [`super::Config::device_capacity`].
    pub slot: u32,
    /// Rises each time the place is taken anew.
    pub generation: u32,
}

/// What identifies a device across restarts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DeviceKey {
    /// A station on this link.
    Mac(Mac),
    /// A host of the site behind a router of this link, by its private address.
    Ip(IpAddr),
}

/// One wide word: it is computed twice for every packet.
impl Hash for DeviceKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self {
            Self::Mac(Mac([a, b, c, d, e, g])) => {
                state.write_u64(u64::from_be_bytes([0, 1, *a, *b, *c, *d, *e, *g]));
            }
            Self::Ip(ip) => state.write_u128(bits(*ip)),
        }
    }
}

fn bits(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(v4) => u128::from(v4.to_bits()),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

impl fmt::Display for DeviceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mac(mac) => mac.fmt(f),
            Self::Ip(ip) => ip.fmt(f),
        }
    }
}
