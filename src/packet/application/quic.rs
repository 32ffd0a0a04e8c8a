//! QUIC's Initial packets (RFC 9000 section 17.2.2, RFC 9369) of clients, for the TLS hello in them. Recognised by
//! content on any port. Read only until the hello is there; packets of servers and all later ones are left alone.

use std::ops::Range;

use super::allowance::Allowance;
use super::gather::{Gatherings, Pieces, Stream};
use super::hello::{self, Extent};
use super::ja4::Carrier;
use super::quic_keys::{ClientKeys, SAMPLE, Version};
use super::{Datagram, Memory};
use crate::bounded::{Keyed, Place, Table};
use crate::packet::digest::{Digest, FaultReason, Layer};
use crate::packet::hint::Hint;
use crate::packet::window::Window;
use crate::time::{Span, Timestamp};

/// RFC 9000 section 14.1: a client's Initial comes in a datagram of at least this.
const MIN_DATAGRAM: usize = 1200;

/// Longer packets than these, of jumbo frames, are not opened.
const MAX_PACKET: usize = 2048;

/// RFC 9000 section 17.2.
const MAX_CONNECTION_ID: usize = 20;

const VERSION_1: u32 = 1;
const VERSION_2: u32 = 0x6b33_43cf;

/// Packets of a stream that are opened while its hello is not there: browsers take two, and may send them again.
const MAX_PACKETS: u8 = 8;

const FRAME_PADDING: u64 = 0;
const FRAME_PING: u64 = 1;
const FRAME_ACK: u64 = 2;
const FRAME_ACK_ECN: u64 = 3;
const FRAME_CRYPTO: u64 = 6;
const FRAME_CLOSE: u64 = 0x1c;

const MESSAGE_CLIENT_HELLO: u8 = 1;

/// The hellos that are being gathered, and the streams that need no more reading.
#[derive(Debug)]
pub(super) struct Initials {
    gathered: Gatherings<Opened>,
    done: Table<Done, 1>,
    allowance: Allowance,
}

/// What the packets of a stream are opened with.
#[derive(Clone, Copy, Debug)]
struct Opened {
    destination: ConnectionId,
    packets: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct ConnectionId {
    bytes: [u8; MAX_CONNECTION_ID],
    length: usize,
}

/// A stream of which the hello was read, or given up.
#[derive(Clone, Copy, Debug)]
struct Done {
    stream: Stream,
    since: Timestamp,
}

impl Initials {
    /// Streams that are remembered as read, the latest.
    const DONE: usize = 512;

    /// Packets opened in a second of the capture; each takes some derivations of keys and the decryption of a packet.
    const EACH_SECOND: u32 = 500;

    pub(super) fn new(hash_seed: u64) -> Self {
        Self {
            gathered: Gatherings::new(hash_seed),
            done: Table::new(Self::DONE, hash_seed),
            allowance: Allowance::new(Self::EACH_SECOND),
        }
    }

    /// Hellos that were not put together.
    pub(super) const fn given_up(&self) -> u64 {
        self.gathered.given_up()
    }

    /// Packets that were not opened because too many came.
    pub(super) const fn refused(&self) -> u64 {
        self.allowance.refused()
    }
}

/// A long header of an Initial, of a version that is read, in a datagram long enough for one of a client.
pub(super) fn looks_like_one(payload: Window<'_>) -> bool {
    match *payload.bytes {
        [0xc0..=0xcf, 0, 0, 0, 1, ..] | [0xd0..=0xdf, 0x6b, 0x33, 0x43, 0xcf, ..] => {
            payload.length() >= MIN_DATAGRAM
        }
        _ => false,
    }
}

/// A datagram that [`looks_like_one`]. A hello in several packets gives a hint with each.
pub(super) fn read(datagram: &Datagram<'_>, memory: &mut Memory, digest: &mut Digest) {
    let payload = datagram.payload;
    let Memory { initials, fingerprints, .. } = memory;
    let stream = datagram.stream();
    if initials.as_ref().is_some_and(|initials| initials.is_done(&stream, digest.time)) {
        return;
    }
    let Some(initial) = Initial::parse(payload.bytes) else {
        if payload.bytes.len() < payload.length() {
            digest.note(Layer::Quic, FaultReason::Cut);
        }
        return;
    };
    match initials {
        Some(initials) => initials.proceed(stream, &initial, fingerprints, digest),
        None => initial.alone(fingerprints, digest),
    }
}

impl Initials {
    /// Whether nothing more is wanted of this stream: its hello is known, or it is the way back of one.
    fn is_done(&self, stream: &Stream, now: Timestamp) -> bool {
        let back = stream.reversed();
        let done = |stream| self.done.find(stream).and_then(|place| self.done.get(place));
        let lasts = |done: &Done| now.since(done.since) <= Done::LASTS;
        done(stream).is_some_and(lasts) || done(&back).is_some_and(lasts) || self.gathered.has(&back)
    }

    fn proceed(
        &mut self,
        stream: Stream,
        initial: &Initial<'_>,
        fingerprints: &mut Allowance,
        digest: &mut Digest,
    ) {
        let now = digest.time;
        if !self.allowance.take(now) {
            return;
        }
        let known = self.gathered.find(&stream, now);
        let first = known.and_then(|place| Some(self.gathered.get_mut(place)?.state.destination));
        let mut buffer = [0; MAX_PACKET];
        let Some(frames) = initial.frames(first.as_ref().map(ConnectionId::as_slice), &mut buffer) else {
            // Not what the client of this stream sent: a server's of which the client was not seen, or made up.
            return known.map_or((), |place| self.count(place, stream, now));
        };
        let place = known.or_else(|| {
            let destination = ConnectionId::new(initial.destination);
            self.gathered.start(stream, Opened { destination, packets: 0 }, now)
        });
        let Some(place) = place else { return };
        let Some(gathering) = self.gathered.get_mut(place) else { return };
        let extent = match crypto(frames, |offset, data| gathering.pieces.put(offset, data)) {
            Ok(()) => tell(gathering.pieces.prefix(), fingerprints, digest),
            Err(reason) => Extent::Malformed(reason),
        };
        match extent {
            Extent::Part => self.count(place, stream, now),
            Extent::Whole => self.finish(place, stream, now),
            Extent::Malformed(reason) => {
                digest.note(Layer::Quic, reason);
                self.finish(place, stream, now);
            }
        }
    }

    /// One more packet without the whole hello.
    fn count(&mut self, place: Place, stream: Stream, now: Timestamp) {
        let Some(gathering) = self.gathered.get_mut(place) else { return };
        gathering.state.packets += 1;
        if gathering.state.packets >= MAX_PACKETS {
            self.gathered.count_given_up();
            self.finish(place, stream, now);
        }
    }

    fn finish(&mut self, place: Place, stream: Stream, now: Timestamp) {
        self.gathered.finish(place);
        let stale = self.done.find(&stream);
        let oldest = || self.done.first(0).filter(|_| self.done.is_full());
        stale.or_else(oldest).and_then(|place| self.done.remove(place));
        // Room was made.
        let _place = self.done.insert(0, Done { stream, since: now });
    }
}

impl Done {
    /// Longer than a handshake; then the ports may be those of another connection.
    const LASTS: Span = Span::from_secs(10);
}

/// An Initial packet as far as it can be read without keys.
#[derive(Clone, Copy, Debug)]
struct Initial<'a> {
    version: Version,
    destination: &'a [u8],
    /// From the first byte to the end that the packet gives itself.
    packet: &'a [u8],
    /// Bytes before the packet number.
    header: usize,
}

impl<'a> Initial<'a> {
    fn parse(datagram: &'a [u8]) -> Option<Self> {
        let mut fields = Fields(datagram);
        let [_, version @ ..] = *fields.take(5)?.first_chunk::<5>()?;
        let version = match u32::from_be_bytes(version) {
            VERSION_1 => Version::One,
            VERSION_2 => Version::Two,
            _ => return None,
        };
        let destination = fields.connection_id()?;
        fields.connection_id()?;
        let token = fields.number()?;
        fields.take(usize::try_from(token).ok()?)?;
        let length = usize::try_from(fields.number()?).ok()?;
        let header = datagram.len() - fields.0.len();
        let packet = datagram.get(..header.checked_add(length)?)?;
        Some(Self { version, destination, packet, header })
    }

    /// The frames, opened with the keys of the stream's first packet, or those of this one: a server may have asked to
    /// try again (RFC 9000 section 17.2.5).
    fn frames<'b>(&self, first: Option<&[u8]>, buffer: &'b mut [u8; MAX_PACKET]) -> Option<&'b [u8]> {
        let length = first
            .filter(|&first| first != self.destination)
            .and_then(|first| self.open(first, buffer))
            .or_else(|| self.open(self.destination, buffer))?;
        buffer.get(length)
    }

    /// Where in the buffer the frames are.
    fn open(&self, destination: &[u8], buffer: &mut [u8; MAX_PACKET]) -> Option<Range<usize>> {
        let keys = ClientKeys::new(self.version, destination).ok()?;
        let sample = self.packet.get(self.header.checked_add(4)?..)?.get(..SAMPLE)?;
        let mask = keys.mask(sample).ok()?;
        let packet = buffer.get_mut(..self.packet.len())?;
        packet.copy_from_slice(self.packet);
        let first = packet.first_mut()?;
        *first ^= mask[0] & 0x0f;
        let length = usize::from(*first & 3) + 1;
        let mut number = 0;
        for (byte, cover) in packet.iter_mut().skip(self.header).take(length).zip(mask.iter().skip(1)) {
            *byte ^= cover;
            number = number << 8 | u32::from(*byte);
        }
        let (header, sealed) = packet.split_at_mut_checked(self.header + length)?;
        let frames = keys.open(number, header, sealed).ok()?;
        Some(header.len()..header.len() + frames.len())
    }

    /// Reads the packet by itself.
    fn alone(&self, fingerprints: &mut Allowance, digest: &mut Digest) {
        let mut buffer = [0; MAX_PACKET];
        let Some(frames) = self.frames(None, &mut buffer) else { return };
        let mut pieces = Pieces::default();
        let extent = match crypto(frames, |offset, data| pieces.put(offset, data)) {
            Ok(()) => tell(pieces.prefix(), fingerprints, digest),
            Err(reason) => Extent::Malformed(reason),
        };
        if let Extent::Malformed(reason) = extent {
            digest.note(Layer::Quic, reason);
        }
    }
}

/// Reads the handshake as far as it is there.
fn tell(handshake: &[u8], fingerprints: &mut Allowance, digest: &mut Digest) -> Extent {
    let (body, length) = match *handshake {
        [MESSAGE_CLIENT_HELLO, high, middle, low, ref body @ ..] => {
            (body, usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low))
        }
        [] | [MESSAGE_CLIENT_HELLO, ..] => (&[][..], usize::MAX),
        _ => return Extent::Malformed(FaultReason::BadField),
    };
    let (offer, extent) = hello::read(body, length);
    let fingerprint = match extent {
        Extent::Malformed(_) => return extent,
        Extent::Part => None,
        Extent::Whole => fingerprints.take(digest.time).then_some(Carrier::Quic),
    };
    digest.hint = Hint::Quic(offer.hint(fingerprint));
    extent
}

/// Gives the handshake data of the frames to `put`, each with its offset.
fn crypto(frames: &[u8], mut put: impl FnMut(usize, &[u8])) -> Result<(), FaultReason> {
    let mut fields = Fields(frames);
    // Each turn takes at least one byte.
    while !fields.0.is_empty() {
        let frame = fields.frame().ok_or(FaultReason::BadLength)?;
        match frame {
            Frame::Crypto(offset, data) => put(offset, data),
            Frame::Other => {}
            Frame::Close => return Ok(()),
            Frame::Forbidden => return Err(FaultReason::BadField),
        }
    }
    Ok(())
}

/// What an Initial may have (RFC 9000 section 12.4).
enum Frame<'a> {
    Crypto(usize, &'a [u8]),
    Other,
    Close,
    Forbidden,
}

/// What is left to read.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    /// A number of variable length (RFC 9000 section 16).
    fn number(&mut self) -> Option<u64> {
        let first = *self.0.first()?;
        let bytes = self.take(1 << (first >> 6))?;
        let number = bytes.iter().skip(1).fold(u64::from(first & 0x3f), |n, &byte| n << 8 | u64::from(byte));
        Some(number)
    }

    fn connection_id(&mut self) -> Option<&'a [u8]> {
        let length = usize::from(*self.take(1)?.first()?);
        if length > MAX_CONNECTION_ID { None } else { self.take(length) }
    }

    fn frame(&mut self) -> Option<Frame<'a>> {
        let kind = self.number()?;
        match kind {
            FRAME_PADDING | FRAME_PING => {}
            FRAME_ACK | FRAME_ACK_ECN => {
                self.number()?;
                self.number()?;
                let ranges = self.number()?;
                self.number()?;
                let more = if kind == FRAME_ACK_ECN { 3 } else { 0 };
                for _ in 0..ranges.checked_mul(2)?.checked_add(more)? {
                    self.number()?;
                }
            }
            FRAME_CRYPTO => {
                let offset = usize::try_from(self.number()?).unwrap_or(usize::MAX);
                let length = usize::try_from(self.number()?).ok()?;
                return Some(Frame::Crypto(offset, self.take(length)?));
            }
            FRAME_CLOSE => return Some(Frame::Close),
            _ => return Some(Frame::Forbidden),
        }
        Some(Frame::Other)
    }
}

impl ConnectionId {
    fn new(id: &[u8]) -> Self {
        let mut bytes = [0; MAX_CONNECTION_ID];
        for (to, from) in bytes.iter_mut().zip(id) {
            *to = *from;
        }
        Self { bytes, length: id.len() }
    }

    fn as_slice(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or(&self.bytes)
    }
}

impl Keyed for Done {
    type Key = Stream;

    fn key(&self) -> Stream {
        self.stream
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::samples::{captured, client_hello, digest, fault, udp4, vector};
    use crate::packet::{ClientHello, Depth, Dissector, Frame as PacketFrame, Link};

    const PORTS: (u16, u16) = (40_000, 8443);
    const ID: &[u8] = b"\x83\x94\xc8\xf0\x3e\x51\x57\x08";

    fn varint(number: usize) -> [u8; 4] {
        (u32::try_from(number).unwrap() | 0x8000_0000).to_be_bytes()
    }

    /// A CRYPTO frame of a part of the handshake.
    fn part(handshake: &[u8], range: Range<usize>) -> Vec<u8> {
        let data = &handshake[range.clone()];
        [&[6][..], &varint(range.start), &varint(data.len()), data].concat()
    }

    /// A client's packet, filled up with padding.
    fn sealed(version: Version, id: &[u8], number: u32, frames: &[u8]) -> Vec<u8> {
        let (first, version_number) = match version {
            Version::One => (0xc3, VERSION_1),
            Version::Two => (0xd3, VERSION_2),
        };
        let mut payload = frames.to_vec();
        payload.resize(payload.len().max(1200), 0);
        let length = varint(4 + payload.len() + 16);
        let ids = [vector(1, id), vector(1, b"scid"), vec![0]].concat();
        let header = [&[first][..], &version_number.to_be_bytes(), &ids, &length].concat();
        ClientKeys::new(version, id).unwrap().seal(&header, number, &payload)
    }

    fn one(number: u32, frames: &[u8]) -> Vec<u8> {
        sealed(Version::One, ID, number, frames)
    }

    fn feed(dissector: &mut Dissector, millis: u64, payload: &[u8]) -> Digest {
        let bytes = udp4(PORTS.0, PORTS.1, payload);
        let time = Timestamp::EPOCH + Span::from_millis(millis);
        let wire_len = bytes.len().try_into().unwrap();
        dissector.dissect(&PacketFrame { time, link: Link::Ethernet, wire_len, bytes: &bytes })
    }

    fn hello(digest: &Digest) -> Option<ClientHello> {
        match digest.hint {
            Hint::Quic(hello) => Some(hello),
            Hint::None => None,
            ref other => panic!("{other:?}"),
        }
    }

    fn is_whole(digest: &Digest) -> bool {
        hello(digest).is_some_and(|hello| {
            hello.server_name.as_str() == "shop.example" && hello.ja4.as_str().starts_with("q13d0406h2_")
        })
    }

    fn whole(handshake: &[u8]) -> Vec<u8> {
        part(handshake, 0..handshake.len())
    }

    #[test]
    fn a_hello_in_one_packet_of_either_version() {
        let handshake = client_hello(32);
        for version in [Version::One, Version::Two] {
            let packet = sealed(version, ID, 0, &whole(&handshake));
            let alone = digest(&udp4(PORTS.0, PORTS.1, &packet));
            assert!(is_whole(&alone), "{version:?} {:?}", alone.fault);
            assert!(is_whole(&feed(&mut Dissector::new(1), 0, &packet)));
        }
    }

    #[test]
    fn scattered_over_frames_and_two_packets() {
        let handshake = client_hello(1216);
        let end = handshake.len();
        let first = [
            part(&handshake, 900..1000),
            vec![1, 0, 0],
            part(&handshake, 0..300),
            part(&handshake, 300..700),
        ];
        let ack = vec![2, 0, 0, 1, 0, 0, 0];
        let second = [ack, part(&handshake, 1000..end), part(&handshake, 600..900)];
        let mut dissector = Dissector::new(1);
        let part = hello(&feed(&mut dissector, 0, &one(0, &first.concat()))).unwrap();
        assert!(part.ja4.is_empty());
        assert!(is_whole(&feed(&mut dissector, 1, &one(1, &second.concat()))));
        assert!(hello(&feed(&mut dissector, 2, &one(2, &second.concat()))).is_none(), "it is known");
        let mut dissector = Dissector::new(1);
        assert!(
            hello(&feed(&mut dissector, 0, &one(1, &second.concat())))
                .is_some_and(|h| h.server_name.is_empty())
        );
        assert!(is_whole(&feed(&mut dissector, 1, &one(0, &first.concat()))), "the second came first");
    }

    /// From the server's answer on the client uses another id, but the same keys; after a retry, other keys.
    #[test]
    fn keys_stay_or_change_with_a_retry() {
        let handshake = client_hello(1216);
        let (first, second) = (part(&handshake, 0..900), part(&handshake, 900..handshake.len()));
        let mut kept = one(1, &second);
        let other = sealed(Version::One, b"another!", 1, &second);
        let mut dissector = Dissector::new(1);
        feed(&mut dissector, 0, &one(0, &first));
        assert!(is_whole(&feed(&mut dissector, 1, &other)));
        kept[6] ^= 1;
        assert!(hello(&feed(&mut Dissector::new(1), 0, &kept)).is_none(), "its header is sealed, too");
    }

    #[test]
    fn the_way_back_and_what_cannot_be_opened() {
        let handshake = client_hello(32);
        let mut dissector = Dissector::new(1);
        let mut broken = one(0, &whole(&handshake));
        let last = broken.len() - 1;
        broken[last] ^= 1;
        let digest = feed(&mut dissector, 0, &broken);
        assert!(hello(&digest).is_none() && digest.fault.is_none(), "made up, or of a server");
        feed(&mut dissector, 0, &one(0, &whole(&handshake)));
        let back = udp4(PORTS.1, PORTS.0, &one(0, &whole(&handshake)));
        let frame = |millis| PacketFrame {
            time: Timestamp::EPOCH + Span::from_millis(millis),
            link: Link::Ethernet,
            wire_len: 1400,
            bytes: &back,
        };
        // The ends are the same host in these frames, so that only the ports turn.
        let mut same = back.clone();
        same[26..30].copy_from_slice(&back[30..34]);
        same[30..34].copy_from_slice(&back[26..30]);
        assert!(hello(&dissector.dissect(&PacketFrame { bytes: &same, ..frame(1) })).is_none());
        assert!(is_whole(&dissector.dissect(&PacketFrame { bytes: &same, ..frame(10_001) })), "another one");
    }

    #[test]
    fn a_stream_gets_few_attempts() {
        let handshake = client_hello(1216);
        let packet = one(0, &part(&handshake, 0..300));
        let mut dissector = Dissector::new(1);
        let found = (0..20).filter(|_| hello(&feed(&mut dissector, 0, &packet)).is_some()).count();
        assert_eq!((found, dissector.unread().quic_hellos), (8, 1));
    }

    #[test]
    fn a_flood_is_not_opened() {
        let packet = one(0, &whole(&client_hello(32)));
        let mut dissector = Dissector::new(1);
        let mut found = 0;
        for port in 0..600 {
            let bytes = udp4(port + 10_000, 443, &packet);
            let wire_len = bytes.len().try_into().unwrap();
            let frame = PacketFrame { time: Timestamp::EPOCH, link: Link::Ethernet, wire_len, bytes: &bytes };
            found += u32::from(is_whole(&dissector.dissect(&frame)));
        }
        assert_eq!((found, dissector.unread().quic_packets), (500, 100));
    }

    #[test]
    fn what_an_initial_may_not_have() {
        let reason = |frames: &[u8]| digest(&udp4(PORTS.0, PORTS.1, &one(0, frames))).fault;
        assert_eq!(reason(&[8, 0, 0]), fault(Layer::Quic, FaultReason::BadField), "a stream");
        assert_eq!(reason(&[6, 0, 0x7f, 0xff]), fault(Layer::Quic, FaultReason::BadLength));
        assert_eq!(
            reason(&[&[6, 0, 5][..], b"\x02hell"].concat()),
            fault(Layer::Quic, FaultReason::BadField)
        );
        assert_eq!(reason(&[0x1c, 0, 0, 0, 0xff]), None, "it closes");
        let mut dissector = Dissector::new(1);
        assert_eq!(
            feed(&mut dissector, 0, &one(0, &[8, 0])).fault,
            fault(Layer::Quic, FaultReason::BadField)
        );
    }

    #[test]
    fn what_is_no_initial_of_a_client() {
        let good = one(0, &whole(&client_hello(32)));
        for (at, byte) in [(0, 0x43), (0, 0xe3), (1, 1), (4, 3), (5, 21), (5, 200)] {
            let mut other = good.clone();
            other[at] = byte;
            let digest = digest(&udp4(PORTS.0, PORTS.1, &other));
            assert!(hello(&digest).is_none() && digest.fault.is_none(), "{at}");
        }
        let short = digest(&udp4(PORTS.0, PORTS.1, &good[..1199]));
        assert!(hello(&short).is_none());
        let frame = udp4(PORTS.0, PORTS.1, &good);
        assert_eq!(captured(&frame, 600).fault, fault(Layer::Quic, FaultReason::Cut));
        let mut dissector = Dissector::new(1);
        dissector.set_depth(Depth::Essential);
        assert!(hello(&feed(&mut dissector, 0, &good)).is_none());
    }

    proptest::proptest! {
        #[test]
        fn any_frames_are_read_or_refused(
            frames in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200),
            number in proptest::prelude::any::<u32>(),
        ) {
            let digest = digest(&udp4(PORTS.0, PORTS.1, &one(number, &frames)));
            proptest::prop_assert!(digest.fault.is_none_or(|fault| fault.layer == Layer::Quic));
        }
    }
}
