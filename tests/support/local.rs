//! A server on a thread of this process.

// Each test file uses a part of it.
#![allow(dead_code)]

use super::site::Site;
use stannel::{BoundAddress, Server, ServerError, ServerHandle, ServerOptions};
use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::thread::JoinHandle;

pub(crate) struct Local {
    pub(crate) handle: ServerHandle,
    pub(crate) addresses: Vec<BoundAddress>,
    thread: Option<JoinHandle<Result<(), ServerError>>>,
}

impl Local {
    pub(crate) fn start(options: ServerOptions) -> Self {
        let site = Site::default();
        Self::run(Server::new(options, move || site.another()))
    }

    pub(crate) fn run(server: Server) -> Self {
        let server = server.bind().unwrap();
        Self {
            handle: server.handle(),
            addresses: server.addresses().to_vec(),
            thread: Some(std::thread::spawn(move || server.run())),
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.addresses[0].socket_addrs()[0]
    }

    /// What came of it, once it has stopped; somebody must have asked for that.
    pub(crate) fn join(mut self) -> Result<(), ServerError> {
        self.thread.take().unwrap().join().unwrap()
    }

    pub(crate) fn stop(self) {
        self.handle.shutdown();
        self.join().unwrap();
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        // A test that failed before it stopped the server.
        self.handle.shutdown();
    }
}

/// Any port on 127.0.0.1, and so many workers.
pub(crate) fn options(workers: usize) -> ServerOptions {
    let mut options = ServerOptions::default();
    options.workers = NonZeroUsize::new(workers);
    options.listen(Ipv4Addr::LOCALHOST, 0);
    options
}
