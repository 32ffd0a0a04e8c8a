//! The identification that both sides of SSH begin with (RFC 4253 section 4.2), by content on any port.

use crate::bounded::Text;
use crate::packet::digest::{Digest, FaultReason, Layer};
use crate::packet::hint::{Hint, Ssh};
use crate::packet::window::Window;

/// RFC 4253 section 4.2, with the line's end.
const MAX_LINE: usize = 255;

/// A payload that begins with `S`. Whether it is of SSH.
pub(super) fn read(payload: Window<'_>, digest: &mut Digest) -> bool {
    let Some(version) = payload.bytes.strip_prefix(b"SSH-") else { return false };
    let (b"2.0-" | b"1.99-" | b"1.5-", software) =
        version.split_at(version.iter().position(|&byte| byte == b'-').map_or(0, |dash| dash + 1))
    else {
        return false;
    };
    let line = payload.bytes.iter().take(MAX_LINE).position(|&byte| byte == b'\n');
    let end = line.unwrap_or(payload.bytes.len()) - (payload.bytes.len() - software.len());
    if line.is_none() && payload.bytes.len() >= MAX_LINE {
        digest.note(Layer::Ssh, FaultReason::BadLength);
        return true;
    }
    if line.is_none() && payload.bytes.len() < payload.length() {
        digest.note(Layer::Ssh, FaultReason::Cut);
    }
    let software = software.get(..end).unwrap_or(software);
    digest.hint = Hint::Ssh(Ssh { software: Text::from_wire(software.trim_ascii_end()) });
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::samples::{captured, digest, fault, tcp4};

    fn read(text: &[u8]) -> Option<String> {
        match digest(&tcp4(text)).hint {
            Hint::Ssh(ssh) => Some(ssh.software.to_string()),
            _ => None,
        }
    }

    #[test]
    fn identifications() {
        let found = |text: &[u8]| read(text).unwrap();
        assert_eq!(found(b"SSH-2.0-OpenSSH_9.6 Debian-1\r\n\x00\x00\x05"), "OpenSSH_9.6 Debian-1");
        assert_eq!(found(b"SSH-1.99-dropbear\n"), "dropbear");
        assert_eq!(found(b"SSH-2.0-libssh"), "libssh", "its end comes later");
        for other in [&b"SSH-"[..], b"SSH-3.0-x\r\n", b"SSH-2.0", b"SSHX\r\n"] {
            assert_eq!(read(other), None);
            assert_eq!(digest(&tcp4(other)).fault, None);
        }
    }

    #[test]
    fn a_line_that_does_not_end() {
        let long = [&b"SSH-2.0-"[..], &[b'x'; 300]].concat();
        assert_eq!(digest(&tcp4(&long)).fault, fault(Layer::Ssh, FaultReason::BadLength));
        let frame = tcp4(b"SSH-2.0-OpenSSH_9.6\r\n");
        let cut = captured(&frame, frame.len() - 4);
        assert_eq!(cut.fault, fault(Layer::Ssh, FaultReason::Cut));
        assert!(matches!(cut.hint, Hint::Ssh(ssh) if ssh.software.as_str() == "OpenSSH_9"));
    }
}
