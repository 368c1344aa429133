//! The one right to answer one request.

use super::body::{Body, BodyEnd, BodySink, Trailers};
use super::defer::{Responder, Waker};
use super::response::ResponseHead;
use super::state::{ExchangeState, Reply, TakenBody};
use super::tunnel::{Upgrade, UpgradeError};
use crate::endpoint::MinDataRate;
use crate::http1::Rejection;
use http::StatusCode;
use std::fmt;
use std::time::{Duration, SystemTime};

/// Proof that an exchange was brought to an end, or put on its way to one. Only the ways to consume an [`Exchange`] make
/// it, so a handler that returns has answered, or said how it will.
#[derive(Debug)]
#[must_use = "a handler returns the outcome"]
pub struct Outcome(());

impl Outcome {
    pub(crate) const PROOF: Self = Self(());
}

/// The right and the duty to answer one request: consumed exactly once, each way yields the [`Outcome`] that the
/// handler owes. Answering twice, or not at all, does not compile.
///
/// ```
/// use stannel::{Exchange, Method, Outcome, Request, StatusCode};
///
/// fn handle(request: &Request<'_>, exchange: Exchange<'_>) -> Outcome {
///     match (request.method(), request.path()) {
///         (&Method::GET, "/") => exchange.respond(StatusCode::OK).send("Hello"),
///         (&Method::POST, "/order") => exchange.collect(64 << 10, |body, exchange| {
///             exchange.respond(StatusCode::CREATED).send(body)
///         }),
///         (&Method::GET, "/report") => exchange.defer(|responder| {
///             std::thread::spawn(move || responder.respond(StatusCode::OK).send("late, but here"));
///         }),
///         _ => exchange.respond(StatusCode::NOT_FOUND).send(""),
///     }
/// }
/// ```
pub struct Exchange<'a> {
    pub(crate) state: &'a mut ExchangeState,
    /// Input behind the head that is here already.
    pub(crate) ahead: &'a [u8],
}

/// The body has been asked for already, so its rules cannot change any more. It can happen in the closure of
/// [`Exchange::collect`] and in [`BodySink::finish`], whose exchange is a later one of the same request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BodyStarted;

impl fmt::Display for BodyStarted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the request body is being read already; change its limits before")
    }
}

impl std::error::Error for BodyStarted {}

impl<'a> Exchange<'a> {
    /// Starts a response, with the status's usual reason phrase. A 1xx status is no final response: the answer becomes 500.
    #[inline]
    pub fn respond(self, status: StatusCode) -> ResponseHead<'a> {
        ResponseHead::begin(self, status, None)
    }

    /// Starts a response with a reason phrase of your own (RFC 9112 §4: text that clients ignore). One that cannot be
    /// sent, such as one with a line break in it, is the handler's error: it is logged and the answer becomes 500.
    pub fn respond_with_reason(self, status: StatusCode, reason: &str) -> ResponseHead<'a> {
        ResponseHead::begin(self, status, Some(reason))
    }

    /// Waits for the whole body and passes it on. A body of more than `limit` bytes (or than `max_request_body_size`
    /// allows) is answered with 413 and never collected.
    ///
    /// What is needed of the request has to be copied before: by then its head is gone. A body can be taken once; a
    /// second time, and for a request without one, `then` gets an empty one at once. `limit` is in bytes of content,
    /// `max_request_body_size` in bytes on the wire. Memory grows with what has come, not with what is promised.
    ///
    /// ```
    /// use stannel::{Exchange, Outcome, Request, StatusCode};
    ///
    /// fn rename(request: &Request<'_>, exchange: Exchange<'_>) -> Outcome {
    ///     let from = request.path().to_owned();
    ///     exchange.collect(256, move |body, exchange| {
    ///         let to = String::from_utf8_lossy(&body);
    ///         exchange.respond(StatusCode::OK).send(format!("{from} is now {to}"))
    ///     })
    /// }
    /// ```
    pub fn collect<F>(self, limit: usize, then: F) -> Outcome
    where
        F: FnOnce(Body<'_>, Exchange<'_>) -> Outcome + 'static,
    {
        let state = self.state;
        match state.take_body(self.ahead, limit as u64) {
            TakenBody::None => {
                let body = Body {
                    bytes: &[],
                    trailers: Trailers::default(),
                };
                return then(
                    body,
                    Exchange {
                        state,
                        ahead: self.ahead,
                    },
                );
            }
            TakenBody::TooLarge => return Outcome::PROOF,
            TakenBody::Comes => {}
        }
        if let Some((bytes, taken)) = state.body_in_one_piece(self.ahead, limit) {
            // It is all here: no box, no copy.
            state.body_consumed = taken;
            let body = Body {
                bytes,
                trailers: Trailers::default(),
            };
            let ahead = self.ahead.get(taken..).unwrap_or_default();
            return then(body, Exchange { state, ahead });
        }
        state.reply = Reply::Collect {
            limit,
            then: Box::new(then),
        };
        Outcome::PROOF
    }

    /// Has the body pushed into a sink piece by piece; [`BodySink`] has an example. Without a body
    /// [`BodySink::finish`] is called at once, and with a declared length above `max_request_body_size` (413)
    /// [`BodySink::failed`].
    pub fn receive(self, sink: impl BodySink + 'static) -> Outcome {
        match self.state.take_body(self.ahead, u64::MAX) {
            TakenBody::None => {
                let end = BodyEnd {
                    is_complete: true,
                    trailers: Trailers::default(),
                };
                return Box::new(sink).finish(end, self);
            }
            TakenBody::TooLarge => Box::new(sink).failed(Some(Rejection::RequestBodyTooLarge)),
            TakenBody::Comes => self.state.reply = Reply::Receive(Box::new(sink)),
        }
        Outcome::PROOF
    }

    /// Answers later, from any thread: `hand_over` gets the [`Responder`] at once and passes it to whoever does the
    /// work. There is no deadline: how long an answer may take only you know.
    ///
    /// The body is not read meanwhile; where it is needed, [`collect`](Self::collect) it and defer in the closure.
    pub fn defer(self, hand_over: impl FnOnce(Responder)) -> Outcome {
        let responder = self.state.responder();
        hand_over(responder);
        self.state.reply = Reply::Deferred;
        Outcome::PROOF
    }

    /// Takes the client's offer to change to `protocol` (RFC 9110 §7.8). Where that is impossible (see
    /// [`try_upgrade`](Self::try_upgrade)) the answer is 426 or 503. Whether the client offered this very protocol is for
    /// the handler to look at, in the Upgrade field. [`Tunnel`](crate::Tunnel) has an example.
    pub fn upgrade(self, protocol: &'a str) -> Upgrade<'a> {
        match self.try_upgrade(protocol) {
            Ok(upgrade) => upgrade,
            Err((error, exchange)) => Upgrade::refused(exchange, protocol, error),
        }
    }

    /// The same, but where it is impossible the exchange comes back, to be answered otherwise.
    ///
    /// # Errors
    /// [`UpgradeError::NotUpgradable`] if the request does not offer it, [`UpgradeError::LimitReached`] when
    /// `max_concurrent_upgraded_connections` are open.
    pub fn try_upgrade(self, protocol: &'a str) -> Result<Upgrade<'a>, (UpgradeError, Self)> {
        Upgrade::begin(self, protocol)
    }

    /// Resets the connection: nothing more is sent. On a Unix socket it is closed.
    pub fn abort(self) -> Outcome {
        self.state.reply = Reply::Abort;
        Outcome::PROOF
    }

    /// Wakes this exchange from any thread, for sinks, sources, pipes and tunnels that wait. Make it before the exchange
    /// is consumed. [`Waker`] has an example.
    pub fn waker(&mut self) -> Waker {
        self.state.waker()
    }

    /// The time of day that the response's Date will tell: read once a second by the server, so up to about a second
    /// old, and free to ask for.
    ///
    /// ```
    /// use stannel::{Exchange, Outcome, Request, StatusCode};
    /// use std::time::SystemTime;
    ///
    /// fn clock(_request: &Request<'_>, exchange: Exchange<'_>) -> Outcome {
    ///     let since = exchange.time_of_day().duration_since(SystemTime::UNIX_EPOCH);
    ///     let seconds = since.map_or(0, |since| since.as_secs());
    ///     exchange.respond(StatusCode::OK).send(seconds.to_string())
    /// }
    /// ```
    #[must_use]
    pub fn time_of_day(&self) -> SystemTime {
        self.state.common.now()
    }

    /// Changes `max_request_body_size` for this request alone, in bytes; `None`: no limit. Kestrel's
    /// `IHttpMaxRequestBodySizeFeature`.
    ///
    /// ```
    /// use stannel::{Exchange, Outcome, Request, StatusCode};
    ///
    /// fn film(_request: &Request<'_>, mut exchange: Exchange<'_>) -> Outcome {
    ///     if exchange.max_request_body_size(Some(4 << 30)).is_err() {
    ///         return exchange.abort(); // Not here: nobody has asked for the body yet.
    ///     }
    ///     exchange.collect(1024, |_, exchange| exchange.respond(StatusCode::OK).send(""))
    /// }
    /// ```
    ///
    /// # Errors
    /// When the body has been asked for already.
    pub fn max_request_body_size(&mut self, limit: Option<u64>) -> Result<(), BodyStarted> {
        self.before_body()?.max_body = limit;
        Ok(())
    }

    /// Changes `min_request_body_data_rate` for this request alone; `None`: any pace will do. Kestrel's
    /// `IHttpMinRequestBodyDataRateFeature`.
    ///
    /// # Errors
    /// When the body has been asked for already.
    pub fn min_request_body_data_rate(&mut self, rate: Option<MinDataRate>) -> Result<(), BodyStarted> {
        self.before_body()?.request_rate = rate;
        Ok(())
    }

    /// Changes `request_body_stall_timeout` for this request alone; `None`: any silence will do.
    ///
    /// # Errors
    /// When the body has been asked for already.
    pub fn request_body_stall_timeout(&mut self, timeout: Option<Duration>) -> Result<(), BodyStarted> {
        self.before_body()?.body_stall = timeout;
        Ok(())
    }

    /// Changes `min_response_data_rate` for this response alone; `None`: any pace will do. Kestrel's
    /// `IHttpMinResponseDataRateFeature`.
    pub fn min_response_data_rate(&mut self, rate: Option<MinDataRate>) {
        self.state.overrides().response_rate = rate;
    }

    fn before_body(&mut self) -> Result<&mut super::state::Overrides, BodyStarted> {
        if self.state.current.body_taken {
            Err(BodyStarted)
        } else {
            Ok(self.state.overrides())
        }
    }
}

impl fmt::Debug for Exchange<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exchange")
            .field("facts", &self.state.current.facts)
            .finish_non_exhaustive()
    }
}
