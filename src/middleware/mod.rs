//! Handlers that are here already: a folder of files, a page that says it works, and four that stand before another
//! handler: only the hosts that are served ([`HostFiltering`]), the client behind a proxy ([`ForwardedHeaders`]), nothing
//! but HTTPS ([`HttpsRedirection`]), from now on ([`Hsts`]).
//!
//! Where several are wanted, they stand in this order from the outside: `HostFiltering`, `ForwardedHeaders`, `Hsts`,
//! `HttpsRedirection`.
//!
//! ```no_run
//! use stannel::middleware::StaticFiles;
//! use stannel::{Exchange, Handler, Outcome, Request, StatusCode};
//!
//! /// Files, and one address that is computed.
//! #[derive(Clone)]
//! struct Site(StaticFiles);
//!
//! impl Handler for Site {
//!     fn handle(&mut self, request: &Request<'_>, exchange: Exchange<'_>) -> Outcome {
//!         match request.path() {
//!             "/health" => exchange.respond(StatusCode::OK).send("fine"),
//!             _ => self.0.handle(request, exchange),
//!         }
//!     }
//! }
//!
//! # fn main() -> std::io::Result<()> {
//! let site = Site(StaticFiles::new("site")?);
//! let factory = move || site.clone();
//! # let _ = factory;
//! # Ok(()) }
//! ```

mod forwarded_headers;
mod host_filtering;
mod hosts;
mod hsts;
mod https_redirection;
mod static_files;
mod welcome;

pub use forwarded_headers::{ForwardedHeaders, ForwardedHeadersOptions, IpNetwork, KnownProxy, XForwarded};
pub use host_filtering::{HostFilter, HostFiltering, HostFilteringOptions, NoAllowedHosts};
pub use hsts::{Hsts, HstsOptions};
pub use https_redirection::{HttpsPort, HttpsRedirection, HttpsRedirectionOptions, HttpsRedirector};
pub use static_files::StaticFiles;
pub use welcome::WelcomePage;

use crate::handler::{Exchange, Outcome, Request, ResponseHead};
use http::header::{ALLOW, CONTENT_TYPE};
use http::{Method, StatusCode};

const TEXT: &str = "text/plain; charset=utf-8";

/// Whether the method only looks.
fn is_read(request: &Request<'_>) -> bool {
    matches!(request.method(), &Method::GET | &Method::HEAD)
}

/// An answer that says nothing but its status.
fn refuse(exchange: Exchange<'_>, status: StatusCode) -> Outcome {
    say(exchange.respond(status), status)
}

/// RFC 9110 §15.5.6: 405 says which methods there are.
fn refuse_method(exchange: Exchange<'_>) -> Outcome {
    let status = StatusCode::METHOD_NOT_ALLOWED;
    say(exchange.respond(status).header(ALLOW, "GET, HEAD"), status)
}

/// The short body of an answer without another one.
fn say(head: ResponseHead<'_>, status: StatusCode) -> Outcome {
    let reason = status.canonical_reason().unwrap_or_default();
    head.header(CONTENT_TYPE, TEXT)
        .send(format!("{} {reason}\n", status.as_str()))
}

/// Text as it stands in HTML, between tags or in an attribute with double quotes.
fn escape_html(text: &str, out: &mut String) {
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            // A control character has no place in a page, but its name may.
            c if c.is_control() => out.push(char::REPLACEMENT_CHARACTER),
            c => out.push(c),
        }
    }
}

/// A path segment as it stands in a URL: everything but unreserved characters is encoded (RFC 3986 §2.3), so that no
/// name can pass for a scheme, a host, a query or a dot segment of its own making.
fn percent_encode(segment: &str, out: &mut String) {
    for &byte in segment.as_bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push('%');
            for digit in [byte >> 4, byte & 15] {
                out.push(char::from(b"0123456789ABCDEF"[usize::from(digit)]));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{escape_html, percent_encode};

    #[test]
    fn nothing_in_a_name_is_markup() {
        let mut out = String::new();
        escape_html("<a href='x' b=\"y\">&\u{7}é", &mut out);
        assert_eq!(out, "&lt;a href=&#39;x&#39; b=&quot;y&quot;&gt;&amp;\u{fffd}é");
    }

    #[test]
    fn nothing_in_a_name_is_a_delimiter() {
        let mut out = String::new();
        percent_encode("a-b._~ javascript:%2F?#\\é", &mut out);
        assert_eq!(out, "a-b._~%20javascript%3A%252F%3F%23%5C%C3%A9");
    }
}
