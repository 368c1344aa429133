//! What the servers under comparison share: the command line, the listening socket, the line that announces it, what
//! they are under TLS, and the loop of those that are written by hand.

pub mod event_loop;
pub mod tls;

use std::ffi::OsString;
use std::io;
use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Protocol, Socket, Type};

/// The command line of a server: `--urls http://127.0.0.1:PORT`, or `https`, and `--close` for the one that looks for
/// it.
#[derive(Debug)]
pub struct ServerOptions {
    address: SocketAddr,
    pub scheme: Scheme,
    /// Whether the server looks for `Connection: close`; only the floor needs to be told.
    pub close: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    Http,
    Https,
}

impl ServerOptions {
    /// Reads the process's arguments. Options in Kestrel's own form (`--Kestrel:Workers=1`) are passed over, so that
    /// one command line fits every server.
    pub fn from_args() -> Result<Self, lexopt::Error> {
        let arguments = std::env::args_os()
            .skip(1)
            .filter(|argument| !is_kestrel_option(argument));
        let mut parser = lexopt::Parser::from_args(arguments);
        let mut options = Self {
            address: SocketAddr::from(([127, 0, 0, 1], 8080)),
            scheme: Scheme::Http,
            close: false,
        };
        while let Some(argument) = parser.next()? {
            match argument {
                lexopt::Arg::Long("urls") => {
                    let url = lexopt::ValueExt::string(parser.value()?)?;
                    (options.scheme, options.address) = parse_url(&url)?;
                }
                lexopt::Arg::Long("close") => options.close = true,
                other => return Err(other.unexpected()),
            }
        }
        Ok(options)
    }

    /// Binds, listens and prints the line that a driver waits for.
    pub fn listen(&self) -> io::Result<TcpListener> {
        let socket = Socket::new(Domain::for_address(self.address), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        // Accepted sockets inherit it: one call here instead of one per connection.
        socket.set_tcp_nodelay(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&self.address.into())?;
        socket.listen(BACKLOG)?;
        let listener = TcpListener::from(socket);
        self.announce(listener.local_addr()?);
        Ok(listener)
    }

    /// An address for a server that takes no listening socket, but binds by itself: port 0 becomes one that is free.
    pub fn address_to_bind(&self) -> io::Result<SocketAddr> {
        TcpListener::bind(self.address)?.local_addr()
    }

    /// Prints the line that a driver waits for.
    pub fn announce(&self, address: SocketAddr) {
        let scheme = match self.scheme {
            Scheme::Http => "http",
            Scheme::Https => "https",
        };
        println!("Now listening on: {scheme}://{address}");
    }
}

fn is_kestrel_option(argument: &OsString) -> bool {
    argument.as_encoded_bytes().starts_with(b"--Kestrel:")
}

fn parse_url(url: &str) -> Result<(Scheme, SocketAddr), lexopt::Error> {
    let (scheme, authority) = match url.strip_prefix("https://") {
        Some(authority) => (Scheme::Https, authority),
        None => (Scheme::Http, url.strip_prefix("http://").unwrap_or(url)),
    };
    match authority.trim_end_matches('/').parse() {
        Ok(address) => Ok((scheme, address)),
        Err(_) => {
            Err(format!("{url} is not http://ADDRESS:PORT or https://ADDRESS:PORT with a numeric address").into())
        }
    }
}

const BACKLOG: i32 = 1024;
