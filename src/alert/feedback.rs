//! [`Mark`]: what the owner said of an alert, and how one saying follows another. Where marks are kept is not known
//! here.

use std::fmt;
use std::str::FromStr;

use super::Severity;
use crate::time::Timestamp;

/// What the owner said of one alert so far. Times are the wall clock's, as people act by it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mark {
    /// He has seen it.
    pub acknowledged: Option<Acknowledgement>,
    /// He judged it.
    pub feedback: Option<Feedback>,
    /// The model that scored the alert, so that what was said can be counted by model; none for a detector.
    pub model: Option<String>,
}

/// An alert was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acknowledgement {
    /// When.
    pub time: Timestamp,
    /// How severe it was then: an alert that grew worse is not acknowledged any more.
    pub severity: Severity,
    /// In the owner's words.
    pub note: Option<Note>,
}

/// An alert was judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Feedback {
    /// As what.
    pub verdict: Judgement,
    /// When.
    pub time: Timestamp,
    /// In the owner's words.
    pub note: Option<Note>,
}

/// What the owner says an alert was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// Nothing that he wants to be told of.
    FalsePositive,
}

impl Judgement {
    /// The word in JSON.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::FalsePositive => "false_positive",
        }
    }
}

/// One line of the owner's, of 1 to [`Note::MAX`] characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note(String);

/// A text that is no note.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a note has at most 200 characters")]
pub struct NoteTooLong;

impl Note {
    /// Most characters.
    pub const MAX: usize = 200;

    /// A note from any text, with a space for each control character; none where nothing else is in it.
    ///
    /// # Errors
    /// When it is too long.
    pub fn of(text: &str) -> Result<Option<Self>, NoteTooLong> {
        if text.chars().count() > Self::MAX {
            return Err(NoteTooLong);
        }
        let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let line = line.trim();
        Ok((!line.is_empty()).then(|| Self(line.to_owned())))
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What the owner wants said of an alert.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Marking {
    /// It was seen.
    Acknowledge(Option<Note>),
    /// It was not seen after all.
    Unacknowledge,
    /// It was nothing; the like of it is expected from now on.
    FalsePositive(Option<Note>),
    /// It was something after all.
    NotFalse,
}

impl Mark {
    /// Whether an alert of this severity counts as seen: acknowledged since it is that severe, or judged.
    #[must_use]
    pub fn settles(&self, severity: Severity) -> bool {
        self.feedback.is_some() || self.acknowledgement(severity).is_some()
    }

    /// The acknowledgement, unless the alert has grown more severe since.
    #[must_use]
    pub fn acknowledgement(&self, severity: Severity) -> Option<&Acknowledgement> {
        self.acknowledged.as_ref().filter(|seen| severity <= seen.severity)
    }

    /// Says one thing more of an alert of this severity. Saying it twice keeps the first time, and the later note
    /// where there is one.
    pub fn apply(&mut self, marking: &Marking, severity: Severity, now: Timestamp) {
        match marking {
            Marking::Acknowledge(note) => {
                let before = self.acknowledgement(severity);
                let time = before.map_or(now, |seen| seen.time);
                let note = note.clone().or_else(|| before.and_then(|seen| seen.note.clone()));
                self.acknowledged = Some(Acknowledgement { time, severity, note });
            }
            Marking::Unacknowledge => self.acknowledged = None,
            Marking::FalsePositive(note) => {
                let before = self.feedback.as_ref();
                let time = before.map_or(now, |said| said.time);
                let note = note.clone().or_else(|| before.and_then(|said| said.note.clone()));
                self.feedback = Some(Feedback { verdict: Judgement::FalsePositive, time, note });
            }
            Marking::NotFalse => self.feedback = None,
        }
    }

    /// Whether nothing is said.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.acknowledged.is_none() && self.feedback.is_none()
    }
}

impl FromStr for Judgement {
    type Err = crate::behaviour::UnknownWord;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        if word == Self::FalsePositive.word() {
            Ok(Self::FalsePositive)
        } else {
            Err(crate::behaviour::UnknownWord)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_parts(seconds, 0)
    }

    fn note(text: &str) -> Option<Note> {
        Note::of(text).unwrap()
    }

    #[test]
    fn saying_it_twice_keeps_the_first_time_and_the_later_note() {
        let mut mark = Mark::default();
        mark.apply(&Marking::Acknowledge(note("seen")), Severity::Medium, at(1));
        mark.apply(&Marking::Acknowledge(None), Severity::Medium, at(2));
        let seen = mark.acknowledgement(Severity::Medium).unwrap();
        assert_eq!((seen.time, seen.note.clone()), (at(1), note("seen")));
        mark.apply(&Marking::FalsePositive(None), Severity::Medium, at(3));
        mark.apply(&Marking::FalsePositive(note("backup")), Severity::Medium, at(4));
        let said = mark.feedback.clone().unwrap();
        assert_eq!((said.time, said.note), (at(3), note("backup")));
    }

    #[test]
    fn an_alert_that_grows_worse_is_not_acknowledged_any_more() {
        let mut mark = Mark::default();
        mark.apply(&Marking::Acknowledge(note("old")), Severity::Medium, at(1));
        assert!(mark.settles(Severity::Low) && mark.settles(Severity::Medium));
        assert!(!mark.settles(Severity::High));
        mark.apply(&Marking::Acknowledge(None), Severity::High, at(9));
        let seen = mark.acknowledgement(Severity::High).unwrap();
        assert_eq!((seen.time, &seen.note), (at(9), &None), "what was said before was of less");
    }

    #[test]
    fn what_was_said_can_be_taken_back() {
        let mut mark = Mark::default();
        mark.apply(&Marking::Acknowledge(None), Severity::Low, at(1));
        mark.apply(&Marking::FalsePositive(None), Severity::Low, at(1));
        mark.apply(&Marking::Unacknowledge, Severity::Low, at(2));
        assert!(mark.settles(Severity::Critical), "it is still judged");
        mark.apply(&Marking::NotFalse, Severity::Low, at(2));
        assert!(mark.is_empty() && !mark.settles(Severity::Low));
    }

    #[test]
    fn a_note_is_one_line_and_bounded() {
        assert_eq!(note("a\nb\u{7}").unwrap().to_string(), "a b");
        assert_eq!(note(" \t\n"), None);
        assert!(Note::of(&"ä".repeat(200)).is_ok());
        assert_eq!(Note::of(&"ä".repeat(201)), Err(NoteTooLong));
    }
}
