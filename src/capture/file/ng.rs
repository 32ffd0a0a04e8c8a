//! Blocks of the pcapng format: sections, interfaces and packets; all others are passed over.
//! Format: draft-ietf-opsawg-pcapng.

use std::io::Read;
use std::ops::Range;

use pcap_parser::{
    BOM_MAGIC, EPB_MAGIC, IDB_MAGIC, InterfaceDescriptionBlock, OptionCode, PcapNGOption, SHB_MAGIC,
    SPB_MAGIC, parse_interfacedescriptionblock_be, parse_interfacedescriptionblock_le,
    parse_sectionheaderblock,
};

use super::reader::{Flaw, MAX_CAPTURED, MAX_RECORD, Record, Stop, await_record};
use super::window::Window;
use crate::packet::Link;
use crate::time::Timestamp;

/// The packet block that the enhanced one took the place of.
const OLD_PACKET: u32 = 2;

/// The most interfaces of a section.
const MAX_INTERFACES: usize = 4096;

/// A block's type and its length, which is repeated at its end.
const LEAST_BLOCK: usize = 12;

/// Where the frame begins in a simple packet block, and in the other two.
const SIMPLE_HEADER: usize = 12;
const PACKET_HEADER: usize = 28;

/// A file of pcapng between two blocks.
pub(super) struct Ng {
    big_endian: bool,
    /// Bytes of a block that is passed over and have not come yet.
    passing: usize,
    interfaces: Vec<Interface>,
    /// The latest time; simple packets carry none.
    time: Timestamp,
}

struct Interface {
    link: Link,
    snapshot: usize,
    units: Units,
    /// Added to each time.
    offset_seconds: i64,
}

/// A block's type and length.
#[derive(Clone, Copy)]
struct Head {
    kind: u32,
    len: usize,
}

/// A packet block before its interface is looked up.
struct Packet {
    interface: u32,
    ticks: Option<u64>,
    captured: usize,
    wire_len: u32,
    offset: usize,
}

impl Ng {
    /// From the first bytes of a file; none when it does not begin with a section header.
    pub(super) fn begin(data: &[u8]) -> Option<Self> {
        let header = data.starts_with(&SHB_MAGIC.to_le_bytes());
        let order = byte_order(data)?;
        header.then(|| Self { big_endian: order, passing: 0, interfaces: Vec::new(), time: Timestamp::EPOCH })
    }

    /// The next packet of the window.
    pub(super) fn advance<R: Read>(&mut self, window: &mut Window<R>) -> Result<Record, Stop> {
        loop {
            let head = self.arrive(window)?;
            let packet = if head.is_read() { self.read(head, &window.data()[..head.len])? } else { None };
            let range = window.consume(head.len);
            if let Some(packet) = packet {
                return Ok(self.locate(&packet, range)?);
            }
        }
    }

    /// Waits until the next block is in the window as a whole, and passes over those that are too large for it and
    /// hold no packet.
    fn arrive<R: Read>(&mut self, window: &mut Window<R>) -> Result<Head, Stop> {
        loop {
            while self.passing > 0 {
                window.need(1)?;
                self.passing -= window.consume(self.passing).len();
            }
            await_record(window, LEAST_BLOCK)?;
            let head = self.head(window.data()).ok_or(Flaw::Nonsense)?;
            if head.len <= MAX_RECORD {
                window.need(head.len)?;
                let repeated = self.u32_at(window.data(), head.len - 4);
                let agrees = repeated.and_then(|len| usize::try_from(len).ok()) == Some(head.len);
                return if agrees { Ok(head) } else { Err(Flaw::Nonsense.into()) };
            }
            if head.is_read() {
                return Err(Flaw::TooLong.into());
            }
            self.passing = head.len;
        }
    }

    /// The type and length of the block that `data` begins with; a section header also sets the byte order.
    fn head(&mut self, data: &[u8]) -> Option<Head> {
        if data.starts_with(&SHB_MAGIC.to_le_bytes()) {
            self.big_endian = byte_order(data)?;
        }
        let head = Head { kind: self.u32_at(data, 0)?, len: usize::try_from(self.u32_at(data, 4)?).ok()? };
        (head.len >= LEAST_BLOCK && head.len.is_multiple_of(4)).then_some(head)
    }

    /// The packet of a block; none when it tells of a section or an interface, which are kept.
    fn read(&mut self, head: Head, block: &[u8]) -> Result<Option<Packet>, Flaw> {
        match head.kind {
            SHB_MAGIC => self.begin_section(block).map(|()| None),
            IDB_MAGIC => self.add_interface(block).map(|()| None),
            SPB_MAGIC => Ok(Some(self.simple(block).ok_or(Flaw::Nonsense)?)),
            _ => Ok(Some(self.packet(head, block).ok_or(Flaw::Nonsense)?)),
        }
    }

    fn begin_section(&mut self, block: &[u8]) -> Result<(), Flaw> {
        let (_, section) = parse_sectionheaderblock(block).map_err(|_| Flaw::Nonsense)?;
        self.interfaces.clear();
        if section.major_version == 1 { Ok(()) } else { Err(Flaw::Nonsense) }
    }

    fn add_interface(&mut self, block: &[u8]) -> Result<(), Flaw> {
        let parsed = if self.big_endian {
            parse_interfacedescriptionblock_be(block)
        } else {
            parse_interfacedescriptionblock_le(block)
        };
        let (_, description) = parsed.map_err(|_| Flaw::Nonsense)?;
        if self.interfaces.len() >= MAX_INTERFACES {
            return Err(Flaw::ManyInterfaces);
        }
        self.interfaces.push(Interface::new(&description, self.big_endian));
        Ok(())
    }

    /// An enhanced packet, or an old one, which has its interface and a count of drops in 16 bits each.
    ///
    /// pcap-parser would allocate for a packet's options, which do not matter here.
    fn packet(&self, head: Head, block: &[u8]) -> Option<Packet> {
        let interface = match (head.kind, self.u32_at(block, 8)?) {
            (OLD_PACKET, both) if self.big_endian => both >> 16,
            (OLD_PACKET, both) => both & 0xffff,
            (_, whole) => whole,
        };
        Some(Packet {
            interface,
            ticks: Some(u64::from(self.u32_at(block, 12)?) << 32 | u64::from(self.u32_at(block, 16)?)),
            captured: usize::try_from(self.u32_at(block, 20)?).ok()?,
            wire_len: self.u32_at(block, 24)?,
            offset: PACKET_HEADER,
        })
    }

    /// A simple packet does not say how much was captured: the least of its length, its block and the snapshot length.
    fn simple(&self, block: &[u8]) -> Option<Packet> {
        let wire_len = self.u32_at(block, 8)?;
        let room = block.len().checked_sub(SIMPLE_HEADER + 4)?;
        let snapshot = self.interfaces.first().map_or(usize::MAX, |interface| interface.snapshot);
        let captured = usize::try_from(wire_len).unwrap_or(usize::MAX).min(room).min(snapshot);
        Some(Packet { interface: 0, ticks: None, captured, wire_len, offset: SIMPLE_HEADER })
    }

    /// `range` is where the block lies in the window.
    fn locate(&mut self, packet: &Packet, range: Range<usize>) -> Result<Record, Flaw> {
        let number = usize::try_from(packet.interface).map_err(|_| Flaw::NoInterface)?;
        let interface = self.interfaces.get(number).ok_or(Flaw::NoInterface)?;
        if packet.captured > MAX_CAPTURED {
            return Err(Flaw::TooLong);
        }
        if packet.offset + packet.captured + 4 > range.len() {
            return Err(Flaw::Nonsense);
        }
        if let Some(ticks) = packet.ticks {
            self.time = interface.time(ticks);
        }
        let from = range.start + packet.offset;
        let captured = u32::try_from(packet.captured).map_err(|_| Flaw::TooLong)?;
        Ok(Record {
            time: self.time,
            link: interface.link,
            wire_len: packet.wire_len.max(captured),
            bytes: from..from + packet.captured,
        })
    }

    fn u32_at(&self, data: &[u8], at: usize) -> Option<u32> {
        let bytes = *data.get(at..)?.first_chunk()?;
        Some(if self.big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) })
    }
}

impl Head {
    /// Whether the block's content matters here.
    const fn is_read(self) -> bool {
        matches!(self.kind, SHB_MAGIC | IDB_MAGIC | EPB_MAGIC | SPB_MAGIC | OLD_PACKET)
    }
}

impl Interface {
    /// Reads the options itself: pcap-parser 0.17 refuses all binary resolutions and reads the offset as little-endian
    /// in every file.
    fn new(block: &InterfaceDescriptionBlock<'_>, big_endian: bool) -> Self {
        let option = |code| -> Option<&[u8]> {
            let mut live = block.options.iter().take_while(|option| option.code != OptionCode::EndOfOpt);
            live.find(|option| option.code == code).map(PcapNGOption::value)
        };
        let offset = option(OptionCode::IfTsoffset).and_then(|value| value.first_chunk().copied());
        Self {
            link: u16::try_from(block.linktype.0).map_or(Link::Unknown(u16::MAX), Link::from_number),
            snapshot: match block.snaplen {
                0 => usize::MAX,
                some => usize::try_from(some).unwrap_or(usize::MAX),
            },
            units: option(OptionCode::IfTsresol)
                .and_then(|value| value.first().copied())
                .map_or(Units::Decimal(6), Units::new),
            offset_seconds: offset.map_or(0, |bytes| {
                if big_endian { i64::from_be_bytes(bytes) } else { i64::from_le_bytes(bytes) }
            }),
        }
    }

    fn time(&self, ticks: u64) -> Timestamp {
        let nanos = i128::from(self.offset_seconds) * 1_000_000_000 + i128::from(self.units.nanos(ticks));
        let nearest = nanos.clamp(i64::MIN.into(), i64::MAX.into());
        Timestamp::from_nanos(i64::try_from(nearest).unwrap_or(i64::MAX))
    }
}

/// The unit of time of an interface: a negative power of ten or of two of a second.
#[derive(Clone, Copy)]
enum Units {
    Decimal(u8),
    Binary(u8),
}

impl Units {
    const fn new(resolution: u8) -> Self {
        let power = resolution & 0x7f;
        if resolution & 0x80 == 0 { Self::Decimal(power) } else { Self::Binary(power) }
    }

    /// Rounded down; saturates.
    fn nanos(self, ticks: u64) -> u64 {
        match self {
            Self::Decimal(power @ ..=9) => ticks.saturating_mul(10_u64.pow(u32::from(9 - power))),
            Self::Decimal(power) => {
                10_u64.checked_pow(u32::from(power - 9)).map_or(0, |divisor| ticks / divisor)
            }
            Self::Binary(power) => {
                u64::try_from((u128::from(ticks) * 1_000_000_000) >> power).unwrap_or(u64::MAX)
            }
        }
    }
}

/// Whether a section is big-endian, by its header's first bytes.
fn byte_order(header: &[u8]) -> Option<bool> {
    let magic: [u8; 4] = *header.get(8..)?.first_chunk()?;
    if magic == BOM_MAGIC.to_le_bytes() {
        Some(false)
    } else {
        (magic == BOM_MAGIC.to_be_bytes()).then_some(true)
    }
}
