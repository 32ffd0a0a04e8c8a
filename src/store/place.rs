//! The store's directory: its lock, the generations of the database in it, and those moved aside. Knows names, not
//! contents.

use std::fs::{self, DirBuilder, File, TryLockError};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use super::StoreError;

/// Broken databases kept for a look; the oldest beyond it is deleted.
const KEPT_BROKEN: usize = 2;
const GENERATION: &str = "db-";
const BROKEN: &str = "broken-";
const COMPLETE: &str = "complete";

/// The directory, locked for this process until it is released or the value goes.
#[derive(Debug)]
pub(super) struct Place {
    root: PathBuf,
    lock: File,
}

impl Place {
    /// Makes the directory where it is missing, and locks it.
    pub(super) fn take(root: &Path) -> Result<Self, StoreError> {
        let refused = |source| StoreError::Directory { path: root.to_owned(), source };
        DirBuilder::new().recursive(true).mode(0o700).create(root).map_err(refused)?;
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(root.join("lock"))
            .map_err(refused)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { root: root.to_owned(), lock }),
            Err(TryLockError::WouldBlock) => Err(StoreError::InUse { path: root.to_owned() }),
            Err(TryLockError::Error(source)) => Err(refused(source)),
        }
    }

    /// The directory.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Whether the disk takes data: as much as sled writes at once.
    pub(super) fn probe(&self) -> io::Result<()> {
        let path = self.root.join("probe");
        let written = fs::write(&path, vec![0; 1 << 20]).and_then(|()| File::open(&path)?.sync_all());
        let removed = fs::remove_file(&path);
        written.and(removed)
    }

    /// Lets another process have it.
    pub(super) fn release(&self) {
        // It cannot fail on an open file; if it did, the end of the process would release it.
        drop(self.lock.unlock());
    }

    /// The generation in use: the highest complete one, or else the highest (a first start that was killed). Others
    /// are removed. A number for a new one where there is none.
    pub(super) fn current(&self) -> io::Result<u64> {
        let mut numbers = self.numbered(GENERATION)?;
        let complete = |n: &u64| self.is_complete(*n);
        let Some(current) = numbers.iter().rev().find(|n| complete(n)).or(numbers.last()).copied() else {
            return Ok(0);
        };
        numbers.retain(|n| *n != current);
        for other in numbers {
            fs::remove_dir_all(self.generation(other))?;
        }
        Ok(current)
    }

    /// Directory of a generation.
    pub(super) fn generation(&self, number: u64) -> PathBuf {
        self.root.join(format!("{GENERATION}{number}"))
    }

    /// Whether a generation is marked so.
    pub(super) fn is_complete(&self, number: u64) -> bool {
        self.generation(number).join(COMPLETE).exists()
    }

    /// Marks a generation whose content is on disk as the one that counts from now on.
    pub(super) fn complete(&self, number: u64) -> io::Result<()> {
        let directory = self.generation(number);
        File::create(directory.join(COMPLETE))?.sync_all()?;
        File::open(&directory)?.sync_all()?;
        File::open(&self.root)?.sync_all()
    }

    /// Moves a generation aside and returns where it is now.
    pub(super) fn set_aside(&self, number: u64) -> io::Result<PathBuf> {
        let mut broken = self.numbered(BROKEN)?;
        let next = broken.last().map_or(1, |n| n + 1);
        let aside = self.root.join(format!("{BROKEN}{next}"));
        fs::rename(self.generation(number), &aside)?;
        broken.push(next);
        let surplus = broken.len().saturating_sub(KEPT_BROKEN);
        for old in broken.into_iter().take(surplus) {
            fs::remove_dir_all(self.root.join(format!("{BROKEN}{old}")))?;
        }
        File::open(&self.root)?.sync_all()?;
        Ok(aside)
    }

    /// Numbers of the entries `<prefix><number>`, rising.
    fn numbered(&self, prefix: &str) -> io::Result<Vec<u64>> {
        let mut numbers = Vec::new();
        for entry in fs::read_dir(&self.root)? {
            let name = entry?.file_name();
            numbers.extend(name.to_str().and_then(|n| n.strip_prefix(prefix)?.parse::<u64>().ok()));
        }
        numbers.sort_unstable();
        Ok(numbers)
    }
}

impl Drop for Place {
    /// Closing the file would do, were it not for a child that is just being started and still holds a copy of it.
    fn drop(&mut self) {
        self.release();
    }
}

/// Bytes of all files in a directory and below; what vanishes meanwhile counts nothing.
pub(super) fn bytes_in(directory: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(directory) else { return 0 };
    entries
        .flatten()
        .map(|entry| match entry.metadata() {
            Ok(meta) if meta.is_dir() => bytes_in(&entry.path()),
            Ok(meta) => meta.len(),
            Err(_) => 0,
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(root: &Path) -> Vec<String> {
        let mut names: Vec<String> =
            fs::read_dir(root).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn the_highest_complete_generation_counts_and_others_go() {
        let dir = tempfile::tempdir().unwrap();
        let place = Place::take(dir.path()).unwrap();
        assert_eq!(place.current().unwrap(), 0);
        for number in [3, 9, 10, 11] {
            fs::create_dir(place.generation(number)).unwrap();
        }
        place.complete(9).unwrap();
        place.complete(10).unwrap();
        assert_eq!(place.current().unwrap(), 10);
        assert_eq!(names(dir.path()), ["db-10", "lock"]);
    }

    #[test]
    fn without_a_complete_generation_the_highest_counts() {
        let dir = tempfile::tempdir().unwrap();
        let place = Place::take(dir.path()).unwrap();
        fs::create_dir(place.generation(0)).unwrap();
        assert_eq!(place.current().unwrap(), 0);
        assert_eq!(names(dir.path()), ["db-0", "lock"]);
    }

    #[test]
    fn two_broken_ones_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        let place = Place::take(dir.path()).unwrap();
        for number in 0..4 {
            fs::create_dir(place.generation(number)).unwrap();
            assert_eq!(place.set_aside(number).unwrap(), dir.path().join(format!("broken-{}", number + 1)));
        }
        assert_eq!(names(dir.path()), ["broken-3", "broken-4", "lock"]);
    }

    #[test]
    fn a_disk_that_takes_nothing_gives_its_own_reason() {
        let dir = tempfile::tempdir().unwrap();
        let place = Place::take(dir.path()).unwrap();
        place.probe().unwrap();
        assert_eq!(names(dir.path()), ["lock"]);
        // sysfs lets nobody make a file, not even root, and there is none to be removed.
        let sysfs = Path::new("/sys");
        if !sysfs.join("kernel").exists() {
            println!("SKIPPED: there is no sysfs to be refused by");
            return;
        }
        let refusing = Place { root: sysfs.to_owned(), lock: File::open(dir.path()).unwrap() };
        let error = refusing.probe().unwrap_err();
        assert_ne!(error.kind(), io::ErrorKind::NotFound, "{error}");
    }

    #[test]
    fn a_place_has_one_owner() {
        let dir = tempfile::tempdir().unwrap();
        let place = Place::take(dir.path()).unwrap();
        let second = Place::take(dir.path()).unwrap_err();
        assert!(matches!(second, StoreError::InUse { ref path } if path == dir.path()));
        drop(place);
        assert!(Place::take(dir.path()).is_ok());
    }
}
