//! [`Dissector`] and [`dissect`]: from a frame to its digest.
//!
//! Layers write what they read into the digest and return; the first fault stays.

use super::application::{Memory, Unread};
use super::digest::{Digest, Fault, FaultReason, Frame, Layer, Mac, Network};
use super::fragments::{FragmentCounts, Fragments};
use super::hint::Hint;
use super::link;
use super::reader::Reader;
use super::window::Window;

/// How much of a packet is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Depth {
    /// All that is known.
    #[default]
    Full,
    /// Application hints of DNS and DHCP only, for times of load.
    Essential,
}

/// Reads frames. It remembers only what lies in several of them.
#[derive(Debug)]
pub struct Dissector {
    memory: Memory,
    fragments: Fragments,
}

impl Dissector {
    /// Nothing seen yet. `hash_seed` is the key of its tables.
    #[must_use]
    pub fn new(hash_seed: u64) -> Self {
        Self { memory: Memory::new(hash_seed), fragments: Fragments::new(hash_seed) }
    }

    /// From now on.
    pub const fn set_depth(&mut self, depth: Depth) {
        self.memory.depth = depth;
    }

    /// What was left unread since the start.
    #[must_use]
    pub fn unread(&self) -> Unread {
        self.memory.unread()
    }

    /// Reads one frame, as [`dissect`] does, and with it what earlier frames began: beyond what it says itself, fragments of IP get the ports of their first, and the one
    /// that completes a datagram's first 4 KiB has the hint, or is the packet, that the datagram holds.
    #[must_use]
    pub fn dissect(&mut self, frame: &Frame<'_>) -> Digest {
        read(frame, &mut self.memory, Some(&mut self.fragments))
    }

    /// What became of fragments.
    #[must_use]
    pub fn fragments(&self) -> FragmentCounts {
        self.fragments.counts()
    }
}

/// Reads one frame. Any bytes give a digest: work is bounded by the length of the headers, nothing is allocated, and
/// what could not be read is named in [`Digest::fault`].
///
/// - Payload counts follow the length fields of IP and UDP, so the padding of short frames does not count, and what
///   the capture cut off does. An IP length of zero (segmentation offload) means the rest of the frame.
/// - A length field that promises more than the frame has on the wire is a fault; reading goes on with what there is.
/// - A TCP header of which the capture cut only options is read, with a fault.
/// - Of a fragment the transport header is read where it is there, and nothing behind it.
/// - Packets in packets: the innermost one that can be read is the digest's.
#[must_use]
pub fn dissect(frame: &Frame<'_>) -> Digest {
    read(frame, &mut Memory::none(), None)
}

fn read(frame: &Frame<'_>, memory: &mut Memory, fragments: Option<&mut Fragments>) -> Digest {
    let window = Window::of(frame);
    let mut digest = Digest {
        time: frame.time,
        wire_len: window.count(),
        source: Mac::default(),
        destination: Mac::default(),
        vlan: None,
        ether_type: 0,
        tunnel: None,
        unknown: None,
        network: Network::Other,
        hint: Hint::None,
        fault: None,
    };
    link::read(frame.link, window, &mut Reader::new(&mut digest, memory, fragments));
    digest
}

impl Digest {
    /// Keeps the first fault.
    pub(super) fn note(&mut self, layer: Layer, reason: FaultReason) {
        self.fault.get_or_insert(Fault { layer, reason });
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop, prop_oneof, proptest};
    use proptest::test_runner::RngSeed;

    use super::*;
    use crate::packet::samples::{
        CLIENT_MAC, LINK, SERVER_MAC, all, captured, digest, ethernet, fault, ip4, tcp4, transport,
    };
    use crate::packet::{Icmp, Link, Tcp, Transport, Udp};
    use crate::time::Timestamp;

    fn tagged(tags: &[u16]) -> Vec<u8> {
        let mut frame = tcp4(b"data");
        for (id, &kind) in tags.iter().enumerate().rev() {
            let id = u8::try_from(100 + id).unwrap();
            let [high, low] = kind.to_be_bytes();
            frame.splice(12..12, [high, low, 0xe0, id]);
        }
        frame
    }

    #[test]
    fn ethernet_addresses_and_type() {
        let frame = digest(&tcp4(b"data"));
        assert_eq!(frame.source, Mac(CLIENT_MAC));
        assert_eq!(frame.destination, Mac(SERVER_MAC));
        assert_eq!((frame.ether_type, frame.vlan, frame.fault), (0x0800, None, None));
    }

    #[test]
    fn the_outermost_tag_is_the_vlan() {
        for tags in [&[0x8100][..], &[0x88a8, 0x8100], &[0x9100, 0x8100], &[0x88a8, 0x88a8, 0x8100, 0x8100]] {
            let frame = digest(&tagged(tags));
            assert_eq!((frame.ether_type, frame.vlan, frame.fault), (0x0800, Some(100), None), "{tags:x?}");
            assert!(matches!(transport(&frame), Transport::Tcp(Tcp { payload: 4, .. })));
        }
    }

    #[test]
    fn too_many_tags_are_a_bad_field() {
        let frame = digest(&tagged(&[0x8100; 5]));
        assert_eq!((frame.ether_type, frame.vlan), (0, Some(100)));
        assert_eq!(frame.fault, fault(Layer::Link, FaultReason::BadField));
    }

    #[test]
    fn an_ended_or_cut_link_header_leaves_no_addresses() {
        let frame = tcp4(b"data");
        let short = digest(&frame[..13]);
        assert_eq!(short.fault, fault(Layer::Link, FaultReason::TooShort));
        assert!(short.source.is_zero() && short.destination.is_zero());
        assert_eq!(captured(&frame, 13).fault, fault(Layer::Link, FaultReason::Cut));
        assert_eq!(digest(&[]).fault, fault(Layer::Link, FaultReason::TooShort));
        let frame = tagged(&[0x8100]);
        assert_eq!(digest(&frame[..17]).fault, fault(Layer::Link, FaultReason::TooShort));
        assert_eq!(captured(&frame, 17).fault, fault(Layer::Link, FaultReason::Cut));
        assert_eq!(captured(&frame, 17).source, Mac(CLIENT_MAC));
    }

    #[test]
    fn what_is_no_arp_or_ip_is_no_fault() {
        for ether_type in [0, 38, 1500, 1501, 0x88cc, 0x8892] {
            let frame = digest(&ethernet(ether_type, &[0; 46]));
            assert_eq!((frame.ether_type, frame.fault), (ether_type, None));
            assert!(matches!(frame.network, Network::Other));
        }
    }

    #[test]
    fn an_unknown_link_is_counted_and_not_read() {
        let bytes = tcp4(b"data");
        let frame = Frame { time: Timestamp::EPOCH, link: Link::Unknown(105), wire_len: 70, bytes: &bytes };
        let digest = dissect(&frame);
        assert_eq!(digest.fault, fault(Layer::Link, FaultReason::UnknownLink));
        assert!(digest.source.is_zero() && matches!(digest.network, Network::Other));
    }

    #[test]
    fn padding_does_not_count() {
        let mut frame = ip4(17, &[0x13, 0x88, 0x17, 0x70, 0, 10, 0, 0, b'h', b'i']);
        frame.resize(60, 0xaa);
        assert!(matches!(transport(&digest(&frame)), Transport::Udp(Udp { payload: 2, .. })));
        assert_eq!(digest(&frame).wire_len, 60);
        assert_eq!(digest(&frame).fault, None);
    }

    #[test]
    fn valid_frames_have_no_fault() {
        for frame in all() {
            assert_eq!(digest(&frame).fault, None, "{frame:x?}");
        }
    }

    /// Capture length must not change what is seen, only how much of it.
    #[test]
    fn a_cut_frame_gives_the_same_or_less_and_blames_the_cut() {
        for frame in all() {
            let whole = digest(&frame);
            for length in 0..frame.len() {
                let cut = captured(&frame, length);
                assert_eq!(cut.wire_len, whole.wire_len);
                match cut.fault {
                    Some(fault) => assert_eq!(fault.reason, FaultReason::Cut, "{length} of {frame:x?}"),
                    // What a protocol is known by may be cut off, too: then nothing is missed.
                    None if matches!(cut.hint, Hint::None) => {}
                    None => assert_eq!(format!("{cut:?}"), format!("{whole:?}")),
                }
                if let (Network::Ip(cut), Network::Ip(whole)) = (cut.network, whole.network) {
                    assert_eq!((cut.source, cut.destination), (whole.source, whole.destination));
                    assert!(same_or_unread(cut.transport, whole.transport), "{length} of {frame:x?}");
                }
            }
        }
    }

    fn same_or_unread(cut: Transport, whole: Transport) -> bool {
        match (cut, whole) {
            (Transport::Other(_), _) => true,
            (Transport::Tcp(a), Transport::Tcp(b)) => a == b,
            (Transport::Udp(a), Transport::Udp(b)) => a == b,
            (Transport::Icmp(a), Transport::Icmp(b)) => a.payload == b.payload,
            (a, b) => format!("{a:?}") == format!("{b:?}"),
        }
    }

    #[test]
    fn a_frame_that_ended_early_is_never_blamed_on_the_capture() {
        for frame in all() {
            for length in 0..frame.len() {
                let reason = digest(&frame[..length]).fault.map(|fault| fault.reason);
                assert_ne!(reason, Some(FaultReason::Cut), "{length} of {frame:x?}");
                let is_ip = matches!(digest(&frame).network, Network::Ip(_));
                assert!(reason.is_some() || !is_ip && length >= LINK, "{length} of {frame:x?}");
            }
        }
    }

    /// A valid frame with some bytes overwritten, then cut.
    fn mutated() -> impl Strategy<Value = Vec<u8>> {
        let edit = (any::<prop::sample::Index>(), prop_oneof![any::<u8>(), Just(0), Just(0xff), Just(0xc0)]);
        (prop::sample::select(all()), prop::collection::vec(edit, 0..6), any::<prop::sample::Index>())
            .prop_map(|(mut frame, edits, end)| {
                for (at, byte) in edits {
                    let at = at.index(frame.len());
                    frame[at] = byte;
                }
                frame.truncate(end.index(frame.len() * 3).max(LINK));
                frame
            })
    }

    fn payload(transport: Transport) -> u32 {
        match transport {
            Transport::Tcp(Tcp { payload, .. })
            | Transport::Udp(Udp { payload, .. })
            | Transport::Icmp(Icmp { payload, .. }) => payload,
            Transport::Fragment(_) | Transport::Other(_) => 0,
        }
    }

    fn check(bytes: &[u8], wire_len: u32, link: Link) {
        let digest = dissect(&Frame { time: Timestamp::EPOCH, link, wire_len, bytes });
        let length = u32::try_from(bytes.len()).unwrap();
        assert_eq!(digest.wire_len, wire_len.max(length));
        if let Network::Ip(ip) = digest.network {
            assert!(payload(ip.transport) < digest.wire_len);
        }
        if wire_len <= length {
            assert_ne!(digest.fault.map(|fault| fault.reason), Some(FaultReason::Cut));
        }
    }

    /// Segments of one stream, each with what a protocol begins with or anything.
    fn segments() -> impl Strategy<Value = Vec<(u32, Vec<u8>)>> {
        let hello = crate::packet::samples::tls_record(&crate::packet::samples::client_hello(1216));
        let bytes = prop_oneof![
            prop::collection::vec(any::<u8>(), 0..200),
            (0..1400_usize, 0..1400_usize)
                .prop_map(move |(from, length)| { hello.iter().copied().skip(from).take(length).collect() }),
        ];
        prop::collection::vec((0..6000_u32, bytes), 0..12)
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            cases: 4096,
            rng_seed: RngSeed::Fixed(0x7a70),
            failure_persistence: None,
            ..ProptestConfig::default()
        })]

        #[test]
        fn any_bytes_give_a_digest(
            bytes in prop::collection::vec(any::<u8>(), 0..400),
            wire_len in any::<u32>(),
            link in prop_oneof![4 => Just(Link::Ethernet), 1 => any::<u16>().prop_map(Link::Unknown)],
        ) {
            check(&bytes, wire_len, link);
        }

        #[test]
        fn damaged_frames_give_a_digest(bytes in mutated(), more in prop_oneof![Just(0), 0_u32..2000]) {
            check(&bytes, u32::try_from(bytes.len()).unwrap() + more, Link::Ethernet);
        }

        #[test]
        fn any_segments_give_digests(segments in segments(), first in prop::sample::select(vec![
            &b""[..], b"\x16\x03\x01", b"\x16\x03\x01\x02\x00\x01\x00", b"GET / HTTP/1.1\r\n", b"HTTP/1.1 200 OK\r\n",
            b"SSH-2.0-", b"\x10\x20\x00\x04MQTT\x05", b"\x30",
        ]), port in prop::sample::select(vec![53, 443, 1883])) {
            let mut dissector = Dissector::new(7);
            for (sequence, bytes) in segments {
                for payload in [&bytes[..], &[first, &bytes].concat()] {
                    let frame = crate::packet::samples::segment((40_000, port), sequence, payload);
                    let wire_len = u32::try_from(frame.len()).unwrap();
                    let frame = Frame { time: Timestamp::EPOCH, link: Link::Ethernet, wire_len, bytes: &frame };
                    let reason = dissector.dissect(&frame).fault.map(|fault| fault.reason);
                    assert_ne!(reason, Some(FaultReason::Cut));
                }
            }
        }

        #[test]
        fn any_payload_of_a_read_port_gives_a_digest(
            bytes in prop::collection::vec(any::<u8>(), 0..400),
            port in prop::sample::select(vec![53, 67, 68, 123, 137, 1900, 5353]),
            cut in any::<prop::sample::Index>(),
        ) {
            let frame = crate::packet::samples::udp4(port, 40_000, &bytes);
            let length = u32::try_from(frame.len()).unwrap();
            check(&frame[..cut.index(frame.len() + 1)], length, Link::Ethernet);
            check(&frame, length, Link::Ethernet);
        }
    }
}
