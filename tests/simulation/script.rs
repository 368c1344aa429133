//! What a peer asks for, byte by byte, and what has to come back. Every answer carries the number of its peer, the number
//! of its request, and sums over all that the handler saw: what belongs to another request would show.

use super::dice::Dice;
use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hash, Hasher};

/// One request.
pub(crate) struct Planned {
    pub(crate) bytes: Vec<u8>,
    pub(crate) expect: Expect,
    pub(crate) is_head: bool,
}

/// What answers it.
#[derive(Debug)]
pub(crate) enum Expect {
    Answer(u16, Vec<u8>),
    /// The same, and the connection ends.
    Last(u16, Vec<u8>),
    /// It is cut off behind the beginning of that body; if nothing was sent yet it is 500. The connection ends.
    Cut(Vec<u8>),
    /// It is no request: refused or not answered at all. The connection ends.
    Refused,
    /// A reset.
    Nothing,
    /// Another protocol, which echoes.
    Echo(Vec<u8>),
}

impl Expect {
    pub(crate) fn is_last(&self) -> bool {
        !matches!(self, Self::Answer(..))
    }
}

/// Requests of all kinds: `/kind/peer/number`.
const KINDS: [&str; 12] = [
    "now",
    "now",
    "early",
    "late",
    "late-stream",
    "stream",
    "exact",
    "sink",
    "stop",
    "pipe",
    "big",
    "panic",
];

/// Those that end their connection, or may.
const LAST_KINDS: [&str; 9] = [
    "tunnel",
    "abort",
    "late-abort",
    "short",
    "panic-fill",
    "panic-sink",
    "close",
    "old",
    "lie",
];

/// Whether the handler reads the body.
fn reads_body(kind: &str) -> bool {
    matches!(kind, "now" | "sink" | "pipe" | "big")
}

/// A script of that many requests.
pub(crate) fn write(peer: usize, count: usize, dice: &mut Dice) -> Vec<Planned> {
    (1..=count)
        .map(|number| {
            let kind = if number == count && dice.chance(40) {
                dice.one_of(&LAST_KINDS)
            } else {
                dice.one_of(&KINDS)
            };
            request(kind, peer, number, dice)
        })
        .collect()
}

fn request(kind: &str, peer: usize, number: usize, dice: &mut Dice) -> Planned {
    if kind == "lie" {
        return Planned {
            bytes: lie(peer, number, dice),
            expect: Expect::Refused,
            is_head: false,
        };
    }
    let is_head = matches!(kind, "early" | "late") && dice.chance(20);
    let may_have_body = !is_head && !matches!(kind, "tunnel" | "old");
    let wants_body = matches!(kind, "stop" | "panic-sink");
    let body = if may_have_body && (wants_body || dice.chance(50)) {
        content(peer, number, dice)
    } else {
        Vec::new()
    };
    let method = match (is_head, body.is_empty()) {
        (true, _) => "HEAD",
        (_, true) => "GET",
        _ => dice.one_of(&["POST", "PUT", "REPORT"]),
    };
    let target = format!("/{kind}/{peer}/{number}?{}", "q".repeat(dice.below(20)));
    let mut fields = vec![("Host".to_owned(), format!("peer-{peer}"))];
    for _ in 0..dice.below(4) {
        fields.push((
            format!("X-{}", dice.below(3)),
            format!("{peer}.{number}.{}", dice.below(1000)),
        ));
    }
    let mut trailers = Vec::new();
    let framed = match (body.is_empty(), dice.chance(50)) {
        (true, _) => Vec::new(),
        (_, true) => {
            fields.push(("Content-Length".to_owned(), body.len().to_string()));
            body.clone()
        }
        _ => {
            fields.push(("Transfer-Encoding".to_owned(), "chunked".to_owned()));
            for index in 0..dice.below(3) {
                trailers.push((format!("X-Sum-{index}"), format!("{peer}.{number}")));
            }
            chunked(&body, &trailers, dice)
        }
    };
    // Somebody waits for the body, so that a doubt about it cannot end the connection.
    if reads_body(kind) && !body.is_empty() && dice.chance(20) {
        fields.push(("Expect".to_owned(), "100-continue".to_owned()));
    }
    match kind {
        "tunnel" => {
            fields.push(("Connection".to_owned(), "upgrade".to_owned()));
            fields.push(("Upgrade".to_owned(), "echo".to_owned()));
        }
        "close" => fields.push(("Connection".to_owned(), "close".to_owned())),
        _ => {}
    }
    let version = if kind == "old" { "1.0" } else { "1.1" };
    let mut bytes = format!("{method} {target} HTTP/{version}\r\n");
    for (name, value) in &fields {
        let _ = write!(bytes, "{name}:{}{value}\r\n", dice.one_of(&["", " ", " \t "]));
    }
    bytes.push_str("\r\n");
    let mut bytes = bytes.into_bytes();
    bytes.extend_from_slice(&framed);

    let head = sum_of_head(
        method,
        &target,
        fields.iter().map(|(name, value)| (name.as_str(), value.as_bytes())),
    );
    let all = sum_of_body(
        &body,
        trailers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())),
    );
    let short = line(peer, number, head, 0);
    let whole = line(peer, number, head, all);
    let expect = match kind {
        "now" | "sink" => Expect::Answer(200, whole),
        "big" => Expect::Answer(200, padded(whole)),
        "early" | "late" | "stop" => Expect::Answer(200, short),
        "late-stream" | "stream" | "exact" => Expect::Answer(200, repeated(&short)),
        "pipe" => Expect::Answer(200, body),
        "panic" => Expect::Answer(500, Vec::new()),
        "close" | "old" => Expect::Last(200, short),
        "panic-sink" => Expect::Last(500, Vec::new()),
        "short" | "panic-fill" => Expect::Cut(short),
        "tunnel" => {
            let said = content(peer, number, dice);
            bytes.extend_from_slice(&said);
            Expect::Echo(said)
        }
        _ => Expect::Nothing,
    };
    Planned { bytes, expect, is_head }
}

/// Bytes that nobody else sends.
fn content(peer: usize, number: usize, dice: &mut Dice) -> Vec<u8> {
    let size = dice.one_of(&[1, 10, 100, 1000, 5000, 20_000]);
    let unit = format!("<{peer}.{number}>");
    unit.bytes().cycle().take(dice.between(1, size)).collect()
}

fn chunked(body: &[u8], trailers: &[(String, String)], dice: &mut Dice) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = body;
    while !rest.is_empty() {
        let size = dice.between(1, 3000).min(rest.len());
        let (chunk, behind) = rest.split_at(size);
        let extension = dice.one_of(&["", "", ";a", " ; b=\"c;\\\"\"", ";d=e;f"]);
        out.extend_from_slice(format!("{size:x}{extension}\r\n").as_bytes());
        out.extend_from_slice(chunk);
        out.extend_from_slice(b"\r\n");
        rest = behind;
    }
    out.extend_from_slice(b"0\r\n");
    for (name, value) in trailers {
        out.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
    }
    out.extend_from_slice(b"\r\n");
    out
}

/// What no server may take for a request; behind it lies one that must never be seen.
fn lie(peer: usize, number: usize, dice: &mut Dice) -> Vec<u8> {
    let hidden = format!("GET /hidden/{peer}/{number} HTTP/1.1\r\nHost: h\r\n\r\n");
    let target = format!("/now/{peer}/{number}");
    let head = match dice.below(8) {
        0 => "GET  / HTTP/1.1\r\nHost: h\r\n\r\n".to_owned(),
        1 => format!("POST {target} HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"),
        2 => format!("POST {target} HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\nhello\r\n0\r\n\r\n"),
        3 => format!("POST {target} HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhello\r\n0\r\n\r\n"),
        4 => format!("GET {target} HTTP/1.1\r\nHost: h\r\nX: {}\r\n\r\n", "x".repeat(10_000)),
        5 => format!("GET {target}{} HTTP/1.1\r\n", "x".repeat(3000)),
        6 => format!("POST {target} HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999\r\n\r\n"),
        _ => "\u{16}\u{3}\u{1}\0\u{5}".to_owned(),
    };
    [head, hidden].concat().into_bytes()
}

pub(crate) fn sum_of_head<'a>(method: &str, target: &str, fields: impl Iterator<Item = (&'a str, &'a [u8])>) -> u64 {
    let mut sum = DefaultHasher::new();
    (method, target).hash(&mut sum);
    fields.for_each(|field| field.hash(&mut sum));
    sum.finish()
}

pub(crate) fn sum_of_body<'a>(body: &[u8], trailers: impl Iterator<Item = (&'a str, &'a [u8])>) -> u64 {
    let mut sum = DefaultHasher::new();
    body.hash(&mut sum);
    trailers.for_each(|field| field.hash(&mut sum));
    sum.finish()
}

pub(crate) fn line(peer: usize, number: usize, head: u64, body: u64) -> Vec<u8> {
    format!("{peer}.{number} {head:016x} {body:016x}\n").into_bytes()
}

/// More than any buffer of the simulation holds.
pub(crate) fn padded(mut line: Vec<u8>) -> Vec<u8> {
    line.resize(40_000, b'z');
    line
}

/// How often a stream says its line.
pub(crate) const REPEATS: usize = 300;

pub(crate) fn repeated(line: &[u8]) -> Vec<u8> {
    line.repeat(REPEATS)
}
