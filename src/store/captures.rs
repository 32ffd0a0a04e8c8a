//! [`CaptureFolder`]: the files of captures on demand, within a quota: a directory for each, with its record and its
//! parts. What is in the parts, and when one ends, is the business of who writes them.
//!
//! A part has its name once it is complete. What a kill left of the last one is cut to its whole packets at the next
//! start, and its capture counts as interrupted.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::folder::{self, UNFINISHED};
use crate::capture::pcapng::{Whole, whole};
use crate::control::{CaptureEnd, CaptureRecord, CaptureRecordState, Download};
use crate::sys::clock;

const RECORD: &str = "capture.json";
const EXTENSION: &str = "pcapng";
/// Captures held at most, whatever their size.
const MAX_CAPTURES: usize = 200;

/// The directory and what is in it.
pub struct CaptureFolder {
    root: PathBuf,
    quota: u64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    records: BTreeMap<u64, CaptureRecord>,
    /// The highest number that was ever given, as far as it is known.
    last: u64,
    deleted: u64,
}

/// A part that is being written.
pub struct Part {
    file: File,
    unfinished: PathBuf,
    path: PathBuf,
}

impl CaptureFolder {
    /// Opens the directory, which is made with the first capture, and ends what a kill left running. A capture that
    /// cannot be read is left alone.
    ///
    /// # Errors
    /// When the directory is there and cannot be read.
    pub fn open(root: &Path, quota: u64) -> io::Result<Self> {
        let mut state = State::default();
        if root.is_dir() {
            for entry in fs::read_dir(root)? {
                let path = entry?.path();
                let Some(id) = path.file_name().and_then(|name| name.to_str()?.parse::<u64>().ok()) else {
                    continue;
                };
                state.last = state.last.max(id);
                match recover(&path, id) {
                    Ok(record) => drop(state.records.insert(id, record)),
                    Err(error) => {
                        tracing::warn!("the capture in {} cannot be read: {error}", path.display());
                    }
                }
            }
        }
        Ok(Self { root: root.to_owned(), quota, state: Mutex::new(state) })
    }

    /// Makes the directory of a capture, and gives its record a number. The oldest of very many captures goes.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn begin(&self, mut record: CaptureRecord) -> io::Result<CaptureRecord> {
        folder::make(&self.root)?;
        self.with(|state| {
            while state.records.len() >= MAX_CAPTURES && self.delete_oldest(state) {}
            state.last += 1;
            record.id = state.last;
            folder::make(&self.directory(record.id))?;
            write_record(&self.directory(record.id), &record)?;
            state.records.insert(record.id, record.clone());
            Ok(record)
        })
    }

    /// Begins a part.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub fn begin_part(&self, id: u64, number: u64) -> io::Result<Part> {
        let path = self.directory(id).join(format!("part-{number:06}.{EXTENSION}"));
        let unfinished = path.with_extension(UNFINISHED);
        Ok(Part { file: folder::create(&unfinished)?, unfinished, path })
    }

    /// Notes how far a capture is; the oldest captures that have ended make room. False where there is still too little.
    pub fn progress(&self, id: u64, packets: u64, bytes: u64, lost: u64) -> bool {
        self.with(|state| {
            if let Some(record) = state.records.get_mut(&id) {
                (record.written_packets, record.written_bytes, record.lost_packets) = (packets, bytes, lost);
            }
            while bytes_of(state) > self.quota {
                if !self.delete_oldest(state) {
                    return false;
                }
            }
            true
        })
    }

    /// Ends a capture with its last figures.
    ///
    /// # Errors
    /// When its record cannot be written: it counts as interrupted after a restart.
    pub fn end(&self, id: u64, why: CaptureEnd) -> io::Result<()> {
        self.with(|state| {
            let Some(record) = state.records.get_mut(&id) else { return Ok(()) };
            record.state = CaptureRecordState::Ended;
            record.ended_because = Some(why);
            record.ended = Some(clock::now().to_string());
            write_record(&self.directory(id), record)
        })
    }

    /// All, newest first.
    #[must_use]
    pub fn list(&self) -> Vec<CaptureRecord> {
        self.with(|state| state.records.values().rev().cloned().collect())
    }

    /// One.
    #[must_use]
    pub fn find(&self, id: u64) -> Option<CaptureRecord> {
        self.with(|state| state.records.get(&id).cloned())
    }

    /// Deletes one.
    ///
    /// # Errors
    /// When its files cannot be deleted.
    pub fn delete(&self, id: u64) -> io::Result<()> {
        self.with(|state| {
            fs::remove_dir_all(self.directory(id))?;
            state.records.remove(&id);
            Ok(())
        })
    }

    /// Its complete parts, one behind the other; none where it has none yet.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn file(&self, id: u64) -> io::Result<Option<Download>> {
        let parts = parts(&self.directory(id), EXTENSION)?;
        let mut files = Vec::with_capacity(parts.len());
        let mut length = 0;
        for part in &parts {
            length += fs::metadata(part)?.len();
            files.push(part.clone());
        }
        let joined = Joined { waiting: files.into_iter(), now: None };
        Ok((length > 0).then(|| Download { length, content: Box::new(joined) }))
    }

    /// Captures held, their bytes, the bytes that they may have, and how many were deleted for room since start.
    #[must_use]
    pub fn room(&self) -> (u64, u64, u64, u64) {
        self.with(|state| {
            let held = u64::try_from(state.records.len()).unwrap_or(u64::MAX);
            (held, bytes_of(state), self.quota, state.deleted)
        })
    }

    /// Bytes that all captures together may have.
    #[must_use]
    pub const fn quota(&self) -> u64 {
        self.quota
    }

    fn delete_oldest(&self, state: &mut State) -> bool {
        let ended = |record: &&CaptureRecord| record.state == CaptureRecordState::Ended;
        let Some(id) = state.records.values().find(ended).map(|record| record.id) else { return false };
        state.records.remove(&id);
        state.deleted += 1;
        if let Err(error) = fs::remove_dir_all(self.directory(id)) {
            tracing::warn!("the capture {id} is not removed: {error}");
        }
        true
    }

    fn directory(&self, id: u64) -> PathBuf {
        self.root.join(id.to_string())
    }

    fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        work(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Part {
    /// Where its bytes go.
    ///
    /// # Errors
    /// When the system gives no further handle.
    pub fn file(&self) -> io::Result<File> {
        self.file.try_clone()
    }

    /// Gives the part its name, once it is on the medium.
    ///
    /// # Errors
    /// When that fails: what of it is whole is kept as after a kill.
    pub fn finish(&self) -> io::Result<()> {
        self.file.sync_all()?;
        folder::finish(&self.unfinished, &self.path)
    }

    /// Keeps what of a part is whole that could not be written to its end, and says how much that is.
    #[must_use]
    pub fn salvage(&self) -> Whole {
        salvage(&self.unfinished).unwrap_or_else(|error| {
            tracing::warn!("a part of a capture is left as it is until the next start: {error}");
            Whole::default()
        })
    }
}

/// Files one behind the other; each is opened when its turn comes.
struct Joined {
    waiting: std::vec::IntoIter<PathBuf>,
    now: Option<File>,
}

impl Read for Joined {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if let Some(file) = &mut self.now {
                let read = file.read(buffer)?;
                if read > 0 || buffer.is_empty() {
                    return Ok(read);
                }
            }
            let Some(next) = self.waiting.next() else { return Ok(0) };
            self.now = Some(File::open(next)?);
        }
    }
}

fn bytes_of(state: &State) -> u64 {
    state.records.values().map(|record| record.written_bytes).sum()
}

/// Files with an extension, in the order of their names.
fn parts(directory: &Path, extension: &str) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let is_part = path.file_stem().and_then(|stem| stem.to_str()).is_some_and(|s| s.starts_with("part-"));
        if is_part && path.extension().is_some_and(|e| e == extension) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// The record of a capture; one that a kill left running has ended.
fn recover(directory: &Path, id: u64) -> io::Result<CaptureRecord> {
    let mut record: CaptureRecord = serde_json::from_slice(&fs::read(directory.join(RECORD))?)?;
    record.id = id;
    if record.state == CaptureRecordState::Running {
        for part in parts(directory, UNFINISHED)? {
            let _whole: Whole = salvage(&part)?;
        }
        (record.written_packets, record.written_bytes) = (0, 0);
        for part in parts(directory, EXTENSION)? {
            let whole = whole(BufReader::new(File::open(part)?));
            record.written_packets += whole.packets;
            record.written_bytes += whole.bytes;
        }
        record.state = CaptureRecordState::Ended;
        record.ended_because = Some(CaptureEnd::Interrupted);
        write_record(directory, &record)?;
    }
    Ok(record)
}

/// Cuts a part to what of it is whole, and gives it its name; one that has nothing goes.
fn salvage(unfinished: &Path) -> io::Result<Whole> {
    let kept = whole(BufReader::new(File::open(unfinished)?));
    if kept.bytes == 0 {
        fs::remove_file(unfinished)?;
        return Ok(kept);
    }
    let file = OpenOptions::new().write(true).open(unfinished)?;
    file.set_len(kept.bytes)?;
    file.sync_all()?;
    folder::finish(unfinished, &unfinished.with_extension(EXTENSION))?;
    Ok(kept)
}

fn write_record(directory: &Path, record: &CaptureRecord) -> io::Result<()> {
    folder::write_whole(&directory.join(RECORD), &[&serde_json::to_vec_pretty(record)?])
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::capture::pcapng::{Origin, Section};
    use crate::control::CaptureLimits;
    use crate::packet::{Frame, Link};
    use crate::time::Timestamp;

    fn record(name: &str) -> CaptureRecord {
        CaptureRecord {
            id: 0,
            name: name.to_owned(),
            filter: String::new(),
            limits: CaptureLimits::default(),
            state: CaptureRecordState::Running,
            ended_because: None,
            started: "2023-11-14T22:13:20Z".to_owned(),
            ended: None,
            written_packets: 0,
            written_bytes: 0,
            lost_packets: 0,
        }
    }

    /// A section of packets.
    fn section(packets: u8) -> Vec<u8> {
        let mut section = Section::begin(Vec::new(), vec![Origin::default()], &[]).unwrap();
        for number in 0..packets {
            let bytes = [number; 60];
            let frame = Frame { time: Timestamp::EPOCH, link: Link::Ethernet, wire_len: 60, bytes: &bytes };
            section.packet(0, &frame, None).unwrap();
        }
        section.end(&[], 0).unwrap().0
    }

    fn read(folder: &CaptureFolder, id: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut download = folder.file(id).unwrap().unwrap();
        download.content.read_to_end(&mut bytes).unwrap();
        assert_eq!(usize::try_from(download.length).unwrap(), bytes.len());
        bytes
    }

    #[test]
    fn parts_are_joined_and_only_complete_ones_are_given() {
        let dir = tempfile::tempdir().unwrap();
        let folder = CaptureFolder::open(&dir.path().join("captures"), 1 << 20).unwrap();
        let id = folder.begin(record("first")).unwrap().id;
        assert!(folder.file(id).unwrap().is_none());
        for (number, packets) in [(1, 3), (2, 2)] {
            let part = folder.begin_part(id, number).unwrap();
            part.file().unwrap().write_all(&section(packets)).unwrap();
            if number == 1 {
                part.finish().unwrap();
            }
        }
        assert_eq!(whole(&read(&folder, id)[..]).packets, 3);
        assert!(folder.progress(id, 5, 600, 1));
        folder.end(id, CaptureEnd::Packets).unwrap();
        let again = CaptureFolder::open(&dir.path().join("captures"), 1 << 20).unwrap();
        assert_eq!(again.list(), folder.list());
        let kept = again.find(id).unwrap();
        assert_eq!((kept.written_packets, kept.lost_packets), (5, 1));
        assert_eq!(kept.ended_because, Some(CaptureEnd::Packets));
        again.delete(id).unwrap();
        assert_eq!((again.list(), again.find(id)), (vec![], None));
    }

    #[test]
    fn what_a_kill_left_is_readable_and_counts_as_interrupted() {
        let dir = tempfile::tempdir().unwrap();
        let folder = CaptureFolder::open(dir.path(), 1 << 20).unwrap();
        let id = folder.begin(record("killed")).unwrap().id;
        let part = folder.begin_part(id, 1).unwrap();
        part.file().unwrap().write_all(&section(4)).unwrap();
        part.finish().unwrap();
        let torn = section(6);
        let part = folder.begin_part(id, 2).unwrap();
        part.file().unwrap().write_all(&torn[..torn.len() - 5]).unwrap();
        folder.begin_part(id, 3).unwrap();
        let folder = CaptureFolder::open(dir.path(), 1 << 20).unwrap();
        let found = folder.find(id).unwrap();
        assert_eq!(found.state, CaptureRecordState::Ended);
        assert_eq!(found.ended_because, Some(CaptureEnd::Interrupted));
        assert_eq!(found.written_packets, 4 + 5);
        let bytes = read(&folder, id);
        assert_eq!(u64::try_from(bytes.len()).unwrap(), found.written_bytes);
        assert_eq!(whole(&bytes[..]).packets, 9);
        assert_eq!(folder.begin(record("next")).unwrap().id, id + 1);
    }

    #[test]
    fn the_oldest_that_has_ended_makes_room() {
        let dir = tempfile::tempdir().unwrap();
        let folder = CaptureFolder::open(dir.path(), 1_000).unwrap();
        let ids: Vec<_> = ["a", "b", "c"].map(|name| folder.begin(record(name)).unwrap().id).to_vec();
        folder.end(ids[1], CaptureEnd::Stopped).unwrap();
        assert!(folder.progress(ids[0], 1, 400, 0) && folder.progress(ids[1], 1, 400, 0));
        assert!(folder.progress(ids[2], 1, 500, 0), "the second has ended, and goes");
        assert_eq!(folder.room(), (2, 900, 1_000, 1));
        assert!(!dir.path().join(ids[1].to_string()).exists());
        assert!(!folder.progress(ids[2], 1, 700, 0), "what runs is not deleted");
    }
}
