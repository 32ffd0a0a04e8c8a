//! Disks: room and permission, asked without changing anything.

#![expect(unsafe_code, reason = "statvfs(3) and access(2) have no safe form in the standard library")]

use std::ffi::CString;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Bytes that an unprivileged process may still write on the file system of `path`.
///
/// # Errors
/// When `path` does not exist or may not be looked at.
#[allow(clippy::useless_conversion, reason = "the fields have 32 bits on some targets")]
pub fn free_bytes(path: &Path) -> io::Result<u64> {
    let path = name_of(path)?;
    // SAFETY: all zero is a valid statvfs.
    let mut room: libc::statvfs = unsafe { std::mem::zeroed() };
    // SAFETY: `path` ends with a zero byte, and `room` is one valid statvfs for the length of the call.
    if unsafe { libc::statvfs(path.as_ptr(), &raw mut room) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(u64::from(room.f_bavail).saturating_mul(u64::from(room.f_frsize)))
}

/// Whether this process may make files in the directory `path`: no error where it may.
///
/// # Errors
/// Why it may not.
pub fn is_writable(path: &Path) -> io::Result<()> {
    let path = name_of(path)?;
    // SAFETY: `path` ends with a zero byte.
    match unsafe { libc::access(path.as_ptr(), libc::W_OK | libc::X_OK) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

fn name_of(path: &Path) -> io::Result<CString> {
    CString::new(path.as_os_str().as_bytes()).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_has_room_and_a_missing_one_says_so() {
        let folder = tempfile::tempdir().unwrap();
        assert!(free_bytes(folder.path()).unwrap() > 0);
        is_writable(folder.path()).unwrap();
        let missing = folder.path().join("missing");
        assert_eq!(free_bytes(&missing).unwrap_err().kind(), io::ErrorKind::NotFound);
        assert_eq!(is_writable(&missing).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
