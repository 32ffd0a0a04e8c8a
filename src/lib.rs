//! tapguard: the daemon of a small network tap. It learns what is normal on a mirrored port and raises few,
//! explained alerts when something is not.
//!
//! The way of the data, and the order in which modules may know each other (a module imports only what stands above
//! it; `tests/architecture.rs` checks that):
//!
//! ```text
//! time, bounded, sys
//! packet    one pass over the bytes to a small Copy digest
//! capture   frames, live or from files
//! flow      flows and devices
//! feature   per-device windows to vectors
//! baseline  what this network does
//! model     vectors to calibrated scores
//! behaviour named detectors to evidence
//! alert     evidence and scores to incidents
//! pipeline  Meter (frames to observations) and Judge (observations to alerts)
//! control   status out, commands in
//! store, mqtt, http, config, demo, app
//! ```
//!
//! From `packet` to `pipeline` there is no I/O, no thread, no clock, no log line and no lock: time is the packet's,
//! and the same capture gives the same alerts.

pub mod alert;
pub mod app;
pub mod baseline;
pub mod behaviour;
pub mod bounded;
pub mod capture;
pub mod config;
pub mod control;
pub mod demo;
pub mod feature;
pub mod flow;
pub mod http;
pub mod model;
pub mod mqtt;
pub mod packet;
pub mod pipeline;
pub mod store;
pub mod sys;
pub mod time;
