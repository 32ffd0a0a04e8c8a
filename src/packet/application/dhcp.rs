//! DHCPv4 (RFC 2131, options of RFC 2132) and the BOOTP that it grew from (RFC 951): who asks, who is given what.
//! Leases are not followed.

use smoltcp::wire::{ArpHardware, DhcpMessageType, DhcpOpCode, DhcpPacket};

use crate::bounded::Text;
use crate::packet::digest::{FaultReason, Mac};
use crate::packet::hint::{Dhcp, DhcpMessage, DhcpParameters};
use crate::packet::window::Window;

/// Fixed fields and magic cookie.
const HEADER: usize = 240;

const MAGIC_COOKIE: u32 = 0x6382_5363;

const OPTION_PAD: u8 = 0;
const OPTION_HOST_NAME: u8 = 12;
const OPTION_MESSAGE_TYPE: u8 = 53;
const OPTION_PARAMETERS: u8 = 55;
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
        parameters: DhcpParameters::default(),
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
        (OPTION_PARAMETERS, codes) => dhcp.parameters = DhcpParameters::new(codes),
        (OPTION_VENDOR_CLASS, class) => dhcp.vendor_class = Text::from_wire(until_nul(class)),
        _ => {}
    }
    Ok(())
}

/// Some clients end their texts as C does.
fn until_nul(text: &[u8]) -> &[u8] {
    text.split(|&octet| octet == 0).next().unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::samples::{CLIENT, CLIENT_MAC, captured, dhcp_request, digest, fault, udp4};
    use crate::packet::{Digest, Hint, Layer};

    fn message(digest: &Digest) -> Dhcp {
        match digest.hint {
            Hint::Dhcp(dhcp) => dhcp,
            ref other => panic!("no DHCP but {other:?}, {:?}", digest.fault),
        }
    }

    fn read(bytes: &[u8]) -> Dhcp {
        message(&digest(&udp4(68, 67, bytes)))
    }

    fn reason(bytes: &[u8]) -> FaultReason {
        let digest = digest(&udp4(68, 67, bytes));
        assert!(matches!(digest.hint, Hint::None));
        let found = digest.fault.unwrap();
        assert_eq!(found.layer, Layer::Dhcp);
        found.reason
    }

    /// A request with other options.
    fn with(options: &[u8]) -> Vec<u8> {
        [&dhcp_request()[..HEADER], options].concat()
    }

    #[test]
    fn a_request() {
        let dhcp = read(&dhcp_request());
        assert_eq!(dhcp.message, DhcpMessage::Request);
        assert_eq!(dhcp.client, Mac(CLIENT_MAC));
        assert_eq!(dhcp.address, Some(CLIENT.into()));
        assert_eq!(dhcp.host_name.as_str(), "kitchen-tv");
        assert_eq!(dhcp.vendor_class.as_str(), "android-dhcp-13");
    }

    #[test]
    fn the_given_address_goes_before_the_held_one() {
        let mut offer = dhcp_request();
        offer[16..20].copy_from_slice(&[192, 0, 2, 99]);
        assert_eq!(read(&offer).address, Some([192, 0, 2, 99].into()));
        offer[12..20].fill(0);
        assert_eq!(read(&offer).address, None);
    }

    #[test]
    fn message_types_keep_their_number() {
        for (number, expected) in [
            (1, DhcpMessage::Discover),
            (2, DhcpMessage::Offer),
            (3, DhcpMessage::Request),
            (4, DhcpMessage::Unknown(4)),
            (5, DhcpMessage::Ack),
            (250, DhcpMessage::Unknown(250)),
        ] {
            assert_eq!(read(&with(&[53, 1, number, 255])).message, expected);
        }
    }

    #[test]
    fn bootp_is_a_message_without_type() {
        let dhcp = read(&with(&[12, 3, b'p', b'l', b'c', 255]));
        assert_eq!((dhcp.message, dhcp.host_name.as_str()), (DhcpMessage::Unknown(0), "plc"));
        let mut bare = with(&[0; 60]);
        bare[236..240].fill(0);
        assert_eq!((read(&bare).message, read(&bare).client), (DhcpMessage::Unknown(0), Mac(CLIENT_MAC)));
    }

    #[test]
    fn the_order_of_what_is_asked_for_is_kept() {
        assert_eq!(read(&with(&[55, 4, 1, 15, 3, 6, 255])).parameters.codes(), [1, 15, 3, 6]);
        assert!(read(&dhcp_request()).parameters.codes().is_empty());
        let long = [&[55, 40][..], &(1..=40).collect::<Vec<u8>>()].concat();
        assert_eq!(read(&with(&long)).parameters.codes(), (1..=32).collect::<Vec<u8>>());
    }

    #[test]
    fn options_end_at_the_end_mark_or_the_end() {
        assert_eq!(read(&with(&[0, 0, 53, 1, 1, 0, 255, 12, 200])).message, DhcpMessage::Discover);
        assert_eq!(read(&with(&[53, 1, 1])).message, DhcpMessage::Discover);
        assert_eq!(read(&with(&[])).message, DhcpMessage::Unknown(0));
        assert_eq!(reason(&with(&[53])), FaultReason::TooShort);
        assert_eq!(reason(&with(&[53, 1])), FaultReason::TooShort);
        assert_eq!(reason(&with(&[12, 200, b'x'])), FaultReason::TooShort);
        assert_eq!(reason(&with(&[53, 2, 1, 1, 255])), FaultReason::BadLength);
    }

    #[test]
    fn a_client_on_another_link_has_no_ethernet_address() {
        let mut infiniband = dhcp_request();
        infiniband[1] = 32;
        assert!(read(&infiniband).client.is_zero());
        let mut odd = dhcp_request();
        odd[2] = 16;
        assert!(read(&odd).client.is_zero());
    }

    #[test]
    fn what_is_no_dhcp() {
        let mut other = dhcp_request();
        other[0] = 3;
        assert_eq!(reason(&other), FaultReason::BadField, "operation");
        let mut other = dhcp_request();
        other[236] = 1;
        assert_eq!(reason(&other), FaultReason::BadField, "magic cookie");
        assert_eq!(reason(&dhcp_request()[..HEADER - 1]), FaultReason::TooShort);
        let frame = udp4(68, 67, &dhcp_request());
        for length in [100, 290, frame.len() - 1] {
            assert_eq!(captured(&frame, length).fault, fault(Layer::Dhcp, FaultReason::Cut));
        }
    }
}
