//! One capture file as a row of records, whichever its format. Which file comes next is `files`'s.

use std::io::{self, Read};
use std::ops::Range;

use super::classic::Classic;
use super::ng::Ng;
use super::window::{Lack, Window};
use crate::packet::Link;
use crate::time::Timestamp;

/// The most bytes of a frame that a record may hold, as in libpcap.
pub(super) const MAX_CAPTURED: usize = 256 << 10;

/// The most bytes of a record with its header and options.
pub(super) const MAX_RECORD: usize = MAX_CAPTURED + (64 << 10);

/// Twice the largest record, so that records are seldom moved.
const WINDOW_BYTES: usize = 2 * MAX_RECORD;

/// A record, with its bytes still in the window.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) time: Timestamp,
    pub(super) link: Link,
    pub(super) wire_len: u32,
    /// For [`Reader::bytes`], until the next [`Reader::advance`].
    pub(super) bytes: Range<usize>,
}

/// Why there is no next record.
#[derive(Debug)]
pub(super) enum Stop {
    /// None for now; ask again.
    Later,
    /// The file is read.
    End,
    /// Nothing from here on can be trusted.
    Broken(Flaw),
    /// The file never was a capture.
    NotACapture,
    /// The file cannot be read.
    Io(io::Error),
}

/// What is wrong with a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// The file ends within it.
    #[error("is cut short")]
    Cut,
    /// It claims more than 256 KiB.
    #[error("claims more than 256 KiB")]
    TooLong,
    /// Its fields contradict each other.
    #[error("contradicts itself")]
    Nonsense,
    /// It refers to an interface that the file has not described.
    #[error("names an interface that was not described")]
    NoInterface,
    /// It describes more interfaces than are kept.
    #[error("describes one interface too many")]
    ManyInterfaces,
    /// It could not be unpacked.
    #[error("cannot be unpacked")]
    Packing,
}

/// A capture file that is being read.
pub(super) struct Reader<R> {
    window: Window<R>,
    /// None as long as the header has not come.
    format: Option<Format>,
}

enum Format {
    Classic(Classic),
    Ng(Ng),
}

impl<R: Read> Reader<R> {
    pub(super) fn new(input: R) -> Self {
        Self { window: Window::new(input, WINDOW_BYTES), format: None }
    }

    /// Reads the file's header, so that what is no capture is told before its first record.
    pub(super) fn begin(&mut self) -> Result<(), Stop> {
        if self.format.is_none() {
            self.format = Some(Format::find(&mut self.window)?);
        }
        Ok(())
    }

    /// Goes to the next record.
    pub(super) fn advance(&mut self) -> Result<Record, Stop> {
        self.begin()?;
        match &mut self.format {
            Some(Format::Classic(classic)) => classic.advance(&mut self.window),
            Some(Format::Ng(ng)) => ng.advance(&mut self.window),
            None => Err(Stop::Later),
        }
    }

    pub(super) fn bytes(&self, range: Range<usize>) -> &[u8] {
        self.window.slice(range)
    }
}

impl Format {
    fn find<R: Read>(window: &mut Window<R>) -> Result<Self, Stop> {
        window.need(Classic::HEADER_BYTES).map_err(|lack| match lack.into() {
            Stop::Broken(_) => Stop::NotACapture,
            other => other,
        })?;
        if let Some(ng) = Ng::begin(window.data()) {
            return Ok(Self::Ng(ng));
        }
        let classic = Classic::begin(window.data()).ok_or(Stop::NotACapture)?;
        window.consume(Classic::HEADER_BYTES);
        Ok(Self::Classic(classic))
    }
}

/// Waits for the first `head` bytes of a record, where the file may also end.
pub(super) fn await_record<R: Read>(window: &mut Window<R>, head: usize) -> Result<(), Stop> {
    window.need(head).map_err(|lack| match lack {
        Lack::Short if window.data().is_empty() => Stop::End,
        other => other.into(),
    })
}

/// For what is missing within a record. An error without a number is the unpacker's and not the file system's.
impl From<Lack> for Stop {
    fn from(lack: Lack) -> Self {
        match lack {
            Lack::Short => Self::Broken(Flaw::Cut),
            Lack::Later => Self::Later,
            Lack::Io(error) if error.raw_os_error().is_some() => Self::Io(error),
            Lack::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => Self::Broken(Flaw::Cut),
            Lack::Io(_) => Self::Broken(Flaw::Packing),
        }
    }
}

impl From<Flaw> for Stop {
    fn from(flaw: Flaw) -> Self {
        Self::Broken(flaw)
    }
}
