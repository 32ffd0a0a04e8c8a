//! [`Forwarding`]: the signs that a station sends packets of others, that is, routes or bridges.
//!
//! A router decrements the hop limit (RFC 1812, section 5.3.1; RFC 8200, section 3), and more addresses pass through
//! it than one host has.

use std::net::IpAddr;

use arrayvec::ArrayVec;

use super::address;
use crate::time::{Span, Timestamp};

/// Distinct sources of one station that are not known to be its own, counted up to the point where they tell
/// something, and anew each [`Forwarding::MEMORY`]: a host that changes its temporary address each day is no router.
#[derive(Clone, Debug, Default)]
pub(super) struct Forwarding {
    /// Whether it sends packets of many hosts without decrementing the hop limit, as Wi-Fi extenders do. Once found,
    /// it stays so.
    pub(super) bridge: bool,
    since: Timestamp,
    v4: Sources<MANY>,
    v6: Sources<MANY>,
    unforwarded: Sources<MANY>,
    foreign: Sources<SEVERAL>,
}

type Sources<const N: usize> = ArrayVec<IpAddr, N>;

/// Addresses that one host may well have.
const MANY: usize = 8;
/// Foreign sources that may be mistakes.
const SEVERAL: usize = 3;

impl Forwarding {
    const MEMORY: Span = Span::from_secs(3_600);

    /// A source that no station has claimed and that this one may own. True when they are too many for a host.
    pub(super) fn handle_unclaimed(&mut self, ip: IpAddr, hop_limit: u8, now: Timestamp) -> bool {
        self.forget(now);
        let many = note(if ip.is_ipv4() { &mut self.v4 } else { &mut self.v6 }, ip);
        self.handle_unforwarded(ip, hop_limit, now);
        many
    }

    /// A source that cannot be its own: external, or another's, with a decremented hop limit. True when there were
    /// several.
    pub(super) fn handle_foreign(&mut self, ip: IpAddr, now: Timestamp) -> bool {
        self.forget(now);
        note(&mut self.foreign, ip)
    }

    /// Any source that is not known to be its own. Sets [`Forwarding::bridge`] when too many private ones came
    /// without having been forwarded.
    pub(super) fn handle_unforwarded(&mut self, ip: IpAddr, hop_limit: u8, now: Timestamp) {
        self.forget(now);
        if address::is_private(ip) && address::is_initial(hop_limit) {
            self.bridge |= note(&mut self.unforwarded, ip);
        }
    }

    fn forget(&mut self, now: Timestamp) {
        if now.since(self.since) >= Self::MEMORY {
            *self = Self { bridge: self.bridge, since: now, ..Self::default() };
        }
    }
}

/// Notes a source. True when it is one more than there is room for.
fn note<const N: usize>(sources: &mut Sources<N>, ip: IpAddr) -> bool {
    !sources.contains(&ip) && sources.try_push(ip).is_err()
}
