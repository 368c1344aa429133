//! What an endpoint wants of TLS, as far as a user says it: nothing here opens a file or knows a TLS library.

use super::limits::LimitsError;
use super::protocols::{ClientCertificateMode, HttpProtocols, SslProtocols};
#[cfg(feature = "tls")]
use crate::certificate::{Certificate, X509Certificate};
#[cfg(feature = "tls")]
use crate::tls::{ClientCertificateValidation, OnAuthenticate, OnClientHello, ServerCertificateSelector};
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The HTTPS options of an endpoint; Kestrel's `HttpsConnectionAdapterOptions`.
///
/// ```
/// use stannel::{CertificateSource, ServerOptions, SslProtocols};
///
/// let mut options = ServerOptions::default();
/// options.configure_https_defaults(|https| https.ssl_protocols = SslProtocols::TLS13);
/// options.listen_any_ip(443).use_https_with(|https| {
///     https.server_certificate = Some(CertificateSource::pem("site.pem", "site.key"));
/// });
/// let https = options.endpoints()[0].https().unwrap();
/// assert_eq!(https.ssl_protocols, SslProtocols::TLS13);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HttpsOptions {
    /// Where the server's certificate comes from. Default `None`: the default certificate of the configuration, else the
    /// development certificate; without either the start fails.
    pub server_certificate: Option<CertificateSource>,
    /// Issuers that are sent behind `server_certificate` besides those of its own file, in the order in which they belong
    /// and without the root; what does not belong to its chain stays out. Default: none.
    #[cfg(feature = "tls")]
    pub server_certificate_chain: Vec<X509Certificate>,
    /// Chooses the certificate for each handshake; wins over `server_certificate`, and loses against that of an entry of
    /// `sni`. Default `None`.
    #[cfg(feature = "tls")]
    pub server_certificate_selector: Option<ServerCertificateSelector>,
    /// The TLS versions. Default [`SslProtocols::NONE`]: TLS 1.2 and 1.3.
    pub ssl_protocols: SslProtocols,
    /// Whether clients are asked for a certificate. Default: no.
    pub client_certificate_mode: ClientCertificateMode,
    /// Whose certificates clients may show. Default `None`: nobody's, so that each one is refused; the machine's roots
    /// are never trusted unasked.
    pub client_certificate_roots: Option<ClientCertificateRoots>,
    /// Judges client certificates in place of the built-in verdict. Default `None`: the roots decide.
    #[cfg(feature = "tls")]
    pub client_certificate_validation: Option<ClientCertificateValidation>,
    /// How long a handshake may take in all, however the bytes come; `None`: for ever. Default 10 s.
    pub handshake_timeout: Option<Duration>,
    /// Changes rustls' configuration for each connection, after everything else is set. Default `None`.
    #[cfg(feature = "tls")]
    pub on_authenticate: Option<OnAuthenticate>,
    /// What differs for single host names (SNI). Default: nothing. Once there is an entry, names without one are refused.
    pub sni: Vec<SniOptions>,
    /// In place of all the rest but the time.
    #[cfg(feature = "tls")]
    on_client_hello: Option<OnClientHello>,
}

/// What differs for the host names that a pattern stands for; `None` is what the endpoint has.
///
/// ```
/// use stannel::{CertificateSource, SniOptions};
///
/// let mut sni = SniOptions::new("*.example.org");
/// sni.certificate = Some(CertificateSource::pem("wildcard.pem", "wildcard.key"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SniOptions {
    /// A host name, `*.` and a name for everything below it, or `*` for all others and for clients that name none.
    pub pattern: String,
    /// The HTTP versions.
    pub protocols: Option<HttpProtocols>,
    /// The TLS versions.
    pub ssl_protocols: Option<SslProtocols>,
    /// Whether clients are asked for a certificate.
    pub client_certificate_mode: Option<ClientCertificateMode>,
    /// Whose certificates clients may show.
    pub client_certificate_roots: Option<ClientCertificateRoots>,
    /// Where the certificate comes from.
    pub certificate: Option<CertificateSource>,
}

impl SniOptions {
    /// An entry in which everything is as the endpoint has it.
    #[must_use]
    pub fn new(pattern: impl Into<String>) -> Self {
        Self {
            pattern: pattern.into(),
            protocols: None,
            ssl_protocols: None,
            client_certificate_mode: None,
            client_certificate_roots: None,
            certificate: None,
        }
    }
}

impl HttpsOptions {
    /// Whether somebody would be shown a certificate that is not named here: an endpoint with SNI entries shows its own
    /// for those that have none.
    pub(crate) fn lacks_certificate(&self) -> bool {
        let is_shown = self.sni.is_empty() || self.sni.iter().any(|sni| sni.certificate.is_none());
        self.server_certificate.is_none() && is_shown && !self.chooses_certificates()
    }
}

impl Default for HttpsOptions {
    fn default() -> Self {
        Self {
            server_certificate: None,
            #[cfg(feature = "tls")]
            server_certificate_chain: Vec::new(),
            #[cfg(feature = "tls")]
            server_certificate_selector: None,
            ssl_protocols: SslProtocols::NONE,
            client_certificate_mode: ClientCertificateMode::NoCertificate,
            client_certificate_roots: None,
            #[cfg(feature = "tls")]
            client_certificate_validation: None,
            handshake_timeout: Some(Duration::from_secs(10)),
            #[cfg(feature = "tls")]
            on_authenticate: None,
            sni: Vec::new(),
            #[cfg(feature = "tls")]
            on_client_hello: None,
        }
    }
}

#[cfg(feature = "tls")]
impl HttpsOptions {
    /// Accepts whatever certificate a client shows; Kestrel's `AllowAnyClientCertificate`. The handler sees it in
    /// [`TlsInfo`](crate::tls::TlsInfo). A client that shows none is refused if
    /// [`RequireCertificate`](ClientCertificateMode::RequireCertificate) says so.
    ///
    /// ```
    /// use stannel::{ClientCertificateMode, HttpsOptions};
    ///
    /// let mut https = HttpsOptions::default();
    /// https.client_certificate_mode = ClientCertificateMode::RequireCertificate;
    /// https.allow_any_client_certificate();
    /// assert!(https.client_certificate_validation.is_some());
    /// ```
    pub fn allow_any_client_certificate(&mut self) {
        self.client_certificate_validation = Some(ClientCertificateValidation::new(|_, _| true));
    }

    /// Options in which the program answers each ClientHello.
    pub(super) fn answered_by(on_client_hello: OnClientHello, handshake_timeout: Option<Duration>) -> Self {
        Self {
            on_client_hello: Some(on_client_hello),
            handshake_timeout,
            ..Self::default()
        }
    }

    pub(crate) fn on_client_hello(&self) -> Option<&OnClientHello> {
        self.on_client_hello.as_ref()
    }
}

impl HttpsOptions {
    /// Checks that the options can work.
    ///
    /// ```
    /// use stannel::{HttpsOptions, LimitsError};
    /// use std::time::Duration;
    ///
    /// let mut https = HttpsOptions::default();
    /// https.handshake_timeout = Some(Duration::ZERO);
    /// assert_eq!(https.validate(), Err(LimitsError::Zero("handshake_timeout")));
    /// ```
    ///
    /// # Errors
    /// [`LimitsError::Zero`]: a handshake must have some time.
    pub fn validate(&self) -> Result<(), LimitsError> {
        match self.handshake_timeout {
            Some(Duration::ZERO) => Err(LimitsError::Zero("handshake_timeout")),
            _ => Ok(()),
        }
    }

    /// Whether a certificate is chosen in each handshake, so that none is needed before.
    pub(crate) fn chooses_certificates(&self) -> bool {
        #[cfg(feature = "tls")]
        let chooses = self.server_certificate_selector.is_some() || self.on_client_hello.is_some();
        #[cfg(not(feature = "tls"))]
        let chooses = false;
        chooses
    }
}

/// Whose client certificates are accepted.
///
/// ```
/// use stannel::{ClientCertificateRoots, HttpsOptions};
///
/// let mut https = HttpsOptions::default();
/// https.client_certificate_roots = Some(ClientCertificateRoots::File("clients-ca.pem".into()));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClientCertificateRoots {
    /// Those signed, directly or not, by a certificate of this PEM file.
    File(PathBuf),
    /// Those signed by one of the machine's roots.
    System,
}

/// As a message names it.
impl fmt::Display for ClientCertificateRoots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "file {}", path.display()),
            Self::System => f.write_str("the machine"),
        }
    }
}

/// Where a certificate comes from.
///
/// ```
/// use stannel::CertificateSource;
///
/// assert_eq!(CertificateSource::pem("site.pem", "site.key").to_string(), "file site.pem with key site.key");
/// assert_eq!(CertificateSource::pfx("site.pfx", "secret").to_string(), "file site.pfx");
/// ```
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum CertificateSource {
    /// A file: PFX, or a PEM or DER certificate whose key is in another file.
    File {
        /// The file.
        path: PathBuf,
        /// The file of the private key.
        key_path: Option<PathBuf>,
        /// The password of the PFX or of the key.
        password: Option<String>,
    },
    /// A certificate store.
    Store {
        /// What is looked for in the subject.
        subject: String,
        /// The store's name; Kestrel's default is `My`.
        store: String,
        /// Whose store it is.
        location: StoreLocation,
        /// Whether certificates count that are expired or not trusted.
        allow_invalid: bool,
    },
    /// The file of the development certificate that `Certificates:Development` gives the password for.
    DevelopmentFile {
        /// The file.
        path: PathBuf,
        /// Its password, which may be empty.
        password: String,
    },
    /// The development certificate of the user's store.
    DevelopmentStore,
    /// A certificate that is there already; two are the same if one is a clone of the other.
    #[cfg(feature = "tls")]
    Loaded(Certificate),
}

impl CertificateSource {
    /// A PEM or DER certificate and the file of its key, which is not encrypted.
    #[must_use]
    pub fn pem(path: impl Into<PathBuf>, key_path: impl Into<PathBuf>) -> Self {
        Self::File {
            path: path.into(),
            key_path: Some(key_path.into()),
            password: None,
        }
    }

    /// The files that it is read from; none for a store.
    #[must_use]
    pub fn files(&self) -> Vec<&Path> {
        match self {
            Self::File { path, key_path, .. } => std::iter::once(path).chain(key_path).map(PathBuf::as_path).collect(),
            Self::DevelopmentFile { path, .. } => vec![path],
            Self::Store { .. } | Self::DevelopmentStore => Vec::new(),
            #[cfg(feature = "tls")]
            Self::Loaded(_) => Vec::new(),
        }
    }

    /// A PFX file with its password.
    #[must_use]
    pub fn pfx(path: impl Into<PathBuf>, password: impl Into<String>) -> Self {
        Self::File {
            path: path.into(),
            key_path: None,
            password: Some(password.into()),
        }
    }
}

/// As a message names it; never with a password.
impl fmt::Display for CertificateSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, key_path, .. } => {
                write!(f, "file {}", path.display())?;
                match key_path {
                    Some(key) => write!(f, " with key {}", key.display()),
                    None => Ok(()),
                }
            }
            Self::Store {
                subject,
                store,
                location,
                ..
            } => write!(f, "\"{subject}\" in the store {location}/{store}"),
            Self::DevelopmentFile { path, .. } => write!(f, "development certificate in {}", path.display()),
            Self::DevelopmentStore => f.write_str("development certificate in the store CurrentUser/My"),
            #[cfg(feature = "tls")]
            Self::Loaded(certificate) => {
                let leaf = certificate.leaf();
                write!(f, "certificate {} ({}) from code", leaf.subject(), leaf.thumbprint())
            }
        }
    }
}

impl fmt::Debug for CertificateSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CertificateSource({self})")
    }
}

/// Whose certificate store; .NET's `StoreLocation`.
///
/// ```
/// use stannel::StoreLocation;
///
/// assert_eq!(StoreLocation::from_text("currentuser"), Some(StoreLocation::CurrentUser));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StoreLocation {
    /// The user's.
    #[default]
    CurrentUser,
    /// The machine's.
    LocalMachine,
}

impl StoreLocation {
    /// Reads .NET's text of it: a name in any case, or its number.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        match text.trim() {
            "1" => Some(Self::CurrentUser),
            "2" => Some(Self::LocalMachine),
            name if name.eq_ignore_ascii_case("CurrentUser") => Some(Self::CurrentUser),
            name if name.eq_ignore_ascii_case("LocalMachine") => Some(Self::LocalMachine),
            _ => None,
        }
    }
}

impl fmt::Display for StoreLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::CurrentUser => "CurrentUser",
            Self::LocalMachine => "LocalMachine",
        })
    }
}
