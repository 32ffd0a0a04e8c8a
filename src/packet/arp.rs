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
