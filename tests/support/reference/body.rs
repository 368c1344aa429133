//! Chunked bodies by the grammar of RFC 9112 §7.1, byte after byte, and an encoder that uses all of it.

use super::request::{field, is_text, is_token};

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum End {
    Incomplete,
    Refused(u16),
}

const BAD: End = End::Refused(400);

/// Limits of the coding itself.
const LINE: usize = 4096;
const EXTENSIONS: usize = 16_384;

struct Bytes<'a> {
    input: &'a [u8],
    at: usize,
    /// What the body may still cost.
    left: u64,
    /// Behind the size: where the line began.
    line: Option<usize>,
    /// Bytes of all extensions so far.
    extensions: usize,
}

impl Bytes<'_> {
    fn peek(&self) -> Result<u8, End> {
        let byte = self.input.get(self.at).ok_or(End::Incomplete)?;
        if self.left == 0 {
            Err(End::Refused(413))
        } else {
            Ok(*byte)
        }
    }

    fn take(&mut self) -> Result<u8, End> {
        let byte = self.peek()?;
        self.at += 1;
        self.left -= 1;
        if let Some(start) = self.line {
            self.extensions += 1;
            // The line counts with its CRLF.
            if self.at - start + 2 > LINE || self.extensions > EXTENSIONS {
                return Err(BAD);
            }
        }
        Ok(byte)
    }

    fn expect(&mut self, byte: u8) -> Result<(), End> {
        if self.take()? == byte { Ok(()) } else { Err(BAD) }
    }

    fn skip_white_space(&mut self) -> Result<bool, End> {
        let before = self.at;
        while matches!(self.peek()?, b' ' | b'\t') {
            self.take()?;
        }
        Ok(self.at > before)
    }

    fn token(&mut self) -> Result<(), End> {
        if !is_token(&[self.peek()?]) {
            return Err(BAD);
        }
        while is_token(&[self.peek()?]) {
            self.take()?;
        }
        Ok(())
    }
}

type Fields = Vec<(String, Vec<u8>)>;
type Whole = (Vec<u8>, Fields, usize);

/// Content, trailers and length of the body at the beginning of `input`, which may cost `most` bytes, with trailers of so
/// many bytes and lines.
pub(crate) fn chunked(input: &[u8], most: u64, trailers: (usize, usize)) -> Result<Whole, End> {
    let mut bytes = Bytes {
        input,
        at: 0,
        left: most,
        line: None,
        extensions: 0,
    };
    let mut content = Vec::new();
    loop {
        let size = size_line(&mut bytes)?;
        if size == 0 {
            break;
        }
        if size > bytes.left {
            return Err(End::Refused(413));
        }
        for _ in 0..size {
            content.push(bytes.take()?);
        }
        bytes.expect(b'\r')?;
        bytes.expect(b'\n')?;
    }
    let (fields, len) = section(&input[bytes.at..], bytes.left, trailers)?;
    Ok((content, fields, bytes.at + len))
}

/// `1*8HEXDIG *( OWS ";" OWS token [ OWS "=" OWS ( token / quoted-string ) ] ) CRLF`
fn size_line(bytes: &mut Bytes<'_>) -> Result<u64, End> {
    let start = bytes.at;
    let mut size = 0;
    while let Some(digit) = char::from(bytes.peek()?).to_digit(16) {
        size = size * 16 + u64::from(digit);
        if bytes.at - start == 8 || size > 0x7fff_ffff {
            return Err(BAD);
        }
        bytes.take()?;
    }
    if bytes.at == start {
        return Err(BAD);
    }
    bytes.line = Some(start);
    let mut has_space = bytes.skip_white_space()?;
    while bytes.peek()? == b';' {
        bytes.take()?;
        bytes.skip_white_space()?;
        bytes.token()?;
        has_space = bytes.skip_white_space()?;
        if bytes.peek()? == b'=' {
            bytes.take()?;
            bytes.skip_white_space()?;
            if bytes.peek()? == b'"' {
                quoted(bytes)?;
            } else {
                bytes.token()?;
            }
            has_space = bytes.skip_white_space()?;
        }
    }
    bytes.line = None;
    if has_space {
        return Err(BAD);
    }
    bytes.expect(b'\r')?;
    bytes.expect(b'\n')?;
    Ok(size)
}

/// RFC 9110 §5.6.4.
fn quoted(bytes: &mut Bytes<'_>) -> Result<(), End> {
    bytes.expect(b'"')?;
    loop {
        match bytes.take()? {
            b'"' => return Ok(()),
            b'\\' if is_text(bytes.peek()?) => {
                bytes.take()?;
            }
            byte if byte != b'\\' && is_text(byte) => {}
            _ => return Err(BAD),
        }
    }
}

/// The trailer section and how long it is. Without fields its CRLF counts as a part of the body.
fn section(input: &[u8], left: u64, (most_bytes, most_fields): (usize, usize)) -> Result<(Fields, usize), End> {
    let mut fields = Vec::new();
    let (mut at, mut size, mut line) = (0, 0, Vec::new());
    loop {
        let byte = *input.get(at).ok_or(End::Incomplete)?;
        at += 1;
        let is_counted = fields.is_empty() && line.is_empty();
        if byte == b'\r' {
            if is_counted && left < 1 {
                return Err(End::Refused(413));
            }
            if !line.is_empty() {
                size += 1;
                if size > most_bytes {
                    return Err(End::Refused(431));
                }
            }
            let is_end = *input.get(at).ok_or(End::Incomplete)? == b'\n';
            at += 1;
            if !is_end {
                return Err(BAD);
            }
            if line.is_empty() {
                return if is_counted && left < 2 {
                    Err(End::Refused(413))
                } else {
                    Ok((fields, at))
                };
            }
            let (name, value) = field(&line).ok_or(BAD)?;
            if ["content-length", "transfer-encoding", "host"].contains(&name.to_ascii_lowercase().as_str()) {
                return Err(BAD);
            }
            fields.push((name, value));
            line.clear();
            size += 1;
            if fields.len() > most_fields || size > most_bytes {
                return Err(End::Refused(431));
            }
            continue;
        }
        if byte == b'\n' {
            return Err(BAD);
        }
        line.push(byte);
        size += 1;
        if size > most_bytes {
            return Err(End::Refused(431));
        }
    }
}

/// Chunks of these sizes, none of them 0, with extensions of every kind.
pub(crate) fn encode(mut content: &[u8], sizes: impl Iterator<Item = usize>, fields: &[(String, Vec<u8>)]) -> Vec<u8> {
    const EXTENSIONS: [&str; 5] = ["", ";a", " ;\tb = c", ";d=\"e;\\\"\t\u{e9}\"", ";f;g=h"];
    let mut out = Vec::new();
    for (size, extension) in sizes.zip(EXTENSIONS.iter().cycle()) {
        let (chunk, rest) = content.split_at(size.min(content.len()));
        if chunk.is_empty() {
            break;
        }
        out.extend_from_slice(format!("{:X}{extension}\r\n", chunk.len()).as_bytes());
        out.extend_from_slice(chunk);
        out.extend_from_slice(b"\r\n");
        content = rest;
    }
    out.extend_from_slice(b"00\r\n");
    for (name, value) in fields {
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(value);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"\r\n");
    out
}
