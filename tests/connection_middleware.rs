//! What looks at connections below HTTP: it sees every byte in order, may refuse a connection, and costs no other one if
//! it panics.

#[path = "support/client.rs"]
mod client;

use client::{Client, wait_until};
use stannel::{
    Admission, ConnectionInfo, ConnectionMiddleware, Exchange, ListenOptions, Request, Server, ServerHandle,
    ServerOptions, StatusCode,
};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

/// What happened, with the bytes.
type Event = (&'static str, Vec<u8>);

#[derive(Clone, Default)]
struct Record(Arc<Mutex<Vec<Event>>>);

impl Record {
    fn add(&self, what: &'static str, bytes: &[u8]) {
        self.0.lock().unwrap().push((what, bytes.to_vec()));
    }

    fn all(&self, what: &str) -> Vec<u8> {
        let entries = self.0.lock().unwrap();
        entries
            .iter()
            .filter(|(kind, _)| *kind == what)
            .flat_map(|(_, bytes)| bytes.clone())
            .collect()
    }

    fn count(&self, what: &str) -> usize {
        self.0.lock().unwrap().iter().filter(|(kind, _)| *kind == what).count()
    }
}

impl ConnectionMiddleware for Record {
    fn connected(&self, _: &ConnectionInfo) -> Admission {
        self.add("connected", b"");
        Admission::Admit
    }

    fn received(&self, _: &ConnectionInfo, bytes: &[u8]) {
        self.add("received", bytes);
    }

    fn sent(&self, _: &ConnectionInfo, bytes: &[u8]) {
        self.add("sent", bytes);
    }

    fn closed(&self, _: &ConnectionInfo) {
        self.add("closed", b"");
    }
}

struct Refuse;

impl ConnectionMiddleware for Refuse {
    fn connected(&self, _: &ConnectionInfo) -> Admission {
        Admission::Refuse
    }
}

/// Panics when it sees this byte.
struct PanicAt(u8);

impl ConnectionMiddleware for PanicAt {
    fn received(&self, _: &ConnectionInfo, bytes: &[u8]) {
        assert!(!bytes.contains(&self.0), "there it is");
    }
}

fn serve(configure: impl FnOnce(&mut ListenOptions)) -> (SocketAddr, ServerHandle, std::thread::JoinHandle<()>) {
    let hello = |_: &Request<'_>, exchange: Exchange<'_>| exchange.respond(StatusCode::OK).send("x".repeat(100_000));
    let mut options = ServerOptions::default();
    options.workers = "1".parse().ok();
    configure(options.listen(std::net::Ipv4Addr::LOCALHOST, 0));
    let server = Server::new(options, move || hello).bind().unwrap();
    let address = server.addresses()[0].socket_addrs()[0];
    let handle = server.handle();
    (address, handle, std::thread::spawn(move || server.run().unwrap()))
}

#[test]
fn every_byte_is_seen_in_order_by_each_of_them() {
    let (first, second) = (Record::default(), Record::default());
    let (address, handle, running) = serve(|endpoint| {
        endpoint
            .use_middleware(first.clone())
            .use_middleware(second.clone())
            .use_connection_logging();
    });
    let mut client = Client::connect(address);
    let mut sent = Vec::new();
    let mut taken = Vec::new();
    for target in ["/a", "/b", "/c"] {
        sent.extend(client::get(target).bytes());
        let response = client.get(target);
        taken.extend(response.head.bytes());
        taken.extend(response.body);
    }
    drop(client);
    wait_until("the end", || first.count("closed") == 1 && second.count("closed") == 1);
    for record in [first, second] {
        assert_eq!(record.count("connected"), 1);
        assert_eq!(record.all("received"), sent);
        assert_eq!(record.all("sent").len(), taken.len());
        assert_eq!(record.all("sent"), taken);
    }
    handle.shutdown();
    running.join().unwrap();
}

#[test]
fn a_refused_connection_is_closed_without_a_byte() {
    let after = Record::default();
    let (address, handle, running) = serve(|endpoint| {
        endpoint.use_middleware(Refuse).use_middleware(after.clone());
    });
    let mut client = Client::connect(address);
    assert!(client.try_response().is_none());
    assert_eq!(after.count("connected"), 0);
    assert_eq!(handle.metrics().total().rejected_connections, 1);
    handle.shutdown();
    running.join().unwrap();
}

#[test]
fn a_panic_costs_its_connection_alone() {
    let (address, handle, running) = serve(|endpoint| {
        endpoint.use_middleware(PanicAt(b'!'));
    });
    let mut good = Client::connect(address);
    assert_eq!(good.get("/").status, 200);
    let mut bad = Client::connect(address);
    bad.send("GET /! HTTP/1.1\r\nHost: h\r\n\r\n");
    let mut byte = [0];
    assert!(std::io::Read::read(&mut bad.stream(), &mut byte).is_err());
    assert_eq!(good.get("/").status, 200);
    handle.shutdown();
    running.join().unwrap();
}
