//! What the doctor checks of this machine: the source, the disk, and whether the broker can be reached.

use std::collections::BTreeMap;
use std::io;
use std::net::{TcpStream, ToSocketAddrs};
use std::path::Path;

use crate::capture::TapState;
use crate::control::CheckRecord;
use crate::sys::one_line;
use crate::time::Span;
use crate::{mqtt, store, sys};

/// How long the broker may take for each of its addresses.
const PATIENCE: Span = Span::from_secs(3);

/// Something that is wrong with this machine, and what helps.
struct Ill {
    trouble: &'static str,
    remedy: &'static str,
}

const NOT_OPEN: Ill = Ill {
    trouble: "not_open",
    remedy: "Bring the interface up (ip link set INTERFACE up), or name another one; `tapguard interfaces` lists them.",
};
const SILENT: Ill = Ill {
    trouble: "silent",
    remedy: "Plug the tap into the switch's mirror port and switch mirroring on; `tapguard interfaces` lists what else there is.",
};
const NO_DIRECTORY: Ill = Ill {
    trouble: "not_writable",
    remedy: "Make the directory and give it to the user that runs tapguard, or set store.path to another.",
};
const FULL: Ill = Ill { trouble: "full", remedy: "Make room on the disk, or set store.quota to less." };
const UNREACHABLE: Ill = Ill {
    trouble: "unreachable",
    remedy: "See that the broker runs, that mqtt.host and mqtt.port are right, and that no firewall is between.",
};

fn record(
    check: &'static str,
    title: &'static str,
    text: String,
    ill: Option<Ill>,
    measures: BTreeMap<&'static str, f64>,
) -> CheckRecord {
    CheckRecord {
        check,
        title,
        verdict: if ill.is_some() { "found" } else { "fine" },
        trouble: ill.as_ref().map(|ill| ill.trouble),
        text,
        unknown: None,
        remedy: ill.map(|ill| ill.remedy),
        measures,
    }
}

/// The interface that was listened to.
pub(super) fn source(interface: &str, state: &TapState, frames: u64, listened: Span) -> CheckRecord {
    let heard = format!("{frames} frames from {interface} in {} s", listened.as_secs());
    let (text, ill) = match state {
        TapState::Waiting(why) => (format!("{heard}; {why}"), Some(NOT_OPEN)),
        TapState::Running | TapState::Stopped => (heard, (frames == 0).then_some(SILENT)),
    };
    record("source", "Source", text, ill, measures([("frames", frames), ("seconds", listened.as_secs())]))
}

/// The disk of the store. A directory that is not there yet is made by the daemon in one that is.
pub(super) fn disk(config: &store::Config) -> CheckRecord {
    let directory = config.path.ancestors().find(|path| path.is_dir()).unwrap_or(Path::new("/"));
    let (shown, title) = (directory.display(), "Disk");
    if let Err(error) = sys::is_writable(directory) {
        let text = format!("{shown} cannot be written: {error}");
        return record("disk", title, text, Some(NO_DIRECTORY), BTreeMap::new());
    }
    match sys::free_bytes(directory) {
        Ok(free) => {
            let (free_mib, quota_mib) = (free >> 20, config.quota >> 20);
            let text = format!("{free_mib} MiB free in {shown}, of which the store may use {quota_mib} MiB");
            let numbers = measures([("free_bytes", free), ("quota_bytes", config.quota)]);
            // What the store has already taken of its quota is not free any more.
            let ill = (free < config.quota / 4).then_some(FULL);
            record("disk", title, text, ill, numbers)
        }
        Err(error) => record("disk", title, format!("{shown}: {error}"), Some(NO_DIRECTORY), BTreeMap::new()),
    }
}

/// Whether the broker takes connections.
pub(super) fn broker(config: &mqtt::Config) -> CheckRecord {
    let name = format!("{}:{}", config.host, config.port);
    let (text, ill) = match connect(&config.host, config.port) {
        Ok(()) => (format!("{name} takes connections"), None),
        Err(error) => (format!("{name} does not: {}", one_line(&error)), Some(UNREACHABLE)),
    };
    record("broker", "Broker", text, ill, BTreeMap::new())
}

fn connect(host: &str, port: u16) -> io::Result<()> {
    let mut failure = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in (host, port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, PATIENCE.to_std()) {
            Ok(_) => return Ok(()),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

#[expect(clippy::cast_precision_loss, reason = "for people and machines")]
fn measures(all: [(&'static str, u64); 2]) -> BTreeMap<&'static str, f64> {
    all.into_iter().map(|(name, value)| (name, value as f64)).collect()
}
