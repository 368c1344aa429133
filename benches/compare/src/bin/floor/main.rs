//! The floor: the least that a server can do and still be answered to. It never parses: it counts empty lines and
//! writes one fixed answer for each, over TLS through rustls. Whatever a real server costs above this is the price of
//! being one.

mod empty_lines;
mod plain;
mod tls;

use compare::event_loop::EventLoop;
use compare::{Scheme, ServerOptions};

use plain::Plain;
use tls::Tls;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let options = ServerOptions::from_args()?;
    match options.scheme {
        Scheme::Http => EventLoop::new(options.listen()?, Plain::new(options.close))?.run()?,
        Scheme::Https => EventLoop::new(options.listen()?, Tls::new(options.close)?)?.run()?,
    }
    Ok(())
}

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nServer: stannel\r\n\
    Date: Tue, 24 Nov 2026 00:00:00 GMT\r\nContent-Length: 13\r\n\r\nHello, World!";
const ANSWERS_PER_WRITE: usize = 256;
const CLOSE: &str = "Connection: close";
const INPUT_LENGTH: usize = 16 << 10;
