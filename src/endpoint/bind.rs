//! Which sockets an endpoint needs, in which order they are tried, and what a failure means. How a socket is opened is the
//! caller's business, so all of it can be played through without a network.

use super::binding::Binding;
use super::limits::LimitsError;
use super::listen::ListenOptions;
use crate::configuration::ConfigurationError;
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// How often a port that is free on both loopback addresses is looked for.
const LOCALHOST_TRIES: usize = 32;

/// A TCP socket to open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BindTarget {
    /// Where; port 0 is any free one.
    pub address: SocketAddr,
    /// Whether an IPv6 socket takes IPv4 too.
    pub dual_stack: bool,
}

/// The TCP sockets of an endpoint.
#[derive(Debug)]
pub struct BoundSockets<S> {
    /// The binding with the real port.
    pub binding: Binding,
    /// The addresses, with the real port, and what was opened there.
    pub sockets: Vec<(SocketAddr, S)>,
}

impl ListenOptions {
    /// Opens the TCP sockets of the endpoint by Kestrel's rules. `open` opens one and tells its real address.
    ///
    /// An address is bound as it is, `[::]` for IPv4 too. "Any" is `[::]`, or `0.0.0.0` where that fails for another reason
    /// than being in use. `localhost` is 127.0.0.1 and then `[::1]` on the same port: in use on either is an error, one that
    /// is not available is told and done without. An endpoint that is no TCP one has none.
    ///
    /// ```
    /// use stannel::ServerOptions;
    /// use std::io;
    ///
    /// let mut options = ServerOptions::default();
    /// let endpoint = options.listen_localhost(5000);
    /// let bound = endpoint
    ///     .bind_with(|target| match target.address.is_ipv4() {
    ///         true => Ok((target.address, "a socket")),
    ///         false => Err(io::ErrorKind::AddrNotAvailable.into()),
    ///     })
    ///     .unwrap();
    /// assert_eq!(bound.sockets, [("127.0.0.1:5000".parse().unwrap(), "a socket")]);
    /// ```
    ///
    /// # Errors
    /// Why it cannot be served.
    pub fn bind_with<S>(
        &self,
        mut open: impl FnMut(BindTarget) -> io::Result<(SocketAddr, S)>,
    ) -> Result<BoundSockets<S>, BindError> {
        match self.binding() {
            Binding::Address(address) => {
                let dual_stack = address.ip() == IpAddr::V6(Ipv6Addr::UNSPECIFIED);
                let target = BindTarget {
                    address: *address,
                    dual_stack,
                };
                let (real, socket) = open(target).map_err(|error| self.refused(*address, error))?;
                let mut address = *address;
                address.set_port(real.port());
                Ok(BoundSockets {
                    binding: Binding::Address(address),
                    sockets: vec![(real, socket)],
                })
            }
            Binding::AnyIp(port) => self.bind_any(*port, &mut open),
            Binding::Localhost(port) => self.bind_localhost(*port, &mut open),
            other @ (Binding::Unix(_) | Binding::UnixAbstract(_) | Binding::Handle(_)) => Ok(BoundSockets {
                binding: other.clone(),
                sockets: Vec::new(),
            }),
        }
    }

    /// `[::]` for both families; `0.0.0.0` where there is no IPv6.
    fn bind_any<S>(
        &self,
        port: u16,
        open: &mut impl FnMut(BindTarget) -> io::Result<(SocketAddr, S)>,
    ) -> Result<BoundSockets<S>, BindError> {
        let address = SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), port);
        let target = BindTarget {
            address,
            dual_stack: true,
        };
        let error = match open(target) {
            Ok((real, socket)) => {
                return Ok(BoundSockets {
                    binding: Binding::AnyIp(real.port()),
                    sockets: vec![(real, socket)],
                });
            }
            Err(error) => error,
        };
        if error.kind() == io::ErrorKind::AddrInUse {
            return Err(self.refused(address, error));
        }
        log::debug!(target: "stannel", "cannot bind {}://{address}: {error}; trying 0.0.0.0", self.scheme());
        let address = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port);
        let target = BindTarget {
            address,
            dual_stack: false,
        };
        let (real, socket) = open(target).map_err(|error| self.refused(address, error))?;
        Ok(BoundSockets {
            binding: Binding::Address(real),
            sockets: vec![(real, socket)],
        })
    }

    /// 127.0.0.1, then ::1 on the same port.
    fn bind_localhost<S>(
        &self,
        port: u16,
        open: &mut impl FnMut(BindTarget) -> io::Result<(SocketAddr, S)>,
    ) -> Result<BoundSockets<S>, BindError> {
        let mut tries = 0;
        loop {
            tries += 1;
            let mut open_on = |ip: IpAddr, port| {
                open(BindTarget {
                    address: SocketAddr::new(ip, port),
                    dual_stack: false,
                })
            };
            let (v4, v6) = (IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST));
            let ipv4 = match open_on(v4, port) {
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                    return Err(self.refused(SocketAddr::new(v4, port), error));
                }
                other => other,
            };
            let shared_port = ipv4.as_ref().map_or(port, |(address, _)| address.port());
            let ipv6 = match open_on(v6, shared_port) {
                // The port that the system chose for one address is taken on the other: another one, then.
                Err(error) if error.kind() == io::ErrorKind::AddrInUse && port == 0 && tries < LOCALHOST_TRIES => {
                    continue;
                }
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                    return Err(self.refused(SocketAddr::new(v6, shared_port), error));
                }
                other => other,
            };
            let tell = |family, error: &io::Error| {
                let name = Binding::Localhost(shared_port);
                log::info!(target: "stannel", "cannot bind {}://{name} on the {family} loopback: {error}", self.scheme());
            };
            for (family, error) in [("IPv4", ipv4.as_ref().err()), ("IPv6", ipv6.as_ref().err())] {
                if let Some(error) = error {
                    tell(family, error);
                }
            }
            if let (Err(ipv4), Err(ipv6)) = (&ipv4, &ipv6) {
                return Err(BindError::LocalhostFailed {
                    endpoint: self.named(Binding::Localhost(port)),
                    ipv4: io::Error::new(ipv4.kind(), ipv4.to_string()),
                    ipv6: io::Error::new(ipv6.kind(), ipv6.to_string()),
                });
            }
            let sockets: Vec<(SocketAddr, S)> = [ipv4, ipv6].into_iter().flatten().collect();
            let port = sockets.first().map_or(port, |(address, _)| address.port());
            return Ok(BoundSockets {
                binding: Binding::Localhost(port),
                sockets,
            });
        }
    }

    /// The refusal of one address.
    pub(crate) fn refused(&self, address: impl fmt::Display, error: io::Error) -> BindError {
        let endpoint = self.named(address);
        if error.kind() == io::ErrorKind::AddrInUse {
            BindError::AddressInUse { endpoint, owner: None }
        } else {
            BindError::Refused {
                endpoint,
                source: error,
            }
        }
    }

    fn named(&self, address: impl fmt::Display) -> String {
        format!("{}://{address} ({})", self.scheme(), self.source())
    }
}

/// Why a server could not open its sockets. Its message names the address and where it comes from, and says what to do.
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
    /// The endpoints, or the configuration that they come from, make no sense.
    Configuration(ConfigurationError),
    /// Somebody listens on the address already, or a file is where the Unix socket should be.
    AddressInUse {
        /// The address, and where the endpoint comes from.
        endpoint: String,
        /// Who has it, if that can be known.
        owner: Option<String>,
    },
    /// The system refused the address.
    Refused {
        /// The address, and where the endpoint comes from.
        endpoint: String,
        /// Why.
        source: io::Error,
    },
    /// Neither loopback address could be bound.
    LocalhostFailed {
        /// The address, and where the endpoint comes from.
        endpoint: String,
        /// Why 127.0.0.1 could not.
        ipv4: io::Error,
        /// Why ::1 could not.
        ipv6: io::Error,
    },
    /// TLS cannot be set up.
    #[cfg(feature = "tls")]
    Tls(crate::tls::TlsError),
    /// There are more than 65,536 endpoints.
    TooManyEndpoints,
    /// An event loop could not be set up.
    EventLoop(io::Error),
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Limits(error) => error.fmt(f),
            Self::Configuration(error) => error.fmt(f),
            Self::AddressInUse { endpoint, owner } => {
                write!(f, "cannot bind {endpoint}: address in use")?;
                if let Some(owner) = owner {
                    write!(f, " by {owner}")?;
                }
                f.write_str(if endpoint.contains("://unix:") {
                    "\nremove the file if nobody listens on it (ReplaceStaleSocket does so), or choose another path"
                } else {
                    "\nstop the server that listens there, or choose another port"
                })
            }
            Self::Refused { endpoint, source } if is_about_descriptor(endpoint, source) => {
                write!(f, "cannot serve {endpoint}: {source}")?;
                f.write_str("\nhand over a stream socket that is bound to a TCP address or named as a Unix socket")
            }
            Self::Refused { endpoint, source } => write!(f, "cannot bind {endpoint}: {source}{}", advice(source)),
            Self::LocalhostFailed { endpoint, ipv4, ipv6 } => {
                write!(
                    f,
                    "cannot bind {endpoint}: 127.0.0.1: {ipv4}; [::1]: {ipv6}{}",
                    advice(ipv4)
                )
            }
            #[cfg(feature = "tls")]
            Self::Tls(error) => error.fmt(f),
            Self::TooManyEndpoints => f.write_str("too many endpoints; a server has at most 65536"),
            Self::EventLoop(error) => write!(f, "cannot set up an event loop: {error}{}", advice(error)),
        }
    }
}

/// Whether the descriptor that was handed over is at fault.
fn is_about_descriptor(endpoint: &str, error: &io::Error) -> bool {
    endpoint.contains("://<descriptor") && error.raw_os_error() != Some(EMFILE)
}

/// What to do about an error of the system, on a line of its own.
fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => {
            "\nuse a port above 1023 or a folder that you may write to, or grant CAP_NET_BIND_SERVICE"
        }
        io::ErrorKind::AddrNotAvailable => "\nuse an address of this machine; `ip address` lists them",
        io::ErrorKind::NotFound => "\ncreate the folder first",
        io::ErrorKind::InvalidInput => "\nchoose another address; the path of a Unix socket has at most 107 bytes",
        _ if error.raw_os_error() == Some(EMFILE) => "\nraise the limit on open files (ulimit -n)",
        _ => "",
    }
}

/// Too many open files in this process; the standard library has no kind for it.
pub(crate) const EMFILE: i32 = 24;

impl std::error::Error for BindError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Limits(error) => Some(error),
            Self::Configuration(error) => Some(error),
            Self::Refused { source, .. } | Self::EventLoop(source) => Some(source),
            Self::LocalhostFailed { ipv4, .. } => Some(ipv4),
            #[cfg(feature = "tls")]
            Self::Tls(error) => Some(error),
            Self::AddressInUse { .. } | Self::TooManyEndpoints => None,
        }
    }
}
