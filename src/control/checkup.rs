//! [`CheckRecord`]: a check of the tap as JSON, the same in HTTP, MQTT and `doctor`.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::pipeline::mirror::{Report, Trouble, Verdict};

/// A check and what it says.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CheckRecord {
    /// What was checked, as a word.
    pub check: &'static str,
    /// The same for people.
    pub title: &'static str,
    /// `unknown`, `fine` or `found`.
    pub verdict: &'static str,
    /// What was found, as a word; null where nothing was.
    pub trouble: Option<&'static str>,
    /// The numbers behind it, in one line.
    pub text: String,
    /// Why there is no verdict; null where there is one.
    pub unknown: Option<String>,
    /// What helps; null where nothing was found.
    pub remedy: Option<&'static str>,
    /// The numbers by name.
    pub measures: BTreeMap<&'static str, f64>,
}

impl From<&Report> for CheckRecord {
    fn from(report: &Report) -> Self {
        let trouble = report.verdict.trouble();
        Self {
            check: report.check.word(),
            title: report.check.title(),
            verdict: report.verdict.word(),
            trouble: trouble.map(Trouble::word),
            text: report.text.clone(),
            unknown: match &report.verdict {
                Verdict::Unknown(why) => Some(why.clone()),
                Verdict::Fine | Verdict::Found(_) => None,
            },
            remedy: trouble.map(Trouble::remedy),
            measures: report.measures.iter().map(|m| (m.name, m.value)).collect(),
        }
    }
}
