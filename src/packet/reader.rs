//! [`Reader`]: the way down through a frame: the digest that it fills, and how an encapsulation is opened and, where
//! nothing in it could be read, closed again.
//!
//! It knows no format. Depth and work are bounded here, whatever the bytes say.

use std::net::IpAddr;

use super::application::Memory;
use super::digest::{Digest, Fault, FaultReason, Layer, Mac, Network};
use super::fragments::Fragments;
use super::ip::Header;
use super::tunnel::{Encapsulation, Tunnel, UnknownType};

/// Encapsulations and inner frames of one frame that are opened; at the next one reading ends with
/// [`FaultReason::TooDeep`]. Overlays in overlays need four, of which the mirror transport is one.
pub(super) const MAX_NESTING: u8 = 8;

/// One frame on its way down.
#[derive(Debug)]
pub(super) struct Reader<'d> {
    pub(super) digest: &'d mut Digest,
    /// What is remembered between frames to read applications.
    pub(super) memory: &'d mut Memory,
    /// Where fragments wait for the others; none for a reader that remembers nothing, and within a datagram that was
    /// put together.
    pub(super) fragments: Option<&'d mut Fragments>,
    /// Opened so far, failed attempts included: this bounds the work.
    nesting: u8,
}

/// What holds of the packet around an encapsulation.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outer {
    source: Mac,
    destination: Mac,
    vlan: Option<u16>,
    ether_type: u16,
    tunnel: Option<Tunnel>,
    fault: Option<Fault>,
}

/// By what an encapsulation was recognised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sign {
    /// By a number that means nothing else: what is wrong inside is a fault.
    Number,
    /// By a port, which others may use: what is wrong inside says that it was none.
    Port,
}

/// Whether an encapsulation gave the digest its packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// The digest is of a packet within.
    Read,
    /// The digest is of the packet around it, still to be completed.
    Unread,
}

impl<'d> Reader<'d> {
    pub(super) const fn new(
        digest: &'d mut Digest,
        memory: &'d mut Memory,
        fragments: Option<&'d mut Fragments>,
    ) -> Self {
        Self { digest, memory, fragments, nesting: 0 }
    }

    pub(super) fn note(&mut self, layer: Layer, reason: FaultReason) {
        self.digest.note(layer, reason);
    }

    pub(super) fn unknown(&mut self, kind: UnknownType) {
        self.digest.unknown.get_or_insert(kind);
    }

    /// A link header: its stations are those of the packet from now on.
    pub(super) fn stations(&mut self, source: Mac, destination: Mac) {
        self.digest.source = source;
        self.digest.destination = destination;
        if let Some(tunnel) = &mut self.digest.tunnel {
            tunnel.bridged = true;
            self.digest.vlan = None;
        }
    }

    /// One level deeper; `None`, with a fault, where that is too deep.
    pub(super) fn descend(&mut self) -> Option<()> {
        if self.nesting >= MAX_NESTING {
            self.note(Layer::Tunnel, FaultReason::TooDeep);
            return None;
        }
        self.nesting += 1;
        Some(())
    }

    /// Opens an encapsulation, of `outer` where it lies in an IP packet; `None`, with a fault, where that is too deep.
    pub(super) fn open(&mut self, kind: Encapsulation, outer: Option<&Header>) -> Option<Outer> {
        self.descend()?;
        let ends: Option<(IpAddr, IpAddr)> = outer.map(|header| (header.source, header.destination));
        let Digest { source, destination, vlan, ether_type, tunnel, fault, .. } = *self.digest;
        self.digest.tunnel = Some(match tunnel {
            None => Tunnel { kind, depth: 1, ends, bridged: false },
            Some(around) => {
                Tunnel { depth: around.depth + 1, ends: around.ends.or(ends), bridged: false, ..around }
            }
        });
        Some(Outer { source, destination, vlan, ether_type, tunnel, fault })
    }

    /// What was opened is read. A packet within is one with a network layer, or a whole link header where that is
    /// followed by something that nobody here reads; else the packet around it stands as if nothing had been opened.
    pub(super) fn close(&mut self, outer: &Outer, sign: Sign) -> Content {
        let digest = &mut *self.digest;
        let bridged = digest.tunnel.is_some_and(|tunnel| tunnel.bridged);
        if !matches!(digest.network, Network::Other) || bridged && digest.fault == outer.fault {
            return Content::Read;
        }
        let Outer { source, destination, vlan, ether_type, tunnel, fault } = *outer;
        (digest.source, digest.destination) = (source, destination);
        (digest.vlan, digest.ether_type, digest.tunnel) = (vlan, ether_type, tunnel);
        if sign == Sign::Port {
            digest.unknown = None;
            // Of bytes that the capture cut off nobody knows what they were.
            if digest.fault.is_some_and(|inner| inner.reason != FaultReason::Cut) {
                digest.fault = fault;
            }
        }
        Content::Unread
    }
}
