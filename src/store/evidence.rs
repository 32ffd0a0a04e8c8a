//! [`EvidenceFolder`]: one capture file for each alert of which there is evidence, within a quota. What is in the files
//! is the business of who cuts them.
//!
//! A file is written whole or not at all. At the quota the oldest alert's file is deleted. What a kill left unfinished is
//! removed at the next start.

use std::collections::{BTreeMap, VecDeque};
use std::fs::{self, File};
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::folder::{self, UNFINISHED};
use crate::alert::AlertId;
use crate::capture::pcapng::whole;
use crate::control::{Download, EvidenceArchive, EvidenceStatus, NoEvidence, Skipped};

/// Files at most, whatever their size: a directory that can be listed in a moment.
const MAX_FILES: usize = 1_000;
/// Alerts without evidence of which the reason is remembered; the oldest is forgotten.
const MAX_REASONS: usize = 1_024;
const EXTENSION: &str = "pcapng";

/// The directory and what is in it.
pub struct EvidenceFolder {
    root: PathBuf,
    on: bool,
    quota: u64,
    state: Mutex<State>,
}

/// A file.
#[derive(Clone, Copy)]
struct Held {
    bytes: u64,
    /// None until it was read, for one of an earlier run.
    packets: Option<u64>,
}

#[derive(Default)]
struct State {
    /// By alert, which sort by age.
    files: BTreeMap<AlertId, Held>,
    bytes: u64,
    reasons: VecDeque<(AlertId, NoEvidence)>,
    skipped: BTreeMap<Skipped, u64>,
    written: u64,
    deleted: u64,
    write_errors: u64,
    failing: Option<String>,
}

impl EvidenceFolder {
    /// Opens the directory, and makes it where evidence is `on`. Files that no longer fit in the quota go.
    ///
    /// # Errors
    /// When it cannot be made or read.
    pub fn open(root: &Path, on: bool, quota: u64) -> io::Result<Self> {
        if on {
            folder::make(root)?;
        }
        let mut state = State::default();
        if root.is_dir() {
            for entry in fs::read_dir(root)? {
                let path = entry?.path();
                let extension = path.extension().and_then(|e| e.to_str());
                match (extension, id_of(&path)) {
                    (Some(UNFINISHED), Some(_)) => fs::remove_file(&path)?,
                    (Some(EXTENSION), Some(id)) => {
                        let bytes = fs::metadata(&path)?.len();
                        state.bytes += bytes;
                        state.files.insert(id, Held { bytes, packets: None });
                    }
                    // Not ours.
                    _ => {}
                }
            }
        }
        let folder = Self { root: root.to_owned(), on, quota, state: Mutex::new(state) };
        folder.with(|state| folder.make_room(state, 0, None));
        Ok(folder)
    }

    /// Whether evidence is to be cut at all.
    #[must_use]
    pub const fn is_on(&self) -> bool {
        self.on
    }

    /// Keeps a file, behind what there is of the alert already; the oldest files make room. A failure is counted.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn keep(&self, id: AlertId, section: &[u8], packets: u64) -> io::Result<()> {
        let earlier = self.capture(id).map(|(packets, _)| packets);
        let before = if self.has(id) { fs::read(self.path(id)).unwrap_or_default() } else { Vec::new() };
        let bytes = length(&before) + length(section);
        // Before it is written, so that the quota holds at every moment.
        self.with(|state| self.make_room(state, bytes, Some(id)));
        let written = if bytes > self.quota {
            Err(io::Error::other("one file is larger than evidence.quota_mb"))
        } else {
            folder::write_whole(&self.path(id), &[&before, section])
        };
        self.with(|state| match &written {
            Ok(()) => {
                state.written += 1;
                state.failing = None;
                state.reasons.retain(|(of, _)| *of != id);
                let packets = Some(earlier.unwrap_or(0) + packets);
                let old = state.files.insert(id, Held { bytes, packets }).map_or(0, |old| old.bytes);
                state.bytes = state.bytes.saturating_sub(old) + bytes;
            }
            Err(error) => {
                state.write_errors += 1;
                state.failing = Some(error.to_string());
                state.note(id, NoEvidence::Failed);
            }
        });
        written
    }

    /// Remembers that evidence of an alert is being gathered.
    pub fn expect(&self, id: AlertId) {
        self.with(|state| state.note(id, NoEvidence::Waiting));
    }

    /// Counts an alert whose moments were not cut. What there is of it already stays.
    pub fn skip(&self, id: AlertId, why: Skipped) {
        self.with(|state| {
            *state.skipped.entry(why).or_insert(0) += 1;
            state.note(id, NoEvidence::Skipped(why));
        });
    }

    /// Whether there is evidence of an alert.
    #[must_use]
    pub fn has(&self, id: AlertId) -> bool {
        self.with(|state| state.files.contains_key(&id))
    }

    /// Packets and bytes of the file of an alert, where there is one.
    #[must_use]
    pub fn capture(&self, id: AlertId) -> Option<(u64, u64)> {
        let held = self.with(|state| state.files.get(&id).copied())?;
        let packets = held.packets.or_else(|| {
            let packets = whole(BufReader::new(File::open(self.path(id)).ok()?)).packets;
            self.with(|state| {
                if let Some(held) = state.files.get_mut(&id) {
                    held.packets = Some(packets);
                }
            });
            Some(packets)
        })?;
        Some((packets, held.bytes))
    }

    /// Deletes what there is of an alert that is no more.
    pub fn forget(&self, id: AlertId) {
        self.with(|state| {
            state.reasons.retain(|(of, _)| *of != id);
            self.delete(state, id);
        });
    }

    /// Deletes what there is of alerts of which this is not true: they went while nobody looked.
    pub(super) fn retain(&self, mut is_kept: impl FnMut(AlertId) -> bool) {
        let ids: Vec<_> = self.with(|state| state.files.keys().copied().collect());
        ids.into_iter().filter(|id| !is_kept(*id)).for_each(|id| self.forget(id));
    }

    /// How it does.
    #[must_use]
    pub fn status(&self) -> EvidenceStatus {
        self.with(|state| EvidenceStatus {
            on: self.on,
            files: u64::try_from(state.files.len()).unwrap_or(u64::MAX),
            bytes: state.bytes,
            quota: self.quota,
            written: state.written,
            skipped: Skipped::ALL
                .iter()
                .map(|why| (why.word(), state.skipped.get(why).copied().unwrap_or(0)))
                .collect(),
            deleted: state.deleted,
            write_errors: state.write_errors,
            failing: state.failing.clone(),
        })
    }

    /// Deletes the oldest until a file of so many bytes, in the place of the one that `id` has, fits.
    fn make_room(&self, state: &mut State, bytes: u64, id: Option<AlertId>) {
        let more = usize::from(id.is_some_and(|id| !state.files.contains_key(&id)));
        // The new one is beside the old one for a moment.
        while state.bytes + bytes > self.quota || state.files.len() + more > MAX_FILES {
            let Some(oldest) = state.files.keys().copied().find(|oldest| Some(*oldest) != id) else { break };
            self.delete(state, oldest);
            state.deleted += 1;
            state.note(oldest, NoEvidence::Deleted);
        }
    }

    /// A file that cannot be removed is counted on: it is met again at the next start.
    fn delete(&self, state: &mut State, id: AlertId) {
        if let Some(held) = state.files.remove(&id) {
            state.bytes = state.bytes.saturating_sub(held.bytes);
            if let Err(error) = fs::remove_file(self.path(id)) {
                tracing::warn!("evidence of {id} is not removed: {error}");
            }
        }
    }

    fn path(&self, id: AlertId) -> PathBuf {
        self.root.join(format!("{id}.{EXTENSION}"))
    }

    fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        work(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl State {
    fn note(&mut self, id: AlertId, why: NoEvidence) {
        self.reasons.retain(|(of, _)| *of != id);
        if self.reasons.len() >= MAX_REASONS {
            self.reasons.pop_front();
        }
        self.reasons.push_back((id, why));
    }
}

impl EvidenceArchive for EvidenceFolder {
    fn evidence(&self, id: AlertId) -> Result<Download, NoEvidence> {
        let why = self.with(|state| {
            if state.files.contains_key(&id) {
                return None;
            }
            let known = state.reasons.iter().find(|(of, _)| *of == id).map(|(_, why)| why.clone());
            let off = if self.on { NoEvidence::Unknown } else { NoEvidence::Skipped(Skipped::Off) };
            Some(known.unwrap_or(off))
        });
        if let Some(why) = why {
            return Err(why);
        }
        let open = || {
            let file = File::open(self.path(id))?;
            let length = file.metadata()?.len();
            Ok(Download { length, content: Box::new(file) })
        };
        open().map_err(|error: io::Error| {
            tracing::warn!("evidence of {id} cannot be read: {error}");
            NoEvidence::Unknown
        })
    }
}

fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

fn id_of(path: &Path) -> Option<AlertId> {
    path.file_stem()?.to_str()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;
    use crate::time::Timestamp;

    fn id(number: u64) -> AlertId {
        AlertId::new(Timestamp::from_parts(1_700_000_000, 0) + crate::time::Span::from_secs(number), 7)
    }

    fn read(folder: &EvidenceFolder, number: u64) -> Result<String, NoEvidence> {
        folder.evidence(id(number)).map(|mut download| {
            let mut text = String::new();
            download.content.read_to_string(&mut text).unwrap();
            assert_eq!(usize::try_from(download.length).unwrap(), text.len());
            text
        })
    }

    #[test]
    fn what_gets_worse_is_put_behind_what_there_is() {
        let dir = tempfile::tempdir().unwrap();
        let folder = EvidenceFolder::open(dir.path(), true, 1_000).unwrap();
        assert_eq!(read(&folder, 1), Err(NoEvidence::Unknown));
        folder.expect(id(1));
        assert_eq!(read(&folder, 1), Err(NoEvidence::Waiting));
        folder.keep(id(1), b"first", 3).unwrap();
        folder.keep(id(1), b" second", 3).unwrap();
        assert_eq!(read(&folder, 1), Ok("first second".to_owned()));
        let status = folder.status();
        assert_eq!((status.files, status.bytes, status.written, status.deleted), (1, 12, 2, 0));
        assert_eq!(folder.capture(id(1)), Some((6, 12)));
        folder.forget(id(1));
        assert_eq!((read(&folder, 1), folder.status().bytes), (Err(NoEvidence::Unknown), 0));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn the_oldest_goes_at_the_quota_and_it_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let folder = EvidenceFolder::open(dir.path(), true, 100).unwrap();
        for number in 0..4 {
            folder.keep(id(number), &[b'x'; 40], 3).unwrap();
            assert!(folder.status().bytes <= 100);
        }
        assert_eq!(read(&folder, 0), Err(NoEvidence::Deleted));
        assert_eq!(read(&folder, 1), Err(NoEvidence::Deleted));
        assert!(read(&folder, 2).is_ok() && read(&folder, 3).is_ok());
        assert_eq!(folder.status().deleted, 2);
        assert!(folder.keep(id(9), &[0; 101], 3).is_err());
        assert_eq!((read(&folder, 9), folder.status().write_errors), (Err(NoEvidence::Failed), 1));
    }

    #[test]
    fn there_are_never_too_many_files() {
        let dir = tempfile::tempdir().unwrap();
        let most = u64::try_from(MAX_FILES).unwrap();
        for number in 0..most + 5 {
            fs::write(dir.path().join(format!("{}.pcapng", id(number))), b"x").unwrap();
        }
        let folder = EvidenceFolder::open(dir.path(), true, 1 << 20).unwrap();
        assert_eq!((folder.status().files, folder.has(id(4)), folder.has(id(5))), (most, false, true));
        folder.keep(id(most + 9), b"x", 3).unwrap();
        assert_eq!((folder.status().files, folder.has(id(5))), (most, false));
    }

    #[test]
    fn a_start_sweeps_what_a_kill_left_and_what_belongs_to_no_alert() {
        let dir = tempfile::tempdir().unwrap();
        let folder = EvidenceFolder::open(dir.path(), true, 1_000).unwrap();
        folder.keep(id(1), b"kept", 3).unwrap();
        folder.keep(id(2), b"orphan", 3).unwrap();
        fs::write(dir.path().join(format!("{}.tmp", id(3))), b"half").unwrap();
        fs::write(dir.path().join("notes.txt"), b"not ours").unwrap();
        let folder = EvidenceFolder::open(dir.path(), true, 1_000).unwrap();
        folder.retain(|of| of == id(1));
        let mut left: Vec<_> = fs::read_dir(dir.path())
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        assert_eq!(left, [format!("{}.pcapng", id(1)), "notes.txt".to_owned()]);
        assert_eq!(read(&folder, 1), Ok("kept".to_owned()));
        assert_eq!(folder.capture(id(1)), Some((0, 4)), "it is read, and no capture");
    }

    #[test]
    fn what_is_skipped_is_counted_by_its_reason() {
        let dir = tempfile::tempdir().unwrap();
        let folder = EvidenceFolder::open(&dir.path().join("none"), false, 1_000).unwrap();
        assert_eq!(read(&folder, 1), Err(NoEvidence::Skipped(Skipped::Off)));
        assert!(!dir.path().join("none").exists(), "nothing is made where evidence is off");
        folder.skip(id(1), Skipped::Rate);
        folder.skip(id(2), Skipped::Rate);
        let status = folder.status();
        assert_eq!(status.skipped.iter().find(|(word, _)| *word == "rate"), Some(&("rate", 2)));
        let told = read(&folder, 1).unwrap_err().to_string();
        assert_eq!(told, "skipped: too many alerts in that minute");
    }

    #[test]
    fn a_disk_that_takes_nothing_is_told_and_nothing_is_left() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("evidence");
        let folder = EvidenceFolder::open(&root, true, 1_000).unwrap();
        fs::remove_dir(&root).unwrap();
        assert!(folder.keep(id(1), b"x", 3).is_err());
        let status = folder.status();
        assert_eq!((status.write_errors, status.files, status.failing.is_some()), (1, 0, true));
        fs::create_dir(&root).unwrap();
        folder.keep(id(1), b"x", 3).unwrap();
        assert_eq!(folder.status().failing, None, "it gets through again");
    }
}
