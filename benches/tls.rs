//! TLS in a connection without a socket. The client's work is done beside the clock.

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use stannel::tls::TlsEndpoint;
use stannel::{Exchange, Outcome, Request, StatusCode};

use loopless::{Count, Loopless, plaintext};
use requests::{TECHEMPOWER, post};
use tls::{Peer, any_endpoint};

#[path = "support/loopless.rs"]
mod loopless;
#[path = "../tests/support/requests.rs"]
mod requests;
#[path = "../tests/support/tls.rs"]
mod tls;

const LARGE: usize = 1 << 20;

fn handler(request: &Request<'_>, exchange: Exchange<'_>) -> Outcome {
    match request.path() {
        "/plaintext" => plaintext(exchange),
        "/large" => exchange.respond(StatusCode::OK).send(&[b'x'; LARGE][..]),
        _ => exchange.receive(Count::default()),
    }
}

/// A server and its present client, with the time that the server has used.
struct Talk {
    server: Loopless,
    endpoint: Arc<TlsEndpoint>,
    client: Peer,
    records: Vec<u8>,
    used: Duration,
}

impl Talk {
    fn new() -> Self {
        let mut talk = Self {
            server: Loopless::new(handler),
            endpoint: any_endpoint(),
            client: Peer::any(),
            records: Vec::new(),
            used: Duration::ZERO,
        };
        talk.handshake();
        talk
    }

    /// A full one, on a connection of its own.
    fn handshake(&mut self) {
        self.client = Peer::any();
        let hello = self.client.records();
        let began = Instant::now();
        self.server.connect_secured(&self.endpoint);
        self.used += began.elapsed();
        self.receive(&hello);
        let finished = self.client.records();
        self.receive(&finished);
        assert!(!self.client.tls.is_handshaking());
    }

    /// Sends these requests and returns what is answered.
    fn ask(&mut self, requests: &str) -> Vec<u8> {
        let records = self.client.seal(requests);
        self.receive(&records)
    }

    fn receive(&mut self, records: &[u8]) -> Vec<u8> {
        self.records.clear();
        let began = Instant::now();
        self.server.pass_to(black_box(records), &mut self.records);
        self.used += began.elapsed();
        self.client.open(&self.records).unwrap()
    }

    /// How much time the server uses for so many times the same.
    fn time(&mut self, iterations: u64, mut once: impl FnMut(&mut Self)) -> Duration {
        self.used = Duration::ZERO;
        for _ in 0..iterations {
            once(self);
        }
        self.used
    }
}

fn handshake(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("TLS handshake");
    let mut talk = Talk::new();
    group.throughput(Throughput::Elements(1));
    group.bench_function("full", |bencher| {
        bencher.iter_custom(|iterations| talk.time(iterations, Talk::handshake));
    });
    group.finish();
}

fn bulk(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("TLS bulk");
    exchange(&mut group, "request", TECHEMPOWER, 1);
    exchange(&mut group, "pipelined_16", &TECHEMPOWER.repeat(16), 16);
    exchange(
        &mut group,
        "response_1m",
        &TECHEMPOWER.replace("/plaintext", "/large"),
        1,
    );
    exchange(&mut group, "upload_1m", &post("/upload", &"x".repeat(LARGE)), 1);
    group.finish();
}

/// Throughput counts what lies in the records.
fn exchange(group: &mut BenchmarkGroup<'_, WallTime>, name: &str, requests: &str, count: u64) {
    let mut talk = Talk::new();
    let answer = talk.ask(requests);
    assert!(answer.starts_with(b"HTTP/1.1 200 "));
    group.throughput(Throughput::ElementsAndBytes {
        elements: count,
        bytes: (requests.len() + answer.len()) as u64,
    });
    group.bench_function(name, |bencher| {
        bencher
            .iter_custom(|iterations| talk.time(iterations, |talk| assert_eq!(talk.ask(requests).len(), answer.len())));
    });
}

criterion_group!(benches, handshake, bulk);
criterion_main!(benches);
