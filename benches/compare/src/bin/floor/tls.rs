//! The floor over rustls: what the records and the handshake cost, and no more.

use std::io::{self, BufRead, Write};
use std::net::TcpStream;
use std::sync::Arc;

use compare::event_loop::{Connection, Fate, HANG_UP, Protocol};
use memchr::memmem::Finder;
use rustix::event::epoll::EventFlags;
use rustix::io::Errno;
use rustls::{ServerConfig, ServerConnection};

use crate::empty_lines::EmptyLines;
use crate::{ANSWER, ANSWERS_PER_WRITE, CLOSE, INPUT_LENGTH};

pub struct Tls {
    config: Arc<ServerConfig>,
    input: Vec<u8>,
    /// The answer, many times over: a batch of answers is one record.
    answers: Vec<u8>,
    empty_lines: EmptyLines,
    close: Option<Finder<'static>>,
}

pub struct TlsConnection {
    socket: TcpStream,
    session: Box<ServerConnection>,
    /// How many bytes of an empty line ended the last record.
    begun: u8,
}

/// What a client asked for.
#[derive(Default)]
struct Asked {
    requests: u32,
    close: bool,
}

impl Tls {
    pub fn new(close: bool) -> Result<Self, rustls::Error> {
        Ok(Self {
            config: compare::tls::server_config()?,
            input: vec![0; INPUT_LENGTH],
            answers: ANSWER.repeat(ANSWERS_PER_WRITE),
            empty_lines: EmptyLines::new(),
            close: close.then(|| Finder::new(CLOSE)),
        })
    }

    /// Decrypts what came and counts the requests in it.
    fn receive(&self, connection: &mut TlsConnection, mut encrypted: &[u8]) -> Result<Asked, rustls::Error> {
        let mut asked = Asked::default();
        let session = &mut connection.session;
        while !encrypted.is_empty() {
            match session.read_tls(&mut encrypted) {
                // Nothing is read after the client's close_notify.
                Ok(0) => break,
                Ok(_) => {}
                Err(error) => return Err(rustls::Error::General(error.to_string())),
            }
            let mut left = session.process_new_packets()?.plaintext_bytes_to_read();
            let mut reader = session.reader();
            while left > 0 {
                let plain = reader
                    .fill_buf()
                    .map_err(|error| rustls::Error::General(error.to_string()))?;
                asked.requests += self.empty_lines.count(&mut connection.begun, plain);
                asked.close |= self.close.as_ref().is_some_and(|close| close.find(plain).is_some());
                let length = plain.len();
                left -= length;
                reader.consume(length);
            }
        }
        Ok(asked)
    }
}

impl Protocol for Tls {
    type Connection = TlsConnection;

    fn open(&self, socket: TcpStream) -> Option<TlsConnection> {
        let mut session = ServerConnection::new(self.config.clone()).ok()?;
        session.set_buffer_limit(None);
        Some(TlsConnection {
            socket,
            session: Box::new(session),
            begun: 0,
        })
    }

    fn turn(&mut self, connection: &mut TlsConnection, flags: EventFlags) -> Fate {
        if let fate @ (Fate::Stuck | Fate::Close) = connection.flush() {
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
            let Ok(asked) = self.receive(connection, &self.input[..length]) else {
                return Fate::Close;
            };
            let mut owed = asked.requests as usize * ANSWER.len();
            while owed > 0 {
                let batch = owed.min(self.answers.len());
                if connection.session.writer().write_all(&self.answers[..batch]).is_err() {
                    return Fate::Close;
                }
                owed -= batch;
            }
            if asked.close {
                connection.session.send_close_notify();
            }
            if let fate @ (Fate::Stuck | Fate::Close) = connection.flush() {
                return fate;
            }
            if asked.close {
                return Fate::Close;
            }
            // A short read emptied the socket; only a hang-up that is already known is worth another one.
            if length < self.input.len() && !flags.intersects(HANG_UP) {
                return Fate::Keep;
            }
        }
    }
}

impl TlsConnection {
    /// Writes the records that are ready, as far as the kernel takes them.
    fn flush(&mut self) -> Fate {
        while self.session.wants_write() {
            match self.session.write_tls(&mut self.socket) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Fate::Stuck,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Fate::Close,
            }
        }
        Fate::Keep
    }
}

impl Connection for TlsConnection {
    fn socket(&self) -> &TcpStream {
        &self.socket
    }
}
