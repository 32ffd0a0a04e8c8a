//! Evidence of alerts and captures on demand, as files that other programs read: their packets, comments and limits; a
//! full disk and a kill.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use tapguard::capture::{Files, Next, Source};
use tapguard::packet::{ArpOperation, Network, Transport, dissect};
use tapguard::time::{Span, Timestamp};

use crate::harness::daemon::Daemon;
use crate::harness::{PROGRAM, capture, http, is_root, skipped, tapguard, wait_for};

/// The generated network, which is the sooner at its first attack the faster it is played. At this pace, memory holds
/// its last 300 ms.
fn demo(command: Command, store: &Path, more: &[&str]) -> Daemon {
    let store = store.display().to_string();
    Daemon::start_as(command, &[&["demo", "--speed", "200", "--store", &store], more].concat())
}

fn plain(store: &Path) -> Daemon {
    demo(Command::new(PROGRAM), store, &[])
}

/// A client with the token.
struct Owner {
    address: SocketAddr,
    token: String,
}

impl Owner {
    fn of(daemon: &Daemon, token: &str) -> Self {
        Self { address: daemon.address, token: token.to_owned() }
    }

    fn ask(&self, method: &str, path: &str, body: &str) -> http::Answer {
        let bearer = format!("Authorization: Bearer {}\r\nContent-Type: application/json\r\n", self.token);
        http::request(self.address, method, path, &bearer, body).unwrap()
    }

    fn begin(&self, wish: &Value) -> u64 {
        let begun = self.ask("POST", "/api/captures", &wish.to_string());
        assert_eq!(begun.status, 201, "{}", begun.body);
        begun.json()["id"].as_u64().unwrap()
    }

    fn capture(&self, id: u64) -> Value {
        self.ask("GET", &format!("/api/captures/{id}"), "").json()
    }

    fn ended(&self, id: u64) -> Value {
        wait_for("the end of a capture", || Some(self.capture(id)).filter(|c| c["state"] == "ended"))
    }

    fn file(&self, id: u64) -> Vec<u8> {
        let answer = self.ask("GET", &format!("/api/captures/{id}/file.pcapng"), "");
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.bytes
    }
}

/// Each packet of a file: time, length as captured, and what `of` says of it.
fn packets<T>(path: &Path, mut of: impl FnMut(&Network) -> T) -> Vec<(Timestamp, usize, T)> {
    let mut files = Files::open(&[path.to_owned()]).unwrap();
    let mut found = Vec::new();
    while let Next::Frame(frame) = files.next().unwrap() {
        found.push((frame.time, frame.bytes.len(), of(&dissect(&frame).network)));
    }
    assert_eq!(files.counters().broken_records, 0, "{} is whole", path.display());
    found
}

fn saved(folder: &Path, bytes: &[u8]) -> PathBuf {
    let path = folder.join("saved.pcapng");
    fs::write(&path, bytes).unwrap();
    path
}

fn has(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

/// The port to which one of these addresses opens a connection.
fn opened(network: &Network, by: &Value) -> Option<u16> {
    match network {
        Network::Ip(ip) if by.as_array()?.contains(&json!(ip.source)) => match &ip.transport {
            Transport::Tcp(tcp) if tcp.flags.is_open() => Some(tcp.destination_port),
            _ => None,
        },
        _ => None,
    }
}

#[test]
fn the_packets_around_a_scan_are_kept_with_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = plain(&folder.path().join("store"));
    let owner = Owner::of(&daemon, daemon.token.as_ref().unwrap());
    let scan = daemon.wait_for_alert("port_scan");
    let id = scan["id"].as_str().unwrap();
    let path = format!("/api/alerts/{id}/evidence.pcapng");
    assert_eq!(http::request(daemon.address, "GET", &path, "", "").unwrap().status, 401);
    let file = wait_for("evidence of the scan", || {
        let answer = owner.ask("GET", &path, "");
        assert!(answer.status == 200 || answer.body.contains("waiting"), "{}", answer.body);
        (answer.status == 200).then_some(answer)
    });
    let name = format!("attachment; filename=\"tapguard-alert-{id}.pcapng\"");
    assert_eq!(file.header("Content-Disposition"), Some(&*name));
    let title = scan["title"].as_str().unwrap();
    assert!(has(&file.bytes, &format!("alert {id} (port_scan): {title}")));
    let subject = &scan["subject"]["ips"];
    let found = packets(&saved(folder.path(), &file.bytes), |network| opened(network, subject));
    let mut ports: Vec<_> = found.iter().filter_map(|(_, _, port)| *port).collect();
    ports.sort_unstable();
    ports.dedup();
    assert!(ports.len() >= 20, "the scan is in it: {} packets, ports {ports:?}", found.len());
    let times: Vec<_> = found.iter().map(|(time, ..)| *time).collect();
    assert!(times.is_sorted());

    let told = daemon.get(&format!("/api/alerts/{id}")).json();
    let size = u64::try_from(file.bytes.len()).unwrap();
    assert_eq!(told["evidence"]["pcap"], json!(path));
    assert_eq!(told["evidence"]["pcap_bytes"], json!(size));
    assert_eq!(told["evidence"]["pcap_packets"], json!(found.len()));
    // The status is shown each second.
    wait_for("the count of files", || {
        let metrics = daemon.get("/metrics").body;
        metrics.contains("\ntapguard_evidence_files 1\n").then_some(())
    });

    // What a kill leaves unfinished is swept at the next start, and the rest is there.
    let evidence = folder.path().join("store/demo/evidence");
    let (unfinished, kept) =
        (evidence.join("00000000000000000000000a.tmp"), evidence.join(format!("{id}.pcapng")));
    daemon.kill();
    fs::write(&unfinished, b"half").unwrap();
    let daemon = plain(&folder.path().join("store"));
    assert!(!unfinished.exists() && kept.exists());
    let again = daemon.get(&format!("/api/alerts/{id}")).json();
    assert_eq!(again["evidence"], told["evidence"]);
}

#[test]
fn a_capture_on_demand_has_what_its_filter_wants_and_ends_at_its_limits() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = plain(&folder.path().join("store"));
    let owner = Owner::of(&daemon, daemon.token.as_ref().unwrap());
    wait_for("packets", || (daemon.statistics()["capture"]["frames"].as_u64() > Some(2_000)).then_some(()));
    let id = owner.begin(&json!({"name": "who has", "filter": "arp", "packets": 20, "snaplen": 64}));
    let ended = owner.ended(id);
    assert_eq!((&ended["ended_because"], &ended["written_packets"]), (&json!("packets"), &json!(20)));
    let bytes = owner.file(id);
    assert_eq!(ended["written_bytes"], json!(bytes.len()));
    let operations = packets(&saved(folder.path(), &bytes), |network| match network {
        Network::Arp(arp) => Some(arp.operation),
        _ => None,
    });
    assert_eq!(operations.len(), 20);
    let is_arp = |operation: &Option<ArpOperation>| operation.is_some();
    assert!(operations.iter().all(|(_, length, operation)| *length <= 64 && is_arp(operation)));
    assert!(has(&bytes, "who has") && has(&bytes, "generated network"));

    let id = owner.begin(&json!({"bytes": 50_000, "before_seconds": 30}));
    let ended = owner.ended(id);
    assert_eq!(ended["ended_because"], "bytes");
    let bytes = owner.file(id);
    assert!((40_000..=52_000).contains(&bytes.len()), "{}", bytes.len());
    let times: Vec<_> =
        packets(&saved(folder.path(), &bytes), |_| ()).into_iter().map(|(time, ..)| time).collect();
    assert!(times.is_sorted(), "the past joins what came after it");

    let bad = owner.ask("POST", "/api/captures", r#"{"filter": "tcp prt 80"}"#);
    assert_eq!(bad.status, 400);
    assert!(bad.body.contains("bad filter `tcp prt 80`"), "{}", bad.body);
    let silent = json!({"filter": "udp port 1", "seconds": 600});
    let running = [owner.begin(&silent), owner.begin(&silent)];
    assert_eq!(owner.ask("POST", "/api/captures", "{}").status, 429);
    assert_eq!(owner.ask("DELETE", &format!("/api/captures/{}", running[0]), "").status, 409);
    let stopped = owner.ask("POST", &format!("/api/captures/{}/stop", running[0]), "");
    assert_eq!((stopped.status, stopped.json()["ended_because"].clone()), (200, json!("stopped")));
    assert_eq!(packets(&saved(folder.path(), &owner.file(running[0])), |_| ()).len(), 0);
    let short = owner.begin(&json!({"filter": "udp port 1", "seconds": 1}));
    assert_eq!(owner.ended(short)["ended_because"], "seconds");
    assert_eq!(owner.ask("DELETE", &format!("/api/captures/{short}"), "").status, 200);
    assert_eq!(owner.ask("GET", &format!("/api/captures/{short}"), "").status, 404);

    let token = owner.token.clone();
    assert_eq!(daemon.stop().0, Some(0));
    let daemon = plain(&folder.path().join("store"));
    let owner = Owner::of(&daemon, &token);
    let last = owner.capture(running[1]);
    assert_eq!(last["ended_because"], "daemon_stopped");
    assert_eq!(packets(&saved(folder.path(), &owner.file(id)), |_| ()).len(), times.len());
}

#[test]
fn what_a_killed_capture_had_written_can_be_read() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = plain(&folder.path().join("store"));
    let token = daemon.token.clone().unwrap();
    let owner = Owner::of(&daemon, &token);
    let id = owner.begin(&json!({"seconds": 600}));
    wait_for("packets in the capture", || {
        (owner.capture(id)["written_packets"].as_u64() > Some(500)).then_some(())
    });
    daemon.kill();
    let daemon = plain(&folder.path().join("store"));
    let owner = Owner::of(&daemon, &token);
    let found = owner.capture(id);
    assert_eq!((&found["state"], &found["ended_because"]), (&json!("ended"), &json!("interrupted")));
    let count = packets(&saved(folder.path(), &owner.file(id)), |_| ()).len();
    assert!(count > 500);
    assert_eq!(found["written_packets"], json!(count));
}

#[test]
fn a_full_disk_is_told_and_survived() {
    if !is_root() {
        return skipped("files on a full disk", "only root may mount one");
    }
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let full = ["evidence", "captures"].map(|name| store.join("demo").join(name));
    full.iter().for_each(|path| fs::create_dir_all(path).unwrap());
    let mut command = Command::new("unshare");
    let mounting = "mount -t tmpfs -o size=8k none \"$1\" && mount -t tmpfs -o size=64k none \"$2\" && shift 2 && exec \"$@\"";
    command.args(["-m", "sh", "-c", mounting, "sh"]).args(full.iter()).arg(PROGRAM);
    let can = Command::new("unshare").args(["-m", "true"]).status().is_ok_and(|status| status.success());
    if !can {
        return skipped("files on a full disk", "there are no mount namespaces");
    }
    let daemon = demo(command, &store, &[]);
    let owner = Owner::of(&daemon, daemon.token.as_ref().unwrap());
    let id = owner.begin(&json!({"seconds": 600}));
    let ended = owner.ended(id);
    assert_eq!(ended["ended_because"], "write_failed");
    let count = packets(&saved(folder.path(), &owner.file(id)), |_| ()).len();
    assert_eq!(ended["written_packets"], json!(count), "what was written can be read");
    assert!(count > 0);
    daemon.wait_for_alert("port_scan");
    let files = wait_for("a failed write", || {
        let files = daemon.statistics()["files"].clone();
        (files["evidence"]["write_errors"].as_u64() > Some(0)).then_some(files)
    });
    for part in ["evidence", "captures"] {
        assert!(files[part]["failing"].as_str().is_some_and(|why| why.contains("space")), "{files}");
    }
    let left: Vec<_> = daemon.alerts().iter().map(|alert| alert["evidence"]["pcap"].clone()).collect();
    assert!(left.iter().all(Value::is_null), "{left:?}");
    assert_eq!(http::request(daemon.address, "GET", "/healthz", "", "").unwrap().status, 200);
    assert_eq!(daemon.stop().0, Some(0));
}

#[test]
fn evidence_can_be_switched_off() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let daemon = demo(Command::new(PROGRAM), &store, &["--set", "evidence.enabled=false"]);
    let owner = Owner::of(&daemon, daemon.token.as_ref().unwrap());
    let scan = daemon.wait_for_alert("port_scan");
    let answer =
        owner.ask("GET", &format!("/api/alerts/{}/evidence.pcapng", scan["id"].as_str().unwrap()), "");
    assert_eq!(answer.status, 404);
    assert!(answer.body.contains("skipped: evidence is switched off"), "{}", answer.body);
    assert!(!store.join("demo/evidence").exists());
}

#[test]
fn a_replay_writes_evidence_where_it_is_asked_to_and_says_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("network.pcap");
    capture::write(&file, Span::from_secs(60), Span::ZERO, Span::from_secs(600));
    let (path, evidence) = (file.display().to_string(), folder.path().join("evidence"));
    let replayed = |more: &[&str]| {
        let output = tapguard(&[&["replay", "--format", "json"], more, &[path.as_str()]].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let plain = replayed(&[]);
    let wanted = evidence.display().to_string();
    assert_eq!(replayed(&["--evidence", &wanted]), plain, "byte for byte");
    let alerts: Vec<Value> = plain.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let scan = alerts.iter().find(|a| a["kind"] == "port_scan" && a["event"] == "raised").unwrap();
    assert!(scan["evidence"]["pcap"].is_null());
    let cut = evidence.join(format!("{}.pcapng", scan["id"].as_str().unwrap()));
    let bytes = fs::read(&cut).unwrap();
    assert!(has(&bytes, scan["title"].as_str().unwrap()));
    let subject = &scan["subject"]["ips"];
    let ports = packets(&cut, |network| opened(network, subject));
    assert!(ports.iter().filter(|(_, _, port)| port.is_some()).count() >= 20);
    replayed(&["--evidence", &wanted]);
    assert_eq!(fs::read(&cut).unwrap(), bytes, "an earlier replay's file is replaced");
}
