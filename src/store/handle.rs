//! [`Store`]: what the rest of the daemon holds. Writes go to the writer's inbox; reads go to the database directly.

use std::collections::BTreeMap;
use std::ops::{Bound, ControlFlow};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};

use super::captures::CaptureFolder;
use super::contain::contain;
use super::database::{Database, Direction, Tree, length};
use super::error::Fault;
use super::evidence::EvidenceFolder;
use super::housekeeping::snapshot_limit;
use super::ledger::Ledger;
use super::mark::{decode_mark, decode_rules, encode_rules};
use super::place::Place;
use super::record::{Head, KeptAlert, Manifest, SnapshotName, alert_key, decode_device, device_key};
use super::writer::{Folders, SECRET, Shared, Writer};
use super::{Config, StoreError};
use crate::alert::{AlertId, Mark, Rule, Severity};
use crate::control::wire::AlertRecord;
use crate::control::{
    AlertArchive, AlertFeed, AlertPage, AlertQuery, ArchiveError, DeliveryQueue, DeviceSummary,
    FeedbackCount, OutboxItem, OutboxKey, StoreStatus,
};
use crate::time::Span;

/// Open alerts that are read back; older ones beyond are left as they are.
const MAX_OPEN: usize = 1_024;
/// Records that one question looks at, which takes a fifth of a second: nobody needs a token to ask.
const MAX_LOOKED_AT: usize = 20_000;
/// Outbox entries in one answer.
const MAX_PENDING: usize = 500;
/// Most bytes of the secret's hash.
const MAX_SECRET: usize = 1_024;
/// After this, a write that goes on counts as failing.
const SLOW_WRITE: Span = Span::from_secs(30);
/// How long the last handle waits for the writer when it was not closed.
const DROP_DEADLINE: Span = Span::from_secs(5);

/// A store that was opened.
pub struct Opened {
    /// The store.
    pub store: Store,
    /// Set when the database did not open and an empty one took its place: an alert should say so.
    pub replaced: Option<Replaced>,
}

/// A database that did not open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replaced {
    /// Where it was moved. It stays there until two later ones were moved aside too.
    pub moved_to: PathBuf,
    /// Why it did not open, as one line.
    pub why: String,
}

/// A handle on the store; cheap to clone. The last one that goes away closes it.
#[derive(Clone)]
pub struct Store(Arc<Handle>);

struct Handle {
    shared: Arc<Shared>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        // Whoever wants to know how it ended calls `close` first; after that this returns at once.
        drop(self.shared.inbox.close(DROP_DEADLINE));
    }
}

impl Store {
    /// Opens the store, or makes it, and starts its writer. Reads everything once (0.7 s for 80,000 alerts on a PC).
    /// A database that does not open is moved aside and replaced by an empty one.
    ///
    /// # Errors
    /// When the directory cannot be used, another process has the store, or the system refuses to open the database
    /// for a reason that is no damage (permission, full disk): then nothing is moved.
    pub fn open(config: &Config) -> Result<Opened, StoreError> {
        let mut config = config.clone();
        config.quota = config.quota.max(Config::MIN_QUOTA);
        let place = Place::take(&config.path)?;
        let in_place = |source| StoreError::Directory { path: config.path.clone(), source };
        let mut generation = place.current().map_err(in_place)?;
        let ledger = |generation| {
            let begun = place.is_complete(generation);
            Ledger::open(&place.generation(generation), config.cache).and_then(|ledger| ledger.begin(begun))
        };
        let (ledger, replaced) = match ledger(generation) {
            Ok(ledger) => (ledger, None),
            Err(fault) if fault.is_refusal() => return Err(refused(&place, generation, fault)),
            Err(fault) => {
                let path = place.generation(generation);
                let moved_to =
                    place.set_aside(generation).map_err(|source| StoreError::Aside { path, source })?;
                generation += 1;
                let ledger = ledger(generation).map_err(|fault| refused(&place, generation, fault))?;
                (ledger, Some(Replaced { moved_to, why: fault.to_string() }))
            }
        };
        place.complete(generation).map_err(in_place)?;
        let folders = Folders::open(&config).map_err(in_place)?;
        let is_kept = |id| {
            ledger.database.get(Tree::Alerts, alert_key(id).as_bytes()).map_or(true, |kept| kept.is_some())
        };
        folders.evidence.retain(is_kept);
        let shared = Arc::new(Shared {
            unreadable: AtomicU64::new(ledger.unreadable),
            replaced: replaced.as_ref().map(|r| r.moved_to.clone()),
            ..Shared::new(config, place, Arc::clone(&ledger.database), folders)
        });
        let writer = Writer::new(Arc::clone(&shared), generation, ledger);
        std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || writer.run())
            .map_err(StoreError::Thread)?;
        Ok(Opened { store: Self(Arc::new(Handle { shared })), replaced })
    }

    /// Hands an alert to the writer, which makes it durable, puts it into the archive and, where
    /// [`Config::deliver`] is set, into the outbox, and then wakes [`Store::on_outbox`]. Where 64 alerts wait already,
    /// it replaces what waits of its incident, except for `raised`; one of a further incident waits up to 30 s.
    ///
    /// # Errors
    /// When the alert cannot be keyed or is too large, 64 other incidents stay in the queue or writes fail meanwhile,
    /// or the store is closed. Each is counted as an alert lost.
    pub fn save_alert(&self, mut record: AlertRecord) -> Result<(), StoreError> {
        let shared = &self.0.shared;
        self.note_evidence(&mut record);
        KeptAlert::new(&record).and_then(|alert| shared.inbox.push_alert(alert)).inspect_err(|_| {
            shared.alerts_lost.fetch_add(1, Ordering::Relaxed);
        })
    }

    /// Replaces what is kept of these devices. Written within ten seconds, or with [`Store::flush`]; a device whose
    /// record is the same as the one kept costs no write. At most 8,192 are kept, those not seen for longest go
    /// first. A device without any address is left out; one for which there is no room among those that wait, or
    /// that is too large, is counted as a refused write.
    ///
    /// # Errors
    /// When the store is closed.
    pub fn save_devices(&self, devices: Vec<DeviceSummary>) -> Result<(), StoreError> {
        let keyed = devices.into_iter().filter_map(|device| Some((device_key(&device)?, device)));
        let refused = self.0.shared.inbox.push_devices(keyed.collect())?;
        self.0.shared.refused.fetch_add(refused, Ordering::Relaxed);
        Ok(())
    }

    /// Replaces a snapshot, all or nothing. Written within ten seconds, or with [`Store::flush`]. 3 MB cost
    /// about 6 MB of writing.
    ///
    /// # Errors
    /// When it is larger than a third of what the quota has room for (which is counted as a refused write), or the
    /// store is closed.
    pub fn save_snapshot(&self, name: SnapshotName, bytes: Vec<u8>) -> Result<(), StoreError> {
        let shared = &self.0.shared;
        if length(&bytes) > snapshot_limit(shared.config.quota) {
            shared.refused.fetch_add(1, Ordering::Relaxed);
            return Err(StoreError::Record {
                what: "snapshot",
                why: "it is larger than a third of the room; raise the store's quota",
            });
        }
        shared.inbox.push_snapshot(name, bytes)
    }

    /// Replaces what is kept of the owner's words on these alerts; an empty mark is removed. Durable after
    /// [`Store::flush`]. What is said of an alert that is not there is not kept.
    ///
    /// # Errors
    /// When writes fail, or the store is closed.
    pub fn save_marks(&self, marks: Vec<(AlertId, Mark)>) -> Result<(), StoreError> {
        self.0.shared.inbox.push_marks(marks)
    }

    /// Replaces what is kept of what the owner expects. Durable after [`Store::flush`].
    ///
    /// # Errors
    /// As for [`Store::save_snapshot`].
    pub fn save_expected(&self, rules: &[Rule]) -> Result<(), StoreError> {
        let refused = StoreError::Record { what: "rules of what is expected", why: "they have no JSON form" };
        self.save_snapshot(SnapshotName::Expected, encode_rules(rules).ok_or(refused)?)
    }

    /// What the owner expects, as it was saved last; nothing before the first time, and nothing (counted as
    /// unreadable) when it is damaged or of another version.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn expected(&self) -> Result<Vec<Rule>, StoreError> {
        let bytes = self.snapshot(SnapshotName::Expected)?;
        Ok(bytes.and_then(|bytes| decode_rules(&bytes).or_else(|| self.unreadable())).unwrap_or_default())
    }

    /// What the owner said of an alert; nothing where it cannot be read, which is counted.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn mark(&self, id: AlertId) -> Result<Mark, StoreError> {
        self.read("what was said of an alert", |database| self.mark_of(database, alert_key(id).as_bytes()))
    }

    /// Replaces the hash of the admin token. Durable after [`Store::flush`].
    ///
    /// # Errors
    /// When it is longer than 1,024 bytes, or the store is closed.
    pub fn save_secret(&self, hash: Vec<u8>) -> Result<(), StoreError> {
        if hash.len() > MAX_SECRET {
            return Err(StoreError::Record { what: "secret", why: "it is longer than 1,024 bytes" });
        }
        self.0.shared.inbox.push_secret(hash)
    }

    /// The hash of the admin token; none before the first was saved.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn secret(&self) -> Result<Option<Vec<u8>>, StoreError> {
        self.read("the admin token", |database| Ok(database.get(Tree::Meta, SECRET)?.map(|v| v.to_vec())))
    }

    /// The latest durable snapshot; none before the first, and none (counted as unreadable) when it is damaged or of
    /// another version.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn snapshot(&self, name: SnapshotName) -> Result<Option<Vec<u8>>, StoreError> {
        self.read("a snapshot", |database| {
            let Some(value) = database.get(Tree::Meta, name.word().as_bytes())? else { return Ok(None) };
            let Some(manifest) = Manifest::decode(&value) else { return Ok(self.unreadable()) };
            let mut bytes = Vec::new();
            let prefix = Manifest::chunk_prefix(name, manifest.generation);
            let start = Bound::Included(prefix.as_slice());
            database.for_each(
                Tree::Snapshots,
                (start, Bound::Unbounded),
                Direction::Rising,
                |key, chunk| {
                    if !key.starts_with(&prefix) {
                        return ControlFlow::Break(());
                    }
                    bytes.extend(chunk);
                    ControlFlow::Continue(())
                },
            )?;
            Ok(if manifest.fits(&bytes) { Some(bytes) } else { self.unreadable() })
        })
    }

    /// The devices kept, by key. Unreadable ones are skipped and counted.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn devices(&self) -> Result<Vec<DeviceSummary>, StoreError> {
        self.read("devices", |database| {
            let mut devices = Vec::new();
            let all = (Bound::Unbounded, Bound::Unbounded);
            database.for_each(Tree::Devices, all, Direction::Rising, |_, value| {
                devices.extend(decode_device(value).or_else(|| self.unreadable()));
                ControlFlow::Continue(())
            })?;
            Ok(devices)
        })
    }

    /// Incidents raised or updated and not cleared, newest first; at most 1,024.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn open_alerts(&self) -> Result<Vec<AlertRecord>, StoreError> {
        let query = AlertQuery { open: Some(true), ..AlertQuery::default() };
        let all = self.read("alerts", |database| self.matching(database, &query, (MAX_OPEN, usize::MAX)));
        all.map(|page| page.alerts)
    }

    /// How the store does. Every number is counted or measured; `bytes` as of the last write.
    #[must_use]
    pub fn status(&self) -> StoreStatus {
        let shared = &self.0.shared;
        let figures = shared.figures(|figures| figures.clone());
        let slow = figures.writing.and_then(|since| slow(since.elapsed()));
        StoreStatus {
            path: shared.place.root().display().to_string(),
            bytes: figures.bytes,
            quota: shared.config.quota,
            alerts: figures.alerts,
            alerts_expired: figures.alerts_expired,
            outbox: figures.outbox,
            outbox_dropped: figures.outbox_dropped,
            write_errors: figures.write_errors,
            alerts_lost: shared.alerts_lost.load(Ordering::Relaxed),
            refused_writes: shared.refused.load(Ordering::Relaxed),
            unreadable: shared.unreadable.load(Ordering::Relaxed),
            last_error: slow.clone().or(figures.last_error),
            failing: slow.or(figures.failing),
            replaced: shared.replaced.as_ref().map(|path| path.display().to_string()),
        }
    }

    /// Has `wake` called, on the writer's thread, after alerts became durable in the outbox. It replaces an earlier
    /// one, and should only signal.
    pub fn on_outbox(&self, wake: Box<dyn Fn() + Send + Sync>) {
        *self.0.shared.wake.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::from(wake));
    }

    /// Tells each alert once it is durable, to those who listen then.
    #[must_use]
    pub fn feed(&self) -> Arc<AlertFeed> {
        Arc::clone(&self.0.shared.feed)
    }

    /// Where evidence of alerts is kept.
    #[must_use]
    pub fn evidence(&self) -> Arc<EvidenceFolder> {
        Arc::clone(&self.0.shared.folders.evidence)
    }

    /// Where captures on demand are kept.
    #[must_use]
    pub fn captures(&self) -> Arc<CaptureFolder> {
        Arc::clone(&self.0.shared.folders.captures)
    }

    /// Notes what is captured of an alert now: a file may have come or gone since the record was written.
    fn note_evidence(&self, record: &mut AlertRecord) {
        if let Ok(id) = record.id.parse() {
            record.evidence.set_capture(id, self.0.shared.folders.evidence.capture(id));
        }
    }

    /// Whether alerts go into the outbox from now on, as [`Config::deliver`] says at the start. What is in it stays.
    pub fn set_deliver(&self, deliver: bool) {
        self.0.shared.deliver.store(deliver, Ordering::Relaxed);
    }

    /// Waits until everything saved so far is durable.
    ///
    /// # Errors
    /// When writes fail, the deadline passes (the writer goes on), or the store is closed.
    pub fn flush(&self, deadline: Span) -> Result<(), StoreError> {
        self.0.shared.inbox.flush(deadline)
    }

    /// Takes nothing more, makes everything durable, ends the writer and lets another process have the store; reads
    /// fail from then on. Closing twice is no error.
    ///
    /// # Errors
    /// When something is not on the medium, with the number of alerts of which that is true: the last write failed,
    /// or the deadline passed (the writer goes on and ends by itself).
    pub fn close(&self, deadline: Span) -> Result<(), StoreError> {
        self.0.shared.inbox.close(deadline)
    }

    /// Up to `limit` alerts that match, from at most `work` records.
    fn matching(
        &self,
        database: &Database,
        query: &AlertQuery,
        (limit, work): (usize, usize),
    ) -> Result<AlertPage, Fault> {
        let before = query.before.map(alert_key);
        let end = before.as_ref().map_or(Bound::Unbounded, |key| Bound::Excluded(key.as_bytes()));
        let mut found = Vec::new();
        let (mut looked, mut last, mut unsearched, mut fault) = (0, None, None, None);
        database.for_each(Tree::Alerts, (Bound::Unbounded, end), Direction::Falling, |key, value| {
            if looked >= work && last.is_some() {
                unsearched = last;
                return ControlFlow::Break(());
            }
            looked += 1;
            last = std::str::from_utf8(key).ok().and_then(|id| id.parse().ok()).or(last);
            match Head::read(value) {
                Some(head) if matches(&head, query) => {
                    match self.mark_of(database, key).map(|mark| self.wanted(&head, &mark, query)) {
                        Ok(record) => found.extend(record),
                        Err(error) => {
                            fault = Some(error);
                            return ControlFlow::Break(());
                        }
                    }
                }
                Some(_) => {}
                None => drop(self.unreadable::<()>()),
            }
            if found.len() < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        fault.map_or(Ok(AlertPage { alerts: found, unsearched }), Err)
    }

    /// The record with what was said of it, where that is asked for.
    fn wanted(&self, head: &Head<'_>, mark: &Mark, query: &AlertQuery) -> Option<AlertRecord> {
        // A severity of a later version is above all that this one knows.
        let settled = mark.settles(head.severity.unwrap_or(Severity::Critical));
        if query.acknowledged.is_some_and(|wanted| wanted != settled) {
            return None;
        }
        self.decoded(head, mark)
    }

    /// The record with what is kept of it elsewhere; none where it cannot be read, which is counted.
    fn decoded(&self, head: &Head<'_>, mark: &Mark) -> Option<AlertRecord> {
        let mut record = head.decode().map(|record| record.marked(mark)).or_else(|| self.unreadable())?;
        self.note_evidence(&mut record);
        Some(record)
    }

    /// What was said of an alert; nothing where it cannot be read, which is counted.
    fn mark_of(&self, database: &Database, key: &[u8]) -> Result<Mark, Fault> {
        let Some(value) = database.get(Tree::Marks, key)? else { return Ok(Mark::default()) };
        Ok(decode_mark(&value).or_else(|| self.unreadable()).unwrap_or_default())
    }

    /// Reads, with whatever sled throws caught.
    fn read<T>(
        &self,
        what: &'static str,
        work: impl FnOnce(&Database) -> Result<T, Fault>,
    ) -> Result<T, StoreError> {
        let shared = &self.0.shared;
        let Some(database) = shared.database() else {
            let why = shared.figures(|figures| figures.last_error.clone());
            return Err(why.map_or(StoreError::Closed, |why| StoreError::Failed { why }));
        };
        contain(|| work(&database)).unwrap_or_else(|panicked| Err(panicked.into())).map_err(|fault| {
            shared.figures(|figures| figures.last_error = Some(fault.to_string()));
            StoreError::Read { what, source: Box::new(fault) }
        })
    }

    /// Counts a record that cannot be read, and is nothing in its place.
    pub(super) fn unreadable<T>(&self) -> Option<T> {
        self.0.shared.unreadable.fetch_add(1, Ordering::Relaxed);
        None
    }
}

impl AlertArchive for Store {
    /// Reads from the newest on and stops as soon as there are enough, or 20,000 records were looked at.
    fn list(&self, query: &AlertQuery) -> Result<AlertPage, ArchiveError> {
        let limits = (query.limit.clamp(1, AlertQuery::MAX_LIMIT), MAX_LOOKED_AT);
        self.read("alerts", |database| self.matching(database, query, limits)).map_err(archive_error)
    }

    fn get(&self, id: AlertId) -> Result<Option<AlertRecord>, ArchiveError> {
        self.read("an alert", |database| {
            let key = alert_key(id);
            let Some(value) = database.get(Tree::Alerts, key.as_bytes())? else { return Ok(None) };
            let mark = self.mark_of(database, key.as_bytes())?;
            Ok(Head::read(&value).map_or_else(|| self.unreadable(), |head| self.decoded(&head, &mark)))
        })
        .map_err(archive_error)
    }

    /// Of the newest 20,000 alerts of which something was said.
    fn feedback(&self) -> Result<BTreeMap<String, FeedbackCount>, ArchiveError> {
        self.read("what was said of alerts", |database| {
            let mut counts: BTreeMap<String, FeedbackCount> = BTreeMap::new();
            let (all, mut looked) = ((Bound::Unbounded, Bound::Unbounded), 0);
            database.for_each(Tree::Marks, all, Direction::Falling, |_, value| {
                let mark = decode_mark(value).or_else(|| self.unreadable());
                if let Some(Mark { model: Some(model), feedback, .. }) = mark {
                    let count = counts.entry(model).or_default();
                    let of =
                        if feedback.is_some() { &mut count.false_positives } else { &mut count.confirmed };
                    *of += 1;
                }
                looked += 1;
                if looked < MAX_LOOKED_AT { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            })?;
            Ok(counts)
        })
        .map_err(archive_error)
    }
}

impl DeliveryQueue for Store {
    /// At most 500 at once. An unreadable entry is skipped, counted, and removed by the writer.
    fn pending(&self, after: Option<OutboxKey>, limit: usize) -> Result<Vec<OutboxItem>, ArchiveError> {
        let acknowledged = self.0.shared.inbox.acknowledged();
        let after = after.map(|key| key.0.to_be_bytes());
        let start = after.as_ref().map_or(Bound::Unbounded, |key| Bound::Excluded(key.as_slice()));
        let limit = limit.min(MAX_PENDING);
        let mut hopeless = Vec::new();
        let items = self.read("the outbox", |database| {
            let mut items = Vec::new();
            database.for_each(Tree::Outbox, (start, Bound::Unbounded), Direction::Rising, |key, value| {
                if items.len() >= limit {
                    return ControlFlow::Break(());
                }
                let position = <[u8; 8]>::try_from(key).ok().map(|key| OutboxKey(u64::from_be_bytes(key)));
                if position.is_some_and(|key| acknowledged.contains(&key)) {
                    return ControlFlow::Continue(());
                }
                let record = Head::read(value).and_then(|head| head.decode());
                match (position, record) {
                    (Some(key), Some(record)) => items.push(OutboxItem { key, record }),
                    (position, _) => hopeless.extend(self.unreadable().or(position)),
                }
                ControlFlow::Continue(())
            })?;
            Ok(items)
        });
        for key in hopeless {
            // A store that is being closed removes it the next time.
            drop(self.0.shared.inbox.push_acknowledged(key));
        }
        items.map_err(archive_error)
    }

    fn acknowledge(&self, key: OutboxKey) -> Result<(), ArchiveError> {
        self.0.shared.inbox.push_acknowledged(key).map_err(archive_error)
    }
}

/// What is wrong with a write that has been going on for this long.
fn slow(time: Span) -> Option<String> {
    (time > SLOW_WRITE)
        .then(|| format!("a write has been going on for {} s: the disk is slow or stuck", time.as_secs()))
}

fn matches(head: &Head<'_>, query: &AlertQuery) -> bool {
    query.since.is_none_or(|since| head.last_seen >= since)
        && query.kind.is_none_or(|kind| head.kind == kind.word())
        && query.severity.is_none_or(|least| head.severity.is_some_and(|severity| severity >= least))
        && query.open.is_none_or(|open| head.open == open)
}

fn archive_error(error: StoreError) -> ArchiveError {
    ArchiveError(Box::new(error))
}

fn refused(place: &Place, generation: u64, fault: Fault) -> StoreError {
    StoreError::Open { path: place.generation(generation), source: Box::new(fault) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_counts_as_failing_once_it_is_slow() {
        assert_eq!(slow(SLOW_WRITE), None);
        assert!(slow(Span::from_secs(31)).unwrap().starts_with("a write has been going on for 31 s"));
    }
}
