//! What the API says of each source of frames by itself. The rules are those of `view`.

use std::net::IpAddr;

use serde::Serialize;

use super::view::{source_word, state_word};
use crate::capture::MirrorCounters;
use crate::control::{CaptureState, SourceStatus};

#[derive(Debug, Serialize)]
pub(super) struct SourceView {
    kind: &'static str,
    name: String,
    why: String,
    state: &'static str,
    /// Why it waits; null in any other state.
    waiting_for: Option<String>,
    /// Time on its clock.
    time: String,
    /// Latest packet, on its clock; null before the first.
    last_packet: Option<String>,
    frames: u64,
    kernel_drops: u64,
    interface_drops: u64,
    packets: u64,
    bytes: u64,
    packets_per_second: Option<f64>,
    bits_per_second: Option<f64>,
    losses: u64,
    clock_steps: u64,
    /// Null of a source that is no listener for mirrored frames.
    mirror: Option<MirrorView>,
}

/// What a listener for mirrored frames counts.
#[derive(Debug, Serialize)]
struct MirrorView {
    foreign: u64,
    refused: u64,
    senders: Vec<SenderView>,
    others: u64,
}

#[derive(Debug, Serialize)]
struct SenderView {
    ip: IpAddr,
    frames: u64,
}

impl From<&MirrorCounters> for MirrorView {
    fn from(counters: &MirrorCounters) -> Self {
        let sender = |&(ip, frames): &(IpAddr, u64)| SenderView { ip, frames };
        Self {
            foreign: counters.foreign,
            refused: counters.refused,
            senders: counters.senders.iter().map(sender).collect(),
            others: counters.others,
        }
    }
}

impl From<&SourceStatus> for SourceView {
    fn from(source: &SourceStatus) -> Self {
        let capture = &source.capture;
        Self {
            kind: source_word(capture.kind),
            name: capture.name.clone(),
            why: capture.why.clone(),
            state: state_word(&capture.state),
            waiting_for: waiting_for(&capture.state),
            time: source.now.to_string(),
            last_packet: source.last_packet.map(|time| time.to_string()),
            frames: capture.counters.frames,
            kernel_drops: capture.counters.kernel_drops,
            interface_drops: capture.counters.interface_drops,
            packets: source.packets,
            bytes: source.bytes,
            packets_per_second: source.packets_per_second,
            bits_per_second: source.bits_per_second,
            losses: capture.losses,
            clock_steps: source.clock_steps,
            mirror: capture.mirror.as_ref().map(MirrorView::from),
        }
    }
}

/// Why a source waits, where it does.
pub(super) fn waiting_for(state: &CaptureState) -> Option<String> {
    match state {
        CaptureState::Waiting(why) => Some(why.clone()),
        CaptureState::Running | CaptureState::Quiet | CaptureState::Stopped | CaptureState::Ended => None,
    }
}
