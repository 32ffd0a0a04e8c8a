//! A short smoke of what `make fuzz` does at length: the same bodies on their seeds and on simple mutations of them. It
//! is no search; it holds that the bodies run, and that what is nearest to real traffic is well.

use rand_core::{Rng, SeedableRng};
use rand_pcg::Pcg64Mcg;

use bodies::{TARGETS, seeds};

#[path = "../fuzz/bodies.rs"]
mod bodies;

const ROUNDS: usize = 20_000;

#[test]
fn seeds_and_what_is_near_them_are_well() {
    for (name, target) in TARGETS {
        let seeds = seeds(name);
        assert!(seeds.len() >= 10, "{name}: {} seeds", seeds.len());
        seeds.iter().for_each(|seed| target(seed));
        let mut chance = Pcg64Mcg::seed_from_u64(1);
        for round in 0..ROUNDS {
            let mut bytes = seeds[round % seeds.len()].clone();
            mutate(&mut bytes, &seeds, &mut chance);
            let shown = bytes.clone();
            if std::panic::catch_unwind(|| target(&bytes)).is_err() {
                panic!("{name}, round {round}: {shown:02x?}");
            }
        }
    }
    bodies::clean();
}

/// One to four small faults: a bit, a byte, a piece gone, doubled, or taken from another seed.
fn mutate(bytes: &mut Vec<u8>, seeds: &[Vec<u8>], chance: &mut Pcg64Mcg) {
    let mut below = |limit: usize| usize::try_from(chance.next_u64() % (limit.max(1) as u64)).unwrap();
    for _ in 0..=below(4) {
        if bytes.is_empty() {
            return;
        }
        let at = below(bytes.len());
        let length = below(16).min(bytes.len() - at);
        match below(6) {
            0 => bytes[at] ^= 1 << below(8),
            1 => bytes[at] = [0, 1, 0x7f, 0x80, 0xff][below(5)],
            2 => bytes.truncate(at),
            3 => drop(bytes.drain(at..at + length)),
            4 => bytes.extend_from_within(at..at + length),
            _ => {
                let other = &seeds[below(seeds.len())];
                let from = below(other.len()).min(other.len().saturating_sub(1));
                let piece = &other[from..(from + length).min(other.len())];
                bytes.splice(at..at, piece.iter().copied());
            }
        }
    }
}
