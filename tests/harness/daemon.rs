//! The daemon as a process: started, asked, stopped, killed.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::thread;

use super::http::{self, Answer};
use super::{PROGRAM, wait_for};

pub(crate) struct Daemon {
    child: Child,
    pub(crate) address: SocketAddr,
    /// Shown at the first start only.
    pub(crate) token: Option<String>,
    /// What it said it listens to.
    pub(crate) source: String,
    log: Option<thread::JoinHandle<String>>,
}

impl Daemon {
    /// Starts the program with a port of its own choice and waits until it has said where it listens.
    pub(crate) fn start(args: &[&str]) -> Self {
        Self::start_as(Command::new(PROGRAM), args)
    }

    /// The same through another command, which runs the program.
    pub(crate) fn start_as(mut command: Command, args: &[&str]) -> Self {
        let mut child = command
            .args(args)
            .args(["--listen", "127.0.0.1:0"])
            .env_remove("TAPGUARD_CONFIG")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = drained(child.stderr.take().unwrap());
        let (mut address, mut token, mut source) = (None, None, None);
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            let line = line.unwrap();
            let (word, rest) = line.split_once(' ').unwrap_or((line.as_str(), ""));
            match word {
                "page" => {
                    let port = rest.trim().trim_end_matches('/').rsplit(':').next().unwrap().parse().unwrap();
                    address = Some(SocketAddr::from(([127, 0, 0, 1], port)));
                }
                "admin" => token = rest.split_whitespace().nth(1).map(str::to_owned),
                "source" => {
                    source = Some(rest.trim().to_owned());
                    break;
                }
                _ => {}
            }
        }
        let (Some(address), Some(source)) = (address, source) else {
            let status = child.wait().unwrap();
            panic!("the daemon did not start ({status}): {}", log.join().unwrap());
        };
        Self { child, address, token, source, log: Some(log) }
    }

    /// The process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        http::get(self.address, path)
    }

    /// A GET with the admin token, which must be answered with 200.
    pub(crate) fn get_as_owner(&self, path: &str) -> Answer {
        let answer = http::request(self.address, "GET", path, &self.bearer(), "").unwrap();
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        answer
    }

    fn bearer(&self) -> String {
        format!("Authorization: Bearer {}\r\n", self.token.as_ref().unwrap())
    }

    /// A POST with the admin token and no body, which must be answered with 200.
    pub(crate) fn post(&self, path: &str) -> Answer {
        let answer = http::request(self.address, "POST", path, &self.bearer(), "").unwrap();
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        answer
    }

    pub(crate) fn statistics(&self) -> serde_json::Value {
        self.get("/api/statistics").json()
    }

    /// Kept alerts, newest first.
    pub(crate) fn alerts(&self) -> Vec<serde_json::Value> {
        self.get("/api/alerts?limit=500").json()["alerts"].as_array().unwrap().clone()
    }

    pub(crate) fn wait_for_alert(&self, kind: &str) -> serde_json::Value {
        wait_for(kind, || self.alerts().into_iter().find(|a| a["kind"] == kind))
    }

    /// Sends a signal, such as `-HUP`.
    pub(crate) fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
    }

    /// SIGTERM; gives exit code and log.
    pub(crate) fn stop(self) -> (Option<i32>, String) {
        self.signal("-TERM");
        self.wait()
    }

    /// Waits until it has ended; gives exit code and log.
    pub(crate) fn wait(mut self) -> (Option<i32>, String) {
        let code = self.child.wait().unwrap().code();
        (code, self.log.take().unwrap().join().unwrap())
    }

    /// SIGKILL.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn drained(mut stderr: ChildStderr) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut text = String::new();
        drop(stderr.read_to_string(&mut text));
        text
    })
}
