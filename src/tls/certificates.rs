//! The certificates of an endpoint, loaded.

use crate::certificate::Certificate;

/// The certificates of an endpoint, loaded: its own, and one for each entry of
/// [`HttpsOptions::sni`](crate::HttpsOptions::sni) that has one, in the same order.
#[derive(Clone, Debug, Default)]
pub(crate) struct TlsCertificates {
    pub(crate) own: Option<Certificate>,
    pub(crate) by_pattern: Vec<Option<Certificate>>,
}
