//! [`TcpTotals`]: what all measured TCP flows add up to. How one flow is measured is `analysis`'s.

/// Sums over all TCP flows since start. A flow is measured once both of its directions were seen beyond the handshake.
///
/// `bytes_missing` is the loss between the network and this tap, not the loss in the network: bytes that the receiver
/// has acknowledged, so they did arrive, and that the tap never saw (after the measure of Zeek's capture-loss policy,
/// which counts acknowledgements of gaps; here also by bytes).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TcpTotals {
    /// Segments of measured flows, without those with SYN or RST.
    pub segments: u64,
    /// Segments with payload that the tap had seen before, or that filled a gap later than a reordering would.
    pub retransmitted: u64,
    /// Segments with payload that filled a gap soon after it opened.
    pub out_of_order: u64,
    /// Segments with an acknowledgement that went beyond all before it.
    pub acknowledgements: u64,
    /// Gaps of acknowledged, unseen bytes.
    pub gaps: u64,
    /// Payload bytes seen, each once.
    pub bytes_seen: u64,
    /// Payload bytes that were acknowledged but not seen.
    pub bytes_missing: u64,
    /// Flows measured.
    pub flows_measured: u64,
    /// Flows of which data went one way, beyond the handshake, while nothing of the other way was seen: a mirror of
    /// one direction. They are not measured.
    pub flows_one_way: u64,
    /// Flows that were not measured for want of room.
    pub flows_unmeasured: u64,
}

impl TcpTotals {
    /// Share of the acknowledged bytes that the tap did not see, 0 to 1; none before any was seen or missed.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a share needs no more than 53 bits")]
    pub fn loss(&self) -> Option<f64> {
        let all = self.bytes_seen.saturating_add(self.bytes_missing);
        (all > 0).then(|| self.bytes_missing as f64 / all as f64)
    }

    /// Share of the segments that were retransmitted, 0 to 1; none of none.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a share needs no more than 53 bits")]
    pub fn retransmitted_share(&self) -> Option<f64> {
        (self.segments > 0).then(|| self.retransmitted as f64 / self.segments as f64)
    }

    /// Those of two tables together.
    #[must_use]
    pub const fn and(&self, other: &Self) -> Self {
        Self {
            segments: self.segments.saturating_add(other.segments),
            retransmitted: self.retransmitted.saturating_add(other.retransmitted),
            out_of_order: self.out_of_order.saturating_add(other.out_of_order),
            acknowledgements: self.acknowledgements.saturating_add(other.acknowledgements),
            gaps: self.gaps.saturating_add(other.gaps),
            bytes_seen: self.bytes_seen.saturating_add(other.bytes_seen),
            bytes_missing: self.bytes_missing.saturating_add(other.bytes_missing),
            flows_measured: self.flows_measured.saturating_add(other.flows_measured),
            flows_one_way: self.flows_one_way.saturating_add(other.flows_one_way),
            flows_unmeasured: self.flows_unmeasured.saturating_add(other.flows_unmeasured),
        }
    }

    /// What was added since they were these.
    #[must_use]
    pub const fn since(&self, earlier: &Self) -> Self {
        Self {
            segments: self.segments.saturating_sub(earlier.segments),
            retransmitted: self.retransmitted.saturating_sub(earlier.retransmitted),
            out_of_order: self.out_of_order.saturating_sub(earlier.out_of_order),
            acknowledgements: self.acknowledgements.saturating_sub(earlier.acknowledgements),
            gaps: self.gaps.saturating_sub(earlier.gaps),
            bytes_seen: self.bytes_seen.saturating_sub(earlier.bytes_seen),
            bytes_missing: self.bytes_missing.saturating_sub(earlier.bytes_missing),
            flows_measured: self.flows_measured.saturating_sub(earlier.flows_measured),
            flows_one_way: self.flows_one_way.saturating_sub(earlier.flows_one_way),
            flows_unmeasured: self.flows_unmeasured.saturating_sub(earlier.flows_unmeasured),
        }
    }
}
