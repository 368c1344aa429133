//! HTTP/1.1 as bytes: what a request is made of and how a response is written.
//!
//! Nothing here knows sockets, clocks or threads. The parsers take a slice and say what they saw; the
//! [`Rejection`]s say why a request cannot be served.
//!
//! This module is for whoever drives the core or tests it, and for handlers that read lists and tokens the way the
//! engine does ([`field::members`], [`field::is_token`]). Servers need [`Rejection`] and [`TargetForm`] alone, which
//! stand at the top of the crate too.
//!
//! ```
//! use stannel::http1::field;
//!
//! let offers: Vec<&[u8]> = field::members(b"websocket, , h2c").collect();
//! assert_eq!(offers, [&b"websocket"[..], b"h2c"]);
//! ```

pub(crate) mod body;
mod byte_class;
pub mod chunked;
pub(crate) mod encode;
pub mod field;
pub(crate) mod framing;
pub mod head;
pub mod host;
pub(crate) mod known_request;
mod rejection;
pub(crate) mod section;
pub mod target;
pub mod trailers;

pub(crate) use encode::CommonFields;
pub(crate) use framing::{Framing, RequestFacts};
pub use rejection::Rejection;
pub use target::TargetForm;

/// A field line as it stands in the input.
pub(crate) type RawField<'a> = httparse::Header<'a>;
