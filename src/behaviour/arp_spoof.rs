//! [`ArpSpoofs`]: an address is claimed by a second station while the first still uses it, in ARP or neighbour
//! discovery. Which of the two is the rightful one nobody on the wire can tell; the one that pushes its claim
//! unasked is named.
//!
//! Read first: RFC 826 and RFC 5227 (claims, probes, announcements), RFC 4861 section 7.2.6 (unsolicited
//! advertisements).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::binding::{Binding, Contest, GRACE, KNOWN, Manner, PUSHES, TURN};
use super::finding::{Finding, Report, Target, real, score, tens};
use super::table::{Entry, Table, Worth};
use super::trial::MEMORY;
use super::{Identity, Kind, Protocol, Reason};
use crate::bounded::scramble;
use crate::feature::{address_hash, station_hash};
use crate::flow::DeviceId;
use crate::packet::{
    Arp, ArpOperation, Dhcp, DhcpMessage, Digest, Hint, Icmp, IcmpKind, Ip, Mac, Network, Transport,
};
use crate::time::{Span, Timestamp};

/// How long a request makes a reply one that was asked for, unless another reply came [`GRACE`] before; hosts give up
/// and ask again after 1 s (RFC 1122, section 2.3.2.1).
const REQUEST_LIFE: Span = Span::from_secs(3);
/// Requests remembered; beyond it the oldest is forgotten, and its answer looks unasked.
const REQUESTS: usize = 128;
/// Addresses of others that are told of one station.
const ADDRESSES: usize = 8;
/// Stations that can be under suspicion at once.
const SUSPECTS: usize = 64;

/// An address on one VLAN: the same address on another is another host's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    vlan: Option<u16>,
    ip: IpAddr,
}

impl Place {
    fn hash(&self) -> u64 {
        let vlan = self.vlan.map_or(0, |id| u64::from(id) + 1);
        scramble(address_hash(self.ip) ^ vlan)
    }
}

/// Somebody asks who has an address. The asker is unspecified in a probe.
#[derive(Clone, Copy, Debug)]
struct Request {
    place: Place,
    asker: IpAddr,
    time: Timestamp,
    answered: Option<Timestamp>,
}

#[derive(Clone, Copy, Debug)]
struct Claim {
    place: Place,
    mac: Mac,
    manner: Manner,
    /// Whom it was told, where it was told to one.
    told: Option<(Mac, IpAddr)>,
}

/// A station in conflict with others.
#[derive(Clone, Debug)]
struct Suspect {
    identity: Identity,
    since: Timestamp,
    last: Timestamp,
    claims: u64,
    conflicts: Vec<Conflict>,
    report: Report,
}

/// An address that it claims although another uses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Conflict {
    ip: IpAddr,
    owner: Mac,
    told: Option<(Mac, IpAddr)>,
}

/// Addresses and who claims them. Holds a fixed number of addresses (180 bytes each), of which those claimed more often
/// stay (see [`Table`]), the latest 128 requests, and 64 stations under suspicion.
#[derive(Debug)]
pub(super) struct ArpSpoofs {
    bindings: Table<Place, Binding>,
    requests: [Option<Request>; REQUESTS],
    next_request: usize,
    suspects: Table<Mac, Suspect>,
    /// Until when traffic of claimants is looked at: only while someone pushes a claim to another's address.
    watch_until: Option<Timestamp>,
}

impl ArpSpoofs {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            bindings: Table::new(capacity),
            requests: [None; REQUESTS],
            next_request: 0,
            suspects: Table::new(SUSPECTS),
            watch_until: None,
        }
    }

    /// A packet and the device that sent it.
    pub(super) fn handle_packet(&mut self, digest: &Digest, source: Option<DeviceId>) -> Option<Finding> {
        // Who has an address at the other end of a tunnel is told by no station of this link.
        if digest.is_carried() {
            return None;
        }
        if let Hint::Dhcp(dhcp) = &digest.hint {
            self.leased(digest, dhcp);
            return None;
        }
        match &digest.network {
            Network::Arp(arp) => self.arp(digest, arp, source),
            Network::Ip(ip) => {
                if let Transport::Icmp(icmp) = &ip.transport
                    && let Some(finding) = self.neighbour(digest, icmp, ip, source)
                {
                    return Some(finding);
                }
                self.traffic(digest, ip.source);
                None
            }
            Network::Other => None,
        }
    }

    /// Whether an address was heard on this link within the last hour.
    pub(super) fn is_known(&mut self, vlan: Option<u16>, ip: IpAddr, now: Timestamp) -> bool {
        let place = Place { vlan, ip };
        self.bindings.get(place.hash(), &place).is_some_and(|binding| now.since(binding.latest()) < KNOWN)
    }

    pub(super) fn restart(&mut self) {
        self.bindings.clear();
        self.requests = [None; REQUESTS];
        self.suspects.clear();
        self.watch_until = None;
    }

    /// Addresses held.
    #[cfg(test)]
    pub(super) fn len(&mut self) -> usize {
        self.bindings.iter_mut().count()
    }

    fn arp(&mut self, digest: &Digest, arp: &Arp, source: Option<DeviceId>) -> Option<Finding> {
        let at = |ip| Place { vlan: digest.vlan, ip: IpAddr::V4(ip) };
        let announces = arp.sender_ip == arp.target_ip;
        if arp.operation == ArpOperation::Request && !announces {
            self.asked(Request {
                place: at(arp.target_ip),
                asker: IpAddr::V4(arp.sender_ip),
                time: digest.time,
                answered: None,
            });
        }
        if !is_host(arp.sender_ip) {
            return None;
        }
        let manner = match arp.operation {
            _ if announces => Manner::Pushed,
            ArpOperation::Request => asking(digest),
            ArpOperation::Reply => self.reply(at(arp.sender_ip), IpAddr::V4(arp.target_ip), digest.time),
            ArpOperation::Unknown(_) => return None,
        };
        // Who asks leaves the target's station open.
        let to = if manner == Manner::Polling { digest.destination } else { arp.target_mac };
        let to_one = !announces && !to.is_group() && !to.is_zero();
        let told = to_one.then_some((to, IpAddr::V4(arp.target_ip)));
        let claim = Claim { place: at(arp.sender_ip), mac: arp.sender_mac, manner, told };
        self.claim(digest, claim, source)
    }

    fn neighbour(
        &mut self,
        digest: &Digest,
        icmp: &Icmp,
        ip: &Ip,
        source: Option<DeviceId>,
    ) -> Option<Finding> {
        let at = |ip| Place { vlan: digest.vlan, ip };
        let claim = match icmp.kind {
            IcmpKind::NeighbourSolicitation { target, link } => {
                self.asked(Request {
                    place: at(target),
                    asker: ip.source,
                    time: digest.time,
                    answered: None,
                });
                let mac = link.filter(|_| !ip.source.is_unspecified())?;
                let manner = asking(digest);
                let told = (manner == Manner::Polling).then_some((digest.destination, target));
                Claim { place: at(ip.source), mac, manner, told }
            }
            IcmpKind::NeighbourAdvertisement { target, link } => {
                // The answer to a probe goes to all nodes (RFC 4861, section 7.2.4).
                let all = ip.destination.is_multicast();
                let asker = if all { IpAddr::V6(Ipv6Addr::UNSPECIFIED) } else { ip.destination };
                let manner = self.reply(at(target), asker, digest.time);
                let told = (!all).then_some((digest.destination, ip.destination));
                Claim { place: at(target), mac: link.unwrap_or(digest.source), manner, told }
            }
            _ => return None,
        };
        self.claim(digest, claim, source)
    }

    /// A station says that an address is its own.
    fn claim(&mut self, digest: &Digest, claim: Claim, source: Option<DeviceId>) -> Option<Finding> {
        if claim.mac.is_group() || claim.mac.is_zero() || is_virtual(claim.mac) {
            return None;
        }
        let now = digest.time;
        let fresh = || Binding::new(claim.mac, now);
        let binding = match self.bindings.entry(claim.place.hash(), claim.place, now, Binding::worth) {
            Entry::Known(binding) => binding,
            Entry::Free(free) => free.fill(fresh, |old| *old = fresh()),
        };
        let contest = binding.note(claim.mac, claim.manner, now);
        if matches!(claim.manner, Manner::Pushed | Manner::Polling) && binding.is_contested() {
            self.watch_until = Some(now + TURN);
        }
        self.accuse(digest, &claim, contest?, source)
    }

    /// The claim conflicts: tells of it when it is time.
    fn accuse(
        &mut self,
        digest: &Digest,
        claim: &Claim,
        contest: Contest,
        source: Option<DeviceId>,
    ) -> Option<Finding> {
        let now = digest.time;
        let device = source.filter(|_| digest.source == claim.mac);
        let identity = Identity { device, mac: Some(claim.mac), ip: None };
        let fresh = || Suspect::new(identity, &contest);
        let suspect = match self.suspects.entry(station_hash(claim.mac), claim.mac, now, Suspect::worth) {
            Entry::Known(suspect) => suspect,
            Entry::Free(free) => free.fill(fresh, |old| *old = fresh()),
        };
        if now.since(suspect.last) >= MEMORY {
            *suspect = Suspect::new(identity, &contest);
        }
        suspect.last = now;
        suspect.report.note(1, u64::from(digest.wire_len));
        let new = suspect.add(Conflict { ip: claim.place.ip, owner: contest.owner, told: claim.told });
        suspect.claims += if new { contest.pushes } else { 1 };
        let due = suspect.report.is_due(now, suspect.claims, suspect.claims);
        (new || due).then(|| suspect.tell(now))
    }

    /// Traffic from a claimant's own address and station shows that it is there.
    fn traffic(&mut self, digest: &Digest, from: IpAddr) {
        if self.watch_until.is_none_or(|until| digest.time > until) {
            return;
        }
        let place = Place { vlan: digest.vlan, ip: from };
        if let Some(binding) = self.bindings.get(place.hash(), &place) {
            binding.note_traffic(digest.source, digest.time);
        }
    }

    /// The DHCP server gives an address to a station: it is its own now, whoever had it. (A rogue server could clear a
    /// claim so; but then it is one, and seen.)
    fn leased(&mut self, digest: &Digest, dhcp: &Dhcp) {
        let (DhcpMessage::Ack, Some(address)) = (dhcp.message, dhcp.address) else { return };
        let place = Place { vlan: digest.vlan, ip: IpAddr::V4(address) };
        if let Some(binding) = self.bindings.get(place.hash(), &place) {
            *binding = Binding::new(dhcp.client, digest.time);
        }
    }

    fn asked(&mut self, request: Request) {
        self.requests[self.next_request] = Some(request);
        self.next_request = (self.next_request + 1) % REQUESTS;
    }

    /// Whether a reply to somebody was asked for by him.
    fn reply(&mut self, place: Place, asker: IpAddr, now: Timestamp) -> Manner {
        let fits = |request: &&mut Request| {
            request.place == place
                && request.asker == asker
                && now.since(request.time) < REQUEST_LIFE
                && request.answered.is_none_or(|first| now.since(first) < GRACE)
        };
        match self.requests.iter_mut().flatten().find(fits) {
            Some(request) => {
                request.answered.get_or_insert(now);
                Manner::Answering
            }
            None => Manner::Pushed,
        }
    }
}

impl Suspect {
    fn worth(&self) -> Worth {
        Worth { value: self.claims, until: Timestamp::from_nanos(i64::MAX) }
    }

    fn new(identity: Identity, contest: &Contest) -> Self {
        Self {
            identity,
            since: contest.since,
            last: contest.since,
            claims: 0,
            conflicts: Vec::with_capacity(ADDRESSES),
            report: Report::default(),
        }
    }

    /// Notes an address, up to [`ADDRESSES`]. Says whether it is new.
    fn add(&mut self, conflict: Conflict) -> bool {
        if let Some(known) = self.conflicts.iter_mut().find(|known| known.ip == conflict.ip) {
            *known = conflict;
            return false;
        }
        let room = self.conflicts.len() < ADDRESSES;
        if room {
            self.conflicts.push(conflict);
        }
        room
    }

    fn tell(&mut self, now: Timestamp) -> Finding {
        let (packets, bytes) = self.report.speak(now, self.claims, self.claims);
        let addresses = u64::try_from(self.conflicts.len()).unwrap_or(0);
        // Each further address claimed weighs as much as ten times the claims.
        let (by_claims, by_addresses) = (tens(self.claims, PUSHES), real(addresses.saturating_sub(1)));
        let all = by_claims + by_addresses;
        let mut reasons = vec![
            Reason::counted(
                "conflicting_claims",
                real(self.claims),
                "claims",
                Some(real(PUSHES)),
                by_claims / all,
            ),
            Reason::counted("claimed_addresses", real(addresses), "addresses", Some(1.0), by_addresses / all),
        ];
        reasons.sort_by(|a, b| b.contribution.total_cmp(&a.contribution));
        Finding {
            kind: Kind::ArpSpoof,
            time: now,
            since: self.since,
            subject: self.identity,
            target_count: addresses,
            targets: self.targets(),
            reasons,
            packets,
            bytes,
            score: score(all),
            confidence: if addresses >= 2 { 0.95 } else { 0.8 },
        }
    }

    /// The stations whose addresses it claims, then those that were told so.
    fn targets(&self) -> Vec<Target> {
        let target = |mac, ip| Target {
            identity: Identity { device: None, mac: Some(mac), ip: Some(ip) },
            port: None,
            protocol: Protocol::Arp,
        };
        let mut targets: Vec<Target> = self.conflicts.iter().map(|c| target(c.owner, c.ip)).collect();
        for (mac, ip) in self.conflicts.iter().filter_map(|conflict| conflict.told) {
            if targets.iter().all(|known| known.identity.ip != Some(ip)) {
                targets.push(target(mac, ip));
            }
        }
        targets
    }
}

/// How a request tells of the asker.
fn asking(digest: &Digest) -> Manner {
    if digest.destination.is_group() { Manner::Asking } else { Manner::Polling }
}

/// An address that one host can have.
fn is_host(ip: Ipv4Addr) -> bool {
    !(ip.is_unspecified() || ip.is_broadcast() || ip.is_multicast() || ip.is_loopback())
}

/// Addresses that move between routers by design: VRRP and CARP (RFC 9568, section 7.3), HSRP (RFC 2281 and its
/// version 2 for IPv4 and IPv6), GLBP.
fn is_virtual(mac: Mac) -> bool {
    matches!(
        mac.0,
        [0x00, 0x00, 0x5e, 0x00, 0x01 | 0x02, _]
            | [0x00, 0x00, 0x0c, 0x07, 0xac, _]
            | [0x00, 0x00, 0x0c, 0x9f, 0xf0..=0xff, _]
            | [0x00, 0x05, 0x73, 0xa0, 0x00..=0x0f, _]
            | [0x00, 0x07, 0xb4, 0x00, _, _]
    )
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv6Addr};

    use super::super::scene::{Scene, far, ip, mac, v4};
    use super::super::{Evidence, Kind, Protocol};
    use super::ArpSpoofs;
    use crate::packet::{ArpOperation, DhcpMessage, Digest, Hint, IcmpKind, Mac, Network};
    use crate::time::Timestamp;

    const ROUTER: u8 = 1;
    const VICTIM: u8 = 10;
    const SPOOFER: u8 = 66;

    /// A network in which router and victim have been heard.
    fn quiet() -> Scene {
        let mut scene = Scene::new();
        scene.ask(VICTIM, ROUTER);
        scene.reply(mac(ROUTER), ROUTER, VICTIM);
        scene.ask(ROUTER, VICTIM);
        scene.reply(mac(VICTIM), VICTIM, ROUTER);
        scene.wait(60_000);
        scene
    }

    #[test]
    fn poisoning_of_both_sides_is_found_at_the_second_claim() {
        for gap in [1_000, 2_000, 10_000] {
            let mut scene = quiet();
            let began = scene.now();
            for _ in 0..6 {
                scene.reply(mac(SPOOFER), VICTIM, ROUTER);
                scene.reply(mac(SPOOFER), ROUTER, VICTIM);
                scene.wait(gap / 2);
                // Both still send with their own stations.
                scene.traffic(VICTIM);
                scene.traffic(ROUTER);
                scene.wait(gap / 2);
            }
            let evidence = scene.expect(Kind::ArpSpoof);
            assert_eq!(evidence.subject.mac, Some(mac(SPOOFER)));
            assert_eq!(evidence.since, began);
            assert!(evidence.time.since(began).as_secs() <= u64::try_from(gap).unwrap() / 1_000);
            assert_eq!((evidence.peers[0].mac, evidence.peers[0].ip), (Some(mac(VICTIM)), Some(ip(VICTIM))));
            assert_eq!(evidence.peers[0].protocol, Some(Protocol::Arp));
            let both = &scene.found[1];
            assert_eq!((both.reasons[1].feature.as_ref(), both.reasons[1].value), ("claimed_addresses", 2.0));
            assert_eq!((both.peers.len(), evidence.peer_count, both.peer_count), (2, 1, 2));
            let shares =
                |evidence: &Evidence| evidence.reasons.iter().map(|r| r.contribution).collect::<Vec<_>>();
            assert_eq!(shares(evidence), [1.0, 0.0], "one address is what every claim has");
            // The second address counts as one power of ten, twice the claims at the threshold as 4.3.
            assert!(shares(both)[1] > 1.0 / 5.5 && shares(both)[0] > 4.0 / 5.5, "{:?}", shares(both));
            assert!(both.score > evidence.score && both.confidence > evidence.confidence);
        }
    }

    #[test]
    fn the_victim_that_answers_for_itself_is_enough() {
        let mut scene = quiet();
        for _ in 0..5 {
            scene.reply(mac(SPOOFER), VICTIM, ROUTER);
            scene.wait(1_000);
            scene.ask(ROUTER, VICTIM);
            scene.reply(mac(VICTIM), VICTIM, ROUTER);
            scene.wait(1_000);
        }
        scene.expect(Kind::ArpSpoof);
    }

    #[test]
    fn poisoning_by_requests_to_one_is_found() {
        let mut scene = quiet();
        for _ in 0..3 {
            poll(&mut scene, mac(SPOOFER), VICTIM, ROUTER);
            poll(&mut scene, mac(SPOOFER), ROUTER, VICTIM);
            scene.wait(1_000);
            scene.traffic(VICTIM);
            scene.traffic(ROUTER);
            scene.wait(1_000);
        }
        let evidence = scene.expect(Kind::ArpSpoof);
        assert_eq!(evidence.subject.mac, Some(mac(SPOOFER)));
        let peers: Vec<_> = evidence.peers.iter().map(|peer| (peer.mac, peer.ip)).collect();
        assert_eq!(peers, [(Some(mac(VICTIM)), Some(ip(VICTIM))), (Some(mac(ROUTER)), Some(ip(ROUTER)))]);
    }

    #[test]
    fn who_polls_its_neighbours_is_no_spoofer_though_another_relays_for_it() {
        // The tap knows the victim from before, or it comes when the spoofer is at work already.
        for known in [true, false] {
            let mut scene = if known { quiet() } else { Scene::new() };
            for _ in 0..6 {
                scene.reply(mac(SPOOFER), VICTIM, ROUTER);
                scene.wait(700);
                let relayed = (ip(VICTIM), far(1));
                scene.icmp6(mac(SPOOFER), relayed, IcmpKind::EchoReply(1));
                scene.traffic(VICTIM);
                poll(&mut scene, mac(VICTIM), VICTIM, ROUTER);
                scene.wait(300);
            }
            scene.expect(Kind::ArpSpoof);
            assert!(scene.found.iter().all(|evidence| evidence.subject.mac == Some(mac(SPOOFER))));
        }
        // Without any spoofer: for hours, and from a new station once the address has moved.
        let mut scene = quiet();
        for round in 0..400 {
            let station = if round < 200 { mac(VICTIM) } else { mac(30) };
            poll(&mut scene, station, VICTIM, ROUTER);
            poll(&mut scene, mac(ROUTER), ROUTER, VICTIM);
            scene.wait(15_000);
        }
        scene.expect_nothing();
    }

    /// A request to one station alone.
    fn poll(scene: &mut Scene, station: Mac, address: u8, to: u8) {
        scene.arp(ArpOperation::Request, (station, v4(address)), (mac(to), v4(to)));
    }

    #[test]
    fn asking_before_the_claim_does_not_make_it_an_answer() {
        let mut scene = quiet();
        scene.ask(SPOOFER, VICTIM);
        for _ in 0..2 {
            scene.reply(mac(SPOOFER), VICTIM, ROUTER);
            scene.wait(1_000);
            scene.traffic(VICTIM);
        }
        scene.expect(Kind::ArpSpoof);
    }

    #[test]
    fn announcements_to_all_are_claims() {
        let mut scene = quiet();
        for _ in 0..3 {
            scene.announce(mac(SPOOFER), ROUTER);
            scene.wait(2_000);
            scene.traffic(ROUTER);
        }
        assert_eq!(scene.expect(Kind::ArpSpoof).peers[0].mac, Some(mac(ROUTER)));
    }

    #[test]
    fn it_speaks_again_at_doublings_and_each_half_minute() {
        let mut scene = quiet();
        for _ in 0..120 {
            scene.reply(mac(SPOOFER), VICTIM, ROUTER);
            scene.traffic(VICTIM);
            scene.wait(1_000);
        }
        assert!((6..=9).contains(&scene.found.len()), "{}", scene.found.len());
        let packets: u64 = scene.found.iter().map(|evidence| evidence.packets).sum();
        assert!((100..=120).contains(&packets), "{packets}");
    }

    #[test]
    fn an_address_that_moves_is_no_spoof() {
        // A new station takes an address whose former one is gone, as DHCP gives it or as it is configured.
        let mut scene = quiet();
        scene.probe(mac(30), VICTIM);
        scene.wait(1_000);
        for _ in 0..3 {
            scene.announce(mac(30), VICTIM);
            scene.wait(2_000);
            scene.ask(ROUTER, VICTIM);
            scene.reply(mac(30), VICTIM, ROUTER);
        }
        scene.expect_nothing();
        // The server gave it away although the former one still sends for a while.
        let mut scene = quiet();
        scene.traffic(VICTIM);
        scene.announce(mac(30), VICTIM);
        scene.traffic(VICTIM);
        scene.wait(800);
        scene.dhcp(ROUTER, DhcpMessage::Ack, VICTIM, mac(30));
        scene.announce(mac(30), VICTIM);
        scene.wait(2_000);
        scene.announce(mac(30), VICTIM);
        scene.expect_nothing();
    }

    #[test]
    fn a_planned_failover_is_no_spoof() {
        let mut scene = quiet();
        for _ in 0..4 {
            scene.announce(mac(30), VICTIM);
            scene.wait(100);
            // What was under way.
            scene.traffic(VICTIM);
        }
        scene.wait(1_000);
        scene.announce(mac(30), VICTIM);
        scene.expect_nothing();
    }

    #[test]
    fn virtual_routers_are_no_spoofers() {
        for station in [
            Mac([0, 0, 0x5e, 0, 1, 7]),
            Mac([0, 0, 0x0c, 7, 0xac, 1]),
            Mac([0, 0, 0x0c, 0x9f, 0xf0, 1]),
            Mac([0, 7, 0xb4, 0, 1, 2]),
        ] {
            let mut scene = quiet();
            for _ in 0..10 {
                scene.announce(station, ROUTER);
                scene.wait(1_000);
                scene.announce(mac(ROUTER), ROUTER);
                scene.traffic(ROUTER);
                scene.wait(1_000);
            }
            scene.expect_nothing();
        }
    }

    #[test]
    fn who_only_answers_or_asks_for_others_is_no_spoofer() {
        // Proxy ARP, an extender, or a second adapter: each question is answered twice, and asked from either.
        let mut scene = quiet();
        for _ in 0..50 {
            scene.ask(ROUTER, VICTIM);
            scene.reply(mac(VICTIM), VICTIM, ROUTER);
            scene.reply(mac(30), VICTIM, ROUTER);
            scene.traffic(VICTIM);
            scene.arp(ArpOperation::Request, (mac(30), v4(VICTIM)), (Mac::default(), v4(ROUTER)));
            scene.wait(5_000);
        }
        scene.expect_nothing();
    }

    #[test]
    fn a_client_that_leaves_an_extender_is_no_spoofer() {
        let mut scene = quiet();
        for _ in 0..2 {
            scene.announce(mac(30), VICTIM);
            scene.wait(1_000);
            scene.ask(ROUTER, VICTIM);
            scene.reply(mac(VICTIM), VICTIM, ROUTER);
            scene.wait(1_000);
        }
        scene.expect_nothing();
    }

    #[test]
    fn adapters_of_one_device_are_one() {
        let mut scene = quiet();
        let Mac([a, b, c, d, e, _]) = mac(VICTIM);
        for _ in 0..10 {
            scene.reply(Mac([a, b, c, d, e, 2]), VICTIM, ROUTER);
            scene.wait(1_000);
            scene.traffic(VICTIM);
        }
        scene.expect_nothing();
    }

    #[test]
    fn neighbour_advertisements_are_claims_too() {
        let host = |n| IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, n));
        let all = IpAddr::V6(Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1));
        let advertise = |station| IcmpKind::NeighbourAdvertisement { target: host(1), link: Some(station) };
        let mut scene = quiet();
        scene.icmp6(mac(ROUTER), (host(1), all), advertise(mac(ROUTER)));
        for _ in 0..3 {
            scene.icmp6(mac(SPOOFER), (host(66), host(10)), advertise(mac(SPOOFER)));
            scene.wait(1_000);
            let kind = IcmpKind::NeighbourSolicitation { target: host(10), link: Some(mac(ROUTER)) };
            scene.icmp6(mac(ROUTER), (host(1), host(10)), kind);
            scene.wait(1_000);
        }
        let evidence = scene.expect(Kind::ArpSpoof);
        assert_eq!((evidence.subject.mac, evidence.peers[0].ip), (Some(mac(SPOOFER)), Some(host(1))));
    }

    #[test]
    fn the_same_address_on_another_vlan_is_another() {
        let mut spoofs = ArpSpoofs::new(64);
        let mut millis = 0;
        for _ in 0..20 {
            for (vlan, station) in [(10, mac(VICTIM)), (20, mac(30))] {
                millis += 1_000;
                assert!(
                    spoofs.handle_packet(&announcement(millis, Some(vlan), station, v4(5)), None).is_none()
                );
            }
        }
    }

    #[test]
    fn a_flood_of_claims_neither_grows_memory_nor_hides_a_spoofer() {
        let mut spoofs = ArpSpoofs::new(64);
        let mut found = 0;
        let mut flood = 0_u32;
        for second in 0..8 {
            let time = 1_000 * second;
            for _ in 0..3 {
                spoofs.handle_packet(&announcement(time, None, mac(VICTIM), v4(VICTIM)), None);
            }
            for _ in 0..10_000 {
                flood += 1;
                let address = std::net::Ipv4Addr::from_bits(0x0a00_0000 + flood);
                spoofs.handle_packet(&announcement(time + 1, None, mac(99), address), None);
            }
            spoofs.handle_packet(&asking(time + 2, mac(VICTIM), v4(VICTIM)), None);
            let claim = announcement(time + 600, None, mac(SPOOFER), v4(VICTIM));
            let finding = spoofs.handle_packet(&claim, None);
            found += usize::from(finding.is_some_and(|f| f.subject.mac == Some(mac(SPOOFER))));
        }
        assert_eq!(spoofs.len(), 64);
        assert!(found >= 2, "{found}");
    }

    fn announcement(millis: i64, vlan: Option<u16>, station: Mac, address: std::net::Ipv4Addr) -> Digest {
        let mut digest = asking(millis, station, address);
        digest.vlan = vlan;
        if let Network::Arp(arp) = &mut digest.network {
            arp.target_ip = address;
        }
        digest
    }

    fn asking(millis: i64, station: Mac, address: std::net::Ipv4Addr) -> Digest {
        Digest {
            time: Timestamp::from_nanos(millis * 1_000_000),
            wire_len: 60,
            source: station,
            destination: Mac::BROADCAST,
            vlan: None,
            ether_type: 0x0806,
            tunnel: None,
            unknown: None,
            network: Network::Arp(crate::packet::Arp {
                operation: ArpOperation::Request,
                sender_mac: station,
                sender_ip: address,
                target_mac: Mac::default(),
                target_ip: v4(200),
            }),
            hint: Hint::None,
            fault: None,
        }
    }
}
