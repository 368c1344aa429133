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
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ROOMY: Limits = Limits {
        max_body: None,
        trailer_bytes: 32768,
        trailer_fields: 100,
    };

    #[test]
    fn one_piece_is_a_whole_body_with_one_chunk_and_nothing_else() {
        for (input, expected) in [
            ("2\r\nab\r\n0\r\n\r\n", Some(("ab", 12))),
            ("2;x=\"y\"\r\nab\r\n0;z\r\n\r\nGET", Some(("ab", 20))),
            ("0\r\n\r\nGET", Some(("", 5))),
            ("2\r\nab\r\n0\r\n\r", None),
            ("2\r\na", None),
            ("", None),
            ("1\r\na\r\n1\r\nb\r\n0\r\n\r\n", None),
            ("2\r\nab\r\n0\r\nX: y\r\n\r\n", None),
            ("0\r\nX: y\r\n\r\n", None),
            ("2\nab\r\n0\r\n\r\n", None),
            ("2\r\nab0\r\n\r\n", None),
        ] {
            let found = in_one_piece(input.as_bytes(), None);
            assert_eq!(
                found,
                expected.map(|(data, taken)| (data.as_bytes(), taken)),
                "{input:?}"
            );
            let Some((data, taken)) = expected else { continue };
            let most = |bytes: usize| in_one_piece(input.as_bytes(), Some(bytes as u64));
            assert_eq!(most(taken), Some((data.as_bytes(), taken)), "{input:?}");
            assert_eq!(most(taken - 1), None, "{input:?}");
        }
    }

    /// What a body comes to: its content, its trailer lines, the bytes behind it; or why it is refused and what
    /// content came before.
    #[derive(Debug, PartialEq, Eq)]
    enum Outcome {
        Complete {
            data: Vec<u8>,
            trailers: Vec<u8>,
            behind: Vec<u8>,
        },
        Incomplete {
            data: Vec<u8>,
        },
        Refused {
            data: Vec<u8>,
            rejection: Rejection,
        },
    }

    fn run<'i>(pieces: impl IntoIterator<Item = &'i [u8]>, limits: &Limits) -> Outcome {
        let mut decoder = ChunkedDecoder::new();
        let mut trailers = Vec::new();
        let mut data = Vec::new();
        let mut behind: Option<Vec<u8>> = None;
        for mut piece in pieces {
            if let Some(behind) = &mut behind {
                behind.extend_from_slice(piece);
                continue;
            }
            loop {
                let (taken, found) = match decoder.decode(piece, limits, &mut trailers) {
                    Ok(found) => found,
                    Err(rejection) => {
                        assert_eq!(decoder.decode(piece, limits, &mut trailers), Err(rejection));
                        return Outcome::Refused { data, rejection };
                    }
                };
                piece = &piece[taken..];
                match found {
                    Piece::Data(bytes) => {
                        assert!(!bytes.is_empty());
                        data.extend_from_slice(bytes);
                    }
                    Piece::NeedInput => {
                        assert!(piece.is_empty() && !decoder.is_complete());
                        break;
                    }
                    Piece::End => {
                        assert!(decoder.is_complete());
                        assert_eq!(decoder.decode(piece, limits, &mut trailers), Ok((0, Piece::End)));
                        behind = Some(piece.to_vec());
                        break;
                    }
                }
            }
        }
        match behind {
            Some(behind) => Outcome::Complete { data, trailers, behind },
            None => Outcome::Incomplete { data },
        }
    }

    /// Whole, byte by byte and, if it is short, with a cut at every place.
    fn run_cut(body: &[u8], limits: &Limits) -> Outcome {
        let whole = run([body], limits);
        assert_eq!(
            run(body.chunks(1), limits),
            whole,
            "byte by byte: {}",
            body.escape_ascii()
        );
        if body.len() < 200 {
            for at in 0..=body.len() {
                let (left, right) = body.split_at(at);
                assert_eq!(
                    run([left, right], limits),
                    whole,
                    "cut at {at}: {}",
                    body.escape_ascii()
                );
            }
        }
        whole
    }

    fn refusal(body: &[u8], limits: &Limits) -> Option<Rejection> {
        match run_cut(body, limits) {
            Outcome::Refused { rejection, .. } => Some(rejection),
            _ => None,
        }
    }

    /// The content of a body that is complete and has nothing behind it.
    fn content(body: &[u8]) -> (Vec<u8>, Vec<u8>) {
        match run_cut(body, &ROOMY) {
            Outcome::Complete { data, trailers, behind } if behind.is_empty() => (data, trailers),
            other => panic!("{}: {other:?}", body.escape_ascii()),
        }
    }

    #[test]
    fn it_is_small() {
        assert!(size_of::<ChunkedDecoder>() <= 48);
    }

    #[test]
    fn rfc9112_7_1_good_bodies() {
        let cases: &[(&[u8], &[u8])] = &[
            (b"0\r\n\r\n", b""),
            (b"00000000\r\n\r\n", b""),
            (b"5\r\nhello\r\n7\r\n, world\r\n0\r\n\r\n", b"hello, world"),
            (b"A\r\n0123456789\r\n0\r\n\r\n", b"0123456789"),
            (b"0000000a\r\n0123456789\r\n0\r\n\r\n", b"0123456789"),
            (
                b"1a\r\nabcdefghijklmnopqrstuvwxyz\r\n0\r\n\r\n",
                b"abcdefghijklmnopqrstuvwxyz",
            ),
            (b"0005\r\nhello\r\n000\r\n\r\n", b"hello"),
            (b"4\r\n\r\n\r\n\r\n0\r\n\r\n", b"\r\n\r\n"),
            (b"7\r\n\r\n0\r\n\r\n\r\n0\r\n\r\n", b"\r\n0\r\n\r\n"),
            (b"3\r\n\0\xff\r\r\n0\r\n\r\n", b"\0\xff\r"),
        ];
        for (body, expected) in cases {
            assert_eq!(content(body), (expected.to_vec(), Vec::new()));
        }
    }

    #[test]
    fn rfc9112_7_1_1_good_extensions() {
        #[rustfmt::skip]
        let cases: &[&[u8]] = &[
            b";a", b";a=b", b";a;b=c", b" ; a = b ;c", b"\t;\ta\t=\tb\t;\tc", b";a=\"\"", b";a=\"b; c\\\" \\\\\"",
            b";a=\"\t !#~\x80\xff\\\xff\\\t\\ \"", b";a=\"x\" ;b", b";a=\"x\";b=\"y\"",
            b";!#$%&'*+-.^_`|~=!#$%&'*+-.^_`|~", b";a=1;b=2;c=\"3\";d", b";0",
        ];
        for extension in cases {
            let body = [b"5", *extension, b"\r\nhello\r\n0", extension, b"\r\n\r\n"].concat();
            assert_eq!(content(&body), (b"hello".to_vec(), Vec::new()));
        }
    }

    #[test]
    fn rfc9112_7_1_bad_sizes() {
        #[rustfmt::skip]
        let cases: &[&[u8]] = &[
            b"g", b"", b";a", b"-5", b"-0", b"+5", b" 5", b"\t5", b"0x5", b"5 ", b"5\t", b"5_", b"5.0", b"5,",
            b"5=a", b"5 5", b"5/", b"5:", b"5@", b"5G", b"5`", b"5\x0b", b"\x0c5", b"5\0", b"5\xa0", b"5\n",
            b"5\n\r", b"5\r", b"5\rhello", b"\n", b"000000005", b"00000000 5", b"100000005", b"80000000",
            b"ffffffff", b"10000000000000005", b"ffffffffffffffff",
        ];
        for size in cases {
            let body = [*size, b"\r\nhello\r\n0\r\n\r\n"].concat();
            assert_eq!(
                refusal(&body, &ROOMY),
                Some(Rejection::BadChunkSizeData),
                "{}",
                body.escape_ascii()
            );
            let second = [b"1\r\nx\r\n", &body[..]].concat();
            assert_eq!(refusal(&second, &ROOMY), Some(Rejection::BadChunkSizeData));
        }
    }

    #[test]
    fn bad_sizes_are_refused_at_the_first_bad_digit() {
        for (size, refused) in [
            (&b"7fffffff"[..], false),
            (b"80000000", true),
            (b"00000000", false),
            (b"000000000", true),
            (b"7FFFFFFFF", true),
        ] {
            assert_eq!(refusal(size, &ROOMY).is_some(), refused);
            assert_eq!(refusal(&size[..size.len() - 1], &ROOMY), None);
        }
    }

    #[test]
    fn rfc9112_7_1_1_bad_extensions() {
        #[rustfmt::skip]
        let cases: &[&[u8]] = &[
            b";", b"; ", b";;a", b";=b", b";a=", b";a= ", b";a=;b", b";a==b", b";a=b=c", b";a=\"b", b";a=\"b\\",
            b";a=\"b\"c", b";a=\"b\" c", b";a=\"b\"\"c\"", b";a=b\"c\"", b";a\"b\"", b";\"a\"", b";a b", b";a=b c",
            b";a ", b";a\t", b";a=b ", b";a=\"b\" ", b";a='b c'", b";\0", b";a\0", b";a=\x7f", b";a=\"\x7f\"",
            b";a=\"\0\"", b";a=\"\\\x01\"", b";a/b", b";a,b", b";\xe9", b";a=\xe9", b";a\nb", b";\n", b";a\n",
            b";a=\n", b";a=b\n", b";a=\"\n\"", b";a=\"\\\n\"", b";a=\"\r\"", b";a=\"\r\n\"", b";a\rb", b";a\r",
            b";a=\"b\"\r",
        ];
        for extension in cases {
            for size in [&b"5"[..], b"0"] {
                let body = [size, extension, b"\r\nhello\r\n0\r\n\r\n"].concat();
                assert_eq!(
                    refusal(&body, &ROOMY),
                    Some(Rejection::BadChunkExtension),
                    "{}",
                    body.escape_ascii()
                );
            }
        }
    }

    #[test]
    fn rfc9112_7_1_data_ends_in_crlf() {
        for end in [
            &b"!\r\n"[..],
            b"0\r\n",
            b"\n",
            b"\r0",
            b"XX",
            b"\n\r",
            b"\r\r\n",
            b" \r\n",
        ] {
            let body = [b"5\r\nhello", end, b"0\r\n\r\n"].concat();
            assert_eq!(
                refusal(&body, &ROOMY),
                Some(Rejection::BadChunkSuffix),
                "{}",
                body.escape_ascii()
            );
        }
    }

    #[test]
    fn what_follows_is_left_alone() {
        let outcome = run_cut(b"1\r\nx\r\n0\r\nA: b\r\n\r\n\r\nGET / HTTP/1.1\r\n", &ROOMY);
        let expected = Outcome::Complete {
            data: b"x".to_vec(),
            trailers: b"A: b\r\n".to_vec(),
            behind: b"\r\nGET / HTTP/1.1\r\n".to_vec(),
        };
        assert_eq!(outcome, expected);
    }

    #[test]
    fn a_size_line_has_a_limit() {
        // The whole line counts, its CRLF too.
        let line = |length: usize| [b"5;", "a".repeat(length - 4).as_bytes(), b"\r\n"].concat();
        let body = |length| [&line(length)[..], b"hello\r\n0\r\n\r\n"].concat();
        assert_eq!(content(&body(4096)).0, b"hello");
        assert_eq!(refusal(&body(4097), &ROOMY), Some(Rejection::BadChunkExtension));
        // The digits belong to the line; the next line counts anew.
        let zeros = [b"0000000", &body(4089)[..]].concat();
        assert_eq!(content(&zeros).0, b"hello");
        let zeros = [b"0000000", &body(4090)[..]].concat();
        assert_eq!(refusal(&zeros, &ROOMY), Some(Rejection::BadChunkExtension));
        // A line that does not end is refused without waiting for its end.
        assert_eq!(refusal(&line(4097)[..4094], &ROOMY), None);
        assert_eq!(refusal(&line(4097)[..4095], &ROOMY), Some(Rejection::BadChunkExtension));
    }

    #[test]
    fn the_extensions_of_a_body_have_a_limit() {
        let body = |last: usize| {
            let chunk = [b"1;", "a".repeat(4000 - 1).as_bytes(), b"\r\nx\r\n"].concat();
            let last = [b"0;", "a".repeat(last - 1).as_bytes(), b"\r\n\r\n"].concat();
            [chunk.repeat(4), last].concat()
        };
        assert_eq!(content(&body(384)).0, b"xxxx");
        assert_eq!(refusal(&body(385), &ROOMY), Some(Rejection::BadChunkExtension));
    }

    #[test]
    fn the_body_limit_counts_raw_bytes() {
        let too_large = Some(Rejection::RequestBodyTooLarge);
        let limits = |max_body| Limits {
            max_body: Some(max_body),
            ..ROOMY
        };
        let bodies: &[&[u8]] = &[
            b"0\r\n\r\n",
            b"5\r\nhello\r\n0\r\n\r\n",
            b"5;a=\"b\"\r\nhello\r\n2\r\n!!\r\n000;x\r\n\r\n",
        ];
        for body in bodies {
            let length = body.len() as u64;
            assert_eq!(refusal(body, &limits(length)), None);
            for less in 0..length {
                assert_eq!(
                    refusal(body, &limits(less)),
                    too_large,
                    "{less}: {}",
                    body.escape_ascii()
                );
            }
            // With trailers the last CRLF is one of their section and does not count.
            let with_trailers = [&body[..body.len() - 2], b"A: b\r\nC: d\r\n\r\n"].concat();
            assert_eq!(refusal(&with_trailers, &limits(length - 2)), None);
            assert_eq!(refusal(&with_trailers, &limits(length - 3)), too_large);
        }
        // What follows the body never counts.
        assert_eq!(refusal(b"0\r\n\r\nGET / HTTP/1.1", &limits(5)), None);
    }

    #[test]
    fn an_announced_size_is_refused_at_once() {
        let limits = Limits {
            max_body: Some(10),
            ..ROOMY
        };
        assert_eq!(refusal(b"7\r\n", &limits), None);
        assert_eq!(refusal(b"8\r", &limits), None);
        assert_eq!(refusal(b"8\r\n", &limits), Some(Rejection::RequestBodyTooLarge));
        assert_eq!(
            refusal(b"1\r\nx\r\n2\r\n", &limits),
            Some(Rejection::RequestBodyTooLarge)
        );
    }

    /// A body that is right, in fragments: mostly whole, sometimes with one of them broken.
    fn body() -> impl Strategy<Value = Vec<u8>> {
        let extension = prop_oneof![
            6 => Just(String::new()),
            1 => Just(";a".to_owned()),
            1 => Just(" ; a\t= \"q\\\"\" ;b=c".to_owned()),
        ];
        let chunk = (proptest::collection::vec(any::<u8>(), 1..40), extension.clone()).prop_map(|(data, extension)| {
            [
                format!("{:x}{extension}\r\n", data.len()).as_bytes(),
                &data[..],
                b"\r\n",
            ]
            .concat()
        });
        let trailer = "[A-Ca-c]{1,3}: ?[ -~]{0,8}\r\n";
        (
            proptest::collection::vec(chunk, 0..6),
            extension,
            proptest::collection::vec(trailer, 0..4),
        )
            .prop_map(|(chunks, extension, trailers)| {
                [
                    chunks.concat(),
                    format!("0{extension}\r\n{}\r\nrest", trailers.concat()).into_bytes(),
                ]
                .concat()
            })
    }

    fn limits() -> impl Strategy<Value = Limits> {
        (proptest::option::of(0..300u64), 0..40usize, 0..5usize).prop_map(
            |(max_body, trailer_bytes, trailer_fields)| Limits {
                max_body,
                trailer_bytes,
                trailer_fields,
            },
        )
    }

    fn in_pieces(mut bytes: &[u8], lengths: &[usize]) -> Vec<Vec<u8>> {
        let mut pieces = Vec::new();
        for &length in lengths.iter().cycle() {
            if bytes.is_empty() {
                break;
            }
            let (piece, rest) = bytes.split_at(length.min(bytes.len()));
            pieces.push(piece.to_vec());
            bytes = rest;
        }
        pieces
    }

    proptest! {
        #[test]
        fn cuts_change_nothing(
            body in body(),
            change in proptest::option::of((any::<prop::sample::Index>(), any::<u8>())),
            limits in limits(),
            lengths in proptest::collection::vec(1..20usize, 1..10),
        ) {
            let mut body = body;
            if let Some((at, byte)) = change {
                let at = at.index(body.len());
                body[at] = byte;
            }
            for limits in [limits, ROOMY] {
                let whole = run([&body[..]], &limits);
                let pieces = in_pieces(&body, &lengths);
                prop_assert_eq!(run(pieces.iter().map(Vec::as_slice), &limits), whole);
            }
        }

        #[test]
        fn good_bodies_are_complete(body in body()) {
            match run([&body[..]], &ROOMY) {
                Outcome::Complete { behind, .. } => prop_assert_eq!(behind, b"rest"),
                other => prop_assert!(false, "{:?}", other),
            }
        }

        #[test]
        fn anything_may_come(
            bytes in proptest::collection::vec(prop_oneof![Just(b'\r'), Just(b'\n'), Just(b'1'), any::<u8>()], 0..60),
            limits in limits(),
        ) {
            let whole = run([&bytes[..]], &limits);
            prop_assert_eq!(run(bytes.chunks(1), &limits), whole);
        }
    }
}
