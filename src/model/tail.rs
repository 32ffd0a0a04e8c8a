//! How rare a score is: a distribution tail fitted to values that were held out. Knows no features and no forest.
//!
//! Read first: Pickands (1975) and Hosking and Wallis (1987) on the generalised Pareto distribution (GPD) of what
//! exceeds a high threshold, and its fit by moments: shape = (1 - m²/v) / 2 and scale = m (1 - shape) of the
//! excesses' mean m and variance v. The shape is drawn to the exponential (0) with the weight of 20 excesses, kept
//! from 0 (no end of the tail is believed) to 0.5, and for probabilities widened by one over the number of excesses:
//! that is the predictive distribution of an exponential whose scale was only estimated.

use serde::{Deserialize, Serialize};

use crate::baseline::count;

/// The upper tail of a distribution.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Tail {
    /// Where the tail begins.
    threshold: f64,
    /// Share of values beyond it.
    rate: f64,
    /// Scale of the excess.
    scale: f64,
    /// Shape of the excess; above 0.
    shape: f64,
    /// Values that it was fitted to.
    sample: u32,
}

/// What is told to the fit of a tail.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fit {
    /// Values that lie in the tail: one in so many.
    pub(super) one_in: usize,
    /// Lowest threshold.
    pub(super) least: f64,
    /// Lowest scale: values closer than this are taken for equal.
    pub(super) floor: f64,
    /// What is added to the shape, over the number of excesses: 1 for a probability that is meant, 0 for a measure
    /// that is calibrated later.
    pub(super) widening: f64,
}

/// Fewest values in the tail, unless that were more than half of all.
const FEWEST: usize = 10;
/// Weight of the exponential against the measured shape, in excesses.
const PRIOR_EXCESSES: f64 = 20.0;
/// An exponential in all but name, which saves a case.
const LEAST_SHAPE: f64 = 1e-6;

impl Tail {
    /// Fits the tail of sorted values.
    pub(super) fn fit(sorted: &[f64], fit: Fit) -> Self {
        let beyond = (sorted.len() / fit.one_in).max(FEWEST).min(sorted.len() / 2);
        let last = sorted.len().saturating_sub(beyond + 1);
        let threshold = sorted.get(last).copied().unwrap_or_default().max(fit.least);
        let excesses = sorted.iter().rev().map(|value| value - threshold).take_while(|&excess| excess > 0.0);
        let (mut n, mut sum, mut squares) = (0_usize, 0.0, 0.0);
        for excess in excesses {
            n += 1;
            sum += excess;
            squares += excess * excess;
        }
        let mean = if n > 0 { sum / count(n) } else { 0.0 };
        let variance = if n > 1 { (squares - sum * mean).max(0.0) / count(n - 1) } else { 0.0 };
        let moments = if variance > 0.0 { (1.0 - mean * mean / variance) / 2.0 } else { 0.0 };
        let shape = (moments * count(n) / (count(n) + PRIOR_EXCESSES)).clamp(0.0, 0.5);
        Self {
            threshold,
            rate: (count(n) + 0.5) / (count(sorted.len()) + 1.0),
            scale: (mean * (1.0 - shape)).max(fit.floor),
            shape: (shape + fit.widening / count(n.max(FEWEST))).max(LEAST_SHAPE),
            sample: u32::try_from(sorted.len()).unwrap_or(u32::MAX),
        }
    }

    pub(super) const fn threshold(&self) -> f64 {
        self.threshold
    }

    /// Share of values beyond the threshold.
    pub(super) const fn rate(&self) -> f64 {
        self.rate
    }

    /// Natural logarithm of the chance of a value beyond `value`; at the threshold and below it that of the rate.
    pub(super) fn log_probability(&self, value: f64) -> f64 {
        let excess = (value - self.threshold).max(0.0) / self.scale;
        self.rate.ln() - (self.shape * excess).ln_1p() / self.shape
    }

    /// The excess in scales at which the chance has fallen to `probability`, not above the rate.
    fn excess(&self, probability: f64) -> f64 {
        ((self.rate / probability).powf(self.shape) - 1.0).max(0.0) / self.shape
    }

    /// Whether its numbers can be calculated with.
    fn is_sound(&self) -> bool {
        let finite = [self.threshold, self.rate, self.scale, self.shape].iter().all(|v| v.is_finite());
        finite && self.rate > 0.0 && self.rate <= 1.0 && self.scale > 0.0 && self.shape > 0.0
    }
}

/// From scores to tail probabilities, by the scores of held-out windows alone. Below the 90 % quantile the
/// probability is counted, above it follows the fitted [`Tail`].
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Calibration {
    /// Scores at equal steps of probability up to the tail's threshold, rising.
    body: Vec<f64>,
    tail: Tail,
}

/// Steps of the body.
const STEPS: usize = 20;
/// How far beyond one in its held-out windows a fit is taken at its word.
const CREDIBLE: f64 = 10.0;

impl Calibration {
    /// From scores in any order; `floor` is the smallest difference of scores that means something.
    pub(super) fn fit(mut scores: Vec<f64>, floor: f64) -> Self {
        scores.sort_unstable_by(f64::total_cmp);
        let tail = Tail::fit(&scores, Fit { one_in: 10, least: f64::NEG_INFINITY, floor, widening: 1.0 });
        let below = scores.partition_point(|&score| score <= tail.threshold).saturating_sub(1);
        let body = (0..=STEPS).filter_map(|step| scores.get(below * step / STEPS).copied()).collect();
        Self { body, tail }
    }

    /// The chance that a normal window scores as high or higher: above 0, at most 1.
    ///
    /// Excesses are measured in scales times `stretch`. Beyond one in ten times the held-out windows the fit is
    /// believed half: from there on twice the excess is asked for, so that few windows can still prove an attack,
    /// but not with a small effect.
    pub(super) fn probability(&self, score: f64, stretch: f64) -> f64 {
        if score <= self.tail.threshold {
            return self.body_probability(score);
        }
        let excess = (score - self.tail.threshold) / (self.tail.scale * stretch);
        let credible = self.credible();
        let believed = if excess > credible { f64::midpoint(credible, excess) } else { excess };
        self.tail.log_probability(believed.mul_add(self.tail.scale, self.tail.threshold)).exp().max(1e-300)
    }

    /// The lowest score whose probability is at most `probability`.
    pub(super) fn score(&self, probability: f64, stretch: f64) -> f64 {
        if probability > self.tail.rate {
            let reached = self.body.iter().find(|&&score| self.body_probability(score) <= probability);
            return reached.copied().unwrap_or(self.tail.threshold);
        }
        let (excess, credible) = (self.tail.excess(probability), self.credible());
        let asked = if excess > credible { 2.0 * excess - credible } else { excess };
        (asked * stretch).mul_add(self.tail.scale, self.tail.threshold)
    }

    fn credible(&self) -> f64 {
        self.tail.excess(1.0 / (CREDIBLE * f64::from(self.tail.sample.max(1))))
    }

    fn body_probability(&self, score: f64) -> f64 {
        let above = self.body.partition_point(|&quantile| quantile < score);
        if above == 0 {
            return 1.0;
        }
        let low = self.body.get(above - 1).copied().unwrap_or(score);
        let high = self.body.get(above).copied().unwrap_or(score);
        let part = if high > low { (score - low) / (high - low) } else { 1.0 };
        let steps = (count(above - 1) + part) / count(STEPS);
        1.0 - steps.min(1.0) * (1.0 - self.tail.rate)
    }
}

/// A tail in a snapshot.
#[derive(Serialize, Deserialize)]
pub(super) struct TailWire {
    threshold: f64,
    rate: f64,
    scale: f64,
    shape: f64,
    sample: u32,
}

impl From<&Tail> for TailWire {
    fn from(tail: &Tail) -> Self {
        let &Tail { threshold, rate, scale, shape, sample } = tail;
        Self { threshold, rate, scale, shape, sample }
    }
}

impl TailWire {
    /// The tail; none when its numbers are impossible.
    pub(super) fn read(self) -> Option<Tail> {
        let Self { threshold, rate, scale, shape, sample } = self;
        Some(Tail { threshold, rate, scale, shape, sample }).filter(Tail::is_sound)
    }
}

/// A calibration in a snapshot.
#[derive(Serialize, Deserialize)]
pub(super) struct CalibrationWire {
    body: Vec<f64>,
    tail: TailWire,
}

impl From<&Calibration> for CalibrationWire {
    fn from(calibration: &Calibration) -> Self {
        Self { body: calibration.body.clone(), tail: TailWire::from(&calibration.tail) }
    }
}

impl CalibrationWire {
    /// The calibration; none when it does not hold together.
    pub(super) fn read(self) -> Option<Calibration> {
        let tail = self.tail.read()?;
        let sound = self.body.len() == STEPS + 1
            && self.body.iter().all(|score| score.is_finite())
            && self.body.is_sorted();
        sound.then_some(Calibration { body: self.body, tail })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand_core::{Rng, SeedableRng};
    use rand_pcg::Pcg32;

    /// Exponential values of mean 1.
    fn exponential(n: usize, seed: u64) -> Vec<f64> {
        let mut rng = Pcg32::seed_from_u64(seed);
        (0..n).map(|_| -((f64::from(rng.next_u32()) + 0.5) / 4_294_967_296.0).ln()).collect()
    }

    #[test]
    fn an_exponential_tail_is_found_again() {
        let calibration = Calibration::fit(exponential(20_000, 1), 1e-6);
        for power in 1..=5 {
            // P(x > s) = exp(-s).
            let probability = 10_f64.powi(-power);
            let score = -probability.ln();
            let found = calibration.probability(score, 1.0);
            assert!((found / probability).log10().abs() < 0.3, "{probability}: {found}");
        }
        let median = calibration.probability(2_f64.ln(), 1.0);
        assert!((median - 0.5).abs() < 0.02, "{median}");
    }

    #[test]
    fn few_values_ask_for_more() {
        // The score that is taken for one in ten thousand, over a hundred samples of twenty.
        let mut asked: Vec<f64> =
            (0..100).map(|seed| Calibration::fit(exponential(20, seed), 1e-6).score(1e-4, 1.0)).collect();
        asked.sort_by(f64::total_cmp);
        // It is 9.2 in truth. Twenty values cannot know, and err on the quiet side: nine times in ten above it.
        assert!(asked[10] > 9.2, "{}", asked[10]);
        assert!(asked[50] > 14.0 && asked[50] < 40.0, "{}", asked[50]);
    }

    #[test]
    fn equal_scores_do_not_make_any_difference_rare() {
        let calibration = Calibration::fit(vec![0.4; 200], 0.01);
        assert!(calibration.probability(0.4, 1.0) > 0.9);
        assert!(calibration.probability(0.401, 1.0) > 1e-3);
        assert!(calibration.probability(0.9, 1.0) < 1e-4);
    }

    #[test]
    fn stretch_moves_the_threshold() {
        let calibration = Calibration::fit(exponential(1_000, 3), 1e-6);
        let [eager, measured, calm] = [0.5, 1.0, 2.0].map(|stretch| calibration.score(1e-4, stretch));
        let start = calibration.tail.threshold;
        assert!(((calm - start) / (measured - start) - 2.0).abs() < 1e-9);
        assert!(((measured - start) / (eager - start) - 2.0).abs() < 1e-9);
    }

    proptest! {
        #[test]
        fn probability_falls_and_score_inverts_it(
            scores in proptest::collection::vec(0.0_f64..100.0, 20..300),
            a in -10.0_f64..1_000.0,
            b in -10.0_f64..1_000.0,
            power in 0.0_f64..12.0,
            stretch in 0.5_f64..2.0,
        ) {
            let calibration = Calibration::fit(scores, 0.01);
            let (low, high) = (a.min(b), a.max(b));
            let (often, rarely) = (calibration.probability(low, stretch), calibration.probability(high, stretch));
            prop_assert!(rarely <= often && rarely > 0.0 && often <= 1.0, "{often} {rarely}");
            let wanted = 10_f64.powf(-power);
            let reached = calibration.probability(calibration.score(wanted, stretch), stretch);
            prop_assert!(reached <= wanted * 1.000_001 || wanted > calibration.tail.rate, "{wanted} {reached}");
        }
    }
}
