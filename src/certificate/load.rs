//! From what a user asks for to the certificate that a server uses.

use super::choice::{Dropped, Unfit};
use super::file;
use super::store::CertificateStores;
use super::x509::date;
use super::{Certificate, CertificateError};
use crate::endpoint::CertificateSource;
use log::{debug, info, warn};
use std::path::Path;
use std::time::SystemTime;

impl Certificate {
    /// Loads a server's certificate from wherever `source` says, and makes sure that a server may use it.
    ///
    /// A file without private key is no mistake if the user's store `My` has the same certificate with its key. A
    /// certificate without Subject Alternative Name is logged: browsers may refuse it.
    ///
    /// ```
    /// use stannel::certificate::CertificateStores;
    /// use stannel::{Certificate, CertificateSource};
    /// use std::time::SystemTime;
    ///
    /// let stores = CertificateStores::in_home("tests/fixtures/dotnet/stores/home");
    /// let folder = "tests/fixtures/dotnet/pem";
    /// let source = CertificateSource::pem(format!("{folder}/p256.crt"), format!("{folder}/p256.pkcs8.key"));
    /// let certificate = Certificate::load(&source, &stores, SystemTime::now())?;
    /// assert_eq!(certificate.leaf().subject().common_name(), Some("pem-p256.stannel.test"));
    /// # Ok::<(), stannel::CertificateError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// If there is none, it cannot be used, or it is not for servers.
    pub fn load(
        source: &CertificateSource,
        stores: &CertificateStores,
        now: SystemTime,
    ) -> Result<Self, CertificateError> {
        let certificate = match source {
            CertificateSource::File {
                path,
                key_path,
                password,
            } => from_file(path, key_path.as_deref(), password.as_deref(), stores)?,
            CertificateSource::Store {
                subject,
                store,
                location,
                allow_invalid,
            } => stores.find(subject, *location, store, *allow_invalid, now)?,
            CertificateSource::DevelopmentFile { path, password } => development_file(path, password, now)?,
            CertificateSource::Loaded(certificate) => certificate.clone(),
            CertificateSource::DevelopmentStore => {
                let certificate = stores.development_certificate(now)?;
                #[cfg(feature = "dev-cert")]
                warn_of_distrust(&certificate, stores, now);
                certificate
            }
        };
        certificate.ensure_for_servers()?;
        let leaf = certificate.leaf();
        if leaf.alternative_names().is_none() {
            info!(target: "stannel", "9 the certificate {} ({}) has no subject alternative name; browsers may refuse it",
                leaf.subject(), leaf.thumbprint());
        }
        Ok(certificate)
    }
}

/// It is used all the same; but who opens the page will be warned, and should know why.
#[cfg(feature = "dev-cert")]
fn warn_of_distrust(certificate: &Certificate, stores: &CertificateStores, now: SystemTime) {
    use super::development::TrustLevel;
    let leaf = certificate.leaf();
    let name = format!("the development certificate {} ({})", leaf.subject(), leaf.thumbprint());
    let trust = stores.development_trust(leaf, now);
    match trust.level {
        TrustLevel::Full => (),
        TrustLevel::Partial => warn!(target: "stannel", "9 {name} is trusted by some clients and not by others: {}; \
            stannel dev-certs https --trust tells what is missing", trust.lacking.join(", ")),
        TrustLevel::None => warn!(target: "stannel", "8 {name} is not trusted, and browsers will say so; trust it: \
            stannel dev-certs https --trust"),
    }
}

fn from_file(
    path: &Path,
    key_path: Option<&Path>,
    password: Option<&str>,
    stores: &CertificateStores,
) -> Result<Certificate, CertificateError> {
    let error = match Certificate::from_file(path, key_path, password) {
        Err(error @ CertificateError::NoPrivateKey { .. }) => error,
        other => return other,
    };
    let CertificateError::NoPrivateKey { thumbprint, .. } = &error else {
        return Err(error);
    };
    match stores.with_key(thumbprint) {
        Some(certificate) => {
            debug!(target: "stannel", "the private key for {} is in the store CurrentUser/My", path.display());
            Ok(certificate)
        }
        None => Err(error),
    }
}

/// A file counts if it is for `CN=localhost` and a development certificate. Its dates do not count: in a container nobody
/// could renew it.
fn development_file(path: &Path, password: &str, now: SystemTime) -> Result<Certificate, CertificateError> {
    let certificate = Certificate::from_pfx_file(path, Some(password))?;
    let leaf = certificate.leaf();
    let name = file::name(path);
    if leaf.subject().to_string() != "CN=localhost" || leaf.development_version().is_none() {
        return Err(CertificateError::NoDevelopmentCertificate {
            dropped: vec![Dropped {
                certificate: leaf.subject().to_string(),
                reason: Unfit::Unusable {
                    reason: "it was not made for development, or not for CN=localhost".to_owned(),
                },
            }],
            place: name,
        });
    }
    if now > leaf.not_after() {
        warn!(target: "stannel", "the development certificate in {name} expired on {}; export a new one: stannel \
            dev-certs https -ep {name} -p PASSWORD", date(leaf.not_after()));
    } else if now < leaf.not_before() {
        warn!(target: "stannel", "the development certificate in {name} is valid from {} on; check the clock",
            date(leaf.not_before()));
    }
    debug!(target: "stannel", "the development certificate is {} ({}) from {name}", leaf.subject(), leaf.thumbprint());
    Ok(certificate)
}
