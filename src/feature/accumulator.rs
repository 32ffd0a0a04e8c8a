//! What is counted of one device while a window lasts, and its reading as a vector. When a window begins and ends is
//! `window`'s; which device a packet belongs to is the caller's.

use super::damped::{Activity, Damped, Packet, Reading, Touched, Way};
use super::hash::{address_hash, name_hash, operation_hash, port_hash, station_hash};
use super::statistic::{Histogram, Spread, entropy, real};
use super::{COUNT, FeatureVector, Rate, Slot};
use crate::bounded::Distinct;
use crate::flow::{DeviceId, EndReason, FlowEvent, FlowRecord, News, Side};
use crate::packet::{
    ArpOperation, ClientHello, Digest, Direction, Dns, Effect, Hint, Network, Operation, TcpFlags, Transport,
};
use crate::time::{Span, Timestamp};

/// Packets smaller than this are "small": control segments and keystrokes, not data.
const SMALL_BYTES: u32 = 100;
/// Names shorter than this say nothing by their entropy.
const LONG_NAME: usize = 16;
const TCP: u8 = 6;
const UDP: u8 = 17;

/// 1,024 bits: good to 3 % at a thousand, ends at 7,098.
type Set = Distinct<16>;

/// Counters of one device.
#[derive(Clone, Debug)]
pub(super) struct Accumulator {
    pub(super) device: DeviceId,
    packets: Packets,
    flows: Flows,
    names: Names,
    plant: Plant,
    activity: Activity,
}

/// The target for the size of [`Accumulator`]; a compile-time check keeps it.
pub(super) const MAX_BYTES: usize = 2048;
const _: () = assert!(size_of::<Accumulator>() <= MAX_BYTES, "the memory per device is a promise");

#[derive(Clone, Debug, Default)]
struct Packets {
    sent: u64,
    sent_bytes: u64,
    received: u64,
    received_bytes: u64,
    external_bytes: u64,
    small: u64,
    group: u64,
    tcp: u64,
    opening: u64,
    reset: u64,
    udp: u64,
    icmp: u64,
    arp_requests: u64,
    sent_size: Spread,
    received_size: Spread,
    gap: Spread,
    last_sent: Option<Timestamp>,
    peers: Set,
    /// Peers of the window before.
    earlier_peers: Set,
    external_peers: Set,
    to_peer: Histogram,
    to_port: Histogram,
}

#[derive(Clone, Debug, Default)]
struct Flows {
    opened: u64,
    served: u64,
    answered: u64,
    failed: u64,
    refused: u64,
    duration: Spread,
    bytes: Spread,
    ports: Set,
    clients: Set,
}

#[derive(Clone, Debug, Default)]
struct Names {
    queries: u64,
    answers: u64,
    failures: u64,
    length: Spread,
    highest_entropy: Option<f64>,
    names: Set,
    hellos: u64,
    servers: Servers,
}

/// Server names and plant operations: 128 bits are good to 9 % at thirty, and end at 621.
type Servers = Distinct<2>;

/// What it asks of plant devices.
#[derive(Clone, Debug, Default)]
struct Plant {
    reads: u64,
    acts: u64,
    operations: Servers,
    answers: u64,
    failures: u64,
}

impl Accumulator {
    pub(super) fn new(device: DeviceId, now: Timestamp) -> Self {
        Self {
            device,
            packets: Packets::default(),
            flows: Flows::default(),
            names: Names::default(),
            plant: Plant::default(),
            activity: Activity::new(now),
        }
    }

    /// A window is over, the next begins: counts begin anew, what is damped goes on.
    pub(super) fn begin_window(&mut self) {
        self.packets = Packets { earlier_peers: self.packets.peers, ..Packets::default() };
        self.flows = Flows::default();
        self.names = Names::default();
        self.plant = Plant::default();
        self.activity.begin_window();
    }

    /// What the device does now.
    pub(super) fn rate(&self, now: Timestamp) -> Rate {
        self.activity.rate(now)
    }

    pub(super) fn packets(&self) -> u64 {
        self.packets.sent + self.packets.received
    }

    pub(super) fn bytes(&self) -> u64 {
        self.packets.sent_bytes + self.packets.received_bytes
    }

    /// A packet that the device sent; `external` says that its destination lies outside the site. Says whether the
    /// device may make new streams.
    pub(super) fn sent(&mut self, digest: &Digest, packet: &Packet, external: bool) -> bool {
        let new_peer = self.packets.sent(digest, external);
        match &digest.hint {
            Hint::Dns(dns) if !dns.multicast && !dns.response => self.names.asked(dns),
            Hint::Tls(hello) | Hint::Quic(hello) => self.names.greeted(hello),
            Hint::Operation(operation) => self.plant.sent(operation),
            _ => {}
        }
        self.activity.sent(packet, new_peer)
    }

    /// A packet sent to the device alone.
    pub(super) fn received(&mut self, digest: &Digest, packet: &Packet) {
        self.packets.received += 1;
        self.packets.received_bytes += u64::from(digest.wire_len);
        self.packets.received_size.push(f64::from(digest.wire_len));
        match &digest.hint {
            Hint::Dns(dns) if !dns.multicast && dns.response => {
                self.names.answers += 1;
                self.names.failures += u64::from(dns.rcode != 0);
            }
            Hint::Operation(operation) => self.plant.received(operation),
            _ => {}
        }
        self.activity.received(packet);
    }

    /// The streams of a packet that the device sent or received.
    pub(super) fn touched(&mut self, touched: &Touched, way: Way) {
        self.activity.touched(touched, way);
    }

    /// Something happened to a flow of which the device is this side.
    pub(super) fn flow(&mut self, event: &FlowEvent, side: Side) {
        match side {
            Side::Client => self.flows.as_client(event),
            Side::Server => self.flows.as_server(event),
        }
    }

    /// A flow of the device, on either side, came to its end.
    pub(super) fn ended(&mut self, flow: &FlowRecord) {
        self.flows.duration.push(flow.last.since(flow.first).as_secs_f64());
        self.flows.bytes.push(real(flow.to_server.bytes.saturating_add(flow.to_client.bytes)));
    }

    /// The counters as a vector, with rates over the full length of the window.
    pub(super) fn vector(&self, window: Span, damped: &Damped) -> FeatureVector {
        let mut values = Values { values: [f32::NAN; COUNT], seconds: window.as_secs_f64() };
        self.packets.read(&mut values);
        self.flows.read(&mut values);
        self.names.read(&mut values);
        self.plant.read(&mut values);
        values.heights(&self.activity.read(damped));
        FeatureVector::new(values.values)
    }
}

impl Packets {
    /// Says whether it went to a new peer.
    fn sent(&mut self, digest: &Digest, external: bool) -> bool {
        self.sent += 1;
        self.sent_bytes += u64::from(digest.wire_len);
        self.small += u64::from(digest.wire_len < SMALL_BYTES);
        self.sent_size.push(f64::from(digest.wire_len));
        if let Some(last) = self.last_sent {
            self.gap.push(digest.time.since(last).as_secs_f64());
        }
        self.last_sent = Some(digest.time);
        let group = digest.destination.is_group();
        self.group += u64::from(group);
        match &digest.network {
            Network::Ip(ip) => {
                self.transport(&ip.transport);
                if external {
                    self.external_bytes += u64::from(digest.wire_len);
                }
                if group {
                    return false;
                }
                let hash = address_hash(ip.destination);
                if external {
                    self.external_peers.insert(hash);
                }
                self.peer(hash)
            }
            Network::Arp(arp) => {
                self.arp_requests += u64::from(arp.operation == ArpOperation::Request);
                false
            }
            Network::Other if !group => self.peer(station_hash(digest.destination)),
            Network::Other => false,
        }
    }

    /// Says whether it is new: not among those of this window and the one before.
    fn peer(&mut self, hash: u64) -> bool {
        self.to_peer.push(hash);
        self.peers.insert(hash) && !self.earlier_peers.contains(hash)
    }

    fn transport(&mut self, transport: &Transport) {
        match transport {
            Transport::Tcp(tcp) => {
                self.tcp += 1;
                self.opening += u64::from(tcp.flags.is_open());
                self.reset += u64::from(tcp.flags.has(TcpFlags::RST));
                self.to_port.push(port_hash(TCP, tcp.source_port.min(tcp.destination_port)));
            }
            Transport::Udp(udp) => {
                self.udp += 1;
                self.to_port.push(port_hash(UDP, udp.source_port.min(udp.destination_port)));
            }
            Transport::Icmp(_) => self.icmp += 1,
            Transport::Fragment(protocol) | Transport::Other(protocol) => {
                self.tcp += u64::from(*protocol == TCP);
                self.udp += u64::from(*protocol == UDP);
                self.icmp += u64::from(matches!(protocol, 1 | 58));
            }
        }
    }

    fn read(&self, values: &mut Values) {
        values.rate(Slot::SentPacketRate, self.sent);
        values.rate(Slot::ReceivedPacketRate, self.received);
        values.rate(Slot::SentByteRate, self.sent_bytes);
        values.rate(Slot::ReceivedByteRate, self.received_bytes);
        values.share(Slot::SentByteShare, self.sent_bytes, self.sent_bytes + self.received_bytes);
        values.measured(Slot::SentSizeMean, self.sent_size.mean());
        values.measured(Slot::SentSizeDeviation, self.sent_size.deviation());
        values.measured(Slot::ReceivedSizeMean, self.received_size.mean());
        values.share(Slot::SmallPacketShare, self.small, self.sent);
        let gap = self.gap.mean();
        values.measured(Slot::SentGapMean, gap);
        let over_mean = |deviation: f64| Some(deviation / gap.filter(|&gap| gap > 0.0)?);
        values.measured(Slot::SentGapVariation, self.gap.deviation().and_then(over_mean));
        values.set(Slot::Peers, self.peers.estimate());
        values.set(Slot::ExternalPeers, self.external_peers.estimate());
        values.measured(Slot::PeerEntropy, self.to_peer.entropy());
        values.measured(Slot::PortEntropy, self.to_port.entropy());
        values.share(Slot::SynShare, self.opening, self.tcp);
        values.share(Slot::RstShare, self.reset, self.tcp);
        values.share(Slot::TcpShare, self.tcp, self.sent);
        values.share(Slot::UdpShare, self.udp, self.sent);
        values.share(Slot::IcmpShare, self.icmp, self.sent);
        values.rate(Slot::ArpRequestRate, self.arp_requests);
        values.share(Slot::GroupShare, self.group, self.sent);
        values.share(Slot::ExternalByteShare, self.external_bytes, self.sent_bytes);
    }
}

impl Flows {
    fn as_client(&mut self, event: &FlowEvent) {
        let flow = &event.flow;
        match event.news {
            // What was found midstream was not opened now.
            News::Opened if !flow.midstream => {
                self.opened += 1;
                if matches!(flow.protocol, TCP | UDP) {
                    self.ports.insert(port_hash(flow.protocol, flow.server.port));
                }
            }
            News::Answered => self.answered += 1,
            News::Refused | News::Ended(EndReason::Unanswered) => self.failed += 1,
            News::Opened | News::Renewed | News::Ended(_) => {}
        }
    }

    fn as_server(&mut self, event: &FlowEvent) {
        match event.news {
            News::Opened if !event.flow.midstream => {
                self.served += 1;
                self.clients.insert(address_hash(event.flow.client.ip));
            }
            News::Refused | News::Ended(EndReason::Unanswered) => self.refused += 1,
            News::Opened | News::Answered | News::Renewed | News::Ended(_) => {}
        }
    }

    fn read(&self, values: &mut Values) {
        values.set(Slot::ContactedPorts, self.ports.estimate());
        values.set(Slot::Clients, self.clients.estimate());
        values.rate(Slot::OpenedFlowRate, self.opened);
        values.rate(Slot::ServedFlowRate, self.served);
        values.rate(Slot::FailedFlowRate, self.failed);
        values.share(Slot::FailedFlowShare, self.failed, self.failed + self.answered);
        values.rate(Slot::RefusedFlowRate, self.refused);
        values.measured(Slot::FlowDurationMean, self.duration.mean());
        values.measured(Slot::FlowBytesMean, self.bytes.mean());
    }
}

impl Names {
    fn asked(&mut self, dns: &Dns) {
        let name = dns.name.as_str();
        self.queries += 1;
        self.names.insert(name_hash(name));
        self.length.push(real(u64::try_from(name.len()).unwrap_or(0)));
        if name.len() >= LONG_NAME {
            let entropy = character_entropy(name);
            self.highest_entropy = Some(self.highest_entropy.map_or(entropy, |highest| highest.max(entropy)));
        }
    }

    fn greeted(&mut self, hello: &ClientHello) {
        self.hellos += 1;
        if !hello.server_name.is_empty() {
            self.servers.insert(name_hash(hello.server_name.as_str()));
        }
    }

    fn read(&self, values: &mut Values) {
        values.rate(Slot::TlsHelloRate, self.hellos);
        values.set(Slot::TlsServers, self.servers.estimate());
        values.rate(Slot::DnsQueryRate, self.queries);
        values.set(Slot::DnsNames, self.names.estimate());
        values.share(Slot::DnsFailureShare, self.failures, self.answers);
        values.measured(Slot::DnsNameLength, self.length.mean());
        values.measured(Slot::DnsNameEntropy, self.highest_entropy);
    }
}

impl Plant {
    fn sent(&mut self, operation: &Operation) {
        if operation.direction != Direction::Request {
            return;
        }
        match operation.effect {
            Effect::Read => self.reads += 1,
            Effect::Write | Effect::Control | Effect::Program | Effect::Mode | Effect::Configure => {
                self.acts += 1;
            }
            Effect::Session | Effect::Identify | Effect::Diagnose | Effect::Report | Effect::Other => {}
        }
        self.operations.insert(operation_hash(operation));
    }

    fn received(&mut self, operation: &Operation) {
        if operation.direction == Direction::Response {
            self.answers += 1;
            self.failures += u64::from(operation.error.is_some());
        }
    }

    fn read(&self, values: &mut Values) {
        values.rate(Slot::PlantReadRate, self.reads);
        values.rate(Slot::PlantActRate, self.acts);
        values.set(Slot::PlantOperations, self.operations.estimate());
        values.share(Slot::PlantFailureShare, self.failures, self.answers);
    }
}

/// Entropy per character of a name of at most 255 bytes, without regard to case.
fn character_entropy(name: &str) -> f64 {
    let mut counts = [0_u8; 128];
    for byte in name.bytes() {
        if let Some(count) = counts.get_mut(usize::from(byte.to_ascii_lowercase())) {
            *count = count.saturating_add(1);
        }
    }
    entropy(counts.iter().map(|&count| u32::from(count)))
}

/// A vector in the making; what is not set was not measured.
struct Values {
    values: [f32; COUNT],
    seconds: f64,
}

impl Values {
    #[expect(clippy::cast_possible_truncation, reason = "seven digits are enough for a model")]
    fn set(&mut self, slot: Slot, value: f64) {
        self.values[slot as usize] = value as f32;
    }

    fn measured(&mut self, slot: Slot, value: Option<f64>) {
        if let Some(value) = value {
            self.set(slot, value);
        }
    }

    fn rate(&mut self, slot: Slot, count: u64) {
        self.set(slot, real(count) / self.seconds);
    }

    fn heights(&mut self, reading: &Reading) {
        self.set(Slot::SentPacketPeak, reading.sent);
        self.set(Slot::SentBytePeak, reading.sent_bytes);
        self.set(Slot::ReceivedPacketPeak, reading.received);
        self.set(Slot::NewPeerPeak, reading.new_peers);
        self.set(Slot::ChannelPacketPeak, reading.channel);
        self.set(Slot::SocketPacketPeak, reading.socket);
        self.measured(Slot::ChannelGapVariation, reading.jitter);
        self.measured(Slot::ChannelMagnitude, reading.magnitude);
        self.measured(Slot::ChannelRadius, reading.radius);
        self.measured(Slot::ChannelCorrelation, reading.correlation);
        self.measured(Slot::SocketCorrelation, reading.socket_correlation);
    }

    fn share(&mut self, slot: Slot, part: u64, whole: u64) {
        self.measured(slot, (whole > 0).then(|| real(part) / real(whole)));
    }
}
