//! A Mosquitto, what listens and publishes there, and a daemon that is its tap.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;
use std::time::Duration;

use tapguard::sys::clock::Stopwatch;
use tapguard::time::Span;

use super::daemon::Daemon;
use super::{PROGRAM, tool, wait_for};

/// Where the tap is announced to Home Assistant.
pub(crate) const CONFIG: &str = "homeassistant/device/tapguard_t-demo/config";

pub(crate) struct Broker {
    child: Child,
    config: PathBuf,
}

impl Broker {
    /// A broker that keeps sessions in `folder`.
    pub(crate) fn start(folder: &Path, port: u16, more: &str) -> Self {
        let config = folder.join("mosquitto.conf");
        let text = format!(
            "user root\nlistener {port} 127.0.0.1\npersistence true\npersistence_location {}/\n{more}\n",
            folder.display()
        );
        fs::write(&config, text).unwrap();
        let child = Self::spawn(&config);
        let broker = Self { child, config };
        wait_for("the broker", || std::net::TcpStream::connect(("127.0.0.1", port)).ok());
        broker
    }

    fn spawn(config: &Path) -> Child {
        let mut command = Command::new(tool("mosquitto").unwrap());
        command.arg("-c").arg(config).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }

    /// In order, so that it keeps what it has.
    pub(crate) fn stop(&mut self) {
        assert!(Command::new("kill").arg(self.child.id().to_string()).status().unwrap().success());
        self.child.wait().unwrap();
    }

    pub(crate) fn start_again(&mut self) {
        self.child = Self::spawn(&self.config);
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// mosquitto_sub with a session that the broker keeps.
pub(crate) struct Subscriber {
    child: Child,
    pub(crate) messages: Receiver<(String, String)>,
}

impl Subscriber {
    pub(crate) fn start(port: u16, more: &[&str]) -> Self {
        let mut child = Command::new(tool("mosquitto_sub").unwrap())
            .args([
                "-h",
                "127.0.0.1",
                "-p",
                &port.to_string(),
                "-i",
                "test",
                "-c",
                "-q",
                "1",
                "-t",
                "tapguard/#",
            ])
            .args(["-F", "%t %r %q %p"])
            .args(more)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        // 4096: more than a test lasts for; the reader waits when it is full.
        let (sender, messages) = sync_channel(4_096);
        thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let (topic, rest) = line.split_once(' ').unwrap();
                if sender.send((topic.to_owned(), rest.to_owned())).is_err() {
                    return;
                }
            }
        });
        Self { child, messages }
    }

    /// The next message on a topic: retain flag, quality of service, payload.
    pub(crate) fn next(&self, topic: &str) -> (bool, u8, String) {
        let waited = Stopwatch::start();
        loop {
            assert!(waited.elapsed() < Span::from_secs(60), "waited a minute for {topic}");
            let (found, rest) =
                self.messages.recv_timeout(Duration::from_secs(60)).expect("a message in a minute");
            if found == topic {
                let mut parts = rest.splitn(3, ' ');
                let retain = parts.next() == Some("1");
                let quality = parts.next().unwrap().parse().unwrap();
                return (retain, quality, parts.next().unwrap().to_owned());
            }
        }
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// What of Mosquitto is not installed.
pub(crate) fn missing() -> Option<&'static str> {
    ["mosquitto", "mosquitto_sub"].into_iter().find(|name| tool(name).is_none())
}

/// The generated network at a thousand times its speed, as tap `t-demo` of this broker.
pub(crate) fn demo(folder: &Path, port: u16, more: &[&str]) -> Daemon {
    demo_as(Command::new(PROGRAM), folder, port, more)
}

/// The same through another command, which runs the program.
pub(crate) fn demo_as(command: Command, folder: &Path, port: u16, more: &[&str]) -> Daemon {
    let store = folder.join("store").display().to_string();
    let port = format!("mqtt.port={port}");
    let args = [
        "demo",
        "--speed",
        "1000",
        "--store",
        &store,
        "--set",
        "mqtt.host=127.0.0.1",
        "--set",
        &port,
        "--set",
        "tap.name=t",
        "--set",
        "mqtt.state_interval=1",
    ];
    Daemon::start_as(command, &[&args, more].concat())
}

pub(crate) fn publish(port: u16, topic: &str, payload: &str, more: &[&str]) {
    let port = port.to_string();
    let args = ["-h", "127.0.0.1", "-p", &port, "-q", "1", "-t", topic, "-m", payload];
    let status = Command::new(tool("mosquitto_pub").unwrap()).args(args).args(more).status();
    assert!(status.unwrap().success());
}
