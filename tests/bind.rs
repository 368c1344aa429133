//! Binding endpoints with real sockets: what keeps whom out, what is left behind, and what is reported.

#[path = "support/client.rs"]
mod client;

use client::{Client, PATIENCE};
use stannel::{
    BindError, Binding, BoundServer, Exchange, ListenOptions, Request, Server, ServerOptions, SocketHandle, StatusCode,
};
use std::fs;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Command, Stdio};

const V4: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const V6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);
const ANY_V4: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
const ANY_V6: IpAddr = IpAddr::V6(Ipv6Addr::UNSPECIFIED);

fn bind(options: ServerOptions) -> Result<BoundServer, BindError> {
    let hello = |_: &Request<'_>, exchange: Exchange<'_>| exchange.respond(StatusCode::OK).send("hello");
    Server::new(options, move || hello).bind()
}

fn options(configure: impl FnOnce(&mut ServerOptions)) -> ServerOptions {
    let mut options = ServerOptions::default();
    options.workers = "2".parse().ok();
    configure(&mut options);
    options
}

/// Runs a server for as long as `with` lasts.
fn served(server: BoundServer, with: impl FnOnce(&BoundAddresses)) {
    let addresses = BoundAddresses(server.addresses().to_vec());
    let handle = server.handle();
    let running = std::thread::spawn(move || server.run().unwrap());
    with(&addresses);
    handle.shutdown();
    running.join().unwrap();
}

struct BoundAddresses(Vec<stannel::BoundAddress>);

fn get_unix(mut stream: UnixStream) -> String {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    response
}

/// A kind of endpoint on a port.
type Listen = fn(&mut ServerOptions, u16) -> &mut ListenOptions;

#[test]
fn addresses_that_overlap_keep_each_other_out() {
    let localhost: Listen = |options, port| options.listen_localhost(port);
    let any: Listen = |options, port| options.listen_any_ip(port);
    let v4: Listen = |options, port| options.listen(V4, port);
    let v6: Listen = |options, port| options.listen(V6, port);
    let any_v4: Listen = |options, port| options.listen(ANY_V4, port);
    let any_v6: Listen = |options, port| options.listen(ANY_V6, port);
    for (first, second) in [
        (localhost, v4),
        (localhost, v6),
        (localhost, any),
        (v4, any),
        (any_v4, any_v6),
        (any_v4, localhost),
        (any, any),
    ] {
        for (first, second) in [(first, second), (second, first)] {
            // By two servers, and by one.
            let one = bind(options(|options| {
                first(options, 0);
            }))
            .unwrap();
            let port = one.addresses()[0].port().unwrap();
            let refused = bind(options(|options| {
                second(options, port);
            }));
            assert!(matches!(refused, Err(BindError::AddressInUse { .. })), "{refused:?}");
            drop(one);
            let both = bind(options(|options| {
                first(options, port);
                second(options, port);
            }));
            let error = both.unwrap_err().to_string();
            assert!(error.contains("this server itself"), "{error}");
        }
    }
}

#[test]
fn a_bind_that_fails_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.sock");
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let failed = bind(options(|options| {
        options.listen(V4, free);
        options.listen_unix_socket(&path);
        options.listen(V4, taken.local_addr().unwrap().port());
    }));
    assert!(matches!(failed, Err(BindError::AddressInUse { .. })));
    assert!(!path.exists());
    assert!(
        bind(options(|options| {
            options.listen(V4, free);
        }))
        .is_ok()
    );
}

#[test]
fn every_port_0_is_reported_and_served() {
    let server = bind(options(|options| {
        options.listen(V4, 0);
        options.listen(V6, 0);
        options.listen_any_ip(0);
        options.listen_localhost(0);
        options.listen_url("http://app.localhost:0").unwrap();
        options.listen_url("http://example.org:0").unwrap();
    }))
    .unwrap();
    served(server, |addresses| {
        let texts: Vec<String> = addresses.0.iter().map(ToString::to_string).collect();
        for (text, start) in texts.iter().zip([
            "http://127.0.0.1:",
            "http://[::1]:",
            "http://[::]:",
            "http://localhost:",
            "http://app.localhost:",
            "http://[::]:",
        ]) {
            assert!(text.starts_with(start) && !text.ends_with(":0"), "{text}");
        }
        let ports: Vec<u16> = addresses.0.iter().filter_map(stannel::BoundAddress::port).collect();
        for (address, port) in addresses.0.iter().zip(&ports) {
            for target in address.socket_addrs() {
                assert_eq!(target.port(), *port);
                let ip = match target.ip() {
                    ip if ip.is_unspecified() => V4,
                    ip => ip,
                };
                assert_eq!(
                    Client::connect(SocketAddr::new(ip, *port)).get("/").status,
                    200,
                    "{address}"
                );
            }
        }
        assert_eq!(addresses.0[3].socket_addrs().len(), 2);
        let lines: Vec<String> = addresses.0[4].lines().collect();
        assert_eq!(
            lines,
            [
                format!("Now listening on: http://app.localhost:{}", ports[4]),
                format!("Now listening on: http://localhost:{}", ports[4]),
            ]
        );
    });
}

#[test]
fn any_takes_both_families_and_a_literal_only_its_own() {
    let server = bind(options(|options| {
        options.listen_any_ip(0);
        options.listen(ANY_V4, 0);
        options.listen(ANY_V6, 0);
        options.listen(V6, 0);
    }))
    .unwrap();
    served(server, |addresses| {
        let reach = |index: usize, ip| {
            let port = addresses.0[index].port().unwrap();
            TcpStream::connect(SocketAddr::new(ip, port)).is_ok()
        };
        assert!(reach(0, V4) && reach(0, V6));
        assert!(reach(1, V4) && !reach(1, V6));
        assert!(reach(2, V4) && reach(2, V6));
        assert!(!reach(3, V4) && reach(3, V6));
    });
}

#[test]
fn the_file_of_a_unix_socket_has_its_rights_and_goes_with_the_server() {
    let folder = tempfile::tempdir().unwrap();
    for mode in [0o600, 0o660, 0o777] {
        let path = folder.path().join("app.sock");
        let server = bind(options(|options| {
            options.listen_unix_socket(&path).socket_mode = Some(mode);
        }))
        .unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, mode);
        served(server, |_| {
            assert!(get_unix(UnixStream::connect(&path).unwrap()).starts_with("HTTP/1.1 200"));
        });
        assert!(!path.exists());
    }
}

#[test]
fn a_file_that_somebody_else_put_there_stays() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.sock");
    let server = bind(options(|options| {
        options.listen_unix_socket(&path);
    }))
    .unwrap();
    fs::remove_file(&path).unwrap();
    let successor = UnixListener::bind(&path).unwrap();
    served(server, |_| ());
    assert!(path.exists());
    drop(successor);
}

fn replaces(path: &Path) -> Result<BoundServer, BindError> {
    bind(options(|options| {
        options.listen_unix_socket(path).replace_stale_socket = true;
    }))
}

#[test]
fn only_a_socket_on_which_nobody_listens_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let dead = folder.path().join("dead.sock");
    drop(UnixListener::bind(&dead).unwrap());
    served(replaces(&dead).unwrap(), |_| {
        assert!(get_unix(UnixStream::connect(&dead).unwrap()).starts_with("HTTP/1.1 200"));
    });

    let live = folder.path().join("live.sock");
    let listener = UnixListener::bind(&live).unwrap();
    assert!(matches!(replaces(&live), Err(BindError::AddressInUse { .. })));
    assert!(UnixStream::connect(&live).is_ok());
    drop(listener);

    let file = folder.path().join("file");
    fs::write(&file, "precious").unwrap();
    let link = folder.path().join("link");
    std::os::unix::fs::symlink(&file, &link).unwrap();
    let sub_folder = folder.path().join("folder");
    fs::create_dir(&sub_folder).unwrap();
    for path in [&file, &link, &sub_folder] {
        assert!(
            matches!(replaces(path), Err(BindError::AddressInUse { .. })),
            "{}",
            path.display()
        );
        assert!(fs::symlink_metadata(path).is_ok());
    }
    assert_eq!(fs::read_to_string(&file).unwrap(), "precious");
}

/// All want to replace the same leftover at the same time: one of them serves, and it is the one that can be reached.
#[test]
fn of_servers_that_start_together_one_has_the_path() {
    for _ in 0..20 {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("app.sock");
        drop(UnixListener::bind(&path).unwrap());
        let begin = std::sync::Barrier::new(8);
        let servers: Vec<Option<BoundServer>> = std::thread::scope(|scope| {
            let starts: Vec<_> = (0..8)
                .map(|_| {
                    scope.spawn(|| {
                        begin.wait();
                        replaces(&path).ok()
                    })
                })
                .collect();
            starts.into_iter().map(|start| start.join().unwrap()).collect()
        });
        let mut servers: Vec<BoundServer> = servers.into_iter().flatten().collect();
        assert_eq!(servers.len(), 1);
        served(servers.pop().unwrap(), |_| {
            assert!(get_unix(UnixStream::connect(&path).unwrap()).starts_with("HTTP/1.1 200"));
        });
    }
}

#[test]
fn abstract_sockets_have_no_file() {
    let name = format!("stannel-test-{}", std::process::id());
    let url = format!("http://unix:@{name}");
    let listen = |options: &mut ServerOptions| {
        options.listen_url(&url).unwrap();
    };
    let server = bind(options(listen)).unwrap();
    assert_eq!(server.addresses()[0].to_string(), url);
    assert!(matches!(bind(options(listen)), Err(BindError::AddressInUse { .. })));
    served(server, |_| {
        let address = std::os::unix::net::SocketAddr::from_abstract_name(&name).unwrap();
        assert!(get_unix(UnixStream::connect_addr(&address).unwrap()).starts_with("HTTP/1.1 200"));
    });
}

#[test]
fn handles_of_every_sort_are_taken_over_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.sock");
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = tcp.local_addr().unwrap();
    let unix = UnixListener::bind(&path).unwrap();
    let inode = fs::metadata(&path).unwrap().ino();
    // Bound, and nobody listens yet.
    let silent = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    silent.bind(&SocketAddr::new(V4, 0).into()).unwrap();
    let silent_address = silent.local_addr().unwrap().as_socket().unwrap();
    let server = bind(options(|options| {
        options.listen_handle(SocketHandle::new(tcp.try_clone().unwrap()));
        options.listen_handle(SocketHandle::new(unix.try_clone().unwrap()).named("admin"));
        options.listen_handle(SocketHandle::new(silent));
    }))
    .unwrap();
    served(server, |addresses| {
        let texts: Vec<String> = addresses.0.iter().map(ToString::to_string).collect();
        let unix_url = format!("http://unix:{}", path.display());
        assert_eq!(
            texts,
            [
                format!("http://{address}"),
                unix_url,
                format!("http://{silent_address}")
            ]
        );
        assert!(matches!(addresses.0[1].binding(), Binding::Unix(_)));
        for _ in 0..6 {
            assert_eq!(Client::connect(address).get("/").status, 200);
            assert_eq!(Client::connect(silent_address).get("/").status, 200);
            assert!(get_unix(UnixStream::connect(&path).unwrap()).starts_with("HTTP/1.1 200"));
        }
    });
    // Whoever handed them over goes on using them.
    assert_eq!(fs::metadata(&path).unwrap().ino(), inode);
    let client = TcpStream::connect(address).unwrap();
    tcp.set_nonblocking(false).unwrap();
    assert_eq!(tcp.accept().unwrap().1, client.local_addr().unwrap());
    drop(unix);
}

#[test]
fn a_handle_that_is_no_socket_is_refused_by_name() {
    let file = fs::File::open("/dev/null").unwrap();
    let error = bind(options(|options| {
        options.listen_handle(SocketHandle::new(file));
    }))
    .unwrap_err();
    assert!(error.to_string().contains("<descriptor "), "{error}");
}

/// Link-local addresses are bound with their zone, and shown without.
#[test]
fn a_zone_is_bound_and_not_shown() {
    let addresses = fs::read_to_string("/proc/net/if_inet6").unwrap_or_default();
    let link_local = addresses.lines().find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let bits = u128::from_str_radix(fields.first()?, 16).ok()?;
        let address = Ipv6Addr::from_bits(bits);
        (address.segments()[0] == 0xfe80).then(|| (address, fields.last().copied().unwrap_or_default().to_owned()))
    });
    let Some((address, interface)) = link_local else {
        println!("skipped: no interface has a link-local address here");
        return;
    };
    let server = bind(options(|options| {
        options
            .listen_url(&format!("http://[{address}%{interface}]:0"))
            .unwrap();
    }))
    .unwrap();
    served(server, |addresses| {
        let target = addresses.0[0].socket_addrs()[0];
        assert_eq!(
            addresses.0[0].to_string(),
            format!("http://[{address}]:{}", target.port())
        );
        assert_eq!(Client::connect(target).get("/").status, 200);
    });
}

/// Of a process that nobody may look into, only that it is there can be told.
#[test]
fn an_owner_that_cannot_be_seen_is_left_out() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("--urls=http://{}", listener.local_addr().unwrap());
    let as_nobody = Command::new("setpriv")
        .args([
            "--clear-groups",
            "--reuid=65534",
            "--regid=65534",
            env!("CARGO_BIN_EXE_stannel"),
            &url,
        ])
        .current_dir("/")
        .stdin(Stdio::null())
        .output();
    match as_nobody {
        Ok(output) => {
            let text = String::from_utf8(output.stderr).unwrap();
            if output.status.code() != Some(1) || text.starts_with("setpriv: ") {
                println!("skipped: {text}");
                return;
            }
            assert!(text.contains("address in use\nstop the server"), "{text}");
        }
        Err(error) => println!("skipped: setpriv: {error}"),
    }
}
