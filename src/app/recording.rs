//! [`Recordings`]: captures on demand. A thread for each writes what the capture threads hand it, until a limit is
//! reached or somebody stops it. Where the files are is the store's business.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use crate::capture::pcapng::{Origin, Section, Whole};
use crate::capture::{Bundle, LinkFilters, Moments, Outlet, Recorder, SourceCounters, Tally, check_filter};
use crate::control::{
    CaptureDesk, CaptureEnd, CaptureRecord, CaptureRecordState, CaptureRefused, CaptureWish, CapturesStatus,
    CommandQueue, CommandRefused, Download,
};
use crate::packet::{Frame, Link};
use crate::pipeline::SourceId;
use crate::store::{CaptureFolder, Part};
use crate::sys::clock::{self, Stopwatch};
use crate::time::Span;

/// Captures at once.
const AT_ONCE: usize = 2;
/// Bytes of a part.
const PART: u64 = 8 << 20;
/// Longest wait for packets, after which limits and the wish to stop are looked at.
const LOOK: Span = Span::from_millis(200);
/// What the end of a capture may take: a part is written to a slow medium.
const ENDING: Span = Span::from_secs(10);
/// Bundles of packets on their way, of all sources of a capture together, but at least two of each: 2 MiB.
const BUNDLES: usize = 8;
/// Packets of each source that are looked at for the link types that there are.
const SAMPLE: usize = 64;

/// The desk that HTTP asks.
pub(super) struct Recordings {
    commands: CommandQueue,
    shared: Arc<Shared>,
    running: Mutex<BTreeMap<u64, Running>>,
}

/// What the threads share.
struct Shared {
    folder: Arc<CaptureFolder>,
    lost: AtomicU64,
    write_errors: AtomicU64,
    failing: Mutex<Option<String>>,
}

/// One under way.
struct Running {
    stop: Arc<AtomicBool>,
    /// Disconnected once its thread has ended.
    ended: Receiver<()>,
}

impl Running {
    fn has_ended(&self) -> bool {
        matches!(self.ended.try_recv(), Err(std::sync::mpsc::TryRecvError::Disconnected))
    }

    fn wait(&self, patience: Span) -> bool {
        matches!(self.ended.recv_timeout(patience.to_std()), Err(RecvTimeoutError::Disconnected))
    }
}

impl Recordings {
    pub(super) fn new(folder: Arc<CaptureFolder>, commands: CommandQueue) -> Self {
        let (lost, write_errors) = (AtomicU64::new(0), AtomicU64::new(0));
        let shared = Arc::new(Shared { folder, lost, write_errors, failing: Mutex::new(None) });
        Self { commands, shared, running: Mutex::default() }
    }

    /// How they do.
    pub(super) fn status(&self) -> CapturesStatus {
        let (captures, bytes, quota, deleted) = self.shared.folder.room();
        let running = self.running(|running| running.values().filter(|r| !r.has_ended()).count());
        CapturesStatus {
            running: u64::try_from(running).unwrap_or(u64::MAX),
            captures,
            bytes,
            quota,
            lost: self.shared.lost.load(Ordering::Relaxed),
            deleted,
            write_errors: self.shared.write_errors.load(Ordering::Relaxed),
            failing: self.shared.failing().clone(),
        }
    }

    /// Ends all; whether they ended in time. One that did not counts as interrupted at the next start.
    pub(super) fn close(&self, patience: Span) -> bool {
        self.running(|running| {
            running.values().for_each(|one| one.stop.store(true, Ordering::Relaxed));
            let clock = Stopwatch::start();
            running.values().all(|one| {
                let left = patience.as_nanos().saturating_sub(clock.elapsed().as_nanos());
                one.wait(Span::from_nanos(left))
            })
        })
    }

    fn running<T>(&self, with: impl FnOnce(&mut BTreeMap<u64, Running>) -> T) -> T {
        with(&mut self.running.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The link types that the packets have which came last, and Ethernet.
    fn links(&self, sources: &[SourceId]) -> Result<Vec<Link>, CommandRefused> {
        let mut links = vec![Link::Ethernet];
        for source in sources {
            for frame in self.commands.recent_packets(Some(*source), SAMPLE, None)?.frames() {
                if !links.contains(&frame.link) {
                    links.push(frame.link);
                }
            }
        }
        Ok(links)
    }

    fn begin(&self, wish: &CaptureWish) -> Result<(CaptureRecord, Running), CaptureRefused> {
        let sources = self.commands.sources();
        if sources.is_empty() {
            return Err(CommandRefused::Impossible("nothing is captured yet".to_owned()).into());
        }
        let links = self.links(&sources)?;
        let filters = || LinkFilters::new(&wish.filter, &links);
        let bundles = (BUNDLES / sources.len().max(1)).max(2);
        let (full, taken) = sync_channel(sources.len() * bundles);
        let tally = Arc::new(Tally::default());
        let snapshot = usize::try_from(wish.limits.snaplen).unwrap_or(usize::MAX);
        let (mut recorders, mut emptied) = (Vec::new(), Vec::new());
        for (source, id) in sources.iter().enumerate() {
            let outlet = Outlet { source, bundles, full: full.clone(), tally: Arc::clone(&tally) };
            let (recorder, back) = Recorder::new(filters()?, snapshot, outlet);
            recorders.push((*id, recorder));
            emptied.push(back);
        }
        drop(full);
        let past = filters()?;
        let record = self.shared.folder.begin(begun(wish)).inspect_err(|error| self.shared.fail(error))?;
        let wanted = wish.limits.before_seconds > 0;
        let begin = |(id, recorder)| Ok((id, self.commands.record(id, recorder, wanted)?));
        let moments: Result<Vec<_>, CommandRefused> = recorders.into_iter().map(begin).collect();
        let moments = moments.inspect_err(|_| {
            // Those that began take no more.
            tally.ended.store(true, Ordering::Relaxed);
            drop(self.shared.folder.delete(record.id));
        })?;
        let (stop, (ending, ended)) = (Arc::new(AtomicBool::new(false)), sync_channel(1));
        let writing = Writing {
            shared: Arc::clone(&self.shared),
            commands: self.commands.clone(),
            record: record.clone(),
            sources: moments.iter().map(|(id, m)| (*id, m.source.clone(), m.counters)).collect(),
            tally,
            stop: Arc::clone(&stop),
            taken,
            emptied,
            clock: Stopwatch::start(),
            open: None,
            parts: 0,
            packets: 0,
            complete: Whole::default(),
        };
        let run = move || {
            writing.run(&moments, past);
            drop(ending);
        };
        thread::Builder::new().name("recording".to_owned()).spawn(run)?;
        Ok((record, Running { stop, ended }))
    }
}

/// The record of a capture that begins.
fn begun(wish: &CaptureWish) -> CaptureRecord {
    CaptureRecord {
        id: 0,
        name: wish.name.clone(),
        filter: wish.filter.clone(),
        limits: wish.limits,
        state: CaptureRecordState::Running,
        ended_because: None,
        started: clock::now().to_string(),
        ended: None,
        written_packets: 0,
        written_bytes: 0,
        lost_packets: 0,
    }
}

impl CaptureDesk for Recordings {
    fn start(&self, mut wish: CaptureWish) -> Result<CaptureRecord, CaptureRefused> {
        check_filter(&wish.filter)?;
        wish.limits.bytes = wish.limits.bytes.min(self.shared.folder.quota());
        // One begins after the other, so that there are never too many.
        self.running(|running| {
            running.retain(|_, one| !one.has_ended());
            if running.len() >= AT_ONCE {
                return Err(CaptureRefused::Busy);
            }
            let (record, one) = self.begin(&wish)?;
            *self.shared.failing() = None;
            running.insert(record.id, one);
            tracing::info!("capture {} on demand is begun", record.id);
            Ok(record)
        })
    }

    fn list(&self) -> Vec<CaptureRecord> {
        self.shared.folder.list()
    }

    fn find(&self, id: u64) -> Option<CaptureRecord> {
        self.shared.folder.find(id)
    }

    fn stop(&self, id: u64) -> Result<CaptureRecord, CaptureRefused> {
        let ended = self.running(|running| {
            let Some(one) = running.get(&id) else { return true };
            one.stop.store(true, Ordering::Relaxed);
            one.wait(ENDING)
        });
        if !ended {
            return Err(CommandRefused::NoAnswer(ENDING).into());
        }
        self.find(id).ok_or(CaptureRefused::Unknown)
    }

    fn delete(&self, id: u64) -> Result<(), CaptureRefused> {
        match self.find(id).map(|record| record.state) {
            None => Err(CaptureRefused::Unknown),
            Some(CaptureRecordState::Running) => Err(CaptureRefused::InUse),
            Some(CaptureRecordState::Ended) => Ok(self.shared.folder.delete(id)?),
        }
    }

    fn file(&self, id: u64) -> Result<Download, CaptureRefused> {
        if self.find(id).is_none() {
            return Err(CaptureRefused::Unknown);
        }
        self.shared.folder.file(id)?.ok_or(CaptureRefused::Running)
    }
}

impl Shared {
    fn failing(&self) -> std::sync::MutexGuard<'_, Option<String>> {
        self.failing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fail(&self, error: &io::Error) {
        self.write_errors.fetch_add(1, Ordering::Relaxed);
        *self.failing() = Some(error.to_string());
        tracing::error!("a capture on demand cannot be written: {error}");
    }
}

/// A capture as its thread has it.
struct Writing {
    shared: Arc<Shared>,
    commands: CommandQueue,
    record: CaptureRecord,
    /// The sources, their names, and what they had counted at the beginning.
    sources: Vec<(SourceId, String, SourceCounters)>,
    tally: Arc<Tally>,
    stop: Arc<AtomicBool>,
    taken: Receiver<(usize, Bundle)>,
    emptied: Vec<SyncSender<Bundle>>,
    clock: Stopwatch,
    open: Option<(Part, Section<BufWriter<File>>)>,
    parts: u64,
    packets: u64,
    /// The parts that are complete.
    complete: Whole,
}

impl Writing {
    fn run(mut self, past: &[(SourceId, Moments)], filters: LinkFilters) {
        let written = self.write(past, filters);
        self.tally.ended.store(true, Ordering::Relaxed);
        let why = written.and_then(|why| self.finish_part().map(|()| why)).unwrap_or_else(|error| {
            self.shared.fail(&error);
            self.abandon_part();
            CaptureEnd::WriteFailed
        });
        let lost = self.tally.lost.load(Ordering::Relaxed);
        self.shared.lost.fetch_add(lost, Ordering::Relaxed);
        let Whole { packets, bytes } = self.complete;
        self.shared.folder.progress(self.record.id, packets, bytes, lost);
        if let Err(error) = self.shared.folder.end(self.record.id, why) {
            self.shared.fail(&error);
        }
    }

    /// Writes until it has ended, and says why.
    fn write(&mut self, past: &[(SourceId, Moments)], mut filters: LinkFilters) -> io::Result<CaptureEnd> {
        self.section()?;
        if let Some(why) = self.write_past(past, &mut filters)? {
            return Ok(why);
        }
        loop {
            match self.taken.recv_timeout(LOOK.to_std()) {
                Ok((source, mut bundle)) => {
                    let full = self.write_all(source, &bundle)?;
                    bundle.clear();
                    // The other end may be gone with its source.
                    drop(self.emptied.get(source).map(|emptied| emptied.try_send(bundle)));
                    if let Some(why) = full {
                        return Ok(why);
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(CaptureEnd::DaemonStopped),
            }
            if let Some((_, section)) = &mut self.open {
                section.flush()?;
            }
            if let Some(why) = self.end() {
                return Ok(why);
            }
        }
    }

    /// Why it is to end although packets may come.
    fn end(&self) -> Option<CaptureEnd> {
        let lost = self.tally.lost.load(Ordering::Relaxed);
        let room = self.shared.folder.progress(self.record.id, self.packets, self.written(), lost);
        if self.stop.load(Ordering::Relaxed) {
            Some(CaptureEnd::Stopped)
        } else if !room {
            Some(CaptureEnd::Quota)
        } else {
            let over = self.clock.elapsed() >= Span::from_secs(self.record.limits.seconds);
            over.then_some(CaptureEnd::Seconds)
        }
    }

    fn written(&self) -> u64 {
        self.complete.bytes + self.open.as_ref().map_or(0, |(_, section)| section.written())
    }

    /// What the rings held and matches, by time.
    fn write_past(
        &mut self,
        past: &[(SourceId, Moments)],
        filters: &mut LinkFilters,
    ) -> io::Result<Option<CaptureEnd>> {
        let before = Span::from_secs(self.record.limits.before_seconds);
        let mut found = Vec::new();
        for (source, (_, moments)) in past.iter().enumerate() {
            let since = moments.packets.now() - before;
            let young = moments.packets.frames().filter(|frame| frame.time >= since);
            found.extend(young.filter(|f| filters.matches(f) == Some(true)).map(|frame| (source, frame)));
        }
        found.sort_by_key(|(source, frame)| (frame.time, *source));
        for (source, frame) in found {
            if let Some(why) = self.write_one(source, &frame)? {
                return Ok(Some(why));
            }
        }
        Ok(None)
    }

    fn write_all(&mut self, source: usize, bundle: &Bundle) -> io::Result<Option<CaptureEnd>> {
        for frame in bundle.frames() {
            if let Some(why) = self.write_one(source, &frame)? {
                return Ok(Some(why));
            }
        }
        Ok(None)
    }

    fn write_one(&mut self, source: usize, frame: &Frame<'_>) -> io::Result<Option<CaptureEnd>> {
        let limits = self.record.limits;
        let cost = Section::<File>::cost(frame.bytes.len());
        if self.written() + u64::try_from(cost).unwrap_or(u64::MAX) > limits.bytes {
            return Ok(Some(CaptureEnd::Bytes));
        }
        if self.open.as_ref().is_some_and(|(_, section)| section.written() >= PART) {
            self.finish_part()?;
        }
        self.section()?.packet(source, frame, None)?;
        self.packets += 1;
        Ok((self.packets >= limits.packets).then_some(CaptureEnd::Packets))
    }

    /// The section that is open, or that of a new part.
    fn section(&mut self) -> io::Result<&mut Section<BufWriter<File>>> {
        if self.open.is_none() {
            self.parts += 1;
            let part = self.shared.folder.begin_part(self.record.id, self.parts)?;
            let CaptureRecord { id, name, filter, limits, .. } = &self.record;
            let origin = |(_, source, _): &(SourceId, String, SourceCounters)| Origin {
                name: source.clone(),
                filter: filter.clone(),
                snapshot: limits.snaplen,
            };
            let comment = format!("capture {id} on demand, part {}: {name}", self.parts);
            let out = BufWriter::new(part.file()?);
            let section = Section::begin(out, self.sources.iter().map(origin).collect(), &[comment])?;
            self.open = Some((part, section));
        }
        self.open.as_mut().map(|(_, section)| section).ok_or_else(|| io::Error::other("no part is open"))
    }

    /// Completes the open part.
    fn finish_part(&mut self) -> io::Result<()> {
        let counters = self.counted();
        let Some((part, section)) = self.open.take() else { return Ok(()) };
        let ended = section.end(&counters, self.tally.lost.load(Ordering::Relaxed));
        let finished = ended.and_then(|(_, written)| part.finish().map(|()| written));
        self.complete.bytes += finished.inspect_err(|_| self.salvage(&part))?;
        self.complete.packets = self.packets;
        Ok(())
    }

    /// Keeps what is whole of a part that cannot be written on.
    fn abandon_part(&mut self) {
        if let Some((part, _)) = self.open.take() {
            self.salvage(&part);
        }
    }

    fn salvage(&mut self, part: &Part) {
        let kept = part.salvage();
        self.complete.bytes += kept.bytes;
        self.complete.packets += kept.packets;
    }

    /// What the sources counted since the beginning; nothing where they do not answer.
    fn counted(&self) -> Vec<SourceCounters> {
        let now: BTreeMap<_, _> =
            self.commands.moments(|_| u64::MAX).unwrap_or_default().into_iter().collect();
        let since = |(source, _, then): &(SourceId, String, SourceCounters)| {
            let now = now.get(source).map_or(*then, |told| told.counters);
            SourceCounters {
                frames: now.frames.saturating_sub(then.frames),
                kernel_drops: now.kernel_drops.saturating_sub(then.kernel_drops),
                interface_drops: now.interface_drops.saturating_sub(then.interface_drops),
                broken_records: 0,
            }
        };
        self.sources.iter().map(since).collect()
    }
}
