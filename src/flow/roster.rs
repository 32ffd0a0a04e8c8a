//! [`Roster`]: the devices in their places, who is found by which address, and the events about it.
//!
//! It keeps what it is told. Whose packet something is, and what a packet claims, is decided in `devices`.

use std::collections::VecDeque;
use std::net::IpAddr;

use super::device::{Address, Claim};
use super::devices::{DeviceEvent, Devices};
use super::forwarding::Forwarding;
use super::{Config, Device, DeviceId, DeviceKey, KnownDevice};
use crate::bounded::{Keyed, Place, Table, Text};
use crate::time::Timestamp;

/// At most `capacity` devices; a full roster refuses. Who is found by an address has it in its own list, and at most
/// one event waits for each device.
#[derive(Debug)]
pub(super) struct Roster {
    entries: Table<Entry, CLASSES>,
    owners: Table<Owner, 1>,
    events: VecDeque<DeviceId>,
    capacity: usize,
    created: u32,
    evicted: u64,
    unproven: u64,
}

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) device: Device,
    pub(super) forwarding: Forwarding,
    generation: u32,
    /// Seen for longer than a burst. DHCP proves a device, but messages of it can be invented as well as a hardware
    /// address, so that they give no worth when room is short.
    lasting: bool,
    /// How its name came.
    name_from: Teller,
    /// How its vendor class came.
    class_from: Teller,
    news: Option<News>,
}

#[derive(Clone, Copy, Debug)]
enum News {
    Appeared,
    Changed,
}

/// The protocol by which a device tells of itself, the least trusted first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Teller {
    /// One of an earlier run, or none.
    Unknown,
    /// Anybody answers a search.
    Ssdp,
    /// Names cut to fifteen letters, of which a station has several.
    NetBios,
    Mdns,
    /// What its administrator sees, too.
    Dhcp,
}

#[derive(Clone, Copy, Debug)]
struct Owner {
    ip: IpAddr,
    place: Place,
}

/// What a device is worth when room is short.
#[derive(Clone, Copy, Debug)]
#[repr(usize)]
pub(super) enum Class {
    /// A station that was seen for less than [`Devices::APART`].
    Newcomer,
    /// A host behind a router.
    Behind,
    /// Any other station.
    Proven,
}

const CLASSES: usize = 3;

/// Devices.
impl Roster {
    pub(super) fn new(config: &Config) -> Self {
        let capacity = config.device_capacity.max(2);
        Self {
            entries: Table::new(capacity, config.hash_seed),
            owners: Table::new(capacity.saturating_mul(Device::MAX_IPS), config.hash_seed),
            events: VecDeque::with_capacity(capacity),
            capacity,
            created: 0,
            evicted: 0,
            unproven: 0,
        }
    }

    pub(super) fn find(&self, key: DeviceKey) -> Option<Place> {
        self.entries.find(&key)
    }

    pub(super) fn get(&self, place: Place) -> Option<&Entry> {
        self.entries.get(place)
    }

    pub(super) fn get_mut(&mut self, place: Place) -> Option<&mut Entry> {
        self.entries.get_mut(place)
    }

    pub(super) fn id(&self, place: Place) -> Option<DeviceId> {
        Some(self.entries.get(place)?.id(place))
    }

    pub(super) fn by_id(&self, id: DeviceId) -> Option<&Entry> {
        self.entries.get(Place::new(id.slot)).filter(|e| e.generation == id.generation)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (DeviceId, &Device)> {
        self.entries.iter().map(|(place, e)| (e.id(place), &e.device))
    }

    pub(super) const fn evicted(&self) -> u64 {
        self.evicted
    }

    pub(super) const fn unproven(&self) -> u64 {
        self.unproven
    }

    /// A new device, not told of until it is proven; room is made by the policy of [`Devices`]. None when nothing of
    /// less worth could go.
    pub(super) fn create(&mut self, key: DeviceKey, first_seen: Timestamp) -> Option<Place> {
        let half = self.entries.list_len(Class::Behind as usize) >= self.capacity / 2;
        match key {
            DeviceKey::Ip(_) if half => self.evict(&[Class::Behind]),
            _ if !self.entries.is_full() => {}
            DeviceKey::Ip(_) => self.evict(&[Class::Newcomer, Class::Behind]),
            DeviceKey::Mac(_) => self.evict(&[Class::Newcomer, Class::Behind, Class::Proven]),
        }
        let entry = self.entry(key, first_seen);
        let place = self.entries.insert(entry.class() as usize, entry).ok()?;
        self.unproven = self.unproven.saturating_add(1);
        Some(place)
    }

    /// Puts back a device of an earlier run. Tells nothing of one that is not there, and changes of one that is.
    pub(super) fn restore(&mut self, known: &KnownDevice) {
        let found = self.find(known.key);
        let Some(place) = found.or_else(|| self.revive(known)) else { return };
        let Some(entry) = self.entries.get_mut(place) else { return };
        let device = &mut entry.device;
        device.first_seen = device.first_seen.min(known.first_seen);
        device.packets_sent = device.packets_sent.saturating_add(known.packets_sent);
        device.bytes_sent = device.bytes_sent.saturating_add(known.bytes_sent);
        device.packets_received = device.packets_received.saturating_add(known.packets_received);
        device.bytes_received = device.bytes_received.saturating_add(known.bytes_received);
        device.router |= known.router;
        if device.name.is_empty() {
            device.name = known.name;
        }
        if device.vendor_class.is_empty() {
            device.vendor_class = known.vendor_class;
        }
        for &ip in known.ips.iter().take(Device::MAX_IPS) {
            if self.owner(ip).is_none() {
                // It was the device's then, and is as old as its last packet.
                self.attach(place, Address { ip, claim: Claim::Resolution, used: known.last_seen });
            }
        }
        if found.is_some() {
            self.make_lasting(place);
            self.admit(place, News::Changed);
        } else if let Some(entry) = self.entries.get_mut(place) {
            entry.news = None;
        }
    }

    fn revive(&mut self, known: &KnownDevice) -> Option<Place> {
        if let DeviceKey::Ip(ip) = known.key
            && (self.owner(ip).is_some()
                || self.entries.list_len(Class::Behind as usize) >= self.capacity / 2)
        {
            return None;
        }
        let mut entry = self.entry(known.key, known.first_seen);
        entry.device.last_seen = known.last_seen;
        entry.device.proven = true;
        entry.lasting = true;
        // Keeps events away until it is complete.
        entry.news = Some(News::Changed);
        self.entries.insert(entry.class() as usize, entry).ok()
    }

    fn entry(&mut self, key: DeviceKey, first_seen: Timestamp) -> Entry {
        self.created = self.created.wrapping_add(1);
        Entry {
            device: Device::new(key, first_seen),
            forwarding: Forwarding::default(),
            generation: self.created,
            lasting: false,
            name_from: Teller::Unknown,
            class_from: Teller::Unknown,
            news: None,
        }
    }

    /// A packet from this device.
    pub(super) fn seen(&mut self, place: Place, now: Timestamp) {
        let Some(entry) = self.entries.get_mut(place) else { return };
        entry.device.last_seen = now;
        if !entry.lasting {
            // The clock may have gone back.
            entry.device.first_seen = entry.device.first_seen.min(now);
        }
        if !entry.lasting && now.since(entry.device.first_seen) >= Devices::APART {
            self.make_lasting(place);
            self.prove(place);
        } else {
            let class = entry.class();
            self.entries.shift(place, class as usize);
        }
    }

    /// The device is more than a burst. It is told of, once.
    pub(super) fn prove(&mut self, place: Place) {
        if self.entries.get(place).is_some_and(|e| !e.device.proven) {
            self.admit(place, News::Appeared);
        }
    }

    /// It is told of from now on, first with this news.
    fn admit(&mut self, place: Place, news: News) {
        let Some(entry) = self.entries.get_mut(place) else { return };
        if !entry.device.proven {
            entry.device.proven = true;
            self.unproven = self.unproven.saturating_sub(1);
        }
        self.tell(place, news);
    }

    fn make_lasting(&mut self, place: Place) {
        let Some(entry) = self.entries.get_mut(place) else { return };
        entry.lasting = true;
        let class = entry.class();
        self.entries.shift(place, class as usize);
    }

    pub(super) fn make_router(&mut self, place: Place) {
        if let Some(entry) = self.entries.get_mut(place) {
            entry.device.router = true;
        }
        self.drop_weak(place);
        self.tell(place, News::Changed);
    }

    /// A name that a better teller gave stays.
    pub(super) fn name(&mut self, place: Place, name: Text<63>, from: Teller) {
        let Some(entry) = self.entries.get_mut(place) else { return };
        if name.is_empty() || from < entry.name_from {
            return;
        }
        entry.name_from = from;
        if entry.device.name != name {
            entry.device.name = name;
            self.tell(place, News::Changed);
        }
    }

    /// A class that a better teller gave stays.
    pub(super) fn set_vendor_class(&mut self, place: Place, class: Text<63>, from: Teller) {
        let Some(entry) = self.entries.get_mut(place) else { return };
        if class.is_empty() || from < entry.class_from {
            return;
        }
        entry.class_from = from;
        if entry.device.vendor_class != class {
            entry.device.vendor_class = class;
            self.tell(place, News::Changed);
        }
    }

    fn evict(&mut self, order: &[Class]) {
        let victim = order.iter().find_map(|&class| self.entries.first(class as usize));
        if victim.and_then(|place| self.discard(place)).is_some() {
            self.evicted = self.evicted.saturating_add(1);
        }
    }

    fn discard(&mut self, place: Place) -> Option<Device> {
        let device = self.entries.remove(place)?.device;
        for ip in device.ips() {
            self.disown(ip, place);
        }
        Some(device)
    }
}

/// Addresses.
impl Roster {
    pub(super) fn owner(&self, ip: IpAddr) -> Option<Place> {
        let at = self.owners.find(&ip)?;
        Some(self.owners.get(at)?.place)
    }

    /// Who is found by an address and has used it lately.
    pub(super) fn live_owner(&self, ip: IpAddr, now: Timestamp) -> Option<Place> {
        self.owner(ip).filter(|&place| !self.is_stale(place, ip, now))
    }

    pub(super) fn has_strong_claim(&self, place: Place, ip: IpAddr) -> bool {
        self.entries.get(place).and_then(|e| e.device.addresses.get(ip)).is_some_and(|a| a.claim.is_strong())
    }

    /// Notes that a device has an address. A strong claim makes it the one found by the address; a weak one only if
    /// no other is, or the other has not used it for long.
    pub(super) fn bind(&mut self, place: Place, new: Address) {
        if let Some(other) = self.owner(new.ip).filter(|&owner| owner != place) {
            let stale = self.is_stale(other, new.ip, new.used);
            if !stale && !new.claim.is_strong() {
                return;
            }
            self.take_over(place, other, &new, stale);
        }
        let Some(entry) = self.entries.get_mut(place) else { return };
        if let Some(own) = entry.device.addresses.get_mut(new.ip) {
            own.used = new.used;
            own.claim = own.claim.max(new.claim);
            self.set_owner(new.ip, place);
        } else {
            self.attach(place, new);
        }
    }

    /// Makes a device found by an address of its list, when no other is: one that claimed it, too, is gone.
    pub(super) fn adopt(&mut self, place: Place, ip: IpAddr) {
        if self.owner(ip).is_none() {
            self.set_owner(ip, place);
        }
    }

    /// Drops an address that is found at another device and that this one no longer uses.
    pub(super) fn tidy(&mut self, place: Place, now: Timestamp) {
        let Some(entry) = self.entries.get(place) else { return };
        let lost =
            entry.device.addresses.0.iter().find(|a| a.is_stale(now) && self.owner(a.ip) != Some(place));
        if let Some(&Address { ip, .. }) = lost {
            self.detach(place, ip);
        }
    }

    /// Drops the addresses that the device never claimed.
    pub(super) fn drop_weak(&mut self, place: Place) {
        let Some(entry) = self.entries.get(place) else { return };
        for address in entry.device.addresses.clone().0 {
            if !address.claim.is_strong() {
                self.detach(place, address.ip);
            }
        }
    }

    /// The new claim wins. The other keeps the address in its list if it still uses it and no lease says otherwise:
    /// then both claim it. A host behind a router that is met on the link is one device with the station.
    fn take_over(&mut self, place: Place, other: Place, new: &Address, stale: bool) {
        let Some(entry) = self.entries.get(other) else { return };
        if matches!(entry.device.key, DeviceKey::Mac(_)) {
            if stale || new.claim == Claim::Lease {
                self.detach(other, new.ip);
            }
            return;
        }
        let Some(absorbed) = self.discard(other) else { return };
        if let Some(Entry { device, .. }) = self.entries.get_mut(place) {
            device.packets_sent = device.packets_sent.saturating_add(absorbed.packets_sent);
            device.bytes_sent = device.bytes_sent.saturating_add(absorbed.bytes_sent);
            device.packets_received = device.packets_received.saturating_add(absorbed.packets_received);
            device.bytes_received = device.bytes_received.saturating_add(absorbed.bytes_received);
        }
    }

    fn attach(&mut self, place: Place, new: Address) {
        let Some(entry) = self.entries.get_mut(place) else { return };
        let Ok(replaced) = entry.device.addresses.add(new) else { return };
        if let Some(ip) = replaced {
            self.disown(ip, place);
        }
        self.set_owner(new.ip, place);
        self.tell(place, News::Changed);
    }

    fn detach(&mut self, place: Place, ip: IpAddr) {
        if let Some(entry) = self.entries.get_mut(place) {
            entry.device.addresses.remove(ip);
        }
        self.disown(ip, place);
        self.tell(place, News::Changed);
    }

    fn set_owner(&mut self, ip: IpAddr, place: Place) {
        if let Some(owner) = self.owners.find(&ip).and_then(|at| self.owners.get_mut(at)) {
            owner.place = place;
        } else {
            // Each owner has the address in its list, so there is room for all.
            let _at = self.owners.insert(0, Owner { ip, place });
        }
    }

    fn disown(&mut self, ip: IpAddr, place: Place) {
        if let Some(at) = self.owners.find(&ip)
            && self.owners.get(at).is_some_and(|owner| owner.place == place)
        {
            self.owners.remove(at);
        }
    }

    fn is_stale(&self, place: Place, ip: IpAddr, now: Timestamp) -> bool {
        let address = self.entries.get(place).and_then(|e| e.device.addresses.get(ip));
        address.is_none_or(|a| a.is_stale(now))
    }
}

/// Events.
impl Roster {
    pub(super) fn poll_event(&mut self) -> Option<DeviceEvent> {
        while let Some(id) = self.events.pop_front() {
            let entry = self.entries.get_mut(Place::new(id.slot)).filter(|e| e.generation == id.generation);
            match entry.and_then(|e| e.news.take()) {
                Some(News::Appeared) => return Some(DeviceEvent::Appeared(id)),
                Some(News::Changed) => return Some(DeviceEvent::Changed(id)),
                // Put out in between.
                None => {}
            }
        }
        None
    }

    fn tell(&mut self, place: Place, news: News) {
        let untold = |e: &&mut Entry| e.device.proven && e.news.is_none();
        let Some(entry) = self.entries.get_mut(place).filter(untold) else { return };
        entry.news = Some(news);
        let id = entry.id(place);
        if self.events.len() >= self.capacity {
            // Those put out in between make room: each device that is left has at most one.
            let entries = &self.entries;
            let live = |id: &DeviceId| entries.get(Place::new(id.slot)).map(|e| e.generation);
            self.events.retain(|id| live(id) == Some(id.generation));
        }
        self.events.push_back(id);
    }
}

impl Entry {
    fn id(&self, place: Place) -> DeviceId {
        DeviceId { slot: place.index(), generation: self.generation }
    }

    fn class(&self) -> Class {
        match self.device.key {
            DeviceKey::Ip(_) => Class::Behind,
            DeviceKey::Mac(_) if self.lasting => Class::Proven,
            DeviceKey::Mac(_) => Class::Newcomer,
        }
    }
}

impl Keyed for Entry {
    type Key = DeviceKey;

    fn key(&self) -> DeviceKey {
        self.device.key
    }
}

impl Keyed for Owner {
    type Key = IpAddr;

    fn key(&self) -> IpAddr {
        self.ip
    }
}
