//! What the fields of a request mean for the message and the connection: Host, body framing, Expect, persistence.

use super::RawField;
use super::field::{is_token, members, trim_ows};
use super::host::{self, Host};
use super::rejection::Rejection;
use super::target::{Target, TargetForm, authority_matches};

/// How a request body is framed (RFC 9112 §6.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Framing {
    /// No body.
    #[default]
    None,
    /// Content-Length.
    Length(u64),
    /// `Transfer-Encoding: chunked`.
    Chunked,
}

/// What of a request decides about framing and persistence of the exchange; small enough to keep while it runs.
#[derive(Clone, Copy, Debug, Default)]
pub struct RequestFacts {
    pub(crate) framing: Framing,
    pub(crate) is_http11: bool,
    pub(crate) is_head: bool,
    pub(crate) is_connect: bool,
    /// Whether the client lets the connection go on.
    pub(crate) keeps_alive: bool,
    pub(crate) upgradable: bool,
    pub(crate) expects_continue: bool,
}

/// What one pass over the fields collects.
#[derive(Default)]
struct Seen<'a> {
    host: Option<&'a [u8]>,
    hosts: usize,
    length: Option<&'a [u8]>,
    lengths: usize,
    coding: Option<&'a [u8]>,
    codings: usize,
    close: bool,
    keep_alive: bool,
    upgrade_option: bool,
    upgrade_field: bool,
    expects_continue: bool,
    expects_unknown: bool,
}

impl<'a> Seen<'a> {
    /// The length of a name leaves one candidate; the comparison settles it.
    #[inline]
    fn note(&mut self, field: &RawField<'a>) {
        let name = field.name.as_bytes();
        match name.len() {
            4 if is_word(name, b"host") => {
                self.hosts += 1;
                self.host = Some(field.value);
            }
            6 if is_word(name, b"expect") => self.note_expect(field.value),
            7 if is_word(name, b"upgrade") => self.upgrade_field |= !trim_ows(field.value).is_empty(),
            10 if is_word(name, b"connection") => self.note_connection(field.value),
            14 if is_word(name, b"content-length") => {
                self.lengths += 1;
                self.length = Some(field.value);
            }
            17 if is_word(name, b"transfer-encoding") => {
                self.codings += 1;
                self.coding = Some(field.value);
            }
            _ => {}
        }
    }

    fn note_connection(&mut self, value: &[u8]) {
        if is_word(value, b"keep-alive") {
            self.keep_alive = true;
            return;
        }
        for option in members(value) {
            self.close |= option.eq_ignore_ascii_case(b"close");
            self.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
            self.upgrade_option |= option.eq_ignore_ascii_case(b"upgrade");
        }
    }

    fn note_expect(&mut self, value: &[u8]) {
        for member in members(value) {
            let is_continue = member.eq_ignore_ascii_case(b"100-continue");
            self.expects_continue |= is_continue;
            self.expects_unknown |= !is_continue;
        }
    }
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
    fields: &[RawField<'a>],
) -> Result<(RequestFacts, Option<Host<'a>>), Rejection> {
    let mut seen = Seen::default();
    for field in fields {
        seen.note(field);
    }
    let host = check_host(&seen, is_http11, target)?;
    let framing = if seen.codings == 0 && seen.lengths == 0 {
        // RFC 1945 §7.2.2: an HTTP/1.0 request with content has to say how long it is.
        if !is_http11 && matches!(method, "POST" | "PUT") {
            return Err(Rejection::LengthRequiredHttp10);
        }
        Framing::None
    } else {
        check_framing(&seen, is_http11)?
    };
    // RFC 9110 §10.1.1: an expectation in an HTTP/1.0 request is ignored.
    if is_http11 && seen.expects_unknown {
        return Err(Rejection::UnknownExpectation);
    }
    let is_connect = method == "CONNECT";
    let facts = RequestFacts {
        framing,
        is_http11,
        is_head: method == "HEAD",
        is_connect,
        // RFC 9112 §9.3; CONNECT never shares its connection, whatever behind it might look like a request.
        keeps_alive: !seen.close && (is_http11 || seen.keep_alive) && !is_connect,
        // RFC 9110 §7.8: an Upgrade field from HTTP/1.0 is ignored.
        upgradable: is_http11
            && seen.upgrade_option
            && seen.upgrade_field
            && matches!(framing, Framing::None | Framing::Length(0)),
        expects_continue: is_http11 && seen.expects_continue,
    };
    Ok((facts, host))
}

#[inline]
fn check_host<'a>(seen: &Seen<'a>, is_http11: bool, target: &Target<'_>) -> Result<Option<Host<'a>>, Rejection> {
    let Some(value) = seen.host else {
        // RFC 9112 §3.2: the target does not replace it.
        return if is_http11 {
            Err(Rejection::MissingHostHeader)
        } else {
            Ok(None)
        };
    };
    if seen.hosts > 1 {
        return Err(Rejection::MultipleHostHeaders);
    }
    let host = host::parse(value)?;
    if matches!(target.form(), TargetForm::Absolute | TargetForm::Authority) {
        let authority = target.authority().unwrap_or("");
        if !authority_matches(authority, host.value(), target.default_port()) {
            return Err(Rejection::InvalidHostHeader);
        }
    }
    Ok(Some(host))
}

/// RFC 9112 §6.3, the strict reading: whatever two parsers could frame differently is refused.
fn check_framing(seen: &Seen<'_>, is_http11: bool) -> Result<Framing, Rejection> {
    if let Some(coding) = seen.coding {
        if !is_http11 {
            return Err(Rejection::TransferEncodingOnHttp10);
        }
        if seen.lengths > 0 {
            return Err(Rejection::LengthAndTransferEncoding);
        }
        if seen.codings > 1 {
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
    if seen.lengths > 1 {
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
    use super::{Framing, RequestFacts, examine};
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
        examine(method, is_http11, &target, &fields).map(|(facts, _)| facts)
    }

    #[test]
    fn framing_has_one_reading_or_none() {
        let cases: &[(&[(&str, &str)], Result<Framing, Rejection>)] = &[
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
            facts("GET", is_http11, &[("host", "h"), ("Connection", value)]).map(|facts| facts.keeps_alive)
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
        assert!(expect(true, "100-Continue").is_ok_and(|facts| facts.expects_continue));
        assert!(expect(true, ", 100-continue,").is_ok_and(|facts| facts.expects_continue));
        assert_eq!(
            expect(true, "100-continue, x").err(),
            Some(Rejection::UnknownExpectation)
        );
        assert!(expect(false, "x").is_ok_and(|facts| !facts.expects_continue));
    }
}
