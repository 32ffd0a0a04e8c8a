//! The state message: what a home or plant automation shows of the tap itself. Null is what is not known yet.

use serde::Serialize;

use super::command::{Mode, THRESHOLD};
use crate::alert::Severity;
use crate::control::{BaselinePhase, CaptureState, JudgeStatus, MeterStatus, SettingsView, Status};
use crate::pipeline::mirror::{Report, Verdict};
use crate::time::Span;

/// What `capture` may say.
pub(super) const CAPTURE: [&str; 5] = ["running", "quiet", "waiting", "stopped", "ended"];
/// What `model` may say.
pub(super) const MODEL: [&str; 4] = ["none", "learning", "ready", "insufficient"];

/// Retained on `<prefix>/<tap>/state`. Counters are totals since the daemon started.
#[derive(Debug, PartialEq, Serialize)]
pub(super) struct StateRecord {
    /// Version of the daemon.
    version: &'static str,
    /// `running`, `quiet`, `waiting`, `stopped` or `ended`.
    capture: Option<&'static str>,
    /// The source is open, whether or not frames come.
    capturing: Option<bool>,
    /// Nobody asked for a stop.
    listening: Option<bool>,
    /// `learn`, `detect` or `pause`.
    mode: Option<&'static str>,
    /// `none`, `learning` or `armed`.
    baseline: Option<&'static str>,
    /// Highest severity of the open alerts that nobody acknowledged; `none` when there is none.
    threat: Option<&'static str>,
    /// One of them is high or critical.
    problem: Option<bool>,
    /// A check of the mirror finds something; null while none of them can tell.
    mirror_problem: Option<bool>,
    /// What they find, with what helps.
    mirror: Vec<Finding>,
    /// Percent of the time to learn; null where nothing is being learned or was.
    baseline_progress: Option<f64>,
    /// Time to learn that a baseline started over MQTT takes.
    baseline_minutes: f64,
    /// `none` and `learning` as the baseline, `ready`, or `insufficient` where what was learned is too little.
    model: Option<&'static str>,
    /// Findings become alerts.
    detection: Option<bool>,
    /// Score from which windows raise alerts.
    alert_threshold: Option<f64>,
    /// Findings that raised nothing because detection was off.
    suppressed: Option<u64>,
    /// Open alerts that nobody acknowledged.
    open_alerts: Option<u64>,
    /// Mean over the last complete ten seconds.
    packets_per_second: Option<f64>,
    /// Mean over the same time.
    bits_per_second: Option<f64>,
    /// Packets seen.
    packets: Option<u64>,
    /// Frames that the kernel or the interface dropped.
    dropped_packets: Option<u64>,
    /// Flows in the table.
    flows: Option<u64>,
    /// Devices in the table.
    devices: Option<u64>,
}

impl StateRecord {
    /// Whether anything is different that somebody would act on.
    pub(super) fn differs(&self, other: &Self) -> bool {
        let telling = |s: &Self| {
            let judged = (s.baseline, s.model, s.threat, s.open_alerts, s.mirror_problem, s.mirror.clone());
            let set = (s.detection, s.baseline_minutes.to_bits(), s.alert_threshold.map(f64::to_bits));
            (s.capture, judged, set)
        };
        telling(self) != telling(other)
    }

    /// The daemon's status and settings, and the time to learn that was set over MQTT.
    pub(super) fn of(status: &Status, settings: &SettingsView, learning: Span) -> Self {
        let meter = status.meter.as_deref();
        let judge = status.judge.as_deref();
        let rounded = |value: f64| (value * 10.0).round() / 10.0;
        Self {
            version: env!("CARGO_PKG_VERSION"),
            capture: meter.map(|m| match m.capture.state {
                CaptureState::Running => "running",
                CaptureState::Quiet => "quiet",
                CaptureState::Waiting(_) => "waiting",
                CaptureState::Stopped => "stopped",
                CaptureState::Ended => "ended",
            }),
            capturing: meter
                .map(|m| is_open(&m.capture.state) || m.sources.iter().any(|s| is_open(&s.capture.state))),
            listening: meter.map(|m| !matches!(m.capture.state, CaptureState::Stopped | CaptureState::Ended)),
            mode: judge.and_then(Mode::of).map(Mode::word),
            baseline: judge.map(|j| j.baseline.phase.word()),
            threat: judge.map(|j| j.threat.map_or("none", |s| s.word())),
            problem: judge.map(|j| j.threat.is_some_and(|s| s >= Severity::High)),
            mirror_problem: meter.and_then(mirror_problem),
            mirror: meter.map(findings).unwrap_or_default(),
            baseline_progress: judge.and_then(progress).map(rounded),
            baseline_minutes: learning.as_secs_f64() / 60.0,
            model: judge.map(model),
            detection: judge.map(|j| j.detection),
            alert_threshold: threshold(settings),
            suppressed: judge.map(|j| j.alerts.suppressed),
            open_alerts: judge.map(|j| j.alerts.unacknowledged),
            packets_per_second: meter.and_then(|m| m.packets_per_second).map(rounded),
            bits_per_second: meter.and_then(|m| m.bits_per_second).map(rounded),
            packets: meter.map(|m| m.packets),
            dropped_packets: meter
                .map(|m| m.capture.counters.kernel_drops.saturating_add(m.capture.counters.interface_drops)),
            flows: meter.map(|m| m.flows_active),
            devices: meter.map(|m| u64::try_from(m.devices.len()).unwrap_or(u64::MAX)),
        }
    }
}

/// What a check of the mirror found.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct Finding {
    /// What was found, as a word.
    trouble: &'static str,
    /// What helps.
    remedy: &'static str,
}

fn mirror_problem(meter: &MeterStatus) -> Option<bool> {
    let known = |report: &&Report| !matches!(report.verdict, Verdict::Unknown(_));
    let mut known = meter.mirror.iter().filter(known).peekable();
    known.peek()?;
    Some(known.any(|report| report.verdict.trouble().is_some()))
}

fn findings(meter: &MeterStatus) -> Vec<Finding> {
    let troubles = meter.mirror.iter().filter_map(|report| report.verdict.trouble());
    troubles.map(|trouble| Finding { trouble: trouble.word(), remedy: trouble.remedy() }).collect()
}

const fn is_open(state: &CaptureState) -> bool {
    matches!(state, CaptureState::Running | CaptureState::Quiet)
}

fn threshold(settings: &SettingsView) -> Option<f64> {
    let setting = settings.settings.iter().find(|s| s.key == THRESHOLD)?;
    setting.value.as_deref()?.parse().ok()
}

fn progress(judge: &JudgeStatus) -> Option<f64> {
    let (learned, target) = (judge.baseline.learned.as_secs_f64(), judge.baseline.target.as_secs_f64());
    match judge.baseline.phase {
        BaselinePhase::None => None,
        BaselinePhase::Learning if target > 0.0 => Some((100.0 * learned / target).min(100.0)),
        BaselinePhase::Learning => Some(0.0),
        BaselinePhase::Armed => Some(100.0),
    }
}

const fn model(judge: &JudgeStatus) -> &'static str {
    match (judge.model.is_some(), judge.baseline.phase) {
        (true, _) => "ready",
        (false, BaselinePhase::None) => "none",
        (false, BaselinePhase::Learning) => "learning",
        (false, BaselinePhase::Armed) => "insufficient",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_is_null() {
        let json = serde_json::to_value(StateRecord::of(
            &Status::default(),
            &SettingsView::default(),
            Span::from_secs(90),
        ))
        .unwrap();
        assert_eq!(json["packets"], serde_json::Value::Null);
        assert_eq!(json["baseline_minutes"], 1.5);
        assert_eq!(json["version"], env!("CARGO_PKG_VERSION"));
    }
}
