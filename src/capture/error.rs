//! Why there are no frames. Names the interface or file and the remedy; the exit code is the caller's.

use std::io;

/// Why a source cannot be opened or is of no more use.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// The named interface does not exist.
    #[error("no interface `{interface}`; there are: {known}")]
    NoSuchInterface {
        /// The name asked for.
        interface: String,
        /// The names that exist, with commas between them.
        known: String,
    },
    /// None was named and none is fit to be chosen.
    #[error("no interface to listen on is up; bring one up or name one")]
    NoInterface,
    /// The process may not capture.
    #[error(
        "not permitted to capture on `{interface}`: CAP_NET_RAW is needed; run as root, or once \
         `setcap cap_net_raw+ep` on the program"
    )]
    NoPermission {
        /// The interface.
        interface: String,
    },
    /// The filter does not compile.
    #[error("bad filter `{filter}`: {message}")]
    BadFilter {
        /// The filter as configured.
        filter: String,
        /// What libpcap says about it.
        message: String,
    },
    /// The interface exists but is down. It may come up: wait and open again.
    #[error("interface `{interface}` is down; `ip link set {interface} up` brings it up")]
    InterfaceDown {
        /// The interface.
        interface: String,
    },
    /// The interface was there when capture began and is not any more. It may come back: wait and open again.
    #[error("interface `{interface}` has vanished")]
    InterfaceVanished {
        /// The interface.
        interface: String,
    },
    /// libpcap failed in another way, though the interface is there and up: wait and open again.
    #[error("cannot capture on `{interface}`")]
    Interface {
        /// The interface.
        interface: String,
        /// What libpcap says.
        #[source]
        source: pcap::Error,
    },
    /// The interfaces cannot be listed.
    #[error("cannot list the interfaces")]
    ListInterfaces(#[source] pcap::Error),
    /// An address cannot be listened on for mirrored frames.
    #[error("cannot listen on {address} for mirrored frames")]
    Listen {
        /// The address.
        address: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A capture file cannot be opened.
    #[error("cannot open `{path}`")]
    OpenFile {
        /// The path as given.
        path: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A capture file cannot be read on, other than for what is in it.
    #[error("cannot read `{path}`")]
    ReadFile {
        /// The path as given.
        path: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file is not a capture.
    #[error("`{path}` is not a capture: pcap or pcapng is expected, as it is or in gzip")]
    NotACapture {
        /// The path as given.
        path: String,
    },
}

impl CaptureError {
    /// Whether the process lacks a right.
    #[must_use]
    pub fn is_permission(&self) -> bool {
        match self {
            Self::NoPermission { .. } => true,
            Self::OpenFile { source, .. } | Self::Listen { source, .. } => {
                source.kind() == io::ErrorKind::PermissionDenied
            }
            _ => false,
        }
    }
}
