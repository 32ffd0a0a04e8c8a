//! The keys of QUIC's first packets, which follow from what these packets say themselves, and the opening of a packet
//! with them. Read first: RFC 9001 section 5.2 to 5.4, RFC 9369 section 3.3. No secret of anybody is involved.

use ring::aead::quic::{AES_128 as MASK_AES_128, HeaderProtectionKey};
use ring::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::error::Unspecified;
use ring::hkdf::{HKDF_SHA256, KeyType, Prk, Salt};

/// The versions of QUIC that are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    /// RFC 9000.
    One,
    /// RFC 9369.
    Two,
}

/// Bytes that the header's protection is made of.
pub(super) const SAMPLE: usize = 16;

const SALT_1: [u8; 20] = [
    0x38, 0x76, 0x2c, 0xf7, 0xf5, 0x59, 0x34, 0xb3, 0x4d, 0x17, 0x9a, 0xe6, 0xa4, 0xc8, 0x0c, 0xad, 0xcc,
    0xbb, 0x7f, 0x0a,
];
const SALT_2: [u8; 20] = [
    0x0d, 0xed, 0xe3, 0xde, 0xf7, 0x00, 0xa6, 0xdb, 0x81, 0x93, 0x81, 0xbe, 0x6e, 0x26, 0x9d, 0xcb, 0xf9,
    0xbd, 0x2e, 0xd9,
];

/// What a client protects its Initial packets with.
pub(super) struct ClientKeys {
    pub(super) key: [u8; 16],
    pub(super) iv: [u8; 12],
    pub(super) mask: [u8; 16],
}

impl ClientKeys {
    /// From the connection id that the client's first packet went to.
    pub(super) fn new(version: Version, destination: &[u8]) -> Result<Self, Unspecified> {
        let (salt, key, iv, mask): (_, &[u8], &[u8], &[u8]) = match version {
            Version::One => (SALT_1, b"quic key", b"quic iv", b"quic hp"),
            Version::Two => (SALT_2, b"quicv2 key", b"quicv2 iv", b"quicv2 hp"),
        };
        let initial = Salt::new(HKDF_SHA256, &salt).extract(destination);
        let client = Prk::new_less_safe(HKDF_SHA256, &expand::<32>(&initial, b"client in")?);
        Ok(Self { key: expand(&client, key)?, iv: expand(&client, iv)?, mask: expand(&client, mask)? })
    }

    /// What the first byte and the packet number are covered with.
    pub(super) fn mask(&self, sample: &[u8]) -> Result<[u8; 5], Unspecified> {
        HeaderProtectionKey::new(&MASK_AES_128, &self.mask)?.new_mask(sample)
    }

    /// Opens the `sealed` payload in place.
    pub(super) fn open<'a>(
        &self,
        number: u32,
        header: &[u8],
        sealed: &'a mut [u8],
    ) -> Result<&'a [u8], Unspecified> {
        self.aead()?.open_in_place(self.nonce(number), Aad::from(header), sealed).map(|opened| &*opened)
    }

    fn aead(&self) -> Result<LessSafeKey, Unspecified> {
        Ok(LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &self.key)?))
    }

    fn nonce(&self, number: u32) -> Nonce {
        let mut nonce = self.iv;
        for (covered, byte) in nonce.iter_mut().rev().zip(number.to_le_bytes()) {
            *covered ^= byte;
        }
        Nonce::assume_unique_for_key(nonce)
    }
}

struct Length(usize);

impl KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

/// HKDF-Expand-Label of RFC 8446 section 7.1, without context.
fn expand<const N: usize>(secret: &Prk, label: &[u8]) -> Result<[u8; N], Unspecified> {
    const PREFIX: &[u8] = b"tls13 ";
    let length = u16::try_from(N).map_err(|_| Unspecified)?.to_be_bytes();
    let label_length = u8::try_from(PREFIX.len() + label.len()).map_err(|_| Unspecified)?;
    let mut out = [0; N];
    secret.expand(&[&length, &[label_length], PREFIX, label, &[0]], Length(N))?.fill(&mut out)?;
    Ok(out)
}

#[cfg(test)]
impl ClientKeys {
    /// A protected Initial packet of a client: `header` up to the packet number, which is `number` in four bytes.
    pub(super) fn seal(&self, header: &[u8], number: u32, payload: &[u8]) -> Vec<u8> {
        let header = [header, &number.to_be_bytes()].concat();
        let mut sealed = payload.to_vec();
        let aad = Aad::from(&header[..]);
        self.aead().unwrap().seal_in_place_append_tag(self.nonce(number), aad, &mut sealed).unwrap();
        let mask = self.mask(&sealed[..SAMPLE]).unwrap();
        let start = header.len() - 4;
        let mut packet = [header, sealed].concat();
        packet[0] ^= mask[0] & 0x0f;
        for (byte, cover) in packet[start..].iter_mut().zip(&mask[1..]) {
            *byte ^= cover;
        }
        packet
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// RFC 9001 appendix A.1 and RFC 9369 appendix A.1.
    #[test]
    fn keys_of_the_standards() {
        let destination = [0x83, 0x94, 0xc8, 0xf0, 0x3e, 0x51, 0x57, 0x08];
        for (version, key, iv, mask) in [
            (
                Version::One,
                "1f369613dd76d5467730efcbe3b1a22d",
                "fa044b2f42a3fd3b46fb255c",
                "9f50449e04a0e810283a1e9933adedd2",
            ),
            (
                Version::Two,
                "8b1a0bc121284290a29e0971b5cd045d",
                "91f73e2351d8fa91660e909f",
                "45b95e15235d6f45a6b19cbcb0294ba9",
            ),
        ] {
            let keys = ClientKeys::new(version, &destination).unwrap();
            assert_eq!(
                (hex(&keys.key), hex(&keys.iv), hex(&keys.mask)),
                (key.into(), iv.into(), mask.into())
            );
        }
    }

    /// RFC 9001 appendix A.2: the sample and the mask of the client's packet.
    #[test]
    fn the_mask_of_the_standard() {
        let destination = [0x83, 0x94, 0xc8, 0xf0, 0x3e, 0x51, 0x57, 0x08];
        let sample =
            [0xd1, 0xb1, 0xc9, 0x8d, 0xd7, 0x68, 0x9f, 0xb8, 0xec, 0x11, 0xd2, 0x42, 0xb1, 0x23, 0xdc, 0x9b];
        let keys = ClientKeys::new(Version::One, &destination).unwrap();
        assert_eq!(hex(&keys.mask(&sample).unwrap()), "437b9aec36");
    }
}
