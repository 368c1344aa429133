//! stannel: an HTTP/1.1 server engine.
#![forbid(unsafe_code)]

mod buffer;
mod configuration;
pub mod connection;
mod endpoint;
mod event;
mod handler;
pub mod http1;
mod mailbox;
pub mod middleware;
mod places;
mod server;
pub mod timer;

pub use configuration::{Configuration, ConfigurationError, Origin};
pub use endpoint::{Binding, Limits, LimitsError, ListenOptions, MinDataRate, ServerOptions, UrlError, UrlPrefix};
pub use event::{CloseReason, DURATION_BOUNDS, EndpointMetrics, Metrics, Observer};
pub use handler::{
    Body, BodyEnd, BodyLength, BodyPipe, BodySink, BodySource, BodyStarted, BodyWriter, ConnectionInfo, DeferredHead,
    Disconnected, Exchange, FieldError, FieldName, FieldValue, Flow, Handler, Headers, Outcome, Payload, Peer,
    Progress, ReaderSource, Request, Responder, ResponseHead, Trailers, Tunnel, TunnelIo, Upgrade, UpgradeError, Waker,
};
pub use http1::{Rejection, TargetForm};
pub use server::{BindError, BoundAddress, BoundServer, Server, ServerError, ServerHandle};

pub use http::{Method, StatusCode, Version, header};
