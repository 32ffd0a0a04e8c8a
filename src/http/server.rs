//! [`Server`]: construction, the thread that keeps tiny_http and its workers alive, and the stop.
//!
//! tiny_http listens on a Unix socket in a directory that only this process may enter; strangers meet the gate.

use std::fs::DirBuilder;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use super::gate::{self, Gate, Limits};
use super::reply::Reply;
use super::router::Router;
use super::{Config, TokenHash};
use crate::control::{AlertArchive, Board, CommandQueue, HttpStatus};
use crate::time::{Span, Timestamp};

/// What the server shows and asks.
#[derive(Clone)]
pub struct Parts {
    /// The state of the daemon; the server publishes its own part there.
    pub board: Arc<Board>,
    /// The kept alerts.
    pub archive: Arc<dyn AlertArchive>,
    /// Where commands go.
    pub commands: CommandQueue,
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
    #[error("cannot make a private socket in {path}: set TMPDIR to a directory that can be written")]
    Socket {
        /// The directory or socket.
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
    socket: PathBuf,
    router: Arc<Router>,
    stop: Arc<AtomicBool>,
    events: SyncSender<Event>,
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

/// Counted since start.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) requests: AtomicU64,
    pub(super) unauthorised: AtomicU64,
    pub(super) restarts: AtomicU64,
    pub(super) refused: AtomicU64,
}

impl Server {
    /// Threads that answer requests.
    const WORKERS: usize = 3;

    /// Binds the address, publishes the first [`HttpStatus`] and serves until stopped.
    ///
    /// # Errors
    /// When the address cannot be listened on, or no private socket can be made.
    pub fn start(config: &Config, parts: Parts) -> Result<Self, HttpError> {
        Self::start_within(config, parts, Limits::default())
    }

    pub(super) fn start_within(config: &Config, parts: Parts, limits: Limits) -> Result<Self, HttpError> {
        let listener = gate::bind(config.listen)?;
        let address =
            listener.local_addr().map_err(|source| HttpError::Listen { address: config.listen, source })?;
        let directory = private_directory()?;
        let socket = directory.join("http.sock");
        let counters = Arc::new(Counters::default());
        // 8: each event says "look"; one that finds the queue full is said already.
        let (events, inbox) = sync_channel(8);
        let (seat, finished) = sync_channel(1);
        let stop = Arc::new(AtomicBool::new(false));
        let gate = Arc::new(Gate {
            limits,
            socket: socket.clone(),
            counters: Arc::clone(&counters),
            stop: Arc::clone(&stop),
            events: events.clone(),
            open: AtomicUsize::new(0),
        });
        let board = Arc::clone(&parts.board);
        let router = Arc::new(Router::new(config, parts, Arc::clone(&counters)));
        let service = Service::open(&socket, &router, &events, &stop)
            .inspect_err(|_| drop(std::fs::remove_dir(&directory)))?;
        let keeper = Keeper {
            address,
            board,
            directory,
            events: events.clone(),
            router: Arc::clone(&router),
            service: Some(service),
            socket: socket.clone(),
            stop: Arc::clone(&stop),
        };
        keeper.publish();
        // From here on a failure drops the server, which stops what has been started.
        let server = Self { address, socket, router, stop, events, finished };
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

    /// Where tiny_http listens.
    #[cfg(test)]
    pub(super) fn socket(&self) -> &Path {
        &self.socket
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.tell_stop();
    }
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("address", &self.address).field("socket", &self.socket).finish()
    }
}

/// Keeps a [`Service`] running and publishes [`HttpStatus`].
struct Keeper {
    address: SocketAddr,
    board: Arc<Board>,
    directory: PathBuf,
    events: SyncSender<Event>,
    router: Arc<Router>,
    /// None between a death and the next try to start anew.
    service: Option<Service>,
    socket: PathBuf,
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
        drop(std::fs::remove_dir(&self.directory));
    }

    fn look_after(&mut self) {
        if self.service.is_some() && UnixStream::connect(&self.socket).is_ok() {
            return;
        }
        if let Some(dead) = self.service.take() {
            dead.close();
            self.router.counters().restarts.fetch_add(1, Ordering::Relaxed);
        }
        match Service::open(&self.socket, &self.router, &self.events, &self.stop) {
            Ok(service) => self.service = Some(service),
            // Tried again at the next beat.
            Err(error) => tracing::warn!(%error, "the http server could not be restarted yet"),
        }
    }

    fn publish(&self) {
        let counters = self.router.counters();
        self.board.http.publish(HttpStatus {
            address: self.address.to_string(),
            requests: counters.requests.load(Ordering::Relaxed),
            refused: counters.refused.load(Ordering::Relaxed),
            unauthorised: counters.unauthorised.load(Ordering::Relaxed),
            restarts: counters.restarts.load(Ordering::Relaxed),
        });
    }
}

/// tiny_http with its workers.
struct Service {
    http: Arc<tiny_http::Server>,
    workers: Vec<JoinHandle<()>>,
}

impl Service {
    fn open(
        socket: &Path,
        router: &Arc<Router>,
        events: &SyncSender<Event>,
        stop: &Arc<AtomicBool>,
    ) -> Result<Self, HttpError> {
        let failed = |source| HttpError::Socket { path: socket.to_owned(), source };
        // What a predecessor left; missing is as good.
        drop(std::fs::remove_file(socket));
        let listener = UnixListener::bind(socket).map_err(failed)?;
        let http = tiny_http::Server::from_listener(listener, None)
            .map_err(|error| failed(std::io::Error::other(error)))?;
        let mut service = Self { http: Arc::new(http), workers: Vec::with_capacity(Server::WORKERS) };
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

    /// Wakes and joins the workers; tiny_http ends when the last hold on it is dropped.
    fn close(self) {
        for _ in &self.workers {
            // Each call wakes one worker.
            self.http.unblock();
        }
        for worker in self.workers {
            // A panic that got out of a worker was its last.
            drop(worker.join());
        }
    }
}

/// Answers until tiny_http says that it is over.
fn work(http: &tiny_http::Server, router: &Router) {
    while let Ok(mut request) = http.recv() {
        let counters = router.counters();
        let routed = catch_unwind(AssertUnwindSafe(|| router.answer(&mut request)));
        let reply = routed.unwrap_or_else(|_| {
            counters.restarts.fetch_add(1, Ordering::Relaxed);
            Reply::problem(500, "the request could not be answered; the daemon goes on")
        });
        counters.requests.fetch_add(1, Ordering::Relaxed);
        // The client may have gone; a panic of the library ends this request and not the worker.
        drop(catch_unwind(AssertUnwindSafe(|| request.respond(reply.into_response()))));
    }
}

fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, HttpError> {
    thread::Builder::new().name(name.to_owned()).spawn(body).map_err(HttpError::Thread)
}

/// A fresh directory that only this user may enter.
fn private_directory() -> Result<PathBuf, HttpError> {
    let mut bits = [0_u8; 8];
    // systemd's runtime directory goes with the service; anywhere else a killed daemon leaves an empty directory.
    let runtime = std::env::var("RUNTIME_DIRECTORY").ok();
    let first = runtime.as_deref().and_then(|list| list.split(':').next()).filter(|path| !path.is_empty());
    let base = first.map_or_else(std::env::temp_dir, PathBuf::from);
    let failed = |path: PathBuf, source| HttpError::Socket { path, source };
    if let Err(error) = getrandom::fill(&mut bits) {
        return Err(failed(base, std::io::Error::other(error)));
    }
    let path = base.join(format!("tapguard-{:016x}", u64::from_le_bytes(bits)));
    match DirBuilder::new().mode(0o700).create(&path) {
        Ok(()) => Ok(path),
        Err(source) => Err(failed(path, source)),
    }
}
