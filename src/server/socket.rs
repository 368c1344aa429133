//! A TCP or Unix stream, as far as a loop needs it.

use crate::buffer::FilePart;
use mio::net::{TcpStream, UnixStream};
use mio::{Interest, Registry, Token};
use socket2::SockRef;
use std::io::{self, IoSlice, Read, Write};
use std::net::Shutdown;
use std::num::NonZeroUsize;
use std::time::Duration;

/// More is to come at once. No library names them that the engine has.
const MSG_MORE: i32 = 0x8000;

/// A connection that is gone is an error and no signal.
const MSG_NOSIGNAL: i32 = 0x4000;

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

    /// The same, of what is followed by more at once: the last bytes, which do not fill a packet, wait for that. Otherwise a
    /// piece of 64 KiB would leave in as many packets as it fills and a small one, each time: a quarter of a large
    /// download's processor time over the loopback interface.
    pub(super) fn write_part(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => SockRef::from(&*stream).send_vectored_with_flags(slices, MSG_MORE | MSG_NOSIGNAL),
            Self::Unix(stream) => stream.write_vectored(slices),
            #[cfg(all(test, feature = "tls"))]
            Self::Lying(lying) => lying.write_vectored(slices),
        }
    }

    /// Nothing followed: what waits for more is sent now. Where Nagle's rule holds, it is sent by that rule.
    pub(super) fn push(&self) {
        if let Self::Tcp(stream) = self
            && stream.nodelay().unwrap_or(false)
        {
            // Setting it anew is what sends; a socket that refuses this is gone.
            let _ = stream.set_nodelay(true);
        }
    }

    /// Sends a piece of a file without reading it; 0 where the file ends before it.
    pub(super) fn send_file(&self, part: &FilePart) -> io::Result<usize> {
        let Ok(offset) = usize::try_from(part.offset) else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        let count = NonZeroUsize::new(part.left);
        let socket = match self {
            Self::Tcp(stream) => SockRef::from(stream),
            Self::Unix(stream) => SockRef::from(stream),
            #[cfg(all(test, feature = "tls"))]
            Self::Lying(_) => return Err(io::ErrorKind::Unsupported.into()),
        };
        socket.sendfile(&part.file, offset, count)
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

#[cfg(test)]
mod tests {
    use super::Socket;
    use std::io::{IoSlice, Read};
    use std::net::{TcpListener, TcpStream};
    use std::os::unix::net::UnixStream;
    use std::time::Duration;

    #[test]
    fn what_waits_for_more_is_not_lost() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let ours = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (theirs, _) = listener.accept().unwrap();
        theirs.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let (our_end, their_end) = UnixStream::pair().unwrap();
        their_end.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        for nodelay in [true, false] {
            let ours = ours.try_clone().unwrap();
            ours.set_nodelay(nodelay).unwrap();
            ours.set_nonblocking(true).unwrap();
            let our_end = our_end.try_clone().unwrap();
            our_end.set_nonblocking(true).unwrap();
            let sockets: [(Socket, &mut dyn Read); 2] = [
                (Socket::Tcp(mio::net::TcpStream::from_std(ours)), &mut &theirs),
                (Socket::Unix(mio::net::UnixStream::from_std(our_end)), &mut &their_end),
            ];
            for (mut socket, peer) in sockets {
                let parts = [IoSlice::new(b"begin"), IoSlice::new(b"ning")];
                assert_eq!(socket.write_part(&parts).unwrap(), 9);
                assert_eq!(socket.write(b", end").unwrap(), 5);
                let mut read = [0; 14];
                peer.read_exact(&mut read).unwrap();
                assert_eq!(&read, b"beginning, end");
                assert_eq!(socket.write_part(&[IoSlice::new(b"alone")]).unwrap(), 5);
                socket.push();
                peer.read_exact(&mut read[..5]).unwrap();
                assert_eq!(&read[..5], b"alone");
                if let Socket::Tcp(stream) = &socket {
                    assert_eq!(stream.nodelay().unwrap(), nodelay, "it is as it was");
                }
            }
        }
    }
}
