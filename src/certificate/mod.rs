//! Certificates: reading them, choosing them from a store, and what is wrong with them.
//!
//! A [`Certificate`] is what a server shows and signs with. It comes from files ([`Certificate::from_file`] tells PEM,
//! DER and PFX apart by what they hold) or from the stores that .NET keeps ([`CertificateStores`]);
//! [`Certificate::load`] takes whatever a [`CertificateSource`](crate::CertificateSource) names. Nothing here reads a
//! clock: who asks says what time it is.
//!
//! ```no_run
//! use stannel::Certificate;
//!
//! # fn main() -> Result<(), stannel::CertificateError> {
//! let certificate = Certificate::from_pem_files("site.pem", "site.key", None)?;
//! println!("{} until {:?}", certificate.leaf().subject(), certificate.leaf().not_after());
//! # Ok(())
//! # }
//! ```

#[cfg(feature = "pfx")]
mod ber;
mod chain;
mod choice;
#[cfg(feature = "dev-cert")]
pub mod development;
mod encryption;
mod error;
mod file;
mod key;
mod load;
mod machine;
mod pem;
#[cfg(feature = "pfx")]
mod pfx;
pub(crate) mod provider;
mod store;
mod subject;
mod x509;

pub use choice::{Candidate, Dropped, Unfit, choose_by_subject, choose_development};
pub use error::CertificateError;
pub use store::{CertificateStore, CertificateStores, StoredCertificate};
pub use subject::Subject;
pub use x509::X509Certificate;

pub(crate) use file::content;
pub(crate) use x509::date;

use file::Form;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// A certificate with its chain and its private key, which belong together. Cheap to clone.
///
/// ```
/// use stannel::Certificate;
///
/// let folder = "tests/fixtures/dotnet/pem";
/// let certificate = Certificate::from_pem_files(format!("{folder}/chain.pem"), format!("{folder}/chain.key"), None)?;
/// assert_eq!(certificate.leaf().subject().common_name(), Some("chain.stannel.test"));
/// assert_eq!(certificate.chain().len(), 1); // the intermediate; the root is never sent
/// # Ok::<(), stannel::CertificateError>(())
/// ```
#[derive(Clone)]
pub struct Certificate(Arc<Inner>);

struct Inner {
    leaf: X509Certificate,
    chain: Vec<X509Certificate>,
    key: Arc<CertifiedKey>,
}

impl Certificate {
    /// Reads a certificate, and what else is needed of its chain, from a PEM or DER file and its key from a PEM file.
    /// Both may be the same file.
    ///
    /// In the file the server's own certificate comes first; the order of the others does not matter. The key is PKCS#8,
    /// PKCS#1 or SEC1; PKCS#8 may be encrypted. A password that is not needed gives a warning, an empty one does not.
    ///
    /// # Errors
    ///
    /// If a file cannot be read, key and certificate do not belong together, or the password is wrong.
    pub fn from_pem_files(
        certificate: impl AsRef<Path>,
        key: impl AsRef<Path>,
        password: Option<&str>,
    ) -> Result<Self, CertificateError> {
        Self::from_file(certificate, Some(key.as_ref()), password)
    }

    /// The same from what the files hold.
    ///
    /// ```
    /// use stannel::{Certificate, CertificateError};
    ///
    /// let error = Certificate::from_pem(b"garbage", b"garbage", None).unwrap_err();
    /// assert!(matches!(error, CertificateError::Malformed { .. }));
    /// ```
    ///
    /// # Errors
    ///
    /// If they make no sense, do not belong together, or the password is wrong.
    pub fn from_pem(certificate: &[u8], key: &[u8], password: Option<&str>) -> Result<Self, CertificateError> {
        let certificates = certificates(certificate, "the given certificate")?;
        let name = "the given key";
        Self::assemble(certificates, key::from_pem(key, name, password)?, name)
    }

    /// Reads a PFX (PKCS#12) file. Without a password, one of no bytes (as .NET's stores have it) and an empty one are
    /// tried.
    ///
    /// Of several certificates with private keys the one counts that is no certificate authority's. The file's other
    /// certificates make the chain.
    ///
    /// # Errors
    ///
    /// If the file cannot be read, the password is wrong, or there is not exactly one certificate to choose.
    pub fn from_pfx_file(path: impl AsRef<Path>, password: Option<&str>) -> Result<Self, CertificateError> {
        let path = path.as_ref();
        open_pfx(&file::read(path)?, &file::name(path), password)?.certificate
    }

    /// The same from what the file holds.
    ///
    /// # Errors
    ///
    /// As [`Certificate::from_pfx_file`].
    pub fn from_pfx(bytes: &[u8], password: Option<&str>) -> Result<Self, CertificateError> {
        open_pfx(bytes, "the given PFX", password)?.certificate
    }

    /// Reads a file that may be PFX, PEM or DER, which its content decides and not its name. PEM and DER need the file
    /// of the key as well.
    ///
    /// # Errors
    ///
    /// If a file cannot be read, there is no key, it does not belong to the certificate, or the password is wrong.
    pub fn from_file(
        path: impl AsRef<Path>,
        key_path: Option<&Path>,
        password: Option<&str>,
    ) -> Result<Self, CertificateError> {
        let path = path.as_ref();
        let name = file::name(path);
        let bytes = file::read(path)?;
        let form = Form::of(&bytes);
        if form == Form::Pfx {
            return match key_path {
                None => open_pfx(&bytes, &name, password)?.certificate,
                Some(key) => Err(CertificateError::InvalidKey {
                    file: file::name(key),
                    reason: format!("{name} is a PFX, which has its key inside; give no file for the key"),
                }),
            };
        }
        let certificates = certificates(&bytes, &name)?;
        let Some(key_path) = key_path else {
            return Err(no_key(&certificates[0], &name, &bytes));
        };
        let key_name = file::name(key_path);
        let key = key::from_pem(&file::read(key_path)?, &key_name, password)?;
        Self::assemble(certificates, key, &key_name)
    }

    /// Takes a chain and key that rustls has already, for instance with a key that never leaves a security module. This
    /// and [`Certificate::certified_key`] are the only places where rustls shows.
    ///
    /// # Errors
    ///
    /// If there is no certificate, or it does not belong to the key.
    pub fn from_certified_key(key: Arc<CertifiedKey>) -> Result<Self, CertificateError> {
        let file = "the given certificate";
        let malformed = |reason| CertificateError::Malformed {
            file: file.to_owned(),
            reason,
        };
        let parsed: Result<Vec<_>, _> = key.cert.iter().map(|der| X509Certificate::from_der(der)).collect();
        let mut chain = parsed.map_err(malformed)?.into_iter();
        let leaf = chain.next().ok_or_else(|| malformed("there is none".to_owned()))?;
        let public = key.key.public_key().and_then(|key| x509::PublicKey::from_der(&key));
        if public.is_some_and(|public| !public.is_same(leaf.public_key())) {
            return Err(CertificateError::InvalidKey {
                file: "the given key".to_owned(),
                reason: format!("it does not belong to the certificate {}", leaf.subject()),
            });
        }
        Ok(Self(Arc::new(Inner {
            leaf,
            chain: chain.collect(),
            key,
        })))
    }

    /// What rustls signs with and sends.
    #[must_use]
    pub fn certified_key(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.0.key)
    }

    /// The server's own certificate.
    #[must_use]
    pub fn leaf(&self) -> &X509Certificate {
        &self.0.leaf
    }

    /// What is sent behind the server's own certificate: its issuers in their order, without the root.
    #[must_use]
    pub fn chain(&self) -> &[X509Certificate] {
        &self.0.chain
    }

    /// Makes sure that a server may use the certificate: without an Extended Key Usage or with server authentication in
    /// it.
    ///
    /// # Errors
    ///
    /// [`CertificateError::NotForServers`].
    pub fn ensure_for_servers(&self) -> Result<(), CertificateError> {
        let leaf = self.leaf();
        if leaf.is_for_servers() {
            return Ok(());
        }
        Err(CertificateError::NotForServers {
            subject: leaf.subject().to_string(),
            thumbprint: leaf.thumbprint().to_owned(),
            usages: leaf.extended_key_usage().unwrap_or_default().to_vec(),
        })
    }

    /// The first certificate with a key, checked against each other, and the others as its chain.
    fn assemble(
        certificates: Vec<X509Certificate>,
        key: PrivateKeyDer<'static>,
        key_file: &str,
    ) -> Result<Self, CertificateError> {
        let leaf = &certificates[0];
        let fits = |certificate| key::for_certificate(&key, certificate, key_file);
        match fits(leaf) {
            Ok(key) => Ok(Self::new(leaf.clone(), &certificates[1..], key)),
            Err(error) => match certificates.iter().position(|other| fits(other).is_ok()) {
                None => Err(error),
                Some(place) => Err(CertificateError::InvalidKey {
                    file: key_file.to_owned(),
                    reason: format!(
                        "it does not belong to the first certificate, {}, but to number {}, {}; the server's own certificate has \
                         to stand first: move it to the top of its file",
                        leaf.subject(),
                        place + 1,
                        certificates[place].subject()
                    ),
                }),
            },
        }
    }

    /// The same with the issuers that its chain lacks.
    pub(crate) fn with_issuers(&self, issuers: &[X509Certificate]) -> Self {
        let known: Vec<_> = self.chain().iter().chain(issuers).cloned().collect();
        Self::new(self.leaf().clone(), &known, Arc::clone(&self.0.key.key))
    }

    /// `key` is that of `leaf`.
    fn new(leaf: X509Certificate, others: &[X509Certificate], key: Arc<dyn rustls::sign::SigningKey>) -> Self {
        let chain = chain::issuers(&leaf, others);
        let sent = std::iter::once(&leaf).chain(&chain);
        let sent = sent.map(|certificate| CertificateDer::from(certificate.der().to_vec()));
        let key = Arc::new(CertifiedKey::new(sent.collect(), key));
        Self(Arc::new(Inner { leaf, chain, key }))
    }
}

/// Two are the same if one is a clone of the other.
impl PartialEq for Certificate {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Certificate {}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate")
            .field("leaf", self.leaf())
            .field("chain", &self.chain())
            .finish_non_exhaustive()
    }
}

impl X509Certificate {
    /// Reads all certificates of a PEM file, such as a list of roots, or the one of a DER file.
    ///
    /// ```
    /// use stannel::certificate::X509Certificate;
    ///
    /// let chain = X509Certificate::read_all("tests/fixtures/dotnet/pem/chain.pem")?;
    /// assert_eq!(chain.len(), 3);
    /// assert!(chain[2].is_self_issued() && chain[2].is_authority());
    /// # Ok::<(), stannel::CertificateError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// If the file cannot be read, has no certificate, or one of them is damaged.
    pub fn read_all(path: impl AsRef<Path>) -> Result<Vec<Self>, CertificateError> {
        let path = path.as_ref();
        certificates(&file::read(path)?, &file::name(path))
    }
}

/// The certificates of a PEM or DER text; at least one.
fn certificates(bytes: &[u8], file: &str) -> Result<Vec<X509Certificate>, CertificateError> {
    let malformed = |reason: String| CertificateError::Malformed {
        file: file.to_owned(),
        reason,
    };
    match Form::of(bytes) {
        Form::Pem => (),
        Form::Der => {
            let certificate = X509Certificate::from_der(bytes)
                .map_err(|reason| malformed(format!("{reason}; try openssl x509 -inform DER -in {file} -noout")));
            return Ok(vec![certificate?]);
        }
        Form::Pkcs7 => return Err(pkcs7(file, "DER")),
        Form::DerKey => return Err(malformed(KEY_ALONE.to_owned())),
        Form::Unknown if bytes.is_empty() => return Err(malformed("it is empty".to_owned())),
        Form::JavaKeystore => {
            return Err(CertificateError::Unsupported {
                file: file.to_owned(),
                algorithm: "a Java keystore in the form before PKCS#12".to_owned(),
                remedy: format!(
                    "convert it: keytool -importkeystore -srckeystore {file} -destkeystore new.pfx -deststoretype PKCS12"
                ),
            });
        }
        Form::Unknown => return Err(malformed("it is neither PEM nor DER nor PFX".to_owned())),
        Form::Pfx => {
            return Err(malformed("it is a PFX, which has its key inside".to_owned()));
        }
    }
    let mut certificates = Vec::new();
    for section in pem::sections(bytes).filter(|section| section.label == "CERTIFICATE") {
        let der = section.certificate();
        let certificate = der.and_then(|der| X509Certificate::from_der(&der)).map_err(|reason| {
            let number = certificates.len() + 1;
            malformed(format!(
                "its section CERTIFICATE number {number}: {reason}; try openssl x509 -in {file} -noout"
            ))
        });
        certificates.push(certificate?);
    }
    if certificates.is_empty() {
        if pem::sections(bytes).any(|section| section.label == "PKCS7") {
            return Err(pkcs7(file, "PEM"));
        }
        return Err(malformed(no_certificate(bytes, file)));
    }
    Ok(certificates)
}

const KEY_ALONE: &str = "it holds a private key and no certificate; name the file of the certificate";

/// What a PEM text has instead of certificates, and what to do.
fn no_certificate(bytes: &[u8], file: &str) -> String {
    let labels: Vec<&str> = pem::sections(bytes).map(|section| section.label).collect();
    // With OpenSSL's notes on trust, and with the label of its first versions.
    if labels
        .iter()
        .any(|label| ["TRUSTED CERTIFICATE", "X509 CERTIFICATE"].contains(label))
    {
        format!(
            "it has no section CERTIFICATE, but one of OpenSSL's own; write it anew: openssl x509 -in {file} -out new.pem"
        )
    } else if labels.iter().any(|label| label.ends_with("CERTIFICATE REQUEST")) {
        "it holds a request for a certificate; name the file of what the authority made of it".to_owned()
    } else if key::is_in(bytes) {
        KEY_ALONE.to_owned()
    } else {
        "it has no section CERTIFICATE".to_owned()
    }
}

fn pkcs7(file: &str, form: &str) -> CertificateError {
    CertificateError::Unsupported {
        file: file.to_owned(),
        algorithm: "a PKCS#7 bundle".to_owned(),
        remedy: format!("take the certificates out: openssl pkcs7 -inform {form} -in {file} -print_certs -out new.pem"),
    }
}

fn no_key(leaf: &X509Certificate, file: &str, bytes: &[u8]) -> CertificateError {
    let remedy = if key::is_in(bytes) {
        format!("the key stands in the same file: give {file} as the file of the key, too (KeyPath)")
    } else {
        "give the file of the key, too (KeyPath), or put both into a PFX: openssl pkcs12 -export -in CERTIFICATE.pem \
         -inkey KEY.pem -out BOTH.pfx"
            .to_owned()
    };
    CertificateError::NoPrivateKey {
        file: file.to_owned(),
        subject: leaf.subject().to_string(),
        thumbprint: leaf.thumbprint().to_owned(),
        remedy,
    }
}

/// What a PFX holds: its first certificate, and the one that has a key.
struct OpenedPfx {
    first: Option<X509Certificate>,
    certificate: Result<Certificate, CertificateError>,
}

#[cfg(feature = "pfx")]
fn open_pfx(bytes: &[u8], name: &str, password: Option<&str>) -> Result<OpenedPfx, CertificateError> {
    let archive = pfx::Archive::read(bytes, name, password)?;
    Ok(OpenedPfx {
        first: archive.certificates.first().cloned(),
        certificate: archive.into_certificate(),
    })
}

#[cfg(not(feature = "pfx"))]
fn open_pfx(_: &[u8], name: &str, _: Option<&str>) -> Result<OpenedPfx, CertificateError> {
    Err(CertificateError::Unsupported {
        file: name.to_owned(),
        algorithm: "PFX files, because the feature pfx is off".to_owned(),
        remedy: format!("convert it: openssl pkcs12 -in {name} -nodes -out new.pem"),
    })
}
