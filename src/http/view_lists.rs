//! The lists that the API answers: alerts, flows, devices. The rules are those of `view`.

use std::cmp::Reverse;
use std::net::IpAddr;

use serde::Serialize;

use super::view::{DeviceCounts, FlowCounts};
use super::view_tcp::TcpHealthView;
use crate::control::wire::AlertRecord;
use crate::control::{DeviceSummary, ExpectedRecord, FlowSummary, JudgeStatus, MeterStatus};
use crate::flow::{FiveTuple, community_id};

/// `/api/alerts`.
#[derive(Debug, Serialize)]
pub(super) struct AlertsAnswer {
    pub(super) alerts: Vec<AlertRecord>,
    /// Whether the search came to its end or to the limit; false where it gave up after many records, and the next
    /// page goes on from there.
    pub(super) complete: bool,
    /// The `before` of the next page; null when this may be the last.
    pub(super) next_before: Option<String>,
}

/// The answer to all open alerts being acknowledged.
#[derive(Debug, Serialize)]
pub(super) struct AcknowledgedAll {
    /// Those that had not been.
    pub(super) acknowledged: u64,
}

/// `/api/alerts/expected`.
#[derive(Debug, Serialize)]
pub(super) struct ExpectedAnswer {
    /// Oldest first; null before the judge has published.
    expected: Option<Vec<ExpectedRecord>>,
}

impl ExpectedAnswer {
    pub(super) fn new(judge: Option<&JudgeStatus>) -> Self {
        Self { expected: judge.map(|j| j.expected.iter().map(ExpectedRecord::from).collect()) }
    }
}

/// `/api/flows`.
#[derive(Debug, Serialize)]
pub(super) struct FlowsAnswer {
    /// Time on the capture's clock.
    time: Option<String>,
    counts: Option<FlowCounts>,
    /// Active last, newest first.
    flows: Vec<FlowView>,
}

impl FlowsAnswer {
    /// The most that one answer carries, which is what the meter publishes.
    pub(super) const MAX_LIMIT: usize = 256;

    pub(super) fn new(meter: Option<&MeterStatus>, limit: usize) -> Self {
        let flows = meter.map_or(&[][..], |m| m.flows.as_slice());
        Self {
            time: meter.map(|m| m.now.to_string()),
            counts: meter.map(FlowCounts::new),
            flows: flows.iter().take(limit).map(FlowView::new).collect(),
        }
    }
}

#[derive(Debug, Serialize)]
struct FlowView {
    protocol: String,
    application: &'static str,
    community_id: Option<String>,
    client: IpAddr,
    client_port: u16,
    server: IpAddr,
    server_port: u16,
    state: &'static str,
    first_seen: String,
    last_seen: String,
    packets_to_server: u64,
    packets_to_client: u64,
    bytes_to_server: u64,
    bytes_to_client: u64,
    tcp: Option<TcpHealthView>,
}

impl FlowView {
    fn new(flow: &FlowSummary) -> Self {
        let tuple = FiveTuple {
            source: flow.client,
            source_port: flow.client_port,
            destination: flow.server,
            destination_port: flow.server_port,
            protocol: flow.protocol_number,
        };
        Self {
            protocol: flow.protocol.clone(),
            application: flow.application,
            community_id: community_id(&tuple),
            client: flow.client,
            client_port: flow.client_port,
            server: flow.server,
            server_port: flow.server_port,
            state: flow.state,
            first_seen: flow.first_seen.to_string(),
            last_seen: flow.last_seen.to_string(),
            packets_to_server: flow.packets_to_server,
            packets_to_client: flow.packets_to_client,
            bytes_to_server: flow.bytes_to_server,
            bytes_to_client: flow.bytes_to_client,
            tcp: flow.tcp.as_ref().map(TcpHealthView::new),
        }
    }
}

/// `/api/devices`.
#[derive(Debug, Serialize)]
pub(super) struct DevicesAnswer {
    /// Time on the capture's clock.
    time: Option<String>,
    counts: Option<DeviceCounts>,
    /// Seen last, newest first.
    devices: Vec<DeviceView>,
}

impl DevicesAnswer {
    /// The most that one answer carries.
    pub(super) const MAX_LIMIT: usize = 2000;

    pub(super) fn new(meter: Option<&MeterStatus>, limit: usize) -> Self {
        let mut devices: Vec<_> = meter.map_or(&[][..], |m| m.devices.as_slice()).iter().collect();
        devices.sort_by_key(|device| Reverse(device.last_seen));
        Self {
            time: meter.map(|m| m.now.to_string()),
            counts: meter.map(DeviceCounts::new),
            devices: devices.into_iter().take(limit).map(DeviceView::new).collect(),
        }
    }
}

#[derive(Debug, Serialize)]
struct DeviceView {
    mac: Option<String>,
    ips: Vec<IpAddr>,
    name: Option<String>,
    vendor: Option<String>,
    first_seen: String,
    last_seen: String,
    packets_sent: u64,
    packets_received: u64,
    bytes_sent: u64,
    bytes_received: u64,
    router: bool,
    known: Option<bool>,
    now: Option<RateView>,
    /// The source on which it sent most; null where it was not seen since an older version kept it.
    interface: Option<String>,
}

#[derive(Debug, Serialize)]
struct RateView {
    packets_per_second: f64,
    bytes_per_second: f64,
}

impl DeviceView {
    fn new(device: &DeviceSummary) -> Self {
        Self {
            mac: device.mac.map(|mac| mac.to_string()),
            ips: device.ips.clone(),
            name: device.name.clone(),
            vendor: device.vendor.clone(),
            first_seen: device.first_seen.to_string(),
            last_seen: device.last_seen.to_string(),
            packets_sent: device.packets_sent,
            packets_received: device.packets_received,
            bytes_sent: device.bytes_sent,
            bytes_received: device.bytes_received,
            router: device.router,
            known: device.known,
            now: device.now.map(|rate| RateView {
                packets_per_second: thousandths(rate.packets),
                bytes_per_second: thousandths(rate.bytes),
            }),
            interface: device.interface.clone(),
        }
    }
}

/// Without digits that nobody reads.
fn thousandths(value: f64) -> f64 {
    (value * 1_000.0).round() / 1_000.0
}
