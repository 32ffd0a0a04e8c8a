//! [`Seats`]: how many connections may be open, and who has to go when one more comes.
//!
//! Connections that nobody is working for are cheap to hold and easy to make: half-open ones, and those whose client
//! does not read. With all seats taken, one of these gives way, so that they cannot keep out who has something to ask:
//! the oldest of that network and address which hold the most. The same is true of answers on their way, where they
//! keep all workers.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::io::Write;
use std::net::{IpAddr, Ipv6Addr, Shutdown, TcpStream};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::head::Refusal;
use super::reply;
use super::server::Counters;
use crate::time::Span;

/// How long a newcomer waits for the seat of one who was dismissed; its thread needs a moment to end.
const MOMENT: Span = Span::from_millis(200);

/// Nobody works for a connection in one of these.
const IDLE: [Stage; 2] = [Stage::Asking, Stage::Lingering];

/// The seats.
#[derive(Debug)]
pub(super) struct Seats {
    limit: usize,
    table: Mutex<Table>,
    freed: Condvar,
    counters: Arc<Counters>,
}

#[derive(Debug, Default)]
struct Table {
    /// Number of the next one; lower is older.
    next: u64,
    taken: BTreeMap<u64, Arc<Guest>>,
}

/// A connection.
#[derive(Debug)]
pub(super) struct Guest {
    pub(super) client: TcpStream,
    pub(super) host: Host,
    stage: Mutex<Stage>,
}

/// Where a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Its request is not whole: it may be dismissed with a word.
    Asking,
    /// It is being worked for, and nothing of the answer has come.
    Served,
    /// Its answer is on its way.
    Taking,
    /// Its answer is not taken, or over: it may be dismissed without a word.
    Lingering,
    /// It was dismissed, and its client has been told.
    Dismissed,
}

impl Guest {
    pub(super) fn new(client: TcpStream, address: IpAddr) -> Self {
        Self { client, host: Host::of(address), stage: Mutex::new(Stage::Asking) }
    }

    /// Goes on to another stage; false where it was dismissed meanwhile, so that nothing more is to be sent.
    pub(super) fn enter(&self, stage: Stage) -> bool {
        let mut now = self.stage();
        if *now == Stage::Dismissed {
            return false;
        }
        *now = stage;
        true
    }

    /// Ends the connection, unless it is in none of these stages by now.
    fn dismiss(&self, of: &[Stage]) -> bool {
        let mut stage = self.stage();
        if !of.contains(&stage) {
            return false;
        }
        if std::mem::replace(&mut *stage, Stage::Dismissed) == Stage::Asking {
            // Nothing was sent yet, so this fits into the socket's buffer and does not wait. A client that has gone
            // gets no word.
            drop((&self.client).write(&reply::refusal(Refusal::Busy)));
        }
        // Wakes its thread; a client that has gone is ended already.
        drop(self.client.shutdown(Shutdown::Both));
        true
    }

    fn stage(&self) -> MutexGuard<'_, Stage> {
        self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where a connection comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Host {
    /// One that has an IPv6 address has a whole network of 64 bits.
    network: IpAddr,
    address: IpAddr,
}

impl Host {
    pub(super) fn of(address: IpAddr) -> Self {
        let address = address.to_canonical();
        let network = match address {
            IpAddr::V4(_) => address,
            IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX)).into(),
        };
        Self { network, address }
    }

    pub(super) fn is_beside(self, other: Self) -> bool {
        self.network == other.network
    }

    /// How many of all are of its network, and of its address.
    pub(super) fn share<'a>(self, all: impl Iterator<Item = &'a Self>) -> (usize, usize) {
        all.fold((0, 0), |(network, address), other| {
            (
                network + usize::from(other.network == self.network),
                address + usize::from(other.address == self.address),
            )
        })
    }
}

/// A seat; given back when dropped, for which the guest goes first: then its descriptor is free too.
pub(super) struct Seat {
    seats: Arc<Seats>,
    number: u64,
}

impl Drop for Seat {
    fn drop(&mut self) {
        // Apart from the table, which is not to be locked while a connection is closed.
        let guest = self.seats.table().taken.remove(&self.number);
        drop(guest);
        self.seats.freed.notify_all();
    }
}

impl Seats {
    pub(super) fn new(limit: usize, counters: Arc<Counters>) -> Self {
        Self { limit, table: Mutex::default(), freed: Condvar::new(), counters }
    }

    /// Seats a connection, in the place of another where all are taken; or gives it back where none can be had.
    pub(super) fn take(seats: &Arc<Self>, guest: Guest) -> Result<(Seat, Arc<Guest>), Guest> {
        // Only who takes seats calls this, so that what is free stays free.
        if seats.table().taken.len() >= seats.limit && !seats.make_room() {
            return Err(guest);
        }
        let mut table = seats.table();
        let (number, guest) = (table.next, Arc::new(guest));
        table.next += 1;
        table.taken.insert(number, Arc::clone(&guest));
        drop(table);
        Ok((Seat { seats: Arc::clone(seats), number }, guest))
    }

    /// Has a connection end whose client takes its answer, for one who waits while all workers are kept.
    pub(super) fn free_a_worker(&self) {
        self.dismiss_one(&[Stage::Taking, Stage::Lingering]);
    }

    /// Has one connection end and waits until it has; false where all are being served, or it takes too long.
    pub(super) fn make_room(&self) -> bool {
        let before = self.table().taken.len();
        if !self.dismiss_one(&IDLE) {
            return false;
        }
        let full = |table: &mut Table| table.taken.len() >= before;
        let waited = self.freed.wait_timeout_while(self.table(), MOMENT.to_std(), full);
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }

    /// Ends the connection that gives way first; false where none is in one of these stages.
    fn dismiss_one(&self, of: &[Stage]) -> bool {
        loop {
            let table = self.table();
            let all: Vec<_> = table.taken.iter().filter(|(_, guest)| of.contains(&guest.stage())).collect();
            let first = all.iter().max_by_key(|(number, guest)| {
                (guest.host.share(all.iter().map(|(_, guest)| &guest.host)), Reverse(**number))
            });
            let Some(guest) = first.map(|(_, guest)| Arc::clone(guest)) else { return false };
            drop(table);
            if guest.dismiss(of) {
                self.counters.refused.fetch_add(1, Ordering::Relaxed);
                return true;
            }
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::net::TcpListener;

    use super::*;

    /// A client's end, and the connection as the gate has it, as if from 192.0.2.`host`.
    fn guest(listener: &TcpListener, host: u8) -> (TcpStream, Guest) {
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (client, Guest::new(listener.accept().unwrap().0, IpAddr::from([192, 0, 2, host])))
    }

    fn told(client: &mut TcpStream) -> String {
        let mut text = String::new();
        client.read_to_string(&mut text).unwrap();
        text.lines().next().unwrap_or_default().to_owned()
    }

    #[test]
    fn the_oldest_of_the_address_that_holds_most_gives_way() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let seats = Arc::new(Seats::new(5, Arc::default()));
        let (mut clients, mut taken) = (Vec::new(), Vec::new());
        for host in [1, 2, 2, 3, 3] {
            let (client, guest) = guest(&listener, host);
            clients.push(client);
            taken.push(Seats::take(&seats, guest).ok().unwrap());
        }
        // Of the two that hold two, the second one's older connection is being served.
        assert!(taken[1].1.enter(Stage::Served));
        assert!(seats.dismiss_one(&IDLE));
        assert_eq!(told(&mut clients[3]), "HTTP/1.1 503 Service Unavailable");
        assert!(!taken[3].1.enter(Stage::Served), "it is not served any more");
        // Now each address holds one.
        assert!(taken[0].1.enter(Stage::Lingering));
        assert!(seats.dismiss_one(&IDLE));
        assert_eq!(told(&mut clients[0]), "", "what has had an answer gets no other");
        assert!(seats.dismiss_one(&IDLE) && seats.dismiss_one(&IDLE));
        assert!(!seats.dismiss_one(&IDLE), "who is served stays");
        assert_eq!(seats.counters.refused.load(Ordering::Relaxed), 4);
    }

    #[test]
    fn a_network_of_ipv6_is_one_host_with_many_addresses() {
        let hosts =
            ["2001:db8::1", "2001:db8::2", "2001:db8::2", "2001:db8:0:1::1", "::ffff:192.0.2.1", "192.0.2.1"]
                .map(|text| Host::of(text.parse().unwrap()));
        let shares = hosts.map(|host| host.share(hosts.iter()));
        assert_eq!(shares, [(3, 1), (3, 2), (3, 2), (1, 1), (2, 2), (2, 2)]);
    }

    #[test]
    fn a_newcomer_gets_the_seat_once_it_is_free_and_never_one_too_many() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let seats = Arc::new(Seats::new(1, Arc::default()));
        let (mut first_client, first) = guest(&listener, 1);
        let first = Seats::take(&seats, first).ok().unwrap();
        let (_second_client, second) = guest(&listener, 2);
        let second = Seats::take(&seats, second).err().unwrap();
        assert_eq!(told(&mut first_client), "HTTP/1.1 503 Service Unavailable");
        drop(first);
        let second = Seats::take(&seats, second).ok().unwrap();
        assert!(second.1.enter(Stage::Served));
        let (_third_client, third) = guest(&listener, 3);
        assert!(Seats::take(&seats, third).is_err());
    }
}
