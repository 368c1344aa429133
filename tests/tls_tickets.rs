//! What clients bring back: tickets of others, tickets that are garbage, and requests that came too early.

#[path = "support/core.rs"]
mod core;
#[path = "support/tls.rs"]
mod tls;

use core::{Client, Core, GET, bodies};
use rustls::client::Resumption;
use rustls::server::{NoServerSessionStorage, ProducesTickets, ServerSessionMemoryCache, StoresServerSessions};
use rustls::version::{TLS12, TLS13};
use rustls::{AlertDescription, ClientConfig, Error, HandshakeKind, ServerConfig};
use stannel::connection::Connection;
use stannel::tls::{OnAuthenticate, TlsEndpoint};
use stannel::{CertificateSource, CloseReason, Exchange, Outcome, Request, ServerOptions, StatusCode};
use std::io::Write;
use std::sync::Arc;
use tls::{Peer, Trusting};

/// An endpoint as servers have them, but for what `change` does to each handshake.
fn endpoint(change: impl Fn(&mut ServerConfig) + Send + Sync + 'static) -> Arc<TlsEndpoint> {
    let folder = "tests/fixtures/dotnet/pem";
    let site = CertificateSource::pem(format!("{folder}/p256.crt"), format!("{folder}/p256.pkcs8.key"));
    let mut options = ServerOptions::default();
    options.listen_localhost(0).use_https_with(move |https| {
        https.server_certificate = Some(site);
        https.on_authenticate = Some(OnAuthenticate::new(move |_, config| change(config)));
    });
    let plan = options.plan().unwrap();
    Arc::new(TlsEndpoint::of(&plan.endpoints()[0]).unwrap().unwrap())
}

/// Passes records to and fro until both are silent; returns the plaintext that came.
fn run(client: &mut Client, peer: &mut Peer) -> String {
    let mut plain = Vec::new();
    loop {
        let sent = peer.records();
        if !sent.is_empty() {
            client.send(&sent);
        }
        let came = client.take(usize::MAX);
        if came.is_empty() && sent.is_empty() {
            return String::from_utf8(plain).unwrap();
        }
        plain.extend(peer.open(&came).unwrap());
    }
}

/// Shakes hands and asks once; says how the session came to be.
fn visit(core: &Core, endpoint: &Arc<TlsEndpoint>, config: &Arc<ClientConfig>) -> HandshakeKind {
    let mut client = core.client_of(|engine, info| Connection::secured(engine, info, 0, endpoint));
    let mut peer = Peer::new(config, "site.test");
    let request = peer.seal(GET);
    client.send(&request);
    let answer = run(&mut client, &mut peer);
    assert_eq!(bodies(&answer), ["/"]);
    peer.tls.send_close_notify();
    run(&mut client, &mut peer);
    assert_eq!(client.reason(), Some(CloseReason::ClientClosed));
    peer.tls.handshake_kind().unwrap()
}

/// Answers with what was asked for.
fn name(request: &Request<'_>, exchange: Exchange<'_>) -> Outcome {
    exchange.respond(StatusCode::OK).send(request.target().to_owned())
}

/// Gives out tickets that nobody can have sealed, and opens none.
#[derive(Debug)]
struct Garbage(Vec<u8>);

impl ProducesTickets for Garbage {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        7200
    }

    fn encrypt(&self, _: &[u8]) -> Option<Vec<u8>> {
        Some(self.0.clone())
    }

    fn decrypt(&self, _: &[u8]) -> Option<Vec<u8>> {
        None
    }
}

/// RFC 8446 §4.2.11 and RFC 5077 §3.4: a ticket that cannot be used leads to a full handshake, as if there were none.
#[test]
fn rfc5077_3_4_a_ticket_that_is_garbage() {
    let real = endpoint(|_| ());
    for version in [&TLS12, &TLS13] {
        let core = Core::new(|_| (), name);
        for length in [1, 15, 16, 17, 192, 20_000] {
            let garbage = endpoint(move |config| {
                config.ticketer = Arc::new(Garbage((0..length).map(|at| (at % 251) as u8).collect()));
                config.session_storage = Arc::new(NoServerSessionStorage {});
            });
            let mut config = Trusting::new().config(&[version]);
            config.resumption = Resumption::in_memory_sessions(8);
            let config = Arc::new(config);
            assert_eq!(visit(&core, &garbage, &config), HandshakeKind::Full);
            assert_eq!(visit(&core, &real, &config), HandshakeKind::Full, "{length} bytes");
            // The one that it was given then is good.
            assert_eq!(visit(&core, &real, &config), HandshakeKind::Resumed, "{length} bytes");
        }
    }
}

/// Gives out none, so that sessions have to be remembered.
#[derive(Debug)]
struct NoTickets;

impl ProducesTickets for NoTickets {
    fn enabled(&self) -> bool {
        false
    }

    fn lifetime(&self) -> u32 {
        0
    }

    fn encrypt(&self, _: &[u8]) -> Option<Vec<u8>> {
        None
    }

    fn decrypt(&self, _: &[u8]) -> Option<Vec<u8>> {
        None
    }
}

/// RFC 8446 §4.2.10: what came too early is passed over, and the client says it again. rustls passes over 16 KiB, and
/// counts a record anew whenever more comes while it lies there, so that only half of that is safe.
#[test]
fn rfc8446_4_2_10_early_data_is_refused() {
    let sessions = ServerSessionMemoryCache::new(8);
    let remembering = |most: u32| {
        let sessions = Arc::clone(&sessions);
        endpoint(move |config| {
            config.ticketer = Arc::new(NoTickets);
            config.session_storage = Arc::clone(&sessions) as Arc<dyn StoresServerSessions>;
            config.max_early_data_size = most.max(config.max_early_data_size);
        })
    };
    // What clients bring is from a time, or from a server, when it was allowed.
    let eager = remembering(100_000);
    let connect = |endpoint: &Arc<TlsEndpoint>, core: &Core, early: &[u8]| {
        let mut config = Trusting::new().config(&[&TLS13]);
        config.enable_early_data = true;
        let config = Arc::new(config);
        visit(core, &eager, &config);
        let client = core.client_of(|engine, info| Connection::secured(engine, info, 0, endpoint));
        let mut peer = Peer::new(&config, "site.test");
        let taken = peer.tls.early_data().unwrap().write(early).unwrap();
        assert_eq!(taken, early.len());
        (client, peer)
    };
    for (endpoint, expected) in [
        (remembering(0), HandshakeKind::Resumed),
        (endpoint(|_| ()), HandshakeKind::Full),
    ] {
        for length in [GET.len(), 1000, 7_000] {
            let core = Core::new(|_| (), name);
            let early = format!("{GET}{}", "\r\n".repeat(8_000));
            let (mut client, mut peer) = connect(&endpoint, &core, &early.as_bytes()[..length]);
            assert_eq!(run(&mut client, &mut peer), "", "{length} bytes");
            assert!(!peer.tls.is_early_data_accepted());
            assert_eq!(peer.tls.handshake_kind(), Some(expected));
            let request = peer.seal(GET);
            client.send(&request);
            assert_eq!(bodies(&run(&mut client, &mut peer)), ["/"], "{length} bytes");
        }
        let core = Core::new(|_| (), name);
        let (mut client, mut peer) = connect(&endpoint, &core, &[b'x'; 60_000]);
        client.push(peer.records());
        let error = peer.open(&client.take(usize::MAX)).unwrap_err();
        assert_eq!(error, Error::AlertReceived(AlertDescription::BadRecordMac));
        client.finish();
        assert_eq!(client.reason(), Some(CloseReason::HandshakeFailed));
    }
}
