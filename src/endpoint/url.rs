//! URL prefixes: what to listen on, as text.
//!
//! The grammar is Kestrel's `scheme "://" host [":" port] ["/"]` and `scheme "://unix:/" path`, without its surprises:
//! text that looks like an address or a port but is none is refused instead of being taken for a host name, because
//! every host name listens on all addresses.

use super::binding::Binding;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, ToSocketAddrs};
use std::path::PathBuf;

/// A parsed URL prefix. What it means is judged when an endpoint is made of it.
///
/// ```
/// use stannel::UrlPrefix;
///
/// let prefix = UrlPrefix::parse("http://LOCALHOST:5000/").unwrap();
/// assert_eq!(prefix.to_string(), "http://localhost:5000");
/// assert_eq!((prefix.scheme(), prefix.host(), prefix.port()), ("http", "localhost", 5000));
/// assert!(UrlPrefix::parse("http://localhost:").is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UrlPrefix {
    /// As it was written, for messages.
    url: String,
    scheme: String,
    host: String,
    port: i32,
    path_base: String,
}

/// Why a URL prefix was refused.
///
/// ```
/// use stannel::{ServerOptions, UrlError};
///
/// let mut options = ServerOptions::default();
/// let error = options.listen_url("http://localhost:5000/app").unwrap_err();
/// assert!(matches!(error, UrlError::PathBase(_)));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum UrlError {
    /// It is no URL prefix; the second part says what is wrong with it.
    Invalid(String, &'static str),
    /// Its scheme is neither http nor https.
    UnsupportedScheme(String),
    /// It has a path.
    PathBase(String),
    /// Its port is not between 0 and 65535.
    PortOutOfRange(String),
    /// Its IPv6 zone is no network interface of this machine.
    UnknownZone(String),
}

impl fmt::Display for UrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid(url, why) => write!(f, "invalid url \"{}\": {why}", url.escape_debug()),
            Self::UnsupportedScheme(url) => write!(
                f,
                "unsupported scheme in \"{}\"; write http:// or https://",
                url.escape_debug()
            ),
            Self::PathBase(url) => write!(
                f,
                "\"{}\" has a path; a server listens on hosts and ports only, remove it",
                url.escape_debug()
            ),
            Self::PortOutOfRange(url) => {
                write!(f, "port out of range in \"{}\"; use 0 to 65535", url.escape_debug())
            }
            Self::UnknownZone(url) => write!(
                f,
                "\"{}\" names a zone that is no network interface of this machine; `ip link` lists them",
                url.escape_debug()
            ),
        }
    }
}

impl std::error::Error for UrlError {}

/// What a URL prefix asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UrlAddress {
    pub(crate) binding: Binding,
    pub(crate) is_https: bool,
    /// The `.localhost` name.
    pub(crate) host: Option<String>,
}

impl UrlPrefix {
    /// Reads a URL prefix.
    ///
    /// A missing port is 80, or 443 for https. Case does not matter, and a lone slash at the end is left out.
    ///
    /// # Errors
    /// [`UrlError::Invalid`] says what is wrong with it.
    pub fn parse(url: &str) -> Result<Self, UrlError> {
        let invalid = |why| UrlError::Invalid(url.to_owned(), why);
        let (scheme, rest) = url.split_once("://").ok_or_else(|| invalid("it has no \"://\""))?;
        let scheme = scheme.to_ascii_lowercase();
        let without_slash = |path: &str| path.strip_suffix('/').unwrap_or(path).to_owned();
        if let Some(socket) = rest.strip_prefix("unix:")
            && socket.starts_with(['/', '@'])
        {
            let (name, path_base) = socket.split_once(':').unwrap_or((socket, ""));
            let name = match name.strip_prefix('@') {
                Some(_) => name.strip_suffix('/').unwrap_or(name),
                None => name,
            };
            check_socket_name(name).map_err(invalid)?;
            return Ok(Self {
                url: url.to_owned(),
                scheme,
                host: format!("unix:{name}"),
                port: 0,
                path_base: without_slash(path_base),
            });
        }
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (host, port) = split_authority(authority).map_err(invalid)?;
        check_host(host).map_err(invalid)?;
        let port = port.unwrap_or(match scheme.as_str() {
            "http" => 80,
            "https" => 443,
            _ => 0,
        });
        Ok(Self {
            url: url.to_owned(),
            scheme,
            host: host.to_lowercase(),
            port,
            path_base: without_slash(path),
        })
    }

    /// The scheme, in lower case.
    #[must_use]
    pub fn scheme(&self) -> &str {
        &self.scheme
    }

    /// The host, in lower case; `unix:` and the path for a Unix socket.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port, which is not checked yet; 0 for a Unix socket.
    #[must_use]
    pub fn port(&self) -> i32 {
        self.port
    }

    /// The path, which has to be empty for an endpoint.
    #[must_use]
    pub fn path_base(&self) -> &str {
        &self.path_base
    }

    /// What it asks for.
    pub(crate) fn address(&self) -> Result<UrlAddress, UrlError> {
        let is_https = match self.scheme.as_str() {
            "http" => false,
            "https" => true,
            _ => return Err(UrlError::UnsupportedScheme(self.url.clone())),
        };
        if !self.path_base.is_empty() {
            return Err(UrlError::PathBase(self.url.clone()));
        }
        let mut host = None;
        let binding = if let Some(socket) = self.host.strip_prefix("unix:") {
            match socket.strip_prefix('@') {
                Some(name) => Binding::UnixAbstract(name.to_owned()),
                None => Binding::Unix(PathBuf::from(socket)),
            }
        } else {
            let port = u16::try_from(self.port).map_err(|_| UrlError::PortOutOfRange(self.url.clone()))?;
            if self.host == "localhost" {
                Binding::Localhost(port)
            } else if is_localhost_name(&self.host) {
                host = Some(self.host.clone());
                Binding::Localhost(port)
            } else if let Some(address) = self.host.strip_prefix('[') {
                let address = address.strip_suffix(']').unwrap_or(address);
                let address = ipv6(address, port).ok_or_else(|| UrlError::UnknownZone(self.url.clone()))?;
                Binding::Address(address)
            } else if let Some(address) = ipv4(&self.host) {
                Binding::Address(SocketAddr::new(IpAddr::V4(address), port))
            } else {
                Binding::AnyIp(port)
            }
        };
        Ok(UrlAddress {
            binding,
            is_https,
            host,
        })
    }
}

impl fmt::Display for UrlPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.host)?;
        if self.host.starts_with("unix:") {
            Ok(())
        } else {
            write!(f, ":{}", self.port)
        }
    }
}

fn check_socket_name(name: &str) -> Result<(), &'static str> {
    if name == "@" || name.starts_with('@') && name.contains('/') {
        return Err("an abstract socket needs a name without \"/\" and \":\"");
    }
    if name.ends_with('/') {
        return Err("a Unix socket needs the path of a file");
    }
    Ok(())
}

/// Host and port of an authority; brackets belong to the host.
fn split_authority(authority: &str) -> Result<(&str, Option<i32>), &'static str> {
    if authority.contains(|c: char| c.is_whitespace() || matches!(c, '@' | '?' | '#')) {
        return Err("a host has no blank, \"@\", \"?\" or \"#\"");
    }
    let host_end = match authority.strip_prefix('[') {
        Some(inner) => inner.find(']').ok_or("\"[\" without \"]\"")? + 2,
        None => authority.find(':').unwrap_or(authority.len()),
    };
    let (host, port) = authority.split_at(host_end);
    if host.is_empty() {
        if port.starts_with("::") {
            return Err("an IPv6 address stands in brackets: http://[::1]:5000");
        }
        return Err("it has no host; use localhost, an address or *");
    }
    if port.is_empty() {
        return Ok((host, None));
    }
    let port = port.strip_prefix(':').ok_or("behind \"]\" only a port may follow")?;
    if port.contains(';') {
        return Err("it is a list; give each URL by itself");
    }
    port.parse::<i32>()
        .map(|port| (host, Some(port)))
        .map_err(|_| "behind \":\" there is no port number; an IPv6 address stands in brackets")
}

/// Refuses what looks like an address and is none.
fn check_host(host: &str) -> Result<(), &'static str> {
    if let Some(address) = host.strip_prefix('[') {
        let address = address.strip_suffix(']').unwrap_or(address);
        let address = address.split_once('%').map_or(address, |(address, _)| address);
        return match address.parse::<Ipv6Addr>() {
            Ok(_) => Ok(()),
            Err(_) => Err("the brackets hold no IPv6 address"),
        };
    }
    if host.contains(['[', ']']) {
        return Err("brackets stand around the whole of an IPv6 address");
    }
    let is_numeric = host.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let groups = host.split('.').filter(|group| !group.is_empty()).count();
    if is_numeric && groups == 4 && ipv4(host).is_none() {
        return Err("it looks like an IPv4 address and is none");
    }
    Ok(())
}

/// A name below `localhost`: RFC 6761 §6.3 gives them all the loopback addresses.
fn is_localhost_name(host: &str) -> bool {
    host.strip_suffix(".localhost").is_some_and(|name| !name.is_empty())
}

/// An IPv4 address in all the spellings of `inet_aton`: one to four numbers, decimal, octal or hexadecimal, the last of
/// which fills what is left.
fn ipv4(host: &str) -> Option<Ipv4Addr> {
    let parts: Vec<&str> = host.split('.').collect();
    let (last, first) = parts.split_last()?;
    if first.len() > 3 {
        return None;
    }
    let mut address = 0_u32;
    for part in first {
        address = address << 8 | number(part).filter(|&number| number < 256)?;
    }
    let bits = 32 - 8 * u32::try_from(first.len()).ok()?;
    let last = number(last)?;
    if bits == 32 {
        return Some(Ipv4Addr::from(last));
    }
    (last >> bits == 0).then(|| Ipv4Addr::from(address << bits | last))
}

/// A number as C writes it.
fn number(text: &str) -> Option<u32> {
    let lower = text.to_ascii_lowercase();
    let (digits, radix) = match lower.strip_prefix("0x") {
        Some(digits) => (digits, 16),
        None if text.len() > 1 && text.starts_with('0') => (&text[1..], 8),
        None => (text, 10),
    };
    if digits.starts_with('+') {
        return None;
    }
    u32::from_str_radix(digits, radix).ok()
}

/// An IPv6 address with its zone, which is a number or the name of a network interface.
fn ipv6(text: &str, port: u16) -> Option<SocketAddr> {
    let Some((address, zone)) = text.split_once('%') else {
        return Some(SocketAddr::new(IpAddr::V6(text.parse().ok()?), port));
    };
    if let Ok(zone) = zone.parse() {
        let address = address.parse().ok()?;
        return Some(SocketAddr::V6(SocketAddrV6::new(address, port, 0, zone)));
    }
    // The system's resolver knows the interfaces; an address is not looked up anywhere.
    (text, port).to_socket_addrs().ok()?.find(SocketAddr::is_ipv6)
}

#[cfg(test)]
mod tests {
    use super::{UrlError, UrlPrefix};
    use crate::endpoint::Binding;

    fn binding(url: &str) -> Result<Binding, UrlError> {
        UrlPrefix::parse(url)?.address().map(|address| address.binding)
    }

    #[test]
    fn hosts_say_what_to_bind() {
        let address = |text: &str| Binding::Address(text.parse().unwrap());
        for (url, expected) in [
            ("http://localhost:5000", Binding::Localhost(5000)),
            ("HTTP://LocalHost/", Binding::Localhost(80)),
            ("https://localhost", Binding::Localhost(443)),
            ("http://app.LOCALHOST:1", Binding::Localhost(1)),
            ("http://.localhost:1", Binding::AnyIp(1)),
            ("http://localhost.:1", Binding::AnyIp(1)),
            ("http://127.0.0.1:0", address("127.0.0.1:0")),
            ("http://[::1]:8080/", address("[::1]:8080")),
            ("http://[fe80::1%1]:8080/", address("[fe80::1%1]:8080")),
            ("http://[fe80::1%lo]:8080/", address("[fe80::1%1]:8080")),
            ("http://5000", address("0.0.19.136:80")),
            ("http://127.1", address("127.0.0.1:80")),
            ("http://0x7f000001:84", address("127.0.0.1:84")),
            ("http://0177.0.0.01", address("127.0.0.1:80")),
            ("http://4294967295", address("255.255.255.255:80")),
            ("http://4294967296", Binding::AnyIp(80)),
            ("http://1.2.3.4.5:83", Binding::AnyIp(83)),
            ("http://1.256", address("1.0.1.0:80")),
            ("http://*:80", Binding::AnyIp(80)),
            ("http://+:+80", Binding::AnyIp(80)),
            ("http://example.com", Binding::AnyIp(80)),
            ("http://unix:/tmp/s.sock", Binding::Unix("/tmp/s.sock".into())),
            ("http://unix:/tmp/s.sock:", Binding::Unix("/tmp/s.sock".into())),
            ("https://unix:/tmp/s.sock:/", Binding::Unix("/tmp/s.sock".into())),
            ("http://unix:@stannel", Binding::UnixAbstract("stannel".to_owned())),
        ] {
            assert_eq!(binding(url), Ok(expected), "{url}");
        }
        let address = UrlPrefix::parse("https://App.localhost:7").unwrap().address().unwrap();
        assert_eq!(
            (address.is_https, address.host.as_deref()),
            (true, Some("app.localhost"))
        );
    }

    #[test]
    fn what_is_no_prefix_is_refused_by_kind() {
        for url in [
            "",
            "5000",
            "//noscheme",
            "http:/asdf",
            "://",
            "http://",
            "http://:5000",
            "http:///",
            "http://localhost:",
            "http://h:NOTAPORT",
            "http://h:99999999999",
            "http://::1",
            "http://user@h:80",
            "http://h?x",
            "http://256.1.1.1",
            "http://1.2.3.4.",
            "http://1.2..3.999",
            "http://[::1",
            "http://[nothing]",
            "http://x[::1]",
            "http://a:1;http://b:2",
            "http://unix:/tmp/dir/",
            "http://unix:/",
            "http://unix:@",
            "http://unix:@a/b",
            "http://unix:foo/tmp/s",
            "http://UNIX:/tmp/s",
            "ftp://localhost:/",
        ] {
            let error = UrlPrefix::parse(url).unwrap_err();
            assert!(matches!(error, UrlError::Invalid(..)), "{url}: {error:?}");
        }
        for url in [
            "ftp://localhost",
            "://emptyscheme",
            "ftp://h/base",
            " http://a",
            "ftp://unix:/a:b",
        ] {
            assert!(matches!(binding(url), Err(UrlError::UnsupportedScheme(_))), "{url}");
        }
        for url in [
            "http://127.0.0.1:0/base",
            "http://h:80//",
            "http://h/foo?bar=baz",
            "http://unix:/s:5000/x",
            "http://h:70000/x",
        ] {
            assert!(matches!(binding(url), Err(UrlError::PathBase(_))), "{url}");
        }
        for url in ["http://h:70000", "http://h:-1", "http://[::1]:-5"] {
            assert!(matches!(binding(url), Err(UrlError::PortOutOfRange(_))), "{url}");
        }
        let unknown = binding("http://[fe80::1%no-such-interface]:80");
        assert!(matches!(unknown, Err(UrlError::UnknownZone(_))), "{unknown:?}");
    }

    #[test]
    fn the_text_is_canonical() {
        for (url, canonical) in [
            ("HTTP://Example.COM/", "http://example.com:80"),
            ("http://unix:/tmp/S.sock:", "http://unix:/tmp/S.sock"),
            ("://emptyscheme", "://emptyscheme:0"),
        ] {
            assert_eq!(UrlPrefix::parse(url).unwrap().to_string(), canonical);
        }
    }
}
