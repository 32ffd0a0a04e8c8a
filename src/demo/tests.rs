//! What the generated network promises, checked on its frames with a parser that is not its own.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::{IpAddr, Ipv4Addr};

use etherparse::{ArpOperation, NetSlice, SlicedPacket, TransportSlice};

use super::site::{Member, ROUTER_IP};
use super::{Attack, Config, Network, Paced, Truth};
use crate::capture::{Next, Source};
use crate::packet::Mac;
use crate::sys::clock::Stopwatch;
use crate::time::{Span, Timestamp};

fn start() -> Timestamp {
    Timestamp::from_parts(1_767_600_000, 0)
}

/// Five quiet minutes, then the attacks with a minute between them, until `minutes` have passed.
fn config(attacks: &[Attack], minutes: u64) -> Config {
    Config {
        benign: Span::from_secs(300),
        attacks: attacks.to_vec(),
        gap: Span::from_secs(60),
        until: Some(start() + Span::from_secs(minutes * 60)),
        ..Config::new(7, start())
    }
}

struct Recorded {
    time: Timestamp,
    bytes: Vec<u8>,
}

impl Recorded {
    fn packet(&self) -> SlicedPacket<'_> {
        SlicedPacket::from_ethernet(&self.bytes).expect("a frame that can be read")
    }

    fn source(&self) -> Mac {
        Mac(self.bytes[6..12].try_into().expect("six bytes"))
    }

    fn tcp(&self) -> Option<Segment> {
        let packet = self.packet();
        let (source, destination) = match packet.net? {
            NetSlice::Ipv4(ip) => (ip.header().source_addr().into(), ip.header().destination_addr().into()),
            NetSlice::Ipv6(ip) => (ip.header().source_addr().into(), ip.header().destination_addr().into()),
            NetSlice::Arp(_) => return None,
        };
        let Some(TransportSlice::Tcp(tcp)) = packet.transport else { return None };
        Some(Segment {
            from: (source, tcp.source_port()),
            to: (destination, tcp.destination_port()),
            syn: tcp.syn(),
            ack: tcp.ack(),
            fin: tcp.fin(),
            rst: tcp.rst(),
            payload: tcp.payload().len(),
        })
    }

    /// Operation, claimed sender and address asked for.
    fn arp(&self) -> Option<(ArpOperation, Ipv4Addr, Ipv4Addr)> {
        let Some(NetSlice::Arp(arp)) = self.packet().net else { return None };
        let ip = |bytes: &[u8]| Ipv4Addr::from(<[u8; 4]>::try_from(bytes).expect("four bytes"));
        Some((arp.operation(), ip(arp.sender_protocol_addr()), ip(arp.target_protocol_addr())))
    }
}

#[expect(clippy::struct_excessive_bools, reason = "they are the bits of the header")]
struct Segment {
    from: (IpAddr, u16),
    to: (IpAddr, u16),
    syn: bool,
    ack: bool,
    fin: bool,
    rst: bool,
    payload: usize,
}

fn play(config: Config) -> (Vec<Recorded>, Vec<Truth>) {
    let mut network = Network::new(config);
    let mut frames = Vec::new();
    while let Next::Frame(frame) = network.next().expect("a network does not fail") {
        assert_eq!(usize::try_from(frame.wire_len), Ok(frame.bytes.len()));
        frames.push(Recorded { time: frame.time, bytes: frame.bytes.to_vec() });
    }
    assert_eq!(network.counters().frames, u64::try_from(frames.len()).expect("a count"));
    (frames, network.truths().copied().collect())
}

/// Plays one attack and gives the frames of its time and what was played.
fn play_attack(attack: Attack, minutes: u64) -> (Vec<Recorded>, Truth) {
    let (mut frames, truths) = play(config(&[attack], minutes));
    let truth = truths[0];
    assert_eq!(truth.attack, attack);
    assert!(truth.finished && truth.first >= start() + Span::from_secs(300));
    frames.retain(|frame| frame.time >= truth.first && frame.time <= truth.last + Span::from_secs(1));
    (frames, truth)
}

fn fingerprint(seed: u64) -> u64 {
    let mut network = Network::new(Config { seed, ..config(&Attack::ALL, 30) });
    let mut hasher = DefaultHasher::new();
    for _ in 0..40_000 {
        let Ok(Next::Frame(frame)) = network.next() else { panic!("ended early") };
        (frame.time, frame.bytes).hash(&mut hasher);
    }
    hasher.finish()
}

#[test]
fn the_same_seed_gives_the_same_bytes_at_the_same_times() {
    assert_eq!(fingerprint(1), fingerprint(1));
    assert_ne!(fingerprint(1), fingerprint(2));
}

#[test]
fn frames_are_in_order_and_whole_and_of_a_natural_rate() {
    let (frames, truths) = play(config(&Attack::ALL, 25));
    assert!(frames.is_sorted_by_key(|frame| frame.time));
    for frame in &frames {
        assert!((60..=1514).contains(&frame.bytes.len()));
        frame.packet();
    }
    let rate = frames.len() / (25 * 60);
    assert!((20..200).contains(&rate), "{rate} frames in a second");
    let played: Vec<Attack> = truths.iter().map(|truth| truth.attack).collect();
    assert_eq!(played[..4], Attack::ALL);
}

#[test]
fn every_device_gets_a_lease_and_renews_it() {
    let (frames, _) = play(config(&[], 35));
    let mut leases: BTreeMap<Mac, usize> = BTreeMap::new();
    for frame in frames.iter().filter(|frame| frame.bytes.get(42) == Some(&2)) {
        let packet = frame.packet();
        let Some(TransportSlice::Udp(udp)) = packet.transport else { continue };
        // Option 53 comes first, after the magic number; 5 is an acknowledgement.
        if udp.source_port() == 67 && udp.payload()[240..243] == [53, 1, 5] {
            let client = Mac(udp.payload()[28..34].try_into().expect("six bytes"));
            *leases.entry(client).or_default() += 1;
        }
    }
    for member in Member::ALL.into_iter().filter(|member| *member != Member::Router) {
        assert_eq!(leases.get(&Mac(member.mac().0)), Some(&2), "{member:?}");
    }
}

#[test]
fn connections_are_opened_used_and_closed() {
    let (frames, _) = play(config(&[], 10));
    let mut opened = BTreeMap::new();
    for segment in frames.iter().filter_map(Recorded::tcp) {
        if segment.syn && !segment.ack {
            let before = opened.insert((segment.from, segment.to), [false; 4]);
            assert!(before.is_none(), "a SYN was repeated, or a port was used twice within minutes");
        } else if let Some(flow) = opened.get_mut(&(segment.to, segment.from)) {
            flow[0] |= segment.syn && segment.ack;
            flow[1] |= segment.payload > 0;
            flow[2] |= segment.fin;
            flow[3] |= segment.rst;
        }
    }
    // The server that is gone refuses; all others accept, and nothing breaks.
    let (refused, accepted): (Vec<_>, Vec<_>) = opened.iter().partition(|((_, to), _)| to.1 == 8443);
    assert!(!refused.is_empty() && refused.iter().all(|(_, flow)| !flow[0] && flow[3]));
    assert!(accepted.len() > 100 && accepted.iter().all(|(_, flow)| flow[0] && !flow[3]));
    let closed = accepted.iter().filter(|(_, flow)| flow[2]).count();
    let answered = accepted.iter().filter(|(_, flow)| flow[1]).count();
    assert!(closed * 10 > accepted.len() * 8 && answered * 10 > accepted.len() * 8);
    let servers: BTreeSet<u16> = accepted.iter().map(|((_, to), _)| to.1).collect();
    for port in [80, 322, 443, 502, 631, 1883] {
        assert!(servers.contains(&port), "nobody used port {port}");
    }
    // Most of them go outside, to many servers.
    let outside: BTreeSet<IpAddr> = accepted.iter().map(|((_, to), _)| to.0).filter(is_outside).collect();
    assert!(outside.len() >= 10);
}

fn is_outside(ip: &IpAddr) -> bool {
    matches!(ip, IpAddr::V4(ip) if !ip.is_private() && !ip.is_multicast() && !ip.is_broadcast() && !ip.is_unspecified())
}

#[test]
fn what_comes_from_outside_has_crossed_routers() {
    let (frames, _) = play(config(&[], 3));
    let mut far = 0;
    for frame in &frames {
        if let Some(NetSlice::Ipv4(ip)) = frame.packet().net
            && is_outside(&ip.header().source_addr().into())
        {
            far += 1;
            assert!(ip.header().ttl() < 64 && ip.header().ttl() > 32);
            assert_eq!(frame.source(), Mac(Member::Router.mac().0));
        }
    }
    assert!(far > 1000);
}

#[test]
fn a_port_scan_is_answered_by_the_stack_of_its_victim() {
    let (frames, truth) = play_attack(Attack::PortScan, 6);
    let (scanner, victim) = (IpAddr::V4(Member::Camera.ip()), IpAddr::V4(Member::Nas.ip()));
    assert_eq!(truth.subject, Mac(Member::Camera.mac().0));
    let (mut tried, mut refused, mut accepted) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for segment in frames.iter().filter_map(Recorded::tcp) {
        if segment.syn && segment.from.0 == scanner && segment.to.0 == victim {
            tried.insert(segment.to.1);
        } else if segment.from.0 == victim && segment.to.0 == scanner {
            if segment.rst {
                refused.insert(segment.from.1);
            } else if segment.syn {
                accepted.insert(segment.from.1);
            }
        }
    }
    assert!((200..=1000).contains(&tried.len()), "{} ports", tried.len());
    assert!(accepted.is_superset(&BTreeSet::from([22, 80, 1883, 5006])));
    assert_eq!(refused.len() + accepted.len(), tried.len());
    let span = truth.last.since(truth.first);
    assert!(span > Span::from_secs(15) && span < Span::from_secs(25));
}

#[test]
fn a_host_sweep_asks_for_everyone_and_finds_those_who_are_there() {
    let (frames, truth) = play_attack(Attack::HostSweep, 7);
    assert_eq!(truth.subject, Mac(Member::Television.mac().0));
    let (mut asked, mut found) = (BTreeSet::new(), BTreeSet::new());
    for frame in &frames {
        match frame.arp() {
            Some((ArpOperation::REQUEST, _, target)) if frame.source() == truth.subject => {
                asked.insert(target);
            }
            Some((ArpOperation::REPLY, sender, target)) if target == Member::Television.ip() => {
                found.insert(sender);
            }
            _ => {}
        }
    }
    assert!(asked.len() >= 253);
    let there: BTreeSet<Ipv4Addr> = Member::ALL.into_iter().map(Member::ip).collect();
    assert!(found.is_subset(&there));
    assert_eq!(found.len(), there.len() - 1);
}

#[test]
fn arp_spoofing_claims_the_router_and_passes_on_what_it_gets() {
    let (frames, truth) = play_attack(Attack::ArpSpoof, 9);
    assert_eq!(truth.subject, Mac(Member::Phone.mac().0));
    let (mut lies, mut relayed, mut from_router) = (0, 0, 0);
    for frame in &frames {
        if let Some((ArpOperation::REPLY, sender, _)) = frame.arp()
            && sender == ROUTER_IP
        {
            let claimed = Mac(frame.bytes[22..28].try_into().expect("six bytes"));
            lies += u32::from(claimed == truth.subject);
        }
        if let Some(segment) = frame.tcp() {
            let of_victim = segment.from.0 == IpAddr::V4(Member::Workstation.ip());
            relayed += u32::from(of_victim && frame.source() == truth.subject);
        }
        from_router += u32::from(frame.source() == Mac(Member::Router.mac().0));
    }
    assert_eq!(lies, 60);
    assert!(relayed > 10 && from_router > 100, "{relayed} relayed, {from_router} from the router");
}

#[test]
fn another_new_device_joins_in_each_round() {
    let (frames, truths) = play(config(&[Attack::NewDevice], 30));
    let [first, second] = [truths[0], truths[1]];
    assert_ne!(first.subject, second.subject);
    let known: Vec<Mac> = Member::ALL.into_iter().map(|member| Mac(member.mac().0)).collect();
    for truth in [first, second] {
        assert!(!known.contains(&truth.subject) && truth.ip.is_some());
        let times = frames.iter().filter(|frame| frame.source() == truth.subject).map(|frame| frame.time);
        let (first, last) = (times.clone().min().expect("it spoke"), times.max().expect("it spoke"));
        assert!(first >= truth.first && last <= truth.last + Span::from_secs(1));
        assert!(last.since(first) > Span::from_secs(500));
    }
    assert!(frames.iter().all(|f| known.contains(&f.source()) || f.time >= first.first));
}

#[test]
fn a_paced_network_keeps_the_time_and_never_makes_its_reader_wait_long() {
    let mut paced = Paced::new(Network::new(config(&[], 60)), 2);
    let watch = Stopwatch::start();
    let (mut idle, mut frames) = (0, 0);
    while watch.elapsed() < Span::from_millis(1200) {
        let before = watch.elapsed();
        let time = match paced.next().expect("a network does not fail") {
            Next::Frame(frame) => {
                frames += 1;
                frame.time
            }
            Next::Idle(time) => {
                idle += 1;
                time
            }
            Next::End => panic!("ended early"),
        };
        let waited = watch.elapsed().as_nanos() - before.as_nanos();
        assert!(waited < Span::from_millis(600).as_nanos(), "waited {} ms", waited / 1_000_000);
        // Twice as fast as the watch, which was started just before the first call.
        assert!(time.since(start()).as_nanos() <= 2 * watch.elapsed().as_nanos());
    }
    assert!(idle > 0 && frames > 0);
    assert_eq!(paced.counters().frames, frames);
}

#[test]
fn a_paused_network_goes_on_where_it_was() {
    let mut paced = Paced::new(Network::new(config(&[], 60)), 1_000);
    let time = |paced: &mut Paced| match paced.next().expect("a network does not fail") {
        Next::Frame(frame) => (true, frame.time),
        Next::Idle(time) => (false, time),
        Next::End => panic!("ended early"),
    };
    while !time(&mut paced).0 {}
    paced.pause();
    let frames = paced.counters().frames;
    let (first, second) = (time(&mut paced), time(&mut paced));
    assert_eq!((first.0, first, paced.counters().frames), (false, second, frames), "its time stands still");
    paced.resume();
    let watch = Stopwatch::start();
    let (_, next) = time(&mut paced);
    assert!(next >= first.1 && next.since(first.1).as_nanos() <= 1_000 * watch.elapsed().as_nanos());
    while !time(&mut paced).0 {}
    assert!(paced.counters().frames > frames);
}

#[test]
fn a_paced_network_that_is_behind_does_not_pause() {
    let mut paced = Paced::new(Network::new(config(&[], 60)), u32::MAX);
    for _ in 0..5_000 {
        assert!(matches!(paced.next(), Ok(Next::Frame(_) | Next::Idle(_))));
    }
    assert!(paced.counters().frames > 4_900);
    let mut short = Paced::new(Network::new(config(&[], 0)), u32::MAX);
    assert!(matches!(short.next(), Ok(Next::End)));
}
