//! A program with its settings in `appsettings.json`: endpoints, limits, and a key of its own for each endpoint.
//!
//! ```json
//! {
//!   "Greeting": "Hello",
//!   "Kestrel": {
//!     "Endpoints": {
//!       "Public": { "Url": "http://*:8080" },
//!       "Admin": { "Url": "http://localhost:8081", "OnlyFrom": "127.0.0.1" }
//!     },
//!     "Limits": { "MaxRequestBodySize": 1000000 }
//!   }
//! }
//! ```
//!
//! ```sh
//! cargo run --example config_file
//! cargo run --example config_file -- --Greeting=Hi --Kestrel:Endpoints:Public:Url=http://*:9090
//! ```

use stannel::{
    Admission, Configuration, ConnectionInfo, ConnectionMiddleware, EndpointConfiguration, Exchange, Peer, Request,
    Server, StatusCode,
};
use std::error::Error;
use std::net::IpAddr;

/// Admits one client address.
struct OnlyFrom(IpAddr);

impl ConnectionMiddleware for OnlyFrom {
    fn connected(&self, connection: &ConnectionInfo) -> Admission {
        match connection.peer() {
            Peer::Tcp(address) if address.ip() == self.0 => Admission::Admit,
            _ => Admission::Refuse,
        }
    }
}

/// Called for the endpoint `Admin`, if there is one, when the server starts and whenever that endpoint changes.
fn admin(endpoint: &mut EndpointConfiguration<'_>) {
    let address = endpoint.section().get("OnlyFrom").and_then(|text| text.parse().ok());
    // An endpoint for administrators that admits everybody would be the wrong answer to a typing error.
    let address = address.unwrap_or(IpAddr::from([127, 0, 0, 1]));
    endpoint.listen_options().use_middleware(OnlyFrom(address));
}

fn main() -> Result<(), Box<dyn Error>> {
    // appsettings.json, appsettings.{Environment}.json, the environment, the command line.
    let configuration = Configuration::from_default_sources(std::env::args_os().skip(1))?;
    let greeting = configuration.get("Greeting").unwrap_or("Hello").to_owned();

    let mut options = configuration.server_options()?;
    options.handle_signals = true;
    if let Some(loader) = options.loader_mut() {
        loader.endpoint("Admin", admin);
    }

    let greet = move |_: &Request<'_>, exchange: Exchange<'_>| {
        exchange.respond(StatusCode::OK).send(format!("{greeting}, World!"))
    };
    let server = Server::new(options, move || greet.clone()).bind()?;
    for line in server.addresses().iter().flat_map(|address| address.lines()) {
        println!("{line}");
    }
    server.run()?;
    Ok(())
}
