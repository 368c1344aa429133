//! Wire vectors: what a client sends, and what it must get.

pub(crate) mod cases;
pub(crate) mod cut;
#[path = "../dice.rs"]
pub(crate) mod dice;
pub(crate) mod echo;
pub(crate) mod expect;
pub(crate) mod play;
pub(crate) mod pure;
pub(crate) mod report;
pub(crate) mod response;
#[cfg(feature = "tls")]
pub(crate) mod secure;
pub(crate) mod socket;
