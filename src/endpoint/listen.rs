//! The options of one endpoint.

use super::binding::Binding;
use super::https::HttpsOptions;
use super::middleware::{ConnectionLogging, ConnectionMiddleware, Layers};
use super::protocols::HttpProtocols;
use super::use_https::UseHttps;
use crate::configuration::{Configuration, Fallback, Section, Shared};
#[cfg(feature = "tls")]
use crate::tls::TlsCertificates;
use std::fmt;
use std::sync::Arc;

/// A callback over the options of an endpoint.
pub(crate) type ListenCallback = Arc<dyn Fn(&mut ListenOptions) + Send + Sync>;

/// A callback over HTTPS options.
pub(crate) type HttpsCallback = Arc<dyn Fn(&mut HttpsOptions) + Send + Sync>;

/// The options of one endpoint; Kestrel's `ListenOptions`. The methods of [`ServerOptions`](crate::ServerOptions) make it.
///
/// ```
/// use stannel::{Binding, HttpProtocols, ServerOptions};
///
/// let mut options = ServerOptions::default();
/// let endpoint = options.listen_any_ip(8080);
/// endpoint.no_delay = false;
/// endpoint.protocols = HttpProtocols::HTTP1;
/// assert_eq!(endpoint.binding(), &Binding::AnyIp(8080));
/// assert_eq!(endpoint.to_string(), "http://[::]:8080");
/// ```
#[derive(Clone)]
#[non_exhaustive]
pub struct ListenOptions {
    /// Whether accepted TCP sockets send small writes at once (TCP_NODELAY). Default: yes; without it pipelined
    /// responses wait for each other's acknowledgements.
    pub no_delay: bool,
    /// The HTTP versions. Default [`HttpProtocols::HTTP1_AND_HTTP2`], as with Kestrel; HTTP/1 is what is served of it.
    pub protocols: HttpProtocols,
    /// The rights of a Unix socket's file, such as `0o660`, set before the first connection can come. Default `None`: as
    /// the process' umask leaves them.
    pub socket_mode: Option<u32>,
    /// Whether the file of a Unix socket is removed first if it is a socket that nobody has open. Default: no, as with
    /// Kestrel; any other file is never removed. Of several servers that do so at the same time one has the path and the
    /// others are refused; servers in different network namespaces (containers that share a folder) do not see each other.
    pub replace_stale_socket: bool,
    binding: Binding,
    /// The `.localhost` name that was asked for.
    host: Option<String>,
    https: Option<HttpsOptions>,
    /// Whether the default certificate is taken if there is no other.
    takes_default_certificate: bool,
    /// What the plan loaded for it.
    #[cfg(feature = "tls")]
    certificates: Option<Arc<TlsCertificates>>,
    middleware: Layers,
    /// How many of them look at the bytes of the socket, once there is TLS; `None`: all.
    middleware_below_tls: Option<usize>,
    defaults: Defaults,
    source: EndpointSource,
    /// How its section had it, before any callback.
    configured: Option<Arc<Configured>>,
}

/// Everything that a change of the configuration can change of an endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Configured {
    name: String,
    /// All keys of its section, those of the program's own too.
    keys: Vec<(String, String)>,
    binding: Binding,
    host: Option<String>,
    no_delay: bool,
    protocols: HttpProtocols,
    socket_mode: Option<u32>,
    replace_stale_socket: bool,
    https: Option<HttpsOptions>,
    /// What it gets if it has no certificate of its own.
    fallback: Option<Fallback>,
}

/// What was in force when an endpoint was made.
#[derive(Clone, Default)]
pub(crate) struct Defaults {
    /// The settings of `EndpointDefaults`.
    pub(crate) shared: Option<Arc<Shared>>,
    pub(crate) https: Option<HttpsCallback>,
    /// The section `Kestrel`, with the default certificate.
    pub(crate) section: Option<Section>,
}

/// Where an endpoint comes from.
///
/// ```
/// use stannel::{EndpointSource, ServerOptions};
///
/// let mut options = ServerOptions::default();
/// assert_eq!(options.listen_localhost(5000).source(), &EndpointSource::Code);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EndpointSource {
    /// A call of the program's.
    Code,
    /// An entry of `Kestrel:Endpoints`.
    Configuration {
        /// Its name.
        name: String,
        /// Where its `Url` stands, such as `in appsettings.json:5:14`.
        origin: String,
    },
    /// A list of URLs.
    Urls {
        /// Where the list stands, such as `on the command line`.
        origin: String,
    },
    /// Nothing was asked for.
    Default,
}

impl fmt::Display for EndpointSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code => f.write_str("from code"),
            Self::Configuration { name, origin } => write!(f, "endpoint {name} {origin}"),
            Self::Urls { origin } => write!(f, "from urls {origin}"),
            Self::Default => f.write_str("by default"),
        }
    }
}

impl ListenOptions {
    pub(crate) fn new(binding: Binding, source: EndpointSource, defaults: Defaults) -> Self {
        let mut endpoint = Self {
            no_delay: true,
            protocols: HttpProtocols::HTTP1_AND_HTTP2,
            socket_mode: None,
            replace_stale_socket: false,
            binding,
            host: None,
            https: None,
            takes_default_certificate: true,
            #[cfg(feature = "tls")]
            certificates: None,
            middleware: Vec::new(),
            middleware_below_tls: None,
            defaults,
            source,
            configured: None,
        };
        if let Some(shared) = endpoint.defaults.shared.clone() {
            shared.apply_to_endpoint(&mut endpoint);
        }
        endpoint
    }

    /// What it binds.
    #[must_use]
    pub fn binding(&self) -> &Binding {
        &self.binding
    }

    /// Where it comes from.
    #[must_use]
    pub fn source(&self) -> &EndpointSource {
        &self.source
    }

    /// Whether it comes from `Kestrel:Endpoints`.
    pub(crate) fn is_configured(&self) -> bool {
        matches!(self.source, EndpointSource::Configuration { .. })
    }

    /// Its HTTPS options; `None` if it serves plain HTTP.
    #[must_use]
    pub fn https(&self) -> Option<&HttpsOptions> {
        self.https.as_ref()
    }

    /// `http`, or `https` once it has HTTPS options.
    #[must_use]
    pub fn scheme(&self) -> &'static str {
        if self.https.is_some() { "https" } else { "http" }
    }

    /// The `.localhost` name that it was asked for with, such as `app.localhost`.
    #[must_use]
    pub fn host(&self) -> Option<&str> {
        self.host.as_deref()
    }

    /// Serves HTTPS, with what `how` says of certificates; Kestrel's `UseHttps`. See [`UseHttps`] for what it may be, and
    /// [`use_https_with`](Self::use_https_with) for everything else.
    ///
    /// ```
    /// use stannel::{CertificateSource, ServerOptions};
    ///
    /// let mut options = ServerOptions::default();
    /// options.listen_any_ip(443).use_https(("site.pfx", "password"));
    /// options.listen_any_ip(8443).use_https(CertificateSource::pem("site.pem", "site.key"));
    /// options.listen_any_ip(9443).use_https(()); // the default certificate
    /// ```
    pub fn use_https(&mut self, how: impl UseHttps) -> &mut Self {
        how.apply_to(self);
        self
    }

    /// Serves HTTPS with options that begin as
    /// [`configure_https_defaults`](crate::ServerOptions::configure_https_defaults) left them. An endpoint has TLS once:
    /// a second call changes the options that are there.
    ///
    /// The default certificate is looked for when the server starts, if there is neither a certificate nor a selector then.
    pub fn use_https_with(&mut self, configure: impl FnOnce(&mut HttpsOptions)) -> &mut Self {
        self.place_tls();
        configure(self.https_or_defaults());
        self
    }

    /// Its HTTPS options; if it has none, those that it has by the defaults. Says nothing of the place of TLS among the
    /// middleware.
    pub(crate) fn https_or_defaults(&mut self) -> &mut HttpsOptions {
        let defaults = &self.defaults;
        self.https.get_or_insert_with(|| {
            let mut https = HttpsOptions::default();
            if let Some(shared) = &defaults.shared {
                shared.apply_to_https(&mut https);
            }
            if let Some(callback) = &defaults.https {
                callback(&mut https);
            }
            https
        })
    }

    /// Serves HTTPS with these options and nothing else: neither defaults nor the default certificate.
    pub(super) fn set_https(&mut self, https: HttpsOptions) {
        self.place_tls();
        self.takes_default_certificate = false;
        self.https = Some(https);
    }

    /// TLS stands where it was asked for first.
    pub(super) fn place_tls(&mut self) {
        self.middleware_below_tls.get_or_insert(self.middleware.len());
    }

    /// Whether the default certificate is taken if there is no other; not if the options were given as a whole.
    #[cfg(feature = "tls")]
    pub(crate) fn takes_default_certificate(&self) -> bool {
        self.takes_default_certificate
    }

    /// Lets something look at every connection, after what was added before; Kestrel's `Use`.
    ///
    /// Added before HTTPS it sees the bytes of the socket, added after it what they say. What the configuration makes HTTPS
    /// becomes so behind the callback of its name, as with Kestrel, unless that calls [`use_https`](Self::use_https).
    pub fn use_middleware(&mut self, middleware: impl ConnectionMiddleware + 'static) -> &mut Self {
        self.middleware.push(Arc::new(middleware));
        self
    }

    /// Logs all bytes of every connection at debug level, to the target `stannel::connections`; Kestrel's
    /// `UseConnectionLogging`.
    pub fn use_connection_logging(&mut self) -> &mut Self {
        self.use_middleware(ConnectionLogging)
    }

    /// What looks at its connections, in order.
    #[must_use]
    pub fn middleware(&self) -> &[Arc<dyn ConnectionMiddleware>] {
        &self.middleware
    }

    /// Those that see the bytes of the socket: all for plain HTTP, otherwise what was added before HTTPS.
    ///
    /// ```
    /// use stannel::ServerOptions;
    ///
    /// let mut options = ServerOptions::default();
    /// let endpoint = options.listen_any_ip(443);
    /// endpoint.use_connection_logging().use_https(()).use_connection_logging();
    /// assert_eq!(endpoint.middleware_below_tls().len(), 1);
    /// assert_eq!(endpoint.middleware_above_tls().len(), 1);
    /// ```
    #[must_use]
    pub fn middleware_below_tls(&self) -> &[Arc<dyn ConnectionMiddleware>] {
        &self.middleware[..self.middleware_below_tls.unwrap_or(self.middleware.len())]
    }

    /// Those that see what the bytes of the socket say: none for plain HTTP, otherwise what was added after HTTPS.
    #[must_use]
    pub fn middleware_above_tls(&self) -> &[Arc<dyn ConnectionMiddleware>] {
        &self.middleware[self.middleware_below_tls().len()..]
    }

    /// The lines that are printed for it before a free port is known; a name below `localhost` has two.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        lines(self.scheme(), self.host(), &self.binding)
    }

    /// It, or one of its host names, and where it comes from, as messages name it.
    pub(crate) fn name(&self, pattern: Option<&str>) -> String {
        match (pattern, &self.source) {
            (None, source) => format!("{self} ({source})"),
            (Some(pattern), EndpointSource::Configuration { name, origin }) => {
                format!("{self} (endpoint {name}:Sni:{pattern} {origin})")
            }
            (Some(pattern), source) => format!("{self} for the host {pattern} ({source})"),
        }
    }

    /// The certificates that the plan loaded for it; `None` before that, and for plain HTTP.
    #[cfg(feature = "tls")]
    pub(crate) fn certificates(&self) -> Option<&Arc<TlsCertificates>> {
        self.certificates.as_ref()
    }

    #[cfg(feature = "tls")]
    pub(crate) fn set_certificates(&mut self, certificates: TlsCertificates) {
        self.certificates = Some(Arc::new(certificates));
    }

    /// Has its certificate come from where a newer plan has it from, and messages name the places of that.
    #[cfg(feature = "tls")]
    pub(crate) fn take_origins(&mut self, newer: &Self) {
        if let (Some(https), Some(newer)) = (&mut self.https, &newer.https) {
            https.server_certificate.clone_from(&newer.server_certificate);
        }
        self.source.clone_from(&newer.source);
        self.defaults.section.clone_from(&newer.defaults.section);
    }

    pub(crate) fn https_mut(&mut self) -> Option<&mut HttpsOptions> {
        self.https.as_mut()
    }

    /// The section `Kestrel` as it was when the endpoint was made.
    #[cfg(feature = "tls")]
    pub(crate) fn kestrel_section(&self) -> Option<&Section> {
        self.defaults.section.as_ref()
    }

    /// The same section in a newer configuration, if the endpoint was made with that one.
    pub(crate) fn follow(&mut self, older: &Configuration, newer: &Configuration) {
        if let Some(section) = &mut self.defaults.section
            && section.configuration().is_same(older)
        {
            *section = newer.section(section.path());
        }
    }

    /// The same endpoint, of which a newer configuration says the same in another place.
    pub(crate) fn configured_by(mut self, newer: &Self) -> Self {
        self.source = newer.source.clone();
        self.defaults.section.clone_from(&newer.defaults.section);
        self
    }

    /// Takes the default certificate that is configured if it serves HTTPS and has none.
    pub(crate) fn set_default_certificate(&mut self, fallback: &Fallback) {
        if let (Some(https), Fallback::Default(source)) = (&mut self.https, fallback)
            && self.takes_default_certificate
            && https.lacks_certificate()
        {
            https.server_certificate = Some(source.clone());
        }
    }

    /// Remembers how it is now, with the keys of its section and what it gets if it has no certificate.
    pub(crate) fn remember_configuration(&mut self, keys: Vec<(String, String)>, fallback: &Fallback) {
        let EndpointSource::Configuration { name, .. } = &self.source else {
            return;
        };
        let lacks_certificate =
            self.takes_default_certificate && self.https.as_ref().is_some_and(HttpsOptions::lacks_certificate);
        self.configured = Some(Arc::new(Configured {
            name: name.to_lowercase(),
            keys,
            binding: self.binding.clone(),
            host: self.host.clone(),
            no_delay: self.no_delay,
            protocols: self.protocols,
            socket_mode: self.socket_mode,
            replace_stale_socket: self.replace_stale_socket,
            https: self.https.clone(),
            fallback: lacks_certificate.then(|| fallback.clone()),
        }));
    }

    /// Whether both come from the configuration, and that says the same of them.
    pub(crate) fn is_as_configured(&self, other: &Self) -> bool {
        self.configured.is_some() && self.configured == other.configured
    }

    pub(crate) fn set_host(&mut self, host: Option<String>) {
        self.host = host;
    }
}

/// The addresses of an endpoint as they are printed: the reported one, and plain localhost for a name below it.
pub(crate) fn lines(scheme: &str, host: Option<&str>, binding: &Binding) -> Vec<String> {
    let plain = format!("{scheme}://{binding}");
    match (host, binding) {
        (Some(host), Binding::Localhost(port)) => vec![format!("{scheme}://{host}:{port}"), plain],
        _ => vec![plain],
    }
}

/// The address that is reported for it, before a free port is known.
impl fmt::Display for ListenOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.lines()[0])
    }
}

impl fmt::Debug for ListenOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ListenOptions")
            .field("binding", &self.binding)
            .field("source", &self.source)
            .field("no_delay", &self.no_delay)
            .field("protocols", &self.protocols)
            .field("https", &self.https)
            .finish_non_exhaustive()
    }
}
