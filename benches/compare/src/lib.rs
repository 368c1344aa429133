//! What the servers under comparison share: the command line, the listening socket and the line that announces it.

use std::ffi::OsString;
use std::io;
use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Protocol, Socket, Type};

/// The command line of a server: `--urls http://127.0.0.1:PORT`, and `--close` for the one that looks for it.
#[derive(Debug)]
pub struct ServerOptions {
    address: SocketAddr,
    /// Whether the server looks for `Connection: close`; only the floor needs to be told.
    pub close: bool,
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
            close: false,
        };
        while let Some(argument) = parser.next()? {
            match argument {
                lexopt::Arg::Long("urls") => options.address = parse_url(&lexopt::ValueExt::string(parser.value()?)?)?,
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
        println!("Now listening on: http://{}", listener.local_addr()?);
        Ok(listener)
    }
}

fn is_kestrel_option(argument: &OsString) -> bool {
    argument.as_encoded_bytes().starts_with(b"--Kestrel:")
}

fn parse_url(url: &str) -> Result<SocketAddr, lexopt::Error> {
    let authority = url.strip_prefix("http://").unwrap_or(url).trim_end_matches('/');
    authority
        .parse()
        .map_err(|_| format!("{url} is not http://ADDRESS:PORT with a numeric address").into())
}

const BACKLOG: i32 = 1024;
