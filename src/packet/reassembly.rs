//! A fragment of an IP packet, to what its digest says: the transport of its datagram's first fragment, and for the
//! one that completes the start of the datagram also what that holds.

use etherparse::{Ipv4HeaderSlice, Ipv6FragmentHeader, Ipv6FragmentHeaderSlice};

use super::application;
use super::digest::{FaultReason, Icmp, Layer, Tcp, TcpFlags, Transport, Udp};
use super::fragments::{First, Fragments, Head, Key, Piece, Standing};
use super::ip::{self, Carried, Found, Header, Part, Stop};
use super::reader::{Content, Reader};
use super::transport;
use super::window::Window;

/// Reads the fragment `carried` of the packet with this header.
pub(super) fn read<'a>(
    packet: Window<'a>,
    carried: Carried<'a>,
    header: &Header,
    reader: &mut Reader<'_>,
) -> Found<'a> {
    let own = (carried.part == Part::First).then(|| transport::read(carried, reader.digest).0);
    let alone = Found::Transport(own.unwrap_or(Transport::Fragment(carried.protocol)), None);
    let (Some(piece), Some(fragments)) =
        (piece(packet, &carried, header, own, reader), reader.fragments.take())
    else {
        return alone;
    };
    let found = place(&piece, fragments, header, reader).unwrap_or(alone);
    reader.fragments = Some(fragments);
    found
}

fn piece<'a>(
    packet: Window<'a>,
    carried: &Carried<'a>,
    header: &Header,
    own: Option<Transport>,
    reader: &Reader<'_>,
) -> Option<Piece<'a>> {
    let (identification, offset, more, protocol, window) = match carried.fragment {
        Some(at) => {
            let fragment = Ipv6FragmentHeaderSlice::from_slice(at.bytes).ok()?;
            let offset = fragment.fragment_offset().byte_offset();
            let window = at.after(Ipv6FragmentHeader::LEN);
            (fragment.identification(), offset, fragment.more_fragments(), fragment.next_header().0, window)
        }
        None => {
            let fixed = Ipv4HeaderSlice::from_slice(packet.bytes).ok()?;
            let offset = fixed.fragments_offset().byte_offset();
            let window = packet.after(fixed.slice().len());
            (fixed.identification().into(), offset, fixed.more_fragments(), header.protocol, window)
        }
    };
    let key = Key {
        source: header.source,
        destination: header.destination,
        identification,
        protocol: if carried.fragment.is_some() { 0 } else { protocol },
        vlan: reader.digest.vlan,
    };
    let first = own.map(|transport| First {
        transport,
        header: window.length().saturating_sub(payload(&transport, carried.window.length())),
    });
    Some(Piece { key, time: reader.digest.time, offset: offset.into(), more, protocol, window, first })
}

/// `None` where the fragment has to speak for itself.
fn place<'a>(
    piece: &Piece<'_>,
    fragments: &mut Fragments,
    header: &Header,
    reader: &mut Reader<'_>,
) -> Option<Found<'a>> {
    match fragments.handle(piece) {
        Standing::Malformed => {
            reader.note(Layer::Ip, FaultReason::BadLength);
            None
        }
        Standing::Kept(first) => first.map(|first| Found::Transport(share(first, piece), None)),
        Standing::Ready(place) => {
            let found = fragments.head(place).and_then(|head| match whole(&head, header, reader) {
                Content::Read => Some(Found::Inner),
                Content::Unread => Some(Found::Transport(share(head.first?, piece), None)),
            });
            fragments.forget_whole(place);
            found
        }
    }
}

/// Reads the start of a datagram: the packet in it becomes the digest's, what its payload says does.
fn whole(head: &Head<'_>, header: &Header, reader: &mut Reader<'_>) -> Content {
    let carried = Carried {
        protocol: head.protocol,
        part: if head.total.is_some() { Part::Whole } else { Part::Head },
        window: Window::of_head(head.bytes, head.total),
        fragment: None,
    };
    match header.behind(carried).map(|carried| ip::carry(carried, header, reader)) {
        Ok(Found::Inner) => return Content::Read,
        Ok(Found::Transport(transport, Some(payload))) => {
            application::read(payload, &header.with(transport), reader.memory, reader.digest);
        }
        Ok(Found::Transport(_, None)) => {}
        Err(Stop { reason, .. }) => reader.note(Layer::Ip, reason),
    }
    Content::Unread
}

/// The transport of a datagram's fragment, as if the sender had cut the payload and not the datagram.
fn share(first: First, piece: &Piece<'_>) -> Transport {
    if piece.first.is_some() {
        return first.transport;
    }
    let payload = piece.window.count();
    match first.transport {
        Transport::Tcp(tcp) => {
            let behind = piece.offset.saturating_sub(first.header);
            let kept = TcpFlags::ACK.0 | TcpFlags::PSH.0 | TcpFlags::URG.0;
            Transport::Tcp(Tcp {
                sequence: tcp.sequence.wrapping_add(u32::try_from(behind).unwrap_or(0)),
                flags: TcpFlags(tcp.flags.0 & kept),
                payload,
                ..tcp
            })
        }
        Transport::Udp(udp) => Transport::Udp(Udp { payload, ..udp }),
        Transport::Icmp(icmp) => Transport::Icmp(Icmp { payload, ..icmp }),
        other => other,
    }
}

fn payload(transport: &Transport, otherwise: usize) -> usize {
    match transport {
        Transport::Tcp(Tcp { payload, .. })
        | Transport::Udp(Udp { payload, .. })
        | Transport::Icmp(Icmp { payload, .. }) => usize::try_from(*payload).unwrap_or(usize::MAX),
        Transport::Fragment(_) | Transport::Other(_) => otherwise,
    }
}
