//! A running server follows its configuration.

#![cfg(feature = "config")]

#[path = "support/client.rs"]
mod client;
#[path = "support/ports.rs"]
mod ports;
#[path = "support/reload.rs"]
mod reload;

use client::{Client, PATIENCE, wait_until};
use ports::free_ports;
use reload::{Following, follow_changes, hello};
use stannel::{Exchange, Request, StatusCode};
use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

fn endpoints(urls: &[(&str, String)]) -> String {
    let endpoints: Vec<String> = urls
        .iter()
        .map(|(name, url)| format!("\"{name}\": {{ \"Url\": \"{url}\" }}"))
        .collect();
    format!("{{ \"Kestrel\": {{ \"Endpoints\": {{ {} }} }} }}", endpoints.join(", "))
}

fn url(port: u16) -> String {
    format!("http://127.0.0.1:{port}")
}

fn on(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

fn is_served(port: u16) -> bool {
    match TcpStream::connect(on(port)) {
        Ok(stream) => Client::from_stream(stream).get("/").status == 200,
        Err(_) => false,
    }
}

#[test]
fn endpoints_come_and_go_and_others_notice_nothing() {
    for workers in ["1", "3"] {
        let [a, b, c] = free_ports();
        let before = endpoints(&[("A", url(a)), ("B", url(b))]);
        let after = endpoints(&[("A", url(a)), ("C", url(c))]);
        let server = Following::start(&before, |options| options.workers = workers.parse().ok(), hello);
        let (mut kept, mut dropped) = (Client::connect(on(a)), Client::connect(on(b)));
        assert_eq!((kept.get("/").status, dropped.get("/").status), (200, 200));
        let outcome = server.reload(&after);
        assert_eq!((outcome.stopped, outcome.started), (vec![url(b)], vec![url(c)]));
        assert!(outcome.failed.is_empty() && outcome.error.is_none());
        assert!(is_served(a) && is_served(c) && !is_served(b));
        assert_eq!(kept.get("/").text(), "hello");
        // It was idle.
        assert!(dropped.try_response().is_none());
        let told: Vec<String> = server.handle().addresses().iter().map(ToString::to_string).collect();
        assert_eq!(told, [url(a), url(c)]);
        // Back again, and the same once more.
        assert_eq!(server.reload(&before).started, [url(b)]);
        let outcome = server.reload(&before);
        assert!(outcome.stopped.is_empty() && outcome.started.is_empty());
        assert_eq!(kept.get("/").text(), "hello");
    }
}

#[test]
fn a_changed_file_is_noticed() {
    let [a, b] = free_ports();
    let server = Following::start(&endpoints(&[("A", url(a))]), follow_changes, hello);
    server.write(&endpoints(&[("A", url(a)), ("B", url(b))]));
    assert_eq!(server.outcome().started, [url(b)]);
    std::fs::remove_file(server.file()).unwrap();
    let mut stopped = server.outcome().stopped;
    stopped.sort();
    let mut both = vec![url(a), url(b)];
    both.sort();
    assert_eq!(stopped, both);
    server.write(&endpoints(&[("A", url(a))]));
    assert_eq!(server.outcome().started, [url(a)]);
}

/// Between reading the files and opening the sockets there may be any time.
#[test]
fn a_file_that_changes_before_the_server_starts_is_noticed() {
    let [a, b] = free_ports();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("appsettings.json");
    std::fs::write(&file, endpoints(&[("A", url(a))])).unwrap();
    let configuration = stannel::Configuration::builder().add_json_file(&file).build().unwrap();
    std::fs::write(&file, endpoints(&[("A", url(a)), ("B", url(b))])).unwrap();
    let server = Following::follow(folder, &configuration, |_| (), hello);
    assert_eq!(server.outcome().started, [url(b)]);
    assert!(is_served(a) && is_served(b));
}

#[test]
fn what_cannot_be_understood_changes_nothing() {
    let [a, b] = free_ports();
    let good = endpoints(&[("A", url(a))]);
    let server = Following::start(&good, |_| (), hello);
    let mut kept = Client::connect(on(a));
    for (text, said) in [
        ("{ \"Kestrel\": ".to_owned(), "appsettings.json:1:"),
        (
            endpoints(&[("A", url(b)), ("Bad", "http://x:y".to_owned())]),
            "Kestrel:Endpoints:Bad:Url",
        ),
        (endpoints(&[("A", String::new())]), "the endpoint A"),
        (
            format!(
                "{{ \"Kestrel\": {{ \"Limits\": {{ \"MaxRequestLineSize\": 0 }}, {}",
                &good["{ \"Kestrel\": {".len()..]
            ),
            "max_request_line_size",
        ),
    ] {
        let error = server.reload(&text).error.expect(&text);
        assert!(error.contains(said), "{error}");
        assert_eq!(kept.get("/").status, 200);
        assert!(!is_served(b));
    }
    assert_eq!(server.reload(&endpoints(&[("B", url(b))])).started, [url(b)]);
}

#[test]
fn an_endpoint_that_cannot_be_bound_is_left_out_until_it_changes() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken_port = taken.local_addr().unwrap().port();
    let [a, b] = free_ports();
    let server = Following::start(&endpoints(&[("A", url(a))]), |_| (), hello);
    let outcome = server.reload(&endpoints(&[("A", url(a)), ("B", url(taken_port)), ("C", url(b))]));
    assert_eq!((outcome.failed, outcome.started), (vec![url(taken_port)], vec![url(b)]));
    assert!(is_served(a) && is_served(b));
}

#[test]
fn a_changed_endpoint_keeps_its_socket() {
    let [port] = free_ports();
    let with = |key: &str| {
        format!(
            "{{ \"Kestrel\": {{ \"Endpoints\": {{ \"A\": {{ \"Url\": \"{}\"{key} }} }} }} }}",
            url(port)
        )
    };
    let server = Following::start(&with(""), |_| (), hello);
    let is_over = Arc::new(AtomicBool::new(false));
    let connecting = {
        let is_over = Arc::clone(&is_over);
        std::thread::spawn(move || {
            let mut count = 0;
            while !is_over.load(Ordering::Relaxed) {
                assert_eq!(Client::connect(on(port)).get("/").status, 200);
                count += 1;
            }
            count
        })
    };
    for round in 0..20 {
        let mut idle = Client::connect(on(port));
        assert_eq!(idle.get("/").status, 200);
        let outcome = server.reload(&with(&format!(", \"Own\": {round}")));
        assert_eq!((outcome.stopped, outcome.started), (vec![url(port)], vec![url(port)]));
        assert!(idle.try_response().is_none());
    }
    // A name of its own is no other socket either.
    let renamed = endpoints(&[("Renamed", url(port))]);
    assert_eq!(server.reload(&renamed).started, [url(port)]);
    is_over.store(true, Ordering::Relaxed);
    assert!(connecting.join().unwrap() > 0);
}

#[test]
fn an_address_that_overlaps_is_bound_once_the_old_one_is_closed() {
    let [port] = free_ports();
    let server = Following::start(&endpoints(&[("A", format!("http://0.0.0.0:{port}"))]), |_| (), hello);
    let outcome = server.reload(&endpoints(&[("A", url(port))]));
    assert_eq!(outcome.started, [url(port)]);
    assert!(outcome.failed.is_empty() && is_served(port));
}

#[test]
fn unix_sockets_come_and_go() {
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = (folder.path().join("1.sock"), folder.path().join("2.sock"));
    let of = |path: &std::path::Path| endpoints(&[("A", format!("http://unix:{}", path.display()))]);
    let server = Following::start(&of(&first), |_| (), hello);
    assert!(UnixStream::connect(&first).is_ok());
    assert_eq!(server.reload(&of(&second)).started.len(), 1);
    assert!(!first.exists());
    assert!(UnixStream::connect(&second).is_ok());
}

#[test]
fn endpoints_of_code_stay() {
    let [a, b] = free_ports();
    let server = Following::start(
        &endpoints(&[("A", url(a))]),
        |options| {
            options.listen(std::net::Ipv4Addr::LOCALHOST, b);
        },
        hello,
    );
    assert_eq!(server.reload("{}").stopped, [url(a)]);
    assert!(is_served(b) && !is_served(a));
}

#[test]
fn callbacks_are_called_again_for_what_is_new_or_changed() {
    let [a, b] = free_ports();
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let server = Following::start(
        &endpoints(&[("A", url(a))]),
        |options| {
            let count = move |_: &mut stannel::EndpointConfiguration<'_>| {
                counted.fetch_add(1, Ordering::Relaxed);
            };
            options.loader_mut().unwrap().endpoint("A", count);
        },
        hello,
    );
    assert_eq!(calls.load(Ordering::Relaxed), 1);
    server.reload(&endpoints(&[("A", url(a)), ("B", url(b))]));
    assert_eq!(calls.load(Ordering::Relaxed), 1);
    server.reload(&endpoints(&[("A", url(b))]));
    assert_eq!(calls.load(Ordering::Relaxed), 2);
}

#[test]
fn limits_count_for_new_connections() {
    let [port] = free_ports();
    let with = |limit: u32| {
        format!(
            "{{ \"Kestrel\": {{ \"Limits\": {{ \"MaxRequestLineSize\": {limit} }}, \
             \"Endpoints\": {{ \"A\": {{ \"Url\": \"{}\" }} }} }} }}",
            url(port)
        )
    };
    let long = format!("/{}", "x".repeat(200));
    let server = Following::start(&with(8192), |options| options.workers = "1".parse().ok(), hello);
    let mut before = Client::connect(on(port));
    assert_eq!(before.get(&long).status, 200);
    server.reload(&with(100));
    assert_eq!(Client::connect(on(port)).get(&long).status, 414);
    assert_eq!(before.get(&long).status, 200);
    server.reload(&with(8192));
    assert_eq!(Client::connect(on(port)).get(&long).status, 200);
}

#[test]
fn the_server_field_comes_and_goes_with_new_connections() {
    let [port] = free_ports();
    let with = |field: bool| {
        format!(
            "{{ \"Kestrel\": {{ \"AddServerHeader\": {field}, \"Endpoints\": {{ \"A\": {{ \"Url\": \"{}\" }} }} }} }}",
            url(port)
        )
    };
    let server = Following::start(&with(true), |options| options.workers = "1".parse().ok(), hello);
    let has_field = |client: &mut Client| client.get("/").head.contains("\r\nServer: stannel\r\n");
    let mut before = Client::connect(on(port));
    assert!(has_field(&mut before));
    server.reload(&with(false));
    let mut after = Client::connect(on(port));
    for _ in 0..3 {
        assert!(!has_field(&mut after));
        assert!(has_field(&mut before));
    }
}

#[test]
fn what_runs_on_a_removed_endpoint_may_end() {
    let [a, b] = free_ports();
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let wait = Arc::new(std::sync::Mutex::new(wait));
    let late = move |_: &Request<'_>, exchange: Exchange<'_>| {
        let wait = Arc::clone(&wait);
        exchange.defer(move |responder| {
            std::thread::spawn(move || {
                wait.lock().unwrap().recv().unwrap();
                let _ = responder.respond(StatusCode::OK).send("late");
            });
        })
    };
    let server = Following::start(&endpoints(&[("A", url(a))]), |_| (), move || late.clone());
    let mut running = Client::connect(on(a));
    running.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    wait_until("the request to come", || {
        server.handle().metrics().total().requests == 1
    });
    assert_eq!(server.reload(&endpoints(&[("B", url(b))])).stopped, [url(a)]);
    go.send(()).unwrap();
    let response = running.response();
    assert_eq!(response.text(), "late");
    assert!(response.says_close());
    assert!(running.try_response().is_none());
}

/// Kestrel's five seconds, in real time.
#[test]
fn what_never_ends_on_a_removed_endpoint_is_reset() {
    let [a, b] = free_ports();
    let never = |_: &Request<'_>, exchange: Exchange<'_>| exchange.defer(std::mem::forget);
    let server = Following::start(&endpoints(&[("A", url(a))]), |_| (), move || never);
    let mut stuck = Client::connect(on(a));
    stuck.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    wait_until("the request to come", || {
        server.handle().metrics().total().requests == 1
    });
    let begin = std::time::Instant::now();
    server.reload(&endpoints(&[("B", url(b))]));
    let mut byte = [0];
    let end = std::io::Read::read(&mut stuck.stream(), &mut byte);
    assert_eq!(end.unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
    assert!(begin.elapsed() >= Duration::from_secs(5));
}

/// What is retired for one endpoint must not meet the connections of another that has its place among the counters.
#[test]
fn connections_of_endpoints_that_changed_live_on() {
    let [a, b, c] = free_ports();
    let with = |own: u32, last: &str| {
        format!(
            "{{ \"Kestrel\": {{ \"Endpoints\": {{ \"A\": {{ \"Url\": \"{}\", \"Own\": {own} }}, \
             \"B\": {{ \"Url\": \"{}\", \"Own\": {own} }} {last} }} }} }}",
            url(a),
            url(b)
        )
    };
    let witness = format!(", \"C\": {{ \"Url\": \"{}\" }}", url(c));
    let server = Following::start(&with(0, &witness), |options| options.workers = "1".parse().ok(), hello);
    // It is reset when the five seconds are over that old connections have.
    let silent = Client::connect(on(c));
    wait_until("the connection", || {
        server.handle().metrics().total().active_connections == 1
    });
    assert_eq!(server.reload(&with(1, "")).started.len(), 2);
    let mut clients = [Client::connect(on(a)), Client::connect(on(b))];
    for client in &mut clients {
        assert_eq!(client.get("/").status, 200);
    }
    let mut byte = [0];
    assert!(std::io::Read::read(&mut silent.stream(), &mut byte).is_err());
    for client in &mut clients {
        assert_eq!(client.get("/").status, 200);
    }
}

#[test]
fn a_unix_socket_that_loses_its_mode_is_made_anew() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.sock");
    let with = |key: &str| {
        format!(
            "{{ \"Kestrel\": {{ \"Endpoints\": {{ \"A\": {{ \"Url\": \"http://unix:{}\"{key} }} }} }} }}",
            path.display()
        )
    };
    let mode = || std::fs::metadata(&path).unwrap().permissions().mode() & 0o777;
    let server = Following::start(&with(""), |_| (), hello);
    let by_umask = mode();
    server.reload(&with(", \"SocketMode\": \"0600\""));
    assert_eq!(mode(), 0o600);
    assert_eq!(server.reload(&with("")).started.len(), 1);
    assert_eq!(mode(), by_umask);
    assert!(UnixStream::connect(&path).is_ok());
}

#[test]
fn reloads_under_load_cost_no_request() {
    const CLIENTS: usize = 64;
    let [stays, comes, goes] = free_ports();
    let with = |second: u16, timeout: usize| {
        format!(
            "{{ \"Kestrel\": {{ \"Limits\": {{ \"KeepAliveTimeout\": {timeout} }}, \"Endpoints\": {{ \
             \"Stays\": {{ \"Url\": \"{}\" }}, \"Other\": {{ \"Url\": \"{}\" }} }} }} }}",
            url(stays),
            url(second)
        )
    };
    let server = Following::start(&with(goes, 100), |options| options.workers = "2".parse().ok(), hello);
    let is_over = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let is_over = Arc::clone(&is_over);
            let mut client = Client::connect(on(stays));
            std::thread::spawn(move || {
                let mut count = 0_usize;
                while !is_over.load(Ordering::Relaxed) {
                    assert_eq!(client.get("/").status, 200);
                    count += 1;
                }
                count
            })
        })
        .collect();
    for round in 0..10 {
        let second = if round % 2 == 0 { comes } else { goes };
        let outcome = server.reload(&with(second, 101 + round));
        assert_eq!(outcome.started, [url(second)]);
        let served = server.handle().metrics().total().requests;
        wait_until("the clients to go on", || {
            server.handle().metrics().total().requests > served + 1000
        });
    }
    is_over.store(true, Ordering::Relaxed);
    for client in clients {
        assert!(client.join().expect("not one request failed") > 0);
    }
}

#[test]
fn nothing_is_read_while_the_server_stops() {
    let [a, b] = free_ports();
    let never = |_: &Request<'_>, exchange: Exchange<'_>| exchange.defer(std::mem::forget);
    let server = Following::start(
        &endpoints(&[("A", url(a))]),
        |options| {
            follow_changes(options);
            options.limits.shutdown_timeout = Duration::from_millis(500);
        },
        move || never,
    );
    let mut stuck = TcpStream::connect(on(a)).unwrap();
    stuck.set_read_timeout(Some(PATIENCE)).unwrap();
    stuck.write_all(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").unwrap();
    wait_until("the request to come", || {
        server.handle().metrics().total().requests == 1
    });
    server.handle().shutdown();
    wait_until("the socket to close", || TcpStream::connect(on(a)).is_err());
    server.write(&endpoints(&[("B", url(b))]));
    server.handle().reload();
    drop(stuck);
    assert_eq!(server.outcome_until_the_end(), None);
}
