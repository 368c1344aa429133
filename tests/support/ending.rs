//! How a child process is told something, and how it ends.

// Each test file uses a part of it.
#![allow(dead_code)]

use crate::client::wait_until;
use std::process::{Child, Command, ExitStatus};

/// Sends a signal, such as `TERM`.
pub(crate) fn signal(child: &Child, name: &str) {
    let pid = child.id().to_string();
    let status = Command::new("kill").args(["-s", name, &pid]).status().unwrap();
    assert!(status.success());
}

/// The exit code, once it has ended by itself.
pub(crate) fn exit_code(child: &mut Child) -> Option<i32> {
    let mut status: Option<ExitStatus> = None;
    wait_until("the process to end", || {
        status = child.try_wait().unwrap();
        status.is_some()
    });
    status.and_then(|status| status.code())
}
