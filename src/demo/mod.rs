//! A generated network and attacks on it, as a `capture::Source`: for a demonstration without a tap, and for tests.
//!
//! Ten devices with real protocol stacks (smoltcp) on a simulated switch: a router with the outside behind it, a
//! workstation, a phone, a television, a camera, a storage, a thermostat, a printer, and a controller with its operator
//! panel. Each frame is given once, as the switch's mirror port shows it. Time is simulated and chance is seeded: the
//! same [`Config`] gives the same bytes. All addresses and names are of the ranges for documentation and private use.
//!
//! A new attack is a file in `attack` and an entry in [`Attack`]; a new device is an entry in `site`.

mod app;
mod attack;
mod boundary;
mod chance;
mod frames;
mod network;
mod paced;
mod port;
mod protocol;
mod site;
mod station;

#[cfg(test)]
mod tests;

pub use attack::{Attack, Truth};
pub use network::{Config, Network};
pub use paced::Paced;
