//! One endpoint of a plan, and clients that shake hands with it in memory.

use crate::core::{Client, Core};
use crate::logs;
use crate::making::Made;
use crate::tls_client::{Peer, Trusting};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::client::ResolvesClientCert;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, SignatureScheme, SupportedProtocolVersion};
use stannel::connection::Connection;
use stannel::tls::TlsEndpoint;
use stannel::{Certificate, EndpointPlan, Exchange, Outcome, Request, StatusCode};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The first endpoint of a plan.
pub(crate) struct Site(Arc<TlsEndpoint>);

/// What a client offers.
#[derive(Default)]
pub(crate) struct Shown<'a> {
    pub(crate) certificate: Option<&'a Made>,
    pub(crate) alpn: Vec<Vec<u8>>,
}

/// What became of a handshake and of a request behind it.
pub(crate) struct Shaken {
    served: Vec<CertificateDer<'static>>,
    alpn: Option<Vec<u8>>,
    /// Whether the client was asked for a certificate.
    pub(crate) asked: bool,
    /// The scheme that the handler saw.
    pub(crate) scheme: Option<String>,
    /// How many certificates of the client the handler saw.
    pub(crate) seen: Option<usize>,
}

impl Shaken {
    pub(crate) fn is_ok(&self) -> bool {
        self.scheme.is_some()
    }

    /// The server's own certificate, if the client believes that the handshake succeeded.
    pub(crate) fn served(&self) -> Vec<u8> {
        self.served.first().map(|der| der.to_vec()).unwrap_or_default()
    }

    pub(crate) fn alpn(&self) -> Option<Vec<u8>> {
        self.alpn.clone().filter(|_| self.is_ok())
    }
}

/// Whom a server trusts to vouch for clients.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: rcgen::Certificate,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name.push(DnType::CommonName, "authority");
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let certificate = parameters.self_signed(&key).expect("a certificate");
        Self {
            issuer: Issuer::new(parameters, key),
            certificate,
        }
    }

    pub(crate) fn pem(&self) -> String {
        self.certificate.pem()
    }

    pub(crate) fn issue(&self, name: &str) -> Made {
        let key = KeyPair::generate().expect("a key");
        let parameters = CertificateParams::new([name.to_owned()]).expect("a name");
        let certificate = parameters.signed_by(&key, &self.issuer).expect("a certificate");
        Made { certificate, key }
    }
}

/// What a server shows.
pub(crate) fn certificate(made: &Made) -> Certificate {
    let (pem, key) = (made.certificate.pem(), made.key.serialize_pem());
    Certificate::from_pem(pem.as_bytes(), key.as_bytes(), None).expect("it was made so")
}

fn tell(request: &Request<'_>, exchange: Exchange<'_>) -> Outcome {
    let seen = request.connection().tls().map_or(0, |tls| tls.client_chain().len());
    exchange
        .respond(StatusCode::OK)
        .send(format!("{} {seen}", request.scheme()))
}

impl Site {
    pub(crate) fn of(plan: &EndpointPlan) -> Self {
        let endpoint = TlsEndpoint::of(&plan.endpoints()[0]).expect("it can be served");
        Self(Arc::new(endpoint.expect("it serves HTTPS")))
    }

    fn client(&self) -> (Core, Client) {
        let core = Core::new(|_| (), tell);
        let client = core.client_of(|engine, info| Connection::secured(engine, info, 0, &self.0));
        (core, client)
    }

    pub(crate) fn shake(&self, host: &str, versions: &[&'static SupportedProtocolVersion], shown: Shown<'_>) -> Shaken {
        let asking = Arc::new(Asking {
            key: shown.certificate.map(key),
            asked: AtomicBool::new(false),
        });
        let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(versions)
            .expect("versions that there are")
            .dangerous()
            .with_custom_certificate_verifier(Trusting::new() as Arc<dyn ServerCertVerifier>)
            .with_client_cert_resolver(Arc::clone(&asking) as Arc<dyn ResolvesClientCert>);
        config.alpn_protocols = shown.alpn;
        let mut peer = Peer::new(&Arc::new(config), host.to_owned().leak());
        let (_, mut client) = self.client();
        let request = "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
        let mut sent = peer.seal(request);
        let mut plain = Vec::new();
        loop {
            if !sent.is_empty() && client.is_open() {
                client.push(&sent);
            }
            let came = client.take(usize::MAX);
            if came.is_empty() && sent.is_empty() {
                break;
            }
            match peer.open(&came) {
                Ok(more) => plain.extend(more),
                Err(_) => break,
            }
            sent = peer.records();
        }
        let answer = String::from_utf8(plain).expect("an answer in ASCII");
        let body = answer.split_once("\r\n\r\n").and_then(|(_, body)| body.split_once(' '));
        Shaken {
            served: peer.tls.peer_certificates().unwrap_or_default().to_vec(),
            alpn: peer.tls.alpn_protocol().map(<[u8]>::to_vec),
            asked: asking.asked.load(Ordering::Relaxed),
            scheme: body.map(|(scheme, _)| scheme.to_owned()),
            seen: body.and_then(|(_, seen)| seen.parse().ok()),
        }
    }

    /// A client that sends something else, and closes or waits: what is logged, and whether the server closed.
    pub(crate) fn disappoint(&self, bytes: &[u8], closes: bool) -> (Vec<(log::Level, String)>, bool) {
        logs::take();
        let (core, mut client) = self.client();
        client.push(bytes);
        if closes && client.is_open() {
            client.finish();
        }
        core.at(10_000);
        (logs::take(), !client.is_open())
    }
}

fn key(made: &Made) -> Arc<CertifiedKey> {
    let der = PrivateKeyDer::try_from(made.key.serialize_der()).expect("a key");
    let key = aws_lc_rs::sign::any_supported_type(&der).expect("a key that can sign");
    Arc::new(CertifiedKey::new(vec![made.certificate.der().clone()], key))
}

/// Remembers whether a certificate was asked for.
#[derive(Debug)]
struct Asking {
    key: Option<Arc<CertifiedKey>>,
    asked: AtomicBool,
}

impl ResolvesClientCert for Asking {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.asked.store(true, Ordering::Relaxed);
        self.key.clone()
    }

    fn has_certs(&self) -> bool {
        true
    }
}
