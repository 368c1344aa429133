//! Every limit from both sides: what is just under it passes, what is just over it is refused as the specification says.
//!
//! Limits on what is sent are tried over sockets: TCP, TLS and Unix. Limits on time are tried in connections without
//! sockets, plain and inside TLS, with a clock that only the test moves. Rules that go beyond the two sides have tests of
//! their own; docs/reliability.md names them for each limit.
#![forbid(unsafe_code)]

#[path = "support/core.rs"]
mod core;
#[path = "support/site.rs"]
mod site;
#[cfg(feature = "tls")]
#[path = "support/tls.rs"]
mod tls;

#[path = "limits/sizes.rs"]
mod sizes;
#[path = "limits/times.rs"]
mod times;
