//! How much of requests and responses waits in the server: to the byte in connections without sockets, and what that
//! means over sockets.

use crate::core::{Core, GET, ok};
use crate::served::{Passed, Served, TRANSPORTS, Transport, ask, count, get, wait_until};
use crate::site::Site;
use crate::talk::{Talk, WAYS, Way};
use stannel::{
    BodyLength, BodySource, BodyWriter, Exchange, Handler, Limits, Outcome, Progress, Request, Responder, StatusCode,
};
use std::io::{Read, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

// ---- what a client may send ahead

const AHEAD: usize = 100_000;

#[test]
fn max_request_buffer_size_holds_to_the_byte_plain_and_inside_tls() {
    for &way in WAYS {
        let held: Arc<Mutex<Vec<Responder>>> = Arc::default();
        let holder = Arc::clone(&held);
        let core = Core::new(
            |limits| limits.max_request_buffer_size = Some(AHEAD),
            move |request: &Request<'_>, exchange: Exchange<'_>| {
                if request.number() == 1 {
                    exchange.defer(|responder| holder.lock().unwrap().push(responder))
                } else {
                    ok(request, exchange)
                }
            },
        );
        let mut talk = Talk::new(&core, way);
        talk.send(GET);
        let requests = GET.repeat(AHEAD / GET.len() + 1);
        talk.send(&requests[..AHEAD - 1]);
        assert!(talk.client.wants_read(), "{way:?}: one byte is left");
        talk.send(&requests[AHEAD - 1..AHEAD]);
        assert!(!talk.client.wants_read(), "{way:?}: none is left");

        let responder = held.lock().unwrap().pop().unwrap();
        responder.respond(StatusCode::OK).send("first").unwrap();
        core.deliver();
        let mut answers = talk.read();
        assert!(talk.client.wants_read(), "{way:?}: there is room again");
        talk.send(&requests[AHEAD..]);
        answers += &talk.read();
        assert_eq!(count(&answers), 2 + AHEAD / GET.len(), "{way:?}");
    }
}

/// So many bytes at most are read beyond the limit: with one read.
const ONE_READ: usize = 64 << 10;

#[test]
fn max_request_buffer_size_holds_on_every_transport() {
    for &transport in TRANSPORTS {
        let served = Served::with(|limits| limits.max_request_buffer_size = Some(AHEAD));
        let mut other = served.connect(transport);
        let mut client = served.connect(transport);
        client.write_all(get("/hold").as_bytes()).unwrap();
        wait_until("a request to be held", || ask(&mut other, "/held") == "1");
        let before = served.passed.received();

        // What is under the limit comes in, though nobody takes it.
        let request = get("/worker");
        let requests = request.repeat(AHEAD / request.len());
        client.write_all(requests.as_bytes()).unwrap();
        wait_until("all of it to be read", || {
            served.passed.received() >= before + requests.len()
        });
        // What is over it does not, however long the loop goes round.
        client.write_all(requests.as_bytes()).unwrap();
        for _ in 0..100 {
            ask(&mut other, "/worker");
        }
        let read = served.passed.received() - before - 100 * request.len();
        let bound = AHEAD + ONE_READ + overhead(transport);
        assert!(read < bound, "{transport:?}: {read} bytes were read");
        assert!(2 * requests.len() > bound, "there is more than that to read");

        assert_eq!(ask(&mut other, "/release"), "1");
        let last = b"GET /worker HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
        client.write_all(last).unwrap();
        let mut answers = String::new();
        client.read_to_string(&mut answers).unwrap();
        assert_eq!(count(&answers), 2 + 2 * AHEAD / request.len(), "{transport:?}");
    }
}

/// What records add to so much, and to a hundred requests.
fn overhead(transport: Transport) -> usize {
    match transport {
        Transport::Tcp | Transport::Unix => 0,
        #[cfg(feature = "tls")]
        Transport::Tls => 8 << 10,
    }
}

// ---- what waits for a client that does not read

const WAITING: usize = 10_000;

/// Writes all that there is room for.
struct Filler {
    left: usize,
    asked: Arc<AtomicUsize>,
}

impl BodySource for Filler {
    fn fill(&mut self, writer: &mut BodyWriter<'_>) -> Progress {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let count = writer.room().min(self.left);
        writer.put(&vec![b'x'; count]);
        self.left -= count;
        if self.left == 0 { Progress::Done } else { Progress::More }
    }
}

#[test]
fn max_response_buffer_size_holds_to_the_byte_plain_and_inside_tls() {
    for &way in WAYS {
        let asked = Arc::<AtomicUsize>::default();
        let counter = Arc::clone(&asked);
        let core = Core::new(small, move |_: &Request<'_>, exchange: Exchange<'_>| {
            let source = Filler {
                left: 3 * WAITING,
                asked: Arc::clone(&counter),
            };
            let length = BodyLength::Exact(3 * WAITING as u64);
            exchange.respond(StatusCode::OK).stream(length, source)
        });
        let mut talk = Talk::new(&core, way);
        talk.send(GET);
        // Records make more of what was written when there was room.
        let beyond = talk.client.unsent() - WAITING;
        assert!(
            beyond < 100 && (beyond == 0) == (way == Way::Plain),
            "{way:?}: {beyond}"
        );
        talk.client.take(beyond);
        assert_eq!(talk.client.unsent(), WAITING);
        assert_eq!(asked.load(Ordering::SeqCst), 1, "{way:?}: it is full");
        talk.client.take(1);
        assert_eq!(asked.load(Ordering::SeqCst), 2, "{way:?}: it has room for a byte");
    }
}

fn small(limits: &mut Limits) {
    limits.max_response_buffer_size = Some(WAITING);
}

/// More than kernels take for a client that does not read.
const LARGE: usize = 32 << 20;

/// Writes what there is room for, and compares it with what has left the process.
struct Compared {
    written: Arc<AtomicUsize>,
    passed: Passed,
}

impl BodySource for Compared {
    fn fill(&mut self, writer: &mut BodyWriter<'_>) -> Progress {
        let written = self.written.load(Ordering::SeqCst);
        let waiting = written.saturating_sub(self.passed.sent());
        assert!(waiting < WAITING, "asked with {waiting} bytes waiting");
        let count = writer.room().min(LARGE - written);
        assert!(waiting + count <= WAITING, "room for {count} beside {waiting} bytes");
        writer.put(&vec![b'x'; count]);
        let written = self.written.fetch_add(count, Ordering::SeqCst) + count;
        if written == LARGE {
            Progress::Done
        } else {
            Progress::More
        }
    }
}

#[test]
fn max_response_buffer_size_holds_on_every_transport() {
    for &transport in TRANSPORTS {
        let written = Arc::<AtomicUsize>::default();
        let served = Served::serving(small, |passed| {
            let (passed, written) = (passed.clone(), Arc::clone(&written));
            move || {
                let mut site = Site::default();
                let (passed, written) = (passed.clone(), Arc::clone(&written));
                move |request: &Request<'_>, exchange: Exchange<'_>| -> Outcome {
                    if request.path() != "/large" {
                        return site.handle(request, exchange);
                    }
                    let source = Compared {
                        written: Arc::clone(&written),
                        passed: passed.clone(),
                    };
                    let length = BodyLength::Exact(LARGE as u64);
                    exchange.respond(StatusCode::OK).stream(length, source)
                }
            }
        });
        let mut client = served.connect(transport);
        client.write_all(get("/large").as_bytes()).unwrap();
        // Up to the limit nobody has to read for it.
        wait_until("the buffer to be filled", || {
            written.load(Ordering::SeqCst) >= WAITING / 2
        });
        let mut other = served.connect(transport);
        for _ in 0..100 {
            ask(&mut other, "/worker");
        }
        assert!(
            written.load(Ordering::SeqCst) < LARGE,
            "{transport:?}: nobody has read it"
        );
        let mut left = LARGE;
        let mut block = vec![0; 1 << 20];
        while left > 0 {
            let count = client.read(&mut block).unwrap();
            assert!(count > 0, "{transport:?}: {left} bytes are missing");
            left = left.saturating_sub(count);
        }
    }
}
