//! Whether a client's certificate is good enough.

use super::certificates::Roots;
use super::hooks::ClientCertificateValidation;
use crate::certificate::provider::provider;
use crate::certificate::{CertificateError, CertificateStores, X509Certificate};
use crate::endpoint::{ClientCertificateMode, ClientCertificateRoots, HttpsOptions, SniOptions};
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{NoClientAuth, WebPkiClientVerifier};
use rustls::{CertificateError as Fault, DigitallySignedStruct, DistinguishedName, RootCertStore, SignatureScheme};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

/// What the built-in check of a client certificate found.
///
/// ```
/// use stannel::tls::ClientCertificateError;
///
/// assert_eq!(ClientCertificateError::UnknownIssuer.to_string(), "nothing leads from its issuer to one of the roots");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClientCertificateError {
    /// Its last day, or that of an issuer, is over.
    Expired,
    /// Its first day, or that of an issuer, has not come.
    NotYetValid,
    /// Nothing leads from its issuer to one of the roots: another authority, an intermediate that the client did not send,
    /// or there are no roots.
    UnknownIssuer,
    /// Its Extended Key Usage leaves out client authentication.
    NotForClients,
    /// Something else, in the words of rustls.
    Other(String),
}

impl From<&Fault> for ClientCertificateError {
    fn from(fault: &Fault) -> Self {
        match fault {
            Fault::Expired | Fault::ExpiredContext { .. } => Self::Expired,
            Fault::NotValidYet | Fault::NotValidYetContext { .. } => Self::NotYetValid,
            Fault::UnknownIssuer => Self::UnknownIssuer,
            Fault::InvalidPurpose | Fault::InvalidPurposeContext { .. } => Self::NotForClients,
            other => Self::Other(other.to_string()),
        }
    }
}

impl fmt::Display for ClientCertificateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Expired => "it has expired, or an issuer has",
            Self::NotYetValid => "it is not valid yet, or an issuer is not",
            Self::UnknownIssuer => "nothing leads from its issuer to one of the roots",
            Self::NotForClients => "its extended key usage lacks client authentication (1.3.6.1.5.5.7.3.2)",
            Self::Other(reason) => reason,
        })
    }
}

impl std::error::Error for ClientCertificateError {}

/// All that decides which client certificates are accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ClientSettings {
    mode: ClientCertificateMode,
    /// Sorted, each once.
    roots: Vec<X509Certificate>,
    validation: Option<ClientCertificateValidation>,
}

impl ClientSettings {
    /// What makes no difference is left out, so that equal settings are equal.
    pub(crate) fn new(
        mode: ClientCertificateMode,
        mut roots: Vec<X509Certificate>,
        validation: Option<ClientCertificateValidation>,
    ) -> Self {
        if !asks(mode) {
            return Self {
                mode,
                roots: Vec::new(),
                validation: None,
            };
        }
        roots.sort_by(|left, right| left.der().cmp(right.der()));
        roots.dedup();
        Self {
            mode,
            roots,
            validation,
        }
    }

    /// What rustls asks about a client's certificate; `endpoint` is for the log.
    pub(crate) fn verifier(&self, endpoint: &str) -> Result<Arc<dyn ClientCertVerifier>, rustls::Error> {
        if !asks(self.mode) {
            return Ok(Arc::new(NoClientAuth));
        }
        Ok(Arc::new(Verifier::new(self, endpoint)?))
    }
}

/// Whether clients are asked for a certificate in the handshake.
pub(crate) fn asks(mode: ClientCertificateMode) -> bool {
    matches!(
        mode,
        ClientCertificateMode::AllowCertificate | ClientCertificateMode::RequireCertificate
    )
}

/// The roots that clients of an endpoint are judged by.
pub(crate) fn roots_in_use(https: &HttpsOptions) -> Vec<&ClientCertificateRoots> {
    if https.sni.is_empty() {
        let roots = https.client_certificate_roots.as_ref();
        return roots
            .filter(|_| asks(https.client_certificate_mode))
            .into_iter()
            .collect();
    }
    let of_pattern = |sni: &'_ SniOptions| asks(sni.client_certificate_mode.unwrap_or(https.client_certificate_mode));
    let asking = https.sni.iter().filter(|sni| of_pattern(sni));
    asking
        .filter_map(|sni| {
            sni.client_certificate_roots
                .as_ref()
                .or(https.client_certificate_roots.as_ref())
        })
        .collect()
}

/// Reads the roots. Their dates do not count: they are trusted because they were named.
pub(crate) fn read_roots(
    roots: &ClientCertificateRoots,
    stores: &CertificateStores,
) -> Result<Roots, CertificateError> {
    let usable = |root: &X509Certificate| RootCertStore::empty().add(der(root));
    match roots {
        ClientCertificateRoots::File(path) => {
            let roots = X509Certificate::read_all(path)?;
            for root in &roots {
                usable(root).map_err(|error| CertificateError::Malformed {
                    file: path.display().to_string(),
                    reason: format!("its certificate {} cannot be a root: {error}", root.subject()),
                })?;
            }
            Ok(roots.into())
        }
        ClientCertificateRoots::System => {
            // Intermediates may lie among them, and old certificates that rustls does not read.
            let mut roots = stores.machine_trust();
            roots.retain(|root| root.is_self_issued() && usable(root).is_ok());
            if roots.is_empty() {
                return Err(CertificateError::Malformed {
                    file: "the list of the machine's roots".to_owned(),
                    reason: "it is empty; install ca-certificates, or set SSL_CERT_FILE".to_owned(),
                });
            }
            Ok(roots.into())
        }
    }
}

fn der(certificate: &X509Certificate) -> CertificateDer<'_> {
    CertificateDer::from(certificate.der())
}

/// rustls' own check; `None` without roots.
fn chain_verifier(roots: &[X509Certificate]) -> Result<Option<Arc<dyn ClientCertVerifier>>, rustls::Error> {
    if roots.is_empty() {
        return Ok(None);
    }
    let mut store = RootCertStore::empty();
    for root in roots {
        store.add(der(root))?;
    }
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(store), provider());
    let verifier = builder
        .build()
        .map_err(|error| rustls::Error::General(error.to_string()))?;
    Ok(Some(verifier))
}

#[derive(Debug)]
struct Verifier {
    endpoint: String,
    is_mandatory: bool,
    chains: Option<Arc<dyn ClientCertVerifier>>,
    roots: Vec<X509Certificate>,
    validation: Option<ClientCertificateValidation>,
    /// The second, since 1970, of the last line at info level.
    told_in: AtomicU64,
}

impl Verifier {
    fn new(settings: &ClientSettings, endpoint: &str) -> Result<Self, rustls::Error> {
        Ok(Self {
            endpoint: endpoint.to_owned(),
            is_mandatory: settings.mode == ClientCertificateMode::RequireCertificate,
            chains: chain_verifier(&settings.roots)?,
            roots: settings.roots.clone(),
            validation: settings.validation.clone(),
            told_in: AtomicU64::new(0),
        })
    }

    /// The built-in verdict.
    fn judge(&self, leaf: &X509Certificate, intermediates: &[CertificateDer<'_>], now: UnixTime) -> Result<(), Fault> {
        let Some(chains) = &self.chains else {
            return Err(Fault::UnknownIssuer);
        };
        let Err(error) = chains.verify_client_cert(&der(leaf), intermediates, now) else {
            return Ok(());
        };
        // One that stands among the roots itself needs no issuer, even if it says that it is an authority's, as those of
        // openssl req -x509 do; rustls would refuse these.
        let moment = SystemTime::UNIX_EPOCH + Duration::from_secs(now.as_secs());
        if self.roots.contains(leaf) && leaf.is_valid_at(moment) && is_for_clients(leaf) {
            return Ok(());
        }
        Err(match error {
            rustls::Error::InvalidCertificate(fault) => fault,
            other => Fault::Other(rustls::OtherError(Arc::new(other))),
        })
    }

    /// The verdict that counts.
    fn decide(
        &self,
        leaf: &X509Certificate,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), (Fault, String)> {
        let verdict = self.judge(leaf, intermediates, now);
        let shown = verdict.as_ref().copied().map_err(ClientCertificateError::from);
        let Some(validation) = &self.validation else {
            let reason = shown.err().map(|error| error.to_string());
            return verdict.map_err(|fault| (fault, reason.unwrap_or_default()));
        };
        let issuers = intermediates
            .iter()
            .filter_map(|der| X509Certificate::from_der(der).ok());
        let chain: Vec<_> = std::iter::once(leaf.clone()).chain(issuers).collect();
        let reason = match catch_unwind(AssertUnwindSafe(|| validation.call(&chain, shown))) {
            Ok(true) => return Ok(()),
            Ok(false) => "client_certificate_validation said no",
            Err(_) => "client_certificate_validation panicked",
        };
        Err((
            verdict.err().unwrap_or(Fault::ApplicationVerificationFailure),
            reason.to_owned(),
        ))
    }

    /// A client can come again and again, so that most lines stay below what is usually read.
    fn tell(&self, certificate: &str, reason: &str, now: UnixTime) {
        let (level, endpoint) = (self.level(now), &self.endpoint);
        log::log!(target: "stannel::https", level, "{endpoint}: refused the client certificate {certificate}: {reason}");
    }

    /// One line a second is for everybody.
    fn level(&self, now: UnixTime) -> log::Level {
        let second = now.as_secs();
        match self.told_in.swap(second, Ordering::Relaxed) == second {
            true => log::Level::Debug,
            false => log::Level::Info,
        }
    }
}

impl ClientCertVerifier for Verifier {
    fn client_auth_mandatory(&self) -> bool {
        self.is_mandatory
    }

    /// None, as with Kestrel: clients show what they have, and nobody learns whom the server trusts.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let leaf = X509Certificate::from_der(end_entity).map_err(|reason| {
            self.tell("of a client", &reason, now);
            rustls::Error::InvalidCertificate(Fault::BadEncoding)
        })?;
        match self.decide(&leaf, intermediates, now) {
            Ok(()) => Ok(ClientCertVerified::assertion()),
            Err((fault, reason)) => {
                self.tell(&named(&leaf), &reason, now);
                Err(rustls::Error::InvalidCertificate(fault))
            }
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = provider().signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, &algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = provider().signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, &algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}

fn is_for_clients(certificate: &X509Certificate) -> bool {
    let usages = certificate.extended_key_usage();
    usages.is_none_or(|usages| usages.iter().any(|usage| usage == CLIENT_AUTHENTICATION))
}

/// A subject is whatever the client has written into it.
fn named(certificate: &X509Certificate) -> String {
    let subject = certificate.subject().to_string();
    format!("{} ({})", shortened(&subject), certificate.thumbprint())
}

fn shortened(subject: &str) -> String {
    let mut left = subject.chars();
    let shown: String = left.by_ref().take(MAX_SUBJECT).flat_map(char::escape_debug).collect();
    let rest = if left.next().is_some() { "…" } else { "" };
    format!("{shown}{rest}")
}

const CLIENT_AUTHENTICATION: &str = "1.3.6.1.5.5.7.3.2";

/// Characters of a subject in the log.
const MAX_SUBJECT: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    fn chain() -> Vec<X509Certificate> {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/dotnet/pem");
        X509Certificate::read_all(format!("{folder}/chain.pem")).unwrap()
    }

    #[test]
    fn settings_are_equal_where_they_make_no_difference() {
        let allow = ClientCertificateMode::AllowCertificate;
        let no = ClientCertificateMode::NoCertificate;
        let yes = ClientCertificateValidation::new(|_, _| true);
        let other = ClientCertificateValidation::new(|_, _| true);
        let of = |mode, roots: &[X509Certificate], by: Option<&ClientCertificateValidation>| {
            ClientSettings::new(mode, roots.to_vec(), by.cloned())
        };
        let (roots, mut reversed) = (chain(), chain());
        reversed.reverse();
        reversed.extend(chain());
        assert_eq!(of(allow, &roots, Some(&yes)), of(allow, &reversed, Some(&yes)));
        assert_eq!(of(no, &roots, Some(&yes)), of(no, &[], None));
        assert_ne!(of(allow, &roots, Some(&yes)), of(allow, &roots, Some(&other)));
        assert_ne!(of(allow, &roots, None), of(allow, &roots[..1], None));
        assert_ne!(of(allow, &[], None), of(no, &[], None));
    }

    #[test]
    fn roots_of_the_machine() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/dotnet/pem");
        let stores = CertificateStores::in_home("/absent");
        let error = read_roots(&ClientCertificateRoots::System, &stores).unwrap_err();
        assert!(error.to_string().contains("install ca-certificates"), "{error}");
        let stores = stores.trusting(format!("{folder}/chain.pem"));
        let roots = read_roots(&ClientCertificateRoots::System, &stores).unwrap();
        assert_eq!(roots[..], chain()[2..], "neither the leaf nor the intermediate");
        let file = ClientCertificateRoots::File(format!("{folder}/chain.pem").into());
        assert_eq!(read_roots(&file, &stores).unwrap()[..], chain(), "all that were named");
    }

    #[test]
    fn one_line_a_second_is_for_everybody() {
        use log::Level::{Debug, Info};
        let settings = ClientSettings::new(ClientCertificateMode::AllowCertificate, Vec::new(), None);
        let verifier = Verifier::new(&settings, "here").unwrap();
        let level = |second| verifier.level(UnixTime::since_unix_epoch(Duration::from_secs(second)));
        assert_eq!([5, 5, 5, 6, 6, 9].map(level), [Info, Debug, Debug, Info, Debug, Info]);
    }

    #[test]
    fn subjects_are_whatever_somebody_wrote() {
        assert_eq!(shortened("CN=client"), "CN=client");
        assert_eq!(shortened("CN=a\nb\u{1b}[31m"), "CN=a\\nb\\u{1b}[31m");
        let long = "x".repeat(MAX_SUBJECT);
        assert_eq!(shortened(&long), long);
        assert_eq!(shortened(&format!("{long}y")), format!("{long}…"));
    }
}
