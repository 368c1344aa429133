//! Chains: in which order certificates are sent, and whether one leads to a root.

use super::x509::X509Certificate;

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
