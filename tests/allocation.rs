//! No packet allocates: counted on the thread that meters, by an allocator that counts for each thread apart. What may
//! allocate is rare: the first packet of a station, and what is told of: a window that closed, a device, evidence;
//! and the first use of a place in a table.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use tapguard::capture::{Next, Source};
use tapguard::demo::{Config, Network};
use tapguard::packet::{Frame, Link, Mac};
use tapguard::pipeline::{Meter, MeterConfig, Observation};
use tapguard::time::{Span, Timestamp};

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

#[global_allocator]
static COUNTING: Counting = Counting;

#[expect(unsafe_code, reason = "an allocator is unsafe to write; this one only counts and passes on")]
// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the contract of the trait.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of the trait.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the contract of the trait.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

fn count() {
    // A thread that ends has no counter any more.
    let _counted = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
}

const START: Timestamp = Timestamp::from_nanos(1_700_000_040_000_000_000);

/// How long the generated network is played.
const LENGTH: Span = Span::from_secs(900);

/// Frames and the packets that allocated without a word.
#[derive(Default)]
struct Tally {
    frames: u64,
    silent: Vec<(u64, u64)>,
    told: u64,
}

impl Tally {
    fn handle(&mut self, meter: &mut Meter, time: Timestamp, bytes: &[u8]) {
        let wire_len = u32::try_from(bytes.len()).unwrap();
        let frame = Frame { time, link: Link::Ethernet, wire_len, bytes };
        let source = bytes[6..12].try_into().map(Mac).unwrap();
        let new = meter.devices().by_mac(source).is_none();
        let before = ALLOCATIONS.get();
        meter.handle_frame(&frame);
        let allocations = ALLOCATIONS.get() - before;
        let mut events = 0;
        while let Some(observation) = meter.poll_observation() {
            events += u64::from(!matches!(observation, Observation::Time(_)));
        }
        self.frames += 1;
        if events > 0 || new {
            self.told += allocations;
        } else if allocations > 0 {
            self.silent.push((self.frames, allocations));
        }
    }
}

/// The generated network with its attacks from here on.
fn network(start: Timestamp) -> Network {
    let (benign, until) = (Span::from_secs(300), Some(start + LENGTH));
    Network::new(Config { benign, until, ..Config::new(1, start) })
}

fn ipv4(source: u32, identification: u16, fragment: u16, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(20 + payload.len()).unwrap();
    let mut frame = vec![2, 0, 0, 0, 9, 1, 2, 0, 0, 0, 9, 2, 8, 0, 0x45, 0];
    frame.extend(length.to_be_bytes());
    frame.extend(identification.to_be_bytes());
    frame.extend(fragment.to_be_bytes());
    frame.extend([64, protocol, 0, 0]);
    frame.extend(source.to_be_bytes());
    frame.extend([10, 1, 1, 1]);
    frame.extend(payload);
    frame
}

fn syn(source: u32) -> Vec<u8> {
    let [.., a, b] = source.wrapping_mul(2_654_435_761).to_be_bytes();
    let segment = [a, b, 0, 80, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, 0x02, 0xff, 0xff, 0, 0, 0, 0];
    ipv4(source, 1, 0, 6, &segment)
}

/// A datagram of 1,608 bytes in two fragments.
fn fragments(source: u32, identification: u16) -> [Vec<u8>; 2] {
    let mut first = vec![0x9c, 0x40, 0, 53, 0x06, 0x48, 0, 0];
    first.resize(1_480, 0x55);
    [ipv4(source, identification, 0x2000, 17, &first), ipv4(source, identification, 185, 17, &[0x55; 128])]
}

#[test]
fn no_packet_allocates() {
    let mut meter = Meter::new(&MeterConfig::default());
    let mut tally = Tally::default();
    let mut time = START;
    // Tables take memory as their places are first used: that is over once the same has happened before.
    for start in [START, START + LENGTH] {
        tally = Tally::default();
        let mut network = network(start);
        while let Ok(Next::Frame(frame)) = network.next() {
            time = frame.time;
            tally.handle(&mut meter, frame.time, frame.bytes);
        }
    }
    assert!(tally.frames > 10_000, "{}", tally.frames);
    assert!(tally.told > 0, "the allocator counts");
    assert_eq!(tally.silent, [], "of the generated network");

    // Full tables are a part of the warming up.
    let mut flood = |meter: &mut Meter, from: u32, frames: u32| {
        let mut tally = Tally::default();
        for n in from..from + frames {
            time = time + Span::from_nanos(5_000);
            tally.handle(meter, time, &syn(0x0b00_0000 + n));
            if n % 16 == 0 {
                let identification = u16::try_from(n / 16 % 65_536).unwrap();
                for fragment in fragments(0x2000_0000 + n % 64, identification) {
                    tally.handle(meter, time, &fragment);
                }
            }
        }
        tally
    };
    flood(&mut meter, 0, 200_000);
    let tally = flood(&mut meter, 200_000, 200_000);
    assert_eq!(tally.silent, [], "of the flood");
}
