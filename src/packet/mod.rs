//! One pass over the bytes of a frame: link, network, transport and the application hints that devices need.
//!
//! Borrowed bytes end here. What goes on is a [`Digest`]: plain, `Copy`, and free of anything that could grow.
//! Malformed bytes are data: a digest says how far it got and, in [`Digest::fault`], why it stopped.

mod arp;
mod dhcp;
mod digest;
mod dissect;
mod dns;
mod icmp;
mod ip;
#[cfg(test)]
mod samples;
mod transport;
mod window;

pub use digest::{
    Arp, ArpOperation, Dhcp, DhcpMessage, Digest, Dns, DnsName, Fault, FaultReason, Frame, Hint, Icmp,
    IcmpKind, Ip, Layer, Link, Mac, Network, Tcp, TcpFlags, Transport, Udp,
};
pub use dissect::dissect;
