//! Construction of the daemon: what is opened in which order, threads, supervision, and shutdown in order.
//!
//! Threads of `run` and `demo`: one captures and meters, one judges, one writes the store, one cuts evidence of alerts,
//! one writes each capture on demand, a few serve HTTP, and the main thread runs tokio for signals, MQTT and housekeeping. What crosses threads is bounded, and full queues are
//! counted or waited for, as each says.

mod capture;
mod cutting;
mod daemon;
mod decoding;
mod desk;
mod doctor;
mod error;
mod evidence;
mod housekeeping;
mod judging;
mod marking;
mod opening;
mod plan;
mod reading;
mod recording;
mod reload;
mod replay;
mod settings;
mod start;
mod status;
mod supervision;
mod taps;
mod trial;

pub use daemon::run;
pub use decoding::Decoding;
pub use doctor::{Diagnosis, Doctor, doctor};
pub use error::AppError;
pub use reload::Reload;
pub use replay::{Format, Replay, Summary, replay};
pub use start::{Options, Origin};
