//! [`Seats`]: how many connections may be open, and who has to go when one more comes.
//!
//! Connections that nobody is working for are cheap to hold and easy to make: half-open ones, and those whose client
//! does not read. With all seats taken, one of these gives way, so that they cannot keep out who has something to ask:
//! the oldest of that address which holds the most.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::io::Write;
use std::net::{IpAddr, Shutdown, TcpStream};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::head::Refusal;
use super::reply;
use super::server::Counters;
use crate::time::Span;

/// How long a newcomer waits for the seat of one who was dismissed; its thread needs a moment to end.
const MOMENT: Span = Span::from_millis(200);

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
    host: IpAddr,
    stage: Mutex<Stage>,
}

/// Where a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Its request is not whole: it may be dismissed with a word.
    Asking,
    /// It is being answered.
    Served,
    /// Its answer is not taken, or over: it may be dismissed without a word.
    Lingering,
    /// It was dismissed, and its client has been told.
    Dismissed,
}

impl Guest {
    pub(super) const fn new(client: TcpStream, host: IpAddr) -> Self {
        Self { client, host, stage: Mutex::new(Stage::Asking) }
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

    fn may_be_dismissed(&self) -> bool {
        matches!(*self.stage(), Stage::Asking | Stage::Lingering)
    }

    /// Ends the connection, unless it is being served by now.
    fn dismiss(&self) -> bool {
        let mut stage = self.stage();
        match std::mem::replace(&mut *stage, Stage::Dismissed) {
            // Nothing was sent yet, so this fits into the socket's buffer and does not wait. A client that has gone
            // gets no word.
            Stage::Asking => drop((&self.client).write(&reply::refusal(Refusal::Busy))),
            Stage::Lingering => {}
            other => {
                *stage = other;
                return false;
            }
        }
        // Wakes its thread; a client that has gone is ended already.
        drop(self.client.shutdown(Shutdown::Both));
        true
    }

    fn stage(&self) -> MutexGuard<'_, Stage> {
        self.stage.lock().unwrap_or_else(PoisonError::into_inner)
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

    /// Has one connection end and waits until it has; false where all are being served, or it takes too long.
    pub(super) fn make_room(&self) -> bool {
        let before = self.table().taken.len();
        if !self.dismiss_one() {
            return false;
        }
        let full = |table: &mut Table| table.taken.len() >= before;
        let waited = self.freed.wait_timeout_while(self.table(), MOMENT.to_std(), full);
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }

    /// Ends the connection that gives way first; false where all are being served.
    fn dismiss_one(&self) -> bool {
        let idle = |(_, guest): &(&u64, &Arc<Guest>)| guest.may_be_dismissed();
        loop {
            let table = self.table();
            let mut held: BTreeMap<IpAddr, usize> = BTreeMap::new();
            for (_, guest) in table.taken.iter().filter(idle) {
                *held.entry(guest.host).or_default() += 1;
            }
            let first = table.taken.iter().filter(idle).max_by_key(|(number, guest)| {
                (held.get(&guest.host).copied().unwrap_or(0), Reverse(**number))
            });
            let Some(guest) = first.map(|(_, guest)| Arc::clone(guest)) else { return false };
            drop(table);
            if guest.dismiss() {
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
        assert!(seats.dismiss_one());
        assert_eq!(told(&mut clients[3]), "HTTP/1.1 503 Service Unavailable");
        assert!(!taken[3].1.enter(Stage::Served), "it is not served any more");
        // Now each address holds one.
        assert!(taken[0].1.enter(Stage::Lingering));
        assert!(seats.dismiss_one());
        assert_eq!(told(&mut clients[0]), "", "what has had an answer gets no other");
        assert!(seats.dismiss_one() && seats.dismiss_one());
        assert!(!seats.dismiss_one(), "who is served stays");
        assert_eq!(seats.counters.refused.load(Ordering::Relaxed), 4);
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
