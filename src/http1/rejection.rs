//! Why a request was refused, and the one table that gives each reason its status.

use http::StatusCode;
use std::fmt;

macro_rules! rejections {
    ($($(#[doc = $doc:literal])+ $name:ident = $status:ident, $meaning:literal, $error_type:literal;)+) => {
        /// Why the engine refused a request by itself, without or instead of the handler.
        ///
        /// The names are Kestrel's `RequestRejectionReason` where it has one. Every rejection ends the connection:
        /// the answer carries `Content-Length: 0` and `Connection: close`, and nothing behind the refused request is
        /// ever parsed. The reason goes to the log and to the observer, never to the peer.
        ///
        /// ```
        /// use stannel::Rejection;
        ///
        /// assert_eq!(Rejection::RequestLineTooLong.status(), 414);
        /// ```
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Rejection {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Rejection {
            /// The status code of the answer.
            #[must_use]
            pub const fn status(self) -> StatusCode {
                match self {
                    $(Self::$name => StatusCode::$status,)+
                }
            }

            /// The `error.type` under which metrics count it.
            #[must_use]
            pub const fn error_type(self) -> &'static str {
                match self {
                    $(Self::$name => $error_type,)+
                }
            }

            const fn meaning(self) -> &'static str {
                match self {
                    $(Self::$name => $meaning,)+
                }
            }
        }
    };
}

rejections! {
    /// The first byte of a TLS record arrived on a plain endpoint.
    TlsOverHttpError = BAD_REQUEST, "TLS bytes on a plain HTTP endpoint", "tls_not_supported";
    /// The request line is not `method SP request-target SP version CRLF`.
    InvalidRequestLine = BAD_REQUEST, "invalid request line", "invalid_request_line";
    /// The request line is longer than `max_request_line_size`.
    RequestLineTooLong = URI_TOO_LONG, "request line too long", "invalid_request_line";
    /// A well-formed version that is neither HTTP/1.1 nor HTTP/1.0.
    UnrecognizedHttpVersion = HTTP_VERSION_NOT_SUPPORTED, "unrecognized HTTP version", "invalid_http_version";
    /// The request target has bytes or a shape that no form allows.
    InvalidRequestTarget = BAD_REQUEST, "invalid request target", "invalid_request_line";
    /// The asterisk form is for OPTIONS alone.
    OptionsMethodRequired = BAD_REQUEST, "target * needs the method OPTIONS", "invalid_request_line";
    /// The authority form and CONNECT belong together.
    ConnectMethodRequired = BAD_REQUEST, "authority-form target needs the method CONNECT", "invalid_request_line";
    /// A field line without colon, with white space where none may be, folded, or with a stray CR or LF.
    InvalidRequestHeader = BAD_REQUEST, "invalid field line", "invalid_request_headers";
    /// The header section does not end in CRLF.
    InvalidRequestHeadersNoCrlf = BAD_REQUEST, "header section does not end in CRLF", "invalid_request_headers";
    /// A field name has a byte that no token may have.
    InvalidCharactersInHeaderName = BAD_REQUEST, "invalid characters in a field name", "invalid_request_headers";
    /// A field value has a forbidden byte, or the input ended inside the header section.
    MalformedRequestInvalidHeaders = BAD_REQUEST, "invalid characters in a field value", "invalid_request_headers";
    /// The field lines (trailers included) exceed `max_request_headers_total_size`.
    HeadersExceedMaxTotalSize = REQUEST_HEADER_FIELDS_TOO_LARGE, "header section too large", "max_request_headers_total_size_exceeded";
    /// There are more fields (trailers included) than `max_request_header_count`.
    TooManyHeaders = REQUEST_HEADER_FIELDS_TOO_LARGE, "too many field lines", "max_request_header_count_exceeded";
    /// An HTTP/1.1 request without Host.
    MissingHostHeader = BAD_REQUEST, "Host is missing", "invalid_request_headers";
    /// More than one Host field.
    MultipleHostHeaders = BAD_REQUEST, "more than one Host field", "invalid_request_headers";
    /// The Host field is malformed or contradicts the request target.
    InvalidHostHeader = BAD_REQUEST, "invalid Host", "invalid_request_headers";
    /// Content-Length is not a number that can be a length.
    InvalidContentLength = BAD_REQUEST, "invalid Content-Length", "invalid_request_headers";
    /// More than one Content-Length field.
    MultipleContentLengths = BAD_REQUEST, "more than one Content-Length field", "invalid_request_headers";
    /// Transfer-Encoding does not end in `chunked`, so the length cannot be known.
    FinalTransferCodingNotChunked = BAD_REQUEST, "Transfer-Encoding is not exactly chunked", "invalid_request_headers";
    /// Content-Length and Transfer-Encoding in one request.
    LengthAndTransferEncoding = BAD_REQUEST, "Content-Length together with Transfer-Encoding", "invalid_request_headers";
    /// Transfer-Encoding in an HTTP/1.0 request.
    TransferEncodingOnHttp10 = BAD_REQUEST, "Transfer-Encoding in an HTTP/1.0 request", "invalid_request_headers";
    /// Codings before `chunked` that are not understood here.
    UnknownTransferCoding = NOT_IMPLEMENTED, "unknown transfer coding", "invalid_request_headers";
    /// An Expect member other than `100-continue`.
    UnknownExpectation = EXPECTATION_FAILED, "unknown expectation", "invalid_request_headers";
    /// An HTTP/1.0 POST or PUT without Content-Length.
    LengthRequiredHttp10 = BAD_REQUEST, "HTTP/1.0 POST or PUT without Content-Length", "invalid_request_headers";
    /// The head was not complete within `request_headers_timeout`.
    RequestHeadersTimeout = REQUEST_TIMEOUT, "request head took too long", "request_headers_timeout";
    /// The body came slower than `min_request_body_data_rate` or stalled for `request_body_stall_timeout`.
    RequestBodyTimeout = REQUEST_TIMEOUT, "request body came too slowly", "min_request_body_data_rate";
    /// The body is larger than `max_request_body_size`.
    RequestBodyTooLarge = PAYLOAD_TOO_LARGE, "request body too large", "max_request_body_size_exceeded";
    /// A chunk size that is no hexadecimal number of 1 to 8 digits up to 7fffffff.
    BadChunkSizeData = BAD_REQUEST, "bad chunk size", "other_error";
    /// The two bytes behind the chunk data are not CRLF.
    BadChunkSuffix = BAD_REQUEST, "chunk data does not end in CRLF", "other_error";
    /// A chunk extension that breaks the grammar or its limits.
    BadChunkExtension = BAD_REQUEST, "bad chunk extension", "other_error";
    /// A trailer field that would change framing or routing.
    ForbiddenTrailer = BAD_REQUEST, "forbidden trailer field", "invalid_request_headers";
    /// The input ended inside a body with Content-Length.
    UnexpectedEndOfRequestContent = BAD_REQUEST, "input ended inside the body", "unexpected_end_of_request_content";
    /// The input ended inside a chunked body.
    ChunkedRequestIncomplete = BAD_REQUEST, "input ended inside a chunked body", "unexpected_end_of_request_content";
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.meaning(), self.status().as_u16())
    }
}

impl std::error::Error for Rejection {}

#[cfg(test)]
mod tests {
    use super::Rejection;

    #[test]
    fn reasons_tell_what_and_which_status() {
        assert_eq!(Rejection::TooManyHeaders.to_string(), "too many field lines (431)");
        assert_eq!(Rejection::UnrecognizedHttpVersion.status(), 505);
        assert_eq!(Rejection::UnknownTransferCoding.status(), 501);
        assert_eq!(Rejection::FinalTransferCodingNotChunked.status(), 400);
        assert_eq!(
            Rejection::RequestBodyTooLarge.error_type(),
            "max_request_body_size_exceeded"
        );
    }
}
