//! `replay`: capture files through the same meter and judge as the daemon, in one thread, alerts to an output, and the
//! moments around them to a directory where that is asked for.

use std::io::Write;
use std::path::{Path, PathBuf};

use super::AppError;
use super::cutting::{Cases, Cut, Sources};
use super::decoding::Decoding;
use crate::alert::{Alert, Event};
use crate::capture::{Files, Moments, Next, Recent, Source, SourceCounters};
use crate::control::Skipped;
use crate::control::wire::AlertRecord;
use crate::packet::Frame;
use crate::pipeline::{Judge, JudgeConfig, Meter, MeterConfig, SourceId, Verdicts};
use crate::store::{self, EvidenceFolder};
use crate::time::Span;

/// What to replay and how.
#[derive(Clone, Debug)]
pub struct Replay {
    /// Capture files in order; `-` is standard input.
    pub files: Vec<PathBuf>,
    /// Capture time to learn from, before judging; none to judge without a baseline.
    pub learn: Option<Span>,
    /// How alerts are written.
    pub format: Format,
    /// Where the moments around alerts are written, with the store's settings for that; none for nowhere.
    pub evidence: Option<(PathBuf, store::Config)>,
    /// The meter's settings.
    pub meter: MeterConfig,
    /// The judge's settings.
    pub judge: JudgeConfig,
}

/// How alerts are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A line for people.
    Text,
    /// One JSON object a line.
    Json,
}

/// What was read and found.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// What the files gave.
    pub counters: SourceCounters,
    /// Flows seen.
    pub flows: u64,
    /// Devices seen.
    pub devices: usize,
    /// Frames with bytes that could not be read, by any reason.
    pub faults: u64,
    /// How far packets were decoded.
    pub decoding: Decoding,
    /// Alerts raised.
    pub raised: u64,
    /// Why no model judged, where none did.
    pub no_model: Option<String>,
}

/// Plays the files from first to last. The same files and settings give the same output, byte for byte.
///
/// # Errors
/// When a file cannot be opened or is no capture, or the output cannot be written.
pub fn replay(request: &Replay, output: &mut dyn Write) -> Result<Summary, AppError> {
    let mut files = Files::open(&request.files)?;
    let mut run = Run {
        meter: Meter::new(&request.meter),
        judge: Judge::new(request.judge.clone()),
        learn: request.learn,
        format: request.format,
        cutter: request.evidence.as_ref().map(|(path, config)| Cutter::open(path, config)).transpose()?,
        output,
    };
    loop {
        match files.next()? {
            Next::Frame(frame) => {
                if let Some(cutter) = &mut run.cutter {
                    cutter.handle_frame(&frame)?;
                }
                run.meter.handle_frame(&frame);
            }
            // A pipe that is slow: the time of what comes is in its frames.
            Next::Idle(_) => continue,
            Next::End => break,
        }
        run.judge_all()?;
    }
    run.meter.finish();
    run.judge_all()?;
    run.judge.finish();
    run.write_all()?;
    if let Some(cutter) = &mut run.cutter {
        cutter.finish(|_| true)?;
    }
    run.output.flush().map_err(AppError::Output)?;
    Ok(run.summary(files.counters()))
}

struct Run<'a> {
    meter: Meter,
    judge: Judge,
    learn: Option<Span>,
    format: Format,
    cutter: Option<Cutter>,
    output: &'a mut dyn Write,
}

impl Run<'_> {
    fn judge_all(&mut self) -> Result<(), AppError> {
        while let Some(observation) = self.meter.poll_observation() {
            if let (Some(duration), Some(now)) = (self.learn, self.meter.now()) {
                self.learn = None;
                self.judge.start_baseline(now, Some(duration));
            }
            self.judge.handle(observation);
            self.write_all()?;
        }
        Ok(())
    }

    fn write_all(&mut self) -> Result<(), AppError> {
        while let Some(verdict) = self.judge.poll() {
            if let Verdicts::Alert(alert) = verdict {
                self.write(&alert)?;
                if let Some(cutter) = &mut self.cutter {
                    cutter.handle_alert(&alert);
                }
            }
        }
        Ok(())
    }

    fn write(&mut self, alert: &Alert) -> Result<(), AppError> {
        match self.format {
            Format::Json => {
                let record = AlertRecord::from(alert);
                serde_json::to_writer(&mut *self.output, &record)
                    .map_err(|error| AppError::Output(error.into()))?;
                writeln!(self.output)
            }
            Format::Text => writeln!(
                self.output,
                "{} {:8} {:8} {} | {}",
                alert.timestamp,
                alert.event.word(),
                alert.severity.word(),
                alert.title,
                alert.description
            ),
        }
        .map_err(AppError::Output)
    }

    fn summary(&self, counters: SourceCounters) -> Summary {
        Summary {
            counters,
            flows: self.meter.flows().opened(),
            devices: self.meter.devices().iter().filter(|(_, d)| d.proven).count(),
            faults: self.meter.counts().faults().map(|(_, _, n)| n).sum(),
            decoding: Decoding::of(&self.meter),
            raised: self.judge.tally().raised().map(|(_, n)| n).sum(),
            no_model: self.judge.model().err().map(ToString::to_string),
        }
    }
}

/// Writes the moments around alerts.
struct Cutter {
    folder: EvidenceFolder,
    path: PathBuf,
    snapshot: u32,
    recent: Recent,
    frames: u64,
    cases: Cases,
    pending: Vec<Cut>,
}

impl Cutter {
    /// Alerts whose moments are gathered at once; further ones are told as skipped.
    const AT_ONCE: usize = 64;

    fn open(path: &Path, config: &store::Config) -> Result<Self, AppError> {
        let refused = |source| AppError::Evidence { path: path.to_owned(), source };
        Ok(Self {
            folder: EvidenceFolder::open(path, true, config.evidence_quota).map_err(refused)?,
            path: path.to_owned(),
            snapshot: config.evidence_snapshot,
            recent: Recent::new(),
            frames: 0,
            cases: Cases::default(),
            pending: Vec::new(),
        })
    }

    fn handle_frame(&mut self, frame: &Frame<'_>) -> Result<(), AppError> {
        self.frames += 1;
        self.recent.push(frame);
        if self.pending.is_empty() {
            return Ok(());
        }
        // As the ring has it.
        let kept = Frame { bytes: frame.bytes.get(..Recent::KEPT).unwrap_or(frame.bytes), ..*frame };
        self.pending.iter_mut().for_each(|cut| cut.handle_frame(SourceId::default(), &kept));
        self.finish(|cut| cut.is_over(frame.time))
    }

    fn handle_alert(&mut self, alert: &Alert) {
        if !self.cases.wants(alert) || self.pending.iter().any(|cut| cut.id() == alert.id) {
            return;
        }
        if self.pending.len() >= Self::AT_ONCE {
            tracing::warn!("evidence of alert {} is skipped: too many alerts at once", alert.id);
            return self.folder.skip(alert.id, Skipped::Busy);
        }
        if alert.event == Event::Raised {
            // Of an earlier replay.
            self.folder.forget(alert.id);
        }
        if let Some(mut cut) = self.cases.begin(alert, self.snapshot) {
            let packets = self.recent.snapshot_after(0);
            cut.gather(&[(SourceId::default(), Moments { packets, ..Moments::default() })]);
            self.pending.push(cut);
        } else if alert.event == Event::Raised {
            self.folder.skip(alert.id, Skipped::NoDevice);
        }
    }

    fn finish(&mut self, is_over: impl Fn(&Cut) -> bool) -> Result<(), AppError> {
        let counters = SourceCounters { frames: self.frames, ..SourceCounters::default() };
        let sources = Sources::from([(SourceId::default(), ("replay".to_owned(), counters))]);
        let refused = |source| AppError::Evidence { path: self.path.clone(), source };
        let all = std::mem::take(&mut self.pending).into_iter();
        let (over, pending): (Vec<_>, Vec<_>) = all.partition(is_over);
        self.pending = pending;
        for cut in over {
            if let Some(cutting) = cut.finish(&sources).map_err(refused)? {
                self.folder.keep(cutting.id, &cutting.bytes, cutting.packets).map_err(refused)?;
            }
        }
        Ok(())
    }
}
