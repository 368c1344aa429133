//! Unix sockets: whose file it is, who may connect, and what may be replaced.
//!
//! Nothing here starts a process: until its exec a child has every socket of its parent, and what is closed is not free.
#![forbid(unsafe_code)]

#[path = "support/client.rs"]
mod client;
#[path = "support/local.rs"]
mod local;
#[path = "support/site.rs"]
mod site;

use client::ask_over_unix;
use local::Local;
use site::Site;
use stannel::{BindError, BoundServer, Server, ServerOptions};
use std::fs;
use std::num::NonZeroUsize;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::path::Path;
use std::sync::Barrier;
use std::thread;

/// What an endpoint does with a socket that nobody serves any more.
#[derive(Clone, Copy, PartialEq)]
enum Stale {
    Refuse,
    Replace,
}

fn options(path: &Path, workers: usize, stale: Stale) -> ServerOptions {
    let mut options = ServerOptions::default();
    options.workers = NonZeroUsize::new(workers);
    options.listen_unix_socket(path).replace_stale_socket = stale == Stale::Replace;
    options
}

fn bind(options: ServerOptions) -> Result<BoundServer, BindError> {
    let site = Site::default();
    Server::new(options, move || site.another()).bind()
}

fn serves(path: &Path) {
    let response = ask_over_unix(UnixStream::connect(path).unwrap());
    assert!(response.starts_with("HTTP/1.1 200 OK"), "{response}");
}

/// Expects that the path is refused as one that is in use.
fn refuses(path: &Path, stale: Stale) {
    match bind(options(path, 1, stale)) {
        Err(BindError::AddressInUse { endpoint, .. }) => {
            assert!(
                endpoint.starts_with(&format!("http://unix:{} ", path.display())),
                "{endpoint}"
            );
        }
        other => panic!("{}: {other:?}", path.display()),
    }
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
}

/// A socket's file without a server.
fn leave_stale(path: &Path) {
    drop(UnixListener::bind(path).unwrap());
}

#[test]
fn the_mode_is_set_in_code_too() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s");
    let mut options = ServerOptions::default();
    options.listen_unix_socket(&path).socket_mode = Some(0o611);
    let server = Local::run({
        let site = Site::default();
        Server::new(options, move || site.another())
    });
    assert_eq!(mode(&path), 0o611);
    assert_eq!(server.addresses[0].port(), None);
    assert!(server.addresses[0].socket_addrs().is_empty());
    serves(&path);
    server.stop();
    assert!(!path.exists());
}

#[test]
fn all_workers_take_from_one_socket() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s");
    let server = Local::start(options(&path, 3, Stale::Refuse));
    for _ in 0..12 {
        serves(&path);
    }
    server.stop();
    assert!(!path.exists());
}

/// What is removed at the end is the file that was made, not what has its name. The number of a file that is gone may be
/// given to the next one at once.
#[test]
fn a_file_that_somebody_has_put_in_its_place_stays() {
    for workers in [1, 3] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        // A server that runs, and one that was only bound.
        let server = Local::start(options(&path, workers, Stale::Refuse));
        serves(&path);
        fs::remove_file(&path).unwrap();
        let other = UnixListener::bind(&path).unwrap();
        server.stop();
        assert!(path.exists(), "somebody else's socket was removed");
        UnixStream::connect(&path).unwrap();
        drop(other);
        fs::remove_file(&path).unwrap();

        let server = bind(options(&path, workers, Stale::Refuse)).unwrap();
        fs::remove_file(&path).unwrap();
        let other = UnixListener::bind(&path).unwrap();
        drop(server);
        assert!(path.exists(), "somebody else's socket was removed");
        UnixStream::connect(&path).unwrap();
        drop(other);
        fs::remove_file(&path).unwrap();

        let server = Local::start(options(&path, workers, Stale::Refuse));
        fs::remove_file(&path).unwrap();
        fs::write(&path, "precious").unwrap();
        server.stop();
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    }
}

#[test]
fn a_stale_socket_is_replaced_only_when_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s");
    leave_stale(&path);
    refuses(&path, Stale::Refuse);
    assert!(path.exists());
    let server = Local::start(options(&path, 2, Stale::Replace));
    serves(&path);
    // One that is served is not.
    refuses(&path, Stale::Replace);
    refuses(&path, Stale::Refuse);
    serves(&path);
    server.stop();
    assert!(!path.exists());
    // Nor does it matter where nothing is.
    let server = Local::start(options(&path, 1, Stale::Replace));
    serves(&path);
    server.stop();
}

#[test]
fn what_is_no_stale_socket_stays_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s");
    fs::write(&path, "precious").unwrap();
    refuses(&path, Stale::Replace);
    assert_eq!(fs::read_to_string(&path).unwrap(), "precious");

    let link = folder.path().join("link");
    symlink(&path, &link).unwrap();
    refuses(&link, Stale::Replace);
    assert_eq!(fs::read_link(&link).unwrap(), path);
    assert_eq!(fs::read_to_string(&path).unwrap(), "precious");

    // A link to a stale socket is no socket; nor is one that leads nowhere.
    fs::remove_file(&path).unwrap();
    refuses(&link, Stale::Replace);
    leave_stale(&path);
    refuses(&link, Stale::Replace);
    assert_eq!(fs::read_link(&link).unwrap(), path);
    assert!(path.exists());

    let inner = folder.path().join("folder");
    fs::create_dir(&inner).unwrap();
    refuses(&inner, Stale::Replace);
    assert!(inner.is_dir());
}

/// Between its bind and its listen it refuses like a stale one.
#[test]
fn a_socket_that_does_not_listen_yet_is_not_stale() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("with a space");
    let socket = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None).unwrap();
    socket.bind(&socket2::SockAddr::unix(&path).unwrap()).unwrap();
    refuses(&path, Stale::Replace);
    socket.listen(1).unwrap();
    UnixStream::connect(&path).unwrap();
    // A datagram socket never listens.
    let path = folder.path().join("datagrams");
    let socket = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
    refuses(&path, Stale::Replace);
    assert!(path.exists());
    drop(socket);
}

/// Each that thinks it serves is the one that clients meet.
#[test]
fn of_servers_that_replace_a_stale_socket_together_one_serves() {
    const SERVERS: usize = 8;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s");
    for round in 0..60 {
        if round % 2 == 0 {
            leave_stale(&path);
        }
        let start = Barrier::new(SERVERS);
        let results: Vec<_> = thread::scope(|scope| {
            let threads: Vec<_> = (0..SERVERS)
                .map(|_| {
                    scope.spawn(|| {
                        start.wait();
                        bind(options(&path, 1, Stale::Replace))
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        for error in results.iter().filter_map(|result| result.as_ref().err()) {
            assert!(matches!(error, BindError::AddressInUse { .. }), "{error}");
        }
        let mut bound: Vec<BoundServer> = results.into_iter().flatten().collect();
        assert_eq!(bound.len(), 1, "round {round}");
        let server = bound.remove(0);
        let handle = server.handle();
        let running = thread::spawn(move || server.run());
        serves(&path);
        handle.shutdown();
        running.join().unwrap().unwrap();
        assert!(!path.exists());
    }
}

#[test]
fn an_abstract_socket_is_gone_with_its_server() {
    let name = format!("stannel-test-{}", std::process::id());
    let url = format!("http://unix:@{name}");
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    let mut options = ServerOptions::default();
    options.listen_url(&url).unwrap();
    let server = Local::start(options.clone());
    assert_eq!(server.addresses[0].to_string(), url);
    let response = ask_over_unix(UnixStream::connect_addr(&address).unwrap());
    assert!(response.starts_with("HTTP/1.1 200 OK"), "{response}");
    match bind(options.clone()) {
        Err(BindError::AddressInUse { endpoint, .. }) => {
            assert!(endpoint.starts_with(&format!("{url} ")), "{endpoint}");
        }
        other => panic!("{other:?}"),
    }
    server.stop();
    // It is gone with its server.
    let server = Local::start(options);
    assert_eq!(server.addresses[0].to_string(), url);
    let response = ask_over_unix(UnixStream::connect_addr(&address).unwrap());
    assert!(response.starts_with("HTTP/1.1 200 OK"), "{response}");
    server.stop();
    UnixStream::connect_addr(&address).unwrap_err();
}
