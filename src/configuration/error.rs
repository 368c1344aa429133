//! What can be wrong with a configuration.

use super::values::Origin;
use crate::endpoint::{LimitsError, UrlError};
use std::fmt;

/// Why a configuration cannot be used.
///
/// ```
/// use stannel::{Configuration, ConfigurationError};
///
/// let error = Configuration::from_args(["--urls"]).unwrap_err();
/// assert!(matches!(&error, ConfigurationError::MissingValue { key } if key == "urls"));
/// assert_eq!(error.to_string(), "--urls has no value; write --urls=VALUE");
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
            Self::InvalidValue {
                key,
                value,
                expected,
                origin,
            } => write!(f, "{key}={} {origin}: expected {expected}", value.escape_debug()),
            Self::InvalidUrl { key, error, origin } => write!(f, "{key} {origin}: {error}"),
            Self::InvalidLimits(error) => write!(f, "Kestrel:Limits: {error}"),
        }
    }
}

impl std::error::Error for ConfigurationError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::InvalidUrl { error, .. } => Some(error),
            Self::InvalidLimits(error) => Some(error),
            _ => None,
        }
    }
}
