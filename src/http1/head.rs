//! The head of a request: request line, field lines, empty line.
//!
//! Two readers with one verdict. `parse` is the quick one: httparse over a whole head, and the checks that httparse
//! leaves to its callers. [`Scan`] is the exact one: it goes line by line, goes on where it stopped when more input
//! comes, and names what is wrong. A head that arrives whole and is well formed meets only the first; anything else is
//! decided by the second, so the answer does not depend on how the input was cut.

use super::RawField;
use super::field;
use super::rejection::Rejection;
use super::section::{FieldLines, KnownSection};
use super::target;
use std::mem::MaybeUninit;

/// The limits of a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadLimits {
    /// Bytes of the request line with its CRLF.
    pub line: usize,
    /// Bytes of all field lines with their CRLFs.
    pub fields_size: usize,
    /// Field lines.
    pub fields: usize,
}

/// A head whose lines are well formed; what they mean is not checked yet.
#[derive(Debug)]
pub(crate) struct RawHead<'b> {
    /// Bytes up to and with the empty line.
    pub(crate) len: usize,
    /// Bytes of the field lines.
    pub(crate) fields_size: usize,
    pub(crate) method: &'b str,
    pub(crate) target: &'b str,
    pub(crate) is_http11: bool,
    pub(crate) fields: FieldLines<'b>,
}

pub(crate) type FieldSlot<'b> = MaybeUninit<RawField<'b>>;

/// Fields that a head can have without costing an allocation.
pub(crate) const FIELD_SLOTS: usize = 100;

/// What the quick reader saw.
#[derive(Debug)]
pub(crate) enum Quick<'b> {
    Complete(RawHead<'b>),
    Incomplete,
    /// Something is wrong, or there are more fields than slots.
    Unclear,
}

/// Reads a head that begins with the first byte of `input`.
#[inline(always)]
pub(crate) fn parse<'b>(input: &'b [u8], slots: &'b mut [FieldSlot<'b>], limits: &HeadLimits) -> Quick<'b> {
    let mut request = httparse::Request::new(&mut []);
    let len = match request.parse_with_uninit_headers(input, slots) {
        Ok(httparse::Status::Complete(len)) => len,
        Ok(httparse::Status::Partial) => return Quick::Incomplete,
        Err(_) => return Quick::Unclear,
    };
    let httparse::Request {
        method: Some(method),
        path: Some(target),
        version: Some(version),
        headers: fields,
    } = request
    else {
        return Quick::Unclear;
    };
    // RFC 9112 §2.2 lets a lone LF end a line; two parsers would then see two messages. httparse ends lines at LF, so
    // the byte before each has to be CR. A line begins where the name of its field begins.
    let start = input.as_ptr() as usize;
    let line_of = |field: &RawField<'_>| (field.name.as_ptr() as usize).wrapping_sub(start);
    let ends_before = |line: usize| input.get(line.wrapping_sub(2)) == Some(&b'\r');
    let section = len.wrapping_sub(2);
    let line_len = fields.first().map_or(section, line_of);
    let fields_size = section.wrapping_sub(line_len);
    let ends_in_crlf = input.get(section) == Some(&b'\r')
        && ends_before(section)
        && fields.iter().all(|field| ends_before(line_of(field)));
    if !ends_in_crlf || line_len > limits.line || fields_size > limits.fields_size || fields.len() > limits.fields {
        return Quick::Unclear;
    }
    Quick::Complete(RawHead {
        len,
        fields_size,
        method,
        target,
        is_http11: version == 1,
        fields: FieldLines::Read(fields),
    })
}

/// Reads a head whose header section is the known one; of any other it says nothing.
#[inline(always)]
pub(crate) fn parse_known<'b>(input: &'b [u8], known: &'b KnownSection, limits: &HeadLimits) -> Option<RawHead<'b>> {
    let line_len = known.behind_line(input)?;
    let line = &input[..line_len];
    let mut request = httparse::Request::new(&mut []);
    let read = request.parse_with_uninit_headers(line, &mut []);
    let httparse::Request {
        method: Some(method),
        path: Some(target),
        version: Some(version),
        ..
    } = request
    else {
        return None;
    };
    // What httparse took for the request line is all of it, to the CR before the LF.
    let is_whole = method.len() + target.len() + b"  HTTP/1.1\r\n".len() == line_len && line.ends_with(b"\r\n");
    let fields = FieldLines::Known(known);
    let within_limits =
        line_len <= limits.line && known.fields_size() <= limits.fields_size && fields.len() <= limits.fields;
    // It is a request line alone to httparse, so the head goes on.
    if !(matches!(read, Ok(httparse::Status::Partial)) && is_whole && within_limits) {
        return None;
    }
    Some(RawHead {
        len: line_len + known.fields_size() + 2,
        fields_size: known.fields_size(),
        method,
        target,
        is_http11: version == 1,
        fields,
    })
}

/// The length of the head that begins with the first byte of `input`, if it is there whole.
///
/// It is read as a connection reads a head that arrives in one piece: lines and their sizes are checked, method, target
/// and version too; what the fields mean is not. `scratch` is lent to the target's reader.
///
/// ```
/// use stannel::Rejection;
/// use stannel::http1::head::{HeadLimits, check};
///
/// let limits = HeadLimits { line: 8192, fields_size: 32768, fields: 100 };
/// let mut scratch = Vec::new();
/// assert_eq!(check(b"GET / HTTP/1.1\r\nHost: h\r\n\r\nbody", &limits, &mut scratch), Ok(Some(27)));
/// assert_eq!(check(b"GET / HTTP/1.1\r\nHo", &limits, &mut scratch), Ok(None));
/// assert_eq!(check(b"GET / HTTP/1.1\n", &limits, &mut scratch), Err(Rejection::InvalidRequestLine));
/// ```
///
/// # Errors
/// Why no request can begin like this.
pub fn check(input: &[u8], limits: &HeadLimits, scratch: &mut Vec<u8>) -> Result<Option<usize>, Rejection> {
    let mut slots = [const { MaybeUninit::uninit() }; FIELD_SLOTS];
    if let Quick::Complete(head) = parse(input, &mut slots, limits) {
        if !field::is_token(head.method.as_bytes()) {
            return Err(Rejection::InvalidRequestLine);
        }
        target::parse_str(head.target, head.method, scratch)?;
        return Ok(Some(head.len));
    }
    let Some(len) = Scan::default().advance(input, limits, scratch)? else {
        return Ok(None);
    };
    let mut slots = Vec::new();
    slots.resize_with(limits.fields, MaybeUninit::uninit);
    match parse(input, &mut slots, limits) {
        Quick::Complete(_) => Ok(Some(len)),
        // The readers disagree: refuse what one of them did not understand.
        Quick::Incomplete | Quick::Unclear => Err(Rejection::InvalidRequestHeader),
    }
}

/// How far a head that is not complete yet was checked, line by line.
///
/// ```
/// use stannel::http1::head::{HeadLimits, Scan};
///
/// let limits = HeadLimits { line: 8192, fields_size: 32768, fields: 100 };
/// let mut scratch = Vec::new();
/// let mut scan = Scan::default();
/// assert_eq!(scan.advance(b"GET / HTTP/1.1\r", &limits, &mut scratch), Ok(None));
/// assert_eq!(scan.advance(b"GET / HTTP/1.1\r\n\r\n", &limits, &mut scratch), Ok(Some(18)));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scan {
    /// Where the current line begins.
    line: usize,
    /// Up to where LF was searched.
    searched: usize,
    /// Bytes of the request line; 0 while it is not complete.
    request_line: usize,
    fields: usize,
}

impl Scan {
    /// Whether there was a head, or a part of one, to check.
    #[inline]
    pub(crate) const fn has_begun(&self) -> bool {
        self.searched > 0
    }

    /// Goes on through `input`, which begins where the head begins. Returns the length of the head once it is complete.
    ///
    /// Each call gets the same bytes as the one before, and those that came since.
    ///
    /// # Errors
    /// Why no request can begin like this; there is no going on from there.
    pub fn advance(
        &mut self,
        input: &[u8],
        limits: &HeadLimits,
        scratch: &mut Vec<u8>,
    ) -> Result<Option<usize>, Rejection> {
        while let Some(unsearched) = input.get(self.searched..) {
            let end = memchr::memchr(b'\n', unsearched).map(|at| self.searched + at + 1);
            let line = &input[self.line..end.unwrap_or(input.len())];
            if self.request_line == 0 {
                check_line_size(line, end.is_some(), limits)?;
            } else if self.line - self.request_line + size_of_line(line) > limits.fields_size {
                return Err(Rejection::HeadersExceedMaxTotalSize);
            }
            let Some(end) = end else {
                self.searched = input.len();
                return Ok(None);
            };
            if self.request_line == 0 {
                check_request_line(line, scratch)?;
                self.request_line = end;
            } else if line == b"\r\n" {
                return Ok(Some(end));
            } else {
                // RFC 9112 §2.2: a lone LF is no line end here.
                let line = line
                    .strip_suffix(b"\r\n")
                    .ok_or(Rejection::InvalidRequestHeadersNoCrlf)?;
                field::parse_line(line)?;
                self.fields += 1;
                if self.fields > limits.fields {
                    return Err(Rejection::TooManyHeaders);
                }
            }
            self.line = end;
            self.searched = end;
        }
        Ok(None)
    }
}

/// What a line, complete or not, counts towards the size of the section: the empty line at its end counts nothing.
fn size_of_line(line: &[u8]) -> usize {
    if line == b"\r" || line == b"\r\n" {
        0
    } else {
        line.len()
    }
}

/// RFC 9112 §3: a line that is too long is 414, unless it is the method that does not end (RFC 9110 §15.5.15).
fn check_line_size(line: &[u8], is_complete: bool, limits: &HeadLimits) -> Result<(), Rejection> {
    let most = limits.line - usize::from(!is_complete);
    if line.len() <= most {
        return Ok(());
    }
    let within = &line[..limits.line.min(line.len())];
    Err(if within.contains(&b' ') {
        Rejection::RequestLineTooLong
    } else {
        Rejection::InvalidRequestLine
    })
}

/// RFC 9112 §3: `method SP request-target SP version CRLF`, exactly one SP in each place.
fn check_request_line(line: &[u8], scratch: &mut Vec<u8>) -> Result<(), Rejection> {
    let line = line.strip_suffix(b"\r\n").ok_or(Rejection::InvalidRequestLine)?;
    let mut words = line.split(|&byte| byte == b' ');
    let (Some(method), Some(target), Some(version), None) = (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(Rejection::InvalidRequestLine);
    };
    let method = std::str::from_utf8(method)
        .ok()
        .filter(|method| field::is_token(method.as_bytes()));
    let method = method.ok_or(Rejection::InvalidRequestLine)?;
    if target.is_empty() {
        return Err(Rejection::InvalidRequestLine);
    }
    if !target::bytes_are_valid(target) {
        return Err(Rejection::InvalidRequestTarget);
    }
    match version {
        b"HTTP/1.1" | b"HTTP/1.0" => {}
        [b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', b'.', b'0'..=b'9'] => {
            return Err(Rejection::UnrecognizedHttpVersion);
        }
        _ => return Err(Rejection::InvalidRequestLine),
    }
    target::parse(target, method, scratch).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::{FieldSlot, HeadLimits, Quick, Scan, parse};
    use crate::http1::Rejection;
    use std::mem::MaybeUninit;

    const LIMITS: HeadLimits = HeadLimits {
        line: 64,
        fields_size: 64,
        fields: 4,
    };

    fn scan(input: &[u8], piece: usize) -> Result<Option<usize>, Rejection> {
        let mut scan = Scan::default();
        let mut scratch = Vec::new();
        for end in (piece..input.len()).step_by(piece) {
            if let Some(len) = scan.advance(&input[..end], &LIMITS, &mut scratch)? {
                return Ok(Some(len));
            }
        }
        scan.advance(input, &LIMITS, &mut scratch)
    }

    fn quick(input: &[u8]) -> Option<usize> {
        let mut slots: [FieldSlot<'_>; 8] = [const { MaybeUninit::uninit() }; 8];
        match parse(input, &mut slots, &LIMITS) {
            Quick::Complete(head) => Some(head.len),
            _ => None,
        }
    }

    #[test]
    fn both_readers_agree_however_the_input_is_cut() {
        let cases: &[(&str, Result<usize, Rejection>)] = &[
            ("GET / HTTP/1.1\r\n\r\n", Ok(18)),
            ("GET / HTTP/1.1\r\nHost: h\r\n\r\nrest", Ok(27)),
            ("GET / HTTP/1.1\r\na:\r\nb: \t c \t\r\n\r\n", Ok(32)),
            ("GET / HTTP/1.1\n\n", Err(Rejection::InvalidRequestLine)),
            (
                "GET / HTTP/1.1\r\nHost: h\n\r\n",
                Err(Rejection::InvalidRequestHeadersNoCrlf),
            ),
            (
                "GET / HTTP/1.1\r\nHost: h\r\n\n",
                Err(Rejection::InvalidRequestHeadersNoCrlf),
            ),
            (
                "GET / HTTP/1.1\r\na: b\nc: d\r\n\r\n",
                Err(Rejection::InvalidRequestHeadersNoCrlf),
            ),
            ("GET  / HTTP/1.1\r\n\r\n", Err(Rejection::InvalidRequestLine)),
            ("GET / HTTP/1.1 \r\n\r\n", Err(Rejection::InvalidRequestLine)),
            ("GET / HTTP/1.2\r\n\r\n", Err(Rejection::UnrecognizedHttpVersion)),
            ("GET /\r\n\r\n", Err(Rejection::InvalidRequestLine)),
            ("PRI * HTTP/2.0\r\n\r\n", Err(Rejection::UnrecognizedHttpVersion)),
            ("GET / HTTP/1.1\r\n a: b\r\n\r\n", Err(Rejection::InvalidRequestHeader)),
            (
                "GET / HTTP/1.1\r\na: b\r\n c\r\n\r\n",
                Err(Rejection::InvalidRequestHeader),
            ),
            ("GET / HTTP/1.1\r\na : b\r\n\r\n", Err(Rejection::InvalidRequestHeader)),
            ("GET / HTTP/1.1\r\n: b\r\n\r\n", Err(Rejection::InvalidRequestHeader)),
            (
                "GET / HTTP/1.1\r\na: b\x00\r\n\r\n",
                Err(Rejection::MalformedRequestInvalidHeaders),
            ),
            ("GET / HTTP/1.1\r\n1:\r\n2:\r\n3:\r\n4:\r\n\r\n", Ok(34)),
            (
                "GET / HTTP/1.1\r\n1:\r\n2:\r\n3:\r\n4:\r\n5:\r\n\r\n",
                Err(Rejection::TooManyHeaders),
            ),
        ];
        for (input, expected) in cases {
            for piece in [1, 2, 3, 7, 1000] {
                let found = scan(input.as_bytes(), piece).map(|len| len.expect("a whole head"));
                assert_eq!(found, *expected, "{input:?} in pieces of {piece}");
            }
            assert_eq!(quick(input.as_bytes()), expected.ok(), "{input:?}");
        }
    }

    #[test]
    fn sizes_hold_to_the_byte() {
        let line = |len: usize| format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(len - 16));
        let fields = |len: usize| format!("GET / HTTP/1.1\r\na: {}\r\n\r\n", "b".repeat(len - 5));
        for piece in [1, 5, 1000] {
            assert!(scan(line(64).as_bytes(), piece).is_ok());
            assert_eq!(scan(line(65).as_bytes(), piece), Err(Rejection::RequestLineTooLong));
            assert_eq!(scan(&[b'A'; 64], piece), Err(Rejection::InvalidRequestLine));
            assert_eq!(
                scan(format!("A {}", "b".repeat(62)).as_bytes(), piece),
                Err(Rejection::RequestLineTooLong)
            );
            assert!(scan(fields(64).as_bytes(), piece).is_ok());
            assert_eq!(
                scan(fields(65).as_bytes(), piece),
                Err(Rejection::HeadersExceedMaxTotalSize)
            );
        }
        assert!(quick(line(64).as_bytes()).is_some() && quick(line(65).as_bytes()).is_none());
        assert!(quick(fields(64).as_bytes()).is_some() && quick(fields(65).as_bytes()).is_none());
        // What has come is over the limit already, whether or not the line will ever end.
        assert_eq!(
            scan(format!("GET / HTTP/1.1\r\n{}", "a".repeat(65)).as_bytes(), 1000),
            Err(Rejection::HeadersExceedMaxTotalSize)
        );
    }
}
