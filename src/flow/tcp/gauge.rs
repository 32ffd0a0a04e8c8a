//! [`Gauge`]: the TCP flows that are measured, apart from the flow table, so that a flood of attempts pays nothing.
//!
//! It does not know when a flow begins or ends; the flow table tells it, and keeps the place in [`Measure`].

use super::TcpTotals;
use super::sequence::Sequence;
use super::stream::{Segment, Stream, StreamSums};
use crate::bounded::{ListSlab, Place};
use crate::flow::{FlowRecord, FlowState, Side};
use crate::packet::{Tcp, TcpFlags};
use crate::time::{Span, Timestamp};

/// Segments one way without any of the other from which on a flow is one-way: three are sent by a handshake of which
/// one side is mirrored late.
const ONE_WAY_SEGMENTS: u64 = 4;
/// Time that such a flow must have lasted: longer than a round trip, within which the other side may not have spoken.
const ONE_WAY_TIME: Span = Span::from_secs(1);

/// What is measured of a flow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::flow) enum Measure {
    /// Nothing yet: both directions were not seen beyond the handshake.
    #[default]
    Waiting,
    /// Nothing: there was no room.
    Unmeasured,
    /// Nothing: only one direction was seen. It may be measured if the other comes.
    OneWay,
    /// All.
    At(Place),
}

/// How a TCP connection does, as far as the tap can tell. Where it was found midstream, since then.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TcpHealth {
    /// Data of the client.
    pub to_server: StreamSums,
    /// Data of the server.
    pub to_client: StreamSums,
    /// From the tap to the server and back: from SYN to SYN+ACK. None where the handshake was not seen whole, or a
    /// part of it was repeated.
    pub server_round_trip: Option<Span>,
    /// From the tap to the client and back: from SYN+ACK to ACK.
    pub client_round_trip: Option<Span>,
}

/// At most a given number of measured flows. A flow for which there is no room is not measured, and counted.
#[derive(Debug)]
pub(in crate::flow) struct Gauge {
    flows: ListSlab<Measured, 1>,
    totals: TcpTotals,
}

#[derive(Debug)]
struct Measured {
    to_server: Stream,
    to_client: Stream,
    server_round_trip: Option<Span>,
    client_round_trip: Option<Span>,
}

/// A segment of a flow that counts it already.
#[derive(Clone, Copy)]
pub(in crate::flow) struct Passing<'a> {
    pub(in crate::flow) record: &'a FlowRecord,
    pub(in crate::flow) side: Side,
    pub(in crate::flow) tcp: &'a Tcp,
    /// Time of the flow's packet before it.
    pub(in crate::flow) before: Timestamp,
}

impl Gauge {
    /// Bytes for each measured flow.
    #[cfg(test)]
    pub(in crate::flow) const PLACE_SIZE: usize = ListSlab::<Measured, 1>::PLACE_SIZE;

    pub(in crate::flow) fn new(capacity: usize) -> Self {
        Self { flows: ListSlab::new(capacity), totals: TcpTotals::default() }
    }

    pub(in crate::flow) const fn totals(&self) -> &TcpTotals {
        &self.totals
    }

    /// A segment, not the first of its flow. Gives what is measured of the flow from now on.
    pub(in crate::flow) fn handle(&mut self, measure: Measure, passing: &Passing<'_>) -> Measure {
        let now = passing.record.last;
        match measure {
            Measure::At(place) => {
                if let Some(flow) = self.flows.get_mut(place) {
                    flow.handle(passing, &mut self.totals);
                }
                measure
            }
            Measure::Unmeasured => measure,
            Measure::Waiting | Measure::OneWay if is_two_way(passing.record) => {
                if is_under_way(passing.record) { self.begin(passing) } else { measure }
            }
            Measure::Waiting
                if is_one_way(passing.record) && now.since(passing.record.first) >= ONE_WAY_TIME =>
            {
                self.totals.flows_one_way += 1;
                Measure::OneWay
            }
            Measure::Waiting | Measure::OneWay => measure,
        }
    }

    /// The flow ends.
    pub(in crate::flow) fn end(&mut self, measure: Measure, record: &FlowRecord) {
        match measure {
            Measure::At(place) => {
                if let Some(mut flow) = self.flows.remove(place) {
                    flow.to_server.finish(&mut self.totals);
                    flow.to_client.finish(&mut self.totals);
                }
            }
            Measure::Waiting if is_one_way(record) => self.totals.flows_one_way += 1,
            Measure::Waiting | Measure::Unmeasured | Measure::OneWay => {}
        }
    }

    /// How a measured flow does.
    pub(in crate::flow) fn health(&self, measure: Measure) -> Option<TcpHealth> {
        let Measure::At(place) = measure else { return None };
        let flow = self.flows.get(place)?;
        Some(TcpHealth {
            to_server: flow.to_server.sums,
            to_client: flow.to_client.sums,
            server_round_trip: flow.server_round_trip,
            client_round_trip: flow.client_round_trip,
        })
    }

    fn begin(&mut self, passing: &Passing<'_>) -> Measure {
        let Ok(place) = self.flows.push(0, Measured::new(passing)) else {
            self.totals.flows_unmeasured += 1;
            return Measure::Unmeasured;
        };
        self.totals.flows_measured += 1;
        self.handle(Measure::At(place), passing)
    }
}

impl Measured {
    fn new(passing: &Passing<'_>) -> Self {
        let Passing { record, side, tcp, before } = passing;
        let whole = !record.midstream && record.to_server.packets == 2 && record.to_client.packets == 1;
        let opened = whole && *side == Side::Client && record.to_client.flags.has(TcpFlags::SYN);
        let mut flow = Self {
            to_server: Stream::default(),
            to_client: Stream::default(),
            server_round_trip: opened.then(|| before.since(record.first)),
            client_round_trip: opened.then(|| record.last.since(*before)),
        };
        if opened {
            // The server has sent nothing but its SYN.
            flow.to_client.begin(Sequence(tcp.acknowledgement));
        }
        flow
    }

    fn handle(&mut self, passing: &Passing<'_>, totals: &mut TcpTotals) {
        let (tcp, now) = (passing.tcp, passing.record.last);
        // The numbers of an RST may be anything, and those of a SYN belong to another time.
        if tcp.flags.has(TcpFlags::RST) || tcp.flags.has(TcpFlags::SYN) {
            return;
        }
        totals.segments += 1;
        let (sent, answered) = match passing.side {
            Side::Client => (&mut self.to_server, &mut self.to_client),
            Side::Server => (&mut self.to_client, &mut self.to_server),
        };
        let segment =
            Segment { from: Sequence(tcp.sequence), payload: tcp.payload, fin: tcp.flags.has(TcpFlags::FIN) };
        let round_trip = self.server_round_trip.zip(self.client_round_trip).map(|(one, other)| one + other);
        sent.send(segment, now, round_trip, totals);
        if tcp.flags.has(TcpFlags::ACK) {
            answered.acknowledge(Sequence(tcp.acknowledgement), now, totals);
        }
    }
}

/// Beyond the handshake.
fn is_under_way(record: &FlowRecord) -> bool {
    matches!(record.state, FlowState::Established | FlowState::Closing | FlowState::Closed)
}

fn is_two_way(record: &FlowRecord) -> bool {
    record.to_server.packets > 0 && record.to_client.packets > 0
}

/// Whether a connection goes on of which one direction is not seen. A server that repeats its SYN+ACK in vain is none.
fn is_one_way(record: &FlowRecord) -> bool {
    let talks = record.state == FlowState::Accepted && record.to_client.payload > 0;
    !is_two_way(record)
        && record.to_server.packets + record.to_client.packets >= ONE_WAY_SEGMENTS
        && (talks || is_under_way(record))
}
