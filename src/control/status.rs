//! The daemon as seen from outside at one moment. Each part is published by its owner and never changed afterwards.

use std::net::IpAddr;
use std::sync::Arc;

use super::FilesStatus;
use crate::alert::Rule;
use crate::capture::{MirrorCounters, SourceCounters};
use crate::feature::Rate;
use crate::flow::{DeviceKey, TcpHealth, TcpTotals, TunnelRecord, TunnelTotal};
use crate::packet::{Encapsulation, FragmentCounts, Mac};
use crate::pipeline::mirror::Report;
use crate::pipeline::{Extents, Performance, SourceId};
use crate::time::{Span, Timestamp};

/// Everything at one moment. Parts are `None` until their owner has published once.
#[derive(Clone, Debug, Default)]
pub struct Status {
    /// Published by the capture threads, and put together.
    pub meter: Option<Arc<MeterStatus>>,
    /// Published by the judging thread.
    pub judge: Option<Arc<JudgeStatus>>,
    /// Published by the store's writer.
    pub store: Option<Arc<StoreStatus>>,
    /// Published by the MQTT client; stays `None` where MQTT is not configured.
    pub mqtt: Option<Arc<MqttStatus>>,
    /// Published by the HTTP listener.
    pub http: Option<Arc<HttpStatus>>,
    /// Capture files that are written.
    pub files: Option<Arc<FilesStatus>>,
}

/// Capture and metering: of one source, or of all together (see [`Meters`](super::Meters)).
#[derive(Clone, Debug)]
pub struct MeterStatus {
    /// Which source it is of; of all together, the first.
    pub source: SourceId,
    /// Each source by itself, in order of identity. Filled in when it is published.
    pub sources: Vec<SourceStatus>,
    /// The source and how it does.
    pub capture: CaptureStatus,
    /// Time of the latest packet or tick, on the capture's clock.
    pub now: Timestamp,
    /// Time of the latest packet; none before the first.
    pub last_packet: Option<Timestamp>,
    /// Packets decoded since start.
    pub packets: u64,
    /// Bytes on the wire since start.
    pub bytes: u64,
    /// Mean packets per second over the last complete ten seconds of the capture's clock; none before that.
    pub packets_per_second: Option<f64>,
    /// Mean bits per second over the same time.
    pub bits_per_second: Option<f64>,
    /// Packets by what they carry: name (arp, ipv4, ipv6, other; tcp, udp, icmp, fragment, other_ip; dns, dhcp).
    pub protocols: Vec<(&'static str, u64)>,
    /// Packets that tell an operation of a plant, by protocol, effect and direction, zero ones left out.
    pub operations: Vec<(&'static str, &'static str, &'static str, u64)>,
    /// Faults by layer and reason, zero ones left out.
    pub faults: Vec<(&'static str, &'static str, u64)>,
    /// Packets by how far they were decoded.
    pub extents: Extents,
    /// Packets by the type at which reading ended: vocabulary, number, packets; at most 64.
    pub unknown: Vec<(&'static str, u16, u64)>,
    /// Packets of further such types.
    pub unknown_other: u64,
    /// What became of IP fragments.
    pub fragments: FragmentCounts,
    /// The tunnels with the latest packets, newest first; at most 64.
    pub tunnels: Vec<TunnelRecord>,
    /// Packets and bytes by kind of tunnel, those of which there were any.
    pub tunnel_totals: Vec<(Encapsulation, TunnelTotal)>,
    /// Tunnels put out of the full table.
    pub tunnels_evicted: u64,
    /// Application messages left unread by kind (tls_hellos, quic_hellos: a part did not come; quic_packets,
    /// fingerprints: too many came in a second).
    pub unread: Vec<(&'static str, u64)>,
    /// Flows in the table now.
    pub flows_active: u64,
    /// Whether the mirror is as it should be, in the order of `Check::ALL`.
    pub mirror: Vec<Report>,
    /// Frames since start that the mirror made of others, which are not among the packets.
    pub copies: u64,
    /// Capacity of the flow table.
    pub flows_capacity: u64,
    /// Flows seen since start.
    pub flows_total: u64,
    /// Flows by the reason why they ended (closed, reset, idle, evicted, ...).
    pub flows_ended: Vec<(&'static str, u64)>,
    /// Times that a flow lasted for the active timeout, after which it is counted anew.
    pub flows_renewed: u64,
    /// IP packets that belong to no flow: fragments after the first, stray resets, unreadable transport headers.
    pub flowless_packets: u64,
    /// How TCP does.
    pub tcp: TcpStatus,
    /// The flows that were active last, newest first; at most 256.
    pub flows: Vec<FlowSummary>,
    /// Devices in the table now that were seen more than once, in the order in which they were first seen.
    pub devices: Vec<DeviceSummary>,
    /// Capacity of the device table.
    pub devices_capacity: u64,
    /// Stations that were seen in a single burst only, those put out of the table included.
    pub devices_unproven: u64,
    /// Devices put out of the full table.
    pub devices_evicted: u64,
    /// Channels and sockets since start that no statistics were kept of, because there were too many busier ones.
    pub streams_refused: u64,
    /// Times the capture's clock jumped, after which everything timed began anew.
    pub clock_steps: u64,
    /// Observations dropped because the judging thread was behind: what they would have told is lost.
    pub observations_dropped: u64,
    /// Flow events, windows and findings that overflowed a queue inside the meter; 0 unless there is a fault.
    pub events_dropped: u64,
}

/// How TCP does.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct TcpStatus {
    /// Since start.
    pub totals: TcpTotals,
    /// Over the last complete ten seconds of the capture's clock; none before that.
    pub recent: Option<TcpTotals>,
}

/// What is told of each source by itself.
#[derive(Clone, Debug)]
pub struct SourceStatus {
    /// Which.
    pub source: SourceId,
    /// How often it has published.
    pub published: u64,
    /// The source and how it does.
    pub capture: CaptureStatus,
    /// Time of its latest packet or tick.
    pub now: Timestamp,
    /// Time of its latest packet; none before the first.
    pub last_packet: Option<Timestamp>,
    /// Packets decoded since start.
    pub packets: u64,
    /// Bytes on the wire since start.
    pub bytes: u64,
    /// Mean packets per second, as for all.
    pub packets_per_second: Option<f64>,
    /// Mean bits per second, as for all.
    pub bits_per_second: Option<f64>,
    /// Jumps of its clock.
    pub clock_steps: u64,
}

/// A source of frames as the page names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaptureStatus {
    /// What kind of source it is.
    pub kind: SourceKind,
    /// Interface name, file names, or "generated network".
    pub name: String,
    /// Why this source and no other ("chosen: the only interface with traffic").
    pub why: String,
    /// Whether it delivers.
    pub state: CaptureState,
    /// Totals since start, over all times it was opened.
    pub counters: SourceCounters,
    /// Times it was lost and waited for.
    pub losses: u64,
    /// What a listener for mirrored frames counts; none of any other source.
    pub mirror: Option<MirrorCounters>,
}

/// A kind of source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceKind {
    /// A network interface.
    Interface,
    /// An address to which switches send what they mirror.
    Mirror,
    /// Capture files.
    File,
    /// The generated network.
    Demo,
}

/// Whether a source delivers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CaptureState {
    /// Open, and frames come.
    Running,
    /// Open, but the last frame is older than ten seconds.
    Quiet,
    /// Lost; it is opened again as soon as it is back. With the reason.
    Waiting(String),
    /// Closed on request; nothing is captured until it is started, or the daemon is started anew.
    Stopped,
    /// Read to its end.
    Ended,
}

/// A device for lists.
#[derive(Clone, Debug, PartialEq)]
pub struct DeviceSummary {
    /// Hardware address; none for a host behind a router.
    pub mac: Option<Mac>,
    /// Its addresses, oldest first.
    pub ips: Vec<IpAddr>,
    /// The name it gave itself.
    pub name: Option<String>,
    /// The vendor class it gave itself.
    pub vendor: Option<String>,
    /// First packet.
    pub first_seen: Timestamp,
    /// Latest packet.
    pub last_seen: Timestamp,
    /// Packets it sent.
    pub packets_sent: u64,
    /// Packets sent to it.
    pub packets_received: u64,
    /// Bytes it sent.
    pub bytes_sent: u64,
    /// Bytes sent to it.
    pub bytes_received: u64,
    /// Whether it forwards for others: a router or gateway.
    pub router: bool,
    /// Whether the baseline knows it; none while there is no baseline.
    pub known: Option<bool>,
    /// What it does now; none of one that was not seen in this run.
    pub now: Option<Rate>,
    /// The source on which it sent most; none where an older version kept it.
    pub interface: Option<String>,
}

impl DeviceSummary {
    /// Its identity; none where it has no address at all.
    #[must_use]
    pub fn key(&self) -> Option<DeviceKey> {
        self.mac.map(DeviceKey::Mac).or_else(|| self.ips.first().copied().map(DeviceKey::Ip))
    }
}

/// A flow for lists. "Client" is the side that opened it.
#[derive(Clone, Debug, PartialEq)]
pub struct FlowSummary {
    /// `tcp`, `udp`, `icmp`, or the protocol's number.
    pub protocol: String,
    /// The protocol's number in IP (IANA); that of ICMPv6 is 58.
    pub protocol_number: u8,
    /// Client's address.
    pub client: IpAddr,
    /// Client's port; 0 where the protocol has none.
    pub client_port: u16,
    /// Server's address.
    pub server: IpAddr,
    /// Server's port; 0 where the protocol has none.
    pub server_port: u16,
    /// `attempt`, `established`, `closing`, `refused`, ... for TCP; `one_way` or `two_way` otherwise.
    pub state: &'static str,
    /// The application protocol; `unknown` as long as none was recognised.
    pub application: &'static str,
    /// How a TCP connection does; none where it is not measured.
    pub tcp: Option<TcpHealth>,
    /// First packet.
    pub first_seen: Timestamp,
    /// Latest packet.
    pub last_seen: Timestamp,
    /// Packets from the client.
    pub packets_to_server: u64,
    /// Packets from the server.
    pub packets_to_client: u64,
    /// Bytes on the wire from the client.
    pub bytes_to_server: u64,
    /// Bytes on the wire from the server.
    pub bytes_to_client: u64,
}

/// Baseline, model and alerts.
#[derive(Clone, Debug)]
pub struct JudgeStatus {
    /// Time on the capture's clock.
    pub now: Timestamp,
    /// Where the baseline is in its life.
    pub baseline: BaselineStatus,
    /// The model in use; none before one was trained.
    pub model: Option<ModelStatus>,
    /// Why no model judges ("12 of 64 windows that it needs"); none where one does.
    pub no_model: Option<String>,
    /// Device windows judged since start.
    pub windows: u64,
    /// Device windows whose score reached the threshold.
    pub windows_unusual: u64,
    /// Whether findings of the network become alerts.
    pub detection: bool,
    /// What the model in use did.
    pub performance: Performance,
    /// What was raised.
    pub alerts: AlertCounts,
    /// What the owner expects, oldest first.
    pub expected: Vec<Rule>,
    /// The highest severity of what is open now and not acknowledged; none when nothing is.
    pub threat: Option<crate::alert::Severity>,
    /// Devices seen since the baseline was learned that it does not know.
    pub strangers: Vec<DeviceKey>,
}

/// The life of a baseline.
#[derive(Clone, Debug, PartialEq)]
pub struct BaselineStatus {
    /// Phase.
    pub phase: BaselinePhase,
    /// Identity of the baseline in use, such as `b3`; none before the first.
    pub id: Option<String>,
    /// Capture time learned so far.
    pub learned: Span,
    /// Capture time to learn in all.
    pub target: Span,
    /// Devices it knows.
    pub devices: u64,
    /// Device windows it holds.
    pub windows: u64,
    /// Sightings of devices that it could not remember because its table is full.
    pub untracked: u64,
}

/// Phase of a baseline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BaselinePhase {
    /// Nothing was learned yet.
    None,
    /// Learning; nothing that needs a baseline is raised.
    Learning,
    /// Judging.
    Armed,
}

impl BaselinePhase {
    /// The word in JSON, MQTT and metrics.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Learning => "learning",
            Self::Armed => "armed",
        }
    }
}

/// A trained model. Every number is measured.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelStatus {
    /// Name and version, such as `isolation_forest-1`.
    pub id: String,
    /// The number of the baseline that it was trained from.
    pub version: u32,
    /// When training ended, on the capture's clock.
    pub trained_at: Timestamp,
    /// Windows it was fitted on.
    pub trained_on: u64,
    /// Windows held out for its threshold.
    pub held_out: u64,
    /// Threshold on the raw score, from the held-out windows.
    pub threshold: f64,
    /// Size of its snapshot in bytes.
    pub size: u64,
    /// Devices that have statistics of their own in it.
    pub devices: u64,
    /// What training took, its snapshot included; none where it was trained before this start.
    pub training_time: Option<Span>,
    /// Calibrated score from which a window is unusual.
    pub alert_threshold: f64,
    /// The chance that a normal window reaches it, at most, as calibrated.
    pub promised_rate: f64,
}

/// Alerts since start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AlertCounts {
    /// Raised, by kind, zero ones included, in the order of `Kind::ALL`.
    pub raised: Vec<(&'static str, u64)>,
    /// Updates told.
    pub updated: u64,
    /// Cleared.
    pub cleared: u64,
    /// Open now.
    pub open: u64,
    /// Open now and not acknowledged.
    pub unacknowledged: u64,
    /// Findings that raised nothing because detection was off.
    pub suppressed: u64,
    /// Findings that raised nothing because the owner expects them.
    pub suppressed_expected: u64,
    /// Rules of what is expected that were dropped because there were too many.
    pub expected_dropped: u64,
}

/// The store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreStatus {
    /// Where it is.
    pub path: String,
    /// Bytes on disk.
    pub bytes: u64,
    /// Bytes it may use.
    pub quota: u64,
    /// Alert records held.
    pub alerts: u64,
    /// Alert records deleted for age or room since start.
    pub alerts_expired: u64,
    /// Alerts not yet acknowledged by the broker.
    pub outbox: u64,
    /// Outbox entries given up because the outbox was full since start.
    pub outbox_dropped: u64,
    /// Writes that failed since start.
    pub write_errors: u64,
    /// Alerts since start that were refused or could not be stored before the store was closed: nobody has them.
    pub alerts_lost: u64,
    /// Devices and snapshots since start that were not taken, because there are too many or they are too large.
    pub refused_writes: u64,
    /// Times since start that a kept record could not be read (damaged, or of a later version) and was skipped.
    pub unreadable: u64,
    /// Why writes do not get through now, as one line; none while they do.
    pub failing: Option<String>,
    /// The last failure, as one line; it stays when writes get through again.
    pub last_error: Option<String>,
    /// Where a store that did not open was moved, in this run.
    pub replaced: Option<String>,
}

/// The MQTT client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MqttStatus {
    /// `host:port`.
    pub broker: String,
    /// Connection.
    pub state: MqttState,
    /// Connections made since start.
    pub connects: u64,
    /// Alerts that the broker acknowledged since start.
    pub delivered: u64,
}

/// Connection to the broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MqttState {
    /// Up.
    Connected,
    /// Down, with the last error as one line; tried again with backoff.
    Waiting(String),
}

/// The HTTP listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpStatus {
    /// Address it listens on.
    pub address: String,
    /// Requests answered since start.
    pub requests: u64,
    /// Connections turned away since start: too many at once, or no acceptable request in time.
    pub refused: u64,
    /// Requests refused for a missing or wrong token since start.
    pub unauthorised: u64,
    /// Workers or listeners that died and were replaced since start.
    pub restarts: u64,
    /// Live streams open now.
    pub streams: u64,
    /// Live streams ended since start because their client did not take what was sent, or had gone without a word.
    pub streams_dropped: u64,
    /// Alerts since start that a live stream was too slow for.
    pub stream_alerts_lost: u64,
}
