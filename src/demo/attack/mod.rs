//! Attacks, one file each, and the director that plays them one after the other, for ever.

mod arp_spoof;
mod host_sweep;
mod newcomer;
mod port_scan;

use std::collections::VecDeque;
use std::net::Ipv4Addr;

use smoltcp::wire::EthernetAddress;

use super::chance::Chance;
use super::station::Station;
use crate::behaviour::Kind;
use crate::packet::Mac;
use crate::time::{Span, Timestamp};

/// An attack that the network can play.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attack {
    /// The camera tries 200 to 1,000 ports of the storage within about 20 seconds.
    PortScan,
    /// The television asks for every address of the network and tries some ports of those that answer.
    HostSweep,
    /// For two minutes the phone tells the workstation that it is the router, and passes on what it gets.
    ArpSpoof,
    /// A device that was never there joins, talks to the storage and to the outside for ten minutes, and leaves.
    NewDevice,
}

impl Attack {
    /// All attacks, in the order in which a demonstration plays them.
    pub const ALL: [Self; 4] = [Self::PortScan, Self::HostSweep, Self::ArpSpoof, Self::NewDevice];

    /// The kind of the alert that it should raise.
    #[must_use]
    pub const fn kind(self) -> Kind {
        match self {
            Self::PortScan => Kind::PortScan,
            Self::HostSweep => Kind::HostSweep,
            Self::ArpSpoof => Kind::ArpSpoof,
            Self::NewDevice => Kind::NewDevice,
        }
    }

    fn scenario(self, chance: &mut Chance, round: u32) -> Box<dyn Scenario> {
        match self {
            Self::PortScan => Box::new(port_scan::PortScan::new(chance)),
            Self::HostSweep => Box::new(host_sweep::HostSweep::new(chance)),
            Self::ArpSpoof => Box::new(arp_spoof::ArpSpoof::new()),
            Self::NewDevice => Box::new(newcomer::Newcomer::new(round)),
        }
    }
}

/// What was really played, to compare alerts with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Truth {
    /// The attack.
    pub attack: Attack,
    /// When it began.
    pub first: Timestamp,
    /// Its latest action so far.
    pub last: Timestamp,
    /// Whether it is over.
    pub finished: bool,
    /// Who did it.
    pub subject: Mac,
    /// Its address; none while a new device has no lease.
    pub ip: Option<Ipv4Addr>,
    /// Against whom, where it is one device.
    pub victim: Option<Mac>,
}

/// Who attacks whom.
struct Cast {
    subject: EthernetAddress,
    ip: Option<Ipv4Addr>,
    victim: Option<EthernetAddress>,
}

/// What an attack does next.
enum Step {
    /// Goes on at this time.
    At(Timestamp),
    /// Is over.
    Done,
}

/// The network as an attack sees it.
struct Stage<'a> {
    now: Timestamp,
    seed: u64,
    epoch: Timestamp,
    stations: &'a mut Vec<Station>,
    chance: &'a mut Chance,
}

impl Stage<'_> {
    /// Sends a frame from a station, past its stack.
    fn inject(&mut self, place: usize, frame: Vec<u8>) {
        if let Some(station) = self.stations.get_mut(place) {
            station.inject(frame);
        }
    }
}

/// One attack.
trait Scenario: Send {
    /// Who attacks whom, as far as it is known yet.
    fn cast(&self, stage: &Stage<'_>) -> Cast;

    /// Does the next thing.
    fn step(&mut self, stage: &mut Stage<'_>) -> Step;
}

/// Truths that are kept; above that the oldest is forgotten.
const REMEMBERED: usize = 256;

/// Plays the attacks.
pub(crate) struct Director {
    attacks: Vec<Attack>,
    gap: Span,
    round: u32,
    seed: u64,
    epoch: Timestamp,
    next: Option<Timestamp>,
    playing: Option<Box<dyn Scenario>>,
    chance: Chance,
    truths: VecDeque<Truth>,
}

impl Director {
    /// The first attack comes at `first`, each other one `gap` after the end of the one before; after the last comes
    /// the first again.
    pub(crate) fn new(
        attacks: Vec<Attack>,
        seed: u64,
        epoch: Timestamp,
        first: Timestamp,
        gap: Span,
    ) -> Self {
        Self {
            next: (!attacks.is_empty()).then_some(first),
            attacks,
            gap,
            round: 0,
            seed,
            epoch,
            playing: None,
            chance: Chance::new(seed, 2 << 32),
            truths: VecDeque::with_capacity(REMEMBERED),
        }
    }

    /// When it acts next.
    pub(crate) fn wake(&self) -> Option<Timestamp> {
        self.next
    }

    /// What was played, oldest first.
    pub(crate) fn truths(&self) -> impl Iterator<Item = &Truth> {
        self.truths.iter()
    }

    /// Acts.
    pub(crate) fn run(&mut self, now: Timestamp, stations: &mut Vec<Station>) {
        let count = u32::try_from(self.attacks.len()).unwrap_or(u32::MAX);
        let Some(turn) = self.round.checked_rem(count) else { return };
        let Some(attack) = self.attacks.get(usize::try_from(turn).unwrap_or(0)).copied() else { return };
        let fresh = self.playing.is_none();
        let mut scenario = match self.playing.take() {
            Some(scenario) => scenario,
            None => attack.scenario(&mut self.chance, self.round / count),
        };
        let mut stage = Stage { now, seed: self.seed, epoch: self.epoch, stations, chance: &mut self.chance };
        let step = scenario.step(&mut stage);
        let cast = scenario.cast(&stage);
        if fresh {
            if self.truths.len() == REMEMBERED {
                self.truths.pop_front();
            }
            self.truths.push_back(Truth {
                attack,
                first: now,
                last: now,
                finished: false,
                subject: Mac(cast.subject.0),
                ip: cast.ip,
                victim: cast.victim.map(|mac| Mac(mac.0)),
            });
        }
        if let Some(truth) = self.truths.back_mut() {
            truth.last = now;
            truth.ip = truth.ip.or(cast.ip);
            truth.finished = matches!(step, Step::Done);
        }
        match step {
            Step::At(next) => {
                self.playing = Some(scenario);
                self.next = Some(next);
            }
            Step::Done => {
                self.round = self.round.wrapping_add(1);
                self.next = Some(now + self.gap);
            }
        }
    }
}
