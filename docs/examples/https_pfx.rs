//! HTTPS with a certificate from a PFX file, and its password from the environment:
//!
//! ```sh
//! openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout site.key -out site.pem -days 30 \
//!     -subj /CN=localhost -addext subjectAltName=DNS:localhost
//! openssl pkcs12 -export -in site.pem -inkey site.key -out site.pfx -passout pass:secret
//! PFX_PASSWORD=secret cargo run --example https_pfx -- site.pfx
//! curl --cacert site.pem https://localhost:5001/
//! ```

use stannel::{Exchange, Request, Server, ServerOptions, StatusCode};
use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().ok_or("which PFX file?")?;
    let port = arguments.next().map_or(Ok(5001), |port| port.parse())?;
    // A password on the command line is there for everybody to see.
    let password = std::env::var("PFX_PASSWORD").unwrap_or_default();

    let mut options = ServerOptions::default();
    options.handle_signals = true;
    options.listen_localhost(port).use_https((path, password));

    let hello = |request: &Request<'_>, exchange: Exchange<'_>| {
        let text = match request.connection().tls() {
            Some(tls) => format!("Hello over {}\n", tls.version()),
            None => "Hello\n".to_owned(),
        };
        exchange.respond(StatusCode::OK).send(text)
    };
    // What is wrong with the file is told here, mostly with the command that mends it.
    let server = Server::new(options, move || hello).bind()?;
    for line in server.addresses().iter().flat_map(|address| address.lines()) {
        println!("{line}");
    }
    server.run()?;
    Ok(())
}
