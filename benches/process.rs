//! What the program costs as a whole: `replay` of large captures as a process of its own, with its CPU time and peak
//! memory, and its instructions where valgrind is installed. Figures of different machines or hours do not compare:
//! the copy of the same file by tcpdump, where it is installed, stands beside them.
//!
//! `BENCH_CAPTURES` names a folder with `mixed.pcap`, `flood.pcap` and `scan.pcap`; what is not there is generated:
//! the demo's network, SYNs each from another source, SYNs of one host to all ports of a /16.

#![expect(
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "a bench prints its figures, and they are not exact"
)]

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tapguard::capture::{Next, Source};
use tapguard::demo::{Config, Network};
use tapguard::time::{Span, Timestamp};

const PROGRAM: &str = env!("CARGO_BIN_EXE_tapguard");
const FOLDER: &str = env!("CARGO_TARGET_TMPDIR");
const START: Timestamp = Timestamp::from_nanos(1_700_000_040_000_000_000);
/// Frames of a generated capture.
const FRAMES: u32 = 1_000_000;
/// Each figure is the least of so many runs: what disturbs a run only adds to it.
const RUNS: usize = 3;
/// Frames that valgrind, which is some fifty times slower, is given; the first half of them once more, so that what
/// is not per packet cancels out.
const COUNTED: u32 = 100_000;

fn main() -> io::Result<()> {
    // What `cargo bench` says to every bench.
    if std::env::args().any(|argument| argument == "--list") {
        return Ok(());
    }
    println!(
        "{:<10} {:>9} {:>8} {:>12} {:>8} {:>9} {:>12}",
        "capture", "packets", "CPU s", "packets/s", "ns each", "peak MiB", "instructions"
    );
    for name in ["mixed", "flood", "scan"] {
        let path = capture(name)?;
        let frames = count(&path)?;
        let cost = least(|| run(Command::new(PROGRAM).args(["replay", "--format", "json"]).arg(&path)))?;
        let instructions = instructions(&path)?.map_or_else(|| "-".to_owned(), |n| n.to_string());
        println!(
            "{name:<10} {frames:>9} {:>8.2} {:>12.0} {:>8.0} {:>9.1} {instructions:>12}",
            cost.seconds,
            f64::from(frames) / cost.seconds,
            cost.seconds * 1e9 / f64::from(frames),
            cost.peak_mib,
        );
        if name == "mixed" {
            compare(&path, &cost)?;
        }
    }
    Ok(())
}

/// The least that any program does with a capture: reading and writing it.
fn compare(path: &Path, ours: &Cost) -> io::Result<()> {
    let copy = Path::new(FOLDER).join("copy.pcap");
    match least(|| run(Command::new("tcpdump").arg("-r").arg(path).arg("-w").arg(&copy))) {
        Ok(cost) => println!(
            "{:<10} {:>9} {:>8.2}   {:.2} times that",
            "  tcpdump",
            "",
            cost.seconds,
            ours.seconds / cost.seconds
        ),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            println!("  tcpdump is not installed: no copy to compare with")
        }
        Err(error) => return Err(error),
    }
    fs::remove_file(copy)
        .or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) })
}

#[derive(Clone, Copy)]
struct Cost {
    seconds: f64,
    peak_mib: f64,
}

fn least(mut run: impl FnMut() -> io::Result<Cost>) -> io::Result<Cost> {
    let mut least = run()?;
    for _ in 1..RUNS {
        let cost = run()?;
        least =
            Cost { seconds: least.seconds.min(cost.seconds), peak_mib: least.peak_mib.max(cost.peak_mib) };
    }
    Ok(least)
}

/// Runs a program and reads what the kernel says of it.
#[expect(unsafe_code, reason = "the standard library tells no usage of a child: wait4(2) waits")]
fn run(command: &mut Command) -> io::Result<Cost> {
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    let pid = libc::pid_t::try_from(child.id()).map_err(io::Error::other)?;
    let mut status = 0;
    // SAFETY: all zeros are a valid `rusage`, and both places outlive the call.
    let (waited, usage) = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        (libc::wait4(pid, &raw mut status, 0, &raw mut usage), usage)
    };
    if waited != pid || status != 0 {
        let program = command.get_program().to_string_lossy().into_owned();
        return Err(io::Error::other(format!("{program} ended with wait status {status}")));
    }
    let seconds = |t: libc::timeval| t.tv_sec as f64 + t.tv_usec as f64 / 1e6;
    Ok(Cost {
        seconds: seconds(usage.ru_utime) + seconds(usage.ru_stime),
        peak_mib: usage.ru_maxrss as f64 / 1024.0,
    })
}

/// Instructions for each packet, where valgrind is installed.
fn instructions(path: &Path) -> io::Result<Option<u64>> {
    let mut counted = [0; 2];
    for (count, frames) in counted.iter_mut().zip([COUNTED / 2, COUNTED]) {
        let part = Path::new(FOLDER).join("part.pcap");
        cut(path, &part, frames)?;
        let output = Command::new("valgrind")
            .args([
                "--tool=callgrind",
                "--callgrind-out-file=/dev/null",
                PROGRAM,
                "replay",
                "--format",
                "json",
            ])
            .arg(&part)
            .output();
        let output = match output {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other?,
        };
        let told = String::from_utf8_lossy(&output.stderr);
        let collected = told.lines().find_map(|line| line.split_once("Collected : ")?.1.trim().parse().ok());
        *count = collected.ok_or_else(|| io::Error::other(format!("valgrind told no count: {told}")))?;
    }
    let [half, whole]: [u64; 2] = counted;
    Ok(Some(whole.saturating_sub(half) / u64::from(COUNTED / 2)))
}

fn capture(name: &str) -> io::Result<PathBuf> {
    let given =
        std::env::var_os("BENCH_CAPTURES").map(|folder| Path::new(&folder).join(name).with_extension("pcap"));
    if let Some(path) = given.filter(|path| path.is_file()) {
        return Ok(path);
    }
    let path = Path::new(FOLDER).join(name).with_extension(OsStr::new("pcap"));
    if !path.is_file() {
        let mut file = Writer::new(&path)?;
        match name {
            "mixed" => network(&mut file)?,
            _ => (0..FRAMES).try_for_each(|number| {
                let time = START + Span::from_nanos(u64::from(number) * 5_000);
                file.put(time, &if name == "flood" { flood(number) } else { scan(number) })
            })?,
        }
        file.inner.flush()?;
    }
    Ok(path)
}

fn network(file: &mut Writer) -> io::Result<()> {
    let mut network = Network::new(Config { benign: Span::from_secs(7_200), ..Config::new(1, START) });
    for _ in 0..FRAMES {
        let Ok(Next::Frame(frame)) = network.next() else {
            return Err(io::Error::other("the network ended"));
        };
        file.put(frame.time, frame.bytes)?;
    }
    Ok(())
}

/// A SYN of a source and port that no other has, to one server.
fn flood(number: u32) -> [u8; 60] {
    // An odd factor makes each number another one.
    let [a, b, c, d] = number.wrapping_mul(2_654_435_761).to_be_bytes();
    syn([a, b, c, d], 1_024 + (number % 60_000), [10, 0, 0, 2], 80)
}

/// A SYN of one host to the next port of the next host of a /16.
fn scan(number: u32) -> [u8; 60] {
    let [_, _, high, low] = (number / 1_000).to_be_bytes();
    syn([10, 0, 0, 9], 40_000 + number % 20_000, [10, 1, high, low], 1 + number % 1_000)
}

fn syn(source: [u8; 4], source_port: u32, destination: [u8; 4], destination_port: u32) -> [u8; 60] {
    let mut frame = [0; 60];
    frame[..14].copy_from_slice(&[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0]);
    frame[14..26].copy_from_slice(&[0x45, 0, 0, 40, 0, 0, 0x40, 0, 64, 6, 0, 0]);
    frame[26..30].copy_from_slice(&source);
    frame[30..34].copy_from_slice(&destination);
    frame[34..36].copy_from_slice(&source_port.to_be_bytes()[2..]);
    frame[36..38].copy_from_slice(&destination_port.to_be_bytes()[2..]);
    frame[41] = 1;
    frame[46..50].copy_from_slice(&[0x50, 2, 0xfa, 0xf0]);
    frame
}

/// A pcap file in the making.
struct Writer {
    inner: BufWriter<File>,
}

impl Writer {
    fn new(path: &Path) -> io::Result<Self> {
        let mut inner = BufWriter::new(File::create(path)?);
        for word in [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 65_535, 1] {
            inner.write_all(&word.to_le_bytes())?;
        }
        Ok(Self { inner })
    }

    fn put(&mut self, time: Timestamp, frame: &[u8]) -> io::Result<()> {
        let micros = time.as_nanos() / 1_000;
        let length = i64::try_from(frame.len()).map_err(io::Error::other)?;
        for word in [micros / 1_000_000, micros % 1_000_000, length, length] {
            self.inner.write_all(&u32::try_from(word).map_err(io::Error::other)?.to_le_bytes())?;
        }
        self.inner.write_all(frame)
    }
}

/// The first frames of a capture in the classic little-endian form.
fn cut(from: &Path, to: &Path, frames: u32) -> io::Result<()> {
    let bytes = fs::read(from)?;
    let end = records(&bytes).take(frames as usize).last().unwrap_or(HEADER);
    fs::write(to, bytes.get(..end).unwrap_or(&bytes))
}

fn count(path: &Path) -> io::Result<u32> {
    u32::try_from(records(&fs::read(path)?).count()).map_err(io::Error::other)
}

const HEADER: usize = 24;

/// Where each record of a classic capture ends.
fn records(bytes: &[u8]) -> impl Iterator<Item = usize> + '_ {
    let mut at = HEADER;
    std::iter::from_fn(move || {
        let length = bytes.get(at + 8..at + 12)?;
        at += 16 + u32::from_le_bytes(length.try_into().ok()?) as usize;
        (at <= bytes.len()).then_some(at)
    })
}
