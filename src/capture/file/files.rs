//! Capture files one after the other as a source. What is in a file is `reader`'s.

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};

use super::input::{Input, is_on_disk};
use super::reader::{Flaw, Reader, Stop};
use crate::capture::{CaptureError, Next, Source, SourceCounters};
use crate::packet::Frame;
use crate::time::Timestamp;

/// Capture files, read in the order given and each but once.
///
/// After a record that is broken the rest of its file is left out, since nothing tells where the next record begins.
/// Memory does not depend on the size of the files.
pub struct Files {
    names: Vec<String>,
    later: VecDeque<PathBuf>,
    current: Option<Current>,
    counters: SourceCounters,
    broken: Option<BrokenRecord>,
    time: Timestamp,
}

struct Current {
    path: PathBuf,
    reader: Reader<Input>,
    records: u64,
}

/// A record after which the rest of its file was left out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{path}`: record {number} {flaw}; the rest of the file is left out")]
pub struct BrokenRecord {
    /// The file's path as given.
    pub path: String,
    /// Which of the file's packet records, from 1.
    pub number: u64,
    /// What is wrong with it.
    pub flaw: Flaw,
}

impl Files {
    /// Opens the first file, and checks that all are there and that those on disk are captures. `-` is standard input.
    ///
    /// # Errors
    /// [`CaptureError::OpenFile`], [`CaptureError::ReadFile`] or [`CaptureError::NotACapture`] with the path. What comes
    /// from a pipe is only known when it is its turn; then [`Source::next`] says so, and goes on with the next file when
    /// it is called again.
    pub fn open(paths: &[PathBuf]) -> Result<Self, CaptureError> {
        let mut current = None;
        for (index, path) in paths.iter().enumerate() {
            let on_disk = is_on_disk(path).map_err(|source| not_opened(path, source))?;
            if index > 0 && !on_disk {
                continue;
            }
            let mut opened = Current::open(path.clone())?;
            match opened.reader.begin() {
                Err(Stop::NotACapture) => return Err(not_a_capture(path)),
                Err(Stop::Io(source)) => return Err(not_read(path, source)),
                _ => {}
            }
            current.get_or_insert(opened);
        }
        Ok(Self {
            names: paths.iter().map(|path| path.display().to_string()).collect(),
            later: paths.iter().skip(1).cloned().collect(),
            current,
            counters: SourceCounters::default(),
            broken: None,
            time: Timestamp::EPOCH,
        })
    }

    /// The paths as given.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The record that was found broken last.
    #[must_use]
    pub const fn broken(&self) -> Option<&BrokenRecord> {
        self.broken.as_ref()
    }

    fn leave(&mut self, flaw: Flaw) {
        self.counters.broken_records += 1;
        if let Some(left) = self.current.take() {
            self.broken =
                Some(BrokenRecord { path: left.path.display().to_string(), number: left.records + 1, flaw });
        }
    }
}

impl Source for Files {
    fn next(&mut self) -> Result<Next<'_>, CaptureError> {
        let record = loop {
            let Some(current) = &mut self.current else {
                match self.later.pop_front() {
                    Some(path) => self.current = Some(Current::open(path)?),
                    None => return Ok(Next::End),
                }
                continue;
            };
            match current.reader.advance() {
                Ok(record) => {
                    current.records += 1;
                    break record;
                }
                Err(Stop::Later) => return Ok(Next::Idle(self.time)),
                Err(Stop::End) => self.current = None,
                Err(Stop::Broken(flaw)) => self.leave(flaw),
                Err(Stop::NotACapture) => {
                    let error = not_a_capture(&current.path);
                    self.current = None;
                    return Err(error);
                }
                Err(Stop::Io(source)) => {
                    let error = not_read(&current.path, source);
                    self.current = None;
                    return Err(error);
                }
            }
        };
        self.counters.frames += 1;
        self.time = record.time;
        let bytes =
            self.current.as_ref().map(|current| current.reader.bytes(record.bytes)).unwrap_or_default();
        Ok(Next::Frame(Frame { time: record.time, link: record.link, wire_len: record.wire_len, bytes }))
    }

    fn counters(&mut self) -> SourceCounters {
        self.counters
    }
}

impl Current {
    fn open(path: PathBuf) -> Result<Self, CaptureError> {
        match Input::open(&path) {
            Ok(input) => Ok(Self { path, reader: Reader::new(input), records: 0 }),
            Err(source) => Err(not_opened(&path, source)),
        }
    }
}

fn not_opened(path: &Path, source: io::Error) -> CaptureError {
    CaptureError::OpenFile { path: path.display().to_string(), source }
}

fn not_read(path: &Path, source: io::Error) -> CaptureError {
    CaptureError::ReadFile { path: path.display().to_string(), source }
}

fn not_a_capture(path: &Path) -> CaptureError {
    CaptureError::NotACapture { path: path.display().to_string() }
}
