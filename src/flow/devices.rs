//! [`Devices`]: whose packet is it? Stations of the link by hardware address, hosts behind its routers by private
//! address, and the addresses and names that they have.
//!
//! Attribution follows the hardware address first. A claim on an address (ARP, neighbour discovery, DHCP) decides who
//! is found by it and what a router forwards, but takes no packet from the station that sent it: who claims another's
//! address does not become the other.

use std::net::IpAddr;

use super::device::{Address, Claim};
use super::roster::{Roster, Teller};
use super::{Config, Device, DeviceId, DeviceKey, KnownDevice, address};
use crate::bounded::{Keyed, Place, Table, Text};
use crate::packet::{
    Arp, Dhcp, DhcpMessage, Digest, Dns, Hint, IcmpKind, Ip, Mac, NetBios, NetBiosMessage, Network, Ssdp,
    SsdpMessage, Transport,
};
use crate::time::{Span, Timestamp};

/// The device table, at most [`Config::device_capacity`] devices of two kinds:
///
/// - **Stations**: whoever sends with a unicast hardware address. All its addresses, IPv4 and IPv6, are one device.
/// - **Hosts behind a router**: a private source that a router forwards, and that no station has. It becomes a device
///   with a packet at least [`Devices::APART`] after its first, as long as fewer than [`Devices::CANDIDATES`] other
///   new ones came in between. So a flood of invented sources makes no devices, but hides new hosts while it lasts.
///   External addresses are never devices.
///
/// A device is told of once it is proven: with a packet at least [`Devices::APART`] after its first, or, a station,
/// when it asks for an address or gets one by DHCP (REQUEST, ACK). What is learned of it before is there by then. A
/// station of one burst is in the table and packets are attributed to it, but nobody is told, so that a flood of
/// invented hardware addresses is no crowd of new devices; [`Devices::unproven`] counts them.
///
/// A station becomes a router when, in an hour, more than 8 unclaimed sources of one family, or more than 3 that
/// cannot be its own, came from it. An unforwarded private source of a router is its own, up to 8 such sources.
///
/// At the capacity the least valuable of the longest silent is put out: for a new station one that was seen for less
/// than [`Devices::APART`] in all, else a host behind a router, else another station; for a new host behind a router
/// never such a station, and these hosts have at most half of the room. So neither a flood of hardware addresses nor
/// one of sources pushes out what has been there.
///
/// A packet in a tunnel between stations of this link is traffic of these stations; what it says of addresses and names
/// is not about them, and is not learned. Where a tunnel carries whole frames, the stations are those of the frames.
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
    /// It is new and proven. Not told of restored ones.
    Appeared(DeviceId),
    /// Its name, vendor class, addresses or router flag changed. Not told before it has appeared.
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
        let carried = digest.is_carried();
        if !carried {
            self.learn(digest, station);
        }
        let (source, destination) = match &digest.network {
            Network::Ip(ip) if !carried => (
                station.and_then(|place| self.sender(place, ip, now)),
                self.receiver(digest.destination, ip.destination),
            ),
            _ => (station, self.roster.find(DeviceKey::Mac(digest.destination))),
        };
        let bytes = u64::from(digest.wire_len);
        Parties {
            source: source.and_then(|place| {
                let device = &mut self.roster.get_mut(place)?.device;
                device.packets_sent = device.packets_sent.saturating_add(1);
                device.bytes_sent = device.bytes_sent.saturating_add(bytes);
                self.roster.id(place)
            }),
            destination: destination.and_then(|place| {
                let device = &mut self.roster.get_mut(place)?.device;
                device.packets_received = device.packets_received.saturating_add(1);
                device.bytes_received = device.bytes_received.saturating_add(bytes);
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

    /// Puts back a device of an earlier run. It counts as proven and is not new: [`DeviceEvent::Appeared`] is not told
    /// of it, neither now nor when it is seen again, unless that was due already. One that was seen meanwhile has
    /// changed: it gets what it lacks and the sum of both totals, which stay at the highest number instead of going
    /// beyond. Nothing happens when there is no room (what is there was seen since), or when the address of a host
    /// behind a router is now that of a station.
    pub fn restore(&mut self, known: &KnownDevice) {
        self.roster.restore(known);
    }

    /// Devices put out of the full table.
    #[must_use]
    pub const fn evicted(&self) -> u64 {
        self.roster.evicted()
    }

    /// Devices that came and were not proven: those that wait for it, and those put out before. It falls when one is
    /// proven; a high number says that hardware addresses were invented.
    #[must_use]
    pub const fn unproven(&self) -> u64 {
        self.roster.unproven()
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
            let paused = now.since(own.used) >= Self::APART;
            own.used = now;
            if paused {
                self.roster.adopt(station, ip.source);
            }
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
        let first = &mut self.candidates.get_mut(candidate)?.first;
        // The clock may have gone back.
        *first = now.min(*first);
        let first = *first;
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
            (Hint::NetBios(packet), Some(place)) => self.learn_netbios(place, packet, digest),
            (Hint::Ssdp(ssdp), Some(place)) => self.learn_ssdp(place, ssdp, digest),
            _ => {}
        }
    }

    /// Names are taken from the client itself, addresses from the acknowledgement to it. Both its request and the
    /// acknowledgement by another prove it.
    fn learn_dhcp(&mut self, from: Mac, dhcp: &Dhcp, now: Timestamp) {
        let proves = match dhcp.message {
            DhcpMessage::Request => from == dhcp.client,
            DhcpMessage::Ack => from != dhcp.client,
            _ => false,
        };
        if let Some(place) = self.roster.find(DeviceKey::Mac(dhcp.client)).filter(|_| proves) {
            self.roster.prove(place);
        }
        if let (DhcpMessage::Ack, Some(ip)) = (dhcp.message, dhcp.address) {
            self.claimed(dhcp.client, IpAddr::V4(ip), Claim::Lease, now);
        }
        let client = self.roster.find(DeviceKey::Mac(dhcp.client)).filter(|_| from == dhcp.client);
        if let Some(place) = client {
            self.roster.name(place, clean_name(dhcp.host_name.as_str()), Teller::Dhcp);
            self.roster.set_vendor_class(place, dhcp.vendor_class, Teller::Dhcp);
        }
    }

    /// A router may announce for others (reflectors), so it is not believed.
    fn learn_announcement(&mut self, place: Place, dns: &Dns, now: Timestamp) {
        let Some(ip) = dns.address.filter(|&ip| address::is_host(ip)) else { return };
        let name = dns.name.as_str();
        if self.announced(place, ip, now) && without_local(name).len() < name.len() {
            self.roster.name(place, clean_name(name), Teller::Mdns);
        }
    }

    /// Whether an address that a station announced is its own.
    fn announced(&mut self, place: Place, ip: IpAddr, now: Timestamp) -> bool {
        if self.roster.get(place).is_none_or(|e| e.device.router) {
            return false;
        }
        self.roster.bind(place, Address { ip, claim: Claim::Announcement, used: now });
        self.has(place, ip)
    }

    fn has(&self, place: Place, ip: IpAddr) -> bool {
        self.roster.get(place).is_some_and(|e| e.device.addresses.get(ip).is_some())
    }

    /// The owner of a name claims it, or says that it has it, from the address that the name belongs to. The suffix is
    /// that of a computer or of its files (RFC 1001 does not say; all implementations agree).
    fn learn_netbios(&mut self, place: Place, packet: &NetBios, digest: &Digest) {
        let Network::Ip(Ip { source, .. }) = digest.network else { return };
        let owns = matches!(packet.message, NetBiosMessage::Registration | NetBiosMessage::Response)
            && !packet.group
            && matches!(packet.suffix, 0x00 | 0x20)
            && packet.address == Some(source)
            && address::is_host(source);
        if owns && self.announced(place, source, digest.time) {
            self.roster.name(place, clean_name(packet.name.as_str()), Teller::NetBios);
        }
    }

    /// What a station says that it runs, in its own announcements and answers.
    fn learn_ssdp(&mut self, place: Place, ssdp: &Ssdp, digest: &Digest) {
        let Network::Ip(Ip { source, .. }) = digest.network else { return };
        let tells = matches!(ssdp.message, SsdpMessage::Alive | SsdpMessage::Answer);
        let own = self.roster.get(place).is_some_and(|e| !e.device.router) && self.has(place, source);
        if tells && own {
            let class = Text::from_wire(ssdp.server.as_str().as_bytes());
            self.roster.set_vendor_class(place, class, Teller::Ssdp);
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

#[cfg(test)]
mod tests {
    use super::super::traffic::{announcement, arp, at, datagram, dhcp, frame, icmp, ip, mac};
    use super::*;
    use proptest::prelude::*;

    const NOBODY: &str = "10.0.0.200";

    fn devices() -> Devices {
        Devices::new(&Config { device_capacity: 16, ..Config::default() })
    }

    fn drain(devices: &mut Devices) -> Vec<DeviceEvent> {
        std::iter::from_fn(|| devices.poll_event()).collect()
    }

    /// Sends a packet to nobody known. Gives the key of the device it is from.
    fn send(devices: &mut Devices, millis: u64, from: (Mac, &str), hop_limit: u8) -> Option<DeviceKey> {
        let parties = devices.handle(&datagram(millis, from, (mac(99), NOBODY), hop_limit));
        Some(devices.get(parties.source?).unwrap().key)
    }

    fn receiver(devices: &mut Devices, to: (Mac, &str)) -> Option<DeviceKey> {
        let parties = devices.handle(&datagram(0, (mac(98), "10.0.0.98"), to, 64));
        Some(devices.get(parties.destination?).unwrap().key)
    }

    fn ips(devices: &Devices, mac: Mac) -> Vec<String> {
        let device = devices.get(devices.by_mac(mac).unwrap()).unwrap();
        device.ips().map(|ip| ip.to_string()).collect()
    }

    fn station(number: u32) -> Option<DeviceKey> {
        Some(DeviceKey::Mac(mac(number)))
    }

    /// Packets from outside of the site that a router forwards.
    fn make_router(devices: &mut Devices, number: u32) {
        for host in ["192.0.2.1", "192.0.2.2", "2001:db8:1::3", "192.0.2.4"] {
            assert_eq!(send(devices, 0, (mac(number), host), 57), None, "external");
        }
        assert!(devices.get(devices.by_mac(mac(number)).unwrap()).unwrap().router);
    }

    #[test]
    fn a_station_is_one_device_with_all_its_addresses() {
        let mut d = devices();
        let parties = d.handle(&arp(0, mac(1), "10.0.0.1"));
        let id = parties.source.unwrap();
        assert_eq!(parties.destination, None);
        send(&mut d, 1_000, (mac(1), "10.0.0.1"), 64);
        assert_eq!(drain(&mut d), [DeviceEvent::Appeared(id)]);
        send(&mut d, 1_001, (mac(1), "fe80::1"), 255);
        send(&mut d, 1_002, (mac(1), "2001:db8::1"), 64);
        assert_eq!(drain(&mut d), [DeviceEvent::Changed(id)], "several changes are told once");
        assert_eq!(ips(&d, mac(1)), ["10.0.0.1", "fe80::1", "2001:db8::1"]);
        assert_eq!(d.by_ip(ip("2001:db8::1")), Some(id));
        assert_eq!(receiver(&mut d, (mac(1), "fe80::1")), station(1));
        let device = d.get(id).unwrap();
        assert_eq!((device.packets_sent, device.packets_received, device.bytes_sent), (4, 1, 240));
        assert_eq!((device.first_seen, device.last_seen, device.mac()), (at(0), at(1_002), Some(mac(1))));
    }

    #[test]
    fn a_station_is_told_of_once_it_is_more_than_a_burst() {
        let mut d = devices();
        let id = d.handle(&announcement(0, (mac(1), "10.0.0.1"), "tv.local", "10.0.0.1")).source.unwrap();
        make_router(&mut d, 1);
        assert_eq!(send(&mut d, 999, (mac(1), "10.0.0.1"), 64), station(1), "though packets are its own");
        assert_eq!((drain(&mut d), d.unproven()), (vec![], 1));
        assert!(!d.get(id).unwrap().proven);
        send(&mut d, 1_000, (mac(1), "10.0.0.1"), 64);
        assert_eq!((drain(&mut d), d.unproven()), (vec![DeviceEvent::Appeared(id)], 0));
        let device = d.get(id).unwrap();
        assert!(
            device.proven && device.router && device.name.as_str() == "tv",
            "all that was learned is there"
        );
        send(&mut d, 3_000, (mac(1), "10.0.0.1"), 64);
        assert_eq!(drain(&mut d), []);
    }

    #[test]
    fn a_station_that_asks_for_an_address_is_told_of() {
        let mut d = devices();
        let appeared = |d: &mut Devices, digest: &Digest| {
            d.handle(digest);
            drain(d)
        };
        let told = |d: &Devices, number| vec![DeviceEvent::Appeared(d.by_mac(mac(number)).unwrap())];
        let message = |from, message, client, address| dhcp(0, mac(from), message, mac(client), address);
        let none = "0.0.0.0";
        assert_eq!(appeared(&mut d, &message(1, DhcpMessage::Discover, 1, none)), []);
        assert_eq!(appeared(&mut d, &message(9, DhcpMessage::Offer, 1, "10.0.0.1")), []);
        assert_eq!(appeared(&mut d, &message(8, DhcpMessage::Request, 1, none)), [], "another asks");
        assert_eq!(appeared(&mut d, &message(1, DhcpMessage::Ack, 1, "10.0.0.1")), [], "it answers itself");
        let news = appeared(&mut d, &message(9, DhcpMessage::Ack, 1, "10.0.0.1"));
        assert_eq!(news, told(&d, 1));
        let device = d.get(d.by_mac(mac(1)).unwrap()).unwrap();
        assert_eq!((device.name.as_str(), device.ips().count()), ("kitchen-tv", 1));
        let news = appeared(&mut d, &message(2, DhcpMessage::Request, 2, none));
        assert_eq!(news, told(&d, 2));
        assert_eq!(d.unproven(), 2, "the server, and who asked for another");
    }

    #[test]
    fn a_clock_that_goes_back_hides_nobody() {
        let mut d = devices();
        make_router(&mut d, 9);
        let all = |d: &mut Devices, millis| {
            send(d, millis, (mac(1), "10.0.0.1"), 64);
            send(d, millis, (mac(9), "10.7.0.1"), 63);
            drain(d).len()
        };
        assert_eq!([7_200_000, 1_000, 1_999].map(|millis| all(&mut d, millis)), [1, 0, 0], "the router only");
        assert_eq!(all(&mut d, 2_000), 2);
    }

    #[test]
    fn invented_stations_are_no_crowd() {
        let mut d = devices();
        for millis in [0, 1_500] {
            for i in 1..4 {
                send(&mut d, millis, (mac(i), &format!("10.0.0.{i}")), 64);
            }
        }
        assert_eq!(drain(&mut d).len(), 3);
        for i in 0..20_000_u32 {
            let now = 2_000 + u64::from(i) / 2;
            assert_eq!(send(&mut d, now, (mac(1_000 + i), "10.0.0.77"), 64), station(1_000 + i));
            assert_eq!(drain(&mut d), []);
        }
        assert_eq!((d.unproven(), d.evicted()), (20_000, 20_000 - 13));
        // A new device among them is told of as soon as it stays, if it is not put out in between.
        for millis in [13_000, 14_000] {
            send(&mut d, millis, (mac(4), "10.0.0.4"), 64);
        }
        assert_eq!(drain(&mut d), [DeviceEvent::Appeared(d.by_mac(mac(4)).unwrap())]);
        // Invented requests are told of, but push out nobody who stays.
        for i in 0..100 {
            d.handle(&dhcp(15_000, mac(90_000 + i), DhcpMessage::Request, mac(90_000 + i), "0.0.0.0"));
        }
        assert!((1..5).all(|i| d.by_mac(mac(i)).is_some()));
    }

    #[test]
    fn only_unicast_senders_are_devices() {
        let mut d = devices();
        for source in [Mac::BROADCAST, Mac([1, 0, 0x5e, 0, 0, 1]), Mac::default()] {
            assert_eq!(send(&mut d, 0, (source, "10.0.0.1"), 64), None);
        }
        assert_eq!(receiver(&mut d, (mac(2), "10.0.0.2")), None, "never sent");
        assert_eq!(d.iter().count(), 1, "the sender of the last packet");
        let other = d.handle(&frame(0, (mac(3), mac(98)), Network::Other));
        assert_eq!((other.source, other.destination), (d.by_mac(mac(3)), d.by_mac(mac(98))));
    }

    #[test]
    fn probes_and_groups_are_no_addresses() {
        let mut d = devices();
        d.handle(&arp(0, mac(1), "0.0.0.0"));
        for source in ["0.0.0.0", "::", "127.0.0.1", "255.255.255.255", "ff02::1", "224.0.0.1"] {
            assert_eq!(send(&mut d, 0, (mac(1), source), 255), station(1), "{source}");
        }
        assert_eq!(ips(&d, mac(1)), [""; 0]);
    }

    #[test]
    fn neighbour_discovery_counts_on_the_link_only() {
        let mut d = devices();
        d.handle(&arp(0, mac(1), "10.0.0.1"));
        let advertise = |d: &mut Devices, target, hop_limit| {
            let kind = IcmpKind::NeighbourAdvertisement { target: ip(target), link: Some(mac(1)) };
            let transport = icmp(kind);
            let network =
                Network::Ip(Ip { source: ip("::"), destination: ip("ff02::1"), hop_limit, transport });
            d.handle(&frame(0, (mac(1), Mac([0x33, 0x33, 0, 0, 0, 1])), network));
        };
        advertise(&mut d, "2001:db8::7", 255);
        advertise(&mut d, "2001:db8::8", 254);
        assert_eq!(ips(&d, mac(1)), ["10.0.0.1", "2001:db8::7"]);
    }

    #[test]
    fn names_come_from_the_device_itself() {
        let mut d = devices();
        send(&mut d, 0, (mac(1), "10.0.0.1"), 64);
        let name = |d: &Devices| d.get(d.by_mac(mac(1)).unwrap()).unwrap().name.to_string();
        d.handle(&announcement(0, (mac(1), "10.0.0.1"), "TV-2.local", "10.0.0.1"));
        assert_eq!(name(&d), "tv-2");
        d.handle(&announcement(0, (mac(1), "10.0.0.1"), "www.example.org", "10.0.0.1"));
        assert_eq!(name(&d), "tv-2", "not of this link");
        send(&mut d, 0, (mac(5), "10.0.0.5"), 64);
        d.handle(&announcement(0, (mac(1), "10.0.0.1"), "other.local", "10.0.0.5"));
        assert_eq!(name(&d), "tv-2", "the address of another");
        d.handle(&dhcp(0, mac(5), DhcpMessage::Request, mac(1), "0.0.0.0"));
        assert_eq!(name(&d), "tv-2", "another speaks for it");
        d.handle(&dhcp(0, mac(1), DhcpMessage::Request, mac(1), "0.0.0.0"));
        d.handle(&announcement(0, (mac(1), "10.0.0.1"), "tv-3.local", "10.0.0.1"));
        assert_eq!(name(&d), "kitchen-tv", "DHCP beats mDNS");
        assert_eq!(d.get(d.by_mac(mac(1)).unwrap()).unwrap().vendor_class.as_str(), "udhcp 1.3");
    }

    /// A NetBIOS registration or response.
    fn netbios(from: (Mac, &str), message: NetBiosMessage, suffix: u8, address: &str) -> Digest {
        let name = Text::from_wire(b"OFFICE-PC");
        let hint = Hint::NetBios(NetBios { message, name, suffix, group: false, address: Some(ip(address)) });
        Digest { hint, ..datagram(0, from, (Mac::BROADCAST, "10.0.0.255"), 64) }
    }

    fn ssdp(from: (Mac, &str), message: SsdpMessage, server: &str) -> Digest {
        let target = Text::from_wire(b"upnp:rootdevice");
        let hint = Hint::Ssdp(Ssdp { message, target, server: Text::from_wire(server.as_bytes()) });
        Digest { hint, ..datagram(0, from, (Mac([1, 0, 0x5e, 0x7f, 0xff, 0xfa]), "239.255.255.250"), 4) }
    }

    fn told(d: &Devices, number: u32) -> (String, String) {
        let device = d.get(d.by_mac(mac(number)).unwrap()).unwrap();
        (device.name.to_string(), device.vendor_class.to_string())
    }

    #[test]
    fn a_netbios_name_is_that_of_who_claims_it_for_itself() {
        let mut d = devices();
        let one = (mac(1), "10.0.0.1");
        send(&mut d, 0, (mac(5), "10.0.0.5"), 64);
        for (message, suffix, address) in [
            (NetBiosMessage::Registration, 0x20, "10.0.0.5"),
            (NetBiosMessage::Registration, 0x1d, "10.0.0.1"),
            (NetBiosMessage::Query, 0x20, "10.0.0.1"),
            (NetBiosMessage::Refusal, 0x20, "10.0.0.1"),
        ] {
            d.handle(&netbios(one, message, suffix, address));
            assert_eq!(told(&d, 1).0, "", "{message:?} {suffix} {address}");
        }
        d.handle(&netbios(one, NetBiosMessage::Response, 0x20, "10.0.0.1"));
        assert_eq!(told(&d, 1).0, "office-pc");
        let stolen = (mac(1), "10.0.0.5");
        d.handle(&netbios(stolen, NetBiosMessage::Registration, 0, "10.0.0.5"));
        assert_eq!((told(&d, 5).0, ips(&d, mac(1))), (String::new(), vec!["10.0.0.1".to_owned()]));
        d.handle(&announcement(0, one, "pc.local", "10.0.0.1"));
        d.handle(&netbios(one, NetBiosMessage::Registration, 0, "10.0.0.1"));
        assert_eq!(told(&d, 1).0, "pc", "mDNS beats NetBIOS");
    }

    #[test]
    fn a_server_text_is_a_vendor_class_where_there_is_no_better() {
        let mut d = devices();
        let one = (mac(1), "10.0.0.1");
        send(&mut d, 0, one, 64);
        send(&mut d, 0, (mac(5), "10.0.0.5"), 64);
        d.handle(&ssdp(one, SsdpMessage::Search, "a browser"));
        d.handle(&ssdp((mac(1), "10.0.0.5"), SsdpMessage::Alive, "another's"));
        assert_eq!([told(&d, 1).1, told(&d, 5).1], ["", ""]);
        d.handle(&ssdp(one, SsdpMessage::Answer, "Linux UPnP/1.0 TV/2"));
        assert_eq!(told(&d, 1).1, "Linux UPnP/1.0 TV/2");
        d.handle(&dhcp(0, mac(1), DhcpMessage::Request, mac(1), "0.0.0.0"));
        d.handle(&ssdp(one, SsdpMessage::Alive, "Linux UPnP/1.0 TV/3"));
        assert_eq!(told(&d, 1).1, "udhcp 1.3");
        make_router(&mut d, 9);
        send(&mut d, 0, (mac(9), "10.0.0.9"), 64);
        d.handle(&ssdp((mac(9), "10.0.0.9"), SsdpMessage::Alive, "reflected"));
        assert_eq!(told(&d, 9).1, "", "a router may speak for others");
    }

    #[test]
    fn a_lease_moves_an_address() {
        let mut d = devices();
        send(&mut d, 0, (mac(1), "10.0.0.5"), 64);
        d.handle(&dhcp(1, mac(2), DhcpMessage::Discover, mac(2), "0.0.0.0"));
        d.handle(&dhcp(2, mac(9), DhcpMessage::Offer, mac(2), "10.0.0.5"));
        assert_eq!(d.by_ip(ip("10.0.0.5")), d.by_mac(mac(1)), "an offer is no lease");
        d.handle(&dhcp(3, mac(9), DhcpMessage::Ack, mac(2), "10.0.0.5"));
        assert_eq!(d.by_ip(ip("10.0.0.5")), d.by_mac(mac(2)));
        assert_eq!(ips(&d, mac(1)), [""; 0]);
    }

    #[test]
    fn who_claims_another_address_does_not_become_the_other() {
        let mut d = devices();
        for millis in [0, 1_000] {
            d.handle(&arp(millis, mac(1), "10.0.0.1"));
            d.handle(&arp(millis, mac(2), "10.0.0.2"));
        }
        d.handle(&arp(1_001, mac(2), "10.0.0.1"));
        assert_eq!(d.by_ip(ip("10.0.0.1")), d.by_mac(mac(2)), "the newest claim");
        assert_eq!(drain(&mut d).len(), 2);
        assert_eq!(send(&mut d, 1_002, (mac(1), "10.0.0.1"), 64), station(1));
        assert_eq!(send(&mut d, 1_002, (mac(2), "10.0.0.1"), 64), station(2));
        assert_eq!(receiver(&mut d, (mac(1), "10.0.0.1")), station(1));
        d.handle(&arp(1_003, mac(1), "10.0.0.1"));
        assert_eq!(d.by_ip(ip("10.0.0.1")), d.by_mac(mac(1)));
        assert_eq!(drain(&mut d), [], "claims that change hands are no changes of devices");
        // Long after, whoever stopped using it has lost it.
        for millis in [400_000, 400_001] {
            d.handle(&arp(millis, mac(1), "10.0.0.1"));
            d.handle(&arp(millis, mac(2), "10.0.0.2"));
        }
        assert_eq!((ips(&d, mac(1)), ips(&d, mac(2))), (vec!["10.0.0.1".into()], vec!["10.0.0.2".into()]));
    }

    #[test]
    fn an_address_is_found_again_when_the_other_is_gone() {
        let mut d = Devices::new(&Config { device_capacity: 2, ..Config::default() });
        for millis in [0, 1_000] {
            d.handle(&arp(millis, mac(1), "10.0.0.1"));
        }
        d.handle(&arp(1_000, mac(2), "10.0.0.1"));
        send(&mut d, 1_000, (mac(3), "10.0.0.3"), 64);
        assert_eq!((d.by_mac(mac(2)), d.by_ip(ip("10.0.0.1"))), (None, None));
        send(&mut d, 2_000, (mac(1), "10.0.0.1"), 64);
        assert_eq!(d.by_ip(ip("10.0.0.1")), d.by_mac(mac(1)));
    }

    #[test]
    fn a_source_takes_no_address_from_who_uses_it() {
        let mut d = devices();
        send(&mut d, 0, (mac(1), "10.0.0.1"), 64);
        assert_eq!(send(&mut d, 1, (mac(2), "10.0.0.1"), 64), station(2), "the hardware address first");
        assert_eq!(d.by_ip(ip("10.0.0.1")), d.by_mac(mac(1)));
        send(&mut d, 300_001, (mac(2), "10.0.0.1"), 64);
        assert_eq!(d.by_ip(ip("10.0.0.1")), d.by_mac(mac(2)), "it moved unseen");
        assert_eq!(ips(&d, mac(1)), [""; 0]);
    }

    #[test]
    fn external_sources_make_a_router_and_no_devices() {
        let mut d = devices();
        send(&mut d, 0, (mac(1), "10.0.0.1"), 64);
        d.handle(&arp(0, mac(1), "10.0.0.254"));
        make_router(&mut d, 1);
        assert_eq!(ips(&d, mac(1)), ["10.0.0.254"], "what it did not claim may be of others");
        assert_eq!(d.iter().count(), 1);
        assert_eq!(send(&mut d, 1, (mac(1), "10.0.0.254"), 64), station(1));
        assert_eq!(send(&mut d, 1, (mac(1), "10.0.1.254"), 64), station(1), "unforwarded, so its own");
        assert_eq!(send(&mut d, 1, (mac(1), "192.0.2.9"), 64), None);
        assert_eq!(receiver(&mut d, (mac(1), "192.0.2.9")), None);
        assert_eq!(receiver(&mut d, (mac(1), "10.0.0.254")), station(1));
        assert!(d.is_site(ip("10.9.9.9")) && !d.is_site(ip("192.0.2.1")));
    }

    #[test]
    fn private_hosts_behind_a_router_are_devices_once_they_stay() {
        let mut d = devices();
        make_router(&mut d, 1);
        let host = (mac(1), "10.7.0.1");
        assert_eq!(send(&mut d, 0, host, 63), None);
        assert_eq!(send(&mut d, 999, host, 63), None, "a burst");
        drain(&mut d);
        let key = Some(DeviceKey::Ip(ip("10.7.0.1")));
        assert_eq!(send(&mut d, 1_000, host, 63), key);
        let new = [d.by_mac(mac(1)), d.by_ip(ip("10.7.0.1"))];
        assert_eq!(
            drain(&mut d),
            new.map(|id| DeviceEvent::Appeared(id.unwrap())),
            "the router has stayed, too"
        );
        assert_eq!(receiver(&mut d, host), key);
        let device = d.get(d.by_ip(ip("10.7.0.1")).unwrap()).unwrap();
        assert_eq!((device.mac(), device.first_seen, device.packets_sent), (None, at(0), 1));
        // Met on the link, it is one with the station.
        d.handle(&arp(2_000, mac(7), "10.7.0.1"));
        assert_eq!(d.by_ip(ip("10.7.0.1")), d.by_mac(mac(7)));
        assert_eq!(d.get(d.by_mac(mac(7)).unwrap()).unwrap().packets_sent, 2);
        assert_eq!(d.iter().filter(|(_, device)| device.mac().is_none()).count(), 0);
    }

    #[test]
    fn many_unclaimed_sources_make_a_router() {
        let mut d = devices();
        d.handle(&arp(0, mac(1), "10.7.0.99"));
        for host in 0..8 {
            assert_eq!(send(&mut d, 0, (mac(1), &format!("10.7.0.{host}")), 63), station(1));
        }
        assert_eq!(send(&mut d, 0, (mac(1), "10.7.0.8"), 63), None);
        assert_eq!(ips(&d, mac(1)), ["10.7.0.99"]);
        // But not when they come slowly, as temporary addresses do.
        for hour in 0..40 {
            let source = format!("2001:db8::1234:5678:9abc:{hour}");
            assert_eq!(send(&mut d, hour * 3_600_000, (mac(2), &source), 64), station(2));
        }
        assert!(!d.get(d.by_mac(mac(2)).unwrap()).unwrap().router);
    }

    #[test]
    fn a_bridge_that_hides_its_stations_is_told_from_a_router() {
        let mut d = devices();
        let host = |i: u32| format!("10.7.0.{i}");
        for second in 0..2 {
            for i in 0..12 {
                send(&mut d, second * 1_000, (mac(1), &host(i)), 64);
            }
        }
        assert_eq!(send(&mut d, 2_000, (mac(1), &host(11)), 64), Some(DeviceKey::Ip(ip(&host(11)))));
    }

    #[test]
    fn a_routed_copy_is_not_counted_twice() {
        let mut d = devices();
        d.handle(&arp(0, mac(2), "10.1.0.2"));
        d.handle(&arp(0, mac(3), "10.2.0.3"));
        // A tap on a trunk sees both legs: the station to the router, the router to the other station.
        for router in [false, true] {
            if router {
                make_router(&mut d, 1);
            }
            let first = d.handle(&datagram(1, (mac(2), "10.1.0.2"), (mac(1), "10.2.0.3"), 64));
            let second = d.handle(&datagram(1, (mac(1), "10.1.0.2"), (mac(3), "10.2.0.3"), 63));
            assert_eq!((first.source, first.destination), (d.by_mac(mac(2)), None));
            assert_eq!((second.source, second.destination), (None, d.by_mac(mac(3))));
        }
    }

    #[test]
    fn floods_push_out_nobody() {
        let mut d = devices();
        for millis in [0, 1_500] {
            for i in 1..4 {
                send(&mut d, millis, (mac(i), &format!("10.0.0.{i}")), 64);
            }
        }
        make_router(&mut d, 9);
        let here = |d: &Devices| (1..4).all(|i| d.by_mac(mac(i)).is_some());
        for i in 0..20_000_u32 {
            let [_, _, a, b] = i.to_be_bytes();
            send(&mut d, 1_500, (mac(9), &format!("10.99.{a}.{b}")), 63);
        }
        assert_eq!((d.iter().count(), d.evicted()), (4, 0), "invented sources are no devices");
        // Even those that come back later have only half of the room.
        for millis in [3_000, 5_000] {
            for i in 0..100 {
                send(&mut d, millis, (mac(9), &format!("10.99.0.{i}")), 63);
            }
        }
        assert_eq!(d.iter().filter(|(_, device)| device.mac().is_none()).count(), 8);
        assert!(here(&d));
        for i in 1_000..2_000 {
            send(&mut d, 6_000, (mac(i), "10.0.0.77"), 64);
            while d.poll_event().is_some() {}
        }
        assert!(here(&d) && d.iter().count() == 16, "invented stations push out each other");
    }

    #[test]
    fn events_that_nobody_polls_stay_few() {
        let mut d = devices();
        for i in 0..1_000 {
            for pause in [0, 1_000] {
                send(&mut d, u64::from(i) * 2_000 + pause, (mac(i), "10.0.0.1"), 64);
            }
        }
        let told = drain(&mut d);
        assert!(told.len() <= 16, "{}", told.len());
        assert!(told.iter().all(|e| matches!(e, DeviceEvent::Appeared(id) if d.get(*id).is_some())));
        assert!(told.contains(&DeviceEvent::Appeared(d.by_mac(mac(999)).unwrap())));
    }

    #[test]
    fn a_place_taken_anew_has_another_id() {
        let mut d = Devices::new(&Config { device_capacity: 2, ..Config::default() });
        for i in 1..4 {
            send(&mut d, 0, (mac(i), &format!("10.0.0.{i}")), 64);
        }
        assert_eq!((d.by_mac(mac(1)), d.evicted()), (None, 1));
        assert_eq!(d.by_ip(ip("10.0.0.1")), None);
        let new = d.by_mac(mac(3)).unwrap();
        assert!(d.get(DeviceId { generation: 1, ..new }).is_none() && d.get(new).is_some());
    }

    #[test]
    fn what_was_known_comes_back() {
        let mut d = devices();
        send(&mut d, 0, (mac(1), "10.0.0.1"), 64);
        d.handle(&dhcp(10, mac(1), DhcpMessage::Request, mac(1), "0.0.0.0"));
        make_router(&mut d, 9);
        for millis in [0, 2_000] {
            send(&mut d, millis, (mac(9), "10.7.0.1"), 63);
        }
        let known: Vec<_> = d.iter().map(|(_, device)| device.known()).collect();
        assert_eq!(known.len(), 3);

        let mut next = devices();
        send(&mut next, 5_000, (mac(1), "10.0.0.1"), 64);
        drain(&mut next);
        for device in &known {
            next.restore(device);
        }
        let seen = DeviceEvent::Changed(next.by_mac(mac(1)).unwrap());
        assert_eq!(drain(&mut next), [seen], "only of the one seen meanwhile");
        assert!(next.unproven() == 0 && next.iter().all(|(_, device)| device.proven), "none is new");
        let mut back: Vec<_> = next.iter().map(|(_, device)| device.known()).collect();
        let first = back.iter_mut().find(|k| k.key == known[0].key).unwrap();
        assert_eq!((first.packets_sent, first.last_seen), (3, at(5_000)));
        (first.packets_sent, first.bytes_sent, first.last_seen) =
            (known[0].packets_sent, known[0].bytes_sent, known[0].last_seen);
        back.sort_by_key(|k| k.key);
        let mut known = known;
        known.sort_by_key(|k| k.key);
        assert_eq!(back, known);
        assert_eq!(send(&mut next, 6_000, (mac(9), "10.7.0.1"), 63), Some(DeviceKey::Ip(ip("10.7.0.1"))));
    }

    #[test]
    fn a_damaged_record_does_no_harm() {
        let mut d = devices();
        let id = d.handle(&datagram(0, (mac(1), "10.0.0.1"), (mac(2), NOBODY), 64)).source.unwrap();
        d.handle(&datagram(0, (mac(2), NOBODY), (mac(1), "10.0.0.1"), 64));
        let damaged = KnownDevice {
            packets_sent: u64::MAX,
            bytes_sent: u64::MAX,
            packets_received: u64::MAX,
            bytes_received: u64::MAX,
            first_seen: Timestamp::from_nanos(i64::MIN),
            last_seen: Timestamp::from_nanos(i64::MAX),
            ..d.get(id).unwrap().known()
        };
        d.restore(&damaged);
        // A host behind a router that is then met on the link, too.
        make_router(&mut d, 9);
        let host = DeviceKey::Ip(ip("10.7.0.1"));
        d.restore(&KnownDevice { key: host, ips: vec![ip("10.7.0.1")], ..damaged });
        d.handle(&arp(1, mac(1), "10.7.0.1"));
        d.handle(&datagram(2, (mac(1), "10.0.0.1"), (mac(2), NOBODY), 64));
        d.handle(&datagram(2, (mac(2), NOBODY), (mac(1), "10.0.0.1"), 64));
        let device = d.get(id).unwrap();
        assert_eq!((device.packets_sent, device.bytes_sent), (u64::MAX, u64::MAX));
        assert_eq!((device.packets_received, device.bytes_received), (u64::MAX, u64::MAX));
    }

    /// Claims, packets and names of few stations, addresses and routers.
    fn digests() -> impl Strategy<Value = Vec<Digest>> {
        let step = (0..8_u8, 1..7_u32, 1..7_u32, 0..14_u8, 0..4_usize, 0..400_u64);
        prop::collection::vec(step, 0..400).prop_map(|steps| {
            let mut now = 0;
            steps
                .into_iter()
                .map(|(kind, from, to, host, hop, step)| {
                    now += step;
                    let source = if host > 9 { format!("192.0.2.{host}") } else { format!("10.0.0.{host}") };
                    let target = (mac(to), "10.0.0.2");
                    match kind {
                        0 => arp(now, mac(from), &source),
                        1 => dhcp(now, mac(from), DhcpMessage::Ack, mac(to), &source),
                        2 => announcement(now, (mac(from), &source), "x.local", &source),
                        _ => datagram(now, (mac(from), &source), target, [64, 63, 57, 255][hop]),
                    }
                })
                .collect()
        })
    }

    fn wrapped(bridged: bool, digest: Digest) -> Digest {
        use crate::packet::{Encapsulation, Tunnel};
        let tunnel = Tunnel { kind: Encapsulation::Gre, depth: 1, ends: None, bridged };
        Digest { tunnel: Some(tunnel), ..digest }
    }

    #[test]
    fn who_carries_packets_of_others_gets_the_traffic_but_neither_addresses_nor_the_name_of_a_router() {
        let mut d = devices();
        send(&mut d, 0, (mac(1), "10.0.0.1"), 64);
        let carrier = d.by_mac(mac(1)).unwrap();
        let before = d.get(carrier).unwrap().packets_sent;
        for host in 1..100 {
            let (from, back) = (format!("172.16.0.{host}"), format!("172.17.0.{host}"));
            let there = wrapped(false, datagram(host * 100, (mac(1), &from), (mac(2), &back), 63));
            assert_eq!(d.handle(&there).source, Some(carrier));
            let here = wrapped(false, datagram(host * 100, (mac(2), &back), (mac(1), &from), 63));
            assert_eq!(d.handle(&here).destination, Some(carrier));
        }
        d.handle(&wrapped(false, announcement(20_000, (mac(1), "172.16.0.1"), "x.local", "172.16.0.1")));
        assert_eq!(ips(&d, mac(1)), ["10.0.0.1"]);
        let device = d.get(carrier).unwrap();
        assert!(!device.router && device.name.as_str().is_empty());
        assert_eq!(device.packets_sent, before + 100);
        assert_eq!(d.iter().count(), 2, "what is within is no device of this link");
    }

    #[test]
    fn frames_in_a_tunnel_are_of_their_own_stations() {
        let mut d = devices();
        d.handle(&wrapped(true, arp(0, mac(7), "10.0.0.7")));
        d.handle(&wrapped(true, datagram(5, (mac(7), "10.0.0.7"), (mac(8), "10.0.0.8"), 64)));
        assert_eq!(ips(&d, mac(7)), ["10.0.0.7"]);
    }

    fn run(digests: &[Digest], config: &Config) -> (Devices, Vec<Parties>, Vec<DeviceEvent>) {
        let mut d = Devices::new(config);
        let (mut parties, mut events) = (Vec::new(), Vec::new());
        for digest in digests {
            parties.push(d.handle(digest));
            events.extend(drain(&mut d));
        }
        (d, parties, events)
    }

    proptest! {
        #[test]
        fn what_is_found_is_there(digests in digests(), device_capacity in 2..12_usize) {
            let (d, parties, _) = run(&digests, &Config { device_capacity, ..Config::default() });
            prop_assert!(d.iter().count() <= device_capacity);
            for (id, device) in d.iter() {
                prop_assert_eq!(d.get(id).unwrap().key, device.key);
                for ip in device.ips() {
                    // Somebody is found by it, and has it.
                    let owner = d.by_ip(ip).map(|id| d.get(id).unwrap());
                    prop_assert!(owner.is_none_or(|o| o.ips().any(|other| other == ip)));
                }
                let mut distinct: Vec<_> = device.ips().collect();
                distinct.sort();
                distinct.dedup();
                prop_assert_eq!(distinct.len(), device.ips().count());
            }
            // A packet is of its station, of a host behind it, or of nobody: never of another station.
            for (parties, digest) in parties.iter().zip(&digests) {
                let key = parties.source.and_then(|id| d.get(id)).map(|device| device.key);
                let station = DeviceKey::Mac(digest.source);
                prop_assert!(key.is_none_or(|k| k == station || matches!(k, DeviceKey::Ip(_))));
            }
        }

        #[test]
        fn each_device_appears_once_and_first(digests in digests(), device_capacity in 2..12_usize) {
            let (d, _, events) = run(&digests, &Config { device_capacity, ..Config::default() });
            let mut appeared = Vec::new();
            for event in events {
                match event {
                    DeviceEvent::Appeared(id) => {
                        prop_assert!(!appeared.contains(&id));
                        appeared.push(id);
                    }
                    DeviceEvent::Changed(id) => prop_assert!(appeared.contains(&id)),
                }
            }
            for (id, device) in d.iter() {
                prop_assert_eq!(device.proven, appeared.contains(&id));
            }
            let waiting = d.iter().filter(|(_, device)| !device.proven).count();
            prop_assert!(d.unproven() >= u64::try_from(waiting).unwrap());
        }

        #[test]
        fn the_hash_seed_changes_nothing(digests in digests(), hash_seed: u64) {
            let config = Config { device_capacity: 6, ..Config::default() };
            let (one, parties, events) = run(&digests, &config);
            let (other, other_parties, other_events) = run(&digests, &Config { hash_seed, ..config });
            prop_assert_eq!((parties, events), (other_parties, other_events));
            let known = |d: &Devices| d.iter().map(|(_, device)| device.known()).collect::<Vec<_>>();
            prop_assert_eq!(known(&one), known(&other));
        }
    }
}
