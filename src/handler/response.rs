//! The response on the handler's stack: status, fields, then how the body comes.

use super::body::{Body, BodyLength, BodyPipe, BodySource};
use super::exchange::{Exchange, Outcome};
use super::fields::{FieldError, FieldName, FieldValue, write_field};
use super::state::{Reply, TakenBody};
use bytes::Bytes;
use http::StatusCode;
use std::fmt;

/// What can be sent as a whole body: text, bytes, a collected [`Body`].
///
/// Borrowed bytes are copied into the output; owned ones are copied when small and sent from where they lie when
/// large (from 16 KiB on, where that begins to be cheaper). Implemented for `&str`, `&[u8]`, `&[u8; N]`, `&String`,
/// `&Vec<u8>` and [`Body`], and, owned, for `String`, `Vec<u8>` and [`bytes::Bytes`]; only the types here implement it.
///
/// ```
/// use stannel::{Exchange, Outcome, Request, StatusCode};
///
/// fn handle(request: &Request<'_>, exchange: Exchange<'_>) -> Outcome {
///     let head = exchange.respond(StatusCode::OK);
///     match request.path() {
///         "/text" => head.send("borrowed"),
///         _ => head.send(vec![0; 1 << 20]),
///     }
/// }
/// ```
pub trait Payload: sealed::Sealed {
    #[doc(hidden)]
    fn bytes(&self) -> &[u8];
    #[doc(hidden)]
    fn into_owned(self) -> Bytes;
    #[doc(hidden)]
    const IS_OWNED: bool;
}

mod sealed {
    pub trait Sealed {}
}

macro_rules! payloads {
    ($($type:ty, $owned:literal, $self:ident => $bytes:expr, $into:expr;)+) => {
        $(impl sealed::Sealed for $type {}
        impl Payload for $type {
            #[inline]
            fn bytes(&$self) -> &[u8] { $bytes }
            fn into_owned($self) -> Bytes { $into }
            const IS_OWNED: bool = $owned;
        })+
    };
}

payloads! {
    &str, false, self => self.as_bytes(), Bytes::copy_from_slice(self.as_bytes());
    &[u8], false, self => self, Bytes::copy_from_slice(self);
    &String, false, self => self.as_bytes(), Bytes::copy_from_slice(self.as_bytes());
    &Vec<u8>, false, self => self, Bytes::copy_from_slice(self);
    Body<'_>, false, self => self.bytes, Bytes::copy_from_slice(self.bytes);
    String, true, self => self.as_bytes(), Bytes::from(self);
    Vec<u8>, true, self => self, Bytes::from(self);
    Bytes, true, self => self, self;
}

impl<const N: usize> sealed::Sealed for &[u8; N] {}
impl<const N: usize> Payload for &[u8; N] {
    fn bytes(&self) -> &[u8] {
        *self
    }
    fn into_owned(self) -> Bytes {
        Bytes::copy_from_slice(self)
    }
    const IS_OWNED: bool = false;
}

/// A response whose status is chosen: add fields, then say how the body comes.
///
/// Date, Server, Connection and the framing fields are added by the engine; a Date, Server or Connection of the
/// handler's goes out as it is. `Connection: close` ends the connection behind this response. The status line always
/// says HTTP/1.1 (RFC 9110 §6.2).
///
/// ```
/// use stannel::{Exchange, Outcome, Request, StatusCode};
///
/// fn moved(_request: &Request<'_>, exchange: Exchange<'_>) -> Outcome {
///     exchange
///         .respond(StatusCode::PERMANENT_REDIRECT)
///         .header("location", "/new")
///         .header("connection", "close")
///         .send("")
/// }
/// ```
#[must_use = "a response goes out only when its body is given"]
pub struct ResponseHead<'a> {
    exchange: Exchange<'a>,
    status: StatusCode,
    error: Option<FieldError>,
}

impl<'a> ResponseHead<'a> {
    #[inline]
    pub(crate) fn begin(exchange: Exchange<'a>, status: StatusCode, reason: Option<&str>) -> Self {
        let error = exchange.state.begin_head(status, reason).err();
        Self {
            exchange,
            status,
            error,
        }
    }

    /// Adds a field. One that cannot be sent is the handler's error: it is logged and the answer becomes 500.
    #[inline]
    pub fn header(mut self, name: impl FieldName, value: impl FieldValue) -> Self {
        let state = &mut *self.exchange.state;
        if let Err(error) = write_field(state.output.linear(), &mut state.fields_seen, &name, &value) {
            self.error.get_or_insert(error);
        }
        self
    }

    /// Adds a field, or hands back why it cannot be sent; the response is as it was then.
    ///
    /// # Errors
    /// When name or value cannot be sent, or the field would frame the message.
    pub fn try_header(&mut self, name: impl FieldName, value: impl FieldValue) -> Result<(), FieldError> {
        let state = &mut *self.exchange.state;
        write_field(state.output.linear(), &mut state.fields_seen, &name, &value)
    }

    /// Sends the whole body at once; its length becomes Content-Length. To HEAD only the length goes out (none for an
    /// empty body). A body that the status forbids (204, 205, 304) makes it a 500.
    #[inline]
    pub fn send(self, body: impl Payload) -> Outcome {
        if let Some(error) = self.error {
            return self.refuse(error);
        }
        self.exchange.state.complete(self.status, body);
        Outcome::PROOF
    }

    /// Sends a body that is pulled from `source` whenever there is room; [`BodySource`] has an example. Where no body goes
    /// out (HEAD, 304), the source is never asked; a status that allows none (204, 205) makes it a 500, unless the
    /// length is [`BodyLength::Exact`] of 0.
    pub fn stream(self, length: BodyLength, source: impl BodySource + 'static) -> Outcome {
        if let Some(error) = self.error {
            return self.refuse(error);
        }
        let state = self.exchange.state;
        if let Some(framing) = state.open_body(self.status, length) {
            state.reply = Reply::Stream {
                framing,
                source: Box::new(source),
            };
        }
        Outcome::PROOF
    }

    /// Sends a body that is made of the request's body while it comes; [`BodyPipe`] has an example. The request's body is
    /// read only as fast as the client takes the response.
    pub fn pipe(self, length: BodyLength, pipe: impl BodyPipe + 'static) -> Outcome {
        if let Some(error) = self.error {
            return self.refuse(error);
        }
        let state = self.exchange.state;
        if state.take_body(self.exchange.ahead, u64::MAX) == TakenBody::TooLarge {
            return Outcome::PROOF;
        }
        if let Some(framing) = state.open_body(self.status, length) {
            state.reply = Reply::Pipe {
                framing,
                pipe: Box::new(pipe),
            };
        }
        Outcome::PROOF
    }

    fn refuse(self, error: FieldError) -> Outcome {
        self.exchange.state.fail(&error);
        Outcome::PROOF
    }
}

impl fmt::Debug for ResponseHead<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseHead")
            .field("status", &self.status)
            .finish_non_exhaustive()
    }
}
