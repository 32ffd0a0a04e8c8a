//! Telling Home Assistant what there is: the device payload of MQTT discovery (Home Assistant 2024.11 and later), when
//! it is published, and what is taken back that was announced before.
//!
//! What was announced is remembered in a retained topic of the tap's own, so that a later version takes back what it no
//! longer has, and a tap whose discovery was switched off or moved takes back all.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Config;
use super::component::components;
use super::topic::Topics;
use crate::sys::clock::Stopwatch;
use crate::time::Span;

/// A retained message: topic and payload; an empty one deletes what is there.
pub(super) type Message = (String, Vec<u8>);

/// What was announced.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Memory {
    /// Where.
    topic: String,
    /// Platform of each component, by id.
    components: BTreeMap<String, String>,
}

/// When and what a connection announces.
#[derive(Debug, Default)]
pub(super) struct Announcer {
    /// What was announced before this connection.
    memory: Option<Memory>,
    /// When to announce next.
    due: Option<(Stopwatch, Span)>,
    /// Announced over this connection.
    announced: bool,
}

impl Announcer {
    /// Retained messages follow the acknowledged subscription at once; this long they are waited for.
    const SETTLE: Span = Span::from_secs(1);
    /// The longest wait after a birth message, so that not every device of a home answers it in the same moment.
    pub(super) const LONGEST_WAIT: Span = Span::from_secs(10);

    /// The broker has taken the subscriptions.
    pub(super) fn handle_subscribed(&mut self) {
        if !self.announced {
            self.due = Some((Stopwatch::start(), Self::SETTLE));
        }
    }

    /// What an earlier connection announced. A payload that is none of ours is ignored.
    pub(super) fn handle_memory(&mut self, payload: &[u8], tap: &str) {
        let memory: Option<Memory> = serde_json::from_slice(payload).ok();
        // The topic gets an empty message: only one of this tap may.
        self.memory = memory.filter(|m| m.topic.ends_with(&suffix(tap)));
    }

    /// Home Assistant has started, and is told again after a wait.
    pub(super) fn handle_birth(&mut self, wait: Span) {
        if self.due.is_none() {
            self.due = Some((Stopwatch::start(), wait));
        }
    }

    /// Whether it is time.
    pub(super) fn is_due(&self) -> bool {
        self.due.is_some_and(|(since, wait)| since.elapsed() >= wait)
    }

    /// It was announced.
    pub(super) fn finish(&mut self) {
        self.due = None;
        self.announced = true;
    }

    /// What to publish, in order. The same again until [`Self::finish`].
    pub(super) fn messages(&self, config: &Config, topics: &Topics) -> Vec<Message> {
        let payload = config.discovery.as_ref().map(|_| device(config, topics));
        let now = payload.as_ref().zip(config.discovery.as_ref()).map(|(payload, prefix)| Memory {
            topic: topic(prefix, &config.tap),
            components: platforms(payload),
        });
        let mut messages = Vec::new();
        if !self.announced {
            messages.extend(self.removal(now.as_ref(), payload.as_ref()));
        }
        if let (Some(now), Some(payload)) = (&now, &payload) {
            messages.push((now.topic.clone(), payload.to_string().into_bytes()));
        }
        if !self.announced && now != self.memory {
            let memory = now.as_ref().map_or_else(String::new, |now| json!(now).to_string());
            messages.push((topics.discovery.clone(), memory.into_bytes()));
        }
        messages
    }

    /// Takes back what was announced and is not announced now.
    fn removal(&self, now: Option<&Memory>, payload: Option<&Value>) -> Option<Message> {
        let memory = self.memory.as_ref()?;
        let Some(now) = now.filter(|now| now.topic == memory.topic) else {
            return Some((memory.topic.clone(), Vec::new()));
        };
        let mut payload = payload?.clone();
        let all = payload.get_mut("cmps")?.as_object_mut()?;
        let announced = all.len();
        for (id, platform) in &memory.components {
            // A component that is only a platform is one to remove.
            all.entry(id.as_str()).or_insert_with(|| json!({ "p": platform }));
        }
        let stale = all.len() > announced;
        stale.then(|| (now.topic.clone(), payload.to_string().into_bytes()))
    }
}

/// Where Home Assistant says that it has started.
pub(super) fn birth_topic(prefix: &str) -> String {
    format!("{prefix}/status")
}

fn topic(prefix: &str, tap: &str) -> String {
    format!("{prefix}{}", suffix(tap))
}

fn suffix(tap: &str) -> String {
    format!("/device/{}/config", node(tap))
}

/// Identity of the tap in Home Assistant.
fn node(tap: &str) -> String {
    format!("tapguard_{tap}")
}

/// The device payload. Its root takes these keys and no others.
fn device(config: &Config, topics: &Topics) -> Value {
    let version = env!("CARGO_PKG_VERSION");
    let node = node(&config.tap);
    json!({
        "dev": {
            "ids": [&node],
            "name": format!("Tapguard {}", config.tap),
            "mf": "tapguard",
            "mdl": "Network tap",
            "sw": version,
        },
        "o": { "name": "tapguard", "sw": version },
        "avty_t": topics.availability,
        "cmps": components(topics, &node, config.state_interval),
    })
}

fn platforms(payload: &Value) -> BTreeMap<String, String> {
    let components = payload["cmps"].as_object().into_iter().flatten();
    components.map(|(id, c)| (id.clone(), c["p"].as_str().unwrap_or_default().to_owned())).collect()
}

#[cfg(test)]
mod tests;
