//! HTTPS as real programs see it: curl, OpenSSL, Python and nginx. Each test is skipped, with a printed line, where its
//! program is missing.
#![forbid(unsafe_code)]

#[path = "../support/client.rs"]
mod client;
#[path = "../support/nginx.rs"]
mod nginx;
#[path = "../support/proxy.rs"]
mod proxy;
#[path = "../support/reload.rs"]
mod reload;
#[path = "../support/site.rs"]
mod site;

mod authority;
mod behind_nginx;
mod curl;
mod openssl;
mod program;
mod python;
mod sockets;

use authority::Authority;
use reload::Following;
use site::Site;
use stannel::{Exchange, Handler, Outcome, Request, StatusCode};
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use tempfile::TempDir;

/// A server of many names, and the authorities of its certificates and of its clients'.
///
/// | endpoint | name | |
/// |---|---|---|
/// | `Web` | any | as it comes |
/// | `Web` | `old.test` | TLS 1.2 only |
/// | `Web` | `asks.test` | requires client certificates |
/// | `Web` | `may.test` | takes them |
/// | `Strict` | `*.wild.test` | nobody else |
/// | `Asks` | any | requires client certificates |
/// | `Twin` | any | the same as `Web` has for most |
struct World {
    folder: TempDir,
    server: Following,
    /// By the numbers below, also after a reload.
    addresses: Vec<SocketAddr>,
}

const WEB: usize = 0;
const STRICT: usize = 1;
const ASKS: usize = 2;
const TWIN: usize = 3;

impl World {
    fn start(workers: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let servers = Authority::new("servers", folder.path());
        let clients = Authority::new("clients", folder.path());
        servers.issue("site", &["site.test", "old.test", "asks.test", "may.test", "127.0.0.1"]);
        servers.issue("wild", &["*.wild.test"]);
        clients.issue("client", &["somebody"]);
        servers.issue("stranger", &["nobody"]);
        let text = configuration(&folder, "");
        let site = Site::default();
        let server = Following::start(
            &text,
            |options| options.workers = NonZeroUsize::new(workers),
            move || Facts(site.another()),
        );
        let addresses = server.handle().addresses();
        let addresses = addresses.iter().map(|address| address.socket_addrs()[0]).collect();
        Self {
            folder,
            server,
            addresses,
        }
    }

    fn address(&self, endpoint: usize) -> SocketAddr {
        self.addresses[endpoint]
    }

    fn port(&self, endpoint: usize) -> u16 {
        self.address(endpoint).port()
    }

    /// The path of a file in the folder: `servers.pem`, `clients.pem`, or the certificate or key of somebody.
    fn file(&self, name: &str) -> String {
        let path = self.folder.path().join(name);
        path.to_str().unwrap().to_owned()
    }

    /// Has the server read its configuration again, with these keys more for the endpoint `Web`.
    fn reload(&self, web: &str) {
        let outcome = self.server.reload(&configuration(&self.folder, web));
        assert_eq!((outcome.error, outcome.failed), (None, Vec::new()));
    }
}

fn configuration(folder: &TempDir, web: &str) -> String {
    let folder = folder.path().display();
    let certificate =
        |name: &str| format!(r#""Certificate": {{"Path": "{folder}/{name}.pem", "KeyPath": "{folder}/{name}.key"}}"#);
    let (site, wild) = (certificate("site"), certificate("wild"));
    let roots = format!(r#""ClientCertificateRoots": "{folder}/clients.pem""#);
    let url = r#""Url": "https://127.0.0.1:0""#;
    // Endpoints are in the order of their names.
    format!(
        r#"{{ "Kestrel": {{ "Endpoints": {{
            "A-Web": {{ {url}, {site}, {roots}, {web} "Sni": {{
                "*": {{}},
                "old.test": {{ "SslProtocols": ["Tls12"] }},
                "asks.test": {{ "ClientCertificateMode": "RequireCertificate" }},
                "may.test": {{ "ClientCertificateMode": "AllowCertificate" }}
            }} }},
            "B-Strict": {{ {url}, "Sni": {{ "*.wild.test": {{ {wild} }} }} }},
            "C-Asks": {{ {url}, {site}, {roots}, "ClientCertificateMode": "RequireCertificate" }},
            "D-Twin": {{ {url}, {site} }}
        }} }} }}"#
    )
}

/// What [`Site`] answers, and at `/tls` what is known of the connection.
struct Facts(Site);

impl Handler for Facts {
    fn handle(&mut self, request: &Request<'_>, exchange: Exchange<'_>) -> Outcome {
        let Some(tls) = request.connection().tls().filter(|_| request.path() == "/tls") else {
            return self.0.handle(request, exchange);
        };
        let client = tls.client_certificate();
        let text = format!(
            "{} {} {} {} {}",
            tls.version(),
            tls.cipher_suite(),
            tls.alpn().unwrap_or("none"),
            tls.server_name().unwrap_or("none"),
            client.map_or_else(|| "nobody".to_owned(), |client| client.subject().to_string())
        );
        exchange.respond(StatusCode::OK).send(text)
    }
}
