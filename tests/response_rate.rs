//! How slowly a response may be taken: the rate, the stall timeout, and whom a stalled server blames (nobody).

use std::sync::{Arc, Mutex};
use std::time::Duration;

use stannel::{
    CloseReason, Exchange, Flow, Limits, MinDataRate, Outcome, Rejection, Request, StatusCode, Tunnel, TunnelIo,
};

use support::{Client, Core, End, GET};

#[path = "support/core.rs"]
mod support;

fn rate(bytes_per_second: u64, grace: u64) -> Option<MinDataRate> {
    Some(MinDataRate::new(bytes_per_second, Duration::from_secs(grace)).unwrap())
}

/// The default response rate, and no other bound on responses.
fn response_rate_alone(limits: &mut Limits) {
    limits.response_stall_timeout = None;
}

/// Answers with exactly so many bytes, head included, as the path says.
fn sized(request: &Request<'_>, exchange: Exchange<'_>) -> Outcome {
    let total: usize = request.path()[1..].parse().unwrap();
    let head = "HTTP/1.1 200 OK\r\nServer: stannel\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\nContent-Length: \r\n\r\n";
    let body = (0..total)
        .rev()
        .find(|length| length.to_string().len() + head.len() + length == total);
    exchange.respond(StatusCode::OK).send("x".repeat(body.unwrap()))
}

fn ask_for(client: &mut Client, total: usize) {
    let before = client.unsent();
    client.send(format!("GET /{total} HTTP/1.1\r\nHost: h\r\n\r\n"));
    assert_eq!(client.unsent(), before + total);
}

#[track_caller]
fn is_aborted_at(core: &Core, client: &Client, millis: u64) {
    core.at(millis - 1);
    assert!(client.is_open(), "it was too early");
    // A few milliseconds are allowed for the last byte of a connection that ends.
    core.at(millis + 10);
    assert!(matches!(client.end(), Some((End::Aborted, _))), "{:?}", client.end());
    assert_eq!(client.reason(), Some(CloseReason::ResponseTooSlow));
}

// ---- the rate of responses

#[test]
fn a_small_response_has_the_grace_and_a_large_one_what_it_needs() {
    for (total, millis) in [(240, 5000), (1200, 5000), (24_000, 100_000)] {
        let core = Core::new(response_rate_alone, sized);
        let mut client = core.client();
        ask_for(&mut client, total);
        is_aborted_at(&core, &client, millis);
    }
}

#[test]
fn a_second_response_has_its_time_behind_the_first() {
    let core = Core::new(response_rate_alone, sized);
    let mut client = core.client();
    ask_for(&mut client, 24_000);
    ask_for(&mut client, 24_000);
    is_aborted_at(&core, &client, 200_000);
}

#[test]
fn the_grace_does_not_add_up() {
    let core = Core::new(response_rate_alone, sized);
    let mut client = core.client();
    for _ in 0..11 {
        ask_for(&mut client, 120);
    }
    // Five seconds for the first, half a second for each of the ten behind it.
    is_aborted_at(&core, &client, 10_000);
}

#[test]
fn the_credit_of_a_quick_reader_is_kept() {
    let core = Core::new(response_rate_alone, sized);
    let mut client = core.client();
    ask_for(&mut client, 24_000);
    core.at(1000);
    client.read();
    core.at(2000);
    ask_for(&mut client, 240);
    is_aborted_at(&core, &client, 101_000);
}

#[test]
fn whoever_has_taken_all_is_not_slow() {
    let core = Core::new(response_rate_alone, sized);
    let mut client = core.client();
    ask_for(&mut client, 240);
    core.at(4999);
    client.read();
    core.at(60_000);
    assert!(client.is_open());
    ask_for(&mut client, 240);
    is_aborted_at(&core, &client, 65_000);
}

/// As if one byte more had been written.
#[test]
fn the_rest_of_a_connection_that_ends_is_held_to_the_same_rate() {
    let core = Core::new(response_rate_alone, sized);
    let mut client = core.client();
    client.send("GET /24000 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    is_aborted_at(&core, &client, 24_019 * 1000 / 240);
}

#[test]
fn a_handler_changes_the_response_rate_for_one_response_alone() {
    let core = Core::new(response_rate_alone, |request, mut exchange| {
        match request.number() {
            1 => exchange.min_response_data_rate(None),
            2 => exchange.min_response_data_rate(rate(24, 2)),
            _ => {}
        }
        sized(request, exchange)
    });
    let mut client = core.client();
    ask_for(&mut client, 240);
    core.at(100_000);
    assert!(client.is_open());
    client.read();

    ask_for(&mut client, 240);
    core.at(109_999);
    assert!(client.is_open());
    client.read();

    ask_for(&mut client, 240);
    is_aborted_at(&core, &client, 115_000 - 1);
}

/// A body that was expected and not asked for ends the connection, and so does one that is malformed.
#[test]
fn a_changed_rate_holds_for_the_rest_of_a_connection_that_ends_too() {
    for body in [
        "Expect: 100-continue\r\nContent-Length: 5\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\nx",
    ] {
        let core = Core::new(response_rate_alone, |request, mut exchange| {
            exchange.min_response_data_rate(None);
            sized(request, exchange)
        });
        let mut client = core.client();
        client.send(format!("POST /24000 HTTP/1.1\r\nHost: h\r\n{body}"));
        core.at(1_000_000);
        assert!(client.is_open());
        assert!(client.read().ends_with("xxx") && client.is_write_shut());
    }
}

#[test]
fn a_stalled_server_blames_no_reader() {
    let core = Core::new(|_| {}, sized);
    let mut client = core.client();
    ask_for(&mut client, 240);
    core.at(1000);
    core.stall(600_000);
    is_aborted_at(&core, &client, 605_000);
}

// ---- stalled readers

fn response_stall_alone(limits: &mut Limits) {
    limits.min_response_data_rate = None;
}

#[test]
fn a_reader_may_pause_for_the_stall_timeout_and_no_longer() {
    let core = Core::new(response_stall_alone, sized);
    let mut client = core.client();
    ask_for(&mut client, 24_000);
    core.at(59_999);
    assert_eq!(client.take(1).len(), 1);
    // More output is no sign of life.
    core.at(100_000);
    ask_for(&mut client, 240);
    is_aborted_at(&core, &client, 119_999);
}

#[test]
fn a_keep_alive_timeout_that_passes_meanwhile_changes_nothing() {
    let core = Core::new(
        |limits| {
            limits.keep_alive_timeout = Some(Duration::from_secs(10));
            limits.min_response_data_rate = None;
        },
        sized,
    );
    let mut client = core.client();
    ask_for(&mut client, 24_000);
    is_aborted_at(&core, &client, 60_000);

    let core = Core::new(
        |limits| {
            limits.keep_alive_timeout = Some(Duration::from_secs(10));
            limits.response_stall_timeout = None;
        },
        sized,
    );
    let mut client = core.client();
    ask_for(&mut client, 24_000);
    is_aborted_at(&core, &client, 100_000);
}

#[test]
fn a_stuck_refusal_is_given_up_too() {
    let core = Core::new(response_stall_alone, sized);
    let mut client = core.client();
    client.send("GET\r\n");
    is_aborted_before_why(&core, &client, 60_000);
}

/// The first reason counts: the connection was lost to the refusal.
#[track_caller]
fn is_aborted_before_why(core: &Core, client: &Client, millis: u64) {
    core.at(millis - 1);
    assert!(client.is_open());
    core.at(millis);
    assert_eq!(client.end(), Some((End::Aborted, millis)));
    assert_eq!(
        client.reason(),
        Some(CloseReason::Rejected(Rejection::InvalidRequestLine))
    );
}

#[test]
fn without_rate_and_stall_timeout_a_reader_may_sleep() {
    let core = Core::new(
        |limits| {
            limits.min_response_data_rate = None;
            limits.response_stall_timeout = None;
            limits.keep_alive_timeout = None;
        },
        sized,
    );
    let mut client = core.client();
    ask_for(&mut client, 24_000);
    assert_eq!(client.deadline(), None);
    core.at(1_000_000_000);
    assert_eq!(client.read().len(), 24_000);
}

struct Talk;

impl Tunnel for Talk {
    fn on_data(&mut self, data: &[u8], io: &mut TunnelIo<'_>) -> Flow {
        io.put(data);
        Flow::Continue
    }
}

#[test]
fn a_tunnel_has_no_rates_but_the_stall_timeout() {
    let core = Core::new(
        |_| {},
        |_, exchange: Exchange<'_>| exchange.upgrade("echo").switch_to(Talk),
    );
    let mut client = core.client();
    client.ask("GET / HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n");
    assert_eq!(client.deadline(), None, "no keep-alive timeout");
    core.at(1_000_000);
    client.send("hello");
    core.at(1_059_999);
    assert_eq!(client.take(1), b"h");
    is_aborted_at(&core, &client, 1_119_999);
}

#[test]
fn a_pipelined_request_is_held_to_its_own_rate() {
    let core = Core::new(response_rate_alone, sized);
    let mut client = core.client();
    ask_for(&mut client, 240);
    core.at(4000);
    ask_for(&mut client, 240);
    // At least the grace from now, and at least what both need.
    is_aborted_at(&core, &client, 9000);
}

#[test]
fn a_deferred_response_has_the_same_time() {
    let responder = Arc::new(Mutex::new(None));
    let shared = Arc::clone(&responder);
    let core = Core::new(
        |_| {},
        move |_: &Request<'_>, exchange: Exchange<'_>| exchange.defer(|later| *shared.lock().unwrap() = Some(later)),
    );
    let mut client = core.client();
    client.send(GET);
    core.at(1_000_000);
    let later = responder.lock().unwrap().take().unwrap();
    later.respond(StatusCode::OK).send("late").unwrap();
    core.deliver();
    is_aborted_at(&core, &client, 1_005_000);
}
