//! [`Meter`]: frames in, observations out. It composes packet, flow, feature and behaviour, and runs to completion
//! for each frame; it knows no baseline and no alert.

use std::collections::VecDeque;

use super::{Counts, Coverage, Mirror, Observation, Rates, Sight, Sighting, WindowSeen};
use crate::behaviour::{self, Behaviours, Identity, Party};
use crate::feature::{self, External, Rate, Windows};
use crate::flow::{self, Device, DeviceEvent, DeviceId, Devices, FlowTable, Parties, Tunnels};
use crate::packet::{Digest, Dissector, FragmentCounts, Frame, Network, Unread};
use crate::time::{Span, Timestamp};

/// Settings of the meter's parts.
#[derive(Clone, Debug, PartialEq)]
pub struct MeterConfig {
    /// Flow and device tables.
    pub flow: flow::Config,
    /// Windows.
    pub feature: feature::Config,
    /// Behaviours.
    pub behaviour: behaviour::Config,
    /// Time between two frames or idle calls beyond which the clock has jumped.
    pub longest_step: Span,
}

impl Default for MeterConfig {
    /// An hour, since a capture file may pause; a live tap, which tells the time each second, wants less.
    fn default() -> Self {
        Self {
            flow: flow::Config::default(),
            feature: feature::Config::default(),
            behaviour: behaviour::Config::default(),
            longest_step: Span::from_secs(3_600),
        }
    }
}

impl MeterConfig {
    /// For one of `meters` that share the memory of one.
    #[must_use]
    pub fn share(&self, meters: usize) -> Self {
        let part = |whole: usize, least: usize| (whole / meters.max(1)).max(least);
        let mut shared = self.clone();
        shared.flow.flow_capacity = part(self.flow.flow_capacity, 1);
        shared.flow.device_capacity = part(self.flow.device_capacity, 2);
        shared.behaviour.pair_capacity = part(self.behaviour.pair_capacity, 1);
        shared.behaviour.source_capacity = part(self.behaviour.source_capacity, 1);
        shared.behaviour.address_capacity = part(self.behaviour.address_capacity, 1);
        shared
    }
}

/// The first half of the data plane.
#[derive(Debug)]
pub struct Meter {
    dissector: Dissector,
    mirror: Mirror,
    devices: Devices,
    flows: FlowTable,
    tunnels: Tunnels,
    windows: Windows,
    behaviours: Behaviours,
    counts: Counts,
    rates: Rates,
    now: Option<Timestamp>,
    next_tick: Timestamp,
    longest_step: Span,
    /// Nothing is captured now.
    blind: bool,
    /// Windows whose device was put out of the table before they ended.
    windows_lost: u64,
    steps: u64,
    /// Drained by the caller after each call; one call adds at most a window and a change for each device.
    observations: VecDeque<Observation>,
}

impl Meter {
    /// Time that a frame may be older than one before it: frames of several queues are out of order by milliseconds.
    const BACK: Span = Span::from_secs(10);
    const TICK: Span = Span::from_secs(1);

    /// Nothing was seen yet.
    #[must_use]
    pub fn new(config: &MeterConfig) -> Self {
        Self {
            dissector: Dissector::new(config.flow.hash_seed),
            mirror: Mirror::new(config.flow.hash_seed),
            devices: Devices::new(&config.flow),
            flows: FlowTable::new(&config.flow),
            windows: Windows::new(&config.feature, config.flow.device_capacity, config.flow.hash_seed),
            tunnels: Tunnels::new(&config.flow),
            behaviours: Behaviours::new(&config.behaviour),
            counts: Counts::default(),
            rates: Rates::default(),
            now: None,
            next_tick: Timestamp::EPOCH,
            longest_step: config.longest_step,
            blind: false,
            windows_lost: 0,
            steps: 0,
            observations: VecDeque::new(),
        }
    }

    /// Takes one frame in. One that the mirror made of another, by what is known of it, is counted and not metered again.
    pub fn handle_frame(&mut self, frame: &Frame<'_>) {
        self.blind = false;
        let mut digest = self.dissector.dissect(frame);
        digest.time = self.advance(digest.time);
        match self.mirror.handle(frame, &digest) {
            Sight::First => self.meter(&digest),
            // It is on another link there: the router sent it, which tells what the router is.
            Sight::Forwarded => drop(self.devices.handle(&digest)),
            Sight::Copy => {}
        }
        self.drain(digest.time);
    }

    fn meter(&mut self, digest: &Digest) {
        self.counts.handle(digest);
        self.tunnels.handle(digest);
        let parties = self.devices.handle(digest);
        // The stations that carry a packet are not the ends of the flow within.
        let ends = if digest.is_carried() { Parties::default() } else { parties };
        self.flows.handle(digest, ends.source, ends.destination);
        let external = self.external(digest);
        self.windows.handle_packet(digest, parties.source, parties.destination, external);
        self.behaviours.handle_packet(digest, ends.source, ends.destination);
    }

    /// Nothing came; the time is now. [`Timestamp::EPOCH`] says that nobody knows the time yet.
    pub fn handle_idle(&mut self, now: Timestamp) {
        self.blind = false;
        self.pass(now);
    }

    /// Nothing is captured now, whatever there may be on the wire; the time is now. Timers go on; windows of which a
    /// part falls in this time are told of as not whole, and what waits for an answer is forgotten: nobody would see it.
    pub fn handle_unwatched(&mut self, now: Timestamp) {
        let known = self.now.unwrap_or(now);
        if !std::mem::replace(&mut self.blind, true) {
            self.flows.flush(known);
            while self.flows.poll_event().is_some() {}
            self.behaviours.handle_gap();
        }
        if now != Timestamp::EPOCH {
            // Before the windows that end by now.
            self.observations.push_back(Observation::Unwatched(known.max(now)));
        }
        self.pass(now);
    }

    /// The capture has ended: flows end, windows that are not over are dropped.
    pub fn finish(&mut self) {
        if let Some(now) = self.now {
            self.tick(now);
            self.flows.flush(now);
            self.drain(now);
        }
    }

    /// The next observation, in order.
    pub fn poll_observation(&mut self) -> Option<Observation> {
        self.observations.pop_front()
    }

    /// The device table.
    #[must_use]
    pub const fn devices(&self) -> &Devices {
        &self.devices
    }

    /// The device table, to restore what was known before a restart.
    pub const fn devices_mut(&mut self) -> &mut Devices {
        &mut self.devices
    }

    /// The mirror that the frames come from.
    #[must_use]
    pub const fn mirror(&self) -> &Mirror {
        &self.mirror
    }

    /// The mirror, to say what its frames do not.
    pub const fn mirror_mut(&mut self) -> &mut Mirror {
        &mut self.mirror
    }

    /// The flow table.
    #[must_use]
    pub const fn flows(&self) -> &FlowTable {
        &self.flows
    }

    /// Tunnels.
    #[must_use]
    pub const fn tunnels(&self) -> &Tunnels {
        &self.tunnels
    }

    /// What became of fragments.
    #[must_use]
    pub fn fragments(&self) -> FragmentCounts {
        self.dissector.fragments()
    }

    /// Flow events, windows and findings that overflowed a queue between the parts.
    #[must_use]
    pub const fn events_dropped(&self) -> u64 {
        self.flows.events_lost() + self.windows.dropped() + self.behaviours.dropped() + self.windows_lost
    }

    /// What a device sends and receives now; none where nothing was counted of it.
    #[must_use]
    pub fn device_rate(&self, id: DeviceId) -> Option<Rate> {
        self.windows.rate(id, self.now?)
    }

    /// Channels and sockets that no statistics were kept of, because there were too many busier ones.
    #[must_use]
    pub const fn streams_refused(&self) -> u64 {
        self.windows.streams_refused()
    }

    /// Application messages that were left unread.
    #[must_use]
    pub fn unread(&self) -> Unread {
        self.dissector.unread()
    }

    /// Totals.
    #[must_use]
    pub const fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Rates.
    #[must_use]
    pub const fn rates(&self) -> &Rates {
        &self.rates
    }

    /// Time of the latest frame or idle call; none before the first.
    #[must_use]
    pub const fn now(&self) -> Option<Timestamp> {
        self.now
    }

    /// Times the clock jumped.
    #[must_use]
    pub const fn steps(&self) -> u64 {
        self.steps
    }

    fn pass(&mut self, now: Timestamp) {
        if now != Timestamp::EPOCH {
            let now = self.advance(now);
            self.drain(now);
        }
    }

    /// Moves the clock and ticks where a second has passed. Gives the time to use: never earlier than before, except
    /// after a jump.
    fn advance(&mut self, time: Timestamp) -> Timestamp {
        let Some(now) = self.now else {
            self.now = Some(time);
            self.schedule(time);
            self.observations.push_back(Observation::Time(time));
            return time;
        };
        if now.since(time) > Self::BACK || time.since(now) > self.longest_step {
            self.step(now, time);
            return time;
        }
        let time = time.max(now);
        self.now = Some(time);
        if time >= self.next_tick {
            self.tick(time);
        }
        time
    }

    fn tick(&mut self, now: Timestamp) {
        self.schedule(now);
        self.flows.handle_time(now);
        self.drain_flows();
        self.windows.handle_time(now);
        self.behaviours.handle_time(now);
        self.rates.handle_time(now, &self.counts, self.flows.tcp());
        self.mirror.handle_time(now, self.flows.tcp());
        while let Some(window) = self.windows.poll_window() {
            if let Some(device) = self.devices.get(window.device) {
                if !device.proven {
                    continue;
                }
                let seen = WindowSeen {
                    key: device.key,
                    party: party_of(device),
                    window,
                    coverage: Coverage::Whole,
                };
                self.observations.push_back(Observation::Window(seen));
            } else {
                self.windows_lost += 1;
            }
        }
        self.observations.push_back(Observation::Time(now));
    }

    fn schedule(&mut self, now: Timestamp) {
        let tick = i64::try_from(Self::TICK.as_nanos()).unwrap_or(i64::MAX);
        self.next_tick =
            Timestamp::from_nanos(now.as_nanos().div_euclid(tick).saturating_add(1).saturating_mul(tick));
    }

    /// Everything that is timed begins anew: a difference over a jump means nothing.
    fn step(&mut self, old: Timestamp, new: Timestamp) {
        self.steps += 1;
        self.mirror.handle_jump(old, new);
        self.flows.flush(old);
        while self.flows.poll_event().is_some() {}
        self.windows.restart(new);
        self.behaviours.restart();
        self.rates.restart();
        self.now = Some(new);
        self.schedule(new);
        self.observations.push_back(Observation::Step(new));
    }

    fn drain(&mut self, now: Timestamp) {
        self.drain_flows();
        while let Some(event) = self.devices.poll_event() {
            let (DeviceEvent::Appeared(id) | DeviceEvent::Changed(id)) = event;
            if let Some(device) = self.devices.get(id) {
                let sighting = Sighting {
                    key: device.key,
                    party: party_of(device),
                    time: now,
                    packets: device.packets_sent,
                    bytes: device.bytes_sent,
                };
                self.observations.push_back(Observation::Device(sighting));
            }
        }
        let devices = &self.devices;
        while let Some(evidence) = self.behaviours.poll_evidence(|who| resolve(devices, who)) {
            self.observations.push_back(Observation::Evidence(evidence));
        }
    }

    fn drain_flows(&mut self) {
        while let Some(event) = self.flows.poll_event() {
            self.windows.handle_flow(&event);
            self.behaviours.handle_flow(&event);
        }
    }

    fn external(&self, digest: &Digest) -> External {
        match &digest.network {
            Network::Ip(ip) => External {
                source: !self.devices.is_site(ip.source),
                destination: !self.devices.is_site(ip.destination) && !ip.destination.is_multicast(),
            },
            Network::Arp(_) | Network::Other => External::default(),
        }
    }
}

/// A device as findings name it.
fn party_of(device: &Device) -> Party {
    let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    Party {
        mac: device.mac(),
        ips: device.ips().collect(),
        name: text(device.name.as_str()),
        vendor: text(device.vendor_class.as_str()),
    }
}

/// What is known of the host of a packet. A host behind a router is named by its address: the hardware address next
/// to it is the router's.
fn resolve(devices: &Devices, who: &Identity) -> Party {
    let by_station = || devices.by_mac(who.mac.filter(|_| who.ip.is_none())?);
    if let Some(device) = who.device.or_else(by_station).and_then(|id| devices.get(id)) {
        let mut party = party_of(device);
        if let Some(ip) = who.ip.filter(|ip| !party.ips.contains(ip)) {
            party.ips.insert(0, ip);
        }
        return party;
    }
    let is_router = |mac| devices.by_mac(mac).and_then(|id| devices.get(id)).is_some_and(|d| d.router);
    Party {
        mac: who.mac.filter(|&mac| !is_router(mac)),
        ips: who.ip.into_iter().collect(),
        name: None,
        vendor: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_with_a_hole_is_told_of_before_it_ends() {
        let at = |seconds: i64| Timestamp::from_parts(1_700_000_040 + seconds, 0);
        let mut meter = Meter::new(&MeterConfig::default());
        let told = |meter: &mut Meter| std::iter::from_fn(|| meter.poll_observation()).collect::<Vec<_>>();
        meter.handle_unwatched(Timestamp::EPOCH);
        assert_eq!(told(&mut meter), [], "nobody knows the time yet");
        meter.handle_idle(at(0));
        meter.handle_idle(at(1));
        assert_eq!(told(&mut meter), [Observation::Time(at(0)), Observation::Time(at(1))]);
        meter.handle_unwatched(at(2));
        assert_eq!(told(&mut meter), [Observation::Unwatched(at(2)), Observation::Time(at(2))]);
        // The clock that stamps the frames is a little behind.
        meter.handle_unwatched(at(1));
        assert_eq!(told(&mut meter), [Observation::Unwatched(at(2))]);
        meter.handle_idle(at(3));
        assert_eq!(told(&mut meter), [Observation::Time(at(3))]);
    }
}
