//! Bytes of a capture file, unpacked: from disk, a pipe or standard input. What is in them is `reader`'s.

use std::fs::File;
use std::io::{self, Chain, Cursor, Read};
use std::os::fd::AsFd;
use std::path::Path;

use flate2::read::MultiGzDecoder;

use crate::capture::Config;
use crate::sys::readable;

const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// The path that stands for standard input.
const STANDARD_INPUT: &str = "-";

/// A file or pipe, unpacked where it begins like gzip.
///
/// A read from a pipe that has nothing says [`io::ErrorKind::WouldBlock`] within [`Config::PATIENCE`], and loses
/// nothing.
pub(super) struct Input(Stage);

enum Stage {
    /// The first bytes are awaited.
    Start {
        raw: Raw,
        magic: [u8; 2],
        got: usize,
    },
    Plain(Rewound),
    Gzip(Box<MultiGzDecoder<Rewound>>),
    /// Only while it changes from one to the other.
    Gone,
}

type Rewound = Chain<Cursor<Vec<u8>>, Raw>;

struct Raw {
    file: File,
    /// Reading may have to wait for another process.
    waits: bool,
}

/// Whether the path can be opened twice: a pipe gives its bytes once.
pub(super) fn is_on_disk(path: &Path) -> io::Result<bool> {
    if path == Path::new(STANDARD_INPUT) {
        return Ok(false);
    }
    let metadata = path.metadata()?;
    if metadata.is_dir() { Err(io::ErrorKind::IsADirectory.into()) } else { Ok(metadata.is_file()) }
}

impl Input {
    /// Opens a path; `-` is standard input.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let file = if path == Path::new(STANDARD_INPUT) {
            // Not `io::stdin()` itself: bytes in its buffer would not be seen by poll(2).
            File::from(io::stdin().as_fd().try_clone_to_owned()?)
        } else {
            File::open(path)?
        };
        let waits = !file.metadata()?.is_file();
        Ok(Self(Stage::Start { raw: Raw { file, waits }, magic: [0; 2], got: 0 }))
    }

    fn start(&mut self) -> io::Result<()> {
        let Stage::Start { raw, magic, got } = &mut self.0 else { return Ok(()) };
        while *got < magic.len() {
            match raw.read(&mut magic[*got..])? {
                0 => break,
                count => *got += count,
            }
        }
        if let Stage::Start { raw, magic, got } = std::mem::replace(&mut self.0, Stage::Gone) {
            let rewound = Cursor::new(magic[..got].to_vec()).chain(raw);
            self.0 = if magic == GZIP_MAGIC {
                Stage::Gzip(Box::new(MultiGzDecoder::new(rewound)))
            } else {
                Stage::Plain(rewound)
            };
        }
        Ok(())
    }
}

impl Read for Input {
    fn read(&mut self, space: &mut [u8]) -> io::Result<usize> {
        self.start()?;
        match &mut self.0 {
            Stage::Plain(plain) => plain.read(space),
            Stage::Gzip(gzip) => gzip.read(space),
            Stage::Start { .. } | Stage::Gone => Ok(0),
        }
    }
}

impl Read for Raw {
    fn read(&mut self, space: &mut [u8]) -> io::Result<usize> {
        if self.waits && !readable(self.file.as_fd(), Config::PATIENCE)? {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.file.read(space)
    }
}
