//! The Host field: a name or address and perhaps a port.

use super::Rejection;
use super::byte_class::{NOT_HOST_NAME, classes};
use std::net::Ipv6Addr;

/// A checked Host value, split into host and port.
///
/// It borrows from the field. Every byte in it is ASCII.
///
/// ```
/// let host = stannel::http1::host::parse(b"example.com:8080").unwrap();
/// assert_eq!((host.name(), host.port()), ("example.com", Some(8080)));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Host<'a> {
    // Bytes, because a check for UTF-8 costs more than all the rest and most handlers never ask for the text.
    value: &'a [u8],
    name: &'a [u8],
    port: Option<u16>,
}

impl<'a> Host<'a> {
    /// A value that has passed the check before.
    #[inline]
    pub(crate) fn checked(value: &'a [u8], name_len: usize, port: Option<u16>) -> Self {
        let name = value.get(..name_len).unwrap_or_default();
        Self { value, name, port }
    }

    /// The whole value as it came.
    #[must_use]
    pub fn value(&self) -> &'a str {
        ascii(self.value)
    }

    /// The name or address without the port; an IPv6 address keeps its brackets.
    #[must_use]
    pub fn name(&self) -> &'a str {
        ascii(self.name)
    }

    /// The port, if one is written.
    #[must_use]
    pub const fn port(&self) -> Option<u16> {
        self.port
    }

    /// Whether both name the same place: equal names apart from ASCII case and equal ports, where a port that is not
    /// written is the `default_port`. Without a default both have to write it.
    #[must_use]
    pub fn is_same_as(&self, other: &Host<'_>, default_port: Option<u16>) -> bool {
        let port = self.port.or(default_port);
        // RFC 9110 §4.2.3: host names compare without case, a missing port is that of the scheme.
        port.is_some() && port == other.port.or(default_port) && self.name.eq_ignore_ascii_case(other.name)
    }
}

/// Checks a Host value, without the white space around it.
///
/// # Errors
///
/// [`Rejection::InvalidHostHeader`] if it is empty, has a byte that no host has, an address in brackets that is no
/// IPv6 address, or a port that is not 1 to 5 digits up to 65535.
pub fn parse(value: &[u8]) -> Result<Host<'_>, Rejection> {
    let (name, port) = split_port(value);
    // RFC 9110 §4.2.1: a URI with an empty host is invalid, so an empty Host is, too.
    if name.is_empty() || (classes(name) & NOT_HOST_NAME != 0 && !is_address_in_brackets(name)) {
        return Err(Rejection::InvalidHostHeader);
    }
    Ok(Host { value, name, port })
}

/// The last value that passed the check.
///
/// Nearly all requests to a server name the same host: comparing is a quarter of the work of checking.
#[derive(Debug, Default)]
pub(crate) struct KnownHost {
    value: Vec<u8>,
    name_len: usize,
    port: Option<u16>,
}

impl KnownHost {
    /// Longer values are checked each time.
    const LONGEST: usize = 128;

    #[inline]
    pub(crate) fn parse<'a>(&mut self, value: &'a [u8]) -> Result<Host<'a>, Rejection> {
        match value.get(..self.name_len) {
            Some(name) if self.value == value && !value.is_empty() => Ok(Host {
                value,
                name,
                port: self.port,
            }),
            _ => self.learn(value),
        }
    }

    #[inline(never)]
    fn learn<'a>(&mut self, value: &'a [u8]) -> Result<Host<'a>, Rejection> {
        let host = parse(value)?;
        if value.len() <= Self::LONGEST {
            self.value.clear();
            self.value.extend_from_slice(value);
            self.name_len = host.name.len();
            self.port = host.port;
        }
        Ok(host)
    }
}

/// Takes the port off the end, where most values have it or visibly do not: cheaper than looking for a colon.
///
/// Where the end is no colon and 1 to 5 digits up to 65535, all is left to the name, and a colon there is an error.
#[inline]
fn split_port(value: &[u8]) -> (&[u8], Option<u16>) {
    let mut rest = value;
    let mut port = 0u32;
    let mut weight = 1u32;
    while let [before @ .., last] = rest {
        match last {
            // Five digits stay far below the limit of u32; `str::parse` would take a sign.
            b'0'..=b'9' if weight <= 10_000 => {
                port += u32::from(last - b'0') * weight;
                weight *= 10;
            }
            b':' if weight > 1 => {
                return match u16::try_from(port) {
                    Ok(port) => (before, Some(port)),
                    Err(_) => (value, None),
                };
            }
            _ => break,
        }
        rest = before;
    }
    (value, None)
}

/// Whether the name is `[address]`.
#[cold]
fn is_address_in_brackets(name: &[u8]) -> bool {
    // RFC 3986 §3.2.2: an address in brackets is IPv6. Zones and future versions are not for the wire.
    name.strip_prefix(b"[")
        .and_then(|name| name.strip_suffix(b"]"))
        .and_then(|address| std::str::from_utf8(address).ok())
        .is_some_and(|address| address.parse::<Ipv6Addr>().is_ok())
}

/// Text of bytes that were checked to be ASCII.
fn ascii(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_values_are_split() {
        let cases: &[(&str, &str, Option<u16>)] = &[
            ("example.com", "example.com", None),
            ("EXAMPLE.Com", "EXAMPLE.Com", None),
            ("h", "h", None),
            ("h:8080", "h", Some(8080)),
            ("h:0", "h", Some(0)),
            ("h:65535", "h", Some(65535)),
            ("h:00080", "h", Some(80)),
            ("127.0.0.1:1", "127.0.0.1", Some(1)),
            ("999.1.1.1", "999.1.1.1", None),
            ("a_b.c", "a_b.c", None),
            ("a!$&'()-._~z", "a!$&'()-._~z", None),
            ("[::1]", "[::1]", None),
            ("[::]:1", "[::]", Some(1)),
            ("[2001:db8::1]:443", "[2001:db8::1]", Some(443)),
            ("[::ffff:1.2.3.4]:80", "[::ffff:1.2.3.4]", Some(80)),
        ];
        for &(value, name, port) in cases {
            let host = parse(value.as_bytes()).unwrap_or_else(|_| panic!("{value} is refused"));
            assert_eq!((host.value(), host.name(), host.port()), (value, name, port));
        }
    }

    #[test]
    fn rfc9112_3_2_bad_values_are_refused() {
        #[rustfmt::skip]
        let cases: &[&[u8]] = &[
            b"", b":", b":80", b"h:", b"h:80:80", b"h:8x", b"h:+80", b"h:-1", b"h: 80", b"h:65536", b"h:99999",
            b"h:000080", b"a b", b" h", b"h ", b"a\tb", b"a,b", b"a=b", b"a;b", b"a+b", b"a*b", b"*", b"u@h", b"h/",
            b"h?x", b"h#f", b"h\\x", b"http://h", b"a%62", b"\"h\"", b"h\xe9", b"h\0", b"h\x7f", b"[", b"]", b"[]",
            b"[::1", b"::1", b"[::1]x", b"[::1]:", b"[::1]80", b"[::1]:65536", b"[g::1]", b"[::1%eth0]",
            b"[::1%25eth0]", b"[1.2.3.4]", b"[v1.x]", b"[[::1]]", b"x[::1]", b"[::\xff]",
        ];
        for value in cases {
            assert_eq!(parse(value), Err(Rejection::InvalidHostHeader), "{value:?}");
        }
    }

    #[test]
    fn every_byte_is_judged_alike_at_every_place() {
        for byte in 0..=255u8 {
            let expected = byte.is_ascii_alphanumeric() || b"!$&'()-._~".contains(&byte);
            for at in 0..12 {
                let mut value = *b"abcdefghijkl";
                value[at] = byte;
                // A colon may also stand before a port, but here no digit follows.
                assert_eq!(parse(&value).is_ok(), expected, "{byte:#x} at {at}");
            }
        }
    }
}
