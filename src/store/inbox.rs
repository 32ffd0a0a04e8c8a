//! What waits for the writer: a bounded queue of alerts, and one slot for each device and snapshot, where the latest
//! replaces what is still waiting. Knows nothing of the database.
//!
//! A channel would not do: it cannot give up waiting after a time, put a failed batch back, or replace an entry.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::mem::take;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::record::{KeptAlert, SnapshotName};
use super::{SnapshotName as Name, StoreError};
use crate::control::{DeviceSummary, OutboxKey};
use crate::sys::clock::Stopwatch;
use crate::time::Span;

/// Alerts that wait. More than a burst of the judge, who raises few, and one group for one flush. When it is full the
/// sender waits; while writes fail, a further alert is refused and counted instead.
const ALERTS: usize = 64;
/// Devices that wait, and devices kept; a later one is not kept until others are.
pub(super) const MAX_DEVICES: usize = 8_192;
/// How long a sender waits for room.
const PATIENCE: Span = Span::from_secs(30);

/// The queue between callers and the writer.
#[derive(Default)]
pub(super) struct Inbox {
    state: Mutex<State>,
    /// Signals the writer.
    work: Condvar,
    /// Signals those who wait for room or for durability.
    progress: Condvar,
}

#[derive(Default)]
struct State {
    waiting: Batch,
    /// Acknowledged but perhaps still in the database; readers leave them out.
    acknowledged: BTreeSet<OutboxKey>,
    /// Things put in so far.
    accepted: u64,
    /// Of these, the first so many are durable.
    durable: u64,
    flush: bool,
    closing: bool,
    ended: bool,
    failure: Option<String>,
}

/// What the writer takes at once.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) alerts: VecDeque<KeptAlert>,
    pub(super) acknowledged: BTreeSet<OutboxKey>,
    pub(super) devices: BTreeMap<Vec<u8>, DeviceSummary>,
    pub(super) snapshots: BTreeMap<SnapshotName, Vec<u8>>,
    pub(super) secret: Option<Vec<u8>>,
    /// Everything put in before this number is in this batch or durable.
    ticket: Option<u64>,
    /// Whether the store is being closed, so that this is the last batch.
    pub(super) last: bool,
}

impl Batch {
    pub(super) fn is_empty(&self) -> bool {
        !self.is_urgent() && !self.is_bulky()
    }

    pub(super) fn is_bulky(&self) -> bool {
        !self.devices.is_empty() || !self.snapshots.is_empty()
    }

    fn is_urgent(&self) -> bool {
        !self.alerts.is_empty() || !self.acknowledged.is_empty() || self.secret.is_some()
    }
}

impl Inbox {
    /// Queues an alert; waits up to [`PATIENCE`] while the queue is full.
    pub(super) fn push_alert(&self, alert: KeptAlert) -> Result<(), StoreError> {
        let waited = Stopwatch::start();
        let mut state = self.open()?;
        while state.waiting.alerts.len() >= ALERTS {
            if let Some(why) = &state.failure {
                return Err(StoreError::Failed { why: why.clone() });
            }
            let Some(left) = PATIENCE.to_std().checked_sub(waited.elapsed().to_std()) else {
                return Err(StoreError::Late(PATIENCE));
            };
            state = self.progress.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
            if state.closing {
                return Err(StoreError::Closed);
            }
        }
        state.waiting.alerts.push_back(alert);
        self.accepted(state);
        Ok(())
    }

    /// Queues devices; those waiting under the same key are replaced.
    pub(super) fn push_devices(&self, devices: Vec<(Vec<u8>, DeviceSummary)>) -> Result<(), StoreError> {
        let mut state = self.open()?;
        for (key, device) in devices {
            if state.waiting.devices.len() < MAX_DEVICES || state.waiting.devices.contains_key(&key) {
                state.waiting.devices.insert(key, device);
            }
        }
        self.accepted(state);
        Ok(())
    }

    /// Queues a snapshot; one waiting under the same name is replaced.
    pub(super) fn push_snapshot(&self, name: Name, bytes: Vec<u8>) -> Result<(), StoreError> {
        let mut state = self.open()?;
        state.waiting.snapshots.insert(name, bytes);
        self.accepted(state);
        Ok(())
    }

    /// Queues the secret's hash.
    pub(super) fn push_secret(&self, hash: Vec<u8>) -> Result<(), StoreError> {
        let mut state = self.open()?;
        state.waiting.secret = Some(hash);
        self.accepted(state);
        Ok(())
    }

    /// Queues an acknowledgement; readers do not see the entry any more. Bounded by the outbox.
    pub(super) fn push_acknowledged(&self, key: OutboxKey) -> Result<(), StoreError> {
        let mut state = self.open()?;
        state.waiting.acknowledged.insert(key);
        state.acknowledged.insert(key);
        self.accepted(state);
        Ok(())
    }

    /// Entries that readers of the outbox leave out. To be asked before the outbox is read.
    pub(super) fn acknowledged(&self) -> BTreeSet<OutboxKey> {
        self.lock().acknowledged.clone()
    }

    /// Waits until everything put in so far is durable.
    pub(super) fn flush(&self, deadline: Span) -> Result<(), StoreError> {
        let mut state = self.open()?;
        let ticket = state.accepted;
        state.flush = true;
        self.work.notify_one();
        self.wait(state, deadline, |state| state.durable >= ticket)
    }

    /// Refuses whatever comes from now on, and waits until the writer has ended.
    pub(super) fn close(&self, deadline: Span) -> Result<(), StoreError> {
        let mut state = self.lock();
        state.closing = true;
        self.work.notify_one();
        self.progress.notify_all();
        let waited = Stopwatch::start();
        while !state.ended {
            let Some(left) = deadline.to_std().checked_sub(waited.elapsed().to_std()) else {
                return Err(StoreError::Late(deadline));
            };
            state = self.progress.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        state.failure.as_ref().map_or(Ok(()), |why| Err(StoreError::Failed { why: why.clone() }))
    }

    /// For the writer: the next batch. Waits for something urgent, but at most `bulk_in` when devices or snapshots
    /// wait, and at most `idle` in any case; the batch may then be empty.
    pub(super) fn take(&self, bulk_in: Duration, idle: Duration) -> Batch {
        let waited = Stopwatch::start();
        let mut state = self.lock();
        let everything = loop {
            if state.closing || state.flush {
                break true;
            }
            let limit = if state.waiting.is_bulky() { bulk_in.min(idle) } else { idle };
            let left = limit.saturating_sub(waited.elapsed().to_std());
            if left.is_zero() {
                break state.waiting.is_bulky() && bulk_in <= idle;
            }
            if state.waiting.is_urgent() {
                break false;
            }
            state = self.work.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        };
        let mut batch = take(&mut state.waiting);
        if everything {
            state.flush = false;
            batch.ticket = Some(state.accepted);
        } else {
            state.waiting.devices = take(&mut batch.devices);
            state.waiting.snapshots = take(&mut batch.snapshots);
        }
        batch.last = state.closing;
        drop(state);
        self.progress.notify_all();
        batch
    }

    /// For the writer: the batch is durable.
    pub(super) fn finish(&self, batch: &Batch) {
        let mut state = self.lock();
        state.durable = state.durable.max(batch.ticket.unwrap_or(0));
        for key in &batch.acknowledged {
            state.acknowledged.remove(key);
        }
        state.failure = None;
        drop(state);
        self.progress.notify_all();
    }

    /// For the writer: the batch could not be written and waits again, except for what was replaced meanwhile.
    pub(super) fn put_back(&self, batch: Batch, why: String) {
        let mut state = self.lock();
        for alert in batch.alerts.into_iter().rev() {
            state.waiting.alerts.push_front(alert);
        }
        state.waiting.acknowledged.extend(batch.acknowledged);
        for (key, device) in batch.devices {
            state.waiting.devices.entry(key).or_insert(device);
        }
        for (name, bytes) in batch.snapshots {
            state.waiting.snapshots.entry(name).or_insert(bytes);
        }
        state.waiting.secret = state.waiting.secret.take().or(batch.secret);
        state.failure = Some(why);
        drop(state);
        self.progress.notify_all();
    }

    /// For the writer while writes fail: waits, and says whether the store is being closed.
    pub(super) fn pause(&self, time: Duration) -> bool {
        let state = self.lock();
        self.work
            .wait_timeout_while(state, time, |state| !state.closing)
            .unwrap_or_else(PoisonError::into_inner)
            .0
            .closing
    }

    /// For the writer: it ends.
    pub(super) fn end(&self) {
        let mut state = self.lock();
        state.closing = true;
        state.ended = true;
        drop(state);
        self.progress.notify_all();
    }

    fn wait(
        &self,
        mut state: MutexGuard<'_, State>,
        deadline: Span,
        done: impl Fn(&State) -> bool,
    ) -> Result<(), StoreError> {
        let waited = Stopwatch::start();
        while !done(&state) {
            if let Some(why) = &state.failure {
                return Err(StoreError::Failed { why: why.clone() });
            }
            if state.ended {
                return Err(StoreError::Closed);
            }
            let Some(left) = deadline.to_std().checked_sub(waited.elapsed().to_std()) else {
                return Err(StoreError::Late(deadline));
            };
            state = self.progress.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        Ok(())
    }

    fn accepted(&self, mut state: MutexGuard<'_, State>) {
        state.accepted += 1;
        drop(state);
        self.work.notify_one();
    }

    fn open(&self) -> Result<MutexGuard<'_, State>, StoreError> {
        let state = self.lock();
        if state.closing { Err(StoreError::Closed) } else { Ok(state) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
