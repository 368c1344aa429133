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
    /// The first few troubles in words; the rest is only counted.
    troubles: Vec<String>,
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
            shared: Shared::new(options),
            server: options.pid.map(Process::new),
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

    fn step(&mut self) -> io::Result<()> {
        let mut events = [Event {
            flags: EventFlags::empty(),
            data: EventData::new_u64(0),
        }; EVENTS_PER_WAIT];
        let count = match epoll::wait(&self.epoll, &mut events[..], Some(&STALL)) {
            Ok(count) => count,
            Err(Errno::INTR) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        if count == 0 {
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
            Ok(Progress::Open) => return Ok(()),
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
const STALL: Timespec = Timespec { tv_sec: 10, tv_nsec: 0 };
const HOPELESS: u64 = 1000;
const TROUBLES_IN_WORDS: usize = 5;
