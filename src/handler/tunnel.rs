//! Upgraded connections: 101, then bytes are just bytes.

use super::body::Flow;
use super::exchange::{Exchange, Outcome};
use super::fields::{FieldError, FieldName, FieldValue, FieldsSeen, write_field};
use super::state::{HeadLength, Reply};
use crate::buffer::Output;
use crate::http1::encode;
use crate::places::Place;
use bytes::Bytes;
use http::StatusCode;
use std::fmt;

/// The program at our end of an upgraded connection.
///
/// Each method says what is wanted next: [`Flow::Continue`], [`Flow::Pause`] (no more input until woken) or
/// [`Flow::Stop`] (send what is written, then close). No method may block. A panic closes the connection.
///
/// An idle tunnel has no timeout, because only its program knows what silence means; a peer that takes nothing for
/// `response_stall_timeout` is reset.
///
/// ```
/// use stannel::{Exchange, Flow, Outcome, Request, Tunnel, TunnelIo};
///
/// struct Echo;
///
/// impl Tunnel for Echo {
///     fn on_data(&mut self, data: &[u8], io: &mut TunnelIo<'_>) -> Flow {
///         io.put(data);
///         Flow::Continue
///     }
/// }
///
/// fn handle(_request: &Request<'_>, exchange: Exchange<'_>) -> Outcome {
///     exchange.upgrade("echo").switch_to(Echo)
/// }
/// ```
pub trait Tunnel {
    /// The connection is switched; the first bytes may be written.
    fn on_open(&mut self, io: &mut TunnelIo<'_>) -> Flow {
        let _ = io;
        Flow::Continue
    }

    /// The peer sent these bytes, never none. Asked only when there is room for output.
    fn on_data(&mut self, data: &[u8], io: &mut TunnelIo<'_>) -> Flow;

    /// The peer sent its end; [`Flow::Stop`], the default, ends our side too, anything else keeps it open for more
    /// output.
    fn on_end(&mut self, io: &mut TunnelIo<'_>) -> Flow {
        let _ = io;
        Flow::Stop
    }

    /// The exchange's [`Waker`](crate::Waker) was used, or there is room again after the output was full. A pause is over
    /// unless [`Flow::Pause`] is answered again.
    fn on_wake(&mut self, io: &mut TunnelIo<'_>) -> Flow {
        let _ = io;
        Flow::Continue
    }

    /// The server stops and will reset the connection when `shutdown_timeout` is over.
    fn on_shutdown(&mut self, io: &mut TunnelIo<'_>) -> Flow {
        let _ = io;
        Flow::Continue
    }
}

/// Our side of an upgraded connection's output. [`Tunnel`] has an example.
#[derive(Debug)]
pub struct TunnelIo<'a> {
    output: &'a mut Output,
    room: usize,
}

impl<'a> TunnelIo<'a> {
    pub(crate) fn new(output: &'a mut Output, room: usize) -> Self {
        Self { output, room }
    }

    /// How many bytes should be written now: what `max_response_buffer_size` leaves (64 KiB if that is `None`). More are
    /// accepted, but cost memory.
    #[must_use]
    pub fn room(&self) -> usize {
        self.room
    }

    /// Writes these bytes.
    pub fn put(&mut self, bytes: &[u8]) {
        self.output.put(bytes);
        self.room = self.room.saturating_sub(bytes.len());
    }

    /// Writes bytes that are owned already; large ones are not copied.
    pub fn put_bytes(&mut self, bytes: impl Into<Bytes>) {
        let bytes = bytes.into();
        self.room = self.room.saturating_sub(bytes.len());
        self.output.put_owned(bytes);
    }
}

/// Why a connection cannot be upgraded.
///
/// ```
/// use stannel::{Exchange, Flow, Outcome, StatusCode, Tunnel, TunnelIo, UpgradeError};
///
/// fn chat(exchange: Exchange<'_>, chat: impl Tunnel + 'static) -> Outcome {
///     match exchange.try_upgrade("chat") {
///         Ok(upgrade) => upgrade.switch_to(chat),
///         Err((UpgradeError::NotUpgradable, exchange)) => exchange.respond(StatusCode::OK).send("a page"),
///         Err((_, exchange)) => exchange.respond(StatusCode::SERVICE_UNAVAILABLE).send("full"),
///     }
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum UpgradeError {
    /// The request does not offer it: no `Connection: upgrade`, no Upgrade field, HTTP/1.0, or with a body.
    NotUpgradable,
    /// `max_concurrent_upgraded_connections` are open.
    LimitReached,
}

impl fmt::Display for UpgradeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotUpgradable => "the request does not offer an upgrade; answer it as an ordinary one",
            Self::LimitReached => "max_concurrent_upgraded_connections is reached; raise it or answer 503",
        })
    }
}

impl std::error::Error for UpgradeError {}

/// An accepted offer to change the protocol: add fields, then switch.
///
/// ```
/// use stannel::{Exchange, Outcome, Tunnel};
///
/// fn chat(exchange: Exchange<'_>, chat: impl Tunnel + 'static) -> Outcome {
///     exchange.upgrade("chat").header("x-room", "7").switch_to(chat)
/// }
/// ```
#[must_use = "the connection is upgraded only by switch_to"]
pub struct Upgrade<'a> {
    exchange: Exchange<'a>,
    protocol: &'a str,
    /// The place among the upgraded connections, or why there is none.
    offer: Result<Place, UpgradeError>,
    field_error: Option<FieldError>,
}

impl<'a> Upgrade<'a> {
    pub(crate) fn begin(exchange: Exchange<'a>, protocol: &'a str) -> Result<Self, (UpgradeError, Exchange<'a>)> {
        if !exchange.state.current.facts.upgradable() {
            return Err((UpgradeError::NotUpgradable, exchange));
        }
        let Some(place) = exchange.state.upgraded.take() else {
            return Err((UpgradeError::LimitReached, exchange));
        };
        let state = &mut *exchange.state;
        let mut field_error = state.begin_head(StatusCode::SWITCHING_PROTOCOLS, None).err();
        let out = state.output.linear();
        out.extend_from_slice(b"Connection: Upgrade\r\n");
        // Not through `fields_seen`: the 101's Connection is ours.
        field_error = field_error.or(write_field(out, &mut FieldsSeen::default(), &"Upgrade", &protocol).err());
        Ok(Self {
            exchange,
            protocol,
            offer: Ok(place),
            field_error,
        })
    }

    pub(crate) fn refused(exchange: Exchange<'a>, protocol: &'a str, refusal: UpgradeError) -> Self {
        Self {
            exchange,
            protocol,
            offer: Err(refusal),
            field_error: None,
        }
    }

    /// Adds a field to the 101. One that cannot be sent is the handler's error: it is logged and the answer becomes 500.
    pub fn header(mut self, name: impl FieldName, value: impl FieldValue) -> Self {
        if self.offer.is_ok() {
            let state = &mut *self.exchange.state;
            if let Err(error) = write_field(state.output.linear(), &mut state.fields_seen, &name, &value) {
                self.field_error.get_or_insert(error);
            }
        }
        self
    }

    /// Sends the 101 and hands the connection over; bytes that came behind the head are the tunnel's first.
    pub fn switch_to(self, tunnel: impl Tunnel + 'static) -> Outcome {
        match self.offer {
            // RFC 9110 §15.5.22: 426 names the protocol in Upgrade, which Connection then has to list.
            Err(UpgradeError::NotUpgradable) => {
                let state = self.exchange.state;
                let _ = state.begin_head(StatusCode::UPGRADE_REQUIRED, None);
                let out = state.output.linear();
                match write_field(out, &mut FieldsSeen::default(), &"Upgrade", &self.protocol) {
                    Ok(()) => {
                        out.extend_from_slice(b"Connection: Upgrade\r\n");
                        state.end_head(StatusCode::UPGRADE_REQUIRED, HeadLength::Exact(0));
                        state.reply = Reply::Complete;
                    }
                    Err(error) => state.fail(&error),
                }
                Outcome::PROOF
            }
            Err(UpgradeError::LimitReached) => self.exchange.respond(StatusCode::SERVICE_UNAVAILABLE).send(""),
            Ok(place) => {
                let state = self.exchange.state;
                if let Some(error) = self.field_error {
                    state.fail(&error);
                    return Outcome::PROOF;
                }
                state.put_transport_security();
                let seen = state.fields_seen;
                state.common.put(state.output.linear(), seen.server, seen.date);
                encode::end_of_head(state.output.linear());
                state.current.status = Some(StatusCode::SWITCHING_PROTOCOLS);
                state.reply = Reply::Tunnel {
                    tunnel: Box::new(tunnel),
                    place,
                };
                Outcome::PROOF
            }
        }
    }
}

impl fmt::Debug for Upgrade<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upgrade")
            .field("protocol", &self.protocol)
            .field("offer", &self.offer)
            .finish_non_exhaustive()
    }
}
