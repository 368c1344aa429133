//! Files that the system sends without anybody reading them, over real sockets: every byte as in the file, and no
//! connection that waits for what will not come.

#[path = "support/client.rs"]
mod client;
#[path = "support/tls.rs"]
mod tls;

use client::{Client, PATIENCE, get, wait_until};
use rustls::ALL_VERSIONS;
use socket2::SockRef;
use stannel::middleware::StaticFiles;
use stannel::{
    BodyLength, BodySource, BodyWriter, CertificateSource, CloseReason, ConnectionInfo, ConnectionMiddleware, Exchange,
    Handler, Observer, Progress, Request, Server, ServerHandle, ServerOptions, StatusCode,
};
use std::fs::{self, File, OpenOptions};
use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::num::NonZeroUsize;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;
use tempfile::TempDir;

/// More than a connection buffers anywhere.
const HUGE: u64 = 256 << 20;

/// Why connections were closed.
#[derive(Default)]
struct Reasons(Mutex<Vec<CloseReason>>);

impl Observer for Reasons {
    fn closed(&self, _: &ConnectionInfo, reason: CloseReason) {
        self.0.lock().unwrap().push(reason);
    }
}

/// A server that runs until it is dropped, and the folder that it serves.
struct Site {
    folder: TempDir,
    address: SocketAddr,
    handle: ServerHandle,
    reasons: Arc<Reasons>,
    running: Option<JoinHandle<()>>,
}

impl Site {
    /// One that serves the folder.
    fn new(configure: impl FnOnce(&mut ServerOptions)) -> Self {
        let folder = TempDir::new().unwrap();
        let files = StaticFiles::new(folder.path()).unwrap();
        Self::with_handler(folder, configure, move || files.clone())
    }

    fn with_handler<H: Handler + 'static>(
        folder: TempDir,
        configure: impl FnOnce(&mut ServerOptions),
        factory: impl Fn() -> H + Send + Sync + 'static,
    ) -> Self {
        let reasons = Arc::new(Reasons::default());
        let mut options = ServerOptions::default();
        options.workers = NonZeroUsize::new(1);
        options.observer = Some(Arc::clone(&reasons) as Arc<dyn Observer>);
        configure(&mut options);
        if options.endpoints().is_empty() {
            options.listen(Ipv4Addr::LOCALHOST, 0);
        }
        let server = Server::new(options, factory).bind().unwrap();
        let address = server.addresses()[0].socket_addrs().first().copied();
        let handle = server.handle();
        Self {
            folder,
            address: address.unwrap_or((Ipv4Addr::UNSPECIFIED, 0).into()),
            handle,
            reasons,
            running: Some(std::thread::spawn(move || server.run().unwrap())),
        }
    }

    /// A file in which a piece lost, doubled or moved shows.
    fn write(&self, name: &str, length: usize) -> Vec<u8> {
        let content: Vec<u8> = (0..length as u64).map(|at| (at % 251 + at / 65_536) as u8).collect();
        fs::write(self.folder.path().join(name), &content).unwrap();
        content
    }

    /// A file of zeros that takes no place on the disk.
    fn write_huge(&self, name: &str) -> File {
        let mut options = OpenOptions::new();
        let file = options.write(true).create_new(true).open(self.folder.path().join(name));
        let file = file.unwrap();
        file.set_len(HUGE).unwrap();
        file
    }

    fn reason(&self) -> CloseReason {
        wait_until("the connection to be closed", || {
            !self.reasons.0.lock().unwrap().is_empty()
        });
        self.reasons.0.lock().unwrap()[0]
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.handle.shutdown();
        if let Some(running) = self.running.take() {
            running.join().unwrap();
        }
    }
}

#[test]
fn every_byte_is_that_of_the_file_also_behind_others() {
    let site = Site::new(|_| {});
    // Around what is read instead, around one piece, and many pieces.
    let lengths = [0, 1, 32_767, 32_768, 65_536, 262_144, 262_145, 3_000_007];
    let contents: Vec<Vec<u8>> = lengths
        .iter()
        .map(|length| site.write(&length.to_string(), *length))
        .collect();
    let mut client = Client::connect(site.address);
    // All requests at once: each answer lies behind a file.
    client.send(lengths.map(|length| get(&format!("/{length}"))).concat());
    for (length, content) in lengths.iter().zip(&contents) {
        let response = client.response();
        assert_eq!((response.status, response.body.len()), (200, *length));
        assert!(response.body == *content, "another content of {length} bytes");
    }
}

#[test]
fn head_has_no_body_and_a_range_has_its_own() {
    let site = Site::new(|_| {});
    let content = site.write("film", 2_000_000);
    let mut client = Client::connect(site.address);
    client.send("HEAD /film HTTP/1.1\r\nHost: h\r\n\r\n");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.extend(client.bytes(1));
    }
    assert!(String::from_utf8(head).unwrap().contains("Content-Length: 2000000\r\n"));
    for (range, expected) in [
        ("100000-1899999", &content[100_000..1_900_000]),
        ("1999999-", &content[1_999_999..]),
        ("-300000", &content[1_700_000..]),
    ] {
        client.send(format!("GET /film HTTP/1.1\r\nHost: h\r\nRange: bytes={range}\r\n\r\n"));
        let response = client.response();
        assert_eq!(response.status, 206, "{range}");
        assert!(response.body == expected, "{range}");
    }
    let tag = client.get("/film").head;
    let tag = tag.lines().find_map(|line| line.strip_prefix("etag: ")).unwrap();
    client.send(format!("GET /film HTTP/1.1\r\nHost: h\r\nIf-None-Match: {tag}\r\n\r\n"));
    assert_eq!(client.response().status, 304);
}

#[test]
fn a_file_that_becomes_shorter_ends_the_connection_before_its_length() {
    let site = Site::new(|_| {});
    let file = site.write_huge("film");
    let mut client = Client::connect(site.address);
    client.send(get("/film"));
    client.discard(1 << 20);
    // Nothing beyond what is on its way already can come any more.
    file.set_len(1 << 20).unwrap();
    let mut rest = 0;
    let mut buffer = vec![0; 1 << 20];
    loop {
        match client.stream().read(&mut buffer).expect("an orderly end") {
            0 => break,
            count => rest += count as u64,
        }
    }
    assert!(rest < HUGE - (1 << 20), "{rest} bytes more came");
    drop(client);
    assert_eq!(site.reason(), CloseReason::ContentLengthMismatch);
    assert_eq!(Client::connect(site.address).get("/missing").status, 404);
}

#[test]
fn a_client_with_little_room_gets_all_of_it() {
    let site = Site::new(|_| {});
    let content = site.write("film", 3_000_007);
    let stream = TcpStream::connect(site.address).unwrap();
    // Less than a piece: the kernel takes each in many parts.
    SockRef::from(&stream).set_recv_buffer_size(100_000).unwrap();
    let mut client = Client::from_stream(stream);
    for _ in 0..2 {
        assert!(client.get("/film").body == content);
    }
}

#[test]
fn a_client_that_takes_nothing_is_reset() {
    let site = Site::new(|options| options.limits.response_stall_timeout = Some(Duration::from_secs(2)));
    site.write_huge("film");
    let mut client = Client::connect(site.address);
    client.send(get("/film"));
    assert_eq!(site.reason(), CloseReason::ResponseTooSlow);
    client.expect_reset();
}

/// Keeps what was sent.
#[derive(Clone, Default)]
struct Record(Arc<Mutex<Vec<u8>>>);

impl ConnectionMiddleware for Record {
    fn sent(&self, _: &ConnectionInfo, bytes: &[u8]) {
        self.0.lock().unwrap().extend_from_slice(bytes);
    }
}

#[test]
fn whoever_looks_at_the_bytes_is_shown_those_of_files() {
    let record = Record::default();
    let site = Site::new(|options| {
        options.listen(Ipv4Addr::LOCALHOST, 0).use_middleware(record.clone());
    });
    let content = site.write("film", 1_000_003);
    let mut client = Client::connect(site.address);
    let response = client.get("/film");
    assert!(response.body == content);
    drop(client);
    site.reason();
    let seen = record.0.lock().unwrap();
    assert!(seen.len() == response.head.len() + content.len() && seen.ends_with(&content));
}

#[test]
fn over_tls_it_is_the_same_file() {
    const PEM: &str = "tests/fixtures/dotnet/pem";
    let site = Site::new(|options| {
        let certificate = CertificateSource::pem(format!("{PEM}/p256.crt"), format!("{PEM}/p256.pkcs8.key"));
        options.listen(Ipv4Addr::LOCALHOST, 0).use_https(certificate);
    });
    let content = site.write("film", 3_000_007);
    let config = Arc::new(tls::Trusting::new().config(ALL_VERSIONS));
    let mut stream = tls::connect(site.address, &config, "site.test").unwrap();
    let request = get("/film").replace("Host: h\r\n", "Host: h\r\nConnection: close\r\n");
    std::io::Write::write_all(&mut stream, request.as_bytes()).unwrap();
    let mut response = Vec::new();
    // Without a close_notify this would be an error.
    stream.read_to_end(&mut response).unwrap();
    assert!(response.ends_with(&content) && response.len() < content.len() + 1000);
}

#[test]
fn unix_sockets_take_files_too() {
    let folder = TempDir::new().unwrap();
    let socket = folder.path().join("socket");
    let site = Site::new(|options| {
        options.listen_unix_socket(&socket);
    });
    let content = site.write("film", 3_000_007);
    let mut stream = UnixStream::connect(&socket).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    std::io::Write::write_all(&mut stream, b"GET /film HTTP/1.0\r\n\r\n").unwrap();
    let mut response = Vec::new();
    stream.read_to_end(&mut response).unwrap();
    assert!(response.ends_with(&content) && response.len() < content.len() + 1000);
}

#[test]
fn a_stop_waits_until_the_file_is_sent() {
    let mut site = Site::new(|_| {});
    site.write_huge("film");
    let mut client = Client::connect(site.address);
    client.send(get("/film"));
    client.discard(1 << 20);
    site.handle.shutdown();
    let rest = client.rest().len() as u64;
    assert!(rest + (1 << 20) >= HUGE, "{rest} bytes came");
    site.running.take().unwrap().join().unwrap();
}

/// Descriptors of this process that are that file.
fn descriptors_of(path: &std::path::Path) -> usize {
    let open = fs::read_dir("/proc/self/fd").unwrap();
    open.filter(|entry| {
        entry
            .as_ref()
            .is_ok_and(|entry| fs::read_link(entry.path()).is_ok_and(|target| target == path))
    })
    .count()
}

#[test]
fn a_client_that_leaves_takes_the_descriptor_along() {
    let site = Site::new(|_| {});
    drop(site.write_huge("film"));
    let path = fs::canonicalize(site.folder.path()).unwrap().join("film");
    let clients: Vec<Client> = (0..5)
        .map(|_| {
            let mut client = Client::connect(site.address);
            client.send(get("/film"));
            client.discard(1 << 20);
            client
        })
        .collect();
    assert_eq!(descriptors_of(&path), 5);
    for (number, client) in clients.into_iter().enumerate() {
        if number % 2 == 0 {
            client.reset();
        }
    }
    wait_until("the files to be closed", || descriptors_of(&path) == 0);
    // The loop is as well as before.
    let content = site.write("other", 500_000);
    assert!(Client::connect(site.address).get("/other").body == content);
}

/// A file of any kind, as the handler of a program would send it.
struct Whole {
    file: Arc<File>,
    sent: u64,
    length: u64,
}

impl BodySource for Whole {
    fn fill(&mut self, writer: &mut BodyWriter<'_>) -> Progress {
        let mut count = writer.put_file(&self.file, self.sent, self.length - self.sent);
        if count == 0 {
            match writer.read_from(&mut &*self.file) {
                Ok(read) => count = read as u64,
                Err(_) => return Progress::Failed,
            }
        }
        self.sent += count;
        if self.sent == self.length {
            Progress::Done
        } else {
            Progress::More
        }
    }
}

fn whole(folder: TempDir, name: &str, length: BodyLength) -> Site {
    let path = folder.path().join(name);
    Site::with_handler(
        folder,
        |_| {},
        move || {
            let path = path.clone();
            move |_: &Request<'_>, exchange: Exchange<'_>| {
                let source = Whole {
                    file: Arc::new(File::open(&path).unwrap()),
                    sent: 0,
                    length: fs::metadata(&path).unwrap().len(),
                };
                exchange.respond(StatusCode::OK).stream(length, source)
            }
        },
    )
}

#[test]
fn pieces_of_files_can_be_chunks() {
    let site = whole(TempDir::new().unwrap(), "film", BodyLength::Unknown);
    let content = site.write("film", 1_000_003);
    let mut client = Client::connect(site.address);
    assert!(client.get("/").body == content);
    // HTTP/1.0 has no chunks: the body ends with the connection.
    client.send("GET / HTTP/1.0\r\n\r\n");
    let mut response = client.response();
    assert!(response.body.is_empty());
    response.body = client.bytes(content.len());
    assert!(response.body == content);
    client.expect_end();
}

#[test]
fn what_the_system_can_neither_send_nor_read_cuts_the_connection_off() {
    // A folder has a length, but no content.
    let folder = TempDir::new().unwrap();
    let length = fs::metadata(folder.path()).unwrap().len();
    let site = whole(folder, "", BodyLength::Exact(length));
    let mut client = Client::connect(site.address);
    client.send(get("/"));
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.extend(client.bytes(1));
    }
    client.expect_end();
    assert_eq!(site.reason(), CloseReason::ContentLengthMismatch);
}
