//! The loader: endpoints of the section `Kestrel`, and what the program adds to them.

use super::certificate::Fallback;
use super::error::ConfigurationError;
use super::kestrel::{EndpointSettings, Shared, origin, text};
use super::section::Section;
use crate::endpoint::{
    Binding, EndpointSource, HttpsOptions, ListenCallback, ListenOptions, ServerOptions, SocketHandle,
};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

type EndpointCallback = Arc<dyn Fn(&mut EndpointConfiguration<'_>) + Send + Sync>;

/// Makes endpoints of a configuration section; Kestrel's `KestrelConfigurationLoader`.
/// [`ServerOptions::configure`] makes it.
///
/// ```
/// use stannel::{Configuration, ServerOptions};
///
/// let configuration = Configuration::builder()
///     .set("Kestrel:Endpoints:Web:Url", "http://*:8080")
///     .set("Kestrel:Endpoints:Web:Greeting", "hello")
///     .build()?;
/// let mut options = ServerOptions::default();
/// options
///     .configure(configuration.section("Kestrel"))
///     .endpoint("web", |endpoint| {
///         assert_eq!(endpoint.section().get("Greeting"), Some("hello"));
///         endpoint.listen_options().no_delay = false;
///     })
///     .localhost_endpoint(5001, |_| ());
/// options.load()?;
/// let urls: Vec<String> = options.endpoints().iter().map(|endpoint| endpoint.to_string()).collect();
/// assert_eq!(urls, ["http://localhost:5001", "http://[::]:8080"]);
/// # Ok::<(), stannel::ConfigurationError>(())
/// ```
#[derive(Clone)]
pub struct ConfigurationLoader {
    section: Section,
    reload_on_change: bool,
    defaults: Arc<Shared>,
    /// What of the defaults cannot be understood; told when the endpoints are loaded.
    warnings: Vec<String>,
    callbacks: Vec<(String, EndpointCallback)>,
    deferred: Vec<(Binding, ListenCallback)>,
    is_loaded: bool,
}

/// What a callback for a configured endpoint may look at and change; Kestrel's `EndpointConfiguration`.
#[derive(Debug)]
pub struct EndpointConfiguration<'a> {
    listen_options: &'a mut ListenOptions,
    section: Section,
}

impl EndpointConfiguration<'_> {
    /// Whether its URL says https.
    #[must_use]
    pub fn is_https(&self) -> bool {
        self.listen_options.https().is_some()
    }

    /// The endpoint.
    pub fn listen_options(&mut self) -> &mut ListenOptions {
        self.listen_options
    }

    /// Its HTTPS options; `None` for plain HTTP.
    pub fn https_options(&mut self) -> Option<&mut HttpsOptions> {
        self.listen_options.https_mut()
    }

    /// Its section of the configuration, which may hold keys of the program's own.
    #[must_use]
    pub fn section(&self) -> &Section {
        &self.section
    }
}

impl ConfigurationLoader {
    pub(crate) fn new(section: Section) -> Self {
        let mut warnings = Vec::new();
        let defaults = Shared::read(&section.section("EndpointDefaults"), &mut warnings);
        Self {
            section,
            warnings,
            reload_on_change: false,
            defaults: Arc::new(defaults),
            callbacks: Vec::new(),
            deferred: Vec::new(),
            is_loaded: false,
        }
    }

    /// Whether a running server follows changes of the configuration. Default: no; the options that
    /// [`Configuration::server_options`](crate::Configuration::server_options) makes do.
    pub fn reload_on_change(&mut self, reload: bool) -> &mut Self {
        self.reload_on_change = reload;
        self
    }

    /// Runs a callback on the endpoint of that name, in any case, if it is configured: last of all, so it may change
    /// everything. Of two for one name the later one counts.
    pub fn endpoint(
        &mut self,
        name: impl Into<String>,
        configure: impl Fn(&mut EndpointConfiguration<'_>) + Send + Sync + 'static,
    ) -> &mut Self {
        let name = name.into();
        self.callbacks.retain(|(other, _)| !same_name(other, &name));
        self.callbacks.push((name, Arc::new(configure)));
        self
    }

    /// Listens on an address, once the endpoints are loaded: before the configured ones.
    pub fn address_endpoint(
        &mut self,
        address: std::net::SocketAddr,
        configure: impl Fn(&mut ListenOptions) + Send + Sync + 'static,
    ) -> &mut Self {
        self.defer(Binding::Address(address), configure)
    }

    /// Listens on both loopback addresses, once the endpoints are loaded: before the configured ones.
    pub fn localhost_endpoint(
        &mut self,
        port: u16,
        configure: impl Fn(&mut ListenOptions) + Send + Sync + 'static,
    ) -> &mut Self {
        self.defer(Binding::Localhost(port), configure)
    }

    /// Listens on every address, once the endpoints are loaded: before the configured ones.
    pub fn any_ip_endpoint(
        &mut self,
        port: u16,
        configure: impl Fn(&mut ListenOptions) + Send + Sync + 'static,
    ) -> &mut Self {
        self.defer(Binding::AnyIp(port), configure)
    }

    /// Listens on a Unix socket, once the endpoints are loaded: before the configured ones.
    pub fn unix_socket_endpoint(
        &mut self,
        path: impl Into<PathBuf>,
        configure: impl Fn(&mut ListenOptions) + Send + Sync + 'static,
    ) -> &mut Self {
        self.defer(Binding::Unix(path.into()), configure)
    }

    /// Listens on a socket that is bound already, once the endpoints are loaded: before the configured ones.
    pub fn handle_endpoint(
        &mut self,
        handle: SocketHandle,
        configure: impl Fn(&mut ListenOptions) + Send + Sync + 'static,
    ) -> &mut Self {
        self.defer(Binding::Handle(handle), configure)
    }

    fn defer(&mut self, binding: Binding, configure: impl Fn(&mut ListenOptions) + Send + Sync + 'static) -> &mut Self {
        self.deferred.push((binding, Arc::new(configure)));
        self
    }

    pub(crate) fn section(&self) -> &Section {
        &self.section
    }

    /// The settings of `EndpointDefaults`.
    pub(crate) fn defaults(&self) -> &Arc<Shared> {
        &self.defaults
    }

    /// Whether a running server shall follow the configuration.
    pub(crate) fn follows_changes(&self) -> bool {
        self.reload_on_change
    }

    /// The same loader over a newer configuration, to be loaded again. The endpoints that code added through it were made
    /// when it was loaded first.
    pub(crate) fn with_section(&self, section: Section) -> Self {
        Self {
            reload_on_change: self.reload_on_change,
            callbacks: self.callbacks.clone(),
            ..Self::new(section)
        }
    }

    /// The names of the endpoints whose sections may have keys of the program's own.
    pub(crate) fn named(&self) -> impl Iterator<Item = &str> {
        self.callbacks.iter().map(|(name, _)| name.as_str())
    }
}

/// What loading brings.
#[derive(Default)]
pub(crate) struct Loaded {
    /// In the order of the calls.
    pub(crate) deferred: Vec<ListenOptions>,
    /// In the order of the names.
    pub(crate) configured: Vec<ListenOptions>,
    pub(crate) warnings: Vec<String>,
}

/// Makes the endpoints; `None` if that was done already.
pub(crate) fn load(
    loader: &mut ConfigurationLoader,
    options: &ServerOptions,
) -> Result<Option<Loaded>, ConfigurationError> {
    if loader.is_loaded {
        return Ok(None);
    }
    if loader.callbacks.iter().any(|(name, _)| name.is_empty()) {
        return Err(ConfigurationError::EmptyEndpointName);
    }
    let mut loaded = Loaded {
        warnings: loader.warnings.clone(),
        ..Loaded::default()
    };
    let fallback = Fallback::of(Some(&loader.section), &mut loaded.warnings)?;
    for (binding, configure) in loader.deferred.drain(..) {
        let mut endpoint = options.endpoint(binding, EndpointSource::Code);
        configure(&mut endpoint);
        loaded.deferred.push(endpoint);
    }
    for section in loader.section.section("Endpoints").children() {
        let mut endpoint = configured(&section, options, &fallback, &mut loaded.warnings)?;
        let before = options
            .endpoints()
            .iter()
            .find(|before| before.is_as_configured(&endpoint));
        if let Some(before) = before {
            loaded.configured.push(before.clone().configured_by(&endpoint));
            continue;
        }
        endpoint.set_default_certificate(&fallback);
        let named = |(name, _): &&(String, EndpointCallback)| same_name(name, section.key());
        if let Some((_, callback)) = loader.callbacks.iter().find(named) {
            callback(&mut EndpointConfiguration {
                listen_options: &mut endpoint,
                section,
            });
        }
        loaded.configured.push(endpoint);
    }
    loader.is_loaded = true;
    Ok(Some(loaded))
}

/// An endpoint as its section has it, before any callback.
fn configured(
    section: &Section,
    options: &ServerOptions,
    fallback: &Fallback,
    warnings: &mut Vec<String>,
) -> Result<ListenOptions, ConfigurationError> {
    let url_section = section.section("Url");
    let Some(url) = text(section, "Url") else {
        return Err(ConfigurationError::MissingUrl {
            endpoint: section.key().to_owned(),
            origin: origin(section),
        });
    };
    let source = EndpointSource::Configuration {
        name: section.key().to_owned(),
        origin: origin(&url_section).to_string(),
    };
    let wrong_url = |error| ConfigurationError::InvalidUrl {
        key: url_section.path().to_owned(),
        error,
        origin: origin(&url_section),
    };
    let (mut endpoint, is_https) = options.url_endpoint(url, source).map_err(wrong_url)?;
    let settings = EndpointSettings::read(section, is_https, warnings)?;
    settings.apply_to_endpoint(&mut endpoint);
    if is_https {
        settings.apply_to_https(endpoint.https_or_defaults());
    }
    let keys = section.entries().map(|(key, value)| (key, value.to_owned())).collect();
    endpoint.remember_configuration(keys, fallback);
    Ok(endpoint)
}

fn same_name(left: &str, right: &str) -> bool {
    left.to_lowercase() == right.to_lowercase()
}

impl fmt::Debug for ConfigurationLoader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConfigurationLoader")
            .field("section", &self.section.path())
            .field("reload_on_change", &self.reload_on_change)
            .finish_non_exhaustive()
    }
}
