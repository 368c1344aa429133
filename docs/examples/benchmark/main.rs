//! What speed is measured by: `cargo run --release --example benchmark -- --urls http://127.0.0.1:8080`.
//!
//! | request | answer |
//! |---|---|
//! | `GET /plaintext` | `Hello, World!` |
//! | `GET /json` | `{"message":"Hello, World!"}` |
//! | any method on `/echo` | the request's body, while it comes |
//! | `POST /upload` | reads everything, then says how many bytes that was |
//! | `GET /bytes/N` | N bytes, made while they are sent |
//! | `GET /big` | 1 MiB, the same way |
//! | `GET /memory/N` | N bytes that lie in memory, at most 1 GiB |
//! | `GET /delay/MS` | `done` after that many milliseconds; one thread waits for all |
//! | any method on `/` | a short body; that of the request is not read |

mod bodies;
mod delay;

use bodies::{Block, Count, Echo, Memory};
use delay::Delays;
use stannel::header::{ALLOW, CONTENT_TYPE};
use stannel::{BodyLength, Configuration, Exchange, Handler, Method, Outcome, Request, Server, StatusCode};
use std::error::Error;
use std::time::Duration;

const TEXT: &str = "text/plain";
const BYTES: &str = "application/octet-stream";

struct Benchmark {
    delays: Delays,
    memory: Memory,
}

impl Handler for Benchmark {
    fn handle(&mut self, request: &Request<'_>, exchange: Exchange<'_>) -> Outcome {
        let is_read = matches!(request.method(), &Method::GET | &Method::HEAD);
        match request.path() {
            "/plaintext" if is_read => exchange
                .respond(StatusCode::OK)
                .header(CONTENT_TYPE, TEXT)
                .send("Hello, World!"),
            "/json" if is_read => exchange
                .respond(StatusCode::OK)
                .header(CONTENT_TYPE, "application/json")
                .send(r#"{"message":"Hello, World!"}"#),
            "/" => exchange
                .respond(StatusCode::OK)
                .header(CONTENT_TYPE, TEXT)
                .send("stannel\n"),
            "/echo" => echo(request, exchange),
            "/upload" if request.method() == Method::POST => exchange.receive(Count::default()),
            "/big" if is_read => bytes(exchange, 1 << 20),
            "/plaintext" | "/json" | "/big" => refuse(exchange, "GET, HEAD"),
            "/upload" => refuse(exchange, "POST"),
            path => {
                if let Some(count) = number(path, "/bytes/") {
                    bytes(exchange, count)
                } else if let Some(bytes) = number(path, "/memory/").and_then(|count| self.memory.bytes(count)) {
                    exchange.respond(StatusCode::OK).header(CONTENT_TYPE, BYTES).send(bytes)
                } else if let Some(millis) = number(path, "/delay/") {
                    let delay = Duration::from_millis(millis);
                    exchange.defer(|responder| self.delays.answer_after(delay, responder))
                } else {
                    exchange
                        .respond(StatusCode::NOT_FOUND)
                        .header(CONTENT_TYPE, TEXT)
                        .send("not found\n")
                }
            }
        }
    }
}

fn number(path: &str, prefix: &str) -> Option<u64> {
    path.strip_prefix(prefix)?.parse().ok()
}

fn echo(request: &Request<'_>, exchange: Exchange<'_>) -> Outcome {
    let length = match request.content_length() {
        Some(length) => BodyLength::Exact(length),
        None if request.has_body() => BodyLength::Unknown,
        None => BodyLength::Exact(0),
    };
    exchange
        .respond(StatusCode::OK)
        .header(CONTENT_TYPE, BYTES)
        .pipe(length, Echo)
}

fn bytes(exchange: Exchange<'_>, count: u64) -> Outcome {
    exchange
        .respond(StatusCode::OK)
        .header(CONTENT_TYPE, BYTES)
        .stream(BodyLength::Exact(count), Block::new(count))
}

fn refuse(exchange: Exchange<'_>, methods: &str) -> Outcome {
    exchange
        .respond(StatusCode::METHOD_NOT_ALLOWED)
        .header(ALLOW, methods)
        .send("")
}

fn main() -> Result<(), Box<dyn Error>> {
    let configuration = Configuration::from_default_sources(std::env::args_os().skip(1))?;
    for warning in configuration.unknown_arguments(&[]) {
        eprintln!("warning: {warning}");
    }
    let mut options = configuration.server_options()?;
    options.handle_signals = true;
    let delays = Delays::start()?;
    let server = Server::new(options, move || Benchmark {
        delays: delays.clone(),
        memory: Memory::default(),
    })
    .bind()?;
    for line in server.addresses().iter().flat_map(|address| address.lines()) {
        println!("{line}");
    }
    server.run()?;
    Ok(())
}
