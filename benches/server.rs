//! A whole server over loopback, one worker, with a client on this thread: what a round trip costs.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::num::NonZeroUsize;
use std::thread;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use stannel::{BodyLength, Exchange, Outcome, ReaderSource, Request, Server, ServerOptions, StatusCode, header};

use requests::{TECHEMPOWER, post};

#[path = "../tests/support/requests.rs"]
mod requests;

const LARGE: u64 = 1 << 20;

fn handler(request: &Request<'_>, exchange: Exchange<'_>) -> Outcome {
    match request.path() {
        "/plaintext" => {
            let head = exchange
                .respond(StatusCode::OK)
                .header(header::CONTENT_TYPE, "text/plain");
            head.send("Hello, World!")
        }
        "/echo" => exchange.collect(1 << 20, |body, exchange| exchange.respond(StatusCode::OK).send(body)),
        _ => {
            let body = ReaderSource::new(std::io::Read::take(std::io::repeat(b'x'), LARGE));
            exchange.respond(StatusCode::OK).stream(BodyLength::Exact(LARGE), body)
        }
    }
}

/// Several connections that ask at once and then wait for all answers.
struct Clients {
    streams: Vec<TcpStream>,
    request: Vec<u8>,
    answer: Vec<u8>,
}

impl Clients {
    /// Asks once to learn how long the answer is; it is as long each time.
    fn new(address: std::net::SocketAddr, count: usize, request: String, requests: usize) -> Self {
        let streams: Vec<TcpStream> = (0..count)
            .map(|_| {
                let stream = TcpStream::connect(address).unwrap();
                stream.set_nodelay(true).unwrap();
                stream
            })
            .collect();
        let size = response_size(&streams[0], &request);
        Self {
            streams,
            request: request.repeat(requests).into_bytes(),
            answer: vec![0; size * requests],
        }
    }

    fn round(&mut self) {
        for stream in &mut self.streams {
            stream.write_all(&self.request).unwrap();
        }
        for stream in &mut self.streams {
            stream.read_exact(&mut self.answer).unwrap();
            assert!(self.answer.starts_with(b"HTTP/1.1 200 "));
        }
    }
}

fn response_size(mut stream: &TcpStream, request: &str) -> usize {
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    let mut buffer = [0; 16 << 10];
    loop {
        let count = stream.read(&mut buffer).unwrap();
        assert_ne!(count, 0, "the server closed");
        answer.extend_from_slice(&buffer[..count]);
        let Some(head) = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n") else {
            continue;
        };
        let text = std::str::from_utf8(&answer[..head]).unwrap();
        let length = text.lines().find_map(|line| line.strip_prefix("Content-Length: "));
        let size = head + 4 + length.unwrap().parse::<usize>().unwrap();
        if answer.len() >= size {
            assert_eq!(answer.len(), size);
            return size;
        }
    }
}

fn server(criterion: &mut Criterion) {
    let mut options = ServerOptions::default();
    options.workers = NonZeroUsize::new(1);
    options.listen(Ipv4Addr::LOCALHOST, 0);
    let server = Server::new(options, || handler).bind().unwrap();
    let address = server.addresses()[0].socket_addrs()[0];
    let handle = server.handle();
    let running = thread::spawn(move || server.run());

    let mut group = criterion.benchmark_group("server");
    let large = TECHEMPOWER.replace("/plaintext", "/large");
    for (name, connections, request, requests) in [
        ("keep_alive", 1, TECHEMPOWER.to_owned(), 1),
        ("keep_alive_16_connections", 16, TECHEMPOWER.to_owned(), 1),
        ("pipelined_16", 1, TECHEMPOWER.to_owned(), 16),
        ("echo_4k", 1, post("/echo", &"x".repeat(4096)), 1),
        ("response_1m", 1, large, 1),
    ] {
        let mut clients = Clients::new(address, connections, request, requests);
        let bytes = connections * (clients.request.len() + clients.answer.len());
        group.throughput(Throughput::ElementsAndBytes {
            elements: (connections * requests) as u64,
            bytes: bytes as u64,
        });
        group.bench_function(name, |bencher| bencher.iter(|| clients.round()));
    }
    group.finish();

    handle.shutdown();
    running.join().unwrap().unwrap();
}

criterion_group!(benches, server);
criterion_main!(benches);
