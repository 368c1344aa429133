//! How slowly a request body may come.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use stannel::{
    BodyEnd, BodyLength, BodyPipe, BodySink, BodyWriter, CloseReason, Exchange, Flow, Limits, MinDataRate, Outcome,
    Rejection, Request, StatusCode,
};

use support::{Core, bodies, echo, post, status};

#[path = "support/core.rs"]
mod support;

fn rate(bytes_per_second: u64, grace: u64) -> Option<MinDataRate> {
    Some(MinDataRate::new(bytes_per_second, Duration::from_secs(grace)).unwrap())
}

/// Kestrel's example, and no other bound on bodies.
fn hundred_bytes_a_second(limits: &mut Limits) {
    limits.min_request_body_data_rate = rate(100, 2);
    limits.request_body_stall_timeout = None;
}

/// 600 bytes in the first 3 s, then none: 100 B/s on average at 6 s, which is not below the rate.
#[test]
fn the_average_pace_of_a_body_counts_from_its_begin() {
    let core = Core::new(hundred_bytes_a_second, echo);
    let mut client = core.client();
    client.send(post(1000));
    for second in 1..=3 {
        core.at(second * 1000);
        client.send([b'x'; 200]);
    }
    core.at(6000);
    assert_eq!(client.read(), "");
    core.at(6001);
    assert_eq!(status(&client.read()), 408);
    client.finish();
    assert_eq!(
        client.reason(),
        Some(CloseReason::Rejected(Rejection::RequestBodyTimeout))
    );
}

#[test]
fn within_the_grace_a_body_may_be_as_slow_as_it_likes() {
    let core = Core::new(hundred_bytes_a_second, echo);
    let mut client = core.client();
    client.send(post(301));
    core.at(2000);
    client.send([b'x'; 300]);
    core.at(3000);
    assert_eq!(bodies(&client.ask("x"))[0].len(), 301);

    let mut silent = core.client();
    silent.send(post(200));
    core.at(5000);
    assert_eq!(silent.read(), "");
    core.at(5001);
    assert_eq!(status(&silent.read()), 408);
}

#[test]
fn chunk_framing_is_no_pace() {
    let core = Core::new(hundred_bytes_a_second, echo);
    let mut client = core.client();
    client.send("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n");
    for second in 0..3 {
        core.at(second * 1000);
        client.send(format!("1;x=\"{}\"\r\nx\r\n", "y".repeat(500)));
    }
    // Three bytes of content in two seconds.
    core.at(2001);
    assert_eq!(status(&client.read()), 408);
}

/// Holds back until it is woken, then counts.
struct Slow {
    count: usize,
    pauses: usize,
}

impl BodySink for Slow {
    fn data(&mut self, data: &[u8]) -> Flow {
        self.count += data.len();
        self.pauses -= 1;
        if self.pauses == 0 { Flow::Continue } else { Flow::Pause }
    }
    fn finish(self: Box<Self>, _: BodyEnd<'_>, exchange: Exchange<'_>) -> Outcome {
        exchange.respond(StatusCode::OK).send(self.count.to_string())
    }
}

#[test]
fn time_in_which_the_handler_does_not_ask_is_not_the_clients() {
    let waker = Arc::new(Mutex::new(None));
    let shared = Arc::clone(&waker);
    let core = Core::new(
        hundred_bytes_a_second,
        move |_: &Request<'_>, mut exchange: Exchange<'_>| {
            *shared.lock().unwrap() = Some(exchange.waker());
            exchange.receive(Slow { count: 0, pauses: 2 })
        },
    );
    let mut client = core.client();
    client.send(post(300));
    core.at(1000);
    client.send([b'x'; 100]);
    assert_eq!(client.deadline(), None, "the sink has paused");
    core.at(500_000);
    waker.lock().unwrap().as_ref().unwrap().wake();
    core.deliver();
    // One second is used up, of the two that every body has.
    core.at(501_000);
    assert_eq!(client.read(), "");
    core.at(501_001);
    assert_eq!(status(&client.read()), 408);
}

struct Mirror;

impl BodyPipe for Mirror {
    fn data(&mut self, data: &[u8], writer: &mut BodyWriter<'_>) -> Flow {
        writer.put(data);
        Flow::Continue
    }
}

#[test]
fn a_response_that_holds_up_its_request_pauses_the_clock_of_the_body() {
    let core = Core::new(
        |limits| {
            hundred_bytes_a_second(limits);
            limits.max_response_buffer_size = Some(1000);
            limits.min_response_data_rate = None;
        },
        |_, exchange| exchange.respond(StatusCode::OK).pipe(BodyLength::Unknown, Mirror),
    );
    let mut client = core.client();
    client.send(post(3000));
    client.send([b'x'; 2000]);
    core.at(59_000);
    assert!(client.is_open(), "it cannot send what nobody wants");
    client.read();
    core.at(78_999);
    client.send([b'x'; 1000]);
    assert!(client.read().ends_with("\r\n0\r\n\r\n"));
}

#[test]
fn a_handler_changes_the_body_rate_for_one_request_alone() {
    let core = Core::new(hundred_bytes_a_second, |request, mut exchange| {
        if request.number() == 1 {
            exchange.min_request_body_data_rate(rate(1, 10)).unwrap();
        }
        echo(request, exchange)
    });
    let mut client = core.client();
    client.send(post(1));
    core.at(10_000);
    assert_eq!(bodies(&client.ask("x")), ["x"]);
    client.send(post(1));
    core.at(12_000);
    assert_eq!(client.read(), "");
    core.at(12_001);
    assert_eq!(status(&client.read()), 408);
}

#[test]
fn without_a_body_rate_only_the_stall_timeout_holds() {
    let core = Core::new(|limits| limits.min_request_body_data_rate = None, echo);
    let mut client = core.client();
    client.send(post(3));
    for minute in 1..3 {
        core.at(minute * 59_999);
        client.send("x");
    }
    core.at(3 * 59_999);
    assert_eq!(bodies(&client.ask("x")), ["xxx"]);
}

#[test]
fn a_stalled_server_blames_no_sender() {
    let core = Core::new(hundred_bytes_a_second, echo);
    let mut client = core.client();
    client.send(post(1));
    core.at(1000);
    core.stall(60_000);
    core.at(62_000);
    assert_eq!(client.read(), "", "only two of the 62 seconds were the client's");
    core.at(62_001);
    assert_eq!(status(&client.read()), 408);
}
