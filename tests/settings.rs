//! Settings of a running daemon: changed over HTTP, kept over restarts, taken back where the capture does not come
//! back.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};
use tapguard::config::key::KEYS;
use tapguard::time::Span;

use crate::harness::daemon::Daemon;
use crate::harness::http::{self, Answer};
use crate::harness::namespace::Cable;
use crate::harness::{PROGRAM, capture, free_port, skipped, wait_for};

/// A place for configuration and store, and the token of the daemons that run there.
struct Site {
    folder: tempfile::TempDir,
    token: Option<String>,
}

impl Site {
    fn new(text: &str) -> Self {
        let site = Self { folder: tempfile::tempdir().unwrap(), token: None };
        site.configure(text);
        site
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn configure(&self, text: &str) {
        fs::write(self.path("tapguard.toml"), text).unwrap();
    }

    fn start(&mut self, words: &[&str]) -> Daemon {
        let mut command = Command::new(PROGRAM);
        command.env("TAPGUARD_MQTT__STATE_INTERVAL", "5");
        let paths = [self.path("tapguard.toml"), self.path("store")].map(|p| p.display().to_string());
        let place = ["--config", paths[0].as_str(), "--store", paths[1].as_str()];
        let daemon = Daemon::start_as(command, &[words, &place].concat());
        self.token = daemon.token.clone().or(self.token.take());
        daemon
    }

    /// The generated network, fast.
    fn demo(&mut self) -> Daemon {
        self.start(&["demo", "--speed", "1000"])
    }

    fn ask(&self, daemon: &Daemon, (method, path): (&str, &str), lines: &str, body: &str) -> Answer {
        let token = self.token.as_deref().unwrap();
        let headers = format!("Authorization: Bearer {token}\r\nContent-Type: application/json\r\n{lines}");
        http::request(daemon.address, method, path, &headers, body).unwrap()
    }

    fn config(&self, daemon: &Daemon) -> Answer {
        let answer = self.ask(daemon, ("GET", "/api/config"), "", "");
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer
    }

    fn tag(&self, daemon: &Daemon) -> String {
        self.config(daemon).header("ETag").unwrap().to_owned()
    }

    /// Changes what holds now.
    fn patch(&self, daemon: &Daemon, body: &Value) -> Answer {
        let matching = format!("If-Match: {}\r\n", self.tag(daemon));
        self.ask(daemon, ("PATCH", "/api/config"), &matching, &body.to_string())
    }

    /// Value and kind of source.
    fn setting(&self, daemon: &Daemon, key: &str) -> (Value, String) {
        let found = self.all_of(daemon, key);
        (found["value"].clone(), found["source"]["kind"].as_str().unwrap().to_owned())
    }

    fn all_of(&self, daemon: &Daemon, key: &str) -> Value {
        let config = self.config(daemon).json();
        config["settings"].as_array().unwrap().iter().find(|s| s["key"] == key).unwrap().clone()
    }

    fn wait_for_outcome(&self, daemon: &Daemon, outcome: &str) -> Value {
        wait_for(outcome, || {
            let change = self.config(daemon).json()["last_change"].clone();
            (change["outcome"] == outcome).then_some(change)
        })
    }
}

#[test]
fn a_change_is_in_force_at_once_and_after_a_restart() {
    let mut site = Site::new("[detection]\nalert_threshold = 0.9\n");
    let daemon = site.demo();
    let model = wait_for("a model", || {
        Some(daemon.get("/api/ml/status").json()["model"].clone()).filter(|model| !model.is_null())
    });
    let file = site.all_of(&daemon, "detection.alert_threshold");
    assert_eq!((&file["value"], &file["default"]), (&json!(0.9), &json!(0.8)));
    assert!(file["source"]["place"].as_str().unwrap().ends_with("tapguard.toml:2"), "{file}");

    let changed = site.patch(&daemon, &json!({"detection": {"alert_threshold": 0.5}, "tap.name": "hall"}));
    assert_eq!(changed.status, 200, "{}", changed.body);
    assert_eq!(changed.json()["last_change"], json!({"version": 1, "outcome": "applied", "reason": null}));
    let retuned = daemon.get("/api/ml/status").json()["model"].clone();
    assert!(retuned["threshold"].as_f64() < model["threshold"].as_f64(), "{retuned} {model}");
    assert_eq!(retuned["trained_at"], model["trained_at"], "it is the same model");
    assert_eq!(site.all_of(&daemon, "tap.name")["pending_restart"], true);
    site.configure("[detection]\nalert_threshold = 0.9\nsensitivity = 0.75\n");
    let path = ("PATCH", "/api/config?dry_run=true");
    let lines = format!("If-Match: {}\r\n", site.tag(&daemon));
    let same = site.ask(&daemon, path, &lines, &json!({"tap.name": "hall"}).to_string());
    assert_eq!(same.json()["changes"], json!([]), "nobody asked to read the file: {}", same.body);
    site.configure("[detection]\nalert_threshold = 0.9\n");
    assert_eq!(daemon.stop().0, Some(0));

    let daemon = site.demo();
    assert_eq!(site.setting(&daemon, "detection.alert_threshold"), (json!(0.5), "remote".to_owned()));
    assert_eq!(site.all_of(&daemon, "tap.name")["pending_restart"], false);
    assert_eq!(daemon.statistics()["tap"]["name"], "hall-demo");
    let tag = site.tag(&daemon);
    let restored = site.ask(
        &daemon,
        ("POST", "/api/config/restore"),
        &format!("If-Match: {tag}\r\n"),
        "{\"version\":0}",
    );
    assert_eq!(restored.status, 200, "{}", restored.body);
    assert_eq!(site.setting(&daemon, "detection.alert_threshold"), (json!(0.9), "file".to_owned()));
    let versions = site.ask(&daemon, ("GET", "/api/config/versions"), "", "").json();
    let told: Vec<_> =
        versions["versions"].as_array().unwrap().iter().map(|v| v["settings"].clone()).collect();
    assert_eq!(told, [json!({}), json!({"detection.alert_threshold": 0.5, "tap.name": "hall"})]);
}

#[test]
fn the_description_has_every_setting_and_what_it_takes() {
    let mut site = Site::new("");
    let daemon = site.demo();
    let description = daemon.get("/openapi.json").json();
    let patch = &description["components"]["schemas"]["ConfigPatch"];
    let mut described = BTreeMap::new();
    leaves(patch, "", &mut described);
    let settings = site.config(&daemon).json()["settings"].as_array().unwrap().clone();
    let expected = settings.into_iter().filter_map(|setting| {
        let key = KEYS.iter().find(|key| setting["key"] == key.path).unwrap();
        let mut schema = setting["schema"].as_object().unwrap().clone();
        schema.retain(|word, _| word != "description" && word != "unit");
        schema["type"] = json!([schema["type"], "null"]);
        if let Some(words) = schema.get_mut("enum") {
            words.as_array_mut().unwrap().push(Value::Null);
        }
        (!key.local).then(|| (key.path.to_owned(), Value::Object(schema)))
    });
    assert_eq!(described, expected.collect());
}

/// The schemas of all settings in a description of sections.
fn leaves(schema: &Value, path: &str, found: &mut BTreeMap<String, Value>) {
    let Some(fields) = schema["properties"].as_object() else {
        found.insert(path.to_owned(), schema.clone());
        return;
    };
    assert_eq!(schema["additionalProperties"], false, "{path}");
    for (name, schema) in fields {
        leaves(schema, format!("{path}.{name}").trim_start_matches('.'), found);
    }
}

#[test]
fn what_is_not_good_changes_nothing_and_says_why() {
    let mut site = Site::new("");
    let daemon = site.demo();
    let before = site.config(&daemon);
    let body = json!({"detection": {"alert_threshold": 7}, "mqtt": {"prot": 1}, "network": {"filter": "tcp and"},
        "log": {"level": "debug"}});
    let refused = site.patch(&daemon, &body);
    assert_eq!(refused.status, 422);
    let errors = refused.json()["errors"].clone();
    let said = |n: usize| (errors[n]["pointer"].as_str().unwrap(), errors[n]["detail"].as_str().unwrap());
    let limits = "detection.alert_threshold takes 0.2 to 1, not 7";
    assert_eq!(said(0), ("/detection/alert_threshold", limits), "{errors}");
    assert_eq!(said(1), ("/mqtt/prot", "unknown key mqtt.prot; did you mean mqtt.port?"));
    assert_eq!(said(2).0, "/network/filter");
    assert_eq!(errors.as_array().unwrap().len(), 3, "{errors}");
    for (body, why) in [
        (json!({"mqtt": {"state_interval": 9}}), "environment variable TAPGUARD_MQTT__STATE_INTERVAL"),
        (json!({"http": {"listen": "127.0.0.1:1"}}), "command line"),
        (json!({"store": {"path": "/tmp"}}), "not set remotely"),
        (json!({"network": {"interface": "eth-none"}}), "no interface \"eth-none\""),
        (json!({"mqtt": {"host": "b", "password": "x"}}), "mqtt.password needs mqtt.username"),
    ] {
        let refused = site.patch(&daemon, &body);
        assert!(
            refused.status == 422 && refused.body.contains(&why.replace('"', "\\\"")),
            "{}",
            refused.body
        );
    }
    assert_eq!(site.config(&daemon).body, before.body);
    assert_eq!(site.tag(&daemon), before.header("ETag").unwrap());

    // Somebody else was faster, over HTTP or at the machine.
    let stale = format!("If-Match: {}\r\n", before.header("ETag").unwrap());
    let late =
        |site: &Site| site.ask(&daemon, ("PATCH", "/api/config"), &stale, "{\"log.level\":\"debug\"}").status;
    let dry = site.ask(&daemon, ("PATCH", "/api/config?dry_run=true"), &stale, "{\"log.level\":\"warn\"}");
    assert_eq!(
        dry.json()["changes"],
        json!([{"key": "log.level", "from": "info", "to": "warn", "effect": "now"}])
    );
    site.configure("[log]\nlevel = \"warn\"\n");
    daemon.signal("-HUP");
    wait_for("the reload", || (site.tag(&daemon) != before.header("ETag").unwrap()).then_some(()));
    assert_eq!(site.setting(&daemon, "log.level"), (json!("warn"), "file".to_owned()));
    assert_eq!(late(&site), 412);
    // The generated network has no interface: what is said of one waits.
    let filter = site.patch(&daemon, &json!({"network": {"filter": "tcp"}}));
    assert_eq!(filter.status, 200, "{}", filter.body);
    let filter = site.all_of(&daemon, "network.filter");
    assert_eq!((&filter["effect"], &filter["pending_restart"]), (&json!("restart"), &json!(true)));
}

#[test]
fn a_secret_is_never_told_and_a_bad_file_never_fatal() {
    let mut site = Site::new("[mqtt]\nusername = \"u\"\n");
    let daemon = site.demo();
    let body = json!({"mqtt": {"host": "127.0.0.1", "port": free_port(), "password": "open sesame"}});
    let done = site.patch(&daemon, &body);
    assert_eq!(done.status, 200, "{}", done.body);
    let first = site.tag(&daemon);
    let other = site.patch(&daemon, &json!({"mqtt": {"password": "open barley"}}));
    assert_ne!(site.tag(&daemon), first, "a secret counts too");
    let password = site.all_of(&daemon, "mqtt.password");
    assert_eq!((&password["value"], &password["set"]), (&Value::Null, &json!(true)));
    assert!(!daemon.statistics()["mqtt"].is_null(), "MQTT is on");
    let versions = site.ask(&daemon, ("GET", "/api/config/versions"), "", "");
    let refused = site.patch(&daemon, &json!({"mqtt": {"password": "open wheat", "ca_file": "x"}}));
    assert_eq!(refused.status, 422);
    let told = [done.body, other.body, versions.body, refused.body, site.config(&daemon).body];
    let (code, log) = daemon.stop();
    assert_eq!(code, Some(0), "{log}");
    assert!(!told.join("").contains("open ") && !log.contains("open "), "{told:?} {log}");

    site.configure("");
    let daemon = site.demo();
    let config = site.config(&daemon).json();
    let why = "remote settings: mqtt.password needs mqtt.username";
    assert_eq!(config["left_out"], why);
    assert_eq!(site.setting(&daemon, "mqtt.host"), (json!(""), "default".to_owned()));
    let mended = site.patch(&daemon, &json!({"mqtt": {"username": "v"}}));
    assert_eq!(mended.status, 200, "{}", mended.body);
    assert_eq!(mended.json()["left_out"], Value::Null);
    assert_eq!(site.setting(&daemon, "mqtt.host").1, "remote");
    let (_, log) = daemon.stop();
    assert!(log.contains("ERROR") && log.contains(why), "{log}");
}

#[test]
fn a_capture_goes_on_with_another_filter() {
    let cable = match Cable::new("filter") {
        Ok(cable) => cable,
        Err(why) => return skipped("a changed filter", why),
    };
    let mut site = Site::new(&format!("[network]\ninterface = \"{}\"\n", cable.tap));
    let file = site.path("quiet.pcap");
    let frames = capture::write(&file, Span::from_secs(600), Span::ZERO, Span::from_secs(120));
    let daemon = site.start(&["run"]);
    let seen = || daemon.statistics()["capture"]["frames"].as_u64().unwrap_or(0);
    cable.play(&file.display().to_string(), "100");
    wait_for("all frames", || (seen() >= frames).then_some(()));
    let changed = site.patch(&daemon, &json!({"network": {"filter": "udp port 53"}}));
    assert_eq!(changed.status, 202, "{}", changed.body);
    assert_eq!(changed.json()["last_change"]["outcome"], "pending");
    site.wait_for_outcome(&daemon, "applied");
    cable.play(&file.display().to_string(), "100");
    let some = wait_for("frames that match", || Some(seen()).filter(|n| *n > frames));
    assert!(some < 2 * frames, "{some} of {frames} and {frames}");
    let stale = site.patch(&daemon, &json!({"network": {"filter": null}}));
    assert_eq!(stale.status, 202, "{}", stale.body);
    site.wait_for_outcome(&daemon, "applied");
    let before = seen();
    cable.play(&file.display().to_string(), "100");
    wait_for("all frames again", || (seen() >= before + frames).then_some(()));
}

#[test]
fn an_interface_that_does_not_come_up_is_taken_back() {
    let cables = match (Cable::new("good"), Cable::new("dead")) {
        (Ok(good), Ok(dead)) => [good, dead],
        (Err(why), _) | (_, Err(why)) => return skipped("an interface taken back", why),
    };
    let [good, dead] = &cables;
    dead.switch_off();
    let mut site = Site::new(&format!("[network]\ninterface = \"{}\"\n", good.tap));
    let file = site.path("quiet.pcap");
    let frames = capture::write(&file, Span::from_secs(600), Span::ZERO, Span::from_secs(60));
    let daemon = site.start(&["run"]);
    let moved = json!({"network": {"interface": dead.tap}, "detection": {"sensitivity": 0.25}});
    assert_eq!(site.patch(&daemon, &moved).status, 202);
    wait_for("the wait", || (daemon.statistics()["capture"]["state"] == "waiting").then_some(()));
    assert_eq!(site.patch(&daemon, &json!({"log": {"level": "debug"}})).status, 409, "it is on trial");
    daemon.kill();

    let daemon = site.start(&["run"]);
    assert!(daemon.source.contains(&good.tap), "{}", daemon.source);
    let change = site.config(&daemon).json()["last_change"].clone();
    let why = "the daemon ended before the capture was back";
    assert_eq!(change, json!({"version": 2, "outcome": "rolled_back", "reason": why}));
    assert_eq!(site.setting(&daemon, "detection.sensitivity"), (json!(0.5), "default".to_owned()));

    assert_eq!(site.patch(&daemon, &moved).status, 202);
    let change = site.wait_for_outcome(&daemon, "rolled_back");
    let why = change["reason"].as_str().unwrap();
    assert!(
        why.starts_with("the capture did not come back within 30 s: ") && why.contains(&dead.tap),
        "{why}"
    );
    assert_eq!(change["version"], 4);
    assert_eq!(site.setting(&daemon, "network.interface"), (json!(good.tap), "file".to_owned()));
    assert_eq!(site.setting(&daemon, "detection.sensitivity"), (json!(0.5), "default".to_owned()));
    let capture = || daemon.statistics()["capture"].clone();
    wait_for("the old interface", || {
        (capture()["name"] == good.tap && capture()["state"] != "waiting").then_some(())
    });
    let before = capture()["frames"].as_u64().unwrap();
    good.play(&file.display().to_string(), "100");
    wait_for("frames", || (capture()["frames"].as_u64() >= Some(before + frames)).then_some(()));
    let (code, log) = daemon.stop();
    assert_eq!(code, Some(0), "{log}");
}
