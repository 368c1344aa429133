//! Binding endpoints: which sockets, with which options, and what went wrong.

use super::address_owner::owner_of;
use super::socket::Socket;
use super::transport::Transport;
use super::unix_listener::{UnixPath, bind_abstract, bind_path, share_unix};
use crate::endpoint::{
    BindError, BindTarget, Binding, BoundSockets, ListenOptions, ServerOptions, SocketHandle, lines,
};
use crate::handler::Peer;
use mio::net::{TcpListener, UnixListener};
use mio::{Interest, Registry, Token};
use socket2::{Domain, Protocol, Type};
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;

/// Kestrel's backlog.
pub(super) const BACKLOG: i32 = 512;

/// What the kernel may hold unsent for a client that does not read; without a bound it is 2.8 MB.
const NOTSENT_LOWAT: u32 = 131_072;

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
    /// The same sockets for another endpoint.
    pub(super) fn of_endpoint(&self, endpoint: &ListenOptions) -> Self {
        Self {
            scheme: endpoint.scheme(),
            host: endpoint.host().map(str::to_owned),
            ..self.clone()
        }
    }

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

    /// The lines that a program prints once it listens: `Now listening on: http://localhost:5000`. A name below
    /// `localhost` has two.
    pub fn lines(&self) -> impl Iterator<Item = String> + use<> {
        let lines = lines(self.scheme, self.host.as_deref(), &self.binding);
        lines.into_iter().map(|address| listening_line(&address))
    }

    /// The TCP addresses behind it: two for localhost, none for Unix sockets.
    #[must_use]
    pub fn socket_addrs(&self) -> &[SocketAddr] {
        &self.socket_addrs
    }
}

impl fmt::Display for BoundAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&lines(self.scheme, self.host.as_deref(), &self.binding)[0])
    }
}

/// The line for an address, in the words that tools look for.
///
/// ```
/// assert_eq!(stannel::listening_line("http://[::]:80"), "Now listening on: http://[::]:80");
/// ```
#[must_use]
pub fn listening_line(address: &str) -> String {
    format!("Now listening on: {address}")
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

impl Listener {
    pub(super) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        match self {
            Self::Tcp(listener) => registry.register(listener, token, Interest::READABLE),
            Self::Unix(listener) => registry.register(listener, token, Interest::READABLE),
        }
    }

    /// The same socket as a source of events that nobody has tried to register.
    pub(super) fn made_anew(self) -> Self {
        match self {
            Self::Tcp(listener) => Self::Tcp(OwnedFd::from(listener).into()),
            Self::Unix(listener) => Self::Unix(OwnedFd::from(listener).into()),
        }
    }

    /// Whether connections accepted from now on send small writes at once.
    pub(super) fn set_no_delay(&self, no_delay: bool) {
        if let Self::Tcp(listener) = self
            && let Err(error) = socket2::SockRef::from(listener).set_tcp_nodelay(no_delay)
        {
            log::error!(target: "stannel", "cannot set TCP_NODELAY of a listening socket: {error}");
        }
    }
}

/// An endpoint's sockets, each with the worker that serves it.
pub(super) struct BoundEndpoint {
    pub(super) address: BoundAddress,
    pub(super) listeners: Vec<(usize, Listener)>,
    pub(super) unix_path: Option<UnixPath>,
    pub(super) transport: Transport,
}

pub(super) fn bind_endpoint(
    endpoint: &ListenOptions,
    workers: usize,
    options: &ServerOptions,
    transport: Transport,
) -> Result<BoundEndpoint, BindError> {
    let bound = match endpoint.binding() {
        Binding::Unix(path) => bind_path(endpoint, path, workers),
        Binding::UnixAbstract(name) => bind_abstract(endpoint, name, workers),
        Binding::Handle(handle) => {
            take_over(handle, endpoint, workers, options).map_err(|error| endpoint.refused(endpoint.binding(), error))
        }
        Binding::Address(_) | Binding::AnyIp(_) | Binding::Localhost(_) => endpoint
            .bind_with(|target| open_tcp(target, endpoint, workers, options))
            .map(Bound::from),
    };
    let bound = bound.map_err(|error| match error {
        BindError::AddressInUse {
            endpoint: name,
            owner: None,
        } => BindError::AddressInUse {
            owner: owner_of(endpoint.binding()),
            endpoint: name,
        },
        other => other,
    })?;
    Ok(BoundEndpoint {
        address: BoundAddress {
            scheme: endpoint.scheme(),
            host: endpoint.host().map(str::to_owned),
            binding: bound.binding,
            socket_addrs: bound.socket_addrs,
        },
        listeners: bound.listeners,
        unix_path: bound.unix_path,
        transport,
    })
}

/// What binding came to.
pub(super) struct Bound {
    /// With the real port.
    pub(super) binding: Binding,
    pub(super) socket_addrs: Vec<SocketAddr>,
    pub(super) listeners: Vec<(usize, Listener)>,
    pub(super) unix_path: Option<UnixPath>,
}

impl From<BoundSockets<Vec<Listener>>> for Bound {
    fn from(bound: BoundSockets<Vec<Listener>>) -> Self {
        Self {
            binding: bound.binding,
            socket_addrs: bound.sockets.iter().map(|(address, _)| *address).collect(),
            listeners: bound
                .sockets
                .into_iter()
                .flat_map(|(_, listeners)| listeners.into_iter().enumerate())
                .collect(),
            unix_path: None,
        }
    }
}

/// A socket that is bound already: its own address tells what it is. It is not ours to close or, as a file, to remove.
fn take_over(
    handle: &SocketHandle,
    endpoint: &ListenOptions,
    workers: usize,
    options: &ServerOptions,
) -> io::Result<Bound> {
    let is_not = |what| io::Error::new(io::ErrorKind::InvalidInput, what);
    let socket = socket2::Socket::from(handle.descriptor().try_clone()?);
    let address = socket.local_addr()?;
    if socket.r#type()? != Type::STREAM {
        return Err(is_not("it is no stream socket"));
    }
    if socket.peer_addr().is_ok() {
        return Err(is_not("it is a connection"));
    }
    // The system would choose a port on every address for it.
    if address.as_socket().is_some_and(|address| address.port() == 0) {
        return Err(is_not("it is not bound"));
    }
    if let Some(address) = address.as_socket() {
        set_inherited(&socket, endpoint, options)?;
        socket.listen(BACKLOG)?;
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
            return Err(is_not("it is neither a TCP nor a named Unix socket"));
        }
    };
    socket.listen(BACKLOG)?;
    let listeners = share_unix(std::os::unix::net::UnixListener::from(socket), workers)?;
    Ok(Bound {
        binding,
        socket_addrs: Vec::new(),
        listeners,
        unix_path: None,
    })
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Port {
    Own,
    Shared,
}

/// One listening socket for each worker, on one port.
fn open_tcp(
    target: BindTarget,
    endpoint: &ListenOptions,
    workers: usize,
    options: &ServerOptions,
) -> io::Result<(SocketAddr, Vec<Listener>)> {
    let first = tcp_socket(target, Port::Own, endpoint, options)?;
    let address = first.local_addr()?.as_socket().unwrap_or(target.address);
    let target = BindTarget { address, ..target };
    let mut sockets = vec![first];
    if workers > 1 {
        // Set behind listen, not before: a second server that does the same is refused at its own first bind, and one
        // that is at the same point at the same time is refused at listen.
        sockets[0].set_reuse_port(true)?;
        for _ in 1..workers {
            sockets.push(tcp_socket(target, Port::Shared, endpoint, options)?);
        }
    }
    let listeners = sockets
        .into_iter()
        .map(|socket| Listener::Tcp(TcpListener::from_std(socket.into())))
        .collect();
    Ok((address, listeners))
}

/// A listening socket.
fn tcp_socket(
    target: BindTarget,
    port: Port,
    endpoint: &ListenOptions,
    options: &ServerOptions,
) -> io::Result<socket2::Socket> {
    let kind = Type::STREAM.nonblocking().cloexec();
    let socket = socket2::Socket::new(Domain::for_address(target.address), kind, Some(Protocol::TCP))?;
    if target.address.is_ipv6() {
        socket.set_only_v6(!target.dual_stack)?;
    }
    // A stopped server's port can be bound again at once.
    socket.set_reuse_address(true)?;
    if port == Port::Shared {
        socket.set_reuse_port(true)?;
    }
    set_inherited(&socket, endpoint, options)?;
    socket.bind(&target.address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket)
}

/// What accepted sockets have from the listening one, which saves calls for each.
fn set_inherited(socket: &socket2::Socket, endpoint: &ListenOptions, options: &ServerOptions) -> io::Result<()> {
    // Without it pipelined responses stall for 40 ms.
    socket.set_tcp_nodelay(endpoint.no_delay)?;
    if let Some(stall) = options.limits.response_stall_timeout {
        socket.set_tcp_user_timeout(Some(stall))?;
        socket.set_tcp_notsent_lowat(NOTSENT_LOWAT)?;
    }
    #[cfg(feature = "defer-accept")]
    if options.defer_accept > 0 {
        super::defer_accept::set(socket, options.defer_accept)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Listener, NOTSENT_LOWAT, bind_endpoint};
    use crate::endpoint::{ServerOptions, SocketHandle};
    use crate::server::socket::Socket;
    use crate::server::transport::Transport;
    use std::net::TcpStream;
    use std::time::Duration;

    type Listen = fn(&mut ServerOptions) -> &mut crate::endpoint::ListenOptions;

    /// Each way to have a TCP endpoint.
    const KINDS: [(&str, Listen); 4] = [
        ("address", |options| options.listen([127, 0, 0, 1], 0)),
        ("localhost", |options| options.listen_localhost(0)),
        ("any", |options| options.listen_any_ip(0)),
        ("handle", |options| {
            let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            options.listen_handle(SocketHandle::new(socket))
        }),
    ];

    /// The next connection, once it is there.
    fn accept(listener: &Listener) -> mio::net::TcpStream {
        loop {
            match listener.accept() {
                Ok((Socket::Tcp(stream), _)) => return stream,
                Ok(_) => panic!("it is no TCP connection"),
                Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock),
            }
        }
    }

    #[test]
    fn the_sockets_of_all_workers_are_alike() {
        for (kind, listen) in KINDS {
            for no_delay in [true, false] {
                let mut options = ServerOptions::default();
                options.configure_endpoint_defaults(move |endpoint| endpoint.no_delay = no_delay);
                listen(&mut options);
                let bound = bind_endpoint(&options.endpoints()[0], 2, &options, Transport::default()).unwrap();
                assert_eq!(bound.listeners.len(), 2 * bound.address.socket_addrs().len());
                for (_, listener) in &bound.listeners {
                    let Listener::Tcp(listener) = listener else {
                        panic!("it is TCP")
                    };
                    let socket = socket2::SockRef::from(listener);
                    assert_eq!(socket.tcp_nodelay().unwrap(), no_delay, "{kind}");
                    assert!(socket.tcp_user_timeout().unwrap().is_some(), "{kind}");
                }
            }
        }
    }

    #[test]
    fn accepted_sockets_have_the_options_of_their_endpoint() {
        for (kind, listen) in KINDS {
            for (no_delay, stall) in [(true, Some(Duration::from_secs(7))), (false, None)] {
                let mut options = ServerOptions::default();
                listen(&mut options).no_delay = no_delay;
                options.limits.response_stall_timeout = stall;
                let bound = bind_endpoint(&options.endpoints()[0], 1, &options, Transport::default()).unwrap();
                let addresses = bound.address.socket_addrs();
                assert_eq!(addresses.len(), bound.listeners.len());
                for (address, (_, listener)) in addresses.iter().zip(&bound.listeners) {
                    let mut address = *address;
                    if address.ip().is_unspecified() {
                        address.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
                    }
                    let _client = TcpStream::connect(address).unwrap();
                    let stream = accept(listener);
                    let socket = socket2::SockRef::from(&stream);
                    assert_eq!(socket.tcp_nodelay().unwrap(), no_delay, "{kind}");
                    assert_eq!(socket.tcp_user_timeout().unwrap(), stall, "{kind}");
                    let unsent = socket.tcp_notsent_lowat().unwrap();
                    assert_eq!(unsent == NOTSENT_LOWAT, stall.is_some(), "{kind}: {unsent}");
                    // A changed endpoint keeps its socket.
                    listener.set_no_delay(!no_delay);
                    let _client = TcpStream::connect(address).unwrap();
                    let stream = accept(listener);
                    assert_eq!(
                        socket2::SockRef::from(&stream).tcp_nodelay().unwrap(),
                        !no_delay,
                        "{kind}"
                    );
                }
            }
        }
    }
}
