//! A vertical scan: SYNs from one port to many ports of one host, in random order. The victim's stack answers, and the
//! scanner's own stack resets what was accepted, as it does under any raw-socket scanner.

use super::{Cast, Scenario, Stage, Step};
use crate::demo::chance::Chance;
use crate::demo::frames;
use crate::demo::site::Member;
use crate::time::Span;

const SUBJECT: Member = Member::Camera;
const VICTIM: Member = Member::Nas;

/// Ports that every scanner tries, beside the lowest ones.
const FAVOURITES: [u16; 10] = [1433, 1883, 3306, 3389, 5006, 5432, 5900, 8000, 8080, 8443];

/// About how long it takes.
const DURATION: Span = Span::from_secs(20);

pub(super) struct PortScan {
    ports: Vec<u16>,
    pause: Span,
    source_port: u16,
}

impl PortScan {
    pub(super) fn new(chance: &mut Chance) -> Self {
        let count = u16::try_from(chance.between(190, 990)).unwrap_or(190);
        let mut ports: Vec<u16> = (1..=count).chain(FAVOURITES).collect();
        chance.shuffle(&mut ports);
        let pause = Span::from_nanos(DURATION.as_nanos() / u64::from(count));
        Self { ports, pause, source_port: chance.port() }
    }
}

impl Scenario for PortScan {
    fn cast(&self, _stage: &Stage<'_>) -> Cast {
        Cast { subject: SUBJECT.mac(), ip: Some(SUBJECT.ip()), victim: Some(VICTIM.mac()) }
    }

    fn step(&mut self, stage: &mut Stage<'_>) -> Step {
        if let Some(port) = self.ports.pop() {
            let sequence = stage.chance.number();
            let from = (SUBJECT.claim(), self.source_port);
            stage.inject(SUBJECT.place(), frames::tcp_open(from, (VICTIM.claim(), port), sequence));
        }
        if self.ports.is_empty() {
            return Step::Done;
        }
        let half = Span::from_nanos(self.pause.as_nanos() / 2);
        Step::At(stage.now + stage.chance.span((half, self.pause + half)))
    }
}
