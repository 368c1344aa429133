//! Response fields: what may be one, and how it is written.

use crate::http1::field::{is_field_value, is_token};
use http::header::{HeaderName, HeaderValue};
use std::fmt;

mod sealed {
    pub trait Sealed {}
}

/// What names a field: `&str`, `String`, [`http::HeaderName`], also by reference. Only the types here implement it.
///
/// ```
/// use stannel::header::{CACHE_CONTROL, HeaderValue};
/// use stannel::{Exchange, Outcome, Request, StatusCode};
///
/// fn handle(_request: &Request<'_>, exchange: Exchange<'_>) -> Outcome {
///     exchange
///         .respond(StatusCode::OK)
///         .header(CACHE_CONTROL, HeaderValue::from_static("no-store"))
///         .header("x-answer", 42.to_string())
///         .send("")
/// }
/// ```
pub trait FieldName: sealed::Sealed {
    #[doc(hidden)]
    fn name_bytes(&self) -> &[u8];
    /// Whether the type itself guarantees a token.
    #[doc(hidden)]
    const CHECKED: bool = false;
}

/// What a field can hold: text, bytes or an [`http::HeaderValue`]; [`FieldName`] has an example. Only the types here
/// implement it.
pub trait FieldValue: sealed::Sealed {
    #[doc(hidden)]
    fn value_bytes(&self) -> &[u8];
}

macro_rules! names {
    ($($type:ty: $checked:literal, $self:ident => $bytes:expr;)+) => {
        $(impl sealed::Sealed for $type {}
        impl FieldName for $type {
            #[inline]
            fn name_bytes(&$self) -> &[u8] { $bytes }
            const CHECKED: bool = $checked;
        })+
    };
}

names! {
    &str: false, self => self.as_bytes();
    String: false, self => self.as_bytes();
    &String: false, self => self.as_bytes();
    HeaderName: true, self => self.as_str().as_bytes();
    &HeaderName: true, self => self.as_str().as_bytes();
}

macro_rules! values {
    ($($type:ty, $self:ident => $bytes:expr;)+) => {
        $(impl FieldValue for $type {
            #[inline]
            fn value_bytes(&$self) -> &[u8] { $bytes }
        })+
    };
}

impl sealed::Sealed for &[u8] {}
impl sealed::Sealed for Vec<u8> {}
impl sealed::Sealed for HeaderValue {}
impl sealed::Sealed for &HeaderValue {}

values! {
    &str, self => self.as_bytes();
    String, self => self.as_bytes();
    &String, self => self.as_bytes();
    &[u8], self => self;
    Vec<u8>, self => self;
    HeaderValue, self => self.as_bytes();
    &HeaderValue, self => self.as_bytes();
}

/// Why a response field was refused. Nothing of a refused field is ever sent.
///
/// ```
/// use stannel::{Exchange, FieldError, Outcome, Request, StatusCode};
///
/// fn handle(request: &Request<'_>, exchange: Exchange<'_>) -> Outcome {
///     let mut head = exchange.respond(StatusCode::OK);
///     // A decoded path may hold a line break.
///     match head.try_header("x-path", request.path()) {
///         Ok(()) => head.send("as you asked"),
///         Err(FieldError::Value) => head.send("not in a field"),
///         Err(_) => head.send("cannot happen"),
///     }
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FieldError {
    /// The name is no token (RFC 9110 §5.1).
    Name,
    /// The value holds something other than HTAB, 0x20 to 0x7E and 0x80 to 0xFF (RFC 9110 §5.5).
    Value,
    /// The field frames the message (Content-Length, Transfer-Encoding, `Connection: upgrade`); the engine writes it
    /// itself from what the handler says about its body.
    Framing,
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Name => "field name is not a token; use letters, digits and hyphens",
            Self::Value => "field value has a forbidden byte; remove CR, LF and other controls",
            Self::Framing => "field is written by the server; say how the body comes instead",
        })
    }
}

impl std::error::Error for FieldError {}

/// What the handler's own fields mean for the rest of the head.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct FieldsSeen {
    pub(crate) date: bool,
    pub(crate) server: bool,
    pub(crate) connection: bool,
    pub(crate) connection_close: bool,
    pub(crate) connection_keep_alive: bool,
    pub(crate) transport_security: bool,
}

/// Checks one field and appends its line.
#[inline]
pub(crate) fn write_field(
    out: &mut Vec<u8>,
    seen: &mut FieldsSeen,
    name: &impl FieldName,
    value: &impl FieldValue,
) -> Result<(), FieldError> {
    write_checked(out, seen, name.name_bytes(), checked(name), value.value_bytes())
}

const fn checked<N: FieldName>(_: &N) -> bool {
    N::CHECKED
}

fn write_checked(
    out: &mut Vec<u8>,
    seen: &mut FieldsSeen,
    name: &[u8],
    name_is_token: bool,
    value: &[u8],
) -> Result<(), FieldError> {
    if !name_is_token && !is_token(name) {
        return Err(FieldError::Name);
    }
    if !is_field_value(value) {
        return Err(FieldError::Value);
    }
    if matches!(name.len(), 4 | 6 | 10 | 14 | 17 | 25) {
        note_special(seen, name, value)?;
    }
    write_line(out, name, value);
    Ok(())
}

/// Appends `name: value CRLF`, both known to be sendable.
#[inline]
pub(crate) fn write_line(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.reserve(name.len() + value.len() + 4);
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// The fields that the engine writes itself unless, or must know when, the handler does.
fn note_special(seen: &mut FieldsSeen, name: &[u8], value: &[u8]) -> Result<(), FieldError> {
    let is = |other: &[u8]| name.eq_ignore_ascii_case(other);
    if is(b"content-length") || is(b"transfer-encoding") {
        return Err(FieldError::Framing);
    } else if is(b"date") {
        seen.date = true;
    } else if is(b"server") {
        seen.server = true;
    } else if is(b"strict-transport-security") {
        seen.transport_security = true;
    } else if is(b"connection") {
        for member in crate::http1::field::members(value) {
            if member.eq_ignore_ascii_case(b"upgrade") {
                return Err(FieldError::Framing);
            }
            seen.connection_close |= member.eq_ignore_ascii_case(b"close");
            seen.connection_keep_alive |= member.eq_ignore_ascii_case(b"keep-alive");
        }
        seen.connection = true;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{FieldError, FieldsSeen, write_field};

    #[test]
    fn what_would_split_a_response_is_refused_whole() {
        let cases: [(&str, &str, Result<(), FieldError>); 12] = [
            ("x-a", "b\tc", Ok(())),
            ("x-a", "", Ok(())),
            ("", "b", Err(FieldError::Name)),
            ("x a", "b", Err(FieldError::Name)),
            ("x-a", "b\r\nInjected: yes", Err(FieldError::Value)),
            ("x-a", "b\r\n folded", Err(FieldError::Value)),
            ("x-a", "b\rc", Err(FieldError::Value)),
            ("x-a", "b\nc", Err(FieldError::Value)),
            ("x-a", "b\0", Err(FieldError::Value)),
            ("Content-Length", "5", Err(FieldError::Framing)),
            ("transfer-encoding", "gzip", Err(FieldError::Framing)),
            ("connection", "keep-alive, Upgrade", Err(FieldError::Framing)),
        ];
        for (name, value, expected) in cases {
            let mut out = Vec::new();
            assert_eq!(
                write_field(&mut out, &mut FieldsSeen::default(), &name, &value),
                expected,
                "{name}: {value}"
            );
            assert_eq!(out.is_empty(), expected.is_err(), "{name}: {value}");
        }
    }
}
