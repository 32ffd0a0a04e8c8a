//! [`Activity`]: what is damped of one device, and the heights that it reached in a window.

use super::decay::Moment;
use super::statistic::{Pair, Way};
use super::table::Seat;
use super::{DECAYS, Damped, FAST, Packet, SLOW, Sizes, Stream, Touched, rate};
use crate::flow::Devices;
use crate::time::Timestamp;

/// A device. Its statistics go on from window to window, the heights begin anew.
#[derive(Clone, Copy, Debug)]
pub(in crate::feature) struct Activity {
    first: Timestamp,
    /// Sizes of what it sends (there) and receives (back).
    sizes: Sizes,
    /// Damped count of peers that it did not speak to lately, at the slower decay and by the landmark of the sizes.
    new_peers: f64,
    heights: Heights,
}

/// The heights of a window; 0 while nothing happened.
#[derive(Clone, Copy, Debug, Default)]
struct Heights {
    sent: f64,
    sent_bytes: f64,
    received: f64,
    new_peers: f64,
    channel: Option<Busiest>,
    socket: Option<Busiest>,
}

/// The stream that reached the largest weight.
#[derive(Clone, Copy, Debug)]
struct Busiest {
    seat: Seat,
    /// The way that leads away from the device.
    way: Way,
    weight: f64,
}

/// What a device sends and receives now, by the last ten seconds or so: what was ten seconds ago counts half.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// Packets a second.
    pub packets: f64,
    /// Bytes on the wire a second.
    pub bytes: f64,
}

/// What a window says by its heights; what was not measured is none.
#[derive(Clone, Copy, Debug)]
pub(in crate::feature) struct Reading {
    /// Packets a second that it sent.
    pub(in crate::feature) sent: f64,
    /// Bytes a second that it sent.
    pub(in crate::feature) sent_bytes: f64,
    /// Packets a second that it received.
    pub(in crate::feature) received: f64,
    /// New peers a second.
    pub(in crate::feature) new_peers: f64,
    /// Packets a second of its busiest channel, both ways.
    pub(in crate::feature) channel: f64,
    /// Packets a second of its busiest socket, both ways.
    pub(in crate::feature) socket: f64,
    /// Of its busiest channel: deviation of the gaps between what it sent over their mean.
    pub(in crate::feature) jitter: Option<f64>,
    /// Of its busiest channel, in bytes.
    pub(in crate::feature) magnitude: Option<f64>,
    /// Of its busiest channel, in bytes squared.
    pub(in crate::feature) radius: Option<f64>,
    /// Of its busiest channel.
    pub(in crate::feature) correlation: Option<f64>,
    /// Of its busiest socket.
    pub(in crate::feature) socket_correlation: Option<f64>,
}

impl Activity {
    pub(in crate::feature) fn new(now: Timestamp) -> Self {
        Self {
            first: now,
            sizes: Pair::new(&Moment::new(&DECAYS, now)),
            new_peers: 0.0,
            heights: Heights::default(),
        }
    }

    /// A packet that it sent, to a new peer or not. Says whether it has been there for long enough to make streams.
    pub(in crate::feature) fn sent(&mut self, packet: &Packet, new_peer: bool) -> bool {
        self.insert(Way::There, packet);
        let (sizes, heights) = (self.sizes.values(Way::There), &mut self.heights);
        let [fast, slow] = packet.now.left;
        heights.sent = heights.sent.max(sizes.weight(FAST) * fast);
        heights.sent_bytes = heights.sent_bytes.max(sizes.sum(FAST) * fast);
        if new_peer {
            let [_, grown] = packet.now.grown;
            self.new_peers += grown;
            heights.new_peers = heights.new_peers.max(self.new_peers * slow);
        }
        packet.time.since(self.first) >= Devices::APART
    }

    /// A packet that it received.
    pub(in crate::feature) fn received(&mut self, packet: &Packet) {
        self.insert(Way::Back, packet);
        let [fast, _] = packet.now.left;
        self.heights.received = self.heights.received.max(self.sizes.values(Way::Back).weight(FAST) * fast);
    }

    /// The streams of a packet that it sent (there) or received (back).
    pub(in crate::feature) fn touched(&mut self, touched: &Touched, side: Way) {
        let heights =
            [(&mut self.heights.channel, touched.channel), (&mut self.heights.socket, touched.socket)];
        for (busiest, stream) in heights {
            let Some(Stream { seat, way, weight }) = stream else { continue };
            if busiest.is_none_or(|b| weight > b.weight) {
                let way = if side == Way::There { way } else { way.turned() };
                *busiest = Some(Busiest { seat, way, weight });
            }
        }
    }

    /// What the window says at its end.
    pub(in crate::feature) fn read(&self, damped: &Damped) -> Reading {
        let heights = &self.heights;
        let channel = heights.channel.and_then(|b| Some((damped.channels.get(b.seat)?, b.way)));
        let socket = heights.socket.and_then(|b| damped.sockets.get(b.seat));
        let weight = |busiest: Option<Busiest>| busiest.map_or(0.0, |b| rate(b.weight, SLOW));
        let gaps = channel.map(|(channel, way)| channel.gaps(way)).filter(|gaps| gaps.mean(SLOW) > 0.0);
        Reading {
            sent: rate(heights.sent, FAST),
            sent_bytes: rate(heights.sent_bytes, FAST),
            received: rate(heights.received, FAST),
            new_peers: rate(heights.new_peers, SLOW),
            channel: weight(heights.channel),
            socket: weight(heights.socket),
            jitter: gaps.map(|gaps| gaps.deviation(SLOW) / gaps.mean(SLOW)),
            magnitude: channel.map(|(channel, _)| channel.sizes.magnitude(SLOW)),
            radius: channel.map(|(channel, _)| channel.sizes.radius(SLOW)),
            correlation: channel.map(|(channel, _)| channel.sizes.correlation(SLOW)),
            socket_correlation: socket.map(|socket| socket.sizes.correlation(SLOW)),
        }
    }

    /// A window ends, another begins.
    pub(in crate::feature) fn begin_window(&mut self) {
        self.heights = Heights::default();
    }

    /// What it does now.
    pub(in crate::feature) fn rate(&self, now: Timestamp) -> Rate {
        let left = self.sizes.left(&DECAYS, SLOW, &Moment::new(&DECAYS, now));
        Rate {
            packets: rate(self.sizes.weight(SLOW) * left, SLOW),
            bytes: rate(self.sizes.sum(SLOW) * left, SLOW),
        }
    }

    fn insert(&mut self, way: Way, packet: &Packet) {
        if let Some([.., left]) = self.sizes.rebase(&DECAYS, &packet.now) {
            self.new_peers *= left;
        }
        self.sizes.insert(way, &packet.size);
    }
}
