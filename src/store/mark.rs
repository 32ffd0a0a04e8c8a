//! The formats of what the owner said: marks of alerts, and the rules of what he expects. As elsewhere in the store, a
//! value begins with the version of its format, and one of another version is nothing (`None`).
//!
//! Mark, version 1: JSON of the struct below, under the key of its alert. Rules, version 1: JSON of all of them, as one
//! snapshot.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::record::from_json;
use crate::alert::{Acknowledgement, Feedback, Mark, Note, Rule};
use crate::flow::DeviceKey;
use crate::time::Timestamp;

const VERSION: u8 = 1;

#[derive(Serialize, Deserialize)]
struct KeptMark {
    #[serde(default)]
    acknowledged: Option<KeptAcknowledgement>,
    #[serde(default)]
    feedback: Option<KeptFeedback>,
    #[serde(default)]
    model: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct KeptAcknowledgement {
    /// Nanoseconds since the epoch.
    time: i64,
    severity: String,
    #[serde(default)]
    note: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct KeptFeedback {
    verdict: String,
    /// Nanoseconds since the epoch.
    time: i64,
    #[serde(default)]
    note: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct KeptRule {
    alert: String,
    kind: String,
    /// Hardware address; none for a subject known by its address.
    mac: Option<String>,
    ip: Option<IpAddr>,
    name: Option<String>,
    severity: String,
    /// Nanoseconds since the epoch.
    since: i64,
    /// Nanoseconds since the epoch.
    until: i64,
}

/// A mark as the bytes to be kept.
pub(super) fn encode_mark(mark: &Mark) -> Option<Vec<u8>> {
    let note = |note: &Option<Note>| note.as_ref().map(ToString::to_string);
    let kept = KeptMark {
        acknowledged: mark.acknowledged.as_ref().map(|seen| KeptAcknowledgement {
            time: seen.time.as_nanos(),
            severity: seen.severity.word().to_owned(),
            note: note(&seen.note),
        }),
        feedback: mark.feedback.as_ref().map(|said| KeptFeedback {
            verdict: said.verdict.word().to_owned(),
            time: said.time.as_nanos(),
            note: note(&said.note),
        }),
        model: mark.model.clone(),
    };
    to_json(&kept)
}

/// A mark from its bytes.
pub(super) fn decode_mark(value: &[u8]) -> Option<Mark> {
    let kept: KeptMark = from_json(value)?;
    let note = |text: Option<String>| text.map_or(Some(None), |text| Note::of(&text).ok());
    let seen = |kept: KeptAcknowledgement| {
        let (time, severity) = (Timestamp::from_nanos(kept.time), kept.severity.parse().ok()?);
        Some(Acknowledgement { time, severity, note: note(kept.note)? })
    };
    let said = |kept: KeptFeedback| {
        let (time, verdict) = (Timestamp::from_nanos(kept.time), kept.verdict.parse().ok()?);
        Some(Feedback { verdict, time, note: note(kept.note)? })
    };
    Some(Mark {
        acknowledged: kept.acknowledged.map_or(Some(None), |kept| seen(kept).map(Some))?,
        feedback: kept.feedback.map_or(Some(None), |kept| said(kept).map(Some))?,
        model: kept.model,
    })
}

/// Rules as the bytes to be kept: some 200 for each.
pub(super) fn encode_rules(rules: &[Rule]) -> Option<Vec<u8>> {
    let kept = |rule: &Rule| {
        let (mac, ip) = match rule.subject {
            DeviceKey::Mac(mac) => (Some(mac.to_string()), None),
            DeviceKey::Ip(ip) => (None, Some(ip)),
        };
        KeptRule {
            alert: rule.alert.to_string(),
            kind: rule.kind.word().to_owned(),
            mac,
            ip,
            name: rule.name.clone(),
            severity: rule.severity.word().to_owned(),
            since: rule.since.as_nanos(),
            until: rule.until.as_nanos(),
        }
    };
    to_json(&rules.iter().map(kept).collect::<Vec<_>>())
}

/// Rules from their bytes.
pub(super) fn decode_rules(value: &[u8]) -> Option<Vec<Rule>> {
    let kept: Vec<KeptRule> = from_json(value)?;
    kept.into_iter().map(rule).collect()
}

fn rule(kept: KeptRule) -> Option<Rule> {
    let subject = match (kept.mac, kept.ip) {
        (Some(mac), _) => DeviceKey::Mac(mac.parse().ok()?),
        (None, ip) => DeviceKey::Ip(ip?),
    };
    Some(Rule {
        alert: kept.alert.parse().ok()?,
        kind: kept.kind.parse().ok()?,
        subject,
        name: kept.name,
        severity: kept.severity.parse().ok()?,
        since: Timestamp::from_nanos(kept.since),
        until: Timestamp::from_nanos(kept.until),
        matched: 0,
    })
}

fn to_json(value: &impl Serialize) -> Option<Vec<u8>> {
    let mut bytes = vec![VERSION];
    serde_json::to_writer(&mut bytes, value).ok().map(|()| bytes)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::alert::{AlertId, Expected, Judgement, Severity};
    use crate::behaviour::Kind;
    use crate::packet::Mac;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_parts(seconds, 7)
    }

    pub(in crate::store) fn mark(note: &str) -> Mark {
        let note = Note::of(note).unwrap();
        Mark {
            acknowledged: Some(Acknowledgement { time: at(1), severity: Severity::High, note: note.clone() }),
            feedback: Some(Feedback { verdict: Judgement::FalsePositive, time: at(2), note }),
            model: Some("isolation_forest-3".to_owned()),
        }
    }

    pub(in crate::store) fn rules(count: u64) -> Vec<Rule> {
        let rule = |n| Rule {
            alert: AlertId::new(at(1), n),
            kind: Kind::Behaviour,
            subject: if n == 0 {
                DeviceKey::Ip(IpAddr::from([192, 0, 2, 7]))
            } else {
                DeviceKey::Mac(Mac([2, 0, 0, 0, 0, 1]))
            },
            name: Some("n".repeat(63)),
            severity: Severity::Medium,
            since: at(5),
            until: at(5) + Expected::LIFETIME,
            matched: 0,
        };
        (0..count).map(rule).collect()
    }

    #[test]
    fn what_was_said_comes_back() {
        for mark in [mark("the nightly backup"), mark(""), Mark::default()] {
            assert_eq!(decode_mark(&encode_mark(&mark).unwrap()), Some(mark));
        }
        let rules = rules(256);
        let bytes = encode_rules(&rules).unwrap();
        assert_eq!(decode_rules(&bytes).unwrap(), rules);
        assert!(bytes.len() < 80_000, "{}", bytes.len());
    }

    #[test]
    fn other_versions_and_damaged_values_are_nothing() {
        let whole = [encode_mark(&mark("seen")).unwrap(), encode_rules(&rules(2)).unwrap()];
        for (at, mut value) in whole.into_iter().enumerate() {
            let nothing = |value: &[u8]| [decode_mark(value).is_none(), decode_rules(value).is_none()][at];
            assert!(!nothing(&value));
            for cut in 0..value.len() {
                assert!(nothing(&value[..cut]), "cut at {cut}");
            }
            value[0] = VERSION + 1;
            assert!(nothing(&value));
        }
        assert_eq!(decode_mark(b"\x01{\"feedback\":{\"verdict\":\"sorcery\",\"time\":1}}"), None);
    }
}
