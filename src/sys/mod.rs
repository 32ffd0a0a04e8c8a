//! The operating system: clock, waiting, service manager and resource readings. Not for the data plane.

pub mod clock;
mod datagram;
mod disk;
mod notify;
mod ready;
mod resources;
mod telling;

pub use datagram::{Arrival, DatagramListener};
pub use disk::{free_bytes, is_writable};
pub use notify::ServiceManager;
pub use ready::readable;
pub use resources::{Resources, descriptor_limit, is_out_of_descriptors};
pub use telling::one_line;
