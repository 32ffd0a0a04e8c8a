//! Capture files of the generated network.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use tapguard::capture::{Next, Source};
use tapguard::demo::{Config, Network};
use tapguard::time::{Span, Timestamp};

/// When generated captures begin.
pub(crate) const START: Timestamp = Timestamp::from_nanos(1_700_000_040_000_000_000);

/// Quiet time between two attacks.
const GAP: Span = Span::from_secs(240);

/// Writes the generated network from `from` to `until` after its start, with attacks after `benign`; gives the
/// number of frames.
pub(crate) fn write(path: &Path, benign: Span, from: Span, until: Span) -> u64 {
    let mut network = Network::new(Config { benign, gap: GAP, ..Config::new(1, START) });
    let mut file = BufWriter::new(File::create(path).unwrap());
    words(&mut file, &[0xa1b2_c3d4, 0x0004_0002, 0, 0, 65_535, 1]);
    let mut frames = 0;
    loop {
        // The network has no end, and is never idle.
        let Next::Frame(frame) = network.next().unwrap() else { panic!("the generated network ended") };
        if frame.time >= START + until {
            file.flush().unwrap();
            return frames;
        }
        if frame.time >= START + from {
            let micros = frame.time.as_nanos() / 1_000;
            let [seconds, micros] =
                [micros / 1_000_000, micros % 1_000_000].map(|n| u32::try_from(n).unwrap());
            let length = u32::try_from(frame.bytes.len()).unwrap();
            words(&mut file, &[seconds, micros, length, length]);
            file.write_all(frame.bytes).unwrap();
            frames += 1;
        }
    }
}

fn words(file: &mut impl Write, words: &[u32]) {
    for word in words {
        file.write_all(&word.to_le_bytes()).unwrap();
    }
}
