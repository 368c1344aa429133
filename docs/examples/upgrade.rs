//! A connection that changes its protocol: an echo of bytes.
//!
//! `cargo run --example upgrade`, then
//!
//! ```sh
//! printf 'GET / HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\nHello!\n' | nc localhost 5000
//! ```

use stannel::{Configuration, Exchange, Flow, Outcome, Request, Server, StatusCode, Tunnel, TunnelIo};
use std::error::Error;

/// Sends back what comes.
struct Echo;

impl Tunnel for Echo {
    fn on_open(&mut self, io: &mut TunnelIo<'_>) -> Flow {
        io.put(b"Say something.\n");
        Flow::Continue
    }

    fn on_data(&mut self, data: &[u8], io: &mut TunnelIo<'_>) -> Flow {
        io.put(data);
        Flow::Continue
    }

    fn on_shutdown(&mut self, io: &mut TunnelIo<'_>) -> Flow {
        io.put(b"Good bye.\n");
        Flow::Stop
    }
}

fn handle(request: &Request<'_>, exchange: Exchange<'_>) -> Outcome {
    let offers_echo = request
        .headers()
        .get_all("upgrade")
        .flat_map(|value| value.split(|&byte| byte == b','))
        .any(|protocol| protocol.trim_ascii().eq_ignore_ascii_case(b"echo"));
    if offers_echo {
        exchange.upgrade("echo").switch_to(Echo)
    } else {
        // An upgrade is an offer: a request without it is answered in HTTP.
        exchange
            .respond(StatusCode::OK)
            .send("this server would rather speak echo\n")
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut options = Configuration::from_default_sources(std::env::args_os().skip(1))?.server_options()?;
    options.handle_signals = true;
    let server = Server::new(options, || handle).bind()?;
    for line in server.addresses().iter().flat_map(|address| address.lines()) {
        println!("{line}");
    }
    server.run()?;
    Ok(())
}
