//! What a server listens on and how it behaves.

use super::limits::Limits;
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
    /// Says what is wrong with the URL; `https` is not served yet.
    pub fn listen_url(&mut self, url: &str) -> Result<&mut ListenOptions, UrlError> {
        let prefix = UrlPrefix::parse(url)?;
        Ok(self.add(prefix.binding().clone()))
    }

    /// What to listen on, in order. None: `http://localhost:5000`.
    #[must_use]
    pub fn endpoints(&self) -> &[ListenOptions] {
        &self.endpoints
    }

    fn add(&mut self, binding: Binding) -> &mut ListenOptions {
        self.endpoints.push(ListenOptions { binding });
        let last = self.endpoints.len() - 1;
        &mut self.endpoints[last]
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

/// The options of one endpoint; Kestrel's `ListenOptions`. The methods of [`ServerOptions`] make it.
///
/// ```
/// use stannel::{Binding, ListenOptions, ServerOptions};
///
/// let mut options = ServerOptions::default();
/// options.listen_any_ip(8080);
/// assert_eq!(options.endpoints(), [ListenOptions::new(Binding::AnyIp(8080))]);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ListenOptions {
    binding: Binding,
}

impl ListenOptions {
    /// An endpoint with default options.
    #[must_use]
    pub fn new(binding: Binding) -> Self {
        Self { binding }
    }

    /// What it binds.
    #[must_use]
    pub fn binding(&self) -> &Binding {
        &self.binding
    }
}

/// What an endpoint binds. It is shown as the URL prefix that [`ServerOptions::listen_url`] takes.
///
/// ```
/// use stannel::Binding;
///
/// assert_eq!(Binding::Localhost(5000).to_string(), "http://localhost:5000");
/// assert_eq!(Binding::Unix("/run/app.sock".into()).to_string(), "http://unix:/run/app.sock");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Binding {
    /// Exactly this address.
    Address(SocketAddr),
    /// Both loopback addresses on this port: 127.0.0.1 and `::1`; one that the machine does not have is done without.
    Localhost(u16),
    /// Every address on this port, by one IPv6 socket that takes IPv4 too.
    AnyIp(u16),
    /// A Unix socket at this path.
    Unix(PathBuf),
    /// A Unix socket in Linux' abstract name space.
    UnixAbstract(String),
}

impl fmt::Display for Binding {
    /// The URL prefix as it is reported.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => write!(f, "http://{}", without_zone(*address)),
            Self::Localhost(port) => write!(f, "http://localhost:{port}"),
            Self::AnyIp(port) => write!(f, "http://[::]:{port}"),
            Self::Unix(path) => write!(f, "http://unix:{}", path.display()),
            Self::UnixAbstract(name) => write!(f, "http://unix:@{name}"),
        }
    }
}

/// A zone is a matter of this machine alone.
fn without_zone(mut address: SocketAddr) -> SocketAddr {
    if let SocketAddr::V6(address) = &mut address {
        address.set_scope_id(0);
    }
    address
}
