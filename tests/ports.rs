//! Who may listen where, and which of the workers serves.
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

use client::Client;
use local::{Local, options};
use process::{ANY_PORT, Process, run_stannel};
use site::Site;
use stannel::{BindError, Server, ServerOptions};
use std::collections::HashSet;
use std::net::{Ipv6Addr, SocketAddr, TcpListener};
use std::num::NonZeroUsize;
use std::sync::Barrier;
use std::thread;

fn workers(count: usize) -> String {
    format!("--Kestrel:Workers={count}")
}

#[test]
fn a_second_server_on_a_port_is_refused_at_once() {
    for (first, second) in [(1, 1), (4, 4), (1, 4), (4, 1)] {
        let mut server = Process::stannel(&[ANY_PORT, &workers(first)]);
        let address = server.address();
        let port = address.port();
        for url in [
            format!("--urls=http://{address}"),
            format!("--urls=http://localhost:{port}"),
            format!("--urls=http://*:{port}"),
        ] {
            let (code, errors) = run_stannel(&[&url, &workers(second)]);
            assert_eq!(code, Some(1), "{url}: {errors}");
            let lines: Vec<&str> = errors.lines().collect();
            assert_eq!(lines.len(), 2, "{url}: {errors}");
            assert!(lines[0].starts_with("stannel: cannot bind http://"), "{url}: {errors}");
            assert!(lines[0].contains("(from urls on the command line)"), "{url}: {errors}");
            assert!(
                lines[0].contains("address in use by stannel (process "),
                "{url}: {errors}"
            );
            assert_eq!(lines[1], "stop the server that listens there, or choose another port");
        }
        // The first one has noticed nothing.
        for _ in 0..8 {
            assert_eq!(Client::connect(address).get("/").status, 200);
        }
        server.stop();
    }
}

/// Both begin at the same time: one of them has the port, and all of it.
#[test]
fn of_two_servers_that_start_together_one_has_the_port() {
    for _ in 0..50 {
        let address = {
            let free = TcpListener::bind("127.0.0.1:0").unwrap();
            free.local_addr().unwrap()
        };
        let start = Barrier::new(2);
        let bind = || {
            let mut options = ServerOptions::default();
            options.workers = NonZeroUsize::new(4);
            options.listen(address.ip(), address.port());
            let site = Site::default();
            let server = Server::new(options, move || site.another());
            start.wait();
            server.bind()
        };
        let (one, other) = thread::scope(|scope| {
            let other = scope.spawn(bind);
            (bind(), other.join().unwrap())
        });
        let results = [one, other];
        let bound = results.iter().filter(|result| result.is_ok()).count();
        assert!(bound <= 1, "both have the port");
        // Each may have seen the other; then both fail, which is safe, and both say why.
        for error in results.iter().filter_map(|result| result.as_ref().err()) {
            assert!(matches!(error, BindError::AddressInUse { .. }), "{error}");
        }
    }
}

#[test]
fn four_workers_share_a_port_and_all_serve() {
    let server = Local::start(options(4));
    let seen = all_workers(|| Client::connect(server.address()).get("/worker").text().to_owned());
    assert_eq!(seen, 4);
    server.stop();
}

/// How many workers have answered, after so many connections that none is left out by chance.
fn all_workers(mut ask: impl FnMut() -> String) -> usize {
    let mut seen = HashSet::new();
    for _ in 0..400 {
        seen.insert(ask());
        if seen.len() == 4 {
            break;
        }
    }
    seen.len()
}

#[test]
fn port_0_on_localhost_is_one_port_on_both_loopbacks() {
    for count in [1, 4] {
        let mut options = ServerOptions::default();
        options.workers = NonZeroUsize::new(count);
        options.listen_localhost(0);
        let server = Local::start(options);
        let bound = server.addresses[0].clone();
        let port = bound.port().unwrap();
        assert_ne!(port, 0);
        assert_eq!(bound.to_string(), format!("http://localhost:{port}"));
        assert!(bound.socket_addrs().iter().all(|address| address.port() == port));
        for &address in bound.socket_addrs() {
            assert!(address.ip().is_loopback());
            assert_eq!(Client::connect(address).get("/").status, 200);
        }
        if TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok() {
            assert_eq!(bound.socket_addrs().len(), 2);
        } else {
            println!("without IPv6: there is no IPv6 loopback here");
        }
        server.stop();
    }
}

#[test]
fn localhost_is_refused_when_one_of_its_addresses_is_taken() {
    for taken in ["127.0.0.1:0", "[::1]:0"] {
        let Ok(taken) = TcpListener::bind(taken) else {
            println!("skipped: {taken} cannot be had here");
            continue;
        };
        let address: SocketAddr = taken.local_addr().unwrap();
        let (code, errors) = run_stannel(&[&format!("--urls=http://localhost:{}", address.port())]);
        assert_eq!(code, Some(1));
        let first =
            format!("stannel: cannot bind http://{address} (from urls on the command line): address in use by ");
        assert!(errors.starts_with(&first), "{errors}");
        assert!(
            errors.contains(&format!("(process {})", std::process::id())),
            "{errors}"
        );
    }
}
