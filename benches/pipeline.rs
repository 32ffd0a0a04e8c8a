//! How long the data plane takes for a frame of the generated network: decoding alone, metering, and all of it with
//! judging. The figures that count are of the release profile and in items per second of one core.

use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use tapguard::capture::{Next, Recent, Source};
use tapguard::demo::{Config, Network};
use tapguard::packet::{Frame, Link, dissect};
use tapguard::pipeline::{Judge, JudgeConfig, Meter, MeterConfig, Mirror};
use tapguard::time::{Span, Timestamp};

const START: Timestamp = Timestamp::from_nanos(1_700_000_040_000_000_000);

/// Frames of 40 minutes with a port scan after the first 20.
struct Recording {
    frames: Vec<(Timestamp, Vec<u8>)>,
}

impl Recording {
    fn new() -> Self {
        let config = Config {
            benign: Span::from_secs(1_200),
            until: Some(START + Span::from_secs(2_400)),
            ..Config::new(1, START)
        };
        let mut network = Network::new(config);
        let mut frames = Vec::new();
        while let Ok(Next::Frame(frame)) = network.next() {
            frames.push((frame.time, frame.bytes.to_vec()));
        }
        Self { frames }
    }

    fn frames(&self) -> impl Iterator<Item = Frame<'_>> {
        self.frames.iter().map(|(time, bytes)| Frame {
            time: *time,
            link: Link::Ethernet,
            wire_len: u32::try_from(bytes.len()).unwrap_or(u32::MAX),
            bytes,
        })
    }
}

fn main() {
    divan::main();
}

#[divan::bench]
fn decode(bencher: Bencher<'_, '_>) {
    let recording = Recording::new();
    bencher.counter(ItemsCount::new(recording.frames.len())).bench_local(|| {
        for frame in recording.frames() {
            black_box(dissect(&frame));
        }
    });
}

/// What the daemon adds to the meter: the packets that were just seen are kept.
#[divan::bench]
fn recent(bencher: Bencher<'_, '_>) {
    let recording = Recording::new();
    let mut recent = Recent::new();
    bencher.counter(ItemsCount::new(recording.frames.len())).bench_local(|| {
        for frame in recording.frames() {
            recent.push(black_box(&frame));
        }
    });
}

/// What the mirror's checks cost, duplicates included, while frames and digests are in the cache, as they are where
/// each frame is metered at once.
#[divan::bench]
fn mirror(bencher: Bencher<'_, '_>) {
    const HOT: usize = 512;
    let recording = Recording::new();
    let digests: Vec<_> = recording.frames().take(HOT).map(|frame| dissect(&frame)).collect();
    let mut mirror = Mirror::new(1);
    bencher.counter(ItemsCount::new(digests.len())).bench_local(|| {
        for (frame, digest) in recording.frames().zip(&digests) {
            black_box(mirror.handle(&frame, digest));
        }
    });
}

#[divan::bench]
fn meter(bencher: Bencher<'_, '_>) {
    let recording = Recording::new();
    bencher.counter(ItemsCount::new(recording.frames.len())).bench_local(|| {
        let mut meter = Meter::new(&MeterConfig::default());
        for frame in recording.frames() {
            meter.handle_frame(&frame);
            while let Some(observation) = meter.poll_observation() {
                black_box(observation);
            }
        }
    });
}

#[divan::bench]
fn meter_and_judge(bencher: Bencher<'_, '_>) {
    let recording = Recording::new();
    bencher.counter(ItemsCount::new(recording.frames.len())).bench_local(|| {
        let mut meter = Meter::new(&MeterConfig::default());
        let mut judge = Judge::new(JudgeConfig::default());
        judge.start_baseline(START, Some(Span::from_secs(1_200)));
        for frame in recording.frames() {
            meter.handle_frame(&frame);
            while let Some(observation) = meter.poll_observation() {
                judge.handle(observation);
            }
            while let Some(verdict) = judge.poll() {
                black_box(verdict);
            }
        }
    });
}
