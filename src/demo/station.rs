//! One station of the generated network: a card, a smoltcp stack with its sockets, a DHCP lease and its programs.
//! What lies between stations is `network`'s; what the programs are is `site`'s.

use std::net::Ipv4Addr;

use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::socket::dhcpv4;
use smoltcp::time::Instant;
use smoltcp::wire::{
    ArpOperation, DhcpOption, EthernetAddress, HardwareAddress, IpAddress, IpCidr, Ipv6Address, Ipv6Cidr,
};

use super::app::{App, Host, earliest};
use super::boundary::Boundary;
use super::chance::Chance;
use super::frames::{self, Claim};
use super::port::Port;
use crate::time::{Span, Timestamp};

/// What distinguishes a station.
pub(crate) struct Identity {
    /// Its Ethernet address.
    pub(crate) mac: EthernetAddress,
    /// Options 12 and 60 of its DHCP messages.
    pub(crate) dhcp: &'static [DhcpOption<'static>],
}

/// A station.
pub(crate) struct Station {
    mac: EthernetAddress,
    epoch: Timestamp,
    chance: Chance,
    interface: Interface,
    sockets: SocketSet<'static>,
    port: Port,
    apps: Vec<Box<dyn App>>,
    lease: Option<SocketHandle>,
    announce: Option<(Timestamp, u8)>,
    boundary: Option<Boundary>,
    relay: Option<EthernetAddress>,
    on: bool,
    wake: Option<Timestamp>,
}

/// Gratuitous ARP after a lease: this many, this far apart (RFC 5227, section 2.3).
const ANNOUNCEMENTS: u8 = 2;
const ANNOUNCEMENT_GAP: Span = Span::from_secs(2);

/// How soon a stack that wants to run "now" runs again.
const AGAIN: Span = Span::from_millis(1);

impl Station {
    /// A station that is switched on at `boot` and asks for an address by DHCP.
    pub(crate) fn new(identity: &Identity, mut chance: Chance, epoch: Timestamp, boot: Timestamp) -> Self {
        let mut port = Port::new();
        let mut config = Config::new(HardwareAddress::Ethernet(identity.mac));
        config.random_seed = chance.seed();
        let mut interface = Interface::new(config, &mut port, Instant::ZERO);
        interface.update_ip_addrs(|addresses| {
            // Two addresses fit, and this is the first.
            let _ = addresses.push(IpCidr::Ipv6(Ipv6Cidr::new(link_local(identity.mac), 64)));
        });
        let mut dhcp = dhcpv4::Socket::new();
        dhcp.set_outgoing_options(identity.dhcp);
        let mut sockets = SocketSet::new(Vec::new());
        let lease = Some(sockets.add(dhcp));
        Self {
            mac: identity.mac,
            epoch,
            chance,
            interface,
            sockets,
            port,
            apps: Vec::new(),
            lease,
            announce: None,
            boundary: None,
            relay: None,
            on: false,
            wake: Some(boot),
        }
    }

    /// The router: it has a fixed address and answers for every address outside of the site.
    pub(crate) fn router(
        mac: EthernetAddress,
        cidr: IpCidr,
        mut chance: Chance,
        epoch: Timestamp,
        boundary: Boundary,
    ) -> Self {
        let mut port = Port::new();
        let mut config = Config::new(HardwareAddress::Ethernet(mac));
        config.random_seed = chance.seed();
        let mut interface = Interface::new(config, &mut port, Instant::ZERO);
        interface.update_ip_addrs(|addresses| {
            let _ = addresses.push(cidr);
        });
        interface.set_any_ip(true);
        Self {
            mac,
            epoch,
            chance,
            interface,
            sockets: SocketSet::new(Vec::new()),
            port,
            apps: Vec::new(),
            lease: None,
            announce: None,
            boundary: Some(boundary),
            relay: None,
            on: false,
            wake: Some(epoch),
        }
    }

    /// Gives it a program.
    pub(crate) fn install(&mut self, app: impl App + 'static) {
        self.apps.push(Box::new(app));
    }

    pub(crate) fn mac(&self) -> EthernetAddress {
        self.mac
    }

    /// Its IPv4 address, once it has a lease.
    pub(crate) fn address(&self) -> Option<Ipv4Addr> {
        self.interface.ipv4_addr()
    }

    /// When it must run next even if nothing arrives.
    pub(crate) fn wake(&self) -> Option<Timestamp> {
        self.wake
    }

    /// Whether it is switched on and a frame to this Ethernet address is for it.
    pub(crate) fn hears(&self, target: EthernetAddress) -> bool {
        self.on && (target == self.mac || target.is_multicast() || target.is_broadcast())
    }

    /// From now on passes on to `next` what reaches its card but is meant for another address; or stops doing so.
    pub(crate) fn set_relay(&mut self, next: Option<EthernetAddress>) {
        self.relay = next;
    }

    /// Sends a frame past the stack.
    pub(crate) fn inject(&mut self, frame: Vec<u8>) {
        self.port.push_leaving(frame);
    }

    /// A frame from the network.
    pub(crate) fn handle_frame(&mut self, mut frame: Vec<u8>) {
        if let Some(next) = self.relay
            && let Some((_, target)) = frames::ipv4_ends(&frame)
            && frame.get(..6) == Some(self.mac.as_bytes())
            && Some(target) != self.address()
        {
            frames::readdress(&mut frame, self.mac, next);
            frames::age(&mut frame, 1);
            self.port.push_leaving(frame);
        } else if self.boundary.as_ref().is_none_or(|boundary| boundary.admits(&frame)) {
            self.port.push_arrived(frame);
        }
    }

    /// Lets stack and programs work on what arrived and what is due.
    pub(crate) fn run(&mut self, now: Timestamp) {
        self.on = true;
        let instant = self.instant(now);
        self.interface.poll(instant, &mut self.port, &mut self.sockets);
        let mut next = self.follow_lease(now);
        for app in &mut self.apps {
            let mut host = Host {
                now,
                mac: self.mac,
                interface: &mut self.interface,
                sockets: &mut self.sockets,
                chance: &mut self.chance,
                port: &mut self.port,
            };
            next = earliest(next, app.run(&mut host));
        }
        self.interface.poll(instant, &mut self.port, &mut self.sockets);
        let stack = self.interface.poll_at(instant, &self.sockets).map(|at| self.timestamp(at));
        self.wake = earliest(next, stack).map(|at| if at > now { at } else { now + AGAIN });
    }

    /// The next frame that leaves it, and when that has reached the mirror: after what left before it.
    pub(crate) fn poll_leaving(&mut self, now: Timestamp, line: &mut Line) -> Option<(Timestamp, Vec<u8>)> {
        let mut frame = self.port.pop_leaving()?;
        let far = self.boundary.as_mut().and_then(|boundary| boundary.leave(&mut frame, now));
        frames::pad(&mut frame);
        let at = match far {
            Some(at) => at,
            None => line.reserve(now + self.chance.span(PROCESSING), frame.len()),
        };
        Some((at, frame))
    }

    fn follow_lease(&mut self, now: Timestamp) -> Option<Timestamp> {
        if let Some(handle) = self.lease {
            match self.sockets.get_mut::<dhcpv4::Socket<'static>>(handle).poll() {
                Some(dhcpv4::Event::Configured(lease)) => {
                    let (address, router) = (lease.address, lease.router);
                    self.interface.update_ip_addrs(|addresses| {
                        addresses.retain(|a| matches!(a, IpCidr::Ipv6(_)));
                        let _ = addresses.push(IpCidr::Ipv4(address));
                    });
                    if let Some(router) = router {
                        // One route is kept, and two fit.
                        let _ = self.interface.routes_mut().add_default_ipv4_route(router);
                    }
                    self.announce = Some((now, ANNOUNCEMENTS));
                }
                Some(dhcpv4::Event::Deconfigured) => self
                    .interface
                    .update_ip_addrs(|addresses| addresses.retain(|a| matches!(a, IpCidr::Ipv6(_)))),
                None => {}
            }
        }
        let (due, left) = self.announce?;
        if now < due {
            return Some(due);
        }
        if let Some(ip) = self.address() {
            let (own, nobody) = (Claim { mac: self.mac, ip }, Claim { mac: EthernetAddress([0; 6]), ip });
            let stations = (self.mac, EthernetAddress::BROADCAST);
            self.port.push_leaving(frames::arp(ArpOperation::Request, stations, own, nobody));
        }
        self.announce = (left > 1).then(|| (now + ANNOUNCEMENT_GAP, left - 1));
        self.announce.map(|(due, _)| due)
    }

    fn instant(&self, now: Timestamp) -> Instant {
        Instant::from_micros(i64::try_from(now.since(self.epoch).as_nanos() / 1000).unwrap_or(i64::MAX))
    }

    fn timestamp(&self, instant: Instant) -> Timestamp {
        let micros = u64::try_from(instant.total_micros()).unwrap_or(0);
        self.epoch + Span::from_nanos(micros.saturating_mul(1000))
    }
}

/// Time from the stack's decision to the first bit on the wire.
const PROCESSING: (Span, Span) = (Span::from_nanos(20_000), Span::from_nanos(90_000));

/// 100 Mbit/s.
const NANOS_PER_BYTE: u64 = 80;

/// A cable to the switch: one frame after the other.
#[derive(Clone, Copy)]
pub(crate) struct Line {
    free: Timestamp,
}

impl Line {
    pub(crate) fn new(epoch: Timestamp) -> Self {
        Self { free: epoch }
    }

    /// When a frame of `bytes` that is ready at `ready` has passed.
    pub(crate) fn reserve(&mut self, ready: Timestamp, bytes: usize) -> Timestamp {
        let length = u64::try_from(bytes).unwrap_or(u64::MAX).saturating_mul(NANOS_PER_BYTE);
        self.free = self.free.max(ready) + Span::from_nanos(length);
        self.free
    }
}

/// The link-local address that RFC 4291 (appendix A) makes of an Ethernet address.
pub(crate) fn link_local(mac: EthernetAddress) -> Ipv6Address {
    let [a, b, c, d, e, f] = mac.0;
    Ipv6Address::from([0xfe, 0x80, 0, 0, 0, 0, 0, 0, a ^ 2, b, c, 0xff, 0xfe, d, e, f])
}

/// The same as an address of either version.
pub(crate) fn link_local_address(mac: EthernetAddress) -> IpAddress {
    IpAddress::Ipv6(link_local(mac))
}
