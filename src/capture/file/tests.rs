//! Captures written byte by byte, in every variant of both formats, whole and damaged.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use tempfile::TempDir;

use super::reader::{Flaw, MAX_CAPTURED, Reader, Stop};
use super::{BrokenRecord, Files};
use crate::capture::{CaptureError, Next, Source};
use crate::packet::Link;
use crate::time::Timestamp;

/// 2015-01-14T17:02:33.123456789Z
const SECONDS: u32 = 1_421_254_953;
const NANOS: u32 = 123_456_789;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Order {
    Big,
    Little,
}

const ORDERS: [Order; 2] = [Order::Big, Order::Little];

/// A growing file.
#[derive(Clone)]
struct Bytes(Order, Vec<u8>);

impl Bytes {
    fn u16(mut self, value: u16) -> Self {
        self.1.extend(if self.0 == Order::Big { value.to_be_bytes() } else { value.to_le_bytes() });
        self
    }

    fn u32(mut self, value: u32) -> Self {
        self.1.extend(if self.0 == Order::Big { value.to_be_bytes() } else { value.to_le_bytes() });
        self
    }

    fn raw(mut self, value: &[u8]) -> Self {
        self.1.extend(value);
        self
    }

    /// To a multiple of four.
    fn pad(mut self) -> Self {
        self.1.resize(self.1.len().next_multiple_of(4), 0);
        self
    }

    /// A pcapng block around `body`.
    fn block(self, kind: u32, body: Self) -> Self {
        let body = body.pad().1;
        let len = u32::try_from(body.len()).unwrap() + 12;
        self.u32(kind).u32(len).raw(&body).u32(len)
    }

    fn section(self) -> Self {
        let body = Self(self.0, Vec::new()).u32(0x1a2b_3c4d).u16(1).u16(0).raw(&[0xff; 8]);
        self.block(0x0a0d_0d0a, body)
    }

    /// An interface with options given as code and value.
    fn interface(self, link: u16, snapshot: u32, options: &[(u16, &[u8])]) -> Self {
        let mut body = Self(self.0, Vec::new()).u16(link).u16(0).u32(snapshot);
        for (code, value) in options {
            body = body.u16(*code).u16(u16::try_from(value.len()).unwrap()).raw(value).pad();
        }
        self.block(1, body)
    }

    fn enhanced(self, interface: u32, ticks: u64, frame: &[u8]) -> Self {
        let body = self.enhanced_body(interface, ticks, frame);
        self.block(6, body)
    }

    fn enhanced_body(&self, interface: u32, ticks: u64, frame: &[u8]) -> Self {
        let len = u32::try_from(frame.len()).unwrap();
        let (high, low) = (u32::try_from(ticks >> 32).unwrap(), u32::try_from(ticks & 0xffff_ffff).unwrap());
        Self(self.0, Vec::new()).u32(interface).u32(high).u32(low).u32(len).u32(len + 7).raw(frame).pad()
    }
}

fn classic(order: Order, magic: u32, link: u32) -> Bytes {
    Bytes(order, Vec::new()).u32(magic).u16(2).u16(4).u32(0).u32(0).u32(65_535).u32(link)
}

impl Bytes {
    fn record(self, fraction: u32, frame: &[u8]) -> Self {
        let len = u32::try_from(frame.len()).unwrap();
        self.u32(SECONDS).u32(fraction).u32(len).u32(len + 7).raw(frame)
    }
}

fn ng(order: Order) -> Bytes {
    Bytes(order, Vec::new()).section()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[derive(Clone, Debug, PartialEq)]
struct Seen {
    nanos: i64,
    link: Link,
    wire_len: u32,
    bytes: Vec<u8>,
}

fn seen(fraction: u32, link: Link, frame: &[u8]) -> Seen {
    Seen {
        nanos: i64::from(SECONDS) * 1_000_000_000 + i64::from(fraction),
        link,
        wire_len: u32::try_from(frame.len()).unwrap() + 7,
        bytes: frame.to_vec(),
    }
}

/// All records, and why there is no more.
fn read(bytes: &[u8]) -> (Vec<Seen>, Stop) {
    let mut reader = Reader::new(bytes);
    let mut all = Vec::new();
    loop {
        match reader.advance() {
            Ok(record) => all.push(Seen {
                nanos: record.time.as_nanos(),
                link: record.link,
                wire_len: record.wire_len,
                bytes: reader.bytes(record.bytes).to_vec(),
            }),
            Err(stop) => return (all, stop),
        }
    }
}

#[track_caller]
fn check(bytes: &[u8], expect: &[Seen]) {
    let (all, stop) = read(bytes);
    assert_eq!(all, expect);
    assert!(matches!(stop, Stop::End), "{stop:?}");
}

/// That reading ends with a flaw after `whole` records.
#[track_caller]
fn check_broken(bytes: &[u8], whole: usize, flaw: Flaw) {
    let (all, stop) = read(bytes);
    assert_eq!(all.len(), whole);
    assert!(matches!(stop, Stop::Broken(found) if found == flaw), "{stop:?}");
}

#[test]
fn classic_in_both_orders_and_resolutions() {
    for order in ORDERS {
        let micros =
            classic(order, 0xa1b2_c3d4, 1).record(123_456, b"one").record(0, b"").record(1, b"three");
        check(
            &micros.1,
            &[
                seen(123_456_000, Link::Ethernet, b"one"),
                seen(0, Link::Ethernet, b""),
                seen(1_000, Link::Ethernet, b"three"),
            ],
        );
        let nanos = classic(order, 0xa1b2_3c4d, 113).record(NANOS, b"cooked");
        check(&nanos.1, &[seen(NANOS, Link::Cooked, b"cooked")]);
        // The upper bits say that frames end with a check sequence of 4 bytes.
        check(
            &classic(order, 0xa1b2_c3d4, 0x2400_0001).record(5, b"x").1,
            &[seen(5_000, Link::Ethernet, b"x")],
        );
        check(&classic(order, 0xa1b2_c3d4, 1).1, &[]);
    }
}

#[test]
fn the_modified_classic_format_has_longer_record_headers() {
    let file = classic(Order::Little, 0xa1b2_cd34, 1);
    let record = file.u32(SECONDS).u32(6).u32(3).u32(10).u32(2).u16(0x0800).u16(0).raw(b"abc");
    check(&record.1, &[seen(6_000, Link::Ethernet, b"abc")]);
}

#[test]
fn ng_in_both_orders_with_several_interfaces() {
    let micros = u64::from(SECONDS) * 1_000_000 + 123_456;
    let nanos = u64::from(SECONDS) * 1_000_000_000 + u64::from(NANOS);
    for order in ORDERS {
        let file = ng(order)
            .interface(1, 0, &[])
            .interface(276, 0, &[(2, b"eth1"), (9, &[9]), (0, b"")])
            .enhanced(1, nanos, b"second")
            .enhanced(0, micros, b"first");
        check(&file.1, &[seen(NANOS, Link::Cooked2, b"second"), seen(123_456_000, Link::Ethernet, b"first")]);
    }
    check(&ng(Order::Big).1, &[]);
}

#[test]
fn ng_times_in_every_resolution_and_with_an_offset() {
    let offset = |order, seconds: i64| match order {
        Order::Big => seconds.to_be_bytes(),
        Order::Little => seconds.to_le_bytes(),
    };
    for order in ORDERS {
        // Resolution, offset, ticks, and the nanoseconds that they mean.
        let table: [(u8, i64, u64, i64); 14] = [
            (0, 0, 7, 7_000_000_000),
            (3, 0, 7, 7_000_000),
            (6, 1_000, 7, 1_000_000_007_000),
            (6, -2, 3, -1_999_997_000),
            (9, 0, 7, 7),
            (12, 0, 7_999, 7),
            (19, 0, u64::MAX, 1_844_674_407),
            (28, 0, u64::MAX, 1),
            (127, 0, u64::MAX, 0),
            (0x80 | 10, 0, 1536, 1_500_000_000),
            (0x80 | 63, 0, 1 << 62, 500_000_000),
            (0xff, 0, u64::MAX, 0),
            (0, 0, u64::MAX, i64::MAX),
            (6, i64::MIN, 0, i64::MIN),
        ];
        for (resolution, seconds, ticks, nanos) in table {
            let offset = offset(order, seconds);
            let file = ng(order)
                .interface(1, 0, &[(9, &[resolution]), (14, &offset), (0, b"")])
                .enhanced(0, ticks, b"x");
            let (all, _) = read(&file.1);
            assert_eq!(all[0].nanos, nanos, "{order:?} {resolution} {seconds} {ticks}");
        }
    }
}

#[test]
fn ng_options_after_the_end_of_options_do_not_count() {
    let file = ng(Order::Little).interface(1, 0, &[(0, b""), (9, &[0])]).enhanced(0, 7, b"x");
    assert_eq!(read(&file.1).0[0].nanos, 7_000);
}

#[test]
fn ng_simple_packets_have_the_latest_time_and_the_snapshot_length() {
    for order in ORDERS {
        let body = Bytes(order, Vec::new()).u32(9).raw(b"abcde");
        let file = ng(order).interface(1, 5, &[]).enhanced(0, 7, b"x").block(3, body);
        let simple = Seen { nanos: 7_000, link: Link::Ethernet, wire_len: 9, bytes: b"abcde".to_vec() };
        assert_eq!(read(&file.1).0[1], simple);
    }
}

#[test]
fn ng_old_packets_are_read() {
    for order in ORDERS {
        let body = Bytes(order, Vec::new()).u16(1).u16(55).u32(0).u32(7).u32(3).u32(10).raw(b"abc");
        let file = ng(order).interface(1, 0, &[]).interface(101, 0, &[]).block(2, body);
        let old = Seen { nanos: 7_000, link: Link::RawIp, wire_len: 10, bytes: b"abc".to_vec() };
        check(&file.1, &[old]);
    }
}

#[test]
fn ng_sections_begin_anew_and_other_blocks_are_passed_over() {
    let other = Bytes(Order::Little, Vec::new()).raw(&[0xee; 41]);
    let large = Bytes(Order::Little, Vec::new()).raw(&vec![0xee; 3 << 20]);
    let mut file = ng(Order::Little)
        .block(5, other.clone())
        .interface(1, 0, &[])
        .block(0xbad, large)
        .enhanced(0, 1, b"little")
        .block(0x8000_0001, other);
    file.0 = Order::Big;
    let file = file.section().interface(113, 0, &[]).enhanced(0, 2, b"big");
    let (all, stop) = read(&file.1);
    assert!(matches!(stop, Stop::End), "{stop:?}");
    assert_eq!(all.iter().map(|seen| seen.bytes.as_slice()).collect::<Vec<_>>(), [&b"little"[..], b"big"]);
    assert_eq!(all[1].link, Link::Cooked);

    // The second section has no interface of its own.
    check_broken(&ng(Order::Big).interface(1, 0, &[]).section().enhanced(0, 1, b"x").1, 0, Flaw::NoInterface);
}

#[test]
fn ng_packet_options_are_passed_over() {
    let file = ng(Order::Little).interface(1, 0, &[]);
    let body = file.enhanced_body(0, 7, b"abc").u16(1).u16(3).raw(b"hey").pad().u16(0).u16(0);
    let (all, _) = read(&file.block(6, body).1);
    assert_eq!(all[0].bytes, b"abc");
}

#[test]
fn cut_anywhere_a_file_gives_the_records_before() {
    let files = ORDERS.into_iter().flat_map(|order| {
        let packets = ng(order).interface(1, 0, &[(9, &[9])]);
        [
            classic(order, 0xa1b2_c3d4, 1).record(1, b"first").record(2, b"").record(3, b"third"),
            packets.enhanced(0, 1, b"first").enhanced(0, 2, b"").enhanced(0, 3, b"third"),
        ]
    });
    for file in files {
        let whole = file.1;
        // Where a record ends, a cut cannot be told from the end of the file.
        let (mut ends, mut records) = (0, 0);
        for cut in 0..=whole.len() {
            let (all, stop) = read(&whole[..cut]);
            assert!(all.len() == records || all.len() == records + 1, "{} after {records}", all.len());
            records = all.len();
            match stop {
                Stop::NotACapture => assert!(cut < 24),
                Stop::Broken(flaw) => assert_eq!(flaw, Flaw::Cut),
                Stop::End => ends += 1,
                other => panic!("{other:?} at {cut}"),
            }
        }
        assert_eq!(records, 3);
        assert_eq!(ends, if whole.starts_with(&[0x0a]) { 5 } else { 4 }, "headers and records");

        let packed = gzip(&whole);
        for cut in 0..packed.len() {
            let (all, stop) = read_packed(&packed[..cut]);
            assert!(all <= 3);
            assert!(matches!(stop, Stop::NotACapture | Stop::Broken(Flaw::Cut)), "{stop:?} at {cut}");
        }
    }
}

/// As [`read`], but through the unpacker.
fn read_packed(bytes: &[u8]) -> (usize, Stop) {
    let mut reader = Reader::new(flate2::read::MultiGzDecoder::new(bytes));
    let mut count = 0;
    loop {
        match reader.advance() {
            Ok(_) => count += 1,
            Err(stop) => return (count, stop),
        }
    }
}

#[test]
fn any_single_byte_changed_neither_panics_nor_loops() {
    let packets =
        ng(Order::Little).interface(1, 0, &[(9, &[9])]).enhanced(0, 1, b"first").enhanced(0, 3, b"third");
    for whole in [packets.1, classic(Order::Big, 0xa1b2_c3d4, 1).record(1, b"first").record(2, b"").1] {
        for at in 0..whole.len() {
            for value in [0, 1, 4, 0x7f, 0x80, 0xff] {
                let mut bytes = whole.clone();
                bytes[at] = value;
                assert!(read(&bytes).0.len() <= whole.len() / 12);
            }
        }
    }
}

#[test]
fn nonsense_is_told_by_what_is_wrong() {
    let most = vec![0x55; MAX_CAPTURED];
    let over = vec![0x55; MAX_CAPTURED + 1];
    let file = classic(Order::Little, 0xa1b2_c3d4, 1);
    assert_eq!(read(&file.clone().record(1, &most).1).0[0].bytes, most);
    check_broken(&file.clone().record(0, b"x").record(1, &over).1, 1, Flaw::TooLong);
    check_broken(&file.u32(0).u32(0).u32(u32::MAX).u32(0).1, 0, Flaw::TooLong);

    let file = ng(Order::Little).interface(1, 0, &[]);
    assert_eq!(read(&file.clone().enhanced(0, 1, &most).1).0[0].bytes, most);
    check_broken(&file.clone().enhanced(0, 1, &over).1, 0, Flaw::TooLong);
    check_broken(&file.clone().enhanced(1, 1, b"x").1, 0, Flaw::NoInterface);
    check_broken(&file.clone().u32(6).u32(0).u32(0).1, 0, Flaw::Nonsense);
    check_broken(&file.clone().u32(6).u32(33).raw(&[0; 40]).1, 0, Flaw::Nonsense);
    check_broken(&file.clone().u32(0xbad).u32(16).u32(0).u32(20).1, 0, Flaw::Nonsense);
    check_broken(&file.clone().u32(6).u32(u32::MAX - 3).u32(0).1, 0, Flaw::TooLong);
    check_broken(&file.clone().u32(0xbad).u32(u32::MAX - 3).u32(0).1, 0, Flaw::Cut);
    // A packet that claims more than its block holds.
    let body = Bytes(Order::Little, Vec::new()).u32(0).u32(0).u32(0).u32(64).u32(64).raw(b"abcd");
    check_broken(&file.block(6, body).1, 0, Flaw::Nonsense);
    let many = (0..4097).fold(ng(Order::Little), |file, _| file.interface(1, 0, &[]));
    check_broken(&many.1, 0, Flaw::ManyInterfaces);
}

/// What wraps or turns negative where lengths or seconds are kept in 32 bits.
#[test]
fn lengths_and_times_of_32_bits_do_not_wrap() {
    for order in ORDERS {
        let claim = |captured: u32| Bytes(order, Vec::new()).u32(0).u32(0).u32(0).u32(captured).u32(captured);
        for captured in [u32::MAX, u32::MAX - 28, u32::MAX - 31, 1 << 31] {
            let file = ng(order).interface(1, 0, &[]).block(6, claim(captured).raw(b"abcd"));
            check_broken(&file.1, 0, Flaw::TooLong);
            let file = classic(order, 0xa1b2_c3d4, 1).u32(0).u32(0).u32(captured).u32(captured);
            check_broken(&file.1, 0, Flaw::TooLong);
        }
        let simple = Bytes(order, Vec::new()).u32(u32::MAX).raw(b"abcd");
        let (all, _) = read(&ng(order).interface(1, u32::MAX, &[]).block(3, simple).1);
        assert_eq!((all[0].wire_len, all[0].bytes.as_slice()), (u32::MAX, &b"abcd"[..]));

        let late = i64::from(u32::MAX);
        let (all, _) = read(&classic(order, 0xa1b2_3c4d, 1).u32(u32::MAX).u32(NANOS).u32(0).u32(0).1);
        assert_eq!(all[0].nanos, late * 1_000_000_000 + i64::from(NANOS));
        let ticks = u64::from(u32::MAX) * 1_000_000 + 5;
        let (all, _) = read(&ng(order).interface(1, 0, &[]).enhanced(0, ticks, b"x").1);
        assert_eq!(all[0].nanos, late * 1_000_000_000 + 5_000);
    }
}

#[test]
fn what_is_no_capture_is_told_at_once() {
    let section = ng(Order::Little).1;
    for bytes in [&b""[..], b"a", b"time,source\n1,2\n3,4\n5,6\n", &[0; 100], &section[..20], &gzip(b"text")]
    {
        assert!(matches!(read(bytes).1, Stop::NotACapture));
    }
}

fn write(folder: &TempDir, name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder.path().join(name);
    File::create_new(&path).unwrap().write_all(bytes).unwrap();
    path
}

/// Frames until the end.
fn drain(files: &mut Files) -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    loop {
        match files.next().unwrap() {
            Next::Frame(frame) => frames.push(frame.bytes.to_vec()),
            Next::Idle(time) => panic!("idle at {time} on a file"),
            Next::End => return frames,
        }
    }
}

fn message(result: Result<Files, CaptureError>) -> String {
    result.err().map(|error| error.to_string()).unwrap_or_default()
}

#[test]
fn files_are_read_in_order_and_past_a_broken_record() {
    let folder = tempfile::tempdir().unwrap();
    let one = classic(Order::Big, 0xa1b2_c3d4, 1).record(1, b"one").1;
    let two = ng(Order::Little).interface(1, 0, &[]).enhanced(0, 1, b"two").enhanced(0, 2, b"lost").1;
    let mut members = gzip(&one);
    members.extend(gzip(&Bytes(Order::Big, Vec::new()).record(2, b"member").1));
    let paths = [
        write(&folder, "one.pcap", &one),
        write(&folder, "two.pcapng", &two[..two.len() - 1]),
        write(&folder, "empty.pcap", &one[..24]),
        write(&folder, "three.pcap.gz", &members),
        write(&folder, "four.gz", &gzip(&two)),
    ];
    let mut files = Files::open(&paths).unwrap();
    assert_eq!(files.names()[1], paths[1].display().to_string());
    assert_eq!(drain(&mut files), [&b"one"[..], b"two", b"one", b"member", b"two", b"lost"]);
    assert!(matches!(files.next().unwrap(), Next::End));
    assert_eq!((files.counters().frames, files.counters().broken_records), (6, 1));
    let broken = BrokenRecord { path: paths[1].display().to_string(), number: 2, flaw: Flaw::Cut };
    assert_eq!(files.broken(), Some(&broken));
    let text = format!("`{}`: record 2 is cut short; the rest of the file is left out", broken.path);
    assert_eq!(broken.to_string(), text);
}

#[test]
fn a_gzip_that_is_damaged_is_a_broken_record() {
    let folder = tempfile::tempdir().unwrap();
    let mut packed = gzip(&classic(Order::Big, 0xa1b2_c3d4, 1).record(1, &[7; 9000]).1);
    packed.extend(b"garbage after the last member");
    let mut files = Files::open(&[write(&folder, "a.gz", &packed)]).unwrap();
    assert_eq!(drain(&mut files).len(), 1);
    assert_eq!(files.counters().broken_records, 1);
    assert_eq!(files.broken().unwrap().flaw, Flaw::Packing);
}

#[test]
fn a_file_that_is_missing_or_no_capture_is_told_before_the_first_frame() {
    let folder = tempfile::tempdir().unwrap();
    let good = write(&folder, "good.pcap", &classic(Order::Big, 0xa1b2_c3d4, 1).1);
    let text = write(&folder, "notes.txt", b"a text that is no capture at all");
    let missing = folder.path().join("missing.pcap");

    assert_eq!(
        message(Files::open(&[good.clone(), text.clone()])),
        format!("`{}` is not a capture: pcap or pcapng is expected, as it is or in gzip", text.display())
    );
    assert_eq!(
        message(Files::open(&[good.clone(), missing.clone()])),
        format!("cannot open `{}`", missing.display())
    );
    assert!(matches!(Files::open(&[folder.path().to_owned()]), Err(CaptureError::OpenFile { .. })));
    assert!(matches!(Files::open(&[]).unwrap().next().unwrap(), Next::End));
}

#[test]
fn a_pipe_that_has_nothing_is_idle_and_loses_nothing() {
    let whole = classic(Order::Little, 0xa1b2_3c4d, 1).record(NANOS, b"one").record(NANOS, b"two").1;
    for bytes in [gzip(&whole), whole] {
        let (reader, mut writer) = io::pipe().unwrap();
        let path = format!("/dev/fd/{}", reader.as_raw_fd());
        let mut files = Files::open(&[Path::new(&path).to_owned()]).unwrap();
        let (first, second) = bytes.split_at(30);
        assert!(matches!(files.next().unwrap(), Next::Idle(Timestamp::EPOCH)));
        writer.write_all(first).unwrap();
        assert!(matches!(files.next().unwrap(), Next::Idle(Timestamp::EPOCH)));
        writer.write_all(second).unwrap();
        let Next::Frame(frame) = files.next().unwrap() else { panic!("no frame") };
        let time = frame.time;
        assert_eq!(time, Timestamp::from_parts(SECONDS.into(), NANOS));
        assert!(matches!(files.next().unwrap(), Next::Frame(frame) if frame.bytes == b"two"));
        assert!(matches!(files.next().unwrap(), Next::Idle(idle) if idle == time));
        drop(writer);
        assert!(matches!(files.next().unwrap(), Next::End));
        assert_eq!(files.counters().broken_records, 0);
    }
}

#[test]
fn a_pipe_that_is_no_capture_fails_in_its_turn_and_the_next_file_follows() {
    let folder = tempfile::tempdir().unwrap();
    let good = write(&folder, "good.pcap", &classic(Order::Big, 0xa1b2_c3d4, 1).record(1, b"one").1);
    let (reader, writer) = io::pipe().unwrap();
    drop(writer);
    let path = format!("/dev/fd/{}", reader.as_raw_fd());
    let mut files = Files::open(&[good.clone(), Path::new(&path).to_owned(), good]).unwrap();
    assert!(matches!(files.next(), Ok(Next::Frame(_))));
    assert!(matches!(files.next(), Err(CaptureError::NotACapture { path: named }) if named == path));
    assert_eq!(drain(&mut files), [b"one"]);
}
