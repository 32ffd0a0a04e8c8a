//! [`Filter`]: an expression of pcap-filter(7), run over packets that are in memory.

use pcap::{BpfProgram, Capture, Linktype};

use crate::capture::CaptureError;
use crate::packet::{Frame, Link};

/// A compiled expression. Runs in memory, in time bounded by its own length.
pub struct Filter {
    program: BpfProgram,
    /// The packet at the length that it had on the wire, which the expression may ask for.
    padded: Vec<u8>,
}

impl Filter {
    /// Compiles an expression for packets of a link type, which needs neither an interface nor a right. A host name in
    /// it is looked up.
    ///
    /// # Errors
    /// [`CaptureError::BadFilter`] with libpcap's message.
    pub fn new(filter: &str, link: Link) -> Result<Self, CaptureError> {
        let program = Capture::dead(linktype(link))
            .and_then(|dead| dead.compile(filter, true))
            .map_err(|error| bad_filter(filter, error))?;
        Ok(Self { program, padded: Vec::new() })
    }

    /// Whether a packet of the link type matches. Bytes that were not kept count as zero.
    pub fn matches(&mut self, frame: &Frame<'_>) -> bool {
        let wire = usize::try_from(frame.wire_len).unwrap_or(usize::MAX).min(MOST);
        if wire <= frame.bytes.len() {
            return self.program.filter(frame.bytes);
        }
        self.padded.clear();
        self.padded.extend_from_slice(frame.bytes);
        self.padded.resize(wire, 0);
        self.program.filter(&self.padded)
    }
}

/// The longest packet that libpcap captures.
const MOST: usize = 256 << 10;

/// Compiles a filter as for Ethernet, to see whether it is one.
///
/// # Errors
/// [`CaptureError::BadFilter`] with libpcap's message.
pub fn check_filter(filter: &str) -> Result<(), CaptureError> {
    Filter::new(filter, Link::Ethernet).map(drop)
}

pub(super) fn bad_filter(filter: &str, error: pcap::Error) -> CaptureError {
    let message = match error {
        pcap::Error::PcapError(message) => message,
        other => other.to_string(),
    };
    CaptureError::BadFilter { filter: filter.to_owned(), message }
}

/// LINKTYPE numbers are libpcap's DLT numbers but for a few; the one of these that Linux gives is raw IP, which has its
/// DLT number as a second LINKTYPE.
pub(super) fn link_of(kind: Linktype) -> Link {
    u16::try_from(kind.0).map_or(Link::Unknown(u16::MAX), Link::from_number)
}

fn linktype(link: Link) -> Linktype {
    match link {
        Link::RawIp => Linktype(12),
        other => Linktype(i32::from(other.number())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Timestamp;

    #[test]
    fn a_filter_is_checked_without_an_interface() {
        check_filter("tcp port 80 or vlan").unwrap();
        check_filter("").unwrap();
        let error = check_filter("tcp prt 80").unwrap_err();
        assert!(error.to_string().starts_with("bad filter `tcp prt 80`: "), "{error}");
        assert!(check_filter("a\0b").is_err());
    }

    #[test]
    fn packets_match_by_their_bytes_and_their_length_on_the_wire() {
        let arp = [&[0xff; 6][..], &[2, 0, 0, 0, 0, 1], &[8, 6], &[0; 28]].concat();
        let frame = |wire_len| Frame { time: Timestamp::EPOCH, link: Link::Ethernet, wire_len, bytes: &arp };
        for (filter, short, long) in [
            ("arp", true, true),
            ("ip", false, false),
            ("", true, true),
            ("ether src 02:00:00:00:00:01", true, true),
            ("greater 1000", false, true),
            ("less 100", true, false),
        ] {
            let mut compiled = Filter::new(filter, Link::Ethernet).unwrap();
            let matched = [frame(42), frame(1_500), frame(42)].map(|frame| compiled.matches(&frame));
            assert_eq!(matched, [short, long, short], "{filter}");
        }
    }

    #[test]
    fn a_filter_is_compiled_for_the_link_type() {
        let ip = [&[0x45, 0, 0, 20, 0, 0, 0, 0, 64, 17, 0, 0][..], &[192, 0, 2, 1], &[192, 0, 2, 2]].concat();
        let link = Link::RawIp;
        let frame = Frame { time: Timestamp::EPOCH, link, wire_len: 20, bytes: &ip };
        assert!(Filter::new("host 192.0.2.1", link).unwrap().matches(&frame));
        assert!(!Filter::new("host 192.0.2.1", Link::Ethernet).unwrap().matches(&frame));
    }
}
