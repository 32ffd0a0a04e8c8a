//! The daemon as a service: what it tells its manager, how it reloads, and whether unit and account are good.

use std::fs;
use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::harness::daemon::Daemon;
use crate::harness::{PROGRAM, http, skipped, tool, wait_for};

/// A manager's end of the talk, and a place for configuration and store.
struct Manager {
    folder: tempfile::TempDir,
    socket: UnixDatagram,
}

impl Manager {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = UnixDatagram::bind(folder.path().join("notify")).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        Self { folder, socket }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn configure(&self, text: &str) {
        fs::write(self.path("tapguard.toml"), text).unwrap();
    }

    /// The generated network as a service.
    fn start(&self) -> Daemon {
        let mut command = Command::new(PROGRAM);
        command.env("NOTIFY_SOCKET", self.path("notify")).env("WATCHDOG_USEC", "2000000");
        let (config, store) = (self.path("tapguard.toml"), self.path("store"));
        let paths = [&config, &store].map(|p| p.display().to_string());
        Daemon::start_as(command, &["demo", "--config", &paths[0], "--store", &paths[1]])
    }

    /// The next message of this kind; others before it are dropped.
    fn hear(&self, start: &str) -> String {
        let mut buffer = [0; 4096];
        loop {
            let length =
                self.socket.recv(&mut buffer).unwrap_or_else(|e| panic!("{start} did not come: {e}"));
            let message = String::from_utf8(buffer[..length].to_vec()).unwrap();
            if message.starts_with(start) {
                return message;
            }
        }
    }

    /// Reloads and waits for its end.
    fn reload(&self, daemon: &Daemon) {
        daemon.signal("-HUP");
        let reloading = self.hear("RELOADING=1\nMONOTONIC_USEC=");
        assert!(reloading.split('=').next_back().unwrap().parse::<u64>().unwrap() > 0, "{reloading}");
        assert_eq!(self.hear("READY"), "READY=1");
    }
}

#[test]
fn the_manager_hears_of_start_progress_and_stop() {
    let manager = Manager::new();
    manager.configure("");
    let daemon = manager.start();
    assert_eq!(manager.hear("READY"), "READY=1");
    let status = manager.hear("STATUS");
    assert!(status.starts_with("STATUS=generated network: running; "), "{status}");
    for _ in 0..3 {
        assert_eq!(manager.hear("WATCHDOG"), "WATCHDOG=1");
    }
    assert!(manager.hear("STATUS").contains("learning, "));
    daemon.signal("-TERM");
    assert_eq!(manager.hear("STOPPING"), "STOPPING=1");
    assert_eq!(daemon.wait().0, Some(0));
}

#[test]
fn a_broken_configuration_is_not_reloaded_and_told_of() {
    let manager = Manager::new();
    manager.configure("[log]\nlevel = \"info\"\n");
    let daemon = manager.start();
    manager.hear("READY");
    manager.configure("[log]\nlevel = \"debug\"\n[mqtt]\nport = 0\n");
    manager.reload(&daemon);
    let why = "tapguard.toml:4: mqtt.port takes 1 to 65535, not 0";
    let status = manager.hear("STATUS");
    assert!(status.contains("; not reloaded: ") && status.ends_with(why), "{status}");
    assert_eq!(daemon.get("/healthz").status, 200, "it keeps running");
    manager.configure("[network]\ninterface = \"eth9\"\n");
    manager.reload(&daemon);
    assert!(!manager.hear("STATUS").contains("not reloaded"));
    let (code, log) = daemon.stop();
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains("ERROR") && log.contains(why), "{log}");
    assert!(!log.contains("DEBUG"), "nothing of the broken file is in force: {log}");
    assert!(log.contains("changed: nothing; needs a restart: network.interface"), "{log}");
}

#[test]
fn a_reload_changes_the_log_level() {
    let manager = Manager::new();
    manager.configure("[log]\nlevel = \"error\"\n");
    let daemon = manager.start();
    manager.hear("READY");
    manager.configure("[log]\nlevel = \"info\"\n");
    manager.reload(&daemon);
    let (_, log) = daemon.stop();
    assert!(log.contains("changed: log.level") && log.contains("stopping"), "{log}");

    let daemon = manager.start();
    manager.hear("READY");
    manager.configure("[log]\nlevel = \"error\"\n");
    manager.reload(&daemon);
    let (_, log) = daemon.stop();
    assert!(!log.contains("stopping"), "{log}");
}

/// The first byte of what the daemon says to a broker: a CONNECT.
fn connected(broker: &TcpListener) -> TcpStream {
    broker.set_nonblocking(true).unwrap();
    let (mut client, _) = wait_for("a connection to the broker", || broker.accept().ok());
    client.set_nonblocking(false).unwrap();
    client.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let mut first = [0];
    client.read_exact(&mut first).unwrap();
    assert_eq!(first, [0x10]);
    client
}

#[test]
fn a_reload_moves_to_another_broker_and_to_none() {
    let manager = Manager::new();
    let brokers = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let at = |broker: &TcpListener| {
        let port = broker.local_addr().unwrap().port();
        format!("[mqtt]\nhost = \"127.0.0.1\"\nport = {port}\n")
    };
    manager.configure("");
    let daemon = manager.start();
    manager.hear("READY");
    assert_eq!(daemon.statistics()["mqtt"], serde_json::Value::Null);
    manager.configure(&at(&brokers[0]));
    manager.reload(&daemon);
    let mut first = connected(&brokers[0]);
    manager.configure(&at(&brokers[1]));
    manager.reload(&daemon);
    let _second = connected(&brokers[1]);
    first.read_to_end(&mut Vec::new()).expect("the first connection is closed");
    manager.configure("");
    manager.reload(&daemon);
    assert_eq!(daemon.statistics()["mqtt"], serde_json::Value::Null);
    assert_eq!(daemon.stop().0, Some(0));
}

#[test]
fn a_reload_changes_the_names_of_the_page() {
    let manager = Manager::new();
    manager.configure("");
    let daemon = manager.start();
    manager.hear("READY");
    let asked = || {
        let request = "GET /healthz HTTP/1.1\r\nHost: tap.example\r\nConnection: close\r\n\r\n";
        http::raw(daemon.address, request).unwrap().status
    };
    assert_eq!(asked(), 421);
    manager.configure("[http]\nallowed_hosts = \"Tap.Example\"\n");
    manager.reload(&daemon);
    assert_eq!(asked(), 200);
}

fn shipped(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd").join(name)
}

#[test]
fn the_unit_is_good_and_safe() {
    let Some(analyze) = tool("systemd-analyze") else {
        return skipped("the unit", "systemd-analyze is not installed");
    };
    let folder = tempfile::tempdir().unwrap();
    // The program is not installed here.
    let text = fs::read_to_string(shipped("tapguard.service")).unwrap();
    let unit = folder.path().join("tapguard.service");
    fs::write(&unit, text.replace("/usr/bin/tapguard", PROGRAM)).unwrap();
    let drop_ins = folder.path().join("tapguard.service.d");
    fs::create_dir(&drop_ins).unwrap();
    fs::copy(shipped("tapguard.service.d/credentials.conf.example"), drop_ins.join("credentials.conf"))
        .unwrap();
    let run = |args: &[&str]| {
        let output = Command::new(&analyze).args(args).arg(&unit).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        (output.status.success(), said + &String::from_utf8_lossy(&output.stderr))
    };
    let (good, said) = run(&["verify", "--man=no"]);
    assert!(good && said.trim().is_empty(), "{said}");
    let (safe, said) = run(&["security", "--offline=true", "--threshold=16"]);
    assert!(safe && said.contains("Overall exposure level"), "{said}");
}

#[test]
fn the_account_is_good() {
    let Some(sysusers) = tool("systemd-sysusers") else {
        return skipped("the account", "systemd-sysusers is not installed");
    };
    let root = tempfile::tempdir().unwrap();
    fs::create_dir(root.path().join("etc")).unwrap();
    let root_argument = format!("--root={}", root.path().display());
    let output =
        Command::new(sysusers).arg(root_argument).arg(shipped("tapguard.sysusers")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let accounts = fs::read_to_string(root.path().join("etc/passwd")).unwrap();
    let account = accounts.lines().find(|line| line.starts_with("tapguard:")).unwrap();
    assert!(account.contains(":/var/lib/tapguard:") && account.ends_with("nologin"), "{account}");
}
