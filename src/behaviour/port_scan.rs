//! [`PortScans`]: one host tries many ports of another. It reads flow events only; that a single port is retried, or
//! many hosts are tried, is not its concern.
//!
//! Read first: Jung et al., "Fast Portscan Detection Using Sequential Hypothesis Testing", IEEE S&P 2004; Zeek's
//! `policy/misc/scan.zeek` for the thresholds.

use std::net::IpAddr;

use super::finding::{Actor, Finding, Report, Target, failed_share, real, score, tens};
use super::table::{Entry, Table};
use super::trial::{EXCESS, Silence, Trials, Tried};
use super::{Identity, Kind, Protocol, Reason};
use crate::bounded::scramble;
use crate::feature::{address_hash, port_hash};
use crate::flow::{EndReason, FlowEvent, FlowRecord, News};
use crate::time::Timestamp;

/// Failed ports from which on it is a scan: `Scan::port_scan_threshold` of Zeek, within its 5 minutes.
pub(super) const FAILED_PORTS: u64 = 15;
/// Silent UDP ports that are a scan by themselves: a scanner of the thousand most used ports passes it within a
/// second, and no client speaks to so many ports of one host in vain.
const SILENT_PORTS: u64 = 50;
/// Refused UDP ports from which on the silence of others counts as failure: hosts send an ICMP error to a few
/// probes only and then about one a second (RFC 1812, section 4.3.2.8; Linux `icmp_ratelimit`).
const REFUSED_UDP: u64 = 3;
/// TCP ports of one target that wait for an answer at once from which on they count as failed already: a client that
/// opens many connections opens them to few ports, and waits for one before it tries the next.
const IN_FLIGHT: u64 = 32;
/// Ports of UDP traceroute: from the base port of traceroute(8), 30 hops of 3 probes and 10 to spare.
const TRACEROUTE: std::ops::RangeInclusive<u16> = 33_434..=33_534;
const TCP: u8 = 6;
const UDP: u8 = 17;

/// A port of the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Port {
    protocol: u8,
    number: u16,
}

impl Tried for Port {
    fn same(&self, other: &Self) -> bool {
        self == other
    }

    fn hash(&self) -> u64 {
        port_hash(self.protocol, self.number)
    }
}

/// Ports that one host tried on another.
#[derive(Clone, Debug)]
struct Pair {
    source: Identity,
    target: Identity,
    ports: Trials<Port>,
    refused_udp: u64,
    tcp: u64,
    udp: u64,
    report: Report,
}

const _: () = assert!(size_of::<Pair>() <= 2_200, "the memory per pair is a promise");

/// Pairs of hosts of which one tries ports of the other. Holds a fixed number of pairs (2.2 kB each, taken at first
/// use), see [`Table`] for who makes room.
#[derive(Debug)]
pub(super) struct PortScans {
    pairs: Table<(Actor, IpAddr), Pair>,
}

impl PortScans {
    pub(super) fn new(capacity: usize) -> Self {
        Self { pairs: Table::new(capacity) }
    }

    /// Something happened to a flow, which is news of this kind. `believable` says whether silence tells anything on
    /// this tap.
    pub(super) fn handle_flow(&mut self, event: &FlowEvent, news: News, believable: bool) -> Option<Finding> {
        let flow = &event.flow;
        let source = Identity::from(&flow.client);
        let actor = Actor::of(&source)?;
        let (port, silence) = tried(flow)?;
        // Where silence says nothing, a try counts once it is refused.
        let begins = if silence.is_some() { News::Opened } else { News::Refused };
        let silence = silence.unwrap_or(Silence::TellsLittle);
        let key = (actor, flow.server.ip);
        let hash = scramble(actor.hash() ^ address_hash(flow.server.ip));
        let now = event.time;
        let pair = if news == begins {
            let target = Identity::from(&flow.server);
            let pair = match self.pairs.entry(hash, key, now, |pair| pair.ports.worth()) {
                Entry::Known(pair) => pair,
                Entry::Free(free) => {
                    free.fill(|| Pair::new(source, target, now), |pair| pair.restart(source, target, now))
                }
            };
            pair.source = source;
            pair.open(port, flow, silence, now);
            pair.ports.expire(now, believable);
            pair
        } else {
            self.pairs.get(hash, &key)?
        };
        match news {
            News::Opened if begins == News::Opened => {}
            News::Answered => pair.ports.answer(&port),
            News::Refused => pair.refuse(port, flow),
            News::Ended(EndReason::Unanswered) if believable => pair.ports.refuse(&port, silence),
            News::Opened | News::Renewed | News::Ended(_) => return None,
        }
        pair.judge(now)
    }

    /// Takes up what waited too long; bounded by the capacity.
    pub(super) fn handle_time(&mut self, now: Timestamp, believable: bool, found: &mut impl FnMut(Finding)) {
        for (_, pair) in self.pairs.iter_mut() {
            let news = pair.ports.expire(now, believable);
            if (news || pair.report.has_spoken())
                && let Some(finding) = pair.judge(now)
            {
                found(finding);
            }
        }
    }

    pub(super) fn restart(&mut self) {
        self.pairs.clear();
    }

    /// Pairs held.
    #[cfg(test)]
    pub(super) fn len(&mut self) -> usize {
        self.pairs.iter_mut().count()
    }
}

/// The port that a flow tries and what silence there says; none where it is no try of one host.
///
/// Silence says nothing to what may be no question: what goes from a UDP port to a higher one (answers of DNS or SSDP,
/// where the mirror shows one direction) and TCP of which the beginning was not seen. Refusals tell there, too, of
/// scans from source port 53 and with ACK. Rising high UDP ports are traceroute's.
fn tried(flow: &FlowRecord) -> Option<(Port, Option<Silence>)> {
    let (from, to) = (flow.client.port, flow.server.port);
    let silence = match flow.protocol {
        TCP => (!flow.midstream).then_some(Silence::Tells),
        UDP if !TRACEROUTE.contains(&to) => (from > to).then_some(Silence::TellsLittle),
        _ => return None,
    };
    super::is_single(&flow.server).then_some((Port { protocol: flow.protocol, number: to }, silence))
}

impl Pair {
    fn new(source: Identity, target: Identity, now: Timestamp) -> Self {
        let report = Report::default();
        Self { source, target, ports: Trials::new(now), refused_udp: 0, tcp: 0, udp: 0, report }
    }

    /// As new.
    fn restart(&mut self, source: Identity, target: Identity, now: Timestamp) {
        (self.source, self.target) = (source, target);
        self.ports.restart(now);
        (self.refused_udp, self.tcp, self.udp) = (0, 0, 0);
        self.report = Report::default();
    }

    fn open(&mut self, port: Port, flow: &FlowRecord, silence: Silence, now: Timestamp) {
        if self.ports.is_stale(now) {
            self.restart(self.source, self.target, now);
        }
        match port.protocol {
            UDP => self.udp += 1,
            _ => self.tcp += 1,
        }
        if self.ports.open(port, now, silence) {
            self.report.note(flow.to_server.packets, flow.to_server.bytes);
            if self.report.has_spoken() {
                self.ports.renew(now);
            }
        }
    }

    fn refuse(&mut self, port: Port, flow: &FlowRecord) {
        self.report.note(flow.to_client.packets, flow.to_client.bytes);
        if port.protocol == UDP {
            self.refused_udp += 1;
        }
        self.ports.refuse(&port, Silence::Tells);
    }

    fn judge(&mut self, now: Timestamp) -> Option<Finding> {
        let (failed, silent, answered) = (self.ports.failed(), self.ports.silent(), self.ports.answered());
        let all = failed + silent;
        let by_failures = if self.refused_udp >= REFUSED_UDP { all } else { failed };
        let in_flight = self.ports.in_flight();
        let (failed, pending, threshold) = match by_failures {
            failed if failed >= FAILED_PORTS => (failed, 0, FAILED_PORTS),
            _ if silent >= SILENT_PORTS => (all, 0, SILENT_PORTS),
            failed if in_flight >= IN_FLIGHT => (failed, in_flight, FAILED_PORTS),
            _ => return None,
        };
        let (count, failures) = (failed + pending, self.ports.failures());
        if count < answered + EXCESS || !self.report.is_due(now, count, failures) {
            return None;
        }
        let (packets, bytes) = self.report.speak(now, count, failures);
        Some(Finding {
            kind: Kind::PortScan,
            time: now,
            since: self.ports.since(),
            subject: self.source,
            targets: vec![self.target()],
            target_count: 1,
            reasons: self.reasons(now, [failed, pending, threshold, answered]),
            packets,
            bytes,
            score: score(tens(count, threshold)),
            confidence: failed_share(count, answered),
        })
    }

    fn target(&self) -> Target {
        let protocol = if self.udp > self.tcp { Protocol::Udp } else { Protocol::Tcp };
        Target { identity: self.target, port: None, protocol }
    }

    fn reasons(&self, now: Timestamp, [failed, pending, threshold, answered]: [u64; 4]) -> Vec<Reason> {
        let seconds = now.since(self.ports.since()).as_secs_f64();
        let tries = |feature, count, limit| {
            let share = real(count) / real(failed + pending);
            Reason::counted(feature, real(count), "ports", Some(real(limit)), share)
        };
        let mut reasons =
            vec![tries("failed_ports", failed, threshold), tries("pending_ports", pending, IN_FLIGHT)];
        reasons.retain(|reason| reason.contribution > 0.0);
        reasons.sort_by(|a, b| b.contribution.total_cmp(&a.contribution));
        reasons.push(Reason::counted("answered_ports", real(answered), "ports", None, 0.0));
        reasons.push(Reason::counted("scan_duration", seconds, "seconds", None, 0.0));
        reasons
    }
}

#[cfg(test)]
mod tests {
    use super::super::scene::{Scene, TCP, UDP, far, ip};
    use super::super::{Kind, Protocol};
    use super::{FAILED_PORTS, PortScans};
    use crate::flow::{EndReason, FlowEvent, News};
    use crate::packet::TcpFlags;
    use crate::time::{Span, Timestamp};

    const SCANNER: u8 = 66;
    const TARGET: u8 = 10;

    /// A scan of ports 1 to `ports` at this many a second, refused or dropped. Gives the scene and the second of the
    /// first finding.
    fn scan(ports: u16, rate: u16, refused: bool) -> (Scene, Option<u64>) {
        let mut scene = Scene::new();
        let began = scene.now();
        for port in 1..=ports {
            let flow = scene.open(TCP, ip(SCANNER), ip(TARGET), port);
            if refused {
                scene.refuse(flow);
            }
            scene.wait(1_000 / i64::from(rate));
        }
        scene.wait(4_000);
        let first = scene.found.first().map(|evidence| evidence.time.since(began).as_secs());
        (scene, first)
    }

    #[test]
    fn scans_that_are_refused_are_found_within_five_seconds() {
        for (ports, rate) in [(1_000, 500), (300, 50), (60, 5)] {
            let (scene, first) = scan(ports, rate, true);
            assert!(first.is_some_and(|second| second < 5), "{rate}/s: {first:?}");
            let evidence = scene.expect(Kind::PortScan);
            assert_eq!(evidence.subject.ips, [ip(SCANNER)]);
            assert_eq!((evidence.peers.len(), evidence.peer_count), (1, 1));
            assert_eq!(
                (evidence.peers[0].ip, evidence.peers[0].protocol),
                (Some(ip(TARGET)), Some(Protocol::Tcp))
            );
            let reason = &evidence.reasons[0];
            assert_eq!(
                (reason.feature.as_ref(), reason.unit.as_ref(), reason.p99),
                ("failed_ports", "ports", Some(15.0))
            );
            assert!((reason.value - 15.0).abs() < 1.0 && (0.8..0.81).contains(&evidence.score));
        }
    }

    #[test]
    fn scans_of_a_silent_host_are_found_within_five_seconds() {
        for (ports, rate) in [(1_000, 500), (300, 50), (60, 5)] {
            let (scene, first) = scan(ports, rate, false);
            assert!(first.is_some_and(|second| second < 5), "{rate}/s: {first:?}");
            scene.expect(Kind::PortScan);
        }
    }

    #[test]
    fn a_slow_scan_is_found_at_its_fifteenth_port() {
        let (scene, first) = scan(20, 1, true);
        assert_eq!(first, Some(14));
        scene.expect(Kind::PortScan);
    }

    #[test]
    fn it_speaks_again_at_doublings_and_each_half_minute() {
        let (scene, _) = scan(1_000, 500, true);
        let values: Vec<f64> = scene.found.iter().map(|evidence| evidence.reasons[0].value).collect();
        assert_eq!(values.len(), 7, "{values:?}");
        assert!(values.windows(2).all(|pair| pair[1] >= 2.0 * pair[0]));
        assert!(scene.found.is_sorted_by(|a, b| a.score <= b.score));
        // One port each two seconds for three minutes: 30 s (15), 60 s (30), 90 s, 120 s (60), 150 s, 180 s.
        let mut scene = Scene::new();
        for port in 1..=90 {
            let flow = scene.open(TCP, ip(SCANNER), ip(TARGET), port);
            scene.refuse(flow);
            scene.wait(2_000);
        }
        assert!((5..=6).contains(&scene.found.len()), "{}", scene.found.len());
        let packets: u64 = scene.found.iter().skip(1).map(|evidence| evidence.packets).sum();
        assert!(packets <= 150, "each packet is told once: {packets}");
        scene.wait(40_000);
        let before = scene.found.len();
        scene.wait(120_000);
        assert_eq!(scene.found.len(), before, "it is over");
    }

    #[test]
    fn a_scan_of_the_same_ports_over_and_over_goes_on_until_it_ends() {
        for (ports, refused) in [(20, true), (20, false), (200, true)] {
            let mut scene = Scene::new();
            for n in 0..3_600 {
                let flow = scene.open(TCP, ip(SCANNER), ip(TARGET), 1 + n % ports);
                if refused {
                    scene.refuse(flow);
                }
                scene.wait(1_000);
            }
            scene.expect(Kind::PortScan);
            let times: Vec<Timestamp> = scene.found.iter().map(|evidence| evidence.time).collect();
            let longest = times.windows(2).map(|pair| pair[1].since(pair[0])).max();
            assert!(longest.is_some_and(|gap| gap <= Span::from_secs(45)), "{ports}: {longest:?}");
            assert!(scene.found.len() <= 130, "{}", scene.found.len());
            scene.wait(40_000);
            // What is not told yet when the episode ends after half an hour is forgotten with it.
            let packets: u64 = scene.found.iter().map(|evidence| evidence.packets).sum();
            let sent = if refused { 7_200 } else { 3_600 };
            assert!((sent * 98 / 100..=sent).contains(&packets), "each packet is told once: {packets}");
            let before = scene.found.len();
            scene.wait(600_000);
            assert_eq!(scene.found.len(), before, "it is over");
        }
    }

    #[test]
    fn what_answers_does_not_keep_a_scan_alive() {
        let (mut scene, _) = scan(60, 50, true);
        for _ in 0..30 {
            scene.connect(ip(SCANNER), ip(TARGET), 443);
            scene.wait(1_000);
        }
        let before = scene.found.len();
        for _ in 0..300 {
            scene.connect(ip(SCANNER), ip(TARGET), 443);
            scene.wait(1_000);
        }
        assert_eq!(scene.found.len(), before);
    }

    #[test]
    fn it_began_with_its_first_try_not_with_the_first_that_failed() {
        let mut scene = Scene::new();
        // Normal use, long before.
        scene.connect(ip(SCANNER), ip(TARGET), 443);
        scene.wait(200_000);
        let began = scene.now();
        let open = scene.open(TCP, ip(SCANNER), ip(TARGET), 80);
        for port in 1..=20 {
            let flow = scene.open(TCP, ip(SCANNER), ip(TARGET), port);
            scene.wait(20);
            if port == 1 {
                scene.answer(open);
            }
            if port > 3 {
                scene.refuse(flow);
            }
        }
        assert_eq!(scene.expect(Kind::PortScan).since, began);
    }

    #[test]
    fn failed_and_pending_ports_share_the_evidence() {
        let mut scene = Scene::new();
        for port in 1..=40 {
            let flow = scene.open(TCP, ip(SCANNER), ip(TARGET), port);
            if port <= 8 {
                scene.refuse(flow);
            }
        }
        let shares: Vec<_> = scene
            .expect(Kind::PortScan)
            .reasons
            .iter()
            .map(|reason| (reason.feature.as_ref(), reason.value, reason.contribution))
            .collect();
        assert_eq!(shares[..2], [("pending_ports", 32.0, 0.8), ("failed_ports", 8.0, 0.2)]);
        assert!(shares[2..].iter().all(|&(_, _, share)| share == 0.0), "{shares:?}");
    }

    #[test]
    fn scans_without_syn_are_scans() {
        // FIN, null, Xmas; a closed port answers by RST, an open one not at all.
        for flags in [0x01, 0, 0x29] {
            for refused in [true, false] {
                let mut scene = Scene::new();
                for port in 1..=60 {
                    let mut flow = Scene::new().open(TCP, ip(SCANNER), ip(TARGET), port);
                    flow.to_server.flags = TcpFlags(flags);
                    scene.tell(News::Opened, flow);
                    if refused {
                        scene.refuse(flow);
                    }
                    scene.wait(20);
                }
                scene.wait(2_000);
                scene.expect(Kind::PortScan);
            }
        }
        // ACK and Maimon: only the RST tells.
        for flags in [0x10, 0x11] {
            let mut scene = Scene::new();
            for port in 1..=60 {
                let mut flow = Scene::new().open(TCP, ip(SCANNER), ip(TARGET), port);
                (flow.to_server.flags, flow.midstream) = (TcpFlags(flags), true);
                scene.tell(News::Opened, flow);
                scene.refuse(flow);
                scene.wait(20);
            }
            scene.expect(Kind::PortScan);
        }
    }

    #[test]
    fn open_ports_among_the_closed_do_not_hide_a_scan() {
        let mut scene = Scene::new();
        for port in 1..=100 {
            let flow = scene.open(TCP, ip(SCANNER), ip(TARGET), port);
            if port % 4 == 0 {
                scene.answer(flow)
            } else {
                scene.refuse(flow)
            }
            scene.wait(10);
        }
        let evidence = scene.expect(Kind::PortScan);
        assert!((0.7..0.85).contains(&evidence.confidence), "{}", evidence.confidence);
    }

    #[test]
    fn udp_scans_are_found_by_few_refusals_or_much_silence() {
        // Six errors at once, then one a second, as a Linux host sends them.
        let mut refusing = Scene::new();
        for port in 1..=300 {
            let flow = refusing.open(UDP, ip(SCANNER), ip(TARGET), port);
            if port <= 6 || port % 100 == 0 {
                refusing.refuse(flow);
            }
            refusing.wait(10);
        }
        assert_eq!(refusing.expect(Kind::PortScan).peers[0].protocol, Some(Protocol::Udp));
        assert!(refusing.found[0].time.since(refusing.found[0].since).as_secs() < 5);
        let mut silent = Scene::new();
        for port in 1..=200 {
            silent.open(UDP, ip(SCANNER), ip(TARGET), port);
            silent.wait(10);
        }
        silent.expect(Kind::PortScan);
    }

    #[test]
    fn a_udp_scan_from_the_port_of_a_server_is_found_by_its_refusals() {
        let mut scene = Scene::new();
        for port in 1..=300 {
            let mut flow = Scene::new().open(UDP, ip(SCANNER), ip(TARGET), 100 + port);
            flow.client.port = 53;
            scene.tell(News::Opened, flow);
            if port % 10 == 0 {
                scene.tell(News::Refused, flow);
            }
            scene.wait(50);
        }
        let evidence = scene.expect(Kind::PortScan);
        assert_eq!((evidence.reasons[0].value, evidence.peers[0].protocol), (15.0, Some(Protocol::Udp)));
    }

    #[test]
    fn a_client_of_few_or_working_ports_is_no_scanner() {
        let mut scene = Scene::new();
        for round in 0..600 {
            // An HMI that polls three ports, and a browser with ten connections to one host.
            for port in [502, 102, 44_818] {
                scene.connect(ip(20), ip(TARGET), port);
            }
            for _ in 0..10 {
                scene.connect(ip(21), far(1), 443);
            }
            // RPC: a new high port each time, all working; two that do not.
            scene.connect(ip(22), ip(TARGET), 49_152 + round % 60);
            if round == 5 || round == 50 {
                let flow = scene.open(TCP, ip(22), ip(TARGET), 49_300 + round);
                scene.refuse(flow);
            }
            scene.wait(500);
        }
        scene.expect_nothing();
    }

    #[test]
    fn retrying_one_dead_service_for_hours_is_no_scan() {
        let mut scene = Scene::new();
        for _ in 0..1_000 {
            let silent = scene.open(TCP, ip(20), ip(TARGET), 1_883);
            let refused = scene.open(TCP, ip(21), ip(TARGET), 8_883);
            scene.refuse(refused);
            scene.wait(10_000);
            scene.end(EndReason::Unanswered, silent);
        }
        scene.expect_nothing();
    }

    #[test]
    fn ports_that_fail_once_in_a_while_are_no_scan() {
        let mut scene = Scene::new();
        for port in 1..=40 {
            let flow = scene.open(TCP, ip(20), ip(TARGET), port);
            scene.refuse(flow);
            scene.wait(400_000);
        }
        scene.expect_nothing();
    }

    #[test]
    fn late_answers_are_answers() {
        let mut scene = Scene::new();
        let flows: Vec<_> = (1..=14).map(|port| scene.open(TCP, ip(20), ip(TARGET), port)).collect();
        scene.wait(3_000);
        flows.into_iter().for_each(|flow| scene.answer(flow));
        for port in 15..=28 {
            let flow = scene.open(TCP, ip(20), ip(TARGET), port);
            scene.refuse(flow);
        }
        scene.expect_nothing();
    }

    #[test]
    fn traceroute_and_answers_seen_alone_are_no_scan() {
        let mut scene = Scene::new();
        // UDP traceroute to a near host: all but the first probes are refused by it.
        for port in 33_434..33_434 + 90 {
            let flow = scene.open(UDP, ip(20), far(9), port);
            if port > 33_437 {
                scene.refuse(flow);
            }
            scene.wait(20);
        }
        // DNS answers of which the mirror does not show the questions; some come late, to sockets closed by now.
        for port in 0..200 {
            let mut flow = Scene::new().open(UDP, ip(1), ip(20), 50_000 + port);
            flow.client.port = 53;
            scene.tell(News::Opened, flow);
            if port < 10 {
                scene.tell(News::Refused, flow);
            }
        }
        scene.expect_nothing();
    }

    #[test]
    fn a_victim_that_answers_is_no_scanner() {
        // Backscatter and captures that start midstream: segments without a SYN, to many ports; of some connections
        // the other side has forgotten.
        let mut scene = Scene::new();
        for port in 0..500 {
            let mut flow = Scene::new().open(TCP, ip(TARGET), ip(SCANNER), 1_024 + port);
            (flow.to_server.flags, flow.midstream) = (TcpFlags(0x10), true);
            scene.tell(News::Opened, flow);
            if port < 10 {
                scene.refuse(flow);
            } else if port % 2 == 0 {
                scene.answer(flow);
            }
            scene.end(EndReason::Reset, flow);
            scene.wait(10);
        }
        scene.expect_nothing();
    }

    #[test]
    fn a_tap_that_sees_one_direction_does_not_take_silence_for_failure() {
        let mut scene = Scene::new();
        for n in 0..400 {
            let mut flow = scene.open(TCP, ip(20), ip(TARGET), 1_000 + n);
            flow.to_server.payload = 500;
            flow.to_server.flags.0 |= 0x18;
            scene.wait(300);
            scene.end(EndReason::Closed, flow);
            scene.wait(300);
        }
        scene.expect_nothing();
    }

    #[test]
    fn a_flood_of_spoofed_sources_neither_grows_memory_nor_hides_a_scan() {
        let mut scans = PortScans::new(512);
        let mut scene = Scene::new();
        let mut found = 0;
        let mut spoofed = 0;
        for port in 1..=200 {
            for _ in 0..1_000 {
                spoofed += 1;
                let flow = Scene::new().open(TCP, far(spoofed), ip(TARGET), (spoofed % 50_000) as u16);
                let event = FlowEvent { news: News::Opened, time: scene.now(), flow };
                found += usize::from(
                    scans
                        .handle_flow(&event, event.news, true)
                        .is_some_and(|f| f.subject.ip != Some(ip(SCANNER))),
                );
            }
            let flow = scene.open(TCP, ip(SCANNER), ip(TARGET), port);
            let event = |news| FlowEvent { news, time: Timestamp::EPOCH, flow };
            for news in [News::Opened, News::Refused] {
                let event = FlowEvent { time: scene.now(), ..event(news) };
                if let Some(finding) = scans.handle_flow(&event, event.news, true) {
                    assert_eq!(finding.subject.ip, Some(ip(SCANNER)));
                    assert!(finding.targets.len() == 1 && u64::from(port) >= FAILED_PORTS - 1);
                    scene.found.clear();
                    found += 1000;
                }
            }
            scene.wait(5);
        }
        assert_eq!(scans.len(), 512);
        assert!(found >= 3_000 && found % 1_000 == 0, "the scanner alone: {found}");
    }
}
