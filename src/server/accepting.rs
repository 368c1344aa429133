//! A loop and its listening sockets.

use super::connection_io::Io;
use super::listener::Listener;
use super::socket::Socket;
use super::transport::Transport;
use super::worker::{Entry, LAST_LISTENER, Worker};
use crate::endpoint::EMFILE;
use crate::handler::{ConnectionInfo, Peer};
use mio::{Poll, Token};
use slab::Slab;
use std::io;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// How many connections a listener may give in one turn.
const ACCEPTS_PER_TURN: usize = 64;

/// How long accepting pauses when the system has no descriptor or memory left for it.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A listening socket.
pub(super) struct Listening {
    pub(super) listener: Listener,
    pub(super) endpoint: u16,
    pub(super) transport: Transport,
    /// Whether there may be a connection to accept.
    pub(super) is_ready: bool,
}

/// Its token follows from its slot.
pub(super) fn add_listener(
    listeners: &mut Slab<Listening>,
    poll: &Poll,
    endpoint: u16,
    mut listener: Listener,
    transport: Transport,
) -> io::Result<()> {
    let slot = listeners.vacant_entry();
    let token = Token(LAST_LISTENER - slot.key());
    if let Err(error) = listener.register(poll.registry(), token) {
        // Whoever added an endpoint while we serve is not to lose it for a moment without memory. For mio a source that
        // was refused counts as registered: it has to be another one.
        listener = listener.made_anew();
        listener.register(poll.registry(), token).map_err(|_| error)?;
    }
    slot.insert(Listening {
        listener,
        endpoint,
        transport,
        is_ready: false,
    });
    Ok(())
}

impl Worker<'_> {
    pub(super) fn accept_all(&mut self) {
        if !self.any_ready || self.accept_again.is_some() {
            return;
        }
        for slot in 0..self.listeners.capacity() {
            if self.accept_again.is_none() && self.listeners.get(slot).is_some_and(|listening| listening.is_ready) {
                self.accept_some(slot, ACCEPTS_PER_TURN);
            }
        }
        self.any_ready = self.listeners.iter().any(|(_, listening)| listening.is_ready);
    }

    pub(super) fn accept_some(&mut self, slot: usize, most: usize) {
        for _ in 0..most {
            let Some(listening) = self.listeners.get_mut(slot) else {
                return;
            };
            match listening.listener.accept() {
                Ok((socket, peer)) => {
                    let endpoint = listening.endpoint;
                    let transport = listening.transport.clone();
                    self.open(socket, peer, endpoint, transport);
                }
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => {
                        listening.is_ready = false;
                        if self.is_starved {
                            self.is_starved = false;
                            log::warn!(target: "stannel", "accepting goes on");
                        }
                        return;
                    }
                    // Gone before we came to it.
                    io::ErrorKind::Interrupted | io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset => {}
                    _ => {
                        // Out of descriptors or memory. The connection stays in the queue: trying again at once would
                        // spin, waiting for an event would be for ever.
                        self.accept_again = Some(self.now + ACCEPT_PAUSE);
                        if !self.is_starved {
                            self.is_starved = true;
                            let advice = if error.raw_os_error() == Some(EMFILE) {
                                "; raise the limit on open files"
                            } else {
                                ""
                            };
                            log::warn!(target: "stannel", "cannot accept: {error}; accepting pauses{advice}");
                        }
                        return;
                    }
                },
            }
        }
    }

    fn open(&mut self, socket: Socket, peer: Peer, endpoint: u16, transport: Transport) {
        let Some(place) = self.connections.take() else {
            self.engine.count_rejected_connection(endpoint);
            log::warn!(target: "stannel::connections", "24 connection from {peer} rejected: max_concurrent_connections");
            return;
        };
        let info = ConnectionInfo::new(self.shared.next_id.fetch_add(1, Ordering::Relaxed), peer);
        if !transport.admits(&info) {
            self.engine.count_rejected_connection(endpoint);
            return;
        }
        let connection = transport.connection(&self.engine, info, endpoint, place);
        #[cfg(all(test, feature = "tls"))]
        let socket = match &transport.lies {
            Some(lies) => lies.teach(socket),
            None => socket,
        };
        let io = Io::new(socket, transport.outer);
        let key = self.entries.insert(Entry { connection, io });
        self.work_or_queue(key);
    }
}
