//! One client's TLS, without a socket: records go in and come out, plaintext lies in the connection's buffers.

use super::endpoint::TlsEndpoint;
use super::{Failure, TlsInfo, TlsVersion};
use crate::buffer::{Input, Output};
use crate::certificate::X509Certificate;
use crate::endpoint::Layers;
use crate::handler::ConnectionInfo;
use rustls::server::{AcceptedAlert, Acceptor};
use rustls::{AlertDescription, Error, HandshakeKind, ProtocolVersion, ServerConnection};
use std::fmt;
use std::io::{BufRead, IoSlice, Write};
use std::sync::Arc;

/// rustls' side of a connection.
pub(crate) struct Session {
    state: State,
    /// Whether the peer has said that nothing more will come.
    has_ended: bool,
    /// Whether the peer is told the same, behind what is written by then.
    closes: bool,
    /// What looks at the plaintext.
    layers: Option<Arc<Layers>>,
}

enum State {
    /// The ClientHello is not complete.
    Accepting {
        acceptor: Acceptor,
        endpoint: Arc<TlsEndpoint>,
        has_begun: bool,
    },
    Connected(ServerConnection),
    /// It ended before it began; what is still to be said is an alert.
    Refused(Vec<u8>),
}

/// The type of a record with a handshake in it (RFC 8446 §5.1).
const HANDSHAKE: u8 = 22;

/// The type of a record with an alert in it.
const ALERT: u8 = 21;

/// The level of an alert that ends a connection (RFC 8446 §6).
const FATAL: u8 = 2;

/// How many pieces of plaintext go into rustls at once.
const PIECES: usize = 64;

impl Session {
    pub(crate) fn new(endpoint: &Arc<TlsEndpoint>, layers: Option<Arc<Layers>>) -> Self {
        Self {
            state: State::Accepting {
                acceptor: Acceptor::default(),
                endpoint: Arc::clone(endpoint),
                has_begun: false,
            },
            has_ended: false,
            closes: false,
            layers,
        }
    }

    /// Whether no application data can flow yet.
    pub(crate) fn is_handshaking(&self) -> bool {
        match &self.state {
            State::Accepting { .. } => true,
            State::Connected(connection) => connection.is_handshaking(),
            State::Refused(_) => false,
        }
    }

    /// What looks at the plaintext.
    pub(crate) fn layers(&self) -> Option<&Arc<Layers>> {
        self.layers.as_ref()
    }

    /// Takes what came from the socket; plaintext goes to the end of `input`.
    ///
    /// A full handshake's private-key operation happens in here, at most one for each call that completes a ClientHello.
    pub(crate) fn receive(
        &mut self,
        mut bytes: &[u8],
        input: &mut Input,
        info: &ConnectionInfo,
    ) -> Result<(), Failure> {
        while !bytes.is_empty() {
            let taken = match &mut self.state {
                State::Accepting { .. } => self.accept(&mut bytes, info)?,
                State::Connected(connection) => {
                    let taken = connection.read_tls(&mut bytes).map_err(failure)?;
                    let result = connection.process_new_packets();
                    take_plaintext(connection, input);
                    self.has_ended = result.map_err(failure)?.peer_has_closed();
                    taken
                }
                State::Refused(_) => 0,
            };
            // What comes behind a close_notify is ignored (RFC 8446 §6.1).
            if taken == 0 {
                break;
            }
        }
        Ok(())
    }

    /// Reads on in a ClientHello; once it is complete, answers it. Returns how many bytes were taken.
    fn accept(&mut self, bytes: &mut &[u8], info: &ConnectionInfo) -> Result<usize, Failure> {
        let State::Accepting {
            acceptor,
            endpoint,
            has_begun,
        } = &mut self.state
        else {
            return Ok(0);
        };
        if !*has_begun && bytes.first() != Some(&HANDSHAKE) {
            let first = &bytes[..bytes.len().min(16)];
            let reason = format!("the client speaks no TLS; it begins with \"{}\"", first.escape_ascii());
            self.state = State::Refused(Vec::new());
            return Err(Failure {
                reason,
                has_alert: false,
            });
        }
        *has_begun = true;
        let taken = acceptor.read_tls(bytes).map_err(failure)?;
        let accepted = match acceptor.accept() {
            Ok(None) => return Ok(taken),
            Ok(Some(accepted)) => accepted,
            Err((error, alert)) => {
                self.state = State::Refused(alert_for(&error, alert));
                return Err(failure(error));
            }
        };
        let config = match endpoint.choose(&accepted.client_hello(), info) {
            Ok(config) => config,
            Err(refusal) => {
                self.state = State::Refused(fatal(refusal.alert));
                return Err(Failure {
                    reason: refusal.reason,
                    has_alert: true,
                });
            }
        };
        match accepted.into_connection(config) {
            Ok(mut connection) => {
                // The connection's own limits bound what waits.
                connection.set_buffer_limit(None);
                let result = connection.process_new_packets();
                self.state = State::Connected(connection);
                result.map_err(failure)?;
                Ok(taken)
            }
            Err((error, alert)) => {
                self.state = State::Refused(alert_for(&error, alert));
                Err(failure(error))
            }
        }
    }

    /// What was agreed on; `None` before the end of the handshake.
    pub(crate) fn info(&self) -> Option<TlsInfo> {
        let State::Connected(connection) = &self.state else {
            return None;
        };
        if connection.is_handshaking() {
            return None;
        }
        let version = match connection.protocol_version()? {
            ProtocolVersion::TLSv1_2 => TlsVersion::Tls12,
            _ => TlsVersion::Tls13,
        };
        let suite = connection.negotiated_cipher_suite()?.suite().as_str()?;
        let chain = connection.peer_certificates().unwrap_or_default();
        Some(TlsInfo {
            version,
            cipher_suite: registered_name(suite),
            is_resumed: connection.handshake_kind() == Some(HandshakeKind::Resumed),
            alpn: connection.alpn_protocol().and_then(|protocol| match protocol {
                b"http/1.1" => Some("http/1.1"),
                b"http/1.0" => Some("http/1.0"),
                _ => None,
            }),
            server_name: connection.server_name().map(Into::into),
            // rustls has read them before.
            client_chain: chain
                .iter()
                .filter_map(|der| X509Certificate::from_der(der).ok())
                .collect(),
        })
    }

    /// Whether the peer has said that nothing more will come.
    pub(crate) fn has_ended(&self) -> bool {
        self.has_ended
    }

    /// Puts records in the place of the plaintext at the end of `output`, behind whatever rustls has to say itself.
    pub(crate) fn seal(&mut self, output: &mut Output, info: &ConnectionInfo) {
        match &mut self.state {
            State::Connected(connection) => {
                if output.has_unsealed() {
                    if let Some(layers) = &self.layers {
                        tell_sent(layers, output, info);
                    }
                    encrypt(connection, output);
                }
                if self.closes && !connection.is_handshaking() {
                    // Only once, and not after an alert.
                    connection.send_close_notify();
                }
                while connection.wants_write() {
                    // A vector takes everything.
                    if connection.write_tls(output.linear()).is_err() {
                        break;
                    }
                }
            }
            State::Refused(alert) => output.put(&std::mem::take(alert)),
            State::Accepting { .. } => {}
        }
        output.end_sealed();
    }

    /// Nothing more will be written: the next [`seal`](Self::seal) tells the peer, unless the session never stood or an
    /// alert was the last word.
    pub(crate) fn close(&mut self) {
        self.closes = true;
    }
}

/// Moves what was decrypted to the end of `input`.
fn take_plaintext(connection: &mut ServerConnection, input: &mut Input) {
    let mut reader = connection.reader();
    // Nothing at all is there, or the end: both are told by others.
    while let Ok(plain) = reader.fill_buf() {
        let count = plain.len();
        if count == 0 {
            break;
        }
        input.put(plain);
        reader.consume(count);
    }
}

/// Hands the plaintext at the end of `output` to rustls, and takes it away.
fn encrypt(connection: &mut ServerConnection, output: &mut Output) {
    let mut writer = connection.writer();
    let mut pieces = [IoSlice::new(&[]); PIECES];
    let mut count = 0;
    // After a fatal error rustls takes nothing more, and nobody would read it.
    output.each_unsealed(|piece| {
        pieces[count] = IoSlice::new(piece);
        count += 1;
        if count == PIECES {
            let _ = writer.write_vectored(&pieces);
            count = 0;
        }
    });
    if count > 0 {
        let _ = writer.write_vectored(&pieces[..count]);
    }
    output.drop_unsealed();
}

#[cold]
fn tell_sent(layers: &Layers, output: &Output, info: &ConnectionInfo) {
    let mut plain = Vec::new();
    output.each_unsealed(|piece| plain.extend_from_slice(piece));
    layers.iter().for_each(|layer| layer.sent(info, &plain));
}

/// What rustls wants to say of that error. It keeps silent on some; RFC 8446 §6.2 does not.
fn alert_for(error: &Error, mut alert: AcceptedAlert) -> Vec<u8> {
    let mut records = Vec::new();
    // A vector takes everything.
    if alert.write_all(&mut records).is_ok() && !records.is_empty() {
        return records;
    }
    fatal(match error {
        Error::InappropriateMessage { .. } | Error::InappropriateHandshakeMessage { .. } => {
            AlertDescription::UnexpectedMessage
        }
        Error::InvalidMessage(_) => AlertDescription::DecodeError,
        _ => AlertDescription::HandshakeFailure,
    })
}

/// A record with an alert, before there are keys.
fn fatal(alert: AlertDescription) -> Vec<u8> {
    vec![ALERT, 3, 3, 0, 2, FATAL, u8::from(alert)]
}

fn failure(error: impl fmt::Display) -> Failure {
    Failure {
        reason: error.to_string(),
        has_alert: true,
    }
}

/// rustls puts the version into the names of the newer suites.
fn registered_name(suite: &'static str) -> &'static str {
    match suite {
        "TLS13_AES_128_GCM_SHA256" => "TLS_AES_128_GCM_SHA256",
        "TLS13_AES_256_GCM_SHA384" => "TLS_AES_256_GCM_SHA384",
        "TLS13_CHACHA20_POLY1305_SHA256" => "TLS_CHACHA20_POLY1305_SHA256",
        other => other,
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("is_handshaking", &self.is_handshaking())
            .finish_non_exhaustive()
    }
}
