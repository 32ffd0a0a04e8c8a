//! [`Told`]: how much of a flow that goes on was already told, so that each telling carries only what is new.
//!
//! It does not know when to tell. After the active timeout of flow exporters (RFC 3954, section 5).

use super::{FlowRecord, Traffic};
use crate::time::Timestamp;

/// What [`super::News::Renewed`] has told of a flow.
#[derive(Clone, Copy, Debug)]
pub(super) struct Told {
    /// First packet that was not told.
    pub(super) until: Timestamp,
    to_server: Sums,
    to_client: Sums,
}

#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    packets: u64,
    bytes: u64,
    payload: u64,
}

impl Told {
    /// Of a flow that begins.
    pub(super) fn nothing(first: Timestamp) -> Self {
        Self { until: first, to_server: Sums::default(), to_client: Sums::default() }
    }

    /// The flow as it stands, before a packet at `next` is accounted for.
    pub(super) fn all(flow: &FlowRecord, next: Timestamp) -> Self {
        Self { until: next, to_server: Sums::of(&flow.to_server), to_client: Sums::of(&flow.to_client) }
    }

    /// The part of the flow that is not told: its first packet and its sums. All else is of the whole flow.
    pub(super) fn rest(&self, flow: &FlowRecord) -> FlowRecord {
        FlowRecord {
            first: self.until,
            to_server: self.to_server.rest(&flow.to_server),
            to_client: self.to_client.rest(&flow.to_client),
            ..*flow
        }
    }
}

impl Sums {
    fn of(traffic: &Traffic) -> Self {
        Self { packets: traffic.packets, bytes: traffic.bytes, payload: traffic.payload }
    }

    fn rest(&self, traffic: &Traffic) -> Traffic {
        Traffic {
            packets: traffic.packets.saturating_sub(self.packets),
            bytes: traffic.bytes.saturating_sub(self.bytes),
            payload: traffic.payload.saturating_sub(self.payload),
            flags: traffic.flags,
        }
    }
}
