//! Requests that came in the clear are sent to where HTTPS is served.

use super::refuse;
use crate::endpoint::UrlPrefix;
use crate::handler::{Exchange, Handler, Outcome, Request};
use crate::http1::target::TargetForm;
use http::StatusCode;
use http::header::LOCATION;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// How requests are redirected; Kestrel's `HttpsRedirectionOptions`.
///
/// ```
/// use stannel::StatusCode;
/// use stannel::middleware::{HttpsPort, HttpsRedirectionOptions};
///
/// let mut options = HttpsRedirectionOptions::default();
/// assert_eq!(options.https_port, HttpsPort::OfServer);
/// // For good: browsers and caches remember it.
/// options.redirect_status_code = StatusCode::PERMANENT_REDIRECT;
/// options.https_port = HttpsPort::Port(8443);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HttpsRedirectionOptions {
    /// The status of the redirection. Default: 307, which keeps method and body and is forgotten at once; 308 is
    /// remembered.
    pub redirect_status_code: StatusCode,
    /// The port that clients find HTTPS at. Default: the one that the server listens on.
    pub https_port: HttpsPort,
}

impl Default for HttpsRedirectionOptions {
    fn default() -> Self {
        Self {
            redirect_status_code: StatusCode::TEMPORARY_REDIRECT,
            https_port: HttpsPort::OfServer,
        }
    }
}

/// Where HTTPS is, as clients see it.
///
/// ```
/// use stannel::middleware::HttpsPort;
///
/// assert_eq!(HttpsPort::default(), HttpsPort::OfServer);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HttpsPort {
    /// The one https port among the addresses of the server; see [`HttpsRedirector::set_addresses`].
    #[default]
    OfServer,
    /// This one, such as that of a proxy in front of the server.
    Port(u16),
    /// Nowhere: nothing is redirected.
    Never,
}

/// Where the handlers of all workers redirect to. The port is looked for once, when the first request comes that is not
/// https. Clones are the same.
///
/// ```
/// use stannel::middleware::{HttpsRedirection, HttpsRedirector};
/// use stannel::{Configuration, Exchange, Request, Server, StatusCode};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let configuration = Configuration::builder().set("urls", "http://127.0.0.1:0").build()?;
/// let redirector = HttpsRedirector::new(&configuration.https_redirection()?);
/// let hello = |_: &Request<'_>, exchange: Exchange<'_>| exchange.respond(StatusCode::OK).send("hello");
/// let shared = redirector.clone();
/// let factory = move || HttpsRedirection::new(&shared, hello);
/// let server = Server::new(configuration.server_options()?, factory).bind()?;
/// // The ports are known only now.
/// redirector.set_addresses(server.addresses());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct HttpsRedirector {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    options: HttpsRedirectionOptions,
    /// The https ports of the server, each once, in ascending order.
    ports: Mutex<Vec<u16>>,
    found: OnceLock<Found>,
}

/// What the search came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    Port(u16),
    /// Requests go on as they came.
    None,
    /// One cannot be preferred to another.
    Several,
}

impl HttpsRedirector {
    /// Redirects with these options.
    #[must_use]
    pub fn new(options: &HttpsRedirectionOptions) -> Self {
        Self {
            shared: Arc::new(Shared {
                options: *options,
                ports: Mutex::default(),
                found: OnceLock::new(),
            }),
        }
    }

    /// Tells what the server listens on: [`BoundServer::addresses`](crate::BoundServer::addresses), or texts such as
    /// `https://localhost:5001`. It counts for [`HttpsPort::OfServer`] and before the first request only, so call it
    /// between [`bind`](crate::Server::bind) and [`run`](crate::BoundServer::run). What is no https address with a port is
    /// passed over.
    pub fn set_addresses<A: ToString>(&self, addresses: impl IntoIterator<Item = A>) {
        let port = |address: A| {
            let prefix = UrlPrefix::parse(&address.to_string()).ok()?;
            let is_https = prefix.scheme() == "https" && !prefix.host().starts_with("unix:");
            u16::try_from(prefix.port()).ok().filter(|_| is_https)
        };
        let mut ports: Vec<u16> = addresses.into_iter().filter_map(port).collect();
        ports.sort_unstable();
        ports.dedup();
        *self.shared.ports.lock().unwrap_or_else(PoisonError::into_inner) = ports;
    }

    fn find(&self) -> Found {
        *self.shared.found.get_or_init(|| self.search())
    }

    fn search(&self) -> Found {
        match self.shared.options.https_port {
            HttpsPort::Port(port) => {
                log::debug!(target: "stannel", "requests are redirected to the https port {port}, as it is configured");
                return Found::Port(port);
            }
            HttpsPort::Never => {
                log::debug!(target: "stannel", "requests are not redirected to https, as it is configured");
                return Found::None;
            }
            HttpsPort::OfServer => {}
        }
        let ports = self.shared.ports.lock().unwrap_or_else(PoisonError::into_inner);
        match ports.as_slice() {
            [] => {
                log::warn!(
                    target: "stannel",
                    "the https port to redirect to is not known, so requests are served as they come; set https_port, \
                     or listen on one https address"
                );
                Found::None
            }
            [port] => {
                log::debug!(target: "stannel", "requests are redirected to the https port {port}, on which the server listens");
                Found::Port(*port)
            }
            several => {
                log::error!(
                    target: "stannel",
                    "the server listens on several https ports, {}: no request can be redirected, each is answered 500; set \
                     https_port to one of them",
                    several.iter().map(u16::to_string).collect::<Vec<_>>().join(", ")
                );
                Found::Several
            }
        }
    }
}

/// Redirects requests that are not https to the same address with https, and leaves the others to the handler inside;
/// Kestrel's HTTPS redirection.
///
/// A request is https if its connection is, or if a trusted proxy said so
/// ([`ForwardedHeaders`](super::ForwardedHeaders) has to stand before this). The port is that of
/// [`HttpsRedirectionOptions::https_port`]; the host is the one that the client asked for, so put
/// [`HostFiltering`](super::HostFiltering) before it. Where no port is known, one warning is logged and requests go on as
/// they came; where the server listens on several https ports, they are answered 500. A request of HTTP/1.0 without Host
/// has no address, so it is answered 400.
///
/// ```
/// use stannel::middleware::{HttpsPort, HttpsRedirection, HttpsRedirectionOptions, HttpsRedirector};
/// use stannel::{Exchange, Request, StatusCode};
///
/// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/ask.rs"));
/// # fn main() {
/// let mut options = HttpsRedirectionOptions::default();
/// options.https_port = HttpsPort::Port(8443);
/// let redirector = HttpsRedirector::new(&options);
///
/// let hello = |_: &Request<'_>, exchange: Exchange<'_>| exchange.respond(StatusCode::OK).send("hello");
/// let factory = move || HttpsRedirection::new(&redirector, hello);
/// let answer = ask(factory, "GET /a?b HTTP/1.1\r\nHost: example.com:8080\r\n\r\n");
/// assert!(answer.starts_with("HTTP/1.1 307 "));
/// assert!(answer.to_lowercase().contains("\r\nlocation: https://example.com:8443/a?b\r\n"));
/// # }
/// ```
#[derive(Debug)]
pub struct HttpsRedirection<H> {
    redirector: HttpsRedirector,
    inner: H,
}

impl<H: Handler> HttpsRedirection<H> {
    /// Puts the redirection before a handler.
    #[must_use]
    pub fn new(redirector: &HttpsRedirector, inner: H) -> Self {
        Self {
            redirector: redirector.clone(),
            inner,
        }
    }

    fn redirect(&self, request: &Request<'_>, exchange: Exchange<'_>, port: u16) -> Outcome {
        let Some(host) = request.host() else {
            log::debug!(target: "stannel", "a request without Host cannot be redirected; answered 400");
            return refuse(exchange, StatusCode::BAD_REQUEST);
        };
        let location = https_address(request, host, port);
        log::debug!(target: "stannel", "redirecting to {location}");
        exchange
            .respond(self.redirector.shared.options.redirect_status_code)
            .header(LOCATION, location)
            .send("")
    }
}

impl<H: Handler> Handler for HttpsRedirection<H> {
    fn handle(&mut self, request: &Request<'_>, exchange: Exchange<'_>) -> Outcome {
        if request.scheme().eq_ignore_ascii_case("https") {
            return self.inner.handle(request, exchange);
        }
        match self.redirector.find() {
            Found::Port(port) => self.redirect(request, exchange, port),
            Found::None => self.inner.handle(request, exchange),
            Found::Several => exchange.respond(StatusCode::INTERNAL_SERVER_ERROR).send(""),
        }
    }

    fn on_shutdown(&mut self) {
        self.inner.on_shutdown();
    }
}

/// The address of the request with https and that port.
fn https_address(request: &Request<'_>, host: &str, port: u16) -> String {
    let mut location = format!("https://{host}");
    if port != 443 {
        location.push(':');
        location.push_str(itoa::Buffer::new().format(port));
    }
    let path = match request.path() {
        // What is left of percent-encoding in a decoded path is ambiguous: %41 may have been sent as %2541. Decoded
        // again it would be another path.
        path if path.contains('%') => sent_path(request),
        path => path,
    };
    let base = request.path_base();
    let base = base.strip_suffix('/').filter(|_| !path.is_empty()).unwrap_or(base);
    if base.is_empty() && path.is_empty() {
        location.push('/');
    }
    encode_path(base, &mut location);
    encode_path(path, &mut location);
    location.push_str(request.query());
    location
}

/// The path as it stands in the target.
fn sent_path<'a>(request: &'a Request<'_>) -> &'a str {
    let mut target = request.target();
    if request.target_form() == TargetForm::Absolute {
        let authority = target.split_once("://").map_or("", |(_, rest)| rest);
        target = authority.find(['/', '?']).map_or("", |start| &authority[start..]);
    }
    target.split('?').next().unwrap_or_default()
}

/// Writes a path as a URL has it: RFC 3986 §3.3 says what may stand in it as it is. What is encoded already stays so, but
/// in the usual form (§6.2.2): with large letters, and only where it has to be. An encoded slash stays as it came.
fn encode_path(path: &str, out: &mut String) {
    let bytes = path.as_bytes();
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let triplet = (byte == b'%').then(|| decode(bytes.get(at + 1..at + 3)?)).flatten();
        at += if triplet.is_some() { 3 } else { 1 };
        match triplet {
            None if byte == b'/' => out.push('/'),
            None => put(byte, out),
            Some(b'/') => out.push_str(&path[at - 3..at]),
            Some(decoded) => put(decoded, out),
        }
    }
}

fn put(byte: u8, out: &mut String) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    if byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@".contains(&byte) {
        out.push(char::from(byte));
    } else {
        out.push('%');
        out.push(char::from(HEX[usize::from(byte >> 4)]));
        out.push(char::from(HEX[usize::from(byte & 15)]));
    }
}

fn decode(digits: &[u8]) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    match digits {
        [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{Found, HttpsPort, HttpsRedirectionOptions, HttpsRedirector, encode_path};

    #[test]
    fn paths_are_written_as_urls_have_them() {
        for (path, written) in [
            ("", ""),
            ("/a/b", "/a/b"),
            ("/a b/é", "/a%20b/%C3%A9"),
            ("/-._~!$&'()*+,;=:@", "/-._~!$&'()*+,;=:@"),
            ("/|{}\"<>^`\\?#[]", "/%7C%7B%7D%22%3C%3E%5E%60%5C%3F%23%5B%5D"),
            ("/%2F%2f%7e%41%c3%a9%ff", "/%2F%2f~A%C3%A9%FF"),
            ("/%2541%25", "/%2541%25"),
            ("/%zz%4", "/%25zz%254"),
            ("/\r\n", "/%0D%0A"),
        ] {
            let mut out = String::new();
            encode_path(path, &mut out);
            assert_eq!(out, written, "{path}");
        }
    }

    #[test]
    fn the_port_is_looked_for_once() {
        let find = |https_port, addresses: &[&str]| {
            let redirector = HttpsRedirector::new(&HttpsRedirectionOptions {
                https_port,
                ..HttpsRedirectionOptions::default()
            });
            redirector.set_addresses(addresses);
            let found = redirector.find();
            redirector.set_addresses(["https://localhost:9999"]);
            assert_eq!(redirector.clone().find(), found, "it stays");
            found
        };
        let server = HttpsPort::OfServer;
        for (port, addresses, expected) in [
            (server, &[][..], Found::None),
            (
                server,
                &["http://localhost:80", "https://unix:/a", "nothing"],
                Found::None,
            ),
            (
                server,
                &["https://localhost:4444/", "http://localhost:80"],
                Found::Port(4444),
            ),
            (server, &["https://localhost"], Found::Port(443)),
            (server, &["https://a:5050", "https://[::]:5050"], Found::Port(5050)),
            (server, &["https://a:5050", "https://a:5051"], Found::Several),
            (
                HttpsPort::Port(5000),
                &["https://a:5050", "https://a:5051"],
                Found::Port(5000),
            ),
            (HttpsPort::Never, &["https://a:5050"], Found::None),
        ] {
            assert_eq!(find(port, addresses), expected, "{port:?} {addresses:?}");
        }
    }
}
