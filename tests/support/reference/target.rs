//! Request targets by the book: RFC 9112 §3.2 and RFC 3986 §5.2.4.

use super::request::host;

pub(crate) struct Target {
    pub(crate) raw: String,
    pub(crate) path: String,
    pub(crate) query: String,
    /// Host and port as the target says them.
    pub(crate) authority: Option<(String, Option<u16>)>,
    /// The port that is meant where none is written.
    pub(crate) default_port: Option<u16>,
}

/// A target whose bytes are right; `None` if it has no form, or none that fits the method.
pub(crate) fn read(raw: &str, method: &str) -> Option<Target> {
    let with = |path: String, query: &str, authority, default_port| {
        Some(Target {
            raw: raw.to_owned(),
            path,
            query: query.to_owned(),
            authority,
            default_port,
        })
    };
    if method == "CONNECT" {
        let authority = host(raw.as_bytes()).filter(|(_, port)| port.is_some())?;
        let is_authority_byte = |byte: u8| byte.is_ascii_alphanumeric() || b":.[]@-".contains(&byte);
        let authority = raw.bytes().all(is_authority_byte).then_some(authority);
        return authority.and_then(|authority| with(String::new(), "", Some(authority), None));
    }
    if raw == "*" {
        return (method == "OPTIONS").then(|| with(String::new(), "", None, None))?;
    }
    let lower = raw.to_ascii_lowercase();
    let schemes = [("http://", 80), ("https://", 443)];
    let scheme = schemes.iter().find(|(scheme, _)| lower.starts_with(scheme));
    let (hierarchical, authority, default_port) = match scheme {
        Some((scheme, port)) => {
            let rest = &raw[scheme.len()..];
            let (authority, rest) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
            (rest, Some(host(authority.as_bytes())?), Some(*port))
        }
        None if raw.starts_with('/') => (raw, None, None),
        None => return None,
    };
    let (path, query) = hierarchical.split_at(hierarchical.find('?').unwrap_or(hierarchical.len()));
    // A triplet never lies inside another one.
    if path.contains("%00") {
        return None;
    }
    with(
        String::from_utf8(plain_path(path.as_bytes())).ok()?,
        query,
        authority,
        default_port,
    )
}

/// Decodes, then resolves the dot segments.
pub(crate) fn plain_path(raw: &[u8]) -> Vec<u8> {
    if raw.is_empty() {
        return b"/".to_vec();
    }
    let decoded = decode(raw);
    let mut kept: Vec<&[u8]> = Vec::new();
    let segments: Vec<&[u8]> = decoded[1..].split(|&byte| byte == b'/').collect();
    for (index, &segment) in segments.iter().enumerate() {
        let is_last = index + 1 == segments.len();
        match segment {
            b"." => {}
            b".." => {
                kept.pop();
            }
            _ => {
                kept.push(segment);
                continue;
            }
        }
        if is_last {
            kept.push(b"");
        }
    }
    let mut path = Vec::new();
    for segment in kept {
        path.push(b'/');
        path.extend_from_slice(segment);
    }
    path
}

fn decode(raw: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut at = 0;
    while at < raw.len() {
        // The longest run of triplets that is one character; NUL and the slash stay encoded (NUL never gets here).
        let found = (1..=4).rev().find_map(|count| {
            let bytes: Vec<u8> = (0..count)
                .map(|index| triplet(raw, at + 3 * index))
                .collect::<Option<_>>()?;
            let text = std::str::from_utf8(&bytes).ok()?;
            (text.chars().count() == 1 && text != "/").then_some(bytes)
        });
        match found {
            Some(bytes) => {
                assert_ne!(bytes, [0], "%00 is refused");
                at += 3 * bytes.len();
                out.extend(bytes);
            }
            None => {
                out.push(raw[at]);
                at += 1;
            }
        }
    }
    out
}

fn triplet(raw: &[u8], at: usize) -> Option<u8> {
    match raw.get(at..at + 3)? {
        [b'%', high, low] => {
            let digit = |byte: u8| char::from(byte).to_digit(16);
            u8::try_from(digit(*high)? * 16 + digit(*low)?).ok()
        }
        _ => None,
    }
}
