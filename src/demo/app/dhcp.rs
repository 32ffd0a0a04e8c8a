//! A DHCP server (RFC 2131) with reservations and a small pool for strangers.

use std::net::Ipv4Addr;

use smoltcp::iface::SocketHandle;
use smoltcp::socket::udp;
use smoltcp::wire::{
    DHCP_CLIENT_PORT, DHCP_SERVER_PORT, DhcpMessageType, DhcpPacket, DhcpRepr, EthernetAddress,
};

use super::{App, Host};
use crate::demo::frames::{self, Claim};
use crate::time::Timestamp;

/// Length of a lease in seconds: an hour, so that renewals are part of what is normal.
const LEASE: u32 = 3600;

/// Addresses for stations without a reservation; the one given longest ago goes to the next.
const POOL: u8 = 32;

/// A DHCP server.
pub(crate) struct DhcpServer {
    own: Ipv4Addr,
    mask: Ipv4Addr,
    pool: Ipv4Addr,
    leases: Vec<(EthernetAddress, Ipv4Addr)>,
    strangers: u8,
    socket: Option<SocketHandle>,
}

impl DhcpServer {
    /// A server at `own` that gives the reserved addresses, and those from `pool` on to others.
    pub(crate) fn new(
        own: Ipv4Addr,
        mask: Ipv4Addr,
        pool: Ipv4Addr,
        reserved: Vec<(EthernetAddress, Ipv4Addr)>,
    ) -> Self {
        Self { own, mask, pool, leases: reserved, strangers: 0, socket: None }
    }

    fn lease(&mut self, client: EthernetAddress) -> Ipv4Addr {
        if let Some((_, ip)) = self.leases.iter().find(|(mac, _)| *mac == client) {
            return *ip;
        }
        let [a, b, c, d] = self.pool.octets();
        let ip = Ipv4Addr::new(a, b, c, d.saturating_add(self.strangers));
        self.strangers = (self.strangers + 1) % POOL;
        self.leases.retain(|(_, taken)| *taken != ip);
        self.leases.push((client, ip));
        ip
    }

    fn answer(&mut self, request: &[u8]) -> Option<(EthernetAddress, Ipv4Addr, Vec<u8>)> {
        let packet = DhcpPacket::new_checked(request).ok()?;
        let asked = DhcpRepr::parse(&packet).ok()?;
        let message_type = match asked.message_type {
            DhcpMessageType::Discover => DhcpMessageType::Offer,
            DhcpMessageType::Request => DhcpMessageType::Ack,
            _ => return None,
        };
        let client = asked.client_hardware_address;
        let ip = self.lease(client);
        let reply = DhcpRepr {
            message_type,
            your_ip: ip,
            router: Some(self.own),
            subnet_mask: Some(self.mask),
            server_identifier: Some(self.own),
            dns_servers: [self.own].as_slice().try_into().ok(),
            lease_duration: Some(LEASE),
            requested_ip: None,
            client_identifier: None,
            parameter_request_list: None,
            max_size: None,
            ..asked
        };
        let mut bytes = vec![0; reply.buffer_len()];
        reply.emit(&mut DhcpPacket::new_unchecked(&mut bytes[..])).ok()?;
        Some((client, ip, bytes))
    }
}

impl App for DhcpServer {
    fn run(&mut self, host: &mut Host<'_>) -> Option<Timestamp> {
        let handle = *self.socket.get_or_insert_with(|| host.open_udp(DHCP_SERVER_PORT));
        loop {
            let socket = host.sockets.get_mut::<udp::Socket<'static>>(handle);
            let Ok((request, _)) = socket.recv() else { return None };
            if let Some((mac, ip, reply)) = self.answer(request) {
                // The client cannot answer ARP before it has the address, so the frame is made by hand.
                let from = (Claim { mac: host.mac, ip: self.own }, DHCP_SERVER_PORT);
                host.port.push_leaving(frames::udp(from, (Claim { mac, ip }, DHCP_CLIENT_PORT), &reply));
            }
        }
    }
}
