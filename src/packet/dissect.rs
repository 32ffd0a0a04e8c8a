//! [`dissect`]: the way from a frame to its digest, and the link layer: Ethernet with 802.1Q and 802.1ad tags.
//!
//! Layers write what they read into the digest and return; the first fault stays. Read first: IEEE 802.3 clause 3.2.6
//! (a type up to 1500 is a length), IEEE 802.1Q clause 9.

use etherparse::{EtherType, Ethernet2Header, Ethernet2HeaderSlice, SingleVlanHeader, SingleVlanHeaderSlice};

use super::digest::{Digest, Fault, FaultReason, Frame, Hint, Layer, Link, Mac, Network};
use super::window::Window;
use super::{arp, ip};

/// More tags than two are seen with provider bridges behind provider bridges; more than these are no honest frame.
const MAX_TAGS: usize = 4;

/// Reads one frame. Any bytes give a digest: work is bounded by the length of the headers, nothing is allocated, and
/// what could not be read is named in [`Digest::fault`].
///
/// - Payload counts follow the length fields of IP and UDP, so the padding of short frames does not count, and what
///   the capture cut off does. An IP length of zero (segmentation offload) means the rest of the frame.
/// - A length field that promises more than the frame has on the wire is a fault; reading goes on with what there is.
/// - A TCP header of which the capture cut only options is read, with a fault.
#[must_use]
pub fn dissect(frame: &Frame<'_>) -> Digest {
    let window = Window::of(frame);
    let mut digest = Digest {
        time: frame.time,
        wire_len: window.count(),
        source: Mac::default(),
        destination: Mac::default(),
        vlan: None,
        ether_type: 0,
        network: Network::Other,
        hint: Hint::None,
        fault: None,
    };
    match frame.link {
        Link::Ethernet => ethernet(window, &mut digest),
        Link::Unknown(_) => digest.note(Layer::Link, FaultReason::UnknownLink),
    }
    digest
}

impl Digest {
    /// Keeps the first fault.
    pub(super) fn note(&mut self, layer: Layer, reason: FaultReason) {
        self.fault.get_or_insert(Fault { layer, reason });
    }
}

fn ethernet(frame: Window<'_>, digest: &mut Digest) {
    let Ok(header) = Ethernet2HeaderSlice::from_slice(frame.bytes) else {
        return digest.note(Layer::Link, frame.shortage(Ethernet2Header::LEN));
    };
    digest.source = Mac(header.source());
    digest.destination = Mac(header.destination());
    let mut ether_type = header.ether_type();
    let mut rest = frame.after(Ethernet2Header::LEN);
    let mut tags = 0;
    while is_tag(ether_type) {
        if tags == MAX_TAGS {
            return digest.note(Layer::Link, FaultReason::BadField);
        }
        tags += 1;
        let Ok(tag) = SingleVlanHeaderSlice::from_slice(rest.bytes) else {
            return digest.note(Layer::Link, rest.shortage(SingleVlanHeader::LEN));
        };
        digest.vlan.get_or_insert(tag.vlan_identifier().value());
        ether_type = tag.ether_type();
        rest = rest.after(SingleVlanHeader::LEN);
    }
    digest.ether_type = ether_type.0;
    match ether_type {
        EtherType::ARP => arp::read(rest, digest),
        EtherType::IPV4 => ip::read(rest, ip::v4, digest),
        EtherType::IPV6 => ip::read(rest, ip::v6, digest),
        _ => {}
    }
}

/// 802.1Q, 802.1ad, and the number that some switches used before 802.1ad.
const fn is_tag(ether_type: EtherType) -> bool {
    matches!(
        ether_type,
        EtherType::VLAN_TAGGED_FRAME | EtherType::PROVIDER_BRIDGING | EtherType::VLAN_DOUBLE_TAGGED_FRAME
    )
}
