//! One client's TLS, without a socket: records go in and come out, plaintext lies in the connection's buffers.
//!
//! rustls' unbuffered interface reads records where they lie and keeps nothing of them: an idle session owns no buffer.

use super::endpoint::TlsEndpoint;
use super::{Failure, TlsInfo, TlsVersion};
use crate::buffer::{Input, Output};
use crate::certificate::X509Certificate;
use crate::endpoint::Layers;
use crate::handler::ConnectionInfo;
use rustls::server::{AcceptedAlert, Acceptor, ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{ConnectionState, EncodeError, EncodeTlsData, EncryptError, UnbufferedStatus, WriteTraffic};
use rustls::{AlertDescription, Error, HandshakeKind, ProtocolVersion};
use std::fmt;
use std::sync::Arc;

/// rustls' side of a connection.
pub(crate) struct Session {
    state: State,
    /// What came of a record that is not complete, or of a handshake message; empty as a rule.
    partial: Vec<u8>,
    /// Whether the peer has said that nothing more will come.
    has_ended: bool,
    /// What looks at the plaintext.
    layers: Option<Arc<Layers>>,
}

enum State {
    /// The ClientHello is not complete.
    Accepting {
        acceptor: Acceptor,
        endpoint: Arc<TlsEndpoint>,
    },
    Connected {
        connection: UnbufferedServerConnection,
        /// As the ClientHello had it, until the handshake is over.
        server_name: Option<Box<str>>,
    },
    /// It has failed, and an alert was the last word, if any.
    Over,
}

/// The type of a record with a handshake in it (RFC 8446 §5.1).
const HANDSHAKE: u8 = 22;

/// The type of a record with an alert in it.
const ALERT: u8 = 21;

/// The level of an alert that ends a connection (RFC 8446 §6).
const FATAL: u8 = 2;

/// The type, the version and the length of a record.
const RECORD_HEADER: usize = 5;

/// How much plaintext is put into records at once: what one write sends.
const MOST_AT_ONCE: usize = 64 << 10;

/// The plaintext of a record (RFC 8446 §5.1).
const RECORD: usize = 16 << 10;

/// More than a record adds to it.
const RECORD_OVERHEAD: usize = 40;

/// What is kept of records that are not complete: rustls takes handshake messages of 64 KiB, however many records they lie
/// in.
const MOST_PARTIAL: usize = 256 << 10;

impl Session {
    pub(crate) fn new(endpoint: &Arc<TlsEndpoint>, layers: Option<Arc<Layers>>) -> Self {
        Self {
            state: State::Accepting {
                acceptor: Acceptor::default(),
                endpoint: Arc::clone(endpoint),
            },
            partial: Vec::new(),
            has_ended: false,
            layers,
        }
    }

    /// Whether no application data can flow yet.
    pub(crate) fn is_handshaking(&self) -> bool {
        match &self.state {
            State::Accepting { .. } => true,
            State::Connected { connection, .. } => connection.is_handshaking(),
            State::Over => false,
        }
    }

    /// What looks at the plaintext.
    pub(crate) fn layers(&self) -> Option<&Arc<Layers>> {
        self.layers.as_ref()
    }

    /// Whether the peer has said that nothing more will come.
    pub(crate) fn has_ended(&self) -> bool {
        self.has_ended
    }

    /// Bytes of memory that it holds for records that are not complete.
    pub(crate) fn memory(&self) -> usize {
        self.partial.capacity()
    }

    /// Takes what came from the socket; plaintext goes to the end of `input`, what rustls itself has to say to the records
    /// of `output`.
    ///
    /// A full handshake's private-key operation happens in here, at most one for each call that completes a ClientHello.
    pub(crate) fn receive(
        &mut self,
        bytes: &mut [u8],
        input: &mut Input,
        output: &mut Output,
        info: &ConnectionInfo,
    ) -> Result<(), Failure> {
        output.seal_with(|_, sealed| {
            match self.state {
                State::Accepting { .. } => self.accept(bytes, input, sealed, info),
                State::Connected { .. } => self.read(bytes, input, sealed),
                State::Over => Ok(()),
            }
            .map(|()| 0)
        })
    }

    /// Reads on in a ClientHello; once it is complete, answers it.
    fn accept(
        &mut self,
        bytes: &[u8],
        input: &mut Input,
        sealed: &mut Vec<u8>,
        info: &ConnectionInfo,
    ) -> Result<(), Failure> {
        let State::Accepting { acceptor, endpoint } = &mut self.state else {
            return Ok(());
        };
        if self.partial.is_empty() && bytes.first().is_some_and(|&first| first != HANDSHAKE) {
            let first = &bytes[..bytes.len().min(16)];
            let reason = format!("the client speaks no TLS; it begins with \"{}\"", first.escape_ascii());
            self.end();
            return Err(Failure {
                reason,
                has_alert: false,
            });
        }
        // Who is to answer is known only when the ClientHello is; whoever answers reads it again.
        self.partial.extend_from_slice(bytes);
        let mut unread = bytes;
        let accepted = loop {
            if let Err(error) = acceptor.read_tls(&mut unread) {
                return Err(self.refuse(sealed, AlertDescription::DecodeError, error.to_string()));
            }
            match acceptor.accept() {
                Ok(Some(accepted)) => break accepted,
                Ok(None) if unread.is_empty() => return Ok(()),
                Ok(None) => {}
                Err((error, alert)) => {
                    sealed.extend_from_slice(&alert_for(&error, alert));
                    self.end();
                    return Err(failure(error));
                }
            }
        };
        let hello = accepted.client_hello();
        let config = match endpoint.choose(&hello, info) {
            Ok(config) => config,
            Err(refusal) => return Err(self.refuse(sealed, refusal.alert, refusal.reason)),
        };
        let server_name = hello.server_name().map(Into::into);
        let connection = match UnbufferedServerConnection::new(config) {
            Ok(connection) => connection,
            Err(error) => return Err(self.refuse(sealed, AlertDescription::InternalError, error.to_string())),
        };
        self.state = State::Connected {
            connection,
            server_name,
        };
        self.read_partial(input, sealed)
    }

    /// Nothing will be read or written any more.
    fn end(&mut self) {
        self.state = State::Over;
        self.partial = Vec::new();
    }

    fn refuse(&mut self, sealed: &mut Vec<u8>, alert: AlertDescription, reason: String) -> Failure {
        sealed.extend_from_slice(&fatal(alert));
        self.end();
        Failure {
            reason,
            has_alert: true,
        }
    }

    /// Reads records.
    fn read(&mut self, mut bytes: &mut [u8], input: &mut Input, sealed: &mut Vec<u8>) -> Result<(), Failure> {
        // A record that is begun is completed where it is kept; what follows is read where it lies.
        while !self.partial.is_empty() && !bytes.is_empty() {
            let missing = if self.is_handshaking() {
                bytes.len()
            } else {
                missing(&self.partial).clamp(1, bytes.len())
            };
            let (next, rest) = bytes.split_at_mut(missing);
            self.partial.extend_from_slice(next);
            bytes = rest;
            self.read_partial(input, sealed)?;
        }
        if bytes.is_empty() {
            return Ok(());
        }
        let taken = self.process(bytes, input, sealed)?;
        self.partial.extend_from_slice(&bytes[taken..]);
        Ok(())
    }

    fn read_partial(&mut self, input: &mut Input, sealed: &mut Vec<u8>) -> Result<(), Failure> {
        if self.partial.len() > MOST_PARTIAL {
            self.end();
            return Err(Failure {
                reason: "a handshake message lies in too many records".to_owned(),
                has_alert: false,
            });
        }
        let mut partial = std::mem::take(&mut self.partial);
        let taken = self.process(&mut partial, input, sealed)?;
        partial.drain(..taken);
        if !partial.is_empty() {
            self.partial = partial;
        }
        Ok(())
    }

    /// Lets rustls go on as far as these records reach. Returns how many bytes are done with; of what remains it may have
    /// read a part, so the same bytes have to come again.
    fn process(&mut self, records: &mut [u8], input: &mut Input, sealed: &mut Vec<u8>) -> Result<usize, Failure> {
        let State::Connected { connection, .. } = &mut self.state else {
            return Ok(0);
        };
        let mut taken = 0;
        loop {
            let UnbufferedStatus { mut discard, state, .. } = connection.process_tls_records(&mut records[taken..]);
            let step = match state {
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    while let Some(Ok(record)) = traffic.next_record() {
                        input.put(record.payload);
                        discard += record.discard;
                    }
                    Step::Data
                }
                Ok(ConnectionState::EncodeTlsData(mut data)) => {
                    encode(&mut data, sealed);
                    Step::GoOn
                }
                Ok(ConnectionState::TransmitTlsData(data)) => {
                    data.done();
                    Step::Told
                }
                Ok(ConnectionState::WriteTraffic(_) | ConnectionState::BlockedHandshake) => Step::Wait,
                Ok(ConnectionState::PeerClosed | ConnectionState::Closed) => Step::End,
                // Early data could be a copy of somebody else's; only a configuration of the program's own asks for it.
                Ok(_) => Step::Fail("early data is not taken".to_owned()),
                Err(error) => Step::Fail(error.to_string()),
            };
            taken += discard;
            match step {
                Step::Data if taken == records.len() && !connection.wants_write() => return Ok(taken),
                // Asking again would have it read the same records again, of which it counts those that are to be passed
                // over: refused early data.
                Step::Told if connection.is_handshaking() => return Ok(taken),
                Step::Data | Step::GoOn | Step::Told => {}
                Step::Wait => return Ok(taken),
                Step::End => {
                    self.has_ended = true;
                    // What comes behind a close_notify is ignored (RFC 8446 §6.1).
                    return Ok(records.len());
                }
                Step::Fail(reason) => {
                    // The alert; asking for more than is there would read the same again.
                    let before = sealed.len();
                    while connection.wants_write()
                        && let Ok(ConnectionState::EncodeTlsData(mut data)) =
                            connection.process_tls_records(&mut records[taken..]).state
                    {
                        encode(&mut data, sealed);
                    }
                    self.end();
                    let has_alert = sealed.len() > before;
                    return Err(Failure { reason, has_alert });
                }
            }
        }
    }

    /// What was agreed on; `None` before the end of the handshake. Called once.
    pub(crate) fn info(&mut self) -> Option<TlsInfo> {
        let State::Connected {
            connection,
            server_name,
        } = &mut self.state
        else {
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
            server_name: server_name.take(),
            // rustls has read them before.
            client_chain: chain
                .iter()
                .filter_map(|der| X509Certificate::from_der(der).ok())
                .collect(),
        })
    }

    /// Puts the plaintext of `output` into records, as much as it wants to be sealed.
    pub(crate) fn seal(&mut self, output: &mut Output, info: &ConnectionInfo) -> Result<(), Failure> {
        while output.wants_seal() {
            output.seal_with(|plain, sealed| {
                let plain = &plain[..plain.len().min(MOST_AT_ONCE)];
                if let Some(layers) = &self.layers {
                    layers.iter().for_each(|layer| layer.sent(info, plain));
                }
                let size = plain.len() + plain.len().div_ceil(RECORD) * RECORD_OVERHEAD;
                self.write(sealed, size, |traffic, room| traffic.encrypt(plain, room))?;
                Ok(plain.len())
            })?;
        }
        Ok(())
    }

    /// Tells the peer, behind what was sealed, that nothing more comes; unless the session never stood, failed, or was
    /// closed.
    pub(crate) fn close(&mut self, output: &mut Output) {
        if !self.is_handshaking() {
            // Who cannot be told is left without.
            let _ = output.seal_with(|_, sealed| {
                self.write(sealed, RECORD_OVERHEAD, |traffic, room| {
                    traffic.queue_close_notify(room)
                })
                .map(|()| 0)
            });
        }
        self.end();
    }

    /// Has rustls append to `sealed` what it has to say itself, and what `put` makes, which will have about that size.
    fn write(
        &mut self,
        sealed: &mut Vec<u8>,
        size: usize,
        mut put: impl FnMut(&mut WriteTraffic<'_, ServerConnectionData>, &mut [u8]) -> Result<usize, EncryptError>,
    ) -> Result<(), Failure> {
        let State::Connected { connection, .. } = &mut self.state else {
            return Err(failure("the session is over"));
        };
        loop {
            // rustls remembers how far it has read in there.
            match connection.process_tls_records(&mut self.partial).state {
                Ok(ConnectionState::WriteTraffic(mut traffic)) => {
                    let start = sealed.len();
                    sealed.resize(start + size, 0);
                    let mut result = put(&mut traffic, &mut sealed[start..]);
                    if let Err(EncryptError::InsufficientSize(error)) = &result {
                        // A configuration of the program's own may want small records.
                        sealed.resize(start + error.required_size, 0);
                        result = put(&mut traffic, &mut sealed[start..]);
                    }
                    sealed.truncate(start + result.as_ref().map_or(0, |&count| count));
                    return result.map(|_| ()).map_err(failure);
                }
                Ok(ConnectionState::EncodeTlsData(mut data)) => encode(&mut data, sealed),
                Ok(ConnectionState::TransmitTlsData(data)) => data.done(),
                _ => return Err(failure("the session takes nothing more")),
            }
        }
    }
}

/// What rustls' answer to some records comes to.
enum Step {
    /// Plaintext came.
    Data,
    GoOn,
    /// All that it had to say itself is written.
    Told,
    /// There is nothing more in them.
    Wait,
    /// The peer has closed.
    End,
    Fail(String),
}

/// How many bytes a record lacks that is begun; as far as that is known.
fn missing(partial: &[u8]) -> usize {
    match partial {
        [_, _, _, high, low, rest @ ..] => usize::from(u16::from_be_bytes([*high, *low])).saturating_sub(rest.len()),
        begun => RECORD_HEADER - begun.len(),
    }
}

/// Writes what rustls has to say itself.
fn encode(data: &mut EncodeTlsData<'_, ServerConnectionData>, sealed: &mut Vec<u8>) {
    let start = sealed.len();
    let mut written = 0;
    loop {
        match data.encode(&mut sealed[start..]) {
            Ok(count) => written = count,
            Err(EncodeError::InsufficientSize(error)) => {
                sealed.resize(start + error.required_size, 0);
                continue;
            }
            Err(EncodeError::AlreadyEncoded) => {}
        }
        sealed.truncate(start + written);
        return;
    }
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
