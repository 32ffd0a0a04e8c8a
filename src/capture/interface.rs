//! The interfaces of this machine, and the choice of one to listen on. Opening it is `live`'s.

use std::cmp::Reverse;
use std::net::IpAddr;
use std::path::Path;
use std::{fs, io};

use crate::capture::CaptureError;
use crate::packet::Mac;

/// Where the kernel tells about its interfaces.
const CLASS: &str = "/sys/class/net";

/// A network interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Its name, such as `eth0`.
    pub name: String,
    /// What libpcap knows to say about it.
    pub description: Option<String>,
    /// Its addresses, link-local ones included.
    pub addresses: Vec<IpAddr>,
    /// Whether it is up, and whether something is connected.
    pub state: LinkState,
    /// What it is made of.
    pub medium: Medium,
    /// Packets received since boot; none where the kernel does not tell.
    pub received: Option<u64>,
}

/// Whether an interface can deliver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LinkState {
    /// Switched off.
    Down,
    /// Switched on, but without a carrier.
    Up,
    /// Switched on and connected.
    Running,
}

/// What an interface is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Medium {
    /// Hardware with a cable.
    Wired,
    /// Hardware without.
    Wireless,
    /// Made by software: bridges, tunnels, containers.
    Virtual,
    /// This machine talking to itself.
    Loopback,
}

impl Interface {
    /// Whether it has an address other than the link-local one that every interface gives itself.
    #[must_use]
    pub fn has_address(&self) -> bool {
        self.addresses.iter().any(|address| match address {
            IpAddr::V4(v4) => !v4.is_link_local(),
            IpAddr::V6(v6) => !v6.is_unicast_link_local(),
        })
    }

    /// Mirror ports carry traffic and need no address.
    fn looks_mirrored(&self) -> bool {
        !self.has_address() && self.received.is_some_and(|packets| packets > 0)
    }

    fn is_hardware(&self) -> bool {
        matches!(self.medium, Medium::Wired | Medium::Wireless)
    }
}

/// The network interfaces of this machine, by name. Needs no permission.
///
/// # Errors
/// [`CaptureError::ListInterfaces`] when the system does not tell them.
pub fn interfaces() -> Result<Vec<Interface>, CaptureError> {
    let devices = pcap::Device::list().map_err(CaptureError::ListInterfaces)?;
    let class = Path::new(CLASS);
    let mut found: Vec<Interface> =
        devices.into_iter().filter_map(|device| describe(device, class)).collect();
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

/// Whether an interface is switched off; not where the kernel does not tell. Cheaper than [`interfaces`].
pub(super) fn is_down(name: &str) -> bool {
    let flags = fs::read_to_string(Path::new(CLASS).join(name).join("flags")).ok();
    let flags = flags.and_then(|text| u32::from_str_radix(text.trim().trim_start_matches("0x"), 16).ok());
    // The lowest bit is IFF_UP of netdevice(7).
    flags.is_some_and(|flags| flags & 1 == 0)
}

/// The most bytes of a packet that an interface takes in one frame; none where the kernel does not tell.
#[must_use]
pub fn mtu(name: &str) -> Option<u32> {
    fs::read_to_string(Path::new(CLASS).join(name).join("mtu")).ok()?.trim().parse().ok()
}

/// This machine's stations, that of the interface `first` before the others, each once.
#[must_use]
pub fn stations(first: &str) -> Vec<Mac> {
    let listed = fs::read_dir(CLASS).into_iter().flatten().flatten();
    let mut names: Vec<_> = listed.map(|entry| entry.file_name()).collect();
    names.sort_by_key(|name| (name.as_os_str() != first, name.clone()));
    let mut found: Vec<Mac> = Vec::new();
    for name in names {
        let text = fs::read_to_string(Path::new(CLASS).join(name).join("address")).unwrap_or_default();
        let station = text.trim().parse().ok().filter(|mac: &Mac| !mac.is_zero());
        found.extend(station.filter(|mac| !found.contains(mac)));
    }
    found
}

/// An interface as `choose` wants it; none for what libpcap lists beside network interfaces (`any`, USB buses,
/// netfilter queues).
fn describe(device: pcap::Device, class: &Path) -> Option<Interface> {
    let folder = class.join(&device.name);
    if device.name == "any" || class.exists() && !folder.exists() {
        return None;
    }
    let medium = if device.flags.is_loopback() {
        Medium::Loopback
    } else if device.flags.is_wireless() || folder.join("wireless").exists() {
        Medium::Wireless
    } else if folder.join("device").exists() {
        Medium::Wired
    } else {
        Medium::Virtual
    };
    let state = match (device.flags.is_up(), device.flags.is_running()) {
        (false, _) => LinkState::Down,
        (true, false) => LinkState::Up,
        (true, true) => LinkState::Running,
    };
    Some(Interface {
        description: device.desc,
        addresses: device.addresses.into_iter().map(|address| address.addr).collect(),
        state,
        medium,
        received: read_count(&folder.join("statistics/rx_packets")).ok(),
        name: device.name,
    })
}

fn read_count(path: &Path) -> io::Result<u64> {
    fs::read_to_string(path)?.trim().parse().map_err(|_| io::ErrorKind::InvalidData.into())
}

/// The interface to listen on when none is named, and one sentence that says why; none when only loopback is up.
///
/// Hardware comes before virtual interfaces, a carrier before none, a mirror port (traffic but no address) before
/// others, then the number of packets received; the first by name among equals.
#[must_use]
pub fn choose(interfaces: &[Interface]) -> Option<(&Interface, String)> {
    let fit: Vec<&Interface> =
        interfaces.iter().filter(|i| i.state != LinkState::Down && i.medium != Medium::Loopback).collect();
    let best = *fit.iter().min_by_key(|i| {
        (
            Reverse(i.is_hardware()),
            Reverse(i.state),
            Reverse(i.looks_mirrored()),
            Reverse(i.received.unwrap_or(0)),
            &i.name,
        )
    })?;
    let name = &best.name;
    let why = if fit.len() == 1 {
        format!("{name} is the only interface that is up")
    } else if best.looks_mirrored() {
        format!("{name} carries traffic and has no address, as a mirror port does")
    } else {
        let packets = best.received.unwrap_or(0);
        format!("{name} received the most of the interfaces that are up: {packets} packets")
    };
    Some((best, why))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interface(name: &str, state: LinkState, medium: Medium) -> Interface {
        Interface {
            name: name.to_owned(),
            description: None,
            addresses: Vec::new(),
            state,
            medium,
            received: Some(0),
        }
    }

    /// An interface that is running, with an address and packets received.
    fn host(name: &str, address: &str, received: u64) -> Interface {
        let addresses = vec![address.parse().unwrap(), "fe80::1".parse().unwrap()];
        Interface {
            addresses,
            received: Some(received),
            ..interface(name, LinkState::Running, Medium::Wired)
        }
    }

    /// An interface that is running without an address of its own.
    fn mirror(name: &str, received: u64) -> Interface {
        let addresses = vec!["fe80::2".parse().unwrap(), "169.254.7.7".parse().unwrap()];
        Interface {
            addresses,
            received: Some(received),
            ..interface(name, LinkState::Running, Medium::Wired)
        }
    }

    fn chosen(interfaces: &[Interface]) -> Option<(String, String)> {
        choose(interfaces).map(|(interface, why)| (interface.name.clone(), why))
    }

    #[track_caller]
    fn check(interfaces: &[Interface], name: &str, why: &str) {
        assert_eq!(chosen(interfaces), Some((name.to_owned(), why.to_owned())));
        let mut backwards = interfaces.to_vec();
        backwards.reverse();
        assert_eq!(chosen(&backwards), chosen(interfaces), "the order of the list decides nothing");
    }

    #[test]
    fn a_mirror_port_is_preferred() {
        check(
            &[host("eth0", "192.0.2.1", 900_000), mirror("eth1", 5)],
            "eth1",
            "eth1 carries traffic and has no address, as a mirror port does",
        );
        check(
            &[mirror("eth1", 5), mirror("eth2", 6)],
            "eth2",
            "eth2 carries traffic and has no address, as a mirror port does",
        );
    }

    #[test]
    fn else_the_one_that_received_most() {
        check(
            &[host("eth0", "192.0.2.1", 7), host("wlan0", "192.0.2.2", 8), mirror("eth1", 0)],
            "wlan0",
            "wlan0 received the most of the interfaces that are up: 8 packets",
        );
        check(
            &[host("eth0", "2001:db8::1", 7), host("eth1", "192.0.2.2", 7)],
            "eth0",
            "eth0 received the most of the interfaces that are up: 7 packets",
        );
    }

    #[test]
    fn what_cannot_deliver_comes_last() {
        let unplugged = Interface { state: LinkState::Up, ..mirror("eth1", 5) };
        let bridge = Interface { medium: Medium::Virtual, ..mirror("veth0", 99) };
        check(
            &[host("eth0", "192.0.2.1", 1), unplugged.clone(), bridge.clone()],
            "eth0",
            "eth0 received the most of the interfaces that are up: 1 packets",
        );
        check(&[unplugged, bridge], "eth1", "eth1 carries traffic and has no address, as a mirror port does");
    }

    #[test]
    fn loopback_and_what_is_down_are_never_chosen() {
        let lo = Interface { medium: Medium::Loopback, ..host("lo", "127.0.0.1", 999) };
        let down = Interface { state: LinkState::Down, ..mirror("eth1", 999) };
        assert_eq!(chosen(&[lo.clone(), down.clone()]), None);
        assert_eq!(chosen(&[]), None);
        check(&[lo, down, host("eth0", "192.0.2.1", 0)], "eth0", "eth0 is the only interface that is up");
    }

    #[test]
    fn the_interfaces_are_listed_by_name_once() {
        let names: Vec<String> = interfaces().unwrap().into_iter().map(|i| i.name).collect();
        assert!(names.is_sorted_by(|a, b| a < b), "{names:?}");
        assert!(!names.iter().any(|name| name == "any"));
        assert!(!is_down("nosuch9"));
    }
}
