//! From options to what is bound: which of code, configuration and URLs counts, and what is told of it.

use super::binding::Binding;
use super::certificates::{Certificates, https_warnings};
use super::error::EndpointError;
use super::listen::{EndpointSource, ListenOptions};
#[cfg(feature = "tls")]
use super::material::Material;
use super::options::ServerOptions;
use super::protocols::{ClientCertificateMode, HttpProtocols};
#[cfg(feature = "tls")]
use crate::configuration::Fingerprint;
use crate::configuration::{Addresses, ConfigurationError};
use log::Level;
use std::time::SystemTime;

/// What a server will listen on, in order, and what is to be told of how that came about.
///
/// ```
/// use stannel::ServerOptions;
///
/// let plan = ServerOptions::default().plan().unwrap();
/// assert_eq!(plan.endpoints()[0].to_string(), "http://localhost:5000");
/// assert!(plan.notes()[0].text().starts_with("no endpoints are configured"));
/// ```
#[derive(Clone, Debug)]
pub struct EndpointPlan {
    endpoints: Vec<ListenOptions>,
    notes: Vec<Note>,
    follows_changes: bool,
    /// What was read from files, with how they were right before.
    #[cfg(feature = "tls")]
    read: Vec<(Material, Fingerprint)>,
}

/// Something to tell of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    level: Level,
    text: String,
}

impl Note {
    /// How much it matters.
    #[must_use]
    pub fn level(&self) -> Level {
        self.level
    }

    /// One line.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl EndpointPlan {
    /// What to listen on, in order.
    #[must_use]
    pub fn endpoints(&self) -> &[ListenOptions] {
        &self.endpoints
    }

    /// What to tell, in order.
    #[must_use]
    pub fn notes(&self) -> &[Note] {
        &self.notes
    }

    /// Whether a running server follows changes of the configuration.
    #[must_use]
    pub fn follows_changes(&self) -> bool {
        self.follows_changes
    }

    /// What was read from files for HTTPS, with how they were right before.
    #[cfg(feature = "tls")]
    pub(crate) fn read(&self) -> &[(Material, Fingerprint)] {
        &self.read
    }

    fn note(&mut self, level: Level, text: String) {
        self.notes.push(Note { level, text });
    }
}

/// Kestrel's strategies: endpoints over addresses, unless addresses are preferred; the default when there are neither.
/// Those in `served` keep certificates that cannot be loaded again.
pub(super) fn plan(
    options: &ServerOptions,
    now: SystemTime,
    served: &[&ListenOptions],
) -> Result<EndpointPlan, ConfigurationError> {
    let mut options = options.clone();
    options.load()?;
    let mut certificates = Certificates::new(&options, now, served)?;
    options.limits.validate().map_err(ConfigurationError::InvalidLimits)?;
    let mut plan = EndpointPlan {
        endpoints: Vec::new(),
        notes: Vec::new(),
        follows_changes: options.follows_changes(),
        #[cfg(feature = "tls")]
        read: Vec::new(),
    };
    for warning in options.warnings() {
        if options.strict_configuration {
            return Err(ConfigurationError::Strict(warning));
        }
        plan.note(Level::Warn, warning);
    }
    let addresses = options.addresses()?;
    for warning in &addresses.warnings {
        plan.note(Level::Warn, warning.clone());
    }
    let endpoints: Vec<ListenOptions> = options.endpoints().to_vec();
    match (endpoints.is_empty(), addresses.urls.is_empty()) {
        (true, true) => listen_by_default(&mut plan, &options, &mut certificates)?,
        (false, true) => plan.endpoints = endpoints,
        (true, false) => listen_on(&mut plan, &options, &addresses)?,
        (false, false) if options.prefer_hosting_urls => {
            let text = format!(
                "overriding endpoints {} because preferHostingUrls is true; binding to the addresses {} instead",
                listed(endpoints.iter().map(ToString::to_string)),
                listed_addresses(&addresses)
            );
            plan.note(Level::Info, text);
            plan.follows_changes = false;
            listen_on(&mut plan, &options, &addresses)?;
        }
        (false, false) => {
            let text = format!(
                "overriding the addresses {}; binding to the configured endpoints instead",
                listed_addresses(&addresses)
            );
            plan.note(Level::Warn, text);
            plan.endpoints = endpoints;
        }
    }
    for endpoint in &mut plan.endpoints {
        check(endpoint)?;
        certificates.give(endpoint)?;
    }
    #[cfg(feature = "tls")]
    {
        plan.read = certificates.into_read();
    }
    let warnings: Vec<String> = plan.endpoints.iter().flat_map(https_warnings).collect();
    for text in warnings {
        plan.note(Level::Warn, text);
    }
    let told: Vec<String> = plan.endpoints.iter().flat_map(notes).collect();
    for text in told {
        plan.note(Level::Info, text);
    }
    Ok(plan)
}

fn listed(texts: impl Iterator<Item = String>) -> String {
    texts.collect::<Vec<_>>().join(", ")
}

/// Dropped addresses are told as they are; nobody reads them.
fn listed_addresses(addresses: &Addresses) -> String {
    listed(addresses.urls.iter().map(|(url, _)| url.escape_debug().to_string()))
}

/// Where an endpoint comes from, and its certificates.
fn notes(endpoint: &ListenOptions) -> Vec<String> {
    let source = format!("endpoint {endpoint} {}", endpoint.source());
    let certificates = endpoint.certificate_uses().into_iter();
    let certificates = certificates.map(|usage| format!("endpoint {endpoint} has the certificate {usage}"));
    std::iter::once(source).chain(certificates).collect()
}

fn listen_by_default(
    plan: &mut EndpointPlan,
    options: &ServerOptions,
    certificates: &mut Certificates,
) -> Result<(), ConfigurationError> {
    let http = options.endpoint(Binding::Localhost(5000), EndpointSource::Default);
    let mut https = options.endpoint(Binding::Localhost(5001), EndpointSource::Default);
    https.use_https(());
    plan.endpoints.push(http);
    if certificates.has_for(&mut https)? {
        plan.endpoints.push(https);
    }
    let text = format!(
        "no endpoints are configured; binding to {}",
        listed(plan.endpoints.iter().map(ToString::to_string))
    );
    plan.note(Level::Debug, text);
    Ok(())
}

fn listen_on(
    plan: &mut EndpointPlan,
    options: &ServerOptions,
    addresses: &Addresses,
) -> Result<(), ConfigurationError> {
    for (url, origin) in &addresses.urls {
        let source = EndpointSource::Urls { origin: origin.clone() };
        let (endpoint, _) = options.url_endpoint(url, source).map_err(|error| EndpointError::Url {
            origin: origin.clone(),
            error,
        })?;
        plan.endpoints.push(endpoint);
    }
    Ok(())
}

/// Refuses what an endpoint ended up with and nobody can serve.
fn check(endpoint: &ListenOptions) -> Result<(), EndpointError> {
    if let Binding::Unix(path) = endpoint.binding()
        && !path.is_absolute()
    {
        return Err(EndpointError::UnixPathNotAbsolute { path: path.clone() });
    }
    let unsupported = |name: String, key, value: String, supported| EndpointError::UnsupportedSetting {
        endpoint: name,
        key,
        value,
        supported,
    };
    let name = || endpoint.name(None);
    if !endpoint.protocols.contains(HttpProtocols::HTTP1) {
        return Err(unsupported(
            name(),
            "Protocols",
            endpoint.protocols.to_string(),
            PROTOCOLS,
        ));
    }
    let Some(https) = endpoint.https() else { return Ok(()) };
    https.validate().map_err(|error| EndpointError::Https {
        endpoint: name(),
        error,
    })?;
    check_tls(https.ssl_protocols, https.client_certificate_mode)
        .map_err(|(key, value, supported)| unsupported(name(), key, value, supported))?;
    for sni in &https.sni {
        let name = || endpoint.name(Some(&sni.pattern));
        let protocols = sni.protocols.unwrap_or(endpoint.protocols);
        if !protocols.contains(HttpProtocols::HTTP1) {
            return Err(unsupported(name(), "Protocols", protocols.to_string(), PROTOCOLS));
        }
        check_tls(
            sni.ssl_protocols.unwrap_or(https.ssl_protocols),
            sni.client_certificate_mode.unwrap_or(https.client_certificate_mode),
        )
        .map_err(|(key, value, supported)| unsupported(name(), key, value, supported))?;
    }
    Ok(())
}

const PROTOCOLS: &str = "Http1 or Http1AndHttp2, of which HTTP/1.1 is served";

type Unsupported = (&'static str, String, &'static str);

fn check_tls(protocols: super::SslProtocols, mode: ClientCertificateMode) -> Result<(), Unsupported> {
    if protocols.served().is_none() {
        return Err(("SslProtocols", protocols.to_string(), "Tls12 and Tls13"));
    }
    if mode == ClientCertificateMode::DelayCertificate {
        let supported = "NoCertificate, AllowCertificate or RequireCertificate: no client can be asked later";
        return Err(("ClientCertificateMode", mode.to_string(), supported));
    }
    Ok(())
}
