//! Addresses, ports and names as well-mixed numbers without a key, so that the same capture gives the same features.

use std::net::IpAddr;

use crate::bounded::scramble;
use crate::packet::{Mac, Operation};

/// An IP address; an IPv4 address and its IPv6-mapped form are one.
#[must_use]
pub fn address_hash(ip: IpAddr) -> u64 {
    match ip.to_canonical() {
        IpAddr::V4(v4) => scramble(u64::from(v4.to_bits())),
        IpAddr::V6(v6) => {
            let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = v6.octets();
            let high = u64::from_be_bytes([a, b, c, d, e, f, g, h]);
            let low = u64::from_be_bytes([i, j, k, l, m, n, o, p]);
            scramble(scramble(high) ^ low)
        }
    }
}

/// An Ethernet address.
#[must_use]
pub fn station_hash(mac: Mac) -> u64 {
    let Mac([a, b, c, d, e, f]) = mac;
    scramble(u64::from_be_bytes([1, 0, a, b, c, d, e, f]))
}

/// A port of a protocol.
#[must_use]
pub fn port_hash(protocol: u8, port: u16) -> u64 {
    scramble(u64::from(protocol) << 16 | u64::from(port))
}

/// A DNS name without regard to case: FNV-1a (Fowler, Noll, Vo), then mixed.
#[must_use]
pub fn name_hash(name: &str) -> u64 {
    let folded = name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte.to_ascii_lowercase())).wrapping_mul(0x0000_0100_0000_01b3)
    });
    scramble(folded)
}

/// What a plant operation does, and to whom: without the address and count, of which a scan of values has many.
pub(super) fn operation_hash(operation: &Operation) -> u64 {
    let Operation { protocol, effect, code, unit, .. } = *operation;
    let what = (protocol as u64) << 24 | (effect as u64) << 16 | u64::from(code);
    scramble(what << 32 | u64::from(unit))
}
