//! Sockets that systemd opened for the program; Kestrel's `UseSystemd`.
//!
//! systemd hands them over as descriptors from 3 on and says so in `LISTEN_PID`, `LISTEN_FDS` and `LISTEN_FDNAMES`
//! (`sd_listen_fds(3)`). `docs/systemd.md` has unit files.

use crate::endpoint::{ListenOptions, ServerOptions, SocketHandle};
use std::ops::Range;
use std::sync::OnceLock;

/// The first descriptor that is handed over.
const FIRST: i32 = 3;

/// The descriptors that an environment hands over to a process; `lookup` is asked for variables.
///
/// They are meant for another process unless `LISTEN_PID` is this one's id, compared as text, and their number has to be
/// plain digits.
///
/// ```
/// let environment = |name: &str| match name {
///     "LISTEN_PID" => Some("42".to_owned()),
///     "LISTEN_FDS" => Some("2".to_owned()),
///     _ => None,
/// };
/// assert_eq!(stannel::systemd::descriptors(environment, 42), 3..5);
/// assert!(stannel::systemd::descriptors(environment, 43).is_empty());
/// ```
pub fn descriptors(lookup: impl Fn(&str) -> Option<String>, process_id: u32) -> Range<i32> {
    let count = || {
        let count = lookup("LISTEN_FDS").filter(|count| count.bytes().all(|byte| byte.is_ascii_digit()))?;
        count.parse::<i32>().ok()?.checked_add(FIRST)
    };
    if lookup("LISTEN_PID") != Some(process_id.to_string()) {
        return FIRST..FIRST;
    }
    FIRST..count().unwrap_or(FIRST)
}

/// The sockets of this process, taken over once and kept until it ends.
fn sockets() -> &'static [SocketHandle] {
    static SOCKETS: OnceLock<Vec<SocketHandle>> = OnceLock::new();
    SOCKETS.get_or_init(|| {
        if descriptors(|name| std::env::var(name).ok(), std::process::id()).is_empty() {
            return Vec::new();
        }
        let passed = match sd_listen_fds::get() {
            Ok(passed) => passed,
            Err(error) => {
                log::warn!(target: "stannel", "cannot take the sockets of systemd: {error}");
                return Vec::new();
            }
        };
        let take = |(name, descriptor): (Option<String>, sd_listen_fds::OwnedFd)| {
            let socket = SocketHandle::new(descriptor.into_std());
            match name {
                Some(name) => socket.named(name),
                None => socket,
            }
        };
        passed.into_iter().map(take).collect()
    })
}

impl ServerOptions {
    /// Listens on every socket that systemd opened for this process, in order, and tells systemd when the server is ready,
    /// reads its configuration anew, stops, and lives (`notify_systemd`). Without systemd it does nothing.
    ///
    /// ```
    /// let mut options = stannel::ServerOptions::default();
    /// options.use_systemd();
    /// ```
    pub fn use_systemd(&mut self) {
        self.notify_systemd = true;
        for socket in sockets() {
            self.listen_handle(socket.clone());
        }
    }

    /// Listens on the sockets of that name alone (`FileDescriptorName=` of the socket unit). `configure` is called for each.
    ///
    /// ```
    /// let mut options = stannel::ServerOptions::default();
    /// options.listen_systemd("admin", |endpoint| {
    ///     endpoint.use_connection_logging();
    /// });
    /// ```
    pub fn listen_systemd(&mut self, name: &str, mut configure: impl FnMut(&mut ListenOptions)) {
        for socket in sockets().iter().filter(|socket| socket.name() == Some(name)) {
            configure(self.listen_handle(socket.clone()));
        }
    }
}
