//! How TCP does, as JSON: over all flows, and of one.

use serde::Serialize;

use crate::control::TcpStatus;
use crate::flow::{StreamSums, TcpHealth, TcpTotals};
use crate::time::Span;

/// Over all flows that are or were measured.
#[derive(Debug, Serialize)]
pub(super) struct TcpView {
    segments: u64,
    retransmitted: u64,
    out_of_order: u64,
    acknowledgements: u64,
    gaps: u64,
    bytes_seen: u64,
    bytes_missing: u64,
    flows_measured: u64,
    flows_one_way: u64,
    flows_unmeasured: u64,
    loss: Option<f64>,
    recent: Option<RecentView>,
}

/// The last complete ten seconds.
#[derive(Debug, Serialize)]
struct RecentView {
    segments: u64,
    retransmitted_share: Option<f64>,
    loss: Option<f64>,
}

impl TcpView {
    pub(super) fn new(tcp: &TcpStatus) -> Self {
        let TcpTotals {
            segments,
            retransmitted,
            out_of_order,
            acknowledgements,
            gaps,
            bytes_seen,
            bytes_missing,
            flows_measured,
            flows_one_way,
            flows_unmeasured,
        } = tcp.totals;
        let recent = |totals: TcpTotals| RecentView {
            segments: totals.segments,
            retransmitted_share: totals.retransmitted_share(),
            loss: totals.loss(),
        };
        Self {
            segments,
            retransmitted,
            out_of_order,
            acknowledgements,
            gaps,
            bytes_seen,
            bytes_missing,
            flows_measured,
            flows_one_way,
            flows_unmeasured,
            loss: tcp.totals.loss(),
            recent: tcp.recent.map(recent),
        }
    }
}

/// One connection.
#[derive(Debug, Serialize)]
pub(super) struct TcpHealthView {
    to_server: StreamView,
    to_client: StreamView,
    /// Seconds.
    server_round_trip: Option<f64>,
    client_round_trip: Option<f64>,
}

#[derive(Debug, Serialize)]
struct StreamView {
    retransmitted: u32,
    out_of_order: u32,
    bytes_missing: u64,
}

impl TcpHealthView {
    pub(super) fn new(health: &TcpHealth) -> Self {
        Self {
            to_server: StreamView::new(health.to_server),
            to_client: StreamView::new(health.to_client),
            server_round_trip: health.server_round_trip.map(Span::as_secs_f64),
            client_round_trip: health.client_round_trip.map(Span::as_secs_f64),
        }
    }
}

impl StreamView {
    const fn new(sums: StreamSums) -> Self {
        let StreamSums { retransmitted, out_of_order, missing } = sums;
        Self { retransmitted, out_of_order, bytes_missing: missing }
    }
}
