//! All integration tests in one binary, so that they link once. What needs a tool or a right that is missing says
//! "skipped" with the reason on standard error and passes.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking, and says on standard error what it skips"
)]

mod allocation;
mod architecture;
mod broker;
mod cli;
mod daemon;
mod doctor;
mod emulated;
mod evidence;
mod fuzzing;
mod hardening;
mod harness;
mod home_assistant;
mod live;
mod owner;
mod packaging;
mod page;
mod replay;
mod settings;
mod stream;
mod systemd;
