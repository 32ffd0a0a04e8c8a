//! Commands over MQTT: what may be asked, how often, and how it is answered. Who may ask is the broker's business.

use std::fmt;
use std::sync::Arc;

use serde::Serialize;

use crate::alert::{AlertId, Marking};
use crate::baseline::Config as Learning;
use crate::control::{
    Author, BaselinePhase, Board, CommandQueue, CommandRefused, JudgeStatus, SettingValue, SettingsChange,
    SettingsDesk, SettingsRefused, Wanted,
};
use crate::model::Config as Judging;
use crate::time::Span;

/// Learn anew; the payload is empty, or seconds.
pub(super) const START_BASELINE: &str = "baseline/start";
/// Time to learn that a start without seconds takes, in minutes.
pub(super) const SET_LEARNING: &str = "baseline/duration";
/// Detection `ON` or `OFF`.
pub(super) const SET_DETECTION: &str = "detection";
/// The score from which windows raise alerts; kept like a setting made over HTTP.
pub(super) const SET_THRESHOLD: &str = "detection/threshold";
/// What the tap does, see [`Mode`].
pub(super) const SET_MODE: &str = "mode";
/// Capture `ON` or `OFF`.
pub(super) const SET_CAPTURE: &str = "capture";
/// Alerts were seen: all open ones where the payload is empty, or the one whose id it is.
pub(super) const ACKNOWLEDGE: &str = "alerts/acknowledge";

/// The setting behind [`SET_THRESHOLD`].
pub(super) const THRESHOLD: &str = "detection.alert_threshold";

/// Minutes that may be set to learn: those of `detection.baseline_duration`.
pub(super) const MINUTES: std::ops::RangeInclusive<u32> = Learning::LEAST / 60..=Learning::MOST / 60;

/// What the tap does with what it finds, as one word for people: learn anew, tell, or only count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// A baseline is being learned, and what needs none is told.
    Learn,
    /// What is found is told.
    Detect,
    /// What is found is only counted.
    Pause,
}

impl Mode {
    /// All of them.
    pub(super) const ALL: [Self; 3] = [Self::Learn, Self::Detect, Self::Pause];

    /// The word in topics.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Learn => "learn",
            Self::Detect => "detect",
            Self::Pause => "pause",
        }
    }

    /// That of a judging thread; none before it had anything to learn from.
    pub(super) fn of(judge: &JudgeStatus) -> Option<Self> {
        match judge.baseline.phase {
            _ if !judge.detection => Some(Self::Pause),
            BaselinePhase::None => None,
            BaselinePhase::Learning => Some(Self::Learn),
            BaselinePhase::Armed => Some(Self::Detect),
        }
    }
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Request {
    /// Learn anew for this time; none for the one that was set.
    StartBaseline(Option<Span>),
    /// Set the time to learn.
    SetLearning(Span),
    /// Switch detection.
    SetDetection(bool),
    /// Set the score from which windows raise alerts.
    SetThreshold(f64),
    /// Set the mode.
    SetMode(Mode),
    /// Switch the capture.
    SetCapture(bool),
    /// Say that this alert was seen, or all open ones.
    Acknowledge(Option<AlertId>),
}

/// Why a command was not carried out, in words for its sender.
#[derive(Debug, PartialEq, thiserror::Error)]
pub(super) enum Refusal {
    #[error(
        "no such command; there are: {START_BASELINE}, {SET_LEARNING}, {SET_DETECTION}, {SET_THRESHOLD}, {SET_MODE}, \
         {SET_CAPTURE}, {ACKNOWLEDGE}"
    )]
    Unknown,
    #[error("the payload is neither empty nor whole seconds from {} to {}", Learning::LEAST, Learning::MOST)]
    Seconds,
    #[error("the payload is not whole minutes from {} to {}", MINUTES.start(), MINUTES.end())]
    Minutes,
    #[error("the payload is neither ON nor OFF")]
    Switch,
    #[error("the payload is not a number from {} to {}", Judging::LEAST_THRESHOLD, Judging::MOST_THRESHOLD)]
    Threshold,
    #[error("the payload is neither learn nor detect nor pause")]
    Mode,
    #[error("the payload is neither empty nor an alert id of 24 hexadecimal digits")]
    Alert,
    #[error("there is no baseline yet")]
    NoBaseline,
    #[error("the baseline is still being learned; what needs none is told meanwhile")]
    Learning,
    #[error("too many commands: five at once and then one a second are taken, this and more were dropped")]
    TooMany,
    #[error(transparent)]
    NotDone(#[from] CommandRefused),
    #[error(transparent)]
    NotSet(#[from] SettingsRefused),
    #[error("the command failed within the daemon")]
    Failed,
}

impl Request {
    /// Reads a command by its name and payload.
    pub(super) fn parse(name: &str, payload: &[u8]) -> Result<Self, Refusal> {
        // Longer than anything that is taken; and text that is none reads as nothing that is taken.
        let text = std::str::from_utf8(payload).ok().filter(|t| t.len() <= 32).map_or("?", str::trim);
        // A button of Home Assistant sends PRESS.
        let plain = text.is_empty() || text == "PRESS";
        match name {
            START_BASELINE if plain => Ok(Self::StartBaseline(None)),
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
            SET_DETECTION => switch(text).map(Self::SetDetection),
            SET_CAPTURE => switch(text).map(Self::SetCapture),
            SET_THRESHOLD => {
                let range = Judging::LEAST_THRESHOLD..=Judging::MOST_THRESHOLD;
                let score = text.parse().ok().filter(|s| range.contains(s));
                score.map(Self::SetThreshold).ok_or(Refusal::Threshold)
            }
            SET_MODE => {
                let mode = Mode::ALL.into_iter().find(|mode| mode.word() == text);
                mode.map(Self::SetMode).ok_or(Refusal::Mode)
            }
            ACKNOWLEDGE if plain => Ok(Self::Acknowledge(None)),
            ACKNOWLEDGE => text.parse().map(|id| Self::Acknowledge(Some(id))).map_err(|_| Refusal::Alert),
            _ => Err(Refusal::Unknown),
        }
    }
}

fn switch(text: &str) -> Result<bool, Refusal> {
    match text {
        "ON" => Ok(true),
        "OFF" => Ok(false),
        _ => Err(Refusal::Switch),
    }
}

/// Whom commands are for.
#[derive(Clone)]
pub(super) struct Asked {
    pub(super) commands: CommandQueue,
    pub(super) settings: Arc<dyn SettingsDesk>,
    pub(super) board: Arc<Board>,
    /// Time to learn that a start without one takes.
    pub(super) learning: Span,
}

impl Asked {
    /// Carries a command out and waits for it, seconds at worst: not for a thread that others need.
    pub(super) fn carry_out(&self, request: Request) -> Result<(), Refusal> {
        let commands = &self.commands;
        match request {
            Request::StartBaseline(duration) => {
                commands.start_baseline(Some(duration.unwrap_or(self.learning)))?;
            }
            Request::SetDetection(on) => commands.set_detection(on)?,
            Request::SetMode(Mode::Pause) => commands.set_detection(false)?,
            Request::SetMode(Mode::Learn) => {
                // What is being learned is not thrown away; `baseline/start` does that.
                if self.phase() != BaselinePhase::Learning {
                    commands.start_baseline(Some(self.learning))?;
                }
                commands.set_detection(true)?;
            }
            // Nothing but time ends learning: a mode that would not hold is refused.
            Request::SetMode(Mode::Detect) => match self.phase() {
                BaselinePhase::None => return Err(Refusal::NoBaseline),
                BaselinePhase::Learning => return Err(Refusal::Learning),
                BaselinePhase::Armed => commands.set_detection(true)?,
            },
            Request::SetCapture(true) => commands.start_capture()?,
            Request::SetCapture(false) => commands.stop_capture()?,
            Request::Acknowledge(None) => drop(commands.acknowledge_all(None)?),
            Request::Acknowledge(Some(id)) => drop(commands.mark(id, Marking::Acknowledge(None))?),
            Request::SetThreshold(score) => {
                let wanted = Wanted::Set(vec![(THRESHOLD.to_owned(), Some(SettingValue::Number(score)))]);
                let author = Author::Mqtt;
                self.settings.change(SettingsChange { wanted, if_match: None, dry_run: false, author })?;
            }
            // The client's own.
            Request::SetLearning(_) => {}
        }
        Ok(())
    }

    fn phase(&self) -> BaselinePhase {
        self.board.judge.latest().map_or(BaselinePhase::None, |judge| judge.baseline.phase)
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
        let (minute, id) = (Span::from_secs(60), "0123456789abcdef01234567");
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
            (SET_CAPTURE, "OFF", Ok(Request::SetCapture(false))),
            (SET_CAPTURE, "PRESS", Err(Refusal::Switch)),
            (SET_THRESHOLD, "0.95", Ok(Request::SetThreshold(0.95))),
            (SET_THRESHOLD, "1", Ok(Request::SetThreshold(1.0))),
            (SET_THRESHOLD, "0.1", Err(Refusal::Threshold)),
            (SET_THRESHOLD, "NaN", Err(Refusal::Threshold)),
            (SET_THRESHOLD, "", Err(Refusal::Threshold)),
            (SET_MODE, "pause", Ok(Request::SetMode(Mode::Pause))),
            (SET_MODE, "armed", Err(Refusal::Mode)),
            (ACKNOWLEDGE, "", Ok(Request::Acknowledge(None))),
            (ACKNOWLEDGE, "PRESS", Ok(Request::Acknowledge(None))),
            (ACKNOWLEDGE, id, Ok(Request::Acknowledge(id.parse().ok()))),
            (ACKNOWLEDGE, "all", Err(Refusal::Alert)),
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
        let all =
            [START_BASELINE, SET_LEARNING, SET_DETECTION, SET_THRESHOLD, SET_MODE, SET_CAPTURE, ACKNOWLEDGE];
        assert!(all.iter().all(|c| told.contains(c)), "{told}");
        let told = Refusal::Mode.to_string();
        assert!(Mode::ALL.iter().all(|m| told.contains(m.word())), "{told}");
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
