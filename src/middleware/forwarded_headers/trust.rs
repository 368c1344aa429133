//! Whose word counts.

use crate::handler::Peer;
use std::fmt;
use std::net::IpAddr;

/// A proxy whose word counts.
///
/// ```
/// use stannel::middleware::KnownProxy;
/// use std::net::Ipv4Addr;
///
/// assert_eq!(KnownProxy::from_text("10.0.0.1"), Some(KnownProxy::Address(Ipv4Addr::new(10, 0, 0, 1).into())));
/// assert_eq!(KnownProxy::from_text("unix"), Some(KnownProxy::Unix));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KnownProxy {
    /// The proxy at this address.
    Address(IpAddr),
    /// Whoever can connect to one of the server's Unix sockets; the rights of the socket's file say who that is.
    Unix,
}

impl KnownProxy {
    /// Reads an IPv4 or IPv6 address, or `unix` in any case.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        if text.eq_ignore_ascii_case("unix") {
            return Some(Self::Unix);
        }
        text.parse().ok().map(Self::Address)
    }
}

impl fmt::Display for KnownProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Unix => f.write_str("unix"),
        }
    }
}

/// All addresses that begin with the same bits.
///
/// ```
/// use stannel::middleware::IpNetwork;
///
/// let network = IpNetwork::from_text("10.0.0.0/8").unwrap();
/// assert!(network.contains([10, 1, 2, 3].into()) && !network.contains([11, 0, 0, 0].into()));
/// assert_eq!(IpNetwork::from_text("10.1.0.0/8"), None);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct IpNetwork {
    address: IpAddr,
    prefix_length: u8,
}

impl IpNetwork {
    /// The network of the first `prefix_length` bits of an address; `None` if there are not so many, or if one of the bits
    /// behind them is set: that would be an address, and perhaps meant as one. IPv6 networks of mapped IPv4 addresses
    /// become those of IPv4.
    #[must_use]
    pub fn new(address: IpAddr, prefix_length: u8) -> Option<Self> {
        let (bits, width) = bits(address);
        let host_bits = width.checked_sub(u32::from(prefix_length))?;
        if host_bits > bits.trailing_zeros() {
            return None;
        }
        let network = match address.to_canonical() {
            IpAddr::V4(mapped) if address.is_ipv6() && prefix_length >= MAPPED => Self {
                address: mapped.into(),
                prefix_length: prefix_length - MAPPED,
            },
            _ => Self { address, prefix_length },
        };
        Some(network)
    }

    /// Reads `address/length`.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        let (address, length) = text.split_once('/')?;
        if !length.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        Self::new(address.parse().ok()?, length.parse().ok()?)
    }

    /// Whether the address lies in it. An IPv4 address that is mapped into IPv6 counts as both.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        self.has(address) || self.has(address.to_canonical())
    }

    fn has(&self, address: IpAddr) -> bool {
        let ((own, width), (other, other_width)) = (bits(self.address), bits(address));
        let host_bits = width - u32::from(self.prefix_length);
        width == other_width && (own ^ other).checked_shr(host_bits).unwrap_or(0) == 0
    }
}

impl fmt::Display for IpNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix_length)
    }
}

/// How many bits stand before an IPv4 address that is mapped into IPv6.
const MAPPED: u8 = 96;

fn bits(address: IpAddr) -> (u128, u32) {
    match address {
        IpAddr::V4(address) => (address.to_bits().into(), 32),
        IpAddr::V6(address) => (address.to_bits(), 128),
    }
}

/// The known proxies and networks, ready to be asked.
#[derive(Debug)]
pub(super) struct Trust {
    proxies: Vec<KnownProxy>,
    networks: Vec<IpNetwork>,
}

impl Trust {
    pub(super) fn new(proxies: &[KnownProxy], networks: &[IpNetwork]) -> Self {
        let proxies = proxies.iter().map(|&proxy| match proxy {
            KnownProxy::Address(address) => KnownProxy::Address(address.to_canonical()),
            KnownProxy::Unix => KnownProxy::Unix,
        });
        Self {
            proxies: proxies.collect(),
            networks: networks.to_vec(),
        }
    }

    /// Whether what a peer says counts. Without any list everybody's word does.
    pub(super) fn includes(&self, peer: &Peer) -> bool {
        if self.proxies.is_empty() && self.networks.is_empty() {
            return true;
        }
        match peer {
            Peer::Tcp(address) => {
                let address = address.ip();
                self.proxies.contains(&KnownProxy::Address(address.to_canonical()))
                    || self.networks.iter().any(|network| network.contains(address))
            }
            Peer::Unix => self.proxies.contains(&KnownProxy::Unix),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{IpNetwork, KnownProxy, Trust};
    use crate::handler::Peer;

    #[test]
    fn networks_are_read() {
        for (text, shown) in [
            ("10.0.0.0/8", Some("10.0.0.0/8")),
            ("0.0.0.0/0", Some("0.0.0.0/0")),
            ("1.2.3.4/32", Some("1.2.3.4/32")),
            ("::/0", Some("::/0")),
            ("2001:DB8::/32", Some("2001:db8::/32")),
            ("::1/128", Some("::1/128")),
            ("::ffff:10.0.0.0/104", Some("10.0.0.0/8")),
            ("::ffff:0.0.0.0/96", Some("0.0.0.0/0")),
            ("10.0.0.1/8", None),
            ("1.2.3.4/33", None),
            ("::1/129", None),
            ("::1/127", None),
            ("10.0.0.0", None),
            ("10.0.0.0/", None),
            ("10.0.0.0/+8", None),
            ("10.0.0.0/8/8", None),
            ("10/8", None),
            ("[::]/0", None),
            ("10.0.0.0/256", None),
            (" 10.0.0.0/8", None),
            ("unix/0", None),
        ] {
            let network = IpNetwork::from_text(text).map(|network| network.to_string());
            assert_eq!(network.as_deref(), shown, "{text}");
        }
    }

    #[test]
    fn networks_contain() {
        for (network, address, is_in) in [
            ("10.0.0.0/8", "10.255.255.255", true),
            ("10.0.0.0/8", "11.0.0.0", false),
            ("10.0.0.0/8", "::ffff:10.1.2.3", true),
            ("10.0.0.0/8", "a00::", false),
            ("::ffff:10.0.0.0/104", "10.1.2.3", true),
            ("1.2.3.4/32", "1.2.3.4", true),
            ("1.2.3.4/32", "1.2.3.5", false),
            ("0.0.0.0/0", "255.0.0.1", true),
            ("0.0.0.0/0", "::1", false),
            ("::/0", "::1", true),
            ("::/0", "1.2.3.4", false),
            ("::/0", "::ffff:1.2.3.4", true),
            ("2001:db8::/33", "2001:db8:7fff::1", true),
            ("2001:db8::/33", "2001:db8:8000::1", false),
        ] {
            let network = IpNetwork::from_text(network).unwrap();
            assert_eq!(network.contains(address.parse().unwrap()), is_in, "{network} {address}");
        }
    }

    #[test]
    fn peers_are_known() {
        let proxies = |list: &[&str]| -> Vec<KnownProxy> {
            list.iter().map(|text| KnownProxy::from_text(text).unwrap()).collect()
        };
        let tcp = |text: &str| Peer::Tcp(text.parse().unwrap());
        let some = Trust::new(
            &proxies(&["::1", "::ffff:9.9.9.9"]),
            &[IpNetwork::from_text("127.0.0.0/8").unwrap()],
        );
        for (peer, is_known) in [
            (tcp("127.9.9.9:1"), true),
            (tcp("[::1]:1"), true),
            (tcp("[::ffff:127.0.0.1]:1"), true),
            (tcp("9.9.9.9:1"), true),
            (tcp("[::ffff:9.9.9.9]:1"), true),
            (tcp("10.0.0.1:1"), false),
            (tcp("[::2]:1"), false),
            (Peer::Unix, false),
        ] {
            assert_eq!(some.includes(&peer), is_known, "{peer}");
        }
        let unix = Trust::new(&proxies(&["UNIX"]), &[]);
        assert!(unix.includes(&Peer::Unix) && !unix.includes(&tcp("127.0.0.1:1")));
        let everybody = Trust::new(&[], &[]);
        assert!(everybody.includes(&Peer::Unix) && everybody.includes(&tcp("8.8.8.8:1")));
    }
}
