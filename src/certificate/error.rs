//! What can be wrong with a certificate.

use super::choice::Dropped;
use crate::endpoint::StoreLocation;
use std::fmt;

/// Why a certificate cannot be had.
///
/// The text says what failed and what to do, as a rule with the `openssl` command that mends it.
///
/// ```
/// use stannel::{Certificate, CertificateError};
///
/// let error = Certificate::from_file("absent.pfx", None, None).unwrap_err();
/// assert!(matches!(error, CertificateError::Unreadable { .. }));
/// assert!(error.to_string().starts_with("cannot read absent.pfx: "));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CertificateError {
    /// A file is not there or cannot be read.
    Unreadable {
        /// The file.
        file: String,
        /// Why.
        reason: String,
    },
    /// A file is larger than any certificate.
    TooLarge {
        /// The file.
        file: String,
        /// How many bytes are read at most.
        limit: u64,
    },
    /// What a file holds is no certificate, or it is damaged.
    Malformed {
        /// The file.
        file: String,
        /// What is wrong, and what to do.
        reason: String,
    },
    /// A password is wrong, or missing.
    BadPassword {
        /// The file.
        file: String,
        /// Whether there was a password, even an empty one.
        given: bool,
        /// What does not open, and how to try it by hand.
        reason: String,
    },
    /// A private key does not belong to its certificate, or is none.
    InvalidKey {
        /// The file of the key.
        file: String,
        /// What is wrong, and what to do.
        reason: String,
    },
    /// There is a certificate, but no private key.
    NoPrivateKey {
        /// The file.
        file: String,
        /// The certificate's subject.
        subject: String,
        /// The certificate's thumbprint.
        thumbprint: String,
        /// What to do.
        remedy: String,
    },
    /// A file has several certificates with private keys, and none stands out.
    SeveralKeys {
        /// The file.
        file: String,
        /// The subjects of the certificates.
        subjects: Vec<String>,
    },
    /// Something is written in a way that is not read here.
    Unsupported {
        /// The file.
        file: String,
        /// What it is.
        algorithm: String,
        /// What to do.
        remedy: String,
    },
    /// A file wants more rounds of key derivation than anybody needs.
    TooManyRounds {
        /// The file.
        file: String,
        /// How many it wants.
        rounds: u64,
        /// How many are done at most.
        limit: u64,
    },
    /// The certificate's Extended Key Usage leaves out server authentication.
    NotForServers {
        /// The certificate's subject.
        subject: String,
        /// The certificate's thumbprint.
        thumbprint: String,
        /// What it is for, as object identifiers.
        usages: Vec<String>,
    },
    /// No certificate of a store fits.
    NotInStore {
        /// What was looked for.
        subject: String,
        /// Whose store.
        location: StoreLocation,
        /// The store's name.
        store: String,
        /// The folder of the store, if it has one.
        folder: String,
        /// Whether invalid ones would have done.
        allow_invalid: bool,
        /// How many certificates there are in the store.
        count: usize,
        /// Those whose subject fits, and why they do not.
        dropped: Vec<Dropped>,
    },
    /// A store cannot be opened.
    StoreUnavailable {
        /// Whose store.
        location: StoreLocation,
        /// The store's name.
        store: String,
        /// Why, and what to do.
        reason: String,
    },
    /// There is no development certificate.
    NoDevelopmentCertificate {
        /// Where it was looked for.
        place: String,
        /// The certificates that were passed over, and why.
        dropped: Vec<Dropped>,
    },
}

impl CertificateError {
    /// The file that cannot be used; `None` if it is about a store or about a certificate that could be read.
    #[must_use]
    pub fn file(&self) -> Option<&str> {
        match self {
            Self::Unreadable { file, .. }
            | Self::TooLarge { file, .. }
            | Self::Malformed { file, .. }
            | Self::BadPassword { file, .. }
            | Self::InvalidKey { file, .. }
            | Self::NoPrivateKey { file, .. }
            | Self::SeveralKeys { file, .. }
            | Self::Unsupported { file, .. }
            | Self::TooManyRounds { file, .. } => Some(file),
            Self::NotForServers { .. }
            | Self::NotInStore { .. }
            | Self::StoreUnavailable { .. }
            | Self::NoDevelopmentCertificate { .. } => None,
        }
    }
}

impl fmt::Display for CertificateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable { file, reason } => write!(f, "cannot read {file}: {reason}"),
            Self::TooLarge { file, limit } => {
                write!(
                    f,
                    "{file} has more than {limit} bytes; name the file of a certificate or key"
                )
            }
            Self::Malformed { file, reason } => write!(f, "{file} cannot be used as a certificate: {reason}"),
            Self::BadPassword {
                file,
                given: true,
                reason,
            } => write!(f, "the password does not open {file}: {reason}"),
            Self::BadPassword {
                file,
                given: false,
                reason,
            } => write!(f, "{file} needs a password and none is given: {reason}"),
            Self::InvalidKey { file, reason } => write!(f, "{file} cannot be used as a private key: {reason}"),
            Self::NoPrivateKey {
                file,
                subject,
                thumbprint,
                remedy,
            } => write!(
                f,
                "{file} has no private key for its certificate {subject} ({thumbprint}); {remedy}"
            ),
            Self::SeveralKeys { file, subjects } => write!(
                f,
                "{file} has several certificates with private keys ({}); write a file with one of them: \
                 openssl pkcs12 -export -in CERTIFICATE.pem -inkey KEY.pem -out ONE.pfx",
                subjects.join("; ")
            ),
            Self::Unsupported {
                file,
                algorithm,
                remedy,
            } => write!(f, "{file} is not supported: {algorithm}; {remedy}"),
            Self::TooManyRounds { file, rounds, limit } => write!(
                f,
                "{file} wants {rounds} rounds of key derivation, and no file gets more than {limit}; \
                 write it anew with fewer: openssl pkcs12 -export -iter 100000, or openssl pkcs8 -topk8 -iter 100000"
            ),
            Self::NotForServers {
                subject,
                thumbprint,
                usages,
            } => write!(
                f,
                "the certificate {subject} ({thumbprint}) is not for servers: its extended key usage is {} and lacks \
                 server authentication (1.3.6.1.5.5.7.3.1); request one with extendedKeyUsage=serverAuth",
                list(usages, ", ")
            ),
            Self::NotInStore {
                subject,
                location,
                store,
                folder,
                allow_invalid,
                count,
                dropped,
            } => {
                write!(
                    f,
                    "no certificate for \"{subject}\" in the store {location}/{store} ({folder}) with AllowInvalid \
                     {allow_invalid}"
                )?;
                match (dropped.is_empty(), count) {
                    (true, 0) => f.write_str(": it is empty"),
                    (true, count) => write!(f, ": none of its {count} certificates has that text in its subject"),
                    (false, _) => write!(f, ": {}", list(dropped, "; ")),
                }
            }
            Self::StoreUnavailable {
                location,
                store,
                reason,
            } => write!(f, "cannot open the store {location}/{store}: {reason}"),
            Self::NoDevelopmentCertificate { place, dropped } => {
                write!(f, "no development certificate in {place}")?;
                if !dropped.is_empty() {
                    write!(f, " ({})", list(dropped, "; "))?;
                }
                f.write_str("; make one with: stannel dev-certs https")
            }
        }
    }
}

impl std::error::Error for CertificateError {}

/// The items one after another, as many as anybody reads.
fn list<T: fmt::Display>(items: &[T], separator: &str) -> String {
    if items.is_empty() {
        return "empty".to_owned();
    }
    let mut texts: Vec<String> = items.iter().take(MAX_LISTED).map(T::to_string).collect();
    if let Some(more) = items.len().checked_sub(MAX_LISTED).filter(|more| *more > 0) {
        texts.push(format!("and {more} more"));
    }
    texts.join(separator)
}

const MAX_LISTED: usize = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lists_are_cut() {
        assert_eq!(list::<u8>(&[], ", "), "empty");
        assert_eq!(list(&[1, 2], ", "), "1, 2");
        let many: Vec<u8> = (0..13).collect();
        assert_eq!(list(&many, " "), "0 1 2 3 4 5 6 7 8 9 and 3 more");
    }
}
