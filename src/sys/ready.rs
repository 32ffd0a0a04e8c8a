//! Waiting for a descriptor to have something to read. Who reads it and what comes is the caller's.

#![expect(unsafe_code, reason = "poll(2) has no safe form in the standard library")]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use crate::time::Span;

/// Waits until `fd` can be read without blocking, has ended or has failed (then true), or until `patience` is over or
/// a signal came (then false). Patience counts in whole milliseconds.
///
/// # Errors
/// What poll(2) refuses, other than an interruption.
pub fn readable(fd: BorrowedFd<'_>, patience: Span) -> io::Result<bool> {
    let millis = i32::try_from(patience.as_nanos() / 1_000_000).unwrap_or(i32::MAX);
    let mut entry = libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: `entry` is one valid pollfd for the length of the call, and the descriptor is open while it is borrowed.
    let count = unsafe { libc::poll(&raw mut entry, 1, millis) };
    match count {
        0 => Ok(false),
        1.. => Ok(true),
        _ => match io::Error::last_os_error() {
            error if error.kind() == io::ErrorKind::Interrupted => Ok(false),
            error => Err(error),
        },
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn a_pipe_is_readable_with_data_and_at_its_end() {
        let (reader, mut writer) = io::pipe().unwrap();
        assert!(!readable(reader.as_fd(), Span::ZERO).unwrap());
        writer.write_all(b"x").unwrap();
        assert!(readable(reader.as_fd(), Span::from_secs(5)).unwrap());

        let (reader, writer) = io::pipe().unwrap();
        drop(writer);
        assert!(readable(reader.as_fd(), Span::from_secs(5)).unwrap());
    }
}
