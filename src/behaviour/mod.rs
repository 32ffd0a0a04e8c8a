//! Named detectors over digests, flow events and the baseline's sets, one file each. Every finding is [`Evidence`].
//!
//! | kind | file | says |
//! |---|---|---|
//! | `port_scan` | `port_scan.rs` | one host tries many ports of another, mostly in vain |
//! | `host_sweep` | `host_sweep.rs` | one host tries many others, mostly in vain |
//! | `arp_spoof` | `arp_spoof.rs` | a station pushes its claim to an address that another uses |
//!
//! What they share: `trial` (tries and their outcomes), `sight` (those
//! of them that are followed one by one), `binding` (who claims an address), `table` (bounded state that
//! a flood cannot sweep out), `finding` (from addresses to evidence, and when to speak again).

mod arp_spoof;
mod binding;
mod detectors;
mod evidence;
mod finding;
mod host_sweep;
mod kind;
mod port_scan;
#[cfg(test)]
mod scene;
mod sight;
mod table;
mod trial;

pub use detectors::Behaviours;
pub use evidence::{Evidence, Party, Peer, Protocol, Reason};
pub use finding::Identity;
pub use kind::{Kind, UnknownWord};

use std::net::IpAddr;

use crate::flow::Endpoint;

/// Capacities of the detectors' tables, each rounded up to a multiple of eight. At its limit a table puts out what
/// has gathered least evidence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Pairs of hosts of which one tries ports of the other: 2.2 kB each.
    pub pair_capacity: usize,
    /// Hosts that try others: 3.2 kB each.
    pub source_capacity: usize,
    /// Addresses whose claims are followed: 0.2 kB each.
    pub address_capacity: usize,
}

impl Default for Config {
    /// 512 pairs, 256 hosts and 2,048 addresses: 2.4 MB when all are in use.
    fn default() -> Self {
        Self { pair_capacity: 512, source_capacity: 256, address_capacity: 2_048 }
    }
}

/// Whether an end of a flow is one host: neither broadcast nor multicast.
fn is_single(end: &Endpoint) -> bool {
    let broadcast = matches!(end.ip, IpAddr::V4(ip) if ip.is_broadcast());
    !(end.mac.is_group() || end.ip.is_multicast() || broadcast)
}
