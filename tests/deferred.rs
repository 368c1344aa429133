//! Answers from other threads.

use std::sync::{Arc, Mutex};
use std::thread;

use stannel::{
    BodyLength, BodySource, BodyWriter, CloseReason, Disconnected, Exchange, Outcome, Progress, ReaderSource, Request,
    Responder, StatusCode, Waker,
};

use support::{Core, End, GET, bodies, ok, post, status};

#[path = "support/core.rs"]
mod support;

type Responders = Arc<Mutex<Vec<Responder>>>;

/// Defers every request to a path that begins with `/late`.
fn late(responders: &Responders) -> impl FnMut(&Request<'_>, Exchange<'_>) -> Outcome + Clone + Send + Sync + use<> {
    let responders = Arc::clone(responders);
    move |request: &Request<'_>, exchange: Exchange<'_>| {
        if request.path().starts_with("/late") {
            exchange.defer(|responder| responders.lock().unwrap().push(responder))
        } else {
            ok(request, exchange)
        }
    }
}

fn next(responders: &Responders) -> Responder {
    responders.lock().unwrap().remove(0)
}

const LATE: &str = "GET /late HTTP/1.1\r\nHost: h\r\n\r\n";

#[test]
fn another_thread_answers() {
    let responders = Responders::default();
    let core = Core::new(|_| {}, late(&responders));
    let mut client = core.client();
    client.send(LATE);
    let responder = next(&responders);
    assert!(!responder.is_disconnected());
    let sent = thread::spawn(move || {
        responder
            .respond(StatusCode::CREATED)
            .header("x-from", "afar")
            .send("done")
    });
    assert_eq!(sent.join().unwrap(), Ok(()));
    assert_eq!(core.wakes(), 1);
    assert_eq!(client.read(), "", "the letter waits for the loop");
    core.deliver();
    let answer = client.read();
    assert_eq!((status(&answer), bodies(&answer)), (201, vec!["done"]));
    assert!(answer.contains("\r\nx-from: afar\r\n") && answer.contains("\r\nDate: "));
    assert_eq!(bodies(&client.ask(GET)), ["ok"]);
}

/// Has nothing to say; its count tells when it is dropped.
#[expect(dead_code, reason = "it holds on to them")]
struct Silent(Waker, Arc<()>);

impl BodySource for Silent {
    fn fill(&mut self, _: &mut BodyWriter<'_>) -> Progress {
        Progress::Wait
    }
}

#[test]
fn what_nobody_takes_any_more_goes_with_the_loop() {
    let (responders, wakers) = (Responders::default(), Arc::new(Mutex::new(Vec::new())));
    let (late, wake) = (Arc::clone(&responders), Arc::clone(&wakers));
    let core = Core::new(
        |_| {},
        move |_: &Request<'_>, mut exchange: Exchange<'_>| {
            wake.lock().unwrap().push(exchange.waker());
            exchange.defer(|responder| late.lock().unwrap().push(responder))
        },
    );
    let mut clients = [core.client(), core.client()];
    clients.iter_mut().for_each(|client| client.send(LATE));
    let here = Arc::new(());
    let answer = |responder: Responder| {
        let source = Silent(wakers.lock().unwrap().remove(0), Arc::clone(&here));
        let _ = responder.respond(StatusCode::OK).stream(BodyLength::Unknown, source);
    };
    answer(next(&responders));
    assert_eq!(Arc::strong_count(&here), 2, "the letter waits for the loop");
    let late = next(&responders);
    drop((clients, core));
    assert_eq!(Arc::strong_count(&here), 1);
    answer(late);
    assert_eq!(Arc::strong_count(&here), 1);
}

#[test]
fn an_answer_may_come_before_the_handler_has_returned() {
    let core = Core::new(
        |_| {},
        |_, exchange| exchange.defer(|responder| responder.respond(StatusCode::OK).send("early").unwrap()),
    );
    let mut client = core.client();
    client.send(GET);
    core.deliver();
    assert_eq!(bodies(&client.read()), ["early"]);
}

#[test]
fn a_late_answer_may_be_streamed() {
    let responders = Responders::default();
    let core = Core::new(|limits| limits.max_response_buffer_size = Some(100), late(&responders));
    let mut client = core.client();
    client.send(LATE);
    let body = ReaderSource::new(std::io::Cursor::new(vec![b'x'; 1000]));
    next(&responders)
        .respond(StatusCode::OK)
        .stream(BodyLength::Exact(1000), body)
        .unwrap();
    core.deliver();
    assert_eq!(bodies(&client.read())[0].len(), 1000);
}

#[test]
fn a_responder_that_is_dropped_answers_500() {
    let responders = Responders::default();
    let core = Core::new(|_| {}, late(&responders));
    let mut client = core.client();
    client.send(LATE);
    drop(next(&responders));
    core.deliver();
    let answer = client.read();
    assert_eq!((status(&answer), bodies(&answer)), (500, vec![""]));
    assert_eq!(bodies(&client.ask(GET)), ["ok"]);
}

#[test]
fn a_thread_that_panics_with_a_responder_answers_500() {
    let responders = Responders::default();
    let core = Core::new(|_| {}, late(&responders));
    let mut client = core.client();
    client.send(LATE);
    let responder = next(&responders);
    let worker = thread::spawn(move || {
        let _half = responder.respond(StatusCode::OK).header("x-half", "done");
        panic!("while it worked");
    });
    assert!(worker.join().is_err());
    core.deliver();
    let answer = client.read();
    assert_eq!(status(&answer), 500);
    assert!(!answer.contains("x-half"));
}

#[test]
fn a_field_that_cannot_be_sent_makes_a_late_answer_500() {
    let responders = Responders::default();
    let core = Core::new(|_| {}, late(&responders));
    let mut client = core.client();
    client.send(LATE);
    let head = next(&responders)
        .respond(StatusCode::OK)
        .header("x", "a\r\nInjected: yes");
    head.send("never").unwrap();
    core.deliver();
    let answer = client.read();
    assert_eq!((status(&answer), bodies(&answer)), (500, vec![""]));
}

#[test]
fn whoever_answers_a_client_that_left_is_told() {
    let responders = Responders::default();
    let core = Core::new(|_| {}, late(&responders));
    let mut client = core.client();
    client.send(LATE);
    let responder = next(&responders);
    client.reset();
    assert_eq!(client.reason(), Some(CloseReason::Reset));
    let told = thread::spawn(move || (responder.is_disconnected(), responder.respond(StatusCode::OK).send("x")));
    assert_eq!(told.join().unwrap(), (true, Err(Disconnected)));
    assert_eq!(core.wakes(), 0);
}

/// The client leaves while the letter is on its way; the next connection in its place must not get it.
#[test]
fn a_letter_to_a_client_that_left_goes_nowhere() {
    let responders = Responders::default();
    let core = Core::new(|_| {}, late(&responders));
    let mut client = core.client();
    client.send(LATE);
    next(&responders).respond(StatusCode::OK).send("lost").unwrap();
    client.reset();
    core.deliver();
    assert_eq!(client.read(), "");
    let mut other = core.client();
    assert_eq!(bodies(&other.ask(GET)), ["ok"]);
}

#[test]
fn a_handler_that_panics_after_it_deferred_has_answered_500() {
    let responders = Responders::default();
    let shared = Arc::clone(&responders);
    let core = Core::new(
        |_| {},
        move |_: &Request<'_>, exchange: Exchange<'_>| {
            let _outcome = exchange.defer(|responder| shared.lock().unwrap().push(responder));
            panic!("behind it");
        },
    );
    let mut client = core.client();
    assert_eq!(status(&client.ask(GET)), 500);
    let responder = next(&responders);
    assert!(responder.is_disconnected(), "its exchange is over");
    assert_eq!(responder.respond(StatusCode::OK).send("second"), Err(Disconnected));
    core.deliver();
    assert_eq!(client.read(), "");
}

#[test]
fn responses_keep_the_order_of_their_requests() {
    let responders = Responders::default();
    let core = Core::new(|_| {}, late(&responders));
    let mut client = core.client();
    client.send(format!("{LATE}{GET}{LATE}{GET}"));
    assert_eq!(client.read(), "");
    assert_eq!(
        responders.lock().unwrap().len(),
        1,
        "the next one waits behind the first"
    );
    next(&responders).respond(StatusCode::OK).send("1").unwrap();
    core.deliver();
    assert_eq!(bodies(&client.read()), ["1", "ok"]);
    next(&responders).respond(StatusCode::OK).send("3").unwrap();
    core.deliver();
    assert_eq!(bodies(&client.read()), ["3", "ok"]);
}

#[test]
fn connections_do_not_wait_for_each_other() {
    let responders = Responders::default();
    let core = Core::new(|_| {}, late(&responders));
    let (mut first, mut second) = (core.client(), core.client());
    first.send(LATE);
    second.send(LATE);
    let (one, two) = (next(&responders), next(&responders));
    two.respond(StatusCode::OK).send("two").unwrap();
    one.respond(StatusCode::OK).send("one").unwrap();
    assert_eq!(core.wakes(), 1, "both letters were found by one wake");
    core.deliver();
    assert_eq!(bodies(&first.read()), ["one"]);
    assert_eq!(bodies(&second.read()), ["two"]);
}

#[test]
fn a_half_closed_client_is_still_answered() {
    let responders = Responders::default();
    let core = Core::new(|_| {}, late(&responders));
    let mut client = core.client();
    client.send(format!("{LATE}{GET}{LATE}"));
    client.finish();
    assert!(!client.wants_read() && client.is_open());
    for (body, answers) in [("1", vec!["1", "ok"]), ("3", vec!["3"])] {
        core.advance(200_000);
        let responder = next(&responders);
        assert!(!responder.is_disconnected());
        responder.respond(StatusCode::OK).send(body).unwrap();
        core.deliver();
        assert!(client.is_open(), "not before it has taken its responses");
        assert_eq!(bodies(&client.read()), answers);
    }
    assert_eq!(client.end(), Some((End::Closed, 400_000)));
    assert_eq!(client.reason(), Some(CloseReason::ClientClosed));
}

#[test]
fn a_body_behind_a_deferred_request_waits_and_is_drained() {
    let responders = Responders::default();
    let core = Core::new(|_| {}, late(&responders));
    let mut client = core.client();
    client.send(post(10).replace("/ ", "/late "));
    client.send("01234");
    core.advance(1_000_000);
    assert!(client.is_open(), "nobody waits for the body, so nobody is slow");
    next(&responders).respond(StatusCode::OK).send("late").unwrap();
    core.deliver();
    assert_eq!(bodies(&client.read()), ["late"]);
    assert_eq!(bodies(&client.ask(format!("56789{GET}"))), ["ok"]);
}

#[test]
fn another_thread_may_abort() {
    let responders = Responders::default();
    let core = Core::new(|_| {}, late(&responders));
    let mut client = core.client();
    client.send(LATE);
    next(&responders).abort();
    core.deliver();
    assert_eq!(client.end(), Some((End::Aborted, 0)));
    assert_eq!(client.reason(), Some(CloseReason::AbortedByHandler));
}
