//! What every TLS connection under comparison has in common, so that no server gains by another choice.

use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{self, Ticketer, cipher_suite, kx_group};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// One key exchange and one cipher suite: a client that offers these alone gets the same handshake from every server.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(CryptoProvider {
        cipher_suites: vec![cipher_suite::TLS13_AES_256_GCM_SHA384],
        kx_groups: vec![kx_group::X25519],
        ..aws_lc_rs::default_provider()
    })
}

/// The certificate of all servers, P-256 and valid for a hundred years.
pub fn certificate() -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(CERTIFICATE).expect("the certificate of this package is one")
}

/// What the servers of this package answer a client with: HTTP/1.1 over TLS 1.3, one session ticket.
pub fn server_config() -> Result<Arc<ServerConfig>, rustls::Error> {
    let key = PrivateKeyDer::from_pem_slice(KEY).expect("the key of this package is one");
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_no_client_auth()
        .with_single_cert(vec![certificate()], key)?;
    config.alpn_protocols = vec![HTTP_1_1.to_vec()];
    // A ticket that holds the whole session costs more than one that the server looks up, but no memory.
    config.ticketer = Ticketer::new()?;
    config.send_tls13_tickets = 1;
    Ok(Arc::new(config))
}

pub const HTTP_1_1: &[u8] = b"http/1.1";
const CERTIFICATE: &[u8] = include_bytes!("../certificate/localhost.pem");
const KEY: &[u8] = include_bytes!("../certificate/localhost.key");
