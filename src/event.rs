//! What happens, told to whoever wants to know: an observer's hooks, counters, log events.

use crate::handler::{ConnectionInfo, Request};
use crate::http1::Rejection;
use http::StatusCode;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Hooks that are called on the loops' threads as things happen; they must be quick and never block.
///
/// They see what the connection says: the peer is whoever opened it, and a request is as it came, before any handler. The
/// client behind a proxy is what [`ForwardedHeaders`](crate::middleware::ForwardedHeaders) makes of it, for the handler
/// inside alone ([`Request::client`](crate::Request::client)); a log of accesses that shall name it is a handler of its
/// own between the two.
///
/// All workers share one observer, so what it counts needs atomics or locks of its own. A hook that panics ends its
/// worker, and with it the server: unlike a handler's, its place is in the middle of the machine.
///
/// ```
/// use stannel::{ConnectionInfo, Observer, Rejection, ServerOptions};
/// use std::sync::Arc;
///
/// struct Refusals;
///
/// impl Observer for Refusals {
///     fn rejected(&self, connection: &ConnectionInfo, reason: Rejection, first_bytes: &[u8]) {
///         eprintln!("{}: {reason}: {}", connection.peer(), first_bytes.escape_ascii());
///     }
/// }
///
/// let mut options = ServerOptions::default();
/// options.observer = Some(Arc::new(Refusals));
/// ```
pub trait Observer: Send + Sync {
    /// A connection was accepted.
    fn accepted(&self, connection: &ConnectionInfo) {
        let _ = connection;
    }

    /// The handler is about to see a request. Not called for requests that are refused before.
    fn request(&self, request: &Request<'_>) {
        let _ = request;
    }

    /// A response is complete, or cut off; `number` counts the requests of the connection from 1 on.
    fn response(&self, connection: &ConnectionInfo, number: u32, status: StatusCode) {
        let _ = (connection, number, status);
    }

    /// A request was refused. `first_bytes` are at most 128 bytes of what was not consumed yet: peer's bytes, to be
    /// escaped before they are shown.
    fn rejected(&self, connection: &ConnectionInfo, reason: Rejection, first_bytes: &[u8]) {
        let _ = (connection, reason, first_bytes);
    }

    /// The configuration was read anew, or files of certificates that had changed. Called on the thread that waits in [`BoundServer::run`](crate::BoundServer::run).
    fn reloaded(&self, outcome: &ReloadOutcome) {
        let _ = outcome;
    }

    /// A connection ended.
    fn closed(&self, connection: &ConnectionInfo, reason: CloseReason) {
        let _ = (connection, reason);
    }
}

/// What came of reading the configuration, or changed files of certificates, anew. Addresses are those that were reported.
///
/// ```
/// use stannel::{Observer, ReloadOutcome};
///
/// struct Tell;
///
/// impl Observer for Tell {
///     fn reloaded(&self, outcome: &ReloadOutcome) {
///         println!("stopped {:?}, started {:?}", outcome.stopped, outcome.started);
///     }
/// }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReloadOutcome {
    /// Endpoints that are not served any more, or only with new options.
    pub stopped: Vec<String>,
    /// Endpoints that are new, or have new options.
    pub started: Vec<String>,
    /// Endpoints that could not be bound; they are tried again when they are changed.
    pub failed: Vec<String>,
    /// Endpoints that show new certificates, or have new roots for those of their clients, from the next handshake on; their
    /// sockets and connections stay.
    pub renewed: Vec<String>,
    /// Why nothing was changed.
    pub error: Option<String>,
}

impl ReloadOutcome {
    pub(crate) fn refused(error: String) -> Self {
        Self {
            error: Some(error),
            ..Self::default()
        }
    }
}

/// The observer, if there is one. Its panics are logged and change nothing: it only looks on.
#[derive(Clone, Default)]
pub(crate) struct Watch {
    observer: Option<Arc<dyn Observer>>,
}

impl Watch {
    pub(crate) fn new(observer: Option<Arc<dyn Observer>>) -> Self {
        Self { observer }
    }

    #[inline]
    pub(crate) fn tell(&self, what: impl FnOnce(&dyn Observer)) {
        if let Some(observer) = &self.observer
            && catch_unwind(AssertUnwindSafe(|| what(observer.as_ref()))).is_err()
        {
            log::error!(target: "stannel", "the observer panicked");
        }
    }
}

macro_rules! close_reasons {
    ($($(#[doc = $doc:literal])+ $name:ident = $error_type:expr;)+) => {
        /// Why a connection ended. The first reason counts, except that an error replaces an orderly end, and the abort
        /// at the end of a stop replaces everything.
        ///
        /// ```
        /// use stannel::{CloseReason, Rejection};
        ///
        /// assert_eq!(CloseReason::Finished.error_type(), None);
        /// assert_eq!(CloseReason::Rejected(Rejection::TooManyHeaders).error_type(), Some("max_request_header_count_exceeded"));
        /// ```
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum CloseReason {
            $($(#[doc = $doc])+ $name,)+
            /// A request was refused.
            Rejected(Rejection),
        }

        impl CloseReason {
            /// The `error.type` of the connection's metrics, in the words of Kestrel's meter; `None` for an ending
            /// without error.
            #[must_use]
            pub const fn error_type(self) -> Option<&'static str> {
                match self {
                    $(Self::$name => $error_type,)+
                    Self::Rejected(rejection) => Some(rejection.error_type()),
                }
            }
        }
    };
}

close_reasons! {
    /// The client closed between requests.
    ClientClosed = None;
    /// Either side asked for it with `Connection: close`.
    Finished = None;
    /// The server stops.
    ServerStopped = None;
    /// The TLS handshake failed, or did not end within `handshake_timeout`.
    HandshakeFailed = Some("tls_handshake_failed");
    /// No request came within `keep_alive_timeout`.
    KeepAliveTimeout = Some("keep_alive_timeout");
    /// The client took the response too slowly.
    ResponseTooSlow = Some("min_response_data_rate");
    /// The client reset the connection, or it broke.
    Reset = Some("connection_reset");
    /// The client closed inside the head of a request.
    EndInsideHead = Some("invalid_request_headers");
    /// The rest of the request body did not come in time.
    DrainTimeout = Some("server_timeout");
    /// The handler or a body source failed after the response had started.
    ErrorAfterStartingResponse = Some("error_after_starting_response");
    /// The handler wrote more or less than it had promised.
    ContentLengthMismatch = Some("response_content_length_mismatch");
    /// The handler aborted the connection.
    AbortedByHandler = Some("aborted_by_app");
    /// It was still busy when `shutdown_timeout` was over.
    ShutdownTimeout = Some("app_shutdown_timeout");
    /// An operation of the system failed.
    IoError = Some("io_error");
}

/// Upper bounds of the buckets of [`EndpointMetrics::connection_duration`], in seconds; a last bucket has none. They are
/// those of `kestrel.connection.duration`.
pub const DURATION_BOUNDS: [f64; 14] = [
    0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0,
];

/// The `error.type` values that are counted one by one; anything else is `other_error`.
const ERROR_TYPES: [&str; 22] = [
    "invalid_request_line",
    "invalid_http_version",
    "invalid_request_headers",
    "max_request_headers_total_size_exceeded",
    "max_request_header_count_exceeded",
    "max_request_body_size_exceeded",
    "request_headers_timeout",
    "min_request_body_data_rate",
    "min_response_data_rate",
    "unexpected_end_of_request_content",
    "keep_alive_timeout",
    "connection_reset",
    "error_after_starting_response",
    "response_content_length_mismatch",
    "aborted_by_app",
    "app_shutdown_timeout",
    "server_timeout",
    "max_concurrent_connections_exceeded",
    "tls_handshake_failed",
    "tls_not_supported",
    "io_error",
    "other_error",
];

/// A counter that one loop writes and anybody reads: no locked instruction is needed.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    #[inline]
    pub(crate) fn add(&self, count: u64) {
        self.0
            .store(self.0.load(Ordering::Relaxed).wrapping_add(count), Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What one loop counts for one endpoint.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) accepted: Counter,
    pub(crate) rejected: Counter,
    pub(crate) closed: Counter,
    pub(crate) upgraded: Counter,
    pub(crate) upgraded_closed: Counter,
    pub(crate) requests: Counter,
    pub(crate) responses: Counter,
    duration_buckets: [Counter; DURATION_BOUNDS.len() + 1],
    duration_millis: Counter,
    errors: [Counter; ERROR_TYPES.len()],
}

impl Counters {
    pub(crate) fn connection_closed(&self, lasted: Duration, reason: CloseReason) {
        self.closed.add(1);
        let seconds = lasted.as_secs_f64();
        let bucket = DURATION_BOUNDS
            .iter()
            .position(|&bound| seconds <= bound)
            .unwrap_or(DURATION_BOUNDS.len());
        self.duration_buckets[bucket].add(1);
        self.duration_millis
            .add(u64::try_from(lasted.as_millis()).unwrap_or(u64::MAX));
        if let Some(error_type) = reason.error_type() {
            self.count_error(error_type);
        }
    }

    pub(crate) fn connection_rejected(&self) {
        self.rejected.add(1);
        self.count_error("max_concurrent_connections_exceeded");
    }

    fn count_error(&self, error_type: &str) {
        let index = ERROR_TYPES
            .iter()
            .position(|&known| known == error_type)
            .unwrap_or(ERROR_TYPES.len() - 1);
        self.errors[index].add(1);
    }
}

/// The counters of a server at one moment, endpoint by endpoint; [`ServerHandle::metrics`](crate::ServerHandle::metrics)
/// makes it. All workers go on counting meanwhile, so figures may be a moment apart.
///
/// ```
/// # use stannel::{Exchange, Request, Server, ServerOptions, StatusCode};
/// # let hello = |_: &Request<'_>, exchange: Exchange<'_>| exchange.respond(StatusCode::OK).send("hello");
/// # let mut options = ServerOptions::default();
/// # options.listen_localhost(0);
/// let server = Server::new(options, move || hello).bind().unwrap();
/// let metrics = server.handle().metrics();
/// assert_eq!(metrics.endpoints.len(), server.addresses().len());
/// assert_eq!(metrics.total().active_connections, 0);
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Metrics {
    /// One entry per bound address, in the order of [`BoundServer::addresses`](crate::BoundServer::addresses).
    pub endpoints: Vec<EndpointMetrics>,
}

impl Metrics {
    /// All endpoints together; its address is empty.
    #[must_use]
    pub fn total(&self) -> EndpointMetrics {
        self.endpoints
            .iter()
            .fold(EndpointMetrics::default(), |mut total, endpoint| {
                total.add(endpoint);
                total
            })
    }
}

/// The counters of one endpoint, all loops together. Names in brackets are those of Kestrel's meter.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct EndpointMetrics {
    /// The address as [`BoundServer::addresses`](crate::BoundServer::addresses) tells it.
    pub address: String,
    /// Connections that are open now, upgraded ones included (`active_connections`).
    pub active_connections: u64,
    /// Connections accepted so far.
    pub accepted_connections: u64,
    /// Connections closed at once because of `max_concurrent_connections` (`rejected_connections`).
    pub rejected_connections: u64,
    /// Upgraded connections that are open now (`upgraded_connections`).
    pub upgraded_connections: u64,
    /// Requests that the handler saw.
    pub requests: u64,
    /// Final responses whose head was made, those of rejections included.
    pub responses: u64,
    /// Ended connections by how long they lasted: one count per bound in [`DURATION_BOUNDS`], and one for longer
    /// (`connection.duration`).
    pub connection_duration: Vec<u64>,
    /// The sum of these durations.
    pub connection_duration_sum: Duration,
    /// Connections that ended in an error, by `error.type`; only those that happened.
    pub errors: Vec<(&'static str, u64)>,
}

impl EndpointMetrics {
    pub(crate) fn named(address: String) -> Self {
        Self {
            address,
            ..Self::default()
        }
    }

    pub(crate) fn add_counters(&mut self, counters: &Counters) {
        // Ends are read before beginnings, so that no difference falls below zero.
        let closed = counters.closed.get();
        let upgraded_closed = counters.upgraded_closed.get();
        let accepted = counters.accepted.get();
        let errors = ERROR_TYPES
            .iter()
            .zip(&counters.errors)
            .map(|(&name, counter)| (name, counter.get()));
        self.add(&Self {
            address: String::new(),
            active_connections: accepted.wrapping_sub(closed),
            accepted_connections: accepted,
            rejected_connections: counters.rejected.get(),
            upgraded_connections: counters.upgraded.get().wrapping_sub(upgraded_closed),
            requests: counters.requests.get(),
            responses: counters.responses.get(),
            connection_duration: counters.duration_buckets.iter().map(Counter::get).collect(),
            connection_duration_sum: Duration::from_millis(counters.duration_millis.get()),
            errors: errors.filter(|&(_, count)| count > 0).collect(),
        });
    }

    fn add(&mut self, other: &Self) {
        self.active_connections += other.active_connections;
        self.accepted_connections += other.accepted_connections;
        self.rejected_connections += other.rejected_connections;
        self.upgraded_connections += other.upgraded_connections;
        self.requests += other.requests;
        self.responses += other.responses;
        self.connection_duration.resize(DURATION_BOUNDS.len() + 1, 0);
        for (sum, count) in self.connection_duration.iter_mut().zip(&other.connection_duration) {
            *sum += count;
        }
        self.connection_duration_sum += other.connection_duration_sum;
        for &(name, count) in &other.errors {
            match self.errors.iter_mut().find(|(known, _)| *known == name) {
                Some((_, sum)) => *sum += count,
                None => self.errors.push((name, count)),
            }
        }
    }
}

/// Peer bytes for a log line: escaped, at most 128 of them.
pub(crate) struct Escaped<'a>(pub(crate) &'a [u8]);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0[..self.0.len().min(128)].escape_ascii())
    }
}

#[cfg(test)]
mod tests {
    use super::{CloseReason, Counters, EndpointMetrics};
    use crate::http1::Rejection;
    use std::time::Duration;

    #[test]
    fn counters_add_up_over_loops() {
        let loops = [Counters::default(), Counters::default()];
        for counters in &loops {
            counters.accepted.add(2);
            counters.connection_closed(
                Duration::from_millis(15),
                CloseReason::Rejected(Rejection::RequestHeadersTimeout),
            );
        }
        loops[0].connection_rejected();
        let mut total = EndpointMetrics::default();
        loops.iter().for_each(|counters| total.add_counters(counters));
        assert_eq!(
            (
                total.accepted_connections,
                total.active_connections,
                total.rejected_connections
            ),
            (4, 2, 1)
        );
        assert_eq!(total.connection_duration[1], 2);
        assert_eq!(
            total.errors,
            [
                ("request_headers_timeout", 2),
                ("max_concurrent_connections_exceeded", 1)
            ]
        );
    }
}
