//! The smallest server: `cargo run --example hello`, then `curl http://localhost:5000/`.

use stannel::{Exchange, Handler, Method, Outcome, Request, Server, ServerOptions, StatusCode};
use std::error::Error;

struct Hello;

impl Handler for Hello {
    fn handle(&mut self, request: &Request<'_>, exchange: Exchange<'_>) -> Outcome {
        match (request.method(), request.path()) {
            (&Method::GET | &Method::HEAD, "/") => exchange
                .respond(StatusCode::OK)
                .header("content-type", "text/plain")
                .send("Hello, World!\n"),
            _ => exchange.respond(StatusCode::NOT_FOUND).send(""),
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut options = ServerOptions::default();
    options.listen_localhost(5000);
    // Ctrl-C lets running requests end before the program does.
    options.handle_signals = true;
    // Each worker has a handler of its own, made by this closure: no locks.
    let server = Server::new(options, || Hello).bind()?;
    for line in server.addresses().iter().flat_map(|address| address.lines()) {
        println!("{line}");
    }
    server.run()?;
    Ok(())
}
