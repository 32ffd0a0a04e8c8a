//! The site: who is there, at which address, and what each device does all day. No device's code is here.

use std::net::Ipv4Addr;

use smoltcp::wire::{DhcpOption, EthernetAddress, IpAddress, IpCidr, Ipv4Cidr};

use super::app::{
    Caller, DhcpServer, Discovery, Habit, Mdns, NtpClient, NtpServer, Ping, Resolver, Service, Target, Visit,
};
use super::boundary::{Boundary, Outside};
use super::chance::Chance;
use super::frames::Claim;
use super::protocol::{
    Broker, Controller, Dialogue, Exchange, Fetch, Poll, Print, Sink, Telemetry, Tls, TlsServer, WebServer,
};
use super::station::{Identity, Station, link_local_address};
use crate::time::{Span, Timestamp};

/// The router's address on the site's network, 192.168.50.0/24.
pub(crate) const ROUTER_IP: Ipv4Addr = Ipv4Addr::new(192, 168, 50, 1);

const MASK: Ipv4Addr = Ipv4Addr::new(255, 255, 255, 0);
const POOL: Ipv4Addr = Ipv4Addr::new(192, 168, 50, 200);
const NTP_SERVER: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 123);

const OUTSIDE: &[Outside] = &[
    outside("www.example", [203, 0, 113, 10], 18, 9),
    outside("news.example", [203, 0, 113, 22], 24, 11),
    outside("images.news.example", [203, 0, 113, 23], 25, 11),
    outside("fonts.example", [203, 0, 113, 40], 11, 7),
    outside("static.example", [203, 0, 113, 41], 11, 7),
    outside("mail.example", [203, 0, 113, 77], 32, 13),
    outside("search.example", [198, 51, 100, 4], 9, 6),
    outside("maps.example", [198, 51, 100, 18], 14, 8),
    outside("shop.example", [198, 51, 100, 31], 46, 15),
    outside("metrics.example", [198, 51, 100, 60], 21, 10),
    outside("ads.example", [198, 51, 100, 61], 21, 10),
    outside("push.example", [198, 51, 100, 90], 28, 12),
    outside("time.example", [198, 51, 100, 123], 12, 8),
    outside("cdn.video.example", [192, 0, 2, 20], 8, 5),
    outside("api.video.example", [192, 0, 2, 21], 35, 14),
    outside("cloud.thermostat.example", [192, 0, 2, 88], 52, 16),
    outside("updates.nas.example", [192, 0, 2, 140], 90, 18),
    outside("check.example", [192, 0, 2, 200], 16, 9),
];

const fn outside(name: &'static str, ip: [u8; 4], round_trip: u8, hops: u8) -> Outside {
    Outside { name, ip, round_trip, hops }
}

/// The devices that are there from the start, in the order of the network's stations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Member {
    Router,
    Workstation,
    Phone,
    Television,
    Camera,
    Nas,
    Thermostat,
    Printer,
    Controller,
    Panel,
}

impl Member {
    pub(crate) const ALL: [Self; 10] = [
        Self::Router,
        Self::Workstation,
        Self::Phone,
        Self::Television,
        Self::Camera,
        Self::Nas,
        Self::Thermostat,
        Self::Printer,
        Self::Controller,
        Self::Panel,
    ];

    /// Its place among the stations.
    pub(crate) const fn place(self) -> usize {
        self as usize
    }

    /// Its address on the link, of the range for documentation (RFC 9542).
    pub(crate) const fn mac(self) -> EthernetAddress {
        EthernetAddress([0x00, 0x00, 0x5e, 0x00, 0x53, self.last_octet()])
    }

    /// The address that the router reserves for it.
    pub(crate) const fn ip(self) -> Ipv4Addr {
        let [a, b, c, _] = ROUTER_IP.octets();
        Ipv4Addr::new(a, b, c, self.last_octet())
    }

    pub(crate) const fn claim(self) -> Claim {
        Claim { mac: self.mac(), ip: self.ip() }
    }

    const fn last_octet(self) -> u8 {
        match self {
            Self::Router => 1,
            Self::Workstation => 20,
            Self::Phone => 21,
            Self::Television => 30,
            Self::Camera => 31,
            Self::Nas => 10,
            Self::Thermostat => 40,
            Self::Printer => 12,
            Self::Controller => 60,
            Self::Panel => 61,
        }
    }

    /// Host name and vendor class of its DHCP messages; the router has none.
    const fn dhcp(self) -> &'static [DhcpOption<'static>] {
        match self {
            Self::Router => &[],
            Self::Workstation => const { &[named(b"office-pc"), vendor(b"MSFT 5.0")] },
            Self::Phone => const { &[named(b"phone"), vendor(b"android-dhcp-14")] },
            Self::Television => const { &[named(b"living-room-tv"), vendor(b"tv-os 7")] },
            Self::Camera => const { &[named(b"front-door-camera"), vendor(b"udhcp 1.36.1")] },
            Self::Nas => const { &[named(b"nas"), vendor(b"dhcpcd-9.4.1:Linux-6.1")] },
            Self::Thermostat => const { &[named(b"thermostat"), vendor(b"sensor-node")] },
            Self::Printer => const { &[named(b"printer"), vendor(b"print-server")] },
            Self::Controller => const { &[named(b"plc-1"), vendor(b"plc")] },
            Self::Panel => const { &[named(b"hmi-1"), vendor(b"operator-panel")] },
        }
    }
}

/// DHCP option 12.
pub(crate) const fn named(data: &'static [u8]) -> DhcpOption<'static> {
    DhcpOption { kind: 12, data }
}

/// DHCP option 60.
pub(crate) const fn vendor(data: &'static [u8]) -> DhcpOption<'static> {
    DhcpOption { kind: 60, data }
}

/// All members, switched on within the first seconds.
pub(crate) fn build(seed: u64, epoch: Timestamp) -> Vec<Station> {
    let mut boots = Chance::new(seed, 1 << 32);
    Member::ALL
        .into_iter()
        .map(|member| {
            let stream = u64::from(member.last_octet());
            let chance = Chance::new(seed, stream);
            if member == Member::Router {
                return router(chance, epoch);
            }
            let boot = epoch + boots.span((Span::from_millis(200), Span::from_secs(8)));
            let identity = Identity { mac: member.mac(), dhcp: member.dhcp() };
            let mut station = Station::new(&identity, chance, epoch, boot);
            furnish(member, &mut station);
            station
        })
        .collect()
}

fn router(chance: Chance, epoch: Timestamp) -> Station {
    let site = Ipv4Cidr::new(ROUTER_IP, 24);
    let boundary = Boundary::new(site, OUTSIDE, epoch);
    let mut station = Station::router(Member::Router.mac(), IpCidr::Ipv4(site), chance, epoch, boundary);
    let reserved = Member::ALL.into_iter().map(|member| (member.mac(), member.ip())).collect();
    station.install(DhcpServer::new(ROUTER_IP, MASK, POOL, reserved));
    station.install(Resolver::new(OUTSIDE));
    station.install(NtpServer::new());
    station.install(Service::new(443, 64, millis(1, 30), || Box::new(TlsServer)));
    station.install(Service::new(80, 8, millis(1, 10), || Box::new(WebServer)));
    station
}

fn furnish(member: Member, station: &mut Station) {
    match member {
        Member::Router => {}
        Member::Workstation => workstation(station),
        Member::Phone => phone(station),
        Member::Television => television(station),
        Member::Camera => camera(station),
        Member::Nas => nas(station),
        Member::Thermostat => thermostat(station),
        Member::Printer => {
            station.install(Mdns::new("printer", Some("_ipp._tcp.local")));
            station.install(Service::new(9100, 4, millis(1, 5), || Box::new(Sink)));
            station.install(Service::new(631, 6, millis(2, 20), || Box::new(WebServer)));
        }
        Member::Controller => {
            station.install(Service::new(502, 4, millis(2, 8), || Box::new(Controller::new())));
            station.install(NtpClient::new(NTP_SERVER, Span::from_secs(512)));
        }
        Member::Panel => {
            station.install(NtpClient::new(NTP_SERVER, Span::from_secs(512)));
            station.install(always(millis(3_000, 6_000), |_| {
                vec![at(Member::Controller, 502, Box::new(Poll::new()))]
            }));
        }
    }
}

fn workstation(station: &mut Station) {
    station.install(NtpClient::new(NTP_SERVER, Span::from_secs(1024)));
    station.install(Mdns::new("office-pc", None).asking("_ipp._tcp.local", minutes(12, 25)));
    station.install(Caller::new(Habit { first: secs(5, 20), every: secs(25, 75), visits: Box::new(page) }));
    station.install(Caller::new(Habit {
        first: secs(30, 60),
        every: secs(55, 70),
        visits: Box::new(|_| vec![to("mail.example", tls("mail.example", vec![exchange(600, 2_400)]))]),
    }));
    // The printer's status over IPv6, and now and then some pages.
    station.install(Caller::new(Habit {
        first: secs(10, 30),
        every: secs(110, 130),
        visits: Box::new(|_| {
            let target = Target::At(link_local_address(Member::Printer.mac()));
            vec![Visit {
                target,
                port: 631,
                delay: Span::ZERO,
                dialogue: Box::new(Fetch::new("printer", 900)),
            }]
        }),
    }));
    station.install(Caller::new(Habit {
        first: minutes(6, 12),
        every: minutes(18, 40),
        visits: Box::new(|chance| {
            let pages = chance.between(2, 9);
            vec![at(Member::Printer, 9100, Box::new(Print::new(pages)))]
        }),
    }));
    // A backup: a burst of a few megabytes to the storage.
    station.install(Caller::new(Habit {
        first: minutes(8, 15),
        every: minutes(28, 45),
        visits: Box::new(|chance| {
            let mut left = chance.between(120, 240);
            let script = move |chance: &mut Chance| {
                left = left.checked_sub(1)?;
                Some(Exchange { up: 16_000, down: 80, pause: chance.span(millis(90, 260)) })
            };
            vec![at(Member::Nas, 5006, Box::new(Tls::new("nas.local", Box::new(script))))]
        }),
    }));
    // What fails every day: a name that nobody has, and a server that is gone.
    station.install(Caller::new(Habit {
        first: minutes(2, 5),
        every: minutes(11, 19),
        visits: Box::new(|_| {
            let mut gone = to("shop.example", silent());
            gone.port = 8443;
            vec![to("wpad.home.arpa", silent()), gone]
        }),
    }));
}

/// A web page: its server, then those of its images, fonts and advertisements at the same time.
fn page(chance: &mut Chance) -> Vec<Visit> {
    let mut names = [
        "www.example",
        "news.example",
        "images.news.example",
        "fonts.example",
        "static.example",
        "search.example",
        "maps.example",
        "shop.example",
        "metrics.example",
        "ads.example",
    ];
    chance.shuffle(&mut names);
    // One page in six is a heavy one, with parts from everywhere.
    let (servers, each) = if chance.one_in(6) { (10, 2) } else { (chance.size(2, 5), 1) };
    let mut visits = Vec::new();
    for (rank, name) in names.into_iter().take(servers).enumerate() {
        for _ in 0..each {
            let count = chance.size(1, 3);
            let exchanges = (0..count).map(|_| Exchange {
                up: chance.size(350, 900),
                down: chance.size(1_500, 38_000),
                pause: chance.span(millis(20, 900)),
            });
            let mut visit = to(name, tls(name, exchanges.collect()));
            visit.delay = if rank == 0 { Span::ZERO } else { chance.span(millis(180, 700)) };
            visits.push(visit);
        }
    }
    visits
}

fn phone(station: &mut Station) {
    station.install(NtpClient::new(NTP_SERVER, Span::from_secs(1024)));
    station.install(Mdns::new("phone", None).asking("_googlecast._tcp.local", minutes(3, 8)));
    station.install(Discovery::searching(minutes(4, 11)));
    station.install(always(secs(2, 8), |_| {
        let script = |chance: &mut Chance| {
            Some(Exchange {
                up: chance.size(60, 240),
                down: chance.size(40, 400),
                pause: chance.span(secs(20, 70)),
            })
        };
        vec![to("push.example", Box::new(Tls::new("push.example", Box::new(script))))]
    }));
    station.install(Caller::new(Habit {
        first: secs(4, 15),
        every: secs(35, 140),
        visits: Box::new(|chance| {
            let mut names =
                ["search.example", "maps.example", "news.example", "api.video.example", "mail.example"];
            chance.shuffle(&mut names);
            let count = chance.size(1, 3);
            let visits = names.into_iter().take(count);
            visits
                .map(|name| {
                    let one = Exchange {
                        up: chance.size(300, 1_400),
                        down: chance.size(900, 22_000),
                        pause: chance.span(millis(100, 2_500)),
                    };
                    to(name, tls(name, vec![one, one]))
                })
                .collect()
        }),
    }));
    station.install(Caller::new(Habit {
        first: secs(1, 2),
        every: minutes(14, 16),
        visits: Box::new(|_| vec![web("check.example", 0)]),
    }));
}

fn television(station: &mut Station) {
    station.install(NtpClient::new(NTP_SERVER, Span::from_secs(256)));
    station.install(
        Mdns::new("living-room-tv", Some("_googlecast._tcp.local"))
            .asking("_airplay._tcp.local", minutes(8, 14)),
    );
    station.install(Discovery::searching(minutes(6, 9)));
    station.install(Service::new(8008, 4, millis(2, 10), || Box::new(WebServer)));
    // Video comes in pieces of some seconds, over connections of some minutes.
    station.install(always(secs(4, 9), |chance| {
        let mut pieces = chance.between(15, 40);
        let script = move |chance: &mut Chance| {
            pieces = pieces.checked_sub(1)?;
            Some(Exchange {
                up: chance.size(420, 520),
                down: chance.size(90_000, 190_000),
                pause: chance.span(millis(6_500, 9_500)),
            })
        };
        vec![to("cdn.video.example", Box::new(Tls::new("cdn.video.example", Box::new(script))))]
    }));
    station.install(Caller::new(Habit {
        first: secs(10, 30),
        every: secs(55, 65),
        visits: Box::new(|_| {
            let report = tls("api.video.example", vec![exchange(1_800, 300)]);
            vec![to("api.video.example", report)]
        }),
    }));
}

fn camera(station: &mut Station) {
    station.install(NtpClient::new(NTP_SERVER, Span::from_secs(128)));
    station.install(Ping::new(ROUTER_IP, Span::from_secs(60), 0x0ca3));
    station.install(Service::new(80, 4, millis(4, 20), || Box::new(WebServer)));
    // Four pictures a second; each sixteenth is a whole one.
    station.install(always(secs(2, 5), |_| {
        let mut count = 0_u32;
        let script = move |chance: &mut Chance| {
            count = count.wrapping_add(1);
            let up =
                if count.is_multiple_of(16) { chance.size(9_000, 13_000) } else { chance.size(1_500, 3_200) };
            Some(Exchange { up, down: 0, pause: chance.span(millis(240, 256)) })
        };
        vec![at(Member::Nas, 322, Box::new(Tls::new("nas.local", Box::new(script))))]
    }));
}

fn nas(station: &mut Station) {
    station.install(NtpClient::new(NTP_SERVER, Span::from_secs(256)));
    station.install(Ping::new(ROUTER_IP, Span::from_secs(30), 0x0a5e));
    station.install(Mdns::new("nas", Some("_smb._tcp.local")));
    station.install(Discovery::found(Some("Linux/6.1 UPnP/1.0 MediaServer/1.3")));
    station.install(Service::new(322, 4, millis(1, 5), || Box::new(TlsServer)));
    station.install(Service::new(5006, 6, millis(3, 15), || Box::new(TlsServer)));
    station.install(Service::new(443, 6, millis(3, 15), || Box::new(TlsServer)));
    station.install(Service::new(80, 4, millis(3, 15), || Box::new(WebServer)));
    station.install(Service::new(22, 3, millis(3, 15), || Box::new(Sink)));
    station.install(Service::new(445, 4, millis(3, 15), || Box::new(Sink)));
    station.install(Service::new(1883, 6, millis(1, 5), || Box::new(Broker)));
    station.install(Caller::new(Habit {
        first: minutes(1, 3),
        every: minutes(50, 70),
        visits: Box::new(|_| {
            let check = tls("updates.nas.example", vec![exchange(700, 9_000)]);
            vec![to("updates.nas.example", check)]
        }),
    }));
}

fn thermostat(station: &mut Station) {
    station.install(NtpClient::new(NTP_SERVER, Span::from_secs(512)));
    station.install(always(secs(2, 6), |_| {
        vec![at(Member::Nas, 1883, Box::new(Telemetry::new("thermostat", "home/hall/temperature")))]
    }));
    station.install(Caller::new(Habit {
        first: secs(8, 30),
        every: secs(290, 310),
        visits: Box::new(|_| {
            let report = tls("cloud.thermostat.example", vec![exchange(480, 210)]);
            vec![to("cloud.thermostat.example", report)]
        }),
    }));
}

/// What a stranger does: looks around a little, and phones home.
pub(crate) fn stranger(station: &mut Station) {
    station.install(Mdns::new("visitor", None).asking("_smb._tcp.local", minutes(1, 2)));
    station.install(Caller::new(Habit {
        first: secs(1, 3),
        every: secs(15, 40),
        visits: Box::new(|_| {
            let hello = tls("check.example", vec![exchange(500, 3_000), exchange(900, 12_000)]);
            vec![to("check.example", hello), at(Member::Nas, 80, Box::new(Fetch::new("nas.local", 2_000)))]
        }),
    }));
}

/// A connection that is kept, and made anew when it ends.
fn always(pause: (Span, Span), visits: impl FnMut(&mut Chance) -> Vec<Visit> + Send + 'static) -> Caller {
    Caller::new(Habit { first: pause, every: pause, visits: Box::new(visits) })
}

/// Connects and closes.
fn silent() -> Box<dyn Dialogue> {
    Box::new(Print::new(0))
}

/// A visit to port 443 of a server outside.
fn to(name: &'static str, dialogue: Box<dyn Dialogue>) -> Visit {
    Visit { target: Target::Name(name), port: 443, delay: Span::ZERO, dialogue }
}

fn web(name: &'static str, size: usize) -> Visit {
    let dialogue = Box::new(Fetch::new(name, size));
    Visit { target: Target::Name(name), port: 80, delay: Span::ZERO, dialogue }
}

fn at(member: Member, port: u16, dialogue: Box<dyn Dialogue>) -> Visit {
    Visit { target: Target::At(IpAddress::Ipv4(member.ip())), port, delay: Span::ZERO, dialogue }
}

fn tls(name: &'static str, exchanges: Vec<Exchange>) -> Box<dyn Dialogue> {
    let mut exchanges = exchanges.into_iter();
    Box::new(Tls::new(name, Box::new(move |_| exchanges.next())))
}

const fn exchange(up: usize, down: usize) -> Exchange {
    Exchange { up, down, pause: Span::from_millis(40) }
}

const fn millis(low: u64, high: u64) -> (Span, Span) {
    (Span::from_millis(low), Span::from_millis(high))
}

const fn secs(low: u64, high: u64) -> (Span, Span) {
    (Span::from_secs(low), Span::from_secs(high))
}

const fn minutes(low: u64, high: u64) -> (Span, Span) {
    secs(low * 60, high * 60)
}
