//! HTTPS over real sockets: what a server with TLS does that one without does not.

#[path = "support/client.rs"]
mod client;
#[path = "support/process.rs"]
mod process;
#[path = "support/tls.rs"]
mod tls;

use client::{Client, PATIENCE, get, is_heavy, wait_until};
use process::Process;
use stannel::tls::ServerCertificateSelector;
use stannel::{
    Admission, Certificate, CertificateSource, CloseReason, ConnectionInfo, ConnectionMiddleware, Exchange,
    ListenOptions, Outcome, Request, Server, ServerHandle, ServerOptions, StatusCode,
};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use tls::{Peer, Trusting};

const PEM: &str = "tests/fixtures/dotnet/pem";

fn certificate() -> CertificateSource {
    CertificateSource::pem(format!("{PEM}/p256.crt"), format!("{PEM}/p256.pkcs8.key"))
}

/// A server that runs until it is dropped.
struct Site {
    addresses: Vec<SocketAddr>,
    handle: ServerHandle,
    running: Option<std::thread::JoinHandle<()>>,
}

impl Site {
    fn start<H: stannel::Handler + 'static>(
        mut options: ServerOptions,
        factory: impl Fn() -> H + Send + Sync + 'static,
    ) -> Self {
        options.workers = std::num::NonZeroUsize::new(1);
        let server = Server::new(options, factory).bind().unwrap();
        let addresses = server
            .addresses()
            .iter()
            .map(|address| address.socket_addrs()[0])
            .collect();
        let handle = server.handle();
        let running = Some(std::thread::spawn(move || server.run().unwrap()));
        Self {
            addresses,
            handle,
            running,
        }
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.handle.shutdown();
        if let Some(running) = self.running.take()
            && !std::thread::panicking()
        {
            running.join().unwrap();
        }
    }
}

fn with_tls(configure: impl FnOnce(&mut ListenOptions)) -> ServerOptions {
    let mut options = ServerOptions::default();
    configure(options.listen(Ipv4Addr::LOCALHOST, 0));
    options
}

fn hello(request: &Request<'_>, exchange: Exchange<'_>) -> Outcome {
    exchange
        .respond(StatusCode::OK)
        .send(format!("hello over {}", request.scheme()))
}

fn any_client() -> Arc<rustls::ClientConfig> {
    Arc::new(Trusting::new().config(rustls::ALL_VERSIONS))
}

#[test]
fn a_site_is_served() {
    let site = Site::start(
        with_tls(|endpoint| {
            endpoint.use_https(certificate());
        }),
        || hello,
    );
    assert!(site.handle.addresses()[0].to_string().starts_with("https://127.0.0.1:"));
    let stream = tls::connect(site.addresses[0], &any_client(), "site.test").unwrap();
    let answer = tls::ask(stream, "/");
    assert!(answer.ends_with("hello over https"), "{answer}");
}

#[derive(Clone, Default)]
struct Record(Arc<Mutex<Vec<String>>>);

struct Layer(&'static str, Record);

impl Layer {
    fn add(&self, what: &str) {
        self.1.0.lock().unwrap().push(format!("{} {what}", self.0));
    }
}

impl ConnectionMiddleware for Layer {
    fn connected(&self, connection: &ConnectionInfo) -> Admission {
        self.add(&format!("connected, tls {}", connection.tls().is_some()));
        Admission::Admit
    }

    fn received(&self, _: &ConnectionInfo, bytes: &[u8]) {
        self.add(if bytes.starts_with(b"GET") {
            "a request"
        } else {
            "records"
        });
    }

    fn sent(&self, _: &ConnectionInfo, bytes: &[u8]) {
        self.add(if bytes.starts_with(b"HTTP") {
            "an answer"
        } else {
            "own records"
        });
    }

    fn closed(&self, _: &ConnectionInfo) {
        self.add("closed");
    }
}

/// Kestrel's order: what is added before `UseHttps` sees the socket's bytes, what is added after it the plaintext.
#[test]
fn what_looks_on_below_tls_sees_records_and_above_it_plaintext() {
    let record = Record::default();
    let (below, above) = (Layer("below", record.clone()), Layer("above", record.clone()));
    let options = with_tls(|endpoint| {
        endpoint
            .use_middleware(below)
            .use_https(certificate())
            .use_middleware(above);
    });
    let site = Site::start(options, || hello);
    tls::ask(
        tls::connect(site.addresses[0], &any_client(), "site.test").unwrap(),
        "/",
    );
    drop(site);
    let mut events = record.0.lock().unwrap().clone();
    events.dedup();
    let above: Vec<_> = events.iter().filter_map(|event| event.strip_prefix("above ")).collect();
    assert_eq!(above, ["connected, tls true", "a request", "an answer", "closed"]);
    let below: Vec<_> = events.iter().filter_map(|event| event.strip_prefix("below ")).collect();
    assert_eq!(below[0], "connected, tls false");
    assert!(below.contains(&"records") && below.contains(&"own records") && !below.contains(&"a request"));
}

/// Everything that has come while the loop was busy: fifty greetings, and a plain request behind them.
#[test]
fn a_plain_request_waits_for_one_handshake_at_most() {
    let shaken = Arc::new(AtomicUsize::new(0));
    let mut options = ServerOptions::default();
    let folder = PEM;
    let own = Certificate::from_pem_files(
        format!("{folder}/rsa2048.crt"),
        format!("{folder}/rsa2048.pkcs8.key"),
        None,
    );
    let (own, count) = (own.unwrap(), Arc::clone(&shaken));
    options.listen(Ipv4Addr::LOCALHOST, 0).use_https_with(move |https| {
        https.server_certificate_selector = Some(ServerCertificateSelector::new(move |_, _| {
            count.fetch_add(1, Ordering::SeqCst);
            Some(own.clone())
        }));
    });
    options.listen(Ipv4Addr::LOCALHOST, 0);
    // Holds the loop up until it is told to go on.
    let (go_on, held) = mpsc::channel::<()>();
    let (held, count) = (Arc::new(Mutex::new(held)), Arc::clone(&shaken));
    let (is_held, holding) = mpsc::channel();
    let site = Site::start(options, move || {
        let (held, count, is_held) = (Arc::clone(&held), Arc::clone(&count), is_held.clone());
        move |request: &Request<'_>, exchange: Exchange<'_>| {
            if request.path() == "/hold" {
                is_held.send(()).unwrap();
                held.lock().unwrap().recv_timeout(PATIENCE).unwrap();
            }
            exchange
                .respond(StatusCode::OK)
                .send(count.load(Ordering::SeqCst).to_string())
        }
    });
    let (secure, plain) = (site.addresses[0], site.addresses[1]);
    let mut asking = Client::connect(plain);
    assert_eq!(asking.get("/").text(), "0");
    let mut holding_up = Client::connect(plain);
    holding_up.send(get("/hold"));
    holding.recv_timeout(PATIENCE).unwrap();
    let greetings: Vec<TcpStream> = (0..50)
        .map(|_| {
            let mut socket = TcpStream::connect(secure).unwrap();
            socket.write_all(&Peer::any().records()).unwrap();
            socket
        })
        .collect();
    asking.send(get("/"));
    go_on.send(()).unwrap();
    let before: usize = asking.response().text().parse().unwrap();
    assert!(before <= 1, "{before} handshakes came first");
    // And yet each has its turn.
    for mut socket in greetings {
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.read_exact(&mut [0; 5]).unwrap();
    }
    assert_eq!(shaken.load(Ordering::SeqCst), 50);
}

/// What a half handshake costs is given back, whoever ends it.
#[test]
fn broken_off_handshakes_leave_nothing_behind() {
    let count = if is_heavy() { 10_000 } else { 1_000 };
    let mut server = Process::stannel(&[
        "--Kestrel:Endpoints:A:Url=https://127.0.0.1:0",
        &format!("--Kestrel:Endpoints:A:Certificate:Path={PEM}/p256.crt"),
        &format!("--Kestrel:Endpoints:A:Certificate:KeyPath={PEM}/p256.pkcs8.key"),
        "--Kestrel:Workers=1",
    ]);
    let address: SocketAddr = server.url().strip_prefix("https://").unwrap().parse().unwrap();
    let hello = Peer::any().records();
    let break_off = |number: usize| {
        let mut socket = TcpStream::connect(address).unwrap();
        // Inside the greeting, behind it, or after the server's answer.
        let sent = [hello.len() / 2, hello.len(), hello.len()][number % 3];
        socket.write_all(&hello[..sent]).unwrap();
        if number % 3 == 2 {
            socket.set_read_timeout(Some(PATIENCE)).unwrap();
            socket.read_exact(&mut [0; 5]).unwrap();
        }
        if number.is_multiple_of(2) {
            socket2::SockRef::from(&socket)
                .set_linger(Some(std::time::Duration::ZERO))
                .unwrap();
        }
    };
    (0..200).for_each(break_off);
    wait_until("all connections of the first round to be closed", || {
        server.open_files() < 30
    });
    let (files, memory) = (server.open_files(), server.memory());
    (0..count).for_each(break_off);
    wait_until("all connections to be closed", || server.open_files() <= files);
    let grown = server.memory().saturating_sub(memory);
    // Less than a tenth of what a session takes, for each.
    assert!(grown < 1024, "{grown} KiB more after {count} handshakes");
    server.stop();
}

#[test]
fn a_failed_handshake_is_counted_and_nobody_elses_business() {
    let reasons = Arc::new(Mutex::new(Vec::new()));
    struct Watch(Arc<Mutex<Vec<CloseReason>>>);
    impl stannel::Observer for Watch {
        fn closed(&self, _: &ConnectionInfo, reason: CloseReason) {
            self.0.lock().unwrap().push(reason);
        }
    }
    let mut options = with_tls(|endpoint| {
        endpoint.use_https(certificate());
    });
    options.observer = Some(Arc::new(Watch(Arc::clone(&reasons))));
    let site = Site::start(options, || hello);
    let mut plain = Client::connect(site.addresses[0]);
    plain.send(get("/"));
    plain.expect_end();
    wait_until("the connection to be closed", || !reasons.lock().unwrap().is_empty());
    assert_eq!(*reasons.lock().unwrap(), [CloseReason::HandshakeFailed]);
    let total = site.handle.metrics().total();
    assert_eq!(total.errors, [("tls_handshake_failed", 1)]);
    let answer = tls::ask(
        tls::connect(site.addresses[0], &any_client(), "site.test").unwrap(),
        "/",
    );
    assert!(answer.starts_with("HTTP/1.1 200 "));
}
