//! The floor: the least that a server can do and still be answered to. It never parses: it counts empty lines and
//! writes one fixed answer for each. Whatever a real server costs above this is the price of being one.

use std::io;
use std::net::TcpListener;
use std::os::fd::{AsRawFd, OwnedFd};

use compare::ServerOptions;
use memchr::memmem::Finder;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::SocketFlags;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let options = ServerOptions::from_args()?;
    let listener = options.listen()?;
    Floor::new(listener, options.close)?.run()?;
    Ok(())
}

struct Floor {
    epoll: OwnedFd,
    listener: TcpListener,
    /// Indexed by descriptor: the kernel already hands out the lowest free number, so nothing else needs to.
    connections: Vec<Option<Connection>>,
    input: Vec<u8>,
    /// The answer, many times over: answering a batch is writing a slice of it.
    answers: Vec<u8>,
    empty_line: Finder<'static>,
    close: Option<Finder<'static>>,
}

struct Connection {
    socket: OwnedFd,
    /// Bytes of answers that the kernel did not take yet.
    owed: u32,
    /// How many bytes of an empty line ended the last read.
    begun: u8,
}

enum Fate {
    Keep,
    Close,
}

impl Floor {
    fn new(listener: TcpListener, close: bool) -> io::Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        let key = EventData::new_u64(listener.as_raw_fd() as u64);
        epoll::add(&epoll, &listener, key, EventFlags::IN | EventFlags::ET)?;
        Ok(Self {
            epoll,
            listener,
            connections: Vec::new(),
            input: vec![0; INPUT_LENGTH],
            answers: ANSWER.repeat(ANSWERS_PER_WRITE),
            empty_line: Finder::new(EMPTY_LINE),
            close: close.then(|| Finder::new("Connection: close")),
        })
    }

    fn run(mut self) -> io::Result<()> {
        let placeholder = Event {
            flags: EventFlags::empty(),
            data: EventData::new_u64(0),
        };
        let mut events = [placeholder; EVENTS_PER_WAIT];
        loop {
            let count = match epoll::wait(&self.epoll, &mut events[..], None) {
                Ok(count) => count,
                Err(Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            };
            for event in &events[..count] {
                let (key, flags) = (event.data.u64() as usize, event.flags);
                if key == self.listener.as_raw_fd() as usize {
                    self.accept()?;
                } else {
                    self.turn(key, flags);
                }
            }
        }
    }

    fn accept(&mut self) -> io::Result<()> {
        loop {
            let socket = match rustix::net::accept_with(&self.listener, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC) {
                Ok(socket) => socket,
                Err(Errno::AGAIN) => return Ok(()),
                Err(Errno::INTR | Errno::CONNABORTED) => continue,
                Err(error) => return Err(error.into()),
            };
            let key = socket.as_raw_fd() as usize;
            epoll::add(&self.epoll, &socket, EventData::new_u64(key as u64), INTEREST)?;
            if key >= self.connections.len() {
                self.connections.resize_with(key + 1, || None);
            }
            self.connections[key] = Some(Connection {
                socket,
                owed: 0,
                begun: 0,
            });
            // The request is often there already.
            self.turn(key, EventFlags::IN);
        }
    }

    fn turn(&mut self, key: usize, flags: EventFlags) {
        // A connection closed earlier in the same batch of events may still have one waiting.
        let Some(connection) = self.connections.get_mut(key).and_then(Option::as_mut) else {
            return;
        };
        let fate = if connection.owed > 0 {
            flush(connection, &self.answers)
        } else {
            Fate::Keep
        };
        let fate = match fate {
            Fate::Keep => self.read(key, flags),
            Fate::Close => Fate::Close,
        };
        if matches!(fate, Fate::Close) {
            // Closing the only descriptor also takes it out of epoll.
            self.connections[key] = None;
        }
    }

    fn read(&mut self, key: usize, flags: EventFlags) -> Fate {
        let Some(connection) = self.connections[key].as_mut() else {
            return Fate::Keep;
        };
        loop {
            let length = match rustix::io::read(&connection.socket, &mut self.input[..]) {
                Ok(0) => return Fate::Close,
                Ok(length) => length,
                Err(Errno::AGAIN) => return Fate::Keep,
                Err(Errno::INTR) => continue,
                Err(_) => return Fate::Close,
            };
            let input = &self.input[..length];
            let requests = count_empty_lines(&self.empty_line, &mut connection.begun, input);
            if requests > 0 {
                let was_stuck = connection.owed > 0;
                let Some(owed) = connection.owed.checked_add(requests * ANSWER.len() as u32) else {
                    return Fate::Close;
                };
                connection.owed = owed;
                if let Fate::Close = flush(connection, &self.answers) {
                    return Fate::Close;
                }
                if connection.owed > 0 && !was_stuck {
                    let data = EventData::new_u64(key as u64);
                    let interest = INTEREST | EventFlags::OUT;
                    if epoll::modify(&self.epoll, &connection.socket, data, interest).is_err() {
                        return Fate::Close;
                    }
                }
                if connection.owed == 0 && self.close.as_ref().is_some_and(|close| close.find(input).is_some()) {
                    return Fate::Close;
                }
            }
            // A short read emptied the socket; only a hang-up that is already known is worth another one.
            if length < self.input.len() && !flags.intersects(HANG_UP) {
                return Fate::Keep;
            }
        }
    }
}

/// Writes what is owed, as far as the kernel takes it.
fn flush(connection: &mut Connection, answers: &[u8]) -> Fate {
    while connection.owed > 0 {
        let owed = connection.owed as usize;
        // The answers are all alike, so how much is owed says where in one of them the last write ended.
        let start = (ANSWER.len() - owed % ANSWER.len()) % ANSWER.len();
        let end = answers.len().min(start + owed);
        match rustix::io::write(&connection.socket, &answers[start..end]) {
            Ok(written) => {
                connection.owed -= written as u32;
                if written < end - start {
                    return Fate::Keep;
                }
            }
            Err(Errno::AGAIN) => return Fate::Keep,
            Err(Errno::INTR) => {}
            Err(_) => return Fate::Close,
        }
    }
    Fate::Keep
}

/// Counts the empty lines that end in `input`; `begun` carries one that is split over two reads.
fn count_empty_lines(finder: &Finder<'_>, begun: &mut u8, input: &[u8]) -> u32 {
    let mut count = 0;
    let mut rest = input;
    if *begun > 0 {
        let missing = &EMPTY_LINE[usize::from(*begun)..];
        if input.starts_with(missing) {
            count += 1;
            rest = &input[missing.len()..];
        } else if missing.starts_with(input) {
            *begun += input.len() as u8;
            return 0;
        }
        *begun = 0;
    }
    while let Some(position) = finder.find(rest) {
        count += 1;
        rest = &rest[position + EMPTY_LINE.len()..];
    }
    if !rest.is_empty() {
        *begun = (1..EMPTY_LINE.len())
            .rev()
            .find(|&length| rest.ends_with(&EMPTY_LINE[..length]))
            .unwrap_or(0) as u8;
    }
    count
}

const EMPTY_LINE: &[u8] = b"\r\n\r\n";
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nServer: stannel\r\n\
    Date: Tue, 24 Nov 2026 00:00:00 GMT\r\nContent-Length: 13\r\n\r\nHello, World!";
const ANSWERS_PER_WRITE: usize = 256;
const INPUT_LENGTH: usize = 16 << 10;
const EVENTS_PER_WAIT: usize = 256;
const HANG_UP: EventFlags = EventFlags::RDHUP.union(EventFlags::HUP).union(EventFlags::ERR);
const INTEREST: EventFlags = EventFlags::IN.union(EventFlags::RDHUP).union(EventFlags::ET);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_of_cutting_gives_the_same_count() {
        let input = b"GET / HTTP/1.1\r\nA: b\r\n\r\n\r\r\n\r\r\n\r\n\r\n\r\n\r\nGET / HTTP/1.1\r\n\r\n";
        let finder = Finder::new(EMPTY_LINE);
        for length in 1..=input.len() {
            let mut begun = 0;
            let count: u32 = input
                .chunks(length)
                .map(|piece| count_empty_lines(&finder, &mut begun, piece))
                .sum();
            assert_eq!((count, begun), (4, 0), "pieces of {length}");
        }
    }
}
