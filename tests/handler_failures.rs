//! What a failing handler costs: its own exchange, at most its own connection, and never the loop.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use stannel::{
    BodyEnd, BodyLength, BodyPipe, BodySink, BodySource, BodyWriter, CloseReason, Exchange, Flow, Handler, Outcome,
    Progress, Rejection, Request, StatusCode, Tunnel, TunnelIo,
};

use support::{Client, Core, End, GET, bodies, ok, post, status};

#[path = "support/core.rs"]
mod support;

/// Panics wherever it is asked to.
struct Fragile {
    served: usize,
}

impl Handler for Fragile {
    fn handle(&mut self, request: &Request<'_>, exchange: Exchange<'_>) -> Outcome {
        self.served += 1;
        match request.path() {
            "/handle" => panic!("in the handler"),
            "/head" => {
                let _begun = exchange.respond(StatusCode::OK).header("x-begun", "yes");
                panic!("behind a field")
            }
            "/collect" => exchange.collect(100, |_, exchange| {
                let _begun = exchange.respond(StatusCode::OK).header("x-begun", "yes");
                panic!("in the closure")
            }),
            "/sink-data" => exchange.receive(Bomb("data")),
            "/sink-finish" => exchange.receive(Bomb("finish")),
            "/sink-failed" => exchange.receive(Bomb("failed")),
            "/source" => exchange
                .respond(StatusCode::OK)
                .stream(BodyLength::Unknown, Bomb("first")),
            "/source-later" => exchange
                .respond(StatusCode::OK)
                .stream(BodyLength::Unknown, Bomb("later")),
            "/source-10" => exchange
                .respond(StatusCode::OK)
                .stream(BodyLength::Unknown, Bomb("later")),
            "/source-failed" => exchange
                .respond(StatusCode::OK)
                .stream(BodyLength::Unknown, Bomb("Failed")),
            "/pipe" => exchange.respond(StatusCode::OK).pipe(BodyLength::Unknown, Bomb("pipe")),
            "/pipe-end" => exchange
                .respond(StatusCode::OK)
                .pipe(BodyLength::Unknown, Bomb("pipe-end")),
            "/tunnel-open" => exchange.upgrade("t").switch_to(Bomb("open")),
            "/tunnel-data" => exchange.upgrade("t").switch_to(Bomb("tunnel")),
            "/count" => exchange.respond(StatusCode::OK).send(self.served.to_string()),
            _ => ok(request, exchange),
        }
    }
}

struct Bomb(&'static str);

impl BodySink for Bomb {
    fn data(&mut self, _: &[u8]) -> Flow {
        assert_ne!(self.0, "data");
        Flow::Continue
    }
    fn finish(self: Box<Self>, _: BodyEnd<'_>, exchange: Exchange<'_>) -> Outcome {
        assert_ne!(self.0, "finish");
        exchange.respond(StatusCode::OK).send("whole")
    }
    fn failed(self: Box<Self>, _: Option<Rejection>) {
        assert_ne!(self.0, "failed");
    }
}

impl BodySource for Bomb {
    fn fill(&mut self, writer: &mut BodyWriter<'_>) -> Progress {
        assert_ne!(self.0, "first");
        assert_ne!(self.0, "now");
        writer.put(b"partial");
        if self.0 == "Failed" {
            return Progress::Failed;
        }
        self.0 = "now";
        Progress::More
    }
}

impl BodyPipe for Bomb {
    fn data(&mut self, data: &[u8], writer: &mut BodyWriter<'_>) -> Flow {
        assert_ne!(self.0, "pipe");
        writer.put(data);
        Flow::Continue
    }
    fn end(&mut self, _: BodyEnd<'_>, _: &mut BodyWriter<'_>) -> Progress {
        panic!("at the end")
    }
}

impl Tunnel for Bomb {
    fn on_open(&mut self, io: &mut TunnelIo<'_>) -> Flow {
        io.put(b"hello");
        assert_ne!(self.0, "open");
        Flow::Continue
    }
    fn on_data(&mut self, _: &[u8], _: &mut TunnelIo<'_>) -> Flow {
        panic!("at data")
    }
}

/// A loop with fragile handlers, how many of them were made, and a bystander who must not notice anything.
fn fragile() -> (Core, Arc<AtomicUsize>, Client) {
    let made = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&made);
    let core = Core::with_factory(
        |_| {},
        move || {
            counter.fetch_add(1, Ordering::Relaxed);
            Fragile { served: 0 }
        },
    );
    let mut bystander = core.client();
    assert_eq!(bodies(&bystander.ask(GET)), ["ok"]);
    (core, made, bystander)
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n")
}

fn posted(path: &str, body: &str) -> String {
    post(body.len()).replace("/ ", &format!("{path} ")) + body
}

/// A 500 without anything of what had been begun, and the connection goes on.
#[track_caller]
fn is_500_and_goes_on(request: &str) {
    let (core, _, mut bystander) = fragile();
    let mut client = core.client();
    let answer = client.ask(request);
    assert_eq!(status(&answer), 500, "{request:?}");
    assert_eq!(bodies(&answer), [""], "{request:?}");
    assert!(
        !answer.contains("x-begun") && !answer.contains("Connection"),
        "{answer:?}"
    );
    assert_eq!(bodies(&client.ask(GET)), ["ok"], "{request:?}");
    assert_eq!(bodies(&bystander.ask(GET)), ["ok"]);
}

#[test]
fn a_panic_before_anything_was_sent_is_500_and_the_connection_goes_on() {
    is_500_and_goes_on(&get("/handle"));
    is_500_and_goes_on(&get("/head"));
    is_500_and_goes_on(&posted("/handle", "drained"));
    is_500_and_goes_on(&posted("/collect", "all here"));
    is_500_and_goes_on(&posted("/sink-data", "refused"));
    is_500_and_goes_on(&posted("/sink-finish", "taken"));
    is_500_and_goes_on(&get("/sink-finish"));
    is_500_and_goes_on(&get("/source"));
    is_500_and_goes_on(&posted("/pipe", "refused"));
    is_500_and_goes_on(&get("/pipe-end"));
}

#[test]
fn a_closure_that_panics_behind_a_body_that_came_later_is_500_too() {
    let (core, _, _) = fragile();
    let mut client = core.client();
    let request = posted("/collect", "in pieces");
    let (first, rest) = request.split_at(request.len() - 3);
    client.send(first);
    let answer = client.ask(rest);
    assert_eq!((status(&answer), bodies(&answer)), (500, vec![""]));
    assert_eq!(bodies(&client.ask(GET)), ["ok"]);
}

#[test]
fn a_loop_whose_handler_panicked_makes_itself_a_fresh_one() {
    let (core, made, mut bystander) = fragile();
    assert_eq!(bodies(&bystander.ask(get("/count"))), ["2"]);
    core.client().ask(get("/handle"));
    assert_eq!(bodies(&bystander.ask(get("/count"))), ["1"]);
    assert_eq!(made.load(Ordering::Relaxed), 2);
    // A body's closure is no part of the handler.
    core.client().ask(posted("/collect", "x"));
    core.client().ask(get("/source"));
    core.advance(1);
    assert_eq!(
        made.load(Ordering::Relaxed),
        2 + 1,
        "a closure that runs within the handler's call is"
    );
}

#[test]
fn a_handler_that_cannot_be_made_is_500() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&calls);
    let core = Core::with_factory(
        |_| {},
        move || {
            assert_ne!(counter.fetch_add(1, Ordering::Relaxed), 0, "the first one fails");
            ok
        },
    );
    let mut client = core.client();
    assert_eq!(status(&client.ask(GET)), 500);
    assert_eq!(bodies(&client.ask(GET)), ["ok"]);
}

/// What was sent, and then the end: no last chunk, no second status line.
#[track_caller]
fn is_cut_off(request: &str, sent: &str, ending: End) {
    let (core, _, mut bystander) = fragile();
    let mut client = core.client();
    let answer = client.ask(request);
    assert!(answer.ends_with(sent), "{request:?}: {answer:?}");
    assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{answer:?}");
    if ending == End::Closed {
        assert!(client.is_write_shut(), "{request:?}");
        client.finish();
    }
    assert_eq!(client.end(), Some((ending, 0)), "{request:?}");
    assert_eq!(
        client.reason(),
        Some(CloseReason::ErrorAfterStartingResponse),
        "{request:?}"
    );
    assert_eq!(bodies(&bystander.ask(GET)), ["ok"]);
}

#[test]
fn a_failure_behind_the_first_bytes_cuts_the_connection_off() {
    is_cut_off(&get("/source-later"), "\r\n\r\n7\r\npartial\r\n", End::Closed);
    is_cut_off(&get("/source-failed"), "\r\n\r\n7\r\npartial\r\n", End::Closed);
    is_cut_off(&posted("/pipe-end", "echo"), "\r\n\r\n4\r\necho\r\n", End::Closed);
}

/// Where the end of the connection ends the body, only a reset says that it is not whole.
#[test]
fn a_body_without_framing_is_cut_off_by_a_reset() {
    let (core, _, _) = fragile();
    let mut client = core.client();
    client.send("GET /source-10 HTTP/1.0\r\n\r\n");
    assert_eq!(client.end(), Some((End::Aborted, 0)));
}

#[test]
fn a_tunnel_that_panics_costs_its_connection_alone() {
    let upgrade = |path: &str| get(path).replace("\r\n\r\n", "\r\nConnection: upgrade\r\nUpgrade: t\r\n\r\n");
    is_cut_off(&upgrade("/tunnel-open"), "\r\n\r\nhello", End::Closed);
    is_cut_off(&(upgrade("/tunnel-data") + "x"), "\r\n\r\nhello", End::Closed);
}

#[test]
fn a_sink_that_panics_when_told_of_the_end_changes_nothing() {
    let (core, _, mut bystander) = fragile();
    let mut client = core.client();
    client.send(posted("/sink-failed", "whole").trim_end_matches("le"));
    client.reset();
    assert_eq!(client.reason(), Some(CloseReason::Reset));

    let mut client = core.client();
    let answer = client.ask("POST /sink-failed HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nx");
    assert_eq!(status(&answer), 400);
    assert_eq!(bodies(&bystander.ask(GET)), ["ok"]);
}
