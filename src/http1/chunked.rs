//! The chunked coding of request bodies: RFC 9112 §7.1.
//!
//! A state machine over single bytes. Where the input is cut never matters: every decision is made at a byte and from
//! the bytes before it. Nothing is buffered but the trailer lines, which the caller owns.
//!
//! ```text
//!           .------------------------------------------------------------.
//!           v                                                            |
//!   -----> Size -----CR----> SizeCr --LF--> Data --> DataCr --CR--> DataLf
//!           |                   |
//!           | ; SP HTAB         | size 0
//!           v                   v
//!   SizeSpace, NameStart,    Trailers ---> End
//!   ... ValueSpace, LineLf
//!   (the extensions), from
//!   there on as SizeCr
//! ```

use super::Rejection;
use super::byte_class::{NOT_FIELD_VALUE, NOT_TOKEN, class};
use super::trailers::TrailerSection;

/// What a chunked body may cost. The same for all calls of one body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Raw bytes of the body: sizes, extensions, data and their CRLFs, but no trailers. The last CRLF counts only if
    /// there are no trailers.
    pub max_body: Option<u64>,
    /// Bytes that the head has left for trailer lines, their CRLFs included.
    pub trailer_bytes: usize,
    /// Fields that the head has left for trailers.
    pub trailer_fields: usize,
}

/// The content of a body that is there whole and lies in one piece, as the short ones mostly do, and its length with all
/// that is around it. `None` where that is not so, or where it is wrong: then the decoder tells.
pub(crate) fn in_one_piece(input: &[u8], max_body: Option<u64>) -> Option<(&[u8], usize)> {
    let limits = Limits {
        max_body,
        // Whoever has trailers has more than one piece.
        trailer_bytes: 0,
        trailer_fields: 0,
    };
    let mut decoder = ChunkedDecoder::new();
    let mut trailers = Vec::new();
    let (data, taken) = match decoder.decode(input, &limits, &mut trailers).ok()? {
        (taken, Piece::End) => return Some((&[], taken)),
        (taken, Piece::Data(data)) => (data, taken),
        (_, Piece::NeedInput) => return None,
    };
    match decoder.decode(rest(input, taken), &limits, &mut trailers).ok()? {
        (end, Piece::End) => Some((data, taken + end)),
        _ => None,
    }
}

/// What [`ChunkedDecoder::decode`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece<'i> {
    /// Bytes of the content, never empty.
    Data(&'i [u8]),
    /// All input is taken and the body goes on.
    NeedInput,
    /// The body is complete; what follows in the input belongs to the next request.
    End,
}

/// Takes a chunked body apart.
///
/// ```
/// use stannel::http1::chunked::{ChunkedDecoder, Limits, Piece};
///
/// let limits = Limits { max_body: None, trailer_bytes: 1024, trailer_fields: 10 };
/// let mut decoder = ChunkedDecoder::new();
/// let mut trailers = Vec::new();
/// let input = b"5;a=b\r\nhello\r\n0\r\n\r\nGET";
/// assert_eq!(decoder.decode(input, &limits, &mut trailers), Ok((12, Piece::Data(b"hello"))));
/// assert_eq!(decoder.decode(&input[12..], &limits, &mut trailers), Ok((7, Piece::End)));
/// ```
#[derive(Clone, Debug)]
pub struct ChunkedDecoder {
    /// Bytes that count for the body limit so far.
    raw: u64,
    /// The size being read, then what of the chunk is still to come.
    remaining: u32,
    /// Bytes of the size line so far, without CRLF.
    line: u16,
    /// Bytes of all extensions so far.
    extensions: u16,
    state: State,
    trailers: TrailerSection,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// In the size, or before its first digit.
    Size,
    /// Behind white space that follows the size.
    SizeSpace,
    /// Behind the CR of a line without extension.
    SizeCr,
    /// Behind a `;`.
    NameStart,
    Name,
    /// Behind white space that follows a name.
    NameSpace,
    /// Behind a `=`.
    ValueStart,
    Value,
    /// Between quotes.
    Quoted,
    /// Behind a backslash between quotes.
    Escaped,
    /// Behind the second quote.
    QuotedEnd,
    /// Behind white space that follows a value.
    ValueSpace,
    /// Behind the CR of a line with extensions.
    LineLf,
    Data,
    /// Behind the data, before its CR.
    DataCr,
    DataLf,
    Trailers,
    End,
    Failed(Rejection),
}

impl Default for ChunkedDecoder {
    fn default() -> Self {
        Self::new()
    }
}

impl ChunkedDecoder {
    /// A decoder before the first chunk.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            raw: 0,
            remaining: 0,
            line: 0,
            extensions: 0,
            state: State::Size,
            trailers: TrailerSection::new(),
        }
    }

    /// Whether the body is complete.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.state == State::End
    }

    /// Takes bytes from the front of `input` up to the next piece of content, the end of the body or the end of the
    /// input; says how many and what it found.
    ///
    /// Trailer lines go to `trailers` with their CRLFs, as they come; read them with [`trailers::fields`](super::trailers::fields) when the body
    /// is complete. Pass the same vector each time, empty at first, and change nothing in it.
    ///
    /// # Errors
    ///
    /// The [`Rejection`] of the first byte that breaks a rule or a limit, and the same again from then on.
    pub fn decode<'i>(
        &mut self,
        input: &'i [u8],
        limits: &Limits,
        trailers: &mut Vec<u8>,
    ) -> Result<(usize, Piece<'i>), Rejection> {
        let result = self.advance(input, limits, trailers);
        if let Err(rejection) = result {
            self.state = State::Failed(rejection);
        }
        result
    }

    fn advance<'i>(
        &mut self,
        input: &'i [u8],
        limits: &Limits,
        trailers: &mut Vec<u8>,
    ) -> Result<(usize, Piece<'i>), Rejection> {
        let left = limits.max_body.map_or(u64::MAX, |max| max.saturating_sub(self.raw));
        // What of the input may still count for the body limit; the next byte that counts is one too many.
        let countable = usize::try_from(left)
            .ok()
            .and_then(|left| input.get(..left))
            .unwrap_or(input);
        let mut at = 0;
        loop {
            match self.state {
                State::Data => {
                    let rest = rest(input, at);
                    let data = usize::try_from(self.remaining)
                        .ok()
                        .and_then(|remaining| rest.get(..remaining))
                        .unwrap_or(rest);
                    let taken = at + data.len();
                    self.raw += taken as u64;
                    if data.is_empty() {
                        return Ok((taken, Piece::NeedInput));
                    }
                    // Not more than `remaining`, which is a u32.
                    self.remaining -= data.len() as u32;
                    if self.remaining == 0 {
                        self.state = State::DataCr;
                    }
                    return Ok((taken, Piece::Data(data)));
                }
                State::Trailers => {
                    self.raw += at as u64;
                    let left = left - at as u64;
                    return Ok(match self.trailers.read(rest(input, at), limits, left, trailers)? {
                        Some(taken) => {
                            self.state = State::End;
                            (at + taken, Piece::End)
                        }
                        None => (input.len(), Piece::NeedInput),
                    });
                }
                State::End => {
                    self.raw += at as u64;
                    return Ok((at, Piece::End));
                }
                State::Failed(rejection) => return Err(rejection),
                // The two usual cases in one step; whatever is unusual or cut goes through the states below, with the
                // same result.
                State::DataCr if rest(countable, at).starts_with(b"\r\n") => {
                    at += 2;
                    self.state = State::Size;
                    continue;
                }
                State::Size if self.line == 0 => {
                    if let Some((size, length)) = plain_size_line(rest(countable, at)) {
                        at += length;
                        self.remaining = size;
                        self.state = self.line_end(left - at as u64)?;
                        continue;
                    }
                }
                _ => {}
            }
            let Some(&byte) = countable.get(at) else {
                if countable.len() < input.len() {
                    return Err(Rejection::RequestBodyTooLarge);
                }
                self.raw += at as u64;
                return Ok((at, Piece::NeedInput));
            };
            at += 1;
            self.state = match self.state {
                State::Size => self.size(byte)?,
                State::SizeCr if byte == b'\n' => self.line_end(left - at as u64)?,
                State::SizeCr => return Err(Rejection::BadChunkSizeData),
                State::LineLf if byte == b'\n' => self.line_end(left - at as u64)?,
                State::DataCr if byte == b'\r' => State::DataLf,
                State::DataLf if byte == b'\n' => State::Size,
                // RFC 9112 §7.1: these two bytes are looked at, not skipped.
                State::DataCr | State::DataLf => return Err(Rejection::BadChunkSuffix),
                state => self.extension(state, byte)?,
            };
        }
    }

    /// One byte of the size or behind it.
    #[inline]
    fn size(&mut self, byte: u8) -> Result<State, Rejection> {
        let Some(digit) = hex_digit(byte) else {
            return match byte {
                // RFC 9112 §7.1: there is at least one digit, and no white space before or behind it.
                _ if self.line == 0 => Err(Rejection::BadChunkSizeData),
                b'\r' => Ok(State::SizeCr),
                b';' | b' ' | b'\t' => self.extension(State::SizeSpace, byte),
                _ => Err(Rejection::BadChunkSizeData),
            };
        };
        // RFC 9112 §7.1: a recipient guards against sizes that overflow, and leading zeros are no way around.
        if self.line == MAX_SIZE_DIGITS {
            return Err(Rejection::BadChunkSizeData);
        }
        self.line += 1;
        self.remaining = (self.remaining << 4) | digit;
        if self.remaining > MAX_SIZE {
            return Err(Rejection::BadChunkSizeData);
        }
        Ok(State::Size)
    }

    /// One byte between the size and the CRLF, that CR included.
    fn extension(&mut self, state: State, byte: u8) -> Result<State, Rejection> {
        // RFC 9112 §7.1.1: extensions are ignored, but their grammar is not. Whoever skips to the end of the line
        // instead reads another end of the line than the next server does.
        let next = match (state, byte) {
            (State::SizeSpace, b' ' | b'\t') => State::SizeSpace,
            (State::SizeSpace, b';') => State::NameStart,
            // White space alone is no extension.
            (State::SizeSpace, _) => return Err(Rejection::BadChunkSizeData),
            (State::NameStart, b' ' | b'\t') => State::NameStart,
            (State::Name | State::NameSpace, b' ' | b'\t') => State::NameSpace,
            (State::Name | State::NameSpace, b'=') => State::ValueStart,
            (State::ValueStart, b' ' | b'\t') => State::ValueStart,
            (State::ValueStart, b'"') => State::Quoted,
            (State::Value | State::QuotedEnd | State::ValueSpace, b' ' | b'\t') => State::ValueSpace,
            (State::Name | State::NameSpace | State::Value | State::QuotedEnd | State::ValueSpace, b';') => {
                State::NameStart
            }
            // The CR is no part of the extensions, so it is not counted. None may follow white space.
            (State::Name | State::Value | State::QuotedEnd, b'\r') => return Ok(State::LineLf),
            (State::Quoted, b'"') => State::QuotedEnd,
            (State::Quoted, b'\\') => State::Escaped,
            (State::Quoted | State::Escaped, _) if class(byte) & NOT_FIELD_VALUE == 0 => State::Quoted,
            (State::NameStart | State::Name, _) if class(byte) & NOT_TOKEN == 0 => State::Name,
            (State::ValueStart | State::Value, _) if class(byte) & NOT_TOKEN == 0 => State::Value,
            _ => return Err(Rejection::BadChunkExtension),
        };
        self.line += 1;
        self.extensions += 1;
        // They cost bytes that are no content; nobody needs many.
        if self.line > MAX_LINE || self.extensions > MAX_EXTENSIONS {
            return Err(Rejection::BadChunkExtension);
        }
        Ok(next)
    }

    /// At the LF of a size line, with what the body limit has left behind it.
    fn line_end(&mut self, left: u64) -> Result<State, Rejection> {
        self.line = 0;
        if self.remaining == 0 {
            return Ok(State::Trailers);
        }
        if u64::from(self.remaining) > left {
            return Err(Rejection::RequestBodyTooLarge);
        }
        Ok(State::Data)
    }
}

fn rest(bytes: &[u8], at: usize) -> &[u8] {
    bytes.get(at..).unwrap_or_default()
}

/// Size and length of a size line that is all here, has no extension and fewer digits than it may.
#[inline]
fn plain_size_line(bytes: &[u8]) -> Option<(u32, usize)> {
    let mut size = 0;
    for (count, &byte) in bytes.iter().enumerate().take(usize::from(MAX_SIZE_DIGITS)) {
        match hex_digit(byte) {
            Some(digit) => size = (size << 4) | digit,
            None if count > 0 && rest(bytes, count).starts_with(b"\r\n") => return Some((size, count + 2)),
            None => return None,
        }
    }
    None
}

#[inline]
fn hex_digit(byte: u8) -> Option<u32> {
    match byte {
        b'0'..=b'9' => Some(u32::from(byte - b'0')),
        b'a'..=b'f' => Some(u32::from(byte - b'a') + 10),
        b'A'..=b'F' => Some(u32::from(byte - b'A') + 10),
        _ => None,
    }
}

/// Largest number of digits of a chunk size.
const MAX_SIZE_DIGITS: u16 = 8;
/// Largest chunk size.
const MAX_SIZE: u32 = 0x7fff_ffff;
/// Largest size line: 4096 bytes, of which two are the CRLF.
const MAX_LINE: u16 = 4096 - 2;
/// Most bytes of all extensions of a body.
const MAX_EXTENSIONS: u16 = 16384;

#[cfg(test)]
mod tests;
