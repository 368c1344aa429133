//! How connections end: what a stop leaves them, and what a refused client is still listened to.

use crate::core::{Core, End, GET, ok, status};
use crate::served::{Both, Served, TRANSPORTS, Transport, ask, get, wait_until};
use crate::talk::{Talk, WAYS};
use stannel::{CloseReason, Exchange, Limits, Request, Responder, StatusCode};
use std::io::{Read, Write};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const LONG: Duration = Duration::from_secs(3600);
const SHORT: Duration = Duration::from_millis(500);

// ---- shutdown_timeout

/// One client on each transport whose request the handler holds.
fn hold(served: &Served) -> Vec<(Transport, Box<dyn Both>)> {
    let clients: Vec<_> = TRANSPORTS
        .iter()
        .map(|&transport| {
            let mut client = served.connect(transport);
            client.write_all(get("/hold").as_bytes()).unwrap();
            (transport, client)
        })
        .collect();
    let mut asking = served.connect(Transport::Tcp);
    wait_until("all requests to be held", || {
        ask(&mut asking, "/held") == clients.len().to_string()
    });
    clients
}

/// Everything up to the end, and whether that was one in order.
fn rest(stream: &mut Box<dyn Both>) -> (String, bool) {
    let mut bytes = Vec::new();
    let is_orderly = stream.read_to_end(&mut bytes).is_ok();
    (String::from_utf8(bytes).unwrap(), is_orderly)
}

#[test]
fn within_shutdown_timeout_requests_are_answered_on_every_transport() {
    let served = Served::with(|limits| limits.shutdown_timeout = LONG);
    let held = hold(&served);
    let mut release = served.connect(Transport::Tcp);
    assert_eq!(ask(&mut release, "/worker"), "0");
    release.write_all(b"GET /release HTTP/1.1\r\n").unwrap();
    let mut idle = served.connect(Transport::Tcp);
    assert_eq!(ask(&mut idle, "/worker"), "0");
    served.handle.shutdown();
    assert_eq!(rest(&mut idle), (String::new(), true), "it has begun");
    release.write_all(b"Host: h\r\n\r\n").unwrap();
    for (transport, mut client) in held {
        let (answer, is_orderly) = rest(&mut client);
        assert!(
            answer.ends_with("\r\n\r\nheld") && is_orderly,
            "{transport:?}: {answer}"
        );
        assert!(answer.contains("\r\nConnection: close\r\n"), "{transport:?}: {answer}");
    }
}

#[test]
fn after_shutdown_timeout_requests_are_cut_off_on_every_transport() {
    let served = Served::with(|limits| limits.shutdown_timeout = SHORT);
    let held = hold(&served);
    let asked = Instant::now();
    served.handle.shutdown();
    for (transport, mut client) in held {
        let (answer, _) = rest(&mut client);
        assert_eq!(answer, "", "{transport:?}");
        assert!(asked.elapsed() >= SHORT, "{transport:?}: after {:?}", asked.elapsed());
    }
}

#[test]
fn shutdown_timeout_plain_and_inside_tls() {
    for &way in WAYS {
        let held: Arc<Mutex<Vec<Responder>>> = Arc::default();
        let holder = Arc::clone(&held);
        let core = Core::new(
            |_| (),
            move |_: &Request<'_>, exchange: Exchange<'_>| {
                exchange.defer(|responder| holder.lock().unwrap().push(responder))
            },
        );
        let (mut answered, mut late) = (Talk::new(&core, way), Talk::new(&core, way));
        answered.send(GET);
        late.send(GET);
        core.begin_shutdown();
        core.at(29_999);
        let responder = held.lock().unwrap().remove(0);
        responder.respond(StatusCode::OK).send("in time").unwrap();
        core.deliver();
        assert_eq!(status(&answered.read()), 200, "{way:?}");
        answered.client.finish();
        core.at(30_000);
        core.end_shutdown();
        assert_eq!(answered.client.end(), Some((End::Closed, 29_999)), "{way:?}");
        assert_eq!(late.client.end(), Some((End::Aborted, 30_000)), "{way:?}");
        assert_eq!(late.client.reason(), Some(CloseReason::ShutdownTimeout), "{way:?}");
    }
}

// ---- lame_duck_time

fn lame_duck(time: Duration) -> impl FnOnce(&mut Limits) {
    move |limits| limits.lame_duck_time = time
}

#[test]
fn within_lame_duck_time_everybody_is_served_and_told_on_every_transport() {
    for &transport in TRANSPORTS {
        let served = Served::with(lame_duck(LONG));
        let mut before = served.connect(transport);
        assert_eq!(ask(&mut before, "/worker"), "0", "{transport:?}");
        served.handle.shutdown();
        // The loop hears of it when it comes round.
        wait_until("a response that says close", || {
            let mut fresh = served.connect(transport);
            fresh.write_all(get("/worker").as_bytes()).unwrap();
            let mut head = [0; 128];
            let count = fresh.read(&mut head).unwrap();
            let head = String::from_utf8_lossy(&head[..count]);
            assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{transport:?}: {head}");
            head.contains("\r\nConnection: close\r\n")
        });
        before.write_all(get("/worker").as_bytes()).unwrap();
        let (answer, is_orderly) = rest(&mut before);
        assert!(
            answer.contains("\r\nConnection: close\r\n") && is_orderly,
            "{transport:?}"
        );
        served.handle.shutdown();
    }
}

#[test]
fn after_lame_duck_time_idle_connections_end_on_every_transport() {
    for &transport in TRANSPORTS {
        let served = Served::with(lame_duck(SHORT));
        let mut idle = served.connect(transport);
        assert_eq!(ask(&mut idle, "/worker"), "0", "{transport:?}");
        let asked = Instant::now();
        served.handle.shutdown();
        assert_eq!(rest(&mut idle), (String::new(), true), "{transport:?}");
        assert!(asked.elapsed() >= SHORT, "{transport:?}: after {:?}", asked.elapsed());
    }
}

// ---- lingering

const LINGER_BYTES: usize = 1 << 20;

/// A client that was refused and has read why.
fn refused(core: &Core, way: crate::talk::Way) -> Talk {
    let mut talk = Talk::new(core, way);
    talk.send("GET\r\n");
    assert_eq!(status(&talk.read()), 400, "{way:?}");
    assert!(talk.client.is_write_shut(), "{way:?}");
    talk
}

#[test]
fn lingering_has_its_time_and_its_bytes_plain_and_inside_tls() {
    for &way in WAYS {
        let core = Core::new(|_| (), ok);
        let mut slow = refused(&core, way);
        core.at(1999);
        slow.client.send("x");
        assert!(slow.client.is_open(), "{way:?}");
        core.at(2000);
        assert_eq!(slow.client.end(), Some((End::Closed, 2000)), "{way:?}");

        let mut eager = refused(&core, way);
        // Of TLS, too, it is the bytes of the socket that count.
        eager.client.send(vec![b'x'; LINGER_BYTES - 1]);
        assert!(eager.client.is_open(), "{way:?}");
        eager.client.send("x");
        assert_eq!(eager.client.end(), Some((End::Closed, 2000)), "{way:?}");
    }
}

/// More than kernels take for a server that does not read.
const FLOOD: usize = 64 << 20;

#[test]
fn lingering_has_its_time_and_its_bytes_on_every_transport() {
    for &transport in TRANSPORTS {
        let served = Served::with(|_| ());
        let began = Instant::now();
        let mut silent = served.connect(transport);
        silent.write_all(b"GET\r\n").unwrap();
        let (answer, is_orderly) = rest(&mut silent);
        assert!(answer.starts_with("HTTP/1.1 400 ") && is_orderly, "{transport:?}");
        wait_until("the connection to be given up", || active(&served) == 0);
        assert!(began.elapsed() >= Duration::from_secs(2), "{:?}", began.elapsed());

        let mut flooding = served.connect(transport);
        flooding.write_all(b"GET\r\n").unwrap();
        flooding.read_exact(&mut [0; "HTTP/1.1 400".len()]).unwrap();
        let before = served.passed.received();
        let block = vec![b'x'; 1 << 20];
        let sent = (0..FLOOD / block.len()).take_while(|_| flooding.write_all(&block).is_ok());
        assert!(
            sent.count() < FLOOD / block.len(),
            "{transport:?}: somebody takes it all"
        );
        let read = served.passed.received() - before;
        assert!(
            read < LINGER_BYTES + (64 << 10),
            "{transport:?}: {read} bytes were read"
        );
    }
}

fn active(served: &Served) -> u64 {
    served.handle.metrics().total().active_connections
}
