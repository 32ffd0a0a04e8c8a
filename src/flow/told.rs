//! [`Told`]: how much of a flow that goes on was already told, so that each telling carries only what is new.
//!
//! It does not know when to tell. After the active timeout of flow exporters (RFC 3954, section 5).

use super::{FlowRecord, Traffic};
use crate::time::Timestamp;

/// What [`super::News::Renewed`] has told of a flow.
#[derive(Debug)]
pub(super) struct Told {
    /// First packet that was not told.
    pub(super) until: Timestamp,
    /// Sums to the server and to the client. Apart, as few flows last so long: the first telling of a flow allocates.
    sums: Option<Box<[Sums; 2]>>,
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
        Self { until: first, sums: None }
    }

    /// All of the flow as it stands is told, before a packet at `next` is accounted for.
    pub(super) fn tell(&mut self, flow: &FlowRecord, next: Timestamp) {
        self.until = next;
        **self.sums.get_or_insert_default() = [Sums::of(&flow.to_server), Sums::of(&flow.to_client)];
    }

    /// The part of the flow that is not told: its first packet and its sums. All else is of the whole flow.
    pub(super) fn rest(&self, flow: &FlowRecord) -> FlowRecord {
        let Some(sums) = &self.sums else { return *flow };
        let [to_server, to_client] = sums.as_ref();
        FlowRecord {
            first: self.until,
            to_server: to_server.rest(&flow.to_server),
            to_client: to_client.rest(&flow.to_client),
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
