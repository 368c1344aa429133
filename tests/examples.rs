//! The examples that are about endpoints and configuration, each as a program of its own with a real client.

#![cfg(all(feature = "config", feature = "systemd", feature = "signals"))]

#[path = "support/client.rs"]
mod client;
#[path = "support/ending.rs"]
mod ending;
#[path = "support/program.rs"]
mod program;

use client::{Client, PATIENCE};
use program::program;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

struct Example {
    child: Child,
    stdout: BufReader<ChildStdout>,
}

impl Example {
    fn start(name: &str, folder: &Path, arguments: &[&str]) -> Self {
        Self::spawn(Command::new(program(name)).args(arguments).stdin(Stdio::null()), folder)
    }

    fn spawn(command: &mut Command, folder: &Path) -> Self {
        let mut child = command.current_dir(folder).stdout(Stdio::piped()).spawn().unwrap();
        Self {
            stdout: BufReader::new(child.stdout.take().unwrap()),
            child,
        }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// The next line that begins so. On a slow machine the same file may be told of twice: when it was seen to have
    /// changed, and when it was asked for.
    fn wait_for(&mut self, beginning: &str) -> String {
        loop {
            let line = self.line();
            assert!(!line.is_empty(), "the end instead of {beginning:?}");
            if line.starts_with(beginning) {
                return line;
            }
        }
    }

    fn url(&mut self) -> String {
        let line = self.line();
        line.strip_prefix("Now listening on: ")
            .unwrap_or_else(|| panic!("{line}"))
            .to_owned()
    }

    fn get(url: &str) -> String {
        let address = url.strip_prefix("http://").unwrap().parse().unwrap();
        Client::connect(address).get("/").text().to_owned()
    }

    fn signal(&self, name: &str) {
        ending::signal(&self.child, name);
    }

    fn stop(mut self) {
        self.signal("TERM");
        assert_eq!(ending::exit_code(&mut self.child), Some(0));
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        let _ = self.child.kill();
    }
}

#[test]
fn config_file() {
    let folder = tempfile::tempdir().unwrap();
    let text = r#"{
      "Greeting": "Hello",
      "Kestrel": { "Endpoints": {
        "Public": { "Url": "http://127.0.0.1:0" },
        "Admin": { "Url": "http://127.0.0.1:0", "OnlyFrom": "192.0.2.1" }
      } }
    }"#;
    fs::write(folder.path().join("appsettings.json"), text).unwrap();
    let mut example = Example::start("config_file", folder.path(), &["--Greeting=Hi"]);
    // In the order of their names.
    let (admin, public) = (example.url(), example.url());
    assert_eq!(Example::get(&public), "Hi, World!");
    let mut refused = Client::connect(admin.strip_prefix("http://").unwrap().parse().unwrap());
    assert!(refused.try_response().is_none());
    example.stop();
    let own = "--Kestrel:Endpoints:Admin:OnlyFrom=127.0.0.1";
    let mut example = Example::start("config_file", folder.path(), &[own]);
    assert_eq!(Example::get(&example.url()), "Hello, World!");
    example.stop();
}

#[test]
fn unix_socket() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.sock");
    // One that a server left behind.
    drop(UnixListener::bind(&path).unwrap());
    let mut example = Example::start("unix_socket", folder.path(), &[path.to_str().unwrap()]);
    assert_eq!(example.url(), format!("http://unix:{}", path.display()));
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
    let mut stream = UnixStream::connect(&path).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(b"GET /x HTTP/1.0\r\n\r\n").unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    assert!(response.ends_with("You asked for /x\n"), "{response}");
    example.stop();
    assert!(!path.exists());
}

#[test]
fn systemd() {
    // What systemd does: the socket is descriptor 3, and the variables say so. A shell can only be given its standard ones.
    let script = "exec 3<&0 0</dev/null; LISTEN_PID=$$ LISTEN_FDS=1 exec \"$0\"";
    let folder = tempfile::tempdir().unwrap();
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let mut command = Command::new("sh");
    command.args(["-c", script]).arg(program("systemd"));
    let mut example = Example::spawn(command.stdin(Stdio::from(OwnedFd::from(socket))), folder.path());
    assert_eq!(example.url(), format!("http://{address}"));
    assert_eq!(Example::get(&format!("http://{address}")), "Hello, World!\n");
    example.stop();
}

#[test]
fn reload() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("appsettings.json");
    let with = |names: &[&str]| {
        let endpoints: Vec<String> = names
            .iter()
            .map(|name| format!("\"{name}\": {{ \"Url\": \"http://127.0.0.1:0\" }}"))
            .collect();
        format!("{{ \"Kestrel\": {{ \"Endpoints\": {{ {} }} }} }}", endpoints.join(", "))
    };
    fs::write(&file, with(&["A"])).unwrap();
    let mut example = Example::start("reload", folder.path(), &[]);
    let first = example.url();
    assert_eq!(Example::get(&first), "Hello, World!\n");
    // The file by itself, which is looked at again and again.
    fs::write(&file, with(&["A", "B"])).unwrap();
    example.wait_for("stopped [], started [\"http://127.0.0.1:");
    // A signal.
    fs::write(&file, "{").unwrap();
    example.signal("HUP");
    let told = example.wait_for("nothing was changed: ");
    assert!(told.contains("appsettings.json:1:"), "{told}");
    // A request: `ServerHandle::reload`.
    fs::write(&file, with(&["A"])).unwrap();
    let address = first.strip_prefix("http://").unwrap().parse().unwrap();
    assert_eq!(Client::connect(address).get("/reload").text(), "Hello, World!\n");
    example.wait_for("stopped [\"http://127.0.0.1:");
    // Whoever stays is not touched.
    assert_eq!(Example::get(&first), "Hello, World!\n");
    example.stop();
}

/// Runs commands in the folder; `None` where a program is not there that the examples with HTTPS need.
#[cfg(feature = "pfx")]
fn shell(folder: &Path, commands: &str) -> Option<String> {
    for program in ["openssl", "curl"] {
        if Command::new(program).arg("--version").output().is_err() {
            println!("skipped: there is no {program} here");
            return None;
        }
    }
    let output = Command::new("sh")
        .args(["-c", commands])
        .current_dir(folder)
        .output()
        .unwrap();
    Some(String::from_utf8(output.stdout).unwrap())
}

/// A certificate for a name that signed itself.
#[cfg(feature = "pfx")]
fn certificate(file: &str, name: &str) -> String {
    format!(
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout {file}.key -out {file}.pem -days 30 \
         -subj /CN={name} -addext subjectAltName=DNS:{name}\n"
    )
}

#[cfg(feature = "pfx")]
#[test]
fn https_pfx() {
    let folder = tempfile::tempdir().unwrap();
    let export = "openssl pkcs12 -export -in site.pem -inkey site.key -out site.pfx -passout pass:secret";
    if shell(folder.path(), &(certificate("site", "localhost") + export)).is_none() {
        return;
    }
    let mut command = Command::new(program("https_pfx"));
    command
        .args(["site.pfx", "0"])
        .env("PFX_PASSWORD", "secret")
        .stdin(Stdio::null());
    let mut example = Example::spawn(&mut command, folder.path());
    let url = example.url();
    let answer = shell(folder.path(), &format!("curl -s --cacert site.pem {url}"));
    assert_eq!(answer.as_deref(), Some("Hello over TLSv1.3\n"));
    example.stop();
}

#[cfg(feature = "pfx")]
#[test]
fn sni() {
    let folder = tempfile::tempdir().unwrap();
    let certificates = certificate("one", "one.example") + &certificate("two", "two.example");
    if shell(folder.path(), &certificates).is_none() {
        return;
    }
    let mut example = Example::start("sni", folder.path(), &["0"]);
    let url = example.url();
    let port = url.rsplit(':').next().unwrap();
    let ask = |trusted: &str, name: &str, own: &str| {
        let resolve = format!("--resolve {name}.example:{port}:127.0.0.1");
        let curl = format!(
            "curl -s -w '%{{http_code}}' --cacert {trusted}.pem {resolve} {own} https://{name}.example:{port}/"
        );
        shell(folder.path(), &curl).unwrap()
    };
    assert_eq!(ask("one", "one", ""), "This is one.example\n200");
    assert_eq!(ask("two", "two", ""), "This is two.example\n200");
    assert_eq!(ask("two", "two", "-H 'Host: one.example'"), "421");
    // Another certificate, and no connection at all.
    assert_eq!(ask("one", "two", ""), "000");
    assert_eq!(ask("one", "three", "--insecure"), "000");
    example.stop();
}

#[cfg(feature = "pfx")]
#[test]
fn mtls() {
    let folder = tempfile::tempdir().unwrap();
    // The commands of docs/https.md.
    let page = include_str!("../docs/https.md");
    let (_, commands) = page
        .split_once("An authority and a client to try it with:\n\n```sh\n")
        .unwrap();
    let (commands, _) = commands.split_once("curl ").unwrap();
    let stranger = certificate("stranger", "stranger");
    if shell(
        folder.path(),
        &(certificate("site", "localhost") + commands + &stranger),
    )
    .is_none()
    {
        return;
    }
    let mut example = Example::start("mtls", folder.path(), &["clients-ca.pem", "site.pem", "site.key", "0"]);
    let url = example.url();
    let ask = |own: &str| {
        let curl = format!("curl -s -w '%{{http_code}}' --cacert site.pem {own} {url}");
        shell(folder.path(), &curl).unwrap()
    };
    assert_eq!(ask("--cert alice.pem --key alice.key"), "Hello, alice\n200");
    assert_eq!(ask(""), "000");
    assert_eq!(ask("--cert stranger.pem --key stranger.key"), "000");
    example.stop();
}
