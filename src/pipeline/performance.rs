//! [`Performance`]: what the model in use did since it came into use, as counts. Rates and what they mean are for
//! those who show them.

use crate::model::Verdict;
use crate::time::{Span, Timestamp};

/// Counts since the model came into use, or since start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Performance {
    /// First time that was told with the model in use, on the capture's clock; none before.
    pub since: Option<Timestamp>,
    /// Capture time watched with it.
    pub watched: Span,
    /// Device windows judged.
    pub judged: u64,
    /// Device windows whose score reached the threshold.
    pub unusual: u64,
    /// Device windows by how rare they were found: a chance of one to one in ten, and so on by powers of ten; the last
    /// has everything rarer.
    pub by_rarity: [u64; Performance::POWERS],
    /// Alerts raised.
    pub raised: u64,
    latest: Option<Timestamp>,
}

impl Performance {
    /// Powers of ten told apart.
    pub const POWERS: usize = 10;
    /// A longer step of the capture's clock was not watched.
    const LONGEST_STEP: Span = Span::from_secs(3_600);

    /// Lets time pass.
    pub(super) fn handle_time(&mut self, now: Timestamp) {
        let step = now.since(self.latest.unwrap_or(now));
        if step <= Self::LONGEST_STEP {
            self.watched += step;
        }
        self.since = self.since.or(Some(now));
        self.latest = Some(now);
    }

    /// What passed up to now was not watched.
    pub(super) const fn handle_gap(&mut self, now: Timestamp) {
        self.latest = Some(now);
    }

    /// Counts a judged window.
    pub(super) fn handle_verdict(&mut self, verdict: &Verdict) {
        self.judged = self.judged.saturating_add(1);
        self.unusual = self.unusual.saturating_add(u64::from(verdict.unusual));
        if let Some(windows) = self.by_rarity.get_mut(power(verdict.p_value)) {
            *windows = windows.saturating_add(1);
        }
    }

    /// Counts an alert that was raised.
    pub(super) const fn handle_alert(&mut self) {
        self.raised = self.raised.saturating_add(1);
    }
}

/// The power of ten that a chance lies in: 0 above one in ten, 1 from there to above one in a hundred, and so on.
fn power(chance: f64) -> usize {
    let bounds = [1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8, 1e-9];
    bounds.partition_point(|&bound| chance <= bound)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chance_lies_in_its_power_of_ten() {
        let chances = [1.0, 0.11, 0.1, 0.02, 0.01, 1e-4, 1.1e-9, 1e-9, 1e-300];
        assert_eq!(chances.map(power), [0, 0, 1, 1, 2, 4, 8, 9, 9]);
        assert_eq!(power(0.0) + 1, Performance::POWERS);
    }

    #[test]
    fn only_time_that_was_watched_counts() {
        let mut performance = Performance::default();
        for seconds in [100, 160, 150, 200, 900_000, 900_010] {
            performance.handle_time(Timestamp::from_parts(seconds, 0));
        }
        assert_eq!(performance.watched, Span::from_secs(60 + 50 + 10));
        performance.handle_gap(Timestamp::from_parts(900_020, 0));
        performance.handle_time(Timestamp::from_parts(900_021, 0));
        assert_eq!(performance.watched, Span::from_secs(60 + 50 + 10 + 1));
        assert_eq!(performance.since, Some(Timestamp::from_parts(100, 0)));
    }
}
