//! [`KeptSettings`]: what was set remotely, version by version, as one record that is replaced as a whole.
//!
//! Format, version 1: JSON of the structs below. A record that does not decode is as none (and counted), so that the
//! daemon starts with its files alone. Passwords are in it as they were given; the store's directory is private.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::record::{VERSION, from_json};
use super::{SnapshotName, Store, StoreError};
use crate::control::Author;
use crate::time::Timestamp;

/// The newest versions, and whether the newest is on trial.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeptSettings {
    /// Oldest first; at most [`KeptSettings::MAX_VERSIONS`].
    pub versions: Vec<KeptVersion>,
    /// The newest version holds only once the capture has come back with it.
    pub on_trial: bool,
}

/// What was set remotely at one time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptVersion {
    /// From 1, rising.
    pub number: u64,
    /// On the wall clock.
    pub time: Timestamp,
    /// Who made it.
    pub author: Author,
    /// Why, for a rollback.
    pub reason: Option<String>,
    /// All of it: text by key.
    pub overlay: BTreeMap<String, String>,
}

impl KeptSettings {
    /// Versions kept; the oldest goes first.
    pub const MAX_VERSIONS: usize = 20;

    /// The newest version.
    #[must_use]
    pub fn latest(&self) -> Option<&KeptVersion> {
        self.versions.last()
    }

    /// What was set in a version; nothing in version 0. None where it is not kept.
    #[must_use]
    pub fn overlay(&self, number: u64) -> Option<BTreeMap<String, String>> {
        let kept = self.versions.iter().find(|version| version.number == number);
        kept.map(|version| version.overlay.clone()).or_else(|| (number == 0).then(BTreeMap::new))
    }

    /// What was set before the newest version.
    #[must_use]
    pub fn before(&self) -> BTreeMap<String, String> {
        self.versions.iter().rev().nth(1).map(|version| version.overlay.clone()).unwrap_or_default()
    }

    /// Adds a version with the next number.
    pub fn push(
        &mut self,
        time: Timestamp,
        author: Author,
        reason: Option<String>,
        overlay: BTreeMap<String, String>,
    ) {
        let number = self.latest().map_or(0, |version| version.number).saturating_add(1);
        self.versions.push(KeptVersion { number, time, author, reason, overlay });
        let beyond = self.versions.len().saturating_sub(Self::MAX_VERSIONS);
        self.versions.drain(..beyond);
    }

    fn encode(&self) -> Option<Vec<u8>> {
        let versions = self.versions.iter().map(|version| Version {
            number: version.number,
            time: version.time.as_nanos(),
            author: version.author.word().to_owned(),
            reason: version.reason.clone(),
            overlay: version.overlay.clone(),
        });
        let record = Record { versions: versions.collect(), on_trial: self.on_trial };
        let mut value = vec![VERSION];
        serde_json::to_writer(&mut value, &record).ok().map(|()| value)
    }

    fn decode(value: &[u8]) -> Option<Self> {
        let record: Record = from_json(value)?;
        let version = |version: Version| {
            Some(KeptVersion {
                number: version.number,
                time: Timestamp::from_nanos(version.time),
                author: Author::ALL.into_iter().find(|author| author.word() == version.author)?,
                reason: version.reason,
                overlay: version.overlay,
            })
        };
        let versions = record.versions.into_iter().map(version).collect::<Option<Vec<_>>>()?;
        Some(Self { versions, on_trial: record.on_trial })
    }
}

#[derive(Serialize, Deserialize)]
struct Record {
    versions: Vec<Version>,
    on_trial: bool,
}

#[derive(Serialize, Deserialize)]
struct Version {
    number: u64,
    /// Nanoseconds since the epoch.
    time: i64,
    author: String,
    reason: Option<String>,
    overlay: BTreeMap<String, String>,
}

impl Store {
    /// Replaces what was set remotely. Durable after [`Store::flush`].
    ///
    /// # Errors
    /// When it is too large, or the store is closed.
    pub fn save_settings(&self, settings: &KeptSettings) -> Result<(), StoreError> {
        let no_form = StoreError::Record { what: "settings", why: "they have no JSON form" };
        self.save_snapshot(SnapshotName::Settings, settings.encode().ok_or(no_form)?)
    }

    /// What was set remotely, as it is durable; nothing before the first, and nothing (counted as unreadable) where
    /// it is damaged or of another version.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn settings(&self) -> Result<KeptSettings, StoreError> {
        let Some(bytes) = self.snapshot(SnapshotName::Settings)? else { return Ok(KeptSettings::default()) };
        Ok(KeptSettings::decode(&bytes).or_else(|| self.unreadable()).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Config;
    use crate::time::Span;

    fn open(path: &std::path::Path) -> Store {
        Store::open(&Config { path: path.to_owned(), ..Config::default() }).unwrap().store
    }

    fn overlay(value: u64) -> BTreeMap<String, String> {
        BTreeMap::from([("mqtt.port".to_owned(), value.to_string())])
    }

    fn filled(versions: u64) -> KeptSettings {
        let mut settings = KeptSettings::default();
        for n in 1..=versions {
            let reason = (n % 2 == 0).then(|| "no \"carrier\"".to_owned());
            settings.push(Timestamp::from_parts(1_800_000_000, 5), Author::Http, reason, overlay(n));
        }
        settings
    }

    #[test]
    fn the_newest_twenty_versions_survive_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path());
        assert_eq!(store.settings().unwrap(), KeptSettings::default());
        let mut settings = filled(25);
        settings.on_trial = true;
        store.save_settings(&settings).unwrap();
        store.flush(Span::from_secs(60)).unwrap();
        drop(store);
        let kept = open(folder.path()).settings().unwrap();
        assert_eq!(kept, settings);
        let numbers: Vec<u64> = kept.versions.iter().map(|v| v.number).collect();
        assert_eq!(numbers, (6..=25).collect::<Vec<_>>());
        assert_eq!((kept.overlay(7), kept.overlay(0)), (Some(overlay(7)), Some(BTreeMap::new())));
        assert_eq!((kept.overlay(5), kept.overlay(26), kept.before()), (None, None, overlay(24)));
        assert_eq!((filled(1).before(), filled(0).before()), (BTreeMap::new(), BTreeMap::new()));
    }

    #[test]
    fn bad_bytes_are_as_nothing_and_counted() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path());
        let good = filled(2).encode().unwrap();
        let other_version = [&[VERSION + 1], &good[1..]].concat();
        let cut = good[..good.len() - 1].to_vec();
        let author = String::from_utf8(good[1..].to_vec()).unwrap().replace("http", "gremlin");
        let stranger = [&[VERSION], author.as_bytes()].concat();
        for (bad, count) in [other_version, cut, stranger, Vec::new(), vec![0xff; 9]].into_iter().zip(1..) {
            store.save_snapshot(SnapshotName::Settings, bad).unwrap();
            store.flush(Span::from_secs(60)).unwrap();
            assert_eq!(store.settings().unwrap(), KeptSettings::default());
            assert_eq!(store.status().unreadable, count);
        }
    }
}
