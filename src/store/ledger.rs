//! [`Ledger`]: the database together with what is counted of its content. Every write goes through it, so that the
//! counts are true and a running rewrite gets each write too.

use std::collections::BTreeMap;
use std::ops::{Bound, ControlFlow};
use std::path::Path;
use std::sync::Arc;

use super::contain::contain;
use super::database::{Change, Database, Direction, Tree, length};
use super::error::Fault;
use super::mark::decode_mark;
use super::record::{Head, decode_device};
use super::rewrite::Rewrite;
use crate::alert::AlertId;
use crate::time::Timestamp;

/// Key in [`Tree::Meta`] of the position that the next outbox entry gets.
const NEXT_POSITION: &[u8] = b"next_position";

/// Key in [`Tree::Meta`] that is there from the first start on: sled opens some truncated files as empty ones.
const BEGUN: &[u8] = b"begun";

/// The database and its counts.
pub(super) struct Ledger {
    pub(super) database: Arc<Database>,
    pub(super) rewrite: Option<Rewrite>,
    records: BTreeMap<Tree, u64>,
    /// Bytes of all keys and values.
    pub(super) content: u64,
    /// When the newest alert kept was last seen.
    pub(super) newest: Timestamp,
    /// Position that the next outbox entry gets.
    next_position: u64,
    /// Records that were found unreadable when the database was opened.
    pub(super) unreadable: u64,
    /// Alerts removed since the writer looked, for what else is kept of them.
    pub(super) removed_alerts: Vec<AlertId>,
}

impl Ledger {
    /// Opens a database and reads all of it once: for the counts, and because damage that sled does not notice when
    /// it opens makes a read fail or panic.
    pub(super) fn open(directory: &Path, cache: u64) -> Result<Self, Fault> {
        contain(|| {
            let database = Arc::new(Database::open(directory, cache)?);
            let mut ledger = Self {
                database: Arc::clone(&database),
                rewrite: None,
                records: BTreeMap::new(),
                content: 0,
                newest: Timestamp::EPOCH,
                next_position: 0,
                unreadable: 0,
                removed_alerts: Vec::new(),
            };
            for tree in Tree::ALL {
                let all = (Bound::Unbounded, Bound::Unbounded);
                database.for_each(tree, all, Direction::Rising, |key, value| {
                    ledger.meet(tree, key, value);
                    ControlFlow::Continue(())
                })?;
            }
            Ok(ledger)
        })?
    }

    /// Notes in a new database that it was begun; in one that was begun `before`, the note must be there.
    pub(super) fn begin(mut self, before: bool) -> Result<Self, Fault> {
        if self.database.get(Tree::Meta, BEGUN)?.is_none() {
            if before {
                return Err(Fault::Emptied);
            }
            contain(|| {
                self.put(Tree::Meta, BEGUN, &[1])?;
                self.database.sync()
            })??;
        }
        Ok(self)
    }

    /// Sets a value.
    pub(super) fn put(&mut self, tree: Tree, key: &[u8], value: &[u8]) -> Result<(), Fault> {
        let change = self.database.put(tree, key, value)?;
        self.count(tree, key, change, Some(value));
        self.rewrite.as_ref().map_or(Ok(()), |rewrite| rewrite.put(tree, key, value))
    }

    /// Removes a value; says whether there was one.
    pub(super) fn remove(&mut self, tree: Tree, key: &[u8]) -> Result<bool, Fault> {
        let change = self.database.remove(tree, key)?;
        self.count(tree, key, change, None);
        self.rewrite.as_ref().map_or(Ok(()), |rewrite| rewrite.remove(tree, key))?;
        Ok(change.before.is_some())
    }

    /// Removes an alert with what was said of it; says whether there was one.
    pub(super) fn remove_alert(&mut self, key: &[u8]) -> Result<bool, Fault> {
        // In this order, so that a kill in between leaves no mark without an alert.
        self.remove(Tree::Marks, key)?;
        let removed = self.remove(Tree::Alerts, key)?;
        self.removed_alerts.extend(std::str::from_utf8(key).ok().and_then(|id| id.parse::<AlertId>().ok()));
        Ok(removed)
    }

    /// The position for a new outbox entry. Never given twice, also over restarts and with an empty outbox.
    pub(super) fn take_position(&mut self) -> Result<u64, Fault> {
        let position = self.next_position;
        self.next_position += 1;
        self.put(Tree::Meta, NEXT_POSITION, &self.next_position.to_be_bytes())?;
        Ok(position)
    }

    /// Records in a tree.
    pub(super) fn records(&self, tree: Tree) -> u64 {
        self.records.get(&tree).copied().unwrap_or(0)
    }

    /// Up to `limit` keys and value lengths from the low end of a tree for which `chosen` holds; stops at the first
    /// for which it breaks.
    pub(super) fn lowest(
        &self,
        tree: Tree,
        limit: usize,
        mut chosen: impl FnMut(&[u8], &[u8]) -> ControlFlow<(), bool>,
    ) -> Result<Vec<Vec<u8>>, Fault> {
        let mut keys = Vec::new();
        self.database.for_each(
            tree,
            (Bound::Unbounded, Bound::Unbounded),
            Direction::Rising,
            |key, value| {
                if chosen(key, value)? {
                    keys.push(key.to_vec());
                }
                if keys.len() < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            },
        )?;
        Ok(keys)
    }

    fn meet(&mut self, tree: Tree, key: &[u8], value: &[u8]) {
        self.count(tree, key, Change::default(), Some(value));
        let readable = match tree {
            Tree::Alerts => {
                Head::read(value).inspect(|head| self.newest = self.newest.max(head.last_seen)).is_some()
            }
            Tree::Outbox => {
                let position = <[u8; 8]>::try_from(key).map(u64::from_be_bytes);
                self.next_position = self.next_position.max(position.map_or(0, |p| p.saturating_add(1)));
                Head::read(value).is_some()
            }
            Tree::Devices => decode_device(value).is_some(),
            Tree::Marks => decode_mark(value).is_some(),
            Tree::Meta if key == NEXT_POSITION => {
                let next = <[u8; 8]>::try_from(value).map(u64::from_be_bytes);
                self.next_position = self.next_position.max(next.unwrap_or(0));
                next.is_ok()
            }
            Tree::Meta | Tree::Snapshots => true,
        };
        self.unreadable += u64::from(!readable);
    }

    fn count(&mut self, tree: Tree, key: &[u8], change: Change, after: Option<&[u8]>) {
        let records = self.records.entry(tree).or_insert(0);
        if let Some(before) = change.before {
            *records = records.saturating_sub(1);
            self.content = self.content.saturating_sub(length(key) + before);
        }
        if let Some(after) = after {
            *records += 1;
            self.content += length(key) + length(after);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_go_on_beyond_32_bits_over_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let open = || Ledger::open(dir.path(), 1 << 20).unwrap();
        let mut ledger = open();
        ledger.next_position = u64::from(u32::MAX);
        assert_eq!(ledger.take_position().unwrap(), 0xffff_ffff);
        assert_eq!(ledger.take_position().unwrap(), 0x1_0000_0000);
        drop(ledger);
        assert_eq!(open().take_position().unwrap(), 0x1_0000_0001);
    }
}
