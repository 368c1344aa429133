//! One client, whole, without a socket: bytes and the time go in, bytes and a deadline come out.
//!
//! ```text
//!             ┌──────────────── kept alive ───────────────┐
//!             ▼                                           │
//!   ──► Head ──► Exchange (body in, response out, drain) ─┤
//!   │     │          │            │                       ▼
//!   │     │          └─► Tunnel ──┼──────────────► Closing ──► Lingering ──► over
//!   │     └── refused, timed out ─┘                 ▲ └────────────────────► over
//!   └─► Handshake, where TLS is spoken ──► Head     │
//!           └── refused, timed out ─────────────────┘
//! ```
//!
//! Whoever owns a [`Connection`] lets it work in [`Turn`]s: it reads into [`Turn::read_buffer`], tells what happened,
//! sends [`Turn::output`], and asks for [`Turn::fate`] and [`Turn::deadline`]. Between turns the connection owns
//! memory only for what is split or stuck.
//!
//! This module is for whoever drives the core: a loop of your own, a simulation, a fuzz target, tests of a handler.
//! [`Server`](crate::Server) does all this by itself. The duties of a driver, in order:
//!
//! 1. [`Engine::set_time`] (and each second [`Engine::set_wall_clock`]) before anything else in a round.
//! 2. [`Connection::turn`], and in it [`Turn::on_read`] while [`Turn::wants_read`] says so.
//! 3. Send the output, tell [`Turn::on_written`], and call [`Turn::on_room`] while [`Turn::has_more`] says so.
//! 4. Do what [`Turn::fate`] says; a connection that is to be closed hears [`Turn::closed`] once.
//! 5. Come back at [`Turn::deadline`] with [`Turn::on_timer`], and with [`Engine::deliveries`] when `wake` was called.
//!
//! ```
//! use stannel::connection::{Connection, Engine, Fate};
//! use stannel::timer::Time;
//! use stannel::{ConnectionInfo, Exchange, Peer, Request, ServerOptions, StatusCode};
//!
//! // Answers late, though from the same thread.
//! let hello = |_: &Request<'_>, exchange: Exchange<'_>| {
//!     exchange.defer(|responder| responder.respond(StatusCode::OK).send("hello").unwrap())
//! };
//! let mut engine = Engine::new(&ServerOptions::default(), move || hello, || ());
//! let mut connection = Connection::new(&engine, ConnectionInfo::new(1, Peer::Unix), 0);
//! let key = 7;
//!
//! engine.set_time(Time::from_millis(10));
//! let mut turn = connection.turn(&mut engine, key);
//! turn.on_bytes(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n");
//! assert!(turn.wants_read() && !turn.has_output());
//! drop(turn);
//!
//! for delivery in engine.deliveries() {
//!     assert_eq!(delivery.key(), key);
//!     let mut turn = connection.turn(&mut engine, key);
//!     delivery.to(&mut turn);
//!     let mut sent = Vec::new();
//!     turn.copy_output(&mut sent);
//!     assert!(sent.ends_with(b"hello"));
//!     turn.on_written(sent.len());
//! }
//!
//! // Nothing comes for longer than keep_alive_timeout.
//! engine.set_time(Time::from_millis(200_000));
//! let mut turn = connection.turn(&mut engine, key);
//! turn.on_timer();
//! assert_eq!(turn.fate(), Fate::Close);
//! turn.closed();
//! ```

mod active;
mod engine;
mod exchange;
mod head;
mod parked;
mod request_body;
mod response;
mod secured;
mod sent_files;
mod timers;
mod tunnel;
mod turn;

pub use engine::Engine;
pub(crate) use engine::HandlerFactory;
pub use turn::Turn;

use crate::endpoint::MinDataRate;
use crate::event::CloseReason;
use crate::handler::{ConnectionId, ConnectionInfo, Files};
use crate::places::Place;
use crate::timer::Time;
use crate::tls::Session;
use active::Active;
use engine::Settings;
use parked::Parked;
use std::fmt;
use std::sync::Arc;
use tunnel::Switched;

/// A deadline that never comes.
const NEVER: Time = Time::from_millis(u64::MAX);

/// One client's connection: what it has to remember between turns. The [module](self) has an example.
pub struct Connection {
    info: ConnectionInfo,
    phase: Phase,
    /// What is left over between turns, if anything is.
    parked: Option<Box<Parked>>,
    /// When the phase has lasted too long.
    timer: Time,
    /// When the waiting output will have been too slow on average, in served time.
    rate_deadline: Time,
    opened: Time,
    place: Place,
    /// Those that were in force when it was opened.
    settings: Arc<Settings>,
    /// On an endpoint that speaks TLS.
    session: Option<Box<Session>>,
    /// A response rate that the handler asked for, until the next request.
    response_rate: Option<Box<Option<MinDataRate>>>,
    reason: Option<CloseReason>,
    /// Requests so far.
    number: u32,
    endpoint: u16,
    empty_lines: u8,
    /// Whether pieces of files may lie in its output.
    files: Files,
    /// Whether the first byte of a request has come.
    head_started: bool,
    /// Whether the peer has sent its end.
    ended: bool,
    /// Whether its endpoint is no more.
    is_retired: bool,
    /// Whether there is more to do as soon as there is room for output.
    has_more: bool,
}

enum Phase {
    /// Before everything, where TLS is spoken.
    Handshake,
    /// Between requests, or inside a head.
    Head,
    /// A request is being answered, or the rest of its body is drained.
    Exchange(Box<Active>),
    /// The protocol was changed.
    Tunnel(Box<Switched>),
    /// The output is sent, then it ends.
    Closing(Ending),
    /// Our side is closed; what still comes is thrown away.
    Lingering {
        left: usize,
    },
    Over,
}

/// How a connection ends once its output is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    /// Nothing more can come: a plain close.
    Plain,
    /// The peer may still be sending: a close with unread input would reset the connection before it has read the
    /// response.
    Linger,
    Abort,
}

/// What is to be done with the socket. [`Open`](Self::Open) until all output is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Keep it.
    Open,
    /// Shut down the write side, then call [`Turn::on_write_shut`]: the peer may still be sending (RFC 9112 §9.6).
    ShutWrite,
    /// Close it.
    Close,
    /// Reset it.
    Abort,
}

impl Connection {
    /// A connection on the endpoint with that index, opened now; counters and observer hear of it.
    ///
    /// # Panics
    /// When there is no such endpoint: an engine from [`Engine::new`] has one, with index 0.
    #[must_use]
    pub fn new(engine: &Engine, info: ConnectionInfo, endpoint: u16) -> Self {
        Self::with_place(engine, info, endpoint, Place::default())
    }

    pub(crate) fn with_place(engine: &Engine, info: ConnectionInfo, endpoint: u16, place: Place) -> Self {
        engine.counters(endpoint).accepted.add(1);
        engine.watch.tell(|observer| observer.accepted(&info));
        log::debug!(target: "stannel::connections", "39 connection {} accepted from {}", ConnectionId(info.id), info.peer);
        log::debug!(target: "stannel::connections", "1 connection {} started", ConnectionId(info.id));
        Self {
            info,
            phase: Phase::Head,
            parked: None,
            timer: engine
                .settings()
                .limits
                .keep_alive_timeout
                .map_or(NEVER, |timeout| engine.now().plus_millis(engine::millis(timeout))),
            rate_deadline: Time::ZERO,
            opened: engine.now(),
            place,
            settings: Arc::clone(engine.settings()),
            session: None,
            response_rate: None,
            reason: None,
            number: 0,
            endpoint,
            empty_lines: 0,
            files: Files::Read,
            head_started: false,
            ended: false,
            is_retired: false,
            has_more: false,
        }
    }

    /// Begins a turn. `key` is the connection's name within its loop, for letters from other threads; it must be the same
    /// in each turn, and always on the engine on which the connection was made.
    #[inline]
    pub fn turn<'a>(&'a mut self, engine: &'a mut Engine, key: usize) -> Turn<'a> {
        engine.state.key = key;
        engine.begin_turn(&self.settings, self.is_retired);
        if let Some(parked) = &mut self.parked {
            parked.take_up(engine);
        }
        engine.state.counted = engine.state.output.len();
        Turn {
            connection: self,
            engine,
        }
    }

    /// Whether its endpoint is no more, or has new options since.
    pub(crate) fn is_retired(&self) -> bool {
        self.is_retired
    }

    /// The index of its endpoint.
    #[must_use]
    pub fn endpoint(&self) -> u16 {
        self.endpoint
    }

    /// What is known of the peer.
    #[must_use]
    pub fn info(&self) -> &ConnectionInfo {
        &self.info
    }

    /// It ends for this reason: the first one counts, but an error counts more than an orderly end.
    fn end_for(&mut self, reason: CloseReason) {
        let is_error = |reason: CloseReason| reason.error_type().is_some();
        if self.reason.is_none_or(|first| is_error(reason) && !is_error(first)) {
            self.reason = Some(reason);
        }
    }

    /// Bytes of memory that it holds in buffers between turns: none while it is idle.
    #[must_use]
    pub fn memory(&self) -> usize {
        let records = self.session.as_ref().map_or(0, |session| session.memory());
        self.parked.as_ref().map_or(0, |parked| parked.memory()) + records
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let phase = match &self.phase {
            Phase::Handshake => "Handshake",
            Phase::Head => "Head",
            Phase::Exchange(_) => "Exchange",
            Phase::Tunnel(_) => "Tunnel",
            Phase::Closing(_) => "Closing",
            Phase::Lingering { .. } => "Lingering",
            Phase::Over => "Over",
        };
        f.debug_struct("Connection")
            .field("id", &self.info.id())
            .field("phase", &phase)
            .finish_non_exhaustive()
    }
}
