//! URL prefixes: what to listen on, as text.
//!
//! The grammar is Kestrel's `scheme "://" host [":" port] ["/"]` and `scheme "://unix:/" path`, without its surprises:
//! text that looks like an address or a port but is none is refused instead of being taken for a host name, because
//! every host name listens on all addresses.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::path::PathBuf;

use super::options::Binding;

/// A parsed URL prefix.
///
/// ```
/// use stannel::UrlPrefix;
///
/// let prefix = UrlPrefix::parse("http://LOCALHOST:5000/").unwrap();
/// assert_eq!(prefix.to_string(), "http://localhost:5000");
/// assert!(UrlPrefix::parse("http://localhost:").is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UrlPrefix {
    scheme: String,
    host: String,
    port: i32,
    binding: Binding,
}

/// Why a URL prefix was refused.
///
/// ```
/// use stannel::{UrlError, UrlPrefix};
///
/// let error = UrlPrefix::parse("http://localhost:5000/app").unwrap_err();
/// assert!(matches!(error, UrlError::PathBase(_)));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum UrlError {
    /// It is no URL prefix; the second part says what is wrong with it.
    Invalid(String, &'static str),
    /// Its scheme is not served here.
    UnsupportedScheme(String),
    /// It has a path.
    PathBase(String),
    /// Its port is not between 0 and 65535.
    PortOutOfRange(String),
}

impl fmt::Display for UrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid(url, why) => write!(f, "invalid url \"{url}\": {why}"),
            Self::UnsupportedScheme(url) => write!(f, "unsupported scheme in \"{url}\"; use http://"),
            Self::PathBase(url) => write!(
                f,
                "\"{url}\" has a path; a server listens on hosts and ports only, remove it"
            ),
            Self::PortOutOfRange(url) => write!(f, "port out of range in \"{url}\"; use 0 to 65535"),
        }
    }
}

impl std::error::Error for UrlError {}

impl UrlPrefix {
    /// Reads a URL prefix.
    ///
    /// A missing port is 80. `*`, `+` and host names other than `localhost` mean every address. Case does not matter, and
    /// a lone slash behind the port is left out.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn parse(url: &str) -> Result<Self, UrlError> {
        let invalid = |why| UrlError::Invalid(url.to_owned(), why);
        let (scheme, rest) = url.split_once("://").ok_or_else(|| invalid("it has no \"://\""))?;
        let scheme = scheme.to_ascii_lowercase();
        if rest.starts_with("unix:/") {
            return Self::parse_unix(url, scheme, &rest["unix:".len()..]);
        }
        if let Some(name) = rest.strip_prefix("unix:@") {
            check_scheme(url, &scheme)?;
            let name = name.strip_suffix('/').unwrap_or(name);
            if name.is_empty() || name.contains(['/', ':']) {
                return Err(invalid("an abstract socket needs a name without \"/\" and \":\""));
            }
            let binding = Binding::UnixAbstract(name.to_owned());
            return Ok(Self {
                scheme,
                host: format!("unix:@{name}"),
                port: 0,
                binding,
            });
        }
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (host, port) = split_authority(authority).map_err(invalid)?;
        let port = port.unwrap_or(match scheme.as_str() {
            "http" => 80,
            "https" => 443,
            _ => 0,
        });
        check_scheme(url, &scheme)?;
        if !(path.is_empty() || path == "/") {
            return Err(UrlError::PathBase(url.to_owned()));
        }
        let port16 = u16::try_from(port).map_err(|_| UrlError::PortOutOfRange(url.to_owned()))?;
        let binding = binding_of(host, port16).map_err(invalid)?;
        Ok(Self {
            scheme,
            host: host.to_ascii_lowercase(),
            port,
            binding,
        })
    }

    fn parse_unix(url: &str, scheme: String, rest: &str) -> Result<Self, UrlError> {
        let (path, base) = rest.split_once(':').unwrap_or((rest, ""));
        check_scheme(url, &scheme)?;
        if !(base.is_empty() || base == "/") {
            return Err(UrlError::PathBase(url.to_owned()));
        }
        if path.ends_with('/') {
            return Err(UrlError::Invalid(
                url.to_owned(),
                "a Unix socket needs the path of a file",
            ));
        }
        Ok(Self {
            scheme,
            host: format!("unix:{path}"),
            port: 0,
            binding: Binding::Unix(PathBuf::from(path)),
        })
    }

    /// What to bind.
    #[must_use]
    pub fn binding(&self) -> &Binding {
        &self.binding
    }

    /// The scheme, in lower case.
    #[must_use]
    pub fn scheme(&self) -> &str {
        &self.scheme
    }
}

impl fmt::Display for UrlPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.host)?;
        match self.binding {
            Binding::Unix(_) | Binding::UnixAbstract(_) => Ok(()),
            _ => write!(f, ":{}", self.port),
        }
    }
}

fn check_scheme(url: &str, scheme: &str) -> Result<(), UrlError> {
    if scheme == "http" {
        Ok(())
    } else {
        Err(UrlError::UnsupportedScheme(url.to_owned()))
    }
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
        .map_err(|_| "behind \":\" there is no port number")
}

fn binding_of(host: &str, port: u16) -> Result<Binding, &'static str> {
    if host.eq_ignore_ascii_case("localhost") {
        return Ok(Binding::Localhost(port));
    }
    if let Some(address) = host.strip_prefix('[') {
        let address = address.strip_suffix(']').unwrap_or(address);
        let (address, zone) = address
            .split_once('%')
            .map_or((address, None), |(address, zone)| (address, Some(zone)));
        let address: Ipv6Addr = address.parse().map_err(|_| "the brackets hold no IPv6 address")?;
        let zone = match zone {
            None => 0,
            Some(zone) => zone
                .parse()
                .map_err(|_| "the zone of an IPv6 address is given by its number here")?,
        };
        return Ok(Binding::Address(SocketAddr::V6(SocketAddrV6::new(
            address, port, 0, zone,
        ))));
    }
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(Binding::Address(SocketAddr::new(address, port)));
    }
    let looks_like_an_address = host.split('.').count() >= 4 && host.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    if looks_like_an_address {
        return Err("it looks like an IPv4 address and is none");
    }
    Ok(Binding::AnyIp(port))
}

#[cfg(test)]
mod tests {
    use super::{UrlError, UrlPrefix};
    use crate::endpoint::Binding;

    #[test]
    fn hosts_say_what_to_bind() {
        let binding = |url: &str| UrlPrefix::parse(url).unwrap().binding().clone();
        assert_eq!(binding("http://localhost:5000"), Binding::Localhost(5000));
        assert_eq!(binding("HTTP://LocalHost/"), Binding::Localhost(80));
        assert_eq!(
            binding("http://127.0.0.1:0"),
            Binding::Address("127.0.0.1:0".parse().unwrap())
        );
        assert_eq!(
            binding("http://[::1]:8080/"),
            Binding::Address("[::1]:8080".parse().unwrap())
        );
        assert_eq!(binding("http://*:80"), Binding::AnyIp(80));
        assert_eq!(binding("http://example.com"), Binding::AnyIp(80));
        for url in [
            "http://unix:/tmp/s.sock",
            "http://unix:/tmp/s.sock:",
            "http://unix:/tmp/s.sock:/",
        ] {
            assert_eq!(binding(url), Binding::Unix("/tmp/s.sock".into()));
        }
        assert_eq!(
            binding("http://unix:@stannel"),
            Binding::UnixAbstract("stannel".to_owned())
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
            "http://[::1",
            "http://[nothing]",
            "http://a:1;http://b:2",
            "http://unix:/tmp/dir/",
        ] {
            assert!(
                matches!(UrlPrefix::parse(url), Err(UrlError::Invalid(..))),
                "{url}: {:?}",
                UrlPrefix::parse(url)
            );
        }
        for url in ["ftp://localhost", "://emptyscheme", "ftp://h/base"] {
            assert!(
                matches!(UrlPrefix::parse(url), Err(UrlError::UnsupportedScheme(_))),
                "{url}"
            );
        }
        for url in [
            "http://127.0.0.1:0/base",
            "http://h:80//",
            "http://h/foo?bar=baz",
            "http://unix:/s:5000/x",
        ] {
            assert!(matches!(UrlPrefix::parse(url), Err(UrlError::PathBase(_))), "{url}");
        }
        for url in ["http://h:70000", "http://h:-1"] {
            assert!(
                matches!(UrlPrefix::parse(url), Err(UrlError::PortOutOfRange(_))),
                "{url}"
            );
        }
    }

    #[test]
    fn the_text_is_canonical() {
        assert_eq!(
            UrlPrefix::parse("HTTP://Example.COM/").unwrap().to_string(),
            "http://example.com:80"
        );
        assert_eq!(
            UrlPrefix::parse("http://unix:/tmp/S.sock:").unwrap().to_string(),
            "http://unix:/tmp/S.sock"
        );
    }
}
