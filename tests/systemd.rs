//! Sockets and news between systemd and the server, with this test in systemd's place.

#![cfg(feature = "systemd")]

#[path = "support/client.rs"]
mod client;
#[path = "support/ending.rs"]
mod ending;

use client::{Client, PATIENCE, ask_over_unix};
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::process::{Child, ChildStdout, Command, Stdio};
use tempfile::TempDir;

/// The command, started by a shell that gives it descriptors from 3 on.
struct Unit {
    child: Child,
    stdout: BufReader<ChildStdout>,
    news: UnixDatagram,
    _folder: TempDir,
}

impl Unit {
    /// `first` becomes descriptor 3 and `second` 4; a shell can only be given its standard ones.
    fn start(first: Option<OwnedFd>, second: Option<OwnedFd>, variables: &[(&str, &str)], arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("notify");
        let news = UnixDatagram::bind(&socket).unwrap();
        news.set_read_timeout(Some(PATIENCE)).unwrap();
        let script = "exec 3<&0 4<&2 0</dev/null 2>/dev/null; LISTEN_PID=$$ exec \"$0\" \"$@\"";
        let mut child = Command::new("sh")
            .args(["-c", script, env!("CARGO_BIN_EXE_stannel")])
            .args(arguments)
            .env("NOTIFY_SOCKET", &socket)
            .envs(variables.iter().copied())
            .stdin(first.map_or_else(Stdio::null, Stdio::from))
            .stderr(second.map_or_else(Stdio::null, Stdio::from))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        Self {
            stdout: BufReader::new(child.stdout.take().unwrap()),
            child,
            news,
            _folder: folder,
        }
    }

    fn url(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        line.trim_end().strip_prefix("Now listening on: ").unwrap().to_owned()
    }

    /// Waits for a message that has this line.
    fn wait_for(&self, news: &str) {
        let mut buffer = [0; 512];
        loop {
            let count = self.news.recv(&mut buffer).expect(news);
            if String::from_utf8_lossy(&buffer[..count])
                .lines()
                .any(|line| line == news)
            {
                return;
            }
        }
    }

    fn signal(&self, name: &str) {
        ending::signal(&self.child, name);
    }

    fn stop(mut self) {
        self.signal("TERM");
        self.wait_for("STOPPING=1");
        assert_eq!(ending::exit_code(&mut self.child), Some(0));
    }
}

impl Drop for Unit {
    fn drop(&mut self) {
        let _ = self.child.kill();
    }
}

#[test]
fn sockets_are_taken_over_and_stay_systemds() {
    for workers in ["--Kestrel:Workers=1", "--Kestrel:Workers=3"] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("app.sock");
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = tcp.local_addr().unwrap();
        let unix = UnixListener::bind(&path).unwrap();
        // systemd keeps its own.
        let (tcp_copy, unix_copy) = (tcp.try_clone().unwrap(), unix.try_clone().unwrap());
        let variables = [("LISTEN_FDS", "2"), ("LISTEN_FDNAMES", "web:admin")];
        let mut unit = Unit::start(Some(tcp_copy.into()), Some(unix_copy.into()), &variables, &[workers]);
        assert_eq!(unit.url(), format!("http://{address}"));
        assert_eq!(unit.url(), format!("http://unix:{}", path.display()));
        unit.wait_for("READY=1");
        for _ in 0..6 {
            assert_eq!(Client::connect(address).get("/").status, 200);
        }
        let response = ask_over_unix(UnixStream::connect(&path).unwrap());
        assert!(response.starts_with("HTTP/1.1 200 OK"), "{response}");
        unit.stop();
        // The next one has the same sockets.
        assert!(path.exists());
        let mut unit = Unit::start(Some(tcp.into()), Some(unix.into()), &variables, &[workers]);
        assert_eq!(unit.url(), format!("http://{address}"));
        assert_eq!(Client::connect(address).get("/").status, 200);
        unit.stop();
    }
}

#[test]
fn without_sockets_the_usual_endpoints_are_served() {
    let mut unit = Unit::start(None, None, &[], &["--urls=http://127.0.0.1:0"]);
    assert!(unit.url().starts_with("http://127.0.0.1:"));
    unit.wait_for("READY=1");
    unit.stop();
}

#[test]
fn what_is_no_socket_is_refused() {
    let file = std::fs::File::open("/dev/zero").unwrap();
    let mut unit = Unit::start(Some(file.into()), None, &[("LISTEN_FDS", "1")], &[]);
    assert_eq!(ending::exit_code(&mut unit.child), Some(1));
}

#[test]
fn systemd_hears_of_reloads_and_that_the_server_lives() {
    let arguments = ["--urls=http://127.0.0.1:0", "--Kestrel:Workers=2"];
    let mut unit = Unit::start(None, None, &[("WATCHDOG_USEC", "200000")], &arguments);
    unit.url();
    unit.wait_for("READY=1");
    for _ in 0..3 {
        unit.wait_for("WATCHDOG=1");
    }
    unit.signal("HUP");
    unit.wait_for("RELOADING=1");
    unit.wait_for("READY=1");
    unit.wait_for("WATCHDOG=1");
    unit.stop();
}
