//! Damped incremental statistics of a stream of numbers, and of two streams that run against each other. They know
//! numbers and moments, no packets.
//!
//! Read first: Mirsky, Doitshman, Elovici, Shabtai, "Kitsune: An Ensemble of Autoencoders for Online Network Intrusion
//! Detection", NDSS 2018, section V and table I, whose names (w, LS, SS, SR) are given below. What it leaves open is
//! decided here:
//!
//! - The residual of a value is its distance from the mean *after* it was taken in. Its product with the latest residual
//!   of the other direction goes into SR; a residual does not decay while it waits.
//! - The covariance is SR over the sum of both weights. The correlation is 0 where a deviation is 0, and cut to -1..1,
//!   beyond which an approximation can lie.
//! - A variance below 1e-10 of the mean square is 0: rounding, of which a correlation would make anything.
//! - What is left of a stream below 2^-64 of a value is nothing: weight, sums, mean and deviation are then 0. (The
//!   paper's mean would stay for ever, as 0 divided by 0 in the end.)
//! - Time does not go back: the caller gives moments in order.
//!
//! Numbers are f64. The deviation is the root of a difference of squares; with f32 a second of 64 KiB packets at line
//! rate would leave a deviation of some hundred bytes where all are equal, with f64 less than one.

use super::decay::Moment;

/// Less than this weight is no weight.
const LEAST: f64 = 1.0 / 18_446_744_073_709_551_616.0;
/// A variance below this part of the mean square is what rounding leaves of none.
const ROUNDING: f64 = 1e-10;

/// A value, as it goes into sums.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sample<const N: usize> {
    value: f64,
    weight: [f64; N],
    sum: [f64; N],
    squares: [f64; N],
}

impl<const N: usize> Sample<N> {
    pub(super) fn new(moment: &Moment<N>, value: f64) -> Self {
        let sum = moment.grown.map(|grown| grown * value);
        Self { value, weight: moment.grown, sum, squares: sum.map(|sum| sum * value) }
    }
}

/// One stream at `N` decay factors; sums by a landmark that the owner keeps.
#[derive(Clone, Copy, Debug)]
pub(super) struct Statistic<const N: usize> {
    /// w: how many values, as far as they are not forgotten.
    weight: [f64; N],
    /// LS: their sum.
    sum: [f64; N],
    /// SS: the sum of their squares.
    squares: [f64; N],
}

impl<const N: usize> Statistic<N> {
    pub(super) const EMPTY: Self = Self { weight: [0.0; N], sum: [0.0; N], squares: [0.0; N] };

    /// A later landmark. What is no weight by it is none ever after, so sums never get so small that they lose digits.
    pub(super) fn rebase(&mut self, left: &[f64; N]) {
        let sums = self.sum.iter_mut().zip(&mut self.squares);
        for ((weight, (sum, squares)), &left) in self.weight.iter_mut().zip(sums).zip(left) {
            let left = if *weight * left < LEAST { 0.0 } else { left };
            *weight *= left;
            *sum *= left;
            *squares *= left;
        }
    }

    pub(super) fn insert(&mut self, sample: &Sample<N>) {
        let parts = sample.weight.iter().zip(sample.sum.iter().zip(&sample.squares));
        let sums = self.sum.iter_mut().zip(&mut self.squares);
        for ((weight, (sum, squares)), (more, (more_sum, more_squares))) in
            self.weight.iter_mut().zip(sums).zip(parts)
        {
            *weight += more;
            *sum += more_sum;
            *squares += more_squares;
        }
    }

    /// w by the landmark.
    pub(super) fn weight(&self, decay: usize) -> f64 {
        self.weight.get(decay).copied().unwrap_or_default()
    }

    /// LS by the landmark.
    pub(super) fn sum(&self, decay: usize) -> f64 {
        self.sum.get(decay).copied().unwrap_or_default()
    }

    /// LS / w; 0 of nothing.
    pub(super) fn mean(&self, decay: usize) -> f64 {
        let weight = self.weight(decay);
        if weight > 0.0 { self.sum(decay) / weight } else { 0.0 }
    }

    /// |SS / w - mean^2|; 0 of nothing, and where it is no more than rounding.
    fn variance(&self, decay: usize) -> f64 {
        let (weight, mean) = (self.weight(decay), self.mean(decay));
        if weight <= 0.0 {
            return 0.0;
        }
        let square = self.squares.get(decay).copied().unwrap_or_default() / weight;
        let variance = (square - mean * mean).abs();
        if variance > ROUNDING * square { variance } else { 0.0 }
    }

    /// The root of the variance.
    pub(super) fn deviation(&self, decay: usize) -> f64 {
        self.variance(decay).sqrt()
    }
}

/// Which way a value goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::feature) enum Way {
    /// One direction.
    There,
    /// The other.
    Back,
}

impl Way {
    /// The other direction.
    pub(super) const fn turned(self) -> Self {
        match self {
            Self::There => Self::Back,
            Self::Back => Self::There,
        }
    }
}

/// Both directions of something, at `N` decay factors.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pair<const N: usize> {
    landmark: i64,
    there: Direction<N>,
    back: Direction<N>,
    /// SR: the sum of products of residuals.
    products: [f64; N],
}

#[derive(Clone, Copy, Debug)]
struct Direction<const N: usize> {
    values: Statistic<N>,
    /// Residual of the latest value.
    residual: [f64; N],
}

impl<const N: usize> Pair<N> {
    /// Nothing seen before this moment.
    pub(super) const fn new(moment: &Moment<N>) -> Self {
        let nothing = Direction { values: Statistic::EMPTY, residual: [0.0; N] };
        Self { landmark: moment.landmark(), there: nothing, back: nothing, products: [0.0; N] }
    }

    /// Goes over to the landmark of this moment, where that is a later one: gives what is left then.
    pub(super) fn rebase(&mut self, decays: &[f64; N], moment: &Moment<N>) -> Option<[f64; N]> {
        if self.landmark >= moment.landmark() {
            return None;
        }
        let left = moment.since(decays, self.landmark);
        self.landmark = moment.landmark();
        self.there.values.rebase(&left);
        self.back.values.rebase(&left);
        let weights = self.there.values.weight.iter().zip(&self.back.values.weight);
        for ((product, &left), (there, back)) in self.products.iter_mut().zip(&left).zip(weights) {
            *product *= if there + back > 0.0 { left } else { 0.0 };
        }
        Some(left)
    }

    /// Takes a value in; the pair is at the landmark of its moment.
    pub(super) fn insert(&mut self, way: Way, sample: &Sample<N>) {
        let (own, other) = match way {
            Way::There => (&mut self.there, &self.back),
            Way::Back => (&mut self.back, &self.there),
        };
        own.values.insert(sample);
        let means = own.values.sum.iter().zip(&own.values.weight).map(|(sum, weight)| sum / weight);
        let residuals = own.residual.iter_mut().zip(&other.residual).zip(means);
        for ((product, ((residual, across), mean)), grown) in
            self.products.iter_mut().zip(residuals).zip(&sample.weight)
        {
            *residual = sample.value - mean;
            *product += grown * *residual * across;
        }
    }

    /// One direction.
    pub(super) const fn values(&self, way: Way) -> &Statistic<N> {
        match way {
            Way::There => &self.there.values,
            Way::Back => &self.back.values,
        }
    }

    /// w of both directions, by the landmark.
    pub(super) fn weight(&self, decay: usize) -> f64 {
        self.there.values.weight(decay) + self.back.values.weight(decay)
    }

    /// LS of both directions, by the landmark.
    pub(super) fn sum(&self, decay: usize) -> f64 {
        self.there.values.sum(decay) + self.back.values.sum(decay)
    }

    /// What is left at a moment of something by the landmark.
    pub(super) fn left(&self, decays: &[f64; N], decay: usize, moment: &Moment<N>) -> f64 {
        let part = |parts: &[f64; N]| parts.get(decay).copied().unwrap_or_default();
        part(&moment.since(decays, self.landmark)) * part(&moment.left)
    }

    /// Root of the sum of both means squared.
    pub(super) fn magnitude(&self, decay: usize) -> f64 {
        let (there, back) = (self.there.values.mean(decay), self.back.values.mean(decay));
        (there * there + back * back).sqrt()
    }

    /// Root of the sum of both variances squared.
    pub(super) fn radius(&self, decay: usize) -> f64 {
        let (there, back) = (self.there.values.variance(decay), self.back.values.variance(decay));
        (there * there + back * back).sqrt()
    }

    /// SR / (w + w); 0 of nothing.
    fn covariance(&self, decay: usize) -> f64 {
        let weight = self.weight(decay);
        let product = self.products.get(decay).copied().unwrap_or_default();
        if weight > 0.0 { product / weight } else { 0.0 }
    }

    /// Covariance over both deviations, -1 to 1.
    pub(super) fn correlation(&self, decay: usize) -> f64 {
        let both = self.there.values.deviation(decay) * self.back.values.deviation(decay);
        if both > 0.0 { (self.covariance(decay) / both).clamp(-1.0, 1.0) } else { 0.0 }
    }
}
