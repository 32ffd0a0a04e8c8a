//! The state message: what a home or plant automation shows of the tap itself. Null is what is not known yet.

use serde::Serialize;

use crate::control::{CaptureState, Status};

/// Retained on `<prefix>/<tap>/state`. Counters are totals since the daemon started.
#[derive(Debug, PartialEq, Serialize)]
pub(super) struct StateRecord {
    /// Version of the daemon.
    version: &'static str,
    /// `running`, `quiet`, `waiting` or `ended`.
    capture: Option<&'static str>,
    /// `none`, `learning` or `armed`.
    baseline: Option<&'static str>,
    /// Highest severity of the open alerts; `none` when none is open.
    threat: Option<&'static str>,
    /// Open alerts.
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
        let telling = |s: &Self| (s.capture, s.baseline, s.threat, s.open_alerts);
        telling(self) != telling(other)
    }

    pub(super) fn of(status: &Status) -> Self {
        let meter = status.meter.as_deref();
        let judge = status.judge.as_deref();
        let rounded = |value: f64| (value * 10.0).round() / 10.0;
        Self {
            version: env!("CARGO_PKG_VERSION"),
            capture: meter.map(|m| match m.capture.state {
                CaptureState::Running => "running",
                CaptureState::Quiet => "quiet",
                CaptureState::Waiting(_) => "waiting",
                CaptureState::Ended => "ended",
            }),
            baseline: judge.map(|j| j.baseline.phase.word()),
            threat: judge.map(|j| j.threat.map_or("none", |s| s.word())),
            open_alerts: judge.map(|j| j.alerts.open),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_is_null() {
        let json = serde_json::to_value(StateRecord::of(&Status::default())).unwrap();
        assert_eq!(json["packets"], serde_json::Value::Null);
        assert_eq!(json["version"], env!("CARGO_PKG_VERSION"));
    }
}
