//! Flows and devices: who talks to whom, with what outcome, and who they are.

mod address;
mod class;
mod community;
mod device;
mod devices;
mod forwarding;
mod key;
mod record;
mod roster;
mod table;
mod tcp;
mod told;
#[cfg(test)]
mod traffic;
mod transition;
mod tunnels;

pub use community::community_id;
pub use device::{Device, KnownDevice};
pub use devices::{DeviceEvent, Devices, Parties};
pub use key::{DeviceId, DeviceKey, FiveTuple, FlowKey};
pub use record::{EndReason, Endpoint, FlowEvent, FlowRecord, FlowState, News, Side, Traffic};
pub use table::FlowTable;
pub use tcp::{StreamSums, TcpHealth, TcpTotals};
pub use tunnels::{TunnelRecord, TunnelTotal, Tunnels};

use crate::time::Span;

/// Capacities and timeouts of the tables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Flows held at once, at least 1 (see [`Config::flows_in`]); at the limit the least valuable one ends as [`EndReason::Evicted`].
    pub flow_capacity: usize,
    /// Devices held at once, at least 2; at the limit the least valuable one is put out and counted (see [`Devices`]).
    pub device_capacity: usize,
    /// Silence after which a connection attempt without answer ends as [`EndReason::Unanswered`].
    pub attempt_timeout: Span,
    /// Silence after which an established TCP connection ends as [`EndReason::Idle`].
    pub established_timeout: Span,
    /// Silence after which any other flow ends as [`EndReason::Idle`].
    pub idle_timeout: Span,
    /// Time after which a flow that goes on is told of ([`News::Renewed`]), counted from when it last was.
    pub active_timeout: Span,
    /// Key of the hash tables: random in live capture, fixed in replay. No result depends on it.
    pub hash_seed: u64,
}

impl Config {
    /// Most bytes of memory for each flow: its place, the index, and its share of what is measured of TCP flows.
    pub const BYTES_PER_FLOW: usize = 384;

    /// The capacity that so many bytes give.
    #[must_use]
    pub const fn flows_in(bytes: usize) -> usize {
        bytes / Self::BYTES_PER_FLOW
    }
}

impl Default for Config {
    /// 65,536 flows (24 MiB) and 2,048 devices (3 MB); attempts 10 s, established 30 min, others 60 s, active 30 min.
    fn default() -> Self {
        Self {
            flow_capacity: Self::flows_in(24 << 20),
            device_capacity: 2_048,
            attempt_timeout: Span::from_secs(10),
            established_timeout: Span::from_secs(1_800),
            idle_timeout: Span::from_secs(60),
            active_timeout: Span::from_secs(1_800),
            hash_seed: 0,
        }
    }
}
