//! Files that are there whole or not at all: written under another name, on the medium, then renamed.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

/// What a file's name ends with until it is whole.
pub(super) const UNFINISHED: &str = "tmp";

/// Makes a directory for our eyes alone, where it is missing.
pub(super) fn make(directory: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(directory)
}

/// A new file for our eyes alone.
pub(super) fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)
}

/// Writes a file of these pieces, all or nothing. What could not be written is removed.
pub(super) fn write_whole(path: &Path, pieces: &[&[u8]]) -> io::Result<()> {
    let unfinished = path.with_extension(UNFINISHED);
    let written = create(&unfinished).and_then(|mut file| {
        for piece in pieces {
            file.write_all(piece)?;
        }
        file.sync_all()
    });
    let done = written.and_then(|()| finish(&unfinished, path));
    if done.is_err() {
        // It may never have been made.
        drop(fs::remove_file(&unfinished));
    }
    done
}

/// Gives a file that is on the medium its name.
pub(super) fn finish(unfinished: &Path, path: &Path) -> io::Result<()> {
    fs::rename(unfinished, path)?;
    path.parent().map_or(Ok(()), |directory| File::open(directory)?.sync_all())
}
