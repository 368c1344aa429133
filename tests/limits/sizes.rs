//! What is sent, over real sockets.

use crate::served::{Both, Served, TRANSPORTS, Transport, patient};
use stannel::Limits;
use std::io::{self, Read};
use std::os::unix::net::UnixStream;

/// A limit, what is sent at it and beyond it, and the answer to the latter.
struct Case {
    limit: &'static str,
    set: fn(&mut Limits),
    under: fn() -> String,
    over: fn() -> String,
    refusal: u16,
}

const CASES: &[Case] = &[
    Case {
        limit: "max_request_line_size",
        set: |_| (),
        under: || line_of(8192),
        over: || line_of(8193),
        refusal: 414,
    },
    Case {
        limit: "max_request_headers_total_size",
        set: |_| (),
        under: || fields_of(32_768),
        over: || fields_of(32_769),
        refusal: 431,
    },
    Case {
        limit: "max_request_header_count",
        set: |_| (),
        under: || get_with(&"A: b\r\n".repeat(100 - FIELDS)),
        over: || get_with(&"A: b\r\n".repeat(101 - FIELDS)),
        refusal: 431,
    },
    Case {
        limit: "max_request_body_size",
        set: |limits| limits.max_request_body_size = Some(1000),
        under: || post(1000),
        over: || post(1001),
        refusal: 413,
    },
    Case {
        limit: "max_request_body_size, of a body in chunks with all that frames it",
        set: |limits| limits.max_request_body_size = Some(15),
        under: || chunked("5\r\nhello\r\n", "0\r\n\r\n"),
        over: || chunked("6\r\nhello!\r\n", "0\r\n\r\n"),
        refusal: 413,
    },
    Case {
        limit: "empty lines before a request",
        set: |_| (),
        under: || "\r\n".repeat(16) + &get_with(""),
        over: || "\r\n".repeat(17) + &get_with(""),
        refusal: 400,
    },
    Case {
        limit: "a chunk line",
        set: |_| (),
        under: || {
            chunked(
                &format!("5;{}\r\nhello\r\n", "x".repeat(4096 - "5;\r\n".len())),
                "0\r\n\r\n",
            )
        },
        over: || {
            chunked(
                &format!("5;{}\r\nhello\r\n", "x".repeat(4097 - "5;\r\n".len())),
                "0\r\n\r\n",
            )
        },
        refusal: 400,
    },
    Case {
        limit: "extensions of a body",
        set: |_| (),
        under: || chunked(&extended(4096).repeat(4), "0\r\n\r\n"),
        over: || chunked(&extended(4096).repeat(4), "0;x\r\n\r\n"),
        refusal: 400,
    },
];

/// How many fields each request has.
const FIELDS: usize = 2;
const HEAD: &str = "Host: h\r\nConnection: close\r\n";

fn get_with(fields: &str) -> String {
    format!("GET /worker HTTP/1.1\r\n{HEAD}{fields}\r\n")
}

fn line_of(size: usize) -> String {
    let rest = size - "GET /worker? HTTP/1.1\r\n".len();
    format!("GET /worker?{} HTTP/1.1\r\n{HEAD}\r\n", "x".repeat(rest))
}

fn fields_of(size: usize) -> String {
    get_with(&format!("A: {}\r\n", "x".repeat(size - HEAD.len() - "A: \r\n".len())))
}

fn post(size: usize) -> String {
    format!(
        "POST /count HTTP/1.1\r\n{HEAD}Content-Length: {size}\r\n\r\n{}",
        "x".repeat(size)
    )
}

fn chunked(chunks: &str, last: &str) -> String {
    format!("POST /count HTTP/1.1\r\n{HEAD}Transfer-Encoding: chunked\r\n\r\n{chunks}{last}")
}

/// A chunk of one byte whose extension has so many.
fn extended(size: usize) -> String {
    // Longer lines are refused for their length.
    let half = format!(";{}", "x".repeat(size / 2 - 1));
    format!("1{half}\r\nx\r\n").repeat(2)
}

/// The whole answer to what ends the connection.
fn whole_answer(mut stream: Box<dyn Both>, request: &str) -> io::Result<String> {
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

#[test]
fn sizes_and_counts_hold_to_the_byte_on_every_transport() {
    for case in CASES {
        let served = Served::with(case.set);
        for &transport in TRANSPORTS {
            for (request, status) in [((case.under)(), 200), ((case.over)(), case.refusal)] {
                let answer = whole_answer(served.connect(transport), &request).unwrap();
                assert!(
                    answer.starts_with(&format!("HTTP/1.1 {status} ")),
                    "{} over {transport:?}: not {status}: {answer}",
                    case.limit
                );
            }
        }
    }
}

#[test]
fn max_concurrent_connections_holds_on_every_transport() {
    for &transport in TRANSPORTS {
        let served = Served::with(|limits| limits.max_concurrent_connections = Some(2));
        let mut one = served.connect(transport);
        one.write_all(b"GET /worker HTTP/1.1\r\nHost: h\r\n\r\n").unwrap();
        one.read_exact(&mut [0]).unwrap();
        // The second is served, with its place taken; the third is closed without a byte, before TLS.
        let mut two = served.connect(transport);
        two.write_all(b"GET /worker HTTP/1.1\r\nHost: h\r\n\r\n").unwrap();
        two.read_exact(&mut [0]).unwrap();
        let mut bytes = Vec::new();
        let count = match transport {
            Transport::Unix => UnixStream::connect(&served.unix).unwrap().read_to_end(&mut bytes),
            Transport::Tcp => patient(served.tcp).read_to_end(&mut bytes),
            #[cfg(feature = "tls")]
            Transport::Tls => patient(served.tls).read_to_end(&mut bytes),
        };
        assert_eq!(count.unwrap(), 0, "{transport:?}");
        assert_eq!(served.handle.metrics().total().rejected_connections, 1, "{transport:?}");
    }
}

#[test]
fn max_concurrent_upgraded_connections_holds_on_every_transport() {
    const UPGRADE: &[u8] = b"GET /tunnel HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n";
    for &transport in TRANSPORTS {
        let served = Served::with(|limits| limits.max_concurrent_upgraded_connections = Some(1));
        let status = |stream: &mut Box<dyn Both>| {
            stream.write_all(UPGRADE).unwrap();
            let mut line = [0; "HTTP/1.1 101".len()];
            stream.read_exact(&mut line).unwrap();
            String::from_utf8_lossy(&line[9..]).into_owned()
        };
        let mut one = served.connect(transport);
        assert_eq!(status(&mut one), "101", "{transport:?}");
        let refused = status(&mut served.connect(transport));
        assert!(refused.starts_with('5'), "{transport:?}: {refused}");
    }
}
