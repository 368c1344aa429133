//! The bytes that are sent, made once, and what must come back.

use crate::answer::Expected;
use crate::options::{Fields, Mode, Options};

/// What every connection sends over and over.
pub struct Request {
    /// As many requests as one write sends, one after the other.
    pub batch: Vec<u8>,
    /// Bytes of one of them.
    pub length: usize,
    pub expected: Expected,
}

impl Request {
    pub fn new(options: &Options) -> Self {
        let size = options.size;
        let (method, path, body, expected) = match options.mode {
            Mode::KeepAlive | Mode::Pipelined | Mode::Churn | Mode::Idle => ("GET", "/plaintext".into(), None, None),
            Mode::Download => (
                "GET",
                format!("/bytes/{size}"),
                None,
                Some(Expected::Length(size as u64)),
            ),
            Mode::Upload => (
                "POST",
                "/upload".into(),
                Some(pattern(size)),
                Some(Expected::text(size)),
            ),
            Mode::Echo => (
                "POST",
                "/echo".into(),
                Some(pattern(size)),
                Some(Expected::Bytes(pattern(size))),
            ),
        };
        let path = options.path.as_deref().unwrap_or(&path);
        let expected = expected.unwrap_or(match path {
            "/plaintext" => Expected::text("Hello, World!"),
            _ => Expected::Any,
        });

        let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {}\r\n", options.address);
        head.push_str(match options.fields {
            Fields::Host => "",
            Fields::Benchmark => BENCHMARK_FIELDS,
            Fields::Browser => BROWSER_FIELDS,
        });
        head.push_str(match (options.mode, options.fields) {
            (Mode::Churn, _) => "Connection: close\r\n",
            (_, Fields::Host) => "",
            (_, Fields::Benchmark | Fields::Browser) => "Connection: keep-alive\r\n",
        });
        if let Some(body) = &body {
            head.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        head.push_str("\r\n");
        let mut one = head.into_bytes();
        one.extend(body.unwrap_or_default());
        Self {
            length: one.len(),
            batch: one.repeat(options.depth),
            expected,
        }
    }
}

/// A body in which a piece lost, doubled or moved shows.
fn pattern(size: usize) -> Vec<u8> {
    (0..size).map(|index| b'a' + (index % 23) as u8).collect()
}

/// With `Host` and `Connection` what the TechEmpower plaintext benchmark sends.
const BENCHMARK_FIELDS: &str =
    "Accept: text/plain,text/html;q=0.9,application/xhtml+xml;q=0.9,application/xml;q=0.8,*/*;q=0.7\r\n";

/// With `Host` and `Connection` ten fields, as a desktop browser sends them to a site that it has seen before.
const BROWSER_FIELDS: &str = "\
User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n\
Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n\
Accept-Language: en-GB,en;q=0.5\r\n\
Accept-Encoding: gzip, deflate, br, zstd\r\n\
Referer: http://127.0.0.1/start\r\n\
Cookie: session=5f2b1c9e7a3d4860; theme=light\r\n\
Upgrade-Insecure-Requests: 1\r\n\
Cache-Control: max-age=0\r\n";
