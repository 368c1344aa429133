//! TLS: what an endpoint answers a ClientHello with, and a client's session, both without a socket.
//!
//! This is the one room, beside [`certificate`](crate::certificate), in which rustls has a name; what it re-exports is
//! meant for whoever wants to tell rustls something that no option has.

#[cfg(not(feature = "tls"))]
mod absent;
#[cfg(feature = "tls")]
mod certificates;
#[cfg(feature = "tls")]
mod client_certificates;
#[cfg(feature = "tls")]
mod endpoint;
#[cfg(feature = "tls")]
mod error;
#[cfg(feature = "tls")]
mod hooks;
mod info;
#[cfg(feature = "tls")]
mod server_config;
#[cfg(feature = "tls")]
mod session;
#[cfg(feature = "tls")]
mod sni;
#[cfg(all(test, feature = "tls"))]
mod tests;
#[cfg(feature = "tls")]
mod tickets;

#[cfg(not(feature = "tls"))]
pub use absent::TlsEndpoint;
#[cfg(feature = "tls")]
pub use client_certificates::ClientCertificateError;
#[cfg(feature = "tls")]
pub use endpoint::TlsEndpoint;
#[cfg(feature = "tls")]
pub use error::TlsError;
#[cfg(feature = "tls")]
pub use hooks::{
    ClientCertificateValidation, HandshakeError, OnAuthenticate, ServerCertificateSelector, TlsHandshakeOptions,
};
pub use info::{TlsInfo, TlsVersion};
#[cfg(feature = "tls")]
pub use rustls::ServerConfig;
#[cfg(feature = "tls")]
pub use rustls::server::ClientHello;
#[cfg(feature = "tls")]
pub use sni::HostPatterns;

#[cfg(not(feature = "tls"))]
pub(crate) use absent::{Session, Tickets};
#[cfg(feature = "tls")]
pub(crate) use certificates::{Roots, TlsCertificates};
#[cfg(feature = "tls")]
pub(crate) use client_certificates::read_roots;
#[cfg(feature = "tls")]
pub(crate) use endpoint::warnings;
#[cfg(feature = "tls")]
pub(crate) use hooks::OnClientHello;
#[cfg(feature = "tls")]
pub(crate) use session::Session;
#[cfg(feature = "tls")]
pub(crate) use tickets::Tickets;

use std::fmt;

/// Why a session ended before its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// One line for the log.
    pub(crate) reason: String,
    /// Whether the peer is told; one that speaks no TLS at all is not.
    pub(crate) has_alert: bool,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}
