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
/// valid; if not, why. A certificate that signed itself has to be one of the roots; one of an authority leads nowhere.
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
    if leaf.is_self_issued() {
        return Err("it signed itself and is not among the trusted roots".to_owned());
    }
    if leaf.is_authority() {
        // What rustls verifies with has no answer for these.
        return Err("it is the certificate of an authority, not of a server".to_owned());
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
        rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer) => {
            "nothing leads from its issuer to a trusted root".to_owned()
        }
        rustls::Error::InvalidCertificate(reason) => format!("its chain is refused: {reason}"),
        other => other.to_string(),
    })
}

fn der(certificate: &X509Certificate) -> CertificateDer<'_> {
    CertificateDer::from(certificate.der())
}

#[cfg(test)]
mod tests {
    use super::super::pem::sections;
    use super::*;
    use std::time::Duration;

    fn certificate(name: &str) -> X509Certificate {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/chains");
        let text = std::fs::read(format!("{folder}/{name}.pem")).unwrap();
        let section = sections(&text).next().unwrap();
        X509Certificate::from_der(&section.certificate().unwrap()).unwrap()
    }

    fn certificates(names: &[&str]) -> Vec<X509Certificate> {
        names.iter().map(|name| certificate(name)).collect()
    }

    #[test]
    fn what_is_sent() {
        let table: [(&str, &[&str], &[&str]); 9] = [
            ("leaf", &[], &[]),
            ("leaf", &["root"], &[]),
            (
                "leaf",
                &["root", "old-root", "intermediate", "no-authority"],
                &["intermediate"],
            ),
            // Renewed, and the same name with another key.
            (
                "leaf",
                &["intermediate-expired", "intermediate-other-key", "intermediate"],
                &["intermediate"],
            ),
            ("leaf", &["intermediate-other-key"], &[]),
            (
                "leaf-no-identifier",
                &["intermediate-expired"],
                &["intermediate-expired"],
            ),
            // Signed by another root, a root is an intermediate. It would lead on for ever if it could come twice.
            (
                "leaf",
                &["intermediate", "cross-signed", "old-root"],
                &["intermediate", "cross-signed"],
            ),
            ("self-signed-authority", &["root", "self-signed-authority"], &[]),
            ("leaf-of-leaf", &["no-authority", "leaf-of-leaf"], &["no-authority"]),
        ];
        for (leaf, others, sent) in table {
            assert_eq!(
                issuers(&certificate(leaf), &certificates(others)),
                certificates(sent),
                "{leaf} {others:?}"
            );
        }
    }

    #[test]
    fn what_is_trusted() {
        const NOBODY: &str = "nothing leads from its issuer to a trusted root";
        // The reason, or nothing if it is trusted.
        let table: [(&str, &[&str], &[&str], &str); 14] = [
            ("leaf", &["intermediate"], &["root"], ""),
            (
                "leaf",
                &["intermediate-other-key", "intermediate", "no-authority"],
                &["old-root", "root"],
                "",
            ),
            ("leaf-no-identifier", &["intermediate"], &["root"], ""),
            ("leaf", &[], &["root"], NOBODY),
            ("leaf", &["intermediate"], &[], NOBODY),
            ("leaf", &["intermediate-expired"], &["root"], "expired"),
            // Neither an intermediate nor the certificate itself becomes a root by lying among them.
            ("leaf", &[], &["intermediate"], NOBODY),
            ("leaf", &[], &["leaf"], NOBODY),
            (
                "leaf-wrong-signature",
                &[],
                &["root"],
                "its chain is refused: BadSignature",
            ),
            ("leaf-of-old-root", &[], &["old-root"], NOBODY),
            ("leaf-of-leaf", &["no-authority"], &["root"], "EndEntityUsedAsCa"),
            ("authority", &[], &["root"], "it is the certificate of an authority"),
            ("self-signed-authority", &[], &["self-signed-authority"], ""),
            (
                "self-signed-authority",
                &[],
                &["root"],
                "it signed itself and is not among the trusted roots",
            ),
        ];
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_750_000_000);
        for (leaf, intermediates, roots, expected) in table {
            let found = verify(
                &certificate(leaf),
                &certificates(intermediates),
                &certificates(roots),
                now,
            );
            let fits = match &found {
                Ok(()) => expected.is_empty(),
                Err(reason) => !expected.is_empty() && reason.contains(expected),
            };
            assert!(
                fits,
                "{leaf} {intermediates:?} {roots:?}: {found:?} instead of {expected:?}"
            );
        }
    }
}
