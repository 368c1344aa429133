//! What people really use: curl, a browser's handful of connections, netcat.
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

use client::{Client, get, is_heavy};
use local::{Local, options};
use process::{ANY_PORT, Process};
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

fn has_curl() -> bool {
    let is_there = Command::new("curl").arg("--version").output().is_ok();
    if !is_there {
        println!("skipped: there is no curl");
    }
    is_there
}

fn curl(arguments: &[&str]) -> Command {
    let mut command = Command::new("curl");
    command
        .args(["--silent", "--show-error", "--max-time", "300"])
        .args(arguments)
        // Whatever is set for the machine is not meant for this.
        .args(["--noproxy", "*"]);
    command
}

/// What curl printed on its two outputs, given this on its input.
fn run_curl(arguments: &[&str], input: &[u8]) -> (Vec<u8>, String) {
    let mut child = curl(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let output: Output = thread::scope(|scope| {
        scope.spawn(move || {
            // It may end without having read everything, which shows in what it answers.
            let _ = stdin.write_all(input);
        });
        child.wait_with_output().unwrap()
    });
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "curl {arguments:?}: {errors}");
    (output.stdout, errors)
}

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at % 251) as u8).collect()
}

#[test]
fn curl_gets_heads_and_posts() {
    if !has_curl() {
        return;
    }
    let server = Local::start(options(2));
    let url = |path: &str| format!("http://{}{path}", server.address());
    assert_eq!(run_curl(&[&url("/")], b"").0, b"hello");

    let head = String::from_utf8(run_curl(&["--head", &url("/")], b"").0).unwrap();
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert!(head.to_lowercase().contains("\r\ncontent-length: 5\r\n"), "{head}");

    let body = pattern(3_000_000);
    for arguments in [
        // A large body makes curl ask for 100 by itself.
        &["--data-binary", "@-"][..],
        &["--data-binary", "@-", "-H", "Expect:"],
        &["--data-binary", "@-", "--http1.0"],
        // Chunked, because curl does not know how much comes.
        &["-X", "POST", "-H", "Transfer-Encoding: chunked", "-T", "-"],
        &["-X", "POST", "-H", "Expect: 100-continue", "-T", "-"],
    ] {
        let (echoed, _) = run_curl(&[arguments, &[&url("/echo")]].concat(), &body);
        assert!(echoed == body, "{arguments:?}: {} bytes", echoed.len());
        let (count, _) = run_curl(&[arguments, &[&url("/count")]].concat(), &body);
        assert_eq!(count, b"3000000", "{arguments:?}");
    }

    let expect = ["-v", "-H", "Expect: 100-continue", "--data-binary", "@-", &url("/echo")];
    let (echoed, trace) = run_curl(&expect, b"abc");
    assert_eq!(echoed, b"abc");
    assert!(trace.contains("< HTTP/1.1 100 Continue"), "{trace}");
    // Chunked it goes out, not with a length found out before.
    let chunked = [
        "-v",
        "-X",
        "POST",
        "-H",
        "Transfer-Encoding: chunked",
        "-T",
        "-",
        &url("/echo"),
    ];
    let (echoed, trace) = run_curl(&chunked, b"abc");
    assert_eq!(echoed, b"abc");
    assert!(trace.contains("> Transfer-Encoding: chunked"), "{trace}");
    server.stop();
}

#[test]
fn curl_uses_one_connection_again() {
    if !has_curl() {
        return;
    }
    let server = Local::start(options(2));
    let url = |path: &str| format!("http://{}{path}", server.address());
    let connects = |arguments: &[&str]| {
        let (path, held) = (url("/"), url("/bytes/100000"));
        let write = ["--write-out", "%{num_connects} "];
        let urls = [
            "-o",
            "/dev/null",
            &path,
            "-o",
            "/dev/null",
            &held,
            "-o",
            "/dev/null",
            &path,
        ];
        let (text, _) = run_curl(&[arguments, &write, &urls].concat(), b"");
        String::from_utf8(text).unwrap()
    };
    assert_eq!(connects(&[]), "1 0 0 ");
    assert_eq!(connects(&["--head"]), "1 0 0 ");
    // HTTP/1.0 keeps a connection only where both ask for it.
    assert_eq!(connects(&["--http1.0"]), "1 1 1 ");
    assert_eq!(connects(&["-H", "Connection: close"]), "1 1 1 ");
    let metrics = server.handle.metrics().total();
    assert_eq!((metrics.accepted_connections, metrics.requests), (8, 12));
    server.stop();
}

/// A file with holes: a block of its own in each MiB, and one at the end.
fn sparse_file(path: &Path, length: u64) {
    let file = File::create(path).unwrap();
    file.set_len(length).unwrap();
    let block = |seed: u64| -> Vec<u8> {
        (0..4096_u64)
            .map(|at| ((seed + at).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8)
            .collect()
    };
    for at in (0..length).step_by(1 << 20).chain([length - 4096]) {
        file.write_all_at(&block(at), at).unwrap();
    }
}

#[test]
fn a_large_file_comes_whole_and_costs_no_memory() {
    if !has_curl() {
        return;
    }
    let length: u64 = if is_heavy() { 1 << 30 } else { 64 << 20 };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("large.bin");
    sparse_file(&path, length);
    let mut server = Process::stannel(&[folder.path().to_str().unwrap(), ANY_PORT]);
    let url = format!("http://{}/large.bin", server.address());

    let mut child = curl(&[&url]).stdout(Stdio::piped()).spawn().unwrap();
    let mut download = child.stdout.take().unwrap();
    let mut file = File::open(&path).unwrap();
    let (mut received, mut expected) = (vec![0; 256 << 10], vec![0; 256 << 10]);
    let mut at = 0;
    loop {
        let count = download.read(&mut received).unwrap();
        if count == 0 {
            break;
        }
        file.read_exact(&mut expected[..count]).expect("no more than the file");
        assert!(
            received[..count] == expected[..count],
            "another content behind byte {at}"
        );
        at += count as u64;
    }
    assert!(child.wait().unwrap().success());
    assert_eq!(at, length);

    let middle = length / 2;
    let range = format!("{}-{}", middle - 10, middle + 9);
    let (part, _) = run_curl(&["--range", &range, &url], b"");
    let mut expected = vec![0; 20];
    file.read_exact_at(&mut expected, middle - 10).unwrap();
    assert_eq!(part, expected);

    let peak = server.peak_memory();
    println!("{length} bytes downloaded; the server took {peak} KiB at most");
    assert!(peak < 40 << 10, "{peak} KiB");
    server.stop();
}

/// Six connections, as a browser opens them, share the work.
#[test]
fn a_browser_fetches_2000_files_over_six_connections() {
    const FILES: usize = 2000;
    let content = |number: usize| format!("file {number}\n").repeat(number % 97 + 1);
    let folder = tempfile::tempdir().unwrap();
    for number in 0..FILES {
        fs::write(folder.path().join(format!("{number}.txt")), content(number)).unwrap();
    }
    let mut server = Process::stannel(&[folder.path().to_str().unwrap(), ANY_PORT]);
    let address = server.address();
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                // A connection that did not last would fail the next request.
                let mut client = Client::connect(address);
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= FILES {
                        return;
                    }
                    let response = client.get(&format!("/{number}.txt"));
                    assert_eq!(response.status, 200, "{}", response.head);
                    assert_eq!(response.text(), content(number));
                }
            });
        }
    });
    server.stop();
}

/// `printf … | nc`: the end of the input is sent right behind the requests.
#[test]
fn requests_before_a_half_close_are_all_answered() {
    let server = Local::start(options(2));
    for count in [1, 2, 7, 500] {
        let mut client = Client::connect(server.address());
        let requests: String = (0..count).map(|number| get(&format!("/n/{number}"))).collect();
        client.send(requests);
        client.end_output();
        for number in 0..count {
            let response = client.response();
            assert!(response.text().starts_with(&format!("/n/{number}\n")));
        }
        client.expect_end();
    }
    server.stop();
}

#[test]
fn a_half_close_does_not_cut_what_takes_time() {
    let server = Local::start(options(1));
    let mut held = Client::connect(server.address());
    held.send(get("/hold") + &get("/n/1"));
    held.end_output();
    let mut large = Client::connect(server.address());
    large.send("POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc".to_owned() + &get("/bytes/30000000"));
    large.end_output();
    let mut other = Client::connect(server.address());
    client::wait_until("the request to be held", || other.get("/held").text() == "1");
    assert_eq!(other.get("/release").text(), "1");
    assert_eq!(held.response().text(), "held");
    assert!(held.response().text().starts_with("/n/1\n"));
    held.expect_end();
    assert_eq!(large.response().text(), "abc");
    assert_eq!(large.response().body.len(), 30_000_000);
    large.expect_end();
    drop(other);
    server.stop();
}

/// The real netcat, where there is one that can end its output (`-N`).
#[test]
fn netcat_gets_its_answers() {
    let server = Local::start(options(1));
    let (host, port) = (server.address().ip().to_string(), server.address().port().to_string());
    let netcat = Command::new("nc")
        .args(["-N", &host, &port])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn();
    if let Ok(mut child) = netcat {
        let mut stdin = child.stdin.take().unwrap();
        let sent = stdin.write_all((get("/") + &get("/worker")).as_bytes());
        drop(stdin);
        let output = child.wait_with_output().unwrap();
        // Other netcats do not know the option.
        if sent.is_ok() && output.status.success() {
            let text = String::from_utf8(output.stdout).unwrap();
            assert_eq!(text.matches("HTTP/1.1 200 OK\r\n").count(), 2, "{text}");
            assert!(text.ends_with("\r\n\r\n0"), "{text}");
        }
    } else {
        println!("skipped: there is no nc");
    }
    server.stop();
}
