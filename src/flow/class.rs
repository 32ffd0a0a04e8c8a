//! [`Class`]: the lists that the flow table keeps flows in, by their state.
//!
//! It does not know how long the timeouts are, nor which list makes room first.

use super::{EndReason, FlowRecord, FlowState};

/// What a flow is worth when room is short, and how long it may be silent.
#[derive(Clone, Copy, Debug)]
#[repr(usize)]
pub(super) enum Class {
    Lingering,
    Attempt,
    OneWay,
    TwoWay,
    Established,
}

/// Number of classes.
pub(super) const CLASSES: usize = 5;

impl Class {
    pub(super) fn of(record: &FlowRecord) -> Self {
        let both = record.to_server.packets > 0 && record.to_client.packets > 0;
        match record.state {
            FlowState::Closed | FlowState::Reset | FlowState::Refused => Self::Lingering,
            FlowState::Attempt => Self::Attempt,
            FlowState::OneWay => Self::OneWay,
            FlowState::TwoWay => Self::TwoWay,
            _ if !both => Self::OneWay,
            FlowState::Accepted | FlowState::Closing => Self::TwoWay,
            FlowState::Established => Self::Established,
        }
    }
}

/// Why a flow in this state ends when its timeout is over.
pub(super) const fn timeout_reason(state: FlowState) -> EndReason {
    match state {
        FlowState::Closed => EndReason::Closed,
        FlowState::Reset => EndReason::Reset,
        FlowState::Refused => EndReason::Refused,
        FlowState::Attempt => EndReason::Unanswered,
        _ => EndReason::Idle,
    }
}
