//! A horizontal scan: an ARP request for every address of the network, then SYNs to some ports of each host that is
//! there.

use std::net::Ipv4Addr;

use super::{Cast, Scenario, Stage, Step};
use crate::demo::chance::Chance;
use crate::demo::frames;
use crate::demo::site::{Member, ROUTER_IP};
use crate::time::Span;

const SUBJECT: Member = Member::Television;

/// What worms look for.
const PORTS: [u16; 4] = [22, 23, 445, 8080];

/// Pause between two ARP requests, and between two SYNs.
const ASKING: (Span, Span) = (Span::from_millis(30), Span::from_millis(90));
const TRYING: (Span, Span) = (Span::from_millis(60), Span::from_millis(250));

pub(super) struct HostSweep {
    addresses: Vec<u8>,
    attempts: Vec<(Member, u16)>,
    source_port: u16,
}

impl HostSweep {
    pub(super) fn new(chance: &mut Chance) -> Self {
        let own = SUBJECT.ip().octets()[3];
        let mut addresses: Vec<u8> = (1..=254).rev().filter(|last| *last != own).collect();
        if chance.one_in(2) {
            chance.shuffle(&mut addresses);
        }
        let hosts = Member::ALL.into_iter().rev().filter(|member| *member != SUBJECT);
        let attempts = hosts.flat_map(|member| PORTS.map(|port| (member, port))).collect();
        Self { addresses, attempts, source_port: chance.port() }
    }
}

impl Scenario for HostSweep {
    fn cast(&self, _stage: &Stage<'_>) -> Cast {
        Cast { subject: SUBJECT.mac(), ip: Some(SUBJECT.ip()), victim: None }
    }

    fn step(&mut self, stage: &mut Stage<'_>) -> Step {
        if let Some(last) = self.addresses.pop() {
            let [a, b, c, _] = ROUTER_IP.octets();
            let frame = frames::arp_request(SUBJECT.claim(), Ipv4Addr::new(a, b, c, last));
            stage.inject(SUBJECT.place(), frame);
            return Step::At(stage.now + stage.chance.span(ASKING));
        }
        let Some((host, port)) = self.attempts.pop() else { return Step::Done };
        let sequence = stage.chance.number();
        self.source_port = self.source_port.wrapping_add(1).max(49_152);
        let from = (SUBJECT.claim(), self.source_port);
        stage.inject(SUBJECT.place(), frames::tcp_open(from, (host.claim(), port), sequence));
        if self.attempts.is_empty() { Step::Done } else { Step::At(stage.now + stage.chance.span(TRYING)) }
    }
}
