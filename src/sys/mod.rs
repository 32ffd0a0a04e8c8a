//! The operating system: clock and resource readings. Not for the data plane.

pub mod clock;
mod resources;

pub use resources::Resources;
