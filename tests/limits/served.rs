//! A server on all transports, for limits that are tried over sockets.

use crate::site::Site;
use stannel::{ConnectionInfo, ConnectionMiddleware, Handler, Limits, Server, ServerHandle, ServerOptions};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::num::NonZeroUsize;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// A server on all three transports, until it is dropped.
pub(crate) struct Served {
    pub(crate) handle: ServerHandle,
    pub(crate) tcp: SocketAddr,
    #[cfg(feature = "tls")]
    pub(crate) tls: SocketAddr,
    pub(crate) unix: PathBuf,
    /// What passed its sockets.
    pub(crate) passed: Passed,
    running: Option<JoinHandle<()>>,
    _folder: tempfile::TempDir,
}

impl Served {
    pub(crate) fn with(set: impl FnOnce(&mut Limits)) -> Self {
        let site = Site::default();
        Self::serving(set, |_| move || site.another())
    }

    /// With handlers that `handlers` makes of what passes the sockets.
    pub(crate) fn serving<H, F>(set: impl FnOnce(&mut Limits), handlers: impl FnOnce(&Passed) -> F) -> Self
    where
        H: Handler + 'static,
        F: Fn() -> H + Send + Sync + 'static,
    {
        let passed = Passed::default();
        let folder = tempfile::tempdir().unwrap();
        let unix = folder.path().join("app.sock");
        let mut options = ServerOptions::default();
        options.workers = NonZeroUsize::new(1);
        set(&mut options.limits);
        options.listen(Ipv4Addr::LOCALHOST, 0).use_middleware(passed.clone());
        options.listen_unix_socket(&unix).use_middleware(passed.clone());
        #[cfg(feature = "tls")]
        {
            let pem = "tests/fixtures/dotnet/pem";
            let certificate =
                stannel::CertificateSource::pem(format!("{pem}/p256.crt"), format!("{pem}/p256.pkcs8.key"));
            let endpoint = options.listen(Ipv4Addr::LOCALHOST, 0);
            endpoint.use_middleware(passed.clone()).use_https(certificate);
        }
        let server = Server::new(options, handlers(&passed)).bind().unwrap();
        let of = |index: usize| server.addresses()[index].socket_addrs()[0];
        Self {
            handle: server.handle(),
            tcp: of(0),
            #[cfg(feature = "tls")]
            tls: of(2),
            unix,
            passed,
            running: Some(std::thread::spawn(move || server.run().unwrap())),
            _folder: folder,
        }
    }

    pub(crate) fn connect(&self, transport: Transport) -> Box<dyn Both> {
        match transport {
            Transport::Tcp => Box::new(patient(self.tcp)),
            Transport::Unix => {
                let stream = UnixStream::connect(&self.unix).unwrap();
                stream.set_read_timeout(Some(PATIENCE)).unwrap();
                Box::new(stream)
            }
            #[cfg(feature = "tls")]
            Transport::Tls => {
                use crate::tls::Trusting;
                let config = std::sync::Arc::new(Trusting::new().config(rustls::ALL_VERSIONS));
                Box::new(crate::tls::connect(self.tls, &config, "site.test").unwrap())
            }
        }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.handle.shutdown();
        let ended = self.running.take().unwrap().join();
        assert!(ended.is_ok() || std::thread::panicking());
    }
}

/// Counts the bytes of all connections, below TLS.
#[derive(Clone, Default)]
pub(crate) struct Passed(Arc<Counters>);

#[derive(Default)]
struct Counters {
    received: AtomicUsize,
    sent: AtomicUsize,
}

impl Passed {
    pub(crate) fn received(&self) -> usize {
        self.0.received.load(Ordering::SeqCst)
    }

    pub(crate) fn sent(&self) -> usize {
        self.0.sent.load(Ordering::SeqCst)
    }
}

impl ConnectionMiddleware for Passed {
    fn received(&self, _: &ConnectionInfo, bytes: &[u8]) {
        self.0.received.fetch_add(bytes.len(), Ordering::SeqCst);
    }

    fn sent(&self, _: &ConnectionInfo, bytes: &[u8]) {
        self.0.sent.fetch_add(bytes.len(), Ordering::SeqCst);
    }
}

pub(crate) trait Both: Read + Write {}

impl<S: Read + Write> Both for S {}

pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn patient(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Transport {
    Tcp,
    Unix,
    #[cfg(feature = "tls")]
    Tls,
}

pub(crate) const TRANSPORTS: &[Transport] = &[
    Transport::Tcp,
    Transport::Unix,
    #[cfg(feature = "tls")]
    Transport::Tls,
];

pub(crate) fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < PATIENCE, "still waiting for: {what}");
        // The server needs the processor more than the one who asks.
        std::thread::sleep(Duration::from_millis(2));
    }
}

pub(crate) fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n")
}

/// How many answers there are.
pub(crate) fn count(answers: &str) -> usize {
    answers.matches("HTTP/1.1 200 OK\r\n").count()
}

/// The short body of an answer on a connection that goes on.
pub(crate) fn ask(stream: &mut Box<dyn Both>, path: &str) -> String {
    stream.write_all(get(path).as_bytes()).unwrap();
    let mut answer = Vec::new();
    loop {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap_or_else(|error| {
            panic!(
                "{path}: {error} within {PATIENCE:?}: {}",
                String::from_utf8_lossy(&answer)
            );
        });
        answer.push(byte[0]);
        let text = String::from_utf8_lossy(&answer);
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
        if length.expect("a length").parse() == Ok(body.len()) {
            return body.to_owned();
        }
    }
}
