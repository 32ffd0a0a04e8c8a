//! What this process uses, read from `/proc/self` (proc(5)). Systems without it have no such numbers.

use std::fs;
use std::io;

use crate::time::Span;

/// What this process uses at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resources {
    /// Memory in RAM, in bytes.
    pub resident: u64,
    /// The most memory in RAM since start, in bytes.
    pub resident_peak: u64,
    /// Threads.
    pub threads: u64,
    /// Processor time since start, user and system, in steps of ten milliseconds.
    pub cpu: Span,
    /// Open file descriptors.
    pub descriptors: u64,
}

impl Resources {
    /// Reads them.
    ///
    /// # Errors
    /// When `/proc/self` is not there or of another form.
    pub fn read() -> io::Result<Self> {
        let status = fs::read_to_string("/proc/self/status")?;
        let stat = fs::read_to_string("/proc/self/stat")?;
        // The listing's own descriptor is not counted.
        let listed = fs::read_dir("/proc/self/fd")?.count().saturating_sub(1);
        parse(&status, &stat, u64::try_from(listed).unwrap_or(u64::MAX))
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "unknown form of /proc/self"))
    }
}

/// How many descriptors this process may have open.
///
/// # Errors
/// When `/proc/self` is not there or of another form.
pub fn descriptor_limit() -> io::Result<u64> {
    let limits = fs::read_to_string("/proc/self/limits")?;
    soft_limit(&limits)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "unknown form of /proc/self"))
}

/// Whether something failed because this process, or the whole system, has no descriptor left.
#[must_use]
pub fn is_out_of_descriptors(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE))
}

fn soft_limit(limits: &str) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    match line.split_ascii_whitespace().next()? {
        "unlimited" => Some(u64::MAX),
        soft => soft.parse().ok(),
    }
}

fn parse(status: &str, stat: &str, descriptors: u64) -> Option<Resources> {
    let field = |name: &str| -> Option<u64> {
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        line.split_ascii_whitespace().next()?.parse().ok()
    };
    Some(Resources {
        resident: field("VmRSS")?.checked_mul(1024)?,
        resident_peak: field("VmHWM")?.checked_mul(1024)?,
        threads: field("Threads")?,
        cpu: cpu_time(stat)?,
        descriptors,
    })
}

/// utime and stime, fields 14 and 15, in ticks of 1/100 s (USER_HZ is 100 on every architecture that Linux runs on
/// today). The second field is the program's name in brackets and may hold anything.
fn cpu_time(stat: &str) -> Option<Span> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_ascii_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(Span::from_millis(user.checked_add(system)?.checked_mul(10)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATUS: &str = "Name:\ttapguard\nVmHWM:\t   20480 kB\nVmRSS:\t   10240 kB\nThreads:\t7\n";
    const STAT: &str =
        "42 (odd ) name) S 1 42 42 0 -1 4194560 900 0 0 0 150 25 0 0 20 0 7 0 1000 100000 2560";

    #[test]
    fn fields_are_read_whatever_the_name() {
        let expected = Resources {
            resident: 10 << 20,
            resident_peak: 20 << 20,
            threads: 7,
            cpu: Span::from_millis(1750),
            descriptors: 12,
        };
        assert_eq!(parse(STATUS, STAT, 12), Some(expected));
    }

    #[test]
    fn another_form_is_no_number() {
        assert_eq!(parse("", STAT, 0), None);
        assert_eq!(parse(STATUS, "42 (name) S 1", 0), None);
        assert_eq!(parse(&STATUS.replace("10240", "many"), STAT, 0), None);
    }

    #[test]
    fn the_limit_is_the_soft_one() {
        let limits = "Limit                     Soft Limit           Hard Limit           Units     \n\
                      Max open files            1024                 524288               files     \n";
        assert_eq!(soft_limit(limits), Some(1024));
        assert_eq!(soft_limit(&limits.replace("1024 ", "unlimited ")), Some(u64::MAX));
        assert_eq!(soft_limit("Max processes 7 7\n"), None);
        assert!(descriptor_limit().unwrap() > Resources::read().unwrap().descriptors);
    }

    #[test]
    fn this_process_uses_something() {
        let resources = Resources::read().unwrap();
        assert!(resources.resident > 100_000 && resources.resident_peak >= resources.resident);
        assert!(resources.threads >= 1 && resources.descriptors >= 3);
    }
}
