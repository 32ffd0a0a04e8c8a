//! [`Behaviours`]: all detectors behind one door, and the queue of what they found. What a behaviour is, is each
//! detector's.

use std::collections::VecDeque;
use std::net::IpAddr;

use super::arp_spoof::ArpSpoofs;
use super::finding::Finding;
use super::host_sweep::HostSweeps;
use super::port_scan::PortScans;
use super::{Config, Evidence, Identity, Party};
use crate::flow::{DeviceId, FlowEvent, FlowRecord, News};
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
        let event = &self.view.handle_flow(event);
        let believable = self.view.is_two_way();
        let scan = self.port_scans.handle_flow(event, believable);
        let sweep = self.host_sweeps.handle_flow(event, believable);
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
    [
        Identity { device: source, mac: Some(digest.source), ip: from },
        Identity { device: destination, mac: Some(digest.destination), ip: to },
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
    /// answered, so its end is told as that.
    fn handle_flow(&mut self, event: &FlowEvent) -> FlowEvent {
        let mut told = *event;
        match event.news {
            News::Answered => self.answered += 1,
            News::Ended(_) if is_one_sided(&event.flow) => {
                self.one_sided += 1;
                told.news = News::Answered;
            }
            News::Opened | News::Refused | News::Ended(_) => {}
        }
        if self.answered.max(self.one_sided) >= 1 << 10 {
            self.answered /= 2;
            self.one_sided /= 2;
        }
        told
    }

    const fn is_two_way(self) -> bool {
        self.one_sided <= self.answered
    }
}

fn is_one_sided(flow: &FlowRecord) -> bool {
    flow.protocol == TCP
        && !flow.midstream
        && flow.to_client.packets == 0
        && flow.to_server.payload > 0
        && flow.to_server.flags.has(TcpFlags::ACK)
}
