//! sled, with the settings, the durability and the memory bound that the store needs. Knows trees of bytes, not what
//! they mean. All calls of sled that may panic are made by callers inside [`contain`](super::contain::contain).
//!
//! What sled 0.34.7 does by itself, and what is added here:
//! - Its `flush` ends in `sync_file_range`, which does not put the file's size or a disk's write cache on the medium;
//!   [`Database::sync`] adds `fdatasync`, and flushes the separate files that it makes of very large pages.
//! - Its cache lets go of pages only every 64 accesses per shard, and loading a page is no access: reading 60 MB once
//!   left 91 MB resident with any cache size. [`Database::for_each`] therefore reads each record twice more, which
//!   costs half the time again and kept the same scan at 38 MB.
//! - Its background thread is off: it wakes twice a second, and a panic in it hangs the handle's drop.

use std::fs::{self, File};
use std::io;
use std::ops::{Bound, ControlFlow};
use std::path::{Path, PathBuf};

use super::error::Fault;
use super::place::bytes_in;
use crate::sys::clock::Stopwatch;
use crate::time::Span;

/// The trees. Few, because each costs pages and memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Tree {
    /// Counters, manifests, the token's hash.
    Meta,
    /// Alert id to the latest record of the incident.
    Alerts,
    /// Position to what is to be delivered.
    Outbox,
    /// Device key to device.
    Devices,
    /// Chunks of snapshots.
    Snapshots,
    /// Alert id to what the owner said of it.
    Marks,
}

impl Tree {
    pub(super) const ALL: [Self; 6] =
        [Self::Meta, Self::Alerts, Self::Outbox, Self::Devices, Self::Snapshots, Self::Marks];

    const fn name(self) -> &'static str {
        match self {
            Self::Meta => "meta",
            Self::Alerts => "alerts",
            Self::Outbox => "outbox",
            Self::Devices => "devices",
            Self::Snapshots => "snapshots",
            Self::Marks => "marks",
        }
    }
}

/// Which way to go through a tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    Rising,
    Falling,
}

/// What a change did to the tree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Change {
    /// Bytes of the value that was there before, without its key.
    pub(super) before: Option<u64>,
}

/// Segment of sled's log: half its default, which halves the memory of buffers in flight. Kept in the database's own
/// settings, so it may not change between versions of the daemon.
const SEGMENT: usize = 256 << 10;

/// How long sled's lock is waited for, and how often it is tried meanwhile.
const LOCK_PATIENCE: Span = Span::from_secs(10);
const LOCK_POLL: Span = Span::from_millis(5);

/// An open database.
pub(super) struct Database {
    db: sled::Db,
    meta: sled::Tree,
    alerts: sled::Tree,
    outbox: sled::Tree,
    devices: sled::Tree,
    snapshots: sled::Tree,
    marks: sled::Tree,
    file: File,
    directory: PathBuf,
}

impl Database {
    /// Opens or makes the database in a directory. The caller owns the directory: where sled still finds its own lock
    /// taken, a thread of it is finishing the last write of an earlier handle, which is waited for.
    pub(super) fn open(directory: &Path, cache: u64) -> Result<Self, Fault> {
        let config = sled::Config::new()
            .path(directory)
            .cache_capacity(cache.max(1 << 20))
            .flush_every_ms(None)
            .segment_size(SEGMENT);
        let waited = Stopwatch::start();
        let db = loop {
            match config.open().map_err(Fault::from) {
                Err(fault) if fault.is_locked() && waited.elapsed() < LOCK_PATIENCE => {
                    std::thread::park_timeout(LOCK_POLL.to_std());
                }
                opened => break opened?,
            }
        };
        let tree = |tree: Tree| db.open_tree(tree.name());
        Ok(Self {
            meta: tree(Tree::Meta)?,
            alerts: tree(Tree::Alerts)?,
            outbox: tree(Tree::Outbox)?,
            devices: tree(Tree::Devices)?,
            snapshots: tree(Tree::Snapshots)?,
            marks: tree(Tree::Marks)?,
            file: File::open(directory.join("db"))?,
            directory: directory.to_owned(),
            db,
        })
    }

    /// A value.
    pub(super) fn get(&self, tree: Tree, key: &[u8]) -> Result<Option<sled::IVec>, Fault> {
        Ok(self.tree(tree).get(key)?)
    }

    /// Sets a value.
    pub(super) fn put(&self, tree: Tree, key: &[u8], value: &[u8]) -> Result<Change, Fault> {
        Ok(Change { before: self.tree(tree).insert(key, value)?.map(|v| length(&v)) })
    }

    /// Removes a value.
    pub(super) fn remove(&self, tree: Tree, key: &[u8]) -> Result<Change, Fault> {
        Ok(Change { before: self.tree(tree).remove(key)?.map(|v| length(&v)) })
    }

    /// Hands records to `visit` in order until it breaks, in bounded memory.
    pub(super) fn for_each(
        &self,
        tree: Tree,
        range: (Bound<&[u8]>, Bound<&[u8]>),
        direction: Direction,
        mut visit: impl FnMut(&[u8], &[u8]) -> ControlFlow<()>,
    ) -> Result<(), Fault> {
        let tree = self.tree(tree);
        let mut records = tree.range::<&[u8], _>(range);
        while let Some(record) = match direction {
            Direction::Rising => records.next(),
            Direction::Falling => records.next_back(),
        } {
            let (key, value) = record?;
            // Twice more, so that the cache notices and lets go of other pages; see the head of this file.
            tree.get(&key)?;
            tree.get(&key)?;
            if visit(&key, &value).is_break() {
                break;
            }
        }
        Ok(())
    }

    /// Returns once everything written before is on the medium.
    pub(super) fn sync(&self) -> Result<(), Fault> {
        self.db.flush()?;
        self.file.sync_data()?;
        let large = self.directory.join("blobs");
        for entry in fs::read_dir(&large)? {
            match File::open(entry?.path()).and_then(|file| file.sync_all()) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
                _ => {}
            }
        }
        Ok(())
    }

    /// Bytes on disk.
    pub(super) fn bytes(&self) -> u64 {
        bytes_in(&self.directory)
    }

    /// Where it is.
    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    fn tree(&self, tree: Tree) -> &sled::Tree {
        match tree {
            Tree::Meta => &self.meta,
            Tree::Alerts => &self.alerts,
            Tree::Outbox => &self.outbox,
            Tree::Devices => &self.devices,
            Tree::Snapshots => &self.snapshots,
            Tree::Marks => &self.marks,
        }
    }
}

/// A length as it is counted.
pub(super) fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}
