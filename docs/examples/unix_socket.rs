//! A server on a Unix socket, for a proxy such as nginx on the same machine:
//!
//! ```nginx
//! upstream app { server unix:/run/app/app.sock; keepalive 16; }
//! server {
//!     listen 80;
//!     location / {
//!         proxy_pass http://app;
//!         proxy_http_version 1.1;
//!         proxy_set_header Connection "";
//!         proxy_set_header Host $host;
//!     }
//! }
//! ```
//!
//! ```sh
//! cargo run --example unix_socket -- /tmp/app.sock
//! curl --unix-socket /tmp/app.sock http://localhost/
//! ```

use stannel::{Exchange, Request, Server, ServerOptions, StatusCode};
use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args_os()
        .nth(1)
        .ok_or("which socket? give its absolute path")?;
    let mut options = ServerOptions::default();
    options.handle_signals = true;
    let endpoint = options.listen_unix_socket(path);
    // The proxy runs as another user of the same group. The rights are there before the first connection can be.
    endpoint.socket_mode = Some(0o660);
    // A server that was killed leaves its socket behind. It is removed only if nobody listens on it.
    endpoint.replace_stale_socket = true;

    let hello = |request: &Request<'_>, exchange: Exchange<'_>| {
        exchange
            .respond(StatusCode::OK)
            .send(format!("You asked for {}\n", request.path()))
    };
    let server = Server::new(options, move || hello).bind()?;
    for line in server.addresses().iter().flat_map(|address| address.lines()) {
        println!("{line}");
    }
    server.run()?;
    Ok(())
}
