//! One pass over the bytes of a frame: link, network, transport and the application hints that devices need.
//!
//! Borrowed bytes end here. What goes on is a [`Digest`]: plain, `Copy`, and free of anything that could grow.
//! Malformed bytes are data: a digest says how far it got and, in [`Digest::fault`], why it stopped.

mod application;
mod arp;
mod digest;
mod dissect;
mod fingerprint;
mod hint;
mod icmp;
mod ip;
mod plant;
#[cfg(test)]
mod samples;
mod transport;
mod window;

pub use application::Unread;
pub use digest::{
    Arp, ArpOperation, BadMac, Digest, Encapsulation, Fault, FaultReason, Frame, Icmp, IcmpKind, Ip, Layer,
    Link, Mac, Network, Tcp, TcpFlags, Transport, Tunnel, Udp, UnknownType,
};
pub use dissect::{Depth, Dissector, dissect};
pub use fingerprint::{Fingerprint, Fingerprints};
pub use hint::{
    Application, ClientHello, Dhcp, DhcpMessage, DhcpParameters, Direction, Dns, DnsName, DnsTypes, Effect,
    Hint, Http, Mqtt, NetBios, NetBiosMessage, Ntp, Operation, PlantProtocol, Ssdp, SsdpMessage, Ssh,
};
