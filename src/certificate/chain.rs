//! Chains: in which order certificates are sent, and whether one leads to a root.

use super::provider::provider;
use super::x509::X509Certificate;
use rustls::RootCertStore;
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::ParsedCertificate;
use std::time::SystemTime;

/// What a server sends besides its own certificate: its issuer, the issuer's, and so on, as far as `others` have them,
/// without the root. Whatever does not belong to the chain stays out.
pub(super) fn issuers(leaf: &X509Certificate, others: &[X509Certificate]) -> Vec<X509Certificate> {
    let mut chain: Vec<X509Certificate> = Vec::new();
    let mut last = leaf;
    while !last.is_self_issued() && chain.len() < MAX_LENGTH {
        let candidates = others
            .iter()
            .filter(|it| last.names_as_issuer(it) && !chain.contains(it));
        // The same authority under a new certificate: the one that lasts.
        let Some(issuer) = candidates.max_by_key(|it| it.not_after()) else {
            break;
        };
        if issuer.is_self_issued() {
            break;
        }
        chain.push(issuer.clone());
        last = issuer;
    }
    chain
}

/// Longer ones are refused by clients.
const MAX_LENGTH: usize = 10;

/// Whether a certificate leads to one of the roots, over some of the intermediates, all signatures right and all dates
/// valid; if not, why. A certificate that signed itself has to be one of the roots.
pub(super) fn verify(
    leaf: &X509Certificate,
    intermediates: &[X509Certificate],
    roots: &[X509Certificate],
    now: SystemTime,
) -> Result<(), String> {
    // A root counts only if it signed itself and while it is valid, as in .NET; rustls would look at neither.
    let roots = || {
        roots
            .iter()
            .filter(|root| root.is_self_issued() && root.is_valid_at(now))
    };
    if roots().any(|root| root == leaf) {
        return Ok(());
    }
    let mut anchors = RootCertStore::empty();
    anchors.add_parsable_certificates(roots().map(der));
    let intermediates: Vec<_> = intermediates.iter().map(der).collect();
    let leaf_der = der(leaf);
    let since_epoch = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let verified = ParsedCertificate::try_from(&leaf_der).and_then(|parsed| {
        verify_server_cert_signed_by_trust_anchor(
            &parsed,
            &anchors,
            &intermediates,
            UnixTime::since_unix_epoch(since_epoch),
            provider().signature_verification_algorithms.all,
        )
    });
    verified.map_err(|error| match error {
        rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer) if leaf.is_self_issued() => {
            "it signed itself and is not among the trusted roots".to_owned()
        }
        rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer) => {
            "nothing leads from its issuer to a trusted root".to_owned()
        }
        other => other.to_string(),
    })
}

fn der(certificate: &X509Certificate) -> CertificateDer<'_> {
    CertificateDer::from(certificate.der())
}
