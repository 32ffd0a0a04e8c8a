//! JA4, the fingerprint of a TLS client by what its hello offers. Read first: FoxIO's `JA4.md` ("JA4: TLS Client
//! Fingerprinting"), which says to the byte what goes in.

use arrayvec::ArrayVec;
use sha2::{Digest as _, Sha256};

use super::hello::{EXTENSION_ALPN, EXTENSION_SERVER_NAME, MAX_EXTENSIONS, Offer, is_grease};
use crate::bounded::Text;

/// What carries the hello.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Carrier {
    /// TLS over TCP: `t`.
    Tcp,
    /// QUIC: `q`.
    Quic,
}

/// More cipher suites than these get no fingerprint: 350 are registered in all.
const MAX_CIPHERS: usize = 512;

/// The fingerprint of a hello that is all there; empty where it offers more suites than that.
pub(super) fn fingerprint(offer: &Offer<'_>, carrier: Carrier) -> Text<36> {
    let mut ciphers = ArrayVec::<u16, MAX_CIPHERS>::new();
    for cipher in numbers(offer.ciphers).filter(|&cipher| !is_grease(cipher)) {
        if ciphers.try_push(cipher).is_err() {
            return Text::EMPTY;
        }
    }
    ciphers.sort_unstable();
    let mut text = Text::EMPTY;
    text.push_wire(match carrier {
        Carrier::Tcp => b"t",
        Carrier::Quic => b"q",
    });
    text.push_wire(version(offer.highest_version()));
    text.push_wire(if offer.extensions.contains(&EXTENSION_SERVER_NAME) { b"d" } else { b"i" });
    let extensions = || offer.extensions.iter().copied().filter(|&extension| !is_grease(extension));
    text.push_wire(&count(ciphers.len()));
    text.push_wire(&count(extensions().count()));
    text.push_wire(&alpn(offer.alpn));
    text.push_wire(b"_");
    text.push_wire(&hash(ciphers.iter().copied(), &[]));
    text.push_wire(b"_");
    let mut kept: ArrayVec<u16, MAX_EXTENSIONS> = extensions()
        .filter(|&extension| extension != EXTENSION_SERVER_NAME && extension != EXTENSION_ALPN)
        .collect();
    kept.sort_unstable();
    text.push_wire(&hash(kept.iter().copied(), offer.signatures));
    text
}

/// Big-endian numbers of two bytes.
pub(super) fn numbers(bytes: &[u8]) -> impl Iterator<Item = u16> {
    bytes.as_chunks::<2>().0.iter().copied().map(u16::from_be_bytes)
}

const fn version(number: u16) -> &'static [u8] {
    match number {
        0x0304 => b"13",
        0x0303 => b"12",
        0x0302 => b"11",
        0x0301 => b"10",
        0x0300 => b"s3",
        0x0002 => b"s2",
        _ => b"00",
    }
}

fn count(of: usize) -> [u8; 2] {
    let of = u8::try_from(of).map_or(99, |of| of.min(99));
    [b'0' + of / 10, b'0' + of % 10]
}

/// The first and last character of the protocol, or of its hexadecimal form where either is not alphanumeric.
fn alpn(protocol: Option<&[u8]>) -> [u8; 2] {
    let (Some(&first), Some(&last)) = (protocol.and_then(<[u8]>::first), protocol.and_then(<[u8]>::last))
    else {
        return *b"00";
    };
    if first.is_ascii_alphanumeric() && last.is_ascii_alphanumeric() {
        [first, last]
    } else {
        [digit(first >> 4), digit(last & 15)]
    }
}

const fn digit(nibble: u8) -> u8 {
    if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 }
}

/// The first twelve hexadecimal digits of the hash over the list, and the signature algorithms behind it in the order
/// of the hello; zeros for an empty list.
fn hash(list: impl ExactSizeIterator<Item = u16>, signatures: &[u8]) -> [u8; 12] {
    if list.len() == 0 {
        return *b"000000000000";
    }
    let mut hasher = Sha256::new();
    for (at, number) in list.enumerate() {
        write(&mut hasher, if at == 0 { b"" } else { b"," }, number);
    }
    let signatures = numbers(signatures).filter(|&signature| !is_grease(signature));
    for (at, number) in signatures.enumerate() {
        write(&mut hasher, if at == 0 { b"_" } else { b"," }, number);
    }
    let mut hex = [0; 12];
    for (pair, byte) in hex.as_chunks_mut::<2>().0.iter_mut().zip(hasher.finalize()) {
        *pair = [digit(byte >> 4), digit(byte & 15)];
    }
    hex
}

fn write(hasher: &mut Sha256, before: &[u8], number: u16) {
    let [high, low] = number.to_be_bytes();
    hasher.update(before);
    hasher.update([digit(high >> 4), digit(high & 15), digit(low >> 4), digit(low & 15)]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn protocols_by_their_ends() {
        for (protocol, expected) in [
            (&b"h2"[..], b"h2"),
            (b"http/1.1", b"h1"),
            (b"x", b"xx"),
            (b"\xab", b"ab"),
            (b"\xab\xcd", b"ad"),
            (b"\x30\xab", b"3b"),
            (b"\x30\xab\xcd\x31", b"01"),
            (b"", b"00"),
        ] {
            assert_eq!(alpn(Some(protocol)), *expected, "{protocol:x?}");
        }
        assert_eq!(alpn(None), *b"00");
    }

    #[test]
    fn counts_and_empty_lists() {
        assert_eq!([count(0), count(6), count(99), count(300)], [*b"00", *b"06", *b"99", *b"99"]);
        assert_eq!(hash([].into_iter(), &[4, 3]), *b"000000000000");
    }
}
