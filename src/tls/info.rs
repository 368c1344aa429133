//! What a handshake agreed on.

use std::fmt;

/// A version of TLS.
///
/// ```
/// use stannel::tls::TlsVersion;
///
/// assert_eq!(TlsVersion::Tls13.to_string(), "TLSv1.3");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum TlsVersion {
    /// TLS 1.2 (RFC 5246).
    Tls12,
    /// TLS 1.3 (RFC 8446).
    Tls13,
}

/// In the words of OpenSSL, nginx and curl.
impl fmt::Display for TlsVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tls12 => "TLSv1.2",
            Self::Tls13 => "TLSv1.3",
        })
    }
}

/// What the handshake of a connection agreed on; [`ConnectionInfo::tls`](crate::ConnectionInfo::tls) has it.
///
/// ```
/// use stannel::{Exchange, Outcome, Request, StatusCode};
///
/// fn whoami(request: &Request<'_>, exchange: Exchange<'_>) -> Outcome {
///     let text = match request.connection().tls() {
///         Some(tls) => format!("{} with {} for {:?}", tls.version(), tls.cipher_suite(), tls.server_name()),
///         None => "plain".to_owned(),
///     };
///     exchange.respond(StatusCode::OK).send(text)
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsInfo {
    pub(super) version: TlsVersion,
    pub(super) cipher_suite: &'static str,
    pub(super) is_resumed: bool,
    pub(super) alpn: Option<&'static str>,
    pub(super) server_name: Option<Box<str>>,
    #[cfg(feature = "tls")]
    pub(super) client_chain: Box<[crate::certificate::X509Certificate]>,
}

impl TlsInfo {
    /// The version of TLS.
    #[must_use]
    pub fn version(&self) -> TlsVersion {
        self.version
    }

    /// The cipher suite by its name in IANA's register, such as `TLS_AES_128_GCM_SHA256`.
    #[must_use]
    pub fn cipher_suite(&self) -> &'static str {
        self.cipher_suite
    }

    /// Whether the session was resumed by a ticket, without a full handshake.
    #[must_use]
    pub fn is_resumed(&self) -> bool {
        self.is_resumed
    }

    /// The protocol that was agreed on by ALPN: `http/1.1` or `http/1.0`; `None` if the client offered none.
    #[must_use]
    pub fn alpn(&self) -> Option<&'static str> {
        self.alpn
    }

    /// The name of the server that the client asked for (SNI), in lower case; `None` if it named none, or an address.
    #[must_use]
    pub fn server_name(&self) -> Option<&str> {
        self.server_name.as_deref()
    }

    /// What the client showed: its own certificate first, then the issuers that it sent. Empty if it showed none. Its own
    /// passed every check that the endpoint asks for.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn client_chain(&self) -> &[crate::certificate::X509Certificate] {
        &self.client_chain
    }

    /// The client's certificate.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn client_certificate(&self) -> Option<&crate::certificate::X509Certificate> {
        self.client_chain.first()
    }
}
