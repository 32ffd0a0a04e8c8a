//! Damped statistics of who speaks to whom: after AfterImage, the feature extractor of Kitsune (Mirsky, Doitshman,
//! Elovici, Shabtai, NDSS 2018, section V and tables I and II). What is made of them in a window is `activity`'s and
//! `accumulator`'s.
//!
//! Of the paper's streams there are
//! - the **device** in place of source MAC-IP and source IP: the table of devices has decided whose packet it is, and
//!   whose address it bears without being its own is `behaviour`'s business,
//! - the **channel** between two IP addresses, with packet sizes and, each way, the gaps between packets (jitter),
//! - the **socket** between two TCP or UDP endpoints, with packet sizes.
//!
//! The first packet each way gives no gap: nothing was measured. Of the paper's five decay factors the two are kept
//! that something reads.
//!
//! A channel or socket is made by a packet of a device that has been there for [`Devices::APART`], unless it opens or
//! resets a TCP connection; what others send counts in what is there. So invented senders make nothing, however many,
//! nor does a scan of what does not answer, and such a packet costs two failed look-ups.

mod activity;
mod decay;
mod statistic;
mod table;

pub use activity::Rate;
pub(super) use activity::{Activity, Reading};
pub(super) use statistic::Way;

use self::decay::Moment;
use self::statistic::{Pair, Sample, Statistic};
use self::table::{Seat, Streams, Weighted};
#[cfg(doc)]
use crate::flow::Devices;
use crate::flow::{FiveTuple, FlowKey};
use crate::packet::{Digest, Ip, Network, TcpFlags, Transport};
use crate::time::Timestamp;

/// Decay factors (lambda) in halvings per second: what happened a second ago counts half, and ten seconds ago.
const DECAYS: [f64; 2] = [1.0, 0.1];
/// Index of the faster.
const FAST: usize = 0;
/// Index of the slower.
const SLOW: usize = 1;

type Sizes = Pair<{ DECAYS.len() }>;
type Now = Moment<{ DECAYS.len() }>;

/// A packet as streams see it: the same for all that it belongs to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Packet {
    time: Timestamp,
    now: Now,
    size: Sample<{ DECAYS.len() }>,
}

impl Packet {
    pub(super) fn new(time: Timestamp, bytes: u32) -> Self {
        let now = Moment::new(&DECAYS, time);
        Self { time, now, size: Sample::new(&now, f64::from(bytes)) }
    }
}

/// Channels and sockets; under 2 MiB in all, taken as they come.
#[derive(Debug)]
pub(super) struct Damped {
    channels: Streams<Channel>,
    sockets: Streams<Socket>,
}

#[derive(Clone, Copy, Debug)]
struct Channel {
    sizes: Sizes,
    there: Gaps,
    back: Gaps,
}

/// Time between the packets of one direction, in seconds.
#[derive(Clone, Copy, Debug)]
struct Gaps {
    latest: Option<Timestamp>,
    values: Statistic<{ DECAYS.len() }>,
}

#[derive(Clone, Copy, Debug)]
struct Socket {
    sizes: Sizes,
    channel: Seat,
}

/// A stream that a packet belongs to, with what it weighs now.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stream {
    seat: Seat,
    way: Way,
    weight: f64,
}

/// What a packet belongs to.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Touched {
    channel: Option<Stream>,
    socket: Option<Stream>,
}

const _: () = assert!(Damped::BYTES <= 2 << 20, "the memory of both tables is a promise");

impl Damped {
    /// Channels held.
    const CHANNELS: usize = 2_048;
    /// Sockets held.
    const SOCKETS: usize = 4_096;
    /// Memory of both tables, taken as they fill.
    const BYTES: usize =
        Self::CHANNELS * Streams::<Channel>::PLACE_SIZE + Self::SOCKETS * Streams::<Socket>::PLACE_SIZE;

    pub(super) fn new(hash_seed: u64) -> Self {
        Self {
            channels: Streams::new(Self::CHANNELS, hash_seed),
            sockets: Streams::new(Self::SOCKETS, hash_seed),
        }
    }

    /// A packet; `admit` says that its sender may make new streams.
    pub(super) fn handle_packet(&mut self, digest: &Digest, packet: &Packet, admit: bool) -> Touched {
        let Network::Ip(ip) = &digest.network else { return Touched::default() };
        let admit = admit && !is_attempt(ip);
        let way = if ip.source <= ip.destination { Way::There } else { Way::Back };
        let Some(socket) = socket_key(ip) else {
            let seat = self.channel(ip, packet, admit);
            return Touched { channel: seat.and_then(|seat| self.take(seat, way, packet)), socket: None };
        };
        let found = self.sockets.find(&socket.key);
        let known = found.and_then(|seat| Some(self.sockets.get(seat)?.channel));
        let known = known.and_then(|seat| Some((seat, self.take(seat, way, packet)?)));
        let channel = known.or_else(|| {
            let seat = self.channel(ip, packet, admit)?;
            Some((seat, self.take(seat, way, packet)?))
        });
        let Some((seat, stream)) = channel else { return Touched::default() };
        let new = || Socket { sizes: Pair::new(&packet.now), channel: seat };
        let found =
            found.or_else(|| admit.then(|| self.sockets.admit(socket.key, new(), &packet.now)).flatten());
        let socket = found.and_then(|own| {
            let entry = self.sockets.get_mut(own)?;
            entry.channel = seat;
            entry.sizes.rebase(&DECAYS, &packet.now);
            entry.sizes.insert(socket.way, &packet.size);
            Some(Stream::new(own, socket.way, &entry.sizes, packet))
        });
        Touched { channel: Some(stream), socket }
    }

    /// New channels and sockets for which there was no room.
    pub(super) const fn refused(&self) -> u64 {
        self.channels.refused() + self.sockets.refused()
    }

    /// The clock jumped: nothing that was measured goes on.
    pub(super) fn restart(&mut self) {
        self.channels.clear();
        self.sockets.clear();
    }

    fn channel(&mut self, ip: &Ip, packet: &Packet, admit: bool) -> Option<Seat> {
        let Ip { source, destination, .. } = *ip;
        let key =
            FiveTuple { source, source_port: 0, destination, destination_port: 0, protocol: 0 }.canonical();
        let new = || Channel::new(&packet.now);
        self.channels
            .find(&key)
            .or_else(|| admit.then(|| self.channels.admit(key, new(), &packet.now)).flatten())
    }

    fn take(&mut self, seat: Seat, way: Way, packet: &Packet) -> Option<Stream> {
        let channel = self.channels.get_mut(seat)?;
        channel.handle_packet(way, packet);
        Some(Stream::new(seat, way, &channel.sizes, packet))
    }
}

impl Stream {
    fn new(seat: Seat, way: Way, sizes: &Sizes, packet: &Packet) -> Self {
        let [.., left] = packet.now.left;
        Self { seat, way, weight: sizes.weight(SLOW) * left }
    }
}

impl Channel {
    const fn new(now: &Now) -> Self {
        let gaps = Gaps { latest: None, values: Statistic::EMPTY };
        Self { sizes: Pair::new(now), there: gaps, back: gaps }
    }

    fn handle_packet(&mut self, way: Way, packet: &Packet) {
        if let Some(left) = self.sizes.rebase(&DECAYS, &packet.now) {
            self.there.values.rebase(&left);
            self.back.values.rebase(&left);
        }
        self.sizes.insert(way, &packet.size);
        let gaps = match way {
            Way::There => &mut self.there,
            Way::Back => &mut self.back,
        };
        if let Some(latest) = gaps.latest.replace(packet.time) {
            let gap = packet.time.since(latest).as_secs_f64();
            gaps.values.insert(&Sample::new(&packet.now, gap));
        }
    }

    const fn gaps(&self, way: Way) -> &Statistic<{ DECAYS.len() }> {
        match way {
            Way::There => &self.there.values,
            Way::Back => &self.back.values,
        }
    }
}

impl Weighted for Channel {
    fn pair(&self) -> &Sizes {
        &self.sizes
    }
}

impl Weighted for Socket {
    fn pair(&self) -> &Sizes {
        &self.sizes
    }
}

/// Opens or resets a TCP connection.
const fn is_attempt(ip: &Ip) -> bool {
    match &ip.transport {
        Transport::Tcp(tcp) => tcp.flags.is_open() || tcp.flags.has(TcpFlags::RST),
        Transport::Udp(_) | Transport::Icmp(_) | Transport::Fragment(_) | Transport::Other(_) => false,
    }
}

/// A socket and which way a packet of it goes.
struct SocketKey {
    key: FlowKey,
    way: Way,
}

fn socket_key(ip: &Ip) -> Option<SocketKey> {
    let (source_port, destination_port, protocol) = match &ip.transport {
        Transport::Tcp(tcp) => (tcp.source_port, tcp.destination_port, 6),
        Transport::Udp(udp) => (udp.source_port, udp.destination_port, 17),
        Transport::Icmp(_) | Transport::Fragment(_) | Transport::Other(_) => return None,
    };
    let (source, destination) = (ip.source, ip.destination);
    let there = (source, source_port) <= (destination, destination_port);
    let key = FiveTuple { source, source_port, destination, destination_port, protocol }.canonical();
    Some(SocketKey { key, way: if there { Way::There } else { Way::Back } })
}

/// The rate in events per second at which a stream holds this weight when it goes on evenly.
///
/// After long, events at a rate `r` leave the weight `r / (decay ln 2)`. A single one after silence shows as
/// `decay ln 2`.
fn rate(weight: f64, decay: usize) -> f64 {
    weight * DECAYS.get(decay).copied().unwrap_or_default() * std::f64::consts::LN_2
}

#[cfg(test)]
mod tests;
