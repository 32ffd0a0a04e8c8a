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

/// A flow in either direction: the smaller end (address, then port) first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowKey {
    low: (IpAddr, u16),
    high: (IpAddr, u16),
    protocol: u8,
}

impl FiveTuple {
    /// The same for both directions.
    #[must_use]
    pub fn canonical(&self) -> FlowKey {
        let (source, destination) =
            ((self.source, self.source_port), (self.destination, self.destination_port));
        let (low, high) = if source <= destination { (source, destination) } else { (destination, source) };
        FlowKey { low, high, protocol: self.protocol }
    }
}

/// Few wide words instead of many small ones: it is computed for every packet.
impl Hash for FlowKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u128(bits(self.low.0));
        state.write_u128(bits(self.high.0));
        let ports = u64::from(self.low.1) << 16 | u64::from(self.high.1);
        state.write_u64(u64::from(self.protocol) << 32 | ports);
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

/// One wide word, as for [`FlowKey`].
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
