//! What waits for the writer: a bounded queue of alerts, and one slot for each device and snapshot, where the latest
//! replaces what is still waiting. Knows nothing of the database.
//!
//! A channel would not do: it cannot give up waiting after a time, put a failed batch back, or replace an entry.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::mem::take;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::record::{KeptAlert, SnapshotName};
use super::{SnapshotName as Name, StoreError};
use crate::alert::{AlertId, Mark};
use crate::control::{DeviceSummary, OutboxKey};
use crate::sys::clock::Stopwatch;
use crate::time::Span;

/// Alerts that wait. More than a burst of the judge, who raises few, and one group for one flush. When it is full,
/// of each incident only `raised` and the latest telling stay, so that up to twice as many wait. For one more incident
/// the sender waits; while writes fail, it is refused and counted instead.
const ALERTS: usize = 64;
/// Devices that wait, and devices kept; a later one is not kept until others are.
pub(super) const MAX_DEVICES: usize = 8_192;
/// How long a sender waits for room.
const PATIENCE: Span = Span::from_secs(30);
/// Said of a writer that ended by a panic.
pub(super) const WRITER_DIED: &str = "the store's writer died of a fault; restart the daemon";

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
    /// Alerts that the writer has taken and not yet finished.
    in_hand: usize,
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
    pub(super) marks: BTreeMap<AlertId, Mark>,
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
        let small = !self.acknowledged.is_empty() || !self.marks.is_empty() || self.secret.is_some();
        small || !self.alerts.is_empty()
    }

    /// Whether a telling of this incident may wait too.
    fn has_room(&self, id: AlertId) -> bool {
        if self.alerts.len() < ALERTS {
            return true;
        }
        let incidents: BTreeSet<AlertId> = self.alerts.iter().map(|alert| alert.id).collect();
        incidents.len() < ALERTS || incidents.contains(&id)
    }

    /// When the queue is full, removes what a later telling of the same incident has made superfluous.
    fn compact(&mut self) {
        if self.alerts.len() <= ALERTS {
            return;
        }
        let (mut told, mut raised) = (BTreeSet::new(), BTreeSet::new());
        let mut kept: VecDeque<KeptAlert> = VecDeque::with_capacity(self.alerts.len());
        for alert in take(&mut self.alerts).into_iter().rev() {
            let first = alert.raised && raised.insert(alert.id);
            if told.insert(alert.id) || first {
                kept.push_front(alert);
            }
        }
        self.alerts = kept;
    }
}

impl State {
    /// Alerts that are not durable.
    fn unsaved(&self) -> u64 {
        u64::try_from(self.waiting.alerts.len() + self.in_hand).unwrap_or(u64::MAX)
    }
}

impl Inbox {
    /// Queues an alert. In a full queue it replaces what waits of its incident, except for `raised`; one of a further
    /// incident waits up to [`PATIENCE`].
    pub(super) fn push_alert(&self, alert: KeptAlert) -> Result<(), StoreError> {
        let waited = Stopwatch::start();
        let mut state = self.open()?;
        while !state.waiting.has_room(alert.id) {
            if let Some(why) = &state.failure {
                return Err(StoreError::Full { why: why.clone() });
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
        state.waiting.compact();
        self.accepted(state);
        Ok(())
    }

    /// Queues devices; those waiting under the same key are replaced. Says how many there was no room for.
    pub(super) fn push_devices(&self, devices: Vec<(Vec<u8>, DeviceSummary)>) -> Result<u64, StoreError> {
        let mut state = self.open()?;
        let mut refused = 0;
        for (key, device) in devices {
            if state.waiting.devices.len() < MAX_DEVICES || state.waiting.devices.contains_key(&key) {
                state.waiting.devices.insert(key, device);
            } else {
                refused += 1;
            }
        }
        self.accepted(state);
        Ok(refused)
    }

    /// Queues a snapshot; one waiting under the same name is replaced.
    pub(super) fn push_snapshot(&self, name: Name, bytes: Vec<u8>) -> Result<(), StoreError> {
        let mut state = self.open()?;
        state.waiting.snapshots.insert(name, bytes);
        self.accepted(state);
        Ok(())
    }

    /// Queues what was said of alerts; what waits of the same alert is replaced. While writes fail it is refused, so
    /// that no more waits than was said between two writes.
    pub(super) fn push_marks(&self, marks: Vec<(AlertId, Mark)>) -> Result<(), StoreError> {
        let mut state = self.open()?;
        if let Some(why) = &state.failure {
            return Err(StoreError::Failed { why: why.clone() });
        }
        state.waiting.marks.extend(marks);
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
                return Err(match state.unsaved() {
                    0 => StoreError::Late(deadline),
                    alerts => StoreError::Unsaved { why: StoreError::Late(deadline).to_string(), alerts },
                });
            };
            state = self.progress.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        match (&state.failure, state.unsaved()) {
            (None, 0) => Ok(()),
            (why, alerts) => {
                let why = why.clone().unwrap_or_else(|| WRITER_DIED.to_owned());
                Err(StoreError::Unsaved { why, alerts })
            }
        }
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
        state.in_hand = batch.alerts.len();
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
        state.in_hand = 0;
        drop(state);
        self.progress.notify_all();
    }

    /// For the writer: the batch could not be written and waits again, except for what was replaced meanwhile.
    pub(super) fn put_back(&self, batch: Batch, why: String) {
        let mut state = self.lock();
        for alert in batch.alerts.into_iter().rev() {
            state.waiting.alerts.push_front(alert);
        }
        state.waiting.compact();
        state.in_hand = 0;
        state.waiting.acknowledged.extend(batch.acknowledged);
        for (key, device) in batch.devices {
            state.waiting.devices.entry(key).or_insert(device);
        }
        for (name, bytes) in batch.snapshots {
            state.waiting.snapshots.entry(name).or_insert(bytes);
        }
        for (id, mark) in batch.marks {
            state.waiting.marks.entry(id).or_insert(mark);
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

    /// For the writer: it ends. How many alerts are lost by that is counted before anyone sees it.
    pub(super) fn end(&self, lost: &AtomicU64) {
        let mut state = self.lock();
        lost.fetch_add(state.unsaved(), Ordering::Relaxed);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::record::tests::alert;
    use crate::time::Timestamp;

    fn kept(incident: u64, event: &str, second: i64) -> KeptAlert {
        let id = AlertId::new(Timestamp::EPOCH, incident);
        KeptAlert::new(&alert(id, event, Timestamp::from_parts(second, 0))).unwrap()
    }

    /// What waits, as incident and second.
    fn waiting(inbox: &Inbox) -> Vec<(AlertId, i64)> {
        let alerts = &inbox.lock().waiting.alerts;
        alerts.iter().map(|alert| (alert.id, alert.last_seen.as_nanos() / 1_000_000_000)).collect()
    }

    fn failing() -> Inbox {
        let inbox = Inbox::default();
        inbox.put_back(Batch::default(), "no space".to_owned());
        inbox
    }

    #[test]
    fn below_the_limit_every_telling_waits() {
        let inbox = Inbox::default();
        inbox.push_alert(kept(1, "raised", 0)).unwrap();
        for second in 1..64 {
            inbox.push_alert(kept(1, "updated", second)).unwrap();
        }
        assert_eq!(waiting(&inbox).len(), 64);
    }

    #[test]
    fn in_a_full_queue_the_first_and_the_latest_telling_stay_and_only_a_further_incident_is_refused() {
        let inbox = failing();
        for incident in 0..64 {
            inbox.push_alert(kept(incident, "raised", 0)).unwrap();
        }
        let refused = inbox.push_alert(kept(64, "raised", 1)).unwrap_err();
        assert!(
            refused.to_string().contains("no space") && refused.to_string().contains("lost"),
            "{refused}"
        );
        for (second, event) in [(2, "updated"), (3, "updated"), (4, "cleared")] {
            inbox.push_alert(kept(7, event, second)).unwrap();
        }
        let mut expected: Vec<_> = (0..64).map(|n| (AlertId::new(Timestamp::EPOCH, n), 0)).collect();
        expected.push((AlertId::new(Timestamp::EPOCH, 7), 4));
        assert_eq!(waiting(&inbox), expected);
        assert!(matches!(inbox.push_alert(kept(64, "raised", 5)), Err(StoreError::Full { .. })));
    }

    #[test]
    fn superfluous_tellings_make_room_for_further_incidents() {
        let inbox = failing();
        for incident in 0..63 {
            inbox.push_alert(kept(incident, "updated", 0)).unwrap();
        }
        inbox.push_alert(kept(0, "updated", 1)).unwrap();
        inbox.push_alert(kept(63, "raised", 2)).unwrap();
        let all: BTreeSet<AlertId> = waiting(&inbox).into_iter().map(|(id, _)| id).collect();
        assert_eq!((all.len(), waiting(&inbox).len()), (64, 64));
    }

    #[test]
    fn a_batch_that_comes_back_is_bounded_too() {
        let inbox = Inbox::default();
        for second in 0..64 {
            inbox.push_alert(kept(1, if second == 0 { "raised" } else { "updated" }, second)).unwrap();
        }
        let batch = inbox.take(Duration::ZERO, Duration::from_secs(60));
        for second in 64..128 {
            inbox.push_alert(kept(1, "updated", second)).unwrap();
        }
        inbox.put_back(batch, "no space".to_owned());
        let id = AlertId::new(Timestamp::EPOCH, 1);
        assert_eq!(waiting(&inbox), [(id, 0), (id, 127)]);
    }

    #[test]
    fn closing_tells_how_many_alerts_are_lost() {
        let inbox = failing();
        inbox.push_alert(kept(1, "raised", 0)).unwrap();
        inbox.push_alert(kept(2, "raised", 0)).unwrap();
        let batch = inbox.take(Duration::ZERO, Duration::from_secs(60));
        inbox.push_alert(kept(3, "raised", 0)).unwrap();
        let late = inbox.close(Span::ZERO).unwrap_err();
        assert!(matches!(late, StoreError::Unsaved { alerts: 3, .. }), "{late}");
        inbox.put_back(batch, "no space".to_owned());
        let lost = AtomicU64::new(0);
        inbox.end(&lost);
        assert_eq!(lost.into_inner(), 3);
        assert_eq!(
            inbox.close(Span::ZERO).unwrap_err().to_string(),
            "the store was closed before everything was stored (no space); alerts lost: 3"
        );
    }

    #[test]
    fn devices_beyond_the_limit_are_counted() {
        let inbox = Inbox::default();
        let device = crate::store::record::tests::device(1);
        let some = |from: usize, to: usize| {
            (from..to).map(|n| (n.to_be_bytes().to_vec(), device.clone())).collect::<Vec<_>>()
        };
        assert_eq!(inbox.push_devices(some(0, MAX_DEVICES)).unwrap(), 0);
        assert_eq!(inbox.push_devices(some(MAX_DEVICES - 1, MAX_DEVICES + 3)).unwrap(), 3);
    }
}
