//! Against the paper's formulas, computed plainly; and what the tables do when somebody fills them.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use proptest::prelude::*;

use super::statistic::{Pair, Sample, Way};
use super::*;
use crate::packet::{Hint, Mac, Tcp, Udp};
use crate::time::Span;

/// All of the paper's decay factors.
const PAPER: [f64; 5] = [5.0, 3.0, 1.0, 0.1, 0.01];

/// Table I of the paper at one decay factor, with powers of the library and no landmarks. What is decided beyond the
/// paper is as `statistic` says.
#[derive(Default)]
struct Reference {
    lambda: f64,
    last: f64,
    /// Weight, linear sum, squared sum, latest residual of each way.
    ways: [[f64; 4]; 2],
    products: f64,
}

impl Reference {
    fn insert(&mut self, way: usize, value: f64, seconds: f64) {
        let left = 2.0_f64.powf(-self.lambda * (seconds - self.last));
        self.last = seconds;
        for [weight, sum, squares, _] in &mut self.ways {
            *weight *= left;
            *sum *= left;
            *squares *= left;
        }
        self.products *= left;
        let across = self.ways[1 - way][3];
        let [weight, sum, squares, residual] = &mut self.ways[way];
        *weight += 1.0;
        *sum += value;
        *squares += value * value;
        *residual = value - *sum / *weight;
        self.products += *residual * across;
    }

    fn mean(&self, way: usize) -> f64 {
        let [weight, sum, ..] = self.ways[way];
        if weight > 0.0 { sum / weight } else { 0.0 }
    }

    fn variance(&self, way: usize) -> f64 {
        let [weight, _, squares, _] = self.ways[way];
        if weight > 0.0 { (squares / weight - self.mean(way).powi(2)).abs() } else { 0.0 }
    }

    fn magnitude(&self) -> f64 {
        (self.mean(0).powi(2) + self.mean(1).powi(2)).sqrt()
    }

    fn radius(&self) -> f64 {
        (self.variance(0).powi(2) + self.variance(1).powi(2)).sqrt()
    }

    fn correlation(&self) -> f64 {
        let covariance = self.products / (self.ways[0][0] + self.ways[1][0]);
        covariance / (self.variance(0).sqrt() * self.variance(1).sqrt())
    }
}

fn ways() -> impl Iterator<Item = (usize, Way)> {
    [Way::There, Way::Back].into_iter().enumerate()
}

fn assert_close(what: &str, got: f64, expected: f64, tolerance: f64) {
    assert!((got - expected).abs() <= tolerance, "{what}: {got}, expected {expected}");
}

/// Relative error of weights and means below 1e-9; that of variances is of the mean square, whose difference they are.
fn compare(pair: &Pair<5>, moment: &Moment<5>, references: &[Reference]) {
    for (decay, reference) in references.iter().enumerate() {
        for (at, way) in ways() {
            let stream = pair.values(way);
            let [weight, sum, squares, _] = reference.ways[at];
            if weight < 1e-15 {
                continue;
            }
            let left = moment.left[decay];
            assert_close("weight", stream.weight(decay) * left, weight, 1e-9 * weight);
            assert_close("sum", stream.sum(decay) * left, sum, 1e-9 * sum);
            assert_close("mean", stream.mean(decay), reference.mean(at), 1e-9 * reference.mean(at));
            let variance = stream.deviation(decay).powi(2);
            assert_close("variance", variance, reference.variance(at), 1e-9 * squares / weight);
        }
        if reference.ways.iter().any(|[weight, ..]| *weight < 1e-15) {
            continue;
        }
        let magnitude = reference.magnitude();
        assert_close("magnitude", pair.magnitude(decay), magnitude, 1e-9 * magnitude);
        assert_close("radius", pair.radius(decay), reference.radius(), 1e-8 * magnitude * magnitude);
        let rough = (0..2).any(|way| reference.variance(way) < 1e-6 * magnitude * magnitude);
        if !rough {
            let expected = reference.correlation().clamp(-1.0, 1.0);
            assert_close("correlation", pair.correlation(decay), expected, 1e-6);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Any sizes, ways and gaps of up to three minutes, over many landmarks.
    #[test]
    fn is_what_the_paper_says(
        packets in prop::collection::vec((any::<bool>(), 60..1_600_u32, 0..180_000_000_000_u64, 0..4_u8), 1..120),
        start in 0..2_000_000_000_i64,
    ) {
        let start = Timestamp::from_parts(start, 123_456_789);
        let mut now = start;
        let mut pair = Pair::new(&Moment::new(&PAPER, now));
        let mut references = PAPER.map(|lambda| Reference { lambda, ..Reference::default() });
        for (there, size, gap, scale) in packets {
            now = now + Span::from_nanos(gap / 1_000_u64.pow(scale.into()));
            let moment = Moment::new(&PAPER, now);
            pair.rebase(&PAPER, &moment);
            let (at, way) = if there { (0, Way::There) } else { (1, Way::Back) };
            pair.insert(way, &Sample::new(&moment, f64::from(size)));
            for reference in &mut references {
                reference.insert(at, size.into(), now.since(start).as_secs_f64());
            }
            compare(&pair, &moment, &references);
        }
    }

    /// Any 64-bit times in order, any sizes: nothing is ever not a number.
    #[test]
    fn is_always_a_number(
        mut times in prop::collection::vec(any::<i64>(), 1..60),
        near in any::<bool>(),
        packets in prop::collection::vec((any::<bool>(), any::<u32>()), 60),
    ) {
        if near {
            times.iter_mut().for_each(|time| *time %= 1_000_000_000_000);
        }
        times.sort_unstable();
        let mut pair = Pair::new(&Moment::new(&PAPER, Timestamp::from_nanos(times[0])));
        for (time, (there, size)) in times.into_iter().zip(packets) {
            let moment = Moment::new(&PAPER, Timestamp::from_nanos(time));
            pair.rebase(&PAPER, &moment);
            pair.insert(if there { Way::There } else { Way::Back }, &Sample::new(&moment, size.into()));
            for decay in 0..PAPER.len() {
                for (_, way) in ways() {
                    let stream = pair.values(way);
                    prop_assert!(stream.weight(decay).is_finite() && stream.sum(decay).is_finite());
                    prop_assert!(stream.mean(decay).is_finite() && stream.deviation(decay).is_finite());
                }
                prop_assert!(pair.magnitude(decay).is_finite() && pair.radius(decay).is_finite());
                prop_assert!((-1.0..=1.0).contains(&pair.correlation(decay)));
            }
        }
    }
}

/// A second of the largest packets at ten million a second: the deviation of what does not deviate is nothing.
#[test]
fn equal_values_do_not_deviate() {
    let mut pair = Pair::<5>::new(&Moment::new(&PAPER, Timestamp::EPOCH));
    for n in 0..1_000_000_u64 {
        let moment = Moment::new(&PAPER, Timestamp::EPOCH + Span::from_nanos(n * 100));
        pair.insert(Way::There, &Sample::new(&moment, 65_535.0));
    }
    for decay in 0..PAPER.len() {
        assert!(pair.values(Way::There).deviation(decay) < 1.0);
    }
}

fn at(nanos: i64) -> Timestamp {
    Timestamp::from_nanos(1_700_000_000_000_000_000 + nanos)
}

fn host(n: u32) -> IpAddr {
    IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 + n))
}

fn datagram(time: Timestamp, source: IpAddr, destination: IpAddr, port: u16) -> Digest {
    let transport = Transport::Udp(Udp { source_port: 40_000, destination_port: port, payload: 10 });
    digest(time, Ip { source, destination, hop_limit: 64, transport })
}

fn digest(time: Timestamp, ip: Ip) -> Digest {
    Digest {
        time,
        wire_len: 100,
        source: Mac([2, 0, 0, 0, 0, 1]),
        destination: Mac([2, 0, 0, 0, 0, 2]),
        vlan: None,
        ether_type: 0x0800,
        tunnel: None,
        unknown: None,
        network: Network::Ip(ip),
        hint: Hint::None,
        fault: None,
    }
}

fn handle(damped: &mut Damped, digest: &Digest, admit: bool) -> Touched {
    damped.handle_packet(digest, &Packet::new(digest.time, digest.wire_len), admit)
}

#[test]
fn who_is_not_known_makes_nothing_and_counts_in_what_is_there() {
    let mut damped = Damped::new(1);
    let asked = datagram(at(0), host(1), host(2), 53);
    assert!(handle(&mut damped, &asked, false).channel.is_none());
    assert!(handle(&mut damped, &asked, true).socket.is_some());
    let mut answered = asked;
    let transport = Transport::Udp(Udp { source_port: 53, destination_port: 40_000, payload: 10 });
    answered.network = Network::Ip(Ip { source: host(2), destination: host(1), hop_limit: 64, transport });
    let touched = handle(&mut damped, &answered, false);
    let (channel, socket) = (touched.channel.unwrap(), touched.socket.unwrap());
    assert!((channel.weight - 2.0).abs() < 1e-12 && (socket.weight - 2.0).abs() < 1e-12);
}

/// What goes on stays, however many others come; what comes is let in at the cost of its like.
#[test]
fn a_flood_takes_the_places_of_its_own() {
    let mut damped = Damped::new(1);
    let keepers = 100;
    let mut time = at(0);
    for round in 0..400_u32 {
        for n in 0..keepers {
            let kept = datagram(time, host(n), host(1_000 + n), 5_000);
            assert!(handle(&mut damped, &kept, true).socket.is_some());
        }
        for n in 0..1_000 {
            time = time + Span::from_nanos(1_000);
            handle(&mut damped, &datagram(time, host(7), host(100_000 + round * 1_000 + n), 9), true);
        }
        time = time + Span::from_secs(1);
    }
    assert_eq!(damped.channels.len(), Damped::CHANNELS);
    assert_eq!(damped.sockets.len(), Damped::SOCKETS);
    for n in 0..keepers {
        let kept = datagram(time, host(n), host(1_000 + n), 5_000);
        let weight = handle(&mut damped, &kept, false).channel.unwrap().weight;
        // One a second, decayed by 0.1: 1 / (1 - 2^-0.1).
        assert!((weight - 14.93).abs() < 0.1, "{weight}");
    }
}

/// The same for two seeds of the hash, under pressure too.
#[test]
fn no_result_depends_on_the_hash() {
    let run = |seed| {
        let mut damped = Damped::new(seed);
        let mut weights = BTreeMap::new();
        for n in 0..60_000_u32 {
            let to = host(1_000 + n * 7_919 % 9_973);
            let packet = datagram(at(i64::from(n) * 1_000_000), host(n % 3), to, 9);
            let touched = handle(&mut damped, &packet, true);
            let weight = |stream: Option<Stream>| stream.map(|stream| stream.weight.to_bits());
            weights.insert(n, (weight(touched.channel), weight(touched.socket)));
        }
        (weights, damped.refused())
    };
    assert_eq!(run(1), run(2));
}

#[test]
fn attempts_make_nothing() {
    let mut damped = Damped::new(1);
    let segment = |flags| {
        let tcp = Tcp {
            source_port: 40_000,
            destination_port: 80,
            flags,
            sequence: 0,
            acknowledgement: 0,
            window: 0,
            payload: 0,
        };
        digest(
            at(0),
            Ip { source: host(1), destination: host(2), hop_limit: 64, transport: Transport::Tcp(tcp) },
        )
    };
    for flags in [TcpFlags::SYN, TcpFlags(TcpFlags::RST.0 | TcpFlags::ACK.0)] {
        assert!(handle(&mut damped, &segment(flags), true).channel.is_none());
    }
    let accepted = handle(&mut damped, &segment(TcpFlags(TcpFlags::SYN.0 | TcpFlags::ACK.0)), true);
    assert!(accepted.channel.is_some() && accepted.socket.is_some());
    assert!(
        handle(&mut damped, &segment(TcpFlags::SYN), true).socket.is_some(),
        "it counts in what is there"
    );
}

/// A table full of what has weight refuses, and counts it.
#[test]
fn what_has_weight_is_not_put_out() {
    let mut damped = Damped::new(1);
    for _ in 0..3 {
        for n in 0..4_096 {
            handle(&mut damped, &datagram(at(0), host(1), host(10), n), true);
        }
    }
    assert!(handle(&mut damped, &datagram(at(1), host(1), host(10), 5_000), true).socket.is_none());
    assert_eq!(damped.refused(), 1);
    damped.restart();
    assert!(handle(&mut damped, &datagram(at(2), host(1), host(10), 5_000), true).socket.is_some());
}
