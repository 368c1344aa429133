//! The text in which a request comes back.

use super::cases::{ExpectEcho, Fields};
use super::response::show;

type Result<T> = std::result::Result<T, String>;

/// What the server understood.
#[derive(Debug, Default)]
struct Echo {
    lines: Vec<(String, Vec<u8>)>,
    headers: Fields,
    trailers: Fields,
    length: u64,
    crc: u32,
    body: Option<Vec<u8>>,
}

/// Bodies up to this length are shown.
const SHOWN_BODY: u64 = 512;

/// Compares; `number` is what `{i}` stands for.
pub(crate) fn check(text: &[u8], expect: &ExpectEcho, number: usize) -> Result<()> {
    let echo = Echo::parse(text)?;
    for (key, expected) in &expect.lines {
        let expected = numbered(expected, number);
        let line = echo.lines.iter().find(|(name, _)| name == key);
        let actual = line.map_or(&[][..], |(_, value)| value);
        same(key, actual, &expected)?;
    }
    if let Some(headers) = &expect.headers {
        same_fields("headers", &echo.headers, headers)?;
    }
    for (name, value) in &expect.has {
        let found: Fields = named(&echo.headers, name).cloned().collect();
        same_fields("headers of that name", &found, &vec![(name.clone(), value.clone())])?;
    }
    if let Some(name) = expect
        .lacks
        .iter()
        .find(|name| named(&echo.headers, name).next().is_some())
    {
        return Err(format!("header {} must not be there", show(name)));
    }
    if let Some(body) = &expect.body
        && (echo.length, echo.crc) != (body.len() as u64, crc32(body))
    {
        let shown = echo.body.as_deref().map_or_else(|| "not shown".to_owned(), show);
        return Err(format!("body is {shown}, {} bytes, not {}", echo.length, show(body)));
    }
    if let Some(length) = expect.body_length.filter(|&length| length != echo.length) {
        return Err(format!("body has {} bytes, not {length}", echo.length));
    }
    if let Some(trailers) = &expect.trailers {
        same_fields("trailers", &echo.trailers, trailers)?;
    }
    Ok(())
}

fn named<'a>(fields: &'a Fields, name: &'a [u8]) -> impl Iterator<Item = &'a (Vec<u8>, Vec<u8>)> {
    fields.iter().filter(move |(other, _)| other == name)
}

fn same(what: &str, actual: &[u8], expected: &[u8]) -> Result<()> {
    if actual == expected {
        return Ok(());
    }
    Err(format!("{what} is {}, not {}", show(actual), show(expected)))
}

fn same_fields(what: &str, actual: &Fields, expected: &Fields) -> Result<()> {
    if actual == expected {
        return Ok(());
    }
    let list = |fields: &Fields| {
        let lines = fields
            .iter()
            .map(|(name, value)| format!("{}: {}", show(name), show(value)));
        lines.collect::<Vec<_>>().join(", ")
    };
    Err(format!("{what} are [{}], not [{}]", list(actual), list(expected)))
}

fn numbered(text: &[u8], number: usize) -> Vec<u8> {
    let Some(at) = memchr::memmem::find(text, b"{i}") else {
        return text.to_vec();
    };
    let (before, behind) = (&text[..at], &text[at + 3..]);
    [before, number.to_string().as_bytes(), &numbered(behind, number)].concat()
}

impl Echo {
    fn parse(text: &[u8]) -> Result<Self> {
        let text = std::str::from_utf8(text).map_err(|_| no_echo(text))?;
        let lines = text.strip_suffix('\n').ok_or_else(|| no_echo(text.as_bytes()))?;
        let mut echo = Self::default();
        // The order of the lines, one letter each.
        let mut shape = String::new();
        for line in lines.split('\n') {
            let (key, value) = line.split_once('=').ok_or_else(|| no_echo(line.as_bytes()))?;
            shape.push(echo.line(key, value)?);
        }
        let rest = shape.strip_prefix("MTPQV").map(|rest| rest.trim_start_matches('h'));
        let rest = rest.and_then(|rest| rest.strip_prefix("LC"));
        let rest = rest.map(|rest| rest.strip_prefix('b').unwrap_or(rest).trim_start_matches('t'));
        if rest != Some("") {
            return Err(format!("echo lines in wrong order: {shape}"));
        }
        match &echo.body {
            Some(body) if echo.length != body.len() as u64 || echo.crc != crc32(body) => {
                Err("echo's body, length and CRC-32 disagree".into())
            }
            Some(_) if echo.length > SHOWN_BODY => Err("echo shows a long body".into()),
            None if echo.length <= SHOWN_BODY => Err("echo leaves a short body out".into()),
            _ => Ok(echo),
        }
    }

    fn line(&mut self, key: &str, value: &str) -> Result<char> {
        let letter = match key {
            "method" => 'M',
            "target" => 'T',
            "path" => 'P',
            "query" => 'Q',
            "version" => 'V',
            "header" => 'h',
            "body-length" => 'L',
            "body-crc32" => 'C',
            "body" => 'b',
            "trailer" => 't',
            _ => return Err(format!("unknown echo line {key:?}")),
        };
        let bad = || format!("bad echo line {key:?}: {value:?}");
        match letter {
            'h' | 't' => {
                let (name, value) = value.split_once(':').ok_or_else(bad)?;
                let field = (unescape(name)?, unescape(value)?);
                let fields = if letter == 'h' {
                    &mut self.headers
                } else {
                    &mut self.trailers
                };
                fields.push(field);
            }
            'L' => {
                self.length = value.parse().map_err(|_| bad())?;
                if self.length.to_string() != value {
                    return Err(bad());
                }
            }
            'C' => {
                self.crc = u32::from_str_radix(value, 16).map_err(|_| bad())?;
                if format!("{:08x}", self.crc) != value {
                    return Err(bad());
                }
            }
            'b' => self.body = Some(unescape(value)?),
            _ => self.lines.push((key.to_owned(), unescape(value)?)),
        }
        Ok(letter)
    }
}

fn no_echo(text: &[u8]) -> String {
    format!("no echo: {}", show(text))
}

/// What must be escaped is, and nothing else.
fn unescape(text: &str) -> Result<Vec<u8>> {
    let bad = || format!("bad echo value {text:?}");
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, behind @ ..] = rest {
        rest = behind;
        match first {
            b'\\' => {
                let digits = rest.get(1..3).filter(|_| rest[0] == b'x').ok_or_else(bad)?;
                let is_lower_hex = digits.iter().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
                let digits = std::str::from_utf8(digits).map_err(|_| bad())?;
                let byte = u8::from_str_radix(digits, 16).map_err(|_| bad())?;
                if !is_lower_hex || (matches!(byte, 0x20..=0x7e) && byte != b'\\') {
                    return Err(bad());
                }
                bytes.push(byte);
                rest = &rest[3..];
            }
            0x20..=0x7e => bytes.push(*first),
            _ => return Err(bad()),
        }
    }
    Ok(bytes)
}

/// CRC-32 as in zlib, four bits at a time: the server's own table is not to check itself.
fn crc32(bytes: &[u8]) -> u32 {
    const TABLE: [u32; 16] = [
        0x0000_0000,
        0x1db7_1064,
        0x3b6e_20c8,
        0x26d9_30ac,
        0x76dc_4190,
        0x6b6b_51f4,
        0x4db2_6158,
        0x5005_713c,
        0xedb8_8320,
        0xf00f_9344,
        0xd6d6_a3e8,
        0xcb61_b38c,
        0x9b64_c2b0,
        0x86d3_d2d4,
        0xa00a_e278,
        0xbdbd_f21c,
    ];
    let sum = bytes.iter().fold(u32::MAX, |sum, &byte| {
        let sum = sum ^ u32::from(byte);
        let sum = (sum >> 4) ^ TABLE[sum as usize & 15];
        (sum >> 4) ^ TABLE[sum as usize & 15]
    });
    !sum
}
