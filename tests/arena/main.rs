//! The arena's entry under the arena's validation, as a program of its own.

#[path = "../support/certificates.rs"]
mod certificates;
#[path = "../support/client.rs"]
mod client;
#[path = "../support/process.rs"]
mod process;
#[path = "../support/program.rs"]
mod program;
mod site;
#[path = "../support/tls.rs"]
mod tls;
mod websocket;

use client::{Client, Response};
use process::Process;
use serde_json::Value;
use site::{Arena, Numbers};
use std::fs;
use std::io::{Read, Write};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

fn post(target: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let head = format!(
        "POST {target} HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

/// The body in chunks of that size at most.
fn post_chunked(target: &str, body: impl AsRef<[u8]>, size: usize) -> Vec<u8> {
    let mut bytes = format!("POST {target} HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n").into_bytes();
    for chunk in body.as_ref().chunks(size) {
        bytes.extend(format!("{:x}\r\n", chunk.len()).bytes());
        bytes.extend(chunk);
        bytes.extend(b"\r\n");
    }
    bytes.extend(b"0\r\n\r\n");
    bytes
}

fn field<'a>(response: &'a Response, name: &str) -> Option<&'a str> {
    response.head.lines().find_map(|line| {
        let (found, value) = line.split_once(':')?;
        found.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

#[track_caller]
fn expect_text(response: &Response, text: &str) {
    assert_eq!((response.status, response.text()), (200, text), "{}", response.head);
    assert_eq!(field(response, "content-type"), Some("text/plain"));
}

#[test]
fn sums() {
    let arena = Arena::start();
    let mut client = arena.client();
    let mut numbers = Numbers(1);
    let fixed = [
        (client::get("/baseline11?a=13&b=42").into_bytes(), "55"),
        (post("/baseline11?a=13&b=42", "20"), "75"),
        (post_chunked("/baseline11?a=13&b=42", "20", 1), "75"),
        (post("/baseline11?a=13&b=42", " 20\r\n"), "75"),
        (post("/baseline11?a=13&b=42", ""), "55"),
        (client::get("/baseline11?a=-13&&b=42&").into_bytes(), "29"),
        (client::get("/baseline11").into_bytes(), "0"),
    ];
    for (request, sum) in fixed {
        client.send(&request);
        expect_text(&client.response(), sum);
    }
    for _ in 0..100 {
        let (a, b, body) = (numbers.integer(), numbers.integer(), numbers.integer());
        let target = format!("/baseline11?a={a}&b={b}");
        expect_text(&client.get(&target), &(a + b).to_string());
        // Other bodies under one URL.
        client.send(post(&target, body.to_string()));
        expect_text(&client.response(), &(a + b + body).to_string());
        client.send(post_chunked(&target, body.wrapping_neg().to_string(), 3));
        expect_text(&client.response(), &(a + b - body).to_string());
    }
    let refused = [
        (client::get("/baseline11?a=x").into_bytes(), 400),
        (client::get("/baseline11?a").into_bytes(), 400),
        (client::get("/baseline11?a=9223372036854775807&b=1").into_bytes(), 400),
        (post("/baseline11?a=9223372036854775807", "1"), 400),
        (post("/baseline11?a=1", "one"), 400),
        (b"PUT /baseline11 HTTP/1.1\r\nHost: h\r\n\r\n".to_vec(), 405),
        (b"POST /pipeline HTTP/1.1\r\nHost: h\r\n\r\n".to_vec(), 405),
        (client::get("/upload").into_bytes(), 405),
        (client::get("/nowhere").into_bytes(), 404),
    ];
    for (request, status) in refused {
        client.send(&request);
        assert_eq!(
            client.response().status,
            status,
            "{}",
            String::from_utf8_lossy(&request)
        );
    }
    client.send(post("/baseline11", "1".repeat(300)));
    assert_eq!(client.response().status, 413);
    arena.stop();
}

/// The arena's pauses are 30 ms: long enough that each piece comes alone.
#[test]
fn requests_in_pieces() {
    const PAUSE: Duration = Duration::from_millis(30);
    let arena = Arena::start();
    let cases: &[(&[&str], &str)] = &[
        // Inside the request line.
        (&["GET /base", "line11?a=1", "3&b=42 HTTP/1.1\r\nHost: h\r\n\r\n"], "55"),
        // Per field line, and inside of the last line ends.
        (
            &[
                "GET /baseline11?a=13&b=42 HTTP/1.1\r\n",
                "Host: h\r\n",
                "X-Y: z\r\n",
                "\r",
                "\n",
            ],
            "55",
        ),
        // Between head and body, and inside the body.
        (
            &[
                "POST /baseline11?a=13&b=42 HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n",
                "20",
            ],
            "75",
        ),
        (
            &[
                "POST /baseline11?a=13&b=42 HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n2",
                "0",
            ],
            "75",
        ),
        (
            &[
                "POST /baseline11?a=13&b=42 HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n",
                "2\r\n2",
                "0\r",
                "\n0\r\n",
                "\r\n",
            ],
            "75",
        ),
        (
            &[
                "GET /pipe",
                "line HTTP/1.1\r\nHost: h\r\n\r\nGET",
                " /pipeline HTTP/1.1\r\nHost: h\r\n\r\n",
            ],
            "ok",
        ),
    ];
    thread::scope(|scope| {
        for (pieces, expected) in cases {
            let mut client = arena.client();
            scope.spawn(move || {
                for piece in *pieces {
                    client.send(piece);
                    thread::sleep(PAUSE);
                }
                for _ in 0..pieces.concat().matches("Host").count() {
                    expect_text(&client.response(), expected);
                }
                // The connection is as good as any.
                expect_text(&client.get("/baseline11?a=1"), "1");
            });
        }
    });
    arena.stop();
}

#[test]
fn sixteen_at_once() {
    let arena = Arena::start();
    let mut clients: Vec<Client> = (0..8).map(|_| arena.client()).collect();
    for _ in 0..20 {
        for client in &mut clients {
            client.send(client::get("/pipeline").repeat(16));
        }
        for client in &mut clients {
            (0..16).for_each(|_| expect_text(&client.response(), "ok"));
        }
    }
    // Each has its own answer, in order.
    let requests: String = (0..16).map(|n| client::get(&format!("/baseline11?a={n}"))).collect();
    clients[0].send(requests);
    (0..16).for_each(|n| expect_text(&clients[0].response(), &n.to_string()));
    arena.stop();
}

#[test]
fn connections_of_ten_requests() {
    let arena = Arena::start();
    for round in 0..50 {
        let mut client = arena.client();
        for n in 0..9 {
            expect_text(
                &client.get(&format!("/baseline11?a={n}&b={round}")),
                &(n + round).to_string(),
            );
        }
        if round % 2 == 0 {
            client.send("GET /pipeline HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
            let last = client.response();
            assert!(last.says_close());
            client.expect_end();
        } else {
            expect_text(&client.get("/pipeline"), "ok");
        }
    }
    arena.stop();
}

/// What the arena computes itself from its copy of the data set.
fn order(count: usize, factor: i64) -> Value {
    let number = |item: &Value, name: &str| item[name].as_i64().unwrap();
    let items: Vec<Value> = site::items()
        .into_iter()
        .take(count)
        .map(|mut item| {
            item["total"] = (number(&item, "price") * number(&item, "quantity") * factor).into();
            item
        })
        .collect();
    serde_json::json!({ "items": items, "count": count })
}

const PAIRS: [(usize, i64); 7] = [(1, 3), (5, 7), (10, 2), (15, 5), (25, 4), (40, 8), (50, 6)];

#[test]
fn orders() {
    let arena = Arena::start();
    let mut client = arena.client();
    let mut numbers = Numbers(2);
    let random = std::iter::repeat_with(|| (numbers.next() as usize % 51, numbers.next() as i64 % 1_000_000));
    for (count, factor) in PAIRS.into_iter().chain(random.take(30)) {
        let response = client.get(&format!("/json/{count}?m={factor}"));
        assert_eq!(field(&response, "content-type"), Some("application/json"));
        let value: Value = serde_json::from_slice(&response.body).unwrap();
        assert_eq!((response.status, value), (200, order(count, factor)));
    }
    assert!(client.get("/json/2?m=3").text().starts_with("{\"items\":[{\"id\":1,"));
    let value = |response: Response| serde_json::from_slice::<Value>(&response.body).unwrap();
    assert_eq!(value(client.get("/json/3?x=2")), order(3, 1));
    // There is no more than there is.
    assert_eq!(value(client.get("/json/51?m=2")), order(50, 2));
    for target in [
        "/json/",
        "/json/x",
        "/json/-1",
        "/json/1?m=x",
        "/json/50?m=9223372036854775807",
    ] {
        assert_eq!(client.get(target).status, 400, "{target}");
    }
    arena.stop();
}

#[test]
fn over_tls() {
    let arena = Arena::start();
    let mut config = tls::Trusting::new().config(rustls::ALL_VERSIONS);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let config = Arc::new(config);
    let mut stream = tls::connect(arena.secure, &config, "localhost").unwrap();
    assert_eq!(stream.conn.alpn_protocol(), Some(&b"http/1.1"[..]));
    let mut requests: String = PAIRS
        .iter()
        .map(|(count, factor)| client::get(&format!("/json/{count}?m={factor}")))
        .collect();
    requests.push_str("GET /pipeline HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    stream.write_all(requests.as_bytes()).unwrap();
    let mut answers = String::new();
    stream.read_to_string(&mut answers).expect("an announced end");
    let bodies: Vec<&str> = answers
        .split("HTTP/1.1 200 OK\r\n")
        .skip(1)
        .map(|answer| answer.split_once("\r\n\r\n").unwrap().1)
        .collect();
    assert_eq!(bodies.len(), PAIRS.len() + 1);
    assert_eq!(bodies.last(), Some(&"ok"));
    for ((count, factor), body) in PAIRS.into_iter().zip(bodies) {
        assert_eq!(serde_json::from_str::<Value>(body).unwrap(), order(count, factor));
    }
    let mut config = tls::Trusting::new().config(rustls::ALL_VERSIONS);
    config.alpn_protocols = vec![b"h2".to_vec()];
    assert!(tls::connect(arena.secure, &Arc::new(config), "localhost").is_err());
    arena.stop();
}

#[test]
fn uploads() {
    let arena = Arena::start();
    let mut client = arena.client();
    for size in [0, 1, 500_000, 2_000_000, 20_000_000] {
        client.send(post("/upload", vec![b'x'; size]));
        expect_text(&client.response(), &size.to_string());
    }
    // Counted, and not taken from a field.
    client.send(post_chunked("/upload", vec![b'x'; 1_000_001], 70_000));
    expect_text(&client.response(), "1000001");
    expect_text(&client.get("/pipeline"), "ok");
    arena.stop();
}

#[test]
fn files() {
    let arena = Arena::start();
    let mut numbers = Numbers(3);
    let kinds = [
        ("reset.css", "text/css; charset=utf-8"),
        ("app.js", "text/javascript; charset=utf-8"),
        ("home.html", "text/html; charset=utf-8"),
        ("data.json", "application/json"),
        ("logo.svg", "image/svg+xml"),
        ("hero.webp", "image/webp"),
        ("text.woff2", "font/woff2"),
    ];
    for (name, _) in kinds {
        let size = 3_000 + numbers.next() as usize % 297_000;
        arena.write(name, &numbers.bytes(size));
        if !name.ends_with('2') {
            arena.write(&format!("{name}.br"), &numbers.bytes(size / 4));
            arena.write(&format!("{name}.gz"), &numbers.bytes(size / 3));
        }
    }
    let mut client = arena.client();
    for (name, kind) in kinds {
        for accepted in [
            "Accept-Encoding: br;q=1, gzip;q=0.8\r\n",
            "Accept-Encoding: gzip\r\n",
            "",
        ] {
            client.send(format!("GET /static/{name} HTTP/1.1\r\nHost: h\r\n{accepted}\r\n"));
            let response = client.response();
            assert_eq!(response.status, 200, "{name}");
            assert_eq!(field(&response, "content-type"), Some(kind), "{name}");
            let ending = match field(&response, "content-encoding") {
                Some("br") => ".br",
                Some("gzip") => ".gz",
                None => "",
                other => panic!("{other:?}"),
            };
            assert!(
                ending.is_empty() || accepted.contains(&ending[1..2]),
                "{name}: {accepted}"
            );
            assert_eq!(
                ending.is_empty(),
                accepted.is_empty() || name.ends_with('2'),
                "{name}: {accepted}"
            );
            // The sizes of the disk, and every byte of it.
            assert!(
                response.body == fs::read(arena.file(&format!("{name}{ending}"))).unwrap(),
                "{name}"
            );
        }
    }
    for target in [
        "/static/nowhere.css",
        "/static/",
        "/static/../dataset.json",
        "/static/..%2fdataset.json",
        "/dataset.json",
        "/server.key",
    ] {
        assert_eq!(client.get(target).status, 404, "{target}");
    }
    arena.stop();
}

#[test]
fn without_certificate_there_is_no_port_for_tls() {
    let data = site::data();
    let mut process = Process::spawn(site::command(data.path()).arg("--HTTP_PORTS=0"));
    let plain = site::local(&process.url());
    expect_text(&Client::connect(plain).get("/pipeline"), "ok");
    process.terminate();
    assert_eq!(process.try_url(), None);
    let errors = process.stop();
    assert_eq!(errors.lines().count(), 1, "{errors}");
    assert!(
        errors.starts_with("no port for TLS: there is no ") && errors.contains("none.crt; "),
        "{errors}"
    );
}

#[test]
fn without_data_it_does_not_start() {
    let data = site::data();
    let file = data.path().join("dataset.json");
    let ended = || {
        let mut process = Process::spawn(&mut site::command(data.path()));
        (process.try_url(), process.exit_code(), process.errors())
    };
    fs::write(&file, "[{\"id\": 1}]").unwrap();
    let (_, code, errors) = ended();
    assert!(
        code == Some(1) && errors.contains("is no list of items: missing field"),
        "{errors}"
    );
    fs::remove_file(&file).unwrap();
    let (url, code, errors) = ended();
    assert_eq!((url, code), (None, Some(1)));
    assert!(
        errors.contains("dataset.json: No such file") && errors.contains("ARENA_DATA"),
        "{errors}"
    );
}
