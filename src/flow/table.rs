//! [`FlowTable`]: every packet to its flow, every flow to its end.
//!
//! It does not know what a device is (it only carries the ids that it is given) nor what is normal.

use std::cmp::Reverse;
use std::collections::VecDeque;
use std::net::IpAddr;

use super::class::{CLASSES, Class, timeout_reason};
use super::tcp::{Gauge, Measure, Passing};
use super::told::Told;
use super::transition::{self, Packet, Reading};
use super::{
    Config, DeviceId, EndReason, Endpoint, FiveTuple, FlowEvent, FlowKey, FlowRecord, FlowState, News, Side,
    TcpHealth, TcpTotals, Traffic,
};
use crate::bounded::{Keyed, Place, Table};
use crate::packet::{Application, Digest, Mac, Network, TcpFlags};
use crate::time::{Span, Timestamp};

/// Bidirectional flows, at most [`Config::flow_capacity`]. Memory is reserved at construction, at most
/// [`Config::BYTES_PER_FLOW`] for each flow; nothing is allocated per packet, and 48 bytes for a flow that outlasts the
/// active timeout.
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
    active_timeout: Span,
    now: Timestamp,
    /// No timeout is due before this.
    due: Timestamp,
    /// Flows opened, wrapping.
    ordinal: u32,
    pending: VecDeque<FlowEvent>,
    /// Flows that a flush has still to end, latest first.
    flushing: Vec<Place>,
    counters: Counters,
    gauge: Gauge,
}

#[derive(Debug, Default)]
struct Counters {
    opened: u64,
    ended: [u64; EndReason::ALL.len()],
    renewed: u64,
    strays: u64,
    lost: u64,
}

#[derive(Debug)]
struct Flow {
    /// The whole flow.
    record: FlowRecord,
    told: Told,
    /// From when its timeout counts: latest packet; for a lingering flow when it began to linger.
    touched: Timestamp,
    /// Rank among the flows opened in the same nanosecond.
    ordinal: u32,
    /// The client's initial sequence number, where its SYN was seen.
    syn: u32,
    measure: Measure,
}

/// Events that one packet can cause beside timeouts: evicted or replaced, opened or renewed, answered or refused.
const EVENTS_PER_PACKET: usize = 4;

impl FlowTable {
    /// How long a flow stays after it was closed, reset or refused.
    pub const LINGER: Span = Span::from_secs(2);
    /// Of so many flows that the table has room for, one TCP flow can be measured at a time.
    pub const FLOWS_PER_MEASURED: usize = 4;
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
            active_timeout: config.active_timeout,
            now: Timestamp::from_nanos(i64::MIN),
            due: Timestamp::from_nanos(i64::MAX),
            ordinal: 0,
            pending: VecDeque::with_capacity(Self::TIMEOUTS_PER_CALL + EVENTS_PER_PACKET),
            flushing: Vec::new(),
            counters: Counters::default(),
            gauge: Gauge::new((config.flow_capacity / Self::FLOWS_PER_MEASURED).max(16)),
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
                let [sender, receiver] = digest.neighbours();
                let wire = Wire {
                    bytes: u64::from(digest.wire_len),
                    application: digest.hint.application(),
                    sender: Hop { mac: sender, device: source },
                    receiver: Hop { mac: receiver, device: destination },
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

    /// Times that a flow was told of because it had lasted for the active timeout.
    #[must_use]
    pub const fn renewed(&self) -> u64 {
        self.counters.renewed
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

    /// What the TCP flows beyond the handshake add up to since construction.
    #[must_use]
    pub const fn tcp(&self) -> &TcpTotals {
        self.gauge.totals()
    }

    /// How the TCP connection of a flow in the table does; none where it is not measured.
    #[must_use]
    pub fn health(&self, record: &FlowRecord) -> Option<TcpHealth> {
        let flow = self.flows.get(self.flows.find(&key_of(record))?)?;
        self.gauge.health(flow.measure)
    }

    /// The flows that were active last, each as a whole, newest first; at most `limit`. For pages: it allocates.
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
                None => {
                    self.renew_if_due(place);
                    return self.carry_on(place, packet, wire);
                }
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
            application: wire.application,
        };
        add(&mut record, side, packet, wire.bytes);
        let class = Class::of(&record);
        let syn = packet.tcp.map_or(0, |tcp| tcp.sequence);
        let told = Told::nothing(self.now);
        let flow =
            Flow { record, told, touched: self.now, ordinal: self.ordinal, syn, measure: Measure::Waiting };
        if self.flows.insert_absent(class as usize, flow).is_err() {
            // Room was made: this does not happen, and if it did it would be counted.
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

    /// A flow that has lasted for the active timeout is told of before its next packet.
    fn renew_if_due(&mut self, place: Place) {
        let (now, limit) = (self.now, self.active_timeout);
        let Some(flow) = self.flows.get_mut(place) else { return };
        if now.since(flow.told.until) < limit {
            return;
        }
        let part = flow.told.rest(&flow.record);
        flow.told.tell(&flow.record, now);
        self.counters.renewed += 1;
        self.emit(News::Renewed, part);
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
        if record.application == Application::Unknown {
            record.application = wire.application;
        }
        let before = std::mem::replace(&mut record.last, now);
        add(record, side, packet, wire.bytes);
        if let Some(tcp) = packet.tcp.as_ref().filter(|t| side == Side::Client && t.flags.is_open()) {
            flow.syn = tcp.sequence;
            // Where a SYN+ACK came first, out of order.
            record.midstream = false;
        }
        let news = transition::advance(record, side, packet.tcp.as_ref());
        if let Some(tcp) = &packet.tcp {
            flow.measure = self.gauge.handle(flow.measure, &Passing { record, side, tcp, before });
        }
        let class = Class::of(record);
        let told = news.map(|news| (news, *record));
        if !lingered {
            flow.touched = now;
            self.flows.shift(place, class as usize);
            self.schedule(class);
        }
        if let Some((news, record)) = told {
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
        if flow.record.protocol == transition::TCP {
            self.gauge.end(flow.measure, &flow.record);
        }
        self.emit(News::Ended(reason), flow.told.rest(&flow.record));
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

impl Keyed for Flow {
    type Key = FlowKey;

    fn key(&self) -> FlowKey {
        key_of(&self.record)
    }
}

fn key_of(record: &FlowRecord) -> FlowKey {
    let FlowRecord { client, server, protocol, .. } = *record;
    FiveTuple {
        source: client.ip,
        source_port: client.port,
        destination: server.ip,
        destination_port: server.port,
        protocol,
    }
    .canonical()
}

/// What the link layer tells of a packet.
struct Wire {
    bytes: u64,
    application: Application,
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

#[cfg(test)]
mod tests {
    use super::super::traffic::{ACK, FIN, RST, SYN, SYN_ACK, at, icmp, ip, mac, packet, tcp, udp};
    use super::*;
    use crate::packet::{IcmpKind, Ip, Tcp, Transport};
    use proptest::prelude::*;

    const PORTS: (u16, u16) = (50_000, 80);
    const BACK: (u16, u16) = (80, 50_000);

    fn config() -> Config {
        Config { flow_capacity: 64, ..Config::default() }
    }

    fn drain(table: &mut FlowTable) -> Vec<FlowEvent> {
        std::iter::from_fn(|| table.poll_event()).collect()
    }

    fn news(table: &mut FlowTable) -> Vec<(News, FlowState)> {
        drain(table).iter().map(|e| (e.news, e.flow.state)).collect()
    }

    /// One client, one server: (seconds, from the server, flags, sequence number), then silence for a day.
    fn tcp_news(segments: &[(u64, bool, u8, u32)]) -> Vec<(News, FlowState)> {
        let mut table = FlowTable::new(&config());
        let mut all = Vec::new();
        for &(second, back, flags, sequence) in segments {
            let ports = if back { BACK } else { PORTS };
            table.handle(&packet(second * 1_000, back, tcp(ports, flags, sequence)), None, None);
            all.extend(news(&mut table));
        }
        table.handle_time(at(86_400_000));
        all.extend(news(&mut table));
        assert_eq!(table.active(), 0);
        all
    }

    #[test]
    fn tcp_lives() {
        use EndReason::{Closed, Idle, Refused, Replaced, Reset, Unanswered};
        use News::{Answered, Ended, Opened};
        let refused = News::Refused;
        let f = FlowState::Established;
        let handshake = [(0, false, SYN, 7), (0, true, SYN_ACK, 9), (0, false, ACK, 8)];
        let begun = [(Opened, FlowState::Attempt), (Answered, FlowState::Accepted)];
        let after_handshake = |tail: &[_]| tcp_news(&[&handshake, tail].concat());
        let then = |tail: &[(News, FlowState)]| [&begun, tail].concat();

        assert_eq!(after_handshake(&[]), then(&[(Ended(Idle), f)]));
        assert_eq!(
            after_handshake(&[(1, false, FIN, 8), (1, true, FIN, 9), (1, false, ACK, 9)]),
            then(&[(Ended(Closed), FlowState::Closed)]),
            "what trails opens nothing"
        );
        assert_eq!(after_handshake(&[(1, true, FIN, 9)]), then(&[(Ended(Idle), FlowState::Closing)]));
        assert_eq!(after_handshake(&[(1, true, RST, 9)]), then(&[(Ended(Reset), FlowState::Reset)]));
        assert_eq!(after_handshake(&[(1, false, SYN, 7)]), then(&[(Ended(Idle), f)]), "a late copy");
        assert_eq!(
            after_handshake(&[(1, false, SYN, 500)]),
            then(&[
                (Ended(Replaced), f),
                (Opened, FlowState::Attempt),
                (Ended(Unanswered), FlowState::Attempt)
            ])
        );
        assert_eq!(
            tcp_news(&[(0, false, SYN, 7), (1, false, SYN, 7), (3, false, SYN, 7)]),
            [(Opened, FlowState::Attempt), (Ended(Unanswered), FlowState::Attempt)],
            "retransmissions are one attempt"
        );
        assert_eq!(
            tcp_news(&[(0, false, SYN, 7), (0, true, RST, 0), (1, false, SYN, 7), (1, true, RST, 0)]),
            [
                (Opened, FlowState::Attempt),
                (refused, FlowState::Refused),
                (Ended(Refused), FlowState::Refused)
            ]
        );
        assert_eq!(
            tcp_news(&[(0, false, SYN, 7), (0, true, SYN_ACK, 9), (0, false, 0x04, 8)]),
            then(&[(Ended(Reset), FlowState::Reset)]),
            "a half-open scan"
        );
        assert_eq!(
            tcp_news(&[(0, false, SYN, 7), (0, true, SYN, 9), (0, false, SYN_ACK, 7), (0, true, SYN_ACK, 9)]),
            then(&[(Ended(Idle), f)]),
            "both open at once"
        );
        assert_eq!(tcp_news(&[(0, true, RST, 9)]), [], "an RST opens nothing");
    }

    #[test]
    fn segments_that_nothing_begins_with_are_attempts() {
        use News::{Ended, Opened, Refused};
        let (attempt, refused) = (FlowState::Attempt, FlowState::Refused);
        for flags in [0x00, 0x01, 0x08, 0x20, 0x29] {
            // Whatever the ports are, the sender asks.
            for back in [false, true] {
                assert_eq!(
                    tcp_news(&[(0, back, flags, 7)]),
                    [(Opened, attempt), (Ended(EndReason::Unanswered), attempt)],
                    "{flags:#x}"
                );
                assert_eq!(
                    tcp_news(&[(0, back, flags, 7), (0, !back, RST, 0)]),
                    [(Opened, attempt), (Refused, refused), (Ended(EndReason::Refused), refused)]
                );
            }
        }
        let mut table = FlowTable::new(&config());
        table.handle(&packet(0, false, tcp((80, 50_000), 0, 7)), None, None);
        let flow = drain(&mut table)[0].flow;
        assert_eq!((flow.midstream, flow.client.port), (false, 80));
        // A connection that a probe hits goes on.
        let probed = [
            (0, false, SYN, 7),
            (0, true, SYN_ACK, 9),
            (0, false, ACK, 8),
            (1, false, 0, 0),
            (1, true, ACK, 9),
        ];
        assert_eq!(tcp_news(&probed).last(), Some(&(Ended(EndReason::Idle), FlowState::Established)));
    }

    /// One client, one server: (from the server, flags, payload). Gives what was told last but its end.
    fn last_news(segments: &[(bool, u8, u32)]) -> (News, FlowState, bool) {
        let mut table = FlowTable::new(&config());
        let mut last = None;
        for &(back, flags, payload) in segments {
            let Transport::Tcp(segment) = tcp(if back { BACK } else { PORTS }, flags, 7) else {
                unreachable!()
            };
            table.handle(&packet(0, back, Transport::Tcp(Tcp { payload, ..segment })), None, None);
            last = drain(&mut table).pop().or(last);
        }
        let last = last.unwrap();
        (last.news, table.recent(1)[0].state, last.flow.midstream)
    }

    #[test]
    fn a_reset_as_only_answer_refuses_a_probe_with_acknowledgement() {
        let refused = (News::Refused, FlowState::Refused, true);
        assert_eq!(last_news(&[(false, ACK, 0), (true, RST, 0)]), refused);
        assert_eq!(last_news(&[(false, FIN, 0), (true, RST, 0)]), refused);
        assert_eq!(last_news(&[(false, ACK, 0), (false, ACK, 0), (true, RST, 0)]), refused, "sent anew");
        assert_eq!(last_news(&[(false, 0x18, 9), (true, RST, 0)]), refused, "its first segment has data");
        // Connections that were alive.
        let reset = |news| (news, FlowState::Reset, true);
        assert_eq!(last_news(&[(false, 0x18, 9), (false, 0x18, 9), (true, RST, 0)]), reset(News::Opened));
        assert_eq!(last_news(&[(false, ACK, 0), (true, ACK, 0), (true, RST, 0)]), reset(News::Answered));
        assert_eq!(last_news(&[(true, ACK, 0), (true, RST, 0)]), reset(News::Opened));
        assert_eq!(
            last_news(&[(true, FIN, 0), (false, RST, 0)]),
            reset(News::Opened),
            "the client refuses none"
        );
        assert_eq!(last_news(&[(true, SYN_ACK, 0), (false, RST, 0)]), reset(News::Answered));
    }

    #[test]
    fn tcp_found_midstream() {
        use News::{Answered, Ended, Opened};
        let f = FlowState::Established;
        let idle = Ended(EndReason::Idle);
        assert_eq!(
            tcp_news(&[(0, true, ACK, 9), (0, false, ACK, 8), (0, true, ACK, 9)]),
            [(Opened, f), (Answered, f), (idle, f)]
        );
        assert_eq!(
            tcp_news(&[(0, true, SYN_ACK, 9), (0, false, ACK, 8)]),
            [(Opened, FlowState::Accepted), (Answered, FlowState::Accepted), (idle, f)]
        );
        assert_eq!(
            tcp_news(&[(0, false, SYN, 7), (0, false, ACK, 8), (0, true, ACK, 9)]),
            [(Opened, FlowState::Attempt), (Answered, f), (idle, f)],
            "the SYN+ACK was lost"
        );
        let mut table = FlowTable::new(&config());
        table.handle(&packet(0, true, tcp(BACK, ACK, 9)), None, None);
        let flow = drain(&mut table)[0].flow;
        assert!(flow.midstream && flow.client.port == 50_000 && flow.to_client.packets == 1);
        // Out of order: the SYN comes after its answer.
        table.handle(&packet(0, true, tcp((81, 1_024), SYN_ACK, 9)), None, None);
        table.handle(&packet(0, false, tcp((1_024, 81), SYN, 7)), None, None);
        table.handle(&packet(0, false, tcp((1_024, 81), ACK, 8)), None, None);
        let flow = table.recent(1)[0];
        assert_eq!((flow.state, flow.midstream, flow.client.port), (f, false, 1_024));
    }

    #[test]
    fn one_way_seen_connections_are_worth_no_more_than_datagrams() {
        let mut table = FlowTable::new(&config());
        table.handle(&packet(0, false, tcp(PORTS, ACK, 9)), None, None);
        table.handle_time(at(61_000));
        assert_eq!(table.ended(EndReason::Idle), 1, "though an established one may be silent for longer");
    }

    #[test]
    fn datagrams_and_echo() {
        use News::{Answered, Ended, Opened};
        let mut table = FlowTable::new(&config());
        table.handle(&packet(0, false, udp(4_000, 53)), None, None);
        table.handle(&packet(1, true, udp(53, 4_000)), None, None);
        table.handle(&packet(2, false, udp(4_000, 53)), None, None);
        let expected = [(Opened, FlowState::OneWay), (Answered, FlowState::TwoWay)];
        assert_eq!(news(&mut table), expected);
        table.handle(&packet(3, false, icmp(IcmpKind::EchoRequest(77))), None, None);
        table.handle(&packet(4, true, icmp(IcmpKind::EchoReply(77))), None, None);
        assert_eq!(news(&mut table), expected);
        table.handle_time(at(120_000));
        let ends = drain(&mut table);
        assert!(ends.iter().all(|e| e.news == Ended(EndReason::Idle) && e.flow.state == FlowState::TwoWay));
        let sums: Vec<_> = ends.iter().map(|e| (e.flow.protocol, e.flow.client.port, e.flow.last)).collect();
        assert_eq!(sums, [(17, 4_000, at(2)), (1, 77, at(4))]);
        assert_eq!(
            ends[0].flow.to_server,
            Traffic { packets: 2, bytes: 120, payload: 36, ..Traffic::default() }
        );
    }

    fn unreachable(source: u16, destination: u16, protocol: u8) -> Transport {
        icmp(IcmpKind::Unreachable {
            protocol,
            source: Some((ip("10.0.0.1"), source)),
            destination: Some((ip("10.0.0.2"), destination)),
        })
    }

    #[test]
    fn unreachable_refuses_what_waits() {
        let mut table = FlowTable::new(&config());
        table.handle(&packet(0, false, udp(4_000, 53)), None, None);
        table.handle(&packet(0, false, tcp(PORTS, SYN, 7)), None, None);
        table.handle(&packet(0, false, udp(4_000, 54)), None, None);
        table.handle(&packet(1, true, udp(54, 4_000)), None, None);
        drain(&mut table);
        table.handle(&packet(2, false, unreachable(4_000, 53, 17)), None, None);
        assert_eq!(news(&mut table), [], "it does not go to the sender of what it quotes");
        table.handle(&packet(2, true, unreachable(4_000, 53, 17)), None, None);
        table.handle(&packet(2, true, unreachable(50_000, 80, 6)), None, None);
        table.handle(&packet(2, true, unreachable(4_000, 54, 17)), None, None);
        assert_eq!(news(&mut table), [(News::Refused, FlowState::Refused); 2], "and not what was answered");
        assert_eq!((table.active(), table.strays()), (3, 4));
        // A sender that goes on is refused anew, at most each time that the last refusal has lingered.
        table.handle(&packet(1_900, false, udp(4_000, 53)), None, None);
        assert_eq!(news(&mut table), []);
        table.handle(&packet(2_100, false, udp(4_000, 53)), None, None);
        let ended = (News::Ended(EndReason::Refused), FlowState::Refused);
        assert_eq!(news(&mut table), [ended, ended, (News::Opened, FlowState::OneWay)]);
    }

    #[test]
    fn strays_open_nothing() {
        let mut table = FlowTable::new(&config());
        let time_exceeded = icmp(IcmpKind::Other { kind: 11, code: 0 });
        let strays = [Transport::Fragment(17), Transport::Other(6), time_exceeded, tcp(PORTS, RST, 0)];
        for (stray, count) in strays.into_iter().zip(1..) {
            table.handle(&packet(0, false, stray), None, None);
            assert_eq!((table.active(), table.strays()), (0, count));
        }
        for other in [Transport::Other(89), icmp(IcmpKind::Other { kind: 9, code: 0 })] {
            table.handle(&packet(0, false, other), None, None);
        }
        assert_eq!(table.active(), 2);
        assert!(drain(&mut table).iter().all(|e| e.flow.client.port == 0));
    }

    #[test]
    fn ends_are_filled_when_they_speak() {
        let mut table = FlowTable::new(&config());
        let id = |slot| Some(DeviceId { slot, generation: 1 });
        table.handle(&packet(0, false, udp(4_000, 53)), id(1), None);
        let mut answer = packet(1, true, udp(53, 4_000));
        answer.source = mac(7);
        table.handle(&answer, id(2), None);
        let flow = table.recent(1)[0];
        assert_eq!((flow.client.device, flow.client.mac), (id(1), mac(1)));
        assert_eq!((flow.server.device, flow.server.mac), (id(2), mac(7)));
    }

    #[test]
    fn a_full_table_keeps_what_is_worth_most() {
        let mut table = FlowTable::new(&Config { flow_capacity: 4, ..Config::default() });
        for (back, flags) in [(false, SYN), (true, SYN_ACK), (false, ACK)] {
            let ports = if back { BACK } else { PORTS };
            table.handle(&packet(0, back, tcp(ports, flags, 7)), None, None);
        }
        table.handle(&packet(0, false, udp(1, 53)), None, None);
        table.handle(&packet(0, true, udp(53, 1)), None, None);
        table.handle(&packet(1, false, udp(2, 53)), None, None);
        table.handle(&packet(2, false, tcp((9, 9_000), SYN, 7)), None, None);
        table.handle(&packet(2, true, tcp((9_000, 9), RST, 7)), None, None);
        drain(&mut table);
        let mut ended = |port| {
            table.handle(&packet(3, false, udp(port, 7)), None, None);
            let first = drain(&mut table)[0];
            assert!(matches!(first.news, News::Ended(_)));
            (first.news, first.flow.client.port)
        };
        let evicted = News::Ended(EndReason::Evicted);
        assert_eq!(ended(100), (News::Ended(EndReason::Refused), 9), "complete: nothing is lost");
        assert_eq!(ended(101), (evicted, 2));
        assert_eq!(ended(102), (evicted, 100));
        let states: Vec<_> = table.recent(9).iter().map(|f| f.state).collect();
        assert!(states.contains(&FlowState::TwoWay) && states.contains(&FlowState::Established));
        assert_eq!(table.active(), 4);
    }

    #[test]
    fn timeouts_are_told_in_portions() {
        let mut table = FlowTable::new(&Config { flow_capacity: 256, ..Config::default() });
        for port in 0..200 {
            table.handle(&packet(u64::from(port), false, udp(port, 53)), None, None);
            drain(&mut table);
        }
        let mut told = Vec::new();
        for _ in 0..5 {
            table.handle_time(at(70_000));
            told.push(drain(&mut table).len());
        }
        assert_eq!(told, [64, 64, 64, 8, 0]);
        assert_eq!(table.events_lost(), 0);
    }

    #[test]
    fn a_flow_that_goes_on_is_told_of_now_and_then() {
        let mut table = FlowTable::new(&Config { active_timeout: Span::from_secs(100), ..config() });
        let mut told = Vec::new();
        for second in 0..=250 {
            let back = second % 2 == 1;
            let ports = if back { udp(53, 4_000) } else { udp(4_000, 53) };
            table.handle(&packet(second * 1_000, back, ports), None, None);
            told.extend(
                drain(&mut table)
                    .into_iter()
                    .map(|e| (e.news, e.flow.to_server.packets + e.flow.to_client.packets)),
            );
        }
        assert_eq!(
            told,
            [(News::Opened, 1), (News::Answered, 2), (News::Renewed, 100), (News::Renewed, 100)]
        );
        assert_eq!((table.active(), table.opened(), table.renewed()), (1, 1, 2));
        let whole = table.recent(1)[0];
        assert_eq!((whole.first, whole.last), (at(0), at(250_000)));
        assert_eq!(
            (whole.to_server.packets, whole.to_client.packets, whole.to_client.bytes),
            (126, 125, 7_500)
        );
        table.flush(at(250_000));
        let rest = drain(&mut table)[0].flow;
        assert_eq!((rest.first, rest.last, rest.to_server.packets), (at(200_000), at(250_000), 26));
    }

    #[test]
    fn a_connection_stays_what_it_is_when_it_is_told_of() {
        let mut table = FlowTable::new(&Config { active_timeout: Span::from_secs(10), ..config() });
        let mut send = |second: u64, back: bool, flags: u8| {
            let ports = if back { BACK } else { PORTS };
            table.handle(&packet(second * 1_000, back, tcp(ports, flags, 7)), None, None);
            (news(&mut table), Class::of(&table.recent(1)[0]) as usize)
        };
        send(0, false, SYN);
        send(0, true, SYN_ACK);
        send(0, false, ACK);
        let renewed = |state, class| (vec![(News::Renewed, state)], class as usize);
        let established = (vec![], Class::Established as usize);
        assert_eq!(send(10, false, ACK), renewed(FlowState::Established, Class::Established));
        assert_eq!(send(11, true, ACK), established, "nobody answers anew");
        // Beyond the timeout of one-way flows.
        assert_eq!(send(111, true, ACK), renewed(FlowState::Established, Class::Established));
        assert_eq!(send(112, true, FIN), (vec![], Class::TwoWay as usize));
        assert_eq!(send(122, false, ACK), renewed(FlowState::Closing, Class::TwoWay));
        assert_eq!(send(123, false, FIN), (vec![], Class::Lingering as usize), "the FIN is remembered");
        assert_eq!(table.recent(1)[0].state, FlowState::Closed);
    }

    #[test]
    fn flush_ends_all_in_order_of_first_packet() {
        let mut table = FlowTable::new(&config());
        for port in [3, 1, 2] {
            table.handle(&packet(5, false, udp(port, 53)), None, None);
        }
        table.handle(&packet(6, false, udp(3, 53)), None, None);
        drain(&mut table);
        table.flush(at(1));
        let events = drain(&mut table);
        let order: Vec<_> = events.iter().map(|e| e.flow.client.port).collect();
        assert_eq!(order, [3, 1, 2]);
        assert!(events.iter().all(|e| e.news == News::Ended(EndReason::Flushed) && e.time == at(1)));
        table.handle(&packet(2, false, udp(3, 53)), None, None);
        assert_eq!(drain(&mut table)[0].flow.first, at(2), "the clock may have gone back");
    }

    #[test]
    fn a_flow_is_small() {
        // hashbrown has a power of two of buckets of 5 bytes, at most 7 of 8 in use, for twice the flows.
        const INDEX: usize = 2 * 2 * 5 * 8 / 7 + 1;
        const MEASURED: usize = Gauge::PLACE_SIZE / FlowTable::FLOWS_PER_MEASURED + 1;
        const { assert!(Table::<Flow, CLASSES>::PLACE_SIZE <= 240) };
        const { assert!(Table::<Flow, CLASSES>::PLACE_SIZE + INDEX + MEASURED <= Config::BYTES_PER_FLOW) };
    }

    /// Few hosts and ports, so that keys meet; times mostly rise.
    fn digests() -> impl Strategy<Value = Vec<Digest>> {
        let flags = prop::sample::select(vec![SYN, SYN_ACK, ACK, FIN, RST, 0x04, 0, 0x29, 0x18]);
        let transport =
            (0..10_u8, 0..4_u16, 0..4_u16, flags, 0..3_u32).prop_map(|(kind, a, b, flags, isn)| match kind {
                0..5 => tcp((a, b), flags, isn),
                5 | 6 => udp(a, b),
                7 => icmp(IcmpKind::EchoRequest(a)),
                8 => unreachable(a, b, if isn == 0 { 6 } else { 17 }),
                _ => Transport::Fragment(17),
            });
        let step = (0..4_u8, 0..4_u8, -5_i64..3_000, transport);
        prop::collection::vec(step, 0..300).prop_map(|steps| {
            let mut now = 0_i64;
            steps
                .into_iter()
                .map(|(a, b, step, transport)| {
                    now = (now + step).max(0);
                    let mut digest = packet(u64::try_from(now).unwrap(), false, transport);
                    digest.network = Network::Ip(Ip {
                        source: IpAddr::from([10, 0, 0, a]),
                        destination: IpAddr::from([10, 0, 0, b]),
                        hop_limit: 64,
                        transport,
                    });
                    digest
                })
                .collect()
        })
    }

    /// Small tables; flows are told of after few packets.
    fn short_of_room_and_time() -> impl Strategy<Value = Config> {
        (1..20_usize, 1..60_u64).prop_map(|(flow_capacity, seconds)| Config {
            flow_capacity,
            active_timeout: Span::from_secs(seconds),
            ..Config::default()
        })
    }

    fn run(digests: &[Digest], config: &Config) -> (FlowTable, Vec<FlowEvent>) {
        let mut table = FlowTable::new(config);
        let mut events = Vec::new();
        for digest in digests {
            table.handle(digest, None, None);
            events.extend(drain(&mut table));
            assert!(table.active() <= config.flow_capacity);
        }
        table.flush(at(0));
        events.extend(drain(&mut table));
        (table, events)
    }

    proptest! {
        #[test]
        fn every_packet_is_accounted_for_once(digests in digests(), config in short_of_room_and_time()) {
            let (table, events) = run(&digests, &config);
            let told = events.iter().filter(|e| matches!(e.news, News::Ended(_) | News::Renewed));
            let packets: u64 = told.map(|e| e.flow.to_server.packets + e.flow.to_client.packets).sum();
            prop_assert_eq!(packets + table.strays(), u64::try_from(digests.len()).unwrap());
            let ends: u64 = EndReason::ALL.iter().map(|&r| table.ended(r)).sum();
            prop_assert_eq!((table.active(), ends), (0, table.opened()));
            let renewed = events.iter().filter(|e| e.news == News::Renewed).count();
            prop_assert_eq!(table.renewed(), u64::try_from(renewed).unwrap());
            prop_assert_eq!(table.events_lost(), 0);
        }

        #[test]
        fn each_flow_is_told_in_order(digests in digests(), config in short_of_room_and_time()) {
            let (_, events) = run(&digests, &config);
            // What is open: its key, whether it was answered or refused, and until when it was told.
            let mut open: Vec<(FlowKey, bool, Timestamp)> = Vec::new();
            for event in &events {
                let flow = &event.flow;
                let key = key_of(flow);
                let known = open.iter().position(|&(k, ..)| k == key);
                if let News::Renewed | News::Ended(_) = event.news {
                    let until = &mut open[known.unwrap()].2;
                    prop_assert_eq!(flow.first, *until);
                    prop_assert!(flow.first <= flow.last && flow.to_server.packets + flow.to_client.packets > 0);
                    *until = event.time;
                }
                match event.news {
                    News::Opened => {
                        prop_assert_eq!(known, None);
                        open.push((key, false, flow.first));
                    }
                    News::Answered | News::Refused => {
                        let told = &mut open[known.unwrap()].1;
                        prop_assert!(!*told);
                        *told = true;
                    }
                    News::Renewed => {}
                    News::Ended(_) => drop(open.remove(known.unwrap())),
                }
            }
            prop_assert!(open.is_empty());
        }

        #[test]
        fn the_hash_seed_changes_nothing(digests in digests(), hash_seed: u64) {
            let config = Config { flow_capacity: 9, active_timeout: Span::from_secs(9), ..Config::default() };
            let (_, one) = run(&digests, &config);
            let (_, other) = run(&digests, &Config { hash_seed, ..config });
            prop_assert_eq!(one, other);
        }

        #[test]
        fn both_directions_have_one_key(a: [u8; 4], b: [u8; 16], ports: (u16, u16), protocol: u8) {
            for (source, destination) in [(a.into(), b.into()), (a.into(), [10, 0, 0, 1].into())] {
                let (source_port, destination_port) = ports;
                let there = FiveTuple { source, source_port, destination, destination_port, protocol };
                let back = FiveTuple {
                    source: destination,
                    source_port: destination_port,
                    destination: source,
                    destination_port: source_port,
                    protocol,
                };
                prop_assert_eq!(there.canonical(), back.canonical());
            }
        }
    }
}
