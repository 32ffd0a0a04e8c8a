//! A device that was never there before: it joins by DHCP, looks around, talks, and leaves after ten minutes.

use smoltcp::wire::{DhcpOption, EthernetAddress};

use super::{Cast, Scenario, Stage, Step};
use crate::demo::chance::Chance;
use crate::demo::site::{self, named, vendor};
use crate::demo::station::{Identity, Station};
use crate::time::Span;

const STAY: Span = Span::from_secs(600);

/// How often the truth about its address is looked at.
const LOOK: Span = Span::from_secs(5);

const DHCP: &[DhcpOption<'static>] = &[named(b"visitor"), vendor(b"dhcpcd-10.0.6:Linux-6.6")];

pub(super) struct Newcomer {
    mac: EthernetAddress,
    looks: u64,
}

impl Newcomer {
    /// Another device in each round; after 128 rounds the first one comes back.
    pub(super) fn new(round: u32) -> Self {
        let last = u8::try_from(round % 128).unwrap_or(0) | 0x80;
        Self { mac: EthernetAddress([0x00, 0x00, 0x5e, 0x00, 0x53, last]), looks: 0 }
    }
}

impl Scenario for Newcomer {
    fn cast(&self, stage: &Stage<'_>) -> Cast {
        let ip = stage.stations.iter().find(|station| station.mac() == self.mac).and_then(Station::address);
        Cast { subject: self.mac, ip, victim: None }
    }

    fn step(&mut self, stage: &mut Stage<'_>) -> Step {
        if self.looks == 0 {
            let identity = Identity { mac: self.mac, dhcp: DHCP };
            let chance = Chance::new(stage.seed, stage.chance.seed());
            let mut station = Station::new(&identity, chance, stage.epoch, stage.now + Span::from_millis(10));
            site::stranger(&mut station);
            stage.stations.push(station);
        }
        self.looks += 1;
        if self.looks * LOOK.as_secs() > STAY.as_secs() {
            stage.stations.retain(|station| station.mac() != self.mac);
            return Step::Done;
        }
        Step::At(stage.now + LOOK)
    }
}
