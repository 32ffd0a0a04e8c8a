//! Numbers at an offset of bytes that may end before it, and a number for a name.

/// One byte.
pub(super) fn byte(bytes: &[u8], at: usize) -> Option<u8> {
    bytes.get(at).copied()
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

/// Two bytes, most significant first.
pub(super) fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    array(bytes, at).map(u16::from_be_bytes)
}

/// Two bytes, least significant first.
pub(super) fn le16(bytes: &[u8], at: usize) -> Option<u16> {
    array(bytes, at).map(u16::from_le_bytes)
}

/// Three bytes, most significant first.
pub(super) fn be24(bytes: &[u8], at: usize) -> Option<u32> {
    array(bytes, at).map(|[a, b, c]| u32::from_be_bytes([0, a, b, c]))
}

/// Three bytes, least significant first.
pub(super) fn le24(bytes: &[u8], at: usize) -> Option<u32> {
    array(bytes, at).map(|[a, b, c]| u32::from_le_bytes([a, b, c, 0]))
}

/// Four bytes, least significant first.
pub(super) fn le32(bytes: &[u8], at: usize) -> Option<u32> {
    array(bytes, at).map(u32::from_le_bytes)
}

/// Longest name that is told in full by its number.
const NAME: usize = 128;

/// FNV-1a of a name's first bytes: the same on every machine and start. Names are no secret and no key of a table, so
/// that who makes two names collide gains nothing but that they look alike.
pub(super) fn hash(name: &[u8]) -> u32 {
    name.iter().take(NAME).fold(0x811c_9dc5, |hash, &byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_both_orders_end_with_the_bytes() {
        let bytes = [1, 2, 3, 4, 5];
        assert_eq!((byte(&bytes, 4), byte(&bytes, 5)), (Some(5), None));
        assert_eq!((be16(&bytes, 3), be16(&bytes, 4)), (Some(0x0405), None));
        assert_eq!((le16(&bytes, 3), le16(&bytes, 4)), (Some(0x0504), None));
        assert_eq!((be24(&bytes, 2), be24(&bytes, 3)), (Some(0x03_0405), None));
        assert_eq!((le24(&bytes, 2), le24(&bytes, 3)), (Some(0x05_0403), None));
        assert_eq!((le32(&bytes, 1), le32(&bytes, 2)), (Some(0x0504_0302), None));
        assert_eq!((byte(&bytes, usize::MAX), le32(&bytes, usize::MAX)), (None, None));
    }

    /// The test vectors of draft-eastlake-fnv.
    #[test]
    fn names_have_the_published_hash() {
        assert_eq!(hash(b""), 0x811c_9dc5);
        assert_eq!(hash(b"a"), 0xe40c_292c);
        assert_eq!(hash(b"foobar"), 0xbf9c_f968);
    }
}
