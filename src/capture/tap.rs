//! A live capture that outlives its interface: it waits for a lost one and opens it again. It can be stopped, and given
//! other settings. How an interface is opened and what a loss looks like is `live`'s.

use std::thread;

use crate::capture::live::horizon;
use crate::capture::{
    CaptureError, Config, Live, Next, Source, SourceCounters, check_filter, choose, interfaces,
};
use crate::sys::clock::Stopwatch;
use crate::sys::one_line;
use crate::time::Span;

/// Time between two attempts to open an interface again.
const RETRY: Span = Span::from_secs(1);

/// A tap on one interface. [`Source::next`] never fails: while the interface is lost it says idle.
pub struct Tap {
    config: Config,
    interface: String,
    why: String,
    live: Option<Live>,
    state: TapState,
    losses: u64,
    /// What earlier openings counted.
    past: SourceCounters,
    since_attempt: Stopwatch,
}

/// Whether a tap delivers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TapState {
    /// Open.
    Running,
    /// Lost; it is opened again as soon as it is back. With the reason.
    Waiting(String),
    /// Closed until [`Tap::start`].
    Stopped,
}

impl Tap {
    /// Opens the interface that is configured, or chooses one. One that exists but is down is waited for.
    ///
    /// # Errors
    /// [`CaptureError`] when waiting would not help: the interface does not exist, a right is missing, the filter is
    /// bad, or there is none to choose.
    pub fn open(config: Config) -> Result<Self, CaptureError> {
        let (interface, why) = match &config.interface {
            Some(name) => (name.clone(), "configured".to_owned()),
            None => {
                let known = interfaces()?;
                let (chosen, why) = choose(&known).ok_or(CaptureError::NoInterface)?;
                (chosen.name.clone(), format!("chosen: {why}"))
            }
        };
        let (live, state) = match Live::open(&config, &interface) {
            Ok(live) => (Some(live), TapState::Running),
            Err(error @ CaptureError::InterfaceDown { .. }) => {
                check_filter(&config.filter)?;
                (None, TapState::Waiting(error.to_string()))
            }
            Err(error) => return Err(error),
        };
        Ok(Self {
            config,
            interface,
            why,
            live,
            state,
            losses: 0,
            past: SourceCounters::default(),
            since_attempt: Stopwatch::start(),
        })
    }

    /// The name of the interface.
    #[must_use]
    pub fn interface(&self) -> &str {
        &self.interface
    }

    /// Why it is this interface: `configured`, or `chosen` with the reason.
    #[must_use]
    pub fn why(&self) -> &str {
        &self.why
    }

    /// What it was opened with.
    #[must_use]
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// Whether it delivers.
    #[must_use]
    pub const fn state(&self) -> &TapState {
        &self.state
    }

    /// Times the interface was lost.
    #[must_use]
    pub const fn losses(&self) -> u64 {
        self.losses
    }

    /// Closes the interface, whose ring the kernel frees. What waits in the ring is not read any more.
    pub fn stop(&mut self) {
        self.close();
        self.state = TapState::Stopped;
    }

    /// Opens a stopped tap again. An interface that cannot be opened for now is waited for.
    ///
    /// # Errors
    /// [`CaptureError`] when a right is missing or the filter is bad: it stays stopped.
    pub fn start(&mut self) -> Result<(), CaptureError> {
        if self.state != TapState::Stopped {
            return Ok(());
        }
        match Live::open(&self.config, &self.interface) {
            Ok(live) => {
                self.live = Some(live);
                self.state = TapState::Running;
            }
            Err(error @ (CaptureError::NoPermission { .. } | CaptureError::BadFilter { .. })) => {
                return Err(error);
            }
            Err(error) => {
                self.since_attempt = Stopwatch::start();
                self.state = TapState::Waiting(one_line(&error));
            }
        }
        Ok(())
    }

    /// Goes on with other settings, which are opened before the ones in use are closed. Counters go on; a stopped tap
    /// stays stopped.
    ///
    /// # Errors
    /// As for [`Self::open`]: the settings in use stay.
    pub fn reopen(&mut self, config: Config) -> Result<(), CaptureError> {
        let mut fresh = Self::open(config)?;
        fresh.past = self.counters();
        fresh.losses = self.losses;
        if self.state == TapState::Stopped {
            // These counted nothing that is to be told of.
            fresh.live = None;
            fresh.state = TapState::Stopped;
        }
        *self = fresh;
        Ok(())
    }

    fn close(&mut self) {
        if let Some(mut live) = self.live.take() {
            self.past = self.past + live.counters();
        }
    }

    /// Closes, waits a little or opens again, whichever is due, but only one of them: closing and opening may take the
    /// kernel a tenth of a second each. The wait ends early when the thread is unparked.
    fn recover(&mut self) {
        if self.live.is_some() {
            self.close();
            self.since_attempt = Stopwatch::start();
            return;
        }
        if self.since_attempt.elapsed() < RETRY {
            thread::park_timeout(Config::PATIENCE.to_std());
            return;
        }
        self.since_attempt = Stopwatch::start();
        match Live::open(&self.config, &self.interface) {
            Ok(live) => {
                self.live = Some(live);
                self.state = TapState::Running;
            }
            Err(error) => self.state = TapState::Waiting(one_line(&error)),
        }
    }
}

impl Source for Tap {
    fn next(&mut self) -> Result<Next<'_>, CaptureError> {
        match self.state {
            TapState::Running => {}
            TapState::Waiting(_) => {
                self.recover();
                return Ok(Next::Idle(horizon()));
            }
            TapState::Stopped => {
                thread::park_timeout(Config::PATIENCE.to_std());
                return Ok(Next::Idle(horizon()));
            }
        }
        let next = match &mut self.live {
            Some(live) => live.next(),
            None => Ok(Next::Idle(horizon())),
        };
        next.or_else(|error| {
            self.losses += 1;
            self.state = TapState::Waiting(one_line(&error));
            Ok(Next::Idle(horizon()))
        })
    }

    /// Totals over all openings. Asks the kernel, so call it about once a second and not for each frame.
    fn counters(&mut self) -> SourceCounters {
        match &mut self.live {
            Some(live) => self.past + live.counters(),
            None => self.past,
        }
    }
}
