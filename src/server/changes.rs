//! What changes a loop while it serves: endpoints that come and go, new limits, and the stop.

use super::accepting::{Listening, add_listener};
use super::command::{Command, NewEndpoint};
use super::listener::Listener;
use super::shutdown::Stage;
use super::worker::{Entry, Worker};
use crate::connection::Turn;
use crate::timer::Time;
use std::sync::Arc;
use std::time::Duration;

/// How long connections of an endpoint that was removed or changed may go on; Kestrel's figure.
const RETIREMENT: Duration = Duration::from_secs(5);

/// How many a listener may give when it is about to close: more than its queue holds, so that only a flood is cut off.
const LAST_ACCEPTS: usize = 1024;

impl Worker<'_> {
    #[cold]
    pub(super) fn obey_commands(&mut self) {
        for command in self.commands.take() {
            match command {
                Command::Open { endpoint, listener } => self.open_endpoint(endpoint, listener),
                Command::Replace {
                    from,
                    endpoint,
                    no_delay,
                } => self.replace_endpoint(from, &endpoint, no_delay),
                Command::Close { endpoint, done } => {
                    self.close_endpoint(endpoint);
                    // Nobody waits any longer, if it took too long.
                    let _ = done.send(());
                }
                Command::Options {
                    limits,
                    add_server_header,
                    connections,
                    upgraded,
                } => {
                    self.engine.set_options(limits, add_server_header);
                    self.engine.set_upgraded(upgraded);
                    self.connections = connections;
                }
            }
        }
    }

    fn open_endpoint(&mut self, endpoint: NewEndpoint, listener: Listener) {
        if self.stage >= Stage::Draining {
            return;
        }
        self.engine.set_counters(endpoint.index, endpoint.counters);
        let added = add_listener(
            &mut self.listeners,
            &self.poll,
            endpoint.index,
            listener,
            endpoint.transport,
        );
        if let Err(error) = added {
            log::error!(
                target: "stannel",
                "cannot watch a listening socket: {error}; nobody is served on it until its endpoint is removed and added again"
            );
        }
    }

    fn replace_endpoint(&mut self, from: u16, endpoint: &NewEndpoint, no_delay: bool) {
        self.engine.set_counters(endpoint.index, Arc::clone(&endpoint.counters));
        for (_, listening) in self
            .listeners
            .iter_mut()
            .filter(|(_, listening)| listening.endpoint == from)
        {
            listening.endpoint = endpoint.index;
            listening.transport.clone_from(&endpoint.transport);
            listening.listener.set_no_delay(no_delay);
        }
        self.retire(from);
    }

    fn close_endpoint(&mut self, endpoint: u16) {
        let of_endpoint = |(slot, listening): (usize, &Listening)| (listening.endpoint == endpoint).then_some(slot);
        let slots: Vec<usize> = self.listeners.iter().filter_map(of_endpoint).collect();
        for slot in slots {
            // Whoever is in the queue was told that the connection stands.
            self.accept_some(slot, LAST_ACCEPTS);
            drop(self.listeners.try_remove(slot));
        }
        self.retire(endpoint);
    }

    fn retire(&mut self, endpoint: u16) {
        for key in self.keys_of(endpoint) {
            if let Some(entry) = self.entries.get_mut(key) {
                // A request that the kernel has already counts as come.
                entry.io.is_readable = true;
                self.work(key);
                self.work_after(key, |turn| turn.on_retire());
            }
        }
        let until = Time::from_millis(self.now.as_millis() + RETIREMENT.as_millis() as u64);
        self.retired.push((endpoint, until));
    }

    pub(super) fn reset_retired(&mut self) {
        let now = self.now;
        let is_over = |until: Time| until <= now;
        let over: Vec<u16> = self
            .retired
            .iter()
            .filter(|(_, until)| is_over(*until))
            .map(|(index, _)| *index)
            .collect();
        self.retired.retain(|(_, until)| !is_over(*until));
        for endpoint in over {
            for key in self.keys_of(endpoint) {
                // By now the index may be another endpoint's.
                if self.entries.get(key).is_some_and(|entry| entry.connection.is_retired()) {
                    self.work_after(key, |turn| turn.on_shutdown_timeout());
                }
            }
        }
    }

    fn keys_of(&self, endpoint: u16) -> Vec<usize> {
        let of_endpoint = |(key, entry): (usize, &Entry)| (entry.connection.endpoint() == endpoint).then_some(key);
        self.entries.iter().filter_map(of_endpoint).collect()
    }

    pub(super) fn follow_stage(&mut self) {
        let stage = self.shared.stage.get();
        if stage == self.stage {
            return;
        }
        if self.stage < Stage::LameDuck && stage >= Stage::LameDuck {
            self.engine.begin_lame_duck();
        }
        if self.stage < Stage::Draining && stage >= Stage::Draining {
            self.begin_draining();
        }
        if stage == Stage::Aborting {
            self.for_each_connection(|turn| turn.on_shutdown_timeout());
        }
        self.stage = stage;
    }

    fn begin_draining(&mut self) {
        self.engine.begin_draining();
        // Idle ones first: their descriptors may be all there are.
        self.drain_connections();
        // Whoever is in the queue was told that the connection stands: it is served, not reset.
        let slots: Vec<usize> = self.listeners.iter().map(|(slot, _)| slot).collect();
        for slot in slots {
            self.accept_some(slot, LAST_ACCEPTS);
        }
        self.listeners.clear();
        self.accept_again = None;
        self.drain_connections();
    }

    /// Ends those without a request. One that the kernel has already counts as come.
    fn drain_connections(&mut self) {
        let keys: Vec<usize> = self.entries.iter().map(|(key, _)| key).collect();
        for key in keys {
            if let Some(entry) = self.entries.get_mut(key) {
                entry.io.is_readable = true;
                self.work(key);
            }
        }
        self.for_each_connection(|turn| turn.on_shutdown());
    }

    fn for_each_connection(&mut self, tell: impl Fn(&mut Turn<'_>)) {
        let keys: Vec<usize> = self.entries.iter().map(|(key, _)| key).collect();
        for key in keys {
            self.work_after(key, &tell);
        }
    }
}
