//! The floor over TCP alone.

use std::net::TcpStream;

use compare::event_loop::{Connection, Fate, HANG_UP, Protocol};
use memchr::memmem::Finder;
use rustix::event::epoll::EventFlags;
use rustix::io::Errno;

use crate::empty_lines::EmptyLines;
use crate::{ANSWER, ANSWERS_PER_WRITE, CLOSE, INPUT_LENGTH};

pub struct Plain {
    input: Vec<u8>,
    /// The answer, many times over: answering a batch is writing a slice of it.
    answers: Vec<u8>,
    empty_lines: EmptyLines,
    close: Option<Finder<'static>>,
}

pub struct PlainConnection {
    socket: TcpStream,
    /// Bytes of answers that the kernel did not take yet.
    owed: u32,
    /// How many bytes of an empty line ended the last read.
    begun: u8,
}

impl Plain {
    pub fn new(close: bool) -> Self {
        Self {
            input: vec![0; INPUT_LENGTH],
            answers: ANSWER.repeat(ANSWERS_PER_WRITE),
            empty_lines: EmptyLines::new(),
            close: close.then(|| Finder::new(CLOSE)),
        }
    }
}

impl Protocol for Plain {
    type Connection = PlainConnection;

    fn open(&self, socket: TcpStream) -> Option<PlainConnection> {
        Some(PlainConnection {
            socket,
            owed: 0,
            begun: 0,
        })
    }

    fn turn(&mut self, connection: &mut PlainConnection, flags: EventFlags) -> Fate {
        if connection.owed > 0
            && let fate @ (Fate::Stuck | Fate::Close) = connection.flush(&self.answers)
        {
            return fate;
        }
        loop {
            let length = match rustix::io::read(&connection.socket, &mut self.input[..]) {
                Ok(0) => return Fate::Close,
                Ok(length) => length,
                Err(Errno::AGAIN) => return Fate::Keep,
                Err(Errno::INTR) => continue,
                Err(_) => return Fate::Close,
            };
            let input = &self.input[..length];
            let requests = self.empty_lines.count(&mut connection.begun, input);
            if requests > 0 {
                let Some(owed) = connection.owed.checked_add(requests * ANSWER.len() as u32) else {
                    return Fate::Close;
                };
                connection.owed = owed;
                if let fate @ (Fate::Stuck | Fate::Close) = connection.flush(&self.answers) {
                    return fate;
                }
                if self.close.as_ref().is_some_and(|close| close.find(input).is_some()) {
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

impl PlainConnection {
    /// Writes what is owed, as far as the kernel takes it.
    fn flush(&mut self, answers: &[u8]) -> Fate {
        while self.owed > 0 {
            let owed = self.owed as usize;
            // The answers are all alike, so how much is owed says where in one of them the last write ended.
            let start = (ANSWER.len() - owed % ANSWER.len()) % ANSWER.len();
            let end = answers.len().min(start + owed);
            match rustix::io::write(&self.socket, &answers[start..end]) {
                Ok(written) => {
                    self.owed -= written as u32;
                    if written < end - start {
                        return Fate::Stuck;
                    }
                }
                Err(Errno::AGAIN) => return Fate::Stuck,
                Err(Errno::INTR) => {}
                Err(_) => return Fate::Close,
            }
        }
        Fate::Keep
    }
}

impl Connection for PlainConnection {
    fn socket(&self) -> &TcpStream {
        &self.socket
    }
}
