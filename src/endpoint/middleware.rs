//! What may look at the connections of an endpoint, below HTTP.

use crate::handler::ConnectionInfo;
use std::fmt::Write;
use std::sync::Arc;

/// Looks at every connection of an endpoint; what Kestrel's connection middleware is used for, as far as it does not
/// change the bytes. [`ListenOptions::use_middleware`](crate::ListenOptions::use_middleware) puts it there.
///
/// Its methods are called on the thread of the loop that owns the connection, so they must not wait for anything. A panic
/// costs the connection.
///
/// ```
/// use stannel::{Admission, ConnectionInfo, ConnectionMiddleware, Peer, ServerOptions};
///
/// struct OnlyLocal;
///
/// impl ConnectionMiddleware for OnlyLocal {
///     fn connected(&self, connection: &ConnectionInfo) -> Admission {
///         match connection.peer() {
///             Peer::Tcp(address) if !address.ip().is_loopback() => Admission::Refuse,
///             _ => Admission::Admit,
///         }
///     }
/// }
///
/// let mut options = ServerOptions::default();
/// options.listen_any_ip(8080).use_middleware(OnlyLocal);
/// ```
pub trait ConnectionMiddleware: Send + Sync {
    /// A connection was accepted; a refused one is closed without a byte.
    fn connected(&self, connection: &ConnectionInfo) -> Admission {
        let _ = connection;
        Admission::Admit
    }

    /// These bytes came.
    fn received(&self, connection: &ConnectionInfo, bytes: &[u8]) {
        let _ = (connection, bytes);
    }

    /// These bytes are on their way: above TLS they were put into records, below it the kernel took them.
    fn sent(&self, connection: &ConnectionInfo, bytes: &[u8]) {
        let _ = (connection, bytes);
    }

    /// It is over.
    fn closed(&self, connection: &ConnectionInfo) {
        let _ = connection;
    }
}

/// Whether a connection may go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It may.
    Admit,
    /// It is closed.
    Refuse,
}

/// The middleware of an endpoint, in the order in which it was added.
pub(crate) type Layers = Vec<Arc<dyn ConnectionMiddleware>>;

/// Logs what comes and goes at debug level, as Kestrel's connection logging does.
pub(crate) struct ConnectionLogging;

impl ConnectionMiddleware for ConnectionLogging {
    fn received(&self, connection: &ConnectionInfo, bytes: &[u8]) {
        log_bytes(connection, "received", bytes);
    }

    fn sent(&self, connection: &ConnectionInfo, bytes: &[u8]) {
        log_bytes(connection, "sent", bytes);
    }
}

fn log_bytes(connection: &ConnectionInfo, what: &str, bytes: &[u8]) {
    log::debug!(
        target: "stannel::connections",
        "connection {} {what} {} bytes\n{}",
        connection.id(),
        bytes.len(),
        hex_dump(bytes)
    );
}

/// Sixteen bytes a line, in hexadecimal and as text.
fn hex_dump(bytes: &[u8]) -> String {
    let mut dump = String::new();
    for line in bytes.chunks(16) {
        let hex = line.iter().fold(String::new(), |mut hex, byte| {
            // A string takes everything.
            let _ = write!(hex, "{byte:02X} ");
            hex
        });
        let text: String = line
            .iter()
            .map(|&byte| {
                if matches!(byte, b' '..=b'~') {
                    char::from(byte)
                } else {
                    '.'
                }
            })
            .collect();
        let _ = writeln!(dump, "{hex:<48} {text}");
    }
    dump
}

#[cfg(test)]
mod tests {
    use super::hex_dump;

    #[test]
    fn bytes_are_shown_twice() {
        assert_eq!(
            hex_dump(b"GET / HTTP/1.1\r\nH"),
            "47 45 54 20 2F 20 48 54 54 50 2F 31 2E 31 0D 0A  GET / HTTP/1.1..\n\
             48                                               H\n"
        );
        assert_eq!(hex_dump(b""), "");
    }
}
