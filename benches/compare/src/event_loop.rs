//! The loop of the servers that are written by hand: as few system calls as there can be.

use std::io;
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};

use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::SocketFlags;

/// Edge-triggered epoll on one thread.
pub struct EventLoop<P: Protocol> {
    epoll: OwnedFd,
    listener: TcpListener,
    /// Indexed by descriptor: the kernel already hands out the lowest free number, so nothing else needs to.
    connections: Vec<Option<P::Connection>>,
    protocol: P,
}

/// What is done with the bytes of a connection.
pub trait Protocol {
    type Connection: Connection;

    /// A connection on this socket; nothing where none can begin.
    fn open(&self, socket: TcpStream) -> Option<Self::Connection>;

    /// Writes what is owed, reads, answers.
    fn turn(&mut self, connection: &mut Self::Connection, flags: EventFlags) -> Fate;
}

pub trait Connection {
    fn socket(&self) -> &TcpStream;
}

pub enum Fate {
    Keep,
    /// The kernel takes no more for now. Nothing is read before it has room again.
    Stuck,
    Close,
}

impl<P: Protocol> EventLoop<P> {
    pub fn new(listener: TcpListener, protocol: P) -> io::Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        let key = EventData::new_u64(listener.as_raw_fd() as u64);
        epoll::add(&epoll, &listener, key, EventFlags::IN | EventFlags::ET)?;
        Ok(Self {
            epoll,
            listener,
            connections: Vec::new(),
            protocol,
        })
    }

    pub fn run(mut self) -> io::Result<()> {
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
                Ok(socket) => TcpStream::from(socket),
                Err(Errno::AGAIN) => return Ok(()),
                Err(Errno::INTR | Errno::CONNABORTED) => continue,
                Err(error) => return Err(error.into()),
            };
            let key = socket.as_raw_fd() as usize;
            epoll::add(&self.epoll, &socket, EventData::new_u64(key as u64), INTEREST)?;
            if key >= self.connections.len() {
                self.connections.resize_with(key + 1, || None);
            }
            self.connections[key] = self.protocol.open(socket);
            // The request is often there already.
            self.turn(key, EventFlags::IN);
        }
    }

    fn turn(&mut self, key: usize, flags: EventFlags) {
        // A connection closed earlier in the same batch of events may still have one waiting.
        let Some(connection) = self.connections.get_mut(key).and_then(Option::as_mut) else {
            return;
        };
        let is_over = match self.protocol.turn(connection, flags) {
            Fate::Keep => false,
            Fate::Stuck => {
                let data = EventData::new_u64(key as u64);
                epoll::modify(&self.epoll, connection.socket(), data, INTEREST | EventFlags::OUT).is_err()
            }
            Fate::Close => true,
        };
        if is_over {
            // Closing the only descriptor also takes it out of epoll.
            self.connections[key] = None;
        }
    }
}

const EVENTS_PER_WAIT: usize = 256;
/// The peer has gone, or says nothing more.
pub const HANG_UP: EventFlags = EventFlags::RDHUP.union(EventFlags::HUP).union(EventFlags::ERR);
const INTEREST: EventFlags = EventFlags::IN.union(EventFlags::RDHUP).union(EventFlags::ET);
