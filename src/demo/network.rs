//! The generated network as a [`Source`]: stations, the switch between them with its mirror port, and the order of time.

use std::collections::BTreeMap;

use smoltcp::wire::EthernetAddress;

use super::attack::{Attack, Director, Truth};
use super::site;
use super::station::{Line, Station};
use crate::capture::{CaptureError, Next, Source, SourceCounters};
use crate::packet::{Frame, Link};
use crate::time::{Span, Timestamp};

/// What to generate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Seed of everything: the same one gives the same bytes at the same times.
    pub seed: u64,
    /// The time at which the network is switched on. Any time from 1970 to 2200 will do.
    pub start: Timestamp,
    /// Quiet time from the start to the first attack.
    pub benign: Span,
    /// The attacks, in this order and then from the first again for ever; none for a network that stays quiet.
    pub attacks: Vec<Attack>,
    /// Quiet time from the end of an attack to the next one.
    pub gap: Span,
    /// When the network ends; none to go on for ever.
    pub until: Option<Timestamp>,
}

impl Config {
    /// Two quiet hours, then all attacks with half an hour between them, for ever.
    #[must_use]
    pub fn new(seed: u64, start: Timestamp) -> Self {
        Self {
            seed,
            start,
            benign: Span::from_secs(7_200),
            attacks: Attack::ALL.to_vec(),
            gap: Span::from_secs(1_800),
            until: None,
        }
    }
}

/// From the mirror to the card of the receiver.
const SWITCH_DELAY: Span = Span::from_nanos(15_000);

/// A generated network. As a [`Source`] it gives every frame once, as the switch sees it, in the order of simulated
/// time and as fast as it is asked; it is never idle.
pub struct Network {
    until: Option<Timestamp>,
    now: Timestamp,
    stations: Vec<Station>,
    lines: Vec<Line>,
    director: Director,
    // Bounded by the cards' queues and by what fits into a TCP window of each connection.
    agenda: BTreeMap<(Timestamp, u64), Event>,
    serial: u64,
    mirrored: Vec<u8>,
    frames: u64,
}

enum Event {
    /// A frame has reached the switch.
    Switched(Vec<u8>),
    /// A frame has reached the station with this address.
    Arrived(EthernetAddress, Vec<u8>),
}

enum Due {
    Event,
    Station(usize),
    Director,
}

impl Network {
    /// A network that is about to be switched on.
    #[must_use]
    pub fn new(config: Config) -> Self {
        let Config { seed, start, benign, attacks, gap, until } = config;
        let stations = site::build(seed, start);
        Self {
            until,
            now: start,
            lines: vec![Line::new(start); stations.len()],
            stations,
            director: Director::new(attacks, seed, start, start + benign, gap),
            agenda: BTreeMap::new(),
            serial: 0,
            mirrored: Vec::new(),
            frames: 0,
        }
    }

    /// The attacks played so far, oldest first; at most the latest 256.
    pub fn truths(&self) -> impl Iterator<Item = &Truth> {
        self.director.truths()
    }

    /// The simulated time.
    pub(super) fn now(&self) -> Timestamp {
        self.now
    }

    /// Goes on to the next frame and gives its time; none when the network has ended.
    pub(super) fn advance(&mut self) -> Option<Timestamp> {
        loop {
            let (at, due) = self.due()?;
            if self.until.is_some_and(|until| at > until) {
                return None;
            }
            self.now = at;
            match due {
                Due::Station(place) => self.run(place),
                Due::Director => {
                    self.director.run(at, &mut self.stations);
                    // A station that has joined gets a cable; one that has left loses it.
                    self.lines.resize(self.stations.len(), Line::new(at));
                    for place in 0..self.stations.len() {
                        self.collect(place);
                    }
                }
                Due::Event => match self.agenda.pop_first() {
                    Some((_, Event::Switched(frame))) => {
                        self.switch(frame);
                        return Some(at);
                    }
                    Some((_, Event::Arrived(mac, frame))) => {
                        if let Some(place) = self.stations.iter().position(|station| station.mac() == mac) {
                            self.stations[place].handle_frame(frame);
                            self.run(place);
                        }
                    }
                    None => {}
                },
            }
        }
    }

    /// The frame to which [`Self::advance`] went.
    pub(super) fn frame(&self) -> Frame<'_> {
        Frame {
            time: self.now,
            link: Link::Ethernet,
            wire_len: u32::try_from(self.mirrored.len()).unwrap_or(u32::MAX),
            bytes: &self.mirrored,
        }
    }

    /// What comes next; at the same time events come before stations, and stations in their order.
    fn due(&self) -> Option<(Timestamp, Due)> {
        let mut first = self.agenda.first_key_value().map(|((at, _), _)| (*at, Due::Event));
        let mut offer = |at: Option<Timestamp>, due: Due| {
            if let Some(at) = at
                && first.as_ref().is_none_or(|(earliest, _)| at < *earliest)
            {
                first = Some((at, due));
            }
        };
        for (place, station) in self.stations.iter().enumerate() {
            offer(station.wake(), Due::Station(place));
        }
        offer(self.director.wake(), Due::Director);
        first.map(|(at, due)| (at.max(self.now), due))
    }

    fn run(&mut self, place: usize) {
        if let Some(station) = self.stations.get_mut(place) {
            station.run(self.now);
        }
        self.collect(place);
    }

    fn collect(&mut self, place: usize) {
        while let (Some(station), Some(line)) = (self.stations.get_mut(place), self.lines.get_mut(place))
            && let Some((at, frame)) = station.poll_leaving(self.now, line)
        {
            self.push(at, Event::Switched(frame));
        }
    }

    fn switch(&mut self, frame: Vec<u8>) {
        if let Some((target, source)) = frame.first_chunk::<6>().zip(frame.get(6..12)) {
            let target = EthernetAddress(*target);
            let at = self.now + SWITCH_DELAY;
            let receivers: Vec<EthernetAddress> = self
                .stations
                .iter()
                .filter(|station| station.hears(target) && station.mac().as_bytes() != source)
                .map(Station::mac)
                .collect();
            for mac in receivers {
                self.push(at, Event::Arrived(mac, frame.clone()));
            }
        }
        self.frames += 1;
        self.mirrored = frame;
    }

    fn push(&mut self, at: Timestamp, event: Event) {
        self.agenda.insert((at, self.serial), event);
        self.serial += 1;
    }
}

impl Source for Network {
    fn next(&mut self) -> Result<Next<'_>, CaptureError> {
        Ok(match self.advance() {
            Some(_) => Next::Frame(self.frame()),
            None => Next::End,
        })
    }

    fn counters(&mut self) -> SourceCounters {
        SourceCounters { frames: self.frames, ..SourceCounters::default() }
    }
}
