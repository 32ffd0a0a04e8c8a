//! [`Mirror`]: what the frames themselves tell of the mirror that sends them. It judges no device, and knows interfaces and
//! clocks only from what it is told.

mod check;
mod commonest;
mod conversations;
mod duplicates;
mod frames;
mod sliding;
#[cfg(test)]
mod tests;
mod verdict;

use arrayvec::ArrayVec;

pub use check::{Check, Measure, Report, Trouble, Verdict};
pub use duplicates::{DuplicateTotals, Duplicates, Sight};

use conversations::Conversations;
use frames::Frames;
use verdict::{Totals, Windows};

use crate::flow::TcpTotals;
use crate::packet::{Digest, Fingerprints, Frame, Mac};
use crate::time::{Span, Timestamp};

/// Where the tap is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// This machine's own stations; empty where they are not known.
    pub stations: ArrayVec<Mac, { Self::STATIONS }>,
    /// The longest packet that the interface takes in one frame; none where it is not known.
    pub mtu: Option<u32>,
}

impl Place {
    /// Own stations that are remembered.
    pub const STATIONS: usize = 16;
}

/// What the source and the system say of themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// Frames given since the source was opened first.
    pub frames: u64,
    /// Frames that the kernel, the interface or its driver dropped since then.
    pub dropped: u64,
    /// The clock that stamps the frames.
    pub clock: Clock,
    /// How far it is from the system's, either way.
    /// None where no frame has just come: what was known stays.
    pub apart: Option<Span>,
}

/// A clock that stamps frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// Another machine's, at another time: nothing more is known of it.
    Recorded,
    /// A generated network's.
    Generated,
    /// This system's, which does not tell how it is set.
    Untold,
    /// This system's, and a time service keeps it.
    Synchronised,
    /// This system's, and nothing keeps it.
    Unsynchronised,
}

/// Watches the mirror. Memory is fixed (under 32 KiB), and so is the work for a frame.
#[derive(Debug)]
pub struct Mirror {
    prints: Fingerprints,
    duplicates: Duplicates,
    conversations: Conversations,
    frames: Frames,
    reading: Option<Reading>,
    tcp: TcpTotals,
    jumps: Jumps,
    windows: Windows,
}

/// Times that the capture's clock jumped.
#[derive(Clone, Copy, Debug, Default)]
struct Jumps {
    back: u64,
    ahead: u64,
}

impl Mirror {
    /// Nothing seen yet. `hash_seed` is the key of its tables.
    #[must_use]
    pub fn new(hash_seed: u64) -> Self {
        Self {
            prints: Fingerprints::new(hash_seed),
            duplicates: Duplicates::new(),
            conversations: Conversations::new(hash_seed),
            frames: Frames::default(),
            reading: None,
            tcp: TcpTotals::default(),
            jumps: Jumps::default(),
            windows: Windows::new(),
        }
    }

    /// Says where the tap is.
    pub fn set_place(&mut self, place: Place) {
        self.frames.set_place(place);
    }

    /// Looks at a frame, and says whether it is one that the mirror made of another.
    pub fn handle(&mut self, frame: &Frame<'_>, digest: &Digest) -> Sight {
        self.frames.handle(frame, digest);
        self.conversations.handle(digest);
        match self.prints.of(frame, digest) {
            Some(print) => self.duplicates.handle(&print, digest.time),
            None => Sight::First,
        }
    }

    /// Takes in what the source and the system say; about each second, where anything does.
    pub fn handle_reading(&mut self, reading: Reading) {
        let before = self.reading.and_then(|before| before.apart);
        self.reading = Some(Reading { apart: reading.apart.or(before), ..reading });
    }

    /// The capture's clock jumped.
    pub fn handle_jump(&mut self, old: Timestamp, new: Timestamp) {
        if new < old {
            self.jumps.back += 1;
        } else {
            self.jumps.ahead += 1;
        }
    }

    /// About a second has passed. `tcp` is what the flow table has measured.
    pub fn handle_time(&mut self, now: Timestamp, tcp: &TcpTotals) {
        self.tcp = *tcp;
        let totals = self.totals();
        if self.windows.handle_time(now, &totals) {
            self.frames.age();
        }
    }

    /// What all checks say now, in the order of [`Check::ALL`].
    #[must_use]
    pub fn reports(&self) -> Vec<Report> {
        verdict::reports(&self.windows, &self.totals(), &self.frames)
    }

    /// The same over all that was seen since start.
    #[must_use]
    pub fn reports_of_all(&self) -> Vec<Report> {
        verdict::reports(&self.windows.of_all(), &self.totals(), &self.frames)
    }

    /// What was delivered more than once.
    #[must_use]
    pub const fn duplicates(&self) -> &DuplicateTotals {
        self.duplicates.totals()
    }

    fn totals(&self) -> Totals {
        Totals {
            frames: *self.frames.totals(),
            conversations: *self.conversations.totals(),
            duplicates: *self.duplicates.totals(),
            tcp: self.tcp,
            reading: self.reading,
            back: self.jumps.back,
            ahead: self.jumps.ahead,
        }
    }
}
