//! [`HostSweeps`]: one host tries many others, by TCP, UDP, ICMP echo, ARP or neighbour discovery. Which ports of one
//! host are tried is not its concern.
//!
//! Read first: Jung et al., "Fast Portscan Detection Using Sequential Hypothesis Testing", IEEE S&P 2004; Zeek's
//! `policy/misc/scan.zeek` for the slow threshold.

use std::net::IpAddr;

use super::finding::{Actor, Finding, Report, Target, failed_share, real, score, tens};
use super::table::{Entry, Table};
use super::trial::{EXCESS, Outcome, Silence, Trials, Tried};
use super::{Identity, Kind, Protocol, Reason, is_single};
use crate::feature::address_hash;
use crate::flow::{EndReason, FlowEvent, FlowRecord, News};
use crate::packet::{ArpOperation, Dhcp, DhcpMessage, Digest, Hint, IcmpKind, Mac, Network, Transport};
use crate::time::{Span, Timestamp};

/// Failed hosts from which on it is a sweep: `Scan::addr_scan_threshold` of Zeek, within its 5 minutes.
pub(super) const FAILED_HOSTS: u64 = 25;
/// Failed hosts from which on it is a sweep when they come in [`BURST`]. By the sequential test four without a success
/// would do; ten keep off a device that looks for its few peers of yesterday after a power cut.
const BURST_HOSTS: u64 = 10;
/// The length of a burst: a sweep of a /24 takes 2 to 10 seconds with the usual tools.
const BURST: Span = Span::from_secs(10);
/// Hosts pinged in a [`BURST`] from which on it may be a sweep of a segment where most addresses are in use; it takes
/// more than the phones whose presence a home automation pings.
const PINGED_HOSTS: u64 = 15;
/// Natural logarithms of the weights of a ping without and with an answer there: a monitor is answered by 0.9 of the
/// hosts it knows, a sweep of a densely used segment by 0.6.
const PING_WEIGHTS: [f64; 2] = [1.386, -0.405];
/// Logarithm of the bound that their sum must pass: 99, as in [`EXCESS`].
const PING_BOUND: f64 = 4.595;
/// Silent or refused hosts where these say little: a lost uplink or a broken IPv6 makes a browser fail on dozens of
/// hosts in minutes, but not on so many without one success.
const SILENT_HOSTS: u64 = 100;
/// Ports that clients try by name, many hosts in a minute, and that fail in bulk when the uplink does.
const WEB: [u16; 2] = [80, 443];
/// QUIC (RFC 9308, section 2): clients race it against TCP and fall back in silence where UDP is blocked.
const QUIC: u16 = 443;
/// One of this many failures at least must be on the same service: a sweep looks for something, a peer-to-peer client
/// finds each peer on another port.
const SERVICE_SHARE: u64 = 3;
const TCP: u8 = 6;
const UDP: u8 = 17;

/// What was looked for on a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Service {
    protocol: Protocol,
    port: u16,
}

impl Service {
    const ARP: Self = Self { protocol: Protocol::Arp, port: 0 };
    const ECHO: Self = Self { protocol: Protocol::Icmp, port: 0 };
}

/// A host that was tried. The same host counts once, whatever was looked for on it.
#[derive(Clone, Copy, Debug)]
struct Host {
    ip: IpAddr,
    service: Service,
}

impl Tried for Host {
    fn same(&self, other: &Self) -> bool {
        self.ip == other.ip
    }

    fn hash(&self) -> u64 {
        address_hash(self.ip)
    }
}

/// Hosts that one host tried.
#[derive(Clone, Debug)]
struct Sweep {
    source: Identity,
    hosts: Trials<Host>,
    report: Report,
}

const _: () = assert!(size_of::<Sweep>() <= 3_200, "the memory per host is a promise");

/// Hosts that try others. Holds a fixed number of them (3.2 kB each, taken at first use), see
/// [`Table`] for who makes room.
#[derive(Debug)]
pub(super) struct HostSweeps {
    sources: Table<Actor, Sweep>,
    vantage: Vantage,
}

impl HostSweeps {
    pub(super) fn new(capacity: usize) -> Self {
        Self { sources: Table::new(capacity), vantage: Vantage::default() }
    }

    /// A packet with its ends: looks at ARP, neighbour discovery, echo and DHCP only. `is_known` tells an address that
    /// has itself been heard on this link: to ask for it again is a router's daily work.
    pub(super) fn handle_packet(
        &mut self,
        digest: &Digest,
        [source, destination]: [Identity; 2],
        is_known: impl FnMut(IpAddr) -> bool,
    ) -> Option<Finding> {
        if let Hint::Dhcp(dhcp) = &digest.hint {
            self.offered(&source, dhcp);
            return None;
        }
        match probe(digest)? {
            Probe::Ask(host) => self.ask(digest, source, host, is_known),
            Probe::Answer(ip, service) => {
                if service == Service::ARP && !digest.destination.is_group() {
                    self.vantage.note([digest.source, digest.destination]);
                }
                let actor = Actor::of(&destination)?;
                let sweep = self.sources.get(actor.hash(), &actor)?;
                sweep.hosts.answer(&Host { ip, service });
                None
            }
        }
    }

    /// Something happened to a flow, which is news of this kind. `believable` says whether silence tells anything on
    /// this tap.
    pub(super) fn handle_flow(&mut self, event: &FlowEvent, news: News, believable: bool) -> Option<Finding> {
        let flow = &event.flow;
        let (service, silence) = looked_for(flow)?;
        // Where silence says nothing, a try counts once it is refused.
        let begins = if silence.is_some() { News::Opened } else { News::Refused };
        let silence = silence.unwrap_or(Silence::TellsLittle);
        let source = Identity::from(&flow.client);
        let actor = Actor::of(&source)?;
        let host = Host { ip: flow.server.ip, service };
        let now = event.time;
        let sweep = if news == begins {
            let sweep = self.sweep(actor, source, now);
            sweep.source = source;
            sweep.open(host, now, silence, [flow.to_server.packets, flow.to_server.bytes]);
            sweep.hosts.expire(now, believable);
            sweep
        } else {
            self.sources.get(actor.hash(), &actor)?
        };
        match news {
            News::Opened if begins == News::Opened => {}
            News::Answered => sweep.hosts.answer(&host),
            News::Refused => {
                sweep.report.note(flow.to_client.packets, flow.to_client.bytes);
                sweep.hosts.refuse(&host, silence);
            }
            News::Ended(EndReason::Unanswered) if believable => sweep.hosts.refuse(&host, silence),
            News::Opened | News::Renewed | News::Ended(_) => return None,
        }
        sweep.judge(now)
    }

    /// Takes up what waited too long; bounded by the capacity.
    pub(super) fn handle_time(&mut self, now: Timestamp, believable: bool, found: &mut impl FnMut(Finding)) {
        for (_, sweep) in self.sources.iter_mut() {
            let news = sweep.hosts.expire(now, believable);
            if (news || sweep.report.has_spoken())
                && let Some(finding) = sweep.judge(now)
            {
                found(finding);
            }
        }
    }

    pub(super) fn restart(&mut self) {
        self.sources.clear();
    }

    /// Sources held.
    #[cfg(test)]
    pub(super) fn len(&mut self) -> usize {
        self.sources.iter_mut().count()
    }

    fn sweep(&mut self, actor: Actor, source: Identity, now: Timestamp) -> &mut Sweep {
        match self.sources.entry(actor.hash(), actor, now, |sweep| sweep.hosts.worth()) {
            Entry::Known(sweep) => sweep,
            Entry::Free(free) => free.fill(|| Sweep::new(source, now), |sweep| sweep.restart(source, now)),
        }
    }

    fn ask(
        &mut self,
        digest: &Digest,
        source: Identity,
        host: Host,
        mut is_known: impl FnMut(IpAddr) -> bool,
    ) -> Option<Finding> {
        if host.service == Service::ARP && is_known(host.ip) {
            return None;
        }
        let actor = Actor::of(&source)?;
        let now = digest.time;
        let deaf = host.service == Service::ARP && !self.vantage.hears_answers_to(digest.source);
        let silence = if deaf { Silence::TellsLittle } else { Silence::Tells };
        let sweep = self.sweep(actor, source, now);
        sweep.source = source;
        sweep.open(host, now, silence, [1, u64::from(digest.wire_len)]);
        sweep.judge(now)
    }

    /// A DHCP server probes an address before it offers it (RFC 2131, section 2.2), and hopes for silence.
    fn offered(&mut self, server: &Identity, dhcp: &Dhcp) {
        let Some(address) = dhcp.address else { return };
        if !matches!(dhcp.message, DhcpMessage::Offer | DhcpMessage::Ack) {
            return;
        }
        let Some(actor) = Actor::of(server) else { return };
        if let Some(sweep) = self.sources.get(actor.hash(), &actor) {
            sweep.hosts.answer(&Host { ip: IpAddr::V4(address), service: Service::ECHO });
        }
    }
}

/// Where the tap sits, as far as answers to ARP and neighbour discovery tell. They go to the asker alone. On the mirror
/// of one port (an uplink, say) all that are seen have one station in common, and others are answered unseen.
#[derive(Debug, Default)]
struct Vantage {
    /// The stations that all answers seen so far have in common; none before the first.
    common: Option<[Option<Mac>; 2]>,
}

impl Vantage {
    /// An answer from one station to another was seen.
    fn note(&mut self, ends: [Mac; 2]) {
        let common = self.common.get_or_insert(ends.map(Some));
        for station in common {
            *station = station.filter(|mac| ends.contains(mac));
        }
    }

    /// Whether answers of others to this station would be seen.
    fn hears_answers_to(&self, asker: Mac) -> bool {
        self.common.is_some_and(|common| common.iter().flatten().all(|mac| *mac == asker))
    }
}

/// What a packet asks or answers.
enum Probe {
    Ask(Host),
    Answer(IpAddr, Service),
}

/// Reads ARP, neighbour discovery and echo; nothing else is a probe here. Announcements ask nobody.
fn probe(digest: &Digest) -> Option<Probe> {
    let ask = |ip, service| Some(Probe::Ask(Host { ip, service }));
    match &digest.network {
        Network::Arp(arp) => match arp.operation {
            ArpOperation::Request if arp.target_ip != arp.sender_ip && !arp.target_ip.is_unspecified() => {
                ask(IpAddr::V4(arp.target_ip), Service::ARP)
            }
            ArpOperation::Reply => Some(Probe::Answer(IpAddr::V4(arp.sender_ip), Service::ARP)),
            _ => None,
        },
        Network::Ip(ip) => {
            let Transport::Icmp(icmp) = &ip.transport else { return None };
            match icmp.kind {
                // Broadcast is no exception: who sweeps a segment pings its first and last address too.
                IcmpKind::EchoRequest(_) if !ip.destination.is_multicast() => {
                    ask(ip.destination, Service::ECHO)
                }
                IcmpKind::EchoReply(_) => Some(Probe::Answer(ip.source, Service::ECHO)),
                IcmpKind::NeighbourSolicitation { target, .. } => ask(target, Service::ARP),
                IcmpKind::NeighbourAdvertisement { target, .. } => Some(Probe::Answer(target, Service::ARP)),
                _ => None,
            }
        }
        Network::Other => None,
    }
}

/// What a flow looks for, and what silence says there; none where it is no try of one host.
///
/// Silence says nothing to UDP towards a higher port, which may be an answer, nor to TCP of which the beginning was not
/// seen. Refusals say little there: after a power cut many peers refuse a connection that they have forgotten.
fn looked_for(flow: &FlowRecord) -> Option<(Service, Option<Silence>)> {
    let port = flow.server.port;
    let (protocol, silence) = match flow.protocol {
        TCP if flow.midstream => (Protocol::Tcp, None),
        TCP if WEB.contains(&port) => (Protocol::Tcp, Some(Silence::TellsLittle)),
        TCP => (Protocol::Tcp, Some(Silence::Tells)),
        UDP if port != QUIC => (Protocol::Udp, (flow.client.port > port).then_some(Silence::TellsLittle)),
        _ => return None,
    };
    is_single(&flow.server).then_some((Service { protocol, port }, silence))
}

impl Sweep {
    fn new(source: Identity, now: Timestamp) -> Self {
        Self { source, hosts: Trials::new(now), report: Report::default() }
    }

    /// As new.
    fn restart(&mut self, source: Identity, now: Timestamp) {
        self.source = source;
        self.hosts.restart(now);
        self.report = Report::default();
    }

    fn open(&mut self, host: Host, now: Timestamp, silence: Silence, [packets, bytes]: [u64; 2]) {
        if self.hosts.is_stale(now) {
            self.restart(self.source, now);
        }
        if self.hosts.open(host, now, silence) {
            self.report.note(packets, bytes);
            if self.report.has_spoken() {
                self.hosts.renew(now);
            }
        }
    }

    fn judge(&mut self, now: Timestamp) -> Option<Finding> {
        let (count, threshold, answered) = self.verdict(now)?;
        let failures = self.hosts.failures();
        if !self.report.is_due(now, count, failures) {
            return None;
        }
        let service = self.service()?;
        let (packets, bytes) = self.report.speak(now, count, failures);
        Some(Finding {
            kind: Kind::HostSweep,
            time: now,
            since: self.hosts.since(),
            subject: self.source,
            targets: self.targets(),
            target_count: count + answered,
            reasons: self.reasons(now, service, [count, threshold, answered]),
            packets,
            bytes,
            score: score(tens(count, threshold)),
            confidence: failed_share(count, answered),
        })
    }

    /// Failed hosts, the threshold they passed, and answered hosts to hold against them.
    fn verdict(&self, now: Timestamp) -> Option<(u64, u64, u64)> {
        let (failed, silent, answered) = (self.hosts.failed(), self.hosts.silent(), self.hosts.answered());
        if failed >= FAILED_HOSTS && failed >= answered + EXCESS {
            return Some((failed, FAILED_HOSTS, answered));
        }
        if silent >= SILENT_HOSTS && silent >= answered + EXCESS {
            return Some((failed + silent, SILENT_HOSTS, answered));
        }
        // Few have failed in all: no need to look at the latest.
        if failed < EXCESS {
            return None;
        }
        let lately = |outcome| self.hosts.recent_count(outcome, now - BURST, |_| true);
        let (failed, answered) = (lately(Outcome::Failed), lately(Outcome::Answered));
        if failed >= BURST_HOSTS && failed >= answered + EXCESS {
            return Some((failed, BURST_HOSTS, answered));
        }
        self.pinged(now)
    }

    /// The sequential test with the rates of a segment where most addresses are in use.
    fn pinged(&self, now: Timestamp) -> Option<(u64, u64, u64)> {
        let pinged = |host: &Host| host.service == Service::ECHO;
        let lately = |outcome| self.hosts.recent_count(outcome, now - BURST, pinged);
        let (failed, answered) = (lately(Outcome::Failed), lately(Outcome::Answered));
        let [without, with] = PING_WEIGHTS;
        let passes = |failed| real(failed) * without + real(answered) * with >= PING_BOUND;
        if failed + answered < PINGED_HOSTS || !passes(failed) {
            return None;
        }
        let needed = (1..failed).find(|&fewer| passes(fewer)).unwrap_or(failed);
        Some((failed, needed, answered))
    }

    /// Failed hosts in sight, latest first.
    fn failed(&self) -> impl Iterator<Item = Host> {
        let ever = Timestamp::from_nanos(i64::MIN);
        let of = |outcome| self.hosts.recent(outcome, ever);
        of(Outcome::Failed).chain(of(Outcome::Silent)).chain(of(Outcome::Pending))
    }

    /// The service looked for on most of them; none where no service has its share.
    fn service(&self) -> Option<Service> {
        let mut services: Vec<Service> = self.failed().map(|host| host.service).collect();
        services.sort_unstable();
        let most = services.chunk_by(|a, b| a == b).max_by_key(|run| run.len())?;
        let share = u64::try_from(services.len()).unwrap_or(u64::MAX) / SERVICE_SHARE;
        let service = *most.first()?;
        (u64::try_from(most.len()).unwrap_or(0) >= share).then_some(service)
    }

    fn targets(&self) -> Vec<Target> {
        let target = |host: Host| Target {
            identity: Identity { device: None, mac: None, ip: Some(host.ip) },
            port: (host.service.port != 0).then_some(host.service.port),
            protocol: host.service.protocol,
        };
        self.failed().take(super::Evidence::MAX_PEERS).map(target).collect()
    }

    fn reasons(
        &self,
        now: Timestamp,
        service: Service,
        [count, threshold, answered]: [u64; 3],
    ) -> Vec<Reason> {
        let seconds = now.since(self.hosts.since()).as_secs_f64();
        let mut reasons = vec![
            Reason::counted("failed_hosts", real(count), "hosts", Some(real(threshold)), 1.0),
            Reason::counted("answered_hosts", real(answered), "hosts", None, 0.0),
        ];
        if service.port != 0 {
            reasons.push(Reason::counted("swept_port", f64::from(service.port), "port", None, 0.0));
        }
        reasons.push(Reason::counted("sweep_duration", seconds, "seconds", None, 0.0));
        reasons
    }
}

#[cfg(test)]
mod tests {
    use super::super::scene::{Scene, TCP, UDP, far, ip, mac, v4};
    use super::super::{Evidence, Kind, Protocol};
    use super::HostSweeps;
    use crate::flow::{FlowEvent, News};
    use crate::packet::{ArpOperation, DhcpMessage, Mac, TcpFlags};
    use crate::time::{Span, Timestamp};

    const SWEEPER: u8 = 66;

    fn seconds(evidence: &Evidence) -> u64 {
        evidence.time.since(evidence.since).as_secs()
    }

    /// A network of which the tap has seen all ports: two pairs of hosts have spoken.
    fn open_view() -> Scene {
        let mut scene = Scene::new();
        scene.reply(mac(1), 1, 10);
        scene.reply(mac(20), 20, 21);
        scene
    }

    #[test]
    fn arp_sweeps_are_found_at_any_speed() {
        for (gap, within) in [(4, 5), (100, 5), (1_500, 40)] {
            let mut scene = open_view();
            for host in 1..=254 {
                scene.ask(SWEEPER, host);
                if host % 10 == 0 {
                    scene.reply(mac(host), host, SWEEPER);
                }
                scene.wait(gap);
            }
            scene.wait(3_000);
            let evidence = scene.expect(Kind::HostSweep);
            assert!(seconds(evidence) <= within, "{gap} ms: {} s", seconds(evidence));
            assert_eq!(
                (evidence.subject.mac, evidence.peers[0].protocol),
                (Some(mac(SWEEPER)), Some(Protocol::Arp))
            );
            assert_eq!((evidence.peers.len(), evidence.peers[0].port), (8, None));
            let last = scene.found.last().unwrap();
            assert!(last.peer_count >= 100 && last.score > evidence.score);
        }
    }

    #[test]
    fn silence_of_arp_tells_little_where_no_answers_are_seen() {
        // A storage box looks for its fourteen clients; on the mirror of an uplink only the router is seen to answer.
        let searching = |scene: &mut Scene| {
            for _ in 0..10 {
                for host in 100..114 {
                    scene.ask(3, host);
                    scene.wait(200);
                }
                scene.wait(60_000);
            }
        };
        let mut scene = Scene::new();
        searching(&mut scene);
        scene.expect_nothing();
        let mut scene = Scene::new();
        for host in [3, 20, 21] {
            scene.reply(mac(1), 1, host);
            scene.reply(mac(host), host, 1);
        }
        searching(&mut scene);
        scene.expect_nothing();
        // Where others are seen to answer, or the asker's own port is the mirrored one, it is told.
        let mut scene = open_view();
        searching(&mut scene);
        scene.expect(Kind::HostSweep);
        let mut scene = Scene::new();
        scene.reply(mac(1), 1, 3);
        scene.reply(mac(20), 20, 3);
        searching(&mut scene);
        scene.expect(Kind::HostSweep);
        // Nobody looks for a hundred.
        let mut scene = Scene::new();
        for host in 100..=230 {
            scene.ask(SWEEPER, host);
            scene.wait(20);
        }
        scene.wait(2_000);
        scene.expect(Kind::HostSweep);
    }

    #[test]
    fn a_sweep_of_the_same_hosts_over_and_over_goes_on_until_it_ends() {
        for hosts in [12, 100] {
            let mut scene = open_view();
            for host in (100..100 + hosts).cycle().take(24_000) {
                scene.ask(SWEEPER, host);
                scene.wait(100);
            }
            scene.expect(Kind::HostSweep);
            let times: Vec<Timestamp> = scene.found.iter().map(|evidence| evidence.time).collect();
            let longest = times.windows(2).map(|pair| pair[1].since(pair[0])).max();
            assert!(longest.is_some_and(|gap| gap <= Span::from_secs(45)), "{hosts}: {longest:?}");
            scene.wait(40_000);
            // What is not told yet when the episode ends after half an hour is forgotten with it.
            let packets: u64 = scene.found.iter().map(|evidence| evidence.packets).sum();
            assert!((23_700..=24_000).contains(&packets), "each packet is told once: {packets}");
            let before = scene.found.len();
            scene.wait(600_000);
            assert_eq!(scene.found.len(), before, "it is over");
        }
    }

    #[test]
    fn a_large_sweep_by_ack_is_found_and_forgotten_connections_are_none() {
        for (hosts, found) in [(90, false), (130, true)] {
            let mut scene = Scene::new();
            for n in 0..hosts {
                let mut flow = Scene::new().open(TCP, ip(SWEEPER), far(n), 502);
                (flow.to_server.flags, flow.midstream) = (TcpFlags(0x10), true);
                scene.tell(News::Opened, flow);
                scene.refuse(flow);
                scene.wait(100);
            }
            assert_eq!(scene.found.is_empty(), !found);
        }
    }

    #[test]
    fn ping_sweeps_are_found_although_a_third_answers() {
        let mut scene = Scene::new();
        for host in 100..136 {
            scene.echo(SWEEPER, host);
            if host % 3 == 0 {
                scene.echo_reply(host, SWEEPER);
            }
            scene.wait(50);
        }
        scene.wait(2_000);
        let evidence = scene.expect(Kind::HostSweep);
        assert!(seconds(evidence) < 5);
        assert_eq!(evidence.peers[0].protocol, Some(Protocol::Icmp));
    }

    #[test]
    fn ping_sweeps_of_a_densely_used_segment_are_found() {
        let mut scene = Scene::new();
        for host in 100..120 {
            scene.echo(SWEEPER, host);
            if host % 5 < 3 {
                scene.echo_reply(host, SWEEPER);
            }
            scene.wait(100);
        }
        scene.wait(2_000);
        let evidence = scene.expect(Kind::HostSweep);
        assert!(seconds(evidence) < 5 && evidence.confidence < 0.5);
        let failed = evidence.reasons[0].value;
        assert!(
            (15..=20).contains(&evidence.peer_count) && failed < 10.0,
            "all that were tried: {evidence:#?}"
        );
    }

    #[test]
    fn pinging_phones_of_which_half_sleep_is_no_sweep() {
        let mut scene = Scene::new();
        for _ in 0..100 {
            for host in 10..22 {
                scene.echo(5, host);
                if host % 2 == 0 {
                    scene.echo_reply(host, 5);
                }
            }
            scene.wait(30_000);
        }
        scene.expect_nothing();
    }

    #[test]
    fn scanning_the_internet_is_found_at_any_speed() {
        for (gap, within) in [(2, 5), (200, 5), (5_000, 135)] {
            let mut scene = Scene::new();
            for n in 0..300 {
                let port = if n % 10 == 0 { 2_323 } else { 23 };
                let flow = scene.open(TCP, ip(SWEEPER), far(n * 7_919), port);
                match n % 20 {
                    3 => scene.answer(flow),
                    5 => scene.refuse(flow),
                    _ => {}
                }
                scene.wait(gap);
            }
            scene.wait(4_000);
            let evidence = scene.expect(Kind::HostSweep);
            assert!(seconds(evidence) <= within, "{gap} ms: {} s", seconds(evidence));
            assert_eq!(evidence.peers[0].protocol, Some(Protocol::Tcp));
            assert!(
                evidence.reasons.iter().any(|r| r.feature == "swept_port" && (r.value - 23.0).abs() < 0.1)
            );
        }
    }

    #[test]
    fn a_sweep_of_one_web_port_is_found_once_it_is_large() {
        let mut scene = Scene::new();
        for n in 0..150 {
            let flow = scene.open(TCP, ip(SWEEPER), far(n), 80);
            scene.refuse(flow);
            scene.wait(20);
        }
        scene.expect(Kind::HostSweep);
    }

    #[test]
    fn a_udp_sweep_is_found_once_it_is_large() {
        let mut scene = Scene::new();
        for n in 0..150 {
            scene.open(UDP, ip(SWEEPER), far(n), 161);
            scene.wait(20);
        }
        scene.wait(3_000);
        scene.expect(Kind::HostSweep);
    }

    #[test]
    fn clients_of_many_working_hosts_are_no_sweepers() {
        let mut scene = Scene::new();
        for round in 0..20 {
            // A browser: sixty hosts at once, answered within 100 ms; QUIC to them is blocked.
            let flows: Vec<_> = (0..60).map(|n| scene.open(TCP, ip(20), far(round * 60 + n), 443)).collect();
            (0..60).for_each(|n| _ = scene.open(UDP, ip(20), far(round * 60 + n), 443));
            scene.wait(100);
            flows.into_iter().for_each(|flow| scene.answer(flow));
            // A resolver: forty servers, one of ten silent.
            for n in 0..40 {
                let flow = scene.open(UDP, ip(21), far(100_000 + round * 40 + n), 53);
                if n % 10 != 0 {
                    scene.answer(flow);
                }
            }
            scene.wait(10_000);
        }
        scene.expect_nothing();
    }

    #[test]
    fn a_monitor_of_known_hosts_is_no_sweeper() {
        let mut scene = Scene::new();
        for _ in 0..30 {
            // Fifty hosts at once, nine of them switched off.
            for host in 10..60 {
                scene.echo(5, host);
                if host % 6 != 0 {
                    scene.echo_reply(host, 5);
                }
            }
            scene.wait(60_000);
        }
        scene.expect_nothing();
    }

    #[test]
    fn a_router_that_asks_for_hosts_it_has_heard_is_no_sweeper() {
        let mut scene = Scene::new();
        for host in 10..90 {
            scene.announce(mac(host), host);
            scene.wait(1_000);
        }
        for _ in 0..20 {
            // The answers go to the router alone, and this tap does not see them.
            (10..90).for_each(|host| scene.ask(1, host));
            scene.wait(60_000);
        }
        scene.expect_nothing();
    }

    #[test]
    fn group_traffic_and_address_probes_are_no_sweep() {
        let mut scene = Scene::new();
        for n in 0..100_u8 {
            let mut flow = scene.open(UDP, ip(20), far(1), 5_353);
            flow.server.ip = std::net::IpAddr::V4(std::net::Ipv4Addr::new(239, 255, 1, n));
            flow.server.mac = Mac([1, 0, 0x5e, 0x7f, 1, n]);
            scene.tell(News::Opened, flow);
            scene.probe(mac(20), 20);
            scene.announce(mac(20), 20);
            scene.wait(100);
        }
        scene.expect_nothing();
    }

    #[test]
    fn a_dhcp_server_that_probes_before_it_offers_is_no_sweeper() {
        let mut scene = Scene::new();
        for host in 100..140 {
            scene.echo(1, host);
            scene.arp(ArpOperation::Request, (mac(1), v4(1)), (Mac::default(), v4(host)));
            scene.wait(500);
            scene.dhcp(1, DhcpMessage::Offer, host, mac(host));
            scene.wait(100);
        }
        scene.expect_nothing();
    }

    #[test]
    fn a_peer_to_peer_client_is_no_sweeper() {
        let mut scene = Scene::new();
        for n in 0..400 {
            let port = 10_000 + (n * 7_919 % 50_000) as u16;
            let flow = scene.open(TCP, ip(20), far(n), port);
            if n % 3 == 0 {
                scene.answer(flow);
            }
            scene.open(UDP, ip(20), far(10_000 + n), port);
            scene.wait(300);
        }
        scene.expect_nothing();
    }

    #[test]
    fn a_lost_uplink_is_no_sweep() {
        let mut scene = Scene::new();
        for n in 0..90 {
            scene.open(TCP, ip(20), far(n % 70), 443);
            let flow = scene.open(TCP, ip(21), far(n % 70), 443);
            scene.refuse(flow);
            scene.wait(3_000);
        }
        scene.expect_nothing();
    }

    #[test]
    fn an_afternoon_of_successes_does_not_hide_a_sweep() {
        let mut scene = Scene::new();
        for n in 0..500 {
            scene.connect(ip(20), far(n), 443);
            scene.wait(3_000);
        }
        for n in 0..60 {
            scene.open(TCP, ip(20), far(10_000 + n), 445);
            scene.wait(100);
        }
        scene.wait(3_000);
        scene.expect(Kind::HostSweep);
    }

    #[test]
    fn a_flood_of_spoofed_sources_neither_grows_memory_nor_hides_a_sweep() {
        let mut sweeps = HostSweeps::new(256);
        let mut scene = Scene::new();
        let mut found = 0;
        for n in 0..100 {
            for spoofed in 0..1_000 {
                let flow = Scene::new().open(TCP, far(n * 1_000 + spoofed), ip(10), 80);
                let event = FlowEvent { news: News::Opened, time: scene.now(), flow };
                assert!(sweeps.handle_flow(&event, event.news, true).is_none());
            }
            let flow = scene.open(TCP, ip(SWEEPER), far(1_000_000 + n), 23);
            for news in [News::Opened, News::Refused] {
                let event = FlowEvent { news, time: scene.now(), flow };
                found += usize::from(sweeps.handle_flow(&event, event.news, true).is_some());
            }
            scene.wait(20);
        }
        assert_eq!(sweeps.len(), 256);
        assert!(found >= 3, "{found}");
    }
}
