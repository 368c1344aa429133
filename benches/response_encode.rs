//! Responses as they are written. The request before each is the smallest there is; `bare` shows what it costs.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use stannel::{BodyLength, BodySource, BodyWriter, Exchange, Outcome, Progress, StatusCode, header};

use loopless::Loopless;
use requests::SMALL;

#[path = "support/loopless.rs"]
mod loopless;
#[path = "../tests/support/requests.rs"]
mod requests;

type Respond = fn(Exchange<'_>) -> Outcome;

fn bare(exchange: Exchange<'_>) -> Outcome {
    exchange.respond(StatusCode::NO_CONTENT).send("")
}

fn plaintext(exchange: Exchange<'_>) -> Outcome {
    let head = exchange
        .respond(StatusCode::OK)
        .header(header::CONTENT_TYPE, "text/plain");
    head.send("Hello, World!")
}

fn ten_fields(exchange: Exchange<'_>) -> Outcome {
    exchange
        .respond(StatusCode::OK)
        .header(header::CONTENT_TYPE, "text/html; charset=utf-8")
        .header(header::CACHE_CONTROL, "public, max-age=3600")
        .header(header::ETAG, "\"0123456789abcdef\"")
        .header(header::LAST_MODIFIED, "Sun, 09 Sep 2001 01:46:40 GMT")
        .header(header::VARY, "accept-encoding")
        .header(header::CONTENT_LANGUAGE, "en")
        .header("x-content-type-options", "nosniff")
        .header("x-frame-options", "DENY")
        .header("x-request-id", "0123456789abcdef0123456789abcdef")
        .header(header::SET_COOKIE, "session=0123456789abcdef; Path=/; HttpOnly; Secure")
        .send("<!doctype html><title>Hello</title>")
}

/// A body of 16 KiB in pieces of 1 KiB.
struct Pieces(u8);

impl BodySource for Pieces {
    fn fill(&mut self, writer: &mut BodyWriter<'_>) -> Progress {
        writer.put(&[b'x'; 1024]);
        self.0 -= 1;
        if self.0 == 0 { Progress::Done } else { Progress::More }
    }
}

fn chunked(exchange: Exchange<'_>) -> Outcome {
    exchange.respond(StatusCode::OK).stream(BodyLength::Unknown, Pieces(16))
}

fn response_encode(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("response_encode");
    let cases: [(&str, Respond); 4] = [
        ("bare", bare),
        ("plaintext", plaintext),
        ("ten_fields", ten_fields),
        ("chunked_16k", chunked),
    ];
    for (name, respond) in cases {
        let mut client = Loopless::new(move |_, exchange| respond(exchange));
        let size = client.pass(SMALL.as_bytes());
        group.throughput(Throughput::Bytes(size as u64));
        group.bench_function(name, |bencher| {
            bencher.iter(|| assert_eq!(client.pass(black_box(SMALL.as_bytes())), size));
        });
    }
    group.finish();
}

criterion_group!(benches, response_encode);
criterion_main!(benches);
