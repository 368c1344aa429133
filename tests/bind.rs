//! Which addresses keep each other out, what is left of a start that fails, sockets that were bound before, and who has
//! an address.
//!
//! Nothing here starts a process: until its exec a child has every socket of its parent, and what is closed is not free.
#![forbid(unsafe_code)]

#[path = "support/client.rs"]
mod client;
#[path = "support/local.rs"]
mod local;
#[path = "support/ports.rs"]
mod ports;
#[path = "support/site.rs"]
mod site;

use client::{Client, ask_over_unix};
use local::Local;
use ports::free_ports;
use site::Site;
use socket2::{Domain, Socket, Type};
use stannel::{BindError, BoundServer, Server, ServerOptions, SocketHandle};
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, TcpListener, TcpStream, UdpSocket};
use std::num::NonZeroUsize;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};

fn options(workers: usize, urls: &[&str]) -> ServerOptions {
    let mut options = ServerOptions::default();
    options.workers = NonZeroUsize::new(workers);
    for url in urls {
        options.listen_url(url).unwrap();
    }
    options
}

fn bind(options: ServerOptions) -> Result<BoundServer, BindError> {
    let site = Site::default();
    Server::new(options, move || site.another()).bind()
}

fn has_ipv6() -> bool {
    let is_there = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok();
    if !is_there {
        println!("without IPv6: there is no IPv6 loopback here");
    }
    is_there
}

/// Whether the address is free for a socket that allows nothing else beside it.
fn is_free(address: SocketAddr) -> bool {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None).unwrap();
    if address.is_ipv6() {
        socket.set_only_v6(true).unwrap();
    }
    socket.bind(&address.into()).is_ok()
}

/// Each pair in both orders: by two endpoints of one server, and by two servers.
#[test]
fn overlaps_are_refused_and_the_later_one_is_named() {
    // One, the other, and the address that is named when the other comes later; then when the one does.
    let pairs = [
        ("127.0.0.1", "127.0.0.1", "127.0.0.1", "127.0.0.1"),
        ("localhost", "localhost", "127.0.0.1", "127.0.0.1"),
        ("localhost", "127.0.0.1", "127.0.0.1", "127.0.0.1"),
        ("localhost", "app.localhost", "127.0.0.1", "127.0.0.1"),
        ("127.0.0.1", "0.0.0.0", "0.0.0.0", "127.0.0.1"),
        ("localhost", "0.0.0.0", "0.0.0.0", "127.0.0.1"),
        ("127.0.0.1", "*", "[::]", "127.0.0.1"),
        ("0.0.0.0", "[::]", "[::]", "0.0.0.0"),
        ("0.0.0.0", "*", "[::]", "0.0.0.0"),
        ("*", "[::]", "[::]", "[::]"),
        ("*", "localhost", "127.0.0.1", "[::]"),
        ("[::]", "localhost", "127.0.0.1", "[::]"),
        ("[::1]", "*", "[::]", "[::1]"),
        ("[::1]", "localhost", "[::1]", "[::1]"),
    ];
    if !has_ipv6() {
        return;
    }
    for workers in [1, 3] {
        for (one, other, other_named, one_named) in pairs {
            for (first, second, named) in [(one, other, other_named), (other, one, one_named)] {
                let [port] = free_ports();
                let (first, second) = (format!("http://{first}:{port}"), format!("http://{second}:{port}"));
                let expected = format!("http://{named}:{port} (");
                let refused = |result: Result<BoundServer, BindError>| match result {
                    Err(BindError::AddressInUse { endpoint, owner }) => {
                        assert!(endpoint.starts_with(&expected), "{first}, {second}: {endpoint}");
                        let owner = owner.unwrap();
                        assert!(owner.starts_with("this process itself"), "{first}, {second}: {owner}");
                    }
                    other => panic!("{first}, {second}: {other:?}"),
                };
                refused(bind(options(workers, &[&first, &second])));
                let server = bind(options(workers, &[&first])).unwrap();
                refused(bind(options(workers, &[&second])));
                drop(server);
                bind(options(workers, &[&second])).unwrap();
            }
        }
    }
}

#[test]
fn addresses_that_do_not_overlap_share_a_port() {
    if !has_ipv6() {
        return;
    }
    for workers in [1, 3] {
        let [port] = free_ports();
        let urls = ["127.0.0.1", "127.0.0.2", "[::1]"].map(|host| format!("http://{host}:{port}"));
        let server = Local::start(options(workers, &urls.each_ref().map(String::as_str)));
        for address in &server.addresses {
            assert_eq!(Client::connect(address.socket_addrs()[0]).get("/").status, 200);
        }
        server.stop();
    }
}

#[test]
fn any_takes_both_families_and_an_address_only_its_own() {
    if !has_ipv6() {
        return;
    }
    let urls = ["http://*:0", "http://0.0.0.0:0", "http://[::]:0", "http://[::1]:0"];
    let server = Local::start(options(2, &urls));
    let expected = [(true, true), (true, false), (true, true), (false, true)];
    for (address, expected) in server.addresses.iter().zip(expected) {
        let port = address.port().unwrap();
        let reach = |ip: IpAddr| TcpStream::connect(SocketAddr::new(ip, port)).is_ok();
        let reached = (reach(Ipv4Addr::LOCALHOST.into()), reach(Ipv6Addr::LOCALHOST.into()));
        assert_eq!(reached, expected, "{address}");
    }
    server.stop();
}

/// `0.0.0.0` and IPv6 alone are no overlap either.
#[test]
fn any_ipv4_address_leaves_ipv6_alone() {
    if !has_ipv6() {
        return;
    }
    let [port] = free_ports();
    let urls = [format!("http://0.0.0.0:{port}"), format!("http://[::1]:{port}")];
    let server = Local::start(options(2, &[&urls[0], &urls[1]]));
    for ip in [IpAddr::V4(Ipv4Addr::LOCALHOST), Ipv6Addr::LOCALHOST.into()] {
        assert_eq!(Client::connect(SocketAddr::new(ip, port)).get("/").status, 200);
    }
    server.stop();
}

#[test]
fn a_start_that_fails_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.sock");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let name = format!("stannel-bind-{}", std::process::id());
    let in_the_way = folder.path().join("file");
    fs::write(&in_the_way, "").unwrap();
    let failures = [
        format!("http://{}", taken.local_addr().unwrap()),
        format!("http://localhost:{}", taken.local_addr().unwrap().port()),
        "http://203.0.113.1:0".to_owned(),
        "http://unix:/no/such/folder/app.sock".to_owned(),
        format!("http://unix:{}", in_the_way.display()),
        format!("http://unix:/{}", "x".repeat(120)),
    ];
    for workers in [1, 3] {
        for failure in &failures {
            let [tcp, localhost, any] = free_ports();
            let good = [
                format!("http://127.0.0.1:{tcp}"),
                format!("http://localhost:{localhost}"),
                format!("http://*:{any}"),
                format!("http://unix:{}", path.display()),
                format!("http://unix:@{name}"),
            ];
            let mut urls: Vec<&str> = good.iter().map(String::as_str).collect();
            // They can be had.
            drop(bind(options(workers, &urls)).unwrap());
            urls.push(failure);
            let error = bind(options(workers, &urls)).unwrap_err();
            assert!(
                matches!(error, BindError::AddressInUse { .. } | BindError::Refused { .. }),
                "{error}"
            );
            for port in [tcp, localhost, any] {
                assert!(is_free((Ipv4Addr::LOCALHOST, port).into()), "{failure}: {port}");
                if has_ipv6() {
                    assert!(is_free((Ipv6Addr::LOCALHOST, port).into()), "{failure}: {port}");
                }
            }
            assert!(!path.exists(), "{failure}");
            let address = std::os::unix::net::SocketAddr::from_abstract_name(&name).unwrap();
            drop(UnixListener::bind_addr(&address).unwrap());
        }
    }
    // Nor is anything changed that was there before.
    assert!(in_the_way.exists());
    TcpStream::connect(taken.local_addr().unwrap()).unwrap();
}

#[test]
fn port_0_is_told_as_the_real_one() {
    let bound = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    bound.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
    for workers in [1, 3] {
        let mut urls = vec![
            ("http://127.0.0.1:0", "http://127.0.0.1:", 1),
            ("http://0.0.0.0:0", "http://0.0.0.0:", 1),
        ];
        if has_ipv6() {
            urls.extend([
                ("http://[::1]:0", "http://[::1]:", 1),
                ("http://[::]:0", "http://[::]:", 1),
                ("http://*:0", "http://[::]:", 1),
                ("http://+:0", "http://[::]:", 1),
                ("http://example.test:0", "http://[::]:", 1),
                ("http://localhost:0", "http://localhost:", 2),
                ("http://app.localhost:0", "http://app.localhost:", 2),
            ]);
        }
        let mut options = options(workers, &urls.iter().map(|(url, ..)| *url).collect::<Vec<_>>());
        options.listen_handle(SocketHandle::new(bound.try_clone().unwrap()));
        urls.push(("", "http://127.0.0.1:", 1));
        let server = Local::start(options);
        assert_eq!(server.addresses.len(), urls.len());
        for (address, (_, begin, count)) in server.addresses.iter().zip(urls) {
            let port = address.port().unwrap();
            assert_ne!(port, 0);
            assert_eq!(address.to_string(), format!("{begin}{port}"));
            assert_eq!(address.socket_addrs().len(), count);
            for &address in address.socket_addrs() {
                assert_eq!(address.port(), port);
                let ip = match address.ip() {
                    ip if !ip.is_unspecified() => ip,
                    IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
                    IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
                };
                assert_eq!(Client::connect(SocketAddr::new(ip, port)).get("/").status, 200);
            }
        }
        server.stop();
    }
}

/// The interface's index is all the system needs; who reads the address elsewhere has no use for it.
#[test]
fn a_link_local_address_is_bound_by_its_zone_and_told_without() {
    // Address, index and scope in hexadecimal, and the name in the last column.
    let table = fs::read_to_string("/proc/net/if_inet6").unwrap_or_default();
    let link_local = table.lines().find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let is_link_local = fields.get(3) == Some(&"20");
        let address = u128::from_str_radix(fields.first()?, 16).ok()?;
        let index = u32::from_str_radix(fields.get(1)?, 16).ok()?;
        is_link_local.then(|| (Ipv6Addr::from(address), index, (*fields.last().unwrap()).to_owned()))
    });
    let Some((ip, index, name)) = link_local else {
        println!("skipped: no interface has a link-local address");
        return;
    };
    for zone in [name, index.to_string()] {
        let server = Local::start(options(2, &[&format!("http://[{ip}%{zone}]:0")]));
        let port = server.addresses[0].port().unwrap();
        assert_eq!(server.addresses[0].to_string(), format!("http://[{ip}]:{port}"));
        let address = SocketAddrV6::new(ip, port, 0, index);
        assert_eq!(Client::connect(address.into()).get("/").status, 200);
        server.stop();
    }
}

/// What a socket may be when it is handed over.
#[derive(Clone, Copy)]
enum Handed {
    Bound,
    Listening,
    ListeningNonblocking,
}

#[test]
fn sockets_that_were_bound_before_are_served_and_stay_their_owners() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.sock");
    for workers in [1, 3] {
        for handed in [Handed::Bound, Handed::Listening, Handed::ListeningNonblocking] {
            let tcp = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
            tcp.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
            let unix = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
            unix.bind(&socket2::SockAddr::unix(&path).unwrap()).unwrap();
            for socket in [&tcp, &unix] {
                match handed {
                    Handed::Bound => {}
                    Handed::Listening => socket.listen(16).unwrap(),
                    Handed::ListeningNonblocking => {
                        socket.listen(16).unwrap();
                        socket.set_nonblocking(true).unwrap();
                    }
                }
            }
            let mut given = options(workers, &[]);
            given.listen_handle(SocketHandle::new(tcp.try_clone().unwrap()));
            given.listen_handle(SocketHandle::new(unix.try_clone().unwrap()));
            let server = Local::start(given);
            let address = tcp.local_addr().unwrap().as_socket().unwrap();
            assert_eq!(server.addresses[0].to_string(), format!("http://{address}"));
            assert_eq!(
                server.addresses[1].to_string(),
                format!("http://unix:{}", path.display())
            );
            for _ in 0..6 {
                assert_eq!(Client::connect(address).get("/").status, 200);
                let response = ask_over_unix(UnixStream::connect(&path).unwrap());
                assert!(response.starts_with("HTTP/1.1 200 OK"), "{response}");
            }
            server.stop();
            // Whoever connects now waits for the owner.
            let client = TcpStream::connect(address).unwrap();
            let (_, peer) = tcp.accept().unwrap();
            assert_eq!(peer.as_socket(), Some(client.local_addr().unwrap()));
            let _client = UnixStream::connect(&path).unwrap();
            unix.accept().unwrap();
            let again = [tcp, unix].map(SocketHandle::new);
            let mut given = options(workers, &[]);
            for socket in again {
                given.listen_handle(socket);
            }
            let server = Local::start(given);
            assert_eq!(Client::connect(address).get("/").status, 200);
            server.stop();
            fs::remove_file(&path).unwrap();
        }
    }
}

#[test]
fn an_abstract_socket_that_was_bound_before() {
    let name = format!("stannel-handle-{}", std::process::id());
    let address = std::os::unix::net::SocketAddr::from_abstract_name(&name).unwrap();
    let socket = UnixListener::bind_addr(&address).unwrap();
    let mut given = options(2, &[]);
    given.listen_handle(SocketHandle::new(socket));
    let server = Local::start(given);
    assert_eq!(server.addresses[0].to_string(), format!("http://unix:@{name}"));
    let response = ask_over_unix(UnixStream::connect_addr(&address).unwrap());
    assert!(response.starts_with("HTTP/1.1 200 OK"), "{response}");
    server.stop();
}

/// The error names the descriptor, and its advice is about descriptors.
#[test]
fn descriptors_that_cannot_be_served() {
    let folder = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let connected = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (pair, _other) = UnixStream::pair().unwrap();
    let unbound = |domain| Socket::new(domain, Type::STREAM, None).unwrap();
    let cases = [
        ("a file", SocketHandle::new(fs::File::open("/dev/null").unwrap())),
        ("datagrams", SocketHandle::new(UdpSocket::bind("127.0.0.1:0").unwrap())),
        (
            "Unix datagrams",
            SocketHandle::new(UnixDatagram::bind(folder.path().join("d")).unwrap()),
        ),
        ("a connection", SocketHandle::new(connected)),
        ("a pair", SocketHandle::new(pair)),
        ("not bound", SocketHandle::new(unbound(Domain::IPV4))),
        ("not bound, IPv6", SocketHandle::new(unbound(Domain::IPV6))),
        ("not bound, Unix", SocketHandle::new(unbound(Domain::UNIX))),
    ];
    for (what, handle) in cases {
        let name = handle.to_string();
        let mut given = options(1, &[]);
        given.listen_handle(handle.named("web"));
        let error = bind(given).unwrap_err();
        assert!(matches!(error, BindError::Refused { .. }), "{what}: {error}");
        let text = error.to_string();
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].contains(&name), "{what}: {text}");
        assert_eq!(lines.len(), 2, "{what}: {text}");
        assert_eq!(
            lines[1], "hand over a stream socket that is bound to a TCP address or named as a Unix socket",
            "{what}"
        );
    }
}

/// The kernel holds back who says nothing, and nobody who has something to say.
#[cfg(feature = "defer-accept")]
#[test]
fn a_deferred_connection_is_seen_with_its_first_bytes() {
    let mut options = options(1, &["http://127.0.0.1:0"]);
    options.defer_accept = 30;
    let server = Local::start(options);
    let address = server.address();
    let mut silent = Client::connect(address);
    let mut eager = Client::connect(address);
    assert_eq!(eager.get("/").status, 200);
    // The one before it in the queue was not shown.
    assert_eq!(server.handle.metrics().total().accepted_connections, 1);
    assert_eq!(silent.get("/").status, 200);
    assert_eq!(server.handle.metrics().total().accepted_connections, 2);
    // A stop does not wait for somebody who was never shown.
    let _held_back = Client::connect(address);
    server.stop();
}
