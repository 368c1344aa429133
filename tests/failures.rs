//! What a handler that fails leaves to the requests behind it: nothing.

#[path = "support/core.rs"]
mod core;

use core::{Core, bodies, status};
use stannel::{BodyLength, BodySource, BodyWriter, Exchange, Outcome, Progress, Request, StatusCode};

/// Writes what it is told to, then ends as it is told to.
struct Source(&'static str, Progress);

impl BodySource for Source {
    fn fill(&mut self, writer: &mut BodyWriter<'_>) -> Progress {
        writer.put(self.0.as_bytes());
        self.1
    }
}

fn handle(request: &Request<'_>, exchange: Exchange<'_>) -> Outcome {
    let promised = BodyLength::Exact(4);
    match request.path() {
        "/nothing" => exchange
            .respond(StatusCode::OK)
            .stream(promised, Source("", Progress::Done)),
        "/failed" => exchange
            .respond(StatusCode::OK)
            .stream(promised, Source("", Progress::Failed)),
        "/deferred" => exchange.defer(|responder| {
            let source = Source("late", Progress::Done);
            responder
                .respond(StatusCode::OK)
                .stream(promised, source)
                .expect("the client is here");
        }),
        "/dropped" => exchange.defer(drop),
        _ => exchange.respond(StatusCode::OK).send("next"),
    }
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n")
}

#[test]
fn the_next_request_is_answered_as_if_nothing_had_happened() {
    for (path, answer, body) in [
        ("/nothing", 500, ""),
        ("/failed", 500, ""),
        ("/deferred", 200, "late"),
        ("/dropped", 500, ""),
    ] {
        let core = Core::new(|_| {}, handle);
        let mut client = core.client();
        client.send(get(path) + &get("/"));
        core.deliver();
        let text = client.read();
        assert_eq!(
            (status(&text), bodies(&text)),
            (answer, vec![body, "next"]),
            "{path}: {text}"
        );
        assert!(client.is_open(), "{path}");
    }
}
