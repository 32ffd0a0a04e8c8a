//! What the tests share: the daemon as a process, a broker, a browser, a small HTTP client, waiting, and network namespaces.

pub(crate) mod broker;
pub(crate) mod browser;
pub(crate) mod capture;
pub(crate) mod daemon;
pub(crate) mod http;
pub(crate) mod mirror;
pub(crate) mod namespace;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::thread;
use std::time::Duration;

use tapguard::sys::clock::Stopwatch;
use tapguard::time::Span;

/// The program under test.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_tapguard");

/// Runs the program to its end.
pub(crate) fn tapguard(args: &[&str]) -> Output {
    Command::new(PROGRAM).args(args).env_remove("TAPGUARD_CONFIG").output().unwrap()
}

/// Polls until there is an answer or a minute has passed; a slow machine is no failure.
pub(crate) fn wait_for<T>(what: &str, mut poll: impl FnMut() -> Option<T>) -> T {
    let waited = Stopwatch::start();
    loop {
        if let Some(answer) = poll() {
            return answer;
        }
        assert!(waited.elapsed() < Span::from_secs(60), "waited a minute for {what}");
        thread::park_timeout(Duration::from_millis(50));
    }
}

/// The path of a tool, where it is installed.
pub(crate) fn tool(name: &str) -> Option<PathBuf> {
    let path = std::env::var("PATH").unwrap_or_default();
    let folders = path.split(':').chain(["/usr/sbin", "/sbin"]);
    folders.map(|folder| Path::new(folder).join(name)).find(|p| p.is_file())
}

/// Says that a test did not run, and why.
pub(crate) fn skipped(test: &str, why: &str) {
    // Not through the macro, whose words the test runner shows of failed tests only.
    std::io::stderr().write_all(format!("skipped {test}: {why}\n").as_bytes()).unwrap();
}

/// Whether the tests may make network namespaces.
pub(crate) fn is_root() -> bool {
    std::fs::read_to_string("/proc/self/status")
        .is_ok_and(|s| s.lines().any(|l| l.starts_with("Uid:") && l.split_whitespace().nth(2) == Some("0")))
}

/// A port of the loopback that nobody listens on now.
pub(crate) fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
