//! Mistakes that everybody makes once: what the terminal says of them. At most three lines, the cause in the first, the
//! remedy in the last, exit code 1, no backtrace; what only warns tells the place and the key that was meant.

#![cfg(feature = "config")]

#[path = "support/client.rs"]
mod client;
#[path = "support/ending.rs"]
mod ending;
#[path = "support/start.rs"]
mod start;

use start::{Start, ended, endpoint};
use std::fs;
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::process::Command;

const FREE: &str = "\"Url\": \"http://127.0.0.1:0\"";

#[test]
fn addresses_that_cannot_be_had() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let stop = "stop the server that listens there, or choose another port";
    let url = format!("http://127.0.0.1:{port}");
    // 1: a port that is taken, and who has it.
    Start::with(&["--urls", &url]).fails(&[&url, "urls on the command line", "in use by", "process"], stop);
    // 2: the same through an endpoint.
    Start::new()
        .kestrel(&endpoint(&format!("\"Url\": \"{url}\"")))
        .fails(&[&url, "Web", "appsettings.json:3:8", "in use"], stop);
    // 3: one address for two endpoints.
    let url = "http://127.0.0.1:5999";
    let twice = format!("\"Endpoints\": {{ \"A\": {{ \"Url\": \"{url}\" }}, \"B\": {{ \"Url\": \"{url}\" }} }}");
    Start::new()
        .kestrel(&twice)
        .fails(&[url, "endpoint B", "this process itself"], "");
    // 4: an address of another machine.
    Start::with(&["--urls=http://192.0.2.1:5000"]).fails(&["http://192.0.2.1:5000"], "use an address of this machine");
}

#[test]
fn a_privileged_port_as_an_ordinary_user() {
    let start = Start::with(&["--urls=http://127.0.0.1:81"]);
    let has_setpriv = Command::new("setpriv")
        .arg("--version")
        .output()
        .is_ok_and(|output| output.status.success());
    let lowest = fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start").unwrap_or_default();
    if !has_setpriv || lowest.trim() != "1024" {
        println!("skipped: setpriv is not there, or every port may be bound");
        return;
    }
    let mut command = Command::new("setpriv");
    command
        .args([
            "--bounding-set=-net_bind_service",
            "--inh-caps=-all",
            "--clear-groups",
            "--reuid=65534",
        ])
        .arg(env!("CARGO_BIN_EXE_stannel"))
        .arg(&start.arguments[0])
        .current_dir("/");
    let output = ended(command);
    let text = String::from_utf8(output.stderr).unwrap();
    if text.starts_with("setpriv: ") {
        println!("skipped: {text}");
        return;
    }
    assert_eq!(output.status.code(), Some(1), "{text}");
    let lines: Vec<&str> = text.lines().collect();
    assert!(
        lines[0].contains("cannot bind http://127.0.0.1:81") && lines[0].contains("ermission denied"),
        "{text}"
    );
    assert!(lines.last().unwrap().contains("use a port above 1023"), "{text}");
}

#[test]
fn urls_that_are_none() {
    for (url, cause, remedy) in [
        ("localhost:5000", "localhost:5000", "has no \"://\""),
        ("http://localhost:port", "http://localhost:port", "no port number"),
        ("http://localhost:", "http://localhost:", "no port number"),
        ("http://localhost:70000", "port out of range", "use 0 to 65535"),
        ("http://localhost:5000/app", "has a path", "remove it"),
        ("ftp://localhost", "unsupported scheme", "write http:// or https://"),
        (
            "http://256.1.1.1:80",
            "256.1.1.1",
            "looks like an IPv4 address and is none",
        ),
        (
            "http://::1:5000",
            "http://::1:5000",
            "an IPv6 address stands in brackets",
        ),
        ("http://", "invalid url", "use localhost, an address or *"),
        ("http://unix:relative.sock", "unix:relative.sock", "no port number"),
    ] {
        // 5 to 14, on the command line and in the file.
        Start::with(&["--urls", url]).fails(&[cause, "on the command line"], remedy);
        Start::new()
            .kestrel(&endpoint(&format!("\"Url\": \"{url}\"")))
            .fails(&[cause, "Kestrel:Endpoints:Web:Url", "appsettings.json:3:8"], remedy);
    }
    // 15: a list where one URL is expected.
    Start::new()
        .kestrel(&endpoint("\"Url\": \"http://a:1;http://b:2\""))
        .fails(
            &["Kestrel:Endpoints:Web:Url", "it is a list"],
            "give each URL by itself",
        );
    // 16: a port that is no number.
    Start::new()
        .variable("HTTP_PORTS", "http")
        .fails(&["HTTP_PORTS", "environment variable HTTP_PORTS"], "write 0 to 65535");
    // 17: no Url.
    Start::new()
        .kestrel(&endpoint("\"Protocols\": \"Http1\""))
        .fails(&["endpoint Web", "no Url"], "give it one such as");
}

#[test]
fn unix_sockets() {
    let start = Start::new();
    let socket = start.path().join("app.sock");
    let url = format!("http://unix:{}", socket.display());
    let start = start.arguments(&["--urls", &url]);
    // 18: a file that is in the way, whoever made it.
    fs::write(&socket, "precious").unwrap();
    start.fails(&[&url, "in use"], "choose another path");
    assert_eq!(fs::read_to_string(&socket).unwrap(), "precious");
    fs::remove_file(&socket).unwrap();
    // 19: a socket that a server left behind.
    drop(UnixListener::bind(&socket).unwrap());
    start.fails(&[&url, "in use"], "ReplaceStaleSocket");
    // 20: no folder.
    Start::with(&["--urls=http://unix:/no/such/folder/app.sock"])
        .fails(&["/no/such/folder/app.sock"], "create the folder first");
    // 21: a path that the system cannot take.
    let long = format!("--urls=http://unix:/tmp/{}", "x".repeat(200));
    Start::with(&[&long]).fails(&["cannot bind", "xxx"], "107 bytes");
}

#[test]
fn files() {
    // 22: a comma too few.
    Start::new()
        .file("{\n  \"Kestrel\": { \"Workers\": 1 }\n  \"urls\": \"http://127.0.0.1:0\"\n}")
        .fails(&["appsettings.json:2:", "no valid JSON"], "mend the file there");
    // 23: nothing in it.
    Start::new().file("").fails(&["appsettings.json:1:1", "empty"], "");
    // 24: no object.
    Start::new()
        .file("[]")
        .fails(&["appsettings.json:1:1"], "put everything between { and }");
    // 25: a key twice.
    Start::new()
        .file("{ \"a\": 1,\n\"A\": 2 }")
        .fails(&["appsettings.json:2:6", "line 1"], "keep one of them");
    // 26: a file that was asked for and is not there.
    Start::with(&["--config=missing.json"]).fails(&["missing.json"], "");
    // 27: no text.
    let start = Start::new();
    fs::write(start.path().join("appsettings.json"), b"{ \"a\": \"\xff\" }").unwrap();
    start.fails(&["appsettings.json", "UTF-8"], "");
}

#[test]
fn values() {
    // 28: a limit that is no number.
    Start::new()
        .kestrel("\"Limits\": { \"MaxRequestBodySize\": \"30 MB\" }")
        .fails(
            &["Kestrel:Limits:MaxRequestBodySize=30 MB", "appsettings.json:2:35"],
            "expected a number of bytes",
        );
    // 29: limits that do not fit together.
    Start::with(&["--Kestrel:Limits:MaxRequestBufferSize=100"])
        .fails(&["max_request_buffer_size"], "raise it or lower");
    // 30: HTTPS settings on an http endpoint.
    Start::new()
        .kestrel(&endpoint(&format!(
            "{FREE}, \"Certificate\": {{ \"Path\": \"x.pfx\" }}"
        )))
        .fails(&["endpoint Web", "Certificate", "appsettings.json:3"], "write https://");
    // 31: what nobody can serve.
    Start::new()
        .kestrel(&endpoint(&format!("{FREE}, \"Protocols\": \"Http2\"")))
        .fails(&["Protocols", "Http2", "Web"], "use Http1");
    // 32: HTTPS that cannot be had; certificates have tests of their own.
    let (cause, remedy) = match cfg!(feature = "tls") {
        true => ("no certificate", "Path and KeyPath"),
        false => ("built without HTTPS", "build it with the feature tls"),
    };
    Start::new()
        .kestrel(&endpoint("\"Url\": \"https://127.0.0.1:0\""))
        .fails(&["https://127.0.0.1:0", "Web", cause], remedy);
    // 33, 34: strictness.
    Start::with(&["--strict-config"])
        .kestrel(&endpoint(&format!("{FREE}, \"Protocls\": \"Http1\"")))
        .fails(
            &["Kestrel:Endpoints:Web:Protocls", "appsettings.json:3"],
            "Kestrel:Endpoints:Web:Protocols",
        );
}

#[test]
fn arguments() {
    // 35 to 38.
    Start::with(&["no/such/folder"]).fails(&["no/such/folder"], "");
    Start::with(&["--urls"]).fails(&["--urls has no value"], "write --urls=VALUE");
    Start::with(&["-p", "80"]).fails(&["-p"], "write --KEY=VALUE");
    Start::with(&[".", "."]).fails(&["one folder is enough"], "");
}

#[test]
fn what_only_warns_tells_where_and_what_was_meant() {
    let free = "--urls=http://127.0.0.1:0";
    Start::with(&[free])
        .kestrel("\"Limits\": { \"KeepAliveTimeot\": 5 }")
        .warns(&[
            "Kestrel:Limits:KeepAliveTimeot",
            "appsettings.json:2:32",
            "Kestrel:Limits:KeepAliveTimeout?",
        ]);
    Start::new()
        .kestrel(&endpoint(&format!("{FREE}, \"Protocols\": \"Http9\"")))
        .warns(&[
            "Kestrel:Endpoints:Web:Protocols=Http9",
            "appsettings.json:3",
            "Http1AndHttp2",
        ]);
    Start::with(&[free]).kestrel("\"Endpoints\": \"http://*:80\"").warns(&[
        "Kestrel:Endpoints=http://*:80",
        "appsettings.json:2:14",
        "not a text",
    ]);
    Start::with(&[free])
        .file("{ \"Kestrl\": { \"Endpoints\": { \"A\": { \"Url\": \"http://*:80\" } } } }")
        .warns(&[
            "Kestrl:Endpoints:A:Url",
            "appsettings.json:1:",
            "Kestrel:Endpoints:A:Url?",
        ]);
    Start::with(&[free, "--verbosty=5"]).warns(&["verbosty", "on the command line"]);
    Start::with(&["--urls=http://127.0.0.1:1"])
        .kestrel(&endpoint(FREE))
        .warns(&["overriding the addresses http://127.0.0.1:1", "configured endpoints"]);
    Start::with(&[free])
        .variable("HTTP_PORTS", "8080")
        .warns(&["HTTP_PORTS", "overridden by urls on the command line"]);
}
