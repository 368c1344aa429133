//! The request target: which form it has, its path and its query.

use super::Rejection;
use super::byte_class::{NOT_TARGET, PERCENT_OR_DOT, QUESTION_MARK, classes};
use super::host;
use memchr::{memchr, memrchr};

/// How a request target is written: RFC 9112 §3.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TargetForm {
    /// `/path?query`, the usual one.
    Origin,
    /// `http://host/path?query`, as proxies are asked.
    Absolute,
    /// `host:port`, for CONNECT alone.
    Authority,
    /// `*`, for OPTIONS alone.
    Asterisk,
}

/// What a request target says.
///
/// ```
/// use stannel::http1::target;
///
/// let mut scratch = Vec::new();
/// let target = target::parse(b"/a/../caf%C3%A9?x=%20", "GET", &mut scratch).unwrap();
/// assert_eq!((target.path(), target.query()), ("/café", "?x=%20"));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target<'a> {
    raw: &'a str,
    path: &'a str,
    query: &'a str,
    authority: Option<&'a str>,
    default_port: u16,
    form: TargetForm,
}

impl<'a> Target<'a> {
    /// The target byte for byte as it came.
    #[must_use]
    pub const fn raw(&self) -> &'a str {
        self.raw
    }

    /// Which of the four forms it has.
    #[must_use]
    pub const fn form(&self) -> TargetForm {
        self.form
    }

    /// The path, percent-decoded once and without dot segments; empty in the asterisk and the authority form.
    ///
    /// `%2F` stays as it is, and so do triplets that are no UTF-8. Control characters are possible (`%0d%0a`):
    /// escape them before you log them.
    #[must_use]
    pub const fn path(&self) -> &'a str {
        self.path
    }

    /// The query as it came, from its `?` on; empty if there is no `?`.
    #[must_use]
    pub const fn query(&self) -> &'a str {
        self.query
    }

    /// Host and perhaps port as written in the target: in the absolute and the authority form only.
    #[must_use]
    pub const fn authority(&self) -> Option<&'a str> {
        self.authority
    }

    /// The port that an authority without one means: 80 or 443 by the scheme of the absolute form, else 0 for none.
    #[must_use]
    pub const fn default_port(&self) -> u16 {
        self.default_port
    }
}

/// Reads a request target.
///
/// `scratch` takes the path where it differs from the way it is written; keep it and pass it again, so that it grows
/// only once.
///
/// # Errors
///
/// - [`Rejection::InvalidRequestTarget`]: a byte that no target has, no form at all, CONNECT with a form of another
///   method, user information, a bad authority, or `%00` in the path.
/// - [`Rejection::OptionsMethodRequired`]: `*` with another method than OPTIONS.
/// - [`Rejection::ConnectMethodRequired`]: an authority with another method than CONNECT.
pub fn parse<'a>(raw: &'a [u8], method: &str, scratch: &'a mut Vec<u8>) -> Result<Target<'a>, Rejection> {
    // A target is ASCII, so what is no UTF-8 is no target.
    let raw = std::str::from_utf8(raw).map_err(|_| Rejection::InvalidRequestTarget)?;
    parse_str(raw, method, scratch)
}

/// Like [`parse`], for a target that is already known to be text.
///
/// # Errors
///
/// Those of [`parse`].
pub fn parse_str<'a>(raw: &'a str, method: &str, scratch: &'a mut Vec<u8>) -> Result<Target<'a>, Rejection> {
    let seen = classes(raw.as_bytes());
    if seen & NOT_TARGET != 0 {
        return Err(Rejection::InvalidRequestTarget);
    }
    if raw.as_bytes().first() != Some(&b'/') {
        return parse_other_form(raw, method, scratch);
    }
    // RFC 9112 §3.2.3: CONNECT has the authority form only.
    if method == "CONNECT" {
        return Err(Rejection::InvalidRequestTarget);
    }
    let (path, query) = match seen & QUESTION_MARK {
        0 => (raw, ""),
        _ => split_query(raw),
    };
    let path = match seen & PERCENT_OR_DOT {
        0 => path,
        _ => normalize(path, scratch)?,
    };
    Ok(Target {
        raw,
        path,
        query,
        authority: None,
        default_port: 0,
        form: TargetForm::Origin,
    })
}

impl<'a> Target<'a> {
    /// Reads a target like [`parse_str`], into memory that is there: quick where nothing has to be decoded, which is
    /// nearly always.
    #[inline]
    pub(crate) fn read(&mut self, raw: &'a str, method: &str, scratch: &'a mut Vec<u8>) -> Result<(), Rejection> {
        match plain_path(raw, method) {
            Some(path_len) => {
                self.raw = raw;
                (self.path, self.query) = raw.split_at_checked(path_len).unwrap_or((raw, ""));
            }
            None => *self = parse_str(raw, method, scratch)?,
        }
        Ok(())
    }
}

impl<'a> Target<'a> {
    /// One of which [`is_plain`] holds.
    #[inline]
    pub(crate) fn plain(raw: &'a str) -> Self {
        Self {
            raw,
            path: raw,
            ..Self::default()
        }
    }
}

impl Default for Target<'_> {
    fn default() -> Self {
        Self {
            raw: "",
            path: "",
            query: "",
            authority: None,
            default_port: 0,
            form: TargetForm::Origin,
        }
    }
}

/// The length of the path, if this is an origin form whose path is written as it is meant.
#[inline]
fn plain_path(raw: &str, method: &str) -> Option<usize> {
    let bytes = raw.as_bytes();
    let seen = classes(bytes);
    if seen & (NOT_TARGET | PERCENT_OR_DOT) != 0 || bytes.first() != Some(&b'/') || method == "CONNECT" {
        return None;
    }
    match seen & QUESTION_MARK {
        0 => Some(raw.len()),
        _ => memchr(b'?', bytes),
    }
}

/// Whether it is an origin form that is a path and nothing else, written as it is meant.
pub(crate) fn is_plain(raw: &str, method: &str) -> bool {
    plain_path(raw, method) == Some(raw.len())
}

/// Whether every byte may stand in a target; none of them is enough for that.
#[must_use]
#[inline]
pub fn bytes_are_valid(raw: &[u8]) -> bool {
    classes(raw) & NOT_TARGET == 0
}

/// Whether the authority of a target and a Host value name the same place.
///
/// Names compare without ASCII case; a missing port means `default_port`. If that is 0, as for CONNECT, both must
/// have a port. What is no authority or no Host is equal to nothing.
///
/// ```
/// use stannel::http1::target::authority_matches;
///
/// assert!(authority_matches("Example.com", "example.com:80", 80));
/// assert!(!authority_matches("example.com", "example.com", 0));
/// ```
#[must_use]
pub fn authority_matches(authority: &str, host: &str, default_port: u16) -> bool {
    let default_port = (default_port != 0).then_some(default_port);
    match (host::parse(authority.as_bytes()), host::parse(host.as_bytes())) {
        (Ok(authority), Ok(host)) => authority.is_same_as(&host, default_port),
        _ => false,
    }
}

fn parse_other_form<'a>(raw: &'a str, method: &str, scratch: &'a mut Vec<u8>) -> Result<Target<'a>, Rejection> {
    if raw == "*" {
        // RFC 9112 §3.2.4: the asterisk is for OPTIONS.
        if method != "OPTIONS" {
            return Err(Rejection::OptionsMethodRequired);
        }
        return Ok(Target {
            raw,
            path: "",
            query: "",
            authority: None,
            default_port: 0,
            form: TargetForm::Asterisk,
        });
    }
    if let Some((default_port, rest)) = strip_scheme(raw) {
        if method == "CONNECT" {
            return Err(Rejection::InvalidRequestTarget);
        }
        return parse_absolute(raw, rest, default_port, scratch);
    }
    if raw.is_empty() || !raw.bytes().all(is_authority_byte) {
        return Err(Rejection::InvalidRequestTarget);
    }
    // RFC 9112 §3.2.3: the authority form is for CONNECT, and there it has a port.
    if method != "CONNECT" {
        return Err(Rejection::ConnectMethodRequired);
    }
    match host::parse(raw.as_bytes()) {
        Ok(host) if host.port().is_some() => Ok(Target {
            raw,
            path: "",
            query: "",
            authority: Some(raw),
            default_port: 0,
            form: TargetForm::Authority,
        }),
        _ => Err(Rejection::InvalidRequestTarget),
    }
}

fn parse_absolute<'a>(
    raw: &'a str,
    rest: &'a str,
    default_port: u16,
    scratch: &'a mut Vec<u8>,
) -> Result<Target<'a>, Rejection> {
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, rest) = rest.split_at_checked(end).ok_or(Rejection::InvalidRequestTarget)?;
    // RFC 9110 §4.2.1: an empty host is invalid. RFC 9110 §4.2.4: user information is an error; `@` is in no host.
    host::parse(authority.as_bytes()).map_err(|_| Rejection::InvalidRequestTarget)?;
    let (path, query) = split_query(rest);
    Ok(Target {
        raw,
        // RFC 9110 §4.2.3: an empty path is the root.
        path: if path.is_empty() {
            "/"
        } else {
            normalize(path, scratch)?
        },
        query,
        authority: Some(authority),
        default_port,
        form: TargetForm::Absolute,
    })
}

/// The default port of the scheme and what is behind `scheme://`.
fn strip_scheme(raw: &str) -> Option<(u16, &str)> {
    // RFC 3986 §3.1: schemes have no case.
    [("http://", 80), ("https://", 443)]
        .into_iter()
        .find_map(|(prefix, port)| {
            let (scheme, rest) = raw.split_at_checked(prefix.len())?;
            scheme.eq_ignore_ascii_case(prefix).then_some((port, rest))
        })
}

const fn is_authority_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b':' | b'.' | b'[' | b']' | b'@' | b'-')
}

/// Path and query, which begins at the first `?`.
fn split_query(text: &str) -> (&str, &str) {
    memchr(b'?', text.as_bytes())
        .and_then(|at| text.split_at_checked(at))
        .unwrap_or((text, ""))
}

/// The path decoded and without dot segments, in `scratch` if that differs from what is written.
fn normalize<'a>(path: &'a str, scratch: &'a mut Vec<u8>) -> Result<&'a str, Rejection> {
    if is_normal(path.as_bytes()) {
        return Ok(path);
    }
    scratch.clear();
    // A slash is always a slash: `%2F` is never decoded. So each segment can be decoded by itself.
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let start = scratch.len();
        scratch.push(b'/');
        decode_percent(segment.as_bytes(), scratch)?;
        // RFC 3986 §5.2.4: dot segments, recognized after decoding so that `%2e%2e` does not slip through.
        let parent_too = match scratch.get(start..) {
            Some(b"/.") => false,
            Some(b"/..") => true,
            _ => continue,
        };
        scratch.truncate(start);
        if parent_too {
            let parent = memrchr(b'/', scratch).unwrap_or(0);
            scratch.truncate(parent);
        }
        if segments.peek().is_none() {
            scratch.push(b'/');
        }
    }
    // It always is UTF-8: what is copied is ASCII and what is decoded was checked.
    std::str::from_utf8(scratch).map_err(|_| Rejection::InvalidRequestTarget)
}

/// Whether nothing needs decoding and no segment begins with a dot.
fn is_normal(path: &[u8]) -> bool {
    let mut before = 0;
    path.iter().all(|&byte| {
        let ordinary = byte != b'%' && (byte != b'.' || before != b'/');
        before = byte;
        ordinary
    })
}

/// Appends the segment with every triplet decoded that may be.
fn decode_percent(mut segment: &[u8], out: &mut Vec<u8>) -> Result<(), Rejection> {
    while let Some((plain, encoded)) = memchr(b'%', segment).and_then(|at| segment.split_at_checked(at)) {
        out.extend_from_slice(plain);
        let length = match triplet(encoded) {
            // A lone percent sign.
            None => {
                out.push(b'%');
                1
            }
            // A NUL ends strings in the file systems behind; nobody sends it in good faith.
            Some(0) => return Err(Rejection::InvalidRequestTarget),
            // An encoded slash is data of its segment, not a border between two.
            Some(b'/') => keep(encoded, out),
            Some(first) => match character(first, encoded) {
                Some((bytes, count)) => {
                    out.extend_from_slice(bytes.get(..count).unwrap_or_default());
                    count * TRIPLET
                }
                None => keep(encoded, out),
            },
        };
        segment = encoded.get(length..).unwrap_or_default();
    }
    out.extend_from_slice(segment);
    Ok(())
}

/// Appends the triplet as it is written.
fn keep(encoded: &[u8], out: &mut Vec<u8>) -> usize {
    out.extend_from_slice(encoded.get(..TRIPLET).unwrap_or_default());
    TRIPLET
}

/// The one well-formed UTF-8 character whose triplets begin here, and how many bytes it has.
fn character(first: u8, encoded: &[u8]) -> Option<([u8; 4], usize)> {
    // RFC 3629 §4: the first byte tells the length; the rest is left to the standard library.
    let count = match first {
        0x00..=0x7F => 1,
        0xC2..=0xDF => 2,
        0xE0..=0xEF => 3,
        0xF0..=0xF4 => 4,
        _ => return None,
    };
    let mut bytes = [0; 4];
    let triplets = encoded.chunks(TRIPLET);
    for (byte, written) in bytes.iter_mut().take(count).zip(triplets) {
        *byte = triplet(written)?;
    }
    // Where the target ends early a NUL is left, which is no continuation.
    std::str::from_utf8(bytes.get(..count)?).ok()?;
    Some((bytes, count))
}

/// The byte that a percent triplet at the front stands for.
fn triplet(encoded: &[u8]) -> Option<u8> {
    match *encoded {
        [b'%', high, low, ..] => Some((hex(high)? << 4) | hex(low)?),
        _ => None,
    }
}

const fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

/// `%`, two hexadecimal digits.
const TRIPLET: usize = 3;

#[cfg(test)]
mod tests;
