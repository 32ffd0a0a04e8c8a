//! [`Recorder`]: the capture thread's end of an on-demand capture. It picks matching packets and hands them on in
//! bundles, without waiting: what the writing end is too slow for is counted. Files are no business of it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};

use super::bundle::Bundle;
use super::filter::Filter;
use crate::capture::CaptureError;
use crate::packet::{Frame, Link};

/// What both ends of a capture know.
#[derive(Debug, Default)]
pub struct Tally {
    /// Packets that matched and were lost, because the writing end was too slow.
    pub lost: AtomicU64,
    /// Set by the writing end: no more packets are wanted.
    pub ended: AtomicBool,
}

/// An expression compiled for some link types.
pub struct LinkFilters(Vec<(Link, Filter)>);

impl LinkFilters {
    /// Compiles an expression for each of these link types; an empty one takes all packets. A host name in it is looked
    /// up, which is why this is not done on the capture thread.
    ///
    /// # Errors
    /// [`CaptureError::BadFilter`] with libpcap's message.
    pub fn new(filter: &str, links: &[Link]) -> Result<Self, CaptureError> {
        let links = if filter.is_empty() { &[] } else { links };
        links.iter().map(|&link| Ok((link, Filter::new(filter, link)?))).collect::<Result<_, _>>().map(Self)
    }

    /// Whether a packet matches; none for a link type that it was not compiled for.
    pub fn matches(&mut self, frame: &Frame<'_>) -> Option<bool> {
        if self.0.is_empty() {
            return Some(true);
        }
        let (_, filter) = self.0.iter_mut().find(|(link, _)| *link == frame.link)?;
        Some(filter.matches(frame))
    }
}

/// Packets of one source, on their way.
pub struct Recorder {
    filters: LinkFilters,
    snapshot: usize,
    source: usize,
    filling: Option<Bundle>,
    full: SyncSender<(usize, Bundle)>,
    free: Receiver<Bundle>,
    /// Bundles that may still be made.
    unmade: usize,
    tally: Arc<Tally>,
}

/// Where the packets of a source go.
pub struct Outlet {
    /// Number of the source.
    pub source: usize,
    /// Bundles that are made at most; beyond, packets are lost.
    pub bundles: usize,
    /// Takes the bundles of all sources.
    pub full: SyncSender<(usize, Bundle)>,
    /// What both ends know.
    pub tally: Arc<Tally>,
}

impl Recorder {
    /// Packets of a bundle.
    const PACKETS: usize = 1_024;
    /// Bytes of a bundle; the longest packet has room in an empty one.
    const BYTES: usize = 256 << 10;

    /// A recorder, and where emptied bundles are to be sent back.
    #[must_use]
    pub fn new(filters: LinkFilters, snapshot: usize, outlet: Outlet) -> (Self, SyncSender<Bundle>) {
        let Outlet { source, bundles, full, tally } = outlet;
        // All bundles that there are; it is never full.
        let (emptied, free) = sync_channel(bundles);
        let recorder = Self { filters, snapshot, source, filling: None, full, free, unmade: bundles, tally };
        (recorder, emptied)
    }

    /// Takes a packet where it matches.
    pub fn push(&mut self, frame: &Frame<'_>) {
        match self.filters.matches(frame) {
            Some(false) => {}
            Some(true) => self.keep(frame),
            None => self.lose(1),
        }
    }

    /// Hands on what is there; false once no more is wanted.
    pub fn flush(&mut self) -> bool {
        if self.filling.as_ref().is_some_and(|bundle| !bundle.is_empty()) {
            self.hand_on();
        }
        !self.tally.ended.load(Ordering::Relaxed)
    }

    fn keep(&mut self, frame: &Frame<'_>) {
        let length = frame.bytes.len().min(self.snapshot);
        if self.filling.as_ref().is_some_and(|bundle| !bundle.has_room(length)) {
            self.hand_on();
        }
        if self.filling.is_none() {
            self.filling = self.free.try_recv().ok().or_else(|| self.make());
        }
        match &mut self.filling {
            Some(bundle) => bundle.push(frame, self.snapshot),
            None => self.lose(1),
        }
    }

    fn make(&mut self) -> Option<Bundle> {
        self.unmade = self.unmade.checked_sub(1)?;
        Some(Bundle::with_capacity(Self::PACKETS, Self::BYTES))
    }

    fn hand_on(&mut self) {
        let Some(bundle) = self.filling.take() else { return };
        match self.full.try_send((self.source, bundle)) {
            Ok(()) => {}
            Err(TrySendError::Full((_, mut bundle)) | TrySendError::Disconnected((_, mut bundle))) => {
                self.lose(bundle.len());
                bundle.clear();
                self.filling = Some(bundle);
            }
        }
    }

    fn lose(&self, packets: usize) {
        self.tally.lost.fetch_add(u64::try_from(packets).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorder").field("source", &self.source).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Timestamp;

    fn frame(bytes: &[u8]) -> Frame<'_> {
        Frame { time: Timestamp::EPOCH, link: Link::Ethernet, wire_len: 60, bytes }
    }

    const BUNDLES: usize = 8;

    /// Both ends.
    struct Bench {
        recorder: Recorder,
        emptied: SyncSender<Bundle>,
        taken: Receiver<(usize, Bundle)>,
        tally: Arc<Tally>,
    }

    fn bench(filter: &str) -> Bench {
        let (full, taken) = sync_channel(BUNDLES);
        let tally = Arc::new(Tally::default());
        let filters = LinkFilters::new(filter, &[Link::Ethernet]).unwrap();
        let (recorder, emptied) = Recorder::new(
            filters,
            32,
            Outlet { source: 3, bundles: BUNDLES, full, tally: Arc::clone(&tally) },
        );
        Bench { recorder, emptied, taken, tally }
    }

    #[test]
    fn what_matches_is_handed_on_in_order_and_cut() {
        let arp = [&[0xff; 12][..], &[8, 6], &[0; 40]].concat();
        let ip = [&[0xff; 12][..], &[8, 0], &[0; 40]].concat();
        let Bench { mut recorder, taken, tally, .. } = bench("arp");
        recorder.push(&frame(&ip));
        recorder.push(&frame(&arp));
        assert!(recorder.flush());
        let (source, bundle) = taken.try_recv().unwrap();
        assert_eq!((source, bundle.len()), (3, 1));
        assert_eq!(bundle.frames().next().unwrap().bytes, &arp[..32]);
        let strange = Frame { link: Link::Unknown(101), ..frame(&arp) };
        recorder.push(&strange);
        assert_eq!(tally.lost.load(Ordering::Relaxed), 1, "not compiled for this link type");
        tally.ended.store(true, Ordering::Relaxed);
        assert!(!recorder.flush());
    }

    #[test]
    fn a_writer_that_is_too_slow_costs_packets_and_no_memory() {
        let Bench { mut recorder, emptied, taken, tally } = bench("");
        let held = BUNDLES * Recorder::PACKETS;
        for _ in 0..held + 500 {
            recorder.push(&frame(&[1; 20]));
        }
        recorder.flush();
        assert_eq!(tally.lost.load(Ordering::Relaxed), 500);
        let (_, mut bundle) = taken.try_recv().unwrap();
        bundle.clear();
        emptied.try_send(bundle).unwrap();
        recorder.push(&frame(&[1; 20]));
        recorder.flush();
        let handed: usize = taken.try_iter().map(|(_, bundle)| bundle.len()).sum();
        assert_eq!(handed, held - Recorder::PACKETS + 1);
        assert_eq!(tally.lost.load(Ordering::Relaxed), 500);
    }
}
