//! `replay`: capture files through the same meter and judge as the daemon, in one thread, alerts to an output.

use std::io::Write;
use std::path::PathBuf;

use super::AppError;
use super::decoding::Decoding;
use crate::alert::Alert;
use crate::capture::{Files, Next, Source, SourceCounters};
use crate::control::wire::AlertRecord;
use crate::pipeline::{Judge, JudgeConfig, Meter, MeterConfig, Verdicts};
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
        output,
    };
    loop {
        match files.next()? {
            Next::Frame(frame) => run.meter.handle_frame(&frame),
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
    run.output.flush().map_err(AppError::Output)?;
    Ok(run.summary(files.counters()))
}

struct Run<'a> {
    meter: Meter,
    judge: Judge,
    learn: Option<Span>,
    format: Format,
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
