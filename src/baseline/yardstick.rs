//! How far apart two values of a feature are: the transform that makes its noise even, and the smallest difference
//! that means something. Knows units, not devices.
//!
//! A rate of one event in ten minutes and one in five is the same to people, one flow and a thousand are not: below
//! the resolution of its unit a logarithmic feature is linear, above it only ratios count.

use crate::feature::{COUNT, SCHEMA, Scale};

/// The measure of one feature.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Yardstick {
    /// Value at which a logarithmic feature turns from linear to logarithmic, in its unit; none for a linear one.
    resolution: Option<f64>,
    /// Smallest spread that a feature is credited with, in transformed units: a feature that never moved in the
    /// baseline may move by this much and be one spread away.
    pub(super) floor: f64,
}

impl Yardstick {
    /// The measure of each feature, in the order of the schema.
    pub(super) fn of_schema() -> [Self; COUNT] {
        std::array::from_fn(|slot| {
            SCHEMA.get(slot).map_or(FALLBACK, |feature| Self::of(feature.unit, feature.scale))
        })
    }

    fn of(unit: &str, scale: Scale) -> Self {
        let known = UNITS.iter().find(|(name, of, _)| *name == unit && *of == scale);
        known.map_or(FALLBACK, |&(_, _, yardstick)| yardstick)
    }

    /// Natural units to transformed ones.
    pub(super) fn transform(&self, value: f64) -> f64 {
        self.resolution.map_or(value, |resolution| (value.max(0.0) / resolution).ln_1p())
    }

    /// Transformed units to natural ones.
    pub(super) fn restore(&self, transformed: f64) -> f64 {
        self.resolution.map_or(transformed, |resolution| transformed.exp_m1() * resolution)
    }
}

/// For a unit that the table does not have; a test keeps the table complete.
const FALLBACK: Yardstick = log(1.0, 0.1);

const fn log(resolution: f64, floor: f64) -> Yardstick {
    Yardstick { resolution: Some(resolution), floor }
}

const fn linear(floor: f64) -> Yardstick {
    Yardstick { resolution: None, floor }
}

/// Resolutions and floors by unit and scale. A floor of 0.1 on a logarithmic feature is a change by a tenth.
const UNITS: [(&str, Scale, Yardstick); 19] = [
    // Six events a minute: a single one in a quiet window stays small.
    ("packets/s", Scale::Logarithmic, log(0.1, 0.1)),
    ("flows/s", Scale::Logarithmic, log(0.1, 0.1)),
    ("queries/s", Scale::Logarithmic, log(0.1, 0.1)),
    ("operations/s", Scale::Logarithmic, log(0.1, 0.1)),
    ("hellos/s", Scale::Logarithmic, log(0.1, 0.1)),
    ("addresses/s", Scale::Logarithmic, log(0.1, 0.1)),
    ("bytes/s", Scale::Logarithmic, log(10.0, 0.1)),
    ("seconds", Scale::Logarithmic, log(0.1, 0.1)),
    ("ratio", Scale::Logarithmic, log(0.5, 0.1)),
    // One more peer than the usual one is two spreads away, not ten.
    ("addresses", Scale::Logarithmic, log(2.0, 0.15)),
    ("ports", Scale::Logarithmic, log(2.0, 0.15)),
    ("names", Scale::Logarithmic, log(2.0, 0.15)),
    ("operations", Scale::Logarithmic, log(2.0, 0.15)),
    // A deviation of ten bytes each way: the square of what counts for sizes.
    ("bytes^2", Scale::Logarithmic, log(100.0, 0.3)),
    ("bytes", Scale::Logarithmic, log(100.0, 0.15)),
    ("ratio", Scale::Linear, linear(0.05)),
    ("bytes", Scale::Linear, linear(10.0)),
    ("bits", Scale::Linear, linear(0.2)),
    ("characters", Scale::Linear, linear(2.0)),
];

/// A count as a number to calculate with; exact below 2^32, far above every capacity here.
pub(crate) fn count(n: usize) -> f64 {
    f64::from(u32::try_from(n).unwrap_or(u32::MAX))
}

/// To the precision of vectors; what does not fit becomes the largest finite value.
#[expect(clippy::cast_possible_truncation, reason = "rounding to the precision of a vector is meant")]
pub(crate) const fn narrow(value: f64) -> f32 {
    value.clamp(-f32::MAX as f64, f32::MAX as f64) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_unit_of_the_schema_has_a_yardstick() {
        for feature in SCHEMA {
            assert!(
                UNITS.iter().any(|(unit, scale, _)| *unit == feature.unit && *scale == feature.scale),
                "{} in {}",
                feature.name,
                feature.unit
            );
        }
    }

    #[test]
    fn the_transform_goes_both_ways() {
        for yardstick in Yardstick::of_schema() {
            for value in [0.0, 0.01, 1.0, 1_500.0] {
                assert!((yardstick.restore(yardstick.transform(value)) - value).abs() < 1e-9 * (1.0 + value));
            }
        }
    }

    #[test]
    fn only_ratios_count_far_above_the_resolution() {
        let rate = Yardstick::of("flows/s", Scale::Logarithmic);
        let doubled = rate.transform(200.0) - rate.transform(100.0);
        assert!((doubled - 2_f64.ln()).abs() < 0.001);
        // One flow in a minute where there was none is less than two floors away, fifty are more than twenty.
        assert!(rate.transform(1.0 / 60.0) < 2.0 * rate.floor);
        assert!(rate.transform(50.0 / 60.0) > 20.0 * rate.floor);
    }
}
