//! TCP_DEFER_ACCEPT, which neither the standard library nor socket2 can set.

// The macro calls itself and its sibling by their bare names.
use nix::{libc, setsockopt_impl, sockopt_impl};
use std::io;
use std::os::fd::AsFd;

// The macro's unsafe call is on its side.
sockopt_impl!(
    /// Seconds that the kernel waits for the first bytes before it shows a connection.
    TcpDeferAccept,
    SetOnly,
    libc::IPPROTO_TCP,
    libc::TCP_DEFER_ACCEPT,
    u32
);

pub(super) fn set(socket: &impl AsFd, seconds: u32) -> io::Result<()> {
    nix::sys::socket::setsockopt(socket, TcpDeferAccept, &seconds).map_err(io::Error::from)
}
