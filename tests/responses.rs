//! What a response carries, by its status and the method that it answers.

use stannel::{BodyLength, Exchange, Outcome, ReaderSource, Request, StatusCode};
use std::io::Cursor;

use support::{Core, status};

#[path = "support/core.rs"]
mod support;

/// How the handler gives its body.
#[derive(Clone, Copy, Debug)]
enum Given {
    /// Whole, with so many bytes.
    Whole(usize),
    /// Piece by piece: so many.
    Exact(usize),
    /// Piece by piece until there is no more: so many.
    Unknown(usize),
}
use Given::{Exact, Unknown, Whole};

impl Given {
    fn answer(self, exchange: Exchange<'_>, status: StatusCode) -> Outcome {
        let bytes = |count| "x".repeat(count);
        let source = |count| ReaderSource::new(Cursor::new(bytes(count)));
        match self {
            Whole(count) => exchange.respond(status).send(bytes(count)),
            Exact(count) => {
                let length = BodyLength::Exact(count as u64);
                exchange.respond(status).stream(length, source(count))
            }
            Unknown(count) => exchange.respond(status).stream(BodyLength::Unknown, source(count)),
        }
    }
}

/// How the head says where the response ends.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Framed {
    Not,
    By(usize),
    InChunks,
}
use Framed::{By, InChunks, Not};

/// The answer to a request whose handler answers with `status` and that body: what it begins with, how it is framed, and
/// what stands behind its head.
fn answer(method: &str, code: u16, given: Given) -> (u16, Framed, String) {
    let core = Core::new(
        |_| (),
        move |_: &Request<'_>, exchange: Exchange<'_>| given.answer(exchange, StatusCode::from_u16(code).unwrap()),
    );
    let target = if method == "CONNECT" { "h:1" } else { "/" };
    let host = if method == "CONNECT" { "h:1" } else { "h" };
    let text = core
        .client()
        .ask(format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\n\r\n"));
    let (head, body) = text.split_once("\r\n\r\n").expect("a whole head");
    let field = |name: &str| head.lines().find_map(|line| line.strip_prefix(name));
    let framed = match (field("Content-Length: "), field("Transfer-Encoding: ")) {
        (None, None) => Not,
        (Some(length), None) => By(length.parse().unwrap()),
        (None, Some("chunked")) => InChunks,
        both => panic!("{both:?}"),
    };
    (status(&text), framed, body.to_owned())
}

/// RFC 9110 §6.4.1, §8.6, §9.3.2, §15.2, §15.3.5, §15.3.6, §15.4.5; RFC 9112 §6.1, §6.3.
#[test]
fn bodies_and_their_framing_follow_status_and_method() {
    // What cannot be sent so is the handler's error.
    const ERROR: (u16, Framed, &str) = (500, By(0), "");
    let cases = [
        ("GET", 200, Whole(2), (200, By(2), "xx")),
        ("GET", 200, Exact(2), (200, By(2), "xx")),
        ("GET", 200, Unknown(2), (200, InChunks, "2\r\nxx\r\n0\r\n\r\n")),
        ("HEAD", 200, Whole(2), (200, By(2), "")),
        ("HEAD", 200, Exact(2), (200, By(2), "")),
        ("HEAD", 200, Exact(0), (200, By(0), "")),
        ("HEAD", 200, Unknown(2), (200, Not, "")),
        ("HEAD", 404, Whole(2), (404, By(2), "")),
        // A 2xx to CONNECT is the beginning of a tunnel, anything else an ordinary answer.
        ("CONNECT", 200, Whole(0), (200, Not, "")),
        ("CONNECT", 200, Exact(0), (200, Not, "")),
        ("CONNECT", 299, Whole(0), (299, Not, "")),
        ("CONNECT", 204, Whole(0), (204, Not, "")),
        ("CONNECT", 200, Whole(2), ERROR),
        ("CONNECT", 200, Exact(2), ERROR),
        ("CONNECT", 200, Unknown(2), ERROR),
        ("CONNECT", 404, Whole(2), (404, By(2), "xx")),
        ("CONNECT", 404, Unknown(2), (404, InChunks, "2\r\nxx\r\n0\r\n\r\n")),
        ("GET", 204, Whole(0), (204, Not, "")),
        ("GET", 204, Exact(0), (204, Not, "")),
        ("GET", 204, Whole(2), ERROR),
        ("GET", 204, Exact(2), ERROR),
        ("GET", 204, Unknown(2), ERROR),
        ("HEAD", 204, Whole(0), (204, Not, "")),
        ("GET", 205, Whole(0), (205, By(0), "")),
        ("GET", 205, Exact(0), (205, By(0), "")),
        ("GET", 205, Whole(2), ERROR),
        ("GET", 205, Exact(2), ERROR),
        ("GET", 205, Unknown(2), ERROR),
        ("GET", 304, Whole(0), (304, Not, "")),
        ("GET", 304, Exact(2), (304, By(2), "")),
        ("GET", 304, Unknown(2), (304, Not, "")),
        ("GET", 304, Whole(2), ERROR),
        ("HEAD", 304, Exact(2), (304, By(2), "")),
        // Nothing is final that begins with 1.
        ("GET", 100, Whole(0), ERROR),
        ("GET", 101, Whole(0), ERROR),
        ("GET", 103, Exact(0), ERROR),
        ("HEAD", 199, Unknown(0), ERROR),
    ];
    for (method, code, given, (status, framed, body)) in cases {
        assert_eq!(
            answer(method, code, given),
            (status, framed, body.to_owned()),
            "{method} {code} {given:?}"
        );
    }
}

/// RFC 9112 §9.6 and RFC 9110 §9.3.6: bytes behind a CONNECT are never a request.
#[test]
fn a_connection_ends_behind_each_answer_to_connect() {
    for code in [200, 404] {
        let core = Core::new(
            |_| (),
            move |_: &Request<'_>, exchange: Exchange<'_>| {
                Whole(0).answer(exchange, StatusCode::from_u16(code).unwrap())
            },
        );
        let mut client = core.client();
        let text = client.ask("CONNECT h:1 HTTP/1.1\r\nHost: h:1\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n");
        assert!(text.contains("\r\nConnection: close\r\n"), "{code}: {text}");
        assert_eq!(text.matches("HTTP/1.1 ").count(), 1, "{code}: {text}");
        assert!(client.is_write_shut(), "{code}");
    }
}

/// RFC 9112 §4: the space is there without a reason, too; and no reason ends the line.
#[test]
fn reasons_are_the_handlers_and_stay_on_their_line() {
    let cases = [
        ("Fine", "HTTP/1.1 200 Fine\r\n"),
        ("", "HTTP/1.1 200 \r\n"),
        ("gut so\tü", "HTTP/1.1 200 gut so\tü\r\n"),
        ("OK\r\nInjected: yes", "HTTP/1.1 500 Internal Server Error\r\n"),
        ("OK\rInjected: yes", "HTTP/1.1 500 Internal Server Error\r\n"),
        ("\0", "HTTP/1.1 500 Internal Server Error\r\n"),
    ];
    for (reason, line) in cases {
        let core = Core::new(
            |_| (),
            move |_: &Request<'_>, exchange: Exchange<'_>| {
                exchange.respond_with_reason(StatusCode::OK, reason).send("")
            },
        );
        let text = core.client().ask(support::GET);
        assert!(text.starts_with(line), "{reason:?}: {text}");
        assert!(!text.contains("Injected"), "{reason:?}: {text}");
    }
}
