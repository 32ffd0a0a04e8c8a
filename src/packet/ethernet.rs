//! Ethernet II, 802.3 with LLC and SNAP, and the tags between addresses and type: 802.1Q, 802.1ad, MACsec without
//! encryption, Cisco's metadata and VN-Tag; frames in frames of 802.1ah, FabricPath and TRILL; a switch chip's own tags.
//!
//! Read first: IEEE 802.3 clause 3.2.6 (a type up to 1500 is a length), IEEE 802.1Q clause 9, IEEE 802.2, RFC 1042.

use etherparse::err::macsec;
use etherparse::{
    EtherType, Ethernet2Header, Ethernet2HeaderSlice, MacsecHeaderSlice, SingleVlanHeader,
    SingleVlanHeaderSlice,
};

use super::digest::{FaultReason, Layer, Mac};
use super::dissect::Depth;
use super::hint::Hint;
use super::reader::Reader;
use super::tunnel::UnknownType;
use super::window::Window;
use super::{arp, ip, mpls, plant, ppp};

/// More tags than two are seen with provider bridges behind provider bridges; more than these are no honest frame.
const MAX_TAGS: usize = 4;

/// A type up to this is a length.
const MAX_LENGTH: u16 = 1500;

/// Both addresses.
const ADDRESSES: usize = 12;

const JUMBO_LLC: EtherType = EtherType(0x8870);
const MPLS: EtherType = EtherType(0x8847);
const MPLS_UPSTREAM: EtherType = EtherType(0x8848);
const PPP: EtherType = EtherType(0x880b);
const PPPOE_SESSION: EtherType = EtherType(0x8864);
const BACKBONE: EtherType = EtherType(0x88e7);
const FABRIC_PATH: EtherType = EtherType(0x8903);
const CISCO_METADATA: EtherType = EtherType(0x8909);
const VN_TAG: EtherType = EtherType(0x8926);
const TRILL: EtherType = EtherType(0x22f3);
/// Transparent Ethernet bridging: of GRE, GENEVE and NVGRE.
pub(super) const BRIDGING: EtherType = EtherType(0x6558);

const SNAP: u8 = 0xaa;
const LLC_IP: u8 = 0x06;

/// Reads a frame from its addresses on.
pub(super) fn read(frame: Window<'_>, reader: &mut Reader<'_>) {
    let Ok(header) = Ethernet2HeaderSlice::from_slice(frame.bytes) else {
        return reader.note(Layer::Link, frame.shortage(Ethernet2Header::LEN));
    };
    reader.stations(Mac(header.source()), Mac(header.destination()));
    typed(header.ether_type(), frame.after(Ethernet2Header::LEN), reader);
}

/// Reads a frame with `inserted` bytes of a switch chip between addresses and type.
pub(super) fn read_marked(frame: Window<'_>, inserted: usize, reader: &mut Reader<'_>) {
    let Some(&[a, b, c, d, e, f, g, h, i, j, k, l]) = frame.bytes.first_chunk::<ADDRESSES>() else {
        return reader.note(Layer::Link, frame.shortage(ADDRESSES));
    };
    reader.stations(Mac([g, h, i, j, k, l]), Mac([a, b, c, d, e, f]));
    let rest = frame.after(ADDRESSES + inserted);
    let Some(&[high, low]) = rest.bytes.first_chunk::<2>() else {
        return reader.note(Layer::Link, rest.shortage(2));
    };
    typed(EtherType(u16::from_be_bytes([high, low])), rest.after(2), reader);
}

/// Reads a whole frame that lies in another without being a tunnel between IP hosts.
fn read_inner(frame: Window<'_>, reader: &mut Reader<'_>) {
    if reader.descend().is_some() {
        read(frame, reader);
    }
}

/// Reads what follows a type, tags first.
pub(super) fn typed(ether_type: EtherType, window: Window<'_>, reader: &mut Reader<'_>) {
    let (mut ether_type, mut window) = (ether_type, window);
    let mut tags = 0;
    while is_tag(ether_type) {
        if tags == MAX_TAGS {
            return reader.note(Layer::Link, FaultReason::BadField);
        }
        tags += 1;
        match tag(ether_type, window, reader) {
            Ok(Some((next, rest))) => (ether_type, window) = (next, rest),
            Ok(None) => {
                reader.digest.ether_type = ether_type.0;
                return reader.unknown(UnknownType::Ether(ether_type.0));
            }
            Err(reason) => return reader.note(Layer::Link, reason),
        }
    }
    reader.digest.ether_type = ether_type.0;
    match ether_type {
        EtherType::ARP => arp::read(window, reader.digest),
        EtherType::IPV4 => ip::read(window, ip::v4, reader),
        EtherType::IPV6 => ip::read(window, ip::v6, reader),
        EtherType(length @ 1..=MAX_LENGTH) => llc(window.ending_at(length.into()), reader),
        EtherType(plant::PROFINET_TYPE | plant::GOOSE_TYPE) => of_plant(ether_type, window, reader),
        _ => wrapped(ether_type, window, reader),
    }
}

/// What says nothing of the plant but real-time data counts by its type.
fn of_plant(ether_type: EtherType, window: Window<'_>, reader: &mut Reader<'_>) {
    if reader.memory.depth != Depth::Full {
        return;
    }
    match ether_type.0 {
        plant::PROFINET_TYPE => plant::of_profinet(window, reader.digest),
        _ => plant::of_goose(window, reader.digest),
    }
    if matches!((&reader.digest.hint, reader.digest.fault), (Hint::None, None)) {
        reader.unknown(UnknownType::Ether(ether_type.0));
    }
}

/// Whether another type follows after some bytes.
const fn is_tag(ether_type: EtherType) -> bool {
    matches!(
        ether_type,
        EtherType::VLAN_TAGGED_FRAME
            | EtherType::PROVIDER_BRIDGING
            | EtherType::VLAN_DOUBLE_TAGGED_FRAME
            | EtherType::MACSEC
            | CISCO_METADATA
            | VN_TAG
    )
}

/// The type behind a tag and what follows it; none where that is encrypted.
fn tag<'a>(
    kind: EtherType,
    window: Window<'a>,
    reader: &mut Reader<'_>,
) -> Result<Option<(EtherType, Window<'a>)>, FaultReason> {
    let skipped = match kind {
        EtherType::MACSEC => {
            let header = MacsecHeaderSlice::from_slice(window.bytes).map_err(|error| match error {
                macsec::HeaderSliceError::Len(error) => window.shortage(error.required_len),
                macsec::HeaderSliceError::Content(_) => FaultReason::BadField,
            })?;
            let rest = window.after(header.header_len());
            return Ok(header.next_ether_type().map(|next| (next, rest)));
        }
        CISCO_METADATA => 6,
        VN_TAG => 4,
        _ => {
            let Ok(tag) = SingleVlanHeaderSlice::from_slice(window.bytes) else {
                return Err(window.shortage(SingleVlanHeader::LEN));
            };
            reader.digest.vlan.get_or_insert(tag.vlan_identifier().value());
            return Ok(Some((tag.ether_type(), window.after(SingleVlanHeader::LEN))));
        }
    };
    let rest = window.after(skipped);
    let next = rest.bytes.first_chunk::<2>().ok_or_else(|| window.shortage(skipped + 2))?;
    Ok(Some((EtherType(u16::from_be_bytes(*next)), rest.after(2))))
}

fn wrapped(ether_type: EtherType, window: Window<'_>, reader: &mut Reader<'_>) {
    match ether_type {
        JUMBO_LLC => llc(window, reader),
        MPLS | MPLS_UPSTREAM => mpls::read(window, reader),
        PPPOE_SESSION => ppp::over_ethernet(window, reader),
        PPP => ppp::read(window, reader),
        BRIDGING => read_inner(window, reader),
        // Service identifier and flags.
        BACKBONE => read_inner(window.after(4), reader),
        // Tree and hop limit.
        FABRIC_PATH => read_inner(window.after(2), reader),
        TRILL => match window.bytes.first_chunk::<2>() {
            // Five bits of length in words of four bytes lie across the first two.
            Some(&[a, b]) => {
                let options = usize::from((a & 7) << 2 | b >> 6) * 4;
                read_inner(window.after(6 + options), reader);
            }
            None => reader.note(Layer::Link, window.shortage(6)),
        },
        other => reader.unknown(UnknownType::Ether(other.0)),
    }
}

/// Reads an IEEE 802.2 header and what follows.
pub(super) fn llc(window: Window<'_>, reader: &mut Reader<'_>) {
    let Some(&[destination, source, control]) = window.bytes.first_chunk::<3>() else {
        return reader.note(Layer::Link, window.shortage(3));
    };
    match (destination, source, control) {
        (SNAP, SNAP, 3) => snap(window.after(3), reader),
        (LLC_IP, LLC_IP, 3) => ip::read(window.after(3), ip::v4, reader),
        _ => reader.unknown(UnknownType::Llc(destination)),
    }
}

/// Reads an organisation, its protocol number and what follows.
pub(super) fn snap(window: Window<'_>, reader: &mut Reader<'_>) {
    let Some(&[a, b, c, high, low]) = window.bytes.first_chunk::<5>() else {
        return reader.note(Layer::Link, window.shortage(5));
    };
    let rest = window.after(5);
    match ([a, b, c], EtherType(u16::from_be_bytes([high, low]))) {
        // Encapsulated Ethernet (RFC 1042) and its bridge tunnel (IEEE 802.1H).
        ([0, 0, 0 | 0xf8], EtherType(number)) if number > MAX_LENGTH => {
            if reader.descend().is_some() {
                typed(EtherType(number), rest, reader);
            }
        }
        // Bridged 802.3 with and without check sequence (RFC 2427).
        ([0, 0x80, 0xc2], EtherType(1 | 7)) => read_inner(rest, reader),
        _ => reader.unknown(UnknownType::Llc(SNAP)),
    }
}

/// Whether the type of a frame is one that is read here: how an inner frame is told from other bytes.
pub(super) const fn is_read(ether_type: u16) -> bool {
    let ether_type = EtherType(ether_type);
    is_tag(ether_type)
        || matches!(
            ether_type,
            EtherType::IPV4 | EtherType::IPV6 | EtherType::ARP | MPLS | MPLS_UPSTREAM | PPPOE_SESSION
        )
}
