//! The small statistics a window is made of: mean and deviation, and the entropy of a hashed histogram. They know
//! numbers and hashes, no packets.

/// Mean and deviation in one pass, without the cancellation of sums of squares.
///
/// Read first: Welford, "Note on a method for calculating corrected sums of squares and products", Technometrics
/// 4(3), 1962.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Spread {
    count: u64,
    mean: f64,
    squares: f64,
}

impl Spread {
    pub(super) fn push(&mut self, value: f64) {
        self.count += 1;
        let before = value - self.mean;
        self.mean += before / real(self.count);
        self.squares += before * (value - self.mean);
    }

    /// Mean; none of nothing.
    pub(super) fn mean(&self) -> Option<f64> {
        (self.count > 0).then_some(self.mean)
    }

    /// Standard deviation of the values as the whole population; none of fewer than two.
    pub(super) fn deviation(&self) -> Option<f64> {
        (self.count > 1).then(|| (self.squares.max(0.0) / real(self.count)).sqrt())
    }
}

/// Counts in 32 bins by hash.
///
/// Its entropy is at most that of the things themselves: things that share a bin count as one. Of `k` equally
/// frequent things it falls short by about `(k - 1) / 32` bits for few, and it ends at 5 bits. The same things fall
/// into the same bins in every window, so values of one device compare.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Histogram {
    bins: [u32; 32],
}

impl Histogram {
    /// Counts a thing by its hash, whose highest five bits choose the bin.
    pub(super) fn push(&mut self, hash: u64) {
        let at = usize::try_from(hash >> 59).unwrap_or(0);
        if let Some(bin) = self.bins.get_mut(at) {
            *bin = bin.saturating_add(1);
        }
    }

    /// Shannon entropy in bits, 0 to 5; none of nothing.
    pub(super) fn entropy(&self) -> Option<f64> {
        self.bins.iter().any(|&bin| bin > 0).then(|| entropy(self.bins.iter().copied()))
    }
}

/// Shannon entropy in bits of counts; 0 of nothing.
pub(super) fn entropy(counts: impl Iterator<Item = u32> + Clone) -> f64 {
    let total: f64 = counts.clone().map(f64::from).sum();
    if total <= 0.0 {
        return 0.0;
    }
    let sum: f64 = counts
        .filter(|&count| count > 0)
        .map(|count| {
            let share = f64::from(count) / total;
            -share * share.log2()
        })
        .sum();
    sum.max(0.0)
}

/// A count as a real number.
#[expect(clippy::cast_precision_loss, reason = "counts below 2^53 are exact, and no window holds more")]
pub(super) const fn real(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bounded::scramble;

    #[test]
    fn spread_of_a_known_sample() {
        let mut spread = Spread::default();
        assert_eq!(spread.mean(), None);
        for value in [2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0] {
            spread.push(value);
        }
        assert_eq!(spread.mean(), Some(5.0));
        assert!((spread.deviation().unwrap() - 2.0).abs() < 1e-12);
    }

    #[test]
    fn spread_keeps_small_differences_of_large_numbers() {
        let mut spread = Spread::default();
        for value in [1e9, 1e9 + 1.0, 1e9 + 2.0] {
            spread.push(value);
        }
        assert!((spread.deviation().unwrap() - (2.0_f64 / 3.0).sqrt()).abs() < 1e-6);
    }

    #[test]
    fn entropy_of_known_counts() {
        assert!(entropy([0, 0].into_iter()).abs() < f64::EPSILON);
        assert!(entropy([7].into_iter()).abs() < f64::EPSILON);
        assert!((entropy([1, 1, 1, 1].into_iter()) - 2.0).abs() < 1e-12);
        assert!((entropy([3, 1].into_iter()) - 0.811_278_124_459).abs() < 1e-9);
    }

    #[test]
    fn histogram_falls_short_of_the_true_entropy_as_stated() {
        for k in [2_u64, 4, 8] {
            let runs = 400;
            let mean: f64 = (0..runs)
                .map(|run| {
                    let mut histogram = Histogram::default();
                    (0..k).for_each(|thing| histogram.push(scramble(run * 1_000 + thing)));
                    histogram.entropy().unwrap()
                })
                .sum::<f64>()
                / 400.0;
            let short = real(k).log2() - mean;
            let stated = (real(k) - 1.0) / 32.0;
            assert!((0.5 * stated..2.0 * stated).contains(&short), "{k}: {short:.3} of {stated:.3}");
        }
        let mut full = Histogram::default();
        (0..100_000).for_each(|thing| full.push(scramble(thing)));
        assert!((4.99..=5.0).contains(&full.entropy().unwrap()));
    }
}
