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

#[cfg(test)]
mod tests {
    use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop, prop_oneof, proptest};
    use proptest::test_runner::RngSeed;

    use super::*;
    use crate::packet::hint::{Direction, Effect, PlantProtocol};
    use crate::packet::samples::{captured, digest, ethernet, fault, ip4, udp4};
    use crate::packet::{Depth, Dissector, Frame, Link};
    use crate::time::Timestamp;

    fn tcp4(source: u16, destination: u16, payload: &[u8]) -> Vec<u8> {
        let ([a, b], [c, d]) = (source.to_be_bytes(), destination.to_be_bytes());
        let header = [a, b, c, d, 0, 0, 0, 1, 0, 0, 0, 1, 0x50, 0x18, 2, 0, 0, 0, 0, 0];
        ip4(6, &[&header[..], payload].concat())
    }

    fn told(frame: &[u8]) -> Option<Operation> {
        match digest(frame).hint {
            Hint::Operation(operation) => Some(operation),
            _ => None,
        }
    }

    /// A write of register 1, and a read.
    fn modbus_write() -> Vec<u8> {
        modbus::tests::adu(&[6, 0, 1, 0, 3])
    }

    fn modbus_read() -> Vec<u8> {
        modbus::tests::adu(&[3, 0, 107, 0, 3])
    }

    fn s7_read() -> Vec<u8> {
        s7::tests::pdu(1, &[], &[4, 1, 0x12, 10, 0x10, 2, 0, 4, 0, 5, 0x84, 0, 0, 160], &[])
    }

    fn dnp3_read() -> Vec<u8> {
        dnp3::tests::frame(0xc4, &[0xc0, 0xc1, 1, 60, 1, 0x06])
    }

    fn bacnet_read() -> Vec<u8> {
        bacnet::tests::unicast(&[1, 4, 0, 5, 1, 12, 0x0c, 0, 0x40, 0, 7, 0x19, 85])
    }

    fn cip_read() -> Vec<u8> {
        enip::tests::unconnected(&[0x0e, 3, 0x20, 0x01, 0x24, 0x01, 0x30, 0x07])
    }

    fn io() -> Vec<u8> {
        vec![2, 0, 2, 0x80, 8, 0, 1, 2, 3, 4, 5, 6, 7, 8, 0xb1, 0, 2, 0, 9, 9]
    }

    /// What is read, each with the port that it is registered for.
    fn streams() -> Vec<(u16, PlantProtocol, Vec<u8>)> {
        vec![
            (502, PlantProtocol::Modbus, modbus_read()),
            (102, PlantProtocol::S7, s7_read()),
            (20_000, PlantProtocol::Dnp3, dnp3_read()),
            (44_818, PlantProtocol::EtherNetIp, cip_read()),
            (2404, PlantProtocol::Iec104, iec104::tests::asdu(45, 6, &[1])),
            (4840, PlantProtocol::OpcUa, opcua::tests::message(b"HELF", &[0; 24])),
        ]
    }

    fn datagrams() -> Vec<(u16, PlantProtocol, Vec<u8>)> {
        vec![
            (20_000, PlantProtocol::Dnp3, dnp3_read()),
            (44_818, PlantProtocol::EtherNetIp, cip_read()),
            (2222, PlantProtocol::EtherNetIp, io()),
            (47_808, PlantProtocol::Bacnet, bacnet_read()),
        ]
    }

    fn frames() -> Vec<(u16, PlantProtocol, Vec<u8>)> {
        let identify = profinet::tests::dcp(0xfefe, 5, 0, &[0xff, 0xff, 0, 0]);
        vec![
            (PROFINET_TYPE, PlantProtocol::ProfinetDcp, identify),
            (GOOSE_TYPE, PlantProtocol::Goose, goose::tests::message(0)),
        ]
    }

    fn all() -> Vec<Vec<u8>> {
        let tcp = streams().into_iter().map(|(port, _, bytes)| tcp4(40_000, port, &bytes));
        let udp = datagrams().into_iter().map(|(port, _, bytes)| udp4(40_000, port, &bytes));
        let bare = frames().into_iter().map(|(ether_type, _, bytes)| ethernet(ether_type, &bytes));
        tcp.chain(udp).chain(bare).collect()
    }

    #[test]
    fn each_protocol_is_read_where_it_is_registered() {
        for (port, protocol, bytes) in streams() {
            let operation = told(&tcp4(40_000, port, &bytes)).unwrap();
            assert_eq!((operation.protocol, operation.messages), (protocol, 1));
        }
        for (port, protocol, bytes) in datagrams() {
            assert_eq!(told(&udp4(40_000, port, &bytes)).unwrap().protocol, protocol);
        }
        for (ether_type, protocol, bytes) in frames() {
            assert_eq!(told(&ethernet(ether_type, &bytes)).unwrap().protocol, protocol);
        }
        for frame in all() {
            assert_eq!(digest(&frame).fault, None, "{frame:x?}");
        }
    }

    #[test]
    fn only_what_marks_itself_is_read_on_other_ports() {
        for (_, protocol, bytes) in streams() {
            let marked = !matches!(protocol, PlantProtocol::Modbus | PlantProtocol::EtherNetIp);
            let found = told(&tcp4(40_000, 9999, &bytes)).map(|operation| operation.protocol);
            assert_eq!(found, marked.then_some(protocol));
        }
        for (_, protocol, bytes) in datagrams() {
            let marked = protocol != PlantProtocol::EtherNetIp;
            let found = told(&udp4(40_000, 9999, &bytes)).map(|operation| operation.protocol);
            assert_eq!(found, marked.then_some(protocol));
        }
        for text in [
            &b"hello world"[..],
            b"MSG to all of you, a longer one",
            b"OPTIONS * HTTP/1.1",
            b"\x03\0\0\x07\x02\xf0\x80",
        ] {
            assert_eq!(told(&tcp4(40_000, 9999, text)), None);
        }
    }

    #[test]
    fn the_port_tells_who_asks() {
        let direction =
            |source, destination| told(&tcp4(source, destination, &modbus_write())).unwrap().direction;
        assert_eq!(direction(40_000, 502), Direction::Request);
        assert_eq!(direction(502, 40_000), Direction::Response);
        assert_eq!(direction(502, 502), Direction::Request);
    }

    #[test]
    fn of_several_messages_the_most_consequential_is_told_and_all_are_counted() {
        let read = modbus_read();
        let pipeline = [&read[..], &modbus_write(), &read].concat();
        let operation = told(&tcp4(40_000, 502, &pipeline)).unwrap();
        assert_eq!((operation.effect, operation.address, operation.messages), (Effect::Write, 1, 3));
        // The fourth message is not all there, and what follows is none.
        let split = [&pipeline[..], &read[..9]].concat();
        assert_eq!(told(&tcp4(40_000, 502, &split)).unwrap().messages, 4);
        let followed = [&pipeline[..], b"something else"].concat();
        assert_eq!(told(&tcp4(40_000, 502, &followed)).unwrap().messages, 3);
        let tests = [0x68, 4, 0x43, 0, 0, 0].repeat(2000);
        assert_eq!(told(&tcp4(40_000, 2404, &tests)).unwrap().messages, MAX_MESSAGES);
    }

    #[test]
    fn the_rest_of_a_split_message_is_not_read() {
        for (port, _, bytes) in streams() {
            for at in 1..bytes.len() {
                assert_eq!(told(&tcp4(40_000, port, &bytes[at..])), None, "{port} {at}");
            }
        }
    }

    #[test]
    fn a_datagram_must_hold_its_message_and_a_segment_need_not() {
        let bytes = bacnet_read();
        let short = digest(&udp4(40_000, 47_808, &bytes[..bytes.len() - 1]));
        assert_eq!(short.fault, fault(Layer::Bacnet, FaultReason::BadLength));
        let bytes = modbus_write();
        assert_eq!(digest(&tcp4(40_000, 502, &bytes[..bytes.len() - 1])).fault, None);
    }

    #[test]
    fn padding_of_frames_is_nobodys() {
        for (ether_type, _, bytes) in frames() {
            let mut frame = ethernet(ether_type, &bytes);
            frame.resize(frame.len() + 40, 0);
            assert_eq!(told(&frame).unwrap().messages, 1);
            assert_eq!(digest(&frame).fault, None);
        }
    }

    #[test]
    fn under_load_none_is_read() {
        let mut dissector = Dissector::new(1);
        dissector.set_depth(Depth::Essential);
        for bytes in all() {
            let wire_len = bytes.len().try_into().unwrap();
            let frame = Frame { time: Timestamp::EPOCH, link: Link::Ethernet, wire_len, bytes: &bytes };
            assert!(matches!(dissector.dissect(&frame).hint, Hint::None));
        }
    }

    /// A capture that cut a message off says so, or had all that matters.
    #[test]
    fn a_cut_message_blames_the_cut() {
        for frame in all() {
            let whole = digest(&frame);
            for length in frame.len() - 4..frame.len() {
                let cut = captured(&frame, length);
                match cut.fault {
                    Some(fault) => assert_eq!(fault.reason, FaultReason::Cut, "{length} of {frame:x?}"),
                    None => assert_eq!(format!("{cut:?}"), format!("{whole:?}")),
                }
            }
        }
    }

    fn mutated() -> impl Strategy<Value = Vec<u8>> {
        let edit = (any::<prop::sample::Index>(), prop_oneof![any::<u8>(), Just(0), Just(1), Just(0xff)]);
        (prop::sample::select(all()), prop::collection::vec(edit, 0..8), any::<prop::sample::Index>())
            .prop_map(|(mut frame, edits, end)| {
                for (at, byte) in edits {
                    // Behind the addresses, so that it stays the same kind of frame.
                    let at = 14 + at.index(frame.len() - 14);
                    frame[at] = byte;
                }
                frame.truncate(end.index(frame.len() * 3).max(14));
                frame
            })
    }

    const READERS: [Read; 10] = [
        modbus::read,
        s7::read,
        dnp3::read,
        enip::read,
        enip::read_io,
        iec104::read,
        bacnet::read,
        profinet::read,
        goose::read,
        opcua::read,
    ];

    proptest! {
        #![proptest_config(ProptestConfig {
            cases: 4096,
            rng_seed: RngSeed::Fixed(0x504c_414e),
            failure_persistence: None,
            ..ProptestConfig::default()
        })]

        #[test]
        fn any_bytes_give_a_message_or_none(
            bytes in prop::collection::vec(any::<u8>(), 0..300),
            way in prop::sample::select(vec![Way::ToServer, Way::FromServer, Way::Unknown]),
        ) {
            for read in READERS {
                if let Some(message) = read(&bytes, way) {
                    assert!(message.operation.is_none_or(|operation| operation.messages == 1));
                }
            }
        }

        #[test]
        fn damaged_messages_give_a_digest(frame in mutated()) {
            let whole = digest(&frame);
            assert_ne!(whole.fault.map(|fault| fault.reason), Some(FaultReason::Cut));
        }

        /// Chance does not pass for a protocol on a port of none, however it begins.
        #[test]
        fn noise_is_not_recognised(
            start in prop::sample::select(vec![s7::START, dnp3::START, iec104::START, bacnet::START, b'M', b'H', b'O']),
            rest in prop::collection::vec(any::<u8>(), 0..100),
        ) {
            let bytes = [&[start][..], &rest].concat();
            assert_eq!(told(&tcp4(40_000, 9999, &bytes)), None);
            assert_eq!(told(&udp4(40_000, 9999, &bytes)), None);
        }
    }
}
