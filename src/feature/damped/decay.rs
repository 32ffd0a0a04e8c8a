//! How much is left of something after a time, and how to keep sums of what decays without touching them as time goes
//! on. The same on every machine.
//!
//! The `exp2` of a C library differs by target in its last bits, and a replay has to give the same bytes on ARM and
//! x86. So this is made of additions, multiplications and divisions alone, which IEEE 754 defines to the last bit.

use crate::time::{Span, Timestamp};

/// Halvings after which nothing is left.
const NOTHING: f64 = 1_000.0;

/// 2 to the power of `-halvings`, for 0 or more; 0 from 1,000 halvings on. The relative error is below 1e-12.
///
/// The exponent is split in a whole part, which goes straight into the exponent bits, and a rest of at most a half,
/// for which the exponential series is cut after its tenth power: the next term is `(ln 2 / 2)^11 / 11!`, 2.2e-13.
fn left_after(halvings: f64) -> f64 {
    /// 1.5 * 2^52: added to a small number, it leaves its nearest whole number in the low bits.
    const ROUND: f64 = 6_755_399_441_055_744.0;
    const ONE: u64 = 0x3ff0_0000_0000_0000;
    let exponent = halvings.min(NOTHING);
    let shifted = exponent + ROUND;
    let whole = shifted - ROUND;
    let scale = f64::from_bits(ONE.wrapping_sub(shifted.to_bits() << 52));
    let left = exponential((whole - exponent) * std::f64::consts::LN_2) * scale;
    if halvings < NOTHING { left } else { 0.0 }
}

/// e to the power of `x`, for at most 0.35 either way.
fn exponential(x: f64) -> f64 {
    const C: [f64; 11] = [
        1.0,
        1.0,
        1.0 / 2.0,
        1.0 / 6.0,
        1.0 / 24.0,
        1.0 / 120.0,
        1.0 / 720.0,
        1.0 / 5_040.0,
        1.0 / 40_320.0,
        1.0 / 362_880.0,
        1.0 / 3_628_800.0,
    ];
    // Estrin's scheme: a short chain of dependent operations.
    let x2 = x * x;
    let x4 = x2 * x2;
    let low = (C[0] + C[1] * x) + (C[2] + C[3] * x) * x2;
    let middle = (C[4] + C[5] * x) + (C[6] + C[7] * x) * x2;
    let high = (C[8] + C[9] * x) + C[10] * x2;
    low + (middle + high * x4) * x4
}

/// A time as the weight of what happens then, at `N` decay factors in halvings per second.
///
/// Sums are kept as they were at a landmark, a time in the past: what happens later goes in with a weight that has
/// grown since, instead of all before being made to shrink. So a sum costs an addition for each packet whatever time
/// has passed, and one power serves all sums of a packet. Landmarks move on every [`Moment::PERIOD`].
///
/// Read first: Cormode, Shkapenyuk, Srivastava, Xu, "Forward Decay: A Practical Time Decay Model for Streaming
/// Systems", ICDE 2009, sections III and VI.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment<const N: usize> {
    /// Number of the landmark since the epoch.
    landmark: i64,
    /// Weight, by the landmark, of what happens now.
    pub(super) grown: [f64; N],
    /// What is left now of a weight of the landmark: one over the other.
    pub(super) left: [f64; N],
}

impl<const N: usize> Moment<N> {
    /// Time between two landmarks. The fastest factor of the paper, 5, grows to 2^600 in it, far from the end of f64
    /// (2^1023) even for the squares of sizes, and all products of it.
    const PERIOD: i64 = 120_000_000_000;
    const PERIOD_SECONDS: f64 = 120.0;

    pub(super) fn new(decays: &[f64; N], now: Timestamp) -> Self {
        let landmark = now.as_nanos().div_euclid(Self::PERIOD);
        let since = u64::try_from(now.as_nanos().rem_euclid(Self::PERIOD)).unwrap_or_default();
        let seconds = Span::from_nanos(since).as_secs_f64();
        let left = decays.map(|decay| left_after(decay * seconds));
        Self { landmark, grown: left.map(|left| 1.0 / left), left }
    }

    /// The landmark that sums of now are kept by.
    pub(super) const fn landmark(&self) -> i64 {
        self.landmark
    }

    /// What is left, by this moment's landmark, of sums that are kept by an earlier one.
    pub(super) fn since(&self, decays: &[f64; N], earlier: i64) -> [f64; N] {
        let periods = i32::try_from(self.landmark.saturating_sub(earlier).max(0)).unwrap_or(i32::MAX);
        decays.map(|decay| left_after(decay * Self::PERIOD_SECONDS * f64::from(periods)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn whole_halvings_are_exact() {
        let mut expected = 1.0_f64;
        for halvings in 0..1_000_u16 {
            assert_eq!(left_after(f64::from(halvings)).to_bits(), expected.to_bits(), "{halvings}");
            expected /= 2.0;
        }
        assert_eq!(left_after(1_000.0).to_bits(), 0);
        assert_eq!(left_after(f64::INFINITY).to_bits(), 0);
    }

    /// The bits themselves: another target, or a compiler that fuses operations, would change a replay.
    #[test]
    fn the_bits_are_the_same_on_every_machine() {
        let bits = [0.1, 0.5, 1.7, 333.3].map(|halvings: f64| left_after(halvings).to_bits());
        let known = [
            4_606_579_233_611_295_506,
            4_604_544_271_217_804_088,
            4_599_216_201_439_085_349,
            3_105_792_662_810_022_666,
        ];
        assert_eq!(bits, known);
    }

    proptest! {
        #[test]
        fn is_as_exact_as_stated(halvings in 0.0..999.0_f64) {
            let expected = (-halvings).exp2();
            prop_assert!((left_after(halvings) / expected - 1.0).abs() < 1e-12);
        }

        /// Any two times, also before the epoch and at the ends of what there is.
        #[test]
        fn a_moment_is_finite_at_any_time(nanos: i64, earlier: i64) {
            let decays = [5.0, 0.01];
            let moment = Moment::new(&decays, Timestamp::from_nanos(nanos));
            for decay in 0..2 {
                prop_assert!(moment.grown[decay].is_finite() && moment.left[decay] > 0.0);
                let left = moment.since(&decays, earlier / Moment::<2>::PERIOD)[decay];
                prop_assert!((0.0..=1.0).contains(&left));
            }
        }
    }
}
