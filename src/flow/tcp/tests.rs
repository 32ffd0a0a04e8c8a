//! Connections as a tap sees them, and what the flow table measures of them.

use proptest::prelude::*;

use super::{StreamSums, TcpHealth, TcpTotals};
use crate::flow::traffic::{ACK, FIN, RST, SYN, SYN_ACK, packet, tcp};
use crate::flow::{Config, FlowTable};
use crate::packet::{Tcp, Transport};
use crate::time::Span;

const CLIENT: bool = false;
const SERVER: bool = true;

/// A tap on a connection of 10.0.0.1:50000 with 10.0.0.2:80. Numbers are relative to the first of each side.
struct Tap {
    table: FlowTable,
    now: u64,
    /// First numbers of client and server.
    first: (u32, u32),
}

impl Tap {
    fn new() -> Self {
        Self::at((1_000, 5_000))
    }

    fn at(first: (u32, u32)) -> Self {
        Self { table: FlowTable::new(&Config::default()), now: 0, first }
    }

    fn send(&mut self, back: bool, flags: u8, numbers: (u32, u32), payload: u32) {
        let (ports, (own, other)) =
            if back { ((80, 50_000), (self.first.1, self.first.0)) } else { ((50_000, 80), self.first) };
        let Transport::Tcp(header) = tcp(ports, flags, own.wrapping_add(numbers.0)) else { unreachable!() };
        let acknowledgement = other.wrapping_add(numbers.1);
        let segment = Transport::Tcp(Tcp { acknowledgement, payload, ..header });
        self.table.handle(&packet(self.now, back, segment), None, None);
        while self.table.poll_event().is_some() {}
    }

    /// SYN, SYN+ACK 10 ms later, ACK 5 ms later. Data begins at 1 on both sides.
    fn shake(&mut self) {
        self.send(CLIENT, SYN, (0, 0), 0);
        self.now += 10;
        self.send(SERVER, SYN_ACK, (0, 1), 0);
        self.now += 5;
        self.send(CLIENT, ACK, (1, 1), 0);
    }

    /// Data of the server and nothing else.
    fn data(&mut self, from: u32, payload: u32) {
        self.send(SERVER, ACK, (from, 1), payload);
    }

    fn acknowledge(&mut self, next: u32) {
        self.send(CLIENT, ACK, (1, next), 0);
    }

    fn health(&self) -> Option<TcpHealth> {
        self.table.health(&self.table.recent(1)[0])
    }

    /// The totals once the flow has ended.
    fn end(&mut self) -> TcpTotals {
        self.table.flush(crate::flow::traffic::at(self.now));
        while self.table.poll_event().is_some() {}
        *self.table.tcp()
    }
}

/// What matters of the totals: retransmitted, out of order, gaps, bytes seen, bytes missing.
fn told(totals: &TcpTotals) -> [u64; 5] {
    let TcpTotals { retransmitted, out_of_order, gaps, bytes_seen, bytes_missing, .. } = *totals;
    [retransmitted, out_of_order, gaps, bytes_seen, bytes_missing]
}

#[test]
fn the_handshake_gives_the_round_trip_to_both_sides() {
    let mut tap = Tap::new();
    tap.shake();
    let health = tap.health().unwrap();
    assert_eq!(health.server_round_trip, Some(Span::from_millis(10)));
    assert_eq!(health.client_round_trip, Some(Span::from_millis(5)));
    let mut repeated = Tap::new();
    repeated.send(CLIENT, SYN, (0, 0), 0);
    repeated.now += 1_000;
    repeated.shake();
    let health = repeated.health().unwrap();
    assert_eq!((health.server_round_trip, health.client_round_trip), (None, None), "which SYN was answered?");
}

#[test]
fn an_attempt_is_not_measured() {
    let mut tap = Tap::new();
    tap.send(CLIENT, SYN, (0, 0), 0);
    tap.send(SERVER, SYN_ACK, (0, 1), 0);
    assert_eq!((tap.health(), tap.end()), (None, TcpTotals::default()));
}

#[test]
fn a_clean_transfer_is_clean_also_where_the_numbers_wrap() {
    for first in [(1_000, 5_000), (u32::MAX - 3, u32::MAX - 2_500), (0x7fff_ffff, 0x7fff_f000)] {
        let mut tap = Tap::at(first);
        tap.shake();
        for n in 0..10 {
            tap.data(1 + n * 1_000, 1_000);
            tap.acknowledge(1 + (n + 1) * 1_000);
            tap.now += 400;
        }
        let totals = tap.end();
        assert_eq!(told(&totals), [0, 0, 0, 10_000, 0]);
        assert_eq!((totals.segments, totals.acknowledgements, totals.flows_measured), (21, 10, 1));
        assert_eq!(totals.loss(), Some(0.0));
    }
}

#[test]
fn what_is_acknowledged_and_was_not_seen_is_missing() {
    for first in [(1_000, 5_000), (9, u32::MAX - 1_500)] {
        let mut tap = Tap::at(first);
        tap.shake();
        tap.data(1, 1_000);
        tap.data(2_001, 1_000);
        tap.acknowledge(3_001);
        assert_eq!(tap.table.tcp().bytes_missing, 0, "it may still come");
        tap.now += 300;
        tap.data(3_001, 1_000);
        assert_eq!(told(tap.table.tcp()), [0, 0, 1, 3_000, 1_000]);
        // The last one, too, although nothing comes behind it.
        tap.acknowledge(5_001);
        let sums = tap.health().unwrap();
        assert_eq!(sums.to_client, StreamSums { missing: 1_000, ..StreamSums::default() });
        assert_eq!(sums.to_server, StreamSums::default());
        let totals = tap.end();
        assert_eq!(told(&totals), [0, 0, 2, 3_000, 2_000]);
        assert_eq!(totals.loss(), Some(0.4));
    }
}

#[test]
fn what_the_network_loses_is_sent_again_and_not_missing() {
    let mut tap = Tap::new();
    tap.shake();
    tap.data(1, 1_000);
    tap.data(2_001, 1_000);
    tap.acknowledge(1_001);
    // A round trip of 15 ms at least until the sender knows.
    tap.now += 20;
    tap.data(1_001, 1_000);
    tap.acknowledge(3_001);
    assert_eq!(tap.health().unwrap().to_client.retransmitted, 1);
    assert_eq!(told(&tap.end()), [1, 0, 0, 3_000, 0]);
}

#[test]
fn what_was_seen_and_comes_again_is_retransmitted() {
    let mut tap = Tap::new();
    tap.shake();
    tap.data(1, 1_000);
    tap.data(1, 1_000);
    tap.data(501, 200);
    tap.acknowledge(1_001);
    assert_eq!(told(&tap.end()), [2, 0, 0, 1_000, 0]);
}

#[test]
fn reordering_is_neither_loss_nor_repetition() {
    let mut tap = Tap::new();
    tap.shake();
    tap.data(1, 1_000);
    tap.data(2_001, 1_000);
    tap.now += 2;
    tap.data(1_001, 1_000);
    tap.acknowledge(3_001);
    // The mirror shows the acknowledgement of one port before the data of another.
    tap.acknowledge(5_001);
    tap.now += 1;
    tap.data(3_001, 1_000);
    tap.data(4_001, 1_000);
    tap.now += 1_000;
    tap.acknowledge(5_001);
    assert_eq!(told(&tap.end()), [0, 3, 0, 5_000, 0]);
}

#[test]
fn a_segment_that_repeats_a_part_brings_the_rest() {
    let mut tap = Tap::new();
    tap.shake();
    tap.data(1, 1_000);
    tap.data(501, 1_000);
    tap.acknowledge(1_501);
    assert_eq!(told(&tap.end()), [0, 0, 0, 1_500, 0]);
}

#[test]
fn keep_alives_and_window_probes_are_nothing() {
    let mut tap = Tap::new();
    tap.shake();
    tap.data(1, 1_000);
    tap.acknowledge(1_001);
    for payload in [0, 1, 1] {
        tap.now += 10_000;
        tap.data(1_000, payload);
        tap.acknowledge(1_001);
    }
    // A probe of the closed window: one new byte, over and over, acknowledged once there is room.
    for _ in 0..3 {
        tap.now += 5_000;
        tap.data(1_001, 1);
        tap.acknowledge(1_001);
    }
    tap.acknowledge(1_002);
    tap.data(1_002, 500);
    tap.acknowledge(1_502);
    assert_eq!(told(&tap.end()), [0, 0, 0, 1_501, 0]);
}

#[test]
fn a_lost_fin_or_keep_alive_is_no_missing_byte() {
    let mut tap = Tap::new();
    tap.shake();
    tap.data(1, 1_000);
    // The server's FIN was not seen.
    tap.acknowledge(1_002);
    tap.send(CLIENT, FIN, (1, 1_002), 0);
    tap.send(CLIENT, FIN, (1, 1_002), 0);
    tap.send(SERVER, ACK, (1_002, 2), 0);
    assert_eq!(told(&tap.end()), [0, 0, 0, 1_000, 0]);
}

#[test]
fn a_reset_says_nothing() {
    let mut tap = Tap::new();
    tap.shake();
    tap.data(1, 1_000);
    tap.send(CLIENT, RST, (77_777, 66_666), 0);
    assert_eq!(told(&tap.end()), [0, 0, 0, 1_000, 0]);
}

#[test]
fn a_connection_found_midstream_is_measured_from_there_on() {
    let mut tap = Tap::new();
    // Of the server's data a part was acknowledged before, a part is under way.
    tap.data(50_001, 1_000);
    tap.data(51_001, 1_000);
    tap.acknowledge(40_001);
    tap.acknowledge(52_001);
    tap.data(52_001, 1_000);
    tap.acknowledge(53_001);
    let health = tap.health().unwrap();
    assert_eq!((health.server_round_trip, health.to_client), (None, StreamSums::default()));
    let totals = tap.end();
    assert_eq!(told(&totals), [0, 0, 0, 1_000, 0]);
    assert_eq!((totals.flows_measured, totals.flows_one_way), (1, 0));
}

#[test]
fn a_mirror_of_one_direction_is_told_as_that() {
    // Only what the client sends, which acknowledges what nobody sees.
    let mut tap = Tap::new();
    tap.send(CLIENT, SYN, (0, 0), 0);
    for n in 0..5 {
        tap.send(CLIENT, ACK, (1, 1 + n * 1_000), 0);
    }
    assert_eq!(tap.table.tcp().flows_one_way, 0, "the answer may be under way");
    tap.now += 1_000;
    tap.acknowledge(9_001);
    assert_eq!(tap.table.tcp().flows_one_way, 1);
    tap.now += 1_000;
    tap.acknowledge(10_001);
    let client = tap.end();
    // Only what the server sends.
    let mut tap = Tap::new();
    tap.send(SERVER, SYN_ACK, (0, 1), 0);
    (0..3).for_each(|n| tap.data(1 + n * 1_000, 1_000));
    let server = tap.end();
    for totals in [client, server] {
        assert_eq!(totals, TcpTotals { flows_one_way: 1, ..TcpTotals::default() });
    }
    // A listener that repeats its SYN+ACK to a spoofed address.
    let mut tap = Tap::new();
    (0..5).for_each(|_| tap.send(SERVER, SYN_ACK, (0, 1), 0));
    assert_eq!(tap.end(), TcpTotals::default());
}

#[test]
fn a_jump_beyond_any_window_says_nothing() {
    let mut tap = Tap::new();
    tap.shake();
    tap.data(1, 1_000);
    for next in [50_000_000, 0x7000_0000, 3_000_000_000] {
        tap.acknowledge(next);
        tap.now += 1_000;
    }
    tap.data(60_000_000, 1_000);
    tap.acknowledge(60_001_000);
    tap.now += 1_000;
    tap.data(60_001_000, 1_000);
    let totals = tap.end();
    assert_eq!((totals.bytes_missing, totals.gaps), (0, 0));
}

#[test]
fn a_flow_without_room_is_counted_and_one_that_ends_makes_room() {
    let mut table = FlowTable::new(&Config { flow_capacity: 64, ..Config::default() });
    let mut connect = |port: u16| {
        for (back, flags) in [(false, SYN), (true, SYN_ACK), (false, ACK)] {
            let ports = if back { (80, port) } else { (port, 80) };
            table.handle(&packet(0, back, tcp(ports, flags, 7)), None, None);
            while table.poll_event().is_some() {}
        }
        (table.tcp().flows_measured, table.tcp().flows_unmeasured)
    };
    (0..16).for_each(|port| _ = connect(port));
    assert_eq!(connect(16), (16, 1));
    table.flush(crate::flow::traffic::at(0));
    while table.poll_event().is_some() {}
    table.handle(&packet(1, false, tcp((1, 80), SYN, 7)), None, None);
    table.handle(&packet(1, true, tcp((80, 1), SYN_ACK, 7)), None, None);
    table.handle(&packet(1, false, tcp((1, 80), ACK, 7)), None, None);
    assert_eq!((table.tcp().flows_measured, table.tcp().flows_unmeasured), (17, 1));
}

proptest! {
    /// A server sends without loss in the network; the tap misses some of it, and sees neighbours change places. What
    /// it has seen and what it says that it has missed is all that was sent.
    #[test]
    fn seen_and_missing_are_all_that_was_sent(
        first: (u32, u32),
        segments in prop::collection::vec((2..1_460_u32, any::<bool>(), 0..4_u8), 1..120),
    ) {
        let mut tap = Tap::at(first);
        tap.shake();
        let mut next = 1;
        let mut seen = 0;
        for (length, missed, action) in segments {
            let from = next;
            next += length;
            if !missed {
                seen += u64::from(length);
                if action == 0 {
                    // Its acknowledgement comes first.
                    tap.acknowledge(next);
                }
                tap.data(from, length);
            }
            if action == 1 {
                tap.acknowledge(next);
            }
            tap.now += 1;
        }
        tap.acknowledge(next);
        let totals = tap.end();
        prop_assert_eq!((totals.bytes_seen, totals.bytes_missing), (seen, u64::from(next - 1) - seen));
        prop_assert_eq!(totals.retransmitted, 0);
    }

    /// Whatever is sent, no more is missing than numbers were acknowledged.
    #[test]
    fn any_segments_are_taken(
        segments in prop::collection::vec((any::<bool>(), any::<u8>(), any::<(u32, u32)>(), 0..2_000_u32), 0..200),
    ) {
        let mut tap = Tap::new();
        tap.shake();
        let count = u64::try_from(segments.len()).unwrap() + 3;
        for (back, flags, numbers, payload) in segments {
            tap.send(back, flags, numbers, payload);
            tap.now += 7;
        }
        let totals = tap.end();
        prop_assert!(totals.bytes_missing <= count * (16 << 20) * 2);
        prop_assert!(totals.retransmitted + totals.out_of_order <= totals.segments);
    }
}
