//! Real proxies in front: nginx, HAProxy and Apache, over TCP and over a Unix socket, with connections to the server that
//! are kept. Each test skips, with a printed line, the programs that are not here.
#![forbid(unsafe_code)]

#[path = "../support/client.rs"]
mod client;
#[allow(dead_code, reason = "its main is for the example")]
#[path = "../../docs/examples/conformance.rs"]
mod conformance;
#[path = "../support/nginx.rs"]
mod nginx;
#[path = "../support/proxy.rs"]
mod proxy;
#[allow(dead_code, reason = "the vectors are sent here, not judged")]
#[path = "../support/wire/mod.rs"]
mod wire;

#[cfg(feature = "tls")]
#[path = "../support/tls.rs"]
mod tls;

mod bodies;
mod proxies;
mod smuggling;

use client::wait_until;
use proxies::{Backend, Kind};
use proxy::Proxy;
use stannel::{Handler, Server, ServerHandle, ServerOptions};
use std::net::Ipv4Addr;
use std::num::NonZeroUsize;
use std::path::Path;
use std::thread::JoinHandle;

/// A server behind a proxy.
pub(crate) struct Behind {
    pub(crate) handle: ServerHandle,
    running: Option<JoinHandle<()>>,
    pub(crate) proxy: Proxy,
}

/// Serves behind this kind of proxy, over TCP and over a Unix socket. What a test does with it is `use_it`.
pub(crate) fn behind_each<H>(
    kind: Kind,
    handler: impl Fn(&Path) -> H,
    options: impl Fn() -> ServerOptions,
    use_it: impl Fn(&Behind, &Backend),
) where
    H: Handler + Clone + Send + Sync + 'static,
{
    for over_unix in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("app.sock");
        let mut options = options();
        options.workers = NonZeroUsize::new(1);
        if over_unix {
            options.listen_unix_socket(&socket).socket_mode = Some(0o666);
        } else {
            options.listen(Ipv4Addr::LOCALHOST, 0);
        }
        let handler = handler(folder.path());
        let server = Server::new(options, move || handler.clone()).bind().unwrap();
        let backend = if over_unix {
            Backend::Unix(socket.clone())
        } else {
            Backend::Tcp(server.addresses()[0].socket_addrs()[0])
        };
        let Some(proxy) = kind.start(folder.path(), &backend) else {
            return;
        };
        let handle = server.handle();
        let running = std::thread::spawn(move || server.run().unwrap());
        let behind = Behind {
            handle,
            running: Some(running),
            proxy,
        };
        use_it(&behind, &backend);
        behind.stop();
        assert!(!socket.exists());
    }
}

impl Behind {
    fn stop(mut self) {
        self.handle.shutdown();
        let running = self.running.take().unwrap();
        wait_until("the stop", || running.is_finished());
        running.join().unwrap();
    }
}

impl Drop for Behind {
    fn drop(&mut self) {
        // A test that failed before it stopped the server.
        self.handle.shutdown();
    }
}
