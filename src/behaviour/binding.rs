//! [`Binding`]: the stations that claim one address, and when two claims are a contest and not a move. How claims look
//! on the wire is `arp_spoof`'s.

use super::table::Worth;
use crate::packet::Mac;
use crate::time::{Span, Timestamp};

/// Pushed claims between which the other station was active, from which on it is a conflict and no move: one may be
/// a station that comes back with a new adapter, and RFC 5227 section 2.3 has it announce twice, but the old adapter
/// is silent then.
pub(super) const PUSHES: u64 = 2;
/// The same where the other was active only by answering when asked, which a WiFi extender does for a client that has
/// just left it.
const PUSHES_OVER_ANSWERS: u64 = 4;
/// The two claims and the activity between them lie within this: poisoning tools repeat each 1 to 10 s, a host that
/// takes turns with its sleep proxy takes minutes.
pub(super) const TURN: Span = Span::from_secs(60);
/// Activity of the other station so soon after a claim was still under way: a planned failover.
pub(super) const GRACE: Span = Span::from_millis(500);
/// How long an address that was heard stays known.
pub(super) const KNOWN: Span = Span::from_secs(3_600);

/// How a station says that an address is its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manner {
    /// Unasked: a reply without a request, or an announcement.
    Pushed,
    /// In a request of its own for another address. Hosts with two adapters do that for either address.
    Asking,
    /// In a request to one station alone. Hosts poll a neighbour so that they know (RFC 1122, section 2.3.2.1; RFC 4861,
    /// section 7.3.3); poisoning tools write to its cache so.
    Polling,
    /// As the answer to a request. Proxies, extenders and hosts with two adapters do that for others.
    Answering,
}

/// A station that claims an address.
#[derive(Clone, Copy, Debug)]
struct Claimant {
    mac: Mac,
    last: Timestamp,
    /// First and latest pushed claim of the present turn.
    pushed: Option<(Timestamp, Timestamp)>,
    pushes: u64,
    /// Latest activity: (traffic or own requests, answers).
    active: [Option<Timestamp>; 2],
}

/// An address and the two latest stations that claimed it, the earlier one first.
#[derive(Clone, Copy, Debug)]
pub(super) struct Binding {
    first: Claimant,
    second: Option<Claimant>,
    claims: u64,
}

/// Two stations use one address.
#[derive(Clone, Copy, Debug)]
pub(super) struct Contest {
    /// The one that does not push.
    pub(super) owner: Mac,
    /// First of the pushed claims of the other.
    pub(super) since: Timestamp,
    /// How many they are.
    pub(super) pushes: u64,
}

impl Claimant {
    const fn new(mac: Mac, now: Timestamp) -> Self {
        Self { mac, last: now, pushed: None, pushes: 0, active: [None; 2] }
    }

    fn note(&mut self, manner: Manner, now: Timestamp) {
        self.last = now;
        match manner {
            Manner::Asking => self.active[0] = Some(now),
            Manner::Answering => self.active[1] = Some(now),
            Manner::Polling => {}
            Manner::Pushed => {
                let first = match self.pushed {
                    Some((first, latest)) if now.since(latest) < TURN => first,
                    _ => {
                        self.pushes = 0;
                        now
                    }
                };
                self.pushed = Some((first, now));
                self.pushes += 1;
            }
        }
    }

    /// Whether it pushed its claim within the last turn.
    fn has_pushed(&self, now: Timestamp) -> bool {
        self.pushed.is_some_and(|(_, latest)| now.since(latest) < TURN)
    }

    /// Whether it was active in this way within the last turn, and clearly later than `since`.
    fn was_active(&self, way: usize, since: Timestamp, now: Timestamp) -> bool {
        self.active[way].is_some_and(|time| time >= since + GRACE && now.since(time) < TURN)
    }
}

impl Binding {
    /// One station, of which no claim is noted yet.
    pub(super) const fn new(mac: Mac, now: Timestamp) -> Self {
        Self { first: Claimant::new(mac, now), second: None, claims: 0 }
    }

    /// Traffic from a station with the address: it is there, if it is one of those that claim it.
    pub(super) fn note_traffic(&mut self, mac: Mac, now: Timestamp) {
        if let Some(claimant) = self.claimant(mac) {
            claimant.active[0] = Some(now);
        }
    }

    /// Whether more than one station claims it.
    pub(super) const fn is_contested(&self) -> bool {
        self.second.is_some()
    }

    /// Notes a claim. There is a contest when a station pushes its claim again although the other was active since it
    /// first did.
    ///
    /// A poll is a push when the later station sends it, and neither push nor activity when the earlier one does, or
    /// when that one pushes: the rightful one polls, too, and more often when its neighbours are being told otherwise.
    pub(super) fn note(&mut self, mac: Mac, manner: Manner, now: Timestamp) -> Option<Contest> {
        self.claims = self.claims.saturating_add(1);
        if self.first.mac != mac && self.second.is_none_or(|second| second.mac != mac) {
            // A third one takes the place of the one that was silent for longer.
            if let Some(second) = self.second
                && second.last > self.first.last
            {
                self.first = second;
            }
            self.second = Some(Claimant::new(mac, now));
        }
        let manner = match manner {
            Manner::Polling if self.first.mac != mac && !self.first.has_pushed(now) => Manner::Pushed,
            manner => manner,
        };
        let claimant = self.claimant(mac)?;
        claimant.note(manner, now);
        let claimant = *claimant;
        let other = self.other(mac)?;
        let (since, _) = claimant.pushed?;
        let needed = if other.was_active(0, since, now) {
            PUSHES
        } else if other.was_active(1, since, now) {
            PUSHES_OVER_ANSWERS
        } else {
            return None;
        };
        let conflict = manner == Manner::Pushed && claimant.pushes >= needed;
        let contest = Contest { owner: other.mac, since, pushes: claimant.pushes };
        (conflict && !are_siblings(mac, other.mac)).then_some(contest)
    }

    fn claimant(&mut self, mac: Mac) -> Option<&mut Claimant> {
        if self.first.mac == mac {
            Some(&mut self.first)
        } else {
            self.second.as_mut().filter(|c| c.mac == mac)
        }
    }

    fn other(&self, mac: Mac) -> Option<&Claimant> {
        if self.first.mac == mac { self.second.as_ref() } else { Some(&self.first) }
    }

    pub(super) fn latest(&self) -> Timestamp {
        self.second.map_or(self.first.last, |second| second.last.max(self.first.last))
    }

    /// What is claimed often stays; what nobody has claimed for an hour goes first.
    pub(super) fn worth(&self) -> Worth {
        Worth { value: self.claims.min(64), until: self.latest() + KNOWN }
    }
}

/// Two adapters of one device, bonded or bridged, which may answer for each other: makers number them one after the
/// other. A spoofer who takes such an address for himself is not seen here; a neighbour of the same make and batch is.
fn are_siblings(one: Mac, other: Mac) -> bool {
    const ADAPTERS: u8 = 4;
    let ([.., a], [.., b]) = (one.0, other.0);
    one.0[..5] == other.0[..5] && a.abs_diff(b) < ADAPTERS
}
