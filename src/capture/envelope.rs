//! The envelopes in which a switch sends mirrored frames to an address: TZSP (its registry of protocols is that of
//! TaZmen) and VXLAN (RFC 7348). What the frame in it means is `packet`'s.

use crate::packet::Link;

/// A frame as it lay in a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Enclosed<'a> {
    pub(super) link: Link,
    /// Its length on the wire, where the sender says that it cut it.
    pub(super) wire_len: Option<u32>,
    pub(super) bytes: &'a [u8],
}

/// Takes a frame out; none where the datagram carries none in either form. The first byte tells them apart: the
/// version of TZSP is 1, the flags of VXLAN are 8.
pub(super) fn open(datagram: &[u8]) -> Option<Enclosed<'_>> {
    match datagram {
        [1, ..] => tzsp(datagram),
        [8, 0, 0, 0, _, _, _, 0, frame @ ..] if !frame.is_empty() => {
            Some(Enclosed { link: Link::Ethernet, wire_len: None, bytes: frame })
        }
        _ => None,
    }
}

/// Version, type, protocol; then tags with a length each, up to the one that ends them.
fn tzsp(datagram: &[u8]) -> Option<Enclosed<'_>> {
    /// A received frame, or one to be sent; the other types carry none.
    const CARRIERS: [u8; 2] = [0, 1];
    const PADDING: u8 = 0;
    const END: u8 = 1;
    /// Length of the frame as it was received.
    const LENGTH: u8 = 41;
    let (&[_, kind, high, low], mut rest) = datagram.split_first_chunk()?;
    let link = link(u16::from_be_bytes([high, low]))?;
    let mut wire_len = None;
    loop {
        match *rest {
            [END, ref frame @ ..] => {
                let whole = CARRIERS.contains(&kind) && !frame.is_empty();
                return whole.then_some(Enclosed { link, wire_len, bytes: frame });
            }
            [PADDING, ref more @ ..] => rest = more,
            [tag, length, ref more @ ..] => {
                let (data, more) = more.split_at_checked(usize::from(length))?;
                if let (LENGTH, &[high, low]) = (tag, data) {
                    wire_len = Some(u32::from(u16::from_be_bytes([high, low])));
                }
                rest = more;
            }
            _ => return None,
        }
    }
}

/// Protocols of TZSP as LINKTYPE numbers.
fn link(protocol: u16) -> Option<Link> {
    match protocol {
        1 => Some(Link::Ethernet),
        4 => Some(Link::Unknown(9)),
        5 => Some(Link::Unknown(10)),
        7 => Some(Link::Unknown(101)),
        // IEEE 802.11: as it is, behind a Prism header, behind an AVS header.
        18 => Some(Link::Unknown(105)),
        119 => Some(Link::Unknown(119)),
        127 => Some(Link::Unknown(163)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn opened(datagram: &[u8]) -> Option<(Link, Option<u32>, &[u8])> {
        open(datagram).map(|enclosed| (enclosed.link, enclosed.wire_len, enclosed.bytes))
    }

    #[test]
    fn a_frame_is_taken_out_of_either_envelope() {
        assert_eq!(opened(&[1, 0, 0, 1, 1, 9, 9]), Some((Link::Ethernet, None, &[9, 9][..])));
        // Padding, a signal strength, and the length that the frame had.
        let tagged = [1, 1, 0, 18, 0, 10, 1, 200, 41, 2, 5, 220, 1, 7];
        assert_eq!(opened(&tagged), Some((Link::Unknown(105), Some(1_500), &[7][..])));
        assert_eq!(opened(&[8, 0, 0, 0, 0, 0, 42, 0, 5]), Some((Link::Ethernet, None, &[5][..])));
    }

    #[test]
    fn what_is_neither_is_left() {
        for datagram in [
            &[][..],
            &[1, 0, 0],
            &[1, 0, 0, 1],
            &[1, 0, 0, 1, 1],
            &[1, 4, 0, 1, 1, 9],
            &[1, 0, 0, 99, 1, 9],
            &[1, 0, 0, 1, 10, 200, 1, 1, 9],
            &[2, 0, 0, 1, 1, 9],
            &[8, 0, 0, 0, 0, 0, 42, 0],
            &[8, 0, 0, 0, 0, 0, 42, 1, 5],
            &[0, 0, 0, 0, 0, 0, 42, 0, 5],
        ] {
            assert_eq!(opened(datagram), None, "{datagram:?}");
        }
    }

    proptest! {
        #[test]
        fn any_datagram_is_read(mut bytes in proptest::collection::vec(any::<u8>(), 0..96), first in 0_u8..12) {
            if let Some(byte) = bytes.first_mut() {
                *byte = first;
            }
            if let Some(enclosed) = open(&bytes) {
                prop_assert!(bytes.ends_with(enclosed.bytes) && !enclosed.bytes.is_empty());
            }
        }
    }
}
