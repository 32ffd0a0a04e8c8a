//! Each feature by a sequence small enough to compute by hand, and the bounds of windows.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use proptest::prelude::{Just, Strategy, any, prop_oneof, proptest};

use super::{External, Windows};
use crate::bounded::Text;
use crate::feature::{Config, DeviceWindow, SCHEMA, Scale, Slot};
use crate::flow::{DeviceId, EndReason, Endpoint, FlowEvent, FlowRecord, FlowState, News, Traffic};
use crate::packet::{
    Arp, ArpOperation, ClientHello, Digest, Direction, Dns, DnsTypes, Effect, Hint, Icmp, IcmpKind, Ip, Mac,
    Network, Operation, PlantProtocol, Tcp, TcpFlags, Transport, Udp,
};
use crate::time::{Span, Timestamp};

const A: DeviceId = DeviceId { slot: 0, generation: 1 };
const B: DeviceId = DeviceId { slot: 1, generation: 1 };
const INSIDE: External = External { source: false, destination: false };
const OUTBOUND: External = External { source: false, destination: true };

fn at(millis: i64) -> Timestamp {
    Timestamp::from_nanos(millis * 1_000_000)
}

fn ip(last: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(192, 0, 2, last))
}

fn packet(millis: i64, wire_len: u32, to: u8, transport: Transport) -> Digest {
    Digest {
        time: at(millis),
        wire_len,
        source: Mac([2, 0, 0, 0, 0, 1]),
        destination: Mac([2, 0, 0, 0, 0, to]),
        vlan: None,
        ether_type: 0x0800,
        tunnel: None,
        unknown: None,
        network: Network::Ip(Ip { source: ip(1), destination: ip(to), hop_limit: 64, transport }),
        hint: Hint::None,
        fault: None,
    }
}

fn udp(source_port: u16, destination_port: u16) -> Transport {
    Transport::Udp(Udp { source_port, destination_port, payload: 10 })
}

fn tcp(source_port: u16, destination_port: u16, flags: TcpFlags) -> Transport {
    Transport::Tcp(Tcp {
        source_port,
        destination_port,
        flags,
        sequence: 0,
        acknowledgement: 0,
        window: 0,
        payload: 0,
    })
}

fn group(mut digest: Digest) -> Digest {
    digest.destination = Mac::BROADCAST;
    digest
}

fn dns(mut digest: Digest, response: bool, rcode: u8, name: &str) -> Digest {
    digest.hint = Hint::Dns(Dns {
        multicast: false,
        response,
        rcode,
        questions: 1,
        answers: 0,
        name: Text::from_wire(name.as_bytes()),
        query_type: 1,
        answer_types: DnsTypes::default(),
        address: None,
    });
    digest
}

fn flow(
    news: News,
    client: Option<DeviceId>,
    server: Option<DeviceId>,
    client_ip: u8,
    port: u16,
) -> FlowEvent {
    let end = |ip, port, device| Endpoint { ip, port, mac: Mac::default(), device };
    FlowEvent {
        news,
        time: at(1),
        flow: FlowRecord {
            protocol: 6,
            client: end(ip(client_ip), 50_000, client),
            server: end(ip(9), port, server),
            first: at(0),
            last: at(0),
            to_server: Traffic::default(),
            to_client: Traffic::default(),
            state: FlowState::Attempt,
            midstream: false,
            application: crate::packet::Application::Unknown,
        },
    }
}

/// Ten-second windows for four devices.
fn windows() -> Windows {
    Windows::new(&Config { window: Span::from_secs(10) }, 4, 0)
}

fn drain(windows: &mut Windows) -> Vec<DeviceWindow> {
    std::iter::from_fn(|| windows.poll_window()).collect()
}

/// The first window of A after these packets, sent by it with this reach.
fn sent(packets: &[(Digest, External)]) -> DeviceWindow {
    let mut windows = windows();
    for (digest, external) in packets {
        windows.handle_packet(digest, Some(A), None, *external);
    }
    windows.handle_time(at(10_000));
    drain(&mut windows)[0]
}

/// The first windows of A and B after a packet from A to B and these events.
fn flows(events: &[FlowEvent]) -> Vec<DeviceWindow> {
    let mut windows = windows();
    windows.handle_packet(&packet(0, 100, 2, udp(1, 2)), Some(A), Some(B), INSIDE);
    for event in events {
        windows.handle_flow(event);
    }
    windows.handle_time(at(10_000));
    drain(&mut windows)
}

#[track_caller]
fn check(window: &DeviceWindow, expected: &[(Slot, f32)]) {
    for &(slot, value) in expected {
        let got = window.vector.get(slot).unwrap_or(f32::NAN);
        let tolerance = 1e-4 + value.abs() * 1e-3;
        assert!((got - value).abs() <= tolerance, "{}: {got}, expected {value}", SCHEMA[slot as usize].name);
    }
}

#[track_caller]
fn check_missing(window: &DeviceWindow, slots: &[Slot]) {
    for &slot in slots {
        assert_eq!(window.vector.get(slot), None, "{}", SCHEMA[slot as usize].name);
    }
}

#[test]
fn rates_sizes_and_gaps() {
    let mut windows = windows();
    for (millis, size) in [(0, 60), (1_000, 140), (3_000, 100)] {
        windows.handle_packet(&packet(millis, size, 2, udp(5, 6)), Some(A), Some(B), INSIDE);
    }
    windows.handle_packet(&packet(4_000, 900, 1, udp(6, 5)), Some(B), Some(A), INSIDE);
    windows.handle_time(at(10_000));
    let closed = drain(&mut windows);
    assert_eq!((closed[0].device, closed[0].packets, closed[0].bytes), (A, 4, 1_200));
    check(
        &closed[0],
        &[
            (Slot::SentPacketRate, 0.3),
            (Slot::ReceivedPacketRate, 0.1),
            (Slot::SentByteRate, 30.0),
            (Slot::ReceivedByteRate, 90.0),
            (Slot::SentByteShare, 0.25),
            (Slot::SentSizeMean, 100.0),
            (Slot::SentSizeDeviation, (3_200.0_f32 / 3.0).sqrt()),
            (Slot::ReceivedSizeMean, 900.0),
            (Slot::SmallPacketShare, 1.0 / 3.0),
            (Slot::SentGapMean, 1.5),
            (Slot::SentGapVariation, 0.5 / 1.5),
        ],
    );
    // One packet has no gap, and no deviation.
    check_missing(&closed[1], &[Slot::SentGapMean, Slot::SentGapVariation, Slot::SentSizeDeviation]);
    // A device that only receives.
    let mut windows = self::windows();
    windows.handle_packet(&packet(0, 60, 2, udp(1, 2)), None, Some(B), INSIDE);
    windows.handle_time(at(10_000));
    let window = drain(&mut windows)[0];
    check(&window, &[(Slot::SentByteShare, 0.0)]);
    check_missing(&window, &[Slot::SentSizeMean, Slot::SmallPacketShare, Slot::TcpShare, Slot::PeerEntropy]);
}

#[test]
fn peers_and_their_entropy() {
    let window = sent(&[
        (packet(0, 100, 2, udp(1, 2)), INSIDE),
        (packet(1, 100, 2, udp(1, 2)), INSIDE),
        (packet(2, 100, 3, udp(1, 2)), OUTBOUND),
        (packet(3, 100, 4, udp(1, 2)), OUTBOUND),
        // Group traffic has no peer.
        (group(packet(4, 400, 255, udp(1, 2))), INSIDE),
    ]);
    check(
        &window,
        &[
            (Slot::Peers, 3.004),
            (Slot::ExternalPeers, 2.002),
            (Slot::PeerEntropy, 1.5),
            (Slot::GroupShare, 0.2),
            (Slot::ExternalByteShare, 0.25),
        ],
    );
}

#[test]
fn frames_without_ip_count_their_stations() {
    let mut profinet = packet(0, 64, 2, udp(1, 2));
    profinet.network = Network::Other;
    let mut other = profinet;
    other.destination = Mac([2, 0, 0, 0, 0, 3]);
    let window = sent(&[(profinet, INSIDE), (other, INSIDE), (group(profinet), INSIDE)]);
    check(&window, &[(Slot::Peers, 2.002), (Slot::PeerEntropy, 1.0), (Slot::TcpShare, 0.0)]);
}

#[test]
fn ports_belong_to_the_lower_number() {
    let window = sent(&[
        (packet(0, 100, 2, tcp(443, 50_000, TcpFlags::ACK)), INSIDE),
        (packet(1, 100, 2, tcp(50_001, 443, TcpFlags::ACK)), INSIDE),
        (packet(2, 100, 2, tcp(50_002, 80, TcpFlags::ACK)), INSIDE),
        // The same number over UDP is another port.
        (packet(3, 100, 2, udp(50_002, 80)), INSIDE),
    ]);
    check(&window, &[(Slot::PortEntropy, 1.5)]);
}

#[test]
fn protocols_and_flags() {
    let arp = |operation| {
        let mut digest = group(packet(7, 60, 1, udp(1, 2)));
        digest.network = Network::Arp(Arp {
            operation,
            sender_mac: Mac::default(),
            sender_ip: Ipv4Addr::UNSPECIFIED,
            target_mac: Mac::default(),
            target_ip: Ipv4Addr::UNSPECIFIED,
        });
        (digest, INSIDE)
    };
    let echo = Transport::Icmp(Icmp { kind: IcmpKind::EchoRequest(1), payload: 56 });
    let window = sent(&[
        (packet(0, 60, 2, tcp(50_000, 80, TcpFlags::SYN)), INSIDE),
        (packet(1, 60, 2, tcp(80, 50_000, TcpFlags(TcpFlags::SYN.0 | TcpFlags::ACK.0))), INSIDE),
        (packet(2, 60, 2, tcp(80, 50_000, TcpFlags(TcpFlags::RST.0 | TcpFlags::ACK.0))), INSIDE),
        (packet(3, 60, 2, tcp(80, 50_000, TcpFlags::ACK)), INSIDE),
        (packet(4, 60, 2, udp(1, 2)), INSIDE),
        (packet(5, 60, 2, Transport::Fragment(17)), INSIDE),
        (packet(6, 60, 2, echo), INSIDE),
        arp(ArpOperation::Request),
        arp(ArpOperation::Request),
        arp(ArpOperation::Reply),
    ]);
    check(
        &window,
        &[
            (Slot::TcpShare, 0.4),
            (Slot::UdpShare, 0.2),
            (Slot::IcmpShare, 0.1),
            (Slot::SynShare, 0.25),
            (Slot::RstShare, 0.25),
            (Slot::ArpRequestRate, 0.2),
            (Slot::GroupShare, 0.3),
        ],
    );
}

#[test]
fn flows_of_client_and_server() {
    let (a, b) = (Some(A), Some(B));
    let mut midstream = flow(News::Opened, a, b, 1, 8080);
    midstream.flow.midstream = true;
    let windows = flows(&[
        flow(News::Opened, a, b, 1, 80),
        flow(News::Answered, a, b, 1, 80),
        flow(News::Opened, a, b, 1, 443),
        flow(News::Refused, a, b, 1, 443),
        flow(News::Ended(EndReason::Refused), a, b, 1, 443),
        flow(News::Opened, a, b, 1, 80),
        flow(News::Ended(EndReason::Unanswered), a, b, 1, 80),
        flow(News::Opened, None, b, 7, 80),
        midstream,
    ]);
    check(
        &windows[0],
        &[
            (Slot::ContactedPorts, 2.002),
            (Slot::OpenedFlowRate, 0.3),
            (Slot::FailedFlowRate, 0.2),
            (Slot::FailedFlowShare, 2.0 / 3.0),
            (Slot::ServedFlowRate, 0.0),
            (Slot::Clients, 0.0),
            (Slot::RefusedFlowRate, 0.0),
        ],
    );
    check(
        &windows[1],
        &[
            (Slot::Clients, 2.002),
            (Slot::ServedFlowRate, 0.4),
            (Slot::RefusedFlowRate, 0.2),
            (Slot::OpenedFlowRate, 0.0),
            (Slot::ContactedPorts, 0.0),
        ],
    );
    check_missing(&windows[1], &[Slot::FailedFlowShare]);
}

#[test]
fn ended_flows_give_duration_and_bytes() {
    let ended = |reason, millis, bytes| {
        let mut event = flow(News::Ended(reason), Some(A), Some(B), 1, 80);
        event.flow.last = at(millis);
        event.flow.to_server.bytes = bytes;
        event.flow.to_client.bytes = 2 * bytes;
        event
    };
    let windows = flows(&[
        ended(EndReason::Closed, 1_000, 100),
        ended(EndReason::Idle, 3_000, 300),
        // Cut short by the table: says nothing of the flow.
        ended(EndReason::Evicted, 9_000, 9_000),
        ended(EndReason::Flushed, 9_000, 9_000),
    ]);
    for window in &windows {
        check(window, &[(Slot::FlowDurationMean, 2.0), (Slot::FlowBytesMean, 600.0)]);
    }
}

#[test]
fn a_flow_with_oneself_ends_once() {
    let mut event = flow(News::Ended(EndReason::Closed), Some(A), Some(A), 1, 80);
    event.flow.to_server.bytes = 50;
    let mut other = flow(News::Ended(EndReason::Closed), Some(A), None, 1, 80);
    other.flow.to_server.bytes = 350;
    check(&flows(&[event, other])[0], &[(Slot::FlowBytesMean, 200.0)]);
}

#[test]
fn dns_names_and_failures() {
    let query = |millis, name| dns(packet(millis, 80, 2, udp(50_000, 53)), false, 0, name);
    let answer = |millis, rcode| dns(packet(millis, 80, 1, udp(53, 50_000)), true, rcode, "a.example");
    let mut multicast = query(5, "printer.local");
    if let Hint::Dns(message) = &mut multicast.hint {
        message.multicast = true;
    }
    let mut windows = windows();
    for digest in [query(0, "a.example"), query(1, "A.example"), query(2, "aaaabbbbccccdddd"), multicast] {
        windows.handle_packet(&digest, Some(A), Some(B), INSIDE);
    }
    for digest in [answer(6, 0), answer(7, 3), answer(8, 2), answer(9, 0)] {
        windows.handle_packet(&digest, Some(B), Some(A), INSIDE);
    }
    windows.handle_time(at(10_000));
    let closed = drain(&mut windows);
    check(
        &closed[0],
        &[
            (Slot::DnsQueryRate, 0.3),
            (Slot::DnsNames, 2.002),
            (Slot::DnsFailureShare, 0.5),
            (Slot::DnsNameLength, 34.0 / 3.0),
            (Slot::DnsNameEntropy, 2.0),
        ],
    );
    check(&closed[1], &[(Slot::DnsQueryRate, 0.0)]);
    check_missing(&closed[1], &[Slot::DnsFailureShare, Slot::DnsNameLength, Slot::DnsNameEntropy]);
}

#[test]
fn plant_requests_and_how_they_went() {
    let operation = |direction, effect, code, unit, error| {
        let mut digest = packet(0, 80, 2, tcp(50_000, 502, TcpFlags::ACK));
        digest.hint = Hint::Operation(Operation {
            protocol: PlantProtocol::Modbus,
            direction,
            effect,
            code,
            unit,
            address: u32::from(code) * 7,
            count: 1,
            object: 0,
            messages: 1,
            error,
        });
        digest
    };
    let mut windows = windows();
    for (effect, code, unit) in [
        (Effect::Read, 3, 1),
        (Effect::Read, 3, 1),
        (Effect::Read, 3, 2),
        (Effect::Write, 16, 1),
        (Effect::Mode, 8, 1),
        (Effect::Diagnose, 43, 1),
    ] {
        let asked = operation(Direction::Request, effect, code, unit, None);
        windows.handle_packet(&asked, Some(A), Some(B), INSIDE);
    }
    for error in [None, None, Some(2), None] {
        let answer = operation(Direction::Response, Effect::Read, 3, 1, error);
        windows.handle_packet(&answer, Some(B), Some(A), INSIDE);
    }
    windows.handle_time(at(10_000));
    let closed = drain(&mut windows);
    check(
        &closed[0],
        &[
            (Slot::PlantReadRate, 0.3),
            (Slot::PlantActRate, 0.2),
            // Five that differ in effect, code or unit, of 128 bits.
            (Slot::PlantOperations, 128.0 * (128.0_f32 / 123.0).ln()),
            (Slot::PlantFailureShare, 0.25),
        ],
    );
    check(&closed[1], &[(Slot::PlantReadRate, 0.0), (Slot::PlantOperations, 0.0)]);
    check_missing(&closed[1], &[Slot::PlantFailureShare]);
}

#[test]
fn hellos_and_the_servers_they_name() {
    let hello = |name: &[u8], quic: bool| {
        let hello = ClientHello {
            server_name: Text::from_wire(name),
            alpn: Text::from_wire(b"h2"),
            ja4: Text::from_wire(b""),
        };
        let transport = if quic { udp(50_000, 443) } else { tcp(50_000, 443, TcpFlags::ACK) };
        let mut digest = packet(0, 600, 2, transport);
        digest.hint = if quic { Hint::Quic(hello) } else { Hint::Tls(hello) };
        (digest, OUTBOUND)
    };
    let window = sent(&[
        hello(b"a.example", false),
        hello(b"a.example", true),
        hello(b"b.example", false),
        hello(b"", false),
    ]);
    check(&window, &[(Slot::TlsHelloRate, 0.4), (Slot::TlsServers, 128.0 * (128.0_f32 / 126.0).ln())]);
}

/// Fifty packets in half a second and none after: the mean hides what the peak shows.
#[test]
fn a_burst_is_a_peak() {
    let mut windows = windows();
    for n in 0..50 {
        windows.handle_packet(&packet(n * 10, 200, 2, udp(5, 6)), Some(A), Some(B), INSIDE);
    }
    windows.handle_time(at(10_000));
    let closed = drain(&mut windows);
    // The sum of 2^(-n / 100) for 50 packets, times ln 2.
    let weight = (1.0 - 0.5_f32.sqrt()) / (1.0 - 0.5_f32.powf(0.01));
    let rate = weight * std::f32::consts::LN_2;
    check(
        &closed[0],
        &[
            (Slot::SentPacketRate, 5.0),
            (Slot::SentPacketPeak, rate),
            (Slot::SentBytePeak, 200.0 * rate),
            (Slot::ReceivedPacketPeak, 0.0),
        ],
    );
    check(&closed[1], &[(Slot::SentPacketPeak, 0.0), (Slot::ReceivedPacketPeak, rate)]);
}

#[test]
fn a_peer_is_new_when_neither_this_window_nor_the_one_before_had_it() {
    let mut windows = windows();
    let one = 0.1 * std::f32::consts::LN_2;
    let mut closed = Vec::new();
    for (second, peer) in [(0, 2), (1, 2), (10, 2), (11, 3), (30, 2)] {
        for end in [10, 20, 30] {
            if end <= second {
                windows.handle_time(at(end * 1_000));
                closed.extend(drain(&mut windows));
            }
        }
        windows.handle_packet(&packet(second * 1_000, 100, peer, udp(5, 6)), Some(A), None, INSIDE);
    }
    windows.handle_time(at(40_000));
    closed.extend(drain(&mut windows));
    let peaks: Vec<_> = closed.iter().map(|w| w.vector.get(Slot::NewPeerPeak).unwrap()).collect();
    // In the second window the peer of the first is half forgotten. The third is empty, so that all is new after it.
    let expected = [one, one * (1.0 + 0.5_f32.powf(1.1)), one * (1.0 + 0.5_f32.powf(1.9) + 0.5_f32.powi(3))];
    for (peak, expected) in peaks.iter().zip(expected) {
        assert!((peak - expected).abs() < 1e-5, "{peaks:?} {expected}");
    }
    assert_eq!(peaks.len(), 3);
}

/// A device asks one server evenly and is answered each time; the questions' sizes alternate, and the answers' with them.
#[test]
fn the_busiest_channel_and_socket() {
    let mut windows = Windows::new(&Config { window: Span::from_secs(100) }, 4, 0);
    for n in 0..200 {
        let size = if n % 2 == 0 { 100 } else { 300 };
        let asked = packet(n * 500, size, 2, udp(5, 6));
        let mut answered = packet(n * 500 + 100, 2 * size, 1, udp(6, 5));
        answered.network =
            Network::Ip(Ip { source: ip(2), destination: ip(1), hop_limit: 64, transport: udp(6, 5) });
        windows.handle_packet(&asked, Some(A), Some(B), INSIDE);
        windows.handle_packet(&answered, Some(B), Some(A), INSIDE);
        if n % 10 == 0 {
            let other = packet(n * 500 + 50, 1_400, 3, udp(7, 8));
            windows.handle_packet(&other, Some(A), None, INSIDE);
        }
    }
    windows.handle_time(at(100_000));
    let window = drain(&mut windows)[0];
    let value = |slot: Slot| window.vector.get(slot).unwrap();
    // Four packets a second, both ways.
    assert!((value(Slot::ChannelPacketPeak) - 4.0).abs() < 0.15, "{}", value(Slot::ChannelPacketPeak));
    assert!((value(Slot::SocketPacketPeak) - 4.0).abs() < 0.15);
    assert!(value(Slot::ChannelGapVariation) < 1e-4, "a clock");
    let magnitude = 200.0_f32.hypot(400.0);
    assert!((value(Slot::ChannelMagnitude) - magnitude).abs() < 10.0, "{}", value(Slot::ChannelMagnitude));
    let radius = 10_000.0_f32.hypot(40_000.0);
    assert!((value(Slot::ChannelRadius) / radius - 1.0).abs() < 0.02, "{}", value(Slot::ChannelRadius));
    // Each value meets the latest of the other way once as its pair and once as the one before: these cancel out.
    assert!(value(Slot::ChannelCorrelation).abs() < 0.05, "{}", value(Slot::ChannelCorrelation));
    let rate = windows.rate(A, at(100_000)).unwrap();
    assert!((rate.packets - 4.2).abs() < 0.2 && (rate.bytes - 1_480.0).abs() < 100.0, "{rate:?}");
    let later = windows.rate(A, at(110_000)).unwrap();
    assert!((later.packets / rate.packets - 0.5).abs() < 1e-9, "halved in ten seconds");
    assert_eq!(windows.rate(DeviceId { slot: 0, generation: 2 }, at(100_000)), None);
}

#[test]
fn windows_are_aligned_and_end_exclusively() {
    let mut windows = windows();
    windows.handle_packet(&packet(12_345, 100, 2, udp(1, 2)), Some(A), None, INSIDE);
    windows.handle_time(at(19_999));
    assert_eq!(windows.poll_window(), None);
    windows.handle_packet(&packet(20_000, 100, 2, udp(1, 2)), Some(A), None, INSIDE);
    let closed = drain(&mut windows);
    assert_eq!(closed.len(), 1);
    assert_eq!((closed[0].start, closed[0].end, closed[0].packets), (at(10_000), at(20_000), 1));
    // Silence gives no windows, and the next one starts where time is.
    windows.handle_packet(&packet(75_000, 100, 2, udp(1, 2)), Some(A), None, INSIDE);
    assert_eq!(drain(&mut windows)[0].start, at(20_000));
    windows.handle_time(at(80_000));
    assert_eq!(drain(&mut windows)[0].start, at(70_000));
    windows.handle_time(at(90_000));
    assert_eq!(windows.poll_window(), None);
}

#[test]
fn time_before_the_epoch_is_aligned_downwards() {
    let mut windows = windows();
    windows.handle_packet(&packet(-1, 100, 2, udp(1, 2)), Some(A), None, INSIDE);
    windows.handle_time(at(0));
    assert_eq!(drain(&mut windows)[0].start, at(-10_000));
}

#[test]
fn windows_come_in_the_order_of_slots() {
    let mut windows = windows();
    windows.handle_packet(&packet(0, 100, 2, udp(1, 2)), Some(B), Some(A), INSIDE);
    windows.handle_time(at(10_000));
    assert_eq!(drain(&mut windows).iter().map(|w| w.device).collect::<Vec<_>>(), [A, B]);
}

#[test]
fn a_place_taken_anew_starts_anew() {
    let later = DeviceId { slot: 0, generation: 2 };
    let mut windows = windows();
    windows.handle_packet(&packet(0, 100, 2, udp(1, 2)), Some(A), None, INSIDE);
    windows.handle_packet(&packet(1, 70, 2, udp(1, 2)), Some(later), None, INSIDE);
    // The former device's last flow ends after it was put out.
    windows.handle_flow(&flow(News::Ended(EndReason::Closed), Some(A), None, 1, 80));
    windows.handle_time(at(10_000));
    let closed = drain(&mut windows);
    assert_eq!(closed.len(), 1);
    assert_eq!((closed[0].device, closed[0].packets, closed[0].bytes), (later, 1, 70));
}

#[test]
fn a_jump_of_the_clock_drops_what_was_begun() {
    let mut windows = windows();
    windows.handle_packet(&packet(55_000, 100, 2, udp(1, 2)), Some(A), None, INSIDE);
    windows.restart(at(0));
    windows.handle_packet(&packet(5_000, 70, 2, udp(1, 2)), Some(A), None, INSIDE);
    windows.handle_time(at(10_000));
    let closed = drain(&mut windows);
    assert_eq!((closed.len(), closed[0].start, closed[0].bytes), (1, at(0), 70));
}

#[test]
fn slots_beyond_the_table_are_ignored_and_windows_not_fetched_are_counted() {
    let mut windows = windows();
    let beyond = DeviceId { slot: 4, generation: 1 };
    windows.handle_packet(&packet(0, 100, 2, udp(1, 2)), Some(beyond), Some(B), INSIDE);
    windows.handle_packet(&packet(10_000, 100, 2, udp(1, 2)), Some(beyond), Some(B), INSIDE);
    windows.handle_time(at(20_000));
    assert_eq!(windows.dropped(), 1);
    assert_eq!(
        drain(&mut windows).iter().map(|w| (w.device, w.start)).collect::<Vec<_>>(),
        [(B, at(10_000))]
    );
}

fn any_transport() -> impl Strategy<Value = Transport> {
    prop_oneof![
        (any::<u16>(), any::<u16>(), any::<u8>()).prop_map(|(s, d, f)| tcp(s, d, TcpFlags(f))),
        (any::<u16>(), any::<u16>()).prop_map(|(s, d)| udp(s, d)),
        any::<u8>().prop_map(Transport::Other),
        Just(Transport::Icmp(Icmp { kind: IcmpKind::EchoRequest(0), payload: 0 })),
    ]
}

fn any_packet() -> impl Strategy<Value = Digest> {
    (any::<i64>(), any::<u32>(), any::<u8>(), any::<u128>(), any_transport(), "[ -~]{0,80}", any::<bool>())
        .prop_map(|(nanos, len, to, v6, transport, name, response)| {
            let mut digest = packet(0, len, to, transport);
            digest.time = Timestamp::from_nanos(nanos);
            if to % 3 == 0 {
                let address = IpAddr::V6(Ipv6Addr::from_bits(v6));
                digest.network =
                    Network::Ip(Ip { source: address, destination: address, hop_limit: 1, transport });
            }
            if to % 2 == 0 { dns(digest, response, to, &name) } else { digest }
        })
}

proptest! {
    #[test]
    fn no_value_is_ever_infinite_or_negative(
        packets in proptest::collection::vec(any_packet(), 1..60),
        near in any::<bool>(),
    ) {
        let mut windows = windows();
        let mut closed = Vec::new();
        for mut digest in packets {
            if near {
                digest.time = Timestamp::from_nanos(digest.time.as_nanos().rem_euclid(20_000_000_000));
            }
            windows.handle_packet(&digest, Some(A), Some(B), OUTBOUND);
            closed.extend(drain(&mut windows));
        }
        windows.handle_time(Timestamp::from_nanos(i64::MAX));
        closed.extend(drain(&mut windows));
        for window in closed {
            for (value, feature) in window.vector.raw().iter().zip(SCHEMA) {
                // What is not finite counts as not measured, so none of it may come from arithmetic.
                assert!(!value.is_infinite(), "{}: {value}", feature.name);
                let (lowest, highest) = match (feature.unit, feature.scale) {
                    ("ratio", Scale::Linear) if feature.name.ends_with("correlation") => (-1.0, 1.0),
                    ("ratio", Scale::Linear) => (0.0, 1.0),
                    _ => (0.0, f32::MAX),
                };
                assert!(value.is_nan() || (lowest..=highest).contains(value), "{}: {value}", feature.name);
            }
            let always = [
                Slot::SentPacketPeak,
                Slot::SentBytePeak,
                Slot::ReceivedPacketPeak,
                Slot::NewPeerPeak,
                Slot::ChannelPacketPeak,
                Slot::SocketPacketPeak,
            ];
            assert!(always.iter().all(|&slot| window.vector.get(slot).is_some()));
        }
    }
}
