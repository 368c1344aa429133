//! The loop behind every mode but `idle`.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::Instant;

use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::io::Errno;

use crate::connection::{Connection, INTEREST, Progress, Shared, Tally, Trouble};
use crate::options::{Length, Options};
use crate::process::Process;
use crate::report::{Load, Report};

pub fn run(options: &Options) -> io::Result<Report> {
    Engine::new(options)?.run(options)
}

struct Engine {
    epoll: OwnedFd,
    address: SocketAddr,
    slots: Vec<Option<Connection>>,
    shared: Shared,
    server: Option<Process>,
    pace: Option<Pace>,
    /// The first few troubles in words; the rest is only counted.
    troubles: Vec<String>,
}

/// Begins requests at even distances, whatever the server does: one that is slow for a while finds them waiting, and
/// their latency says so.
struct Pace {
    /// Nanoseconds from one request to the next.
    distance: f64,
    begun: u64,
    /// Slots whose connection waits for something to do.
    idle: Vec<usize>,
}

/// The state of all clocks and counters at one moment.
struct Reading {
    at: Instant,
    tally: Tally,
    server_time: Option<u64>,
    own_time: u64,
}

impl Engine {
    fn new(options: &Options) -> io::Result<Self> {
        Ok(Self {
            epoll: epoll::create(CreateFlags::CLOEXEC)?,
            address: options.address,
            slots: (0..options.connections).map(|_| None).collect(),
            shared: Shared::new(options)?,
            server: options.pid.map(Process::new),
            pace: options.rate.map(|rate| Pace {
                distance: 1e9 / rate,
                begun: 0,
                idle: Vec::new(),
            }),
            troubles: Vec::new(),
        })
    }

    fn run(mut self, options: &Options) -> io::Result<Report> {
        let mut start = self.reading()?;
        for slot in 0..self.slots.len() {
            self.open(slot)?;
        }
        if let Length::Seconds(length) = options.length {
            self.run_until(start.at + options.warm_up)?;
            self.shared.latencies.clear();
            start = self.reading()?;
            self.run_until(start.at + length)?;
        } else {
            self.run_to_the_end()?;
        }
        let end = self.reading()?;
        let latencies = [0.5, 0.99, 0.999].map(|part| self.shared.latencies.percentile(part));
        self.pace = None;
        // Whatever is under way is still waited for: an answer that never comes is an error too.
        self.shared.budget.limit = self.shared.budget.issued;
        self.run_to_the_end()?;

        let failed = self.shared.tally.failed;
        Ok(Report::new(options, failed, self.troubles).with_load(Load {
            requests: end.tally.answered - start.tally.answered,
            time: end.at - start.at,
            bytes_sent: end.tally.bytes_sent - start.tally.bytes_sent,
            bytes_received: end.tally.bytes_received - start.tally.bytes_received,
            server_time: end
                .server_time
                .zip(start.server_time)
                .map(|(end, start)| end.saturating_sub(start)),
            own_time: end.own_time - start.own_time,
            latencies,
        }))
    }

    fn run_until(&mut self, end: Instant) -> io::Result<()> {
        while Instant::now() < end && !self.is_hopeless() {
            self.begin_due()?;
            self.step()?;
        }
        Ok(())
    }

    fn run_to_the_end(&mut self) -> io::Result<()> {
        let settled = |shared: &Shared| shared.tally.answered + shared.tally.failed;
        while settled(&self.shared) < self.shared.budget.limit && !self.is_hopeless() {
            self.step()?;
        }
        Ok(())
    }

    fn is_hopeless(&self) -> bool {
        self.shared.tally.failed >= HOPELESS
    }

    fn begin_due(&mut self) -> io::Result<()> {
        while let Some(pace) = &mut self.pace {
            let due = (pace.begun as f64 * pace.distance) as u64;
            if due > self.shared.now() {
                break;
            }
            let Some(slot) = pace.idle.pop() else { break };
            pace.begun += 1;
            let Some(connection) = &mut self.slots[slot] else {
                continue;
            };
            self.shared.budget.issued += 1;
            if let Err(trouble) = connection.begin(1, due, &mut self.shared) {
                self.note(1, &trouble);
                self.slots[slot] = None;
                self.open(slot)?;
            }
        }
        Ok(())
    }

    fn step(&mut self) -> io::Result<()> {
        let mut events = [Event {
            flags: EventFlags::empty(),
            data: EventData::new_u64(0),
        }; EVENTS_PER_WAIT];
        if self.slots.iter().all(Option::is_none) {
            return Err(io::Error::other(format!(
                "no connection is left: {}",
                self.troubles.join(", ")
            )));
        }
        // No timer is fine enough to wait for the next request that is due, and the core is the load's own.
        let timeout = if self.pace.is_some() { &AT_ONCE } else { &STALL };
        let count = match epoll::wait(&self.epoll, &mut events[..], Some(timeout)) {
            Ok(count) => count,
            Err(Errno::INTR) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        if count == 0 && self.pace.is_none() {
            let waiting = self
                .slots
                .iter()
                .flatten()
                .filter(|connection| connection.outstanding() > 0)
                .count();
            return Err(io::Error::other(format!(
                "nothing came for 10 seconds; {waiting} connections wait"
            )));
        }
        for event in &events[..count] {
            self.turn(event.data.u64() as usize, event.flags)?;
        }
        Ok(())
    }

    fn turn(&mut self, slot: usize, flags: EventFlags) -> io::Result<()> {
        let Some(connection) = &mut self.slots[slot] else {
            return Ok(());
        };
        let outstanding = connection.outstanding();
        match connection.turn(flags, &mut self.shared) {
            Ok(Progress::Open) => {
                if let Some(pace) = &mut self.pace
                    && outstanding > 0
                    && connection.outstanding() == 0
                {
                    pace.idle.push(slot);
                }
                return Ok(());
            }
            Ok(Progress::Over) => {}
            Err(trouble) => self.note(outstanding, &trouble),
        }
        self.slots[slot] = None;
        self.open(slot)
    }

    fn open(&mut self, slot: usize) -> io::Result<()> {
        let issued = self.shared.budget.issued;
        match Connection::open(self.address, &mut self.shared) {
            Ok(Some(connection)) => {
                epoll::add(
                    &self.epoll,
                    connection.socket(),
                    EventData::new_u64(slot as u64),
                    INTEREST,
                )?;
                self.slots[slot] = Some(connection);
                if let Some(pace) = &mut self.pace {
                    pace.idle.push(slot);
                }
            }
            Ok(None) => {}
            Err(trouble) => self.note((self.shared.budget.issued - issued) as usize, &trouble),
        }
        Ok(())
    }

    fn note(&mut self, requests: usize, trouble: &Trouble) {
        self.shared.tally.failed += requests.max(1) as u64;
        if self.troubles.len() < TROUBLES_IN_WORDS {
            self.troubles.push(trouble.to_string());
        }
    }

    fn reading(&self) -> io::Result<Reading> {
        Ok(Reading {
            at: Instant::now(),
            tally: self.shared.tally,
            server_time: self.server.map(Process::time_on_processor).transpose()?,
            own_time: Process::this().time_on_processor()?,
        })
    }
}

const EVENTS_PER_WAIT: usize = 256;
const AT_ONCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };
const STALL: Timespec = Timespec { tv_sec: 10, tv_nsec: 0 };
const HOPELESS: u64 = 1000;
const TROUBLES_IN_WORDS: usize = 5;
