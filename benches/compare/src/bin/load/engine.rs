//! The loop behind every mode but `idle`.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::io::Errno;

use crate::connection::{Connection, INTEREST, Progress, Shared, Tally, Trouble};
use crate::idle::Held;
use crate::options::{Length, Options};
use crate::process::Process;
use crate::report::{Load, Report};

pub fn run(options: &Options) -> io::Result<Report> {
    let idle = Held::open(options, options.idle)?;
    let report = Engine::new(options)?.run(options)?;
    let (failed, troubles) = idle.end()?;
    Ok(report.with_failures(failed, troubles))
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
    /// Slots whose connection waits for something to do, the one that waits longest first: all have their turn.
    idle: VecDeque<usize>,
}

impl Pace {
    /// When the next request is due, in nanoseconds since the start.
    fn due(&self) -> u64 {
        (self.begun as f64 * self.distance) as u64
    }
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
                idle: VecDeque::new(),
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
        self.begin_overdue()?;
        self.pace = None;
        // Whatever is under way is still waited for: an answer that never comes is an error too, and one that comes
        // late is the one that a percentile is about.
        self.shared.budget.limit = self.shared.budget.issued;
        self.run_to_the_end()?;
        let latencies = [0.5, 0.99, 0.999].map(|part| self.shared.latencies.percentile(part));

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
            self.begin_due(self.shared.now())?;
            self.step()?;
        }
        Ok(())
    }

    /// Begins what is due by now, however long it waits for a connection: left out, the longest waits would not count.
    fn begin_overdue(&mut self) -> io::Result<()> {
        let now = self.shared.now();
        let patience = Instant::now() + PATIENCE;
        while self.pace.as_ref().is_some_and(|pace| pace.due() <= now) && !self.is_hopeless() {
            if Instant::now() > patience {
                return Err(io::Error::other(
                    "requests that were due could not be sent within 10 seconds",
                ));
            }
            self.begin_due(now)?;
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

    /// Begins what is due at that moment, as far as there are connections that wait for something to do.
    fn begin_due(&mut self, moment: u64) -> io::Result<()> {
        while let Some(pace) = &mut self.pace {
            let due = pace.due();
            if due > moment {
                break;
            }
            let Some(slot) = pace.idle.pop_front() else { break };
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
                    pace.idle.push_back(slot);
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
                    pace.idle.push_back(slot);
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
const PATIENCE: Duration = Duration::from_secs(10);
const STALL: Timespec = Timespec { tv_sec: 10, tv_nsec: 0 };
const HOPELESS: u64 = 1000;
const TROUBLES_IN_WORDS: usize = 5;

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{Ipv4Addr, TcpListener};
    use std::thread;

    use super::*;
    use crate::options::{Fields, Mode, Output, Transport};

    /// Answers on one connection, the first time after so long.
    fn serve(listener: &TcpListener, first: Duration) -> io::Result<()> {
        let (mut stream, _) = listener.accept()?;
        let mut input = Vec::new();
        let mut answered = 0;
        loop {
            let mut piece = [0; 1024];
            let length = stream.read(&mut piece)?;
            if length == 0 {
                return Ok(());
            }
            input.extend_from_slice(&piece[..length]);
            while let Some(end) = input.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                input.drain(..end + 4);
                if answered == 0 {
                    thread::sleep(first);
                }
                answered += 1;
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\nHello, World!")?;
            }
        }
    }

    /// A thousand requests a second over one connection, of which the first takes a fifth of a second: those that were
    /// due meanwhile have waited as well.
    #[test]
    fn whatever_was_due_while_the_server_slept_counts_as_late() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let options = Options {
            mode: Mode::KeepAlive,
            address: listener.local_addr().unwrap(),
            path: None,
            connections: 1,
            depth: 1,
            length: Length::Seconds(Duration::from_millis(300)),
            warm_up: Duration::ZERO,
            rate: Some(1000.0),
            size: 0,
            idle: 0,
            hold: Duration::ZERO,
            pid: None,
            fields: Fields::Host,
            transport: Transport::Tcp,
            output: Output::Text,
        };
        let server = thread::spawn(move || serve(&listener, Duration::from_millis(200)));
        let report = run(&options).unwrap();
        server.join().unwrap().unwrap();
        let [p50, p99, _] = report.latencies().unwrap().map(Duration::from_nanos);
        assert!(p50 > Duration::from_millis(20), "half of them in {p50:?}");
        assert!(p99 > Duration::from_millis(150), "almost all of them in {p99:?}");
        assert!(!report.has_errors());
    }
}
