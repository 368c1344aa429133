//! Why an endpoint cannot be served as it was asked for.

use super::url::UrlError;
use std::fmt;
use std::path::PathBuf;

/// Why an endpoint cannot be served as it was asked for, found before anything is bound.
///
/// ```
/// use stannel::{EndpointError, HttpProtocols, ServerOptions};
///
/// let mut options = ServerOptions::default();
/// options.listen_any_ip(8080).protocols = HttpProtocols::HTTP2;
/// assert!(options.plan().is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EndpointError {
    /// One of the URLs to listen on is wrong.
    Url {
        /// Where it was given.
        origin: String,
        /// What is wrong; names the URL.
        error: UrlError,
    },
    /// The path of a Unix socket is empty or not absolute.
    UnixPathNotAbsolute {
        /// The path.
        path: PathBuf,
    },
    /// What a setting ended up with is understood, but nothing of it can be served.
    UnsupportedSetting {
        /// The endpoint, with where it comes from.
        endpoint: String,
        /// The setting: `Protocols`, `SslProtocols` or `ClientCertificateMode`.
        key: &'static str,
        /// What it ended up with.
        value: String,
        /// What can be served.
        supported: &'static str,
    },
    /// HTTPS is asked for, and there is no certificate.
    NoCertificate {
        /// The endpoint, with where it comes from.
        endpoint: String,
    },
}

impl fmt::Display for EndpointError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url { origin, error } => write!(f, "urls {origin}: {error}"),
            Self::UnixPathNotAbsolute { path } => write!(
                f,
                "the path of the Unix socket \"{}\" is not absolute; begin it with /",
                path.display()
            ),
            Self::UnsupportedSetting {
                endpoint,
                key,
                value,
                supported,
            } => write!(f, "cannot serve {endpoint} with {key} {value}; use {supported}"),
            Self::NoCertificate { endpoint } => write!(
                f,
                "cannot serve {endpoint}: no certificate was given and there is no default one; \
                 give it a Certificate with Path and KeyPath, or set Kestrel:Certificates:Default"
            ),
        }
    }
}

impl std::error::Error for EndpointError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Url { error, .. } => Some(error),
            _ => None,
        }
    }
}
