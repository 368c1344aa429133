//! Clients of the pure core: no sockets, no threads, and a clock that only the test moves.
//!
//! A [`Core`] is one loop without its shell, a [`Client`] is one peer of it. What a client sends is read as long as the
//! connection wants to read; what the connection writes stays unsent until the client takes it. So a slow, stuck or
//! silent peer is simply one whose test does nothing.

#![allow(dead_code, reason = "each test file uses its part of it")]

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use stannel::connection::{Connection, Engine, Fate, Turn};
use stannel::timer::Time;
use stannel::{CloseReason, ConnectionInfo, Exchange, Limits, Observer, Outcome, Peer, Request, ServerOptions};

/// How a connection ended for its client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Closed,
    Aborted,
}

/// One loop: an engine, a clock, and the connections on it.
#[derive(Clone)]
pub(crate) struct Core {
    shared: Rc<RefCell<Shared>>,
    /// How often other threads woke the loop.
    wakes: Arc<AtomicUsize>,
    reasons: Arc<Reasons>,
}

struct Shared {
    engine: Engine,
    now: u64,
    slots: Vec<Slot>,
}

struct Slot {
    /// Dropped when it is over, as the shell does it.
    connection: Option<Connection>,
    end: Option<(End, u64)>,
    is_write_shut: bool,
}

/// A client of connection `key`.
pub(crate) struct Client {
    core: Core,
    key: usize,
}

/// Remembers why connections were closed, by their id.
#[derive(Default)]
struct Reasons(Mutex<Vec<(String, CloseReason)>>);

impl Observer for Reasons {
    fn closed(&self, connection: &ConnectionInfo, reason: CloseReason) {
        self.0.lock().unwrap().push((connection.id(), reason));
    }
}

impl Core {
    /// A loop whose limits are the defaults but for what `limit` changes.
    pub(crate) fn new<H>(limit: impl FnOnce(&mut Limits), handler: H) -> Self
    where
        H: FnMut(&Request<'_>, Exchange<'_>) -> Outcome + Clone + Send + Sync + 'static,
    {
        Self::with_factory(limit, move || handler.clone())
    }

    pub(crate) fn with_factory<H: stannel::Handler + 'static>(
        limit: impl FnOnce(&mut Limits),
        factory: impl Fn() -> H + Send + Sync + 'static,
    ) -> Self {
        let reasons = Arc::new(Reasons::default());
        let mut options = ServerOptions::default();
        limit(&mut options.limits);
        options.limits.validate().unwrap();
        options.observer = Some(Arc::clone(&reasons) as Arc<dyn Observer>);
        let wakes = Arc::new(AtomicUsize::new(0));
        let bell = Arc::clone(&wakes);
        let mut engine = Engine::new(&options, factory, move || {
            bell.fetch_add(1, Ordering::Relaxed);
        });
        engine.set_wall_clock(SystemTime::UNIX_EPOCH);
        let shared = Shared {
            engine,
            now: 0,
            slots: Vec::new(),
        };
        Self {
            shared: Rc::new(RefCell::new(shared)),
            wakes,
            reasons,
        }
    }

    /// A new connection.
    pub(crate) fn client(&self) -> Client {
        self.client_of(|engine, info| Connection::new(engine, info, 0))
    }

    /// A new connection that `open` makes.
    pub(crate) fn client_of(&self, open: impl FnOnce(&Engine, ConnectionInfo) -> Connection) -> Client {
        let shared = &mut *self.shared.borrow_mut();
        let key = shared.slots.len();
        let connection = open(&shared.engine, ConnectionInfo::new(key as u64, Peer::Unix));
        shared.slots.push(Slot {
            connection: Some(connection),
            end: None,
            is_write_shut: false,
        });
        Client {
            core: self.clone(),
            key,
        }
    }

    pub(crate) fn now(&self) -> u64 {
        self.shared.borrow().now
    }

    pub(crate) fn wakes(&self) -> usize {
        self.wakes.load(Ordering::Relaxed)
    }

    /// Lets time pass up to that moment; each deadline on the way is met exactly.
    pub(crate) fn at(&self, millis: u64) {
        assert!(millis >= self.now(), "time goes forward");
        let mut fired = 0;
        while let Some((deadline, key)) = self.next_deadline().filter(|&(deadline, _)| deadline <= millis) {
            fired += 1;
            assert!(
                fired < 1000,
                "the deadline of connection {key} at {deadline} never passes"
            );
            self.set_time(deadline.max(self.now()));
            self.turn(key, |turn| turn.on_timer());
        }
        self.set_time(millis);
    }

    pub(crate) fn advance(&self, millis: u64) {
        self.at(self.now() + millis);
    }

    /// The loop is busy elsewhere for so long and serves nobody.
    pub(crate) fn stall(&self, millis: u64) {
        let now = self.now() + millis;
        self.set_time(now);
        self.engine(|engine| engine.add_stall(Duration::from_millis(millis)));
    }

    pub(crate) fn engine<R>(&self, with: impl FnOnce(&mut Engine) -> R) -> R {
        with(&mut self.shared.borrow_mut().engine)
    }

    /// Delivers what other threads have posted.
    pub(crate) fn deliver(&self) {
        let deliveries = self.engine(Engine::deliveries);
        for delivery in deliveries {
            let key = delivery.key();
            if self.shared.borrow().slots[key].end.is_none() {
                self.turn(key, |turn| delivery.to(turn));
            }
        }
    }

    /// The server begins to stop.
    pub(crate) fn begin_shutdown(&self) {
        self.engine(Engine::begin_draining);
        self.for_each_open(|turn| turn.on_shutdown());
    }

    /// The time for stopping is over.
    pub(crate) fn end_shutdown(&self) {
        self.for_each_open(|turn| turn.on_shutdown_timeout());
    }

    fn for_each_open(&self, tell: impl Fn(&mut Turn<'_>)) {
        let count = self.shared.borrow().slots.len();
        for key in 0..count {
            if self.shared.borrow().slots[key].end.is_none() {
                self.turn(key, &tell);
            }
        }
    }

    fn set_time(&self, millis: u64) {
        let shared = &mut *self.shared.borrow_mut();
        shared.now = millis;
        shared.engine.set_time(Time::from_millis(millis));
    }

    fn next_deadline(&self) -> Option<(u64, usize)> {
        let Shared { engine, slots, .. } = &mut *self.shared.borrow_mut();
        let open = slots.iter_mut().enumerate().filter(|(_, slot)| slot.end.is_none());
        open.filter_map(|(key, slot)| Some((slot.connection().turn(engine, key).deadline()?.as_millis(), key)))
            .min()
    }

    /// One turn of an open connection, then what the shell would do.
    fn turn<R>(&self, key: usize, work: impl FnOnce(&mut Turn<'_>) -> R) -> R {
        let result = {
            let Shared { engine, slots, .. } = &mut *self.shared.borrow_mut();
            assert_eq!(slots[key].end, None, "connection {key} is over");
            work(&mut slots[key].connection().turn(engine, key))
        };
        self.settle(key);
        result
    }

    /// Gives it its further turns while there is room, and does what is to be done with the socket.
    fn settle(&self, key: usize) {
        let Shared { engine, slots, now } = &mut *self.shared.borrow_mut();
        let slot = &mut slots[key];
        while slot.end.is_none() {
            let mut turn = slot.connection().turn(engine, key);
            if turn.has_more() {
                turn.on_room();
                continue;
            }
            let end = match turn.fate() {
                Fate::Open => break,
                Fate::ShutWrite => {
                    turn.on_write_shut();
                    drop(turn);
                    slot.is_write_shut = true;
                    continue;
                }
                Fate::Close => End::Closed,
                Fate::Abort => End::Aborted,
            };
            turn.closed();
            drop(turn);
            slot.end = Some((end, *now));
            slot.connection = None;
        }
    }
}

impl Slot {
    fn connection(&mut self) -> &mut Connection {
        self.connection.as_mut().expect("the connection is not over")
    }
}

impl Client {
    /// Sends as much as the connection wants to read; says how much that was.
    pub(crate) fn push(&mut self, bytes: impl AsRef<[u8]>) -> usize {
        let mut rest = bytes.as_ref();
        while !rest.is_empty() && self.end().is_none() {
            let count = self.core.turn(self.key, |turn| {
                if !turn.wants_read() {
                    return 0;
                }
                let buffer = turn.read_buffer();
                let count = buffer.len().min(rest.len());
                buffer[..count].copy_from_slice(&rest[..count]);
                turn.on_read(count);
                count
            });
            if count == 0 {
                break;
            }
            rest = &rest[count..];
        }
        bytes.as_ref().len() - rest.len()
    }

    /// Sends all of it.
    #[track_caller]
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let bytes = bytes.as_ref();
        assert_eq!(self.push(bytes), bytes.len(), "the connection did not take it all");
    }

    /// Shuts down its write side.
    pub(crate) fn finish(&mut self) {
        self.core.turn(self.key, |turn| {
            assert!(turn.wants_read(), "the connection would not see the end");
            turn.on_read(0);
        });
    }

    /// Resets the connection.
    pub(crate) fn reset(&mut self) {
        self.core.turn(self.key, |turn| turn.on_disconnect(CloseReason::Reset));
    }

    /// Takes at most `limit` bytes of what is unsent.
    pub(crate) fn take(&mut self, limit: usize) -> Vec<u8> {
        if self.end().is_some() {
            return Vec::new();
        }
        self.core.turn(self.key, |turn| {
            let mut bytes = Vec::new();
            turn.copy_output(&mut bytes);
            bytes.truncate(limit);
            turn.on_written(bytes.len());
            bytes
        })
    }

    /// Takes everything, as long as something comes.
    pub(crate) fn read(&mut self) -> String {
        let mut all = Vec::new();
        loop {
            let bytes = self.take(usize::MAX);
            if bytes.is_empty() {
                return String::from_utf8(all).expect("tests answer with text");
            }
            all.extend(bytes);
        }
    }

    /// Sends all of it and takes the answer.
    #[track_caller]
    pub(crate) fn ask(&mut self, bytes: impl AsRef<[u8]>) -> String {
        self.send(bytes);
        self.read()
    }

    /// How many bytes wait to be taken.
    pub(crate) fn unsent(&self) -> usize {
        if self.end().is_some() {
            return 0;
        }
        self.look(|turn| {
            let mut bytes = Vec::new();
            turn.copy_output(&mut bytes);
            bytes.len()
        })
    }

    pub(crate) fn deadline(&self) -> Option<u64> {
        self.look(|turn| turn.deadline()).map(Time::as_millis)
    }

    pub(crate) fn wants_read(&self) -> bool {
        self.look(|turn| turn.wants_read())
    }

    /// Bytes that the connection holds in buffers between its turns.
    pub(crate) fn memory(&self) -> usize {
        self.core.shared.borrow().slots[self.key]
            .connection
            .as_ref()
            .map_or(0, Connection::memory)
    }

    pub(crate) fn is_open(&self) -> bool {
        self.end().is_none()
    }

    /// How it ended, and when.
    pub(crate) fn end(&self) -> Option<(End, u64)> {
        self.core.shared.borrow().slots[self.key].end
    }

    /// Whether the server has shut down its write side.
    pub(crate) fn is_write_shut(&self) -> bool {
        self.core.shared.borrow().slots[self.key].is_write_shut
    }

    /// Why it was closed, once it is.
    pub(crate) fn reason(&self) -> Option<CloseReason> {
        let id = ConnectionInfo::new(self.key as u64, Peer::Unix).id();
        let reasons = self.core.reasons.0.lock().unwrap();
        let mut own = reasons.iter().filter(|(other, _)| *other == id);
        let reason = own.next().map(|&(_, reason)| reason);
        assert!(own.next().is_none(), "a connection is closed once");
        reason
    }

    fn look<R>(&self, look: impl FnOnce(&mut Turn<'_>) -> R) -> R {
        let Shared { engine, slots, .. } = &mut *self.core.shared.borrow_mut();
        look(&mut slots[self.key].connection().turn(engine, self.key))
    }
}

/// The status of the first response in `text`.
#[track_caller]
pub(crate) fn status(text: &str) -> u16 {
    let code = text.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3));
    let code = code.unwrap_or_else(|| panic!("no response: {text:?}"));
    code.parse().unwrap()
}

/// The bodies of responses that all declare their lengths.
#[track_caller]
pub(crate) fn bodies(mut text: &str) -> Vec<&str> {
    let mut bodies = Vec::new();
    while !text.is_empty() {
        let (head, rest) = text.split_once("\r\n\r\n").expect("a whole head");
        let length = head
            .split("\r\n")
            .find_map(|line| line.strip_prefix("Content-Length: "));
        let length = length.expect("a declared length").parse().unwrap();
        bodies.push(&rest[..length]);
        text = &rest[length..];
    }
    bodies
}

/// A handler that answers everything with `ok` and reads no body.
pub(crate) fn ok(_: &Request<'_>, exchange: Exchange<'_>) -> Outcome {
    exchange.respond(stannel::StatusCode::OK).send("ok")
}

/// A handler that answers with the collected body.
pub(crate) fn echo(_: &Request<'_>, exchange: Exchange<'_>) -> Outcome {
    exchange.collect(1 << 20, |body, exchange| {
        exchange.respond(stannel::StatusCode::OK).send(body)
    })
}

/// A GET request.
pub(crate) const GET: &str = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";

/// The head of a POST with so many body bytes.
pub(crate) fn post(length: usize) -> String {
    format!("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: {length}\r\n\r\n")
}
