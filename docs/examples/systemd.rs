//! A service of systemd's: the sockets are systemd's, so that nobody is refused while it restarts. `docs/systemd.md` has
//! the unit files.
//!
//! ```sh
//! cargo build --example systemd
//! systemd-socket-activate --listen 127.0.0.1:8080 target/debug/examples/systemd
//! ```

use stannel::{Exchange, Request, Server, ServerOptions, StatusCode};
use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    let mut options = ServerOptions::default();
    options.handle_signals = true;
    // Every socket of the socket unit, READY=1 and the watchdog. Started by hand it does nothing.
    options.use_systemd();
    if options.endpoints().is_empty() {
        options.listen_localhost(8080);
    }

    let hello = |_: &Request<'_>, exchange: Exchange<'_>| exchange.respond(StatusCode::OK).send("Hello, World!\n");
    let server = Server::new(options, move || hello).bind()?;
    for line in server.addresses().iter().flat_map(|address| address.lines()) {
        println!("{line}");
    }
    server.run()?;
    Ok(())
}
