//! The shell: the only place with sockets, threads and clocks.
//!
//! [`Server::bind`] opens every socket; [`BoundServer::run`] starts one thread per worker and itself only waits: for
//! signals, for the handle, for the deadlines of a stop.

mod accepting;
mod address_owner;
mod changes;
mod command;
mod connection_io;
#[cfg(feature = "defer-accept")]
mod defer_accept;
mod endpoints;
mod listener;
mod planning;
mod reload;
#[cfg(feature = "tls")]
mod renewal;
#[cfg(feature = "systemd")]
mod service;
mod settling;
mod shutdown;
#[cfg(feature = "signals")]
mod signals;
mod socket;
#[cfg(all(test, feature = "tls"))]
mod tests;
mod transport;
mod unix_listener;
mod worker;

pub use listener::{BoundAddress, listening_line};

use crate::connection::HandlerFactory;
use crate::endpoint::{BindError, ListenOptions, ServerOptions};
use crate::event::{Metrics, Watch};
use crate::handler::Handler;
use crate::places::Places;
use crate::tls::Tickets;
use endpoints::Endpoints;
use listener::{BoundEndpoint, bind_endpoint};
use reload::{Follower, Served};
use settling::Settling;
use shutdown::{Control, OnEvent, Stage};
use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};
use transport::Transport;
use worker::{Shared, Worker, WorkerParts};

/// What a server is asked to be: options and a handler for each of its workers.
///
/// ```no_run
/// use stannel::{Exchange, Request, Server, ServerOptions, StatusCode};
///
/// fn main() -> Result<(), Box<dyn std::error::Error>> {
///     let hello = |_: &Request<'_>, exchange: Exchange<'_>| exchange.respond(StatusCode::OK).send("Hello, World!");
///     let mut options = ServerOptions::default();
///     options.listen_localhost(5000);
///     let server = Server::new(options, move || hello).bind()?;
///     for line in server.addresses().iter().flat_map(|address| address.lines()) {
///         println!("{line}");
///     }
///     server.run()?;
///     Ok(())
/// }
/// ```
pub struct Server {
    options: ServerOptions,
    factory: HandlerFactory,
}

impl Server {
    /// A server with these options. `factory` is called on each worker's thread to make its handler, and again where
    /// a handler panicked.
    #[must_use]
    pub fn new<F, H>(options: ServerOptions, factory: F) -> Self
    where
        F: Fn() -> H + Send + Sync + 'static,
        H: Handler + 'static,
    {
        Self {
            options,
            factory: Arc::new(move || Box::new(factory())),
        }
    }

    /// Opens every socket. Without endpoints in the options that is `http://localhost:5000`.
    ///
    /// Several workers share a TCP port by SO_REUSEPORT, which is set only once the first of their sockets listens, so
    /// that another server on the port is still refused. A process of the same user that itself sets SO_REUSEPORT on
    /// its socket first can join the port all the same; the system offers no way to forbid that.
    ///
    /// Accepted sockets inherit TCP_NODELAY from the listening ones, and, while there is a `response_stall_timeout`,
    /// TCP_USER_TIMEOUT and TCP_NOTSENT_LOWAT, which bound what the kernel keeps for a client that does not read.
    ///
    /// # Errors
    /// When limits or configuration do not fit together or an address cannot be bound; everything bound before is closed
    /// again.
    pub fn bind(self) -> Result<BoundServer, BindError> {
        let Self { mut options, factory } = self;
        options.limits.validate().map_err(BindError::Limits)?;
        let workers = options
            .workers
            .or_else(|| std::thread::available_parallelism().ok())
            .map_or(1, |count| count.get());
        options.load().map_err(BindError::Configuration)?;
        let plan = options.plan().map_err(BindError::Configuration)?;
        for note in plan.notes() {
            log::log!(target: "stannel", note.level(), "{}", note.text());
        }
        let endpoints = Arc::new(Endpoints::new(workers));
        if !endpoints.has_room(plan.endpoints().len()) {
            return Err(BindError::TooManyEndpoints);
        }
        let tickets = Tickets::default();
        let bound: Vec<BoundEndpoint> = plan
            .endpoints()
            .iter()
            .map(|endpoint| bind_endpoint(endpoint, workers, &options, Transport::of(endpoint, &tickets)?))
            .collect::<Result<_, _>>()?;
        let mut parts: Vec<WorkerParts> = (0..workers)
            .map(|_| WorkerParts::new())
            .collect::<io::Result<_>>()
            .map_err(BindError::EventLoop)?;
        let mut served = Vec::new();
        for (options, bound) in plan.endpoints().iter().zip(bound) {
            let (index, _) = endpoints.add(bound.address.clone());
            for (worker, listener) in bound.listeners {
                parts[worker]
                    .add_listener(index, listener, bound.transport.clone())
                    .map_err(BindError::EventLoop)?;
            }
            served.push(Served {
                index,
                options: options.clone(),
                address: bound.address,
                unix_path: bound.unix_path,
                #[cfg(feature = "tls")]
                tls: bound.transport.tls,
            });
        }
        let control = Control::new(&parts).map_err(BindError::EventLoop)?;
        #[cfg(feature = "signals")]
        let signals = if options.handle_signals {
            Some(signals::Signals::new(control.registry()).map_err(BindError::EventLoop)?)
        } else {
            None
        };
        let handle = ServerHandle {
            inner: Arc::new(HandleInner {
                stop: control.stopper(),
                endpoints: Arc::clone(&endpoints),
            }),
        };
        let read = options.followed_configuration();
        let read = read.map(|configuration| configuration.read_fingerprint().clone());
        #[cfg_attr(not(feature = "tls"), expect(unused_mut, reason = "there are no files to follow"))]
        let mut follower = Follower {
            served,
            tickets,
            workers: parts.iter().map(WorkerParts::commands).collect(),
            watch: Watch::new(options.observer.clone()),
            follows_changes: plan.follows_changes(),
            settling: Settling::new(read.unwrap_or_default()),
            #[cfg(feature = "tls")]
            files: Vec::new(),
            options,
            endpoints,
        };
        #[cfg(feature = "tls")]
        follower.follow_files(plan.read());
        Ok(BoundServer {
            factory,
            addresses: follower.endpoints.addresses(),
            control,
            #[cfg(feature = "signals")]
            signals,
            handle,
            follower,
            parts,
        })
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

/// A server whose sockets are open and wait for [`run`](Self::run).
///
/// Connections that come before `run` wait in the kernel's queue (512 of them for each socket) and are served then.
///
/// ```
/// # use stannel::{Exchange, Request, Server, ServerOptions, StatusCode};
/// # let hello = |_: &Request<'_>, exchange: Exchange<'_>| exchange.respond(StatusCode::OK).send("hello");
/// let mut options = ServerOptions::default();
/// options.listen_localhost(0);
/// let server = Server::new(options, move || hello).bind().unwrap();
/// let handle = server.handle();
/// let running = std::thread::spawn(move || server.run());
/// handle.shutdown();
/// running.join().unwrap().unwrap();
/// ```
pub struct BoundServer {
    factory: HandlerFactory,
    addresses: Vec<BoundAddress>,
    parts: Vec<WorkerParts>,
    control: Control,
    #[cfg(feature = "signals")]
    signals: Option<signals::Signals>,
    handle: ServerHandle,
    follower: Follower,
}

impl BoundServer {
    /// What it listens on, one entry per endpoint, with the real port where 0 was asked for.
    #[must_use]
    pub fn addresses(&self) -> &[BoundAddress] {
        &self.addresses
    }

    /// The options of what it listens on, in the order of [`addresses`](Self::addresses).
    ///
    /// ```
    /// # use stannel::{EndpointSource, Exchange, Request, Server, ServerOptions, StatusCode};
    /// # let hello = |_: &Request<'_>, exchange: Exchange<'_>| exchange.respond(StatusCode::OK).send("hello");
    /// let mut options = ServerOptions::default();
    /// options.use_urls(["http://127.0.0.1:0"]);
    /// let server = Server::new(options, move || hello).bind().unwrap();
    /// let endpoint = server.endpoints().next().unwrap();
    /// assert!(endpoint.https().is_none() && matches!(endpoint.source(), EndpointSource::Urls { .. }));
    /// ```
    pub fn endpoints(&self) -> impl ExactSizeIterator<Item = &ListenOptions> {
        self.follower.served.iter().map(|served| &served.options)
    }

    /// Stops and watches the server from any thread.
    #[must_use]
    pub fn handle(&self) -> ServerHandle {
        self.handle.clone()
    }

    /// Serves until it is stopped. With `handle_signals` SIGTERM and SIGINT stop it too.
    ///
    /// A stop closes the listening sockets, lets running exchanges end for at most `shutdown_timeout`, then resets
    /// what is left. Handlers that still block a second later are left behind on their threads.
    ///
    /// # Errors
    /// When the threads cannot be started, or a worker ended by a fault of ours.
    pub fn run(mut self) -> Result<(), ServerError> {
        let options = self.follower.options.clone();
        let limits = &options.limits;
        let shared = Arc::new(Shared {
            factory: self.factory,
            connections: Places::new(limits.max_concurrent_connections),
            upgraded: Places::new(limits.max_concurrent_upgraded_connections),
            next_id: AtomicU64::new(first_connection_id()),
            stage: self.control.stage(),
            options: options.clone(),
        });
        let mut threads: Vec<JoinHandle<()>> = Vec::new();
        let mut result = Ok(());
        for (index, parts) in self.parts.drain(..).enumerate() {
            let shared = Arc::clone(&shared);
            let counters = self.follower.endpoints.counters_of(index);
            let done = self.control.worker_guard();
            let name = format!("stannel-{index}");
            let spawned = std::thread::Builder::new().name(name).spawn(move || {
                // Dropped however the thread ends.
                let _done = done;
                Worker::new(parts, &shared, counters).run();
            });
            match spawned {
                Ok(thread) => threads.push(thread),
                Err(error) => {
                    result = Err(ServerError::Thread(error));
                    self.control.stop();
                    break;
                }
            }
        }
        let started = threads.len();
        #[cfg(feature = "signals")]
        let mut signals = self.signals.take();
        let all_ended = self.control.wait(
            started,
            limits,
            #[cfg(feature = "signals")]
            || signals.as_mut().map(signals::Signals::come).unwrap_or_default(),
            #[cfg(not(feature = "signals"))]
            shutdown::Asked::default,
            &mut Watching::new(self.follower),
        );
        for thread in threads {
            // Whoever still blocks in a handler is left behind. A thread says that it has ended a moment before it has.
            if (all_ended || thread.is_finished()) && thread.join().is_err() {
                result = Err(ServerError::WorkerPanicked);
            }
        }
        result
    }
}

/// What the thread does that waits for the end.
struct Watching {
    follower: Follower,
    #[cfg(feature = "systemd")]
    service: Option<service::Service>,
}

impl Watching {
    fn new(follower: Follower) -> Self {
        #[cfg(feature = "systemd")]
        let service = follower
            .options
            .notify_systemd
            .then(|| service::Service::new(&follower.workers));
        #[cfg(feature = "systemd")]
        if let Some(service) = &service {
            service.ready();
        }
        Self {
            follower,
            #[cfg(feature = "systemd")]
            service,
        }
    }
}

impl OnEvent for Watching {
    fn on_stage(&mut self, stage: Stage) {
        #[cfg(feature = "systemd")]
        if let Some(service) = &self.service {
            service.stopping();
        }
        if stage >= Stage::Draining {
            // The files of Unix sockets go before the listening sockets: whoever has connected is served, and no successor
            // takes the file for a stale one.
            self.follower.served.clear();
        }
    }

    fn tick(&mut self, is_asked: bool) -> Option<Duration> {
        #[cfg(feature = "systemd")]
        if let (true, Some(service)) = (is_asked, &self.service) {
            service.reloading();
        }
        let follow = self.follower.tick(is_asked);
        #[cfg(feature = "systemd")]
        if let Some(service) = &mut self.service {
            if is_asked {
                service.ready();
            }
            return [follow, service.tick(&self.follower.workers)]
                .into_iter()
                .flatten()
                .min();
        }
        follow
    }
}

impl fmt::Debug for BoundServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BoundServer")
            .field("addresses", &self.addresses)
            .finish_non_exhaustive()
    }
}

/// Kestrel's seed: the count of 100 ns intervals since 0001-01-01, so that ids sort by time across restarts.
fn first_connection_id() -> u64 {
    const UNIX_EPOCH_TICKS: u64 = 621_355_968_000_000_000;
    let since_epoch = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or(Duration::ZERO);
    let ticks = since_epoch.as_nanos() / 100;
    u64::try_from(ticks).unwrap_or(u64::MAX).wrapping_add(UNIX_EPOCH_TICKS)
}

/// Stops and watches a server from any thread.
///
/// ```no_run
/// # use stannel::{Exchange, Request, Server, ServerOptions, StatusCode};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let hello = |_: &Request<'_>, exchange: Exchange<'_>| exchange.respond(StatusCode::OK).send("hello");
/// let server = Server::new(ServerOptions::default(), move || hello).bind()?;
/// let handle = server.handle();
/// std::thread::spawn(move || {
///     std::thread::park();
///     println!("{} requests so far", handle.metrics().total().requests);
///     handle.shutdown();
/// });
/// server.run()?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct ServerHandle {
    inner: Arc<HandleInner>,
}

struct HandleInner {
    stop: shutdown::Stopper,
    endpoints: Arc<Endpoints>,
}

impl ServerHandle {
    /// Begins a graceful stop and returns at once; [`BoundServer::run`] returns when it is over. A second call ends
    /// the lame-duck time. Called before `run`, it lets that return at once.
    pub fn shutdown(&self) {
        self.inner.stop.stop();
    }

    /// Reads the configuration anew, as SIGHUP does, and returns at once;
    /// [`Observer::reloaded`](crate::Observer::reloaded) hears what came of it. A server that stops, or has neither
    /// configuration nor HTTPS, does nothing.
    ///
    /// Endpoints of the section `Kestrel:Endpoints` that are not changed keep their sockets and connections. Those that are
    /// gone or changed accept no more, close what is idle and let the rest end for five seconds; a changed one on the same
    /// address keeps its socket. Certificates, from files and stores, are loaded anew for all endpoints, and shown from the
    /// next handshake on; one that cannot be loaded any more stays as it is. Limits count for new connections. A configuration that cannot be understood changes
    /// nothing.
    pub fn reload(&self) {
        self.inner.stop.reload();
    }

    /// What is listened on now.
    #[must_use]
    pub fn addresses(&self) -> Vec<BoundAddress> {
        self.inner.endpoints.addresses()
    }

    /// The counters as they are now. Those of an endpoint that is gone are there until its last connection is.
    #[must_use]
    pub fn metrics(&self) -> Metrics {
        self.inner.endpoints.metrics()
    }
}

impl fmt::Debug for ServerHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerHandle").finish_non_exhaustive()
    }
}

/// Why a server that was bound could not go on. The other workers are stopped gracefully before it is told.
#[derive(Debug)]
#[non_exhaustive]
pub enum ServerError {
    /// A worker's thread could not be started.
    Thread(io::Error),
    /// A worker ended by a panic outside the handler: a fault of ours.
    WorkerPanicked,
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Thread(error) => write!(f, "cannot start a worker thread: {error}; lower the number of workers"),
            Self::WorkerPanicked => {
                f.write_str("a worker panicked outside the handler; please report this with its backtrace")
            }
        }
    }
}

impl std::error::Error for ServerError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Thread(error) => Some(error),
            Self::WorkerPanicked => None,
        }
    }
}
