//! The server of the wire vectors in `tests/http1-cases.json`: it echoes every request, and answers those under `/.fx/`
//! in the ways in which responses can go right and wrong.
//!
//! ```sh
//! cargo run --example conformance -- --urls http://127.0.0.1:5000
//! ```

use stannel::header::CONTENT_TYPE;
use stannel::{
    BodyEnd, BodyLength, BodySink, BodySource, BodyWriter, Configuration, Exchange, FieldName, Flow, Handler, Method,
    Outcome, Progress, ReaderSource, Request, Server, StatusCode, Tunnel, TunnelIo, Version,
};
use std::error::Error;
use std::fmt::Write as _;
use std::io::{self, Read as _, Write as _};
use std::process::ExitCode;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let mut options = Configuration::from_default_sources(std::env::args_os().skip(1))?.server_options()?;
    options.handle_signals = true;
    let server = Server::new(options, || Conformance).bind()?;
    let mut out = io::stdout();
    for line in server.addresses().iter().flat_map(|address| address.lines()) {
        writeln!(out, "{line}")?;
    }
    // Whoever started us waits for these lines, perhaps through a pipe.
    out.flush()?;
    server.run()?;
    Ok(())
}

/// Echoes, and plays the fixtures.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Conformance;

impl Handler for Conformance {
    fn handle(&mut self, request: &Request<'_>, exchange: Exchange<'_>) -> Outcome {
        match request.path().strip_prefix("/.fx/") {
            None => exchange.receive(Echo::of(request)),
            Some("noread") => ok(exchange),
            Some("readone") => exchange.receive(ReadOne),
            Some(name) => exchange.receive(ReadAll {
                fixture: Fixture::named(name),
            }),
        }
    }
}

fn ok(exchange: Exchange<'_>) -> Outcome {
    exchange.respond(StatusCode::OK).send("ok")
}

// ---- the echo

/// Takes the whole body, of which it keeps the beginning, then tells what the request was.
struct Echo {
    status: StatusCode,
    text: String,
    body: Vec<u8>,
    length: u64,
    crc: Crc32,
}

/// Longer bodies are told by length and checksum alone.
const SHOWN_BODY: usize = 512;

impl Echo {
    fn of(request: &Request<'_>) -> Self {
        let version = if request.version() == Version::HTTP_10 {
            "1.0"
        } else {
            "1.1"
        };
        let mut text = String::new();
        line(&mut text, "method", request.method().as_str().as_bytes());
        line(&mut text, "target", request.target().as_bytes());
        line(&mut text, "path", request.path().as_bytes());
        line(&mut text, "query", request.query().as_bytes());
        line(&mut text, "version", version.as_bytes());
        for (name, value) in request.headers().iter() {
            field(&mut text, "header", name, value);
        }
        // We are no proxy.
        let status = if *request.method() == Method::CONNECT {
            StatusCode::NOT_IMPLEMENTED
        } else {
            StatusCode::OK
        };
        Self {
            status,
            text,
            body: Vec::new(),
            length: 0,
            crc: Crc32::default(),
        }
    }
}

impl BodySink for Echo {
    fn data(&mut self, data: &[u8]) -> Flow {
        self.length += data.len() as u64;
        self.crc.add(data);
        let room = SHOWN_BODY - self.body.len();
        self.body.extend_from_slice(&data[..data.len().min(room)]);
        Flow::Continue
    }

    fn finish(self: Box<Self>, end: BodyEnd<'_>, exchange: Exchange<'_>) -> Outcome {
        let mut text = self.text;
        line(&mut text, "body-length", self.length.to_string().as_bytes());
        line(&mut text, "body-crc32", format!("{:08x}", self.crc.sum()).as_bytes());
        if self.length <= SHOWN_BODY as u64 {
            line(&mut text, "body", &self.body);
        }
        for (name, value) in end.trailers().iter() {
            field(&mut text, "trailer", name, value);
        }
        exchange
            .respond(self.status)
            .header(CONTENT_TYPE, "text/plain")
            .send(text)
    }
}

fn line(text: &mut String, key: &str, value: &[u8]) {
    text.push_str(key);
    text.push('=');
    escape(text, value);
    text.push('\n');
}

fn field(text: &mut String, key: &str, name: &str, value: &[u8]) {
    text.push_str(key);
    text.push('=');
    escape(text, name.to_ascii_lowercase().as_bytes());
    text.push(':');
    escape(text, value);
    text.push('\n');
}

fn escape(text: &mut String, bytes: &[u8]) {
    for &byte in bytes {
        match byte {
            b'\\' | 0..=0x1f | 0x7f.. => {
                let _ = write!(text, "\\x{byte:02x}");
            }
            _ => text.push(char::from(byte)),
        }
    }
}

/// CRC-32 as in IEEE 802.3 and zlib.
struct Crc32(u32);

const CRC_TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut index = 0;
    while index < 256 {
        let mut rest = index as u32;
        let mut bit = 0;
        while bit < 8 {
            rest = (rest >> 1) ^ if rest & 1 == 1 { 0xedb8_8320 } else { 0 };
            bit += 1;
        }
        table[index] = rest;
        index += 1;
    }
    table
};

impl Default for Crc32 {
    fn default() -> Self {
        Self(u32::MAX)
    }
}

impl Crc32 {
    fn add(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = (self.0 >> 8) ^ CRC_TABLE[usize::from(self.0 as u8 ^ byte)];
        }
    }

    fn sum(&self) -> u32 {
        !self.0
    }
}

// ---- the fixtures

/// Takes body bytes until at least one came, then wants no more.
struct ReadOne;

impl BodySink for ReadOne {
    fn data(&mut self, _data: &[u8]) -> Flow {
        Flow::Stop
    }

    fn finish(self: Box<Self>, _end: BodyEnd<'_>, exchange: Exchange<'_>) -> Outcome {
        ok(exchange)
    }
}

/// Takes the whole body, then answers as the fixture does.
struct ReadAll {
    fixture: Fixture,
}

impl BodySink for ReadAll {
    fn data(&mut self, _data: &[u8]) -> Flow {
        Flow::Continue
    }

    fn finish(self: Box<Self>, _end: BodyEnd<'_>, exchange: Exchange<'_>) -> Outcome {
        self.fixture.answer(exchange)
    }
}

/// What is answered.
enum Fixture {
    /// That status and nothing else.
    Status(StatusCode),
    /// 200 and these writes.
    Writes(BodyLength, Writes),
    /// 200 and so many bytes.
    Big(u64),
    /// 200, `ok` and these fields.
    Fields(&'static [(&'static str, &'static str)]),
    /// 200, `ok` and a field that must never be sent.
    Inject(&'static str, &'static str),
    /// The handler loses its right to answer.
    Fail,
    Abort,
    Upgrade,
}

impl Fixture {
    fn named(name: &str) -> Self {
        use BodyLength::{Exact, Unknown};
        let writes = |length, parts| Self::Writes(length, Writes::then(parts, Progress::Done));
        match name {
            "stream" => writes(Unknown, &["hello, ", "world"]),
            "empty-writes" => writes(Unknown, &["", "x", "", "y", ""]),
            "length" => writes(Exact(12), &["hello, ", "world"]),
            "short-none" => writes(Exact(11), &[]),
            "short-some" => writes(Exact(11), &["hello"]),
            "long-first" => writes(Exact(5), &["hello, world"]),
            "long-second" => writes(Exact(5), &["hello", ", world"]),
            "fail-late" => Self::Writes(Unknown, Writes::then(&["partial"], Progress::Failed)),
            "fail-early" => Self::Fail,
            "abort" => Self::Abort,
            "upgrade" => Self::Upgrade,
            "close" => Self::Fields(&[("connection", "close")]),
            "own-date" => Self::Fields(&[("date", "Thu, 01 Jan 1970 00:00:00 GMT"), ("server", "own")]),
            "two-cookies" => Self::Fields(&[("set-cookie", "a=1"), ("set-cookie", "b=2")]),
            "inject-value" => Self::Inject("x-evil", "a\r\nInjected: yes"),
            "inject-name" => Self::Inject("X Evil\r\nInjected", "yes"),
            _ => Self::with_argument(name).unwrap_or(Self::Status(StatusCode::NOT_FOUND)),
        }
    }

    fn with_argument(name: &str) -> Option<Self> {
        match name.split_once('/')? {
            ("status", status) => StatusCode::from_bytes(status.as_bytes()).ok().map(Self::Status),
            ("big", length) => length.parse().ok().map(Self::Big),
            _ => None,
        }
    }

    fn answer(self, exchange: Exchange<'_>) -> Outcome {
        match self {
            Self::Status(status) => exchange.respond(status).send(""),
            Self::Writes(length, writes) => exchange.respond(StatusCode::OK).stream(length, writes),
            Self::Big(length) => exchange.respond(StatusCode::OK).stream(
                BodyLength::Exact(length),
                ReaderSource::new(io::repeat(b'a').take(length)),
            ),
            Self::Fields(fields) => fields
                .iter()
                .fold(exchange.respond(StatusCode::OK), |head, &(name, value)| {
                    head.header(name, value)
                })
                .send("ok"),
            Self::Inject(name, value) => inject(exchange, name, value),
            // A responder that is dropped without an answer answers 500.
            Self::Fail => exchange.defer(drop),
            Self::Abort => exchange.abort(),
            Self::Upgrade => match exchange.try_upgrade("fx-echo") {
                Ok(upgrade) => upgrade.switch_to(EchoTunnel),
                Err((_, exchange)) => exchange.respond(StatusCode::OK).send("not-upgradable"),
            },
        }
    }
}

fn inject(exchange: Exchange<'_>, name: impl FieldName, value: &str) -> Outcome {
    let mut head = exchange.respond(StatusCode::OK);
    match head.try_header(name, value) {
        Ok(()) => head.send("ok"),
        Err(_) => head.send("rejected"),
    }
}

/// Writes its parts one by one.
struct Writes {
    parts: &'static [&'static str],
    end: Progress,
}

impl Writes {
    fn then(parts: &'static [&'static str], end: Progress) -> Self {
        Self { parts, end }
    }
}

impl BodySource for Writes {
    fn fill(&mut self, writer: &mut BodyWriter<'_>) -> Progress {
        let Some((first, rest)) = self.parts.split_first() else {
            return self.end;
        };
        writer.put(first.as_bytes());
        self.parts = rest;
        Progress::More
    }
}

/// Sends everything back, up to a `!`.
struct EchoTunnel;

impl Tunnel for EchoTunnel {
    fn on_data(&mut self, data: &[u8], io: &mut TunnelIo<'_>) -> Flow {
        match data.iter().position(|&byte| byte == b'!') {
            Some(at) => {
                io.put(&data[..=at]);
                Flow::Stop
            }
            None => {
                io.put(data);
                Flow::Continue
            }
        }
    }
}
