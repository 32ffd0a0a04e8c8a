//! SSDP, the discovery of UPnP: searches to the multicast group and the answers to them.

use std::net::Ipv4Addr;

use smoltcp::iface::SocketHandle;
use smoltcp::socket::udp;
use smoltcp::wire::IpAddress;

use super::{App, Host, earliest};
use crate::time::{Span, Timestamp};

const PORT: u16 = 1900;
const GROUP: Ipv4Addr = Ipv4Addr::new(239, 255, 255, 250);

/// Searches of one occasion, and the time between them.
const REPEATS: u8 = 2;
const REPEAT_GAP: Span = Span::from_millis(250);

/// Time before an answer.
const ANSWER_DELAY: (Span, Span) = (Span::from_millis(30), Span::from_millis(900));

const SEARCH: &str = "M-SEARCH * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\nMAN: \"ssdp:discover\"\r\nMX: 1\r\n\
                      ST: urn:schemas-upnp-org:device:MediaServer:1\r\n\r\n";

/// A device that searches, or one that is found.
pub(crate) struct Discovery {
    searches: Option<(Span, Span)>,
    server: Option<&'static str>,
    sockets: Option<(SocketHandle, SocketHandle)>,
    search: Option<Timestamp>,
    left: u8,
    answers: Vec<(Timestamp, udp::UdpMetadata)>,
}

impl Discovery {
    /// A device that searches for media servers every so often.
    pub(crate) fn searching(every: (Span, Span)) -> Self {
        Self { searches: Some(every), ..Self::found(None) }
    }

    /// A device that answers searches under its software's name, if it has one.
    pub(crate) fn found(server: Option<&'static str>) -> Self {
        Self {
            searches: None,
            server,
            sockets: None,
            search: None,
            left: REPEATS,
            answers: Vec::with_capacity(8),
        }
    }

    fn answer(server: &str, ip: Ipv4Addr) -> String {
        format!(
            "HTTP/1.1 200 OK\r\nCACHE-CONTROL: max-age=1800\r\nEXT:\r\nLOCATION: http://{ip}:8200/root.xml\r\n\
             SERVER: {server}\r\nST: urn:schemas-upnp-org:device:MediaServer:1\r\n\
             USN: uuid:7d0c6a52-0000-4000-8000-{:012x}::urn:schemas-upnp-org:device:MediaServer:1\r\n\r\n",
            u32::from(ip)
        )
    }
}

impl App for Discovery {
    fn run(&mut self, host: &mut Host<'_>) -> Option<Timestamp> {
        let ip = host.address()?;
        let now = host.now;
        let (group, own) = match self.sockets {
            Some(sockets) => sockets,
            None => {
                if self.server.is_some() {
                    // Four groups fit, and this is the fourth.
                    let _ = host.interface.join_multicast_group(GROUP);
                }
                let port = host.chance.port();
                let opened = (host.open_udp(PORT), host.open_udp(port));
                self.search = self.searches.map(|every| now + host.chance.span(every));
                *self.sockets.insert(opened)
            }
        };
        let socket = host.sockets.get_mut::<udp::Socket<'static>>(group);
        while let Ok((message, from)) = socket.recv() {
            if self.server.is_some() && message.starts_with(b"M-SEARCH") && self.answers.len() < 8 {
                self.answers.push((now + host.chance.span(ANSWER_DELAY), from));
            }
        }
        self.answers.retain(|(at, to)| {
            let due = *at <= now;
            if due && let Some(server) = self.server {
                // The answer comes from the device's own address; a lost one is searched for again.
                let to = udp::UdpMetadata { local_address: None, ..*to };
                let _ = socket.send_slice(Self::answer(server, ip).as_bytes(), to);
            }
            !due
        });
        let socket = host.sockets.get_mut::<udp::Socket<'static>>(own);
        while socket.recv().is_ok() {}
        if let (Some(every), Some(at)) = (self.searches, self.search)
            && at <= now
        {
            let _ = socket.send_slice(SEARCH.as_bytes(), (IpAddress::Ipv4(GROUP), PORT));
            self.left -= 1;
            let next = if self.left > 0 { REPEAT_GAP } else { host.chance.span(every) };
            self.left = if self.left > 0 { self.left } else { REPEATS };
            self.search = Some(now + next);
        }
        earliest(self.search, self.answers.iter().map(|(at, _)| *at).min())
    }
}
