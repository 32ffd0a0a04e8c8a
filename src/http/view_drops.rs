//! What the API says was lost, and where. The rules are those of `view`.

use serde::Serialize;

use crate::control::{MeterStatus, Status};

/// Everything that was lost since start, each at its place; null where its owner has not published.
#[derive(Debug, Serialize)]
pub(super) struct DropsView {
    kernel: Option<u64>,
    interface: Option<u64>,
    observations: Option<u64>,
    /// Inside the meter; 0 unless there is a fault.
    events: Option<u64>,
    flows_evicted: Option<u64>,
    devices_evicted: Option<u64>,
    /// Channels and sockets that no statistics were kept of.
    streams_refused: Option<u64>,
    outbox: Option<u64>,
    /// Alerts that could not be stored: nobody has them.
    alerts_lost: Option<u64>,
    store_writes: Option<u64>,
    /// Devices and snapshots that the store did not take.
    store_refused: Option<u64>,
    store_unreadable: Option<u64>,
    devices_untracked: Option<u64>,
    connections_refused: Option<u64>,
    /// Alerts that live streams were too slow for; the archive has them.
    stream_alerts: Option<u64>,
}

impl DropsView {
    pub(super) fn new(status: &Status) -> Self {
        let (meter, store) = (status.meter.as_deref(), status.store.as_deref());
        Self {
            kernel: meter.map(|m| m.capture.counters.kernel_drops),
            interface: meter.map(|m| m.capture.counters.interface_drops),
            observations: meter.map(|m| m.observations_dropped),
            events: meter.map(|m| m.events_dropped),
            flows_evicted: meter.map(flows_evicted),
            devices_evicted: meter.map(|m| m.devices_evicted),
            streams_refused: meter.map(|m| m.streams_refused),
            outbox: store.map(|s| s.outbox_dropped),
            alerts_lost: store.map(|s| s.alerts_lost),
            store_writes: store.map(|s| s.write_errors),
            store_refused: store.map(|s| s.refused_writes),
            store_unreadable: store.map(|s| s.unreadable),
            devices_untracked: status.judge.as_deref().map(|j| j.baseline.untracked),
            connections_refused: status.http.as_deref().map(|h| h.refused),
            stream_alerts: status.http.as_deref().map(|h| h.stream_alerts_lost),
        }
    }
}

fn flows_evicted(meter: &MeterStatus) -> u64 {
    meter.flows_ended.iter().find(|(reason, _)| *reason == "evicted").map_or(0, |&(_, count)| count)
}
