//! The loop of one core: it owns its listeners, a slab of connections, a timer wheel, a mailbox and a handler.

use super::accepting::{Listening, add_listener};
use super::command::Commands;
use super::connection_io::{Io, reason_for};
use super::listener::Listener;
use super::shutdown::{SharedStage, Stage, wake};
use super::transport::Transport;
use crate::connection::{Connection, Engine, Fate, HandlerFactory, Turn};
use crate::endpoint::ServerOptions;
use crate::event::{CloseReason, Counters};
use crate::mailbox::Mailbox;
use crate::places::Places;
use crate::timer::{Time, TimerWheel};
use mio::{Events, Poll, Token, Waker};
use slab::Slab;
use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant, SystemTime};

const WAKE: Token = Token(usize::MAX);

/// Listeners have the tokens from here downwards.
pub(super) const LAST_LISTENER: usize = usize::MAX - 1;

/// Tokens below this are connections'.
const FIRST_LISTENER: usize = LAST_LISTENER - (1 << 20);

/// How many events one wait can bring.
const EVENTS: usize = 1024;

/// How often a connection may go on in one turn before others have theirs.
const ROUNDS_PER_TURN: usize = 2;

/// A turn reads the clock once, at its start, so what happens during it is taken to have happened then: a timeout that
/// begins in a turn would end early by as much. Turns are shorter than this unless a handler blocks.
const TURN: Duration = Duration::from_millis(100);

/// What all workers of a server share.
pub(super) struct Shared {
    pub(super) options: ServerOptions,
    pub(super) factory: HandlerFactory,
    pub(super) connections: Places,
    pub(super) upgraded: Places,
    pub(super) next_id: AtomicU64,
    pub(super) stage: Arc<SharedStage>,
}

/// What a worker needs from the system, set up before its thread starts so that failures show at bind.
pub(super) struct WorkerParts {
    poll: Poll,
    waker: Arc<Waker>,
    commands: Commands,
    listeners: Slab<Listening>,
}

impl WorkerParts {
    pub(super) fn new() -> io::Result<Self> {
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKE)?);
        Ok(Self {
            poll,
            commands: Commands::new(Arc::clone(&waker)),
            waker,
            listeners: Slab::new(),
        })
    }

    pub(super) fn add_listener(&mut self, endpoint: u16, listener: Listener, transport: Transport) -> io::Result<()> {
        add_listener(&mut self.listeners, &self.poll, endpoint, listener, transport)
    }

    /// Has its sockets lie from now on.
    #[cfg(all(test, feature = "tls"))]
    pub(super) fn lie(&mut self, seed: u64) {
        let lies = super::tests::lies::Lies::new(seed, self.poll.registry().try_clone().unwrap());
        for (_, listening) in &mut self.listeners {
            listening.transport.lies = Some(Arc::clone(&lies));
        }
    }

    pub(super) fn commands(&self) -> Commands {
        self.commands.clone()
    }

    pub(super) fn waker(&self) -> Arc<Waker> {
        Arc::clone(&self.waker)
    }
}

/// A connection with its socket.
pub(super) struct Entry {
    pub(super) connection: Connection,
    pub(super) io: Io,
}

/// Where a connection's work led.
enum Went {
    /// It waits for something.
    On,
    Over,
}

pub(super) struct Worker<'a> {
    pub(super) shared: &'a Shared,
    pub(super) poll: Poll,
    pub(super) commands: Commands,
    pub(super) listeners: Slab<Listening>,
    /// Whether one of them may have a connection to accept.
    pub(super) any_ready: bool,
    /// Connections that may be open at once.
    pub(super) connections: Places,
    /// Endpoints that are no more, and when their last connections are reset.
    pub(super) retired: Vec<(u16, Time)>,
    pub(super) entries: Slab<Entry>,
    pub(super) engine: Engine,
    pub(super) wheel: TimerWheel,
    /// Connections that can go on without waiting for anything.
    pub(super) queue: VecDeque<usize>,
    /// Connections whose TLS handshake can go on. It may come to a private-key operation: a turn takes one of them, so
    /// that nobody else waits for more than one.
    handshakes: VecDeque<usize>,
    /// When accepting is tried again after the system refused it.
    pub(super) accept_again: Option<Time>,
    /// Whether the system has refused since a listener's queue was last empty: said once, not at each try.
    pub(super) is_starved: bool,
    pub(super) stage: Stage,
    pub(super) start: Instant,
    pub(super) now: Time,
    /// The second for which the date is rendered.
    pub(super) second: u64,
    /// How long the last wait was meant to last at most.
    pub(super) last_timeout: Option<Duration>,
}

impl<'a> Worker<'a> {
    pub(super) fn new(parts: WorkerParts, shared: &'a Shared, counters: Vec<Arc<Counters>>) -> Self {
        let WorkerParts {
            poll,
            waker,
            commands,
            listeners,
        } = parts;
        let mailbox = Mailbox::new(move || wake(&waker));
        let factory = Arc::clone(&shared.factory);
        let mut engine = Engine::with_parts(
            &shared.options,
            factory,
            Arc::new(mailbox),
            shared.upgraded.clone(),
            counters,
        );
        engine.set_wall_clock(SystemTime::now());
        Self {
            shared,
            poll,
            commands,
            listeners,
            any_ready: false,
            connections: shared.connections.clone(),
            retired: Vec::new(),
            entries: Slab::new(),
            engine,
            wheel: TimerWheel::new(),
            queue: VecDeque::new(),
            handshakes: VecDeque::new(),
            accept_again: None,
            is_starved: false,
            stage: Stage::Running,
            start: Instant::now(),
            now: Time::ZERO,
            second: 0,
            last_timeout: Some(Duration::ZERO),
        }
    }

    /// Serves until the server has stopped and no connection is left.
    pub(super) fn run(mut self) {
        let mut events = Events::with_capacity(EVENTS);
        while self.stage < Stage::Draining || !self.entries.is_empty() {
            self.last_timeout = self.timeout();
            if let Err(error) = self.poll.poll(&mut events, self.last_timeout) {
                if error.kind() != io::ErrorKind::Interrupted {
                    log::error!(target: "stannel", "cannot wait for events: {error}");
                }
                continue;
            }
            self.tick();
            self.commands.turn();
            // Whoever joins the queue in this turn has had its share of it.
            let queued = self.queue.len();
            for event in &events {
                match event.token() {
                    WAKE => {
                        self.deliver_letters();
                        self.obey_commands();
                    }
                    Token(token) if token > FIRST_LISTENER => {
                        if let Some(listening) = self.listeners.get_mut(LAST_LISTENER - token) {
                            listening.is_ready = true;
                            self.any_ready = true;
                        }
                    }
                    Token(key) => {
                        let Some(entry) = self.entries.get_mut(key) else {
                            continue;
                        };
                        entry.io.is_readable |= event.is_readable() || event.is_read_closed();
                        entry.io.more_announced |= event.is_read_closed() || event.is_priority();
                        entry.io.is_stuck &= !event.is_writable();
                        if event.is_error() {
                            // The peer reset it, or the kernel gave it up.
                            let reason = entry
                                .io
                                .socket
                                .error()
                                .map_or(CloseReason::Reset, |error| reason_for(&error));
                            self.work_after(key, |turn| turn.on_disconnect(reason));
                        } else {
                            self.work_or_queue(key);
                        }
                    }
                }
            }
            self.follow_stage();
            self.accept_all();
            for _ in 0..queued {
                let Some(key) = self.queue.pop_front() else { break };
                self.work_queued(key);
            }
            if let Some(key) = self.handshakes.pop_front() {
                self.work_queued(key);
            }
            self.fire_timers();
        }
    }

    /// How long nothing can happen but events.
    fn timeout(&self) -> Option<Duration> {
        let may_accept = self.accept_again.is_none() && self.any_ready;
        if may_accept || !self.queue.is_empty() || !self.handshakes.is_empty() {
            return Some(Duration::ZERO);
        }
        let timers = self.wheel.next_deadline(self.overdue());
        let accept = self.accept_again.map(|again| again.since(self.now));
        let retired = self.retired.iter().map(|(_, until)| until.since(self.now)).min();
        [timers, accept, retired].into_iter().flatten().min()
    }

    /// Reads the clocks.
    fn tick(&mut self) {
        let since_start = self.start.elapsed();
        let now = Time::from_millis(since_start.as_secs() * 1000 + u64::from(since_start.subsec_millis()));
        if now.as_millis() - self.now.as_millis() > 1000 {
            self.note_stall(now);
        }
        self.now = now;
        self.engine.set_time(now);
        let second = now.as_millis() / 1000;
        if second != self.second {
            self.second = second;
            self.engine.set_wall_clock(SystemTime::now());
        }
    }

    /// What the last turn's work took beyond a second is nobody's fault out there.
    #[cold]
    fn note_stall(&mut self, now: Time) {
        let Some(timeout) = self.last_timeout else { return };
        let stall = now.since(self.now).saturating_sub(timeout + Duration::from_secs(1));
        if !stall.is_zero() {
            log::warn!(target: "stannel", "22 the event loop was held up for {stall:?}: a handler blocks");
            self.engine.add_stall(stall);
        }
    }

    /// Lets a connection work for which something has come, unless it has to wait for its turn.
    #[inline]
    pub(super) fn work_or_queue(&mut self, key: usize) {
        let Some(entry) = self.entries.get_mut(key) else {
            return;
        };
        if entry.io.is_queued {
            return;
        }
        if entry.connection.is_handshaking() {
            entry.io.is_queued = true;
            self.handshakes.push_back(key);
        } else {
            self.work(key);
        }
    }

    /// It is its turn now, if it is still there.
    fn work_queued(&mut self, key: usize) {
        if let Some(entry) = self.entries.get_mut(key) {
            entry.io.is_queued = false;
            self.work(key);
        }
    }

    pub(super) fn work(&mut self, key: usize) {
        self.work_after(key, |_| ());
    }

    /// Lets a connection work after it was told something: read, go on, write, as far as that leads without waiting.
    ///
    /// What the user's code leaves behind may panic even while it is dropped; that costs its own connection.
    #[inline]
    pub(super) fn work_after(&mut self, key: usize, tell: impl FnOnce(&mut Turn<'_>)) {
        match catch_unwind(AssertUnwindSafe(|| self.go_on(key, tell))) {
            Ok(Went::On) => {}
            Ok(Went::Over) => self.remove(key),
            Err(_) => self.give_up(key),
        }
    }

    fn go_on(&mut self, key: usize, tell: impl FnOnce(&mut Turn<'_>)) -> Went {
        let Some(entry) = self.entries.get_mut(key) else {
            return Went::On;
        };
        let Entry { connection, io } = entry;
        let mut turn = connection.turn(&mut self.engine, key);
        tell(&mut turn);
        let mut rounds = 0;
        loop {
            rounds += 1;
            let has_read = io.is_readable && turn.wants_read() && io.read(&mut turn);
            if !has_read && turn.has_more() {
                turn.on_room();
            }
            if !io.is_stuck && turn.has_output() {
                io.write(&mut turn);
            }
            let goes_on = match turn.fate() {
                Fate::Open => (io.is_readable && turn.wants_read()) || (!io.is_stuck && turn.has_more()),
                Fate::ShutWrite => {
                    if io.socket.shut_write().is_ok() {
                        turn.on_write_shut();
                    } else {
                        turn.on_disconnect(CloseReason::Reset);
                    }
                    true
                }
                Fate::Close => break,
                Fate::Abort => {
                    io.socket.abort_on_close();
                    break;
                }
            };
            let has_had_its_share = rounds >= ROUNDS_PER_TURN && turn.fate() == Fate::Open;
            if goes_on && !has_had_its_share {
                continue;
            }
            if let Err(error) = io.settle(&turn, &self.poll, &mut self.wheel, key) {
                // Nothing would ever wake it but its deadlines, and it may have none.
                log::error!(target: "stannel", "cannot watch a connection: {error}; it is closed");
                turn.on_disconnect(CloseReason::IoError);
                io.socket.abort_on_close();
                break;
            }
            if goes_on && !io.is_queued {
                io.is_queued = true;
                let queue = if turn.is_handshaking() {
                    &mut self.handshakes
                } else {
                    &mut self.queue
                };
                queue.push_back(key);
            }
            return Went::On;
        }
        io.tell_closed(&turn);
        turn.closed();
        Went::Over
    }

    /// A panic that nothing below caught: the connection is reset, the loop lives on.
    #[cold]
    fn give_up(&mut self, key: usize) {
        log::error!(target: "stannel", "13 handler failed: what it left behind panicked when it was dropped");
        self.engine.after_panic();
        let Some(mut entry) = self.entries.try_remove(key) else {
            return;
        };
        self.wheel.disarm(key);
        entry.io.socket.abort_on_close();
        let engine = &mut self.engine;
        let close = AssertUnwindSafe(|| {
            let mut turn = entry.connection.turn(engine, key);
            turn.on_disconnect(CloseReason::ErrorAfterStartingResponse);
            turn.closed();
            drop(turn);
            drop(entry);
        });
        if catch_unwind(close).is_err() {
            self.engine.after_panic();
        }
    }

    /// Forgets a connection; dropping its socket closes it, which also takes it from the poll.
    fn remove(&mut self, key: usize) {
        self.wheel.disarm(key);
        drop(self.entries.remove(key));
    }

    fn deliver_letters(&mut self) {
        for delivery in self.engine.deliveries() {
            self.work_after(delivery.key(), |turn| delivery.to(turn));
        }
    }

    fn fire_timers(&mut self) {
        if self.accept_again.is_some_and(|again| self.now >= again) {
            self.accept_again = None;
        }
        if !self.retired.is_empty() {
            self.reset_retired();
        }
        let overdue = self.overdue();
        if !self.wheel.has_expired(overdue) {
            return;
        }
        while let Some(key) = self.wheel.pop_expired(overdue) {
            self.work_after(key, |turn| {
                if turn.deadline().is_some_and(|deadline| deadline <= overdue) {
                    turn.on_timer();
                }
            });
        }
    }

    /// Deadlines up to here have passed for sure.
    fn overdue(&self) -> Time {
        Time::from_millis(self.now.as_millis().saturating_sub(TURN.as_millis() as u64))
    }
}
