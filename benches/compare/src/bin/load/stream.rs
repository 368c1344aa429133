//! A connection that blocks, for what is not about speed.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use rustls::{ClientConfig, ClientConnection, StreamOwned};
use socket2::SockRef;

use crate::options::Options;
use crate::request::Request;
use crate::tls;

pub enum Stream {
    Tcp(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Stream {
    /// Connects and sends the request.
    pub fn open(options: &Options, tls: Option<&Arc<ClientConfig>>, request: &Request) -> io::Result<Self> {
        let socket = TcpStream::connect(options.address)?;
        // Thousands of ports that wait a minute after their connection would not leave enough for the next run.
        SockRef::from(&socket).set_linger(Some(Duration::ZERO))?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        let mut stream = match tls {
            None => Self::Tcp(socket),
            Some(config) => Self::Tls(Box::new(StreamOwned::new(tls::client(config)?, socket))),
        };
        stream.ask(request)?;
        Ok(stream)
    }

    pub fn ask(&mut self, request: &Request) -> io::Result<()> {
        self.write_all(request.behind(0))
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.write_all(bytes),
            Self::Tls(stream) => stream.write_all(bytes).and_then(|()| stream.flush()),
        }
    }

    pub fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(buffer),
            Self::Tls(stream) => stream.read(buffer),
        }
    }

    pub fn socket(&self) -> &TcpStream {
        match self {
            Self::Tcp(stream) => stream,
            Self::Tls(stream) => &stream.sock,
        }
    }
}

const PATIENCE: Duration = Duration::from_secs(10);
