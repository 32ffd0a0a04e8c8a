//! [`AlertFeed`]: alerts on their way to whoever listens now. What nobody hears is not kept: the archive has it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError, Weak};

use super::wire::AlertRecord;
use crate::time::Span;

/// Alerts that may wait for one listener; more than a burst of the judge. In a full queue the oldest gives way and is
/// counted, so that the listener can be told.
const WAITING: usize = 64;

/// Tells each alert to all who listen. Telling never waits for a listener.
#[derive(Debug, Default)]
pub struct AlertFeed {
    listeners: Mutex<Vec<Weak<Queue>>>,
    lost: AtomicU64,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: Mutex<Waiting>,
    arrived: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    alerts: VecDeque<Arc<AlertRecord>>,
    /// Alerts that gave way since the listener was last told of such.
    lost: u64,
}

/// What a listener hears.
#[derive(Clone, Debug, PartialEq)]
pub enum News {
    /// So many alerts before the next one were lost, because the listener was slow.
    Lost(u64),
    /// An alert was raised, updated or cleared, and is in the store.
    Alert(Arc<AlertRecord>),
}

impl AlertFeed {
    /// Listens from now on, until dropped. How many do so is for the caller to limit.
    #[must_use]
    pub fn listen(&self) -> Listener {
        let queue = Arc::new(Queue::default());
        let mut listeners = self.listeners.lock().unwrap_or_else(PoisonError::into_inner);
        listeners.retain(|listener| listener.strong_count() > 0);
        listeners.push(Arc::downgrade(&queue));
        Listener(queue)
    }

    /// Whether anyone listens.
    #[must_use]
    pub fn is_heard(&self) -> bool {
        let listeners = self.listeners.lock().unwrap_or_else(PoisonError::into_inner);
        listeners.iter().any(|listener| listener.strong_count() > 0)
    }

    /// Tells an alert.
    pub fn publish(&self, record: AlertRecord) {
        let record = Arc::new(record);
        let listeners = self.listeners.lock().unwrap_or_else(PoisonError::into_inner);
        for queue in listeners.iter().filter_map(Weak::upgrade) {
            let mut waiting = queue.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            if waiting.alerts.len() >= WAITING {
                waiting.alerts.pop_front();
                waiting.lost += 1;
                self.lost.fetch_add(1, Ordering::Relaxed);
            }
            waiting.alerts.push_back(Arc::clone(&record));
            queue.arrived.notify_one();
        }
    }

    /// Alerts lost to slow listeners since start; one that two listeners lost counts twice.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }
}

/// One who listens.
#[derive(Debug)]
pub struct Listener(Arc<Queue>);

impl Listener {
    /// The next piece of news, without waiting.
    #[must_use]
    pub fn poll(&self) -> Option<News> {
        let mut waiting = self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        match std::mem::take(&mut waiting.lost) {
            0 => waiting.alerts.pop_front().map(News::Alert),
            lost => Some(News::Lost(lost)),
        }
    }

    /// Waits until there is news, or `patience` is over.
    pub fn wait(&self, patience: Span) {
        let waiting = self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let none = |waiting: &mut Waiting| waiting.alerts.is_empty();
        drop(self.0.arrived.wait_timeout_while(waiting, patience.to_std(), none));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alert::{Alert, AlertId, Event, Severity};
    use crate::behaviour::{Kind, Party};
    use crate::time::Timestamp;

    fn record(count: u64) -> AlertRecord {
        AlertRecord::from(&Alert {
            id: AlertId::new(Timestamp::EPOCH, count),
            event: Event::Raised,
            timestamp: Timestamp::EPOCH,
            first_seen: Timestamp::EPOCH,
            last_seen: Timestamp::EPOCH,
            kind: Kind::PortScan,
            title: String::new(),
            description: String::new(),
            severity: Severity::High,
            score: 1.0,
            confidence: 1.0,
            subject: Party::default(),
            peers: Vec::new(),
            reasons: Vec::new(),
            packets: 0,
            bytes: 0,
            count,
            tap: "tap".to_owned(),
            model: None,
            baseline: None,
        })
    }

    fn heard(listener: &Listener) -> Vec<u64> {
        std::iter::from_fn(|| listener.poll())
            .map(|news| match news {
                News::Lost(lost) => panic!("{lost} were lost"),
                News::Alert(alert) => alert.count,
            })
            .collect()
    }

    #[test]
    fn all_who_listen_hear_what_is_told_from_then_on() {
        let feed = AlertFeed::default();
        assert!(!feed.is_heard());
        feed.publish(record(0));
        let early = feed.listen();
        feed.publish(record(1));
        let late = feed.listen();
        assert!(feed.is_heard());
        feed.publish(record(2));
        assert_eq!((heard(&early), heard(&late)), (vec![1, 2], vec![2]));
        drop((early, late));
        assert!(!feed.is_heard());
    }

    #[test]
    fn a_slow_listener_loses_the_oldest_and_is_told_how_many() {
        let feed = AlertFeed::default();
        let (slow, quick) = (feed.listen(), feed.listen());
        for count in 0..70 {
            feed.publish(record(count));
            assert_eq!(heard(&quick), [count]);
        }
        assert_eq!(slow.poll(), Some(News::Lost(6)));
        assert_eq!(heard(&slow), (6..70).collect::<Vec<_>>());
        assert_eq!(feed.lost(), 6);
    }

    #[test]
    fn waiting_ends_with_the_first_news() {
        let feed = Arc::new(AlertFeed::default());
        let listener = feed.listen();
        listener.wait(Span::from_millis(1));
        assert_eq!(listener.poll(), None);
        let teller = Arc::clone(&feed);
        let telling = std::thread::spawn(move || teller.publish(record(1)));
        listener.wait(Span::from_secs(60));
        assert_eq!(heard(&listener), [1]);
        telling.join().unwrap();
    }
}
