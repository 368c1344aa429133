//! HTTP/1.1 as bytes: what a request is made of and how a response is written.
//!
//! Nothing here knows sockets, clocks or threads. The parsers take a slice and say what they saw; the
//! [`Rejection`]s say why a request cannot be served.

mod byte_class;
pub mod chunked;
pub mod field;
pub mod host;
mod rejection;
pub mod target;
pub mod trailers;

pub use rejection::Rejection;
