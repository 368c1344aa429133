//! Ports for tests that must know theirs before it is bound.

use std::net::TcpListener;
use std::sync::atomic::{AtomicU16, Ordering};

/// Ports that nobody has, and that the system gives nobody for a port 0 or an outgoing connection: they are free again and
/// again while a test runs.
pub(crate) fn free_ports<const N: usize>() -> [u16; N] {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    const FIRST: u16 = 10_000;
    const COUNT: u16 = 20_000;
    let begin = u16::try_from(std::process::id() % u32::from(COUNT)).unwrap();
    std::array::from_fn(|_| {
        loop {
            let port = FIRST + (begin + NEXT.fetch_add(1, Ordering::Relaxed)) % COUNT;
            if TcpListener::bind(("::", port)).is_ok() {
                return port;
            }
        }
    })
}
