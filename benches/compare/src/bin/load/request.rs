//! The bytes that are sent, made once, and what must come back.

use crate::answer::Expected;
use crate::options::{Fields, Mode, Options};

/// What every connection sends over and over.
pub struct Request {
    /// As many requests as one write sends, one after the other; of one with a large body, what comes before it.
    batch: Vec<u8>,
    /// A piece of a large body, and how many of them it has: it need not be kept whole.
    piece: Vec<u8>,
    pieces: usize,
    /// What comes behind it.
    end: &'static [u8],
    /// How many requests that is.
    pub depth: usize,
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
            Mode::Upload | Mode::UploadChunked => "/upload".into(),
            Mode::Echo => "/echo".into(),
            _ => "/plaintext".into(),
        };
        let path = options.path.as_deref().unwrap_or(&of_mode);
        let (method, body, expected) = match options.mode {
            Mode::Download => ("GET", Body::None, Expected::Length(size as u64)),
            Mode::Upload => ("POST", Body::Large(size), Expected::text(size)),
            Mode::UploadChunked => ("POST", Body::LargeChunked(size), Expected::text(size)),
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
        match body {
            Body::None => {}
            Body::Sized(bytes) => head.push_str(&format!("Content-Length: {}\r\n", bytes.len())),
            Body::Large(size) => head.push_str(&format!("Content-Length: {size}\r\n")),
            Body::Chunked(_) | Body::LargeChunked(_) => head.push_str("Transfer-Encoding: chunked\r\n"),
        }
        head.push_str("\r\n");
        let mut request = Self {
            batch: head.into_bytes(),
            piece: Vec::new(),
            pieces: 0,
            end: b"",
            depth: options.depth,
            expected,
        };
        match body {
            Body::None => {}
            Body::Sized(bytes) => request.batch.extend_from_slice(bytes),
            Body::Chunked(chunks) => request.batch.extend_from_slice(chunks.as_bytes()),
            Body::Large(size) => {
                request.batch.resize(request.batch.len() + size % PIECE, b'a');
                request.piece = pattern(PIECE);
                request.pieces = size / PIECE;
            }
            Body::LargeChunked(size) => {
                let chunk = |count: usize| [format!("{count:x}\r\n").as_bytes(), &pattern(count), b"\r\n"].concat();
                if size % CHUNK > 0 {
                    request.batch.extend(chunk(size % CHUNK));
                }
                request.piece = chunk(CHUNK);
                request.pieces = size / CHUNK;
                request.end = b"0\r\n\r\n";
            }
        }
        request.batch = request.batch.repeat(options.depth);
        request
    }

    /// Bytes of all that is sent at once.
    pub fn length(&self) -> usize {
        self.batch.len() + self.piece.len() * self.pieces + self.end.len()
    }

    /// What follows the first `sent` bytes, as far as it lies in one piece; nothing at the end.
    pub fn behind(&self, sent: usize) -> &[u8] {
        let Some(in_body) = sent.checked_sub(self.batch.len()) else {
            return &self.batch[sent..];
        };
        let body = self.piece.len() * self.pieces;
        if in_body < body {
            &self.piece[in_body % self.piece.len()..]
        } else {
            &self.end[in_body - body..]
        }
    }
}

enum Body {
    None,
    Sized(Vec<u8>),
    /// As it goes over the wire.
    Chunked(&'static str),
    /// So many bytes, which are not kept.
    Large(usize),
    LargeChunked(usize),
}

/// How much of a large body is kept, and so written at once.
const PIECE: usize = 1 << 20;

/// What a client that does not know its length in advance would send at once.
const CHUNK: usize = 64 << 10;

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

#[cfg(test)]
mod tests {
    use super::{Body, CHUNK, Expected, PIECE, Request};
    use crate::options::Options;

    fn sent(body: &Body, depth: usize) -> Vec<u8> {
        let options = Options {
            depth,
            ..Options::default()
        };
        let request = Request::of(&options, "POST", "/", body, Expected::Any);
        let mut sent = Vec::new();
        while !request.behind(sent.len()).is_empty() {
            // Less than there is, as a socket takes it.
            let behind = request.behind(sent.len());
            sent.extend_from_slice(&behind[..behind.len().min(30_000)]);
        }
        assert_eq!(sent.len(), request.length());
        sent
    }

    #[test]
    fn large_bodies_have_the_length_that_they_are_to_have() {
        for size in [0, 1, PIECE - 1, PIECE, 3 * PIECE + 5] {
            let bytes = sent(&Body::Large(size), 1);
            let head = memchr::memmem::find(&bytes, b"\r\n\r\n").unwrap() + 4;
            assert_eq!(bytes.len() - head, size);
        }
    }

    #[test]
    fn chunks_are_whole() {
        for size in [0, 1, CHUNK, 3 * CHUNK + 5] {
            let bytes = sent(&Body::LargeChunked(size), 1);
            let head = memchr::memmem::find(&bytes, b"\r\n\r\n").unwrap() + 4;
            let (mut rest, mut decoded) = (&bytes[head..], 0);
            loop {
                let line = memchr::memmem::find(rest, b"\r\n").unwrap();
                let count = usize::from_str_radix(std::str::from_utf8(&rest[..line]).unwrap(), 16).unwrap();
                rest = &rest[line + 2 + count..];
                decoded += count;
                assert!(rest.starts_with(b"\r\n"));
                rest = &rest[2..];
                if count == 0 {
                    break;
                }
            }
            assert_eq!((decoded, rest.len()), (size, 0));
        }
    }

    #[test]
    fn a_batch_is_one_request_again_and_again() {
        let one = sent(&Body::Sized(b"body".to_vec()), 1);
        assert_eq!(sent(&Body::Sized(b"body".to_vec()), 3), one.repeat(3));
    }
}
