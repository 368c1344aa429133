//! The `stannel` command as a program: what it prints, what it serves, how it ends.

// Without signals there is no orderly end to wait for.
#![cfg(feature = "signals")]

#[path = "support/client.rs"]
mod client;
#[path = "support/ending.rs"]
mod ending;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::process::{Child, ChildStderr, ChildStdout, Command, Output, Stdio};
use std::thread;
#[cfg(feature = "config")]
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A running command; it is killed when the test ends before it does.
struct Running {
    child: Child,
    stdout: BufReader<ChildStdout>,
    stderr: ChildStderr,
}

impl Running {
    fn start(arguments: &[&str]) -> Self {
        let mut child = stannel(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Self {
            stdout: BufReader::new(child.stdout.take().unwrap()),
            stderr: child.stderr.take().unwrap(),
            child,
        }
    }

    /// The address in the next line.
    fn address(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        match line.trim_end().strip_prefix("Now listening on: ") {
            Some(address) => address.to_owned(),
            None => panic!("no address in {line:?}: {}", self.errors()),
        }
    }

    /// Asks it to stop, waits until it has; its exit code.
    fn stop(&mut self) -> Option<i32> {
        self.signal("TERM");
        ending::exit_code(&mut self.child)
    }

    fn signal(&self, name: &str) {
        ending::signal(&self.child, name);
    }

    /// Everything on standard error; waits for the end.
    fn errors(&mut self) -> String {
        let mut text = String::new();
        self.stderr.read_to_string(&mut text).unwrap();
        text
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn stannel(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stannel"));
    command.args(arguments).env_remove("STANNEL_LOG").stdin(Stdio::null());
    // Without anybody's development certificate.
    command.env("HOME", "/nowhere");
    command
}

fn output(arguments: &[&str]) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = stannel(arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code(), text(stdout), text(stderr))
}

/// The whole response to one request on a connection of its own.
fn get(address: &str, target: &str) -> String {
    let request = format!("GET {target} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    let mut response = String::new();
    match address.strip_prefix("http://unix:") {
        Some(path) => {
            let mut stream = UnixStream::connect(path).unwrap();
            stream.write_all(request.as_bytes()).unwrap();
            stream.read_to_string(&mut response).unwrap();
        }
        None => {
            let mut stream = TcpStream::connect(address.strip_prefix("http://").unwrap()).unwrap();
            stream.write_all(request.as_bytes()).unwrap();
            stream.read_to_string(&mut response).unwrap();
        }
    }
    response
}

fn site() -> TempDir {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("index.html"), "<p>home").unwrap();
    fs::create_dir(folder.path().join("folder")).unwrap();
    fs::write(folder.path().join("folder/file.txt"), "content").unwrap();
    folder
}

const ANY_PORT: &str = "--urls=http://127.0.0.1:0";

#[test]
fn help_and_version_are_printed_and_nothing_starts() {
    for flag in ["--help", "-h"] {
        let (code, out, err) = output(&["folder-that-is-not-there", flag]);
        assert_eq!((code, err.as_str()), (Some(0), ""));
        assert!(out.contains("Usage: stannel [FOLDER] [OPTIONS]"));
        assert!(out.lines().all(|line| line.len() <= 80));
    }
    let version = format!("stannel {}\n", env!("CARGO_PKG_VERSION"));
    for flag in ["--version", "-V"] {
        assert_eq!(output(&[flag]), (Some(0), version.clone(), String::new()));
    }
}

#[test]
fn a_folder_is_served_until_sigterm() {
    let folder = site();
    let mut server = Running::start(&[folder.path().to_str().unwrap(), ANY_PORT, "--Kestrel:Workers", "2"]);
    let address = server.address();
    assert!(
        address.starts_with("http://127.0.0.1:") && !address.ends_with(":0"),
        "{address}"
    );
    let home = get(&address, "/");
    assert!(
        home.starts_with("HTTP/1.1 200 OK\r\n") && home.ends_with("\r\n\r\n<p>home"),
        "{home}"
    );
    assert!(home.contains("\r\nServer: stannel\r\n"));
    assert!(get(&address, "/folder/file.txt").ends_with("\r\n\r\ncontent"));
    assert!(get(&address, "/folder/").starts_with("HTTP/1.1 404 "));
    assert!(get(&address, "/folder").contains("\r\nlocation: /folder/\r\n"));
    assert_eq!(server.stop(), Some(0));
    assert_eq!(server.errors(), "");
}

#[test]
fn sigint_stops_it_too() {
    let mut server = Running::start(&[ANY_PORT]);
    server.address();
    server.signal("INT");
    assert_eq!(server.child.wait().unwrap().code(), Some(0));
}

#[test]
fn without_a_folder_a_page_says_that_it_works() {
    let mut server = Running::start(&[ANY_PORT, "Kestrel:AddServerHeader=false"]);
    let address = server.address();
    let page = get(&address, "/");
    assert!(
        page.starts_with("HTTP/1.1 200 OK\r\n") && page.contains("<h1>It works</h1>"),
        "{page}"
    );
    assert!(page.contains("\r\ncontent-type: text/html; charset=utf-8\r\n"));
    assert!(!page.contains("\r\nServer:"));
    assert!(get(&address, "/other").starts_with("HTTP/1.1 404 "));
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn folders_are_listed_when_asked() {
    let folder = site();
    let mut server = Running::start(&["--directory-listing", folder.path().to_str().unwrap(), ANY_PORT]);
    let address = server.address();
    assert!(get(&address, "/folder/").contains("<a href=\"file.txt\">file.txt</a>"));
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn several_urls_each_have_their_line() {
    let folder = site();
    let socket = folder.path().join("stannel.sock");
    let socket = socket.to_str().unwrap();
    let urls = format!("http://127.0.0.1:0;http://unix:{socket};http://localhost:0");
    let mut server = Running::start(&["--urls", &urls, "--", folder.path().to_str().unwrap()]);
    let (tcp, unix, localhost) = (server.address(), server.address(), server.address());
    assert_eq!(unix, format!("http://unix:{socket}"));
    assert!(localhost.starts_with("http://localhost:"));
    for address in [tcp, unix, localhost] {
        assert!(get(&address, "/").ends_with("<p>home"), "{address}");
    }
    assert_eq!(server.stop(), Some(0));
    assert!(!fs::exists(socket).unwrap());
}

#[test]
fn a_failure_at_start_is_three_lines_at_most_and_exit_code_1() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken_url = format!("--urls=http://{}", taken.local_addr().unwrap());
    let cases: &[(&[&str], &str)] = &[
        (
            &["/folder/that/is/not/there"],
            "cannot serve the folder /folder/that/is/not/there: ",
        ),
        (&[env!("CARGO_BIN_EXE_stannel")], "cannot serve the folder "),
        (&["a", "b"], "one folder is enough; what is b?"),
        (&["-x"], "cannot understand the argument -x"),
        (&["--urls"], "--urls has no value"),
        (
            &["--urls=https://localhost:5001"],
            "cannot serve https://localhost:5001 (from urls on the command line): no certificate was given",
        ),
        (
            &["--Kestrel:Limits:KeepAliveTimeout=soon"],
            "Kestrel:Limits:KeepAliveTimeout=soon on the command line: expected a time",
        ),
        (
            &["--Kestrel:Limits:MaxRequestLineSize=0"],
            "Kestrel:Limits: max_request_line_size must be greater than zero",
        ),
        (
            &["--ForwardedHeaders:KnownProxies:0=10.0.0.300"],
            "ForwardedHeaders:KnownProxies:0=10.0.0.300 on the command line: expected an IP address, or unix",
        ),
        (&[&taken_url], ""),
        (&["--urls=http://unix:/folder/that/is/not/there/socket"], ""),
    ];
    for (arguments, message) in cases {
        let (code, out, err) = output(arguments);
        assert_eq!((code, out.as_str()), (Some(1), ""), "{arguments:?}");
        assert!(err.starts_with(&format!("stannel: {message}")), "{arguments:?}: {err}");
        assert!((1..=3).contains(&err.lines().count()), "{arguments:?}: {err}");
        assert!(!err.contains("panicked"), "{err}");
    }
}

#[test]
fn unknown_settings_are_warned_of() {
    let mut server = Running::start(&[ANY_PORT, "--Kestrel:Limits:KeepAliveTimeot=5", "--verbosity", "9"]);
    server.address();
    assert_eq!(server.stop(), Some(0));
    assert_eq!(
        server.errors(),
        "stannel: warning: unknown key verbosity on the command line; it is ignored\n\
         stannel: warning: unknown key Kestrel:Limits:KeepAliveTimeot on the command line; did you mean Kestrel:Limits:KeepAliveTimeout?\n"
    );
}

#[test]
fn only_allowed_hosts_are_served() {
    let mut server = Running::start(&[ANY_PORT, "--AllowedHosts=h;localhost:80"]);
    let address = server.address();
    assert!(get(&address, "/").starts_with("HTTP/1.1 200 "));
    assert_eq!(server.stop(), Some(0));
    assert_eq!(
        server.errors(),
        "stannel: warning: AllowedHosts on the command line: localhost:80 matches no host; leave out the port\n"
    );
    let mut server = Running::start(&[ANY_PORT, "--AllowedHosts=example.com"]);
    let address = server.address();
    assert!(get(&address, "/").starts_with("HTTP/1.1 400 "));
    assert_eq!(server.stop(), Some(0));
}

#[cfg(feature = "config")]
#[test]
fn allowed_hosts_are_read_anew() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("appsettings.json");
    fs::write(&file, r#"{ "AllowedHosts": "h" }"#).unwrap();
    let mut server = Running::start(&[ANY_PORT, "--contentRoot", folder.path().to_str().unwrap()]);
    let address = server.address();
    assert!(get(&address, "/").starts_with("HTTP/1.1 200 "));
    let other = folder.path().join("other.json");
    fs::write(
        &other,
        r#"{ "AllowedHosts": "other", "ForwardedHeaders": { "Headers": "For" } }"#,
    )
    .unwrap();
    fs::rename(&other, &file).unwrap();
    server.signal("HUP");
    let began = Instant::now();
    while !get(&address, "/").starts_with("HTTP/1.1 400 ") {
        assert!(began.elapsed() < Duration::from_secs(60), "it is not read");
        thread::yield_now();
    }
    assert_eq!(server.stop(), Some(0));
    // More than one line only where the change was found before the signal came.
    let errors = server.errors();
    let line = "stannel: warning: ForwardedHeaders has changed; that takes a restart";
    assert!(
        !errors.is_empty() && errors.lines().all(|told| told == line),
        "{errors}"
    );
}

#[test]
fn a_limit_of_the_command_line_holds() {
    let mut server = Running::start(&[ANY_PORT, "--Kestrel:Limits:MaxRequestLineSize=64"]);
    let address = server.address();
    assert!(get(&address, &format!("/{}", "x".repeat(100))).starts_with("HTTP/1.1 414 "));
    assert_eq!(server.stop(), Some(0));
}

/// A client that reads nothing keeps its response from ending: the stop gives it up.
#[test]
fn a_stop_that_had_to_abort_is_a_stop() {
    let folder = site();
    let large = fs::File::create(folder.path().join("large.bin")).unwrap();
    large.set_len(1 << 30).unwrap();
    let path = folder.path().to_str().unwrap();
    let mut server = Running::start(&[path, ANY_PORT, "--Kestrel:Limits:ShutdownTimeout=0.1"]);
    let address = server.address();
    let mut stream = TcpStream::connect(address.strip_prefix("http://").unwrap()).unwrap();
    stream.write_all(b"GET /large.bin HTTP/1.1\r\nHost: h\r\n\r\n").unwrap();
    let mut byte = [0];
    stream.read_exact(&mut byte).unwrap();
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn a_response_that_runs_is_sent_to_its_end() {
    let folder = site();
    let content: Vec<u8> = (0..20_000_000_u32).map(|n| (n % 251) as u8).collect();
    fs::write(folder.path().join("large.bin"), &content).unwrap();
    let mut server = Running::start(&[folder.path().to_str().unwrap(), ANY_PORT]);
    let address = server.address();
    let mut stream = TcpStream::connect(address.strip_prefix("http://").unwrap()).unwrap();
    stream.write_all(b"GET /large.bin HTTP/1.1\r\nHost: h\r\n\r\n").unwrap();
    let mut response = vec![0];
    stream.read_exact(&mut response).unwrap();
    server.signal("TERM");
    let reader = thread::spawn(move || {
        stream.read_to_end(&mut response).unwrap();
        response
    });
    assert_eq!(server.child.wait().unwrap().code(), Some(0));
    assert!(reader.join().unwrap().ends_with(&content));
}

/// Nobody reads what it prints: that is no reason to fail.
#[test]
fn a_closed_standard_output_does_not_matter() {
    let folder = TempDir::new().unwrap();
    let socket = folder.path().join("stannel.sock");
    let address = format!("http://unix:{}", socket.display());
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut child = stannel(&["--urls", &address])
        .stdout(writer)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut server = Running {
        stdout: BufReader::new(dummy_stdout()),
        stderr: child.stderr.take().unwrap(),
        child,
    };
    while UnixStream::connect(&socket).is_err() {
        assert!(server.child.try_wait().unwrap().is_none(), "{}", server.errors());
        thread::yield_now();
    }
    assert!(get(&address, "/").contains("It works"));
    assert_eq!(server.stop(), Some(0));
    assert_eq!(server.errors(), "");
}

fn dummy_stdout() -> ChildStdout {
    let mut child = Command::new("true").stdout(Stdio::piped()).spawn().unwrap();
    let stdout = child.stdout.take().unwrap();
    child.wait().unwrap();
    stdout
}

/// Nothing where there is no curl.
#[test]
fn curl_gets_files_heads_and_ranges() {
    if Command::new("curl").arg("--version").output().is_err() {
        return;
    }
    let folder = site();
    let content: Vec<u8> = (0..30_000_000_u32).map(|n| (n % 251) as u8).collect();
    fs::write(folder.path().join("large.bin"), &content).unwrap();
    let mut server = Running::start(&[folder.path().to_str().unwrap(), ANY_PORT]);
    let address = server.address();
    let curl = |arguments: &[&str], path: &str| {
        let output = Command::new("curl")
            .args(["--silent", "--show-error", "--max-time", "60"])
            .args(arguments)
            .arg(format!("{address}{path}"))
            .output()
            .unwrap();
        assert!(output.status.success(), "{arguments:?} {path}: {output:?}");
        output.stdout
    };
    assert!(curl(&[], "/large.bin") == content);
    assert_eq!(curl(&["--range", "5-9"], "/large.bin"), content[5..10]);
    assert_eq!(curl(&["--range", "-3"], "/large.bin"), content[content.len() - 3..]);
    assert_eq!(curl(&["--location"], "/folder/../folder/file.txt"), b"content");
    let head = String::from_utf8(curl(&["--head"], "/large.bin")).unwrap();
    assert!(
        head.starts_with("HTTP/1.1 200 OK\r\n") && head.contains("Content-Length: 30000000\r\n"),
        "{head}"
    );
    // Asked for again with its tag, a file is not sent again.
    let kept = folder.path().join("etag");
    let kept = kept.to_str().unwrap();
    curl(&["--etag-save", kept], "/folder/file.txt");
    let status = curl(
        &["--etag-compare", kept, "--write-out", "%{http_code}"],
        "/folder/file.txt",
    );
    assert_eq!(status, b"304");
    assert_eq!(server.stop(), Some(0));
}

/// Redirected, and told to come by HTTPS: where an https endpoint was asked for, and not while one develops. Needs curl.
#[cfg(feature = "tls")]
#[test]
fn clients_are_sent_to_https_where_it_was_asked_for() {
    if Command::new("curl").arg("--version").output().is_err() {
        println!("skipped: there is no curl here");
        return;
    }
    let folder = "tests/fixtures/dotnet/pem";
    let https = [
        "--Kestrel:Endpoints:A:Url=http://127.0.0.1:0".to_owned(),
        "--Kestrel:Endpoints:B:Url=https://127.0.0.1:0".to_owned(),
        format!("--Kestrel:Endpoints:B:Certificate:Path={folder}/p256.crt"),
        format!("--Kestrel:Endpoints:B:Certificate:KeyPath={folder}/p256.pkcs8.key"),
    ];
    for (own, is_redirected, is_told) in [
        (&[][..], true, true),
        (&["--environment=development"], false, false),
        (&["--https_port=-1"], false, true),
        (&["--Hsts:MaxAge=none"], true, false),
    ] {
        let arguments: Vec<&str> = https.iter().map(String::as_str).chain(own.iter().copied()).collect();
        let mut server = Running::start(&arguments);
        let (plain, secure) = (server.address(), server.address());
        let (_, port) = secure.rsplit_once(':').unwrap();
        let answer = get(&plain, "/a?b");
        let location = format!("\r\nlocation: https://h:{port}/a?b\r\n");
        assert_eq!(answer.contains(&location), is_redirected, "{own:?}: {answer}");
        assert_eq!(answer.starts_with("HTTP/1.1 307 "), is_redirected, "{own:?}: {answer}");
        assert!(!answer.contains("Strict-Transport-Security"), "{own:?}: {answer}");

        let resolve = format!("site.test:{port}:127.0.0.1");
        let output = Command::new("curl")
            .args([
                "--silent",
                "--insecure",
                "--include",
                "--max-time",
                "60",
                "--resolve",
                &resolve,
            ])
            .arg(format!("https://site.test:{port}/"))
            .output()
            .unwrap();
        let answer = String::from_utf8(output.stdout).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 "), "{own:?}: {answer}");
        let told = answer.contains("\r\nStrict-Transport-Security: max-age=2592000\r\n");
        assert_eq!(told, is_told, "{own:?}: {answer}");
        assert_eq!(server.stop(), Some(0));
    }
}

#[test]
fn check_says_what_would_be_served_and_binds_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", taken.local_addr().unwrap());
    let file = folder.path().join("extra.json");
    let text = format!("{{ \"Kestrel\": {{ \"Endpoints\": {{ \"Web\": {{ \"Url\": \"{url}\" }} }} }} }}");
    fs::write(&file, text).unwrap();
    let config = format!("--config={}", file.display());
    let (code, out, err) = output(&["check", &config, "--urls=http://localhost:1"]);
    assert_eq!(code, Some(0), "{err}");
    assert!(
        out.starts_with(&format!("{url}  endpoint Web in {}:1:", file.display())),
        "{out}"
    );
    assert_eq!(out.lines().count(), 1, "{out}");
    assert!(err.contains("overriding the addresses http://localhost:1"), "{err}");
    let (code, out, _) = output(&["check"]);
    assert_eq!((code, out.as_str()), (Some(0), "http://localhost:5000  by default\n"));
    for wrong in [
        ["check", "--urls=http://x:y"],
        ["check", "no/such/folder"],
        ["check", "--Kestrel:Workers=0"],
    ] {
        let (code, out, err) = output(&wrong);
        assert_eq!((code, out.as_str()), (Some(1), ""), "{err}");
    }
}

#[test]
fn all_settings_are_printed_with_their_places() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("extra.json");
    let text = "{ \"Kestrel\": { \"Workers\": 2,\n\"Certificates\": { \"Default\": { \"Password\": \"secret\" } } } }";
    fs::write(&file, text).unwrap();
    let config = format!("--config={}", file.display());
    let (code, out, err) = output(&[&config, "--kestrel:workers=3", "--print-config"]);
    assert_eq!(code, Some(0), "{err}");
    let lines: Vec<&str> = out.lines().collect();
    let told = format!(
        "Kestrel:Workers = 3 (on the command line, overriding the one in {}:1:27)",
        file.display()
    );
    assert!(lines.contains(&told.as_str()), "{out}");
    assert!(out.contains("Kestrel:Certificates:Default:Password = *** ("), "{out}");
    assert!(!out.contains("secret"), "{out}");
}

#[test]
fn the_log_tells_who_a_proxy_speaks_for() {
    let arguments = [
        ANY_PORT,
        "--ForwardedHeaders:Headers=For,Proto,Host",
        "--ForwardedHeaders:KnownProxies:0=127.0.0.1",
    ];
    let mut command = stannel(&arguments);
    let mut child = command
        .env("STANNEL_LOG", "debug")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut server = Running {
        stdout: BufReader::new(child.stdout.take().unwrap()),
        stderr: child.stderr.take().unwrap(),
        child,
    };
    let address = server.address();
    let mut stream = TcpStream::connect(address.strip_prefix("http://").unwrap()).unwrap();
    let fields = "X-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: shop.example\r\n";
    write!(stream, "GET / HTTP/1.0\r\n{fields}\r\n").unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    assert_eq!(server.stop(), Some(0));
    let errors = server.errors();
    let told = errors.lines().any(|line| {
        line.contains(" by 127.0.0.1:") && line.ends_with("is one of 192.0.2.7:0: https for the host shop.example")
    });
    assert!(told, "{errors}");
}
