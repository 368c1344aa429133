//! The user's side: a handler sees a [`Request`] and turns its [`Exchange`] into an [`Outcome`].

mod body;
mod defer;
mod exchange;
mod fields;
mod request;
mod response;
mod state;
mod tunnel;

pub use body::{
    Body, BodyEnd, BodyLength, BodyPipe, BodySink, BodySource, BodyWriter, Flow, Progress, ReaderSource, Trailers,
};
pub use defer::{DeferredHead, Disconnected, Responder, Waker};
pub use exchange::{BodyStarted, Exchange, Outcome};
pub use fields::{FieldError, FieldName, FieldValue};
pub use request::{ConnectionInfo, Headers, Peer, Request};
pub use response::{Payload, ResponseHead};
pub use tunnel::{Tunnel, TunnelIo, Upgrade, UpgradeError};

pub(crate) use body::{CollectThen, Files, OutputFraming, WriteState};
pub(crate) use defer::{Bell, DeferredBody, DeferredResponse, ExchangeId};
pub(crate) use request::{ConnectionId, Forwarded};
pub(crate) use state::{Current, ExchangeState, Reply};

/// Answers requests.
///
/// Each worker has one handler of its own, made by the factory that [`Server::new`](crate::Server::new) takes: a
/// handler needs no locks and need not be `Send`. It runs on the worker's event loop and must never block; slow work
/// goes to another thread through [`Exchange::defer`].
///
/// A handler that panics costs its own connection at most: 500 if nothing was sent, else the connection is closed. The
/// worker then makes itself a fresh handler.
///
/// ```
/// use stannel::{Exchange, Handler, Outcome, Request, StatusCode};
///
/// struct Hello;
///
/// impl Handler for Hello {
///     fn handle(&mut self, request: &Request<'_>, exchange: Exchange<'_>) -> Outcome {
///         match request.path() {
///             "/" => exchange.respond(StatusCode::OK).header("content-type", "text/plain").send("Hello"),
///             _ => exchange.respond(StatusCode::NOT_FOUND).send(""),
///         }
///     }
/// }
/// ```
pub trait Handler {
    /// Answers one request, or says how it will be answered.
    fn handle(&mut self, request: &Request<'_>, exchange: Exchange<'_>) -> Outcome;

    /// The server stops: no further request will come on connections that finish what they are at. Upgraded
    /// connections are told through [`Tunnel::on_shutdown`].
    fn on_shutdown(&mut self) {}
}

impl<F> Handler for F
where
    F: FnMut(&Request<'_>, Exchange<'_>) -> Outcome,
{
    fn handle(&mut self, request: &Request<'_>, exchange: Exchange<'_>) -> Outcome {
        self(request, exchange)
    }
}
