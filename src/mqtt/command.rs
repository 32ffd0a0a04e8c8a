//! Commands over MQTT: what may be asked, how often, and how it is answered. Who may ask is the broker's business.

use std::fmt;

use serde::Serialize;

use crate::baseline::Config as Learning;
use crate::control::{CommandQueue, CommandRefused};
use crate::time::Span;

/// Learn anew; the payload is empty, or seconds.
pub(super) const START_BASELINE: &str = "baseline/start";
/// Time to learn that a start without seconds takes, in minutes.
pub(super) const SET_LEARNING: &str = "baseline/duration";
/// Detection `ON` or `OFF`.
pub(super) const SET_DETECTION: &str = "detection";

/// Minutes that may be set to learn: those of `detection.baseline_duration`.
pub(super) const MINUTES: std::ops::RangeInclusive<u32> = Learning::LEAST / 60..=Learning::MOST / 60;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Request {
    /// Learn anew for this time; none for the one that was set.
    StartBaseline(Option<Span>),
    /// Set the time to learn.
    SetLearning(Span),
    /// Switch detection.
    SetDetection(bool),
}

/// Why a command was not carried out, in words for its sender.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    #[error("no such command; there are: baseline/start, baseline/duration, detection")]
    Unknown,
    #[error("the payload is neither empty nor whole seconds from {} to {}", Learning::LEAST, Learning::MOST)]
    Seconds,
    #[error("the payload is not whole minutes from {} to {}", MINUTES.start(), MINUTES.end())]
    Minutes,
    #[error("the payload is neither ON nor OFF")]
    Switch,
    #[error("too many commands: five at once and then one a second are taken, this and more were dropped")]
    TooMany,
    #[error(transparent)]
    Judge(#[from] CommandRefused),
    #[error("the command failed within the daemon")]
    Failed,
}

impl Request {
    /// Reads a command by its name and payload.
    pub(super) fn parse(name: &str, payload: &[u8]) -> Result<Self, Refusal> {
        // Longer than anything that is taken; and text that is none reads as nothing that is taken.
        let text = std::str::from_utf8(payload).ok().filter(|t| t.len() <= 16).map_or("?", str::trim);
        match name {
            // A button of Home Assistant sends PRESS.
            START_BASELINE if text.is_empty() || text == "PRESS" => Ok(Self::StartBaseline(None)),
            START_BASELINE => {
                let learning = text.parse().ok().and_then(Learning::asked);
                learning.map(|span| Self::StartBaseline(Some(span))).ok_or(Refusal::Seconds)
            }
            SET_LEARNING => {
                // A slider may send 60.0.
                let whole = text.strip_suffix(".0").unwrap_or(text);
                let minutes = whole.parse().ok().filter(|m| MINUTES.contains(m));
                let span = minutes.map(|m| Span::from_secs(u64::from(m) * 60));
                span.map(Self::SetLearning).ok_or(Refusal::Minutes)
            }
            SET_DETECTION => match text {
                "ON" => Ok(Self::SetDetection(true)),
                "OFF" => Ok(Self::SetDetection(false)),
                _ => Err(Refusal::Switch),
            },
            _ => Err(Refusal::Unknown),
        }
    }
}

/// Asks the judging thread and waits for its answer, seconds at worst: not for a thread that others need.
pub(super) fn ask(queue: &CommandQueue, request: Request, learning: Span) -> Result<(), CommandRefused> {
    match request {
        Request::StartBaseline(duration) => queue.start_baseline(Some(duration.unwrap_or(learning))),
        Request::SetDetection(on) => queue.set_detection(on),
        // Nothing that the judge knows of.
        Request::SetLearning(_) => Ok(()),
    }
}

/// An answer, on the reply topic.
#[derive(Debug, Serialize)]
pub(super) struct Answer {
    /// The command's name, at most 64 characters of it.
    command: String,
    /// Whether it was carried out.
    ok: bool,
    /// Why not; null where it was.
    error: Option<String>,
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "command {:?}: {}", self.command, self.error.as_deref().unwrap_or("done"))
    }
}

impl Answer {
    pub(super) fn new(command: &str, result: &Result<(), Refusal>) -> Self {
        Self {
            command: command.chars().take(64).collect(),
            ok: result.is_ok(),
            error: result.as_ref().err().map(ToString::to_string),
        }
    }
}

/// How many commands are taken: five at once, and then one a second. A flood is answered once.
#[derive(Debug)]
pub(super) struct Allowance {
    left: u64,
    /// When `left` was counted last.
    counted: Span,
    told: bool,
}

/// What becomes of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admission {
    Granted,
    /// Too many, and its sender is told.
    Refused,
    /// Too many, which was told already.
    Dropped,
}

impl Allowance {
    const BURST: u64 = 5;

    pub(super) const fn new() -> Self {
        Self { left: Self::BURST, counted: Span::from_secs(0), told: false }
    }

    /// `at` is the time on a clock that never goes back.
    pub(super) fn take(&mut self, at: Span) -> Admission {
        let earned = at.as_secs().saturating_sub(self.counted.as_secs());
        self.left = self.left.saturating_add(earned).min(Self::BURST);
        self.counted = at;
        if let Some(left) = self.left.checked_sub(1) {
            self.left = left;
            self.told = false;
            Admission::Granted
        } else if std::mem::replace(&mut self.told, true) {
            Admission::Dropped
        } else {
            Admission::Refused
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_read_or_refused_with_what_they_take() {
        let minute = Span::from_secs(60);
        let table = [
            (START_BASELINE, "", Ok(Request::StartBaseline(None))),
            (START_BASELINE, "PRESS", Ok(Request::StartBaseline(None))),
            (START_BASELINE, "60", Ok(Request::StartBaseline(Some(minute)))),
            (START_BASELINE, "59", Err(Refusal::Seconds)),
            (START_BASELINE, "31536001", Err(Refusal::Seconds)),
            (START_BASELINE, "-60", Err(Refusal::Seconds)),
            (START_BASELINE, "{}", Err(Refusal::Seconds)),
            (SET_LEARNING, "1", Ok(Request::SetLearning(minute))),
            (SET_LEARNING, "1.0", Ok(Request::SetLearning(minute))),
            (SET_LEARNING, "1.5", Err(Refusal::Minutes)),
            (SET_LEARNING, "0", Err(Refusal::Minutes)),
            (SET_LEARNING, "525601", Err(Refusal::Minutes)),
            (SET_LEARNING, "", Err(Refusal::Minutes)),
            (SET_DETECTION, "ON", Ok(Request::SetDetection(true))),
            (SET_DETECTION, "OFF", Ok(Request::SetDetection(false))),
            (SET_DETECTION, "on", Err(Refusal::Switch)),
            (SET_DETECTION, "", Err(Refusal::Switch)),
            ("", "ON", Err(Refusal::Unknown)),
            ("detection/", "ON", Err(Refusal::Unknown)),
        ];
        for (name, payload, expected) in table {
            assert_eq!(Request::parse(name, payload.as_bytes()), expected, "{name} {payload:?}");
        }
        let long = format!("{}60", " ".repeat(100));
        assert_eq!(Request::parse(START_BASELINE, long.as_bytes()), Err(Refusal::Seconds));
        assert_eq!(Request::parse(SET_DETECTION, &[0xff]), Err(Refusal::Switch));
    }

    #[test]
    fn the_words_of_a_refusal_name_every_command_and_its_range() {
        let told = Refusal::Unknown.to_string();
        assert!([START_BASELINE, SET_LEARNING, SET_DETECTION].iter().all(|c| told.contains(c)), "{told}");
        let (least, most) = (MINUTES.start().to_string(), MINUTES.end().to_string());
        let told = Refusal::Minutes.to_string();
        assert!(told.contains(&least) && told.contains(&most), "{told}");
    }

    #[test]
    fn a_flood_is_answered_once_and_a_second_later_there_is_room_for_one() {
        let mut allowance = Allowance::new();
        let mut at = |millis| allowance.take(Span::from_millis(millis));
        assert_eq!([at(0), at(0), at(0), at(0), at(0)], [Admission::Granted; 5]);
        assert_eq!([at(10), at(20), at(30)], [Admission::Refused, Admission::Dropped, Admission::Dropped]);
        assert_eq!([at(1_000), at(1_001)], [Admission::Granted, Admission::Refused]);
    }
}
