//! ARP cache poisoning of one victim: unasked replies that give the router's address to the attacker, who passes on what
//! it then receives. At the end it repairs the victim's cache, as the usual tools do.

use smoltcp::wire::ArpOperation;

use super::{Cast, Scenario, Stage, Step};
use crate::demo::frames::{self, Claim};
use crate::demo::site::Member;
use crate::time::Span;

const SUBJECT: Member = Member::Phone;
const VICTIM: Member = Member::Workstation;

/// One reply each two seconds for two minutes, then three true ones.
const REPLIES: u32 = 60;
const REPAIRS: u32 = 3;
const PAUSE: (Span, Span) = (Span::from_millis(1_990), Span::from_millis(2_010));

pub(super) struct ArpSpoof {
    sent: u32,
}

impl ArpSpoof {
    pub(super) fn new() -> Self {
        Self { sent: 0 }
    }
}

impl Scenario for ArpSpoof {
    fn cast(&self, _stage: &Stage<'_>) -> Cast {
        Cast { subject: SUBJECT.mac(), ip: Some(SUBJECT.ip()), victim: Some(VICTIM.mac()) }
    }

    fn step(&mut self, stage: &mut Stage<'_>) -> Step {
        let lying = self.sent < REPLIES;
        let mac = if lying { SUBJECT.mac() } else { Member::Router.mac() };
        let sender = Claim { mac, ip: Member::Router.ip() };
        let stations = (SUBJECT.mac(), VICTIM.mac());
        stage.inject(SUBJECT.place(), frames::arp(ArpOperation::Reply, stations, sender, VICTIM.claim()));
        self.sent += 1;
        let done = self.sent == REPLIES + REPAIRS;
        if let Some(attacker) = stage.stations.get_mut(SUBJECT.place()) {
            attacker.set_relay((!done).then_some(Member::Router.mac()));
        }
        if done { Step::Done } else { Step::At(stage.now + stage.chance.span(PAUSE)) }
    }
}
