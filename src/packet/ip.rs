//! IPv4 with options (RFC 791) and IPv6 with its extension headers (RFC 8200, RFC 4302), down to where the transport
//! header begins. Checksums are not verified: offload leaves them wrong on the sender's own tap.

use std::net::IpAddr;

use etherparse::err::{ip_auth, ipv4, ipv6};
use etherparse::{
    IpAuthHeaderSlice, IpNumber, Ipv4HeaderSlice, Ipv6FragmentHeader, Ipv6FragmentHeaderSlice, Ipv6Header,
    Ipv6HeaderSlice, Ipv6RawExtHeaderSlice,
};

use super::digest::{Digest, FaultReason, Ip, Layer, Network, Transport};
use super::transport;
use super::window::Window;

/// RFC 8200 section 4.1 wants each extension header once and destination options twice: seven. More than these are
/// not followed.
const MAX_EXTENSIONS: usize = 16;

/// The fixed header (and IPv4's options), checked as far as it stands alone.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    pub(super) source: IpAddr,
    pub(super) destination: IpAddr,
    hop_limit: u8,
    /// IPv4: the protocol; IPv6: the first next header.
    pub(super) protocol: u8,
    part: Part,
    /// Bytes of this header.
    length: usize,
    /// Bytes of the packet with this header, where the packet says so.
    total: Option<usize>,
}

/// Which part of a datagram a packet carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// All of it.
    Whole,
    /// All of it, but its length field is zero: segmentation offload, or a jumbogram (RFC 2675).
    Unmeasured,
    /// The first fragment.
    First,
    /// A later fragment, without transport header.
    Later,
}

impl Part {
    const fn of_fragment(offset: u16, more: bool) -> Self {
        match (offset, more) {
            (0, false) => Self::Whole,
            (0, true) => Self::First,
            _ => Self::Later,
        }
    }
}

/// What an IP packet carries, behind all headers of the network layer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Carried<'a> {
    pub(super) protocol: u8,
    pub(super) part: Part,
    pub(super) window: Window<'a>,
}

/// An extension header that could not be read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stop {
    pub(super) protocol: u8,
    pub(super) reason: FaultReason,
}

/// Reads the IP packet of a frame, its header with `header`, into the digest.
pub(super) fn read(
    window: Window<'_>,
    header: fn(Window<'_>) -> Result<Header, FaultReason>,
    digest: &mut Digest,
) {
    match header(window) {
        Ok(header) => {
            let transport = transport_of(window, header, digest);
            let Header { source, destination, hop_limit, .. } = header;
            digest.network = Network::Ip(Ip { source, destination, hop_limit, transport });
        }
        Err(reason) => digest.note(Layer::Ip, reason),
    }
}

fn transport_of(window: Window<'_>, header: Header, digest: &mut Digest) -> Transport {
    let total = header.total.unwrap_or(window.length());
    if total < header.length {
        digest.note(Layer::Ip, FaultReason::BadLength);
        return Transport::Other(header.protocol);
    }
    if total > window.length() {
        digest.note(Layer::Ip, FaultReason::BadLength);
    }
    match header.carried(window.ending_at(total)) {
        Ok(Carried { part: Part::Later, protocol, .. }) => Transport::Fragment(protocol),
        Ok(carried) => transport::read(carried, digest),
        Err(Stop { protocol, reason }) => {
            digest.note(Layer::Ip, reason);
            Transport::Other(protocol)
        }
    }
}

/// An IPv4 header.
pub(super) fn v4(window: Window<'_>) -> Result<Header, FaultReason> {
    use ipv4::{HeaderError, HeaderSliceError};
    let header = Ipv4HeaderSlice::from_slice(window.bytes).map_err(|error| match error {
        HeaderSliceError::Len(error) => window.shortage(error.required_len),
        HeaderSliceError::Content(HeaderError::UnexpectedVersion { .. }) => FaultReason::BadField,
        HeaderSliceError::Content(HeaderError::HeaderLengthSmallerThanHeader { .. }) => {
            FaultReason::BadLength
        }
    })?;
    let total = Some(usize::from(header.total_len())).filter(|&total| total != 0);
    let part = Part::of_fragment(header.fragments_offset().value(), header.more_fragments());
    Ok(Header {
        source: header.source_addr().into(),
        destination: header.destination_addr().into(),
        hop_limit: header.ttl(),
        protocol: header.protocol().0,
        part: if part == Part::Whole && total.is_none() { Part::Unmeasured } else { part },
        length: header.slice().len(),
        total,
    })
}

/// An IPv6 header, without extension headers.
pub(super) fn v6(window: Window<'_>) -> Result<Header, FaultReason> {
    use ipv6::HeaderSliceError;
    let header = Ipv6HeaderSlice::from_slice(window.bytes).map_err(|error| match error {
        HeaderSliceError::Len(error) => window.shortage(error.required_len),
        HeaderSliceError::Content(_) => FaultReason::BadField,
    })?;
    let payload = usize::from(header.payload_length());
    let measured = payload != 0 || header.next_header() == IpNumber::IPV6_NO_NEXT_HEADER;
    Ok(Header {
        source: header.source_addr().into(),
        destination: header.destination_addr().into(),
        hop_limit: header.hop_limit(),
        protocol: header.next_header().0,
        part: if measured { Part::Whole } else { Part::Unmeasured },
        length: Ipv6Header::LEN,
        total: measured.then_some(Ipv6Header::LEN + payload),
    })
}

impl Header {
    /// Finds the transport header in `packet`, which begins with this header.
    pub(super) fn carried(self, packet: Window<'_>) -> Result<Carried<'_>, Stop> {
        let start = Carried { protocol: self.protocol, part: self.part, window: packet.after(self.length) };
        if self.source.is_ipv6() { skip_extensions(start) } else { Ok(start) }
    }
}

fn skip_extensions(mut carried: Carried<'_>) -> Result<Carried<'_>, Stop> {
    for step in 0..=MAX_EXTENSIONS {
        let protocol = carried.protocol;
        let stop = |reason| Stop { protocol, reason };
        let window = carried.window;
        let (next, length) = match IpNumber(protocol) {
            IpNumber::IPV6_HEADER_HOP_BY_HOP if step > 0 => return Err(stop(FaultReason::BadField)),
            IpNumber::IPV6_HEADER_HOP_BY_HOP
            | IpNumber::IPV6_ROUTE_HEADER
            | IpNumber::IPV6_DESTINATION_OPTIONS => {
                let header = Ipv6RawExtHeaderSlice::from_slice(window.bytes)
                    .map_err(|error| stop(window.shortage(error.required_len)))?;
                (header.next_header(), header.slice().len())
            }
            IpNumber::IPV6_FRAGMENTATION_HEADER => {
                let header = Ipv6FragmentHeaderSlice::from_slice(window.bytes)
                    .map_err(|error| stop(window.shortage(error.required_len)))?;
                match Part::of_fragment(header.fragment_offset().value(), header.more_fragments()) {
                    Part::Later => {
                        return Ok(Carried {
                            protocol: header.next_header().0,
                            part: Part::Later,
                            window: window.after(Ipv6FragmentHeader::LEN),
                        });
                    }
                    Part::First => carried.part = Part::First,
                    Part::Whole | Part::Unmeasured => {}
                }
                (header.next_header(), Ipv6FragmentHeader::LEN)
            }
            IpNumber::AUTHENTICATION_HEADER => {
                let header = IpAuthHeaderSlice::from_slice(window.bytes).map_err(|error| match error {
                    ip_auth::HeaderSliceError::Len(error) => stop(window.shortage(error.required_len)),
                    ip_auth::HeaderSliceError::Content(_) => stop(FaultReason::BadLength),
                })?;
                (header.next_header(), header.slice().len())
            }
            _ => return Ok(carried),
        };
        carried.protocol = next.0;
        carried.window = window.after(length);
    }
    Err(Stop { protocol: carried.protocol, reason: FaultReason::BadField })
}
