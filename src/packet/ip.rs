//! IPv4 with options (RFC 791) and IPv6 with its extension headers (RFC 8200, RFC 4302), down to where the transport
//! header begins. Checksums are not verified: offload leaves them wrong on the sender's
//! own tap.

use std::net::IpAddr;

use etherparse::err::{ip_auth, ipv4, ipv6};
use etherparse::{
    IpAuthHeaderSlice, IpNumber, Ipv4HeaderSlice, Ipv6FragmentHeader, Ipv6FragmentHeaderSlice, Ipv6Header,
    Ipv6HeaderSlice, Ipv6RawExtHeaderSlice,
};

use super::application;
use super::digest::{FaultReason, Ip, Layer, Network, Transport};
use super::reader::{Content, Reader, Sign};
use super::tunnel::{Encapsulation, UnknownType};
use super::window::Window;
use super::{gre, mpls, overlay, reassembly, transport};

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
    /// The first bytes of all of it, put together from fragments of which the last is still to come.
    Head,
    /// The first fragment: its transport header only, what follows is incomplete.
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
    /// The IPv6 fragment header and what follows it, where there is one.
    pub(super) fragment: Option<Window<'a>>,
}

/// What there is in an IP packet.
#[derive(Clone, Copy, Debug)]
pub(super) enum Found<'a> {
    /// A transport, or a protocol that is not read; with the payload that may say more.
    Transport(Transport, Option<Window<'a>>),
    /// Another packet, which is now the digest's.
    Inner,
}

/// An extension header that could not be read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stop {
    pub(super) protocol: u8,
    pub(super) reason: FaultReason,
}

/// Reads an IP packet, its header with `header`, into the digest.
pub(super) fn read(
    window: Window<'_>,
    header: fn(Window<'_>) -> Result<Header, FaultReason>,
    reader: &mut Reader<'_>,
) {
    match header(window) {
        Ok(header) => {
            if let Found::Transport(transport, payload) = content(window, &header, reader) {
                let ip = header.with(transport);
                reader.digest.network = Network::Ip(ip);
                if let Some(payload) = payload {
                    application::read(payload, &ip, reader.memory, reader.digest);
                }
            }
        }
        Err(reason) => reader.note(Layer::Ip, reason),
    }
}

fn content<'a>(window: Window<'a>, header: &Header, reader: &mut Reader<'_>) -> Found<'a> {
    let total = header.total.unwrap_or(window.length());
    if total < header.length {
        reader.note(Layer::Ip, FaultReason::BadLength);
        return Found::Transport(Transport::Other(header.protocol), None);
    }
    if total > window.length() {
        reader.note(Layer::Ip, FaultReason::BadLength);
    }
    let packet = window.ending_at(total);
    match header.carried(packet) {
        Ok(carried) if matches!(carried.part, Part::First | Part::Later) => {
            reassembly::read(packet, carried, header, reader)
        }
        Ok(carried) => carry(carried, header, reader),
        Err(Stop { protocol, reason }) => {
            reader.note(Layer::Ip, reason);
            Found::Transport(Transport::Other(protocol), None)
        }
    }
}

/// Reads what an IP packet carries.
pub(super) fn carry<'a>(carried: Carried<'a>, header: &Header, reader: &mut Reader<'_>) -> Found<'a> {
    let content = match IpNumber(carried.protocol) {
        IpNumber::TCP | IpNumber::UDP | IpNumber::ICMP | IpNumber::IPV6_ICMP => {
            let (transport, payload) = transport::read(carried, reader.digest);
            return match (transport, payload) {
                (Transport::Udp(udp), Some(payload))
                    if overlay::read(udp, payload, header, reader) == Content::Read =>
                {
                    Found::Inner
                }
                _ => Found::Transport(transport, payload),
            };
        }
        IpNumber::IPV4 => ip_in_ip(carried.window, v4, header, reader),
        IpNumber::IPV6 => ip_in_ip(carried.window, v6, header, reader),
        IpNumber::GRE => gre::read(carried.window, header, reader),
        IpNumber::MPLS_IN_IP => mpls::over_ip(carried.window, header, reader),
        // Nobody can read further, or nothing follows.
        IpNumber::ENCAPSULATING_SECURITY_PAYLOAD | IpNumber::IPV6_NO_NEXT_HEADER => Content::Unread,
        IpNumber(other) => {
            reader.unknown(UnknownType::Ip(other));
            Content::Unread
        }
    };
    match content {
        Content::Read => Found::Inner,
        Content::Unread => Found::Transport(Transport::Other(carried.protocol), None),
    }
}

fn ip_in_ip(
    window: Window<'_>,
    inner: fn(Window<'_>) -> Result<Header, FaultReason>,
    outer: &Header,
    reader: &mut Reader<'_>,
) -> Content {
    let Some(around) = reader.open(Encapsulation::IpInIp, Some(outer)) else { return Content::Unread };
    read(window, inner, reader);
    reader.close(&around, Sign::Number)
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
    /// The packet with this transport.
    pub(super) const fn with(&self, transport: Transport) -> Ip {
        let Self { source, destination, hop_limit, .. } = *self;
        Ip { source, destination, hop_limit, transport }
    }

    /// Finds the transport header in `packet`, which begins with this header.
    pub(super) fn carried(self, packet: Window<'_>) -> Result<Carried<'_>, Stop> {
        let start = Carried {
            protocol: self.protocol,
            part: self.part,
            window: packet.after(self.length),
            fragment: None,
        };
        self.behind(start)
    }

    /// Passes over what headers of the network layer there are before the transport header.
    pub(super) fn behind(self, start: Carried<'_>) -> Result<Carried<'_>, Stop> {
        match self.source {
            IpAddr::V6(_) => skip_extensions(start),
            // Of a fragment it is not the header but data.
            IpAddr::V4(_) if start.protocol == AUTHENTICATION && start.part != Part::Later => {
                let (protocol, length) = authentication(start.window)
                    .map_err(|reason| Stop { protocol: AUTHENTICATION, reason })?;
                Ok(Carried { protocol, window: start.window.after(length), ..start })
            }
            IpAddr::V4(_) => Ok(start),
        }
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
                            fragment: carried.fragment.or(Some(window)),
                        });
                    }
                    Part::First => {
                        carried.part = Part::First;
                        carried.fragment = carried.fragment.or(Some(window));
                    }
                    Part::Whole | Part::Unmeasured | Part::Head => {}
                }
                (header.next_header(), Ipv6FragmentHeader::LEN)
            }
            IpNumber::AUTHENTICATION_HEADER => {
                let (next, length) = authentication(window).map_err(stop)?;
                (IpNumber(next), length)
            }
            _ => return Ok(carried),
        };
        carried.protocol = next.0;
        carried.window = window.after(length);
    }
    Err(Stop { protocol: carried.protocol, reason: FaultReason::BadField })
}

/// Protocol number of the authentication header.
const AUTHENTICATION: u8 = IpNumber::AUTHENTICATION_HEADER.0;

/// What follows an authentication header, and its length.
fn authentication(window: Window<'_>) -> Result<(u8, usize), FaultReason> {
    let header = IpAuthHeaderSlice::from_slice(window.bytes).map_err(|error| match error {
        ip_auth::HeaderSliceError::Len(error) => window.shortage(error.required_len),
        ip_auth::HeaderSliceError::Content(_) => FaultReason::BadLength,
    })?;
    Ok((header.next_header().0, header.slice().len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::samples::{
        CLIENT, CLIENT6, LINK, SERVER, SERVER6, captured, digest, extensions, fault, ip, ip4, ip6, tcp4,
        transport, udp_header,
    };
    use crate::packet::{Digest, Tcp, Udp};

    /// UDP with two bytes of payload.
    fn udp() -> Vec<u8> {
        [&udp_header(5000, 6000, 10)[..], b"hi"].concat()
    }

    fn is_udp(digest: &Digest, bytes: u32) -> bool {
        matches!(transport(digest), Transport::Udp(Udp { source_port: 5000, payload, .. }) if payload == bytes)
    }

    #[test]
    fn addresses_and_hop_limits() {
        let four = ip(&digest(&ip4(17, &udp())));
        assert_eq!((four.source, four.destination), (CLIENT.into(), SERVER.into()));
        assert_eq!(four.hop_limit, 64);
        let six = ip(&digest(&ip6(17, &udp())));
        assert_eq!((six.source, six.destination), (CLIENT6.into(), SERVER6.into()));
        assert_eq!(six.hop_limit, 255);
    }

    #[test]
    fn ipv4_options_are_passed_over() {
        let mut frame = ip4(17, &udp());
        frame[LINK] = 0x46;
        frame[LINK + 3] += 4;
        frame.splice(LINK + 20..LINK + 20, [0x94, 4, 0, 0]);
        assert!(is_udp(&digest(&frame), 2));
        assert_eq!(captured(&frame, LINK + 23).fault, fault(Layer::Ip, FaultReason::Cut));
    }

    #[test]
    fn a_total_length_of_zero_is_the_rest_of_the_frame() {
        let mut frame = tcp4(&[0; 3000]);
        frame[LINK + 2..LINK + 4].fill(0);
        assert!(matches!(transport(&digest(&frame)), Transport::Tcp(Tcp { payload: 3000, .. })));
        assert!(matches!(transport(&captured(&frame, 96)), Transport::Tcp(Tcp { payload: 3000, .. })));
        let mut frame = ip6(17, &udp());
        frame[LINK + 4..LINK + 6].fill(0);
        assert!(is_udp(&digest(&frame), 2));
        assert_eq!(digest(&frame).fault, None);
    }

    #[test]
    fn bad_ipv4_headers() {
        let with = |at: usize, byte| {
            let mut frame = ip4(17, &udp());
            frame[LINK + at] = byte;
            digest(&frame)
        };
        assert_eq!(with(0, 0x65).fault, fault(Layer::Ip, FaultReason::BadField), "version");
        assert_eq!(with(0, 0x44).fault, fault(Layer::Ip, FaultReason::BadLength), "header length below 5");
        assert_eq!(with(0, 0x4f).fault, fault(Layer::Ip, FaultReason::TooShort), "header longer than frame");
        let short = with(3, 19);
        assert_eq!(short.fault, fault(Layer::Ip, FaultReason::BadLength), "total below header");
        assert!(matches!(transport(&short), Transport::Other(17)));
        let frame = ip4(17, &udp());
        assert_eq!(digest(&frame[..LINK + 19]).fault, fault(Layer::Ip, FaultReason::TooShort));
        assert_eq!(captured(&frame, LINK + 19).fault, fault(Layer::Ip, FaultReason::Cut));
    }

    #[test]
    fn a_length_beyond_the_frame_is_a_fault_and_reading_goes_on() {
        let mut frame = tcp4(b"data");
        frame[LINK + 2] = 4;
        let four = digest(&frame);
        assert_eq!(four.fault, fault(Layer::Ip, FaultReason::BadLength));
        assert!(matches!(transport(&four), Transport::Tcp(Tcp { payload: 4, .. })));
        let mut frame = ip6(17, &udp());
        frame[LINK + 4] = 4;
        let six = digest(&frame);
        assert_eq!(six.fault, fault(Layer::Ip, FaultReason::BadLength));
        assert!(is_udp(&six, 2));
    }

    #[test]
    fn only_first_fragments_have_a_transport() {
        let mut frame = ip4(17, &[&udp_header(5000, 6000, 2008)[..], &[0; 100]].concat());
        frame[LINK + 6] = 0x20;
        assert!(is_udp(&digest(&frame), 100));
        assert_eq!(digest(&frame).fault, None);
        frame[LINK + 7] = 13;
        assert!(matches!(transport(&digest(&frame)), Transport::Fragment(17)));
        frame[LINK + 6] = 0;
        assert!(matches!(transport(&digest(&frame)), Transport::Fragment(17)));
        frame[LINK + 6..LINK + 8].copy_from_slice(&[0x40, 0]);
        assert_eq!(digest(&frame).fault, fault(Layer::Udp, FaultReason::BadLength), "only DF: no fragment");
    }

    #[test]
    fn ipv6_fragments() {
        let fragment = |offset: u8, more: u8| {
            let udp = [&udp_header(5000, 6000, 2008)[..], &[0; 100]].concat();
            digest(&ip6(44, &[&[17, 0, 0, offset << 3 | more, 0, 0, 0, 1][..], &udp].concat()))
        };
        assert!(is_udp(&fragment(0, 1), 100));
        assert_eq!(fragment(0, 1).fault, None);
        assert_eq!(fragment(0, 0).fault, fault(Layer::Udp, FaultReason::BadLength), "atomic: whole");
        assert!(matches!(transport(&fragment(14, 1)), Transport::Fragment(17)));
        assert!(matches!(transport(&fragment(14, 0)), Transport::Fragment(17)));
    }

    #[test]
    fn ipv6_extension_headers_are_followed() {
        let frame = ip6(0, &extensions(&udp()));
        assert!(is_udp(&digest(&frame), 2));
        // Each header needs all of its bytes; the protocol named is that of the one that could not be read.
        for (length, protocol) in [(7, 0), (15, 60), (23, 43), (31, 44), (47, 51)] {
            let at = LINK + 40 + length;
            let cut = captured(&frame, at);
            assert_eq!(cut.fault, fault(Layer::Ip, FaultReason::Cut));
            assert!(matches!(transport(&cut), Transport::Other(p) if p == protocol), "{length}");
        }
    }

    #[test]
    fn bad_extension_headers() {
        let reason = |next, body: &[u8]| digest(&ip6(next, body)).fault;
        let late_hop_by_hop = [&[0, 0, 1, 4, 0, 0, 0, 0], &[17, 0, 1, 4, 0, 0, 0, 0], &udp()[..]].concat();
        assert_eq!(reason(60, &late_hop_by_hop), fault(Layer::Ip, FaultReason::BadField));
        let empty_authentication = [&[17, 0, 0, 0, 0, 0, 0, 0], &[0; 8], &udp()[..]].concat();
        assert_eq!(reason(51, &empty_authentication), fault(Layer::Ip, FaultReason::BadLength));
        let long_options = [&[17, 200, 1, 4, 0, 0, 0, 0], &udp()[..]].concat();
        assert_eq!(reason(60, &long_options), fault(Layer::Ip, FaultReason::TooShort));
        let chain = |headers: usize| [[60, 0, 1, 4, 0, 0, 0, 0].repeat(headers), vec![0; 40]].concat();
        assert_eq!(reason(60, &chain(1000)), fault(Layer::Ip, FaultReason::BadField));
    }

    #[test]
    fn a_length_field_that_ends_within_a_header_is_told_from_a_frame_that_ends_there() {
        let mut frame = ip6(60, &[&[17, 0, 1, 4, 0, 0, 0, 0], &udp()[..]].concat());
        frame[LINK + 5] = 4;
        assert_eq!(digest(&frame).fault, fault(Layer::Ip, FaultReason::BadLength));
    }

    #[test]
    fn no_next_header_and_unknown_protocols_are_no_fault() {
        for protocol in [50, 59, 132] {
            let frame = digest(&ip6(protocol, &[]));
            assert!(matches!(transport(&frame), Transport::Other(p) if p == protocol));
            assert_eq!(frame.fault, None);
        }
        assert_eq!(digest(&ip6(59, &[])[..LINK + 39]).fault, fault(Layer::Ip, FaultReason::TooShort));
        let mut frame = ip6(59, &[]);
        frame[LINK] = 0x45;
        assert_eq!(digest(&frame).fault, fault(Layer::Ip, FaultReason::BadField));
    }
}
