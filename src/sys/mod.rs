//! The operating system: clock, waiting and resource readings. Not for the data plane.

pub mod clock;
mod ready;
mod resources;

pub use ready::readable;
pub use resources::Resources;
