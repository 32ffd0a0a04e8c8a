//! One pass over the bytes of a frame: link, network, transport and the application hints that devices need.
//!
//! Borrowed bytes end here. What goes on is a [`Digest`]: plain, `Copy`, and free of anything that could grow.
//! Malformed bytes are data: a digest says how far it got and, in [`Digest::fault`], why it stopped.

mod application;
mod arp;
mod digest;
mod dissect;
mod ethernet;
mod fingerprint;
mod fragments;
mod gre;
mod hint;
mod icmp;
mod ip;
mod link;
mod mpls;
mod overlay;
mod plant;
mod ppp;
mod reader;
mod reassembly;
#[cfg(test)]
mod samples;
#[cfg(test)]
mod tests;
mod transport;
mod tunnel;
mod window;
mod wireless;

pub use application::Unread;
pub use digest::{
    Arp, ArpOperation, BadMac, Digest, Fault, FaultReason, Frame, Icmp, IcmpKind, Ip, Layer, Mac, Network,
    Tcp, TcpFlags, Transport, Udp,
};
pub use dissect::{Depth, Dissector, dissect};
pub use fingerprint::{Fingerprint, Fingerprints};
pub use fragments::FragmentCounts;
pub use hint::{
    Application, ClientHello, Dhcp, DhcpMessage, DhcpParameters, Direction, Dns, DnsName, DnsTypes, Effect,
    Hint, Http, Mqtt, NetBios, NetBiosMessage, Ntp, Operation, PlantProtocol, Ssdp, SsdpMessage, Ssh,
};
pub use link::Link;
pub use tunnel::{Encapsulation, Tunnel, UnknownType};
