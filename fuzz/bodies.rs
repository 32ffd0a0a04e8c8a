//! What is fuzzed, and what fuzzing begins with: from bytes without meaning to frames, traffic, flows and capture
//! files. Which bytes come next is the caller's: libFuzzer's, or a test's.

#![allow(dead_code, reason = "each target uses its own part")]

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use tapguard::capture::{Files, Next, Source};
use tapguard::demo::{self, Network};
use tapguard::flow::{self, EndReason, FlowTable};
use tapguard::packet::{
    Digest, Frame, Hint, Icmp, IcmpKind, Ip, Link, Mac, Tcp, TcpFlags, Transport, Udp, dissect,
};
use tapguard::pipeline::{Judge, JudgeConfig, Meter, MeterConfig};
use tapguard::time::{Span, Timestamp};

/// A body of fuzzing: it panics where something is wrong.
pub(crate) type Target = fn(&[u8]);

/// All of them by their names.
pub(crate) const TARGETS: [(&str, Target); 4] =
    [("frame", frame), ("traffic", traffic), ("flows", flows), ("capture_file", capture_file)];

const START: Timestamp = Timestamp::from_nanos(1_700_000_040_000_000_000);

/// A frame of any link type: two bytes of LINKTYPE, two of what the capture cut off, the captured bytes.
pub(crate) fn frame(data: &[u8]) {
    let mut data = Bytes(data);
    let link = Link::from_number(data.u16());
    let cut = u32::from(data.u16());
    let bytes = data.0;
    let wire_len = u32::try_from(bytes.len()).unwrap_or(u32::MAX).saturating_add(cut);
    let digest = dissect(&Frame { time: START, link, wire_len, bytes });
    if let tapguard::packet::Network::Ip(ip) = digest.network {
        let payload = match ip.transport {
            Transport::Tcp(tcp) => tcp.payload,
            Transport::Udp(udp) => udp.payload,
            _ => 0,
        };
        assert!(payload <= wire_len, "a payload of {payload} in a frame of {wire_len}");
    }
}

/// Frames in time through the whole data plane: link type, time since the last, length, bytes.
pub(crate) fn traffic(data: &[u8]) {
    let mut config = MeterConfig::default();
    config.flow.flow_capacity = 64;
    config.flow.device_capacity = 16;
    let mut meter = Meter::new(&config);
    let mut judge = Judge::new(JudgeConfig::default());
    judge.start_baseline(START, Some(Span::from_secs(600)));
    let mut data = Bytes(data);
    let (mut time, mut frames) = (START, 0_u64);
    while !data.0.is_empty() {
        let link = Link::from_number(data.u16());
        // Up to 33 s, or now and then back or far ahead.
        let step = i64::from(data.u16().cast_signed());
        time = Timestamp::from_nanos(time.as_nanos().saturating_add(step.saturating_mul(1_000_000)));
        let length = usize::from(data.u16());
        let bytes = data.take(length);
        let wire_len = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        meter.handle_frame(&Frame { time, link, wire_len, bytes });
        frames += 1;
        while let Some(observation) = meter.poll_observation() {
            judge.handle(observation);
            while judge.poll().is_some() {}
        }
    }
    meter.finish();
    assert_eq!(meter.events_dropped(), 0);
    assert!(meter.counts().packets() <= frames);
    assert!(meter.flows().active() <= 64);
}

/// Packets of few hosts on few ports, so that flows meet: ten bytes each.
pub(crate) fn flows(data: &[u8]) {
    const CAPACITY: usize = 8;
    let config = flow::Config { flow_capacity: CAPACITY, ..flow::Config::default() };
    let mut table = FlowTable::new(&config);
    let mut data = Bytes(data);
    let mut time = START;
    while !data.0.is_empty() {
        time = Timestamp::from_nanos(time.as_nanos() + i64::from(data.u16()) * 10_000_000);
        table.handle(&packet(time, &mut data), None, None);
        while table.poll_event().is_some() {}
        assert!(table.active() <= CAPACITY);
    }
    table.flush(time);
    while table.poll_event().is_some() {}
    let ended: u64 = EndReason::ALL.into_iter().map(|reason| table.ended(reason)).sum();
    assert_eq!((table.opened(), table.events_lost()), (ended, 0), "every flow ends once");
}

fn packet(time: Timestamp, data: &mut Bytes<'_>) -> Digest {
    let (what, hosts, ports, flags) = (data.u8(), data.u8(), data.u8(), data.u8());
    let (sequence, acknowledgement, payload) =
        (u32::from(data.u8()) << 24 | u32::from(data.u8()), u32::from(data.u8()) << 24, u32::from(data.u8()));
    let port = |bits: u8| if bits & 3 == 0 { 80 } else { 40_000 + u16::from(bits & 3) };
    let (source_port, destination_port) = (port(ports), port(ports >> 2));
    let host = |bits: u8| IpAddr::from(Ipv4Addr::new(10, 0, 0, bits & 3));
    let transport = match what % 8 {
        0..=4 => Transport::Tcp(Tcp {
            source_port,
            destination_port,
            flags: TcpFlags(flags),
            sequence,
            acknowledgement,
            window: u16::from(flags) << 8,
            payload,
        }),
        5 => Transport::Udp(Udp { source_port, destination_port, payload }),
        6 => Transport::Icmp(Icmp {
            kind: IcmpKind::Unreachable {
                protocol: if flags & 1 == 0 { 6 } else { 17 },
                source: Some((host(hosts >> 2), source_port)),
                destination: Some((host(hosts), destination_port)),
            },
            payload,
        }),
        _ => Transport::Other(flags),
    };
    // A digest of no frame at all, with what was drawn put in.
    let mut digest = dissect(&Frame { time, link: Link::Ethernet, wire_len: 60, bytes: &[] });
    digest.fault = None;
    digest.hint = Hint::None;
    (digest.source, digest.destination) =
        (Mac([2, 0, 0, 0, 0, hosts & 3]), Mac([2, 0, 0, 0, 0, hosts >> 2 & 3]));
    digest.network = tapguard::packet::Network::Ip(Ip {
        source: host(hosts),
        destination: host(hosts >> 2),
        hop_limit: 64,
        transport,
    });
    digest
}

/// A capture file of either format, plain or packed.
pub(crate) fn capture_file(data: &[u8]) {
    let path = scratch();
    if std::fs::write(&path, data).is_err() {
        return;
    }
    let Ok(mut files) = Files::open(&[path]) else { return };
    let mut frames = 0_u64;
    while let Ok(Next::Frame(frame)) = files.next() {
        frames += 1;
        assert!(frame.bytes.len() <= 256 << 10);
    }
    assert_eq!(files.counters().frames, frames);
}

/// A file of this thread, in memory where the system has such a place.
fn scratch() -> PathBuf {
    let memory = PathBuf::from("/dev/shm");
    let folder = if memory.is_dir() { memory } else { std::env::temp_dir() };
    folder.join(format!("tapguard-fuzz-{}-{:?}", std::process::id(), std::thread::current().id()))
}

/// Removes what the bodies left behind on this thread.
pub(crate) fn clean() {
    // It may never have been made.
    drop(std::fs::remove_file(scratch()));
}

/// What a target is first given: generated traffic in the target's own form.
pub(crate) fn seeds(target: &str) -> Vec<Vec<u8>> {
    let frames = generated(400);
    match target {
        "frame" => {
            frames.iter().flat_map(|(_, frame)| wrapped(frame)).map(|(l, f)| prefixed(l, &f)).collect()
        }
        "traffic" => frames.chunks(20).map(record_row).collect(),
        "flows" => (0..16_u8).map(|n| (0..40_u8).flat_map(|p| step(n, p)).collect()).collect(),
        _ => frames.chunks(40).flat_map(|some| [classic(some), next_generation(some)]).collect(),
    }
}

fn generated(count: usize) -> Vec<(Timestamp, Vec<u8>)> {
    let mut network =
        Network::new(demo::Config { benign: Span::from_secs(20), ..demo::Config::new(1, START) });
    std::iter::from_fn(|| match network.next() {
        Ok(Next::Frame(frame)) => Some((frame.time, frame.bytes.to_vec())),
        _ => None,
    })
    .take(count)
    .collect()
}

fn prefixed(link: u16, frame: &[u8]) -> Vec<u8> {
    [&link.to_le_bytes()[..], &[0, 0], frame].concat()
}

fn record_row(frames: &[(Timestamp, Vec<u8>)]) -> Vec<u8> {
    let mut row = Vec::new();
    for (number, (_, frame)) in frames.iter().enumerate() {
        // Each of the row in another wrapping.
        let all = wrapped(frame);
        let (link, frame) = &all[number % all.len()];
        row.extend(link.to_le_bytes());
        row.extend(50_u16.to_le_bytes());
        row.extend(u16::try_from(frame.len()).unwrap_or(0).to_le_bytes());
        row.extend(frame);
    }
    row
}

/// A packet of a connection that is opened, talks and is closed; `n` says who with whom.
fn step(n: u8, p: u8) -> [u8; 10] {
    let flags = match p {
        0 => 0x02,
        1 => 0x12,
        38 => 0x11,
        39 => 0x14,
        _ => 0x18,
    };
    let back = p % 2;
    let (hosts, ports) = if back == 0 { (n & 3 | 4, 1) } else { ((n & 3) << 2 | 1, 4) };
    [p, 0, n / 4, hosts, ports, flags, p / 2, 0, p / 2, 100]
}

/// An Ethernet frame as it is and in the encapsulations that carry such frames or their packets, with LINKTYPE numbers.
pub(crate) fn wrapped(frame: &[u8]) -> Vec<(u16, Vec<u8>)> {
    let mut all = vec![(1, frame.to_vec())];
    let Some((link, packet)) = frame.split_at_checked(14) else { return all };
    let kind = &link[12..];
    let with = |kind: [u8; 2], head: &[u8], rest: &[u8]| [&link[..12], &kind[..], head, rest].concat();
    let outer = |protocol: u8, head: &[u8], rest: &[u8]| {
        with([8, 0], &ipv4(protocol, head.len() + rest.len()), &[head, rest].concat())
    };
    let datagram = |port: u16, head: &[u8], rest: &[u8]| {
        let length = u16::try_from(8 + head.len() + rest.len()).unwrap_or(0);
        let udp =
            [&40_000_u16.to_be_bytes()[..], &port.to_be_bytes(), &length.to_be_bytes(), &[0, 0]].concat();
        outer(17, &[&udp[..], head].concat(), rest)
    };
    let ip = kind == [8, 0] || kind == [0x86, 0xdd];
    all.extend([
        (1, with([0x88, 0xa8], &[0, 7, 0x81, 0, 0, 9], &[kind, packet].concat())),
        (113, [&[0, 0, 0, 1, 0, 6], &link[6..12], &[0, 0], kind, packet].concat()),
        (276, [kind, &[0, 0, 0, 0, 0, 2, 0, 1, 0, 6], &link[6..12], &[0, 0], packet].concat()),
        (1, outer(47, &[0, 0, 0x65, 0x58], frame)),
        (1, outer(47, &[0x10, 0, 0x88, 0xbe, 0, 0, 0, 1, 0x10, 0, 0, 1, 0, 0, 0, 0], frame)),
        (1, outer(47, &[0x10, 0, 0x22, 0xeb, 0, 0, 0, 1, 0x20, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0], frame)),
        (1, datagram(4_789, &[8, 0, 0, 0, 0, 0, 5, 0], frame)),
        (1, datagram(6_081, &[0, 0, 0x65, 0x58, 0, 0, 5, 0], frame)),
        (1, datagram(37_008, &[1, 0, 0, 1, 1], frame)),
    ]);
    if ip {
        let ppp = if kind == [8, 0] { [0, 0x21] } else { [0, 0x57] };
        let protocol = if kind == [8, 0] { 4 } else { 41 };
        let length = u16::try_from(packet.len() + 2).unwrap_or(0).to_be_bytes();
        let size = u16::try_from(packet.len()).unwrap_or(0).to_be_bytes();
        all.extend([
            (101, packet.to_vec()),
            (0, [&if kind == [8, 0] { [2, 0, 0, 0] } else { [30, 0, 0, 0] }, packet].concat()),
            (9, [&[0xff, 3], &ppp[..], packet].concat()),
            (1, with([0x88, 0x47], &[0, 1, 1, 64], packet)),
            (1, with([0x88, 0x64], &[0x11, 0, 0, 1, length[0], length[1], ppp[0], ppp[1]], packet)),
            (1, outer(protocol, &[], packet)),
            (1, outer(47, &[&[0, 0], kind].concat(), packet)),
            (1, datagram(2_152, &[0x30, 0xff, size[0], size[1], 0, 0, 0, 1], packet)),
            (
                127,
                [
                    &[0, 0, 8, 0, 0, 0, 0, 0, 8, 1, 0, 0][..],
                    &link[..6],
                    &link[6..12],
                    &link[..6],
                    &[0, 0, 0xaa, 0xaa, 3, 0, 0, 0],
                    kind,
                    packet,
                ]
                .concat(),
            ),
        ]);
    }
    all
}

fn ipv4(protocol: u8, payload: usize) -> [u8; 20] {
    let [high, low] = u16::try_from(20 + payload).unwrap_or(0).to_be_bytes();
    [0x45, 0, high, low, 0, 1, 0, 0, 64, protocol, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2]
}

fn classic(frames: &[(Timestamp, Vec<u8>)]) -> Vec<u8> {
    let mut file = words(&[0xa1b2_c3d4, 0x0004_0002, 0, 0, 65_535, 1]);
    for (time, frame) in frames {
        let micros = time.as_nanos() / 1_000;
        let length = u32::try_from(frame.len()).unwrap_or(0);
        let stamp = [micros / 1_000_000, micros % 1_000_000].map(|n| u32::try_from(n).unwrap_or(0));
        file.extend(words(&[stamp[0], stamp[1], length, length]));
        file.extend(frame);
    }
    file
}

fn next_generation(frames: &[(Timestamp, Vec<u8>)]) -> Vec<u8> {
    let mut file = words(&[0x0a0d_0d0a, 28, 0x1a2b_3c4d, 1, u32::MAX, u32::MAX, 28, 1, 20, 1, 65_535, 20]);
    for (time, frame) in frames {
        let micros = u64::try_from(time.as_nanos() / 1_000).unwrap_or(0);
        let (high, low) = (u32::try_from(micros >> 32).unwrap_or(0), (micros & 0xffff_ffff) as u32);
        let length = u32::try_from(frame.len()).unwrap_or(0);
        let padded = length.next_multiple_of(4);
        file.extend(words(&[6, 32 + padded, 0, high, low, length, length]));
        file.extend(frame);
        file.resize(file.len() + (padded - length) as usize, 0);
        file.extend(words(&[32 + padded]));
    }
    file
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

/// Bytes that are drawn from; zeros when there are no more.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        taken
    }

    fn u8(&mut self) -> u8 {
        self.take(1).first().copied().unwrap_or(0)
    }

    fn u16(&mut self) -> u16 {
        u16::from_le_bytes([self.u8(), self.u8()])
    }
}
