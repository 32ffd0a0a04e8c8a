//! `doctor`: listens for a while, or reads captures, and says what is wrong with the tap and what helps. It changes nothing, and
//! works beside a running daemon.

mod machine;

use std::io::Write;
use std::path::PathBuf;

use super::replay::Format;
use super::{AppError, reading};
use crate::capture::{Files, Next, Source, SourceConfig, Tap};
use crate::config::Config;
use crate::control::{CheckRecord, SourceKind};
use crate::pipeline::Meter;
use crate::sys::clock::Stopwatch;
use crate::time::Span;

/// What to look at, and how to tell.
#[derive(Clone, Debug)]
pub struct Doctor {
    /// Capture files to read; none to listen.
    pub files: Vec<PathBuf>,
    /// How long to listen.
    pub listen: Span,
    /// How it is told.
    pub format: Format,
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Diagnosis {
    /// Nothing was found. What could not be told is said.
    Well,
    /// Something was.
    Ill,
}

impl Diagnosis {
    /// The process's exit code. `EX_PROTOCOL` of sysexits.h: the other side does not keep to what was agreed.
    #[must_use]
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Well => 0,
            Self::Ill => 76,
        }
    }
}

/// Looks, and tells.
///
/// # Errors
/// When there is nothing to look at (the interface or a file cannot be opened), or the output cannot be written.
pub fn doctor(config: &Config, request: &Doctor, output: &mut dyn Write) -> Result<Diagnosis, AppError> {
    let mut records = Vec::new();
    if request.files.is_empty() {
        // What switches send to an address is left to the daemon: two cannot listen there.
        let taps = config.capture.iter().filter_map(|source| match source {
            SourceConfig::Tap(tap) => Some(tap.clone()),
            SourceConfig::Mirror(_) => None,
        });
        for tap in taps {
            let mut meter = Meter::new(&config.meter);
            let mut tap = Tap::open(tap)?;
            let frames = listen(&mut meter, &mut tap, request.listen)?;
            records.push(machine::source(tap.interface(), tap.state(), frames, request.listen));
            records.extend(meter.mirror().reports_of_all().iter().map(CheckRecord::from));
        }
        records.push(machine::disk(&config.store));
        records.extend(config.mqtt.as_ref().map(machine::broker));
    } else {
        let mut meter = Meter::new(&config.meter);
        read(&mut meter, &request.files)?;
        records.extend(meter.mirror().reports_of_all().iter().map(CheckRecord::from));
    }
    for record in &records {
        write(record, request.format, output)?;
    }
    output.flush().map_err(AppError::Output)?;
    let ill = records.iter().any(|record| record.verdict == "found");
    Ok(if ill { Diagnosis::Ill } else { Diagnosis::Well })
}

/// Gives the number of frames.
fn listen(meter: &mut Meter, tap: &mut Tap, listen: Span) -> Result<u64, AppError> {
    /// Time between two looks at what the kernel counts.
    const LOOK: Span = Span::from_secs(1);
    reading::place(meter, tap.interface());
    tracing::info!("listening on {} for {} s", tap.interface(), listen.as_secs());
    let watch = Stopwatch::start();
    let mut look = LOOK;
    while watch.elapsed() < listen {
        let latest = match tap.next()? {
            Next::Frame(frame) => {
                meter.handle_frame(&frame);
                Some(frame.time)
            }
            Next::Idle(now) => {
                meter.handle_idle(now);
                None
            }
            Next::End => break,
        };
        while meter.poll_observation().is_some() {}
        if watch.elapsed() >= look {
            look = watch.elapsed() + LOOK;
            reading::take(meter, SourceKind::Interface, &tap.counters(), latest);
        }
    }
    let counters = tap.counters();
    reading::take(meter, SourceKind::Interface, &counters, None);
    meter.finish();
    Ok(counters.frames)
}

fn read(meter: &mut Meter, files: &[PathBuf]) -> Result<(), AppError> {
    let mut files = Files::open(files)?;
    loop {
        match files.next()? {
            Next::Frame(frame) => meter.handle_frame(&frame),
            // A pipe that is slow.
            Next::Idle(_) => {}
            Next::End => break,
        }
        while meter.poll_observation().is_some() {}
    }
    meter.finish();
    Ok(())
}

fn write(record: &CheckRecord, format: Format, output: &mut dyn Write) -> Result<(), AppError> {
    match format {
        Format::Json => serde_json::to_writer(&mut *output, record)
            .map_err(std::io::Error::from)
            .and_then(|()| writeln!(output)),
        Format::Text => {
            let verdict = match record.verdict {
                "fine" => "fine",
                "found" => "WRONG",
                _ => "unknown",
            };
            let why = record.unknown.as_ref().map_or_else(String::new, |why| format!("not known: {why}; "));
            let remedy = record.remedy.map_or_else(String::new, |remedy| format!("\n{:28}{remedy}", ""));
            writeln!(output, "{verdict:7}  {:17}  {why}{}{remedy}", record.title, record.text)
        }
    }
    .map_err(AppError::Output)
}
