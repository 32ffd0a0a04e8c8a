//! [`Fingerprint`]: what is the same in all copies of one packet that a mirror may deliver, as a number. Who compares
//! them, and what follows from two that are equal, is `pipeline`'s.
//!
//! Left out is what switches and routers change on the way: tags, the hop limit and with it IPv4's checksum, the
//! traffic class (RFC 2474, RFC 3168), and padding. Of IP packets the stations are left out, too; they are kept beside.

use std::hash::{BuildHasher, Hasher};

use foldhash::fast::FixedState;

use super::digest::{Digest, Frame, Mac, Network, Transport};
use super::link::Link;

/// Bytes behind the IP header that count: the longest TCP header without its last options, or a UDP header and
/// 32 bytes. The transport's own checksum stands for the rest.
const DEEP: usize = 40;
/// The same where that carries another packet: the headers around it, then as much of that one.
const WRAPPED: usize = 160;
/// Bytes of a frame that is not IP which count.
const SHALLOW: usize = 64;
const ETHERNET: usize = 14;
const TAG: usize = 4;
/// As many tags as are read of a frame.
const MAX_TAGS: usize = 4;

/// What is the same in all copies of a packet, and beside it what need not be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprint {
    /// Equal for copies; for other packets with a chance of 2^-64, as long as nobody knows the key.
    pub hash: u64,
    /// A hash of both stations.
    pub stations: u32,
    /// TTL or hop limit; 0 where there is none.
    pub hop_limit: u8,
    /// No sender repeats this within milliseconds: a TCP segment with payload, which is sent again after a timeout or
    /// a round trip with another identification, or a UDP datagram with an identification of its own.
    pub unique: bool,
}

/// Takes the fingerprints of frames with a key that nobody outside knows.
#[derive(Clone, Debug)]
pub struct Fingerprints {
    state: FixedState,
}

impl Fingerprints {
    /// With this key.
    #[must_use]
    pub fn new(hash_seed: u64) -> Self {
        Self { state: FixedState::with_seed(hash_seed) }
    }

    /// The fingerprint of a frame, of which `digest` was read. None for frames without a link header that is known.
    #[must_use]
    pub fn of(&self, frame: &Frame<'_>, digest: &Digest) -> Option<Fingerprint> {
        // The digest's type may be that of a packet within.
        let (ether_type, body) = body(frame)?;
        let mut hasher = self.state.build_hasher();
        let wrapped = digest.tunnel.is_some();
        let deep = if wrapped { WRAPPED } else { DEEP };
        let identified = match ether_type {
            [0x08, 0x00] => ip4(body, deep, &mut hasher),
            [0x86, 0xdd] => ip6(body, deep, &mut hasher),
            _ => None,
        };
        let Some(identified) = identified else {
            let (Mac(source), Mac(destination)) = (digest.source, digest.destination);
            hasher.write(&source);
            hasher.write(&destination);
            hasher.write(&ether_type);
            let counts = if wrapped { WRAPPED } else { SHALLOW };
            hasher.write(body.get(..counts).unwrap_or(body));
            return Some(Fingerprint { hash: hasher.finish(), stations: 0, hop_limit: 0, unique: false });
        };
        let (hop_limit, unique) = match (digest.tunnel, digest.network) {
            // What is inside of a tunnel passed its ends together with it.
            (None, Network::Ip(ip)) => (
                ip.hop_limit,
                match ip.transport {
                    Transport::Tcp(tcp) => tcp.payload > 0,
                    Transport::Udp(_) => identified == Identified::Yes,
                    Transport::Icmp(_) | Transport::Fragment(_) | Transport::Other(_) => false,
                },
            ),
            _ => (0, false),
        };
        let stations = stations(digest.source, digest.destination);
        Some(Fingerprint { hash: hasher.finish(), stations, hop_limit, unique })
    }
}

/// Whether a packet has an identification of its own (RFC 6864: IPv4 only, and any number in atomic datagrams).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Identified {
    Yes,
    No,
}

/// The type behind the link header and its tags, and what follows.
fn body<'a>(frame: &Frame<'a>) -> Option<([u8; 2], &'a [u8])> {
    if frame.link != Link::Ethernet {
        return None;
    }
    let mut at = ETHERNET;
    for _ in 0..MAX_TAGS {
        match frame.bytes.get(at - 2..at)? {
            [0x81 | 0x91, 0x00] | [0x88, 0xa8] => at += TAG,
            _ => break,
        }
    }
    let ether_type = frame.bytes.get(at - 2..)?.first_chunk()?;
    Some((*ether_type, frame.bytes.get(at..)?))
}

fn ip4(packet: &[u8], deep: usize, hasher: &mut impl Hasher) -> Option<Identified> {
    let header: &[u8; 20] = packet.first_chunk()?;
    let [version, _, l0, l1, i0, i1, f0, f1, _, protocol, _, _, addresses @ ..] = header;
    let length = usize::from(u16::from_be_bytes([*l0, *l1]));
    hasher.write_u64(u64::from_be_bytes([*version, *protocol, *l0, *l1, *i0, *i1, *f0, *f1]));
    hasher.write_u64(u64::from_be_bytes(*addresses));
    carried(packet.get(20..length).or_else(|| packet.get(20..)), deep, hasher);
    Some(if [*i0, *i1] == [0, 0] { Identified::No } else { Identified::Yes })
}

fn ip6(packet: &[u8], deep: usize, hasher: &mut impl Hasher) -> Option<Identified> {
    let header: &[u8; 40] = packet.first_chunk()?;
    let [_, _, _, _, l0, l1, next, _, addresses @ ..] = header;
    let length = usize::from(u16::from_be_bytes([*l0, *l1]));
    hasher.write_u32(u32::from_be_bytes([*l0, *l1, *next, 6]));
    for half in addresses.as_chunks::<16>().0 {
        hasher.write_u128(u128::from_be_bytes(*half));
    }
    carried(packet.get(40..length + 40).or_else(|| packet.get(40..)), deep, hasher);
    Some(Identified::No)
}

fn carried(bytes: Option<&[u8]>, deep: usize, hasher: &mut impl Hasher) {
    let bytes = bytes.unwrap_or_default();
    hasher.write(bytes.get(..deep).unwrap_or(bytes));
}

fn stations(source: Mac, destination: Mac) -> u32 {
    let word = |Mac([a, b, c, d, e, f]): Mac| u32::from_be_bytes([a ^ c, b ^ d, e, f]);
    word(source).wrapping_mul(0x9e37_79b1) ^ word(destination).wrapping_mul(0x85eb_ca77)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{ProptestConfig, any, prop, proptest};
    use proptest::test_runner::RngSeed;

    use super::*;
    use crate::packet::dissect;
    use crate::packet::samples::{LINK, all, ip6, tcp4, udp4};
    use crate::time::Timestamp;

    fn of(bytes: &[u8]) -> Fingerprint {
        let wire_len = u32::try_from(bytes.len()).unwrap();
        let frame = Frame { time: Timestamp::EPOCH, link: Link::Ethernet, wire_len, bytes };
        Fingerprints::new(7).of(&frame, &dissect(&frame)).unwrap()
    }

    fn tagged(frame: &[u8]) -> Vec<u8> {
        [&frame[..12], &[0x81, 0, 0x60, 5], &frame[12..]].concat()
    }

    /// Packets of one tunnel without identifications differ in what they carry only.
    #[test]
    fn what_is_wrapped_differs_by_what_is_within() {
        let wrapped = |last: u8| {
            let inner = udp4(5000, 6000, &[1, 2, 3, last]);
            let vxlan = [&[8, 0, 0, 0, 0, 0, 7, 0], &inner[..]].concat();
            let mut frame = udp4(4789, 4789, &vxlan);
            // Neither identification nor checksum.
            frame[LINK + 4..LINK + 6].fill(0);
            frame[LINK + 26..LINK + 28].fill(0);
            frame
        };
        assert_eq!(of(&wrapped(1)), of(&wrapped(1)));
        assert_eq!(of(&tagged(&wrapped(1))).hash, of(&wrapped(1)).hash);
        assert_ne!(of(&wrapped(1)).hash, of(&wrapped(2)).hash);
    }

    #[test]
    fn a_copy_with_a_tag_or_padding_is_a_copy() {
        for frame in all() {
            assert_eq!(of(&tagged(&frame)).hash, of(&frame).hash, "{frame:x?}");
        }
        let frame = udp4(5000, 6000, b"hi");
        let padded = [&frame[..], &[0xaa; 12]].concat();
        assert_eq!(of(&padded), of(&frame));
    }

    #[test]
    fn a_routed_copy_has_other_stations_and_a_lower_hop_limit() {
        let frame = tcp4(b"data");
        let mut routed = frame.clone();
        routed[5] ^= 1;
        routed[LINK + 1] = 0xb8;
        routed[LINK + 8] -= 1;
        routed[LINK + 10] ^= 1;
        let (before, after) = (of(&frame), of(&routed));
        assert_eq!((before.hash, before.hop_limit), (after.hash, after.hop_limit + 1));
        assert_ne!(before.stations, after.stations);
        let mut six = ip6(17, &[0x13, 0x88, 0x17, 0x70, 0, 10, 0, 0, b'h', b'i']);
        let before = of(&six);
        six[LINK + 7] -= 1;
        assert_eq!((of(&six).hash, of(&six).hop_limit), (before.hash, before.hop_limit - 1));
    }

    #[test]
    fn another_packet_has_another_fingerprint() {
        let frame = tcp4(b"data");
        // Identification, fragment, protocol, addresses, ports, sequence number, payload.
        for at in [4, 5, 6, 9, 12, 19, 20, 23, 27, 41] {
            let mut other = frame.clone();
            other[LINK + at] ^= 1;
            assert_ne!(of(&other).hash, of(&frame).hash, "byte {at}");
        }
        let arp = all().into_iter().find(|f| f[12..14] == [8, 6]).unwrap();
        let mut other = arp.clone();
        other[6] ^= 1;
        assert_ne!(of(&other).hash, of(&arp).hash, "frames that are not IP differ by their stations");
    }

    #[test]
    fn what_no_sender_repeats_is_unique() {
        assert!(of(&tcp4(b"data")).unique);
        assert!(!of(&tcp4(b"")).unique, "acknowledgements are repeated at will");
        let mut datagram = udp4(5000, 6000, b"hi");
        (datagram[LINK + 4], datagram[LINK + 5]) = (0, 9);
        assert!(of(&datagram).unique);
        datagram[LINK + 5] = 0;
        assert!(!of(&datagram).unique, "no identification");
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            cases: 2048,
            rng_seed: RngSeed::Fixed(0xf1),
            failure_persistence: None,
            ..ProptestConfig::default()
        })]

        #[test]
        fn any_bytes_never_panic(
            bytes in prop::collection::vec(any::<u8>(), 0..120),
            kind in prop::sample::select(vec![[8_u8, 0], [0x86, 0xdd], [0x81, 0]]),
        ) {
            let mut bytes = bytes;
            if let Some(at) = bytes.get_mut(12..14) {
                at.copy_from_slice(&kind);
            }
            let wire_len = u32::try_from(bytes.len()).unwrap();
            let frame = Frame { time: Timestamp::EPOCH, link: Link::Ethernet, wire_len, bytes: &bytes };
            let print = Fingerprints::new(7).of(&frame, &dissect(&frame));
            assert_eq!(print.is_some(), bytes.len() >= ETHERNET && body(&frame).is_some());
        }
    }
}
