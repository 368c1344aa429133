//! One field line: a name, a colon, a value.

use super::Rejection;
use super::byte_class::{NOT_FIELD_VALUE, NOT_TOKEN, class, classes};

/// A field as it came: the name in its own case, the value without the white space around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field<'a> {
    /// A token; compare it without case.
    pub name: &'a str,
    /// HTAB, SP, visible ASCII and the bytes from 0x80 on, which may be any text or none.
    pub value: &'a [u8],
}

/// Reads a field line, which comes without its CRLF.
///
/// # Errors
///
/// - [`Rejection::InvalidRequestHeader`]: a stray CR or LF, a line that begins with SP or HTAB, no colon, no name, or
///   white space in or behind the name.
/// - [`Rejection::InvalidCharactersInHeaderName`]: the name is no token.
/// - [`Rejection::MalformedRequestInvalidHeaders`]: the value has a control byte.
///
/// ```
/// let field = stannel::http1::field::parse_line(b"Accept: text/plain ").unwrap();
/// assert_eq!((field.name, field.value), ("Accept", &b"text/plain"[..]));
/// ```
pub fn parse_line(line: &[u8]) -> Result<Field<'_>, Rejection> {
    let end = line.iter().position(|&byte| class(byte) & NOT_TOKEN != 0);
    let parts = end.and_then(|end| Some((line.get(..end)?, line.get(end..)?.strip_prefix(b":")?)));
    let Some((name, value)) = parts.filter(|(name, _)| !name.is_empty()) else {
        return Err(why_no_name(line));
    };
    if classes(value) & NOT_FIELD_VALUE != 0 {
        return Err(why_no_value(value));
    }
    let name = std::str::from_utf8(name).map_err(|_| Rejection::InvalidCharactersInHeaderName)?;
    Ok(Field {
        name,
        value: trim_ows(value),
    })
}

#[cold]
fn why_no_name(line: &[u8]) -> Rejection {
    let name = memchr::memchr(b':', line).and_then(|colon| line.get(..colon));
    match name {
        // RFC 9112 §2.2: a CR that ends no line is never read as a space here.
        _ if has_line_end(line) => Rejection::InvalidRequestHeader,
        // RFC 9112 §5.2: a folded line begins with white space; the first one must not either (§2.2).
        // RFC 9112 §5.1: no white space between name and colon.
        Some(name) if !name.is_empty() && !name.iter().any(|byte| matches!(byte, b' ' | b'\t')) => {
            Rejection::InvalidCharactersInHeaderName
        }
        _ => Rejection::InvalidRequestHeader,
    }
}

#[cold]
fn why_no_value(value: &[u8]) -> Rejection {
    if has_line_end(value) {
        Rejection::InvalidRequestHeader
    } else {
        Rejection::MalformedRequestInvalidHeaders
    }
}

fn has_line_end(bytes: &[u8]) -> bool {
    memchr::memchr2(b'\r', b'\n', bytes).is_some()
}

/// Whether the bytes are one token: RFC 9110 §5.6.2.
///
/// ```
/// use stannel::http1::field::is_token;
///
/// assert!(is_token(b"x-name") && !is_token(b"x name") && !is_token(b""));
/// ```
#[must_use]
#[inline]
pub fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && classes(bytes) & NOT_TOKEN == 0
}

/// Whether all bytes may stand in a field value: RFC 9110 §5.5. White space around it is not looked at.
///
/// ```
/// use stannel::http1::field::is_field_value;
///
/// assert!(is_field_value("café\t".as_bytes()) && !is_field_value(b"a\r\nb"));
/// ```
#[must_use]
#[inline]
pub fn is_field_value(bytes: &[u8]) -> bool {
    let (chunks, rest) = bytes.as_chunks();
    if chunks.iter().any(|chunk| may_have_control(u64::from_ne_bytes(*chunk))) {
        return classes(bytes) & NOT_FIELD_VALUE == 0;
    }
    classes(rest) & NOT_FIELD_VALUE == 0
}

/// Whether any of eight bytes is below 0x20 or 0x7F; HTAB, which is allowed, has to be looked at by itself.
#[inline]
const fn may_have_control(bytes: u64) -> bool {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const TOPS: u64 = ONES << 7;
    // The lowest byte that is below the bound borrows into its own top bit; bytes with a top bit are never below it.
    let below_space = bytes.wrapping_sub(ONES * 0x20) & !bytes;
    let from_delete = bytes ^ (ONES * 0x7f);
    let is_delete = from_delete.wrapping_sub(ONES) & !from_delete;
    (below_space | is_delete) & TOPS != 0
}

/// The bytes without SP and HTAB at both ends.
///
/// Nothing else is white space to HTTP. Trimming more (VT, FF) is how one parser sees `chunked` where the next does
/// not.
///
/// ```
/// assert_eq!(stannel::http1::field::trim_ows(b" \tchunked\x0b "), b"chunked\x0b");
/// ```
#[must_use]
#[inline]
pub fn trim_ows(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = bytes {
        bytes = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

/// The members of a comma-separated list, trimmed, without the empty ones: RFC 9110 §5.6.1.
///
/// Quotes mean nothing here: the lists that steer a connection have no quoted members.
///
/// ```
/// let members: Vec<&[u8]> = stannel::http1::field::members(b"keep-alive,, Upgrade").collect();
/// assert_eq!(members, [&b"keep-alive"[..], b"Upgrade"]);
/// ```
pub fn members(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value
        .split(|&byte| byte == b',')
        .map(trim_ows)
        .filter(|member| !member.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_lines() {
        let cases: &[(&[u8], &str, &[u8])] = &[
            (b"A: b", "A", b"b"),
            (b"a:b", "a", b"b"),
            (b"A:", "A", b""),
            (b"A: \t ", "A", b""),
            (b"A:\t b  c \t", "A", b"b  c"),
            (b"A: b:c", "A", b"b:c"),
            (b"A::", "A", b":"),
            (b"Content_Length: 5", "Content_Length", b"5"),
            (b"!#$%&'*+-.^_`|~09azAZ: x", "!#$%&'*+-.^_`|~09azAZ", b"x"),
            (b"X: \x80\xff\"(),/:;<=>?@[\\]{}", "X", b"\x80\xff\"(),/:;<=>?@[\\]{}"),
            (b"X: a\tb", "X", b"a\tb"),
        ];
        for &(line, name, value) in cases {
            assert_eq!(parse_line(line), Ok(Field { name, value }));
        }
    }

    #[test]
    fn bad_lines() {
        use Rejection::{
            InvalidCharactersInHeaderName as Name, InvalidRequestHeader as Line,
            MalformedRequestInvalidHeaders as Value,
        };
        let cases: &[(&[u8], Rejection)] = &[
            (b"", Line),
            (b":", Line),
            (b": b", Line),
            (b"A", Line),
            (b"A b", Line),
            (b"A@", Line),
            (b" A: b", Line),
            (b"\tA: b", Line),
            (b" ", Line),
            (b"A : b", Line),
            (b"A\t: b", Line),
            (b"A B: c", Line),
            (b"A\r: b", Line),
            (b"A: b\rc", Line),
            (b"A: b\r", Line),
            (b"A: b\nc", Line),
            (b"A: \0b\rc", Line),
            (b"A(: b", Name),
            (b"A@B: c", Name),
            (b"A/B: c", Name),
            (b"\"A\": b", Name),
            (b"A\0: b", Name),
            (b"A\x0b: b", Name),
            (b"A\x7f: b", Name),
            (b"\xc3\xa5: b", Name),
            (b"A: \0", Value),
            (b"A: b\x0b", Value),
            (b"A: \x0cb", Value),
            (b"A: b\x1bc", Value),
            (b"A: b\x7f", Value),
        ];
        for &(line, rejection) in cases {
            assert_eq!(
                parse_line(line),
                Err(rejection),
                "{:?}",
                line.escape_ascii().to_string()
            );
        }
    }

    #[test]
    fn every_byte_in_a_value() {
        for byte in 0..=255u8 {
            let line = [b'A', b':', b'x', byte, b'y'];
            let expected = byte == b'\t' || (byte >= b' ' && byte != 0x7F);
            assert_eq!(parse_line(&line).is_ok(), expected, "{byte:#x}");
            assert_eq!(is_field_value(&[byte]), expected, "{byte:#x}");
        }
    }

    #[test]
    fn tokens() {
        assert!(is_token(b"GET"));
        assert!(is_token(b"x-1.2_~!*'"));
        for bad in [
            &b""[..],
            b"a b",
            b"a:",
            b"\"a\"",
            b"a,b",
            b"abcdefghijk/",
            b"a\0",
            b"\xe9",
        ] {
            assert!(!is_token(bad), "{bad:?}");
        }
    }

    #[test]
    fn rfc9110_5_6_3_only_space_and_tab_are_trimmed() {
        let cases: &[(&[u8], &[u8])] = &[
            (b"", b""),
            (b" \t ", b""),
            (b" a b\t", b"a b"),
            (b"\x0ba\x0c", b"\x0ba\x0c"),
            (b"\ra\n", b"\ra\n"),
            (b"\xa0a", b"\xa0a"),
        ];
        for (bytes, trimmed) in cases {
            assert_eq!(trim_ows(bytes), *trimmed);
        }
    }

    #[test]
    fn rfc9110_5_6_1_list_members() {
        let cases: &[(&[u8], &[&[u8]])] = &[
            (b"", &[]),
            (b" , ,\t", &[]),
            (b"close", &[b"close"]),
            (b" close , keep-alive,,x y ", &[b"close", b"keep-alive", b"x y"]),
            (b"\"a,b\"", &[b"\"a", b"b\""]),
        ];
        for (value, expected) in cases {
            assert_eq!(members(value).collect::<Vec<_>>(), *expected);
        }
    }
}
