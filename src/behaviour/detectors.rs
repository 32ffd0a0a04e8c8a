//! [`Behaviours`]: all detectors behind one door, and the queue of what they found. What a behaviour is, is each
//! detector's.

use std::collections::VecDeque;
use std::net::IpAddr;

use super::arp_spoof::ArpSpoofs;
use super::finding::Finding;
use super::host_sweep::HostSweeps;
use super::port_scan::PortScans;
use super::{Config, Evidence, Identity, Party};
use crate::flow::{DeviceId, EndReason, FlowEvent, FlowRecord, News};
use crate::packet::{Digest, Network, TcpFlags};
use crate::time::{Span, Timestamp};

/// How often waiting tries are looked at.
const TICK: Span = Span::from_millis(500);
/// Findings that wait to be fetched; beyond it new ones are dropped and counted.
const QUEUE: usize = 256;
const TCP: u8 = 6;

/// The detectors that need no training.
///
/// The caller drains [`Behaviours::poll_evidence`] after each call. Memory is bounded by [`Config`]; no call allocates
/// but the first use of a place in a table, and findings.
#[derive(Debug)]
pub struct Behaviours {
    port_scans: PortScans,
    host_sweeps: HostSweeps,
    arp_spoofs: ArpSpoofs,
    view: View,
    ticked: Option<Timestamp>,
    found: VecDeque<Finding>,
    dropped: u64,
}

impl Behaviours {
    /// Nothing seen yet.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        Self {
            port_scans: PortScans::new(config.pair_capacity),
            host_sweeps: HostSweeps::new(config.source_capacity),
            arp_spoofs: ArpSpoofs::new(config.address_capacity),
            view: View::default(),
            ticked: None,
            found: VecDeque::with_capacity(QUEUE),
            dropped: 0,
        }
    }

    /// A packet and the devices at its ends, as far as they are of this site.
    pub fn handle_packet(
        &mut self,
        digest: &Digest,
        source: Option<DeviceId>,
        destination: Option<DeviceId>,
    ) {
        self.handle_time(digest.time);
        let spoof = self.arp_spoofs.handle_packet(digest, source);
        let spoofs = &mut self.arp_spoofs;
        let is_known = |ip| spoofs.is_known(digest.vlan, ip, digest.time);
        let ends = ends(digest, source, destination);
        let sweep = self.host_sweeps.handle_packet(digest, ends, is_known);
        self.queue(spoof);
        self.queue(sweep);
    }

    /// Something happened to a flow.
    pub fn handle_flow(&mut self, event: &FlowEvent) {
        self.handle_time(event.time);
        let news = self.view.handle_flow(event);
        if matches!(news, News::Renewed) || matches!(news, News::Ended(why) if why != EndReason::Unanswered) {
            // No try and no outcome of one: nothing to look up, and in a flood that is half of what is told.
            return;
        }
        let believable = self.view.is_two_way();
        let scan = self.port_scans.handle_flow(event, news, believable);
        let sweep = self.host_sweeps.handle_flow(event, news, believable);
        self.queue(scan);
        self.queue(sweep);
    }

    /// The time is now: twice a second all that waits is looked at, which is bounded by the capacities.
    pub fn handle_time(&mut self, now: Timestamp) {
        if self.ticked.is_some_and(|ticked| now.since(ticked) < TICK) {
            return;
        }
        self.ticked = Some(now);
        let believable = self.view.is_two_way();
        let (found, dropped) = (&mut self.found, &mut self.dropped);
        let mut keep = |finding| enqueue(found, dropped, finding);
        self.port_scans.handle_time(now, believable, &mut keep);
        self.host_sweeps.handle_time(now, believable, &mut keep);
    }

    /// The next finding; `resolve` turns the host of a packet into what the device table knows of it. For a host behind
    /// a router, it must not take the router's hardware address for the host's.
    pub fn poll_evidence(&mut self, resolve: impl Fn(&Identity) -> Party) -> Option<Evidence> {
        Some(self.found.pop_front()?.into_evidence(resolve))
    }

    /// The clock jumped: all that was counted is forgotten.
    pub fn restart(&mut self) {
        self.port_scans.restart();
        self.host_sweeps.restart();
        self.arp_spoofs.restart();
        self.ticked = None;
    }

    /// Nothing is watched from here on for a while: tries whose answers are not seen would be taken for failed ones,
    /// so all tries are forgotten. Who has which address stays known.
    pub fn handle_gap(&mut self) {
        self.port_scans.restart();
        self.host_sweeps.restart();
    }

    /// Findings that were not fetched in time; 0 when the caller drains as it should.
    #[must_use]
    pub const fn dropped(&self) -> u64 {
        self.dropped
    }

    fn queue(&mut self, finding: Option<Finding>) {
        if let Some(finding) = finding {
            enqueue(&mut self.found, &mut self.dropped, finding);
        }
    }
}

fn enqueue(found: &mut VecDeque<Finding>, dropped: &mut u64, finding: Finding) {
    if found.len() < QUEUE {
        found.push_back(finding);
    } else {
        *dropped = dropped.saturating_add(1);
    }
}

/// Sender and receiver of a packet.
fn ends(digest: &Digest, source: Option<DeviceId>, destination: Option<DeviceId>) -> [Identity; 2] {
    let (from, to): (Option<IpAddr>, Option<IpAddr>) = match &digest.network {
        Network::Ip(ip) => (Some(ip.source), Some(ip.destination)),
        Network::Arp(arp) => {
            let own = |ip: std::net::Ipv4Addr| (!ip.is_unspecified()).then_some(IpAddr::V4(ip));
            (own(arp.sender_ip), own(arp.target_ip))
        }
        Network::Other => (None, None),
    };
    let [sender, receiver] = digest.neighbours().map(|mac| (!mac.is_zero()).then_some(mac));
    [
        Identity { device: source, mac: sender, ip: from },
        Identity { device: destination, mac: receiver, ip: to },
    ]
}

/// Whether the tap sees both directions. Where it sees one only, nothing is ever answered, and silence tells nothing.
#[derive(Clone, Copy, Debug, Default)]
struct View {
    answered: u32,
    one_sided: u32,
}

impl View {
    /// Counts answered flows and one-sided talks: TCP data, acknowledging what was never seen. Such a flow was
    /// answered, so its end is news of that. Gives what is news.
    fn handle_flow(&mut self, event: &FlowEvent) -> News {
        let mut news = event.news;
        match event.news {
            News::Answered => self.answered += 1,
            News::Ended(_) if is_one_sided(&event.flow) => {
                self.one_sided += 1;
                news = News::Answered;
            }
            News::Opened | News::Refused | News::Renewed | News::Ended(_) => {}
        }
        if self.answered.max(self.one_sided) >= 1 << 10 {
            self.answered /= 2;
            self.one_sided /= 2;
        }
        news
    }

    const fn is_two_way(self) -> bool {
        self.one_sided <= self.answered
    }
}

fn is_one_sided(flow: &FlowRecord) -> bool {
    flow.protocol == TCP
        && !flow.midstream
        && flow.to_client.flags == TcpFlags::default()
        && flow.to_server.payload > 0
        && flow.to_server.flags.has(TcpFlags::ACK)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{Strategy, any, prop_oneof, proptest};

    use super::super::scene::{Scene, TCP, UDP, far, ip, mac, v4};
    use super::super::{Evidence, Identity, Party};
    use super::QUEUE;
    use crate::flow::{EndReason, News};
    use crate::packet::{ArpOperation, Mac};

    #[derive(Clone, Debug)]
    enum Step {
        Flow { udp: bool, far_client: bool, hosts: (u8, u8), port: u16, news: u8 },
        Arp { reply: bool, sender: (u8, u8), target: (u8, u8) },
        Echo { reply: bool, hosts: (u8, u8) },
        Wait(i64),
    }

    fn step() -> impl Strategy<Value = Step> {
        let hosts = || (0_u8..12, 0_u8..40);
        prop_oneof![
            (any::<bool>(), any::<bool>(), hosts(), 0_u16..80, any::<u8>()).prop_map(
                |(udp, far_client, hosts, port, news)| Step::Flow { udp, far_client, hosts, port, news }
            ),
            (any::<bool>(), hosts(), hosts()).prop_map(|(reply, sender, target)| Step::Arp {
                reply,
                sender,
                target
            }),
            (any::<bool>(), hosts()).prop_map(|(reply, hosts)| Step::Echo { reply, hosts }),
            (0_i64..3_000).prop_map(Step::Wait),
        ]
    }

    fn play(steps: &[Step]) -> Vec<Evidence> {
        let mut scene = Scene::new();
        for step in steps {
            match *step {
                Step::Flow { udp, far_client, hosts, port, news } => {
                    let client = if far_client { far(hosts.0.into()) } else { ip(hosts.0) };
                    let flow = scene.open(if udp { UDP } else { TCP }, client, ip(hosts.1), port);
                    match news % 5 {
                        0 => scene.tell(News::Answered, flow),
                        1 | 2 => scene.tell(News::Refused, flow),
                        3 => scene.end(EndReason::Unanswered, flow),
                        _ => {}
                    }
                }
                Step::Arp { reply, sender, target } => {
                    let operation = if reply { ArpOperation::Reply } else { ArpOperation::Request };
                    scene.arp(operation, (mac(sender.0), v4(sender.1)), (mac(target.0), v4(target.1)));
                }
                Step::Echo { reply: true, hosts } => scene.echo_reply(hosts.0, hosts.1),
                Step::Echo { reply: false, hosts } => scene.echo(hosts.0, hosts.1),
                Step::Wait(millis) => scene.wait(millis),
            }
        }
        scene.found
    }

    proptest! {
        // The scene checks each finding.
        #[test]
        fn the_same_traffic_gives_the_same_findings(steps in proptest::collection::vec(step(), 1..400)) {
            assert_eq!(play(&steps), play(&steps));
        }
    }

    #[test]
    fn what_is_not_fetched_is_dropped_and_counted() {
        let mut scene = Scene::new();
        let steps: Vec<_> = (0..40).map(|port| scene.open(TCP, ip(66), ip(10), port)).collect();
        let behaviours = &mut scene.behaviours;
        for n in 0..1_000 {
            for flow in &steps {
                let mut flow = *flow;
                flow.client.ip = far(n);
                for news in [News::Opened, News::Refused] {
                    behaviours.handle_flow(&crate::flow::FlowEvent { news, time: flow.first, flow });
                }
            }
        }
        assert!(behaviours.dropped() > 1_000);
        let resolve = |_: &Identity| Party::default();
        assert_eq!(std::iter::from_fn(|| behaviours.poll_evidence(resolve)).count(), QUEUE);
    }

    #[test]
    fn a_jump_of_the_clock_forgets_what_was_counted() {
        let mut scene = Scene::new();
        for port in 0..14 {
            let flow = scene.open(TCP, ip(66), ip(10), port);
            scene.refuse(flow);
        }
        scene.announce(Mac([2, 0, 0, 0, 9, 9]), 10);
        scene.behaviours.restart();
        for port in 14..28 {
            let flow = scene.open(TCP, ip(66), ip(10), port);
            scene.refuse(flow);
        }
        scene.expect_nothing();
    }
}
