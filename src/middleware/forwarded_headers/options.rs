//! What is believed of whom.

use super::trust::{IpNetwork, KnownProxy};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::{BitOr, BitOrAssign};

/// Which of the fields are read; Kestrel's enumeration `ForwardedHeaders`.
///
/// ```
/// use stannel::middleware::XForwarded;
///
/// let fields = XForwarded::FOR | XForwarded::PROTO;
/// assert_eq!(XForwarded::from_text("for, PROTO"), Some(fields));
/// assert!(fields.contains(XForwarded::FOR) && !XForwarded::NONE.contains(XForwarded::FOR));
/// assert_eq!(fields.to_string(), "For, Proto");
/// ```
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct XForwarded(u8);

impl XForwarded {
    /// None of them.
    pub const NONE: Self = Self(0);
    /// `X-Forwarded-For`: the client's address.
    pub const FOR: Self = Self(1);
    /// `X-Forwarded-Proto`: the scheme that the client used.
    pub const PROTO: Self = Self(2);
    /// `X-Forwarded-Host`: the host that the client asked for.
    pub const HOST: Self = Self(4);
    /// `X-Forwarded-Prefix`: the part of the path that the proxy took off.
    pub const PREFIX: Self = Self(8);
    /// All of them.
    pub const ALL: Self = Self(15);

    const NAMES: [(&'static str, Self); 4] = [
        ("For", Self::FOR),
        ("Proto", Self::PROTO),
        ("Host", Self::HOST),
        ("Prefix", Self::PREFIX),
    ];

    /// Whether all of `other` is in it.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Reads `For`, `Proto`, `Host` and `Prefix` in any case, with commas between; nothing at all is none of them.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        if text.trim().is_empty() {
            return Some(Self::NONE);
        }
        text.split(',').try_fold(Self::NONE, |fields, part| {
            let named = Self::NAMES
                .iter()
                .find(|(name, _)| name.eq_ignore_ascii_case(part.trim()));
            named.map(|&(_, field)| fields | field)
        })
    }
}

impl BitOr for XForwarded {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOrAssign for XForwarded {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

impl fmt::Display for XForwarded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = Self::NAMES.iter().filter(|(_, field)| self.contains(*field));
        let names: Vec<&str> = names.map(|(name, _)| *name).collect();
        match names.as_slice() {
            [] => f.write_str("None"),
            names => f.write_str(&names.join(", ")),
        }
    }
}

impl fmt::Debug for XForwarded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What is read of which proxies; Kestrel's `ForwardedHeadersOptions`.
///
/// Nothing is read by default. Whoever turns something on has to say which proxies there are, and to see to it that these
/// set or remove each field that is turned on: what a proxy passes on unread, its clients wrote.
///
/// ```
/// use stannel::middleware::{ForwardedHeadersOptions, IpNetwork, XForwarded};
///
/// let mut options = ForwardedHeadersOptions::default();
/// options.forwarded_headers = XForwarded::FOR | XForwarded::PROTO;
/// options.known_networks.extend(IpNetwork::from_text("10.0.0.0/8"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ForwardedHeadersOptions {
    /// Which fields are read. Default: none.
    pub forwarded_headers: XForwarded,
    /// How many entries of each list are read, from the right, and 256 at most; `None`: the known proxies alone say where
    /// to stop. Default: 1, for one proxy, whose own entry that is.
    pub forward_limit: Option<usize>,
    /// The proxies that are believed. If neither these nor networks are given, everybody is. Default: `::1`.
    pub known_proxies: Vec<KnownProxy>,
    /// The networks whose addresses are believed. Default: 127.0.0.0/8.
    pub known_networks: Vec<IpNetwork>,
    /// The hosts that `X-Forwarded-Host` may name, by the rules of [`allowed_hosts`] of the host filter; others are
    /// ignored. Default: none, which allows all.
    ///
    /// [`allowed_hosts`]: crate::middleware::HostFilteringOptions::allowed_hosts
    pub allowed_hosts: Vec<String>,
    /// Whether all lists that are read must have as many entries as the others, all of them usable; otherwise nothing of
    /// the request is believed. Default: no.
    pub require_header_symmetry: bool,
    /// The field with the addresses of clients. Default: `X-Forwarded-For`.
    pub forwarded_for_header_name: String,
    /// The field with the schemes. Default: `X-Forwarded-Proto`.
    pub forwarded_proto_header_name: String,
    /// The field with the hosts. Default: `X-Forwarded-Host`.
    pub forwarded_host_header_name: String,
    /// The field with the beginnings of paths. Default: `X-Forwarded-Prefix`.
    pub forwarded_prefix_header_name: String,
    /// Where the handler finds the peer's address once it was replaced. Default: `X-Original-For`.
    pub original_for_header_name: String,
    /// Where it finds the scheme of the connection. Default: `X-Original-Proto`.
    pub original_proto_header_name: String,
    /// Where it finds what the Host field said. Default: `X-Original-Host`.
    pub original_host_header_name: String,
    /// Where it finds an earlier prefix. Default: `X-Original-Prefix`.
    pub original_prefix_header_name: String,
}

impl Default for ForwardedHeadersOptions {
    fn default() -> Self {
        Self {
            forwarded_headers: XForwarded::NONE,
            forward_limit: Some(1),
            known_proxies: vec![KnownProxy::Address(IpAddr::V6(Ipv6Addr::LOCALHOST))],
            known_networks: IpNetwork::new(Ipv4Addr::new(127, 0, 0, 0).into(), 8)
                .into_iter()
                .collect(),
            allowed_hosts: Vec::new(),
            require_header_symmetry: false,
            forwarded_for_header_name: "X-Forwarded-For".to_owned(),
            forwarded_proto_header_name: "X-Forwarded-Proto".to_owned(),
            forwarded_host_header_name: "X-Forwarded-Host".to_owned(),
            forwarded_prefix_header_name: "X-Forwarded-Prefix".to_owned(),
            original_for_header_name: "X-Original-For".to_owned(),
            original_proto_header_name: "X-Original-Proto".to_owned(),
            original_host_header_name: "X-Original-Host".to_owned(),
            original_prefix_header_name: "X-Original-Prefix".to_owned(),
        }
    }
}

impl ForwardedHeadersOptions {
    /// What `ASPNETCORE_FORWARDEDHEADERS_ENABLED=true` turns on: client and scheme, believed of everybody. For servers
    /// that nobody but their proxy can reach, as in containers.
    ///
    /// ```
    /// use stannel::middleware::{ForwardedHeadersOptions, XForwarded};
    ///
    /// let options = ForwardedHeadersOptions::trusting_everybody();
    /// assert_eq!(options.forwarded_headers, XForwarded::FOR | XForwarded::PROTO);
    /// assert!(options.known_proxies.is_empty() && options.known_networks.is_empty());
    /// ```
    #[must_use]
    pub fn trusting_everybody() -> Self {
        Self {
            forwarded_headers: XForwarded::FOR | XForwarded::PROTO,
            known_proxies: Vec::new(),
            known_networks: Vec::new(),
            ..Self::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::XForwarded;

    #[test]
    fn fields_are_read() {
        for (text, fields) in [
            ("", Some(XForwarded::NONE)),
            ("For", Some(XForwarded::FOR)),
            (" prefix ,HOST", Some(XForwarded::HOST | XForwarded::PREFIX)),
            ("For,Proto,Host,Prefix", Some(XForwarded::ALL)),
            ("For,", None),
            ("X-Forwarded-For", None),
            ("For;Proto", None),
        ] {
            assert_eq!(XForwarded::from_text(text), fields, "{text}");
        }
    }
}
