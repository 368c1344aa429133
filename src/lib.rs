//! stannel: an HTTP/1.1 server engine.
#![forbid(unsafe_code)]

pub mod http1;
pub mod timer;

pub use http1::Rejection;
