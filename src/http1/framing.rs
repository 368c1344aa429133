//! What the fields of a request mean for the message and the connection: Host, body framing, Expect, persistence.

use super::RawField;
use super::field::{is_token, members, trim_ows};
use super::host::{Host, KnownHost};
use super::rejection::Rejection;
use super::target::{Target, authority_matches};
use std::fmt;

/// How a request body is framed (RFC 9112 §6.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Framing {
    /// No body.
    #[default]
    None,
    /// Content-Length.
    Length(u64),
    /// `Transfer-Encoding: chunked`.
    Chunked,
}

/// What of a request decides about framing and persistence of the exchange; small enough to keep while it runs. Only the
/// engine makes and reads it; [`Request`](crate::Request) tells handlers the same.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct RequestFacts {
    pub(crate) framing: Framing,
    /// Bits rather than fields of their own: they are moved for each request, and as bits that is one word.
    flags: u32,
}

const HTTP11: u32 = 1;
const HEAD: u32 = 1 << 1;
const CONNECT: u32 = 1 << 2;
const KEEPS_ALIVE: u32 = 1 << 3;
const UPGRADABLE: u32 = 1 << 4;
const EXPECTS_CONTINUE: u32 = 1 << 5;

impl RequestFacts {
    /// Of a request that was refused before it was understood.
    pub(crate) const UNKNOWN: Self = Self {
        framing: Framing::None,
        flags: HTTP11,
    };

    #[inline]
    const fn has(self, flag: u32) -> bool {
        self.flags & flag != 0
    }

    #[inline]
    pub(crate) const fn is_http11(self) -> bool {
        self.has(HTTP11)
    }

    #[inline]
    pub(crate) const fn is_head(self) -> bool {
        self.has(HEAD)
    }

    #[inline]
    pub(crate) const fn is_connect(self) -> bool {
        self.has(CONNECT)
    }

    /// Whether the client lets the connection go on.
    #[inline]
    pub(crate) const fn keeps_alive(self) -> bool {
        self.has(KEEPS_ALIVE)
    }

    #[inline]
    pub(crate) const fn upgradable(self) -> bool {
        self.has(UPGRADABLE)
    }

    #[inline]
    pub(crate) const fn expects_continue(self) -> bool {
        self.has(EXPECTS_CONTINUE)
    }
}

impl fmt::Debug for RequestFacts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestFacts")
            .field("framing", &self.framing)
            .field("is_http11", &self.is_http11())
            .field("is_head", &self.is_head())
            .field("is_connect", &self.is_connect())
            .field("keeps_alive", &self.keeps_alive())
            .field("upgradable", &self.upgradable())
            .field("expects_continue", &self.expects_continue())
            .finish()
    }
}

/// What one pass over the fields collects.
#[derive(Default)]
pub(crate) struct Seen<'a> {
    host: Option<&'a [u8]>,
    length: Option<&'a [u8]>,
    coding: Option<&'a [u8]>,
    flags: u32,
}

const CLOSE: u32 = 1;
const KEEP_ALIVE: u32 = 1 << 1;
const UPGRADE_OPTION: u32 = 1 << 2;
const UPGRADE_FIELD: u32 = 1 << 3;
const CONTINUE_EXPECTED: u32 = 1 << 4;
const UNKNOWN_EXPECTED: u32 = 1 << 5;
const HOST_AGAIN: u32 = 1 << 6;
const LENGTH_AGAIN: u32 = 1 << 7;
const CODING_AGAIN: u32 = 1 << 8;

impl<'a> Seen<'a> {
    #[inline]
    pub(crate) fn in_fields(fields: &[RawField<'a>]) -> Self {
        let mut seen = Self::default();
        for field in fields {
            seen.note(field);
        }
        seen
    }

    /// What a section without body fields had come to.
    #[inline]
    pub(crate) fn host_and_flags(host: &'a [u8], flags: u32) -> Self {
        Self {
            host: Some(host),
            flags,
            ..Self::default()
        }
    }

    /// The Host field, if there is one, and one only.
    pub(crate) fn only_host(&self) -> Option<&'a [u8]> {
        self.host.filter(|_| !self.has(HOST_AGAIN))
    }

    /// Everything but the values.
    pub(crate) const fn flags(&self) -> u32 {
        self.flags
    }

    #[inline]
    const fn has(&self, flag: u32) -> bool {
        self.flags & flag != 0
    }

    /// The length of a name leaves one candidate; the comparison settles it.
    #[inline]
    fn note(&mut self, field: &RawField<'a>) {
        let name = field.name.as_bytes();
        match name.len() {
            4 if is_word(name, b"host") => self.flags |= keep(&mut self.host, field.value, HOST_AGAIN),
            6 if is_word(name, b"expect") => self.note_expect(field.value),
            7 if is_word(name, b"upgrade") && !trim_ows(field.value).is_empty() => self.flags |= UPGRADE_FIELD,
            10 if is_word(name, b"connection") => self.note_connection(field.value),
            14 if is_word(name, b"content-length") => self.flags |= keep(&mut self.length, field.value, LENGTH_AGAIN),
            17 if is_word(name, b"transfer-encoding") => {
                self.flags |= keep(&mut self.coding, field.value, CODING_AGAIN)
            }
            _ => {}
        }
    }

    #[inline]
    fn note_connection(&mut self, value: &[u8]) {
        if is_word(value, b"keep-alive") {
            self.flags |= KEEP_ALIVE;
        } else {
            self.note_options(value);
        }
    }

    #[inline(never)]
    fn note_options(&mut self, value: &[u8]) {
        for option in members(value) {
            self.flags |= if option.eq_ignore_ascii_case(b"close") {
                CLOSE
            } else if option.eq_ignore_ascii_case(b"keep-alive") {
                KEEP_ALIVE
            } else if option.eq_ignore_ascii_case(b"upgrade") {
                UPGRADE_OPTION
            } else {
                0
            };
        }
    }

    #[inline(never)]
    fn note_expect(&mut self, value: &[u8]) {
        for member in members(value) {
            let is_continue = member.eq_ignore_ascii_case(b"100-continue");
            self.flags |= if is_continue {
                CONTINUE_EXPECTED
            } else {
                UNKNOWN_EXPECTED
            };
        }
    }
}

/// Keeps a value; the flag if there was one before.
#[inline]
fn keep<'a>(slot: &mut Option<&'a [u8]>, value: &'a [u8], again: u32) -> u32 {
    if slot.replace(value).is_some() { again } else { 0 }
}

/// Whether a checked name or value is that word, of lower-case letters and hyphens, in any case.
///
/// Without a branch per byte: this runs for every field of every request. The bit that tells the cases apart would
/// also make CR a hyphen, but neither a token nor a field value holds one.
#[inline]
fn is_word<const N: usize>(bytes: &[u8], word: &[u8; N]) -> bool {
    let Ok(bytes) = <&[u8; N]>::try_from(bytes) else {
        return false;
    };
    let differs = bytes
        .iter()
        .zip(word)
        .fold(0, |differs, (byte, letter)| differs | ((byte | 0x20) ^ letter));
    differs == 0
}

/// Checks Host, body framing and Expect, in this order, and says what follows from the fields.
#[inline(always)]
pub(crate) fn examine<'a>(
    method: &str,
    is_http11: bool,
    target: &Target<'_>,
    seen: &Seen<'a>,
    known_host: &mut KnownHost,
    facts: &mut RequestFacts,
) -> Result<Option<Host<'a>>, Rejection> {
    let host = match seen.host {
        // RFC 9112 §3.2: the target does not replace it.
        None if is_http11 => return Err(Rejection::MissingHostHeader),
        None => None,
        Some(_) if seen.has(HOST_AGAIN) => return Err(Rejection::MultipleHostHeaders),
        Some(value) => Some(known_host.parse(value)?),
    };
    if let (Some(authority), Some(host)) = (target.authority(), &host)
        && !authority_matches(authority, host.value(), target.default_port())
    {
        return Err(Rejection::InvalidHostHeader);
    }
    let framing = if seen.length.is_some() || seen.coding.is_some() {
        check_framing(seen, is_http11)?
    } else if !is_http11 && matches!(method, "POST" | "PUT") {
        // RFC 1945 §7.2.2: an HTTP/1.0 request with content has to say how long it is.
        return Err(Rejection::LengthRequiredHttp10);
    } else {
        Framing::None
    };
    let mut flags = match method {
        "HEAD" => HEAD,
        "CONNECT" => CONNECT,
        _ => 0,
    };
    if is_http11 {
        flags |= HTTP11;
    }
    // RFC 9112 §9.3; CONNECT never shares its connection, whatever behind it might look like a request.
    if !seen.has(CLOSE) && (is_http11 || seen.has(KEEP_ALIVE)) && flags & CONNECT == 0 {
        flags |= KEEPS_ALIVE;
    }
    // RFC 9110 §10.1.1 and §7.8: Expect and Upgrade are ignored in an HTTP/1.0 request.
    if is_http11 && seen.has(UPGRADE_FIELD | CONTINUE_EXPECTED | UNKNOWN_EXPECTED) {
        if seen.has(UNKNOWN_EXPECTED) {
            return Err(Rejection::UnknownExpectation);
        }
        if seen.has(CONTINUE_EXPECTED) {
            flags |= EXPECTS_CONTINUE;
        }
        let is_empty = matches!(framing, Framing::None | Framing::Length(0));
        if seen.has(UPGRADE_FIELD) && seen.has(UPGRADE_OPTION) && is_empty {
            flags |= UPGRADABLE;
        }
    }
    *facts = RequestFacts { framing, flags };
    Ok(host)
}

/// RFC 9112 §6.3, the strict reading: whatever two parsers could frame differently is refused.
fn check_framing(seen: &Seen<'_>, is_http11: bool) -> Result<Framing, Rejection> {
    if let Some(coding) = seen.coding {
        if !is_http11 {
            return Err(Rejection::TransferEncodingOnHttp10);
        }
        if seen.length.is_some() {
            return Err(Rejection::LengthAndTransferEncoding);
        }
        if seen.has(CODING_AGAIN) {
            return Err(Rejection::FinalTransferCodingNotChunked);
        }
        return if coding.eq_ignore_ascii_case(b"chunked") {
            Ok(Framing::Chunked)
        } else if has_unknown_codings_before_chunked(coding) {
            Err(Rejection::UnknownTransferCoding)
        } else {
            Err(Rejection::FinalTransferCodingNotChunked)
        };
    }
    if seen.has(LENGTH_AGAIN) {
        return Err(Rejection::MultipleContentLengths);
    }
    content_length(seen.length.unwrap_or(b""))
        .map(Framing::Length)
        .ok_or(Rejection::InvalidContentLength)
}

/// A list of tokens of which the last, and only the last, is `chunked`: understood, but not spoken here.
fn has_unknown_codings_before_chunked(value: &[u8]) -> bool {
    let mut codings = value.split(|&byte| byte == b',').map(trim_ows).rev();
    let is_chunked = |coding: &[u8]| coding.eq_ignore_ascii_case(b"chunked");
    let last_is_chunked = codings.next().is_some_and(is_chunked);
    let mut others = codings.peekable();
    last_is_chunked && others.peek().is_some() && others.all(|coding| is_token(coding) && !is_chunked(coding))
}

/// Digits only, up to 2^63-1. Rust's own parser would take a sign.
fn content_length(value: &[u8]) -> Option<u64> {
    if value.is_empty() {
        return None;
    }
    value.iter().try_fold(0u64, |length, byte| {
        let digit = byte.wrapping_sub(b'0');
        let length = length.checked_mul(10)?.checked_add(u64::from(digit))?;
        (digit <= 9 && length <= i64::MAX as u64).then_some(length)
    })
}

#[cfg(test)]
mod tests {
    use super::{Framing, RequestFacts, Seen, examine};
    use crate::http1::host::KnownHost;
    use crate::http1::{RawField, Rejection, target};

    fn facts(method: &str, is_http11: bool, fields: &[(&str, &str)]) -> Result<RequestFacts, Rejection> {
        let fields: Vec<RawField<'_>> = fields
            .iter()
            .map(|&(name, value)| RawField {
                name,
                value: value.as_bytes(),
            })
            .collect();
        let mut scratch = Vec::new();
        let target = target::parse(b"/", method, &mut scratch).unwrap();
        let mut facts = RequestFacts::default();
        examine(
            method,
            is_http11,
            &target,
            &Seen::in_fields(&fields),
            &mut KnownHost::default(),
            &mut facts,
        )
        .map(|_| facts)
    }

    #[test]
    fn framing_has_one_reading_or_none() {
        type Case<'a> = (&'a [(&'a str, &'a str)], Result<Framing, Rejection>);
        let cases: &[Case<'_>] = &[
            (&[], Ok(Framing::None)),
            (&[("Content-Length", "0")], Ok(Framing::Length(0))),
            (&[("Content-Length", "007")], Ok(Framing::Length(7))),
            (
                &[("Content-Length", "9223372036854775807")],
                Ok(Framing::Length(i64::MAX as u64)),
            ),
            (
                &[("Content-Length", "9223372036854775808")],
                Err(Rejection::InvalidContentLength),
            ),
            (&[("Content-Length", "+5")], Err(Rejection::InvalidContentLength)),
            (&[("Content-Length", "5,5")], Err(Rejection::InvalidContentLength)),
            (&[("Content-Length", "")], Err(Rejection::InvalidContentLength)),
            (
                &[("Content-Length", "5"), ("content-length", "5")],
                Err(Rejection::MultipleContentLengths),
            ),
            (&[("Transfer-Encoding", "Chunked")], Ok(Framing::Chunked)),
            (
                &[("Transfer-Encoding", "chunked"), ("Content-Length", "5")],
                Err(Rejection::LengthAndTransferEncoding),
            ),
            (
                &[("Transfer-Encoding", "gzip, chunked")],
                Err(Rejection::UnknownTransferCoding),
            ),
            (
                &[("Transfer-Encoding", "chunked, chunked")],
                Err(Rejection::FinalTransferCodingNotChunked),
            ),
            (
                &[("Transfer-Encoding", "chunked,")],
                Err(Rejection::FinalTransferCodingNotChunked),
            ),
            (
                &[("Transfer-Encoding", ",chunked")],
                Err(Rejection::FinalTransferCodingNotChunked),
            ),
            (
                &[("Transfer-Encoding", "chunked;q=1")],
                Err(Rejection::FinalTransferCodingNotChunked),
            ),
            (
                &[("Transfer-Encoding", "identity")],
                Err(Rejection::FinalTransferCodingNotChunked),
            ),
            (
                &[("Transfer-Encoding", "")],
                Err(Rejection::FinalTransferCodingNotChunked),
            ),
            (&[("Transfer_Encoding", "chunked")], Ok(Framing::None)),
        ];
        for (fields, expected) in cases {
            let fields: Vec<_> = [("host", "h")].iter().chain(*fields).copied().collect();
            assert_eq!(
                facts("POST", true, &fields).map(|facts| facts.framing),
                *expected,
                "{fields:?}"
            );
        }
    }

    #[test]
    fn http10_frames_by_length_alone() {
        assert_eq!(facts("POST", false, &[]).err(), Some(Rejection::LengthRequiredHttp10));
        assert_eq!(facts("GET", false, &[]).map(|facts| facts.framing), Ok(Framing::None));
        let coding = [("transfer-encoding", "chunked")];
        assert_eq!(
            facts("GET", false, &coding).err(),
            Some(Rejection::TransferEncodingOnHttp10)
        );
    }

    #[test]
    fn options_of_connection_decide_about_persistence() {
        let keeps = |is_http11, value| {
            facts("GET", is_http11, &[("host", "h"), ("Connection", value)]).map(|facts| facts.keeps_alive())
        };
        for (is_http11, value, expected) in [
            (true, "foo", true),
            (true, "Close", false),
            (true, "a, close", false),
            (true, "closed", true),
            (true, "close now", true),
            (true, "keep-alive, close", false),
            (false, "foo", false),
            (false, "Keep-Alive", true),
            (false, "close, keep-alive", false),
        ] {
            assert_eq!(keeps(is_http11, value), Ok(expected), "{is_http11} {value}");
        }
    }

    #[test]
    fn expectations_are_met_or_refused() {
        let expect = |is_http11, value| {
            facts(
                "POST",
                is_http11,
                &[("host", "h"), ("expect", value), ("content-length", "1")],
            )
        };
        assert!(expect(true, "100-Continue").is_ok_and(|facts| facts.expects_continue()));
        assert!(expect(true, ", 100-continue,").is_ok_and(|facts| facts.expects_continue()));
        assert_eq!(
            expect(true, "100-continue, x").err(),
            Some(Rejection::UnknownExpectation)
        );
        assert!(expect(false, "x").is_ok_and(|facts| !facts.expects_continue()));
    }
}
