//! What a program may decide itself in a handshake.

use super::client_certificates::ClientCertificateError;
use crate::certificate::{Certificate, X509Certificate};
use crate::endpoint::HttpsOptions;
use crate::handler::ConnectionInfo;
use rustls::ServerConfig;
use rustls::server::ClientHello;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Two are equal if one is a clone of the other.
macro_rules! closure {
    ($name:ident) => {
        impl PartialEq for $name {
            fn eq(&self, other: &Self) -> bool {
                Arc::ptr_eq(&self.0, &other.0)
            }
        }

        impl Eq for $name {}

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($name)).finish_non_exhaustive()
            }
        }
    };
}

/// Chooses the certificate for each handshake; Kestrel's `ServerCertificateSelector`. Two are equal if one is a clone of
/// the other.
///
/// It gets the connection and the host name that the client sent, in small letters and as DNS has it (`xn--…`), or `None`.
/// It runs on the thread of the loop, so it must not wait for anything. A certificate that is not for servers, `None` and
/// a panic cost that handshake and nothing else.
///
/// ```
/// use stannel::tls::ServerCertificateSelector;
/// use stannel::{Certificate, HttpsOptions};
///
/// let folder = "tests/fixtures/dotnet/pem";
/// let site = Certificate::from_pem_files(format!("{folder}/p256.crt"), format!("{folder}/p256.pkcs8.key"), None)?;
/// let mut https = HttpsOptions::default();
/// https.server_certificate_selector = Some(ServerCertificateSelector::new(move |_, name| {
///     (name == Some("localhost")).then(|| site.clone())
/// }));
/// # Ok::<(), stannel::CertificateError>(())
/// ```
#[derive(Clone)]
pub struct ServerCertificateSelector(Arc<Selector>);

type Selector = dyn Fn(&ConnectionInfo, Option<&str>) -> Option<Certificate> + Send + Sync;

closure!(ServerCertificateSelector);

impl ServerCertificateSelector {
    /// Chooses with `select`.
    pub fn new(select: impl Fn(&ConnectionInfo, Option<&str>) -> Option<Certificate> + Send + Sync + 'static) -> Self {
        Self(Arc::new(select))
    }

    pub(crate) fn call(&self, connection: &ConnectionInfo, server_name: Option<&str>) -> Option<Certificate> {
        (self.0)(connection, server_name)
    }
}

/// Judges client certificates in place of the built-in verdict; Kestrel's `ClientCertificateValidation`. Two are equal if
/// one is a clone of the other.
///
/// It gets the certificates that the client sent, its own first, and what the built-in check found: `Ok` if they lead to
/// one of the roots. Whether the client has the private key is checked in any case. It is not called for a client without
/// certificate, nor for one that comes back with a session that was accepted. It runs on the thread of the loop; a panic
/// refuses the client.
///
/// ```
/// use stannel::tls::{ClientCertificateError, ClientCertificateValidation};
/// use stannel::HttpsOptions;
///
/// let mut https = HttpsOptions::default();
/// https.client_certificate_validation = Some(ClientCertificateValidation::new(|chain, verdict| match verdict {
///     Ok(()) => chain[0].subject().common_name() == Some("monitoring"),
///     Err(ClientCertificateError::Expired) => true, // for the time being
///     Err(_) => false,
/// }));
/// ```
#[derive(Clone)]
pub struct ClientCertificateValidation(Arc<Validation>);

type Validation = dyn Fn(&[X509Certificate], Result<(), ClientCertificateError>) -> bool + Send + Sync;

closure!(ClientCertificateValidation);

impl ClientCertificateValidation {
    /// Accepts what `validate` says `true` to.
    pub fn new(
        validate: impl Fn(&[X509Certificate], Result<(), ClientCertificateError>) -> bool + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(validate))
    }

    pub(crate) fn call(&self, chain: &[X509Certificate], verdict: Result<(), ClientCertificateError>) -> bool {
        (self.0)(chain, verdict)
    }
}

/// Changes rustls' configuration for each connection, after everything else is set; Kestrel's `OnAuthenticate`. Two are
/// equal if one is a clone of the other.
///
/// Each connection gets a copy, which costs a few allocations. It runs on the thread of the loop; a panic costs that
/// handshake.
///
/// ```
/// use stannel::HttpsOptions;
/// use stannel::tls::OnAuthenticate;
///
/// let mut https = HttpsOptions::default();
/// https.on_authenticate = Some(OnAuthenticate::new(|_, config| config.max_fragment_size = Some(4096)));
/// ```
#[derive(Clone)]
pub struct OnAuthenticate(Arc<Authenticate>);

type Authenticate = dyn Fn(&ConnectionInfo, &mut ServerConfig) + Send + Sync;

closure!(OnAuthenticate);

impl OnAuthenticate {
    /// Changes it with `change`.
    pub fn new(change: impl Fn(&ConnectionInfo, &mut ServerConfig) + Send + Sync + 'static) -> Self {
        Self(Arc::new(change))
    }

    pub(crate) fn call(&self, connection: &ConnectionInfo, config: &mut ServerConfig) {
        (self.0)(connection, config);
    }
}

/// Answers each ClientHello with a configuration of rustls' own; Kestrel's `TlsHandshakeCallbackOptions`, for
/// [`ListenOptions::use_https`](crate::ListenOptions::use_https).
///
/// Neither HTTPS defaults nor the default certificate count for such an endpoint. `http/1.1` and `http/1.0` are offered if
/// the configuration leaves ALPN empty, which costs a copy for each connection.
///
/// ```
/// use stannel::ServerOptions;
/// use stannel::tls::TlsHandshakeOptions;
///
/// let mut options = ServerOptions::default();
/// options.listen_any_ip(443).use_https(TlsHandshakeOptions::new(|_, hello| match hello.server_name() {
///     Some(_) => Err("no configuration for this host".into()),
///     None => Err("no host".into()),
/// }));
/// assert!(options.plan().is_ok());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TlsHandshakeOptions {
    /// How long a handshake may take in all; `None`: for ever. Default 10 s.
    pub handshake_timeout: Option<Duration>,
    pub(crate) on_client_hello: OnClientHello,
}

impl TlsHandshakeOptions {
    /// Answers with `answer`, which runs on the thread of the loop; an error or a panic costs that handshake.
    pub fn new(
        answer: impl Fn(&ConnectionInfo, &ClientHello<'_>) -> Result<Arc<ServerConfig>, HandshakeError>
        + Send
        + Sync
        + 'static,
    ) -> Self {
        Self {
            handshake_timeout: HttpsOptions::default().handshake_timeout,
            on_client_hello: OnClientHello(Arc::new(answer)),
        }
    }
}

/// The same configuration for every client.
impl From<Arc<ServerConfig>> for TlsHandshakeOptions {
    fn from(config: Arc<ServerConfig>) -> Self {
        Self::new(move |_, _| Ok(Arc::clone(&config)))
    }
}

/// Why a callback refuses a client; the text goes to the log, at debug level.
pub type HandshakeError = Box<dyn std::error::Error + Send + Sync>;

#[derive(Clone)]
pub(crate) struct OnClientHello(Arc<Hello>);

type Hello = dyn Fn(&ConnectionInfo, &ClientHello<'_>) -> Result<Arc<ServerConfig>, HandshakeError> + Send + Sync;

closure!(OnClientHello);

impl OnClientHello {
    pub(crate) fn call(
        &self,
        connection: &ConnectionInfo,
        hello: &ClientHello<'_>,
    ) -> Result<Arc<ServerConfig>, HandshakeError> {
        (self.0)(connection, hello)
    }
}
