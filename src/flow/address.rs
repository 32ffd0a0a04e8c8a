//! What an IP address, and the hop limit it comes with, says by itself about who may own it.
//!
//! After RFC 1918, RFC 4193, RFC 6598 (private ranges), RFC 3927, RFC 4291 (link-local), RFC 8981 (temporary).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// An address that one host can have on a link: no group, broadcast, loopback, reserved or "this" address.
pub(super) fn is_host(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => !v4.is_loopback() && (1..=223).contains(&v4.octets()[0]),
        IpAddr::V6(v6) => !v6.is_unspecified() && !v6.is_loopback() && !v6.is_multicast(),
    }
}

/// Routed inside of a site only.
pub(super) fn is_private(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => v4.is_private() || is_shared(v4),
        IpAddr::V6(v6) => v6.is_unique_local(),
    }
}

/// Not routed at all.
pub(super) fn is_link_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    }
}

/// Of no host outside of the site.
pub(super) fn is_internal(ip: IpAddr) -> bool {
    is_private(ip) || is_link_local(ip) || ip.is_loopback()
}

/// A hop limit with which hosts begin, so that no router has forwarded the packet.
pub(super) const fn is_initial(hop_limit: u8) -> bool {
    matches!(hop_limit, 32 | 64 | 128 | 255)
}

/// An IPv6 address that may be temporary: its interface identifier is neither made of a hardware address nor small
/// enough to be set by hand. Stable opaque ones (RFC 7217) look the same.
pub(super) fn is_temporary(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(_) => false,
        IpAddr::V6(v6) => !v6.is_unicast_link_local() && has_random_identifier(v6),
    }
}

fn has_random_identifier(v6: Ipv6Addr) -> bool {
    let [.., a, b, c, d, e, _, _, _] = v6.octets();
    [a, b, c, d] != [0; 4] && [d, e] != [0xff, 0xfe]
}

/// Shared by a carrier's customers (RFC 6598), 100.64.0.0/10; overlay networks use it, too.
fn is_shared(v4: Ipv4Addr) -> bool {
    let [a, b, ..] = v4.octets();
    a == 100 && b & 0xc0 == 64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(texts: &[&str], test: fn(IpAddr) -> bool) -> bool {
        texts.iter().all(|t| test(t.parse().unwrap()))
    }

    fn none(texts: &[&str], test: fn(IpAddr) -> bool) -> bool {
        !texts.iter().any(|t| test(t.parse().unwrap()))
    }

    #[test]
    fn ranges() {
        assert!(all(&["10.0.0.1", "172.31.255.1", "192.168.1.1", "100.127.0.1", "fd00::1"], is_private));
        assert!(none(&["172.32.0.1", "100.128.0.1", "100.63.0.1", "2001:db8::1", "fe80::1"], is_private));
        assert!(all(&["169.254.1.1", "fe80::1", "127.0.0.1", "::1", "10.1.1.1"], is_internal));
        assert!(none(&["192.0.2.1", "2001:db8::1", "224.0.0.1", "::"], is_internal));
        assert!(all(&["192.0.2.1", "10.0.0.255", "fe80::1", "2001:db8::1"], is_host));
        let groups = ["0.0.0.0", "0.1.2.3", "224.0.0.1", "255.255.255.255", "127.0.0.1", "240.0.0.1"];
        assert!(none(&groups, is_host) && none(&["::", "::1", "ff02::1"], is_host));
    }

    #[test]
    fn temporary_looks_random() {
        assert!(all(&["2001:db8::8c3f:11ff:2ab0:1", "fd00::1234:5678:9abc:def0"], is_temporary));
        let stable =
            ["2001:db8::1", "2001:db8::ff:fe00:1", "2001:db8::211:22ff:fe33:4455", "fe80::8c3f:1:2:3"];
        assert!(none(&stable, is_temporary) && none(&["192.0.2.1"], is_temporary));
    }
}
