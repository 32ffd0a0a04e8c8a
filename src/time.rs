//! Time as a value: [`Timestamp`] and [`Span`], both in nanoseconds, and their text form.
//!
//! Nothing here reads a clock. Packet times come from the kernel or the capture file; the only "now" of the
//! process is made in `sys::clock`.

use std::fmt;
use std::ops::{Add, AddAssign, Sub};

/// A point in time: nanoseconds since the Unix epoch. Arithmetic saturates at the ends of the range (1677 to 2262).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

/// A length of time in nanoseconds, never negative. Arithmetic saturates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span(u64);

const NANOS_PER_SECOND: u64 = 1_000_000_000;

impl Timestamp {
    /// The Unix epoch, which is also what a machine without a clock shows at boot.
    pub const EPOCH: Self = Self(0);

    /// From nanoseconds since the epoch.
    #[must_use]
    pub const fn from_nanos(nanos: i64) -> Self {
        Self(nanos)
    }

    /// From whole seconds and a fraction in nanoseconds, as capture records carry it. Saturates.
    #[must_use]
    pub fn from_parts(seconds: i64, nanos: u32) -> Self {
        Self(seconds.saturating_mul(1_000_000_000).saturating_add(i64::from(nanos)))
    }

    /// Nanoseconds since the epoch.
    #[must_use]
    pub const fn as_nanos(self) -> i64 {
        self.0
    }

    /// Whole milliseconds since the epoch, rounded down.
    #[must_use]
    pub const fn as_millis(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// Seconds since the epoch, for output to people and metrics; precise to about a microsecond.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "output only")]
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / 1e9
    }

    /// The time from `earlier` to `self`; zero when `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Span {
        Span(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

impl Span {
    /// No time at all.
    pub const ZERO: Self = Self(0);

    /// From nanoseconds.
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// From milliseconds.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis.saturating_mul(1_000_000))
    }

    /// From seconds.
    #[must_use]
    pub const fn from_secs(seconds: u64) -> Self {
        Self(seconds.saturating_mul(NANOS_PER_SECOND))
    }

    /// Nanoseconds.
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Whole seconds, rounded down.
    #[must_use]
    pub const fn as_secs(self) -> u64 {
        self.0 / NANOS_PER_SECOND
    }

    /// Seconds with their fraction.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a span of 104 days is still exact to a nanosecond")]
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / 1e9
    }

    /// The same length as the standard library's type, for waits in the control plane.
    #[must_use]
    pub const fn to_std(self) -> std::time::Duration {
        std::time::Duration::from_nanos(self.0)
    }
}

impl Add<Span> for Timestamp {
    type Output = Self;
    fn add(self, span: Span) -> Self {
        Self(self.0.saturating_add_unsigned(span.0))
    }
}

impl Sub<Span> for Timestamp {
    type Output = Self;
    fn sub(self, span: Span) -> Self {
        Self(self.0.saturating_sub_unsigned(span.0))
    }
}

impl Add for Span {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl AddAssign for Span {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

/// RFC 3339 in UTC with microseconds, as in `2015-01-14T17:02:33.123456Z`.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let instant = jiff::Timestamp::from_nanosecond(i128::from(self.0)).map_err(|_| fmt::Error)?;
        write!(f, "{instant:.6}")
    }
}

/// Seconds with at most three decimals, as in `1.500 s`.
impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3} s", self.as_secs_f64())
    }
}

impl std::str::FromStr for Timestamp {
    type Err = BadTimestamp;

    /// Parses RFC 3339 with an offset.
    fn from_str(text: &str) -> Result<Self, BadTimestamp> {
        let instant: jiff::Timestamp = text.parse().map_err(|_| BadTimestamp)?;
        i64::try_from(instant.as_nanosecond()).map(Self).map_err(|_| BadTimestamp)
    }
}

/// A text that is no RFC 3339 time between 1677 and 2262.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("not an RFC 3339 time such as 2015-01-14T17:02:33.123456Z")]
pub struct BadTimestamp;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_form_goes_both_ways() {
        let t = Timestamp::from_parts(1_421_254_953, 123_456_000);
        assert_eq!(t.to_string(), "2015-01-14T17:02:33.123456Z");
        assert_eq!("2015-01-14T17:02:33.123456Z".parse(), Ok(t));
        assert_eq!("2015-01-14T18:02:33.123456+01:00".parse(), Ok(t));
        assert_eq!("yesterday".parse::<Timestamp>(), Err(BadTimestamp));
    }

    /// Seconds of the year 2038 need a 32nd bit, and milliseconds of any year a 41st.
    #[test]
    fn times_need_more_than_32_bits() {
        let t = Timestamp::from_parts(1 << 31, 0);
        assert_eq!(t.to_string(), "2038-01-19T03:14:08.000000Z");
        assert_eq!("2038-01-19T03:14:08Z".parse(), Ok(t));
        assert_eq!(t.as_millis(), 2_147_483_648_000);
        let century = Span::from_secs(100 * 365 * 86_400);
        assert_eq!((t + century).since(t), century);
        assert_eq!(century.to_std().as_secs(), 100 * 365 * 86_400);
    }

    #[test]
    fn arithmetic_saturates() {
        assert_eq!(Timestamp::EPOCH.since(Timestamp::from_nanos(5)), Span::ZERO);
        assert_eq!(Timestamp::from_nanos(i64::MAX) + Span::from_secs(1), Timestamp::from_nanos(i64::MAX));
        assert_eq!(Timestamp::from_parts(i64::MAX, 0), Timestamp::from_nanos(i64::MAX));
        // The far ends still print: a capture may carry any 64 bits.
        assert!(Timestamp::from_nanos(i64::MAX).to_string().starts_with("2262-"));
        assert!(Timestamp::from_nanos(i64::MIN).to_string().starts_with("1677-"));
    }
}
