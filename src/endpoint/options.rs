//! What a server listens on and how it behaves.

use super::binding::{Binding, SocketHandle};
use super::https::HttpsOptions;
use super::limits::Limits;
use super::listen::{EndpointSource, HttpsCallback, ListenCallback, ListenOptions};
use super::url::{UrlError, UrlPrefix};
use crate::event::Observer;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;

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
    /// Who is told of what happens. Default: nobody.
    pub observer: Option<Arc<dyn Observer>>,
    /// Whether SIGTERM and SIGINT stop the server gracefully; a second signal ends the lame-duck time. Default: no,
    /// because signals belong to the program and not to a library. Without the feature `signals` it does nothing.
    pub handle_signals: bool,
    endpoints: Vec<ListenOptions>,
    endpoint_defaults: Option<ListenCallback>,
    https_defaults: Option<HttpsCallback>,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            add_server_header: true,
            workers: None,
            observer: None,
            handle_signals: false,
            endpoints: Vec::new(),
            endpoint_defaults: None,
            https_defaults: None,
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
        let endpoint = self.url_endpoint(url, EndpointSource::Code)?;
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

    fn push(&mut self, endpoint: ListenOptions) -> &mut ListenOptions {
        self.endpoints.push(endpoint);
        let last = self.endpoints.len() - 1;
        &mut self.endpoints[last]
    }

    /// An endpoint with the defaults as they are now.
    pub(crate) fn endpoint(&self, binding: Binding, source: EndpointSource) -> ListenOptions {
        let mut endpoint = ListenOptions::new(binding, source, self.https_defaults.clone());
        if let Some(defaults) = &self.endpoint_defaults {
            defaults(&mut endpoint);
        }
        endpoint
    }

    /// The endpoint of a URL prefix: https ones have TLS, once.
    pub(crate) fn url_endpoint(&self, url: &str, source: EndpointSource) -> Result<ListenOptions, UrlError> {
        let address = UrlPrefix::parse(url)?.address()?;
        let mut endpoint = self.endpoint(address.binding, source);
        endpoint.set_host(address.host);
        if address.is_https && endpoint.https().is_none() {
            endpoint.use_https();
        }
        Ok(endpoint)
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
