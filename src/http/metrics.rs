//! `/metrics`: the board in Prometheus's text format 0.0.4, or in OpenMetrics 1.0 for those who ask for it.
//!
//! Names follow <https://prometheus.io/docs/practices/naming/>. Labels come from fixed vocabularies only: no address,
//! port or name of a device is ever one. What is not known is left out.

use std::fmt::Error;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeCounterValue, EncodeGaugeValue, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use super::About;
use super::reply::Reply;
use super::view::{Moment, state_word};
use crate::alert::Severity;
use crate::control::{
    BaselinePhase, CaptureState, CapturesStatus, EvidenceStatus, HttpStatus, JudgeStatus, MeterStatus,
    MqttState, MqttStatus, SourceStatus, Status, StoreStatus,
};
use crate::flow::TcpTotals;
use crate::packet::UnknownType;
use crate::pipeline::Extents;
use crate::pipeline::mirror::Verdict;
use crate::sys::Resources;
use crate::time::Span;

const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The whole answer, in the format that `Accept` asks for.
pub(super) fn reply(status: &Status, moment: Moment<'_>, accept: &str) -> Reply {
    let Ok(text) = open_metrics(status, moment) else {
        return Reply::problem(500, "the metrics could not be written");
    };
    let reply = if accept.to_ascii_lowercase().contains("application/openmetrics-text") {
        Reply::new(200, OPEN_METRICS, text)
    } else {
        Reply::new(200, TEXT, to_text_format(&text))
    };
    reply.with("Cache-Control", "no-store").with("Vary", "Accept")
}

fn open_metrics(status: &Status, moment: Moment<'_>) -> Result<String, Error> {
    let mut registry = Registry::with_prefix("tapguard");
    let snapshot = Snapshot {
        status: status.clone(),
        about: moment.about.clone(),
        uptime: moment.uptime,
        resources: moment.resources,
    };
    registry.register_collector(Box::new(snapshot));
    let mut text = String::with_capacity(16 << 10);
    encode(&mut text, &registry)?;
    Ok(text)
}

/// From OpenMetrics to the older text format: there `# HELP` and `# TYPE` of a counter carry `_total` as its samples
/// do, and neither units nor an end mark are known.
fn to_text_format(open: &str) -> String {
    let mut text = String::with_capacity(open.len() + 1024);
    let mut lines = open.lines().peekable();
    while let Some(line) = lines.next() {
        if line == "# EOF" || line.starts_with("# UNIT ") {
            continue;
        }
        let next_is_counter = lines.peek().is_some_and(|next| is_counter_type(next));
        let total = if is_counter_type(line) || (line.starts_with("# HELP ") && next_is_counter) {
            "_total"
        } else {
            ""
        };
        match line.strip_prefix("# ").map(|l| l.splitn(3, ' ').collect::<Vec<_>>()).as_deref() {
            Some([word, name, rest]) => text.extend(["# ", word, " ", name, total, " ", rest, "\n"]),
            _ => text.extend([line, "\n"]),
        }
    }
    text
}

fn is_counter_type(line: &str) -> bool {
    line.starts_with("# TYPE ") && line.ends_with(" counter")
}

/// One moment, as a source of metrics.
#[derive(Debug)]
struct Snapshot {
    status: Status,
    about: About,
    uptime: Span,
    resources: Option<Resources>,
}

impl Collector for Snapshot {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let mut out = Out(encoder);
        let build = [("version", self.about.version), ("tap", self.about.tap.as_str())];
        out.family("build_info", "Version and name of this tap; always 1", MetricType::Gauge, [(build, 1)])?;
        out.gauge(
            "start_timestamp_seconds",
            "When the daemon started, on the wall clock",
            self.about.started.as_secs_f64(),
        )?;
        out.gauge("uptime_seconds", "Time since the server started", self.uptime.as_secs_f64())?;
        if let Some(meter) = &self.status.meter {
            capture(&mut out, meter)?;
            sources(&mut out, &meter.sources)?;
            traffic(&mut out, meter)?;
            tables(&mut out, meter)?;
        }
        if let Some(judge) = &self.status.judge {
            baseline(&mut out, judge)?;
            alerts(&mut out, judge)?;
        }
        if let Some(store) = &self.status.store {
            self::store(&mut out, store)?;
        }
        if let Some(files) = &self.status.files {
            evidence(&mut out, &files.evidence)?;
            captures(&mut out, &files.captures)?;
        }
        if let Some(mqtt) = &self.status.mqtt {
            self::mqtt(&mut out, mqtt)?;
        }
        if let Some(http) = &self.status.http {
            self::http(&mut out, http)?;
        }
        self.resources.map_or(Ok(()), |resources| process(&mut out, resources))
    }
}

fn capture(out: &mut Out<'_>, meter: &MeterStatus) -> Result<(), Error> {
    let (capture, counters) = (&meter.capture, &meter.capture.counters);
    let closed = matches!(capture.state, CaptureState::Waiting(_) | CaptureState::Stopped);
    out.gauge("capture_up", "1 while the source of frames is open", u64::from(!closed))?;
    let now = state_word(&capture.state);
    out.one_of(
        "capture_state",
        "State of the source of frames",
        "state",
        (now, ["running", "quiet", "waiting", "stopped", "ended"]),
    )?;
    out.counter("capture_frames", "Frames that the source gave", counters.frames)?;
    let drops = [("kernel", counters.kernel_drops), ("interface", counters.interface_drops)];
    out.labelled("capture_dropped_frames", "Frames lost before they were read, by where", "where", drops)?;
    out.counter(
        "capture_broken_records",
        "Records of a capture file that were cut short or nonsense",
        counters.broken_records,
    )?;
    out.counter("capture_losses", "Times that the source was lost and waited for", capture.losses)?;
    out.counter("capture_clock_steps", "Jumps of the capture's clock", meter.clock_steps)?;
    out.gauge("capture_timestamp_seconds", "Time on the capture's clock", meter.now.as_secs_f64())
}

/// Listeners for mirrored frames.
fn mirrors(out: &mut Out<'_>, sources: &[SourceStatus]) -> Result<(), Error> {
    let mirrors =
        || sources.iter().filter_map(|one| Some((one.capture.name.as_str(), one.capture.mirror.as_ref()?)));
    let lost = mirrors().flat_map(|(name, counters)| {
        let each = [("foreign", counters.foreign), ("refused", counters.refused)];
        each.map(|(why, count)| ([("source", name), ("why", why)], count))
    });
    let help = "Datagrams to a listener for mirrored frames that were not taken, by why";
    out.family("mirror_ignored_datagrams", help, MetricType::Counter, lost)?;
    let senders: Vec<_> = mirrors()
        .flat_map(|(name, counters)| {
            let others = ("others".to_owned(), counters.others);
            let each = counters.senders.iter().map(|(ip, frames)| (ip.to_string(), *frames));
            each.chain([others]).map(move |(sender, frames)| (name, sender, frames))
        })
        .collect();
    let frames = senders
        .iter()
        .map(|(name, sender, frames)| ([("source", *name), ("sender", sender.as_str())], *frames));
    let help = "Mirrored frames by who sent them; those of the 17th sender on together";
    out.family("mirror_frames", help, MetricType::Counter, frames)
}

/// Each source by itself, by its name.
fn sources(out: &mut Out<'_>, sources: &[SourceStatus]) -> Result<(), Error> {
    let one = |value: fn(&SourceStatus) -> u64| {
        sources.iter().map(move |source| ([("source", source.capture.name.as_str())], value(source)))
    };
    let is_open = |source: &SourceStatus| {
        u64::from(matches!(source.capture.state, CaptureState::Running | CaptureState::Quiet))
    };
    let (gauge, counter) = (MetricType::Gauge, MetricType::Counter);
    out.family("source_up", "1 while the source is open", gauge, one(is_open))?;
    let frames = one(|source| source.capture.counters.frames);
    out.family("source_frames", "Frames that the source gave", counter, frames)?;
    out.family("source_packets", "Packets of the source decoded", counter, one(|source| source.packets))?;
    out.family(
        "source_traffic_bytes",
        "Bytes on the wire at the source",
        counter,
        one(|source| source.bytes),
    )?;
    let losses = one(|source| source.capture.losses);
    out.family("source_losses", "Times that the source was lost and waited for", counter, losses)?;
    mirrors(out, sources)?;
    let drops = sources.iter().flat_map(|source| {
        let (name, counters) = (source.capture.name.as_str(), source.capture.counters);
        let each = [("kernel", counters.kernel_drops), ("interface", counters.interface_drops)];
        each.map(|(place, count)| ([("source", name), ("where", place)], count))
    });
    let help = "Frames lost before they were read, by source and where";
    out.family("source_dropped_frames", help, counter, drops)
}

fn traffic(out: &mut Out<'_>, meter: &MeterStatus) -> Result<(), Error> {
    out.counter("packets", "Packets decoded", meter.packets)?;
    out.counter("traffic_bytes", "Bytes on the wire", meter.bytes)?;
    let protocols = meter.protocols.iter().copied();
    out.labelled(
        "protocol_packets",
        "Packets by what they carry; one packet counts at each of its layers",
        "protocol",
        protocols,
    )?;
    let operations = meter.operations.iter().map(|&(protocol, effect, direction, count)| {
        ([("protocol", protocol), ("effect", effect), ("direction", direction)], count)
    });
    out.family(
        "plant_operation_packets",
        "Packets that tell an operation of a plant protocol, by what the operation does and who says it",
        MetricType::Counter,
        operations,
    )?;
    let faults =
        meter.faults.iter().map(|&(layer, reason, count)| ([("layer", layer), ("reason", reason)], count));
    out.family(
        "malformed_packets",
        "Packets with a fault, by layer and reason",
        MetricType::Counter,
        faults,
    )?;
    decoding(out, meter)?;
    out.labelled(
        "unread_messages",
        "Application messages left unread: a part of them did not come, or too many came in a second",
        "kind",
        meter.unread.iter().copied(),
    )?;
    out.counter(
        "copied_frames",
        "Frames that the mirror made of others, left out of all counts",
        meter.copies,
    )?;
    let known = meter.mirror.iter().filter(|r| !matches!(r.verdict, Verdict::Unknown(_)));
    let troubles = known.map(|r| ([("check", r.check.word())], u64::from(r.verdict.trouble().is_some())));
    out.family(
        "mirror_problem",
        "1 where a check of the mirror finds something, 0 where it is well; left out while it cannot tell",
        MetricType::Gauge,
        troubles,
    )
}

fn tables(out: &mut Out<'_>, meter: &MeterStatus) -> Result<(), Error> {
    out.gauge("flows_active", "Flows in the table", meter.flows_active)?;
    out.gauge("flows_capacity", "Flows that the table holds", meter.flows_capacity)?;
    out.counter("flows", "Flows seen", meter.flows_total)?;
    out.counter("flows_renewed", "Times that a flow lasted for the active timeout", meter.flows_renewed)?;
    out.counter("flowless_packets", "IP packets that belong to no flow", meter.flowless_packets)?;
    tcp(out, &meter.tcp.totals)?;
    out.counter(
        "meter_dropped_events",
        "Events that overflowed a queue inside the meter",
        meter.events_dropped,
    )?;
    out.labelled("flows_ended", "Flows that ended, by reason", "reason", meter.flows_ended.iter().copied())?;
    out.gauge(
        "devices_active",
        "Devices in the table",
        u64::try_from(meter.devices.len()).unwrap_or(u64::MAX),
    )?;
    out.gauge("devices_capacity", "Devices that the table holds", meter.devices_capacity)?;
    out.gauge("devices_unproven", "Stations seen in a single burst only", meter.devices_unproven)?;
    out.counter("devices_evicted", "Devices put out of the full table", meter.devices_evicted)?;
    out.counter(
        "streams_refused",
        "Channels and sockets that no statistics were kept of, for want of room",
        meter.streams_refused,
    )?;
    out.counter(
        "observations_dropped",
        "Observations lost because judging was behind",
        meter.observations_dropped,
    )
}

/// Types are summed up by the vocabulary of their number, which a sender does not choose.
fn decoding(out: &mut Out<'_>, meter: &MeterStatus) -> Result<(), Error> {
    let Extents { full, partial, none } = meter.extents;
    out.labelled(
        "decoded_packets",
        "Packets by how far they were decoded",
        "extent",
        [("full", full), ("partial", partial), ("none", none)],
    )?;
    let of = |word| meter.unknown.iter().filter(|(kind, ..)| *kind == word).map(|(.., n)| n).sum();
    let unknown = UnknownType::WORDS.into_iter().map(|word| (word, of(word)));
    out.labelled(
        "unknown_type_packets",
        "Packets at whose type reading ended, by what the type is of",
        "kind",
        unknown.chain([("other", meter.unknown_other)]),
    )?;
    let totals = || meter.tunnel_totals.iter().map(|(kind, total)| (kind.word(), total));
    out.labelled(
        "tunnel_packets",
        "Packets by their outermost encapsulation",
        "kind",
        totals().map(|(kind, total)| (kind, total.packets)),
    )?;
    out.labelled(
        "tunnel_bytes",
        "Bytes on the wire by outermost encapsulation",
        "kind",
        totals().map(|(kind, total)| (kind, total.bytes)),
    )?;
    out.counter("tunnels_evicted", "Tunnels put out of the full table", meter.tunnels_evicted)?;
    let fragments = meter.fragments;
    out.counter("fragments", "IP fragments", fragments.fragments)?;
    let outcomes = [
        ("reassembled", fragments.reassembled),
        ("incomplete", fragments.incomplete),
        ("evicted", fragments.evicted),
    ];
    out.labelled(
        "fragmented_datagrams",
        "Datagrams in fragments, by what became of them",
        "outcome",
        outcomes,
    )?;
    let wrong = [("overlap", fragments.overlaps), ("malformed", fragments.malformed)];
    out.labelled("bad_fragments", "IP fragments that contradict others or themselves", "reason", wrong)
}

fn baseline(out: &mut Out<'_>, judge: &JudgeStatus) -> Result<(), Error> {
    let baseline = &judge.baseline;
    let phases =
        [BaselinePhase::None, BaselinePhase::Learning, BaselinePhase::Armed].map(BaselinePhase::word);
    out.one_of("baseline_phase", "Phase of the baseline", "phase", (baseline.phase.word(), phases))?;
    out.gauge("baseline_learned_seconds", "Capture time learned", baseline.learned.as_secs_f64())?;
    out.gauge("baseline_target_seconds", "Capture time to learn in all", baseline.target.as_secs_f64())?;
    out.gauge("baseline_devices", "Devices that the baseline knows", baseline.devices)?;
    out.gauge("baseline_windows", "Device windows that the baseline holds", baseline.windows)?;
    out.counter(
        "baseline_untracked_devices",
        "Sightings that its full table could not remember",
        baseline.untracked,
    )?;
    if let Some(model) = &judge.model {
        out.gauge(
            "model_trained_timestamp_seconds",
            "When training ended, on the capture's clock",
            model.trained_at.as_secs_f64(),
        )?;
        out.gauge("model_trained_windows", "Windows that the model was fitted on", model.trained_on)?;
        out.gauge("model_held_out_windows", "Windows that its threshold comes from", model.held_out)?;
        out.gauge("model_threshold", "Threshold on the raw score", model.threshold)?;
        out.gauge("model_size_bytes", "Size of the model's snapshot", model.size)?;
    }
    out.counter("windows_judged", "Device windows judged", judge.windows)?;
    out.counter("windows_unusual", "Device windows whose score reached the threshold", judge.windows_unusual)
}

fn alerts(out: &mut Out<'_>, judge: &JudgeStatus) -> Result<(), Error> {
    let alerts = &judge.alerts;
    out.labelled("alerts_raised", "Alerts raised, by kind", "kind", alerts.raised.iter().copied())?;
    out.gauge("detection_on", "1 while findings raise alerts", u64::from(judge.detection))?;
    out.counter(
        "findings_suppressed",
        "Findings that raised nothing because detection was off",
        alerts.suppressed,
    )?;
    out.counter("alerts_updated", "Updates of alerts told", alerts.updated)?;
    out.counter("alerts_cleared", "Alerts cleared", alerts.cleared)?;
    out.gauge("alerts_open", "Alerts open now", alerts.open)?;
    out.gauge("alerts_unacknowledged", "Alerts open now and not acknowledged", alerts.unacknowledged)?;
    out.counter(
        "findings_expected",
        "Findings that raised nothing because the owner expects them",
        alerts.suppressed_expected,
    )?;
    let rules = u64::try_from(judge.expected.len()).unwrap_or(u64::MAX);
    out.gauge("expected_rules", "Rules of what the owner expects", rules)?;
    out.counter("expected_rules_dropped", "Such rules dropped for room", alerts.expected_dropped)?;
    let threat = judge.threat.map_or("none", Severity::word);
    let words = ["none", "low", "medium", "high", "critical"];
    out.one_of("threat", "Highest severity of what is open and not acknowledged", "severity", (threat, words))
}

fn store(out: &mut Out<'_>, store: &StoreStatus) -> Result<(), Error> {
    out.gauge("store_size_bytes", "Bytes on disk", store.bytes)?;
    out.gauge("store_quota_bytes", "Bytes that the store may use", store.quota)?;
    out.gauge("store_alerts", "Alert records held", store.alerts)?;
    out.counter("store_alerts_expired", "Alert records deleted for age or room", store.alerts_expired)?;
    out.gauge("store_writable", "1 while writes get through", u64::from(store.failing.is_none()))?;
    out.counter("store_write_errors", "Writes that failed", store.write_errors)?;
    out.counter(
        "store_refused_writes",
        "Devices and snapshots not taken, too many or too large",
        store.refused_writes,
    )?;
    out.counter("store_lost_alerts", "Alerts that could not be stored", store.alerts_lost)?;
    out.counter("store_unreadable_records", "Records that could not be read", store.unreadable)?;
    out.gauge(
        "store_replaced",
        "1 when the store did not open and was replaced in this run",
        u64::from(store.replaced.is_some()),
    )?;
    out.gauge("outbox_alerts", "Alerts not yet acknowledged by the broker", store.outbox)?;
    out.counter("outbox_dropped_alerts", "Alerts given up because the outbox was full", store.outbox_dropped)
}

fn evidence(out: &mut Out<'_>, evidence: &EvidenceStatus) -> Result<(), Error> {
    out.gauge("evidence_files", "Capture files of alerts held", evidence.files)?;
    out.gauge("evidence_size_bytes", "Their bytes", evidence.bytes)?;
    out.gauge("evidence_quota_bytes", "Bytes that they may have", evidence.quota)?;
    out.counter("evidence_written_files", "Capture files of alerts written", evidence.written)?;
    let skipped = evidence.skipped.iter().copied();
    out.labelled("evidence_skipped_alerts", "Alerts without a capture file, by reason", "reason", skipped)?;
    out.counter("evidence_deleted_files", "Capture files of alerts deleted for room", evidence.deleted)?;
    out.counter("evidence_write_errors", "Capture files that could not be written", evidence.write_errors)
}

fn captures(out: &mut Out<'_>, captures: &CapturesStatus) -> Result<(), Error> {
    out.gauge("captures_running", "Captures on demand under way", captures.running)?;
    out.gauge("captures_held", "Captures on demand held", captures.captures)?;
    out.gauge("captures_size_bytes", "Their bytes", captures.bytes)?;
    out.gauge("captures_quota_bytes", "Bytes that they may have", captures.quota)?;
    out.counter("captures_lost_packets", "Packets that could not be written in time", captures.lost)?;
    out.counter("captures_deleted", "Captures on demand deleted for room", captures.deleted)?;
    out.counter("captures_write_errors", "Captures that could not be written on", captures.write_errors)
}

fn mqtt(out: &mut Out<'_>, mqtt: &MqttStatus) -> Result<(), Error> {
    let connected = mqtt.state == MqttState::Connected;
    out.gauge("mqtt_connected", "1 while the broker is connected", u64::from(connected))?;
    out.counter("mqtt_connects", "Connections made to the broker", mqtt.connects)?;
    out.counter("mqtt_delivered_alerts", "Alerts that the broker acknowledged", mqtt.delivered)
}

fn http(out: &mut Out<'_>, http: &HttpStatus) -> Result<(), Error> {
    out.counter("http_requests", "Requests answered", http.requests)?;
    out.counter(
        "http_refused_connections",
        "Connections turned away: too many, too slow or no request",
        http.refused,
    )?;
    out.counter("http_unauthorised_requests", "Requests with a missing or wrong token", http.unauthorised)?;
    out.counter("http_restarts", "Workers or listeners replaced", http.restarts)?;
    out.gauge("http_streams", "Live streams open", http.streams)?;
    out.counter(
        "http_dropped_streams",
        "Live streams ended because their client took nothing or was gone",
        http.streams_dropped,
    )?;
    out.counter(
        "http_stream_lost_alerts",
        "Alerts that live streams were too slow for",
        http.stream_alerts_lost,
    )
}

fn process(out: &mut Out<'_>, resources: Resources) -> Result<(), Error> {
    out.gauge("process_resident_memory_bytes", "Memory in RAM", resources.resident)?;
    out.gauge(
        "process_resident_memory_peak_bytes",
        "Most memory in RAM since start",
        resources.resident_peak,
    )?;
    out.counter("process_cpu_seconds", "Processor time used", resources.cpu.as_secs_f64())?;
    out.gauge("process_threads", "Threads", resources.threads)?;
    out.gauge("process_open_descriptors", "Open file descriptors", resources.descriptors)
}

/// Writes metrics one by one. Names carry their unit; `_total` is added by the format.
struct Out<'a>(DescriptorEncoder<'a>);

impl Out<'_> {
    fn counter(&mut self, name: &str, help: &str, value: impl EncodeCounterValue) -> Result<(), Error> {
        let encoder = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        ConstCounter::new(value).encode(encoder)
    }

    fn gauge(&mut self, name: &str, help: &str, value: impl EncodeGaugeValue) -> Result<(), Error> {
        let encoder = self.0.encode_descriptor(name, help, None, MetricType::Gauge)?;
        ConstGauge::new(value).encode(encoder)
    }

    /// A counter for each value of one label.
    fn labelled<'v>(
        &mut self,
        name: &str,
        help: &str,
        label: &'static str,
        values: impl IntoIterator<Item = (&'v str, u64)>,
    ) -> Result<(), Error> {
        let values = values.into_iter().map(|(value, count)| ([(label, value)], count));
        self.family(name, help, MetricType::Counter, values)
    }

    /// A gauge for each word of a vocabulary: 1 for the one that holds.
    fn one_of<const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        label: &'static str,
        (holds, words): (&'static str, [&'static str; N]),
    ) -> Result<(), Error> {
        let values = words.map(|word| ([(label, word)], u64::from(word == holds)));
        self.family(name, help, MetricType::Gauge, values)
    }

    fn family<'v, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        kind: MetricType,
        samples: impl IntoIterator<Item = ([(&'static str, &'v str); N], u64)>,
    ) -> Result<(), Error> {
        let mut encoder = self.0.encode_descriptor(name, help, None, kind)?;
        for (labels, value) in samples {
            let sample = encoder.encode_family(&labels)?;
            match kind {
                MetricType::Counter => ConstCounter::new(value).encode(sample)?,
                _ => ConstGauge::new(value).encode(sample)?,
            }
        }
        Ok(())
    }
}

fn tcp(out: &mut Out<'_>, tcp: &TcpTotals) -> Result<(), Error> {
    out.counter("tcp_segments", "TCP segments of connections that are measured", tcp.segments)?;
    out.counter("tcp_retransmitted_segments", "TCP segments that were sent again", tcp.retransmitted)?;
    out.counter("tcp_out_of_order_segments", "TCP segments that came out of order", tcp.out_of_order)?;
    out.counter("tcp_acknowledgements", "TCP acknowledgements of something new", tcp.acknowledgements)?;
    out.counter("tcp_gaps", "Gaps of TCP payload that was acknowledged and not seen", tcp.gaps)?;
    out.counter("tcp_seen_bytes", "TCP payload seen, each byte once", tcp.bytes_seen)?;
    out.counter("tcp_missing_bytes", "TCP payload that was acknowledged and not seen", tcp.bytes_missing)?;
    out.counter("tcp_measured_flows", "TCP connections that were measured", tcp.flows_measured)?;
    out.counter("tcp_one_way_flows", "TCP connections seen in one direction only", tcp.flows_one_way)?;
    out.counter("tcp_unmeasured_flows", "TCP connections without room to measure", tcp.flows_unmeasured)
}

#[cfg(test)]
mod tests {
    use super::to_text_format;

    #[test]
    fn a_counter_carries_total_in_help_and_type() {
        let open = "# HELP a_b Some # TYPE text.\n# TYPE a_b counter\na_b_total{x=\"y z\"} 1\n\
                    # HELP c D.\n# TYPE c gauge\n# UNIT c seconds\nc 2\n# EOF\n";
        let text = "# HELP a_b_total Some # TYPE text.\n# TYPE a_b_total counter\na_b_total{x=\"y z\"} 1\n\
                    # HELP c D.\n# TYPE c gauge\nc 2\n";
        assert_eq!(to_text_format(open), text);
    }
}
