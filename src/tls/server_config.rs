//! rustls' configuration for one set of options.

use super::client_certificates::ClientSettings;
use super::tickets::Tickets;
use crate::certificate::provider::provider;
use crate::endpoint::{HttpProtocols, SslProtocols};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ServerConfig, SupportedProtocolVersion};
use std::sync::Arc;

/// The one certificate that handshakes get; `None` where a selector chooses it later.
#[derive(Debug)]
pub(crate) struct Shown(pub(crate) Option<Arc<CertifiedKey>>);

impl ResolvesServerCert for Shown {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.clone()
    }
}

/// A configuration that shows this certificate.
pub(crate) fn server_config(
    ssl_protocols: SslProtocols,
    protocols: HttpProtocols,
    clients: &ClientSettings,
    endpoint: &str,
    tickets: &Tickets,
    shown: Option<Arc<CertifiedKey>>,
) -> Result<ServerConfig, rustls::Error> {
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&versions(ssl_protocols))?
        .with_client_cert_verifier(clients.verifier(endpoint)?)
        .with_cert_resolver(Arc::new(Shown(shown)));
    let resumption = tickets.for_settings(clients)?;
    config.ticketer = resumption.ticketer;
    config.session_storage = resumption.sessions;
    config.ignore_client_order = true;
    config.alpn_protocols = alpn(protocols);
    // A ticket costs 3 % of a handshake, and a client that comes back gets the next one then.
    config.send_tls13_tickets = 1;
    // Early data can be sent again by anybody who has seen it.
    config.max_early_data_size = 0;
    Ok(config)
}

/// Versions that can be asked for and are not in here were refused when the endpoint was planned.
fn versions(asked: SslProtocols) -> Vec<&'static SupportedProtocolVersion> {
    let served = asked.served().unwrap_or(SslProtocols::NONE);
    let known = [
        (SslProtocols::TLS13, &rustls::version::TLS13),
        (SslProtocols::TLS12, &rustls::version::TLS12),
    ];
    let asked = known.into_iter().filter(|(name, _)| served.contains(*name));
    asked.map(|(_, version)| version).collect()
}

/// What is offered, the best first.
pub(crate) fn alpn(protocols: HttpProtocols) -> Vec<Vec<u8>> {
    if protocols.contains(HttpProtocols::HTTP1) {
        vec![b"http/1.1".to_vec(), b"http/1.0".to_vec()]
    } else {
        Vec::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_offered() {
        let both = vec![b"http/1.1".to_vec(), b"http/1.0".to_vec()];
        for (protocols, offered) in [
            (HttpProtocols::HTTP1, both.clone()),
            (HttpProtocols::HTTP1_AND_HTTP2, both),
            (HttpProtocols::HTTP2, Vec::new()),
        ] {
            assert_eq!(alpn(protocols), offered, "{protocols}");
        }
    }

    #[test]
    fn versions_of_tls() {
        use rustls::ProtocolVersion::{TLSv1_2, TLSv1_3};
        for (asked, served) in [
            (SslProtocols::NONE, &[TLSv1_3, TLSv1_2][..]),
            (SslProtocols::TLS12, &[TLSv1_2]),
            (SslProtocols::TLS13, &[TLSv1_3]),
            (SslProtocols::TLS11 | SslProtocols::TLS12, &[TLSv1_2]),
            (SslProtocols::TLS11, &[]),
        ] {
            let found: Vec<_> = versions(asked).iter().map(|version| version.version).collect();
            assert_eq!(found, served, "{asked}");
        }
    }
}
