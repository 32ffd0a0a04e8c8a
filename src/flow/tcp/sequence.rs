//! [`Sequence`]: numbers that wrap around. Read first: RFC 9293, section 3.4; RFC 7323, section 2.3.

/// A sequence number. Two of them compare by the shorter way around the circle.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sequence(pub(super) u32);

impl Sequence {
    /// How far it lies after `other`; negative when before.
    pub(super) const fn since(self, other: Self) -> i64 {
        self.0.wrapping_sub(other.0).cast_signed() as i64
    }

    /// So many bytes on.
    pub(super) const fn plus(self, bytes: u32) -> Self {
        Self(self.0.wrapping_add(bytes))
    }

    /// How many bytes lie between `from` and this one; 0 when it does not come after.
    pub(super) fn bytes_from(self, from: Self) -> u32 {
        u32::try_from(self.since(from)).unwrap_or(0)
    }

    /// The one that comes first.
    pub(super) const fn earlier(self, other: Self) -> Self {
        if self.since(other) < 0 { self } else { other }
    }

    /// The one that comes last.
    pub(super) const fn later(self, other: Self) -> Self {
        if self.since(other) < 0 { other } else { self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn order_does_not_depend_on_where_the_circle_is_cut(start: u32, step in 1..1_u32 << 30) {
            let (one, other) = (Sequence(start), Sequence(start).plus(step));
            prop_assert_eq!((other.since(one), one.since(other)), (i64::from(step), -i64::from(step)));
            prop_assert_eq!((other.bytes_from(one), one.bytes_from(other)), (step, 0));
            prop_assert_eq!((one.earlier(other), one.later(other)), (one, other));
            prop_assert_eq!((other.earlier(one), other.later(one)), (one, other));
        }
    }
}
