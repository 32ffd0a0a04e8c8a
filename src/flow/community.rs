//! The name that other tools give the same flow. Read first: Community ID flow hashing, version 1 (Corelight, 2018).

use std::net::IpAddr;

use data_encoding::BASE64;
use sha1::{Digest as _, Sha1};

use super::FiveTuple;

const ICMP: u8 = 1;
const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMPV6: u8 = 58;
const SCTP: u8 = 132;
/// Types of echo request and reply, which stand for ports there.
const ECHO: (u16, u16) = (8, 0);
const ECHO_V6: (u16, u16) = (128, 129);

/// The Community ID, version 1 with seed 0, of a flow in either direction. None where it is made of what is not kept
/// of a flow: the types of ICMP other than echo, and the ports of SCTP.
#[must_use]
pub fn community_id(flow: &FiveTuple) -> Option<String> {
    let ports = match flow.protocol {
        TCP | UDP => Some((flow.source_port, flow.destination_port)),
        // A flow of echos has the identifier for its ports.
        ICMP if flow.source_port != 0 => Some(ECHO),
        ICMPV6 if flow.source_port != 0 => Some(ECHO_V6),
        ICMP | ICMPV6 | SCTP => return None,
        _ => None,
    };
    let (source, destination) = ports.unwrap_or_default();
    let (one, other) = ((octets(flow.source), source), (octets(flow.destination), destination));
    let (low, high) = if one <= other { (one, other) } else { (other, one) };
    let mut hash = Sha1::new();
    hash.update(0_u16.to_be_bytes());
    hash.update(&low.0);
    hash.update(&high.0);
    hash.update([flow.protocol, 0]);
    if ports.is_some() {
        hash.update(low.1.to_be_bytes());
        hash.update(high.1.to_be_bytes());
    }
    Some(format!("1:{}", BASE64.encode(&hash.finalize())))
}

fn octets(ip: IpAddr) -> Vec<u8> {
    match ip {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::traffic::ip;
    use super::*;

    fn named(protocol: u8, source: (&str, u16), destination: (&str, u16)) -> Option<String> {
        let name = |(source, source_port): (&str, u16), (destination, destination_port): (&str, u16)| {
            let (source, destination) = (ip(source), ip(destination));
            community_id(&FiveTuple { source, source_port, destination, destination_port, protocol })
        };
        assert_eq!(name(source, destination), name(destination, source), "in either direction");
        name(source, destination)
    }

    /// Each name was computed apart, with another implementation of SHA-1, of the bytes beside it.
    #[test]
    fn names_are_those_of_the_specification() {
        // The example of the specification: 0000 4223facc 80e86e78 06 00 0050 8827
        assert_eq!(
            named(6, ("128.232.110.120", 34_855), ("66.35.250.204", 80)).unwrap(),
            "1:LQU9qZlK+B5F3KDmev6m5PMibrg="
        );
        // 0000 c0000201 c0000202 11 00 9c40 0035
        assert_eq!(
            named(17, ("192.0.2.1", 40_000), ("192.0.2.2", 53)).unwrap(),
            "1:mluT21ceqY66Mf72rAQeWQ4acW0="
        );
        // 0000 20010db8000000000000000000000001 20010db8000000000000000000000002 06 00 01bb c350
        assert_eq!(
            named(6, ("2001:db8::2", 50_000), ("2001:db8::1", 443)).unwrap(),
            "1:UFel+zfGDXB/GhABjlRQUzVNUI8="
        );
        // 0000 c0000201 c0000202 59 00
        assert_eq!(named(89, ("192.0.2.1", 0), ("192.0.2.2", 0)).unwrap(), "1:pcCQrBU+uvsvElkOo6Aqv4ntAac=");
    }

    #[test]
    fn echos_are_named_by_their_types() {
        let name = |source, destination, protocol| {
            let flow = FiveTuple {
                source: ip(source),
                source_port: 77,
                destination: ip(destination),
                destination_port: 77,
                protocol,
            };
            community_id(&flow).unwrap()
        };
        // 0000 c0000202 c0000209 01 00 0000 0008
        assert_eq!(name("192.0.2.9", "192.0.2.2", 1), "1:TblvuHAnTpn3mYXD/mgQuZi3E0Q=");
        // 0000 20010db8000000000000000000000001 20010db8000000000000000000000002 3a 00 0080 0081
        assert_eq!(name("2001:db8::1", "2001:db8::2", 58), "1:u2vMS3HiWth2lIMKHB1fjELshpQ=");
    }

    #[test]
    fn what_was_not_kept_gives_no_name() {
        for protocol in [1, 58, 132] {
            assert_eq!(named(protocol, ("192.0.2.1", 0), ("192.0.2.2", 0)), None);
        }
    }
}
