//! What the frames do not tell of a mirror, for the meter: whose machine this is, what the kernel dropped, and the clock.

use crate::capture::{self, SourceCounters};
use crate::control::SourceKind;
use crate::pipeline::Meter;
use crate::pipeline::mirror::{Clock, Place, Reading};
use crate::sys::clock;
use crate::time::Timestamp;

/// An interface is listened to from now on.
pub(super) fn place(meter: &mut Meter, interface: &str) {
    let stations = capture::stations(interface).into_iter().take(Place::STATIONS).collect();
    meter.mirror_mut().set_place(Place { stations, mtu: capture::mtu(interface) });
}

/// About a second has passed. `latest` is the time of a frame that has just been taken from the source, where one was.
pub(super) fn take(
    meter: &mut Meter,
    kind: SourceKind,
    counters: &SourceCounters,
    latest: Option<Timestamp>,
) {
    let clock = match kind {
        SourceKind::File => Clock::Recorded,
        SourceKind::Demo => Clock::Generated,
        SourceKind::Interface | SourceKind::Mirror => match clock::is_synchronised() {
            None => Clock::Untold,
            Some(true) => Clock::Synchronised,
            Some(false) => Clock::Unsynchronised,
        },
    };
    let apart = latest.map(|at| {
        let now = clock::now();
        now.since(at).max(at.since(now))
    });
    meter.mirror_mut().handle_reading(Reading {
        frames: counters.frames,
        dropped: counters.kernel_drops.saturating_add(counters.interface_drops),
        clock,
        apart,
    });
}
