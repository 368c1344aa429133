//! URL prefixes by their grammar, character after character.

use std::net::{Ipv4Addr, Ipv6Addr};

/// Scheme, host, port and path of a prefix.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Prefix {
    pub(crate) scheme: String,
    pub(crate) host: String,
    pub(crate) port: i32,
    pub(crate) path: String,
}

/// `scheme "://" host [":" port] ["/"]` or `scheme "://unix:" name [":" [path]]`.
pub(crate) fn read(text: &str) -> Option<Prefix> {
    let at = text.find("://")?;
    let (scheme, rest) = (text[..at].to_ascii_lowercase(), &text[at + 3..]);
    if rest.starts_with("unix:/") || rest.starts_with("unix:@") {
        return socket(scheme, &rest["unix:".len()..]);
    }
    let mut authority = rest.to_owned();
    let path = authority.split_off(rest.find('/').unwrap_or(rest.len()));
    if authority.chars().any(|c| c.is_whitespace() || "@?#".contains(c)) {
        return None;
    }
    // What is left behind the host is nothing or a port.
    let (host, port) = match authority.strip_prefix('[') {
        Some(inner) => {
            let (address, behind) = inner.split_once(']')?;
            let plain = address.split('%').next().unwrap_or_default();
            plain.parse::<Ipv6Addr>().ok()?;
            (format!("[{address}]"), behind.to_owned())
        }
        None => {
            let host: String = authority.chars().take_while(|&c| c != ':').collect();
            let behind = authority[host.len()..].to_owned();
            if host.is_empty() || host.contains(['[', ']']) || is_bad_address(&host) {
                return None;
            }
            (host, behind)
        }
    };
    let port = match (port.as_str(), scheme.as_str()) {
        ("", "http") => 80,
        ("", "https") => 443,
        ("", _) => 0,
        (port, _) => number(port.strip_prefix(':')?)?,
    };
    Some(Prefix {
        scheme,
        host: host.to_lowercase(),
        port,
        path: without_slash(&path),
    })
}

fn socket(scheme: String, rest: &str) -> Option<Prefix> {
    let name: String = rest.chars().take_while(|&c| c != ':').collect();
    let path = rest[name.len()..].strip_prefix(':').unwrap_or_default();
    let name = match name.strip_prefix('@') {
        Some(abstract_name) => {
            let abstract_name = without_slash(abstract_name);
            if abstract_name.is_empty() || abstract_name.contains('/') {
                return None;
            }
            format!("@{abstract_name}")
        }
        None if name.ends_with('/') => return None,
        None => name,
    };
    Some(Prefix {
        scheme,
        host: format!("unix:{name}"),
        port: 0,
        path: without_slash(path),
    })
}

/// One slash at the end is no path.
fn without_slash(path: &str) -> String {
    let mut path = path.to_owned();
    if path.ends_with('/') {
        path.pop();
    }
    path
}

/// A 32-bit number with a sign or without.
fn number(text: &str) -> Option<i32> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let mut value: i64 = 0;
    for digit in digits.bytes() {
        value = (value * 10 + i64::from(digit - b'0')).min(1 << 40);
    }
    i32::try_from(if text.starts_with('-') { -value } else { value }).ok()
}

/// Four groups of digits that are no IPv4 address, however C would read them.
fn is_bad_address(host: &str) -> bool {
    let is_numeric = host.chars().all(|c| c.is_ascii_digit() || c == '.');
    let groups: Vec<&str> = host.split('.').filter(|group| !group.is_empty()).collect();
    if !is_numeric || groups.len() != 4 {
        return false;
    }
    let octal_or_decimal = |group: &&str| {
        let digits = group.trim_start_matches('0');
        let radix = if group.len() > 1 && group.starts_with('0') {
            8
        } else {
            10
        };
        match digits {
            "" => Some(0),
            digits => u8::from_str_radix(digits, radix).ok(),
        }
    };
    let octets: Option<Vec<u8>> = groups.iter().map(octal_or_decimal).collect();
    let is_address = octets
        .and_then(|octets| <[u8; 4]>::try_from(octets).ok().map(Ipv4Addr::from))
        .is_some();
    !is_address || host.split('.').count() != 4
}
