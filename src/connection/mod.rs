//! One client, whole, without a socket: bytes and the time go in, bytes and a deadline come out.
//!
//! ```text
//!             ┌──────────────── kept alive ───────────────┐
//!             ▼                                           │
//!   ──► Head ──► Exchange (body in, response out, drain) ─┤
//!         │          │            │                       ▼
//!         │          └─► Tunnel ──┼──────────────► Closing ──► Lingering ──► over
//!         └── refused, timed out ─┘                   └────────────────────► over
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
mod timers;
mod tunnel;

pub use engine::Engine;
pub(crate) use engine::HandlerFactory;

use crate::buffer::{Input, Output};
use crate::endpoint::MinDataRate;
use crate::event::CloseReason;
use crate::handler::{ConnectionId, ConnectionInfo};
use crate::http1::head::Scan;
use crate::http1::{Rejection, RequestFacts};
use crate::mailbox::Letter;
use crate::places::Place;
use crate::timer::Time;
use active::Active;
use exchange::quietly;
use std::fmt;
use std::io::IoSlice;
use tunnel::Switched;

/// A deadline that never comes.
const NEVER: Time = Time::from_millis(u64::MAX);

/// How much a lingering connection reads and throws away, so that its peer can see the last response (RFC 9112 §9.6).
const LINGER_BYTES: usize = 1 << 20;

/// One client's connection: what it has to remember between turns. The [module](self) has an example.
pub struct Connection {
    info: ConnectionInfo,
    phase: Phase,
    /// What came and is not consumed.
    input: Input,
    /// What is answered and not sent.
    output: Output,
    /// How far an incomplete head was checked.
    scan: Scan,
    /// When the phase has lasted too long.
    timer: Time,
    /// When the waiting output will have been too slow on average, in served time.
    rate_deadline: Time,
    /// When the kernel last took a byte, or the output began to wait, in served time.
    last_taken: Time,
    opened: Time,
    place: Place,
    /// A response rate that the handler asked for, until the next request.
    response_rate: Option<Box<Option<MinDataRate>>>,
    reason: Option<CloseReason>,
    /// Requests so far.
    number: u32,
    endpoint: u16,
    empty_lines: u8,
    /// Whether the first byte of a request has come.
    head_started: bool,
    /// Whether the peer has sent its end.
    ended: bool,
    /// Whether there is more to do as soon as there is room for output.
    has_more: bool,
}

enum Phase {
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
        Self {
            info,
            phase: Phase::Head,
            input: Input::default(),
            output: Output::default(),
            scan: Scan::default(),
            timer: engine.keep_alive_deadline(),
            rate_deadline: Time::ZERO,
            last_taken: Time::ZERO,
            opened: engine.now(),
            place,
            response_rate: None,
            reason: None,
            number: 0,
            endpoint,
            empty_lines: 0,
            head_started: false,
            ended: false,
            has_more: false,
        }
    }

    /// Begins a turn. `key` is the connection's name within its loop, for letters from other threads; it must be the same
    /// in each turn, and always on the engine on which the connection was made.
    #[inline]
    pub fn turn<'a>(&'a mut self, engine: &'a mut Engine, key: usize) -> Turn<'a> {
        engine.state.key = key;
        if !self.input.is_empty() {
            std::mem::swap(&mut self.input, &mut engine.input);
        }
        if !self.output.is_empty() {
            std::mem::swap(&mut self.output, &mut engine.state.output);
        }
        engine.state.counted = engine.state.output.len();
        Turn {
            connection: self,
            engine,
        }
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
        self.input.capacity() + self.output.capacity()
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let phase = match &self.phase {
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

/// A connection at work, with what its loop lends it: buffers, handler, settings.
///
/// The methods called `on_…` tell it what happened; the others ask what it wants. When the turn is dropped, the
/// connection keeps what is left over.
pub struct Turn<'a> {
    connection: &'a mut Connection,
    engine: &'a mut Engine,
}

impl Turn<'_> {
    // ---- what happened

    /// Where the next input goes, never empty while [`wants_read`](Self::wants_read); read into it, then call
    /// [`on_read`](Self::on_read). One read takes 64 KiB at most unless what is pending made the buffer grow.
    #[inline]
    pub fn read_buffer(&mut self) -> &mut [u8] {
        let input = &mut self.engine.input;
        let pending = input.len();
        if pending > 0 {
            input.reserve(pending.max(1024));
        }
        let spare = input.spare();
        // The limit holds to within one small read.
        match self.engine.state.limits.max_request_buffer_size {
            Some(limit) if limit < pending + spare.len() => {
                let room = limit.saturating_sub(pending).max(1024).min(spare.len());
                &mut spare[..room]
            }
            _ => spare,
        }
    }

    /// That many bytes came; 0 is the peer's end.
    #[inline]
    pub fn on_read(&mut self, count: usize) {
        if count == 0 {
            self.connection.ended = true;
            if matches!(self.connection.phase, Phase::Lingering { .. }) {
                self.connection.phase = Phase::Over;
                return;
            }
        }
        self.engine.input.received(count);
        self.process();
    }

    /// The same for bytes that lie elsewhere; none at all tell it nothing. Whether it
    /// [`wants_read`](Self::wants_read) is not asked.
    pub fn on_bytes(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let buffer = self.read_buffer();
            let count = buffer.len().min(bytes.len());
            buffer[..count].copy_from_slice(&bytes[..count]);
            bytes = &bytes[count..];
            self.on_read(count);
        }
    }

    /// The peer's kernel took that many bytes of the output.
    #[inline]
    pub fn on_written(&mut self, count: usize) {
        if count > 0 {
            self.engine.state.output.advance(count);
            self.engine.state.counted = self.engine.state.output.len();
            self.connection.last_taken = self.engine.served();
            if self.engine.state.output.is_empty() && matches!(self.connection.phase, Phase::Head) {
                self.arm_keep_alive();
            }
        }
    }

    /// Goes on where the last turn had to stop for want of room; see [`has_more`](Self::has_more).
    pub fn on_room(&mut self) {
        self.process();
    }

    /// The write side is shut down: it lingers for its peer's end, 2 seconds and 1 MiB at most.
    pub fn on_write_shut(&mut self) {
        if matches!(self.connection.phase, Phase::Closing(_)) {
            self.connection.phase = if self.connection.ended {
                Phase::Over
            } else {
                self.connection.timer = self.engine.now() + timers::LINGER_TIME;
                Phase::Lingering { left: LINGER_BYTES }
            };
        }
    }

    /// Something came from another thread.
    pub(crate) fn on_letter(&mut self, letter: Letter) {
        match &self.connection.phase {
            Phase::Exchange(active) if active.current.id == letter.id => self.exchange_letter(letter.content),
            Phase::Tunnel(switched) if switched.id == letter.id => self.tunnel_letter(),
            _ => return,
        }
        self.process();
    }

    /// The connection broke: everything is dropped.
    pub fn on_disconnect(&mut self, reason: CloseReason) {
        // Who lingers has said all it had to say.
        if !matches!(self.connection.phase, Phase::Lingering { .. }) {
            self.end_now(reason, Ending::Plain);
        }
        self.connection.phase = Phase::Over;
    }

    /// The server stops: no request after the current one; with none, it ends.
    pub fn on_shutdown(&mut self) {
        match &self.connection.phase {
            // Half an empty line is no byte of a request either.
            Phase::Head if !self.connection.head_started && matches!(self.engine.input.pending(), [] | [b'\r']) => {
                self.stop_idle();
            }
            Phase::Tunnel(_) => self.tunnel_shutdown(),
            _ => {}
        }
    }

    /// The time for stopping is over.
    pub fn on_shutdown_timeout(&mut self) {
        self.connection.reason = None;
        self.end_now(CloseReason::ShutdownTimeout, Ending::Abort);
    }

    // ---- what it wants

    /// Whether it would take input now.
    #[inline]
    #[must_use]
    pub fn wants_read(&self) -> bool {
        if self.connection.ended {
            return false;
        }
        match self.connection.phase {
            // A head is bounded by its own limits; the buffer's must not stop it from ever being complete.
            Phase::Head if !self.connection.has_more => true,
            Phase::Head | Phase::Exchange(_) | Phase::Tunnel(_) => {
                !self.engine.state.limits.input_is_full(self.engine.input.len())
            }
            Phase::Closing(_) => false,
            Phase::Lingering { .. } => true,
            Phase::Over => false,
        }
    }

    /// Whether there is output to send.
    #[inline]
    #[must_use]
    pub fn has_output(&self) -> bool {
        !self.engine.state.output.is_empty()
    }

    /// The output, if it lies in one piece.
    #[inline]
    #[must_use]
    pub fn output(&self) -> Option<&[u8]> {
        self.engine.state.output.single()
    }

    /// The output in pieces, from its beginning, as far as `slices` reach; returns how many were filled.
    pub fn output_slices<'s>(&'s self, slices: &mut [IoSlice<'s>]) -> usize {
        self.engine.state.output.slices(slices)
    }

    /// Appends a copy of the output to `target`.
    pub fn copy_output(&self, target: &mut Vec<u8>) {
        self.engine.state.output.copy_to(target);
    }

    /// Whether it stopped for want of room, and there is room now: call [`on_room`](Self::on_room), when others had
    /// their turn.
    #[inline]
    #[must_use]
    pub fn has_more(&self) -> bool {
        self.connection.has_more && !self.output_is_full()
    }

    /// What is to be done with the socket now.
    #[inline]
    #[must_use]
    pub fn fate(&self) -> Fate {
        match self.connection.phase {
            Phase::Head | Phase::Exchange(_) | Phase::Tunnel(_) | Phase::Lingering { .. } => Fate::Open,
            Phase::Closing(Ending::Abort) => Fate::Abort,
            Phase::Closing(_) if self.has_output() => Fate::Open,
            Phase::Closing(Ending::Plain) => Fate::Close,
            Phase::Closing(Ending::Linger) => Fate::ShutWrite,
            Phase::Over => Fate::Close,
        }
    }

    /// Tells the counters and the observer that it is over. Call it once, when the socket is closed.
    pub fn closed(&mut self) {
        self.drop_work();
        let connection = &mut *self.connection;
        let reason = connection.reason.unwrap_or(CloseReason::ClientClosed);
        let lasted = self.engine.now().since(connection.opened);
        self.engine
            .counters(connection.endpoint)
            .connection_closed(lasted, reason);
        self.engine
            .watch
            .tell(|observer| observer.closed(&connection.info, reason));
        log::debug!(target: "stannel::connections", "2 connection {} stopped: {reason:?}", ConnectionId(connection.info.id));
    }

    // ---- the machine

    /// Goes on as far as input and room for output reach.
    #[inline]
    fn process(&mut self) {
        self.connection.has_more = false;
        loop {
            let goes_on = match self.connection.phase {
                Phase::Head => self.next_request(),
                Phase::Exchange(_) => self.run_exchange(),
                Phase::Tunnel(_) => self.run_tunnel(),
                Phase::Closing(_) | Phase::Lingering { .. } | Phase::Over => {
                    self.discard_input();
                    false
                }
            };
            if !goes_on {
                break;
            }
        }
        self.count_output();
    }

    fn output_is_full(&self) -> bool {
        let unsent = self.engine.state.output.len();
        self.engine.state.limits.output_is_full(unsent)
    }

    fn discard_input(&mut self) {
        let count = self.engine.input.len();
        self.engine.input.consume(count);
        if let Phase::Lingering { left } = &mut self.connection.phase {
            *left = left.saturating_sub(count);
            if *left == 0 {
                self.connection.phase = Phase::Over;
            }
        }
    }

    /// Refuses the request at hand: an answer of our own, then the end. Nothing of its response was begun.
    fn reject(&mut self, rejection: Rejection) {
        let info = &self.connection.info;
        let input = self.engine.input.pending();
        let first_bytes = &input[..input.len().min(128)];
        log::debug!(
            target: "stannel::bad_requests",
            "17 connection {} bad request: {rejection}: {}",
            ConnectionId(info.id),
            crate::event::Escaped(first_bytes)
        );
        self.engine
            .watch
            .tell(|observer| observer.rejected(info, rejection, first_bytes));
        self.engine.state.current.close = true;
        self.engine.state.put_error(rejection.status());
        self.end_response();
        self.connection.end_for(CloseReason::Rejected(rejection));
        self.close_after_output(Ending::Linger);
    }

    /// Refuses a request whose head is not even known.
    fn reject_head(&mut self, rejection: Rejection) {
        self.engine.state.begin(RequestFacts::UNKNOWN);
        self.reject(rejection);
    }

    /// The exchange is over: on to the next one, or to the end.
    #[inline]
    fn finish_exchange(&mut self) {
        self.end_response();
        let engine = &mut *self.engine;
        let connection = &mut *self.connection;
        let current = &mut engine.state.current;
        if current.close || engine.is_draining {
            let facts = current.facts;
            let client_is_done = connection.ended || (!facts.keeps_alive() && !facts.is_connect());
            let reason = if current.close {
                CloseReason::Finished
            } else {
                CloseReason::ServerStopped
            };
            connection.end_for(reason);
            let ending = if client_is_done && engine.input.is_empty() {
                Ending::Plain
            } else {
                Ending::Linger
            };
            self.close_after_output(ending);
            return;
        }
        log::debug!(target: "stannel::connections", "9 connection {} kept alive", ConnectionId(connection.info.id));
        if !matches!(connection.phase, Phase::Head) {
            connection.phase = Phase::Head;
        }
        connection.head_started = false;
        connection.scan = Scan::default();
        connection.empty_lines = 0;
        connection.timer = engine.keep_alive_deadline();
    }

    /// The response at hand is complete, or will never be: it is counted, and a rate of its own holds for what of it is
    /// unsent.
    #[inline]
    fn end_response(&mut self) {
        if let Some(overrides) = self.engine.state.current.overrides.take() {
            self.connection.response_rate = Some(Box::new(overrides.response_rate));
        }
        let Some(status) = self.engine.state.current.status else {
            return;
        };
        self.engine.counters(self.connection.endpoint).responses.add(1);
        let connection = &*self.connection;
        self.engine
            .watch
            .tell(|observer| observer.response(&connection.info, connection.number, status));
    }

    /// What is written is still sent, then the connection ends.
    fn close_after_output(&mut self, ending: Ending) {
        let ending = if ending == Ending::Linger && self.connection.ended {
            Ending::Plain
        } else {
            ending
        };
        self.drop_work();
        self.connection.phase = Phase::Closing(ending);
        self.connection.timer = NEVER;
        self.ending_output();
        self.discard_input();
    }

    /// Ends it as `ending` says, for `reason` unless there was one before.
    fn end_now(&mut self, reason: CloseReason, ending: Ending) {
        self.connection.end_for(reason);
        self.close_after_output(ending);
    }

    /// The server stops and no request is there. A client that is still being answered was not told, and may have
    /// sent another one that would cost it the answer.
    fn stop_idle(&mut self) {
        let ending = if self.has_output() {
            Ending::Linger
        } else {
            Ending::Plain
        };
        self.end_now(CloseReason::ServerStopped, ending);
    }

    /// Tells whoever works on the current exchange that it is over.
    fn drop_work(&mut self) {
        match std::mem::replace(&mut self.connection.phase, Phase::Over) {
            Phase::Exchange(active) => self.drop_active(active),
            Phase::Tunnel(switched) => {
                self.engine.counters(self.connection.endpoint).upgraded_closed.add(1);
                quietly(|| drop(switched));
            }
            other => self.connection.phase = other,
        }
    }

    fn arm_keep_alive(&mut self) {
        if !self.connection.head_started {
            self.connection.timer = self.engine.keep_alive_deadline();
        }
    }
}

impl Drop for Turn<'_> {
    #[inline]
    fn drop(&mut self) {
        let connection = &mut *self.connection;
        let engine = &mut *self.engine;
        if let Phase::Exchange(active) = &mut connection.phase {
            active.current.head_start = None;
        }
        let swapped = connection.input.capacity() > 0;
        if engine.input.is_empty() {
            if swapped {
                engine.input = std::mem::take(&mut connection.input);
            }
        } else if swapped {
            std::mem::swap(&mut connection.input, &mut engine.input);
        } else {
            connection.input = engine.input.split_off();
        }
        let output = &mut engine.state.output;
        let swapped = connection.output.capacity() > 0;
        if output.is_empty() {
            if swapped {
                *output = std::mem::take(&mut connection.output);
            }
            output.trim();
        } else if swapped {
            std::mem::swap(&mut connection.output, output);
        } else {
            connection.output = std::mem::take(output);
            connection.output.shrink();
        }
    }
}

impl fmt::Debug for Turn<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Turn")
            .field("connection", &self.connection)
            .finish_non_exhaustive()
    }
}
