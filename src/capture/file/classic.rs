//! Records of the classic pcap format, in both byte orders and resolutions. Format: draft-ietf-opsawg-pcap.

use std::io::Read;

use pcap_parser::nom::{Err, IResult, Needed};
use pcap_parser::{
    LegacyPcapBlock, PcapError, parse_pcap_frame, parse_pcap_frame_be, parse_pcap_frame_modified,
    parse_pcap_header,
};

use super::reader::{Flaw, MAX_CAPTURED, Record, Stop, await_record};
use super::window::Window;
use crate::packet::Link;
use crate::time::Timestamp;

type Parse = fn(&[u8]) -> IResult<&[u8], LegacyPcapBlock<'_>, PcapError<&[u8]>>;

/// What the file's header says of its records.
pub(super) struct Classic {
    parse: Parse,
    record_header: usize,
    link: Link,
    nanos_per_unit: i64,
}

impl Classic {
    /// Length of the file's header.
    pub(super) const HEADER_BYTES: usize = 24;

    /// From the first bytes of a file; none when they are no such header.
    pub(super) fn begin(data: &[u8]) -> Option<Self> {
        let (_, header) = parse_pcap_header(data).ok()?;
        let (parse, record_header): (Parse, usize) = if header.is_modified_format() {
            (parse_pcap_frame_modified, 24)
        } else if header.is_bigendian() {
            (parse_pcap_frame_be, 16)
        } else {
            (parse_pcap_frame, 16)
        };
        Some(Self {
            parse,
            record_header,
            link: link_of(header.network.0),
            nanos_per_unit: if header.is_nanosecond_precision() { 1 } else { 1_000 },
        })
    }

    /// The next record of the window.
    pub(super) fn advance<R: Read>(&self, window: &mut Window<R>) -> Result<Record, Stop> {
        await_record(window, self.record_header)?;
        loop {
            match (self.parse)(window.data()) {
                Ok((_, block)) => {
                    let captured = block.data.len();
                    if captured > MAX_CAPTURED {
                        return Err(Flaw::TooLong.into());
                    }
                    let record = self.describe(&block);
                    window.consume(self.record_header);
                    return Ok(Record { bytes: window.consume(captured), ..record });
                }
                Err(Err::Incomplete(Needed::Size(missing))) => {
                    let wanted = window.data().len().saturating_add(missing.get());
                    if wanted > self.record_header + MAX_CAPTURED {
                        return Err(Flaw::TooLong.into());
                    }
                    window.need(wanted)?;
                }
                Err(_) => return Err(Flaw::Nonsense.into()),
            }
        }
    }

    fn describe(&self, block: &LegacyPcapBlock<'_>) -> Record {
        // 32 bits of seconds and of microseconds stay far below the ends of 64 bits of nanoseconds.
        let nanos = i64::from(block.ts_sec) * 1_000_000_000 + i64::from(block.ts_usec) * self.nanos_per_unit;
        Record {
            time: Timestamp::from_nanos(nanos),
            link: self.link,
            wire_len: block.origlen.max(block.caplen),
            bytes: 0..0,
        }
    }
}

/// The lower 16 bits of the field are the link type; the upper ones tell of frame check sequences.
fn link_of(network: i32) -> Link {
    u16::try_from(network & 0xffff).map_or(Link::Unknown(u16::MAX), Link::from_number)
}
