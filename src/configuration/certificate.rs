//! Certificate nodes: what they name, and what an endpoint gets that has none of its own.

use super::error::ConfigurationError;
use super::kestrel::{BOOLEAN, file, origin, read, text};
use super::section::Section;
use super::value::boolean;
use crate::endpoint::{CertificateSource, StoreLocation};

const LOCATION: &str = "CurrentUser or LocalMachine";
const DEFAULT: &str = "Default";
const DEVELOPMENT: &str = "Development";

/// The certificate node at a key: a file, a store, or nothing.
pub(super) fn read_certificate(
    section: &Section,
    owner: &str,
    key: &str,
    warnings: &mut Vec<String>,
) -> Result<Option<CertificateSource>, ConfigurationError> {
    let node = section.section(key);
    match (text(&node, "Path"), text(&node, "Subject")) {
        (Some(_), Some(_)) => Err(ConfigurationError::MultipleCertificateSources {
            endpoint: owner.to_owned(),
            key: node.path().to_owned(),
            origin: origin(&node.section("Subject")),
        }),
        (Some(path), None) => Ok(Some(CertificateSource::File {
            path: file(&node, path),
            key_path: text(&node, "KeyPath").map(|path| file(&node, path)),
            password: node.get("Password").map(str::to_owned),
        })),
        (None, Some(subject)) => {
            let location = match text(&node, "Location") {
                None => StoreLocation::CurrentUser,
                Some(text) => StoreLocation::from_text(text).ok_or_else(|| {
                    let location = node.section("Location");
                    ConfigurationError::InvalidValue {
                        key: location.path().to_owned(),
                        value: text.to_owned(),
                        expected: LOCATION,
                        origin: origin(&location),
                    }
                })?,
            };
            Ok(Some(CertificateSource::Store {
                subject: subject.to_owned(),
                store: text(&node, "Store").unwrap_or("My").to_owned(),
                location,
                allow_invalid: read(&node, "AllowInvalid", boolean, BOOLEAN, warnings).unwrap_or(false),
            }))
        }
        (None, None) => Ok(None),
    }
}

/// What an endpoint gets that has no certificate of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fallback {
    /// What `Certificates:Default` names; nothing else is tried.
    Default(CertificateSource),
    /// The file of a development certificate, if there is a password for it, then the user's store.
    Development {
        /// That of `Certificates:Development`.
        password: Option<String>,
    },
}

impl Fallback {
    /// What the section `Kestrel` says of it.
    pub(crate) fn of(kestrel: Option<&Section>, warnings: &mut Vec<String>) -> Result<Self, ConfigurationError> {
        let Some(kestrel) = kestrel else {
            return Ok(Self::Development { password: None });
        };
        let certificates = kestrel.section("Certificates");
        if let Some(source) = read_certificate(&certificates, DEFAULT, DEFAULT, warnings)? {
            return Ok(Self::Default(source));
        }
        // A node that names nothing stands in the way of the file, but not of the store.
        let has_default = certificates
            .children()
            .any(|node| node.key().eq_ignore_ascii_case(DEFAULT));
        let development = certificates.section(DEVELOPMENT);
        let names_no_file = text(&development, "Path").is_none();
        let password = development.get("Password").filter(|_| !has_default && names_no_file);
        Ok(Self::Development {
            password: password.map(str::to_owned),
        })
    }
}

/// The node that names a certificate, if one does: that of an endpoint, of one of its host names, or a shared one.
#[cfg(feature = "tls")]
pub(crate) fn certificate_node(
    kestrel: &Section,
    endpoint: Option<&str>,
    pattern: Option<&str>,
    source: &CertificateSource,
) -> Option<Section> {
    let certificates = kestrel.section("Certificates");
    if matches!(source, CertificateSource::DevelopmentFile { .. }) {
        return Some(certificates.section(DEVELOPMENT));
    }
    let endpoint = endpoint.map(|name| kestrel.section("Endpoints").section(name));
    let of_endpoint = match pattern {
        None => endpoint,
        Some(pattern) => endpoint.map(|endpoint| endpoint.section("Sni").section(pattern)),
    };
    let own = of_endpoint.map(|section| (section, "Certificate"));
    own.into_iter()
        .chain([(certificates, DEFAULT)])
        .find(|(section, key)| {
            // What is wrong with the values was told when they were loaded.
            let named = read_certificate(section, "", key, &mut Vec::new());
            named.is_ok_and(|named| named.as_ref() == Some(source))
        })
        .map(|(section, key)| section.section(key))
}
