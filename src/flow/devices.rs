//! [`Devices`]: whose packet is it? Stations of the link by hardware address, hosts behind its routers by private
//! address, and the addresses and names that they have.
//!
//! Attribution follows the hardware address first. A claim on an address (ARP, neighbour discovery, DHCP) decides who
//! is found by it and what a router forwards, but takes no packet from the station that sent it: who claims another's
//! address does not become the other.

use std::net::IpAddr;

use super::device::{Address, Claim};
use super::roster::Roster;
use super::{Config, Device, DeviceId, DeviceKey, KnownDevice, address};
use crate::bounded::{Keyed, Place, Table, Text};
use crate::packet::{Arp, Dhcp, DhcpMessage, Digest, Dns, Hint, IcmpKind, Ip, Mac, Network, Transport};
use crate::time::{Span, Timestamp};

/// The device table, at most [`Config::device_capacity`] devices of two kinds:
///
/// - **Stations**: whoever sends with a unicast hardware address. All its addresses, IPv4 and IPv6, are one device.
/// - **Hosts behind a router**: a private source that a router forwards, and that no station has. It becomes a device
///   with a packet at least [`Devices::APART`] after its first, as long as fewer than [`Devices::CANDIDATES`] other
///   new ones came in between. So a flood of invented sources makes no devices, but hides new hosts while it lasts.
///   External addresses are never devices.
///
/// A station becomes a router when, in an hour, more than 8 unclaimed sources of one family, or more than 3 that
/// cannot be its own, came from it. An unforwarded private source of a router is its own, up to 8 such sources.
///
/// At the capacity the least valuable of the longest silent is put out: for a new station one that was seen for less
/// than [`Devices::APART`] in all, else a host behind a router, else another station; for a new host behind a router
/// never such a station, and these hosts have at most half of the room. So neither a flood of hardware addresses nor
/// one of sources pushes out what has been there.
///
/// Nothing is allocated per packet. Time is that of each packet; a clock that jumps disturbs nothing but the times
/// that are kept.
#[derive(Debug)]
pub struct Devices {
    roster: Roster,
    candidates: Table<Candidate, 1>,
}

/// The devices that a packet is from and for; none where it is no device of this site, or not (yet) known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Parties {
    /// Sender.
    pub source: Option<DeviceId>,
    /// Receiver; none for groups.
    pub destination: Option<DeviceId>,
}

/// Something happened to a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceEvent {
    /// It is new in the table. Not told of restored ones.
    Appeared(DeviceId),
    /// Its name, vendor class, addresses or router flag changed.
    Changed(DeviceId),
}

#[derive(Clone, Copy, Debug)]
struct Candidate {
    ip: IpAddr,
    first: Timestamp,
}

impl Devices {
    /// Time after the first packet with which a device is more than a burst.
    pub const APART: Span = Span::from_secs(1);
    /// New sources behind routers that are remembered until they are devices.
    pub const CANDIDATES: usize = 1_024;

    /// An empty table.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        Self { roster: Roster::new(config), candidates: Table::new(Self::CANDIDATES, config.hash_seed) }
    }

    /// Who sent and who receives this packet. Learns names and addresses on the way, and counts the packet for both.
    pub fn handle(&mut self, digest: &Digest) -> Parties {
        let now = digest.time;
        let station = self.station(digest.source, now);
        self.learn(digest, station);
        let (source, destination) = match &digest.network {
            Network::Ip(ip) => (
                station.and_then(|place| self.sender(place, ip, now)),
                self.receiver(digest.destination, ip.destination),
            ),
            _ => (station, self.roster.find(DeviceKey::Mac(digest.destination))),
        };
        let bytes = u64::from(digest.wire_len);
        Parties {
            source: source.and_then(|place| {
                let device = &mut self.roster.get_mut(place)?.device;
                device.packets_sent += 1;
                device.bytes_sent += bytes;
                self.roster.id(place)
            }),
            destination: destination.and_then(|place| {
                let device = &mut self.roster.get_mut(place)?.device;
                device.packets_received += 1;
                device.bytes_received += bytes;
                self.roster.id(place)
            }),
        }
    }

    /// The next event. Several changes of a device that were not polled in between are one; so at most one event
    /// waits for each device.
    pub fn poll_event(&mut self) -> Option<DeviceEvent> {
        self.roster.poll_event()
    }

    /// A device, as long as it is in the table.
    #[must_use]
    pub fn get(&self, id: DeviceId) -> Option<&Device> {
        Some(&self.roster.by_id(id)?.device)
    }

    /// Who has this address, by the newest claim.
    #[must_use]
    pub fn by_ip(&self, ip: IpAddr) -> Option<DeviceId> {
        self.roster.id(self.roster.owner(ip)?)
    }

    /// The station with this hardware address.
    #[must_use]
    pub fn by_mac(&self, mac: Mac) -> Option<DeviceId> {
        self.roster.id(self.roster.find(DeviceKey::Mac(mac))?)
    }

    /// All devices in the order in which they were first seen. For pages and snapshots: it allocates.
    pub fn iter(&self) -> impl Iterator<Item = (DeviceId, &Device)> {
        let mut all: Vec<_> = self.roster.iter().collect();
        all.sort_by_key(|(id, device)| (device.first_seen, id.generation));
        all.into_iter()
    }

    /// Puts back a device of an earlier run, without an event. One that was seen meanwhile has changed: it gets what
    /// it lacks and the sum of both totals. Nothing happens when there is no room (what is there was seen since), or when the
    /// address of a host behind a router is now that of a station.
    pub fn restore(&mut self, known: &KnownDevice) {
        self.roster.restore(known);
    }

    /// Devices put out of the full table.
    #[must_use]
    pub const fn evicted(&self) -> u64 {
        self.roster.evicted()
    }

    /// Whether this is an address of the site: a device has it, or it is private (RFC 1918, RFC 4193, RFC 6598),
    /// link-local or loopback.
    #[must_use]
    pub fn is_site(&self, ip: IpAddr) -> bool {
        address::is_internal(ip) || self.roster.owner(ip).is_some()
    }
}

/// Attribution.
impl Devices {
    /// The station that sent a frame, made when it is new.
    fn station(&mut self, mac: Mac, now: Timestamp) -> Option<Place> {
        if mac.is_group() || mac.is_zero() {
            return None;
        }
        let key = DeviceKey::Mac(mac);
        match self.roster.find(key) {
            Some(place) => {
                self.roster.seen(place, now);
                Some(place)
            }
            None => self.roster.create(key, now),
        }
    }

    fn sender(&mut self, station: Place, ip: &Ip, now: Timestamp) -> Option<Place> {
        let entry = self.roster.get_mut(station)?;
        if let Some(own) = entry.device.addresses.get_mut(ip.source) {
            own.used = now;
            return Some(station);
        }
        if !address::is_host(ip.source) {
            return Some(station);
        }
        let router = entry.device.router;
        let owner = self.roster.live_owner(ip.source, now);
        if router { self.routed(station, owner, ip, now) } else { self.unrouted(station, owner, ip, now) }
    }

    /// A packet of a station that is not (yet) known to route, with a source that it is not known to have.
    fn unrouted(&mut self, station: Place, owner: Option<Place>, ip: &Ip, now: Timestamp) -> Option<Place> {
        let source = ip.source;
        let initial = address::is_initial(ip.hop_limit);
        let local = address::is_link_local(source);
        let private = address::is_private(source);
        let claimed = owner.is_some_and(|owner| self.roster.has_strong_claim(owner, source));
        let foreign = !initial && !local && (owner.is_some() || !private);
        let forwarding = &mut self.roster.get_mut(station)?.forwarding;
        let mut router = foreign && forwarding.handle_foreign(source, now);
        if !local && !claimed && (initial || private) {
            router |= forwarding.handle_unclaimed(source, ip.hop_limit, now);
        }
        if router {
            self.roster.make_router(station);
            self.routed(station, owner, ip, now)
        } else if foreign {
            None
        } else {
            self.roster.bind(station, Address { ip: source, claim: Claim::Source, used: now });
            Some(station)
        }
    }

    /// A packet of a router, with a source that it is not known to have.
    fn routed(&mut self, station: Place, owner: Option<Place>, ip: &Ip, now: Timestamp) -> Option<Place> {
        let source = ip.source;
        if let Some(owner) = owner {
            return self.forwarded(owner, source, now);
        }
        let local = address::is_link_local(source);
        if !local && !address::is_private(source) {
            return None;
        }
        let entry = self.roster.get_mut(station)?;
        let bridged = entry.forwarding.bridge;
        entry.forwarding.handle_unforwarded(source, ip.hop_limit, now);
        let bridge = entry.forwarding.bridge;
        let room = !entry.device.addresses.0.is_full();
        if bridge && !bridged {
            self.roster.drop_weak(station);
        }
        if !local && (bridge || !address::is_initial(ip.hop_limit)) {
            return self.behind(source, now);
        }
        if room {
            self.roster.bind(station, Address { ip: source, claim: Claim::Source, used: now });
        }
        Some(station)
    }

    /// A router sends with the address of this device. That of a station was counted when the station sent it, or
    /// was never sent by it.
    fn forwarded(&mut self, owner: Place, ip: IpAddr, now: Timestamp) -> Option<Place> {
        let device = &mut self.roster.get_mut(owner)?.device;
        if let DeviceKey::Mac(_) = device.key {
            return None;
        }
        device.addresses.get_mut(ip)?.used = now;
        self.roster.seen(owner, now);
        Some(owner)
    }

    /// A private source behind a router: a device, once it has shown to be more than a burst.
    fn behind(&mut self, ip: IpAddr, now: Timestamp) -> Option<Place> {
        let Some(candidate) = self.candidates.find(&ip) else {
            if self.candidates.is_full() {
                self.candidates.first(0).and_then(|oldest| self.candidates.remove(oldest));
            }
            // Room was made, and the address was looked for.
            let _candidate = self.candidates.insert(0, Candidate { ip, first: now });
            return None;
        };
        let first = self.candidates.get(candidate)?.first;
        if now.since(first) < Self::APART {
            return None;
        }
        self.candidates.remove(candidate);
        let place = self.roster.create(DeviceKey::Ip(ip), first)?;
        self.roster.bind(place, Address { ip, claim: Claim::Source, used: now });
        self.roster.seen(place, now);
        Some(place)
    }

    fn receiver(&self, mac: Mac, ip: IpAddr) -> Option<Place> {
        let station = self.roster.find(DeviceKey::Mac(mac))?;
        let device = &self.roster.get(station)?.device;
        if device.addresses.get(ip).is_some() {
            return Some(station);
        }
        let owner = device.router.then(|| self.roster.owner(ip)).flatten()?;
        matches!(self.roster.get(owner)?.device.key, DeviceKey::Ip(_)).then_some(owner)
    }
}

/// What packets say about addresses and names.
impl Devices {
    fn learn(&mut self, digest: &Digest, station: Option<Place>) {
        let now = digest.time;
        match &digest.network {
            Network::Arp(Arp { sender_mac, sender_ip, .. }) => {
                self.claimed(*sender_mac, IpAddr::V4(*sender_ip), Claim::Resolution, now);
            }
            // A hop limit of 255 proves that it comes from this link (RFC 4861, section 7.1).
            Network::Ip(Ip { source, hop_limit: 255, transport: Transport::Icmp(icmp), .. }) => {
                match icmp.kind {
                    IcmpKind::NeighbourSolicitation { link: Some(mac), .. } => {
                        self.claimed(mac, *source, Claim::Resolution, now);
                    }
                    IcmpKind::NeighbourAdvertisement { target, link: Some(mac) } => {
                        self.claimed(mac, target, Claim::Resolution, now);
                    }
                    _ => {}
                }
            }
            _ => {}
        }
        match (&digest.hint, station) {
            (Hint::Dhcp(dhcp), _) => self.learn_dhcp(digest.source, dhcp, now),
            (Hint::Dns(dns), Some(place)) if dns.multicast && dns.response => {
                self.learn_announcement(place, dns, now);
            }
            _ => {}
        }
    }

    /// Names are taken from the client itself, addresses from the acknowledgement to it.
    fn learn_dhcp(&mut self, from: Mac, dhcp: &Dhcp, now: Timestamp) {
        if let (DhcpMessage::Ack, Some(ip)) = (dhcp.message, dhcp.address) {
            self.claimed(dhcp.client, IpAddr::V4(ip), Claim::Lease, now);
        }
        let client = self.roster.find(DeviceKey::Mac(dhcp.client)).filter(|_| from == dhcp.client);
        if let Some(place) = client {
            self.roster.name(place, clean_name(dhcp.host_name.as_str()), true);
            self.roster.set_vendor_class(place, dhcp.vendor_class);
        }
    }

    /// A router may announce for others (reflectors), so it is not believed.
    fn learn_announcement(&mut self, place: Place, dns: &Dns, now: Timestamp) {
        let Some(ip) = dns.address.filter(|&ip| address::is_host(ip)) else { return };
        if self.roster.get(place).is_none_or(|e| e.device.router) {
            return;
        }
        self.roster.bind(place, Address { ip, claim: Claim::Announcement, used: now });
        let own = self.roster.get(place).is_some_and(|e| e.device.addresses.get(ip).is_some());
        let name = dns.name.as_str();
        if own && without_local(name).len() < name.len() {
            self.roster.name(place, clean_name(name), false);
        }
    }

    /// Only senders are devices: a claim for a station that never sent is nobody's.
    fn claimed(&mut self, mac: Mac, ip: IpAddr, claim: Claim, now: Timestamp) {
        if let Some(place) = self.roster.find(DeviceKey::Mac(mac)).filter(|_| address::is_host(ip)) {
            self.roster.bind(place, Address { ip, claim, used: now });
            self.roster.tidy(place, now);
        }
    }
}

impl Keyed for Candidate {
    type Key = IpAddr;

    fn key(&self) -> IpAddr {
        self.ip
    }
}

/// Lower case, without spaces around it and `.local` behind it.
fn clean_name(raw: &str) -> Text<63> {
    let mut name = Text::EMPTY;
    for byte in without_local(raw.trim()).bytes() {
        name.push_wire(&[byte.to_ascii_lowercase()]);
    }
    name
}

fn without_local(name: &str) -> &str {
    let at = name.len().saturating_sub(".local".len());
    match name.split_at_checked(at) {
        Some((host, suffix)) if suffix.eq_ignore_ascii_case(".local") => host,
        _ => name,
    }
}
