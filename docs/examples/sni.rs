//! Several sites on one port, each with its certificate, told apart by the name that the client asks for:
//!
//! ```sh
//! for name in one two; do
//!     openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout $name.key -out $name.pem -days 30 \
//!         -subj /CN=$name.example -addext subjectAltName=DNS:$name.example
//! done
//! cargo run --example sni
//! curl --cacert two.pem --resolve two.example:5001:127.0.0.1 https://two.example:5001/
//! ```

use stannel::{CertificateSource, Exchange, Request, Server, ServerOptions, SniOptions, StatusCode};
use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    let port = std::env::args().nth(1).map_or(Ok(5001), |port| port.parse())?;
    let mut options = ServerOptions::default();
    options.handle_signals = true;
    options.listen_localhost(port).use_https_with(|https| {
        for name in ["one", "two"] {
            // `*.one.example` would stand for everything below, `*` for all other names and for none.
            let mut site = SniOptions::new(format!("{name}.example"));
            site.certificate = Some(CertificateSource::pem(format!("{name}.pem"), format!("{name}.key")));
            https.sni.push(site);
        }
    });

    let which = |request: &Request<'_>, exchange: Exchange<'_>| {
        // Host is what the request is for, the server name what the connection was made for. Who serves different people
        // by them makes sure that they are the same.
        let name = request.connection().tls().and_then(|tls| tls.server_name());
        match name {
            Some(name) if request.host().is_some_and(|host| host.eq_ignore_ascii_case(name)) => {
                exchange.respond(StatusCode::OK).send(format!("This is {name}\n"))
            }
            _ => exchange.respond(StatusCode::MISDIRECTED_REQUEST).send(""),
        }
    };
    let server = Server::new(options, move || which).bind()?;
    for line in server.addresses().iter().flat_map(|address| address.lines()) {
        println!("{line}");
    }
    server.run()?;
    Ok(())
}
