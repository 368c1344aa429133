//! One connection of the load: sends batches of requests and reads their answers.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::epoll::EventFlags;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};
use rustls::ClientConfig;

use crate::answer::{Answers, Expected, Fault, Known};
use crate::histogram::Histogram;
use crate::options::{Length, Mode, Options};
use crate::request::Request;
use crate::tls::{self, Session};

pub struct Connection {
    socket: TcpStream,
    /// With TLS.
    session: Option<Session>,
    answers: Answers,
    /// Which of the requests is the present one, and how many may still begin here.
    which: usize,
    left: usize,
    /// How much of the batch is sent, and how much of it is to be.
    sent: usize,
    to_send: usize,
    /// Requests without an answer.
    outstanding: usize,
    began: u64,
}

/// What all connections work on: the request, the one input buffer and the counters.
pub struct Shared {
    pub requests: Vec<Request>,
    /// What is known of the answers to each of them.
    pub known: Vec<Known>,
    pub input: Vec<u8>,
    pub budget: Budget,
    pub tally: Tally,
    pub latencies: Histogram,
    pub mode: Mode,
    tls: Option<Arc<ClientConfig>>,
    /// Who begins the next batch on a connection that has its answers.
    pub next: Next,
    clock: Instant,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// The connection, at once.
    AtOnce,
    /// The engine, when a request is due.
    WhenDue,
}

/// How many requests may still begin.
pub struct Budget {
    pub issued: u64,
    pub limit: u64,
}

/// What came of them.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tally {
    pub answered: u64,
    pub failed: u64,
    pub bytes_sent: u64,
    pub bytes_received: u64,
}

pub enum Progress {
    Open,
    /// The peer closed where it had to, or the client has sent as many requests as it sends on one connection.
    Over,
}

#[derive(Debug)]
pub enum Trouble {
    Answer(Fault),
    ClosedEarly,
    /// TLS: closed without saying so.
    Unannounced,
    Socket(Errno),
    /// TLS: its socket or its records.
    Session(io::Error),
}

impl Shared {
    pub fn new(options: &Options) -> io::Result<Self> {
        let mut requests = Request::all(options);
        let expected = |request: &mut Request| std::mem::replace(&mut request.expected, Expected::Any);
        Ok(Self {
            known: requests.iter_mut().map(expected).map(Known::new).collect(),
            requests,
            input: vec![0; INPUT_LENGTH],
            budget: Budget {
                issued: 0,
                limit: match options.length {
                    Length::Requests(requests) => requests,
                    Length::Seconds(_) => u64::MAX,
                },
            },
            tally: Tally::default(),
            latencies: Histogram::new(),
            mode: options.mode,
            tls: tls::config_for(options)?,
            next: if options.rate.is_some() {
                Next::WhenDue
            } else {
                Next::AtOnce
            },
            clock: Instant::now(),
        })
    }

    /// Nanoseconds since the start.
    pub fn now(&self) -> u64 {
        self.clock.elapsed().as_nanos() as u64
    }
}

impl Budget {
    /// Takes up to `wanted` requests out of the budget.
    fn take(&mut self, wanted: usize) -> usize {
        let taken = self.limit.saturating_sub(self.issued).min(wanted as u64);
        self.issued += taken;
        taken as usize
    }
}

impl Connection {
    /// Connects and, unless the engine decides when, sends the first batch; nothing if the budget has none.
    pub fn open(address: SocketAddr, shared: &mut Shared) -> Result<Option<Self>, Trouble> {
        let requests = match shared.next {
            Next::AtOnce => shared.budget.take(shared.depth()),
            Next::WhenDue => 0,
        };
        if requests == 0 && shared.next == Next::AtOnce {
            return Ok(None);
        }
        let began = shared.now();
        let socket = connect(address, shared.mode)?;
        let session = shared.tls.as_ref().map(Session::new).transpose()?;
        let mut connection = Self {
            socket,
            session,
            answers: Answers::default(),
            // Another one than on the connection before, so that all are under way at any time.
            which: shared.budget.issued as usize,
            left: shared.mode.requests_per_connection(),
            to_send: 0,
            sent: 0,
            outstanding: 0,
            began,
        };
        // On the loopback interface the handshake is over when connect returns, mostly.
        connection.begin(requests, began, shared)?;
        Ok(Some(connection))
    }

    /// Begins the next batch, as of the time `began`.
    pub fn begin(&mut self, requests: usize, began: u64, shared: &mut Shared) -> Result<(), Trouble> {
        self.which = (self.which + 1) % shared.requests.len();
        self.left = self.left.saturating_sub(requests);
        self.outstanding = requests;
        let request = &shared.requests[self.which];
        self.to_send = requests * (request.length() / request.depth);
        self.sent = 0;
        self.began = began;
        self.send(shared)
    }

    pub fn socket(&self) -> &TcpStream {
        &self.socket
    }

    pub fn outstanding(&self) -> usize {
        self.outstanding
    }

    pub fn turn(&mut self, flags: EventFlags, shared: &mut Shared) -> Result<Progress, Trouble> {
        if self.has_unsent() {
            self.send(shared)?;
        }
        if !flags.intersects(READABLE) {
            return Ok(Progress::Open);
        }
        let hang_up = flags.intersects(HANG_UP);
        loop {
            let length = match rustix::io::read(&self.socket, &mut shared.input[..]) {
                Ok(0) => return self.end(shared),
                Ok(length) => length,
                Err(Errno::AGAIN) => return Ok(Progress::Open),
                Err(Errno::INTR) => continue,
                Err(error) => return Err(Trouble::Socket(error)),
            };
            shared.tally.bytes_received += length as u64;
            if let Progress::Over = self.take_answers(length, shared)? {
                return Ok(Progress::Over);
            }
            // A short read emptied the socket, so that with a hang-up only the end is left.
            let is_short = length < shared.input.len();
            if is_short && hang_up && shared.mode == Mode::Churn {
                return self.end(shared);
            }
            if is_short && !hang_up {
                return Ok(Progress::Open);
            }
        }
    }

    fn take_answers(&mut self, length: usize, shared: &mut Shared) -> Result<Progress, Trouble> {
        let answered = self.check(length, shared)?;
        if answered == 0 || shared.mode == Mode::Churn {
            // A connection per request counts at its end.
            self.outstanding -= answered;
            return Ok(Progress::Open);
        }
        let now = shared.now();
        for _ in 0..answered {
            shared.latencies.record(now - self.began);
        }
        shared.tally.answered += answered as u64;
        self.outstanding -= answered;
        if self.outstanding > 0 {
            return Ok(Progress::Open);
        }
        if self.has_unsent() {
            return Err(Trouble::Answer(Fault::Framing("an answer before the request was sent")));
        }
        if self.left == 0 {
            return Ok(Progress::Over);
        }
        if shared.next == Next::AtOnce {
            let requests = shared.budget.take(shared.depth());
            self.begin(requests, now, shared)?;
        }
        Ok(Progress::Open)
    }

    /// How many answers end in what was read, all of them good.
    fn check(&mut self, length: usize, shared: &mut Shared) -> Result<usize, Trouble> {
        let (answers, outstanding, known) = (&mut self.answers, self.outstanding, &mut shared.known[self.which]);
        let mut answered = 0;
        let mut check = |mut input: &[u8]| {
            while !input.is_empty() {
                if answered == outstanding {
                    return Err(Trouble::Answer(Fault::Framing("bytes after the last answer")));
                }
                answered += usize::from(answers.advance(&mut input, known).map_err(Trouble::Answer)?);
            }
            Ok(())
        };
        let input = &shared.input[..length];
        match &mut self.session {
            None => check(input)?,
            Some(session) => {
                session.receive(input, check)?;
                // What waited for the handshake to be over.
                self.send(shared)?;
            }
        }
        Ok(answered)
    }

    fn end(&mut self, shared: &mut Shared) -> Result<Progress, Trouble> {
        if shared.mode != Mode::Churn || self.outstanding > 0 || !self.answers.is_between() {
            return Err(Trouble::ClosedEarly);
        }
        if let Some(session) = &mut self.session
            && !session.is_over()?
        {
            return Err(Trouble::Unannounced);
        }
        shared.tally.answered += 1;
        shared.latencies.record(shared.now() - self.began);
        Ok(Progress::Over)
    }

    fn has_unsent(&self) -> bool {
        self.sent < self.to_send || self.session.as_ref().is_some_and(Session::has_unsent)
    }

    fn send(&mut self, shared: &mut Shared) -> Result<(), Trouble> {
        if let Some(session) = &mut self.session {
            loop {
                shared.tally.bytes_sent += session.flush(&self.socket)? as u64;
                // Before the handshake is over the session keeps what it is given: the beginning is enough.
                let keeps = session.has_unsent() || (session.is_handshaking() && self.sent > 0);
                if keeps || self.sent == self.to_send {
                    return Ok(());
                }
                let part = part(&shared.requests[self.which], self.sent, self.to_send);
                session.put(part)?;
                self.sent += part.len();
            }
        }
        while self.sent < self.to_send {
            let part = part(&shared.requests[self.which], self.sent, self.to_send);
            match rustix::io::write(&self.socket, part) {
                Ok(written) => {
                    self.sent += written;
                    shared.tally.bytes_sent += written as u64;
                }
                Err(Errno::AGAIN) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(error) => return Err(Trouble::Socket(error)),
            }
        }
        Ok(())
    }
}

impl Shared {
    fn depth(&self) -> usize {
        self.requests[0].depth
    }
}

/// What of a request is next, as far as it lies in one piece.
fn part(request: &Request, sent: usize, to_send: usize) -> &[u8] {
    let behind = request.behind(sent);
    &behind[..behind.len().min(to_send - sent)]
}

fn connect(address: SocketAddr, mode: Mode) -> Result<TcpStream, Trouble> {
    let family = if address.is_ipv4() {
        AddressFamily::INET
    } else {
        AddressFamily::INET6
    };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, None).map_err(Trouble::Socket)?;
    if mode == Mode::Churn {
        // Closing resets what is left of the connection, on both sides: no port waits a minute to be used again.
        sockopt::set_socket_linger(&socket, Some(Duration::ZERO)).map_err(Trouble::Socket)?;
    } else {
        sockopt::set_tcp_nodelay(&socket, true).map_err(Trouble::Socket)?;
    }
    match rustix::net::connect(&socket, &address) {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(socket.into()),
        Err(error) => Err(Trouble::Socket(error)),
    }
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::Session(error)
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answer(fault) => fault.fmt(formatter),
            Self::ClosedEarly => formatter.write_str("closed before the answer was whole"),
            Self::Unannounced => formatter.write_str("closed without TLS's close_notify"),
            Self::Socket(error) => error.fmt(formatter),
            Self::Session(error) => error.fmt(formatter),
        }
    }
}

pub const INTEREST: EventFlags = READABLE.union(EventFlags::OUT).union(EventFlags::ET);
const READABLE: EventFlags = EventFlags::IN.union(HANG_UP);
const HANG_UP: EventFlags = EventFlags::RDHUP.union(EventFlags::HUP).union(EventFlags::ERR);
const INPUT_LENGTH: usize = 256 << 10;
