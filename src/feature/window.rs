//! [`Windows`]: the time windows of all devices. What is counted in one is `accumulator`'s; which device a packet
//! belongs to, and what lies outside the site, is told by the caller.

use std::collections::VecDeque;

use super::accumulator::{Accumulator, MAX_BYTES};
use super::damped::{Damped, Packet, Way};
use super::{Config, DeviceWindow, Rate};
use crate::flow::{DeviceId, EndReason, FlowEvent, News, Side};
use crate::packet::Digest;
use crate::time::{Span, Timestamp};

/// Which ends of a packet lie outside the site.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct External {
    /// The source address.
    pub source: bool,
    /// The destination address.
    pub destination: bool,
}

/// Windows of a fixed length, aligned to whole multiples of it since the epoch, one per device that sent or received
/// a packet in it.
///
/// All devices share the window's bounds; the time of whatever comes first closes it. What comes late (an earlier
/// time than the window's start) counts in the window that is open. The caller drains [`Windows::poll_window`] after
/// each call; windows that are still there when the next ones close are dropped and counted by
/// [`Windows::dropped`].
#[derive(Debug)]
pub struct Windows {
    length: Span,
    start: Option<Timestamp>,
    devices: Vec<Option<Box<Accumulator>>>,
    damped: Damped,
    /// Of all packets: what is damped knows no time that goes back.
    latest: Timestamp,
    closed: VecDeque<DeviceWindow>,
    dropped: u64,
}

impl Windows {
    /// Most bytes of memory per device, taken when it is first seen and kept for whoever has its place later.
    pub const BYTES_PER_DEVICE: usize = MAX_BYTES;

    /// No window yet. `device_capacity` is that of the device table: a higher slot is ignored. Beside the memory per
    /// device, room for one closed window each is reserved (about 220 bytes).
    #[must_use]
    pub fn new(config: &Config, device_capacity: usize, hash_seed: u64) -> Self {
        Self {
            length: config.window.max(Span::from_nanos(1)),
            start: None,
            devices: std::iter::repeat_with(|| None).take(device_capacity).collect(),
            damped: Damped::new(hash_seed),
            latest: Timestamp::from_nanos(i64::MIN),
            closed: VecDeque::with_capacity(device_capacity),
            dropped: 0,
        }
    }

    /// A packet and the devices at its ends.
    pub fn handle_packet(
        &mut self,
        digest: &Digest,
        source: Option<DeviceId>,
        destination: Option<DeviceId>,
        external: External,
    ) {
        let now = digest.time;
        self.handle_time(now);
        let destination = destination.filter(|_| !digest.destination.is_group());
        if source.or(destination).is_none() {
            return;
        }
        self.latest = self.latest.max(now);
        let packet = Packet::new(self.latest, digest.wire_len);
        let sender = source.and_then(|id| self.accumulator(id, now));
        let admit = sender.is_some_and(|sender| sender.sent(digest, &packet, external.destination));
        if let Some(receiver) = destination.and_then(|id| self.accumulator(id, now)) {
            receiver.received(digest, &packet);
        }
        let touched = self.damped.handle_packet(digest, &packet, admit);
        for (device, way) in [(source, Way::There), (destination, Way::Back)] {
            if let Some(accumulator) = device.and_then(|id| self.accumulator(id, now)) {
                accumulator.touched(&touched, way);
            }
        }
    }

    /// Something happened to a flow.
    pub fn handle_flow(&mut self, event: &FlowEvent) {
        self.handle_time(event.time);
        // An evicted or flushed flow says how long the table kept it, not how long it lasted.
        let ended = match event.news {
            News::Renewed | News::Ended(EndReason::Evicted | EndReason::Flushed) => return,
            News::Ended(_) => true,
            News::Opened | News::Answered | News::Refused => false,
        };
        let (client, server) = (event.flow.client.device, event.flow.server.device);
        self.tell(client, event, Side::Client, ended);
        self.tell(server, event, Side::Server, ended && client != server);
    }

    fn tell(&mut self, device: Option<DeviceId>, event: &FlowEvent, side: Side, ended: bool) {
        if let Some(accumulator) = device.and_then(|id| self.accumulator(id, event.time)) {
            accumulator.flow(event, side);
            if ended {
                accumulator.ended(&event.flow);
            }
        }
    }

    /// The time is now: a window whose end has come is closed, which takes one pass over the devices.
    pub fn handle_time(&mut self, now: Timestamp) {
        let start = match self.start {
            Some(start) => start,
            None => *self.start.insert(aligned(now, self.length)),
        };
        if now >= start + self.length {
            self.close(start);
            self.start = Some(aligned(now, self.length));
        }
    }

    /// The next closed window, in the order of device slots.
    pub fn poll_window(&mut self) -> Option<DeviceWindow> {
        self.closed.pop_front()
    }

    /// The clock jumped: all begun windows are dropped, since no full length belongs to them.
    pub fn restart(&mut self, now: Timestamp) {
        self.start = None;
        self.damped.restart();
        self.latest = now;
        for accumulator in self.devices.iter_mut().flatten() {
            **accumulator = Accumulator::new(accumulator.device, now);
        }
    }

    /// What a device sends and receives now; none where nothing was counted of it.
    #[must_use]
    pub fn rate(&self, id: DeviceId, now: Timestamp) -> Option<Rate> {
        let accumulator = self.devices.get(usize::try_from(id.slot).ok()?)?.as_ref()?;
        (accumulator.device == id).then(|| accumulator.rate(now))
    }

    /// Channels and sockets of which nothing was counted, because both tables were full of busier ones.
    #[must_use]
    pub const fn streams_refused(&self) -> u64 {
        self.damped.refused()
    }

    /// Windows that the caller did not fetch in time; 0 when it drains as it should.
    #[must_use]
    pub const fn dropped(&self) -> u64 {
        self.dropped
    }

    fn close(&mut self, start: Timestamp) {
        self.dropped = self.dropped.saturating_add(u64::try_from(self.closed.len()).unwrap_or(u64::MAX));
        self.closed.clear();
        for accumulator in self.devices.iter_mut().flatten() {
            if accumulator.packets() > 0 {
                self.closed.push_back(DeviceWindow {
                    device: accumulator.device,
                    start,
                    end: start + self.length,
                    vector: accumulator.vector(self.length, &self.damped),
                    packets: accumulator.packets(),
                    bytes: accumulator.bytes(),
                });
            }
            accumulator.begin_window();
        }
    }

    /// The counters of a device. A later generation than the one there takes the place over and starts anew, an
    /// earlier one (the last events of flows of a device that was put out) is ignored.
    fn accumulator(&mut self, id: DeviceId, now: Timestamp) -> Option<&mut Accumulator> {
        let place = self.devices.get_mut(usize::try_from(id.slot).ok()?)?;
        let accumulator = place.get_or_insert_with(|| Box::new(Accumulator::new(id, now)));
        if accumulator.device.generation < id.generation {
            **accumulator = Accumulator::new(id, now);
        }
        (accumulator.device == id).then_some(&mut **accumulator)
    }
}

/// The latest whole multiple of `length` that is not after `time`.
fn aligned(time: Timestamp, length: Span) -> Timestamp {
    let length = i64::try_from(length.as_nanos()).unwrap_or(i64::MAX).max(1);
    let into = time.as_nanos().rem_euclid(length);
    Timestamp::from_nanos(time.as_nanos().saturating_sub(into))
}

#[cfg(test)]
mod tests;
