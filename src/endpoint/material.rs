//! What HTTPS takes from files that may change while a server runs, and how an endpoint takes it up.

use super::https::{CertificateSource, ClientCertificateRoots};
use super::listen::ListenOptions;
use crate::certificate::{Certificate, CertificateError, CertificateStores, content, date};
use crate::configuration::Fingerprint;
use crate::tls::{Roots, TlsCertificates, read_roots};
use std::fmt;
use std::path::PathBuf;
use std::time::SystemTime;

/// Something that lies in files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Material {
    /// A certificate with its key.
    Certificate(CertificateSource),
    /// The roots for client certificates.
    Roots(ClientCertificateRoots),
}

/// What was in them.
#[derive(Clone, Debug)]
pub(crate) enum Loaded {
    Certificate(Certificate),
    Roots(Roots),
}

/// What files hold, as far as it has to be compared.
pub(crate) type Content = Vec<Result<u64, CertificateError>>;

impl Material {
    fn files(&self) -> Vec<PathBuf> {
        match self {
            Self::Certificate(source) => source.files().into_iter().map(ToOwned::to_owned).collect(),
            Self::Roots(ClientCertificateRoots::File(path)) => vec![path.clone()],
            Self::Roots(ClientCertificateRoots::System) => Vec::new(),
        }
    }

    /// Whether there is a file to look at; stores are read at a start and a reload alone.
    fn is_in_files(&self) -> bool {
        !self.files().is_empty()
    }

    /// How the files are, without opening them.
    pub(crate) fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.files())
    }

    /// What the files hold.
    pub(crate) fn content(&self) -> Content {
        self.files().iter().map(|file| content(file)).collect()
    }

    /// Reads the files, with every check of a start.
    pub(crate) fn load(&self, stores: &CertificateStores, now: SystemTime) -> Result<Loaded, CertificateError> {
        match self {
            Self::Certificate(source) => Certificate::load(source, stores, now).map(Loaded::Certificate),
            Self::Roots(roots) => read_roots(roots, stores).map(Loaded::Roots),
        }
    }
}

/// As a message names it.
impl fmt::Display for Material {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Certificate(source) => source.fmt(f),
            Self::Roots(roots) => roots.fmt(f),
        }
    }
}

impl ListenOptions {
    /// What it has from files.
    pub(crate) fn materials(&self) -> Vec<Material> {
        let Some(certificates) = self.certificates() else {
            return Vec::new();
        };
        let sources = self.sources().into_iter();
        let sources = sources.map(|(_, source)| Material::Certificate(source.clone()));
        let roots = certificates
            .roots
            .iter()
            .map(|(roots, _)| Material::Roots(roots.clone()));
        sources.chain(roots).filter(Material::is_in_files).collect()
    }

    /// Its certificates with what was just loaded in place of what it had from there.
    pub(crate) fn certificates_with(&self, material: &Material, loaded: &Loaded) -> Option<TlsCertificates> {
        let (Some(https), Some(mut newer)) = (self.https(), self.certificates().map(|loaded| (**loaded).clone()))
        else {
            return None;
        };
        match (material, loaded) {
            (Material::Certificate(source), Loaded::Certificate(certificate)) => {
                if https.server_certificate.as_ref() == Some(source) {
                    newer.own = Some(certificate.clone());
                }
                for (sni, entry) in https.sni.iter().zip(&mut newer.by_pattern) {
                    if sni.certificate.as_ref() == Some(source) {
                        *entry = Some(certificate.clone());
                    }
                }
            }
            (Material::Roots(source), Loaded::Roots(roots)) => {
                for (_, known) in newer.roots.iter_mut().filter(|(known, _)| known == source) {
                    *known = roots.clone();
                }
            }
            _ => return None,
        }
        Some(newer)
    }

    /// A line for each certificate that is another one now, and for new roots; nothing if all is the same.
    pub(crate) fn news(&self, newer: &TlsCertificates) -> Vec<String> {
        let Some(older) = self.certificates() else {
            return Vec::new();
        };
        let patterns = self.https().into_iter().flat_map(|https| &https.sni);
        let patterns = patterns.map(|sni| Some(&*sni.pattern));
        let pairs = older.by_pattern.iter().zip(&newer.by_pattern).zip(patterns);
        let own = ((&older.own, &newer.own), None);
        let mut told: Vec<&Certificate> = Vec::new();
        let mut news = Vec::new();
        for ((before, after), pattern) in std::iter::once(own).chain(pairs) {
            let Some(after) = after else { continue };
            if before.as_ref().is_some_and(|before| is_same(before, after)) || told.contains(&after) {
                continue;
            }
            told.push(after);
            let leaf = after.leaf();
            news.push(format!(
                "{} has a new certificate: {} ({}), valid until {}",
                self.name(pattern),
                leaf.subject(),
                leaf.thumbprint(),
                date(leaf.not_after())
            ));
        }
        let is_new = |(source, roots): &&(_, Roots)| older.roots_of(source).is_some_and(|before| before != roots);
        for (source, roots) in newer.roots.iter().filter(is_new) {
            let (name, count) = (self.name(None), roots.len());
            news.push(format!(
                "{name} has new roots for client certificates: {count} from {source}"
            ));
        }
        news
    }

    /// Whether a newer plan wants the same of TLS for it, except that its certificate may come from elsewhere.
    pub(crate) fn is_same_but_for_certificates(&self, newer: &Self) -> bool {
        let (Some(https), Some(newer)) = (self.https(), newer.https()) else {
            return false;
        };
        let mut newer = newer.clone();
        newer.server_certificate.clone_from(&https.server_certificate);
        *https == newer
    }
}

/// What is shown decides; the key belongs to it.
fn is_same(before: &Certificate, after: &Certificate) -> bool {
    before.certified_key().cert == after.certified_key().cert
}
