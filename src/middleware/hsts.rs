//! Browsers are told to come by HTTPS from now on.

use crate::handler::{Exchange, Handler, Outcome, Request};
use std::sync::Arc;
use std::time::Duration;

/// What browsers are told (RFC 6797); Kestrel's `HstsOptions`.
///
/// ```
/// use stannel::middleware::HstsOptions;
/// use std::time::Duration;
///
/// let mut options = HstsOptions::default();
/// options.max_age = Some(Duration::from_secs(365 * 24 * 60 * 60));
/// options.include_sub_domains = true;
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HstsOptions {
    /// How long a browser will use nothing but HTTPS for the host, in whole seconds; 0 makes it forget what it was told
    /// before, `None`: it is told nothing. Default: 30 days, so that a mistake has an end.
    pub max_age: Option<Duration>,
    /// Whether it holds for everything below the host's name too. Default: no.
    pub include_sub_domains: bool,
    /// Whether the host may be put into the lists that browsers come with. Default: no; it takes long to get out again.
    pub preload: bool,
    /// Hosts that browsers are not told of, without ports; case makes no difference, an IPv6 address has brackets. Default:
    /// `localhost`, `127.0.0.1` and `[::1]`, because other programs are tried out there without HTTPS.
    pub excluded_hosts: Vec<String>,
}

impl Default for HstsOptions {
    fn default() -> Self {
        Self {
            max_age: Some(Duration::from_secs(30 * 24 * 60 * 60)),
            include_sub_domains: false,
            preload: false,
            excluded_hosts: ["localhost", "127.0.0.1", "[::1]"].map(str::to_owned).to_vec(),
        }
    }
}

impl HstsOptions {
    fn value(&self) -> Option<Arc<str>> {
        let mut value = format!("max-age={}", self.max_age?.as_secs());
        if self.include_sub_domains {
            value.push_str("; includeSubDomains");
        }
        if self.preload {
            value.push_str("; preload");
        }
        Some(value.into())
    }
}

/// Adds `Strict-Transport-Security` to the responses to https requests, unless the host is excluded or the handler inside
/// set that field itself; Kestrel's HSTS.
///
/// A request is https if its connection is, or if a trusted proxy said so
/// ([`ForwardedHeaders`](super::ForwardedHeaders) has to stand before this). It is in every response behind the handler, a
/// failure's too.
///
/// ```
/// use stannel::middleware::{ForwardedHeaders, ForwardedHeadersOptions, Hsts, HstsOptions, XForwarded};
/// use stannel::{Exchange, Request, StatusCode};
///
/// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/ask.rs"));
/// # fn main() {
/// let hello = |_: &Request<'_>, exchange: Exchange<'_>| exchange.respond(StatusCode::OK).send("hello");
/// let proxies = ForwardedHeadersOptions::trusting_everybody();
/// let factory = move || ForwardedHeaders::new(&proxies, Hsts::new(&HstsOptions::default(), hello));
///
/// let plain = "GET / HTTP/1.1\r\nHost: example.com\r\n\r\n";
/// assert!(!ask(factory.clone(), plain).contains("Strict-Transport-Security"));
/// let https = "GET / HTTP/1.1\r\nHost: example.com\r\nX-Forwarded-Proto: https\r\n\r\n";
/// assert!(ask(factory, https).contains("\r\nStrict-Transport-Security: max-age=2592000\r\n"));
/// # }
/// ```
#[derive(Debug)]
pub struct Hsts<H> {
    value: Option<Arc<str>>,
    excluded_hosts: Vec<String>,
    inner: H,
}

impl<H: Handler> Hsts<H> {
    /// Puts itself before a handler.
    #[must_use]
    pub fn new(options: &HstsOptions, inner: H) -> Self {
        Self {
            value: options.value(),
            excluded_hosts: options.excluded_hosts.clone(),
            inner,
        }
    }

    /// Whether the host's browsers are told. A request without a host is not excluded.
    fn tells(&self, request: &Request<'_>) -> bool {
        if !request.scheme().eq_ignore_ascii_case("https") {
            log::trace!(target: "stannel", "no Strict-Transport-Security: the request is not https");
            return false;
        }
        let host = request.host().unwrap_or_default();
        let is_excluded = self
            .excluded_hosts
            .iter()
            .any(|excluded| excluded.eq_ignore_ascii_case(host));
        if is_excluded {
            log::debug!(target: "stannel", "no Strict-Transport-Security: the host {host} is excluded");
        }
        !is_excluded
    }
}

impl<H: Handler> Handler for Hsts<H> {
    fn handle(&mut self, request: &Request<'_>, exchange: Exchange<'_>) -> Outcome {
        if let Some(value) = &self.value
            && self.tells(request)
        {
            exchange.state.current.transport_security = Some(value.clone());
        }
        self.inner.handle(request, exchange)
    }

    fn on_shutdown(&mut self) {
        self.inner.on_shutdown();
    }
}

#[cfg(test)]
mod tests {
    use super::HstsOptions;
    use std::time::Duration;

    #[test]
    fn values_are_whole_seconds_and_switches() {
        for (max_age, include_sub_domains, preload, value) in [
            (Some(Duration::from_millis(1999)), false, false, Some("max-age=1")),
            (Some(Duration::ZERO), true, false, Some("max-age=0; includeSubDomains")),
            (Some(Duration::from_secs(5)), false, true, Some("max-age=5; preload")),
            (
                Some(Duration::MAX),
                true,
                true,
                Some("max-age=18446744073709551615; includeSubDomains; preload"),
            ),
            (None, true, true, None),
        ] {
            let options = HstsOptions {
                max_age,
                include_sub_domains,
                preload,
                ..HstsOptions::default()
            };
            assert_eq!(options.value().as_deref(), value);
        }
    }
}
