//! An HTTP/1.1 server engine: Kestrel's endpoint model on an event loop written by hand, without an async runtime.
//!
//! - HTTP/1.1 and HTTP/1.0, strict about what it reads: a request that two servers could understand differently is
//!   refused.
//! - Handlers without `async`: one function that answers at once, streams, takes a body, answers later from another
//!   thread, or takes the connection over.
//! - Limits, timeouts and data rates that are on from the start, under the names that users of Kestrel know.
//! - Endpoints from code, files, environment and command line by Kestrel's rules; a running server follows changes.
//! - HTTPS on rustls: PFX, PEM and .NET's certificate stores, a development certificate, SNI, client certificates.
//! - TCP and Unix sockets, one worker per core, graceful stops, no `unsafe` code of its own. Linux only so far.
//!
//! HTTP/2, a router and compression are not planned.
//!
//! # A request's way
//!
//! ```text
//!   ServerOptions ──► Server::bind ──► BoundServer::run          one handler per worker, made by your closure
//!                                        │                          │
//!   client ══ bytes ══► socket ──► Connection: TLS, head, checks ──► Handler::handle(&Request, Exchange)
//!                         ▲                                         │
//!                         │        refused: 4xx, 5xx, close         ├─ respond(..).send / .stream / .pipe
//!                         │                 │                       ├─ collect, receive: the body first
//!                         └──── output ◄────┴── Outcome ◄───────────├─ defer: from any thread, later
//!                                                                   └─ upgrade: the connection is yours
//! ```
//!
//! A [`Request`] borrows from the connection's input and its response is written straight into the output: the short
//! path allocates nothing. An [`Exchange`] is consumed exactly once, and the [`Outcome`] proves it: a request that is
//! answered twice, or never, does not compile. A handler runs on its worker's event loop and must not block; slow work
//! goes to another thread through [`Exchange::defer`].
//!
//! # First example
//!
//! ```
//! use stannel::{Exchange, Handler, Method, Outcome, Request, Server, ServerOptions, StatusCode};
//!
//! struct Hello;
//!
//! impl Handler for Hello {
//!     fn handle(&mut self, request: &Request<'_>, exchange: Exchange<'_>) -> Outcome {
//!         match (request.method(), request.path()) {
//!             (&Method::GET, "/") => exchange
//!                 .respond(StatusCode::OK)
//!                 .header("content-type", "text/plain")
//!                 .send("Hello, World!"),
//!             _ => exchange.respond(StatusCode::NOT_FOUND).send(""),
//!         }
//!     }
//! }
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let mut options = ServerOptions::default();
//!     options.listen_localhost(0); // any free port; a real server names one
//!     let server = Server::new(options, || Hello).bind()?;
//!     for line in server.addresses().iter().flat_map(|address| address.lines()) {
//!         println!("{line}");
//!     }
//! #   server.handle().shutdown();
//!     server.run()?; // until it is stopped
//!     Ok(())
//! }
//! ```
//!
//! # The types, in the order in which one meets them
//!
//! | type | what it is |
//! |---|---|
//! | [`Server`], [`BoundServer`] | options and a handler for each worker; then open sockets that wait for `run` |
//! | [`Handler`] | your code; a trait with one method, or any function of the same shape |
//! | [`Request`], [`Headers`] | method, target, path, fields, peer, client |
//! | [`Exchange`], [`ResponseHead`], [`Outcome`] | the right to answer once; a response with its fields; the proof |
//! | [`BodySink`], [`BodySource`], [`BodyPipe`], [`Flow`], [`Progress`] | bodies that come or go piece by piece |
//! | [`Responder`], [`Waker`] | answers and wake-ups from other threads |
//! | [`Tunnel`], [`Upgrade`] | a connection after `101 Switching Protocols` |
//! | [`ServerOptions`], [`ListenOptions`], [`Limits`], [`MinDataRate`] | where to listen, and every limit with its default |
//! | [`Configuration`], [`ConfigurationLoader`] | the same from files, environment and command line |
//! | [`EndpointPlan`] | what will be listened on, and why |
//! | [`ServerHandle`], [`Metrics`], [`Observer`] | stop, reload and watch, from any thread |
//! | [`middleware`] | handlers that are here already: files, a welcome page, allowed hosts, the client behind a proxy |
//! | [`connection`], [`http1`], [`timer`] | the core, for whoever drives it without a server |
//!
//! # Bodies in
//!
//! [`Exchange::collect`] waits for the whole body, up to a limit. [`Exchange::receive`] pushes it into a [`BodySink`] as
//! it comes, however large it is. A body that no handler takes is read and thrown away, so that the connection can go
//! on.
//!
//! ```
//! use stannel::{BodyEnd, BodySink, Exchange, Flow, Outcome, Request, StatusCode};
//!
//! #[derive(Default)]
//! struct Count(u64);
//!
//! impl BodySink for Count {
//!     fn data(&mut self, data: &[u8]) -> Flow {
//!         self.0 += data.len() as u64;
//!         Flow::Continue
//!     }
//!     fn finish(self: Box<Self>, _end: BodyEnd<'_>, exchange: Exchange<'_>) -> Outcome {
//!         exchange.respond(StatusCode::OK).send(format!("{} bytes", self.0))
//!     }
//! }
//!
//! fn handle(request: &Request<'_>, exchange: Exchange<'_>) -> Outcome {
//!     match request.path() {
//!         "/order" => exchange.collect(64 << 10, |body, exchange| exchange.respond(StatusCode::CREATED).send(body)),
//!         _ => exchange.receive(Count::default()),
//!     }
//! }
//!
//! # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/ask.rs"));
//! # fn main() {
//! let request = "POST /upload HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello";
//! assert!(ask(|| handle, request).ends_with("\r\n\r\n5 bytes"));
//! # assert!(ask(|| handle, &request.replace("/upload", "/order")).ends_with("\r\n\r\nhello"));
//! # }
//! ```
//!
//! # Bodies out
//!
//! [`ResponseHead::send`] takes a body that is here whole. [`ResponseHead::stream`] pulls it from a [`BodySource`] when
//! there is room, so that a slow client costs no memory; [`ReaderSource`] makes one of a file.
//! [`ResponseHead::pipe`] makes the response of the request's body while it comes. How the body is framed follows from
//! the [`BodyLength`]; a handler never writes Content-Length.
//!
//! ```
//! use stannel::{
//!     BodyLength, BodyPipe, BodySource, BodyWriter, Exchange, Flow, Outcome, Progress, Request, StatusCode,
//! };
//!
//! struct Countdown(u32);
//!
//! impl BodySource for Countdown {
//!     fn fill(&mut self, writer: &mut BodyWriter<'_>) -> Progress {
//!         writer.put(format!("{}\n", self.0).as_bytes());
//!         self.0 -= 1;
//!         if self.0 == 0 { Progress::Done } else { Progress::More }
//!     }
//! }
//!
//! struct Upper;
//!
//! impl BodyPipe for Upper {
//!     fn data(&mut self, data: &[u8], writer: &mut BodyWriter<'_>) -> Flow {
//!         writer.put(&data.to_ascii_uppercase());
//!         Flow::Continue
//!     }
//! }
//!
//! fn handle(request: &Request<'_>, exchange: Exchange<'_>) -> Outcome {
//!     let head = exchange.respond(StatusCode::OK).header("content-type", "text/plain");
//!     match request.content_length() {
//!         Some(length) => head.pipe(BodyLength::Exact(length), Upper),
//!         None => head.stream(BodyLength::Unknown, Countdown(2)),
//!     }
//! }
//!
//! # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/ask.rs"));
//! # fn main() {
//! let request = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello";
//! assert!(ask(|| handle, request).ends_with("\r\n\r\nHELLO"));
//! assert!(ask(|| handle, "GET / HTTP/1.1\r\nHost: h\r\n\r\n").ends_with("\r\n\r\n2\r\n2\n\r\n2\r\n1\n\r\n0\r\n\r\n"));
//! # }
//! ```
//!
//! # Late answers
//!
//! [`Exchange::defer`] gives the [`Responder`] to whoever does the work, on any thread; no thread waits meanwhile. If
//! the client leaves, answering returns [`Disconnected`]; a dropped responder answers 500. Threads, a pool, a queue:
//! that choice is yours, and an async runtime is one of them.
//!
//! ```
//! use stannel::{Exchange, Outcome, Request, StatusCode};
//! use std::thread;
//!
//! fn report(_request: &Request<'_>, exchange: Exchange<'_>) -> Outcome {
//!     exchange.defer(|responder| {
//!         thread::spawn(move || {
//!             let text = "what took a while"; // a database, a computation
//!             if responder.respond(StatusCode::OK).send(text).is_err() {
//!                 // The client did not wait. There is nobody to tell.
//!             }
//!         });
//!     })
//! }
//! ```
//!
//! A sink, source, pipe or tunnel that waits for something is asked again through [`Exchange::waker`].
//!
//! # Upgrades
//!
//! ```
//! use stannel::{Exchange, Flow, Outcome, Request, Tunnel, TunnelIo};
//!
//! struct Echo;
//!
//! impl Tunnel for Echo {
//!     fn on_data(&mut self, data: &[u8], io: &mut TunnelIo<'_>) -> Flow {
//!         io.put(data);
//!         Flow::Continue
//!     }
//! }
//!
//! fn handle(_request: &Request<'_>, exchange: Exchange<'_>) -> Outcome {
//!     exchange.upgrade("echo").switch_to(Echo)
//! }
//!
//! # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/ask.rs"));
//! # fn main() {
//! let request = "GET / HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\nhello";
//! let answer = ask(|| handle, request);
//! assert!(answer.starts_with("HTTP/1.1 101 ") && answer.ends_with("\r\n\r\nhello"));
//! # }
//! ```
//!
//! # Files
//!
//! [`middleware::StaticFiles`] serves a folder: content types, conditional requests, ranges, files that were
//! compressed beforehand, nothing outside the folder. Like every handler it can be wrapped in one of your own; see [`middleware`].
//!
//! ```no_run
//! use stannel::middleware::StaticFiles;
//! use stannel::{Server, ServerOptions};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let files = StaticFiles::new("public")?;
//! Server::new(ServerOptions::default(), move || files.clone()).bind()?.run()?;
//! # Ok(())
//! # }
//! ```
//!
//! # Stopping
//!
//! A [`ServerHandle`] stops the server from any thread; with [`ServerOptions::handle_signals`] SIGTERM and SIGINT do.
//! Listening sockets are closed, running exchanges may end for `shutdown_timeout` (30 s by default), then what is left
//! is reset. `lame_duck_time` lets a load balancer notice before.
//!
//! ```
//! # use stannel::{Exchange, Request, Server, ServerOptions, StatusCode};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let hello = |_: &Request<'_>, exchange: Exchange<'_>| exchange.respond(StatusCode::OK).send("hello");
//! # let mut options = ServerOptions::default();
//! # options.listen_localhost(0);
//! let server = Server::new(options, move || hello).bind()?;
//! let handle = server.handle();
//! std::thread::spawn(move || handle.shutdown()); // from wherever it is decided
//! server.run()?; // returns when everything has ended
//! # Ok(())
//! # }
//! ```
//!
//! # Observing
//!
//! [`ServerHandle::metrics`] adds up the counters of all workers, under the names of Kestrel's metrics. An [`Observer`]
//! hears of each connection, request, response and refusal. Besides, the crate logs through the [`log`] facade, with the
//! targets `stannel`, `stannel::connections` and `stannel::bad_requests`.
//!
//! ```
//! # use stannel::{Exchange, Request, Server, StatusCode};
//! use stannel::{CloseReason, ConnectionInfo, Observer, ServerOptions};
//! use std::sync::Arc;
//!
//! struct Endings;
//!
//! impl Observer for Endings {
//!     fn closed(&self, connection: &ConnectionInfo, reason: CloseReason) {
//!         if let Some(error) = reason.error_type() {
//!             eprintln!("{}: {error}", connection.id());
//!         }
//!     }
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let hello = |_: &Request<'_>, exchange: Exchange<'_>| exchange.respond(StatusCode::OK).send("hello");
//! let mut options = ServerOptions::default();
//! options.observer = Some(Arc::new(Endings));
//! # options.listen_localhost(0);
//! let server = Server::new(options, move || hello).bind()?;
//! assert_eq!(server.handle().metrics().total().requests, 0);
//! # Ok(())
//! # }
//! ```
//!
//! # Driving a connection without sockets
//!
//! The protocol is a pure machine: bytes and the time go in, bytes and a deadline come out. [`connection`] is public
//! for whoever brings their own loop, and for tests of handlers that need neither ports nor clocks.
//!
//! ```
//! use stannel::connection::{Connection, Engine, Fate};
//! use stannel::{ConnectionInfo, Exchange, Peer, Request, ServerOptions, StatusCode};
//!
//! let hello = |_: &Request<'_>, exchange: Exchange<'_>| exchange.respond(StatusCode::OK).send("hello");
//! let mut engine = Engine::new(&ServerOptions::default(), move || hello, || ());
//! let mut connection = Connection::new(&engine, ConnectionInfo::new(1, Peer::Unix), 0);
//!
//! let mut turn = connection.turn(&mut engine, 0);
//! turn.on_bytes(b"GET / HTTP/1.1\r\nHost: example\r\n\r\n");
//! let output = turn.output().unwrap();
//! assert!(output.starts_with(b"HTTP/1.1 200 OK\r\n") && output.ends_with(b"hello"));
//! let count = output.len();
//! turn.on_written(count);
//! assert_eq!(turn.fate(), Fate::Open);
//! ```
//!
//! # Features
//!
//! | feature | default | what it switches |
//! |---|---|---|
//! | `config` | yes | JSON files as a source of settings |
//! | `tls` | yes | [`Certificate`], and rustls; needs one of the next two |
//! | `aws-lc-rs` | yes | aws-lc-rs as the cryptography below rustls; wins where both are on |
//! | `ring` | no | ring as the cryptography; cannot sign with P-521 |
//! | `pfx` | yes | PFX files, and with them .NET's certificate stores |
//! | `dev-cert` | yes | `stannel dev-certs`: makes development certificates and has the machine trust them |
//! | `signals` | yes | [`ServerOptions::handle_signals`] works: SIGTERM and SIGINT stop the server, SIGHUP makes it reload |
//! | `systemd` | yes | sockets of systemd's, and news for it |
//!
//! More is in the repository: `docs/ARCHITECTURE.md` (the map, the invariants, what is absent on purpose),
//! `docs/configuration.md`, `docs/https.md`, `docs/kestrel.md`, `docs/systemd.md`, `docs/testing.md` and `docs/examples`.
#![forbid(unsafe_code)]

#[cfg(all(feature = "tls", not(any(feature = "aws-lc-rs", feature = "ring"))))]
compile_error!("the feature `tls` needs cryptography: switch on `aws-lc-rs` (the default) or `ring` as well");

// What tests of the crate share with those beside it names the crate as those do.
#[cfg(all(test, feature = "tls"))]
extern crate self as stannel;

mod buffer;
#[cfg(feature = "tls")]
pub mod certificate;
mod configuration;
pub mod connection;
mod endpoint;
mod event;
mod handler;
pub mod http1;
mod mailbox;
pub mod middleware;
mod places;
mod punycode;
mod server;
#[cfg(feature = "systemd")]
pub mod systemd;
pub mod timer;
pub mod tls;

#[cfg(feature = "tls")]
pub use certificate::{Certificate, CertificateError};
pub use configuration::{
    Arguments, Configuration, ConfigurationBuilder, ConfigurationError, ConfigurationLoader, EndpointConfiguration,
    Origin, Section,
};
pub use endpoint::{
    Admission, BindError, BindTarget, Binding, BoundSockets, CertificateSource, ClientCertificateMode,
    ClientCertificateRoots, ConnectionMiddleware, EndpointError, EndpointPlan, EndpointSource, HttpProtocols,
    HttpsOptions, Limits, LimitsError, ListenOptions, MinDataRate, Note, ServerOptions, SniOptions, SocketHandle,
    SslProtocols, StoreLocation, UrlError, UrlPrefix, UseHttps,
};
pub use event::{CloseReason, DURATION_BOUNDS, EndpointMetrics, Metrics, Observer, ReloadOutcome};
pub use handler::{
    Body, BodyEnd, BodyLength, BodyPipe, BodySink, BodySource, BodyStarted, BodyWriter, ConnectionInfo, DeferredHead,
    Disconnected, Exchange, FieldError, FieldName, FieldValue, Flow, Handler, Headers, Outcome, Payload, Peer,
    Progress, ReaderSource, Request, Responder, ResponseHead, Trailers, Tunnel, TunnelIo, Upgrade, UpgradeError, Waker,
};
pub use http1::{Rejection, TargetForm};
pub use server::{BoundAddress, BoundServer, Server, ServerError, ServerHandle, listening_line};

pub use http::{Method, StatusCode, Version, header};

/// The examples in README.md are compiled with those of the documentation.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeExamples;

/// And those for users of Kestrel.
#[cfg(doctest)]
#[doc = include_str!("../docs/kestrel.md")]
struct KestrelExamples;

/// And those about HTTPS.
#[cfg(all(doctest, feature = "tls"))]
#[doc = include_str!("../docs/https.md")]
struct HttpsExamples;

/// And those for systemd.
#[cfg(all(doctest, feature = "systemd"))]
#[doc = include_str!("../docs/systemd.md")]
struct SystemdExamples;
