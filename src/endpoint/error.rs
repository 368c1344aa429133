//! Why an endpoint cannot be served as it was asked for.

use super::limits::LimitsError;
use super::url::UrlError;
#[cfg(feature = "tls")]
use crate::certificate::CertificateError;
#[cfg(feature = "tls")]
use crate::tls::TlsError;
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
    /// HTTPS is asked for, and the feature `tls` is off.
    TlsUnavailable {
        /// The endpoint, with where it comes from.
        endpoint: String,
    },
    /// HTTPS is asked for, and there is no certificate.
    #[cfg(feature = "tls")]
    NoCertificate {
        /// The endpoint, or one of its host names, with where it comes from.
        endpoint: String,
        /// Why the development certificates would not do that it could have had.
        searched: Vec<CertificateError>,
    },
    /// HTTPS options were given as a whole, in which no certificate is: the default one does not count then.
    #[cfg(feature = "tls")]
    CertificateRequired {
        /// The endpoint, with where it comes from.
        endpoint: String,
    },
    /// Its HTTPS options cannot work.
    Https {
        /// The endpoint, with where it comes from.
        endpoint: String,
        /// What is wrong.
        error: LimitsError,
    },
    /// TLS cannot be set up for it.
    #[cfg(feature = "tls")]
    Tls(TlsError),
    /// A certificate cannot be used.
    #[cfg(feature = "tls")]
    Certificate {
        /// The endpoint, or one of its host names, with where it comes from.
        endpoint: String,
        /// Where the certificate is named: the key with its origin, or what code said.
        place: String,
        /// Why.
        error: Box<CertificateError>,
    },
    /// The default certificate cannot be used.
    #[cfg(feature = "tls")]
    DefaultCertificate {
        /// Where it is named: the key with its origin.
        place: String,
        /// Why.
        error: Box<CertificateError>,
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
            Self::TlsUnavailable { endpoint } => write!(
                f,
                "cannot serve {endpoint}: this was built without HTTPS; build it with the feature tls, or write http://"
            ),
            #[cfg(feature = "tls")]
            Self::NoCertificate { endpoint, searched } => {
                write!(
                    f,
                    "cannot serve {endpoint}: no certificate was given, and there is no default one"
                )?;
                for error in searched {
                    match error {
                        CertificateError::NoDevelopmentCertificate { dropped, .. } => {
                            dropped
                                .iter()
                                .take(MAX_LISTED)
                                .try_for_each(|dropped| write!(f, "; {dropped}"))?;
                        }
                        error => write!(f, "; {error}")?,
                    }
                }
                f.write_str(
                    "\nmake a development certificate with stannel dev-certs https, give it a Certificate with Path and \
                     KeyPath, or set Kestrel:Certificates:Default",
                )
            }
            #[cfg(feature = "tls")]
            Self::CertificateRequired { endpoint } => write!(
                f,
                "cannot serve {endpoint}: its HTTPS options name no certificate and no selector, and they are taken as they \
                 are; set server_certificate, or use use_https_with, which falls back on the default certificate"
            ),
            Self::Https { endpoint, error } => write!(f, "cannot serve {endpoint}: {error}"),
            #[cfg(feature = "tls")]
            Self::Tls(error) => error.fmt(f),
            #[cfg(feature = "tls")]
            Self::Certificate { endpoint, place, error } => {
                write!(f, "cannot serve {endpoint} with its certificate ({place}): {error}")
            }
            #[cfg(feature = "tls")]
            Self::DefaultCertificate { place, error } => {
                write!(f, "cannot use the default certificate ({place}): {error}")
            }
        }
    }
}

/// More passed over certificates than this nobody reads.
#[cfg(feature = "tls")]
const MAX_LISTED: usize = 5;

impl std::error::Error for EndpointError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Url { error, .. } => Some(error),
            Self::Https { error, .. } => Some(error),
            #[cfg(feature = "tls")]
            Self::Tls(error) => Some(error),
            #[cfg(feature = "tls")]
            Self::Certificate { error, .. } | Self::DefaultCertificate { error, .. } => Some(&**error),
            #[cfg(feature = "tls")]
            Self::NoCertificate { searched, .. } => Some(searched.last()?),
            _ => None,
        }
    }
}
