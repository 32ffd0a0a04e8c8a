//! NTP packets (RFC 5905 section 7.3; control messages: RFC 9327): who asks for the time and who gives it. Times are
//! not read.

use crate::packet::digest::FaultReason;
use crate::packet::hint::Ntp;
use crate::packet::window::Window;

pub(super) const PORT: u16 = 123;

const HEADER: usize = 48;

/// RFC 9327 section 2.
const CONTROL_HEADER: usize = 12;
const MODE_CONTROL: u8 = 6;
const PRIVATE_HEADER: usize = 8;
const MODE_PRIVATE: u8 = 7;

/// Reads a packet on [`PORT`].
pub(super) fn read(payload: Window<'_>) -> Result<Ntp, FaultReason> {
    let &[first, second, ..] = payload.bytes else { return Err(payload.shortage(2)) };
    let (version, mode) = (first >> 3 & 7, first & 7);
    // Version 1 (RFC 1059) has no mode.
    if !(1..=4).contains(&version) || (mode == 0 && version > 1) {
        return Err(FaultReason::BadField);
    }
    let (length, stratum) = match mode {
        MODE_CONTROL => (CONTROL_HEADER, 0),
        MODE_PRIVATE => (PRIVATE_HEADER, 0),
        _ => (HEADER, second),
    };
    if payload.bytes.len() < length {
        return Err(payload.shortage(length));
    }
    Ok(Ntp { version, mode, stratum })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::samples::{captured, digest, fault, udp4};
    use crate::packet::{Hint, Layer};

    fn packet(first: u8, second: u8, length: usize) -> Vec<u8> {
        let mut packet = vec![0; length];
        packet[0] = first;
        packet[1] = second;
        udp4(40_000, PORT, &packet)
    }

    #[test]
    fn packets() {
        let read = |first, second, length| match digest(&packet(first, second, length)).hint {
            Hint::Ntp(ntp) => (ntp.version, ntp.mode, ntp.stratum),
            other => panic!("{other:?}"),
        };
        assert_eq!(read(0xe3, 0, 48), (4, 3, 0), "a client");
        assert_eq!(read(0x1c, 2, 68), (3, 4, 2), "a server, authenticated");
        assert_eq!(read(0x16, 2, 12), (2, 6, 0), "control");
        assert_eq!(read(0x17, 0, 8), (2, 7, 0), "private");
    }

    #[test]
    fn what_is_no_ntp() {
        let reason = |first, length| digest(&packet(first, 0, length)).fault;
        assert_eq!(reason(0xe3, 47), fault(Layer::Ntp, FaultReason::TooShort));
        assert_eq!(reason(0x16, 11), fault(Layer::Ntp, FaultReason::TooShort));
        for first in [0x00, 0x03, 0x2b, 0x3b, 0x20] {
            assert_eq!(reason(first, 48), fault(Layer::Ntp, FaultReason::BadField), "{first:x}");
        }
        let frame = packet(0xe3, 0, 48);
        assert_eq!(captured(&frame, frame.len() - 1).fault, fault(Layer::Ntp, FaultReason::Cut));
    }
}
