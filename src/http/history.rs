//! [`History`]: the last hour as `/api/history` tells it, a sample each ten seconds of what the board held then.
//!
//! What was not measured is missing and not zero: before the first publication, while nothing is captured, and while
//! the capture thread is silent.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use serde::Serialize;

use crate::control::{CaptureState, JudgeStatus, MeterStatus, Status};
use crate::time::{Span, Timestamp};

/// The samples of the last hour; the oldest gives way.
#[derive(Debug, Default)]
pub(super) struct History(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    samples: VecDeque<Sample>,
    /// What the latest sample was taken from.
    meter: Option<MeterReading>,
    /// Alerts raised until the latest sample.
    raised: Option<u64>,
}

/// What tells two looks at the meter apart.
#[derive(Clone, Copy, Debug)]
struct MeterReading {
    now: Timestamp,
    lost: u64,
}

#[derive(Clone, Copy, Debug)]
struct Sample {
    /// Since the start of the server.
    at: Span,
    packets_per_second: Option<f64>,
    bits_per_second: Option<f64>,
    lost: Option<u64>,
    raised: Option<u64>,
}

/// `/api/history`.
#[derive(Debug, Serialize)]
pub(super) struct HistoryAnswer {
    /// Wall clock.
    time: String,
    interval_seconds: u64,
    /// Oldest first.
    samples: Vec<SampleView>,
}

#[derive(Debug, Serialize)]
struct SampleView {
    age_seconds: u64,
    packets_per_second: Option<f64>,
    bits_per_second: Option<f64>,
    /// By kernel and interface since the sample before.
    lost_frames: Option<u64>,
    /// Since the sample before.
    alerts_raised: Option<u64>,
}

impl History {
    /// Time between two samples, which is that over which the meter takes its means.
    const INTERVAL: Span = Span::from_secs(10);
    /// An hour of them.
    const CAPACITY: usize = 360;

    /// Takes a sample where one is due; to be called at least every few seconds. `now` counts from the start of the
    /// server.
    pub(super) fn observe(&self, status: &Status, now: Span) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.samples.back().is_none_or(|last| slot(last.at) < slot(now)) {
            kept.take(status, now);
        }
    }

    /// What is kept, at a time since the start of the server.
    pub(super) fn answer(&self, time: Timestamp, now: Span) -> HistoryAnswer {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let view = |sample: &Sample| SampleView {
            age_seconds: now.as_secs().saturating_sub(sample.at.as_secs()),
            packets_per_second: sample.packets_per_second,
            bits_per_second: sample.bits_per_second,
            lost_frames: sample.lost,
            alerts_raised: sample.raised,
        };
        HistoryAnswer {
            time: time.to_string(),
            interval_seconds: Self::INTERVAL.as_secs(),
            samples: kept.samples.iter().map(view).collect(),
        }
    }
}

impl Kept {
    fn take(&mut self, status: &Status, at: Span) {
        let meter = status.meter.as_deref();
        let reading = meter.map(MeterReading::new);
        let before = std::mem::replace(&mut self.meter, reading);
        let measures = |m: &&MeterStatus| {
            let is_open = |state: &CaptureState| matches!(state, CaptureState::Running | CaptureState::Quiet);
            let open = is_open(&m.capture.state) || m.sources.iter().any(|one| is_open(&one.capture.state));
            open && before.is_none_or(|before| before.now != m.now)
        };
        let measured = meter.filter(measures);
        let lost = measured.and(reading).zip(before).map(|(now, then)| now.lost.saturating_sub(then.lost));
        let raised = status.judge.as_deref().map(raised);
        let before = std::mem::replace(&mut self.raised, raised);
        if self.samples.len() >= History::CAPACITY {
            self.samples.pop_front();
        }
        self.samples.push_back(Sample {
            at,
            packets_per_second: measured.and_then(|m| m.packets_per_second),
            bits_per_second: measured.and_then(|m| m.bits_per_second),
            lost,
            raised: raised.zip(before).map(|(now, then)| now.saturating_sub(then)),
        });
    }
}

impl MeterReading {
    fn new(meter: &MeterStatus) -> Self {
        let counters = &meter.capture.counters;
        Self { now: meter.now, lost: counters.kernel_drops.saturating_add(counters.interface_drops) }
    }
}

/// Which of the intervals since the start a time lies in.
const fn slot(at: Span) -> u64 {
    at.as_secs() / History::INTERVAL.as_secs()
}

fn raised(judge: &JudgeStatus) -> u64 {
    judge.alerts.raised.iter().map(|(_, count)| count).sum()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::http::tests::fixture::{NOW, judge, meter};

    /// Age, rate, losses and alerts of a sample.
    type Told = (u64, Option<f64>, Option<u64>, Option<u64>);

    fn told(history: &History, now: u64) -> Vec<Told> {
        let samples = history.answer(NOW, Span::from_secs(now)).samples;
        samples
            .into_iter()
            .map(|s| (s.age_seconds, s.packets_per_second, s.lost_frames, s.alerts_raised))
            .collect()
    }

    fn status(second: u64, change: impl FnOnce(&mut MeterStatus, &mut JudgeStatus)) -> Status {
        let (mut meter, mut judge) = (meter(), judge());
        meter.now = NOW + Span::from_secs(second);
        change(&mut meter, &mut judge);
        Status { meter: Some(Arc::new(meter)), judge: Some(Arc::new(judge)), ..Status::default() }
    }

    #[test]
    fn a_sample_is_taken_each_ten_seconds_and_gaps_stay_gaps() {
        let history = History::default();
        let observe = |second: u64, status: &Status| history.observe(status, Span::from_secs(second));
        observe(1, &Status::default());
        let rate = meter().packets_per_second;
        observe(9, &status(9, |_, _| {}));
        observe(11, &status(11, |_, _| {}));
        observe(19, &status(19, |m, _| m.capture.counters.kernel_drops += 100));
        observe(
            20,
            &status(20, |m, j| {
                m.capture.counters.kernel_drops += 3;
                m.capture.counters.interface_drops += 4;
                j.alerts.raised[0].1 += 2;
            }),
        );
        let silent = status(20, |_, j| j.alerts.raised[0].1 += 2);
        observe(30, &silent);
        observe(
            40,
            &status(40, |m, j| {
                m.capture.state = CaptureState::Stopped;
                j.alerts.raised[0].1 += 2;
            }),
        );
        observe(
            70,
            &status(70, |m, j| {
                m.capture.counters.kernel_drops += 5;
                j.alerts.raised[0].1 += 2;
            }),
        );
        let expected = [
            (70, None, None, None),
            (60, rate, None, None),
            (51, rate, Some(7), Some(2)),
            (41, None, None, Some(0)),
            (31, None, None, Some(0)),
            (1, rate, Some(5), Some(0)),
        ];
        assert_eq!(told(&history, 71), expected);
    }

    #[test]
    fn an_hour_is_kept() {
        let history = History::default();
        for second in 0..5_000 {
            history.observe(&status(second, |_, _| {}), Span::from_secs(second));
        }
        let samples = told(&history, 5_000);
        assert_eq!((samples.len(), samples[0].0, samples[359].0), (360, 3_600, 10));
    }
}
