//! Identities: of a flow as seen in one packet, of a flow in either direction, and of a device.

use std::fmt;
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DeviceKey {
    /// A station on this link.
    Mac(Mac),
    /// A host of the site behind a router of this link, by its private address.
    Ip(IpAddr),
}

impl fmt::Display for DeviceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mac(mac) => mac.fmt(f),
            Self::Ip(ip) => ip.fmt(f),
        }
    }
}
