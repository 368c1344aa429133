//! A socket that lies: the kernel would have more, or would take more, than it says; it was interrupted; it has nothing now.
//! Like the kernel, it tells the poll when there is more after all.

use super::dice::Dice;
use crate::server::socket::Socket;
use mio::event::Source;
use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use std::io::{self, IoSlice, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::sync::Arc;

/// How a worker's sockets lie.
#[derive(Debug)]
pub(crate) struct Lies {
    seed: u64,
    registry: Registry,
}

impl Lies {
    /// What the dice say follows from the seed and from where a connection comes from.
    pub(crate) fn new(seed: u64, registry: Registry) -> Arc<Self> {
        Arc::new(Self { seed, registry })
    }

    /// The same socket, but it lies.
    pub(crate) fn teach(self: &Arc<Self>, socket: Socket) -> Socket {
        match socket {
            Socket::Tcp(stream) => {
                let from = match stream.peer_addr() {
                    Ok(SocketAddr::V4(address)) => u64::from(address.ip().to_bits()),
                    // It has left already.
                    _ => 0,
                };
                Socket::Lying(Lying {
                    stream,
                    lies: Arc::clone(self),
                    dice: Dice::of(self.seed, from),
                    registered: None,
                })
            }
            other => other,
        }
    }
}

#[derive(Debug)]
pub(crate) struct Lying {
    stream: TcpStream,
    lies: Arc<Lies>,
    dice: Dice,
    registered: Option<(Token, Interest)>,
}

/// What a call is to come to.
enum Luck {
    Interrupted,
    Blocked,
    /// So many bytes at most.
    Part(usize),
    All,
}

impl Lying {
    pub(crate) fn stream(&self) -> &TcpStream {
        &self.stream
    }

    pub(crate) fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.stream.take_error()
    }

    pub(crate) fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.stream.shutdown(how)
    }

    fn luck(&mut self, size: usize) -> Luck {
        match self.dice.below(8) {
            0 => Luck::Interrupted,
            1 => Luck::Blocked,
            2 => Luck::Part(1),
            3 | 4 => Luck::Part(self.dice.between(1, size.max(1))),
            _ => Luck::All,
        }
    }

    /// The poll tells it again, if it is true.
    fn ring(&mut self) -> io::Result<()> {
        match self.registered {
            Some((token, interest)) => self.stream.reregister(&self.lies.registry, token, interest),
            // Whoever registers it hears how it is.
            None => Ok(()),
        }
    }
}

impl Read for Lying {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = match self.luck(buffer.len().min(200)) {
            Luck::Interrupted => return Err(io::ErrorKind::Interrupted.into()),
            Luck::Blocked => {
                self.ring()?;
                return Err(io::ErrorKind::WouldBlock.into());
            }
            Luck::Part(most) => most.min(buffer.len()),
            Luck::All => buffer.len(),
        };
        let count = self.stream.read(&mut buffer[..most])?;
        if count == most {
            self.ring()?;
        }
        Ok(count)
    }
}

impl Write for Lying {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(bytes)])
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let size = slices.iter().map(|slice| slice.len()).sum();
        let mut most = match self.luck(size) {
            Luck::Interrupted => return Err(io::ErrorKind::Interrupted.into()),
            Luck::Blocked => {
                self.ring()?;
                return Err(io::ErrorKind::WouldBlock.into());
            }
            Luck::Part(most) => most,
            Luck::All => size,
        };
        let mut part = Vec::new();
        for slice in slices {
            part.push(IoSlice::new(&slice[..most.min(slice.len())]));
            most -= most.min(slice.len());
        }
        let count = self.stream.write_vectored(&part)?;
        if count < size {
            self.ring()?;
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

impl Source for Lying {
    fn register(&mut self, registry: &Registry, token: Token, interest: Interest) -> io::Result<()> {
        self.registered = Some((token, interest));
        self.stream.register(registry, token, interest)
    }

    fn reregister(&mut self, registry: &Registry, token: Token, interest: Interest) -> io::Result<()> {
        self.registered = Some((token, interest));
        self.stream.reregister(registry, token, interest)
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        self.registered = None;
        self.stream.deregister(registry)
    }
}
