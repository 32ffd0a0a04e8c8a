//! What the API says of models: `/api/models/performance`, and the answer to training. The rules are those of `view`;
//! where a number is null, a `why` beside it says what is missing.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::control::{FeedbackCount, JudgeStatus, ModelStatus};
use crate::pipeline::Performance;
use crate::time::Span;

/// The answer to a training that was begun.
#[derive(Debug, Serialize)]
pub(super) struct TrainingBegun {
    /// Name and version, such as `isolation_forest-1`.
    id: String,
    /// The number of the baseline it is trained from.
    version: Option<u32>,
}

impl TrainingBegun {
    pub(super) fn new(id: String) -> Self {
        let version = id.rsplit_once('-').and_then(|(_, version)| version.parse().ok());
        Self { id, version }
    }
}

/// `/api/models/performance`.
#[derive(Debug, Serialize)]
pub(super) struct PerformanceAnswer {
    models: Vec<ModelPerformance>,
    /// Why there is none; null where there is.
    why: Option<String>,
}

#[derive(Debug, Serialize)]
struct ModelPerformance {
    id: String,
    version: u32,
    trained_at: String,
    snapshot_bytes: u64,
    training: Training,
    /// When counting began, on the capture's clock: at the training or the start of the daemon; null before that.
    since: Option<String>,
    /// Capture time watched since then.
    watched_seconds: f64,
    windows: Windows,
    scores: Vec<Rarity>,
    calibration: Calibration,
    alerts: Alerts,
    feedback: Feedback,
    recall: Unknown,
}

#[derive(Debug, Serialize)]
struct Training {
    windows: u64,
    held_out_windows: u64,
    devices: u64,
    seconds: Option<f64>,
    why: Option<&'static str>,
}

#[derive(Debug, Serialize)]
struct Windows {
    judged: u64,
    unusual: u64,
}

/// Windows whose chance was found to lie in one power of ten.
#[derive(Debug, Serialize)]
struct Rarity {
    /// Above this; 0 for the last.
    above: f64,
    /// Up to this.
    to: f64,
    windows: u64,
    /// The share that the calibration promises.
    promised: f64,
    /// The share that there was; null before the first window.
    observed: Option<f64>,
}

#[derive(Debug, Serialize)]
struct Calibration {
    /// Calibrated score from which a window is unusual.
    threshold: f64,
    /// Share of normal windows at or above it, at most.
    promised: f64,
    /// Share of the judged windows, whether normal or not.
    observed: Option<f64>,
    why: Option<&'static str>,
}

#[derive(Debug, Serialize)]
struct Alerts {
    raised: u64,
    per_day: Option<f64>,
    why: Option<&'static str>,
}

/// Of the kept alerts of this model.
#[derive(Debug, Serialize)]
struct Feedback {
    /// Acknowledged and not marked false.
    confirmed: u64,
    false_positives: u64,
    /// Share of the confirmed.
    precision: Option<f64>,
    why: Option<&'static str>,
}

#[derive(Debug, Serialize)]
struct Unknown {
    value: Option<f64>,
    why: &'static str,
}

const NOT_TIMED: &str = "it was trained before this start";
const NO_WINDOW: &str = "no window was judged yet";
const NO_DAY: &str = "less than a day was watched";
const NO_FEEDBACK: &str = "no feedback yet";
const NO_RECALL: &str = "what was missed is not known: nobody reports it";
const DAY: f64 = 86_400.0;

impl PerformanceAnswer {
    pub(super) fn new(judge: Option<&JudgeStatus>, feedback: &BTreeMap<String, FeedbackCount>) -> Self {
        let Some(judge) = judge else {
            return Self { models: Vec::new(), why: Some("the daemon is starting".to_owned()) };
        };
        let said = |model: &ModelStatus| feedback.get(&model.id).copied().unwrap_or_default();
        let model = judge.model.iter().map(|m| ModelPerformance::new(m, &judge.performance, said(m)));
        Self { models: model.collect(), why: judge.no_model.clone() }
    }
}

impl ModelPerformance {
    fn new(model: &ModelStatus, did: &Performance, said: FeedbackCount) -> Self {
        let observed = share(did.unusual, did.judged);
        let days = did.watched.as_secs_f64() / DAY;
        let per_day = (days >= 1.0).then(|| number(did.raised) / days);
        let precision = share(said.confirmed, said.confirmed + said.false_positives);
        Self {
            id: model.id.clone(),
            version: model.version,
            trained_at: model.trained_at.to_string(),
            snapshot_bytes: model.size,
            training: Training {
                windows: model.trained_on,
                held_out_windows: model.held_out,
                devices: model.devices,
                seconds: model.training_time.map(Span::as_secs_f64),
                why: why(&model.training_time, NOT_TIMED),
            },
            since: did.since.map(|time| time.to_string()),
            watched_seconds: did.watched.as_secs_f64(),
            windows: Windows { judged: did.judged, unusual: did.unusual },
            scores: rarities(did),
            calibration: Calibration {
                threshold: model.alert_threshold,
                promised: model.promised_rate,
                observed,
                why: why(&observed, NO_WINDOW),
            },
            alerts: Alerts { raised: did.raised, per_day, why: why(&per_day, NO_DAY) },
            feedback: Feedback {
                confirmed: said.confirmed,
                false_positives: said.false_positives,
                precision,
                why: why(&precision, NO_FEEDBACK),
            },
            recall: Unknown { value: None, why: NO_RECALL },
        }
    }
}

fn rarities(did: &Performance) -> Vec<Rarity> {
    let bound = |power: usize| 10_f64.powi(-i32::try_from(power).unwrap_or(i32::MAX));
    let rarity = |(power, &windows): (usize, &u64)| {
        let last = power + 1 == Performance::POWERS;
        let (above, to) = (if last { 0.0 } else { bound(power + 1) }, bound(power));
        Rarity { above, to, windows, promised: to - above, observed: share(windows, did.judged) }
    };
    did.by_rarity.iter().enumerate().map(rarity).collect()
}

fn why<T>(value: &Option<T>, missing: &'static str) -> Option<&'static str> {
    value.is_none().then_some(missing)
}

fn share(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| number(part) / number(whole))
}

#[expect(clippy::cast_precision_loss, reason = "a count of windows or alerts is far below 2^53")]
fn number(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::tests::fixture::judge;

    fn answer(judge: &JudgeStatus, said: &[(&str, u64, u64)]) -> serde_json::Value {
        let count = |&(model, confirmed, false_positives): &(&str, u64, u64)| {
            (model.to_owned(), FeedbackCount { confirmed, false_positives })
        };
        serde_json::to_value(PerformanceAnswer::new(Some(judge), &said.iter().map(count).collect())).unwrap()
    }

    #[test]
    fn what_is_not_known_is_null_and_says_why() {
        let mut judge = judge();
        judge.performance = Performance::default();
        if let Some(model) = &mut judge.model {
            model.training_time = None;
        }
        let answer = answer(&judge, &[("isolation_forest-7", 3, 1)]);
        let model = &answer["models"][0];
        for (of, field, text) in [
            ("training", "seconds", NOT_TIMED),
            ("calibration", "observed", NO_WINDOW),
            ("alerts", "per_day", NO_DAY),
            ("feedback", "precision", NO_FEEDBACK),
            ("recall", "value", NO_RECALL),
        ] {
            assert_eq!((&model[of][field], &model[of]["why"]), (&serde_json::Value::Null, &text.into()));
        }
        assert!(model["scores"].as_array().unwrap().iter().all(|s| s["observed"].is_null()));
    }

    #[test]
    fn what_is_known_is_a_share_of_counts() {
        let mut judge = judge();
        judge.performance.watched = Span::from_secs(2 * 86_400);
        judge.performance.raised = 3;
        let answer = answer(&judge, &[("isolation_forest-1", 3, 1)]);
        let model = &answer["models"][0];
        assert_eq!(model["feedback"]["precision"], 0.75);
        assert_eq!(model["alerts"]["per_day"], 1.5);
        let observed = model["calibration"]["observed"].as_f64().unwrap();
        assert!((observed - 6.0 / 4_210.0).abs() < 1e-12);
        let scores = model["scores"].as_array().unwrap();
        let sum = |field: &str| scores.iter().map(|s| s[field].as_f64().unwrap()).sum::<f64>();
        assert!((sum("promised") - 1.0).abs() < 1e-12 && (sum("observed") - 1.0).abs() < 1e-12);
        assert_eq!((&scores[9]["above"], &scores[0]["to"]), (&0.0.into(), &1.0.into()));
    }

    #[test]
    fn without_a_model_the_reason_is_told() {
        let mut judge = judge();
        (judge.model, judge.no_model) = (None, Some("no baseline yet".to_owned()));
        assert_eq!(answer(&judge, &[]), serde_json::json!({"models": [], "why": "no baseline yet"}));
    }
}
