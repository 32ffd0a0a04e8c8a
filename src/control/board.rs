//! [`Board`]: one slot for each publisher. Readers get the whole [`Status`] without waiting for anyone's work.

use std::sync::{Arc, Mutex, PoisonError};

use super::{FilesStatus, HttpStatus, JudgeStatus, Meters, MqttStatus, Status, StoreStatus};

/// The latest value of one publisher. The lock is held only to swap or copy a pointer.
#[derive(Debug)]
pub struct Slot<T>(Mutex<Option<Arc<T>>>);

impl<T> Slot<T> {
    /// Replaces the value.
    pub fn publish(&self, value: T) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(value));
    }

    /// Forgets the value: its publisher is no more.
    pub fn clear(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// The latest value; none before the first.
    #[must_use]
    pub fn latest(&self) -> Option<Arc<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl<T> Default for Slot<T> {
    fn default() -> Self {
        Self(Mutex::new(None))
    }
}

/// The slots of all publishers, shared by the whole daemon.
#[derive(Debug, Default)]
pub struct Board {
    /// The capture threads'.
    pub meter: Meters,
    /// The judging thread's.
    pub judge: Slot<JudgeStatus>,
    /// The store writer's.
    pub store: Slot<StoreStatus>,
    /// The MQTT client's.
    pub mqtt: Slot<MqttStatus>,
    /// The HTTP listener's.
    pub http: Slot<HttpStatus>,
    /// Of the capture files that are written.
    pub files: Slot<FilesStatus>,
}

impl Board {
    /// The latest of each.
    #[must_use]
    pub fn status(&self) -> Status {
        Status {
            meter: self.meter.latest(),
            judge: self.judge.latest(),
            store: self.store.latest(),
            mqtt: self.mqtt.latest(),
            http: self.http.latest(),
            files: self.files.latest(),
        }
    }
}
