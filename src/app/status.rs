//! From the data plane's own readings to the status that the control plane shows.

use crate::baseline::Phase;
use crate::control::{
    AlertCounts, BaselinePhase, BaselineStatus, CaptureStatus, DeviceSummary, FlowSummary, JudgeStatus,
    MeterStatus, ModelStatus, TcpStatus,
};
use crate::feature::Rate;
use crate::flow::{Device, DeviceId, DeviceKey, EndReason, FlowRecord, TcpHealth};
use crate::pipeline::{Judge, Meter, SourceId};
use crate::time::{Span, Timestamp};

/// Flows shown at most.
const FLOWS: usize = 256;

/// What the capture thread itself counts.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Readings {
    /// Time of the latest frame.
    pub(super) last_packet: Option<Timestamp>,
    /// Observations that the judge had no room for.
    pub(super) observations_dropped: u64,
}

/// The meter as seen from outside. `strangers` are the devices that the baseline does not know; none while there is
/// no baseline.
pub(super) fn meter(
    (source, meter): (SourceId, &Meter),
    config: &crate::flow::Config,
    capture: CaptureStatus,
    readings: Readings,
    strangers: Option<&[DeviceKey]>,
) -> MeterStatus {
    let rate = meter.rates().latest();
    let flows = meter.flows();
    // They are in the order of their keys.
    let now = meter.now().unwrap_or_default();
    let known = |d: &Device| strangers.map(|s| s.binary_search(&d.key).is_err());
    let interface = capture.name.clone();
    let device = |(id, d): (DeviceId, &Device)| summary(d, known(d), meter.device_rate(id), &interface);
    MeterStatus {
        source,
        sources: Vec::new(),
        capture,
        now,
        last_packet: readings.last_packet,
        packets: meter.counts().packets(),
        bytes: meter.counts().bytes(),
        packets_per_second: rate.map(|r| r.packets),
        bits_per_second: rate.map(|r| r.bits),
        protocols: meter.counts().protocols().collect(),
        operations: meter
            .counts()
            .operations()
            .map(|(protocol, effect, direction, n)| (protocol.word(), effect.word(), direction.word(), n))
            .collect(),
        faults: meter.counts().faults().map(|(layer, why, n)| (layer.word(), why.word(), n)).collect(),
        extents: meter.counts().extents(),
        unknown: meter.counts().unknown().iter().map(|(t, n)| (t.word(), t.number(), *n)).collect(),
        unknown_other: meter.counts().unknown_other(),
        fragments: meter.fragments(),
        tunnels: meter.tunnels().latest().copied().collect(),
        tunnel_totals: meter.tunnels().totals().collect(),
        tunnels_evicted: meter.tunnels().evicted(),
        unread: meter.unread().counts().to_vec(),
        mirror: meter.mirror().reports(),
        copies: meter.mirror().duplicates().left_out(),
        flows_active: number(flows.active()),
        flows_capacity: number(config.flow_capacity),
        flows_total: flows.opened(),
        flows_ended: EndReason::ALL.into_iter().map(|r| (r.word(), flows.ended(r))).collect(),
        flows_renewed: flows.renewed(),
        flowless_packets: flows.strays(),
        tcp: TcpStatus { totals: *flows.tcp(), recent: rate.map(|r| r.tcp) },
        flows: flows.recent(FLOWS).iter().map(|record| flow(record, flows.health(record))).collect(),
        // A station of a single burst may be one of thousands that somebody invents; it is only counted.
        devices: meter.devices().iter().filter(|(_, d)| d.proven).map(device).collect(),
        devices_unproven: meter.devices().unproven(),
        devices_capacity: number(config.device_capacity),
        devices_evicted: meter.devices().evicted(),
        streams_refused: meter.streams_refused(),
        clock_steps: meter.steps(),
        observations_dropped: readings.observations_dropped,
        events_dropped: meter.events_dropped(),
    }
}

/// The judge as seen from outside; `training` is what the training of its model took.
pub(super) fn judge(judge: &Judge, training: Option<Span>) -> JudgeStatus {
    let baseline = judge.baseline();
    let tally = judge.tally();
    JudgeStatus {
        now: judge.now().unwrap_or_default(),
        baseline: BaselineStatus {
            phase: match baseline.phase() {
                Phase::None => BaselinePhase::None,
                Phase::Learning => BaselinePhase::Learning,
                Phase::Armed => BaselinePhase::Armed,
            },
            id: baseline.id().map(|id| id.to_string()),
            learned: baseline.learned(),
            target: baseline.target(),
            devices: number(baseline.devices()),
            windows: number(baseline.windows()),
            untracked: baseline.untracked(),
        },
        model: model(judge, training),
        no_model: judge.model().err().map(ToString::to_string),
        windows: judge.windows(),
        windows_unusual: judge.unusual(),
        detection: judge.detection(),
        performance: judge.performance().clone(),
        alerts: AlertCounts {
            raised: tally.raised().map(|(kind, n)| (kind.word(), n)).collect(),
            updated: tally.updated,
            cleared: tally.cleared,
            open: number(judge.open()),
            unacknowledged: number(judge.unacknowledged().count()),
            suppressed: judge.suppressed(),
            suppressed_expected: judge.expected().matched(),
            expected_dropped: judge.expected().dropped(),
        },
        expected: judge.expected().rules().to_vec(),
        threat: judge.threat(),
        strangers: baseline.strangers().collect(),
    }
}

fn model(judge: &Judge, training: Option<Span>) -> Option<ModelStatus> {
    let model = judge.model().ok()?;
    Some(ModelStatus {
        id: model.id(),
        version: model.version(),
        trained_at: model.trained_at(),
        trained_on: model.trained_on(),
        held_out: model.held_out(),
        threshold: model.threshold(),
        size: number(judge.model_size()),
        devices: number(model.devices()),
        training_time: training,
        alert_threshold: model.alert_threshold(),
        promised_rate: model.promised_rate(),
    })
}

fn summary(device: &Device, known: Option<bool>, now: Option<Rate>, interface: &str) -> DeviceSummary {
    let text = |t: &str| (!t.is_empty()).then(|| t.to_owned());
    DeviceSummary {
        mac: device.mac(),
        ips: device.ips().collect(),
        name: text(device.name.as_str()),
        vendor: text(device.vendor_class.as_str()),
        first_seen: device.first_seen,
        last_seen: device.last_seen,
        packets_sent: device.packets_sent,
        packets_received: device.packets_received,
        bytes_sent: device.bytes_sent,
        bytes_received: device.bytes_received,
        router: device.router,
        known,
        now,
        interface: Some(interface.to_owned()),
    }
}

fn flow(record: &FlowRecord, tcp: Option<TcpHealth>) -> FlowSummary {
    FlowSummary {
        protocol: match record.protocol {
            1 | 58 => "icmp".to_owned(),
            6 => "tcp".to_owned(),
            17 => "udp".to_owned(),
            other => other.to_string(),
        },
        protocol_number: record.protocol,
        client: record.client.ip,
        client_port: record.client.port,
        server: record.server.ip,
        server_port: record.server.port,
        state: record.state.word(),
        application: record.application.word(),
        tcp,
        first_seen: record.first,
        last_seen: record.last,
        packets_to_server: record.to_server.packets,
        packets_to_client: record.to_client.packets,
        bytes_to_server: record.to_server.bytes,
        bytes_to_client: record.to_client.bytes,
    }
}

fn number(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}
