//! How long things may take, in connections without sockets.

use crate::core::{Core, End, echo, ok, post, status};
use crate::talk::{Talk, WAYS};
use stannel::{CloseReason, Exchange, Limits, Outcome, Rejection, Request, StatusCode};

/// What becomes of a connection whose time is over.
enum Then {
    Refused(u16, Rejection),
    Ended(End, CloseReason),
}

/// A limit; what the client does; the last moment at which all is well, and the first at which it is not.
struct Case {
    limit: &'static str,
    set: fn(&mut Limits),
    handler: fn(&Request<'_>, Exchange<'_>) -> Outcome,
    begin: fn(&mut Talk),
    under: u64,
    over: u64,
    then: Then,
}

const CASES: &[Case] = &[
    Case {
        limit: "keep_alive_timeout",
        set: |_| (),
        handler: ok,
        begin: |_| (),
        under: 129_999,
        over: 130_000,
        then: Then::Ended(End::Closed, CloseReason::KeepAliveTimeout),
    },
    Case {
        limit: "request_headers_timeout",
        set: |_| (),
        handler: ok,
        begin: |talk| talk.send("GET / HTTP/1.1\r\nHost: h\r\n"),
        under: 29_999,
        over: 30_000,
        then: Then::Refused(408, Rejection::RequestHeadersTimeout),
    },
    Case {
        limit: "min_request_body_data_rate",
        set: |limits| limits.request_body_stall_timeout = None,
        handler: echo,
        // 240 bytes a second for ten seconds.
        begin: |talk| talk.send(post(100_000) + &"x".repeat(2400)),
        under: 10_000,
        over: 12_000,
        then: Then::Refused(408, Rejection::RequestBodyTimeout),
    },
    Case {
        limit: "request_body_stall_timeout",
        set: |limits| limits.min_request_body_data_rate = None,
        handler: echo,
        begin: |talk| talk.send(post(100_000) + "x"),
        under: 59_999,
        over: 60_000,
        then: Then::Refused(408, Rejection::RequestBodyTimeout),
    },
    Case {
        limit: "min_response_data_rate",
        set: |limits| limits.response_stall_timeout = None,
        handler: large,
        // 24,000 bytes may take a hundred seconds; head, records and handshake some more.
        begin: |talk| talk.send(crate::core::GET),
        under: 100_000,
        over: 112_000,
        then: Then::Ended(End::Aborted, CloseReason::ResponseTooSlow),
    },
    Case {
        limit: "response_stall_timeout",
        set: |limits| limits.min_response_data_rate = None,
        handler: large,
        begin: |talk| talk.send(crate::core::GET),
        under: 59_999,
        over: 60_000,
        then: Then::Ended(End::Aborted, CloseReason::ResponseTooSlow),
    },
    Case {
        limit: "request_body_drain_timeout",
        set: |_| (),
        handler: ok,
        begin: |talk| {
            talk.send(post(100_000) + "x");
            assert_eq!(status(&talk.read()), 200);
        },
        under: 4_999,
        over: 5_000,
        then: Then::Ended(End::Closed, CloseReason::DrainTimeout),
    },
];

fn large(_: &Request<'_>, exchange: Exchange<'_>) -> Outcome {
    exchange.respond(StatusCode::OK).send("x".repeat(24_000))
}

#[test]
fn times_hold_plain_and_inside_tls() {
    for case in CASES {
        for &way in WAYS {
            let name = format!("{}, {way:?}", case.limit);
            let core = Core::new(case.set, case.handler);
            let mut talk = Talk::new(&core, way);
            (case.begin)(&mut talk);
            core.at(case.under);
            assert!(
                talk.client.is_open() && !talk.client.is_write_shut(),
                "{name}: too early"
            );
            core.at(case.over);
            match case.then {
                Then::Refused(code, reason) => {
                    assert_eq!(status(&talk.read()), code, "{name}");
                    talk.client.finish();
                    assert_eq!(talk.client.reason(), Some(CloseReason::Rejected(reason)), "{name}");
                }
                Then::Ended(end, reason) => {
                    if end == End::Closed {
                        assert_eq!(talk.read(), "", "{name}");
                    }
                    // Who is told that nothing more comes closes, too.
                    if talk.client.is_open() {
                        assert!(talk.client.is_write_shut(), "{name}");
                        talk.client.finish();
                    }
                    assert_eq!(talk.client.end().map(|(how, _)| how), Some(end), "{name}");
                    assert_eq!(talk.client.reason(), Some(reason), "{name}");
                }
            }
        }
    }
}
