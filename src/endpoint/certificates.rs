//! The certificates of a plan: where each one comes from, in Kestrel's order, and what is told if it cannot be had.

use super::error::EndpointError;
use super::https::{CertificateSource, ClientCertificateRoots};
use super::listen::{EndpointSource, ListenOptions};
use super::material::Material;
use super::options::ServerOptions;
use crate::certificate::{Certificate, CertificateError, CertificateStores};
use crate::configuration::{ConfigurationError, Fallback, Fingerprint, Section, certificate_node};
use crate::tls::{Roots, TlsCertificates, TlsEndpoint, read_roots, warnings};
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
    /// The same of roots.
    served_roots: Vec<(ClientCertificateRoots, Roots)>,
    loaded_roots: Vec<(ClientCertificateRoots, Roots)>,
    /// How the files of all that was loaded were right before.
    read: Vec<(Material, Fingerprint)>,
}

impl Certificates {
    /// Loads the default certificate at once, whether or not an endpoint will use it: a mistake in it shows at the next
    /// start, not when the first endpoint needs it.
    pub(super) fn new(
        options: &ServerOptions,
        now: SystemTime,
        served: &[&ListenOptions],
    ) -> Result<Self, ConfigurationError> {
        let served_certificates = served.iter().filter_map(|endpoint| endpoint.certificates());
        let served_roots = served_certificates.flat_map(|certificates| &certificates.roots);
        let mut certificates = Self {
            stores: options.stores(),
            now,
            served: served.iter().flat_map(|endpoint| loaded(endpoint)).collect(),
            loaded: Vec::new(),
            served_roots: served_roots.cloned().collect(),
            loaded_roots: Vec::new(),
            read: Vec::new(),
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
                let place = place.unwrap_or_else(|| source.to_string());
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
        let name = endpoint.name(None);
        given
            .read_roots(&name, https, |roots| self.load_roots(roots))
            .map_err(EndpointError::Tls)?;
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
        self.load(source).map_err(|error| {
            let place = endpoint.place(pattern, source, Some(&error));
            EndpointError::Certificate {
                endpoint: endpoint.name(pattern),
                place: place.unwrap_or_else(|| format!("{source}, in code")),
                error: Box::new(error),
            }
        })
    }

    fn load(&mut self, source: &CertificateSource) -> Result<Certificate, CertificateError> {
        if let Some((_, loaded)) = self.loaded.iter().find(|(other, _)| other == source) {
            return loaded.clone();
        }
        self.note_read(Material::Certificate(source.clone()));
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

    fn load_roots(&mut self, source: &ClientCertificateRoots) -> Result<Roots, CertificateError> {
        let is_wanted = |(other, _): &&(ClientCertificateRoots, Roots)| other == source;
        if let Some((_, loaded)) = self.loaded_roots.iter().find(is_wanted) {
            return Ok(loaded.clone());
        }
        self.note_read(Material::Roots(source.clone()));
        let loaded = read_roots(source, &self.stores).or_else(|reason| {
            let Some((_, before)) = self.served_roots.iter().find(is_wanted) else {
                return Err(reason);
            };
            error!(target: "stannel", "{reason}\nthe roots for client certificates that were loaded before stay");
            Ok(before.clone())
        })?;
        self.loaded_roots.push((source.clone(), loaded.clone()));
        Ok(loaded)
    }

    /// Before it is read: what is written meanwhile is a change.
    fn note_read(&mut self, material: Material) {
        let fingerprint = material.fingerprint();
        self.read.push((material, fingerprint));
    }

    /// Everything that was read, with how its files were right before.
    pub(super) fn into_read(self) -> Vec<(Material, Fingerprint)> {
        self.read
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

/// Where the configuration names a source, as messages tell it: the key with its origin, which is the one that `error` is
/// about.
fn place(
    kestrel: Option<&Section>,
    endpoint: Option<&str>,
    pattern: Option<&str>,
    source: &CertificateSource,
    error: Option<&CertificateError>,
) -> Option<String> {
    let node = kestrel.and_then(|kestrel| certificate_node(kestrel, endpoint, pattern, source));
    let node = node?;
    let key = error.map_or_else(|| main_key(source), |error| key_at_fault(source, error));
    let at_fault = node.section(key);
    // A key that is not there is not at fault, but its absence.
    let named = if at_fault.exists() {
        at_fault
    } else {
        node.section(main_key(source))
    };
    named.origin().map(|origin| format!("{} {origin}", named.path()))
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
    let Some(https) = endpoint.https_mut() else { return };
    let of_sni = https.sni.iter_mut();
    let (sources, roots): (Vec<_>, Vec<_>) = of_sni
        .map(|sni| (&mut sni.certificate, &mut sni.client_certificate_roots))
        .chain([(&mut https.server_certificate, &mut https.client_certificate_roots)])
        .unzip();
    let mut paths = Vec::new();
    for source in sources.into_iter().flatten() {
        if let CertificateSource::File { path, key_path, .. } = source {
            paths.extend(std::iter::once(path).chain(key_path));
        }
    }
    for roots in roots.into_iter().flatten() {
        if let ClientCertificateRoots::File(path) = roots {
            paths.push(path);
        }
    }
    for path in paths {
        if !path.starts_with(root) {
            *path = root.join(&*path);
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

/// A certificate of an endpoint, and where the configuration names it.
pub(super) struct CertificateUse<'a> {
    source: &'a CertificateSource,
    place: Option<String>,
}

impl fmt::Display for CertificateUse<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.place, self.source) {
            (Some(place), source) => write!(f, "{source} ({place})"),
            (None, source @ CertificateSource::DevelopmentStore) => write!(f, "{source} (nothing else is named)"),
            (None, source) => write!(f, "{source} (in code)"),
        }
    }
}

impl ListenOptions {
    /// The certificates that the plan loaded for it.
    pub(super) fn certificate_uses(&self) -> Vec<CertificateUse<'_>> {
        let sources = self.sources().into_iter();
        sources
            .map(|(pattern, source)| CertificateUse {
                source,
                place: self.place(pattern, source, None),
            })
            .collect()
    }

    /// Where the configuration names one of its sources.
    fn place(
        &self,
        pattern: Option<&str>,
        source: &CertificateSource,
        error: Option<&CertificateError>,
    ) -> Option<String> {
        place(self.kestrel_section(), configured_name(self), pattern, source, error)
    }

    /// Where its certificates come from: its own, and those of host names.
    pub(super) fn sources(&self) -> Vec<(Option<&str>, &CertificateSource)> {
        let Some(https) = self.https() else { return Vec::new() };
        let own = https.server_certificate.iter().map(|source| (None, source));
        let of_sni = https
            .sni
            .iter()
            .filter_map(|sni| Some((Some(&*sni.pattern), sni.certificate.as_ref()?)));
        own.chain(of_sni).collect()
    }

    /// What is to be told of a material of its that has changed and cannot be used, with what stays.
    pub(crate) fn refusal(&self, material: &Material, error: &CertificateError) -> Option<String> {
        let certificates = self.certificates()?;
        let source = match material {
            Material::Certificate(source) => source,
            Material::Roots(roots) => {
                certificates.roots_of(roots)?;
                let name = self.name(None);
                return Some(format!(
                    "cannot take up the changed roots for client certificates of {name}: {error}; those that were loaded \
                     before stay until the file is mended"
                ));
            }
        };
        let loaded = loaded(self);
        let (_, stays) = loaded.iter().find(|(other, _)| other == source)?;
        let mut sources = self.sources().into_iter();
        let (pattern, _) = sources.find(|(_, other)| *other == source)?;
        let place = self.place(pattern, source, Some(error));
        let place = place.unwrap_or_else(|| format!("{source}, in code"));
        let (name, leaf) = (self.name(pattern), stays.leaf());
        Some(format!(
            "cannot take up the changed certificate of {name} ({place}): {error}; {} ({}) stays until the files are mended",
            leaf.subject(),
            leaf.thumbprint()
        ))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::configuration::Configuration;
    use std::fs;
    use std::time::Duration;
    use tempfile::TempDir;

    /// `NAME.pem` and `NAME.key`, of these fixtures.
    fn write(folder: &TempDir, name: &str, fixture: &str) {
        for (end, other) in [("pem", "crt"), ("key", "pkcs8.key")] {
            let from = format!("tests/fixtures/dotnet/pem/{fixture}.{other}");
            fs::copy(from, folder.path().join(format!("{name}.{end}"))).unwrap();
        }
    }

    fn configuration(folder: &TempDir, kestrel: &str) -> Configuration {
        let mut builder = Configuration::builder().set_base_path(folder.path());
        for pair in kestrel.split_whitespace() {
            let (key, value) = pair.split_once('=').unwrap();
            builder = builder.set(format!("Kestrel:{key}"), value);
        }
        builder.build().unwrap()
    }

    fn options(configuration: &Configuration) -> ServerOptions {
        let mut options = configuration.server_options().unwrap();
        options.certificate_stores = Some(CertificateStores::in_home("/nowhere"));
        options
    }

    fn now() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_900_000_000)
    }

    /// The common names of what the endpoints show.
    fn shown(endpoints: &[ListenOptions]) -> Vec<String> {
        let own = endpoints
            .iter()
            .filter_map(|endpoint| endpoint.certificates()?.own.clone());
        own.map(|own| own.leaf().subject().common_name().unwrap().to_owned())
            .collect()
    }

    const DEFAULT: &str = "Certificates:Default:Path=a.pem Certificates:Default:KeyPath=a.key";
    const P256: &str = "pem-p256.stannel.test";
    const P384: &str = "pem-p384.stannel.test";

    #[test]
    fn a_server_keeps_what_cannot_be_loaded_again() {
        let folder = tempfile::tempdir().unwrap();
        write(&folder, "a", "p256");
        let mut options = options(&configuration(&folder, DEFAULT));
        options.listen_any_ip(5001).use_https(());
        let plan = options.plan_at(now(), &[]).unwrap();
        let served: Vec<&ListenOptions> = plan.endpoints().iter().collect();

        fs::write(folder.path().join("a.key"), "garbage").unwrap();
        assert_eq!(shown(options.plan_at(now(), &served).unwrap().endpoints()), [P256]);
        // Whoever starts has nothing to keep.
        assert!(options.plan_at(now(), &[]).is_err());
        write(&folder, "a", "p384");
        assert_eq!(shown(options.plan_at(now(), &served).unwrap().endpoints()), [P384]);
    }

    #[test]
    fn endpoints_of_code_follow_the_default_certificate() {
        let folder = tempfile::tempdir().unwrap();
        write(&folder, "a", "p256");
        write(&folder, "b", "p384");
        let mut options = options(&configuration(&folder, DEFAULT));
        options.listen_any_ip(5001).use_https(());
        let newer = configuration(&folder, &DEFAULT.replace("=a.", "=b."));
        let newer = options.follow(&newer).unwrap();
        assert_eq!(shown(newer.plan_at(now(), &[]).unwrap().endpoints()), [P384]);

        // Those of another configuration do not.
        let mut options = self::options(&configuration(&folder, ""));
        let other = configuration(&folder, DEFAULT);
        options.configure(other.section("Kestrel"));
        options.listen_any_ip(5001).use_https(());
        options.configure(configuration(&folder, "").section("Kestrel"));
        let newer = options.follow(&configuration(&folder, "")).unwrap();
        assert_eq!(shown(newer.plan_at(now(), &[]).unwrap().endpoints()), [P256]);
    }

    #[test]
    fn what_changes_an_endpoint_of_the_configuration() {
        let folder = tempfile::tempdir().unwrap();
        write(&folder, "a", "p256");
        write(&folder, "b", "p384");
        let own = "Endpoints:E:Certificate:Path=a.pem Endpoints:E:Certificate:KeyPath=a.key";
        let endpoint = |kestrel: &str| {
            let text = format!("Endpoints:E:Url=https://*:5001 {kestrel}");
            let mut options = options(&configuration(&folder, &text));
            options.load().unwrap();
            options.endpoints()[0].clone()
        };
        let other_default = DEFAULT.replace("=a.", "=b.");
        for (before, after, is_same) in [
            (DEFAULT.to_owned(), DEFAULT.to_owned(), true),
            (DEFAULT.to_owned(), other_default.clone(), false),
            (DEFAULT.to_owned(), String::new(), false),
            (String::new(), "Certificates:Development:Password=1".to_owned(), false),
            (
                "Certificates:Development:Password=1".to_owned(),
                "Certificates:Development:Password=2".to_owned(),
                false,
            ),
            // What it does not use does not matter.
            (format!("{own} {DEFAULT}"), format!("{own} {other_default}"), true),
            (
                own.to_owned(),
                format!("{own} Certificates:Development:Password=1"),
                true,
            ),
            (own.to_owned(), own.replace("=a.", "=b."), false),
        ] {
            let (before_it, after_it) = (endpoint(&before), endpoint(&after));
            assert_eq!(before_it.is_as_configured(&after_it), is_same, "{before} -> {after}");
        }
    }
}
