//! TCP (RFC 9293) and UDP (RFC 768) headers, and where the payload behind them is. What it says is for `application`.

use etherparse::{IpNumber, TcpHeader, UdpHeader, UdpHeaderSlice};

use super::digest::{Digest, FaultReason, Layer, Tcp, TcpFlags, Transport, Udp};
use super::icmp;
use super::ip::{Carried, Part};
use super::window::Window;

/// Reads the transport header of a whole packet or a first fragment; faults go to the digest. The payload is that of
/// TCP and UDP.
pub(super) fn read<'a>(carried: Carried<'a>, digest: &mut Digest) -> (Transport, Option<Window<'a>>) {
    let bare = |icmp| (Transport::Icmp(icmp), None);
    let transport = match IpNumber(carried.protocol) {
        IpNumber::TCP => tcp(carried.window, digest),
        IpNumber::UDP => udp(carried, digest),
        IpNumber::ICMP => icmp::v4(carried.window, digest).map(bare),
        IpNumber::IPV6_ICMP => icmp::v6(carried.window, digest).map(bare),
        _ => None,
    };
    transport.unwrap_or((Transport::Other(carried.protocol), None))
}

fn tcp<'a>(window: Window<'a>, digest: &mut Digest) -> Option<(Transport, Option<Window<'a>>)> {
    let Some(fixed) = window.bytes.first_chunk::<{ TcpHeader::MIN_LEN }>() else {
        digest.note(Layer::Tcp, window.shortage(TcpHeader::MIN_LEN));
        return None;
    };
    let length = usize::from(fixed[12] >> 4) * 4;
    if length < TcpHeader::MIN_LEN {
        digest.note(Layer::Tcp, FaultReason::BadLength);
        return None;
    }
    if window.bytes.len() < length {
        let reason = window.shortage(length);
        digest.note(Layer::Tcp, reason);
        // Options are not read, so a capture that ends within them still has all that matters.
        if reason != FaultReason::Cut {
            return None;
        }
    }
    let payload = window.after(length);
    let tcp = Tcp {
        source_port: u16::from_be_bytes([fixed[0], fixed[1]]),
        destination_port: u16::from_be_bytes([fixed[2], fixed[3]]),
        flags: TcpFlags(fixed[13]),
        sequence: u32::from_be_bytes([fixed[4], fixed[5], fixed[6], fixed[7]]),
        acknowledgement: u32::from_be_bytes([fixed[8], fixed[9], fixed[10], fixed[11]]),
        window: u16::from_be_bytes([fixed[14], fixed[15]]),
        payload: payload.count(),
    };
    Some((Transport::Tcp(tcp), Some(payload)))
}

fn udp<'a>(carried: Carried<'a>, digest: &mut Digest) -> Option<(Transport, Option<Window<'a>>)> {
    let window = carried.window;
    let Ok(header) = UdpHeaderSlice::from_slice(window.bytes) else {
        digest.note(Layer::Udp, window.shortage(UdpHeader::LEN));
        return None;
    };
    let length = usize::from(header.length());
    let datagram = match carried.part {
        // The length is that of all fragments together.
        Part::First | Part::Later | Part::Head => window,
        Part::Unmeasured if length == 0 => window,
        Part::Whole | Part::Unmeasured if length < UdpHeader::LEN => {
            digest.note(Layer::Udp, FaultReason::BadLength);
            return None;
        }
        Part::Whole | Part::Unmeasured => {
            if length > window.length() {
                digest.note(Layer::Udp, FaultReason::BadLength);
            }
            window.ending_at(length)
        }
    };
    let payload = datagram.after(UdpHeader::LEN);
    let udp = Udp {
        source_port: header.source_port(),
        destination_port: header.destination_port(),
        payload: payload.count(),
    };
    Some((Transport::Udp(udp), Some(payload)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::samples::{
        LINK, LINK_IP4, captured, digest, fault, ip4, ip6, tcp4, transport, udp_header, udp4,
    };

    #[test]
    fn a_segment_is_read() {
        let frame = tcp4(b"twelve bytes");
        let Transport::Tcp(tcp) = transport(&digest(&frame)) else { panic!() };
        assert_eq!(
            tcp,
            Tcp {
                source_port: 40_000,
                destination_port: 502,
                flags: TcpFlags(TcpFlags::PSH.0 | TcpFlags::ACK.0),
                sequence: 0x0102_0304,
                acknowledgement: 0x0a0b_0c0d,
                window: 501,
                payload: 12,
            }
        );
    }

    #[test]
    fn all_control_bits_are_kept() {
        let mut frame = tcp4(b"");
        frame[LINK_IP4 + 13] = 0xc3;
        assert!(matches!(transport(&digest(&frame)), Transport::Tcp(Tcp { flags: TcpFlags(0xc3), .. })));
    }

    #[test]
    fn options_that_the_capture_cut_do_not_hide_the_segment() {
        let frame = tcp4(b"twelve bytes");
        let cut = captured(&frame, LINK_IP4 + 20);
        assert!(matches!(transport(&cut), Transport::Tcp(Tcp { destination_port: 502, payload: 12, .. })));
        assert_eq!(cut.fault, fault(Layer::Tcp, FaultReason::Cut));
        let cut = captured(&frame, LINK_IP4 + 19);
        assert!(matches!(transport(&cut), Transport::Other(6)));
        assert_eq!(cut.fault, fault(Layer::Tcp, FaultReason::Cut));
    }

    #[test]
    fn bad_segments() {
        let with = |data_offset: u8| {
            let mut frame = tcp4(b"");
            frame[LINK_IP4 + 12] = data_offset << 4;
            let digest = digest(&frame);
            assert!(matches!(transport(&digest), Transport::Other(6)));
            digest.fault
        };
        assert_eq!(with(4), fault(Layer::Tcp, FaultReason::BadLength));
        assert_eq!(with(15), fault(Layer::Tcp, FaultReason::TooShort));
        let mut padded = ip4(6, &[0; 10]);
        assert_eq!(digest(&padded).fault, fault(Layer::Tcp, FaultReason::TooShort));
        padded.resize(60, 0);
        assert_eq!(digest(&padded).fault, fault(Layer::Tcp, FaultReason::BadLength));
    }

    #[test]
    fn udp_lengths() {
        let with = |length, payload: &[u8]| {
            digest(&ip4(17, &[&udp_header(5000, 6000, length)[..], payload].concat()))
        };
        let payload = |digest: &Digest| match transport(digest) {
            Transport::Udp(udp) => Some(udp.payload),
            _ => None,
        };
        let bad = fault(Layer::Udp, FaultReason::BadLength);
        // Bytes behind the datagram but within the packet belong to nobody.
        for (length, expected) in [
            (12, (Some(4), None)),
            (10, (Some(2), None)),
            (8, (Some(0), None)),
            (13, (Some(4), bad)),
            (7, (None, bad)),
            (0, (None, bad)),
        ] {
            let digest = with(length, b"four");
            assert_eq!((payload(&digest), digest.fault), expected, "{length}");
        }
        let frame = udp4(5000, 6000, b"four");
        assert_eq!(digest(&ip4(17, &[0; 7])).fault, fault(Layer::Udp, FaultReason::TooShort));
        assert_eq!(captured(&frame, LINK_IP4 + 7).fault, fault(Layer::Udp, FaultReason::Cut));
        assert_eq!(payload(&captured(&frame, LINK_IP4 + 8)), Some(4));
    }

    #[test]
    fn a_udp_length_of_zero_is_a_jumbogram_only_where_ip_gave_none_either() {
        let mut frame = ip6(17, &[&udp_header(5000, 6000, 0)[..], b"four"].concat());
        assert_eq!(digest(&frame).fault, fault(Layer::Udp, FaultReason::BadLength));
        frame[LINK + 4..LINK + 6].fill(0);
        assert!(matches!(transport(&digest(&frame)), Transport::Udp(Udp { payload: 4, .. })));
        assert_eq!(digest(&frame).fault, None);
    }
}
