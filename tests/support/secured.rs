//! Connections inside TLS whose client makes its records by hand.

// Each test file uses a part of it.
#![allow(dead_code)]

use super::core::{Client, Core, End};
use super::forger::{ALERT, FATAL, Forger, open_hearted};
use super::tls::{Peer, any_endpoint};
use rustls::version::{TLS12, TLS13};
use rustls::{AlertDescription, SupportedProtocolVersion};
use stannel::CloseReason;
use stannel::connection::Connection;
use stannel::tls::TlsEndpoint;
use std::sync::{Arc, LazyLock};

pub(crate) const BOTH: [&SupportedProtocolVersion; 2] = [&TLS13, &TLS12];

static ENDPOINT: LazyLock<Arc<TlsEndpoint>> = LazyLock::new(any_endpoint);

/// A new connection.
pub(crate) fn connect(core: &Core) -> Client {
    core.client_of(|engine, info| Connection::secured(engine, info, 0, &ENDPOINT))
}

/// Brings the handshake to its end, for a client that says nothing else.
pub(crate) fn shake(client: &mut Client, peer: &mut Peer) {
    loop {
        let sent = peer.records();
        if !sent.is_empty() {
            client.send(&sent);
        }
        let came = client.take(usize::MAX);
        if came.is_empty() && sent.is_empty() {
            assert!(!peer.tls.is_handshaking());
            return;
        }
        assert_eq!(peer.open(&came).unwrap(), b"");
    }
}

/// A connection whose handshake is over, and who goes on with it by hand.
pub(crate) fn established(core: &Core, version: &'static SupportedProtocolVersion) -> (Client, Forger) {
    let mut client = connect(core);
    let mut peer = open_hearted(version);
    shake(&mut client, &mut peer);
    (client, Forger::of(peer))
}

/// The alerts of the server, as far as it said anything, with their levels.
pub(crate) fn alerts(client: &mut Client, forger: &mut Forger) -> Vec<(u8, AlertDescription)> {
    let records = forger.open(&client.take(usize::MAX));
    let alerts = records.iter().filter(|(kind, _)| *kind == ALERT);
    alerts
        .map(|(_, content)| (content[0], AlertDescription::from(content[1])))
        .collect()
}

/// The same before there are keys: the alert behind whatever else was sent.
pub(crate) fn plain_alert(records: &[u8]) -> Option<AlertDescription> {
    match records {
        [.., 21, 3, _, 0, 2, FATAL, description] => Some(AlertDescription::from(*description)),
        _ => None,
    }
}

/// The client has been told; it closes, and that is the end.
pub(crate) fn ends(mut client: Client, reason: CloseReason) {
    client.take(usize::MAX);
    if client.is_open() {
        assert!(client.is_write_shut());
        client.finish();
    }
    assert_eq!(client.end().map(|(end, _)| end), Some(End::Closed));
    assert_eq!(client.reason(), Some(reason));
    assert_eq!(client.memory(), 0);
}
