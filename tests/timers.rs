//! The one-shot timers and the stall timeout of bodies, from both sides: just in time passes, just over does not.

use std::time::Duration;

use stannel::{CloseReason, Rejection, StatusCode};

use support::{Core, End, GET, bodies, echo, ok, post, status};

#[path = "support/core.rs"]
mod support;

fn seconds(seconds: u64) -> Option<Duration> {
    Some(Duration::from_secs(seconds))
}

// ---- keep-alive

#[test]
fn a_connection_that_asks_nothing_is_closed_silently() {
    let core = Core::new(|_| {}, ok);
    let mut client = core.client();
    core.at(129_999);
    assert!(client.is_open());
    core.at(130_000);
    assert_eq!(client.end(), Some((End::Closed, 130_000)));
    assert_eq!(client.reason(), Some(CloseReason::KeepAliveTimeout));
    assert_eq!(client.read(), "", "nobody asked, nobody is answered");
}

#[test]
fn the_keep_alive_timeout_starts_anew_behind_each_response() {
    let core = Core::new(|_| {}, ok);
    let mut client = core.client();
    core.at(50_000);
    assert_eq!(status(&client.ask(GET)), 200);
    core.at(179_999);
    assert_eq!(status(&client.ask(GET)), 200);
    core.at(309_998);
    assert!(client.is_open());
    core.at(309_999);
    assert_eq!(client.end(), Some((End::Closed, 309_999)));
}

/// RFC 9112 §2.2 lets a client send empty lines; they are no way to keep a connection alive.
#[test]
fn empty_lines_do_not_keep_a_connection_alive() {
    let core = Core::new(|_| {}, ok);
    let mut client = core.client();
    core.at(60_000);
    client.send("\r\n\r\n");
    core.at(129_000);
    client.send("\r");
    core.at(129_999);
    client.send("\n");
    assert!(client.is_open());
    core.at(130_000);
    assert_eq!(client.end(), Some((End::Closed, 130_000)));
    assert_eq!(client.reason(), Some(CloseReason::KeepAliveTimeout));
}

#[test]
fn a_response_that_is_still_being_read_is_no_idleness() {
    let core = Core::new(
        |limits| limits.keep_alive_timeout = seconds(10),
        |_, exchange| exchange.respond(StatusCode::OK).send(vec![b'x'; 50_000]),
    );
    let mut client = core.client();
    client.send(GET);
    core.at(25_000);
    assert!(client.is_open(), "most of the response is still to be read");
    assert!(client.read().ends_with("xxx"));
    core.at(34_999);
    assert!(client.is_open());
    core.at(35_000);
    assert_eq!(client.end(), Some((End::Closed, 35_000)));
}

#[test]
fn without_a_keep_alive_timeout_it_waits_for_ever() {
    let core = Core::new(|limits| limits.keep_alive_timeout = None, ok);
    let mut client = core.client();
    assert_eq!(client.deadline(), None);
    assert_eq!(status(&client.ask(GET)), 200);
    assert_eq!(client.deadline(), None);
    core.at(1_000_000_000);
    assert_eq!(status(&client.ask(GET)), 200);
}

// ---- the head

#[test]
fn a_head_that_takes_too_long_is_408_however_it_trickles() {
    let core = Core::new(|_| {}, ok);
    let mut client = core.client();
    core.at(1000);
    for (second, byte) in (1..).zip(GET.as_bytes()) {
        core.at(second * 1000);
        client.send([*byte]);
    }
    // The whole request took 27 s: in time.
    assert_eq!(status(&client.read()), 200);

    let begin = core.now();
    let slow = format!("GET / HTTP/1.1\r\nHost: h\r\nX: {}", "a".repeat(100));
    for (second, byte) in (0..30).zip(slow.as_bytes()) {
        core.at(begin + second * 1000);
        client.send([*byte]);
    }
    core.at(begin + 29_999);
    client.send("a");
    assert_eq!(client.read(), "");
    core.at(begin + 30_000);
    let answer = client.read();
    assert_eq!(status(&answer), 408);
    assert!(answer.contains("\r\nConnection: close\r\n") && answer.contains("\r\nContent-Length: 0\r\n"));
    assert!(client.is_write_shut());
    client.finish();
    assert_eq!(
        client.reason(),
        Some(CloseReason::Rejected(Rejection::RequestHeadersTimeout))
    );
}

#[test]
fn only_a_byte_that_is_no_empty_line_starts_the_head() {
    let core = Core::new(|_| {}, ok);
    let mut client = core.client();
    core.at(5000);
    client.send("\r\n\r");
    assert_eq!(client.deadline(), Some(130_000));
    core.at(90_000);
    client.send("\nG");
    assert_eq!(client.deadline(), Some(120_000));
    core.at(119_999);
    assert_eq!(client.read(), "");
    core.at(120_000);
    assert_eq!(status(&client.read()), 408);
}

#[test]
fn while_the_handler_works_no_timer_runs() {
    let core = Core::new(|_| {}, |_, exchange| exchange.defer(std::mem::forget));
    let mut client = core.client();
    client.send(&GET[..5]);
    core.at(29_999);
    client.send(&GET[5..]);
    assert_eq!(client.deadline(), None);
    core.at(1_000_000);
    assert!(client.is_open());
}

#[test]
fn the_time_for_the_head_can_be_unlimited() {
    let core = Core::new(|limits| limits.request_headers_timeout = None, ok);
    let mut client = core.client();
    client.send("GET");
    core.at(1_000_000_000);
    assert_eq!(status(&client.ask(&GET[3..])), 200);
}

// ---- stalled bodies

#[test]
fn a_body_may_be_silent_for_the_stall_timeout_and_no_longer() {
    let core = Core::new(|limits| limits.min_request_body_data_rate = None, echo);
    let mut client = core.client();
    client.send(post(3));
    core.at(59_999);
    client.send("a");
    core.at(119_998);
    client.send("b");
    core.at(179_996);
    assert_eq!(client.read(), "");
    core.at(179_998);
    assert_eq!(status(&client.read()), 408);
    client.finish();
    assert_eq!(
        client.reason(),
        Some(CloseReason::Rejected(Rejection::RequestBodyTimeout))
    );
}

#[test]
fn the_stall_timeout_of_bodies_can_be_unlimited() {
    let core = Core::new(
        |limits| {
            limits.min_request_body_data_rate = None;
            limits.request_body_stall_timeout = None;
        },
        echo,
    );
    let mut client = core.client();
    client.send(post(1));
    assert_eq!(client.deadline(), None);
    core.at(1_000_000_000);
    assert_eq!(bodies(&client.ask("x")), ["x"]);
}

#[test]
fn a_handler_changes_the_stall_timeout_for_one_request_alone() {
    let core = Core::new(
        |limits| limits.min_request_body_data_rate = None,
        |request, mut exchange| {
            if request.number() == 1 {
                exchange.request_body_stall_timeout(seconds(5)).unwrap();
            }
            echo(request, exchange)
        },
    );
    let mut client = core.client();
    client.send(post(1));
    core.at(4999);
    assert_eq!(bodies(&client.ask("x")), ["x"]);
    client.send(post(1));
    core.at(4999 + 59_999);
    assert_eq!(
        bodies(&client.ask("x")),
        ["x"],
        "the second one has the server's minute"
    );

    let mut slow = core.client();
    let begin = core.now();
    slow.send(post(1));
    core.at(begin + 4999);
    assert_eq!(slow.read(), "");
    core.at(begin + 5000);
    assert_eq!(status(&slow.read()), 408);
}

// ---- draining

#[test]
fn the_rest_of_an_unread_body_is_drained_and_the_next_request_answered() {
    let core = Core::new(|_| {}, ok);
    let mut client = core.client();
    assert_eq!(bodies(&client.ask(post(100))), ["ok"], "answered before the body comes");
    core.at(4999);
    client.send([b'x'; 99]);
    assert_eq!(client.read(), "");
    assert_eq!(bodies(&client.ask(format!("x{GET}"))), ["ok"]);
    assert_eq!(client.deadline(), Some(134_999));
}

#[test]
fn draining_ends_after_its_time_without_another_response() {
    let core = Core::new(|_| {}, ok);
    let mut client = core.client();
    core.at(1000);
    client.send(post(100));
    client.read();
    for second in 1..6 {
        client.send("x");
        core.at(second * 1000);
    }
    core.at(5999);
    client.send("x");
    assert!(client.is_open() && !client.is_write_shut());
    core.at(6000);
    assert!(client.is_write_shut());
    assert_eq!(client.read(), "");
    core.at(8000);
    assert_eq!(client.end(), Some((End::Closed, 8000)));
    assert_eq!(client.reason(), Some(CloseReason::DrainTimeout));
}

#[test]
fn draining_with_the_response_stuck_ends_in_a_reset() {
    let core = Core::new(|_| {}, ok);
    let mut client = core.client();
    client.send(post(100));
    core.at(4999);
    assert!(client.is_open());
    core.at(5000);
    assert_eq!(client.end(), Some((End::Aborted, 5000)));
}

#[test]
fn a_malformed_rest_ends_the_connection_without_another_response() {
    let core = Core::new(|_| {}, ok);
    let mut client = core.client();
    let head = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_eq!(bodies(&client.ask(head)), ["ok"]);
    client.send("5\r\nhellox");
    assert_eq!(client.read(), "");
    assert!(client.is_write_shut());
    client.finish();
    assert_eq!(client.reason(), Some(CloseReason::Rejected(Rejection::BadChunkSuffix)));
}

// ---- the lingering close

#[test]
fn a_refused_client_has_two_seconds_to_read_why() {
    let core = Core::new(|_| {}, ok);
    let mut client = core.client();
    core.at(1000);
    client.send("GET\r\n");
    assert!(!client.is_write_shut(), "the answer goes out first");
    assert_eq!(status(&client.read()), 400);
    assert!(client.is_write_shut());
    client.send(GET);
    assert_eq!(client.read(), "", "what comes behind a refused request is no request");
    core.at(2999);
    client.send(GET);
    assert!(client.is_open());
    core.at(3000);
    assert_eq!(client.end(), Some((End::Closed, 3000)));
    assert_eq!(
        client.reason(),
        Some(CloseReason::Rejected(Rejection::InvalidRequestLine))
    );
}

#[test]
fn the_end_of_the_client_ends_the_lingering() {
    let core = Core::new(|_| {}, ok);
    let mut client = core.client();
    client.ask("GET\r\n");
    core.at(10);
    client.send("more");
    client.finish();
    assert_eq!(client.end(), Some((End::Closed, 10)));
}

#[test]
fn a_lingering_connection_reads_one_mebibyte_and_no_more() {
    let core = Core::new(|_| {}, ok);
    let mut client = core.client();
    client.ask("GET\r\n");
    client.send(vec![b'x'; (1 << 20) - 1]);
    assert!(client.is_open());
    client.send("x");
    assert_eq!(client.end(), Some((End::Closed, 0)));
}

#[test]
fn a_client_that_closes_its_side_itself_is_closed_plainly() {
    let core = Core::new(|_| {}, ok);
    let mut client = core.client();
    client.ask("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    assert!(!client.is_write_shut());
    assert_eq!(client.end(), Some((End::Closed, 0)));
    assert_eq!(client.reason(), Some(CloseReason::Finished));
}
