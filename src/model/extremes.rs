//! [`Extremes`]: how rare the rarest feature of a window is. The plain statistics beside the forest, and what sees
//! beyond the range that the forest was built from.
//!
//! Each feature has a tail above and one below, fitted to the standard scores of the windows the model was built
//! from; a row's score is the surprise (negative natural logarithm of the tail probability) of its most surprising
//! feature. That so many features are looked at is not corrected here: the held-out windows look at as many.

use serde::{Deserialize, Serialize};

use super::tail::{Fit, Tail, TailWire};
use crate::feature::COUNT;

/// A pair of tails for each feature.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Extremes {
    tails: [Sides; COUNT],
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Sides {
    up: Tail,
    down: Tail,
}

/// One standard score in twenty lies in the tail. It does not begin within one spread, and its scale is not under
/// one half: a feature that never moved surprises by how far it moves, not by moving at all.
const FIT: Fit = Fit { one_in: 20, least: 1.0, floor: 0.5, widening: 0.0 };

impl Extremes {
    /// Fits the tails to standardised rows.
    pub(super) fn train(rows: &[[f32; COUNT]]) -> Self {
        let mut column = Vec::with_capacity(rows.len());
        let mut side = |slot: usize, sign: f64| {
            column.clear();
            let values = rows.iter().filter_map(|row| row.get(slot));
            column.extend(values.map(|&value| (sign * f64::from(value)).max(0.0)));
            column.sort_unstable_by(f64::total_cmp);
            Tail::fit(&column, FIT)
        };
        Self { tails: std::array::from_fn(|slot| Sides { up: side(slot, 1.0), down: side(slot, -1.0) }) }
    }

    /// Surprise of the most surprising feature, in nats; 0 for a row that is all median.
    pub(super) fn score(&self, row: &[f32; COUNT]) -> f64 {
        self.surprises(row).into_iter().fold(0.0, f64::max)
    }

    /// Surprise of each feature.
    pub(super) fn surprises(&self, row: &[f32; COUNT]) -> [f64; COUNT] {
        let mut surprises = [0.0; COUNT];
        for ((surprise, &value), sides) in surprises.iter_mut().zip(row).zip(&self.tails) {
            let tail = if value > 0.0 { &sides.up } else { &sides.down };
            let distance = f64::from(value.abs());
            // Up to the tail it rises evenly.
            *surprise = if distance > tail.threshold() {
                -tail.log_probability(distance)
            } else {
                -tail.rate().ln() * distance / tail.threshold()
            };
        }
        surprises
    }
}

/// Tails in a snapshot: above and below for each feature.
#[derive(Serialize, Deserialize)]
pub(super) struct ExtremesWire(Vec<(TailWire, TailWire)>);

impl From<&Extremes> for ExtremesWire {
    fn from(extremes: &Extremes) -> Self {
        Self(extremes.tails.iter().map(|sides| ((&sides.up).into(), (&sides.down).into())).collect())
    }
}

impl ExtremesWire {
    /// The tails; none when they do not hold together.
    pub(super) fn read(self) -> Option<Extremes> {
        let sides = self.0.into_iter().map(|(up, down)| {
            let sides = Sides { up: up.read()?, down: down.read()? };
            (sides.up.threshold() > 0.0 && sides.down.threshold() > 0.0).then_some(sides)
        });
        let tails: Vec<Sides> = sides.collect::<Option<_>>()?;
        Some(Extremes { tails: tails.try_into().ok()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_never_moved_surprises_by_how_far_it_moves() {
        let extremes = Extremes::train(&vec![[0.0; COUNT]; 500]);
        let at = |z: f32| {
            let mut row = [0.0; COUNT];
            row[3] = z;
            extremes.score(&row)
        };
        assert!(at(0.0).abs() < 1e-12);
        assert!(at(0.2) < 2.0);
        assert!(at(30.0) > at(10.0) && at(10.0) > at(3.0) && at(3.0) > at(1.0));
        assert!(at(1e4).is_finite());
        assert!((at(-3.0) - at(3.0)).abs() < 1e-12);
    }

    #[test]
    fn a_heavy_tail_is_less_surprising_than_a_light_one() {
        let rows: Vec<[f32; COUNT]> = (0..1_000_u16)
            .map(|n| {
                let mut row = [0.0; COUNT];
                // Exact quantiles: light is uniform to 2, heavy is a Pareto of shape 1.
                let p = (f32::from(n) + 0.5) / 1_000.0;
                row[0] = 2.0 * p;
                row[1] = 1.0 / (1.0 - p) - 1.0;
                row
            })
            .collect();
        let surprises = Extremes::train(&rows).surprises(&[20.0; COUNT]);
        assert!(surprises[0] > 2.0 * surprises[1], "{} {}", surprises[0], surprises[1]);
    }
}
