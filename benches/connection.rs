//! A connection without a socket: from received bytes to bytes to be sent.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use stannel::{Exchange, Outcome, Request, StatusCode};

use loopless::{Count, Loopless, plaintext};
use requests::{BROWSER, SMALL, TECHEMPOWER, post};

#[path = "support/loopless.rs"]
mod loopless;
#[path = "../tests/support/requests.rs"]
mod requests;

fn handler(request: &Request<'_>, exchange: Exchange<'_>) -> Outcome {
    match request.path() {
        "/plaintext" => plaintext(exchange),
        "/echo" => exchange.collect(1 << 20, |body, exchange| exchange.respond(StatusCode::OK).send(body)),
        _ => exchange.receive(Count::default()),
    }
}

/// 64 KiB in chunks of 8 KiB.
fn chunked_upload() -> String {
    let chunk = format!("2000\r\n{}\r\n", "x".repeat(8192));
    let head = "POST /upload HTTP/1.1\r\nHost: server\r\nTransfer-Encoding: chunked\r\n\r\n";
    format!("{head}{}0\r\n\r\n", chunk.repeat(8))
}

fn connection(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("connection");
    let cases = [
        ("small", SMALL.to_owned(), 1),
        ("techempower", TECHEMPOWER.to_owned(), 1),
        ("techempower_pipelined_16", TECHEMPOWER.repeat(16), 16),
        ("browser", BROWSER.to_owned(), 1),
        ("browser_pipelined_16", BROWSER.repeat(16), 16),
        ("echo_4k", post("/echo", &"x".repeat(4096)), 1),
        ("chunked_upload_64k", chunked_upload(), 1),
    ];
    for (name, input, requests) in cases {
        let mut client = Loopless::new(handler);
        let size = client.pass(input.as_bytes());
        group.throughput(Throughput::ElementsAndBytes {
            elements: requests,
            bytes: input.len() as u64,
        });
        group.bench_function(name, |bencher| {
            bencher.iter(|| assert_eq!(client.pass(black_box(input.as_bytes())), size));
        });
    }
    group.finish();
}

criterion_group!(benches, connection);
criterion_main!(benches);
