//! HTTP/1.1 as bytes: what a request is made of and how a response is written.
//!
//! Nothing here knows sockets, clocks or threads. The parsers take a slice and say what they saw; the
//! [`Rejection`]s say why a request cannot be served.

pub(crate) mod body;
mod byte_class;
pub mod chunked;
pub(crate) mod encode;
pub mod field;
pub(crate) mod framing;
pub mod head;
pub mod host;
mod rejection;
pub mod target;
pub mod trailers;

pub use encode::CommonFields;
pub use framing::{Framing, RequestFacts};
pub use rejection::Rejection;
pub use target::TargetForm;

/// A field line as it stands in the input.
pub(crate) type RawField<'a> = httparse::Header<'a>;
