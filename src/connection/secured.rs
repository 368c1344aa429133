//! TLS in a connection's turns: records come in where plaintext would, and go out in its place.

#![cfg_attr(
    not(feature = "tls"),
    allow(unreachable_code, reason = "without TLS no value of a session can be made")
)]

use super::engine::{READ_SIZE, millis};
use super::{Connection, Ending, Engine, NEVER, Phase, Turn};
use crate::endpoint::{Admission, Layers};
use crate::event::CloseReason;
use crate::handler::{ConnectionId, ConnectionInfo};
use crate::places::Place;
use crate::tls::{Failure, Session, TlsEndpoint};
use std::sync::Arc;

impl Connection {
    /// The same as [`new`](Self::new) on an endpoint that speaks TLS: it begins with a handshake.
    ///
    /// # Panics
    /// When there is no such endpoint: an engine from [`Engine::new`] has one, with index 0.
    #[must_use]
    pub fn secured(engine: &Engine, info: ConnectionInfo, endpoint: u16, tls: &Arc<TlsEndpoint>) -> Self {
        Self::secured_with_place(engine, info, endpoint, Place::default(), tls, None)
    }

    /// `layers` look at what lies in the records.
    pub(crate) fn secured_with_place(
        engine: &Engine,
        info: ConnectionInfo,
        endpoint: u16,
        place: Place,
        tls: &Arc<TlsEndpoint>,
        layers: Option<Arc<Layers>>,
    ) -> Self {
        let mut connection = Self::with_place(engine, info, endpoint, place);
        connection.phase = Phase::Handshake;
        connection.timer = tls
            .handshake_timeout()
            .map_or(NEVER, |timeout| engine.now().plus_millis(millis(timeout)));
        connection.session = Some(Box::new(Session::new(tls, layers)));
        connection
    }

    /// Whether the TLS handshake goes on.
    #[must_use]
    pub fn is_handshaking(&self) -> bool {
        matches!(self.phase, Phase::Handshake)
    }
}

impl Turn<'_> {
    /// Whether the TLS handshake goes on.
    #[must_use]
    pub fn is_handshaking(&self) -> bool {
        self.connection.is_handshaking()
    }

    /// Where the next records go.
    pub(super) fn record_buffer(&mut self) -> &mut [u8] {
        let records = &mut self.engine.records;
        records.resize(READ_SIZE, 0);
        match self.engine.state.limits.max_request_buffer_size {
            // There are never more bytes in records than there are of them.
            Some(limit) if limit < READ_SIZE => &mut records[..limit.max(1024)],
            _ => records,
        }
    }

    /// That many bytes of records came; 0 is the end of the socket.
    pub(super) fn on_records(&mut self, count: usize) {
        match self.connection.phase {
            Phase::Closing(_) | Phase::Lingering { .. } | Phase::Over => return self.count_discarded(count),
            Phase::Handshake if count == 0 => {
                return self.handshake_failed(&Failure {
                    reason: "the client closed".to_owned(),
                    has_alert: false,
                });
            }
            // Without a close_notify before it: whoever cuts the connection could cut what goes through the tunnel (RFC 8446
            // §6.1).
            Phase::Tunnel(_) if count == 0 => return self.on_disconnect(CloseReason::Reset),
            Phase::Handshake | Phase::Head | Phase::Exchange(_) | Phase::Tunnel(_) => {}
        }
        let Some(session) = &mut self.connection.session else {
            return;
        };
        let before = self.engine.input.len();
        let result = session.receive(
            &mut self.engine.records[..count],
            &mut self.engine.input,
            &mut self.engine.state.output,
            &self.connection.info,
        );
        if let Err(failure) = result {
            return self.session_failed(&failure);
        }
        self.connection.ended |= session.has_ended();
        if matches!(self.connection.phase, Phase::Handshake) && !session.is_handshaking() {
            self.handshake_done();
        }
        self.tell_received(before);
        self.process();
    }

    /// Shows the plaintext behind `before` to whoever looks on.
    fn tell_received(&self, before: usize) {
        let layers = self.connection.session.as_ref().and_then(|session| session.layers());
        let plain = self.engine.input.pending().get(before..).unwrap_or_default();
        if let Some(layers) = layers
            && !plain.is_empty()
        {
            layers
                .iter()
                .for_each(|layer| layer.received(&self.connection.info, plain));
        }
    }

    fn handshake_done(&mut self) {
        let connection = &mut *self.connection;
        let Some(session) = &mut connection.session else { return };
        connection.info.tls = session.info().map(Box::new);
        connection.phase = Phase::Head;
        connection.timer = self.engine.keep_alive_deadline();
        if let Some(tls) = &connection.info.tls {
            log::debug!(
                target: "stannel::https",
                "3 connection {} established with {} and {}{}",
                ConnectionId(connection.info.id),
                tls.version(),
                tls.cipher_suite(),
                if tls.is_resumed() { ", resumed" } else { "" }
            );
        }
        let refuses = |layers: &Arc<Layers>| {
            let mut layers = layers.iter();
            layers.any(|layer| layer.connected(&connection.info) == Admission::Refuse)
        };
        if session.layers().is_some_and(refuses) {
            self.end_now(CloseReason::AbortedByHandler, Ending::Plain);
        }
    }

    fn session_failed(&mut self, failure: &Failure) {
        if matches!(self.connection.phase, Phase::Handshake) {
            return self.handshake_failed(failure);
        }
        log::debug!(
            target: "stannel::https",
            "1 connection {} broken: {failure}",
            ConnectionId(self.connection.info.id)
        );
        // What lies in no record yet will never lie in one.
        self.engine.state.output.drop_plain();
        // An alert, and answers that were given before, must not be lost to what the peer is still sending.
        let ending = if self.has_output() {
            Ending::Linger
        } else {
            Ending::Plain
        };
        self.end_now(CloseReason::Reset, ending);
    }

    /// Kestrel's rule: whatever a client does wrong in a handshake is worth a line at debug level, never more.
    pub(super) fn handshake_failed(&mut self, failure: &Failure) {
        log::debug!(
            target: "stannel::https",
            "1 connection {} from {}: the TLS handshake failed: {failure}",
            ConnectionId(self.connection.info.id),
            self.connection.info.peer
        );
        if failure.has_alert {
            // It must not be lost to what the peer is still sending.
            self.end_now(CloseReason::HandshakeFailed, Ending::Linger);
        } else {
            self.end_handshake();
        }
    }

    /// Ends it without a word.
    fn end_handshake(&mut self) {
        // Half a handshake is of no use to anybody.
        self.engine.state.output.clear();
        self.end_now(CloseReason::HandshakeFailed, Ending::Plain);
    }

    /// The handshake has taken too long in all, however its bytes came.
    pub(super) fn handshake_timed_out(&mut self) {
        log::debug!(
            target: "stannel::https",
            "2 connection {} from {}: the TLS handshake timed out",
            ConnectionId(self.connection.info.id),
            self.connection.info.peer
        );
        self.end_handshake();
    }

    /// Puts plaintext into records, as much as is sent next; behind the last of it goes that nothing more comes (RFC 8446
    /// §6.1), if the connection ends, so that the peer knows the end from a cut.
    pub(super) fn seal_output(&mut self) {
        let Some(session) = &mut self.connection.session else {
            return;
        };
        let output = &mut self.engine.state.output;
        if let Err(failure) = session.seal(output, &self.connection.info) {
            log::debug!(
                target: "stannel::https",
                "1 connection {} broken: {failure}",
                ConnectionId(self.connection.info.id)
            );
            // Plaintext must not go out, nor be tried again.
            output.clear();
            return self.end_now(CloseReason::Reset, Ending::Abort);
        }
        if output.has_plain() {
            self.connection.has_more = true;
        } else if matches!(self.connection.phase, Phase::Closing(Ending::Plain | Ending::Linger)) {
            session.close(output);
        }
    }
}
