//! [`Section`]: packets written as pcapng, and [`whole`], which finds how much of such a file is whole after a kill.
//! Where the bytes go is the caller's business. Read first: draft-ietf-opsawg-pcapng.

use std::io::{self, Read, Write};

use crate::capture::SourceCounters;
use crate::packet::{Frame, Link};
use crate::time::Timestamp;

const SECTION: u32 = 0x0a0d_0d0a;
const INTERFACE: u32 = 1;
const STATISTICS: u32 = 5;
const PACKET: u32 = 6;
/// Tells readers the byte order.
const MAGIC: u32 = 0x1a2b_3c4d;
/// Type, length, and the length again.
const FRAMING: usize = 12;

/// Numbers of options.
mod option {
    pub(super) const COMMENT: u16 = 1;
    pub(super) const APPLICATION: u16 = 4;
    pub(super) const NAME: u16 = 2;
    pub(super) const RESOLUTION: u16 = 9;
    pub(super) const FILTER: u16 = 11;
    pub(super) const START: u16 = 2;
    pub(super) const END: u16 = 3;
    pub(super) const RECEIVED: u16 = 4;
    pub(super) const INTERFACE_DROPS: u16 = 5;
    pub(super) const SYSTEM_DROPS: u16 = 7;
    pub(super) const DELIVERED: u16 = 8;
}

/// Bytes of a text in a file: names of devices are in them, and an option holds 65,535.
const LONGEST_TEXT: usize = 2_000;

/// A source of the packets of a section.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// Name of the interface.
    pub name: String,
    /// Filter of the packets; empty for none.
    pub filter: String,
    /// Bytes kept of each packet.
    pub snapshot: u32,
}

/// A section as it is written: header, interfaces as they are met, packets, statistics.
pub struct Section<W> {
    out: W,
    origins: Vec<Origin>,
    /// Origin and link type of each interface block so far. At most [`Section::INTERFACES`].
    described: Vec<(usize, Link)>,
    block: Vec<u8>,
    written: u64,
    packets: Vec<u64>,
    span: Option<(Timestamp, Timestamp)>,
}

impl<W: Write> Section<W> {
    /// Interface blocks of one section: each origin with each of its link types has one. Packets of further ones are
    /// refused.
    pub const INTERFACES: usize = 64;

    /// Begins a section. The comments are told of the whole of it.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn begin(out: W, origins: Vec<Origin>, comments: &[String]) -> io::Result<Self> {
        let packets = vec![0; origins.len()];
        let mut section =
            Self { out, origins, described: Vec::new(), block: Vec::new(), written: 0, packets, span: None };
        section.start(SECTION);
        section.number(MAGIC);
        section.block.extend([1, 0, 0, 0]);
        // The length of the section is not known.
        section.block.extend([0xff; 8]);
        for comment in comments {
            section.text(option::COMMENT, comment);
        }
        section.text(option::APPLICATION, concat!("tapguard ", env!("CARGO_PKG_VERSION")));
        section.end_options();
        section.finish_block()?;
        Ok(section)
    }

    /// Bytes that a packet takes at most, the description of its interface left out.
    #[must_use]
    pub const fn cost(kept: usize) -> usize {
        FRAMING + 20 + kept.next_multiple_of(4)
    }

    /// Writes a packet, of which `snapshot` bytes at most are kept.
    ///
    /// # Errors
    /// When it cannot be written, or is of one interface too many.
    pub fn packet(&mut self, origin: usize, frame: &Frame<'_>, comment: Option<&str>) -> io::Result<()> {
        let interface = self.interface(origin, frame.link)?;
        let snapshot = self.origins.get(origin).map_or(0, |origin| origin.snapshot);
        let most = usize::try_from(snapshot).unwrap_or(usize::MAX);
        let kept = frame.bytes.get(..most).unwrap_or(frame.bytes);
        self.start(PACKET);
        self.number(interface);
        self.time(frame.time);
        self.number(u32::try_from(kept.len()).unwrap_or(u32::MAX));
        self.number(frame.wire_len.max(u32::try_from(kept.len()).unwrap_or(u32::MAX)));
        self.block.extend_from_slice(kept);
        self.pad();
        if let Some(comment) = comment {
            self.text(option::COMMENT, comment);
            self.end_options();
        }
        self.finish_block()?;
        if let Some(count) = self.packets.get_mut(origin) {
            *count += 1;
        }
        let (first, last) = self.span.unwrap_or((frame.time, frame.time));
        self.span = Some((first.min(frame.time), last.max(frame.time)));
        Ok(())
    }

    /// Ends the section with what each origin counted, in their order, and gives the output back. `lost` are packets
    /// that were read and not written, of all origins. An origin without packets is described, too.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn end(mut self, counters: &[SourceCounters], lost: u64) -> io::Result<(W, u64)> {
        for (origin, counters) in counters.iter().enumerate() {
            let known = self.described.iter().position(|(known, _)| *known == origin);
            let interface = match known {
                Some(at) => u32::try_from(at).unwrap_or(u32::MAX),
                None => self.interface(origin, Link::Ethernet)?,
            };
            let lost = if origin == 0 { lost } else { 0 };
            self.statistics((interface, origin), counters, lost)?;
        }
        self.out.flush()?;
        Ok((self.out, self.written))
    }

    /// Bytes written.
    #[must_use]
    pub const fn written(&self) -> u64 {
        self.written
    }

    /// Hands what was written to the system.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    fn interface(&mut self, origin: usize, link: Link) -> io::Result<u32> {
        let found = self.described.iter().position(|known| *known == (origin, link));
        let at = match found {
            Some(at) => at,
            None => self.describe(origin, link)?,
        };
        u32::try_from(at).map_err(io::Error::other)
    }

    fn describe(&mut self, origin: usize, link: Link) -> io::Result<usize> {
        if self.described.len() >= Self::INTERFACES {
            return Err(io::Error::other("more interfaces than a section holds"));
        }
        let Origin { name, filter, snapshot } = self.origins.get(origin).cloned().unwrap_or_default();
        self.start(INTERFACE);
        self.block.extend_from_slice(&link.number().to_le_bytes());
        self.block.extend([0; 2]);
        self.number(snapshot);
        self.text(option::NAME, &name);
        // Nanoseconds.
        self.option(option::RESOLUTION, &[9]);
        if !filter.is_empty() {
            // Zero: it is text, as libpcap takes it.
            let text = [&[0], shortened(&filter).as_bytes()].concat();
            self.option(option::FILTER, &text);
        }
        self.end_options();
        self.finish_block()?;
        self.described.push((origin, link));
        Ok(self.described.len() - 1)
    }

    fn statistics(
        &mut self,
        (interface, origin): (u32, usize),
        counters: &SourceCounters,
        lost: u64,
    ) -> io::Result<()> {
        let (first, last) = self.span.unwrap_or_default();
        self.start(STATISTICS);
        self.number(interface);
        self.time(last);
        for (code, time) in [(option::START, first), (option::END, last)] {
            let nanos = nanos(time);
            // As in packets, the upper half comes first.
            let upper = u32::try_from(nanos >> 32).unwrap_or(u32::MAX).to_le_bytes();
            let lower = u32::try_from(nanos & 0xffff_ffff).unwrap_or(u32::MAX).to_le_bytes();
            self.option(code, &[upper, lower].concat());
        }
        let delivered = self.packets.get(origin).copied().unwrap_or(0);
        for (code, count) in [
            (option::RECEIVED, counters.frames + counters.kernel_drops),
            (option::INTERFACE_DROPS, counters.interface_drops),
            (option::SYSTEM_DROPS, counters.kernel_drops + lost),
            (option::DELIVERED, delivered),
        ] {
            self.option(code, &count.to_le_bytes());
        }
        if lost > 0 {
            self.text(
                option::COMMENT,
                &format!("{lost} of the drops were read and could not be written in time"),
            );
        }
        self.end_options();
        self.finish_block()
    }

    fn start(&mut self, kind: u32) {
        self.block.clear();
        self.number(kind);
        // The length comes once it is known.
        self.number(0);
    }

    fn finish_block(&mut self) -> io::Result<()> {
        let length = u32::try_from(self.block.len() + 4).map_err(io::Error::other)?;
        if let Some(place) = self.block.get_mut(4..8) {
            place.copy_from_slice(&length.to_le_bytes());
        }
        self.number(length);
        self.out.write_all(&self.block)?;
        self.written += u64::from(length);
        Ok(())
    }

    fn number(&mut self, value: u32) {
        self.block.extend_from_slice(&value.to_le_bytes());
    }

    fn time(&mut self, time: Timestamp) {
        let nanos = nanos(time);
        self.number(u32::try_from(nanos >> 32).unwrap_or(u32::MAX));
        self.number(u32::try_from(nanos & 0xffff_ffff).unwrap_or(u32::MAX));
    }

    fn pad(&mut self) {
        self.block.resize(self.block.len().next_multiple_of(4), 0);
    }

    fn text(&mut self, code: u16, text: &str) {
        self.option(code, shortened(text).as_bytes());
    }

    fn option(&mut self, code: u16, value: &[u8]) {
        let length = u16::try_from(value.len()).unwrap_or(0);
        self.block.extend_from_slice(&code.to_le_bytes());
        self.block.extend_from_slice(&length.to_le_bytes());
        self.block.extend_from_slice(&value[..usize::from(length)]);
        self.pad();
    }

    fn end_options(&mut self) {
        self.block.extend([0; 4]);
    }
}

fn nanos(time: Timestamp) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(0)
}

fn shortened(text: &str) -> &str {
    &text[..text.floor_char_boundary(LONGEST_TEXT)]
}

/// How much of a file is whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Whole {
    /// Bytes up to the end of the last whole block.
    pub bytes: u64,
    /// Packets in them.
    pub packets: u64,
}

/// Walks over the blocks of a file as [`Section`] writes it, up to the first that is cut short or is none.
pub fn whole(mut file: impl Read) -> Whole {
    let mut whole = Whole::default();
    let mut head = [0; 8];
    while file.read_exact(&mut head).is_ok() {
        let [a, b, c, d, e, f, g, h] = head;
        let (kind, length) = (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]));
        let rest = u64::from(length.saturating_sub(12));
        if length < 12 || !length.is_multiple_of(4) {
            break;
        }
        let skipped = io::copy(&mut file.by_ref().take(rest), &mut io::sink());
        let mut tail = [0; 4];
        if skipped.ok() != Some(rest)
            || file.read_exact(&mut tail).is_err()
            || u32::from_le_bytes(tail) != length
        {
            break;
        }
        whole.bytes += u64::from(length);
        whole.packets += u64::from(kind == PACKET);
    }
    whole
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::{Files, Next, Source};

    fn frame(nanos: i64, link: Link, bytes: &[u8]) -> Frame<'_> {
        let time = Timestamp::from_nanos(1_700_000_000_000_000_000 + nanos);
        Frame { time, link, wire_len: 1_500, bytes }
    }

    fn origin(name: &str) -> Origin {
        Origin { name: name.to_owned(), filter: "tcp".to_owned(), snapshot: 64 }
    }

    /// Three packets of two interfaces.
    fn written() -> Vec<u8> {
        let comments = ["port_scan: \u{e4} scan".to_owned(), "x".repeat(70_000)];
        let mut section =
            Section::begin(Vec::new(), vec![origin("eth1"), origin("eth2")], &comments).unwrap();
        section.packet(0, &frame(1, Link::Ethernet, &[7; 61]), Some("the first")).unwrap();
        section.packet(1, &frame(2, Link::from_number(101), &[8; 100]), None).unwrap();
        section.packet(0, &frame(999_999_999, Link::Ethernet, &[]), None).unwrap();
        let counters = SourceCounters { frames: 9, kernel_drops: 2, interface_drops: 1, broken_records: 0 };
        let (bytes, length) = section.end(&[counters, SourceCounters::default()], 3).unwrap();
        assert_eq!(usize::try_from(length).unwrap(), bytes.len());
        bytes
    }

    /// Time, link type, length on the wire and bytes of each packet, as the reader of capture files has it.
    fn read(bytes: &[u8]) -> Vec<(i64, Link, u32, Vec<u8>)> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("written.pcapng");
        std::fs::write(&path, bytes).unwrap();
        let mut files = Files::open(&[path]).unwrap();
        let mut packets = Vec::new();
        while let Next::Frame(frame) = files.next().unwrap() {
            let nanos = frame.time.as_nanos() - 1_700_000_000_000_000_000;
            packets.push((nanos, frame.link, frame.wire_len, frame.bytes.to_vec()));
        }
        assert_eq!(files.counters().broken_records, 0);
        packets
    }

    #[test]
    fn what_is_written_is_read_back_to_the_nanosecond() {
        let packets = read(&written());
        let expected = [
            (1, Link::Ethernet, 1_500, vec![7; 61]),
            (2, Link::from_number(101), 1_500, vec![8; 64]),
            (999_999_999, Link::Ethernet, 1_500, vec![]),
        ];
        assert_eq!(packets, expected);
        assert_eq!(
            read(&[written(), written()].concat()).len(),
            6,
            "files are joined by putting them together"
        );
    }

    #[test]
    fn comments_names_and_counts_are_in_the_file() {
        let bytes = written();
        let has = |what: &[u8]| bytes.windows(what.len()).any(|window| window == what);
        for text in ["port_scan: \u{e4} scan", "the first", "eth1", "eth2", "\0tcp", "tapguard "] {
            assert!(has(text.as_bytes()), "{text}");
        }
        let count = |code: u16, count: u64| [&code.to_le_bytes()[..], &[8, 0], &count.to_le_bytes()].concat();
        assert!(has(&count(option::RECEIVED, 11)) && has(&count(option::SYSTEM_DROPS, 5)));
        assert!(has(&count(option::INTERFACE_DROPS, 1)) && has(&count(option::DELIVERED, 2)));
        assert!(has(b"3 of the drops were read"));
        assert!(
            has(&"x".repeat(LONGEST_TEXT).into_bytes()) && !has(&"x".repeat(LONGEST_TEXT + 1).into_bytes())
        );
    }

    #[test]
    fn one_interface_too_many_is_refused() {
        let mut section = Section::begin(Vec::new(), vec![origin("eth1")], &[]).unwrap();
        for number in 0..64 {
            section.packet(0, &frame(0, Link::Unknown(200 + number), b"a"), None).unwrap();
        }
        assert!(section.packet(0, &frame(0, Link::Unknown(300), b"a"), None).is_err());
    }

    #[test]
    fn a_packet_costs_no_more_than_is_said() {
        for kept in [0, 1, 63, 64] {
            let mut section = Section::begin(Vec::new(), vec![origin("eth1")], &[]).unwrap();
            section.packet(0, &frame(0, Link::Ethernet, b""), None).unwrap();
            let before = section.written();
            section.packet(0, &frame(0, Link::Ethernet, &vec![1; kept]), None).unwrap();
            let cost = usize::try_from(section.written() - before).unwrap();
            assert_eq!(cost, Section::<Vec<u8>>::cost(kept));
        }
    }

    #[test]
    fn a_file_cut_anywhere_is_whole_up_to_a_block_and_readable_there() {
        let bytes = written();
        let all = whole(&bytes[..]);
        assert_eq!((usize::try_from(all.bytes).unwrap(), all.packets), (bytes.len(), 3));
        for cut in 0..bytes.len() {
            let part = whole(&bytes[..cut]);
            let end = usize::try_from(part.bytes).unwrap();
            assert!(end <= cut);
            if end > 0 {
                assert_eq!(read(&bytes[..end]).len(), usize::try_from(part.packets).unwrap());
            }
        }
        assert_eq!(whole(&b"not a capture at all"[..]), Whole::default());
    }
}
