//! [`Housekeeping`]: what is done now and then: the store's status is shown, devices are kept.

use std::net::IpAddr;

use super::recording::Recordings;
use crate::control::{Board, DeviceSummary, FilesStatus};
use crate::packet::Mac;
use crate::store::Store;
use crate::sys::clock::Stopwatch;
use crate::time::Span;

pub(super) struct Housekeeping {
    since_saved: Option<Stopwatch>,
    saved: Vec<(Option<Mac>, Vec<IpAddr>, Option<String>)>,
}

impl Housekeeping {
    pub(super) const INTERVAL: Span = Span::from_secs(1);
    /// Devices are kept when one appears or changes, and their counters this often, to spare the storage medium.
    const KEEP: Span = Span::from_secs(300);

    pub(super) const fn new() -> Self {
        Self { since_saved: None, saved: Vec::new() }
    }

    pub(super) fn handle(&mut self, board: &Board, store: &Store, recordings: &Recordings) {
        board.store.publish(store.status());
        let (evidence, captures) = (store.evidence().status(), recordings.status());
        board.files.publish(FilesStatus { evidence, captures });
        let Some(meter) = board.meter.latest() else { return };
        let now: Vec<_> = meter.devices.iter().map(identity).collect();
        if now == self.saved && self.since_saved.is_some_and(|s| s.elapsed() < Self::KEEP) {
            return;
        }
        match store.save_devices(meter.devices.clone()) {
            Ok(()) => {
                self.saved = now;
                self.since_saved = Some(Stopwatch::start());
            }
            Err(error) => tracing::error!("{error}"),
        }
    }
}

fn identity(device: &DeviceSummary) -> (Option<Mac>, Vec<IpAddr>, Option<String>) {
    (device.mac, device.ips.clone(), device.name.clone())
}
