//! A connection that changed its protocol: bytes go through as they are.

use super::{Ending, NEVER, Phase, Turn};
use crate::event::CloseReason;
use crate::handler::{ExchangeId, Flow, Tunnel, TunnelIo};
use crate::places::Place;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// The tunnel and how far it is.
pub(super) struct Switched {
    pub(super) id: ExchangeId,
    tunnel: Box<dyn Tunnel>,
    /// Whether it wants no input until it is woken.
    is_paused: bool,
    /// Whether it has to be asked because of a wake or of new room.
    is_woken: bool,
    /// Whether it has heard of the peer's end.
    knows_end: bool,
}

impl Turn<'_> {
    /// The 101 is written: from here on nothing is HTTP.
    pub(super) fn switch(&mut self, tunnel: Box<dyn Tunnel>, place: Place) {
        self.engine.counters(self.connection.endpoint).upgraded.add(1);
        self.end_response();
        // The place among the ordinary connections is given back.
        self.connection.place = place;
        self.connection.timer = NEVER;
        let id = self.engine.state.current.id;
        let switched = Switched {
            id,
            tunnel,
            is_paused: false,
            is_woken: false,
            knows_end: false,
        };
        self.connection.phase = Phase::Tunnel(Box::new(switched));
        self.ask_tunnel(|tunnel, io| tunnel.on_open(io));
    }

    pub(super) fn run_tunnel(&mut self) -> bool {
        if self.output_is_full() {
            if let Phase::Tunnel(switched) = &mut self.connection.phase {
                switched.is_woken = true;
            }
            self.connection.has_more = true;
            return false;
        }
        let Phase::Tunnel(switched) = &mut self.connection.phase else {
            return false;
        };
        if std::mem::take(&mut switched.is_woken) {
            switched.is_paused = false;
            return self.ask_tunnel(|tunnel, io| tunnel.on_wake(io));
        }
        if switched.is_paused {
            return false;
        }
        if !self.engine.input.is_empty() {
            // One portion, then the output is looked at again.
            let input = std::mem::take(&mut self.engine.input);
            let goes_on = self.ask_tunnel(|tunnel, io| tunnel.on_data(input.pending(), io));
            self.engine.input = input;
            let count = self.engine.input.len();
            self.engine.input.consume(count);
            return goes_on;
        }
        if self.connection.ended && !switched.knows_end {
            switched.knows_end = true;
            return self.ask_tunnel(|tunnel, io| tunnel.on_end(io));
        }
        false
    }

    pub(super) fn tunnel_letter(&mut self) {
        if let Phase::Tunnel(switched) = &mut self.connection.phase {
            switched.is_woken = true;
        }
    }

    pub(super) fn tunnel_shutdown(&mut self) {
        self.ask_tunnel(|tunnel, io| tunnel.on_shutdown(io));
        self.settle_output();
    }

    /// Asks the tunnel; returns whether it goes on.
    fn ask_tunnel(&mut self, ask: impl FnOnce(&mut dyn Tunnel, &mut TunnelIo<'_>) -> Flow) -> bool {
        let limits = &self.engine.state.limits;
        let room = limits
            .max_response_buffer_size
            .unwrap_or(64 << 10)
            .saturating_sub(self.engine.state.output.len());
        let Phase::Tunnel(switched) = &mut self.connection.phase else {
            return false;
        };
        let mut io = TunnelIo::new(&mut self.engine.state.output, room.max(1));
        match catch_unwind(AssertUnwindSafe(|| ask(switched.tunnel.as_mut(), &mut io))) {
            Ok(Flow::Continue) => true,
            Ok(Flow::Pause) => {
                switched.is_paused = true;
                // Room wakes whoever filled the output; that is decided where fullness is looked at.
                self.output_is_full()
            }
            Ok(Flow::Stop) => {
                self.end_now(CloseReason::Finished, Ending::Linger);
                false
            }
            Err(_) => {
                self.end_now(CloseReason::ErrorAfterStartingResponse, Ending::Linger);
                false
            }
        }
    }
}
