//! may_minihttp as a peer: stackful coroutines over epoll, with httparse and little else. It knows no TLS, no
//! `Connection: close`, no limit but sixteen fields, and closes without a word whatever it cannot parse.

use std::io;

use compare::{Scheme, ServerOptions};
use may_minihttp::{HttpServer, HttpService, Request, Response};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let options = ServerOptions::from_args()?;
    if options.scheme == Scheme::Https {
        return Err("may_minihttp speaks no TLS; use http".into());
    }
    may::config().set_workers(1);
    let address = options.address_to_bind()?;
    let server = HttpServer(Answers).start(address)?;
    options.announce(address);
    server.join().map_err(|_| "the server's coroutine panicked")?;
    Ok(())
}

#[derive(Clone)]
struct Answers;

impl HttpService for Answers {
    fn call(&mut self, request: Request<'_, '_, '_>, response: &mut Response<'_>) -> io::Result<()> {
        match request.path() {
            "/plaintext" => response.header(TEXT).body("Hello, World!"),
            "/json" => response.header(JSON).body("{\"message\":\"Hello, World!\"}"),
            _ => {
                response.status_code(404, "Not Found");
            }
        }
        Ok(())
    }
}

const TEXT: &str = "Content-Type: text/plain";
const JSON: &str = "Content-Type: application/json";
