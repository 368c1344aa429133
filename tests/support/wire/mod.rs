//! Wire vectors: what a client sends, and what it must get.

pub mod cases;
pub mod cut;
pub mod echo;
pub mod expect;
pub mod play;
pub mod pure;
pub mod report;
pub mod response;
