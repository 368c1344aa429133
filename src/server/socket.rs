//! A TCP or Unix stream, as far as a loop needs it.

use mio::net::{TcpStream, UnixStream};
use mio::{Interest, Registry, Token};
use socket2::SockRef;
use std::io::{self, IoSlice, Read, Write};
use std::net::Shutdown;
use std::time::Duration;

#[derive(Debug)]
pub(super) enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
    #[cfg(all(test, feature = "tls"))]
    Lying(super::tests::lies::Lying),
}

macro_rules! either {
    ($socket:expr, $stream:ident => $call:expr) => {
        match $socket {
            Socket::Tcp($stream) => $call,
            Socket::Unix($stream) => $call,
            #[cfg(all(test, feature = "tls"))]
            Socket::Lying($stream) => $call,
        }
    };
}

impl Socket {
    #[inline]
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        either!(self, stream => stream.read(buffer))
    }

    #[inline]
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        either!(self, stream => stream.write(bytes))
    }

    pub(super) fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        either!(self, stream => stream.write_vectored(slices))
    }

    /// What the kernel has to say against it.
    pub(super) fn error(&self) -> Option<io::Error> {
        either!(self, stream => stream.take_error()).ok().flatten()
    }

    pub(super) fn shut_write(&self) -> io::Result<()> {
        either!(self, stream => stream.shutdown(Shutdown::Write))
    }

    /// Makes closing it a reset.
    pub(super) fn abort_on_close(&self) {
        let stream = match self {
            Self::Tcp(stream) => stream,
            Self::Unix(_) => return,
            #[cfg(all(test, feature = "tls"))]
            Self::Lying(lying) => lying.stream(),
        };
        // Only a connection that is gone already refuses this.
        let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
    }

    pub(super) fn register(&mut self, registry: &Registry, token: Token, interest: Interest) -> io::Result<()> {
        either!(self, stream => registry.register(stream, token, interest))
    }

    pub(super) fn reregister(&mut self, registry: &Registry, token: Token, interest: Interest) -> io::Result<()> {
        either!(self, stream => registry.reregister(stream, token, interest))
    }
}
