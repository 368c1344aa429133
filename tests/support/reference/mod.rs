//! Second implementations, written from RFC 9110, RFC 9112 and the grammar of URL prefixes to be plain and slow, for
//! tests and fuzz targets that compare.

#![allow(dead_code, reason = "each user compares with its part of it")]

pub(crate) mod body;
pub(crate) mod request;
pub(crate) mod served;
pub(crate) mod target;
pub(crate) mod url;

use std::collections::BTreeMap;

/// What a connection gets to see, one after another.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Event {
    /// A head, by what it says.
    Request(BTreeMap<&'static str, String>),
    /// Content and trailer fields, whole.
    Body(Vec<u8>, Vec<(String, Vec<u8>)>),
    /// The status of a refusal; nothing follows.
    Refused(u16),
}

/// The limits of a server, as far as they matter to what it reads.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) line: usize,
    pub(crate) fields_size: usize,
    pub(crate) fields: usize,
    pub(crate) body: u64,
}

/// Small ones, so that inputs of a few bytes come to them, and the usual ones.
pub(crate) const LIMITS: [Limits; 2] = [
    Limits {
        line: 40,
        fields_size: 90,
        fields: 4,
        body: 30,
    },
    Limits {
        line: 8192,
        fields_size: 32_768,
        fields: 100,
        body: 30_000_000,
    },
];
