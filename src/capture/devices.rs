//! [`Devices`]: whose packets are wanted. What is read of a packet is `packet`'s.

use std::net::IpAddr;

use crate::packet::{Frame, Mac, Network, dissect};

/// Some stations and addresses; as many as its owner puts in, which are few.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Devices {
    macs: Vec<Mac>,
    ips: Vec<IpAddr>,
}

impl Devices {
    /// Adds a station. One that is none, or a group, says nothing of whose a packet is.
    pub fn add_mac(&mut self, mac: Mac) {
        if !mac.is_zero() && !mac.is_group() {
            self.macs.push(mac);
        }
    }

    /// Adds an address, unless it is of no one device.
    pub fn add_ip(&mut self, ip: IpAddr) {
        let broadcast = matches!(ip, IpAddr::V4(ip) if ip.is_broadcast());
        if !ip.is_unspecified() && !ip.is_multicast() && !broadcast {
            self.ips.push(ip);
        }
    }

    /// Whether there is nobody.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.macs.is_empty() && self.ips.is_empty()
    }

    /// Whether a packet is from, to or about one of them. Inside a tunnel, the innermost addresses and the outer ends
    /// count.
    #[must_use]
    pub fn are_in(&self, frame: &Frame<'_>) -> bool {
        let digest = dissect(frame);
        let mac = |mac: &Mac| self.macs.contains(mac);
        let ip = |ip: IpAddr| self.ips.contains(&ip);
        let inside = match &digest.network {
            Network::Arp(arp) => {
                mac(&arp.sender_mac)
                    || mac(&arp.target_mac)
                    || ip(arp.sender_ip.into())
                    || ip(arp.target_ip.into())
            }
            Network::Ip(packet) => ip(packet.source) || ip(packet.destination),
            Network::Other => false,
        };
        let ends = digest.tunnel.and_then(|tunnel| tunnel.ends);
        inside || mac(&digest.source) || mac(&digest.destination) || ends.is_some_and(|(a, b)| ip(a) || ip(b))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::Link;
    use crate::time::Timestamp;

    const SENDER: [u8; 6] = [2, 0, 0, 0, 0, 1];

    fn is_in(devices: &Devices, bytes: &[u8]) -> bool {
        devices.are_in(&Frame { time: Timestamp::EPOCH, link: Link::Ethernet, wire_len: 60, bytes })
    }

    fn of_ip(ip: [u8; 4]) -> Devices {
        let mut devices = Devices::default();
        devices.add_ip(ip.into());
        devices
    }

    #[test]
    fn a_device_is_found_by_station_and_by_address_and_in_what_is_asked() {
        let arp = [
            &[0xff; 6][..],
            &SENDER,
            &[8, 6, 0, 1, 8, 0, 6, 4, 0, 1],
            &SENDER,
            &[192, 0, 2, 1],
            &[0; 6],
            &[192, 0, 2, 2],
        ]
        .concat();
        let mut of_mac = Devices::default();
        of_mac.add_mac(Mac(SENDER));
        assert!(is_in(&of_mac, &arp));
        assert!(is_in(&of_ip([192, 0, 2, 1]), &arp) && is_in(&of_ip([192, 0, 2, 2]), &arp));
        assert!(!is_in(&of_ip([192, 0, 2, 3]), &arp));
        assert!(!is_in(&of_mac, b"short"));
    }

    #[test]
    fn nobody_is_everybody() {
        let mut devices = Devices::default();
        devices.add_mac(Mac([0; 6]));
        devices.add_mac(Mac::BROADCAST);
        for ip in ["0.0.0.0", "255.255.255.255", "224.0.0.251", "::", "ff02::fb"] {
            devices.add_ip(ip.parse().unwrap());
        }
        assert!(devices.is_empty());
    }
}
