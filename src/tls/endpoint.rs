//! What an endpoint answers a ClientHello with.

use crate::handler::ConnectionInfo;
use rustls::AlertDescription;
use rustls::ServerConfig;
use rustls::server::ClientHello;
use std::sync::Arc;
use std::time::Duration;

/// What an endpoint answers a ClientHello with.
#[derive(Debug)]
pub struct TlsEndpoint {
    config: Arc<ServerConfig>,
}

/// Why a client is refused.
pub(crate) struct Refusal {
    pub(crate) alert: AlertDescription,
    pub(crate) reason: String,
}

impl TlsEndpoint {
    /// One that gives every client the same.
    #[must_use]
    pub fn from_config(config: Arc<ServerConfig>) -> Self {
        Self { config }
    }

    pub(crate) fn handshake_timeout(&self) -> Option<Duration> {
        Some(Duration::from_secs(10))
    }

    pub(crate) fn choose(&self, _: &ClientHello<'_>, _: &ConnectionInfo) -> Result<Arc<ServerConfig>, Refusal> {
        Ok(Arc::clone(&self.config))
    }
}
