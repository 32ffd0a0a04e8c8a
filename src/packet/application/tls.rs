//! TLS over TCP (RFC 8446 section 5): the records that begin a client's side, up to its hello. Recognised by content on
//! any port. What follows the hello is not read.

use arrayvec::ArrayVec;

use super::allowance::Allowance;
use super::gather::{Gatherings, Pieces};
use super::hello::{self, Extent};
use super::ja4::Carrier;
use super::{Memory, Segment};
use crate::packet::digest::{Digest, FaultReason, Layer};
use crate::packet::hint::Hint;

pub(super) const RECORD_HANDSHAKE: u8 = 22;
const MESSAGE_CLIENT_HELLO: u8 = 1;
const RECORD_HEADER: usize = 5;
const MESSAGE_HEADER: usize = 4;

/// RFC 8446 section 5.1.
const MAX_RECORD: usize = 1 << 14;

/// Sequence number of the first byte of a hello.
#[derive(Clone, Copy, Debug)]
pub(super) struct Start(u32);

/// Hellos of which the first segment came.
pub(super) type Heads = Gatherings<Start>;

/// What the first bytes of a stream are.
enum Head<'a> {
    /// Not a hello.
    Other,
    /// Too few bytes to tell.
    Short,
    /// The body of a hello as far as it is there, and the length that it has.
    Hello(&'a [u8], usize),
}

/// Where the body of a hello is put together that lies in several records.
type Scratch = ArrayVec<u8, { Pieces::CAPACITY }>;

/// A segment that begins with [`RECORD_HANDSHAKE`]. Whether it is, or may be, of a hello.
///
/// A hello in several segments gives a hint with the first, of what is there, and one with the last, of all.
pub(super) fn first(segment: &Segment<'_>, memory: &mut Memory, digest: &mut Digest) -> bool {
    let payload = segment.payload;
    let mut scratch = Scratch::new();
    let (known, fits) = match head(payload.bytes, &mut scratch) {
        Head::Other => return false,
        Head::Short => (false, true),
        Head::Hello(body, length) => match tell(body, length, &mut memory.fingerprints, digest) {
            Extent::Part => (true, length < Pieces::CAPACITY - RECORD_HEADER - MESSAGE_HEADER),
            Extent::Whole | Extent::Malformed(_) => return true,
        },
    };
    if payload.bytes.len() < payload.length() {
        if known {
            digest.note(Layer::Tls, FaultReason::Cut);
        }
    } else if let Some(heads) = &mut memory.heads {
        if fits {
            heads.begin(segment.stream(), Start(segment.sequence()), payload.bytes, digest.time);
        } else {
            heads.count_given_up();
        }
    }
    true
}

/// Whether a segment may go on with a hello that [`first`] found.
pub(super) fn may_continue(segment: &Segment<'_>, memory: &Memory) -> bool {
    let tcp = segment.tcp;
    memory.heads.as_ref().is_some_and(|heads| heads.may_have(tcp.source_port, tcp.destination_port))
}

/// Goes on with a hello. Whether the segment is of one.
pub(super) fn next(segment: &Segment<'_>, memory: &mut Memory, digest: &mut Digest) -> bool {
    let Some(heads) = &mut memory.heads else { return false };
    let Some(place) = heads.find(&segment.stream(), digest.time) else { return false };
    let Some(gathering) = heads.get_mut(place) else { return false };
    let offset = usize::try_from(segment.sequence().wrapping_sub(gathering.state.0)).unwrap_or(usize::MAX);
    if offset >= Pieces::CAPACITY {
        // The ports are used again, or this is no part of it.
        if segment.payload.bytes.first() == Some(&RECORD_HANDSHAKE) {
            heads.give_up(place);
        }
        return false;
    }
    gathering.pieces.put(offset, segment.payload.bytes);
    let mut scratch = Scratch::new();
    let there = gathering.pieces.prefix();
    match head(there, &mut scratch) {
        Head::Hello(body, length) if body.len() >= length => {
            tell(body, length, &mut memory.fingerprints, digest);
            heads.finish(place);
        }
        Head::Hello(..) | Head::Short if there.len() < Pieces::CAPACITY => {}
        Head::Other | Head::Hello(..) | Head::Short => heads.give_up(place),
    }
    true
}

fn tell(body: &[u8], length: usize, fingerprints: &mut Allowance, digest: &mut Digest) -> Extent {
    let (offer, extent) = hello::read(body, length);
    match extent {
        Extent::Malformed(reason) => digest.note(Layer::Tls, reason),
        Extent::Part => digest.hint = Hint::Tls(offer.hint(None)),
        Extent::Whole => {
            let fingerprint = fingerprints.take(digest.time).then_some(Carrier::Tcp);
            digest.hint = Hint::Tls(offer.hint(fingerprint));
        }
    }
    extent
}

/// Takes the handshake message out of its records.
fn head<'a>(bytes: &'a [u8], scratch: &'a mut Scratch) -> Head<'a> {
    match *bytes {
        [RECORD_HANDSHAKE, 3, 0..=4, _, _, MESSAGE_CLIENT_HELLO, high, middle, low, ref rest @ ..] => {
            let length = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
            let body = match record_length(bytes) {
                record if record >= MESSAGE_HEADER + length => rest.get(..length).unwrap_or(rest),
                _ => of_records(bytes, length, scratch),
            };
            // The version that the body begins with is 3.x, too.
            let fits = (MESSAGE_HEADER..=MAX_RECORD).contains(&record_length(bytes))
                && matches!(*body, [] | [3] | [3, 0..=4, ..]);
            if fits { Head::Hello(body, length) } else { Head::Other }
        }
        [RECORD_HANDSHAKE]
        | [RECORD_HANDSHAKE, 3]
        | [RECORD_HANDSHAKE, 3, 0..=4]
        | [RECORD_HANDSHAKE, 3, 0..=4, _]
        | [RECORD_HANDSHAKE, 3, 0..=4, _, _]
        | [RECORD_HANDSHAKE, 3, 0..=4, _, _, MESSAGE_CLIENT_HELLO]
        | [RECORD_HANDSHAKE, 3, 0..=4, _, _, MESSAGE_CLIENT_HELLO, _]
        | [RECORD_HANDSHAKE, 3, 0..=4, _, _, MESSAGE_CLIENT_HELLO, _, _] => Head::Short,
        _ => Head::Other,
    }
}

/// The body of a message that is spread over several records.
fn of_records<'a>(mut bytes: &[u8], length: usize, scratch: &'a mut Scratch) -> &'a [u8] {
    while let [RECORD_HANDSHAKE, 3, 0..=4, _, _, rest @ ..] = bytes {
        let (fragment, behind) = rest.split_at_checked(record_length(bytes)).unwrap_or((rest, &[]));
        let fits = fragment.len().min(scratch.remaining_capacity());
        scratch.extend(fragment.iter().copied().take(fits));
        if behind.is_empty() || fits < fragment.len() || scratch.len() >= MESSAGE_HEADER + length {
            break;
        }
        bytes = behind;
    }
    let body = scratch.get(MESSAGE_HEADER..).unwrap_or(&[]);
    body.get(..length).unwrap_or(body)
}

fn record_length(record: &[u8]) -> usize {
    match *record {
        [_, _, _, high, low, ..] => usize::from(u16::from_be_bytes([high, low])),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::samples::{captured, client_hello, digest, fault, segment, tls_record, vector};
    use crate::packet::{ClientHello, Depth, Dissector, Frame, Link};
    use crate::time::{Span, Timestamp};

    const PORTS: (u16, u16) = (40_000, 8443);

    fn feed(dissector: &mut Dissector, millis: u64, bytes: &[u8]) -> Digest {
        let time = Timestamp::EPOCH + Span::from_millis(millis);
        let wire_len = bytes.len().try_into().unwrap();
        dissector.dissect(&Frame { time, link: Link::Ethernet, wire_len, bytes })
    }

    fn hello(digest: &Digest) -> Option<ClientHello> {
        match digest.hint {
            Hint::Tls(hello) => Some(hello),
            Hint::None => None,
            ref other => panic!("{other:?}"),
        }
    }

    fn is_whole(hello: Option<ClientHello>) -> bool {
        hello.is_some_and(|hello| hello.server_name.as_str() == "shop.example" && !hello.ja4.is_empty())
    }

    /// Sends the parts in this order, each at its offset; gives the hints.
    fn send(dissector: &mut Dissector, stream: &[u8], parts: &[(usize, usize)]) -> Vec<Option<ClientHello>> {
        let base = u32::MAX - 700;
        let parts = parts.iter().map(|&(start, end)| {
            let sequence = base.wrapping_add(u32::try_from(start).unwrap());
            hello(&feed(dissector, 0, &segment(PORTS, sequence, &stream[start..end])))
        });
        parts.collect()
    }

    #[test]
    fn a_hello_in_one_segment_on_any_port() {
        let whole = digest(&segment(PORTS, 1, &tls_record(&client_hello(32))));
        assert!(is_whole(hello(&whole)));
        assert_eq!(whole.fault, None);
    }

    #[test]
    fn a_hello_in_two_segments_split_anywhere() {
        let stream = tls_record(&client_hello(1216));
        for at in 1..stream.len() {
            let mut dissector = Dissector::new(1);
            let found = send(&mut dissector, &stream, &[(0, at), (at, stream.len())]);
            assert_eq!(found[0].is_some(), at >= 9, "{at}: the first segment tells what it is");
            assert!(found[0].is_none_or(|hello| hello.ja4.is_empty()));
            assert!(is_whole(found[1]), "{at}");
            assert_eq!(dissector.unread().tls_hellos, 0);
        }
    }

    #[test]
    fn segments_out_of_order_and_again() {
        let stream = tls_record(&client_hello(1800));
        let found =
            send(&mut Dissector::new(1), &stream, &[(0, 500), (1000, stream.len()), (0, 500), (400, 1000)]);
        assert_eq!(
            found.iter().map(|hello| is_whole(*hello)).collect::<Vec<_>>(),
            [false, false, false, true]
        );
    }

    #[test]
    fn a_hello_in_several_records() {
        let message = client_hello(300);
        for size in [4, 5, 100, 299] {
            let records: Vec<Vec<u8>> = message.chunks(size).map(tls_record).collect();
            let stream = records.concat();
            assert!(is_whole(hello(&digest(&segment(PORTS, 1, &stream)))), "{size}");
            let half = stream.len() / 2;
            let found = send(&mut Dissector::new(1), &stream, &[(0, half), (half, stream.len())]);
            assert!(is_whole(found[1]), "{size}");
        }
    }

    #[test]
    fn alone_a_first_segment_gives_what_it_has() {
        let stream = tls_record(&client_hello(100));
        let part = hello(&digest(&segment(PORTS, 1, &stream[..stream.len() - 1]))).unwrap();
        assert_eq!((part.server_name.as_str(), part.ja4.as_str()), ("shop.example", ""));
        let long = tls_record(&client_hello(5000));
        let mut dissector = Dissector::new(1);
        assert!(send(&mut dissector, &long, &[(0, 1400)])[0].is_some());
        assert_eq!(dissector.unread().tls_hellos, 1, "too long to be waited for");
    }

    #[test]
    fn what_does_not_come_is_counted() {
        let stream = tls_record(&client_hello(1216));
        let mut dissector = Dissector::new(1);
        send(&mut dissector, &stream, &[(0, 600)]);
        let late = feed(&mut dissector, 8_001, &segment(PORTS, u32::MAX - 100, &stream[600..]));
        assert!(hello(&late).is_none());
        assert_eq!(dissector.unread().tls_hellos, 1);
        for port in 1_000..1_065 {
            feed(&mut dissector, 9_000, &segment((port, 443), 1, &stream[..600]));
        }
        assert_eq!(dissector.unread().tls_hellos, 2, "one made room");
    }

    #[test]
    fn a_new_connection_with_the_same_ports() {
        let stream = tls_record(&client_hello(1216));
        let mut dissector = Dissector::new(1);
        send(&mut dissector, &stream, &[(0, 600)]);
        feed(&mut dissector, 1, &segment(PORTS, 70_000, &stream[..600]));
        assert!(is_whole(hello(&feed(&mut dissector, 2, &segment(PORTS, 70_600, &stream[600..])))));
        assert_eq!(dissector.unread().tls_hellos, 1);
    }

    #[test]
    fn what_is_no_hello_is_no_fault() {
        let good = tls_record(&client_hello(32));
        for (at, byte) in [(0, 23), (1, 2), (2, 5), (5, 2), (9, 2), (10, 9), (4, 3), (3, 0x50)] {
            let mut other = good.clone();
            if at == 4 {
                other[3] = 0;
            }
            other[at] = byte;
            let digest = digest(&segment(PORTS, 1, &other));
            assert!(hello(&digest).is_none() && digest.fault.is_none(), "{at}");
        }
    }

    #[test]
    fn a_hello_that_contradicts_itself() {
        let mut broken = tls_record(&client_hello(32));
        broken[5 + 38] = 33;
        let digest = digest(&segment(PORTS, 1, &broken));
        assert_eq!(digest.fault, fault(Layer::Tls, FaultReason::BadField));
        assert!(hello(&digest).is_none());
        let short = [&[22, 3, 1][..], &vector(2, &[1, 0, 0, 2, 3, 3])].concat();
        assert_eq!(self::digest(&segment(PORTS, 1, &short)).fault, fault(Layer::Tls, FaultReason::BadLength));
    }

    #[test]
    fn a_cut_hello_is_not_waited_for() {
        let frame = segment(PORTS, 1, &tls_record(&client_hello(32)));
        let cut = captured(&frame, frame.len() - 1);
        assert_eq!(cut.fault, fault(Layer::Tls, FaultReason::Cut));
        assert_eq!(hello(&cut).unwrap().server_name.as_str(), "shop.example");
    }

    #[test]
    fn under_load_nothing_is_gathered() {
        let stream = tls_record(&client_hello(1216));
        let mut dissector = Dissector::new(1);
        dissector.set_depth(Depth::Essential);
        assert_eq!(send(&mut dissector, &stream, &[(0, 600), (600, stream.len())]), [None, None]);
        dissector.set_depth(Depth::Full);
        assert_eq!(send(&mut dissector, &stream, &[(600, stream.len())]), [None]);
    }

    #[test]
    fn fingerprints_have_a_limit_each_second() {
        let frame = segment(PORTS, 1, &tls_record(&client_hello(32)));
        let mut dissector = Dissector::new(1);
        let with = (0..2_100).filter(|_| is_whole(hello(&feed(&mut dissector, 5, &frame)))).count();
        assert_eq!((with, dissector.unread().fingerprints), (2_000, 100));
        assert!(is_whole(hello(&feed(&mut dissector, 1_005, &frame))));
    }
}
