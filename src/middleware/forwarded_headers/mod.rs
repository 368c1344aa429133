//! What proxies say of the requests that they pass on.

mod change;
mod entries;
mod options;
mod trust;
mod walk;

pub use options::{ForwardedHeadersOptions, XForwarded};
pub use trust::{IpNetwork, KnownProxy};

use crate::handler::{Exchange, Forwarded, Handler, Headers, Outcome, Peer, Request};
use crate::http1::RawField;
use crate::http1::section::FieldLines;
use change::{changed, originals};
use walk::Rules;

/// Shows the handler inside the client behind trusted proxies, instead of the last of these; Kestrel's forwarded headers
/// middleware.
///
/// Each proxy adds to the fields `X-Forwarded-For`, `-Proto`, `-Host` and `-Prefix` what it knows of the hop before it. So
/// they are read from the right, an entry of each for every hop, as long as the hop that wrote them is a known proxy and
/// [`forward_limit`](ForwardedHeadersOptions::forward_limit) allows. An entry that is no address ends the walk, and the
/// first hop that is no known proxy is the client, whatever it says of others.
///
/// What was learned is in [`Request::client`], [`Request::scheme`], [`Request::host`] and [`Request::path_base`]. The
/// entries that were read are gone from the handler's [`Headers`], and what they replaced is in `X-Original-For`,
/// `-Proto`, `-Host` and `-Prefix`; the Host field says what `host` does. [`Request::peer`] stays what it is, and so do
/// observers, which see requests before any handler.
///
/// A scheme, host or prefix that is none is ignored; so is a prefix with `//` at its beginning or a backslash in it, since
/// a link that is made of it could lead to another host.
///
/// A peer on a Unix socket has no address: it is believed when [`KnownProxy::Unix`] is in the list, or everybody is.
///
/// ```
/// use stannel::middleware::{ForwardedHeaders, ForwardedHeadersOptions, KnownProxy, XForwarded};
/// use stannel::{Exchange, Request, StatusCode};
///
/// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/ask.rs"));
/// # fn main() {
/// let mut options = ForwardedHeadersOptions::default();
/// options.forwarded_headers = XForwarded::FOR | XForwarded::PROTO;
/// options.known_proxies.push(KnownProxy::Unix);
///
/// let who = |request: &Request<'_>, exchange: Exchange<'_>| {
///     let text = format!("{} by {}", request.client(), request.scheme());
///     exchange.respond(StatusCode::OK).send(text)
/// };
/// let factory = move || ForwardedHeaders::new(&options, who);
/// // A request that came over a Unix socket:
/// let request = "GET / HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 192.0.2.1, 192.0.2.2:99\r\nX-Forwarded-Proto: https\r\n\r\n";
/// assert!(ask(factory, request).ends_with("192.0.2.2:99 by https"));
/// # }
/// ```
#[derive(Debug)]
pub struct ForwardedHeaders<H> {
    rules: Rules,
    inner: H,
}

impl<H: Handler> ForwardedHeaders<H> {
    /// Puts itself before a handler.
    #[must_use]
    pub fn new(options: &ForwardedHeadersOptions, inner: H) -> Self {
        Self {
            rules: Rules::new(options),
            inner,
        }
    }

    /// Handles a request with fields that are read. It allocates a list of the fields, to change it.
    #[inline(never)]
    fn handle_forwarded(&mut self, request: &Request<'_>, exchange: Exchange<'_>) -> Outcome {
        let peer = request.client();
        if !self.rules.trusts(peer) {
            return self.inner.handle(request, exchange);
        }
        let fields = request.headers().iter().map(|(name, value)| RawField { name, value });
        let fields: Vec<RawField<'_>> = fields.collect();
        let Some(told) = self.rules.walk(peer, &fields) else {
            return self.inner.handle(request, exchange);
        };
        let originals = originals(request);
        let changed = changed(&self.rules.watched, &fields, &told, &originals);
        let host = told.host.or(*request.host);
        let before = request.forwarded.cloned().unwrap_or_default();
        let forwarded = Forwarded {
            client: told.client.map(Peer::Tcp).or(before.client),
            scheme: told.scheme.or(before.scheme),
            path_base: told.prefix.or(before.path_base),
        };
        let request = Request {
            headers: Headers::new(FieldLines::Read(&changed)),
            host: &host,
            forwarded: Some(&forwarded),
            ..*request
        };
        log::debug!(
            target: "stannel",
            "request {} by {peer} is one of {}: {} for the host {}",
            request.id(),
            request.client(),
            request.scheme(),
            request.host().unwrap_or("-")
        );
        self.inner.handle(&request, exchange)
    }
}

impl<H: Handler> Handler for ForwardedHeaders<H> {
    fn handle(&mut self, request: &Request<'_>, exchange: Exchange<'_>) -> Outcome {
        let has_forwarded = !self.rules.is_idle() && request.headers().iter().any(|(name, _)| self.rules.reads(name));
        if has_forwarded {
            self.handle_forwarded(request, exchange)
        } else {
            self.inner.handle(request, exchange)
        }
    }

    fn on_shutdown(&mut self) {
        self.inner.on_shutdown();
    }
}
