//! [`FlowTable`]: every packet to its flow, every flow to its end.
//!
//! It does not know what a device is (it only carries the ids that it is given) nor what is normal.

use std::cmp::Reverse;
use std::collections::VecDeque;
use std::net::IpAddr;

use super::transition::{self, Packet, Reading};
use super::{
    Config, DeviceId, EndReason, Endpoint, FiveTuple, FlowEvent, FlowKey, FlowRecord, FlowState, News, Side,
    Traffic,
};
use crate::bounded::{Keyed, Place, Table};
use crate::packet::{Digest, Mac, Network, TcpFlags};
use crate::time::{Span, Timestamp};

/// Bidirectional flows, at most [`Config::flow_capacity`]. Memory is reserved at construction (about 210 bytes for
/// each flow) and nothing is allocated per packet.
///
/// What opens no flow and is only counted (see [`FlowTable::strays`]): an RST that belongs to none, ICMP errors,
/// fragments but the first (they carry no ports, and a flow to port 0 would be an invention) and transport headers
/// that could not be read. ICMP messages other than echo, and protocols without ports, are flows with ports 0.
///
/// A flow that was closed, reset or refused stays for [`FlowTable::LINGER`], so that what trails it opens nothing.
///
/// At the capacity a flow makes room for each new one: the first to have closed, else the longest silent of those in
/// one direction, else of the unfinished and the two-way, else of the established. A TCP flow found midstream counts
/// as one-way until both sides were seen, so that a flood of stray segments pushes out no connection.
///
/// Time never goes back: an earlier packet counts as of the latest time seen. Clock jumps are the caller's to notice
/// and to answer with [`FlowTable::flush`].
#[derive(Debug)]
pub struct FlowTable {
    flows: Table<Flow, CLASSES>,
    timeouts: [Span; CLASSES],
    now: Timestamp,
    /// No timeout is due before this.
    due: Timestamp,
    /// Flows opened, wrapping.
    ordinal: u32,
    pending: VecDeque<FlowEvent>,
    /// Flows that a flush has still to end, latest first.
    flushing: Vec<Place>,
    counters: Counters,
}

#[derive(Debug, Default)]
struct Counters {
    opened: u64,
    ended: [u64; EndReason::ALL.len()],
    strays: u64,
    lost: u64,
}

#[derive(Debug)]
struct Flow {
    record: FlowRecord,
    /// From when its timeout counts: latest packet; for a lingering flow when it began to linger.
    touched: Timestamp,
    /// Rank among the flows opened in the same nanosecond.
    ordinal: u32,
    /// The client's initial sequence number, where its SYN was seen.
    syn: u32,
}

/// What a flow is worth when room is short, and how long it may be silent.
#[derive(Clone, Copy, Debug)]
#[repr(usize)]
enum Class {
    Lingering,
    Attempt,
    OneWay,
    TwoWay,
    Established,
}

const CLASSES: usize = 5;

/// Events that one packet can cause beside timeouts: evicted or replaced, opened, answered or refused.
const EVENTS_PER_PACKET: usize = 4;

impl FlowTable {
    /// How long a flow stays after it was closed, reset or refused.
    pub const LINGER: Span = Span::from_secs(2);
    /// Timeouts told in one call; what remains is told by the next.
    pub const TIMEOUTS_PER_CALL: usize = 64;

    /// An empty table.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        let mut timeouts = [config.idle_timeout; CLASSES];
        timeouts[Class::Lingering as usize] = Self::LINGER;
        timeouts[Class::Attempt as usize] = config.attempt_timeout;
        timeouts[Class::Established as usize] = config.established_timeout;
        Self {
            flows: Table::new(config.flow_capacity.max(1), config.hash_seed),
            timeouts,
            now: Timestamp::from_nanos(i64::MIN),
            due: Timestamp::from_nanos(i64::MAX),
            ordinal: 0,
            pending: VecDeque::with_capacity(Self::TIMEOUTS_PER_CALL + EVENTS_PER_PACKET),
            flushing: Vec::new(),
            counters: Counters::default(),
        }
    }

    /// Accounts for one packet; `source` and `destination` are the devices that sent and get it. The events of it,
    /// and of at most [`FlowTable::TIMEOUTS_PER_CALL`] flows that ran out by its time, wait in
    /// [`FlowTable::poll_event`]: drain it after each call. The queue has room for the events of one call; when it
    /// was not drained, the oldest are lost and counted.
    pub fn handle(&mut self, digest: &Digest, source: Option<DeviceId>, destination: Option<DeviceId>) {
        self.handle_time(digest.time);
        let Network::Ip(ip) = &digest.network else { return };
        match Reading::of(ip) {
            Reading::Packet(packet) => {
                let wire = Wire {
                    bytes: u64::from(digest.wire_len),
                    sender: Hop { mac: digest.source, device: source },
                    receiver: Hop { mac: digest.destination, device: destination },
                };
                self.account(&packet, &wire);
            }
            Reading::Unreachable(quoted) => {
                self.counters.strays += 1;
                self.refuse(&quoted);
            }
            Reading::Stray => self.counters.strays += 1,
        }
    }

    /// Lets time pass without a packet: at most [`FlowTable::TIMEOUTS_PER_CALL`] flows time out in one call. Call it
    /// again as long as it gave events.
    pub fn handle_time(&mut self, now: Timestamp) {
        self.abandon_flush();
        self.now = self.now.max(now);
        if self.now < self.due {
            return;
        }
        for _ in 0..Self::TIMEOUTS_PER_CALL {
            let Some((due, place)) = self.next_timeout() else {
                self.due = Timestamp::from_nanos(i64::MAX);
                return;
            };
            self.due = due;
            if self.now < due {
                return;
            }
            self.end_in_time(place);
        }
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<FlowEvent> {
        if let Some(event) = self.pending.pop_front() {
            return Some(event);
        }
        self.end_next_flushed();
        self.pending.pop_front()
    }

    /// The capture ends, or its clock jumped to `now` (which may be earlier): every flow ends as
    /// [`EndReason::Flushed`], in order of first packet. They end as [`FlowTable::poll_event`] tells them; flows not
    /// told before the next call of another kind end untold, and are counted. Allocates 4 bytes for each flow.
    pub fn flush(&mut self, now: Timestamp) {
        self.abandon_flush();
        self.now = now;
        self.due = Timestamp::from_nanos(i64::MAX);
        let mut order: Vec<Place> = self.flows.iter().map(|(place, _)| place).collect();
        order.sort_unstable_by_key(|&place| {
            Reverse(self.flows.get(place).map(|f| (f.record.first, Reverse(self.age(f)))))
        });
        self.flushing = order;
    }

    /// Flows in the table.
    #[must_use]
    pub const fn active(&self) -> usize {
        self.flows.len()
    }

    /// Flows opened since construction.
    #[must_use]
    pub const fn opened(&self) -> u64 {
        self.counters.opened
    }

    /// Flows ended for this reason since construction.
    #[must_use]
    pub const fn ended(&self, reason: EndReason) -> u64 {
        self.counters.ended[reason as usize]
    }

    /// IP packets that belong to no flow since construction.
    #[must_use]
    pub const fn strays(&self) -> u64 {
        self.counters.strays
    }

    /// Events lost since construction because the caller did not drain them.
    #[must_use]
    pub const fn events_lost(&self) -> u64 {
        self.counters.lost
    }

    /// The flows that were active last, newest first; at most `limit`. For pages: it allocates.
    #[must_use]
    pub fn recent(&self, limit: usize) -> Vec<FlowRecord> {
        let mut flows: Vec<&Flow> =
            (0..CLASSES).flat_map(|class| self.flows.latest(class).take(limit)).map(|(_, f)| f).collect();
        flows.sort_by_key(|f| (Reverse(f.record.last), Reverse(f.record.first), self.age(f)));
        flows.into_iter().take(limit).map(|f| f.record).collect()
    }

    fn account(&mut self, packet: &Packet, wire: &Wire) {
        if let Some(place) = self.flows.find(&packet.tuple.canonical()) {
            match self.fate(place, packet) {
                None => return self.carry_on(place, packet, wire),
                Some(reason) => self.end(place, reason),
            }
        }
        self.open(packet, wire);
    }

    /// Why the flow at this place ends before the packet is accounted for; none when the packet belongs to it.
    fn fate(&self, place: Place, packet: &Packet) -> Option<EndReason> {
        let flow = self.flows.get(place)?;
        let class = Class::of(&flow.record);
        if self.now >= flow.touched + self.timeouts[class as usize] {
            return Some(timeout_reason(flow.record.state));
        }
        let tcp = packet.tcp.as_ref()?;
        let side = side_of(&flow.record, &packet.tuple);
        transition::succeeds(&flow.record, flow.syn, side, tcp).then_some(EndReason::Replaced)
    }

    fn open(&mut self, packet: &Packet, wire: &Wire) {
        let Some((side, state, midstream)) = transition::beginning(packet) else {
            self.counters.strays += 1;
            return;
        };
        if self.flows.is_full() {
            self.evict();
        }
        let FiveTuple { source, source_port, destination, destination_port, protocol } = packet.tuple;
        let sender = wire.sender.endpoint(source, source_port);
        let receiver = wire.receiver.endpoint(destination, destination_port);
        let (client, server) = match side {
            Side::Client => (sender, receiver),
            Side::Server => (receiver, sender),
        };
        let mut record = FlowRecord {
            protocol,
            client,
            server,
            first: self.now,
            last: self.now,
            to_server: Traffic::default(),
            to_client: Traffic::default(),
            state,
            midstream,
        };
        add(&mut record, side, packet, wire.bytes);
        let class = Class::of(&record);
        let syn = packet.tcp.map_or(0, |tcp| tcp.sequence);
        let flow = Flow { record, touched: self.now, ordinal: self.ordinal, syn };
        if self.flows.insert(class as usize, flow).is_err() {
            // Room was made and the key was looked for: this does not happen, and if it did it would be counted.
            self.counters.strays += 1;
            return;
        }
        self.ordinal = self.ordinal.wrapping_add(1);
        self.counters.opened += 1;
        self.schedule(class);
        self.emit(News::Opened, record);
        if state == FlowState::Accepted {
            self.emit(News::Answered, record);
        }
    }

    fn carry_on(&mut self, place: Place, packet: &Packet, wire: &Wire) {
        let now = self.now;
        let Some(flow) = self.flows.get_mut(place) else { return };
        let record = &mut flow.record;
        let side = side_of(record, &packet.tuple);
        let lingered = matches!(Class::of(record), Class::Lingering);
        let (sender, receiver, from_sender) = match side {
            Side::Client => (&mut record.client, &mut record.server, record.to_server.packets),
            Side::Server => (&mut record.server, &mut record.client, record.to_client.packets),
        };
        if from_sender == 0 {
            sender.mac = wire.sender.mac;
        }
        sender.device = sender.device.or(wire.sender.device);
        receiver.device = receiver.device.or(wire.receiver.device);
        record.last = now;
        add(record, side, packet, wire.bytes);
        if let Some(tcp) = packet.tcp.as_ref().filter(|t| side == Side::Client && t.flags.is_open()) {
            flow.syn = tcp.sequence;
            // Where a SYN+ACK came first, out of order.
            record.midstream = false;
        }
        let news = transition::advance(record, side, packet.tcp.as_ref());
        let (class, record) = (Class::of(record), *record);
        if !lingered {
            flow.touched = now;
            self.flows.shift(place, class as usize);
            self.schedule(class);
        }
        if let Some(news) = news {
            self.emit(news, record);
        }
    }

    /// An ICMP unreachable quotes a packet of the client of a flow that has no answer.
    fn refuse(&mut self, quoted: &FiveTuple) {
        let now = self.now;
        let Some(place) = self.flows.find(&quoted.canonical()) else { return };
        let Some(flow) = self.flows.get_mut(place) else { return };
        let waiting = matches!(flow.record.state, FlowState::Attempt | FlowState::OneWay);
        if !waiting || side_of(&flow.record, quoted) != Side::Client {
            return;
        }
        flow.record.state = FlowState::Refused;
        flow.touched = now;
        let record = flow.record;
        self.flows.shift(place, Class::Lingering as usize);
        self.schedule(Class::Lingering);
        self.emit(News::Refused, record);
    }

    /// When the next flow times out, and where it is.
    fn next_timeout(&self) -> Option<(Timestamp, Place)> {
        self.timeouts
            .iter()
            .enumerate()
            .filter_map(|(class, &timeout)| {
                let place = self.flows.first(class)?;
                Some((self.flows.get(place)?.touched + timeout, place))
            })
            .min_by_key(|&(due, _)| due)
    }

    fn evict(&mut self) {
        let silent = |class: Class| {
            let place = self.flows.first(class as usize)?;
            Some((self.flows.get(place)?.touched, place))
        };
        if let Some((_, place)) = silent(Class::Lingering) {
            // It is complete, so nothing is lost.
            return self.end_in_time(place);
        }
        let unanswered = [silent(Class::Attempt), silent(Class::OneWay)];
        let victim = unanswered
            .into_iter()
            .flatten()
            .min_by_key(|&(touched, _)| touched)
            .or_else(|| silent(Class::TwoWay))
            .or_else(|| silent(Class::Established));
        if let Some((_, place)) = victim {
            self.end(place, EndReason::Evicted);
        }
    }

    fn end_in_time(&mut self, place: Place) {
        if let Some(flow) = self.flows.get(place) {
            let reason = timeout_reason(flow.record.state);
            self.end(place, reason);
        }
    }

    fn end(&mut self, place: Place, reason: EndReason) {
        let Some(flow) = self.flows.remove(place) else { return };
        self.counters.ended[reason as usize] += 1;
        self.emit(News::Ended(reason), flow.record);
    }

    fn end_next_flushed(&mut self) {
        if let Some(place) = self.flushing.pop() {
            self.end(place, EndReason::Flushed);
            if self.flushing.is_empty() {
                self.flushing = Vec::new();
            }
        }
    }

    fn abandon_flush(&mut self) {
        while !self.flushing.is_empty() {
            self.end_next_flushed();
        }
    }

    fn emit(&mut self, news: News, flow: FlowRecord) {
        if self.pending.len() == Self::TIMEOUTS_PER_CALL + EVENTS_PER_PACKET {
            self.pending.pop_front();
            self.counters.lost += 1;
        }
        self.pending.push_back(FlowEvent { news, time: self.now, flow });
    }

    fn schedule(&mut self, class: Class) {
        self.due = self.due.min(self.now + self.timeouts[class as usize]);
    }

    /// How many flows were opened since, itself included; exact as long as these are fewer than 2^32.
    fn age(&self, flow: &Flow) -> u32 {
        self.ordinal.wrapping_sub(flow.ordinal)
    }
}

impl Class {
    fn of(record: &FlowRecord) -> Self {
        let both = record.to_server.packets > 0 && record.to_client.packets > 0;
        match record.state {
            FlowState::Closed | FlowState::Reset | FlowState::Refused => Self::Lingering,
            FlowState::Attempt => Self::Attempt,
            FlowState::OneWay => Self::OneWay,
            FlowState::TwoWay => Self::TwoWay,
            _ if !both => Self::OneWay,
            FlowState::Accepted | FlowState::Closing => Self::TwoWay,
            FlowState::Established => Self::Established,
        }
    }
}

impl Keyed for Flow {
    type Key = FlowKey;

    fn key(&self) -> FlowKey {
        let FlowRecord { client, server, protocol, .. } = self.record;
        FiveTuple {
            source: client.ip,
            source_port: client.port,
            destination: server.ip,
            destination_port: server.port,
            protocol,
        }
        .canonical()
    }
}

/// What the link layer tells of a packet.
struct Wire {
    bytes: u64,
    sender: Hop,
    receiver: Hop,
}

/// One end of a packet on this link.
struct Hop {
    mac: Mac,
    device: Option<DeviceId>,
}

impl Hop {
    fn endpoint(&self, ip: IpAddr, port: u16) -> Endpoint {
        Endpoint { ip, port, mac: self.mac, device: self.device }
    }
}

/// Who sent a packet of this flow. The client, where both ends are the same.
fn side_of(record: &FlowRecord, tuple: &FiveTuple) -> Side {
    let from_client = record.client.ip == tuple.source && record.client.port == tuple.source_port;
    if from_client { Side::Client } else { Side::Server }
}

fn add(record: &mut FlowRecord, side: Side, packet: &Packet, bytes: u64) {
    let traffic = match side {
        Side::Client => &mut record.to_server,
        Side::Server => &mut record.to_client,
    };
    traffic.packets += 1;
    traffic.bytes += bytes;
    traffic.payload += u64::from(packet.payload);
    traffic.flags = TcpFlags(traffic.flags.0 | packet.tcp.map_or(0, |tcp| tcp.flags.0));
}

const fn timeout_reason(state: FlowState) -> EndReason {
    match state {
        FlowState::Closed => EndReason::Closed,
        FlowState::Reset => EndReason::Reset,
        FlowState::Refused => EndReason::Refused,
        FlowState::Attempt => EndReason::Unanswered,
        _ => EndReason::Idle,
    }
}
