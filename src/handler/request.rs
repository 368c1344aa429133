//! What a handler sees of a request: everything borrows from the connection's input.

use crate::http1::host::Host;
use crate::http1::section::FieldLines;
use crate::http1::target::{Target, TargetForm};
use crate::http1::{Framing, RequestFacts};
use crate::tls::TlsInfo;
use http::{Method, Version};
use std::fmt;
use std::net::SocketAddr;

/// A request whose head has passed every check.
///
/// ```
/// use stannel::{Exchange, Handler, Outcome, Request, StatusCode};
///
/// fn greet(request: &Request<'_>, exchange: Exchange<'_>) -> Outcome {
///     let agent = request.headers().get_str("user-agent").unwrap_or("somebody");
///     exchange.respond(StatusCode::OK).send(format!("{} asks for {}", agent, request.path()))
/// }
/// ```
#[derive(Debug)]
pub struct Request<'a> {
    // References, because what they point to lies on the caller's stack already: a request is made for each request.
    pub(crate) method: &'a Method,
    pub(crate) target: &'a Target<'a>,
    pub(crate) headers: Headers<'a>,
    pub(crate) host: &'a Option<Host<'a>>,
    pub(crate) facts: &'a RequestFacts,
    pub(crate) connection: &'a ConnectionInfo,
    pub(crate) forwarded: Option<&'a Forwarded<'a>>,
    pub(crate) number: u32,
}

/// What a proxy said of a request that it passed on, where somebody believed it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Forwarded<'a> {
    pub(crate) client: Option<Peer>,
    pub(crate) scheme: Option<&'a str>,
    pub(crate) path_base: Option<&'a str>,
}

impl<'a> Request<'a> {
    /// The method, case-sensitive; unknown ones are [extension methods](http::Method).
    #[must_use]
    pub fn method(&self) -> &Method {
        self.method
    }

    /// The request target byte for byte as it was sent.
    #[must_use]
    pub fn target(&self) -> &str {
        self.target.raw()
    }

    /// Which of the four forms the target has (RFC 9112 §3.2).
    #[must_use]
    pub fn target_form(&self) -> TargetForm {
        self.target.form()
    }

    /// The path: percent-decoded but for `%2F`, without dot segments, always valid UTF-8. Empty for `*` and CONNECT.
    ///
    /// It may hold control characters that were sent encoded: escape it before it goes into a log or a page.
    #[must_use]
    pub fn path(&self) -> &str {
        self.target.path()
    }

    /// The query from its `?` on, never decoded; empty if there is none.
    #[must_use]
    pub fn query(&self) -> &str {
        self.target.query()
    }

    /// HTTP/1.1 or HTTP/1.0.
    #[must_use]
    pub fn version(&self) -> Version {
        if self.facts.is_http11() {
            Version::HTTP_11
        } else {
            Version::HTTP_10
        }
    }

    /// The fields in the order in which they came.
    #[must_use]
    pub fn headers(&self) -> Headers<'a> {
        self.headers
    }

    /// The host that the client wants, from the Host field, without port; an IPv6 address keeps its brackets. `None` only
    /// on HTTP/1.0. Its characters are checked, whether it is one of yours is not.
    #[must_use]
    pub fn host(&self) -> Option<&str> {
        self.host.as_ref().map(|host| host.name())
    }

    /// `https` if the connection is one of TLS, else `http`; or what a trusted proxy said that the client used, see
    /// [`ForwardedHeaders`](crate::middleware::ForwardedHeaders).
    #[must_use]
    pub fn scheme(&self) -> &str {
        let own = if self.connection.tls.is_some() { "https" } else { "http" };
        self.forwarded.and_then(|forwarded| forwarded.scheme).unwrap_or(own)
    }

    /// The part of the path that a trusted proxy took off, as it was sent; it is not a part of [`path`](Self::path).
    /// Links that are to lead through the proxy begin with it. Empty without [such a
    /// proxy](crate::middleware::ForwardedHeaders), as Kestrel's `PathBase`.
    #[must_use]
    pub fn path_base(&self) -> &str {
        self.forwarded
            .and_then(|forwarded| forwarded.path_base)
            .unwrap_or_default()
    }

    /// The port in the Host field, if it names one.
    #[must_use]
    pub fn host_port(&self) -> Option<u16> {
        self.host.as_ref().and_then(|host| host.port())
    }

    /// The declared length of the body; `None` if there is none or it is chunked.
    #[must_use]
    pub fn content_length(&self) -> Option<u64> {
        match self.facts.framing {
            Framing::Length(length) => Some(length),
            Framing::None | Framing::Chunked => None,
        }
    }

    /// Whether a body comes with the request: chunked, or a Content-Length above 0.
    #[must_use]
    pub fn has_body(&self) -> bool {
        !matches!(self.facts.framing, Framing::None | Framing::Length(0))
    }

    /// Whether [`Exchange::upgrade`](crate::Exchange::upgrade) can succeed: HTTP/1.1, `Connection: upgrade`, an Upgrade
    /// field and no body.
    #[must_use]
    pub fn is_upgradable(&self) -> bool {
        self.facts.upgradable()
    }

    /// What is known of the connection.
    #[must_use]
    pub fn connection(&self) -> &ConnectionInfo {
        self.connection
    }

    /// The address of whoever opened the connection, which may be a proxy.
    #[must_use]
    pub fn peer(&self) -> &Peer {
        &self.connection.peer
    }

    /// The address of whoever sent the request: the peer, or the client that a trusted proxy named; see
    /// [`ForwardedHeaders`](crate::middleware::ForwardedHeaders). Its port is 0 where the proxy told none.
    #[must_use]
    pub fn client(&self) -> &Peer {
        self.forwarded
            .and_then(|forwarded| forwarded.client.as_ref())
            .unwrap_or(&self.connection.peer)
    }

    /// Which request of its connection this is, from 1 on.
    #[must_use]
    pub fn number(&self) -> u32 {
        self.number
    }

    /// A name for this request that is unique across connections and restarts: the connection's id, a colon and eight
    /// hexadecimal digits, as Kestrel's `TraceIdentifier`. Made when asked for; it allocates.
    #[must_use]
    pub fn id(&self) -> String {
        format!("{}:{:08X}", self.connection.id(), self.number)
    }

    /// An owned copy in the words of the `http` crate. It allocates.
    ///
    /// # Errors
    /// When the `http` crate refuses what HTTP allows, such as a target with `"` in it.
    pub fn to_parts(&self) -> Result<http::request::Parts, http::Error> {
        let mut builder = http::Request::builder()
            .method(self.method.clone())
            .uri(self.target.raw())
            .version(self.version());
        for (name, value) in self.headers.iter() {
            builder = builder.header(name, value);
        }
        Ok(builder.body(())?.into_parts().0)
    }
}

/// Field lines in the order in which they came; names compare without regard to case, repeated names stay apart.
///
/// ```
/// # use stannel::{Exchange, Outcome, Request, StatusCode};
/// fn cookies(request: &Request<'_>, exchange: Exchange<'_>) -> Outcome {
///     let count = request.headers().get_all("cookie").count();
///     exchange.respond(StatusCode::OK).send(count.to_string())
/// }
/// ```
#[derive(Clone, Copy)]
pub struct Headers<'a> {
    fields: FieldLines<'a>,
}

impl<'a> Headers<'a> {
    pub(crate) fn new(fields: FieldLines<'a>) -> Self {
        Self { fields }
    }

    /// Names as sent, values without the white space around them.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&'a str, &'a [u8])> + use<'a> {
        self.fields.iter().map(|field| (field.name, field.value))
    }

    /// The first value with that name.
    #[must_use]
    pub fn get(&self, name: impl AsRef<str>) -> Option<&'a [u8]> {
        let name = name.as_ref();
        self.fields
            .iter()
            .find(|field| field.name.eq_ignore_ascii_case(name))
            .map(|field| field.value)
    }

    /// The first value with that name, if it is valid UTF-8.
    #[must_use]
    pub fn get_str(&self, name: impl AsRef<str>) -> Option<&'a str> {
        self.get(name).and_then(|value| std::str::from_utf8(value).ok())
    }

    /// Every value with that name.
    pub fn get_all<'n>(&self, name: &'n str) -> impl Iterator<Item = &'a [u8]> + use<'a, 'n> {
        self.fields
            .iter()
            .filter(move |field| field.name.eq_ignore_ascii_case(name))
            .map(|field| field.value)
    }

    /// How many fields there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.fields.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.fields.len() == 0
    }
}

impl fmt::Debug for Headers<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map()
            .entries(
                self.iter()
                    .map(|(name, value)| (name, value.escape_ascii().to_string())),
            )
            .finish()
    }
}

/// Who is at the other end of the socket, which may be a proxy: X-Forwarded-For is a plain field, because only you know
/// whose you trust. [`ForwardedHeaders`](crate::middleware::ForwardedHeaders) is told, and [`Request::client`] follows.
///
/// ```
/// use stannel::{Peer, Request};
///
/// fn is_local(request: &Request<'_>) -> bool {
///     match request.peer() {
///         Peer::Tcp(address) => address.ip().is_loopback(),
///         Peer::Unix => true,
///         _ => false,
///     }
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Peer {
    /// A TCP client.
    Tcp(SocketAddr),
    /// A client of a Unix socket; those have no address worth the name.
    Unix,
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "{address}"),
            Self::Unix => f.write_str("unix"),
        }
    }
}

/// What is known of a connection; [`Request::connection`] and the hooks of an [`Observer`](crate::Observer) show it.
///
/// ```
/// use stannel::{ConnectionInfo, Peer};
///
/// assert_eq!(ConnectionInfo::new(32, Peer::Unix).id(), "0000000000010");
/// ```
#[derive(Clone, Debug)]
pub struct ConnectionInfo {
    pub(crate) id: u64,
    pub(crate) peer: Peer,
    pub(crate) tls: Option<Box<TlsInfo>>,
}

impl ConnectionInfo {
    /// For whoever drives a [`Connection`](crate::connection::Connection) without a server, and numbers connections.
    #[must_use]
    pub fn new(id: u64, peer: Peer) -> Self {
        Self { id, peer, tls: None }
    }

    /// 13 characters, base 32, unique across restarts and sortable as text, as Kestrel's connection ids.
    #[must_use]
    pub fn id(&self) -> String {
        ConnectionId(self.id).to_string()
    }

    /// The address of whoever opened the connection.
    #[must_use]
    pub fn peer(&self) -> &Peer {
        &self.peer
    }

    /// What the TLS handshake agreed on; `None` on plain connections, and before it is over.
    #[must_use]
    pub fn tls(&self) -> Option<&TlsInfo> {
        self.tls.as_deref()
    }
}

/// Writes an id without allocating.
pub(crate) struct ConnectionId(pub(crate) u64);

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const DIGITS: &[u8; 32] = b"0123456789ABCDEFGHIJKLMNOPQRSTUV";
        // The first character holds the top four bits, each further one five.
        (0..13).rev().try_for_each(|place| {
            let digit = DIGITS[(self.0 >> (place * 5)) as usize & 31];
            fmt::Write::write_char(f, digit as char)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::ConnectionId;

    #[test]
    fn ids_have_thirteen_sortable_characters() {
        assert_eq!(ConnectionId(0).to_string(), "0000000000000");
        assert_eq!(ConnectionId(u64::MAX).to_string(), "FVVVVVVVVVVVV");
        assert_eq!(ConnectionId(32).to_string(), "0000000000010");
        assert!(ConnectionId(0x0800_0000_0000_0001).to_string() < ConnectionId(0x0800_0000_0000_0002).to_string());
    }
}
