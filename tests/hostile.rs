//! Clients that mean harm, or behave as if they did, and a system that has nothing left to give.
#![forbid(unsafe_code)]
// Servers in processes of their own are asked to stop by a signal.
#![cfg(feature = "signals")]

#[path = "support/client.rs"]
mod client;
#[path = "support/local.rs"]
mod local;
#[path = "support/process.rs"]
mod process;
#[path = "support/site.rs"]
mod site;

use client::{Client, PATIENCE, get, is_heavy, wait_until};
use local::{Local, options};
use process::{ANY_PORT, Process, serve_if_asked};
use site::Site;
use socket2::SockRef;
use stannel::{
    BodyLength, BodySource, BodyWriter, CloseReason, ConnectionInfo, Disconnected, Exchange, Observer, Progress,
    Request, Responder, Server, StatusCode,
};
use std::fmt::Write as _;
use std::io::{ErrorKind, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// The server of the tests that need a process; nothing by itself.
#[test]
fn server_process() {
    let site = Site::default();
    serve_if_asked(move || site.another());
}

#[test]
fn slow_heads_get_408_at_the_deadline_while_others_are_served() {
    let deadline = Duration::from_secs(2);
    let count = if is_heavy() { 1000 } else { 200 };
    let mut options = options(2);
    options.limits.request_headers_timeout = Some(deadline);
    let server = Local::start(options);
    let address = server.address();
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let normal = scope.spawn(|| {
            let mut client = Client::connect(address);
            let mut slowest = Duration::ZERO;
            while !is_over.load(Ordering::Relaxed) {
                let asked = Instant::now();
                assert_eq!(client.get("/").text(), "hello");
                slowest = slowest.max(asked.elapsed());
                // Served all along, but the processor is for the others.
                thread::sleep(Duration::from_millis(1));
            }
            slowest
        });
        let slow: Vec<_> = (0..count)
            .map(|_| {
                let slow_head = move || {
                    let mut client = Client::connect(address);
                    let began = Instant::now();
                    client.send("GET / HTTP/1.1\r\n");
                    // More bytes do not earn more time.
                    client.send("Host: h\r\n");
                    let waited = client.wait_for_byte().map(|_| began.elapsed()).unwrap();
                    let response = client.response();
                    assert_eq!(response.status, 408);
                    assert!(response.says_close(), "{}", response.head);
                    client.end_output();
                    client.expect_end();
                    waited
                };
                thread::Builder::new()
                    .stack_size(256 << 10)
                    .spawn_scoped(scope, slow_head)
                    .unwrap()
            })
            .collect();
        let waited: Vec<Duration> = slow.into_iter().map(|thread| thread.join().unwrap()).collect();
        is_over.store(true, Ordering::Relaxed);
        let slowest = normal.join().unwrap();
        let (first, last) = (waited.iter().min().unwrap(), waited.iter().max().unwrap());
        println!("{count} slow heads: 408 after {first:?} to {last:?}; others waited {slowest:?} at most");
        assert!(*first >= deadline, "408 after {first:?}");
        assert!(*last < deadline + PATIENCE, "408 only after {last:?}");
        assert!(slowest < deadline + PATIENCE);
    });
    server.stop();
}

#[test]
fn clients_that_do_not_read_cost_little_memory() {
    const SIZE: u64 = 50 << 20;
    let mut server = Process::own(&[ANY_PORT, "--Kestrel:Workers=2"]);
    let address = server.address();
    let mut normal = Client::connect(address);
    normal.get("/");
    let before = server.memory();
    let mut clients: Vec<Client> = (0..200)
        .map(|_| {
            let mut client = Client::connect(address);
            client.send(get(&format!("/bytes/{SIZE}")));
            client
        })
        .collect();
    for client in &clients {
        assert_eq!(client.wait_for_byte().unwrap(), 1);
    }
    // One reads on to the end: by then the others have long been given all that they take.
    let response = clients.pop().unwrap().response();
    assert_eq!(response.body.len() as u64, SIZE);
    assert_eq!(normal.get("/").text(), "hello");
    let grown = server.peak_memory() - before;
    println!("200 clients that do not read: {grown} KiB more, at most");
    assert!(grown < 32 << 10, "{grown} KiB");
    // Whoever begins to read after all gets everything.
    assert_eq!(clients.pop().unwrap().response().body.len() as u64, SIZE);
    clients.into_iter().for_each(Client::reset);
    assert_eq!(normal.get("/").text(), "hello");
    drop(normal);
    server.stop();
}

#[test]
fn a_flood_of_pipelined_requests_is_answered_in_order_in_bounded_memory() {
    let count = if is_heavy() { 100_000 } else { 20_000 };
    let mut server = Process::own(&[ANY_PORT, "--Kestrel:Workers=1"]);
    let mut client = Client::connect(server.address());
    client.get("/");
    let before = server.memory();
    let mut requests = String::new();
    // So much that buffers on the way cannot hide that nobody reads.
    let padding = "p".repeat((30 << 20) / count);
    for number in 0..count {
        write!(
            requests,
            "GET /n/{number} HTTP/1.1\r\nHost: h\r\nPadding: {padding}\r\n\r\n"
        )
        .unwrap();
    }
    // Nothing is read until nothing can be written any more; on a busy machine perhaps a little earlier.
    let mut writer = client.stream().try_clone().unwrap();
    writer.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
    let mut written = 0;
    while written < requests.len() {
        match writer.write(&requests.as_bytes()[written..]) {
            Ok(count) => written += count,
            Err(error) => {
                assert!(
                    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
                    "{error}"
                );
                break;
            }
        }
    }
    assert!(written < requests.len(), "all was taken though nothing was read");
    println!("{count} requests of {} bytes: stuck after {written}", requests.len());
    thread::scope(|scope| {
        scope.spawn(|| {
            writer.set_write_timeout(Some(PATIENCE)).unwrap();
            writer.write_all(&requests.as_bytes()[written..]).unwrap();
        });
        for number in 0..count {
            let response = client.response();
            let (path, padding) = response.text().split_once('\n').unwrap();
            assert_eq!(path, format!("/n/{number}"));
            assert_eq!(padding.len(), 1024);
        }
    });
    let grown = server.peak_memory() - before;
    println!("{grown} KiB more, at most");
    assert!(grown < 16 << 10, "{grown} KiB");
    client.end_output();
    client.expect_end();
    server.stop();
}

#[test]
fn without_descriptors_it_waits_and_recovers() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("index.html"), "home").unwrap();
    let path = folder.path().to_str().unwrap();
    let mut server = Process::stannel_with_open_files(64, &[path, ANY_PORT, "--Kestrel:Workers=2"]);
    let address = server.address();
    let clients: Vec<Client> = (0..200).map(|_| Client::connect(address)).collect();
    // Half a head each, so that whoever was accepted stays.
    for mut client in clients.iter().map(|client| client.stream()) {
        client.write_all(b"GET / HTTP/1.1\r\n").unwrap();
    }
    let mut late = Client::connect(address);
    late.send(get("/"));
    assert!(late.hears_nothing_for(Duration::from_millis(500)));
    let (time, began) = (server.processor_time(), Instant::now());
    assert!(late.hears_nothing_for(Duration::from_secs(1)));
    let (used, passed) = (server.processor_time() - time, began.elapsed());
    println!("starved for {passed:?}: {used:?} of processor time");
    assert!(used * 4 < passed, "it spins: {used:?} of processor time in {passed:?}");
    drop(clients);
    // Its file needs a descriptor too, and those of the others may not all be back: then it is 500.
    let response = late.response();
    assert!(
        matches!((response.status, response.text()), (200, "home") | (500, _)),
        "{response:?}"
    );
    wait_until("files to be served again", || {
        Client::connect(address).get("/").status == 200
    });
    wait_until("all descriptors to be back", || server.open_files() < 32);
    for _ in 0..20 {
        assert_eq!(Client::connect(address).get("/").text(), "home");
    }
    drop(late);
    // Each worker says so once, not each time it has tried again.
    let errors = server.stop();
    let warnings = errors.matches("accepting pauses").count();
    assert!((1..=2).contains(&warnings), "{errors}");
    assert_eq!(errors.matches("accepting goes on").count(), warnings, "{errors}");
}

#[test]
fn connections_over_the_limit_are_closed_without_a_byte() {
    let mut options = options(2);
    options.limits.max_concurrent_connections = Some(3);
    let server = Local::start(options);
    let address = server.address();
    let mut clients: Vec<Client> = (0..3).map(|_| Client::connect(address)).collect();
    for client in &mut clients {
        assert_eq!(client.get("/").status, 200);
    }
    for _ in 0..20 {
        Client::connect(address).expect_end();
    }
    assert_eq!(server.handle.metrics().total().rejected_connections, 20);
    // A place that is given back is there for the next one.
    for leaves in [
        Client::reset,
        |client: Client| drop(client),
        |mut client: Client| {
            client.send("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
            assert_eq!(client.response().status, 200);
        },
    ] {
        leaves(clients.remove(0));
        wait_until("a place to be free", || {
            let mut client = Client::connect(address);
            // A refusal may come before the request and then be a reset.
            let is_served = client.stream().write_all(get("/").as_bytes()).is_ok()
                && client.wait_for_byte().is_ok_and(|count| count == 1);
            if is_served {
                assert_eq!(client.response().status, 200);
                clients.push(client);
            }
            is_served
        });
    }
    clients
        .iter_mut()
        .for_each(|client| assert_eq!(client.get("/").status, 200));
    drop(clients);
    server.stop();
}

#[test]
fn clients_that_reset_leave_nothing_behind() {
    let server = Local::start(options(2));
    let address = server.address();
    for round in 0..20 {
        let mut download = Client::connect(address);
        download.send(get("/bytes/104857600"));
        download.wait_for_byte().unwrap();
        let mut upload = Client::connect(address);
        upload.send("POST /count HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\nhello");
        let mut collected = Client::connect(address);
        collected.send("POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
        let mut head = Client::connect(address);
        head.send("GET / HT");
        let mut held = Client::connect(address);
        held.send(get("/hold"));
        let mut tunnel = Client::connect(address);
        tunnel.send("GET /tunnel HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\nabc");
        if round % 2 == 0 {
            // In every other round some of it is reset before the server has seen it.
            assert_eq!(tunnel.response().status, 101);
            assert_eq!(tunnel.bytes(3), b"abc");
        }
        for client in [download, upload, collected, head, held, tunnel] {
            client.reset();
        }
    }
    let mut normal = Client::connect(address);
    assert_eq!(normal.get("/").text(), "hello");
    wait_until("all but one to be forgotten", || {
        server.handle.metrics().total().active_connections == 1
    });
    assert_eq!(server.handle.metrics().total().upgraded_connections, 0);
    drop(normal);
    server.stop();
}

/// A read ends before an urgent byte, however much lies behind it, and nothing announces that a second time.
#[test]
fn what_comes_behind_an_urgent_byte_is_read_at_once() {
    let (begin, has_begun) = channel();
    let (go_on, goes_on) = channel::<()>();
    let goes_on = Arc::new(Mutex::new(goes_on));
    let server = Local::run(Server::new(options(1), move || {
        let (begin, goes_on) = (begin.clone(), Arc::clone(&goes_on));
        move |request: &Request<'_>, exchange: Exchange<'_>| {
            if request.path() == "/busy" {
                begin.send(()).unwrap();
                goes_on.lock().unwrap().recv().unwrap();
            }
            exchange.respond(StatusCode::OK).send("hello")
        }
    }));
    let mut client = Client::connect(server.address());
    assert_eq!(client.get("/").text(), "hello");
    let mut other = Client::connect(server.address());
    other.send(get("/busy"));
    has_begun.recv().unwrap();
    // The loop is elsewhere: to the poll all of this is one event.
    client.send("GET / HT");
    SockRef::from(client.stream()).send_out_of_band(b"!").unwrap();
    client.send("TP/1.1\r\nHost: h\r\n\r\n");
    go_on.send(()).unwrap();
    assert_eq!(client.response().text(), "hello");
    assert_eq!(other.response().text(), "hello");
    server.stop();
}

#[test]
fn a_handler_that_panics_costs_its_request() {
    let server = Local::start(options(1));
    let address = server.address();
    let mut other = Client::connect(address);
    assert_eq!(other.get("/").status, 200);
    for _ in 0..10 {
        let mut client = Client::connect(address);
        assert_eq!(client.get("/panic").status, 500);
        assert_eq!(client.get("/").text(), "hello");
    }
    assert_eq!(other.get("/").status, 200);
    // The one worker is not at its end, and has made itself a new handler each time.
    assert_eq!(other.get("/worker").text(), "10");
    drop(other);
    server.stop();
}

#[test]
fn what_panics_while_it_is_dropped_costs_its_connection() {
    struct Sour;
    impl BodySource for Sour {
        fn fill(&mut self, writer: &mut BodyWriter<'_>) -> Progress {
            writer.put(b"x");
            Progress::Done
        }
    }
    impl Drop for Sour {
        fn drop(&mut self) {
            panic!("to the last");
        }
    }
    let server = Local::run(Server::new(options(1), || {
        |request: &Request<'_>, exchange: Exchange<'_>| match request.path() {
            "/sour" => exchange.respond(StatusCode::OK).stream(BodyLength::Exact(1), Sour),
            _ => exchange.respond(StatusCode::OK).send("hello"),
        }
    }));
    let mut other = Client::connect(server.address());
    for _ in 0..10 {
        let mut client = Client::connect(server.address());
        client.send(get("/sour"));
        assert_eq!(other.get("/").text(), "hello");
    }
    wait_until("all but one to be forgotten", || {
        server.handle.metrics().total().active_connections == 1
    });
    drop(other);
    server.stop();
}

#[test]
fn an_answer_to_a_client_that_left_comes_to_nothing() {
    /// Says when a connection ends.
    struct Ends(Mutex<Sender<CloseReason>>);
    impl Observer for Ends {
        fn closed(&self, _: &ConnectionInfo, reason: CloseReason) {
            let _ = self.0.lock().unwrap().send(reason);
        }
    }
    let (ends, ended) = channel();
    let (hand_over, responders) = channel::<Responder>();
    let mut options = options(1);
    options.observer = Some(Arc::new(Ends(Mutex::new(ends))));
    let server = Local::run(Server::new(options, move || {
        let hand_over = hand_over.clone();
        move |_: &Request<'_>, exchange: Exchange<'_>| exchange.defer(|responder| hand_over.send(responder).unwrap())
    }));
    let mut client = Client::connect(server.address());
    client.send(get("/"));
    let responder = responders.recv_timeout(PATIENCE).unwrap();
    assert!(!responder.is_disconnected());
    client.reset();
    assert_eq!(ended.recv_timeout(PATIENCE).unwrap(), CloseReason::Reset);
    assert!(responder.is_disconnected());
    assert_eq!(responder.respond(StatusCode::OK).send("too late"), Err(Disconnected));
    // Who has only ended its own side is still there.
    let mut client = Client::connect(server.address());
    client.send(get("/"));
    client.end_output();
    let responder = responders.recv_timeout(PATIENCE).unwrap();
    assert_eq!(responder.respond(StatusCode::OK).send("in time"), Ok(()));
    assert_eq!(client.response().text(), "in time");
    client.expect_end();
    server.stop();
}

#[test]
fn a_reset_in_the_queue_of_a_listener_is_nothing() {
    let server = Local::start(options(1));
    let address = server.address();
    for _ in 0..200 {
        Client::from_stream(TcpStream::connect(address).unwrap()).reset();
    }
    assert_eq!(Client::connect(address).get("/").text(), "hello");
    wait_until("all to be forgotten", || {
        server.handle.metrics().total().active_connections == 0
    });
    server.stop();
}
