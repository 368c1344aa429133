//! Back-pressure in both directions: what is buffered has a bound, and whoever waits is asked again.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use stannel::{
    BodyEnd, BodyLength, BodySink, BodySource, BodyWriter, Exchange, Flow, Outcome, Progress, Request, Responder,
    StatusCode, Waker,
};

use support::{Core, GET, bodies, ok, post, status};

#[path = "support/core.rs"]
mod support;

/// What another thread would hold.
type Held<T> = Arc<Mutex<Option<T>>>;

fn take<T>(held: &Held<T>) -> T {
    held.lock().unwrap().take().expect("the handler was called")
}

// ---- input

/// Wants nothing until it is woken, then everything.
#[derive(Default)]
struct Sleeper {
    is_awake: bool,
    bytes: Vec<u8>,
}

impl BodySink for Sleeper {
    fn data(&mut self, data: &[u8]) -> Flow {
        self.bytes.extend_from_slice(data);
        if std::mem::replace(&mut self.is_awake, true) {
            Flow::Continue
        } else {
            Flow::Pause
        }
    }

    fn finish(self: Box<Self>, end: BodyEnd<'_>, exchange: Exchange<'_>) -> Outcome {
        assert!(end.is_complete());
        exchange.respond(StatusCode::OK).send(self.bytes)
    }
}

fn sleeper(waker: &Held<Waker>) -> impl FnMut(&Request<'_>, Exchange<'_>) -> Outcome + Clone + Send + Sync + use<> {
    let waker = Arc::clone(waker);
    move |_: &Request<'_>, mut exchange: Exchange<'_>| {
        *waker.lock().unwrap() = Some(exchange.waker());
        exchange.receive(Sleeper::default())
    }
}

#[test]
fn a_paused_sink_slows_the_client_down_and_a_wake_lets_it_go_on() {
    const LIMIT: usize = 40_000;
    let waker = Held::default();
    let core = Core::new(|limits| limits.max_request_buffer_size = Some(LIMIT), sleeper(&waker));
    let mut client = core.client();
    let body: String = ('a'..='z').cycle().take(200_000).collect();
    client.send(post(body.len()));
    // What the sink was given before it paused is consumed.
    let first = client.push(&body[..100]);
    let taken = first + client.push(&body[first..]);
    assert!(!client.wants_read());
    assert!((LIMIT..LIMIT + 1024).contains(&(taken - first)), "{taken} bytes taken");
    assert!(client.memory() < 4 * LIMIT, "{} bytes of memory", client.memory());

    take(&waker).wake();
    assert!(!client.wants_read(), "the wake comes with the next turn");
    core.deliver();
    assert!(client.wants_read());
    client.send(&body[taken..]);
    assert_eq!(bodies(&client.read()), [body]);
    assert_eq!(client.memory(), 0, "an idle connection owns no buffer");
}

#[test]
fn a_wake_that_comes_too_early_is_not_lost() {
    let waker = Held::default();
    let core = Core::new(|_| {}, sleeper(&waker));
    let mut client = core.client();
    client.send(post(2));
    let early: Waker = take(&waker);
    early.wake();
    early.clone().wake();
    assert_eq!(core.wakes(), 1, "one letter is enough");
    core.deliver();
    client.send("a");
    client.send("b");
    assert_eq!(client.read(), "");
    early.wake();
    assert_eq!(core.wakes(), 2);
    core.deliver();
    assert_eq!(bodies(&client.read()), ["ab"]);
    early.wake();
    core.deliver();
    assert_eq!(client.read(), "", "waking what is over does nothing");
}

#[test]
fn pipelined_requests_wait_within_the_bound() {
    const LIMIT: usize = 40_000;
    let responders: Arc<Mutex<Vec<Responder>>> = Arc::default();
    let shared = Arc::clone(&responders);
    let core = Core::new(
        |limits| limits.max_request_buffer_size = Some(LIMIT),
        move |request: &Request<'_>, exchange: Exchange<'_>| {
            if request.number() == 1 {
                exchange.defer(|responder| shared.lock().unwrap().push(responder))
            } else {
                ok(request, exchange)
            }
        },
    );
    let mut client = core.client();
    client.send(GET);
    let flood = GET.repeat(10_000);
    let taken = client.push(&flood);
    assert!((LIMIT..LIMIT + 1024).contains(&taken), "{taken} bytes taken");
    let responder = responders.lock().unwrap().pop().unwrap();
    responder.respond(StatusCode::OK).send("first").unwrap();
    core.deliver();
    let mut answers = client.read();
    for request in flood.as_bytes()[taken..].chunks(1000) {
        answers += &client.ask(request);
    }
    let bodies = bodies(&answers);
    assert_eq!(bodies.len(), 10_001);
    assert_eq!(bodies[..2], ["first", "ok"]);
}

/// A head is bounded by its own limits: a small input buffer must not stop it from ever being complete.
#[test]
fn a_head_as_large_as_the_buffer_still_comes_in() {
    let core = Core::new(
        |limits| {
            limits.max_request_buffer_size = Some(8192);
            limits.max_request_headers_total_size = 8192;
        },
        ok,
    );
    let mut client = core.client();
    let path = "a".repeat(8192 - "GET / HTTP/1.1\r\n".len());
    let value = "b".repeat(8192 - "Host: h\r\nX: \r\n".len());
    let head = format!("GET /{path} HTTP/1.1\r\nHost: h\r\nX: {value}\r\n\r\n");
    for piece in head.as_bytes().chunks(1000) {
        client.send(piece);
    }
    assert_eq!(status(&client.read()), 200);
}

// ---- output

/// Writes what there is room for, and notes how much that was.
struct Filler {
    left: usize,
    asked: Arc<Mutex<Vec<usize>>>,
}

impl BodySource for Filler {
    fn fill(&mut self, writer: &mut BodyWriter<'_>) -> Progress {
        let count = writer.room().min(self.left);
        self.asked.lock().unwrap().push(writer.room());
        writer.put(&vec![b'x'; count]);
        self.left -= count;
        if self.left == 0 { Progress::Done } else { Progress::More }
    }
}

fn filler(
    length: usize,
    asked: &Arc<Mutex<Vec<usize>>>,
) -> impl FnMut(&Request<'_>, Exchange<'_>) -> Outcome + Clone + Send + Sync + use<> {
    let asked = Arc::clone(asked);
    move |_: &Request<'_>, exchange: Exchange<'_>| {
        let source = Filler {
            left: length,
            asked: Arc::clone(&asked),
        };
        exchange
            .respond(StatusCode::OK)
            .stream(BodyLength::Exact(length as u64), source)
    }
}

#[test]
fn a_source_is_asked_only_while_there_is_room() {
    const LIMIT: usize = 10_000;
    let asked = Arc::default();
    let core = Core::new(
        |limits| limits.max_response_buffer_size = Some(LIMIT),
        filler(100_000, &asked),
    );
    let mut client = core.client();
    client.send(GET);
    assert_eq!(client.unsent(), LIMIT);
    assert_eq!(asked.lock().unwrap().len(), 1);
    assert_eq!(client.take(1).len(), 1);
    assert_eq!(*asked.lock().unwrap().last().unwrap(), 1, "below the limit by one byte");
    assert_eq!(client.unsent(), LIMIT);
    let mut received = 1;
    while client.unsent() > 0 {
        assert!(client.unsent() <= LIMIT);
        received += client.take(777).len();
    }
    assert!(received > 100_000);
    assert!(client.is_open() && client.memory() == 0);
}

#[test]
fn with_a_limit_of_none_at_all_each_byte_waits_for_the_one_before() {
    let asked = Arc::default();
    let core = Core::new(|limits| limits.max_response_buffer_size = Some(0), filler(3, &asked));
    let mut client = core.client();
    client.send(GET);
    let head = client.unsent();
    assert_eq!(asked.lock().unwrap().len(), 0, "the head is not sent yet");
    assert_eq!(client.take(head - 1).len(), head - 1);
    assert_eq!(asked.lock().unwrap().len(), 0);
    assert_eq!(client.take(1), b"\n");
    for written in 1..=3 {
        assert_eq!((client.unsent(), asked.lock().unwrap().len()), (1, written));
        assert_eq!(client.take(10), b"x");
    }
    assert_eq!(bodies(&client.ask(GET)), ["xxx"]);
}

#[test]
fn without_a_limit_the_writer_never_waits() {
    let asked = Arc::default();
    let core = Core::new(
        |limits| limits.max_response_buffer_size = None,
        filler(2_000_000, &asked),
    );
    let mut client = core.client();
    client.send(GET);
    assert!(client.unsent() > 2_000_000);
    assert_eq!(bodies(&client.read())[0].len(), 2_000_000);
}

#[test]
fn while_the_output_is_full_no_further_request_is_parsed() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&calls);
    let core = Core::new(
        |limits| limits.max_response_buffer_size = Some(1000),
        move |_: &Request<'_>, exchange: Exchange<'_>| {
            counter.fetch_add(1, Ordering::Relaxed);
            exchange.respond(StatusCode::OK).send("x".repeat(800))
        },
    );
    let mut client = core.client();
    client.send(GET.repeat(3));
    assert_eq!(calls.load(Ordering::Relaxed), 2, "the second one made it full");
    let unsent = client.unsent();
    client.take(unsent - 1000);
    assert_eq!(calls.load(Ordering::Relaxed), 2, "a thousand bytes are full");
    client.take(1);
    assert_eq!(calls.load(Ordering::Relaxed), 3);
    // A malformed request waits for its turn, too.
    client.send("GET\r\n");
    client.take(client.unsent() - 1001);
    assert!(client.wants_read());
    let rest = client.read();
    assert!(rest.contains("HTTP/1.1 400 ") && client.is_write_shut());
}

#[test]
fn a_flood_of_requests_from_a_client_that_reads_nothing_has_a_bound() {
    let core = Core::new(|_| {}, ok);
    let mut client = core.client();
    let flood = GET.repeat(100_000);
    let mut sent = client.push(&flood);
    assert!(sent < flood.len() && !client.wants_read());
    assert!(client.memory() < 3 << 20, "{} bytes of memory", client.memory());
    let mut answers = 0;
    while sent < flood.len() || client.unsent() > 0 {
        let before = sent;
        answers += String::from_utf8(client.take(usize::MAX))
            .unwrap()
            .matches("HTTP/1.1 200 OK")
            .count();
        sent += client.push(&flood[sent..]);
        assert!(sent > before || sent == flood.len());
    }
    assert_eq!(answers, 100_000);
    assert_eq!(client.memory(), 0);
}

/// Has something to say only when somebody on another thread says so.
struct Announcer {
    news: Arc<Mutex<Vec<&'static str>>>,
}

impl BodySource for Announcer {
    fn fill(&mut self, writer: &mut BodyWriter<'_>) -> Progress {
        match self.news.lock().unwrap().pop() {
            Some("end") => Progress::Done,
            Some(news) => {
                writer.put(news.as_bytes());
                Progress::More
            }
            None => Progress::Wait,
        }
    }
}

#[test]
fn a_source_that_waits_is_asked_again_when_it_is_woken() {
    let waker: Held<Waker> = Held::default();
    let news: Arc<Mutex<Vec<&'static str>>> = Arc::default();
    let (holder, shared) = (Arc::clone(&waker), Arc::clone(&news));
    let core = Core::new(
        |_| {},
        move |_: &Request<'_>, mut exchange: Exchange<'_>| {
            *holder.lock().unwrap() = Some(exchange.waker());
            let source = Announcer {
                news: Arc::clone(&shared),
            };
            exchange.respond(StatusCode::OK).stream(BodyLength::Unknown, source)
        },
    );
    let mut client = core.client();
    assert!(client.ask(GET).ends_with("\r\n\r\n"), "the head is not held back");
    assert_eq!(client.deadline(), None);
    let waker = take(&waker);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            news.lock().unwrap().extend(["!", "news"]);
            waker.wake();
        });
    });
    assert_eq!(client.read(), "");
    core.deliver();
    assert_eq!(client.read(), "4\r\nnews\r\n1\r\n!\r\n");
    news.lock().unwrap().push("end");
    waker.wake();
    core.deliver();
    assert_eq!(client.read(), "0\r\n\r\n");
    assert!(client.is_open());
}
