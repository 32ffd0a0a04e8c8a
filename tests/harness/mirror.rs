//! What a mirror delivers of a small network, right and wrong: TCP conversations as frames with their times.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

/// Payload of each segment of data.
const DATA: usize = 400;
/// Segments of data that each side of a conversation sends.
const SEGMENTS: u32 = 20;
/// Conversations at the same time.
const CONVERSATIONS: u8 = 24;
/// Microseconds between two frames of a conversation.
const STEP: u64 = 30_000;

/// Which way a frame goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    ToServer,
    ToClient,
}

/// A frame and when it passes, in microseconds.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) micros: u64,
    pub(crate) way: Way,
    pub(crate) bytes: Vec<u8>,
}

/// Two seconds of a network whose stations talk to a server, as a good mirror delivers them.
pub(crate) fn good() -> Vec<Seen> {
    let mut all: Vec<Seen> = (0..CONVERSATIONS).flat_map(conversation).collect();
    all.sort_by_key(|seen| seen.micros);
    all
}

/// Who has 10.9.0.x? As an ordinary switch port hears it from the others.
pub(crate) fn broadcasts() -> Vec<Seen> {
    let request = |n: u8| {
        let arp =
            [0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 9, 0, n % 20, 10, 9, 0, n % 20, 0, 0, 0, 0, 0, 0, 10, 9, 0, n];
        let bytes = [&[0xff; 6][..], &[2, 0, 0, 9, 0, n % 20, 8, 6], &arp, &[0; 18]].concat();
        Seen { micros: u64::from(n) * 4_000, way: Way::ToServer, bytes }
    };
    (1..=250).map(request).collect()
}

fn conversation(number: u8) -> Vec<Seen> {
    let mut seen = Vec::new();
    let (mut client, mut server) = (1_000_u32, 9_000_u32);
    let mut push = |way, numbers: (u32, u32), flags: u8, payload: usize| {
        let at = u64::try_from(seen.len()).unwrap();
        let identification = u16::try_from(at + 1).unwrap() + u16::from(number) * 256;
        let bytes = segment((number, way), identification, numbers, flags, payload);
        seen.push(Seen { micros: at * STEP + u64::from(number) * 900, way, bytes });
    };
    push(Way::ToServer, (client, 0), 0x02, 0);
    push(Way::ToClient, (server, client + 1), 0x12, 0);
    (client, server) = (client + 1, server + 1);
    push(Way::ToServer, (client, server), 0x10, 0);
    for _ in 0..SEGMENTS {
        push(Way::ToServer, (client, server), 0x18, DATA);
        client += u32::try_from(DATA).unwrap();
        push(Way::ToClient, (server, client), 0x18, DATA);
        server += u32::try_from(DATA).unwrap();
        push(Way::ToServer, (client, server), 0x10, 0);
    }
    seen
}

fn segment(
    (number, way): (u8, Way),
    identification: u16,
    (sequence, acknowledgement): (u32, u32),
    flags: u8,
    payload: usize,
) -> Vec<u8> {
    let client = ([2, 0, 0, 9, 0, number + 1], [10, 9, 0, number + 1], 40_000 + u16::from(number));
    let server = ([2, 0, 0, 9, 1, 1], [10, 9, 1, 1], 443_u16);
    let (from, to) = match way {
        Way::ToServer => (client, server),
        Way::ToClient => (server, client),
    };
    let total = u16::try_from(40 + payload).unwrap();
    let mut ip =
        [&[0x45, 0], &total.to_be_bytes()[..], &identification.to_be_bytes(), &[0, 0, 64, 6, 0, 0]].concat();
    ip.extend([from.1, to.1].concat());
    let sum = checksum(&ip);
    ip[10..12].copy_from_slice(&sum);
    let mut tcp = [from.2.to_be_bytes(), to.2.to_be_bytes()].concat();
    tcp.extend([sequence.to_be_bytes(), acknowledgement.to_be_bytes()].concat());
    tcp.extend([0x50, flags, 0x20, 0, 0, 0, 0, 0]);
    [&to.0[..], &from.0, &[8, 0], &ip, &tcp, &vec![number; payload]].concat()
}

fn checksum(header: &[u8]) -> [u8; 2] {
    let sum: u32 = header.as_chunks::<2>().0.iter().map(|pair| u32::from(u16::from_be_bytes(*pair))).sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    (!u16::try_from((folded & 0xffff) + (folded >> 16)).unwrap()).to_be_bytes()
}

/// The frame with a VLAN tag.
pub(crate) fn tagged(frame: &[u8]) -> Vec<u8> {
    [&frame[..12], &[0x81, 0, 0, 30], &frame[12..]].concat()
}

/// The IP packet of a frame as a router sends it on.
pub(crate) fn routed(frame: &[u8]) -> Vec<u8> {
    let mut frame = frame.to_vec();
    frame[..12].copy_from_slice(&[2, 0, 0, 9, 2, 2, 2, 0, 0, 9, 2, 1]);
    frame[22] -= 1;
    frame[24..26].copy_from_slice(&[0, 0]);
    let sum = checksum(&frame[14..34]);
    frame[24..26].copy_from_slice(&sum);
    frame
}

/// Writes a capture file of a link type.
pub(crate) fn write(path: &Path, link: u32, seen: &[Seen]) {
    let mut file = BufWriter::new(File::create(path).unwrap());
    let mut words = |words: &[u32], bytes: &[u8]| {
        for word in words {
            file.write_all(&word.to_le_bytes()).unwrap();
        }
        file.write_all(bytes).unwrap();
    };
    words(&[0xa1b2_c3d4, 0x0004_0002, 0, 0, 65_535, link], &[]);
    for Seen { micros, bytes, .. } in seen {
        let (seconds, micros) = (1_700_000_040 + micros / 1_000_000, micros % 1_000_000);
        let length = u32::try_from(bytes.len()).unwrap();
        words(&[u32::try_from(seconds).unwrap(), u32::try_from(micros).unwrap(), length, length], bytes);
    }
}
