//! What the owner says of alerts, carried out on the judging thread: kept first, so that it survives a kill once it is
//! answered, and then taken into account.

use super::judging::JudgeLoop;
use crate::alert::{Alert, AlertId, Mark, Marking, Note, Severity};
use crate::control::wire::AlertRecord;
use crate::control::{AlertArchive, CommandRefused};
use crate::sys::{clock, one_line};

impl JudgeLoop {
    /// Says something of one alert, and gives the alert as it is then. Saying it again changes nothing, but makes sure
    /// of what a failure may have left undone.
    pub(super) fn mark(
        &mut self,
        id: AlertId,
        marking: &Marking,
    ) -> Result<Box<AlertRecord>, CommandRefused> {
        let record = self.kept(id)?;
        let mark = self.marked(id, &record, marking)?;
        match marking {
            Marking::Acknowledge(_) | Marking::Unacknowledge => {
                let seen = mark.acknowledged.as_ref().map(|seen| seen.severity);
                self.keep_marks(vec![(id, mark)])?;
                self.judge.acknowledge(id, seen);
            }
            Marking::FalsePositive(_) => {
                let alert = Alert::try_from(&record).map_err(|error| failed(&error))?;
                self.expect(&alert, mark)?;
                tracing::info!("marked as a false positive: {}", alert.title);
            }
            Marking::NotFalse => {
                self.judge.forget_expected(id);
                self.settle_expected(id, mark)?;
            }
        }
        Ok(Box::new(self.kept(id)?))
    }

    /// Says of all that is open that it was seen, and how many had not been.
    pub(super) fn acknowledge_all(&mut self, note: Option<Note>) -> Result<u64, CommandRefused> {
        let (marking, mut marks) = (Marking::Acknowledge(note), Vec::new());
        for id in self.judge.unacknowledged().collect::<Vec<_>>() {
            // What was raised a moment ago and is not kept yet, nobody can have seen.
            if let Some(record) = self.store.get(id).map_err(|error| failed(&error))? {
                marks.push((id, self.marked(id, &record, &marking)?));
            }
        }
        if !marks.is_empty() {
            self.keep_marks(marks.clone())?;
        }
        for (id, mark) in &marks {
            self.judge.acknowledge(*id, mark.acknowledged.as_ref().map(|seen| seen.severity));
        }
        Ok(u64::try_from(marks.len()).unwrap_or(u64::MAX))
    }

    fn kept(&self, id: AlertId) -> Result<AlertRecord, CommandRefused> {
        self.store.get(id).map_err(|error| failed(&error))?.ok_or(CommandRefused::NoSuchAlert)
    }

    /// What is said of an alert once this is said, too.
    fn marked(&self, id: AlertId, record: &AlertRecord, marking: &Marking) -> Result<Mark, CommandRefused> {
        // A severity of a later version is above all that this one knows.
        let severity = record.severity.parse().unwrap_or(Severity::Critical);
        let mut mark = self.store.mark(id).map_err(|error| failed(&error))?;
        mark.apply(marking, severity, clock::now());
        mark.model.clone_from(&record.model);
        Ok(mark)
    }

    /// Expects the like of an alert. What cannot be kept does not hold either, or findings would be muted of which
    /// nobody sees why.
    fn expect(&mut self, alert: &Alert, mark: Mark) -> Result<(), CommandRefused> {
        let is_new = !self.judge.expected().rules().iter().any(|rule| rule.alert == alert.id);
        self.judge.expect(alert);
        let kept = self.settle_expected(alert.id, mark);
        if kept.is_err() && is_new {
            self.judge.forget_expected(alert.id);
            // The rules wait for the medium; those before take their place.
            if let Err(error) = self.store.save_expected(self.judge.expected().rules()) {
                tracing::error!("{}", one_line(&error));
            }
        }
        kept
    }

    /// Keeps what is expected, and the mark that it comes from. What the judge tells of it goes to the store before, so
    /// that no mark is kept of an alert that stays open.
    fn settle_expected(&mut self, id: AlertId, mark: Mark) -> Result<(), CommandRefused> {
        self.drain();
        self.store.save_expected(self.judge.expected().rules()).map_err(|error| failed(&error))?;
        self.keep_marks(vec![(id, mark)])
    }

    fn keep_marks(&self, marks: Vec<(AlertId, Mark)>) -> Result<(), CommandRefused> {
        let kept = self.store.save_marks(marks).and_then(|()| self.store.flush(Self::DISK));
        kept.map_err(|error| failed(&error))
    }
}

fn failed(error: &(dyn std::error::Error + 'static)) -> CommandRefused {
    let why = one_line(error);
    tracing::error!("what was said of an alert is not kept: {why}");
    CommandRefused::Failed(why)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::mpsc::sync_channel;

    use super::*;
    use crate::app::evidence::EvidenceDesk;
    use crate::behaviour::{Evidence, Kind, Party};
    use crate::control::Board;
    use crate::pipeline::{Confluence, Judge, JudgeConfig, Observation};
    use crate::store::{Config, Store};
    use crate::time::{Span, Timestamp};

    fn judging(path: &std::path::Path) -> JudgeLoop {
        let config = Config { path: path.to_owned(), ..Config::default() };
        let store = Store::open(&config).unwrap().store;
        JudgeLoop {
            evidence: EvidenceDesk::new(store.evidence()).0,
            judge: Judge::new(JudgeConfig::default()),
            observations: sync_channel(1).1,
            confluence: Confluence::new(),
            commands: sync_channel(1).1,
            store,
            board: Arc::new(Board::default()),
            training: None,
            replaced: false,
        }
    }

    /// Lets something be raised, and gives its id once it is kept.
    fn raise(judging: &mut JudgeLoop, ip: u8, score: f64) -> AlertId {
        let time = Timestamp::from_parts(1_700_000_000, 0);
        judging.judge.handle(Observation::Evidence(Evidence {
            kind: Kind::PortScan,
            time,
            since: time,
            subject: Party { ips: vec![[192, 0, 2, ip].into()], ..Party::default() },
            peers: Vec::new(),
            peer_count: 0,
            reasons: Vec::new(),
            packets: 20,
            bytes: 1_200,
            score,
            confidence: 0.9,
        }));
        judging.drain();
        judging.store.flush(Span::from_secs(60)).unwrap();
        judging.judge.unacknowledged().last().unwrap()
    }

    #[test]
    fn what_grows_worse_is_to_be_acknowledged_anew() {
        let dir = tempfile::tempdir().unwrap();
        let mut judging = judging(dir.path());
        let id = raise(&mut judging, 1, 0.8);
        let seen = judging.mark(id, &Marking::Acknowledge(None)).unwrap();
        assert!(seen.acknowledged.is_some());
        assert_eq!(raise(&mut judging, 1, 1.0), id, "it presses again");
        assert_eq!(judging.kept(id).unwrap().acknowledged, None);
        raise(&mut judging, 2, 0.8);
        assert_eq!(judging.acknowledge_all(Note::of("both").unwrap()), Ok(2));
        assert_eq!((judging.acknowledge_all(None), judging.judge.unacknowledged().count()), (Ok(0), 0));
        let seen = judging.kept(id).unwrap();
        assert_eq!((seen.acknowledged_note.as_deref(), seen.severity.as_str()), (Some("both"), "high"));
    }

    #[test]
    fn what_cannot_be_kept_is_not_said() {
        let dir = tempfile::tempdir().unwrap();
        let mut judging = judging(dir.path());
        let id = raise(&mut judging, 1, 0.8);
        let nothing = AlertId::new(Timestamp::EPOCH, 7);
        assert_eq!(judging.mark(nothing, &Marking::FalsePositive(None)), Err(CommandRefused::NoSuchAlert));
        let alert = Alert::try_from(&judging.kept(id).unwrap()).unwrap();
        judging.store.close(Span::from_secs(60)).unwrap();
        let refused = judging.mark(id, &Marking::Acknowledge(None)).unwrap_err();
        assert_eq!(
            refused,
            CommandRefused::Failed("cannot read the alert archive: the store is closed".to_owned())
        );
        assert_eq!(judging.judge.unacknowledged().count(), 1);
        let refused = judging.expect(&alert, Mark::default()).unwrap_err();
        assert!(matches!(refused, CommandRefused::Failed(_)));
        assert_eq!(judging.judge.expected().rules(), [], "nothing is muted");
    }
}
