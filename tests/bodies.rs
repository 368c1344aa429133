//! Request bodies as handlers take them: `100 Continue`, trailers in both directions, limits for one request.

use std::sync::{Arc, Mutex};

use stannel::{
    BodyEnd, BodyLength, BodyPipe, BodySink, BodySource, BodyStarted, BodyWriter, Exchange, Flow, Outcome, Progress,
    Rejection, Request, StatusCode,
};

use support::{Core, GET, bodies, echo, ok, post, status};

#[path = "support/core.rs"]
mod support;

const CONTINUE: &str = "HTTP/1.1 100 Continue\r\n\r\n";

fn expecting(framing: &str) -> String {
    format!("POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\n{framing}\r\n\r\n")
}

// ---- Expect

#[test]
fn a_body_that_is_not_here_is_asked_for_once() {
    let core = Core::new(|_| {}, echo);
    for framing in ["Content-Length: 2", "Transfer-Encoding: chunked"] {
        let mut client = core.client();
        assert_eq!(client.ask(expecting(framing)), CONTINUE);
        let (first, rest) = match framing {
            "Content-Length: 2" => ("a", "b"),
            _ => ("2\r\na", "b\r\n0\r\n\r\n"),
        };
        assert_eq!(client.ask(first), "", "once is enough");
        assert_eq!(bodies(&client.ask(rest)), ["ab"]);
        assert_eq!(
            client.ask(expecting(framing)),
            CONTINUE,
            "and once for the next request"
        );
    }
}

#[test]
fn the_silence_behind_100_is_the_clients() {
    let core = Core::new(|limits| limits.min_request_body_data_rate = None, echo);
    let mut client = core.client();
    core.at(1000);
    assert_eq!(client.ask(expecting("Content-Length: 2")), CONTINUE);
    core.at(60_999);
    assert_eq!(client.read(), "");
    core.at(61_000);
    assert_eq!(status(&client.read()), 408);
}

#[test]
fn a_body_that_is_here_needs_no_asking() {
    let core = Core::new(|_| {}, echo);
    let mut client = core.client();
    assert_eq!(client.ask(expecting("Content-Length: 2") + "a"), "");
    assert_eq!(bodies(&client.ask("b")), ["ab"]);
    assert_eq!(bodies(&client.ask(expecting("Content-Length: 2") + "ab")), ["ab"]);
    assert_eq!(bodies(&client.ask(expecting("Content-Length: 0"))), [""]);
    assert_eq!(bodies(&client.ask(expecting("X: y"))), [""]);
    client.send(expecting("Content-Length: 2").replace("1.1", "1.0"));
    assert_eq!(client.read(), "", "HTTP/1.0 knows no 100");
    assert_eq!(bodies(&client.ask("ab")), ["ab"]);
}

#[test]
fn a_413_that_is_due_comes_without_100() {
    let core = Core::new(|_| {}, echo);
    let mut client = core.client();
    assert_eq!(status(&client.ask(expecting("Content-Length: 30000001"))), 413);
    assert!(client.is_write_shut());
}

/// RFC 9110 §10.1.1: whether the body will still come is unknowable.
#[test]
fn an_expected_body_that_nobody_asks_for_ends_the_connection() {
    let core = Core::new(|_| {}, ok);
    let mut client = core.client();
    let answer = client.ask(expecting("Content-Length: 2"));
    assert_eq!(bodies(&answer), ["ok"]);
    assert!(answer.contains("\r\nConnection: close\r\n") && client.is_write_shut());
    client.send(GET);
    assert_eq!(client.read(), "");
}

#[test]
fn the_100_goes_before_a_response_that_was_begun_first() {
    let core = Core::new(
        |_| {},
        |_, exchange: Exchange<'_>| {
            exchange
                .respond(StatusCode::OK)
                .header("x", "y")
                .pipe(BodyLength::Unknown, Mirror)
        },
    );
    let mut client = core.client();
    let answer = client.ask(expecting("Content-Length: 2"));
    assert!(answer.starts_with(CONTINUE));
    assert!(answer[CONTINUE.len()..].starts_with("HTTP/1.1 200 OK\r\nx: y\r\n"));
    assert_eq!(client.ask("ab"), "2\r\nab\r\n0\r\nx-seen: 2\r\n\r\n");
}

// ---- trailers

struct Mirror;

impl BodyPipe for Mirror {
    fn data(&mut self, data: &[u8], writer: &mut BodyWriter<'_>) -> Flow {
        writer.put(data);
        writer.trailer("x-seen", data.len().to_string()).unwrap();
        Flow::Continue
    }

    fn end(&mut self, end: BodyEnd<'_>, writer: &mut BodyWriter<'_>) -> Progress {
        for (name, value) in end.trailers().iter() {
            writer.trailer(name, value).unwrap();
        }
        Progress::Done
    }
}

struct Sum(usize);

impl BodySink for Sum {
    fn data(&mut self, data: &[u8]) -> Flow {
        self.0 += data.len();
        Flow::Continue
    }

    fn finish(self: Box<Self>, end: BodyEnd<'_>, exchange: Exchange<'_>) -> Outcome {
        let checksum = end
            .trailers()
            .get("X-Sum")
            .map(String::from_utf8_lossy)
            .unwrap_or_default();
        exchange.respond(StatusCode::OK).send(format!("{} {checksum}", self.0))
    }
}

struct Signed(bool);

impl BodySource for Signed {
    fn fill(&mut self, writer: &mut BodyWriter<'_>) -> Progress {
        if std::mem::replace(&mut self.0, true) {
            writer.trailer("x-signature", "good").unwrap();
            assert!(writer.trailer("content-length", "5").is_err());
            assert!(writer.trailer("x", "a\r\nb: c").is_err());
            return Progress::Done;
        }
        writer.put(b"signed");
        Progress::More
    }
}

fn chunked(path: &str, body: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n{body}")
}

fn trailers(request: &Request<'_>, exchange: Exchange<'_>) -> Outcome {
    match request.path() {
        "/collect" => exchange.collect(100, |body, exchange| {
            let trailers: Vec<String> = body
                .trailers()
                .iter()
                .map(|(name, value)| format!("{name}={}", value.escape_ascii()))
                .collect();
            exchange.respond(StatusCode::OK).send(trailers.join(","))
        }),
        "/receive" => exchange.receive(Sum(0)),
        "/pipe" => exchange.respond(StatusCode::OK).pipe(BodyLength::Unknown, Mirror),
        _ => exchange
            .respond(StatusCode::OK)
            .stream(BodyLength::Unknown, Signed(false)),
    }
}

#[test]
fn trailers_of_a_request_are_read_behind_its_body() {
    let core = Core::new(|_| {}, trailers);
    let body = "3\r\nabc\r\n0\r\nX-Sum: \t1f \r\nx-other:\r\n\r\n";
    for piece in [1, 3, 1000] {
        let mut client = core.client();
        for (path, expected) in [
            ("/collect", "X-Sum=1f,x-other="),
            ("/receive", "3 1f"),
            ("/collect", "X-Sum=1f,x-other="),
        ] {
            for bytes in chunked(path, body).as_bytes().chunks(piece) {
                client.send(bytes);
            }
            assert_eq!(bodies(&client.read()), [expected], "{path} in pieces of {piece}");
        }
        assert_eq!(
            bodies(&client.ask(chunked("/collect", "0\r\n\r\n"))),
            [""],
            "none are left over"
        );
    }
}

#[test]
fn trailers_of_a_response_go_out_behind_its_body() {
    let core = Core::new(|_| {}, trailers);
    let mut client = core.client();
    assert!(
        client
            .ask(GET)
            .ends_with("\r\n\r\n6\r\nsigned\r\n0\r\nx-signature: good\r\n\r\n")
    );
    let piped = client.ask(chunked("/pipe", "2\r\nab\r\n0\r\nX-Sum: 1f\r\n\r\n"));
    assert!(
        piped.ends_with("\r\n\r\n2\r\nab\r\n0\r\nx-seen: 2\r\nX-Sum: 1f\r\n\r\n"),
        "{piped:?}"
    );
    // HTTP/1.0 has no chunks, so there is no place for them.
    let old = client.ask("GET / HTTP/1.0\r\n\r\n");
    assert!(old.ends_with("\r\n\r\nsigned"));
}

// ---- limits

#[test]
fn a_handler_changes_the_body_limit_for_one_request_alone() {
    let late: Arc<Mutex<Option<Result<(), BodyStarted>>>> = Arc::default();
    let shared = Arc::clone(&late);
    let core = Core::new(
        |limits| limits.max_request_body_size = Some(5),
        move |request: &Request<'_>, mut exchange: Exchange<'_>| {
            let shared = Arc::clone(&shared);
            if request.number() == 1 {
                exchange.max_request_body_size(Some(10)).unwrap();
            }
            exchange.collect(100, move |body, mut exchange| {
                *shared.lock().unwrap() = Some(exchange.max_request_body_size(None));
                exchange.respond(StatusCode::OK).send(body)
            })
        },
    );
    let mut client = core.client();
    assert_eq!(bodies(&client.ask(post(10) + "0123456789")), ["0123456789"]);
    assert_eq!(
        late.lock().unwrap().take(),
        Some(Err(BodyStarted)),
        "too late for this one"
    );
    assert_eq!(bodies(&client.ask(post(5) + "01234")), ["01234"]);
    assert_eq!(
        status(&client.ask(post(6) + "012345")),
        413,
        "the server's limit is back"
    );
}

struct Told(Arc<Mutex<Vec<Option<Rejection>>>>);

impl BodySink for Told {
    fn data(&mut self, _: &[u8]) -> Flow {
        Flow::Continue
    }
    fn finish(self: Box<Self>, _: BodyEnd<'_>, _: Exchange<'_>) -> Outcome {
        panic!("the body is never complete")
    }
    fn failed(self: Box<Self>, reason: Option<Rejection>) {
        self.0.lock().unwrap().push(reason);
    }
}

#[test]
fn a_sink_hears_why_its_body_will_never_be_complete() {
    let told = Arc::new(Mutex::new(Vec::new()));
    let shared = Arc::clone(&told);
    let core = Core::new(
        |limits| limits.max_request_body_size = Some(20),
        move |_: &Request<'_>, exchange: Exchange<'_>| exchange.receive(Told(Arc::clone(&shared))),
    );
    let mut too_large = core.client();
    assert_eq!(status(&too_large.ask(post(21))), 413);
    let mut grows = core.client();
    grows.send(chunked("/", "5\r\nhello\r\n"));
    assert_eq!(status(&grows.ask("f\r\n")), 413, "the size alone says it");
    let mut malformed = core.client();
    assert_eq!(status(&malformed.ask(chunked("/", "x"))), 400);
    let mut short = core.client();
    short.send(post(5) + "hell");
    short.finish();
    let mut reset = core.client();
    reset.send(post(5) + "hell");
    reset.reset();
    let mut silent = core.client();
    silent.send(post(5));
    core.advance(6000);
    assert_eq!(status(&silent.read()), 408);
    assert_eq!(
        *told.lock().unwrap(),
        [
            Some(Rejection::RequestBodyTooLarge),
            Some(Rejection::RequestBodyTooLarge),
            Some(Rejection::BadChunkSizeData),
            Some(Rejection::UnexpectedEndOfRequestContent),
            None,
            Some(Rejection::RequestBodyTimeout),
        ]
    );
}
