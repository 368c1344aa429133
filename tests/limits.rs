//! Every limit from both sides: what is just under it passes, what is just over it is refused as the specification says.
//!
//! What only the core decides is tried in connections without sockets, plain and inside TLS, with a clock that only the
//! test moves; what the shell has a part in, over sockets: TCP, TLS and Unix. Rules that go beyond the two sides have tests
//! of their own; docs/reliability.md names them for each limit.
#![forbid(unsafe_code)]

#[path = "support/core.rs"]
mod core;
#[path = "support/site.rs"]
mod site;
#[cfg(feature = "tls")]
#[path = "support/tls.rs"]
mod tls;

#[path = "limits/buffers.rs"]
mod buffers;
#[path = "limits/endings.rs"]
mod endings;
#[path = "limits/served.rs"]
mod served;
#[path = "limits/sizes.rs"]
mod sizes;
#[path = "limits/talk.rs"]
mod talk;
#[path = "limits/times.rs"]
mod times;
