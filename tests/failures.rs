//! What a handler that fails leaves to the requests behind it: nothing.

#[path = "support/core.rs"]
mod core;

use core::{Core, bodies, status};
use stannel::connection::{Connection, Engine};
use stannel::timer::Time;
use stannel::{
    BodyLength, BodySource, BodyWriter, CloseReason, ConnectionInfo, Exchange, Observer, Outcome, Peer, Progress,
    Request, ServerOptions, StatusCode,
};
use std::sync::{Arc, Mutex};

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

struct Clumsy;

impl Observer for Clumsy {
    fn accepted(&self, _: &ConnectionInfo) {
        panic!("accepted");
    }

    fn request(&self, _: &Request<'_>) {
        panic!("request");
    }

    fn response(&self, _: &ConnectionInfo, _: u32, _: StatusCode) {
        panic!("response");
    }

    fn closed(&self, _: &ConnectionInfo, _: CloseReason) {
        panic!("closed");
    }
}

#[test]
fn an_observer_that_panics_changes_nothing() {
    let mut options = ServerOptions::default();
    options.observer = Some(Arc::new(Clumsy));
    let mut engine = Engine::new(&options, || handle, || ());
    let mut connection = Connection::new(&engine, ConnectionInfo::new(1, Peer::Unix), 0);
    let mut turn = connection.turn(&mut engine, 0);
    for _ in 0..2 {
        turn.on_bytes(get("/").as_bytes());
        let answer = turn.output().unwrap().to_vec();
        assert!(answer.starts_with(b"HTTP/1.1 200 OK\r\n") && answer.ends_with(b"next"));
        turn.on_written(answer.len());
    }
    turn.on_read(0);
    turn.closed();
}

/// Says that there is more, a few times, without writing any of it.
struct Hesitant(u32);

impl BodySource for Hesitant {
    fn fill(&mut self, writer: &mut BodyWriter<'_>) -> Progress {
        if self.0 > 0 {
            self.0 -= 1;
            return Progress::More;
        }
        writer.put(b"done");
        Progress::Done
    }
}

#[test]
fn a_source_that_does_not_get_on_lets_others_have_their_turn() {
    let hesitant = |_: &Request<'_>, exchange: Exchange<'_>| {
        exchange
            .respond(StatusCode::OK)
            .stream(BodyLength::Exact(4), Hesitant(5))
    };
    let mut engine = Engine::new(&ServerOptions::default(), move || hesitant, || ());
    let mut connection = Connection::new(&engine, ConnectionInfo::new(1, Peer::Unix), 0);
    let mut turn = connection.turn(&mut engine, 0);
    turn.on_bytes(get("/").as_bytes());
    let mut turns = 0;
    while turn.has_more() {
        turns += 1;
        turn.on_room();
    }
    assert_eq!(turns, 5, "each time it is asked once");
    assert!(turn.output().unwrap().ends_with(b"done"));
}

/// Numbers of requests and of responses, as the observer hears them.
#[derive(Default)]
struct Numbers(Mutex<(Vec<u32>, Vec<u32>)>);

impl Observer for Numbers {
    fn request(&self, request: &Request<'_>) {
        self.0.lock().unwrap().0.push(request.number());
    }

    fn response(&self, _: &ConnectionInfo, number: u32, _: StatusCode) {
        self.0.lock().unwrap().1.push(number);
    }
}

/// The answer to what is no request is not told as a second one to the request before it.
#[test]
fn a_refusal_has_a_number_of_its_own() {
    for refused in ["\u{16}\u{3}\u{1}", "\n", "GET\r\n", "GET / HTTP/1.1\r\nslow"] {
        let numbers = Arc::new(Numbers::default());
        let mut options = ServerOptions::default();
        options.observer = Some(Arc::clone(&numbers) as Arc<dyn Observer>);
        let mut engine = Engine::new(&options, || handle, || ());
        let mut connection = Connection::new(&engine, ConnectionInfo::new(1, Peer::Unix), 0);
        let mut turn = connection.turn(&mut engine, 0);
        turn.on_bytes(get("/").as_bytes());
        turn.on_bytes(refused.as_bytes());
        let mut sent = Vec::new();
        turn.copy_output(&mut sent);
        turn.on_written(sent.len());
        drop(turn);
        engine.set_time(Time::from_millis(31_000));
        connection.turn(&mut engine, 0).on_timer();
        assert_eq!(*numbers.0.lock().unwrap(), (vec![1], vec![1, 2]), "{refused:?}");
    }
}
