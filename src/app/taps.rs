//! The capture threads, one for each source: started, given other sources while they run, stopped. What a thread does
//! is `capture`'s.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use tokio::sync::mpsc;

use super::AppError;
use super::capture::{CaptureLoop, Heard, Input};
use crate::capture::{CaptureError, Recent, SourceConfig};
use crate::control::{Board, CommandQueue, CommandRefused};
use crate::pipeline::{Meter, MeterConfig, SourceId};
use crate::sys::one_line;

/// All capture threads.
pub(super) struct Taps {
    /// Held while sources are opened.
    row: Mutex<Row>,
    /// Held for a moment; none once all are told to stop.
    seat: Mutex<Option<Seat>>,
    stop: Arc<AtomicBool>,
    board: Arc<Board>,
    commands: CommandQueue,
}

#[derive(Default)]
struct Row {
    threads: Vec<Thread>,
    next: u16,
}

/// What each thread gets.
#[derive(Clone)]
pub(super) struct Seat {
    pub(super) meter: MeterConfig,
    pub(super) observations: SyncSender<Heard>,
    pub(super) ended: mpsc::Sender<Ended>,
}

struct Thread {
    source: SourceId,
    /// None where it is not known what it has open, or cannot be told.
    config: Option<SourceConfig>,
    stop: Arc<AtomicBool>,
}

/// A capture thread is no more.
pub(super) struct Ended {
    source: SourceId,
    /// None where it died.
    result: Option<Result<(), CaptureError>>,
}

/// Tells of the end of a thread however it ends.
struct Farewell {
    to: mpsc::Sender<Ended>,
    ended: Option<Ended>,
}

impl Farewell {
    fn new(source: SourceId, to: mpsc::Sender<Ended>) -> Self {
        Self { to, ended: Some(Ended { source, result: None }) }
    }

    fn set(&mut self, result: Result<(), CaptureError>) {
        if let Some(ended) = &mut self.ended {
            ended.result = Some(result);
        }
    }
}

impl Drop for Farewell {
    fn drop(&mut self) {
        if let Some(ended) = self.ended.take() {
            // There is room for all threads; nobody listens any more when the daemon did not wait.
            drop(self.to.try_send(ended));
        }
    }
}

impl Taps {
    /// Ends that may wait to be heard: those of all threads, and of as many given up.
    pub(super) const ENDS: usize = 64;

    /// No thread yet.
    pub(super) fn new(board: &Arc<Board>, commands: &CommandQueue, seat: Seat) -> Self {
        Self {
            row: Mutex::default(),
            seat: Mutex::new(Some(seat)),
            stop: Arc::default(),
            board: Arc::clone(board),
            commands: commands.clone(),
        }
    }

    /// Starts a thread for each source.
    pub(super) fn start(&self, sources: Vec<(Input, Meter)>) -> Result<(), AppError> {
        let mut row = self.row.lock().unwrap_or_else(PoisonError::into_inner);
        let rings = sources.len();
        for (input, meter) in sources {
            let config = input.config();
            self.add(&mut row, input, (meter, Recent::share(rings)), config)?;
        }
        Ok(())
    }

    /// Goes on with other sources. One that is there already stays or is given its new settings; others are opened
    /// before anything changes; those that are not wanted end.
    ///
    /// # Errors
    /// When one does not open: then all go on as before.
    pub(super) fn reopen(&self, wanted: &[SourceConfig]) -> Result<(), CommandRefused> {
        let mut row = self.row.lock().unwrap_or_else(PoisonError::into_inner);
        let (kept, fresh) = assign(&row.threads, wanted);
        let mut opened = Vec::new();
        for config in fresh {
            let input = Input::open(config).map_err(|error| CommandRefused::Impossible(one_line(&error)))?;
            opened.push((input, config.clone()));
        }
        self.reopen_each(&mut row.threads, &kept)?;
        let mut stays = kept.iter().map(|&(at, _)| at).collect::<Vec<_>>();
        stays.sort_unstable();
        let mut at = 0;
        row.threads.retain(|thread| {
            let wanted = stays.binary_search(&at).is_ok();
            at += 1;
            if !wanted {
                self.retire(thread);
            }
            wanted
        });
        let seat = self.seat.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let share = seat.ok_or(CommandRefused::Stopping)?.meter.share(wanted.len());
        for (input, config) in opened {
            let room = (Meter::new(&share), Recent::share(wanted.len()));
            self.add(&mut row, input, room, Some(config))
                .map_err(|error| CommandRefused::Impossible(one_line(&error)))?;
        }
        Ok(())
    }

    /// Gives threads their new settings; where one refuses, those before it get the old ones back.
    fn reopen_each(
        &self,
        threads: &mut [Thread],
        kept: &[(usize, &SourceConfig)],
    ) -> Result<(), CommandRefused> {
        let mut changed: Vec<(SourceId, SourceConfig)> = Vec::new();
        for &(at, config) in kept {
            let Some(thread) = threads.get_mut(at).filter(|thread| thread.config.as_ref() != Some(config))
            else {
                continue;
            };
            match self.commands.reopen_capture(thread.source, config.clone()) {
                Ok(()) => {
                    let old = thread.config.replace(config.clone());
                    changed.extend(old.map(|old| (thread.source, old)));
                }
                Err(refused) => {
                    if matches!(refused, CommandRefused::NoAnswer(_)) {
                        thread.config = None;
                    }
                    for (source, old) in changed {
                        let back = self.commands.reopen_capture(source, old.clone());
                        let config =
                            back.inspect_err(|error| tracing::error!("a capture that had changed: {error}"));
                        if let Some(thread) = threads.iter_mut().find(|thread| thread.source == source) {
                            thread.config = config.ok().map(|()| old);
                        }
                    }
                    return Err(refused);
                }
            }
        }
        Ok(())
    }

    /// A thread has ended. Why all are to stop, unless it was told to end.
    pub(super) fn handle_end(&self, ended: Ended) -> Option<AppError> {
        let row = self.row.lock().unwrap_or_else(PoisonError::into_inner);
        if row.threads.iter().any(|thread| thread.source == ended.source) {
            return Some(match ended.result {
                Some(Err(error)) => error.into(),
                Some(Ok(())) | None => AppError::Died { what: "the capture thread" },
            });
        }
        self.board.meter.remove(ended.source);
        None
    }

    /// Tells all to end, and takes none any more. Who listens for ends hears of the last when there is nobody left.
    pub(super) fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
        self.seat.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    fn retire(&self, thread: &Thread) {
        thread.stop.store(true, Ordering::Relaxed);
        self.commands.remove_source(thread.source);
        self.board.meter.remove(thread.source);
    }

    fn add(
        &self,
        row: &mut Row,
        input: Input,
        (meter, recent): (Meter, Recent),
        config: Option<SourceConfig>,
    ) -> Result<(), AppError> {
        let seat = self.seat.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(seat) = seat else { return Ok(()) };
        let source = SourceId(row.next);
        row.next = row.next.wrapping_add(1);
        let stop = Arc::new(AtomicBool::new(false));
        let mut capture = CaptureLoop {
            source,
            input,
            meter,
            recent,
            recorders: Vec::new(),
            config: seat.meter,
            commands: self.commands.add_source(source),
            board: Arc::clone(&self.board),
            observations: seat.observations,
            stop: [Arc::clone(&self.stop), Arc::clone(&stop)],
        };
        // It is there for whoever waits for all to be back.
        capture.announce();
        let mut farewell = Farewell::new(source, seat.ended);
        thread::Builder::new()
            .name(format!("capture-{}", source.0))
            .spawn(move || {
                farewell.set(capture.run());
            })
            .map_err(|source| AppError::Start { what: "capture", source })?;
        row.threads.push(Thread { source, config, stop });
        Ok(())
    }
}

/// Which thread takes which of the wanted sources, by its place, and which are to be opened: first each keeps its own
/// interface, then those left over take what is left over.
fn assign<'a>(
    threads: &[Thread],
    wanted: &'a [SourceConfig],
) -> (Vec<(usize, &'a SourceConfig)>, Vec<&'a SourceConfig>) {
    let mut free: Vec<usize> = (0..threads.len()).collect();
    let mut kept = Vec::new();
    let mut left = Vec::new();
    for config in wanted {
        let same = |&at: &usize| {
            let open = threads.get(at).and_then(|thread| thread.config.as_ref());
            open.is_some_and(|open| open.is_same_place(config))
        };
        match free.iter().position(same) {
            Some(place) => kept.push((free.remove(place), config)),
            None => left.push(config),
        }
    }
    let mut fresh = Vec::new();
    for config in left {
        let fits = |&at: &usize| {
            let open = threads.get(at).and_then(|thread| thread.config.as_ref());
            open.is_none_or(|open| open.is_alike(config))
        };
        match free.iter().position(fits) {
            Some(place) => kept.push((free.remove(place), config)),
            None => fresh.push(config),
        }
    }
    (kept, fresh)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::Config;

    fn tap(name: &str) -> SourceConfig {
        SourceConfig::Tap(Config { interface: Some(name.to_owned()), ..Config::default() })
    }

    fn assigned(open: &[&str], wanted: &[&str]) -> (Vec<(usize, String)>, Vec<String>) {
        let thread = |(n, name): (u16, &&str)| Thread {
            source: SourceId(n),
            config: Some(tap(name)),
            stop: Arc::default(),
        };
        let threads: Vec<_> = (0..).zip(open).map(thread).collect();
        let wanted: Vec<_> = wanted.iter().map(|name| tap(name)).collect();
        let (kept, fresh) = assign(&threads, &wanted);
        let name = |config: &SourceConfig| config.interface().unwrap().to_owned();
        (kept.into_iter().map(|(at, c)| (at, name(c))).collect(), fresh.into_iter().map(name).collect())
    }

    #[test]
    fn a_thread_keeps_its_interface_where_that_is_wanted_still() {
        let own = |at: usize, name: &str| (at, name.to_owned());
        assert_eq!(assigned(&["a"], &["b"]), (vec![own(0, "b")], vec![]));
        assert_eq!(assigned(&["a"], &["b", "a"]), (vec![own(0, "a")], vec!["b".to_owned()]));
        assert_eq!(assigned(&["a", "b"], &["b"]), (vec![own(1, "b")], vec![]));
        assert_eq!(assigned(&["a", "b"], &["c", "a"]), (vec![own(0, "a"), own(1, "c")], vec![]));
    }
}
