//! What a request costs the allocator once the loop is warm: nothing.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use stannel::connection::{Connection, Engine, Fate};
use stannel::middleware::{
    ForwardedHeaders, ForwardedHeadersOptions, HostFilter, HostFiltering, HostFilteringOptions, XForwarded,
};
use stannel::{ConnectionInfo, Exchange, Handler, Method, Outcome, Peer, Request, ServerOptions, StatusCode, header};

use requests::{BROWSER, TECHEMPOWER, post};

#[cfg(feature = "tls")]
#[allow(dead_code, reason = "`main` and what it needs are a program's")]
#[path = "../docs/examples/arena/main.rs"]
mod arena;
#[path = "support/requests.rs"]
mod requests;

/// The system's allocator, and how often this thread asked it.
struct Counting;

thread_local! {
    /// Per thread, because tests run side by side.
    static CALLS: Cell<usize> = const { Cell::new(0) };
}

// Only an allocator of our own sees every allocation, and the trait is unsafe: each method passes its arguments on as
// they are, so the caller's promises hold for the system's allocator, and counting does not allocate.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        CALLS.set(CALLS.get() + 1);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        CALLS.set(CALLS.get() + 1);
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn handler(request: &Request<'_>, exchange: Exchange<'_>) -> Outcome {
    let plain = |exchange: Exchange<'_>| {
        let head = exchange
            .respond(StatusCode::OK)
            .header(header::CONTENT_TYPE, "text/plain");
        head.send("Hello, World!")
    };
    match (request.method(), request.path()) {
        (&Method::GET, "/plaintext" | "/ein käfer") => plain(exchange),
        (&Method::POST, "/echo") => {
            exchange.collect(64 << 10, |body, exchange| exchange.respond(StatusCode::OK).send(body))
        }
        (&Method::GET, "/slow") => exchange.defer(|responder| {
            let _ = responder.respond(StatusCode::OK).send("Hello, World!");
        }),
        _ => exchange.respond(StatusCode::NOT_FOUND).send(""),
    }
}

struct Loop {
    engine: Engine,
    connection: Connection,
}

impl Loop {
    fn new() -> Self {
        Self::with(|| handler)
    }

    fn with<H: Handler + 'static>(factory: impl Fn() -> H + Send + Sync + 'static) -> Self {
        let engine = Engine::new(&ServerOptions::default(), factory, || ());
        let connection = Connection::new(&engine, ConnectionInfo::new(1, Peer::Unix), 0);
        Self { engine, connection }
    }

    /// One turn: one read of `input`, then all output is taken. Says how many responses with that ending there were.
    fn turn(&mut self, input: &[u8], ending: &[u8]) -> usize {
        let mut turn = self.connection.turn(&mut self.engine, 0);
        turn.read_buffer()[..input.len()].copy_from_slice(input);
        turn.on_read(input.len());
        let output = turn.output().expect("small responses lie in one piece");
        assert!(output.ends_with(ending));
        let (count, responses) = (
            output.len(),
            output.windows(9).filter(|bytes| bytes == b"HTTP/1.1 ").count(),
        );
        turn.on_written(count);
        assert_eq!(turn.fate(), Fate::Open);
        responses
    }
}

/// Allocations of 1000 turns with `input`, after a few that warm the loop up.
#[track_caller]
fn allocations(input: &str, requests: usize, ending: &[u8]) -> usize {
    allocations_of(Loop::new(), input, requests, ending)
}

#[track_caller]
fn allocations_of(mut one: Loop, input: &str, requests: usize, ending: &[u8]) -> usize {
    for _ in 0..10 {
        assert_eq!(one.turn(input.as_bytes(), ending), requests);
    }
    let before = CALLS.get();
    for _ in 0..1000 {
        assert_eq!(one.turn(input.as_bytes(), ending), requests);
    }
    CALLS.get() - before
}

const HELLO: &[u8] = b"\r\n\r\nHello, World!";

#[test]
fn a_request_allocates_nothing() {
    assert_eq!(allocations(TECHEMPOWER, 1, HELLO), 0);
    assert_eq!(allocations(BROWSER, 1, HELLO), 0);
}

#[test]
fn pipelined_requests_allocate_nothing() {
    assert_eq!(allocations(&TECHEMPOWER.repeat(16), 16, HELLO), 0);
    assert_eq!(allocations(&BROWSER.repeat(16), 16, HELLO), 0);
}

#[test]
fn a_path_that_has_to_be_decoded_allocates_nothing() {
    let encoded = TECHEMPOWER.replace("/plaintext", "/./x/../ein%20k%C3%A4fer");
    assert_eq!(allocations(&encoded, 1, HELLO), 0);
    assert_eq!(allocations(&encoded.repeat(16), 16, HELLO), 0);
}

#[test]
fn a_body_that_came_with_its_head_allocates_nothing() {
    let body = "0123456789abcdef".repeat(256);
    let post = post("/echo", &body);
    assert_eq!(allocations(&post, 1, body.as_bytes()), 0);
    assert_eq!(allocations(&post.repeat(8), 8, body.as_bytes()), 0);
}

/// Host filter and forwarded headers cost nothing where no proxy has spoken, and where one has that nobody knows.
#[test]
fn what_stands_before_the_handler_allocates_nothing() {
    let mut hosts = HostFilteringOptions::default();
    hosts.allowed_hosts = vec!["*.example.com".to_owned(), "server".to_owned()];
    let filter = HostFilter::new(&hosts).unwrap();
    let mut forwarded = ForwardedHeadersOptions::default();
    forwarded.forwarded_headers = XForwarded::ALL;
    let wrapped = || {
        let (filter, forwarded) = (filter.clone(), forwarded.clone());
        Loop::with(move || HostFiltering::new(&filter, ForwardedHeaders::new(&forwarded, handler)))
    };
    assert_eq!(allocations_of(wrapped(), TECHEMPOWER, 1, HELLO), 0);
    assert_eq!(allocations_of(wrapped(), &BROWSER.repeat(16), 16, HELLO), 0);
    let of_a_stranger = TECHEMPOWER.replace("Host", "X-Forwarded-For: 10.0.0.1\r\nHost");
    assert_eq!(allocations_of(wrapped(), &of_a_stranger, 1, HELLO), 0);
}

/// The arena's entry, request by request. Only a chunked body in several pieces costs something: the closure that waits
/// for its end, and its bytes, which have to grow.
#[cfg(feature = "tls")]
#[test]
fn the_entry_of_the_arena_allocates_for_cut_bodies_alone() {
    let data = tempfile::tempdir().unwrap();
    let item = r#"{"id":1,"name":"n","category":"c","price":2,"quantity":3,"active":true,"tags":["t","u"],
        "rating":{"score":4,"count":5}}"#;
    let items = format!("[{}]", vec![item; 50].join(","));
    std::fs::write(data.path().join("dataset.json"), items).unwrap();
    let entry = arena::Arena::new(data.path()).unwrap();
    let of_entry = |input: &str, requests: usize, ending: &[u8]| {
        let entry = entry.clone();
        allocations_of(Loop::with(move || entry.clone()), input, requests, ending)
    };
    let get = |target: &str| format!("GET {target} HTTP/1.1\r\nHost: h\r\n\r\n");
    let sum = "/baseline11?a=13&b=42";
    assert_eq!(of_entry(&get(sum), 1, b"\r\n\r\n55"), 0);
    assert_eq!(of_entry(&post(sum, "20"), 1, b"\r\n\r\n75"), 0);
    assert_eq!(of_entry(&get("/pipeline").repeat(16), 16, b"\r\n\r\nok"), 0);
    assert_eq!(of_entry(&get("/json/50?m=6"), 1, b"\"total\":36}],\"count\":50}"), 0);
    let chunked = |body: &str| format!("POST {sum} HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n{body}");
    let one_piece = chunked("2;a=b\r\n20\r\n0\r\n\r\n");
    assert_eq!(of_entry(&one_piece, 1, b"\r\n\r\n75"), 0);
    assert_eq!(of_entry(&one_piece.repeat(8), 8, b"\r\n\r\n75"), 0);
    assert_eq!(
        of_entry(&chunked("1\r\n2\r\n1\r\n0\r\n0\r\n\r\n"), 1, b"\r\n\r\n75"),
        3 * 1000
    );
}

/// A head that comes in two reads costs its connection a small buffer and a larger one to read on, and nothing else.
#[test]
fn a_split_head_allocates_its_buffers_alone() {
    let mut one = Loop::new();
    let (first, rest) = TECHEMPOWER.split_at(100);
    let mut split = || {
        one.turn(first.as_bytes(), b"");
        assert_eq!(one.turn(rest.as_bytes(), HELLO), 1);
    };
    (0..10).for_each(|_| split());
    let before = CALLS.get();
    (0..100).for_each(|_| split());
    let calls = CALLS.get() - before;
    assert_eq!(calls, 2 * 100);
}

/// The counter counts: what is known to allocate does.
#[test]
fn a_deferred_answer_is_seen_to_allocate() {
    let mut one = Loop::new();
    let request = TECHEMPOWER.replace("/plaintext", "/slow");
    let before = CALLS.get();
    one.turn(request.as_bytes(), b"");
    assert!(CALLS.get() > before);
}
