//! The client's end of TLS, in memory: plaintext on one side, records on the other.

#![allow(dead_code, reason = "each test file uses its part of it")]

use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, Error, ServerConfig, SignatureScheme, StreamOwned,
    SupportedProtocolVersion,
};
use stannel::tls::TlsEndpoint;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A client that has no roots: it believes everybody and remembers what it was shown.
#[derive(Debug)]
pub(crate) struct Trusting {
    provider: Arc<CryptoProvider>,
    shown: Mutex<Vec<CertificateDer<'static>>>,
}

impl Trusting {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            provider: Arc::new(aws_lc_rs::default_provider()),
            shown: Mutex::default(),
        })
    }

    /// The chain of the last full handshake.
    pub(crate) fn shown(&self) -> Vec<CertificateDer<'static>> {
        self.shown.lock().unwrap().clone()
    }

    /// The configuration of a client for these versions, without ALPN.
    pub(crate) fn config(self: &Arc<Self>, versions: &[&'static SupportedProtocolVersion]) -> ClientConfig {
        ClientConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(versions)
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::clone(self) as Arc<dyn ServerCertVerifier>)
            .with_no_client_auth()
    }
}

impl ServerCertVerifier for Trusting {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let chain = std::iter::once(end_entity).chain(intermediates);
        *self.shown.lock().unwrap() = chain.map(|der| der.clone().into_owned()).collect();
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// An endpoint whose settings matter to nobody.
pub(crate) fn any_endpoint() -> Arc<TlsEndpoint> {
    let folder = "tests/fixtures/dotnet/pem";
    let chain = CertificateDer::pem_file_iter(format!("{folder}/p256.crt")).unwrap();
    let key = PrivateKeyDer::from_pem_file(format!("{folder}/p256.pkcs8.key")).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(rustls::ALL_VERSIONS)
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain.map(Result::unwrap).collect(), key)
        .unwrap();
    Arc::new(TlsEndpoint::from_config(Arc::new(config)))
}

/// One client's session.
pub(crate) struct Peer {
    pub(crate) tls: ClientConnection,
}

impl Peer {
    /// It asks for that name.
    pub(crate) fn new(config: &Arc<ClientConfig>, name: &'static str) -> Self {
        let name = ServerName::try_from(name).unwrap();
        let mut tls = ClientConnection::new(Arc::clone(config), name).unwrap();
        tls.set_buffer_limit(None);
        Self { tls }
    }

    /// With settings that matter to nobody.
    pub(crate) fn any() -> Self {
        let mut config = Trusting::new().config(rustls::ALL_VERSIONS);
        config.resumption = Resumption::disabled();
        Self::new(&Arc::new(config), "site.test")
    }

    /// The records that are to be sent.
    pub(crate) fn records(&mut self) -> Vec<u8> {
        let mut records = Vec::new();
        while self.tls.wants_write() {
            self.tls.write_tls(&mut records).unwrap();
        }
        records
    }

    /// Records with that plaintext in it; kept back until the handshake is over.
    pub(crate) fn seal(&mut self, plain: impl AsRef<[u8]>) -> Vec<u8> {
        self.tls.writer().write_all(plain.as_ref()).unwrap();
        self.records()
    }

    /// What lies in these records.
    pub(crate) fn open(&mut self, mut records: &[u8]) -> Result<Vec<u8>, Error> {
        let mut plain = Vec::new();
        while !records.is_empty() {
            let taken = self.tls.read_tls(&mut records).unwrap();
            self.tls.process_new_packets()?;
            match self.tls.reader().read_to_end(&mut plain) {
                Ok(_) => {}
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
            }
            if taken == 0 {
                break;
            }
        }
        Ok(plain)
    }

    /// Whether the server has said that nothing more comes.
    pub(crate) fn has_seen_close_notify(&mut self) -> bool {
        matches!(self.tls.reader().read(&mut [0]), Ok(0))
    }
}

/// A session over a socket, whose plaintext is read and written like a stream's.
pub(crate) type Stream = StreamOwned<ClientConnection, TcpStream>;

/// Connects and shakes hands.
pub(crate) fn connect(address: SocketAddr, config: &Arc<ClientConfig>, name: &'static str) -> Result<Stream, Error> {
    let mut peer = Peer::new(config, name).tls;
    let mut socket = TcpStream::connect(address).unwrap();
    socket.set_nodelay(true).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.set_write_timeout(Some(PATIENCE)).unwrap();
    while peer.is_handshaking() {
        if let Err(error) = peer.complete_io(&mut socket) {
            // What rustls says is in there.
            return Err(match error.downcast::<Error>() {
                Ok(error) => error,
                Err(error) => Error::General(error.to_string()),
            });
        }
    }
    Ok(StreamOwned::new(peer, socket))
}

/// The answer to one request, up to the end of the connection, which has to be announced.
pub(crate) fn ask(mut stream: Stream, target: &str) -> String {
    let request = format!("GET {target} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an announced end");
    answer
}

/// Longer than anything takes on a machine that is busy with other things.
const PATIENCE: Duration = Duration::from_secs(60);
