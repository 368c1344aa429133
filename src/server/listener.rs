//! Binding endpoints: which sockets, with which options, and what went wrong.

use super::socket::Socket;
use crate::endpoint::{Binding, Limits, LimitsError, ListenOptions, SocketHandle};
use crate::handler::Peer;
use mio::net::{TcpListener, UnixListener};
use socket2::{Domain, Protocol, Type};
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::linux::net::SocketAddrExt;
use std::path::{Path, PathBuf};

/// Kestrel's backlog.
const BACKLOG: i32 = 512;

/// What the kernel may hold unsent for a client that does not read; without a bound it is 2.8 MB.
const NOTSENT_LOWAT: u32 = 131_072;

/// How often a port that is free on both loopback addresses is looked for.
const LOCALHOST_TRIES: usize = 32;

/// What an endpoint listens on.
///
/// ```
/// # use stannel::{Exchange, Request, Server, ServerOptions, StatusCode};
/// # let hello = |_: &Request<'_>, exchange: Exchange<'_>| exchange.respond(StatusCode::OK).send("hello");
/// let mut options = ServerOptions::default();
/// options.listen_localhost(0);
/// let server = Server::new(options, move || hello).bind().unwrap();
/// let address = &server.addresses()[0];
/// assert_ne!(address.port(), Some(0));
/// assert_eq!(address.to_string(), format!("http://localhost:{}", address.port().unwrap()));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BoundAddress {
    scheme: &'static str,
    host: Option<String>,
    binding: Binding,
    socket_addrs: Vec<SocketAddr>,
}

impl BoundAddress {
    /// The binding, with the real port.
    #[must_use]
    pub fn binding(&self) -> &Binding {
        &self.binding
    }

    /// The real port; `None` for Unix sockets.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        self.socket_addrs.first().map(SocketAddr::port)
    }

    /// The TCP addresses behind it: two for localhost, none for Unix sockets.
    #[must_use]
    pub fn socket_addrs(&self) -> &[SocketAddr] {
        &self.socket_addrs
    }
}

impl fmt::Display for BoundAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.host, &self.binding) {
            (Some(host), Binding::Localhost(port)) => write!(f, "{}://{host}:{port}", self.scheme),
            _ => write!(f, "{}://{}", self.scheme, self.binding),
        }
    }
}

/// Why a server could not open its sockets. Its message names the address and says what to do.
///
/// ```
/// # use stannel::{Exchange, Request, Server, ServerOptions, StatusCode};
/// # let hello = |_: &Request<'_>, exchange: Exchange<'_>| exchange.respond(StatusCode::OK).send("hello");
/// use stannel::BindError;
///
/// let mut options = ServerOptions::default();
/// options.listen_localhost(0);
/// let first = Server::new(options, move || hello).bind().unwrap();
/// let mut options = ServerOptions::default();
/// options.listen_localhost(first.addresses()[0].port().unwrap());
/// let second = Server::new(options, move || hello).bind();
/// assert!(matches!(second, Err(BindError::AddressInUse { .. })));
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum BindError {
    /// The limits do not fit together.
    Limits(LimitsError),
    /// Somebody listens on the address already, or a file is where the Unix socket should be.
    AddressInUse {
        /// The address.
        address: String,
    },
    /// The system refused the address.
    Refused {
        /// The address.
        address: String,
        /// Why.
        source: io::Error,
    },
    /// Neither loopback address could be bound.
    LocalhostFailed {
        /// The port.
        port: u16,
        /// Why 127.0.0.1 could not.
        ipv4: io::Error,
        /// Why ::1 could not.
        ipv6: io::Error,
    },
    /// The endpoint wants TLS, which this build does not have.
    TlsUnavailable {
        /// The endpoint's address.
        address: String,
    },
    /// There are more than 65,536 endpoints.
    TooManyEndpoints,
    /// An event loop could not be set up.
    EventLoop(io::Error),
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Limits(error) => error.fmt(f),
            Self::AddressInUse { address } if address.starts_with("unix:") => write!(
                f,
                "cannot bind {address}: address in use; remove the file if nobody listens on it, or choose another path"
            ),
            Self::AddressInUse { address } => write!(
                f,
                "cannot bind {address}: address in use; stop the server that listens there or choose another port"
            ),
            Self::Refused { address, source } => write!(f, "cannot bind {address}: {source}{}", advice(source)),
            Self::LocalhostFailed { port, ipv4, ipv6 } => {
                write!(
                    f,
                    "cannot bind localhost:{port}: 127.0.0.1: {ipv4}; ::1: {ipv6}{}",
                    advice(ipv4)
                )
            }
            Self::TlsUnavailable { address } => {
                write!(f, "cannot serve {address}: this build has no TLS; use an http URL")
            }
            Self::TooManyEndpoints => f.write_str("too many endpoints; a server has at most 65536"),
            Self::EventLoop(error) => write!(f, "cannot set up an event loop: {error}{}", advice(error)),
        }
    }
}

fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => {
            "; use a port above 1023 or a place you may write to, or grant CAP_NET_BIND_SERVICE"
        }
        io::ErrorKind::AddrNotAvailable => "; use an address of this machine",
        io::ErrorKind::NotFound => "; create the folder first",
        _ if error.raw_os_error() == Some(EMFILE) => "; raise the limit on open files (ulimit -n)",
        _ => "",
    }
}

/// Too many open files in this process; the standard library has no kind for it.
pub(super) const EMFILE: i32 = 24;

impl std::error::Error for BindError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Limits(error) => Some(error),
            Self::Refused { source, .. } | Self::EventLoop(source) => Some(source),
            Self::LocalhostFailed { ipv4, .. } => Some(ipv4),
            Self::AddressInUse { .. } | Self::TlsUnavailable { .. } | Self::TooManyEndpoints => None,
        }
    }
}

#[derive(Debug)]
pub(super) enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Listener {
    #[inline]
    pub(super) fn accept(&self) -> io::Result<(Socket, Peer)> {
        match self {
            Self::Tcp(listener) => listener
                .accept()
                .map(|(stream, peer)| (Socket::Tcp(stream), Peer::Tcp(peer))),
            Self::Unix(listener) => listener.accept().map(|(stream, _)| (Socket::Unix(stream), Peer::Unix)),
        }
    }
}

/// The file of a Unix socket; removed when this is dropped.
#[derive(Debug)]
pub(super) struct UnixPath(PathBuf);

impl Drop for UnixPath {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.0) {
            log::warn!(target: "stannel", "cannot remove the Unix socket {}: {error}", self.0.display());
        }
    }
}

/// An endpoint's sockets, each with the worker that serves it.
pub(super) struct BoundEndpoint {
    pub(super) address: BoundAddress,
    pub(super) listeners: Vec<(usize, Listener)>,
    pub(super) unix_path: Option<UnixPath>,
}

pub(super) fn bind_endpoint(
    endpoint: &ListenOptions,
    workers: usize,
    limits: &Limits,
) -> Result<BoundEndpoint, BindError> {
    let tcp = |binding, bound: Vec<BoundTcp>| Bound {
        binding,
        socket_addrs: bound.iter().map(|bound| bound.address).collect(),
        listeners: bound
            .into_iter()
            .flat_map(|bound| bound.listeners.into_iter().enumerate())
            .collect(),
        unix_path: None,
    };
    if endpoint.https().is_some() {
        return Err(BindError::TlsUnavailable {
            address: endpoint.to_string(),
        });
    }
    let binding = endpoint.binding();
    let bound = match binding {
        Binding::Address(address) => {
            let bound = bind_tcp(*address, V6::Only, workers, limits).map_err(|error| refused(*address, error))?;
            let mut real = *address;
            real.set_port(bound.address.port());
            tcp(Binding::Address(real), vec![bound])
        }
        Binding::AnyIp(port) => bind_any(*port, workers, limits).map(|(binding, bound)| tcp(binding, vec![bound]))?,
        Binding::Localhost(port) => {
            let bound = bind_localhost(*port, workers, limits)?;
            let port = bound.first().map_or(*port, |bound| bound.address.port());
            tcp(Binding::Localhost(port), bound)
        }
        Binding::Unix(path) => bind_unix(binding, path, workers)?,
        Binding::UnixAbstract(name) => bind_abstract(binding, name, workers)?,
        Binding::Handle(handle) => take_over(handle, workers).map_err(|error| refused(binding, error))?,
    };
    Ok(BoundEndpoint {
        address: BoundAddress {
            scheme: endpoint.scheme(),
            host: endpoint.host().map(str::to_owned),
            binding: bound.binding,
            socket_addrs: bound.socket_addrs,
        },
        listeners: bound.listeners,
        unix_path: bound.unix_path,
    })
}

/// What binding came to.
struct Bound {
    /// With the real port.
    binding: Binding,
    socket_addrs: Vec<SocketAddr>,
    listeners: Vec<(usize, Listener)>,
    unix_path: Option<UnixPath>,
}

/// A socket that is bound already: its own address tells what it is. It is not ours to close or, as a file, to remove.
fn take_over(handle: &SocketHandle, workers: usize) -> io::Result<Bound> {
    let socket = socket2::Socket::from(handle.descriptor().try_clone()?);
    let address = socket.local_addr()?;
    socket.listen(BACKLOG)?;
    if let Some(address) = address.as_socket() {
        let listener = std::net::TcpListener::from(socket);
        listener.set_nonblocking(true)?;
        let share = |worker| Ok((worker, Listener::Tcp(TcpListener::from_std(listener.try_clone()?))));
        return Ok(Bound {
            binding: Binding::Address(address),
            socket_addrs: vec![address],
            listeners: (0..workers).map(share).collect::<io::Result<_>>()?,
            unix_path: None,
        });
    }
    let binding = match (address.as_pathname(), address.as_abstract_namespace()) {
        (Some(path), _) => Binding::Unix(path.to_owned()),
        (None, Some(name)) => Binding::UnixAbstract(String::from_utf8_lossy(name).into_owned()),
        (None, None) => {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "it is neither a TCP nor a named Unix socket",
            ));
        }
    };
    let listeners = share_unix(std::os::unix::net::UnixListener::from(socket), workers)?;
    Ok(Bound {
        binding,
        socket_addrs: Vec::new(),
        listeners,
        unix_path: None,
    })
}

fn refused(address: impl fmt::Display, error: io::Error) -> BindError {
    let address = address.to_string();
    if error.kind() == io::ErrorKind::AddrInUse {
        BindError::AddressInUse { address }
    } else {
        BindError::Refused { address, source: error }
    }
}

/// `[::]` for both families; `0.0.0.0` where there is no IPv6.
fn bind_any(port: u16, workers: usize, limits: &Limits) -> Result<(Binding, BoundTcp), BindError> {
    let any = SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), port);
    match bind_tcp(any, V6::AndV4, workers, limits) {
        Ok(bound) => Ok((Binding::AnyIp(bound.address.port()), bound)),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => Err(refused(any, error)),
        Err(error) => {
            log::debug!(target: "stannel", "cannot bind {any}: {error}; trying 0.0.0.0");
            let any = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port);
            let bound = bind_tcp(any, V6::Only, workers, limits).map_err(|error| refused(any, error))?;
            Ok((Binding::Address(bound.address), bound))
        }
    }
}

/// 127.0.0.1, then ::1 on the same port. In use on either is an error; one that is not available is done without.
fn bind_localhost(port: u16, workers: usize, limits: &Limits) -> Result<Vec<BoundTcp>, BindError> {
    let mut tries = 0;
    loop {
        tries += 1;
        let address = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port);
        let ipv4 = match bind_tcp(address, V6::Only, workers, limits) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => return Err(refused(address, error)),
            other => other,
        };
        let shared_port = ipv4.as_ref().map_or(port, |bound| bound.address.port());
        let address = SocketAddr::new(IpAddr::V6(Ipv6Addr::LOCALHOST), shared_port);
        let ipv6 = match bind_tcp(address, V6::Only, workers, limits) {
            // The port that the system chose for one address is taken on the other: another one, then.
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && port == 0 && tries < LOCALHOST_TRIES => continue,
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => return Err(refused(address, error)),
            other => other,
        };
        return match (ipv4, ipv6) {
            (Ok(ipv4), Ok(ipv6)) => Ok(vec![ipv4, ipv6]),
            (Ok(bound), Err(error)) => {
                log::info!(target: "stannel", "cannot bind http://localhost:{shared_port} on the IPv6 loopback: {error}");
                Ok(vec![bound])
            }
            (Err(error), Ok(bound)) => {
                log::info!(target: "stannel", "cannot bind http://localhost:{shared_port} on the IPv4 loopback: {error}");
                Ok(vec![bound])
            }
            (Err(ipv4), Err(ipv6)) => Err(BindError::LocalhostFailed { port, ipv4, ipv6 }),
        };
    }
}

struct BoundTcp {
    address: SocketAddr,
    /// One for each worker.
    listeners: Vec<Listener>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum V6 {
    Only,
    AndV4,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Port {
    Own,
    Shared,
}

fn bind_tcp(address: SocketAddr, v6: V6, workers: usize, limits: &Limits) -> io::Result<BoundTcp> {
    let first = tcp_socket(address, v6, Port::Own, limits)?;
    let address = first.local_addr()?.as_socket().unwrap_or(address);
    let mut sockets = vec![first];
    if workers > 1 {
        // Set behind listen, not before: a second server that does the same is refused at its own first bind, and one
        // that is at the same point at the same time is refused at listen.
        sockets[0].set_reuse_port(true)?;
        for _ in 1..workers {
            sockets.push(tcp_socket(address, v6, Port::Shared, limits)?);
        }
    }
    let listeners = sockets
        .into_iter()
        .map(|socket| Listener::Tcp(TcpListener::from_std(socket.into())))
        .collect();
    Ok(BoundTcp { address, listeners })
}

/// A listening socket; accepted ones inherit its options, which saves a call for each.
fn tcp_socket(address: SocketAddr, v6: V6, port: Port, limits: &Limits) -> io::Result<socket2::Socket> {
    let kind = Type::STREAM.nonblocking().cloexec();
    let socket = socket2::Socket::new(Domain::for_address(address), kind, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(v6 == V6::Only)?;
    }
    // A stopped server's port can be bound again at once.
    socket.set_reuse_address(true)?;
    if port == Port::Shared {
        socket.set_reuse_port(true)?;
    }
    // Without it pipelined responses stall for 40 ms.
    socket.set_tcp_nodelay(true)?;
    if let Some(stall) = limits.response_stall_timeout {
        socket.set_tcp_user_timeout(Some(stall))?;
        socket.set_tcp_notsent_lowat(NOTSENT_LOWAT)?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket)
}

fn bind_unix(binding: &Binding, path: &Path, workers: usize) -> Result<Bound, BindError> {
    let name = || format!("unix:{}", path.display());
    let listener = std::os::unix::net::UnixListener::bind(path).map_err(|error| refused(name(), error))?;
    let unix_path = Some(UnixPath(path.to_owned()));
    let listeners = share_unix(listener, workers).map_err(|error| refused(name(), error))?;
    Ok(Bound {
        binding: binding.clone(),
        socket_addrs: Vec::new(),
        listeners,
        unix_path,
    })
}

fn bind_abstract(binding: &Binding, name: &str, workers: usize) -> Result<Bound, BindError> {
    let listeners = std::os::unix::net::SocketAddr::from_abstract_name(name)
        .and_then(|address| std::os::unix::net::UnixListener::bind_addr(&address))
        .and_then(|listener| share_unix(listener, workers))
        .map_err(|error| refused(format!("unix:@{name}"), error))?;
    Ok(Bound {
        binding: binding.clone(),
        socket_addrs: Vec::new(),
        listeners,
        unix_path: None,
    })
}

/// Unix sockets have no SO_REUSEPORT: all workers wait on the same one.
fn share_unix(listener: std::os::unix::net::UnixListener, workers: usize) -> io::Result<Vec<(usize, Listener)>> {
    listener.set_nonblocking(true)?;
    let mut listeners = Vec::new();
    for worker in 1..workers {
        listeners.push((worker, Listener::Unix(UnixListener::from_std(listener.try_clone()?))));
    }
    listeners.push((0, Listener::Unix(UnixListener::from_std(listener))));
    Ok(listeners)
}
