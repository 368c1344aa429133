//! Stopping, as clients and whoever started the server see it.
#![forbid(unsafe_code)]
// Without signals a process cannot be asked to stop.
#![cfg(feature = "signals")]

#[path = "support/client.rs"]
mod client;
#[path = "support/local.rs"]
mod local;
#[path = "support/process.rs"]
mod process;
#[path = "support/site.rs"]
mod site;

use client::{Client, get, wait_until, wait_until_refused};
use local::{Local, options};
use process::{ANY_PORT, Process, run_stannel, serve_if_asked};
use site::Site;
use stannel::{Exchange, Request, Server, ServerOptions, StatusCode};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::num::NonZeroUsize;
use std::os::unix::net::UnixStream;
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// The server of the tests that need a process; nothing by itself.
#[test]
fn server_process() {
    let site = Site::default();
    serve_if_asked(move || site.another());
}

/// So many requests that wait in the handler.
fn hold(address: SocketAddr, count: usize) -> Vec<Client> {
    let clients: Vec<Client> = (0..count)
        .map(|_| {
            let mut client = Client::connect(address);
            client.send(get("/hold"));
            client
        })
        .collect();
    let mut asking = Client::connect(address);
    wait_until("all requests to be held", || {
        asking.get("/held").text() == count.to_string()
    });
    clients
}

/// One that was accepted for sure, and has sent only this of its next request.
fn begun(address: SocketAddr, part: &str) -> Client {
    let mut client = Client::connect(address);
    assert_eq!(client.get("/").status, 200);
    client.send(part);
    client
}

#[test]
fn requests_in_flight_are_answered_and_none_is_reset() {
    let mut server = Process::own(&[ANY_PORT, "--Kestrel:Workers=2"]);
    let address = server.address();
    let held = hold(address, 60);
    let mut heads: Vec<Client> = (0..20).map(|_| begun(address, "GET /hel")).collect();
    let body = "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 11\r\n\r\nhello";
    let mut bodies: Vec<Client> = (0..20).map(|_| begun(address, body)).collect();
    let mut release = begun(address, "GET /release HTTP/1.1\r\n");
    let mut idle = begun(address, "");
    let mut fresh = Client::connect(address);

    server.terminate();
    idle.expect_end();
    fresh.expect_end();
    wait_until_refused(address);
    for client in &mut heads {
        client.send("lo HTTP/1.1\r\nHost: h\r\n\r\n");
    }
    for client in &mut bodies {
        client.send(" world");
    }
    release.send("Host: h\r\n\r\n");

    let answers = [
        (held, "held"),
        (heads, "hello"),
        (bodies, "hello world"),
        (vec![release], "60"),
    ];
    for (clients, text) in answers {
        for mut client in clients {
            let response = client.response();
            assert_eq!((response.status, response.text()), (200, text));
            assert!(response.says_close(), "{}", response.head);
            client.end_output();
            client.expect_end();
        }
    }
    assert_eq!(server.exit_code(), Some(0), "{}", server.errors());
}

#[test]
fn a_request_that_never_ends_is_reset_when_the_time_is_over() {
    let timeout = Duration::from_secs(1);
    let mut server = Process::own(&[ANY_PORT, "--Kestrel:Limits:ShutdownTimeout=1"]);
    let address = server.address();
    let mut never = Client::connect(address);
    never.send(get("/never"));
    // Who has half a head has the same time.
    let mut half = begun(address, "GET / HT");
    // On one connection after the other: the first request is with its handler when the second is answered.
    assert_eq!(Client::connect(address).get("/").status, 200);
    let asked = Instant::now();
    server.terminate();
    never.expect_reset();
    assert!(asked.elapsed() >= timeout, "reset after {:?}", asked.elapsed());
    half.expect_reset();
    assert_eq!(server.exit_code(), Some(0), "{}", server.errors());
}

#[test]
fn idle_connections_do_not_hold_up_a_stop() {
    let mut options = options(2);
    options.limits.shutdown_timeout = Duration::from_secs(3600);
    let server = Local::start(options);
    let mut used: Vec<Client> = (0..20).map(|_| begun(server.address(), "")).collect();
    // An empty line is no byte of a request.
    let mut empty_line = begun(server.address(), "\r\n");
    let mut fresh: Vec<Client> = (0..20).map(|_| Client::connect(server.address())).collect();
    let began = Instant::now();
    server.stop();
    for client in used.iter_mut().chain(&mut fresh).chain([&mut empty_line]) {
        client.expect_end();
    }
    assert!(began.elapsed() < Duration::from_secs(1800));
}

#[test]
fn a_lame_duck_serves_and_says_close_until_asked_again() {
    let mut options = options(2);
    options.limits.lame_duck_time = Duration::from_secs(3600);
    let server = Local::start(options);
    let address = server.address();
    let mut before = begun(address, "");
    let mut idle = begun(address, "");
    server.handle.shutdown();
    // The workers hear of it one after the other; from then on all responses say it.
    wait_until("a response that says close", || {
        Client::connect(address).get("/").says_close()
    });
    wait_until("all workers to know", || {
        (0..50).all(|_| Client::connect(address).get("/").says_close())
    });
    let response = before.get("/");
    assert_eq!(response.status, 200);
    assert!(response.says_close(), "{}", response.head);
    before.end_output();
    before.expect_end();
    // Nobody has told the idle one anything: it may still ask.
    assert!(idle.hears_nothing_for(Duration::from_millis(50)));
    server.handle.shutdown();
    idle.expect_end();
    server.join().unwrap();
}

#[test]
fn a_lame_duck_stops_when_its_time_is_over() {
    let mut options = options(1);
    options.limits.lame_duck_time = Duration::from_millis(500);
    let server = Local::start(options);
    let mut idle = begun(server.address(), "");
    let asked = Instant::now();
    server.handle.shutdown();
    idle.expect_end();
    assert!(asked.elapsed() >= Duration::from_millis(500));
    server.join().unwrap();
}

#[test]
fn a_second_signal_ends_the_lame_duck_time() {
    let mut server = Process::own(&[ANY_PORT, "--Kestrel:Limits:LameDuckTime=3600"]);
    let address = server.address();
    server.terminate();
    // Two signals that come as one would be one stop.
    wait_until("a response that says close", || {
        Client::connect(address).get("/").says_close()
    });
    server.terminate();
    assert_eq!(server.exit_code(), Some(0), "{}", server.errors());
}

#[test]
fn a_tunnel_is_told() {
    let server = Local::start(options(1));
    let mut client = Client::connect(server.address());
    client.send("GET /tunnel HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n");
    assert_eq!(client.response().status, 101);
    client.send("abc");
    assert_eq!(client.bytes(3), b"abc");
    server.handle.shutdown();
    assert_eq!(client.bytes(3), b"bye");
    client.end_output();
    client.expect_end();
    server.join().unwrap();
}

#[test]
fn the_port_is_free_again_at_once() {
    for workers in [1, 4] {
        let server = Local::start(options(workers));
        let address = server.address();
        // The server closes first, which leaves the port with connections in TIME-WAIT.
        let mut clients: Vec<Client> = (0..8).map(|_| begun(address, "")).collect();
        server.stop();
        clients.iter_mut().for_each(Client::expect_end);
        let mut again = ServerOptions::default();
        again.workers = NonZeroUsize::new(workers);
        again.listen(address.ip(), address.port());
        let server = Local::start(again);
        assert_eq!(Client::connect(address).get("/").status, 200);
        server.stop();
    }
}

/// A successor need not wait until the last answer of its predecessor is read.
#[test]
fn the_port_is_free_while_the_last_requests_are_answered() {
    let server = Local::start(options(2));
    let address = server.address();
    let mut held = hold(address, 1).pop().unwrap();
    let mut release = begun(address, "GET /release HTTP/1.1\r\n");
    server.handle.shutdown();
    wait_until_refused(address);
    drop(TcpListener::bind(address).unwrap());
    release.send("Host: h\r\n\r\n");
    assert_eq!(held.response().text(), "held");
    assert_eq!(release.response().text(), "1");
    drop((held, release));
    server.join().unwrap();
}

#[test]
fn the_file_of_a_unix_socket_goes_with_its_server() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("stannel.sock");
    let url = format!("--urls=http://unix:{}", path.display());
    let mut server = Process::own(&[&url, "--Kestrel:Workers=2"]);
    server.url();
    let mut client = UnixStream::connect(&path).unwrap();
    client.write_all(get("/").as_bytes()).unwrap();
    client.read_exact(&mut [0]).unwrap();
    // A second one is refused and must not take the first one's file along.
    let (code, errors) = run_stannel(&[&url]);
    assert_eq!(code, Some(1));
    assert!(errors.contains("address in use"), "{errors}");
    assert!(path.exists());
    server.terminate();
    assert_eq!(server.exit_code(), Some(0), "{}", server.errors());
    assert!(!path.exists());
}

#[test]
fn a_server_that_was_never_run_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("stannel.sock");
    let mut options = options(2);
    options.listen_unix_socket(&path);
    let site = Site::default();
    let server = Server::new(options, move || site.another()).bind().unwrap();
    let address = server.addresses()[0].socket_addrs()[0];
    assert!(path.exists());
    drop(server);
    assert!(!path.exists());
    drop(TcpListener::bind(address).unwrap());
}

#[test]
fn a_handler_that_blocks_is_left_behind() {
    let (release, released) = mpsc::channel::<()>();
    let released = Arc::new(Mutex::new(released));
    let (entered, has_entered) = mpsc::channel();
    let mut options = options(2);
    options.limits.shutdown_timeout = Duration::ZERO;
    let server = Local::run(Server::new(options, move || {
        let (released, entered) = (Arc::clone(&released), entered.clone());
        move |_: &Request<'_>, exchange: Exchange<'_>| {
            entered.send(()).unwrap();
            let _ = released.lock().unwrap().recv();
            exchange.respond(StatusCode::OK).send("too late")
        }
    }));
    let mut client = Client::connect(server.address());
    client.send(get("/"));
    has_entered.recv().unwrap();
    let asked = Instant::now();
    server.handle.shutdown();
    server.join().unwrap();
    assert!(asked.elapsed() >= Duration::from_secs(1), "{:?}", asked.elapsed());
    drop(release);
    // In a process that lives on it may come back: what it has to say is still sent, then its worker ends too.
    assert_eq!(client.response().text(), "too late");
    client.expect_end();
}

/// Who connected while nobody accepted was told by the system that the connection stands.
#[test]
fn a_stop_before_the_start_still_serves_who_waits() {
    let site = Site::default();
    let server = Server::new(options(2), move || site.another()).bind().unwrap();
    let address = server.addresses()[0].socket_addrs()[0];
    let mut clients: Vec<Client> = (0..200).map(|_| Client::connect(address)).collect();
    for client in &mut clients {
        client.send(get("/"));
    }
    server.handle().shutdown();
    let running = thread::spawn(move || server.run());
    for mut client in clients {
        assert_eq!(client.response().text(), "hello");
        client.end_output();
        client.expect_end();
    }
    running.join().unwrap().unwrap();
}
