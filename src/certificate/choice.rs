//! Which certificate of a store is taken.

use super::x509::date;
use std::fmt;
use std::time::SystemTime;

/// A certificate that was not taken, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Dropped {
    /// Its file, and its subject if it could be read.
    pub certificate: String,
    /// Why.
    pub reason: Unfit,
}

impl fmt::Display for Dropped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.certificate, self.reason)
    }
}

/// Why a certificate is not taken from a store.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unfit {
    /// Its time is over.
    Expired {
        /// Since when.
        not_after: SystemTime,
    },
    /// Its time has not come.
    NotYetValid {
        /// When it will.
        not_before: SystemTime,
    },
    /// It does not lead to a trusted root.
    NotTrusted {
        /// Why.
        reason: String,
    },
    /// Its Extended Key Usage leaves out server authentication.
    NotForServers,
    /// It is there without its private key.
    NoPrivateKey,
    /// Its file, or its private key, cannot be used.
    Unusable {
        /// Why.
        reason: String,
    },
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Expired { not_after } => write!(f, "it expired on {}", date(*not_after)),
            Self::NotYetValid { not_before } => write!(f, "it is valid from {} on", date(*not_before)),
            Self::NotTrusted { reason } => write!(f, "it is not trusted ({reason})"),
            Self::NotForServers => f.write_str("its extended key usage leaves out server authentication"),
            Self::NoPrivateKey => f.write_str("it has no private key"),
            Self::Unusable { reason } => f.write_str(reason),
        }
    }
}
