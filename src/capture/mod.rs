//! Where frames come from: [`Source`], live or from files. What a frame means is `packet`'s.
//!
//! [`Tap`] is a live capture that survives the loss of its interface, [`Live`] one opening of an interface, [`Mirror`] an
//! address to which a switch sends what it mirrors, [`Files`] a row of capture files. [`Recent`] holds what was seen last,
//! [`Filter`] picks from it, and [`pcapng`] is how packets are written. All of it only listens: no frame is ever sent.

mod bundle;
mod devices;
mod envelope;
mod error;
mod file;
mod filter;
mod interface;
mod live;
mod mirror;
pub mod pcapng;
mod recent;
mod recorder;
mod tap;

pub use bundle::Bundle;
pub use devices::Devices;
pub use error::CaptureError;
pub use file::{BrokenRecord, Files, Flaw};
pub use filter::{Filter, check_filter};
pub use interface::{Interface, LinkState, Medium, choose, interfaces, mtu, stations};
pub use live::Live;
pub use mirror::{Mirror, MirrorConfig, MirrorCounters};
pub use recent::{Moments, Recent, Snapshot};
pub use recorder::{LinkFilters, Outlet, Recorder, Tally};
pub use tap::{Tap, TapState};

use crate::packet::Frame;
use crate::time::{Span, Timestamp};

/// Settings of one source of a live capture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceConfig {
    /// An interface.
    Tap(Config),
    /// An address to which a switch sends what it mirrors.
    Mirror(MirrorConfig),
}

impl SourceConfig {
    /// Whether it listens in the same place.
    #[must_use]
    pub fn is_same_place(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Tap(one), Self::Tap(other)) => one.interface == other.interface,
            (Self::Mirror(one), Self::Mirror(other)) => one.address == other.address,
            _ => false,
        }
    }

    /// Whether it is the same kind of source.
    #[must_use]
    pub fn is_alike(&self, other: &Self) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }

    /// The filter of what it gives.
    #[must_use]
    pub fn filter(&self) -> &str {
        match self {
            Self::Tap(config) => &config.filter,
            Self::Mirror(config) => &config.filter,
        }
    }

    /// The interface that is named; none where one is chosen or it is none.
    #[must_use]
    pub fn interface(&self) -> Option<&str> {
        match self {
            Self::Tap(config) => config.interface.as_deref(),
            Self::Mirror(_) => None,
        }
    }
}

/// Settings of live capture on an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Interface to listen on; none to have one chosen.
    pub interface: Option<String>,
    /// Ask the interface for frames that are addressed to others, which a tap must.
    pub promiscuous: bool,
    /// Size of the kernel's ring in bytes; at least 512 KiB are used. The kernel may give less where memory is short.
    pub ring_bytes: u32,
    /// Bytes kept of each frame; 0 for as many as libpcap gives, 256 KiB.
    pub snapshot_bytes: u32,
    /// Filter in the language of pcap-filter(7); empty for all frames.
    pub filter: String,
}

impl Config {
    /// How long [`Source::next`] waits for a frame before it says that it is idle.
    pub const PATIENCE: Span = Span::from_millis(200);
}

impl Default for Config {
    fn default() -> Self {
        Self {
            interface: None,
            promiscuous: true,
            ring_bytes: 8 << 20,
            snapshot_bytes: 2048,
            filter: String::new(),
        }
    }
}

/// A stream of frames. Implementations own their buffers; a frame is valid until the next call.
pub trait Source {
    /// The next frame, or why there is none now. Returns within a quarter of a second, so that a quiet tap still
    /// ticks and stops.
    ///
    /// # Errors
    /// [`CaptureError`] when the source is of no more use as it is: an interface that vanished may be opened again.
    fn next(&mut self) -> Result<Next<'_>, CaptureError>;

    /// Counters since the source was opened.
    fn counters(&mut self) -> SourceCounters;
}

/// What a [`Source`] has to say.
#[derive(Debug)]
pub enum Next<'a> {
    /// A frame.
    Frame(Frame<'a>),
    /// Nothing came; the time is how far the clock that stamps the frames has come. Frames that are older have been
    /// given, up to what a busy machine delays. [`Timestamp::EPOCH`] when no such clock is known yet: a pipe that has
    /// not given its first frame.
    Idle(Timestamp),
    /// The files are read or the generated network has ended; there will never be another frame.
    End,
}

/// Counters of a source. All are totals since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SourceCounters {
    /// Frames that `next` has given.
    pub frames: u64,
    /// Frames that the kernel dropped because its ring was full.
    pub kernel_drops: u64,
    /// Frames that the interface or its driver dropped.
    pub interface_drops: u64,
    /// Records of a capture file that were cut short or nonsense, after which reading of that file stopped.
    pub broken_records: u64,
}

impl std::ops::Add for SourceCounters {
    type Output = Self;

    fn add(self, more: Self) -> Self {
        Self {
            frames: self.frames + more.frames,
            kernel_drops: self.kernel_drops + more.kernel_drops,
            interface_drops: self.interface_drops + more.interface_drops,
            broken_records: self.broken_records + more.broken_records,
        }
    }
}
