//! A connection at work: what it is told, what it wants, and the steps that lie between.

use super::engine::READ_SIZE;
use super::exchange::quietly;
use super::{Connection, Ending, Engine, Fate, NEVER, Phase, parked, timers};
use crate::event::CloseReason;
use crate::handler::{ConnectionId, ConnectionInfo};
use crate::http1::head::Scan;
use crate::http1::{Rejection, RequestFacts};
use crate::mailbox::Letter;
use std::fmt;
use std::io::IoSlice;

/// How much a lingering connection reads and throws away, so that its peer can see the last response (RFC 9112 §9.6).
const LINGER_BYTES: usize = 1 << 20;

/// A connection at work, with what its loop lends it: buffers, handler, settings.
///
/// The methods called `on_…` tell it what happened; the others ask what it wants. When the turn is dropped, the
/// connection keeps what is left over.
pub struct Turn<'a> {
    pub(super) connection: &'a mut Connection,
    pub(super) engine: &'a mut Engine,
}

impl Turn<'_> {
    // ---- what happened

    /// Where the next input goes, never empty while [`wants_read`](Self::wants_read); read into it, then call
    /// [`on_read`](Self::on_read). One read takes 64 KiB at most, and 256 KiB of a body.
    #[inline]
    pub fn read_buffer(&mut self) -> &mut [u8] {
        if self.connection.session.is_some() {
            return self.record_buffer();
        }
        let input = &mut self.engine.input;
        let pending = input.len();
        if pending > 0 {
            input.reserve(pending.max(1024));
        }
        let mut spare = input.spare();
        if spare.len() > READ_SIZE && !matches!(self.connection.phase, Phase::Exchange(_)) {
            spare = &mut spare[..READ_SIZE];
        }
        // The limit holds to within one small read.
        match self.engine.state.limits.max_request_buffer_size {
            Some(limit) if limit < pending + spare.len() => {
                let room = limit.saturating_sub(pending).max(1024).min(spare.len());
                &mut spare[..room]
            }
            _ => spare,
        }
    }

    /// That many bytes came; 0 is the peer's end.
    #[inline]
    pub fn on_read(&mut self, count: usize) {
        if count == 0 {
            self.connection.ended = true;
            if matches!(self.connection.phase, Phase::Lingering { .. }) {
                self.connection.phase = Phase::Over;
                return;
            }
        }
        if self.connection.session.is_some() {
            return self.on_records(count);
        }
        self.engine.input.received(count);
        self.process();
    }

    /// The same for bytes that lie elsewhere; none at all tell it nothing. Whether it
    /// [`wants_read`](Self::wants_read) is not asked.
    pub fn on_bytes(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let buffer = self.read_buffer();
            let count = buffer.len().min(bytes.len());
            buffer[..count].copy_from_slice(&bytes[..count]);
            bytes = &bytes[count..];
            self.on_read(count);
        }
    }

    /// The peer's kernel took that many bytes of the output.
    #[inline]
    pub fn on_written(&mut self, count: usize) {
        if count > 0 {
            if self.connection.session.is_some() {
                self.engine.state.output.advance_sealed(count);
            } else {
                self.engine.state.output.advance(count);
            }
            self.engine.state.counted = self.engine.state.output.len();
            self.engine.last_taken = self.engine.served();
            if self.engine.state.output.is_empty() && matches!(self.connection.phase, Phase::Head) {
                self.arm_keep_alive();
            }
        }
    }

    /// Goes on where the last turn had to stop for want of room; see [`has_more`](Self::has_more).
    pub fn on_room(&mut self) {
        self.process();
    }

    /// The write side is shut down: it lingers for its peer's end, 2 seconds and 1 MiB at most.
    pub fn on_write_shut(&mut self) {
        if matches!(self.connection.phase, Phase::Closing(_)) {
            self.connection.phase = if self.connection.ended {
                Phase::Over
            } else {
                self.connection.timer = self.engine.now() + timers::LINGER_TIME;
                Phase::Lingering { left: LINGER_BYTES }
            };
        }
    }

    /// Something came from another thread.
    pub(crate) fn on_letter(&mut self, letter: Letter) {
        match &self.connection.phase {
            Phase::Exchange(active) if active.current.id == letter.id => self.exchange_letter(letter.content),
            Phase::Tunnel(switched) if switched.id == letter.id => self.tunnel_letter(),
            _ => return,
        }
        self.process();
    }

    /// The connection broke: everything is dropped.
    pub fn on_disconnect(&mut self, reason: CloseReason) {
        if matches!(self.connection.phase, Phase::Exchange(_)) {
            log::debug!(
                target: "stannel::connections",
                "20 connection {} request {} ended abnormally: {reason:?}",
                ConnectionId(self.connection.info.id),
                self.connection.number
            );
        }
        match self.connection.phase {
            // Who lingers has said all it had to say.
            Phase::Lingering { .. } => {}
            Phase::Handshake => self.end_now(CloseReason::HandshakeFailed, Ending::Abort),
            _ => self.end_now(reason, Ending::Abort),
        }
        self.connection.phase = Phase::Over;
    }

    /// Its endpoint is no more, or has new options: it ends with the exchange that it is at, or at once if there is none.
    /// One that has not sent its first request yet may do so: who just connected must not be turned away.
    pub fn on_retire(&mut self) {
        self.connection.is_retired = true;
        self.engine.begin_turn(&self.connection.settings, true);
        if self.connection.number > 0 || self.engine.drains {
            self.on_shutdown();
        }
    }

    /// The server stops: no request after the current one; with none, it ends.
    pub fn on_shutdown(&mut self) {
        match &self.connection.phase {
            // Half an empty line is no byte of a request either.
            Phase::Head if !self.connection.head_started && matches!(self.engine.input.pending(), [] | [b'\r']) => {
                self.stop_idle();
            }
            Phase::Tunnel(_) => self.tunnel_shutdown(),
            Phase::Handshake => self.end_now(CloseReason::ServerStopped, Ending::Plain),
            _ => {}
        }
    }

    /// The time for stopping is over.
    pub fn on_shutdown_timeout(&mut self) {
        self.connection.reason = None;
        self.end_now(CloseReason::ShutdownTimeout, Ending::Abort);
    }

    // ---- what it wants

    /// Whether it would take input now.
    #[inline]
    #[must_use]
    pub fn wants_read(&self) -> bool {
        if self.connection.ended {
            return false;
        }
        match self.connection.phase {
            // A head is bounded by its own limits; the buffer's must not stop it from ever being complete.
            Phase::Handshake => true,
            Phase::Head if !self.connection.has_more => true,
            Phase::Head | Phase::Exchange(_) | Phase::Tunnel(_) => {
                !self.engine.state.limits.input_is_full(self.engine.input.len())
            }
            Phase::Closing(_) => false,
            Phase::Lingering { .. } => true,
            Phase::Over => false,
        }
    }

    /// Whether there is output to send.
    #[inline]
    #[must_use]
    pub fn has_output(&self) -> bool {
        !self.engine.state.output.is_empty()
    }

    /// The output, if it lies in one piece; where TLS is spoken, what of it lies in records.
    #[inline]
    #[must_use]
    pub fn output(&self) -> Option<&[u8]> {
        if self.connection.session.is_some() {
            return Some(self.engine.state.output.sealed());
        }
        self.engine.state.output.single()
    }

    /// Whether more will follow at once what can be sent now.
    #[inline]
    pub(crate) fn more_follows(&self) -> bool {
        // Between requests it may only be room that is waited for, and nothing that needs it.
        self.connection.has_more
            && (!matches!(self.connection.phase, Phase::Head)
                || !self.engine.input.is_empty()
                || self.engine.state.output.has_plain_behind_records())
    }

    /// What is known of the connection.
    #[must_use]
    pub fn info(&self) -> &ConnectionInfo {
        &self.connection.info
    }

    /// The output in pieces, from its beginning, as far as `slices` reach; returns how many were filled.
    pub fn output_slices<'s>(&'s self, slices: &mut [IoSlice<'s>]) -> usize {
        if self.connection.session.is_some() {
            let sealed = self.engine.state.output.sealed();
            return match slices.first_mut() {
                Some(slice) if !sealed.is_empty() => {
                    *slice = IoSlice::new(sealed);
                    1
                }
                _ => 0,
            };
        }
        self.engine.state.output.slices(slices)
    }

    /// Appends a copy of the output to `target`; where TLS is spoken, of what lies in records.
    pub fn copy_output(&self, target: &mut Vec<u8>) {
        if self.connection.session.is_some() {
            target.extend_from_slice(self.engine.state.output.sealed());
            return;
        }
        self.engine.state.output.copy_to(target);
    }

    /// Whether it stopped for want of room, and there is room now: call [`on_room`](Self::on_room), when others had
    /// their turn.
    #[inline]
    #[must_use]
    pub fn has_more(&self) -> bool {
        self.connection.has_more && self.may_go_on()
    }

    /// Whether what it stopped for is there.
    fn may_go_on(&self) -> bool {
        let output = &self.engine.state.output;
        if self.connection.session.is_some() && output.has_plain() {
            return output.wants_seal();
        }
        !self.output_is_full()
    }

    /// What is to be done with the socket now.
    #[inline]
    #[must_use]
    pub fn fate(&self) -> Fate {
        match self.connection.phase {
            Phase::Handshake | Phase::Head | Phase::Exchange(_) | Phase::Tunnel(_) | Phase::Lingering { .. } => {
                Fate::Open
            }
            Phase::Closing(Ending::Abort) => Fate::Abort,
            Phase::Closing(_) if self.has_output() => Fate::Open,
            Phase::Closing(Ending::Plain) => Fate::Close,
            Phase::Closing(Ending::Linger) => Fate::ShutWrite,
            Phase::Over => Fate::Close,
        }
    }

    /// Tells the counters and the observer that it is over. Call it once, when the socket is closed.
    pub fn closed(&mut self) {
        self.drop_work();
        let connection = &mut *self.connection;
        let reason = connection.reason.unwrap_or(CloseReason::ClientClosed);
        let lasted = self.engine.now().since(connection.opened);
        self.engine
            .counters(connection.endpoint)
            .connection_closed(lasted, reason);
        let layers = connection.session.as_ref().and_then(|session| session.layers());
        if let Some(layers) = layers
            && connection.info.tls.is_some()
        {
            layers.iter().for_each(|layer| layer.closed(&connection.info));
        }
        self.engine
            .watch
            .tell(|observer| observer.closed(&connection.info, reason));
        log::debug!(target: "stannel::connections", "2 connection {} stopped: {reason:?}", ConnectionId(connection.info.id));
    }

    // ---- the machine

    /// Goes on as far as input and room for output reach.
    #[inline]
    pub(super) fn process(&mut self) {
        self.connection.has_more = false;
        loop {
            let goes_on = match self.connection.phase {
                Phase::Head => self.next_request(),
                Phase::Exchange(_) => self.run_exchange(),
                Phase::Tunnel(_) => self.run_tunnel(),
                Phase::Handshake => false,
                Phase::Closing(_) | Phase::Lingering { .. } | Phase::Over => {
                    self.discard_input();
                    false
                }
            };
            if !goes_on {
                break;
            }
        }
        self.settle_output();
    }

    pub(super) fn output_is_full(&self) -> bool {
        let unsent = self.engine.state.output.len();
        self.engine.state.limits.output_is_full(unsent)
    }

    pub(super) fn discard_input(&mut self) {
        let count = self.engine.input.len();
        self.engine.input.consume(count);
        self.count_discarded(count);
    }

    /// So many bytes came that nobody reads.
    pub(super) fn count_discarded(&mut self, count: usize) {
        if let Phase::Lingering { left } = &mut self.connection.phase {
            *left = left.saturating_sub(count);
            if *left == 0 {
                self.connection.phase = Phase::Over;
            }
        }
    }

    /// Refuses the request at hand: an answer of our own, then the end. Nothing of its response was begun.
    pub(super) fn reject(&mut self, rejection: Rejection) {
        let info = &self.connection.info;
        let input = self.engine.input.pending();
        let first_bytes = &input[..input.len().min(128)];
        log::debug!(
            target: "stannel::bad_requests",
            "17 connection {} bad request: {rejection}: {}",
            ConnectionId(info.id),
            crate::event::Escaped(first_bytes)
        );
        self.engine
            .watch
            .tell(|observer| observer.rejected(info, rejection, first_bytes));
        self.engine.state.current.close = true;
        self.engine.state.put_error(rejection.status());
        self.end_response();
        self.connection.end_for(CloseReason::Rejected(rejection));
        self.close_after_output(Ending::Linger);
    }

    /// Refuses a request whose head is not even known. It counts as one, so that its answer is not taken for another one
    /// to the request before it.
    pub(super) fn reject_head(&mut self, rejection: Rejection) {
        self.connection.number = self.connection.number.wrapping_add(1);
        self.engine.state.begin(RequestFacts::UNKNOWN);
        self.reject(rejection);
    }

    /// The exchange is over: on to the next one, or to the end.
    #[inline]
    pub(super) fn finish_exchange(&mut self) {
        self.end_response();
        let engine = &mut *self.engine;
        let connection = &mut *self.connection;
        let current = &mut engine.state.current;
        if current.close || engine.is_draining {
            let facts = current.facts;
            // Whoever said that this is its last request sends nothing behind it, but inside TLS its close_notify.
            let has_said_all = !facts.keeps_alive() && !facts.is_connect() && connection.session.is_none();
            let client_is_done = connection.ended || has_said_all;
            let reason = if current.close {
                CloseReason::Finished
            } else {
                CloseReason::ServerStopped
            };
            connection.end_for(reason);
            let ending = if client_is_done && engine.input.is_empty() {
                Ending::Plain
            } else {
                Ending::Linger
            };
            self.close_after_output(ending);
            return;
        }
        log::debug!(target: "stannel::connections", "9 connection {} kept alive", ConnectionId(connection.info.id));
        if !matches!(connection.phase, Phase::Head) {
            connection.phase = Phase::Head;
        }
        connection.head_started = false;
        connection.empty_lines = 0;
        connection.timer = engine.keep_alive_deadline();
    }

    /// The response at hand is complete, or will never be: it is counted, and a rate of its own holds for what of it is
    /// unsent.
    #[inline]
    pub(super) fn end_response(&mut self) {
        if let Some(overrides) = self.engine.state.current.overrides.take() {
            self.connection.response_rate = Some(Box::new(overrides.response_rate));
        }
        let Some(status) = self.engine.state.current.status else {
            return;
        };
        self.engine.counters(self.connection.endpoint).responses.add(1);
        let connection = &*self.connection;
        self.engine
            .watch
            .tell(|observer| observer.response(&connection.info, connection.number, status));
    }

    /// What is written is still sent, then the connection ends.
    pub(super) fn close_after_output(&mut self, ending: Ending) {
        let ending = if ending == Ending::Linger && self.connection.ended {
            Ending::Plain
        } else {
            ending
        };
        log::debug!(target: "stannel::connections", "10 connection {} disconnecting", ConnectionId(self.connection.info.id));
        self.drop_work();
        self.connection.phase = Phase::Closing(ending);
        self.connection.timer = NEVER;
        if ending != Ending::Abort {
            // That it ends comes behind all that was written.
            self.settle_output();
        }
        self.ending_output();
        self.discard_input();
    }

    /// Ends it as `ending` says, for `reason` unless there was one before.
    pub(super) fn end_now(&mut self, reason: CloseReason, ending: Ending) {
        self.connection.end_for(reason);
        self.close_after_output(ending);
    }

    /// The server stops and no request is there. A client that is still being answered was not told, and may have
    /// sent another one that would cost it the answer.
    pub(super) fn stop_idle(&mut self) {
        let ending = if self.has_output() {
            Ending::Linger
        } else {
            Ending::Plain
        };
        self.end_now(CloseReason::ServerStopped, ending);
    }

    /// Tells whoever works on the current exchange that it is over.
    pub(super) fn drop_work(&mut self) {
        match std::mem::replace(&mut self.connection.phase, Phase::Over) {
            Phase::Exchange(active) => self.drop_active(active),
            Phase::Tunnel(switched) => {
                self.engine.counters(self.connection.endpoint).upgraded_closed.add(1);
                quietly(|| drop(switched));
            }
            other => self.connection.phase = other,
        }
    }

    pub(super) fn arm_keep_alive(&mut self) {
        if !self.connection.head_started {
            self.connection.timer = self.engine.keep_alive_deadline();
        }
    }
}

impl Drop for Turn<'_> {
    #[inline]
    fn drop(&mut self) {
        let connection = &mut *self.connection;
        let engine = &mut *self.engine;
        if let Phase::Exchange(active) = &mut connection.phase {
            active.current.head_start = None;
        }
        if connection.parked.is_none() && engine.input.is_empty() && engine.state.output.is_empty() {
            engine.state.output.trim();
            engine.scan = Scan::default();
        } else {
            parked::put_aside(&mut connection.parked, engine);
        }
    }
}

impl fmt::Debug for Turn<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Turn")
            .field("connection", &self.connection)
            .finish_non_exhaustive()
    }
}
