//! [`Server`]: construction, the thread that keeps tiny_http and its workers alive, and the stop.
//!
//! tiny_http listens on a Unix socket that only this process can reach; strangers meet the gate.

use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use super::door::Door;
use super::gate::{self, Gate, Limits};
use super::reply::Reply;
use super::router::Router;
use super::seats::Seats;
use super::stream::Streams;
use super::{Config, TokenHash};
use crate::control::{
    AlertArchive, AlertFeed, Board, CaptureDesk, CommandQueue, EvidenceArchive, HttpStatus, SettingsDesk,
};
use crate::sys::is_out_of_descriptors;
use crate::time::{Span, Timestamp};

/// What the server shows and asks.
#[derive(Clone)]
pub struct Parts {
    /// The state of the daemon; the server publishes its own part there.
    pub board: Arc<Board>,
    /// The kept alerts.
    pub archive: Arc<dyn AlertArchive>,
    /// Tells alerts as they are kept.
    pub feed: Arc<AlertFeed>,
    /// Where commands go.
    pub commands: CommandQueue,
    /// Capture files of alerts.
    pub evidence: Arc<dyn EvidenceArchive>,
    /// Captures on demand.
    pub captures: Arc<dyn CaptureDesk>,
    /// The settings.
    pub settings: Arc<dyn SettingsDesk>,
    /// The admin token's hash.
    pub token: TokenHash,
    /// Who answers.
    pub about: About,
}

/// Who answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct About {
    /// Name of the tap.
    pub tap: String,
    /// Version of the daemon.
    pub version: &'static str,
    /// When the daemon started, on the wall clock.
    pub started: Timestamp,
}

/// Why the server did not start.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The port is taken.
    #[error("cannot listen on {address}: another program uses this port; choose another in http.listen")]
    Busy {
        /// The address.
        address: SocketAddr,
        /// The system's error.
        source: std::io::Error,
    },
    /// The port is not ours to take.
    #[error(
        "cannot listen on {address}: no permission; ports below 1024 need CAP_NET_BIND_SERVICE, or choose another \
         in http.listen"
    )]
    Denied {
        /// The address.
        address: SocketAddr,
        /// The system's error.
        source: std::io::Error,
    },
    /// No interface has the address.
    #[error("cannot listen on {address}: no interface has this address; choose another in http.listen")]
    NoSuchAddress {
        /// The address.
        address: SocketAddr,
        /// The system's error.
        source: std::io::Error,
    },
    /// Another failure on the address.
    #[error("cannot listen on {address}: check http.listen")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The system's error.
        source: std::io::Error,
    },
    /// The private socket could not be made.
    #[error(
        "cannot make a private socket in {path}: set TMPDIR to a directory that can be written, and have /proc mounted"
    )]
    Socket {
        /// The directory.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// A thread could not be started.
    #[error("cannot start a thread of the http server")]
    Thread(#[source] std::io::Error),
}

/// The running server. Dropped without [`Server::stop`] it ends by itself, unwaited for.
pub struct Server {
    address: SocketAddr,
    router: Arc<Router>,
    stop: Arc<AtomicBool>,
    events: SyncSender<Event>,
    #[cfg(test)]
    gate: Arc<Gate>,
    /// Disconnected once every thread has ended: each holds a sender, and none sends.
    finished: Receiver<()>,
}

/// What the keeping thread is told.
#[derive(Debug)]
pub(super) enum Event {
    /// tiny_http no longer accepts.
    SocketDead,
    /// End.
    Stop,
}

/// Counted since start, but for those who are busy now.
#[derive(Debug, Default)]
pub(super) struct Counters {
    /// Workers that have a request, or whose answer is being taken.
    pub(super) busy: AtomicUsize,
    pub(super) requests: AtomicU64,
    pub(super) unauthorised: AtomicU64,
    pub(super) restarts: AtomicU64,
    pub(super) refused: AtomicU64,
    pub(super) streams_dropped: AtomicU64,
}

impl Server {
    /// Threads that answer requests.
    pub(super) const WORKERS: usize = 3;

    /// Binds the address, publishes the first [`HttpStatus`] and serves until stopped.
    ///
    /// # Errors
    /// When the address cannot be listened on, or no private socket can be made.
    pub fn start(config: &Config, parts: Parts) -> Result<Self, HttpError> {
        Self::start_within(config, parts, Limits::default().within_descriptors())
    }

    pub(super) fn start_within(config: &Config, parts: Parts, limits: Limits) -> Result<Self, HttpError> {
        let listener = gate::bind(config.listen)?;
        let address =
            listener.local_addr().map_err(|source| HttpError::Listen { address: config.listen, source })?;
        let counters = Arc::new(Counters::default());
        // 8: each event says "look"; one that finds the queue full is said already.
        let (events, inbox) = sync_channel(8);
        let (seat, finished) = sync_channel(1);
        let stop = Arc::new(AtomicBool::new(false));
        let (board, feed) = (Arc::clone(&parts.board), Arc::clone(&parts.feed));
        let router = Arc::new(Router::new(config, parts, Arc::clone(&counters), Arc::clone(&stop)));
        let service = Service::open(&router, &events, &stop)?;
        let gate = Arc::new(Gate {
            limits,
            door: Mutex::new(Arc::clone(&service.door)),
            counters: Arc::clone(&counters),
            stop: Arc::clone(&stop),
            events: events.clone(),
            seats: Arc::new(Seats::new(limits.connections, counters)),
            streams: Streams::new(limits.stream, feed, Arc::clone(&router), Arc::clone(&stop)),
        });
        let keeper = Keeper {
            address,
            board,
            events: events.clone(),
            gate: Arc::clone(&gate),
            router: Arc::clone(&router),
            service: Some(service),
            stop: Arc::clone(&stop),
        };
        keeper.publish();
        // From here on a failure drops the server, which stops what has been started.
        let server = Self {
            address,
            router,
            stop,
            events,
            #[cfg(test)]
            gate: Arc::clone(&gate),
            finished,
        };
        let done = seat.clone();
        spawn("http", move || {
            keeper.run(&inbox);
            drop(done);
        })?;
        spawn("http-accept", move || gate::run(&gate, &listener, &seat))?;
        Ok(server)
    }

    /// The address that it listens on, with the port that a port of 0 became.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Replaces [`Config::allowed_hosts`] from the next request on.
    pub fn allow_hosts(&self, hosts: &[String]) {
        self.router.allow_hosts(hosts);
    }

    /// Takes no more requests, finishes those in hand and ends all threads; after `deadline` it no longer waits.
    pub fn stop(self, deadline: Span) {
        self.end_within(deadline);
    }

    pub(super) fn end_within(&self, deadline: Span) {
        self.tell_stop();
        if self.finished.recv_timeout(deadline.to_std()) == Err(RecvTimeoutError::Timeout) {
            tracing::warn!(%deadline, "the http server did not end in time");
        }
    }

    fn tell_stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
        // With a full queue the keeper is awake and looks at the flag.
        drop(self.events.try_send(Event::Stop));
    }

    /// Where strangers are met.
    #[cfg(test)]
    pub(super) fn gate(&self) -> &Gate {
        &self.gate
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.tell_stop();
    }
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("address", &self.address).finish_non_exhaustive()
    }
}

/// Keeps a [`Service`] running and publishes [`HttpStatus`].
struct Keeper {
    address: SocketAddr,
    board: Arc<Board>,
    events: SyncSender<Event>,
    gate: Arc<Gate>,
    router: Arc<Router>,
    /// None between a death and the next try to start anew.
    service: Option<Service>,
    stop: Arc<AtomicBool>,
}

impl Keeper {
    /// Time between two looks at the socket and two publications.
    const BEAT: Span = Span::from_secs(1);

    fn run(mut self, inbox: &Receiver<Event>) {
        while !self.stop.load(Ordering::Relaxed) {
            match inbox.recv_timeout(Self::BEAT.to_std()) {
                Ok(Event::Stop) | Err(RecvTimeoutError::Disconnected) => break,
                // An old message may outlive a restart, so the socket itself is asked.
                Ok(Event::SocketDead) | Err(RecvTimeoutError::Timeout) => self.look_after(),
            }
            self.router.observe();
            self.publish();
        }
        if let Some(service) = self.service.take() {
            service.close();
        }
    }

    fn look_after(&mut self) {
        match gate::knock_once(&self.gate.door()) {
            Ok(_) if self.service.is_some() => return,
            // This says nothing of tiny_http, and without descriptors there would be no other one.
            Err(error) if self.service.is_some() && is_out_of_descriptors(&error) => return,
            _ => {}
        }
        if let Some(dead) = self.service.take() {
            dead.close();
            self.router.counters().restarts.fetch_add(1, Ordering::Relaxed);
        }
        match Service::open(&self.router, &self.events, &self.stop) {
            Ok(service) => {
                self.gate.set_door(Arc::clone(&service.door));
                self.service = Some(service);
            }
            // Tried again at the next beat.
            Err(error) => tracing::warn!(%error, "the http server could not be restarted yet"),
        }
    }

    fn publish(&self) {
        let (counters, streams) = (self.router.counters(), &self.gate.streams);
        self.board.http.publish(HttpStatus {
            address: self.address.to_string(),
            requests: counters.requests.load(Ordering::Relaxed),
            refused: counters.refused.load(Ordering::Relaxed),
            unauthorised: counters.unauthorised.load(Ordering::Relaxed),
            restarts: counters.restarts.load(Ordering::Relaxed),
            streams: u64::try_from(streams.open()).unwrap_or(u64::MAX),
            streams_dropped: counters.streams_dropped.load(Ordering::Relaxed),
            stream_alerts_lost: streams.lost(),
        });
    }
}

/// tiny_http with its workers.
struct Service {
    door: Arc<Door>,
    http: Arc<tiny_http::Server>,
    workers: Vec<JoinHandle<()>>,
}

impl Service {
    fn open(
        router: &Arc<Router>,
        events: &SyncSender<Event>,
        stop: &Arc<AtomicBool>,
    ) -> Result<Self, HttpError> {
        let (listener, door) = Door::make()?;
        let http = tiny_http::Server::from_listener(listener, None).map_err(|error| HttpError::Socket {
            path: PathBuf::from("/proc/self/fd"),
            source: std::io::Error::other(error),
        })?;
        let workers = Vec::with_capacity(Server::WORKERS);
        let mut service = Self { door: Arc::new(door), http: Arc::new(http), workers };
        for _ in 0..Server::WORKERS {
            let (http, router) = (Arc::clone(&service.http), Arc::clone(router));
            let (events, stop) = (events.clone(), Arc::clone(stop));
            let work = move || {
                work(&http, &router);
                if !stop.load(Ordering::Relaxed) {
                    drop(events.try_send(Event::SocketDead));
                }
            };
            match spawn("http-worker", work) {
                Ok(worker) => service.workers.push(worker),
                Err(error) => {
                    service.close();
                    return Err(error);
                }
            }
        }
        Ok(service)
    }

    /// Wakes and joins the workers; tiny_http ends when the last hold on it is dropped and its listener is woken. It
    /// would wake that itself, but knows the socket only by a name that is gone.
    fn close(self) {
        for _ in &self.workers {
            // Each call wakes one worker.
            self.http.unblock();
        }
        for worker in self.workers {
            // A panic that got out of a worker was its last.
            drop(worker.join());
        }
        drop(self.http);
        // One that died does not answer.
        drop(self.door.open());
    }
}

/// Answers until tiny_http says that it is over.
fn work(http: &tiny_http::Server, router: &Router) {
    while let Ok(mut request) = http.recv() {
        let counters = router.counters();
        counters.busy.fetch_add(1, Ordering::Relaxed);
        let routed = catch_unwind(AssertUnwindSafe(|| router.answer(&mut request)));
        let reply = routed.unwrap_or_else(|_| {
            counters.restarts.fetch_add(1, Ordering::Relaxed);
            Reply::problem(500, "the request could not be answered; the daemon goes on")
        });
        counters.requests.fetch_add(1, Ordering::Relaxed);
        // The client may have gone; a panic of the library ends this request and not the worker.
        drop(catch_unwind(AssertUnwindSafe(|| reply.send(request))));
        counters.busy.fetch_sub(1, Ordering::Relaxed);
    }
}

fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, HttpError> {
    thread::Builder::new().name(name.to_owned()).spawn(body).map_err(HttpError::Thread)
}
