//! How a stop looks to the clients of one loop.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use stannel::connection::Engine;
use stannel::{CloseReason, Exchange, Flow, Handler, Outcome, Request, Responder, StatusCode, Tunnel, TunnelIo};

use support::{Core, End, GET, bodies, echo, ok, post, status};

#[path = "support/core.rs"]
mod support;

type Responders = Arc<Mutex<Vec<Responder>>>;

fn deferring(
    responders: &Responders,
) -> impl FnMut(&Request<'_>, Exchange<'_>) -> Outcome + Clone + Send + Sync + use<> {
    let responders = Arc::clone(responders);
    move |_: &Request<'_>, exchange: Exchange<'_>| {
        exchange.defer(|responder| responders.lock().unwrap().push(responder))
    }
}

fn answer(responders: &Responders) {
    let responder = responders.lock().unwrap().remove(0);
    responder.respond(StatusCode::OK).send("late").unwrap();
}

#[test]
fn idle_connections_close_at_once_and_without_a_byte() {
    let core = Core::new(|_| {}, ok);
    let fresh = core.client();
    let mut used = core.client();
    used.ask(GET);
    let mut tickled = core.client();
    tickled.send("\r\n");
    let mut half = core.client();
    half.send("\r");
    core.advance(10);
    core.begin_shutdown();
    for client in [fresh, used, tickled, half] {
        assert_eq!(client.end(), Some((End::Closed, 10)));
        assert_eq!(client.reason(), Some(CloseReason::ServerStopped));
    }
}

#[test]
fn a_head_that_is_partly_read_is_finished_and_served() {
    let core = Core::new(|_| {}, ok);
    let mut client = core.client();
    client.send("G");
    core.begin_shutdown();
    assert!(client.is_open());
    let answer = client.ask(&GET[1..]);
    assert_eq!(status(&answer), 200);
    assert!(answer.contains("\r\nConnection: close\r\n"));
    client.finish();
    assert_eq!(client.end(), Some((End::Closed, 0)));
    assert_eq!(client.reason(), Some(CloseReason::Finished));
}

#[test]
fn a_running_exchange_is_finished_and_none_begun_behind_it() {
    let responders = Responders::default();
    let core = Core::new(|_| {}, deferring(&responders));
    let mut client = core.client();
    client.send(GET.repeat(2));
    core.begin_shutdown();
    assert!(client.is_open());
    core.advance(1000);
    answer(&responders);
    core.deliver();
    let response = client.read();
    assert_eq!(bodies(&response), ["late"]);
    assert!(response.contains("\r\nConnection: close\r\n"));
    assert_eq!(
        responders.lock().unwrap().len(),
        0,
        "the handler sees no second request"
    );
    assert!(client.is_write_shut());
    core.advance(2000);
    assert_eq!(client.end(), Some((End::Closed, 3000)));
}

#[test]
fn a_body_that_is_still_coming_is_finished_too() {
    let core = Core::new(|_| {}, echo);
    let mut client = core.client();
    client.send(post(5));
    client.send("he");
    core.begin_shutdown();
    let response = client.ask("llo");
    assert_eq!(bodies(&response), ["hello"]);
    assert!(response.contains("\r\nConnection: close\r\n") && client.is_write_shut());
}

#[test]
fn a_response_whose_head_is_out_is_finished_and_the_connection_closed_behind_it() {
    let core = Core::new(
        |limits| limits.max_response_buffer_size = Some(1000),
        |_, exchange| {
            let body = std::io::Cursor::new(vec![b'x'; 5000]);
            exchange
                .respond(StatusCode::OK)
                .stream(stannel::BodyLength::Exact(5000), stannel::ReaderSource::new(body))
        },
    );
    let mut client = core.client();
    client.send(GET);
    let mut response = client.take(500);
    core.begin_shutdown();
    response.extend(client.read().bytes());
    let response = String::from_utf8(response).unwrap();
    assert_eq!(bodies(&response)[0].len(), 5000);
    assert!(!response.contains("Connection"), "it was too late to say so");
    assert!(client.is_write_shut());
    client.finish();
    assert_eq!(client.reason(), Some(CloseReason::ServerStopped));
}

#[test]
fn an_idle_client_still_gets_the_rest_of_its_response() {
    let core = Core::new(
        |_| {},
        |_, exchange| exchange.respond(StatusCode::OK).send("x".repeat(5000)),
    );
    let mut client = core.client();
    client.send(GET);
    core.begin_shutdown();
    assert!(client.is_open());
    assert_eq!(bodies(&client.read())[0].len(), 5000);
    // It was told nothing, so it may have sent another request: a plain close could cost it this response.
    assert!(client.is_write_shut());
    client.finish();
    assert_eq!(client.reason(), Some(CloseReason::ServerStopped));
}

#[test]
fn what_is_left_when_the_time_is_over_is_reset() {
    let responders = Responders::default();
    let core = Core::new(|_| {}, deferring(&responders));
    let mut busy = core.client();
    busy.send(GET);
    let mut partial = core.client();
    partial.send("GET");
    let mut stuck = core.client();
    stuck.send("GET\r\n");
    let mut lingering = core.client();
    lingering.ask("GET\r\n");
    core.begin_shutdown();
    core.advance(500);
    core.end_shutdown();
    for client in [busy, partial, stuck, lingering] {
        assert_eq!(client.end(), Some((End::Aborted, 500)));
        assert_eq!(client.reason(), Some(CloseReason::ShutdownTimeout));
    }
    let responder = responders.lock().unwrap().pop().unwrap();
    assert!(responder.is_disconnected());
    assert!(responder.respond(StatusCode::OK).send("too late").is_err());
}

#[test]
fn a_lame_duck_serves_on_and_says_goodbye_in_every_response() {
    let core = Core::new(|_| {}, ok);
    let mut idle = core.client();
    idle.ask(GET);
    core.engine(Engine::begin_lame_duck);
    let mut fresh = core.client();
    for client in [&mut idle, &mut fresh] {
        assert!(client.is_open());
        let response = client.ask(GET);
        assert_eq!(status(&response), 200);
        assert!(response.contains("\r\nConnection: close\r\n"));
        assert!(client.is_write_shut());
        client.finish();
        assert_eq!(client.end(), Some((End::Closed, 0)));
    }
}

struct Stoppable(Arc<AtomicUsize>);

impl Handler for Stoppable {
    fn handle(&mut self, request: &Request<'_>, exchange: Exchange<'_>) -> Outcome {
        match request.path() {
            "/tunnel" => exchange.upgrade("t").switch_to(Farewell),
            _ => ok(request, exchange),
        }
    }

    fn on_shutdown(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

struct Farewell;

impl Tunnel for Farewell {
    fn on_data(&mut self, data: &[u8], io: &mut TunnelIo<'_>) -> Flow {
        io.put(data);
        if data == b"bye" { Flow::Stop } else { Flow::Continue }
    }

    fn on_shutdown(&mut self, io: &mut TunnelIo<'_>) -> Flow {
        io.put(b"closing soon;");
        Flow::Continue
    }
}

#[test]
fn handlers_and_tunnels_are_told() {
    let told = Arc::new(AtomicUsize::new(0));
    let shared = Arc::clone(&told);
    let core = Core::with_factory(|_| {}, move || Stoppable(Arc::clone(&shared)));
    let upgrade = "GET /tunnel HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: t\r\n\r\n";
    let (mut leaves, mut stays) = (core.client(), core.client());
    assert_eq!(status(&leaves.ask(upgrade)), 101);
    assert_eq!(status(&stays.ask(upgrade)), 101);
    core.begin_shutdown();
    assert_eq!(told.load(Ordering::Relaxed), 1);
    assert_eq!(leaves.read(), "closing soon;");
    assert_eq!(leaves.ask("bye"), "bye");
    leaves.finish();
    assert_eq!(leaves.end(), Some((End::Closed, 0)));
    assert_eq!(stays.read(), "closing soon;");
    assert_eq!(stays.ask("hello"), "hello");
    core.end_shutdown();
    assert_eq!(stays.end(), Some((End::Aborted, 0)));
    assert_eq!(stays.reason(), Some(CloseReason::ShutdownTimeout));
}
