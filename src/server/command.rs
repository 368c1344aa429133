//! What the thread that waits in `run` asks of a worker while it serves.

use super::listener::Listener;
use super::shutdown::wake;
use super::transport::Transport;
use crate::endpoint::Limits;
use crate::event::Counters;
use crate::places::Places;
use mio::Waker;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};

/// A change to what a worker serves.
pub(super) enum Command {
    /// Accept from this socket too.
    Open { endpoint: NewEndpoint, listener: Listener },
    /// The socket of one endpoint becomes that of another; connections that are there end as if theirs had been closed.
    Replace {
        from: u16,
        endpoint: NewEndpoint,
        no_delay: bool,
    },
    /// Accept no more. What is in the queue is served; idle connections end at once, others with their exchange, and
    /// those that take too long are reset.
    Close { endpoint: u16, done: Sender<()> },
    /// What new connections may do.
    Options {
        limits: Arc<Limits>,
        add_server_header: bool,
        connections: Places,
        upgraded: Places,
    },
}

/// What a worker has to know of an endpoint.
pub(super) struct NewEndpoint {
    pub(super) index: u16,
    pub(super) transport: Transport,
    pub(super) counters: Arc<Counters>,
}

/// Where commands for one worker are left.
#[derive(Clone)]
pub(super) struct Commands {
    queue: Arc<Mutex<Vec<Command>>>,
    waker: Arc<Waker>,
    /// How often the loop has turned.
    turns: Arc<AtomicU64>,
}

impl Commands {
    pub(super) fn new(waker: Arc<Waker>) -> Self {
        Self {
            queue: Arc::default(),
            waker,
            turns: Arc::default(),
        }
    }

    pub(super) fn post(&self, command: Command) {
        // A push cannot leave the list broken, whoever panicked.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).push(command);
        self.wake();
    }

    pub(super) fn wake(&self) {
        wake(&self.waker);
    }

    /// The loop has turned once more.
    #[inline]
    pub(super) fn turn(&self) {
        // One thread writes it.
        self.turns
            .store(self.turns.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }

    #[cfg(feature = "systemd")]
    pub(super) fn turns(&self) -> u64 {
        self.turns.load(Ordering::Relaxed)
    }

    pub(super) fn take(&self) -> Vec<Command> {
        std::mem::take(&mut *self.queue.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl fmt::Debug for Commands {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Commands").finish_non_exhaustive()
    }
}
