//! [`Door`]: a Unix socket that nobody but this process can reach, with no name in any directory.
//!
//! tiny_http answers whoever connects, so its listener may not be found by other users of the machine: a port or an
//! abstract socket could be. The socket is made in a directory of its own, held open, and its name and the directory
//! are removed at once. From then on it is reached through the process's own descriptor (`/proc/self/fd`, see proc(5)),
//! and a killed daemon leaves nothing behind.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use super::HttpError;

/// A hold on a socket. It opens for as long as the listener lives.
#[derive(Debug)]
pub(super) struct Door(File);

/// Opens what a path names without reading it, which a socket does not allow. Of the kernel's generic `fcntl.h`; the
/// same on all machines that this is built for.
const O_PATH: i32 = 0o10_000_000;

impl Door {
    /// Makes a listener and the only way to it.
    pub(super) fn make() -> Result<(UnixListener, Self), HttpError> {
        let base = base();
        let failed = |source| HttpError::Socket { path: base.clone(), source };
        let mut bits = [0_u8; 8];
        getrandom::fill(&mut bits).map_err(|error| failed(io::Error::other(error)))?;
        let passing = base.join(format!("tapguard-{:016x}", u64::from_le_bytes(bits)));
        DirBuilder::new().mode(0o700).create(&passing).map_err(failed)?;
        let made = listen_in(&passing);
        // Whatever happened, nothing stays.
        drop(fs::remove_file(passing.join(NAME)));
        let removed = fs::remove_dir(&passing);
        made.and_then(|made| removed.map(|()| made)).map_err(failed)
    }

    /// Connects to the listener.
    pub(super) fn open(&self) -> io::Result<UnixStream> {
        UnixStream::connect(by_descriptor(&self.0))
    }

    /// One that leads nowhere any more.
    #[cfg(test)]
    pub(super) fn walled_up() -> Self {
        Self(File::open("/dev/null").unwrap())
    }
}

impl AsFd for Door {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Like no other file: tiny_http removes it once more when it ends, by a descriptor that is no longer ours by then.
const NAME: &str = "tapguard-private-http";

/// The address goes through the directory's descriptor: it is short, whatever the directory is called, and tells
/// nobody who lists sockets where the directory was.
fn listen_in(directory: &Path) -> io::Result<(UnixListener, Door)> {
    let held = File::open(directory)?;
    let listener = UnixListener::bind(by_descriptor(&held).join(NAME))?;
    let door = File::options().read(true).custom_flags(O_PATH).open(directory.join(NAME))?;
    Ok((listener, Door(door)))
}

fn by_descriptor(file: &File) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

/// systemd's runtime directory, which is there for the service alone, or else that for temporary files.
fn base() -> PathBuf {
    let runtime = std::env::var("RUNTIME_DIRECTORY").ok();
    let first = runtime.as_deref().and_then(|list| list.split(':').next()).filter(|path| !path.is_empty());
    first.map_or_else(std::env::temp_dir, PathBuf::from)
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use super::*;

    #[test]
    fn a_door_leads_to_its_listener_and_has_no_name() {
        let (listener, door) = Door::make().unwrap();
        let mut outside = door.open().unwrap();
        let (mut inside, _) = listener.accept().unwrap();
        outside.write_all(b"knock").unwrap();
        drop(outside);
        let mut heard = String::new();
        inside.read_to_string(&mut heard).unwrap();
        assert_eq!(heard, "knock");

        let address = listener.local_addr().unwrap();
        let path = address.as_pathname().unwrap();
        assert!(!path.exists(), "{path:?}");
        let refused = UnixStream::connect(path).unwrap_err();
        assert!(
            matches!(refused.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory),
            "{refused}"
        );

        drop(listener);
        assert_eq!(door.open().unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
        assert_eq!(Door::walled_up().open().unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
    }
}
