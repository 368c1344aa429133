//! A connection without a socket: the client's end, the kernel and the clock are played here.

use super::cut::Mode;
use super::dice::Dice;
use super::play::Wire;
use stannel::connection::{Connection, Engine, Fate, Turn};
use stannel::timer::Time;
use stannel::{ConnectionInfo, Handler, Peer, ServerOptions};
use std::collections::VecDeque;
use std::io::IoSlice;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

type Result<T> = std::result::Result<T, String>;

/// What a connection may hold at most, whatever its peer sends.
const MOST_MEMORY: usize = 2 << 20;

/// How long a server may linger for a client that stays.
const LINGER_LIMIT: Duration = Duration::from_secs(2);

/// What the connections of one loop share.
pub(crate) struct Loop {
    engine: Engine,
    now: Time,
    is_woken: Arc<AtomicBool>,
    /// How many connections there were.
    connections: usize,
}

impl Loop {
    pub(crate) fn new<H: Handler + 'static>(factory: impl Fn() -> H + Send + Sync + 'static) -> Self {
        let is_woken = Arc::new(AtomicBool::new(false));
        let bell = Arc::clone(&is_woken);
        let engine = Engine::new(&ServerOptions::default(), factory, move || {
            bell.store(true, Ordering::Release);
        });
        Self {
            engine,
            now: Time::ZERO,
            is_woken,
            connections: 0,
        }
    }

    /// Opens a connection; how its bytes are cut on their way to the client follows from the mode.
    ///
    /// Each connection is opened at the same time of day, so that what a server sends can be compared.
    pub(crate) fn connect(&mut self, mode: Mode, dice: Dice) -> PureWire<'_> {
        self.connect_with(mode, dice, |engine, info| Connection::new(engine, info, 0))
    }

    /// The same for a connection that `open` makes.
    pub(crate) fn connect_with(
        &mut self,
        mode: Mode,
        dice: Dice,
        open: impl FnOnce(&Engine, ConnectionInfo) -> Connection,
    ) -> PureWire<'_> {
        self.engine.set_wall_clock(wall_clock(Duration::ZERO));
        self.connections += 1;
        let key = self.connections;
        let info = ConnectionInfo::new(key as u64, Peer::Unix);
        let connection = open(&self.engine, info);
        PureWire {
            opened: self.now,
            shared: self,
            connection,
            key,
            mode,
            dice,
            to_server: VecDeque::new(),
            end_to_server: End::Open,
            received: Vec::new(),
            from_server: End::Open,
            is_over: false,
        }
    }
}

/// The time of day when a connection has lasted so long.
fn wall_clock(lasted: Duration) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000) + lasted
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    Open,
    /// Sent, but not read by the server.
    Sent,
    Ended,
    /// The connection was reset.
    Reset,
}

/// A connection and the client's end of it.
pub(crate) struct PureWire<'a> {
    shared: &'a mut Loop,
    connection: Connection,
    key: usize,
    mode: Mode,
    dice: Dice,
    opened: Time,
    /// What the client has sent and the server has not read.
    to_server: VecDeque<u8>,
    end_to_server: End,
    received: Vec<u8>,
    from_server: End,
    /// Whether the server has closed its socket.
    is_over: bool,
}

impl PureWire<'_> {
    fn turn(&mut self) -> Turn<'_> {
        self.connection.turn(&mut self.shared.engine, self.key)
    }

    fn set_time(&mut self, now: Time) {
        let shared = &mut *self.shared;
        shared.now = now.max(shared.now);
        shared.engine.set_time(shared.now);
        shared.engine.set_wall_clock(wall_clock(shared.now.since(self.opened)));
    }

    fn deadline(&mut self) -> Option<Time> {
        if self.is_over { None } else { self.turn().deadline() }
    }

    /// Lets the server do everything that it can do without time passing.
    fn run(&mut self) -> Result<()> {
        while !self.is_over {
            let letters = self.deliver();
            let read = self.read();
            let wrote = self.write();
            let went_on = self.go_on();
            let ended = self.follow_fate();
            let memory = self.connection.memory();
            if memory > MOST_MEMORY {
                return Err(format!("the connection holds {memory} bytes"));
            }
            if !(letters || read || wrote || went_on || ended) {
                break;
            }
        }
        Ok(())
    }

    fn deliver(&mut self) -> bool {
        let is_woken = self.shared.is_woken.swap(false, Ordering::AcqRel);
        if is_woken {
            for delivery in self.shared.engine.deliveries() {
                if delivery.key() == self.key {
                    delivery.to(&mut self.turn());
                }
            }
        }
        is_woken
    }

    fn read(&mut self) -> bool {
        let mut turn = self.connection.turn(&mut self.shared.engine, self.key);
        if !turn.wants_read() {
            return false;
        }
        if self.to_server.is_empty() {
            let has_end = self.end_to_server == End::Sent;
            if has_end {
                self.end_to_server = End::Ended;
                turn.on_read(0);
            }
            return has_end;
        }
        let (waiting, _) = self.to_server.as_slices();
        let buffer = turn.read_buffer();
        let count = buffer.len().min(waiting.len());
        buffer[..count].copy_from_slice(&waiting[..count]);
        turn.on_read(count);
        drop(turn);
        self.to_server.drain(..count);
        true
    }

    /// The client takes output, in random pieces if that is the mode.
    fn write(&mut self) -> bool {
        let most = match self.mode {
            Mode::Random(_) => [1, 3, 50, 1000, 20_000][self.dice.below(5)],
            Mode::Whole | Mode::Bytes | Mode::Cuts => usize::MAX,
        };
        let mut turn = self.connection.turn(&mut self.shared.engine, self.key);
        // What is still in the process when a connection is reset is lost.
        if !turn.has_output() || turn.fate() != Fate::Open {
            return false;
        }
        let mut slices = [IoSlice::new(&[]); 16];
        let filled = turn.output_slices(&mut slices);
        let mut taken = 0;
        for slice in &slices[..filled] {
            let part = slice.len().min(most - taken);
            self.received.extend_from_slice(&slice[..part]);
            taken += part;
        }
        turn.on_written(taken);
        true
    }

    fn go_on(&mut self) -> bool {
        let mut turn = self.turn();
        let has_more = turn.has_more();
        if has_more {
            turn.on_room();
        }
        has_more
    }

    fn follow_fate(&mut self) -> bool {
        let mut turn = self.turn();
        let fate = turn.fate();
        if fate == Fate::ShutWrite {
            turn.on_write_shut();
        }
        drop(turn);
        match fate {
            Fate::Open => return false,
            Fate::ShutWrite => {}
            Fate::Close | Fate::Abort => {
                self.is_over = true;
                self.to_server.clear();
            }
        }
        if self.from_server == End::Open {
            self.from_server = if fate == Fate::Abort { End::Reset } else { End::Ended };
        }
        true
    }

    /// The client is done: the server has to notice, and its connection to end. Returns what it had sent.
    pub(crate) fn finish(mut self, may_be_reset: bool) -> Result<Vec<u8>> {
        self.run()?;
        if self.from_server == End::Reset && !may_be_reset {
            return Err("the server reset the connection".into());
        }
        if self.mode == Mode::Whole && self.from_server == End::Ended {
            // A client that stays open is left alone in the end.
            let until = self.now() + LINGER_LIMIT;
            while !self.is_over && self.wait(until)? {}
        } else if self.end_to_server == End::Open {
            self.half_close()?;
        }
        if !self.is_over {
            return Err(format!(
                "the client is gone and the server stays: {:?}",
                self.connection
            ));
        }
        self.turn().closed();
        match self.connection.memory() {
            // A reset leaves unsent output behind.
            memory if memory > 0 && self.from_server != End::Reset => {
                Err(format!("the connection is over and holds {memory} bytes"))
            }
            _ => Ok(self.received),
        }
    }
}

impl Wire for PureWire<'_> {
    fn send(&mut self, bytes: &[u8], limit: Duration) -> Result<()> {
        self.to_server.extend(bytes);
        let until = self.now() + limit;
        self.run()?;
        while !self.is_over && !self.to_server.is_empty() {
            if !self.wait(until)? {
                let left = self.to_server.len();
                return Err(format!("the server does not read: {left} bytes left to send"));
            }
        }
        self.to_server.clear();
        Ok(())
    }

    fn half_close(&mut self) -> Result<()> {
        self.end_to_server = End::Sent;
        self.run()
    }

    fn wait(&mut self, until: Duration) -> Result<bool> {
        let until = self.opened + until;
        let Some(deadline) = self.deadline().filter(|&deadline| deadline <= until) else {
            self.set_time(until);
            return Ok(false);
        };
        self.set_time(deadline);
        self.turn().on_timer();
        self.run()?;
        let now = self.shared.now;
        match self.deadline() {
            Some(next) if next <= now => Err("a deadline stays although it is past".into()),
            _ => Ok(true),
        }
    }

    fn now(&self) -> Duration {
        self.shared.now.since(self.opened)
    }

    fn received(&self) -> &[u8] {
        &self.received
    }

    fn has_ended(&self) -> bool {
        self.from_server != End::Open
    }

    fn dates(&self) -> RangeInclusive<SystemTime> {
        wall_clock(Duration::ZERO)..=wall_clock(self.now())
    }
}
