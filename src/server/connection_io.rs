//! The socket of one connection at work: what to read, what to write, what to wait for.

use super::socket::Socket;
use crate::connection::Turn;
use crate::endpoint::Layers;
use crate::event::CloseReason;
use crate::timer::TimerWheel;
use mio::{Interest, Poll, Token};
use std::io::{self, IoSlice};
use std::sync::Arc;

pub(super) struct Io {
    pub(super) socket: Socket,
    registered: Registered,
    /// Whether a read may bring something.
    pub(super) is_readable: bool,
    /// Whether a short read is not the last one: the peer's end is announced, or an urgent byte was, before which a read
    /// ends whatever lies behind it.
    pub(super) more_announced: bool,
    /// Whether a write would block.
    pub(super) is_stuck: bool,
    /// Whether the kernel may hold bytes back because more was to follow.
    holds_back: bool,
    pub(super) is_queued: bool,
    /// What looks at its bytes.
    middleware: Option<Arc<Layers>>,
}

/// Bytes, the end, and that there is an urgent byte.
const READS: Interest = Interest::READABLE.add(Interest::PRIORITY);

/// What the poll tells of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Registered {
    /// Nothing: it was read at once when it was accepted, and may be over already.
    No,
    Reads,
    /// Once a write had to wait.
    ReadsAndWrites,
}

impl Io {
    /// The socket of a connection that was accepted just now.
    pub(super) fn new(socket: Socket, middleware: Option<Arc<Layers>>) -> Self {
        Self {
            socket,
            registered: Registered::No,
            // The request often came with the connection: reading first may spare the registration.
            is_readable: true,
            more_announced: false,
            is_stuck: false,
            holds_back: false,
            is_queued: false,
            middleware,
        }
    }

    /// Reads once. Returns whether the connection heard of anything.
    #[inline]
    pub(super) fn read(&mut self, turn: &mut Turn<'_>) -> bool {
        let buffer = turn.read_buffer();
        let room = buffer.len();
        match self.socket.read(buffer) {
            Ok(count) => {
                // After a short read the kernel has nothing more, unless it has announced something; asking again would cost
                // a call for nothing.
                if count == 0 || (count < room && !self.more_announced) {
                    self.is_readable = false;
                }
                if let Some(layers) = &self.middleware {
                    tell_received(layers, turn, count);
                }
                turn.on_read(count);
                true
            }
            Err(error) => match error.kind() {
                io::ErrorKind::Interrupted => false,
                io::ErrorKind::WouldBlock => {
                    self.is_readable = false;
                    false
                }
                _ => {
                    turn.on_disconnect(reason_for(&error));
                    true
                }
            },
        }
    }

    /// Writes what waits, as far as the kernel takes it.
    #[inline]
    pub(super) fn write(&mut self, turn: &mut Turn<'_>) {
        match turn.output() {
            Some(bytes) if !turn.more_follows() && !bytes.is_empty() => {
                let (asked, result) = (bytes.len(), self.socket.write(bytes));
                self.holds_back = false;
                if self.written(turn, asked, result) && turn.has_output() {
                    self.write_parts(turn);
                }
            }
            _ => self.write_parts(turn),
        }
    }

    /// The same for what does not lie in one piece, or is not all that comes.
    #[inline(never)]
    fn write_parts(&mut self, turn: &mut Turn<'_>) {
        loop {
            let mut holds_back = turn.more_follows();
            let (asked, result) = if let Some(part) = turn.output_file() {
                holds_back = false;
                match self.socket.send_file(part) {
                    Ok(0) => return turn.on_file_end(),
                    Err(error) if is_refused(&error) => {
                        turn.on_file_refused();
                        continue;
                    }
                    // Fewer bytes mean a full socket or the end of the file: only asking again tells.
                    Ok(count) => (count, Ok(count)),
                    Err(error) => (part.left, Err(error)),
                }
            } else {
                let mut slices = [IoSlice::new(&[]); 64];
                let count = turn.output_slices(&mut slices);
                let slices = &slices[..count];
                let asked = slices.iter().map(|slice| slice.len()).sum();
                if asked == 0 {
                    // The rest lies in no record yet.
                    return;
                }
                holds_back |= turn.has_file();
                if holds_back {
                    (asked, self.socket.write_part(slices))
                } else {
                    (asked, self.socket.write_vectored(slices))
                }
            };
            self.holds_back = holds_back;
            if !self.written(turn, asked, result) || !turn.has_output() {
                return;
            }
        }
    }

    /// Tells what became of a write; whether the next one may be tried.
    #[inline]
    fn written(&mut self, turn: &mut Turn<'_>, asked: usize, result: io::Result<usize>) -> bool {
        match result {
            Ok(count) => {
                if let Some(layers) = &self.middleware {
                    tell_sent(layers, turn, count);
                }
                turn.on_written(count);
                self.is_stuck |= count < asked;
                count == asked
            }
            Err(error) => match error.kind() {
                io::ErrorKind::Interrupted => true,
                io::ErrorKind::WouldBlock => {
                    self.is_stuck = true;
                    false
                }
                _ => {
                    turn.on_disconnect(reason_for(&error));
                    false
                }
            },
        }
    }

    pub(super) fn tell_closed(&self, turn: &Turn<'_>) {
        for layer in self.middleware.iter().flat_map(|layers| layers.iter()) {
            layer.closed(turn.info());
        }
    }

    /// The turn is over: sees to it that whatever comes next wakes the loop.
    ///
    /// # Errors
    /// When the system has no memory or no place left for that.
    #[inline]
    pub(super) fn settle(
        &mut self,
        turn: &Turn<'_>,
        poll: &Poll,
        wheel: &mut TimerWheel,
        key: usize,
    ) -> io::Result<()> {
        if self.holds_back && !self.is_stuck && !turn.has_more() {
            // What was to follow has not come.
            self.holds_back = false;
            self.socket.push();
        }
        match turn.deadline() {
            Some(deadline) => wheel.arm(key, deadline),
            None => wheel.disarm(key),
        }
        let wanted = if self.is_stuck {
            Registered::ReadsAndWrites
        } else {
            Registered::Reads
        };
        if self.registered < wanted {
            self.register(poll, key, wanted)?;
        }
        Ok(())
    }

    #[cold]
    fn register(&mut self, poll: &Poll, key: usize, wanted: Registered) -> io::Result<()> {
        let interest = match wanted {
            Registered::ReadsAndWrites => READS | Interest::WRITABLE,
            Registered::Reads | Registered::No => READS,
        };
        if self.registered == Registered::No {
            self.socket.register(poll.registry(), Token(key), interest)?;
        } else {
            self.socket.reregister(poll.registry(), Token(key), interest)?;
        }
        self.registered = wanted;
        Ok(())
    }
}

#[cold]
fn tell_received(layers: &Layers, turn: &mut Turn<'_>, count: usize) {
    let bytes = turn.read_buffer()[..count].to_vec();
    layers.iter().for_each(|layer| layer.received(turn.info(), &bytes));
}

#[cold]
fn tell_sent(layers: &Layers, turn: &Turn<'_>, count: usize) {
    let mut output = Vec::new();
    turn.copy_output(&mut output);
    let sent = output.get(..count).unwrap_or(&output);
    layers.iter().for_each(|layer| layer.sent(turn.info(), sent));
}

/// Whether the system cannot send this file at all, as on some file systems.
fn is_refused(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported)
}

/// A peer that went away is no error of ours; ETIMEDOUT comes from TCP_USER_TIMEOUT.
pub(super) fn reason_for(error: &io::Error) -> CloseReason {
    match error.kind() {
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionAborted => {
            CloseReason::Reset
        }
        io::ErrorKind::TimedOut => CloseReason::ResponseTooSlow,
        _ => CloseReason::IoError,
    }
}
