//! TLS: what an endpoint presents and how a connection is encrypted.

pub(crate) mod certificates;
