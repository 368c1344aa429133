//! Only clients with a certificate of one's own authority come in. `docs/https.md` has the commands that make the authority
//! and a client.
//!
//! ```sh
//! cargo run --example mtls -- clients-ca.pem site.pem site.key
//! curl --cacert site.pem --cert alice.pem --key alice.key https://localhost:5001/
//! ```

use stannel::{
    CertificateSource, ClientCertificateMode, ClientCertificateRoots, Exchange, Outcome, Request, Server,
    ServerOptions, StatusCode,
};
use std::error::Error;

/// It is asked for nobody whose certificate was not accepted.
fn greet(request: &Request<'_>, exchange: Exchange<'_>) -> Outcome {
    let tls = request.connection().tls();
    match tls.and_then(|tls| tls.client_certificate()) {
        Some(certificate) => {
            let name = certificate.subject().common_name().unwrap_or("you").to_owned();
            exchange.respond(StatusCode::OK).send(format!("Hello, {name}\n"))
        }
        None => exchange.respond(StatusCode::FORBIDDEN).send(""),
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [authority, certificate, key, rest @ ..] = arguments.as_slice() else {
        return Err("which authority, and which certificate and key of the server's own?".into());
    };
    let port = rest.first().map_or(Ok(5001), |port| port.parse())?;
    let mut options = ServerOptions::default();
    options.handle_signals = true;
    options.listen_localhost(port).use_https_with(|https| {
        https.server_certificate = Some(CertificateSource::pem(certificate, key));
        https.client_certificate_mode = ClientCertificateMode::RequireCertificate;
        // There is no default: the machine's roots say who somebody is, not who may come in.
        https.client_certificate_roots = Some(ClientCertificateRoots::File(authority.into()));
    });
    let server = Server::new(options, || greet).bind()?;
    for line in server.addresses().iter().flat_map(|address| address.lines()) {
        println!("{line}");
    }
    server.run()?;
    Ok(())
}
