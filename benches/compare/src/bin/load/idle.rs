//! What a connection costs that does nothing: many are opened, each gets one answer, all stay open.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rustls::{ClientConfig, ClientConnection, StreamOwned};
use socket2::SockRef;

use crate::answer::{Answers, Known};
use crate::options::Options;
use crate::process::Process;
use crate::report::{Memory, Report};
use crate::request::Request;
use crate::tls;

enum Stream {
    Tcp(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

pub fn run(options: &Options) -> io::Result<Report> {
    let Some(server) = options.pid.map(Process::new) else {
        return Err(io::Error::other(
            "the mode idle reads the server's memory; name it with --pid",
        ));
    };
    let mut request = Request::new(options);
    let expected = std::mem::replace(&mut request.expected, crate::answer::Expected::Any);
    let mut known = Known::new(expected);
    let tls = tls::config_for(options)?;
    let open = || Stream::open(options, tls.as_ref(), &request);
    let mut streams = Vec::with_capacity(options.connections);
    let mut troubles = Vec::new();
    let mut failed = 0;

    // The first answer brings pages in that belong to no connection.
    drop(open()?);
    streams.push(open()?);
    read_answer(&mut streams[0], &mut known)?;
    streams.clear();
    thread::sleep(SETTLE);
    let before = server.resident_bytes()?;

    while streams.len() < options.connections {
        let first = streams.len();
        let batch = BATCH.min(options.connections - first);
        for _ in 0..batch {
            streams.push(open()?);
        }
        for stream in &mut streams[first..] {
            if let Err(error) = read_answer(stream, &mut known) {
                failed += 1;
                if troubles.len() < TROUBLES_IN_WORDS {
                    troubles.push(error.to_string());
                }
            }
        }
    }
    thread::sleep(options.hold);
    let after = server.resident_bytes()?;
    // A server that closes them would look thrifty.
    for stream in &mut streams {
        stream.socket().set_nonblocking(true)?;
        match stream.read(&mut [0]) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            _ => failed += 1,
        }
    }
    let connections = streams.len() as u64;
    Ok(Report::new(options, failed, troubles).with_memory(Memory {
        connections,
        before,
        after,
    }))
}

impl Stream {
    /// Connects and sends the request.
    fn open(options: &Options, tls: Option<&Arc<ClientConfig>>, request: &Request) -> io::Result<Self> {
        let socket = TcpStream::connect(options.address)?;
        // Thousands of ports that wait a minute after their connection would not leave enough for the next run.
        SockRef::from(&socket).set_linger(Some(Duration::ZERO))?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        let mut stream = match tls {
            None => Self::Tcp(socket),
            Some(config) => Self::Tls(Box::new(StreamOwned::new(tls::client(config)?, socket))),
        };
        stream.write_all(request.behind(0))?;
        Ok(stream)
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.write_all(bytes),
            Self::Tls(stream) => stream.write_all(bytes).and_then(|()| stream.flush()),
        }
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(buffer),
            Self::Tls(stream) => stream.read(buffer),
        }
    }

    fn socket(&self) -> &TcpStream {
        match self {
            Self::Tcp(stream) => stream,
            Self::Tls(stream) => &stream.sock,
        }
    }
}

fn read_answer(stream: &mut Stream, known: &mut Known) -> io::Result<()> {
    let mut answers = Answers::default();
    let mut input = [0; 4096];
    loop {
        let length = stream.read(&mut input)?;
        if length == 0 {
            return Err(io::Error::other("closed before the answer was whole"));
        }
        let mut input = &input[..length];
        if answers
            .advance(&mut input, known)
            .map_err(|fault| io::Error::other(fault.to_string()))?
        {
            return if input.is_empty() {
                Ok(())
            } else {
                Err(io::Error::other("bytes after the answer"))
            };
        }
    }
}

const BATCH: usize = 256;
const SETTLE: Duration = Duration::from_millis(300);
const PATIENCE: Duration = Duration::from_secs(10);
const TROUBLES_IN_WORDS: usize = 5;
