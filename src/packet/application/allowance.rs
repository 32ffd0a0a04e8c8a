//! [`Allowance`]: how often something costly is done in a second of the capture. A flood of messages made up to cost
//! time gets no more than that.

use crate::time::Timestamp;

/// At most so many uses in each second; further ones are refused and counted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Allowance {
    each_second: u32,
    second: i64,
    used: u32,
    refused: u64,
}

impl Allowance {
    pub(super) const fn new(each_second: u32) -> Self {
        Self { each_second, second: i64::MIN, used: 0, refused: 0 }
    }

    /// Whether it may be done once more.
    pub(super) fn take(&mut self, now: Timestamp) -> bool {
        const SECOND: i64 = 1_000_000_000;
        let second = now.as_nanos().div_euclid(SECOND);
        if second != self.second {
            self.second = second;
            self.used = 0;
        }
        if self.used >= self.each_second {
            self.refused = self.refused.saturating_add(1);
            return false;
        }
        self.used += 1;
        true
    }

    pub(super) const fn refused(&self) -> u64 {
        self.refused
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Span;

    #[test]
    fn each_second_has_its_own() {
        let mut allowance = Allowance::new(2);
        let mut taken = |millis| allowance.take(Timestamp::EPOCH + Span::from_millis(millis));
        assert_eq!(
            [5_000, 5_400, 5_999, 6_000, 6_001, 6_002].map(&mut taken),
            [true, true, false, true, true, false]
        );
        assert!(taken(5_000), "a clock that goes back starts a second");
        assert_eq!(allowance.refused(), 2);
    }
}
