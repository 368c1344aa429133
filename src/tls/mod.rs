//! TLS: what an endpoint answers a ClientHello with.
//!
//! This is the one room, beside [`certificate`](crate::certificate), in which rustls has a name; what it re-exports is
//! meant for whoever wants to tell rustls something that no option has.

#[cfg(feature = "tls")]
mod certificates;
#[cfg(feature = "tls")]
mod client_certificates;
#[cfg(feature = "tls")]
#[allow(dead_code, reason = "the loops will take them")]
mod endpoint;
#[cfg(feature = "tls")]
mod error;
#[cfg(feature = "tls")]
mod hooks;
#[cfg(feature = "tls")]
mod server_config;
#[cfg(feature = "tls")]
mod sni;
#[cfg(all(test, feature = "tls"))]
mod tests;
#[cfg(feature = "tls")]
mod tickets;

#[cfg(feature = "tls")]
pub use client_certificates::ClientCertificateError;
#[cfg(feature = "tls")]
pub use endpoint::TlsEndpoint;
#[cfg(feature = "tls")]
pub use error::TlsError;
#[cfg(feature = "tls")]
pub(crate) use hooks::OnClientHello;
#[cfg(feature = "tls")]
pub use hooks::{
    ClientCertificateValidation, HandshakeError, OnAuthenticate, ServerCertificateSelector, TlsHandshakeOptions,
};
#[cfg(feature = "tls")]
pub use rustls::ServerConfig;
#[cfg(feature = "tls")]
pub use rustls::server::ClientHello;
#[cfg(feature = "tls")]
pub use sni::HostPatterns;
