//! [`Device`]: what is known of one device, and how its list of addresses is kept short.

use std::net::IpAddr;

use arrayvec::ArrayVec;

use super::{DeviceKey, address};
use crate::bounded::Text;
use crate::packet::Mac;
use crate::time::{Span, Timestamp};

/// A station of the link, or a host of the site behind a router.
#[derive(Clone, Debug)]
pub struct Device {
    /// Identity across restarts.
    pub key: DeviceKey,
    /// The name it gave itself by DHCP, else by mDNS (without `.local`), else by NetBIOS; lower case, empty when there
    /// is none.
    pub name: Text<63>,
    /// The vendor class it gave itself by DHCP, else what it says by SSDP that it runs; empty when there is none.
    pub vendor_class: Text<63>,
    /// First packet from it.
    pub first_seen: Timestamp,
    /// Latest packet from it.
    pub last_seen: Timestamp,
    /// Packets it sent.
    pub packets_sent: u64,
    /// Bytes on the wire it sent.
    pub bytes_sent: u64,
    /// Packets sent to it alone.
    pub packets_received: u64,
    /// Bytes on the wire sent to it alone.
    pub bytes_received: u64,
    /// Whether it forwards for others. Once found, it stays so.
    pub router: bool,
    /// Whether it is more than a burst (see [`super::Devices`]), so that it was told of and is worth keeping across
    /// restarts. Once proven, it stays so.
    pub proven: bool,
    pub(super) addresses: Addresses,
}

impl Device {
    /// Addresses that a device can have; see [`Device::ips`].
    pub const MAX_IPS: usize = 8;

    pub(super) fn new(key: DeviceKey, now: Timestamp) -> Self {
        Self {
            key,
            name: Text::EMPTY,
            vendor_class: Text::EMPTY,
            first_seen: now,
            last_seen: now,
            packets_sent: 0,
            bytes_sent: 0,
            packets_received: 0,
            bytes_received: 0,
            router: false,
            proven: false,
            addresses: Addresses::default(),
        }
    }

    /// Hardware address; none for a host behind a router.
    #[must_use]
    pub const fn mac(&self) -> Option<Mac> {
        match self.key {
            DeviceKey::Mac(mac) => Some(mac),
            DeviceKey::Ip(_) => None,
        }
    }

    /// Its addresses, oldest first; at most [`Device::MAX_IPS`]. At the limit an IPv6 address that looks temporary
    /// takes the place of the oldest such; others that of the longest unused one that was only seen as a source. An
    /// address that was claimed takes, at last, that of the longest unused of all; any other is not noted.
    pub fn ips(&self) -> impl Iterator<Item = IpAddr> {
        self.addresses.0.iter().map(|a| a.ip)
    }

    /// What to keep across restarts.
    #[must_use]
    pub fn known(&self) -> KnownDevice {
        KnownDevice {
            key: self.key,
            ips: self.ips().collect(),
            name: self.name,
            vendor_class: self.vendor_class,
            first_seen: self.first_seen,
            last_seen: self.last_seen,
            packets_sent: self.packets_sent,
            bytes_sent: self.bytes_sent,
            packets_received: self.packets_received,
            bytes_received: self.bytes_received,
            router: self.router,
        }
    }
}

/// What is kept of a device across restarts; the fields mean what they mean in [`Device`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownDevice {
    /// Identity.
    pub key: DeviceKey,
    /// Addresses, oldest first; beyond [`Device::MAX_IPS`] not restored.
    pub ips: Vec<IpAddr>,
    /// Name; empty when there is none.
    pub name: Text<63>,
    /// Vendor class; empty when there is none.
    pub vendor_class: Text<63>,
    /// First packet from it.
    pub first_seen: Timestamp,
    /// Latest packet from it.
    pub last_seen: Timestamp,
    /// Packets it sent.
    pub packets_sent: u64,
    /// Bytes it sent.
    pub bytes_sent: u64,
    /// Packets sent to it.
    pub packets_received: u64,
    /// Bytes sent to it.
    pub bytes_received: u64,
    /// Whether it forwards for others.
    pub router: bool,
}

/// How an address came to a device; later ones are worth more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Claim {
    /// It was the source of a packet.
    Source,
    /// The device announced it by mDNS; a reflector announces those of others.
    Announcement,
    /// ARP or neighbour discovery: what peers act on.
    Resolution,
    /// A DHCP server gave it to the device, and so to no other.
    Lease,
}

/// An address of a device.
#[derive(Clone, Copy, Debug)]
pub(super) struct Address {
    pub(super) ip: IpAddr,
    pub(super) claim: Claim,
    /// Latest claim, or packet from the device with this source.
    pub(super) used: Timestamp,
}

impl Claim {
    pub(super) fn is_strong(self) -> bool {
        self >= Self::Resolution
    }
}

impl Address {
    /// Silence after which an address may go to another device on weaker grounds than a claim.
    const STALE: Span = Span::from_secs(300);

    pub(super) fn is_stale(&self, now: Timestamp) -> bool {
        now.since(self.used) >= Self::STALE
    }
}

/// The addresses of a device, oldest first.
#[derive(Clone, Debug, Default)]
pub(super) struct Addresses(pub(super) ArrayVec<Address, { Device::MAX_IPS }>);

impl Addresses {
    pub(super) fn get(&self, ip: IpAddr) -> Option<&Address> {
        self.0.iter().find(|a| a.ip == ip)
    }

    pub(super) fn get_mut(&mut self, ip: IpAddr) -> Option<&mut Address> {
        self.0.iter_mut().find(|a| a.ip == ip)
    }

    /// Notes an address that is not there, by the policy of [`Device::ips`]. Gives the one whose place it took.
    pub(super) fn add(&mut self, new: Address) -> Result<Option<IpAddr>, ListFull> {
        let mut replaced = None;
        if self.0.is_full() {
            let at = self.replaceable(&new).ok_or(ListFull)?;
            replaced = self.0.pop_at(at).map(|a| a.ip);
        }
        self.0.try_push(new).map_err(|_| ListFull)?;
        Ok(replaced)
    }

    pub(super) fn remove(&mut self, ip: IpAddr) {
        self.0.retain(|a| a.ip != ip);
    }

    fn replaceable(&self, new: &Address) -> Option<usize> {
        let temporary = |a: &Address| address::is_temporary(a.ip);
        let longest_unused = |weak_only: bool| {
            let at = self.0.iter().enumerate().filter(|(_, a)| !weak_only || !a.claim.is_strong());
            at.min_by_key(|(_, a)| a.used).map(|(at, _)| at)
        };
        let oldest = temporary(new).then(|| self.0.iter().position(temporary)).flatten();
        oldest.or_else(|| longest_unused(true)).or_else(|| longest_unused(!new.claim.is_strong()))
    }
}

/// The list is full of better ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ListFull;

#[cfg(test)]
mod tests {
    use super::*;

    fn address(ip: &str, claim: Claim, second: u64) -> Address {
        Address { ip: ip.parse().unwrap(), claim, used: Timestamp::EPOCH + Span::from_secs(second) }
    }

    fn full_of(claim: Claim) -> Addresses {
        let mut list = Addresses::default();
        for i in 0..8 {
            list.add(address(&format!("10.0.0.{i}"), claim, 100 - i)).unwrap();
        }
        list
    }

    #[test]
    fn at_the_limit_the_longest_unused_weak_one_goes() {
        let mut list = full_of(Claim::Source);
        list.get_mut("10.0.0.7".parse().unwrap()).unwrap().claim = Claim::Lease;
        let replaced = list.add(address("10.0.0.9", Claim::Source, 200));
        assert_eq!(replaced, Ok(Some("10.0.0.6".parse().unwrap())));
        assert_eq!(list.0.last().unwrap().ip.to_string(), "10.0.0.9");
    }

    #[test]
    fn a_claimed_one_gives_way_to_claims_only() {
        let mut list = full_of(Claim::Resolution);
        assert_eq!(list.add(address("10.0.0.9", Claim::Source, 200)), Err(ListFull));
        let replaced = list.add(address("10.0.0.9", Claim::Resolution, 200));
        assert_eq!(replaced, Ok(Some("10.0.0.7".parse().unwrap())));
    }

    #[test]
    fn a_temporary_one_takes_the_place_of_the_oldest_such() {
        let mut list = Addresses::default();
        list.add(address("10.0.0.1", Claim::Source, 0)).unwrap();
        for i in 1..8 {
            list.add(address(&format!("2001:db8::abcd:1:2:{i}"), Claim::Resolution, 100 - i)).unwrap();
        }
        let replaced = list.add(address("2001:db8::abcd:1:2:9", Claim::Source, 200));
        assert_eq!(replaced, Ok(Some("2001:db8::abcd:1:2:1".parse().unwrap())));
    }
}
