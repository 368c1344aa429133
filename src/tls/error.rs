//! What can be wrong with an endpoint's TLS before the first handshake.

use crate::certificate::CertificateError;
use std::fmt;

/// Why an endpoint cannot serve TLS.
///
/// ```
/// use stannel::CertificateError;
/// use stannel::tls::TlsError;
///
/// let error = TlsError::ClientRoots {
///     endpoint: "https://[::]:443".to_owned(),
///     error: Box::new(CertificateError::Unreadable { file: "ca.pem".to_owned(), reason: "no such file".to_owned() }),
/// };
/// assert_eq!(
///     error.to_string(),
///     "cannot serve https://[::]:443: the roots for client certificates: cannot read ca.pem: no such file",
/// );
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TlsError {
    /// The roots for client certificates cannot be had.
    ClientRoots {
        /// The endpoint.
        endpoint: String,
        /// What is wrong; names the file.
        error: Box<CertificateError>,
    },
    /// rustls refuses, for instance because the machine gives no random numbers.
    Library {
        /// The endpoint.
        endpoint: String,
        /// Why.
        reason: String,
    },
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ClientRoots { endpoint, error } => {
                write!(f, "cannot serve {endpoint}: the roots for client certificates: {error}")
            }
            Self::Library { endpoint, reason } => write!(f, "cannot serve {endpoint}: rustls refuses: {reason}"),
        }
    }
}

impl std::error::Error for TlsError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::ClientRoots { error, .. } => Some(&**error),
            Self::Library { .. } => None,
        }
    }
}
