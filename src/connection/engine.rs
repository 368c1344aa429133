//! What the connections of one loop share.

use crate::buffer::{Input, Output};
use crate::endpoint::{Limits, ServerOptions};
use crate::event::{Counters, Watch};
use crate::handler::{ExchangeState, Handler, Reply};
use crate::http1::CommonFields;
use crate::http1::head::{HeadLimits, Scan};
use crate::http1::host::KnownHost;
use crate::http1::known_request::KnownRequest;
use crate::http1::section::KnownSection;
use crate::mailbox::Mailbox;
use crate::places::Places;
use crate::timer::Time;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::NEVER;
use super::active::Active;
use super::exchange::quietly;
use super::parked::Parked;

/// Makes a handler for each loop, and a new one where a handler panicked.
pub(crate) type HandlerFactory = Arc<dyn Fn() -> Box<dyn Handler> + Send + Sync>;

/// One read takes at most this much: it bounds what one client can have done in one turn.
pub(super) const READ_SIZE: usize = 64 << 10;

/// The same for a body, which asks for less work: each read has the kernel tell the client of new room, and the fewer these
/// are the cheaper is an upload.
const BODY_READ_SIZE: usize = 256 << 10;

/// Finished exchanges, and places for what was left over, whose memory is kept for the next ones.
const SPARE_EXCHANGES: usize = 64;

/// What the connections of one loop share: handler, buffers, settings, counters and the time.
///
/// It stays on the thread of its loop. [`Server`](crate::Server) makes one for each worker.
pub struct Engine {
    pub(super) state: ExchangeState,
    /// The loop's read buffer, lent to the connection at work.
    pub(super) input: Input,
    /// How far an incomplete head at the front of the input was checked.
    pub(super) scan: Scan,
    /// When the kernel last took a byte of the output at hand, or it began to wait, in served time.
    pub(super) last_taken: Time,
    /// Where TLS records are read, once there are any.
    pub(super) records: Vec<u8>,
    pub(super) head_limits: HeadLimits,
    /// Those of connections that are still to come.
    settings: Arc<Settings>,
    /// Those of the connection at work.
    in_force: Arc<Settings>,
    pub(super) known_host: KnownHost,
    known: Known,
    /// Where decoded paths are written.
    pub(super) scratch: Vec<u8>,
    pub(super) watch: Watch,
    pub(super) counters: Vec<Arc<Counters>>,
    /// Whether no connection may begin another request.
    pub(super) drains: bool,
    /// Whether every response ends its connection.
    stops: bool,
    /// Whether the connection at work may begin no other request.
    pub(super) is_draining: bool,
    #[expect(clippy::vec_box, reason = "it is the boxes that are kept")]
    spare: Vec<Box<Active>>,
    #[expect(clippy::vec_box, reason = "it is the boxes that are kept")]
    spare_parked: Vec<Box<Parked>>,
    handler: Option<Box<dyn Handler>>,
    factory: HandlerFactory,
    now: Time,
    /// How long the loop could not serve anybody, in all, in milliseconds.
    pub(super) stalled: u64,
    /// `keep_alive_timeout` in milliseconds.
    keep_alive: Option<u64>,
}

/// What a connection has from the moment when it was accepted, whatever is changed later.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) limits: Arc<Limits>,
    add_server_header: bool,
}

const SERVER: &str = "stannel";

impl Engine {
    /// An engine that stands alone, for whoever drives connections without a server. Letters from other threads call
    /// `wake`; take them with [`deliveries`](Self::deliveries).
    ///
    /// Of the options it uses limits, Server field and observer; endpoints, workers and signals are the driver's
    /// business, and so is [`Limits::validate`]. Its clocks stand at the beginning of their time until they are set.
    ///
    /// ```
    /// use stannel::connection::{Connection, Engine};
    /// use stannel::{ConnectionInfo, Exchange, Peer, Request, ServerOptions, StatusCode};
    ///
    /// let hello = |_: &Request<'_>, exchange: Exchange<'_>| exchange.respond(StatusCode::OK).send("hello");
    /// let mut engine = Engine::new(&ServerOptions::default(), move || hello, || ());
    /// let mut connection = Connection::new(&engine, ConnectionInfo::new(1, Peer::Unix), 0);
    /// let mut turn = connection.turn(&mut engine, 0);
    /// turn.on_bytes(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    /// assert!(turn.output().unwrap().ends_with(b"hello"));
    /// ```
    #[must_use]
    pub fn new<F, H>(options: &ServerOptions, factory: F, wake: impl Fn() + Send + Sync + 'static) -> Self
    where
        F: Fn() -> H + Send + Sync + 'static,
        H: Handler + 'static,
    {
        Self::with_parts(
            options,
            Arc::new(move || Box::new(factory())),
            Arc::new(Mailbox::new(wake)),
            Places::new(options.limits.max_concurrent_upgraded_connections),
            vec![Arc::default()],
        )
    }

    pub(crate) fn with_parts(
        options: &ServerOptions,
        factory: HandlerFactory,
        mailbox: Arc<Mailbox>,
        upgraded: Places,
        counters: Vec<Arc<Counters>>,
    ) -> Self {
        let limits = Arc::new(options.limits.clone());
        let server = options.add_server_header.then_some(SERVER);
        let settings = Arc::new(Settings {
            limits: Arc::clone(&limits),
            add_server_header: options.add_server_header,
        });
        let common = CommonFields::new(server, SystemTime::UNIX_EPOCH);
        Self {
            head_limits: head_limits(&limits),
            state: ExchangeState::new(limits, common, mailbox, upgraded),
            in_force: Arc::clone(&settings),
            settings,
            input: Input::with_capacity(BODY_READ_SIZE),
            scan: Scan::default(),
            last_taken: Time::ZERO,
            records: Vec::new(),
            known_host: KnownHost::default(),
            known: Known::default(),
            scratch: Vec::new(),
            watch: Watch::new(options.observer.clone()),
            counters,
            drains: false,
            stops: false,
            is_draining: false,
            spare: Vec::new(),
            spare_parked: Vec::new(),
            handler: None,
            factory,
            now: Time::ZERO,
            stalled: 0,
            keep_alive: options.limits.keep_alive_timeout.map(millis),
        }
    }

    /// The loop's time: milliseconds that never go back.
    #[inline]
    pub fn set_time(&mut self, now: Time) {
        self.now = now;
    }

    /// The time of day, for Date and [`Exchange::time_of_day`](crate::Exchange::time_of_day). Call it once a second.
    pub fn set_wall_clock(&mut self, now: SystemTime) {
        self.state.common.set_time(now);
    }

    /// The loop itself was busy elsewhere for so long: no peer shall be blamed for that, so data rates and stall timeouts
    /// leave that time out.
    pub fn add_stall(&mut self, stalled: Duration) {
        self.stalled = self.stalled.saturating_add(millis(stalled));
    }

    /// From now on every response says `Connection: close` and ends its connection.
    pub fn begin_lame_duck(&mut self) {
        self.stops = true;
    }

    /// From now on no connection begins another request, but one that is partly there; call
    /// [`Turn::on_shutdown`](super::Turn::on_shutdown) for each of them.
    pub fn begin_draining(&mut self) {
        self.stops = true;
        self.drains = true;
        if let Some(handler) = &mut self.handler
            && catch_unwind(AssertUnwindSafe(|| handler.on_shutdown())).is_err()
        {
            log::error!(target: "stannel", "13 handler failed: it panicked when the server stopped");
        }
    }

    /// What came from other threads since it was last asked; give each to the connection with its key, and drop those for
    /// keys that are gone.
    pub fn deliveries(&mut self) -> Vec<Delivery> {
        let mut letters = Vec::new();
        self.state.mailbox.take(&mut letters);
        letters.into_iter().map(|letter| Delivery { letter }).collect()
    }

    pub(crate) fn now(&self) -> Time {
        self.now
    }

    /// The time without the loop's own stalls.
    #[inline]
    pub(super) fn served(&self) -> Time {
        Time::from_millis(self.now.as_millis().saturating_sub(self.stalled))
    }

    /// Connections that are made from now on have these limits, and a Server field or none; those that are there keep what
    /// they have.
    pub fn set_options(&mut self, limits: Arc<Limits>, add_server_header: bool) {
        self.settings = Arc::new(Settings {
            limits,
            add_server_header,
        });
    }

    /// At most so many upgraded connections from now on, those that are there not counted.
    pub(crate) fn set_upgraded(&mut self, upgraded: Places) {
        self.state.upgraded = upgraded;
    }

    pub(super) fn settings(&self) -> &Arc<Settings> {
        &self.settings
    }

    /// Gives an endpoint its counters; a new one or one whose index is free again.
    pub(crate) fn set_counters(&mut self, endpoint: u16, counters: Arc<Counters>) {
        let index = usize::from(endpoint);
        if self.counters.len() <= index {
            self.counters.resize_with(index + 1, Arc::default);
        }
        self.counters[index] = counters;
    }

    /// What differs from connection to connection, for the length of a turn.
    #[inline]
    pub(super) fn begin_turn(&mut self, settings: &Arc<Settings>, is_retired: bool) {
        self.is_draining = self.drains | is_retired;
        self.state.is_stopping = self.stops | is_retired;
        if !Arc::ptr_eq(settings, &self.in_force) {
            self.put_in_force(settings);
        }
    }

    #[cold]
    fn put_in_force(&mut self, settings: &Arc<Settings>) {
        let limits = &settings.limits;
        self.head_limits = head_limits(limits);
        self.keep_alive = limits.keep_alive_timeout.map(millis);
        self.state.limits = Arc::clone(limits);
        if settings.add_server_header != self.in_force.add_server_header {
            let server = settings.add_server_header.then_some(SERVER);
            self.state.common = CommonFields::new(server, self.state.common.now());
        }
        self.in_force = Arc::clone(settings);
    }

    #[inline]
    pub(super) fn keep_alive_deadline(&self) -> Time {
        self.keep_alive.map_or(NEVER, |timeout| self.now.plus_millis(timeout))
    }

    pub(super) fn counters(&self, endpoint: u16) -> &Counters {
        &self.counters[usize::from(endpoint)]
    }

    /// A turn ended by a panic: nothing that was decided in it holds.
    pub(crate) fn after_panic(&mut self) {
        self.state.reply = Reply::Open;
        self.state.output = Output::default();
        self.input = Input::with_capacity(BODY_READ_SIZE);
        self.scan = Scan::default();
    }

    pub(crate) fn count_rejected_connection(&self, endpoint: u16) {
        self.counters(endpoint).connection_rejected();
    }

    /// The handler, made now if there is none; `None` if it cannot be made.
    #[inline]
    pub(super) fn handler<'a>(
        handler: &'a mut Option<Box<dyn Handler>>,
        factory: &HandlerFactory,
    ) -> Option<&'a mut Box<dyn Handler>> {
        if handler.is_none() {
            *handler = catch_unwind(AssertUnwindSafe(|| factory())).ok();
        }
        handler.as_mut()
    }

    #[inline]
    pub(super) fn split(&mut self) -> (Parts<'_>, &mut Known) {
        let parts = Parts {
            input: &self.input,
            scan: &mut self.scan,
            known_host: &mut self.known_host,
            scratch: &mut self.scratch,
            head_limits: &self.head_limits,
            answering: Answering {
                state: &mut self.state,
                handler: &mut self.handler,
                factory: &self.factory,
                watch: &self.watch,
            },
        };
        (parts, &mut self.known)
    }

    pub(super) fn spare_active(&mut self) -> Option<Box<Active>> {
        self.spare.pop()
    }

    /// An empty place for what is left over.
    pub(super) fn spare_parked(&mut self) -> Box<Parked> {
        self.spare_parked.pop().unwrap_or_default()
    }

    pub(super) fn keep_parked(&mut self, parked: Box<Parked>) {
        if self.spare_parked.len() < SPARE_EXCHANGES {
            self.spare_parked.push(parked);
        }
    }

    pub(super) fn keep_active(&mut self, active: Box<Active>) {
        if self.spare.len() < SPARE_EXCHANGES {
            self.spare.push(active);
        }
    }
}

/// What the loop has read before and need not read again.
#[derive(Debug, Default)]
pub(super) struct Known {
    pub(super) section: KnownSection,
    /// One with that section.
    pub(super) request: KnownRequest,
}

/// What a connection needs while it reads a head and shows it to the handler.
pub(super) struct Parts<'a> {
    pub(super) input: &'a Input,
    pub(super) scan: &'a mut Scan,
    pub(super) known_host: &'a mut KnownHost,
    pub(super) scratch: &'a mut Vec<u8>,
    pub(super) head_limits: &'a HeadLimits,
    pub(super) answering: Answering<'a>,
}

/// Who hears of a request.
pub(super) struct Answering<'a> {
    pub(super) state: &'a mut ExchangeState,
    pub(super) handler: &'a mut Option<Box<dyn Handler>>,
    pub(super) factory: &'a HandlerFactory,
    pub(super) watch: &'a Watch,
}

/// Something from another thread, on its way to its connection: a deferred answer, or a wake-up.
pub struct Delivery {
    letter: crate::mailbox::Letter,
}

impl Delivery {
    /// The key of the connection that it is for; that may be gone, or be another one by now.
    #[must_use]
    pub fn key(&self) -> usize {
        self.letter.key
    }

    /// Hands it over; a connection that it is not for ignores it.
    pub fn to(self, turn: &mut super::Turn<'_>) {
        if let crate::mailbox::Content::Wake(bell) = &self.letter.content {
            bell.answered();
        }
        turn.on_letter(self.letter);
    }
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery")
            .field("key", &self.letter.key)
            .finish_non_exhaustive()
    }
}

pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn head_limits(limits: &Limits) -> HeadLimits {
    HeadLimits {
        line: limits.max_request_line_size,
        fields_size: limits.max_request_headers_total_size,
        fields: limits.max_request_header_count,
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // What the user's code left in there may panic while it is dropped.
        quietly(|| self.state.mailbox.close());
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine")
            .field("now", &self.now)
            .field("drains", &self.drains)
            .finish_non_exhaustive()
    }
}
