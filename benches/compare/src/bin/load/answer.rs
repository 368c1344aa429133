//! Checks answers: the status, the framing and, where it is known, the body. Sees bytes only, never a socket.

use std::fmt;

use memchr::memmem;

/// What the body of a good answer is.
pub enum Expected {
    Any,
    Length(u64),
    Bytes(Vec<u8>),
}

impl Expected {
    pub fn text(text: impl fmt::Display) -> Self {
        Self::Bytes(text.to_string().into_bytes())
    }
}

/// Why an answer does not count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    Status(String),
    Framing(&'static str),
    Body(&'static str),
}

/// What all connections know: a server's heads are alike for a second, so the last one seen is compared before any is
/// parsed. It keeps the load generator cheap without checking less.
pub struct Known {
    expected: Expected,
    head: Vec<u8>,
    framing: Framing,
}

impl Known {
    pub fn new(expected: Expected) -> Self {
        Self {
            expected,
            head: Vec::new(),
            framing: Framing::Length(0),
        }
    }
}

/// Reads the answers of one connection.
#[derive(Default)]
pub struct Answers {
    /// The beginning of a head that is split over reads.
    held: Vec<u8>,
    state: State,
    /// Bytes of the present body so far.
    received: u64,
}

#[derive(Default)]
enum State {
    #[default]
    Head,
    Length {
        left: u64,
    },
    ChunkSize {
        size: u64,
        digits: Digits,
    },
    ChunkData {
        left: u64,
    },
    /// The line end after a chunk's data.
    ChunkEnd,
    Trailer {
        line_length: u64,
    },
}

#[derive(Clone, Copy)]
enum Digits {
    Wanted,
    Over,
}

#[derive(Clone, Copy)]
enum Framing {
    Length(u64),
    Chunked,
}

impl Answers {
    /// Takes bytes off the front of `input`, at most to the end of an answer, and says whether that end was reached.
    pub fn advance(&mut self, input: &mut &[u8], known: &mut Known) -> Result<bool, Fault> {
        loop {
            if let State::Head = self.state {
                let framing = match self.head(input, known)? {
                    Some(framing) => framing,
                    None => return Ok(false),
                };
                self.received = 0;
                self.state = match framing {
                    Framing::Length(left) => State::Length { left },
                    Framing::Chunked => State::ChunkSize {
                        size: 0,
                        digits: Digits::Wanted,
                    },
                };
            }
            let over = match &mut self.state {
                State::Head => false,
                State::Length { left } => {
                    take_body(input, left, &mut self.received, &known.expected)?;
                    *left == 0
                }
                State::ChunkData { left } => {
                    take_body(input, left, &mut self.received, &known.expected)?;
                    if *left == 0 {
                        self.state = State::ChunkEnd;
                    }
                    false
                }
                State::ChunkSize { .. } | State::ChunkEnd | State::Trailer { .. } => self.chunk_line(input)?,
            };
            if over {
                self.state = State::Head;
                return check_end(self.received, &known.expected).map(|()| true);
            }
            if input.is_empty() {
                return Ok(false);
            }
        }
    }

    /// Whether nothing of an answer came yet.
    pub fn is_between(&self) -> bool {
        matches!(self.state, State::Head) && self.held.is_empty()
    }

    fn head(&mut self, input: &mut &[u8], known: &mut Known) -> Result<Option<Framing>, Fault> {
        if self.held.is_empty() && !known.head.is_empty() && input.starts_with(&known.head) {
            *input = &input[known.head.len()..];
            return Ok(Some(known.framing));
        }
        let held = self.held.len();
        self.held.extend_from_slice(input);
        let Some(end) = memmem::find(&self.held, b"\r\n\r\n") else {
            *input = &[];
            return if self.held.len() > LONGEST_HEAD {
                Err(Fault::Framing("a head without an end"))
            } else {
                Ok(None)
            };
        };
        let length = end + 4;
        *input = &input[length - held..];
        self.held.truncate(length);
        known.framing = parse_head(&self.held)?;
        known.head.clone_from(&self.held);
        // An idle connection is not to carry a buffer: there may be thousands.
        self.held = Vec::new();
        Ok(Some(known.framing))
    }

    /// Reads the lines between the pieces of a chunked body; says whether the last one was read.
    fn chunk_line(&mut self, input: &mut &[u8]) -> Result<bool, Fault> {
        while let Some((&byte, rest)) = input.split_first() {
            *input = rest;
            match &mut self.state {
                State::ChunkSize { size, digits } => match (byte, *digits) {
                    (b'\n', _) if *size == 0 => self.state = State::Trailer { line_length: 0 },
                    (b'\n', _) => {
                        self.state = State::ChunkData { left: *size };
                        return Ok(false);
                    }
                    (_, Digits::Over) => {}
                    (b'\r' | b';' | b' ', _) => *digits = Digits::Over,
                    (digit, Digits::Wanted) => {
                        let value = (digit as char)
                            .to_digit(16)
                            .ok_or(Fault::Framing("a chunk size of other digits"))?;
                        *size = size.checked_mul(16).ok_or(Fault::Framing("a chunk too large"))? + u64::from(value);
                    }
                },
                State::ChunkEnd => match byte {
                    b'\r' => {}
                    b'\n' => {
                        self.state = State::ChunkSize {
                            size: 0,
                            digits: Digits::Wanted,
                        }
                    }
                    _ => return Err(Fault::Framing("a chunk longer than its size")),
                },
                State::Trailer { line_length } => match byte {
                    b'\r' => {}
                    b'\n' if *line_length == 0 => return Ok(true),
                    b'\n' => *line_length = 0,
                    _ => *line_length += 1,
                },
                State::Head | State::Length { .. } | State::ChunkData { .. } => return Ok(false),
            }
        }
        Ok(false)
    }
}

fn take_body(input: &mut &[u8], left: &mut u64, received: &mut u64, expected: &Expected) -> Result<(), Fault> {
    let length = input.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
    let (piece, rest) = input.split_at(length);
    if let Expected::Bytes(bytes) = expected {
        let start = *received as usize;
        match bytes.get(start..start + length) {
            Some(wanted) if wanted == piece => {}
            Some(_) => return Err(Fault::Body("other bytes than expected")),
            None => return Err(Fault::Body("longer than expected")),
        }
    }
    *input = rest;
    *left -= length as u64;
    *received += length as u64;
    Ok(())
}

fn check_end(received: u64, expected: &Expected) -> Result<(), Fault> {
    let wanted = match expected {
        Expected::Any => return Ok(()),
        Expected::Length(length) => *length,
        Expected::Bytes(bytes) => bytes.len() as u64,
    };
    if received == wanted {
        Ok(())
    } else {
        Err(Fault::Body("another length than expected"))
    }
}

fn parse_head(head: &[u8]) -> Result<Framing, Fault> {
    let mut lines = head
        .split(|&byte| byte == b'\n')
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let status = lines.next().unwrap_or_default();
    if !status.starts_with(b"HTTP/1.1 200 ") {
        return Err(Fault::Status(String::from_utf8_lossy(status).into_owned()));
    }
    let mut framing = None;
    for line in lines {
        let Some(colon) = line.iter().position(|&byte| byte == b':') else {
            continue;
        };
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        let found = if name.eq_ignore_ascii_case(b"content-length") {
            let length = std::str::from_utf8(value).ok().and_then(|value| value.parse().ok());
            Framing::Length(length.ok_or(Fault::Framing("a Content-Length that is no number"))?)
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") && value.eq_ignore_ascii_case(b"chunked") {
            Framing::Chunked
        } else {
            continue;
        };
        if framing.replace(found).is_some() {
            return Err(Fault::Framing("framed twice"));
        }
    }
    framing.ok_or(Fault::Framing("neither Content-Length nor chunks"))
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(line) => write!(formatter, "status line {line:?}"),
            Self::Framing(reason) => write!(formatter, "framing: {reason}"),
            Self::Body(reason) => write!(formatter, "body: {reason}"),
        }
    }
}

const LONGEST_HEAD: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    fn count(answers: &[u8], piece: usize, expected: Expected) -> Result<usize, Fault> {
        let mut known = Known::new(expected);
        let mut reader = Answers::default();
        let mut count = 0;
        for mut piece in answers.chunks(piece) {
            while !piece.is_empty() {
                count += usize::from(reader.advance(&mut piece, &mut known)?);
            }
        }
        assert!(reader.is_between());
        Ok(count)
    }

    #[test]
    fn every_way_of_cutting_gives_the_same_count() {
        let sized = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nHello".repeat(3);
        let chunked =
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nHe\r\n3;x=y\r\nllo\r\n0\r\nA: b\r\n\r\n";
        for piece in 1..=sized.len() {
            assert_eq!(count(&sized, piece, Expected::text("Hello")), Ok(3));
            assert_eq!(count(&chunked.repeat(2), piece, Expected::text("Hello")), Ok(2));
        }
    }

    #[test]
    fn an_empty_body_is_an_answer() {
        assert_eq!(
            count(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 7, Expected::Any),
            Ok(1)
        );
    }

    #[test]
    fn what_is_wrong_is_named() {
        let cases: [(&[u8], Fault); 5] = [
            (
                b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
                Fault::Status("HTTP/1.1 404 Not Found".into()),
            ),
            (
                b"HTTP/1.1 200 OK\r\n\r\n",
                Fault::Framing("neither Content-Length nor chunks"),
            ),
            (
                b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nHell",
                Fault::Body("another length than expected"),
            ),
            (
                b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
                Fault::Body("other bytes than expected"),
            ),
            (
                b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nHello!",
                Fault::Body("longer than expected"),
            ),
        ];
        for (answer, fault) in cases {
            assert_eq!(count(answer, answer.len(), Expected::text("Hello")), Err(fault));
        }
    }
}
