//! ARP for Ethernet and IPv4 (RFC 826). Whether what it claims is true is not decided here.

use smoltcp::wire::{ArpHardware, ArpOperation as Operation, ArpPacket, ArpRepr, EthernetProtocol};

use super::digest::{Arp, ArpOperation, Digest, FaultReason, Layer, Mac, Network};
use super::window::Window;

/// An ARP packet for 6-byte hardware and 4-byte protocol addresses.
const LENGTH: usize = 28;

/// Reads the ARP packet of a frame into the digest.
pub(super) fn read(window: Window<'_>, digest: &mut Digest) {
    match packet(window) {
        Ok(arp) => digest.network = Network::Arp(arp),
        Err(reason) => digest.note(Layer::Arp, reason),
    }
}

fn packet(window: Window<'_>) -> Result<Arp, FaultReason> {
    let bytes = window.bytes.first_chunk::<LENGTH>().ok_or_else(|| window.shortage(LENGTH))?;
    let packet = ArpPacket::new_unchecked(bytes);
    if packet.hardware_type() != ArpHardware::Ethernet || packet.protocol_type() != EthernetProtocol::Ipv4 {
        return Err(FaultReason::BadField);
    }
    // Checks the lengths that the packet states before it reads by them.
    let Ok(ArpRepr::EthernetIpv4 {
        operation,
        source_hardware_addr,
        source_protocol_addr,
        target_hardware_addr,
        target_protocol_addr,
    }) = ArpRepr::parse(&packet)
    else {
        return Err(FaultReason::BadLength);
    };
    Ok(Arp {
        operation: match operation {
            Operation::Request => ArpOperation::Request,
            Operation::Reply => ArpOperation::Reply,
            Operation::Unknown(number) => ArpOperation::Unknown(number),
        },
        sender_mac: Mac(source_hardware_addr.0),
        sender_ip: source_protocol_addr,
        target_mac: Mac(target_hardware_addr.0),
        target_ip: target_protocol_addr,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::Digest;
    use crate::packet::samples::{
        CLIENT, CLIENT_MAC, LINK, SERVER, SERVER_MAC, arp_reply, captured, digest, fault,
    };

    #[test]
    fn a_reply_is_read() {
        // A short frame is padded to 60 bytes.
        let mut frame = arp_reply();
        frame.resize(60, 0);
        let Digest { network: Network::Arp(arp), fault: None, .. } = digest(&frame) else {
            panic!("{:?}", digest(&frame));
        };
        assert_eq!(
            arp,
            Arp {
                operation: ArpOperation::Reply,
                sender_mac: Mac(SERVER_MAC),
                sender_ip: SERVER.into(),
                target_mac: Mac(CLIENT_MAC),
                target_ip: CLIENT.into(),
            }
        );
    }

    #[test]
    fn operations_keep_their_number() {
        for (number, operation) in [(1, ArpOperation::Request), (8, ArpOperation::Unknown(8))] {
            let mut frame = arp_reply();
            frame[LINK + 7] = number;
            assert!(matches!(digest(&frame).network, Network::Arp(arp) if arp.operation == operation));
        }
    }

    #[test]
    fn faults() {
        let with = |at: usize, byte| {
            let mut frame = arp_reply();
            frame[LINK + at] = byte;
            let digest = digest(&frame);
            assert!(matches!(digest.network, Network::Other));
            digest.fault
        };
        assert_eq!(with(1, 6), fault(Layer::Arp, FaultReason::BadField), "hardware type");
        assert_eq!(with(3, 1), fault(Layer::Arp, FaultReason::BadField), "protocol type");
        for length in [0, 5, 8, 255] {
            assert_eq!(with(4, length), fault(Layer::Arp, FaultReason::BadLength), "hardware length");
            assert_eq!(with(5, length), fault(Layer::Arp, FaultReason::BadLength), "protocol length");
        }
        assert_eq!(digest(&arp_reply()[..LINK + 27]).fault, fault(Layer::Arp, FaultReason::TooShort));
        assert_eq!(captured(&arp_reply(), LINK + 27).fault, fault(Layer::Arp, FaultReason::Cut));
    }
}
