//! WebSockets (RFC 6455) that echo: the handshake in HTTP, then tungstenite's frames in the tunnel.

use sha1::{Digest, Sha1};
use stannel::header::{SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE};
use stannel::{Exchange, Flow, Outcome, Request, StatusCode, Tunnel, TunnelIo};
use std::convert::Infallible;
use std::io::{self, Read, Write};
use tungstenite::error::{CapacityError, Error};
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::protocol::{CloseFrame, Role, WebSocketConfig, WebSocketContext};
use tungstenite::{Message, Utf8Bytes};

/// The largest message that is echoed, in bytes.
const LARGEST_MESSAGE: usize = 1 << 20;

/// What each connection has for input. Messages may be larger: thousands of connections are quiet.
const READ_BUFFER: usize = 1 << 10;

/// Takes the client's offer to speak WebSocket. Without one the answer is 426.
pub(crate) fn answer(request: &Request<'_>, exchange: Exchange<'_>) -> Outcome {
    if !request.is_upgradable() {
        return exchange.upgrade("websocket").switch_to(Echo::new());
    }
    let headers = request.headers();
    let mut offers = headers
        .get_all(UPGRADE.as_str())
        .flat_map(|value| value.split(|&byte| byte == b','));
    let is_offered = offers.any(|protocol| protocol.trim_ascii().eq_ignore_ascii_case(b"websocket"));
    let is_known = headers.get(SEC_WEBSOCKET_VERSION) == Some(b"13");
    match headers.get(SEC_WEBSOCKET_KEY) {
        // RFC 6455 §4.1: 16 bytes in base64.
        Some(key) if is_offered && is_known && key.len() == 24 => exchange
            .upgrade("websocket")
            .header(SEC_WEBSOCKET_ACCEPT, &accept(key)[..])
            .switch_to(Echo::new()),
        // RFC 6455 §4.4: the version that would be understood.
        _ => exchange
            .respond(StatusCode::BAD_REQUEST)
            .header(SEC_WEBSOCKET_VERSION, "13")
            .send(""),
    }
}

/// RFC 6455 §4.2.2: the proof that the server has understood what it is asked for.
fn accept(key: &[u8]) -> [u8; 28] {
    let digest = Sha1::new()
        .chain_update(key)
        .chain_update(b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11")
        .finalize();
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut base64 = [b'='; 28];
    for (bytes, four) in digest.chunks(3).zip(base64.chunks_mut(4)) {
        let bits = bytes.iter().fold(0, |bits, &byte| bits << 8 | u32::from(byte)) << (8 * (3 - bytes.len()));
        for (place, digit) in four.iter_mut().take(bytes.len() + 1).enumerate() {
            *digit = DIGITS[(bits >> (18 - 6 * place)) as usize & 63];
        }
    }
    base64
}

/// Sends each message back.
struct Echo {
    socket: WebSocketContext,
}

impl Echo {
    fn new() -> Self {
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER)
            // The tunnel's output gathers what is written: nothing has to be kept back for it.
            .write_buffer_size(0)
            .max_frame_size(Some(LARGEST_MESSAGE))
            .max_message_size(Some(LARGEST_MESSAGE));
        Self {
            socket: WebSocketContext::new(Role::Server, Some(config)),
        }
    }

    /// Echoes until there is no more to echo, and says why.
    fn echo(&mut self, wire: &mut Wire<'_, '_>) -> Result<Infallible, Error> {
        loop {
            // Pings and closing are answered in here.
            let message = self.socket.read(wire)?;
            if let Message::Text(_) | Message::Binary(_) = message {
                self.socket.write(wire, message)?;
            }
        }
    }

    fn close(&mut self, wire: &mut Wire<'_, '_>, code: CloseCode) {
        let reason = Utf8Bytes::default();
        // Whether it can still be sent or not, nothing follows it.
        let _ = self.socket.close(wire, Some(CloseFrame { code, reason }));
    }
}

impl Tunnel for Echo {
    fn on_data(&mut self, data: &[u8], io: &mut TunnelIo<'_>) -> Flow {
        let wire = &mut Wire {
            input: data,
            output: io,
        };
        let Err(error) = self.echo(wire);
        let code = match error {
            Error::Io(error) if error.kind() == io::ErrorKind::WouldBlock => return Flow::Continue,
            Error::ConnectionClosed | Error::AlreadyClosed => return Flow::Stop,
            // RFC 6455 §7.1.7: the peer hears why.
            Error::Utf8(_) => CloseCode::Invalid,
            Error::Capacity(CapacityError::MessageTooLong { .. }) => CloseCode::Size,
            _ => CloseCode::Protocol,
        };
        self.close(wire, code);
        Flow::Stop
    }

    fn on_shutdown(&mut self, io: &mut TunnelIo<'_>) -> Flow {
        self.close(&mut Wire { input: &[], output: io }, CloseCode::Away);
        Flow::Stop
    }
}

/// What has come and where answers go, as the stream that tungstenite wants.
struct Wire<'a, 'io> {
    input: &'a [u8],
    output: &'a mut TunnelIo<'io>,
}

impl Read for Wire<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.input.is_empty() {
            // An end would be the peer's.
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.input.read(buffer)
    }
}

impl Write for Wire<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.output.put(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
