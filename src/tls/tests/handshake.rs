//! A handshake in memory, between an endpoint and rustls' client.

use super::authority::Issued;
use crate::certificate::provider::provider;
use crate::handler::{ConnectionInfo, Peer};
use crate::tls::TlsEndpoint;
use rustls::client::Resumption;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::Acceptor;
use rustls::{
    AlertDescription, ClientConfig, ClientConnection, HandshakeKind, ProtocolVersion, RootCertStore, ServerConnection,
    SupportedProtocolVersion,
};
use std::io::Read;
use std::sync::Arc;

/// A handshake that both sides completed.
pub(super) struct Done {
    server: ServerConnection,
    client: ClientConnection,
}

/// What the client was told, and why; it is told nothing by a server that it refuses itself.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) alert: Option<AlertDescription>,
    pub(super) reason: String,
}

pub(super) type Outcome = Result<Done, Refused>;

impl Done {
    pub(super) fn version(&self) -> ProtocolVersion {
        self.server.protocol_version().unwrap()
    }

    pub(super) fn alpn(&self) -> Option<String> {
        let protocol = self.client.alpn_protocol()?;
        Some(String::from_utf8_lossy(protocol).into_owned())
    }

    /// What the client got: for a session that was taken up, what it got the first time.
    pub(super) fn served(&self) -> &[CertificateDer<'static>] {
        self.client.peer_certificates().unwrap()
    }

    pub(super) fn client_chain(&self) -> &[CertificateDer<'static>] {
        self.server.peer_certificates().unwrap_or_default()
    }

    pub(super) fn is_resumed(&self) -> bool {
        self.server.handshake_kind() == Some(HandshakeKind::Resumed)
    }
}

/// A client that trusts one authority and has a certificate or not.
pub(super) fn client(
    trusted: &CertificateDer<'static>,
    shown: Option<(&Issued, &[CertificateDer<'static>])>,
    versions: &[&'static SupportedProtocolVersion],
) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).unwrap();
    let builder = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots);
    let mut config = match shown {
        None => builder.with_no_client_auth(),
        Some((leaf, issuers)) => {
            let chain = std::iter::once(&leaf.der).chain(issuers).cloned().collect();
            builder.with_client_auth_cert(chain, leaf.key()).unwrap()
        }
    };
    config.resumption = Resumption::in_memory_sessions(8);
    config
}

/// `name`: a host, or an address, with which the client sends none.
pub(super) fn shake(endpoint: &TlsEndpoint, client: &Arc<ClientConfig>, name: &str) -> Outcome {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut client = ClientConnection::new(Arc::clone(client), name).unwrap();
    let mut acceptor = Acceptor::default();
    let accepted = loop {
        let sent = drain(|wire| client.write_tls(wire));
        acceptor.read_tls(&mut &sent[..]).unwrap();
        if let Some(accepted) = acceptor.accept().unwrap_or_else(|(error, _)| panic!("{error}")) {
            break accepted;
        }
        assert!(!sent.is_empty(), "the client says nothing more");
    };
    let info = ConnectionInfo::new(1, Peer::Unix);
    let config = match endpoint.choose(&accepted.client_hello(), &info) {
        Ok(config) => config,
        Err(refusal) => {
            // RFC 8446 §6: a record of type 21 with two bytes, of which the first says that it is fatal.
            let record = [21, 3, 3, 0, 2, 2, refusal.alert.into()];
            return Err(refused(&mut client, &record, refusal.reason));
        }
    };
    let mut server = match accepted.into_connection(config) {
        Ok(server) => server,
        Err((error, mut alert)) => {
            let record = drain(|wire| alert.write(wire));
            return Err(refused(&mut client, &record, error.to_string()));
        }
    };
    // The last round brings what is sent behind the handshake: tickets, and alerts about the client's certificate.
    while server.is_handshaking() || client.is_handshaking() || server.wants_write() || client.wants_write() {
        let sent = drain(|wire| server.write_tls(wire));
        if let Err(error) = receive(&mut client, &sent) {
            return Err(Refused {
                alert: alert_in(&error),
                reason: error.to_string(),
            });
        }
        let sent = drain(|wire| client.write_tls(wire));
        let mut rest = &sent[..];
        while !rest.is_empty() {
            server.read_tls(&mut rest).unwrap();
            if let Err(error) = server.process_new_packets() {
                let record = drain(|wire| server.write_tls(wire));
                return Err(refused(&mut client, &record, error.to_string()));
            }
        }
    }
    Ok(Done { server, client })
}

fn refused(client: &mut ClientConnection, record: &[u8], reason: String) -> Refused {
    let alert = receive(client, record).err().as_ref().and_then(alert_in);
    Refused { alert, reason }
}

fn alert_in(error: &rustls::Error) -> Option<AlertDescription> {
    match error {
        rustls::Error::AlertReceived(alert) => Some(*alert),
        _ => None,
    }
}

fn receive(client: &mut ClientConnection, mut bytes: &[u8]) -> Result<(), rustls::Error> {
    while !bytes.is_empty() {
        client.read_tls(&mut bytes).unwrap();
        client.process_new_packets()?;
        // Nothing is there, and asking for it is what tells of tickets.
        let _ = client.reader().read(&mut [0; 1]);
    }
    Ok(())
}

fn drain(mut write: impl FnMut(&mut Vec<u8>) -> std::io::Result<usize>) -> Vec<u8> {
    let mut wire = Vec::new();
    while write(&mut wire).unwrap() > 0 {}
    wire
}
