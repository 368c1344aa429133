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
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn path_of(raw: &str) -> Result<(String, String), Rejection> {
        let mut scratch = b"left over".to_vec();
        let target = parse(raw.as_bytes(), "GET", &mut scratch)?;
        assert_eq!(target.raw(), raw);
        Ok((target.path().to_owned(), target.query().to_owned()))
    }

    fn refusal(raw: &[u8], method: &str) -> Option<Rejection> {
        parse(raw, method, &mut Vec::new()).err()
    }

    fn check(cases: &[(&str, &str, &str)]) {
        for &(raw, path, query) in cases {
            assert_eq!(path_of(raw), Ok((path.to_owned(), query.to_owned())), "{raw}");
            // The absolute form has no rules of its own.
            let absolute = format!("http://h{raw}");
            assert_eq!(
                path_of(&absolute),
                Ok((path.to_owned(), query.to_owned())),
                "{absolute}"
            );
        }
    }

    #[test]
    fn rfc9112_3_2_1_origin_form() {
        check(&[
            ("/", "/", ""),
            ("/abc/def", "/abc/def", ""),
            ("/abc/", "/abc/", ""),
            ("//a//b", "//a//b", ""),
            ("/p?a=1&b=2", "/p", "?a=1&b=2"),
            ("/p?", "/p", "?"),
            ("/p??a?b", "/p", "??a?b"),
            ("/p?%20+%00%zz/../..", "/p", "?%20+%00%zz/../.."),
            ("/%61?%C3%A5=%2F", "/a", "?%C3%A5=%2F"),
            ("/?//", "/", "?//"),
            ("/a;p=1/b,c!$&'()*+=:@~-._", "/a;p=1/b,c!$&'()*+=:@~-._", ""),
            ("/a|b{c}[d]\"<>\\^`", "/a|b{c}[d]\"<>\\^`", ""),
            ("/app.min.js?v=1.2", "/app.min.js", "?v=1.2"),
        ]);
    }

    #[test]
    fn rfc3986_2_1_percent_decoding() {
        check(&[
            ("/a%20b", "/a b", ""),
            ("/%C3%A5", "/å", ""),
            ("/%E2%82%AC", "/€", ""),
            ("/%F0%9F%98%80", "/😀", ""),
            ("/%F4%8F%BF%BF", "/\u{10FFFF}", ""),
            ("/%c3%a5%7e", "/å~", ""),
            ("/%25", "/%", ""),
            ("/%2541", "/%41", ""),
            ("/%25%30%30", "/%00", ""),
            ("/%%2000", "/% 00", ""),
            ("/%%%41", "/%%A", ""),
            ("/a%2Fb", "/a%2Fb", ""),
            ("/a%2fb", "/a%2fb", ""),
            ("/%2F%2f%41", "/%2F%2fA", ""),
            ("/a%5Cb", "/a\\b", ""),
            ("/a+b%2B", "/a+b+", ""),
            ("/a%3Fb?c", "/a?b", "?c"),
            ("/a%23b", "/a#b", ""),
            ("/%7F%01", "/\u{7f}\u{1}", ""),
            ("/a%0d%0aX:1", "/a\r\nX:1", ""),
        ]);
    }

    #[test]
    fn rfc3629_3_triplets_that_are_no_utf8_stay() {
        check(&[
            ("/%zz%4", "/%zz%4", ""),
            ("/%", "/%", ""),
            ("/a%", "/a%", ""),
            ("/a%4?%4", "/a%4", "?%4"),
            ("/%g0/%0g", "/%g0/%0g", ""),
            ("/%C0%AF", "/%C0%AF", ""),
            ("/%C1%BF", "/%C1%BF", ""),
            ("/%E0%9F%BF/%E0%A0%80", "/%E0%9F%BF/\u{800}", ""),
            ("/%ED%A0%80", "/%ED%A0%80", ""),
            ("/%ED%BF%BF/%ED%9F%BF", "/%ED%BF%BF/\u{D7FF}", ""),
            ("/%E2%82", "/%E2%82", ""),
            ("/%E2%82/x", "/%E2%82/x", ""),
            ("/%E2%82?%AC", "/%E2%82", "?%AC"),
            ("/%E2%82%E2%82%AC", "/%E2%82€", ""),
            ("/%E2%82%A", "/%E2%82%A", ""),
            ("/%C3%41", "/%C3A", ""),
            ("/%C3%2F%A5", "/%C3%2F%A5", ""),
            ("/%C3a%A5", "/%C3a%A5", ""),
            ("/%80%BF", "/%80%BF", ""),
            ("/%FF", "/%FF", ""),
            ("/%fe%Ff", "/%fe%Ff", ""),
            ("/%F4%90%80%80", "/%F4%90%80%80", ""),
            ("/%F0%8F%BF%BF", "/%F0%8F%BF%BF", ""),
            ("/%F5%80%80%80", "/%F5%80%80%80", ""),
            ("/%C0%AE%C0%AE/x", "/%C0%AE%C0%AE/x", ""),
        ]);
    }

    #[test]
    fn rfc3986_5_2_4_dot_segments() {
        check(&[
            ("/a/./b", "/a/b", ""),
            ("/a/../b", "/b", ""),
            ("/../../x", "/x", ""),
            ("/a/.", "/a/", ""),
            ("/a/./", "/a/", ""),
            ("/a/b/..", "/a/", ""),
            ("/a/b/../", "/a/", ""),
            ("/a/..", "/", ""),
            ("/.", "/", ""),
            ("/..", "/", ""),
            ("/./", "/", ""),
            ("/../", "/", ""),
            ("/..?/..", "/", "?/.."),
            ("/.a/..b/c./d../...", "/.a/..b/c./d../...", ""),
            ("/.well-known/x", "/.well-known/x", ""),
            ("/a/%2e%2E/b", "/b", ""),
            ("/a/.%2e/b", "/b", ""),
            ("/a/%2e/b", "/a/b", ""),
            ("/a/%2e%2e", "/", ""),
            ("/a/..%2fb", "/a/..%2fb", ""),
            ("/a/%2e%2e%2Fb", "/a/..%2Fb", ""),
            ("/a//../b", "/a/b", ""),
            ("/a//..", "/a/", ""),
            ("/x/..//y", "//y", ""),
            ("//..", "/", ""),
            ("/%2e%2e/%2e%2e/etc/passwd", "/etc/passwd", ""),
            ("/a/b/c/./../../g", "/a/g", ""),
            ("/%E2%82%AC/../%41?%42", "/A", "?%42"),
            ("/%C3%A5/../..%2f/..", "/", ""),
        ]);
    }

    #[test]
    fn encoded_nul_in_the_path_is_refused() {
        for raw in [
            "/%00",
            "/a%00b",
            "/x/%00",
            "/%C3%00",
            "/%E2%82%00",
            "/%00/..",
            "/%zz%00",
            "http://h/%00",
        ] {
            assert_eq!(
                refusal(raw.as_bytes(), "GET"),
                Some(Rejection::InvalidRequestTarget),
                "{raw}"
            );
        }
        assert_eq!(path_of("/?%00"), Ok(("/".to_owned(), "?%00".to_owned())));
    }

    #[test]
    fn rfc9112_3_2_bytes_of_a_target() {
        for byte in 0..=255u8 {
            let expected = (0x21..=0x7E).contains(&byte) && byte != b'#';
            for place in [&b"/"[..], b"/?", b"/abcdefghijkl", b"http://h/"] {
                let mut raw = place.to_vec();
                raw.push(byte);
                raw.push(b'x');
                assert_eq!(refusal(&raw, "GET").is_none(), expected, "{byte:#x}");
                assert_eq!(bytes_are_valid(&raw), expected, "{byte:#x}");
            }
        }
    }

    #[test]
    fn rfc9112_3_2_form_and_method() {
        use Rejection::{
            ConnectMethodRequired as Connect, InvalidRequestTarget as Invalid, OptionsMethodRequired as Options,
        };
        let cases: &[(&str, &str, Option<Rejection>)] = &[
            ("*", "OPTIONS", None),
            ("*", "GET", Some(Options)),
            ("*", "CONNECT", Some(Options)),
            ("*", "options", Some(Options)),
            ("**", "OPTIONS", Some(Invalid)),
            ("*/x", "OPTIONS", Some(Invalid)),
            ("*?x", "OPTIONS", Some(Invalid)),
            ("/x", "OPTIONS", None),
            ("/x", "CONNECT", Some(Invalid)),
            ("http://h/", "CONNECT", Some(Invalid)),
            ("http://h/", "OPTIONS", None),
            ("example.com:443", "CONNECT", None),
            ("[::1]:443", "CONNECT", None),
            ("example.com", "CONNECT", Some(Invalid)),
            ("example.com:", "CONNECT", Some(Invalid)),
            (":443", "CONNECT", Some(Invalid)),
            ("[::1]", "CONNECT", Some(Invalid)),
            ("[::1:443", "CONNECT", Some(Invalid)),
            ("h:65536", "CONNECT", Some(Invalid)),
            ("u@example.com:1", "CONNECT", Some(Invalid)),
            ("a_b:1", "CONNECT", Some(Invalid)),
            ("h:1/", "CONNECT", Some(Invalid)),
            ("example.com", "GET", Some(Connect)),
            ("example.com:80", "GET", Some(Connect)),
            ("u@h", "GET", Some(Connect)),
            ("[::1]:80", "GET", Some(Connect)),
            ("http:", "GET", Some(Connect)),
            ("", "GET", Some(Invalid)),
            ("", "CONNECT", Some(Invalid)),
            ("?a=1", "GET", Some(Invalid)),
            ("%2Fa", "GET", Some(Invalid)),
            ("a/b", "GET", Some(Invalid)),
            ("../x", "GET", Some(Invalid)),
            ("\\a", "GET", Some(Invalid)),
            ("a,b", "GET", Some(Invalid)),
            ("\"/\"", "GET", Some(Invalid)),
            ("ftp://h/", "GET", Some(Invalid)),
            ("ws://h/", "GET", Some(Invalid)),
            ("://h/", "GET", Some(Invalid)),
            ("http:/h/", "GET", Some(Invalid)),
        ];
        for &(raw, method, expected) in cases {
            assert_eq!(refusal(raw.as_bytes(), method), expected, "{method} {raw}");
        }
    }

    #[test]
    fn rfc9112_3_2_2_absolute_form() {
        let cases: &[(&str, &str, &str, &str, u16)] = &[
            ("http://h/", "/", "", "h", 80),
            ("http://h", "/", "", "h", 80),
            ("http://h?x=1", "/", "?x=1", "h", 80),
            ("http://h?/a/../b", "/", "?/a/../b", "h", 80),
            ("http://h/a/../b%20c?d", "/b c", "?d", "h", 80),
            ("http://h:8080/x", "/x", "", "h:8080", 80),
            ("https://h/s", "/s", "", "h", 443),
            ("https://h:443", "/", "", "h:443", 443),
            ("HTTP://EXAMPLE.com/", "/", "", "EXAMPLE.com", 80),
            ("hTTpS://h/", "/", "", "h", 443),
            ("http://[::1]:81/p", "/p", "", "[::1]:81", 80),
            ("http://127.0.0.1/?q", "/", "?q", "127.0.0.1", 80),
            ("http://h//x", "//x", "", "h", 80),
            ("http://h/http://g/", "/http://g/", "", "h", 80),
        ];
        for &(raw, path, query, authority, port) in cases {
            let mut scratch = Vec::new();
            let target = parse(raw.as_bytes(), "GET", &mut scratch).unwrap_or_else(|_| panic!("{raw} is refused"));
            assert_eq!(target.form(), TargetForm::Absolute);
            assert_eq!((target.raw(), target.path(), target.query()), (raw, path, query));
            assert_eq!((target.authority(), target.default_port()), (Some(authority), port));
        }
    }

    #[test]
    fn rfc9110_4_2_bad_authorities() {
        for raw in [
            "http://",
            "http:///x",
            "http://?x",
            "http://:80/",
            "http://u@h/",
            "http://u:p@h/",
            "http://@h/",
            "http://h:/",
            "http://h:99999/",
            "http://h:8x/",
            "http://%61/",
            "http://h\\@evil/",
            "http://[::1/",
            "http://[::1]x/",
            "http://a,b/",
            "http://http://h/",
        ] {
            assert_eq!(
                refusal(raw.as_bytes(), "GET"),
                Some(Rejection::InvalidRequestTarget),
                "{raw}"
            );
        }
    }

    #[test]
    fn forms_without_a_path() {
        let mut scratch = Vec::new();
        let target = parse(b"*", "OPTIONS", &mut scratch).unwrap();
        assert_eq!(
            (target.form(), target.path(), target.query()),
            (TargetForm::Asterisk, "", "")
        );
        assert_eq!(target.authority(), None);
        let target = parse(b"h:1", "CONNECT", &mut scratch).unwrap();
        assert_eq!(
            (target.form(), target.path(), target.query()),
            (TargetForm::Authority, "", "")
        );
        assert_eq!((target.authority(), target.default_port()), (Some("h:1"), 0));
    }

    #[test]
    fn rfc9112_3_2_host_and_authority() {
        let cases: &[(&str, &str, u16, bool)] = &[
            ("h", "h", 80, true),
            ("EXAMPLE.com", "example.COM", 80, true),
            ("h:80", "h", 80, true),
            ("h", "h:80", 80, true),
            ("h", "h:080", 80, true),
            ("h", "h:443", 443, true),
            ("h", "h:443", 80, false),
            ("h:8080", "h", 80, false),
            ("h:8080", "h:8081", 80, false),
            ("h.evil", "h", 80, false),
            ("a.example", "b.example", 80, false),
            ("[::1]:81", "[::1]:81", 80, true),
            ("[::A]", "[::a]:80", 80, true),
            ("[::1]", "[::2]", 80, false),
            ("h:443", "h:443", 0, true),
            ("H:443", "h:443", 0, true),
            ("h:443", "h:444", 0, false),
            ("h:443", "h", 0, false),
            ("h", "h", 0, false),
            ("h:0", "h", 0, false),
            ("", "", 80, false),
            ("u@h", "u@h", 80, false),
        ];
        for &(authority, host, port, expected) in cases {
            assert_eq!(
                authority_matches(authority, host, port),
                expected,
                "{authority} {host} {port}"
            );
        }
    }

    /// The rules once more, slowly and over the whole path: decode, then remove dot segments.
    fn slow_path(path: &str) -> Option<String> {
        let mut rest = path.as_bytes();
        let mut out = Vec::new();
        while let Some(&first) = rest.first() {
            let triplets: Vec<u8> = rest.chunks(3).map_while(triplet).take(4).collect();
            let longest = (1..=triplets.len())
                .rev()
                .find(|&n| std::str::from_utf8(&triplets[..n]).is_ok_and(|text| text.chars().count() == 1));
            match longest {
                _ if triplets.first() == Some(&0) => return None,
                Some(n) if triplets[0] != b'/' => {
                    out.extend_from_slice(&triplets[..n]);
                    rest = &rest[3 * n..];
                }
                _ if !triplets.is_empty() => {
                    out.extend_from_slice(&rest[..3]);
                    rest = &rest[3..];
                }
                _ => {
                    out.push(first);
                    rest = &rest[1..];
                }
            }
        }
        let mut kept: Vec<&[u8]> = Vec::new();
        let segments: Vec<&[u8]> = out.split(|&byte| byte == b'/').skip(1).collect();
        for (index, segment) in segments.iter().enumerate() {
            let last = index + 1 == segments.len();
            match *segment {
                b"." => {}
                b".." => drop(kept.pop()),
                other => kept.push(other),
            }
            if last && matches!(*segment, b"." | b"..") {
                kept.push(b"");
            }
        }
        let joined: Vec<u8> = kept.iter().flat_map(|segment| [b"/", *segment].concat()).collect();
        Some(String::from_utf8(joined).expect("decoded paths are UTF-8"))
    }

    proptest! {
        #[test]
        fn fast_and_slow_agree(
            path in "(/|/|\\.|\\.|a|%|%2[eEfF]|%00|%[0-9a-fA-F]{2}|%C3%A5|%E2%82|%AC|%F0%9F%98%80){0,24}"
        ) {
            let raw = format!("/{path}");
            let result = path_of(&raw);
            match slow_path(&raw) {
                None => prop_assert_eq!(result, Err(Rejection::InvalidRequestTarget)),
                Some(expected) => prop_assert_eq!(result, Ok((expected, String::new()))),
            }
        }

        #[test]
        fn anything_may_come(raw in proptest::collection::vec(any::<u8>(), 0..40), method in "GET|CONNECT|OPTIONS") {
            let mut scratch = Vec::new();
            if let Ok(target) = parse(&raw, &method, &mut scratch) {
                prop_assert_eq!(target.raw().as_bytes(), &raw[..]);
                prop_assert!(!target.path().contains("/../") && !target.path().contains('\0'));
            }
        }
    }
}
