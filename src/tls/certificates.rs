//! The certificates of an endpoint, loaded.

use super::client_certificates::roots_in_use;
use super::error::TlsError;
use crate::certificate::{Certificate, CertificateError, X509Certificate};
use crate::endpoint::{ClientCertificateRoots, HttpsOptions};
use std::sync::Arc;

/// Authorities whose client certificates are accepted.
pub(crate) type Roots = Arc<[X509Certificate]>;

/// The certificates of an endpoint, loaded: its own, and one for each entry of
/// [`HttpsOptions::sni`](crate::HttpsOptions::sni) that has one, in the same order; and the roots for those of its clients.
#[derive(Clone, Debug, Default)]
pub(crate) struct TlsCertificates {
    pub(crate) own: Option<Certificate>,
    pub(crate) by_pattern: Vec<Option<Certificate>>,
    pub(crate) roots: Vec<(ClientCertificateRoots, Roots)>,
}

impl TlsCertificates {
    /// Has `read` read the roots that `https` wants, each once; `endpoint` is for messages.
    pub(crate) fn read_roots(
        &mut self,
        endpoint: &str,
        https: &HttpsOptions,
        mut read: impl FnMut(&ClientCertificateRoots) -> Result<Roots, CertificateError>,
    ) -> Result<(), TlsError> {
        for wanted in roots_in_use(https) {
            if self.roots_of(wanted).is_some() {
                continue;
            }
            let roots = read(wanted).map_err(|error| TlsError::ClientRoots {
                endpoint: endpoint.to_owned(),
                error: Box::new(error),
            })?;
            self.roots.push((wanted.clone(), roots));
        }
        Ok(())
    }

    pub(crate) fn roots_of(&self, wanted: &ClientCertificateRoots) -> Option<&Roots> {
        let found = self.roots.iter().find(|(known, _)| known == wanted);
        found.map(|(_, roots)| roots)
    }
}
