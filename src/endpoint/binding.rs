//! What an endpoint binds.

use std::fmt;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;

/// What an endpoint binds. It is shown as the address that is reported for it, less the scheme.
///
/// ```
/// use stannel::Binding;
///
/// assert_eq!(Binding::Localhost(5000).to_string(), "localhost:5000");
/// assert_eq!(Binding::AnyIp(80).to_string(), "[::]:80");
/// assert_eq!(Binding::Unix("/run/app.sock".into()).to_string(), "unix:/run/app.sock");
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
    /// A socket that somebody else has bound.
    Handle(SocketHandle),
}

impl fmt::Display for Binding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => without_zone(*address).fmt(f),
            Self::Localhost(port) => write!(f, "localhost:{port}"),
            Self::AnyIp(port) => write!(f, "[::]:{port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::UnixAbstract(name) => write!(f, "unix:@{name}"),
            Self::Handle(handle) => handle.fmt(f),
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

/// A socket that was bound, and maybe listens, before the server was made: by systemd, or by a parent process.
///
/// ```
/// use stannel::{Binding, ServerOptions, SocketHandle};
///
/// let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
/// let mut options = ServerOptions::default();
/// options.listen_handle(SocketHandle::new(socket));
/// assert!(matches!(options.endpoints()[0].binding(), Binding::Handle(_)));
/// ```
#[derive(Clone, Debug)]
pub struct SocketHandle {
    descriptor: Arc<OwnedFd>,
    name: Option<String>,
}

impl SocketHandle {
    /// Takes over a descriptor: a TCP or Unix socket, which is neither bound again nor, if it is a Unix socket, removed.
    ///
    /// Who has the same socket by another descriptor can go on with it after the server. It does not block any more then,
    /// and keeps the options that accepted connections inherit.
    pub fn new(descriptor: impl Into<OwnedFd>) -> Self {
        Self {
            descriptor: Arc::new(descriptor.into()),
            name: None,
        }
    }

    /// Gives it the name under which it was handed over (`FileDescriptorName=` of a systemd unit).
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// The name under which it was handed over.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// The descriptor.
    #[must_use]
    pub fn descriptor(&self) -> &OwnedFd {
        &self.descriptor
    }
}

/// Two are equal if they are the same descriptor.
impl PartialEq for SocketHandle {
    fn eq(&self, other: &Self) -> bool {
        self.descriptor.as_raw_fd() == other.descriptor.as_raw_fd()
    }
}

impl Eq for SocketHandle {}

impl std::hash::Hash for SocketHandle {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.descriptor.as_raw_fd().hash(state);
    }
}

impl fmt::Display for SocketHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<descriptor {}>", self.descriptor.as_raw_fd())
    }
}
