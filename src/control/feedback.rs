//! What the owner said of alerts, as JSON and as counts. The sayings themselves are `alert::Mark` and `alert::Rule`.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::alert::{Feedback, Mark, Rule, Severity};
use crate::control::wire::AlertRecord;
use crate::flow::DeviceKey;

/// The owner's judgement of an alert.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeedbackRecord {
    /// `false_positive`.
    pub verdict: String,
    /// When it was given, RFC 3339, on the wall clock.
    pub time: String,
    /// In the owner's words, or null.
    pub note: Option<String>,
}

impl From<&Feedback> for FeedbackRecord {
    fn from(feedback: &Feedback) -> Self {
        Self {
            verdict: feedback.verdict.word().to_owned(),
            time: feedback.time.to_string(),
            note: feedback.note.as_ref().map(ToString::to_string),
        }
    }
}

impl AlertRecord {
    /// The record with what the owner said of it.
    #[must_use]
    pub fn marked(mut self, mark: &Mark) -> Self {
        // A severity of a later version is above all that this one knows.
        let severity = self.severity.parse().unwrap_or(Severity::Critical);
        let seen = mark.acknowledgement(severity);
        self.acknowledged = seen.map(|seen| seen.time.to_string());
        self.acknowledged_note = seen.and_then(|seen| seen.note.as_ref()).map(ToString::to_string);
        self.feedback = mark.feedback.as_ref().map(FeedbackRecord::from);
        self
    }
}

/// What is expected, as JSON. Times are the capture clock's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ExpectedRecord {
    /// The alert that was marked.
    pub alert: String,
    /// A word of `alert::Kind`.
    pub kind: String,
    /// Hardware address of the subject, or null.
    pub mac: Option<String>,
    /// Address of a subject without a hardware address, or null.
    pub ip: Option<IpAddr>,
    /// The name that the subject gave itself, or null.
    pub name: Option<String>,
    /// What is more severe is told.
    pub severity: String,
    /// RFC 3339.
    pub since: String,
    /// RFC 3339.
    pub until: String,
    /// Findings that were not told of since start.
    pub matched: u64,
}

impl From<&Rule> for ExpectedRecord {
    fn from(rule: &Rule) -> Self {
        let (mac, ip) = match rule.subject {
            DeviceKey::Mac(mac) => (Some(mac.to_string()), None),
            DeviceKey::Ip(ip) => (None, Some(ip)),
        };
        Self {
            alert: rule.alert.to_string(),
            kind: rule.kind.word().to_owned(),
            mac,
            ip,
            name: rule.name.clone(),
            severity: rule.severity.word().to_owned(),
            since: rule.since.to_string(),
            until: rule.until.to_string(),
            matched: rule.matched,
        }
    }
}

/// What was said of the kept alerts of one model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FeedbackCount {
    /// Acknowledged and not marked false.
    pub confirmed: u64,
    /// Marked false.
    pub false_positives: u64,
}
