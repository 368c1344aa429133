//! Takes a server's bytes apart, and refuses whatever is not strictly well formed.

#![allow(dead_code, reason = "each user takes some of it")]

use std::ops::Range;

type Result<T> = std::result::Result<T, String>;

/// A complete response.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Response {
    pub(crate) status: u16,
    /// Names in lower case.
    pub(crate) fields: Vec<(String, Vec<u8>)>,
    /// The statuses of the interim responses before it.
    pub(crate) interim: Vec<u16>,
    pub(crate) framing: Framing,
    pub(crate) body: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Framing {
    None,
    Length,
    Chunked,
    Close,
    Upgraded,
}

/// What a server has sent so far.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) responses: Vec<Response>,
    /// Interim responses whose final one is not complete.
    pub(crate) interim: Vec<u16>,
    /// Where the bytes that belong to no complete response lie.
    pub(crate) rest: Range<usize>,
}

impl Response {
    pub(crate) fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        let same = self.fields.iter().filter(move |(other, _)| other == name);
        same.map(|(_, value)| value.as_slice())
    }

    /// Whether it announces the end of the connection.
    pub(crate) fn says_close(&self) -> bool {
        self.values("connection")
            .flat_map(|value| value.split(|&byte| byte == b','))
            .any(|member| member.trim_ascii().eq_ignore_ascii_case(b"close"))
    }
}

impl Framing {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Length => "length",
            Self::Chunked => "chunked",
            Self::Close => "close",
            Self::Upgraded => "upgraded",
        }
    }
}

/// Reads responses as far as they are complete; `ended` says that no byte will follow, `answers_head` that the response
/// with that index answers a HEAD.
pub(crate) fn read(bytes: &[u8], ended: bool, answers_head: impl Fn(usize) -> bool) -> Result<Received> {
    let mut received = Received {
        responses: Vec::new(),
        interim: Vec::new(),
        rest: bytes.len()..bytes.len(),
    };
    let mut at = 0;
    while at < bytes.len() {
        let Some((head, body)) = head(bytes, at)? else {
            received.rest = at..bytes.len();
            break;
        };
        if head.status < 200 && head.status != 101 {
            received.interim.push(head.status);
            at = body;
            continue;
        }
        let has_body = !(answers_head(received.responses.len()) || matches!(head.status, 204 | 304));
        let whole = if head.status == 101 {
            Some((Framing::Upgraded, bytes[body..].to_vec(), bytes.len()))
        } else if !has_body {
            Some((Framing::None, Vec::new(), body))
        } else {
            read_body(&head, bytes, body, ended)?
        };
        let Some((framing, content, end)) = whole else {
            received.rest = at..bytes.len();
            break;
        };
        received.responses.push(Response {
            status: head.status,
            fields: head.fields,
            interim: std::mem::take(&mut received.interim),
            framing,
            body: content,
        });
        at = end;
    }
    Ok(received)
}

struct Head {
    status: u16,
    fields: Vec<(String, Vec<u8>)>,
    length: Option<usize>,
    is_chunked: bool,
}

/// The head that begins there and where it ends, or `None` if it is incomplete.
fn head(bytes: &[u8], start: usize) -> Result<Option<(Head, usize)>> {
    const VERSION: &[u8] = b"HTTP/1.1 ";
    let bytes = &bytes[start..];
    let seen = bytes.len().min(VERSION.len());
    if bytes[..seen] != VERSION[..seen] {
        return Err(format!("bytes that are no response: {}", show(bytes)));
    }
    let Some(len) = find(bytes, b"\r\n\r\n") else {
        return Ok(None);
    };
    let mut lines = Lines(&bytes[..len + 2]);
    let status_line = lines.take()?.unwrap_or_default();
    let status =
        status(&status_line[VERSION.len()..]).ok_or_else(|| format!("bad status line: {}", show(status_line)))?;
    let mut head = Head {
        status,
        fields: Vec::new(),
        length: None,
        is_chunked: false,
    };
    while let Some(line) = lines.take()? {
        head.fields.push(field(line)?);
    }
    for once in ["content-length", "transfer-encoding", "date", "server"] {
        if head.fields.iter().filter(|(name, _)| name == once).count() > 1 {
            return Err(format!("{once} sent more than once"));
        }
    }
    let value_of = |wanted: &str| {
        head.fields
            .iter()
            .find(|(name, _)| name == wanted)
            .map(|(_, value)| value)
    };
    let length = value_of("content-length").map(|value| decimal(value)).transpose()?;
    let coding = value_of("transfer-encoding").map(Vec::as_slice);
    if coding.is_some_and(|coding| coding != b"chunked") {
        return Err("a Transfer-Encoding other than chunked".into());
    }
    if length.is_some() && coding.is_some() {
        return Err("both Content-Length and Transfer-Encoding".into());
    }
    if (status < 200 || status == 204) && (length.is_some() || coding.is_some()) {
        return Err(format!("a framing field on {status}"));
    }
    head.length = length;
    head.is_chunked = coding.is_some();
    Ok(Some((head, start + len + 4)))
}

/// `NNN SP reason`, 100 to 599.
fn status(text: &[u8]) -> Option<u16> {
    let (digits, reason) = (text.get(..3)?, text.get(3..)?);
    let [b' ', reason @ ..] = reason else { return None };
    let is_status = matches!(digits, [b'1'..=b'5', b'0'..=b'9', b'0'..=b'9']);
    let status = std::str::from_utf8(digits).ok()?.parse().ok()?;
    (is_status && reason.iter().all(|&byte| is_text(byte))).then_some(status)
}

/// A name in lower case and its value without the white space around it.
fn field(line: &[u8]) -> Result<(String, Vec<u8>)> {
    let bad = || format!("bad response field: {}", show(line));
    let colon = line.iter().position(|&byte| byte == b':').ok_or_else(bad)?;
    let (name, value) = (&line[..colon], &line[colon + 1..]);
    let is_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    if name.is_empty() || !name.iter().all(is_token) || !value.iter().all(|&byte| is_text(byte)) {
        return Err(bad());
    }
    let name = std::str::from_utf8(name).map_err(|_| bad())?;
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\t');
    let from = value.iter().position(|byte| !is_space(byte)).unwrap_or(value.len());
    let to = value
        .iter()
        .rposition(|byte| !is_space(byte))
        .map_or(from, |last| last + 1);
    Ok((name.to_ascii_lowercase(), value[from..to].to_vec()))
}

/// The body that begins at `at`: how it is framed, its content, and where it ends.
fn read_body(head: &Head, bytes: &[u8], at: usize, ended: bool) -> Result<Option<(Framing, Vec<u8>, usize)>> {
    if head.is_chunked {
        let chunks = chunked(bytes, at)?;
        return Ok(chunks.map(|(content, end)| (Framing::Chunked, content, end)));
    }
    let Some(length) = head.length else {
        return Ok(ended.then(|| (Framing::Close, bytes[at..].to_vec(), bytes.len())));
    };
    let end = at.saturating_add(length);
    let content = bytes.get(at..end);
    Ok(content.map(|content| (Framing::Length, content.to_vec(), end)))
}

fn chunked(bytes: &[u8], mut at: usize) -> Result<Option<(Vec<u8>, usize)>> {
    let mut content = Vec::new();
    loop {
        let mut lines = Lines(&bytes[at..]);
        let Some(line) = lines.take()? else { return Ok(None) };
        let size = chunk_size(line)?;
        at = bytes.len() - lines.0.len();
        if size == 0 {
            break;
        }
        let end = at.saturating_add(size);
        let Some(data) = bytes.get(at..end) else {
            return Ok(None);
        };
        content.extend_from_slice(data);
        at = end;
        let Some(behind) = bytes.get(at..at + 2) else {
            return Ok(None);
        };
        if behind != b"\r\n" {
            return Err(format!("no CRLF behind chunk data: {}", show(behind)));
        }
        at += 2;
    }
    let mut lines = Lines(&bytes[at..]);
    while let Some(line) = lines.take()? {
        if line.is_empty() {
            return Ok(Some((content, bytes.len() - lines.0.len())));
        }
        field(line)?;
    }
    Ok(None)
}

/// Lower-case hexadecimal without leading zeros and without extensions.
fn chunk_size(line: &[u8]) -> Result<usize> {
    let is_plain = line == b"0" || !matches!(line, [] | [b'0', ..]);
    let is_hex = line.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    std::str::from_utf8(line)
        .ok()
        .filter(|_| is_plain && is_hex)
        .and_then(|digits| usize::from_str_radix(digits, 16).ok())
        .ok_or_else(|| format!("bad chunk size line: {}", show(line)))
}

fn decimal(value: &[u8]) -> Result<usize> {
    std::str::from_utf8(value)
        .ok()
        .filter(|digits| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()))
        .and_then(|digits| digits.parse().ok())
        .ok_or_else(|| format!("bad Content-Length: {}", show(value)))
}

/// Lines that end in CRLF and hold neither CR nor LF.
struct Lines<'a>(&'a [u8]);

impl<'a> Lines<'a> {
    /// The next line without its end; `None` if there is none that has ended.
    fn take(&mut self) -> Result<Option<&'a [u8]>> {
        let Some(len) = self.0.iter().position(|byte| matches!(byte, b'\r' | b'\n')) else {
            return Ok(None);
        };
        match &self.0[len..] {
            [b'\r', b'\n', rest @ ..] => {
                let line = &self.0[..len];
                self.0 = rest;
                Ok(Some(line))
            }
            [b'\r'] => Ok(None),
            _ => Err(format!("bare CR or LF: {}", show(self.0))),
        }
    }
}

fn is_text(byte: u8) -> bool {
    matches!(byte, b'\t' | 0x20..=0x7e | 0x80..)
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    memchr::memmem::find(bytes, what)
}

/// The beginning of some bytes, readable.
pub(crate) fn show(bytes: &[u8]) -> String {
    let end = bytes.len().min(80);
    let more = if end < bytes.len() { "…" } else { "" };
    format!("\"{}\"{more} ({} bytes)", bytes[..end].escape_ascii(), bytes.len())
}
