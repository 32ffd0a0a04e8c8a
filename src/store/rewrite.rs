//! [`Rewrite`]: copies a database, step by step, into a new generation beside it. A file of sled never shrinks, so
//! this is how the room of deleted records comes back. Writes that happen meanwhile go to both.

use std::ops::{Bound, ControlFlow};

use super::database::{Database, Direction, Tree};
use super::error::Fault;
use super::place::Place;

/// Records copied in one step, so that alerts wait for at most that.
const STEP: usize = 256;

/// A copy in progress.
pub(super) struct Rewrite {
    target: Database,
    number: u64,
    /// Trees still to be copied, the current one last.
    trees: Vec<Tree>,
    /// The last key copied of the current tree.
    after: Option<Vec<u8>>,
}

impl Rewrite {
    /// Makes the empty generation `number`.
    pub(super) fn begin(place: &Place, number: u64, cache: u64) -> Result<Self, Fault> {
        let target = Database::open(&place.generation(number), cache)?;
        Ok(Self { target, number, trees: Tree::ALL.to_vec(), after: None })
    }

    /// Copies some records; says whether all are copied and durable.
    pub(super) fn step(&mut self, source: &Database) -> Result<bool, Fault> {
        let Some(&tree) = self.trees.last() else { return Ok(true) };
        let start = self.after.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let mut records = Vec::with_capacity(STEP);
        source.for_each(tree, (start, Bound::Unbounded), Direction::Rising, |key, value| {
            records.push((key.to_vec(), value.to_vec()));
            if records.len() < STEP { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        for (key, value) in &records {
            self.target.put(tree, key, value)?;
        }
        self.target.sync()?;
        if records.len() < STEP {
            self.trees.pop();
            self.after = None;
        } else {
            self.after = records.pop().map(|(key, _)| key);
        }
        Ok(self.trees.is_empty())
    }

    /// Writes what was written to the source. What the copy has not come to yet is only written early.
    pub(super) fn put(&self, tree: Tree, key: &[u8], value: &[u8]) -> Result<(), Fault> {
        self.target.put(tree, key, value).map(drop)
    }

    /// Removes what was removed from the source.
    pub(super) fn remove(&self, tree: Tree, key: &[u8]) -> Result<(), Fault> {
        self.target.remove(tree, key).map(drop)
    }

    /// Makes the finished copy the generation that counts.
    pub(super) fn complete(self, place: &Place) -> Result<Database, Fault> {
        self.target.sync()?;
        place.complete(self.number)?;
        Ok(self.target)
    }
}
