//! The daemon in a real Home Assistant: its core and MQTT integration, started by `home_assistant/bridge.py`, on the
//! same Mosquitto. What there is comes from the discovery payload, so that what is added to it is tested as well.
//!
//! The Python that has Home Assistant is the one named by `HOME_ASSISTANT_PYTHON`, the one of `make test`, or
//! `python3.13`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};
use tapguard::sys::clock::Stopwatch;
use tapguard::time::Span;

use crate::harness::broker::{Broker, CONFIG, Subscriber, demo, missing, publish};
use crate::harness::{free_port, skipped, tool, wait_for};

/// What pressing a button does to another entity: button, entity, its state then. One that is not here is only
/// answered.
const EFFECTS: [(&str, &str, &str); 1] = [("start_baseline", "baseline_phase", "learning")];

/// A Python that has Home Assistant, or why there is none.
fn python() -> Result<PathBuf, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (python, named) = match std::env::var_os("HOME_ASSISTANT_PYTHON") {
        Some(path) => (PathBuf::from(path), true),
        None => match Some(root.join("target/home-assistant/bin/python")).filter(|p| p.is_file()) {
            Some(made) => (made, false),
            None => (tool("python3.13").ok_or("python3.13 is not installed")?, false),
        },
    };
    let has = Command::new(&python).args(["-c", "import homeassistant, paho.mqtt"]).output();
    if has.is_ok_and(|output| output.status.success()) {
        return Ok(python);
    }
    let why = format!("{} has no Home Assistant with paho-mqtt", python.display());
    assert!(!named, "HOME_ASSISTANT_PYTHON: {why}");
    Err(why)
}

struct HomeAssistant {
    child: Child,
    questions: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    log: PathBuf,
}

impl HomeAssistant {
    fn start(python: &Path, folder: &Path, port: u16) -> Self {
        let log = folder.join("log");
        let bridge = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/home_assistant/bridge.py");
        let mut child = Command::new(python)
            .arg(bridge)
            .arg(folder)
            .args(["127.0.0.1", &port.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let questions = child.stdin.take();
        let answers = BufReader::new(child.stdout.take().unwrap());
        Self { child, questions, answers, log }
    }

    fn ask(&mut self, question: &Value) -> Value {
        let asked = writeln!(self.questions.as_ref().unwrap(), "{question}");
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|error| {
            panic!("asked for {question} ({asked:?}): {error}\n{}", fs::read_to_string(&self.log).unwrap())
        })
    }

    /// All by component id.
    fn entities(&mut self) -> BTreeMap<String, Entity> {
        let all = self.ask(&json!("entities"));
        let row = |(unique, row): (&String, &Value)| {
            let id = unique.strip_prefix("tapguard_t-demo_").expect("an identity of this tap");
            (id.to_owned(), Entity(row.clone()))
        };
        all.as_object().unwrap().iter().map(row).collect()
    }

    /// The entities, as soon as `all` is true of all of those that are `asked` for.
    fn wait_for_all(
        &mut self,
        what: &str,
        asked: impl Fn(&str) -> bool,
        all: impl Fn(&Entity) -> bool,
    ) -> BTreeMap<String, Entity> {
        let waited = Stopwatch::start();
        wait_for(what, || {
            let entities = self.entities();
            let others: Vec<_> = entities.iter().filter(|(id, e)| asked(id) && !all(e)).collect();
            // Sooner than the wait ends, to say which.
            assert!(others.is_empty() || waited.elapsed() < Span::from_secs(55), "{what}: not {others:#?}");
            (others.is_empty() && !entities.is_empty()).then_some(entities)
        })
    }

    fn wait_for_state(&mut self, id: &str, state: &str) {
        let what = format!("{id} {state}");
        self.wait_for_all(
            &what,
            |other| other == id,
            |e| e.state() == state || e.number() == state.parse().ok(),
        );
    }

    fn call(&mut self, domain: &str, service: &str, data: &Value) {
        let answer = self.ask(&json!({ "domain": domain, "service": service, "data": data }));
        assert_eq!(answer["error"], Value::Null, "{domain}.{service} {data}");
    }

    /// Ends it in order.
    fn stop(mut self) {
        self.questions = None;
        let status = wait_for("the end of Home Assistant", || self.child.try_wait().unwrap());
        assert!(status.success(), "{status}: {}", fs::read_to_string(&self.log).unwrap());
    }
}

impl Drop for HomeAssistant {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[derive(Clone, Debug)]
struct Entity(Value);

impl Entity {
    fn state(&self) -> &str {
        self.0["state"].as_str().unwrap_or("missing")
    }

    fn number(&self) -> Option<f64> {
        self.state().parse().ok()
    }

    fn attribute(&self, name: &str) -> &Value {
        &self.0["attributes"][name]
    }

    fn is_available(&self) -> bool {
        !["unavailable", "missing"].contains(&self.state())
    }

    fn is_known(&self) -> bool {
        self.is_available() && self.state() != "unknown"
    }

    /// What can be asked of it, in turn: a service, what it takes, and the state then, where there is one. Switches and
    /// numbers are put back. None where nothing can be asked.
    fn orders(&self) -> Vec<(&'static str, Value, Option<String>)> {
        let now = self.state();
        match self.0["domain"].as_str().unwrap() {
            "switch" => {
                let other = if now == "on" { "off" } else { "on" };
                let order = |to: &str| {
                    let service = if to == "on" { "turn_on" } else { "turn_off" };
                    (service, json!({}), Some(to.to_owned()))
                };
                vec![order(other), order(now)]
            }
            "number" => {
                let (now, step) = (self.number().unwrap(), self.attribute("step").as_f64().unwrap());
                let up = now + step;
                let other = if up <= self.attribute("max").as_f64().unwrap() { up } else { now - step };
                [other, now].map(|v| ("set_value", json!({ "value": v }), Some(v.to_string()))).into()
            }
            "select" => {
                let options = self.attribute("options").as_array().unwrap().iter();
                let order = |o: &str| ("select_option", json!({ "option": o }), Some(o.to_owned()));
                // The last first: the first mode begins a time of learning, in which another is refused.
                options.map(|o| order(o.as_str().unwrap())).rev().collect()
            }
            "button" => vec![("press", json!({}), None)],
            "event" | "sensor" | "binary_sensor" => Vec::new(),
            other => panic!("a platform that this test does not operate: {other}"),
        }
    }
}

/// Operates everything that can be, and holds each answer and what becomes of it against what was asked.
fn operate_all(home: &mut HomeAssistant, subscriber: &Subscriber, announced: &Value) -> usize {
    let mut operated = 0;
    // Buttons last: one of them begins the baseline anew.
    let (buttons, others): (Vec<_>, Vec<_>) =
        home.entities().into_iter().partition(|(_, e)| e.0["domain"] == "button");
    for (id, entity) in others.into_iter().chain(buttons) {
        let topic = announced["cmps"][&id]["cmd_t"].as_str();
        let orders = entity.orders();
        assert_eq!(topic.is_some(), !orders.is_empty(), "{id}");
        for (service, mut data, state) in orders {
            let asked = Stopwatch::start();
            data["entity_id"] = entity.0["id"].clone();
            home.call(entity.0["domain"].as_str().unwrap(), service, &data);
            let reply = subscriber.next("tapguard/t-demo/reply").2;
            let reply: Value = serde_json::from_str(&reply).unwrap();
            let command = topic.unwrap().strip_prefix("tapguard/t-demo/command/").unwrap();
            assert_eq!(reply, json!({ "command": command, "ok": true, "error": null }), "{id} {data}");
            match state {
                Some(state) => home.wait_for_state(&id, &state),
                // A button's state is when it was pressed.
                None => drop(home.wait_for_all("the button", |other| other == id, Entity::is_known)),
            }
            for (_, entity, state) in EFFECTS.iter().filter(|(button, ..)| *button == id) {
                home.wait_for_state(entity, state);
            }
            // The daemon takes a command a second.
            let second = Span::from_millis(1_100);
            wait_for("room for a command", || (asked.elapsed() > second).then_some(()));
            operated += 1;
        }
    }
    operated
}

/// Adds to what was announced a component that a version before this one had.
fn announce_bygone(port: u16, announced: &Value) {
    let mut former = announced.clone();
    let mut row = former["cmps"]["devices"].clone();
    row["uniq_id"] = "tapguard_t-demo_bygone".into();
    row["name"] = "Bygone".into();
    former["cmps"]["bygone"] = row;
    let components: BTreeMap<_, _> =
        former["cmps"].as_object().unwrap().iter().map(|(id, row)| (id, &row["p"])).collect();
    let memory = json!({ "topic": CONFIG, "components": components });
    publish(port, "tapguard/t-demo/discovery", &memory.to_string(), &["-r"]);
    publish(port, CONFIG, &former.to_string(), &["-r"]);
}

#[test]
fn home_assistant_shows_and_operates_all_that_is_announced() {
    let python = match missing().map_or_else(python, |name| Err(format!("{name} is not installed"))) {
        Ok(python) => python,
        Err(why) => return skipped("the tap in Home Assistant", &why),
    };
    let folder = tempfile::tempdir().unwrap();
    let home_folder = tempfile::tempdir().unwrap();
    let port = free_port();
    let _broker = Broker::start(folder.path(), port, "allow_anonymous true");
    let subscriber = Subscriber::start(port, &["-t", "homeassistant/#"]);
    let daemon = demo(folder.path(), port, &[]);
    let config = || -> Value { serde_json::from_str(&subscriber.next(CONFIG).2).unwrap() };
    let announced = config();

    let mut home = HomeAssistant::start(&python, home_folder.path(), port);
    assert_eq!(subscriber.next("homeassistant/status").2, "online");
    assert_eq!(config(), announced, "told again after the birth message");

    // A button has no state until it is pressed.
    let is_button = |id: &str| announced["cmps"][id]["p"] == "button";
    let shown = home.wait_for_all("every state", |id| !is_button(id), Entity::is_known);
    let ids: BTreeSet<_> = announced["cmps"].as_object().unwrap().keys().collect();
    assert_eq!(shown.keys().collect::<BTreeSet<_>>(), ids, "each component is an entity");
    assert!(shown.values().all(|e| e.0["disabled"] == false), "{shown:?}");

    let event = &shown["alert"];
    let kept = daemon.alerts();
    let alert = kept.iter().find(|a| a["id"] == *event.attribute("id")).expect("an alert of this daemon");
    assert_eq!(event.attribute("event_type"), &alert["kind"]);
    assert_eq!(event.attribute("event"), "raised");
    let title = shown["last_alert"].state();
    assert!(kept.iter().any(|a| a["title"] == title), "{title}");

    let operated = operate_all(&mut home, &subscriber, &announced);
    assert!(operated >= 13, "{operated}");

    daemon.kill();
    home.wait_for_all("the last will", |_| true, |e| e.state() == "unavailable");
    announce_bygone(port, &announced);
    wait_for("the component of before", || home.entities().contains_key("bygone").then_some(()));

    let daemon = demo(folder.path(), port, &[]);
    wait_for("its removal", || (!home.entities().contains_key("bygone")).then_some(()));
    let shown = home.wait_for_all("their return", |_| true, Entity::is_available);
    assert_eq!(shown.keys().collect::<BTreeSet<_>>(), ids);
    assert_eq!(daemon.stop().0, Some(0));
    home.wait_for_all("the orderly stop", |_| true, |e| e.state() == "unavailable");

    let daemon = demo(folder.path(), port, &["--set", "mqtt.discovery=false"]);
    wait_for("an empty Home Assistant", || home.entities().is_empty().then_some(()));
    assert_eq!(daemon.stop().0, Some(0));

    let warnings = home.ask(&json!("log"));
    // That one is about how Home Assistant starts its own integration.
    let ours = |w: &&Value| w["logger"] != "homeassistant.helpers.frame";
    let ours: Vec<_> = warnings.as_array().unwrap().iter().filter(ours).collect();
    assert!(ours.is_empty(), "{ours:#?}");
    home.stop();
}
