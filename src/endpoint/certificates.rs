//! The certificates of a plan: where each one comes from, in Kestrel's order, and what is told if it cannot be had.

use super::error::EndpointError;
use super::https::{CertificateSource, ClientCertificateRoots};
use super::listen::{EndpointSource, ListenOptions};
use super::options::ServerOptions;
use crate::certificate::{Certificate, CertificateError, CertificateStores};
use crate::configuration::{ConfigurationError, Fallback, Section, certificate_node};
use crate::tls::{TlsCertificates, TlsEndpoint, warnings};
use log::{debug, error};
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Loads the certificates of one plan, each source once.
pub(super) struct Certificates {
    stores: CertificateStores,
    now: SystemTime,
    /// What is served already: a source that cannot be loaded any more keeps what it gave.
    served: Vec<(CertificateSource, Certificate)>,
    loaded: Vec<(CertificateSource, Result<Certificate, CertificateError>)>,
}

impl Certificates {
    /// Loads the default certificate at once, whether or not an endpoint will use it: a mistake in it shows at the next
    /// start, not when the first endpoint needs it.
    pub(super) fn new(
        options: &ServerOptions,
        now: SystemTime,
        served: &[&ListenOptions],
    ) -> Result<Self, ConfigurationError> {
        let stores = options.certificate_stores.clone();
        let mut certificates = Self {
            stores: stores.unwrap_or_else(CertificateStores::from_environment),
            now,
            served: served.iter().flat_map(|endpoint| loaded(endpoint)).collect(),
            loaded: Vec::new(),
        };
        if let Some(kestrel) = options.kestrel_section() {
            certificates.load_default(kestrel)?;
        }
        Ok(certificates)
    }

    fn load_default(&mut self, kestrel: &Section) -> Result<(), ConfigurationError> {
        let Fallback::Default(source) = Fallback::of(Some(kestrel), &mut Vec::new())? else {
            return Ok(());
        };
        match self.load(&source) {
            Ok(_) => Ok(()),
            Err(error) => {
                let place = place(Some(kestrel), None, None, &source, Some(&error));
                let error = Box::new(error);
                Err(EndpointError::DefaultCertificate { place, error }.into())
            }
        }
    }

    /// Gives an endpoint that nobody asked for what it shows, if there is anything.
    pub(super) fn has_for(&mut self, endpoint: &mut ListenOptions) -> Result<bool, ConfigurationError> {
        match self.give(endpoint) {
            Ok(()) => Ok(true),
            Err(ConfigurationError::Endpoint(EndpointError::NoCertificate { .. })) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Gives an endpoint that serves HTTPS what it shows, or says why it cannot be served.
    pub(super) fn give(&mut self, endpoint: &mut ListenOptions) -> Result<(), ConfigurationError> {
        complete_paths(endpoint);
        let Some(https) = endpoint.https() else { return Ok(()) };
        let mut given = TlsCertificates::default();
        let mut found = None;
        if let Some(source) = &https.server_certificate {
            given.own = Some(self.load_for(endpoint, None, source)?);
        } else if https.lacks_certificate() {
            if !endpoint.takes_default_certificate() {
                let endpoint = endpoint.name(None);
                return Err(EndpointError::CertificateRequired { endpoint }.into());
            }
            let (source, certificate) = self.find(endpoint)?;
            given.own = Some(certificate);
            found = Some(source);
        }
        for sni in &https.sni {
            let source = sni.certificate.as_ref();
            let loaded = source.map(|source| self.load_for(endpoint, Some(&sni.pattern), source));
            given.by_pattern.push(loaded.transpose()?);
        }
        if let (Some(https), Some(source)) = (endpoint.https_mut(), found) {
            https.server_certificate = Some(source);
        }
        endpoint.set_certificates(given);
        TlsEndpoint::of(endpoint).map_err(EndpointError::Tls)?;
        Ok(())
    }

    /// What an endpoint gets that has no certificate of its own.
    fn find(&mut self, endpoint: &ListenOptions) -> Result<(CertificateSource, Certificate), ConfigurationError> {
        let password = match Fallback::of(endpoint.kestrel_section(), &mut Vec::new())? {
            Fallback::Default(source) => {
                let certificate = self.load_for(endpoint, None, &source)?;
                return Ok((source, certificate));
            }
            Fallback::Development { password } => password,
        };
        let file = password.and_then(|password| {
            let application = endpoint.kestrel_section()?.configuration().application_name()?;
            let path = self.stores.development_file(&application)?;
            Some(CertificateSource::DevelopmentFile { path, password })
        });
        let mut searched = Vec::new();
        for source in file.into_iter().chain([CertificateSource::DevelopmentStore]) {
            match self.load(&source) {
                Ok(certificate) => return Ok((source, certificate)),
                Err(error) => searched.push(error),
            }
        }
        // Of host names the first that lacks one.
        let sni = endpoint.https().map(|https| https.sni.iter()).unwrap_or_default();
        let pattern = sni
            .filter(|sni| sni.certificate.is_none())
            .map(|sni| &*sni.pattern)
            .next();
        let endpoint = endpoint.name(pattern);
        Err(EndpointError::NoCertificate { endpoint, searched }.into())
    }

    fn load_for(
        &mut self,
        endpoint: &ListenOptions,
        pattern: Option<&str>,
        source: &CertificateSource,
    ) -> Result<Certificate, EndpointError> {
        self.load(source).map_err(|error| EndpointError::Certificate {
            endpoint: endpoint.name(pattern),
            place: place(
                endpoint.kestrel_section(),
                configured_name(endpoint),
                pattern,
                source,
                Some(&error),
            ),
            error: Box::new(error),
        })
    }

    fn load(&mut self, source: &CertificateSource) -> Result<Certificate, CertificateError> {
        if let Some((_, loaded)) = self.loaded.iter().find(|(other, _)| other == source) {
            return loaded.clone();
        }
        let mut loaded = Certificate::load(source, &self.stores, self.now);
        if let Err(reason) = &loaded {
            let before = self.served.iter().find(|(other, _)| other == source);
            if let Some((_, before)) = before {
                error!(target: "stannel", "{reason}\nthe certificate {} that was loaded before stays", before.leaf().subject());
                loaded = Ok(before.clone());
            } else if is_passed_over(source, reason) {
                debug!(target: "stannel", "no {source}: {reason}");
            }
        }
        self.loaded.push((source.clone(), loaded.clone()));
        loaded
    }
}

/// Whether nobody is told but who looks closely: that a machine has no development certificate is no mistake, nor that
/// its file is for something else.
fn is_passed_over(source: &CertificateSource, reason: &CertificateError) -> bool {
    match source {
        CertificateSource::DevelopmentStore => true,
        CertificateSource::DevelopmentFile { .. } => {
            !matches!(reason, CertificateError::NoDevelopmentCertificate { .. })
        }
        _ => false,
    }
}

/// What an endpoint of an earlier plan was given, and from where.
fn loaded(endpoint: &ListenOptions) -> Vec<(CertificateSource, Certificate)> {
    let (Some(https), Some(certificates)) = (endpoint.https(), endpoint.certificates()) else {
        return Vec::new();
    };
    let own = https.server_certificate.clone().zip(certificates.own.clone());
    let entries = https.sni.iter().zip(&certificates.by_pattern);
    let by_pattern = entries.filter_map(|(sni, certificate)| sni.certificate.clone().zip(certificate.clone()));
    own.into_iter().chain(by_pattern).collect()
}

/// Where a source is named, as messages tell it: the key with its origin, or what code said. The key is the one that
/// `error` is about.
fn place(
    kestrel: Option<&Section>,
    endpoint: Option<&str>,
    pattern: Option<&str>,
    source: &CertificateSource,
    error: Option<&CertificateError>,
) -> String {
    let node = kestrel.and_then(|kestrel| certificate_node(kestrel, endpoint, pattern, source));
    let Some(node) = node else {
        return match source {
            CertificateSource::DevelopmentStore => "nothing else is configured".to_owned(),
            _ => format!("{source}, in code"),
        };
    };
    let key = error.map_or_else(|| main_key(source), |error| key_at_fault(source, error));
    let at_fault = node.section(key);
    // A key that is not there is not at fault, but its absence.
    let named = if at_fault.exists() {
        at_fault
    } else {
        node.section(main_key(source))
    };
    match named.origin() {
        Some(origin) => format!("{} {origin}", named.path()),
        None => named.path().to_owned(),
    }
}

fn main_key(source: &CertificateSource) -> &'static str {
    match source {
        CertificateSource::Store { .. } => "Subject",
        CertificateSource::DevelopmentFile { .. } => "Password",
        _ => "Path",
    }
}

fn key_at_fault(source: &CertificateSource, error: &CertificateError) -> &'static str {
    if let CertificateError::BadPassword { given: true, .. } = error {
        return "Password";
    }
    let is_of_key = |key: &Path| error.file().is_some_and(|file| Path::new(file) == key);
    match source {
        CertificateSource::File {
            path,
            key_path: Some(key),
            ..
        } if is_of_key(key) && key != path => "KeyPath",
        _ => main_key(source),
    }
}

fn configured_name(endpoint: &ListenOptions) -> Option<&str> {
    match endpoint.source() {
        EndpointSource::Configuration { name, .. } => Some(name),
        _ => None,
    }
}

/// Relative paths that code gave begin at the content root, as those of the configuration do already.
fn complete_paths(endpoint: &mut ListenOptions) {
    let Some(kestrel) = endpoint.kestrel_section().cloned() else {
        return;
    };
    let root = kestrel.configuration().content_root();
    let name = configured_name(endpoint).map(str::to_owned);
    let Some(https) = endpoint.https_mut() else { return };
    let own = https.server_certificate.iter_mut().map(|source| (None, source));
    let of_sni = https.sni.iter_mut().filter_map(|sni| {
        let source = sni.certificate.as_mut()?;
        Some((Some(&*sni.pattern), source))
    });
    for (pattern, source) in own.chain(of_sni) {
        if certificate_node(&kestrel, name.as_deref(), pattern, source).is_some() {
            continue;
        }
        if let CertificateSource::File { path, key_path, .. } = source {
            *path = root.join(&*path);
            if let Some(key_path) = key_path {
                *key_path = root.join(&*key_path);
            }
        }
    }
}

/// What is to be told of the HTTPS options of an endpoint.
pub(super) fn https_warnings(endpoint: &ListenOptions) -> Vec<String> {
    let https = endpoint.https();
    https
        .map(|https| warnings(&endpoint.name(None), https))
        .unwrap_or_default()
}

/// A certificate of an endpoint.
pub(crate) struct CertificateUse<'a> {
    pub(crate) source: &'a CertificateSource,
    /// Where it is named: the key with its origin, or what code said.
    pub(crate) place: String,
}

impl fmt::Display for CertificateUse<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.source, self.place)
    }
}

impl ListenOptions {
    /// The certificates that the plan loaded for it.
    pub(crate) fn certificate_uses(&self) -> Vec<CertificateUse<'_>> {
        let Some(https) = self.https() else { return Vec::new() };
        let own = https.server_certificate.iter().map(|source| (None, source));
        let of_sni = https
            .sni
            .iter()
            .filter_map(|sni| Some((Some(&*sni.pattern), sni.certificate.as_ref()?)));
        own.chain(of_sni)
            .map(|(pattern, source)| {
                let name = configured_name(self);
                CertificateUse {
                    source,
                    place: place(self.kestrel_section(), name, pattern, source, None),
                }
            })
            .collect()
    }

    /// The files that its HTTPS options are read from: certificates, keys, roots of client certificates. In an
    /// [`EndpointPlan`](crate::EndpointPlan) those of a default certificate are among them.
    ///
    /// ```
    /// use stannel::{CertificateSource, ServerOptions};
    /// use std::path::Path;
    ///
    /// let mut options = ServerOptions::default();
    /// let endpoint = options.listen_any_ip(443).use_https_with(|https| {
    ///     https.server_certificate = Some(CertificateSource::pem("site.pem", "site.key"));
    /// });
    /// assert_eq!(endpoint.https_files(), [Path::new("site.key"), Path::new("site.pem")]);
    /// ```
    #[must_use]
    pub fn https_files(&self) -> Vec<PathBuf> {
        let Some(https) = self.https() else { return Vec::new() };
        let certificates = https.sni.iter().filter_map(|sni| sni.certificate.as_ref());
        let certificates = certificates
            .chain(&https.server_certificate)
            .flat_map(CertificateSource::files);
        let roots = https.sni.iter().filter_map(|sni| sni.client_certificate_roots.as_ref());
        let roots = roots
            .chain(&https.client_certificate_roots)
            .filter_map(|roots| match roots {
                ClientCertificateRoots::File(path) => Some(path.as_path()),
                ClientCertificateRoots::System => None,
            });
        let mut files: Vec<PathBuf> = certificates.chain(roots).map(Path::to_owned).collect();
        files.sort();
        files.dedup();
        files
    }
}
