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
/// // They name no certificate, and nobody looks for one.
/// assert!(options.plan().is_err());
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

#[cfg(all(test, feature = "tls"))]
mod tests {
    use super::*;
    use crate::endpoint::{EndpointError, ServerOptions, SslProtocols};
    use crate::tls::ServerCertificateSelector;
    use crate::{Configuration, ConfigurationError};
    use std::time::Duration;

    /// With defaults that show where they count, on a machine without certificates.
    fn options() -> ServerOptions {
        let mut options = ServerOptions::default();
        options.certificate_stores = Some(crate::certificate::CertificateStores::in_home("/absent"));
        options.configure_https_defaults(|https| https.ssl_protocols = SslProtocols::TLS13);
        options
    }

    fn site() -> CertificateSource {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/dotnet/pem");
        CertificateSource::pem(format!("{folder}/p256.crt"), format!("{folder}/p256.pkcs8.key"))
    }

    #[test]
    fn each_form_says_which_certificate() {
        let stores = crate::certificate::CertificateStores::in_home("/absent");
        let loaded = Certificate::load(&site(), &stores, std::time::SystemTime::UNIX_EPOCH).unwrap();
        fn of(how: impl UseHttps) -> Option<CertificateSource> {
            let mut options = options();
            let https = options.listen_any_ip(443).use_https(how).https().unwrap().clone();
            assert_eq!(https.ssl_protocols, SslProtocols::TLS13, "the defaults count");
            https.server_certificate
        }
        let file = |password: Option<&str>| {
            Some(CertificateSource::File {
                path: "site.pfx".into(),
                key_path: None,
                password: password.map(str::to_owned),
            })
        };
        assert_eq!(of(()), None);
        assert_eq!(of("site.pfx"), file(None));
        assert_eq!(of(String::from("site.pfx")), file(None));
        assert_eq!(of(Path::new("site.pfx")), file(None));
        assert_eq!(of(PathBuf::from("site.pfx")), file(None));
        assert_eq!(of(("site.pfx", "secret")), file(Some("secret")));
        assert_eq!(of((Path::new("site.pfx"), String::new())), file(Some("")));
        assert_eq!(of(site()), Some(site()));
        assert_eq!(of(loaded.clone()), Some(CertificateSource::Loaded(loaded)));
    }

    #[test]
    fn options_as_a_whole_are_all_there_is() {
        let mut options = options();
        let default = Configuration::builder().set("Kestrel:Certificates:Default:Path", "absent.pfx");
        let configuration = default.build().unwrap();
        options.configure(configuration.section("Kestrel"));
        let mut https = HttpsOptions::default();
        https.handshake_timeout = None;
        let endpoint = options.listen_any_ip(443).use_https(https.clone());
        assert_eq!(endpoint.https(), Some(&https), "not even the defaults");

        let mut options = super::tests::options();
        options.listen_any_ip(443).use_https(https.clone());
        let error = options.plan().unwrap_err();
        let is_expected = matches!(
            error,
            ConfigurationError::Endpoint(EndpointError::CertificateRequired { .. })
        );
        assert!(is_expected, "{error}");
        for with in [
            |https: &mut HttpsOptions| https.server_certificate = Some(site()),
            |https: &mut HttpsOptions| {
                https.server_certificate_selector = Some(ServerCertificateSelector::new(|_, _| None));
            },
        ] {
            let mut options = super::tests::options();
            let mut https = https.clone();
            with(&mut https);
            options.listen_any_ip(443).use_https(https);
            assert!(options.plan().is_ok());
        }
    }

    #[test]
    fn the_default_certificate_is_for_those_who_have_nothing_else() {
        let plan = |change: fn(&mut HttpsOptions)| {
            let mut options = options();
            options.listen_any_ip(443).use_https_with(change);
            options.plan()
        };
        let error = plan(|_| ()).unwrap_err();
        let is_expected = matches!(error, ConfigurationError::Endpoint(EndpointError::NoCertificate { .. }));
        assert!(is_expected, "{error}");
        assert!(plan(|https| https.server_certificate = Some(site())).is_ok());
        let selects = |https: &mut HttpsOptions| {
            https.server_certificate_selector = Some(ServerCertificateSelector::new(|_, _| None));
        };
        assert!(plan(selects).is_ok());
    }

    #[test]
    fn a_second_call_changes_what_is_there() {
        let mut options = options();
        let endpoint = options.listen_any_ip(443);
        endpoint.use_https("first.pfx").use_connection_logging();
        endpoint.use_https_with(|https| https.handshake_timeout = None);
        endpoint.use_https(site());
        let https = endpoint.https().unwrap();
        assert_eq!(https.handshake_timeout, None);
        assert_eq!(https.server_certificate, Some(site()));
        assert_eq!(endpoint.middleware_below_tls().len(), 0, "TLS stays where it was");
        assert_eq!(endpoint.middleware_above_tls().len(), 1);
    }

    #[test]
    fn tls_has_a_place_among_the_middleware() {
        let counts = |endpoint: &ListenOptions| {
            let below = endpoint.middleware_below_tls().len();
            (below, endpoint.middleware_above_tls().len())
        };
        let mut options = options();
        options.configure_endpoint_defaults(|endpoint| {
            endpoint.use_connection_logging();
        });
        assert_eq!(counts(options.listen_any_ip(80).use_connection_logging()), (2, 0));
        let url = options.listen_url("https://localhost:1").unwrap();
        assert_eq!(counts(url.use_connection_logging()), (1, 1));

        let configuration = Configuration::builder()
            .set("Kestrel:Endpoints:A:Url", "https://localhost:2")
            .set("Kestrel:Endpoints:B:Url", "https://localhost:3");
        let configuration = configuration.build().unwrap();
        let loader = options.configure(configuration.section("Kestrel"));
        loader.endpoint("A", |endpoint| {
            endpoint.listen_options().use_connection_logging();
        });
        loader.endpoint("B", |endpoint| {
            endpoint.listen_options().use_https(()).use_connection_logging();
        });
        options.load().unwrap();
        let configured = options.endpoints().iter().filter(|endpoint| endpoint.is_configured());
        assert_eq!(configured.map(counts).collect::<Vec<_>>(), [(2, 0), (1, 1)]);
    }

    #[test]
    fn a_handshake_needs_time() {
        let plan = |time: Option<Duration>| {
            let mut options = options();
            options
                .listen_any_ip(443)
                .use_https(site())
                .use_https_with(|https| https.handshake_timeout = time);
            options.plan()
        };
        let error = plan(Some(Duration::ZERO)).unwrap_err().to_string();
        assert_eq!(
            error,
            "cannot serve https://[::]:443 (from code): handshake_timeout must be greater than zero"
        );
        for time in [None, Some(Duration::from_nanos(100)), Some(Duration::MAX)] {
            assert!(plan(time).is_ok(), "{time:?}");
        }
    }

    #[test]
    fn what_nobody_may_expect_is_told_with_the_plan() {
        let mut options = options();
        options.listen_any_ip(443).use_https(site()).use_https_with(|https| {
            https.client_certificate_mode = crate::ClientCertificateMode::AllowCertificate;
        });
        let plan = options.plan().unwrap();
        let warned = plan.notes().iter().filter(|note| note.level() == log::Level::Warn);
        let texts: Vec<_> = warned.map(|note| note.text()).collect();
        assert_eq!(texts.len(), 1, "{texts:?}");
        assert!(texts[0].starts_with("https://[::]:443 (from code): clients are asked for certificates"));
    }
}
