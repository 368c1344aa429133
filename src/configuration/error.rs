//! What can be wrong with a configuration.

use super::tree::Origin;
use crate::endpoint::{EndpointError, LimitsError, UrlError};
use std::fmt;
use std::path::PathBuf;

/// Why a configuration cannot be used.
///
/// ```
/// use stannel::{Configuration, ConfigurationError};
///
/// let error = Configuration::builder().add_command_line(["-k=v"]).build().unwrap_err();
/// assert!(matches!(error, ConfigurationError::NotASetting { .. }));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigurationError {
    /// Nothing, or another setting, follows a `--key`.
    MissingValue {
        /// The key without its dashes.
        key: String,
    },
    /// An argument begins with a dash and is no setting.
    NotASetting {
        /// The argument.
        argument: String,
    },
    /// A setting is no Unicode text.
    NotUnicode {
        /// The argument, with replacement characters.
        argument: String,
    },
    /// A file cannot be read.
    UnreadableFile {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A file is no JSON.
    InvalidJson {
        /// The file.
        path: PathBuf,
        /// The line, from 1 on.
        line: usize,
        /// The column, from 1 on.
        column: usize,
        /// What is wrong there.
        reason: String,
    },
    /// A file is JSON, but no object.
    JsonNotObject {
        /// The file.
        path: PathBuf,
        /// The line, from 1 on.
        line: usize,
        /// The column, from 1 on.
        column: usize,
    },
    /// A file has a key twice; case makes no difference.
    DuplicateKey {
        /// The file.
        path: PathBuf,
        /// The line of the second one, from 1 on.
        line: usize,
        /// The column of the second one, from 1 on.
        column: usize,
        /// The key.
        key: String,
        /// The line of the first one.
        first: usize,
    },
    /// A value cannot be understood.
    InvalidValue {
        /// The key as it was given.
        key: String,
        /// The value as it was given.
        value: String,
        /// What would have been right.
        expected: &'static str,
        /// Where it was given.
        origin: Origin,
    },
    /// One of the URLs to listen on is wrong.
    InvalidUrl {
        /// The key as it was given.
        key: String,
        /// What is wrong; names the URL.
        error: UrlError,
        /// Where it was given.
        origin: Origin,
    },
    /// Each limit is fine, but together they cannot work.
    InvalidLimits(LimitsError),
    /// A configured endpoint has no `Url`.
    MissingUrl {
        /// The endpoint.
        endpoint: String,
        /// Where it was given.
        origin: Origin,
    },
    /// A certificate has both `Path` and `Subject`.
    MultipleCertificateSources {
        /// The endpoint, or the name of the certificate.
        endpoint: String,
        /// The key of the certificate.
        key: String,
        /// Where its `Subject` was given.
        origin: Origin,
    },
    /// An endpoint of plain HTTP has a key that only HTTPS uses.
    UnusedHttpsConfig {
        /// The endpoint.
        endpoint: String,
        /// The last part of the key.
        key: &'static str,
        /// Where it was given.
        origin: Origin,
    },
    /// An SNI entry has no name.
    SniNameEmpty {
        /// The endpoint.
        endpoint: String,
        /// Where it was given.
        origin: Origin,
    },
    /// A callback was given for an endpoint without name.
    EmptyEndpointName,
    /// An endpoint cannot be served as it was asked for.
    Endpoint(EndpointError),
    /// A warning, which strictness makes an error.
    Strict(String),
}

impl fmt::Display for ConfigurationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MissingValue { key } => write!(f, "--{key} has no value; write --{key}=VALUE"),
            Self::NotASetting { argument } => write!(
                f,
                "cannot understand the argument {argument}; write --KEY=VALUE, or -- before a name that begins with a dash"
            ),
            Self::NotUnicode { argument } => {
                write!(f, "the setting {argument} is no Unicode text; write it in UTF-8")
            }
            Self::UnreadableFile { path, reason } => {
                write!(f, "cannot read the configuration file {}: {reason}", path.display())
            }
            Self::InvalidJson {
                path,
                line,
                column,
                reason,
            } => write!(
                f,
                "{}:{line}:{column}: no valid JSON: {reason}; mend the file there",
                path.display()
            ),
            Self::JsonNotObject { path, line, column } => write!(
                f,
                "{}:{line}:{column}: a configuration is an object; put everything between {{ and }}",
                path.display()
            ),
            Self::DuplicateKey {
                path,
                line,
                column,
                key,
                first,
            } => write!(
                f,
                "{}:{line}:{column}: the key {} is in line {first} already (case makes no difference); keep one of them",
                path.display(),
                key.escape_debug()
            ),
            Self::InvalidValue {
                key,
                value,
                expected,
                origin,
            } => write!(f, "{key}={} {origin}: expected {expected}", value.escape_debug()),
            Self::InvalidUrl { key, error, origin } => write!(f, "{key} {origin}: {error}"),
            Self::InvalidLimits(error) => write!(f, "Kestrel:Limits: {error}"),
            Self::MissingUrl { endpoint, origin } => write!(
                f,
                "the endpoint {} {origin} has no Url; give it one such as http://localhost:5000, or take the endpoint out",
                endpoint.escape_debug()
            ),
            Self::MultipleCertificateSources { endpoint, key, origin } => write!(
                f,
                "the certificate of {} has both Path and Subject ({key}, {origin}); a file or a store, take one of them out",
                endpoint.escape_debug()
            ),
            Self::UnusedHttpsConfig { endpoint, key, origin } => write!(
                f,
                "the endpoint {} has an http Url and {key} {origin}, which only https uses; write https:// in its Url or take {key} out",
                endpoint.escape_debug()
            ),
            Self::SniNameEmpty { endpoint, origin } => write!(
                f,
                "the endpoint {} has an Sni entry without a name {origin}; write a host name, *.name or *",
                endpoint.escape_debug()
            ),
            Self::EmptyEndpointName => f.write_str("a callback needs the name of an endpoint; an empty one names none"),
            Self::Endpoint(error) => error.fmt(f),
            Self::Strict(warning) => write!(f, "{warning} (an error because of --strict-config)"),
        }
    }
}

impl std::error::Error for ConfigurationError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::InvalidUrl { error, .. } => Some(error),
            Self::InvalidLimits(error) => Some(error),
            Self::Endpoint(error) => Some(error),
            _ => None,
        }
    }
}

impl From<EndpointError> for ConfigurationError {
    fn from(error: EndpointError) -> Self {
        Self::Endpoint(error)
    }
}
