//! Endpoints of servers that are processes of their own: whose address it is, the mode of a Unix socket's file, and what
//! a process leaves that was killed.
#![forbid(unsafe_code)]
// Servers are asked to stop by a signal.
#![cfg(all(feature = "signals", feature = "config"))]

#[path = "support/client.rs"]
mod client;
#[path = "support/ports.rs"]
mod ports;
#[path = "support/process.rs"]
mod process;

use client::{Client, ask_over_unix};
use ports::free_ports;
use process::{Process, run_stannel};
use stannel::{BindError, BoundServer, Exchange, Request, Server, ServerOptions, StatusCode};
use std::fs;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};

fn bind(url: &str) -> Result<BoundServer, BindError> {
    let mut options = ServerOptions::default();
    options.listen_url(url).unwrap();
    let hello = |_: &Request<'_>, exchange: Exchange<'_>| exchange.respond(StatusCode::OK).send("hello");
    Server::new(options, move || hello).bind()
}

fn url_of(path: &Path) -> String {
    format!("http://unix:{}", path.display())
}

/// An endpoint on that path.
fn endpoint(path: &Path) -> String {
    format!("--Kestrel:Endpoints:A:Url={}", url_of(path))
}

const REPLACE: &str = "--Kestrel:Endpoints:A:ReplaceStaleSocket=true";

fn serves(path: &Path) {
    let response = ask_over_unix(UnixStream::connect(path).unwrap());
    assert!(response.starts_with("HTTP/1.1 200 OK"), "{response}");
}

/// A socket's file whose server was killed.
fn leave_stale(path: &Path) {
    let mut killed = Process::stannel(&[&endpoint(path)]);
    killed.url();
    drop(killed);
    assert!(fs::symlink_metadata(path).unwrap().file_type().is_socket());
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn a_name_below_localhost_has_two_lines() {
    let [port] = free_ports();
    let mut server = Process::stannel(&[&format!("--urls=http://app.localhost:{port}")]);
    assert_eq!(server.url(), format!("http://app.localhost:{port}"));
    assert_eq!(server.url(), format!("http://localhost:{port}"));
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    assert_eq!(Client::connect(address).get("/").status, 200);
    server.stop();
}

#[test]
fn another_process_is_named_for_each_kind() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("with a space.sock");
    let [port] = free_ports();
    let urls = [
        format!("http://127.0.0.1:{port}"),
        url_of(&path),
        format!("http://unix:@stannel-owner-{}", std::process::id()),
    ];
    // Somebody else on the same port of another address is not the one.
    let _other = TcpListener::bind((Ipv4Addr::new(127, 0, 0, 2), port)).unwrap();
    let mut server = Process::stannel(&[&format!("--urls={}", urls.join(";"))]);
    for _ in &urls {
        server.url();
    }
    for url in &urls {
        match bind(url) {
            Err(BindError::AddressInUse { endpoint, owner }) => {
                assert!(endpoint.starts_with(&format!("{url} (")), "{endpoint}");
                assert_eq!(owner, Some(format!("stannel (process {})", server.id())), "{url}");
            }
            other => panic!("{url}: {other:?}"),
        }
        let (code, errors) = run_stannel(&[&format!("--urls={url}")]);
        assert_eq!(code, Some(1));
        let first = format!(
            "stannel: cannot bind {url} (from urls on the command line): address in use by stannel (process {})",
            server.id()
        );
        assert_eq!(errors.lines().next(), Some(first.as_str()), "{errors}");
    }
    server.stop();
}

/// The system does not show what other users' processes have open.
#[test]
fn an_owner_that_cannot_be_looked_into_is_not_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", taken.local_addr().unwrap());
    let output = Command::new("setpriv")
        .args(["--clear-groups", "--reuid=65534", "--bounding-set=-all"])
        .arg(env!("CARGO_BIN_EXE_stannel"))
        .arg(format!("--urls={url}"))
        .current_dir("/")
        .stdin(Stdio::null())
        .output();
    let text = match &output {
        Ok(output) => String::from_utf8_lossy(&output.stderr).into_owned(),
        Err(error) if error.kind() == ErrorKind::NotFound => "setpriv: it is not there".to_owned(),
        Err(error) => panic!("{error}"),
    };
    if text.starts_with("setpriv: ") {
        println!("skipped: {text}");
        return;
    }
    assert_eq!(output.unwrap().status.code(), Some(1), "{text}");
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(
        lines,
        [
            format!("stannel: cannot bind {url} (from urls on the command line): address in use").as_str(),
            "stop the server that listens there, or choose another port",
        ]
    );
}

#[test]
fn the_mode_is_that_of_the_option_or_what_the_umask_leaves() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("with a space.sock");
    let url = endpoint(&path);
    for (umask, option, expected) in [
        ("0077", None, 0o700),
        ("0027", None, 0o750),
        ("0027", Some("0666"), 0o666),
        ("0777", Some("0660"), 0o660),
        ("0000", Some("0600"), 0o600),
    ] {
        let option = option.map(|mode| format!("--Kestrel:Endpoints:A:SocketMode={mode}"));
        let arguments: Vec<&str> = [Some(url.as_str()), option.as_deref()].into_iter().flatten().collect();
        let mut server = Process::stannel_with_umask(umask, &arguments);
        assert_eq!(server.url(), url_of(&path));
        assert_eq!(mode(&path), expected, "{umask} {option:?}");
        serves(&path);
        server.stop();
        assert!(!path.exists(), "it is removed at an orderly stop");
    }
}

#[test]
fn of_processes_that_replace_a_stale_socket_together_one_serves() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s");
    let url = endpoint(&path);
    let arguments = [url.as_str(), REPLACE];
    for _ in 0..4 {
        leave_stale(&path);
        let processes: Vec<Process> = (0..8).map(|_| Process::stannel(&arguments)).collect();
        let mut serving = Vec::new();
        for mut process in processes {
            match process.try_url() {
                Some(_) => serving.push(process),
                None => {
                    assert_eq!(process.exit_code(), Some(1));
                    let errors = process.errors();
                    assert!(errors.contains("address in use"), "{errors}");
                }
            }
        }
        assert_eq!(serving.len(), 1);
        serves(&path);
        serving.remove(0).stop();
        assert!(!path.exists());
    }
}

#[test]
fn what_a_killed_server_leaves_is_replaced_only_when_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s");
    leave_stale(&path);
    let (code, errors) = run_stannel(&[&endpoint(&path)]);
    assert_eq!(code, Some(1));
    assert!(errors.contains("address in use\n"), "{errors}");
    let mut server = Process::stannel(&[&endpoint(&path), REPLACE]);
    server.url();
    serves(&path);
    let (code, errors) = run_stannel(&[&endpoint(&path), REPLACE]);
    assert_eq!(code, Some(1));
    let owner = format!("address in use by stannel (process {})", server.id());
    assert!(errors.contains(&owner), "{errors}");
    serves(&path);
    server.stop();
    assert!(!path.exists());
}

#[test]
fn an_abstract_socket_has_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let name = format!("stannel-process-{}", std::process::id());
    let url = format!("http://unix:@{name}");
    let mut server = Process::stannel_in(folder.path(), &[&format!("--urls={url}")]);
    assert_eq!(server.url(), url);
    let address = std::os::unix::net::SocketAddr::from_abstract_name(&name).unwrap();
    let response = ask_over_unix(UnixStream::connect_addr(&address).unwrap());
    assert!(response.starts_with("HTTP/1.1 200 OK"), "{response}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    server.stop();
    UnixStream::connect_addr(&address).unwrap_err();
}
