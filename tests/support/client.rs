//! A client that sends raw bytes and reads responses. Whatever takes longer than a test may wait is a failure.

// Each test file uses a part of it.
#![allow(dead_code)]

use socket2::SockRef;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// Longer than anything takes on a machine that is busy with other things.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Client {
    reader: BufReader<TcpStream>,
}

/// One response, read whole.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    /// Status line and fields.
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Response {
    /// Whether the server said that it closes the connection.
    pub(crate) fn says_close(&self) -> bool {
        self.head
            .lines()
            .any(|line| line.eq_ignore_ascii_case("connection: close"))
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        Self::from_stream(TcpStream::connect(address).unwrap())
    }

    pub(crate) fn from_stream(stream: TcpStream) -> Self {
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Self {
            reader: BufReader::with_capacity(64 << 10, stream),
        }
    }

    pub(crate) fn stream(&self) -> &TcpStream {
        self.reader.get_ref()
    }

    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream().write_all(bytes.as_ref()).unwrap();
    }

    pub(crate) fn get(&mut self, target: &str) -> Response {
        self.send(get(target));
        self.response()
    }

    /// The next response to a request other than HEAD.
    pub(crate) fn response(&mut self) -> Response {
        self.try_response().expect("a response was owed")
    }

    /// The same; `None` when the connection ends where a response would begin.
    pub(crate) fn try_response(&mut self) -> Option<Response> {
        let mut head = String::new();
        loop {
            let before = head.len();
            let count = self.reader.read_line(&mut head).expect("the head of a response");
            if count == 0 && before == 0 {
                return None;
            }
            assert!(count > 0, "the end inside a head: {head:?}");
            if &head[before..] == "\r\n" {
                break;
            }
        }
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        let field = |name: &str| {
            head.lines().find_map(|line| {
                let (found, value) = line.split_once(':')?;
                found.eq_ignore_ascii_case(name).then(|| value.trim())
            })
        };
        let mut body = Vec::new();
        if let Some(length) = field("content-length") {
            body.resize(length.parse().unwrap(), 0);
            self.reader.read_exact(&mut body).expect("the whole body");
        } else if field("transfer-encoding").is_some() {
            self.read_chunks(&mut body);
        }
        Some(Response {
            status: status.expect("a status line"),
            head,
            body,
        })
    }

    fn read_chunks(&mut self, body: &mut Vec<u8>) {
        loop {
            let mut line = String::new();
            self.reader.read_line(&mut line).unwrap();
            let size = usize::from_str_radix(line.trim_end(), 16).unwrap();
            let begin = body.len();
            body.resize(begin + size + 2, 0);
            self.reader.read_exact(&mut body[begin..]).unwrap();
            assert_eq!(&body[begin + size..], b"\r\n");
            body.truncate(begin + size);
            if size == 0 {
                return;
            }
        }
    }

    /// Reads that many bytes and throws them away.
    pub(crate) fn discard(&mut self, count: u64) {
        let read = std::io::copy(&mut (&mut self.reader).take(count), &mut std::io::sink()).unwrap();
        assert_eq!(read, count, "the connection ended early");
    }

    pub(crate) fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.reader.read_exact(&mut bytes).unwrap();
        bytes
    }

    /// What comes until the server ends the connection in order.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        self.reader.read_to_end(&mut rest).expect("an orderly end");
        rest
    }

    /// The server ended the connection in order and sent nothing more.
    pub(crate) fn expect_end(&mut self) {
        let rest = self.rest();
        assert!(rest.is_empty(), "more came: {:?}", String::from_utf8_lossy(&rest));
    }

    /// The server reset the connection; what came before is thrown away.
    pub(crate) fn expect_reset(&mut self) {
        let error = std::io::copy(&mut self.reader, &mut std::io::sink()).expect_err("a reset");
        assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}");
    }

    /// Whether nothing comes for that long.
    pub(crate) fn hears_nothing_for(&mut self, time: Duration) -> bool {
        self.stream().set_read_timeout(Some(time)).unwrap();
        let result = self.stream().peek(&mut [0]);
        self.stream().set_read_timeout(Some(PATIENCE)).unwrap();
        result.is_err_and(|error| matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut))
    }

    /// Waits for the next byte, or for the end, without taking it.
    pub(crate) fn wait_for_byte(&self) -> std::io::Result<usize> {
        self.stream().peek(&mut [0])
    }

    pub(crate) fn end_output(&self) {
        self.stream().shutdown(Shutdown::Write).unwrap();
    }

    /// Leaves without a word.
    pub(crate) fn reset(self) {
        SockRef::from(self.stream()).set_linger(Some(Duration::ZERO)).unwrap();
    }
}

/// The whole answer to one request over a Unix socket.
pub(crate) fn ask_over_unix(mut stream: UnixStream) -> String {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    response
}

pub(crate) fn get(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: h\r\n\r\n")
}

/// Asks again and again until the answer is yes.
pub(crate) fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < PATIENCE, "still waiting for: {what}");
        // The others need the processor more than the one who asks.
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Waits until nobody listens there. A connection that was just made may still be reset, so only the refusal counts.
pub(crate) fn wait_until_refused(address: SocketAddr) {
    wait_until("the listener to be closed", || {
        TcpStream::connect(address).is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
    });
}

/// Whether the figures are to be the full ones, for a machine that has the time.
pub(crate) fn is_heavy() -> bool {
    std::env::var_os("STANNEL_HEAVY").is_some_and(|value| value == "1")
}
