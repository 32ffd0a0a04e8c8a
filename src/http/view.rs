//! What the API answers, as types of its own: fields are only ever added, whatever happens to the daemon's shapes.
//!
//! Times are RFC 3339, on the clock that their name says; a value that is not known is null; every number was
//! measured. Alerts have their one form in `control::wire`.

use std::collections::BTreeMap;

use serde::Serialize;

use super::About;
use super::view_decoding::DecodingView;
use super::view_drops::DropsView;
use super::view_files::FilesView;
use super::view_sources::{SourceView, waiting_for};
use super::view_tcp::TcpView;
use crate::control::{
    BaselinePhase, BaselineStatus, CaptureState, CheckRecord, HttpStatus, JudgeStatus, MeterStatus,
    ModelStatus, MqttState, MqttStatus, SourceKind, Status, StoreStatus,
};
use crate::sys::Resources;
use crate::time::{Span, Timestamp};

/// `/api/statistics`: everything of the overview.
#[derive(Debug, Serialize)]
pub(super) struct Statistics {
    tap: TapView,
    /// What `/healthz` complains about, one line each.
    complaints: Vec<String>,
    capture: Option<CaptureView>,
    traffic: Option<TrafficView>,
    drops: DropsView,
    /// Whether the mirror is as it should be.
    mirror: Option<Vec<CheckRecord>>,
    flows: Option<FlowCounts>,
    devices: Option<DeviceCounts>,
    baseline: Option<BaselineView>,
    model: Option<ModelView>,
    /// Why no model judges; null where one does.
    no_model: Option<String>,
    windows: Option<WindowsView>,
    alerts: Option<AlertsView>,
    threat: Option<&'static str>,
    store: Option<StoreView>,
    files: Option<FilesView>,
    mqtt: Option<MqttView>,
    http: Option<HttpView>,
    process: Option<ProcessView>,
}

/// The moment of an answer, which the board does not know.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment<'a> {
    pub(super) about: &'a About,
    /// Wall clock.
    pub(super) now: Timestamp,
    /// Since the start of the server, on a clock that does not step.
    pub(super) uptime: Span,
    pub(super) resources: Option<Resources>,
}

impl Statistics {
    pub(super) fn new(status: &Status, moment: Moment<'_>, complaints: Vec<String>) -> Self {
        let (meter, judge) = (status.meter.as_deref(), status.judge.as_deref());
        Self {
            tap: TapView::new(moment),
            complaints,
            capture: meter.map(CaptureView::new),
            traffic: meter.map(TrafficView::new),
            drops: DropsView::new(status),
            mirror: meter.map(mirror),
            flows: meter.map(FlowCounts::new),
            devices: meter.map(DeviceCounts::new),
            baseline: judge.map(|j| BaselineView::new(&j.baseline)),
            model: judge.and_then(|j| j.model.as_ref()).map(ModelView::new),
            no_model: judge.and_then(|j| j.no_model.clone()),
            windows: judge.map(WindowsView::new),
            alerts: judge.map(AlertsView::new),
            threat: judge.and_then(|j| j.threat).map(|severity| severity.word()),
            store: status.store.as_deref().map(StoreView::new),
            files: status.files.as_deref().map(FilesView::new),
            mqtt: status.mqtt.as_deref().map(MqttView::new),
            http: status.http.as_deref().map(HttpView::new),
            process: moment.resources.as_ref().map(ProcessView::new),
        }
    }
}

#[derive(Debug, Serialize)]
struct TapView {
    name: String,
    version: &'static str,
    started: String,
    /// Wall clock.
    time: String,
    uptime_seconds: u64,
}

impl TapView {
    fn new(moment: Moment<'_>) -> Self {
        Self {
            name: moment.about.tap.clone(),
            version: moment.about.version,
            started: moment.about.started.to_string(),
            time: moment.now.to_string(),
            uptime_seconds: moment.uptime.as_secs(),
        }
    }
}

/// `/api/capture/status`.
#[derive(Debug, Serialize)]
pub(super) struct CaptureAnswer {
    capture: Option<CaptureView>,
    traffic: Option<TrafficView>,
    drops: DropsView,
    mirror: Option<Vec<CheckRecord>>,
}

impl CaptureAnswer {
    pub(super) fn new(status: &Status) -> Self {
        let meter = status.meter.as_deref();
        Self {
            capture: meter.map(CaptureView::new),
            traffic: meter.map(TrafficView::new),
            drops: DropsView::new(status),
            mirror: meter.map(mirror),
        }
    }
}

fn mirror(meter: &MeterStatus) -> Vec<CheckRecord> {
    meter.mirror.iter().map(CheckRecord::from).collect()
}

#[derive(Debug, Serialize)]
struct CaptureView {
    kind: &'static str,
    name: String,
    why: String,
    state: &'static str,
    /// Why it waits; null in any other state.
    waiting_for: Option<String>,
    /// Time on the capture's clock.
    time: String,
    /// Latest packet, on the capture's clock; null before the first.
    last_packet: Option<String>,
    /// Capture time since then.
    last_packet_age_seconds: Option<f64>,
    frames: u64,
    losses: u64,
    broken_records: u64,
    clock_steps: u64,
    /// Each source by itself.
    sources: Vec<SourceView>,
}

impl CaptureView {
    fn new(meter: &MeterStatus) -> Self {
        let capture = &meter.capture;
        let last = meter.last_packet;
        Self {
            kind: source_word(capture.kind),
            name: capture.name.clone(),
            why: capture.why.clone(),
            state: state_word(&capture.state),
            waiting_for: waiting_for(&capture.state),
            time: meter.now.to_string(),
            last_packet: last.map(|time| time.to_string()),
            last_packet_age_seconds: last.map(|time| meter.now.since(time).as_secs_f64()),
            frames: capture.counters.frames,
            losses: capture.losses,
            broken_records: capture.counters.broken_records,
            clock_steps: meter.clock_steps,
            sources: meter.sources.iter().map(SourceView::from).collect(),
        }
    }
}

/// The word for a kind of source in JSON.
pub(super) const fn source_word(kind: SourceKind) -> &'static str {
    match kind {
        SourceKind::Interface => "interface",
        SourceKind::Mirror => "mirror",
        SourceKind::File => "file",
        SourceKind::Demo => "demo",
    }
}

/// The word for a state of capture in JSON and metrics.
pub(super) const fn state_word(state: &CaptureState) -> &'static str {
    match state {
        CaptureState::Running => "running",
        CaptureState::Quiet => "quiet",
        CaptureState::Waiting(_) => "waiting",
        CaptureState::Stopped => "stopped",
        CaptureState::Ended => "ended",
    }
}

#[derive(Debug, Serialize)]
struct TrafficView {
    packets: u64,
    copies: u64,
    bytes: u64,
    packets_per_second: Option<f64>,
    bits_per_second: Option<f64>,
    protocols: BTreeMap<&'static str, u64>,
    operations: Vec<OperationView>,
    faults: Vec<FaultView>,
    decoding: DecodingView,
    unread: BTreeMap<&'static str, u64>,
}

#[derive(Debug, Serialize)]
struct OperationView {
    protocol: &'static str,
    effect: &'static str,
    direction: &'static str,
    packets: u64,
}

#[derive(Debug, Serialize)]
struct FaultView {
    layer: &'static str,
    reason: &'static str,
    packets: u64,
}

impl TrafficView {
    fn new(meter: &MeterStatus) -> Self {
        let fault = |&(layer, reason, packets)| FaultView { layer, reason, packets };
        let operation =
            |&(protocol, effect, direction, packets)| OperationView { protocol, effect, direction, packets };
        Self {
            packets: meter.packets,
            copies: meter.copies,
            bytes: meter.bytes,
            packets_per_second: meter.packets_per_second,
            bits_per_second: meter.bits_per_second,
            protocols: meter.protocols.iter().copied().collect(),
            operations: meter.operations.iter().map(operation).collect(),
            faults: meter.faults.iter().map(fault).collect(),
            decoding: DecodingView::new(meter),
            unread: meter.unread.iter().copied().collect(),
        }
    }
}

#[derive(Debug, Serialize)]
pub(super) struct FlowCounts {
    active: u64,
    capacity: u64,
    total: u64,
    renewed: u64,
    flowless_packets: u64,
    tcp: TcpView,
    ended: BTreeMap<&'static str, u64>,
}

impl FlowCounts {
    pub(super) fn new(meter: &MeterStatus) -> Self {
        Self {
            active: meter.flows_active,
            capacity: meter.flows_capacity,
            total: meter.flows_total,
            renewed: meter.flows_renewed,
            flowless_packets: meter.flowless_packets,
            tcp: TcpView::new(&meter.tcp),
            ended: meter.flows_ended.iter().copied().collect(),
        }
    }
}

#[derive(Debug, Serialize)]
pub(super) struct DeviceCounts {
    active: usize,
    capacity: u64,
    evicted: u64,
    /// Stations that were seen in a single burst only.
    unproven: u64,
    /// Devices that the baseline does not know; null while there is no baseline.
    new: Option<usize>,
}

impl DeviceCounts {
    pub(super) fn new(meter: &MeterStatus) -> Self {
        let judged = meter.devices.iter().any(|device| device.known.is_some());
        let new = meter.devices.iter().filter(|device| device.known == Some(false)).count();
        Self {
            active: meter.devices.len(),
            capacity: meter.devices_capacity,
            evicted: meter.devices_evicted,
            unproven: meter.devices_unproven,
            new: judged.then_some(new),
        }
    }
}

/// `/api/ml/status`.
#[derive(Debug, Serialize)]
pub(super) struct MlAnswer {
    baseline: Option<BaselineView>,
    model: Option<ModelView>,
    /// Why no model judges; null where one does.
    no_model: Option<String>,
    windows: Option<WindowsView>,
}

impl MlAnswer {
    pub(super) fn new(judge: Option<&JudgeStatus>) -> Self {
        Self {
            baseline: judge.map(|j| BaselineView::new(&j.baseline)),
            model: judge.and_then(|j| j.model.as_ref()).map(ModelView::new),
            no_model: judge.and_then(|j| j.no_model.clone()),
            windows: judge.map(WindowsView::new),
        }
    }
}

#[derive(Debug, Serialize)]
struct BaselineView {
    phase: &'static str,
    id: Option<String>,
    learned_seconds: f64,
    target_seconds: f64,
    /// Capture time still to learn; null when it is not learning.
    remaining_seconds: Option<f64>,
    devices: u64,
    windows: u64,
}

impl BaselineView {
    fn new(baseline: &BaselineStatus) -> Self {
        let (learned, target) = (baseline.learned.as_secs_f64(), baseline.target.as_secs_f64());
        Self {
            phase: baseline.phase.word(),
            id: baseline.id.clone(),
            learned_seconds: learned,
            target_seconds: target,
            remaining_seconds: (baseline.phase == BaselinePhase::Learning)
                .then_some((target - learned).max(0.0)),
            devices: baseline.devices,
            windows: baseline.windows,
        }
    }
}

#[derive(Debug, Serialize)]
struct ModelView {
    id: String,
    trained_at: String,
    trained_on_windows: u64,
    held_out_windows: u64,
    threshold: f64,
    size_bytes: u64,
}

impl ModelView {
    fn new(model: &ModelStatus) -> Self {
        Self {
            id: model.id.clone(),
            trained_at: model.trained_at.to_string(),
            trained_on_windows: model.trained_on,
            held_out_windows: model.held_out,
            threshold: model.threshold,
            size_bytes: model.size,
        }
    }
}

#[derive(Debug, Serialize)]
struct WindowsView {
    judged: u64,
    unusual: u64,
}

impl WindowsView {
    fn new(judge: &JudgeStatus) -> Self {
        Self { judged: judge.windows, unusual: judge.windows_unusual }
    }
}

#[derive(Debug, Serialize)]
struct AlertsView {
    detection: bool,
    suppressed: u64,
    open: u64,
    /// Open and not acknowledged.
    unacknowledged: u64,
    /// Findings that the owner expects.
    suppressed_expected: u64,
    /// Rules of what he expects.
    expected_rules: usize,
    /// Such rules dropped for room.
    expected_rules_dropped: u64,
    raised: BTreeMap<&'static str, u64>,
    updated: u64,
    cleared: u64,
}

impl AlertsView {
    fn new(judge: &JudgeStatus) -> Self {
        Self {
            detection: judge.detection,
            suppressed: judge.alerts.suppressed,
            open: judge.alerts.open,
            unacknowledged: judge.alerts.unacknowledged,
            suppressed_expected: judge.alerts.suppressed_expected,
            expected_rules: judge.expected.len(),
            expected_rules_dropped: judge.alerts.expected_dropped,
            raised: judge.alerts.raised.iter().copied().collect(),
            updated: judge.alerts.updated,
            cleared: judge.alerts.cleared,
        }
    }
}

#[derive(Debug, Serialize)]
struct StoreView {
    path: String,
    size_bytes: u64,
    quota_bytes: u64,
    alerts: u64,
    alerts_expired: u64,
    outbox: u64,
    outbox_dropped: u64,
    write_errors: u64,
    /// Why writes do not get through now; null while they do.
    failing: Option<String>,
    /// The last failure, also after writes got through again.
    last_error: Option<String>,
    replaced: Option<String>,
}

impl StoreView {
    fn new(store: &StoreStatus) -> Self {
        Self {
            path: store.path.clone(),
            size_bytes: store.bytes,
            quota_bytes: store.quota,
            alerts: store.alerts,
            alerts_expired: store.alerts_expired,
            outbox: store.outbox,
            outbox_dropped: store.outbox_dropped,
            write_errors: store.write_errors,
            failing: store.failing.clone(),
            last_error: store.last_error.clone(),
            replaced: store.replaced.clone(),
        }
    }
}

#[derive(Debug, Serialize)]
struct MqttView {
    broker: String,
    connected: bool,
    /// Why it is not connected.
    error: Option<String>,
    connects: u64,
    delivered: u64,
}

impl MqttView {
    fn new(mqtt: &MqttStatus) -> Self {
        let error = match &mqtt.state {
            MqttState::Connected => None,
            MqttState::Waiting(error) => Some(error.clone()),
        };
        Self {
            broker: mqtt.broker.clone(),
            connected: error.is_none(),
            error,
            connects: mqtt.connects,
            delivered: mqtt.delivered,
        }
    }
}

#[derive(Debug, Serialize)]
struct HttpView {
    address: String,
    requests: u64,
    refused: u64,
    unauthorised: u64,
    restarts: u64,
    /// Open now.
    streams: u64,
    /// Whose client did not take what was sent.
    streams_dropped: u64,
}

impl HttpView {
    fn new(http: &HttpStatus) -> Self {
        Self {
            address: http.address.clone(),
            requests: http.requests,
            refused: http.refused,
            unauthorised: http.unauthorised,
            restarts: http.restarts,
            streams: http.streams,
            streams_dropped: http.streams_dropped,
        }
    }
}

#[derive(Debug, Serialize)]
struct ProcessView {
    resident_bytes: u64,
    resident_peak_bytes: u64,
    cpu_seconds: f64,
    threads: u64,
    descriptors: u64,
}

impl ProcessView {
    fn new(resources: &Resources) -> Self {
        Self {
            resident_bytes: resources.resident,
            resident_peak_bytes: resources.resident_peak,
            cpu_seconds: resources.cpu.as_secs_f64(),
            threads: resources.threads,
            descriptors: resources.descriptors,
        }
    }
}

/// The answer to a baseline that was started.
#[derive(Debug, Serialize)]
pub(super) struct BaselineStarted {
    /// Always `learning`.
    pub(super) phase: &'static str,
    /// What was asked for; null for the configured time.
    pub(super) duration_seconds: Option<u64>,
}
