//! Requests by the book: all that one connection sends, read as a whole.

use super::body::{self, End};
use super::target;
use super::{Event, Limits};
use std::collections::BTreeMap;
use std::net::Ipv6Addr;

/// Why there is no request, or not yet.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Stop {
    Incomplete,
    Refused(u16),
}

const BAD: Stop = Stop::Refused(400);

/// RFC 9112 §2.2.
const EMPTY_LINES: usize = 16;

struct Head {
    len: usize,
    shown: BTreeMap<&'static str, String>,
    length: Option<u64>,
    is_chunked: bool,
    keeps_alive: bool,
    /// What is left of the budgets for trailers.
    fields_size: usize,
    fields: usize,
}

/// What a server that takes every body gets to see.
pub(crate) fn read(mut input: &[u8], limits: &Limits) -> Vec<Event> {
    let mut events = Vec::new();
    loop {
        match one(input, limits, &mut events) {
            Ok(Some(len)) => input = &input[len..],
            Ok(None) | Err(Stop::Incomplete) => return events,
            Err(Stop::Refused(status)) => {
                events.push(Event::Refused(status));
                return events;
            }
        }
    }
}

/// One request with its body; its length, or `None` if nothing may follow it.
fn one(input: &[u8], limits: &Limits, events: &mut Vec<Event>) -> Result<Option<usize>, Stop> {
    let mut rest = input;
    for count in 0.. {
        let Some(behind) = rest.strip_prefix(b"\r\n") else {
            break;
        };
        if count == EMPTY_LINES {
            return Err(BAD);
        }
        rest = behind;
    }
    match rest {
        [] | [b'\r'] => return Err(Stop::Incomplete),
        [b'\r' | b'\n' | 0x16, ..] => return Err(BAD),
        _ => {}
    }
    let head = read_head(rest, limits)?;
    events.push(Event::Request(head.shown));
    let body = &rest[head.len..];
    let len = if head.is_chunked {
        let trailers = (head.fields_size, head.fields);
        let (content, trailers, len) = body::chunked(body, limits.body, trailers).map_err(|end| match end {
            End::Incomplete => Stop::Incomplete,
            End::Refused(status) => Stop::Refused(status),
        })?;
        events.push(Event::Body(content, trailers));
        len
    } else {
        let length = head.length.unwrap_or(0);
        if length > limits.body {
            return Err(Stop::Refused(413));
        }
        let content = body.get(..length as usize).ok_or(Stop::Incomplete)?;
        events.push(Event::Body(content.to_vec(), Vec::new()));
        content.len()
    };
    let all = input.len() - body.len() + len;
    Ok(head.keeps_alive.then_some(all))
}

fn read_head(input: &[u8], limits: &Limits) -> Result<Head, Stop> {
    let mut lines = Vec::new();
    let mut rest = input;
    // Line by line, so that the first mistake decides.
    let (line, behind) = take_line(rest);
    let is_too_long = if behind.is_some() {
        line.len() > limits.line
    } else {
        line.len() >= limits.line
    };
    if is_too_long {
        let is_method = !line[..limits.line].contains(&b' ');
        return Err(Stop::Refused(if is_method { 400 } else { 414 }));
    }
    rest = behind.ok_or(Stop::Incomplete)?;
    let words = request_line(line)?;
    let mut size = 0;
    loop {
        let (line, behind) = take_line(rest);
        if line != b"\r" && line != b"\r\n" {
            size += line.len();
        }
        if size > limits.fields_size {
            return Err(Stop::Refused(431));
        }
        rest = behind.ok_or(Stop::Incomplete)?;
        if line == b"\r\n" {
            break;
        }
        let line = line.strip_suffix(b"\r\n").ok_or(BAD)?;
        lines.push(field(line).ok_or(BAD)?);
        if lines.len() > limits.fields {
            return Err(Stop::Refused(431));
        }
    }
    let mut head = understand(&words, &lines)?;
    head.len = input.len() - rest.len();
    head.fields_size = limits.fields_size - size;
    head.fields = limits.fields - lines.len();
    Ok(head)
}

/// Up to and with the next LF, and what is behind it if there is one.
fn take_line(input: &[u8]) -> (&[u8], Option<&[u8]>) {
    match input.iter().position(|&byte| byte == b'\n') {
        Some(at) => (&input[..=at], Some(&input[at + 1..])),
        None => (input, None),
    }
}

struct Words {
    method: String,
    target: target::Target,
    version: &'static str,
}

fn request_line(line: &[u8]) -> Result<Words, Stop> {
    let line = line.strip_suffix(b"\r\n").ok_or(BAD)?;
    let words: Vec<&[u8]> = line.split(|&byte| byte == b' ').collect();
    let [method, target, version] = words[..] else {
        return Err(BAD);
    };
    let is_target_byte = |byte: &u8| (0x21..=0x7e).contains(byte) && *byte != b'#';
    if !is_token(method) || target.is_empty() || !target.iter().all(is_target_byte) {
        return Err(BAD);
    }
    let version = match version {
        b"HTTP/1.1" => "HTTP/1.1",
        b"HTTP/1.0" => "HTTP/1.0",
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor] if major.is_ascii_digit() && minor.is_ascii_digit() => {
            return Err(Stop::Refused(505));
        }
        _ => return Err(BAD),
    };
    let method = String::from_utf8(method.to_vec()).map_err(|_| BAD)?;
    let target = String::from_utf8(target.to_vec()).map_err(|_| BAD)?;
    let target = target::read(&target, &method).ok_or(BAD)?;
    Ok(Words {
        method,
        target,
        version,
    })
}

/// RFC 9110 §5.6.2.
pub(crate) fn is_token(bytes: &[u8]) -> bool {
    let is_token_byte = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    !bytes.is_empty() && bytes.iter().all(is_token_byte)
}

/// RFC 9110 §5.5: HTAB, SP, visible ASCII and everything from 0x80 on.
pub(crate) fn is_text(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}

/// RFC 9112 §5: `name ":" OWS value OWS`.
pub(crate) fn field(line: &[u8]) -> Option<(String, Vec<u8>)> {
    let colon = line.iter().position(|&byte| byte == b':')?;
    let (name, value) = (&line[..colon], &line[colon + 1..]);
    if !is_token(name) || !value.iter().all(|&byte| is_text(byte)) {
        return None;
    }
    Some((String::from_utf8(name.to_vec()).ok()?, trim(value).to_vec()))
}

fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

/// The members of a comma list, in lower case; empty ones are skipped (RFC 9110 §5.6.1).
fn members(values: &[&[u8]]) -> Vec<Vec<u8>> {
    let all = values.iter().flat_map(|value| value.split(|&byte| byte == b','));
    let all = all.map(|member| trim(member).to_ascii_lowercase());
    all.filter(|member| !member.is_empty()).collect()
}

/// A host and a port, if one is written; `None` if it is none.
pub(crate) fn host(value: &[u8]) -> Option<(String, Option<u16>)> {
    let text = String::from_utf8(value.to_vec()).ok()?;
    let port_at = match text.rfind(']') {
        Some(bracket) => bracket + 1,
        None => text.find(':').unwrap_or(text.len()),
    };
    let (name, port) = text.split_at(port_at);
    let is_name = match name.strip_prefix('[') {
        Some(address) => address.strip_suffix(']')?.parse::<Ipv6Addr>().is_ok(),
        None => {
            let is_name_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"!$&'()-._~".contains(&byte);
            !name.is_empty() && name.bytes().all(is_name_byte)
        }
    };
    let port = match port.strip_prefix(':') {
        Some(digits) if (1..=5).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            Some(digits.parse().ok()?)
        }
        None if port.is_empty() => None,
        _ => return None,
    };
    is_name.then(|| (name.to_owned(), port))
}

/// What the lines mean: Host, framing, Expect, persistence, in this order.
fn understand(words: &Words, fields: &[(String, Vec<u8>)]) -> Result<Head, Stop> {
    let values = |name: &str| -> Vec<&[u8]> {
        let same = fields.iter().filter(|(other, _)| other.eq_ignore_ascii_case(name));
        same.map(|(_, value)| value.as_slice()).collect()
    };
    let is_http11 = words.version == "HTTP/1.1";
    let host = match values("host")[..] {
        [] if is_http11 => return Err(BAD),
        [] => None,
        [value] => Some(host(value).ok_or(BAD)?),
        _ => return Err(BAD),
    };
    if let (Some(authority), Some(host)) = (&words.target.authority, &host) {
        let with_port = |(name, port): &(String, Option<u16>)| {
            let port = port.or(words.target.default_port);
            port.map(|port| (name.to_ascii_lowercase(), port))
        };
        // Where no port is implied, both have to say one.
        if with_port(authority).is_none() || with_port(authority) != with_port(host) {
            return Err(BAD);
        }
    }
    let (length, is_chunked) = framing(
        &words.method,
        is_http11,
        &values("content-length"),
        &values("transfer-encoding"),
    )?;
    let expectations = members(&values("expect"));
    if is_http11 && expectations.iter().any(|member| member != b"100-continue") {
        return Err(Stop::Refused(417));
    }
    let options = members(&values("connection"));
    let has = |option: &[u8]| options.iter().any(|other| other == option);
    let upgrades = has(b"upgrade") && values("upgrade").iter().any(|value| !value.is_empty());
    let is_empty = !is_chunked && length.unwrap_or(0) == 0;
    let mut shown = BTreeMap::from([
        ("method", words.method.clone()),
        ("target", words.target.raw.clone()),
        ("path", words.target.path.clone()),
        ("query", words.target.query.clone()),
        ("version", words.version.to_owned()),
        ("fields", format!("{fields:?}")),
        ("length", format!("{length:?}")),
        ("has body", (!is_empty).to_string()),
        ("upgradable", (is_http11 && upgrades && is_empty).to_string()),
    ]);
    shown.insert("host", format!("{:?}", host.as_ref().map(|(name, _)| name)));
    shown.insert("port", format!("{:?}", host.as_ref().and_then(|(_, port)| *port)));
    Ok(Head {
        len: 0,
        shown,
        length,
        is_chunked,
        keeps_alive: words.method != "CONNECT" && !has(b"close") && (is_http11 || has(b"keep-alive")),
        fields_size: 0,
        fields: 0,
    })
}

/// RFC 9112 §6.3, where every doubt is a refusal: the declared length, and whether the body is chunked.
fn framing(method: &str, is_http11: bool, lengths: &[&[u8]], codings: &[&[u8]]) -> Result<(Option<u64>, bool), Stop> {
    if !codings.is_empty() {
        if !is_http11 || !lengths.is_empty() || codings.len() > 1 {
            return Err(BAD);
        }
        if codings[0].eq_ignore_ascii_case(b"chunked") {
            return Ok((None, true));
        }
        let list: Vec<&[u8]> = codings[0].split(|&byte| byte == b',').map(trim).collect();
        let (last, others) = list.split_last().ok_or(BAD)?;
        let is_chunked = |coding: &[u8]| coding.eq_ignore_ascii_case(b"chunked");
        let is_unknown = |coding: &&[u8]| is_token(coding) && !is_chunked(coding);
        let is_spoken_elsewhere = is_chunked(last) && !others.is_empty() && others.iter().all(is_unknown);
        return Err(Stop::Refused(if is_spoken_elsewhere { 501 } else { 400 }));
    }
    match lengths {
        [] if !is_http11 && ["POST", "PUT"].contains(&method) => Err(BAD),
        [] => Ok((None, false)),
        [digits] => {
            let is_number = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
            let number = std::str::from_utf8(digits).ok().filter(|_| is_number);
            let number = number.and_then(|digits| digits.parse::<i64>().ok()).ok_or(BAD)?;
            Ok((Some(number.unsigned_abs()), false))
        }
        _ => Err(BAD),
    }
}
