//! DHCPv4 (RFC 2131, options of RFC 2132) and the BOOTP that it grew from (RFC 951): who asks, who is given what.
//! Leases are not followed.

use smoltcp::wire::{ArpHardware, DhcpMessageType, DhcpOpCode, DhcpPacket};

use super::digest::{Dhcp, DhcpMessage, FaultReason, Mac};
use super::window::Window;
use crate::bounded::Text;

/// Fixed fields and magic cookie.
const HEADER: usize = 240;

const MAGIC_COOKIE: u32 = 0x6382_5363;

const OPTION_PAD: u8 = 0;
const OPTION_HOST_NAME: u8 = 12;
const OPTION_MESSAGE_TYPE: u8 = 53;
const OPTION_VENDOR_CLASS: u8 = 60;
const OPTION_END: u8 = 255;

/// Reads a message. Options beyond those of [`Dhcp`] are passed over, also where option 52 puts more of them into the
/// fixed fields.
pub(super) fn read(window: Window<'_>) -> Result<Dhcp, FaultReason> {
    let packet = DhcpPacket::new_checked(window.bytes).map_err(|_| window.shortage(HEADER))?;
    if let DhcpOpCode::Unknown(_) = packet.opcode() {
        return Err(FaultReason::BadField);
    }
    let ethernet = packet.hardware_type() == ArpHardware::Ethernet && packet.hardware_len() == 6;
    let mut dhcp = Dhcp {
        message: DhcpMessage::Unknown(0),
        client: if ethernet { Mac(packet.client_hardware_address().0) } else { Mac::default() },
        address: [packet.your_ip(), packet.client_ip()].into_iter().find(|ip| !ip.is_unspecified()),
        host_name: Text::EMPTY,
        vendor_class: Text::EMPTY,
    };
    match packet.magic_number() {
        MAGIC_COOKIE => options(window.after(HEADER), &mut dhcp)?,
        // BOOTP without vendor information.
        0 => {}
        _ => return Err(FaultReason::BadField),
    }
    Ok(dhcp)
}

/// Not with smoltcp's iterator, which ends in silence at an option that runs over the end.
fn options(mut window: Window<'_>, dhcp: &mut Dhcp) -> Result<(), FaultReason> {
    // Each turn takes at least one byte.
    loop {
        match *window.bytes {
            [] if window.length() > 0 => return Err(window.shortage(1)),
            [] | [OPTION_END, ..] => return Ok(()),
            [OPTION_PAD, ..] => window = window.after(1),
            [_] => return Err(window.shortage(2)),
            [code, length, ref rest @ ..] => {
                let length = usize::from(length);
                let data = rest.get(..length).ok_or_else(|| window.shortage(2 + length))?;
                option(code, data, dhcp)?;
                window = window.after(2 + length);
            }
        }
    }
}

fn option(code: u8, data: &[u8], dhcp: &mut Dhcp) -> Result<(), FaultReason> {
    match (code, data) {
        (OPTION_MESSAGE_TYPE, &[kind]) => {
            dhcp.message = match DhcpMessageType::from(kind) {
                DhcpMessageType::Discover => DhcpMessage::Discover,
                DhcpMessageType::Offer => DhcpMessage::Offer,
                DhcpMessageType::Request => DhcpMessage::Request,
                DhcpMessageType::Ack => DhcpMessage::Ack,
                _ => DhcpMessage::Unknown(kind),
            };
        }
        (OPTION_MESSAGE_TYPE, _) => return Err(FaultReason::BadLength),
        (OPTION_HOST_NAME, name) => dhcp.host_name = Text::from_wire(until_nul(name)),
        (OPTION_VENDOR_CLASS, class) => dhcp.vendor_class = Text::from_wire(until_nul(class)),
        _ => {}
    }
    Ok(())
}

/// Some clients end their texts as C does.
fn until_nul(text: &[u8]) -> &[u8] {
    text.split(|&octet| octet == 0).next().unwrap_or(text)
}
