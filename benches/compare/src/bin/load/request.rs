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
    /// Those that a connection sends in turn.
    pub fn all(options: &Options) -> Vec<Self> {
        match options.mode {
            Mode::ArenaBaseline | Mode::ArenaLimited => vec![
                Self::of(options, "GET", ARENA_SUM, &Body::None, Expected::text(55)),
                Self::of(
                    options,
                    "POST",
                    ARENA_SUM,
                    &Body::Sized(b"20".to_vec()),
                    Expected::text(75),
                ),
                Self::of(
                    options,
                    "POST",
                    ARENA_SUM,
                    &Body::Chunked("2\r\n20\r\n0\r\n\r\n"),
                    Expected::text(75),
                ),
            ],
            Mode::ArenaPipelined => vec![Self::of(options, "GET", "/pipeline", &Body::None, Expected::text("ok"))],
            _ => vec![Self::new(options)],
        }
    }

    /// The only one of the modes that have one.
    pub fn new(options: &Options) -> Self {
        let size = options.size;
        let of_mode = match options.mode {
            Mode::Download => format!("/bytes/{size}"),
            Mode::Upload => "/upload".into(),
            Mode::Echo => "/echo".into(),
            _ => "/plaintext".into(),
        };
        let path = options.path.as_deref().unwrap_or(&of_mode);
        let (method, body, expected) = match options.mode {
            Mode::Download => ("GET", Body::None, Expected::Length(size as u64)),
            Mode::Upload => ("POST", Body::Sized(pattern(size)), Expected::text(size)),
            Mode::Echo => ("POST", Body::Sized(pattern(size)), Expected::Bytes(pattern(size))),
            _ if path == "/plaintext" => ("GET", Body::None, Expected::text("Hello, World!")),
            _ => ("GET", Body::None, Expected::Any),
        };
        Self::of(options, method, path, &body, expected)
    }

    fn of(options: &Options, method: &str, path: &str, body: &Body, expected: Expected) -> Self {
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
        let body = match body {
            Body::None => &[],
            Body::Sized(bytes) => {
                head.push_str(&format!("Content-Length: {}\r\n", bytes.len()));
                &bytes[..]
            }
            Body::Chunked(chunks) => {
                head.push_str("Transfer-Encoding: chunked\r\n");
                chunks.as_bytes()
            }
        };
        head.push_str("\r\n");
        let one = [head.as_bytes(), body].concat();
        Self {
            length: one.len(),
            batch: one.repeat(options.depth),
            expected,
        }
    }
}

enum Body {
    None,
    Sized(Vec<u8>),
    /// As it goes over the wire.
    Chunked(&'static str),
}

/// A body in which a piece lost, doubled or moved shows.
fn pattern(size: usize) -> Vec<u8> {
    (0..size).map(|index| b'a' + (index % 23) as u8).collect()
}

const ARENA_SUM: &str = "/baseline11?a=13&b=42";

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
