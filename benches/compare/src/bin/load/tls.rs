//! The client's side of TLS: one key exchange, one cipher suite, never a session resumed, so that all servers do the
//! same work.

use std::io::{self, BufRead, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ClientConfig, ClientConnection, Resumption};
use rustls::crypto::{CryptoProvider, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, Error, SignatureScheme};

use crate::options::{Options, Transport};

/// A connection's session; it never sees the socket but to write to it.
pub struct Session {
    tls: Box<ClientConnection>,
}

/// What all connections share; nothing where TLS is not asked for.
pub fn config_for(options: &Options) -> io::Result<Option<Arc<ClientConfig>>> {
    match options.transport {
        Transport::Tcp => Ok(None),
        Transport::Tls => client_config().map(Some).map_err(io::Error::other),
    }
}

fn client_config() -> Result<Arc<ClientConfig>, Error> {
    let provider = compare::tls::provider();
    let mut config = ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Pinned::new(provider)))
        .with_no_client_auth();
    config.alpn_protocols = vec![compare::tls::HTTP_1_1.to_vec()];
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

pub fn client(config: &Arc<ClientConfig>) -> io::Result<ClientConnection> {
    let name = ServerName::try_from("localhost").expect("a name");
    let mut client = ClientConnection::new(config.clone(), name).map_err(io::Error::other)?;
    // What is sent before the handshake is over waits here, as large as it is.
    client.set_buffer_limit(None);
    Ok(client)
}

impl Session {
    pub fn new(config: &Arc<ClientConfig>) -> io::Result<Self> {
        Ok(Self {
            tls: Box::new(client(config)?),
        })
    }

    /// Encrypts these bytes, or keeps them until the handshake is over.
    pub fn put(&mut self, plain: &[u8]) -> io::Result<()> {
        self.tls.writer().write_all(plain)
    }

    pub fn has_unsent(&self) -> bool {
        self.tls.wants_write()
    }

    pub fn is_handshaking(&self) -> bool {
        self.tls.is_handshaking()
    }

    /// Writes records as far as the kernel takes them; says how many bytes that was.
    pub fn flush(&mut self, mut socket: &TcpStream) -> io::Result<usize> {
        let mut sent = 0;
        while self.tls.wants_write() {
            match self.tls.write_tls(&mut socket) {
                Ok(written) => sent += written,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(sent)
    }

    /// Decrypts what the socket gave and hands the pieces on.
    pub fn receive<E: From<io::Error>>(
        &mut self,
        mut encrypted: &[u8],
        mut plain: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        while !encrypted.is_empty() {
            if self.tls.read_tls(&mut encrypted)? == 0 {
                return Err(E::from(io::Error::other("bytes after the end of the TLS session")));
            }
            let state = self.tls.process_new_packets().map_err(io::Error::other)?;
            let mut left = state.plaintext_bytes_to_read();
            let mut reader = self.tls.reader();
            while left > 0 {
                let piece = reader.fill_buf()?;
                plain(piece)?;
                let length = piece.len();
                left -= length;
                reader.consume(length);
            }
        }
        Ok(())
    }

    /// Whether the server said that this is the end, so that nothing was cut off.
    pub fn is_over(&mut self) -> io::Result<bool> {
        let state = self.tls.process_new_packets().map_err(io::Error::other)?;
        Ok(state.peer_has_closed())
    }
}

/// Takes one certificate and no other. Of the signatures it checks samples: a client that checked each would be busier
/// than the server, and the server is what is measured.
#[derive(Debug)]
struct Pinned {
    certificate: CertificateDer<'static>,
    provider: Arc<CryptoProvider>,
    handshakes: AtomicUsize,
}

impl Pinned {
    fn new(provider: Arc<CryptoProvider>) -> Self {
        Self {
            certificate: compare::tls::certificate(),
            provider,
            handshakes: AtomicUsize::new(0),
        }
    }
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if *certificate == self.certificate {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(Error::General("another certificate than that of this package".into()))
        }
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("TLS 1.2 was not offered".into()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        if self
            .handshakes
            .fetch_add(1, Ordering::Relaxed)
            .is_multiple_of(CHECK_ONE_IN)
        {
            let algorithms = &self.provider.signature_verification_algorithms;
            verify_tls13_signature(message, certificate, signature, algorithms)
        } else {
            Ok(HandshakeSignatureValid::assertion())
        }
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ECDSA_NISTP256_SHA256]
    }
}

const CHECK_ONE_IN: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::{HandshakeKind, NamedGroup, ProtocolVersion, ServerConnection};

    /// Lets both sides talk until neither has anything to say.
    fn converse(client: &mut ClientConnection, server: &mut ServerConnection) -> Result<(), Error> {
        while client.wants_write() || server.wants_write() {
            let mut records = Vec::new();
            client.write_tls(&mut records).unwrap();
            let mut records = &records[..];
            while !records.is_empty() {
                server.read_tls(&mut records).unwrap();
                server.process_new_packets()?;
            }
            let mut records = Vec::new();
            server.write_tls(&mut records).unwrap();
            let mut records = &records[..];
            while !records.is_empty() {
                client.read_tls(&mut records).unwrap();
                client.process_new_packets()?;
            }
        }
        Ok(())
    }

    #[test]
    fn every_handshake_is_whole_and_the_same() {
        let (client_config, server_config) = (client_config().unwrap(), compare::tls::server_config().unwrap());
        for _ in 0..2 {
            let mut client = client(&client_config).unwrap();
            let mut server = ServerConnection::new(server_config.clone()).unwrap();
            converse(&mut client, &mut server).unwrap();
            assert_eq!(client.handshake_kind(), Some(HandshakeKind::Full));
            assert_eq!(client.protocol_version(), Some(ProtocolVersion::TLSv1_3));
            let group = client.negotiated_key_exchange_group().unwrap();
            assert_eq!(group.name(), NamedGroup::X25519);
            assert_eq!(client.alpn_protocol(), Some(compare::tls::HTTP_1_1));
            assert_eq!(client.tls13_tickets_received(), 1);
        }
    }

    #[test]
    fn another_certificate_is_refused() {
        let mut pinned = Pinned::new(compare::tls::provider());
        pinned.certificate = CertificateDer::from(vec![0]);
        let mut config = ClientConfig::clone(&client_config().unwrap());
        config.dangerous().set_certificate_verifier(Arc::new(pinned));
        let mut client = client(&Arc::new(config)).unwrap();
        let mut server = ServerConnection::new(compare::tls::server_config().unwrap()).unwrap();
        let error = converse(&mut client, &mut server).unwrap_err();
        assert!(error.to_string().contains("another certificate"), "{error}");
    }
}
