//! The writer: the one thread that changes the database. It takes batches, makes them durable, tells those who wait,
//! and keeps the store within its limits in between. A failure or a panic of sled ends neither it nor the daemon.
//!
//! What wears an SD card is paced: devices and snapshots are written at most every ten seconds, and only where
//! they changed; alerts are written and flushed at once, all that wait in one group.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};
use std::time::Duration;

use super::Config;
use super::captures::CaptureFolder;
use super::contain::contain;
use super::database::{Database, Tree};
use super::error::Fault;
use super::evidence::EvidenceFolder;
use super::housekeeping::{Deleted, expire_old, make_room, wants_rewrite};
use super::inbox::{Batch, Inbox, WRITER_DIED};
use super::ledger::Ledger;
use super::mark::encode_mark;
use super::place::Place;
use super::record::{Head, Manifest, SnapshotName, alert_key, encode_device};
use super::rewrite::Rewrite;
use crate::control::AlertFeed;
use crate::sys::clock::{self, Stopwatch};
use crate::time::Span;

/// Least time between two writes of devices and snapshots.
const BULK_INTERVAL: Span = Span::from_secs(10);
/// Time between two looks for alerts that are too old.
const AGE_INTERVAL: Span = Span::from_secs(600);
/// Time after a failure until the database is opened again.
const RETRY: Span = Span::from_secs(30);
/// Longest sleep.
const IDLE: Span = Span::from_secs(60);
/// Least time between two rewrites: short after one that went well, long after a failure.
const REWRITE_PAUSE: Span = Span::from_secs(60);
const REWRITE_PAUSE_AFTER_FAILURE: Span = Span::from_secs(3_600);

/// Key in [`Tree::Meta`] of the secret's hash.
pub(super) const SECRET: &[u8] = b"admin_token";

/// Called when an outbox entry became durable.
pub(super) type Wake = Arc<dyn Fn() + Send + Sync>;

/// What the writer and the readers share.
pub(super) struct Shared {
    pub(super) config: Config,
    pub(super) place: Place,
    pub(super) inbox: Inbox,
    /// For readers. Stays while writes fail, until it is opened again; none where that does not succeed.
    pub(super) database: RwLock<Option<Arc<Database>>>,
    pub(super) figures: Mutex<Figures>,
    /// Times that a record could not be read and was skipped.
    pub(super) unreadable: AtomicU64,
    /// Alerts that were refused to their sender, or not stored when the store was closed.
    pub(super) alerts_lost: AtomicU64,
    /// Devices and snapshots that were not taken.
    pub(super) refused: AtomicU64,
    /// Whether alerts go into the outbox.
    pub(super) deliver: AtomicBool,
    pub(super) wake: Mutex<Option<Wake>>,
    /// Tells each alert that became durable.
    pub(super) feed: Arc<AlertFeed>,
    /// Where a broken database was moved when this store was opened.
    pub(super) replaced: Option<PathBuf>,
    pub(super) folders: Folders,
}

/// What is kept as files.
pub(super) struct Folders {
    pub(super) evidence: Arc<EvidenceFolder>,
    pub(super) captures: Arc<CaptureFolder>,
}

impl Folders {
    /// Opens them, with the start's sweep.
    pub(super) fn open(config: &Config) -> io::Result<Self> {
        let evidence = config.path.join("evidence");
        Ok(Self {
            evidence: Arc::new(EvidenceFolder::open(&evidence, config.evidence, config.evidence_quota)?),
            captures: Arc::new(CaptureFolder::open(&config.path.join("captures"), config.captures_quota)?),
        })
    }
}

/// What the writer counts and measures.
#[derive(Clone, Debug, Default)]
pub(super) struct Figures {
    pub(super) bytes: u64,
    pub(super) alerts: u64,
    pub(super) outbox: u64,
    pub(super) alerts_expired: u64,
    pub(super) outbox_dropped: u64,
    pub(super) write_errors: u64,
    /// Why writes do not get through now.
    pub(super) failing: Option<String>,
    pub(super) last_error: Option<String>,
    /// Runs while a write is under way, so that one that hangs can be seen.
    pub(super) writing: Option<Stopwatch>,
}

impl Figures {
    /// Notes why writes do not get through.
    fn fail(&mut self, why: &str) {
        self.failing = Some(why.to_owned());
        self.last_error = Some(why.to_owned());
    }
}

impl Shared {
    pub(super) fn new(config: Config, place: Place, database: Arc<Database>, folders: Folders) -> Self {
        Self {
            deliver: AtomicBool::new(config.deliver),
            config,
            place,
            inbox: Inbox::default(),
            database: RwLock::new(Some(database)),
            figures: Mutex::new(Figures::default()),
            unreadable: AtomicU64::new(0),
            alerts_lost: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            wake: Mutex::new(None),
            feed: Arc::default(),
            replaced: None,
            folders,
        }
    }

    pub(super) fn figures<T>(&self, with: impl FnOnce(&mut Figures) -> T) -> T {
        with(&mut self.figures.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn database(&self) -> Option<Arc<Database>> {
        self.database.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn set_database(&self, database: Option<Arc<Database>>) {
        *self.database.write().unwrap_or_else(PoisonError::into_inner) = database;
    }
}

/// The writer's own state.
pub(super) struct Writer {
    shared: Arc<Shared>,
    /// Number of the generation in use.
    generation: u64,
    /// None while writes fail.
    ledger: Option<Ledger>,
    since_bulk: Option<Stopwatch>,
    since_age: Option<Stopwatch>,
    rewrite_pause: Option<(Stopwatch, Span)>,
    /// Generations that a rewrite replaced and that some reader may still hold.
    retired: Vec<(Weak<Database>, PathBuf)>,
}

impl Writer {
    pub(super) fn new(shared: Arc<Shared>, generation: u64, ledger: Ledger) -> Self {
        let writer = Self {
            shared,
            generation,
            ledger: Some(ledger),
            since_bulk: None,
            since_age: None,
            rewrite_pause: None,
            retired: Vec::new(),
        };
        writer.publish(Deleted::default());
        writer
    }

    /// Works until the store is closed.
    pub(super) fn run(mut self) {
        loop {
            if self.ledger.is_none() && !self.open_again() {
                break;
            }
            let bulk_in = self.since_bulk.map_or(Duration::ZERO, |s| left(s, BULK_INTERVAL));
            let batch = self.shared.inbox.take(bulk_in, self.idle());
            let last = batch.last;
            self.shared.figures(|figures| figures.writing = Some(Stopwatch::start()));
            match contain(|| self.round(&batch)).unwrap_or_else(|panicked| Err(panicked.into())) {
                Ok(deleted) => self.done(&batch, deleted),
                Err(fault) => self.fail(batch, &fault),
            }
            self.shared.figures(|figures| figures.writing = None);
            if last {
                break;
            }
        }
    }

    /// How long the writer may sleep: not at all while it copies.
    fn idle(&self) -> Duration {
        if self.ledger.as_ref().is_some_and(|ledger| ledger.rewrite.is_some()) {
            return Duration::ZERO;
        }
        self.since_age.map_or(Duration::ZERO, |s| left(s, AGE_INTERVAL)).min(IDLE.to_std())
    }

    /// Makes one batch durable, then does what housekeeping is due.
    fn round(&mut self, batch: &Batch) -> Result<Deleted, Fault> {
        let Some(ledger) = &mut self.ledger else { return Ok(Deleted::default()) };
        apply(ledger, batch, &self.shared)?;
        let mut deleted = make_room(ledger, &self.shared.config)?;
        if self.since_age.is_none_or(|s| left(s, AGE_INTERVAL).is_zero()) {
            deleted.alerts += expire_old(ledger, self.shared.config.alert_retention, clock::now())?;
            self.since_age = Some(Stopwatch::start());
        }
        if !batch.is_empty() || deleted != Deleted::default() {
            ledger.database.sync()?;
        }
        // What was captured of an alert goes with it.
        for id in std::mem::take(&mut ledger.removed_alerts) {
            self.shared.folders.evidence.forget(id);
        }
        if !batch.last {
            self.rewrite()?;
        }
        self.remove_retired();
        Ok(deleted)
    }

    /// Begins a rewrite where one is due, or does the next step of the one that runs.
    fn rewrite(&mut self) -> Result<(), Fault> {
        let Some(ledger) = &mut self.ledger else { return Ok(()) };
        let config = &self.shared.config;
        let Some(rewrite) = &mut ledger.rewrite else {
            let paused = self.rewrite_pause.is_some_and(|(since, pause)| !left(since, pause).is_zero());
            if !paused && wants_rewrite(ledger.database.bytes(), ledger.content, config.quota) {
                self.rewrite_pause = Some((Stopwatch::start(), REWRITE_PAUSE));
                ledger.rewrite = Some(Rewrite::begin(&self.shared.place, self.generation + 1, config.cache)?);
            }
            return Ok(());
        };
        if !rewrite.step(&ledger.database)? {
            return Ok(());
        }
        if let Some(rewrite) = ledger.rewrite.take() {
            let fresh = Arc::new(rewrite.complete(&self.shared.place)?);
            self.generation += 1;
            let old = std::mem::replace(&mut ledger.database, Arc::clone(&fresh));
            self.retired.push((Arc::downgrade(&old), old.directory().to_owned()));
            self.shared.set_database(Some(fresh));
        }
        Ok(())
    }

    /// Removes replaced generations that nobody reads any more. One that cannot be removed goes at the next start.
    fn remove_retired(&mut self) {
        self.retired.retain(|(database, directory)| {
            database.strong_count() > 0 || fs::remove_dir_all(directory).is_err() && directory.exists()
        });
    }

    fn done(&mut self, batch: &Batch, deleted: Deleted) {
        if batch.is_bulky() {
            self.since_bulk = Some(Stopwatch::start());
        }
        self.publish(deleted);
        self.shared.figures(|figures| figures.failing = None);
        // Before whoever waited for the batch goes on: who listens after that does not hear of it.
        self.tell(batch);
        self.shared.inbox.finish(batch);
        if self.shared.deliver.load(Ordering::Relaxed) && !batch.alerts.is_empty() {
            let wake = self.shared.wake.lock().unwrap_or_else(PoisonError::into_inner).clone();
            // A caller's panic is reported by the panic hook; it may not end the writer.
            drop(wake.map(|wake| std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| wake()))));
        }
    }

    /// Tells those who listen now what became durable.
    fn tell(&self, batch: &Batch) {
        if !self.shared.feed.is_heard() {
            return;
        }
        for alert in &batch.alerts {
            match Head::read(&alert.value).and_then(|head| head.decode()) {
                Some(record) => self.shared.feed.publish(record),
                None => drop(self.shared.unreadable.fetch_add(1, Ordering::Relaxed)),
            }
        }
    }

    /// Gives the database up for a while: sled refuses every write after a failed one until it is opened again.
    fn fail(&mut self, batch: Batch, fault: &Fault) {
        let why = fault.to_string();
        if self.ledger.as_ref().is_some_and(|ledger| ledger.rewrite.is_some()) {
            self.rewrite_pause = Some((Stopwatch::start(), REWRITE_PAUSE_AFTER_FAILURE));
        }
        if matches!(fault, Fault::Panicked(_)) {
            self.shared.set_database(None);
        }
        self.shared.figures(|figures| {
            figures.write_errors += 1;
            figures.fail(&why);
        });
        self.shared.inbox.put_back(batch, why);
        // Last: it flushes, and may hang where sled's threads have died. Senders already get the failure.
        self.drop_ledger();
    }

    fn drop_ledger(&mut self) {
        let ledger = self.ledger.take();
        // A panic on the way leaks the handle; opening it again then fails on sled's lock, and that is shown.
        drop(contain(|| drop(ledger)));
    }

    /// Opens the database again after a pause; false when the store is to be closed and that does not succeed.
    /// While the disk takes nothing, the old handle stays, so that what is kept can still be read.
    fn open_again(&mut self) -> bool {
        loop {
            let closing = self.shared.inbox.pause(RETRY.to_std());
            match self.shared.place.probe().map_err(Fault::from).and_then(|()| self.open_now()) {
                Ok(ledger) => {
                    self.shared.set_database(Some(Arc::clone(&ledger.database)));
                    self.ledger = Some(ledger);
                    return true;
                }
                Err(fault) => self.shared.figures(|figures| figures.fail(&fault.to_string())),
            }
            if closing {
                return false;
            }
        }
    }

    fn open_now(&mut self) -> Result<Ledger, Fault> {
        self.shared.set_database(None);
        self.generation = self.shared.place.current()?;
        Ledger::open(&self.shared.place.generation(self.generation), self.shared.config.cache)
    }

    fn publish(&self, deleted: Deleted) {
        let Some(ledger) = &self.ledger else { return };
        self.shared.figures(|figures| {
            figures.bytes = ledger.database.bytes();
            figures.alerts = ledger.records(Tree::Alerts);
            figures.outbox = ledger.records(Tree::Outbox);
            figures.alerts_expired += deleted.alerts;
            figures.outbox_dropped += deleted.outbox;
        });
    }
}

impl Drop for Writer {
    /// Whatever ends the writer ends the inbox too, so that nobody waits for it.
    fn drop(&mut self) {
        let end = |shared: &Shared| shared.inbox.end(&shared.alerts_lost);
        if std::thread::panicking() {
            self.shared.figures(|figures| {
                figures.write_errors += 1;
                figures.fail(WRITER_DIED);
            });
            // First, as what follows may hang. What is kept can be read until the handles have gone.
            end(&self.shared);
            self.drop_ledger();
        } else {
            self.shared.set_database(None);
            self.drop_ledger();
            self.shared.place.release();
            end(&self.shared);
        }
    }
}

/// Writes a batch. The order matters only where a kill in between would show: chunks of a snapshot before the
/// manifest, everything of an alert before anyone is told.
fn apply(ledger: &mut Ledger, batch: &Batch, shared: &Shared) -> Result<(), Fault> {
    if let Some(hash) = &batch.secret {
        ledger.put(Tree::Meta, SECRET, hash)?;
    }
    for alert in &batch.alerts {
        if shared.deliver.load(Ordering::Relaxed) {
            let position = ledger.take_position()?;
            ledger.put(Tree::Outbox, &position.to_be_bytes(), &alert.value)?;
        }
        ledger.put(Tree::Alerts, alert_key(alert.id).as_bytes(), &alert.value)?;
        ledger.newest = ledger.newest.max(alert.last_seen);
    }
    for (id, mark) in &batch.marks {
        let key = alert_key(*id);
        // What was said of an alert that was deleted meanwhile goes with it.
        let there = ledger.database.get(Tree::Alerts, key.as_bytes())?.is_some();
        match encode_mark(mark).filter(|_| there && !mark.is_empty()) {
            Some(value) => ledger.put(Tree::Marks, key.as_bytes(), &value)?,
            None => drop(ledger.remove(Tree::Marks, key.as_bytes())?),
        }
    }
    for key in &batch.acknowledged {
        ledger.remove(Tree::Outbox, &key.0.to_be_bytes())?;
    }
    for (key, device) in &batch.devices {
        let Some(value) = encode_device(device) else {
            shared.refused.fetch_add(1, Ordering::Relaxed);
            continue;
        };
        let same = ledger.database.get(Tree::Devices, key)?.is_some_and(|kept| *kept == *value);
        if !same {
            ledger.put(Tree::Devices, key, &value)?;
        }
    }
    batch.snapshots.iter().try_for_each(|(name, bytes)| save_snapshot(ledger, *name, bytes))
}

/// Writes a snapshot as a new generation of chunks beside the old one, then its manifest, then removes the old one.
fn save_snapshot(ledger: &mut Ledger, name: SnapshotName, bytes: &[u8]) -> Result<(), Fault> {
    let manifest_key = name.word().as_bytes();
    let kept = ledger.database.get(Tree::Meta, manifest_key)?.and_then(|value| Manifest::decode(&value));
    let generation = kept.map_or(0, |manifest| manifest.generation.wrapping_add(1));
    let manifest = Manifest::of(bytes, generation);
    let Some(manifest_value) = manifest.encode() else { return Ok(()) };
    for (chunk, at) in bytes.chunks(Manifest::CHUNK).zip(0_u32..) {
        ledger.put(Tree::Snapshots, &Manifest::chunk_key(name, generation, at), chunk)?;
    }
    ledger.put(Tree::Meta, manifest_key, &manifest_value)?;
    let ours = [name.word().as_bytes(), b"/"].concat();
    let current = Manifest::chunk_prefix(name, generation);
    let old = ledger.lowest(Tree::Snapshots, usize::MAX, |key, _| {
        std::ops::ControlFlow::Continue(key.starts_with(&ours) && !key.starts_with(&current))
    })?;
    for key in old {
        ledger.remove(Tree::Snapshots, &key)?;
    }
    Ok(())
}

/// What is left of `span` since `start`.
fn left(start: Stopwatch, span: Span) -> Duration {
    span.to_std().saturating_sub(start.elapsed().to_std())
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;
    use crate::alert::AlertId;
    use crate::store::StoreError;
    use crate::store::record::KeptAlert;
    use crate::store::record::tests::alert;
    use crate::time::Timestamp;

    fn writer(root: &std::path::Path) -> Writer {
        let place = Place::take(root).unwrap();
        let ledger = Ledger::open(&place.generation(0), 1 << 20).unwrap();
        let database = Arc::clone(&ledger.database);
        let config = Config { path: root.to_owned(), ..Config::default() };
        let folders = Folders::open(&config).unwrap();
        Writer::new(Arc::new(Shared::new(config, place, database, folders)), 0, ledger)
    }

    fn kept(incident: u64) -> KeptAlert {
        let id = AlertId::new(Timestamp::EPOCH, incident);
        KeptAlert::new(&alert(id, "raised", Timestamp::EPOCH)).unwrap()
    }

    #[test]
    fn failing_holds_from_a_failure_to_the_next_success() {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = writer(dir.path());
        let shared = Arc::clone(&writer.shared);
        let failing = || shared.figures(|figures| figures.failing.clone());
        writer.fail(Batch::default(), &io::Error::from(io::ErrorKind::StorageFull).into());
        assert_eq!(failing(), Some("no storage space".to_owned()));
        // A store that is being closed does not pause before it tries again.
        assert!(shared.inbox.close(Span::ZERO).is_err());
        assert!(writer.open_again());
        assert_eq!(failing(), Some("no storage space".to_owned()), "it has written nothing yet");
        writer.done(&Batch::default(), Deleted::default());
        assert_eq!(failing(), None);
        let history = shared.figures(|figures| (figures.write_errors, figures.last_error.clone()));
        assert_eq!(history, (1, Some("no storage space".to_owned())));
    }

    #[test]
    fn a_reopening_that_does_not_succeed_says_why_now() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("store");
        let mut writer = writer(&root);
        let shared = Arc::clone(&writer.shared);
        writer.fail(Batch::default(), &io::Error::from(io::ErrorKind::StorageFull).into());
        fs::remove_dir_all(&root).unwrap();
        assert!(shared.inbox.close(Span::ZERO).is_err());
        assert!(!writer.open_again());
        let why = shared.figures(|figures| figures.failing.clone()).unwrap();
        assert!(why.starts_with("No such file or directory"), "{why}");
    }

    #[test]
    fn a_panic_of_the_writer_ends_the_inbox() {
        let dir = tempfile::tempdir().unwrap();
        let writer = writer(dir.path());
        let shared = Arc::clone(&writer.shared);
        for incident in 0..3 {
            shared.inbox.push_alert(kept(incident)).unwrap();
        }
        let died = std::thread::spawn(move || {
            let _writer = writer;
            panic!("this panic is part of a test");
        });
        died.join().unwrap_err();
        assert!(matches!(shared.inbox.push_alert(kept(3)), Err(StoreError::Closed)));
        let closed = shared.inbox.close(Span::ZERO).unwrap_err();
        assert!(matches!(closed, StoreError::Unsaved { alerts: 3, .. }), "{closed}");
        assert_eq!(shared.alerts_lost.load(Ordering::Relaxed), 3);
        assert_eq!(shared.figures(|figures| figures.failing.clone()), Some(WRITER_DIED.to_owned()));
    }
}
