//! What a server listens on and how it behaves.

use super::binding::{Binding, SocketHandle};
use super::https::HttpsOptions;
use super::limits::Limits;
use super::listen::{Defaults, EndpointSource, HttpsCallback, ListenCallback, ListenOptions};
use super::plan::{EndpointPlan, plan};
use super::url::{UrlError, UrlPrefix};
use crate::configuration::{
    Addresses, Configuration, ConfigurationError, ConfigurationLoader, Section, addresses, load, split_urls,
};
use crate::event::Observer;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

/// The options of a server; Kestrel's `KestrelServerOptions`.
///
/// ```
/// use stannel::ServerOptions;
/// use std::net::Ipv4Addr;
///
/// let mut options = ServerOptions::default();
/// options.listen_localhost(5000);
/// options.listen(Ipv4Addr::new(192, 0, 2, 1), 8080);
/// options.listen_unix_socket("/run/stannel.sock");
/// options.listen_url("http://*:8080").unwrap();
/// options.add_server_header = false;
/// ```
#[derive(Clone)]
#[non_exhaustive]
pub struct ServerOptions {
    /// What may grow and what may wait, each with its bound and its default.
    pub limits: Limits,
    /// Whether responses carry `Server: stannel`. Default: yes, as with Kestrel. A Server field of the handler's goes out
    /// instead either way.
    pub add_server_header: bool,
    /// How many event loops there are, each on a thread of its own. Default `None`: one per available core, because
    /// handlers never block.
    pub workers: Option<NonZeroUsize>,
    /// For how many seconds the kernel holds a TCP connection back until its first bytes are there (TCP_DEFER_ACCEPT); 0:
    /// not at all. Default 0.
    ///
    /// It saves a wake-up for each connection: that is worth something where clients make a connection for each request.
    /// The price: a client that says nothing is not seen, counted or timed before that time is over, after which it is
    /// shown all the same. Sockets that are bound already keep what they have; without the feature `defer-accept` it does
    /// nothing.
    pub defer_accept: u32,
    /// Who is told of what happens. Default: nobody.
    pub observer: Option<Arc<dyn Observer>>,
    /// Whether SIGTERM and SIGINT stop the server gracefully; a second signal ends the lame-duck time. Default: no,
    /// because signals belong to the program and not to a library. Without the feature `signals` it does nothing.
    pub handle_signals: bool,
    /// URLs to listen on, stronger than those of [`use_urls`](Self::use_urls) and of any configuration; Kestrel's
    /// `app.Urls`. Default: none. Endpoints win over them, unless `prefer_hosting_urls` says otherwise.
    pub urls: Vec<String>,
    /// Whether URLs win over endpoints; Kestrel's `PreferHostingUrls`. Default: no.
    pub prefer_hosting_urls: bool,
    /// Whether keys below `Kestrel` that mean nothing, and values of endpoints that cannot be understood, end the start
    /// instead of being told and ignored. Default: no, as with Kestrel.
    pub strict_configuration: bool,
    /// Whether systemd is told when the server is ready, reads its configuration anew, stops, and that it lives, if
    /// systemd wants to know (`Type=notify`, `WatchdogSec=`). Default: no. Without the feature `systemd` it does nothing.
    pub notify_systemd: bool,
    /// Where certificate stores and development certificates are looked for. Default `None`: where .NET has them for the
    /// user who runs this ([`CertificateStores::from_environment`](crate::certificate::CertificateStores::from_environment)).
    #[cfg(feature = "tls")]
    pub certificate_stores: Option<crate::certificate::CertificateStores>,
    /// Whether a running server looks whether files of certificates, keys and roots for client certificates have changed,
    /// four times a second, and shows new clients what is in them then. Default: yes; no where the files lie on something
    /// that may not answer, because the thread that waits for it cannot stop the server meanwhile. A reload, such as
    /// [`ServerHandle::reload`](crate::ServerHandle::reload), reads them either way.
    #[cfg(feature = "tls")]
    pub follow_certificate_files: bool,
    endpoints: Vec<ListenOptions>,
    endpoint_defaults: Option<ListenCallback>,
    https_defaults: Option<HttpsCallback>,
    loader: Option<ConfigurationLoader>,
    warnings: Vec<String>,
    use_urls: Vec<String>,
    configuration: Option<Configuration>,
    reload_callback: Option<ReloadCallback>,
}

type ReloadCallback = Arc<dyn Fn(&Configuration) + Send + Sync>;

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            add_server_header: true,
            workers: None,
            defer_accept: 0,
            observer: None,
            handle_signals: false,
            urls: Vec::new(),
            prefer_hosting_urls: false,
            strict_configuration: false,
            notify_systemd: false,
            #[cfg(feature = "tls")]
            certificate_stores: None,
            #[cfg(feature = "tls")]
            follow_certificate_files: true,
            endpoints: Vec::new(),
            endpoint_defaults: None,
            https_defaults: None,
            loader: None,
            warnings: Vec::new(),
            use_urls: Vec::new(),
            configuration: None,
            reload_callback: None,
        }
    }
}

impl ServerOptions {
    /// Listens on that address and port; port 0 takes a free one, which
    /// [`BoundServer::addresses`](crate::BoundServer::addresses) tells.
    pub fn listen(&mut self, address: impl Into<IpAddr>, port: u16) -> &mut ListenOptions {
        self.add(Binding::Address(SocketAddr::new(address.into(), port)))
    }

    /// Listens on both loopback addresses; port 0 takes one port that is free on both.
    pub fn listen_localhost(&mut self, port: u16) -> &mut ListenOptions {
        self.add(Binding::Localhost(port))
    }

    /// Listens on every address: `[::]` for IPv6 and IPv4, or `0.0.0.0` where there is no IPv6.
    pub fn listen_any_ip(&mut self, port: u16) -> &mut ListenOptions {
        self.add(Binding::AnyIp(port))
    }

    /// Listens on a Unix socket, which must not exist yet and is removed at an orderly stop.
    pub fn listen_unix_socket(&mut self, path: impl Into<PathBuf>) -> &mut ListenOptions {
        self.add(Binding::Unix(path.into()))
    }

    /// Listens on a URL prefix such as `http://localhost:5000`, `http://*:80` or `http://unix:/run/app.sock`.
    ///
    /// A host name that is none of these listens on every address, as with Kestrel.
    ///
    /// # Errors
    /// Says what is wrong with the URL.
    pub fn listen_url(&mut self, url: &str) -> Result<&mut ListenOptions, UrlError> {
        let (mut endpoint, is_https) = self.url_endpoint(url, EndpointSource::Code)?;
        if is_https {
            endpoint.place_tls();
        }
        Ok(self.push(endpoint))
    }

    /// Listens on a socket that is bound already.
    pub fn listen_handle(&mut self, handle: SocketHandle) -> &mut ListenOptions {
        self.add(Binding::Handle(handle))
    }

    /// Runs a callback on every endpoint that is made from now on, before the endpoint's own options are set; Kestrel's
    /// `ConfigureEndpointDefaults`. There is one: a second call replaces the first.
    ///
    /// ```
    /// use stannel::ServerOptions;
    ///
    /// let mut options = ServerOptions::default();
    /// options.configure_endpoint_defaults(|endpoint| endpoint.no_delay = false);
    /// assert!(!options.listen_localhost(5000).no_delay);
    /// ```
    pub fn configure_endpoint_defaults(&mut self, defaults: impl Fn(&mut ListenOptions) + Send + Sync + 'static) {
        self.endpoint_defaults = Some(Arc::new(defaults));
    }

    /// Runs a callback on the HTTPS options of every endpoint that is made from now on; Kestrel's
    /// `ConfigureHttpsDefaults`. There is one: a second call replaces the first.
    pub fn configure_https_defaults(&mut self, defaults: impl Fn(&mut HttpsOptions) + Send + Sync + 'static) {
        self.https_defaults = Some(Arc::new(defaults));
    }

    /// What to listen on, in order. None: `http://localhost:5000`.
    #[must_use]
    pub fn endpoints(&self) -> &[ListenOptions] {
        &self.endpoints
    }

    fn add(&mut self, binding: Binding) -> &mut ListenOptions {
        let endpoint = self.endpoint(binding, EndpointSource::Code);
        self.push(endpoint)
    }

    /// Code endpoints stand before configured ones, whenever they were added.
    fn push(&mut self, endpoint: ListenOptions) -> &mut ListenOptions {
        let place = self
            .endpoints
            .iter()
            .position(ListenOptions::is_configured)
            .unwrap_or(self.endpoints.len());
        self.endpoints.insert(place, endpoint);
        &mut self.endpoints[place]
    }

    /// An endpoint with the defaults as they are now.
    pub(crate) fn endpoint(&self, binding: Binding, source: EndpointSource) -> ListenOptions {
        let defaults = Defaults {
            shared: self.loader.as_ref().map(|loader| Arc::clone(loader.defaults())),
            https: self.https_defaults.clone(),
            section: self.loader.as_ref().map(|loader| loader.section().clone()),
        };
        let mut endpoint = ListenOptions::new(binding, source, defaults);
        if let Some(defaults) = &self.endpoint_defaults {
            defaults(&mut endpoint);
        }
        endpoint
    }

    /// The endpoint of a URL prefix, and whether that says https: such an endpoint has TLS, once.
    pub(crate) fn url_endpoint(&self, url: &str, source: EndpointSource) -> Result<(ListenOptions, bool), UrlError> {
        let address = UrlPrefix::parse(url)?.address()?;
        let mut endpoint = self.endpoint(address.binding, source);
        endpoint.set_host(address.host);
        if address.is_https && endpoint.https().is_none() {
            endpoint.https_or_defaults();
        }
        Ok((endpoint, address.is_https))
    }

    // ---- configuration

    /// Takes everything from a configuration that the default builder of ASP.NET Core would: the section `Kestrel` with
    /// limits and endpoints, and the URLs; a running server follows its changes.
    ///
    /// # Errors
    /// Names the first value of the limits that cannot be understood. Endpoints are judged by [`plan`](Self::plan).
    pub fn use_configuration(&mut self, configuration: &Configuration) -> Result<(), ConfigurationError> {
        configuration.apply_to(self)?;
        self.configure(configuration.section("Kestrel")).reload_on_change(true);
        self.prefer_hosting_urls = configuration.prefers_hosting_urls();
        self.configuration = Some(configuration.clone());
        Ok(())
    }

    /// Makes a loader for the endpoints of a section, which replaces the one before; Kestrel's `Configure`. Its defaults
    /// count for endpoints that are made from now on.
    pub fn configure(&mut self, section: Section) -> &mut ConfigurationLoader {
        self.loader.insert(ConfigurationLoader::new(section))
    }

    /// The loader that [`configure`](Self::configure) or [`use_configuration`](Self::use_configuration) made last.
    pub fn loader_mut(&mut self) -> Option<&mut ConfigurationLoader> {
        self.loader.as_mut()
    }

    /// What [`use_configuration`](Self::use_configuration) took.
    #[must_use]
    pub fn configuration(&self) -> Option<&Configuration> {
        self.configuration.as_ref()
    }

    /// Makes the endpoints of the loader now; [`plan`](Self::plan) and [`Server::bind`](crate::Server::bind) do it
    /// otherwise. A second call does nothing.
    ///
    /// # Errors
    /// The first endpoint that cannot be understood.
    pub fn load(&mut self) -> Result<(), ConfigurationError> {
        let Some(mut loader) = self.loader.take() else {
            return Ok(());
        };
        // The loader's own endpoints have its defaults, so it is in its place while they are made.
        self.loader = Some(loader.clone());
        let loaded = load(&mut loader, self);
        self.loader = Some(loader);
        let Some(loaded) = loaded? else { return Ok(()) };
        self.endpoints.retain(|endpoint| !endpoint.is_configured());
        self.endpoints.extend(loaded.deferred);
        self.endpoints.extend(loaded.configured);
        self.warnings = loaded.warnings;
        Ok(())
    }

    /// Listens on these URLs, unless there are endpoints; stronger than every configuration. Kestrel's `UseUrls`.
    ///
    /// ```
    /// let mut options = stannel::ServerOptions::default();
    /// options.use_urls(["http://localhost:8000;http://localhost:8001"]);
    /// assert_eq!(options.plan().unwrap().endpoints().len(), 2);
    /// ```
    pub fn use_urls<U: Into<String>>(&mut self, urls: impl IntoIterator<Item = U>) {
        self.use_urls = urls.into_iter().map(Into::into).collect();
    }

    /// What a server would listen on that starts at this time in place of one that serves these.
    pub(crate) fn plan_at(
        &self,
        now: SystemTime,
        served: &[&ListenOptions],
    ) -> Result<EndpointPlan, ConfigurationError> {
        plan(self, now, served)
    }

    /// Runs a callback whenever a running server has read its configuration anew and understood it, for settings that the
    /// program reads itself: on the thread that called [`run`](crate::BoundServer::run), before endpoints come and go. There
    /// is one: a second call replaces the first. A panic is logged and changes nothing.
    ///
    /// ```
    /// use stannel::middleware::HostFilter;
    /// use stannel::Configuration;
    ///
    /// let configuration = Configuration::builder().set("AllowedHosts", "example.com").build()?;
    /// let filter = HostFilter::new(&configuration.host_filtering())?;
    /// let mut options = configuration.server_options()?;
    /// options.on_reload(move |newer| {
    ///     if let Err(error) = filter.set(&newer.host_filtering()) {
    ///         eprintln!("{error}");
    ///     }
    /// });
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn on_reload(&mut self, callback: impl Fn(&Configuration) + Send + Sync + 'static) {
        self.reload_callback = Some(Arc::new(callback));
    }

    pub(crate) fn tell_reloaded(&self, newer: &Configuration) {
        if let Some(callback) = &self.reload_callback
            && catch_unwind(AssertUnwindSafe(|| callback(newer))).is_err()
        {
            log::error!(target: "stannel", "what was to run after reading the configuration anew panicked");
        }
    }

    /// The configuration that a running server follows.
    pub(crate) fn followed_configuration(&self) -> Option<&Configuration> {
        self.loader.as_ref().map(|loader| loader.section().configuration())
    }

    /// The same options over a newer configuration. Endpoints that it has not changed stay as they are, and their
    /// callbacks are not called again.
    ///
    /// # Errors
    /// Names the first value of the limits that cannot be understood.
    pub(crate) fn follow(&self, newer: &Configuration) -> Result<Self, ConfigurationError> {
        let mut options = self.clone();
        if let Some(before) = &self.configuration {
            let limits_of = |configuration: &Configuration| {
                let mut of_configuration = Self::default();
                configuration.apply_to(&mut of_configuration).map(|()| of_configuration)
            };
            let (before, after) = (limits_of(before)?, limits_of(newer)?);
            // What code has set stays until the configuration says something else.
            if before.limits != after.limits {
                options.limits = after.limits;
            }
            if before.add_server_header != after.add_server_header {
                options.add_server_header = after.add_server_header;
            }
            if before.workers != after.workers {
                log::warn!(target: "stannel", "Kestrel:Workers has changed; that takes a restart");
            }
            options.configuration = Some(newer.clone());
        }
        if let Some(loader) = &self.loader {
            options.loader = Some(loader.with_section(newer.section(loader.section().path())));
            for endpoint in &mut options.endpoints {
                endpoint.follow(loader.section().configuration(), newer);
            }
        }
        options.load()?;
        Ok(options)
    }

    pub(super) fn addresses(&self) -> Result<Addresses, ConfigurationError> {
        let in_code = |lists: &[String]| Addresses {
            urls: lists
                .iter()
                .flat_map(|list| split_urls(list))
                .map(|url| (url.to_owned(), "in code".to_owned()))
                .collect(),
            warnings: Vec::new(),
        };
        for lists in [&self.urls, &self.use_urls] {
            let addresses = in_code(lists);
            if !addresses.urls.is_empty() {
                return Ok(addresses);
            }
        }
        self.configuration
            .as_ref()
            .map_or_else(|| Ok(Addresses::default()), addresses)
    }

    /// What is to be told of the configuration: values that cannot be understood, and keys that mean nothing.
    pub(super) fn warnings(&self) -> Vec<String> {
        let mut warnings = self.warnings.clone();
        if let Some(loader) = &self.loader {
            let named: Vec<&str> = loader.named().collect();
            warnings.extend(loader.section().configuration().key_warnings(&named));
        }
        warnings
    }

    pub(super) fn follows_changes(&self) -> bool {
        self.loader.as_ref().is_some_and(ConfigurationLoader::follows_changes)
    }

    /// Where certificate stores are.
    #[cfg(feature = "tls")]
    pub(crate) fn stores(&self) -> crate::certificate::CertificateStores {
        let stores = self.certificate_stores.clone();
        stores.unwrap_or_else(crate::certificate::CertificateStores::from_environment)
    }

    /// The section that the loader reads, `Kestrel` as a rule.
    #[cfg(feature = "tls")]
    pub(super) fn kestrel_section(&self) -> Option<&Section> {
        self.loader.as_ref().map(ConfigurationLoader::section)
    }
}

impl fmt::Debug for ServerOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerOptions")
            .field("limits", &self.limits)
            .field("add_server_header", &self.add_server_header)
            .field("workers", &self.workers)
            .field("endpoints", &self.endpoints)
            .finish_non_exhaustive()
    }
}
