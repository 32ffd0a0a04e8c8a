//! The TLS ClientHello (RFC 8446 section 4.1.2; server name: RFC 6066 section 3; protocols: RFC 7301) wherever it comes
//! from, also where its end is not there yet. A view of the fields that name the peer and the client, because parsers of
//! the whole message allocate lists.

use arrayvec::ArrayVec;

use super::ja4::{self, Carrier};
use crate::bounded::Text;
use crate::packet::digest::FaultReason;
use crate::packet::hint::ClientHello;

pub(super) const EXTENSION_SERVER_NAME: u16 = 0;
const EXTENSION_SIGNATURES: u16 = 13;
pub(super) const EXTENSION_ALPN: u16 = 16;
const EXTENSION_VERSIONS: u16 = 43;

/// The longest session id; one byte could say more.
const MAX_SESSION: usize = 32;

/// More extensions than these are no hello: a third more than are registered, and four times what browsers send.
pub(super) const MAX_EXTENSIONS: usize = 96;

/// What a client offers; the slices point into the hello.
#[derive(Clone, Debug, Default)]
pub(super) struct Offer<'a> {
    legacy_version: u16,
    versions: Option<&'a [u8]>,
    pub(super) ciphers: &'a [u8],
    pub(super) extensions: ArrayVec<u16, MAX_EXTENSIONS>,
    server_name: &'a [u8],
    pub(super) alpn: Option<&'a [u8]>,
    pub(super) signatures: &'a [u8],
}

/// How much of a hello is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extent {
    /// All of it.
    Whole,
    /// The beginning.
    Part,
    /// Its lengths contradict each other, or a field is not what it may be.
    Malformed(FaultReason),
}

/// Reads the body of a hello, behind the handshake header that gives its `length`.
pub(super) fn read(body: &[u8], length: usize) -> (Offer<'_>, Extent) {
    let mut offer = Offer::default();
    let extent = match offer.fill(Fields { bytes: body.get(..length).unwrap_or(body), length }) {
        Ok(()) => Extent::Whole,
        Err(Stop::Missing) => Extent::Part,
        Err(Stop::Malformed(reason)) => Extent::Malformed(reason),
    };
    (offer, extent)
}

/// RFC 8701: values that are there to be ignored.
pub(super) const fn is_grease(number: u16) -> bool {
    let [high, low] = number.to_be_bytes();
    high == low && low & 15 == 10
}

impl<'a> Offer<'a> {
    /// What goes into the digest; the fingerprint where it was asked for.
    pub(super) fn hint(&self, fingerprint: Option<Carrier>) -> ClientHello {
        let mut server_name = Text::EMPTY;
        for byte in self.server_name.iter().take(128) {
            server_name.push_wire(&[byte.to_ascii_lowercase()]);
        }
        ClientHello {
            server_name,
            alpn: Text::from_wire(self.alpn.unwrap_or(&[])),
            ja4: fingerprint.map_or(Text::EMPTY, |carrier| ja4::fingerprint(self, carrier)),
        }
    }

    pub(super) fn highest_version(&self) -> u16 {
        let offered = ja4::numbers(self.versions.unwrap_or(&[])).filter(|&version| !is_grease(version));
        offered.max().unwrap_or(self.legacy_version)
    }

    fn fill(&mut self, mut hello: Fields<'a>) -> Result<(), Stop> {
        self.legacy_version = hello.number()?;
        hello.take(32)?;
        if hello.vector8()?.length > MAX_SESSION {
            return Err(Stop::Malformed(FaultReason::BadField));
        }
        let ciphers = hello.vector16()?;
        self.ciphers = ciphers.whole()?;
        if !self.ciphers.len().is_multiple_of(2) {
            return Err(Stop::Malformed(FaultReason::BadLength));
        }
        hello.vector8()?.whole()?;
        if hello.length == 0 {
            return Ok(());
        }
        let mut extensions = hello.vector16()?;
        while extensions.length > 0 {
            let kind = extensions.number()?;
            let data = extensions.vector16()?;
            self.extensions.try_push(kind).map_err(|_| Stop::Malformed(FaultReason::BadField))?;
            self.extension(kind, data)?;
        }
        if hello.length == 0 { Ok(()) } else { Err(Stop::Malformed(FaultReason::BadLength)) }
    }

    fn extension(&mut self, kind: u16, mut data: Fields<'a>) -> Result<(), Stop> {
        match kind {
            // Some clients send it empty, as servers do.
            EXTENSION_SERVER_NAME if data.length > 0 => {
                let mut names = data.vector16()?;
                if names.take(1)? == [0] {
                    self.server_name = names.vector16()?.whole()?;
                }
            }
            EXTENSION_ALPN => {
                let mut protocols = data.vector16()?;
                if protocols.length > 0 {
                    self.alpn = Some(protocols.vector8()?.whole()?);
                }
            }
            EXTENSION_SIGNATURES => self.signatures = data.vector16()?.whole()?,
            EXTENSION_VERSIONS => self.versions = Some(data.vector8()?.whole()?),
            _ => {
                data.whole()?;
            }
        }
        Ok(())
    }
}

#[derive(Clone, Copy, Debug)]
enum Stop {
    /// It is not there yet.
    Missing,
    Malformed(FaultReason),
}

/// A structure of `length` bytes of which the first are there.
#[derive(Clone, Copy, Debug)]
struct Fields<'a> {
    bytes: &'a [u8],
    length: usize,
}

impl<'a> Fields<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], Stop> {
        self.part(count)?.whole()
    }

    fn number(&mut self) -> Result<u16, Stop> {
        Ok(self.take(2)?.iter().fold(0, |number, &byte| number << 8 | u16::from(byte)))
    }

    fn vector8(&mut self) -> Result<Self, Stop> {
        let length = self.take(1)?.iter().fold(0, |_, &byte| usize::from(byte));
        self.part(length)
    }

    fn vector16(&mut self) -> Result<Self, Stop> {
        let length = usize::from(self.number()?);
        self.part(length)
    }

    /// The next `count` bytes, as far as they are there.
    fn part(&mut self, count: usize) -> Result<Self, Stop> {
        self.length = self.length.checked_sub(count).ok_or(Stop::Malformed(FaultReason::BadLength))?;
        let (part, rest) = self.bytes.split_at_checked(count).unwrap_or((self.bytes, &[]));
        self.bytes = rest;
        Ok(Self { bytes: part, length: count })
    }

    fn whole(self) -> Result<&'a [u8], Stop> {
        if self.bytes.len() < self.length { Err(Stop::Missing) } else { Ok(self.bytes) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::samples::{client_hello, extension, hello_of, vector};

    /// The body of a message.
    fn read(message: &[u8]) -> (ClientHello, Extent) {
        let (offer, extent) = super::read(&message[4..], message.len() - 4);
        (offer.hint(Some(Carrier::Tcp)), extent)
    }

    fn fingerprint(message: &[u8]) -> String {
        let (hello, extent) = read(message);
        assert_eq!(extent, Extent::Whole);
        hello.ja4.to_string()
    }

    /// The hashes are those of `printf 00ff,1301,1303,c02b | sha256sum` and of
    /// `printf 000a,000d,002b,0033_0403,0804 | sha256sum`, cut to twelve digits.
    #[test]
    fn a_browser() {
        let (hello, extent) = read(&client_hello(1216));
        assert_eq!(extent, Extent::Whole);
        assert_eq!((hello.server_name.as_str(), hello.alpn.as_str()), ("shop.example", "h2"));
        assert_eq!(hello.ja4.as_str(), "t13d0406h2_74dcdece09cd_e12c865f31a5");
        let message = client_hello(0);
        let (offer, _) = super::read(&message[4..], message.len() - 4);
        assert_eq!(offer.hint(Some(Carrier::Quic)).ja4.as_str(), "q13d0406h2_74dcdece09cd_e12c865f31a5");
        assert!(offer.hint(None).ja4.is_empty());
    }

    /// The hashes are those of `printf 002f | sha256sum` and of `printf 000a | sha256sum`.
    #[test]
    fn fingerprints_of_the_simplest() {
        assert_eq!(
            fingerprint(&hello_of(&[0x2f], &[extension(10, &[0, 2, 0, 29])])),
            "t12i010100_ba72b8082249_a8f3e973773c"
        );
        assert_eq!(fingerprint(&hello_of(&[0x0a0a], &[])), "t12i000000_000000000000_000000000000");
        let alpn = |name: &[u8]| extension(16, &vector(2, &vector(1, name)));
        assert_eq!(&fingerprint(&hello_of(&[0x2f], &[alpn(b"\xab\x01")]))[..10], "t12i0101a1");
        assert_eq!(&fingerprint(&hello_of(&[0x2f], &[extension(0, b""), alpn(b"")]))[..10], "t12d010200");
        assert_eq!(&fingerprint(&hello_of(&[0x2f; 120], &[]))[..10], "t12i990000");
        assert_eq!(fingerprint(&hello_of(&[0x2f; 513], &[])), "", "no client has so many suites");
        let mut old = hello_of(&[0x2f], &[]);
        old.truncate(old.len() - 2);
        old[3] -= 2;
        old[5] = 1;
        assert_eq!(&fingerprint(&old)[..10], "t10i010000", "without extensions");
    }

    #[test]
    fn a_part_is_read_as_far_as_it_is_there() {
        let message = client_hello(100);
        let (body, length) = (&message[4..], message.len() - 4);
        let mut named = 0;
        for there in 0..length {
            let (offer, extent) = super::read(&body[..there], length);
            assert_eq!(extent, Extent::Part, "{there}");
            let hello = offer.hint(None);
            assert!(["", "shop.example"].contains(&hello.server_name.as_str()));
            named += usize::from(!hello.server_name.is_empty());
        }
        assert!(named > 30, "the name comes before the end");
    }

    #[test]
    fn lengths_that_contradict() {
        let extent = |message: &[u8]| read(message).1;
        let bad = Extent::Malformed(FaultReason::BadLength);
        let message = client_hello(0);
        for (at, byte) in [(38, 33), (71, 0xff), (72, 9), (83, 200)] {
            let mut broken = message.clone();
            broken[at] = byte;
            assert!(matches!(extent(&broken), Extent::Malformed(_)), "{at}");
        }
        let mut longer = message.clone();
        longer.push(0);
        assert_eq!(extent(&longer), bad, "behind the extensions");
        assert_eq!(extent(&hello_of(&[0x2f], &[extension(13, &[0, 9, 4])])), bad);
        assert_eq!(extent(&hello_of(&[0x2f], &[extension(16, &[0, 2, 9, b'h'])])), bad);
        let crowd = vec![extension(7, b""); 97];
        assert_eq!(extent(&hello_of(&[0x2f], &crowd)), Extent::Malformed(FaultReason::BadField));
    }

    #[test]
    fn values_to_be_ignored() {
        let ignored = (0..=u16::MAX).filter(|&number| is_grease(number)).collect::<Vec<_>>();
        assert_eq!((ignored.len(), ignored[0], ignored[15]), (16, 0x0a0a, 0xfafa));
    }
}
