//! Generated traffic for the tests of all detectors: flow events and digests as they would come, and what was found.

use std::net::{IpAddr, Ipv4Addr};

use super::{Behaviours, Config, Evidence, Identity, Kind, Party};
use crate::bounded::Text;
use crate::flow::{EndReason, Endpoint, FlowEvent, FlowRecord, FlowState, News, Traffic};
use crate::packet::{
    Arp, ArpOperation, Dhcp, DhcpMessage, DhcpParameters, Digest, Hint, Icmp, IcmpKind, Ip, Mac, Network,
    TcpFlags, Transport,
};
use crate::time::Timestamp;

pub(super) const TCP: u8 = 6;
pub(super) const UDP: u8 = 17;

/// A host of the site.
pub(super) fn ip(last: u8) -> IpAddr {
    IpAddr::V4(v4(last))
}

pub(super) fn v4(last: u8) -> Ipv4Addr {
    Ipv4Addr::new(192, 0, 2, last)
}

/// A host elsewhere, behind the router.
pub(super) fn far(number: u32) -> IpAddr {
    IpAddr::V4(Ipv4Addr::from_bits(Ipv4Addr::new(198, 18, 0, 0).to_bits() + number))
}

/// The station of a host of the site; no two are siblings.
pub(super) fn mac(last: u8) -> Mac {
    Mac([0x02, 0, 0, 0, last, 1])
}

/// A network under watch.
pub(super) struct Scene {
    pub(super) behaviours: Behaviours,
    pub(super) found: Vec<Evidence>,
    millis: i64,
    next_port: u16,
}

impl Scene {
    pub(super) fn new() -> Self {
        let behaviours = Behaviours::new(&Config::default());
        Self { behaviours, found: Vec::new(), millis: 1_000_000, next_port: 40_000 }
    }

    pub(super) fn now(&self) -> Timestamp {
        Timestamp::from_nanos(self.millis * 1_000_000)
    }

    /// Lets time pass, with the ticks of a quiet tap.
    pub(super) fn wait(&mut self, millis: i64) {
        let end = self.millis + millis;
        while self.millis < end {
            self.millis = end.min(self.millis + 200);
            self.behaviours.handle_time(self.now());
            self.drain();
        }
    }

    /// A new flow; for TCP its SYN.
    pub(super) fn open(&mut self, protocol: u8, client: IpAddr, server: IpAddr, port: u16) -> FlowRecord {
        self.next_port = self.next_port.checked_add(1).unwrap_or(40_000);
        let end = |ip: IpAddr, port| {
            let mac = match ip {
                IpAddr::V4(ip) if ip.octets()[0] == 192 => mac(ip.octets()[3]),
                _ => mac(1),
            };
            Endpoint { ip, port, mac, device: None }
        };
        let flow = FlowRecord {
            protocol,
            client: end(client, self.next_port),
            server: end(server, port),
            first: self.now(),
            last: self.now(),
            to_server: Traffic { packets: 1, bytes: 60, payload: 0, flags: TcpFlags::SYN },
            to_client: Traffic::default(),
            state: FlowState::Attempt,
            midstream: false,
            application: crate::packet::Application::Unknown,
        };
        self.tell(News::Opened, flow);
        flow
    }

    pub(super) fn answer(&mut self, mut flow: FlowRecord) {
        flow.to_client = Traffic { packets: 1, bytes: 60, payload: 0, flags: TcpFlags::SYN };
        self.tell(News::Answered, flow);
    }

    pub(super) fn refuse(&mut self, mut flow: FlowRecord) {
        flow.to_client = Traffic { packets: 1, bytes: 60, payload: 0, flags: TcpFlags::RST };
        self.tell(News::Refused, flow);
    }

    pub(super) fn end(&mut self, reason: EndReason, flow: FlowRecord) {
        self.tell(News::Ended(reason), flow);
    }

    /// A connection that works.
    pub(super) fn connect(&mut self, client: IpAddr, server: IpAddr, port: u16) {
        let flow = self.open(TCP, client, server, port);
        self.answer(flow);
    }

    pub(super) fn tell(&mut self, news: News, flow: FlowRecord) {
        self.behaviours.handle_flow(&FlowEvent { news, time: self.now(), flow });
        self.drain();
    }

    pub(super) fn echo(&mut self, from: u8, to: u8) {
        self.icmp(from, to, IcmpKind::EchoRequest(7));
    }

    pub(super) fn echo_reply(&mut self, from: u8, to: u8) {
        self.icmp(from, to, IcmpKind::EchoReply(7));
    }

    /// Who has `target`?
    pub(super) fn ask(&mut self, from: u8, target: u8) {
        self.arp(ArpOperation::Request, (mac(from), v4(from)), (Mac::default(), v4(target)));
    }

    /// A reply, asked for or not: `station` has `address`, told to `to`.
    pub(super) fn reply(&mut self, station: Mac, address: u8, to: u8) {
        self.arp(ArpOperation::Reply, (station, v4(address)), (mac(to), v4(to)));
    }

    /// An announcement to all: `station` has `address`.
    pub(super) fn announce(&mut self, station: Mac, address: u8) {
        self.arp(ArpOperation::Request, (station, v4(address)), (Mac::default(), v4(address)));
    }

    /// A probe before an address is taken (RFC 5227).
    pub(super) fn probe(&mut self, station: Mac, address: u8) {
        self.arp(ArpOperation::Request, (station, Ipv4Addr::UNSPECIFIED), (Mac::default(), v4(address)));
    }

    pub(super) fn arp(&mut self, operation: ArpOperation, sender: (Mac, Ipv4Addr), target: (Mac, Ipv4Addr)) {
        let destination = if target.0.is_zero() { Mac::BROADCAST } else { target.0 };
        let arp = Arp {
            operation,
            sender_mac: sender.0,
            sender_ip: sender.1,
            target_mac: target.0,
            target_ip: target.1,
        };
        self.packet(sender.0, destination, Network::Arp(arp), Hint::None);
    }

    /// Any packet of a host with its own station, to the router.
    pub(super) fn traffic(&mut self, from: u8) {
        self.ip((mac(from), mac(1)), (ip(from), far(1)), Transport::Other(89), Hint::None);
    }

    pub(super) fn dhcp(&mut self, server: u8, message: DhcpMessage, address: u8, client: Mac) {
        let hint = Hint::Dhcp(Dhcp {
            message,
            client,
            address: Some(v4(address)),
            host_name: Text::EMPTY,
            vendor_class: Text::EMPTY,
            parameters: DhcpParameters::default(),
        });
        self.ip((mac(server), client), (ip(server), ip(address)), Transport::Other(17), hint);
    }

    pub(super) fn icmp6(&mut self, station: Mac, ends: (IpAddr, IpAddr), kind: IcmpKind) {
        self.ip((station, mac(1)), ends, Transport::Icmp(Icmp { kind, payload: 0 }), Hint::None);
    }

    fn icmp(&mut self, from: u8, to: u8, kind: IcmpKind) {
        let transport = Transport::Icmp(Icmp { kind, payload: 56 });
        self.ip((mac(from), mac(to)), (ip(from), ip(to)), transport, Hint::None);
    }

    fn ip(&mut self, stations: (Mac, Mac), ends: (IpAddr, IpAddr), transport: Transport, hint: Hint) {
        let ip = Ip { source: ends.0, destination: ends.1, hop_limit: 64, transport };
        self.packet(stations.0, stations.1, Network::Ip(ip), hint);
    }

    fn packet(&mut self, source: Mac, destination: Mac, network: Network, hint: Hint) {
        let digest = Digest {
            time: self.now(),
            wire_len: 60,
            source,
            destination,
            vlan: None,
            ether_type: 0,
            tunnel: None,
            unknown: None,
            network,
            hint,
            fault: None,
        };
        self.behaviours.handle_packet(&digest, None, None);
        self.drain();
    }

    fn drain(&mut self) {
        let resolve = |identity: &Identity| Party {
            mac: identity.mac,
            ips: identity.ip.into_iter().collect(),
            ..Party::default()
        };
        while let Some(evidence) = self.behaviours.poll_evidence(resolve) {
            check(&evidence);
            self.found.push(evidence);
        }
    }

    /// Nothing was found, also not once all that waits is taken up.
    #[track_caller]
    pub(super) fn expect_nothing(mut self) {
        self.wait(5_000);
        assert!(self.found.is_empty(), "{:#?}", self.found.first());
    }

    /// All that was found is of this kind; the first finding.
    #[track_caller]
    pub(super) fn expect(&self, kind: Kind) -> &Evidence {
        assert!(self.found.first().is_none_or(|evidence| evidence.packets > 0));
        assert!(self.found.iter().all(|evidence| evidence.kind == kind), "{:#?}", self.found);
        self.found.first().unwrap_or_else(|| panic!("nothing was found"))
    }
}

/// What holds for every finding.
#[track_caller]
fn check(evidence: &Evidence) {
    assert!(
        (0.0..=1.0).contains(&evidence.score) && (0.0..=1.0).contains(&evidence.confidence),
        "{evidence:#?}"
    );
    assert!(evidence.since <= evidence.time);
    assert!(!evidence.peers.is_empty() && evidence.peers.len() <= Evidence::MAX_PEERS);
    assert!(evidence.peer_count >= 1);
    assert!(!evidence.reasons.is_empty() && evidence.reasons.len() <= Evidence::MAX_REASONS);
    let sum: f64 = evidence.reasons.iter().map(|reason| reason.contribution).sum();
    assert!((sum - 1.0).abs() < 1e-9, "{sum}");
    assert!(evidence.reasons.iter().all(|reason| reason.value.is_finite()));
    assert!(evidence.reasons.is_sorted_by(|a, b| a.contribution >= b.contribution));
}
