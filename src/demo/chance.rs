//! Seeded chance: every jitter, size and choice of the generated network comes from here. It knows no traffic.

use rand_core::Rng;
use rand_pcg::Pcg32;

use crate::time::Span;

/// A source of pseudo-random choices; the same seed and stream give the same choices.
pub(crate) struct Chance(Pcg32);

impl Chance {
    /// A generator of its own for each `stream` of one seed.
    pub(crate) fn new(seed: u64, stream: u64) -> Self {
        // Nearby PCG streams are correlated, so the stream also moves the start.
        let spread = stream.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        Self(Pcg32::new(seed ^ spread, stream))
    }

    /// A number below `bound`; 0 when the bound is 0.
    pub(crate) fn below(&mut self, bound: u32) -> u32 {
        let scaled = (u64::from(self.0.next_u32()) * u64::from(bound)) >> 32;
        u32::try_from(scaled).unwrap_or(0)
    }

    /// A number from `low` to `high`, both included.
    pub(crate) fn between(&mut self, low: u32, high: u32) -> u32 {
        low + self.below(high.saturating_sub(low).saturating_add(1))
    }

    /// A size in bytes from `low` to `high`, both included.
    pub(crate) fn size(&mut self, low: u32, high: u32) -> usize {
        usize::try_from(self.between(low, high)).unwrap_or(0)
    }

    /// A length of time from `range.0` to `range.1`.
    pub(crate) fn span(&mut self, range: (Span, Span)) -> Span {
        let (low, high) = (range.0.as_nanos(), range.1.as_nanos());
        let width = u128::from(high.saturating_sub(low));
        let part = (u128::from(self.0.next_u32()) * width) >> 32;
        Span::from_nanos(low.saturating_add(u64::try_from(part).unwrap_or(0)))
    }

    /// True in one of `n` cases.
    pub(crate) fn one_in(&mut self, n: u32) -> bool {
        self.below(n) == 0
    }

    /// A 16-bit number.
    pub(crate) fn word(&mut self) -> u16 {
        u16::try_from(self.below(1 << 16)).unwrap_or(0)
    }

    /// A 32-bit number.
    pub(crate) fn number(&mut self) -> u32 {
        self.0.next_u32()
    }

    /// A 64-bit number.
    pub(crate) fn seed(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// An ephemeral port of RFC 6335: 49152 to 65535.
    pub(crate) fn port(&mut self) -> u16 {
        0xc000 | self.word()
    }

    /// Bytes without meaning, as ciphertext looks.
    pub(crate) fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.0.fill_bytes(&mut bytes);
        bytes
    }

    /// The items in another order.
    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let bound = u32::try_from(last + 1).unwrap_or(u32::MAX);
            items.swap(last, usize::try_from(self.below(bound)).unwrap_or(0));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stay_in_their_ranges_and_reach_both_ends() {
        let mut chance = Chance::new(1, 2);
        let drawn: Vec<u32> = (0..1000).map(|_| chance.between(3, 5)).collect();
        assert!(drawn.iter().all(|n| (3..=5).contains(n)));
        assert!(drawn.contains(&3) && drawn.contains(&5));
        assert!((0..1000).all(|_| chance.port() >= 49152));
        let range = (Span::from_millis(2), Span::from_millis(3));
        assert!((0..1000).map(|_| chance.span(range)).all(|s| s >= range.0 && s <= range.1));
    }

    #[test]
    fn streams_of_one_seed_differ() {
        assert_ne!(Chance::new(1, 0).bytes(16), Chance::new(1, 1).bytes(16));
        assert_eq!(Chance::new(1, 1).bytes(16), Chance::new(1, 1).bytes(16));
    }
}
