//! What [`ListenOptions::use_https`] takes.

use super::https::{CertificateSource, HttpsOptions};
use super::listen::ListenOptions;
#[cfg(feature = "tls")]
use crate::certificate::Certificate;
#[cfg(feature = "tls")]
use crate::tls::TlsHandshakeOptions;
use std::path::{Path, PathBuf};

/// What [`ListenOptions::use_https`] takes: something that says which certificate an endpoint has.
///
/// | argument | certificate | other options |
/// |---|---|---|
/// | `()` | the default one | the defaults |
/// | a path | in that PFX file, which has no password | the defaults |
/// | a path and a password | in that PFX file | the defaults |
/// | a [`CertificateSource`] | where it says | the defaults |
/// | a `Certificate` | that one | the defaults |
/// | [`HttpsOptions`] | where they say, never the default one | as they are: the defaults do not count |
/// | `TlsHandshakeOptions` | whatever the program tells rustls | neither |
///
/// A callback over [`HttpsOptions`] goes to [`ListenOptions::use_https_with`]: Rust does not find out what
/// a closure's argument is if it may be something else than a closure.
///
/// ```
/// use stannel::{HttpsOptions, ServerOptions, SslProtocols};
///
/// let mut https = HttpsOptions::default();
/// https.ssl_protocols = SslProtocols::TLS13;
/// let mut options = ServerOptions::default();
/// options.listen_any_ip(443).use_https(https);
/// assert!(options.plan().unwrap_err().to_string().contains("certificate"));
/// ```
pub trait UseHttps: sealed::Sealed {
    #[doc(hidden)]
    fn apply_to(self, endpoint: &mut ListenOptions);
}

mod sealed {
    pub trait Sealed {}
}

macro_rules! sealed {
    ($($type:ty),*) => { $(impl sealed::Sealed for $type {})* };
}

sealed!((), &str, String, &Path, PathBuf, CertificateSource, HttpsOptions);
#[cfg(feature = "tls")]
sealed!(Certificate, TlsHandshakeOptions);

impl UseHttps for () {
    fn apply_to(self, endpoint: &mut ListenOptions) {
        endpoint.use_https_with(|_| ());
    }
}

macro_rules! file {
    ($($type:ty),*) => { $(
        impl UseHttps for $type {
            fn apply_to(self, endpoint: &mut ListenOptions) {
                pfx(self.into(), None).apply_to(endpoint);
            }
        }
    )* };
}

file!(&str, String, &Path, PathBuf);

impl<F: Into<PathBuf>, P: Into<String>> sealed::Sealed for (F, P) {}

impl<F: Into<PathBuf>, P: Into<String>> UseHttps for (F, P) {
    fn apply_to(self, endpoint: &mut ListenOptions) {
        pfx(self.0.into(), Some(self.1.into())).apply_to(endpoint);
    }
}

fn pfx(path: PathBuf, password: Option<String>) -> CertificateSource {
    CertificateSource::File {
        path,
        key_path: None,
        password,
    }
}

impl UseHttps for CertificateSource {
    fn apply_to(self, endpoint: &mut ListenOptions) {
        endpoint.use_https_with(|https| https.server_certificate = Some(self));
    }
}

#[cfg(feature = "tls")]
impl UseHttps for Certificate {
    fn apply_to(self, endpoint: &mut ListenOptions) {
        CertificateSource::Loaded(self).apply_to(endpoint);
    }
}

impl UseHttps for HttpsOptions {
    fn apply_to(self, endpoint: &mut ListenOptions) {
        endpoint.set_https(self);
    }
}

#[cfg(feature = "tls")]
impl UseHttps for TlsHandshakeOptions {
    fn apply_to(self, endpoint: &mut ListenOptions) {
        endpoint.set_https(HttpsOptions::answered_by(self.on_client_hello, self.handshake_timeout));
    }
}
