//! Plant protocols: what a message asks of a device or answers, as an [`Operation`].
//!
//! Each reader stands alone and sees the bytes of one packet: no stream is put together. A message that goes on in the
//! next segment is read as far as it is there; the segments that carry the rest are not read, because none of them
//! passes for the start of a message (each reader says what it checks). Of several messages in one packet the most
//! consequential by [`Effect`](super::hint::Effect) is told, the first of equals.
//!
//! Ports decide first. S7comm, DNP3, IEC 60870-5-104, OPC UA and BACnet/IP are also found on other ports: their first
//! byte is one of a few, and what follows is then checked so strictly that chance does not pass. Modbus and EtherNet/IP
//! have no such mark and are read on their registered ports only.
//!
//! A fault is told only where the header left no doubt of the protocol and the rest of the message contradicts it.

mod bacnet;
mod cip;
mod dnp3;
mod enip;
mod field;
mod goose;
mod iec104;
mod modbus;
mod opcua;
mod profinet;
mod s7;

use super::digest::{Digest, FaultReason, Layer};
use super::hint::{Hint, Operation};
use super::window::Window;

/// Most messages of one packet that are looked at. Two segments' worth of the shortest (6 bytes, IEC 60870-5-104).
const MAX_MESSAGES: u16 = 512;

/// What is shorter may be a message of which the capture cut the header: that of EtherNet/IP is the longest.
const LONGEST_HEADER: usize = 24;

/// Which way a packet goes, by its ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// To the protocol's port.
    ToServer,
    /// From it.
    FromServer,
    /// Neither, or both.
    Unknown,
}

/// What messages lie in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Carrier {
    /// A stream's segment: a message may go on in the next.
    Segment,
    /// A datagram: messages end where it ends.
    Datagram,
    /// An Ethernet frame: one message, and padding.
    Frame,
}

/// The message at the start of some bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Message {
    /// What it does; none where it only continues another.
    operation: Option<Operation>,
    /// Bytes it takes, at least 1; more than there are when it goes on in the next segment.
    length: usize,
    /// How it contradicts itself.
    fault: Option<FaultReason>,
}

/// A protocol's reader: the message at the start of the bytes, or nothing where there is none for certain.
type Read = fn(&[u8], Way) -> Option<Message>;

/// A protocol as the ports and bytes name it.
#[derive(Clone, Copy)]
struct Protocol {
    layer: Layer,
    read: Read,
    /// Whether the whole payload is so surely the protocol's that the port does not matter.
    certain: fn(Window<'_>) -> bool,
}

const MODBUS: Protocol = Protocol { layer: Layer::Modbus, read: modbus::read, certain: |_| false };
const S7: Protocol = Protocol { layer: Layer::S7, read: s7::read, certain: s7::is_certain };
const DNP3: Protocol = Protocol { layer: Layer::Dnp3, read: dnp3::read, certain: dnp3::is_certain };
const ENIP: Protocol = Protocol { layer: Layer::EtherNetIp, read: enip::read, certain: |_| false };
const ENIP_IO: Protocol = Protocol { layer: Layer::EtherNetIp, read: enip::read_io, certain: |_| false };
const IEC104: Protocol = Protocol { layer: Layer::Iec104, read: iec104::read, certain: iec104::is_certain };
const BACNET: Protocol = Protocol { layer: Layer::Bacnet, read: bacnet::read, certain: bacnet::is_certain };
const OPC_UA: Protocol = Protocol { layer: Layer::OpcUa, read: opcua::read, certain: opcua::is_certain };

const PROFINET: Protocol = Protocol { layer: Layer::ProfinetDcp, read: profinet::read, certain: |_| true };
const GOOSE: Protocol = Protocol { layer: Layer::Goose, read: goose::read, certain: |_| true };

/// EtherType of PROFINET.
pub(super) const PROFINET_TYPE: u16 = 0x8892;
/// EtherType of GOOSE.
pub(super) const GOOSE_TYPE: u16 = 0x88b8;

const fn by_tcp_port(port: u16) -> Option<Protocol> {
    match port {
        102 => Some(S7),
        502 => Some(MODBUS),
        2404 => Some(IEC104),
        4840 => Some(OPC_UA),
        20_000 => Some(DNP3),
        44_818 => Some(ENIP),
        _ => None,
    }
}

const fn by_udp_port(port: u16) -> Option<Protocol> {
    match port {
        2222 => Some(ENIP_IO),
        20_000 => Some(DNP3),
        44_818 => Some(ENIP),
        47_808 => Some(BACNET),
        _ => None,
    }
}

const fn by_tcp_start(byte: u8) -> Option<Protocol> {
    match byte {
        s7::START => Some(S7),
        dnp3::START => Some(DNP3),
        iec104::START => Some(IEC104),
        b'A' | b'C' | b'E' | b'H' | b'M' | b'O' | b'R' => Some(OPC_UA),
        _ => None,
    }
}

const fn by_udp_start(byte: u8) -> Option<Protocol> {
    match byte {
        dnp3::START => Some(DNP3),
        bacnet::START => Some(BACNET),
        _ => None,
    }
}

/// Reads the payload of a segment between two ports; whether it is a plant protocol's.
pub(super) fn of_tcp(ports: (u16, u16), payload: Window<'_>, digest: &mut Digest) -> bool {
    let found = protocol(ports, by_tcp_port, by_tcp_start, payload);
    found.is_some_and(|(protocol, way)| tell(protocol, way, Carrier::Segment, payload, digest))
}

/// Reads the payload of a datagram between two ports; whether it is a plant protocol's.
pub(super) fn of_udp(ports: (u16, u16), payload: Window<'_>, digest: &mut Digest) -> bool {
    let found = protocol(ports, by_udp_port, by_udp_start, payload);
    found.is_some_and(|(protocol, way)| tell(protocol, way, Carrier::Datagram, payload, digest))
}

/// Reads what follows [`PROFINET_TYPE`].
pub(super) fn of_profinet(window: Window<'_>, digest: &mut Digest) {
    tell(PROFINET, Way::Unknown, Carrier::Frame, window, digest);
}

/// Reads what follows [`GOOSE_TYPE`].
pub(super) fn of_goose(window: Window<'_>, digest: &mut Digest) {
    tell(GOOSE, Way::Unknown, Carrier::Frame, window, digest);
}

fn protocol(
    (source, destination): (u16, u16),
    by_port: fn(u16) -> Option<Protocol>,
    by_start: fn(u8) -> Option<Protocol>,
    payload: Window<'_>,
) -> Option<(Protocol, Way)> {
    let &start = payload.bytes.first()?;
    match (by_port(destination), by_port(source)) {
        (Some(protocol), None) => Some((protocol, Way::ToServer)),
        (None, Some(protocol)) => Some((protocol, Way::FromServer)),
        (Some(protocol), Some(_)) => Some((protocol, Way::Unknown)),
        (None, None) => {
            let protocol = by_start(start)?;
            (protocol.certain)(payload).then_some((protocol, Way::Unknown))
        }
    }
}

/// Writes the most consequential message to the digest; whether there is any.
fn tell(protocol: Protocol, way: Way, carrier: Carrier, payload: Window<'_>, digest: &mut Digest) -> bool {
    let Protocol { layer, read, .. } = protocol;
    let most = if carrier == Carrier::Frame { 1 } else { MAX_MESSAGES };
    let mut told: Option<Operation> = None;
    let mut messages: u16 = 0;
    let mut rest = payload;
    let mut cut = payload.bytes.len() < payload.length();
    while messages < most && !rest.bytes.is_empty() {
        let Some(message) = read(rest.bytes, way) else { break };
        messages += 1;
        if let Some(operation) = message.operation
            && told.is_none_or(|told| operation.effect > told.effect)
        {
            told = Some(operation);
        }
        if let Some(reason) = message.fault {
            digest.note(layer, reason);
        }
        if carrier != Carrier::Segment && message.length > rest.length() {
            digest.note(layer, FaultReason::BadLength);
        }
        if messages == most {
            cut = message.length > rest.bytes.len();
        }
        rest = rest.after(message.length.max(1));
    }
    if cut && (messages > 0 || payload.bytes.len() < LONGEST_HEADER) {
        digest.note(layer, FaultReason::Cut);
    }
    if let Some(operation) = told {
        digest.hint = Hint::Operation(Operation { messages, ..operation });
    }
    messages > 0
}
