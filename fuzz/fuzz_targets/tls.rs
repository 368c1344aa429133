//! A whole connection inside TLS: what comes behind a ClientHello, whole or cut, and behind a handshake, is never a
//! request; what is sealed by a client comes to the same as it would in the open. Nothing waits without a deadline or goes
//! on for ever, and memory stays bounded.

#![no_main]

use std::io::{ErrorKind, Read, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::SystemTime;

use libfuzzer_sys::fuzz_target;
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::version::{TLS12, TLS13};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, Error, ServerConfig, SignatureScheme,
    SupportedProtocolVersion,
};
use stannel::connection::{Connection, Engine, Fate};
use stannel::tls::TlsEndpoint;
use stannel::{ConnectionInfo, Exchange, Outcome, Peer, Request, ServerOptions, StatusCode};
use stannel_fuzz::Plan;

/// Choices of a plan.
const NEW_VERSION: u8 = 0;
const BEHIND_HANDSHAKE: u8 = 1;
const SEALED: u8 = 2;
const CUT_HELLO: u8 = 3;
/// Of what is sealed, which has no ClientHello of the input.
const CUT_RECORDS: u8 = CUT_HELLO;
const HALF_CLOSE: u8 = 4;

/// ClientHellos that were recorded, so that an input means the same in every run.
const HELLOS: [&[u8]; 2] = [
    include_bytes!("../recorded/hello-1.2"),
    include_bytes!("../recorded/hello-1.3"),
];

const MEMORY: usize = 256 << 10;

fuzz_target!(|data: &[u8]| {
    let Some(plan) = Plan::new(data) else { return };
    let version = usize::from(plan.chooses(NEW_VERSION));
    if plan.chooses(SEALED) {
        let mut open = Client::new(Connection::new);
        plan.pieces().for_each(|piece| open.send(piece));
        let mut sealed = Client::new(secured);
        let mut peer = shake(&mut sealed, version);
        let mut seen = Vec::new();
        for piece in plan.pieces() {
            peer.writer().write_all(piece).unwrap();
            let records = records(&mut peer);
            // Whole, or in pieces that know nothing of records.
            let size = match plan.chooses(CUT_RECORDS) {
                true => plan.sizes().next().unwrap_or(1),
                false => records.len(),
            };
            records.chunks(size).for_each(|part| sealed.send(part));
            seen.extend(open_records(&mut peer, &sealed.take()));
        }
        assert_eq!(seen.escape_ascii().to_string(), open.take().escape_ascii().to_string());
        assert_eq!(sealed.requests(), open.requests());
        return;
    }
    let mut client = Client::new(secured);
    if plan.chooses(BEHIND_HANDSHAKE) {
        shake(&mut client, version);
    } else {
        let hello = HELLOS[version];
        let end = if plan.chooses(CUT_HELLO) {
            hello.len() * plan.sizes().next().unwrap_or(1) >> 8
        } else {
            hello.len()
        };
        client.send(&hello[..end]);
    }
    plan.pieces().for_each(|piece| client.send(piece));
    if plan.chooses(HALF_CLOSE) {
        client.finish();
    }
    assert_eq!(client.requests(), 0, "nobody sent one");
});

static ENDPOINT: LazyLock<Arc<TlsEndpoint>> = LazyLock::new(|| {
    let certificate = include_bytes!("../../tests/fixtures/dotnet/pem/p256.crt");
    let key = include_bytes!("../../tests/fixtures/dotnet/pem/p256.pkcs8.key");
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(rustls::ALL_VERSIONS)
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![CertificateDer::from_pem_slice(certificate).unwrap()],
            PrivateKeyDer::from_pem_slice(key).unwrap(),
        )
        .unwrap();
    Arc::new(TlsEndpoint::from_config(Arc::new(config)))
});

static PEERS: LazyLock<[Arc<ClientConfig>; 2]> = LazyLock::new(|| [peer_config(&TLS12), peer_config(&TLS13)]);

fn peer_config(version: &'static SupportedProtocolVersion) -> Arc<ClientConfig> {
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[version])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Trusting))
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    Arc::new(config)
}

fn secured(engine: &Engine, info: ConnectionInfo, endpoint: u16) -> Connection {
    Connection::secured(engine, info, endpoint, &ENDPOINT)
}

/// Brings a handshake to its end.
fn shake(client: &mut Client, version: usize) -> ClientConnection {
    let name = ServerName::try_from("site.test").unwrap();
    let mut peer = ClientConnection::new(Arc::clone(&PEERS[version]), name).unwrap();
    while peer.is_handshaking() {
        client.send(&records(&mut peer));
        open_records(&mut peer, &client.take());
    }
    client.send(&records(&mut peer));
    open_records(&mut peer, &client.take());
    peer
}

fn records(peer: &mut ClientConnection) -> Vec<u8> {
    let mut records = Vec::new();
    while peer.wants_write() {
        peer.write_tls(&mut records).unwrap();
    }
    records
}

fn open_records(peer: &mut ClientConnection, mut records: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    while !records.is_empty() {
        peer.read_tls(&mut records).unwrap();
        peer.process_new_packets().expect("the server's records are right");
        match peer.reader().read_to_end(&mut plain) {
            Ok(_) => break,
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
        }
    }
    plain
}

/// The other end of a connection, which takes all output at once.
struct Client {
    engine: Engine,
    connection: Connection,
    requests: Arc<AtomicUsize>,
    output: Vec<u8>,
    is_over: bool,
}

impl Client {
    fn new(open: impl FnOnce(&Engine, ConnectionInfo, u16) -> Connection) -> Self {
        let requests = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&requests);
        let factory = move || {
            let count = Arc::clone(&count);
            move |request: &Request<'_>, exchange: Exchange<'_>| {
                count.fetch_add(1, Ordering::Relaxed);
                echo(request, exchange)
            }
        };
        let mut engine = Engine::new(&ServerOptions::default(), factory, || ());
        engine.set_wall_clock(SystemTime::UNIX_EPOCH);
        let connection = open(&engine, ConnectionInfo::new(1, Peer::Unix), 0);
        Self {
            engine,
            connection,
            requests,
            output: Vec::new(),
            is_over: false,
        }
    }

    fn requests(&self) -> usize {
        self.requests.load(Ordering::Relaxed)
    }

    /// What came since the last time.
    fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.output)
    }

    /// Sends all of it unless the connection ends before.
    fn send(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() && !self.is_over {
            let mut turn = self.connection.turn(&mut self.engine, 0);
            if !turn.wants_read() {
                // It has said its last word, or seen ours.
                return;
            }
            let buffer = turn.read_buffer();
            let count = buffer.len().min(bytes.len());
            buffer[..count].copy_from_slice(&bytes[..count]);
            turn.on_read(count);
            drop(turn);
            bytes = &bytes[count..];
            self.settle();
        }
    }

    fn finish(&mut self) {
        if self.is_over {
            return;
        }
        let mut turn = self.connection.turn(&mut self.engine, 0);
        if turn.wants_read() {
            turn.on_read(0);
        }
        drop(turn);
        self.settle();
        assert!(self.is_over, "its end changes nothing");
    }

    /// What the shell does between events.
    fn settle(&mut self) {
        for _ in 0..1000 {
            let mut turn = self.connection.turn(&mut self.engine, 0);
            let before = self.output.len();
            turn.copy_output(&mut self.output);
            turn.on_written(self.output.len() - before);
            if turn.has_more() {
                turn.on_room();
                continue;
            }
            match turn.fate() {
                _ if turn.has_output() => {}
                Fate::Open => {
                    assert!(turn.deadline().is_some(), "it waits for ever: {turn:?}");
                    drop(turn);
                    let memory = self.connection.memory();
                    assert!(memory <= MEMORY, "{memory} bytes");
                    return;
                }
                Fate::ShutWrite => turn.on_write_shut(),
                Fate::Close | Fate::Abort => {
                    turn.closed();
                    self.is_over = true;
                    return;
                }
            }
        }
        panic!("it goes on for ever");
    }
}

/// Answers with what was asked and sent.
fn echo(request: &Request<'_>, exchange: Exchange<'_>) -> Outcome {
    let target = request.target().to_owned();
    exchange.collect(1 << 16, move |body, exchange| {
        exchange
            .respond(StatusCode::OK)
            .send([target.as_bytes(), body.bytes()].concat())
    })
}

/// Believes everybody.
#[derive(Debug)]
struct Trusting;

impl ServerCertVerifier for Trusting {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        ring::default_provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}
